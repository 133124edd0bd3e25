--- pd_stores: store records: registration, heartbeats, states, labels, limits, burial.
-- Part of pd.Cluster. A store is { id, address, peer_address, status_address, version, labels = list
-- of {key, value}, node_state (0 Preparing, 1 Serving, 2 Removing, 3 Removed), destroyed, limits,
-- weights, start_ms, heartbeat_ms, saved_ms, stats, reported, process }. `saved_ms` is what PD has on
-- disk of its heartbeat, `stats`: a heartbeat came in this term, `reported`: the term in which its
-- regions were last reported.
local J = require "sim.pd_json"

local Cluster = {}

local LATE = 20000     -- Disconnected
local SAVE = 300000    -- PD writes heartbeats to disk at this pace
local JOB = 10000      -- node states change at this pace
local TAKEOVER = 300   -- the job's clock runs a little before a leader answers
local UNLIMITED = 100000000
local SMALL = 100      -- with fewer regions a store serves at once

local function describe(s)
  return ('id:%s address:"%s" version:"%s" peer_address:"%s" status_address:"%s" '):format(
    tostring(s.id), s.address, s.version, s.peer_address or s.address, s.status_address or "")
end

--- Another living record with this address, as an error text.
function Cluster:address_clash(s)
  for id, other in sim.pairs(self.stores) do
    if id ~= s.id and other.node_state ~= 3 and not other.destroyed then
      local peer = self:at_least(9, 0, 0) and other.peer_address == (s.peer_address or s.address) and "peer " or nil
      local kind = other.address == s.address and "" or peer
      if kind then
        return ("duplicated store %saddress: %s, already registered by %s"):format(kind, describe(s),
          describe(other))
      end
    end
  end
end

--- Labels against location-labels when they must match: an error text or nil.
function Cluster:labels_refusal(labels)
  local known = {}
  if self.config.replication["strictly-match-label"] ~= "true" then return end
  for key in self.config.replication["location-labels"]:gmatch "[^,]+" do
    known[key] = true
    local found = false
    for _, l in ipairs(labels) do found = found or l.key:lower() == key:lower() end
    if not found then return ("label configuration is incorrect, need to specify the key: %s "):format(key) end
  end
  for _, l in ipairs(labels) do
    if not known[l.key] then
      return ("key matching the label was not found in the PD, store label key: %s "):format(l.key)
    end
  end
end

