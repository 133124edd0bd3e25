--- sim: a stand-in for the global that actors use, in plain Lua: a virtual clock and no API server.
-- `install()` makes the global anew; `run(ms)` lets time pass; choices are always the dull one, or what
-- `choices[site]` says.
local caged = require "support.caged"

local M = {}

local LIST = {}

local function sorted(t)
  local keys, i = {}, 0
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b)
    if type(a) == type(b) then return a < b end
    return type(a) < type(b)
  end)
  return function()
    i = i + 1
    if keys[i] ~= nil then return keys[i], t[keys[i]] end
  end
end

local function copy(v)
  if type(v) ~= "table" then return v end
  local out = setmetatable({}, getmetatable(v))
  for k, x in pairs(v) do out[k] = copy(x) end
  return out
end

--- The clock begins where the recordings were made.
local EPOCH = 1795209894000

function M.install()
  local now, seq, queue, uuids = 0, 0, {}, 0
  local s = { choices = {}, hosts = {} }

  function s.now_ms() return now end
  function s.format_time(ms) return os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(ms / 1000)) end
  function s.wall() return s.format_time(EPOCH + now), EPOCH + now end
  function s.choose(n, site) return math.min(s.choices[site] or 1, n) end
  function s.uuid()
    uuids = uuids + 1
    return ("%08x-0000-4000-8000-%012x"):format(uuids * 2654435 % 4294967296, uuids * 7919)
  end
  function s.after(ms, fn)
    seq = seq + 1
    local item = { at = now + ms, seq = seq, fn = fn }
    local i = #queue + 1
    while i > 1 and (queue[i - 1].at > item.at) do
      queue[i] = queue[i - 1]
      i = i - 1
    end
    queue[i] = item
    return function() item.fn = function() end end
  end
  function s.serve(pattern, fn) s.hosts[#s.hosts + 1] = { pattern = pattern, fn = fn } end
  function s.array(t) return setmetatable(t or {}, LIST) end
  function s.int(digits) return { ["$int"] = digits } end
  function s.log() end
  s.pairs, s.copy, s.decode = sorted, copy, caged.json.decode

  --- Let the clock reach a time; what is due happens in order.
  function s.run_until(ms)
    while queue[1] and queue[1].at <= ms do
      local item = table.remove(queue, 1)
      now = math.max(now, item.at)
      s.fired = (s.fired or 0) + 1
      item.fn()
    end
    now = math.max(now, ms)
  end
  function s.run(ms) s.run_until(now + ms) end
  function s.waiting() return #queue end

  rawset(_G, "sim", s)
  return s
end

return M
