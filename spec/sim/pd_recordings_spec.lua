-- The simulated PD answers the requests of recorded scenarios as the real PD did: status, content
-- type, layout, names and types of fields, messages, and the states of stores, members, evictions.
local replay = require "support.pd_replay"
local scenarios = require "support.pd_scenarios"

-- How many answers a scenario holds: nothing may fall out unseen.
local ANSWERS = { s1_fresh_not_bootstrapped = 113, s2_bootstrapped = 173, s3_leader_eviction = 139,
  s3b_eviction_speed = 40, s3c_eviction_in_the_start_window = 30, s4_store_offline = 117, s4b_store_force = 115,
  s4c_drain_and_pd_leader_change = 48, s4d_drain_and_pd_crash = 10, s5_heartbeats_stop = 78, s6_members = 235,
  s6b_failover_timeline = 5, s6c_new_leader_without_heartbeats = 80, s7_config = 124, s8_large_ids = 25,
  s9_pd_defects = 24, s9b_buried_with_peers = 16, s9c_wedge_three_members = 19 }

-- The rules of PD's behaviour that a scenario shows.
local RULES = { s1_fresh_not_bootstrapped = "S2, S3, S19, S25", s2_bootstrapped = "S2, S9, S16, S18, S25",
  s3_leader_eviction = "S14, S23", s3b_eviction_speed = "S14", s3c_eviction_in_the_start_window = "S8, S23",
  s4_store_offline = "S9, S11, S12, S13", s4b_store_force = "S9, S11, S13", s4c_drain_and_pd_leader_change = "S12",
  s4d_drain_and_pd_crash = "S12", s5_heartbeats_stop = "S10, S16", s6_members = "S1, S4, S5, S6, S7",
  s6b_failover_timeline = "S5", s6c_new_leader_without_heartbeats = "S8", s7_config = "S9, S17",
  s8_large_ids = "S2", s9_pd_defects = "S24", s9b_buried_with_peers = "S12", s9c_wedge_three_members = "S7, S24" }

describe("the simulated PD, asked what a recorded PD was asked,", function()
  local before
  before_each(function() before = rawget(_G, "sim") end)
  after_each(function() rawset(_G, "sim", before) end)

  for _, name in ipairs(scenarios.order) do
    it(("answers alike in %s (%s)"):format(name, RULES[name]), function()
      local compared, wrong = replay.replay(name, scenarios[name])
      assert.are.equal("", table.concat(wrong, "\n"))
      assert.are.equal(ANSWERS[name], compared)
    end)
  end
end)
