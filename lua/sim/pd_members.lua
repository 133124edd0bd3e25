--- pd_members: members of a PD cluster, its quorum, its leader, joins and removals.
-- Part of pd.Cluster. A member is { name, id, peer_url, client_url, up, started, up_ms, synced,
-- priority, version, hung, removed_ms, wedged }. `synced`: it ran while somebody led, so that it
-- knows the regions when it takes over.
local J = require "sim.pd_json"

local Cluster = {}

local LEASE = 12000    -- until a dead leader is replaced
local RESTART = 5000   -- the same where all were down
local DELETED = 13000  -- the same after its removal
local GRACEFUL = 1500  -- and after SIGTERM
local HUNG = 16000     -- and when it hangs
local CONNECTED = 5000 -- etcd believes in a connection of this age
local PRIORITY = 51000 -- the loop that compares priorities
local SEEN = 40000     -- so long a dead member may go unnoticed by who asks PD
local ZOMBIE = 62000   -- so long a removed follower goes on forwarding

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
    if m.up and not m.hung then up = up + 1 end
  end
  return up * 2 > #self.members
end

function Cluster:has_leader()
  return self.leader ~= nil and (self.leader.hung or self:quorum())
end

--- Add a member before its process serves, as a join or the founding does. A joiner has no name yet.
function Cluster:add_member(name, peer_url)
  local m = { name = name, id = J.big_id(), peer_url = peer_url, up = false,
    added_ms = sim.now_ms(), priority = 0 }
  self.members[#self.members + 1] = m
  self.revision = self.revision + 1
  self:elect()
  return m
end

--- Connected to the leader for long enough that etcd counts on it.
function Cluster:connected(m)
  return m == self.leader or (m.up and not m.hung and sim.now_ms() - (m.up_ms or 0) >= CONNECTED)
end

--- Why a join is refused now, or nil and, when an interrupted one may go on, its member.
function Cluster:join_refusal(name, peer_url)
  if not self:has_leader() then return "no leader" end
  for _, m in ipairs(self.members) do
    if not m.name and m.peer_url == peer_url then return nil, m end
    if not m.name then return ("there is a member %s that has not joined successfully"):format(m.id) end
    if m.name == name then return "missing data or join a duplicated pd" end
  end
  for _, m in ipairs(self.members) do
    if not self:connected(m) then return "etcdserver: unhealthy cluster" end
  end
end

--- A process starts or ends. m.graceful (SIGTERM) is looked at when it ends.
function Cluster:set_up(m, up)
  m.up, m.hung = up, false
  if up then
    m.started = true
    m.up_ms = m.up_ms or sim.now_ms()
    m.start_ms = sim.now_ms()
    if self.leader then m.synced = true end
  else
    m.up_ms, m.synced, m.down_ms = nil, false, sim.now_ms()
    if self.leader == m then self:lose_leader(m.graceful and GRACEFUL or LEASE) end
  end
  self:elect()
end

--- SIGSTOP and SIGCONT.
function Cluster:hang(m, on)
  m.hung = on
  if not on then m.up_ms = sim.now_ms() end
  if on and self.leader == m then
    self:later(HUNG, function()
      if m.hung and self.leader == m then
        self:lose_leader(0)
        self:elect()
      end
    end)
  end
end

function Cluster:lose_leader(wait)
  self.lost = self.leader
  self.leader, self.lost_ms = nil, sim.now_ms()
  self.lease_until = sim.now_ms() + wait
end

--- Do followers still believe in a leader that is gone?
function Cluster:lease_runs()
  return self.lost ~= nil and sim.now_ms() < (self.lease_until or 0)
end

--- See who leads; come back when that is not yet clear.
function Cluster:elect()
  if self.leader and (self.leader.hung or self:quorum()) then return end
  if self.leader then self:lose_leader(0) end
  if not self:quorum() then
    self.quorum_ms = nil
    self.lease_until = math.min(self.lease_until or 0, (self.lost_ms or 0) + RESTART)
    self.quorum_lost_ms = self.quorum_lost_ms or sim.now_ms()
    return
  end
  local now = sim.now_ms()
  self.quorum_ms, self.quorum_lost_ms = self.quorum_ms or now, nil
  local due = math.max(self.quorum_ms + (self.leader_since and 700 or 1000), self.lease_until or 0)
  if now < due then
    if self.electing ~= due then
      self.electing = due
      self:later(due - now, function() self:elect() end, true)
    end
    return
  end
  local able = {}
  for _, m in ipairs(self.members) do
    if m.up and not m.hung and not m.wedged then able[#able + 1] = m end
    if m.name == self.prefer and m.up then return self:lead(m) end
  end
  if #able > 0 then self:lead(able[sim.choose(#able, "pd.leader")]) end
end

--- Somebody takes over: what was kept in memory only is lost (rule S8).
function Cluster:lead(m)
  local synced = m.synced
  self.leader, self.leader_since, self.lost = m, sim.now_ms(), nil
  self.term = self.term + 1
  self.revision = self.revision + 1
  self.prefer, self.quiet_until = nil, nil
  self.knows_leaders = synced
  self.progress = {}
  self:fresh_budgets()
  for _, x in ipairs(self.members) do
    if x.up then x.synced = true end
  end
  self:forget_heartbeats()
  self:start_coordinator(synced)
  self:start_jobs()
  for _, fn in ipairs(self.on_lead) do fn(self) end
end

--- Transfer or resign. Returns an error text, or nil; the new leader is there at once (S7).
function Cluster:transfer(m)
  if m == self.leader then return end
  if not m.up or m.hung then
    return "[PD:etcd:ErrEtcdMoveLeader]etcdserver: request timed out, leader transfer took too long: "
      .. "etcdserver: request timed out, leader transfer took too long"
  end
  if self.leader.wedged then -- it says yes and can not step down (S24)
    self:lose_leader(0)
    self.lease_until, self.quiet_until = sim.now_ms() + 43000, sim.now_ms() + 43000
    return self:elect()
  end
  self:lead(m)
end

function Cluster:resign()
  for _, m in ipairs(self.members) do
    if m ~= self.leader and m.up and not m.hung and (not self.prefer or m.name == self.prefer) then
      return self:transfer(m)
    end
  end
end

--- A higher priority pulls leadership over within a minute.
function Cluster:set_priority(m, priority)
  m.priority = priority
  self.revision = self.revision + 1
  self:later(PRIORITY, function()
    local best = self.leader
    for _, x in ipairs(self.members) do
      if best and x.up and x.priority > best.priority then best = x end
    end
    if best and best ~= self.leader then self:transfer(best) end
  end)
end

--- etcd's two refusals of a removal, or nil (S4).
function Cluster:removal_refusal(m)
  local started, active, left = 0, 0, #self.members - 1
  for _, x in ipairs(self.members) do
    if x ~= m and x.started then started = started + 1 end
    if self:connected(x) then active = active + 1 end
  end
  if left == 0 and self.removed_ms and sim.now_ms() - self.removed_ms < 1000 then
    return "rpc error: code = Unknown desc = raft: stopped"
  end
  if started < math.floor(left / 2) + 1 then
    return "etcdserver: re-configuration failed due to not enough started members"
  end
  if self:connected(m) and active - 1 < 1 + math.floor(left / 2) then return "etcdserver: unhealthy cluster" end
end

--- A member that starts with force-new-cluster goes on alone, with what its disk has.
function Cluster:force_new(m)
  for _, x in ipairs(self.members) do
    if x ~= m then x.removed, x.removed_ms = true, sim.now_ms() end
  end
  self.members, m.removed = { m }, nil
  self.revision = self.revision + 1
end

-- For the oracle: those that were seen to be down for long do not count on the next day.
function Cluster:look_at_majority(removed)
  local left = 0
  for _, x in ipairs(self.members) do
    if x.up or sim.now_ms() - (x.down_ms or x.added_ms) < SEEN then left = left + 1 end
  end
  if left * 2 <= #self.members and #self.members > 0 then self.left_without = removed.name or removed.id end
end

function Cluster:remove_member(m)
  for i, x in ipairs(self.members) do
    if x == m then table.remove(self.members, i) end
  end
  m.removed, m.removed_ms = true, sim.now_ms()
  self:look_at_majority(m)
  if m.up then self.removed_ms = m.removed_ms end
  self.revision = self.revision + 1
  if self.leader == m then
    m.led = true
    self:lose_leader(DELETED)
  end
  self:elect()
end

--- Does a removed member still pass requests on? "no", "yes", or "not leader" for a moment.
function Cluster:zombie_forwards(m)
  local now = sim.now_ms()
  if m.led or now - m.removed_ms >= ZOMBIE then return "no" end
  if (self.leader_since or 0) > m.removed_ms and now - self.leader_since < 2000 then return "not leader" end
  return "yes"
end

return { methods = Cluster }
