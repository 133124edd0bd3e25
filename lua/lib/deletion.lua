--- deletion: plain removal: pods, config, claims by retention, finalizers. In a living Cluster an instance
-- with a store or member leaves PD first, see lib/offline and lib/resign, and serves until then.
local kube = require "lib.kube"
local lost_node = require "lib.lost_node"
local pvc = require "lib.pvc"

local M = {}

---Never seen by PD: no id recorded anywhere, and PD's list, or the lack of any PD, says so too.
---@param i instance
---@param found table? the store or member that PD has at this address or name
function M.never_seen(w, i, found)
  local status = i.object.status or {}
  if (status.id or "") ~= "" or found then return false end
  local id, cluster_id = pvc.recorded(w, i)
  if id or cluster_id then return false end
  -- what is Ready has registered: the list is a moment old (W-09)
  if w.pd and w.pd.known then return not (w.pod and w.pod.ready == "True") end
  -- PD can not be asked: what may have run may be a member or store, recorded or not (S15)
  local ran = w.pod and w.pod.phase ~= "Pending" or not w.pod and (status.pod or "") ~= ""
  -- a pod that is made again is Pending too: its disk remembers
  for _, c in ipairs(pvc.owned(w, i)) do ran = ran or c.volume ~= nil end
  return (w.cluster.id or "") == "" and not ran
end

---@return boolean
function M.may_go(w, i, found)
  if not w.cluster then return false end
  return w.cluster.deleting ~= nil or M.never_seen(w, i, found)
end

local function retention(w)
  if w.cluster.deleting then return pvc.when_deleted(w) end
  -- what a person calls destroyed is not ours to prove: the claim stays, retired
  if (w.object.metadata.annotations or {})[kube.annotation.destroyed] then return "Retain" end
  local own, all = w.group and w.group.retention or {}, w.cluster.retention or {}
  return own.whenScaled or all.whenScaled or "Delete"
end

---Step of PD and TiKV. A held one goes through the other steps as if nothing was asked.
function M.instance(w, p, i, found)
  if not w.deleting then return end
  if not w.cluster then
    return p:wait("ClusterMissing", "Cluster %s is gone; its data is kept until it is there again, or the "
      .. "finalizer is removed by a person", i.cluster)
  end
  if not M.may_go(w, i, found) then return end
  -- one that was held before its Cluster was deleted: the stores go first, then the group (S6)
  local early = w.cluster.deleting and w.group and not w.group.deleting
  if i.component == "pd" and early and not M.never_seen(w, i, found) then
    return p:wait("StoresNeedPD", "PD outlives the stores of Cluster %s", i.cluster)
  end
  return M.remove(w, p, i)
end

-- Disks of what has left for good are mounted again only by a person's will. They are marked first: the
-- Cluster may be deleted with Retain any time, and made again over what is left.
local function retire(w, p, i)
  local marked = false
  if w.cluster.deleting then return marked end
  for _, c in ipairs(pvc.owned(w, i)) do
    local used = (c.labels or {})[kube.label.cluster_id] or ((i.object.status or {}).id or "") ~= ""
      -- a joiner that never got its name has an expelled member's files all the same
      or i.component == "pd" and c.volume ~= nil and (w.cluster.id or "") ~= ""
    if not pvc.retired(c) and not c.deleting and used then
      marked = true
      p:patch_meta(kube.ref("PersistentVolumeClaim", c), { labels = { [kube.label.retired] = "true" } })
    end
  end
  return marked
end

