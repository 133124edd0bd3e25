require("support.caged").open()
local things = require "support.manifests"
local bootstrap = require "lib.bootstrap"

local LIST = "basic-pd-0=http://basic-pd-0.basic-pd-peer.ns.svc:2380,"
  .. "basic-pd-1=http://basic-pd-1.basic-pd-peer.ns.svc:2380"

local function world(o)
  local g = things.group("PDGroup", "basic", o.replicas or 2)
  g.spec.bootstrapped = o.bootstrapped
  g.metadata.annotations = { ["core.tikv.org/initial-cluster"] = o.recorded }
  local list = {}
  for n, id in ipairs(o.ids or {}) do
    list[n] = { name = "basic-" .. (n - 1), deleting = false, row = { name = "basic-" .. (n - 1), id = id } }
  end
  local rows = {}
  for n, m in ipairs(list) do rows[n] = m.row end
  return { object = g, cluster = { id = o.id, pd = "http://basic-pd.ns:2379", tls = o.tls }, claims = o.claims or {},
    rows = rows, now = 1000, pd = o.pd or { known = false, reason = "no answer" } }, list
end

local function next_step(o)
  local w, list = world(o)
  return bootstrap.next(w, list, o.replicas or 2)
end

local function pd(members)
  return { known = true, cluster_id = "7", leader = { id = "1", name = "basic-pd-0" }, members = members }
end

local HEALTHY = { { id = "1", name = "basic-pd-0", healthy = true }, { id = "2", name = "basic-pd-1", healthy = true } }

describe("Founding", function()
  it("names exactly the members wanted, with one list for all", function()
    local todo = next_step {}
    assert.is_true(todo.founding)
    assert.same({ 0, 1 }, todo.create)
    assert.equal(LIST, todo.found)
    assert.truthy(next_step { tls = true }.found:find("=https://", 1, true))
  end)

  -- E-69
  it("goes on with the recorded list after a crash, whatever replicas says now", function()
    local todo = next_step { recorded = LIST, ids = { "" }, replicas = 5 }
    assert.same({ 1 }, todo.create)
    assert.is_true(todo.founding)
    assert.is_nil(todo.found)
  end)

  for what, o in pairs {
    ["the Cluster has an id"] = { id = "7" },
    ["any claim of the cluster carries an id"] = { claims = { { name = "data-x", cluster_id = "7" } } },
    ["the group is called bootstrapped"] = { bootstrapped = true },
  } do
    -- E-02, U-12
    it("is forbidden for ever where " .. what .. " (G5)", function()
      local todo, reason = next_step(o)
      assert.is_nil(todo)
      assert.equal("FoundingForbidden", reason)
    end)
  end

  it("looks at every claim of the cluster until it is over, then at its own only", function()
    local pdgroup = require "controllers.pdgroup"
    local function label(bootstrapped)
      local g = things.group("PDGroup", "basic", 3, { bootstrapped = bootstrapped })
      for _, item in ipairs(pdgroup.needs(g)) do
        if item.as == "claims" then return item.label[1] end
      end
    end
    assert.equal("core.tikv.org/cluster", label(nil))
    assert.equal("core.tikv.org/group", label(true))
  end)

  it("is not needed by disks that are members: all of them come back at once", function()
    local claims = {}
    for n = 0, 1 do
      claims[n + 1] = { name = "data-basic-pd-" .. n, group = "basic", component = "pd", instance = "basic-" .. n,
        cluster_id = "7" }
    end
    local todo = next_step { claims = claims }
    assert.same({ 0, 1 }, todo.create)
    assert.is_nil(todo.founding)
    -- also where fewer are wanted: the cluster was deleted while it shrank, and one alone has no majority
    assert.same({ 0, 1 }, next_step { claims = claims, replicas = 1 }.create)
    assert.same({ 1 }, next_step { claims = claims, replicas = 1, ids = { "1" } }.create)
    assert.same({}, next_step { claims = claims, replicas = 1, ids = { "1" }, bootstrapped = true, id = "7" }.create)
  end)

  it("is over when PD leads and the Cluster has recorded that very id", function()
    for _, row in ipairs { { "7", pd(HEALTHY), true }, { "", pd(HEALTHY), false }, { "8", pd(HEALTHY), false },
      { "7", { known = false }, false } } do
      assert.equal(row[3], bootstrap.done((world { id = row[1], pd = row[2] })))
    end
  end)
end)

describe("Joining", function()
  local function joins(change, ids)
    local p = pd { { id = "1", name = "basic-pd-0", healthy = true },
      { id = "2", name = "basic-pd-1", healthy = true } }
    if change then change(p) end
    return next_step { replicas = 5, bootstrapped = true, id = "7", ids = ids or { "1", "2" }, pd = p }
  end

  it("is for one at a time, when all are healthy", function()
    assert.same({ 2 }, joins().create)
  end)

  for reason, row in pairs {
    PDUnknown = { function(p) p.known = false end },
    PDNoLeader = { function(p) p.leader = nil end },
    MembersNotHealthy = { function(p) p.members[2].healthy = false end },
    MemberJoining = { function(p) p.members[3] = { id = "3", name = "" } end },
    PDHistoryChanged = { function(p) p.history = "another id" end },
  } do
    -- E-68, U-13
    it("waits, and says why: " .. reason, function()
      local todo, why = joins(row[1])
      assert.is_nil(todo)
      assert.equal(reason, why)
    end)
  end

  it("waits for the member before, also before PD lists it", function()
    local todo, why = joins(nil, { "1", "2", "" })
    assert.is_nil(todo)
    assert.equal("MemberJoining", why)
  end)

  it("waits until the last one has served for more than five seconds, as etcd refuses it until then", function()
    for seconds, reason in pairs { [5] = "MemberJoining", [6] = false } do
      local w, list = world { replicas = 3, bootstrapped = true, id = "7", ids = { "1", "2" }, pd = pd(HEALTHY) }
      list[2].ready, list[2].row.since = true, time.format(w.now - seconds)
      local todo, why = bootstrap.next(w, list, 3)
      assert.equal(reason, todo == nil and why)
    end
  end)

  it("counts a member whose health is unknown as not healthy: unknown is a value", function()
    local _, why = joins(function(p) p.members[1].healthy = nil end)
    assert.equal("MembersNotHealthy", why)
  end)
end)

describe("A member's start", function()
  local function start(annotations, id, recorded, url)
    local w = { cluster = { pd = url or "http://basic-pd.ns:2379" } }
    return bootstrap.start(w, { object = { metadata = { annotations = annotations }, status = { id = id } } }, recorded)
  end
  local founder = { ["core.tikv.org/initial-cluster"] = LIST }

  -- E-03, U-14
  it("is founding until PD was seen to have it, joining ever after", function()
    assert.equal(LIST, start(founder, "").initial_cluster)
    assert.equal("http://basic-pd.ns:2379", start(founder, "9").join)
    assert.is_nil(start(founder, "9").initial_cluster)
  end)

  it("is joining on a disk that belongs to a cluster already", function()
    assert.truthy(start(founder, "", "9").join)
  end)

  -- E-87
  it("waits for an address to join", function()
    assert.is_nil(start({}, "", nil, ""))
  end)
end)
