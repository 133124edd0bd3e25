--- pd_http: PD's HTTP API over pd_model, as one member answers it.
-- Status codes, content types, field names and types are those of a recorded real PD.
local model = require "sim.pd_model"

local M = {}
local JSON = "application/json; charset=UTF-8"
local NOT_BOOTSTRAPPED = '"[PD:cluster:ErrNotBootstrapped]TiKV cluster not bootstrapped, please start TiKV first"\n'
local NO_LEADER = "no leader\n"
local REDIRECT = "[PD:apiutil:ErrRedirect]redirect failed\n"
local RANGES = { { ["start-key"] = "", ["end-key"] = "" } }

local function ok(body) return 200, JSON, body end
local function said(text) return 200, JSON, ('"%s"\n'):format(text) end
local function bad(status, text) return status, JSON, ('"%s"\n'):format(text) end
local function input(text) return 400, JSON, { code = "input", msg = text, data = {} } end

local function size(bytes)
  local gib = bytes / (1024 * 1024 * 1024)
  if gib >= 1 then return (("%.4g"):format(gib)) .. "GiB" end
  return (("%.4g"):format(bytes / (1024 * 1024))) .. "MiB"
end

--- Loop time to a wall time text.
local function stamp(ms)
  local _, wall = sim.wall()
  return sim.format_time(wall - (sim.now_ms() - ms))
end

local function member_row(m)
  return { name = m.name, member_id = sim.int(m.id), peer_urls = sim.array { m.peer_url },
    client_urls = m.client_url and sim.array { m.client_url } or nil,
    deploy_path = m.client_url and "/" or nil, binary_version = m.client_url and m.version or nil,
    git_hash = m.client_url and "0123456789abcdef" or nil }
end

