require("support.caged").open()
local budget = require "lib.budget"
local conditions = require "lib.conditions"
local diagnosis = require "lib.diagnosis"
local plan = require "lib.plan"
local report = require "lib.report_cluster"
local services = require "lib.services"
local status = require "lib.status"
local things = require "support.manifests"
local topology = require "lib.topology"

local function world(pd, id)
  local c = things.cluster("c", {})
  c.metadata.uid, c.status = "u", { id = id or "7" }
  return { object = c, pd = pd, now = 0, pdgroups = {}, tikvgroups = {} }
end

local function known(more)
  local pd = { known = true, leader = { id = "1", name = "pd-0" }, bootstrapped = true, cluster_id = "7",
    counts = { Up = 3 }, replication = { max_replicas = 3 }, regions = { down_peer = 5 } }
  for k, v in pairs(more or {}) do pd[k] = v end
  return pd
end

describe("a write of status", function()
  it("does not wait when somebody waits for what it tells", function()
    local function delay(kind, was, is)
      return status.delay({ conditions = { { type = kind, status = was } } }, { conditions = { { type = kind, status = is } } },
        {}, 120)
    end
    assert.equal(0, delay("Ready", "False", "True"))
    assert.equal(0, delay("ConfigApplied", "Unknown", "True"))
    assert.equal(120, delay("ConfigApplied", "True", "True"))
  end)
end)

describe("Available", function()
  -- U-97
  it("is true of PD and TiKV alone, without a TiDB (W-25)", function()
    assert.is_true((report.available(world(known()))))
  end)

  it("bears as many stores away as the copies do", function()
    assert.is_true((report.available(world(known { counts = { Up = 2, Down = 1 } }))))
    local yes, reason = report.available(world(known { counts = { Up = 1, Down = 1, Disconnected = 1 } }))
    assert.is_false(yes)
    assert.equal("StoresUnavailable", reason)
  end)

  it("is unknown while PD is, and false without a leader", function()
    local yes, reason = report.available(world({ known = false, reason = "timeout" }))
    assert.is_nil(yes)
    assert.equal("PDUnknown", reason)
    local pd = known()
    pd.leader = nil
    assert.is_false((report.available(world(pd))))
  end)
end)

describe("The Cluster's record of PD", function()
  it("is of the first group by name, and stays while that group is there (W-08)", function()
    local w = world(known())
    w.pdgroups = { { name = "a" }, { name = "b", ready = 3 } }
    assert.equal("http://b-pd.ns:2379", report.pd_url(w))
    w.object.status.pd = "http://a-pd.ns:2379"
    assert.equal("http://a-pd.ns:2379", report.pd_url(w))
    w.pdgroups = { { name = "b" } }
    assert.equal("http://b-pd.ns:2379", report.pd_url(w))
  end)

  -- U-72
  it("speaks https and full names where the Cluster does", function()
    local w = world(known())
    w.object.spec = { tlsCluster = { enabled = true }, dns = { mode = "FQDN" } }
    w.pdgroups = { { name = "a", port = 1 } }
    assert.equal("https://a-pd.ns.svc.cluster.local:1", report.pd_url(w))
  end)

  it("never takes another id: that is history, and a person must look (G8)", function()
    local w = world(known { cluster_id = "8" })
    assert.equal("7", report.id(w))
    assert.truthy(report.history(w):find("8", 1, true))
    assert.equal("7", report.id(world(known { cluster_id = "7" }, "")))
    assert.equal("", report.id(world({ known = false }, "")))
  end)
end)

describe("A disruption budget", function()
  local groups = { { name = "a", replicas = 3, has = 3 }, { name = "b", replicas = 2, has = 2 } }

  it("lets as many stores go as maxUnavailableStores", function()
    assert.equal(4, budget.min_available(world(known()), "tikv", groups))
    local w = world(known())
    w.object.spec.disruption = { maxUnavailableStores = 2 }
    assert.equal(3, budget.min_available(w, "tikv", groups))
  end)

  -- U-54
  it("is closed while a store does not serve, and while PD is unknown (G6)", function()
    assert.equal(5, budget.min_available(world(known { counts = { Up = 4, Down = 1 } }), "tikv", groups))
    assert.equal(5, budget.min_available(world { known = false }, "tikv", groups))
  end)

  it("counts instances that a scale-in has not taken yet", function()
    assert.equal(4, budget.min_available(world(known()), "tikv", { { name = "a", replicas = 3, has = 5 } }))
  end)

  it("lets one PD go, also the only one, so that nodes can be drained", function()
    assert.equal(2, budget.min_available(world(known()), "pd", { { name = "a", replicas = 3 } }))
    assert.equal(0, budget.min_available(world(known()), "pd", { { name = "a", replicas = 1 } }))
  end)

  -- U-56
  it("is a number, leaves out groups that do not want it, and lets broken pods go", function()
    local b = budget.build(world(known()), "tikv", { groups[1], { name = "b", replicas = 2, budget = false } })
    assert.equal(2, b.spec.minAvailable)
    assert.same({ "b" }, b.spec.selector.matchExpressions[1].values)
    assert.equal("AlwaysAllow", b.spec.unhealthyPodEvictionPolicy)
    assert.is_nil(budget.build(world(known()), "tikv", { { name = "b", budget = false } }))
  end)
end)

