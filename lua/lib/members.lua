--- members: the instances of a group, joined with what PD says of them.
local kube = require "lib.kube"

local M = {}

---Fields of PD and TiKV objects that their group looks at.
M.ROW = {
  name = "metadata.name", uid = "metadata.uid", rv = "metadata.resourceVersion",
  deleting = "metadata.deletionTimestamp", offline = "spec.offline", revision = kube.path_label(kube.label.revision),
  template = kube.path_annotation(kube.annotation.template),
  founder = kube.path_annotation(kube.annotation.initial_cluster), topology = "spec.topology",
  first = kube.path_annotation(kube.annotation.remove_first),
  phase = "status.phase", reason = "status.reason", message = "status.message", id = "status.id",
  ready = "status.conditions[type=Ready].status", unready = "status.conditions[type=Ready].reason",
  since = "status.conditions[type=Ready].lastTransitionTime", current = "status.currentRevision",
  heard = "status.lastHeartbeat", replace = kube.path_annotation(kube.annotation.replace),
  spare_for = kube.path_annotation(kube.annotation.spare_for),
  destroyed = kube.path_annotation(kube.annotation.destroyed), hold = kube.path_annotation(kube.annotation.hold),
  generation = "metadata.generation", observed = "status.observedGeneration",
  restart = kube.path_annotation(kube.annotation.restart),
  allowed = kube.path_annotation(kube.annotation.allowed), restarted = "status.restartedAt",
  on_delete = kube.path_annotation(kube.annotation.on_delete), evicting = kube.path_annotation(kube.annotation.evicting),
}

---A mark of replacement that was taken back.
M.UNDONE = "undone"

---@class member
---@field name string instance
---@field pod string
---@field row table
---@field ready boolean
---@field available boolean ready for minReadySeconds (5 where nothing is said)
---@field lost boolean it has served, and is not ready now
---@field deleting boolean
---@field leaving boolean deleted, being replaced, or its store shall leave or has left
---@field replaced boolean another one takes its place, see lib/replacing
---@field updated boolean its pod runs the revision of the template
---@field outdated boolean its object has another revision
---@field pd table? the PD member of that name

---PD's members by name; unknown is nil.
local function pd_members(w)
  if not (w.pd and w.pd.known) then return nil end
  local out = {}
  for _, m in ipairs(w.pd.members or {}) do out[m.name or ""] = m end
  return out
end

---Seconds until an instance that is ready counts as available; 0: it does.
local function until_available(w, r)
  local since = time.parse(r.since or "")
  local min = tonumber(w.object.spec.minReadySeconds) or 5
  return since and math.max(since + min - w.now, 0) or 0
end

---@param revision string name of the update revision
---@return member[]
function M.list(w, revision)
  local component = kube.component[w.object.kind]
  local in_pd = component == "pd" and pd_members(w) or nil
  local out = {}
  for n, r in ipairs(w.rows or {}) do
    local pod = kube.pod_name(r.name, component)
    local ready = r.ready == "True" and not r.deleting
    local left = ready and until_available(w, r) or 0
    local replaced = r.replace ~= nil and r.replace ~= M.UNDONE
    out[n] = {
      name = r.name, pod = pod, row = r, ready = ready, available = ready and left == 0, left = left,
      lost = not ready and not r.deleting and not r.offline and r.current ~= nil,
      deleting = r.deleting ~= nil, updated = r.current == revision,
      leaving = r.deleting ~= nil or r.offline == true or r.phase == "Removed" or replaced,
      replaced = replaced,
      outdated = r.revision ~= revision, pd = in_pd and in_pd[pod],
    }
  end
  return out
end

---Live ones: those that are not on their way out.
function M.live(list)
  local out = {}
  for _, m in ipairs(list) do
    if not m.leaving then out[#out + 1] = m end
  end
  return out
end

---A few names for a message, never all of a thousand.
function M.some(list, max)
  local out = {}
  for n, m in ipairs(list) do
    if n > (max or 3) then
      out[#out + 1] = ("and %d more"):format(#list - (max or 3))
      break
    end
    out[n] = m.name
  end
  return table.concat(out, ", ")
end

function M.where(list, test)
  local out = {}
  for _, m in ipairs(list) do
    if test(m) then out[#out + 1] = m end
  end
  return out
end

return M
