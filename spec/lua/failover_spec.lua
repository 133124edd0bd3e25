require("support.caged").open()
local caged = require "support.caged"
local mini = require "support.mini"
local things = require "support.manifests"

local function names(m, kind)
  local out = {}
  for n, o in ipairs(m:list(kind)) do out[n] = o.metadata.name end
  return table.concat(out, " ")
end

local function index(m, pattern)
  for n, line in ipairs(m.writes) do
    if line:find(pattern) then return n end
  end
end

describe("Failover of stores, in the toy world,", function()
  local m

  before_each(function()
    caged.answer(nil)
    m = mini.new()
  end)

  local function up(tikv, failover, cluster)
    m:put(things.cluster("basic", cluster))
    m:put(things.group("PDGroup", "basic", 1))
    m:put(things.group("TiKVGroup", "basic", tikv, { failover = failover }))
    m:settle()
    for n, s in ipairs(m.stores) do s.regions, s.leaders, s.labels = 10, 3, { zone = "z" .. n } end
    m:settle()
    m.now = m.now + 7200
    m.writes, m.log = {}, {}
  end

  local function ready(name, yes)
    local pod = m:get("Pod", name)
    for _, c in ipairs(pod.status.conditions) do
      if c.type == "Ready" then c.status = yes and "True" or "False" end
    end
    m:touch(pod)
  end

  local function lose(n, seconds)
    m.stores[n].state, m.stores[n].heartbeat_age = (seconds or 2000) >= 1800 and "Down" or "Disconnected", seconds or 2000
    m.stores[n].leaders = 0
    ready("basic-tikv-" .. n - 1, false)
  end

  local function back(n)
    local s = m.stores[n]
    s.heartbeat_age = 3
    if s.state ~= "Offline" then s.state = "Up" end
    ready("basic-tikv-" .. n - 1, true)
  end

  it("has hooks of its own: a Job before the spare is made, one when the lost store is gone; scaling's do not run", function()
    up(3)
    local function hook()
      return { jobTemplate = { spec = { template = { spec = { containers = { { name = "hook", image = "busybox" } } } } } } }
    end
    local o = mini.copy(m:get("TiKVGroup", "basic"))
    o.spec.hooks, o.metadata.uid = { beforeFailover = hook(), afterFailover = hook(), beforeScaleOut = hook() }, nil
    m:put(o)
    m:settle()
    m.jobs, m.writes = "Running", {}
    lose(2)
    m:settle(100)
    assert.equal("basic-0 basic-1 basic-2", names(m, "TiKV"))
    assert.equal("HookRunning", m:get("TiKVGroup", "basic").status.reason)
    m.jobs = nil
    m:settle(100)
    assert.equal("basic-0 basic-2 basic-3", names(m, "TiKV"))
    local before, after = index(m, "^job Job/basic%-tikv%-before%-failover"), index(m, "^job Job/basic%-tikv%-after%-failover")
    assert.is_true(before < index(m, "^apply TiKV/basic%-3") and index(m, "^delete TiKV/basic%-1") < after)
    assert.is_nil(index(m, "^job Job/basic%-tikv%-before%-scale"))
  end)

  -- W-04, E-28, E-33, U-01, U-02, U-03, U-04
  it("replaces a lost store on a new disk: the new one serves first, then the old one leaves, its claim last", function()
    up(3)
    lose(2)
    m:settle(100)
    assert.equal("basic-0 basic-2 basic-3", names(m, "TiKV"))
    local last = 0
    for _, line in ipairs { "^patch_meta TiKV/basic%-1", "^apply TiKV/basic%-3", "^apply Pod/basic%-tikv%-3",
      "^apply TiKV/basic%-1", "^pd_offline /4", "^patch_meta PersistentVolumeClaim/data%-basic%-tikv%-1",
      "^delete TiKV/basic%-1", "^delete PersistentVolumeClaim/data%-basic%-tikv%-1" } do
      local at = index(m, line)
      assert.is_true(at ~= nil and at > last, line .. "\n" .. table.concat(m.writes, "\n"))
      last = at
    end
    assert.equal("Ready", m:get("TiKVGroup", "basic").status.phase)
    assert.equal(3, #m:list("TiKV"))
  end)

  -- E-32, U-11
  it("does nothing before storeDownSeconds, and says when", function()
    up(3)
    lose(2, 600)
    m:settle()
    local s = m:get("TiKVGroup", "basic").status
    assert.equal("StoreSilent", s.reason)
    assert.truthy(s.message:find("store 4 of basic%-1 is Disconnected, heard last .*; after 30 minutes it is replaced"),
      s.message)
    assert.is_nil(index(m, "TiKV/basic%-3"))
  end)

  -- E-23, U-05, U-06
  it("takes the mark back when the store returns, and drops the spare that has no data", function()
    up(3)
    lose(2)
    m.pods_ready = false
    m:settle()
    assert.equal("failover", m:get("TiKV", "basic-1").metadata.annotations["core.tikv.org/replace"])
    assert.equal("basic-0 basic-1 basic-2 basic-3", names(m, "TiKV"))
    assert.equal("Repairing", m:get("TiKVGroup", "basic").status.phase)
    m.pods_ready = true
    back(2)
    m:settle()
    assert.equal("basic-0 basic-1 basic-2", names(m, "TiKV"))
    assert.is_nil(m:get("TiKV", "basic-1").metadata.annotations["core.tikv.org/replace"])
    assert.is_nil(index(m, "^pd_offline /4"))
    assert.equal("Ready", m:get("TiKVGroup", "basic").status.phase)
  end)

  it("calls a store back that was offline already and holds more than its spare", function()
    up(3)
    lose(2)
    m.frozen = true
    m:settle()
    assert.equal("Offline", m.stores[2].state)
    assert.is_true(m:get("TiKV", "basic-1").spec.offline)
    back(2)
    m:settle()
    assert.equal("Up", m.stores[2].state)
    assert.is_nil(m:get("TiKV", "basic-1").spec.offline)
    m.frozen = false
    m:settle()
    assert.equal("basic-0 basic-1 basic-2", names(m, "TiKV"))
    assert.is_nil(m:get("TiKV", "basic-1").metadata.annotations["core.tikv.org/replace"])
  end)

  it("goes on when the spare holds more than the store that returns", function()
    up(3)
    lose(2)
    m.frozen = true
    m:settle()
    m.stores[4].regions, m.stores[2].regions = 9, 1
    back(2)
    m.frozen = false
    m:settle()
    assert.equal("basic-0 basic-2 basic-3", names(m, "TiKV"))
  end)

  it("holds and shouts when more than a third are away", function()
    up(4)
    lose(2)
    lose(3)
    m:settle()
    local s = m:get("TiKVGroup", "basic").status
    assert.equal("MassFailure", s.reason)
    assert.truthy(s.message:find("2 of 4 stores are away", 1, true), s.message)
    assert.equal("basic-0 basic-1 basic-2 basic-3", names(m, "TiKV"))
    assert.truthy(index(m, "^event"))
    assert.equal("Degraded", s.phase)
  end)

  -- W-58
  it("holds and shouts when a zone lost two", function()
    up(7)
    for n, store in ipairs(m.stores) do store.labels = { zone = n < 3 and "a" or "b" } end
    lose(1)
    lose(2)
    m:settle()
    assert.truthy(m:get("TiKVGroup", "basic").status.message:find("2 of 2 stores with zone=a are away", 1, true))
    assert.equal(7, #m:list("TiKV"))
  end)

  -- E-20, U-07, U-09
  it("E-18 E-19 replaces maxFailover at a time, and a spare that can not be placed makes no other (storm)", function()
    up(9)
    lose(2)
    lose(3)
    m.pods_ready = false
    m:settle()
    m.now = m.now + 7200
    m.stores[10] = nil
    m:settle()
    assert.equal(10, #m:list("TiKV"))
    local marked = 0
    for _, o in ipairs(m:list("TiKV")) do
      if o.metadata.annotations["core.tikv.org/replace"] then marked = marked + 1 end
    end
    assert.equal(1, marked)
    m.pods_ready = true
    m:settle(200)
    assert.equal("basic-0 basic-10 basic-3 basic-4 basic-5 basic-6 basic-7 basic-8 basic-9", names(m, "TiKV"))
  end)

  it("E-21 maxFailover 0 and enabled false turn it off, and say so", function()
    up(3, { maxFailover = 0 })
    lose(2)
    m:settle()
    assert.equal("FailoverOff", m:get("TiKVGroup", "basic").status.reason)
    assert.equal(3, #m:list("TiKV"))
    m = mini.new()
    up(3, { enabled = false })
    lose(2)
    m:settle()
    assert.equal("FailoverOff", m:get("TiKVGroup", "basic").status.reason)
    assert.equal(3, #m:list("TiKV"))
  end)

  it("concludes nothing while PD is unknown, unsettled, has no majority, another history or halted scheduling", function()
    for _, change in ipairs {
      function() m.pd.settled = false end,
      function() m.pd = { known = false, reason = "no answer" }; m.pd_down = true end,
      function() m.pd.history = "it went back" end,
      function() m.pd.cluster_id = "8" end,
      function() m.members[#m.members + 1] = { id = "5", name = "x", healthy = false } end,
      function() m.pd.halted = true end,
    } do
      m = mini.new()
      up(3)
      lose(2)
      change()
      m:settle()
      assert.equal(3, #m:list("TiKV"))
      assert.is_nil(m:get("TiKV", "basic-1").metadata.annotations["core.tikv.org/replace"])
    end
    assert.equal("SchedulingHalted", m:get("TiKVGroup", "basic").status.reason)
  end)

  it("counts only while it watches: after a pause, a suspension, an outage of PD the time begins anew", function()
    up(3)
    m:get("Cluster", "basic").spec.paused = true
    m:settle()
    assert.is_nil(m:get("TiKVGroup", "basic").status.failover)
    m.now = m.now + 7200
    lose(2)
    m:get("Cluster", "basic").spec.paused = false
    m:settle()
    assert.equal(3, #m:list("TiKV"))
    m.now = m.now + 1900
    m:settle(100)
    assert.equal("basic-0 basic-2 basic-3", names(m, "TiKV"))

    m = mini.new()
    up(3)
    local pd = m.pd
    m.pd, m.pd_down = { known = false, reason = "no answer" }, true
    m:settle()
    lose(2)
    m.now = m.now + 3600
    m.pd, m.pd_down = pd, false
    m:settle()
    assert.equal(3, #m:list("TiKV"))
    m.now = m.now + 1900
    m:settle(100)
    assert.equal("basic-0 basic-2 basic-3", names(m, "TiKV"))
  end)

  -- E-30
  it("asks can_fail_over, tune_store_down_seconds and tune_max_failover", function()
    up(3)
    lose(2)
    caged.answer(function(q)
      if q.question == "can_fail_over" then return { { policy = "ns/p", answer = false, reason = "not today" } } end
    end)
    m:settle()
    assert.equal("can_fail_over: ns/p: not today", m:get("TiKVGroup", "basic").status.message)
    caged.answer(function(q)
      if q.question == "tune_store_down_seconds" then return { { policy = "ns/p", answer = 3000 } } end
    end)
    m:settle()
    assert.equal("StoreSilent", m:get("TiKVGroup", "basic").status.reason)
    caged.answer(function(q)
      if q.question == "tune_max_failover" then return { { policy = "ns/p", answer = 0 } } end
    end)
    m:settle()
    assert.equal("FailoverOff", m:get("TiKVGroup", "basic").status.reason)
    caged.answer(nil)
    m:settle(100)
    assert.equal("basic-0 basic-2 basic-3", names(m, "TiKV"))
  end)

  it("leaves an instance alone that a person holds", function()
    up(3)
    m:get("TiKV", "basic-1").metadata.annotations["core.tikv.org/hold"] = "looking at it"
    lose(2)
    m:settle()
    assert.equal("Held", m:get("TiKVGroup", "basic").status.reason)
    assert.equal(3, #m:list("TiKV"))
  end)

  it("lets go of a lost store without a spare when the group shrinks meanwhile (E-22)", function()
    up(5)
    lose(2)
    m.pods_ready = false
    m:settle()
    local g = mini.copy(m:get("TiKVGroup", "basic"))
    g.spec.replicas, g.metadata.uid = 4, nil
    m:put(g)
    m:settle(100)
    assert.equal("basic-0 basic-2 basic-3 basic-4", names(m, "TiKV"))
  end)

  it("goes on with an instance whose store lost its data: the new id counts, the old one is not forgotten (E-05)", function()
    up(3)
    m.stores[2].state, m.stores[2].node_state, m.stores[2].regions, m.stores[2].leaders = "Tombstone", "Removed", 0, 0
    local address = m.stores[2].address
    m.stores[4] = { id = "77", address = address, state = "Up", node_state = "Serving", leaders = 0, regions = 2,
      capacity = "107374182400", available = "107374182400", labels = {}, pod = m.stores[2].pod }
    m:settle()
    local o = m:get("TiKV", "basic-1")
    assert.equal("77", o.status.id)
    assert.same({ "4" }, o.status.formerStores)
    assert.equal("Serving", o.status.phase)
    local claim = m:get("PersistentVolumeClaim", "data-basic-tikv-1").metadata
    assert.equal("77", claim.labels["core.tikv.org/store-id"])
    assert.equal("4", claim.annotations["core.tikv.org/former-stores"])
    assert.equal("basic-0 basic-1 basic-2", names(m, "TiKV"))
    m.stores[4].state, m.stores[4].node_state, m.stores[4].regions = "Tombstone", "Removed", 0
    m:settle()
    assert.is_nil(m:get("PersistentVolumeClaim", "data-basic-tikv-1"))
  end)

  it("replaces a store at once that a person calls destroyed, whatever else is away", function()
    up(4)
    lose(2, 60)
    lose(3, 60)
    m:settle()
    assert.equal("MassFailure", m:get("TiKVGroup", "basic").status.reason)
    m:get("TiKV", "basic-1").metadata.annotations["core.tikv.org/destroyed"] = "1"
    m:settle()
    assert.equal(4, #m:list("TiKV")) -- another store's id is no word
    m:get("TiKV", "basic-1").metadata.annotations["core.tikv.org/destroyed"] = "4"
    m.pods_ready = false
    m:settle()
    assert.equal("destroyed", m:get("TiKV", "basic-1").metadata.annotations["core.tikv.org/replace"])
    assert.equal(5, #m:list("TiKV"))
  end)

  it("lets a buried store with regions go only by a person's word, and keeps its claim, retired", function()
    up(3)
    m.stores[2].state, m.stores[2].node_state = "Tombstone", "Removed"
    m:settle()
    assert.equal("TombstoneWithRegions", m:get("TiKV", "basic-1").status.reason)
    m:get("TiKV", "basic-1").metadata.annotations["core.tikv.org/destroyed"] = "4"
    m:settle(100)
    assert.equal("basic-0 basic-2 basic-3", names(m, "TiKV"))
    local claim = m:get("PersistentVolumeClaim", "data-basic-tikv-1").metadata
    assert.equal("true", claim.labels["core.tikv.org/retired"])
    assert.is_nil((claim.annotations or {})["core.tikv.org/removed-stores"])
  end)

  it("is still once nothing can be done (no writes at rest)", function()
    up(4)
    lose(2)
    lose(3)
    m:settle()
    m.writes = {}
    m.now = m.now + 600
    m:settle()
    assert.same({}, m.writes)
  end)
end)
