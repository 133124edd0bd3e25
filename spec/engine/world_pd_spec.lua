--- What a pass is told of PD: facts when they are known and fresh, a reason when they are not.
local pd = require "spec.pd.support"
local core = require "support.core"
local ffi = core.ffi
local kube = pd.kube
local C = core.load("engine/world.h")

local view
local view_of = ffi.cast("struct pdview *(*)(void *, const char *, const char *)", function(_, ns, cluster)
  if ffi.string(ns) == "ns" and ffi.string(cluster) == "basic" then return view end
  return nil
end)
local no_store = ffi.cast("struct store *(*)(void *, enum kind)", function() return nil end)
local woken
local on_key = ffi.cast("world_key_fn *", function(_, key) woken[#woken + 1] = ffi.string(key) end)

local HOST = "basic-tikv-2.basic-tikv-peer.ns.svc:20160"

describe("the world's PD", function()
  local w, f, world, object

  before_each(function()
    w = kube.world()
    f = pd.pd()
    view = pd.view(w, f)
    world = C.world_new(ffi.new("struct world_sources", { store = no_store, pdview = view_of, clock = kube.clock }))
    local text = kube.encode(kube.object("a", 1))
    object = C.obj_new(C.KIND_TIKV, text, #text, nil)
  end)
  after_each(function()
    C.world_free(world)
    C.obj_unref(object)
    C.pdview_free(view)
  end)

  ---The member `pd` for a need, as JSON text.
  local function member(need)
    need.as, need.pd = "pd", need.pd or "basic"
    local needs = kube.tree(kube.encode { need })
    local e = ffi.new("struct err")
    local t = C.world_build(world, "TiKV/ns/a", object, needs, nil, e)
    assert(t ~= nil, ffi.string(e.msg))
    local s = C.json_string(C.json_get(t, "pd"))
    local out = ffi.string(s)
    ffi.C.free(s)
    C.json_free(t)
    return out
  end

  local function wakes(...)
    woken = {}
    local list = ffi.new("const char *[?]", select("#", ...), { ... })
    C.world_interested_pd(world, "ns", "basic", list, select("#", ...), on_key, nil)
    return #woken
  end

  it("carries the facts of the cluster", function()
    local m = member {}
    assert.equal("true", kube.at(m, "known"))
    assert.equal("7710367791441466003", kube.at(m, "cluster_id"))
    assert.equal("basic-pd-0", kube.at(m, "leader.name"))
    assert.equal("4", kube.at(m, "counts.Up"))
    assert.equal("3", kube.at(m, "replication.max_replicas"))
    assert.equal("true", kube.at(m, "bootstrapped"))
    assert.equal("false", kube.at(m, "settled"))
    assert.equal("0", kube.at(m, "age"))
    assert.equal("2", kube.at(m, "regions.pending_peer"))
    for _, absent in ipairs { "reason", "history", "stores", "store", "member" } do
      assert.is_nil(kube.at(m, absent))
    end
  end)

  it("carries all stores only when asked", function()
    local m = member { stores = "all" }
    assert.equal("1", kube.at(m, "stores[0].id"))
    assert.equal("4", kube.at(m, "stores[3].id"))
    assert.is_nil(kube.at(member { stores = "none" }, "stores"))
  end)

  it("carries one store by id, and by address without an id", function()
    assert.equal("3", kube.at(member { store = "3" }, "store.id"))
    assert.equal("3", kube.at(member { store = "3", address = HOST }, "store.id"))
    assert.equal("2", kube.at(member { address = HOST }, "store.id"))
    assert.is_nil(kube.at(member { store = "99", address = HOST }, "store"))
  end)

  it("carries one member by name", function()
    assert.equal("basic-pd-1", kube.at(member { member = "basic-pd-1" }, "member.name"))
    assert.is_nil(kube.at(member { member = "basic-pd-9" }, "member"))
  end)

  it("is unknown with a reason and without facts when PD is away", function()
    pd.serve(w, f, 10000)
    f.answer = function() return nil end
    pd.serve(w, f, 120000)
    local m = member { stores = "all", store = "3" }
    assert.equal("false", kube.at(m, "known"))
    assert.truthy(#kube.at(m, "reason") > 0)
    assert.is_true(tonumber(kube.at(m, "age")) >= 60)
    for _, absent in ipairs { "stores", "store", "counts", "leader", "cluster_id" } do
      assert.is_nil(kube.at(m, absent))
    end
  end)

  it("is unknown when it is older than the pass can use", function()
    w:jump(25000)
    assert.equal("true", kube.at(member {}, "known"))
    local m = member { fresh = 20 }
    assert.equal("false", kube.at(m, "known"))
    assert.truthy(kube.at(m, "reason"):find("too old", 1, true))
    w:jump(6000)
    assert.equal("false", kube.at(member {}, "known"))
  end)

  it("says that the history changed", function()
    C.pdview_expect_cluster(view, "1")
    C.pdview_poll_now(view)
    pd.serve(w, f, 1000)
    assert.truthy(kube.at(member {}, "history"))
  end)

  it("wakes the owner of a store that is known by its address only", function()
    member { address = HOST }
    assert.equal(1, wakes "store:2")
    assert.equal(1, wakes "figures:2")
    assert.equal(0, wakes "store:3")
    assert.equal(1, wakes("store:3", "known"))
  end)
end)
