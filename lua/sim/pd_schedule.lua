--- pd_schedule: PD's orders: leaders leave evicted stores, peers leave Removing and dead ones, balance.
-- Part of pd.Cluster. A pass runs when something woke it; it comes again by itself only while it has
-- something to do. Orders are carried out by the stores after a moment, also when their reason is
-- gone (a cancelled drain goes on with what was ordered).
local Cluster = {}

local PASS = 50               -- eviction: five leaders in 50 ms, a hundred in 0.3 s
local LEADERS_A_PASS = 16
local CARRY_OUT = 250         -- a peer move, data apart
local PREPARE = 2700          -- from enough region heartbeats to running schedulers
local PREPARE_ANYWAY = 300000
local FRESH = 6               -- peers a store may take at once under a new PD leader
local LEADER_GAP, REGION_GAP = 10, 5 -- smaller differences are tolerated

local DEFAULTS = { "balance-hot-region-scheduler", "balance-leader-scheduler", "balance-region-scheduler",
  "evict-slow-store-scheduler" }

local function copy(set)
  local out = {}
  for k, v in pairs(set) do out[k] = v end
  return out
end

-- Schedulers --------------------------------------------------------------------------------------

--- After a change to a running follower at once, after a restart when enough regions were heard.
function Cluster:start_coordinator(synced)
  self.coordinator, self.preparing, self.evict, self.paused, self.stuck = false, false, {}, {}, {}
  if synced and self.bootstrapped then return self:run_coordinator() end
  if self.bootstrapped then self:later(PREPARE_ANYWAY, function() self:run_coordinator() end) end
end

function Cluster:prepare_coordinator()
  if self.preparing or not self.leader then return end
  self.preparing = true
  self:later(PREPARE, function() self:run_coordinator() end)
end

--- A saved eviction that names a purged store is lost as a whole, silently (S23). 8.5 had begun with the living
--- stores by then: it refuses to evict them until another leads.
function Cluster:run_coordinator()
  if self.coordinator then return end
  self.coordinator = true
  self.evict = copy(self.evict_saved)
  local lost = false
  for id in pairs(self.evict_saved) do lost = lost or not self.stores[id] end
  if lost then self.evict = {} end
  if lost and not self:at_least(9, 0, 0) then self.stuck, self.evict_saved = self.evict_saved, {} end
  self:wake()
end

