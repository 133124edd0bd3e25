--- A world in virtual time for the specs of kube/: a fake loop and a fake transport behind the
-- seams of wire/. A spec answers requests by hand: exact chunks, status codes and times.
local core = require "support.core"
local ffi = core.ffi

local M = { ffi = ffi }
local lib = core.load("base/err.h", "base/map.h", "base/metric.h", "base/log.h", "base/rng.h",
  "format/json.h", "wire/loop.h", "wire/http.h", "kube/ref.h", "kube/store.h", "kube/api.h",
  "kube/feed.h", "kube/watch.h", "kube/lease.h", "kube/event.h")
ffi.cdef "void free(void *p);"
M.lib = lib

---@class KubeWorld
---@field now number
---@field wall number
local World = {}
World.__index = World
local current ---@type KubeWorld

-- ---- JSON for bodies ----

local function quote(s)
  return '"' .. s:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
end

--- Encode with sorted keys; a table with [1] or marked by M.list() is a list.
local function encode(v)
  if type(v) == "string" then return quote(v) end
  if type(v) ~= "table" then return tostring(v) end
  local out = {}
  if v[1] ~= nil or v.__list then
    for i, x in ipairs(v) do out[i] = encode(x) end
    return "[" .. table.concat(out, ",") .. "]"
  end
  local keys = {}
  for k in pairs(v) do keys[#keys + 1] = k end
  table.sort(keys)
  for i, k in ipairs(keys) do out[i] = quote(k) .. ":" .. encode(v[k]) end
  return "{" .. table.concat(out, ",") .. "}"
end
M.encode = encode

function M.list(t)
  t.__list = true
  return t
end

--- The value at a path of a JSON text: a string as itself, anything else as compact JSON.
function M.at(text, path)
  local e = ffi.new("struct err")
  local tree = lib.json_parse(text, #text, e)
  assert(tree ~= nil, ffi.string(e.msg))
  local node = lib.json_path(tree, path)
  local result
  if node ~= nil then
    local s = lib.json_text(node)
    if s ~= nil then
      result = ffi.string(s)
    else
      local c = lib.json_string(node)
      result = ffi.string(c)
      ffi.C.free(c)
    end
  end
  lib.json_free(tree)
  return result
end

function M.tree(value)
  local text = type(value) == "string" and value or encode(value)
  local e = ffi.new("struct err")
  local tree = lib.json_parse(text, #text, e)
  assert(tree ~= nil, ffi.string(e.msg))
  return ffi.gc(tree, lib.json_free)
end

-- ---- the loop ----

local function pointer(ctype, id)
  return ffi.cast(ctype, ffi.cast("uintptr_t", id))
end

local function id_of(p)
  return tonumber(ffi.cast("uintptr_t", p))
end

local next_id = 1000
local function new_id()
  next_id = next_id + 16
  return next_id
end

local loop_ops = ffi.new("struct loop_ops")
loop_ops.after = function(_, ms, fn, arg)
  local id = new_id()
  current.timers[id] = { due = current.now + tonumber(ms), seq = id, fn = fn, arg = arg }
  return pointer("struct timer *", id)
end
loop_ops.cancel = function(_, t)
  if not current.timers[id_of(t)] then current.misuse = "a dead timer was cancelled" end
  current.timers[id_of(t)] = nil
end

local clock = ffi.new("struct clock")
clock.mono_ms = function() return current.now end
clock.wall_ms = function() return current.wall end

local loop = ffi.new("struct loop")
loop.ops = loop_ops
loop.clock = clock
M.loop = loop
M.clock = clock

function World:at(ms, fn)
  self.timers[new_id()] = { due = self.now + ms, seq = next_id, lua = fn }
  return next_id
end

--- Let `ms` pass; everything due runs in order.
function World:run(ms)
  local stop = self.now + (ms or 0)
  while true do
    local first, id
    for k, t in pairs(self.timers) do
      if t.due <= stop and (not first or t.due < first.due or (t.due == first.due and t.seq < first.seq)) then
        first, id = t, k
      end
    end
    if not first then break end
    self.timers[id] = nil
    self:jump(math.max(first.due - self.now, 0))
    if first.lua then first.lua() else first.fn(first.arg) end
    assert(not self.misuse, self.misuse)
  end
  self:jump(stop - self.now)
end

--- Time passes and nobody notices: a suspended machine.
function World:jump(ms)
  self.now, self.wall = self.now + ms, self.wall + ms
end

function World:timers_left()
  local n = 0
  for _ in pairs(self.timers) do n = n + 1 end
  return n
end

-- ---- the transport ----

---@class KubeRequest
local Request = {}
Request.__index = Request

local function new_err(code, msg)
  local e = ffi.new("struct err")
  e.code = code or lib.ERR_NONE
  if msg then ffi.copy(e.msg, msg:sub(1, 500)) end
  return e
end

local function text_of(p)
  if p ~= nil then return ffi.string(p) end
end

local function unescape(s)
  return (s:gsub("%%(%x%x)", function(h) return string.char(tonumber(h, 16)) end))
end

local http_ops = ffi.new("struct http_ops")
http_ops.send = function(_, c)
  local r = setmetatable({ id = new_id(), open = true, world = current }, Request)
  r.method, r.url = ffi.string(c.method), ffi.string(c.url)
  r.path, r.raw_query = r.url:match("^https?://[^/]+([^?]*)%??(.*)$")
  r.query = {}
  for k, v in r.raw_query:gmatch("([^&=]+)=([^&]*)") do r.query[k] = unescape(v) end
  r.body = c.body ~= nil and ffi.string(c.body, c.body_len) or nil
  r.content_type, r.pool = text_of(c.content_type), text_of(c.pool) or ""
  r.total_ms, r.idle_ms = tonumber(c.total_ms), tonumber(c.idle_ms)
  r.header = {}
  for i = 0, c.headers - 1 do
    r.header[ffi.string(c.header[i].name):lower()] = ffi.string(c.header[i].value)
  end
  r.on_head, r.on_body, r.on_end, r.arg = c.on_head, c.on_body, c.on_end, c.arg
  r.collected = {}
  r.sent_at = current.now
  r:watchdog(r.total_ms)
  current.requests[#current.requests + 1] = r
  current.by_id[r.id] = r
  return pointer("struct http_req *", r.id)
end
http_ops.cancel = function(_, p)
  local r = current.by_id[id_of(p)]
  if not r or not r.open then
    current.misuse = "a dead request was cancelled"
    return
  end
  r.cancelled = true
  r:close()
end
local http = ffi.new("struct http")
http.ops = http_ops
M.http = http
M.anchors = { http_ops, loop_ops, clock, loop }

function Request:watchdog(ms)
  if self.dog then self.world.timers[self.dog] = nil end
  self.dog = self.open and self.world:at(ms, function()
    self.dog = nil
    self:fail(lib.ERR_TIMEOUT, "timed out")
  end) or nil
end

function Request:close()
  self.open = false
  if self.dog then self.world.timers[self.dog] = nil end
end

--- The answer's head. headers: lower-case names.
function Request:head(status, headers)
  headers = headers or {}
  local names = {}
  for k in pairs(headers) do names[#names + 1] = k end
  local hs = ffi.new("struct http_header[?]", #names + 1)
  self.anchors = { hs, names, headers }
  for i, k in ipairs(names) do
    hs[i - 1].name, hs[i - 1].value = k, headers[k]
  end
  local h = ffi.new("struct http_head")
  self.h = h
  self.kind = headers["content-type"] or "application/json"
  h.status, h.content_type, h.etag = status, self.kind, ""
  h.retry_after_s = tonumber(headers["retry-after"] or 0)
  h.date_wall_ms = -1
  h.header, h.headers = hs, #names
  if self.idle_ms > 0 then self:watchdog(self.idle_ms) end
  if self.on_head ~= nil then self.on_head(self.arg, h) end
  return self
end

function Request:chunk(s)
  if not self.open then return self end
  if self.idle_ms > 0 then self:watchdog(self.idle_ms) end
  if self.on_body == nil then
    self.collected[#self.collected + 1] = s
    return self
  end
  local e = new_err()
  if self.on_body(self.arg, s, #s, e) ~= 0 and self.open then
    assert(e.code ~= lib.ERR_NONE, "on_body failed without an error")
    self:close()
    self.on_end(self.arg, self.h, nil, 0, e)
  end
  return self
end

function Request:finish()
  if not self.open then return self end
  self:close()
  local body = table.concat(self.collected)
  self.on_end(self.arg, self.h, body, #body, new_err())
  return self
end

--- The connection breaks.
function Request:fail(code, msg)
  if not self.open then return self end
  self:close()
  self.on_end(self.arg, self.h, nil, 0, new_err(code or lib.ERR_UNAVAILABLE, msg or "refused"))
  return self
end

function Request:reply(status, body, headers)
  if type(body) == "table" then body = encode(body) end
  self:head(status, headers)
  if body then self:chunk(body) end
  return self:finish()
end

--- A failure as the API server words it.
function Request:status(code, reason, message, more, headers)
  local s = { kind = "Status", apiVersion = "v1", status = "Failure", code = code,
    reason = reason, message = message }
  for k, v in pairs(more or {}) do s[k] = v end
  return self:reply(code, s, headers)
end

--- The open request, and there must be only one.
function World:request()
  local open = self:open()
  assert(#open == 1, ("expected one open request, there are %d"):format(#open))
  return open[1]
end

function World:open()
  local open = {}
  for _, r in ipairs(self.requests) do
    if r.open then open[#open + 1] = r end
  end
  return open
end

function World:last()
  return self.requests[#self.requests]
end

-- ---- worlds ----

--- One callback each for all specs of a file: FFI callbacks are few.
local notes = {}
local function note_of(arg)
  return notes[id_of(arg)]
end

local on_done = ffi.cast("api_done_fn *", function(arg, body, e)
  local n = note_of(arg)
  n.calls = (n.calls or 0) + 1
  n.code = tonumber(e.code)
  n.msg = ffi.string(e.msg)
  n.retry_after_s, n.status = e.retry_after_s, e.status
  if body ~= nil then
    local c = lib.json_string(body)
    n.body = ffi.string(c)
    ffi.C.free(c)
  end
  if n.also then n.also(n) end
end)

local on_fire = ffi.cast("loop_fn *", function(arg)
  local n = note_of(arg)
  n.calls = (n.calls or 0) + 1
  if n.also then n.also(n) end
end)

local on_text = ffi.cast("void (*)(void *, const char *)", function(arg, why)
  local n = note_of(arg)
  n.losses = (n.losses or 0) + 1
  n.why = ffi.string(why)
  if n.also_text then n.also_text(n) end
end)

local on_store = ffi.cast("store_event_fn *", function(arg, old, now)
  local n = note_of(arg)
  local o = old ~= nil and ffi.string(old.key) .. "@" .. ffi.string(old.rv) or "-"
  local w = now ~= nil and ffi.string(now.key) .. "@" .. ffi.string(now.rv) or "-"
  n[#n + 1] = o .. " " .. w
  if n.also then n.also(old, now) end
end)

local gate = ffi.cast("int (*)(void *, struct err *)", function(_, e)
  if current.gate_open then return 0 end
  return lib.err_set(e, lib.ERR_CANCELLED, "the lease is lost")
end)

local log_sink = ffi.cast("log_sink_fn *", function(_, line)
  current.log_lines[#current.log_lines + 1] = ffi.string(line)
end)

M.on_done, M.on_fire, M.on_text, M.gate = on_done, on_fire, on_text, gate

--- A table that a callback fills, and the argument that leads to it.
function M.note(t)
  local id = new_id()
  t = t or {}
  notes[id] = t
  t.arg = pointer("void *", id)
  return t
end

function M.world()
  local w = setmetatable({ now = 5000000, wall = 1767225600000, timers = {}, requests = {}, by_id = {},
    gate_open = true, log_lines = {} }, World)
  current = w
  w.metrics = ffi.gc(lib.metrics_new(), lib.metrics_free)
  w.log = ffi.gc(lib.log_new(clock, lib.LOG_DEBUG, 0, log_sink, nil), lib.log_free)
  return w
end

function World:logged(text)
  for _, l in ipairs(self.log_lines) do
    if l:find(text, 1, true) then return true end
  end
  return false
end

function World:metric(family, labels)
  return lib.metric_value(self.metrics, family, labels)
end

--- An api on this world. over: members of struct api_conf.
function World:api(over)
  local c = ffi.new("struct api_conf")
  self.anchors = { c }
  c.loop, c.http, c.server, c.user_agent, c.field_manager = loop, http, "https://k8s:6443", "spec/1", "me"
  c.log, c.metrics = self.log, self.metrics
  c.gate = gate
  lib.rng_seed(c.rng, 7)
  for k, v in pairs(over or {}) do c[k] = v end
  return lib.api_new(c)
end

--- A store whose events are written into `events` as "old@rv now@rv".
function World:store(kind)
  local s = lib.store_new(kind or lib.KIND_TIKV)
  local events = M.note()
  lib.store_listen(s, on_store, events.arg)
  return s, events
end

--- An object of kind TiKV unless said otherwise.
function M.object(name, rv, over)
  local o = { apiVersion = "core.tikv.org/v1alpha1", kind = "TiKV",
    metadata = { name = name, namespace = "ns", uid = "uid-" .. name, resourceVersion = tostring(rv) } }
  for k, v in pairs(over or {}) do
    if k == "metadata" then
      for mk, mv in pairs(v) do o.metadata[mk] = mv end
    else
      o[k] = v
    end
  end
  return o
end

function M.obj(kind, value)
  local text = type(value) == "string" and value or encode(value)
  local e = ffi.new("struct err")
  local o = lib.obj_new(kind, text, #text, e)
  return o ~= nil and o or nil, ffi.string(e.msg), tonumber(e.code)
end

--- The keys and versions of a store in order: "ns/a@1 ns/b@2".
function M.content(store)
  local out = ffi.new("const struct obj **[1]")
  local n = tonumber(lib.store_list(store, lib.STORE_ALL, nil, out))
  local t = {}
  for i = 0, n - 1 do t[i + 1] = ffi.string(out[0][i].key) .. "@" .. ffi.string(out[0][i].rv) end
  ffi.C.free(ffi.cast("void *", out[0]))
  return table.concat(t, " ")
end

function M.found(store, index, value)
  local out = ffi.new("const struct obj **[1]")
  local n = tonumber(lib.store_list(store, index, value, out))
  local t = {}
  for i = 0, n - 1 do t[i + 1] = ffi.string(out[0][i].key) end
  ffi.C.free(ffi.cast("void *", out[0]))
  return table.concat(t, " ")
end

return M
