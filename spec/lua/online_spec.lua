require("support.caged").open()
local caged = require "support.caged"
local mini = require "support.mini"
local settings = require "lib.settings"
local things = require "support.manifests"

local HOT = { config = "HotReload" }

describe("Settings", function()
  it("mean the same in the words of the user and of the process (E-92)", function()
    for _, pair in ipairs { { "300s", "5m" }, { "30m", "30m0s" }, { "1d", "24h0m0s" }, { "64MB", "64MiB" }, { 8, "8" },
      { "1GiB", "1024MiB" }, { true, "true" }, { 0.8, 0.8 }, { { "zone", "host" }, "zone,host" }, { {}, "" } } do
      assert.is_true(settings.same(pair[1], pair[2]), tostring(pair[1]) .. " and " .. tostring(pair[2]))
    end
    for _, pair in ipairs { { "300s", "6m" }, { "64MB", "65MiB" }, { 8, 9 }, { true, "false" }, { "a", nil },
      { { "zone" }, "zone,host" }, { "8", {} } } do
      assert.is_false(settings.same(pair[1], pair[2]), tostring(pair[1]) .. " and " .. tostring(pair[2]))
    end
  end)

  it("have dotted names; what has no plain name stays out", function()
    assert.same({ ["a.b"] = 1, ["a.c"] = "x", d = { "e" } },
      settings.of 'd = ["e"]\n[a]\nb = 1\nc = "x"\n[server.labels]\n"x.y" = "z"\n')
    assert.is_nil(settings.of "a = = 1")
  end)
end)

