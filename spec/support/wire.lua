--- wire: a real loop, our own server and raw TCP servers on the loopback, for specs of core/wire.
local core = require "support.core"
local ffi = core.ffi
local bit = require "bit"

local C = core.load("base/clock.h", "base/err.h", "base/buf.h", "wire/loop.h", "wire/loop_event.h",
  "wire/http.h", "wire/http_curl.h", "wire/httpd.h", "wire/cred.h")

ffi.cdef [[
struct spec_in4 { uint16_t family; uint16_t port; uint32_t addr; char zero[8]; };
struct spec_linger { int on; int seconds; };
int socket(int, int, int);
int bind(int, const struct spec_in4 *, unsigned);
int listen(int, int);
int accept4(int, void *, void *, int);
int getsockname(int, struct spec_in4 *, unsigned *);
int setsockopt(int, int, int, const void *, unsigned);
int connect(int, const struct spec_in4 *, unsigned);
ssize_t recv(int, void *, size_t, int);
ssize_t send(int, const void *, size_t, int);
int close(int);
int shutdown(int, int);
int setenv(const char *, const char *, int);
int unsetenv(const char *);
uint16_t htons(uint16_t);
uint32_t htonl(uint32_t);
void free(void *);
int mkdir(const char *, unsigned);
]]

local M = { C = C, ffi = ffi }
local NONBLOCK, CLOEXEC, NOSIGNAL = 2048, 524288, 16384

-- One C callback per signature; the argument carries the number of the Lua function.
local fns, fn_count = {}, 0
local problems = {}

local function id_of(arg) return tonumber(ffi.cast("intptr_t", arg)) end
local function arg_of(fn)
  fn_count = fn_count + 1
  fns[fn_count] = fn
  return ffi.cast("void *", ffi.cast("intptr_t", fn_count))
