--- diagnosis: why a pod is not ready, in one sentence with what to look at. Where it has no node: lib/placing.
local placing = require "lib.placing"

local M = {}

---Seconds in which a start needs no explanation.
M.PATIENCE = 30
---Seconds in which volumes are mounted and a sandbox is made.
M.MOUNT = 120

local WAITING = { ErrImagePull = "ImageUnavailable", ImagePullBackOff = "ImageUnavailable",
  InvalidImageName = "ImageUnavailable", ErrImageNeverPull = "ImageUnavailable",
  CreateContainerConfigError = "ContainerConfig", CrashLoopBackOff = "CrashLoop" }

-- The last words of a container that ended.
local function ended(c)
  local t = c.lastState and c.lastState.terminated
  if not t then return "" end
  local words = t.message and t.message ~= "" and ": " .. t.message:sub(-300) or ""
  return (", ended %d times, last with %s (exit code %s)%s"):format(tonumber(c.restartCount) or 1,
    t.reason or "an error", tostring(t.exitCode), words)
end

local function waiting(list)
  for _, c in ipairs(list or {}) do
    local s = c.state and c.state.waiting
    if s and s.reason ~= "PodInitializing" and s.reason ~= "ContainerCreating" then
      return WAITING[s.reason] or "ContainerWaiting", ("container %s: %s%s%s"):format(c.name, s.reason or "waiting",
        s.message and s.reason ~= "CrashLoopBackOff" and ": " .. s.message or "", ended(c))
    end
  end
end

-- Nothing has started, and nothing says why: disks and network come before containers.
local function creating(list)
  for _, c in ipairs(list or {}) do
    local s = c.state and c.state.waiting
    if not s or s.reason ~= "ContainerCreating" and s.reason ~= "PodInitializing" then return false end
  end
  return list ~= nil and list[1] ~= nil
end

---@param i instance
---@return string reason
---@return string message
---@return number age of the pod in seconds
function M.pod(w, i, pod)
  local made = time.parse(pod.created or "")
  local age = made and w.now - made or 0
  if pod.scheduled ~= "True" and not pod.node then
    local reason, message = placing.pod(w, i, pod)
    return reason, message, age
  end
  local reason, stuck = waiting(pod.init)
  if not reason then reason, stuck = waiting(pod.containers) end
  if reason then return reason, stuck, age end
  if age > M.MOUNT and creating(pod.containers) then
    return "NotMounted", ("no container was made on %s in %d seconds"):format(pod.node or "its node", M.MOUNT), age
  end
  return "PodNotReady", ("runs on %s and is not ready"):format(pod.node or "its node"), age
end

return M
