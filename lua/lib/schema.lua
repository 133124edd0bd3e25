--- schema: structural schemas as the API server applies them: prune, default, validate.
-- One source of truth: `check`, the playground and the docs read the same crds/ as the server.
-- Messages follow the server's, because people search for them.
--
-- Regular expressions are matched by the caller (`match`), since they stay in what RE2 and POSIX
-- extended expressions share.
local cel = require "lib.cel"

local M = {}

---@class schema.Cause
---@field field string   "spec.volumes[0].name"
---@field reason string  FieldValueInvalid, FieldValueRequired, FieldValueNotSupported, ...
---@field message string

local TYPE = {
  object = function(v) return type(v) == "table" end,
  array = function(v) return type(v) == "table" and (#v > 0 or next(v) == nil) end,
  string = function(v) return type(v) == "string" end,
  boolean = function(v) return type(v) == "boolean" end,
  number = function(v) return type(v) == "number" end,
  integer = function(v)
    if type(v) == "number" then return v % 1 == 0 end
    return type(v) == "string" and #v > 15 and v:match("^%-?%d+$") ~= nil -- 64-bit integers cross as text
  end,
}

local function join(path, name) return path == "" and name or path .. "." .. name end

local function quote(v)
  if type(v) == "string" then return ("%q"):format(v) end
  if type(v) == "number" and v % 1 == 0 then return ("%d"):format(v) end
  return tostring(v)
end

local function kind_of(v)
  if type(v) == "table" then return #v > 0 and "array" or "object" end
  if type(v) == "number" then return v % 1 == 0 and "integer" or "number" end
  return type(v)
end

local function cause(ctx, path, reason, fmt, ...)
  local list = ctx.causes
  list[#list + 1] = { field = path == "" and "<nil>" or path, reason = reason, message = fmt:format(...) }
end

local function invalid(ctx, path, v, fmt, ...)
  cause(ctx, path, "FieldValueInvalid", "Invalid value: %s: " .. fmt, quote(v), ...)
end

--- Compile the rules of a schema and of everything below it, once. Notes what to look at for defaults.
local function prepare(node, where, errors)
  for i, rule in ipairs(node["x-kubernetes-validations"] or {}) do
    local compiled, why = cel.compile(rule.rule)
    if not compiled then errors[#errors + 1] = ("%s: rule %d: %s"):format(where, i, why) end
    rule.compiled = compiled
  end
  local defaults = {}
  for name, child in pairs(node.properties or {}) do
    prepare(child, join(where, name), errors)
    if child.default ~= nil or child.defaults then defaults[#defaults + 1] = name end
  end
  if type(node.items) == "table" then prepare(node.items, where .. "[]", errors) end
  local values = node.additionalProperties
  if type(values) == "table" then prepare(values, where .. ".*", errors) end
  local below = type(node.items) == "table" and node.items.defaults or type(values) == "table" and values.defaults
  if #defaults > 0 or below then node.defaults = defaults end
end

local function prune(ctx, node, v, path)
  if type(v) ~= "table" then return end
  if node.items then
    for i, x in ipairs(v) do prune(ctx, node.items, x, ("%s[%d]"):format(path, i - 1)) end
    return
  end
  if node.additionalProperties then
    if type(node.additionalProperties) == "table" then
      for k, x in pairs(v) do prune(ctx, node.additionalProperties, x, join(path, k)) end
    end
    return
  end
  local keep = node["x-kubernetes-preserve-unknown-fields"]
  for k in pairs(v) do
    local child = node.properties and node.properties[k]
    if child then
      if not (path == "" and k == "metadata") then prune(ctx, child, v[k], join(path, k)) end
    elseif not keep and not (path == "" and (k == "apiVersion" or k == "kind" or k == "metadata")) then
      ctx.unknown[#ctx.unknown + 1] = join(path, k)
      v[k] = nil
    end
  end
end

local function copy(v)
  if type(v) ~= "table" then return v end
  local out = {}
  for k, x in pairs(v) do out[k] = copy(x) end
  return out
end

local function default(ctx, node, v)
  if type(v) ~= "table" or not node.defaults then return end
  for _, name in ipairs(node.defaults) do
    local child = node.properties[name]
    if v[name] == nil and child.default ~= nil then
      v[name] = copy(child.default)
      ctx.changed = true
    end
    if v[name] ~= nil then default(ctx, child, v[name]) end
  end
  if type(node.items) == "table" then
    for _, x in ipairs(v) do default(ctx, node.items, x) end
  end
  if type(node.additionalProperties) == "table" then
    for _, x in pairs(v) do default(ctx, node.additionalProperties, x) end
  end
end

local function length(v)
  local n = 0
  for i = 1, #v do
    local b = v:byte(i)
    if b < 0x80 or b >= 0xc0 then n = n + 1 end
  end
  return n
end

local function check_text(ctx, node, v, path)
  if node.maxLength and length(v) > node.maxLength then
    cause(ctx, path, "FieldValueTooLong", "Too long: may not be more than %d bytes", node.maxLength)
  end
  if node.minLength and length(v) < node.minLength then
    invalid(ctx, path, v, "%s in body should be at least %d chars long", path, node.minLength)
  end
  if node.pattern and not ctx.match(node.pattern, v) then
    invalid(ctx, path, v, "%s in body should match '%s'", path, node.pattern)
  end
  if node.format == "date-time" and not time.parse(v) then
    invalid(ctx, path, v, "%s in body must be of type date-time: %s", path, quote(v))
  end
end

local function check_number(ctx, node, v, path)
  v = tonumber(v)
  if node.minimum and v < node.minimum then
    invalid(ctx, path, v, "%s in body should be greater than or equal to %s", path, quote(node.minimum))
  end
  if node.maximum and v > node.maximum then
    invalid(ctx, path, v, "%s in body should be less than or equal to %s", path, quote(node.maximum))
  end
  if node.format == "int32" and (v > 2147483647 or v < -2147483648) then
    invalid(ctx, path, v, "%s in body must be of type int32: %s", path, quote(v))
  end
end

local function identity(item, keys)
  if type(item) ~= "table" then return tostring(item) end
  local out = {}
  for i, k in ipairs(keys) do out[i] = ("%s=%s"):format(k, tostring(item[k])) end
  return table.concat(out, ",")
end

local function map_keys(node)
  if node["x-kubernetes-list-type"] == "map" then return node["x-kubernetes-list-map-keys"] end
  if node["x-kubernetes-list-type"] == "set" then return {} end
end

local check

local function check_list(ctx, node, v, old, path)
  if node.maxItems and #v > node.maxItems then
    cause(ctx, path, "FieldValueTooMany", "Too many: %d: must have at most %d items", #v, node.maxItems)
  end
  if node.minItems and #v < node.minItems then
    invalid(ctx, path, #v, "%s in body should have at least %d items", path, node.minItems)
  end
  local keys, seen, before = map_keys(node), {}, {}
  if keys and type(old) == "table" then
    for _, x in ipairs(old) do before[identity(x, keys)] = x end
  end
  for i, x in ipairs(v) do
    local here = ("%s[%d]"):format(path, i - 1)
    local id = keys and identity(x, keys)
    if id and seen[id] then cause(ctx, here, "FieldValueDuplicate", "Duplicate value: %s", id) end
    if id then seen[id] = true end
    check(ctx, node.items, x, id and before[id], here)
  end
end

local function check_object(ctx, node, v, old, path)
  local n = 0
  for _ in pairs(v) do n = n + 1 end
  if node.minProperties and n < node.minProperties then
    invalid(ctx, path, n, "%s in body should have at least %d properties", path, node.minProperties)
  end
  if node.maxProperties and n > node.maxProperties then
    cause(ctx, path, "FieldValueTooMany", "Too many: %d: must have at most %d items", n, node.maxProperties)
  end
  for _, name in ipairs(node.required or {}) do
    if v[name] == nil then cause(ctx, join(path, name), "FieldValueRequired", "Required value") end
  end
  old = type(old) == "table" and old or {}
  if node.properties then
    for name, x in pairs(v) do
      local child = node.properties[name]
      if child and not (path == "" and name == "metadata") then check(ctx, child, x, old[name], join(path, name)) end
    end
  end
  if type(node.additionalProperties) == "table" then
    for name, x in pairs(v) do check(ctx, node.additionalProperties, x, old[name], join(path, name)) end
  end
end

local function check_rules(ctx, node, v, old, path)
  for _, rule in ipairs(node["x-kubernetes-validations"] or {}) do
    if rule.compiled and not (rule.compiled.transition and old == nil) then
      local ok, why = cel.run(rule.compiled, v, old, ctx.match)
      if not ok then
        local shown = type(v) == "table" and "" or quote(v) .. ": "
        cause(ctx, path, "FieldValueInvalid", "Invalid value: %s%s", shown,
          ok == nil and ("rule could not be evaluated: %s: %s"):format(rule.rule, why)
            or rule.message or ("failed rule: " .. rule.rule))
      end
    end
  end
end

function check(ctx, node, v, old, path)
  if node["x-kubernetes-int-or-string"] then
    if not (TYPE.integer(v) or TYPE.string(v)) then
      local is = quote(kind_of(v))
      return invalid(ctx, path, v, "%s in body must be of type integer or string: %s", path, is)
    end
    if node.pattern and type(v) == "string" then check_text(ctx, node, v, path) end
  elseif node.type and not TYPE[node.type](v) then
    local is = kind_of(v)
    return invalid(ctx, path, is, "%s in body must be of type %s: %s", path, node.type, quote(is))
  end
  if node.enum then
    local found = false
    for _, x in ipairs(node.enum) do found = found or x == v end
    if not found then
      local names = {}
      for i, x in ipairs(node.enum) do names[i] = quote(x) end
      cause(ctx, path, "FieldValueNotSupported", "Unsupported value: %s: supported values: %s", quote(v),
        table.concat(names, ", "))
    end
  end
  local before = #ctx.causes
  if node.type == "string" then
    check_text(ctx, node, v, path)
  elseif node.type == "integer" or node.type == "number" then
    check_number(ctx, node, v, path)
  elseif node.type == "array" then
    check_list(ctx, node, v, old, path)
  elseif node.type == "object" then
    check_object(ctx, node, v, old, path)
  end
  -- Rules may rely on the schema: they run only on what is otherwise valid.
  if #ctx.causes == before then check_rules(ctx, node, v, old, path) end
end

--- Prepare a schema (openAPIV3Schema of one version; its tree is kept and extended).
---@param root table
---@return table|nil compiled
---@return string|nil why, with every rule that can not be read
function M.compile(root)
  local errors = {}
  prepare(root, "", errors)
  if #errors > 0 then return nil, table.concat(errors, "; ") end
  return { root = root }
end

--- What the API server does with an object: prune, default, validate.
---@param compiled table from compile
---@param object table changed in place
---@param old table|nil the stored object, on update
---@param match fun(pattern: string, text: string): boolean
---@return schema.Cause[] causes, empty when it is valid
---@return string[] unknown fields that were pruned
---@return boolean changed by pruning or by a default
function M.admit(compiled, object, old, match)
  local ctx = { causes = {}, unknown = {}, match = match }
  prune(ctx, compiled.root, object, "")
  default(ctx, compiled.root, object)
  check(ctx, compiled.root, object, old, "")
  table.sort(ctx.causes, function(a, b)
    if a.field ~= b.field then return a.field < b.field end
    return a.message < b.message
  end)
  table.sort(ctx.unknown)
  return ctx.causes, ctx.unknown, ctx.changed == true or #ctx.unknown > 0
end

return M
