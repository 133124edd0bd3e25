local core = require "support.core"
local random = require "support.random"
local ffi = core.ffi
local lib = core.load("base/map.h")

local function value(n)
  return ffi.cast("void *", n)
end

local function number(p)
  return tonumber(ffi.cast("intptr_t", p))
end

local function contents(m)
  local out, it = {}, ffi.new("struct map_iter")
  while lib.map_next(m, it) do out[#out + 1] = { ffi.string(it.key), number(it.value) } end
  return out
end

describe("a map", function()
  local m
  before_each(function() m = ffi.gc(lib.map_new(nil), lib.map_free) end)

  it("is empty at first", function()
    assert.is_true(lib.map_get(m, "a") == nil)
    assert.is_false(lib.map_has(m, "a"))
    assert.is_false(lib.map_del(m, "a"))
    assert.is_true(lib.map_take(m, "a") == nil)
    assert.same({}, contents(m))
    lib.map_clear(m)
  end)

  it("is iterated in the order in which keys came, whatever was replaced", function()
    lib.map_put(m, "z", value(1))
    lib.map_put(m, "a", value(2))
    lib.map_put(m, "m", value(3))
    lib.map_put(m, "z", value(4))
    assert.same({ { "z", 4 }, { "a", 2 }, { "m", 3 } }, contents(m))
    lib.map_del(m, "z")
    lib.map_put(m, "z", value(5))
    assert.same({ { "a", 2 }, { "m", 3 }, { "z", 5 } }, contents(m))
  end)

  it("copies its keys", function()
    local key = ffi.new("char[4]", "abc")
    lib.map_put(m, key, value(1))
    key[0] = 120
    assert.equal(1, number(lib.map_get(m, "abc")))
    assert.is_false(lib.map_has(m, "xbc"))
  end)

  it("tells a NULL value from no value", function()
    lib.map_put(m, "a", nil)
    assert.is_true(lib.map_get(m, "a") == nil)
    assert.is_true(lib.map_has(m, "a"))
    assert.is_true(lib.map_del(m, "a"))
    assert.equal(0, tonumber(lib.map_count(m)))
  end)

  it("frees each value exactly once: replaced, removed, cleared; never one that was taken", function()
    local freed = {}
    local free = ffi.cast("map_free_fn *", function(p) freed[#freed + 1] = number(p) end)
    local owner = lib.map_new(free)
    for i = 1, 5 do lib.map_put(owner, "k" .. i, value(i)) end
    lib.map_put(owner, "k1", value(10))
    lib.map_put(owner, "k1", value(10))
    assert.equal(2, number(lib.map_take(owner, "k2")))
    lib.map_del(owner, "k3")
    assert.same({ 1, 3 }, freed)
    lib.map_clear(owner)
    assert.same({ 1, 3, 10, 4, 5 }, freed)
    lib.map_put(owner, "k", value(6))
    lib.map_free(owner)
    assert.same({ 1, 3, 10, 4, 5, 6 }, freed)
    lib.map_free(nil)
    free:free()
  end)

  it("lets the current key be removed while it is iterated", function()
    for i = 1, 100 do lib.map_put(m, "k" .. i, value(i)) end
    local it, seen = ffi.new("struct map_iter"), 0
    while lib.map_next(m, it) do
      seen = seen + 1
      if number(it.value) % 3 ~= 0 then lib.map_del(m, ffi.string(it.key)) end
    end
    assert.equal(100, seen)
    assert.equal(33, tonumber(lib.map_count(m)))
    for i = 1, 100 do assert.equal(i % 3 == 0, lib.map_has(m, "k" .. i)) end
  end)

  it("does not slow down or grow as a queue of keys that come and go", function()
    lib.map_put(m, "stays", value(1))
    for i = 1, 20000 do
      lib.map_put(m, "k" .. i, value(i))
      assert.equal(i, number(lib.map_take(m, "k" .. i)))
    end
    assert.same({ { "stays", 1 } }, contents(m))
  end)

  it("does what a simple model does, for random operations", function()
    local rng = random(5)
    local model, order = {}, {}
    local function forget(key)
      model[key] = nil
      for i, k in ipairs(order) do
        if k == key then return table.remove(order, i) end
      end
    end
    for step = 1, 20000 do
      -- Few keys, so that probing chains meet removals; of all lengths around eight.
      local key = ("k"):rep(rng(0, 17)) .. rng(60)
      local what = rng(10)
      if what <= 5 then
        if not model[key] then order[#order + 1] = key end
        model[key] = step
        lib.map_put(m, key, value(step))
      elseif what <= 8 then
        assert.equal(model[key] ~= nil, lib.map_del(m, key))
        forget(key)
      else
        assert.equal(model[key] or 0, number(lib.map_get(m, key)))
      end
      if rng(2000) == 1 then
        lib.map_clear(m)
        model, order = {}, {}
      end
      assert.equal(#order, tonumber(lib.map_count(m)))
      if step % 500 == 0 then
        local want = {}
        for i, k in ipairs(order) do want[i] = { k, model[k] } end
        assert.same(want, contents(m))
      end
    end
  end)
end)
