--- kube: names, labels, owners, and the small operations on Kubernetes objects.
-- Names follow the API document: other modules never join strings to a name themselves.
local M = {
  GROUP = "core.tikv.org",
  API = "core.tikv.org/v1alpha1",
  FINALIZER = "core.tikv.org/finalizer",
  MANAGER = "tikv-operator",
  HOOK = "hook", -- the component of hooks: neither PD nor TiKV
  component = { PD = "pd", PDGroup = "pd", TiKV = "tikv", TiKVGroup = "tikv" },
  instance_kind = { pd = "PD", tikv = "TiKV" },
  group_kind = { pd = "PDGroup", tikv = "TiKVGroup" },
}

local OWN = M.GROUP .. "/"
M.label = {
  cluster = OWN .. "cluster", group = OWN .. "group", instance = OWN .. "instance",
  component = OWN .. "component", volume = OWN .. "volume", revision = OWN .. "revision",
  store_id = OWN .. "store-id", member_id = OWN .. "member-id", cluster_id = OWN .. "cluster-id",
  retired = OWN .. "retired", hook = OWN .. "hook",
}
M.annotation = {
  applied = OWN .. "applied", owner_uid = OWN .. "owner-uid", config_hash = OWN .. "config-hash", origin = OWN .. "origin",
  template = OWN .. "template", format = OWN .. "format",
  initial_cluster = OWN .. "initial-cluster", host = OWN .. "host",
  removed_stores = OWN .. "removed-stores", evicting = OWN .. "evicting",
  operation = OWN .. "operation", spent = OWN .. "spent",
  former_stores = OWN .. "former-stores", replace = OWN .. "replace", spare_for = OWN .. "spare-for",
  destroyed = OWN .. "destroyed", force_new = OWN .. "force-new-cluster", hold = OWN .. "hold",
  operator = OWN .. "operator", behaviour = OWN .. "behaviour", confirm = OWN .. "confirm",
  online = OWN .. "online-config", attributes = OWN .. "volume-attributes",
  halted = OWN .. "halted", store_limits = OWN .. "store-limits",
  remove_first = OWN .. "remove-first",
  -- a person's wishes for one instance, and the group's answers
  restart = OWN .. "restart", evict_leaders = OWN .. "evict-leaders",
  allowed = OWN .. "restart-allowed", on_delete = OWN .. "on-delete", rollout_paused = OWN .. "rollout-paused",
}

local versions = {
  PDGroup = M.API, TiKVGroup = M.API, PD = M.API, TiKV = M.API, Cluster = M.API,
  ControllerRevision = "apps/v1", PodDisruptionBudget = "policy/v1", Job = "batch/v1",
}

---Path of a label or annotation for `fields` of needs(): dots of the key are escaped.
function M.path_label(key) return "metadata.labels." .. key:gsub("%.", "\\.") end
function M.path_annotation(key) return "metadata.annotations." .. key:gsub("%.", "\\.") end

-- Names ------------------------------------------------------------------------------------------

---@return string group, string? ordinal text after the last dash, nil when there is none
function M.split(instance)
  local after = instance:reverse():find("-", 1, true) -- far cheaper than a pattern
  if not after or after == 1 or after == #instance then return instance, nil end
  return instance:sub(1, -after - 1), instance:sub(1 - after)
end

function M.instance(group, ordinal) return ("%s-%d"):format(group, ordinal) end

---Pod, hostname and config map of an instance (an instance made by hand may have any name).
function M.pod_name(instance, component)
  local group, ordinal = M.split(instance)
  if not ordinal then return ("%s-%s"):format(instance, component) end
  return ("%s-%s-%s"):format(group, component, ordinal)
end

function M.claim_name(volume, pod) return volume .. "-" .. pod end
function M.peer_service(group, component) return ("%s-%s-peer"):format(group, component) end
function M.pd_service(group) return group .. "-pd" end
function M.budget_name(cluster, component) return ("%s-%s"):format(cluster, component) end

---@param dns table? Cluster.spec.dns
local function domain(dns)
  if dns and dns.mode == "FQDN" then return "." .. (dns.clusterDomain or "cluster.local") end
  return ""
end

---Advertised host of a pod: also its identity in PD, so it must never depend on anything mutable.
function M.host(pod, service, ns, dns)
  return ("%s.%s.%s.svc%s"):format(pod, service, ns, domain(dns))
end

---Host of a service as a client writes it.
function M.service_host(service, ns, dns)
  if dns and dns.mode == "FQDN" then return ("%s.%s.svc%s"):format(service, ns, domain(dns)) end
  return ("%s.%s"):format(service, ns)
