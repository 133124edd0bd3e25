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

local function index(m, pattern)
  for n, line in ipairs(m.writes) do
    if line:find(pattern) then return n end
  end
end

describe("Scaling in, in the toy world,", function()
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

  -- P-14, P-15, E-12, E-72, U-19
  it("sends leaders away, drains, waits for PD's word, then takes pod, claim and object, in this order", function()
    up(1, 4)
    scale("TiKVGroup", 3)
    m:settle()
    assert.equal("basic-0 basic-1 basic-2", names(m, "TiKV"))
    assert.is_nil(m:get("PersistentVolumeClaim", "data-basic-tikv-3"))
    assert.is_nil(m:get("ConfigMap", "basic-tikv-3"))
    local last = 0
    for _, line in ipairs { "^apply TiKV/basic%-3", "^mark TiKV/basic%-3", "^pd_evict_leaders", "^pd_offline",
      "^pd_restore_leaders", "^patch_meta PersistentVolumeClaim/data%-basic%-tikv%-3", "^delete TiKV/basic%-3",
      "^delete Pod/basic%-tikv%-3", "^delete PersistentVolumeClaim/data%-basic%-tikv%-3" } do
      local at = index(m, line)
      assert.is_true(at ~= nil and at > last, line .. "\n" .. table.concat(m.writes, "\n"))
      last = at
    end
    local status = m:get("TiKVGroup", "basic").status
    assert.equal("Ready", status.phase)
    assert.equal(3, status.replicas)
    assert.equal("3/3", m:get("Cluster", "basic").status.tikvReady)
  end)

  it("shows the progress of a drain", function()
    up(1, 4, nil, 40)
    scale("TiKVGroup", 3)
    local seen = {}
    m.eager = true
    m.after_round = function()
      local o = m:get("TiKV", "basic-3")
      if o and o.status.reason == "Draining" then seen[#seen + 1] = o.status end
    end
    m:settle()
    local middle = seen[math.floor(#seen / 2)]
    assert.equal(40, middle.progress.regionsTotal)
    assert.is_true(middle.progress.regionsLeft < 40)
    assert.truthy(middle.message:find("of 40 regions left, %d+ a minute, about %d+ s more"), middle.message)
    assert.equal("Leaving", middle.phase)
  end)

  -- U-25
  it("takes several at once as far as the others hold the replicas, and never counts on one that leaves too", function()
    up(1, 6)
    scale("TiKVGroup", 3)
    m:settle()
    assert.equal("basic-0 basic-1 basic-2", names(m, "TiKV"))
    m = mini.new()
    up(1, 6)
    m.stores[1].state = "Down"
    scale("TiKVGroup", 2)
    m:settle()
    assert.equal(3, m:get("Cluster", "basic").status.stores.up)
    assert.equal("OfflineRefused", m:list("TiKV")[#m:list("TiKV")].status.reason)
  end)

  it("lets no more leave at once than maxLeavingStores", function()
    up(1, 6, { disruption = { maxLeavingStores = 1 } })
    scale("TiKVGroup", 3)
    local most = 0
    m.after_round = function()
      local now = 0
      for _, s in ipairs(m.stores) do if s.state == "Offline" then now = now + 1 end end
      most = math.max(most, now)
    end
    m:settle()
    assert.equal(1, most)
    assert.equal(3, #m:list("TiKV"))
  end)

  -- W-64, P-16, E-61, U-16
  it("calls back the one with most left when more are wanted again, with its leaders", function()
    up(1, 5, nil, 100)
    m.frozen = true
    scale("TiKVGroup", 3)
    m:settle()
    assert.equal("Draining", m:get("TiKV", "basic-4").status.reason)
    m.stores[4].regions, m.stores[5].regions = 20, 90
    scale("TiKVGroup", 4)
    m:settle()
    assert.equal("Up", m.stores[5].state)
    assert.is_nil(m.stores[5].evicting)
    assert.is_nil(m:get("TiKV", "basic-4").metadata.annotations["core.tikv.org/evicting"])
    assert.equal("Offline", m.stores[4].state)
    m.frozen = false
    m:settle()
    assert.equal("basic-0 basic-1 basic-2 basic-4", names(m, "TiKV"))
    assert.equal(5, #m.stores)
  end)

  -- W-13, W-23, E-41, U-44
  it("gives eviction up after five minutes, and leaves a person's eviction alone", function()
    up(1, 4)
    m.stubborn = true
    m.stores[1].evicting = true
    scale("TiKVGroup", 3)
    m:settle()
    assert.equal("EvictingLeaders", m:get("TiKV", "basic-3").status.reason)
    assert.equal("Up", m.stores[4].state)
    m.now = m.now + 301
    m:settle()
    assert.equal("basic-0 basic-1 basic-2", names(m, "TiKV"))
    assert.is_true(m.stores[1].evicting)
  end)

  it("removes next those that a person marked, after those of the list; any other word marks nothing", function()
    up(1, 6)
    for name, word in pairs { ["basic-1"] = "true", ["basic-2"] = "false" } do
      local o = mini.copy(m:get("TiKV", name))
      o.metadata.annotations["core.tikv.org/remove-first"] = word
      m:put(o)
    end
    set(m, "TiKVGroup", "basic", function(s) s.replicas, s.scalePolicy = 4, { removeFirst = { 3 } } end)
    m:settle()
    assert.equal("basic-0 basic-2 basic-4 basic-5", names(m, "TiKV"))
  end)

  -- E-04
  it("removes first what removeFirst names, and does not reuse the ordinal of a tombstone", function()
    up(1, 5)
    set(m, "TiKVGroup", "basic", function(s)
      s.replicas, s.scalePolicy = 3, { removeFirst = { 1, "basic-0" } }
    end)
    m:settle()
    assert.equal("basic-2 basic-3 basic-4", names(m, "TiKV"))
    scale("TiKVGroup", 4)
    m:settle()
    assert.equal("basic-2 basic-3 basic-4 basic-5", names(m, "TiKV"))
  end)

  -- E-75, U-17
  it("replaces a deleted store: the new one serves before the old one drains", function()
    up(1, 5)
    m:delete("TiKV", "basic-0")
    m.pods_ready = false
    m:settle()
    assert.equal("ReplacementNotReady", m:get("TiKV", "basic-0").status.reason)
    assert.truthy(m:get("TiKV", "basic-5"))
    assert.equal("Up", m.stores[1].state)
    m.pods_ready = true
    m:settle()
    assert.equal("basic-1 basic-2 basic-3 basic-4 basic-5", names(m, "TiKV"))
    assert.equal("Tombstone", m.stores[1].state)
  end)

  -- W-60, E-06, E-15
  it("keeps the claims by whenScaled Retain, labelled retired, and never mounts them again", function()
    up(1, 4, { persistentVolumeClaimRetentionPolicy = { whenScaled = "Retain" } })
    scale("TiKVGroup", 3)
    m:settle()
    local claim = m:get("PersistentVolumeClaim", "data-basic-tikv-3")
    assert.equal("true", claim.metadata.labels["core.tikv.org/retired"])
    assert.equal("10", claim.metadata.annotations["core.tikv.org/removed-stores"])
    assert.is_nil(m:get("Pod", "basic-tikv-3"))
    scale("TiKVGroup", 4)
    m:settle()
    assert.equal("basic-0 basic-1 basic-2 basic-4", names(m, "TiKV"))
  end)

  for what, change in pairs {
    ["is not in PD's list"] = function(s) s.id, s.address = "999", "elsewhere:1" end,
    ["is a tombstone with regions"] = function(s) s.state, s.node_state, s.regions = "Tombstone", "Removed", 3 end,
  } do
    it("deletes nothing when the store " .. what .. " (G4)", function()
      up(1, 4, nil, 400)
      m.frozen = true
      scale("TiKVGroup", 3)
      m:settle()
      assert.equal("Draining", m:get("TiKV", "basic-3").status.reason)
      change(m.stores[4])
      m:settle()
      assert.truthy(m:get("TiKV", "basic-3"))
      assert.truthy(m:get("PersistentVolumeClaim", "data-basic-tikv-3"))
      assert.is_nil(index(m, "^delete"))
    end)
  end

  -- P-13, E-63
  it("goes on without PD's record once the proof is on the disks, and serves a leaving store's pod", function()
    up(1, 4, nil, 400)
    m.frozen = true
    scale("TiKVGroup", 3)
    m:settle()
    m:delete("Pod", "basic-tikv-3")
    m:settle()
    assert.truthy(m:get("Pod", "basic-tikv-3"))
    m:get("PersistentVolumeClaim", "data-basic-tikv-3").metadata.annotations["core.tikv.org/removed-stores"] = "10"
    m.stores[4].id, m.stores[4].address = "999", "elsewhere:1"
    m:settle()
    assert.equal("basic-0 basic-1 basic-2", names(m, "TiKV"))
  end)

  it("waits while PD is unknown, new, or another, and while a policy says no", function()
    up(1, 4)
    m.pd.settled = false
    scale("TiKVGroup", 3)
    m:settle()
    assert.equal("PDNotSettled", m:get("TiKV", "basic-3").status.reason)
    m.pd.history = "another cluster"
    m:settle()
    assert.equal("PDHistoryChanged", m:get("TiKV", "basic-3").status.reason)
    m.pd.settled, m.pd.history = true, nil
    caged.answer(function(q)
      if q.question ~= "can_offline" then return {} end
      return { { policy = "ns/p", answer = false, reason = "not today" } }
    end)
    m:settle()
    assert.equal("PolicyDenied", m:get("TiKV", "basic-3").status.reason)
    assert.is_nil(index(m, "^pd_"))
    caged.answer(nil)
    m:settle()
    assert.equal("basic-0 basic-1 basic-2", names(m, "TiKV"))
  end)

  it("lets PD go from 3 to 1 and back, one at a time, never the leader as leader (G5)", function()
    up(3, 3)
    m.leader = "basic-pd-2"
    scale("PDGroup", 1)
    m:settle()
    assert.equal(1, #m:list("PD"))
    assert.equal("basic-2", names(m, "PD"))
    assert.equal(1, #m.members)
    assert.equal(1, #m:list("PersistentVolumeClaim") - 3)
    scale("PDGroup", 3)
    m:settle()
    assert.equal("basic-0 basic-1 basic-2", names(m, "PD"))
    assert.equal(3, #m.members)
    assert.equal("3/3", m:get("Cluster", "basic").status.pdReady)
    assert.equal("Running", m:get("Cluster", "basic").status.phase)
  end)

  -- E-66
  it("moves leadership before the leader itself is replaced, and adds the new member first", function()
    up(3, 3)
    m.leader = "basic-pd-0"
    local fewest = 9
    m.after_round = function() fewest = math.min(fewest, #m.members) end
    m:delete("PD", "basic-0")
    m:settle()
    assert.equal("basic-1 basic-2 basic-3", names(m, "PD"))
    assert.is_true(index(m, "^pd_transfer_leader") < index(m, "^pd_remove_member"))
    assert.is_true(index(m, "^apply PD/basic%-3") < index(m, "^pd_remove_member"))
    assert.equal(3, fewest)
  end)

  -- E-09
  it("takes no member while another is not healthy, and never the last", function()
    up(3, 3)
    m.members[1].healthy = false
    local outside = m.outside
    m.outside = function(self)
      local moved = outside(self)
      if self.members[1].name == "basic-pd-0" then self.members[1].healthy = false end
      return moved and self.now < 1000060
    end
    set(m, "PDGroup", "basic", function(s) s.replicas, s.scalePolicy = 2, { removeFirst = { 1 } } end)
    m:pass("PDGroup", "basic", true)
    assert.equal("MembersNotHealthy", m:get("PDGroup", "basic").status.reason)
    assert.is_nil(m:get("PD", "basic-1").metadata.deletionTimestamp)
    m.outside = outside
    m:settle()
    assert.equal("basic-0 basic-2", names(m, "PD"))
    scale("PDGroup", 0)
    m:settle()
    assert.equal(1, #m.members)
    assert.equal("LastMember", m:get("PDGroup", "basic").status.reason)
    m:delete("PD", m:list("PD")[1].metadata.name) -- by a person: another comes first
    m:settle()
    assert.equal(1, #m.members)
  end)
end)
