--- moving: instances whose disk or place can not become what the template says are replaced, one at a time:
-- a smaller size, another class, a topology that is no longer offered. The new one serves before the old one goes.
local kube = require "lib.kube"
local failover = require "lib.failover"
local maintenance = require "lib.maintenance"
local members = require "lib.members"
local pvc = require "lib.pvc"
local replacing = require "lib.replacing"
local resizing = require "lib.resizing"
local scaling = require "lib.scaling"
local topology = require "lib.topology"

local M = {}

local FULL = 0.8 -- of the new disk; PD calls a store low on space beyond that

---Fields of claims that groups look at besides those of lib/ordinals.
M.CLAIM = {
  storage = "spec.resources.requests.storage", class = "spec.storageClassName", bound = "spec.volumeName",
  volume = kube.path_label(kube.label.volume),
}

-- Why an instance can not stay, by its name.
local function unfit(w)
  local volumes, out, component = {}, {}, kube.component[w.object.kind]
  local spec = w.object.spec.template.spec
  for _, v in ipairs(spec.volumes or {}) do volumes[v.name] = pvc.wish(spec, v) end
  for _, c in ipairs(w.claims or {}) do
    local mine = c.bound and c.group == w.object.metadata.name and c.component == component
    local v = mine and volumes[c.volume or ""]
    if v and c.instance and not out[c.instance] then
      local reason, why = resizing.unfit(v, c)
      if reason then out[c.instance] = { reason = reason, message = why, volume = v } end
    end
  end
  for _, r in ipairs(w.rows or {}) do
    if not out[r.name] and topology.gone(w.object, r) then
      out[r.name] = { reason = "TopologyGone", message = r.name .. " stands where the group places nothing any more" }
    end
  end
  return out
end

-- What a store holds must fit on the disk that its successor gets.
local function too_small(w, m, u)
  if u.reason ~= "VolumeShrink" then return end
  for _, s in ipairs(w.pd and w.pd.known and w.pd.stores or {}) do
    if s.id == m.row.id then
      local used = (tonumber(s.capacity) or 0) - (tonumber(s.available) or 0)
      local size = quantity.parse(u.volume.storage) or 0
      if used > size * FULL then
        return ("store %s of %s holds %d GiB, %s is too small for that"):format(s.id, m.name,
          math.ceil(used / 2 ^ 30), tostring(u.volume.storage))
      end
      return
    end
  end
end

-- Why nobody may be replaced now.
local function held(w, list, wanted)
  local strategy = w.object.spec.updateStrategy
  if strategy and strategy.type == "OnDelete" then
    return "updateStrategy is OnDelete: delete the instance, and another one takes its place first"
  end
  local open, closed = maintenance.open(w)
  if not open then return tostring(closed) end
  local _, blind = failover.blind(w)
  if blind then return blind end
  local leaving = members.where(list, function(m) return m.leaving end)
  if leaving[1] then return ("%s leaves first"):format(leaving[1].name) end
  if #list ~= wanted then return ("%d instances exist, %d are wanted"):format(#list, wanted) end
  for _, m in ipairs(list) do
    if not m.available then return ("%s is not ready, or not for long enough"):format(m.name) end
    if m.outdated then return ("%s has another template"):format(m.name) end
  end
end

-- The first that can go, and what is told of all.
local function choose(w, list)
  local why, first, n = unfit(w), nil, 0
  for _, m in ipairs(list) do
    local u = why[m.name]
    if u and not m.leaving then
      n = n + 1
      local no = m.row.hold and ("%s is held: %s"):format(m.name, m.row.hold) or too_small(w, m, u)
      if not first or first.no and not no then first = { member = m, unfit = u, no = no } end
    end
  end
  return first, n
end

---Step of groups.
---@param list member[]
function M.step(w, p, list)
  local c = choose(w, list)
  if not c or c.no or held(w, list, scaling.wanted(w.object)) then return end
  local m = c.member
  p:event("Normal", "InstanceMoves", "%s is replaced: %s", m.name, c.unfit.message)
  if w.object.kind == "PDGroup" then
    p:delete(kube.ref("PD", m.row), "it is replaced: " .. c.unfit.message)
    return p:wait("Moving", "%s is replaced: %s", m.name, c.unfit.message)
  end
  replacing.mark(p, m, "volume")
end

---Step, among the last: who has to move, and what it waits for.
function M.told(w, p, list)
  local c, n = choose(w, list)
  if not c then return end
  local no = c.no or held(w, list, scaling.wanted(w.object)) or "it is its turn"
  local _, _, after = maintenance.open(w)
  if not c.no and after then
    return p:retry(after, "MoveWaiting", "%d of %d instances have to move; %s: %s", n, #list, c.unfit.message, no)
  end
  p:note(c.no and "VolumeTooSmall" or "MoveWaiting", "%d of %d instances have to move; %s: %s", n, #list,
    c.unfit.message, no)
end

return M
