--- pd_scenarios: what happened in the recorded scenarios outside of HTTP, step by step.
-- A hook runs just before its step. `loose` leaves differences of one step out (a pattern, or all of
-- the body), where the recording caught a moment that the model passes in another order. `real` is what
-- differs when a real PD is asked: steps whose moment is its own are left out, and what only a model can do.
local M = {}

local FOUR = { 1, 4, 5, 6 }

local function steps(...)
  local out = {}
  for _, n in ipairs { ... } do out[n] = true end
  return out
end

local function one(w)
  w:start "pd1"
  w:until_leader()
  w.skew = 0
end

local function three(leader)
  return function(w)
    w.c.prefer = leader
    for i = 1, 3 do w:start("pd" .. i) end
    w:until_leader()
    w.skew = 0
  end
end

local function boot(ids, n) return function(w) w:boot(ids, n) end end

local function prefer(name) return function(w) w.c.prefer = name end end

local function obey(on) return function(w) w.c:set_obey(on) end end

local function quiet(w) w:quiet(true) end

local function loud(w) w:quiet(false) end

local function killed(name, heir)
  return function(w)
    w.c.prefer = heir
    w:kill(name)
    w:until_leader()
  end
end

local function restart(w)
  local names = {}
  for name in pairs(w.by_name) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do w:kill(name) end
  for _, name in ipairs(names) do w:start(name) end
  w:until_leader()
end

local function put(id, more)
  return function(w, e)
    more = more or {}
    return w:store(e.store_id or id, { n = more.n, address = more.address, peer_address = more.peer_address,
      silent = more.silent, version = more.version, labels = more.labels })
  end
end

local function beat(id)
  return function(w) return w.c:heartbeat(id) end
end

-- 1 -----------------------------------------------------------------------------------------------

M.s1_fresh_not_bootstrapped = {
  real = { stop = 114, skip = steps(53) }, -- a path that 8.5 still has; a build without a version
  hooks = {
    [2] = function(w) w:start "pd1" end,
    [3] = function(w) w:until_leader() end,
    [111] = function(w) w:kill("pd1", true) end,
    [112] = one,
    [114] = function(w) w.by_name.pd1.version = "None" end,
  },
}

-- 2 -----------------------------------------------------------------------------------------------

--- One region each: a pending peer, a down one, a missing one, an extra one, a learner, an empty one.
local function damage(w)
  local c, r = w.c, w.c.regions
  c.config.schedule["halt-scheduling"] = "true"
  r[4].pending = { [1] = true }
  r[2].down = { [r[2].peers[2]] = 700 }
  c:unplace(r[3], r[3].peers[3])
  for _, id in ipairs { 1, 7, 8, 9 } do
    if not c:has(r[4].peers, id) then c:place(r[4], id) end
    if not c:has(r[5].peers, id) and not r[5].learners then c:add_learner(r[5], id) end
  end
  r[6].size = 1
end

local function repaired(w)
  local r = w.c.regions
  r[4].pending, r[2].down = nil, nil
  w.c.config.schedule["halt-scheduling"] = nil
  w.c:wake(1)
end

M.s2_bootstrapped = {
  real = { stop = 152, skip = steps(16, 118) },
  first = one,
  hooks = {
    [2] = put(1, { silent = true }),
    [9] = put(7777, { n = 1, silent = true }),
    [10] = put(0, { n = 7, silent = true }),
    [11] = put(7, { n = 2, silent = true }), [12] = put(8, { n = 3, silent = true }),
    [13] = put(9, { n = 4, silent = true }),
    [14] = function(w)
      w.c.next_id = 1000
      w:regions(22, { 1, 7, 8, 9 })
      w.c.regions[1].id, w.c.region_by_id[2] = 2, w.c.regions[1]
      w:beat_all()
    end,
    [152] = damage,
    [170] = repaired,
  },
  loose = { [170] = true, [172] = true }, -- the moment of a joint change
}

-- 3 -----------------------------------------------------------------------------------------------

