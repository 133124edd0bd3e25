--- Stories of changes that meet each other: upgrades with scaling, with failover, with a way back. Ids: spec/coverage.md.
require("support.caged").open()
local caged = require "support.caged"
local mini = require "support.mini"
local things = require "support.manifests"

local function set(m, kind, change)
  local o = mini.copy(m:get(kind, "basic"))
  o.spec.template = o.spec.template and mini.copy(o.spec.template)
  change(o.spec)
  o.metadata.uid = nil
  m:put(o)
end

local function uids(m, component)
  local out = {}
  for _, pod in ipairs(m:list "Pod") do
    if pod.metadata.name:find("-" .. component .. "-", 1, true) then out[pod.metadata.name] = pod.metadata.uid end
  end
  return out
end

describe("A change beside another one, in the toy world,", function()
  local m

  before_each(function()
    caged.answer(nil)
    m = mini.new()
    m.broken = function(pod)
      local map = m:get("ConfigMap", pod.metadata.name)
      return map ~= nil and map.data["config.toml"]:find("bad", 1, true) ~= nil
        or pod.spec.containers[1].image:find("wrong", 1, true) ~= nil
    end
  end)

  local function days(rounds)
    for _ = 1, rounds or 12 do
      m:settle()
      m.now = m.now + 15
    end
    m:settle()
  end

  local function up(pd, tikv, cluster)
    things.basic(m, pd, tikv, cluster)
    days(2)
    for _, s in ipairs(m.stores) do s.regions, s.leaders = 10, 5 end
    m:settle()
  end

  -- How often each pod was made from now on.
  local function births()
    local seen, count = {}, {}
    for _, pod in ipairs(m:list "Pod") do seen[pod.metadata.uid] = true end
    m.after_round = function()
      for _, pod in ipairs(m:list "Pod") do
        if not seen[pod.metadata.uid] then
          seen[pod.metadata.uid] = true
          count[pod.metadata.name] = (count[pod.metadata.name] or 0) + 1
        end
      end
    end
    return count
  end

  local function once_each(count, component, live)
    for _, name in ipairs(live) do
      local pod = ("basic-%s-%d"):format(component, name)
      assert.equal(1, count[pod], pod .. " was made " .. tostring(count[pod]) .. " times")
    end
  end

  -- P-08, P-20, E-53, U-50
  it("out and a new template in one edit: every pod is made once", function()
    up(3, 3)
    local count = births()
    set(m, "TiKVGroup", function(s) s.replicas, s.template.spec.config = 6, "a = 2" end)
    set(m, "PDGroup", function(s) s.replicas, s.template.spec.config = 5, "a = 2" end)
    days(30)
    once_each(count, "tikv", { 0, 1, 2, 3, 4, 5 })
    once_each(count, "pd", { 0, 1, 2, 3, 4 })
    assert.equal("6/6", m:get("Cluster", "basic").status.tikvReady)
    assert.equal("5/5", m:get("Cluster", "basic").status.pdReady)
    assert.equal(6, m:get("TiKVGroup", "basic").status.updatedReplicas)
  end)

  -- E-54, P-08
  it("in and a new template in one edit: the others roll, those that leave do not hold them up", function()
    up(5, 5)
    local count = births()
    set(m, "TiKVGroup", function(s) s.replicas, s.template.spec.config = 3, "a = 2" end)
    set(m, "PDGroup", function(s) s.replicas, s.template.spec.config = 3, "a = 2" end)
    days(30)
    assert.equal(3, #m:list "TiKV")
    assert.equal(3, #m.members)
    for _, kv in ipairs(m:list "TiKV") do
      assert.equal(1, count[(kv.metadata.name:gsub("%-(%d+)$", "-tikv-%1"))], kv.metadata.name)
    end
    assert.equal("Ready", m:get("TiKVGroup", "basic").status.phase)
    assert.equal("Ready", m:get("PDGroup", "basic").status.phase)
  end)

  it("scaling called off while an upgrade rolls: both end as the last spec says", function()
    up(1, 4)
    set(m, "TiKVGroup", function(s) s.template.spec.config = "a = 2" end)
    for _ = 1, 6 do
      m:pass("TiKVGroup", "basic")
      for _, o in ipairs(m:list "TiKV") do m:pass("TiKV", o.metadata.name) end
      m.now = m.now + 1
    end
    set(m, "TiKVGroup", function(s) s.replicas = 3 end)
    days(2)
    set(m, "TiKVGroup", function(s) s.replicas, s.template.spec.config = 5, "a = 3" end)
    days(30)
    assert.equal(5, #m:list "TiKV")
    assert.equal(5, m:get("TiKVGroup", "basic").status.updatedReplicas)
    for _, o in ipairs(m:list "TiKV") do
      assert.truthy(m:get("ConfigMap", (o.metadata.name:gsub("%-(%d+)$", "-tikv-%1"))).data["config.toml"]
        :find("a = 3", 1, true))
    end
  end)

  it("roll back while scaling out: new ones come with the old template, nobody is restarted for it", function()
    up(1, 3)
    local before = uids(m, "tikv")
    set(m, "TiKVGroup", function(s) s.replicas, s.template.spec.config = 5, "a = 2" end)
    m:pass("TiKVGroup", "basic")
    set(m, "TiKVGroup", function(s) s.template.spec.config = nil end)
    days(20)
    for name, uid in pairs(before) do assert.equal(uid, m:get("Pod", name).metadata.uid) end
    assert.equal(5, m:get("TiKVGroup", "basic").status.updatedReplicas)
  end)

  -- P-09, E-37, U-59
  it("a wrong image at creation, corrected: the group becomes ready, pods that never ran are made anew", function()
    m:put(things.cluster "basic")
    for _, kind in ipairs { "PDGroup", "TiKVGroup" } do
      local g = things.group(kind, "basic", 3)
      g.spec.template.spec.image = "registry/wrong"
      m:put(g)
    end
    days(3)
    assert.equal("0/3", m:get("Cluster", "basic").status.pdReady)
    for _, kind in ipairs { "PDGroup", "TiKVGroup" } do
      set(m, kind, function(s) s.template.spec.image = nil end)
    end
    days(20)
    assert.equal("3/3", m:get("Cluster", "basic").status.pdReady)
    assert.equal("3/3", m:get("Cluster", "basic").status.tikvReady)
  end)

  -- W-19, E-38, U-58
  it("PD is broken as a whole, its leader too: the corrected template reaches all at once, without PD", function()
    up(3, 3)
    set(m, "PDGroup", function(s) s.template.spec.config = "bad = true" end)
    days(4)
    -- somebody restarts the others by hand: all three are broken now
    for n = 0, 2 do m:delete("Pod", "basic-pd-" .. n) end
    for _, member in ipairs(m.members) do member.healthy = false end
    m.pd.known = false
    days(2)
    for n = 0, 2 do
      local pod = m:get("Pod", "basic-pd-" .. n)
      assert.is_true(pod ~= nil)
    end
    set(m, "PDGroup", function(s) s.template.spec.config = "good = true" end)
    days(10)
    assert.equal("3/3", m:get("Cluster", "basic").status.pdReady)
    for n = 0, 2 do
      assert.truthy(m:get("ConfigMap", "basic-pd-" .. n).data["config.toml"]:find("good", 1, true))
    end
  end)

  -- E-25
  it("a broken rollout, a lost store and a roll-back: failover does not breed, the way back is free", function()
    up(1, 4)
    set(m, "TiKVGroup", function(s) s.template.spec.config, s.failover = "bad = true", { storeDownSeconds = 60 } end)
    days(3)
    local broken
    for _, o in ipairs(m:list "TiKV") do
      if o.status.phase ~= "Serving" then broken = o.metadata.name end
    end
    assert.truthy(broken)
    m:store(m:get("TiKV", broken).status.id).state = "Down"
    m:store(m:get("TiKV", broken).status.id).heartbeat_age = 4000
    days(8)
    assert.is_true(#m:list "TiKV" <= 5)
    set(m, "TiKVGroup", function(s) s.template.spec.config = nil end)
    m:store(m:get("TiKV", broken).status.id).state = "Up"
    m:store(m:get("TiKV", broken).status.id).heartbeat_age = 1
    days(30)
    assert.equal(4, #m:list "TiKV")
    assert.equal("4/4", m:get("Cluster", "basic").status.tikvReady)
    assert.equal(4, m:get("TiKVGroup", "basic").status.updatedReplicas)
  end)

  -- U-48, U-47
  it("two quick changes: every pod ends with the second one, and the group is done", function()
    up(1, 3)
    set(m, "TiKVGroup", function(s) s.template.spec.config = "a = 2" end)
    m:pass("TiKVGroup", "basic")
    m:pass("TiKV", "basic-2")
    set(m, "TiKVGroup", function(s) s.template.spec.config = "a = 3" end)
    days(20)
    for n = 0, 2 do
      assert.truthy(m:get("ConfigMap", "basic-tikv-" .. n).data["config.toml"]:find("a = 3", 1, true))
    end
    local s = m:get("TiKVGroup", "basic").status
    assert.equal("Ready", s.phase)
    assert.equal(s.updateRevision, s.currentRevision)
  end)

  -- P-30
  it("the restart annotation of the template, twice: two rounds, one after the other", function()
    up(1, 3)
    for round = 1, 2 do
      local count = births()
      set(m, "TiKVGroup", function(s)
        s.template.metadata = { annotations = { ["core.tikv.org/restartedAt"] = "2026-01-0" .. round .. "T00:00:00Z" } }
      end)
      days(15)
      once_each(count, "tikv", { 0, 1, 2 })
    end
  end)

  -- P-27, P-33
  it("an overlay that changes the pod rolls it; a label of the group's own does not", function()
    up(1, 2)
    local before = uids(m, "tikv")
    m:get("TiKVGroup", "basic").metadata.labels = { team = "kv" }
    days(2)
    assert.same(before, uids(m, "tikv"))
    set(m, "TiKVGroup", function(s)
      s.template.spec.overlay = { pod = { spec = { terminationGracePeriodSeconds = 77 } } }
    end)
    days(15)
    for name, uid in pairs(before) do
      assert.is_true(uid ~= m:get("Pod", name).metadata.uid)
      assert.equal(77, m:get("Pod", name).spec.terminationGracePeriodSeconds)
    end
  end)

  -- U-49, E-35, E-49
  it("15 stores roll to the end, also when one was broken before and another never becomes ready for a while", function()
    up(1, 15)
    local slow = 0
    local broken = m.broken
    m.broken = function(pod)
      if pod.metadata.name == "basic-tikv-12" and slow < 8 then
        slow = slow + 1
        return true
      end
      return broken(pod)
    end
    m:get("Pod", "basic-tikv-7").status.conditions[2].status = "False"
    local count = births()
    set(m, "TiKVGroup", function(s) s.template.spec.config = "a = 2" end)
    for _ = 1, 60 do
      m:settle(200)
      m.now = m.now + 15
      if m:get("TiKVGroup", "basic").status.updatedReplicas == 15 then break end
    end
    local s = m:get("TiKVGroup", "basic").status
    assert.equal(15, s.updatedReplicas)
    assert.equal(15, s.readyReplicas)
    for n = 0, 14 do assert.is_true(count["basic-tikv-" .. n] <= 2) end
  end)

  -- U-87, E-52
  it("a cluster with TLS and local disks rolls like any other", function()
    things.secrets(m)
    up(3, 3, { tlsCluster = { enabled = true } })
    for _, claim in ipairs(m:list "PersistentVolumeClaim") do claim.spec.storageClassName = "local" end
    local count = births()
    for _, kind in ipairs { "PDGroup", "TiKVGroup" } do
      set(m, kind, function(s) s.template.spec.version = "v8.5.3" end)
    end
    days(30)
    once_each(count, "tikv", { 0, 1, 2 })
    once_each(count, "pd", { 0, 1, 2 })
    assert.equal("v8.5.3", m:get("Cluster", "basic").status.version)
  end)
end)
