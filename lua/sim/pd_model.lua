--- pd_model: what a PD cluster knows and does over time: members, stores, regions, schedulers.
-- No HTTP here (pd_http) and no pods (pd, tikv). Times are milliseconds of the loop. Behaviour and
-- figures come from recordings of a real PD; where a figure is not modelled, it is absent.
local M = {}

local HEARTBEAT_LATE = 20000      -- Disconnected
local LEADER_LEASE = 12000        -- a dead leader is missed for so long
local SCHEDULERS_AFTER = 3000     -- of a leader without running predecessor, after region heartbeats
local JOB_TICK = 10000            -- node state changes at this pace
local MOVE_TICK = 4000            -- one peer per target store
local REGION_SIZE = 96            -- MiB
local GIB = 1024 * 1024 * 1024

local BALANCE = { "balance-leader-scheduler", "balance-hot-region-scheduler", "evict-slow-store-scheduler",
  "balance-region-scheduler" }

---@class pd.Cluster
local Cluster = {}
Cluster.__index = Cluster

--- Ids look like PD's: 64 bits, above 2^53, as decimal text.
local function big_id()
  local hex, out = sim.uuid():gsub("%-", ""), {}
  for i = 1, 17 do out[i] = tonumber(hex:sub(i, i), 16) % 10 end
  return "7" .. table.concat(out)
end

function M.new(conf)
  local c = setmetatable({
    id = big_id(),
    members = {},  -- list: { name, id, peer_url, client_url, up, started, added_ms, version }
    leader = nil,  -- member
    leader_since = nil,
    leader_lost_ms = nil,
    bootstrapped = false,
    stores = {},   -- by id (number) : see put_store
    regions = {},  -- list: { id, peers = {store ids}, leader, size }
    next_id = 1,
    evict = {},    -- store id -> true
    schedulers_ms = nil,
    config = {
      max_replicas = conf.max_replicas or 3, location_labels = conf.location_labels or "",
      isolation_level = "", halt = false, max_store_down_ms = conf.max_store_down_ms or 1800000,
    },
    revision = 10,
    region_count = conf.regions or 12,
  }, Cluster)
  c:tick()
  return c
end

function Cluster:alloc()
  self.next_id = self.next_id + 1
  return self.next_id - 1
end

-- Members ---------------------------------------------------------------------------------------

function Cluster:member(name)
  for _, m in ipairs(self.members) do
    if m.name == name then return m end
  end
end

function Cluster:member_by_id(id)
  for _, m in ipairs(self.members) do
    if m.id == id then return m end
  end
end

function Cluster:quorum()
  local up = 0
  for _, m in ipairs(self.members) do
    if m.up then up = up + 1 end
  end
  return up * 2 > #self.members
end

