--- restart_member: how a running member of PD is restarted: never as leader, never without a majority.
local kube = require "lib.kube"
local resign = require "lib.resign"
local restart = require "lib.restart"

local M = {}

function M.needs(object, i, out)
  if not restart.needs(object, i, out) then return end
  out[#out + 1] = { as = "mates", kind = "PD", cluster = i.cluster, fields = { name = "metadata.name" } }
end

-- Who leads next: best one that has its restart behind it.
local function successor(w, i, members)
  local renewed, deleting = {}, {}
  for _, r in ipairs(w.pods or {}) do
    renewed[r.name], deleting[r.name] = r.revision == i.revision, r.deleting ~= nil
  end
  local best
  for _, m in ipairs(members) do
    if m.healthy == true and not deleting[m.name] and (not best or renewed[m.name] and not renewed[best]) then
      best = m.name
    end
  end
  return best
end

-- Why PD can not do without this member now.
local function unfit(w, i, others)
  local sick = {}
  for _, m in ipairs(others) do
    if (m.name or "") == "" then return "MemberJoining", "a member without a name is joining" end
    if m.healthy ~= true then sick[#sick + 1] = m.name end
  end
  if sick[1] then return "MembersNotHealthy", "not healthy: " .. table.concat(sick, ", "), 5 end
  -- PD learns only at its next poll that a pod is away
  local serves = {}
  for _, r in ipairs(w.pods or {}) do serves[r.name] = r.ready == "True" and not r.deleting end
  for _, m in ipairs(w.mates or {}) do
    local pod = kube.pod_name(m.name, "pd")
    if pod ~= i.pod and not serves[pod] then return "MembersNotHealthy", "not ready: " .. pod, 5 end
  end
end

---Step: a pod that is to be made again is stopped with care.
---@return verdict?
function M.step(w, p, i, id, found)
  local _, wrong = restart.asked(w.object)
  if wrong then p:note("InvalidSpec", "%s", wrong) end
  local due = restart.due(w, i)
  if not due then return end
  local hold = restart.hold(w.object)
  if hold then return p:wait("Held", "held by a person: %s", hold) end
  local sick = found and found.healthy == false
  local idle = w.pod.ready ~= "True" and not (found and found.healthy and restart.running(w, i))
  if sick or idle then return restart.now(w, p, i, due) end
  local reason, why, after = restart.closed(w, p, i, due)
  if not reason and id == "" then
    local left = restart.young(w)
    if left == 0 then return restart.now(w, p, i, due) end
    reason, why, after = "Starting", "PD has not seen " .. i.pod .. " yet", left
  end
  if not reason then reason, why = resign.unknown(w) end
  local others = {}
  for _, m in ipairs(w.pd and w.pd.members or {}) do
    if m.name ~= i.pod then others[#others + 1] = m end
  end
  if not reason then reason, why, after = unfit(w, i, others) end
  p:watch_pd()
  if reason then return restart.wait(p, reason, why, after) end
  if w.pd.leader.name == i.pod and others[1] then
    local to = successor(w, i, others)
    if to then p:pd_transfer_leader(to) end
    return p:retry(2, "MovingLeader", "leadership of PD goes to %s before pod %s is restarted", tostring(to), i.pod)
  end
  return restart.now(w, p, i, due)
end

return M
