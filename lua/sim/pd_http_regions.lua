--- pd_http_regions: regions, check lists, statistics, operators, unsafe recovery.
-- Answers with regions are compact and come as octet-stream.
local A = require "sim.pd_answer"
local J = require "sim.pd_json"

local routes = {}
local function on(key, need, fn) routes[#routes + 1] = { key, need, fn } end

local KEYS = 1006632 -- of a region of 96 MiB

--- Peers have ids of their own; they are given when first asked for.
local function peer(c, r, id, learner)
  r.peer_ids = r.peer_ids or {}
  r.peer_ids[id] = r.peer_ids[id] or c:alloc()
  if learner then
    return J.object("role_name", "Learner", "is_learner", true, "id", r.peer_ids[id], "store_id", J.int(id), "role", 1)
  end
  return J.object("role_name", "Voter", "id", r.peer_ids[id], "store_id", J.int(id))
end

local function region(c, r)
  local peers, down, pending = J.list(), J.list(), J.list()
  for _, id in ipairs(r.peers) do
    local p = peer(c, r, id)
    peers[#peers + 1] = p
    local seconds = c:down_for(r, id)
    if seconds then down[#down + 1] = J.object("peer", p, "down_seconds", seconds) end
    if r.pending and r.pending[id] then pending[#pending + 1] = p end
  end
  for _, id in ipairs(r.learners or {}) do peers[#peers + 1] = peer(c, r, id, true) end
  local size, newest = c:size_of(r), c:at_least(9, 0, 0)
  return J.object("id", r.id, "start_key", r.start, "end_key", r.stop,
    "epoch", J.object("conf_ver", r.conf_ver, "version", r.version), "peers", peers,
    "leader", (c.knows_leaders or c:heard(r)) and peer(c, r, r.leader) or {},
    "down_peers", c:heard(r) and down[1] and down or nil, "pending_peers", c:heard(r) and pending[1] and pending or nil,
    "cpu_usage", 0, "written_bytes", 0, "read_bytes", 0, "written_keys", 0, "read_keys", 0,
    "approximate_size", size, "approximate_keys", size > 1 and KEYS or 0,
    "approximate_kv_size", newest and size or nil, "approximate_columnar_kv_size", newest and 0 or nil)
end

local function list(c, regions, limit)
  local out = J.list()
  for i, r in ipairs(regions) do
    if i > (limit or math.huge) then break end
    out[i] = region(c, r)
  end
  return A.octets(J.object("count", #out, "regions", out))
end

on("GET /pd/api/v1/regions", "boot", function(c) return list(c, c.regions) end)
on("GET /pd/api/v1/regions/count", "boot", function(c)
  return A.v1(200, J.object("count", #c.regions, "regions", J.null))
end)
on("GET /pd/api/v1/regions/range-holes", "boot", function() return A.ok(J.list()) end)
on("GET /pd/api/v1/regions/keyspace/id/*", "boot", function(c, q)
  return list(c, q.args[1] == "0" and c.regions or {})
end)

--- How 8.5 shows a region that is not there.
local NOTHING = J.object("id", 0, "start_key", "", "end_key", "", "leader", J.object("role_name", "Voter"),
  "cpu_usage", 0, "written_bytes", 0, "read_bytes", 0, "written_keys", 0, "read_keys", 0, "approximate_size", 0,
  "approximate_keys", 0)

on("GET /pd/api/v1/region/id/*", "boot", function(c, q)
  local digits, why = A.id(q.args[1])
  if not digits then return A.v1(400, why) end
  local r = c.region_by_id[tonumber(digits)]
  if not r and not c:at_least(9, 0, 0) then return A.octets(NOTHING) end
  if not r then return A.v1(404, ("[PD:region:ErrRegionNotFound]region %s not found"):format(digits)) end
  return A.octets(region(c, r))
end)

local function hex(text)
  return (text:gsub("%%(%x%x)", function(h) return string.char(tonumber(h, 16)) end)
    :gsub(".", function(ch) return ("%02X"):format(ch:byte()) end))
end

local function from_key(c, key)
  local out = {}
  for _, r in ipairs(c.regions) do
    if r.stop == "" or r.stop > key then out[#out + 1] = r end
  end
  return out
end

on("GET /pd/api/v1/region/key/*", "boot", function(c, q) return A.octets(region(c, from_key(c, hex(q.args[1]))[1])) end)
on("GET /pd/api/v1/regions/key", "boot", function(c, q)
  return list(c, from_key(c, hex(q.query.key or "")), tonumber(q.query.limit) or 16)
end)

local KINDS = {
  leader = function(_, r, id) return r.leader == id end,
  follower = function(c, r, id) return r.leader ~= id and c:has(r.peers, id) end,
  learner = function(c, r, id) return c:has(r.learners, id) end,
  witness = function() return false end,
  pending = function(c, r, id) return c:heard(r) and r.pending and r.pending[id] end,
  all = function(c, r, id) return c:has(r.peers, id) or c:has(r.learners, id) end,
}

--- An unknown kind wedges the member that answers, for good (S24).
on("GET /pd/api/v1/regions/store/*", "boot", function(c, q, m)
  local kind = q.query.type or "all"
  local asked = q.header "PD-Allow-follower-handle" and m or c.leader
  if not KINDS[kind] then
    asked.wedged = true
    return A.v1(400, "unknown sub tree region type " .. kind)
  end
  if asked.wedged then return A.HANG end
  local digits, why = A.id(q.args[1])
  if not digits then return A.input(why) end
  local out, id = {}, J.id(digits)
  for _, r in ipairs(c.regions) do
    if KINDS[kind](c, r, id) then out[#out + 1] = r end
  end
  return list(c, out)
end)

on("GET /pd/api/v1/regions/check/*", "boot", function(c, q)
  local found = c:check_list(q.args[1])
  if not found then return A.missing() end
  return list(c, found)
end)

on("GET /pd/api/v1/regions/replicated", "boot", function(c, q)
  local first, last = q.query.startKey, q.query.endKey
  if not first or not last then return A.missing() end
  for _, key in ipairs { first, last } do
    local bad = key:match "[^%x]"
    if bad then return A.v1(400, ("encoding/hex: invalid byte: U+%04X '%s'"):format(bad:byte(), bad)) end
  end
  return A.ok(c:replicated())
end)

local function by_id(count, known)
  local out = {}
  for id, n in sim.pairs(count) do
    if known(id) then out[tostring(id)] = n end
  end
  return out
end

local function times(count, factor)
  local out = {}
  for id, n in pairs(count) do out[id] = n * factor end
  return out
end

on("GET /pd/api/v1/stats/region", "boot", function(c, q)
  local sizes = c:sizes()
  local total, empty = 0, 0
  for _, r in ipairs(c.regions) do
    local size = c:size_of(r)
    total = total + size
    if size <= 1 then empty = empty + 1 end
  end
  local counted = q.query.count ~= nil or q.raw:find "count"
  local function figure(n) return counted and 0 or n end
  local function map(count, known) return counted and J.null or by_id(count, known) end
  local function leads(id) return (c.led[id] or 0) > 0 and c:leader_count(c.stores[id] or { id = id }) > 0 end
  local function holds(id) return (c.held[id] or 0) > 0 end
  local per_mib, newest = KEYS / 96, c:at_least(9, 0, 0)
  return A.ok(J.object("count", #c.regions, "empty_count", figure(empty), "storage_size", figure(total),
    "user_storage_size", figure(total), "user_columnar_storage_size", newest and 0 or nil,
    "storage_keys", figure(math.floor(total * per_mib)), "store_leader_count", map(c.led, leads),
    "store_peer_count", map(c.held, holds), "store_leader_size", map(sizes.led, leads),
    "store_leader_keys", map(times(sizes.led, math.floor(per_mib)), leads), "store_peer_size", map(sizes.held, holds),
    "store_peer_keys", not (counted and newest) and map(times(sizes.held, math.floor(per_mib)), holds) or nil))
end)

-- Operators ----------------------------------------------------------------------------------------

local function describe(r)
  local o = r.order
  if o.from and o.to then return ("mv peer: store [%s] to [%s]"):format(o.from, o.to) end
  if o.to then return ("add peer: store [%s]"):format(o.to) end
  return ("rm peer: store [%s]"):format(tostring(o.from))
end

on("GET /pd/api/v1/operators", "boot", function(c, q)
  local out = J.list()
  for _, r in ipairs(c.regions) do
    if c:ordered(r) then
      local desc = r.order.from and "replace-rule-offline-peer" or "add-rule-peer"
      out[#out + 1] = q.raw:find "object"
        and J.object("desc", desc, "brief", describe(r), "region_id", r.id, "region_epoch",
          J.object("conf_ver", r.conf_ver, "version", r.version), "kind", 256, "timeout", "1m0s", "status", 1)
        or ("%s {%s} (kind:replica,region, region:%d(%d, %d), createAt:%s, startAt:%s, currentStep:0, size:96)"):format(
          desc, describe(r), r.id, r.version, r.conf_ver, J.stamp(r.order.given_ms), J.stamp(r.order.given_ms))
    end
  end
  return A.ok(out)
end)

on("GET /pd/api/v1/operators/records", "boot", function() return A.ok(J.list()) end)
on("GET /pd/api/v1/operators/*", "boot", function(c, q)
  local r = c.region_by_id[tonumber(q.args[1])]
  if not r or not c:ordered(r) then return A.v1(500, "[PD:operator:ErrOperatorNotFound]operator not found") end
  return A.ok("status: RUNNING, operator: " .. describe(r))
end)

-- Unsafe recovery -----------------------------------------------------------------------------------------

on("GET /pd/api/v1/admin/unsafe/remove-failed-stores/show", "boot", function(c)
  if c.unsafe then return A.ok(J.list(c.unsafe.records)) end
  return A.ok(J.list { J.object("info", "No on-going recovery.") })
end)
on("POST /pd/api/v1/admin/unsafe/remove-failed-stores", "boot", function(c, q)
  local body, bad = A.object(q)
  if not body then return unpack(bad) end
  if type(body.stores) ~= "table" then return A.v1(400, "Store ids are invalid") end
  local prefix = "[PD:unsaferecovery:ErrUnsafeRecoveryInvalidInput]invalid input "
  if #body.stores == 0 then return A.v1(500, prefix .. "no store specified") end
  for _, id in ipairs(body.stores) do
    local s = c.stores[id]
    if not s then return A.v1(500, ("%sstore %s doesn't exist"):format(prefix, id)) end
    if c:state_name(s) == "Up" then return A.v1(500, ("%sstore %s is up and connected"):format(prefix, id)) end
  end
  if c:unsafe_running() then
    return A.v1(500, "[PD:unsaferecovery:ErrUnsafeRecoveryIsRunning]unsafe recovery is running")
  end
  c:recover_unsafely(body.stores)
  return A.v1(200, "Request has been accepted.")
end)

return routes
