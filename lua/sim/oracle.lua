--- oracle: judges every write of the operator against the true state of the model.
-- The ids are those of the invariants (S1..S20). The model is asked, never the operator's view.
-- Also the hands of fate: it kills pods and nodes, and says whether the cluster is as wanted.
local runtime = require "sim.runtime"
local kubelet = require "sim.kubelet"
local pd = require "sim.pd"

local M = {}
local API = "/apis/core.tikv.org/v1alpha1/namespaces/default/"
local crashed = {}

local function get(path)
  local status, body = sim.request("GET", path)
  return status == 200 and body or nil
end

local function list(path)
  local body = get(path)
  return body and body.items or {}
end

local function label(o, key) return (o.metadata.labels or {})["core.tikv.org/" .. key] end

local function controller(o)
  for _, r in ipairs(o.metadata.ownerReferences or {}) do
    if r.controller then return r end
  end
end

local PLURAL = { Cluster = "clusters", PDGroup = "pdgroups", PD = "pds", TiKVGroup = "tikvgroups", TiKV = "tikvs" }

--- S8, S14: children belong to a live owner of the same uid, in its namespace.
local function owned(c, o)
  local owner = controller(o)
  if not owner then
    if c.resource == "persistentvolumeclaims" then
      if not (o.metadata.annotations or {})["core.tikv.org/owner-uid"] then return "S14: a claim without its owner's uid" end
      return
    end
    return ("S14: %s %s was written and nobody owns it"):format(c.resource, c.name)
  end
  local live = get(("/apis/core.tikv.org/v1alpha1/namespaces/%s/%s/%s"):format(c.ns, PLURAL[owner.kind] or "none", owner.name))
  if not live or live.metadata.uid ~= owner.uid then
    return ("S8: %s %s was created for %s %s, which is gone"):format(c.resource, c.name, owner.kind, owner.name)
  end
end

--- The true store that lives on a claim's disk, or nil.
local function store_on(claim)
  local disk = runtime.disks[claim.metadata.uid]
  if not disk or not disk.store_id then return end
  for _, cluster in ipairs(pd.clusters) do
    if cluster.id == disk.cluster then return cluster.stores[disk.store_id], cluster end
  end
end

local function cluster_wants_it_gone(o)
  local name = label(o, "cluster")
  local cluster = name and get(API .. "clusters/" .. name)
  if not cluster or not cluster.metadata.deletionTimestamp then return false end
  local policy = cluster.spec and cluster.spec.persistentVolumeClaimRetentionPolicy or {}
  return policy.whenDeleted == "Delete"
end

local function claim_removed(c)
  local store, cluster = store_on(c.old)
  if store and not cluster_wants_it_gone(c.old) then
    local _, peers = cluster:counts(store.id)
    if store.node_state ~= 3 or peers > 0 then
      return ("S1: claim %s was deleted while store %s holds %d peers"):format(c.name, store.id, peers)
    end
  end
end

local function pod_removed(c)
  local instance = label(c.old, "instance")
  local plural = label(c.old, "component") == "pd" and "pds" or "tikvs"
  local cr = instance and get(API .. plural .. "/" .. instance)
  local phase = c.old.status and c.old.status.phase
  if cr and not cr.metadata.deletionTimestamp and phase ~= "Failed" and phase ~= "Succeeded" then
    return ("S13: pod %s was deleted and nothing asked for it"):format(c.name)
  end
end

--- S5: one claim, one living pod.
local function pod_added(c)
  local mine = {}
  for _, v in ipairs(c.now.spec.volumes or {}) do
    if v.persistentVolumeClaim then mine[v.persistentVolumeClaim.claimName] = true end
  end
  for _, pod in ipairs(list "/api/v1/namespaces/default/pods") do
    if pod.metadata.uid ~= c.now.metadata.uid then
      for _, v in ipairs(pod.spec.volumes or {}) do
        if v.persistentVolumeClaim and mine[v.persistentVolumeClaim.claimName] then
          return ("S5: pods %s and %s on one claim"):format(c.name, pod.metadata.name)
        end
      end
    end
  end
end

--- S12: what may never change once it is there.
local function monotone(c)
  if not c.old or not c.now then return end
  for _, field in ipairs { "id", "clusterID" } do
    local was = c.old.status and c.old.status[field]
    local is = c.now.status and c.now.status[field]
    if was and was ~= "" and was ~= is then
      return ("S12: %s %s status.%s went from %s to %s"):format(c.resource, c.name, field, was, tostring(is))
    end
  end
end

