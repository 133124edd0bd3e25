--- report_instance: status of PD and TiKV objects.
-- On the happy path it is written twice: Starting, when the pod is there, and Serving, with the id.
-- What changes in between waits: nobody reads that a pod of half a minute has been scheduled.
local conditions = require "lib.conditions"
local eviction = require "lib.eviction"
local lifecycle = require "lib.lifecycle"
local offline = require "lib.offline"
local online = require "lib.online"
local pvc = require "lib.pvc"
local status = require "lib.status"
local store = require "lib.store"
local kube = require "lib.kube"
local restart = require "lib.restart"

local M = {}

local FIGURES_LATER = 120 -- seconds that figures of people's interest may wait, at least
local FIGURES_EACH = 2 -- and per store of the cluster: a write in two seconds, whatever its size
local PROGRESS_LATER = 5 -- the same, of what moves

local function phase(w, i, id, pod_ready, lost, leaving)
  -- a current revision is written when it was first ready: until then it starts, later it starts again
  local served = (w.object.status or {}).currentRevision ~= nil
  if w.cluster and w.cluster.paused and not w.deleting then return "Paused" end
  if leaving and leaving.removed then return "Removed" end
  if w.deleting or leaving then return "Leaving" end
  if lifecycle.suspended(w) then return w.pod and "Restarting" or "Suspended" end
  if not w.pod then return served and "Restarting" or "Pending" end
  if not pod_ready then
    if lost == "Down" then return "Lost" end
    return served and "Restarting" or "Starting"
  end
  if id == "" then return "Starting" end
  return lifecycle.my_pod(w, i) and "Serving" or "Pending"
end

local function running(w)
  local pod = w.pod
  if not pod then return false, "PodNotCreated" end
  if pod.deleting then return false, "PodTerminating" end
  if pod.phase == "Running" then return true, "Running" end
  return false, "PodNotRunning"
end

-- A claim that is missing, or smaller than what the spec asks for (W-28).
local function volumes_behind(w, i)
  for n, claim in ipairs(pvc.of(w, i)) do
    local want = i.spec.volumes[n].storage
    local has = claim and (claim.capacity or claim.storage)
    if not has or want and quantity.compare(want, has) == 1 then return true end
  end
  return false
end

