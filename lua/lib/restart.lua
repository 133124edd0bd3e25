--- restart: whether the pod of an instance is to be made again, and what a planned restart waits for.
-- The group hands out the template, or the permission, see lib/upgrade; how a store or a member is
-- stopped is in lib/restart_store and lib/restart_member.
local kube = require "lib.kube"
local maintenance = require "lib.maintenance"
local questions = require "lib.questions"

local M = {}

M.UNSEEN = 120 -- seconds that PD may take to see a pod that is ready

---Fields of the cluster's pods that a restart looks at.
local PODS = {
  name = "metadata.name", deleting = "metadata.deletionTimestamp",
  component = kube.path_label(kube.label.component), revision = kube.path_label(kube.label.revision),
  ready = "status.conditions[type=Ready].status",
}

local function annotation(object, key) return (object.metadata.annotations or {})[kube.annotation[key]] end

---The restart that a person asked for by annotation and that has not been done.
---@return number? at
---@return string? wrong
function M.asked(object)
  local text_of = annotation(object, "restart")
  if not text_of or text_of == (object.status or {}).restartedAt then return nil end
  local at = time.parse(text_of)
  if not at then return nil, ("annotation %s: %q is no time as RFC 3339 has it"):format(kube.annotation.restart, text_of) end
  return at
end

---The wish of a person that the pod which runs now has fulfilled.
---@return string?
function M.done(w)
  local text_of = annotation(w.object, "restart")
  local at, made = text_of and time.parse(text_of), time.parse(w.pod.created or "")
  return at and made and made >= at and text_of or nil
end

---What only an instance that may have to restart looks at: the other pods of its cluster.
---@return boolean
function M.needs(object, i, out)
  local status = object.status or {}
  local changed = status.currentRevision ~= nil and i.revision ~= status.currentRevision
  if object.spec.offline or object.metadata.deletionTimestamp or not (changed or M.asked(object)) then return false end
  out[#out + 1] = { as = "pods", kind = "Pod", label = { kube.label.cluster, i.cluster }, fields = PODS }
  return true
end

---Why the pod shall be made again; nil: it is as it should be.
---@return {why: string, granted: boolean, told: boolean?}? told: the group has an Event for it
function M.due(w, i)
  local has = (w.pod.labels or {})[kube.label.revision]
  if i.revision and has and has ~= i.revision and not annotation(w.object, "on_delete") then
    return { why = ("revision %s becomes %s"):format(has, i.revision), granted = true, told = true }
  end
  local at, made = M.asked(w.object), time.parse(w.pod.created or "")
  if at and made and made < at and at <= w.now then
    return { why = "a person asked for it", granted = annotation(w.object, "allowed") == annotation(w.object, "restart") }
  end
end

---The pod runs another revision and goes on with it for now: its files stay as it knows them.
function M.pending(w, i)
  local has = w.pod and not w.pod.deleting and (w.pod.labels or {})[kube.label.revision]
  return has and i.revision ~= nil and has ~= i.revision
end

---@return string? why a person wants nobody to touch it
function M.hold(object) return annotation(object, "hold") end

---The program of the pod runs.
function M.running(w, i)
  for _, c in ipairs(w.pod.containers or {}) do
    if c.name == i.component then return c.state ~= nil and c.state.running ~= nil end
  end
  return false
end

---What closes the gate of a planned restart, whatever PD says.
---@param due {why: string, granted: boolean}
---@return string? reason
---@return string? why
---@return number? after seconds it is worth to look again
function M.closed(w, p, i, due)
  if not due.granted then return "RestartWaiting", "its group lets it restart when its turn comes" end
  local open, why, after = maintenance.open(w)
  if not open then return "MaintenanceClosed", why, after end
  local ok, no = questions.can(w, "can_restart_instance", { instance = i.name, component = i.component,
    group = i.group, revision = i.revision, why = due.why }, p)
  if not ok then return "PolicyDenied", "can_restart_instance: " .. no, 30 end
end

---A ready pod that PD has not seen yet is on its way: it is not stopped before it had its time.
---@return number seconds left
function M.young(w)
  local made = time.parse(w.pod.created or "")
  return made and math.max(made + M.UNSEEN - w.now, 0) or 0
end

function M.wait(p, reason, why, after)
  if after then return p:retry(after, reason, "%s", why) end
  return p:wait(reason, "%s", why)
end

---The pod goes; the next pass makes it anew.
---@param due {why: string}
---@param grace number? seconds
function M.now(w, p, i, due, grace)
  for _, a in ipairs(p.actions) do
    -- its version is another one after that
    if a.action == "patch_meta" and a.uid == w.pod.uid then
      return p:retry(1, "Restarting", "pod %s is made again: %s", i.pod, due.why)
    end
  end
  p:delete(kube.ref("Pod", w.pod), due.why, grace)
  if not due.told then p:event("Normal", "Restarting", "pod %s is made again: %s", i.pod, due.why) end
  return p:wait("Restarting", "pod %s is made again: %s", i.pod, due.why)
end

return M
