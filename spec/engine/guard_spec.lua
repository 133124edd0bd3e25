--- guard: each rule with what it refuses and what it lets through.
local S = require "spec.engine.guard_support"
local ffi = require "ffi"
local C, kube, pd = S.C, S.kube, S.pd

local OWN = "core.tikv.org/"

describe("guard", function()
  local r
  local function rig(over)
    r = S.rig(over)
    return r
  end
  after_each(function()
    if r then r:free() end
    r = nil
  end)

  local function config(over)
    local o = { apiVersion = "v1", kind = "ConfigMap", metadata = { name = "basic-tikv-0", namespace = "ns",
      labels = S.labels("tikv", "basic-0"), ownerReferences = S.owner("TiKV", "basic-0") }, data = { a = "b" } }
    for k, v in pairs(over or {}) do o.metadata[k] = v end
    return { action = "apply", object = o }
  end

  -- ---- G1 ----

  it("G1 refuses while the lease may end before the request", function()
    rig { lease = 5000, no_pd = true }
    r:refuses("G1", r:tikv(0), config(), "lease")
  end)

  it("G1 refuses before all caches have synced, and when read only", function()
    rig { synced = false, no_pd = true }
    r:refuses("G1", r:tikv(0), config(), "synced")
    r:free()
    rig { read_only = true, no_pd = true }
    r:refuses("G1", r:tikv(0), config(), "read only")
  end)

  it("G1 allows with a lease that lasts", function()
    rig { lease = 5001, no_pd = true }
    r:allows(r:tikv(0), config())
  end)

  it("G1 only reads where another installation or a newer version looks after the Cluster", function()
    rig { no_pd = true }
    local s = r:tikv(0)
    local function cluster(operator, behaviour)
      r:put("Cluster", "basic", { annotations = { [OWN .. "operator"] = operator, [OWN .. "behaviour"] = behaviour } })
    end
    cluster("elsewhere/tikv-operator", "1")
    r:refuses("G1", s, config(), "elsewhere/tikv-operator")
    cluster(S.OPERATOR, tostring(C.GUARD_BEHAVIOUR + 1))
    r:refuses("G1", s, config(), "newer operator")
    cluster(S.OPERATOR, tostring(C.GUARD_BEHAVIOUR))
    r:allows(s, config())
    cluster()
    r:allows(s, config())
  end)

  -- ---- G2 ----

  it("G2 refuses for an owner that is gone, another one, or superseded", function()
    rig { no_pd = true }
    local s = r:tikv(0)
    r:put("TiKV", "basic-0", { spec = { cluster = { name = "basic" } }, generation = 2 })
    r:refuses("G2", s, config(), "superseded")
    r:put("TiKV", "basic-0", { spec = { cluster = { name = "basic" } }, deleting = true })
    r:refuses("G2", s, config(), "superseded")
    r:put("TiKV", "basic-0", { spec = { cluster = { name = "basic" } }, uid = "another" })
    r:refuses("G2", s, config(), "another object")
    r:gone("TiKV", "basic-0")
    r:refuses("G2", s, config(), "gone")
  end)

  it("G2 allows when only the metadata of the owner changed", function()
    rig { no_pd = true }
    local s = r:tikv(0)
    r:put("TiKV", "basic-0", { spec = { cluster = { name = "basic" } }, annotations = { a = "b" } })
    r:allows(s, config())
  end)

  it("G2 refuses to create what is there, or to touch another uid", function()
    rig { no_pd = true }
    local s = r:tikv(0)
    r:put("ConfigMap", "basic-tikv-0", { owners = S.owner("TiKV", "basic-0") })
    r:refuses("G2", s, config(), "there already")
    r:refuses("G2", s, config { uid = "another" }, "uid")
    r:allows(s, config { uid = "uid-ConfigMap-basic-tikv-0" })
  end)

  -- ---- G3 ----

  it("G3 refuses an object that names no owner, another owner, or lacks the labels", function()
    rig { no_pd = true }
    local s = r:tikv(0)
    r:refuses("G3", s, config { ownerReferences = kube.list {} }, "owner")
    r:refuses("G3", s, config { ownerReferences = S.owner("TiKV", "basic-1") }, "not ours")
    r:refuses("G3", s, config { labels = { a = "b" } }, "labels")
  end)

  it("G3 refuses kinds that a plan never writes", function()
    rig { no_pd = true }
    local a = config()
    a.object.apiVersion, a.object.kind = "v1", "Secret"
    r:refuses("G3", r:tikv(0), a, "never writes")
  end)

  it("G3 refuses to delete or patch what another owns, or what is not in the cache", function()
    rig { no_pd = true }
    local s = r:tikv(0)
    r:tikv(1)
    r:refuses("G3", s, S.delete("Pod", "basic-tikv-1"), "not owned")
    r:refuses("G3", s, S.patch("Pod", "basic-tikv-1", { labels = { a = "b" } }), "not owned")
    r:refuses("G3", s, S.delete("ConfigMap", "nowhere"), "not in the cache")
    r:refuses("G3", s, S.delete("TiKV", "basic-0"), "own object")
  end)

  it("G3 allows to patch its own children and itself", function()
    rig { no_pd = true }
    local s = r:tikv(0)
    r:allows(s, S.patch("Pod", "basic-tikv-0", { labels = { a = "b" } }))
    r:allows(s, S.patch("TiKV", "basic-0", { remove_finalizers = { OWN .. "finalizer" } }))
    r:refuses("G3", s, S.patch("TiKV", "basic-0", { remove_finalizers = { "other.io/x" } }), "finalizer")
  end)

  local function claim(over)
    local o = { apiVersion = "v1", kind = "PersistentVolumeClaim", metadata = { name = "data-basic-tikv-0",
      namespace = "ns", labels = S.labels("tikv", "basic-0", { [OWN .. "volume"] = "data" }),
      annotations = { [OWN .. "owner-uid"] = "uid-TiKV-basic-0" } }, spec = {} }
    for k, v in pairs(over or {}) do o.metadata[k] = v end
    return { action = "apply", object = o }
  end

  it("G3 refuses a claim with owner references, allows one with the annotation", function()
    rig { no_pd = true }
    local s = r:tikv(0)
    r:gone("PersistentVolumeClaim", "data-basic-tikv-0")
    r:refuses("G3", s, claim { ownerReferences = S.owner("TiKV", "basic-0") }, "collected")
    r:refuses("G3", s, claim { annotations = { [OWN .. "owner-uid"] = "other" } }, "owner")
    r:allows(s, claim())
  end)

  it("G2 begins nothing new for an object that is being deleted, but makes what drains its pod again", function()
    rig { no_pd = true }
    local s = r:tikv(0, { deleting = true })
    r:gone("PersistentVolumeClaim", "data-basic-tikv-0")
    r:refuses("G2", s, claim(), "being deleted")
    r:allows(s, config())
  end)

  local ADOPT = { annotations = { [OWN .. "owner-uid"] = "uid-TiKV-basic-0" } }

  it("G3 allows to adopt a claim only when its old owner is gone and all of it matches", function()
    rig { no_pd = true, cluster_id = "5" }
    local function old(over) return r:tikv(0, { id = "4", claim = over }) end
    local adopt = S.patch("PersistentVolumeClaim", "data-basic-tikv-0", ADOPT)
    r:allows(old { owner = "uid-gone", cluster_id = "5", store = "4" }, adopt)
    r:refuses("G3", old { owner = "uid-gone", retired = "true" }, adopt, "retired")
    r:refuses("G3", old { owner = "uid-gone", cluster_id = "6" }, adopt, "PD cluster 6")
    r:refuses("G3", old { owner = "uid-gone", store = "9" }, adopt, "data of 9")
    r:tikv(1)
    r:refuses("G3", old { owner = "uid-TiKV-basic-1" }, adopt, "living owner")
  end)

  it("G3 adopts by an action of its own: nothing else is written with it, and never by an apply", function()
    rig { no_pd = true }
    local s = r:tikv(0, { claim = { owner = "uid-gone" } })
    local both = S.patch("PersistentVolumeClaim", "data-basic-tikv-0", ADOPT)
    both.labels = { [OWN .. "volume"] = "data" }
    r:refuses("G3", s, both, "not owned")
    r:refuses("G3", s, S.patch("PersistentVolumeClaim", "data-basic-tikv-0", { annotations = { a = "b",
      [OWN .. "owner-uid"] = "uid-TiKV-basic-0" } }), "not owned")
    r:refuses("G3", s, claim { uid = "uid-PersistentVolumeClaim-data-basic-tikv-0" }, "not owned")
    r:allows(s, S.patch("PersistentVolumeClaim", "data-basic-tikv-0", ADOPT))
  end)

  it("G3 reads the marks of a disk from its volume where somebody took them off the claim", function()
    rig { no_pd = true, cluster_id = "5" }
    local adopt = S.patch("PersistentVolumeClaim", "data-basic-tikv-0", ADOPT)
    local s = r:tikv(0, { id = "4", claim = { owner = "uid-gone" } })
    r:put("PersistentVolume", "pv-0", { labels = { [OWN .. "cluster-id"] = "6" } })
    r:refuses("G3", s, adopt, "PD cluster 6")
    r:put("PersistentVolume", "pv-0", { labels = { [OWN .. "cluster-id"] = "5", [OWN .. "store-id"] = "9" } })
    r:refuses("G3", s, adopt, "data of 9")
    r:put("PersistentVolume", "pv-0", { labels = { [OWN .. "cluster-id"] = "5", [OWN .. "store-id"] = "4" } })
    r:allows(s, adopt)
  end)

  it("G3 never lets a claim forget a store: a new id sends the old one to former-stores", function()
    rig { no_pd = true }
    local s = r:tikv(0, { claim = { store = "4" } })
    local function label(id, former)
      return S.patch("PersistentVolumeClaim", "data-basic-tikv-0", { labels = { [OWN .. "store-id"] = id },
        annotations = former and { [OWN .. "former-stores"] = former } or nil })
    end
    r:allows(s, label "4")
    r:refuses("G3", s, label "9", "forgotten")
    r:refuses("G3", s, label("9", "44"), "forgotten")
    r:allows(s, label("9", "2,4"))
    r:refuses("G3", s, S.patch("PersistentVolumeClaim", "data-basic-tikv-0",
      { remove_annotations = { OWN .. "former-stores" } }), "its stores")
    r:refuses("G3", s, S.patch("PersistentVolumeClaim", "data-basic-tikv-0",
      { remove_labels = { OWN .. "store-id" } }), "only a person")
  end)

  it("G3 refuses to give a claim away or to take marks of identity off", function()
    rig { no_pd = true }
    local s = r:tikv(0)
    r:refuses("G3", s, S.patch("PersistentVolumeClaim", "data-basic-tikv-0",
      { annotations = { [OWN .. "owner-uid"] = "other" } }), "another owner")
    r:refuses("G3", s, S.patch("PersistentVolumeClaim", "data-basic-tikv-0",
      { remove_labels = { OWN .. "retired" } }), "only a person")
  end)

  local function pod(claim_name)
    return { action = "apply", object = { apiVersion = "v1", kind = "Pod", metadata = { name = "basic-tikv-0",
      namespace = "ns", labels = S.labels("tikv", "basic-0"), ownerReferences = S.owner("TiKV", "basic-0") },
      spec = { volumes = { { name = "data", persistentVolumeClaim = { claimName = claim_name } } } } } }
  end

  it("G3 refuses a pod on a claim of another owner or on a retired one", function()
    rig { no_pd = true }
    local s = r:tikv(0, { pod = false })
    r:tikv(1)
    r:allows(s, pod "data-basic-tikv-0")
    r:refuses("G3", s, pod "data-basic-tikv-1", "another owner")
    r:refuses("G3", s, pod "nowhere", "not in the cache")
    s = r:tikv(0, { pod = false, claim = { retired = "true" } })
    r:refuses("G3", s, pod "data-basic-tikv-0", "retired")
  end)

  it("G3 lets a volume be labelled through its claim, with our prefix only", function()
    rig { no_pd = true }
    local s = r:tikv(0)
    local ref = { namespace = "ns", name = "data-basic-tikv-0", uid = "uid-PersistentVolumeClaim-data-basic-tikv-0" }
    r:put("PersistentVolume", "pv-0", { spec = { claimRef = ref } })
    r:allows(s, S.patch("PersistentVolume", "pv-0", { labels = { [OWN .. "store-id"] = "4" } }))
    r:refuses("G3", s, S.patch("PersistentVolume", "pv-0", { labels = { a = "b" } }), "only metadata")
    ref.uid = "older"
    r:put("PersistentVolume", "pv-0", { spec = { claimRef = ref } })
    r:refuses("G3", s, S.patch("PersistentVolume", "pv-0", { labels = { [OWN .. "store-id"] = "4" } }), "no claim")
  end)

  -- E-93
  it("G3 lets a Cluster write the features of its groups, and delete them when it is deleted", function()
    rig { no_pd = true }
    r:put("TiKVGroup", "basic", { spec = { cluster = { name = "basic" } } })
    local function features(spec)
      return { action = "apply", object = { apiVersion = "core.tikv.org/v1alpha1", kind = "TiKVGroup",
        metadata = { name = "basic", namespace = "ns", uid = "uid-TiKVGroup-basic" }, spec = spec } }
    end
    local s = r:subject("Cluster", "basic")
    r:allows(s, features { features = kube.list { "FeatureModification" } })
    r:refuses("G3", s, features { replicas = 0 }, "features")
    r:refuses("G3", s, S.delete("TiKVGroup", "basic"), "only when it is deleted")
    r:put("Cluster", "basic", { deleting = true, status = { id = "1" } })
    r:allows(r:subject("Cluster", "basic"), S.delete("TiKVGroup", "basic"))
    r:put("TiKVGroup", "basic", { spec = { cluster = { name = "other" } } })
    r:refuses("G3", r:subject("Cluster", "basic"), S.delete("TiKVGroup", "basic"))
  end)

  -- U-10
  it("G3 refuses a store or member of somebody else", function()
    rig()
    local s = r:tikv(0, { id = "1" })
    r:refuses("G3", s, { action = "pd_evict_leaders", store_id = "2" }, "store 2")
    r:allows(s, { action = "pd_evict_leaders", store_id = "1" })
    local p = r:pdi(2, { id = r.pd.members[3].id })
    r:refuses("G3", p, { action = "pd_remove_member", member_id = r.pd.members[2].id, name = "basic-pd-1" }, "not of")
  end)

  -- ---- G4 ----

  local CLAIM = S.delete("PersistentVolumeClaim", "data-basic-tikv-0")

  local function removed(over)
    local s = r.pd:store("1")
    s.state, s.node, s.leaders, s.regions = "Tombstone", 3, 0, 0
    for k, v in pairs(over or {}) do s[k] = v end
    pd.serve(r.w, r.pd, 180000)
  end

  it("G4 refuses a claim of a store that PD does not call removed", function()
    rig()
    r:refuses("G4", r:tikv(0, { id = "1", pod = false }), CLAIM, "is Up")
  end)

  it("G4 allows when a settled leader says Tombstone with no regions", function()
    rig()
    removed()
    r:allows(r:tikv(0, { id = "1", pod = false }), CLAIM)
  end)

  it("G4 refuses a Tombstone that still has regions", function()
    rig()
    removed { regions = 17 }
    r:refuses("G4", r:tikv(0, { id = "1", pod = false }), CLAIM, "17 regions")
  end)

  it("G4 refuses while the pod is there", function()
    rig()
    removed()
    r:refuses("G4", r:tikv(0, { id = "1" }), CLAIM, "pod basic-tikv-0")
  end)

  it("G4 refuses on the word of a leader that is too young", function()
    rig()
    removed()
    r.pd.term = 8
    pd.serve(r.w, r.pd, 30000)
    r:refuses("G4", r:tikv(0, { id = "1", pod = false }), CLAIM, "long enough")
  end)

  it("G4 takes no absence for a proof: not found, PD down, empty list", function()
    rig()
    r:refuses("G4", r:tikv(0, { id = "99", pod = false }), CLAIM, "proves nothing")
    r.pd.dead = { ["basic-pd"] = true, ["basic-pd-0"] = true }
    pd.serve(r.w, r.pd, 60000)
    r:refuses("G4", r:tikv(0, { id = "1", pod = false }), CLAIM, "too old")
    r:free()
    rig { no_pd = true }
    r:refuses("G4", r:tikv(0, { id = "1", pod = false }), CLAIM, "no proof")
  end)

  it("G4 wants the proof for every id ever seen on the disk", function()
    rig()
    removed()
    r:refuses("G4", r:tikv(0, { id = "1", former = { "2" }, pod = false }), CLAIM, "store 2")
    r:refuses("G4", r:tikv(0, { id = "1", pod = false, claim = { store = "3" } }), CLAIM, "store 3")
    r:refuses("G4", r:tikv(0, { id = "1", pod = false, claim = { former = "7,4" } }), CLAIM, "store 7")
    r:allows(r:tikv(0, { id = "1", pod = false, claim = { former = "7,8", removed = "8,7" } }), CLAIM)
    r:put("PersistentVolume", "pv-0", { labels = { [OWN .. "store-id"] = "2" } })
    r:refuses("G4", r:tikv(0, { id = "1", pod = false }), CLAIM, "store 2")
    r:put("PersistentVolume", "pv-0", { annotations = { [OWN .. "former-stores"] = "3" } })
    r:refuses("G4", r:tikv(0, { id = "1", pod = false }), CLAIM, "store 3")
    r:put("PersistentVolume", "pv-0", { annotations = { [OWN .. "former-stores"] = "1" } })
    r:allows(r:tikv(0, { id = "1", pod = false }), CLAIM)
  end)

  it("G4 wants it of every store that PD has at the address, recorded or not", function()
    rig()
    removed()
    r.pd:add_store("60", { address = "basic-tikv-0.basic-tikv-peer.ns.svc:20160" })
    pd.serve(r.w, r.pd, 15000)
    r:refuses("G4", r:tikv(0, { id = "1", pod = false }), CLAIM, "store 60 is Up")
    r.pd:store("60").state, r.pd:store("60").node, r.pd:store("60").regions = "Tombstone", 3, 2
    pd.serve(r.w, r.pd, 15000)
    r:refuses("G4", r:tikv(0, { id = "1", pod = false }), CLAIM, "2 regions")
    r.pd:store("60").regions = 0
    pd.serve(r.w, r.pd, 15000)
    r:allows(r:tikv(0, { id = "1", pod = false }), CLAIM)
  end)

  it("G4 accepts a purged record only when its proof was recorded", function()
    rig()
    removed()
    table.remove(r.pd.stores, 1)
    pd.serve(r.w, r.pd, 15000)
    r:refuses("G4", r:tikv(0, { id = "1", pod = false }), CLAIM, "proves nothing")
    r:allows(r:tikv(0, { id = "1", pod = false, claim = { removed = "7,1" } }), CLAIM)
  end)

  it("G4 lets a proof be recorded only while it is one", function()
    rig()
    local record = S.patch("PersistentVolumeClaim", "data-basic-tikv-0", { annotations = { [OWN ..
      "removed-stores"] = "1" } })
    r:refuses("G4", r:tikv(0, { id = "1", pod = false }), record, "is Up")
    removed()
    r:allows(r:tikv(0, { id = "1", pod = false }), record)
    r.pd.term = 9
    pd.serve(r.w, r.pd, 30000)
    r:refuses("G4", r:tikv(0, { id = "1", pod = false }), record, "long enough")
  end)

  it("G4 allows a claim that was never bound, and one whose address a whole list lacks", function()
    rig()
    r:allows(r:tikv(0, { pod = false, claim = { unbound = true } }), CLAIM)
    r:allows(r:tikv(0, { pod = false }), CLAIM)
    r:refuses("G4", r:tikv(1, { pod = false }), S.delete("PersistentVolumeClaim", "data-basic-tikv-1"),
      "has its address")
    r:tikv(7, { id = "77" })
    r:refuses("G4", r:tikv(0, { pod = false }), CLAIM, "lacks store 77")
  end)

  it("G4 follows retention: whenScaled in a living Cluster, whenDeleted in a dying one", function()
    rig { no_pd = true, cluster_spec = { persistentVolumeClaimRetentionPolicy = { whenScaled = "Retain" } } }
    r:refuses("G4", r:tikv(0, { id = "1", pod = false }), CLAIM, "whenScaled")
    r:put("Cluster", "basic", { deleting = true })
    r:refuses("G4", r:tikv(0, { id = "1", pod = false, deleting = true }), CLAIM, "whenDeleted")
    r:put("Cluster", "basic", { deleting = true,
      spec = { persistentVolumeClaimRetentionPolicy = { whenDeleted = "Delete" } } })
    r:allows(r:tikv(0, { id = "1", pod = false, deleting = true }), CLAIM)
  end)

  it("G4 refuses to delete a volume, ever", function()
    rig { no_pd = true }
    r:put("PersistentVolume", "pv-0", {})
    r:refuses("G4", r:tikv(0), S.delete("PersistentVolume", "pv-0"))
  end)

  it("G4 refuses a PD claim whose member is still there, allows it when a settled leader lacks it", function()
    rig()
    local c = S.delete("PersistentVolumeClaim", "data-basic-pd-2")
    r:refuses("G4", r:pdi(2, { id = r.pd.members[3].id, pod = false }), c, "still member")
    local id = table.remove(r.pd.members, 3).id
    pd.serve(r.w, r.pd, 15000)
    r:allows(r:pdi(2, { id = id, pod = false }), c)
  end)

  -- ---- G5 ----

  local function remove(n)
    local m = r.pd.members[n]
    return { action = "pd_remove_member", member_id = m.id, name = not m.nameless and m.name or "" }
  end

  -- W-43
  it("G5 allows to remove a dead member while a majority is healthy", function()
    rig()
    r.pd.members[3].healthy = false
    pd.serve(r.w, r.pd, 30000)
    r:allows(r:pdi(2, { id = r.pd.members[3].id }), remove(3))
  end)

  it("G5 refuses to remove the leader, a healthy one beside a sick one, or a majority", function()
    rig()
    r:refuses("G5", r:pdi(0, { id = r.pd.members[1].id }), remove(1), "leader")
    r.pd.members[3].healthy = false
    pd.serve(r.w, r.pd, 30000)
    r:refuses("G5", r:pdi(1, { id = r.pd.members[2].id }), remove(2), "majority")
    r.pd.members[2].healthy = false
    pd.serve(r.w, r.pd, 30000)
    r:refuses("G5", r:pdi(2, { id = r.pd.members[3].id }), remove(3), "majority")
  end)

  -- E-67
  it("G5 refuses while another member joins, allows to remove the nameless one itself", function()
    rig()
    r.pd.members[4] = { name = "basic-pd-3", id = "555", nameless = true, healthy = false }
    pd.serve(r.w, r.pd, 30000)
    r:refuses("G5", r:pdi(2, { id = r.pd.members[3].id }), remove(3), "joining")
    r:allows(r:pdi(3), remove(4))
  end)

  local PD_POD = S.delete("Pod", "basic-pd-1")

  it("G5 allows one planned restart with a majority left, and refuses a second", function()
    rig()
    local s = r:pdi(1, { id = r.pd.members[2].id })
    r:allows(s, PD_POD)
    r:pdi(2, { id = r.pd.members[3].id, pod_deleting = true })
    r:refuses("G5", s, PD_POD, "another PD pod")
  end)

  local function new_member(n)
    return { action = "apply", object = { apiVersion = "core.tikv.org/v1alpha1", kind = "PD",
      metadata = { name = "basic-" .. n, namespace = "ns", labels = S.labels("pd", "basic-" .. n),
        ownerReferences = S.owner("PDGroup", "basic") }, spec = { cluster = { name = "basic" } } } }
  end

  -- U-15
  it("G5 counts a joiner whose process has begun as the one change, for restarts, removals and joins", function()
    rig()
    r:put("PDGroup", "basic", { spec = { cluster = { name = "basic" } } })
    local group, one = r:subject("PDGroup", "basic"), r:pdi(1, { id = r.pd.members[2].id })
    local dead = r:pdi(2, { id = r.pd.members[3].id, ready = false })
    r.pd.members[3].healthy = false
    pd.serve(r.w, r.pd, 30000)
    r:pdi(3, { ready = false, phase = "Pending" }) -- has not begun: it changes nothing
    r:allows(dead, remove(3))
    r:allows(group, new_member(4))
    r:pdi(3, { ready = false })
    r:refuses("G5", dead, remove(3), "basic-pd-3 is joining")
    r:refuses("G5", group, new_member(4), "basic-pd-3 is joining")
    r.pd.members[3].healthy = true
    pd.serve(r.w, r.pd, 30000)
    r:refuses("G5", one, PD_POD, "basic-pd-3 is joining")
    r:allows(r:pdi(3, { ready = false }), S.delete("Pod", "basic-pd-3")) -- its own pod may be made again
    pd.serve(r.w, r.pd, 31000) -- which did not happen
    r:pdi(3, { id = "123", ready = false }) -- it has been a member: removed, not joining
    r:refuses("G5", one, PD_POD, "no majority") -- PD calls it healthy, its pod is away
    r:pdi(2, { id = r.pd.members[3].id })
    r:allows(one, PD_POD)
  end)

  it("G5 lets nobody join beside a nameless member, unless PD can not be asked at all", function()
    rig()
    r:put("PDGroup", "basic", { spec = { cluster = { name = "basic" } } })
    local s = r:subject("PDGroup", "basic")
    r:allows(s, new_member(4))
    r.pd.members[4] = { name = "basic-pd-3", id = "555", nameless = true, healthy = false }
    pd.serve(r.w, r.pd, 30000)
    r:refuses("G5", s, new_member(4), "without a name")
    r.pd.dead = { ["basic-pd"] = true, ["basic-pd-0"] = true }
    pd.serve(r.w, r.pd, 60000)
    r:allows(s, new_member(4)) -- all come back over their disks
  end)

  -- U-46
  it("G5 refuses to restart one of two healthy ones of three, allows the sick one", function()
    rig()
    local s = r:pdi(1, { id = r.pd.members[2].id })
    r.pd.members[3].healthy = false
    pd.serve(r.w, r.pd, 30000)
    r:refuses("G5", s, PD_POD, "majority")
    r:allows(r:pdi(2, { id = r.pd.members[3].id }), S.delete("Pod", "basic-pd-2"))
  end)

  -- E-38, E-39, E-96, U-58
  it("G5 allows to restart one of one or two when all are healthy, and pods that do not serve", function()
    rig { pd = { size = 2 } }
    r:allows(r:pdi(1, { id = r.pd.members[2].id }), PD_POD)
    r.pd.dead = { ["basic-pd"] = true, ["basic-pd-0"] = true }
    pd.serve(r.w, r.pd, 60000)
    r:refuses("G5", r:pdi(1, { id = "1" }), PD_POD, "too old")
    r:allows(r:pdi(1, { id = "1", ready = false }), PD_POD)
  end)

  it("G5 forbids founding once any cluster id is recorded", function()
    rig { no_pd = true, cluster_id = "5" }
    local function found()
      r:put("PDGroup", "basic", { spec = { cluster = { name = "basic" } } })
      return r:subject("PDGroup", "basic"),
        S.patch("PDGroup", "basic", { annotations = { [OWN .. "initial-cluster"] = "a=b" } })
    end
    local s, a = found()
    r:refuses("G5", s, a, "founding")
    r:put("Cluster", "basic", { spec = {}, status = {} })
    r:allows(s, a)
    r:tikv(0, { claim = { cluster_id = "5" } })
    r:refuses("G5", s, a, "founding")
    r:tikv(0)
    r:allows(s, a)
    r:put("PersistentVolume", "pv-0", { labels = { [OWN .. "cluster-id"] = "5" } })
    r:refuses("G5", s, a, "founding")
  end)

  it("G5 lets a founder be made late only while PD waits for it", function()
    rig()
    local list = { [OWN .. "initial-cluster"] = "a=b" }
    r:put("PDGroup", "basic", { spec = { cluster = { name = "basic" } }, annotations = list })
    local s = r:subject("PDGroup", "basic")
    local founder = { action = "apply", object = { apiVersion = "core.tikv.org/v1alpha1", kind = "PD",
      metadata = { name = "basic-2", namespace = "ns", annotations = list, labels = S.labels("pd", "basic-2"),
        ownerReferences = S.owner("PDGroup", "basic") }, spec = { cluster = { name = "basic" } } } }
    r:refuses("G5", s, founder, "founding")
    r.pd.members[3].unstarted = true
    pd.serve(r.w, r.pd, 15000)
    r:allows(s, founder)
    r:put("Cluster", "basic", { status = {} })
    r.pd.members[3].unstarted = nil
    pd.serve(r.w, r.pd, 15000)
    r:allows(s, founder)
  end)

  it("G5 refuses another cluster id where one is recorded", function()
    rig { no_pd = true }
    local s = r:tikv(0, { claim = { cluster_id = "5" } })
    local function label(id)
      return S.patch("PersistentVolumeClaim", "data-basic-tikv-0", { labels = { [OWN .. "cluster-id"] = id } })
    end
    r:refuses("G5", s, label "6", "recorded")
    r:allows(s, label "5")
  end)

  -- ---- G6 ----

  local function stores()
    for n = 1, 4 do r:tikv(n, { id = tostring(n) }) end
    return r:subject("TiKV", "basic-1")
  end
  local STOP = S.delete("Pod", "basic-tikv-1")

  it("G6 allows one store to be stopped when all serve", function()
    rig()
    r:allows(stores(), STOP)
  end)

  -- E-34
  it("G6 refuses while another store is Down, Disconnected or its pod restarts", function()
    rig()
    local s = stores()
    r:tikv(2, { id = "2", pod_deleting = true })
    r:refuses("G6", s, STOP, "maxUnavailableStores")
    r:tikv(2, { id = "2", pod = false })
    r:gone("Pod", "basic-tikv-2")
    r:refuses("G6", s, STOP, "maxUnavailableStores")
    r:tikv(2, { id = "2" })
    r:allows(s, STOP)
    r.pd:store("3").state = "Disconnected"
    pd.serve(r.w, r.pd, 15000)
    r:refuses("G6", s, STOP, "maxUnavailableStores")
  end)

  it("G6 does not count a store twice, nor a forgotten one without regions", function()
    rig { cluster_spec = { disruption = { maxUnavailableStores = 2 } } }
    local s = stores()
    r.pd:store("3").state, r.pd:store("3").regions = "Down", 0
    pd.serve(r.w, r.pd, 15000)
    r:gone("Pod", "basic-tikv-3")
    r:allows(s, STOP)
  end)

  it("G6 counts failure domains by PD's isolation level", function()
    rig { cluster_spec = { disruption = { maxUnavailableStores = 2 } } }
    local s = stores()
    r.pd:store("2").state = "Down"
    pd.serve(r.w, r.pd, 15000)
    r:refuses("G6", s, STOP, "failure domains")
    r.pd:store("2").zone = "z1"
    pd.serve(r.w, r.pd, 15000)
    r:allows(s, STOP)
  end)

  -- W-12
  it("G6 exempts a pod that does not serve: repair never waits for health", function()
    rig()
    stores()
    r.pd:store("3").state = "Down"
    pd.serve(r.w, r.pd, 15000)
    r:allows(r:tikv(1, { id = "1", ready = false }), STOP)
    r.pd.dead = { ["basic-pd"] = true, ["basic-pd-0"] = true }
    pd.serve(r.w, r.pd, 60000)
    r:refuses("G6", r:tikv(1, { id = "1" }), STOP, "too old")
    r:allows(r:tikv(1, { id = "1", ready = false }), STOP)
  end)

  it("G6 and G5 know their own deletions before the cache does", function()
    rig()
    r:allows(stores(), STOP)
    r:refuses("G6", r:tikv(2, { id = "2" }), S.delete("Pod", "basic-tikv-2"), "maxUnavailableStores")
    pd.serve(r.w, r.pd, 31000) -- the request has failed: nothing was seen of it
    r:allows(r:tikv(2, { id = "2" }), S.delete("Pod", "basic-tikv-2"))
  end)

  it("G6 believes only a settled leader that stores with ready pods do not serve", function()
    for _, c in ipairs { { settle = 30000 }, { settle = 200000, allows = true } } do
      rig { settle = c.settle }
      local s = stores()
      for n = 1, 4 do r.pd:store(tostring(n)).state = "Disconnected" end
      pd.serve(r.w, r.pd, 15000)
      if c.allows then r:allows(s, STOP) else r:refuses("G6", s, STOP, "maxUnavailableStores") end
      r:free()
    end
    rig()
  end)

  it("G6 finds the store of a pod whose instance has recorded none by its address", function()
    rig()
    stores()
    r.pd:store("3").state = "Down"
    pd.serve(r.w, r.pd, 15000)
    r:refuses("G6", r:tikv(1), STOP, "maxUnavailableStores")
  end)

  it("G6 stops no Ready pod whose store PD does not list yet: the list may be a moment old (W-09)", function()
    rig()
    local stop = S.delete("Pod", "basic-tikv-9")
    r:refuses("G6", r:tikv(9), stop, "does not list its store")
    r:allows(r:tikv(9, { ready = false }), stop)
    r.pd:add_store("9")
    pd.serve(r.w, r.pd, 15000)
    r:allows(r:tikv(9), stop)
  end)

  it("G5 and G6 let pods go where no PD was ever seen, not where one is recorded", function()
    rig { no_pd = true }
    r:allows(r:tikv(1), STOP)
    r:allows(r:pdi(1), PD_POD)
    r:put("Cluster", "basic", { status = { id = "5" } })
    r:refuses("G6", r:tikv(1), STOP, "not answered")
    r:refuses("G5", r:pdi(1), PD_POD, "not answered")
  end)

  -- E-40
  it("G6 allows a single TiKV to be restarted", function()
    rig { pd = { store_count = 1 } }
    r:allows(r:tikv(1, { id = "1" }), STOP)
  end)

  local function offline(expect, force)
    return { action = "pd_offline", store_id = "1", expect = expect or "Serving", force = force }
  end

  it("G6 allows a store to leave only while enough others are Up", function()
    rig()
    local s = stores()
    r:allows(s, offline())
    r:refuses("G6", s, offline "Removing", "expects")
    r.pd:store("3").state = "Down"
    pd.serve(r.w, r.pd, 15000)
    r:refuses("G6", s, offline(), "regions need 3")
  end)

  it("G6 knows from placement rules how many voters and peers regions have", function()
    local function rules(few)
      return { 200, ([=[[{"group_id":"pd","id":"default","start_key":"","end_key":"","role":"voter","count":5},
        {"group_id":"pd","id":"more","start_key":"","end_key":"","role":"learner","count":1},
        {"group_id":"few","id":"one","start_key":"74","end_key":"75","role":"voter","count":%d}]]=]):format(few) }
    end
    rig { pd = { store_count = 6, override = { ["/pd/api/v1/config/rules"] = rules(3) } },
      cluster_spec = { disruption = { maxUnavailableStores = 2 } } }
    local s = stores()
    r:refuses("G6", s, offline(), "regions need 6")
    r.pd:add_store("7")
    r.pd:store("2").state = "Down"
    r.pd:add_store("8")
    pd.serve(r.w, r.pd, 15000)
    r:allows(s, offline())
    r:refuses("G6", s, STOP, "regions bear 1") -- five voters would bear two; three bear one
    r.pd.override["/pd/api/v1/config/rules"] = rules(5)
    pd.serve(r.w, r.pd, 320000)
    r:allows(s, STOP)
  end)

  -- U-43
  it("G6 evicts leaders only while another store could take them", function()
    rig { pd = { store_count = 2 } }
    local s = r:tikv(1, { id = "1" })
    local evict = { action = "pd_evict_leaders", store_id = "1" }
    r:allows(s, evict)
    r.pd.evict = { "2" }
    pd.serve(r.w, r.pd, 70000)
    r:refuses("G6", s, evict, "no other store")
    r.pd.evict = {}
    r.pd:store("2").state = "Down"
    pd.serve(r.w, r.pd, 70000)
    r:refuses("G6", s, evict, "no other store")
  end)

  -- U-24
  it("G6 never takes the last store of a group of one, nor of a cluster of one, offline", function()
    rig { pd = { store_count = 1, replication = '{"max-replicas":1}' } }
    r:refuses("G6", r:tikv(1, { id = "1" }), offline(), "0 stores would be Up")
    r.pd:add_store("2")
    pd.serve(r.w, r.pd, 15000)
    r:allows(r:tikv(1, { id = "1" }), offline())
  end)

  it("G6 takes nothing offline on the word of a leader that is too young", function()
    rig { settle = 30000 }
    r:refuses("G6", stores(), offline(), "long enough")
  end)

  it("G6 limits how many leave at once", function()
    rig { pd = { store_count = 6 }, cluster_spec = { disruption = { maxLeavingStores = 1 } } }
    local s = stores()
    r:allows(s, offline())
    r.pd:store("5").state, r.pd:store("5").node = "Offline", 2
    pd.serve(r.w, r.pd, 15000)
    r:refuses("G6", s, offline(), "maxLeavingStores")
  end)

  -- W-73
  it("G6 lets nothing be evicted from a store that is gone", function()
    rig()
    local s = r:tikv(1, { id = "1" })
    removed()
    r:refuses("G6", s, { action = "pd_evict_leaders", store_id = "1" }, "Tombstone")
  end)

  -- ---- G7 ----

  -- E-27
  it("G7 refuses grace 0 while the node may still run", function()
    rig()
    local s = stores()
    local force = S.delete("Pod", "basic-tikv-1", 0)
    r:put("Node", "node-1", { status = { conditions = { { type = "Ready", status = "Unknown" } } } })
    r:tikv(1, { id = "1", ready = false })
    r:refuses("G7", s, force, "may still run")
    r:put("Node", "node-1", { spec = { taints = { { key = "node.kubernetes.io/out-of-service",
      effect = "NoExecute" } } } })
    r:allows(s, force)
    r:gone("Node", "node-1")
    r:allows(s, force)
    r:put("VolumeAttachment", "va", { spec = { nodeName = "node-1", source = { persistentVolumeName = "pv-1" } } })
    r:refuses("G7", s, force, "still attached")
  end)

  it("G7 refuses when nodes can not be read, allows a grace period", function()
    rig()
    local s = stores()
    r:tikv(1, { id = "1", ready = false })
    C.store_set_synced(r.stores[S.kind_of "Node"], false)
    r:refuses("G7", s, S.delete("Pod", "basic-tikv-1", 0), "no proof")
    r:allows(s, S.delete("Pod", "basic-tikv-1", 600))
  end)

  it("G7 refuses a forced offline without a person's word and PD's", function()
    rig { pd = { store_count = 5 } }
    local s = r:tikv(1, { id = "1" })
    r:refuses("G7", s, offline("Up", true), "annotation")
    s = r:tikv(1, { id = "1", annotations = { [OWN .. "destroyed"] = "1" } })
    r:refuses("G7", s, offline("Up", true), "down")
    r.pd:store("1").state = "Down"
    pd.serve(r.w, r.pd, 15000)
    r:allows(s, offline("Down", true))
  end)

  -- ---- G8 ----

  it("G8 refuses writes to a PD that is unknown, another cluster, or has a changed history", function()
    rig()
    local s = r:tikv(1, { id = "1" })
    local write = { action = "pd_labels", store_id = "1", labels = { zone = "a" } }
    r:allows(s, write)
    r:put("Cluster", "basic", { status = { id = "12" } })
    r:refuses("G8", s, write, "another cluster id")
    r:put("Cluster", "basic", { status = { id = r.pd.cluster_id } })
    r.pd.cluster_id = "77"
    pd.serve(r.w, r.pd, 15000)
    r:refuses("G8", s, write, "PDHistoryChanged")
    r:put("TiKVGroup", "basic", { spec = { cluster = { name = "basic" } } })
    r:refuses("G8", r:subject("TiKVGroup", "basic"), S.delete("TiKV", "basic-1"), "person")
  end)

  it("G8 never stops making a missing pod, whatever PD's history", function()
    rig()
    local s = r:tikv(0, { id = "1", pod = false })
    r.pd.cluster_id = "77"
    pd.serve(r.w, r.pd, 15000)
    r:allows(s, pod "data-basic-tikv-0")
  end)

  -- E-45
  it("G8 refuses evictions while PD has not loaded its schedulers", function()
    rig()
    local s = r:tikv(1, { id = "1" })
    r.pd.schedulers = { "evict-leader-scheduler" }
    pd.serve(r.w, r.pd, 80000)
    r:refuses("G8", s, { action = "pd_evict_leaders", store_id = "1" }, "schedulers")
    r:refuses("G8", s, { action = "pd_restore_leaders", store_id = "1" }, "schedulers")
  end)

  -- E-47
  it("G8 transfers leadership only to a member that is healthy", function()
    rig()
    local s = r:pdi(0)
    r:allows(s, { action = "pd_transfer_leader", member = "basic-pd-1" })
    r:refuses("G8", s, { action = "pd_transfer_leader", member = "nobody" }, "healthy")
  end)

  -- ---- G9 ----

  local function note(subject, action, ok, times)
    local p = S.plan { action }
    for _ = 1, times or 1 do C.guard_note(r.guard, subject, p.action[0], ok) end
    C.plan_free(p)
  end

  it("G3 changes images of side containers only", function()
    rig()
    local s = r:tikv(1, { id = "1" })
    local change = S.patch("Pod", "basic-tikv-1", {})
    change.images = { side = "x:2" }
    r:allows(s, change)
    change.images = { tikv = "x:2" }
    r:refuses("G3", s, change, "is a restart")
  end)

  it("G9 limits destructive actions per cluster and minute", function()
    rig { no_pd = true }
    local s = r:tikv(1, { id = "1", ready = false })
    note(s, STOP, true, 59)
    r:allows(s, STOP)
    note(s, STOP, true)
    r:refuses("G9", s, STOP, "in the last minute")
    r:put("Cluster", "basic", { spec = { suspendAction = { suspendCompute = true } } })
    r:allows(s, STOP)
    r:put("Cluster", "basic", {})
    r:refuses("G9", s, STOP, "in the last minute")
    r:allows(s, S.patch("Pod", "basic-tikv-1", { labels = { a = "b" } }))
    r.w:jump(60000)
    r:allows(s, STOP)
  end)

  it("G9 opens the breaker on a broken expectation until a person confirms, and pods are still made", function()
    rig { no_pd = true }
    local s = r:tikv(1, { id = "1", ready = false })
    note(s, STOP, false)
    r:refuses("G9", s, STOP, "breaker")
    assert.truthy(ffi.string(C.guard_breaker(r.guard, "ns", "basic")) ~= "")
    assert.equal("", ffi.string(C.guard_breaker(r.guard, "ns", "other")))
    local t = r:tikv(0, { pod = false })
    r:allows(t, pod "data-basic-tikv-0")
    r:put("Pod", "basic-tikv-1", { labels = S.labels("tikv", "basic-1"), owners = S.owner("TiKV", "basic-1"),
      status = { phase = "Failed" } })
    r:allows(s, STOP) -- it has ended: another is made in its place
    r:tikv(1, { id = "1", ready = false })
    local open = 'namespace="ns",cluster="basic"'
    assert.equal(1, r.w:metric("tikv_operator_guard_breaker_open", open))
    C.guard_reset(r.guard, "ns", "basic")
    assert.equal(0, r.w:metric("tikv_operator_guard_breaker_open", open))
    r:allows(s, STOP)
  end)

  -- ---- status, table ----

  it("lists its rules for auditors, in order", function()
    for i = 0, tonumber(C.GUARD_RULES) - 1 do
      assert.equal("G" .. (i + 1), ffi.string(C.guard_rules[i].id))
      assert.truthy(#ffi.string(C.guard_rules[i].text) > 20)
    end
  end)

  it("counts refusals by rule", function()
    rig { read_only = true, no_pd = true }
    r:refusal(r:tikv(0), config())
    assert.equal(1, r.w:metric("tikv_operator_guard_refusals_total", 'rule="G1"'))
  end)

  it("foresees for a dry run what all rules but G1 say, and counts nothing", function()
    rig { read_only = true, no_pd = true }
    r.foresees = true
    r:allows(r:tikv(0), config())
    r:refuses("G3", r:tikv(0), config { ownerReferences = S.owner("TiKV", "basic-1") })
    assert.equal(0, r.w:metric("tikv_operator_guard_refusals_total", 'rule="G3"') or 0)
  end)
end)
