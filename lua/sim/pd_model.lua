--- pd_model: what a PD cluster knows and does over time. No HTTP here (pd_http*) and no pods (pd,
-- tikv). This file holds the cluster and its clock; the rest is in pd_members (members, leader),
-- pd_stores (store records), pd_regions (regions, counts), pd_schedule (leaders and peers in motion)
-- and pd_config. Times are milliseconds of the loop; behaviour and figures are those of a recorded
-- real PD.
--
-- Nothing ticks while nothing changes: work is done by timers that somebody armed, and a pass over
-- the regions happens only after wake().
local J = require "sim.pd_json"
local config = require "sim.pd_config"

local M = { GIB = 1024 * 1024 * 1024, REGION_SIZE = 96 }

---@class pd.Cluster
local Cluster = {}
Cluster.__index = Cluster
for _, part in ipairs { "pd_members", "pd_stores", "pd_regions", "pd_schedule", "pd_progress", "pd_config", "pd_unsafe" } do
  for name, fn in pairs(require("sim." .. part).methods) do Cluster[name] = fn end
end

---@class pd.Conf
---@field regions? integer          how many the first store makes (12)
---@field max_replicas? integer
---@field location_labels? string
---@field max_store_down_ms? integer
---@field peer_down_ms? integer     silence after which TiKV reports a peer as down (10 minutes)
---@field raft_election_ms? integer until a region has another leader (10 s)
---@field version? string           of the cluster's PD, where members do not say ("v8.5.2")

---@param conf pd.Conf
function M.new(conf)
  local c = setmetatable({
    id = J.big_id(), etcd_id = J.big_id(), conf = conf,
    members = {},         -- list, see add_member
    leader = nil,         -- member
    leader_since = nil,
    term = 0,             -- how often somebody took over
    revision = 10,
    bootstrapped = false,
    stores = {},          -- by id (number, or digits above 2^53), see put_store
    regions = {}, region_by_id = {}, led = {}, held = {}, -- see pd_regions
    young = conf.regions or 12,
    next_id = 1,
    coordinator = false,  -- schedulers are loaded
    evict = {}, evict_saved = {}, batch = 3, grant = {}, paused = {}, stuck = {}, checkers = {},
    tokens = {},          -- store id -> budget of peers it may take, see pd_schedule
    progress = {}, balance_rate = 15,
    config = config.new(conf), rules = nil, groups = {}, ttl = {},
    maintenance = nil,
    obey = true,          -- stores carry out PD's orders
    on_lead = {},         -- called with the cluster after each change of leader
  }, Cluster)
  c.rules = config.default_rules(c)
  return c
end

function Cluster:alloc()
  self.next_id = self.next_id + 1
  return self.next_id - 1
end

--- Run fn in ms milliseconds unless the cluster was given up or another leader took over meanwhile.
function Cluster:later(ms, fn, any_term)
  local term = self.term
  sim.after(ms, function()
    if not self.stopped and (any_term or term == self.term) then fn() end
  end)
end

--- The version of the leader (or of anybody) decides about behaviour that differs.
---@return integer major, integer minor, integer patch 9, 0, 0 for what is no version
function Cluster:version()
  local m = self.leader or self.members[1]
  return M.parse_version(m and m.version or self.conf.version)
end

function M.parse_version(text)
  local a, b, c = tostring(text):match "^v?(%d+)%.(%d+)%.(%d+)"
  if not a then return 9, 0, 0 end
  return tonumber(a), tonumber(b), tonumber(c)
end

--- Is the given version (major, minor, patch) at least this one?
function M.at_least(a, b, c, major, minor, patch)
  if a ~= major then return a > major end
  if b ~= minor then return b > minor end
  return c >= patch
end

function Cluster:at_least(major, minor, patch)
  local a, b, c = self:version()
  return M.at_least(a, b, c, major, minor, patch)
end

function M.figures(store, peers)
  local capacity = store.capacity or 100 * M.GIB
  local used = peers * M.REGION_SIZE * 1024 * 1024
  return capacity, math.max(capacity - used, 0), used
end

return M
