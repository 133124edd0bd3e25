local core = require "support.core"
local format = require "support.format"
local ffi = core.ffi
local lib = core.load("format/json.h")
local parse, print = format.parse, format.print

local function text(p)
  return p ~= nil and ffi.string(p) or nil
end

-- Nothing that is wrong may be read, and the message must say where it is wrong.
local function refuses(json, where, code)
  local tree, message, name = parse(json)
  assert.is_nil(tree, "it was read: " .. json)
  assert.is_truthy(message:find(where, 1, true), message)
  assert.equal(code or "invalid", name)
end

describe("reading JSON", function()
  it("keeps the order of members and every kind of value", function()
    local json = '{"z":1,"a":[true,false,null,"x",-2.5,{}],"m":{"b":[],"a":""}}'
    assert.equal(json, print(parse(json)))
  end)

  it("keeps an empty list a list and an empty object an object", function()
    assert.equal('{"l":[],"o":{}}', print(parse('{ "l" : [ ] , "o" : { } }')))
  end)

  it("takes any value at the top, with spaces around it", function()
    for _, json in ipairs { "null", "true", "false", "0", "-1", '"x"', "[]", "{}" } do
      assert.equal(json, print(parse(" \t\r\n" .. json .. "\n ")))
    end
  end)

  it("keeps integers of more than 15 digits exactly", function()
    for _, n in ipairs {
      "1000000000000000", "9007199254740993", "-9007199254740993", "18446744073709551615",
      "-9223372036854775808", "123456789012345678901234567890",
    } do
      assert.equal('{"id":' .. n .. "}", print(parse('{"id":' .. n .. "}")))
    end
    assert.equal("999999999999999", print(parse("999999999999999")))
  end)

  it("reads 64-bit ids as numbers and as text", function()
    local tree = parse('{"id":7468529472189456123,"big":18446744073709551616,"s":"7"}')
    assert.equal(7468529472189456123LL, lib.json_int(tree, "id", 0))
    assert.equal("7468529472189456123", text(lib.json_str(tree, "id", nil)))
    assert.equal(-1LL, lib.json_int(tree, "big", -1))
    assert.equal(-1LL, lib.json_int(tree, "s", -1))
    assert.equal(-1LL, lib.json_int(parse("9.223372036854775808e18"), "", -1))
  end)

  it("prints numbers with the shortest text that reads back as the same", function()
    for given, want in pairs {
      ["3.0"] = "3", ["0.1"] = "0.1", ["1e2"] = "100", ["1E+2"] = "100", ["5e-324"] = "5e-324",
      ["0.30000000000000004"] = "0.30000000000000004", ["1e15"] = "1e15", ["1.5e300"] = "1.5e300",
      ["123456789012345.0"] = "123456789012345", ["1e-7"] = "1e-7", ["-0.5"] = "-0.5",
      ["1.7976931348623157e308"] = "1.7976931348623157e308", ["1e22"] = "1e22", ["-0.0"] = "-0",
      ["1234567890123456.0"] = "1.234567890123456e15",
    } do
      local out = print(parse(given))
      assert.equal(want, out)
      assert.equal(tonumber(given), tonumber(out))
      assert.equal(out, print(parse(out)))
    end
  end)

  it("understands every escape sequence", function()
    local tree = parse([["\"\\\/\b\f\n\r\t\u0041\u00e9\u65e5\ud83d\ude00"]])
    assert.equal('"\\/\b\f\n\r\tAé日😀', text(lib.json_text(tree)))
    assert.equal([["\"\\/\b\f\n\r\tAé日😀"]], print(tree))
  end)

  it("names line and byte of what is wrong", function()
    refuses('{\n "a": 1,\n "b" 2\n}', "line 3, byte 16: a colon is missing")
    refuses('{"a":tru}', "line 1, byte 5")
    refuses('{"a":1', "line 1, byte 6: the text ends inside a value")
  end)

  it("refuses duplicate keys, however many keys there are and however they are written", function()
    refuses('{"a":1,"b":{"a":1},"a":2}', 'byte 19: duplicate key "a"')
    refuses([[{"a":1,"\u0061":2}]], 'byte 7: duplicate key "a"')
    local members = {}
    for i = 1, 100 do members[i] = ('"k%03d":%d'):format(i, i) end
    assert.is_truthy(parse("{" .. table.concat(members, ",") .. "}"))
    members[101] = '"k050":0'
    members[102] = '"k001":0'
    refuses("{" .. table.concat(members, ",") .. "}", 'duplicate key "k050"')
  end)

  it("lets the same key be in neighbouring and in nested objects", function()
    local inner = {}
    for i = 1, 40 do inner[i] = ('"k%d":{"k%d":[{"a":1},{"a":2}]}'):format(i, i) end
    local json = "{" .. table.concat(inner, ",") .. "}"
    assert.equal(json, print(parse(json)))
  end)

  it("bounds the depth", function()
    assert.is_truthy(parse(("["):rep(100) .. ("]"):rep(100)))
    refuses(("["):rep(101) .. ("]"):rep(101), "nested too deep", "too_large")
    refuses(('{"a":'):rep(101) .. "1" .. ("}"):rep(101), "nested too deep", "too_large")
    refuses(("["):rep(1000000), "nested too deep", "too_large")
  end)

  it("bounds the size", function()
    refuses('"' .. ("a"):rep(64 * 1024 * 1024) .. '"', "at most", "too_large")
  end)

  it("refuses bytes after the value", function()
    refuses("{} x", "byte 3: more bytes after the value")
    refuses("1 2", "byte 2")
    refuses("{}\0", "byte 2")
    refuses("[1]]", "byte 3")
  end)

  it("refuses NUL bytes, control characters and what is no UTF-8", function()
    refuses('"a\0b"', "byte 2: a control character")
    refuses('"a\nb"', "byte 2: a control character")
    refuses([["\u0000"]], "byte 1: \\u0000")
    for _, bad in ipairs {
      "\128", "\191", "\192\128", "\193\191", "\195", "\195(", "\224\128\128", "\224\159\191", "\237\160\128",
      "\237\191\191", "\240\128\128\128", "\240\143\191\191", "\244\144\128\128", "\245\128\128\128", "\255",
      "\226\130", "\240\159\152",
    } do
      refuses('"xy' .. bad .. '"', "byte 3: not UTF-8")
      refuses('["\\n' .. bad .. '"]', "byte 4: not UTF-8")
      refuses('{"' .. bad .. '":1}', "byte 2: not UTF-8")
    end
    for _, good in ipairs { "\194\128", "\237\159\191", "\238\128\128", "\240\144\128\128", "\244\143\191\191" } do
      assert.equal('"' .. good .. '"', print(parse('"' .. good .. '"')))
    end
  end)

  it("refuses lone surrogates and broken escapes", function()
    for _, bad in ipairs {
      [[\ud800]], [[\udc00]], [[\ud800x]], [[\ud800\n]], [[\ud800\u0041]], [[\ud800\ud800]], [[\udbff\ue000]],
    } do
      refuses('"' .. bad .. '"', "byte 1: a surrogate without its other half")
    end
    refuses([["\x41"]], "byte 1: unknown escape")
    refuses([["\u12g4"]], "byte 1: \\u needs four")
    refuses([["\u12]], "byte 1: \\u needs four")
    refuses([["\]], "ends inside a value")
    refuses([["abc\"]], "ends inside a value")
  end)

  it("refuses what only looks like JSON", function()
    for _, bad in ipairs {
      "", " ", "NaN", "nan", "Infinity", "-Infinity", "+1", "01", "-01", "00", "1.", ".5", "-", "1e", "1e+", "0x1",
      "1e400", "-1e400", "tru", "True", "nul", "nulll", "'a'", "{a:1}", "{1:1}", "[1,]", "[,1]", '{"a":1,}',
      "{,}", "[", "]", "{", "}", "[1 2]", '{"a" "b"}', '{"a":}', '{"a"}', "//x\n1", '"', "[1}", '{"a":1]',
      "\239\187\191{}",
    } do
      local tree, message, code = parse(bad)
      assert.is_nil(tree, bad)
      assert.is_truthy(message:find("invalid JSON at line %d+, byte %d+: "), bad .. ": " .. tostring(message))
      assert.equal("invalid", code)
    end
  end)

  it("does not need anybody to look at the error", function()
    assert.is_true(lib.json_parse("{", 1, nil) == nil)
  end)

  it("fails on every beginning of a text, and never reads past its end", function()
    local json = [[{"a":[1,-2.5e3,true,null,"x\u00e9\ud83d\ude00é"],"b":{"c":12345678901234567890}}]]
    for n = 0, #json - 1 do
      -- Its own memory, so that the address sanitizer sees a read past the end.
      local copy = ffi.cast("char *", ffi.C.malloc(n))
      ffi.copy(copy, json, n)
      local tree = lib.json_parse(copy, n, nil)
      ffi.C.free(copy)
      assert.is_true(tree == nil)
    end
    assert.is_truthy(parse(json))
  end)

  it("gives a tree that prints to what reads back as the same, for random trees", function()
    local rng = require("support.random")(7)
    for _ = 1, 2000 do
      local json = format.random_json(rng, 4)
      local tree = assert(parse(json))
      local again = assert(parse(print(tree)))
      assert.is_true(lib.json_equal(tree, again))
      assert.equal(print(tree), print(again))
      assert.equal(format.canonical(tree), format.canonical(again))
      assert.equal(print(tree), print(parse(format.pretty(tree))))
      local sorted = assert(parse(format.canonical(tree)))
      assert.is_true(lib.json_equal(tree, sorted))
      assert.equal(format.canonical(tree), format.canonical(sorted))
      local copy = ffi.gc(lib.json_clone(tree), lib.json_free)
      assert.equal(print(tree), print(copy))
    end
  end)
end)

describe("printing JSON", function()
  it("looks as kubectl -o json when it is meant for people", function()
    assert.equal([[
{
    "a": [
        1,
        {
            "b": {}
        }
    ],
    "c": []
}]], format.pretty(parse('{"a":[1,{"b":{}}],"c":[]}')))
  end)

  it("sorts keys at every level and calls -0 zero when it is canonical", function()
    assert.equal('{"a":[{"x":1,"y":0}],"b":2}', format.canonical(parse('{"b":2,"a":[{"y":-0,"x":1}]}')))
  end)

  it("writes valid JSON whatever is in the tree", function()
    local o = ffi.gc(lib.json_object(), lib.json_free)
    lib.json_put_str(o, "bad\255key", "a\1\128\"\\é\237\160\128")
    assert.equal([[{"bad]] .. "\239\191\189" .. [[key":"a\u0001]] .. "\239\191\189" .. [[\"\\é]] ..
      ("\239\191\189"):rep(3) .. '"}', print(o))
    assert.is_truthy(parse(print(o)))
  end)

  it("fails when the buffer is full, at every size", function()
    local tree = parse([[{"a":[1,-2.5e3,true,null,"x\n"],"b":{"c":12345678901234567890}}]])
    local n = #print(tree)
    for max = 1, n + 1 do
      local b = ffi.new("struct buf")
      lib.buf_init(b, max)
      assert.equal(max >= n and 0 or -1, lib.json_print(tree, b))
      lib.buf_fini(b)
    end
  end)
end)

describe("reading from a tree", function()
  local tree = parse([==[{
    "metadata": {"labels": {"app.kubernetes.io/name": "tikv", "a[0]": "odd", "x=y": "eq"}},
    "status": {"conditions": [{"type":"Synced","status":"False"},{"type":"Ready","status":"True","n":3,"ok":true},
      {"type":"Ready","status":"second"}], "zero": 0, "half": 0.5, "no": false, "nothing": null},
    "spec": {"ports": [{"port":20160},{"port":20180}], "matrix": [[1,2],[3,4]]}
  }]==])

  local function str(path)
    return text(lib.json_str(tree, path, nil))
  end

  it("follows members, places in lists and conditions", function()
    assert.equal("True", str("status.conditions[type=Ready].status"))
    assert.equal("Ready", str("status.conditions[n=3].type"))
    assert.equal("Ready", str("status.conditions[ok=true].type"))
    assert.equal(20180LL, lib.json_int(tree, "spec.ports[1].port", 0))
    assert.equal(4LL, lib.json_int(tree, "spec.matrix[1][1]", 0))
  end)

  it("takes escaped characters for parts of a key", function()
    assert.equal("tikv", str("metadata.labels.app\\.kubernetes\\.io/name"))
    assert.equal("odd", str("metadata.labels.a\\[0\\]"))
    assert.equal("eq", str("metadata.labels.x=y"))
  end)

  it("gives nothing for what is not there and for paths that make no sense", function()
    for _, path in ipairs {
      "a", "status.zero.x", "spec.ports[2]", "spec.ports[-1]", "spec.ports[01x]", "spec.ports[", "spec.ports[]",
      "spec.ports[999999999999]", "status.conditions[type=Gone]", "status.conditions[type=Ready", "spec[0]",
      "status..zero", "metadata.labels.app.kubernetes", "spec.ports.port",
    } do
      assert.is_true(lib.json_path(tree, path) == nil, path)
    end
    assert.is_true(lib.json_path(tree, "") == tree)
    assert.is_true(lib.json_path(nil, "a") == nil)
    assert.is_true(lib.json_get(nil, "a") == nil)
  end)

  it("falls back when a member is missing or of another type", function()
    assert.equal("f", text(lib.json_str(tree, "status.zero", "f")))
    assert.equal(9LL, lib.json_int(tree, "status.half", 9))
    assert.equal(9LL, lib.json_int(tree, "status.no", 9))
    assert.equal(0LL, lib.json_int(tree, "status.zero", 9))
    assert.is_false(lib.json_bool(tree, "status.no", true))
    assert.is_true(lib.json_bool(tree, "status.zero", true))
    assert.is_false(lib.json_bool(tree, "status.zero", false))
    assert.is_true(lib.json_text(lib.json_path(tree, "status.nothing")) == nil)
  end)
end)

describe("building a tree", function()
  it("replaces a member in its place", function()
    local o = parse('{"a":1,"b":{"x":1},"c":3}')
    lib.json_put_str(o, "b", "two")
    lib.json_put_int(o, "a", 10)
    lib.json_put_bool(o, "d", true)
    lib.json_put_int(o, "c", 30)
    assert.equal('{"a":10,"b":"two","c":30,"d":true}', print(o))
  end)

  it("nests, and adds nothing for a value that is not there", function()
    local o = ffi.gc(lib.json_object(), lib.json_free)
    local list = lib.json_put(o, "l", lib.json_array())
    lib.json_put_int(lib.json_add(list, lib.json_object()), "n", 1)
    lib.json_add(list, lib.json_array())
    assert.is_true(lib.json_put_str(o, "x", nil) == nil)
    assert.is_true(lib.json_put(o, "x", nil) == nil)
    assert.is_true(lib.json_add(list, nil) == nil)
    assert.equal('{"l":[{"n":1},[]]}', print(o))
  end)

  it("keeps 64-bit integers", function()
    local o = ffi.gc(lib.json_object(), lib.json_free)
    lib.json_put_int(o, "min", -9223372036854775807LL - 1)
    lib.json_put_int(o, "max", 9223372036854775807LL)
    lib.json_put_int(o, "last", 999999999999999LL)
    lib.json_put_int(o, "next", 1000000000000000LL)
    assert.equal('{"min":-9223372036854775808,"max":9223372036854775807,"last":999999999999999,' ..
      '"next":1000000000000000}', print(o))
    assert.equal(9223372036854775807LL, lib.json_int(o, "max", 0))
    assert.is_true(lib.json_equal(o, parse(print(o))))
  end)

  it("drops members at either end and in the middle, and goes on", function()
    local o = parse('{"a":1,"b":2,"c":3}')
    assert.is_true(lib.json_drop(o, "c"))
    assert.is_false(lib.json_drop(o, "c"))
    lib.json_put_int(o, "d", 4)
    assert.is_true(lib.json_drop(o, "a"))
    lib.json_put_int(o, "e", 5)
    assert.equal('{"b":2,"d":4,"e":5}', print(o))
    for _, k in ipairs { "b", "d", "e" } do lib.json_drop(o, k) end
    lib.json_put_int(o, "f", 6)
    assert.equal('{"f":6}', print(o))
  end)
end)

describe("comparing trees", function()
  local function same(a, b)
    return lib.json_equal(parse(a), parse(b))
  end

  it("does not care for the order of members but for the order of a list", function()
    assert.is_true(same('{"a":1,"b":[1,{"x":1,"y":2}]}', '{"b":[1,{"y":2,"x":1}],"a":1}'))
    assert.is_false(same("[1,2]", "[2,1]"))
  end)

  it("sees every difference", function()
    for _, pair in ipairs {
      { '{"a":1}', '{"a":2}' }, { '{"a":1}', '{"a":1,"b":1}' }, { '{"a":1,"b":1}', '{"a":1}' }, { "[]", "{}" },
      { "[1]", "[1,2]" }, { '"1"', "1" }, { "true", "false" }, { "null", "false" }, { '{"a":1}', '{"b":1}' },
      { '{"a":1,"b":2,"c":3}', '{"a":1,"c":3,"d":2}' }, { "12345678901234567", "12345678901234568" },
    } do
      assert.is_false(same(pair[1], pair[2]), pair[1] .. " and " .. pair[2])
    end
    assert.is_false(lib.json_equal(parse("1"), nil))
    assert.is_true(lib.json_equal(nil, nil))
  end)
end)
