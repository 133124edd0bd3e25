--- pd_regions: regions, who holds and leads them, and how much of that the PD leader has heard.
-- Part of pd.Cluster. A region is { id, peers = {store ids}, learners, leader, size, pending, down,
-- conf_ver, version, start, stop, young }. `led` and `held` count leaders and peers by store.
-- A region is heard when its leader's store reported in this term of the PD leader: only then are
-- its size and its pending and down peers known.
local Cluster = {}

local SIZE = 96 -- MiB

local function has(list, x)
  for i, y in ipairs(list or {}) do
    if x == y then return i end
  end
end
Cluster.has = function(_, list, x) return has(list, x) end

local function hex(text)
  return (text:gsub(".", function(ch) return ("%02X"):format(ch:byte()) end))
end

local function add(count, id, n) count[id] = (count[id] or 0) + n end

--- n regions over the whole key space; peers_of(i) returns store ids, the leader first.
function Cluster:make_regions(n, peers_of)
  self.regions, self.region_by_id, self.led, self.held = {}, {}, {}, {}
  for i = 1, n do
    local peers = peers_of(i)
    local r = { id = self:alloc(), peers = peers, leader = peers[1], version = n, conf_ver = #peers + 2,
      start = i > 1 and hex(("t%03d"):format(i - 1)) or "", stop = i < n and hex(("t%03d"):format(i)) or "" }
    self.regions[i], self.region_by_id[r.id] = r, r
    for _, id in ipairs(peers) do add(self.held, id, 1) end
    add(self.led, r.leader, 1)
  end
end

