--- volumes: provisions and binds claims, grows them, and deletes released volumes.
-- One default StorageClass "standard" that expands. A claim with an unknown class stays Pending.
local runtime = require "sim.runtime"

local M = { provision_ms = 50 }
local classes = {}

local function set_phase(claim, phase, more)
  local status = { phase = phase }
  for k, v in pairs(more or {}) do status[k] = v end
  sim.request("PATCH", ("/api/v1/namespaces/%s/persistentvolumeclaims/%s/status"):format(claim.metadata.namespace,
    claim.metadata.name), { status = status })
end

local function class_of(claim)
  local name = claim.spec.storageClassName
  if name then return classes[name], name end
  for n, c in sim.pairs(classes) do
    local a = c.metadata.annotations or {}
    if a["storageclass.kubernetes.io/is-default-class"] == "true" then return c, n end
  end
end

local function provision(claim)
  local class, class_name = class_of(claim)
  if not class then return end
  local name = "pv-" .. claim.metadata.uid:sub(1, 13)
  local size = claim.spec.resources.requests.storage
  sim.request("POST", "/api/v1/persistentvolumes", { apiVersion = "v1", kind = "PersistentVolume",
    metadata = { name = name }, spec = {
      capacity = { storage = size }, accessModes = claim.spec.accessModes,
      persistentVolumeReclaimPolicy = class.reclaimPolicy or "Delete", storageClassName = class_name,
      csi = { driver = "sim.tikv.org", volumeHandle = name },
      claimRef = { apiVersion = "v1", kind = "PersistentVolumeClaim", namespace = claim.metadata.namespace,
        name = claim.metadata.name, uid = claim.metadata.uid } } })
  sim.request("PATCH", "/api/v1/persistentvolumes/" .. name .. "/status", { status = { phase = "Bound" } })
  sim.request("PATCH", ("/api/v1/namespaces/%s/persistentvolumeclaims/%s"):format(claim.metadata.namespace,
    claim.metadata.name), { metadata = { uid = claim.metadata.uid },
    spec = { volumeName = name, storageClassName = class_name } })
  set_phase(claim, "Bound", { capacity = { storage = size }, accessModes = claim.spec.accessModes })
end

local function on_claim(event, claim)
  if event == "DELETED" then
    local name = claim.spec.volumeName
    if name then
      sim.after(M.provision_ms, function()
        local status, pv = sim.request("GET", "/api/v1/persistentvolumes/" .. name)
        if status ~= 200 then return end
        if pv.spec.persistentVolumeReclaimPolicy == "Delete" then
          sim.request("DELETE", "/api/v1/persistentvolumes/" .. name)
          runtime.disks[claim.metadata.uid] = nil
        else
          sim.request("PATCH", "/api/v1/persistentvolumes/" .. name .. "/status", { status = { phase = "Released" } })
        end
      end)
    end
    return
  end
  if claim.metadata.deletionTimestamp then return end
  if not claim.spec.volumeName then
    if not (claim.status and claim.status.phase == "Pending") then set_phase(claim, "Pending") end
    sim.after(M.provision_ms * sim.choose(3, "volumes.provision"), function()
      local status, now = sim.request("GET", ("/api/v1/namespaces/%s/persistentvolumeclaims/%s"):format(
        claim.metadata.namespace, claim.metadata.name))
      if status == 200 and now.metadata.uid == claim.metadata.uid and not now.spec.volumeName then provision(now) end
    end)
  else
    local wanted = claim.spec.resources.requests.storage
    local has = claim.status and claim.status.capacity and claim.status.capacity.storage
    if has and has ~= wanted then
      sim.request("PATCH", "/api/v1/persistentvolumes/" .. claim.spec.volumeName,
        { spec = { capacity = { storage = wanted } } })
      set_phase(claim, "Bound", { capacity = { storage = wanted } })
    end
  end
end

function M.start()
  sim.request("POST", "/apis/storage.k8s.io/v1/storageclasses", { apiVersion = "storage.k8s.io/v1", kind = "StorageClass",
    metadata = { name = "standard", annotations = { ["storageclass.kubernetes.io/is-default-class"] = "true" } },
    provisioner = "sim.tikv.org", reclaimPolicy = "Delete", allowVolumeExpansion = true,
    volumeBindingMode = "Immediate" })
  sim.watch("/apis/storage.k8s.io/v1/storageclasses", function(event, class)
    classes[class.metadata.name] = event ~= "DELETED" and class or nil
  end)
  sim.watch("/api/v1/persistentvolumeclaims", on_claim)
end

return M
