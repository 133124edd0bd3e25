--- pod: the pods of PD and TiKV, as a pure function of an instance.
-- FORMAT names this way of rendering. It stands on the pod and in no revision: a pod keeps the
-- rendering it was made with until it is made again, so an operator upgrade restarts nothing.
local certificates = require "lib.certificates"
local kube = require "lib.kube"
local overlay = require "lib.overlay"
local questions = require "lib.questions"

local M = { FORMAT = 2 }

local USER = 1000
-- What a container gets that names no resources, so that the pod stays Guaranteed.
local SMALL = { cpu = "100m", memory = "128Mi" }
local GRACE = { pd = 60, tikv = 600 }
local IMAGE = { pd = "pingcap/pd", tikv = "pingcap/tikv" }

local KIT = {
  pd = { etc = "/etc/pd", tls = "/var/lib/pd-tls", data = "/var/lib/pd" },
  tikv = { etc = "/etc/tikv", tls = "/var/lib/tikv-tls", data = "/var/lib/tikv" },
}

---With tag or digest: as it is. Else the version is the tag ("+" is not legal in one: W-33).
function M.image(spec, component)
  local image = spec.image or IMAGE[component]
  local last = image:match("([^/]*)$")
  if image:find("@", 1, true) or last:find(":", 1, true) then return image end
  return image .. ":" .. (spec.version:gsub("%+", "-"))
end

-- Quality of service ------------------------------------------------------------------------------

---Requests equal limits for whatever is set. One that sets nothing gets a little, but only beside a
---main container that has both: otherwise the pod could not be Guaranteed anyway.
local function guarantee(container, small)
  local r = container.resources or {}
  local limits, requests = kube.clone(r.limits or {}), kube.clone(r.requests or {})
  if next(limits) == nil and next(requests) == nil then
    if not small then return end
    limits = kube.clone(SMALL)
  end
  limits, requests = kube.merge({}, limits), kube.merge({}, requests)
  for k, v in pairs(limits) do
    if requests[k] == nil then requests[k] = v end
  end
  for k, v in pairs(requests) do
    if limits[k] == nil then limits[k] = v end
  end
  container.resources = { limits = limits, requests = requests, claims = r.claims }
end

local function guarantee_all(pod, main)
  local mine
  for _, c in ipairs(pod.spec.containers) do
    if c.name == main then
      guarantee(c, false)
      mine = c.resources and c.resources.limits or {}
    end
  end
  local small = mine ~= nil and mine.cpu ~= nil and mine.memory ~= nil
  for _, list in ipairs { pod.spec.containers, pod.spec.initContainers or {} } do
    for _, c in ipairs(list) do
      if c.name ~= main then guarantee(c, small) end
    end
  end
end

-- Probes -----------------------------------------------------------------------------------------

