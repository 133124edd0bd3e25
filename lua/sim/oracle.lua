--- oracle: judges every write of the operator against the true state of the model.
-- The ids are those of the invariants (S1..S20). The model is asked, never the operator's view.
local regions = require "sim.oracle_regions"
local restarts = require "sim.oracle_restarts"
local truth = require "sim.truth"

local M = {}
local get, list, label, annotation = truth.get, truth.list, truth.label, truth.annotation
local founded, calm = 0, nil

local LATE_MS = 100 -- longer than any way without faults; what a write relied on may have gone meanwhile

--- S8: children belong to a live owner of the same uid. S14: everything has an owner, in its namespace.
local function owned(c, o)
  local owner = truth.controller(o)
  if not owner then
    if c.resource ~= "persistentvolumeclaims" then
      return ("S14: %s %s was written and nobody owns it"):format(c.resource, c.name)
    end
    return not annotation(o, "owner-uid") and "S14: a claim without its owner's uid" or nil
  end
  local live = truth.of_kind(c.ns, owner.kind, owner.name)
  if (not live or live.metadata.uid ~= owner.uid) and (c.age_ms or 0) < LATE_MS then
    return ("S8: %s %s was created for %s %s, which is gone"):format(c.resource, c.name, owner.kind, owner.name)
  end
end

local function cluster_of(ns, o)
  local name = label(o, "cluster")
  return name and truth.of_kind(ns, "Cluster", name)
end

--- A Cluster that is deleted, and says that its data may go.
local function gives_up_data(ns, o)
  local cluster = cluster_of(ns, o)
  if not cluster or not cluster.metadata.deletionTimestamp then return false end
  local policy = cluster.spec and cluster.spec.persistentVolumeClaimRetentionPolicy or {}
  return policy.whenDeleted == "Delete"
end

local function claim_removed(c)
  if gives_up_data(c.ns, c.old) then return end
  local store, cluster = truth.store_on(c.old)
  if store then
    local _, peers = cluster:counts(store.id)
    if store.node_state ~= 3 or peers > 0 then
      return ("S1: claim %s was deleted while store %s holds %d peers"):format(c.name, store.id, peers)
    end
  end
  local member = truth.member_on(c.old)
  if member and not member.removed then
    return ("S1: claim %s was deleted while %s is a member of PD"):format(c.name, member.name)
  end
end

--- S6: PD outlives the stores.
local function pd_stopped(c)
  if label(c.old, "component") ~= "pd" then return end
  for _, pod in ipairs(list(("/api/v1/namespaces/%s/pods"):format(c.ns))) do
    if label(pod, "component") == "tikv" and label(pod, "cluster") == label(c.old, "cluster") then
      return ("S6: pod %s was stopped before %s"):format(c.name, pod.metadata.name)
    end
  end
end

local function pod_removed(c)
  local kind = label(c.old, "component") == "pd" and "PD" or "TiKV"
  local owner = truth.controller(c.old)
  local cr = owner and truth.of_kind(c.ns, kind, owner.name)
  local phase = c.old.status and c.old.status.phase
  if not cr or cr.metadata.uid ~= owner.uid then return end -- nobody's pod: the collector would do the same
  local cluster = truth.of_kind(c.ns, "Cluster", cr.spec.cluster.name)
  local suspend = cluster and cluster.spec.suspendAction and cluster.spec.suspendAction.suspendCompute
  if phase == "Failed" or phase == "Succeeded" or suspend then return end
  if cluster and cluster.metadata.deletionTimestamp then return pd_stopped(c) end
  local lost = regions.pod_stopped(c, cr)
  if lost then return lost end
  if (c.age_ms or 0) >= LATE_MS then return end -- of the very version that was meant: nothing could have stopped it
  if not cr.metadata.deletionTimestamp then return restarts.pod_stopped(c, cr, cluster) end
  if not cluster then return end
  for _, claim in ipairs(list(("/api/v1/namespaces/%s/persistentvolumeclaims"):format(c.ns))) do
    local same = label(claim, "instance") == label(c.old, "instance")
    if same and label(claim, "component") == label(c.old, "component") then
      local store, member = truth.store_on(claim), truth.member_on(claim)
      -- one that registered since PD was last asked could not be known
      local new = store and sim.now_ms() - (store.start_ms or 0) < 12000
      if store and store.node_state ~= 3 and not new or member and member.started and not member.removed then
        return ("S6: pod %s was stopped and its store or member is still in PD"):format(c.name)
      end
    end
  end
