--- Decoder for github.com/toml-lang/toml-test: TOML on stdin, tagged JSON on stdout, exit code 1
-- for what is not TOML. With the argument `encode`, writes TOML that was read and written again.
--   toml-test -toml 1.0 -- luajit spec/toml_test.lua
package.path = "lua/?.lua;" .. package.path
local toml = require "lib.toml"

local function quote(s)
  return '"' .. s:gsub('[%z\1-\31\127"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
end

local NAMES = { ["integer"] = "integer", ["float"] = "float", ["datetime"] = "datetime",
  ["datetime-local"] = "datetime-local", ["date-local"] = "date-local", ["time-local"] = "time-local" }

local function tagged(kind, text) return ('{"type":"%s","value":%s}'):format(kind, quote(text)) end

local function show(v)
  if type(v) == "string" then return tagged("string", v) end
  if type(v) == "boolean" then return tagged("bool", tostring(v)) end
  local out = {}
  if v.toml == "array" then
    for i, item in ipairs(v) do out[i] = show(item) end
    return "[" .. table.concat(out, ",") .. "]"
  elseif v.toml == "table" then
    for i, key in ipairs(v.keys) do out[i] = quote(key) .. ":" .. show(v.values[key]) end
    return "{" .. table.concat(out, ",") .. "}"
  elseif v.toml == "integer" then
    return tagged("integer", toml.decimal(v))
  elseif v.toml == "float" then
    return tagged("float", (v.text:gsub("_", ""):gsub("^%+", "")))
  end
  local text = v.text:upper()
  if v.toml:find "^datetime" then text = text:gsub(" ", "T") end
  return tagged(NAMES[v.toml], text)
end

local doc, why = toml.decode(io.read "*a")
if not doc then
  io.stderr:write(why, "\n")
  os.exit(1)
end
io.write(arg[1] == "encode" and toml.encode(doc) or show(doc), "\n")
