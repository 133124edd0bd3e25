require("support.caged").open()
local caged = require "support.caged"
local mini = require "support.mini"
local things = require "support.manifests"
local reasons = require "lib.reasons"
local story = require "lib.story"

describe("The story that Events tell", function()
  local m

  before_each(function()
    caged.answer(nil)
    m = mini.new()
  end)

  local function events()
    local out = {}
    for _, line in ipairs(m.writes) do out[#out + 1] = line:match "^event (.*)" end
    m.writes = {}
    return out
  end

  local function scale(n)
    local o = mini.copy(m:get("TiKVGroup", "basic"))
    o.spec.replicas, o.metadata.uid = n, nil
    m:put(o)
    m:settle()
  end

  it("of a cluster that is made has one line per group, and none per instance", function()
    things.basic(m, 3, 3)
    m:settle()
    assert.same({ "ScalingOut TiKVGroup/basic", "Created PDGroup/basic", "Created TiKVGroup/basic",
      "Created Cluster/basic" }, events())
    m.now = m.now + 4000
    m:settle()
    assert.same({}, events(), "nothing happened, nothing is told")
  end)

  it("of a scaling has its begin and its end, and what each leaving store lives through", function()
    things.basic(m, 1, 3)
    m:settle()
    for _, s in ipairs(m.stores) do s.regions, s.leaders = 8, 2 end
    events()
    scale(4)
    assert.same({ "ScalingOut TiKVGroup/basic", "Ready TiKVGroup/basic" }, events())
    m.stores[4].regions, m.stores[4].leaders = 8, 2
    scale(3)
    assert.same({ "ScalingIn TiKVGroup/basic", "Draining TiKV/basic-3", "StoreRemoved TiKV/basic-3",
      "Ready TiKVGroup/basic" }, events())
  end)

  it("of trouble says when it began and when it was over", function()
    things.basic(m, 1, 3)
    m:settle()
    events()
    local pod = m:get("Pod", "basic-tikv-1")
    pod.status.conditions[2].status = "False"
    m:touch(pod)
    m:settle()
    m.now = m.now + 60
    m:settle()
    assert.same({ "Degraded TiKVGroup/basic", "Degraded Cluster/basic", "PodNotReady TiKV/basic-1" }, events())
    pod.status.conditions[2].status = "True"
    m:touch(pod)
    m:settle()
    assert.same({ "Recovered TiKVGroup/basic", "Recovered Cluster/basic" }, events())
  end)

  it("of a refusal says it once, however often it is looked at", function()
    things.basic(m, 1, 3)
    m:settle()
    for _, s in ipairs(m.stores) do s.regions = 8 end
    events()
    scale(2)
    local told = events()
    assert.same({ "ScalingIn TiKVGroup/basic", "OfflineRefused TiKV/basic-2" }, told)
    m.now = m.now + 900
    m:settle()
    assert.same({}, events())
  end)

  it("says when a Cluster is paused and when it goes on", function()
    things.basic(m, 1, 1)
    m:settle()
    events()
    for _, paused in ipairs { true, false } do
      local o = mini.copy(m:get("Cluster", "basic"))
      o.spec.paused, o.metadata.uid = paused, nil
      m:put(o)
      m:settle()
    end
    assert.same({ "Paused Cluster/basic", "Resumed Cluster/basic" }, events())
  end)

  it("never lets the status of a milestone wait: else it would be told again", function()
    local w = { now = 100, object = { kind = "TiKV", metadata = {}, status = { reason = "EvictingLeaders", phase = "Leaving" } } }
    local p = { actions = { { action = "pd_offline" } } }
    assert.is_true(story.tell(w, p, { reason = "Draining", phase = "Leaving", message = "3 of 3" }))
    assert.equal("event", p.actions[1].action)
    assert.is_false(story.tell(w, p, { reason = "EvictingLeaders", phase = "Leaving", message = "2 left" }))
  end)

  it("knows two types only", function()
    for code, row in pairs(reasons.all) do
      assert.is_true(row.event == nil or row.event == "Normal" or row.event == "Warning", code)
    end
  end)
end)
