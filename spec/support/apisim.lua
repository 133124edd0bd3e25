--- apisim: a simulated API server with its loop, for specs.
local core = require "spec.support.core"
local ffi = core.ffi
local json = require "dkjson"
local C = core.load("sim/apisim.h", "sim/loop_sim.h", "sim/net.h", "sim/actors.h")
pcall(ffi.cdef, "void free(void *);")

local M = { C = C, ffi = ffi }
local Server = {}
Server.__index = Server

--- opts: start (wall ms), history, bookmark_ms, seed
function M.new(opts)
  opts = opts or {}
  local conf = ffi.new "struct apisim_conf"
  local loop = C.loop_sim_new(opts.start or 1767225600000LL)
  conf.loop = loop
  conf.history = opts.history or 0
  conf.bookmark_ms = opts.bookmark_ms or 0
  C.rng_seed(conf.rng, opts.seed or 1)
  local self = setmetatable({ loop = loop, api = C.apisim_new(conf), conf = conf, keep = {} }, Server)
  return self
end

function Server:close()
  C.apisim_free(self.api)
  C.loop_sim_free(self.loop)
end

function M.decode(text)
  local value, _, problem = json.decode(text, 1, nil)
  if problem then return nil end
  return value
end

--- Any request but a watch. Returns status, decoded body, text, content type, warning.
function Server:send(method, path, body, content_type, accept, user)
  local r = ffi.new "struct apisim_req"
  local p, q = path:match "^([^?]*)%??(.*)$"
  local status, kind, warning
  local parts = {}
  local head = ffi.cast("void (*)(void *, int, const char *, const char *)", function(_, s, t, w)
    status, kind, warning = s, ffi.string(t), w ~= nil and ffi.string(w) or nil
  end)
  local chunk = ffi.cast("void (*)(void *, const char *, size_t)", function(_, b, n)
    parts[#parts + 1] = ffi.string(b, n)
  end)
  r.method, r.path, r.query = method, p, q
  r.content_type, r.accept = content_type, accept
  r.body, r.body_len = body, body and #body or 0
  r.user = user or "spec"
  r.on_head, r.on_chunk = head, chunk
  local stream = C.apisim_request(self.api, r)
  assert(stream == nil, "a watch: use :watch()")
  head:free()
  chunk:free()
  local text = table.concat(parts)
  return status, M.decode(text), text, kind, warning
end

--- A watch: { events, status, ended, cancel() }. Events come while the loop runs.
function Server:watch(path, accept)
  local r = ffi.new "struct apisim_req"
  local p, q = path:match "^([^?]*)%??(.*)$"
  local w = { events = {}, ended = false, text = "" }
  local head = ffi.cast("void (*)(void *, int, const char *, const char *)", function(_, s) w.status = s end)
  local chunk = ffi.cast("void (*)(void *, const char *, size_t)", function(_, b, n)
    local line = ffi.string(b, n)
    w.text = w.text .. line
    w.events[#w.events + 1] = M.decode(line)
    if w.on_event then w.on_event(w.events[#w.events]) end
  end)
  local fin = ffi.cast("void (*)(void *)", function() w.ended = true end)
  r.method, r.path, r.query, r.accept, r.user = "GET", p, q, accept, "spec"
  r.on_head, r.on_chunk, r.on_end = head, chunk, fin
  self.keep[#self.keep + 1] = { head, chunk, fin, p, q, accept }
  local call = C.apisim_request(self.api, r)
  function w.cancel()
    if not w.ended then C.apisim_cancel(self.api, call) end
    w.ended = true
  end
  return w
end

function Server:run(ms) return tonumber(C.loop_sim_run_for(self.loop, ms)) end

return M
