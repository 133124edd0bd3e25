-- The rules of PD's behaviour that the simulator promises (S1 to S25 of the reference on PD).
local replay = require "support.pd_replay"

local before

local function world(conf)
  local w = replay.world(conf or {})
  for i = 1, (conf or {}).members or 1 do w:start("pd" .. i) end
  w:until_leader()
  return w
end

local function with_stores(conf, ids, n)
  local w = world(conf)
  w.c.next_id = 1000
  for _, id in ipairs(ids) do w:store(id) end
  w:regions(n or 12, ids)
  w:pass(11000)
  return w
end

local function ask(w, to, method, path, body)
  return w:ask { to = to, method = method, path = path, body = body }
end

local function leader(w) return w.c.leader and w.c.leader.name end

describe("the simulated PD", function()
  before_each(function() before = rawget(_G, "sim") end)
  after_each(function() rawset(_G, "sim", before) end)

  it("S1: counts members that never started, and answers 500 for twelve seconds after its leader died", function()
    local w = world { members = 3 }
    local dead = leader(w)
    local other = dead == "pd1" and "pd2" or "pd1"
    w:kill(dead)
    local status, _, body = ask(w, other, "GET", "/pd/api/v1/stores")
    assert.are.equal(500, status)
    assert.truthy(body:find("ErrRedirect]", 1, true))
    w:pass(11000)
    assert.is_nil(leader(w))
    w:pass(2000)
    assert.truthy(leader(w))
    w.c:add_member(nil, "http://x")
    w.c:add_member(nil, "http://y")
    assert.is_false(w.c:has_leader())
    status = ask(w, other, "GET", "/pd/api/v1/stores")
    assert.are.equal(503, status)
  end)

  it("S3: says 'not bootstrapped' until a first store came", function()
    local w = world()
    assert.are.equal(500, (ask(w, "pd1", "GET", "/pd/api/v1/stores")))
    w:store(1)
    assert.are.equal(200, (ask(w, "pd1", "GET", "/pd/api/v1/stores")))
  end)

  it("S4: refuses a removal that would cost the quorum, and takes that of a dead member", function()
    local w = world { members = 3 }
    w:pass(6000)
    local names = { leader(w) }
    for _, m in ipairs(w.c.members) do
      if m.name ~= names[1] then names[#names + 1] = m.name end
    end
    w:kill(names[3])
    local status, _, body = ask(w, names[1], "DELETE", "/pd/api/v1/members/name/" .. names[2])
    assert.are.equal(500, status)
    assert.truthy(body:find "unhealthy cluster")
    assert.are.equal(200, (ask(w, names[1], "DELETE", "/pd/api/v1/members/name/" .. names[3])))
    assert.are.equal(404, (ask(w, names[1], "DELETE", "/pd/api/v1/members/name/" .. names[3])))
  end)

  it("S5: a removed follower goes on forwarding for a minute, then it finds no leader", function()
    local w = world { members = 3 }
    w:pass(6000)
    local gone = leader(w) == "pd3" and "pd2" or "pd3"
    ask(w, leader(w), "DELETE", "/pd/api/v1/members/name/" .. gone)
    assert.are.equal(200, (ask(w, gone, "GET", "/pd/api/v1/members")))
    assert.are.equal(503, (ask(w, gone, "GET", "/health")))
    w:pass(63000)
    assert.are.equal(503, (ask(w, gone, "GET", "/pd/api/v1/members")))
    assert.are.equal(200, (ask(w, gone, "GET", "/pd/api/v1/ping")))
  end)

  it("S6: refuses a join while a nameless member exists, a member is down, or the name is taken", function()
    local w = world { members = 3 }
    assert.truthy(w.c:join_refusal("pd4", "http://pd4"):find "unhealthy")
    w:pass(6000)
    assert.is_nil((w.c:join_refusal("pd4", "http://pd4")))
    assert.truthy(w.c:join_refusal("pd2", "http://pd4"):find "duplicated")
    local m = w.c:add_member(nil, "http://pd4")
    assert.truthy(w.c:join_refusal("pd5", "http://pd5"):find "not joined")
    local why, mine = w.c:join_refusal("pd4", "http://pd4")
    assert.is_nil(why)
    assert.are.equal(m, mine)
  end)

  it("S7: a transfer answers after half a second and is done then; an unknown name is refused", function()
    local w = world { members = 3 }
    local to = leader(w) == "pd2" and "pd1" or "pd2"
    local status, _, _, delay = ask(w, "pd3", "POST", "/pd/api/v1/leader/transfer/" .. to)
    assert.are.equal(200, status)
    assert.are.equal(500, delay)
    assert.are.equal(to, leader(w))
    assert.are.equal(500, (ask(w, "pd3", "POST", "/pd/api/v1/leader/transfer/nobody")))
  end)

  it("S8: a leader after a restart of all knows no leaders of regions and no schedulers", function()
    local w = with_stores({ members = 1 }, { 1, 4, 5 })
    assert.truthy(w.c:schedulers()[1])
    w.silent, w.no_regions = true, true
    w:kill "pd1"
    w:start "pd1"
    w:until_leader()
    assert.are.equal(0, w.c:leader_count(w.c.stores[1]))
    assert.are.equal(12, w.c:region_count(w.c.stores[1]))
    assert.is_nil(w.c:schedulers()[1])
    w.silent, w.no_regions = false, false
    w:pass(7000)
    assert.are.equal(4, w.c:leader_count(w.c.stores[1]))
    assert.truthy(w.c:schedulers()[1])
  end)

  it("S9: a second record for an address is refused until the first one is gone", function()
    local w = with_stores({}, { 1, 4, 5, 6 })
    local _, why = w:store(99, { n = 1, silent = true })
    assert.truthy(why:find "duplicated store address")
    w.c:offline(w.c.stores[6], true)
    assert.truthy((w:store(98, { n = 6, silent = true })))
  end)

  it("S9: minds a second record for a peer address from version 9 on", function()
    for version, taken in pairs { ["v8.5.2"] = true, ["v9.0.0"] = false } do
      local w = with_stores({ version = version }, { 1, 4, 5 })
      assert.are.equal(taken, w:store(99, { peer_address = "tikv-1:20160", silent = true }) ~= nil)
    end
  end)

  it("S10: calls a silent store Disconnected after 20 s and Down after max-store-down-time", function()
    local w = with_stores({}, { 1, 4, 5 })
    w:die(5)
    w:pass(19000)
    assert.are.equal("Up", w.c:state_name(w.c.stores[5]))
    w:pass(2000)
    assert.are.equal("Disconnected", w.c:state_name(w.c.stores[5]))
    w:pass(1800000)
    assert.are.equal("Down", w.c:state_name(w.c.stores[5]))
  end)

  it("S11: takes a store offline only while enough others are up, and gives its limits back", function()
    local w = with_stores({}, { 1, 4, 5, 6 })
    local s = w.c.stores[6]
    s.limits = { add = 33, remove = 33 }
    assert.is_nil((w.c:offline(s, false)))
    assert.are.equal(100000000, s.limits.remove)
    assert.are.equal(400, (w.c:offline(w.c.stores[5], false)))
    assert.is_nil((w.c:cancel_offline(s)))
    assert.are.equal(33, s.limits.remove)
    w.c:offline(s, true)
    assert.are.equal(400, (w.c:cancel_offline(s)))
  end)

  it("S12: drains one peer per target each four seconds, and buries the empty store at the next tick", function()
    local w = with_stores({}, { 1, 4, 5, 6 }, 16)
    w.c:offline(w.c.stores[6], false)
    w:pass(1000)
    local _, peers = w.c:counts(6)
    assert.are.equal(9, peers)
    w:pass(4000)
    _, peers = w.c:counts(6)
    assert.are.equal(6, peers)
    w:pass(9000)
    _, peers = w.c:counts(6)
    assert.are.equal(0, peers)
    w:pass(10000)
    assert.are.equal("Tombstone", w.c:state_name(w.c.stores[6]))
  end)

  it("S12: does not drain without a target", function()
    local w = with_stores({}, { 1, 4, 5 })
    w.c:offline(w.c.stores[5], true)
    w:pass(60000)
    local _, peers = w.c:counts(5)
    assert.are.equal(12, peers)
    assert.are.equal("Offline", w.c:state_name(w.c.stores[5]))
  end)

  it("S12: buries a full store when a new leader of version 9 heard of no region, and 8.5 does not", function()
    for version, state in pairs { ["v9.0.0"] = "Tombstone", ["v8.5.2"] = "Offline" } do
      local w = with_stores({ members = 3, version = version }, { 1, 4, 5, 6 })
      w.c:set_obey(false)
      w.c:offline(w.c.stores[6], false)
      w.no_regions = true
      w.c:resign()
      w:pass(12000)
      assert.are.equal(state, w.c:state_name(w.c.stores[6]))
    end
  end)

  it("S13: a purged id comes back as a new store", function()
    local w = with_stores({}, { 1, 4, 5, 6 })
    w.c:bury(w.c.stores[6])
    w:regions(12, { 1, 4, 5 })
    assert.are.same({}, w.c:purge())
    assert.is_nil(w.c.stores[6])
    assert.are.equal(0, w:store(6).node_state)
  end)

  it("S14: evicts in batches, keeps leaders where nobody can take them, and does not return few", function()
    local w = with_stores({}, { 1, 4, 5 })
    w.c:evict_store(1)
    w:pass(200)
    assert.are.equal(0, (w.c:counts(1)))
    assert.is_true(w.c:end_evict(1))
    assert.is_false(w.c:end_evict(1))
    w:pass(46000)
    assert.are.equal(0, (w.c:counts(1)))
    for _, id in ipairs { 1, 4, 5 } do w.c:evict_store(id) end
    w:pass(1000)
    assert.are.equal(6, (w.c:counts(4)))
    local big = with_stores({}, { 1, 4, 5 }, 300)
    big.c:evict_store(1)
    big:pass(400)
    assert.are.equal(0, (big.c:counts(1)))
    big.c:end_evict(1)
    big:pass(3000)
    assert.is_true(big.c:counts(1) > 80)
  end)

  it("S15: 8.5 refuses to evict a store that a grant holds, and says 500 for an unknown one", function()
    local w = with_stores({ version = "v8.5.2" }, { 1, 4, 5 })
    local function post(name, id)
      return (ask(w, "pd1", "POST", "/pd/api/v1/schedulers", ('{"name":"%s","store_id":%d}'):format(name, id)))
    end
    assert.are.equal(500, post("evict-leader-scheduler", 999))
    assert.are.equal(200, post("grant-leader-scheduler", 1))
    assert.are.equal(500, post("evict-leader-scheduler", 1))
  end)

  it("S19: has the settings, fields and messages of 8.5.2 as that version (seen with a real one)", function()
    for version, newer in pairs { ["v8.5.2"] = false, ["v9.0.0"] = true } do
      local w = with_stores({ version = version }, { 1, 4, 5 })
      local function says(path, text)
        local _, _, body = ask(w, "pd1", "GET", path)
        return body:find(text, 1, true) ~= nil
      end
      assert.are.equal(newer, says("/pd/api/v1/config", "default-store-limit"))
      assert.are.equal(newer, says("/pd/api/v1/config", "metering"))
      assert.are.equal(newer, says("/pd/api/v1/status", "kernel_type"))
      assert.are.equal(newer, says("/pd/api/v1/regions", "approximate_kv_size"))
      assert.are.equal(not newer, says("/pd/api/v1/stats/region?count", "store_peer_keys"))
      assert.are.equal(newer, says("/pd/api/v1/gc/safepoint", "gc_worker"))
      assert.are.equal(newer, says("/pd/api/v2/ms/members/tso", "microservice"))
      assert.are.equal(newer and 400 or 200,
        (ask(w, "pd1", "POST", "/pd/api/v1/stores/limit?ttlSecond=5", '{"rate":15,"type":"add-peer"}')))
    end
  end)

  it("S16: reports down peers ten minutes after a death, not before", function()
    local w = with_stores({}, { 1, 4, 5 })
    w:die(5)
    w:pass(590000)
    assert.are.equal(0, w.c:down_peers())
    w:pass(20000)
    assert.are.equal(12, w.c:down_peers())
  end)

  it("S18, S19: knows the maintenance lock from 8.5.7 and /ready from 8.5.2 on", function()
    local old = world { version = "v8.5.1" }
    assert.are.equal(404, (ask(old, "pd1", "GET", "/pd/api/v2/ready")))
    local new = world { version = "v8.5.2" }
    assert.are.equal(500, (ask(new, "pd1", "GET", "/pd/api/v2/ready")))
    local _, kind, body = ask(new, "pd1", "GET", "/pd/api/v2/maintenance")
    assert.are.same({ "text/plain", "404 page not found" }, { kind, body })
  end)

  it("S21: TiKV applies a change and answers 500, because its file can not be written", function()
    world()
    local status = require "sim.tikv_status"
    local process = { config = "[log]\nlevel = \"info\"\n" }
    local function post(items, query)
      return (status.answer(process, { method = "POST", path = "/config", body = items, query = query or {} }))
    end
    assert.are.equal(500, post { ["raftstore.a"] = "5m" })
    assert.are.equal("5m", process.changes["raftstore.a"])
    assert.are.equal(200, post({ ["log.level"] = "warn" }, { persist = "false" }))
    assert.are.equal(500, post { ["server.addr"] = "x" })
    assert.is_nil(process.changes["server.addr"])
    local _, _, text = status.answer(process, { method = "GET", path = "/config" })
    assert.truthy(text:find('"level":"warn"', 1, true))
  end)

  it("S23: loses every eviction at a leader change when a purged store was named", function()
    local w = with_stores({ members = 3 }, { 1, 4, 5, 6 })
    w.c:evict_store(1)
    w.c:evict_store(6)
    w:regions(12, { 1, 4, 5 })
    w.c:bury(w.c.stores[6])
    w.c:purge()
    w.c:resign()
    assert.is_nil(next(w.c.evict))
  end)

  it("S23: of 8.5 then refuses to evict the living stores that were named, until another leads", function()
    local function post(w)
      return (ask(w, "pd1", "POST", "/pd/api/v1/schedulers", '{"name":"evict-leader-scheduler","store_id":1}'))
    end
    for version, status in pairs { ["v8.5.2"] = 500, ["v9.0.0"] = 200 } do
      local w = with_stores({ members = 3, version = version }, { 1, 4, 5, 6 })
      w.c:evict_store(1)
      w.c:evict_store(6)
      w:regions(12, { 1, 4, 5 })
      w.c:bury(w.c.stores[6])
      w.c:purge()
      w.c:resign()
      assert.are.equal(status, post(w))
      w.c:resign()
      assert.are.equal(200, post(w))
    end
  end)

  it("S24: is wedged by an unknown type and can not step down", function()
    local w = with_stores({ members = 3 }, { 1, 4, 5 })
    local name = leader(w)
    local other = name == "pd1" and "pd2" or "pd1"
    assert.are.equal(400, (ask(w, name, "GET", "/pd/api/v1/regions/store/1?type=x")))
    assert.are.equal(-1, (ask(w, name, "GET", "/pd/api/v1/regions/store/1")))
    assert.are.equal(200, (ask(w, name, "POST", "/pd/api/v1/leader/transfer/" .. other)))
    assert.are.equal(-1, (ask(w, other, "GET", "/pd/api/v1/members")))
    w:pass(45000)
    assert.are.equal(200, (ask(w, other, "GET", "/pd/api/v1/members")))
  end)

  it("does nothing while nothing changes", function()
    local w = with_stores({ members = 3 }, { 1, 4, 5, 6 })
    for _, p in pairs(w.processes) do w.processes[p.id] = nil end -- no more heartbeats of the fake stores
    w:pass(5000)
    local fired = w.clock.fired
    w:pass(60000)
    assert.are.equal(fired, w.clock.fired)
  end)
end)
