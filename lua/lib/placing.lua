--- placing: why no node takes a pod: read loosely from the scheduler's condition, then looked up in our own lists
-- of nodes, classes, claims and volumes, so that the answer names what has to change. The scheduler counts nodes
-- by the first test each failed; its texts are no API, and stay in the message.
local pvc = require "lib.pvc"

local M = {}

---Reasons found here. While status has one of them, the lists are asked for.
local FOUND = { PodPending = true }

---An instance whose status says so waits for a node.
function M.waits(reason) return FOUND[reason or ""] == true end

-- Lists ---------------------------------------------------------------------------------------------

---Asked for only while a pod waits for a node.
function M.needs(object, out)
  local s = object.status or {}
  if not M.waits(s.reason) and s.reason ~= "QuotaExceeded" then return end
  out[#out + 1] = { as = "nodes", kind = "Node", fields = { name = "metadata.name", labels = "metadata.labels",
    taints = "spec.taints", cordoned = "spec.unschedulable", ready = "status.conditions[type=Ready].status",
    since = "status.conditions[type=Ready].lastTransitionTime", cpu = "status.allocatable.cpu",
    memory = "status.allocatable.memory" } }
  out[#out + 1] = { as = "storage_classes", kind = "StorageClass", fields = { name = "metadata.name",
    provisioner = "provisioner", binding = "volumeBindingMode",
    default = "metadata.annotations.storageclass\\.kubernetes\\.io/is-default-class" } }
  out[#out + 1] = { as = "disks", kind = "PersistentVolume", fields = { name = "metadata.name",
    class = "spec.storageClassName", phase = "status.phase", size = "spec.capacity.storage",
    affinity = "spec.nodeAffinity.required.nodeSelectorTerms", claim = "spec.claimRef.name" } }
  out[#out + 1] = { as = "quotas", kind = "ResourceQuota",
    fields = { name = "metadata.name", hard = "status.hard", used = "status.used" } }
end

