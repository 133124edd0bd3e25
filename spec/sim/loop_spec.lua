local core = require "spec.support.core"
local ffi = core.ffi
local C = core.load "sim/loop_sim.h"

describe("the loop in virtual time", function()
  local loop, order, keep
  local function at(ms, what)
    local cb = ffi.cast("loop_fn *", function() order[#order + 1] = what end)
    keep[#keep + 1] = cb
    return C.loop_after(loop, ms, cb, nil)
  end
  before_each(function()
    loop, order, keep = C.loop_sim_new(1767225600000LL), {}, {}
  end)
  after_each(function()
    C.loop_sim_free(loop)
    for _, cb in ipairs(keep) do cb:free() end
  end)

  it("jumps to the next timer and runs same-time timers in order", function()
    at(50, "c")
    at(20, "a")
    at(20, "b")
    assert.is_true(C.loop_sim_step(loop))
    assert.equal(1020, tonumber(C.loop_now(loop)))
    assert.equal(1767225600020, tonumber(C.loop_wall(loop)))
    C.loop_sim_run_for(loop, 100)
    assert.same({ "a", "b", "c" }, order)
    assert.equal(1120, tonumber(C.loop_now(loop)))
    assert.is_false(C.loop_sim_step(loop))
  end)

  it("never fires a cancelled timer and counts what is pending", function()
    local t = at(10, "no")
    at(10, "yes")
    assert.equal(2, tonumber(C.loop_sim_pending(loop)))
    assert.equal(1010, tonumber(C.loop_sim_next(loop)))
    C.loop_cancel(loop, t)
    C.loop_sim_run_for(loop, 10)
    assert.same({ "yes" }, order)
    assert.equal(-1, tonumber(C.loop_sim_next(loop)))
  end)

  it("moves the wall clock without moving deadlines", function()
    at(10, "x")
    C.loop_sim_move_wall(loop, -3600000)
    assert.equal(1767225600000 - 3600000, tonumber(C.loop_wall(loop)))
    C.loop_sim_run_for(loop, 9)
    assert.same({}, order)
    C.loop_sim_run_for(loop, 1)
    assert.same({ "x" }, order)
  end)
end)