---All that belongs to the instance goes, in order, and then the instance.
function M.remove(w, p, i)
  if retire(w, p, i) then return p:wait("StoppingPod", "the disks of %s are marked as retired first", i.name) end
  if w.pod and kube.owned_by(w.pod.owners, i.object.metadata.uid) then
    local lost = lost_node.release(w, p, i)
    if lost then return lost end
    if not w.pod.deleting then p:delete(kube.ref("Pod", w.pod), "its instance is deleted") end
    local silent = lost_node.silent(w)
    if silent then
      return p:wait("NodeNotReady", "pod %s shall stop and %s; it may still run there", i.pod, silent)
    end
    return p:wait("StoppingPod", "pod %s must be gone first", i.pod)
  end
  local map = w.configmap
  if map and not map.metadata.deletionTimestamp
    and kube.owned_by(map.metadata.ownerReferences, i.object.metadata.uid) then
    p:delete(kube.ref("ConfigMap", map), "its instance is deleted")
  end
  if retention(w) == "Delete" then
    local left = pvc.owned(w, i)
    if left[1] and not w.cluster.deleting and w.pd and w.pd.known and not w.pd.settled then
      p:watch_pd()
      return p:retry(15, "PDNotSettled", "PD's leader is new: %d claims of %s are deleted when it is settled",
        #left, i.name)
    end
    for _, claim in ipairs(left) do
      if not claim.deleting then p:delete(kube.ref("PersistentVolumeClaim", claim), "retention policy Delete") end
    end
    if left[1] then return p:wait("DeletingClaims", "%d claims of %s are being deleted", #left, i.name) end
  end
  M.release(w, p)
  return p:wait("Terminating", "%s is gone", i.name)
end

---The last act: the object may disappear.
function M.release(w, p)
  if kube.has_finalizer(w.object) then
    p:patch_meta(kube.ref(w.object.kind, w.object), { remove_finalizers = { kube.FINALIZER } })
  end
end

local function stores_alive(w)
  local c = w.pd and w.pd.counts
  if not c then return (w.cluster.id or "") ~= "" end
  return (c.Up or 0) + (c.Disconnected or 0) + (c.Down or 0) + (c.Offline or 0) > 0
end

-- In a living Cluster: the last stores have nowhere to drain to; PD must outlive the stores.
local function hold_group(w, p)
  if w.cluster.deleting or not (w.rows or {})[1] then return end
  if w.object.kind == "PDGroup" then
    for _, g in ipairs(w.siblings or {}) do -- members that stay lead on
      if g.name ~= w.object.metadata.name and not g.deleting and (tonumber(g.ready) or 0) > 0 then return end
    end
    if stores_alive(w) then
      return p:wait("StoresNeedPD", "stores of Cluster %s still need PD", w.cluster.name)
    end
  elseif stores_alive(w) then
    for _, g in ipairs(w.siblings or {}) do
      if g.name ~= w.object.metadata.name and not g.deleting then return end
    end
    return p:wait("LastStores", "it is the last TiKV group of Cluster %s", w.cluster.name)
  end
end

---Step of groups: instances first, then the finalizer; services and revisions are owned.
function M.group(w, p)
  if not w.deleting then return end
  if not w.cluster and w.rows[1] then
    return p:wait("ClusterMissing", "Cluster %s is gone; its instances are kept", w.object.spec.cluster.name)
  end
  local held = w.cluster and hold_group(w, p)
  if held then return held end
  local kind = kube.instance_kind[kube.component[w.object.kind]]
  for _, r in ipairs(w.rows) do
    if p:full() then break end
    if not r.deleting then p:delete(kube.ref(kind, r), "its group is deleted") end
  end
  if w.rows[1] then return p:wait("DeletingInstances", "%d instances left", #w.rows) end
  M.release(w, p)
  return p:wait("Terminating", "all instances are gone")
end

---Step of the Cluster: TiKV groups, then PD groups, then the finalizer. It works with PD dead.
function M.cluster(w, p)
  if not w.deleting then return end
  local function all(kind, rows, reason)
    for _, g in ipairs(rows) do
      if not g.deleting then p:delete(kube.ref(kind, g), "its Cluster is deleted") end
    end
    if rows[1] then return p:wait(reason, "%d groups of kind %s left", #rows, kind) end
  end
  local left = all("TiKVGroup", w.tikvgroups or {}, "DeletingTiKV") or all("PDGroup", w.pdgroups or {}, "DeletingPD")
  if left then return left end
  M.release(w, p)
  return p:wait("Terminating", "all groups are gone")
end

return M
