require("support.caged").open()
local core = require "support.core"
local format = require "support.format"
local mini = require "support.mini"
local schema = require "lib.schema"
local pass = require "lib.pass"
local things = require "support.manifests"

local FILES = { Cluster = "clusters", PDGroup = "pdgroups", PD = "pds", TiKVGroup = "tikvgroups", TiKV = "tikvs" }

local function crd(file)
  local f = assert(io.open("crds/" .. file .. ".yaml"))
  local docs = assert(format.yaml(f:read("*a"), file))
  f:close()
  return json.decode(format.print(docs))[1].spec.versions[1].schema.openAPIV3Schema
end

describe("What controllers write", function()
  local compiled = {}
  setup(function()
    for kind, file in pairs(FILES) do compiled[kind] = assert(schema.compile(crd(file))) end
  end)

  local function fits(m)
    for kind in pairs(FILES) do
      for _, o in ipairs(m:list(kind)) do
        local copy = json.decode(json.encode(o))
        local causes, unknown = schema.admit(compiled[kind], copy, nil, function() return true end)
        for n, c in ipairs(causes) do causes[n] = c.field .. ": " .. c.message end
        assert.same({}, causes, kind .. "/" .. o.metadata.name)
        local strange = {}
        for _, path in ipairs(unknown) do
          if path:find("^%.?status") or path:find("^%.?spec") then strange[#strange + 1] = path end
        end
        assert.same({}, strange, kind .. "/" .. o.metadata.name)
      end
    end
  end

  it("fits the schemas, all the way from creation to the end", function()
    local m = mini.new()
    m.after_round, m.eager = fits, true
    things.basic(m, 3, 3)
    m:settle()
    m:delete("TiKV", "basic-1")
    m:settle()
    m:delete("Cluster", "basic")
    m:settle()
  end)

  it("fits the schemas when it is paused, suspended, held and not yet supported", function()
    local m = mini.new()
    m.after_round = fits
    things.basic(m, 1, 2, { paused = true })
    m:get("TiKVGroup", "basic").spec.hooks = {}
    m:get("TiKVGroup", "basic").spec.failover = { enabled = true }
    m:settle()
    for _, spec in ipairs { { suspendAction = { suspendCompute = true } }, {} } do
      m:put(things.cluster("basic", spec))
      m:settle()
    end
    m:get("TiKVGroup", "basic").spec.template.spec.version = "v9.0.0"
    m:get("TiKVGroup", "basic").spec.replicas = 1
    m:settle()
  end)

  it("is a plan that the engine's strict decoder takes", function()
    local C, ffi = core.load("engine/plan.h", "format/json.h"), core.ffi
    local taken = 0
    local m = mini.new {
      needs = pass.needs,
      run = function(w)
        local out = pass.run(w)
        local e, text = ffi.new("struct err"), json.encode(out)
        local tree = C.json_parse(text, #text, e)
        local plan = C.plan_decode(tree, "ns", e)
        assert(plan ~= nil, ffi.string(e.msg))
        taken = taken + plan.actions
        C.plan_free(plan)
        return out
      end,
    }
    things.basic(m, 3, 3, { persistentVolumeClaimRetentionPolicy = { whenDeleted = "Delete" } })
    m:settle()
    m:put(things.group("TiKVGroup", "basic", 5))
    m:put(things.cluster("basic", { suspendAction = { suspendCompute = true } }))
    m:settle()
    m:delete("Cluster", "basic")
    m:settle()
    assert.is_true(taken > 60, taken)
  end)
end)
