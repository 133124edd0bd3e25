--- hooks: Jobs around scaling, upgrades and failover. A gate is shut while its Job runs.
-- The name of a Job comes from hook and key, so one operation runs it once, whatever happens to the
-- operator. The newest Job of a hook is kept for its word; the next run takes it away. To run one again,
-- a person deletes its Job.
--
-- Two ways to use it. With a key that never comes twice: `gate`. For an operation with an end: `begin` before
-- its first step, `finish` when it is over; in between its key stands in an annotation of the group.
local kube = require "lib.kube"
local questions = require "lib.questions"

local M = {}

---@alias hook "beforeScaleOut"|"afterScaleOut"|"beforeScaleIn"|"afterScaleIn"|"beforeUpgrade"|"afterUpgrade"|"beforeFailover"|"afterFailover"
---@alias operation "ScaleOut"|"ScaleIn"|"Upgrade"|"Failover"

local TIMEOUT = 600
local RUNNING, SUCCEEDED, FAILED = "Running", "Succeeded", "Failed"
local LATE = 30 -- seconds that the Job controller is given to see that the time is over

local JOB = {
  name = "metadata.name", uid = "metadata.uid", rv = "metadata.resourceVersion", created = "metadata.creationTimestamp",
  deleting = "metadata.deletionTimestamp", limit = "spec.activeDeadlineSeconds", hook = kube.path_label(kube.label.hook),
  spent = kube.path_annotation(kube.annotation.spent), started = "status.startTime",
  ended = "status.completionTime", complete = "status.conditions[type=Complete].status",
  failed = "status.conditions[type=Failed].status", reason = "status.conditions[type=Failed].reason",
  message = "status.conditions[type=Failed].message", failed_at = "status.conditions[type=Failed].lastTransitionTime",
}

local POD = {
  name = "metadata.name", owners = "metadata.ownerReferences", created = "metadata.creationTimestamp",
  containers = "status.containerStatuses", init = "status.initContainerStatuses",
}

---What a group must see for its hooks; belongs into needs(). Pods only where there is something to hear.
---@return table[]
function M.needs(group)
  local out = { { as = "jobs", kind = "Job", owner = group.metadata.uid, fields = JOB } }
  if group.status and group.status.hooks and group.status.hooks[1] then
    out[2] = { as = "hook_pods", kind = "Pod", label = { kube.label.component, kube.HOOK }, fields = POD }
  end
  return out
end

local function snake(hook) return (hook:gsub("%u", function(c) return "_" .. c:lower() end)) end

