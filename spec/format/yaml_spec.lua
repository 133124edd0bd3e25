local format = require "support.format"
local random = require "support.random"
local core = require "support.core"
local lib = core.load("format/json.h")

-- The documents of a text as one JSON list.
local function docs(text)
  local tree, lines, json = format.yaml(text)
  assert(tree, lines)
  return json, lines
end

local function one(text)
  local json = docs(text)
  return json:sub(2, -2)
end

local function refuses(text, where, code)
  local tree, message, name = format.yaml(text, "x.yaml")
  assert.is_nil(tree, "it was read: " .. text)
  assert.is_truthy(message:find(where, 1, true), message)
  assert.equal(code or "invalid", name)
end

describe("reading YAML", function()
  it("reads block and flow styles and every style of text", function()
    assert.equal('{"a":{"b":[1,{"c":"d"},["e"]],"f":{"g":"h i"}},"l":"x\\ny\\n","k":"x\\ny",' ..
      '"w":"one two","q":"it\'s","d":"a\\tb"}',
      one [[
a:
  b:
  - 1
  - c: d
  - - e
  f: {g: "h i"}
l: |
  x
  y
k: |-
  x
  y
w: >-
  one
  two
q: 'it''s'
d: "a\tb"
]])
  end)

  it("reads several documents, leaves out the empty ones and knows where each begins", function()
    local json, lines = docs "# nothing yet\n\na: 1\n---\n---\n# only a comment\n---\n\nb: 2\n...\n---\n[3]\n---\n"
    assert.equal('[{"a":1},{"b":2},[3]]', json)
    assert.same({ 3, 9, 12 }, lines)
  end)

  it("takes nothing for no documents", function()
    for _, text in ipairs { "", "\n", "# x\n", "---\n", "---\n---\n...\n" } do
      assert.equal("[]", (docs(text)))
    end
  end)

  it("knows the core schema", function()
    for text, want in pairs {
      ["true"] = "true", ["True"] = "true", ["TRUE"] = "true", ["false"] = "false", ["null"] = "null", ["~"] = "null",
      ["Null"] = "null", ["12"] = "12", ["-12"] = "-12", ["+12"] = "12", ["0"] = "0", ["-0"] = "0", ["0x1F"] = "31",
      ["0o17"] = "15", ["1.5"] = "1.5", ["-.5"] = "-0.5", ["1."] = "1", ["1e3"] = "1000", ["1.5E-3"] = "0.0015",
      ["yes"] = '"yes"', ["no"] = '"no"', ["on"] = '"on"', ["tRUE"] = '"tRUE"', ["0x"] = '"0x"', ["0xg"] = '"0xg"',
      ["0o8"] = '"0o8"', ["1e"] = '"1e"', ["."] = '"."', ["-"] = nil, ["1_000"] = '"1_000"', ["10Gi"] = '"10Gi"',
      ["2026-01-02"] = '"2026-01-02"', ["1.2.3"] = '"1.2.3"', ["12:30"] = '"12:30"', ["100m"] = '"100m"',
      ["--1"] = '"--1"',
      ["'12'"] = '"12"', ['"true"'] = '"true"', ["''"] = '""', ["! 12"] = '"12"', ["!!str 12"] = '"12"',
      ["!!int 12"] = "12", ["!!float 12"] = "12", ["!!float 1.5"] = "1.5", ["!!bool true"] = "true",
      ["!!null ~"] = "null",
    } do
      assert.equal('{"v":' .. want .. "}", one("v: " .. text), text)
    end
    assert.equal('{"v":null}', one("v:"))
    assert.equal('{"v":null,"w":1}', one("v:\nw: 1"))
  end)

  it("takes a leading zero for octal, as kubectl does", function()
    assert.equal('{"defaultMode":420}', one("defaultMode: 0644"))
    assert.equal('{"a":0,"b":-8,"c":899}', one("{a: 00, b: -010, c: 0899}"))
  end)

  it("keeps integers of more than 15 digits exactly", function()
    assert.equal("[18446744073709551615,-12345678901234567890123,999999999999999,18446744073709551615]",
      one("[18446744073709551615, -12345678901234567890123, +999999999999999, 0xffffffffffffffff]"))
    refuses("a: 0x10000000000000000", "x.yaml:1:4: an integer of more than 64 bits")
  end)

  it("refuses numbers that JSON does not have", function()
    for _, text in ipairs { ".inf", "-.INF", "+.Inf", ".nan", "1e999" } do
      refuses("a: " .. text, "x.yaml:1:4: ")
    end
  end)

  it("understands anchors, aliases and merge keys", function()
    assert.equal('{"a":{"x":1},"b":{"x":1},"c":["t","t"]}', one("a: &a {x: 1}\nb: *a\nc: [&t t, *t]"))
    assert.equal('{"base":{"x":1,"y":2},"m":{"y":3,"x":1}}', one("base: &b {x: 1, y: 2}\nm:\n  <<: *b\n  y: 3"))
    assert.equal('{"m":{"x":1,"y":2,"z":3}}', one("m: {<<: [{x: 1, y: 2}, {y: 9, z: 3}]}"))
    assert.equal('{"c":2,"a":1,"b":2}', one("<<: {a: 1, b: &x 2}\nc: *x"))
    assert.equal('{"k":1,"v":"k"}', one("&a k: 1\nv: *a"))
    assert.equal('{"k":"k2","k2":1}', one("k: &a k2\n*a : 1"))
    assert.equal('{"<<":1}', one("'<<': 1"))
  end)

  it("keeps the anchors of a document to itself, and may define one anew", function()
    refuses("a: &a 1\n---\nb: *a\n", 'x.yaml:3:4: no anchor "a"')
    assert.equal('{"a":1,"b":1,"c":2,"d":2}', one("{a: &x 1, b: *x, c: &x 2, d: *x}"))
  end)

  it("refuses an alias that is nowhere or inside itself", function()
    refuses("a: *nope", 'x.yaml:1:4: no anchor "nope"')
    refuses("a: &a [*a]", 'x.yaml:1:8: no anchor "a"')
    refuses("<<: 1", "<< takes a mapping")
    refuses("<<: [1]", "<< takes a mapping")
    refuses("<<: {a: 1}\n<<: {b: 1}", 'x.yaml:2:1: duplicate key "<<"')
  end)

  it("bounds what aliases expand to", function()
    local text = { "a0: &a0 [lol,lol,lol,lol,lol,lol,lol,lol,lol]" }
    for i = 1, 12 do
      text[#text + 1] = ("a%d: &a%d [%s]"):format(i, i, ("*a%d"):format(i - 1):rep(9, ","))
    end
    refuses(table.concat(text, "\n"), "more than 16 MiB", "too_large")
    local deep = { "a0: &a0 [1]" }
    for i = 1, 120 do deep[#deep + 1] = ("a%d: &a%d [*a%d]"):format(i, i, i - 1) end
    refuses(table.concat(deep, "\n"), "nested too deep", "too_large")
    local merges = { "a0: &a0 {" .. ("k"):rep(10) .. ": 1}" }
    for i = 1, 30 do
      merges[#merges + 1] = ("a%d: &a%d {<<: [*a%d], x%d: *a%d, y%d: *a%d}"):format(i, i, i - 1, i, i - 1, i, i - 1)
    end
    refuses(table.concat(merges, "\n"), "more than 16 MiB", "too_large")
  end)

  it("bounds depth and size", function()
    assert.is_truthy(format.yaml(("["):rep(100) .. ("]"):rep(100)))
    refuses(("["):rep(101) .. ("]"):rep(101), "nested too deep", "too_large")
    refuses(("- "):rep(101) .. "x", "nested too deep", "too_large")
    refuses(("a"):rep(16 * 1024 * 1024 + 1), "more than 16 MiB", "too_large")
  end)

  it("refuses duplicate keys, also among many", function()
    refuses("a: 1\nb: {c: 1}\na: 2\n", 'x.yaml:3:1: duplicate key "a"')
    refuses("1: x\n'1': y\n", 'x.yaml:2:1: duplicate key "1"')
    local many = {}
    for i = 1, 60 do many[i] = ("k%d: %d"):format(i, i) end
    assert.is_truthy(format.yaml(table.concat(many, "\n")))
    many[61] = "k7: 0"
    refuses(table.concat(many, "\n"), 'x.yaml:61:1: duplicate key "k7"')
  end)

  it("takes plain keys for texts and refuses the others", function()
    assert.equal('{"true":1,"12":2,"12345678901234567890":3,"yes":4}',
      one("True: 1\n12: 2\n12345678901234567890: 3\nyes: 4"))
    for _, key in ipairs { "~", "null", "1.5", "[a]", "{a: b}", "'' : 1\n''" } do
      local tree, message = format.yaml("? " .. key .. "\n: 1")
      assert.is_nil(tree, key)
      assert.is_truthy(message:find("key", 1, true), message)
    end
  end)

  it("refuses tags that are not of the core", function()
    for _, text in ipairs {
      "!!binary aGVsbG8=", "!!timestamp 2026-01-01", "!mine x", "!!set {a}", "!!omap [a: 1]", "!!map [1]",
      "!!seq {a: 1}",
      "!!int x", "!!bool 1", "!!null 1", "!!int 1.5", "!!float x",
    } do
      refuses("a: " .. text, "x.yaml:1:4: ")
    end
    assert.equal('{"a":[{"b":1}]}', one("a: !!seq [!!map {b: 1}]"))
  end)

  it("names file, line and column of what is wrong", function()
    refuses("a: 1\n b: 2\n", "x.yaml:2:3: ")
    refuses("a:\n\t- x\n", "x.yaml:2:1: ")
    refuses("a: [1, 2\nb: 3\n", "x.yaml:2:")
    refuses("a: 'x\n", "x.yaml:2:1: ")
    refuses("ok: 1\n---\na: @x\n", "x.yaml:3:4: ")
    refuses("a: 1\nb: \"\255\"\n", "x.yaml:")
    refuses('a: "x\\0y"', "x.yaml:1:4: a NUL")
  end)

  it("reads JSON as it is", function()
    local json = [==[{"a":[1,-2.5,true,null,"x\n\"\\/é😀",{}],"b":{"c":[]}}]==]
    assert.equal(format.print(format.parse(json)), one(json))
  end)
end)

describe("printing YAML", function()
  local function printed(json)
    local text = format.yaml_print(assert(format.parse(json)))
    local tree, why, back = format.yaml(text)
    assert(tree, tostring(why) .. "\n" .. text)
    assert.is_true(lib.json_equal(lib.json_path(tree, "[0]"), format.parse(json)), text .. back)
    return text
  end

  it("looks as kubectl -o yaml", function()
    assert.equal([[
apiVersion: v1
metadata:
  name: basic-tikv-0
  labels:
    app.kubernetes.io/name: tikv
    port: "20160"
spec:
  containers:
  - name: tikv
    args:
    - "--addr=0.0.0.0:20160"
    - a b
    resources: {}
  - []
  - - 1
    - x: null
  config: |
    [a]
    b = 1
  since: "2026-01-02T03:04:05Z"
  mode: 420
  memory: 10Gi
  big: 12345678901234567890
]], printed [==[{"apiVersion":"v1","metadata":{"name":"basic-tikv-0","labels":{"app.kubernetes.io/name":"tikv",
    "port":"20160"}},"spec":{"containers":[{"name":"tikv","args":["--addr=0.0.0.0:20160","a b"],"resources":{}},
    [],[1,{"x":null}]],"config":"[a]\nb = 1\n","since":"2026-01-02T03:04:05Z","mode":420,"memory":"10Gi",
    "big":12345678901234567890}}]==])
  end)

  it("quotes what another reader would take for something else", function()
    for _, text in ipairs {
      "", " ", "~", "null", "Null", "true", "NO", "yes", "On", "y", "12", "-1", "+1", "0x1f", "0o7", "0644", "1.5",
      "1e3", ".5",
      ".inf", "1_000", "12:30", "12:30:45", "2026-01-02", "a: b", "a:", "a #b", "#a", "- a", "-", "---", "...",
      "? a", ": a",
      "*a", "&a", "!a", "|", ">", "%a", "@a", "`a", "{a", "[a", "]", "}", ",a",
      "'a", '"a', "=", "<<", " a", "a ", "a\tb",
    } do
      local b = printed(format.print(format.parse('["' .. text:gsub('"', '\\"'):gsub("\t", "\\t") .. '"]')))
      assert.is_truthy(b:match('^%- "'), b)
    end
  end)

  it("reads back texts of any kind", function()
    for _, json in ipairs {
      [["a\nb"]], [["a\nb\n"]], [["a\nb\n\n\n"]], [["\n"]], [["\na"]], [[" a\nb"]], [["a\n b\n  c\n"]], [["a\n\n\nb"]],
      [["a \n b \n"]], [["\ta\nb"]], [["a\r\nb"]], [["a\n\t"]], [["a\n   "]], [["a\n   \n"]], [["a\u0085b\nc"]],
      [["\u2028\n"]],
      [["\ufeffx"]], [["a\nb\ufeff"]], [["\uffff"]], [["\ufffe\n"]], [["\u007f"]], [["\u0001"]], [["é\n日本\n😀"]],
      [["---\n...\n# x"]],
      [["a\n---\nb"]],
    } do
      printed(json)
      printed('{"k":' .. json .. ',"l":[' .. json .. ",[" .. json .. ']],"m":{"n":' .. json .. "}}")
      printed("{" .. json .. ":1}")
    end
  end)

  it("reads back very long keys, plain and not", function()
    for _, key in ipairs { ("k"):rep(140), ("k"):rep(160), ("k"):rep(899), ("k"):rep(1200),
      (":"):rep(5000), ("é\1"):rep(300) } do
      local o = format.parse("{}")
      lib.json_put_str(o, key, "v")
      lib.json_add(lib.json_put(o, key .. "2", lib.json_array()), lib.json_object())
      local text = format.yaml_print(o)
      local tree, why = format.yaml(text)
      assert(tree, why)
      assert.is_true(lib.json_equal(lib.json_path(tree, "[0]"), o), text)
    end
  end)

  it("reads back random trees", function()
    local rng = random(3)
    for _ = 1, 1500 do printed(format.random_json(rng, 4)) end
  end)
end)
