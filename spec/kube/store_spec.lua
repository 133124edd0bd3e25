local k = require "kube.support"
local lib, ffi = k.lib, k.ffi

local function put(s, name, rv, over)
  local o, why = k.obj(lib.store_kind(s), k.object(name, rv, over))
  assert(o, why)
  return lib.store_put(s, o)
end

local function replace(s, list)
  local a = ffi.new("struct obj *[?]", #list + 1)
  for i, v in ipairs(list) do a[i - 1] = assert(k.obj(lib.store_kind(s), v)) end
  lib.store_replace(s, a, #list)
end

local function row(o, columns)
  local p = ffi.gc(lib.projections_new(), lib.projections_free)
  local n = #columns / 2
  local names, paths = ffi.new("const char *[?]", n), ffi.new("const char *[?]", n)
  for i = 0, n - 1 do names[i], paths[i] = columns[2 * i + 1], columns[2 * i + 2] end
  return ffi.string(lib.obj_row(o, lib.projection_of(p, names, paths, n))), p, names, paths
end

describe("an object", function()
  -- U-90
  it("keeps compact text without managedFields and kubectl's last applied configuration", function()
    local o = k.obj(lib.KIND_POD, { metadata = { name = "a", namespace = "n", uid = "u", resourceVersion = "1",
      managedFields = { { manager = "x" } },
      annotations = { ["kubectl.kubernetes.io/last-applied-configuration"] = "{}" } } })
    local text = ffi.string(o.text)
    assert.is_nil(text:find("managedFields", 1, true))
    assert.is_nil(text:find("annotations", 1, true))
    assert.equal(#text, tonumber(o.len))
    lib.obj_unref(o)
  end)

  it("keeps the other annotations", function()
    local o = k.obj(lib.KIND_TIKV, k.object("a", 1, { metadata = { annotations = { x = "y",
      ["kubectl.kubernetes.io/last-applied-configuration"] = "{}" } } }))
    assert.equal("y", k.at(ffi.string(o.text), "metadata.annotations.x"))
    lib.obj_unref(o)
  end)

  it("gets apiVersion and kind where a list of built-in objects leaves them out", function()
    local o = k.obj(lib.KIND_POD, { metadata = { name = "a", namespace = "n" }, spec = { x = 1 } })
    assert.equal('{"apiVersion":"v1","kind":"Pod",', ffi.string(o.text):sub(1, 32))
    assert.equal("1", k.at(ffi.string(o.text), "spec.x"))
    lib.obj_unref(o)
  end)

  it("shows key, namespace, name, uid, version, generation and deletion", function()
    local o = k.obj(lib.KIND_TIKV, k.object("a", 12, { metadata = { generation = 3,
      deletionTimestamp = "2026-01-01T00:00:00Z" } }))
    assert.equal("ns/a ns a uid-a 12", table.concat({ ffi.string(o.key), ffi.string(o.ns), ffi.string(o.name),
      ffi.string(o.uid), ffi.string(o.rv) }, " "))
    assert.equal(3, tonumber(o.generation))
    assert.is_true(o.deleting)
    lib.obj_unref(o)
  end)

  it("has a key without namespace when its kind is cluster-scoped", function()
    local o = k.obj(lib.KIND_NODE, { metadata = { name = "n1", namespace = "odd" } })
    assert.equal("n1", ffi.string(o.key))
    lib.obj_unref(o)
  end)

  it("is refused without a name, without a namespace, or when it is of another kind", function()
    local _, why, code = k.obj(lib.KIND_POD, { metadata = { namespace = "n" } })
    assert.truthy(why:find("name", 1, true))
    assert.equal(tonumber(lib.ERR_PROTOCOL), code)
    _, why = k.obj(lib.KIND_POD, { metadata = { name = "n" } })
    assert.truthy(why:find("namespace", 1, true))
    _, _, code = k.obj(lib.KIND_POD, k.object("a", 1))
    assert.equal(tonumber(lib.ERR_UNSUPPORTED), code)
    assert.is_nil((k.obj(lib.KIND_POD, "[]")))
    assert.is_nil((k.obj(lib.KIND_POD, "{")))
  end)

  it("lives as long as somebody holds it", function()
    local s = lib.store_new(lib.KIND_TIKV)
    put(s, "a", 1)
    local o = lib.obj_ref(lib.store_get(s, "ns", "a"))
    lib.store_free(s)
    assert.equal("ns/a", ffi.string(o.key))
    lib.obj_unref(o)
  end)
end)

describe("a row", function()
  local o
  before_each(function()
    o = k.obj(lib.KIND_TIKV, k.object("a", 1, { spec = { big = "x", ports = { { n = 1 }, { n = 2 } }, id = 5 },
      metadata = { labels = { ["app.kubernetes.io/name"] = "z" } } }))
  end)
  after_each(function() lib.obj_unref(o) end)

  it("has the named paths in order and leaves out what is absent", function()
    assert.equal('{"n":"a","two":2,"app":"z"}', (row(o, { "n", "metadata.name", "gone", "status.x", "two",
      "spec.ports[1].n", "app", "metadata.labels.app\\.kubernetes\\.io/name" })))
  end)

  it("can have the hash or the number of members of a value", function()
    assert.equal('{"p":2,"s":3}', (row(o, { "p", "spec.ports|len", "s", "spec|len", "n", "spec.id|len",
      "no", "nothing|hash" })))
    local h = row(o, { "h", "spec.ports[0]|hash" })
    -- sha256 of {"n":1}
    assert.equal('{"h":"2bfd14f43d17fc7cea24e0917a8879b4b2f880b8baeec1b9d90fbaad655e71bd"}', h)
  end)

  it("is made once and then remembered", function()
    local _, p, names, paths = row(o, { "n", "metadata.name" })
    local first = lib.obj_row(o, lib.projection_of(p, names, paths, 1))
    assert.is_true(first == lib.obj_row(o, lib.projection_of(p, names, paths, 1)))
  end)

  it("without names is the whole object", function()
    local p = lib.projections_new()
    assert.is_true(lib.projection_of(p, nil, nil, 0) == nil)
    assert.is_true(lib.obj_row(o, nil) == o.text)
    lib.projections_free(p)
  end)

  it("stays valid when the set of projections is gone", function()
    local p = lib.projections_new()
    local names, paths = ffi.new("const char *[1]", { "n" }), ffi.new("const char *[1]", { "metadata.name" })
    local text = lib.obj_row(o, lib.projection_of(p, names, paths, 1))
    lib.projections_free(p)
    assert.equal('{"n":"a"}', ffi.string(text))
  end)
end)

describe("a store", function()
  local w, s, events
  before_each(function()
    w = k.world()
    s, events = w:store()
  end)
  after_each(function() lib.store_free(s) end)

  it("tells what was added, changed and removed", function()
    put(s, "a", 1)
    put(s, "a", 2)
    assert.is_true(lib.store_remove(s, "ns/a", "uid-a"))
    assert.same({ "- ns/a@1", "ns/a@1 ns/a@2", "ns/a@2 -" }, { events[1], events[2], events[3] })
    assert.equal(0, tonumber(lib.store_count(s)))
  end)

  it("W11 drops a version that is not newer than the stored one", function()
    put(s, "a", 10)
    assert.is_false(put(s, "a", 10))
    assert.is_false(put(s, "a", 9))
    assert.is_true(put(s, "a", 11))
    assert.equal("ns/a@11", k.content(s))
    assert.equal(2, #events)
  end)

  it("W11 ignores the removal of a key that it does not have, or of another uid", function()
    put(s, "a", 1)
    assert.is_false(lib.store_remove(s, "ns/b", nil))
    assert.is_false(lib.store_remove(s, "ns/a", "uid-older"))
    assert.equal("ns/a@1", k.content(s))
  end)

  it("W12 tells a successor of the same name as removed, then added", function()
    put(s, "a", 1)
    put(s, "a", 5, { metadata = { uid = "uid-new" } })
    assert.same({ "ns/a@1 -", "- ns/a@5" }, { events[2], events[3] })
    replace(s, { k.object("a", 9, { metadata = { uid = "uid-newest" } }) })
    assert.same({ "ns/a@5 -", "- ns/a@9" }, { events[4], events[5] })
  end)

  it("L6 replaces everything by a list and tells only what differs, deletes included", function()
    put(s, "a", 1)
    put(s, "b", 2)
    put(s, "c", 3)
    local all = k.content(s)
    assert.equal("ns/a@1 ns/b@2 ns/c@3", all)
    local seen
    events.also = function() seen = seen or k.content(s) end
    replace(s, { k.object("b", 2), k.object("c", 4), k.object("d", 5) })
    assert.same({ "ns/a@1 -", "ns/c@3 ns/c@4", "- ns/d@5" }, { events[4], events[5], events[6] })
    assert.equal(6, #events)
    assert.equal("ns/b@2 ns/c@4 ns/d@5", seen) -- complete before the first word about it
  end)

  it("L8 does not care about the order of a list, nor about an item that comes twice", function()
    replace(s, { k.object("c", 3), k.object("a", 1), k.object("b", 7), k.object("b", 8), k.object("b", 6) })
    assert.equal("ns/a@1 ns/b@8 ns/c@3", k.content(s))
  end)

  it("believes a list that is older than what it has", function()
    put(s, "a", 10)
    replace(s, { k.object("a", 3) })
    assert.equal("ns/a@3", k.content(s))
  end)

  it("Q3 hands out the last known version of what a list no longer has", function()
    put(s, "a", 1)
    replace(s, {})
    assert.equal("ns/a@1 -", events[2])
  end)

  it("Q6 makes a new object of a new version: a held one does not change", function()
    put(s, "a", 1)
    local held = lib.obj_ref(lib.store_get(s, "ns", "a"))
    put(s, "a", 2)
    assert.equal("1", ffi.string(held.rv))
    lib.obj_unref(held)
  end)

  it("R7 finds children by the uid of their owner, whatever they are called", function()
    local owned = { metadata = { ownerReferences = { { uid = "o1" }, { uid = "o2" } } } }
    put(s, "b", 1, owned)
    put(s, "a", 2, owned)
    put(s, "c", 3)
    assert.equal("ns/a ns/b", k.found(s, lib.STORE_OWNER, "o2"))
    put(s, "a", 4)
    assert.equal("ns/b", k.found(s, lib.STORE_OWNER, "o2"))
    lib.store_remove(s, "ns/b", nil)
    assert.equal("", k.found(s, lib.STORE_OWNER, "o2"))
  end)

  it("finds objects by indexed label, cluster and namespace, sorted by key", function()
    local over = { metadata = { labels = { ["core.tikv.org/group"] = "g", other = "x" } },
      spec = { cluster = { name = "basic" } } }
    put(s, "b", 1, over)
    put(s, "a", 2, over)
    over.metadata.namespace = "ns-2"
    put(s, "z", 3, over)
    over.metadata.namespace = "ns2"
    put(s, "y", 4, over)
    assert.equal("ns/a ns/b", k.found(s, lib.STORE_LABEL, "ns/core.tikv.org/group=g"))
    assert.equal("ns-2/z", k.found(s, lib.STORE_LABEL, "ns-2/core.tikv.org/group=g"))
    assert.equal("", k.found(s, lib.STORE_LABEL, "ns/other=x"))
    assert.equal("ns/a ns/b", k.found(s, lib.STORE_CLUSTER, "ns/basic"))
    assert.equal("ns/a ns/b", k.found(s, lib.STORE_NAMESPACE, "ns"))
    assert.equal("ns-2/z", k.found(s, lib.STORE_NAMESPACE, "ns-2"))
    assert.equal("", k.found(s, lib.STORE_NAMESPACE, "n"))
    assert.equal("ns-2/z ns/a ns/b ns2/y", k.found(s, lib.STORE_ALL, nil))
  end)

  it("finds cluster-scoped objects by label without a namespace", function()
    local nodes = lib.store_new(lib.KIND_NODE)
    lib.store_put(nodes, (k.obj(lib.KIND_NODE, { metadata = { name = "n", uid = "u", resourceVersion = "1",
      labels = { ["app.kubernetes.io/managed-by"] = "m" } } })))
    assert.equal("n", k.found(nodes, lib.STORE_LABEL, "app.kubernetes.io/managed-by=m"))
    lib.store_free(nodes)
  end)

  it("gets by namespace and name", function()
    put(s, "a", 1)
    assert.equal("1", ffi.string(lib.store_get(s, "ns", "a").rv))
    assert.is_true(lib.store_get(s, "ns", "b") == nil)
    assert.is_true(lib.store_get(s, "other", "a") == nil)
  end)

  -- U-94
  it("finds each of hundreds of owners while objects come and go", function()
    local there = {}
    local function check()
      for i = 1, 300 do
        assert.equal(there[i] and "ns/o" .. i or "", k.found(s, lib.STORE_OWNER, "owner-" .. i))
      end
    end
    for round = 1, 6 do
      for i = round, 300, 1 + round % 3 do
        if there[i] then
          lib.store_remove(s, "ns/o" .. i, nil)
          there[i] = nil
        else
          put(s, "o" .. i, round, { metadata = { ownerReferences = { { uid = "owner-" .. i } } } })
          there[i] = true
        end
      end
      check()
    end
  end)

  it("ends with the same indexes however the same objects came", function()
    local groups = { "g0", "g1", "g2" }
    local function of(i)
      return k.object("o" .. i % 17, i, { metadata = { labels = { ["core.tikv.org/group"] = groups[i % 3 + 1] } } })
    end
    for i = 1, 200 do
      if i % 5 == 0 then
        lib.store_remove(s, "ns/o" .. (i * 7) % 17, nil)
      else
        lib.store_put(s, (k.obj(lib.KIND_TIKV, of(i))))
      end
    end
    local list = {}
    for key, rv in k.content(s):gmatch("ns/(%S+)@(%d+)") do
      list[#list + 1] = of(tonumber(rv))
      assert.equal(key, list[#list].metadata.name)
    end
    local t = lib.store_new(lib.KIND_TIKV)
    replace(t, list)
    assert.equal(k.content(t), k.content(s))
    for _, g in ipairs(groups) do
      local v = "ns/core.tikv.org/group=" .. g
      assert.equal(k.found(t, lib.STORE_LABEL, v), k.found(s, lib.STORE_LABEL, v))
    end
    lib.store_free(t)
  end)
end)
