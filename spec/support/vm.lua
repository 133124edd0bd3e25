--- vm: a caged state for specs. Values cross as JSON text.
local core = require "support.core"
local ffi = core.ffi
local C = core.load("vm/vm.h")

local M = { C = C }

local ENDS = { [0] = "ok", "error", "budget", "memory", "shape" }

local function take_text(s)
  if s == nil then return nil end
  local text = ffi.string(s)
  ffi.C.free(s)
  return text
end
pcall(ffi.cdef, "void free(void *p);")

local Cage = {}
Cage.__index = Cage

--- `opt`: budget, memory, load = false (do not load), lines = true (collect log lines).
function M.new(files, opt)
  opt = opt or {}
  local self = setmetatable({ lines = {}, keep = {} }, Cage)
  local e = ffi.new("struct err")
  local conf = ffi.new("struct vm_conf")
  conf.memory_max = opt.memory or 0
  conf.budget = opt.budget or 0
  if opt.lines then
    self.sink = ffi.cast("log_sink_fn *", function(_, line)
      self.lines[#self.lines + 1] = ffi.string(line)
    end)
    self.log = C.log_new(C.clock_system(), C.LOG_DEBUG, 1, self.sink, nil)
    conf.log = self.log
  end
  conf.tag = "g1"
  local v = C.vm_new(conf, e)
  if v == nil then return nil, ffi.string(e.msg) end
  self.v = v
  local ok, why = self:load(files)
  if not ok then
    self:free()
    return nil, why
  end
  return self
end

--- files: a text (module "m"), or module name -> text.
function Cage:load(files)
  if type(files) == "string" then files = { m = files } end
  local names = {}
  for name in pairs(files) do names[#names + 1] = name end
  table.sort(names)
  local e = ffi.new("struct err")
  local src = ffi.new("struct vm_source[?]", math.max(#names, 1))
  for i, name in ipairs(names) do
    local path = "lua/" .. name:gsub("%.", "/") .. ".lua"
    self.keep[#self.keep + 1] = path
    src[i - 1].name, src[i - 1].path = name, path
    src[i - 1].text, src[i - 1].len = files[name], #files[name]
  end
  if C.vm_load(self.v, src, #names, e) ~= 0 then return nil, ffi.string(e.msg) end
  return true
end

function Cage:require(name)
  local e = ffi.new("struct err")
  if C.vm_require(self.v, name or "m", e) ~= 0 then return nil, ffi.string(e.msg) end
  return true
end

--- call("f", json, ...) of module m: JSON text (nil for nothing), end, error text.
function Cage:call(f, ...)
  return self:call_in("m", f, ...)
end

function Cage:call_in(module, f, ...)
  local n = select("#", ...)
  local e = ffi.new("struct err")
  local args = ffi.new("const cJSON *[?]", math.max(n, 1))
  local trees = {}
  for i = 1, n do
    local text = select(i, ...)
    trees[i] = C.json_parse(text, #text, e)
    assert(trees[i] ~= nil, ffi.string(e.msg))
    args[i - 1] = trees[i]
  end
  local out = ffi.new("cJSON *[1]")
  local how = ENDS[tonumber(C.vm_call(self.v, module, f, args, n, out, e))]
  for i = 1, n do C.json_free(trees[i]) end
  local text
  if out[0] ~= nil then
    text = take_text(C.json_string(out[0]))
    C.json_free(out[0])
  end
  return text, how, how ~= "ok" and ffi.string(e.msg) or nil
end

--- answer(name, json) -> json, or nil and a reason.
function Cage:on_ask(answer)
  self.ask = ffi.cast("vm_ask_fn *", function(_, name, value, out, e)
    local text = value ~= nil and take_text(C.json_string(value)) or nil
    local reply, why = answer(ffi.string(name), text)
    if why then return C.err_set(e, C.ERR_INVALID, "%s", why) end
    if reply then out[0] = C.json_parse(reply, #reply, nil) end
    return 0
  end)
  C.vm_on_ask(self.v, self.ask, nil)
end

function Cage:memory() return tonumber(C.vm_used_memory(self.v)) end
function Cage:instructions() return tonumber(C.vm_used_instructions(self.v)) end

function Cage:free()
  C.vm_free(self.v)
  if self.log then C.log_free(self.log) end
  if self.sink then self.sink:free() end
  if self.ask then self.ask:free() end
  self.v = nil
end

--- Run a body as function m.f(...) in a fresh cage: JSON text, end, error text.
function M.run(body, opt, ...)
  local cage = assert(M.new("local M = {} function M.f(...) " .. body .. "\nend return M", opt))
  local ok, why = cage:require("m")
  if not ok then
    cage:free()
    return nil, "require", why
  end
  local out, how, text = cage:call("f", ...)
  cage:free()
  return out, how, text
end

return M
