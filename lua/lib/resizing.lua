--- resizing: claims that grow or change their attributes in place, and how far they are.
-- What no claim can do in place (a smaller size, another class) is told here; lib/moving replaces the instance.
local kube = require "lib.kube"
local pvc = require "lib.pvc"

local M = {}

local OFFLINE_AFTER = 300 -- seconds; a driver that grows while mounted is done by then
local AGAIN = 600

local function condition(claim, type)
  for _, c in ipairs(claim.conditions or {}) do
    if c.type == type and c.status == "True" then return c end
  end
end

---A claim has another size or class than its volume asks for, which nothing can change in place.
---@param volume {storage: string, storageClassName: string?}
---@param claim {storage: string?, class: string?}
---@return string? reason
---@return string? message
function M.unfit(volume, claim)
  if claim.storage and quantity.compare(volume.storage, claim.storage) == -1 then
    return "VolumeShrink", ("%s has %s, %s is asked for"):format(claim.name, claim.storage,
      tostring(volume.storage))
  end
  local class = volume.storageClassName
  if class and class ~= (claim.class or "") then
    return "VolumeClassFixed", ("%s has class %s, %s is asked for"):format(claim.name,
      (claim.class or "") ~= "" and claim.class or "none", class ~= "" and class or "none")
  end
end

-- A class that is known and does not grow would make the API server refuse; an unknown one is asked.
local function expands(w, claim)
  if not w.classes then return true end
  for _, c in ipairs(w.classes) do
    if c.name == claim.class then return c.expands == true end
  end
  return false
end

local function refused(w, claim)
  local f = w.last and w.last.failed
  return f and f.action == "apply" and f.message:find(claim.name, 1, true) and f.message or nil
end

-- The claim as it is, with what may change in place.
local function wish(i, volume, claim, attributes)
  local l = claim.labels or {}
  local o = pvc.build(i, volume, { cluster_id = l[kube.label.cluster_id],
    id = l[kube.label[i.component == "pd" and "member_id" or "store_id"]] })
  local grows = claim.storage and quantity.compare(volume.storage, claim.storage) == 1
  o.metadata.uid = claim.uid
  if attributes then o.metadata.annotations[kube.annotation.attributes] = attributes end
  o.spec = { accessModes = claim.modes, storageClassName = claim.class,
    volumeAttributesClassName = attributes or claim.attributes,
    resources = { requests = { storage = grows and volume.storage or claim.storage } } }
  return o
end

---@class resizing.state
---@field apply table? the claim to be sent
---@field reason string? what there is to tell
---@field message string?
---@field age number? seconds that a file system has waited for its node

local function tell(reason, fmt, ...) return { reason = reason, message = fmt:format(...) } end

-- How far a claim is that has been asked to grow. Nil: it has what was asked for.
local function growing(w, claim)
  if not claim.capacity or quantity.compare(claim.capacity, claim.storage) ~= -1 then return end
  local failed = condition(claim, "ControllerResizeError") or condition(claim, "NodeResizeError")
  if failed or (claim.growth or ""):find("Infeasible", 1, true) then
    return tell("VolumeResizeFailed", "%s: %s to %s: %s", claim.name, claim.capacity, claim.storage,
      failed and failed.message or claim.growth)
  end
  local waits = condition(claim, "FileSystemResizePending")
  if waits then
    local since = time.parse(waits.lastTransitionTime or "")
    local out = tell("VolumeFileSystemPending", "%s: the disk has %s, its file system grows when the node sees it",
      claim.name, claim.storage)
    out.age = since and w.now - since or 0
    return out
  end
  return tell("VolumeResizing", "%s: %s to %s%s", claim.name, claim.capacity, claim.storage,
    condition(claim, "Resizing") and ", the driver is at work" or "")
end

local function modifying(claim, wanted)
  if not wanted or claim.attributes_now == wanted then return end
  local failed = condition(claim, "ModifyVolumeError")
  if failed then
    return tell("VolumeModifyFailed", "%s: attributes class %s: %s", claim.name, wanted, failed.message or "")
  end
  if claim.attributes == wanted then
    return tell("VolumeModifying", "%s gets attributes class %s", claim.name, wanted)
  end
  return tell("VolumeAttributesUnsupported", "%s: the API server does not keep attributes class %s", claim.name, wanted)
end

-- What is to be done, or told, of one claim.
local function state(w, i, volume, claim)
  local no = refused(w, claim)
  if no then return tell("VolumeResizeFailed", "%s", no) end
  local grows = quantity.compare(volume.storage, claim.storage) == 1
  if grows and not expands(w, claim) then
    return tell("VolumeExpansionUnsupported", "%s: class %s can not grow from %s to %s", claim.name,
      (claim.class or "") ~= "" and claim.class or "none", claim.storage, tostring(volume.storage))
  end
  local attributes = kube.has_feature(i.features, "VolumeAttributesClass") and volume.volumeAttributesClassName or nil
  local asked = (claim.annotations or {})[kube.annotation.attributes]
  if grows or attributes and claim.attributes ~= attributes and asked ~= attributes then
    return { apply = wish(i, volume, claim, attributes) }
  end
  return growing(w, claim) or modifying(claim, attributes)
end

-- Of each claim that is bound and ours.
local function each(w, i)
  local out = {}
  for n, claim in ipairs(pvc.of(w, i)) do
    if claim and claim.volume and not claim.deleting
      and (claim.annotations or {})[kube.annotation.owner_uid] == i.object.metadata.uid then
      local reason, why = M.unfit(pvc.wish(i.spec, i.spec.volumes[n]), claim)
      if reason then out[#out + 1] = { reason = reason, message = why } end
      out[#out + 1] = state(w, i, i.spec.volumes[n], claim)
    end
  end
  return out
end

-- A file system that waits for a restart gets one, once, through all gates of a planned restart.
local function restart(w, p, i, age)
  local asked = (i.object.metadata.annotations or {})[kube.annotation.restart]
  local at = asked and time.parse(asked)
  if age < OFFLINE_AFTER or not w.pod or at and w.now - at < age then return end
  p:patch_meta(kube.ref(i.object.kind, i.object), { annotations = { [kube.annotation.restart] = time.format(w.now) } })
  p:event("Normal", "VolumeNeedsRestart", "the file system of a volume of %s grows at its next start", i.name)
end

---Step, after the pod's: claims grow and change their attributes.
---@param i instance
function M.step(w, p, i)
  for _, s in ipairs(each(w, i)) do
    if s.apply then p:apply(s.apply) end
    if s.age then restart(w, p, i, s.age) end
  end
end

---Step, the last: how far they are, and what they can not do.
function M.told(w, p, i)
  for _, s in ipairs(each(w, i)) do
    if s.age then return p:retry(math.max(OFFLINE_AFTER - s.age, 10), s.reason, "%s", s.message) end
    if s.reason == "VolumeResizeFailed" then return p:retry(AGAIN, s.reason, "%s", s.message) end
    if s.reason then return p:wait(s.reason, "%s", s.message) end
  end
end

return M
