--- upgrade: how a changed template reaches the instances of a group: who gets it next, who not yet, and why.
-- The group only hands out: the template, or the permission to restart. An instance that has got it
-- restarts its own pod, see lib/restart. What is broken gets a template at once: it has nothing to lose.
local kube = require "lib.kube"
local bootstrap = require "lib.bootstrap"
local deadline = require "lib.deadline"
local hooks = require "lib.hooks"
local maintenance = require "lib.maintenance"
local members = require "lib.members"
local questions = require "lib.questions"
local restart = require "lib.restart"
local scaling = require "lib.scaling"
local version_order = require "lib.version_order"

local M = {}

local FIRST = 10 -- seconds that the first pod of a revision serves before another one is stopped

---@param group table
---@return {on_delete: boolean, max: integer, partition: integer, pause: number, zones: boolean}
local function strategy(group)
  local s = group.spec.updateStrategy or {}
  local r = s.rollingUpdate or {}
  return { on_delete = s.type == "OnDelete", max = tonumber(r.maxUnavailable) or 1, partition = tonumber(r.partition) or 0,
    pause = tonumber(r.pauseSeconds) or 0, zones = r.zoneParallel == true }
end

---@return string? since when a person has paused the changes of this group
local function paused(w) return (w.object.metadata.annotations or {})[kube.annotation.rollout_paused] end

local function stores_by_id(w)
  local out = {}
  for _, s in ipairs(w.pd and w.pd.known and w.pd.stores or {}) do out[s.id] = s end
  return out
end

local function ordinal(m)
  local _, n = kube.split(m.name)
  return tonumber(n) or math.huge
end

-- By its pod, or by the word of a leader of PD that has been one for a while: a new one calls every store
-- Disconnected.
local function broken(w, m, stores)
  if m.ready then return false end
  if m.row.unready ~= "InstanceNotHealthy" then return true end
  if (m.row.id or "") == "" then return w.now - (time.parse(m.row.since or "") or w.now) > restart.UNSEEN end
  if not (w.pd and w.pd.known and w.pd.settled) then return false end
  if w.object.kind == "PDGroup" then return m.pd ~= nil and m.pd.healthy == false end
  local s = stores[m.row.id or ""]
  return s ~= nil and s.state ~= "Up" and s.state ~= "Offline"
end

---Step, before anything that waits for health: those that run the wanted revision already (a way back),
---and those that do not serve, get the template at once.
function M.heal(w, p, list, rev)
  local s = strategy(w.object)
  local open = not s.on_delete and not paused(w) and version_order.held(w) == nil
  local stores = stores_by_id(w)
  for _, m in ipairs(list) do
    if p:full() then return end
    local may = open and ordinal(m) >= s.partition and not m.row.hold
    -- one that is called back is written by that first
    local free = not m.leaving and m.row.replace ~= members.UNDONE
    if m.outdated and free and (m.row.current == rev or may and broken(w, m, stores)) then scaling.again(w, p, m, rev, {}) end
  end
end

-- Has the template or the permission, and is not through with it.
local function busy(m, rev)
  if m.row.hold and m.ready then return false end
  if not m.ready then return true end
  if m.row.restart and m.row.restart == m.row.allowed and m.row.restart ~= m.row.restarted then return true end
  return not m.outdated and m.row.current ~= rev and not m.row.on_delete
end

-- Seconds until an instance has served long enough for the next one to be stopped.
local function serving_for(w, m, first, s)
  local since = time.parse(m.row.since or "")
  if not since or m.row.current == nil then return 0 end
  local least = tonumber(w.object.spec.minReadySeconds) or 0
  return math.max(since + math.max(least, first and FIRST or 0, s.pause) - w.now, 0)
end

local function wants_restart(w, m)
  local at = m.row.restart and m.row.restart ~= m.row.restarted and m.row.restart ~= m.row.allowed
    and time.parse(m.row.restart)
  return at ~= nil and at ~= false and at <= w.now
end