end
local function guarded(fn, ...)
  local ok, got = xpcall(fn, debug.traceback, ...)
  if not ok then problems[#problems + 1] = got end
  return ok and got or nil
end

local timer_cb = ffi.cast("loop_fn *", function(arg) guarded(fns[id_of(arg)]) end)
local head_cb = ffi.cast("void (*)(void *, const struct http_head *)", function(arg, h)
  guarded(fns[id_of(arg)].head, h)
end)
local body_cb = ffi.cast("int (*)(void *, const char *, size_t, struct err *)", function(arg, p, n, e)
  return guarded(fns[id_of(arg)].body, ffi.string(p, n), e) or 0
end)
local end_cb = ffi.cast("void (*)(void *, const struct http_head *, const char *, size_t, const struct err *)",
  function(arg, h, p, n, e) guarded(fns[id_of(arg)].over, h, ffi.string(p, n), e) end)
local httpd_cb = ffi.cast("httpd_fn *", function(arg, r, i) guarded(fns[id_of(arg)], r, i) end)
local gone_cb = ffi.cast("void (*)(void *)", function(arg) guarded(fns[id_of(arg)]) end)

M.code = {}
for _, name in ipairs { "NONE", "INVALID", "NOT_FOUND", "UNAUTHORIZED", "UNAVAILABLE", "TIMEOUT", "PROTOCOL",
  "TOO_LARGE", "EXISTS", "UNSUPPORTED" } do
  M.code[tonumber(C["ERR_" .. name])] = name
end
function M.code_of(e) return M.code[tonumber(e.code)] or tonumber(e.code) end

--- A NULL-terminated list of strings. (FFI would repeat a lone initializer to the end.)
local function strings(list)
  local out = ffi.new("const char *[?]", #list + 1)
  for i, text in ipairs(list) do out[i - 1] = text end
  return out
end
M.strings = strings

--- Start a bench: a loop and one transport. `rules` are connect_to rules.
function M.open(rules)
  local e = ffi.new("struct err")
  local b = { loop = C.loop_event_new(), closers = {} }
  local list = rules and strings(rules)
  b.http = C.http_curl_new(b.loop, list, e)
  assert(b.http ~= nil, ffi.string(e.msg))
  return setmetatable(b, { __index = M })
end

function M:now() return tonumber(C.loop_now(self.loop)) end

function M:after(ms, fn) return C.loop_after(self.loop, ms, timer_cb, arg_of(fn)) end

--- Turn the loop until cond() is true. Without cond: for ms milliseconds.
function M:run(ms, cond)
  local stop = self:now() + ms
  repeat
    C.loop_event_run_for(self.loop, cond and 4 or ms)
    if problems[1] then error(table.remove(problems, 1), 0) end
    if cond and cond() then return true end
  until self:now() >= stop
  assert(not cond, "waited in vain for " .. ms .. " ms")
end

--- Everything ends; what is still open afterwards is a leak.
function M:close()
  for _, fn in ipairs(self.closers) do fn() end
  assert(tonumber(C.http_curl_open(self.http)) == 0, "requests are still open")
  C.http_curl_free(self.http)
  C.loop_event_run_for(self.loop, 1)
  local timers = tonumber(C.loop_event_timers(self.loop))
  C.loop_event_free(self.loop)
  fns = {}
  assert(timers == 0, timers .. " timers are still set")
  if problems[1] then error(table.remove(problems, 1), 0) end
end

local function read_head(h)
  if h == nil then return nil end
  local t = { status = h.status, type = ffi.string(h.content_type), etag = ffi.string(h.etag),
    retry = h.retry_after_s, date = tonumber(h.date_wall_ms), header = {} }
  for i = 0, h.headers - 1 do t.header[ffi.string(h.header[i].name)] = ffi.string(h.header[i].value) end
  return t
end

--- Send a request. o: method, url, body, type, accept, header, cred, pool, total, idle, max, stream (collect
--- chunks), on_head, on_body, on_end. The record fills up: head, chunks, body, code, msg, done.
function M:send(o)
  local r = { chunks = {}, calls = 0 }
  local call = ffi.new("struct http_call")
  local names, keep = o.header or {}, {}
  local extra = ffi.new("struct http_header[?]", #names + 1)
  for i, pair in ipairs(names) do
    extra[i - 1].name, extra[i - 1].value = pair[1], pair[2]
  end
  for _, text in ipairs { "method", "url", "body", "type", "accept", "pool" } do keep[text] = o[text] end
  keep.method = o.method or "GET"
  call.method, call.url = keep.method, keep.url
  if o.body then call.body, call.body_len = keep.body, #o.body end
  call.content_type, call.accept, call.pool = keep.type, keep.accept, keep.pool
  call.header, call.headers = extra, #names
  call.cred = o.cred
  call.total_ms, call.idle_ms, call.max_body = o.total or 5000, o.idle or 0, o.max or 0
  call.on_head, call.on_end = head_cb, end_cb
  if o.stream or o.idle or o.on_body then call.on_body = body_cb end
  call.arg = arg_of {
    head = function(h)
      r.calls = r.calls + 1
      assert(r.sent, "called back before http_send returned")
      assert(not r.done and not r.head, "on_head twice or late")
      r.head = read_head(h)
      if o.on_head then o.on_head(r) end
    end,
    body = function(chunk, e)
      r.calls = r.calls + 1
      assert(r.head and not r.done, "on_body without a head")
      r.chunks[#r.chunks + 1] = chunk
      return o.on_body and o.on_body(r, chunk, e)
    end,
    over = function(h, body, e)
      r.calls = r.calls + 1
      assert(r.sent, "called back before http_send returned")
      assert(not r.done, "on_end twice")
      r.done, r.body, r.code, r.msg = true, body, M.code_of(e), ffi.string(e.msg)
      r.head = read_head(h)
      if o.on_end then o.on_end(r) end
    end,
  }
  r.handle = C.http_send(self.http, call)
  r.sent = true
  return r
end

--- Send and wait for the end.
function M:fetch(o)
  local r = self:send(o)
  self:run((o.total or 5000) + 8000, function() return r.done end)
  return r
end

function M:cancel(r) C.http_cancel(self.http, r.handle) end

--- Our server. handler(req): method, path, query, host, body, cn, header(name); req:reply(...), start, chunk, finish.
local Req = {}
Req.__index = Req
function Req:reply(status, body, kind, headers)
  local list = ffi.new("struct http_header[?]", #(headers or {}) + 1)
  for i, pair in ipairs(headers or {}) do list[i - 1].name, list[i - 1].value = pair[1], pair[2] end
  C.httpd_reply(self.handle, status, list, #(headers or {}), kind or "text/plain", body or "", #(body or ""))
end
function Req:start(status, kind) C.httpd_start(self.handle, status, kind or "application/json") end
function Req:chunk(s) C.httpd_chunk(self.handle, s, #s) end
function Req:finish() C.httpd_finish(self.handle) end
function Req:on_gone(fn) C.httpd_on_gone(self.handle, gone_cb, arg_of(fn)) end

function M:serve(handler, o)
  o = o or {}
  local e = ffi.new("struct err")
  local tls
  if o.cert then
    tls = ffi.new("struct httpd_tls")
    tls.cert, tls.key, tls.client_ca = o.cert, o.key, o.client_ca
  end
  local d = C.httpd_new(self.loop, "127.0.0.1", o.port or 0, tls, o.max or 1048576, httpd_cb, arg_of(function(r, i)
    local function text(p) return p ~= nil and ffi.string(p) or nil end
    handler(setmetatable({ handle = r, method = text(i.method), path = text(i.path), query = text(i.query),
      host = text(i.host), body = ffi.string(i.body, i.body_len), cn = text(i.peer_cn),
      header = function(name) return text(i.header(i, name)) end }, Req))
  end), e)
  if d == nil then return nil, ffi.string(e.msg) end
  local server = { handle = d, port = C.httpd_port(d), open = true }
  server.url = (o.cert and "https" or "http") .. "://127.0.0.1:" .. server.port
  function server.held() return tonumber(C.httpd_held(d)) end
  function server.close()
    if server.open then C.httpd_free(d) end
    server.open = false
  end
  self.closers[#self.closers + 1] = server.close
  return server
end

--- ca, cert, key for the given names.
function M.certs(...)
  local names = { ... }
  local list = strings(names)
  local out, e = ffi.new("char *[3]"), ffi.new("struct err")
  assert(C.httpd_make_certs(list, out, out + 1, out + 2, e) == 0, ffi.string(e.msg))
  local t = { ca = ffi.string(out[0]), cert = ffi.string(out[1]), key = ffi.string(out[2]) }
  for i = 0, 2 do ffi.C.free(out[i]) end
  return t
end

function M.pem(o)
  return ffi.gc(C.cred_pem(o.ca, o.cert, o.key, o.insecure or false), C.cred_free)
end

local function loopback(port)
  local a = ffi.new("struct spec_in4")
  a.family, a.port, a.addr = 2, ffi.C.htons(port), ffi.C.htonl(0x7f000001)
  return a
end

local Conn = {}
Conn.__index = Conn
function Conn:send(s)
  local at = 0
  while at < #s do
    local n = ffi.C.send(self.fd, ffi.cast("const char *", s) + at, #s - at, NOSIGNAL)
    if n > 0 then at = at + tonumber(n) else
      if ffi.errno() ~= 11 then return false end
      coroutine.yield()
    end
  end
  return true
end
--- Bytes up to and with `mark`; nil when the peer closed.
function Conn:read_until(mark)
  local p = ffi.new("char[65536]")
  while true do
    local _, stop = self.got:find(mark, 1, true)
    if stop then
      local head = self.got:sub(1, stop)
      self.got = self.got:sub(stop + 1)
      return head
    end
    local n = ffi.C.recv(self.fd, p, 65536, 0)
    if n > 0 then self.got = self.got .. ffi.string(p, n)
    elseif n == 0 or ffi.errno() ~= 11 then return nil
    else coroutine.yield() end
  end
end
function Conn:request() return self:read_until("\r\n\r\n") end
function Conn:sleep(ms)
  local stop = self.bench:now() + ms
  while self.bench:now() < stop do coroutine.yield() end
end
function Conn:close()
  if self.fd >= 0 then ffi.C.close(self.fd) end
  self.fd = -1
end
--- Close so that the peer sees a reset.
function Conn:reset()
  local l = ffi.new("struct spec_linger", 1, 0)
  ffi.C.setsockopt(self.fd, 1, 13, l, ffi.sizeof(l))
  self:close()
end

--- A raw TCP server: script(conn, number) runs as a coroutine for each connection.
function M:raw(script)
  local fd = ffi.C.socket(2, bit.bor(1, NONBLOCK, CLOEXEC), 0)
  local a, len = loopback(0), ffi.new("unsigned[1]", 16)
  assert(ffi.C.bind(fd, a, 16) == 0 and ffi.C.listen(fd, 64) == 0)
  ffi.C.getsockname(fd, a, len)
  local server = { port = ffi.C.htons(a.port), connections = 0 }
  local live = {}
  local timer
  local function turn()
    local got = ffi.C.accept4(fd, nil, nil, bit.bor(NONBLOCK, CLOEXEC))
    if got >= 0 then
      server.connections = server.connections + 1
      local conn = setmetatable({ fd = got, got = "", bench = self }, Conn)
      local number = server.connections
      live[coroutine.create(function() script(conn, number); conn:close() end)] = conn
    end
    for co, conn in pairs(live) do
      local ok, why = coroutine.resume(co)
      if not ok then problems[#problems + 1] = why end
      if coroutine.status(co) == "dead" then
        conn:close()
        live[co] = nil
      end
    end
    timer = self:after(2, turn)
  end
  timer = self:after(0, turn)
  server.url = "http://127.0.0.1:" .. server.port
  self.closers[#self.closers + 1] = function()
    C.loop_cancel(self.loop, timer)
    for _, conn in pairs(live) do conn:close() end
    ffi.C.close(fd)
  end
  return server
end

--- A raw client connection to a port.
function M:dial(port)
  local fd = ffi.C.socket(2, bit.bor(1, CLOEXEC), 0)
  assert(ffi.C.connect(fd, loopback(port), 16) == 0)
  local c = setmetatable({ fd = fd, got = "", bench = self }, Conn)
  self.closers[#self.closers + 1] = function() c:close() end
  return c
end
--- What has arrived so far, without waiting.
function Conn:peek()
  local p = ffi.new("char[65536]")
  local n = ffi.C.recv(self.fd, p, 65536, 0x40)
  if n > 0 then self.got = self.got .. ffi.string(p, n) end
  return self.got, n == 0
end

-- Files and environment for credentials.
function M.write(path, text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
  return path
end
function M.folder()
  local name = os.tmpname()
  os.remove(name)
  assert(ffi.C.mkdir(name, 448) == 0)
  return name
end
function M.env(name, value)
  if value then ffi.C.setenv(name, value, 1) else ffi.C.unsetenv(name) end
end

return M