end

local function node_gone(name)
  local node = get("/api/v1/nodes/" .. name)
  if not node then return true end
  for _, t in ipairs(node.spec and node.spec.taints or {}) do
    if t.key == "node.kubernetes.io/out-of-service" then return true end
  end
  return false
end

--- S5: nothing is forced away from a node that may still run it.
local function pod_forced(c)
  local phase, node = c.old.status and c.old.status.phase, c.old.spec.nodeName
  if not node or phase == "Failed" or phase == "Succeeded" or (c.age_ms or 0) >= LATE_MS then return end
  if not node_gone(node) then
    return ("S5: pod %s was forced away from %s, which may still run it"):format(c.name, node)
  end
end

--- S4: a majority of PD was healthy after each removal; what died a moment ago nobody could know.
local function majority()
  for _, ns in ipairs { "default", "other" } do
    for _, cluster in ipairs(truth.pd_clusters(ns)) do
      if cluster.left_without then
        return ("S4: without %s no majority of PD was left"):format(cluster.left_without)
      end
    end
  end
end

--- S3: one lost store, one spare.
local function bred(c)
  local of = annotation(c.now, "spare-for")
  for _, o in ipairs(of and list(truth.core(c.ns, "tikvs")) or {}) do
    if o.metadata.uid ~= c.now.metadata.uid and annotation(o, "spare-for") == of
      and not o.metadata.deletionTimestamp and not o.spec.offline and (c.age_ms or 0) < LATE_MS then
      return ("S3: %s and %s both replace one store"):format(c.name, o.metadata.name)
    end
  end
end