---@class upgrade.view
---@field todo member[] still to be handed the template or the permission
---@field kept member[] with the old revision, by partition or held
---@field busy member[] on their way
---@field changing boolean one of the busy ones runs, or ran, something else
---@field left number seconds until the last one has served long enough
---@field done integer
---@field total integer
local function look(w, list, rev, s)
  local v = { todo = {}, kept = {}, busy = {}, changing = false, left = 0, done = 0, total = 0 }
  for _, m in ipairs(members.live(list)) do
    v.total = v.total + 1
    if m.row.current == rev and not m.outdated then v.done = v.done + 1 end
    local behind = m.outdated or m.row.on_delete and m.row.current ~= rev and not s.on_delete
    if behind or wants_restart(w, m) then
      local keep = m.row.hold or behind and not wants_restart(w, m) and ordinal(m) < s.partition
      table.insert(keep and v.kept or v.todo, m)
    end
    if busy(m, rev) then
      v.busy[#v.busy + 1] = m
      v.changing = v.changing or m.row.current ~= nil and m.row.current ~= rev or m.ready
    end
  end
  for _, m in ipairs(members.live(list)) do
    if m.ready and m.row.current == rev then v.left = math.max(v.left, serving_for(w, m, v.done == 1 and v.total > 1, s)) end
  end
  return v
end

local function zones_of(w)
  local level = w.pd and w.pd.known and w.pd.replication and w.pd.replication.isolation_level or ""
  local out = {}
  if level == "" then return out end
  for _, s in ipairs(w.pd.stores or {}) do out[s.id] = (s.labels or {})[level] end
  return out
end

---Candidates, the first to go first: (PD) not the leader, then the highest ordinal.
local function order(w, todo)
  local leader = w.pd and w.pd.known and w.pd.leader and w.pd.leader.name
  local zones, figures, out = zones_of(w), stores_by_id(w), {}
  for n, m in ipairs(todo) do
    local s = figures[m.row.id or ""] or {}
    out[n] = { name = m.name, ordinal = ordinal(m), ready = m.ready, leader = m.pod == leader, zone = zones[m.row.id or ""],
      leaders = tonumber(s.leaders), regions = tonumber(s.regions), member = m }
  end
  table.sort(out, function(a, b)
    if a.leader ~= b.leader then return b.leader end
    if a.ordinal ~= b.ordinal then return a.ordinal > b.ordinal end
    return a.name > b.name
  end)
  return out
end

-- How many may be stopped at once, and of which zone; PD has one change at a time.
local function room(w, v, s)
  if w.object.kind == "PDGroup" then return 1 - #v.busy end
  local stores = tonumber(w.cluster.unavailable) or 1
  if not s.zones then return math.min(s.max, stores) - #v.busy end
  local zones, zone = zones_of(w), nil
  for _, m in ipairs(v.busy) do zone = zone or zones[m.row.id or ""] end
  if next(zones) == nil then return math.min(s.max, stores) - #v.busy end
  return stores - #v.busy, zone
end

local function choose(w, candidates, rev)
  local offered = {}
  for n, c in ipairs(candidates) do
    offered[n] = { name = c.name, ordinal = c.ordinal, ready = c.ready, leader = c.leader, zone = c.zone,
      leaders = c.leaders, regions = c.regions }
  end
  local best = questions.choose(w, "choose_next_update", offered, { group = w.object.metadata.name, revision = rev })
  for _, c in ipairs(candidates) do
    if best and c.name == best.name then return c end
  end
  return candidates[1]
end

-- What closes the gate of planned restarts, most lasting first.
local function closed(w, p, list, v, rev)
  local since = paused(w)
  if since then return "UpdatePaused", ("a person has paused changes of this group (%s)"):format(since) end
  local reason, why = version_order.held(w)
  if reason then return reason, why end
  local open, when, after = maintenance.open(w)
  if not open then return "MaintenanceClosed", when, after end
  local ok, no = questions.can(w, "can_update", { group = w.object.metadata.name,
    component = kube.component[w.object.kind], revision = rev, outdated = #v.todo }, p)
  if not ok then return "PolicyDenied", "can_update: " .. no, 30 end
  if w.object.kind == "PDGroup" then
    local seconds
    reason, why, seconds = bootstrap.join_blocked(w, list)
    if reason then return reason, why, seconds or 5 end
    return
  end
  if not (w.pd and w.pd.known) then return "PDUnknown", tostring(w.pd and w.pd.reason or "PD was not asked yet"), 5 end
  if w.pd.halted then return "SchedulingHalted", "scheduling is halted in PD", 30 end
  local c, limit = w.pd.counts or {}, tonumber(w.cluster.unavailable) or 1
  local gone = (c.Disconnected or 0) + (c.Down or 0)
  if gone >= limit and #v.busy == 0 then
    return "StoresUnavailable", ("%d stores do not serve, maxUnavailableStores is %d"):format(gone, limit), 5
  end
end

local function progress(verdict, v)
  local names = {}
  for n, m in ipairs(v.busy) do
    if n <= 10 then names[n] = m.name end
  end
  return verdict:progress { done = v.done, total = v.total, current = names[1] and json.array(names) or nil }
end

-- What is on its way, in the words of the first of them.
local function told(w, p, v)
  local m = v.busy[1]
  if not m then return p:wait("RollingUpdate", "%d of %d are up to date", v.done, v.total) end
  -- nothing wakes a group when PD's leader is settled, and then it may be known that one is broken
  return p:retry(math.min(deadline.left(w), 30), "RollingUpdate", "%d of %d are up to date; %s: %s", v.done, v.total, members.some(v.busy),
    (m.row.message or "") ~= "" and m.row.message or m.row.phase or "not looked at yet")
end

local function of_zone(candidates, zone)
  if not zone then return candidates end
  local out = {}
  for _, c in ipairs(candidates) do
    if c.zone == zone then out[#out + 1] = c end
  end
  return out
end

-- The mark of the eviction that follows goes along: one write less than if the store made it.
local function marked(w, m)
  for _, s in ipairs(w.object.kind == "TiKVGroup" and w.pd.stores or {}) do
    if s.id == m.row.id and not s.evicting and (tonumber(s.leaders) or 0) > 0 then return time.format(w.now) end
  end
end

local function give(w, p, v, m, rev)
  if v.done == 0 and not v.busy[1] then
    p:event("Normal", "UpdateStarted", "%d instances go to revision %s, one after the other", #v.todo, rev)
  end
  if m.outdated or m.row.on_delete then return scaling.again(w, p, m, rev, { evicting = marked(w, m) }) end
  p:patch_meta(kube.ref(kube.instance_kind[kube.component[w.object.kind]], m.row),
    { annotations = { [kube.annotation.allowed] = m.row.restart } })
end

---Step: one after the other gets the template.
function M.step(w, p, list, rev)
  local s = strategy(w.object)
  local v = look(w, list, rev, s)
  if s.on_delete then return M.on_delete(w, p, v, rev) end
  local free, zone = room(w, v, s)
  if v.todo[1] and free > 0 then
    local reason, why, after = closed(w, p, list, v, rev)
    if reason then return progress(after and p:retry(after, reason, "%s", why) or p:wait(reason, "%s", why), v) end
    if v.left > 0 then
      return progress(p:retry(math.max(v.left, 1), "RollingUpdate",
        "%d of %d are up to date; the last one serves for a while first", v.done, v.total), v)
    end
    local hook = hooks.begin(w, p, "Upgrade", rev)
    if hook then return progress(hook, v) end
    local candidates = of_zone(order(w, v.todo), zone)
    while free > 0 and candidates[1] and not p:full() do
      local c = choose(w, candidates, rev)
      give(w, p, v, c.member, rev)
      v.busy[#v.busy + 1], v.changing, free = c.member, true, free - 1
      for n = #candidates, 1, -1 do
        if candidates[n] == c then table.remove(candidates, n) end
      end
      candidates = of_zone(candidates, s.zones and c.zone or nil)
    end
  end
  if v.todo[1] or v.changing then return progress(told(w, p, v), v) end
  local hook = v.done == v.total and hooks.finish(w, p, "Upgrade")
  if hook then return hook end
  if v.kept[1] then
    return progress(p:wait("Partitioned", "%d instances keep what they have: %s", #v.kept, members.some(v.kept)), v)
  end
end

---Everybody gets the template and nobody restarts for it: pods that people delete are made from it.
function M.on_delete(w, p, v, rev)
  for _, list in ipairs { v.todo, v.kept } do
    for _, m in ipairs(list) do
      if p:full() then break end
      if m.outdated and not m.row.hold then scaling.again(w, p, m, rev, { on_delete = true }) end
    end
  end
  if v.done < v.total then
    return progress(p:wait("OnDelete", "%d of %d are up to date; the others are made anew when their pods are deleted",
      v.done, v.total), v)
  end
end

return M
