local k = require "kube.support"
local lib, ffi = k.lib, k.ffi

local function path(kind, ns, name, sub)
  local b = ffi.new("struct buf")
  lib.buf_init(b, 0)
  local rc = lib.ref_path(b, kind, ns, name, sub)
  local s = rc == 0 and ffi.string(b.at) or nil
  lib.buf_fini(b)
  return s
end

local function matches(selector, labels)
  local e = ffi.new("struct err")
  local s = lib.selector_parse(selector, e)
  assert(s ~= nil, ffi.string(e.msg))
  local ok = lib.selector_match(s, labels and k.tree(labels) or nil)
  lib.selector_free(s)
  return ok
end

describe("ref", function()
  it("builds paths of the core group, of named groups and of cluster-scoped kinds", function()
    assert.equal("/api/v1/namespaces/a/pods/b/status", path(lib.KIND_POD, "a", "b", "status"))
    assert.equal("/api/v1/pods", path(lib.KIND_POD, nil, nil, nil))
    assert.equal("/apis/core.tikv.org/v1alpha1/namespaces/a/tikvs/x", path(lib.KIND_TIKV, "a", "x", nil))
    assert.equal("/apis/storage.k8s.io/v1/storageclasses/fast", path(lib.KIND_STORAGECLASS, "a", "fast", nil))
  end)

  it("refuses a path that would reach another object or a whole collection (S14)", function()
    assert.is_nil(path(lib.KIND_POD, "a", "", nil))
    assert.is_nil(path(lib.KIND_POD, "", "b", nil))
    assert.is_nil(path(lib.KIND_POD, "a", "..", nil))
    assert.is_nil(path(lib.KIND_POD, "a", nil, "status"))
    assert.equal("/api/v1/namespaces/a/pods/b%2F..%2Fc", path(lib.KIND_POD, "a", "b/../c", nil))
  end)

  it("names every kind once, with its version and plural", function()
    local seen = {}
    for i = 0, tonumber(lib.KIND_COUNT) - 1 do
      local r = lib.kind_row(i)
      local name = ffi.string(r.kind)
      assert.is_nil(seen[name])
      seen[name] = true
      local group, version = ffi.string(r.group), ffi.string(r.version)
      local full = group == "" and version or group .. "/" .. version
      assert.equal(full, ffi.string(lib.kind_api_version(i)))
      local out = ffi.new("enum kind[1]")
      assert.equal(0, lib.kind_of(name, out))
      assert.equal(i, tonumber(out[0]))
      assert.equal(0, lib.kind_of_object(k.tree { apiVersion = full, kind = name }, out))
      assert.equal(-1, lib.kind_of_object(k.tree { apiVersion = full .. "x", kind = name }, out))
    end
  end)

  it("finds the controlling owner only", function()
    local t = k.tree { metadata = { ownerReferences = { { uid = "a" }, { uid = "b", controller = true } } } }
    local o = lib.ref_controller(t)
    assert.equal("b", ffi.string(lib.json_str(o, "uid", "")))
    assert.is_true(lib.ref_controller(k.tree { metadata = {} }) == nil)
  end)

  it("W13 compares resourceVersions as decimal texts of any length", function()
    assert.is_true(lib.rv_compare("9", "10") < 0)
    assert.is_true(lib.rv_compare("100000000000000000000001", "100000000000000000000000") > 0)
    assert.equal(0, lib.rv_compare("7", "7"))
    assert.is_true(lib.rv_compare("", "1") < 0)
    assert.is_true(lib.rv_valid("18446744073709551616"))
    for _, bad in ipairs { "", "0", "01", "1a", "-1" } do assert.is_false(lib.rv_valid(bad)) end
  end)

  it("matches label selectors as Kubernetes does", function()
    local l = { a = "b", f = "", e = "y" }
    for s, want in pairs {
      ["a=b"] = true, ["a==b"] = true, ["a=c"] = false, ["a!=c"] = true, ["g!=c"] = true,
      ["e in (x,y)"] = true, ["e in (x)"] = false, ["e notin (x, z)"] = true, ["q notin (x)"] = true,
      ["f"] = true, ["!g"] = true, ["g"] = false, ["!f"] = false, [""] = true,
      ["a=b, e in (x,y), !g"] = true, ["a=b,g"] = false, ["f="] = true,
    } do
      assert.equal(want, matches(s, l), s)
    end
    assert.is_true(matches("!a", nil))
  end)

  it("refuses malformed selectors and says where", function()
    for _, s in ipairs { "a=b,", "=b", "a in x", "a in (x", "a ~ b", "a=b c", "!" } do
      local e = ffi.new("struct err")
      assert.is_true(lib.selector_parse(s, e) == nil, s)
      assert.equal(tonumber(lib.ERR_INVALID), tonumber(e.code))
      assert.truthy(ffi.string(e.msg):find("byte", 1, true))
    end
  end)

  it("reads matchLabels and matchExpressions", function()
    local e = ffi.new("struct err")
    local s = lib.selector_of(k.tree { matchLabels = { a = "b" },
      matchExpressions = { { key = "z", operator = "In", values = { "1", "2" } },
        { key = "no", operator = "DoesNotExist" } } }, e)
    assert.is_true(lib.selector_match(s, k.tree { a = "b", z = "2" }))
    assert.is_false(lib.selector_match(s, k.tree { a = "b", z = "3" }))
    assert.is_false(lib.selector_match(s, k.tree { a = "b", z = "2", no = "x" }))
    lib.selector_free(s)
    assert.is_true(lib.selector_of(k.tree { matchExpressions = { { key = "z", operator = "In" } } }, e) == nil)
    assert.is_true(lib.selector_of(k.tree { matchExpressions = { { key = "z", operator = "Gt" } } }, e) == nil)
  end)
end)
