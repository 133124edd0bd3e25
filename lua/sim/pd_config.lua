--- pd_config: PD's settings: what may be changed, how values are checked, what takes effect.
-- Part of pd.Cluster. Persisted settings win over the config file of a restarted member (S17).
local J = require "sim.pd_json"
local defaults = require "sim.pd_defaults"

local Cluster = {}
local M = { methods = Cluster }

local STRUCTS = { schedule = "ScheduleConfig", replication = "ReplicationConfig", ["pd-server"] = "PDServerConfig" }
-- Sections whose items can be changed; in this order bare names are looked up.
local SECTIONS = { "schedule", "replication", "pd-server", "replication-mode", "log", "keyspace", "micro-service",
  "controller" }

function M.new(conf)
  local config = defaults(tonumber(tostring(conf.version):match "^v?(%d+)%.") or 9)
  config.replication["max-replicas"] = conf.max_replicas or 3
  config.replication["location-labels"] = conf.location_labels or ""
  if conf.max_store_down_ms then
    config.schedule["max-store-down-time"] = J.duration(conf.max_store_down_ms)
  end
  return config
end

function M.default_rules(c)
  c.max_store_down_ms = J.parse_duration(c.config.schedule["max-store-down-time"])
  return J.list { M.rule { group_id = "pd", id = "default", role = "voter", count = c:max_replicas(), version = 1,
    location_labels = c:location_labels() } }
end

--- A placement rule with all that PD prints.
function M.rule(r)
  return { group_id = r.group_id, id = r.id, start_key = r.start_key or "", end_key = r.end_key or "", role = r.role,
    is_witness = r.is_witness or false, count = r.count, version = r.version,
    location_labels = r.location_labels, label_constraints = r.label_constraints }
end

function Cluster:max_replicas() return self.config.replication["max-replicas"] end