describe("A changed config under HotReload", function()
  local m

  local function group(kind) return m:get(kind, kind == "TiKV" and "basic-0" or "basic") end

  local function config(kind, text)
    local o = mini.copy(group(kind))
    o.spec.template.spec.config = text
    o.metadata.uid = nil
    m:put(o)
    m.writes = {}
    m:settle()
  end

  local function sent(action)
    local out = {}
    for _, line in ipairs(m.writes) do
      if line:find("^" .. action) then out[#out + 1] = line end
    end
    return #out
  end

  local function condition(o)
    for _, c in ipairs(o.status.conditions) do
      if c.type == "ConfigApplied" then return c.status .. " " .. c.reason, c.message end
    end
  end

  before_each(function()
    caged.answer(nil)
    m = mini.new()
    things.basic(m, 3, 3)
    for _, kind in ipairs { "PDGroup", "TiKVGroup" } do
      m:get(kind, "basic").spec.template.spec.updateStrategy = HOT
    end
    m:get("TiKVGroup", "basic").spec.template.spec.config = '[raftstore]\nraft-log-gc-threshold = 50\n'
    m:get("PDGroup", "basic").spec.template.spec.config = '[schedule]\nleader-schedule-limit = 4\n'
    m:settle()
  end)

  it("reaches every process of TiKV, restarts none, and is in the file of the next start (W-24, P-28, U-63, U-64)", function()
    local before = {}
    for _, pod in ipairs(m:list "Pod") do before[pod.metadata.name] = pod.metadata.uid end
    config("TiKVGroup", '[raftstore]\nraft-log-gc-threshold = 60\n')
    assert.equal(3, sent "tikv_config")
    for n = 0, 2 do
      assert.equal(60, m.live["basic-" .. n].values["raftstore.raft-log-gc-threshold"])
      assert.truthy(m:get("ConfigMap", "basic-tikv-" .. n).data["config.toml"]:find("threshold = 60", 1, true))
      assert.equal("True Applied", (condition(m:get("TiKV", "basic-" .. n))))
    end
    for _, pod in ipairs(m:list "Pod") do assert.equal(before[pod.metadata.name], pod.metadata.uid) end
    m.writes = {}
    m:settle()
    assert.same({}, m.writes)
  end)

  it("is tried on one instance; what is refused there reaches no other, and the corrected text heals it", function()
    m.refuses["raftstore.raft-log-gc-threshold"] = 'failed to update, error: Other("out of range")'
    config("TiKVGroup", '[raftstore]\nraft-log-gc-threshold = 0\n')
    assert.equal(1, sent "tikv_config")
    local with = 0
    for n = 0, 2 do
      if m:get("ConfigMap", "basic-tikv-" .. n).data["config.toml"]:find("threshold = 0", 1, true) then with = with + 1 end
    end
    assert.equal(1, with)
    local status = group "TiKVGroup".status
    assert.equal("ConfigRefused", status.reason)
    assert.truthy(status.message:find("raftstore.raft-log-gc-threshold = 0: failed to update", 1, true), status.message)
    m.refuses = {}
    config("TiKVGroup", '[raftstore]\nraft-log-gc-threshold = 70\n')
    for n = 0, 2 do assert.equal(70, m.live["basic-" .. n].values["raftstore.raft-log-gc-threshold"]) end
    assert.equal("", group "TiKVGroup".status.reason)
  end)

  it("tells what needs a restart, by name, until the restart (U-61)", function()
    m.refuses["server.grpc-concurrency"] = 'failed to update, error: Other("config server.grpc-concurrency can not be changed")'
    config("TiKVGroup", '[raftstore]\nraft-log-gc-threshold = 50\n[server]\ngrpc-concurrency = 8\n')
    local status = group "TiKV".status
    assert.equal("ConfigNeedsRestart", status.reason)
    assert.truthy(status.message:find("server.grpc-concurrency", 1, true))
    assert.equal("False ConfigNeedsRestart", (condition(group "TiKV")))
    assert.equal("Serving", status.phase)
    assert.equal("ConfigNeedsRestart", group "TiKVGroup".status.reason)
    m:delete("Pod", "basic-tikv-0")
    m:settle()
    assert.equal("True Applied", (condition(group "TiKV")))
  end)

  it("that names less leaves the process with what it has, until a restart: told", function()
    config("TiKVGroup", '[coprocessor]\nregion-split-keys = 1\n')
    local status = group "TiKV".status
    assert.equal("ConfigNeedsRestart", status.reason)
    assert.truthy(status.message:find("raftstore.raft-log-gc-threshold", 1, true), status.message)
  end)

  it("is not fought over: a value that somebody moves is told and left alone", function()
    m.live["basic-1"].values["raftstore.raft-log-gc-threshold"] = 99
    m.settings["schedule.leader-schedule-limit"] = 64
    m.writes = {}
    m:settle()
    assert.equal(0, sent "tikv_config" + sent "pd_config")
    assert.equal("ConfigDrift", m:get("TiKV", "basic-1").status.reason)
    assert.truthy(m:get("TiKV", "basic-1").status.message:find("is 99, spec.config says 50", 1, true))
    assert.equal("ConfigDrift", group "PDGroup".status.reason)
    assert.equal("False ConfigDrift", (condition(group "PDGroup")))
    -- a person says: once more
    m:get("PDGroup", "basic").metadata.annotations["core.tikv.org/online-config"] = "{}"
    m:settle()
    assert.equal(1, sent "pd_config")
    assert.equal(4, m.settings["schedule.leader-schedule-limit"])
  end)

  it("is sent in the very edit that asks for HotReload (U-62)", function()
    m = mini.new()
    things.basic(m, 3, 3)
    m:settle()
    local o = mini.copy(group "PDGroup")
    o.spec.template.spec.config, o.spec.template.spec.updateStrategy = "[schedule]\nleader-schedule-limit = 8\n", HOT
    o.metadata.uid = nil
    m:put(o)
    m:settle()
    assert.equal(8, m.settings["schedule.leader-schedule-limit"])
  end)

  it("of PD goes to PD once, for all members (U-60)", function()
    config("PDGroup", '[schedule]\nleader-schedule-limit = 8\nenable-debug-metrics = true\n')
    assert.equal(2, sent "pd_config")
    assert.equal(8, m.settings["schedule.leader-schedule-limit"])
    assert.equal("true", m.settings["schedule.enable-debug-metrics"])
    assert.equal("True Applied", (condition(group "PDGroup")))
  end)

  it("of PD is told with PD's words when it says no, and the rest is in force", function()
    m.refuses["schedule.low-space-ratio"] = "PD POST /pd/api/v1/config: 400: low-space-ratio should between 0 and 1"
    config("PDGroup", '[schedule]\nleader-schedule-limit = 8\nlow-space-ratio = 7.0\n')
    local status = group "PDGroup".status
    assert.equal("ConfigRefused", status.reason)
    assert.truthy(status.message:find("between 0 and 1", 1, true))
    assert.equal(8, m.settings["schedule.leader-schedule-limit"])
  end)

  it("is sent again to a process that began with an older file", function()
    config("TiKVGroup", '[raftstore]\nraft-log-gc-threshold = 60\n')
    m.live["basic-2"] = { known = true, since = "another", tried = {},
      values = { ["raftstore.raft-log-gc-threshold"] = 50 } }
    m:settle()
    assert.equal(60, m.live["basic-2"].values["raftstore.raft-log-gc-threshold"])
  end)
end)

describe("A changed config of PD under Restart", function()
  it("is not sent by an operator that sees it for the first time: people may have changed PD by hand", function()
    local m = mini.new()
    things.basic(m, 3, 3)
    m:get("PDGroup", "basic").spec.template.spec.config = "[schedule]\nleader-schedule-limit = 4\n"
    m:settle()
    m:get("PDGroup", "basic").metadata.annotations["core.tikv.org/online-config"] = nil
    m.settings["schedule.leader-schedule-limit"] = 64
    m:settle()
    assert.equal(64, m.settings["schedule.leader-schedule-limit"])
    assert.equal("ConfigDrift", m:get("PDGroup", "basic").status.reason)
  end)

  it("still goes through PD's API: PD reads its own store, not the file (U-60)", function()
    local m = mini.new()
    things.basic(m, 3, 3)
    m:get("PDGroup", "basic").spec.template.spec.config = 'lease = 3\n[replication]\nlocation-labels = ["zone"]\n'
    m:settle()
    local o = mini.copy(m:get("PDGroup", "basic"))
    o.spec.template.spec.config = 'lease = 5\n[replication]\nlocation-labels = ["zone", "host"]\n'
    o.metadata.uid = nil
    m:put(o)
    m:settle()
    assert.equal("zone,host", m.settings["replication.location-labels"])
    assert.equal(3, m.settings.lease)
  end)
end)
