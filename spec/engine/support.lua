--- What the specs of passes share: a ctl on a fake transport, driven by scripts in annotations.
-- The object says what its pass does: annotation `needs` and `plan` are JSON, `fail` is an error.
local kube = require "kube.support"
local core = require "support.core"
local ffi = core.ffi

local C = core.load("engine/ctl_priv.h", "engine/record.h")
local M = { C = C, kube = kube }

local PASS = [[
local M = {}
local function notes(o) return o.metadata.annotations or {} end
function M.check() return true end
function M.needs(o) return json.decode(notes(o).needs or "[]") end
function M.run(w)
  local n = notes(w.object)
  if n.fail then error(n.fail) end
  if n.loop then while true do end end
  return json.decode(n.plan or '{"actions":[],"verdict":{"kind":"settled"}}')
end
return M
]]

ffi.cdef "void *malloc(size_t); char *strdup(const char *);"

---@class CtlRig
local Rig = {}
Rig.__index = Rig
local current ---@type CtlRig

local read_dir = ffi.cast("int (*)(void *, const char *, struct vm_source **, size_t *, struct err *)",
  function(_, _, out, n)
    local list = ffi.cast("struct vm_source *", ffi.C.malloc(ffi.sizeof("struct vm_source")))
    list[0].name, list[0].path = ffi.C.strdup("lib.pass"), ffi.C.strdup("spec/pass.lua")
    list[0].text, list[0].len = ffi.C.strdup(PASS), #PASS
    out[0], n[0] = list, 1
    return 0
  end)
local child = ffi.cast(
  "int (*)(void *, int (*)(void *, struct buf *), void *, struct buf *, struct err *)",
  function(_, fn, arg, out) return fn(arg, out) end)
