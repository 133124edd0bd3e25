-- How long a new leader of PD counts as new: by what the stores' config says.
local k = require "kube.support"
local core = require "support.core"
local C, ffi = core.load "engine/ticks.h", core.ffi

local function tikv(name, config, generation)
  return (assert(k.obj(k.lib.KIND_TIKV, k.object(name, 1, { metadata = { generation = generation or 1 },
    spec = { cluster = { name = "c" }, config = config } }))))
end

describe("the interval of region heartbeats", function()
  it("is read from a section or a dotted key, whatever stands around it", function()
    for toml, ms in pairs {
      ['[raftstore]\npd-heartbeat-tick-interval = "2s"\n'] = 2000,
      ["a = 1\n  raftstore.pd-heartbeat-tick-interval='500ms'"] = 500,
      ['[raftstore]\npd-heartbeat-tick-interval="1.5m" # slow'] = 90000,
      ['pd-heartbeat-tick-interval = "1s"\npd-heartbeat-tick-interval = "9s"'] = 9000,
      [""] = 0,
      ['# pd-heartbeat-tick-interval = "2s"'] = 0,
      ['pd-heartbeat-tick-intervals = "2s"'] = 0,
      ['pd-heartbeat-tick-interval = 2'] = 0,
      ['pd-heartbeat-tick-interval = "2"'] = 0,
      ['pd-heartbeat-tick-interval = "-2s"'] = 0,
      ['pd-heartbeat-tick-interval = "2s'] = 0,
      ['pd-store-heartbeat-tick-interval = "2s"'] = 0,
    } do
      assert.equal(ms, tonumber(C.ticks_of(toml)), toml)
    end
  end)

  it("is that of the slowest store, and the default as long as one says nothing", function()
    local t = ffi.gc(C.ticks_new(), C.ticks_free)
    local a, b = tikv("a", 'raftstore.pd-heartbeat-tick-interval = "2s"'), tikv("b")
    assert.equal(0, tonumber(C.ticks_slowest(t)))
    assert.is_true(C.ticks_event(t, nil, a))
    assert.equal(2000, tonumber(C.ticks_slowest(t)))
    C.ticks_event(t, nil, b)
    assert.equal(0, tonumber(C.ticks_slowest(t)))
    local slower = tikv("b", 'raftstore.pd-heartbeat-tick-interval = "5s"', 2)
    assert.is_true(C.ticks_event(t, b, slower))
    assert.equal(5000, tonumber(C.ticks_slowest(t)))
    assert.is_false(C.ticks_event(t, slower, tikv("b", "", 2)), "another status is no other config")
    C.ticks_event(t, slower, nil)
    assert.equal(2000, tonumber(C.ticks_slowest(t)))
    for _, o in ipairs { a, b, slower } do k.lib.obj_unref(o) end
  end)
end)
