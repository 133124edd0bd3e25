--- verdict: is everything as people want it? Compares `people.wanted` with the model, after the storm.
local truth = require "sim.truth"
local losses = require "sim.losses"
local in_force = require "sim.in_force"
local people = require "sim.people"
local restarts = require "sim.oracle_restarts"
local runtime = require "sim.runtime"

local M = {}
local get, list, core, label = truth.get, truth.list, truth.core, truth.label

local function ready(o)
  if not o.status or o.status.observedGeneration ~= o.metadata.generation then return false end
  for _, x in ipairs(o.status.conditions or {}) do
    if x.type == "Ready" then return x.status == "True" and (x.observedGeneration or 0) == o.metadata.generation end
  end
  return false
end

local function describe(kind, o)
  local s = o and o.status or {}
  return ("%s %s is not ready: %s %s: %s"):format(kind, o and o.metadata.name or "?", s.phase or "no status",
    s.reason or "", s.message or "")
end

--- L4: nothing is left but what retention keeps.
local function absent(w)
  for _, plural in ipairs { "clusters", "pdgroups", "tikvgroups", "pds", "tikvs" } do
    local o = list(core(w.ns, plural))[1]
    if o then
      local s = o.status or {}
      return ("L4: %s %s/%s is still there: %s: %s"):format(plural, w.ns, o.metadata.name, s.reason or "",
        s.message or "")
    end
  end
  for _, path in ipairs { "/api/v1/namespaces/%s/pods", "/api/v1/namespaces/%s/configmaps",
    "/api/v1/namespaces/%s/services", "/apis/apps/v1/namespaces/%s/controllerrevisions",
    "/apis/policy/v1/namespaces/%s/poddisruptionbudgets" } do
    local o, kind = list(path:format(w.ns))[1], path:match "[^/]+$"
    if o then return ("L4: %s %s is still there"):format(kind, o.metadata.name) end
  end
  -- A write of a dead leader that commits after everything went can leave a claim that nothing ever used.
  for _, claim in ipairs(list(("/api/v1/namespaces/%s/persistentvolumeclaims"):format(w.ns))) do
    if w.retention == "Delete" and runtime.disks[claim.metadata.uid] then
      return ("L4: claim %s is still there"):format(claim.metadata.name)
    end
  end
end

-- Instances on their way out go, but for stores that the others can not do without: these serve on.
local function leaves(o)
  if not o.metadata.deletionTimestamp and not o.spec.offline then return false end
  return true, (o.status or {}).reason == "OfflineRefused"
end

