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

describe("Failover of PD members, in the toy world,", function()
  local m

  before_each(function()
    caged.answer(nil)
    m = mini.new()
  end)

  local function up(n, failover)
    m:put(things.cluster("basic"))
    m:put(things.group("PDGroup", "basic", n, { failover = failover }))
    m:put(things.group("TiKVGroup", "basic", 1))
    m:settle()
    m.now = m.now + 7200
    m:settle()
    m.writes, m.log = {}, {}
  end

  -- Time passes and things are looked at again, as often as it takes.
  local function later(times)
    for _ = 1, times or 6 do
      m.now = m.now + 10
      m:settle(100)
    end
  end

  local function member(pod)
    for _, x in ipairs(m.members) do if x.name == pod then return x end end
  end

  -- Its pod runs no more, and PD says so.
  local function lose(n)
    local pod = m:get("Pod", "basic-pd-" .. n)
    pod.status.phase = "Unknown"
    for _, c in ipairs(pod.status.conditions) do if c.type == "Ready" then c.status = "False" end end
    m:touch(pod)
    member("basic-pd-" .. n).healthy = false
  end

  it("removes a dead member by its id, then a fresh one joins; the leader is never the victim", function()
    up(3)
    local id = member("basic-pd-1").id
    lose(1)
    m:settle()
    assert.equal("basic-0 basic-1 basic-2", names(m, "PD"))
    local s = m:get("PDGroup", "basic").status
    assert.equal("MemberUnhealthy", s.reason)
    assert.truthy(s.message:find("after 600 seconds it is replaced", 1, true), s.message)
    m.now = m.now + 700
    m:settle()
    later(2)
    assert.equal(3, #m.members)
    local removed, joined = index(m, "^pd_remove_member"), index(m, "^apply PD/basic%-1")
    assert.truthy(table.concat(m.log, "\n"):find("PDGroup/basic retry MembersNotHealthy", 1, true))
    assert.is_true(index(m, "^delete PD/basic%-1") < removed and removed < joined, table.concat(m.writes, "\n"))
    for _, x in ipairs(m.members) do assert.is_true(x.healthy and x.id ~= id) end
    assert.equal("Ready", m:get("PDGroup", "basic").status.phase)
  end)

  it("lets the lost one leave before a healthy one that shall leave too and waits for it, whatever their names", function()
    for _, lost in ipairs { 0, 1 } do
      m = mini.new()
      up(3)
      lose(lost)
      m:delete("PD", "basic-" .. 1 - lost)
      m:settle()
      m.now = m.now + 700
      m:settle()
      later(20)
      local writes = table.concat(m.writes, "\n")
      assert.truthy(writes:find("delete PD/basic%-" .. lost), writes)
      assert.equal(2, (select(2, writes:gsub("pd_remove_member", ""))))
      assert.equal(3, #m.members)
      assert.equal(3, #m:list("PD"))
      for _, x in ipairs(m.members) do assert.is_true(x.healthy) end
      assert.equal("Ready", m:get("PDGroup", "basic").status.phase)
    end
  end)

  it("leaves it when it is healthy again in time, and the time begins anew", function()
    up(3)
    lose(1)
    m:settle()
    m.now = m.now + 500
    member("basic-pd-1").healthy = true
    m:settle()
    member("basic-pd-1").healthy = false
    m.now = m.now + 300
    m:settle()
    assert.equal("basic-0 basic-1 basic-2", names(m, "PD"))
    assert.is_nil(index(m, "^delete PD"))
  end)

  it("E-19 two dead of five leave one after the other, then one joins at a time; without a majority nobody goes", function()
    up(5)
    lose(1)
    lose(3)
    m.pods_ready = false
    m:settle()
    m.now = m.now + 700
    later()
    local writes = table.concat(m.writes, "\n")
    assert.equal(2, (select(2, writes:gsub("pd_remove_member", ""))))
    assert.truthy(writes:find("delete PD/basic%-1.*pd_remove_member.*delete PD/basic%-3.*pd_remove_member.*apply PD/"))
    assert.equal(1, (select(2, writes:gsub("apply PD/", ""))))
    m.pods_ready = true
    later()
    assert.equal("basic-0 basic-1 basic-2 basic-3 basic-4", names(m, "PD"))
    for _, x in ipairs(m.members) do assert.is_true(x.healthy) end
    m = mini.new()
    up(3)
    lose(1)
    lose(2)
    m.now = m.now + 7000
    m:settle()
    assert.equal("basic-0 basic-1 basic-2", names(m, "PD"))
    assert.equal("PDNoLeader", m:get("PDGroup", "basic").status.reason)
  end)

  it("E-20 a fresh one that can not be placed makes no other one (storm)", function()
    up(3)
    lose(1)
    m.pods_ready = false
    m:settle()
    for _ = 1, 5 do
      m.now = m.now + 3600
      m:settle()
    end
    assert.equal(2, #m.members)
    assert.equal("basic-0 basic-1 basic-2", names(m, "PD"))
    assert.equal(2, m:get("PDGroup", "basic").status.readyReplicas)
  end)

  it("removes a joiner that has no name after a minute, wipes its disk, and another one joins", function()
    up(3)
    m.pods_ready = false
    local g = mini.copy(m:get("PDGroup", "basic"))
    g.spec.replicas, g.metadata.uid = 4, nil
    m:put(g)
    m:settle()
    m.members[4] = { id = "77", name = "", peer_urls = { "http://basic-pd-3.basic-pd-peer.ns.svc:2380" } }
    m:settle()
    assert.equal("MemberJoining", m:get("PDGroup", "basic").status.reason)
    assert.is_nil(index(m, "^pd_remove_member"))
    m.now = m.now + 70
    m:settle()
    assert.truthy(index(m, "^pd_remove_member"))
    assert.truthy(index(m, "^delete PersistentVolumeClaim/data%-basic%-pd%-3"))
    m.pods_ready = true
    later()
    assert.equal(4, #m.members)
    assert.equal(4, #m:list("PD"))
    for _, x in ipairs(m.members) do assert.is_true(x.healthy and x.name ~= "") end
  end)

  it("removes a member whose instance is gone altogether", function()
    up(3)
    m.members[4] = { id = "78", name = "basic-pd-9", healthy = false }
    m:settle()
    m.now = m.now + 700
    m:settle()
    assert.equal(3, #m.members)
    assert.equal("basic-0 basic-1 basic-2", names(m, "PD"))
  end)

  it("U-18 W-59 tells the way back when PD lost its majority, and goes it by a person's word", function()
    up(3)
    for n = 0, 2 do m:get("PD", "basic-" .. n).status.phase = "Serving" end
    m.pd, m.pd_down = { known = false, reason = "no leader" }, true
    for n = 0, 2 do
      local pod = m:get("Pod", "basic-pd-" .. n)
      pod.status.conditions[2].status = "False"
      if n > 0 then pod.status.phase = "Pending" end
      m:touch(pod)
    end
    m:settle()
    m.now = m.now + 130
    m:settle()
    local s = m:get("PDGroup", "basic").status
    assert.equal("QuorumLost", s.reason)
    assert.truthy(s.message:find("pods of 1 of 3 members run: basic-0", 1, true), s.message)
    assert.truthy(s.hint:find("recover pd basic --survivor basic-0", 1, true), s.hint)
    local function file() return m:get("ConfigMap", "basic-pd-0").data["config.toml"] end
    local survivor = m:get("PD", "basic-0")
    survivor.metadata.annotations["core.tikv.org/force-new-cluster"] = "1"
    m:settle()
    assert.is_nil(file():find("force-new-cluster", 1, true)) -- another member's id is no word
    survivor.metadata.annotations["core.tikv.org/force-new-cluster"] = survivor.status.id
    m:delete("Pod", "basic-pd-0")
    m.pods_ready = false
    m:settle()
    assert.truthy(file():find("force-new-cluster = true", 1, true))
    -- it leads alone
    m.members = { { id = survivor.status.id, name = "basic-pd-0", healthy = true } }
    m.pd_down, m.pods_ready = false, true
    m.pd = { known = true, settled = true, cluster_id = "7000000000000000001", bootstrapped = true,
      replication = { max_replicas = 3, location_labels = {} }, schedulers = { "balance-leader-scheduler" },
      regions = { down_peer = 0 } }
    for n = 1, 2 do m.expelled[m:get("Pod", "basic-pd-" .. n).metadata.uid] = true end
    m:settle()
    assert.is_nil(m:get("PD", "basic-0").metadata.annotations["core.tikv.org/force-new-cluster"])
    for _ = 1, 20 do
      m.now = m.now + 300
      m:settle(100)
    end
    assert.equal(3, #m.members)
    for _, x in ipairs(m.members) do assert.is_true(x.healthy) end
    assert.equal("Ready", m:get("PDGroup", "basic").status.phase)
  end)

  it("is off when the group says so, and says so; a held one stays", function()
    up(3, { enabled = false })
    lose(1)
    m.now = m.now + 7000
    m:settle()
    assert.equal("FailoverOff", m:get("PDGroup", "basic").status.reason)
    m = mini.new()
    up(3)
    m:get("PD", "basic-1").metadata.annotations["core.tikv.org/hold"] = "looking"
    lose(1)
    m:settle()
    m.now = m.now + 7000
    m:settle()
    assert.equal("Held", m:get("PDGroup", "basic").status.reason)
    assert.equal("basic-0 basic-1 basic-2", names(m, "PD"))
  end)
end)
