require("support.caged").open()
local caged = require "support.caged"
local instance = require "lib.instance"
local pod = require "lib.pod"

local function tikv(spec, cluster)
  local s = { cluster = { name = "basic" }, subdomain = "basic-tikv-peer", version = "v8.5.2",
    resources = { cpu = "2", memory = "4Gi" },
    volumes = { { name = "data", mounts = { { type = "data" } }, storage = "1Gi" } } }
  for k, v in pairs(spec or {}) do s[k] = v end
  local o = { apiVersion = "core.tikv.org/v1alpha1", kind = "TiKV", spec = s,
    metadata = { name = "basic-0", namespace = "ns", uid = "u1", annotations = {},
      labels = { ["core.tikv.org/group"] = "basic", ["core.tikv.org/revision"] = "r1" } } }
  local w = { object = o, now = 0, cluster = cluster or {} }
  return w, instance.of(w, o)
end

local function pd(spec, cluster)
  local w, i = tikv(spec, cluster)
  i.object.kind, i.object.spec.subdomain = "PD", "basic-pd-peer"
  return w, instance.of(w, i.object)
end

local function container(p, name)
  for _, list in ipairs { p.spec.containers, p.spec.initContainers or {} } do
    for _, c in ipairs(list) do
      if c.name == name then return c end
    end
  end
end

local function env(p, container_name, name)
  for _, e in ipairs(container(p, container_name).env or {}) do
    if e.name == name then return e.value end
  end
end

