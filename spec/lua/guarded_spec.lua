--- What the guard knows reaches people: who looks after a Cluster, refusals, and what needs a person's word.
require("support.caged").open()
local caged = require "support.caged"
local mini = require "support.mini"
local pass = require "lib.pass"
local things = require "support.manifests"

describe("The guard's word", function()
  local m
  before_each(function()
    caged.answer(nil)
    m = mini.new()
    things.basic(m, 1, 3)
    m:settle()
  end)

  local function world(kind, name, over)
    local w = m:world(m:get(kind, name))
    for k, v in pairs(over or {}) do w[k] = v end
    return w
  end

  local function patches(plan)
    local out = {}
    for _, a in ipairs(plan.actions) do
      if a.action == "patch_meta" then out[#out + 1] = a end
    end
    return out
  end

  local US = { version = "1", id = "tikv-system/tikv-operator", behaviour = 2 }

  it("on who looks after a Cluster is written once, and only a newer behaviour writes again (G1)", function()
    local first = patches(pass.run(world("Cluster", "basic", { operator = US })))[1]
    assert.same({ ["core.tikv.org/operator"] = US.id, ["core.tikv.org/behaviour"] = "2" }, first.annotations)
    m:patch(m:get("Cluster", "basic"), first)
    assert.same({}, patches(pass.run(world("Cluster", "basic", { operator = US }))))
    assert.same({}, patches(pass.run(world("Cluster", "basic", { operator = { id = US.id, behaviour = 1 } }))))
    local newer = patches(pass.run(world("Cluster", "basic", { operator = { id = US.id, behaviour = 3 } })))[1]
    assert.equal("3", newer.annotations["core.tikv.org/behaviour"])
    assert.equal(US.id, newer.annotations["core.tikv.org/operator"])
  end)

  it("is not written by an operator without a lease", function()
    assert.same({}, patches(pass.run(world("Cluster", "basic", { operator = { id = "", behaviour = 2 } }))))
  end)

  it("on what was refused is told in status while the step waits, not longer", function()
    local last = { refused = { rule = "G6", message = "G6: 2 stores would not serve", action = "delete" } }
    m:get("Cluster", "basic").spec.paused = true
    local w = world("TiKVGroup", "basic", { last = last })
    local s = pass.run(w).status
    assert.equal("GuardRefused", s.reason)
    assert.equal("G6: 2 stores would not serve", s.message)
    m:get("Cluster", "basic").spec.paused = nil
    assert.equal("", pass.run(world("TiKVGroup", "basic", { last = last })).status.reason)
  end)

  it("never resets a clock that a step counts on", function()
    m:get("TiKV", "basic-2").spec.offline = true
    m:store(m:get("TiKV", "basic-2").status.id).leaders = 9
    m.stores[4] = mini.copy(m.stores[1])
    m.stores[4].id, m.stores[4].address = "40", "elsewhere:20160"
    local last = { refused = { rule = "G6", message = "G6: no", action = "pd_evict_leaders" } }
    local s = pass.run(world("TiKV", "basic-2", { last = last })).status
    assert.equal("EvictingLeaders", s.reason)
    assert.truthy(s.message:find("the guard: G6: no", 1, true))
  end)

  it("on an open breaker is the Cluster's reason, and a confirmation is taken away once heard (G9)", function()
    local w = world("Cluster", "basic")
    w.pd.breaker = "delete basic-tikv-0 did not do what it should"
    local s = pass.run(w).status
    assert.equal("BreakerOpen", s.reason)
    assert.truthy(s.hint:find("core.tikv.org/confirm=breaker", 1, true))
    m:get("Cluster", "basic").metadata.annotations = { ["core.tikv.org/confirm"] = "breaker" }
    local plan = pass.run(world("Cluster", "basic"))
    assert.same({ "core.tikv.org/confirm" }, plan.actions[1].remove_annotations)
    assert.equal("Confirmed", plan.actions[2].reason)
    m:get("Cluster", "basic").metadata.annotations = { ["core.tikv.org/confirm"] = "yes" }
    assert.equal("InvalidConfirmation", pass.run(world("Cluster", "basic")).actions[2].reason)
  end)

  it("on taking over a disk: the owner is written alone, the rest when the disk is ours (G3)", function()
    local claim = m:get("PersistentVolumeClaim", "data-basic-tikv-0")
    claim.metadata.annotations["core.tikv.org/owner-uid"] = "gone"
    claim.metadata.labels["core.tikv.org/volume"] = nil
    local one = patches(pass.run(world("TiKV", "basic-0")))[1]
    assert.same({ ["core.tikv.org/owner-uid"] = m:get("TiKV", "basic-0").metadata.uid }, one.annotations)
    assert.is_nil(one.labels)
    m:patch(claim, one)
    local two = patches(pass.run(world("TiKV", "basic-0")))[1]
    assert.equal("data", two.labels["core.tikv.org/volume"])
  end)
end)
