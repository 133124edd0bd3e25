--- Edits that contradict each other or undo what we did: each ends as the last spec says, or waits and says for what.
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

describe("Contradicting edits, in the toy world,", function()
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

  local function scale(kind, n)
    set(m, kind, "basic", function(s) s.replicas = n end)
  end

  local function passes(n)
    for _ = 1, n do
      for _, kind in ipairs { "Cluster", "PDGroup", "TiKVGroup", "PD", "TiKV" } do
        for _, o in ipairs(m:list(kind)) do m:pass(kind, o.metadata.name) end
      end
      m.now = m.now + 1
    end
  end

  local function store_ids()
    local out = {}
    for n, o in ipairs(m:list "TiKV") do out[n] = o.status.id end
    return table.concat(out, " ")
  end

  -- E-08, E-65, U-23, U-29
  it("no stores and back: what regions need stays, says so, and all of them serve again", function()
    up(1, 4)
    local ids = store_ids()
    scale("TiKVGroup", 0)
    m:settle()
    assert.equal(3, #m:list "TiKV")
    for _, o in ipairs(m:list "TiKV") do
      assert.equal("OfflineRefused", o.status.reason)
      assert.truthy(o.status.message:find("regions need 3", 1, true))
      assert.truthy(ids:find(o.status.id, 1, true))
    end
    local kept = store_ids()
    scale("TiKVGroup", 4)
    m:settle()
    assert.equal(4, #m:list "TiKV")
    for id in kept:gmatch "%S+" do assert.equal("Up", m:store(id).state) end
    for _, o in ipairs(m:list "TiKV") do assert.equal("Serving", o.status.phase) end
  end)

  -- E-08
  it("no members and back: PD keeps its last member while stores live, and the data with it", function()
    up(3, 3)
    scale("PDGroup", 0)
    m:settle()
    assert.equal(1, #m.members)
    local last = m:list("PD")[1]
    assert.equal("Serving", last.status.phase)
    assert.is_nil(last.metadata.deletionTimestamp, "the last member must not even be asked to go")
    assert.equal("LastMember", m:get("PDGroup", "basic").status.reason)
    scale("PDGroup", 3)
    m:settle()
    assert.equal(3, #m.members)
    assert.equal("7000000000000000001", m:get("Cluster", "basic").status.id)
    assert.equal("3/3", m:get("Cluster", "basic").status.pdReady)
  end)

  it("of two people at once: the last word counts, whatever was begun for the first", function()
    up(1, 3)
    scale("TiKVGroup", 6)
    passes(2)
    scale("TiKVGroup", 4)
    m:settle()
    assert.equal(4, #m:list "TiKV")
    scale("TiKVGroup", 3)
    passes(3)
    scale("TiKVGroup", 5)
    m:settle()
    assert.equal(5, #m:list "TiKV")
    for _, s in ipairs(m.stores) do assert.is_true(s.state == "Up" or s.state == "Tombstone") end
    assert.equal("5/5", m:get("Cluster", "basic").status.tikvReady)
  end)

  -- E-61, E-62, U-21, U-22
  it("out and in again before the new ones have registered: they go, and no other does", function()
    up(1, 3)
    local ids = store_ids()
    scale("TiKVGroup", 6)
    passes(3)
    scale("TiKVGroup", 3)
    m:settle()
    assert.equal("basic-0 basic-1 basic-2", names(m, "TiKV"))
    assert.equal(ids, store_ids())
  end)

  -- E-17, W-42
  it("deletion while suspended goes through, and asks PD for nothing", function()
    up(3, 3)
    set(m, "Cluster", "basic", function(s) s.suspendAction = { suspendCompute = true } end)
    m:settle()
    m.pd_down, m.pd = true, { known = false, reason = "no PD yet" }
    m:settle() -- the budget closes
    m.writes = {}
    m:settle()
    assert.same({}, m.writes)
    local plan = m:pass("TiKV", "basic-0")
    assert.equal("wait", plan.verdict.kind)
    m:delete("Cluster", "basic")
    m:settle()
    assert.equal("", names(m, "Cluster") .. names(m, "PD") .. names(m, "TiKV") .. names(m, "Pod"))
    assert.equal(6, #m:list "PersistentVolumeClaim")
  end)

  -- E-76, U-101
  it("suspension in the middle of a scale-in: pods go, and the scale-in goes on afterwards", function()
    up(1, 5)
    scale("TiKVGroup", 3)
    passes(4)
    set(m, "Cluster", "basic", function(s) s.suspendAction = { suspendCompute = true } end)
    m.after_round = function() -- what stands still does not drain
      m.frozen = #m:list "Pod" == 0
    end
    m:settle()
    assert.equal("", names(m, "Pod"))
    assert.equal("Suspended", m:get("Cluster", "basic").status.phase)
    set(m, "Cluster", "basic", function(s) s.suspendAction = nil end)
    m:settle()
    assert.equal(3, #m:list "TiKV")
    assert.equal("3/3", m:get("Cluster", "basic").status.tikvReady)
  end)

  it("a group deleted while it grows goes as a whole; a paused Cluster can be deleted too", function()
    up(1, 3)
    scale("TiKVGroup", 6)
    passes(2)
    set(m, "Cluster", "basic", function(s) s.paused = true end)
    m:delete("Cluster", "basic")
    m:settle()
    assert.equal("", names(m, "Cluster") .. names(m, "TiKVGroup") .. names(m, "TiKV") .. names(m, "Pod"))
  end)

  -- E-36, E-55, W-22
  it("by hand on what we manage are undone, and restart nothing", function()
    up(1, 3)
    local pod = m:get("Pod", "basic-tikv-1")
    local uid = pod.metadata.uid
    pod.metadata.labels["core.tikv.org/cluster"] = "other"
    local file = m:get("ConfigMap", "basic-tikv-1").data["config.toml"]
    m:get("ConfigMap", "basic-tikv-1").data["config.toml"] = "# mine"
    m:get("Service", "basic-pd").spec.ports = {}
    m:get("PersistentVolumeClaim", "data-basic-tikv-1").metadata.labels["core.tikv.org/store-id"] = nil
    m:get("PersistentVolume", "pv-data-basic-tikv-1").metadata.labels = nil
    m:get("TiKV", "basic-1").metadata.labels["mine"] = "x"
    m:settle()
    assert.equal("basic", m:get("Pod", "basic-tikv-1").metadata.labels["core.tikv.org/cluster"])
    assert.equal(file, m:get("ConfigMap", "basic-tikv-1").data["config.toml"])
    assert.truthy(m:get("Service", "basic-pd").spec.ports[1])
    local id = m:get("TiKV", "basic-1").status.id
    assert.equal(id, m:get("PersistentVolumeClaim", "data-basic-tikv-1").metadata.labels["core.tikv.org/store-id"])
    assert.equal(id, m:get("PersistentVolume", "pv-data-basic-tikv-1").metadata.labels["core.tikv.org/store-id"])
    assert.equal("x", m:get("TiKV", "basic-1").metadata.labels["mine"])
    assert.equal(uid, m:get("Pod", "basic-tikv-1").metadata.uid)
  end)

  it("a pod without its owner reference is nobody's: it is left alone, and status says which", function()
    up(1, 3)
    m:get("Pod", "basic-tikv-1").metadata.ownerReferences = nil
    m:settle()
    local s = m:get("TiKV", "basic-1").status
    assert.equal("ForeignObject", s.reason)
    assert.truthy(s.message:find("basic-tikv-1", 1, true))
    m:delete("Pod", "basic-tikv-1")
    m:settle()
    assert.equal("Serving", m:get("TiKV", "basic-1").status.phase)
  end)

  it("a status that is wiped comes back from the disks: same store, nothing drains", function()
    up(1, 3)
    local ids = store_ids()
    m:get("TiKV", "basic-1").status = nil
    m:get("Cluster", "basic").status = nil
    m:settle()
    assert.equal(ids, store_ids())
    assert.equal("7000000000000000001", m:get("Cluster", "basic").status.id)
    for _, s in ipairs(m.stores) do assert.equal("Up", s.state) end
  end)

  -- W-62
  it("a finalizer removed by force: the store comes back over its own disk", function()
    up(1, 3)
    local gone = m:get("TiKV", "basic-1")
    local id = gone.status.id
    gone.metadata.finalizers = {}
    m:delete("TiKV", "basic-1")
    assert.is_nil(m:get("Pod", "basic-tikv-1")) -- the collector took it
    assert.truthy(m:get("PersistentVolumeClaim", "data-basic-tikv-1"))
    m:settle()
    assert.equal(id, m:get("TiKV", "basic-1").status.id)
    assert.equal("basic-0 basic-1 basic-2", names(m, "TiKV"))
    assert.equal("Up", m:store(id).state)
  end)
end)
