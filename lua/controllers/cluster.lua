--- cluster: records PD's address and id, adds the groups up, guards against evictions, deletes in order.
local kube = require "lib.kube"
local budget = require "lib.budget"
local deletion = require "lib.deletion"
local drain_speed = require "lib.drain_speed"
local freeze = require "lib.freeze"
local maintenance = require "lib.maintenance"
local report = require "lib.report_cluster"
local tombstones = require "lib.tombstones"

local C = {
  name = "cluster", api = 1, kind = "Cluster", owns = { "PodDisruptionBudget" },
  essential = { "pdgroups", "tikvgroups" },
  steps = { "owner", "confirmed", "delete", "paused", "finalizer", "features", "budgets", "suspended", "freeze",
    "drain_speed", "tombstones", "settle", "frozen", "windows" },
}

local GROUP = {
  name = "metadata.name", uid = "metadata.uid", rv = "metadata.resourceVersion",
  deleting = "metadata.deletionTimestamp", generation = "metadata.generation",
  replicas = "spec.replicas", port = "spec.template.spec.server.ports.client.port",
  budget = "spec.podDisruptionBudget.enabled", has = "status.replicas", ready = "status.readyReplicas",
  updated = "status.updatedReplicas", observed = "status.observedGeneration",
  cluster_generation = "status.observedClusterGeneration", version = "status.version", phase = "status.phase",
  reason = "status.reason", message = "status.message",
  ready_condition = "status.conditions[type=Ready].status",
  synced_condition = "status.conditions[type=Synced].status",
  suspended_condition = "status.conditions[type=Suspended].status",
  progressing = "status.conditions[type=Progressing].status",
}

function C.needs(object)
  local name = object.metadata.name
  local out = budget.needs(object)
  out[#out + 1] = { as = "pdgroups", kind = "PDGroup", cluster = name, fields = GROUP }
  out[#out + 1] = { as = "tikvgroups", kind = "TiKVGroup", cluster = name, fields = GROUP }
  local stores = tombstones.needs(object, out)
  out[#out + 1] = { as = "pd", pd = name, stores = stores, fresh = 30,
    wake = json.array { "leader", "members", "counts", "settled", "config", "settings" },
    settings = json.array(drain_speed.settings(object)) }
  return out
end

-- Which installation looks after it, and how new: another or older one only reads (G1).
function C.owner(w, p)
  local id, behaviour = w.operator and w.operator.id or "", w.operator and w.operator.behaviour or 0
  if id == "" then return end
  local has = w.object.metadata.annotations or {}
  local newer = (tonumber(has[kube.annotation.behaviour]) or 0) < behaviour
  if has[kube.annotation.operator] and not newer then return end
  p:patch_meta(kube.ref("Cluster", w.object), { annotations = {
    [kube.annotation.operator] = has[kube.annotation.operator] or id,
    [kube.annotation.behaviour] = newer and tostring(behaviour) or nil } })
end

-- A person's word was heard when it came; it counts once.
function C.confirmed(w, p)
  local word = (w.object.metadata.annotations or {})[kube.annotation.confirm]
  if not word then return end
  p:patch_meta(kube.ref("Cluster", w.object), { remove_annotations = { kube.annotation.confirm } })
  if word == "history" or word == "breaker" then
    p:event("Warning", "Confirmed", "a person confirmed: %s", word)
  else
    p:event("Warning", "InvalidConfirmation", "%s says %s: it is history or breaker", kube.annotation.confirm, word)
  end
end

-- Also of a paused Cluster, and with PD dead.
C.delete = deletion.cluster

function C.paused(w, p)
  if w.object.spec.paused then return p:wait("Paused", "nothing is changed in this cluster") end
end

function C.finalizer(w, p)
  if not kube.has_finalizer(w.object) then
    p:patch_meta(kube.ref("Cluster", w.object), { add_finalizers = { kube.FINALIZER } })
  end
end

-- Accepted for manifests' sake; several PD groups work without it.
function C.features(w, p)
  for _, gate in ipairs(w.object.spec.featureGates or {}) do
    if gate.name == "ClusterSubdomain" or gate.name == "MultiPDGroup" then
      p:note("NotYetSupported", "feature %s has no effect", gate.name)
    end
  end
end

function C.budgets(w, p)
  budget.sync(w, p, "pd", w.pdgroups)
  budget.sync(w, p, "tikv", w.tikvgroups)
end

function C.suspended(w, p)
  local s = w.object.spec.suspendAction
  if s and s.suspendCompute then return p:wait("Suspended", "pods are stopped, disks are kept") end
end

C.freeze, C.frozen = freeze.step, freeze.told
C.drain_speed = drain_speed.step
C.tombstones = tombstones.step

-- What keeps the cluster from being whole, the most telling first.
function C.settle(w, p)
  local history = report.history(w)
  if history then return p:wait("PDHistoryChanged", "%s", history) end
  if w.pd and w.pd.breaker then return p:wait("BreakerOpen", "%s", w.pd.breaker) end
  if w.pd and w.pd.known and w.pd.no_space then
    p:watch_pd()
    return p:wait("PDNoSpace", "PD's etcd has reached its quota: nothing new is written, what runs goes on")
  end
  if not w.pdgroups[1] or not w.tikvgroups[1] then
    return p:wait("WaitingForGroups", "%d PD groups, %d TiKV groups", #w.pdgroups, #w.tikvgroups)
  end
  if report.id(w) == "" then
    p:watch_pd()
    return p:wait("WaitingForPD", "PD does not answer yet at %s", tostring(report.pd_url(w)))
  end
  for _, list in ipairs { w.pdgroups, w.tikvgroups } do
    for _, g in ipairs(list) do
      if g.ready_condition ~= "True" then
        return p:wait("GroupsNotReady", "%s: %s", g.name, g.message or g.phase or "not looked at yet")
      end
    end
  end
  if not (w.pd and w.pd.known) then
    return p:retry(30, "PDUnknown", "%s", tostring(w.pd and w.pd.reason or "PD was not asked yet"))
  end
end

-- People read here when planned restarts may happen next.
function C.windows(w, p)
  if not (w.object.spec.maintenance and (w.object.spec.maintenance.windows or {})[1]) then return end
  local open, why, after, wrong = maintenance.open(w)
  if wrong then return p:wait("InvalidSpec", "%s", why) end
  local reason = open and "MaintenanceOpen" or "MaintenanceClosed"
  return after and p:retry(after, reason, "%s", why) or p:wait(reason, "%s", why)
end

C.status = report.of

return C
