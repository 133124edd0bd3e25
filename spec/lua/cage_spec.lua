require("support.caged").open()
local vm = require "support.vm"
local mini = require "support.mini"
local things = require "support.manifests"

local function sources()
  local out = {}
  for _, dir in ipairs { "lib", "controllers" } do
    local pipe = assert(io.popen("ls lua/" .. dir .. "/*.lua"))
    for path in pipe:lines() do
      local f = assert(io.open(path))
      out[path:match("^lua/(.*)%.lua$"):gsub("/", ".")] = f:read("*a")
      f:close()
    end
    pipe:close()
  end
  return out
end

describe("The shipped scripts in the real cage", function()
  local cage

  setup(function()
    cage = assert(vm.new(sources()))
    assert(cage:require("lib.pass"))
  end)
  teardown(function() cage:free() end)

  local function call(f, value)
    local out, how, why = cage:call_in("lib.pass", f, json.encode(value))
    assert(how == "ok", why)
    return json.decode(out)
  end

  it("pass their own check of shape", function()
    local out, how, why = cage:call_in("lib.pass", "check")
    assert.equal("ok", how, why)
    assert.equal("true", out)
  end)

  local scripts = { needs = function(o) return call("needs", o) end, run = function(w) return call("run", w) end }

  it("bring up the same cluster as outside of it, without a global or function that is not there", function()
    local inside, outside = mini.new(scripts), mini.new()
    for _, m in ipairs { inside, outside } do
      things.basic(m, 3, 3)
      m:settle()
      m:delete("TiKV", "basic-1")
      m:settle()
      m:delete("Cluster", "basic")
      m:settle()
    end
    local function shape(list) -- names of revisions are hashes, which the stand-in makes in its own way
      return (table.concat(list, "\n"):gsub("(ControllerRevision/basic%-%a+%-)%w+", "%1HASH"))
    end
    assert.equal(shape(outside.writes), shape(inside.writes))
  end)

  it("take under a tenth of the budget for a group of 1,000 stores", function()
    local m = mini.new(scripts)
    things.basic(m, 3, 1)
    m:settle()
    local group = m:get("TiKVGroup", "basic")
    local w = m:world(group)
    group.spec.replicas = 1000
    local row, claim, store = w.rows[1], w.claims[1], w.pd.stores[1]
    for n = 0, 999 do
      local r, c, s = mini.copy(row), mini.copy(claim), mini.copy(store)
      r.name, r.uid, r.id = "basic-" .. n, "u" .. n, tostring(n + 1)
      c.name, c.instance = "data-basic-tikv-" .. n, r.name
      s.id, s.address = r.id, ("basic-tikv-%d.basic-tikv-peer.ns.svc:20160"):format(n)
      w.rows[n + 1], w.claims[n + 1], w.pd.stores[n + 1] = r, c, s
    end
    w.object.spec.replicas = 1000
    assert.equal("settled", call("run", w).verdict.kind)
    local cost = cage:instructions()
    if os.getenv("SHOW_COST") then io.stderr:write(cost, "\n") end
    assert.is_true(cost < 5e6, cost)
  end)
end)
