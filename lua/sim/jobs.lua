--- jobs: what kube-controller-manager does for Jobs of one pod: make it, make it again, say how it ended.
-- Nothing can be run here: how a pod ends stands in its annotations (see kubelet).
local M = {
  start_ms = 100, -- from the Job to its pod
  again_ms = 1000, -- after a failure
}
local jobs = {} -- by uid: { job, failed, pod, cancel, over }

local function path(job) return ("/apis/batch/v1/namespaces/%s/jobs/%s"):format(job.metadata.namespace, job.metadata.name) end

local function report(entry, status)
  sim.request("PATCH", path(entry.job) .. "/status", { metadata = { uid = entry.job.metadata.uid }, status = status })
end

local function pods_path(job) return ("/api/v1/namespaces/%s/pods"):format(job.metadata.namespace) end

local function ended(entry, kind, reason, message)
  if entry.over then return end
  entry.over = true
  if entry.cancel then entry.cancel() end
  if entry.deadline then entry.deadline() end
  local now = sim.wall()
  report(entry, { active = 0, failed = entry.failed, succeeded = kind == "Complete" and 1 or 0,
    completionTime = kind == "Complete" and now or nil,
    conditions = sim.array { { type = kind, status = "True", reason = reason, message = message,
      lastProbeTime = now, lastTransitionTime = now } } })
end

local function make_pod(entry)
  entry.cancel = nil
  local job = entry.job
  local meta = sim.copy(job.spec.template.metadata or {})
  meta.labels = meta.labels or {}
  meta.labels["batch.kubernetes.io/job-name"], meta.labels["job-name"] = job.metadata.name, job.metadata.name
  meta.labels["batch.kubernetes.io/controller-uid"] = job.metadata.uid
  meta.name = ("%s-%s"):format(job.metadata.name, sim.uuid():sub(1, 5))
  meta.ownerReferences = sim.array { { apiVersion = "batch/v1", kind = "Job", name = job.metadata.name,
    uid = job.metadata.uid, controller = true, blockOwnerDeletion = true } }
  local status = sim.request("POST", pods_path(job), { apiVersion = "v1", kind = "Pod", metadata = meta,
    spec = job.spec.template.spec })
  if status >= 300 then
    entry.cancel = sim.after(M.again_ms, function() make_pod(entry) end)
  else
    report(entry, { active = 1, startTime = entry.started, failed = entry.failed })
  end
end

local function on_job(event, job)
  local uid = job.metadata.uid
  local entry = jobs[uid]
  if event == "DELETED" then
    if entry and entry.cancel then entry.cancel() end
    if entry and entry.deadline then entry.deadline() end
    jobs[uid] = nil
    return
  end
  if entry then
    entry.job = job
    return
  end
  entry = { job = job, failed = 0, started = sim.wall() }
  jobs[uid] = entry
  entry.cancel = sim.after(M.start_ms * sim.choose(3, "jobs.start"), function() make_pod(entry) end)
  local limit = tonumber(job.spec.activeDeadlineSeconds)
  if limit then
    entry.deadline = sim.after(limit * 1000, function()
      entry.deadline = nil
      ended(entry, "Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
      for name in sim.pairs(entry.running or {}) do sim.request("DELETE", pods_path(entry.job) .. "/" .. name) end
    end)
  end
end

local function on_pod(event, pod)
  local owner = (pod.metadata.ownerReferences or {})[1]
  local entry = owner and owner.kind == "Job" and jobs[owner.uid]
  if not entry or entry.over then return end
  local name, phase = pod.metadata.name, pod.status and pod.status.phase
  entry.running, entry.seen = entry.running or {}, entry.seen or {}
  entry.running[name] = event ~= "DELETED" or nil
  if phase == "Succeeded" then return ended(entry, "Complete", "CompletionsReached", "Reached expected number of succeeded pods") end
  if (phase == "Failed" or event == "DELETED") and not entry.seen[name] then
    entry.seen[name] = true
    entry.failed = entry.failed + 1
    if entry.failed > (tonumber(entry.job.spec.backoffLimit) or 6) then
      return ended(entry, "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    end
    entry.cancel = sim.after(M.again_ms, function() make_pod(entry) end)
  end
end

function M.start()
  sim.watch("/apis/batch/v1/jobs", on_job)
  sim.watch("/api/v1/pods", on_pod)
end

return M