--- Nil when there are none.
function Cluster:location_labels()
  local out = J.list()
  for key in self.config.replication["location-labels"]:gmatch "[^,]+" do out[#out + 1] = key end
  return out[1] and out or nil
end

local function kind_of(v)
  local t = type(v)
  if t == "boolean" then return "bool" end
  if t == "table" then return #v > 0 and "array" or "object" end
  return t
end

local function mismatch(what, section, item, wanted)
  return ("json: cannot unmarshal %s into Go struct field %s.%s of type %s"):format(what, STRUCTS[section] or section,
    item, wanted)
end

local function check_number(section, item, old, value)
  local float = old ~= math.floor(old) or item:find "ratio"
  local wanted = float and "float64" or "uint64"
  if type(value) ~= "number" then return mismatch(kind_of(value), section, item, wanted) end
  if not float and (value < 0 or value ~= math.floor(value)) then
    return mismatch(("number %g"):format(value), section, item, wanted)
  end
end

--- Go's complaint about a value, or nil and the value as it is kept.
local function check(section, item, old, value)
  if type(old) == "number" then
    local why = check_number(section, item, old, value)
    return why, value
  end
  if old == "true" or old == "false" then
    if type(value) ~= "string" then
      return "json: invalid use of ,string struct tag, trying to unmarshal unquoted value into bool"
    end
    if value ~= "true" and value ~= "false" then
      return ("json: invalid use of ,string struct tag, trying to unmarshal %s into bool"):format(J.quote(value))
    end
    return nil, value
  end
  if type(old) == "string" and J.parse_duration(old) and old ~= "0" then
    if type(value) ~= "string" then return "invalid syntax" end
    local ms, why = J.parse_duration(value)
    return why, ms and J.duration(ms)
  end
  if type(old) == "string" and type(value) ~= "string" then return mismatch(kind_of(value), section, item, "string") end
  if type(old) == "boolean" and type(value) ~= "boolean" then return mismatch(kind_of(value), section, item, "bool") end
  return nil, value
end

local function validate(c, section, item, value)
  local s = c.config.schedule
  if section == "schedule" and item == "low-space-ratio" then
    if value < 0 or value > 1 then return "low-space-ratio should between 0 and 1" end
    if value <= s["high-space-ratio"] then return "low-space-ratio should be larger than high-space-ratio" end
  elseif section == "replication" and item == "max-replicas" and value == 0 then
    return "[PD:placement:ErrRuleContent]invalid rule content, invalid count 0", 500
  elseif section == "replication" and item == "isolation-level" and value ~= "" then
    for key in c.config.replication["location-labels"]:gmatch "[^,]+" do
      if key == value then return end
    end
    return "isolation-level must be one of location-labels or empty", 500
  end
end

local HALT = "halt-scheduling" -- left out of the answer while it is off

local function known(config, section, item)
  if section == "schedule" and item == HALT then return config.schedule[HALT] or "false" end
  return config[section][item]
end

--- Set one item. Returns a complaint (and a status where it is not 400), or nil.
function Cluster:set_item(section, item, value)
  local old = known(self.config, section, item)
  if old == nil then return ("config item %s not found"):format(item) end
  local why, kept = check(section, item, old, value)
  if why then return why end
  local status
  why, status = validate(self, section, item, kept)
  if why then return why, status end
  self.config[section][item] = kept
  if item == HALT and kept == "false" then self.config.schedule[HALT] = nil end
  self.revision = self.revision + 1
  self:item_changed(section, item, kept)
end

function Cluster:item_changed(section, item, value)
  if item == "max-store-down-time" then self.max_store_down_ms = J.parse_duration(value) end
  if section == "replication" and (item == "max-replicas" or item == "location-labels"
    or item == "isolation-level") then
    for _, rule in ipairs(self.rules) do
      if rule.group_id == "pd" and rule.id == "default" then
        rule.count, rule.location_labels = self:max_replicas(), self:location_labels()
        local level = self.config.replication["isolation-level"]
        rule.isolation_level = level ~= "" and level or nil
        rule.version = (rule.version or 0) + 1
      end
    end
  end
  self:wake()
end

--- Where an item of POST /config lives: section and item, or nil and a complaint.
function Cluster:find_item(key)
  if key == "cluster-version" then return "", key end
  local section, item = key:match "^([^.]+)%.(.+)$"
  if section then
    for _, s in ipairs(SECTIONS) do
      if s == section then return section, item end
    end
    return nil, ("config prefix %s not found"):format(section)
  end
  for _, s in ipairs(SECTIONS) do
    if known(self.config, s, key) ~= nil then return s, key end
  end
  if key == "name" or self.config[key] ~= nil then return nil, ("config prefix %s not found"):format(key) end
  return nil, ("config item %s not found"):format(key)
end

local TTL = { ["leader-schedule-limit"] = true, ["region-schedule-limit"] = true, ["replica-schedule-limit"] = true,
  ["merge-schedule-limit"] = true, ["hot-region-schedule-limit"] = true, ["max-snapshot-count"] = true,
  ["max-pending-peer-count"] = true, ["max-merge-region-size"] = true, ["max-merge-region-keys"] = true,
  ["enable-location-replacement"] = true, ["enable-tikv-split-region"] = true, ["add-peer"] = true }

local function each_item(items, fn)
  for key, value in sim.pairs(items) do
    local why, status = fn(key, value)
    if why then return why, status end
  end
end

--- A flat map of items, applied one by one: what came before a refusal stays in force.
function Cluster:set_items(items)
  return each_item(items, function(key, value)
    local section, item = self:find_item(key)
    if not section then return item end
    local full = section .. "." .. item
    if (self.ttl[full] or 0) > sim.now_ms() then return ("need to clean up TTL first for %s"):format(full) end
    if section == "" then return self:set_cluster_version(value) end
    return self:set_item(section, item, value)
  end)
end

--- The same for a while; the values are never shown.
function Cluster:set_ttl(items, seconds)
  return each_item(items, function(key)
    local section, item = self:find_item(key)
    if not section then return item end
    if not TTL[item] then return ("unsupported ttl config %s"):format(key) end
    self.ttl[section .. "." .. item] = sim.now_ms() + seconds * 1000
  end)
end

function Cluster:set_cluster_version(text)
  if type(text) ~= "string" or not text:match "^v?%d+%.%d+%.%d+" then
    return ("[PD:semver:ErrSemverNewVersion]%s is not in dotted-tri format: %s is not in dotted-tri format"):format(
      tostring(text), tostring(text)), 500
  end
  self.config["cluster-version"] = (text:gsub("^v", ""))
end

return M
