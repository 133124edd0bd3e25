--- services: how pods find each other, and clients find PD.
local kube = require "lib.kube"

local M = {}

local function port(name, number) return { name = name, port = number, targetPort = name, protocol = "TCP" } end

local function ports_of(group)
  local p = group.spec.template.spec.server
  p = p and p.ports
  if group.kind == "PDGroup" then
    return { port("client", kube.port(p, "client", 2379)), port("peer", kube.port(p, "peer", 2380)) }
  end
  local status = kube.port(p, "status", kube.port(p, "peer", 20180))
  return { port("client", kube.port(p, "client", 20160)), port("status", status) }
end

local function base(group, name)
  local component, cluster = kube.component[group.kind], group.spec.cluster.name
  local s = kube.object("Service", group.metadata.namespace, name, kube.labels(cluster, component, group.metadata.name))
  s.spec = {
    ports = ports_of(group), ipFamilyPolicy = "PreferDualStack",
    selector = kube.selector(cluster, component, group.metadata.name),
  }
  return kube.own(s, group)
end

---Headless: names for pods that are not ready yet, or nobody could found or join.
function M.peer(group)
  local s = base(group, kube.peer_service(group.metadata.name, kube.component[group.kind]))
  s.spec.clusterIP, s.spec.publishNotReadyAddresses = "None", true
  return s
end

---What clients, TiKV and joining members use.
function M.client(group)
  local s, want = base(group, kube.pd_service(group.metadata.name)), group.spec.service or {}
  s.spec.type = want.type or "ClusterIP"
  kube.merge(s.metadata.annotations, want.annotations)
  s.metadata.labels = kube.merge(kube.merge({}, want.labels), s.metadata.labels)
  s.spec.loadBalancerClass = want.loadBalancerClass
  if s.spec.type ~= "ClusterIP" then
    s.spec.externalTrafficPolicy = want.externalTrafficPolicy
    s.spec.ports[1].nodePort = tonumber(want.nodePort)
  end
  return s
end

---What needs() asks for.
function M.needs(group)
  local name, component = group.metadata.name, kube.component[group.kind]
  local out = { { as = "peer_service", kind = "Service", name = kube.peer_service(name, component) } }
  if component == "pd" then out[2] = { as = "client_service", kind = "Service", name = kube.pd_service(name) } end
  return out
end

---Step: the services are there. One of somebody else's is left alone and named.
function M.sync(w, p)
  local pairs_of = { { w.peer_service, M.peer(w.object) } }
  if w.object.kind == "PDGroup" then pairs_of[2] = { w.client_service, M.client(w.object) } end
  for _, pair in ipairs(pairs_of) do
    local live, want = pair[1], pair[2]
    if live and not kube.owned_by(live.metadata.ownerReferences, w.object.metadata.uid) then
      return p:wait("ForeignObject", "Service %s is not ours", want.metadata.name)
    end
    kube.ensure(p, live, want)
  end
end

return M
