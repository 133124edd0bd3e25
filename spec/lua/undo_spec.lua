require("support.caged").open()
local revision = require "lib.revision"
local undo = require "lib.undo"
local things = require "support.manifests"

local function template(change)
  local g = things.group("TiKVGroup", "basic", 3)
  g.spec.template.spec.config = "a = 1"
  if change then change(g.spec.template, g.spec.template.spec) end
  return g.spec.template
end

local function back(now, was)
  return undo.template(now, revision.essence(was, "tikv", {}), "tikv")
end

local CHANGES = {
  ["a setting"] = function(_, s) s.config = "a = 2" end,
  ["no settings"] = function(_, s) s.config = nil end,
  ["a version"] = function(_, s) s.version, s.image = "v9.0.0", "other" end,
  ["an annotation"] = function(t) t.metadata = { annotations = { restarted = "now" } } end,
  ["a port"] = function(_, s) s.server = { ports = { client = { port = 1 } } } end,
  ["resources"] = function(_, s) s.resources = nil end,
  ["an overlay"] = function(_, s) s.overlay = { pod = { spec = { priorityClassName = "x" } } } end,
  ["mounts"] = function(_, s) s.volumes[1].mounts[1].mountPath = "/x" end,
}

describe("Undo", function()
  for what, change in pairs(CHANGES) do
    it("leads back from " .. what .. ", and forth again", function()
      local old, new = template(), template(change)
      assert.same(revision.essence(old, "tikv", {}), revision.essence(back(new, old).template, "tikv", {}))
      assert.same(revision.essence(new, "tikv", {}), revision.essence(back(old, new).template, "tikv", {}))
    end)
  end

  it("keeps what restarts nothing as it is now", function()
    local now = template(function(t, s)
      s.volumes[1].storage, s.server = "99Gi", { labels = { disk = "fast" } }
      s.updateStrategy, s.config = { config = "Restart" }, "a = 9"
      s.overlay = { pod = { metadata = { labels = { team = "x" } }, spec = { containers = { { name = "side", image = "side:2" } } } } }
      t.metadata = { labels = { a = "b" } }
    end)
    local was = template(function(_, s)
      s.overlay = { pod = { spec = { containers = { { name = "side", image = "side:1", command = { "x" } } } } } }
    end)
    local out = back(now, was).template
    assert.equal("a = 1", out.spec.config)
    assert.equal("99Gi", out.spec.volumes[1].storage)
    assert.same({ labels = { disk = "fast" } }, out.spec.server)
    assert.equal("Restart", out.spec.updateStrategy.config)
    assert.equal("x", out.spec.overlay.pod.metadata.labels.team)
    assert.same({ name = "side", image = "side:2", command = { "x" } }, out.spec.overlay.pod.spec.containers[1])
    assert.is_nil(out.metadata)
  end)

  it("says what it can not know", function()
    local was = template(function(_, s) s.volumes[2] = { name = "wal", storage = "1Gi" } end)
    assert.truthy(back(template(), was).why:find("volume wal", 1, true))
    was = template(function(_, s) s.overlay = { pod = { spec = { containers = { { name = "side", image = "x" } } } } } end)
    assert.truthy(back(template(), was).why:find("container side", 1, true))
  end)
end)