---@param status? string "paused", "disabled"
function Cluster:schedulers(status)
  local out = {}
  if self.coordinator then
    for i, name in ipairs(DEFAULTS) do out[i] = name end
    if self:at_least(8, 5, 5) then out[#out + 1] = "evict-stopping-store-scheduler" end
    if next(self.grant) then out[#out + 1] = "grant-leader-scheduler" end
  end
  if next(self.evict) then out[#out + 1] = "evict-leader-scheduler" end
  if status == "disabled" then return {} end
  if status == "paused" then
    local paused = {}
    for _, name in ipairs(out) do
      if self:is_paused(name) then paused[#paused + 1] = name end
    end
    return paused
  end
  return out
end

function Cluster:is_paused(name)
  return (self.paused[name] or 0) > sim.now_ms()
end

--- In the start window this overwrites what was saved (S23). Returns true when the scheduler is new.
function Cluster:evict_store(id)
  local new = not next(self.evict)
  self.evict[id] = true
  self.evict_saved = copy(self.evict)
  self.revision = self.revision + 1
  self:wake(20)
  return new
end

--- Returns false when the store is not evicted, as far as PD knows now.
function Cluster:end_evict(id)
  if not self.evict[id] then return false end
  self.evict[id] = nil
  if not next(self.evict) then self.batch = 3 end
  self.evict_saved = copy(self.evict)
  self.revision = self.revision + 1
  self:wake(1000)
  return true
end

function Cluster:end_all_evictions()
  if not next(self.evict) then return false end
  for id in pairs(copy(self.evict)) do self:end_evict(id) end
  return true
end

--- A store says in its heartbeats that it is stopping.
function Cluster:set_stopping(s, on)
  s.stopping = false
  if on then
    self:later(3500, function()
      s.stopping = true
      self:wake()
    end)
  end
end

-- Passes ------------------------------------------------------------------------------------------

function Cluster:wake(ms)
  local due = sim.now_ms() + (ms or PASS)
  if self.pass_due and self.pass_due <= due then return end
  self.pass_due = due
  self:later(due - sim.now_ms(), function()
    if self.pass_due ~= due then return end
    self.pass_due = nil
    self:pass()
  end, true)
end

function Cluster:halted()
  return self.config.schedule["halt-scheduling"] == "true"
end

local function sooner(a, b)
  return a and b and math.min(a, b) or a or b
end

function Cluster:pass()
  if not self:has_leader() or not self.coordinator or self:halted() or self.leader.wedged
    or self:unsafe_running() then return end
  local up = {}
  for id, s in sim.pairs(self.stores) do
    if s.node_state < 2 and self:state_name(s) == "Up" then up[#up + 1] = id end
  end
  local again = self:evict_leaders(up)
  local order, busy = self:repair(up)
  again = sooner(again, order)
  if not busy then again = sooner(again, self:balance(up)) end
  if again then self:wake(again) end
end

local function fewest(ids, count, fits)
  local best
  for _, id in ipairs(ids) do
    if fits(id) and (not best or (count[id] or 0) < (count[best] or 0)) then best = id end
  end
  return best
end

function Cluster:evicted(id)
  local s = self.stores[id]
  return (self.evict[id] and not self:is_paused "evict-leader-scheduler") or (s and s.stopping) or false
end

--- Leaders go to the peer with the fewest; where every peer is evicted they stay.
function Cluster:evict_leaders(up)
  local victims, moved = false, 0
  for id in pairs(self.stores) do
    if (self.led[id] or 0) > 0 and self:evicted(id) then victims = true end
  end
  if not victims or not self.obey then return end
  local may = {}
  for _, id in ipairs(up) do may[id] = not self:evicted(id) and self:alive(id) end
  for _, r in ipairs(self.regions) do
    if self:evicted(r.leader) and self:alive(r.leader) then
      local to = fewest(r.peers, self.led, function(id) return may[id] end)
      if to then
        self:lead_region(r, to)
        moved = moved + 1
        if moved == LEADERS_A_PASS then return PASS end
      end
    end
  end
end

--- A new PD leader does not know what was spent.
function Cluster:fresh_budgets()
  self.tokens = {}
  if self.term < 2 then return end
  for id in pairs(self.stores) do self.tokens[id] = { n = FRESH, at = sim.now_ms() } end
end

--- A budget of one peer per target, filled at the rate of add-peer. Regions without data are free.
--- Returns true, or false and when to ask again.
function Cluster:take_token(id, r)
  if r.young or self:size_of(r) == 0 then return true end
  local t, now = self.tokens[id], sim.now_ms()
  if not t then
    t = { n = 1, at = now }
    self.tokens[id] = t
  end
  local rate = self.stores[id].limits.add / 60000
  if t.n < 1 then t.n = math.min(1, t.n + (now - t.at) * rate) end
  t.at = now
  if t.n < 0.999 then return false, math.ceil((1 - t.n) / rate) end
  t.n = t.n - 1
  return true
end

local function misplaced(c, r)
  for _, id in ipairs(r.peers) do
    local s = c.stores[id]
    if not s or s.node_state >= 2 then return id end
    if c:down_for(r, id) and c:state_name(s) == "Down" then return id end
  end
end

--- Returns when to come again, and whether anything was to be done.
function Cluster:repair(up)
  local again, busy = nil, false
  for _, r in ipairs(self.regions) do
    local from = misplaced(self, r)
    local differ = self:peers_differ(r)
    if (from or differ ~= 0) and not self:ordered(r) then
      local wait
      busy = true
      if differ > 0 then
        self:give_order(r, self:surplus(r), nil)
      elseif #self.regions > 0 and not self:dead_region(r) then
        wait = self:order_peer(r, from, up)
      end
      again = sooner(again, wait)
    end
  end
  return again, busy
end

--- A region without a living leader takes no orders, and one whose leader was never heard neither.
function Cluster:dead_region(r)
  return not self:alive(r.leader) or not self:heard(r)
end

function Cluster:surplus(r)
  if r.learners and r.learners[1] then return r.learners[1] end
  for i = #r.peers, 1, -1 do
    if r.peers[i] ~= r.leader then return r.peers[i] end
  end
end

function Cluster:order_peer(r, from, up)
  local wait, full = nil, {}
  local peers = self:planned(up)
  while true do
    local to = fewest(up, peers, function(id) return not self:has(r.peers, id) and not full[id] end)
    if not to then return wait end
    local ok, later = self:take_token(to, r)
    if ok then
      self:give_order(r, from, to)
      return wait
    end
    full[to], wait = true, sooner(wait, later)
  end
end

--- Peers that stores will have when all orders are carried out.
function Cluster:planned(up)
  local out = {}
  for _, id in ipairs(up) do out[id] = (self.held[id] or 0) + (self.coming and self.coming[id] or 0) end
  return out
end

-- Orders ------------------------------------------------------------------------------------------

function Cluster:ordered(r)
  return r.order ~= nil and r.order.term == self.term
end

function Cluster:give_order(r, from, to)
  local order = { term = self.term, from = from, to = to, given_ms = sim.now_ms() }
  r.order = order
  self.coming = self.coming or {}
  if to then self.coming[to] = (self.coming[to] or 0) + 1 end
  self:later(CARRY_OUT / 2, function() order.started = true end, true)
  self:later(CARRY_OUT, function() self:carry_out(r, order) end, true)
end

function Cluster:carry_out(r, order)
  if r.order ~= order then return end
  if not self.obey then
    order.stuck = true
    return
  end
  local from, to = order.from, order.to
  r.order = nil
  if to then self.coming[to] = self.coming[to] - 1 end
  if self.region_by_id[r.id] ~= r then return end
  if self:alive(r.leader) and (not to or self:alive(to)) then self:move_peer(r, from, to) end
  self:wake()
end

function Cluster:move_peer(r, from, to)
  if to and not self:has(r.peers, to) then self:place(r, to) end
  if from and self:has(r.learners, from) then return self:drop_learner(r, from) end
  if from and self:has(r.peers, from) then
    if r.leader == from then
      local heir = fewest(r.peers, self.led, function(id)
        return id ~= from and self:alive(id) and not self:evicted(id)
      end)
      self:lead_region(r, heir or to or r.peers[1])
    end
    self:unplace(r, from)
  end
  if r.young and not from then self:scatter(r) end
end

--- New regions spread their leaders as they get their peers.
function Cluster:scatter(r)
  local best = fewest(r.peers, self.led, function(id) return self:alive(id) and not self:evicted(id) end)
  if best and (self.led[r.leader] or 0) - (self.led[best] or 0) > 1 then self:lead_region(r, best) end
  if #r.peers >= self:max_replicas() then r.young = nil end
end

--- Stores ignore orders from now on, or obey again.
function Cluster:set_obey(on)
  self.obey = on
  if not on then return end
  for _, r in ipairs(self.regions) do
    if r.order and r.order.stuck then self:carry_out(r, r.order) end
  end
  self:wake()
end

-- Balance -----------------------------------------------------------------------------------------

local function extremes(ids, count, high_fits, low_fits)
  local high, low
  for _, id in ipairs(ids) do
    if high_fits(id) and (not high or (count[id] or 0) > (count[high] or 0)) then high = id end
    if low_fits(id) and (not low or (count[id] or 0) < (count[low] or 0)) then low = id end
  end
  if high and low then return high, low, (count[high] or 0) - (count[low] or 0) end
  return nil, nil, 0
end

local function anybody() return true end

function Cluster:balance(up)
  if not self.obey then return end
  local leaders = self:balance_leaders(up)
  local peers = self:planned(up)
  local high, low, gap = extremes(up, peers, anybody, anybody)
  if gap <= REGION_GAP then return leaders end
  for _, r in ipairs(self.regions) do
    if self:has(r.peers, high) and not self:has(r.peers, low) and not self:ordered(r) and not self:dead_region(r) then
      local ok, later = self:take_token(low, r)
      if ok then self:give_order(r, high, low) end
      return sooner(leaders, later)
    end
  end
  return leaders
end

function Cluster:balance_leaders(up)
  local function open(id) return not self:evicted(id) end
  for _ = 1, LEADERS_A_PASS do
    local high, low, gap = extremes(up, self.led, anybody, open)
    if gap <= LEADER_GAP then return end
    local found
    for _, r in ipairs(self.regions) do
      if r.leader == high and self:has(r.peers, low) and self:alive(low) then
        found = r
        break
      end
    end
    if not found then return end
    self:lead_region(found, low)
  end
  return PASS
end

return { methods = Cluster }
