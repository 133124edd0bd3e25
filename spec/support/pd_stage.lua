--- pd_stage: the world of pd_replay with a real PD: the program `realpd` of spec/e2e starts pd-server processes
-- and small stores, and lets them die and fall silent at the word of a scenario's hooks.
-- PD_STAGE says where it listens; curl carries the bytes.
local caged = require "support.caged"
local ffi = require "ffi"

ffi.cdef [[
typedef struct { long sec, nsec; } pd_stage_time;
int clock_gettime(int, pd_stage_time *);
int usleep(unsigned);
]]

local M = { url = os.getenv "PD_STAGE", version = os.getenv "PD_VERSION" }

local World = {}
World.__index = World

local function now()
  local t = ffi.new "pd_stage_time[1]"
  ffi.C.clock_gettime(1, t)
  return tonumber(t[0].sec) * 1000 + tonumber(t[0].nsec) / 1e6
end

local function quoted(s) return "'" .. s:gsub("'", "'\\''") .. "'" end

--- One request. Returns status (0: no answer), content type, body.
local function curl(method, url, body, headers, seconds)
  local file = os.tmpname()
  local words = { "env -u LD_PRELOAD curl -sg --path-as-is -m", seconds, "-o", file,
    "-w '%{http_code} %{content_type}'", method == "HEAD" and "-I" or "-X " .. method }
  for k, v in pairs(headers or {}) do words[#words + 1] = "-H " .. quoted(k .. ": " .. v) end
  if body then words[#words + 1] = "--data-binary " .. quoted(body) end
  words[#words + 1] = quoted(url)
  local pipe = assert(io.popen(table.concat(words, " ")))
  local status, kind = pipe:read "*a":match "^(%d+) ?(.*)$"
  pipe:close()
  local f = assert(io.open(file, "rb"))
  local text = f:read "*a"
  f:close()
  os.remove(file)
  return tonumber(status), kind, method == "HEAD" and "" or text
end

--- Has the stage do something. Returns what went wrong, as a text.
function World:act(word, arguments)
  local status, _, text = curl("POST", M.url .. "/" .. word, caged.json.encode(arguments or {}), nil, 90)
  assert(status == 200, ("the stage does not know %s: %s"):format(word, text))
  return text ~= "" and text or nil
end

-- What the hooks do to the model, done to processes -----------------------------------------------

--- Switches of one process, written as fields.
local SWITCH = { no_store = "stores", no_regions = "regions", busy = "busy" }

local function process(w, id)
  return setmetatable({ id = id }, { __newindex = function(_, key, on)
    w:act("switch", { id = id, quiet = assert(SWITCH[key], key), on = on == true })
  end })
end

local function by_id(make)
  return setmetatable({}, { __index = function(_, id) return make and make(id) or { id = id } end })
end

local function facade(w)
  local c = { stores = by_id(function(id) return process(w, id) end), regions = by_id(), region_by_id = by_id(), next_id = 0 }
  function c.has_leader() return w:leader() ~= nil end
  function c.set_obey(_, on) w:act("deaf", { on = not on }) end
  function c.heartbeat(_, id) return nil, w:act("beat", { id = id }) end
  function c.report(_, id) w:act("report", { id = id }) end
  function c.set_stopping(_, s, on) w:act("switch", { id = s.id, quiet = "stopping", on = on }) end
  function c.hang(_, m, on) w:act("hang", { name = m.name, on = on }) end
  function c.add_learner(_, region, store) w:act("learner", { region = region.id, id = store }) end
  function c.run_coordinator() end
  return c
end

function M.world(conf)
  local w = { skew = 0, by_name = {}, processes = {}, conf = conf, began = now(), alias = {} }
  for i = 1, conf.members or 1 do
    local name = "pd" .. i
    w.by_name[name] = { name = name, peer_url = ("http://127.78.0.%d:2380"):format(i) }
  end
  w.c = facade(w)
  setmetatable(w, World)
  w:act "end"
  return w
end

function World:founders()
  local out = {}
  for i = 1, self.conf.members or 1 do out[i] = "pd" .. i end
  return out
end

function World:start(name)
  assert(not self:act("start", { name = name, founders = self:founders() }))
end

--- A member with an empty disk joins; the id that the recording calls it by is another one here.
function World:joins(name, id)
  self.alias[id] = name
  self:act("start", { name = name, other = self:leader() })
end

function World:joined(name, id)
  if id then self:joins(name, id) end
end

function World:kill(name, graceful) self:act("kill", { name = name, graceful = graceful == true }) end

function World:leader()
  for name in pairs(self.by_name) do
    local status, _, text = curl("GET", ("http://127.78.0.%s:2379/pd/api/v1/leader"):format(name:sub(3)), nil, nil, 2)
    if status == 200 then return text:match '"name": "([^"]*)"' end
  end
end

function World:until_leader()
  for _ = 1, 400 do
    local leader = self:leader()
    if leader and self.c.prefer and leader ~= self.c.prefer then
      curl("POST", ("http://127.78.0.%s:2379/pd/api/v1/leader/transfer/%s"):format(leader:sub(3), self.c.prefer), "", nil, 10)
    elseif leader then
      return
    end
    self:pass(100)
  end
  error "no leader"
end

--- The pace of the recording; what is late makes all that follows late.
function World:due(at)
  local late = now() - self.began - at
  self.skew = math.max(self.skew, late)
  ffi.C.usleep(math.max(0, math.floor((self.skew - late) * 1000)))
end

function World:pass(ms) ffi.C.usleep(ms * 1000) end

function World:store(id, more)
  more = more or {}
  local n = more.n or id
  local labels = {}
  if more.labels ~= false then
    labels = { { key = "zone", value = "z" .. n }, { key = "host", value = "h" .. n } }
  end
  local why = self:act("store", { id = tostring(id), silent = more.silent == true, store = {
    address = more.address or ("tikv-%s:20160"):format(n), peer_address = more.peer_address,
    status_address = ("tikv-%s:20180"):format(n), version = more.version or "8.5.7", labels = caged.json.array(labels) } })
  if why then return nil, why end
  self.processes[id] = process(self, id)
  return {}
end

function World:sicken(n) self:act("sicken", { n = n }) end

function World:beat(p) self:act("speak", { id = p.id }) end

function World:beat_all() self:act "speak" end

function World:die(id) self:act("die", { id = tostring(id) }) end

function World:boot(ids, n)
  for i, id in ipairs(ids) do assert(self:store(id, { n = i })) end
  self:regions(n, ids)
end

--- Two of the regions come from PD, which splits the last one at its key spaces.
function World:regions(n, ids)
  self:act("regions", { n = n - 2, ids = caged.json.array(ids) })
  for _ = 1, 40 do
    local url = ("http://127.78.0.%s:2379/pd/api/v1/stats/region?count"):format(self:leader():sub(3))
    local _, _, text = curl("GET", url, nil, nil, 5)
    if (tonumber(text:match '"count": (%d+)') or 0) >= n - 2 then return end
    self:pass(100)
  end
end

function World:hush(what, on) self:act("switch", { quiet = what, on = on }) end

function World:quiet(on)
  self:hush("stores", on)
  self:hush("regions", on)
end

--- Member ids of the recording are others here.
function World:real(text)
  return text and (text:gsub("%d%d%d%d%d+", function(id)
    for name, m in pairs(self.by_name) do
      if m.id == id then self.alias[id] = name end
    end
    return self.alias[id] and self:id_of(self.alias[id]) or id
  end))
end

function World:id_of(name)
  local _, _, text = curl("GET", ("http://127.78.0.%s:2379/pd/api/v1/members"):format(self:leader():sub(3)), nil, nil, 5)
  return text:match('"name": "' .. name .. '",%s*"member_id": (%d+)')
end

function World:ask(e)
  local url = ("http://127.78.0.%s:2379%s"):format(e.to:sub(3), self:real(e.path))
  local status, kind, body = curl(e.method, url, self:real(e.body), e.headers, e.status == 0 and 2 or 15)
  return status, kind, body
end

local function drains(e) return (e.note or ""):find "^drain" or (e.note or ""):find "^until tombstone" end

--- An answer that only holds for a moment, at a pace that each PD has for itself.
function World:moment(e) -- luacheck: no self
  if e.path:find "/stores/progress" then return e.status ~= 400 end
  return e.path:find "/operators$" or e.path:find "/offline%-peer$"
    or drains(e) and not table.concat(e.facts or {}):find "Tombstone"
end

--- What has its time to become true is asked again for so many milliseconds.
function World:patience(e) return drains(e) and 120000 or 12000 end -- luacheck: no self

--- When a store is Serving is decided each ten seconds since PD started; a new leader knows a score as soon as
--- the next heartbeat comes; stacks were cut out of the recordings.
World.volatile = { "%.node_state", "%.slow_score", "%.stack%[%]" }

return M