-- Fewer are wanted than regions need: a lost store has nobody to go to, and only a person helps.
local function too_few(w, groups)
  local all, wanted = truth.pd_clusters(w.ns), 0
  for _, g in ipairs(groups) do
    if not g.deleted then wanted = wanted + g.replicas end
  end
  return all[1] ~= nil and wanted < all[#all]:max_replicas()
end

local function instances(w, plural, groups)
  local live, all = {}, list(core(w.ns, plural))
  for _, o in ipairs(all) do
    local group, leaving, held = label(o, "group") or "?", leaves(o)
    if not ready(o) and not (held and too_few(w, groups)) then return describe(plural, o) end
    if leaving and not held then
      local s = o.status
      return ("%s %s has not left: %s: %s"):format(plural, o.metadata.name, s.reason or "", s.message or "")
    end
    if not leaving then live[group] = (live[group] or 0) + 1 end
  end
  for _, g in ipairs(groups) do
    if not g.deleted and (live[g.name] or 0) ~= g.replicas then
      return ("%d %s of group %s, wanted %d"):format(live[g.name] or 0, plural, g.name, g.replicas)
    end
  end
  return nil, #all
end

local function restored(w)
  for _, o in ipairs(list(("/api/v1/namespaces/%s/configmaps"):format(w.ns))) do
    if (o.data or {})["config.toml"] == "# meddled with\n" then
      return ("ConfigMap %s is not put right"):format(o.metadata.name)
    end
  end
  for _, g in ipairs(w.groups) do
    local component = g.kind == "PDGroup" and "pd" or "tikv"
    for _, name in ipairs { ("%s-%s-peer"):format(g.name, component) } do
      if not g.deleted and not get(("/api/v1/namespaces/%s/services/%s"):format(w.ns, name)) then
        return ("Service %s is missing"):format(name)
      end
    end
  end
end

local function pd_truth(w, wanted)
  local all = truth.pd_clusters(w.ns)
  local c = all[#all]
  if not c then return "PD was never founded" end
  if #c.members ~= wanted then return ("%d PD members, wanted %d"):format(#c.members, wanted) end
  for _, m in ipairs(c.members) do
    if not m.up then return ("S19: all of PD is Ready, member %s is not up"):format(m.name or m.id) end
  end
  local cluster = get(core(w.ns, "clusters", w.name))
  if (cluster.status or {}).id ~= c.id then
    return ("S19: Cluster %s records PD %s, it is %s"):format(w.name, tostring((cluster.status or {}).id), c.id)
  end
  for _, o in ipairs(list(core(w.ns, "tikvs"))) do
    local store = truth.store(w.ns, (o.status or {}).id or "")
    if ready(o) and (not store or not c:alive(store.id)) then
      return ("S19: TiKV %s is Ready, its store is not"):format(o.metadata.name)
    end
  end
end

local function present(w)
  local by = { PDGroup = {}, TiKVGroup = {} }
  for _, g in ipairs(w.groups) do table.insert(by[g.kind], g) end
  local why, pds, tikvs
  why, pds = instances(w, "pds", by.PDGroup)
  if why then return why end
  why, tikvs = instances(w, "tikvs", by.TiKVGroup)
  if why then return why end
  local deleted
  for _, g in ipairs(w.groups) do
    local plural = g.kind == "PDGroup" and "pdgroups" or "tikvgroups"
    local o = get(core(w.ns, plural, g.name))
    if not g.deleted and not (o and ready(o)) then return describe(plural, o) end
    deleted = deleted or g.deleted
  end
  local cluster = get(core(w.ns, "clusters", w.name))
  if not cluster or not deleted and not ready(cluster) then return describe("clusters", cluster) end
  local pods = list(("/api/v1/namespaces/%s/pods"):format(w.ns))
  if #pods ~= pds + tikvs then return ("%d pods, wanted %d"):format(#pods, pds + tikvs) end
  for _, pod in ipairs(pods) do
    if not label(pod, "instance") then return ("pod %s has lost its labels"):format(pod.metadata.name) end
  end
  local claims = list(("/api/v1/namespaces/%s/persistentvolumeclaims"):format(w.ns))
  if #claims < pds + tikvs or w.untouched and #claims ~= pds + tikvs then
    return ("%d claims, wanted %d"):format(#claims, pds + tikvs)
  end
  return restored(w) or in_force.unlike(w) or pd_truth(w, pds) or restarts.unlike(w)
end

--- What is not as wanted, or nil.
function M.unlike()
  if losses.dark() then return ("%s is dark"):format(losses.dark()) end
  for _, w in ipairs(people.wanted) do
    -- one that is to come back is on its way
    if not w.there and w.back then return ("Cluster %s/%s is not back yet"):format(w.ns, w.name) end
    local why
    if w.there then why = present(w) else why = absent(w) end
    if why then return w.ns .. ": " .. why end
  end
end

--- How many TiKV objects there are, to see whether somebody acts.
function M.count()
  local n = 0
  for _, w in ipairs(people.wanted) do
    -- one that is called back counts as one more
    for _, o in ipairs(list(core(w.ns, "tikvs"))) do
      if not o.spec.offline then n = n + 1 end
    end
  end
  return n
end

function M.start() end

return M
