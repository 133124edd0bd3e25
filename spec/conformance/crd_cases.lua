--- crd_cases: every accept/reject decision of the API, as one table for two judges.
-- The judges are lua/lib/schema.lua and a real kube-apiserver; they must agree (reliability: any
-- difference is a bug of ours). A case: kind, what to change in a good object (`create`), what to
-- change in it next (`update`), and the text of the refusal, or nil where it is accepted.
local cases = {}

local NONE = {} -- "take this field away"

local function case(kind, name, create, update, refusal)
  cases[#cases + 1] = { kind = kind, name = name, create = create or {}, update = update, refusal = refusal }
end

local function volume(name, more)
  local v = { name = name, mounts = { { type = "data" } }, storage = "1Gi" }
  for k, x in pairs(more or {}) do v[k] = x end
  return v
end

--- A good object of each kind, by name.
function cases.base(kind)
  local template = { version = "v8.5.2", volumes = { volume "data" } }
  local o = { apiVersion = "core.tikv.org/v1alpha1", kind = kind, metadata = { name = "case" } }
  if kind == "Cluster" then
    o.spec = {}
  elseif kind == "PDGroup" or kind == "TiKVGroup" then
    o.spec = { cluster = { name = "c" }, replicas = 3, template = { spec = template } }
  else
    o.spec = template
    template.cluster, template.subdomain = { name = "c" }, "peer"
  end
  return o
end

--- Change a good object: keys are paths ("spec.replicas"), `cases.NONE` removes.
cases.NONE = NONE
function cases.change(object, changes)
  for path, value in pairs(changes) do
    local at, last = object, nil
    for part in path:gmatch "[^.]+" do
      if last then
        at[last] = at[last] or {}
        at = at[last]
      end
      last = part
    end
    if value == NONE then at[last] = nil else at[last] = value end
  end
  return object
end

local function gates(...)
  local out = {}
  for i, name in ipairs { ... } do out[i] = { name = name } end
  return out
end

-- Cluster (peer catalogue 9.1)
local FG = "spec.featureGates"
local ONLY = "can only enable FeatureModification if it is not enabled"
case("Cluster", "gates: none", { [FG] = {} })
case("Cluster", "gates: one", { [FG] = gates "UsePDReadyAPIV2" })
case("Cluster", "gates: with FeatureModification", { [FG] = gates("FeatureModification", "UsePDReadyAPIV2") })
case("Cluster", "gates: unknown", { [FG] = gates "Nonsense" }, nil, "Unsupported value")
case("Cluster", "gates: unchanged", { [FG] = gates "UsePDReadyAPIV2" }, { [FG] = gates "UsePDReadyAPIV2" })
case("Cluster", "gates: replaced with FeatureModification on", { [FG] = gates("FeatureModification", "UsePDReadyAPI") },
  { [FG] = gates("FeatureModification", "UsePDReadyAPIV2") })
case("Cluster", "gates: others removed with it on", { [FG] = gates("FeatureModification", "UsePDReadyAPI") },
  { [FG] = gates "FeatureModification" })
case("Cluster", "gates: replaced without it", { [FG] = gates "UsePDReadyAPI" }, { [FG] = gates "UsePDReadyAPIV2" }, ONLY)
case("Cluster", "gates: replaced while enabling it", { [FG] = gates "UsePDReadyAPI" },
  { [FG] = gates("FeatureModification", "UsePDReadyAPIV2") }, ONLY)
case("Cluster", "gates: enabling it alone", { [FG] = gates "UsePDReadyAPI" },
  { [FG] = gates("FeatureModification", "UsePDReadyAPI") })
case("Cluster", "gates: removed without it", { [FG] = gates "UsePDReadyAPI" }, { [FG] = NONE }, ONLY)
case("Cluster", "gates: added to none", {}, { [FG] = gates "UsePDReadyAPI" }, ONLY)
case("Cluster", "gates: disabling it", { [FG] = gates "FeatureModification" }, { [FG] = {} }, "cannot disable FeatureModification")
local SQL = "spec.bootstrapSQL"
case("Cluster", "bootstrapSQL: set", { [SQL] = { name = "a" } })
case("Cluster", "bootstrapSQL: unset later", { [SQL] = { name = "a" } }, { [SQL] = NONE })
case("Cluster", "bootstrapSQL: other name", { [SQL] = { name = "a" } }, { [SQL] = { name = "b" } }, "bootstrapSQL can only be unset")
case("Cluster", "bootstrapSQL: set later", {}, { [SQL] = { name = "a" } }, "bootstrapSQL can only be set when creating")
local TLS = "spec.tlsCluster"
case("Cluster", "tls: true", { [TLS] = { enabled = true } }, { [TLS] = { enabled = true } })
case("Cluster", "tls: false stays", { [TLS] = { enabled = false } }, { [TLS] = { enabled = false } })
for name, pair in pairs { on = { false, true }, off = { true, false } } do
  case("Cluster", "tls: turned " .. name, { [TLS] = { enabled = pair[1] } }, { [TLS] = { enabled = pair[2] } }, "tlsCluster is immutable")
end
-- U-84, U-85
case("Cluster", "tls: set later", {}, { [TLS] = { enabled = true } }, "tlsCluster is immutable")
case("Cluster", "tls: taken away", { [TLS] = { enabled = true } }, { [TLS] = NONE }, "tlsCluster is immutable")
case("Cluster", "dns: immutable (W-03)", { ["spec.dns"] = { mode = "FQDN" } }, { ["spec.dns"] = { mode = "InCluster" } }, "dns is immutable")
-- W-52
case("Cluster", "upgradePolicy: a real enum", { ["spec.upgradePolicy"] = "Fast" }, nil, "Unsupported value")
case("Cluster", "unknown field", { ["spec.nonsense"] = 1 }, nil, "unknown field")
case("Cluster", "disruption below one", { ["spec.disruption.maxUnavailableStores"] = 0 }, nil, "greater than or equal to 1")

for kind, limit in pairs { Cluster = 37, PDGroup = 40, TiKVGroup = 40, PD = 47, TiKV = 47 } do
  -- E-97
  case(kind, "name: as long as allowed", { ["metadata.name"] = ("a"):rep(limit) })
  case(kind, "name: one more", { ["metadata.name"] = ("a"):rep(limit + 1) }, nil, "name must not exceed " .. limit)
end

for _, kind in ipairs { "PDGroup", "TiKVGroup", "PD", "TiKV" } do
  local group = kind:find "Group" ~= nil
  local t = group and "spec.template.spec." or "spec."
  case(kind, "good as it is")
  case(kind, "cluster: missing name", { ["spec.cluster"] = {} }, nil, "spec.cluster.name: Required value")
  case(kind, "cluster: empty name", { ["spec.cluster.name"] = "" }, nil, "should match")
  for _, bad in ipairs { "A", "-a", "a-", ".a", "a.", "a_b", "a b", "a..b", "a/b", "ä" } do
    case(kind, "cluster: bad name " .. bad, { ["spec.cluster.name"] = bad }, nil, "should match")
  end
  for _, good in ipairs { "a", "a-b", "a.b", "1", "0.a-9" } do
    case(kind, "cluster: good name " .. good, { ["spec.cluster.name"] = good })
  end
  case(kind, "cluster: changed", {}, { ["spec.cluster.name"] = "d" }, "cluster name is immutable")
  for _, v in ipairs { "0.0.4", "v1.2.3", "1.1.2-prerelease+meta", "1.0.0-alpha.beta.1", "2.0.0+build.1848", "1.0.0-0A.is.legal" } do
    case(kind, "version: " .. v, { [t .. "version"] = v })
  end
  for _, v in ipairs { "1", "1.2", "vv1.2.3", "01.1.1", "1.1.1-", "1.1.1+", "1.2.3-0123", "", "1.2.3 ", "alpha" } do
    case(kind, "version: bad '" .. v .. "'", { [t .. "version"] = v }, nil, "should match")
  end
  case(kind, "volumes: more than data", { [t .. "volumes"] = { volume "data", volume "log" } })
  case(kind, "volumes: missing", { [t .. "volumes"] = NONE }, nil, "volumes: Required value")
  case(kind, "volumes: only others", { [t .. "volumes"] = { volume "other" } }, nil, "data volume must be configured")
  case(kind, "volumes: twice the same", { [t .. "volumes"] = { volume "data", volume "data" } }, nil, "Duplicate value")
  case(kind, "volumes: no size", { [t .. "volumes"] = { { name = "data", mounts = { { type = "data" } } } } }, nil, "storage: Required value")
  local vac = { volume("data", { volumeAttributesClassName = "fast" }) }
  case(kind, "volumes: attributes class set later", {}, { [t .. "volumes"] = vac })
  case(kind, "volumes: attributes class unset", { [t .. "volumes"] = vac }, { [t .. "volumes"] = { volume "data" } },
    "volumeAttributesClassName cannot be changed from non-nil to nil")
  local labels = t .. "overlay.pod.metadata.labels"
  case(kind, "overlay: ordinary label", { [labels] = { a = "b", ["pingcap.com"] = "x" } })
  case(kind, "overlay: reserved label", { [labels] = { ["core.tikv.org/x"] = "b" } }, nil, "cannot overlay pod labels starting with 'core.tikv.org/'")
  case(kind, "overlay: the peer's reserved label", { [labels] = { ["pingcap.com/x"] = "b" } }, nil, "cannot overlay pod labels starting with 'pingcap.com/'")
  case(kind, "overlay: any pod field", { [t .. "overlay.pod.spec"] = { tolerations = { { key = "a", operator = "Exists" } } } })
  local claims = t .. "overlay.volumeClaims"
  case(kind, "overlay: claim of a volume", { [claims] = { { name = "data", volumeClaim = { metadata = { labels = { a = "b" } } } } } })
  case(kind, "overlay: claim of no volume", { [claims] = { { name = "nope", volumeClaim = { metadata = { labels = { a = "b" } } } } } }, nil,
    "overlay volumeClaims names must exist in volumes")
  case(kind, "resources: not a quantity", { [t .. "resources.cpu"] = "many" }, nil, "should match")
  case(kind, "resources: an integer", { [t .. "resources.cpu"] = 2 })
  if group then
    for _, s in ipairs { 0, 10, 3600 } do case(kind, "minReadySeconds: " .. s, { ["spec.minReadySeconds"] = s }) end
    case(kind, "minReadySeconds: negative", { ["spec.minReadySeconds"] = -1 }, nil, "greater than or equal to 0")
    case(kind, "minReadySeconds: made negative", { ["spec.minReadySeconds"] = 10 }, { ["spec.minReadySeconds"] = -1 }, "greater than or equal to 0")
    case(kind, "replicas: negative", { ["spec.replicas"] = -1 }, nil, "greater than or equal to 0")
    case(kind, "replicas: a text", { ["spec.replicas"] = "three" }, nil, "must be of type integer")
    case(kind, "removeFirst: numbers and names", { ["spec.scalePolicy.removeFirst"] = { 1, "case-2" } })
  else
    local at = "spec.topology"
    case(kind, "topology: set", { [at] = { zone = "a" } }, { [at] = { zone = "a" } })
    case(kind, "topology: changed", { [at] = { zone = "a" } }, { [at] = { zone = "b" } }, "topology is immutable")
    case(kind, "topology: set later", {}, { [at] = { zone = "a" } }, "topology can only be set when creating")
    case(kind, "topology: unset later", { [at] = { zone = "a" } }, { [at] = NONE }, "topology can only be set when creating")
    case(kind, "subdomain: changed", {}, { ["spec.subdomain"] = "other" }, "subdomain is immutable")
    case(kind, "replicas: two", { ["spec.replicas"] = 2 }, nil, "less than or equal to 1")
  end
end

for _, mode in ipairs { "ms", "" } do
  case("PD", "mode: " .. mode, { ["spec.mode"] = mode }, { ["spec.mode"] = mode == "" and "ms" or "" })
end
local BOOT, REPL = "spec.bootstrapped", "spec.replicas"
case("PDGroup", "bootstrapped: set later", { [BOOT] = false }, { [BOOT] = true })
case("PDGroup", "bootstrapped: taken back", { [BOOT] = true }, { [BOOT] = false }, "bootstrapped cannot be changed from true to false")
case("PDGroup", "replicas: changed while founding", { [REPL] = 3 }, { [REPL] = 5 }, "replicas cannot be changed when bootstrapped is false")
case("PDGroup", "replicas: changed afterwards", { [REPL] = 3, [BOOT] = true }, { [REPL] = 5 })
case("PDGroup", "replicas: changed with the flag", { [REPL] = 3 }, { [REPL] = 5, [BOOT] = true })
for kind, path in pairs { TiKV = "spec.server.labels", TiKVGroup = "spec.template.spec.server.labels" } do
  case(kind, "store labels: own", { [path] = { ["custom/k"] = "v" } })
  for _, key in ipairs { "k/tikvgroup", "$k/exclusive" } do
    case(kind, "store labels: " .. key, { [path] = { [key] = "v" } }, nil, "reserved")
  end
  for _, key in ipairs { "host", "zone", "region" } do
    case(kind, "store labels: " .. key, { [path] = { [key] = "v" } }, nil, "labels cannot contain host, region or zone")
  end
  local ports = path:gsub("labels", "ports")
  case(kind, "ports: the peer's spelling (W-39)", { [ports] = { peer = { port = 20181 } } })
  case(kind, "ports: both spellings differ", { [ports] = { peer = { port = 20181 }, status = { port = 20182 } } }, nil, "two spellings")
end

case("Cluster", "scheduling: halted until a time, at a rate",
  { ["spec.scheduling"] = { haltUntil = "2026-11-28T04:00:00Z", drainRate = 60 } }, { ["spec.scheduling"] = NONE })
case("Cluster", "scheduling: halted until no time", { ["spec.scheduling"] = { haltUntil = "tomorrow" } }, nil, "haltUntil")
case("Cluster", "scheduling: no drain at all", { ["spec.scheduling"] = { drainRate = 0 } }, nil,
  "greater than or equal to 1")

return cases
