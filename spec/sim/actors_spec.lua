-- The functions of `sim` that actors use (lua/types/sim.lua).
local sim = require "spec.support.apisim"
local C, ffi = sim.C, sim.ffi
local CM = "/api/v1/namespaces/default/configmaps"

describe("the host of simulated actors", function()
  local s, net, actors, err
  before_each(function()
    s, err = sim.new(), ffi.new "struct err"
    local nc = ffi.new "struct net_conf"
    nc.loop = s.loop
    net = C.net_new(nc)
    local conf = ffi.new "struct actors_conf"
    conf.loop, conf.api, conf.net = s.loop, s.api, net
    C.rng_seed(conf.rng, 1)
    actors = C.actors_new(conf, err)
    assert.is_true(actors ~= nil, ffi.string(err.msg))
  end)
  after_each(function()
    C.actors_free(actors)
    C.net_free(net)
    s:close()
  end)
  local function eval(chunk)
    local out = ffi.new "cJSON *[1]"
    local rc = C.actors_eval(actors, chunk, out, err)
    if rc ~= 0 then return nil, ffi.string(err.msg) end
    if out[0] == nil then return nil end
    local text = C.json_string(out[0])
    local value = sim.decode("[" .. ffi.string(text) .. "]")
    ffi.C.free(text)
    C.json_free(out[0])
    return value[1]
  end

  it("requests are carried out at once", function()
    assert.equal(201, eval(([[local st = sim.request("POST", "%s", {metadata = {name = "a"}, data = {x = "1"}})
      return st]]):format(CM)))
    assert.equal("2", eval(([[sim.request("PATCH", "%s/a", {data = {x = "2"}})
      local _, o = sim.request("GET", "%s/a") return o.data.x]]):format(CM, CM)))
    assert.equal("NotFound", eval(([[local st, o = sim.request("GET", "%s/b") return o.reason]]):format(CM)))
  end)

  it("watches give what is there, and survive an end and a compaction without loss or repetition", function()
    eval(([[seen = {} sim.watch("%s", function(e, o) seen[#seen + 1] = e .. ":" .. o.metadata.name end)]]):format(CM))
    s:send("POST", CM, '{"metadata":{"name":"a"}}')
    s:send("POST", CM, '{"metadata":{"name":"b"}}')
    s:run(1)
    C.apisim_drop_watches(s.api, 0)
    s:send("DELETE", CM .. "/a")
    s:send("POST", CM, '{"metadata":{"name":"c"}}')
    C.apisim_compact(s.api, 0)
    s:run(2)
    s:send("DELETE", CM .. "/b")
    s:run(1)
    local seen = eval "return seen"
    table.sort(seen, function(x, y) return x < y end)
    assert.same({ "ADDED:a", "ADDED:b", "ADDED:c", "DELETED:a", "DELETED:b" }, seen)
  end)

  it("a watch of a kind that is not installed yet begins when it is", function()
    eval [[seen = {} sim.watch("/apis/conformance.tikv.org/v1/widgets", function(e, o)
      seen[#seen + 1] = e .. o.metadata.name
    end)]]
    s:run(1500)
    s:send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", require("spec.conformance.cases").crd)
    s:send("POST", "/apis/conformance.tikv.org/v1/namespaces/default/widgets",
      '{"apiVersion":"conformance.tikv.org/v1","kind":"Widget","metadata":{"name":"w"}}')
    s:run(2000)
    assert.same({ "ADDEDw" }, eval "return seen")
  end)

  it("watches can be stopped, also from inside", function()
    eval(([[n = 0 local stop stop = sim.watch("%s", function() n = n + 1 stop() stop() end)]]):format(CM))
    s:send("POST", CM, '{"metadata":{"name":"a"}}')
    s:send("POST", CM, '{"metadata":{"name":"b"}}')
    s:run(1)
    assert.equal(1, eval "return n")
    assert.equal(0, tonumber(C.apisim_watches(s.api)))
  end)

  it("timers run in virtual time and can be cancelled", function()
    eval [[t0, log = sim.now_ms(), {}
      sim.after(30, function() log[#log + 1] = sim.now_ms() - t0 end)
      sim.after(10, function() log[#log + 1] = sim.now_ms() - t0 end)
      local cancel = sim.after(20, function() log[#log + 1] = "no" end)
      cancel()]]
    s:run(100)
    assert.same({ 10, 30 }, eval "return log")
    assert.equal("2026-01-01T00:00:00Z", (eval "return (sim.wall())"):sub(1, 20))
    assert.equal(1767225600123, eval "return sim.parse_time('2026-01-01T00:00:00.123Z')")
  end)

  it("serves virtual hosts, refuses and asks them", function()
    eval [[sim.serve("*.pd:2379", function(r)
      if r.path == "/gone" then return 0 end
      return 200, nil, { host = r.host, q = r.query.a, got = r.body and r.body.n, id = sim.int("12345678901234567890") }
    end)]]
    assert.same({ host = "x.pd:2379", q = "1 2", got = 7, id = "12345678901234567890" },
      eval [[local st, b = sim.ask("POST", "http://x.pd:2379/p?a=1+2", { n = 7 }) return b]])
    assert.equal(0, eval [[return (sim.ask("GET", "http://x.pd:2379/gone"))]])
    assert.equal(0, eval [[return (sim.ask("GET", "http://x.other:2379/"))]])
  end)

  it("keeps lists lists and long integers exact", function()
    assert.equal('{"a":[],"n":12345678901234567890,"o":{}}',
      eval [[return sim.encode({ a = sim.array(), n = sim.int("12345678901234567890"), o = {} })]])
    assert.equal("[1,2]", eval [[return sim.encode(sim.copy(sim.decode("[1,2]")))]])
    assert.equal("a1b2", eval [[local out = ""
      for k, v in sim.pairs({ b = 2, a = 1 }) do out = out .. k .. v end return out]])
  end)

  it("chooses within bounds, the same way for the same seed", function()
    local all = eval [[local out = {} for i = 1, 50 do out[i] = sim.choose(3, "x") end return out]]
    for _, v in ipairs(all) do assert.is_true(v >= 1 and v <= 3) end
    assert.equal(36, #(eval "return sim.uuid()"))
  end)

  it("says where an actor failed, and has no io, os or random", function()
    local _, why = eval "local x = nil\nreturn x.y"
    assert.is_truthy(why:find("eval:2", 1, true))
    assert.is_true(eval "return io == nil and os == nil and math.random == nil")
  end)

  it("starts modules of lua/sim and says when there is none", function()
    assert.equal(-1, C.actors_start(actors, "nosuch", nil, err))
    assert.is_truthy(ffi.string(err.msg):find("sim.nosuch", 1, true))
  end)
end)
