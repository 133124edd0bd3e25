--- attach: plays PD and TiKV for pods that another kubelet runs (kwok on a real API server).
-- The pods, claims and config maps of that server are mirrored here; a program runs while its pod is
-- Ready there. Nothing is written back.
local runtime = require "sim.runtime"

local M = {}

local function is_ready(pod)
  for _, c in ipairs(pod.status and pod.status.conditions or {}) do
    if c.type == "Ready" then return c.status == "True" end
  end
  return false
end

local function on_pod(event, pod)
  local uid = pod.metadata.uid
  if event == "DELETED" or pod.metadata.deletionTimestamp or not is_ready(pod) then
    runtime.stop(uid, event ~= "DELETED")
  elseif not runtime.running[uid] then
    runtime.start(pod)
  end
end

function M.start()
  sim.watch("/api/v1/pods", on_pod)
end

return M
