--- scaling: how a group gets the instances that it lacks. How it gets rid of others: lib/shrinking.
local kube = require "lib.kube"
local bootstrap = require "lib.bootstrap"
local hooks = require "lib.hooks"
local members = require "lib.members"
local online = require "lib.online"
local ordinals = require "lib.ordinals"
local questions = require "lib.questions"
local replacing = require "lib.replacing"
local revision = require "lib.revision"
local shrinking = require "lib.shrinking"
local topology = require "lib.topology"

local M = {}

function M.wanted(group) return tonumber(group.spec.replicas) or 1 end

---A PD or TiKV object: the whole template inline, and whose it is.
---@param how {topology: table?, founder: string?, spare_for: string?, uid: string?, revision: string, on_delete: any,
--- evicting: string?}
function M.instance(w, name, how)
  local g = w.object
  local component = kube.component[g.kind]
  local template, features = g.spec.template, kube.features(w.cluster)
  local meta = template.metadata or {}
  local o = kube.object(kube.instance_kind[component], g.metadata.namespace, name,
    kube.merge(kube.merge({}, meta.labels), kube.labels(g.spec.cluster.name, component, g.metadata.name, name)))
  o.metadata.uid = how.uid
  o.metadata.labels[kube.label.revision] = how.revision
  kube.merge(o.metadata.annotations, meta.annotations)
  o.metadata.annotations[kube.annotation.template] = revision.template_hash(template, features)
  o.metadata.annotations[kube.annotation.initial_cluster] = how.founder
  o.metadata.annotations[kube.annotation.spare_for] = how.spare_for
  o.metadata.annotations[kube.annotation.on_delete] = how.on_delete and "true" or nil
  o.metadata.annotations[kube.annotation.evicting] = how.evicting
  o.metadata.annotations[kube.annotation.host] = kube.host(kube.pod_name(name, component),
    kube.peer_service(g.metadata.name, component), g.metadata.namespace, w.cluster.dns)
  o.metadata.finalizers = { kube.FINALIZER }
  o.spec = kube.merge({}, template.spec)
  o.spec.cluster = { name = g.spec.cluster.name }
  o.spec.subdomain = kube.peer_service(g.metadata.name, component)
  o.spec.replicas = 1
  o.spec.topology = how.topology
  if features[1] then o.spec.features = features end
  return kube.own(o, g)
end

local function names(group, numbers)
  local out = {}
  for n, ordinal in ipairs(numbers) do out[n] = kube.instance(group.metadata.name, ordinal) end
  return out
end

local function some(group, numbers)
  local out = {}
  for n, name in ipairs(names(group, numbers)) do out[n] = { name = name } end
  return members.some(out, 5)
end

local NEW = { Pending = true, Founding = true, Creating = true }

-- A group that has never been whole is being made, not scaled. A spare belongs to a failover; one for another
-- kind of disk has no hook.
local function hooked(w, p, numbers, spares)
  if NEW[w.object.status and w.object.status.phase or "Pending"] then return nil end
  local about = { instances = names(w.object, numbers) }
  if not (spares and spares[1]) then return hooks.begin(w, p, "ScaleOut", hooks.scale_key(w), about) end
  for _, r in ipairs(w.rows or {}) do
    if r.uid == spares[1] and r.replace ~= "volume" then
      return hooks.begin(w, p, "Failover", table.concat(spares, ","), about)
    end
  end
end

---@param founder string? founding list of these PD members
---@param record string? the same list, when it is new: it is written before any of them
---@param spares string[]? uids of those that some of them replace
local function create(w, p, numbers, founder, record, spares)
  local g = w.object
  local ok, why = questions.can(w, "can_scale_out", { group = g.metadata.name,
    component = kube.component[g.kind], ordinals = json.array(kube.merge({}, numbers)), replicas = M.wanted(g) }, p)
  if not ok then return p:retry(30, "PolicyDenied", "can_scale_out: %s", why) end
  local held = hooked(w, p, numbers, spares)
  if held then return held end
  local rev = revision.name(g, kube.component[g.kind], kube.features(w.cluster))
  local counted = topology.counted(g, w.rows or {})
  if record then
    p:patch_meta(kube.ref(g.kind, g), { annotations = { [kube.annotation.initial_cluster] = record } })
  end
  for n, ordinal in ipairs(numbers) do
    if p:full() then break end
    p:apply(M.instance(w, kube.instance(g.metadata.name, ordinal), { topology = topology.next(w, counted, ordinal),
      founder = founder, revision = rev, spare_for = spares and spares[n] }))
  end
