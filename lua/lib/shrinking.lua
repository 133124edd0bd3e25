--- shrinking: how a group parts with instances. It only chooses and asks: a TiKV gets spec.offline, a PD is
-- deleted, and each leaves PD by itself (lib/offline, lib/resign).
local kube = require "lib.kube"
local hooks = require "lib.hooks"
local members = require "lib.members"
local questions = require "lib.questions"
local victim = require "lib.victim"

local M = {}

---Fields of TiKV rows that are needed to write spec.offline and keep all the rest as it is.
function M.fields(group)
  local s = group.status or {}
  local moving = s.reason == "ScalingIn" or s.reason == "Replacing"
  if not (moving or (s.replicas or 0) > (tonumber(group.spec.replicas) or 1)) then return members.ROW end
  return kube.merge({ labels = "metadata.labels", annotations = "metadata.annotations", spec = "spec" }, members.ROW)
end

---The instance as it is, but for this one wish: a store that leaves gets no new template.
function M.respec(w, m, offline)
  local g, r = w.object, m.row
  local o = kube.object(kube.instance_kind[kube.component[g.kind]], g.metadata.namespace, m.name, kube.clone(r.labels))
  o.metadata.annotations = kube.clone(r.annotations)
  o.metadata.uid, o.metadata.finalizers = r.uid, { kube.FINALIZER }
  o.spec = kube.clone(r.spec)
  o.spec.offline = offline or nil
  return kube.own(o, g)
end

local function names(list)
  local out = {}
  for n, m in ipairs(list) do out[n] = m.name end
  return json.array(out)
end

---Step: instances whose store has left for good go.
function M.removed(w, p, list)
  for _, m in ipairs(list) do
    if p:full() then return end
    if m.row.phase == "Removed" and not m.deleting then
      p:delete(kube.ref(kube.instance_kind[kube.component[w.object.kind]], m.row), "its store has left")
    end
  end
end

---More are wanted again: those with most left to move stay after all.
---@return verdict?
function M.call_back(w, p, list, lacking)
  local going = members.where(list, function(m)
    return m.row.offline == true and not m.deleting and not m.row.replace and m.row.phase ~= "Removed"
  end)
  if not going[1] then return nil end
  local stores = {}
  for _, s in ipairs(w.pd and w.pd.known and w.pd.stores or {}) do
    if s.state ~= "Tombstone" then stores[s.id] = tonumber(s.regions) or 0 end
  end
  table.sort(going, function(a, b)
    local x, y = stores[a.row.id or ""] or -1, stores[b.row.id or ""] or -1
    if x ~= y then return x > y end
    return a.name < b.name
  end)
  local called = {}
  for n = 1, math.min(lacking, #going) do
    if not going[n].row.spec then return p:retry(1, "ScalingIn", "%d stores leave; some shall stay", #going) end
    p:apply(M.respec(w, going[n], false))
    called[n] = going[n]
  end
  return p:wait("ScalingOut", "%s stays after all", members.some(called))
end

local function allowed(w, victims, wanted)
  return questions.can(w, "can_scale_in", { group = w.object.metadata.name,
    component = kube.component[w.object.kind], victims = names(victims), replicas = wanted })
end

---Step of TiKVGroup: victims are marked; each leaves when the rest can do without it.
function M.tikv(w, p, list, wanted)
  local live = members.live(list)
  if #live <= wanted then return end
  local chosen = victim.choose(w, live, #live - wanted)
  for _, m in ipairs(chosen) do
    if not m.row.spec then
      return p:retry(1, "ScalingIn", "%d stores, %d wanted: %s leave", #live, wanted, members.some(chosen))
    end
  end
  local ok, why = allowed(w, chosen, wanted)
  if not ok then return p:retry(30, "PolicyDenied", "can_scale_in: %s", why) end
  local before = hooks.begin(w, p, "ScaleIn", hooks.scale_key(w), { instances = names(chosen) })
  if before then return before end
  for _, m in ipairs(chosen) do
    if p:full() then break end
    if (m.row.id or "") == "" then
      p:delete(kube.ref("TiKV", m.row), "fewer are wanted, and it has never served")
    else
      p:apply(M.respec(w, m, true))
    end
  end
  return p:wait("ScalingIn", "%d stores, %d wanted: %s leave", #live, wanted, members.some(chosen))
    :progress { done = 0, total = #chosen }
end

-- Why no member may leave now.
local function held(w, list, chosen)
  local pd = w.pd
  if not w.object.spec.bootstrapped then return "Founding", "PD is being founded" end
  if not (pd and pd.known) then return "PDUnknown", tostring(pd and pd.reason or "PD was not asked yet") end
  if pd.history then return "PDHistoryChanged", tostring(pd.history) end
  if not pd.leader then return "PDNoLeader", "PD has no leader" end
  -- a deletion can not be taken back: the last one is not even asked to go
  if #(pd.members or {}) < 2 then return "LastMember", chosen.name .. " is the last member of PD" end
  for _, m in ipairs(list) do
    if m.deleting then return "ScalingIn", m.name .. " leaves first" end
  end
  for _, m in ipairs(pd.members or {}) do
    if (m.name or "") == "" then return "MemberJoining", "a member without a name is joining" end
    if m.name ~= chosen.pod and m.healthy ~= true then return "MembersNotHealthy", "not healthy: " .. m.name end
  end
end

---Step of PDGroup: one at a time, and only while all others are healthy.
function M.pd(w, p, list, wanted)
  local live = members.live(list)
  if #live <= wanted then return end
  local chosen = victim.choose(w, live, 1)[1]
  local reason, why = held(w, list, chosen)
  if not reason then
    for _, m in ipairs(live) do
      if m ~= chosen and m.ready and not m.available then
        return p:retry(math.max(m.left, 1), "ScalingIn", "%d members, %d wanted; %s is ready since just now",
          #live, wanted, m.name)
      end
    end
  end
  if reason then
    p:watch_pd()
    return p:retry(5, reason, "%d members, %d wanted: %s", #live, wanted, why)
  end
  local ok, no = allowed(w, { chosen }, wanted)
  if not ok then return p:retry(30, "PolicyDenied", "can_scale_in: %s", no) end
  local before = hooks.begin(w, p, "ScaleIn", hooks.scale_key(w), { instances = { chosen.name } })
  if before then return before end
  p:delete(kube.ref("PD", chosen.row), "fewer are wanted")
  return p:wait("ScalingIn", "%d members, %d wanted: %s leaves", #live, wanted, chosen.name)
end

---Step, among the last: what is on its way out is told.
function M.leaving(_, p, list)
  local going = members.where(list, function(m) return m.leaving and not (m.replaced and not m.deleting) end)
  if not going[1] then return end
  local first = going[1]
  return p:wait("ScalingIn", "%d leave: %s; %s: %s", #going, members.some(going), first.name,
    first.row.message or first.row.phase or "not looked at yet")
    :progress { done = #list - #going, total = #list }
end

return M
