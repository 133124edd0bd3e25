local core = require "support.core"
local C = core.load("base/rng.h", "engine/queue.h")
local ffi = core.ffi

local EVENT, RESYNC = C.QUEUE_EVENT, C.QUEUE_RESYNC

local function queue(seed)
  local rng = ffi.new("struct rng")
  C.rng_seed(rng, seed or 1)
  return ffi.gc(C.queue_new(rng), C.queue_free)
end

local function pop(q, now)
  local reason = ffi.new("const char *[1]")
  local key = C.queue_pop(q, now, reason)
  if key == nil then return nil end
  return ffi.string(key), ffi.string(reason[0])
end

local function due(q) return tonumber(C.queue_next_due(q)) end

describe("queue", function()
  it("gives a key when it is due, and not before", function()
    local q = queue()
    C.queue_add(q, "TiKV/a/b", 100, EVENT, "because")
    assert.equal(100, due(q))
    assert.is_nil(pop(q, 99))
    local key, why = pop(q, 100)
    assert.same({ "TiKV/a/b", "because" }, { key, why })
    assert.equal(-1, due(q))
  end)

  it("K1: many adds of a key are one pass", function()
    local q = queue()
    for _ = 1, 10 do C.queue_add(q, "k", 0, EVENT, "x") end
    assert.equal("k", (pop(q, 0)))
    assert.is_nil(pop(q, 0))
    assert.equal(0, tonumber(C.queue_depth(q)))
  end)

  it("K1: a key is never given twice at once, and an add meanwhile is not lost", function()
    local q = queue()
    C.queue_add(q, "k", 0, EVENT, "first")
    pop(q, 0)
    C.queue_add(q, "k", 0, EVENT, "second")
    assert.is_nil(pop(q, 1000))
    C.queue_done(q, "k", C.QUEUE_SETTLED, 1000, 0)
    local key, why = pop(q, 1000)
    assert.same({ "k", "second" }, { key, why })
    C.queue_done(q, "k", C.QUEUE_SETTLED, 1000, 0)
    assert.is_nil(pop(q, 1e9))
  end)

  -- W-30
  it("K2: failures back off from 5 ms to at most 60 s, with jitter", function()
    local q = queue()
    local now, last, seen = 0, 0, {}
    C.queue_add(q, "k", 0, EVENT, "x")
    for n = 0, 24 do
      assert.equal("k", (pop(q, now)))
      C.queue_done(q, "k", C.QUEUE_FAILED, now, 0)
      local wait = due(q) - now
      local full = math.min(5 * 2 ^ n, 60000)
      assert.is_true(wait <= full and wait >= full * 0.8 - 1, n .. ": " .. wait)
      assert.is_nil(pop(q, due(q) - 1))
      seen[wait] = true
      last, now = wait, due(q)
      assert.equal(n + 1, C.queue_failures(q, "k"))
    end
    assert.is_true(last >= 48000)
    local kinds = 0
    for w in pairs(seen) do if w > 40000 then kinds = kinds + 1 end end
    assert.is_true(kinds > 5) -- not always the same
  end)

  it("K2: the same seed gives the same back-off", function()
    local function run(seed)
      local q, out, now = queue(seed), {}, 0
      C.queue_add(q, "k", 0, EVENT, "x")
      for _ = 1, 20 do
        pop(q, now)
        C.queue_done(q, "k", C.QUEUE_FAILED, now, 0)
        now = due(q)
        out[#out + 1] = now
      end
      return out
    end
    assert.same(run(7), run(7))
    assert.are_not.same(run(7), run(8))
  end)

  -- W-31
  it("K3: the earlier of two times wins, whichever came first", function()
    local q = queue()
    C.queue_add(q, "a", 50, EVENT, "early")
    C.queue_add(q, "a", 90, EVENT, "late")
    C.queue_add(q, "b", 90, EVENT, "late")
    C.queue_add(q, "b", 60, EVENT, "early")
    assert.same({ "a", "early" }, { pop(q, 50) })
    assert.same({ "b", "early" }, { pop(q, 60) })
    assert.is_nil(pop(q, 1000))
  end)

  it("K4: a success forgets the failures", function()
    local q = queue()
    for _, ending in ipairs { C.QUEUE_SETTLED, C.QUEUE_WAIT, C.QUEUE_RETRY } do
      C.queue_add(q, "k", 0, EVENT, "x")
      pop(q, 1e6)
      C.queue_done(q, "k", C.QUEUE_FAILED, 1e6, 0)
      C.queue_add(q, "k", 1e6, EVENT, "x")
      pop(q, 1e6)
      assert.equal(1, C.queue_failures(q, "k"))
      C.queue_done(q, "k", ending, 1e6, 2e6)
      assert.equal(0, C.queue_failures(q, "k"))
    end
  end)

  it("K4: a retry comes at the time it asked for, without back-off", function()
    local q = queue()
    C.queue_add(q, "k", 0, EVENT, "x")
    pop(q, 10)
    C.queue_done(q, "k", C.QUEUE_RETRY, 10, 15010)
    assert.equal(15010, due(q))
    assert.is_nil(pop(q, 15009))
    assert.equal("k", (pop(q, 15010)))
  end)

  it("K4: a key that waits is looked at after ten minutes, and is no depth meanwhile", function()
    local q = queue()
    C.queue_add(q, "k", 0, EVENT, "x")
    assert.equal(1, tonumber(C.queue_depth(q)))
    pop(q, 0)
    C.queue_done(q, "k", C.QUEUE_WAIT, 0, 0)
    assert.equal(600000, due(q))
    assert.equal(0, tonumber(C.queue_depth(q)))
    C.queue_add(q, "k", 700000, EVENT, "late")
    assert.equal(600000, due(q))
    C.queue_add(q, "k", 5, EVENT, "event")
    assert.equal(1, tonumber(C.queue_depth(q)))
    assert.same({ "k", "event" }, { pop(q, 5) })
  end)

  it("K5: a key that fails does not keep others from running", function()
    local q = queue()
    C.queue_add(q, "bad", 0, EVENT, "x")
    C.queue_add(q, "good", 1, EVENT, "x")
    assert.equal("bad", (pop(q, 1)))
    C.queue_done(q, "bad", C.QUEUE_FAILED, 1, 0)
    assert.equal("good", (pop(q, 1)))
  end)

  it("K6: keys run side by side", function()
    local q = queue()
    C.queue_add(q, "a", 0, EVENT, "x")
    C.queue_add(q, "b", 0, EVENT, "x")
    assert.equal("a", (pop(q, 0)))
    assert.equal("b", (pop(q, 0)))
    C.queue_done(q, "b", C.QUEUE_SETTLED, 0, 0)
    C.queue_done(q, "a", C.QUEUE_SETTLED, 0, 0)
  end)

  it("K7: events go before resync, then by due time, then in order of arrival", function()
    local q = queue()
    C.queue_add(q, "r1", 1, RESYNC, "x")
    C.queue_add(q, "e3", 3, EVENT, "x")
    C.queue_add(q, "e2a", 2, EVENT, "x")
    C.queue_add(q, "e2b", 2, EVENT, "x")
    local order = {}
    for _ = 1, 4 do order[#order + 1] = pop(q, 10) end
    assert.same({ "e2a", "e2b", "e3", "r1" }, order)
  end)

  it("K7: an event raises the priority of a key that waits for resync, never lowers it", function()
    local q = queue()
    C.queue_add(q, "a", 0, RESYNC, "list")
    C.queue_add(q, "b", 0, RESYNC, "list")
    C.queue_add(q, "b", 0, EVENT, "event")
    C.queue_add(q, "b", 0, RESYNC, "list")
    assert.same({ "b", "event" }, { pop(q, 0) })
    assert.same({ "a", "list" }, { pop(q, 0) })
  end)

  it("spaces the passes of a key, failures and retries included", function()
    local q = queue()
    C.queue_add(q, "k", 0, EVENT, "x")
    pop(q, 0)
    C.queue_space(q, "k", 250)
    C.queue_done(q, "k", C.QUEUE_FAILED, 0, 0)
    assert.equal(250, due(q))
    C.queue_add(q, "k", 10, EVENT, "storm")
    assert.equal(250, due(q))
    pop(q, 250)
    C.queue_space(q, "k", 500)
    C.queue_add(q, "k", 251, EVENT, "storm")
    C.queue_done(q, "k", C.QUEUE_SETTLED, 251, 0)
    assert.equal(500, due(q))
    assert.is_nil(pop(q, 499))
    assert.equal("k", (pop(q, 500)))
  end)

  it("moves a key that is due when it is spaced later", function()
    local q = queue()
    C.queue_add(q, "k", 0, EVENT, "x")
    C.queue_add(q, "other", 0, EVENT, "x")
    pop(q, 0)
    C.queue_space(q, "other", 40)
    assert.is_nil(pop(q, 39))
    assert.equal("other", (pop(q, 40)))
  end)

  it("forgets a key that is gone, unless it was added meanwhile", function()
    local q = queue()
    C.queue_add(q, "k", 0, EVENT, "x")
    pop(q, 0)
    C.queue_done(q, "k", C.QUEUE_FAILED, 0, 0)
    pop(q, 10)
    C.queue_done(q, "k", C.QUEUE_GONE, 10, 0)
    assert.equal(-1, due(q))
    assert.equal(0, C.queue_failures(q, "k"))
    C.queue_add(q, "k", 20, EVENT, "x")
    pop(q, 20)
    C.queue_add(q, "k", 21, EVENT, "again")
    C.queue_done(q, "k", C.QUEUE_GONE, 21, 0)
    assert.same({ "k", "again" }, { pop(q, 21) })
  end)
end)
