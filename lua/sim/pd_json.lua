--- pd_json: JSON text as PD prints it: fields in the order given, two spaces or compact, null.
-- Also how Go writes durations, sizes and times, which PD's answers are full of.
local M = {}

local LIST, OBJECT = {}, {}
M.null = setmetatable({}, { __tostring = function() return "null" end })

--- A list, also when it is empty.
function M.list(t) return setmetatable(t or {}, LIST) end

--- An object with fields in this order: name, value, name, value. A nil value leaves the field out.
function M.object(...)
  local out, n, given = {}, 0, { ... }
  for i = 1, select("#", ...), 2 do
    local value = given[i + 1]
    if value ~= nil then
      out[n + 1], out[n + 2] = given[i], value
      n = n + 2
    end
  end
  return setmetatable(out, OBJECT)
end

--- An integer of any length: a number, or its digits.
function M.int(id)
  if type(id) == "number" then return id end
  return { ["$int"] = id }
end

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r" }

function M.quote(s)
  if not s:find('[%c"\\]') then return '"' .. s .. '"' end
  return '"' .. s:gsub('[%c"\\]', function(ch) return ESCAPES[ch] or ("\\u%04x"):format(ch:byte()) end) .. '"'
end

local function number(v)
  if v == math.floor(v) and math.abs(v) < 1e15 then return ("%d"):format(v) end
  local short = ("%.15g"):format(v)
  return tonumber(short) == v and short or ("%.17g"):format(v)
end

local print_value

local function print_pairs(out, open, close, items, indent, step)
  if #items == 0 then
    out[#out + 1] = open .. close
    return
  end
  local inner = step and indent .. step
  out[#out + 1] = open
  for i = 1, #items, 2 do
    if i > 1 then out[#out + 1] = "," end
    if step then out[#out + 1] = "\n" .. inner end
    if items[i] then out[#out + 1] = M.quote(items[i]) .. (step and ": " or ":") end
    print_value(out, items[i + 1], inner, step)
  end
  if step then out[#out + 1] = "\n" .. indent end
  out[#out + 1] = close
end

local function print_table(out, v, indent, step)
  local kind = getmetatable(v)
  if v == M.null then
    out[#out + 1] = "null"
  elseif v["$int"] then
    out[#out + 1] = v["$int"]
  elseif kind == OBJECT then
    print_pairs(out, "{", "}", v, indent, step)
  elseif kind == LIST or #v > 0 then
    local items = {}
    for i, x in ipairs(v) do items[i * 2 - 1], items[i * 2] = false, x end
    print_pairs(out, "[", "]", items, indent, step)
  else
    local items = {}
    for k, x in sim.pairs(v) do items[#items + 1], items[#items + 2] = tostring(k), x end
    print_pairs(out, "{", "}", items, indent, step)
  end
end

function print_value(out, v, indent, step)
  local t = type(v)
  if t == "string" then
    out[#out + 1] = M.quote(v)
  elseif t == "number" then
    out[#out + 1] = number(v)
  elseif t == "boolean" then
    out[#out + 1] = tostring(v)
  else
    print_table(out, v, indent, step)
  end
end

--- The text of a value; step is the indent ("  "), nil for compact.
function M.print(v, step)
  local out = {}
  print_value(out, v, "", step)
  return table.concat(out)
end

-- Go's ways ---------------------------------------------------------------------------------------

--- 89322 -> "1m29.322s", as time.Duration prints.
function M.duration(ms)
  if ms == 0 then return "0s" end
  local sign = ms < 0 and "-" or ""
  ms = math.abs(ms)
  if ms < 1000 then return ("%s%gms"):format(sign, ms) end
  local h, m = math.floor(ms / 3600000), math.floor(ms / 60000) % 60
  local s = ("%gs"):format((ms % 60000) / 1000)
  if h > 0 then return ("%s%dh%dm%s"):format(sign, h, m, s) end
  if m > 0 then return ("%s%dm%s"):format(sign, m, s) end
  return sign .. s
end

local UNITS = { ns = 1e-6, us = 1e-3, ms = 1, s = 1000, m = 60000, h = 3600000 }

--- Milliseconds of a Go duration, or nil and Go's complaint.
function M.parse_duration(text)
  local rest, ms = text:gsub("^[+-]", ""), 0
  if rest == "0" then return 0 end
  if rest == "" then return nil, ("time: invalid duration %s"):format(M.quote(text)) end
  while rest ~= "" do
    local n, unit, tail = rest:match "^([%d.]+)([^%d.]*)(.*)$"
    if not n or not tonumber(n) then return nil, ("time: invalid duration %s"):format(M.quote(text)) end
    if unit == "" then return nil, ("time: missing unit in duration %s"):format(M.quote(text)) end
    if not UNITS[unit] then
      return nil, ("time: unknown unit %s in duration %s"):format(M.quote(unit), M.quote(text))
    end
    ms, rest = ms + tonumber(n) * UNITS[unit], tail
  end
  return text:sub(1, 1) == "-" and -ms or ms
end

--- Bytes as PD prints them: "88.41GiB", "0B".
function M.size(bytes)
  local units, i = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" }, 1
  while bytes >= 1024 and i < #units do
    bytes, i = bytes / 1024, i + 1
  end
  return ("%.4g"):format(bytes) .. units[i]
end

--- A loop time as wall milliseconds.
function M.wall(ms)
  local _, now = sim.wall()
  return now - (sim.now_ms() - ms)
end

--- A loop time as RFC 3339 text with milliseconds.
function M.stamp(ms)
  local wall = M.wall(ms)
  local rest = wall % 1000
  local text = sim.format_time(wall - rest)
  if rest == 0 then return text end
  return (text:gsub("Z$", ("." .. ("%03d"):format(rest):gsub("0+$", "") .. "Z")))
end

--- A decimal number of any length below 2^64, as strconv.ParseUint sees it: digits or a complaint.
function M.parse_uint(text)
  local digits = text:match "^%d+$"
  if not digits then return nil, ("strconv.ParseUint: parsing %s: invalid syntax"):format(M.quote(text)) end
  digits = digits:gsub("^0+(%d)", "%1")
  if #digits > 20 or (#digits == 20 and digits > "18446744073709551615") then
    return nil, ("strconv.ParseUint: parsing %s: value out of range"):format(M.quote(text))
  end
  return digits
end

--- Ids of clusters and members look like PD's: 64 bits, above 2^53, as decimal text.
function M.big_id()
  local hex, out = sim.uuid():gsub("%-", ""), {}
  for i = 1, 17 do out[i] = tonumber(hex:sub(i, i), 16) % 10 end
  return "7" .. table.concat(out)
end

--- Store and region ids are numbers where Lua's are exact, else digits.
function M.id(digits)
  if type(digits) == "number" then return digits end
  return #digits < 16 and tonumber(digits) or digits
end

return M
