require("support.caged").open()
local store = require "lib.store"

local START = time.parse "2026-01-01T00:10:00Z"

-- Now is a minute after the start; PD's answer is two seconds old.
local function world(container)
  return { now = START + 60, pd = { age = 2 },
    pod = { created = "2026-01-01T00:09:00Z", containers = json.array { container } } }
end

local RUNNING = { name = "tikv", state = { running = { startedAt = "2026-01-01T00:10:00Z" } } }

local function heard(age, container, state)
  return store.heard(world(container), { state = state or "Up", heartbeat_age = age })
end

describe("A store that PD calls Up", function()
  it("is heard when it spoke after its process started", function()
    assert.is_true(heard(10, RUNNING))
    assert.is_true(heard(57, RUNNING))
  end)

  it("is not heard by what the process before it said, in the last second either", function()
    assert.is_false(heard(58, RUNNING))
    assert.is_false(heard(100, RUNNING))
  end)

  it("is judged by its pod while no process is known, and by its own container alone", function()
    assert.is_true(heard(100, { name = "tikv", state = { waiting = { reason = "ContainerCreating" } } }))
    assert.is_false(heard(118, { name = "tikv", state = { waiting = { reason = "ContainerCreating" } } }))
    assert.is_true(heard(100, { name = "side", state = RUNNING.state }))
  end)

  it("is only asked of stores that are Up, and of ages that PD tells", function()
    assert.is_true(heard(1000, RUNNING, "Disconnected"))
    assert.is_true(store.heard(world(RUNNING), { state = "Up" }))
  end)
end)
