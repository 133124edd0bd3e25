--- shape: which fields of which types a JSON text has, and how it is laid out.
-- lines(text) is a set of sorted lines: ".stores[].store.id number", ".stores[].store.state? number" (a
-- field that some items lack), ".store-limit.# object" (keys that are ids).
local M = {}

local NULL = {}
local parse

local function fail(s, at) error(("not JSON at %d: %s"):format(at, s:sub(at, at + 20)), 0) end

local function text(s, at)
  local out, i = {}, at + 1
  while true do
    local j = s:find('["\\]', i) or fail(s, at)
    out[#out + 1] = s:sub(i, j - 1)
    if s:sub(j, j) == '"' then return table.concat(out), j + 1 end
    local e = s:sub(j + 1, j + 1)
    if e == "u" then
      out[#out + 1] = string.char(tonumber(s:sub(j + 2, j + 5), 16) % 256)
      i = j + 6
    else
      out[#out + 1] = ({ n = "\n", t = "\t", r = "\r" })[e] or e
      i = j + 2
    end
  end
end

local function members(s, at, close)
  local out, n = { list = close == "]", keys = {} }, 0
  at = s:match("^%s*()", at + 1)
  while s:sub(at, at) ~= close do
    local key, v
    if close == "}" then
      key, at = text(s, at)
      at = s:match("^%s*:%s*()", at) or fail(s, at)
    end
    v, at = parse(s, at)
    n = n + 1
    out.keys[n], out[n] = key or n, v
    at = s:match("^%s*,%s*()", at) or s:match("^%s*()", at)
    if at > #s then fail(s, at) end
  end
  return out, at + 1
end

function parse(s, at)
  at = s:match("^%s*()", at)
  local ch = s:sub(at, at)
  if ch == "{" then return members(s, at, "}") end
  if ch == "[" then return members(s, at, "]") end
  if ch == '"' then return text(s, at) end
  for word, v in pairs { ["true"] = true, ["false"] = false, null = NULL } do
    if s:sub(at, at + #word - 1) == word then return v, at + #word end
  end
  local digits, after = s:match("^(%-?%d[%d.eE+-]*)()", at)
  if not digits then fail(s, at) end
  return { number = digits }, after
end

local function field(object, key)
  for i, k in ipairs(object.keys) do
    if k == key then return object[i] end
  end
end

local function merge(values, path, out)
  local types, objects, items = {}, {}, {}
  for _, v in ipairs(values) do
    local t = type(v)
    if v == NULL then types.null = true
    elseif t == "boolean" then types.bool = true
    elseif t == "string" then types.string = true
    elseif v.number then types.number = true
    elseif v.list then
      types.list = true
      for _, x in ipairs(v) do items[#items + 1] = x end
    else
      types.object = true
      objects[#objects + 1] = v
    end
  end
  local groups = {}
  for _, o in ipairs(objects) do
    local seen = {}
    for i, k in ipairs(o.keys) do
      k = k:match "^%d+$" and "#" or k
      groups[k] = groups[k] or { n = 0 }
      table.insert(groups[k], o[i])
      if not seen[k] then
        seen[k], groups[k].n = true, groups[k].n + 1
      end
    end
  end
  for k, g in pairs(groups) do
    merge(g, path .. "." .. k .. (g.n < #objects and k ~= "#" and "?" or ""), out)
  end
  if #items > 0 then merge(items, path .. "[]", out) end
  local names = {}
  for t in pairs(types) do names[#names + 1] = t end
  table.sort(names)
  out[path .. " " .. table.concat(names, "|")] = true
end

function M.parse(s)
  local v, at = parse(s, 1)
  if s:find("%S", at) then fail(s, at) end
  return v
end

function M.lines(s)
  local out = {}
  merge({ M.parse(s) }, "", out)
  return out
end

--- "2", "4" (indent) or "compact"; nil where one can not tell.
function M.layout(s)
  local indent = s:match "^[%[{]\n( +)"
  if indent then return tostring(#indent) end
  return s:match "^[%[{][^%]}]" and "compact" or nil
end

--- Call fn with every object in a parsed text; get(object, key) reads a field.
function M.walk(v, fn)
  if type(v) ~= "table" or v.number or v == NULL then return end
  if not v.list then fn(v) end
  for _, x in ipairs(v) do M.walk(x, fn) end
end
M.get = function(o, key)
  local v = field(o, key)
  return type(v) == "table" and v.number or v
end

--- What an answer says of the state: sorted texts, by path.
local FACTS = {
  { "/stores?$", "stores" }, { "/stores/check$", "stores" }, { "/store/%d+$", "stores" },
  { "/labels/stores$", "stores" }, { "/schedulers$", "list" }, { "/list$", "evicted" },
  { "/members$", "members" }, { "/health$", "health" }, { "/limit$", "limits" }, { "/progress$", "progress" },
}
local READ = {
  stores = function(v, add)
    M.walk(v, function(o)
      if M.get(o, "state_name") then add(("%s:%s"):format(M.get(o, "id"), M.get(o, "state_name"))) end
    end)
  end,
  list = function(v, add) for _, x in ipairs(v.list and v or {}) do add(x) end end,
  evicted = function(v, add)
    local ranges = M.get(v, "store-id-ranges")
    for _, k in ipairs(ranges and ranges.keys or {}) do add(k) end
  end,
  members = function(v, add)
    local leader = M.get(v, "leader")
    if not leader then return end
    add("leader=" .. M.get(leader, "name"))
    add("n=" .. #M.get(v, "members"))
  end,
  health = function(v, add)
    for _, m in ipairs(v.list and v or {}) do add(("%s=%s"):format(M.get(m, "name"), tostring(M.get(m, "health")))) end
  end,
  limits = function(v, add)
    for i, k in ipairs(v.keys) do add(("%s:%s/%s"):format(k, M.get(v[i], "add-peer"), M.get(v[i], "remove-peer"))) end
  end,
  progress = function(v, add) add("progress=" .. (M.get(v, "progress") == "1" and "1" or "<1")) end,
}

function M.facts(path, s)
  local out = {}
  path = path:gsub("%?.*$", "")
  for _, f in ipairs(FACTS) do
    if path:match(f[1]) then
      READ[f[2]](M.parse(s), function(x) out[#out + 1] = x end)
      break
    end
  end
  table.sort(out)
  return out
end

return M
