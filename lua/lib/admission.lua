--- admission: schemas by name, for callers that hand over JSON (the playground, `check`).
-- Regular expressions are asked of the caller: ask("regex", { pattern, text }) -> { match = boolean }.
local schema = require "lib.schema"

local M = {}
local known = {}

local function match(pattern, text)
  return ask("regex", { pattern = pattern, text = text }).match == true
end

--- Remember a schema under an id. Answers { error } when a rule can not be read.
function M.define(id, root)
  local compiled, why = schema.compile(root)
  known[id] = compiled
  return { error = why }
end

--- Prune, default and validate an object. `old` false: it is being created. Answers the object only
--- when it is not what it was.
function M.admit(id, object, old, prune_only)
  local causes, unknown, changed = schema.admit(known[id], object, old or nil, match)
  return { object = changed and object or nil, causes = json.array(prune_only and {} or causes), unknown = json.array(unknown) }
end

return M