local function exec_probe(i, port, path)
  local cmd = { "curl", ("%s://127.0.0.1:%d%s"):format(i.scheme, port, path), "--fail", "-sS", "--location" }
  if i.tls then
    local dir = KIT[i.component].tls
    for _, pair in ipairs { { "--cacert", "/ca.crt" }, { "--cert", "/tls.crt" }, { "--key", "/tls.key" } } do
      cmd[#cmd + 1] = pair[1]
      cmd[#cmd + 1] = dir .. pair[2]
    end
  end
  return { exec = { command = cmd } }
end

local function at_least(version, wanted)
  local c = semver.compare(version, wanted)
  return c ~= nil and c >= 0
end

---How a pod says that it serves. Never by what PD thinks of a store, unless the user asks for it.
local function readiness(i)
  local has = function(f) return kube.has_feature(i.features, f) end
  local probe
  if i.component == "tikv" then
    probe = has("UseTiKVReadyAPI") and exec_probe(i, i.status_port, "/ready")
      or { tcpSocket = { port = i.client_port } }
  elseif has("UsePDReadyAPIV2") then
    probe = exec_probe(i, i.client_port, "/pd/api/v2/readyz")
  elseif has("UsePDReadyAPI") and at_least(i.spec.version, "v8.5.2") then
    probe = exec_probe(i, i.client_port, "/pd/api/v2/ready")
  elseif has("DisablePDDefaultReadinessProbe") then
    return nil
  else
    probe = { tcpSocket = { port = i.client_port } }
  end
  probe.initialDelaySeconds, probe.periodSeconds = 3, 5
  return probe
end

-- Volumes ----------------------------------------------------------------------------------------

local function mounts_of(i)
  local kit = KIT[i.component]
  local volumes = { { name = "ti-config", configMap = { name = i.pod } } }
  local mounts = { { name = "ti-config", mountPath = kit.etc, readOnly = true } }
  for _, v in ipairs(i.spec.volumes or {}) do
    local name = "ti-vol-" .. v.name
    volumes[#volumes + 1] = { name = name, persistentVolumeClaim = { claimName = kube.claim_name(v.name, i.pod) } }
    for _, m in ipairs(v.mounts or {}) do
      mounts[#mounts + 1] = { name = name, subPath = m.subPath,
        mountPath = m.mountPath or (m.type == "data" and kit.data) or ("/mnt/" .. v.name) }
    end
  end
  if i.tls then
    local ca, pair = certificates.names(i)
    local volume = { name = "ti-tls" }
    if ca == pair then
      volume.secret = { secretName = ca }
    else
      volume.projected = { sources = {
        { secret = { name = ca, items = { { key = "ca.crt", path = "ca.crt" } } } },
        { secret = { name = pair, items = { { key = "tls.crt", path = "tls.crt" },
          { key = "tls.key", path = "tls.key" } } } },
      } }
    end
    volumes[#volumes + 1] = volume
    mounts[#mounts + 1] = { name = "ti-tls", mountPath = kit.tls, readOnly = true }
  end
  return volumes, mounts
end

-- The preStop hook ------------------------------------------------------------------------------

M.PRESTOP = "ti-prestop"
local HOOK_AT = "/ti-prestop"

-- Our own program, copied from the operator's image: it waits until the store leads nothing, or gives
-- PD's leadership away. Without an image there is no hook.
local function add_hook(w, i, spec)
  local image = i.spec.preStop and i.spec.preStop.image or w.operator and w.operator.prestop_image
  if not image or image == "" then return end
  local command = { HOOK_AT .. "/prestop", i.component, "--port",
    tostring(i.component == "pd" and i.client_port or i.status_port) }
  local function add(...)
    for _, word in ipairs { ... } do command[#command + 1] = word end
  end
  if i.component == "pd" then add("--name", i.pod) end
  local tls = KIT[i.component].tls
  if i.tls then add("--cacert", tls .. "/ca.crt", "--cert", tls .. "/tls.crt", "--key", tls .. "/tls.key") end
  local main, mount = spec.containers[1], { name = M.PRESTOP, mountPath = HOOK_AT }
  main.lifecycle = { preStop = { exec = { command = command } } }
  main.volumeMounts[#main.volumeMounts + 1] = { name = M.PRESTOP, mountPath = HOOK_AT, readOnly = true }
  spec.volumes[#spec.volumes + 1] = { name = M.PRESTOP, emptyDir = { sizeLimit = "16Mi" } }
  spec.initContainers = { { name = M.PRESTOP, image = image, imagePullPolicy = "IfNotPresent",
    command = { "/prestop", "copy", HOOK_AT }, volumeMounts = { mount }, resources = { limits = kube.clone(SMALL) } } }
end

-- Placement --------------------------------------------------------------------------------------

local function spread(i)
  local same = { matchLabels = kube.selector(i.cluster, i.component) }
  return {
    podAntiAffinity = { preferredDuringSchedulingIgnoredDuringExecution = { {
      weight = 100, podAffinityTerm = { topologyKey = "kubernetes.io/hostname", labelSelector = same },
    } } },
  }, { {
    maxSkew = 1, topologyKey = "topology.kubernetes.io/zone", whenUnsatisfiable = "ScheduleAnyway",
    labelSelector = kube.clone(same),
  } }
end

-- The pod ----------------------------------------------------------------------------------------

local function command(i)
  local kit = KIT[i.component]
  if i.component == "tikv" then return { "/tikv-server", "--config", kit.etc .. "/config.toml" } end
  if i.spec.mode == "ms" then return { "/pd-server", "services", "api", "--config", kit.etc .. "/config.toml" } end
  return { "/pd-server", "--config", kit.etc .. "/config.toml" }
end

local function ports(i)
  local second = i.component == "pd" and { name = "peer", containerPort = i.peer_port, protocol = "TCP" }
    or { name = "status", containerPort = i.status_port, protocol = "TCP" }
  return { { name = "client", containerPort = i.client_port, protocol = "TCP" }, second }
end

local function resources(r)
  if not r or (r.cpu == nil and r.memory == nil) then return nil end
  return { limits = { cpu = r.cpu, memory = r.memory }, requests = { cpu = r.cpu, memory = r.memory } }
end

---Labels and annotations of the pod: those alone are changed in place.
local function metadata(i)
  local o = kube.object("Pod", i.ns, i.pod, i.labels())
  kube.merge(o.metadata.annotations, {
    ["prometheus.io/scrape"] = "true",
    ["prometheus.io/port"] = tostring(i.component == "pd" and i.client_port or i.status_port),
    ["prometheus.io/path"] = "/metrics",
  })
  return kube.own(o, i.object)
end

local function body(i)
  local volumes, mounts = mounts_of(i)
  local affinity, constraints = spread(i)
  return {
    hostname = i.pod, subdomain = i.spec.subdomain,
    nodeSelector = kube.merge({}, i.spec.topology),
    affinity = affinity, topologySpreadConstraints = constraints,
    terminationGracePeriodSeconds = GRACE[i.component],
    automountServiceAccountToken = false, enableServiceLinks = false,
    securityContext = {
      runAsNonRoot = true, runAsUser = USER, runAsGroup = USER, fsGroup = USER,
      fsGroupChangePolicy = "OnRootMismatch", seccompProfile = { type = "RuntimeDefault" },
    },
    containers = { {
      name = i.component, image = M.image(i.spec, i.component), imagePullPolicy = "IfNotPresent",
      command = command(i), ports = ports(i), resources = resources(i.spec.resources),
      readinessProbe = readiness(i), volumeMounts = mounts,
    } },
    volumes = volumes,
  }
end

-- Restricted is the default for every container, the user's own included; what they set stays.
local function restrict(pod)
  for _, list in ipairs { pod.spec.containers, pod.spec.initContainers or {} } do
    for _, c in ipairs(list) do
      local s = kube.merge({}, c.securityContext)
      if s.allowPrivilegeEscalation == nil and not s.privileged then s.allowPrivilegeEscalation = false end
      if s.capabilities == nil and not s.privileged then s.capabilities = { drop = { "ALL" } } end
      c.securityContext = s
    end
  end
end

-- A policy may change much, but not who the pod is.
local function same_identity(was, now, who)
  local function check(what, a, b)
    if not (kube.covers(a, b) and kube.covers(b, a)) then
      error(("policy %s: render_pod may not change %s"):format(tostring(who), what), 0)
    end
  end
  local a, b = was.metadata, type(now.metadata) == "table" and now.metadata or {}
  local labels = type(b.labels) == "table" and b.labels or {}
  check("kind", was.kind, now.kind)
  check("metadata.name", a.name, b.name)
  check("metadata.namespace", a.namespace, b.namespace)
  check("metadata.ownerReferences", a.ownerReferences, b.ownerReferences)
  for k, v in pairs(a.labels) do check("the label " .. k, v, labels[k]) end
  local spec = type(now.spec) == "table" and now.spec or {}
  for _, k in ipairs { "hostname", "subdomain" } do check("spec." .. k, was.spec[k], spec[k]) end
  if b.annotations ~= nil and type(b.annotations) ~= "table" then check("metadata.annotations", {}, b.annotations) end
end

---@param w table world, for the policies
---@param i instance
function M.build(w, i)
  local pod = metadata(i)
  pod.spec = body(i)
  add_hook(w, i, pod.spec)
  local o = i.spec.overlay and i.spec.overlay.pod
  pod = overlay.apply(pod, o, i.spec.topology)
  guarantee_all(pod, i.component)
  restrict(pod)
  local asked = ask and kube.clone(pod)
  local out, who = questions.render(w, "render_pod", pod)
  if asked and out ~= pod then same_identity(asked, out, who) end
  out.metadata.annotations = out.metadata.annotations or {}
  out.metadata.annotations[kube.annotation.format] = tostring(M.FORMAT)
  return out
end

---Labels and annotations that the pod should carry now; changing them restarts nothing.
function M.metadata(i)
  local pod = metadata(i)
  pod.spec = { nodeSelector = {} }
  local o = i.spec.overlay and i.spec.overlay.pod
  overlay.apply(pod, o and { metadata = o.metadata }, nil)
  return pod.metadata.labels, pod.metadata.annotations
end

return M
