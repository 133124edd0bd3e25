--- cel: the subset of CEL that the rules in crds/ use.
-- Rules are written once, in the CRDs; the API server evaluates them there, and `check` and the
-- playground evaluate them here. What this file can not read is refused by name, so that a rule can
-- not mean one thing to the server and another to us.
--
-- Understood: self, oldSelf and macro variables; true false null, integers, strings, lists;
-- ! && || == != < <= > >= in + - ?: ; field access, a[i]; has(a.b); s.startsWith(x) s.endsWith(x)
-- s.contains(x) s.matches(re) x.size() size(x); l.all(v, p) l.exists(v, p) l.exists_one(v, p)
-- l.filter(v, p) l.map(v, e), and the same on the keys of maps.
-- Errors at run time (a missing field) are Lua errors; || and && absorb them as CEL does.
local M = {}

local TWO = { ["&&"] = true, ["||"] = true, ["=="] = true, ["!="] = true, ["<="] = true, [">="] = true }
local ESCAPE = { n = "\n", t = "\t", r = "\r", ["\\"] = "\\", ["'"] = "'", ['"'] = '"' }
local LEVEL = {
  ["||"] = 1, ["&&"] = 2, ["=="] = 3, ["!="] = 3, ["<"] = 3, ["<="] = 3, [">"] = 3, [">="] = 3, ["in"] = 3,
  ["+"] = 4, ["-"] = 4,
}

---@class cel.Token
---@field kind "name"|"string"|"int"|"op"|"end"
---@field value any
---@field at integer