---The Job's name: at most 63 characters, since pods carry it as a label.
function M.job_name(group, hook, key, policy)
  local component = kube.component[group.kind]
  local digest = hash.safe(table.concat({ group.metadata.name, component, hook, key, policy or "" }, "\n"))
  local tail = ("-%s-%s-%s"):format(component, snake(hook):gsub("_", "-"), digest)
  return group.metadata.name:sub(1, 63 - #tail):gsub("%-+$", "") .. tail
end

-- What shall run at a gate: the group's own hook, then what policies add.
local function wanted(w, hook, key, about)
  local out, own = {}, w.object.spec.hooks and w.object.spec.hooks[hook]
  if own then
    out[1] = { template = own.jobTemplate or {}, timeout = tonumber(own.timeoutSeconds) or TIMEOUT,
      go_on = own.onFailure == "Continue" }
  end
  local args = kube.merge({ group = w.object.metadata.name, component = kube.component[w.object.kind], key = key }, about)
  for _, a in ipairs(questions.add(w, snake(hook), args)) do
    out[#out + 1] = { template = a.answer.jobTemplate, timeout = tonumber(a.answer.timeoutSeconds) or TIMEOUT,
      go_on = a.answer.onFailure == "Continue", event = a.answer.event, policy = a.policy }
  end
  return out
end

local function environment(w, hook, key, about)
  local names = about and about.instances
  return {
    { name = "TIKV_CLUSTER", value = w.object.spec.cluster.name },
    { name = "TIKV_NAMESPACE", value = w.object.metadata.namespace },
    { name = "TIKV_GROUP", value = w.object.metadata.name },
    { name = "TIKV_COMPONENT", value = kube.component[w.object.kind] },
    { name = "TIKV_HOOK", value = hook },
    { name = "TIKV_OPERATION", value = key },
    { name = "TIKV_INSTANCES", value = names and table.concat(names, ",") or nil },
    { name = "TIKV_PD", value = w.cluster and w.cluster.pd or nil },
  }
end

-- The user's container, told what it is about; its last words are kept by the kubelet.
local function container(c, env)
  c = kube.merge({}, c)
  c.terminationMessagePolicy = c.terminationMessagePolicy or "FallbackToLogsOnError"
  local have, list = {}, {}
  for n, e in ipairs(c.env or {}) do
    have[e.name], list[n] = true, e
  end
  for _, e in ipairs(env) do
    if e.value and not have[e.name] then list[#list + 1] = e end
  end
  c.env = list
  return c
end

local function each(list, env)
  local out = {}
  for n, c in ipairs(list or {}) do out[n] = container(c, env) end
  return json.array(out)
end

-- The labels of the operator's own: the pods of a hook are no endpoints of the cluster's services.
local function labels(w, hook, more)
  local g = w.object
  return kube.merge(kube.merge({}, more), {
    ["app.kubernetes.io/managed-by"] = kube.MANAGER, ["app.kubernetes.io/instance"] = g.spec.cluster.name,
    [kube.label.cluster] = g.spec.cluster.name, [kube.label.group] = g.metadata.name,
    [kube.label.component] = kube.HOOK, [kube.label.hook] = hook,
  })
end

---@return table? job
---@return string? why not
local function build(w, hook, key, about, h, name)
  local t = kube.clone(h.template)
  local spec = type(t.spec) == "table" and t.spec or {}
  local pod = spec.template and spec.template.spec
  if not (pod and pod.containers and pod.containers[1]) then
    return nil, ("hooks.%s.jobTemplate.spec.template.spec.containers: missing"):format(hook)
  end
  local meta = t.metadata or {}
  local job = kube.object("Job", w.object.metadata.namespace, name, labels(w, hook, meta.labels))
  job.metadata.annotations = kube.merge(kube.merge({}, meta.annotations), { [kube.annotation.operation] = key })
  job.spec = spec
  local limit = tonumber(spec.activeDeadlineSeconds)
  spec.activeDeadlineSeconds = limit and math.min(limit, h.timeout) or h.timeout
  -- it is the memory of what ran: the next run takes it away
  spec.ttlSecondsAfterFinished = nil
  spec.template.metadata = spec.template.metadata or {}
  spec.template.metadata.labels = labels(w, hook, spec.template.metadata.labels)
  pod.restartPolicy = pod.restartPolicy or "Never"
  local env = environment(w, hook, key, about)
  pod.containers = each(pod.containers, env)
  if pod.initContainers then pod.initContainers = each(pod.initContainers, env) end
  return kube.own(job, w.object)
end

local function last_of(s)
  local line
  for part in (s or ""):gmatch("[^\r\n]+") do line = part end
  return line and line:sub(1, 200)
end

-- The last words of the Job's newest pod that ended.
local function last_line(w, job)
  local newest, line = "", nil
  for _, pod in ipairs(w.hook_pods or {}) do
    if kube.owned_by(pod.owners, job.uid) and (pod.created or "") >= newest then
      for _, list in ipairs { pod.init or {}, pod.containers or {} } do
        for _, c in ipairs(list) do
          local t = c.state and c.state.terminated
          if t then
            newest = pod.created or ""
            local said = last_of(t.message)
            if said or (t.exitCode or 0) ~= 0 then
              line = said or ("container %s ended with %s"):format(c.name, tostring(t.exitCode))
            end
          end
        end
      end
    end
  end
  return line
end

---@return "Running"|"Succeeded"|"Failed"
---@return string words
local function state(w, job)
  local line = last_line(w, job)
  if job.complete == "True" then return SUCCEEDED, line or "" end
  if job.failed == "True" then
    return FAILED, ("%s%s"):format(job.message or job.reason or "it failed", line and ": " .. line or "")
  end
  local since = time.parse(job.created or "")
  local limit = tonumber(job.limit) or TIMEOUT
  if since and w.now > since + limit + LATE then
    return FAILED, ("no end after %d s"):format(limit)
  end
  return RUNNING, line or ""
end

local function told(w, name)
  for _, h in ipairs(w.object.status and w.object.status.hooks or {}) do
    if h.job == name then return h.phase end
  end
end

local function find(w, name)
  for _, j in ipairs(w.jobs or {}) do
    if j.name == name then return j end
  end
end

-- Jobs of earlier operations, and of those that were given up.
local function clear(w, p, hook, keep)
  for _, j in ipairs(w.jobs or {}) do
    if j.hook == hook and not keep[j.name] and not j.deleting then
      p:delete(kube.ref("Job", j), "another run of " .. hook .. " follows")
    end
  end
end

local function start(w, p, hook, key, about, h, name)
  local job, why = build(w, hook, key, about, h, name)
  if not job then return p:wait("InvalidSpec", "%s", why) end
  p:job(job)
  if h.event then p:event("Normal", "Policy", "%s: %s", h.policy, h.event) end
  p:event("Normal", "HookStarted", "%s: Job %s runs, for %d s at most", hook, name, h.timeout)
  return p:wait("HookRunning", "%s: Job %s starts, for %d s at most", hook, name, h.timeout)
end

local function run(w, p, hook, key, about, h, name)
  local job = find(w, name)
  if not job then return start(w, p, hook, key, about, h, name) end
  if job.deleting or job.spent then
    if not job.deleting then p:delete(kube.ref("Job", job), "another run of " .. hook .. " follows") end
    return p:wait("HookRunning", "%s: Job %s of the last time goes first", hook, name)
  end
  local how, words = state(w, job)
  local tail = words ~= "" and ": " .. words or ""
  if how == RUNNING then
    local since = time.parse(job.created or "") or w.now
    return p:retry(math.max(since + h.timeout + LATE + 1 - w.now, 1), "HookRunning", "%s: Job %s runs, for %d s at most%s",
      hook, name, h.timeout, tail)
  end
  local news = told(w, name) ~= how
  if how == SUCCEEDED then
    if news then p:event("Normal", "HookSucceeded", "%s: Job %s%s", hook, name, tail) end
    return nil
  end
  if news then p:event("Warning", "HookFailed", "%s: Job %s%s", hook, name, tail) end
  if not h.go_on then
    return p:wait("HookFailed", "%s: Job %s failed%s", hook, name, tail)
      :hint("correct hooks.%s, or run it again: kubectl delete job %s; onFailure: Continue goes on without it", hook, name)
  end
  p:note("HookFailed", "%s: Job %s failed, and onFailure says Continue%s", hook, name, tail)
end

---The gate of one hook: nil when nothing is configured or all of it is done for this key.
---@param hook hook
---@param key string names the operation: another one means another run
---@param about {instances: string[]}? what Jobs and policies are told
---@return verdict?
function M.gate(w, p, hook, key, about)
  local list = wanted(w, hook, key, about)
  if not list[1] then return nil end
  local blind = w.unknown and w.unknown.jobs
  if blind then return p:wait("NotSynced", "hooks.%s: Jobs can not be read: %s", hook, tostring(blind)) end
  local keep = {}
  for _, h in ipairs(list) do
    h.name = h.template and M.job_name(w.object, hook, key, h.policy)
    if h.name then keep[h.name] = true end
  end
  clear(w, p, hook, keep)
  for _, h in ipairs(list) do
    if h.event and not h.name then p:event("Normal", "Policy", "%s: %s", h.policy, h.event) end
    local v = h.name and run(w, p, hook, key, about, h, h.name)
    if v then return v end
  end
end

local function annotation(operation) return kube.annotation.operation .. "-" .. snake(operation):sub(2):gsub("_", "-") end

---Key of an operation that has begun and not ended.
---@param operation operation
---@return string?
function M.begun(w, operation) return (w.object.metadata.annotations or {})[annotation(operation)] end

local function anyone(w, operation)
  local own = w.object.spec.hooks or {}
  return own["before" .. operation] ~= nil or own["after" .. operation] ~= nil
    or (w.object.spec.policyRefs or {})[1] ~= nil or (w.cluster and w.cluster.policies or {})[1] ~= nil
end

---The key of a scaling: what was asked for, and when.
function M.scale_key(w)
  return ("%d-%d"):format(w.object.metadata.generation or 0, tonumber(w.object.spec.replicas) or 1)
end

---Before the first step of an operation: nil when it may go on. From then on, until `finish`, it has begun.
---@param operation operation
---@return verdict?
function M.begin(w, p, operation, key, about)
  if M.begun(w, operation) or not anyone(w, operation) then return nil end
  local v = M.gate(w, p, "before" .. operation, key, about)
  if v then return v end
  p:patch_meta(kube.ref(w.object.kind, w.object), { annotations = { [annotation(operation)] = key } })
end

---When an operation is over: nil when it had not begun, or what comes after it is done too.
---@param operation operation
---@return verdict?
function M.finish(w, p, operation)
  local key = M.begun(w, operation)
  if not key then return nil end
  local v = M.gate(w, p, "after" .. operation, key)
  if v then return v end
  for _, j in ipairs(w.jobs or {}) do
    if (j.hook == "before" .. operation or j.hook == "after" .. operation) and not j.spent and not j.deleting then
      p:patch_meta(kube.ref("Job", j), { annotations = { [kube.annotation.spent] = "true" } })
    end
  end
  p:patch_meta(kube.ref(w.object.kind, w.object), { remove_annotations = { annotation(operation) } })
end

---status.hooks: what ran last, and its last words.
---@return table[]?
function M.status(w)
  if w.unknown and w.unknown.jobs then return w.object.status and w.object.status.hooks end
  local out = {}
  for _, j in ipairs(w.jobs or {}) do
    if j.hook then
      local phase, words = state(w, j)
      out[#out + 1] = { hook = j.hook, job = j.name, phase = phase, startTime = j.started,
        endTime = j.ended or phase == FAILED and j.failed_at or nil, message = words }
    end
  end
  return out[1] and json.array(out) or nil
end

return M
