--- manifests: the objects that specs begin with.
local M = {}

function M.cluster(name, spec)
  return { apiVersion = "core.tikv.org/v1alpha1", kind = "Cluster", metadata = { name = name, namespace = "ns" },
    spec = spec or {} }
end

function M.group(kind, name, replicas, more)
  local spec = { cluster = { name = name }, replicas = replicas, template = { spec = {
    version = "v8.5.2", resources = { cpu = "1", memory = "2Gi" },
    volumes = { { name = "data", mounts = { { type = "data" } }, storage = "10Gi" } } } } }
  for k, v in pairs(more or {}) do spec[k] = v end
  return { apiVersion = "core.tikv.org/v1alpha1", kind = kind, metadata = { name = name, namespace = "ns" },
    spec = spec }
end

---A Cluster, a PDGroup and a TiKVGroup, all named `basic`.
function M.basic(m, pd, tikv, cluster)
  m:put(M.cluster("basic", cluster))
  m:put(M.group("PDGroup", "basic", pd))
  m:put(M.group("TiKVGroup", "basic", tikv))
  return m
end

---What the pods of `basic` mount with TLS.
function M.secrets(m)
  for _, component in ipairs { "pd", "tikv" } do
    m:put { apiVersion = "v1", kind = "Secret", metadata = { name = ("basic-%s-cluster-secret"):format(component) },
      data = { ["ca.crt"] = "eA==", ["tls.crt"] = "eA==", ["tls.key"] = "eA==" } }
  end
end

return M
