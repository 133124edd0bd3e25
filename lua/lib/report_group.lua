--- report_group: status of PDGroup and TiKVGroup.
local kube = require "lib.kube"
local conditions = require "lib.conditions"
local bootstrap = require "lib.bootstrap"
local deadline = require "lib.deadline"
local failover = require "lib.failover"
local group = require "lib.group"
local hooks = require "lib.hooks"
local lost_member = require "lib.lost_member"
local members = require "lib.members"
local online = require "lib.online"
local scaling = require "lib.scaling"
local status = require "lib.status"

local M = {}

local HELD = { FoundingForbidden = true, FoundingElsewhere = true, PolicyDenied = true, PolicyError = true,
  PDUnknown = true, PDNoLeader = true, PDHistoryChanged = true, ClusterMissing = true, ForeignObject = true,
  MembersNotHealthy = true, NotSynced = true, HookFailed = true, UpdatePaused = true,
  VersionOrder = true, VersionRefused = true, MaintenanceClosed = true, SchedulingHalted = true,
  StoresUnavailable = true }
local RESTING = { OnDelete = true, Partitioned = true } -- as wished for
local NEW = { Pending = true, Founding = true, Creating = true }

local function phase(w, f, why)
  if w.deleting then return "Deleting" end
  if w.cluster and w.cluster.paused then return "Paused" end
  if w.cluster and w.cluster.suspend then return "Suspended" end
  if HELD[why.reason] then return "Waiting" end
  local new = NEW[f.old.phase or "Pending"]
  if w.object.kind == "PDGroup" and not w.object.spec.bootstrapped then return "Founding" end
  if #f.list == 0 and f.wanted > 0 then return "Pending" end
  -- only what has served can be missed; what never served is on its way
  if f.lost > 0 and not new then return "Degraded" end
  if f.replaced > 0 then return "Repairing" end
  if #f.live ~= f.wanted or #f.list ~= #f.live then return new and "Creating" or "Scaling" end
  if f.outdated > 0 or f.changing > 0 then return "Updating" end
  if f.ready < f.wanted or why.reason == "MinReadySeconds" then return new and "Creating" or "Scaling" end
  return "Ready"
end

---Fields that are set and do nothing in this version.
local function idle_fields(spec)
  local out = {}
  local function add(path, set) if set then out[#out + 1] = path end end
  add("template.spec.remoteWorkers", spec.template.spec.remoteWorkers)
  return out[1] and json.array(out) or nil
end

local function counts(w)
  local rev, list = group.view(w)
  local f = { old = w.object.status or {}, list = list, live = members.live(list), revision = rev,
    wanted = scaling.wanted(w.object), ready = 0, updated = 0, current = 0, outdated = 0, suspended = 0,
    lost = 0, replaced = 0, changing = 0 }
  for _, m in ipairs(list) do
    if m.updated then f.updated = f.updated + 1 end
    if m.row.current and m.row.current == f.old.currentRevision then f.current = f.current + 1 end
    if m.replaced and not m.deleting then f.replaced = f.replaced + 1 end
    if m.row.phase == "Suspended" then f.suspended = f.suspended + 1 end
  end
  for _, m in ipairs(f.live) do
    if m.ready then f.ready = f.ready + 1 end
    if m.outdated then
      f.outdated = f.outdated + 1
    elseif m.row.current ~= nil and not m.updated then
      f.changing = f.changing + 1
    elseif m.lost then
      f.lost = f.lost + 1
    end
  end
  f.synced = rev ~= nil and #f.live == f.wanted and f.outdated == 0
    and #members.where(f.live, function(m) return not m.updated end) == 0
  return f
end

-- True while something is going on; False when settled, held by nothing we do, or too late.
local function progressing(w, f, ph, why)
  if ph == "Ready" then return conditions.of("Progressing", false, "Settled") end
  if ph == "Paused" or ph == "Suspended" or ph == "Waiting" or RESTING[why.reason] then
    return conditions.of("Progressing", false, why.reason ~= "" and why.reason or ph, "%s", why.message)
  end
  local was = conditions.find(f.old.conditions, "Progressing")
  local limit, same = deadline.limit(w.object), f.old.readyReplicas == f.ready and f.old.updatedReplicas == f.updated
  if was and was.reason == "DeadlineExceeded" and same and f.old.updateRevision == f.revision then
    return conditions.of("Progressing", false, "DeadlineExceeded", "%s", was.message)
  end
  local since = deadline.since(w.object)
  if since and w.now - since > limit and same then
    return conditions.of("Progressing", false, "DeadlineExceeded", "no end after %d seconds: %s", limit, why.message)
  end
  return conditions.of("Progressing", true, why.reason ~= "" and why.reason or ph)
end

local function conditions_of(w, f, ph, why, t)
  local ready = f.ready >= f.wanted and ph ~= "Suspended" and why.reason ~= "MinReadySeconds"
  local list = {
    conditions.of("Ready", ready, ready and "Ready" or "NotAllInstancesReady", "%d of %d ready", f.ready, f.wanted),
    conditions.of("Synced", f.synced, f.synced and "Synced" or "NotAllInstancesUpToDate"),
    progressing(w, f, ph, why),
    conditions.of("Suspended", ph == "Suspended" and f.suspended == #f.list,
      ph == "Suspended" and (f.suspended == #f.list and "Suspended" or "Suspending") or "Unsuspended"),
    conditions.of("Degraded", ph == "Degraded", ph == "Degraded" and "InstancesNotReady" or "AsExpected"),
  }
  if w.object.kind == "PDGroup" and (online.needs_pd(w.object) or {})[1] then
    list[#list + 1] = online.condition(w, t, f.old.conditions)
  end
  return conditions.set(f.old.conditions, list, w.object.metadata.generation, w.now)
end

local function founders(w)
  local list = bootstrap.founders(bootstrap.recorded(w.object))
  return list[1] and json.array(list) or nil
end

---@param t table trace of the pass
---@return table status
---@return number seconds it may wait
function M.of(w, t)
  local f, why = counts(w), status.why(t, w.last)
  local o = w.object
  local ph = phase(w, f, why)
  local s = status.base(w, ph, why)
  local done = f.synced and f.updated == #f.list
  s.selector = kube.selector_text(kube.selector(o.spec.cluster.name, kube.component[o.kind], o.metadata.name))
  s.replicas, s.readyReplicas, s.updatedReplicas = #f.list, f.ready, f.updated
  s.updateRevision = f.revision or f.old.updateRevision
  s.currentRevision = done and f.revision or f.old.currentRevision or f.revision
  s.currentReplicas = done and f.updated or f.current
  s.version = done and f.wanted > 0 and o.spec.template.spec.version or f.old.version
  s.progress = deadline.progress(w, f.old.progress, why.progress)
  s.hooks = hooks.status(w)
  s.failover = failover.watch(w)
  if s.failover and o.kind == "PDGroup" then lost_member.remember(w, s.failover) end
  s.notYetSupported = idle_fields(o.spec)
  if o.kind == "PDGroup" then
    s.foundingMembers = founders(w) or f.old.foundingMembers
    s.mode = done and (o.spec.template.spec.mode or "") or f.old.mode
  end
  s.conditions = conditions_of(w, f, ph, why, t)
  -- counts of a group on its way change with every instance: one write a second is plenty
  return s, status.delay(f.old, s, { "phase", "observedGeneration", "updateRevision", "hooks" }, 1)
end

return M
