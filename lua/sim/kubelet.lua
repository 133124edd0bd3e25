--- kubelet: runs the pods of all simulated nodes: start, readiness, stop, node crash and return.
-- A pod starts when everything it mounts is there; it is Ready when its program says so; it goes
-- when it is deleted and its program has stopped. A crashed node does nothing: its programs are dead, its
-- pods stay in the API, and are called not ready when the node is.
local runtime = require "sim.runtime"

local M = {
  start_ms = 300, -- from scheduled to running, when nothing is missing
  stop_ms = 300,  -- from SIGTERM to gone
  poll_ms = 200,  -- of what is missing and of readiness
}
local pods = {}    -- by uid: { pod, state, cancel }
local down = {}    -- names of crashed nodes
local next_ip = 1

local function path(pod)
  return ("/api/v1/namespaces/%s/pods/%s"):format(pod.metadata.namespace, pod.metadata.name)
end

local function condition(kind, status, reason)
  local now = sim.wall()
  return { type = kind, status = status, lastTransitionTime = now, reason = reason }
end

local function containers(list, state, ready)
  local out = sim.array {}
  for i, c in ipairs(list or {}) do
    out[i] = { name = c.name, image = c.image, imageID = c.image, ready = ready, started = ready,
      restartCount = 0, state = state }
  end
  return out
end

local function report(entry, status)
  local code = sim.request("PATCH", path(entry.pod) .. "/status",
    { metadata = { uid = entry.pod.metadata.uid }, status = status })
  return code == 200
end

local function alive(entry)
  return pods[entry.pod.metadata.uid] == entry and not down[entry.pod.spec.nodeName]
end

local function again(entry, ms, fn)
  if entry.cancel then entry.cancel() end
  entry.cancel = sim.after(ms, function()
    entry.cancel = nil
    if alive(entry) then fn(entry) end
  end)
end

local function set_ready(entry, ready)
  if entry.ready == ready then return end
  entry.ready = ready
  local now = sim.wall()
  local word = ready and "True" or "False"
  report(entry, {
    conditions = sim.array {
      condition("PodScheduled", "True"), condition("Initialized", "True"),
      condition("ContainersReady", word, not ready and "ContainersNotReady" or nil),
      condition("Ready", word, not ready and "ContainersNotReady" or nil),
    },
    containerStatuses = containers(entry.pod.spec.containers, { running = { startedAt = entry.started or now } }, ready),
  })
end

-- A pod that is to end, ends: after a second, well, unless its annotations say otherwise.
local function finish(entry)
  local said = entry.pod.metadata.annotations or {}
  local code = tonumber(said["playground.tikv.org/exit-code"]) or 0
  report(entry, { phase = code == 0 and "Succeeded" or "Failed",
    conditions = sim.array { condition("PodScheduled", "True"), condition("Initialized", "True"),
      condition("ContainersReady", "False", "PodCompleted"), condition("Ready", "False", "PodCompleted") },
    containerStatuses = containers(entry.pod.spec.containers, { terminated = { exitCode = code,
      reason = code == 0 and "Completed" or "Error", message = said["playground.tikv.org/message"],
      startedAt = entry.started, finishedAt = sim.wall() } }, false) })
end

local function watch_ready(entry)
  set_ready(entry, runtime.ready(entry.pod.metadata.uid))
  again(entry, M.poll_ms * (entry.ready and 5 or 1), watch_ready)
end

