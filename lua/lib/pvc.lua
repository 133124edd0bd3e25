--- pvc: the claims of an instance. They never carry an owner reference: no forced finalizer can make
-- the garbage collector delete data. The owner stands in an annotation, identity in labels.
local kube = require "lib.kube"

local M = {}

---Fields of claims that instances look at.
M.FIELDS = {
  name = "metadata.name", uid = "metadata.uid", rv = "metadata.resourceVersion",
  deleting = "metadata.deletionTimestamp", labels = "metadata.labels",
  annotations = "metadata.annotations", storage = "spec.resources.requests.storage",
  class = "spec.storageClassName", attributes = "spec.volumeAttributesClassName",
  modes = "spec.accessModes", volume = "spec.volumeName", phase = "status.phase",
  capacity = "status.capacity.storage", conditions = "status.conditions",
  growth = "status.allocatedResourceStatuses.storage", attributes_now = "status.currentVolumeAttributesClassName",
}

local function overlay_of(spec, name)
  for _, o in ipairs(spec.overlay and spec.overlay.volumeClaims or {}) do
    if o.name == name then return o.volumeClaim or {} end
  end
  return {}
end

---What a claim of this volume is to be: the overlay of the claim has the last word on its class.
---@param spec table of the instance, or of its group's template
---@return {storage: string, storageClassName: string?}
function M.wish(spec, volume)
  local over = overlay_of(spec, volume.name).spec or {}
  return { storage = volume.storage, storageClassName = over.storageClassName or volume.storageClassName }
end

---Labels that PD's answers add, once known.
local function identity(i, ids)
  return { [kube.label.cluster_id] = ids.cluster_id,
    [kube.label[i.component == "pd" and "member_id" or "store_id"]] = ids.id }
end

---@param ids {cluster_id: string?, id: string?} ids seen on this disk; empty at first
function M.build(i, volume, ids)
  local o = kube.object("PersistentVolumeClaim", i.ns, kube.claim_name(volume.name, i.pod),
    kube.labels(i.cluster, i.component, i.group, i.name))
  local over = overlay_of(i.spec, volume.name)
  local meta = over.metadata or {}
  o.metadata.labels = kube.merge(kube.merge({}, meta.labels), o.metadata.labels)
  o.metadata.labels[kube.label.volume] = volume.name
  kube.merge(o.metadata.labels, identity(i, ids))
  o.metadata.annotations = kube.merge({}, meta.annotations)
  o.metadata.annotations[kube.annotation.owner_uid] = i.object.metadata.uid
  o.spec = {
    accessModes = { "ReadWriteOnce" },
    resources = { requests = { storage = volume.storage } },
    storageClassName = volume.storageClassName,
  }
  if kube.has_feature(i.features, "VolumeAttributesClass") then
    o.spec.volumeAttributesClassName = volume.volumeAttributesClassName
  end
  for k, v in pairs(over.spec or {}) do
    if k ~= "resources" then o.spec[k] = v end
  end
  return o
end

function M.retired(claim) return (claim.labels or {})[kube.label.retired] ~= nil end

---May this instance take over a claim that it does not own yet? Its name is the claim's, so the old
---owner is proven gone: a name is used once per kind. Cluster ids must agree where both are known.
---@return string? reason why not
function M.foreign(w, i, claim)
  local l = claim.labels or {}
  if M.retired(claim) then return "ClaimRetired", "it is labelled retired" end
  if l[kube.label.instance] ~= i.name or l[kube.label.component] ~= i.component
    or l[kube.label.cluster] ~= i.cluster then
    return "ClaimForeign", ("it belongs to instance %s of cluster %s"):format(
      tostring(l[kube.label.instance]), tostring(l[kube.label.cluster]))
  end
  local theirs, ours = l[kube.label.cluster_id], w.cluster.id
  if theirs and ours and ours ~= "" and theirs ~= ours then
    return "ClaimForeign", ("it holds data of PD cluster %s, this one is %s"):format(theirs, ours)
  end
  local id = i.object.status and i.object.status.id
  local mark = l[kube.label[i.component == "pd" and "member_id" or "store_id"]]
  if id and id ~= "" and mark and mark ~= id then
    return "ClaimForeign", ("it holds the data of %s, this instance is %s"):format(mark, id)
  end
end

local function by_name(w)
  local out = {}
  for _, c in ipairs(w.claims or {}) do out[c.name] = c end
  return out
end

---Claims of this instance, in the order of its volumes; nil where one is missing.
function M.of(w, i)
  local found, out = by_name(w), {}
  for n, v in ipairs(i.spec.volumes or {}) do out[n] = found[kube.claim_name(v.name, i.pod)] or false end
  return out
