--- resign: how a member leaves PD: never as leader, never against the majority, by its id.
local kube = require "lib.kube"
local deletion = require "lib.deletion"
local pvc = require "lib.pvc"

local M = {}

---The member shall leave, and its Cluster lives.
function M.asked(w) return w.cluster ~= nil and not w.cluster.deleting and w.deleting end

function M.needs(object, i, out)
  if not object.metadata.deletionTimestamp then return end
  out[#out + 1] = { as = "mates", kind = "PD", cluster = i.cluster,
    fields = { name = "metadata.name", deleting = "metadata.deletionTimestamp", id = "status.id",
      group = kube.path_label(kube.label.group) } }
  out[#out + 1] = { as = "wanted", kind = "PDGroup", name = i.group,
    fields = { replicas = "spec.replicas", deleting = "metadata.deletionTimestamp" } }
end

---What keeps any step from relying on PD.
function M.unknown(w)
  local pd = w.pd
  if not (pd and pd.known) then return "PDUnknown", tostring(pd and pd.reason or "PD was not asked yet") end
  if pd.history then return "PDHistoryChanged", tostring(pd.history) end
  local recorded = w.cluster.id or ""
  if recorded ~= "" and recorded ~= pd.cluster_id then
    return "PDHistoryChanged", ("PD has cluster id %s, recorded is %s"):format(pd.cluster_id, recorded)
  end
  if not pd.leader then return "PDNoLeader", "PD has no leader" end
  if not (pd.members and pd.members[1]) then return "PDUnknown", "PD lists no members" end
end

-- The member in question: by id, or by name where none was ever recorded.
local function mine(w, i, id)
  for _, m in ipairs(w.pd.members) do
    if m.id == id or m.name == i.pod then return m end
  end
  -- one that never got its name is known by its peer URL
  for _, m in ipairs(w.pd.members) do
    for _, url in ipairs((m.name or "") == "" and m.peer_urls or {}) do
      if url:find("//" .. i.pod .. ".", 1, true) then return m end
    end
  end
end

-- Another member that leaves too and comes before this one: one change at a time. Those that are not healthy
-- come first: the others wait for them.
local function before(w, i, target)
  local there = {}
  for _, m in ipairs(w.pd.members) do there[m.name or ""] = m end
  for _, m in ipairs(w.mates or {}) do
    local other = m.deleting and m.name ~= i.name and there[kube.pod_name(m.name, "pd")]
    if other then
      local well, mine_well = other.healthy == true, target.healthy == true
      if well == mine_well and m.name < i.name or mine_well and not well then return m.name end
    end
  end
end

local function unreplaced(w, i)
  local group = w.wanted
  if not group or group.deleting then return nil end
  local staying = 0
  for _, m in ipairs(w.mates or {}) do
    if m.group == i.group and not m.deleting then
      if (m.id or "") == "" then return m.name .. " takes its place and is no member yet" end
      staying = staying + 1
    end
  end
  local wanted = tonumber(group.replicas) or 1
  if staying < wanted then return ("%d of %d others are there; one is added first"):format(staying, wanted) end
end

local function successor(w, i, target)
  local going = {}
  for _, m in ipairs(w.mates or {}) do
    if m.deleting then going[kube.pod_name(m.name, "pd")] = true end
  end
  local any
  for _, m in ipairs(w.pd.members) do
    if m.id ~= target.id and m.name ~= i.pod and m.healthy == true and (m.name or "") ~= "" then
      if not going[m.name] then return m.name end
      any = any or m.name
    end
  end
  return any
end

---What happens next to a member that shall leave.
---@return {reason: string, message: string, act: string?, removed: boolean?, after: number?}
function M.next(w, i, id)
  local reason, why = M.unknown(w)
  if reason then return { reason = reason, message = "no member leaves while PD is not certain: " .. why } end
  local mark = id ~= "" and id or pvc.recorded(w, i) or ""
  local target = mine(w, i, mark)
  if not target then
    return { reason = "MemberRemoved", removed = true, message = ("PD does not list %s any more"):format(i.pod) }
  end
  -- a process that outlived its removal joins again on its own: it is the same one, and leaves again
  if id ~= "" and target.id ~= id and not w.deleting then
    return { reason = "StoreIdentity", message = ("PD has member %s under the name %s, recorded is %s"):format(
      target.id, i.pod, id) }
  end
  local others, healthy, nameless = 0, 0, 0
  for _, m in ipairs(w.pd.members) do
    if m.id ~= target.id then
      others = others + 1
      if m.healthy == true then healthy = healthy + 1 end
      if (m.name or "") == "" then nameless = nameless + 1 end
    end
  end
  if others < 1 then return { reason = "LastMember", message = "it is the last member of PD" } end
  if nameless > 0 then return { reason = "MemberJoining", message = "another member is joining" } end
  local first = before(w, i, target)
  if first then return { reason = "MemberLeaving", message = first .. " leaves first" } end
  if target.healthy == true then
    local early = unreplaced(w, i)
    if early then return { reason = "ReplacementNotReady", message = early } end
    if healthy < others then
      return { reason = "MembersNotHealthy", message = ("%d of %d others are healthy"):format(healthy, others) }
    end
  elseif healthy * 2 <= others then
    return { reason = "MembersNotHealthy",
      message = ("%d of %d others are healthy: no majority"):format(healthy, others) }
  end
  if w.pd.leader.id == target.id then
    local to = successor(w, i, target)
    return { reason = "MovingLeader", act = "transfer", to = to, after = 2,
      message = ("leadership of PD goes to %s"):format(tostring(to)) }
  end
  return { reason = "MemberLeaving", act = "remove", target = target, after = 5,
    message = ("member %s leaves PD"):format(i.pod) }
end

---Step: a member that shall leave leaves.
function M.step(w, p, i, id)
  if not M.asked(w) then return end
  local what = M.next(w, i, id)
  p:watch_pd()
  if what.act == "transfer" and what.to then p:pd_transfer_leader(what.to) end
  if what.act == "remove" then p:pd_remove_member(what.target.id, what.target.name or "") end
  if what.removed then return deletion.remove(w, p, i) end
  if what.after then return p:retry(what.after, what.reason, "%s", what.message) end
  return p:wait(what.reason, "%s", what.message)
end

return M
