require("support.caged").open()
local mini = require "support.mini"
local things = require "support.manifests"
local plan = require "lib.plan"
local pod = require "lib.pod"
local revision = require "lib.revision"

local function name(change, features)
  local g = things.group("TiKVGroup", "basic", 3)
  g.spec.template.spec.config = "a = 1"
  if change then change(g.spec.template, g.spec) end
  return (revision.name(g, "tikv", features or {}))
end

local KEEPS = {
  ["replicas"] = function(_, s) s.replicas = 9 end,
  ["size of a volume"] = function(t) t.spec.volumes[1].storage = "99Gi" end,
  ["class of a volume"] = function(t) t.spec.volumes[1].storageClassName = "fast" end,
  ["store labels"] = function(t) t.spec.server = { labels = { a = "b" } } end,
  ["placement"] = function(t) t.spec.placement = { exclusive = true } end,
  ["the kind of config update"] = function(t) t.spec.updateStrategy = { config = "Restart" } end,
  ["labels of the pod by overlay"] = function(t) t.spec.overlay = { pod = { metadata = { labels = { a = "b" } } } } end,
  ["metadata of claims"] = function(t) t.spec.overlay = { volumeClaims = { { name = "data", volumeClaim = {} } } } end,
}
local CHANGES = {
  ["version"] = function(t) t.spec.version = "v8.5.3" end,
  ["image"] = function(t) t.spec.image = "x" end,
  ["resources"] = function(t) t.spec.resources.cpu = "3" end,
  ["config"] = function(t) t.spec.config = "a = 2" end,
  ["a port"] = function(t) t.spec.server = { ports = { client = { port = 1 } } } end,
  ["a mount"] = function(t) t.spec.volumes[1].mounts[1].mountPath = "/x" end,
  ["an annotation of the template"] = function(t) t.metadata = { annotations = { restarted = "now" } } end,
  ["an overlay of the pod's spec"] = function(t) t.spec.overlay = { pod = { spec = { priorityClassName = "x" } } } end,
}

describe("A revision", function()
  for what, change in pairs(KEEPS) do
    -- E-51, E-60
    it("stays when this changes: " .. what, function() assert.equal(name(), name(change)) end)
  end
  for what, change in pairs(CHANGES) do
    it("is another when this changes: " .. what, function() assert.is_true(name() ~= name(change)) end)
  end

  it("ignores the image of a sidecar, but not the sidecar", function()
    local function side(image)
      return function(t) t.spec.overlay = { pod = { spec = { containers = { { name = "side", image = image } } } } } end
    end
    assert.equal(name(side "a:1"), name(side "a:2"))
    assert.is_true(name() ~= name(side "a:1"))
  end)

  -- U-62
  it("ignores config under HotReload", function()
    local function hot(text)
      return function(t) t.spec.updateStrategy, t.spec.config = { config = "HotReload" }, text end
    end
    assert.equal(name(hot "a = 1"), name(hot "a = 2"))
  end)

  it("knows only the features that make a pod differ", function()
    assert.equal(name(), name(nil, { "FeatureModification" }))
    assert.is_true(name() ~= name(nil, { "UseTiKVReadyAPI" }))
  end)

  -- P-39, E-50, U-51, U-68
  it("does not know how the operator renders: another format is the same revision (W-17)", function()
    local before, was = name(), pod.FORMAT
    pod.FORMAT = 99
    local after = name()
    pod.FORMAT = was
    assert.equal(before, after)
  end)

  local function world(rows, history)
    local g = things.group("TiKVGroup", "basic", 3)
    g.metadata.uid = "g"
    return { object = g, cluster = { history = history }, revisions = rows }
  end

  it("comes back with a rollback: the old one is raised, not made again", function()
    local mine = name(function(t) t.spec.config = nil end)
    local p = plan.new()
    revision.sync(world { { name = mine, uid = "u1", number = 1 }, { name = "other", uid = "u2", number = 2 } }, p, {})
    assert.equal(1, #p.actions)
    assert.equal("u1", p.actions[1].object.metadata.uid)
    assert.equal(3, p.actions[1].object.revision)
    assert.truthy(p.actions[1].object.data)
  end)

  it("is dropped when older than the limit, unless somebody uses it (W-27)", function()
    local rows = { { name = name(function(t) t.spec.config = nil end), uid = "u", number = 9 } }
    for n = 1, 5 do rows[#rows + 1] = { name = "old-" .. n, uid = "u" .. n, rv = "1", number = n } end
    local p = plan.new()
    revision.sync(world(rows, 2), p, { ["old-1"] = true })
    local dropped = {}
    for n, a in ipairs(p.actions) do dropped[n] = a.name end
    assert.same({ "old-3", "old-2" }, dropped)
  end)

  it("of a group made later than its instances is reused, not written again", function()
    local m = mini.new()
    things.basic(m, 1, 1)
    m:settle()
    m.writes = {}
    m:pass("TiKVGroup", "basic")
    assert.same({}, m.writes)
  end)
end)
