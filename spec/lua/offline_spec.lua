require("support.caged").open()
local caged = require "support.caged"
local offline = require "lib.offline"
local resign = require "lib.resign"
local victim = require "lib.victim"

local GIB = 2 ^ 30

local function store(id, more)
  local s = { id = id, state = "Up", capacity = tostring(100 * GIB), available = tostring(90 * GIB), regions = 10,
    leaders = 3, labels = {} }
  for k, v in pairs(more or {}) do s[k] = v end
  return s
end

-- The world of TiKV kv-1 with store 1, in a PD of four stores.
local function world(change)
  local w = { now = 1000, deleting = false, claims = {},
    object = { kind = "TiKV", metadata = { uid = "u", annotations = {} }, spec = { offline = true }, status = {} },
    cluster = { id = "7" }, mates = {}, limits = {},
    pd = { known = true, settled = true, cluster_id = "7", schedulers = { "balance-leader-scheduler" },
      counts = { Up = 3 }, replication = { max_replicas = 3 } },
    others = { known = true, replication = { max_replicas = 3 },
      stores = { store "1", store "2", store "3", store "4" } } }
  local i = { name = "kv-1", group = "kv", address = "a:1", spec = { volumes = {} }, object = w.object }
  local found = store("1")
  if change then change(w, found) end
  return w, i, found
end

describe("A store that shall leave", function()
  before_each(function() caged.answer(nil) end)

  local function refused(change)
    local w, i, found = world(change)
    return offline.refused(w, i, found)
  end

  it("may when the others hold the replicas", function()
    assert.is_nil((refused()))
  end)

  it("may not when too few stores are Up without it", function()
    local reason, why = refused(function(w) w.others.stores[2].state = "Disconnected" end)
    assert.equal("OfflineRefused", reason)
    assert.truthy(why:find("2 stores would be Up, regions need 3: 1 missing", 1, true))
  end)

  it("never counts on mates that leave before it, and they never wait for it", function()
    local function mate(name) return function(w) w.mates = { { name = name, offline = true, id = "2" } } end end
    assert.equal("OfflineRefused", (refused(mate "kv-0")))
    assert.is_nil((refused(mate "kv-2")))
  end)

  -- E-79
  it("may not when the others lack room, or failure domains that PD insists on", function()
    local reason, why = refused(function(w, found)
      found.available = "0"
      for n = 2, 4 do w.others.stores[n].available = tostring(40 * GIB) end
    end)
    assert.equal("OfflineRefused", reason)
    assert.truthy(why:find("holds 100.0 GiB, the others have room for 60.0 GiB", 1, true), why)
    reason = refused(function(w)
      w.others.replication.isolation_level = "zone"
      for n, s in ipairs(w.others.stores) do s.labels = { zone = n < 4 and "a" or "b" } end
    end)
    assert.equal("OfflineRefused", reason)
  end)

  it("waits while as many leave as are allowed", function()
    local function limit(n)
      return (refused(function(w)
        w.limits.leaving = n
        w.others.stores[5] = store("5", { state = "Offline" })
      end))
    end
    assert.equal("LeavingLimit", limit(1))
    assert.is_nil(limit(2))
    assert.is_nil(limit(0))
  end)

  local function step(change)
    local w, i, found = world(change)
    return offline.next(w, i, "1", found)
  end

  -- W-72, E-44, U-41
  it("has its leaders sent away first, then its regions", function()
    assert.equal("evict", step().act)
    assert.is_nil(step(function(_, s) s.evicting = true end).act)
    assert.equal("offline", step(function(_, s) s.evicting, s.leaders = true, 0 end).act)
    assert.equal("offline", step(function(_, s) s.state = "Down" end).act)
    for _, evicting in ipairs { true, false } do -- or not even that: PD 8.5 may refuse it until another leads
      assert.equal("offline", step(function(w, s)
        s.evicting = evicting
        w.object.status = { reason = "EvictingLeaders", since = time.format(w.now - offline.EVICTION) }
      end).act)
    end
  end)

  it("that is replaced goes when as many others as are wanted serve, not before", function()
    local function deleted(...)
      local mates = { ... }
      return step(function(w, s)
        s.evicting, s.leaders = true, 0
        w.deleting, w.wanted, w.mates = true, { replicas = 3 }, mates
      end)
    end
    local one, two = { name = "kv-0", group = "kv", id = "2" }, { name = "kv-2", group = "kv", id = "3" }
    local three, fresh = { name = "kv-3", group = "kv", id = "4" }, { name = "kv-3", group = "kv" }
    assert.equal("ReplacementNotReady", deleted(one, two).reason)
    assert.equal("ReplacementNotReady", deleted(one, two, fresh).reason)
    assert.equal("offline", deleted(one, two, three).act)
  end)

  it("is removed only by a settled PD's word for its very id, with no regions", function()
    local function gone(w, s) w.at, s.state, s.regions = { known = true }, "Tombstone", 0 end
    assert.is_true(step(gone).removed)
    for what, change in pairs {
      regions = function(_, s) s.regions = 1 end,
      unasked = function(w) w.at = nil end,
      unsettled = function(w) w.pd.settled = false end,
      unknown = function(w) w.pd.known = false end,
      history = function(w) w.pd.history = "x" end,
      another = function(w) w.pd.cluster_id = "8" end,
    } do
      local out = step(function(w, s)
        gone(w, s)
        change(w, s)
      end)
      assert.is_nil(out.removed, what)
      assert.is_nil(out.act, what)
    end
    local w, i = world()
    assert.is_true(offline.next(w, i, "1", nil).removed) -- no disk is left that could hold anything
    w.claims = { { name = "data-kv-1", annotations = { ["core.tikv.org/owner-uid"] = "u" } } }
    assert.equal("StoreUnknown", offline.next(w, i, "1", nil).reason)
  end)

  it("says why it does not get on", function()
    local out = step(function(w, s)
      s.state = "Offline"
      w.pd.counts.Up = 2
    end)
    assert.equal("DrainStuck", out.reason)
    out = step(function(w, s)
      s.state = "Offline"
      w.pd.halted = true
    end)
    assert.equal("DrainStuck", out.reason)
  end)
end)