function Cluster:place(r, id)
  r.peers[#r.peers + 1] = id
  r.conf_ver = r.conf_ver + 1
  add(self.held, id, 1)
end

function Cluster:unplace(r, id)
  table.remove(r.peers, has(r.peers, id))
  r.conf_ver = r.conf_ver + 1
  add(self.held, id, -1)
  if r.pending then r.pending[id] = nil end
  if r.down then r.down[id] = nil end
end

function Cluster:lead_region(r, id)
  add(self.led, r.leader, -1)
  add(self.led, id, 1)
  r.leader = id
end

function Cluster:add_learner(r, id)
  r.learners = r.learners or {}
  r.learners[#r.learners + 1] = id
  add(self.held, id, 1)
  self:wake()
end

function Cluster:drop_learner(r, id)
  local i = has(r.learners, id)
  if i then
    table.remove(r.learners, i)
    add(self.held, id, -1)
  end
end

--- The truth: leaders and peers on a store.
function Cluster:counts(id)
  return self.led[id] or 0, self.held[id] or 0
end

function Cluster:alive(id)
  local s = self.stores[id]
  return s ~= nil and s.process ~= nil and s.process.up == true
end

--- Has the PD leader heard of this region?
function Cluster:heard(r)
  local s = self.stores[r.leader]
  return s ~= nil and s.reported == self.term
end

function Cluster:size_of(r)
  return self:heard(r) and (r.size or SIZE) or 0
end

--- What PD believes of the leaders of a store.
function Cluster:leader_count(s)
  if s.frozen then return s.frozen.leaders end
  if self.knows_leaders or s.reported == self.term then return self.led[s.id] or 0 end
  return 0
end

function Cluster:region_count(s)
  if s.frozen then return s.frozen.peers end
  return self.held[s.id] or 0
end

--- Sizes that PD believes, by store: of its leaders, of its peers; and learners, pending peers.
function Cluster:sizes()
  local led, held, learners, pending = {}, {}, {}, {}
  for _, r in ipairs(self.regions) do
    local size = self:size_of(r)
    add(led, r.leader, size)
    for _, id in ipairs(r.peers) do add(held, id, size) end
    for _, id in ipairs(r.learners or {}) do
      add(held, id, size)
      add(learners, id, 1)
    end
    if r.pending and size > 0 then
      for id in pairs(r.pending) do add(pending, id, 1) end
    end
  end
  return { led = led, held = held, learners = learners, pending = pending }
end

--- Seconds since a peer is down, as its leader says: after ten minutes of silence.
function Cluster:down_for(r, id)
  if r.down and r.down[id] then return r.down[id] end
  if self:alive(id) then return end
  local s = self.stores[id]
  local silent = sim.now_ms() - (s and s.dead_ms or 0)
  return silent >= (self.conf.peer_down_ms or 600000) and math.floor(silent / 1000) or nil
end

function Cluster:is_down(r)
  for _, id in ipairs(r.peers) do
    if self:down_for(r, id) then return true end
  end
  return false
end

function Cluster:down_peers()
  local n = 0
  for _, r in ipairs(self.regions) do
    if self:heard(r) and self:is_down(r) then n = n + 1 end
  end
  return n
end

--- Is the number of peers what the rules ask for? -1, 0, 1.
function Cluster:peers_differ(r)
  local n = #r.peers
  if r.learners and #r.learners > 0 then return 1 end
  if n == self:max_replicas() then return 0 end
  return n < self:max_replicas() and -1 or 1
end

local CHECKS = {
  ["down-peer"] = function(c, r) return c:is_down(r) end,
  ["pending-peer"] = function(_, r) return r.pending ~= nil and next(r.pending) ~= nil end,
  ["miss-peer"] = function(c, r) return c:peers_differ(r) < 0 end,
  ["extra-peer"] = function(c, r) return c:peers_differ(r) > 0 end,
  ["learner-peer"] = function(_, r) return r.learners ~= nil and #r.learners > 0 end,
  ["empty-region"] = function(_, r) return (r.size or SIZE) <= 1 end,
  -- Judged again only by a heartbeat with a change, so a region off a Removing store shows up in motion.
  ["offline-peer"] = function(c, r)
    return r.order ~= nil and r.order.started and r.order.from ~= nil and (c.stores[r.order.from] or {}).node_state == 2
  end,
  ["oversized-region"] = function() return false end,
  ["undersized-region"] = function() return false end,
}

--- The regions of a check list, or nil when there is no such list.
function Cluster:check_list(kind)
  local check = CHECKS[kind]
  if not check then return end
  local out = {}
  for _, r in ipairs(self.regions) do
    if self:heard(r) and check(self, r) then out[#out + 1] = r end
  end
  return out
end

--- Placement only: PD does not look at the health of stores here.
function Cluster:replicated()
  local word = "REPLICATED"
  local stores = 0
  for _, s in pairs(self.stores) do
    if s.node_state < 2 then stores = stores + 1 end
  end
  for _, r in ipairs(self.regions) do
    if self:heard(r) and self:peers_differ(r) ~= 0 then
      if self:peers_differ(r) < 0 and stores < self:max_replicas() then return "PENDING" end
      word = "INPROGRESS"
    end
  end
  return word
end

-- Raft, which needs no PD --------------------------------------------------------------------------

--- Regions whose leader is dead choose another one, where a majority lives.
function Cluster:elect_region_leaders()
  self.headless = false
  for _, r in ipairs(self.regions) do
    if not self:alive(r.leader) or not has(r.peers, r.leader) then
      local living, best = 0, nil
      for _, id in ipairs(r.peers) do
        if self:alive(id) then
          living = living + 1
          if not best or (self.led[id] or 0) < (self.led[best] or 0) then best = id end
        end
      end
      if living * 2 > #r.peers then self:lead_region(r, best) else self.headless = true end
    end
  end
end

--- A store's process ended or came: its regions notice after an election timeout.
function Cluster:process_changed(id)
  local s = self.stores[id]
  if not s then return end
  s.dead_ms = not self:alive(id) and sim.now_ms() or nil
  if not s.dead_ms and not self.headless then return self:wake() end
  self:later(self.conf.raft_election_ms or 10000, function()
    self:elect_region_leaders()
    self:look_prepared()
    self:wake()
  end, true)
  if s.dead_ms then -- TiKV leaders report its peers after a while, which may set repair in motion
    self:later((self.conf.peer_down_ms or 600000) + 1000, function() self:wake() end, true)
  end
end

return { methods = Cluster, SIZE = SIZE }
