--- lifecycle: the steps that PD and TiKV objects share: pause, suspend, finalizer, config map, pod.
local kube = require "lib.kube"
local certificates = require "lib.certificates"
local config = require "lib.config"
local diagnosis = require "lib.diagnosis"
local instance = require "lib.instance"
local lost_node = require "lib.lost_node"
local placing = require "lib.placing"
local pods = require "lib.pod"
local pvc = require "lib.pvc"
local questions = require "lib.questions"
local restart = require "lib.restart"

local M = {}

---Step: without its Cluster nothing is known of TLS, addresses, retention: leave all as it is.
function M.cluster(w, p)
  if not w.cluster then
    return p:wait("ClusterMissing", "Cluster %s does not exist; nothing is changed", w.object.spec.cluster.name)
  end
end

function M.going(w) return w.cluster ~= nil and w.cluster.deleting ~= nil end

---Step: a paused object says so. Deletion comes before this step.
function M.paused(w, p)
  if w.cluster.paused then return p:wait("Paused", "Cluster %s is paused", w.cluster.name) end
end

function M.suspended(w) return w.cluster ~= nil and w.cluster.suspend == true end

---Step: the finalizer holds the object until its clean-up is done.
function M.finalizer(w, p)
  if not w.deleting and not kube.has_finalizer(w.object) then
    p:patch_meta(kube.ref(w.object.kind, w.object), { add_finalizers = { kube.FINALIZER } })
  end
end

---Whether the pod of this name is the instance's own.
function M.my_pod(w, i)
  return w.pod ~= nil and kube.owned_by(w.pod.owners, i.object.metadata.uid)
end

---Step: while the Cluster is suspended there is no pod; disks and objects stay.
function M.suspend(w, p, i)
  if not M.suspended(w) then return end
  if not w.pod then return p:wait("Suspended", "Cluster %s is suspended; disks are kept", w.cluster.name) end
  local lost = M.my_pod(w, i) and lost_node.release(w, p, i)
  if lost then return lost end
  if not w.pod.deleting and M.my_pod(w, i) then p:delete(kube.ref("Pod", w.pod), "suspended") end
  return p:wait("Suspending", "pod %s is being stopped", i.pod)
end

---Step: the config map. What is wrong with the user's text is said, and what runs is left alone: also
---a pod of another revision, whose container may start again any time (W-24).
---@param built string? TOML
---@param pd_url string? of a TiKV
function M.config(w, p, i, pd_url, built, reason, message)
  if not built then return p:wait(reason, "%s", message) end
  local live = w.configmap
  if live and not kube.owned_by(live.metadata.ownerReferences, i.object.metadata.uid) then
    return p:wait("ForeignObject", "ConfigMap %s is not ours", i.pod)
  end
  if live and restart.pending(w, i) then return end
  kube.ensure(p, live, config.map(i, built, pd_url))
end

local function start(w, p, i)
  local lacking = pvc.not_ready(w, p, i)
  local reason, message = placing.refused(w)
  if reason then
    -- it is tried again all the same: who raises a quota tells nobody
    if not lacking then p:apply(pods.build(w, i)) end
    return p:retry(30, reason, "%s", message)
  end
  if lacking then return p:wait("Starting", "pod %s is starting", i.pod) end
  local lacks, soon = certificates.lacking(w, i)
  if lacks then return p:wait(soon and "Starting" or "SecretMissing", "pod %s waits: %s", i.pod, lacks) end
  local ok, why = questions.can(w, "can_start_instance", { instance = i.name, component = i.component,
    group = i.group, revision = i.revision }, p)
  if not ok then return p:retry(30, "PolicyDenied", "can_start_instance: %s", why) end
  p:apply(pods.build(w, i))
  return p:wait("Starting", "pod %s is starting", i.pod)
end

local function stopping(w, p, i)
  local silent = lost_node.silent(w)
  if not silent then return p:wait("PodStopping", "pod %s is being stopped", i.pod) end
  return p:wait("NodeNotReady", "pod %s shall stop and %s; it may still run there", i.pod, silent)
