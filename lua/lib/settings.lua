--- settings: a configuration as dotted names with plain values, and when two of them mean the same.
-- The user writes "300s" and "64MB", a process prints "5m" and "64MiB"; PD prints some booleans as texts.
local toml = require "lib.toml"

local M = {}

local UNIT = { [""] = 1, B = 1, K = 2 ^ 10, M = 2 ^ 20, G = 2 ^ 30, T = 2 ^ 40, P = 2 ^ 50 }

---"64MiB" and "64MB" are the same to TiKV and PD: 2^26 bytes.
local function size(s)
  local n, unit = s:match "^(%d+%.?%d*)%s*([KMGTP]?)i?B$"
  return n and tonumber(n) * UNIT[unit]
end

---Seconds of "1h30m", "2d", "300ms"; a bare number is none.
local function duration(s)
  local days, rest = s:match "^(%d+)d(.*)$"
  if days then return tonumber(days) * 86400 + (rest ~= "" and (time.duration(rest) or 0) or 0) end
  return s:find "%a" and time.duration(s) or nil
end

local function scalar(want, live)
  if type(live) == "table" then return false end
  local a, b = tostring(want), tostring(live)
  if a == b then return true end
  local x, y = tonumber(a), tonumber(b)
  if x and y then return x == y end
  x, y = size(a), size(b)
  if x and y then return x == y end
  x, y = duration(a), duration(b)
  return x ~= nil and x == y
end

---@param want any as of() gives it
---@param live any what the process says; nil: it knows no such setting
function M.same(want, live)
  if live == nil then return false end
  if type(want) ~= "table" then return scalar(want, live) end
  -- PD prints lists with commas
  local list = type(live) == "table" and live or live == "" and {} or text.split(tostring(live), ",")
  if #list ~= #want then return false end
  for n, v in ipairs(want) do
    if not scalar(v, list[n]) then return false end
  end
  return true
end

local function list_of(node)
  local out = {}
  for n, item in ipairs(node) do
    if type(item) == "table" and (item.toml == "array" or item.toml == "table") then return nil end
    out[n] = type(item) == "table" and (tonumber((item.text:gsub("_", ""))) or item.text) or item
  end
  return json.array(out)
end

---Settings of a TOML text; nil when it is none. Left out: what has no plain name or value (quoted keys, lists
---of lists).
---@return table<string, string|number|boolean|table>?
function M.of(config)
  local doc = toml.decode(config or "")
  if not doc then return nil end
  local out = {}
  for _, path in ipairs(toml.flatten(doc)) do
    local v = toml.get(doc, path)
    if type(v) == "table" then v = v.toml == "array" and list_of(v) or nil end
    if not path:find('"', 1, true) then out[path] = v end
  end
  return out
end

function M.keys(settings)
  local out = {}
  for k in pairs(settings) do out[#out + 1] = k end
  table.sort(out)
  return out
end

---For messages.
function M.show(v)
  if v == nil then return "not there" end
  return type(v) == "table" and json.encode(v) or tostring(v)
end

return M
