--- pd_replay: drives the simulated PD through a recorded scenario and compares the answers.
-- The recorded requests themselves change most of the state; what happened outside of HTTP (stores that
-- register or fall silent, members that die) is done by the scenario's hooks, just before a step.
-- luacheck: globals sim
local caged = require "support.caged"
local shape = require "support.shape"
local stand_in = require "support.sim"

local M = {}

local DIR = "spec/sim/recordings/"

local function read(name)
  local out = {}
  for line in io.lines(DIR .. name .. ".jsonl") do out[#out + 1] = caged.json.decode(line) end
  return out
end

local World = {}
World.__index = World

function M.modules()
  local http = require "sim.pd_http"
  return require "sim.pd_model", http
end

--- A cluster with members pd1..n that run from `start` milliseconds on.
function M.world(conf)
  local w = setmetatable({ clock = stand_in.install(), skew = 0, processes = {}, by_name = {} }, World)
  w.model, w.http = M.modules()
  conf.version = conf.version or "v9.0.0-rec"
  conf.raft_election_ms = conf.raft_election_ms or 2000
  w.conf = conf
  w.c = w.model.new { regions = conf.first_regions or 1, version = conf.version, peer_down_ms = conf.peer_down_ms,
    raft_election_ms = conf.raft_election_ms }
  for i = 1, conf.members or 1 do
    local m = w.c:add_member("pd" .. i, ("http://127.0.0.1:%d"):format(2380 + i * 10))
    w.by_name[m.name] = m
  end
  return w
end

function World:start(name)
  local m = self.by_name[name]
  m.client_url, m.version = m.peer_url:gsub("%d$", "9"), self.conf.version
  m.graceful = false
  self.c:set_up(m, true)
end

function World:kill(name, graceful)
  local m = self.by_name[name]
  m.graceful = graceful
  self.c:set_up(m, false)
end

--- Kill and let time pass until another leads.
function World:until_leader()
  for _ = 1, 400 do
    if self.c:has_leader() then return end
    self:pass(100)
  end
  error "no leader"
end

function World:pass(ms)
  self.skew = self.skew + ms
  self.clock.run(ms)
end

--- A fake store: heartbeats each second, regions each three seconds.
function World:store(id, more)
  local n = more and more.n or id
  local s = { id = id, address = ("tikv-%s:20160"):format(n), status_address = ("tikv-%s:20180"):format(n),
    version = "8.5.7", process = { up = true, id = id } }
  if not (more and more.labels == false) then s.labels = { zone = "z" .. n, host = "h" .. n } end
  for k, v in pairs(more or {}) do
    if k ~= "n" and k ~= "labels" then s[k] = v end
  end
  local store, why = self.c:put_store(s)
  if not store then return nil, why end
  self.c.next_id = math.max(self.c.next_id, type(id) == "number" and id + 1 or 0)
  local old = self.processes[id]
  if old then old.up = false end
  self.processes[id] = s.process
  if not (more and more.silent) then self:beat(s.process) end
  return store
end

function World:beat(p)
  local n = 0
  local function tick()
    if not p.up or self.processes[p.id] ~= p then return end
    if self.c:has_leader() and not p.no_store and not self.silent then self.c:heartbeat(p.id) end
    if n % 3 == 0 and self.c:has_leader() and not p.no_regions and not self.no_regions then self.c:report(p.id) end
    n = n + 1
    sim.after(1000, tick)
  end
  tick()
end

--- n regions with three peers each on these stores, all known to PD.
function World:regions(n, ids)
  self.c:make_regions(n, function(i)
    local peers = {}
    for k = 0, math.min(3, #ids) - 1 do peers[k + 1] = ids[(i + k - 1) % #ids + 1] end
    return peers
  end)
end

function World:die(id)
  self.processes[id].up = false
  self.c:process_changed(id)
end

-- Comparing ---------------------------------------------------------------------------------------

local function same_set(a, b)
  local out = {}
  for k in pairs(a) do
    if not b[k] then out[#out + 1] = "missing " .. k end
  end
  for k in pairs(b) do
    if not a[k] then out[#out + 1] = "surplus " .. k end
  end
  table.sort(out)
  return out
end

--- Figures and ids differ from run to run.
local function plain(text)
  return (text:gsub("%d%d%d%d%d+", "N")
    :gsub('Get \\?"http.*$', "Get URL"):gsub("(duplicated store %a* ?address:).*", "%1"))
end

local shapes

local function expected_shape(n)
  shapes = shapes or read "shapes"
  local out = {}
  for _, line in ipairs(shapes[n]) do out[line] = true end
  return out
end

--- Fields that come and go with the figures of the moment, not with the state.
local VOLATILE = { "%.pending_peer_count", "%.learner_count", "%.pending_peers", "%.down_peers", "%.is_learner",
  "%.role ", "%.role%? ", "%.sending_snap_count", "%.receiving_snap_count" }

local function without_volatile(set)
  local out = {}
  for line in pairs(set) do
    local keep = true
    for _, v in ipairs(VOLATILE) do keep = keep and not line:find(v) end
    if keep then out[line] = true end
  end
  return out
end

local function compare(e, status, kind, body, loose)
  local wrong = {}
  local function differ(what, want, got)
    if want ~= got then wrong[#wrong + 1] = ("%s: %s instead of %s"):format(what, tostring(got), tostring(want)) end
  end
  if e.status == 0 then
    if status > 0 then differ("status", "no answer", status) end
    return wrong
  end
  differ("status", e.status, status)
  if wrong[1] then return wrong end
  differ("content type", e.type, kind)
  body = body or ""
  differ("final newline", e.newline, body:sub(-1) == "\n")
  if e.text then differ("text", plain(e.text), plain(body)) end
  if e.begins then differ("beginning", e.begins, body:match "^[^\n]*") end
  if e.json_null then differ("body", "null\n", body) end
  if e.json then
    local ok, v = pcall(shape.parse, body)
    differ("message", plain(e.json), ok and type(v) == "string" and plain(v) or body)
  end
  if e.shape then
    local ok, lines = pcall(shape.lines, body)
    if not ok then return { lines } end
    for _, d in ipairs(same_set(without_volatile(expected_shape(e.shape)), without_volatile(lines))) do
      if not (loose and (loose == true or d:find(loose))) then wrong[#wrong + 1] = d end
    end
    if e.layout and shape.layout(body) then differ("layout", e.layout, shape.layout(body)) end
    if e.msg then
      local v = shape.parse(body)
      differ("msg", plain(e.msg), plain(shape.get(v, "msg") or shape.get(v, "error") or ""))
    end
    if loose ~= true and loose ~= "facts" then
      local facts = shape.facts(e.path, body)
      differ("facts", table.concat(e.facts or {}, " "), table.concat(facts, " "))
    end
  end
  return wrong
end

local function query_of(path)
  local raw, q = path:match "%?(.*)$" or "", {}
  for k, v in (raw .. "&"):gmatch "([^&=]*)=?([^&]*)&" do
    if k ~= "" then q[k] = v end
  end
  return raw, q
end

function World:ask(e)
  local raw, query = query_of(e.path)
  local body = e.body
  if body and pcall(shape.parse, body) then body = caged.json.decode(body) end
  return self.http.answer(self.c, self.by_name[e.to], { who = "spec", method = e.method, host = e.to,
    path = e.path:gsub("%?.*$", ""), query = query, raw_query = raw, body = body, text = e.body, headers = e.headers })
end

--- A registration over gRPC, as far as the recording tells it.
function World:grpc(e, hook)
  if hook then return hook(self, e) end
end

--- Replay a scenario. Returns the number of compared answers and a list of differences.
---@param name string
---@param s table { members, first, hooks = {[step] = fn}, loose = {[step] = pattern or true}, skip = {[step] = why} }
function M.replay(name, s)
  local w = M.world(s)
  local compared, wrong = 0, {}
  if s.first then s.first(w) end
  for _, e in ipairs(read(name)) do
    if s.stop and e.step >= s.stop then break end
    w.clock.run_until(math.max(w.clock.now_ms(), e.at + w.skew))
    local hook = (s.hooks or {})[e.step]
    local refused
    if hook then
      local _, why = hook(w, e)
      refused = why
    end
    if e.method == "GRPC" then
      if hook and e.error ~= (refused or ""):sub(1, #e.error) then
        wrong[#wrong + 1] = ("step %d (%s): %s instead of %s"):format(e.step, e.note or "", tostring(refused), e.error)
      end
    elseif e.method ~= "NOTE" and not (s.skip or {})[e.step] then
      local status, kind, body = w:ask(e)
      compared = compared + 1
      local loose = (s.loose or {})[e.step]
      for _, d in ipairs(compare(e, status, kind, body, loose)) do
        wrong[#wrong + 1] = ("step %d (%s) %s %s: %s"):format(e.step, e.note or "", e.method, e.path, d)
      end
    elseif e.method ~= "NOTE" then
      w:ask(e)
    end
  end
  return compared, wrong, w
end

return M
