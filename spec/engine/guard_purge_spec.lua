--- The guard on tombstones: PD forgets all of them at once, so nothing may speak of any (G4).
local S = require "spec.engine.guard_support"
local C, kube, pd = S.C, S.kube, S.pd

local OWN = "core.tikv.org/"

describe("guard, of tombstones", function()
  local r

  after_each(function() r:free() end)

  ---Four stores, the fourth buried an hour ago.
  local function rig(over, store)
    r = S.rig(over)
    local s = r.pd:store "4"
    s.state, s.node, s.regions, s.leaders, s.beat_ago = "Tombstone", 3, 0, 0, 3600
    for k, v in pairs(store or {}) do s[k] = v end
    C.pdview_poll_now(r.view)
    pd.serve(r.w, r.pd, 3000)
    return r:subject("Cluster", "basic")
  end

  local function purge(ids) return { action = "pd_purge", stores = kube.list(ids or { "4" }) } end

  it("G4 lets PD forget a store of which nothing speaks", function()
    local s = rig()
    r:allows(s, purge())
  end)

  it("G4 needs every tombstone named, empty, quiet and not evicted from", function()
    local s
    s = rig()
    r:refuses("G4", s, purge { "3" }, "does not name tombstone 4")
    r:free()
    s = rig({}, { regions = 2 })
    r:refuses("G4", s, purge(), "2 regions")
    r:free()
    s = rig({}, { beat_ago = 60 })
    r:refuses("G4", s, purge(), "heard of within 600 seconds")
    r:free()
    s = rig { pd = { evict = { "4" } } }
    r:refuses("G4", s, purge(), "evicts leaders of tombstone 4")
  end)

  it("G4 keeps a tombstone whose data may come back", function()
    local s = rig()
    r:tikv(4, { id = "4", pod = false, claim = { store = "1" } })
    r:refuses("G4", s, purge(), "named by TiKV basic-4")
    r:gone("TiKV", "basic-4")
    r:tikv(5, { id = "5", pod = false, former = { "4" }, claim = { store = "5" } })
    r:refuses("G4", s, purge(), "named by TiKV basic-5")
    r:gone("TiKV", "basic-5")
    r:tikv(6, { id = "6", pod = false, claim = { store = "4", retired = "true" } })
    r:refuses("G4", s, purge(), "named by PersistentVolumeClaim data-basic-tikv-6")
    r:gone("PersistentVolumeClaim", "data-basic-tikv-6")
    r:put("PersistentVolume", "pv-9", { labels = { [OWN .. "cluster-id"] = r.pd.cluster_id, [OWN .. "store-id"] = "3" },
      annotations = { [OWN .. "former-stores"] = "1,4" } })
    r:refuses("G4", s, purge(), "named by PersistentVolume pv-9")
    r:gone("PersistentVolume", "pv-9")
    r:allows(s, purge())
  end)

  it("G4 asks for a settled leader, and for volumes that can be seen", function()
    local s = rig { settle = 30000 }
    r:refuses("G4", s, purge(), "long enough")
    r:free()
    s = rig()
    C.store_set_synced(r.stores[S.kind_of "PersistentVolume"], false)
    r:refuses("G4", s, purge(), "volumes are not known")
  end)

  it("G3 leaves tombstones and limits to the Cluster", function()
    rig()
    local tikv = r:tikv(1, { id = "1" })
    r:refuses("G3", tikv, purge(), "not ours")
    r:refuses("G3", tikv, { action = "pd_store_limit", type = "add-peer", rate = 5 }, "not ours")
    r:allows(r:subject("Cluster", "basic"), { action = "pd_store_limit", type = "add-peer", rate = 5 })
  end)

  it("G8 writes nothing to a PD that is not known", function()
    r = S.rig { no_pd = true }
    r:refuses("G8", r:subject("Cluster", "basic"), { action = "pd_store_limit", type = "add-peer", rate = 5 })
  end)
end)
