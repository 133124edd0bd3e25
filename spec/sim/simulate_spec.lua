-- Random fault schedules of the shipped operator: SIM_SCHEDULES of them (default 60) from SIM_SEED
-- (default 1), for SIM_SECONDS (default 90) at most. A red seed is printed with the command that plays it again.
local BUILD = os.getenv "BUILD" or "build"
local binary = BUILD .. "/tikv-operator"
local seconds = tonumber(os.getenv "SIM_SECONDS") or 90
local schedules = tonumber(os.getenv "SIM_SCHEDULES") or 60
local seed = tonumber(os.getenv "SIM_SEED") or 1

--- The specs run with the sanitizer's library loaded; the plain binary must not.
local function simulate(options)
  local pipe = io.popen(("env -u LD_PRELOAD %s simulate %s 2>&1; echo \"ended $?\""):format(binary, options))
  local text = pipe:read "*a"
  pipe:close()
  return text, tonumber(text:match "ended (%d+)%s*$")
end

local function green(options)
  local text, code = simulate(options)
  assert(code == 0, text)
  local run = tonumber(text:match "(%d+) schedules, 0 failed")
  assert.is_truthy(run, text)
  return run, text
end

describe("simulate", function()
  it("survives random fault schedules (S1-S20, L1, L4, L8)", function()
    local run = green(("--seed %d --schedules %d --seconds %d"):format(seed, schedules, seconds))
    assert.is_true(run > 0)
  end)

  it("gives the same events for the same seed", function()
    green "--seed 1 --schedules 3 --verify"
    local _, one = green "--seed 5 --schedules 2"
    local _, two = green "--seed 5 --schedules 2"
    local _, alone = green "--seed 5 --schedules 2 --jobs 0" -- a world of its own, without fork
    local _, other = green "--seed 7 --schedules 2"
    assert.equal(one:match "hash (%x+)", two:match "hash (%x+)")
    assert.equal(one:match "hash (%x+)", alone:match "hash (%x+)")
    assert.not_equal(one:match "hash (%x+)", other:match "hash (%x+)")
  end)

  -- E-11
  it("survives a crash right after single writes", function()
    local run = green(("--each-write --seed 3 --seconds %d"):format(math.max(2, math.floor(seconds / 6))))
    assert.is_true(run > 1)
  end)

  it("notices an operator that deletes running pods (S13)", function()
    local dir = os.tmpname()
    os.remove(dir)
    assert(os.execute(("cp -r lua %s && sed -i 's/pod.phase == \"Failed\" or/pod.phase == \"Running\" or/' "
      .. "%s/lib/lifecycle.lua"):format(dir, dir)) == 0)
    local text, code = simulate(("--policy %s --first --seed 1 --schedules 60"):format(dir))
    os.execute("rm -rf " .. dir)
    assert.equal(1, code, text)
    assert.is_truthy(text:find("S13: pod", 1, true), text)
  end)
end)