local function store_row(c, s)
  local leaders, peers = c:counts(s.id)
  local capacity, available, used = model.figures(s, peers)
  local labels = sim.array {}
  for k, v in sim.pairs(s.labels) do labels[#labels + 1] = { key = k, value = v } end
  local _, wall = sim.wall()
  local seen = s.heartbeat_ms
  local silent = seen and sim.now_ms() - seen or 0
  return {
    store = { id = s.id, address = s.address, labels = #labels > 0 and labels or nil, version = s.version,
      peer_address = s.address, status_address = s.status_address, git_hash = "0123456789abcdef",
      start_timestamp = math.floor((wall - (sim.now_ms() - s.start_ms)) / 1000), deploy_path = "/",
      last_heartbeat = seen and sim.int(("%d000000"):format(wall - silent)) or nil,
      node_state = s.node_state > 0 and s.node_state or nil, state = s.node_state >= 2 and s.node_state - 1 or nil,
      physically_destroyed = s.destroyed or nil, state_name = c:state_name(s) },
    status = { capacity = seen and size(capacity) or "0B", available = seen and size(available) or "0B",
      used_size = seen and size(used) or "0B", leader_count = leaders, leader_weight = 1, leader_score = leaders,
      leader_size = leaders * model.REGION_SIZE, region_count = peers, region_weight = 1,
      region_score = peers * model.REGION_SIZE, region_size = peers * model.REGION_SIZE,
      slow_score = seen and 1 or nil, start_ts = stamp(s.start_ms),
      last_heartbeat_ts = seen and stamp(seen) or "1970-01-01T00:00:00Z",
      uptime = seen and seen > s.start_ms and ("%ds"):format((seen - s.start_ms) / 1000) or nil },
  }
end

local function list_stores(c, q)
  local rows = sim.array {}
  for id, s in sim.pairs(c.stores) do
    local state = s.node_state == 3 and "2" or s.node_state == 2 and "1" or "0"
    local all = q.raw:find("state=", 1, true) == nil and state ~= "2"
    if all or q.raw:find("state=" .. state, 1, true) then rows[#rows + 1] = store_row(c, c.stores[id]) end
  end
  return ok { count = #rows, stores = rows }
end

-- Handlers: f(cluster, request with .args, member). Keys are "METHOD path" with * for one segment.
local H = {}
local LOCAL = {} -- answered by the member itself, without a leader

LOCAL["GET /pd/api/v1/version"] = function(_, _, m)
  return ok { version = m.version, build_time = "", hash = "", branch = "" }
end
LOCAL["GET /pd/api/v1/ping"] = function() return 200, "", "" end
LOCAL["GET /health"] = function(_, _, m)
  if m.removed then return 503, "text/plain; charset=utf-8", '{"health":"false","reason":"ETCD_SERVER_STOPPED"}\n' end
  return 200, "text/plain; charset=utf-8", '{"health":"true","reason":""}'
end
LOCAL["GET /pd/api/v1/status"] = function(c, _, m)
  return ok { build_ts = "None", version = m.version, git_hash = "0123456789abcdef",
    start_timestamp = c.leader_start or 0, kernel_type = "Classic" }
end
LOCAL["POST /v3/maintenance/status"] = function(c, _, m)
  return 200, "application/json", { header = { cluster_id = c.id, member_id = m.id, revision = tostring(c.revision),
    raft_term = "2" }, version = "3.5.15", dbSize = "81920", leader = c.leader and c.leader.id or nil,
    raftIndex = tostring(c.revision), raftTerm = "2", raftAppliedIndex = tostring(c.revision), dbSizeInUse = "81920" }
end
LOCAL["GET /pd/api/v1/health"] = function(c)
  local rows = sim.array {}
  for i, m in ipairs(c.members) do
    rows[i] = { name = m.name, member_id = sim.int(m.id), client_urls = m.client_url and sim.array { m.client_url },
      health = m.up == true }
  end
  return ok(rows)
end

H["GET /pd/api/v1/cluster"] = function(c) return ok { id = sim.int(c.id), max_peer_count = c.config.max_replicas } end
H["GET /pd/api/v1/cluster/status"] = function(c)
  return ok { raft_bootstrap_time = c.bootstrapped and stamp(0) or "0001-01-01T00:00:00Z",
    is_initialized = c.bootstrapped, replication_status = "" }
end
H["GET /pd/api/v1/members"] = function(c)
  local rows = sim.array {}
  for i, m in ipairs(c.members) do rows[i] = member_row(m) end
  local leader = member_row(c.leader)
  return ok { header = { cluster_id = sim.int(c.id) }, members = rows, leader = leader, etcd_leader = leader }
end
H["GET /pd/api/v1/leader"] = function(c) return ok(member_row(c.leader)) end
H["POST /pd/api/v1/leader/resign"] = function(c)
  for _, m in ipairs(c.members) do
    if m ~= c.leader and m.up then
      c:lead(m)
      return said "The resign command is submitted."
    end
  end
  return bad(500, "no candidate")
end
H["POST /pd/api/v1/leader/transfer/*"] = function(c, q)
  local m = c:member(q.args[1])
  if not m then return bad(500, "not found, pd: " .. q.args[1]) end
  if not m.up then return bad(500, "context deadline exceeded") end
  c:lead(m)
  local status, kind, body = said "The transfer command is submitted."
  return status, kind, body, 500
end
local function remove(c, m)
  if not m then return bad(404, "not found") end
  local up = 0
  for _, x in ipairs(c.members) do
    if x ~= m and x.up then up = up + 1 end
  end
  if up * 2 <= #c.members - 1 then return bad(500, "etcdserver: re-configuration failed due to not enough started members") end
  c:remove_member(m)
  return said("removed, pd: " .. (m.name or m.id))
end
H["DELETE /pd/api/v1/members/name/*"] = function(c, q) return remove(c, c:member(q.args[1])) end
H["DELETE /pd/api/v1/members/id/*"] = function(c, q) return remove(c, c:member_by_id(q.args[1])) end
H["GET /pd/api/v1/config/replicate"] = function(c)
  return ok { ["max-replicas"] = c.config.max_replicas, ["location-labels"] = c.config.location_labels,
    ["strictly-match-label"] = "false", ["enable-placement-rules"] = "true",
    ["enable-placement-rules-cache"] = "false", ["isolation-level"] = c.config.isolation_level }
end
H["GET /pd/api/v1/config/schedule"] = function(c)
  return ok { ["max-store-down-time"] = ("%ds"):format(c.config.max_store_down_ms / 1000),
    ["halt-scheduling"] = c.config.halt and "true" or "false", ["leader-schedule-limit"] = 4,
    ["region-schedule-limit"] = 2048, ["replica-schedule-limit"] = 64 }
end
H["GET /pd/api/v1/config"] = function(c, q)
  local _, _, replicate = H["GET /pd/api/v1/config/replicate"](c, q)
  local _, _, schedule = H["GET /pd/api/v1/config/schedule"](c, q)
  return ok { replication = replicate, schedule = schedule, ["cluster-version"] = "8.5.2",
    ["pd-server"] = { ["max-gap-reset-ts"] = "24h0m0s" }, log = { level = "info" },
    ["heartbeat-tick-interval"] = "1m0s" }
end

local S = {} -- handlers that need a bootstrapped cluster
S["GET /pd/api/v1/stores"] = list_stores
S["GET /pd/api/v1/store/*"] = function(c, q)
  local s = c.stores[tonumber(q.args[1])]
  if not s then return bad(404, "[PD:core:ErrStoreNotFound]store " .. q.args[1] .. " not found") end
  return ok(store_row(c, s))
end
S["POST /pd/api/v1/store/*/label"] = function(c, q)
  local s = c.stores[tonumber(q.args[1])]
  if not s then return bad(500, ("[PD:cluster:ErrInvalidStoreID]invalid store id %s, not found"):format(q.args[1])) end
  if type(q.body) ~= "table" then return input "unexpected end of JSON input" end
  for k, v in sim.pairs(q.body) do
    if type(v) ~= "string" then return input "json: cannot unmarshal number into Go value of type string" end
    if k:lower() == "engine" then return input 'label key "engine" is reserved' end
    s.labels[k] = v ~= "" and v or nil
  end
  return said "The store's label is updated."
end
S["DELETE /pd/api/v1/store/*"] = function(c, q)
  local s = c.stores[tonumber(q.args[1])]
  if not s then return bad(404, "[PD:core:ErrStoreNotFound]store " .. q.args[1] .. " not found") end
  if s.node_state == 3 then return bad(410, "[PD:core:ErrStoreRemoved]store " .. q.args[1] .. " has been removed") end
  local left = 0
  for id in pairs(c.stores) do
    if id ~= s.id and c.stores[id].node_state < 2 then left = left + 1 end
  end
  if left < c.config.max_replicas and s.node_state < 2 then
    return bad(400, "[PD:core:ErrStoresNotEnough]can not remove store " .. q.args[1] .. " since there are only "
      .. left .. " stores left, which is less than the max replicas " .. c.config.max_replicas)
  end
  s.node_state = 2
  if q.raw:find("force", 1, true) then s.destroyed = true end
  return said "The store is set as Offline."
end
S["POST /pd/api/v1/store/*/state"] = function(c, q)
  local s = c.stores[tonumber(q.args[1])]
  if not s then return bad(404, "[PD:core:ErrStoreNotFound]store " .. q.args[1] .. " not found") end
  if s.node_state == 3 then return bad(410, "[PD:core:ErrStoreRemoved]store has been removed") end
  if s.destroyed then return bad(400, "[PD:core:ErrStoreDestroyed]store has been physically destroyed") end
  if s.node_state == 2 then s.node_state = 1 end
  return said "The store's state is updated."
end
S["GET /pd/api/v1/schedulers"] = function(c) return ok(sim.array(c:schedulers())) end
S["POST /pd/api/v1/schedulers"] = function(c, q)
  local id = type(q.body) == "table" and tonumber(q.body.store_id)
  if type(q.body) ~= "table" or q.body.name ~= "evict-leader-scheduler" or not id then return input "missing store id" end
  if not c.stores[id] then return bad(400, ("[PD:core:ErrStoreNotFound]store %d not found"):format(id)) end
  if #c:schedulers() == 0 then c.evict = {} end
  c.evict[id] = true
  return said "The scheduler is created."
end
local function evict_list(c)
  if not next(c.evict) or #c:schedulers() == 0 then return 404, "text/plain; charset=utf-8", "404 page not found\n" end
  local ranges = {}
  for id in sim.pairs(c.evict) do ranges[tostring(id)] = sim.array(sim.copy(RANGES)) end
  return ok { ["store-id-ranges"] = ranges, batch = 3 }
end
S["GET /pd/api/v1/scheduler-config/evict-leader-scheduler/list"] = evict_list
S["DELETE /pd/api/v1/schedulers/*"] = function(c, q)
  local id = tonumber(q.args[1]:match "^evict%-leader%-scheduler%-(%d+)$")
  if not id or not c.evict[id] or #c:schedulers() == 0 then return 404, JSON, "null\n" end
  c.evict[id] = nil
  return said "The scheduler is removed."
end
local function region_check(count)
  return function(c)
    return 200, "application/octet-stream", { count = count(c), regions = sim.array {} }
  end
end
S["GET /pd/api/v1/regions/check/down-peer"] = region_check(function(c) return c:down_peers() end)
for _, kind in ipairs { "pending-peer", "miss-peer", "extra-peer", "offline-peer", "learner-peer" } do
  S["GET /pd/api/v1/regions/check/" .. kind] = region_check(function(c)
    local n = 0
    for _, r in ipairs(c.regions) do
      if kind == "miss-peer" and #r.peers < c.config.max_replicas then n = n + 1 end
    end
    return n
  end)
end
S["GET /pd/api/v1/stats/region"] = function(c)
  return ok { count = #c.regions, empty_count = 0, storage_size = #c.regions * model.REGION_SIZE, storage_keys = 0 }
end
S["GET /pd/api/v1/regions/store/*"] = function(c, q)
  local rows = sim.array {}
  for _, r in ipairs(c.regions) do
    for _, p in ipairs(r.peers) do
      if p == tonumber(q.args[1]) then rows[#rows + 1] = { id = r.id } end
    end
  end
  return 200, "application/octet-stream", { count = #rows, regions = rows }
end

local function compile(key)
  return "^" .. key:gsub("[%-%.]", "%%%0"):gsub("%*", "([^/]+)") .. "$"
end
local routes = {}
for set, need in pairs { [LOCAL] = "local", [H] = "leader", [S] = "bootstrapped" } do
  for key, fn in sim.pairs(set) do routes[#routes + 1] = { pattern = compile(key), key = key, fn = fn, need = need } end
end
-- Exact paths before those with a free segment.
table.sort(routes, function(a, b)
  local x, y = a.key:find("*", 1, true) and 1 or 0, b.key:find("*", 1, true) and 1 or 0
  if x ~= y then return x < y end
  return a.key < b.key
end)

--- One request to one member.
---@param c table pd_model cluster
---@param m table the member asked
---@param request sim.http_request
function M.answer(c, m, request)
  local path = request.path
  local key = request.method .. " " .. path
  for _, r in ipairs(routes) do
    local args = { key:match(r.pattern) }
    if args[1] then
      if r.need ~= "local" and not c:has_leader() then
        if c.leader_lost_ms and c:quorum() then return 500, "text/plain; charset=utf-8", REDIRECT end
        return 503, "text/plain; charset=utf-8", NO_LEADER, 3000
      end
      if r.need == "bootstrapped" and not c.bootstrapped then
        return path:find("scheduler%-config") and 406 or 500, JSON, NOT_BOOTSTRAPPED
      end
      local parts = {}
      for k, v in sim.pairs(request.query or {}) do parts[#parts + 1] = k .. "=" .. v end
      return r.fn(c, { args = args, body = request.body, raw = request.raw_query or table.concat(parts, "&") }, m)
    end
  end
  return 404, "text/plain; charset=utf-8", "404 page not found\n"
end

return M
