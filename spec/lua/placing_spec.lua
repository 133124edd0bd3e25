require("support.caged").open()
local mini = require "support.mini"
local things = require "support.manifests"
local placing = require "lib.placing"
local diagnosis = require "lib.diagnosis"
local reasons = require "lib.reasons"

local function node(name, more)
  local n = { name = name, labels = { ["kubernetes.io/hostname"] = name }, ready = "True", cpu = "8", memory = "32Gi" }
  for k, v in pairs(more or {}) do n[k] = v end
  return n
end

local function claim(more)
  local c = { name = "data-basic-tikv-1", annotations = { ["core.tikv.org/owner-uid"] = "u" }, class = "local",
    storage = "500Gi", volume = "pv-1", phase = "Bound" }
  for k, v in pairs(more or {}) do c[k] = v end
  return c
end

-- no node has it: volume = false
local function world(change)
  local w = { now = 1000, nodes = { node "n1", node "n2" },
    storage_classes = { { name = "local", provisioner = "kubernetes.io/no-provisioner" },
      { name = "fast", provisioner = "ebs.csi", binding = "Immediate" } },
    disks = { { name = "pv-1", class = "local", phase = "Bound", size = "500Gi" } }, claims = { claim() } }
  local i = { object = { metadata = { uid = "u" } }, pod = "basic-tikv-1", component = "tikv",
    spec = { resources = { cpu = "4", memory = "16Gi" }, volumes = { { name = "data" } } } }
  if change then change(w, i) end
  return w, i
end

local function on(host)
  return { { matchExpressions = { { key = "kubernetes.io/hostname", operator = "In", values = { host } } } } }
end

local function unbound(more)
  return function(w)
    w.claims = { claim(more) }
    w.claims[1].volume = nil
  end
end

-- what the scheduler says | our reason | a part of our message | what our lists say
local CASES = {
  { "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available.", "InsufficientCPU",
    "it needs 4 of CPU, no node has that free; the largest, n1, has 8 in all" },
  { "0/2 nodes are available: 2 Insufficient cpu.", "InsufficientCPU",
    "it needs 16 of CPU, the largest node n1 has 8 in all", function(_, i) i.spec.resources.cpu = "16" end },
  { "0/2 nodes are available: 2 Insufficient memory.", "InsufficientMemory", "it needs 16Gi of memory" },
  { "0/2 nodes are available: 2 Insufficient ephemeral-storage.", "InsufficientStorage", "ephemeral" },
  { "0/2 nodes are available: 2 Insufficient hugepages-2Mi.", "InsufficientResource", "hugepages" },
  { "0/2 nodes are available: 2 Too many pods.", "TooManyPods", "Too many" },
  { 'persistentvolumeclaim "data-basic-tikv-1" not found', "ClaimMissing", "not found" },
  { 'persistentvolumeclaim "data-basic-tikv-1" is being deleted', "ClaimTerminating",
    "claim data-basic-tikv-1 is being deleted", function(w) w.claims[1].deleting = "2026" end },
  { 'persistentvolumeclaim "data-basic-tikv-1" bound to non-existent persistentvolume "pv-1"', "ClaimLost",
    "the volume pv-1 of claim data-basic-tikv-1 is gone", function(w) w.disks = {} end },
  { "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.", "StorageClassMissing",
    "claim data-basic-tikv-1 wants StorageClass ultra, there are: local, fast", unbound { class = "ultra" } },
  { "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.", "NoStorageClass",
    "names no StorageClass and none is the default", function(w)
      unbound()(w)
      w.claims[1].class = nil
    end },
  { "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.", "ProvisioningSlow",
    "waits for a volume from ebs.csi (class fast)", unbound { class = "fast" } },
  { "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.", "NoVolume",
    "wants 500Gi of class local: 2 volumes, 1 free, 1 of these too small", function(w)
      unbound()(w)
      w.disks[2] = { name = "pv-2", class = "local", phase = "Available", size = "200Gi" }
    end },
  { "0/2 nodes are available: 1 node(s) had volume node affinity conflict, 1 node(s) were unschedulable.",
    "VolumeElsewhere", "volume pv-1 of claim data-basic-tikv-1 is on node n2, which is not ready since 14:02",
    function(w)
      w.disks[1].affinity = on "n2"
      w.nodes[2].ready, w.nodes[2].since = "Unknown", "14:02"
    end },
  { "0/2 nodes are available: 2 node(s) had volume node affinity conflict.", "VolumeElsewhere", "which is cordoned",
    function(w)
      w.disks[1].affinity = on "n2"
      w.nodes[2].cordoned = true
    end },
  { "0/2 nodes are available: 2 node(s) had volume node affinity conflict.", "VolumeNodeGone",
    "can be mounted on no node that there is", function(w) w.disks[1].affinity = on "n9" end },
  { "0/2 nodes are available: 2 node(s) had no available volume zone.", "ZoneMismatch", "zone" },
  { "0/2 nodes are available: 2 node(s) exceed max volume count.", "AttachLimit", "max volume" },
  { "0/2 nodes are available: 2 node(s) had no available disk.", "VolumeInUse", "disk" },
  { "0/2 nodes are available: 2 node(s) had untolerated taint {dedicated: gpu}.", "TaintNotTolerated",
    "nodes have a taint that it does not tolerate: dedicated: gpu" },
  { "0/2 nodes are available: 2 node(s) were unschedulable.", "NodesCordoned", "cordoned: n1",
    function(w) w.nodes[1].cordoned = true end },
  { "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.", "AffinityMismatch",
    "no node has the label disk=nvme", function(_, i) i.spec.topology = { disk = "nvme" } end },
  { "0/2 nodes are available: 2 node(s) didn't match pod affinity rules.", "AffinityMismatch", "affinity" },
  { "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.", "AntiAffinity", "anti" },
  { "0/2 nodes are available: 2 node(s) didn't match pod topology spread constraints.", "TopologySpread", "spread" },
  { "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports.", "HostPortTaken", "ports" },
  { "waiting for scheduling gates: [example.com/quota]", "SchedulingGated", "example.com/quota" },
  { "waiting for the preemption for this pod to be finished", "PreemptionPending", "preemption" },
  { "no nodes available to schedule pods", "NoNodes", "no nodes" },
  { "something that no version has said so far", "PodPending", "so far" },
}