describe("A service", function()
  it("of peers has names for pods that are not ready, or nobody could found", function()
    local s = services.peer(things.group("PDGroup", "g", 3))
    assert.equal("g-pd-peer", s.metadata.name)
    assert.equal("None", s.spec.clusterIP)
    assert.is_true(s.spec.publishNotReadyAddresses)
  end)

  it("of somebody else's is left alone and named", function()
    local g, p = things.group("PDGroup", "g", 3), plan.new()
    g.metadata.uid = "mine"
    local theirs = { metadata = { uid = "s", ownerReferences = { { uid = "theirs", controller = true } } } }
    local v = services.sync({ object = g, peer_service = theirs }, p)
    assert.equal("ForeignObject", v.reason)
    assert.same({}, p.actions)
  end)

  it("of clients is what the group says", function()
    local g = things.group("PDGroup", "g", 3, { service = { type = "NodePort", nodePort = 30001,
      annotations = { a = "b" }, externalTrafficPolicy = "Local" } })
    local s = services.client(g)
    assert.equal("g-pd", s.metadata.name)
    assert.equal(30001, s.spec.ports[1].nodePort)
    assert.equal("b", s.metadata.annotations.a)
    assert.equal("Local", s.spec.externalTrafficPolicy)
    assert.is_nil(services.client(things.group("PDGroup", "g", 3)).spec.ports[1].nodePort)
  end)
end)

describe("EvenlySpread", function()
  local function group(list)
    return things.group("TiKVGroup", "g", 3, { schedulePolicies = { { type = "EvenlySpread", evenlySpread = list } } })
  end
  local zones = { topologies = { { topology = { zone = "a" } }, { topology = { zone = "b" }, weight = 2 } } }

  -- P-18
  it("fills the emptiest by weight, in the order declared", function()
    local counted, got = topology.counted(group(zones), {}), {}
    for n = 1, 6 do got[n] = topology.next({}, counted, n).zone end
    assert.equal("a b b a b b", table.concat(got, " "))
  end)

  -- P-21, E-74
  it("counts those that are there, not those that leave", function()
    local rows = { { topology = { zone = "b" } }, { topology = { zone = "a" }, deleting = "now" } }
    assert.equal("a", topology.next({}, topology.counted(group(zones), rows), 1).zone)
  end)

  it("of another type, or without a list, is no policy and no crash (W-34)", function()
    assert.is_nil(topology.counted(group(nil), {}))
    assert.is_nil(topology.next({}, nil, 1))
  end)
end)

describe("Conditions", function()
  -- P-24, E-100
  it("keep the time of their last change, and say of which generation they speak", function()
    local first = conditions.set(nil, { conditions.of("Ready", false, "A") }, 1, 100)
    local same = conditions.set(first, { conditions.of("Ready", false, "B") }, 2, 200)
    local changed = conditions.set(same, { conditions.of("Ready", true, "C") }, 2, 300)
    assert.equal(first[1].lastTransitionTime, same[1].lastTransitionTime)
    assert.equal(2, same[1].observedGeneration)
    assert.equal(time.format(300), changed[1].lastTransitionTime)
  end)
end)

describe("A pod that is not ready", function()
  local function why(pod)
    pod.created = time.format(0)
    local reason, message = diagnosis.pod({ now = 60 }, { spec = { resources = {} } }, pod)
    return reason, message
  end

  -- E-84, U-37
  it("is explained by the scheduler's first sentence", function()
    local reason, message = why { scheduled = "False",
      placing = "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available." }
    assert.equal("InsufficientCPU", reason)
    assert.equal("no node has enough free CPU (scheduler: 0/3 nodes are available: 3 Insufficient cpu.)", message)
  end)

  -- U-99
  it("is explained by the container that waits, init containers first", function()
    local reason, message = why { scheduled = "True", node = "n",
      init = { { name = "copy", state = { waiting = { reason = "ErrImagePull", message = "no such image" } } } },
      containers = { { name = "tikv", state = { waiting = { reason = "PodInitializing" } } } } }
    assert.equal("ImageUnavailable", reason)
    assert.equal("container copy: ErrImagePull: no such image", message)
  end)
end)