local function run(entry)
  local pod = entry.pod
  local missing = runtime.missing(pod)
  if missing then
    if entry.missing ~= missing then
      entry.missing = missing
      report(entry, { phase = "Pending", conditions = sim.array { condition("PodScheduled", "True"),
        condition("Ready", "False", "ContainersNotReady") },
        containerStatuses = containers(pod.spec.containers, { waiting = { reason = "ContainerCreating",
          message = missing .. " is missing" } }, false) })
    end
    return again(entry, M.poll_ms, run)
  end
  entry.started = sim.wall()
  next_ip = next_ip + 1
  local done = { terminated = { exitCode = 0, reason = "Completed", startedAt = entry.started, finishedAt = entry.started } }
  local ip = ("10.1.%d.%d"):format(math.floor(next_ip / 250) % 250, next_ip % 250 + 1)
  report(entry, { phase = "Running", startTime = entry.started, hostIP = "10.0.0.1", podIP = ip,
    podIPs = sim.array { { ip = ip } },
    conditions = sim.array { condition("PodScheduled", "True"), condition("Initialized", "True"),
      condition("Ready", "False", "ContainersNotReady") },
    initContainerStatuses = containers(pod.spec.initContainers, done, true),
    containerStatuses = containers(pod.spec.containers, { running = { startedAt = entry.started } }, false) })
  if pod.spec.restartPolicy ~= "Always" then
    local seconds = tonumber((pod.metadata.annotations or {})["playground.tikv.org/seconds"]) or 1
    return again(entry, seconds * 1000, finish)
  end
  runtime.start(pod)
  entry.ready = false
  watch_ready(entry)
end

local function stop(entry)
  if entry.stopping then return end
  entry.stopping = true
  set_ready(entry, false)
  runtime.stop(entry.pod.metadata.uid, true)
  again(entry, M.stop_ms * sim.choose(3, "kubelet.stop"), function()
    local pod = entry.pod
    sim.request("DELETE", path(pod), { kind = "DeleteOptions", apiVersion = "v1", gracePeriodSeconds = 0,
      preconditions = { uid = pod.metadata.uid } })
  end)
end

local function forget(uid)
  local entry = pods[uid]
  pods[uid] = nil
  if entry and entry.cancel then entry.cancel() end
  runtime.stop(uid, false)
end

local function on_pod(event, pod)
  local uid = pod.metadata.uid
  if event == "DELETED" then return forget(uid) end
  if not pod.spec.nodeName or down[pod.spec.nodeName] then return end
  local entry = pods[uid]
  if not entry then
    entry = { pod = pod }
    pods[uid] = entry
    if not pod.metadata.deletionTimestamp then
      again(entry, M.start_ms * sim.choose(3, "kubelet.start"), run)
    end
  end
  entry.pod = pod
  if pod.metadata.deletionTimestamp then stop(entry) end
end

local function node_ready(name, ready)
  sim.request("PATCH", ("/api/v1/nodes/%s/status"):format(name), { status = { conditions = sim.array {
    condition("Ready", ready and "True" or "Unknown", ready and "KubeletReady" or "NodeStatusUnknown") } } })
end

-- The node controller calls the pods of a silent node not ready.
local function pods_unready(name)
  for _, entry in sim.pairs(pods) do
    if entry.pod.spec.nodeName == name and entry.ready then
      report(entry, { conditions = sim.array { condition("PodScheduled", "True"), condition("Initialized", "True"),
        condition("ContainersReady", "True"), condition("Ready", "False", "NodeNotReady") } })
    end
  end
end

--- Power off: programs die at once, the API learns of it after a while.
---@param name string
function M.crash_node(name)
  down[name] = true
  for uid, entry in sim.pairs(pods) do
    if entry.pod.spec.nodeName == name then
      if entry.cancel then entry.cancel() end
      runtime.stop(uid, false)
    end
  end
  sim.after(40000, function()
    if not down[name] then return end
    node_ready(name, false)
    pods_unready(name)
  end)
end

--- Power on: the node is Ready again and its pods start anew.
function M.restore_node(name)
  down[name] = nil
  node_ready(name, true)
  local status, list = sim.request("GET", "/api/v1/pods")
  if status ~= 200 then return end
  for _, pod in ipairs(list.items) do
    if pod.spec.nodeName == name then
      pods[pod.metadata.uid] = nil
      on_pod("ADDED", pod)
    end
  end
end

--- The program of a pod is killed; it starts again.
function M.kill_pod(uid)
  local entry = pods[uid]
  if not entry or entry.stopping then return end
  runtime.stop(uid, false)
  entry.ready = nil
  set_ready(entry, false)
  again(entry, M.start_ms, function(e)
    runtime.start(e.pod)
    watch_ready(e)
  end)
end

function M.start(conf)
  conf = conf or {}
  M.start_ms, M.stop_ms = conf.start_ms or M.start_ms, conf.stop_ms or M.stop_ms
  sim.watch("/api/v1/pods", on_pod)
end

return M
