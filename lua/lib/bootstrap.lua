--- bootstrap: how the first PD members found a cluster, and how later ones join it.
-- Founders are named once, in an annotation of the PDGroup, and nothing may found again where a
-- cluster id was ever recorded: on the Cluster, or on any claim of it.
local kube = require "lib.kube"
local ordinals = require "lib.ordinals"

local M = {}

M.WHOLE = 5 -- seconds that all members are healthy before one joins

---@return string? why founding is forbidden
function M.forbidden(w)
  local id = w.cluster.id
  if id and id ~= "" then return ("the Cluster has PD cluster id %s"):format(id) end
  for _, c in ipairs(w.claims or {}) do
    if c.cluster_id then return ("claim %s carries PD cluster id %s"):format(c.name, c.cluster_id) end
  end
  if w.object.spec.bootstrapped then return "spec.bootstrapped is true" end
end

---Another PDGroup of the cluster that founds, or comes before this one: two would be two clusters.
---@return string? name
function M.other_founder(w)
  local me = w.object.metadata.name
  for _, g in ipairs(w.siblings or {}) do
    if g.name ~= me and (g.founding or not g.deleting and not g.bootstrapped and g.name < me) then return g.name end
  end
end

local function peer_url(w, ordinal)
  local o = w.object
  local server = o.spec.template.spec.server
  local pod = kube.pod_name(kube.instance(o.metadata.name, ordinal), "pd")
  local host = kube.host(pod, kube.peer_service(o.metadata.name, "pd"), o.metadata.namespace, w.cluster.dns)
  return ("%s=%s://%s:%d"):format(pod, w.cluster.tls and "https" or "http", host,
    kube.port(server and server.ports, "peer", 2380))
end

---The recorded founding list, or nil.
function M.recorded(group)
  return (group.metadata.annotations or {})[kube.annotation.initial_cluster]
end

---@param list string "pod=url,pod=url"
---@return string[] pods
function M.founders(list)
  local out = {}
  for _, item in ipairs(text.split(list or "", ",")) do
    local pod = item:match("^([^=]+)=")
    if pod then out[#out + 1] = pod end
  end
  return out
end

---A new founding list of exactly these members.
function M.compose(w, numbers)
  local out = {}
  for n, ordinal in ipairs(numbers) do out[n] = peer_url(w, ordinal) end
  return table.concat(out, ",")
end

---Ordinals of recorded founders that have no instance (a crash in between, or one deleted too early).
function M.missing_founders(w, use)
  local out, prefix = {}, w.object.metadata.name .. "-pd-"
  for _, pod in ipairs(M.founders(M.recorded(w.object))) do
    local n = text.starts(pod, prefix) and tonumber(pod:sub(#prefix + 1))
    if n and not use.instance[n] then out[#out + 1] = n end
  end
  return out
end

---Why nobody may join now; nil: one may.
---@param list member[]
---@return string? reason
---@return string? message
---@return integer? seconds to look again after
function M.join_blocked(w, list)
  local pd = w.pd
  if not (pd and pd.known) then
    return "PDUnknown", "a member joins only when PD answers: " .. tostring(pd and pd.reason or "not asked yet")
  end
  if pd.history then return "PDHistoryChanged", tostring(pd.history) end
  if not pd.leader then return "PDNoLeader", "a member joins only when PD has a leader" end
  local sick, nameless = {}, 0
  for _, m in ipairs(pd.members or {}) do
    if (m.name or "") == "" then
      nameless = nameless + 1
    elseif m.healthy ~= true then
      sick[#sick + 1] = m.name
    end
  end
  if nameless > 0 then return "MemberJoining", ("%d member without a name is joining"):format(nameless) end
  if sick[1] then return "MembersNotHealthy", "not healthy: " .. table.concat(sick, ", ") end
  for _, m in ipairs(list) do
    if not m.deleting and (m.row.id or "") == "" then
      return "MemberJoining", ("%s is joining"):format(m.name)
    end
  end
  -- etcd refuses a joiner until its leader has been connected to everybody for so long
  for _, m in ipairs(list) do
    local since = m.ready and time.parse(m.row.since or "")
    if since and w.now - since <= M.WHOLE then
      return "MemberJoining", ("%s serves since just now"):format(m.name), 1
    end
  end
  -- one that was sick has just left, or come back
  local f = (w.object.status or {}).failover or {}
  local whole = time.parse(f.wholeSince or "")
  if f.members or whole and w.now - whole < M.WHOLE then
    return "MembersNotHealthy", "all are healthy, but only since just now"
  end
end

---What the group should do next to have `wanted` members.
---@param list member[]
---@return {found: string?, create: integer[], founding: boolean}? todo
---@return string? reason
---@return string? message
---@return integer? seconds to look again after
function M.next(w, list, wanted)
  local use = ordinals.use(w)
  local recorded, have = M.recorded(w.object), #list
  if recorded and not w.object.spec.bootstrapped then
    local missing = M.missing_founders(w, use)
    if missing[1] then return { create = missing, founding = true } end
  end
  local missing, why = wanted - have, M.forbidden(w)
  -- disks that are already members come back together: alone they would have no quorum. Also where fewer are
  -- wanted by now: these leave when PD answers
  local all = why ~= nil and not w.object.spec.bootstrapped
  local back = {}
  for _, n in ipairs(use.adoptable) do
    if all or #back < missing then back[#back + 1] = n end
  end
  if back[1] then return { create = back } end
  if missing <= 0 then return { create = {} } end
  if not recorded and not why and have == 0 then
    local other = M.other_founder(w)
    if other then return nil, "FoundingElsewhere", ("PDGroup %s founds PD, this one joins it"):format(other) end
    local numbers = ordinals.free(use, wanted)
    return { create = numbers, founding = true, found = M.compose(w, numbers) }
  end
  if why and have == 0 and not (w.pd and w.pd.known) then
    return nil, "FoundingForbidden", why .. "; no disk of a member is left, and PD does not answer"
  end
  local reason, message, seconds = M.join_blocked(w, list)
  if reason then return nil, reason, message, seconds end
  return { create = ordinals.free(use, 1) }
end

---How one PD starts. A founder uses the founding list until PD was seen to know it as healthy; from
---then on it would join: a wiped disk must never found again.
---@param i instance
---@param recorded_id string? member id on its claims
---@return {initial_cluster: string?, join: string?}? start
function M.start(w, i, recorded_id)
  local o = i.object
  local list = (o.metadata.annotations or {})[kube.annotation.initial_cluster]
  local seen = o.status and (o.status.id or "") ~= "" or recorded_id ~= nil
  if list and not seen then return { initial_cluster = list } end
  if (w.cluster.pd or "") == "" then return nil end
  return { join = w.cluster.pd }
end

---PD has a leader and the Cluster has recorded its id: founding is over for this group.
function M.done(w)
  return w.pd ~= nil and w.pd.known and w.pd.leader ~= nil and not w.pd.history
    and (w.cluster.id or "") ~= "" and w.cluster.id == w.pd.cluster_id
end

return M