--- S4: members join one at a time. Those whose disk is a member's come back as they like.
local function joiner(c)
  local all = truth.pd_clusters(c.ns)
  local cluster = all[#all]
  if annotation(c.now, "initial-cluster") or not cluster then return end
  for _, claim in ipairs(list(("/api/v1/namespaces/%s/persistentvolumeclaims"):format(c.ns))) do
    if label(claim, "instance") == c.name and label(claim, "component") == "pd" then return end
  end
  local started = {}
  for _, m in ipairs(cluster.members) do
    if m.name then started[m.name] = m.started end
  end
  for _, o in ipairs(list(truth.core(c.ns, "pds"))) do
    local pod = o.metadata.name:gsub("%-(%d+)$", "-pd-%1")
    if o.metadata.uid ~= c.now.metadata.uid and not o.metadata.deletionTimestamp and not started[pod] then
      return ("S4: %s joins PD while %s has not joined yet"):format(c.name, o.metadata.name)
    end
  end
end

local function claims_of(pod)
  local out = {}
  for _, v in ipairs(pod.spec.volumes or {}) do
    if v.persistentVolumeClaim then out[v.persistentVolumeClaim.claimName] = true end
  end
  return out
end

--- S5: one claim, one living pod; and the claim is the instance's own.
local function pod_added(c)
  local mine = claims_of(c.now)
  for _, pod in ipairs(list(("/api/v1/namespaces/%s/pods"):format(c.ns))) do
    if pod.metadata.uid ~= c.now.metadata.uid then
      for name in pairs(claims_of(pod)) do
        if mine[name] then return ("S5: pods %s and %s on one claim"):format(c.name, pod.metadata.name) end
      end
    end
  end
  local owner = truth.controller(c.now)
  for name in sim.pairs(mine) do
    local claim = get(("/api/v1/namespaces/%s/persistentvolumeclaims/%s"):format(c.ns, name))
    if claim and annotation(claim, "owner-uid") ~= owner.uid then
      return ("S5: pod %s mounts claim %s, which is another's"):format(c.name, name)
    end
  end
end

-- "50Gi" and "52Gi": the schedules use no other unit.
local function size(o)
  return tonumber((o.spec.resources and o.spec.resources.requests.storage or ""):match "^(%d+)Gi$")
end

local function has(items, x)
  for _, y in ipairs(items or {}) do if x == y then return true end end
  return false
end

local function text_has(ids, id)
  return ids ~= nil and id ~= nil and ("," .. ids .. ","):find("," .. id .. ",", 1, true) ~= nil
end

--- S12: what may never change once it is there, and what only grows.
local function monotone(c)
  if not c.old or not c.now then return end
  for _, field in ipairs { "id", "clusterID" } do
    local was = c.old.status and c.old.status[field]
    local is = c.now.status and c.now.status[field]
    local kept = field == "id" and has(c.now.status and c.now.status.formerStores, was)
    if was and was ~= "" and was ~= is and not kept then
      return ("S12: %s %s status.%s went from %s to %s"):format(c.resource, c.name, field, was, tostring(is))
    end
  end
  for _, key in ipairs { "cluster-id", "store-id", "member-id" } do
    local was = label(c.old, key)
    local is = label(c.now, key)
    local kept = key == "store-id" and text_has(annotation(c.now, "former-stores"), was)
    if was and was ~= is and not kept then
      return ("S12: %s %s: label %s went from %s to %s"):format(c.resource, c.name, key, was, tostring(is))
    end
  end
  if c.resource == "persistentvolumeclaims" and (size(c.now) or 0) < (size(c.old) or 0) then
    return ("S12: claim %s shrinks"):format(c.name)
  end
  local g, seen = c.now.status and c.now.status.observedGeneration, c.old.status and c.old.status.observedGeneration
  if g and seen and g < seen then return ("S12: %s %s observedGeneration went back"):format(c.resource, c.name) end
end

local function condition(o, kind)
  for _, x in ipairs(o.status and o.status.conditions or {}) do
    if x.type == kind then return x.status == "True", x end
  end
end

--- S19: what status claims is so. A moment's delay is fine: the store must be there, not be up.
local function honest(c)
  local component = c.resource:match "^(%a+)s%.core%.tikv%.org$"
  if not c.now or not c.now.status or c.subresource ~= "status" or not component then return end
  local s = c.now.status
  if s.observedGeneration and s.observedGeneration > c.now.metadata.generation then
    return ("S19: %s %s has observed generation %d of %d"):format(c.resource, c.name, s.observedGeneration,
      c.now.metadata.generation)
  end
  if component == "tikv" then
    if condition(c.now, "Ready") and not (s.id or ""):find "^%d+$" then
      return ("S19: TiKV %s is Ready without a store"):format(c.name)
    end
    local id_changed = (s.id or "") ~= "" and (c.old.status or {}).id ~= s.id
    if id_changed then
      local store = truth.store(c.ns, s.id)
      local host = annotation(c.now, "host")
      if not store then return ("S19: TiKV %s claims store %s, which PD has never had"):format(c.name, s.id) end
      if host and not store.address:find(host, 1, true) then
        return ("S19: TiKV %s claims store %s of %s"):format(c.name, s.id, store.address)
      end
    end
  end
end

--- S4: PD is founded a second time only where nothing of the first is left.
local function founding()
  local now = truth.founded()
  if now == founded then return end
  founded = now
  for _, ns in ipairs { "default", "other" } do
    local all = truth.pd_clusters(ns)
    if #all > 1 then
      for _, claim in ipairs(list(("/api/v1/namespaces/%s/persistentvolumeclaims"):format(ns))) do
        local _, cluster = truth.member_on(claim)
        if cluster and cluster ~= all[#all] then
          return ("S4: PD was founded a second time in %s; claim %s has the first one's data"):format(ns,
            claim.metadata.name)
        end
      end
    end
  end
end

--- S17, L4: a Cluster disappears when its pods and groups are gone, not before.
local function cluster_removed(c)
  for _, plural in ipairs { "pdgroups", "tikvgroups", "pds", "tikvs" } do
    for _, o in ipairs(list(truth.core(c.ns, plural))) do
      if o.spec.cluster.name == c.name then
        return ("S17: Cluster %s is gone before %s %s"):format(c.name, plural, o.metadata.name)
      end
    end
  end
  for _, pod in ipairs(list(("/api/v1/namespaces/%s/pods"):format(c.ns))) do
    if label(pod, "cluster") == c.name then
      return ("S17: Cluster %s is gone before pod %s"):format(c.name, pod.metadata.name)
    end
  end
end

--- S14: what is changed or deleted was ours before.
local function was_ours(c)
  if not c.old or c.resource:find("core.tikv.org", 1, true) or c.resource == "persistentvolumes" then return end
  if (c.old.metadata.labels or {}).foreign then return ("S14: %s %s is somebody else's"):format(c.resource, c.name) end
  if c.resource == "persistentvolumeclaims" then return end
  local owner = truth.controller(c.old)
  if not owner or not owner.apiVersion:find("^core%.tikv%.org/") then
    return ("S14: %s %s is not ours and was written"):format(c.resource, c.name)
  end
end

local OURS = {
  ["pods"] = true, ["configmaps"] = true, ["persistentvolumeclaims"] = true, ["services"] = true,
  ["controllerrevisions.apps"] = true, ["poddisruptionbudgets.policy"] = true,
  ["pds.core.tikv.org"] = true, ["tikvs.core.tikv.org"] = true,
}
-- What a person need not learn at once: it is written up to two minutes late.
local FIGURES = { leaders = true, regions = true, available = true, capacity = true, figuresTime = true, state = true,
  storeState = true, clusterID = true, volumes = true }

local function same(a, b)
  return sim.encode { a } == sim.encode { b }
end

local function only_figures(c)
  if c.resource ~= "tikvs.core.tikv.org" or not c.old or not c.now then return false end
  for _, pair in ipairs { { c.old.status or {}, c.now.status or {} }, { c.now.status or {}, c.old.status or {} } } do
    for k, v in pairs(pair[1]) do
      if not FIGURES[k] and not same(v, pair[2][k]) then return false end
    end
  end
  return true
end

--- S20: nothing is written when nothing changes; a store's figures, which may be late, once.
local function quiet(c)
  if not calm then return end
  local key = c.ns .. "/" .. c.name
  if only_figures(c) and not calm[key] then
    calm[key] = true
    return
  end
  return ("S20: %s %s was written although nothing changes"):format(c.resource, c.name)
end

local function deletion_asked(c)
  return c.old and c.now and c.now.metadata.deletionTimestamp and not c.old.metadata.deletionTimestamp
end

--- Judge one committed write of an operator. Returns the violated invariant as text, or nil.
function M.committed(c)
  local why = founding() or majority()
  if why then return why end
  if c.resource == "events" then return end
  if c.ns ~= "default" and c.ns ~= "other" and c.ns ~= "tikv-system" and c.resource ~= "persistentvolumes" then
    return ("S14: a write in namespace %s"):format(c.ns)
  end
  why = quiet(c) or monotone(c) or honest(c) or was_ours(c)
  if why then return why end
  local gone, asked = c.old and not c.now, deletion_asked(c)
  if c.resource == "persistentvolumeclaims" and (gone or asked) then return claim_removed(c) end
  if c.resource == "persistentvolumes" and (gone or asked) then return "S1: a volume was deleted" end
  if c.resource == "clusters.core.tikv.org" and gone then return cluster_removed(c) end
  if c.resource == "pods" and gone then return pod_forced(c) end
  if c.resource == "pods" and asked then return pod_removed(c) end
  if OURS[c.resource] and c.now and not c.old then
    why = owned(c, c.now)
    if why then return why end
    if c.resource == "pods" then return pod_added(c) end
    if c.resource == "pds.core.tikv.org" then return joiner(c) end
    if c.resource == "tikvs.core.tikv.org" then return bred(c) end
  end
end

--- From now on (true) nothing changes any more.
function M.calm(on) calm = on and {} or nil end

function M.start() restarts.start() end

return M