describe("A member that shall leave", function()
  local function next_of(members, leader, change)
    local w = { deleting = true, claims = {}, cluster = { id = "7" }, mates = {},
      pd = { known = true, cluster_id = "7", leader = { id = leader }, members = members } }
    if change then change(w) end
    return resign.next(w, { name = "g-0", pod = "g-pd-0", group = "g", spec = { volumes = {} },
      object = { status = { id = "1" }, metadata = { uid = "u" } } }, "1")
  end
  local function m(id, healthy)
    return { id = tostring(id), name = "g-pd-" .. id - 1, healthy = healthy ~= false }
  end

  it("gives leadership away first, then is removed by its id", function()
    assert.equal("transfer", next_of({ m(1), m(2), m(3) }, "1").act)
    assert.equal("remove", next_of({ m(1), m(2), m(3) }, "2").act)
  end)

  it("does not weaken PD: all others healthy, or itself sick and a majority healthy; never the last (G5)", function()
    assert.equal("MembersNotHealthy", next_of({ m(1), m(2), m(3, false) }, "2").reason)
    assert.equal("remove", next_of({ m(1, false), m(2), m(3) }, "2").act)
    assert.equal("MembersNotHealthy", next_of({ m(1, false), m(2), m(3, false) }, "2").reason)
    assert.equal("LastMember", next_of({ m(1) }, "1").reason)
    assert.equal("MemberJoining", next_of({ m(1), m(2), { id = "9", name = "" } }, "2").reason)
  end)

  it("waits for its replacement and for another that leaves before it", function()
    local out = next_of({ m(1), m(2), m(3) }, "2", function(w)
      w.wanted = { replicas = 3 }
      w.mates = { { name = "g-1", group = "g", id = "2" }, { name = "g-2", group = "g", id = "3" } }
    end)
    assert.equal("ReplacementNotReady", out.reason)
    local members = { m(1), m(2), m(3), { id = "4", name = "f-pd-0", healthy = true } }
    out = next_of(members, "2", function(w) w.mates = { { name = "f-0", deleting = "now", id = "4" } } end)
    assert.equal("MemberLeaving", out.reason)
    assert.is_nil(out.act)
  end)

  it("is gone when PD lists neither its id nor its name", function()
    assert.is_true(next_of({ m(2), m(3) }, "2").removed)
    assert.is_nil(next_of({}, "2").removed)
    assert.is_nil(next_of({ m(2) }, "2", function(w) w.pd.known = false end).removed)
  end)
end)

describe("The first to go", function()
  local function order(change)
    local members = {}
    for n = 0, 3 do
      members[n + 1] = { name = "g-" .. n, pod = "g-tikv-" .. n, ready = true,
        row = { name = "g-" .. n, id = tostring(n), phase = "Serving" } }
    end
    local stores = {}
    for n = 0, 3 do stores[n + 1] = { id = tostring(n), leaders = 5, regions = 10 } end
    local w = { object = { metadata = { name = "g" }, spec = {} }, rows = {}, pd = { known = true, stores = stores } }
    for n, x in ipairs(members) do w.rows[n] = x.row end
    if change then change(w, members, stores) end
    return victim.order(w, members)[1].name
  end

  it("is the highest ordinal when all else is equal, and else by what counts more", function()
    assert.equal("g-3", order())
    assert.equal("g-1", order(function(_, _, s) s[2].regions = 9 end))
    assert.equal("g-2", order(function(_, _, s) s[2].regions, s[3].leaders = 1, 4 end))
    assert.equal("g-0", order(function(_, m, s) m[1].outdated, s[3].leaders = true, 0 end))
    assert.equal("g-1", order(function(_, m) m[1].outdated, m[2].ready = true, false end))
    assert.equal("g-2", order(function(_, m) m[2].ready, m[3].row.phase = false, "Lost" end))
    assert.equal("g-0", order(function(w, m)
      m[3].row.phase = "Lost"
      w.object.spec.scalePolicy = { removeFirst = { "g-0", 1 } }
    end))
  end)

  -- P-19
  it("comes from the fullest topology", function()
    assert.equal("g-1", order(function(w, m)
      w.object.spec.schedulePolicies = { { type = "EvenlySpread", evenlySpread = { topologies = {
        { topology = { zone = "a" } }, { topology = { zone = "b" } } } } } }
      for n, x in ipairs(m) do x.row.topology = { zone = n < 3 and "a" or "b" } end
      m[4].row.topology = { zone = "c" }
    end))
  end)

  it("of PD is not the leader while another will do", function()
    assert.equal("g-2", order(function(w, m)
      for _, x in ipairs(m) do x.pod = x.name end
      w.pd.leader = { name = "g-3" }
    end))
  end)
end)
