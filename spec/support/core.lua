--- core: the C core under test, straight from its headers.
-- `core.load("base/buf.h", ...)` declares the headers to LuaJIT's FFI (the real headers, run through
-- the preprocessor, so a spec can not disagree with them) and returns the library.
local ffi = require "ffi"

-- C calls back into Lua in some specs; compiled traces must not be on the stack then.
require("jit").off()

local M = { ffi = ffi }
local build = os.getenv("BUILD") or "build"
local lib
local declared = {}

local function preprocess(header)
  local cmd = ("cc -E -P -nostdinc -Ispec/support/include -Icore core/%s 2>&1"):format(header)
  local pipe = assert(io.popen(cmd))
  local text = pipe:read("*a")
  pipe:close()
  assert(not text:find("error:", 1, true), text)
  return text
end

-- A header brings the headers that it includes; each declaration may be given to the FFI once.
local function declarations(text)
  local out, depth, start = {}, 0, 1
  for i = 1, #text do
    local c = text:sub(i, i)
    if c == "{" then depth = depth + 1 elseif c == "}" then depth = depth - 1 end
    if c == ";" and depth == 0 then
      out[#out + 1] = text:sub(start, i):match("^%s*(.*)$")
      start = i + 1
    end
  end
  return out
end

function M.load(...)
  for _, header in ipairs { ... } do
    if not declared[header] then
      declared[header] = true
      for _, d in ipairs(declarations(preprocess(header))) do
        if not declared[d] then
          declared[d] = true
          local ok, why = pcall(ffi.cdef, d)
          assert(ok, ("%s: %s\n%s"):format(header, tostring(why), d))
        end
      end
    end
  end
  if not lib then
    local root = build:sub(1, 1) == "/" and build or "./" .. build
    lib = ffi.load(root .. "/san/core.so")
  end
  return lib
end

return M
