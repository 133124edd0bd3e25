require("support.caged").open()
local caged = require "support.caged"
local mini = require "support.mini"
local things = require "support.manifests"

local function set(m, kind, name, change)
  local o = mini.copy(m:get(kind, name))
  change(o.spec)
  o.metadata.uid = nil
  m:put(o)
end

local function names(m, kind)
  local out = {}
  for n, o in ipairs(m:list(kind)) do out[n] = o.metadata.name end
  return table.concat(out, " ")
end

local function written(m, pattern)
  local n = 0
  for _, line in ipairs(m.writes) do
    if line:match(pattern) then n = n + 1 end
  end
  return n
end

describe("A cluster in the toy world", function()
  local m

  before_each(function()
    caged.answer(nil)
    m = mini.new()
  end)

  local function up(pd, tikv, cluster)
    things.basic(m, pd, tikv, cluster)
    m:settle()
    m.writes = {}
    return m
  end

  -- P-01
  it("comes up: three members found PD together, three stores register (L1)", function()
    up(3, 3)
    local status = m:get("Cluster", "basic").status
    assert.equal("Running", status.phase)
    assert.equal("http://basic-pd.ns:2379", status.pd)
    assert.equal("7000000000000000001", status.id)
    assert.equal("3/3", status.pdReady)
    assert.equal("3/3", status.tikvReady)
    assert.is_true(m:get("PDGroup", "basic").spec.bootstrapped)
    assert.equal("basic-0 basic-1 basic-2", names(m, "TiKV"))
    assert.equal("basic-pd-0 basic-pd-1 basic-pd-2 basic-tikv-0 basic-tikv-1 basic-tikv-2", names(m, "Pod"))
  end)

  -- E-82, E-86
  it("writes nothing once it is settled (S20, W-65)", function()
    up(3, 3)
    m:settle()
    assert.same({}, m.writes)
  end)

  it("writes the status of a store twice: Starting, Serving; everything else once", function()
    things.basic(m, 1, 2)
    m.pods_ready = false
    for _ = 1, 6 do
      for _, o in ipairs { { "Cluster", "basic" }, { "PDGroup", "basic" }, { "TiKVGroup", "basic" },
        { "PD", "basic-0" }, { "TiKV", "basic-0" }, { "TiKV", "basic-1" } } do m:pass(o[1], o[2]) end
      m:outside()
      m.now = m.now + 1
    end
    assert.equal("Starting", m:get("TiKV", "basic-0").status.phase)
    m.pods_ready = true
    m:settle()
    assert.equal("Serving", m:get("TiKV", "basic-0").status.phase)
    assert.equal(2, m.status_writes["TiKV/basic-0"])
    for _, kind in ipairs { "TiKV/basic%-0", "Pod/basic%-tikv%-0", "ConfigMap/basic%-tikv%-0",
      "PersistentVolumeClaim/data%-basic%-tikv%-0" } do
      assert.equal(1, written(m, "^apply " .. kind .. "$"), kind)
    end
    assert.equal(1, written(m, "^patch_meta PersistentVolumeClaim/data%-basic%-tikv%-0$"))
    assert.equal(1, written(m, "^patch_meta PersistentVolume/pv%-data%-basic%-tikv%-0$"))
  end)

  it("tells the disks whose data they hold: claim and volume carry store and cluster id", function()
    up(1, 1)
    for _, o in ipairs { m:get("PersistentVolumeClaim", "data-basic-tikv-0"),
      m:get("PersistentVolume", "pv-data-basic-tikv-0") } do
      assert.equal("1", o.metadata.labels["core.tikv.org/store-id"])
      assert.equal("7000000000000000001", o.metadata.labels["core.tikv.org/cluster-id"])
      assert.is_nil(o.metadata.ownerReferences)
    end
  end)

  it("adds all missing stores at once, smallest ordinals first (W-20)", function()
    up(3, 3)
    set(m, "TiKVGroup", "basic", function(s) s.replicas = 6 end)
    m:pass("TiKVGroup", "basic")
    assert.equal("basic-0 basic-1 basic-2 basic-3 basic-4 basic-5", names(m, "TiKV"))
    m:settle()
    assert.equal("6/6", m:get("Cluster", "basic").status.tikvReady)
  end)

  -- Phases that a kind went through while the toy world settled, in order, without repeats.
  local function phases(kind)
    local seen = {}
    m.after_round = function()
      local ph = (m:get(kind, "basic").status or {}).phase
      if ph and seen[#seen] ~= ph then seen[#seen + 1] = ph end
    end
    m.after_round()
    m:settle()
    return table.concat(seen, " ")
  end

  it("is Scaling while stores are added, and Creating before: nothing that served is lost (W-32)", function()
    things.basic(m, 3, 3)
    assert.equal("Pending Creating Ready", phases("TiKVGroup"))
    set(m, "TiKVGroup", "basic", function(s) s.replicas = 6 end)
    assert.equal("Ready Scaling Ready", phases("TiKVGroup"))
    set(m, "TiKVGroup", "basic", function(s) s.replicas = 8 end)
    assert.equal("Running Scaling Running", phases("Cluster"))
    set(m, "PDGroup", "basic", function(s) s.replicas = 5 end)
    assert.equal("Ready Scaling Ready", phases("PDGroup"))
  end)

  -- U-98
  it("is Degraded when a store that served is lost", function()
    up(1, 3)
    m.pods_ready = false
    m:delete("Pod", "basic-tikv-1")
    assert.equal("Ready Degraded", phases("TiKVGroup"))
    assert.equal("Degraded", m:get("Cluster", "basic").status.phase)
    m.pods_ready = true
    assert.equal("Degraded Running", phases("Cluster"))
  end)

  it("counts an instance only after minReadySeconds where the group asks for it (W-32)", function()
    up(1, 1)
    set(m, "TiKVGroup", "basic", function(s) s.replicas, s.minReadySeconds = 2, 20 end)
    m:settle()
    local status = m:get("TiKVGroup", "basic").status
    assert.equal("MinReadySeconds", status.reason)
    assert.equal(2, status.readyReplicas)
    assert.equal("Scaling", status.phase)
    m.now = m.now + 20
    m:settle()
    assert.equal("Ready", m:get("TiKVGroup", "basic").status.phase)
  end)

  it("adds no store while PD's list, which holds taken ordinals, can not be read", function()
    up(3, 1)
    m.pd, m.pd_down = { known = false, reason = "no answer" }, true
    set(m, "TiKVGroup", "basic", function(s) s.replicas = 3 end)
    m:settle()
    assert.equal("basic-0", names(m, "TiKV"))
    assert.equal("PDUnknown", m:get("TiKVGroup", "basic").status.reason)
    assert.equal("Waiting", m:get("TiKVGroup", "basic").status.phase)
  end)

  -- E-07
  it("takes no store away that the others can not do without, and says how many are missing (G6)", function()
    up(1, 3)
    set(m, "TiKVGroup", "basic", function(s) s.replicas = 1 end)
    m:settle()
    assert.equal("basic-0 basic-1 basic-2", names(m, "TiKV"))
    assert.equal(3, #m:list("Pod") - 1)
    local status = m:get("TiKV", "basic-2").status
    assert.equal("OfflineRefused", status.reason)
    assert.truthy(status.message:find("regions need 3: 2 missing", 1, true), status.message)
    assert.equal("ScalingIn", m:get("TiKVGroup", "basic").status.reason)
    assert.equal("Up", m.stores[3].state)
  end)

  it("adds no more stores at once than maxScaleOut", function()
    up(1, 1)
    set(m, "TiKVGroup", "basic", function(s)
      s.replicas = 5
      s.scalePolicy = { maxScaleOut = 2 }
    end)
    local most = 0
    m.after_round = function()
      local starting = 0
      for _, o in ipairs(m:list("TiKV")) do
        if (o.status or {}).phase ~= "Serving" then starting = starting + 1 end
      end
      most = math.max(most, starting)
    end
    m:settle()
    assert.equal(2, most)
    assert.equal("5/5", m:get("Cluster", "basic").status.tikvReady)
  end)

  it("lets PD members join one at a time (G5, W-43)", function()
    up(3, 1)
    set(m, "PDGroup", "basic", function(s) s.replicas = 5 end)
    local joining = 0
    m.after_round = function()
      local now = 0
      for _, o in ipairs(m:list("PD")) do
        if ((o.status or {}).id or "") == "" then now = now + 1 end
      end
      joining = math.max(joining, now)
    end
    m:settle()
    assert.equal(1, joining)
    assert.equal("5/5", m:get("Cluster", "basic").status.pdReady)
    local config = m:get("ConfigMap", "basic-pd-4").data["config.toml"]
    assert.truthy(config:find('join = "http://basic-pd.ns:2379"', 1, true))
    assert.is_nil(m:get("PD", "basic-4").metadata.annotations["core.tikv.org/initial-cluster"])
  end)

  -- E-29
  it("keeps the founding list for a founder that has never started (W-51)", function()
    things.basic(m, 3, 0)
    m.pods_ready = true
    local hold = "basic-pd-2"
    local kubelet = m.kubelet
    m.kubelet = function(self)
      local changed = kubelet(self)
      local pod = self:get("Pod", hold)
      if hold ~= "" and pod and pod.status then
        pod.status, pod.spec.nodeName = nil, nil
        return false
      end
      return changed
    end
    for _ = 1, 12 do
      for _, o in ipairs { { "Cluster", "basic" }, { "PDGroup", "basic" }, { "PD", "basic-0" }, { "PD", "basic-1" },
        { "PD", "basic-2" } } do m:pass(o[1], o[2], true) end
      m:outside()
      m.now = m.now + 1
    end
    assert.equal("7000000000000000001", m:get("Cluster", "basic").status.id)
    local late = m:get("ConfigMap", hold).data["config.toml"]
    assert.truthy(late:find("initial-cluster = ", 1, true))
    assert.is_nil(late:find("join", 1, true))
    local first = m:get("ConfigMap", "basic-pd-0").data["config.toml"]
    assert.is_nil(first:find("initial-cluster = ", 1, true))
    hold = ""
    m:settle()
    assert.equal("Serving", m:get("PD", "basic-2").status.phase)
  end)

  it("makes missing pods again while PD is away, and loses no status (W-01)", function()
    up(3, 3)
    local before = m:get("TiKV", "basic-0").status.id
    m.pd = { known = false, reason = "connection refused" }
    m.pd_down = true
    m:delete("Pod", "basic-tikv-0")
    m:settle()
    assert.truthy(m:get("Pod", "basic-tikv-0"))
    local status = m:get("TiKV", "basic-0").status
    assert.equal("Serving", status.phase)
    assert.equal(before, status.id)
    assert.equal("Unknown", m:get("Cluster", "basic").status.conditions[2].status)
  end)

  it("makes a pod again that ended for good, on the same disk (W-06)", function()
    up(1, 1)
    local pod = m:get("Pod", "basic-tikv-0")
    pod.status = { phase = "Failed", reason = "Evicted", conditions = {} }
    m:touch(pod)
    m:settle()
    assert.equal("Running", m:get("Pod", "basic-tikv-0").status.phase)
    assert.equal("1", m:get("TiKV", "basic-0").status.id)
    assert.equal(1, written(m, "^event PodFailed TiKV/basic%-0"))
  end)

  it("deletes a Cluster in order, TiKV before PD, and keeps the claims by default", function()
    up(3, 3)
    for _, kind in ipairs { "Cluster", "PDGroup", "TiKVGroup" } do
      assert.equal("core.tikv.org/finalizer", m:get(kind, "basic").metadata.finalizers[1])
    end
    m:delete("Cluster", "basic")
    local pd_alive_with_tikv = true
    m.after_round = function()
      if #m:list("TiKV") > 0 and #m:list("PD") < 3 then pd_alive_with_tikv = false end
    end
    m:settle()
    assert.is_true(pd_alive_with_tikv)
    for _, kind in ipairs { "Cluster", "PDGroup", "TiKVGroup", "PD", "TiKV", "Pod", "ConfigMap", "Service",
      "ControllerRevision", "PodDisruptionBudget" } do
      assert.equal("", names(m, kind), kind)
    end
    assert.equal(6, #m:list("PersistentVolumeClaim"))
  end)

  -- E-17
  it("deletes a Cluster with PD dead, also while it is paused (W-50)", function()
    up(3, 2)
    m.pd, m.pd_down = { known = false, reason = "no route to host" }, true
    set(m, "Cluster", "basic", function(s) s.paused = true end)
    m:settle()
    m:delete("Cluster", "basic")
    m:settle()
    assert.equal("", names(m, "TiKV") .. names(m, "PD") .. names(m, "Cluster"))
    assert.equal(5, #m:list("PersistentVolumeClaim"))
  end)

  it("deletes the claims when whenDeleted says so", function()
    up(1, 2, { persistentVolumeClaimRetentionPolicy = { whenDeleted = "Delete" } })
    m:delete("Cluster", "basic")
    m:settle()
    assert.equal("", names(m, "PersistentVolumeClaim"))
  end)

  it("finds its data again: deleted with Retain and made again, same ordinals, ids, no founding", function()
    up(3, 3)
    m:delete("TiKV", "nothing")
    m:delete("Cluster", "basic")
    m:settle()
    m.pd, m.cluster_id = { known = false, reason = "PD has not answered yet" }, "7000000000000000001"
    for _, member in ipairs(m.members) do member.healthy = false end
    things.basic(m, 3, 3)
    m:settle()
    assert.equal("Running", m:get("Cluster", "basic").status.phase)
    assert.equal("7000000000000000001", m:get("Cluster", "basic").status.id)
    assert.equal(3, #m.stores)
    assert.equal("4", m:get("TiKV", "basic-1").status.id)
    for n = 0, 2 do
      local config = m:get("ConfigMap", "basic-pd-" .. n).data["config.toml"]
      assert.is_nil(config:find("initial-cluster = ", 1, true))
    end
    assert.equal(m:get("TiKV", "basic-0").metadata.uid,
      m:get("PersistentVolumeClaim", "data-basic-tikv-0").metadata.annotations["core.tikv.org/owner-uid"])
  end)

  it("never founds where a claim carries a cluster id (G5)", function()
    up(1, 1)
    m:delete("Cluster", "basic")
    m:settle()
    m:delete("PersistentVolumeClaim", "data-basic-pd-0")
    m.pd = { known = false, reason = "PD has not answered yet" }
    m.members = {}
    things.basic(m, 1, 1)
    m:settle()
    local status = m:get("PDGroup", "basic").status
    assert.equal("FoundingForbidden", status.reason)
    assert.equal("Waiting", status.phase)
    assert.equal("", names(m, "PD"))
  end)

  -- E-88
  it("founds once, by the first of two groups made together; the other joins (G5)", function()
    things.basic(m, 1, 1)
    local second = things.group("PDGroup", "also", 2)
    second.spec.cluster.name = "basic"
    m:put(second)
    m:settle()
    assert.equal("also-0 also-1 basic-0", names(m, "PD"))
    local founding = 0
    for _, o in ipairs(m:list("PDGroup")) do
      if (o.metadata.annotations or {})["core.tikv.org/initial-cluster"] then founding = founding + 1 end
    end
    assert.equal(1, founding)
    assert.equal("3/3", m:get("Cluster", "basic").status.pdReady)
  end)

  it("holds a deleted store of a living Cluster, keeps serving it, and adds another (W-02)", function()
    up(1, 3)
    m.pd.settled = false
    m:delete("TiKV", "basic-1")
    m:settle()
    local status = m:get("TiKV", "basic-1").status
    assert.equal("Leaving", status.phase)
    assert.equal("PDNotSettled", status.reason)
    assert.truthy(m:get("Pod", "basic-tikv-1"))
    assert.truthy(m:get("TiKV", "basic-3"))
    m:delete("Pod", "basic-tikv-1")
    m:settle()
    assert.truthy(m:get("Pod", "basic-tikv-1"))
    m.pd.settled = true
    m:settle()
    assert.equal("basic-0 basic-2 basic-3", names(m, "TiKV"))
  end)

  -- E-24, E-71
  it("lets a store go that PD has never seen", function()
    up(1, 1)
    m.pods_ready = false
    set(m, "TiKVGroup", "basic", function(s) s.replicas = 2 end)
    m:settle()
    m:delete("TiKV", "basic-1")
    local uid = m:get("TiKV", "basic-1").metadata.uid
    m:settle()
    local again = m:get("TiKV", "basic-1")
    assert.is_true(again == nil or again.metadata.uid ~= uid)
  end)

  it("holds the last TiKV group, and PD, of a living Cluster (W-11)", function()
    up(1, 1)
    m:delete("TiKVGroup", "basic")
    m:delete("PDGroup", "basic")
    m:settle()
    assert.equal("LastStores", m:get("TiKVGroup", "basic").status.reason)
    assert.equal("StoresNeedPD", m:get("PDGroup", "basic").status.reason)
    assert.is_nil(m:get("TiKV", "basic-0").metadata.deletionTimestamp)
  end)

  -- U-102
  it("says that it is paused, and changes nothing", function()
    up(1, 1)
    set(m, "Cluster", "basic", function(s) s.paused = true end)
    set(m, "TiKVGroup", "basic", function(s) s.replicas = 3 end)
    m:settle()
    for _, kind in ipairs { "Cluster", "PDGroup", "TiKVGroup" } do
      assert.equal("Paused", m:get(kind, "basic").status.phase)
    end
    assert.equal("Paused", m:get("TiKV", "basic-0").status.phase)
    assert.equal("basic-0", names(m, "TiKV"))
    set(m, "Cluster", "basic", function(s) s.paused = false end)
    m:settle()
    assert.equal("3/3", m:get("Cluster", "basic").status.tikvReady)
  end)

  -- P-03, P-24, U-103
  it("suspends: pods go, disks stay, and all comes back", function()
    up(3, 2)
    set(m, "Cluster", "basic", function(s) s.suspendAction = { suspendCompute = true } end)
    m:settle()
    assert.equal("", names(m, "Pod"))
    assert.equal(5, #m:list("PersistentVolumeClaim"))
    assert.equal("Suspended", m:get("Cluster", "basic").status.phase)
    assert.equal("Suspended", m:get("TiKV", "basic-0").status.phase)
    set(m, "Cluster", "basic", function(s) s.suspendAction = nil end)
    m:settle()
    assert.equal("Running", m:get("Cluster", "basic").status.phase)
    assert.equal(2, #m.stores)
  end)

  it("copies what restarts nothing to the instances at once, and keeps to the order of versions", function()
    up(1, 2)
    local pod = m:get("Pod", "basic-tikv-0").metadata.uid
    set(m, "TiKVGroup", "basic", function(s)
      s.template = mini.copy(s.template)
      s.template.spec.volumes[1].storage = "20Gi"
      s.template.spec.server = { labels = { disk = "fast" } }
    end)
    m:settle()
    assert.equal("20Gi", m:get("PersistentVolumeClaim", "data-basic-tikv-0").spec.resources.requests.storage)
    assert.equal("fast", m.stores[1].labels.disk)
    assert.equal("ns.basic", m.stores[1].labels["k/tikvgroup"])
    assert.equal(pod, m:get("Pod", "basic-tikv-0").metadata.uid)
    set(m, "TiKVGroup", "basic", function(s)
      s.template = mini.copy(s.template)
      s.template.spec.version = "v8.5.3"
    end)
    m:settle()
    assert.equal("VersionOrder", m:get("TiKVGroup", "basic").status.reason)
    assert.equal("v8.5.2", m:get("TiKV", "basic-0").spec.version)
  end)

  -- P-32, E-95, U-76, U-77, U-78, U-79
  it("follows the labels of the node to PD", function()
    m:put { apiVersion = "v1", kind = "Node", metadata = { name = "node-1",
      labels = { ["topology.kubernetes.io/zone"] = "z1" } } }
    up(1, 1)
    assert.equal("z1", m.stores[1].labels.zone)
    m:get("Node", "node-1").metadata.labels["topology.kubernetes.io/zone"] = "z2"
    m:settle()
    assert.equal("z2", m.stores[1].labels.zone)
  end)

  it("holds the step that a policy denies, with the policy's words", function()
    caged.answer(function(q)
      if q.question ~= "can_scale_out" then return {} end
      return { { policy = "ns/hours", answer = false, reason = "outside office hours" } }
    end)
    things.basic(m, 1, 1)
    m:settle()
    local status = m:get("TiKVGroup", "basic").status
    assert.equal("PolicyDenied", status.reason)
    assert.truthy(status.message:find("outside office hours", 1, true))
    assert.equal("", names(m, "TiKV"))
    assert.is_nil((m:get("PDGroup", "basic").metadata.annotations or {})["core.tikv.org/initial-cluster"])
  end)

  it("holds the step whose policy fails, and nothing else", function()
    caged.answer(function(q)
      if q.question == "render_pod" then error("policy ns/p: policy.lua:3: oops", 0) end
      return {}
    end)
    things.basic(m, 1, 1)
    m:settle()
    assert.equal("PolicyError", m:get("TiKV", "basic-0").status.reason)
    assert.equal("", names(m, "Pod"))
    assert.truthy(m:get("ConfigMap", "basic-tikv-0"))
  end)
end)
