--- pd_http_stores: stores, their labels, weights, limits and progress.
local A = require "sim.pd_answer"
local J = require "sim.pd_json"
local model = require "sim.pd_model"

local routes = {}
local function on(key, need, fn) routes[#routes + 1] = { key, need, fn } end

local NOT_FOUND = "[PD:core:ErrStoreNotFound]store %s not found"

local function labels_of(s)
  local out = J.list()
  for i, l in ipairs(s.labels) do out[i] = J.object("key", l.key, "value", l.value) end
  return #out > 0 and out or nil
end

local function record(c, s)
  local seen = s.heartbeat_ms
  local state = s.node_state
  return J.object("id", J.int(s.id), "address", s.address, "state", state >= 2 and state - 1 or nil,
    "labels", labels_of(s), "version", s.version, "peer_address", s.peer_address,
    "status_address", s.status_address, "git_hash", "0123456789abcdef",
    "start_timestamp", math.floor(J.wall(s.start_ms) / 1000), "deploy_path", "/",
    "last_heartbeat", seen and J.int(("%d000000"):format(J.wall(seen))) or nil,
    "physically_destroyed", s.destroyed or nil, "node_state", state > 0 and state or nil,
    "state_name", c:state_name(s))
end

local function positive(n) return n and n > 0 and n or nil end

local function status(c, s, sizes)
  local leaders, peers = c:leader_count(s), c:region_count(s)
  local capacity, available, used = model.figures(s, peers)
  local seen, size = s.heartbeat_ms, s.frozen and s.frozen.size or sizes.held[s.id] or 0
  local counted = c:at_least(9, 0, 0)
  local up = seen and J.wall(seen) - math.floor(J.wall(s.start_ms) / 1000) * 1000 or 0 -- starts are whole seconds
  return J.object("capacity", s.stats and J.size(capacity) or "0B", "available", s.stats and J.size(available) or "0B",
    "used_size", s.stats and J.size(used) or "0B", "leader_count", leaders, "leader_weight", s.leader_weight,
    "leader_score", leaders, "leader_size", sizes.led[s.id] or 0, "region_count", peers,
    "region_weight", s.region_weight, "region_score", size, "region_size", size,
    "learner_count", positive(sizes.learners[s.id]), "pending_peer_count", positive(sizes.pending[s.id]),
    "slow_score", s.stats and 1 or nil, "is_busy", s.busy or nil, "start_ts", sim.format_time(J.wall(s.start_ms)),
    "last_heartbeat_ts", seen and J.stamp(seen) or "1970-01-01T00:00:00Z",
    "uptime", seen and seen >= s.start_ms and up > 0 and J.duration(up) or nil,
    "pause_leader_transfer_in", counted and c.evict[s.id] or nil,
    "pause_leader_transfer_out", counted and c.grant[s.id] or nil)
end

local function row(c, s, sizes)
  return J.object("store", record(c, s), "status", status(c, s, sizes))
end

local function rows(c, fits)
  local out, sizes = J.list(), c:sizes()
  for _, s in sim.pairs(c.stores) do
    if fits(s) then out[#out + 1] = row(c, s, sizes) end
  end
  return A.ok(J.object("count", #out, "stores", out))
end

local function values(q, key)
  local out, any = {}, false
  for k, v in (q.raw .. "&"):gmatch "([^&=]*)=?([^&]*)&" do
    if k == key then out[v], any = true, true end
  end
  return out, any
end

--- A list is the value of ?state=; the number of legacy states is 0, 1, 2.
on("GET /pd/api/v1/stores", "boot", function(c, q)
  local wanted, any = values(q, "state")
  for v in sim.pairs(wanted) do
    local n = tonumber(v)
    if not n then return A.v1(500, ("strconv.Atoi: parsing %s: invalid syntax"):format(J.quote(v))) end
    if n < 0 or n > 2 then return A.v1(500, "unknown StoreState: " .. v) end
  end
  return rows(c, function(s)
    local state = math.max(s.node_state - 1, 0)
    if not any then return state < 2 end
    return wanted[tostring(state)] == true
  end)
end)

local NAMES = { up = true, offline = true, tombstone = true, down = true, disconnected = true }

on("GET /pd/api/v1/stores/check", "boot", function(c, q)
  local given, any = values(q, "state")
  local wanted = {}
  for v in sim.pairs(given) do
    if not NAMES[v:lower()] then return A.v1(400, "unknown StoreState: " .. v) end
    wanted[v:lower()] = true
  end
  return rows(c, function(s) return not any or wanted[c:state_name(s):lower()] == true end)
end)

on("GET /pd/api/v1/labels", "boot", function(c)
  local out, seen = J.list(), {}
  for _, s in sim.pairs(c.stores) do
    for _, l in ipairs(s.labels) do
      if s.node_state < 3 and not seen[l.key .. "=" .. l.value] then
        seen[l.key .. "=" .. l.value] = true
        out[#out + 1] = J.object("key", l.key, "value", l.value)
      end
    end
  end
  return A.ok(out)
end)

local function carries(s, key, value)
  for _, l in ipairs(s.labels) do
    if l.key == key and l.value == value then return true end
  end
  return false
end

on("GET /pd/api/v1/labels/stores", "boot", function(c, q)
  return rows(c, function(s) return carries(s, q.query.name or "", q.query.value or "") end)
end)

-- One store ----------------------------------------------------------------------------------------

--- Handlers of one store get it, or answer for an id that is none or unknown.
local function one(unknown_status, unknown, fn)
  return function(c, q)
    local digits, why = A.id(q.args[1])
    if not digits then return A.input(why) end
    local s = c:store_by_digits(digits)
    if not s then return A.v1(unknown_status, unknown:format(digits)) end
    return fn(c, s, q, digits)
  end
end

on("GET /pd/api/v1/store/*", "boot", one(404, NOT_FOUND, function(c, s) return A.ok(row(c, s, c:sizes())) end))

on("DELETE /pd/api/v1/store/*", "boot", one(404, NOT_FOUND, function(c, s, q)
  local code, why = c:offline(s, q.query.force ~= nil or q.raw:find "^force" ~= nil)
  if code then return A.v1(code, why) end
  return A.ok "The store is set as Offline."
end))

on("POST /pd/api/v1/store/*/state", "boot", one(404, NOT_FOUND, function(c, s, q)
  local word = q.query.state or ""
  local act = ({ up = c.cancel_offline, offline = c.offline })[word:lower()]
  if not act then return A.v1(400, "invalid state " .. word) end
  local code, why = act(c, s, false)
  if code then return A.v1(code, why) end
  return A.ok "The store's state is updated."
end))

local KEY = { name = "^[$]?[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$",
  fits = function(k) return k:match "^%$?[%w]$" or k:match "^%$?[%w][-%w_./]*[%w]$" end }
local VALUE = { name = "^[-A-Za-z0-9_./]*$", fits = function(v) return v:match "^[-%w_./]*$" end }

--- The complaint about a body of labels, as an answer.
local function label_fault(c, q)
  local labels, broken = A.body(q)
  if broken then return { A.input(A.broken(q.text)) } end
  if A.kind(labels) ~= "object" then return { A.input(A.mismatch(A.kind(labels), "map[string]string")) } end
  for k, v in sim.pairs(labels) do
    if type(v) ~= "string" then return { A.input(A.mismatch(A.kind(v), "string", 7)) } end
    if k:lower() == "engine" and c:at_least(9, 0, 0) then return { A.input(('label key "%s" is reserved'):format(k)) } end
    if not KEY.fits(k) then return { A.input(('%s does not match format "%s"'):format(k, KEY.name)) } end
    if not VALUE.fits(v) then return { A.input(('%s does not match format "%s"'):format(v, VALUE.name)) } end
  end
  return nil, labels
end

on("POST /pd/api/v1/store/*/label", "boot", function(c, q)
  local digits, why = A.id(q.args[1])
  if not digits then return A.input(why) end
  local fault, labels = label_fault(c, q)
  if fault then return unpack(fault) end
  local s = c:store_by_digits(digits)
  if not s then return A.v1(500, ("[PD:cluster:ErrInvalidStoreID]invalid store id %s, not found"):format(digits)) end
  local replace = q.query.force ~= nil
  local merged = c:merged_labels(replace and {} or s.labels, labels)
  why = c:labels_refusal(merged) or c:address_clash(s)
  if why then return A.v1(500, why) end
  s.labels = merged
  c.revision = c.revision + 1
  c:wake()
  return A.ok "The store's label is updated."
end)

on("DELETE /pd/api/v1/store/*/label", "boot", function(c, q)
  local digits, why = A.id(q.args[1])
  if not digits then return A.input(why) end
  local key, broken = A.body(q)
  if broken then return A.input(A.broken(q.text)) end
  if type(key) ~= "string" then return A.input(A.mismatch(A.kind(key), "string")) end
  local s = c:store_by_digits(digits)
  if not s then return A.v1(500, ("[PD:cluster:ErrInvalidStoreID]invalid store id %s, not found"):format(digits)) end
  if not c:without_label(s, key) then return A.v1(500, ("the label key %s does not exist"):format(key)) end
  return A.ok(("The label %s is deleted for store %s."):format(key, digits))
end)

--- A body that is an object; the known store comes after the body was looked at.
local function with_body(fn)
  return function(c, q)
    local digits, why = A.id(q.args[1])
    if not digits then return A.input(why) end
    local body, bad = A.object(q)
    if not body then return unpack(bad) end
    return fn(c, body, digits)
  end
end

on("POST /pd/api/v1/store/*/weight", "boot", with_body(function(c, body, digits)
  for _, key in ipairs { "leader", "region" } do
    if body[key] == nil then return A.v1(400, key .. " weight unset") end
    if type(body[key]) ~= "number" or body[key] < 0 then return A.v1(400, "bad format " .. key .. " weight") end
  end
  local s = c:store_by_digits(digits)
  if not s then return A.v1(500, NOT_FOUND:format(digits)) end
  s.leader_weight, s.region_weight = body.leader, body.region
  return A.ok "The store's weight is updated."
end))

-- Limits -------------------------------------------------------------------------------------------

local function v2_limits(c) return c.config.schedule["store-limit-version"] == "v2" end

--- The kinds a body means and its rate, or nil and a complaint.
local function rate_of(body)
  if body.rate == nil then return nil, "rate unset" end
  if type(body.rate) ~= "number" then return nil, "bad format rate" end
  if body.rate <= 0 then return nil, "invalid rate which should be larger than 0" end
  local kinds = { ["add-peer"] = { "add" }, ["remove-peer"] = { "remove" } }
  if body.type == nil or body.type == "" then return { "add", "remove" }, body.rate end
  if not kinds[body.type] then return nil, "unknown type" end
  return kinds[body.type], body.rate
end

local function set_limit(c, s, kinds, rate)
  s.limits = s.limits or { add = 15, remove = 15 }
  for _, kind in ipairs(kinds) do s.limits[kind] = rate end
  c:wake()
end

on("POST /pd/api/v1/store/*/limit", "boot", with_body(function(c, body, digits)
  if v2_limits(c) then return A.v1(400, "current store limit version:v2 not support set limit") end
  local kinds, rate = rate_of(body)
  if not kinds then return A.v1(400, rate) end
  local s = c:store_by_digits(digits)
  if not s then return A.v1(500, NOT_FOUND:format(digits)) end
  set_limit(c, s, kinds, rate)
  return A.ok "The store's limit is updated."
end))

local function limits(c)
  local out = {}
  for id, s in sim.pairs(c.stores) do
    if s.limits then out[tostring(id)] = J.object("add-peer", s.limits.add, "remove-peer", s.limits.remove) end
  end
  return out
end

on("GET /pd/api/v1/stores/limit", "boot", function(c)
  if v2_limits(c) then return A.v1(400, "current store limit version:v2 not support get limit") end
  return A.ok(limits(c))
end)

on("POST /pd/api/v1/stores/limit", "boot", function(c, q)
  if v2_limits(c) then return A.v1(400, "current store limit version:v2 not support get limit") end
  local body, bad = A.object(q)
  if not body then return unpack(bad) end
  local kinds, rate = rate_of(body)
  if not kinds then return A.v1(400, rate) end
  if q.query.ttlSecond and c:at_least(9, 0, 0) then return A.v1(400, "ttlSecond is deprecated") end
  if body.labels ~= nil and A.kind(body.labels) ~= "object" then
    return A.text(500, ("PANIC: interface conversion: interface {} is %s, not map[string]interface {}\n"
      .. "goroutine 1 [running]:"):format(A.kind(body.labels)))
  end
  for _, s in sim.pairs(c.stores) do
    local meant = s.node_state < 3
    for k, v in sim.pairs(body.labels or {}) do meant = meant and carries(s, k, v) end
    if meant and not q.query.ttlSecond then set_limit(c, s, kinds, rate) end -- for a while only, and not shown
  end
  return A.ok "Set store limit successfully."
end)

-- Tombstones, progress -----------------------------------------------------------------------------

on("DELETE /pd/api/v1/stores/remove-tombstone", "boot", function(c)
  local failed = c:purge()
  if failed[1] then return A.v1(500, "failed stores: " .. table.concat(failed, ", ")) end
  return A.ok "Remove tombstone successfully."
end)

local function unprintable(what) return A.text(500, "json: unsupported value: " .. what) end

on("GET /pd/api/v1/stores/progress", "boot", function(c, q)
  local id, action = q.query.id, q.query.action
  local f, why
  if id and id ~= "" then
    local digits, bad = A.id(id)
    if not digits then return A.v1(400, bad) end
    f, why = c:store_progress(J.id(digits))
    if not f and why then return unprintable(why) end
    if not f then
      return A.v1(404, "[PD:progress:ErrProgressNotFound]no progress found for the given store ID: " .. digits)
    end
    return A.ok(J.object("action", why, "store_id", J.int(digits), "progress", f.progress,
      "current_speed", f.speed, "left_seconds", f.left))
  end
  if not action or action == "" then return A.v1(400, "need query parameters") end
  f, why = c:action_progress(action)
  if why then return unprintable(why) end
  if not f then return A.v1(404, "[PD:progress:ErrProgressNotFound]no progress found for the action: " .. action) end
  return A.ok(J.object("action", action, "progress", f.progress, "current_speed", f.speed, "left_seconds", f.left))
end)

on("GET /pd/api/v1/hotspot/stores", "boot", function(c)
  local out = {}
  for _, what in ipairs { "bytes-write", "bytes-read", "keys-write", "keys-read", "query-write", "query-read",
    c:at_least(9, 0, 0) and "cpu-read" or nil } do
    local rates = {}
    for id in sim.pairs(c.stores) do rates[tostring(id)] = 0 end
    out[what .. "-rate"] = rates
  end
  return A.ok(out)
end)

return routes
