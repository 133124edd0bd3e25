--- people: what people and fate do to the clusters of a schedule, and what they want at the end.
-- Each operation takes a number that decides its details, and returns a line for the trace or nil.
-- `wanted` is the only memory of what was asked for; sim.verdict compares it with what there is.
local changes = require "sim.changes"
local kubelet = require "sim.kubelet"
local losses = require "sim.losses"

local M = { wanted = changes.wanted }
local CORE = "/apis/core.tikv.org/v1alpha1/namespaces/%s/%s"
local PLURAL = { PDGroup = "pdgroups", TiKVGroup = "tikvgroups" }
local crashed, squatters = {}, {}

---@class sim.wanted
---@field ns string
---@field name string
---@field there boolean   the Cluster is wanted
---@field retention string of claims, when the Cluster is deleted
---@field untouched boolean nobody deleted an instance or group: counts are exact
---@field groups { kind: string, name: string, replicas: integer, deleted: boolean?, version: string?,
--- config: string?, before: string?, restarted: string?, setting: integer?, size: integer? }[]
---@field frozen_until integer? milliseconds

local function core(w, plural, name)
  return CORE:format(w.ns, plural) .. (name and "/" .. name or "")
end

local function list(path)
  local status, body = sim.request("GET", path)
  return status == 200 and body.items or {}
end

local function pick(items, arg)
  return #items > 0 and items[arg % #items + 1] or nil
end

