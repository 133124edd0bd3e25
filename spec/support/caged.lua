--- caged: stand-ins for the globals that C gives to scripts, so that lua/ runs under plain LuaJIT.
-- Simple and slow; the real ones have specs of their own under spec/vm.
local bit = require "bit"

local M = {}

-- json -------------------------------------------------------------------------------------------

local LIST = {}

local function is_list(v)
  return getmetatable(v) == LIST or #v > 0
end

local function encode(v)
  local t = type(v)
  if t == "string" then
    return '"' .. v:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
  end
  if t == "number" then
    assert(v == v and v ~= math.huge and v ~= -math.huge, "not a number")
    return v == math.floor(v) and ("%.0f"):format(v) or ("%.17g"):format(v)
  end
  if t == "boolean" then return tostring(v) end
  assert(t == "table", "a " .. t .. " can not be a value")
  local out = {}
  if is_list(v) then
    for n, x in ipairs(v) do out[n] = encode(x) end
    local keys = 0
    for _ in pairs(v) do keys = keys + 1 end
    assert(keys == #out, "mixed keys or holes in a list")
    return "[" .. table.concat(out, ",") .. "]"
  end
  local keys = {}
  for k in pairs(v) do
    assert(type(k) == "string", "mixed keys")
    keys[#keys + 1] = k
  end
  table.sort(keys)
  for n, k in ipairs(keys) do out[n] = encode(k) .. ":" .. encode(v[k]) end
  return "{" .. table.concat(out, ",") .. "}"
end

local decode

local function decode_text(s, at)
  local out, n = {}, at + 1
  while true do
    local c = s:sub(n, n)
    if c == '"' then return table.concat(out), n + 1 end
    if c == "\\" then
      local e = s:sub(n + 1, n + 1)
      if e == "u" then
        out[#out + 1] = string.char(tonumber(s:sub(n + 2, n + 5), 16))
        n = n + 6
      else
        out[#out + 1] = ({ n = "\n", t = "\t", r = "\r", b = "\b", f = "\f" })[e] or e
        n = n + 2
      end
    else
      out[#out + 1] = c
      n = n + 1
    end
  end
end

local function decode_members(s, at, close, list)
  local out = list and setmetatable({}, LIST) or {}
  at = s:match("^%s*()", at + 1)
  while s:sub(at, at) ~= close do
    local key, v
    if not list then
      key, at = decode_text(s, at)
      at = s:match("^%s*:%s*()", at)
    end
    v, at = decode(s, at)
    if list then out[#out + 1] = v else out[key] = v end
    at = s:match("^%s*,?%s*()", at)
  end
  return out, at + 1
end

decode = function(s, at)
  at = s:match("^%s*()", at)
  local c = s:sub(at, at)
  if c == "{" then return decode_members(s, at, "}", false) end
  if c == "[" then return decode_members(s, at, "]", true) end
  if c == '"' then return decode_text(s, at) end
  for word, v in pairs { ["true"] = true, ["false"] = false } do
    if s:sub(at, at + #word - 1) == word then return v, at + #word end
  end
  if s:sub(at, at + 3) == "null" then return nil, at + 4 end
  local digits, after = s:match("^(%-?[%d.eE+-]+)()", at)
  if not digits then error("bad JSON") end
  if digits:match("^%-?%d+$") and #digits > 15 then return digits, after end
  return tonumber(digits), after
end

M.json = {
  encode = encode,
  decode = function(s)
    local ok, v = pcall(decode, s, 1)
    if ok then return v end
    return nil, "not JSON"
  end,
  array = function(t) return setmetatable(t or {}, LIST) end,
}

-- hash -------------------------------------------------------------------------------------------

-- Not SHA-256: any function that tells texts apart will do here.
local function digest(s)
  local a, b = 0x811c9dc5, 0x1000193
  for n = 1, #s do
    a = bit.tobit(bit.bxor(a, s:byte(n)) * 16777)
    b = bit.tobit(bit.bxor(bit.rol(b, 5), a + n))
  end
  return bit.tohex(a) .. bit.tohex(b)
end

M.hash = {
  sha256 = function(s) return (digest(s) .. digest(s .. "1") .. digest(s .. "2") .. digest(s .. "3")) end,
  safe = function(s)
    return (digest(s):sub(1, 10):gsub("[01aei]", { ["0"] = "x", ["1"] = "z", a = "w", e = "v", i = "t" }))
  end,
}

-- time, quantity, text, semver, log ----------------------------------------------------------------

local function days(y, m, d)
  y = m <= 2 and y - 1 or y
  local era = math.floor(y / 400)
  local yoe = y - era * 400
  local doy = math.floor((153 * (m + (m > 2 and -3 or 9)) + 2) / 5) + d - 1
  return era * 146097 + yoe * 365 + math.floor(yoe / 4) - math.floor(yoe / 100) + doy - 719468
end

M.time = {
  parse = function(s)
    local y, mo, d, h, mi, sec = s:match("^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)Z$")
    if not y then return nil end
    return days(tonumber(y), tonumber(mo), tonumber(d)) * 86400 + h * 3600 + mi * 60 + tonumber(sec)
  end,
  format = function(s) return os.date("!%Y-%m-%dT%H:%M:%SZ", s) end,
  duration = function(s)
    local sum, rest, unit = 0, s, { h = 3600, m = 60, s = 1, ms = 0.001 }
    while rest ~= "" do
      local n, word, more = rest:match "^([%d.]+)(%a+)(.*)$"
      if not n or not unit[word] then return nil end
      sum, rest = sum + tonumber(n) * unit[word], more
    end
    return s ~= "" and sum or nil
  end,
  age = function(s) return ("%ds"):format(s) end,
}

local UNIT = { [""] = 1, m = 1e-3, k = 1e3, M = 1e6, G = 1e9, T = 1e12, Ki = 2 ^ 10, Mi = 2 ^ 20, Gi = 2 ^ 30,
  Ti = 2 ^ 40, Pi = 2 ^ 50 }

M.quantity = {
  parse = function(v)
    local n, unit = tostring(v):match("^([%d.]+)(%a*)$")
    return n and UNIT[unit] and tonumber(n) * UNIT[unit] or nil
  end,
  compare = function(a, b)
    local x, y = M.quantity.parse(a), M.quantity.parse(b)
    if not (x and y) then return nil end
    return x < y and -1 or x > y and 1 or 0
  end,
}

M.text = {
  split = function(s, sep)
    local out, at = {}, 1
    while true do
      local from, to = s:find(sep, at, true)
      if not from then break end
      out[#out + 1] = s:sub(at, from - 1)
      at = to + 1
    end
    out[#out + 1] = s:sub(at)
    return out
  end,
  starts = function(s, p) return s:sub(1, #p) == p end,
  ends = function(s, p) return p == "" or s:sub(-#p) == p end,
  trim = function(s) return s:match("^%s*(.-)%s*$") end,
}

M.semver = {
  parse = function(v)
    local a, b, c = v:match("^v?(%d+)%.(%d+)%.(%d+)")
    return a and { major = tonumber(a), minor = tonumber(b), patch = tonumber(c) } or nil
  end,
  compare = function(a, b)
    local x, y = M.semver.parse(a), M.semver.parse(b)
    if not (x and y) then return nil end
    for _, k in ipairs { "major", "minor", "patch" } do
      if x[k] ~= y[k] then return x[k] < y[k] and -1 or 1 end
    end
    return 0
  end,
}

M.log = { debug = function() end, info = function() end, warn = function() end }

---Set the globals. `answer(question)` plays the policies; without it there is no `ask`.
function M.open(answer)
  for _, name in ipairs { "json", "hash", "time", "quantity", "text", "semver", "log" } do
    rawset(_G, name, M[name])
  end
  M.answer(answer)
end

function M.answer(answer)
  rawset(_G, "ask", answer and function(what, q)
    assert(what == "policy")
    return answer(q)
  end or nil)
end

return M
