require("support.caged").open()
local caged = require "support.caged"
local mini = require "support.mini"
local things = require "support.manifests"

local function set(m, kind, name, change)
  local o = mini.copy(m:get(kind, name))
  change(o.spec, o)
  o.metadata.uid = nil
  m:put(o)
end

local function annotate(m, kind, name, key, value)
  local o = m:get(kind, name)
  o.metadata.annotations = o.metadata.annotations or {}
  o.metadata.annotations["core.tikv.org/" .. key] = value
  m:touch(o)
end

local function template(m, kind, change)
  set(m, kind, "basic", function(s)
    s.template = mini.copy(s.template)
    change(s.template)
  end)
end

local function config(text)
  return function(t) t.spec.config = text end
end

local function pods(m, component)
  local out = {}
  for _, pod in ipairs(m:list "Pod") do
    if pod.metadata.name:find("-" .. component .. "-", 1, true) then out[pod.metadata.name] = pod.metadata.uid end
  end
  return out
end

local function changed(before, after)
  local out = {}
  for name, uid in pairs(after) do
    if before[name] ~= uid then out[#out + 1] = name end
  end
  table.sort(out)
  return table.concat(out, " ")
end

---Time goes on until nothing moves any more.
local function days(m, rounds, step)
  for _ = 1, rounds or 12 do
    m:settle()
    m.now = m.now + (step or 15)
  end
  m:settle()
end

local function status(m, kind, name) return m:get(kind, name or "basic").status end

describe("A rolling change, in the toy world,", function()
  local m

  before_each(function()
    caged.answer(nil)
    m = mini.new()
  end)

  local function up(pd, tikv, cluster)
    things.basic(m, pd, tikv, cluster)
    days(m, 2)
    for _, s in ipairs(m.stores) do s.regions, s.leaders = 30, 7 end
    m:settle()
    m.writes = {}
  end

  -- Never more than one pod of a component is away; every store that stops has no leaders.
  local function watch()
    local seen = { most = 0, order = {}, leaders = 0 }
    local act = m.act
    m.act = function(self, subject, a)
      if a.action == "delete" and a.kind == "Pod" then
        seen.order[#seen.order + 1] = a.name
        for _, s in ipairs(self.stores) do
          if s.address:find(a.name, 1, true) then seen.leaders = math.max(seen.leaders, s.leaders) end
        end
      end
      return act(self, subject, a)
    end
    m.after_round = function(self)
      for _, kind in ipairs { "PD", "TiKV" } do
        local away = 0
        for _, o in ipairs(self:list(kind)) do
          local pod = self:get("Pod", (o.metadata.name:gsub("%-(%d+)$", "-" .. kind:lower() .. "-%1")))
          if not (pod and pod.status) then away = away + 1 end
        end
        seen.most = math.max(seen.most, away)
      end
    end
    return seen
  end

  -- P-29, E-42, U-42
  it("restarts the stores one after the other, without their leaders, and gives them back (E-29, W-13)", function()
    up(1, 3)
    local before, seen = pods(m, "tikv"), watch()
    template(m, "TiKVGroup", config "a = 2")
    days(m)
    assert.equal("basic-tikv-0 basic-tikv-1 basic-tikv-2", changed(before, pods(m, "tikv")))
    assert.same({ "basic-tikv-2", "basic-tikv-1", "basic-tikv-0" }, seen.order)
    assert.equal(1, seen.most)
    assert.equal(0, seen.leaders)
    for _, s in ipairs(m.stores) do assert.is_nil(s.evicting) end
    for _, o in ipairs(m:list "TiKV") do
      assert.is_nil(o.metadata.annotations["core.tikv.org/evicting"])
      assert.equal("Serving", o.status.phase)
      assert.equal("", o.status.reason)
    end
    assert.truthy(m:get("ConfigMap", "basic-tikv-0").data["config.toml"]:find("a = 2", 1, true))
    local s = status(m, "TiKVGroup")
    assert.equal("Ready", s.phase)
    assert.equal(s.updateRevision, s.currentRevision)
    assert.equal(3, s.updatedReplicas)
  end)

  -- P-02
  it("restarts the leader of PD last, after it has moved (W-43)", function()
    up(3, 1)
    m.leader = "basic-pd-2"
    local before, seen = pods(m, "pd"), watch()
    template(m, "PDGroup", config "a = 2")
    days(m)
    assert.equal("basic-pd-0 basic-pd-1 basic-pd-2", changed(before, pods(m, "pd")))
    assert.same({ "basic-pd-1", "basic-pd-0", "basic-pd-2" }, seen.order)
    assert.equal(1, seen.most)
    assert.is_true(m:leads() ~= "basic-pd-2")
    assert.equal("Ready", status(m, "PDGroup").phase)
  end)

  it("restarts no member while another one is not healthy", function()
    up(3, 1)
    m.members[1].healthy = false
    m.outside = function() return false end
    local before = pods(m, "pd")
    template(m, "PDGroup", config "a = 2")
    days(m, 3)
    assert.equal("basic-pd-0", changed(before, pods(m, "pd"))) -- the sick one itself, nobody else
  end)

  it("restarts a single member and a single store without waiting for ever (W-13)", function()
    up(1, 1)
    local before, kv = pods(m, "pd"), pods(m, "tikv")
    template(m, "PDGroup", config "a = 2")
    template(m, "TiKVGroup", config "a = 2")
    days(m, 3)
    assert.equal("basic-pd-0", changed(before, pods(m, "pd")))
    assert.equal("basic-tikv-0", changed(kv, pods(m, "tikv")))
  end)

  -- E-58
  it("stops after one pod when the template is broken, and heals at once when it is corrected (W-12)", function()
    up(1, 3)
    m.broken = function(pod)
      local map = m:get("ConfigMap", pod.metadata.name)
      return map ~= nil and map.data["config.toml"]:find("bad", 1, true) ~= nil
    end
    local before = pods(m, "tikv")
    template(m, "TiKVGroup", config 'bad = true')
    days(m, 5)
    assert.equal("basic-tikv-2", changed(before, pods(m, "tikv")))
    assert.truthy(status(m, "TiKVGroup").message:find("CrashLoopBackOff", 1, true), status(m, "TiKVGroup").message)
    assert.equal("Updating", status(m, "TiKVGroup").phase)
    m.now = m.now + 3700
    days(m, 2)
    local progressing
    for _, c in ipairs(status(m, "TiKVGroup").conditions) do if c.type == "Progressing" then progressing = c end end
    assert.equal("False", progressing.status)
    assert.equal("DeadlineExceeded", progressing.reason)
    local broken = m:get("Pod", "basic-tikv-2").metadata.uid
    template(m, "TiKVGroup", config 'good = true')
    m:settle()
    assert.is_true(broken ~= m:get("Pod", "basic-tikv-2").metadata.uid)
    days(m)
    assert.equal("basic-tikv-0 basic-tikv-1 basic-tikv-2", changed(before, pods(m, "tikv")))
    assert.equal("Ready", status(m, "TiKVGroup").phase)
  end)

  it("rolls back without touching pods that have the old revision already", function()
    up(1, 3)
    m.broken = function(pod)
      local map = m:get("ConfigMap", pod.metadata.name)
      return map ~= nil and map.data["config.toml"]:find("bad", 1, true) ~= nil
    end
    local before = pods(m, "tikv")
    template(m, "TiKVGroup", config 'bad = true')
    days(m, 3)
    template(m, "TiKVGroup", config(nil))
    days(m, 3)
    assert.equal("basic-tikv-2", changed(before, pods(m, "tikv")))
    assert.equal("Ready", status(m, "TiKVGroup").phase)
    for _, o in ipairs(m:list "TiKV") do assert.is_nil(o.metadata.annotations["core.tikv.org/evicting"]) end
  end)

  -- E-43
  it("gives the leaders back when the change is taken back before the pod was stopped", function()
    up(1, 3)
    m.stubborn = true
    local before = pods(m, "tikv")
    template(m, "TiKVGroup", config "a = 2")
    days(m, 2)
    assert.is_true(m.stores[3].evicting)
    assert.equal("EvictingLeaders", status(m, "TiKV", "basic-2").reason)
    assert.equal(7, status(m, "TiKV", "basic-2").progress.leadersLeft)
    template(m, "TiKVGroup", config(nil))
    days(m, 2)
    assert.equal("", changed(before, pods(m, "tikv")))
    assert.is_nil(m.stores[3].evicting)
  end)

  it("goes on without the leaders that do not leave for five minutes", function()
    up(1, 3)
    m.stubborn = true
    local before = pods(m, "tikv")
    template(m, "TiKVGroup", config "a = 2")
    days(m, 3, 60)
    assert.equal("", changed(before, pods(m, "tikv")))
    days(m, 3, 60)
    assert.equal("basic-tikv-2", changed(before, pods(m, "tikv")))
  end)

  it("leaves an eviction of a person alone (W-23)", function()
    up(1, 3)
    m.stores[3].evicting = true
    template(m, "TiKVGroup", config "a = 2")
    days(m)
    assert.equal("Ready", status(m, "TiKVGroup").phase)
    assert.is_true(m.stores[3].evicting)
    assert.is_nil(m.stores[1].evicting)
  end)

  it("updates from the top down to the partition, and says so", function()
    up(1, 3)
    local before = pods(m, "tikv")
    set(m, "TiKVGroup", "basic", function(s) s.updateStrategy = { rollingUpdate = { partition = 2 } } end)
    template(m, "TiKVGroup", config "a = 2")
    days(m)
    assert.equal("basic-tikv-2", changed(before, pods(m, "tikv")))
    assert.equal("Partitioned", status(m, "TiKVGroup").reason)
    set(m, "TiKVGroup", "basic", function(s) s.updateStrategy = { rollingUpdate = { partition = 0 } } end)
    days(m)
    assert.equal("Ready", status(m, "TiKVGroup").phase)
  end)

  it("waits for people with OnDelete, and rolls in order when that ends", function()
    up(1, 3)
    local before = pods(m, "tikv")
    set(m, "TiKVGroup", "basic", function(s) s.updateStrategy = { type = "OnDelete" } end)
    template(m, "TiKVGroup", config "a = 2")
    days(m, 3)
    assert.equal("", changed(before, pods(m, "tikv")))
    assert.equal("OnDelete", status(m, "TiKVGroup").reason)
    m:delete("Pod", "basic-tikv-1")
    days(m, 3)
    assert.equal("basic-tikv-1", changed(before, pods(m, "tikv")))
    assert.truthy(m:get("ConfigMap", "basic-tikv-1").data["config.toml"]:find("a = 2", 1, true))
    assert.is_nil(m:get("ConfigMap", "basic-tikv-0").data["config.toml"]:find("a = 2", 1, true))
    local seen = watch()
    set(m, "TiKVGroup", "basic", function(s) s.updateStrategy = { type = "RollingUpdate" } end)
    days(m)
    assert.same({ "basic-tikv-2", "basic-tikv-0" }, seen.order)
    assert.equal(1, seen.most)
    assert.equal("Ready", status(m, "TiKVGroup").phase)
  end)

  it("is paused and resumed by an annotation of the group", function()
    up(1, 3)
    local before = pods(m, "tikv")
    annotate(m, "TiKVGroup", "basic", "rollout-paused", "2026-01-01T00:00:00Z")
    template(m, "TiKVGroup", config "a = 2")
    days(m, 3)
    assert.equal("", changed(before, pods(m, "tikv")))
    assert.equal("UpdatePaused", status(m, "TiKVGroup").reason)
    annotate(m, "TiKVGroup", "basic", "rollout-paused", nil)
    days(m)
    assert.equal("Ready", status(m, "TiKVGroup").phase)
  end)

  -- U-52, U-57
  it("restarts one instance by annotation, once, through the gates", function()
    up(1, 3)
    local before, seen = pods(m, "tikv"), watch()
    annotate(m, "TiKV", "basic-1", "restart", time.format(m.now + 2))
    m.now = m.now + 5
    days(m, 4)
    assert.equal("basic-tikv-1", changed(before, pods(m, "tikv")))
    assert.equal(0, seen.leaders)
    assert.equal(1, #seen.order)
    assert.equal("Serving", status(m, "TiKV", "basic-1").phase)
    annotate(m, "PD", "basic-0", "restart", time.format(m.now - 1))
    local pd = pods(m, "pd")
    days(m, 4)
    assert.equal("basic-pd-0", changed(pd, pods(m, "pd")))
  end)

  it("restarts three annotated stores one at a time", function()
    up(1, 3)
    local before, seen = pods(m, "tikv"), watch()
    for n = 0, 2 do annotate(m, "TiKV", "basic-" .. n, "restart", time.format(m.now)) end
    m.now = m.now + 5
    days(m)
    assert.equal("basic-tikv-0 basic-tikv-1 basic-tikv-2", changed(before, pods(m, "tikv")))
    assert.equal(1, seen.most)
    assert.equal(3, #seen.order)
  end)

  -- U-53
  it("leaves an instance on hold alone, and updates the others", function()
    up(1, 3)
    local before = pods(m, "tikv")
    annotate(m, "TiKV", "basic-1", "hold", "perf trace of Ann")
    template(m, "TiKVGroup", config "a = 2")
    days(m)
    assert.equal("basic-tikv-0 basic-tikv-2", changed(before, pods(m, "tikv")))
    assert.equal("Partitioned", status(m, "TiKVGroup").reason)
    annotate(m, "TiKV", "basic-1", "hold", nil)
    days(m)
    assert.equal("Ready", status(m, "TiKVGroup").phase)
  end)

  it("sends leaders away by annotation, and takes that back when it goes", function()
    up(1, 3)
    annotate(m, "TiKV", "basic-1", "evict-leaders", "true")
    days(m, 2)
    assert.is_true(m.stores[2].evicting)
    assert.equal(0, m.stores[2].leaders)
    assert.equal("LeadersEvicted", status(m, "TiKV", "basic-1").reason)
    annotate(m, "TiKV", "basic-1", "evict-leaders", nil)
    days(m, 2)
    assert.is_nil(m.stores[2].evicting)
    assert.is_nil(m:get("TiKV", "basic-1").metadata.annotations["core.tikv.org/evicting"])
  end)

  -- P-31
  it("upgrades PD before TiKV, and goes back the other way (E-31, W-21)", function()
    up(1, 3)
    local function version(kind, v) template(m, kind, function(t) t.spec.version = v end) end
    version("TiKVGroup", "v8.5.9")
    days(m, 2)
    assert.equal("VersionOrder", status(m, "TiKVGroup").reason)
    version("PDGroup", "v8.5.9")
    days(m)
    assert.equal("v8.5.9", status(m, "TiKVGroup").version)
    assert.equal("v8.5.9", status(m, "PDGroup").version)
    version("PDGroup", "v8.5.2")
    days(m, 2)
    assert.equal("VersionOrder", status(m, "PDGroup").reason)
    assert.equal("v8.5.9", status(m, "PDGroup").version)
    version("TiKVGroup", "v8.5.2")
    days(m)
    assert.equal("v8.5.2", status(m, "PDGroup").version)
  end)

  it("refuses to skip a major version, and to go below PD's cluster version", function()
    up(1, 3)
    local function version(kind, v) template(m, kind, function(t) t.spec.version = v end) end
    version("PDGroup", "v10.0.0")
    days(m, 2)
    assert.equal("VersionRefused", status(m, "PDGroup").reason)
    assert.truthy(status(m, "PDGroup").message:find("v9", 1, true))
    m.pd.replication.cluster_version = "8.5.2"
    version("PDGroup", "v8.1.0")
    days(m, 2)
    assert.truthy(status(m, "PDGroup").message:find("cluster version 8.5.2", 1, true))
    version("PDGroup", "v8.5.0")
    version("TiKVGroup", "v8.5.0")
    days(m)
    assert.equal("v8.5.0", status(m, "PDGroup").version)
    set(m, "Cluster", "basic", function(s) s.upgradePolicy = "NoConstraints" end)
    version("PDGroup", "v10.0.0")
    days(m)
    assert.equal("v10.0.0", status(m, "PDGroup").version)
  end)

  it("stops only inside a maintenance window, and says when the next one opens", function()
    up(1, 3, { maintenance = { windows = { { schedule = "0 2 * * *", duration = "1h" } } } })
    m.now = 1000000 - 1000000 % 86400 + 3600 * 12
    days(m, 1)
    local before = pods(m, "tikv")
    template(m, "TiKVGroup", config "a = 2")
    days(m, 2)
    assert.equal("", changed(before, pods(m, "tikv")))
    assert.equal("MaintenanceClosed", status(m, "TiKVGroup").reason)
    assert.truthy(status(m, "TiKVGroup").message:find("T02:00:00Z", 1, true), status(m, "TiKVGroup").message)
    m.now = m.now - m.now % 86400 + 86400 + 7300
    days(m)
    assert.equal("Ready", status(m, "TiKVGroup").phase)
  end)

  it("asks can_update, can_restart_instance and choose_next_update", function()
    up(1, 3)
    local seen = watch()
    local deny = { can_update = true }
    caged.answer(function(q)
      if deny[q.question] then return { { policy = "ns/p", answer = false, reason = "not today" } } end
      if q.question == "choose_next_update" then return { { policy = "ns/p", answer = q.args[1][#q.args[1]].name } } end
      return {}
    end)
    template(m, "TiKVGroup", config "a = 2")
    days(m, 2)
    assert.truthy(status(m, "TiKVGroup").message:find("can_update: ns/p: not today", 1, true))
    deny = { can_restart_instance = true }
    days(m, 3)
    assert.same({}, seen.order)
    assert.truthy(status(m, "TiKV", "basic-0").message:find("can_restart_instance: ns/p", 1, true))
    deny = {}
    days(m)
    assert.same({ "basic-tikv-0", "basic-tikv-1", "basic-tikv-2" }, seen.order)
  end)

  it("believes a new leader of PD not that all stores are gone (W-12)", function()
    up(1, 3)
    local before, seen = pods(m, "tikv"), watch()
    m.pd.settled = false
    for _, s in ipairs(m.stores) do s.state = "Disconnected" end
    template(m, "TiKVGroup", config "a = 2")
    days(m, 3)
    assert.equal("", changed(before, pods(m, "tikv")))
    for _, s in ipairs(m.stores) do s.state = "Up" end
    days(m)
    assert.equal(1, seen.most)
    assert.equal(0, seen.leaders)
    assert.equal("Ready", status(m, "TiKVGroup").phase)
  end)

  it("waits for a store of another group that does not serve (G6)", function()
    up(1, 3)
    m.stores[1].state = "Disconnected"
    local before = pods(m, "tikv")
    template(m, "TiKVGroup", config "a = 2")
    days(m, 3)
    -- it was not serving itself: it alone got the template at once
    assert.equal("basic-tikv-0", changed(before, pods(m, "tikv")))
  end)

  it("changes labels and side images in place, one of them beside a restart with it (E-28)", function()
    up(1, 1)
    local function side(image, team)
      return function(t)
        t.spec.overlay = { pod = { metadata = { labels = { team = team } }, spec = { containers = { { name = "side",
          image = image } } } } }
      end
    end
    template(m, "TiKVGroup", side("side:1", "a"))
    days(m, 4)
    local pod = m:get("Pod", "basic-tikv-0")
    local uid = pod.metadata.uid
    template(m, "TiKVGroup", side("side:2", "b"))
    days(m, 4)
    pod = m:get("Pod", "basic-tikv-0")
    assert.equal(uid, pod.metadata.uid)
    assert.equal("side:2", pod.spec.containers[2].image)
    assert.equal("pingcap/tikv:v8.5.2", pod.spec.containers[1].image)
    assert.equal("b", pod.metadata.labels.team)
  end)

  -- P-39, E-50
  it("restarts nothing because the operator renders otherwise by now; the next restart takes it along (E-39, W-17)", function()
    up(3, 3)
    local pd, kv = pods(m, "pd"), pods(m, "tikv")
    m.operator = { version = "2", namespaced = false, prestop_image = "operator:2" }
    local pod_lib = require "lib.pod"
    local was = pod_lib.FORMAT
    pod_lib.FORMAT = 99
    days(m, 3)
    assert.same({}, m.writes)
    assert.equal("", changed(pd, pods(m, "pd")) .. changed(kv, pods(m, "tikv")))
    template(m, "TiKVGroup", config "a = 2")
    days(m)
    pod_lib.FORMAT = was
    local pod = m:get("Pod", "basic-tikv-0")
    assert.equal("99", pod.metadata.annotations["core.tikv.org/format"])
    assert.equal("operator:2", pod.spec.initContainers[1].image)
  end)

  it("sends the leaders away from a pod that somebody stops and that waits in its hook (E-12)", function()
    m.operator = { version = "2", namespaced = false, prestop_image = "operator:2" }
    up(1, 3)
    local pod = m:get("Pod", "basic-tikv-1")
    pod.metadata.finalizers, pod.status.initContainerStatuses = { "kubelet" }, { { name = "ti-prestop" } }
    m:delete("Pod", "basic-tikv-1")
    days(m, 2)
    assert.equal(0, m.stores[2].leaders)
    pod.metadata.finalizers = {}
    m:delete("Pod", "basic-tikv-1")
    days(m, 3)
    assert.is_nil(m.stores[2].evicting)
    assert.is_nil(m:get("TiKV", "basic-1").metadata.annotations["core.tikv.org/evicting"])
  end)

  it("costs no more than eight writes for a store", function()
    up(1, 3)
    for k in pairs(m.status_writes) do m.status_writes[k] = 0 end
    template(m, "TiKVGroup", config "a = 2")
    days(m)
    local n = 0
    for _, line in ipairs(m.writes) do
      if line:find "TiKV/" or line:find "Pod/" or line:find "ConfigMap/" or line:find "^event" then n = n + 1 end
    end
    for k, c in pairs(m.status_writes) do
      if k:find "^TiKV/" then n = n + c end
    end
    assert.is_true(n <= 3 * 8, n .. "\n" .. table.concat(m.writes, "\n"))
  end)
end)

describe("A restart that a person asks for", function()
  local restart_store = require "lib.restart_store"
  local kube, plan = require "lib.kube", require "lib.plan"

  local function step(change)
    local asked = "1970-01-01T00:10:00Z"
    local w = { now = 1000, cluster = { unavailable = 1 }, pods = {}, mates = {},
      object = { kind = "TiKV", metadata = { name = "kv-1", uid = "u", annotations = {
        [kube.annotation.restart] = asked, [kube.annotation.allowed] = asked } }, spec = {}, status = {} },
      pod = { name = "kv-tikv-1", uid = "p", version = "1", created = "1970-01-01T00:00:00Z", ready = "True", labels = {} },
      pd = { known = true, settled = true, cluster_id = "7", schedulers = { "balance-leader-scheduler" },
        counts = { Up = 3 }, replication = { max_replicas = 3 }, regions = { down_peer = 0 } },
      others = { known = true, stores = {} } }
    for n = 1, 3 do w.others.stores[n] = { id = tostring(n), state = "Up", regions = 9, address = "kv-tikv-" .. n .. ":1" } end
    local found = { id = "1", state = "Up", regions = 9, leaders = 0, evicting = true }
    if change then change(w, found) end
    local i = { name = "kv-1", pod = "kv-tikv-1", group = "kv", component = "tikv", spec = {}, object = w.object }
    return restart_store.step(w, plan.new(), i, "1", found)
  end

  -- S3
  it("waits while another store does not serve, and for the leaders", function()
    assert.equal("Restarting", step().reason)
    assert.equal("StoresUnavailable", step(function(w) w.others.stores[3].state = "Disconnected" end).reason)
    assert.equal("StoresUnavailable", step(function(w) w.pods = { { name = "kv-tikv-3", ready = "False" } } end).reason)
    assert.equal("EvictingLeaders", step(function(_, s) s.leaders, s.evicting = 5, false end).reason)
  end)

  it("waits for a person's hold, and for a maintenance window", function()
    assert.equal("Held", step(function(w) w.object.metadata.annotations[kube.annotation.hold] = "looking" end).reason)
    assert.equal("MaintenanceClosed", step(function(w)
      w.cluster.windows = { { schedule = "0 3 * * *", duration = "1h" } }
    end).reason)
  end)
end)