M.s3_leader_eviction = {
  real = { skip = steps(8, 91) },
  members = 3, first = three "pd3",
  hooks = {
    [5] = boot(FOUR, 22),
    [76] = prefer "pd2",
    [83] = killed("pd2", "pd1"),
    [89] = function(w) w:start "pd2" end,
    [90] = function(w)
      for _, name in ipairs { "pd1", "pd2", "pd3" } do w:kill(name, true) end
      quiet(w)
      w.c.prefer = "pd3"
      for _, name in ipairs { "pd1", "pd2", "pd3" } do w:start(name) end
      w:until_leader()
    end,
    [93] = loud,
    [124] = function(w) w.c:set_stopping(w.c.stores[5], true) end,
    [130] = function(w) w.c:set_stopping(w.c.stores[5], false) end,
    [141] = prefer "pd2",
  },
  loose = { [88] = "facts" }, -- how old the heartbeat on disk was is not told
}

M.s3b_eviction_speed = {
  first = one,
  hooks = { [1] = boot(FOUR, 402), [35] = obey(false), [39] = obey(true) },
  -- Orders to move leaders are not kept: a leader moves or it does not.
  loose = { [36] = "%[%]", [37] = true },
}

local function restarted_silent(w)
  quiet(w)
  restart(w)
end

M.s3c_eviction_in_the_start_window = {
  real = { skip = steps(7) },
  first = one,
  hooks = {
    [1] = boot(FOUR, 22),
    [7] = function(w)
      restarted_silent(w)
      w.c:run_coordinator() -- PD knew hardly any region, and that was enough
    end,
    [8] = loud, [9] = restarted_silent, [12] = loud, [20] = restarted_silent, [23] = loud,
    [29] = function(w)
      restarted_silent(w)
      loud(w)
    end,
  },
  loose = { [27] = "node_state", [28] = "node_state" }, -- the 10-s tick falls between the kills there
}

-- 4 -----------------------------------------------------------------------------------------------

local function late(w) w:pass(1100) end

M.s4_store_offline = {
  real = { skip = steps(94, 95, 129, 130, 133) },
  first = one,
  hooks = {
    [1] = boot(FOUR, 22),
    [22] = obey(false),
    [35] = put(97, { n = 4, silent = true }), [36] = put(98, { n = 1, silent = true }),
    [37] = put(99, { n = "new", peer_address = "tikv-1:20160", silent = true }), [38] = put(6, { n = 4 }),
    [55] = obey(true),
    [89] = beat(6), [90] = put(6, { n = 4, silent = true }), [91] = put(114, { n = 4 }),
    [93] = function(w) w.c:add_learner(w.c.region_by_id[10], 6) end,
    [103] = put(6, { n = 4, silent = true }),
    [104] = put(6, { n = 4, address = "tikv-4old:20160", silent = true }),
    [119] = put(118, { n = 1 }), [120] = put(1, { n = 1, silent = true }), [121] = put(120, { n = 7 }),
    [127] = function(w) w.processes[4].no_store = true end,
    [128] = late,
  },
}

M.s4b_store_force = {
  real = { stop = 123, skip = steps(92, 93, 105) },
  first = one,
  hooks = {
    [1] = boot(FOUR, 22),
    [22] = obey(false),
    [36] = put(97, { n = 4, silent = true }), [37] = put(98, { n = 1, silent = true }),
    [38] = put(99, { n = "new", peer_address = "tikv-1:20160", silent = true }),
    [39] = put(6, { n = 4, silent = true }),
    [54] = obey(true),
    [87] = beat(6), [88] = put(6, { n = 4, silent = true }), [89] = put(114, { n = 4, silent = true }),
    [91] = function(w) w.c:add_learner(w.c.region_by_id[10], 6) end,
    [101] = put(6, { n = 4, silent = true }), [102] = put(6, { n = 4, address = "tikv-4old:20160", silent = true }),
    [117] = put(116, { n = 1 }), [118] = put(1, { n = 1, silent = true }), [119] = put(118, { n = 7 }),
    [123] = function(w) -- balance had given it a peer, which then found no target
      w.c.obey = false
      w.c:place(w.c.regions[1], 118)
    end,
    [125] = function(w) w.processes[4].no_store = true end,
    [126] = late,
  },
}

