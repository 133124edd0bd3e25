--- group: what PDGroup and TiKVGroup have in common: what they need to see, and their shared steps.
local kube = require "lib.kube"
local config = require "lib.config"
local hooks = require "lib.hooks"
local failover = require "lib.failover"
local instance = require "lib.instance"
local members = require "lib.members"
local moving = require "lib.moving"
local online = require "lib.online"
local ordinals = require "lib.ordinals"
local replacing = require "lib.replacing"
local revision = require "lib.revision"
local scaling = require "lib.scaling"
local shrinking = require "lib.shrinking"
local services = require "lib.services"
local version_order = require "lib.version_order"

local M = {}

---@param claims {[1]: string, [2]: string} label by which claims are asked for
---@param wake string[] topics of PD that should wake the group
---@param settings string[]? names of PD's settings
function M.needs(group, claims, stores, wake, settings)
  local component, cluster = kube.component[group.kind], group.spec.cluster.name
  local out = {
    { as = "cluster", kind = "Cluster", name = cluster, fields = instance.CLUSTER },
    { as = "rows", kind = kube.instance_kind[component],
      label = { kube.label.group, group.metadata.name }, fields = shrinking.fields(group) },
    { as = "claims", kind = "PersistentVolumeClaim", label = claims,
      fields = kube.merge(kube.merge({}, ordinals.CLAIM), moving.CLAIM) },
    { as = "revisions", kind = "ControllerRevision", owner = group.metadata.uid, fields = revision.FIELDS },
    { as = "pd", pd = cluster, stores = stores, wake = json.array(wake), fresh = 30,
      settings = settings },
    version_order.needs(group),
  }
  for _, s in ipairs(services.needs(group)) do out[#out + 1] = s end
  for _, s in ipairs(hooks.needs(group)) do out[#out + 1] = s end
  failover.needs(group, out)
  if component == "pd" or group.metadata.deletionTimestamp then
    out[#out + 1] = { as = "siblings", kind = group.kind, cluster = cluster,
      fields = { name = "metadata.name", deleting = "metadata.deletionTimestamp",
        founding = kube.path_annotation(kube.annotation.initial_cluster), bootstrapped = "spec.bootstrapped",
        ready = "status.readyReplicas" } }
  end
  return out
end

---The revision of the template, and its instances. Nil without a Cluster: features are unknown then.
function M.view(w)
  if not w.cluster then return nil, members.list(w, "") end
  local rev = revision.name(w.object, kube.component[w.object.kind], kube.features(w.cluster))
  return rev, members.list(w, rev)
end

function M.cluster(w, p)
  if not w.cluster then
    return p:wait("ClusterMissing", "Cluster %s does not exist", w.object.spec.cluster.name)
  end
  if w.cluster.deleting then
    return p:wait("ClusterDeleting", "Cluster %s is being deleted", w.cluster.name)
  end
end

function M.paused(w, p)
  if w.cluster.paused then return p:wait("Paused", "Cluster %s is paused", w.cluster.name) end
end

function M.finalizer(w, p)
  if not kube.has_finalizer(w.object) then
    p:patch_meta(kube.ref(w.object.kind, w.object), { add_finalizers = { kube.FINALIZER } })
  end
end

---Step: the revision of the template is recorded.
function M.revision(w, p)
  local used, status = {}, w.object.status or {}
  for _, r in ipairs(w.rows or {}) do
    if r.revision then used[r.revision] = true end
    if r.current then used[r.current] = true end
  end
  if status.currentRevision then used[status.currentRevision] = true end
  revision.sync(w, p, used)
end

M.services = services.sync

---Step: a config that no instance could use is told here, and reaches none.
function M.config(w, p)
  local reason, message = config.problem(kube.component[w.object.kind], w.object.spec.template.spec.config)
  if reason then return p:wait(reason, "%s", message) end
end

---Step: while suspended the group only looks.
function M.suspend(w, p)
  if not w.cluster.suspend then return end
  local _, list = M.view(w)
  local up = #members.where(list, function(m) return m.row.phase ~= "Suspended" end)
  if up > 0 then return p:wait("Suspending", "%d instances are being stopped", up) end
  return p:wait("Suspended", "Cluster %s is suspended; disks are kept", w.cluster.name)
end

---Step: instances whose store has left go.
function M.removed(w, p)
  local _, list = M.view(w)
  return shrinking.removed(w, p, list)
end

---Step: a scaling that is over is followed by its hook.
function M.scaled(w, p)
  local _, list = M.view(w)
  local live = members.live(list)
  if #live ~= scaling.wanted(w.object) then return end
  local served = #members.where(live, function(m) return not m.ready end) == 0
  local out = served and hooks.finish(w, p, "ScaleOut")
  if out then return out end
  local lost = not replacing.marked(list)[1] and hooks.finish(w, p, "Failover")
  if lost then return lost end
  if #list == #live then return hooks.finish(w, p, "ScaleIn") end
end

---Step, the last: what is still missing for the group to be as its spec says.
function M.settle(w, p)
  local _, list = M.view(w)
  local live, wanted = members.live(list), scaling.wanted(w.object)
  local unready = members.where(live, function(m) return not m.ready end)
  if unready[1] then
    return p:wait("InstancesNotReady", "%d of %d ready; not ready: %s", #live - #unready, wanted,
      members.some(unready)):progress { done = #live - #unready, total = wanted }
  end
  local leaving = shrinking.leaving(w, p, list)
  if leaving then return leaving end
  if w.object.kind == "TiKVGroup" then online.group(w, p, live) end
  if not w.object.spec.minReadySeconds then return end
  local left = 0
  for _, m in ipairs(live) do left = math.max(left, m.left) end
  if left > 0 then
    return p:retry(left, "MinReadySeconds", "all are ready, not yet for %d seconds", w.object.spec.minReadySeconds)
  end
end

return M
