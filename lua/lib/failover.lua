--- failover: which stores are lost for good, and when nothing may be concluded from that.
-- A store is lost when a settled PD calls it Down and has not heard of it for storeDownSeconds, by PD's own
-- clock and while we watched. It only gets a mark; lib/replacing does the rest, and takes it back when the
-- store returns before it is needed no more.
local kube = require "lib.kube"
local members = require "lib.members"
local questions = require "lib.questions"
local replacing = require "lib.replacing"

local M = {}

M.START = 300 -- seconds that a new pod is given to speak to PD
local OUTAGE = 60 -- seconds that PD may be unknown without our watch beginning anew
local SILENT = 30 -- a living store was heard within this time

---Pods are asked for only while some instance is missed: how long they had to speak to PD.
function M.needs(group, out)
  local s = group.status or {}
  if (s.readyReplicas or 0) >= (tonumber(group.spec.replicas) or 1) then return end
  out[#out + 1] = { as = "pods", kind = "Pod", label = { kube.label.group, group.metadata.name },
    fields = { name = "metadata.name", created = "metadata.creationTimestamp", phase = "status.phase" } }
end

---Limits of a group, as it or a policy says. Policies are asked only for what is looked at: a broken one
---holds nothing while every store is there.
---@return {enabled: boolean, store: number, member: number, most: number}
function M.limits(w)
  local f = w.object.spec.failover or {}
  local of = { group = w.object.metadata.name, component = kube.component[w.object.kind] }
  local asked = {
    store = function() return questions.tune(w, "tune_store_down_seconds", of, tonumber(f.storeDownSeconds) or 1800) end,
    most = function() return questions.tune(w, "tune_max_failover", of, tonumber(f.maxFailover) or 1) end,
  }
  return setmetatable({ enabled = f.enabled ~= false, member = tonumber(f.memberDownSeconds) or 600 },
    { __index = function(limits, key)
      limits[key] = asked[key]()
      return limits[key]
    end })
end

---What status remembers: since when PD was seen without a gap. Pause, suspend and an outage begin it anew.
---@return {watchingSince: string?, unknownSince: string?}?
function M.watch(w)
  local old = (w.object.status or {}).failover or {}
  if not w.cluster or w.cluster.paused or w.cluster.suspend or w.deleting then return nil end
  if not (w.pd and w.pd.known) then
    if not old.watchingSince then return nil end
    return { watchingSince = old.watchingSince, unknownSince = old.unknownSince or time.format(w.now) }
  end
  local gap = old.unknownSince and time.parse(old.unknownSince)
  if gap and w.now - gap > OUTAGE then return { watchingSince = time.format(w.now) } end
  return { watchingSince = old.watchingSince or time.format(w.now) }
end

---Seconds since when we have watched, 0 when we have just begun.
function M.watched(w)
  local f = (w.object.status or {}).failover or {}
  local gap = f.unknownSince and time.parse(f.unknownSince)
  local since = time.parse(f.watchingSince or "")
  if not since or gap and w.now - gap > OUTAGE then return 0 end
  return math.max(w.now - since, 0)
end