describe("A pod", function()
  before_each(function() caged.answer(nil) end)

  -- U-71
  it("is Guaranteed: requests equal limits in every container, init containers and sidecars included", function()
    local p = pod.build(tikv { overlay = { pod = { spec = {
      initContainers = { { name = "prepare", image = "x" } },
      containers = { { name = "side", image = "y", resources = { requests = { cpu = "1", memory = "1Gi" } } } } } } } })
    for _, name in ipairs { "tikv", "prepare", "side" } do
      local r = container(p, name).resources
      assert.same(r.limits, r.requests, name)
      assert.truthy(r.limits.cpu and r.limits.memory, name)
    end
  end)

  it("asks for nothing when the template does, and does not invent it for sidecars then", function()
    local w, i = tikv()
    i.spec.resources = nil
    i.spec.overlay = { pod = { spec = { containers = { { name = "side", image = "y" } } } } }
    local p = pod.build(w, i)
    assert.is_nil(container(p, "tikv").resources)
    assert.is_nil(container(p, "side").resources)
  end)

  it("is restricted by default, sidecars too (W-48)", function()
    local p = pod.build(tikv { overlay = { pod = { spec = { containers = { { name = "side", image = "y" } } } } } })
    assert.is_true(p.spec.securityContext.runAsNonRoot)
    assert.equal("RuntimeDefault", p.spec.securityContext.seccompProfile.type)
    for _, name in ipairs { "tikv", "side" } do
      local s = container(p, name).securityContext
      assert.is_false(s.allowPrivilegeEscalation)
      assert.same({ "ALL" }, s.capabilities.drop)
    end
  end)

  it("avoids the host of its siblings and spreads over zones, softly (W-48)", function()
    local p = pod.build(tikv())
    local term = p.spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[1].podAffinityTerm
    assert.equal("kubernetes.io/hostname", term.topologyKey)
    assert.equal("ScheduleAnyway", p.spec.topologySpreadConstraints[1].whenUnsatisfiable)
  end)

  -- U-70, U-74, U-114
  it("takes the overlay last: lists merge by key, and false, 0 and empty override (W-36)", function()
    local p = pod.build(tikv { overlay = { pod = {
      metadata = { labels = { team = "x", ["core.tikv.org/cluster"] = "evil" }, annotations = { a = "b" } },
      spec = { terminationGracePeriodSeconds = 0, automountServiceAccountToken = true,
        securityContext = { runAsNonRoot = false },
        containers = { { name = "tikv", env = { { name = "A", value = "1" } } } },
        tolerations = { { key = "dedicated", operator = "Exists" } } } } } })
    assert.equal(0, p.spec.terminationGracePeriodSeconds)
    assert.is_true(p.spec.automountServiceAccountToken)
    assert.is_false(p.spec.securityContext.runAsNonRoot)
    assert.equal(1000, p.spec.securityContext.runAsUser)
    assert.equal("1", env(p, "tikv", "A"))
    assert.equal("pingcap/tikv:v8.5.2", container(p, "tikv").image)
    assert.equal("dedicated", p.spec.tolerations[1].key)
    assert.equal("x", p.metadata.labels.team)
    assert.equal("basic", p.metadata.labels["core.tikv.org/cluster"])
  end)

  it("keeps its identity whatever the overlay says: host name, subdomain, topology", function()
    local p = pod.build(tikv { topology = { zone = "a" }, overlay = { pod = { spec = {
      hostname = "other", subdomain = "other", nodeSelector = { zone = "b", disk = "ssd" } } } } })
    assert.equal("basic-tikv-0", p.spec.hostname)
    assert.equal("basic-tikv-peer", p.spec.subdomain)
    assert.same({ zone = "a", disk = "ssd" }, p.spec.nodeSelector)
  end)

  it("bears an overlay without a spec, beside a topology (W-34)", function()
    local p = pod.build(tikv { topology = { zone = "a" }, overlay = { pod = { metadata = { labels = { x = "y" } } } } })
    assert.same({ zone = "a" }, p.spec.nodeSelector)
    assert.equal("y", p.metadata.labels.x)
  end)

  it("waits in a hook of ours before it stops, where the image of the program is known; Guaranteed as before (W-53)", function()
    assert.is_nil(pod.build(tikv()).spec.initContainers)
    local w, i = tikv()
    w.operator = { prestop_image = "operator:1" }
    local p = pod.build(w, i)
    assert.same({ "/ti-prestop/prestop", "tikv", "--port", "20180" }, container(p, "tikv").lifecycle.preStop.exec.command)
    local copy = container(p, "ti-prestop")
    assert.equal("operator:1", copy.image)
    assert.same({ "/prestop", "copy", "/ti-prestop" }, copy.command)
    assert.same(copy.resources.limits, copy.resources.requests)
    assert.truthy(copy.resources.limits.cpu and copy.resources.limits.memory)
    w, i = tikv { preStop = { image = "mine:2" } }
    assert.equal("mine:2", container(pod.build(w, i), "ti-prestop").image)
    w, i = pd({}, { tls = true })
    w.operator = { prestop_image = "operator:1" }
    assert.equal("/ti-prestop/prestop pd --port 2379 --name basic-pd-0 --cacert /var/lib/pd-tls/ca.crt "
      .. "--cert /var/lib/pd-tls/tls.crt --key /var/lib/pd-tls/tls.key",
      table.concat(container(pod.build(w, i), "pd").lifecycle.preStop.exec.command, " "))
  end)

  it("carries the format that it was rendered with", function()
    assert.equal("2", pod.build(tikv()).metadata.annotations["core.tikv.org/format"])
  end)

  for _, row in ipairs {
    { nil, "v8.5.2", "pingcap/tikv:v8.5.2" }, { "reg:5000/tikv", "v8.5.2", "reg:5000/tikv:v8.5.2" },
    { "tikv:nightly", "v8.5.2", "tikv:nightly" }, { "tikv@sha256:1", "v8.5.2", "tikv@sha256:1" },
    { nil, "v8.5.2+build", "pingcap/tikv:v8.5.2-build" },
  } do
    it(("runs %s for image %s and version %s (W-33)"):format(row[3], tostring(row[1]), row[2]), function()
      assert.equal(row[3], pod.image({ image = row[1], version = row[2] }, "tikv"))
    end)
  end

  -- U-96
  it("says that it serves by TCP; TiKV by PD's word only when asked", function()
    assert.equal(20160, container(pod.build(tikv()), "tikv").readinessProbe.tcpSocket.port)
    local p = pod.build(tikv { features = { "UseTiKVReadyAPI" } })
    assert.truthy(container(p, "tikv").readinessProbe.exec.command[2]:find("/ready", 1, true))
  end)

  -- P-04, E-48
  it("probes PD by feature and version", function()
    local function probe(features, version)
      return container(pod.build(pd { features = features, version = version }), "pd").readinessProbe
    end
    assert.equal(2379, probe({}, "v8.5.2").tcpSocket.port)
    assert.equal(2379, probe({ "UsePDReadyAPI" }, "v8.5.1").tcpSocket.port)
    assert.truthy(probe({ "UsePDReadyAPI" }, "v8.5.2").exec.command[2]:find("ready$"))
    assert.truthy(probe({ "UsePDReadyAPIV2" }, "v8.1.0").exec.command[2]:find("readyz$"))
    assert.is_nil(probe({ "DisablePDDefaultReadinessProbe" }, "v8.5.2"))
  end)

  it("mounts one secret, or two projected into one folder", function()
    local p = pod.build(tikv({}, { tls = true }))
    local function tls(q)
      for _, v in ipairs(q.spec.volumes) do if v.name == "ti-tls" then return v end end
    end
    assert.equal("basic-tikv-cluster-secret", tls(p).secret.secretName)
    p = pod.build(tikv({ security = { tls = { cluster = { ca = { name = "ca" } } } } }, { tls = true }))
    assert.equal("ca", tls(p).projected.sources[1].secret.name)
    assert.equal("basic-tikv-cluster-secret", tls(p).projected.sources[2].secret.name)
    assert.is_nil(tls(pod.build(tikv())))
  end)

  it("takes the status port by both of its names (W-39)", function()
    for _, ports in ipairs { { status = { port = 1 } }, { peer = { port = 1 } } } do
      local _, i = tikv { server = { ports = ports } }
      assert.equal(1, i.status_port)
    end
  end)

  -- U-67
  it("is rendered further by a policy, but not to another identity", function()
    caged.answer(function(q)
      local p = json.decode(json.encode(q.args[1]))
      p.spec.priorityClassName = "high"
      return { { policy = "ns/p", answer = p } }
    end)
    assert.equal("high", pod.build(tikv()).spec.priorityClassName)
    for _, break_it in ipairs {
      function(p) p.metadata.name = "x" end, function(p) p.metadata.labels["core.tikv.org/instance"] = nil end,
      function(p) p.metadata.ownerReferences = nil end, function(p) p.spec.hostname = "x" end,
      function(p) p.spec = nil end, function(p) p.metadata = "x" end, function(p) p.metadata.annotations = "x" end,
      function(p) p.metadata.labels = "x" end, function(p) p.kind = nil end,
    } do
      caged.answer(function(q)
        local p = json.decode(json.encode(q.args[1]))
        break_it(p)
        return { { policy = "ns/p", answer = p } }
      end)
      local ok, why = pcall(function() pod.build(tikv()) end)
      assert.is_false(ok)
      assert.truthy(tostring(why):find("policy ns/p: render_pod may not change", 1, true), why)
    end
  end)

  it("has an address that never moves once its object is made, and any name will do (W-03, W-33)", function()
    local _, i = tikv({}, { dns = { mode = "FQDN", clusterDomain = "x.org" } })
    assert.equal("basic-tikv-0.basic-tikv-peer.ns.svc.x.org:20160", i.address)
    i.object.metadata.annotations["core.tikv.org/host"] = "old.host"
    assert.equal("old.host:20160", instance.of({ cluster = {} }, i.object).address)
    i.object.metadata.name, i.object.metadata.annotations = "single", nil
    assert.equal("single-tikv", instance.of({}, i.object).pod)
  end)
end)