end

---Images of side containers that the pod lacks; those of a pod that is to be made again come with it.
---@return table<string, string>?
function M.images(w, i)
  if restart.pending(w, i) then return nil end
  local want, out = instance.side_images(i), nil
  for _, c in ipairs(w.pod.specs or {}) do
    if want[c.name] and c.image ~= want[c.name] then
      out = out or {}
      out[c.name] = want[c.name]
    end
  end
  return out
end

---Step: there is a pod, ours, alive, with the labels it should have. It never asks PD.
function M.pod(w, p, i)
  local pod = w.pod
  if not pod then return start(w, p, i) end
  if not M.my_pod(w, i) then return p:wait("ForeignObject", "pod %s is not ours", i.pod) end
  local lost = lost_node.release(w, p, i)
  if lost then return lost end
  if pod.deleting then return stopping(w, p, i) end
  if pod.phase == "Failed" or pod.phase == "Succeeded" then
    p:delete(kube.ref("Pod", pod), "ended with phase " .. pod.phase)
    p:event("Warning", "PodFailed", "pod %s ended (%s); it is made again on the same disks", i.pod,
      pod.why or pod.phase)
    return p:wait("PodFailed", "pod %s ended: %s", i.pod, pod.message or pod.why or pod.phase)
  end
  local labels, annotations = pods.metadata(i)
  -- the revision label tells what the pod was made from; it is not ours to touch up
  labels[kube.label.revision] = nil
  if not pod.labels[kube.label.revision] then
    labels[kube.label.revision] = (w.object.status or {}).currentRevision
  end
  labels, annotations = kube.missing(pod.labels, labels), kube.missing(pod.annotations, annotations)
  local images = M.images(w, i)
  if labels or annotations or images then
    p:patch_meta(kube.ref("Pod", pod), { labels = labels, annotations = annotations, images = images })
  end
end

---Step: the pod serves. For half a minute a start is a start; then the trouble is looked for.
function M.ready(w, p, i)
  local pod = w.pod
  if pod.ready == "True" then return end
  local silent = lost_node.silent(w)
  if silent then return p:wait("NodeNotReady", "pod %s: %s", i.pod, silent) end
  local reason, message, age = diagnosis.pod(w, i, pod)
  if age < diagnosis.PATIENCE then
    return p:retry(math.max(1, diagnosis.PATIENCE - age), "Starting", "pod %s is starting", i.pod)
  end
  return p:wait(reason, "pod %s: %s", i.pod, message)
end

---Ids that are certain enough to be written onto disks: PD answers, it is the recorded cluster, and
---the disk was seen to be in use: a cluster id on an empty one would forbid what it still has to do.
---@param id string? store or member id
function M.ids(w, id)
  local pd = w.pd
  if (id or "") == "" or not (pd and pd.known and pd.cluster_id) or pd.history then return {} end
  local recorded = w.cluster.id or ""
  if recorded ~= "" and recorded ~= pd.cluster_id then return {} end
  return { cluster_id = pd.cluster_id, id = id }
end

---Steps that serve an instance while something else is the news of the pass; their words are not.
function M.keep(w, p, controller, steps)
  for _, name in ipairs(steps) do
    if controller[name](w, p) then return end
  end
end

---Step: the volumes behind the claims carry the ids too (never in namespaced mode: not ours to see).
function M.volumes(w, p, i, ids)
  if not ids.id or (w.operator and w.operator.namespaced) then return end
  local key = kube.label[i.component == "pd" and "member_id" or "store_id"]
  for n in ipairs(i.spec.volumes or {}) do
    local pv = w["volume_" .. n]
    local lacks = pv and kube.missing(pv.labels, { [kube.label.cluster_id] = ids.cluster_id, [key] = ids.id })
    local former = pv and kube.missing(pv.annotations, { [kube.annotation.former_stores] = pvc.former(pv, i, ids) })
    if lacks or former then
      p:patch_meta(kube.ref("PersistentVolume", pv), { labels = lacks, annotations = former })
    end
  end
end

return M
