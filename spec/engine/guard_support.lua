--- A small cluster for the specs of the guard and of exec: caches filled by hand, a PD that answers.
local kube = require "spec.kube.support"
local pd = require "spec.pd.support"
local core = require "support.core"
local ffi = core.ffi
local C = core.load("engine/guard.h", "engine/exec.h")

local M = { C = C, kube = kube, pd = pd }

---@class GuardRig
local Rig = {}
Rig.__index = Rig
local current ---@type GuardRig

local store_of = ffi.cast("struct store *(*)(void *, enum kind)", function(_, k)
  return current.stores[tonumber(k)]
end)
local view_of = ffi.cast("struct pdview *(*)(void *, const char *, const char *)", function(_, ns, cluster)
  if ffi.string(ns) == "ns" and ffi.string(cluster) == "basic" then return current.view end
  return nil
end)
local lease = ffi.cast("int64_t (*)(void *)", function() return current.lease end)
local synced = ffi.cast("bool (*)(void *)", function() return current.synced end)
M.store_of, M.view_of = store_of, view_of

local OWN = "core.tikv.org/"
M.OPERATOR = "tikv-system/tikv-operator"

function M.labels(component, instance, more)
  local l = { ["app.kubernetes.io/managed-by"] = "tikv-operator", [OWN .. "cluster"] = "basic",
    [OWN .. "component"] = component, [OWN .. "group"] = "basic", [OWN .. "instance"] = instance }
  for k, v in pairs(more or {}) do l[k] = v end
  return l
end

function M.owner(kind, name, uid)
  return { { apiVersion = "core.tikv.org/v1alpha1", kind = kind, name = name, uid = uid or "uid-" .. kind .. "-" ..
    name,
    controller = true } }
end

--- A rig. over: lease, synced, read_only, pd (table for the fake PD), no_pd, settle (ms, default 200 s).
function M.rig(over)
  over = over or {}
  local w = kube.world()
  local r = setmetatable({ w = w, stores = {}, held = {}, lease = over.lease or 15000, rv = 100 }, Rig)
  r.synced = over.synced ~= false
  current = r
  for k = 0, tonumber(C.KIND_COUNT) - 1 do
    r.stores[k] = C.store_new(k)
    C.store_set_synced(r.stores[k], true)
  end
  if not over.no_pd then
    r.pd = pd.pd(over.pd)
    r.view = pd.view(w, r.pd)
    pd.serve(w, r.pd, over.settle or 200000)
  end
  local f = ffi.new("struct guard_facts", { store = store_of, pdview = view_of, lease_valid_ms = lease,
    synced = synced, clock = kube.clock, metrics = w.metrics })
  f.read_only = over.read_only or false
  f.operator_id = M.OPERATOR
  r.guard = C.guard_new(f)
  r:put("Cluster", "basic", { spec = over.cluster_spec or { bootstrapped = true },
    status = { id = over.cluster_id or (r.pd and r.pd.cluster_id) or nil } })
  return r
end

function Rig:free()
  C.guard_free(self.guard)
  if self.view then C.pdview_free(self.view) end
  for _, s in pairs(self.stores) do C.store_free(s) end
  for _, o in ipairs(self.held) do C.obj_unref(o) end
end

local function kind_of(name)
  local k = ffi.new("enum kind[1]")
  assert(C.kind_of(name, k) == 0, name)
  return tonumber(k[0])
end
M.kind_of = kind_of

--- Put an object into its cache. o: labels, annotations, owners, deleting, spec, status, uid, generation.
function Rig:put(kind, name, o)
  o = o or {}
  local k = kind_of(kind)
  self.rv = self.rv + 1
  local row = C.kind_row(k)
  local object = { apiVersion = ffi.string(C.kind_api_version(k)), kind = kind, spec = o.spec, status = o.status,
    metadata = { name = name, namespace = row.namespaced and (o.ns or "ns") or nil,
      uid = o.uid or "uid-" .. kind .. "-" .. name, resourceVersion = o.rv or tostring(self.rv),
      generation = o.generation or 1, labels = o.labels, annotations = o.annotations,
      ownerReferences = o.owners, finalizers = o.finalizers,
      deletionTimestamp = o.deleting and "2026-01-01T00:00:00Z" or nil } }
  local obj, why = kube.obj(k, object)
  assert(obj, why)
  C.store_put(self.stores[k], obj)
  return object
end

function Rig:gone(kind, name)
  local k = kind_of(kind)
  C.store_remove(self.stores[k], C.kind_row(k).namespaced and "ns/" .. name or name, nil)
end

