-- The recorded scenarios, asked of a real PD and of the simulated one as that version: what differs is a
-- bug of the simulated one. PD_STAGE says where the stage of the real one listens, PD_VERSION what it is (#cluster).
local replay = require "support.pd_replay"
local scenarios = require "support.pd_scenarios"
local stage = require "support.pd_stage"

describe("a real PD, asked what the simulated one is asked, #cluster", function()
  if not stage.url then
    pending "PD_STAGE is not set"
    return
  end
  local before
  before_each(function() before = rawget(_G, "sim") end)
  after_each(function() rawset(_G, "sim", before) end)

  for _, name in ipairs(scenarios.order) do
    local s = scenarios[name]
    if s.real ~= false then
      it("answers alike in " .. name, function()
        local real = setmetatable(s.real or {}, { __index = s })
        local judge = replay.answers(name, real, stage.version)
        local compared, wrong = replay.replay(name, real, stage.world(real), judge)
        assert.are.equal("", table.concat(wrong, "\n"))
        assert.is_true(compared > 0)
      end)
    end
  end
end)