describe("A pod that waits for a node", function()
  for _, c in ipairs(CASES) do
    it(("says %s: %s"):format(c[2], c[1]:sub(1, 70)), function()
      local w, i = world(c[4])
      local reason, message = placing.pod(w, i, { placing = c[1] })
      assert.equal(c[2], reason)
      assert.truthy(message:find(c[3], 1, true), message)
      assert.truthy(reasons.get(reason).hint)
      assert.is_true(placing.waits(reason))
    end)
  end

  it("says the same, less exactly, where nodes and volumes can not be read", function()
    for _, c in ipairs(CASES) do
      local w, i = world(c[4])
      w.nodes, w.disks, w.storage_classes = nil, nil, nil
      local reason = placing.pod(w, i, { placing = c[1] })
      assert.truthy(reasons.get(reason))
    end
  end)

  it("names a missing scheduler", function()
    assert.equal("NoScheduler", (placing.pod(world(), { spec = {} }, {})))
  end)
end)

describe("A pod that is refused", function()
  local function refused(message, quotas)
    return placing.refused { last = { failed = { action = "apply", code = "forbidden", message = message } },
      quotas = quotas }
  end

  it("names the quota and its figures", function()
    local reason, message = refused(
      'pods "basic-tikv-1" is forbidden: exceeded quota: team, requested: memory=16Gi, used: memory=60Gi, limited: memory=64Gi',
      { { name = "team", hard = { memory = "64Gi" }, used = { memory = "60Gi" } } })
    assert.equal("QuotaExceeded", reason)
    assert.equal("quota team: 60Gi of 64Gi memory is used, 16Gi more is wanted", message)
  end)

  it("names PodSecurity and webhooks", function()
    assert.equal("PodRefused", (refused 'pods "x" is forbidden: violates PodSecurity "restricted:latest"'))
    assert.equal("PodRefused", (refused 'admission webhook "a.b" denied the request'))
    assert.is_nil((refused "connection refused"))
    assert.is_nil((placing.refused {}))
  end)
end)

describe("A container that does not start", function()
  local function why(c, age)
    local reason, message = diagnosis.pod({ now = age or 1000 }, { spec = {} },
      { created = time.format(0), scheduled = "True", node = "n1", containers = { c } })
    return reason, message
  end

  it("that ends again and again says how often and with what (it is only explained, U-61)", function()
    local reason, message = why { name = "tikv", restartCount = 7,
      state = { waiting = { reason = "CrashLoopBackOff", message = "back-off 5m0s" } },
      lastState = { terminated = { exitCode = 1, reason = "Error", message = "no space left on device" } } }
    assert.equal("CrashLoop", reason)
    assert.equal("container tikv: CrashLoopBackOff, ended 7 times, last with Error (exit code 1): no space left on device",
      message)
  end)

  it("for want of a Secret, of an image, of a mounted disk", function()
    assert.equal("ContainerConfig", (why { name = "tikv", state = { waiting = { reason = "CreateContainerConfigError",
      message = 'secret "tls" not found' } } }))
    assert.equal("ImageUnavailable", (why { name = "tikv", state = { waiting = { reason = "InvalidImageName" } } }))
    local creating = { name = "tikv", state = { waiting = { reason = "ContainerCreating" } } }
    assert.equal("NotMounted", (why(creating)))
    assert.equal("PodNotReady", (why(creating, 60)))
  end)
end)

describe("Diagnosis in the toy world", function()
  it("first says what the scheduler says, then what the lists say, once", function()
    local m = mini.new()
    things.basic(m, 1, 3)
    m:settle()
    m:put { apiVersion = "v1", kind = "Node", metadata = { name = "node-2" }, spec = {},
      status = { allocatable = { cpu = "500m", memory = "1Gi" } } }
    m:get("Node", "node-1").status.allocatable = { cpu = "900m", memory = "2Gi" }
    m.pods_ready = false
    m:delete("Pod", "basic-tikv-1")
    m:settle()
    local pod = m:get("Pod", "basic-tikv-1")
    pod.status = { phase = "Pending", conditions = { { type = "PodScheduled", status = "False",
      message = "0/2 nodes are available: 2 Insufficient cpu." } } }
    m:touch(pod)
    m.now = m.now + 60
    m:settle()
    local s = m:get("TiKV", "basic-1").status
    assert.equal("InsufficientCPU", s.reason)
    assert.truthy(s.message:find("it needs 1 of CPU, the largest node node-1 has 900m in all", 1, true), s.message)
    assert.truthy(s.hint:find("resources.cpu", 1, true))
    m.writes = {}
    m:settle()
    assert.same({}, m.writes)
  end)
end)