---Why nothing may be concluded from what PD says, or nothing be replaced now.
---@return string? reason
---@return string? message
function M.blind(w)
  local pd = w.pd
  if not (pd and pd.known) then return "PDUnknown", tostring(pd and pd.reason or "PD was not asked yet") end
  if pd.history then return "PDHistoryChanged", tostring(pd.history) end
  if (w.cluster.id or "") == "" or pd.cluster_id ~= w.cluster.id then
    return "PDHistoryChanged", ("PD has cluster id %s, recorded is %s"):format(pd.cluster_id, tostring(w.cluster.id))
  end
  if not pd.leader then return "PDNoLeader", "PD has no leader" end
  local healthy = 0
  for _, m in ipairs(pd.members or {}) do if m.healthy == true then healthy = healthy + 1 end end
  if healthy * 2 <= #(pd.members or {}) then
    return "PDNoLeader", ("%d of %d members of PD are healthy"):format(healthy, #pd.members)
  end
  if not pd.settled then return "PDNotSettled", "PD's leader is new: what it calls Down proves nothing yet" end
  if pd.halted then return "SchedulingHalted", "scheduling is halted in PD: a new store would stay empty" end
end

local function away(s)
  return s.state == "Down" or s.state == "Disconnected"
    or s.state == "Offline" and (tonumber(s.heartbeat_age) or 0) > SILENT
end

---Too many at once are no lost disks: a network, a zone, a mistake. Then a person looks.
---@return string? message
function M.mass(w)
  local level = w.pd.replication and (w.pd.replication.location_labels or {})[1]
  local all, gone, zones = 0, 0, {}
  for _, s in ipairs(w.pd.stores or {}) do
    if s.state ~= "Tombstone" then
      local zone = level and (s.labels or {})[level]
      local z = zone and (zones[zone] or { all = 0, gone = 0 })
      if z then zones[zone] = z end
      all = all + 1
      if z then z.all = z.all + 1 end
      if away(s) then
        gone = gone + 1
        if z then z.gone = z.gone + 1 end
      end
    end
  end
  if gone * 3 > all then return ("%d of %d stores are away, more than a third"):format(gone, all) end
  for name, z in pairs(zones) do
    -- two of a hundred may die by themselves, two of five have something in common
    if z.gone >= 2 and z.gone * 3 >= z.all then
      return ("%d of %d stores with %s=%s are away"):format(z.gone, z.all, level, name)
    end
  end
end

local function stores_by_id(w)
  local out = {}
  for _, s in ipairs(w.pd.stores or {}) do out[s.id] = s end
  return out
end

-- A pod that has just been made may still bring its store back; for ever new ones do not.
local function young(w, m, silent, limit)
  local pod
  for _, x in ipairs(w.pods or {}) do if x.name == m.pod then pod = x end end
  local made = pod and time.parse(pod.created or "")
  return made ~= nil and w.now - made < M.START and silent < 2 * limit
end

---@class suspect
---@field member member
---@field store table
---@field left number seconds until it counts as lost, 0: it does

---Instances whose store does not serve, those that count as lost first.
---@param list member[]
---@return suspect[]
function M.suspects(w, list, limits)
  local stores, watched, out = stores_by_id(w), M.watched(w), {}
  for _, m in ipairs(list) do
    local s = stores[m.row.id or ""]
    if s and not m.leaving and (s.state == "Down" or s.state == "Disconnected") then
      local silent = tonumber(s.heartbeat_age) or 0
      local left = math.max(limits.store - math.min(silent, watched), 0)
      if left == 0 and (s.state ~= "Down" or young(w, m, silent, limits.store)) then left = 10 end
      out[#out + 1] = { member = m, store = s, left = left, silent = silent }
    end
  end
  table.sort(out, function(a, b)
    if a.left ~= b.left then return a.left < b.left end
    return a.member.name < b.member.name
  end)
  return out
end

-- A store that was given up and is back: the one with less to lose goes.
local function returned(w, p, list)
  local stores = stores_by_id(w)
  for _, m in ipairs(replacing.marked(list)) do
    local s = stores[m.row.id or ""]
    local alive = s and m.row.replace == "failover" and (s.state == "Up"
      or s.state == "Offline" and s.heartbeat_age ~= nil and s.heartbeat_age < SILENT)
    if alive and not s.destroyed then
      local spare = replacing.spare(list, m)
      local other = spare and stores[spare.row.id or ""] or {}
      if (tonumber(s.regions) or 0) >= (tonumber(other.regions) or 0) then
        replacing.undo(p, m)
        p:event("Normal", "StoreReturned", "store %s of %s is back and stays%s", s.id, m.name,
          spare and "; " .. spare.name .. " is not needed" or "")
      end
    end
  end
end

---Step: stores that came back stay, lost ones are marked, as many at once as the group allows.
---@param list member[]
function M.stores(w, p, list)
  local limits = M.limits(w)
  if M.blind(w) then return end
  returned(w, p, list)
  -- a person's word about one disk waits for no limit
  for _, s in ipairs(M.suspects(w, list, limits)) do
    if s.member.row.destroyed == s.store.id then replacing.mark(p, s.member, "destroyed") end
  end
  if not limits.enabled or M.mass(w) then return end
  local busy = #members.where(replacing.marked(list), function(m) return m.row.replace == "failover" end)
  for _, s in ipairs(M.suspects(w, list, limits)) do
    local m = s.member
    if s.left > 0 or busy >= limits.most then return end
    if not m.row.hold and w.pods and m.row.destroyed ~= s.store.id then
      local ok, why = questions.can(w, "can_fail_over", { group = w.object.metadata.name, component = "tikv",
        instance = m.name, store = s.store.id, seconds = s.silent }, p)
      if not ok then return p:retry(30, "PolicyDenied", "can_fail_over: %s", why) end
      busy = busy + 1
      replacing.mark(p, m, "failover")
      p:event("Warning", "StoreLost", "store %s of %s has been silent for %d minutes and is replaced", s.store.id,
        m.name, math.floor(s.silent / 60))
    end
  end
end

---Step, before the group settles: what is known of stores that are away, and what is done about it.
---@param list member[]
---@return verdict?
function M.told(w, p, list)
  local reason, why = M.blind(w)
  if reason then
    local missed = members.where(list, function(m) return m.lost end)[1]
    if missed and reason == "SchedulingHalted" then return p:retry(30, reason, "%s; %s waits", why, missed.name) end
    return
  end
  local limits = M.limits(w)
  local suspects = M.suspects(w, list, limits)
  local first = suspects[1]
  if not first then return end
  p:watch_pd()
  local m, what = first.member, ("store %s of %s is %s"):format(first.store.id, first.member.name, first.store.state)
  local mass = M.mass(w)
  if mass then
    return p:retry(30, "MassFailure", "%s; nothing is replaced", mass)
  end
  if not limits.enabled or limits.most == 0 then
    return p:retry(60, "FailoverOff", "%s; failover is off in this group", what)
  end
  if m.row.hold then return p:wait("Held", "%s; it is held: %s", what, m.row.hold) end
  if first.left > 0 then
    local heard = m.row.heard or "a while ago"
    return p:retry(math.min(first.left, 300), "StoreSilent", "%s, heard last %s; after %d minutes it is replaced", what,
      heard, math.ceil(limits.store / 60))
  end
  if not w.pods then return p:retry(1, "StoreSilent", "%s", what) end
  return p:retry(30, "FailoverLimit", "%s; %d is replaced already, maxFailover is %d", what,
    #replacing.marked(list), limits.most)
end

return M