--- The subject of a pass: the object as it is in the cache now.
function Rig:subject(kind, name)
  local o = C.store_get(self.stores[kind_of(kind)], "ns", name)
  assert(o ~= nil, kind .. " " .. name)
  local held = C.obj_ref(o)
  self.held[#self.held + 1] = held
  return ffi.new("struct guard_subject", { object = held, cluster = "basic" })
end

function M.plan(actions, more)
  local p = { actions = kube.list(actions), verdict = { kind = "settled" } }
  for k, v in pairs(more or {}) do p[k] = v end
  local text = kube.encode(p)
  local e = ffi.new("struct err")
  local tree = C.json_parse(text, #text, e)
  assert(tree ~= nil, ffi.string(e.msg))
  local decoded = C.plan_decode(tree, "ns", e)
  assert(decoded ~= nil, ffi.string(e.msg))
  return decoded
end

--- nil when the guard allows the action, else its words.
function Rig:refusal(subject, action)
  local p = M.plan { action }
  local why = self:judge(subject, p.action[0])
  C.plan_free(p)
  return why
end

function Rig:judge(subject, a)
  local e = ffi.new("struct err")
  local check = self.foresees and C.guard_foresee or C.guard_check
  if check(self.guard, subject, a, e) == 0 then return nil end
  assert(e.code == C.ERR_REFUSED, ffi.string(e.msg))
  return ffi.string(e.msg)
end

--- Refused, by this rule, with these words.
function Rig:refuses(rule, subject, action, words)
  local why = self:refusal(subject, action)
  assert(why, "the guard allowed it, " .. rule .. " should refuse")
  assert(why:sub(1, 3) == rule .. ":", why)
  if words then assert(why:find(words, 1, true), why) end
end

function Rig:allows(subject, action)
  local why = self:refusal(subject, action)
  assert(why == nil, why)
end

-- ---- things that many specs need ----

--- A TiKV instance with its pod and claim. o: id, ready, deleting, pod = false, claim = {...}
function Rig:tikv(n, o)
  o = o or {}
  local name = "basic-" .. n
  self:put("TiKV", name, { spec = { cluster = { name = "basic" } }, owners = M.owner("TiKVGroup", "basic"),
    annotations = o.annotations, deleting = o.deleting,
    status = { id = o.id, formerStores = o.former and kube.list(o.former) or nil } })
  if o.pod ~= false then
    self:put("Pod", "basic-tikv-" .. n, { labels = M.labels("tikv", name), owners = M.owner("TiKV", name),
      deleting = o.pod_deleting,
      spec = { nodeName = "node-" .. n,
        volumes = { { name = "data", persistentVolumeClaim = { claimName = "data-basic-tikv-" .. n } } } },
      status = { phase = "Running", conditions = { { type = "Ready", status = o.ready == false and "False"
        or "True" } } } })
  end
  local c = o.claim or {}
  self:put("PersistentVolumeClaim", "data-basic-tikv-" .. n, {
    labels = M.labels("tikv", name, { [OWN .. "volume"] = "data", [OWN .. "store-id"] = c.store,
      [OWN .. "retired"] = c.retired, [OWN .. "cluster-id"] = c.cluster_id }),
    annotations = { [OWN .. "owner-uid"] = c.owner or "uid-TiKV-" .. name, [OWN .. "removed-stores"] = c.removed,
      [OWN .. "former-stores"] = c.former },
    spec = { volumeName = c.unbound == nil and "pv-" .. n or nil }, status = { phase = c.unbound and "Pending"
      or "Bound" } })
  return (self:subject("TiKV", name))
end

function Rig:pdi(n, o)
  o = o or {}
  local name = "basic-" .. n
  self:put("PD", name, { spec = { cluster = { name = "basic" } }, owners = M.owner("PDGroup", "basic"),
    deleting = o.deleting, status = { id = o.id } })
  if o.pod ~= false then
    self:put("Pod", "basic-pd-" .. n, { labels = M.labels("pd", name), owners = M.owner("PD", name),
      deleting = o.pod_deleting, spec = { nodeName = "node-" .. n },
      status = { phase = o.phase or "Running", conditions = { { type = "Ready", status = o.ready == false and "False"
        or "True" } } } })
  end
  self:put("PersistentVolumeClaim", "data-basic-pd-" .. n, {
    labels = M.labels("pd", name, { [OWN .. "volume"] = "data", [OWN .. "member-id"] = o.id }),
    annotations = { [OWN .. "owner-uid"] = "uid-PD-" .. name }, spec = { volumeName = "pv-pd-" .. n } })
  return (self:subject("PD", name))
end

function M.delete(kind, name, grace)
  return { action = "delete", kind = kind, name = name, uid = "uid-" .. kind .. "-" .. name, rv = "101", why = "spec",
    grace = grace }
end

function M.patch(kind, name, change)
  local a = { action = "patch_meta", kind = kind, name = name, uid = "uid-" .. kind .. "-" .. name, rv = "101" }
  for k, v in pairs(change or {}) do a[k] = v end
  return a
end

return M
