require("support.caged").open()
local caged = require "support.caged"
local mini = require "support.mini"
local things = require "support.manifests"

local OWN = "core.tikv.org/"
local LIMITS = "schedule.store-limit"

describe("Weekly work", function()
  local m

  local function cluster() return m:get("Cluster", "basic") end

  local function set(change)
    local o = mini.copy(cluster())
    change(o.spec)
    o.metadata.uid = nil
    m:put(o)
    m.writes = {}
  end

  local function replicas(n)
    local o = mini.copy(m:get("TiKVGroup", "basic"))
    o.spec.replicas, o.metadata.uid = n, nil
    m:put(o)
  end

  local function sent(action)
    local n = 0
    for _, line in ipairs(m.writes) do if line:find("^" .. action) then n = n + 1 end end
    return n
  end

  local function limits()
    local out = {}
    for id, l in pairs(m.settings[LIMITS]) do out[#out + 1] = id .. "=" .. l["add-peer"] end
    table.sort(out)
    return table.concat(out, " ")
  end

  before_each(function()
    caged.answer(nil)
    m = mini.new()
    things.basic(m, 1, 4)
    m:settle()
    m.settings[LIMITS] = {}
    for _, s in ipairs(m.stores) do m.settings[LIMITS][s.id] = { ["add-peer"] = 15, ["remove-peer"] = 15 } end
    m.settings[LIMITS]["4"]["add-peer"] = 40
    m.writes = {}
  end)

  describe("scheduling frozen for a backup", function()
    it("halts PD until the time that was given, says so, and goes on by itself", function()
      set(function(s) s.scheduling = { haltUntil = time.format(m.now + 600) } end)
      m:settle()
      assert.is_true(m.pd.halted)
      assert.equal("SchedulingFrozen", cluster().status.reason)
      assert.is_string(cluster().metadata.annotations[OWN .. "halted"])
      local plan = m.scripts.run(m:world(cluster()))
      assert.equal("retry", plan.verdict.kind)
      assert.is_true(plan.verdict.after <= 600)
      m.now = m.now + 601
      m:settle()
      assert.is_false(m.pd.halted)
      assert.is_nil(cluster().metadata.annotations[OWN .. "halted"])
      assert.equal("", cluster().status.reason)
      m.writes = {}
      m:settle()
      assert.same({}, m.writes)
    end)

    it("ends when the field goes, and begins once, whatever crash there was", function()
      set(function(s) s.scheduling = { haltUntil = time.format(m.now + 600) } end)
      cluster().metadata.annotations[OWN .. "halted"] = time.format(m.now) -- marked, then a crash
      m:settle()
      assert.is_true(m.pd.halted)
      assert.equal(1, sent "pd_config")
      set(function(s) s.scheduling = nil end)
      m:settle()
      assert.is_false(m.pd.halted)
    end)

    it("is not ended when somebody else began it", function()
      m.pd.halted = true
      set(function(s) s.scheduling = { haltUntil = time.format(m.now + 600) } end)
      m:settle()
      m.now = m.now + 601
      m:settle()
      assert.is_true(m.pd.halted)
      assert.equal(0, sent "pd_config")
      assert.equal("SchedulingHalted", cluster().status.reason)
    end)
  end)

  describe("the speed of a drain", function()
    it("is set while something drains, and PD's own limits come back store by store (E-12)", function()
      for _, s in ipairs(m.stores) do s.regions = 40 end
      m.frozen = true
      set(function(s) s.scheduling = { drainRate = 100 } end)
      m:settle()
      assert.equal("10=15 1=15 4=40 7=15", limits())
      replicas(3)
      m:settle()
      assert.equal("10=100 1=100 4=100 7=100", limits())
      set(function(s) s.scheduling.drainRate = 50 end)
      m:settle()
      assert.equal("10=50 1=50 4=50 7=50", limits())
      m.frozen = false
      m:settle()
      assert.equal("10=15 1=15 4=40 7=15", limits())
      assert.is_nil(cluster().metadata.annotations[OWN .. "store-limits"])
    end)

    it("is given back when the drain is cancelled", function()
      for _, s in ipairs(m.stores) do s.regions = 40 end
      m.frozen = true
      set(function(s) s.scheduling = { drainRate = 100 } end)
      replicas(3)
      m:settle()
      assert.equal("10=100 1=100 4=100 7=100", limits())
      replicas(4)
      m:settle()
      assert.equal("10=15 1=15 4=40 7=15", limits())
    end)

    it("touches nothing where nobody asked for one", function()
      for _, s in ipairs(m.stores) do s.regions = 10 end
      replicas(3)
      m:settle()
      assert.equal(0, sent "pd_store_limit")
    end)

    it("is PD's own business with limits of version 2", function()
      m.settings["schedule.store-limit-version"] = "v2"
      m.frozen = true
      for _, s in ipairs(m.stores) do s.regions = 10 end
      set(function(s) s.scheduling = { drainRate = 100 } end)
      replicas(3)
      m:settle()
      assert.equal(0, sent "pd_store_limit")
    end)
  end)

  it("PD out of space is told, with what to do about it", function()
    m.pd.no_space = true
    m:settle()
    assert.equal("PDNoSpace", cluster().status.reason)
    assert.truthy(cluster().status.hint:find("etcdctl alarm disarm", 1, true))
    assert.equal("Running", cluster().status.phase)
    m.pd.no_space = false
    m:settle()
    assert.equal("", cluster().status.reason)
  end)

  describe("tombstones", function()
    local function shrunk(retention)
      set(function(s) s.persistentVolumeClaimRetentionPolicy = { whenScaled = retention } end)
      replicas(3)
      m:settle()
      for _, s in ipairs(m.stores) do s.heartbeat_age = s.state == "Tombstone" and 700 or 3 end
      m.writes = {}
    end

    it("are forgotten when nothing speaks of them, and their ordinals are free again (E-63)", function()
      shrunk "Delete"
      m:delete("PersistentVolume", "pv-data-basic-tikv-3")
      m:settle()
      assert.equal(1, sent "pd_purge")
      assert.equal(3, #m.stores)
      replicas(4)
      m:settle()
      assert.truthy(m:get("TiKV", "basic-3"))
    end)

    it("stay while a kept disk has their data: it would come back as a living store", function()
      shrunk "Retain"
      m:settle()
      assert.equal(0, sent "pd_purge")
    end)

    it("stay while a volume has their data, or volumes can not be seen", function()
      shrunk "Delete"
      m:put { apiVersion = "v1", kind = "PersistentVolume", spec = {}, metadata = { name = "left",
        labels = { [OWN .. "cluster-id"] = m.pd.cluster_id, [OWN .. "store-id"] = "10" } } }
      m:delete("PersistentVolume", "pv-data-basic-tikv-3")
      m:settle()
      assert.equal(0, sent "pd_purge")
      m:delete("PersistentVolume", "left")
      m.hidden = { PersistentVolume = true }
      m:settle()
      assert.equal(0, sent "pd_purge")
    end)

    it("stay while one is recent, not ours, holds regions, or is named in PD's evictions", function()
      shrunk "Delete"
      m:delete("PersistentVolume", "pv-data-basic-tikv-3")
      local s = m:store "10"
      for _, bad in ipairs { { "heartbeat_age", 5 }, { "address", "other-0.elsewhere.ns:20160" }, { "regions", 3 } } do
        local was = s[bad[1]]
        s[bad[1]] = bad[2]
        m:settle()
        assert.equal(0, sent "pd_purge", bad[1])
        s[bad[1]] = was
      end
      m.pd.evicting = { "10" }
      m:settle()
      assert.equal(0, sent "pd_purge")
      m.pd.evicting = {}
      m:settle()
      assert.equal(1, sent "pd_purge")
    end)
  end)
end)
