--- overlay: the user's partial pod laid over ours, last; identity stays ours.
-- Scalars replace, also by false, 0 and "" (W-36); objects merge; lists with a key merge by it and
-- append what is new; other lists are replaced.
local kube = require "lib.kube"

local M = {}

local KEYS = {
  containers = { "name" }, initContainers = { "name" }, volumes = { "name" }, env = { "name" },
  imagePullSecrets = { "name" }, volumeMounts = { "mountPath" }, volumeDevices = { "devicePath" },
  ports = { "containerPort", "protocol" }, hostAliases = { "ip" },
  topologySpreadConstraints = { "topologyKey", "whenUnsatisfiable" }, resourceClaims = { "name" },
  schedulingGates = { "name" }, ephemeralContainers = { "name" },
}

local function key_of(item, keys)
  local out = {}
  for n, k in ipairs(keys) do
    out[n] = tostring(item[k] or (k == "protocol" and "TCP") or "")
  end
  return table.concat(out, "/")
end

local merge

local function merge_list(into, from, keys)
  local at = {}
  for n, item in ipairs(into) do at[key_of(item, keys)] = n end
  for _, item in ipairs(from) do
    local n = at[key_of(item, keys)]
    if n then merge(into[n], item) else into[#into + 1] = kube.clone(item) end
  end
end

-- A volume has exactly one source: another one replaces it instead of standing beside it.
local function replaces(k, from) return k == "volumes" and next(from) ~= nil end

merge = function(into, from)
  for k, v in pairs(from) do
    local mine = into[k]
    if type(v) ~= "table" or type(mine) ~= "table" or next(mine) == nil then
      if not (type(v) == "table" and next(v) == nil and mine ~= nil) then into[k] = kube.clone(v) end
    elseif KEYS[k] and (v[1] ~= nil or mine[1] ~= nil) then
      if replaces(k, v) then
        local names = {}
        for _, item in ipairs(v) do names[item.name] = true end
        local kept = {}
        for _, item in ipairs(mine) do
          if not names[item.name] then kept[#kept + 1] = item end
        end
        for _, item in ipairs(v) do kept[#kept + 1] = kube.clone(item) end
        into[k] = kept
      else
        merge_list(mine, v, KEYS[k])
      end
    elseif v[1] ~= nil or mine[1] ~= nil then
      into[k] = kube.clone(v)
    else
      merge(mine, v)
    end
  end
end

local function own_label(key) return text.starts(key, kube.GROUP .. "/") end

---@param pod table ours, changed in place
---@param overlay table? spec.overlay.pod
---@param topology table? keys that the scheduler must keep
function M.apply(pod, overlay, topology)
  if not overlay then return pod end
  local hostname, subdomain = pod.spec.hostname, pod.spec.subdomain
  merge(pod.spec, overlay.spec or {})
  pod.spec.hostname, pod.spec.subdomain = hostname, subdomain
  for k, v in pairs(topology or {}) do pod.spec.nodeSelector[k] = v end
  local meta = overlay.metadata or {}
  for k, v in pairs(meta.labels or {}) do
    if not own_label(k) and pod.metadata.labels[k] == nil then pod.metadata.labels[k] = v end
  end
  for k, v in pairs(meta.annotations or {}) do
    if not own_label(k) then pod.metadata.annotations[k] = v end
  end
  return pod
end

return M
