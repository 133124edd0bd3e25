--- report_cluster: status of the Cluster: PD's address and id, and everything added up.
local kube = require "lib.kube"
local conditions = require "lib.conditions"
local status = require "lib.status"

local M = {}

local function sum(groups)
  local out, wanted = { replicas = 0, readyReplicas = 0, updatedReplicas = 0 }, 0
  for _, g in ipairs(groups) do
    wanted = wanted + (tonumber(g.replicas) or 1)
    out.replicas = out.replicas + (tonumber(g.has) or 0)
    out.readyReplicas = out.readyReplicas + (tonumber(g.ready) or 0)
    out.updatedReplicas = out.updatedReplicas + (tonumber(g.updated) or 0)
    if g.version and (not out.version or semver.compare(g.version, out.version) == -1) then out.version = g.version end
  end
  return out, wanted
end

---URL of PD: the recorded one while its group exists; else the first group's, one that serves first.
---@return string?
function M.pd_url(w)
  local o = w.object
  local scheme = o.spec.tlsCluster and o.spec.tlsCluster.enabled and "https" or "http"
  local old, best = o.status and o.status.pd, nil
  for _, g in ipairs(w.pdgroups or {}) do
    local host = kube.service_host(kube.pd_service(g.name), o.metadata.namespace, o.spec.dns)
    local url = ("%s://%s:%d"):format(scheme, host, tonumber(g.port) or 2379)
    if url == old then return old end
    local serves = (tonumber(g.ready) or 0) > 0
    if not g.deleting and (not best or serves and not best.serves) then best = { url = url, serves = serves } end
  end
  return best and best.url or old
end

---The recorded id stays for ever; another one is history, not news.
function M.id(w)
  local old = w.object.status and w.object.status.id or ""
  if old ~= "" or not (w.pd and w.pd.known) or w.pd.history then return old end
  return w.pd.cluster_id or ""
end

function M.history(w)
  local old = w.object.status and w.object.status.id or ""
  if w.pd and w.pd.history then return tostring(w.pd.history) end
  if w.pd and w.pd.known and old ~= "" and w.pd.cluster_id and w.pd.cluster_id ~= old then
    return ("PD has cluster id %s, recorded is %s"):format(w.pd.cluster_id, old)
  end
end