local function there()
  local out = {}
  for _, w in ipairs(M.wanted) do
    if w.there then out[#out + 1] = w end
  end
  return out
end

local function groups(w, kind)
  local out = {}
  for _, g in ipairs(w.groups) do
    if g.kind == kind and not g.deleted then out[#out + 1] = g end
  end
  return out
end

local function object(w, kind, name, spec)
  return { apiVersion = "core.tikv.org/v1alpha1", kind = kind, spec = spec,
    metadata = { name = name, namespace = w.ns } }
end

local function create_group(w, g)
  local t = changes.template(g)
  t.spec.resources = { cpu = "1", memory = "1Gi" }
  sim.request("POST", core(w, PLURAL[g.kind]), object(w, g.kind, g.name, {
    cluster = { name = w.name }, replicas = g.replicas, failover = losses.FAILOVER, template = t }))
end

local function create(w)
  sim.request("POST", core(w, "clusters"), object(w, "Cluster", w.name,
    { persistentVolumeClaimRetentionPolicy = { whenDeleted = w.retention } }))
  for _, g in ipairs(w.groups) do
    if not g.deleted then create_group(w, g) end
  end
end

-- Operations on clusters -----------------------------------------------------------------------

local function scale(kind, limit, by, arg)
  local w = pick(there(), arg)
  local g = w and pick(groups(w, kind), math.floor(arg / 7))
  if not g or g.replicas * by >= limit * by then return end
  -- with a dead store left, fewer than three others could never take its regions over
  if losses.disk_lost and by < 0 and g.replicas <= 3 then return end
  local status = sim.request("PATCH", core(w, PLURAL[kind], g.name), { spec = { replicas = g.replicas + by } })
  if status >= 300 then return end -- refused while founding, as it should be
  g.replicas = g.replicas + by
  return ("%s %s/%s to %d"):format(kind, w.ns, g.name, g.replicas)
end

function M.scale_tikv(arg) return scale("TiKVGroup", 6, 1, arg) end
function M.scale_pd(arg) return scale("PDGroup", 5, 1, arg) end
function M.shrink_tikv(arg) return scale("TiKVGroup", 1, -1, arg) end
function M.shrink_pd(arg) return scale("PDGroup", 1, -1, arg) end

function M.add_group(arg)
  local w = pick(there(), arg)
  if not w or #w.groups > 2 then return end
  local g = { kind = "TiKVGroup", name = "more", replicas = 1 + arg % 2 }
  w.groups[#w.groups + 1] = g
  create_group(w, g)
  return "TiKVGroup more in " .. w.ns
end

--- The same name in another namespace: nothing may be mixed up.
function M.add_cluster(arg)
  if #M.wanted > 1 or M.pd_dead then return end
  local w = { ns = "other", name = "basic", there = true, retention = arg % 2 == 0 and "Retain" or "Delete",
    untouched = true, groups = {
      { kind = "PDGroup", name = "basic", replicas = arg % 3 == 0 and 3 or 1 },
      { kind = "TiKVGroup", name = "basic", replicas = 1 + arg % 3 } } }
  M.wanted[2] = w
  sim.request("POST", "/api/v1/namespaces", { apiVersion = "v1", kind = "Namespace", metadata = { name = w.ns } })
  create(w)
  return "Cluster basic in namespace other"
end

local function all_gone(w)
  if sim.request("GET", core(w, "clusters", w.name)) ~= 404 then return false end
  for _, plural in ipairs { "pdgroups", "tikvgroups", "pds", "tikvs" } do
    if #list(core(w, plural)) > 0 then return false end
  end
  return true
end

-- It comes back over what was kept, or is founded anew where nothing was.
local function come_back(w)
  if not w.back or w.there then return end
  if not all_gone(w) then return sim.after(1000, function() come_back(w) end) end
  w.there, w.untouched = true, false
  local kept = {}
  for _, g in ipairs(w.groups) do
    if not g.deleted then kept[#kept + 1] = g end
  end
  w.groups = kept
  create(w)
end

-- A member whose disk is lost before it was ever seen leaves a hole in PD that only failover closes.
local function founded(w)
  for _, g in ipairs(groups(w, "PDGroup")) do
    local status, o = sim.request("GET", core(w, "pdgroups", g.name))
    if status ~= 200 or not o.spec.bootstrapped then return false end
  end
  return true
end

--- arg decides: the retention, whether it comes back, and whether PD is dead meanwhile.
function M.delete_cluster(arg)
  local w = pick(there(), arg)
  local _, o = sim.request("GET", core(w or M.wanted[1], "clusters", "basic"))
  if not w or not o.metadata or not (o.metadata.finalizers or {})[1] then return end -- nobody has seen it yet
  w.retention = math.floor(arg / 8) % 2 == 0 and founded(w) and "Retain" or "Delete"
  sim.request("PATCH", core(w, "clusters", w.name),
    { spec = { persistentVolumeClaimRetentionPolicy = { whenDeleted = w.retention } } })
  if sim.request("DELETE", core(w, "clusters", w.name)) >= 300 then return end
  w.there, w.back = false, math.floor(arg / 16) % 4 > 0
  M.pd_dead = not w.back and #M.wanted == 1
  if w.back then sim.after(1000 + arg % 20000, function() come_back(w) end) end
  return ("Cluster %s/%s deleted, %s%s"):format(w.ns, w.name, w.retention, w.back and ", comes back" or ", PD is dead")
end

function M.delete_group(arg)
  local w = pick(there(), arg)
  local g = w and w.groups[3]
  if not g or g.deleted then return end
  g.deleted, w.untouched = true, false
  sim.request("DELETE", core(w, PLURAL[g.kind], g.name))
  return "TiKVGroup more deleted"
end

function M.delete_instance(arg)
  local w = pick(there(), arg)
  local plural = arg % 4 == 0 and "pds" or "tikvs"
  local o = w and pick(list(core(w, plural)), math.floor(arg / 11))
  if not o then return end
  w.untouched = false
  sim.request("DELETE", core(w, plural, o.metadata.name))
  return ("%s %s/%s deleted"):format(plural, w.ns, o.metadata.name)
end

local function for_a_while(field, value, arg)
  local w = pick(there(), arg)
  if not w or w[field] then return end
  w[field] = true
  sim.request("PATCH", core(w, "clusters", w.name), { spec = { [field] = value } })
  return ("%s of %s/%s"):format(field, w.ns, w.name)
end

local OFF = { paused = false, suspendAction = { suspendCompute = false } }

local function over(w, field)
  if not w[field] then return end
  w[field] = nil
  sim.request("PATCH", core(w, "clusters", w.name), { spec = { [field] = OFF[field] } })
end

local function with_end(field, value, arg)
  local line = for_a_while(field, value, arg)
  if not line then return end
  sim.after(5000 + arg % 30000, function()
    for _, w in ipairs(M.wanted) do over(w, field) end
  end)
  return line
end

function M.pause(arg) return with_end("paused", true, arg) end
function M.suspend(arg) return with_end("suspendAction", { suspendCompute = true }, arg) end

-- Meddling ---------------------------------------------------------------------------------------

local function some_object(w, kinds, arg)
  local path = kinds[math.floor(arg / 3) % #kinds + 1]:format(w.ns)
  local o = pick(list(path), math.floor(arg / 19))
  if o and (o.metadata.labels or {})["core.tikv.org/cluster"] then return path .. "/" .. o.metadata.name, o end
end

local MANAGED = { "/api/v1/namespaces/%s/configmaps", "/api/v1/namespaces/%s/services",
  "/apis/policy/v1/namespaces/%s/poddisruptionbudgets", "/apis/apps/v1/namespaces/%s/controllerrevisions" }
local LABELLED = { "/api/v1/namespaces/%s/configmaps", "/api/v1/namespaces/%s/services", "/api/v1/namespaces/%s/pods",
  "/apis/policy/v1/namespaces/%s/poddisruptionbudgets" }

function M.edit_configmap(arg)
  local w = pick(there(), arg)
  local path = w and some_object(w, { MANAGED[1] }, arg)
  if not path then return end
  sim.request("PATCH", path, { data = { ["config.toml"] = "# meddled with\n" } })
  return path .. " edited"
end

function M.delete_object(arg)
  local w = pick(there(), arg)
  local path = w and some_object(w, MANAGED, arg)
  if not path then return end
  sim.request("DELETE", path)
  return path .. " deleted"
end

function M.strip_labels(arg)
  local w = pick(there(), arg)
  local path, o = nil, nil
  if w then path, o = some_object(w, LABELLED, arg) end
  if not o then return end
  local remove = {}
  for key in sim.pairs(o.metadata.labels) do
    if key:find "^core%.tikv%.org/" then remove[#remove + 1] = ('"%s":null'):format(key) end
  end
  sim.request("PATCH", path, ('{"metadata":{"labels":{%s}}}'):format(table.concat(remove, ",")))
  return path .. " lost its labels"
end

--- Somebody else's ConfigMap has the name that the next store needs.
function M.squat(arg)
  local w = pick(there(), arg)
  local g = w and pick(groups(w, "TiKVGroup"), arg)
  if not g then return end
  local path = ("/api/v1/namespaces/%s/configmaps"):format(w.ns)
  local name = ("%s-tikv-%d"):format(g.name, g.replicas)
  local status = sim.request("POST", path, { apiVersion = "v1", kind = "ConfigMap",
    metadata = { name = name, namespace = w.ns, labels = { foreign = "yes" } }, data = { mine = "all mine" } })
  if status >= 300 then return end
  squatters[#squatters + 1] = path .. "/" .. name
  return "a foreign ConfigMap " .. name
end

-- Fate -------------------------------------------------------------------------------------------

local function some_pod(arg)
  return pick(list "/api/v1/pods", math.floor(arg / 5))
end

function M.kill_pod(arg)
  local pod = some_pod(arg)
  if not pod then return end
  kubelet.kill_pod(pod.metadata.uid)
  return "program of pod " .. pod.metadata.name
end

function M.delete_pod(arg)
  local pod = some_pod(arg)
  if not pod then return end
  sim.request("DELETE", ("/api/v1/namespaces/%s/pods/%s"):format(pod.metadata.namespace, pod.metadata.name))
  return "pod " .. pod.metadata.name
end

function M.crash_node(arg)
  local node = pick(list "/api/v1/nodes", arg)
  if not node or next(crashed) or losses.taken(node.metadata.name) then return end
  local name = node.metadata.name
  crashed[name] = true
  kubelet.crash_node(name)
  sim.after(5000 * (1 + math.floor(arg / 13) % 10), function()
    if crashed[name] then
      crashed[name] = nil
      kubelet.restore_node(name)
    end
  end)
  return name
end

--- Carry out one operation. Returns { line = what was done, pd_dead = boolean }.
function M.act(what)
  local line = (M[what.name] or losses[what.name] or changes[what.name])(what.arg)
  return { line = line, pd_dead = M.pd_dead == true }
end

--- The trouble is over: power is back, people have put away what they left about.
function M.repair()
  for name in sim.pairs(crashed) do kubelet.restore_node(name) end
  for _, path in ipairs(squatters) do sim.request("DELETE", path) end
  for _, w in ipairs(M.wanted) do
    over(w, "paused")
    over(w, "suspendAction")
  end
  crashed, squatters = {}, {}
  losses.finish()
  changes.finish()
end

--- One more store for the first cluster that is there: does anybody act on it?
function M.ask_for_one_more()
  local w = there()[1]
  local g = w and groups(w, "TiKVGroup")[1]
  if not g then return false end
  g.replicas = g.replicas + 1
  sim.request("PATCH", core(w, "tikvgroups", g.name), { spec = { replicas = g.replicas } })
  return true
end

function M.start()
  M.wanted[1] = { ns = "default", name = "basic", there = true, retention = "Retain", untouched = true, groups = {
    { kind = "PDGroup", name = "basic", replicas = 3 }, { kind = "TiKVGroup", name = "basic", replicas = 3 } } }
  sim.after(1000, function() losses.shorten(M.wanted[1]) end)
end

return M