M.s4c_drain_and_pd_leader_change = {
  members = 3, first = three "pd1",
  hooks = {
    [1] = boot(FOUR, 22), [5] = prefer "pd3", [14] = killed("pd3", "pd2"),
    [22] = loud, [27] = put(2001, { n = 5 }),
  },
}

M.s4d_drain_and_pd_crash = {
  members = 3, first = three "pd1",
  hooks = { [1] = boot(FOUR, 22), [7] = killed("pd1", "pd2"), [8] = loud },
}

-- 5 -----------------------------------------------------------------------------------------------

M.s5_heartbeats_stop = {
  peer_down_ms = 40000, first = one,
  hooks = {
    [1] = boot({ 1, 4, 5, 6, 7 }, 22),
    [30] = function(w) w:die(7) end,
    [57] = put(7, { n = 5, silent = true }),
    [59] = function(w) w:beat(w.processes[7]) end,
    [65] = function(w) w.processes[1].no_store = true end,
    [72] = function(w)
      w.processes[1].no_store = nil
      w.c:heartbeat(1)
    end,
    [73] = function(w) w.processes[4].no_regions = true end,
    [75] = function(w)
      w:die(6)
      quiet(w)
      restart(w)
      w.processes[4].no_regions = nil
    end,
    [77] = loud,
    [85] = put(6, { n = 4, silent = true }),
    [86] = function(w) w:beat(w.processes[6]) end,
    [87] = function(w) w.c.stores[6].busy = true end,
  },
  -- With 500 ms all stores flap; in which phase is chance.
  loose = { [53] = "regions", [18] = true, [19] = true, [20] = true, [21] = true, [22] = true, [23] = true },
}

-- 6 -----------------------------------------------------------------------------------------------

local function joins(name, id) return function(w) w:joins(name, id) end end

local function joined(name, id) return function(w) w:joined(name, id) end end

M.s6_members = {
  real = { stop = 145, skip = steps(78, 79, 108) },
  members = 3,
  hooks = {
    [1] = function(w)
      w.by_name.pd1.id, w.by_name.pd2.id = "16312529030520689162", "13776417805057336062"
      w.by_name.pd3.id = "13161508183636988785"
      w:start "pd1"
    end,
    [5] = function(w)
      w.c.prefer = "pd1"
      w:start "pd2"
      w:until_leader()
    end,
    [9] = function(w) w:start "pd3" end,
    [10] = boot({ 1, 4, 5 }, 7),
    [69] = prefer "pd2",
    [87] = function(w) w.c:hang(w.by_name.pd3, true) end,
    [90] = function(w) w.c:hang(w.by_name.pd3, false) end,
    [91] = function(w) w:kill "pd3" end,
    [102] = function(w)
      w.by_name.pd3.restarted = true
      w:start "pd3"
    end,
    [106] = function(w) w:kill "pd3" end,
    [108] = joins("pd3", "10992350509855755130"), [109] = joined "pd3",
    [145] = function(w) w:kill("pd3", true) end,
    [147] = joins("pd3", "17550010611955531111"),
    [156] = joined("pd3", "48424172361608653"),
    [158] = function(w)
      w.c.prefer = "pd3"
      w:kill "pd1"
    end,
    [161] = function(w) w:until_leader() end,
    [168] = loud,
    [171] = function(w) w:start "pd1" end,
    [172] = function(w)
      w.c.prefer = "pd2"
      w:kill "pd3"
    end,
    [175] = function(w) w:until_leader() end,
    [184] = function(w) w:start "pd3" end,
    [185] = function(w)
      w.c.prefer = "pd1"
      w:kill("pd2", true)
      w:until_leader()
      w:start "pd2"
    end,
    [186] = prefer "pd3",
    [187] = function(w) w:until_leader() end,
    [193] = joined("pd1", "17446760913593360812"),
    [194] = function(w)
      w:kill "pd1"
      w:kill "pd2"
    end,
    [241] = function(w)
      w.c.prefer = "pd3"
      w:start "pd2"
      w:until_leader()
      w:start "pd1"
    end,
    [252] = joins("pd1", "1"),
  },
  loose = { [245] = true }, -- the list still shows the member that was just removed
}