local function names(list, max)
  local out = {}
  for n, x in ipairs(list) do
    if n > (max or 5) then
      out[#out + 1] = ("and %d more"):format(#list - (max or 5))
      break
    end
    out[n] = x.name
  end
  return table.concat(out, ", ")
end

-- Claims and volumes ----------------------------------------------------------------------------------

local function class_of(w, claim)
  local default
  for _, c in ipairs(w.storage_classes or {}) do
    if c.name == claim.class then return c end
    if c.default == "true" then default = c end
  end
  return claim.class == nil and default or nil
end

---Which nodes a volume can be mounted on.
local function mountable(w, disk)
  local out = {}
  for _, n in ipairs(w.nodes or {}) do
    for _, term in ipairs(disk.affinity or {}) do
      local all = true
      for _, e in ipairs(term.matchExpressions or {}) do
        local have = (n.labels or {})[e.key]
        if e.operator == "In" then
          local hit = false
          for _, v in ipairs(e.values or {}) do hit = hit or v == have end
          all = all and hit
        end
      end
      for _, e in ipairs(term.matchFields or {}) do
        local hit = false
        for _, v in ipairs(e.values or {}) do hit = hit or v == n.name end
        all = all and (e.key ~= "metadata.name" or hit)
      end
      if all then
        out[#out + 1] = n
        break
      end
    end
  end
  return out
end

local function trouble_of(n)
  if n.ready ~= "True" then return ("is not ready since %s"):format(tostring(n.since)) end
  if n.cordoned then return "is cordoned" end
  for _, t in ipairs(n.taints or {}) do
    if t.effect ~= "PreferNoSchedule" then return ("has the taint %s=%s"):format(t.key, t.value or "") end
  end
end

local function disk_of(w, claim)
  for _, d in ipairs(w.disks or {}) do
    if d.name == claim.volume then return d end
  end
end

-- A disk on one node: the diagnosis of local volumes.
local function elsewhere(w, i)
  for _, c in ipairs(pvc.owned(w, i)) do
    local d = c.volume and disk_of(w, c)
    if d and d.affinity then
      local on = mountable(w, d)
      if not on[1] then
        return "VolumeNodeGone", ("volume %s of claim %s can be mounted on no node that there is"):format(d.name, c.name)
      end
      for _, n in ipairs(on) do
        local why = trouble_of(n)
        if why then
          return "VolumeElsewhere", ("volume %s of claim %s is on node %s, which %s"):format(d.name, c.name, n.name, why)
        end
      end
      return "VolumeElsewhere", ("volume %s of claim %s can be mounted only on %s, which does not take the pod"):format(
        d.name, c.name, names(on))
    end
  end
end

-- No provisioner makes disks of this class: which are there?
local function no_disk(w, claim, class)
  local all, free, small = 0, 0, 0
  for _, d in ipairs(w.disks or {}) do
    if d.class == class.name then
      all = all + 1
      if d.phase == "Available" and not d.claim then
        free = free + 1
        if claim.storage and quantity.compare(d.size or "0", claim.storage) == -1 then small = small + 1 end
      end
    end
  end
  return ("claim %s wants %s of class %s: %d volumes, %d free, %d of these too small"):format(claim.name,
    tostring(claim.storage), class.name, all, free, small)
end

---What is wrong with the claims of an instance, whether a pod is there or not.
---@return string? reason
---@return string? message
function M.claims(w, i)
  for _, c in ipairs(pvc.owned(w, i)) do
    if c.deleting then return "ClaimTerminating", ("claim %s is being deleted"):format(c.name) end
    if c.phase == "Lost" or c.volume and w.disks and not disk_of(w, c) then
      return "ClaimLost", ("the volume %s of claim %s is gone"):format(tostring(c.volume), c.name)
    end
    if not c.volume and w.storage_classes then
      local class = class_of(w, c)
      if not class and c.class and c.class ~= "" then
        return "StorageClassMissing", ("claim %s wants StorageClass %s, there are: %s"):format(c.name, c.class,
          names(w.storage_classes))
      elseif not class and c.class == nil then
        return "NoStorageClass", ("claim %s names no StorageClass and none is the default; there are: %s"):format(c.name,
          names(w.storage_classes))
      elseif class and class.provisioner == "kubernetes.io/no-provisioner" then
        return "NoVolume", no_disk(w, c, class)
      elseif class and class.binding ~= "WaitForFirstConsumer" then
        return "ProvisioningSlow", ("claim %s waits for a volume from %s (class %s)"):format(c.name, class.provisioner,
          class.name)
      end
    end
  end
end

-- Nodes -----------------------------------------------------------------------------------------------

local function largest(w, field)
  local best
  for _, n in ipairs(w.nodes or {}) do
    if n[field] and (not best or quantity.compare(n[field], best[field]) == 1) then best = n end
  end
  return best
end

local function short_of(what, field)
  return function(w, i)
    local wants = i.spec.resources and i.spec.resources[field]
    local n = wants and largest(w, field)
    if not n then return "no node has enough free " .. what end
    if quantity.compare(wants, n[field]) == 1 then
      return ("it needs %s of %s, the largest node %s has %s in all"):format(tostring(wants), what, n.name, n[field])
    end
    return ("it needs %s of %s, no node has that free; the largest, %s, has %s in all"):format(tostring(wants), what,
      n.name, n[field])
  end
end

local function cordoned(w)
  local list = {}
  for _, n in ipairs(w.nodes or {}) do if n.cordoned then list[#list + 1] = n end end
  if list[1] then return "cordoned: " .. names(list) end
end

local function tainted(_, _, placing)
  local taint = placing:match "taint %{([^}]*)%}"
  return taint and ("nodes have a taint that it does not tolerate: %s"):format(taint) or "taints keep it off all nodes"
end

local function selector(w, i)
  for key, value in pairs(i.spec.topology or {}) do
    local there = false
    for _, n in ipairs(w.nodes or {}) do there = there or (n.labels or {})[key] == value end
    if w.nodes and not there then return ("no node has the label %s=%s"):format(key, value) end
  end
end

-- The first that matches counts: what concerns its own disk is the narrowest, then what a node lacks.
local TABLE = {
  { "persistentvolumeclaim \"[^\"]*\" not found", "ClaimMissing" },
  { "persistentvolumeclaim \"[^\"]*\" is being deleted", "ClaimTerminating" },
  { "non%-existent p", "ClaimLost" },
  { "unbound immediate", "ClaimUnbound" },
  { "find available persistent volumes", "NoVolume" },
  { "enough free storage", "NoVolume" },
  { "volume node affinity", "VolumeElsewhere", elsewhere },
  { "no available volume zone", "ZoneMismatch" },
  { "max volume count", "AttachLimit" },
  { "no available disk", "VolumeInUse" },
  { "ReadWriteOncePod", "VolumeInUse" },
  { "[Ii]nsufficient cpu", "InsufficientCPU", short_of("CPU", "cpu") },
  { "[Ii]nsufficient memory", "InsufficientMemory", short_of("memory", "memory") },
  { "[Ii]nsufficient ephemeral", "InsufficientStorage" },
  { "[Ii]nsufficient ", "InsufficientResource" },
  { "Too many pods", "TooManyPods" },
  { "anti%-affinity", "AntiAffinity" },
  { "topology spread", "TopologySpread" },
  { "affinity", "AffinityMismatch", selector },
  { "untolerated taint", "TaintNotTolerated", tainted },
  { "didn't tolerate", "TaintNotTolerated", tainted },
  { "unschedulable", "NodesCordoned", cordoned },
  { "free ports", "HostPortTaken" },
  { "requested node name", "AffinityMismatch" },
  { "scheduling gates", "SchedulingGated" },
  { "preemption for this pod", "PreemptionPending" },
  { "no nodes available to schedule", "NoNodes" },
}
for _, row in ipairs(TABLE) do FOUND[row[2]] = true end
for _, reason in ipairs { "ClaimLost", "NoStorageClass", "StorageClassMissing", "ProvisioningSlow", "VolumeNodeGone",
  "NoScheduler" } do
  FOUND[reason] = true
end

-- The scheduler appends what preemption tried; people need the first sentence.
local function first_sentence(message)
  local cut = message:find(" preemption:", 1, true)
  return cut and message:sub(1, cut - 1) or message
end

---@param pod world.pod one that has no node yet
---@return string reason
---@return string message
function M.pod(w, i, pod)
  local placing = pod.placing and first_sentence(pod.placing)
  if not placing then return "NoScheduler", "no scheduler has looked at it yet" end
  for _, row in ipairs(TABLE) do
    if placing:find(row[1]) then
      local reason, own = row[2], nil
      if row[3] then
        local a, b = row[3](w, i, placing)
        if b then reason, own = a, b else own = a end
      end
      if reason:find "^Claim" or reason == "NoVolume" then
        local of_claim, why = M.claims(w, i)
        if of_claim then reason, own = of_claim, why end
      end
      return reason, own and ("%s (scheduler: %s)"):format(own, placing) or placing
    end
  end
  return "PodPending", placing
end

---Why the API server refused to make an object: the last pass's failure in words.
---@return string? reason
---@return string? message
function M.refused(w)
  local failed = w.last and w.last.failed
  local message = failed and tostring(failed.message or "")
  if not message or message == "" then return end
  if message:find "exceeded quota" then
    local quota, what = message:match "exceeded quota: ([^,]+), requested: ([^ ,\"]+)"
    for _, q in ipairs(w.quotas or {}) do
      local resource = what and what:match "^([^=]+)"
      if q.name == quota and q.hard and q.hard[resource] then
        return "QuotaExceeded", ("quota %s: %s of %s %s is used, %s more is wanted"):format(quota,
          q.used and q.used[resource] or "?", q.hard[resource], resource, what:match "=(.*)$" or "?")
      end
    end
    return "QuotaExceeded", message
  end
  if message:find "violates PodSecurity" or message:find "admission webhook" or message:find "LimitRange"
    or message:find "maximum .* usage per" or message:find "minimum .* usage per" or message:find "priority class"
    or message:find "service account" or message:find "serviceaccount" then
    return "PodRefused", message
  end
end

return M