end

---Key under which an address is compared: pod.service.namespace, whatever domain and port follow.
function M.address_key(address)
  local host = address:match("^(.-):%d+$") or address
  return host:match("^([^.]+%.[^.]+%.[^.]+)") or host
end

-- Objects ----------------------------------------------------------------------------------------

function M.labels(cluster, component, group, instance)
  return {
    ["app.kubernetes.io/name"] = "tikv-cluster",
    ["app.kubernetes.io/instance"] = cluster,
    ["app.kubernetes.io/component"] = component,
    ["app.kubernetes.io/managed-by"] = M.MANAGER,
    [M.label.cluster] = cluster,
    [M.label.component] = component,
    [M.label.group] = group,
    [M.label.instance] = instance,
  }
end

---Labels that select the pods of a cluster, a component of it, or a group.
function M.selector(cluster, component, group)
  return {
    ["app.kubernetes.io/managed-by"] = M.MANAGER,
    [M.label.cluster] = cluster,
    [M.label.component] = component,
    [M.label.group] = group,
  }
end

function M.selector_text(selector)
  local out = {}
  for k, v in pairs(selector) do out[#out + 1] = k .. "=" .. v end
  table.sort(out)
  return table.concat(out, ",")
end

function M.object(kind, ns, name, labels)
  return {
    apiVersion = versions[kind] or "v1", kind = kind,
    metadata = { name = name, namespace = ns, labels = labels, annotations = {} },
  }
end

---Make `owner` (an object) the controller of `object`. Claims never get one: see pvc. The owner is not
---blocked from going first: its own finalizer does that, and some clusters ask for more rights for it.
function M.own(object, owner)
  object.metadata.ownerReferences = { {
    apiVersion = M.API, kind = owner.kind, name = owner.metadata.name, uid = owner.metadata.uid,
    controller = true,
  } }
  return object
end

---@param owners table? metadata.ownerReferences
function M.owned_by(owners, uid)
  for _, o in ipairs(owners or {}) do
    if o.controller and o.uid == uid then return true end
  end
  return false
end

---What an action needs to name an object: from a whole object or from a row.
function M.ref(kind, it)
  local m = it.metadata
  if m then return { kind = kind, name = m.name, uid = m.uid, rv = m.resourceVersion } end
  return { kind = kind, name = it.name, uid = it.uid, rv = it.rv }
end

---A deep copy. Empty tables are shared: they carry the mark that tells a list from an object.
function M.clone(v)
  if type(v) ~= "table" or next(v) == nil then return v end
  local out = {}
  for k, x in pairs(v) do out[k] = M.clone(x) end
  return out
end

function M.merge(into, from)
  for k, v in pairs(from or {}) do into[k] = v end
  return into
end

---Whether all that `want` says holds in `live` (lists by position). Live objects carry defaults.
function M.covers(live, want)
  if type(want) ~= "table" then return live == want end
  if type(live) ~= "table" then return false end
  for k, v in pairs(want) do
    if not M.covers(live[k], v) then return false end
  end
  return true
end

---Whether a label or annotation map lacks something wanted: the missing part, or nil.
function M.missing(live, want)
  local out
  for k, v in pairs(want or {}) do
    if (live or {})[k] ~= v then
      out = out or {}
      out[k] = v
    end
  end
  return out
end

---Apply `want` unless `live` has it already. The hash of what was applied last tells removals that
---a comparison of fields can not see.
function M.ensure(p, live, want)
  local digest = hash.safe(json.encode(want, true))
  want.metadata.annotations = want.metadata.annotations or {}
  want.metadata.annotations[M.annotation.applied] = digest
  if live then
    if live.metadata.deletionTimestamp then return false end
    if M.covers(live, want) then return false end
    want.metadata.uid = live.metadata.uid
  end
  p:apply(want)
  return true
end

function M.has_finalizer(object)
  for _, f in ipairs(object.metadata.finalizers or {}) do
    if f == M.FINALIZER then return true end
  end
  return false
end

---Numbers may come as text when they are large; ports are small.
function M.port(ports, name, default)
  local p = ports and ports[name]
  return tonumber(p and p.port) or default
end

function M.features(cluster)
  local out = {}
  for _, f in ipairs(cluster and cluster.features or {}) do out[#out + 1] = f.name end
  table.sort(out)
  return out
end

function M.has_feature(features, name)
  for _, f in ipairs(features or {}) do
    if f == name then return true end
  end
  return false
end

return M
