--- status: the parts that all kinds share: reason, since, progress, and when a write is worth it.
local conditions = require "lib.conditions"
local kube = require "lib.kube"
local reasons = require "lib.reasons"

local M = {}

-- Conditions that somebody waits for.
local AWAITED = { "Ready", "ConfigApplied" }

---What people read first. The verdict of the pass explains; when it settled, the first note does.
---@param t table trace of the pass: verdict, notes
---@param last table? how the previous plan ended: a refusal is told while its step still waits
function M.why(t, last)
  local v = t.verdict
  local refused = last and last.refused and v.kind ~= "settled" and last.refused.message
  if refused and not (reasons.all[v.reason] or {}).timed then
    return { reason = "GuardRefused", message = refused, hint = reasons.all.GuardRefused.hint,
      progress = v.progress_table }
  end
  if v.kind == "settled" then v = t.notes and t.notes[1] end
  if not v or not v.reason then return { reason = "", message = "", hint = "" } end
  local known = reasons.all[v.reason]
  local message = refused and ("%s; the guard: %s"):format(v.message, refused) or v.message
  return { reason = v.reason, message = message, hint = v.hint_text or known and known.hint or "",
    progress = v.progress_table }
end

---Fields that every status begins with. `since` is kept while phase and reason are.
function M.base(w, phase, why)
  local o, old = w.object, w.object.status or {}
  local same = old.phase == phase and (old.reason or "") == why.reason and old.since
  return {
    observedGeneration = o.metadata.generation,
    observedClusterGeneration = w.cluster and w.cluster.generation,
    phase = phase,
    reason = why.reason,
    message = why.message,
    hint = why.hint,
    since = same or time.format(w.now),
    collisionCount = old.collisionCount,
  }
end

---Seconds a write may wait: at once when something a person acts on changed, else `lazy`.
---@param keys string[] fields that matter at once
function M.delay(old, new, keys, lazy)
  old = old or {}
  for _, k in ipairs(keys) do
    local a, b = old[k], new[k]
    if type(b) == "table" or type(a) == "table" then
      if not (kube.covers(a, b) and kube.covers(b, a)) then return 0 end
    elseif a ~= b then
      return 0
    end
  end
  -- Who corrects a policy wants to see what it says now.
  if old.message ~= new.message and (new.reason or ""):sub(1, 6) == "Policy" then lazy = math.min(lazy, 5) end
  for _, kind in ipairs(AWAITED) do
    local now, was = conditions.find(new.conditions, kind), conditions.find(old.conditions, kind)
    if (now or {}).status ~= (was or {}).status then return 0 end
  end
  return lazy
end

return M
