--- pd_replay: drives a PD through a recorded scenario and compares the answers: the simulated one, or a real
-- one (support/pd_stage).
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

function World:beat_all()
  for _, p in sim.pairs(self.processes) do self:beat(p) end
end

--- n regions with three peers each on these stores, all known to PD.
function World:regions(n, ids)
  self.c:make_regions(n, function(i)
    local peers = {}
    for k = 0, math.min(3, #ids) - 1 do peers[k + 1] = ids[(i + k - 1) % #ids + 1] end
    return peers
  end)
end

--- The second peer of the n-th region lags and is down.
function World:sicken(n)
  local r = self.c.regions[n]
  r.down, r.pending = { [r.peers[2]] = 700 }, { [r.peers[2]] = true }
end

--- Stores with regions on them, as the recordings begin.
function World:boot(ids, n)
  self.c.next_id = 1000
  for i, id in ipairs(ids) do self:store(id, { n = i }) end
  self:regions(n, ids)
  for i, id in ipairs { 2, 10 } do
    self.c.region_by_id[self.c.regions[i].id] = nil
    self.c.regions[i].id = id
    self.c.region_by_id[id] = self.c.regions[i]
  end
  for _, id in ipairs(ids) do self.c:report(id) end
end

--- Heartbeats of all stores, or of their regions, stop or go on.
---@param what "stores"|"regions"
function World:hush(what, on) self[what == "stores" and "silent" or "no_regions"] = on end

--- All stores fall silent, or are heard again.
function World:quiet(on)
  self.silent, self.no_regions = on, on
  if on then return end
  for id, p in sim.pairs(self.processes) do
    if p.up then
      self.c:heartbeat(id)
      self.c:report(id)
    end
  end
end

--- A member is added for a process that begins to join, and later has started.
function World:joins(name, id)
  local m = self.c:add_member(nil, self.by_name[name].peer_url)
  m.id, self.by_name[name] = id, m
end

function World:joined(name, id)
  if id then self:joins(name, id) end
  self.by_name[name].name = name
  self:start(name)
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
  if type(n) == "table" then return n end
  shapes = shapes or read "shapes"
  local out = {}
  for _, line in ipairs(shapes[n]) do out[line] = true end
  return out
end

--- Fields that come and go with the figures of the moment, not with the state.
local VOLATILE = { "%.pending_peer_count", "%.learner_count", "%.pending_peers", "%.down_peers", "%.is_learner",
  "%.role ", "%.role%? ", "%.sending_snap_count", "%.receiving_snap_count" }

local function without_volatile(set, more)
  local out = {}
  for line in pairs(set) do
    local keep = true
    for _, list in ipairs { VOLATILE, more or {} } do
      for _, v in ipairs(list) do keep = keep and not line:find(v) end
    end
    if keep then out[line] = true end
  end
  return out
end

local function compare(w, e, status, kind, body, loose)
  local wrong = {}
  local function differ(what, want, got)
    if want ~= got then wrong[#wrong + 1] = ("%s: %s instead of %s"):format(what, tostring(got), tostring(want)) end
  end
  if e.status == 0 then
    if status > 0 then differ("status", "no answer", status) end
    return wrong
  end
  if e.status ~= status then return { ("status: %s instead of %s: %s"):format(status, e.status, (body or ""):sub(1, 120)) } end
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
    for _, d in ipairs(same_set(without_volatile(expected_shape(e.shape), w.volatile),
      without_volatile(lines, w.volatile))) do
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

--- A recorded step, with the answer that a PD gave instead of the recorded one.
local function answered(e, status, kind, body)
  local out = { status = math.max(status, 0), type = kind, newline = body and body:sub(-1) == "\n" }
  for _, key in ipairs { "step", "note", "to", "method", "path", "body", "headers" } do out[key] = e[key] end
  local ok, v = pcall(shape.parse, body or "")
  if e.begins then
    out.begins = body:match "^[^\n]*"
  elseif ok and type(v) == "table" and not v.number then
    out.shape, out.layout, out.facts = shape.lines(body), shape.layout(body), shape.facts(e.path, body)
    out.msg = e.msg and (shape.get(v, "msg") or shape.get(v, "error") or "")
  elseif ok and type(v) == "string" then
    out.json = v
  elseif e.text then
    out.text = body
  end
  return out
end

--- Let time pass until a step is due.
function World:due(at) self.clock.run_until(math.max(self.clock.now_ms(), at + self.skew)) end

-- A request, and again where the world is one in which things take their time.
local function differences(w, e, loose)
  local patience, waited = w.patience and w:patience(e) or 0, 0
  while true do
    local status, kind, body = w:ask(e)
    local wrong = compare(w, e, status, kind, body, loose)
    if not wrong[1] or e.method ~= "GET" or waited >= patience then return wrong end
    w:pass(250)
    waited = waited + 250
  end
end

--- Replay a scenario. Returns the number of compared answers and a list of differences.
---@param name string
---@param s table { members, first, hooks = {[step] = fn}, loose = {[step] = pattern or true}, skip = {[step] = true},
--- stop = step }
---@param w table? the world to ask, the simulated one by default
---@param judge table? by step, the answers of another PD; the recorded ones by default
function M.replay(name, s, w, judge)
  w = w or M.world(s)
  local compared, wrong = 0, {}
  if s.first then s.first(w) end
  for _, e in ipairs(read(name)) do
    if s.stop and e.step >= s.stop then break end
    w:due(e.at)
    local hook = (s.hooks or {})[e.step]
    local refused
    if hook then
      local _, why = hook(w, e)
      refused = why
    end
    if e.method == "GRPC" then
      local want = judge and judge[e.step] or e.error
      if w.told then w.told(e, (refused or ""):sub(1, e.error ~= "" and #e.error or 60)) end
      if hook and want ~= (refused or ""):sub(1, #want) or want == "" and refused then
        wrong[#wrong + 1] = ("step %d (%s): %s instead of %s"):format(e.step, e.note or "", tostring(refused), want)
      end
    elseif e.method ~= "NOTE" then
      local asked = not (s.skip or {})[e.step] and not (w.moment and w:moment(judge and judge[e.step] or e))
      compared = compared + (asked and 1 or 0)
      for _, d in ipairs(asked and differences(w, judge and judge[e.step] or e, (s.loose or {})[e.step]) or {}) do
        wrong[#wrong + 1] = ("step %d (%s) %s %s: %s"):format(e.step, e.note or "", e.method, e.path, d)
      end
    end
  end
  return compared, wrong, w
end

--- What the simulated PD answers, as that version of PD.
---@return table by step
function M.answers(name, s, version)
  local w, out = M.world(setmetatable({ version = version }, { __index = s })), {}
  function w:ask(e)
    local status, kind, body = World.ask(self, e)
    out[e.step] = answered(e, status, kind, body)
    return status, kind, body
  end
  function w.told(e, refusal) out[e.step] = refusal end
  M.replay(name, s, w)
  return out
end

return M
