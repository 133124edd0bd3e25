require("support.caged").open()
local caged = require "support.caged"
local mini = require "support.mini"
local things = require "support.manifests"

local OWN = "core.tikv.org/"

describe("Volumes", function()
  local m

  local function set(kind, change)
    local o = mini.copy(m:get(kind, "basic"))
    change(o.spec.template.spec, o.spec)
    o.metadata.uid = nil
    m:put(o)
    m.writes = {}
  end

  local function resize(size, kind)
    set(kind or "TiKVGroup", function(t) t.volumes[1].storage = size end)
  end

  local function claim(name) return m:get("PersistentVolumeClaim", name) end
  local function status(kind, name) return m:get(kind, name or "basic").status end

  local function pods()
    local out = {}
    for n, pod in ipairs(m:list "Pod") do out[n] = pod.metadata.name .. "=" .. pod.metadata.uid end
    return table.concat(out, " ")
  end

  before_each(function()
    caged.answer(nil)
    m = mini.new()
    things.basic(m, 3, 4)
    m:settle()
    m.writes = {}
  end)

  it("grow online: the claims are asked, nothing restarts, nothing is left to tell (P-26, U-30, U-34)", function()
    local before = pods()
    resize "20Gi"
    m:settle()
    for n = 0, 3 do assert.equal("20Gi", claim("data-basic-tikv-" .. n).spec.resources.requests.storage) end
    assert.equal(before, pods())
    assert.equal("", status("TiKV", "basic-0").reason)
    m.writes = {}
    m:settle()
    assert.same({}, m.writes)
  end)

  it("of a new instance have the new size at once (U-31)", function()
    resize "20Gi"
    set("TiKVGroup", function(_, s) s.replicas = 5 end)
    m:settle()
    assert.equal("20Gi", claim "data-basic-tikv-4".spec.resources.requests.storage)
  end)

  it("say how far they are, and what the driver could not do (E-80, U-32)", function()
    m.no_driver = true
    resize "20Gi"
    m:settle()
    assert.equal("VolumeResizing", status("TiKV", "basic-0").reason)
    assert.equal("data-basic-tikv-0: 10Gi to 20Gi", status("TiKV", "basic-0").message)
    assert.equal("Serving", status("TiKV", "basic-0").phase)
    local c = claim "data-basic-tikv-0"
    c.status.conditions = { { type = "ControllerResizeError", status = "True", message = "no room in pool a" } }
    m:touch(c)
    m:settle()
    assert.equal("VolumeResizeFailed", status("TiKV", "basic-0").reason)
    assert.truthy(status("TiKV", "basic-0").message:find("no room in pool a", 1, true))
  end)

  it("that grow offline get one restart of their instance, after five minutes", function()
    m.no_driver = true
    resize "20Gi"
    m:settle()
    local c = claim "data-basic-tikv-1"
    c.status.conditions = { { type = "FileSystemResizePending", status = "True", lastTransitionTime = time.format(m.now) } }
    m:touch(c)
    m:settle()
    assert.equal("VolumeFileSystemPending", status("TiKV", "basic-1").reason)
    assert.is_nil(m:get("TiKV", "basic-1").metadata.annotations[OWN .. "restart"])
    m.now = m.now + 301
    m:settle()
    local at = m:get("TiKV", "basic-1").metadata.annotations[OWN .. "restart"]
    assert.is_string(at)
    m.now = m.now + 60
    m:settle()
    assert.equal(at, m:get("TiKV", "basic-1").metadata.annotations[OWN .. "restart"])
  end)

  it("whose class does not let them grow are told, and the pods are served as ever (W-05)", function()
    m:get("StorageClass", "standard").allowVolumeExpansion = false
    resize "20Gi"
    m:delete("Pod", "basic-tikv-2")
    m:settle()
    assert.equal("VolumeExpansionUnsupported", status("TiKV", "basic-0").reason)
    assert.truthy(m:get("Pod", "basic-tikv-2"))
    assert.equal("10Gi", claim "data-basic-tikv-0".spec.resources.requests.storage)
  end)

  it("that the API server refuses to grow are told with its words, and tried again later", function()
    local w = m:world(m:get("TiKV", "basic-0"))
    for _, v in ipairs(w.object.spec.volumes) do v.storage = "20Gi" end
    w.last = { failed = { action = "apply", code = "forbidden", message = "data-basic-tikv-0: only dynamic claims grow" } }
    local plan = m.scripts.run(w)
    assert.equal("VolumeResizeFailed", plan.verdict.reason)
    assert.equal("retry", plan.verdict.kind)
    for _, a in ipairs(plan.actions) do assert.equal("event", a.action) end
  end)

  it("never shrink: the instance is replaced instead, one at a time, the new one first (U-35, U-36, W-60)", function()
    local most = 0
    m.after_round = function()
      local alive = 0
      for _, o in ipairs(m:list "TiKV") do
        if not o.metadata.deletionTimestamp and not o.spec.offline then alive = alive + 1 end
      end
      assert.is_true(alive >= 4, "a store left before another one served")
      most = math.max(most, alive)
    end
    resize "5Gi"
    m:settle(900)
    assert.is_true(most <= 5, "more than one at a time")
    local claims = 0
    for _, o in ipairs(m:list "TiKV") do
      local c = claim("data-" .. o.metadata.name:gsub("%-(%d+)$", "-tikv-%1"))
      assert.equal("5Gi", c.spec.resources.requests.storage)
      claims = claims + 1
    end
    assert.equal(4, claims)
    assert.equal("Ready", status "TiKVGroup".phase)
    assert.equal("", status "TiKVGroup".reason)
  end)

  it("are not made smaller than what a store holds", function()
    for _, s in ipairs(m.stores) do s.capacity, s.available = tostring(10 * 2 ^ 30), tostring(2 ^ 30) end
    resize "5Gi"
    m:settle()
    assert.equal("VolumeTooSmall", status "TiKVGroup".reason)
    assert.truthy(status "TiKVGroup".message:find("holds 9 GiB, 5Gi is too small", 1, true), status "TiKVGroup".message)
    assert.equal(4, #m:list "TiKV")
  end)

  it("of another class mean another instance, of PD too (U-36, E-11, E-12)", function()
    set("PDGroup", function(t) t.volumes[1].storageClassName = "fast" end)
    set("TiKVGroup", function(t) t.volumes[1].storageClassName = "fast" end)
    m:settle(900)
    for _, kind in ipairs { "PD", "TiKV" } do
      for _, o in ipairs(m:list(kind)) do
        local pod = o.metadata.name:gsub("%-(%d+)$", "-" .. kind:lower() .. "-%1")
        assert.equal("fast", claim("data-" .. pod).spec.storageClassName)
      end
    end
    assert.equal(3, #m:list "PD")
    assert.equal(3, #m.members)
    assert.equal(4, #m:list "TiKV")
  end)

  it("have the class that the overlay of the claim says, and stay where they are", function()
    m = mini.new()
    things.basic(m, 1, 1)
    local t = m:get("TiKVGroup", "basic").spec.template.spec
    t.volumes[1].storageClassName = "slow"
    t.overlay = { volumeClaims = { { name = "data", volumeClaim = { spec = { storageClassName = "fast" } } } } }
    m:settle()
    assert.equal("fast", claim "data-basic-tikv-0".spec.storageClassName)
    assert.equal("", status "TiKVGroup".reason)
    assert.equal(1, #m:list "TiKV")
  end)

  it("wait for a person under OnDelete", function()
    set("TiKVGroup", function(t, s)
      t.volumes[1].storageClassName = "fast"
      s.updateStrategy = { type = "OnDelete" }
    end)
    m:settle()
    assert.equal("MoveWaiting", status "TiKVGroup".reason)
    assert.truthy(status "TiKVGroup".message:find("OnDelete", 1, true))
    assert.equal("standard", claim "data-basic-tikv-0".spec.storageClassName)
  end)

  it("wait for a maintenance window, where the Cluster has some", function()
    m:get("Cluster", "basic").spec.maintenance = { windows = { { schedule = "0 3 * * *", duration = "1h" } } }
    resize "5Gi"
    m:settle()
    assert.equal("MoveWaiting", status "TiKVGroup".reason)
    assert.equal("10Gi", claim "data-basic-tikv-0".spec.resources.requests.storage)
    m.now = time.parse "2026-01-02T03:00:10Z"
    m:settle(900)
    assert.equal("Ready", status "TiKVGroup".phase)
    for _, o in ipairs(m:list "TiKV") do
      assert.equal("5Gi", claim("data-" .. o.metadata.name:gsub("%-(%d+)$", "-tikv-%1")).spec.resources.requests.storage)
    end
  end)

  it("move with their instance when the group places nothing there any more", function()
    m = mini.new()
    things.basic(m, 1, 3)
    local zones = function(list)
      local out = {}
      for n, z in ipairs(list) do out[n] = { topology = { zone = z } } end
      return { { type = "EvenlySpread", evenlySpread = { topologies = out } } }
    end
    m:get("TiKVGroup", "basic").spec.schedulePolicies = zones { "a", "b", "c" }
    m:settle()
    set("TiKVGroup", function(_, s) s.schedulePolicies = zones { "a", "b", "d" } end)
    m:settle(900)
    local found = {}
    for _, o in ipairs(m:list "TiKV") do found[o.spec.topology.zone] = (found[o.spec.topology.zone] or 0) + 1 end
    assert.same({ a = 1, b = 1, d = 1 }, found)
  end)

  it("get their attributes class where the API has it, and it is told where not (E-81)", function()
    m = mini.new()
    things.basic(m, 1, 1, { featureGates = { { name = "VolumeAttributesClass" } } })
    m:settle()
    set("TiKVGroup", function(t) t.volumes[1].volumeAttributesClassName = "gold" end)
    m:settle()
    assert.equal("gold", claim "data-basic-tikv-0".spec.volumeAttributesClassName)
    assert.equal("VolumeModifying", status("TiKV", "basic-0").reason)
    claim "data-basic-tikv-0".status.currentVolumeAttributesClassName = "gold"
    m:settle()
    assert.equal("", status("TiKV", "basic-0").reason)
    -- an API server that drops the field
    local c = claim "data-basic-tikv-0"
    c.spec.volumeAttributesClassName, c.status.currentVolumeAttributesClassName = nil, nil
    m.writes = {}
    m:settle()
    assert.equal("VolumeAttributesUnsupported", status("TiKV", "basic-0").reason)
    for _, line in ipairs(m.writes) do assert.falsy(line:find("PersistentVolumeClaim", 1, true), line) end
  end)

  it("may be several, each with its claim, its size and its mount (E-78, U-39)", function()
    m = mini.new()
    things.basic(m, 1, 1)
    m:get("TiKVGroup", "basic").spec.template.spec.volumes = {
      { name = "data", storage = "10Gi", mounts = { { type = "data" } } },
      { name = "raft", storage = "5Gi", mounts = { { mountPath = "/raft" } } },
      { name = "wal", storage = "1Gi", storageClassName = "", mounts = { { mountPath = "/wal" } } } }
    m:settle()
    assert.equal("5Gi", claim "raft-basic-tikv-0".spec.resources.requests.storage)
    assert.equal("10Gi", claim "data-basic-tikv-0".spec.resources.requests.storage)
    set("TiKVGroup", function(t) t.volumes[2].storage = "6Gi" end)
    m:settle()
    assert.equal("6Gi", claim "raft-basic-tikv-0".spec.resources.requests.storage)
    assert.equal("10Gi", claim "data-basic-tikv-0".spec.resources.requests.storage)
    local mounts = {}
    for _, v in ipairs(m:get("Pod", "basic-tikv-0").spec.containers[1].volumeMounts) do mounts[v.name] = v.mountPath end
    assert.equal("/raft", mounts["ti-vol-raft"])
    assert.equal(3, #status("TiKV", "basic-0").volumes)
  end)

  it("without a class are static ones: bound, labelled, served (W-05)", function()
    m = mini.new()
    things.basic(m, 1, 1)
    m:get("TiKVGroup", "basic").spec.template.spec.volumes[1].storageClassName = ""
    m:settle()
    assert.equal("", claim "data-basic-tikv-0".spec.storageClassName)
    assert.equal("Running", status "Cluster".phase)
    set("TiKVGroup", function(t) t.volumes[1].storage = "20Gi" end)
    m:settle()
    assert.equal("VolumeExpansionUnsupported", status("TiKV", "basic-0").reason)
  end)

  it("get back the labels that somebody took, from claim to volume (E-82)", function()
    local c = claim "data-basic-tikv-0"
    local store = c.metadata.labels[OWN .. "store-id"]
    assert.is_string(store)
    c.metadata.labels[OWN .. "store-id"], c.metadata.labels[OWN .. "volume"] = nil, nil
    m:get("PersistentVolume", "pv-data-basic-tikv-0").metadata.labels = nil
    m:settle()
    assert.equal(store, claim "data-basic-tikv-0".metadata.labels[OWN .. "store-id"])
    assert.equal("data", claim "data-basic-tikv-0".metadata.labels[OWN .. "volume"])
    assert.equal(store, m:get("PersistentVolume", "pv-data-basic-tikv-0").metadata.labels[OWN .. "store-id"])
    m.writes = {}
    m:settle()
    assert.same({}, m.writes)
  end)
end)
