--- pd_http_config: settings and placement rules.
local A = require "sim.pd_answer"
local J = require "sim.pd_json"
local config = require "sim.pd_config"

local routes = {}
local function on(key, need, fn) routes[#routes + 1] = { key, need, fn } end

local UPDATED = "The config is updated."

local function copy(t)
  local out = {}
  for k, v in pairs(t) do out[k] = v end
  return out
end

--- A follower that answers by itself knows of no store.
local function schedule(c, follower)
  local out, limits, list = copy(c.config.schedule), {}, J.list()
  for id, s in sim.pairs(c.stores) do
    if s.limits and not follower then
      limits[tostring(id)] = J.object("add-peer", s.limits.add, "remove-peer", s.limits.remove)
    end
  end
  out["store-limit"] = limits
  local types = { "balance-region", "balance-leader", "hot-region", "evict-slow-store" }
  if c:at_least(8, 5, 5) then types[#types + 1] = "evict-stopping-store" end
  if next(c.evict_saved) then types[#types + 1] = "evict-leader" end
  if next(c.grant) then types[#types + 1] = "grant-leader" end
  for i, name in ipairs(types) do
    local store = i > 5 and next(name == "evict-leader" and c.evict_saved or c.grant)
    list[i] = J.object("type", name, "args", store and J.list { tostring(store) } or J.null, "disable", false,
      "args-payload", "")
  end
  out["schedulers-v2"] = list
  return out
end

--- The member asked tells its own start-up items.
on("GET /pd/api/v1/config", "config", function(c, q, m)
  local out, founders = copy(c.config), {}
  for i, x in ipairs(c.members) do founders[i] = ("%s=%s"):format(x.name or "", x.peer_url or "") end
  local alone = m ~= c.leader and q.header "PD-Allow-follower-handle" ~= nil
  out.schedule = schedule(c, alone and not c:at_least(9, 0, 0))
  out["client-urls"], out["peer-urls"] = m.client_url, m.peer_url
  out["advertise-client-urls"], out["advertise-peer-urls"] = m.client_url, m.peer_url
  out.name, out["data-dir"], out["initial-cluster"] = m.name, "/var/lib/pd", table.concat(founders, ",")
  return A.ok(out)
end)

on("GET /pd/api/v1/config/schedule", "leader", function(c, q, m)
  return A.ok(schedule(c, m ~= c.leader and q.header "PD-Allow-follower-handle" ~= nil))
end)
on("GET /pd/api/v1/config/replicate", "leader", function(c)
  local r = c.config.replication
  return A.ok(J.object("max-replicas", r["max-replicas"], "location-labels", r["location-labels"],
    "strictly-match-label", r["strictly-match-label"], "enable-placement-rules", r["enable-placement-rules"],
    "enable-placement-rules-cache", r["enable-placement-rules-cache"], "isolation-level", r["isolation-level"]))
end)
for _, section in ipairs { "pd-server", "cluster-version", "replication-mode", "label-property" } do
  on("GET /pd/api/v1/config/" .. section, "leader", function(c) return A.ok(c.config[section]) end)
end

local function refused(why)
  if not why then return A.ok(UPDATED) end
  return A.v1(400, why)
end

on("POST /pd/api/v1/config", "leader", function(c, q)
  local items, broken = A.body(q)
  if broken then return A.v1(400, "unexpected end of JSON input") end
  if items == J.null then return A.ok(UPDATED) end
  if A.kind(items) ~= "object" then return A.v1(400, (A.mismatch(A.kind(items), "map[string]interface {}"))) end
  local ttl = q.query.ttlSecond
  if not ttl then return refused(c:set_items(items)) end
  local seconds = tonumber(ttl)
  if not seconds then return A.v1(400, ("strconv.Atoi: parsing %s: invalid syntax"):format(J.quote(ttl))) end
  local why = c:set_ttl(items, seconds)
  if why then return A.v1(400, why) end
  return A.ok(seconds == 0 and "The ttl config is deleted." or "The ttl config is updated.")
end)

local function merge(section)
  return function(c, q)
    local items, bad = A.object(q)
    if not items then return unpack(bad) end
    for item, value in sim.pairs(items) do
      if item == "location-labels" and type(value) == "table" then return A.internal "invalid syntax" end
      local why, status = c:set_item(section, item, value)
      if why and not why:find "^config item" then
        if status == 500 then return A.v1(500, why) end
        local struct, field = why:match "Go struct field (%w+)%.(%S+)"
        return A.input(why, struct and J.object("Value", A.kind(value), "Type", {}, "Offset", #item + 4,
          "Struct", struct, "Field", field) or {})
      end
    end
    return A.ok(UPDATED)
  end
end
on("POST /pd/api/v1/config/schedule", "leader", merge "schedule")
on("POST /pd/api/v1/config/replicate", "boot", merge "replication")

on("POST /pd/api/v1/config/replication-mode", "leader", function(_, q)
  local body, bad = A.object(q)
  if not body then return unpack(bad) end
  return A.ok "The replication mode config is updated."
end)

on("POST /pd/api/v1/config/cluster-version", "leader", function(c, q)
  local body, bad = A.object(q)
  if not body then return unpack(bad) end
  if body["cluster-version"] == nil then return A.input "not set cluster-version" end
  local why = c:set_cluster_version(body["cluster-version"])
  if why then return A.internal(why) end
  return A.ok "The cluster version is updated."
end)

-- Placement rules ------------------------------------------------------------------------------------

local function rules(fn)
  return function(c, q)
    if c.config.replication["enable-placement-rules"] == "false" then
      return A.v1(412, "[PD:placement:ErrPlacementDisabled]placement rules feature is disabled")
    end
    return fn(c, q)
  end
end

local function in_group(c, group)
  local out = J.list()
  for _, r in ipairs(c.rules) do
    if r.group_id == group then out[#out + 1] = r end
  end
  return out[1] and out or nil
end

local function find(c, group, id)
  for i, r in ipairs(c.rules) do
    if r.group_id == group and r.id == id then return r, i end
  end
end

local function content_fault(r)
  for _, key in ipairs { r.start_key or "", r.end_key or "" } do
    if #key % 2 == 1 or key:find "[^%x]" then
      return ("[PD:hex:ErrHexDecodingString]decode string %s error"):format(key)
    end
  end
  local prefix = "[PD:placement:ErrRuleContent]invalid rule content, "
  if not ({ voter = true, leader = true, follower = true, learner = true })[r.role] then
    return ("%sinvalid role %s"):format(prefix, tostring(r.role))
  end
  if type(r.count) ~= "number" or r.count < 1 then return ("%sinvalid count %s"):format(prefix, tostring(r.count)) end
end

local function put_rule(c, r)
  local old, at = find(c, r.group_id, r.id)
  r.version = old and (old.version or 0) + 1 or nil
  c.rules[at or #c.rules + 1] = config.rule(r)
  c.revision = c.revision + 1
  if r.group_id == "pd" and r.id == "default" then c.config.replication["max-replicas"] = r.count end
  c:wake()
end

--- False when no rule would be left.
local function drop_rule(c, group, id)
  local _, at = find(c, group, id)
  if not at then return true end
  if #c.rules == 1 then return false end
  table.remove(c.rules, at)
  c.revision = c.revision + 1
  return true
end

on("GET /pd/api/v1/config/rules", "boot", rules(function(c) return A.ok(c.rules) end))
on("GET /pd/api/v1/config/rules/group/*", "boot", rules(function(c, q)
  return A.ok(in_group(c, q.args[1]) or J.null)
end))
on("GET /pd/api/v1/config/rule/*/*", "boot", rules(function(c, q)
  local r = find(c, q.args[1], q.args[2])
  if not r then return A.v1(404, "[PD:placement:ErrRuleNotFound]rule not found") end
  return A.ok(r)
end))

on("POST /pd/api/v1/config/rule", "boot", rules(function(c, q)
  local r, bad = A.object(q)
  if not r then return unpack(bad) end
  local why = content_fault(r)
  if why then return A.v1(400, why) end
  put_rule(c, r)
  return A.ok "Update rule successfully."
end))

local NO_RULE = "[PD:placement:ErrBuildRuleList]build rule list failed, no rule left"

on("DELETE /pd/api/v1/config/rule/*/*", "boot", rules(function(c, q)
  if not drop_rule(c, q.args[1], q.args[2]) then return A.v1(500, NO_RULE) end
  return A.ok "Delete rule successfully."
end))

on("POST /pd/api/v1/config/rules/batch", "boot", rules(function(c, q)
  local ops, broken = A.body(q)
  if broken then return A.input(A.broken(q.text)) end
  for _, op in ipairs(type(ops) == "table" and ops or {}) do
    if op.action == "add" then
      local why = content_fault(op)
      if why then return A.v1(400, why) end
      put_rule(c, op)
    elseif op.action == "del" and not drop_rule(c, op.group_id, op.id) then
      return A.v1(500, NO_RULE)
    end
  end
  return A.ok "Batch operations successfully."
end))

local function group(c, id)
  local g = c.groups[id]
  if not g and not in_group(c, id) then return end
  return J.object("id", id, "index", g and g.index ~= 0 and g.index or nil, "override", g and g.override or nil)
end

local function group_ids(c)
  local out = {}
  for id in pairs(c.groups) do out[id] = true end
  for _, r in ipairs(c.rules) do out[r.group_id] = true end
  return out
end

on("GET /pd/api/v1/config/rule_groups", "boot", rules(function(c)
  local out = J.list()
  for id in sim.pairs(group_ids(c)) do out[#out + 1] = group(c, id) end
  return A.ok(out)
end))
on("GET /pd/api/v1/config/rule_group/*", "boot", rules(function(c, q)
  local g = group(c, q.args[1])
  if not g then return A.null(404) end
  return A.ok(g)
end))
on("POST /pd/api/v1/config/rule_group", "boot", rules(function(c, q)
  local g, bad = A.object(q)
  if not g then return unpack(bad) end
  c.groups[g.id] = { index = g.index or 0, override = g.override }
  return A.ok "Update rule group successfully."
end))
on("DELETE /pd/api/v1/config/rule_group/*", "boot", rules(function(c, q)
  c.groups[q.args[1]] = nil
  return A.ok "Delete rule group successfully."
end))

local function bundle(c, id)
  local g = c.groups[id] or {}
  return J.object("group_id", id, "group_index", g.index or 0, "group_override", g.override or false,
    "rules", in_group(c, id) or J.null)
end

on("GET /pd/api/v1/config/placement-rule", "boot", rules(function(c)
  local out = J.list()
  for id in sim.pairs(group_ids(c)) do out[#out + 1] = bundle(c, id) end
  return A.ok(out)
end))
on("GET /pd/api/v1/config/placement-rule/*", "boot", rules(function(c, q) return A.ok(bundle(c, q.args[1])) end))
on("GET /pd/api/v1/config/region-label/rules", "boot", function() return A.ok(J.list()) end)

return routes
