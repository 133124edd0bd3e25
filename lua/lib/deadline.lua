--- deadline: how long a group has been without progress, against spec.progressDeadlineSeconds.
local conditions = require "lib.conditions"

local M = {}

function M.limit(group) return tonumber(group.spec.progressDeadlineSeconds) or 3600 end

---@param group table
---@return number? since when something is going on and nothing was finished
function M.since(group)
  local s = group.status or {}
  local c = conditions.find(s.conditions, "Progressing")
  local began = c and c.status == "True" and time.parse(c.lastTransitionTime or "")
  local moved = s.progress and time.parse(s.progress.since or "")
  return began and math.max(began, moved or 0) or nil
end

---Seconds until it is too late, or until it is worth to look for that again.
function M.left(w)
  local since = M.since(w.object) or w.now
  return math.max(since + M.limit(w.object) - w.now + 1, 1)
end

---Progress as status keeps it: with the time when it last moved.
---@param old table? status.progress
---@param new {done: integer, total: integer}?
function M.progress(w, old, new)
  if not new then return nil end
  local same = old and old.done == new.done and old.total == new.total and old.since
  return { done = new.done, total = new.total, current = new.current, since = same or time.format(w.now) }
end

return M
