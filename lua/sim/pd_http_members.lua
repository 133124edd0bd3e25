--- pd_http_members: members, leader, health, versions, maintenance lock, keyspaces, etcd's own paths.
local A = require "sim.pd_answer"
local J = require "sim.pd_json"
local model = require "sim.pd_model"

local routes = {}
local function on(key, need, fn) routes[#routes + 1] = { key, need, fn } end

local HASH = "a186e0cc61def1408fc57ae7b3d1044a572c8ae3"

local function hash(m) return m.version == "None" and "None" or HASH end

--- A member in /members (full), or in /leader, which knows less.
local function row(m, full)
  local known = full and m.client_url
  return J.object("name", m.name, "member_id", J.int(m.id), "peer_urls", J.list { m.peer_url },
    "client_urls", m.client_url and J.list { m.client_url } or nil,
    "leader_priority", full and m.priority ~= 0 and m.priority or nil,
    "deploy_path", known and "/" or nil, "binary_version", known and m.version or nil,
    "git_hash", known and hash(m) or nil)
end

on("GET /pd/api/v1/members", "leader", function(c)
  local rows = J.list()
  for i, m in ipairs(c.members) do rows[i] = row(m, true) end
  local leader = row(c.leader, true)
  return A.ok(J.object("header", J.object("cluster_id", J.int(c.id)), "members", rows, "leader", leader,
    "etcd_leader", leader))
end)

on("GET /pd/api/v1/leader", "leader", function(c) return A.ok(row(c.leader)) end)

local function priority(c, q)
  local m = c:member(q.args[1])
  if not m then return A.v1(404, "not found, pd: " .. q.args[1]) end
  local body, bad = A.object(q)
  if not body then return unpack(bad) end
  local value = body["leader-priority"]
  if value ~= nil then
    if type(value) ~= "number" then return A.v1(400, "bad format leader priority") end
    c:set_priority(m, math.floor(value))
  end
  return A.ok "success"
end
on("POST /pd/api/v1/members/name/*", "leader", priority)

local function remove(c, m, said)
  local why = c:removal_refusal(m)
  if why then return A.v1(500, ("[PD:etcd:ErrEtcdMemberRemove]%s: %s"):format(why, why)) end
  c:remove_member(m)
  return A.ok("removed, pd: " .. said)
end

on("DELETE /pd/api/v1/members/name/*", "leader", function(c, q)
  local m = c:member(q.args[1])
  if not m then return A.v1(404, "not found, pd: " .. q.args[1]) end
  return remove(c, m, q.args[1])
end)

on("DELETE /pd/api/v1/members/id/*", "leader", function(c, q)
  local id, why = A.id(q.args[1])
  if not id then return A.v1(400, why) end
  local m = c:member_by_id(id)
  if not m then
    why = #c.members == 1 and c.removed_ms and sim.now_ms() - c.removed_ms < 1000
      and "rpc error: code = Unknown desc = raft: stopped" or "etcdserver: member not found"
    return A.v1(500, ("[PD:etcd:ErrEtcdMemberRemove]%s: %s"):format(why, why))
  end
  return remove(c, m, id)
end)

on("POST /pd/api/v1/leader/resign", "leader", function(c)
  local before = c.leader
  c:resign()
  local status, kind, body = A.ok "The resign command is submitted."
  return status, kind, body, before ~= c.leader and 500 or 0
end)

on("POST /pd/api/v1/leader/transfer/*", "leader", function(c, q)
  local m, before = c:member(q.args[1]), c.leader
  if not m then return A.v1(500, "no valid pd to transfer etcd leader") end
  local why = c:transfer(m)
  local status, kind, body = A.ok "The transfer command is submitted."
  if why then status, kind, body = A.v1(500, why) end
  return status, kind, body, why and 5000 or before ~= c.leader and 500 or 0
end)

-- Answered by the process itself --------------------------------------------------------------------

local function health(c, _, asked)
  local rows, delay = J.list(), 0
  for i, m in ipairs(c.members) do
    rows[i] = J.object("name", m.name or "", "member_id", J.int(m.id),
      "client_urls", m.client_url and J.list { m.client_url } or J.null, "health", m.up == true and not m.hung)
    if m.hung and m ~= asked then delay = delay + 3000 end
  end
  local status, kind, body = A.ok(rows)
  return status, kind, body, delay
end
on("GET /pd/api/v1/health", "local", health)
on("GET /pd/health", "local", health)
on("GET /pd/api/v1/ping", "local", function() return A.empty(200) end)
on("GET /pd/ping", "local", function() return A.empty(200) end)

on("GET /pd/api/v1/version", "local", function(_, _, m)
  return A.ok(J.object("version", m.version, "build_time", "", "hash", "", "branch", ""))
end)

local function since(m, ...)
  local a, b, c = model.parse_version(m.version)
  return model.at_least(a, b, c, ...)
end

on("GET /pd/api/v1/status", "local", function(_, _, m)
  return A.ok(J.object("build_ts", "None", "version", m.version, "git_hash", hash(m),
    "start_timestamp", math.floor(J.wall(m.start_ms or 0) / 1000), "kernel_type", since(m, 9, 0, 0) and "Classic" or nil))
end)

on("POST /pd/api/v1/admin/log", "local", function(_, q)
  local level = A.body(q)
  for _, word in ipairs { "debug", "info", "warn", "error", "fatal" } do
    if level == word then return A.ok "The log level is updated." end
  end
  return A.v1(400, ("log level %s is illegal"):format(tostring(level)))
end)

local function indented(status, value) return status, A.V2, J.print(value, "    ") end

local function no_route() return 404, "text/plain", "404 page not found" end

on("GET /pd/api/v2/ready", "local", function(c, q, m)
  if not since(m, 8, 5, 2) then return no_route() end
  local newest = since(m, 9, 0, 0)
  local status = (c.bootstrapped or newest) and 200 or 500
  if q.raw:find "verbose" then
    local known
    if newest then known = c.bootstrapped end
    local body = J.object("region_loaded", c.bootstrapped, "is_bootstrapped", known)
    if status ~= 200 then return A.v2(status, body) end
    return indented(status, body)
  end
  return status, "", "", m.removed and 2500 or 0
end)

local CHECKS = { readyz = { "etcd-data-corruption", "etcd-linearizable-read", "etcd-non-learner",
  "etcd-serializable-read", "leader-promotion" }, livez = { "etcd-serializable-read" } }

local function probe(name)
  return function(_, q, m)
    if not since(m, 9, 0, 0) then return no_route() end
    if m.removed and name == "readyz" then return A.REFUSED end -- the connection is cut
    local lines = {}
    for _, check in ipairs(CHECKS[name]) do
      local left_out = q.raw:find("exclude=" .. check, 1, true)
      if not left_out and (not q.args[1] or q.args[1] == check) then lines[#lines + 1] = ("[+]%s ok"):format(check) end
    end
    if q.args[1] and not lines[1] then return no_route() end
    lines[#lines + 1] = "ok"
    return A.text(200, q.raw:find "verbose" and table.concat(lines, "\n") or "ok")
  end
end
for name in pairs(CHECKS) do
  on("GET /pd/api/v2/" .. name, "local", probe(name))
  on("GET /pd/api/v2/" .. name .. "/*", "local", probe(name))
end

-- Cluster -------------------------------------------------------------------------------------------

on("GET /pd/api/v1/cluster", "leader", function(c)
  return A.ok(J.object("id", J.int(c.id), "max_peer_count", c:max_replicas()))
end)

on("GET /pd/api/v1/cluster/status", "leader", function(c)
  local time = c.bootstrapped and J.stamp(c.bootstrap_ms) or "0001-01-01T00:00:00Z"
  return A.ok(J.object("raft_bootstrap_time", time, "is_initialized", c.bootstrapped and #c.regions > 1,
    "replication_status", ""))
end)

on("GET /pd/api/v1/gc/safepoint", "leader", function(c)
  if not c:at_least(9, 0, 0) then return A.ok(J.object("service_gc_safe_points", J.list {}, "gc_safe_point", 0)) end
  local worker = J.object("service_id", "gc_worker", "expired_at", J.int "9223372036854775807", "safe_point", 0)
  return A.ok(J.object("service_gc_safe_points", J.list { worker }, "gc_safe_point", 0))
end)

on("GET /pd/api/v1/service-middleware/config", "leader", function()
  return A.ok { audit = { ["enable-audit"] = "true" },
    ["rate-limit"] = { ["enable-rate-limit"] = "true", ["limiter-config"] = {} },
    ["grpc-rate-limit"] = { ["enable-grpc-rate-limit"] = "true", ["grpc-limiter-config"] = {} } }
end)

on("GET /pd/api/v1/replication_mode/status", "boot", function()
  return A.ok(J.object("mode", "majority", "dr-auto-sync",
    J.object("label_key", "", "state", "", "acid_consistent", false)))
end)

on("GET /pd/api/v1/min-resolved-ts", "boot", function()
  return A.ok(J.object("is_real_time", true, "min_resolved_ts", 0, "persist_interval", "1s",
    "stores_min_resolved_ts", J.null))
end)
on("GET /pd/api/v1/min-resolved-ts/*", "boot", function(c, q)
  local known = c:store_by_digits(q.args[1])
  return A.ok(J.object("is_real_time", true, "min_resolved_ts", known and 0 or J.int "18446744073709551615",
    "persist_interval", "1s", "stores_min_resolved_ts", J.null))
end)

-- Keyspaces and micro-services -----------------------------------------------------------------------

local function keyspace(c)
  local at = math.floor(J.wall(c.bootstrap_ms) / 1000)
  return J.object("id", 0, "name", "DEFAULT", "state", "ENABLED", "created_at", at, "state_changed_at", at, "config",
    c:at_least(9, 0, 0) and { region_bound_type = "txn" } or nil)
end
on("GET /pd/api/v2/keyspaces", "boot", function(c)
  return indented(200, J.object("keyspaces", J.list { keyspace(c) }, "next_page_token", ""))
end)
on("GET /pd/api/v2/keyspaces/*", "boot", function(c, q)
  if q.args[1] ~= "DEFAULT" then return A.v2(404, "[PD:keyspace:ErrKeyspaceNotFound]keyspace does not exist") end
  return indented(200, keyspace(c))
end)
for _, what in ipairs { "members", "primary" } do
  on(("GET /pd/api/v2/ms/%s/*"):format(what), "leader", function(c)
    return A.v2(404, c:at_least(9, 0, 0) and "not support microservice" or "not support micro service")
  end)
end

-- The maintenance lock (S18) -------------------------------------------------------------------------

local NONE, NONE_OF_TYPE = "No maintenance task is running", "No maintenance task is running for this type"

local function task(t)
  return J.object("type", t.type, "id", t.id, "start_timestamp", math.floor(J.wall(t.at) / 1000), "description", t.text)
end

local function taken(c, text)
  return A.v2(409, J.object("error", text, "existing_task", task(c.maintenance)))
end

on("GET /pd/api/v2/maintenance", "leader", function(c)
  if not c.maintenance then return A.v2(404, NONE) end
  return A.v2(200, J.list { task(c.maintenance) })
end)
on("GET /pd/api/v2/maintenance/*", "leader", function(c, q)
  if not c.maintenance or c.maintenance.type ~= q.args[1] then return A.v2(404, NONE_OF_TYPE) end
  return A.v2(200, task(c.maintenance))
end)
on("PUT /pd/api/v2/maintenance/*/*", "leader", function(c, q)
  if c.maintenance then return taken(c, "Another maintenance task is already running") end
  local text = q.text or (type(q.body) == "string" and q.body) or ""
  c.maintenance = { type = q.args[1], id = q.args[2], at = sim.now_ms(), text = text }
  c.revision = c.revision + 1
  return A.v2(200, "Maintenance task started successfully.")
end)
on("DELETE /pd/api/v2/maintenance/*/*", "leader", function(c, q)
  if not c.maintenance or c.maintenance.type ~= q.args[1] then return A.v2(404, NONE_OF_TYPE) end
  if c.maintenance.id ~= q.args[2] then return taken(c, "Task ID does not match the current task") end
  c.maintenance = nil
  c.revision = c.revision + 1
  return A.v2(200, "Maintenance task deleted successfully.")
end)

-- etcd ---------------------------------------------------------------------------------------------

on("GET /health", "local", function(c, _, m)
  if m.removed then return A.text(503, '{"health":"false","reason":"RANGE ERROR:etcdserver: server stopped"}') end
  if not c:quorum() then return A.text(503, '{"health":"false","reason":"RAFT NO LEADER"}') end
  return 200, A.TEXT, '{"health":"true","reason":""}'
end)
on("GET /version", "local", function()
  return 200, "application/json", '{"etcdserver":"3.5.15","etcdcluster":"3.5.0"}'
end)
on("GET /readyz", "local", function() return A.text(200, "ok") end)
on("GET /metrics", "local", function(c)
  return 200, "text/plain; version=0.0.4; charset=utf-8; escaping=values",
    ("# HELP etcd_server_has_leader Whether or not a leader exists. 1 is existence, 0 is not.\n"
    .. "# TYPE etcd_server_has_leader gauge\netcd_server_has_leader %d\n"):format(c:quorum() and 1 or 0)
end)

local function gateway(value) return 200, "application/json", J.print(value) end

local function header(c, m, revision)
  return J.object("cluster_id", c.etcd_id, "member_id", m.id, "revision", revision and tostring(c.revision) or nil,
    "raft_term", tostring(c.term + 1))
end

on("POST /v3/cluster/member/list", "local", function(c, _, m)
  local rows = J.list()
  for i, x in ipairs(c.members) do
    rows[i] = J.object("ID", x.id, "name", x.name, "peerURLs", J.list { x.peer_url },
      "clientURLs", x.client_url and J.list { x.client_url } or nil)
  end
  return gateway(J.object("header", header(c, m), "members", rows))
end)

on("POST /v3/maintenance/status", "local", function(c, _, m)
  local there = c:quorum() and c.leader
  return gateway(J.object("header", header(c, m, true), "version", "3.5.15", "dbSize", "81920",
    "leader", there and c.leader.id or nil, "raftIndex", tostring(c.revision + 5), "raftTerm", tostring(c.term + 1),
    "raftAppliedIndex", tostring(c.revision + 5),
    "errors", not there and J.list { "etcdserver: no leader" } or nil, "dbSizeInUse", "81920"))
end)

local CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local function base64(text)
  local out = {}
  for i = 1, #text, 3 do
    local a, b, c = text:byte(i, i + 2)
    local n = a * 65536 + (b or 0) * 256 + (c or 0)
    for k = 3, 0, -1 do
      local at = math.floor(n / 64 ^ k) % 64 + 1
      out[#out + 1] = ((k == 1 and not b) or (k == 0 and not c)) and "=" or CHARS:sub(at, at)
    end
  end
  return table.concat(out)
end

--- Eight bytes of a decimal number, big end first.
local function bytes8(digits)
  local out = {}
  for i = 8, 1, -1 do
    local rest, quotient = 0, {}
    for d in digits:gmatch "%d" do
      rest = rest * 10 + tonumber(d)
      quotient[#quotient + 1] = math.floor(rest / 256)
      rest = rest % 256
    end
    digits, out[i] = table.concat(quotient), string.char(rest)
  end
  return table.concat(out)
end

on("POST /v3/kv/range", "local", function(c, q, m)
  local body = type(q.body) == "table" and q.body or {}
  local root, rows = ("/pd/%s/"):format(c.id), J.list()
  for _, key in ipairs { "/pd/cluster_id", root .. "alloc_id", root .. "config", root .. "leader" } do
    if body.range_end or body.key == base64(key) then
      local value = key == "/pd/cluster_id" and bytes8(c.id) or "{}"
      rows[#rows + 1] = J.object("key", base64(key), "create_revision", "2", "mod_revision", "2", "version", "1",
        "value", not body.keys_only and base64(value) or nil,
        "lease", key:find "leader$" and "5109793351087174412" or nil)
    end
  end
  return gateway(J.object("header", header(c, m, true), "kvs", rows, "count", tostring(#rows)))
end)

return routes
