--- scheduler: binds pods to nodes: selectors, taints, bound volumes, then the least loaded node.
-- Enough of kube-scheduler for what the operator reads: a node name, or a PodScheduled condition
-- that is False with the reason Unschedulable and a message of the usual form.
local M = {}
local nodes = {}   -- by name
local waiting = {} -- pods without a node, by uid
local load = {}    -- node name -> pod count
local where = {}   -- pod uid -> node name
local timer

local function tolerates(pod, taint)
  for _, t in ipairs(pod.spec.tolerations or {}) do
    local key = t.key == nil or t.key == taint.key
    local value = t.operator == "Exists" or t.value == taint.value
    local effect = t.effect == nil or t.effect == taint.effect
    if key and value and effect then return true end
  end
  return false
end

local function refused(pod, node)
  if node.spec and node.spec.unschedulable then return "were unschedulable" end
  for _, t in ipairs(node.spec and node.spec.taints or {}) do
    if t.effect ~= "PreferNoSchedule" and not tolerates(pod, t) then
      return ("had untolerated taint {%s: %s}"):format(t.key, t.value or "")
    end
  end
  local ready = false
  for _, c in ipairs(node.status and node.status.conditions or {}) do
    if c.type == "Ready" then ready = c.status == "True" end
  end
  if not ready then return "had untolerated taint {node.kubernetes.io/unreachable: }" end
  for k, v in pairs(pod.spec.nodeSelector or {}) do
    if (node.metadata.labels or {})[k] ~= v then return "didn't match Pod's node affinity/selector" end
  end
end

--- Pods of the same group are spread over nodes; the name decides ties.
local function pick(pod)
  local best, why = nil, {}
  local group = (pod.metadata.labels or {})["core.tikv.org/group"] or ""
  for name, node in sim.pairs(nodes) do
    local no = refused(pod, node)
    if no then
      why[no] = (why[no] or 0) + 1
    else
      local cost = (load[name .. "/" .. group] or 0) * 1000 + (load[name] or 0)
      if not best or cost < best.cost then best = { name = name, cost = cost } end
    end
  end
  if best then return best.name end
  local parts, total = {}, 0
  for text, n in sim.pairs(why) do
    parts[#parts + 1] = ("%d node(s) %s"):format(n, text)
    total = total + n
  end
  return nil, ("0/%d nodes are available: %s."):format(total, table.concat(parts, ", "))
end

local function count(pod, node, by)
  local group = (pod.metadata.labels or {})["core.tikv.org/group"] or ""
  load[node] = (load[node] or 0) + by
  load[node .. "/" .. group] = (load[node .. "/" .. group] or 0) + by
end

local function unschedulable(pod, message)
  for _, c in ipairs(pod.status and pod.status.conditions or {}) do
    if c.type == "PodScheduled" and c.message == message then return end
  end
  local now = sim.wall()
  sim.request("PATCH", ("/api/v1/namespaces/%s/pods/%s/status"):format(pod.metadata.namespace, pod.metadata.name),
    { status = { phase = "Pending", conditions = sim.array { { type = "PodScheduled", status = "False",
      reason = "Unschedulable", message = message, lastTransitionTime = now } } } })
end

local function bind(pod, node)
  local now = sim.wall()
  local base = ("/api/v1/namespaces/%s/pods/%s"):format(pod.metadata.namespace, pod.metadata.name)
  local status = sim.request("POST", base .. "/binding", { apiVersion = "v1", kind = "Binding",
    metadata = { name = pod.metadata.name }, target = { apiVersion = "v1", kind = "Node", name = node } })
  if status >= 300 then return end
  where[pod.metadata.uid] = node
  count(pod, node, 1)
  sim.request("PATCH", base .. "/status", { status = { phase = "Pending", conditions = sim.array {
    { type = "PodScheduled", status = "True", lastTransitionTime = now } } } })
end

local function pass()
  timer = nil
  for uid, pod in sim.pairs(waiting) do
    local node, why = pick(pod)
    if node then
      waiting[uid] = nil
      bind(pod, node)
    else
      unschedulable(pod, why)
    end
  end
end

local function soon()
  if not timer then timer = sim.after(10 * sim.choose(3, "scheduler.delay"), pass) end
end

function M.start()
  sim.watch("/api/v1/nodes", function(event, node)
    nodes[node.metadata.name] = event ~= "DELETED" and node or nil
    soon()
  end)
  sim.watch("/api/v1/pods", function(event, pod)
    local uid = pod.metadata.uid
    if event == "DELETED" then
      waiting[uid] = nil
      if where[uid] then count(pod, where[uid], -1) end
      where[uid] = nil
    elseif pod.spec.nodeName then
      waiting[uid] = nil
      if not where[uid] then
        where[uid] = pod.spec.nodeName
        count(pod, pod.spec.nodeName, 1)
      end
    elseif not pod.metadata.deletionTimestamp then
      waiting[uid] = pod
      soon()
    end
  end)
end

return M
