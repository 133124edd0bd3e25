--- tikvview: settings of TiKV's processes, read while somebody asks, and never shown when they may be wrong.
local kube = require "spec.kube.support"
local core = require "support.core"
local ffi = core.ffi
local C = core.load("pd/tikvview.h")
ffi.cdef "char *strdup(const char *);"

local url, since, told
local target = ffi.cast("void (*)(void *, const char *, const char *, struct tikv_target *)", function(_, _, name, out)
  out.url = url and ffi.C.strdup(url .. ffi.string(name)) or nil
  out.since = ffi.C.strdup(since)
  out.cred = nil
end)
local on_change = ffi.cast("void (*)(void *, const char *, const char *)", function(_, ns, name)
  told[#told + 1] = ffi.string(ns) .. "/" .. ffi.string(name)
end)

describe("tikvview", function()
  local w, v

  before_each(function()
    w = kube.world()
    url, since, told = "http://", "4 1000", {}
    v = C.tikvview_new(ffi.new("struct tikvview_conf", { loop = kube.loop, http = kube.http, log = w.log,
      target = target, on_change = on_change }))
  end)
  after_each(function() C.tikvview_free(v) end)

  local function ask(keys, name)
    local tree = C.tikvview_ask(v, "ns", name or "basic-0", kube.tree(kube.encode(kube.list(keys or { "a.b" }))), 300)
    local s = C.json_string(tree)
    local out = ffi.string(s)
    ffi.C.free(s)
    C.json_free(tree)
    return out
  end

  local CONFIG = '{"a":{"b":8,"c":"x"},"log":{"level":"info"}}'

  it("reads when it is asked first, and keeps only what was asked for", function()
    assert.equal("false", kube.at(ask(), "known"))
    assert.equal("http://basic-0/config", w:request().url)
    w:request():reply(200, CONFIG)
    assert.same({ "ns/basic-0" }, told)
    local got = ask { "a.b" }
    assert.equal("true", kube.at(got, "known"))
    assert.equal('{"a.b":8}', kube.at(got, "values"))
    assert.equal("4 1000", kube.at(got, "since"))
    assert.equal(0, #w:open())
  end)

  it("reads again every so often, and tells only what changed", function()
    ask()
    w:request():reply(200, CONFIG)
    told = {}
    w:run(300000)
    w:request():reply(200, CONFIG)
    assert.same({}, told)
    w:run(300000)
    w:request():reply(200, '{"a":{"b":9}}')
    assert.same({ "ns/basic-0" }, told)
    assert.equal('{"a.b":9}', kube.at(ask(), "values"))
  end)

  it("reads again for another name", function()
    ask()
    w:request():reply(200, CONFIG)
    assert.equal("false", kube.at(ask { "a.b", "a.c" }, "known"))
    w:request():reply(200, CONFIG)
    assert.equal('{"a.b":8,"a.c":"x"}', kube.at(ask { "a.b", "a.c" }, "values"))
  end)

  it("forgets what another process said", function()
    ask()
    w:request():reply(200, CONFIG)
    C.tikvview_tried(v, "ns", "basic-0", kube.tree '{"a.b":8}', "no")
    w:request():reply(200, CONFIG)
    since = "4 2000"
    assert.equal("false", kube.at(ask(), "known"))
    w:request():reply(200, '{"a":{"b":1}}')
    local got = ask()
    assert.equal('{"a.b":1}', kube.at(got, "values"))
    assert.equal("{}", kube.at(got, "tried"))
  end)

  it("is unknown while it does not answer, lies, or nobody knows where it is", function()
    ask()
    w:request():fail(C.ERR_TIMEOUT, "timed out")
    assert.equal("timed out", kube.at(ask(), "reason"))
    w:run(30000)
    w:request():reply(200, "<html>")
    assert.equal("TiKV's /config is no JSON object", kube.at(ask(), "reason"))
    w:run(300000)
    w:request():reply(503, "")
    assert.equal("TiKV's /config: 503", kube.at(ask(), "reason"))
    url = nil
    assert.equal("PD does not tell where it answers", kube.at(ask(), "reason"))
    url = "http://"
    ask()
    w:request():reply(200, CONFIG)
    assert.equal("true", kube.at(ask(), "known"))
  end)

  it("reads back after a change, also when the read before it is still under way", function()
    ask()
    local early = w:request()
    C.tikvview_tried(v, "ns", "basic-0", kube.tree '{"a.b":9}', "500: read-only")
    early:reply(200, CONFIG)
    assert.same({}, told)
    w:request():reply(200, '{"a":{"b":9}}')
    assert.same({ "ns/basic-0" }, told)
    local got = ask()
    assert.equal('{"a.b":9}', kube.at(got, "values"))
    assert.equal('{"a.b":{"value":9,"why":"500: read-only"}}', kube.at(got, "tried"))
  end)

  it("tells of a change that changed nothing: somebody waits for it", function()
    ask()
    w:request():reply(200, CONFIG)
    told = {}
    C.tikvview_tried(v, "ns", "basic-0", kube.tree '{"a.b":9}', "no")
    w:request():reply(200, CONFIG)
    assert.same({ "ns/basic-0" }, told)
  end)

  it("reads eight at a time", function()
    for n = 1, 20 do ask(nil, "basic-" .. n) end
    assert.equal(8, #w:open())
    w:open()[1]:reply(200, CONFIG)
    assert.equal(8, #w:open())
    for _ = 1, 19 do w:open()[1]:reply(200, CONFIG) end
    assert.equal(0, #w:open())
    assert.equal(20, #told)
  end)

  it("is told once more after an hour, and forgets who does not ask then", function()
    ask()
    for _ = 1, 11 do
      w:request():reply(200, CONFIG)
      w:run(300000)
    end
    w:request():reply(200, CONFIG)
    told = {}
    w:run(300000)
    assert.same({ "ns/basic-0" }, told)
    assert.equal(0, #w:open())
    assert.equal(0, w:timers_left())
  end)
end)