end

---Step of PDGroup: founders at once, disks that come back at once, anybody else one at a time.
function M.pd(w, p, list)
  local wanted = M.wanted(w.object)
  local todo, reason, message, seconds = bootstrap.next(w, members.live(list), wanted)
  if not todo then
    p:watch_pd()
    return p:retry(seconds or 5, reason, "%d of %d members: %s", #list, wanted, message)
      :progress { done = #list, total = wanted }
  end
  if not todo.create[1] then return end
  local founder = todo.founding and (todo.found or bootstrap.recorded(w.object)) or nil
  local held = create(w, p, todo.create, founder, todo.found)
  if held then return held end
  return p:wait(todo.founding and "Founding" or "ScalingOut", "%d of %d members exist; adding %s",
    #list, wanted, some(w.object, todo.create)):progress { done = #list, total = wanted }
end

---How many stores may be added now: all that lack, or as the group and policies limit it.
local function batch(w, missing, starting)
  local max = tonumber(w.object.spec.scalePolicy and w.object.spec.scalePolicy.maxScaleOut) or 0
  local default = max > 0 and max or missing
  local n = questions.tune(w, "tune_max_scale_out",
    { group = w.object.metadata.name, component = "tikv", missing = missing }, default)
  if n >= missing and max == 0 then return missing end
  return math.max(math.min(n - starting, missing), 0)
end

---Step of TiKVGroup.
function M.tikv(w, p, list)
  local live, wanted = members.live(list), M.wanted(w.object)
  if #live >= wanted then return end
  local called = shrinking.call_back(w, p, list, wanted - #live)
  if called then return called end
  local starting = #members.where(live, function(m) return not m.ready end)
  local count = batch(w, wanted - #live, starting)
  local use = ordinals.use(w)
  if count > 0 and #use.adoptable < count and not (w.pd and w.pd.known) and (w.cluster.id or "") ~= "" then
    p:watch_pd()
    return p:retry(10, "PDUnknown", "%d of %d stores; the free ordinals are known only with PD's store list",
      #live, wanted):progress { done = #live, total = wanted }
  end
  local held = count > 0 and create(w, p, ordinals.free(use, count), nil, nil, replacing.unspared(list, count))
  if held then return held end
  if replacing.marked(list)[1] then return replacing.told(w, p, list) end
  if count > 0 then
    return p:wait("ScalingOut", "%d of %d stores exist; adding %s", #live, wanted, some(w.object,
      ordinals.free(use, count))):progress { done = #live, total = wanted }
  end
  return p:wait("ScalingOut", "%d of %d stores exist, %d of them start", #live, wanted, starting)
    :progress { done = #live, total = wanted }
end

---The template as it is now, for an instance that there is.
---@param m member
---@param how {on_delete: any, evicting: string?}
function M.again(w, p, m, rev, how)
  p:apply(M.instance(w, m.name, { topology = m.row.topology, founder = m.row.founder, spare_for = m.row.spare_for,
    uid = m.row.uid, revision = rev, on_delete = how.on_delete, evicting = how.evicting or m.row.evicting }))
end

---Step of groups: what changes no pod (sizes, store labels, update strategy) reaches the instances at
---once. A changed revision does not: see lib/upgrade.
function M.in_place(w, p, list)
  local g = w.object
  local want = revision.template_hash(g.spec.template, kube.features(w.cluster))
  local rev = revision.name(g, kube.component[g.kind], kube.features(w.cluster))
  local same = members.where(list, function(m) return not m.leaving and not m.outdated end)
  local may = online.cautious(g.spec.template, same, want)
  for _, m in ipairs(same) do
    if p:full() then return end
    if m.row.template ~= want and may(m) then
      M.again(w, p, m, rev, { on_delete = m.row.on_delete })
    end
  end
end

return M
