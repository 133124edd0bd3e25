--- oracle_restarts: judges restarts: who is stopped, why, with what besides, and what is left of it.
local changes = require "sim.changes"
local truth = require "sim.truth"

local M = {}
local label, annotation, list, core = truth.label, truth.annotation, truth.list, truth.core
local stopped = {} -- "ns/pod" -> uid of a pod that served and that the operator has stopped

local LATE_MS = 100
local DEADLINE = 300 -- seconds that leaders are given

local function ready(pod)
  for _, x in ipairs(pod.status and pod.status.conditions or {}) do
    if x.type == "Ready" then return x.status == "True" end
  end
  return false
end

local function seconds(rfc3339)
  local y, mo, d, h, mi, s = (rfc3339 or ""):match "^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)"
  return y and ((tonumber(y) * 372 + tonumber(mo) * 31 + tonumber(d)) * 86400 + h * 3600 + mi * 60 + s) or 0
end

--- S13: another revision, or a person's wish that is younger than the pod.
local function cause(c, cr)
  local was, is = label(c.old, "revision"), label(cr, "revision")
  local wish = annotation(cr, "restart")
  if was and is and was ~= is then return true end
  return wish and seconds(wish) > seconds(c.old.metadata.creationTimestamp)
end

--- S3, S4: of those that the operator stopped and that served, one at a time.
local function others(c, cluster)
  local component = label(c.old, "component")
  local most = component == "pd" and 1
    or cluster.spec.disruption and cluster.spec.disruption.maxUnavailableStores or 1
  local away = {}
  for key, it in sim.pairs(stopped) do
    if it.ns == c.ns and it.cluster == label(c.old, "cluster") and it.component == component and it.name ~= c.name then
      away[#away + 1] = key:match "/(.+)$"
    end
  end
  if #away >= most then
    return ("%s: pod %s was stopped while %s is not back"):format(component == "pd" and "S4" or "S3", c.name,
      table.concat(away, ", "))
  end
end

--- S7: a store that serves is stopped without leaders, or after it was given time.
local function leaders(c, cr)
  if label(c.old, "component") ~= "tikv" then return end
  local store, pd = truth.store(c.ns, (cr.status or {}).id or "")
  if not store or not pd:alive(store.id) or store.node_state ~= 1 or pd.evict_saved[store.id] then return end
  local led, others_up = pd:counts(store.id), 0
  for id in sim.pairs(pd.stores) do
    if id ~= store.id and pd:alive(id) then others_up = others_up + 1 end
  end
  local mark = annotation(cr, "evicting")
  if led == 0 or others_up == 0 or mark and seconds(sim.wall()) - seconds(mark) >= DEADLINE then return end
  return ("S7: pod %s was stopped with %d leaders and nothing sent them away"):format(c.name, led)
end

--- Judge the deletion of a pod whose instance stays.
function M.pod_stopped(c, cr, cluster)
  if not cause(c, cr) then return ("S13: pod %s was deleted and nothing asked for it"):format(c.name) end
  if not ready(c.old) or not cluster or (c.age_ms or 0) >= LATE_MS then return end
  local why = others(c, cluster) or leaders(c, cr)
  stopped[c.ns .. "/" .. c.name] = { ns = c.ns, name = c.name, uid = c.old.metadata.uid,
    cluster = label(c.old, "cluster"), component = label(c.old, "component") }
  return why
end

--- L5: everybody has the template; no eviction of ours is left, and those of people are.
function M.unlike(w)
  for _, plural in ipairs { "pds", "tikvs" } do
    for _, o in ipairs(list(core(w.ns, plural))) do
      local pod = truth.get(("/api/v1/namespaces/%s/pods/%s"):format(w.ns, (o.status or {}).pod or "?"))
      local leaving = o.metadata.deletionTimestamp or o.spec.offline
      local g = not leaving and truth.of_kind(w.ns, plural == "pds" and "PDGroup" or "TiKVGroup", label(o, "group") or "?")
      if g and (g.status or {}).updateRevision ~= label(o, "revision") then
        return ("%s %s has not got the template: group says %s"):format(plural, o.metadata.name,
          (g.status or {}).message or "")
      end
      if not leaving and pod and label(pod, "revision") ~= label(o, "revision") then
        return ("%s %s runs an old pod: %s: %s"):format(plural, o.metadata.name, o.status.reason or "", o.status.message or "")
      end
      if not leaving and annotation(o, "evicting") then
        return ("S7: TiKV %s still says that its leaders are away"):format(o.metadata.name)
      end
    end
  end
  return M.evictions(w)
end

function M.evictions(w)
  local all = truth.pd_clusters(w.ns)
  local c = all[#all]
  local marked = {}
  for _, o in ipairs(list(core(w.ns, "tikvs"))) do
    if o.spec.offline or o.metadata.deletionTimestamp then marked[(o.status or {}).id or ""] = true end
  end
  for id in sim.pairs(c and c.evict_saved or {}) do
    local s = c.stores[id]
    if s and s.node_state == 1 and changes.evicted[id] ~= c and not marked[tostring(id)] then
      return ("S7: leaders of store %s are kept away and nobody wants it"):format(tostring(id))
    end
  end
  -- whoever asks by annotation too, before the operator has seen the other, takes both back with it: PD keeps
  -- one eviction and not whose it is
  for id, of in sim.pairs(changes.evicted) do
    local s = not changes.asked[tostring(id)] and c and of == c and c.stores[id]
    if s and s.node_state == 1 and not c.evict_saved[id] then
      return ("S7: somebody sent the leaders of store %s away, and they were called back"):format(tostring(id))
    end
  end
end

--- A pod that serves again, or a name that nobody uses any more, is no restart under way.
local function on_pod(event, pod)
  local key = pod.metadata.namespace .. "/" .. pod.metadata.name
  local it = stopped[key]
  if it and event ~= "DELETED" and pod.metadata.uid ~= it.uid and ready(pod) then stopped[key] = nil end
end

local function on_instance(event, o)
  if event ~= "DELETED" then return end
  stopped[o.metadata.namespace .. "/" .. o.metadata.name:gsub("%-(%d+)$", o.kind == "PD" and "-pd-%1" or "-tikv-%1")] = nil
end

function M.start()
  sim.watch("/api/v1/pods", on_pod)
  sim.watch("/apis/core.tikv.org/v1alpha1/pds", on_instance)
  sim.watch("/apis/core.tikv.org/v1alpha1/tikvs", on_instance)
end

return M
