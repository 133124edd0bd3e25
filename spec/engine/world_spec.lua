local core = require "support.core"
local C = core.load("kube/store.h", "base/clock.h", "engine/world.h")
local ffi = core.ffi
ffi.cdef "void free(void *);"

local function tree(json)
  local e = ffi.new("struct err")
  local t = C.json_parse(json, #json, e)
  assert(t ~= nil, ffi.string(e.msg))
  return t
end

local function text(node)
  if node == nil then return nil end
  local s = C.json_string(node)
  local out = ffi.string(s)
  ffi.C.free(s)
  return out
end

local function object(kind, meta, rest)
  local row = C.kind_row(kind)
  return ('{"apiVersion":"%s","kind":"%s","metadata":{%s}%s}'):format(ffi.string(C.kind_api_version(kind)),
    ffi.string(row.kind), meta, rest and "," .. rest or "")
end

local function meta(name, rv, more)
  return ('"name":"%s","namespace":"ns","uid":"uid-%s","resourceVersion":"%s"%s'):format(name, name,
    rv or "1", more and "," .. more or "")
end

local function obj(kind, json)
  local e = ffi.new("struct err")
  local o = C.obj_new(kind, json, #json, e)
  assert(o ~= nil, ffi.string(e.msg))
  return o
end

local OWNED = '"ownerReferences":[{"apiVersion":"core.tikv.org/v1alpha1","kind":"TiKV","name":"a",' ..
  '"uid":"uid-a","controller":true}]'

local RUNNING = '"status":{"phase":"Running"}'

describe("world", function()
  local w, stores, src, callbacks, clock, now, self, trouble

  local function callback(ctype, fn)
    local cb = ffi.cast(ctype, fn)
    callbacks[#callbacks + 1] = cb
    return cb
  end

  local function store(kind)
    local s = C.store_new(kind)
    C.store_set_synced(s, true)
    stores[tonumber(kind)] = s
    return s
  end

  before_each(function()
    stores, callbacks, now, trouble = {}, {}, 1767225600000, {}
    clock = ffi.new("struct clock")
    clock.mono_ms = callback("int64_t (*)(void *)", function() return now end)
    clock.wall_ms = callback("int64_t (*)(void *)", function() return now end)
    src = ffi.new("struct world_sources")
    src.clock = clock
    src.store = callback("struct store *(*)(void *, enum kind)", function(_, k)
      return stores[tonumber(k)]
    end)
    src.trouble = callback("const char *(*)(void *, enum kind)", function(_, k)
      return trouble[tonumber(k)] or ""
    end)
    w = C.world_new(src)
    local json = object(C.KIND_TIKV, meta("a"), '"spec":{"cluster":{"name":"c"}}')
    self = obj(C.KIND_TIKV, json)
    store(C.KIND_TIKV)
    C.store_put(stores[tonumber(C.KIND_TIKV)], C.obj_ref(self))
  end)

  after_each(function()
    C.world_free(w)
    C.obj_unref(self)
    for _, s in pairs(stores) do C.store_free(s) end
    for _, cb in ipairs(callbacks) do cb:free() end
  end)

  local function build(needs, last, key)
    local e = ffi.new("struct err")
    local n = tree(needs)
    local t = C.world_build(w, key or "TiKV/ns/a", self, n, last and tree(last), e)
    C.json_free(n)
    if t == nil then return nil, ffi.string(e.msg), e.code end
    -- as the script sees it: objects and rows stand in it as lent texts
    local whole = tree(text(t))
    C.json_free(t)
    return ffi.gc(whole, C.json_free)
  end

  local function at(t, path) return text(C.json_path(t, path)) end

  local function interested(old, new)
    local keys = {}
    local fn = ffi.cast("world_key_fn *", function(_, k) keys[#keys + 1] = ffi.string(k) end)
    C.world_interested(w, old, new, fn, nil)
    fn:free()
    return keys
  end

  it("always tells time, kind, object and operator", function()
    src.operator_facts = callback("cJSON *(*)(void *)", function() return tree '{"version":"v1"}' end)
    C.world_free(w)
    w = C.world_new(src)
    local t = build("[]", '{"refused":{"rule":"G3"}}')
    assert.equal("1767225600", at(t, "now"))
    assert.equal('{"year":2026,"month":1,"day":1,"hour":0,"minute":0,"second":0,"weekday":4}', at(t, "clock"))
    assert.equal('"TiKV"', at(t, "kind"))
    assert.equal('"a"', at(t, "object.metadata.name"))
    assert.equal("false", at(t, "deleting"))
    assert.equal('"v1"', at(t, "operator.version"))
    assert.equal('"G3"', at(t, "last.refused.rule"))
    assert.equal("{}", at(t, "unknown"))
  end)

  it("Lua's empty list of needs is a list", function() assert.truthy(build("{}")) end)

  it("gives rows by owner, sorted, with the fields asked for", function()
    local pods = store(C.KIND_POD)
    C.store_put(pods, obj(C.KIND_POD, object(C.KIND_POD, meta("z", 2, OWNED), RUNNING)))
    C.store_put(pods, obj(C.KIND_POD, object(C.KIND_POD, meta("b", 3, OWNED))))
    C.store_put(pods, obj(C.KIND_POD, object(C.KIND_POD, meta("other", 4))))
    local t = build [==[[{"as":"pods","kind":"Pod","owner":"uid-a",
      "fields":{"name":"metadata.name","phase":"status.phase"}}]]==]
    assert.equal('[{"name":"b"},{"name":"z","phase":"Running"}]', at(t, "pods"))
  end)

  it("gives rows by label, of its own namespace only", function()
    local pods = store(C.KIND_POD)
    local label = '"labels":{"core.tikv.org/group":"g"}'
    C.store_put(pods, obj(C.KIND_POD, object(C.KIND_POD, meta("b", 3, label))))
    C.store_put(pods, obj(C.KIND_POD, (object(C.KIND_POD, meta("c", 3, label)):gsub('"ns"', '"elsewhere"'))))
    local t = build [==[[{"as":"pods","kind":"Pod","label":["core.tikv.org/group","g"],
      "fields":{"n":"metadata.name"}}]]==]
    assert.equal('[{"n":"b"}]', at(t, "pods"))
  end)

  it("gives rows by cluster, of the namespace, and of all for cluster-scoped kinds", function()
    local nodes = store(C.KIND_NODE)
    C.store_put(nodes, obj(C.KIND_NODE, object(C.KIND_NODE, '"name":"n1","uid":"x","resourceVersion":"5"')))
    local t = build [==[[{"as":"mine","kind":"TiKV","cluster":"c","fields":{"n":"metadata.name"}},
      {"as":"all","kind":"TiKV","fields":{"n":"metadata.name"}},
      {"as":"nodes","kind":"Node","fields":{"n":"metadata.name"}},
      {"as":"none","kind":"TiKV","cluster":"d"}]]==]
    assert.equal('[{"n":"a"}]', at(t, "mine"))
    assert.equal('[{"n":"a"}]', at(t, "all"))
    assert.equal('[{"n":"n1"}]', at(t, "nodes"))
    assert.equal('[]', at(t, "none"))
  end)

  it("gives one whole object by name, absent when there is none or its uid is another", function()
    local nodes = store(C.KIND_NODE)
    C.store_put(nodes, obj(C.KIND_NODE, object(C.KIND_NODE, '"name":"n1","uid":"x","resourceVersion":"5"')))
    local t = build [==[[{"as":"yes","kind":"Node","name":"n1","uid":"x"},
      {"as":"no","kind":"Node","name":"n1","uid":"y"},
      {"as":"gone","kind":"Node","name":"n2"}]]==]
    assert.equal('"x"', at(t, "yes.metadata.uid"))
    assert.is_nil(at(t, "no"))
    assert.is_nil(at(t, "gone"))
    assert.equal("{}", at(t, "unknown"))
  end)

  -- U-66, U-93
  it("unknown is never an empty list: unwatched, unsynced and denied kinds say why", function()
    C.store_set_synced(store(C.KIND_POD), false)
    store(C.KIND_CLAIM)
    C.store_set_synced(stores[tonumber(C.KIND_CLAIM)], false)
    trouble[tonumber(C.KIND_CLAIM)] = "403: may not list"
    local t = build [==[[{"as":"nodes","kind":"Node"},{"as":"pods","kind":"Pod"},
      {"as":"claims","kind":"PersistentVolumeClaim"}]]==]
    assert.is_nil(at(t, "nodes"))
    assert.is_nil(at(t, "pods"))
    assert.is_nil(at(t, "claims"))
    assert.equal('{"nodes":"not watched","pods":"not synced yet","claims":"403: may not list"}',
      at(t, "unknown"))
  end)

  it("carries the age of every source", function()
    C.store_set_heard(store(C.KIND_POD), now - 7500)
    local t = build [==[[{"as":"pods","kind":"Pod"}]]==]
    assert.equal('{"Pod":7}', at(t, "ages"))
  end)

  it("says that there is no PD", function()
    local t = build [==[[{"as":"pd","pd":"c","stores":"all"}]]==]
    assert.equal('{"known":false,"settled":false,"reason":"no PD yet"}', at(t, "pd"))
  end)

  it("refuses needs that it does not understand, and names them", function()
    for needs, why in pairs {
      ['[{"kind":"Pod"}]'] = "without `as`",
      ['[{"as":"x"}]'] = "x: kind: missing",
      ['[{"as":"x","kind":"Pods"}]'] = "unknown kind Pods",
      ['[{"as":"x","kind":"Pod","feilds":{}}]'] = "x: unknown key feilds",
      ['[{"as":"now","kind":"Pod"}]'] = "as=now",
      ['[{"as":"x","kind":"Pod","owner":"u","cluster":"c"}]'] = "only one of",
      ['[{"as":"x","kind":"Pod","uid":"u"}]'] = "uid without name",
      ['[{"as":"x","kind":"Pod","fields":{"a":1}}]'] = "fields.a",
      ['[{"as":"x","kind":"Pod","label":["a"]}]'] = "label",
      ['[{"as":"x","pd":"c","kind":"Pod"}]'] = "unknown key kind",
      ['[{"as":"x","pd":"c","stores":"some"}]'] = "stores",
      ['[{"as":"x","pd":"c","fresh":"soon"}]'] = "fresh",
      ['[{"as":"x","pd":"c"},{"as":"x","kind":"Pod"}]'] = "named twice",
      ['{"as":"x"}'] = "expected a list",
    } do
      local t, msg, code = build(needs)
      assert.is_nil(t, needs)
      assert.truthy(msg:find(why, 1, true), msg .. " / " .. why)
      assert.equal(C.ERR_INVALID, code)
    end
  end)

  describe("wakes a key", function()
    local function pod(rv, phase, note)
      return ffi.gc(obj(C.KIND_POD, object(C.KIND_POD, meta("p", rv, OWNED ..
        (note and ',"annotations":{"x":"' .. note .. '"}' or "")), '"status":{"phase":"' .. phase .. '"}')),
        C.obj_unref)
    end

    before_each(function()
      store(C.KIND_POD)
      build [==[[{"as":"pods","kind":"Pod","owner":"uid-a","fields":{"phase":"status.phase"}}]]==]
    end)

    it("when a row that it asked for changes, comes or goes", function()
      assert.same({ "TiKV/ns/a" }, interested(pod(1, "Pending"), pod(2, "Running")))
      assert.same({ "TiKV/ns/a" }, interested(nil, pod(2, "Running")))
      assert.same({ "TiKV/ns/a" }, interested(pod(2, "Running"), nil))
    end)

    it("not when something else of the object changes", function()
      assert.same({}, interested(pod(1, "Running"), pod(2, "Running", "note")))
    end)

    it("not for objects that it did not ask for", function()
      local o = ffi.gc(obj(C.KIND_POD, object(C.KIND_POD, meta("p", 1))), C.obj_unref)
      assert.same({}, interested(nil, o))
    end)

    it("when an object begins or ceases to match, though the row stays the same", function()
      local o = ffi.gc(obj(C.KIND_POD, object(C.KIND_POD, meta("p", 1), RUNNING)), C.obj_unref)
      assert.same({ "TiKV/ns/a" }, interested(o, pod(2, "Running")))
      assert.same({ "TiKV/ns/a" }, interested(pod(2, "Running"), o))
    end)

    it("once, however many of its needs are touched", function()
      build [==[[{"as":"pods","kind":"Pod","owner":"uid-a","fields":{"phase":"status.phase"}},
        {"as":"all","kind":"Pod"},{"as":"one","kind":"Pod","name":"p"}]]==]
      assert.same({ "TiKV/ns/a" }, interested(pod(1, "Pending"), pod(2, "Running")))
    end)

    it("by its newest needs only, and not at all when it is forgotten", function()
      build [==[[{"as":"one","kind":"Pod","name":"q"}]]==]
      assert.same({}, interested(pod(1, "Pending"), pod(2, "Running")))
      build [==[[{"as":"one","kind":"Pod","name":"p"}]]==]
      assert.same({ "TiKV/ns/a" }, interested(pod(1, "Pending"), pod(2, "Running")))
      C.world_forget(w, "TiKV/ns/a")
      assert.same({}, interested(pod(1, "Pending"), pod(2, "Running")))
    end)

    it("still by the old needs when the new ones were refused", function()
      assert.is_nil(build [==[[{"as":"one","kind":"Nonsense"}]]==])
      assert.same({ "TiKV/ns/a" }, interested(pod(1, "Pending"), pod(2, "Running")))
    end)

    it("for PD topics that it asked for", function()
      local function pd(needs, ...)
        build(needs)
        local list = ffi.new("const char *[?]", select("#", ...), { ... })
        local keys = {}
        local fn = ffi.cast("world_key_fn *", function(_, k) keys[#keys + 1] = ffi.string(k) end)
        C.world_interested_pd(w, "ns", "c", list, select("#", ...), fn, nil)
        fn:free()
        return #keys
      end
      local own = '[{"as":"pd","pd":"c","store":"18446744073709551615"}]'
      assert.equal(1, pd(own, "store:18446744073709551615"))
      assert.equal(1, pd(own, "figures:18446744073709551615"))
      assert.equal(0, pd(own, "store:2", "leader", "members", "counts"))
      assert.equal(1, pd(own, "known"))
      assert.equal(1, pd(own, "history"))
      local all = '[{"as":"pd","pd":"c","stores":"all"}]'
      assert.equal(1, pd(all, "store:2"))
      assert.equal(0, pd(all, "figures:2"))
      assert.equal(1, pd('[{"as":"pd","pd":"c","stores":"all","wake":["figures"]}]', "figures:2"))
      assert.equal(0, pd('[{"as":"pd","pd":"c","stores":"all","wake":["figures"]}]', "store:2"))
      assert.equal(1, pd('[{"as":"pd","pd":"c","member":"m"}]', "leader"))
      assert.equal(0, pd('[{"as":"pd","pd":"c","member":"m"}]', "counts", "store:1"))
      assert.equal(1, pd('[{"as":"pd","pd":"c"}]', "counts"))
      assert.equal(0, pd('[{"as":"pd","pd":"d"}]', "counts"))
      assert.equal(0, pd('[{"as":"pd","pd":"c","wake":[]}]', "counts", "leader", "settled"))
    end)
  end)

  it("knows its subscribers: an event of one pod among 1,000 keys wakes one", function()
    store(C.KIND_POD)
    for i = 1, 1000 do
      build(('[{"as":"p","kind":"Pod","name":"p%d","fields":{"x":"status.phase"}},' ..
        '{"as":"mine","kind":"TiKV","cluster":"c","fields":{"n":"metadata.name"}}]'):format(i), nil,
        "TiKV/ns/" .. i)
    end
    local p = ffi.gc(obj(C.KIND_POD, object(C.KIND_POD, meta("p77"))), C.obj_unref)
    assert.same({ "TiKV/ns/77" }, interested(nil, p))
    for i = 1, 1000, 2 do C.world_forget(w, "TiKV/ns/" .. i) end
    local kv = object(C.KIND_TIKV, meta("x"), '"spec":{"cluster":{"name":"c"}}')
    kv = ffi.gc(obj(C.KIND_TIKV, kv), C.obj_unref)
    assert.equal(500, #interested(nil, kv))
    assert.same({}, interested(nil, p))
  end)
end)