--- Add a member before its process serves, as a join or the founding does.
function Cluster:add_member(name, peer_url)
  local m = { name = name, id = big_id(), peer_url = peer_url, up = false, added_ms = sim.now_ms() }
  self.members[#self.members + 1] = m
  self.revision = self.revision + 1
  return m
end

--- Why a join is refused now, or nil.
function Cluster:join_refusal(name)
  if not self:has_leader() then return "no leader" end
  for _, m in ipairs(self.members) do
    if m.name == name and m.started then return "missing data or join a duplicated pd" end
    if not m.started then return "there is a member that has not joined successfully" end
    if not m.up then return "etcdserver: unhealthy cluster" end
  end
end

function Cluster:set_up(m, up)
  m.up = up
  if up then m.started = true end
  if up and m.up_ms == nil then m.up_ms = sim.now_ms() end
  if not up then m.up_ms = nil end
  if not up and self.leader == m then
    self.leader = nil
    self.leader_lost_ms = m.graceful and sim.now_ms() - LEADER_LEASE + 1000 or sim.now_ms()
  end
  self:elect()
end

function Cluster:remove_member(m)
  for i, x in ipairs(self.members) do
    if x == m then table.remove(self.members, i) end
  end
  m.removed = true
  self.revision = self.revision + 1
  if self.leader == m then
    self.leader = nil
    self.leader_lost_ms = sim.now_ms()
  end
end

function Cluster:lead(m)
  local anybody_ran = self.leader_since ~= nil and self.had_running_peer
  self.leader, self.leader_since, self.leader_lost_ms = m, sim.now_ms(), nil
  self.leader_start = math.floor(select(2, sim.wall()) / 1000)
  if not anybody_ran then self.schedulers_ms = sim.now_ms() + SCHEDULERS_AFTER end
  self.had_running_peer = true
end

function Cluster:elect()
  if self.leader and self:quorum() then return end
  if self.leader then
    self.leader, self.leader_lost_ms = nil, sim.now_ms()
  end
  if not self:quorum() then return end
  local wait = self.leader_since and LEADER_LEASE or 1000
  local lost = self.leader_lost_ms or self.founded_ms or sim.now_ms()
  self.founded_ms = self.founded_ms or sim.now_ms()
  if sim.now_ms() - lost < wait then return end
  for _, m in ipairs(self.members) do
    if m.up then return self:lead(m) end
  end
end

function Cluster:has_leader()
  return self.leader ~= nil and self:quorum()
end

-- Stores ------------------------------------------------------------------------------------------

--- PutStore: a TiKV starts. Returns the store, or nil and PD's refusal.
function Cluster:put_store(s)
  for id, other in sim.pairs(self.stores) do
    if other.address == s.address and id ~= s.id and other.node_state ~= 3 then
      return nil, "duplicated store address: " .. s.address
    end
  end
  local old = self.stores[s.id]
  if old and old.node_state == 3 then return nil, "store " .. s.id .. " has been removed" end
  local store = old or { id = s.id, node_state = self.bootstrapped and 0 or 1, labels = {} }
  store.address, store.status_address, store.version = s.address, s.status_address, s.version
  store.start_ms, store.capacity, store.process = sim.now_ms(), s.capacity, s.process
  for k, v in pairs(s.labels or {}) do store.labels[k] = v end
  self.stores[s.id] = store
  if not self.bootstrapped then
    self.bootstrapped = true
    for _ = 1, self.region_count do
      self.regions[#self.regions + 1] = { id = self:alloc(), peers = { s.id }, leader = s.id }
    end
  end
  return store
end

function Cluster:heartbeat(id)
  local store = self.stores[id]
  if store then store.heartbeat_ms = sim.now_ms() end
  return store
end

function Cluster:state_name(store)
  if store.node_state == 3 then return "Tombstone" end
  if store.node_state == 2 then return "Offline" end
  local silent = sim.now_ms() - (store.heartbeat_ms or -1e12)
  if silent > self.config.max_store_down_ms then return "Down" end
  if silent > HEARTBEAT_LATE then return "Disconnected" end
  return "Up"
end

function Cluster:counts(id)
  local leaders, peers = 0, 0
  for _, r in ipairs(self.regions) do
    if r.leader == id then leaders = leaders + 1 end
    for _, p in ipairs(r.peers) do
      if p == id then peers = peers + 1 end
    end
  end
  return leaders, peers
end

function Cluster:alive(id)
  local s = self.stores[id]
  return s ~= nil and s.process ~= nil and s.process.up
end

--- Peers that PD calls down: silent for ten minutes.
function Cluster:down_peers()
  local n = 0
  for _, r in ipairs(self.regions) do
    for _, p in ipairs(r.peers) do
      local s = self.stores[p]
      if not s or (not self:alive(p) and sim.now_ms() - (s.heartbeat_ms or 0) > 600000) then
        n = n + 1
        break
      end
    end
  end
  return n
end

-- Scheduling --------------------------------------------------------------------------------------

local function has(list, x)
  for i, y in ipairs(list) do
    if x == y then return i end
  end
end

function Cluster:schedulers()
  if not self.schedulers_ms or sim.now_ms() < self.schedulers_ms then return {} end
  local out = {}
  for i, s in ipairs(BALANCE) do out[i] = s end
  if next(self.evict) then out[#out + 1] = "evict-leader-scheduler" end
  return out
end

function Cluster:up_stores()
  local out = {}
  for id, s in sim.pairs(self.stores) do
    if s.node_state == 1 and self:state_name(s) == "Up" then out[#out + 1] = id end
  end
  return out
end

local function fewest(ids, count, skip)
  local best
  for _, id in ipairs(ids) do
    if not skip(id) and (not best or count[id] < count[best]) then best = id end
  end
  return best
end

function Cluster:fix_leaders(ids, leaders)
  for _, r in ipairs(self.regions) do
    local live = 0
    for _, p in ipairs(r.peers) do
      if self:alive(p) then live = live + 1 end
    end
    local l = r.leader
    local bad = not self:alive(l) or not has(r.peers, l) or self.evict[l]
      or (self.stores[l] and self.stores[l].node_state == 2)
    if bad and live * 2 > #r.peers then
      local to = fewest(ids, leaders, function(id)
        return not has(r.peers, id) or self.evict[id] or not self:alive(id)
      end)
      if to then
        leaders[l] = (leaders[l] or 1) - 1
        leaders[to] = leaders[to] + 1
        r.leader = to
      end
    end
  end
end

--- One pass of the checkers and balancers.
function Cluster:schedule()
  if not self:has_leader() or self.config.halt or #self:schedulers() == 0 then return end
  local ids = self:up_stores()
  local leaders, peers, moved = {}, {}, {}
  for id in pairs(self.stores) do leaders[id], peers[id] = self:counts(id) end
  self:fix_leaders(ids, leaders)
  for _, r in ipairs(self.regions) do
    local want = math.min(self.config.max_replicas, #ids)
    local gone
    for _, p in ipairs(r.peers) do
      local s = self.stores[p]
      if s and (s.node_state == 2 or self:state_name(s) == "Down") then gone = p end
    end
    if #r.peers < want or gone then
      local to = fewest(ids, peers, function(id) return has(r.peers, id) or (moved[id] or 0) >= 1 end)
      if to then
        moved[to] = (self.fast_until or 0) > sim.now_ms() and 0 or (moved[to] or 0) + (gone and 1 or 0)
        peers[to] = peers[to] + 1
        r.peers[#r.peers + 1] = to
        if gone then
          table.remove(r.peers, has(r.peers, gone))
          peers[gone] = peers[gone] - 1
          if r.leader == gone then r.leader = r.peers[1] end
        end
      end
    end
  end
  self:balance(ids, leaders, peers)
end

function Cluster:balance(ids, leaders, peers)
  for _, r in ipairs(self.regions) do
    local high, low
    for _, id in ipairs(ids) do
      if has(r.peers, id) and (not high or peers[id] > peers[high]) then high = id end
      if not has(r.peers, id) and (not low or peers[id] < peers[low]) then low = id end
    end
    if high and low and peers[high] - peers[low] > 1 and #r.peers >= self.config.max_replicas then
      r.peers[has(r.peers, high)] = low
      peers[high], peers[low] = peers[high] - 1, peers[low] + 1
      if r.leader == high then
        leaders[high], leaders[low] = leaders[high] - 1, leaders[low] + 1
        r.leader = low
      end
    end
    local best = fewest(ids, leaders, function(id) return not has(r.peers, id) or self.evict[id] or not self:alive(id) end)
    if best and leaders[r.leader] and leaders[r.leader] - leaders[best] > 1 then
      leaders[r.leader], leaders[best] = leaders[r.leader] - 1, leaders[best] + 1
      r.leader = best
    end
  end
end

function Cluster:node_states()
  for id, s in sim.pairs(self.stores) do
    if s.node_state == 0 and self:state_name(s) == "Up" then s.node_state = 1 end
    if s.node_state == 2 then
      local _, peers = self:counts(id)
      if peers == 0 then s.node_state = 3 end
    end
  end
end

--- Elections each half second, scheduling and node states at PD's pace.
function Cluster:tick()
  self.ticks = (self.ticks or 0) + 1
  self:elect()
  if self.ticks % (MOVE_TICK / 500) == 0 or (self.ticks % 2 == 0 and next(self.evict)) then self:schedule() end
  if self.ticks % (JOB_TICK / 500) == 0 and self:has_leader() then self:node_states() end
  if not self.stopped then sim.after(500, function() self:tick() end) end
end

function M.figures(store, peers)
  local used = peers * REGION_SIZE * 1024 * 1024
  return store.capacity or 100 * GIB, math.max((store.capacity or 100 * GIB) - used, 0), used
end

M.REGION_SIZE = REGION_SIZE
return M
