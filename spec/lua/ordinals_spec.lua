require("support.caged").open()
local things = require "support.manifests"
local ordinals = require "lib.ordinals"

local function world(rows, claims, stores, id)
  local w = { object = things.group("TiKVGroup", "a-b", 3), cluster = { id = id }, rows = {}, claims = {},
    pd = { known = true, stores = {} } }
  for n, o in ipairs(rows) do w.rows[n] = { name = "a-b-" .. o } end
  for n, c in ipairs(claims) do
    w.claims[n] = { name = "data-a-b-tikv-" .. c[1], group = "a-b", component = c.component or "tikv",
      instance = "a-b-" .. c[1], retired = c.retired, cluster_id = c.id }
  end
  for n, s in ipairs(stores) do
    w.pd.stores[n] = { id = tostring(n), state = s[2], address = ("a-b-tikv-%d.a-b-tikv-peer.%s.svc:%d"):format(
      s[1], s.ns or "ns", s.port or 20160) }
  end
  return w
end

local function free(w, n) return ordinals.free(ordinals.use(w), n) end

describe("An ordinal", function()
  -- E-56
  it("is the smallest free one", function()
    assert.same({ 1, 3 }, free(world({ 0, 2 }, {}, {}), 2))
  end)

  it("is taken while a store record has it, tombstones and other ports included", function()
    assert.same({ 2, 3 }, free(world({}, {}, { { 0, "Tombstone" }, { 1, "Up", port = 1 } }), 2))
  end)

  it("is not taken by a store of another namespace or by a claim of another component", function()
    assert.same({ 0, 1 }, free(world({}, { { 1, component = "pd" } }, { { 0, "Up", ns = "other" } }), 2))
  end)

  it("comes back first when its claim waits for its owner", function()
    assert.same({ 0, 4 }, free(world({}, { { 4 } }, {}), 2))
    assert.same({ 4 }, free(world({}, { { 4 } }, { { 4, "Down" } }), 1))
  end)

  -- E-64
  it("stays taken when its claim is retired, of another cluster, or of a store that PD buried", function()
    assert.same({ 1 }, free(world({}, { { 0, retired = "1" } }, {}), 1))
    assert.same({ 1 }, free(world({}, { { 0, id = "7" } }, {}, "8"), 1))
    assert.same({ 1 }, free(world({}, { { 0 } }, { { 0, "Tombstone" } }), 1))
  end)

  it("is compared by the living record where an address has two (W-46)", function()
    local use = ordinals.use(world({}, { { 0 } }, { { 0, "Tombstone" }, { 0, "Up" } }))
    assert.equal("Up", use.store[0])
    assert.same({ 0 }, use.adoptable)
  end)
end)