M.s6b_failover_timeline = {
  members = 3, first = three "pd3",
  hooks = { [1] = boot({ 1, 4, 5 }, 7) },
}

local function heard_by(ids)
  return function(w)
    for _, id in ipairs(ids) do w.c:heartbeat(id) end
  end
end

M.s6c_new_leader_without_heartbeats = {
  members = 3, first = three "pd3",
  hooks = {
    [1] = boot(FOUR, 22),
    [3] = function(w)
      w:sicken(12)
      w.c:set_obey(false)
    end,
    [14] = function(w)
      quiet(w)
      w.c.prefer = "pd2"
    end,
    [27] = killed("pd2", "pd1"),
    [38] = function(w)
      w.c.prefer = "pd1"
      restart(w)
    end,
    [61] = heard_by { 4, 5, 6 },
    [62] = function(w)
      w:hush("stores", false)
      w.c:heartbeat(1)
    end,
    [66] = loud,
  },
}

-- 7, 8, 9 -----------------------------------------------------------------------------------------

M.s7_config = {
  first = one,
  hooks = {
    [1] = boot(FOUR, 6),
    [69] = put(42, { n = "old", version = "8.1.0", silent = true }),
    [70] = put(42, { n = "old", version = "nonsense", silent = true }),
    [71] = function(w)
      for i, id in ipairs(FOUR) do w:store(id, { n = i, version = "8.5.9" }) end
    end,
    [77] = put(43, { n = "bare", labels = false, version = "8.5.9", silent = true }),
    [125] = restart,
  },
  loose = { [63] = "regions", [127] = true }, -- PD judges a region again with its next heartbeat only
}

M.s8_large_ids = {
  first = function(w)
    w.by_name.pd1.id = "12235704933556480376"
    one(w)
  end,
  hooks = {
    [1] = boot({ 1, 4, 5 }, 3),
    [2] = put("9007199254740993", { n = 5 }), [3] = put("18446744073709551614", { n = 6 }),
  },
}

M.s9_pd_defects = { first = one, hooks = { [1] = boot(FOUR, 10), [26] = put(50, { n = 9 }) } }

M.s9b_buried_with_peers = {
  members = 3, first = three "pd1",
  hooks = {
    [1] = boot(FOUR, 22), [3] = obey(false),
    [5] = function(w)
      w:hush("regions", true)
      w.c.prefer = "pd3"
    end,
    [11] = function(w)
      loud(w)
      w.c:set_obey(true)
    end,
  },
  loose = { [15] = "%[%]" }, -- orders that nobody can carry out
}

M.s9c_wedge_three_members = {
  real = { skip = steps(5) }, -- a leader that came later gives other ids
  members = 3, first = three "pd3",
  hooks = { [1] = boot(FOUR, 10), [22] = function(w) w:kill "pd3" end },
}

M.order = { "s1_fresh_not_bootstrapped", "s2_bootstrapped", "s3_leader_eviction", "s3b_eviction_speed",
  "s3c_eviction_in_the_start_window", "s4_store_offline", "s4b_store_force", "s4c_drain_and_pd_leader_change",
  "s4d_drain_and_pd_crash", "s5_heartbeats_stop", "s6_members", "s6b_failover_timeline",
  "s6c_new_leader_without_heartbeats", "s7_config", "s8_large_ids", "s9_pd_defects", "s9b_buried_with_peers",
  "s9c_wedge_three_members" }

return M
