require("support.caged").open()
local kube = require "lib.kube"
local member = require "lib.member"
local mini = require "support.mini"
local pass = require "lib.pass"
local plan = require "lib.plan"
local store = require "lib.store"
local things = require "support.manifests"

-- The world of one settled object, to be changed by a spec.
local function settled(kind, change)
  local m = mini.new()
  things.basic(m, 1, 1)
  m:settle()
  m.writes = {}
  local w = m:world(m:get(kind, "basic-0"))
  change(w)
  return pass.run(w), w
end

local function claim_of(w)
  for _, c in ipairs(w.claims) do
    if c.name == "data-basic-tikv-0" then return c end
  end
end

-- What changes something: Events do not.
local function writes(out)
  local list = {}
  for _, a in ipairs(out.actions) do
    if a.action ~= "event" then list[#list + 1] = a end
  end
  return list
end

local function did(out, what)
  for _, a in ipairs(out.actions) do
    if ("%s %s"):format(a.action, a.kind or a.object and a.object.kind or "") == what then return a end
  end
end

local function condition(out, type)
  for _, c in ipairs(out.status.conditions) do if c.type == type then return c end end
end

describe("The claim of an instance", function()
  local function taken(change)
    return settled("TiKV", function(w)
      w.pod = nil
      claim_of(w).annotations[kube.annotation.owner_uid] = "somebody"
      change(claim_of(w), w)
    end)
  end

  it("is taken over when its owner's name is ours and the data is too; only then comes the pod", function()
    local out, w = taken(function() end)
    local patch = did(out, "patch_meta PersistentVolumeClaim")
    assert.equal("data-basic-tikv-0", patch.name)
    assert.same({ [kube.annotation.owner_uid] = w.object.metadata.uid }, patch.annotations)
    assert.is_nil(did(out, "apply Pod"))
  end)

  for reason, change in pairs {
    ClaimRetired = function(c) c.labels[kube.label.retired] = "true" end,
    ClaimForeign = function(c) c.labels[kube.label.cluster] = "other" end,
  } do
    it("is not touched, and no pod is made: " .. reason .. " (G3)", function()
      local out = taken(change)
      assert.equal(reason, out.verdict.reason)
      assert.same({}, writes(out))
    end)
  end

  -- E-14, E-106
  it("is not taken over when it holds another PD cluster's data or another store's (G3)", function()
    assert.equal("ClaimForeign", taken(function(c) c.labels[kube.label.cluster_id] = "8" end).verdict.reason)
    assert.equal("ClaimForeign", taken(function(c) c.labels[kube.label.store_id] = "99" end).verdict.reason)
  end)

  it("gets no ids from a PD that is not the recorded one (G8)", function()
    local out = settled("TiKV", function(w)
      claim_of(w).labels[kube.label.store_id], claim_of(w).labels[kube.label.cluster_id] = nil, nil
      w.pd.cluster_id = "8"
    end)
    assert.is_nil(did(out, "patch_meta PersistentVolumeClaim"))
  end)

  it("is made together with its pod where disks are bound late, and comes first where they are not", function()
    for binding, pod in pairs { WaitForFirstConsumer = true, Immediate = false } do
      local out = settled("TiKV", function(w)
        w.pod, w.claims = nil, {}
        w.object.spec.volumes[1].storageClassName = "disk"
        w.classes = { { name = "disk", binding = binding } }
      end)
      assert.truthy(did(out, "apply PersistentVolumeClaim"))
      assert.equal(pod, did(out, "apply Pod") ~= nil, binding)
    end
    local out = settled("TiKV", function(w)
      w.pod, w.claims = nil, {}
      w.classes = { { name = "disk", binding = "Immediate" }, { name = "local", binding = "WaitForFirstConsumer",
        default = "true" } }
      w.object.spec.volumes[1].storageClassName = nil
    end)
    assert.truthy(did(out, "apply Pod"))
  end)

  it("is never made smaller, and that stops nothing else", function()
    local out = settled("TiKV", function(w) w.object.spec.volumes[1].storage = "1Gi" end)
    assert.is_nil(did(out, "apply PersistentVolumeClaim"))
    assert.equal("VolumeShrink", out.status.reason)
    assert.equal("Serving", out.status.phase)
  end)

  it("may be static, without a class (W-05)", function()
    local out = settled("TiKV", function(w)
      claim_of(w).class, claim_of(w).phase = nil, "Pending"
      w.pod = nil
    end)
    assert.truthy(did(out, "apply Pod"))
  end)
end)

describe("The identity of a store", function()
  local i = { address = "a:1", spec = { volumes = {} }, object = { status = {} } }
  local function look(pd, id, recorded)
    i.object.status.id = id
    return store.identify({ cluster = { id = recorded or "7" }, pd = pd }, i)
  end
  local function pd(s) return { known = true, cluster_id = "7", store = s } end

  -- U-20
  it("is found by the address, once", function()
    assert.equal("5", (look(pd { id = "5", address = "a:1", state = "Up" }, "")))
    assert.equal("", (look(pd { id = "5", address = "b:1", state = "Up" }, "")))
  end)

  -- E-05, U-26
  it("is not that of a tombstone at the same address (W-46)", function()
    assert.equal("", (look(pd { id = "5", address = "a:1", state = "Tombstone" }, "")))
  end)

  -- W-07, E-105
  it("is the id from then on, whatever the address says (W-02, W-03)", function()
    local id, found = look(pd { id = "5", address = "moved:1", state = "Up" }, "5")
    assert.equal("5", id)
    assert.truthy(found)
    local same, none, other = look(pd { id = "6", address = "a:1", state = "Up" }, "5")
    assert.equal("5", same)
    assert.is_nil(none)
    assert.equal("6", other)
  end)

  it("is not learnt from a PD that is unknown, or another cluster", function()
    assert.equal("", (look({ known = false }, "")))
    local s = { id = "5", address = "a:1", state = "Up" }
    assert.equal("", (look(pd(s), "", "8")))
    assert.equal("", (look({ known = true, cluster_id = "7", store = s, history = "x" }, "")))
  end)
end)

describe("The identity of a member", function()
  local i = { pod = "g-pd-0", spec = { volumes = {} }, object = { status = {} } }
  local function look(m)
    return (member.identify({ cluster = { id = "" }, pd = { known = true, cluster_id = "7", member = m } }, i))
  end

  -- E-13
  it("is recorded when PD calls it healthy: one that is only listed has never started", function()
    assert.equal("3", look { id = "3", name = "g-pd-0", healthy = true })
    assert.equal("", look { id = "3", name = "g-pd-0", healthy = false })
    assert.equal("", look { id = "3", name = "g-pd-0" })
  end)
end)

describe("An instance", function()
  it("that is deleted in a living Cluster is held by its recorded id alone, though PD lists nothing (W-02)", function()
    local out = settled("TiKV", function(w)
      w.object.metadata.deletionTimestamp, w.deleting = "now", true
      claim_of(w).labels[kube.label.store_id], claim_of(w).labels[kube.label.cluster_id] = nil, nil
      w.pd.store = nil
    end)
    assert.is_nil(did(out, "delete Pod"))
    assert.equal("StoreUnknown", out.status.reason)
  end)

  it("that is deleted is held by the mark on its disk, and by a PD that can not be asked", function()
    local function leaving(w)
      w.object.metadata.deletionTimestamp, w.deleting = "now", true
      w.object.status.id = ""
      w.pd = { known = false, reason = "timeout" }
    end
    local out = settled("TiKV", function(w)
      leaving(w)
      w.cluster.id = ""
    end)
    assert.equal("PDUnknown", out.status.reason)
    out = settled("TiKV", function(w)
      leaving(w)
      claim_of(w).labels[kube.label.store_id], claim_of(w).labels[kube.label.cluster_id] = nil, nil
    end)
    assert.equal("Leaving", out.status.phase)
    assert.is_nil(did(out, "delete Pod"))
  end)

  it("is Removed when PD has buried its store", function()
    local out = settled("TiKV", function(w)
      w.pd.store.state, w.pd.store.node_state, w.at = "Tombstone", "Removed", { known = true }
    end)
    assert.equal("Removed", out.status.phase)
    assert.equal("False", condition(out, "Ready").status)
  end)

  it("changes labels in PD only when its id is recorded", function()
    local function labelled(w) w.object.spec.server = { labels = { disk = "fast" } } end
    assert.truthy(did(settled("TiKV", labelled), "pd_labels "))
    local out = settled("TiKV", function(w)
      labelled(w)
      w.object.status.id = ""
    end)
    assert.is_nil(did(out, "pd_labels "))
  end)

  it("leaves volumes alone in namespaced mode: they are not ours to see (W-47)", function()
    local function bare(w) w.volume_1.labels = {} end
    assert.truthy(did(settled("TiKV", bare), "patch_meta PersistentVolume"))
    local out = settled("TiKV", function(w)
      bare(w)
      w.operator.namespaced = true
    end)
    assert.is_nil(did(out, "patch_meta PersistentVolume"))
  end)

  -- E-16, E-64
  it("waits for a claim that is being deleted, and makes no pod on it", function()
    local out = settled("TiKV", function(w)
      claim_of(w).deleting = "now"
      w.pod = nil
    end)
    assert.equal("Terminating", out.verdict.reason)
    assert.same({}, writes(out))
  end)

  it("stays Ready while PD is unknown: silence of PD is not sickness of a store", function()
    local out = settled("TiKV", function(w) w.pd = { known = false, reason = "timeout" } end)
    assert.equal("True", condition(out, "Ready").status)
    assert.equal("Serving", out.status.phase)
    assert.same({}, writes(out))
  end)

  it("is not Ready when PD says that the store is away, and Lost when it is Down and the pod is not there", function()
    local out = settled("TiKV", function(w) w.pd.store.state = "Disconnected" end)
    assert.equal("False", condition(out, "Ready").status)
    assert.equal("StoreNotUp", out.status.reason)
    out = settled("TiKV", function(w)
      w.pd.store.state = "Down"
      w.pod.ready = "False"
    end)
    assert.equal("Lost", out.status.phase)
  end)

  it("does not write status for what a moment later is old: scheduled, or an id before it is ready", function()
    local function starting(w)
      w.object.status = { phase = "Starting", reason = "Starting", observedGeneration = 1, id = "" }
      w.pod.ready, w.pod.created = "False", time.format(w.now - 5)
    end
    local out = settled("TiKV", starting)
    assert.equal("Starting", out.status.phase)
    assert.is_true(out.status_after > 0)
    out = settled("TiKV", function(w)
      starting(w)
      w.pod.ready = "True"
    end)
    assert.equal("Serving", out.status.phase)
    assert.equal(0, out.status_after)
  end)

  it("is explained after half a minute, by what is in the way", function()
    local out = settled("TiKV", function(w)
      w.object.status = { phase = "Starting", reason = "Starting", observedGeneration = 1 }
      w.pod = mini.copy(w.pod)
      w.pod.ready, w.pod.node, w.pod.scheduled, w.pod.created = nil, nil, "False", time.format(w.now - 31)
      w.pod.placing = "0/1 nodes are available: 1 Insufficient memory."
    end)
    assert.equal("InsufficientMemory", out.status.reason)
    assert.truthy(out.status.message:find("Insufficient memory", 1, true))
    assert.truthy(#out.status.hint > 0)
  end)

  it("does not touch the pod or config map of somebody else", function()
    local out = settled("TiKV", function(w) w.pod.owners = { { uid = "x", controller = true } } end)
    assert.equal("ForeignObject", out.verdict.reason)
    out = settled("TiKV", function(w) w.configmap.metadata.ownerReferences = nil end)
    assert.equal("ForeignObject", out.verdict.reason)
    assert.same({}, writes(out))
  end)

  it("changes nothing while its Cluster is paused, though its pod is gone", function()
    local out = settled("TiKV", function(w)
      w.cluster.paused, w.pod = true, nil
    end)
    assert.equal("Paused", out.status.phase)
    assert.same({}, writes(out))
  end)

  -- W-61
  it("writes figures only when they matter: from zero, or moved by a fifth", function()
    local out = settled("TiKV", function(w)
      w.object.status.leaders = 100
      w.pd.store.leaders = 110
    end)
    assert.equal(100, out.status.leaders)
    out = settled("TiKV", function(w) w.pd.store.leaders = 7 end)
    assert.equal(7, out.status.leaders)
    assert.is_true(out.status_after >= 60)
  end)

  -- W-67
  it("a thousand stores share one write of figures in two seconds, and not all at once", function()
    local function after(name)
      return settled("TiKV", function(w)
        w.pd.store.leaders, w.pd.counts = 7, { Up = 990, Down = 10 }
        w.object.metadata.name = name
      end).status_after
    end
    assert.equal(1000, after "basic-0")
    assert.is_true(after "basic-1" > 2000)
    assert.is_true(after "basic-2" > 1000 and after "basic-2" < 2000)
  end)

  it("leaves all as it is when its Cluster is missing: absence never means delete", function()
    local out = settled("TiKV", function(w) w.cluster = nil end)
    assert.equal("ClusterMissing", out.verdict.reason)
    assert.same({}, writes(out))
    out = settled("TiKV", function(w)
      w.cluster, w.deleting = nil, true
      w.object.metadata.deletionTimestamp = "now"
    end)
    assert.equal("ClusterMissing", out.verdict.reason)
    assert.same({}, writes(out))
  end)

  it("says which managed key the user has set, and leaves what runs alone", function()
    local out = settled("TiKV", function(w) w.object.spec.config = '[storage]\ndata-dir = "/x"\n' end)
    assert.equal("ConfigManaged", out.status.reason)
    assert.truthy(out.status.message:find("storage.data-dir", 1, true))
    assert.same({}, writes(out))
  end)

  -- W-22
  it("changes labels of the pod in place, and never its revision", function()
    local out = settled("TiKV", function(w)
      w.object.spec.overlay = { pod = { metadata = { labels = { team = "x" } } } }
      w.object.metadata.labels[kube.label.revision] = "newer"
    end)
    assert.same({ team = "x" }, did(out, "patch_meta Pod").labels)
    assert.is_nil(did(out, "apply Pod"))
    assert.is_nil(did(out, "delete Pod"))
  end)
end)

describe("Keeping an object as it should be", function()
  local function object(data)
    return { apiVersion = "v1", kind = "ConfigMap", metadata = { name = "a", namespace = "ns" }, data = data }
  end
  local function live(data)
    local p = plan.new()
    kube.ensure(p, nil, object(data))
    local o = p.actions[1].object
    o.metadata.uid = "u"
    return o
  end

  it("applies nothing when all is there", function()
    local p = plan.new()
    assert.is_false(kube.ensure(p, live { a = "1" }, object { a = "1" }))
    assert.same({}, p.actions)
  end)

  -- E-55
  it("undoes what others changed", function()
    local p, o = plan.new(), live { a = "1" }
    o.data.a = "2"
    kube.ensure(p, o, object { a = "1" })
    assert.equal("u", p.actions[1].object.metadata.uid)
  end)

  it("sees that a field is no longer wanted (W-37)", function()
    local p = plan.new()
    kube.ensure(p, live { a = "1", b = "2" }, object { a = "1" })
    assert.equal(1, #p.actions)
  end)

  it("waits for one that is being deleted", function()
    local p, o = plan.new(), live { a = "1" }
    o.metadata.deletionTimestamp = "now"
    kube.ensure(p, o, object { a = "2" })
    assert.same({}, p.actions)
  end)
end)
