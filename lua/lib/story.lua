--- story: Events out of what changes in a status, one per milestone: `kubectl get events` tells the day in order.
-- A milestone is a reason whose row in lib/reasons has `event`, or the end of something. Its status is written
-- at once, so what was told once is not told again; with nothing to tell, nothing is added.
local reasons = require "lib.reasons"

local M = {}

local NORMAL, WARNING = "Normal", "Warning"
local NEW = { Pending = true, Creating = true, Founding = true, Starting = true, Joining = true }

local function condition(status, kind)
  for _, c in ipairs(status.conditions or {}) do
    if c.type == kind then return c end
  end
end

local function since(w, text)
  local began = time.parse(text or "")
  return began and time.age(math.max(w.now - began, 0)) or "a while"
end

local function count(s) return ("%d of %d ready"):format(s.readyReplicas or 0, s.replicas or 0) end

local function is_true(status, kind)
  local c = condition(status, kind)
  return c ~= nil and c.status == "True"
end

-- What had served does not, and does again: told by the condition, whatever phases lie between.
local function trouble(w, old, new, figures)
  local was, is = is_true(old, "Degraded"), is_true(new, "Degraded")
  if is and not was then return WARNING, "Degraded", new.message end
  if was and not is then
    return NORMAL, "Recovered", ("%s, after %s"):format(figures, since(w, condition(old, "Degraded").lastTransitionTime))
  end
end

local function created(w, figures)
  return NORMAL, "Created", ("%s, %s after it was made"):format(figures, since(w, w.object.metadata.creationTimestamp))
end

---What the end of a phase of a group means.
local function group_end(w, old, new)
  local was, figures = old.phase or "Pending", count(new)
  if new.phase == "Ready" and new.phase ~= was then
    if NEW[was] then return created(w, figures) end
    if was == "Scaling" then return NORMAL, "Ready", figures end
    if was == "Updating" then
      return NORMAL, "Updated", ("%s, all of revision %s"):format(figures, new.currentRevision or "?")
    end
  end
  return trouble(w, old, new, figures)
end

local function cluster_end(w, old, new)
  local was, figures = old.phase or "Pending", ("PD %s, TiKV %s"):format(new.pdReady, new.tikvReady)
  if new.phase ~= was then
    if new.phase == "Unavailable" then
      local c = condition(new, "Available") or {}
      return WARNING, "Unavailable", ("%s: %s"):format(c.reason or "?", c.message or "")
    end
    if new.phase == "Paused" or new.phase == "Suspended" then return NORMAL, new.phase, new.message end
    if was == "Paused" or was == "Suspended" then
      return NORMAL, "Resumed", ("after %s"):format(since(w, old.since))
    end
    if new.phase == "Running" and NEW[was] then return created(w, figures) end
  end
  return trouble(w, old, new, figures)
end

local function instance_end(w, old, new)
  if new.phase == old.phase then return end
  if new.phase == "Lost" then return WARNING, "Lost", new.message end
  if old.phase == "Lost" and new.phase == "Serving" then
    return NORMAL, "Returned", ("it serves again, after %s"):format(since(w, old.since))
  end
end

local ENDS = { Cluster = cluster_end, PDGroup = group_end, TiKVGroup = group_end, PD = instance_end,
  TiKV = instance_end }

---@param new table the status that this pass gives
---@return {type: string, reason: string, message: string}[]
function M.news(w, new)
  local old, out = w.object.status or {}, {}
  if new.reason ~= old.reason and new.reason ~= "" then
    local row = reasons.all[new.reason]
    if row and row.event then
      out[1] = { type = row.event, reason = new.reason, message = new.message }
    end
  end
  local kind, reason, message = ENDS[w.object.kind](w, old, new)
  if kind then out[#out + 1] = { type = kind, reason = reason, message = message or "" } end
  local late, was = condition(new, "Progressing"), condition(old, "Progressing")
  if late and late.reason == "DeadlineExceeded" and not (was and was.reason == late.reason) then
    out[#out + 1] = { type = WARNING, reason = "DeadlineExceeded", message = late.message }
  end
  return out
end

---Put the news in front of the plan.
---@return boolean there is some: the status must not wait
function M.tell(w, p, new)
  local news = M.news(w, new)
  for n, e in ipairs(news) do
    table.insert(p.actions, n, { action = "event", type = e.type, reason = e.reason, message = e.message })
  end
  return news[1] ~= nil
end

return M