local store_of = ffi.cast("struct store *(*)(void *, enum kind)", function(_, k)
  return current.stores[tonumber(k)]
end)
local may_run = ffi.cast("bool (*)(void *)", function() return current.may end)
local yes = ffi.cast("bool (*)(void *)", function() return true end)
local lease_ms = ffi.cast("int64_t (*)(void *)", function() return current.lease end)
local relist = ffi.cast("void (*)(void *, enum kind)", function(_, k)
  current.relisted[#current.relisted + 1] = tonumber(k)
end)
local pd_busy = ffi.cast("void (*)(void *, const char *, const char *, const char *, bool)",
  function(_, ns, cluster, key, busy)
    current.busy[#current.busy + 1] = ("%s/%s %s %s"):format(ffi.string(ns), ffi.string(cluster),
      ffi.string(key), tostring(busy))
  end)
local cost = ffi.cast("int64_t (*)(void *)", function() return current.cost end)
local no_view = ffi.cast("struct pdview *(*)(void *, const char *, const char *)", function() return nil end)
local on_event = ffi.cast("store_event_fn *", function(_, old, now) C.ctl_event(current.ctl, old, now) end)
M.drained = ffi.cast("void (*)(void *)", function() current.drained = (current.drained or 0) + 1 end)

function M.rig(over)
  local w = kube.world()
  local r = setmetatable({ w = w, stores = {}, may = true, lease = 10000, relisted = {}, busy = {}, cost = 0 }, Rig)
  current = r
  for k, v in pairs(over or {}) do r[k] = v end
  for _, k in ipairs { C.KIND_CLUSTER, C.KIND_PDGROUP, C.KIND_PD, C.KIND_TIKVGROUP, C.KIND_TIKV, C.KIND_POD } do
    local s = C.store_new(k)
    C.store_set_synced(s, true)
    C.store_listen(s, on_event, nil)
    r.stores[tonumber(k)] = s
  end
  local e = ffi.new("struct err")
  r.api = w:api()
  r.events = C.events_new(r.api, "tikv-operator", "spec", w.log, w.metrics)
  local rng = ffi.new("struct rng")
  C.rng_seed(rng, 3)
  r.queue = C.queue_new(rng)
  r.expect = C.expect_new()
  C.expect_stores(r.expect, store_of, nil)
  r.world = C.world_new(ffi.new("struct world_sources", { store = store_of, clock = kube.clock }))
  r.guard = C.guard_new(ffi.new("struct guard_facts", { store = store_of, pdview = no_view,
    lease_valid_ms = lease_ms, synced = yes, clock = kube.clock, metrics = w.metrics }))
  r.exec = C.exec_new(ffi.new("struct exec_conf", { loop = kube.loop, api = r.api, events = r.events,
    guard = r.guard, expect = r.expect, log = w.log, metrics = w.metrics, pdview = no_view, http = kube.http }))
  r.script = C.script_new(ffi.new("struct script_conf", { loop = kube.loop, lua_dir = "spec", ns = "ns",
    log = w.log, metrics = w.metrics, read_dir = read_dir, in_child = child }), e)
  assert(r.script ~= nil, ffi.string(e.msg))
  r.record = C.record_new(0)
  r.ctl = C.ctl_new(ffi.new("struct ctl_conf", { loop = kube.loop, queue = r.queue, world = r.world,
    expect = r.expect, script = r.script, exec = r.exec, guard = r.guard, events = r.events, record = r.record,
    log = w.log, metrics = w.metrics, max_active = r.max_active or 0, store = store_of, may_run = may_run,
    relist = relist, pd_busy = pd_busy, cost_us = cost }))
  return r
end

function Rig:free()
  C.ctl_free(self.ctl)
  C.exec_free(self.exec)
  C.guard_free(self.guard)
  C.script_free(self.script)
  C.world_free(self.world)
  C.expect_free(self.expect)
  C.queue_free(self.queue)
  C.record_free(self.record)
  C.events_free(self.events)
  C.api_free(self.api)
  for _, s in pairs(self.stores) do C.store_free(s) end
end

---Put an object as a watch would. rv is the next unless given.
function Rig:put(kind, name, o)
  o = o or {}
  self.rv = o.rv or (self.rv or 100) + 1
  local row = C.kind_row(kind)
  local meta = { name = name, namespace = "ns", uid = o.uid or "uid-" .. name, resourceVersion = tostring(self.rv),
    generation = o.generation or 1, annotations = o.notes, labels = o.labels,
    deletionTimestamp = o.deleting and "2026-01-01T00:00:00Z" or nil, ownerReferences = o.owners }
  local text = kube.encode { apiVersion = ffi.string(C.kind_api_version(kind)), kind = ffi.string(row.kind),
    metadata = meta, spec = o.spec or { cluster = { name = "c" } }, status = o.status }
  local e = ffi.new("struct err")
  local obj = C.obj_new(kind, text, #text, e)
  assert(obj ~= nil, ffi.string(e.msg))
  C.store_put(self.stores[tonumber(kind)], obj)
  return text
end

function Rig:remove(kind, name) C.store_remove(self.stores[tonumber(kind)], "ns/" .. name, nil) end

local function text(tree)
  if tree == nil then return nil end
  local s = C.json_string(tree)
  local out = ffi.string(s)
  ffi.C.free(s)
  C.json_free(tree)
  return out
end
M.text = text

---What is recorded of the last pass of a key, at a path.
function Rig:last(key, path) return kube.at(text(C.record_last(self.record, key)) or "{}", path) end

---How many passes of a key are recorded.
function Rig:passes(key)
  local n = 0
  for k in text(C.record_list(self.record)):gmatch('"key":"([^"]+)"') do
    if k == key then n = n + 1 end
  end
  return n
end

function Rig:count(kind, result)
  return self.w:metric("tikv_operator_reconcile_total", ('kind="%s",result="%s"'):format(kind, result))
end

---Open requests that are not Events, in order.
function Rig:open()
  local out = {}
  for _, q in ipairs(self.w:open()) do
    if not q.path:find("/events", 1, true) then out[#out + 1] = q end
  end
  return out
end

---Texts of the Events that were sent.
function Rig:events_sent()
  local out = {}
  for _, q in ipairs(self.w.requests) do
    if q.path:find("/events", 1, true) then out[#out + 1] = q.body end
  end
  return out
end

return M
