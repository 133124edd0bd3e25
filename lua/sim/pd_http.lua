--- pd_http: PD's HTTP API over pd_model, as one member answers it: routes and forwarding.
-- The handlers are in pd_http_members, _stores, _regions, _schedulers and _config. A route's `need`
-- says who can answer: "local" any running process, "leader" with a PD leader, "boot" with a PD
-- leader and a first store, "config" for the one path with its own errors.
local A = require "sim.pd_answer"

local M = {}

local NO_LEADER = "[PD:apiutil:ErrRedirectNoLeader]redirect finds no leader"
local REDIRECT = "[PD:apiutil:ErrRedirect]redirect failed"
local NOT_LEADER = "[PD:apiutil:ErrRedirectToNotLeader]redirect to not leader"
local NIL = "[PD:server:ErrLeaderNil]leader is nil"

local exact, patterns = {}, {} -- path -> method -> route; list of { pattern, methods }

local function compile(path)
  return "^" .. path:gsub("[%-%.]", "%%%0"):gsub("%*", "([^/]+)") .. "$"
end

local function add(key, need, fn)
  local method, path = key:match "^(%S+) (%S+)$"
  local methods
  if path:find("*", 1, true) then
    for _, p in ipairs(patterns) do methods = p.path == path and p.methods or methods end
    if not methods then
      methods = {}
      patterns[#patterns + 1] = { path = path, pattern = compile(path), methods = methods }
    end
  else
    exact[path] = exact[path] or {}
    methods = exact[path]
  end
  methods[method] = { need = need, fn = fn, v2 = path:find("^/pd/api/v2/") ~= nil, path = path }
end

for _, part in ipairs { "members", "stores", "regions", "schedulers", "config" } do
  for _, r in ipairs(require("sim.pd_http_" .. part)) do add(r[1], r[2], r[3]) end
end
-- Longer patterns are more specific: /config/rules/group/* before /config/*.
table.sort(patterns, function(a, b)
  if #a.path ~= #b.path then return #a.path > #b.path end
  return a.path < b.path
end)

local function find(path)
  local methods = exact[path]
  if methods then return methods, {} end
  for _, p in ipairs(patterns) do
    local args = { path:match(p.pattern) }
    if args[1] then return p.methods, args end
  end
end

local function unknown(method, path, methods)
  if path:find "^/pd/api/v2/" then return 404, "text/plain", "404 page not found" end
  if not methods then
    local once = path:gsub("//+", "/")
    if path == "/pd" then once = "/pd/" end
    if once ~= path then
      return 307, "text/html; charset=utf-8", ('<a href="%s">Temporary Redirect</a>.\n\n'):format(once)
    end
    return A.missing()
  end
  if method == "OPTIONS" then return A.empty(200) end
  return A.empty(405)
end

local function not_bootstrapped(route, q)
  if route.path:find("/scheduler-config", 1, true) then return A.v1(406, A.NOT_BOOTSTRAPPED) end
  if q.method == "DELETE" and (q.args[1] or ""):find "%-scheduler%-" then return A.null(406) end
  if route.v2 then return A.v2(500, A.NOT_BOOTSTRAPPED) end
  return A.v1(500, A.NOT_BOOTSTRAPPED)
end

local function leaderless(route)
  if route.need == "config" then return A.v1(500, NIL) end
  if route.v2 then return A.v2(503, NIL) end
  return A.text(503, NO_LEADER, 3000)
end

local function misdirected(route)
  if route.need == "config" then
    return A.v1(500, "[PD:http:ErrSendRequest]send HTTP request failed%!(EXTRA int=500)")
  end
  if route.v2 then return A.v2(500, NOT_LEADER) end
  return A.text(500, NOT_LEADER)
end

local function redirect_failed(c, route)
  if route.need == "config" then
    local url = (c.lost.client_url or "") .. "/pd/api/v1/config"
    return A.v1(500, ('Get "%s": dial tcp: connect: connection refused'):format(url))
  end
  return A.text(500, REDIRECT)
end

-- Paths of later versions are no paths, whoever is asked.
local function too_new(c, path) return path:find "^/pd/api/v2/maintenance" and not c:at_least(8, 5, 7) end

local READS_QUORUM = { ["/pd/api/v2/ready"] = true, ["/pd/api/v2/readyz"] = true, ["/pd/api/v2/readyz/*"] = true }

--- What stands between a request at this member and the PD leader, or nothing.
local function obstacle(c, m, route, q)
  local here = q.header "PD-Allow-follower-handle"
  local members = route.path == "/pd/api/v1/members"
  if m.removed then
    local way = c:zombie_forwards(m)
    if here and members then return A.HANG end
    if way == "not leader" then return misdirected(route) end
    if way == "no" or not c:has_leader() then return leaderless(route) end
    return
  end
  if here and m ~= c.leader then
    local first_reads_type = route.path == "/pd/api/v1/regions/store/*" and q.query.type
    if route.need == "boot" and not first_reads_type then return not_bootstrapped(route, q) end
    if c:quorum() then return end
    return A.HANG
  end
  if q.header "PD-Redirector" and m ~= c.leader then return misdirected(route) end
  if c.quiet_until and sim.now_ms() < c.quiet_until then return A.HANG end
  if not c:quorum() and not (c.leader and c.leader.hung) then
    if members and sim.now_ms() - (c.quorum_lost_ms or 0) < 4000 then return A.HANG end
    return leaderless(route)
  end
  if c.leader and c.leader.hung then return A.HANG end
  if c:lease_runs() and not c.lost.removed and m ~= c.lost then return redirect_failed(c, route) end
  if not c:has_leader() then return leaderless(route) end
end

local function request_of(request, args)
  local headers = {}
  for k, v in pairs(request.headers or {}) do headers[k:lower()] = v end
  local raw = request.raw_query
  if not raw then
    local parts = {}
    for k, v in sim.pairs(request.query or {}) do parts[#parts + 1] = v ~= "" and k .. "=" .. v or k end
    raw = table.concat(parts, "&")
  end
  return { args = args, body = request.body, text = request.text, raw = raw, query = request.query or {},
    header = function(name) return headers[name:lower()] end, method = request.method }
end

--- One request to one member.
---@param c table pd_model cluster
---@param m table the member asked
---@param request sim.http_request
function M.answer(c, m, request)
  if not m.up then return A.REFUSED end
  if m.hung or (m.removed and m.restarted) then return A.HANG end
  if not c.leader_since then -- the first start: held without a quorum, then refused until a leader is there
    if not c:quorum() then return A.HANG end
    return A.text(500, "[PD:server:ErrServerNotStarted]server not started")
  end
  local methods, args = find(request.path)
  local route = methods and methods[request.method]
  if not route or too_new(c, route.path) then return unknown(request.method, request.path, methods) end
  local q = request_of(request, args)
  if route.need == "local" then
    if READS_QUORUM[route.path] and not m.removed and not c:quorum() then return A.HANG end
    return route.fn(c, q, m)
  end
  local status, kind, body, delay = obstacle(c, m, route, q)
  if status then return status, kind, body, delay end
  if route.need == "boot" and not c.bootstrapped then
    if route.path:find "hotspot" then
      return A.text(500, "PANIC: runtime error: invalid memory address or nil pointer dereference\n"
        .. "goroutine 1 [running]:")
    end
    return not_bootstrapped(route, q)
  end
  return route.fn(c, q, m)
end

return M