end

---An id that an earlier owner left on the claims; the same data is the same store.
function M.recorded(w, i)
  local key = kube.label[i.component == "pd" and "member_id" or "store_id"]
  for _, c in ipairs(M.of(w, i)) do
    local l = c and c.labels or {}
    if l[key] then return l[key], l[kube.label.cluster_id] end
    if l[kube.label.cluster_id] then return nil, l[kube.label.cluster_id] end
  end
end

---A store that lost its data has a new id on the same disk: the old one is not forgotten.
---@param disk table claim or volume
---@return string? ids with commas
function M.former(disk, i, ids)
  local was = i.component == "tikv" and (disk.labels or {})[kube.label.store_id]
  local list = (disk.annotations or {})[kube.annotation.former_stores]
  if not was or not ids.id or was == ids.id then return list end
  for _, x in ipairs(text.split(list or "", ",")) do if x == was then return list end end
  return (list or "") ~= "" and list .. "," .. was or was
end

---Step: every volume has its claim, owned by us and labelled. Its size: lib/resizing.
---@param ids {cluster_id: string?, id: string?}
function M.sync(w, p, i, ids)
  for n, claim in ipairs(M.of(w, i)) do
    local volume = i.spec.volumes[n]
    if not claim then
      p:apply(M.build(i, volume, {}))
    elseif claim.deleting then
      return p:wait("Terminating", "claim %s is still being deleted", claim.name)
    else
      local owner = (claim.annotations or {})[kube.annotation.owner_uid]
      if owner ~= i.object.metadata.uid then
        local reason, why = M.foreign(w, i, claim)
        if reason then return p:wait(reason, "claim %s: %s", claim.name, why) end
        -- taking a disk over is an action of its own; the rest follows when it is ours
        p:patch_meta(kube.ref("PersistentVolumeClaim", claim),
          { annotations = { [kube.annotation.owner_uid] = i.object.metadata.uid } })
      else
        local want = M.build(i, volume, ids)
        local labels = kube.missing(claim.labels, want.metadata.labels)
        want.metadata.annotations[kube.annotation.former_stores] = M.former(claim, i, ids)
        local annotations = kube.missing(claim.annotations, want.metadata.annotations)
        if labels or annotations then
          p:patch_meta(kube.ref("PersistentVolumeClaim", claim), { labels = labels, annotations = annotations })
        end
      end
    end
  end
end

-- A disk that is bound when its pod is placed: such a pod can be made together with its claim. Any other
-- would only be tried in vain by the scheduler, and wait longer for the next try.
local function binds_late(w, class)
  for _, c in ipairs(w.classes or {}) do
    if c.name == class or not class and c.default == "true" then return c.binding == "WaitForFirstConsumer" end
  end
  return false
end

---A pod mounts only claims that are ours: seen to be, or made earlier in this very plan.
---@return string? name of the first claim that is not
function M.not_ready(w, p, i)
  local made = {}
  for _, a in ipairs(p.actions) do
    local o = a.action == "apply" and a.object
    if o and o.kind == "PersistentVolumeClaim" and not o.metadata.uid then made[o.metadata.name] = true end
  end
  for n, claim in ipairs(M.of(w, i)) do
    local name = kube.claim_name(i.spec.volumes[n].name, i.pod)
    local owner = claim and (claim.annotations or {})[kube.annotation.owner_uid]
    local together = made[name] and not claim and binds_late(w, i.spec.volumes[n].storageClassName)
    if owner ~= i.object.metadata.uid and not together then return name end
  end
end

---What becomes of the claims when their owner is deleted with its Cluster.
function M.when_deleted(w)
  local own = w.group and w.group.retention or {}
  local all = w.cluster and w.cluster.retention or {}
  return own.whenDeleted or all.whenDeleted or "Retain"
end

---Claims that carry our uid: those alone may be deleted.
function M.owned(w, i)
  local out = {}
  for _, c in ipairs(w.claims or {}) do
    if (c.annotations or {})[kube.annotation.owner_uid] == i.object.metadata.uid then out[#out + 1] = c end
  end
  return out
end

---For status: what people look for when a disk is the trouble.
function M.report(w, i)
  local out = {}
  for n, claim in ipairs(M.of(w, i)) do
    local v = i.spec.volumes[n]
    local has = claim or {} -- false where there is none
    out[n] = { name = v.name, claim = kube.claim_name(v.name, i.pod), volume = has.volume,
      capacity = has.capacity, phase = has.phase }
  end
  return json.array(out)
end

return M
