--- Stories of users and of operators that came before, in the toy world. Ids: spec/coverage.md.
require("support.caged").open()
local caged = require "support.caged"
local mini = require "support.mini"
local pass = require "lib.pass"
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

local function condition(o, type)
  for _, c in ipairs(o.status.conditions) do if c.type == type then return c end end
end

describe("A story, in the toy world:", function()
  local m

  before_each(function()
    caged.answer(nil)
    m = mini.new()
  end)

  local function up(pd, tikv, cluster, regions)
    things.basic(m, pd, tikv, cluster)
    m:settle()
    for _, s in ipairs(m.stores) do s.regions, s.leaders = regions or 10, 5 end
    m:settle()
    m.writes = {}
  end

  -- W-10, P-34
  it("one of two PD groups is deleted: its members leave one by one, the other leads on", function()
    up(3, 3)
    local more = things.group("PDGroup", "more", 2)
    more.spec.cluster.name, more.spec.bootstrapped = "basic", true
    m:put(more)
    m:settle()
    assert.equal(5, #m.members)
    m:delete("PDGroup", "basic")
    m:settle(200)
    assert.equal("more-0 more-1", names(m, "PD"))
    assert.equal(2, #m.members)
    local removed = 0
    for _, line in ipairs(m.writes) do removed = removed + (line:find "^pd_remove_member" and 1 or 0) end
    assert.equal(3, removed)
    assert.truthy(m:leads():find "^more%-pd")
    assert.equal("http://more-pd.ns:2379", m:get("Cluster", "basic").status.pd)
    assert.equal("7000000000000000001", m:get("Cluster", "basic").status.id)
  end)

  -- E-78, U-39
  it("several volumes: each has its claim, all carry the proof, all go together", function()
    m:put(things.cluster "basic")
    m:put(things.group("PDGroup", "basic", 1))
    local g = things.group("TiKVGroup", "basic", 4)
    g.spec.template.spec.volumes = { { name = "data", mounts = { { type = "data" } }, storage = "10Gi" },
      { name = "raft", mounts = { { mountPath = "/raft" } }, storage = "2Gi" },
      { name = "wal", mounts = { { mountPath = "/wal" } }, storage = "1Gi" } }
    m:put(g)
    m:settle()
    local pod = m:get("Pod", "basic-tikv-3")
    for _, name in ipairs { "data-basic-tikv-3", "raft-basic-tikv-3", "wal-basic-tikv-3" } do
      local claim = m:get("PersistentVolumeClaim", name)
      assert.equal(m:get("TiKV", "basic-3").status.id, claim.metadata.labels["core.tikv.org/store-id"])
      local mounted = false
      for _, v in ipairs(pod.spec.volumes) do
        mounted = mounted or v.persistentVolumeClaim and v.persistentVolumeClaim.claimName == name
      end
      assert.is_true(mounted, name)
    end
    set(m, "TiKVGroup", "basic", function(s) s.replicas = 3 end)
    m:settle()
    for _, name in ipairs { "data", "raft", "wal" } do
      assert.is_nil(m:get("PersistentVolumeClaim", name .. "-basic-tikv-3"))
      assert.truthy(m:get("PersistentVolumeClaim", name .. "-basic-tikv-2"))
    end
  end)

  -- W-28
  it("Synced looks at the disks too, and components count what is there, not what is wanted", function()
    up(1, 3)
    assert.equal("True", condition(m:get("TiKV", "basic-0"), "Synced").status)
    m.pods_ready, m.no_driver = false, true
    set(m, "TiKVGroup", "basic", function(s) s.replicas = 5 end)
    m:get("PersistentVolumeClaim", "data-basic-tikv-0").status.capacity = { storage = "5Gi" }
    m:settle()
    local c = condition(m:get("TiKV", "basic-0"), "Synced")
    assert.equal("VolumesNotUpToDate", c.reason)
    assert.equal("False", c.status)
    local status = m:get("Cluster", "basic").status
    assert.equal(5, status.components[2].replicas)
    assert.equal("3/5", status.tikvReady)
    set(m, "TiKVGroup", "basic", function(s) s.replicas, s.scalePolicy = 9, { maxScaleOut = 2 } end)
    m:settle()
    status = m:get("Cluster", "basic").status
    assert.equal("3/9", status.tikvReady)
    assert.is_true(status.components[2].replicas < 9)
  end)

  -- W-29
  it("a group that drains is Ready if those that stay serve", function()
    up(1, 4, nil, 100)
    m.frozen = true
    set(m, "TiKVGroup", "basic", function(s) s.replicas = 3 end)
    m:settle()
    local g = m:get("TiKVGroup", "basic")
    assert.equal("ScalingIn", g.status.reason)
    assert.equal("True", condition(g, "Ready").status)
    assert.equal("True", condition(m:get("Cluster", "basic"), "Ready").status)
  end)

  -- E-73
  it("a store that PD calls Preparing is Up, and its instance Ready", function()
    up(1, 3)
    for _, s in ipairs(m.stores) do s.node_state = "Preparing" end
    m:settle()
    assert.equal("3/3", m:get("Cluster", "basic").status.tikvReady)
    assert.equal("True", condition(m:get("TiKV", "basic-0"), "Ready").status)
    assert.equal("Preparing", m:get("TiKV", "basic-0").status.state)
  end)

  -- E-77
  it("a group without instances is Ready", function()
    up(1, 3)
    local empty = things.group("TiKVGroup", "more", 0)
    empty.spec.cluster.name = "basic"
    m:put(empty)
    m:settle()
    local g = m:get("TiKVGroup", "more")
    assert.equal("Ready", g.status.phase)
    assert.equal("True", condition(g, "Ready").status)
    assert.equal("True", condition(m:get("Cluster", "basic"), "Ready").status)
  end)

  -- W-09
  it("a store that registers while its object is deleted leaves by PD, not by a list that is a moment old", function()
    up(1, 3)
    set(m, "TiKVGroup", "basic", function(s) s.replicas = 4 end)
    for _ = 1, 3 do
      m:pass("TiKVGroup", "basic")
      if m:get("TiKV", "basic-3") then m:pass("TiKV", "basic-3") end
      m:kubelet() -- the pod is Ready; PD's list does not show its store yet
    end
    assert.equal("Running", m:get("Pod", "basic-tikv-3").status.phase)
    m:delete("TiKV", "basic-3")
    local plan = m:pass("TiKV", "basic-3")
    assert.equal("NotRegistered", plan.verdict.reason)
    assert.is_nil(m:get("Pod", "basic-tikv-3").metadata.deletionTimestamp)
    m:settle()
    assert.equal(4, #m:list "TiKV")
    for _, s in ipairs(m.stores) do
      local has
      for _, kv in ipairs(m:list "TiKV") do has = has or kv.status.id == s.id end
      assert.is_true(has or s.state == "Tombstone", "store " .. s.id .. " is nobody's and " .. s.state)
    end
  end)

  -- W-38
  it("a feature gate without an effect is named as such", function()
    up(1, 1, { featureGates = { { name = "ClusterSubdomain" } } })
    local s = m:get("Cluster", "basic").status
    assert.equal("NotYetSupported", s.reason)
    assert.truthy(s.message:find("ClusterSubdomain", 1, true))
  end)

  -- W-40
  it("progress that does not come is told after progressDeadlineSeconds, with what it waits for", function()
    up(1, 3)
    m.pods_ready = false
    set(m, "TiKVGroup", "basic", function(s) s.replicas, s.progressDeadlineSeconds = 4, 600 end)
    m:settle()
    assert.equal("True", condition(m:get("TiKVGroup", "basic"), "Progressing").status)
    m.now = m.now + 700
    m:settle()
    local c = condition(m:get("TiKVGroup", "basic"), "Progressing")
    assert.equal("DeadlineExceeded", c.reason)
    assert.truthy(c.message:find("basic-3", 1, true))
    m.pods_ready = true
    m:settle()
    assert.equal("Settled", condition(m:get("TiKVGroup", "basic"), "Progressing").reason)
  end)

  -- W-49
  it("a long configuration lives in its config map, not in annotations of pods or instances", function()
    m:put(things.cluster "basic")
    m:put(things.group("PDGroup", "basic", 1))
    local g = things.group("TiKVGroup", "basic", 1)
    g.spec.template.spec.config = ("# %s\n"):format(("x"):rep(100)):rep(3000)
    m:put(g)
    m:settle()
    for _, o in ipairs { m:get("Pod", "basic-tikv-0"), m:get("TiKV", "basic-0") } do
      local size = 0
      for k, v in pairs(o.metadata.annotations) do size = size + #k + #v end
      assert.is_true(size < 2000, o.kind .. " carries " .. size)
    end
  end)

  -- W-68, W-14
  it("what a settled store asks for does not grow with the cluster", function()
    up(1, 3)
    for _, need in ipairs(pass.needs(m:get("TiKV", "basic-1"))) do
      assert.is_true(need.name ~= nil or need.pd ~= nil and need.stores == "none"
        or need.label ~= nil and need.label[1] == "core.tikv.org/instance", json.encode(need))
    end
  end)

  -- W-35
  it("the overlay of a claim reaches the claim, its spec too", function()
    m:put(things.cluster "basic")
    m:put(things.group("PDGroup", "basic", 1))
    local g = things.group("TiKVGroup", "basic", 1)
    g.spec.template.spec.overlay = { volumeClaims = { { name = "data", volumeClaim = {
      metadata = { labels = { team = "kv" } }, spec = { selector = { matchLabels = { disk = "fast" } } } } } } }
    m:put(g)
    m:settle()
    local claim = m:get("PersistentVolumeClaim", "data-basic-tikv-0")
    assert.equal("fast", claim.spec.selector.matchLabels.disk)
    assert.equal("kv", claim.metadata.labels.team)
  end)

  -- P-26, U-30, U-31, U-33, U-34, U-35
  it("a larger disk is asked for in place, exactly, for old and new ones, and restarts nothing", function()
    up(1, 4, nil, 100)
    local uid = m:get("Pod", "basic-tikv-0").metadata.uid
    m.frozen = true
    set(m, "TiKVGroup", "basic", function(s)
      s.replicas = 3
      s.template.spec.volumes[1].storage = "10240Mi" -- the same, written otherwise
    end)
    m:settle()
    local function size(n) return m:get("PersistentVolumeClaim", "data-basic-tikv-" .. n).spec.resources.requests.storage end
    assert.equal("10Gi", size(0))
    set(m, "TiKVGroup", "basic", function(s) s.template.spec.volumes[1].storage = "20Gi" end)
    m:settle()
    assert.equal("20Gi", size(0))
    assert.equal("20Gi", size(2))
    m.frozen = false
    set(m, "TiKVGroup", "basic", function(s) s.replicas = 4 end)
    m:settle()
    for _, claim in ipairs(m:list "PersistentVolumeClaim") do
      if claim.metadata.labels["core.tikv.org/component"] == "tikv" then
        assert.equal("20Gi", claim.spec.resources.requests.storage)
      end
    end
    assert.equal(uid, m:get("Pod", "basic-tikv-0").metadata.uid)
  end)

  -- E-26, E-18, U-08
  it("a pod that is not ready while PD hears its store is not a lost store", function()
    up(1, 4)
    set(m, "TiKVGroup", "basic", function(s) s.failover = { storeDownSeconds = 60 } end)
    m:settle()
    m:get("Pod", "basic-tikv-1").status.conditions[2].status = "False"
    m:settle()
    m.now = m.now + 3600
    m:settle()
    assert.equal("basic-0 basic-1 basic-2 basic-3", names(m, "TiKV"))
    assert.equal("PodNotReady", m:get("TiKV", "basic-1").status.reason)
  end)

  -- E-83
  it("names never change: instances, pods, claims, services", function()
    up(1, 1)
    assert.equal("basic-0 basic-0", names(m, "PD") .. " " .. names(m, "TiKV"))
    assert.equal("basic-pd-0 basic-tikv-0", names(m, "Pod"))
    assert.equal("data-basic-pd-0 data-basic-tikv-0", names(m, "PersistentVolumeClaim"))
    assert.equal("basic-pd basic-pd-peer basic-tikv-peer", names(m, "Service"))
    assert.equal("basic-pd-0 basic-tikv-0", names(m, "ConfigMap"))
  end)

  -- P-07
  for _, row in ipairs { { 1, 3 }, { 3, 1 }, { 3, 5 }, { 5, 3 } } do
    it(("PD goes from %d to %d, never two changes at once, the leader last"):format(row[1], row[2]), function()
      up(row[1], 3)
      set(m, "PDGroup", "basic", function(s) s.replicas = row[2] end)
      local seen = #m.members
      m.after_round = function()
        assert.is_true(math.abs(seen - #m.members) <= 1)
        seen = #m.members
      end
      m:settle(200)
      assert.equal(row[2], #m.members)
      assert.equal(("%d/%d"):format(row[2], row[2]), m:get("Cluster", "basic").status.pdReady)
    end)
  end

  -- P-17, U-27, U-28
  it("two leave, one is called back: the other finishes", function()
    up(1, 5, nil, 100)
    m.frozen = true
    set(m, "TiKVGroup", "basic", function(s) s.replicas = 3 end)
    m:settle()
    set(m, "TiKVGroup", "basic", function(s) s.replicas = 4 end)
    m:settle()
    m.frozen = false
    m:settle()
    assert.equal(4, #m:list "TiKV")
    local removed = 0
    for _, s in ipairs(m.stores) do removed = removed + (s.state == "Tombstone" and 1 or 0) end
    assert.equal(1, removed)
  end)
end)
