--- freeze: PD moves nothing until a time that a person gives (spec.scheduling.haltUntil), for a backup for
-- instance. It ends by itself: nobody has to remember it. A halt that somebody else made is not ours to end.
local kube = require "lib.kube"

local M = {}

local HALT = "schedule.halt-scheduling"

local function until_time(w)
  local s = w.object.spec.scheduling
  local at = s and s.haltUntil and time.parse(s.haltUntil)
  return at and at > w.now and at or nil
end

local function ours(w) return (w.object.metadata.annotations or {})[kube.annotation.halted] ~= nil end

---Step of the Cluster. What is ours is marked before it begins, and the mark goes after it has ended.
function M.step(w, p)
  local at = until_time(w)
  if at then p:look(at - w.now) end
  if not (at or ours(w)) or not (w.pd and w.pd.known) or w.pd.history then return end
  local ref = kube.ref("Cluster", w.object)
  if at and not w.pd.halted then
    if not ours(w) then p:patch_meta(ref, { annotations = { [kube.annotation.halted] = time.format(w.now) } }) end
    p:pd_config { [HALT] = "true" }
    p:event("Normal", "SchedulingFrozen", "PD moves nothing until %s", time.format(at))
  elseif not at and w.pd.halted then
    p:pd_config { [HALT] = "false" }
    p:event("Normal", "SchedulingResumed", "PD moves regions and leaders again")
  elseif not at then
    -- once more: what PD showed may be older than our own word
    p:pd_config { [HALT] = "false" }
    p:patch_meta(ref, { remove_annotations = { kube.annotation.halted } })
  end
end

---Step, among the last: that nothing moves, and by whose will.
function M.told(w, p)
  local at = until_time(w)
  if at then
    local till = time.format(at)
    if not (w.pd and w.pd.known) then
      return p:wait("SchedulingFrozen", "PD moves nothing until %s, as soon as it can be asked", till)
    end
    return p:wait("SchedulingFrozen", "PD moves nothing until %s%s", till,
      w.pd.halted and not ours(w) and "; somebody else halted it before" or "")
  end
  if w.pd and w.pd.known and w.pd.halted and not ours(w) then
    p:note("SchedulingHalted", "scheduling is halted in PD, not by spec.scheduling")
  end
end

return M
