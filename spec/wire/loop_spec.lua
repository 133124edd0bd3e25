local wire = require "support.wire"
local C = wire.C
wire.ffi.cdef "int raise(int);"

describe("the real loop", function()
  local b
  before_each(function() b = wire.open() end)
  after_each(function() b:close() end)

  it("fires same-time timers in the order they were set", function()
    local seen = {}
    for i = 1, 20 do b:after(0, function() seen[#seen + 1] = i end) end
    assert.same({}, seen)
    b:run(5)
    assert.equal(20, #seen)
    for i = 1, 20 do assert.equal(i, seen[i]) end
  end)

  it("keeps that order for equal later times too", function()
    local seen = {}
    for i = 1, 50 do b:after(10, function() seen[#seen + 1] = i end) end
    b:run(1000, function() return #seen == 50 end)
    local sorted = {}
    for i = 1, 50 do sorted[i] = i end
    assert.same(sorted, seen)
  end)

  it("fires by time, whatever the order of setting", function()
    local seen = {}
    b:after(30, function() seen[#seen + 1] = "late" end)
    b:after(5, function() seen[#seen + 1] = "soon" end)
    b:after(0, function() seen[#seen + 1] = "now" end)
    b:run(1000, function() return #seen == 3 end)
    assert.same({ "now", "soon", "late" }, seen)
  end)

  it("never fires a cancelled timer, not even when its neighbour cancels it", function()
    local seen = {}
    local second
    b:after(0, function() C.loop_cancel(b.loop, second) end)
    second = b:after(0, function() seen[#seen + 1] = "cancelled" end)
    C.loop_cancel(b.loop, nil)
    b:run(5)
    assert.same({}, seen)
  end)

  it("gives descriptors and signals their turn between calls that defer again", function()
    local turns, at = 0, nil
    local fn = wire.ffi.cast("loop_fn *", function() at = at or turns end)
    C.loop_event_signal(b.loop, 12, fn, nil)
    local function again()
      turns = turns + 1
      if turns == 1 then wire.ffi.C.raise(12) end
      if turns < 200 then b:after(0, again) end
    end
    b:after(0, again)
    b:run(1000, function() return turns == 200 end)
    assert.is_true(at <= 2, "after " .. tostring(at) .. " turns")
  end)

  it("does not fire before its time", function()
    local from, at = b:now(), nil
    b:after(25, function() at = b:now() end)
    b:run(1000, function() return at end)
    assert.is_true(at - from >= 25)
    assert.is_true(at - from < 500)
  end)

  it("calls back for signals until the loop ends, and counts its timers", function()
    local seen = 0
    local fn = wire.ffi.cast("loop_fn *", function() seen = seen + 1 end)
    C.loop_event_signal(b.loop, 10, fn, nil)
    wire.ffi.C.raise(10)
    b:run(20)
    wire.ffi.C.raise(10)
    b:run(20)
    assert.equal(2, seen)
    assert.equal(0, tonumber(C.loop_event_timers(b.loop)))
    local t = b:after(1000, function() end)
    assert.equal(1, tonumber(C.loop_event_timers(b.loop)))
    C.loop_cancel(b.loop, t)
  end)
end)
