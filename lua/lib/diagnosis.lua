--- diagnosis: why a pod is not ready, in one sentence with what to look at.
local M = {}

---Seconds in which a start needs no explanation.
M.PATIENCE = 30

local function waiting(list)
  for _, c in ipairs(list or {}) do
    local s = c.state and c.state.waiting
    if s and s.reason ~= "PodInitializing" and s.reason ~= "ContainerCreating" then
      return ("container %s: %s%s"):format(c.name, s.reason or "waiting", s.message and ": " .. s.message or "")
    end
  end
end

-- The scheduler appends what preemption tried; people need the first sentence.
local function placing(message)
  local cut = message:find(" preemption:", 1, true)
  return cut and message:sub(1, cut - 1) or message
end

---@return string reason
---@return string message
---@return number age of the pod in seconds
function M.pod(w, pod)
  local made = time.parse(pod.created or "")
  local age = made and w.now - made or 0
  if pod.scheduled ~= "True" and not pod.node then
    return "PodPending", pod.placing and placing(pod.placing) or "no scheduler has looked at it yet", age
  end
  local stuck = waiting(pod.init) or waiting(pod.containers)
  if stuck then return "ContainerWaiting", stuck, age end
  return "PodNotReady", ("runs on %s and is not ready"):format(pod.node or "its node"), age
end

return M
