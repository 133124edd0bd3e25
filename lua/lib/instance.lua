--- instance: the facts of one PD or TiKV object that every builder needs, worked out once.
local certificates = require "lib.certificates"
local kube = require "lib.kube"
local placing = require "lib.placing"
local lost_node = require "lib.lost_node"

local M = {}

---@class instance
---@field object table the PD or TiKV
---@field spec table
---@field ns string
---@field name string of the instance
---@field component "pd"|"tikv"
---@field cluster string
---@field group string
---@field pod string name of pod, hostname and config map
---@field host string advertised
---@field tls boolean
---@field scheme "http"|"https"

---@param w table world of an instance, or anything with `cluster` (row of the Cluster)
function M.of(w, object)
  local spec, component = object.spec, kube.component[object.kind]
  local labels = object.metadata.labels or {}
  local group = labels[kube.label.group] or (kube.split(object.metadata.name))
  local pod = kube.pod_name(object.metadata.name, component)
  local cluster = w.cluster or {}
  local ports = spec.server and spec.server.ports
  local i = {
    object = object, spec = spec, component = component, group = group, pod = pod,
    ns = object.metadata.namespace, name = object.metadata.name, cluster = spec.cluster.name,
    revision = labels[kube.label.revision],
    -- fixed when the object was made: an address must never move under a living store (W-03)
    host = (object.metadata.annotations or {})[kube.annotation.host]
      or kube.host(pod, spec.subdomain, object.metadata.namespace, cluster.dns),
    tls = cluster.tls == true,
    scheme = cluster.tls == true and "https" or "http",
    features = spec.features or {},
  }
  if component == "pd" then
    i.client_port = kube.port(ports, "client", 2379)
    i.peer_port = kube.port(ports, "peer", 2380)
  else
    i.client_port = kube.port(ports, "client", 20160)
    -- the peer's API spells the status port `peer`; both are taken
    i.status_port = kube.port(ports, "status", kube.port(ports, "peer", 20180))
  end
  i.address = ("%s:%d"):format(i.host, i.client_port)
  function i.labels()
    local l = kube.labels(i.cluster, i.component, i.group, i.name)
    l[kube.label.revision] = i.revision
    return l
  end
  return i
end

---Fields of pods that instances look at.
M.POD = {
  name = "metadata.name", uid = "metadata.uid", rv = "metadata.resourceVersion",
  deleting = "metadata.deletionTimestamp", created = "metadata.creationTimestamp",
  labels = "metadata.labels", annotations = "metadata.annotations", owners = "metadata.ownerReferences",
  phase = "status.phase", why = "status.reason", message = "status.message", node = "spec.nodeName",
  ready = "status.conditions[type=Ready].status",
  scheduled = "status.conditions[type=PodScheduled].status",
  placing = "status.conditions[type=PodScheduled].message",
  containers = "status.containerStatuses", init = "status.initContainerStatuses",
}

---Side containers of the overlay: their images are changed in place.
---@return table<string, string> by name
function M.side_images(i)
  local out = {}
  for _, c in ipairs(((i.spec.overlay or {}).pod or {}).spec and i.spec.overlay.pod.spec.containers or {}) do
    if c.name ~= i.component then out[c.name] = c.image end
  end
  return out
end

---Fields of the group that instances look at.
M.GROUP = {
  name = "metadata.name", uid = "metadata.uid", deleting = "metadata.deletionTimestamp",
  retention = "spec.persistentVolumeClaimRetentionPolicy",
}

---Fields of storage classes: only for a start and for growing.
M.CLASS = { name = "metadata.name", expands = "allowVolumeExpansion", binding = "volumeBindingMode",
  default = kube.path_annotation("storageclass.kubernetes.io/is-default-class") }

-- Some volume is to be larger than it is.
local function grows(object)
  local has = {}
  for _, v in ipairs((object.status or {}).volumes or {}) do has[v.name] = v.capacity end
  for _, v in ipairs(object.spec.volumes or {}) do
    if has[v.name] and quantity.compare(v.storage, has[v.name]) == 1 then return true end
  end
  return false
end

---What needs() of PD and TiKV have in common.
function M.needs(object, claim_fields)
  local i = M.of({}, object)
  local out = {
    { as = "cluster", kind = "Cluster", name = i.cluster, fields = M.CLUSTER },
    { as = "group", kind = kube.group_kind[i.component], name = i.group, fields = M.GROUP },
    { as = "pod", kind = "Pod", name = i.pod,
      fields = next(M.side_images(i)) and kube.merge({ specs = "spec.containers" }, M.POD) or M.POD },
    { as = "configmap", kind = "ConfigMap", name = i.pod },
    { as = "claims", kind = "PersistentVolumeClaim", label = { kube.label.instance, i.name },
      fields = claim_fields },
  }
  -- the node and the volumes are known by name only once status has them
  local status = object.status or {}
  lost_node.needs(object, out)
  certificates.needs(object, i, out)
  if grows(object) or not status.pod then
    out[#out + 1] = { as = "classes", kind = "StorageClass", fields = M.CLASS }
  end
  placing.needs(object, out)
  for n, v in ipairs(status.volumes or {}) do
    if v.volume then
      out[#out + 1] = { as = "volume_" .. n, kind = "PersistentVolume", name = v.volume,
        fields = { name = "metadata.name", uid = "metadata.uid", rv = "metadata.resourceVersion",
          labels = "metadata.labels", annotations = "metadata.annotations" } }
    end
  end
  return out, i
end

---Fields of the Cluster that groups and instances look at.
M.CLUSTER = {
  name = "metadata.name", uid = "metadata.uid", generation = "metadata.generation",
  deleting = "metadata.deletionTimestamp", paused = "spec.paused",
  suspend = "spec.suspendAction.suspendCompute", tls = "spec.tlsCluster.enabled", dns = "spec.dns",
  features = "spec.featureGates", history = "spec.revisionHistoryLimit",
  retention = "spec.persistentVolumeClaimRetentionPolicy",
  policies = "spec.policyRefs", pd = "status.pd", id = "status.id",
  windows = "spec.maintenance.windows", unavailable = "spec.disruption.maxUnavailableStores",
  upgrade_policy = "spec.upgradePolicy",
}

return M
