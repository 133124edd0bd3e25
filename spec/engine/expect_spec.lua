local core = require "support.core"
local C = core.load("kube/store.h", "engine/expect.h")
local ffi = core.ffi

local POD, NODE, OVERDUE_BIT = C.KIND_POD, C.KIND_NODE, 2 ^ tonumber(C.KIND_POD)

local function pod(rv, opt)
  opt = opt or {}
  local text = ([[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s","namespace":"ns","uid":"%s",]] ..
    [["resourceVersion":"%s"%s}}]]):format(opt.name or "p", opt.uid or "u1", rv,
    opt.deleting and [[,"deletionTimestamp":"2026-01-01T00:00:00Z"]] or "")
  local o = C.obj_new(POD, text, #text, nil)
  assert(o ~= nil)
  return o
end

describe("expect", function()
  local x, freed, on_freed

  before_each(function()
    x = ffi.gc(C.expect_new(), C.expect_free)
    freed = {}
    on_freed = ffi.cast("expect_freed_fn *", function(_, key) freed[#freed + 1] = ffi.string(key) end)
  end)
  after_each(function() on_freed:free() end)

  local function saw(old, now)
    C.expect_saw(x, old, now, on_freed, nil)
    if old then C.obj_unref(old) end
    if now then C.obj_unref(now) end
  end

  -- E-70
  it("R1: holds a key until the version that its write returned was delivered", function()
    C.expect_wrote(x, "k", POD, "ns/p", "u1", "10", 0)
    assert.is_true(C.expect_holds(x, "k"))
    assert.is_false(C.expect_holds(x, "other"))
    saw(pod("8"), pod("9"))
    assert.is_true(C.expect_holds(x, "k"))
    saw(pod("9"), pod("10"))
    assert.is_false(C.expect_holds(x, "k"))
    assert.same({ "k" }, freed)
  end)

  it("R1: a newer version will do, compared as a number of any length", function()
    C.expect_wrote(x, "k", POD, "ns/p", "u1", "99999999999999999999", 0)
    saw(nil, pod("9"))
    assert.is_true(C.expect_holds(x, "k"))
    saw(nil, pod("100000000000000000000"))
    assert.same({ "k" }, freed)
  end)

  it("R1: a deletion is seen as a removal, as a deletion under way, or as a successor", function()
    C.expect_wrote(x, "gone", POD, "ns/p", "u1", nil, 0)
    saw(pod("5"), pod("6"))
    assert.is_true(C.expect_holds(x, "gone"))
    saw(pod("6"), nil)
    C.expect_wrote(x, "graceful", POD, "ns/p", "u1", nil, 0)
    saw(pod("6"), pod("7", { deleting = true }))
    C.expect_wrote(x, "replaced", POD, "ns/p", "u1", nil, 0)
    saw(nil, pod("8", { uid = "u2" }))
    assert.same({ "gone", "graceful", "replaced" }, freed)
  end)

  it("R1: the removal of the object ends the wait for its writes, not for its successor's", function()
    C.expect_wrote(x, "k", POD, "ns/p", "u1", "10", 0)
    C.expect_wrote(x, "k2", POD, "ns/p", "u2", "20", 0)
    saw(pod("9"), nil)
    assert.same({ "k" }, freed)
    assert.is_true(C.expect_holds(x, "k2"))
    saw(nil, pod("20", { uid = "u2" }))
    assert.same({ "k", "k2" }, freed)
  end)

  it("R1: waits for every write of the key", function()
    C.expect_wrote(x, "k", POD, "ns/p", "u1", "10", 0)
    C.expect_wrote(x, "k", POD, "ns/q", "u9", "11", 0)
    assert.equal(2, tonumber(C.expect_open(x)))
    saw(nil, pod("10"))
    assert.same({}, freed)
    saw(nil, pod("11", { name = "q", uid = "u9" }))
    assert.same({ "k" }, freed)
    assert.equal(0, tonumber(C.expect_open(x)))
  end)

  it("R1: is never let through on time alone: the kind must be listed again", function()
    C.expect_wrote(x, "k", POD, "ns/p", "u1", "10", 1000)
    C.expect_wrote(x, "late", POD, "ns/q", "u2", "12", 5000)
    assert.equal(0, C.expect_overdue(x, 1000))
    assert.equal(OVERDUE_BIT, C.expect_overdue(x, 1001))
    assert.is_true(C.expect_holds(x, "k"))
    C.expect_relisted(x, NODE, 9999, on_freed, nil)
    assert.same({}, freed)
    C.expect_relisted(x, POD, 4000, on_freed, nil)
    assert.same({ "k" }, freed)
    assert.is_true(C.expect_holds(x, "late")) -- that list began before its write
    assert.equal(0, C.expect_overdue(x, 5000))
  end)

  it("forgets a key that is gone", function()
    C.expect_wrote(x, "k", POD, "ns/p", "u1", "10", 0)
    C.expect_wrote(x, "l", POD, "ns/p", "u1", "11", 0)
    C.expect_forget(x, "k")
    assert.is_false(C.expect_holds(x, "k"))
    assert.is_true(C.expect_holds(x, "l"))
    assert.same({}, freed)
  end)

  describe("with stores", function()
    local store, look
    before_each(function()
      store = ffi.gc(C.store_new(POD), C.store_free)
      look = ffi.cast("struct store *(*)(void *, enum kind)", function(_, k)
        if k == POD then return store end
        return nil
      end)
      C.expect_stores(x, look, nil)
    end)
    after_each(function() look:free() end)

    it("R1: does not wait for what the watch delivered before the answer", function()
      C.store_put(store, pod("10"))
      C.expect_wrote(x, "k", POD, "ns/p", "u1", "10", 0)
      assert.is_false(C.expect_holds(x, "k"))
      C.expect_wrote(x, "k", POD, "ns/p", "u1", "11", 0)
      assert.is_true(C.expect_holds(x, "k"))
    end)

    it("R1: does not wait for a deletion that was seen, but for one that was not", function()
      C.expect_wrote(x, "k", POD, "ns/p", "u1", nil, 0)
      assert.is_false(C.expect_holds(x, "k"))
      C.store_put(store, pod("10"))
      C.expect_wrote(x, "k", POD, "ns/p", "u1", nil, 0)
      assert.is_true(C.expect_holds(x, "k"))
    end)

    it("R1: a store that passed the version by a list or a bookmark has shown it", function()
      C.expect_wrote(x, "k", POD, "ns/p", "u1", "10", 0)
      C.store_set_synced(store, true)
      C.store_set_rv(store, "9")
      C.expect_look(x, on_freed, nil)
      assert.same({}, freed)
      C.store_set_rv(store, "10")
      C.expect_look(x, on_freed, nil)
      assert.same({ "k" }, freed)
    end)

    it("does not hold a key for a kind that nobody watches", function()
      C.expect_wrote(x, "k", NODE, "n1", "u1", "10", 0)
      assert.is_false(C.expect_holds(x, "k"))
    end)
  end)

  it("R2: a write changes no cache: the key waits instead", function()
    local store = ffi.gc(C.store_new(POD), C.store_free)
    C.store_put(store, pod("9"))
    C.expect_wrote(x, "k", POD, "ns/p", "u1", "10", 0)
    assert.equal("9", ffi.string(C.store_get(store, "ns", "p").rv))
    assert.is_true(C.expect_holds(x, "k"))
  end)
end)