--- S19: Ready means that it serves.
local function honest(c)
  if c.resource ~= "tikvs.core.tikv.org" or not c.now or not c.now.status then return end
  for _, x in ipairs(c.now.status.conditions or {}) do
    if x.type == "Ready" and x.status == "True" and not (c.now.status.id or ""):find "^%d+$" then
      return ("S19: TiKV %s is Ready without a store"):format(c.name)
    end
  end
end

local OURS = {
  ["pods"] = true, ["configmaps"] = true, ["persistentvolumeclaims"] = true, ["services"] = true,
  ["controllerrevisions.apps"] = true, ["poddisruptionbudgets.policy"] = true,
  ["pds.core.tikv.org"] = true, ["tikvs.core.tikv.org"] = true,
}

--- Judge one committed write of an operator. Returns the violated invariant as text, or nil.
function M.committed(c)
  if #pd.clusters > 1 then return "S4: PD was founded a second time" end
  if c.resource == "events" then return end
  if c.ns ~= "default" and c.ns ~= "tikv-system" and c.resource ~= "persistentvolumes" then
    return ("S14: a write in namespace %s"):format(c.ns)
  end
  local why = monotone(c) or honest(c)
  if why then return why end
  if c.old and not c.now then
    if c.resource == "persistentvolumeclaims" then return claim_removed(c) end
    if c.resource == "persistentvolumes" then return "S1: a volume was deleted" end
  end
  if c.resource == "pods" and c.old and c.now and c.now.metadata.deletionTimestamp
    and not c.old.metadata.deletionTimestamp then
    return pod_removed(c)
  end
  if OURS[c.resource] and c.now and not c.now.metadata.deletionTimestamp then
    why = not c.old and owned(c, c.now) or nil
    if why then return why end
    if c.resource == "pods" and not c.old then return pod_added(c) end
  end
end

-- Fate --------------------------------------------------------------------------------------------

local function pick(items, site)
  return #items > 0 and items[sim.choose(#items, site)] or nil
end

function M.kill_some_pod()
  local pod = pick(list "/api/v1/namespaces/default/pods", "fate.pod")
  if pod then kubelet.kill_pod(pod.metadata.uid) end
end

function M.delete_some_pod()
  local pod = pick(list "/api/v1/namespaces/default/pods", "fate.pod")
  if pod then sim.request("DELETE", "/api/v1/namespaces/default/pods/" .. pod.metadata.name) end
end

function M.crash_some_node()
  local node = pick(list "/api/v1/nodes", "fate.node")
  if not node or next(crashed) then return end
  local name = node.metadata.name
  crashed[name] = true
  kubelet.crash_node(name)
  sim.after(5000 * sim.choose(10, "fate.node_back"), function()
    if crashed[name] then
      crashed[name] = nil
      kubelet.restore_node(name)
    end
  end)
end

--- The faults are over: power is back.
function M.repair()
  for name in sim.pairs(crashed) do kubelet.restore_node(name) end
  crashed = {}
end

local function ready(o)
  for _, x in ipairs(o.status and o.status.conditions or {}) do
    if x.type == "Ready" then return x.status == "True" and (x.observedGeneration or 0) == o.metadata.generation end
  end
  return false
end

--- What is not as wanted, or nil: the right number of everything, all of it ready and known.
function M.unlike(want)
  for plural, n in sim.pairs { pds = want.pd, tikvs = want.tikv } do
    local items = list(API .. plural)
    if #items ~= n then return ("%d %s, wanted %d"):format(#items, plural, n) end
    for _, o in ipairs(items) do
      if not ready(o) then
        return ("%s %s is not ready: %s %s: %s"):format(plural, o.metadata.name, (o.status or {}).phase or "no status",
          (o.status or {}).reason or "", (o.status or {}).message or "")
      end
    end
  end
  for _, plural in ipairs { "clusters", "pdgroups", "tikvgroups" } do
    local o = get(API .. plural .. "/basic")
    if not o or not ready(o) then
      local s = o and o.status or {}
      return ("%s basic is not ready: %s %s: %s"):format(plural, s.phase or "", s.reason or "", s.message or "")
    end
  end
  local pods = list "/api/v1/namespaces/default/pods"
  if #pods ~= want.pd + want.tikv then return ("%d pods, wanted %d"):format(#pods, want.pd + want.tikv) end
  local claims = list "/api/v1/namespaces/default/persistentvolumeclaims"
  if #claims ~= want.pd + want.tikv then return ("%d claims, wanted %d"):format(#claims, want.pd + want.tikv) end
  if #pd.clusters ~= 1 then return ("S4: %d PD clusters were founded"):format(#pd.clusters) end
  if #pd.clusters[1].members ~= want.pd then return ("%d PD members, wanted %d"):format(#pd.clusters[1].members, want.pd) end
end

function M.start() end

return M