local function conditions_of(w, i, facts)
  local old = w.object.status or {}
  local pod = w.pod
  local run, run_reason = running(w)
  local suspended = lifecycle.suspended(w)
  local synced = pod ~= nil and not pod.deleting and (pod.labels or {})[kube.label.revision] == i.revision
  local behind = synced and volumes_behind(w, i)
  if suspended or w.deleting then synced, behind = pod == nil, false end
  local ready_reason = facts.ready and "Ready" or not run and run_reason or not facts.pod_ready and "PodNotReady"
    or facts.silent and "NoHeartbeat" or "InstanceNotHealthy"
  local list = {
    conditions.of("Running", run, run_reason),
    conditions.of("Ready", facts.ready, ready_reason),
    conditions.of("Synced", synced and not behind,
      behind and "VolumesNotUpToDate" or synced and "Synced" or "PodNotUpToDate"),
    conditions.of("Suspended", suspended and pod == nil,
      suspended and (pod and "Suspending" or "Suspended") or "Unsuspended"),
  }
  for _, c in ipairs(facts.more or {}) do list[#list + 1] = c end
  -- another pod is ready since now, even when nobody saw that there was none in between
  local before = not facts.renewed and old.conditions or nil
  return conditions.set(before, list, w.object.metadata.generation, w.now)
end

---@param facts {id: string, healthy: boolean?, lost: string?, cluster_id: string?, more: table?}
---healthy: what PD says, nil while unknown (then the last known Ready stands)
local function common(w, t, i, facts)
  local old, why = w.object.status or {}, status.why(t, w.last)
  local pod = w.pod
  facts.pod_ready = pod ~= nil and pod.ready == "True" and not pod.deleting and lifecycle.my_pod(w, i)
  local healthy = facts.healthy
  if healthy == nil then healthy = facts.id ~= "" end
  facts.ready = facts.pod_ready and facts.id ~= "" and healthy
  local s = status.base(w, phase(w, i, facts.id, facts.pod_ready, facts.lost, facts.leaving), why)
  s.id, s.clusterID = facts.id, facts.cluster_id or old.clusterID
  s.replicas = 1
  s.pod = pod and i.pod or old.pod
  s.node = pod and pod.node or old.node
  s.volumes = pvc.report(w, i)
  s.updateRevision = i.revision
  s.currentRevision = facts.ready and pod.labels[kube.label.revision] or old.currentRevision
  s.restartedAt = facts.ready and restart.done(w) or old.restartedAt
  facts.renewed = facts.ready and (s.currentRevision ~= old.currentRevision or s.restartedAt ~= old.restartedAt)
  s.conditions = conditions_of(w, i, facts)
  return s, old
end

-- Before the pod is there and while it starts, a write would only repeat itself a moment later.
local function patience(s, old, delay)
  if s.phase == "Pending" and s.reason == "Starting" then return 10 end
  if s.phase == "Restarting" and s.reason == "Starting" and old.phase == "Serving" and not s.pod then return 5 end
  if s.phase == "Starting" and old.phase == "Starting" and s.reason == old.reason then return 20 end
  -- a restart is told once, when the pod stops; the leaders of most stores leave in a moment
  if s.phase == "Restarting" and old.phase == "Restarting" and s.reason == "Starting" then return 20 end
  if s.phase == "Serving" and s.reason == "Restarting" then return 5 end
  local moment = s.reason == "EvictingLeaders" or s.reason == "LeadersReturning"
  if s.phase == "Serving" and moment and old.reason == "" then return math.max(delay, 3) end
  return delay
end

local MATTERS = { "phase", "reason", "id", "observedGeneration", "currentRevision", "restartedAt" }

---A figure is renewed when it comes from or goes to zero, or moved by a fifth.
local function figure(old, now)
  if now == nil then return old end
  if old == nil or (old == 0) ~= (now == 0) then return now end
  if math.abs(now - old) * 5 > math.max(old, now) then return now end
  return old
end

-- Bytes for people: 1.5Ti is a size, 1649267441664 is a number.
local function size(n)
  n = tonumber(n)
  if not n then return nil end
  local units, at = { "", "Ki", "Mi", "Gi", "Ti", "Pi" }, 1
  while n >= 10240 and at < #units do n, at = n / 1024, at + 1 end
  return ("%d%s"):format(math.floor(n), units[at])
end

local function bytes(old, now)
  local was = old and quantity.parse(old)
  local n = tonumber(now)
  if not n then return old end
  return figure(was, n) == n and size(n) or old
end

-- Spread by ordinal, so that a thousand stores do not come due in one moment.
local function figures_later(w)
  local n = 0
  for _, count in pairs(w.pd and w.pd.counts or {}) do n = n + count end
  local _, ordinal = kube.split(w.object.metadata.name)
  local spread = (tonumber(ordinal) or 0) * 0.618 % 1
  return math.max(FIGURES_LATER, FIGURES_EACH * n * (0.5 + spread))
end

---@param i instance
---@param found table? the store, when PD is known
function M.tikv(w, t, i, id, found)
  local known = w.pd ~= nil and w.pd.known
  local facts = { id = id, cluster_id = id ~= "" and known and w.pd.cluster_id or nil,
    lost = found and found.state, healthy = nil }
  if offline.asked(w, found) then facts.leaving = offline.next(w, i, id, found) end
  if online.hot(w.object.spec) then
    facts.more = { online.condition(w, t, w.object.status and w.object.status.conditions) }
  end
  if known then facts.healthy = found ~= nil and (found.state == "Up" or found.state == "Offline") end
  if found and not store.heard(w, found) then facts.healthy, facts.silent = false, true end
  local s, old = common(w, t, i, facts)
  s.formerStores = store.former(old, id)
  s.state, s.storeState = old.state, old.storeState
  s.leaders, s.regions = old.leaders, old.regions
  s.capacity, s.available, s.figuresTime = old.capacity, old.available, old.figuresTime
  if found then
    s.state, s.storeState = found.node_state, found.state
    s.leaders, s.regions = figure(old.leaders, tonumber(found.leaders)), figure(old.regions, tonumber(found.regions))
    s.capacity, s.available = bytes(old.capacity, found.capacity), bytes(old.available, found.available)
    if s.leaders ~= old.leaders or s.regions ~= old.regions or s.available ~= old.available then
      s.figuresTime = time.format(w.now)
    end
    if found.state ~= "Up" and found.heartbeat_age then
      s.lastHeartbeat = old.storeState == found.state and old.lastHeartbeat
        or time.format(w.now - found.heartbeat_age)
    end
  end
  if facts.leaving then
    s.progress = old.progress
    if found then
      local left = tonumber(found.regions) or 0
      s.progress = { regionsLeft = left, leadersLeft = tonumber(found.leaders) or 0,
        regionsTotal = math.max(old.progress and tonumber(old.progress.regionsTotal) or 0, left) }
    end
  end
  if found and (s.reason == "EvictingLeaders" and not facts.leaving or s.reason == "LeadersEvicted") then
    s.progress = eviction.progress(w, old, found)
  end
  local delay = status.delay(old, s, MATTERS, s.progress and PROGRESS_LATER or figures_later(w))
  if old.storeState and s.storeState ~= old.storeState then delay = 0 end
  return s, patience(s, old, delay)
end

---@param i instance
---@param found table? the member, when PD is known
function M.pd(w, t, i, id, found)
  local known = w.pd ~= nil and w.pd.known
  local facts = { id = id, cluster_id = id ~= "" and known and w.pd.cluster_id or nil }
  if known then facts.healthy = found ~= nil and found.healthy ~= false end
  facts.more = { conditions.of("Initialized", known and (id ~= "") or nil,
    not known and "Unavailable" or id ~= "" and "Initialized" or "Uninitialized") }
  local s, old = common(w, t, i, facts)
  s.isLeader, s.healthy = old.isLeader == true, old.healthy
  if known then
    s.isLeader = w.pd.leader ~= nil and found ~= nil and w.pd.leader.id == found.id
    s.healthy = found ~= nil and found.healthy == true
  end
  if s.phase == "Starting" and w.object.spec.replicas and not (w.object.metadata.annotations or {})
    [kube.annotation.initial_cluster] then
    s.phase = "Joining"
    if old.phase == s.phase and (old.reason or "") == s.reason then s.since = old.since or s.since end
  end
  local delay = status.delay(old, s, MATTERS, 60)
  if s.isLeader ~= (old.isLeader == true) and old.phase then delay = math.min(delay, 1) end
  return s, patience(s, old, delay)
end

return M
