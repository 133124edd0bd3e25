--- runtime: starts and stops the simulated programs (PD, TiKV) of pods, and keeps their disks.
-- A program is registered under the name of its container. The kubelet starts it when the pod's
-- containers run; `attach` does so for pods that another kubelet (kwok) runs. A disk is a table that
-- outlives pods: it is found by the uid of the claim, so a claim made again is an empty disk.
local M = {
  programs = {}, ---@type table<string, { start: fun(p: sim.Start): sim.Process }>
  disks = {},    ---@type table<string, table> by claim uid
  running = {},  ---@type table<string, sim.Process> by pod uid
}

---@class sim.Start
---@field pod table      the Pod
---@field config string  text of config.toml from the mounted ConfigMap, "" when there is none
---@field disk table     what the program stored, kept with the claim
---@field node table|nil the Node

---@class sim.Process
---@field ready fun(): boolean        the readiness probe
---@field stop fun(graceful: boolean) SIGTERM and its end, or SIGKILL

--- Say what runs in containers of this name.
function M.program(container, program)
  M.programs[container] = program
end

local function get(path)
  local status, body = sim.request("GET", path)
  return status == 200 and body or nil
end

local function config_of(pod)
  for _, v in ipairs(pod.spec.volumes or {}) do
    if v.configMap then
      local map = get(("/api/v1/namespaces/%s/configmaps/%s"):format(pod.metadata.namespace, v.configMap.name))
      if map and map.data and map.data["config.toml"] then return map.data["config.toml"] end
    end
  end
  return ""
end

--- The claim that holds the program's files: the volume called data.
local function data_claim(pod)
  for _, v in ipairs(pod.spec.volumes or {}) do
    if v.persistentVolumeClaim and v.persistentVolumeClaim.claimName:find("^data%-") then
      return get(("/api/v1/namespaces/%s/persistentvolumeclaims/%s"):format(pod.metadata.namespace,
        v.persistentVolumeClaim.claimName))
    end
  end
end

--- Is everything there that the pod mounts? Returns the first thing that is missing.
function M.missing(pod)
  local ns = pod.metadata.namespace
  for _, v in ipairs(pod.spec.volumes or {}) do
    if v.configMap and not get(("/api/v1/namespaces/%s/configmaps/%s"):format(ns, v.configMap.name)) then
      return "configmap " .. v.configMap.name
    elseif v.secret and not v.secret.optional
      and not get(("/api/v1/namespaces/%s/secrets/%s"):format(ns, v.secret.secretName)) then
      return "secret " .. v.secret.secretName
    elseif v.persistentVolumeClaim then
      local name = v.persistentVolumeClaim.claimName
      local claim = get(("/api/v1/namespaces/%s/persistentvolumeclaims/%s"):format(ns, name))
      if not claim or not claim.status or claim.status.phase ~= "Bound" then return "claim " .. name end
    end
  end
end

--- What a template says that no program takes.
M.BROKEN = "refused-at-start"

--- A config file that somebody emptied, or that the program refuses: it ends at once and is started again,
--- with the file as it is then.
local function crash_loop(pod)
  local uid = pod.metadata.uid
  local waiting = { ready = function() return false end, stop = function() end }
  M.running[uid] = waiting
  sim.after(2000, function()
    if M.running[uid] ~= waiting then return end
    M.running[uid] = nil
    M.start(pod)
  end)
end

--- Start the programs of a pod. Starting twice is nothing.
function M.start(pod)
  local uid = pod.metadata.uid
  if M.running[uid] then return end
  for _, c in ipairs(pod.spec.containers) do
    local program = M.programs[c.name]
    if program then
      local claim = data_claim(pod)
      local key = claim and claim.metadata.uid or uid
      M.disks[key] = M.disks[key] or {}
      local config = config_of(pod)
      if not config:find("advertise-", 1, true) or config:find(M.BROKEN, 1, true) then return crash_loop(pod) end
      M.running[uid] = program.start {
        pod = pod, config = config, disk = M.disks[key],
        node = pod.spec.nodeName and get("/api/v1/nodes/" .. pod.spec.nodeName),
      }
      return
    end
  end
end

function M.stop(uid, graceful)
  local p = M.running[uid]
  M.running[uid] = nil
  if p then p.stop(graceful) end
end

--- True when the pod has no simulated program, or its program is ready.
function M.ready(uid)
  local p = M.running[uid]
  return p == nil or p.ready()
end

return M
