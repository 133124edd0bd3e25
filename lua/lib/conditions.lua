--- conditions: the standard list, stable when nothing changed.
local M = {}

---@class condition
---@field type string
---@field status "True"|"False"|"Unknown"
---@field reason string
---@field message string

---Conditions in the order given; the time of the last transition is kept while the status is.
---@param old table? status.conditions as they are
---@param new condition[]
---@param generation integer
---@param now number seconds
function M.set(old, new, generation, now)
  local before = {}
  for _, c in ipairs(old or {}) do before[c.type] = c end
  for _, c in ipairs(new) do
    local was = before[c.type]
    c.observedGeneration = generation
    c.message = c.message or ""
    c.lastTransitionTime = was and was.status == c.status and was.lastTransitionTime or time.format(now)
  end
  return json.array(new)
end

---@param yes boolean? nil: unknown
---@return condition
function M.of(type, yes, reason, fmt, ...)
  local status = "Unknown"
  if yes ~= nil then status = yes and "True" or "False" end
  return { type = type, status = status, reason = reason, message = fmt and fmt:format(...) or "" }
end

function M.find(list, type)
  for _, c in ipairs(list or {}) do
    if c.type == type then return c end
  end
end

function M.is_true(list, type)
  local c = M.find(list, type)
  return c ~= nil and c.status == "True"
end

return M