local function quoted(text, i)
  local quote, out = text:sub(i, i), {}
  i = i + 1
  while i <= #text do
    local c = text:sub(i, i)
    if c == quote then return table.concat(out), i + 1 end
    if c == "\\" then
      i = i + 1
      c = ESCAPE[text:sub(i, i)] or error("unknown escape at " .. i, 0)
    end
    out[#out + 1] = c
    i = i + 1
  end
  error("unfinished string", 0)
end

---@return cel.Token[]
local function tokens(text)
  local out, i = {}, 1
  while i <= #text do
    local c = text:sub(i, i)
    local word = text:match("^[%a_][%w_]*", i)
    local digits = text:match("^%d+", i)
    if c == " " or c == "\n" or c == "\t" then
      i = i + 1
    elseif word then
      out[#out + 1] = { kind = "name", value = word, at = i }
      i = i + #word
    elseif digits then
      out[#out + 1] = { kind = "int", value = tonumber(digits), at = i }
      i = i + #digits
    elseif c == "'" or c == '"' then
      local value, after = quoted(text, i)
      out[#out + 1] = { kind = "string", value = value, at = i }
      i = after
    else
      local op = TWO[text:sub(i, i + 1)] and text:sub(i, i + 1) or c
      out[#out + 1] = { kind = "op", value = op, at = i }
      i = i + #op
    end
  end
  out[#out + 1] = { kind = "end", at = #text + 1 }
  return out
end

local function equal(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for k, v in pairs(a) do
    if not equal(v, b[k]) then return false end
  end
  for k in pairs(b) do
    if a[k] == nil then return false end
  end
  return true
end
M.equal = equal

local function size(v)
  if type(v) == "string" then return #v end
  if type(v) ~= "table" then error("size() of a " .. type(v), 0) end
  if #v > 0 then return #v end
  local n = 0
  for _ in pairs(v) do n = n + 1 end
  return n
end

-- What a macro walks over: elements of a list, keys of a map.
local function walk(v)
  if type(v) ~= "table" then error("not a list or map", 0) end
  if #v > 0 then return v end
  local keys = {}
  for k in pairs(v) do keys[#keys + 1] = k end
  table.sort(keys)
  return keys
end

local function bool(v)
  if type(v) ~= "boolean" then error("not a boolean", 0) end
  return v
end

local function count(list, env, name, body, stop_at)
  local n, kept, saved = 0, {}, env[name]
  for _, x in ipairs(list) do
    env[name] = x
    local hit = bool(body(env))
    if hit then
      n = n + 1
      kept[#kept + 1] = x
    end
    if stop_at ~= nil and hit == stop_at then break end
  end
  env[name] = saved
  return n, kept
end

local MACRO = {
  all = function(list, env, name, body)
    local n = count(list, env, name, body, false)
    return n == #list
  end,
  exists = function(list, env, name, body) return (count(list, env, name, body, true)) > 0 end,
  exists_one = function(list, env, name, body) return (count(list, env, name, body)) == 1 end,
  filter = function(list, env, name, body)
    local _, kept = count(list, env, name, body)
    return kept
  end,
  map = function(list, env, name, body)
    local out, saved = {}, env[name]
    for i, x in ipairs(list) do
      env[name] = x
      out[i] = body(env)
    end
    env[name] = saved
    return out
  end,
}

local METHOD = {
  startsWith = function(s, x) return s:sub(1, #x) == x end,
  endsWith = function(s, x) return x == "" or s:sub(-#x) == x end,
  contains = function(s, x) return s:find(x, 1, true) ~= nil end,
  size = function(v) return size(v) end,
  matches = function(s, x, env) return env["\0match"](x, s) end,
}

local function contains(list, x)
  if #list == 0 then return type(x) == "string" and list[x] ~= nil end
  for _, y in ipairs(list) do
    if equal(x, y) then return true end
  end
  return false
end

local function compare(f)
  return function(a, b)
    if type(a) ~= type(b) or type(a) == "table" then error("can not compare", 0) end
    return f(a, b)
  end
end

local BINARY = {
  ["=="] = equal,
  ["!="] = function(a, b) return not equal(a, b) end,
  ["<"] = compare(function(a, b) return a < b end),
  ["<="] = compare(function(a, b) return a <= b end),
  [">"] = compare(function(a, b) return a > b end),
  [">="] = compare(function(a, b) return a >= b end),
  ["in"] = function(a, b) return contains(b, a) end,
  ["+"] = function(a, b) return type(a) == "string" and a .. b or a + b end,
  ["-"] = function(a, b) return a - b end,
}

local parse_expression

local function parser(text)
  local list, at = tokens(text), 1
  local p = { names = {} }
  function p.peek(value) return list[at].kind ~= "string" and list[at].value == value end
  function p.token() return list[at] end
  function p.take()
    at = at + 1
    return list[at - 1]
  end
  function p.accept(value)
    if not p.peek(value) then return false end
    at = at + 1
    return true
  end
  function p.expect(value)
    if not p.accept(value) then
      error(("expected %q at %d of %q"):format(value, list[at].at, text), 0)
    end
  end
  function p.name()
    local t = p.take()
    if t.kind ~= "name" then error(("expected a name at %d of %q"):format(t.at, text), 0) end
    return t.value
  end
  return p
end

local function field(object, name)
  return function(env)
    local o = object(env)
    if type(o) ~= "table" then error("no such field: " .. name, 0) end
    local v = o[name]
    if v == nil then error("no such key: " .. name, 0) end
    return v
  end
end

local function parse_call(p, object, name)
  if MACRO[name] then
    local variable = p.name()
    p.expect(",")
    local body = parse_expression(p, 0)
    p.expect(")")
    local macro = MACRO[name]
    return function(env) return macro(walk(object(env)), env, variable, body) end
  end
  local method = METHOD[name] or error(("no method %s"):format(name), 0)
  local argument
  if not p.peek(")") then argument = parse_expression(p, 0) end
  p.expect(")")
  return function(env) return method(object(env), argument and argument(env), env) end
end

local function parse_has(p)
  local object = parse_expression(p, 9)
  p.expect(")")
  return function(env)
    local ok, v = pcall(object, env)
    return ok and v ~= nil
  end
end

local function parse_list(p)
  local items = {}
  if not p.accept("]") then
    repeat items[#items + 1] = parse_expression(p, 0) until not p.accept(",")
    p.expect("]")
  end
  return function(env)
    local out = {}
    for i, item in ipairs(items) do out[i] = item(env) end
    return out
  end
end

local function parse_primary(p)
  local t = p.take()
  if t.kind == "int" or t.kind == "string" then
    return function() return t.value end
  elseif t.value == "(" then
    local inner = parse_expression(p, 0)
    p.expect(")")
    return inner
  elseif t.value == "[" then
    return parse_list(p)
  elseif t.value == "-" then
    local inner = parse_primary(p)
    return function(env) return -inner(env) end
  elseif t.value == "true" or t.value == "false" then
    return function() return t.value == "true" end
  elseif t.kind == "name" and p.accept("(") then
    if t.value == "has" then return parse_has(p) end
    if t.value ~= "size" then error("no function " .. t.value, 0) end
    local inner = parse_expression(p, 0)
    p.expect(")")
    return function(env) return size(inner(env)) end
  elseif t.kind == "name" then
    p.names[t.value] = true
    return function(env)
      local v = env[t.value]
      if v == nil then error("no such variable: " .. t.value, 0) end
      return v
    end
  end
  error(("unexpected %q at %d"):format(tostring(t.value or "end"), t.at), 0)
end

local function parse_postfix(p)
  local value = parse_primary(p)
  while true do
    if p.accept(".") then
      local name = p.name()
      value = p.accept("(") and parse_call(p, value, name) or field(value, name)
    elseif p.accept("[") then
      local object, index = value, parse_expression(p, 0)
      p.expect("]")
      value = function(env)
        local i = index(env)
        local v = object(env)[type(i) == "number" and i + 1 or i]
        if v == nil then error("no such index", 0) end
        return v
      end
    else
      return value
    end
  end
end

local function parse_unary(p)
  if p.accept("!") then
    local inner = parse_unary(p)
    return function(env) return not bool(inner(env)) end
  end
  return parse_postfix(p)
end

-- An error on one side does not matter when the other side decides.
local function logical(left, right, decides)
  return function(env)
    local ok, a = pcall(left, env)
    if ok and bool(a) == decides then return decides end
    local b = bool(right(env))
    if b == decides then return decides end
    if not ok then error(a, 0) end
    return not decides
  end
end

function parse_expression(p, least)
  local left = parse_unary(p)
  while true do
    local op = p.token().kind ~= "string" and p.token().value
    local level = LEVEL[op]
    if level and level > least then
      p.take()
      local a, b = left, parse_expression(p, level)
      if op == "&&" or op == "||" then
        left = logical(a, b, op == "||")
      else
        local f = BINARY[op]
        left = function(env) return f(a(env), b(env)) end
      end
    elseif op == "?" and least == 0 then
      p.take()
      local test, yes = left, parse_expression(p, 0)
      p.expect(":")
      local no = parse_expression(p, 0)
      return function(env)
        if bool(test(env)) then return yes(env) end
        return no(env)
      end
    else
      return left
    end
  end
end

--- Compile one rule.
---@param text string
---@return { run: fun(env: table): any, transition: boolean }|nil
---@return string|nil why not
function M.compile(text)
  local ok, result = pcall(function()
    local p = parser(text)
    local run = parse_expression(p, 0)
    local rest = p.token()
    if rest.kind ~= "end" then error(("unexpected %q at %d"):format(tostring(rest.value), rest.at), 0) end
    return { run = run, transition = p.names.oldSelf == true }
  end)
  if not ok then return nil, tostring(result) end
  return result
end

--- Evaluate a compiled rule.
---@param rule table from compile
---@param self any the value
---@param old any the old value, nil on creation
---@param match fun(pattern: string, text: string): boolean
---@return boolean|nil
---@return string|nil why it could not be evaluated
function M.run(rule, self, old, match)
  local ok, v = pcall(rule.run, { self = self, oldSelf = old, ["\0match"] = match })
  if not ok then return nil, tostring(v) end
  return v
end

return M