local function pd_status(w, old)
  local pd = w.pd
  if not (pd and pd.known) then return old.pdStatus end
  local members, healthy = pd.members or {}, 0
  for _, m in ipairs(members) do
    if m.healthy then healthy = healthy + 1 end
  end
  return { leader = pd.leader and pd.leader.name, members = #members, healthyMembers = healthy,
    quorum = pd.leader ~= nil and healthy * 2 > #members }
end

local function stores(w, old)
  local c = w.pd and w.pd.known and w.pd.counts
  if not c then return old.stores end
  return { up = c.Up or 0, disconnected = c.Disconnected or 0, down = c.Down or 0, offline = c.Offline or 0,
    tombstone = c.Tombstone or 0 }
end

---PD leads and every region can be served, as far as PD knows. It needs no TiDB (W-25).
---@return boolean? yes nil: unknown
---@return string reason
---@return string message
function M.available(w)
  local pd = w.pd
  if not (w.object.status and (w.object.status.id or "") ~= "") then
    return false, "WaitingForPD", "no PD cluster yet"
  end
  if not (pd and pd.known) then return nil, "PDUnknown", tostring(pd and pd.reason or "PD was not asked yet") end
  if not pd.leader then return false, "PDNoLeader", "PD has no leader" end
  if not pd.bootstrapped then return false, "WaitingForGroups", "no store has started yet" end
  local c = pd.counts or {}
  local away = (c.Disconnected or 0) + (c.Down or 0)
  local copies = tonumber(pd.replication and (pd.replication.voters or pd.replication.max_replicas)) or 3
  local bears = math.floor((copies - 1) / 2)
  local down = pd.regions and pd.regions.down_peer
  if away > bears and down ~= 0 then
    return false, "StoresUnavailable", ("%d stores are away, %d copies bear %d"):format(away, copies, bears)
  end
  return true, "Available", ("PD leader %s, %d stores Up"):format(pd.leader.name or pd.leader.id, c.Up or 0)
end

local function groups_with(w, test)
  local out = {}
  for _, pair in ipairs { { "PDGroup", w.pdgroups }, { "TiKVGroup", w.tikvgroups } } do
    for _, g in ipairs(pair[2] or {}) do
      if test(g) then out[#out + 1] = pair[1] .. "/" .. g.name end
    end
  end
  return out
end

local function settled_group(w, g, condition)
  return g[condition] == "True" and g.observed == g.generation
    and (g.cluster_generation == nil or g.cluster_generation == w.object.metadata.generation)
end

local function facts_of(w)
  local f = { groups = #(w.pdgroups or {}) + #(w.tikvgroups or {}) }
  f.unready = groups_with(w, function(g) return not settled_group(w, g, "ready_condition") end)
  f.unsynced = groups_with(w, function(g) return not settled_group(w, g, "synced_condition") end)
  f.busy = groups_with(w, function(g) return g.progressing == "True" end)
  f.up = groups_with(w, function(g) return g.suspended_condition ~= "True" end)
  f.updating = groups_with(w, function(g) return g.phase == "Updating" end)
  f.degraded = groups_with(w, function(g) return g.phase == "Degraded" end)
  f.ready = f.groups > 0 and not f.unready[1]
  f.available, f.available_reason, f.available_message = M.available(w)
  return f
end

local UNKNOWN_TOO_LONG = 60 -- seconds

local function phase(w, f)
  local spec, old = w.object.spec, w.object.status or {}
  if w.deleting then return "Deleting" end
  if spec.paused then return "Paused" end
  if spec.suspendAction and spec.suspendAction.suspendCompute then return "Suspended" end
  if f.groups == 0 then return "Pending" end
  local new = old.phase == nil or old.phase == "Pending" or old.phase == "Creating"
  if f.ready and f.available == true then return "Running" end
  if new then return "Creating" end
  if f.available == false then return "Unavailable" end
  if f.degraded[1] or M.history(w) then return "Degraded" end
  if f.updating[1] then return "Updating" end
  -- what is added, or waits to be, takes nothing away from what serves
  if not f.ready then return "Scaling" end
  -- PD was not asked yet (we have just begun), or has not answered for a while
  local since = old.reason == "PDUnknown" and time.parse(old.since or "")
  return since and w.now - since > UNKNOWN_TOO_LONG and "Degraded" or "Running"
end

local function conditions_of(w, f, ph)
  local old, none = w.object.status or {}, f.groups == 0
  local suspended = ph == "Suspended"
  local names = function(list) return table.concat(list, ", ") end
  local degraded = ph == "Degraded" or ph == "Unavailable" or M.history(w) ~= nil
  local list = {
    conditions.of("Ready", f.ready, f.ready and "ClusterReady" or none and "WaitingForGroups" or "GroupsNotReady",
      "%s", none and "no groups" or names(f.unready)),
    conditions.of("Available", f.available, f.available_reason, "%s", f.available_message),
    conditions.of("Progressing", ph == "Deleting" or ph == "Creating" or f.busy[1] ~= nil,
      ph == "Deleting" and "ClusterDeletion" or ph == "Creating" and "ClusterCreation"
        or f.busy[1] and "GroupsProgressing" or "Settled", "%s", names(f.busy)),
    conditions.of("Synced", not none and not f.unsynced[1], not none and not f.unsynced[1] and "ClusterSynced"
      or "GroupsNotSynced", "%s", names(f.unsynced)),
    conditions.of("Suspended", suspended and not f.up[1], suspended and (f.up[1] and "Suspending" or "ClusterSuspend")
      or "Unsuspended"),
    conditions.of("Degraded", degraded, M.history(w) and "PDHistoryChanged" or degraded and "GroupsNotReady"
      or "AsExpected", "%s", M.history(w) or ""),
  }
  return conditions.set(old.conditions, list, w.object.metadata.generation, w.now)
end

---@return table status
---@return number seconds it may wait
function M.of(w, t)
  local old, f = w.object.status or {}, facts_of(w)
  local ph = phase(w, f)
  local s = status.base(w, ph, status.why(t, w.last))
  local pd, pd_wanted = sum(w.pdgroups or {})
  local kv, kv_wanted = sum(w.tikvgroups or {})
  s.observedClusterGeneration = w.object.metadata.generation
  s.id, s.pd, s.history, s.observedMark = M.id(w), M.pd_url(w), M.history(w), old.observedMark
  s.components = json.array {}
  for _, c in ipairs { { "PD", pd, w.pdgroups }, { "TiKV", kv, w.tikvgroups } } do
    if c[3] and c[3][1] then
      c[2].kind = c[1]
      s.components[#s.components + 1] = c[2]
    end
  end
  s.pdReady, s.tikvReady = ("%d/%d"):format(pd.readyReplicas, pd_wanted),
    ("%d/%d"):format(kv.readyReplicas, kv_wanted)
  s.pdStatus, s.stores = pd_status(w, old), stores(w, old)
  if pd.version and kv.version then
    s.version = semver.compare(kv.version, pd.version) == -1 and kv.version or pd.version
  else
    s.version = pd.version or kv.version or old.version
  end
  local gates = {}
  for n, g in ipairs(w.object.spec.featureGates or {}) do gates[n] = { name = g.name, stage = "ALPHA" } end
  s.featureGates = gates[1] and json.array(gates) or nil
  s.conditions = conditions_of(w, f, ph)
  return s, status.delay(old, s, { "phase", "reason", "id", "pd", "observedGeneration", "history" }, 1)
end

return M