--- The list with changes merged in: keys in any case, an empty value takes a label away.
function Cluster:merged_labels(labels, changes)
  local out = {}
  for i, l in ipairs(labels) do out[i] = l end
  for key, value in sim.pairs(changes) do
    local at
    for i, l in ipairs(out) do
      if l.key:lower() == key:lower() then at = i end
    end
    if value == "" then
      if at then table.remove(out, at) end
    else
      out[at or #out + 1] = { key = at and out[at].key or key, value = value }
    end
  end
  return out
end

local function version_refusal(c, s)
  if s.id == 0 or s.id == nil or not tostring(s.version):match "^v?%d+%.%d+%.%d+" then
    return "UNKNOWN: invalid put store " .. describe(s)
  end
  local major, minor = s.version:match "^v?(%d+)%.(%d+)"
  local a, b = c.config["cluster-version"]:match "^(%d+)%.(%d+)"
  if tonumber(major) * 1000 + tonumber(minor) < tonumber(a) * 1000 + tonumber(b) then
    return ("UNKNOWN: version should compatible with version  %s, got %s"):format(c.config["cluster-version"],
      s.version)
  end
end

--- The lowest version among living stores; it never falls by itself.
function Cluster:raise_version()
  local function value(text)
    local a, b, c = text:match "^v?(%d+)%.(%d+)%.(%d+)"
    return a and (a * 1000 + b) * 1000 + c or 0
  end
  local lowest
  for _, s in pairs(self.stores) do
    local mine = s.node_state ~= 3 and value(s.version)
    if mine and (not lowest or mine < value(lowest)) then lowest = s.version:gsub("^v", "") end
  end
  if lowest and value(lowest) > value(self.config["cluster-version"]) then self.config["cluster-version"] = lowest end
end

--- PutStore: a TiKV starts. The first one bootstraps the cluster. Returns the store, or nil and
--- PD's refusal.
function Cluster:put_store(s)
  local old = self.stores[s.id]
  local why = version_refusal(self, s)
  if why then return nil, why end
  if old and old.node_state == 3 then return nil, "STORE_TOMBSTONE: store is tombstone" end
  local labels = self:merged_labels(old and old.labels or {}, s.labels or {})
  why = self:address_clash(s) or self:labels_refusal(labels)
  if why then return nil, "UNKNOWN: " .. why end
  local store = old or { id = s.id, node_state = 0, limits = self:default_limits(), leader_weight = 1,
    region_weight = 1 }
  store.address, store.peer_address = s.address, s.peer_address or s.address
  store.status_address, store.version, store.labels = s.status_address, s.version, labels
  store.start_ms, store.capacity, store.process = sim.now_ms(), s.capacity, s.process or { up = true }
  self.stores[s.id] = store
  self.revision = self.revision + 1
  if not self.bootstrapped then self:bootstrap(s.id) end
  self:raise_version()
  self:process_changed(s.id)
  self:need_job()
  return store
end

function Cluster:bootstrap(id)
  self.bootstrapped, self.bootstrap_ms = true, sim.now_ms()
  self:make_regions(self.young, function() return { id } end)
  for _, r in ipairs(self.regions) do r.young = true end
  self:start_jobs()
end

--- StoreHeartbeat. Returns the store, or nil and PD's refusal.
function Cluster:heartbeat(id)
  local s = self.stores[id]
  if not s then return nil, ("UNKNOWN: store %s not found"):format(tostring(id)) end
  if s.node_state == 3 then return nil, "STORE_TOMBSTONE: store is tombstone" end
  local now = sim.now_ms()
  local news = not s.stats or now - (s.heartbeat_ms or 0) > LATE
  s.heartbeat_ms, s.stats = now, true
  if not s.saved_ms or now - s.saved_ms >= SAVE then s.saved_ms = now end
  if news then self:wake() end
  return s
end

function Cluster:default_limits()
  local l = self.config.schedule["default-store-limit"]
  if not l then return { add = self.balance_rate, remove = self.balance_rate } end -- 8.5: one rate, shown nowhere
  return { add = l["add-peer"], remove = l["remove-peer"] }
end

--- A new leader has of heartbeats only what is on disk.
function Cluster:forget_heartbeats()
  for _, s in pairs(self.stores) do
    s.heartbeat_ms, s.stats, s.saved_limits = s.saved_ms, false, nil
  end
end

--- Region heartbeats of all regions that a store leads.
function Cluster:report(id)
  local s = self.stores[id]
  if not s or s.node_state == 3 or (self.leader and self.leader.wedged) then return end
  if s.reported == self.term then return end
  s.reported = self.term
  self:look_prepared()
  self:wake()
end

--- Schedulers start when nine of ten regions were heard.
function Cluster:look_prepared()
  if self.coordinator or self.preparing then return end
  local heard = 0
  for id, s in pairs(self.stores) do
    if s.reported == self.term then heard = heard + (self.led[id] or 0) end
  end
  if heard >= 0.9 * #self.regions then self:prepare_coordinator() end
end

function Cluster:state_name(s)
  if s.node_state == 3 then return "Tombstone" end
  if s.node_state == 2 then return "Offline" end
  local silent = s.heartbeat_ms and sim.now_ms() - s.heartbeat_ms or math.huge
  if silent > self.max_store_down_ms then return "Down" end
  if silent > LATE then return "Disconnected" end
  return "Up"
end

-- Leaving -----------------------------------------------------------------------------------------

--- DELETE store. Returns status and text of a refusal, or nil (S11).
function Cluster:offline(s, force)
  local id = tostring(s.id)
  if s.node_state == 3 then return 410, ("[PD:core:ErrStoreRemoved]store %s has been removed"):format(id) end
  if s.node_state == 2 then
    if s.destroyed and not force then
      return 400, ("[PD:core:ErrStoreDestroyed]store %s has been physically destroyed"):format(id)
    end
    s.destroyed = s.destroyed or force or nil
    return
  end
  if not force then
    local up, free = 0, 0
    for other, x in pairs(self.stores) do
      if x.node_state < 2 then
        up = up + 1
        if other ~= s.id and not self.evict[other] then free = free + 1 end
      end
    end
    if up - 1 < self:max_replicas() then
      return 400, ("[PD:core:ErrStoresNotEnough]can not remove store %s since the number of up stores would be "
        .. "%d while need %d"):format(id, up - 1, self:max_replicas())
    elseif free == 0 then
      return 400, ("[PD:core:ErrNoStoreForRegionLeader]can not remove store %s since there are no extra up store "
        .. "to store the leader"):format(id)
    end
  end
  s.node_state, s.destroyed = 2, force or nil
  s.saved_limits = s.limits
  s.limits = { add = s.limits.add, remove = UNLIMITED }
  self.revision = self.revision + 1
  self:need_job()
  self:wake(450)
end

--- state=Up. The limits of before are known to the leader that took them away only.
function Cluster:cancel_offline(s)
  local id = tostring(s.id)
  if s.node_state == 3 then return 410, ("[PD:core:ErrStoreRemoved]store %s has been removed"):format(id) end
  if s.destroyed then return 400, ("[PD:core:ErrStoreDestroyed]store %s has been physically destroyed"):format(id) end
  if s.node_state ~= 2 then return end
  s.node_state, s.limits, s.saved_limits = 1, s.saved_limits or s.limits, nil
  self.revision = self.revision + 1
  self.progress[s.id] = nil
  self:wake()
end

--- DELETE remove-tombstone. Returns the ids that regions still name.
function Cluster:purge()
  local failed = {}
  for id, s in sim.pairs(self.stores) do
    if s.node_state == 3 then
      if (self.held[id] or 0) > 0 then failed[#failed + 1] = tostring(id) else self.stores[id] = nil end
    end
  end
  self.revision = self.revision + 1
  return failed
end

function Cluster:bury(s)
  s.frozen = { leaders = self:leader_count(s), peers = self:region_count(s), size = self:sizes().held[s.id] or 0 }
  s.node_state, s.limits = 3, nil
  self.revision = self.revision + 1
  self:raise_version()
  self:wake()
end

-- The 10-second job -------------------------------------------------------------------------------

function Cluster:start_jobs()
  self.job_base, self.job_due = sim.now_ms() - TAKEOVER, nil
  for _, s in pairs(self.stores) do
    if s.node_state == 0 or s.node_state == 2 then return self:need_job() end
  end
end

function Cluster:need_job()
  if self.job_due or not self.leader or not self.bootstrapped then return end
  local now = sim.now_ms()
  local due = self.job_base + (math.floor((now - self.job_base) / JOB) + 1) * JOB
  self.job_due = due
  self:later(due - now, function()
    if self.job_due ~= due then return end
    self.job_due = nil
    if self:has_leader() then self:job() end
  end)
end

local function filled(c, s)
  if #c.regions < SMALL then return true end
  local serving = 0
  for _, x in pairs(c.stores) do
    if x.node_state < 2 then serving = serving + 1 end
  end
  return (c.held[s.id] or 0) >= 0.9 * #c.regions * c:max_replicas() / serving
end

--- Versions before 9 count the peers of a store to be buried, later ones their known size (2.2 (c)).
local function empty(c, s, sizes)
  if c:at_least(9, 0, 0) then return (sizes.held[s.id] or 0) == 0 end
  return (c.held[s.id] or 0) == 0
end

function Cluster:job()
  local again, sizes = false, self:sizes()
  for _, s in sim.pairs(self.stores) do
    if s.node_state == 0 then
      if filled(self, s) then
        s.node_state = 1
        self:prepared(s)
        self:wake()
      else
        again = true
      end
    elseif s.node_state == 2 then
      local gone = empty(self, s, sizes)
      self:note_progress(s, gone, sizes.held[s.id] or 0)
      if gone then self:bury(s) else again = true end
    end
  end
  if again then self:need_job() end
end

--- The label with this key taken off; nil when there is none.
function Cluster:without_label(s, key)
  for i, l in ipairs(s.labels) do
    if l.key == key then
      table.remove(s.labels, i)
      self:wake()
      return true
    end
  end
end

function Cluster:store_by_digits(digits)
  return self.stores[J.id(digits)]
end

return { methods = Cluster }
