--- lost_member: which members of PD are lost for good. One that PD calls not healthy for memberDownSeconds leaves
-- by its id, and only then a fresh one joins: etcd takes nobody in while a voter is missing. A joiner that
-- never got its name holds up everybody after a minute: it leaves, its disk is wiped, another one joins.
local kube = require "lib.kube"
local failover = require "lib.failover"
local members = require "lib.members"
local questions = require "lib.questions"

local M = {}

M.NAMELESS = 60 -- seconds

-- The pod that a member of this group was made for; nil: it is another group's.
local function pod_of(w, member)
  local prefix = w.object.metadata.name .. "-pd-"
  local function ours(pod) return text.starts(pod, prefix) and pod:sub(#prefix + 1):find "^%d+$" and pod or nil end
  if (member.name or "") ~= "" then return ours(member.name) end
  for _, url in ipairs(member.peer_urls or {}) do
    local pod = ours(url:match "^https?://([^.:/]+)" or "")
    if pod then return pod end
  end
end

---What status remembers: members that are not as they should be and since when we have seen it, and since
---when there was none.
---@param f {members: {id: string, since: string}[]?, wholeSince: string?} is filled
function M.remember(w, f)
  local old, out = (w.object.status or {}).failover or {}, {}
  f.wholeSince, f.members = old.wholeSince, old.members
  if not (w.pd and w.pd.known) then return end
  local since = {}
  for _, m in ipairs(old.members or {}) do since[m.id] = m.since end
  for _, m in ipairs(w.pd.members or {}) do
    if pod_of(w, m) and (m.healthy == false or (m.name or "") == "") then
      out[#out + 1] = { id = m.id, since = since[m.id] or time.format(w.now) }
    end
  end
  if old.members and not out[1] then f.wholeSince = time.format(w.now) end
  f.members = out[1] and json.array(out) or nil
end

---@class lost_member
---@field member table of PD
---@field pod string
---@field instance member?
---@field nameless boolean
---@field expelled boolean? PD does not list it
---@field left number seconds until it counts as lost

---Members that are not healthy, those that count as lost first.
---@param list member[]
---@return lost_member[]
function M.suspects(w, list, limits)
  local since, by_pod, out = {}, {}, {}
  for _, s in ipairs((w.object.status or {}).failover and w.object.status.failover.members or {}) do
    since[s.id] = time.parse(s.since)
  end
  for _, m in ipairs(list) do by_pod[m.pod] = m end
  for _, m in ipairs(w.pd.members or {}) do
    local pod, nameless = pod_of(w, m), (m.name or "") == ""
    if pod and (nameless or m.healthy == false) then
      local limit = nameless and M.NAMELESS or limits.member
      local seen = math.min(w.now - (since[m.id] or w.now), failover.watched(w))
      out[#out + 1] = { member = m, pod = pod, instance = by_pod[pod], nameless = nameless,
        left = math.max(limit - seen, 0) }
    end
  end
  -- one that PD does not list any more was pushed out: by hand, or when another went on alone
  for _, m in ipairs(list) do
    local id, away = m.row.id or "", time.parse(m.row.since or "")
    local listed = id == "" or m.leaving or m.ready
    for _, x in ipairs(w.pd.members or {}) do listed = listed or x.id == id or x.name == m.pod end
    if not listed then
      local seen = math.min(away and w.now - away or 0, failover.watched(w))
      out[#out + 1] = { member = { id = id }, pod = m.pod, instance = m, nameless = false, expelled = true,
        left = math.max(limits.member - seen, 0) }
    end
  end
  table.sort(out, function(a, b)
    if a.left ~= b.left then return a.left < b.left end
    return a.pod < b.pod
  end)
  return out
end

-- One change at a time: nobody else leaves, and nobody is still to come. A healthy one that shall leave waits
-- until all others are healthy: it would wait for the lost one for ever.
local function busy(w, list, s)
  for _, m in ipairs(list) do
    local waits = m.pd and m.pd.healthy == true and not s.expelled
    if m.deleting and not waits then return m.name .. " leaves first" end
  end
  for _, m in ipairs(members.live(list)) do
    local there = false
    for _, p in ipairs(w.pd.members or {}) do there = there or p.name == m.pod or pod_of(w, p) == m.pod end
    if not there and (m.row.id or "") == "" then return m.name .. " joins first" end
  end
end

---Step of PDGroup: a lost member leaves. Its pod, its disks and its place follow by themselves.
function M.step(w, p, list)
  if not w.object.spec.bootstrapped or failover.blind(w) then return end
  local limits = failover.limits(w)
  local s = M.suspects(w, list, limits)[1]
  if not s or s.left > 0 or busy(w, list, s) or not limits.enabled or limits.most == 0 then return end
  local m = s.instance
  if m and m.row.hold then return end
  local ok, why = questions.can(w, "can_fail_over", { group = w.object.metadata.name, component = "pd",
    instance = m and m.name or s.pod, store = s.member.id, seconds = limits.member }, p)
  if not ok then return p:retry(30, "PolicyDenied", "can_fail_over: %s", why) end
  p:watch_pd()
  if m then
    p:delete(kube.ref("PD", m.row), s.nameless and "it never joined" or "its member is lost")
  else
    p:pd_remove_member(s.member.id, s.member.name or "")
  end
  p:event("Warning", "MemberLost", "member %s of PD (%s) %s; it leaves, then a fresh one joins", s.member.id, s.pod,
    s.nameless and "never finished joining" or s.expelled and "is not listed by PD any more" or ("was not healthy for %d minutes"):format(limits.member / 60))
end

M.QUORUM = 120 -- seconds without a leader until the way back is told

-- PD has no leader, and not for a moment: a person is told what there is to do.
local function leaderless(w, p, list)
  local f = (w.object.status or {}).failover or {}
  local since = time.parse(f.unknownSince or "")
  if not since then return end
  local left, ids, running = since + M.QUORUM - w.now, 0, {}
  for _, m in ipairs(list) do
    local member = (m.row.id or "") ~= ""
    if member then ids = ids + 1 end
    for _, pod in ipairs(w.pods or {}) do
      if member and pod.name == m.pod and pod.phase == "Running" then running[#running + 1] = m.name end
    end
  end
  local why = tostring(w.pd and w.pd.reason or "it has no leader")
  if left > 0 then return p:retry(left, "PDUnknown", "PD can not be asked: %s", why) end
  local some = running[1] and ": " .. table.concat(running, ", ") or ""
  return p:retry(60, "QuorumLost", "PD has had no leader since %s (%s); pods of %d of %d members run%s", f.unknownSince,
    why, #running, ids, some)
    :hint("a majority of members must run: see explain of each PD. If their disks are lost for good: kubectl tikv "
      .. "recover pd %s --survivor %s (a dry run; then with --confirm %s)", w.object.spec.cluster.name,
      running[1] or "PD", w.cluster.id or "CLUSTER_ID")
end

---Step, before the group settles: who is missed, and what is done about it.
---@return verdict?
function M.told(w, p, list)
  if not w.object.spec.bootstrapped then return end
  if not (w.pd and w.pd.known and w.pd.leader) then return leaderless(w, p, list) end
  local limits = failover.limits(w)
  local s = M.suspects(w, list, limits)[1]
  if not s then return end
  local what = s.nameless and ("member %s of PD (%s) has not finished joining"):format(s.member.id, s.pod)
    or s.expelled and ("PD does not list member %s (%s) any more"):format(s.member.id, s.pod)
    or ("member %s of PD is not healthy"):format(s.pod)
  local reason, why = failover.blind(w)
  if reason then return p:retry(30, reason, "%s; %s", what, why) end
  p:watch_pd()
  if not limits.enabled or limits.most == 0 then
    return p:retry(60, "FailoverOff", "%s; failover is off in this group", what)
  end
  if s.instance and s.instance.row.hold then return p:wait("Held", "%s; it is held: %s", what, s.instance.row.hold) end
  if s.left > 0 then
    return p:retry(math.min(s.left, 60), s.nameless and "MemberJoining" or "MemberUnhealthy",
      "%s; after %d seconds it is replaced", what, s.nameless and M.NAMELESS or limits.member)
  end
  return p:retry(5, "MemberUnhealthy", "%s; %s", what, busy(w, list, s) or "it is removed and replaced")
end

return M
