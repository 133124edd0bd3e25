--- toml: what is read, what is refused and where, what is written.
local toml = require "lib.toml"

--- A short form: tables and lists in braces, texts quoted, everything else by kind.
local function show(v)
  if type(v) == "string" then
    return (('"' .. v:gsub('["\\]', "\\%0") .. '"'):gsub("\n", "\\n"):gsub("\r", "\\r"))
  end
  if type(v) == "boolean" then return tostring(v) end
  local out = {}
  if v.toml == "array" then
    for i, item in ipairs(v) do out[i] = show(item) end
    return "[" .. table.concat(out, " ") .. "]"
  elseif v.toml == "table" then
    for i, key in ipairs(v.keys) do out[i] = key .. "=" .. show(v.values[key]) end
    return "{" .. table.concat(out, " ") .. "}"
  end
  return v.toml .. ":" .. v.text
end

local VALUES = {
  -- texts
  { '""', '""' }, { '"a"', '"a"' }, { [["a\tb"]], '"a\tb"' }, { [["\"\\"]], [["\"\\"]] },
  { [["\u00e4\U0001F600"]], '"\195\164\240\159\152\128"' }, { [["\b\f\r\n"]], '"\b\f\\r\\n"' },
  { [['C:\n']], [["C:\\n"]] }, { "''", '""' }, { '"ä€"', '"ä€"' }, { '"#"', '"#"' },
  { '"""\na\nb"""', '"a\\nb"' }, { '"""a\\\n   \n  b"""', '"ab"' }, { '""""a""""', [["\"a\""]] },
  { '"""""a"""""', [["\"\"a\"\""]] }, { '""""""', '""' }, { "'''\na\\\nb'''", [["a\\\nb"]] },
  { "''''a''''", [["'a'"]] }, { '"""a\r\nb"""', '"a\\r\\nb"' }, { [["""a \" b"""]], [["a \" b"]] },
  -- integers
  { "0", "integer:0" }, { "+0", "integer:+0" }, { "-17", "integer:-17" }, { "1_000", "integer:1_000" },
  { "9223372036854775807", "integer:9223372036854775807" },
  { "-9223372036854775808", "integer:-9223372036854775808" }, { "0xDEAD_beef", "integer:0xDEAD_beef" },
  { "0o755", "integer:0o755" }, { "0b1101", "integer:0b1101" },
  { "0x7fffffffffffffff", "integer:0x7fffffffffffffff" },
  -- floats
  { "1.0", "float:1.0" }, { "-0.0", "float:-0.0" }, { "3.1415", "float:3.1415" },
  { "5e+22", "float:5e+22" },
  { "1e06", "float:1e06" }, { "6.626e-34", "float:6.626e-34" }, { "9_2.3_4", "float:9_2.3_4" },
  { "inf", "float:inf" },
  { "-inf", "float:-inf" }, { "+nan", "float:+nan" }, { "0e0", "float:0e0" }, { "2E2", "float:2E2" },
  -- dates
  { "1979-05-27T07:32:00Z", "datetime:1979-05-27T07:32:00Z" },
  { "1979-05-27 07:32:00.5-07:00", "datetime:1979-05-27 07:32:00.5-07:00" },
  { "1979-05-27t07:32:00z", "datetime:1979-05-27t07:32:00z" },
  { "1979-05-27T07:32:00.999", "datetime-local:1979-05-27T07:32:00.999" },
  { "2000-02-29", "date-local:2000-02-29" }, { "07:32:00", "time-local:07:32:00" },
  { "23:59:60.123", "time-local:23:59:60.123" },
  -- lists and tables
  { "true", "true" }, { "false", "false" }, { "[]", "[]" },
  { "[1, 'a', [true]]", '[integer:1 "a" [true]]' },
  { "[ # c\n 1,\n 2, # d\n]", "[integer:1 integer:2]" }, { "{}", "{}" },
  { "{ a = 1, b.c = 2 }", "{a=integer:1 b={c=integer:2}}" },
  { "[{a=1},{}]", "[{a=integer:1} {}]" },
}

local DOCUMENTS = {
  { "", "{}" }, { "# only\n\n  # comments", "{}" }, { "\239\187\191a = 1", "{a=integer:1}" },
  { "a = 1\r\nb = 2\r\n", "{a=integer:1 b=integer:2}" }, { "b = 1\na = 2", "{b=integer:1 a=integer:2}" },
  { "a.b.c = 1\na.b.d = 2", "{a={b={c=integer:1 d=integer:2}}}" }, { '"a.b" = 1', "{a.b=integer:1}" },
  { "'' = 1", "{=integer:1}" }, { "1 = 1\n1.2 = 1", nil, "'1' is defined already" },
  { "3.14 = 'x'", '{3={14="x"}}' },
  { "a . b = 1", "{a={b=integer:1}}" }, { "[a.b]\nx = 1\n[a]\ny = 2", "{a={b={x=integer:1} y=integer:2}}" },
  { "[[a]]\nx = 1\n[[a]]\n[a.b]\ny = 2", "{a=[{x=integer:1} {b={y=integer:2}}]}" },
  { "[[a]]\n[[a.b]]\n[[a.b]]\n[[a]]", "{a=[{b=[{} {}]} {}]}" }, { "[ a . 'b' ] # c", "{a={b={}}}" },
  { "[fruit]\napple.color = 'red'\n[fruit.apple.texture]\nsmooth = true",
    '{fruit={apple={color="red" texture={smooth=true}}}}' },
  { "true = 1", "{true=integer:1}" }, { "inf = inf", "{inf=float:inf}" },
}

local BAD = {
  { "a", "line 1, column 2: expected '='" }, { "a =", "column 4: expected a value, found the end" },
  { "= 1", "column 1: expected a key" }, { "a = 1 b = 2", "column 7: expected the end of the line" },
  { "a = 1\na = 2", "line 2, column 1: 'a' is defined already" },
  { "a = 1\na.b = 2", "line 2, column 1: 'a' is defined" },
  { "\n\n  a = 'x", "line 3, column 7: a text without its end" },
  { 'a = "x\ny"', "a text without its end" },
  { 'a = """x', "line 1, column 5: a text without its end" }, { "a = '''x''", "a text without its end" },
  { [[a = "\q"]], "column 6: an unknown escape" }, { [[a = "\x41"]], "an unknown escape" },
  { [[a = "\e"]], "an unknown escape" },
  { [[a = "\u12"]], "\\u needs 4" }, { [[a = "\ud800"]], "no such character" },
  { [[a = "\U00110000"]], "no such character" },
  { "a = '\1'", "a control character in a text" }, { 'a = "\127"', "a control character in a text" },
  { "# \1", "a control character in a comment" }, { "a = 1 # \r x", "a control character in a comment" },
  { "a = '\255'", "column 6: not UTF-8" }, { "a = '\237\160\128'", "not UTF-8" },
  { "a = '\192\128'", "not UTF-8" },
  { "a = 'x'\r", "expected the end" }, { "a = '''''''x'''''''", "expected the end" },
  { 'a = """x""""""', "too many quotes" },
  { "a = 01", "no such value: 01" }, { "a = 1__0", "no such value" }, { "a = _1", "no such value" },
  { "a = 1_", "no such value" },
  { "a = +0x1", "no such value" }, { "a = 0X1", "no such value" }, { "a = 0b2", "no such value" },
  { "a = 0o8", "no such value" },
  { "a = 0x", "no such value" }, { "a = 9223372036854775808", "beyond 64 bits" },
  { "a = 0x8000000000000000", "beyond 64 bits" },
  { "a = -9223372036854775809", "beyond 64 bits" }, { "a = 1.", "no such value" },
  { "a = .5", "no such value" },
  { "a = 1.e3", "no such value" }, { "a = 1e", "no such value" }, { "a = 1._5", "no such value" },
  { "a = 03.5", "no such value" },
  { "a = Inf", "no such value" }, { "a = True", "no such value" }, { "a = yes", "no such value" },
  { "a = 2001-02-29", "no such date" }, { "a = 2000-13-01", "no such date" },
  { "a = 2000-00-01", "no such date" },
  { "a = 24:00:00", "no such date" }, { "a = 07:32", "no such date" },
  { "a = 1979-05-27T07:32", "no such date" },
  { "a = 07:32:00Z", "no such date" }, { "a = 1979-05-27T07:32:00.Z", "no such date" },
  { "a = 1979-05-27T07:32:00+7:00", "no such date" },
  { "a = 1979-05-27T07:32:00+24:00", "no such date" }, { "a = 1979-5-27", "no such" },
  { "a = [1, 2", "expected ',' or ']'" }, { "a = [1 2]", "expected ',' or ']'" },
  { "a = [,]", "expected a value" },
  { "a = [1,,2]", "expected a value" }, { "a = {b = 1,}", "expected a key" },
  { "a = {b = 1\n}", "expected ',' or '}'" },
  { "a = {b = 1, b = 2}", "defined already" }, { "a = {b = {}, b.c = 2}", "defined already" },
  { "a = {", "expected a key" },
  { "a = {}\na.b = 1", "defined already" }, { "a = {}\n[a]", "defined already" },
  { "a = {}\n[a.b]", "can not be extended" },
  { "a = {b.c = 1}\n[a.b]", "can not be extended" },
  { "[a]\n[a]", "line 2, column 1: 'a' is defined already" },
  { "[a.b]\n[a]\nb.c = 1", "'b' is defined already" }, { "[a]\nb.c = 1\n[a.b]", "defined already" },
  { "a = [1]\n[[a]]", "defined already" }, { "a = [{}]\n[a.b]", "can not be extended" },
  { "[a]\n[[a]]", "defined already" },
  { "[[a]]\n[a]", "defined already" }, { "[[a.b]]\n[a]\nb.c = 1", "defined already" },
  { "a = 1\n[a.b]", "can not be extended" },
  { "[]", "expected a key" }, { "[a", "expected ']'" }, { "[[a]", "expected ']]'" },
  { "[a]]", "expected the end" },
  { "[ [a]]", "expected a key" }, { "[a] b = 1", "expected the end" }, { "[a.]", "expected a key" },
  { "[.a]", "expected a key" },
  { "a..b = 1", "expected a key" }, { "ä = 1", "expected a key" }, { '"""a""" = 1', "expected '='" },
  { "a.b. = 1", "expected a key" },
  { "a = " .. ("["):rep(101), "too deep" }, { "a = 1\0", "expected" },
  { "a = '\0'", "a control character" },
}

describe("toml.decode", function()
  for _, case in ipairs(VALUES) do
    it("reads " .. case[1]:gsub("%c", "~"), function()
      local doc, why = toml.decode("x = " .. case[1])
      assert.is_nil(why)
      assert.equal(case[2], (show(doc.values.x)))
    end)
  end

  for _, case in ipairs(DOCUMENTS) do
    it("reads the document " .. case[1]:gsub("%c", "~"), function()
      local doc, why = toml.decode(case[1])
      if case[2] then
        assert.equal(case[2], (show(doc)))
      else
        assert.is_nil(doc)
        assert.truthy(why:find(case[3], 1, true), why)
      end
    end)
  end

  for _, case in ipairs(BAD) do
    it("refuses " .. case[1]:gsub("%c", "~"):sub(1, 60), function()
      local doc, why = toml.decode(case[1])
      assert.is_nil(doc)
      assert.truthy(why:find(case[2], 1, true), why)
      assert.truthy(why:find("^line %d+, column %d+: "), why)
    end)
  end
end)

describe("toml.encode", function()
  it("gives what decodes to the same, and is stable", function()
    local function check(text, shown)
      local once = toml.encode(assert(toml.decode(text)))
      local again = assert(toml.decode(once))
      assert.equal(once, toml.encode(again))
      return shown and assert.equal(shown, (show(again)))
    end
    for _, case in ipairs(VALUES) do check("x = " .. case[1], "{x=" .. case[2] .. "}") end
    for _, case in ipairs(DOCUMENTS) do
      if case[2] then check(case[1]) end
    end
  end)

  it("puts plain values first, then sections, in their order", function()
    assert.equal([==[
z = 1
"a b" = "x\n"
list = [1, { k = true }]

[sub]
one = 1.50

[sub.deep.er]
two = 0x02

[[rows]]
n = 1

[[rows]]

[rows.in]
m = 2

[empty]
]==], toml.encode(assert(toml.decode [==[
z = 1
sub.one = 1.50
"a b" = '''
x
'''
list = [ 1, { k = true } ]
[sub.deep.er]
two = 0x02
[[rows]]
n = 1
[[rows]]
in.m = 2
[empty]
]==])))
  end)

  -- E-98
  it("writes nothing for an empty document", function() assert.equal("", toml.encode(assert(toml.decode ""))) end)
end)

describe("toml.get and toml.node", function()
  local doc = assert(toml.decode [[
s = "x"
i = 0x10
big = 9223372036854775807
hex = 0x7fff_ffff_ffff_ffff
neg = -123456789012345
f = 1_0.5
nan = nan
ninf = -inf
d = 1979-05-27
t.u = true
"a.b" = 1
l = [1]
]])
  it("give plain values, and nodes as they are", function()
    assert.equal("x", toml.get(doc, "s"))
    assert.equal(16, toml.get(doc, "i"))
    assert.equal("9223372036854775807", toml.get(doc, "big"))
    assert.equal("9223372036854775807", toml.get(doc, "hex"))
    assert.equal(-123456789012345, toml.get(doc, "neg"))
    assert.equal(10.5, toml.get(doc, "f"))
    assert.truthy(toml.get(doc, "nan") ~= toml.get(doc, "nan"))
    assert.equal(-math.huge, toml.get(doc, "ninf"))
    assert.equal("1979-05-27", toml.get(doc, "d"))
    assert.equal(true, toml.get(doc, "t.u"))
    assert.equal(1, toml.get(doc, '"a.b"'))
    assert.equal("array", toml.get(doc, "l").toml)
    assert.same({ toml = "integer", text = "0x10" }, toml.node(doc, "i"))
  end)

  it("give nil where nothing is", function()
    for _, path in ipairs { "none", "s.x", "l.x", "t.none", "none.none" } do assert.is_nil(toml.get(doc, path)) end
    assert.has_error(function() toml.get(doc, "a..b") end, "not a path: 'a..b'")
    assert.has_error(function() toml.get(doc, "") end, "not a path: ''")
  end)
end)

describe("toml.set", function()
  it("changes, adds, removes, and keeps the order", function()
    local doc = assert(toml.decode "b = 1\na = 2\n[s]\nx = 'old'\n")
    toml.set(doc, "b", "new")
    toml.set(doc, "a", nil)
    toml.set(doc, "s.x", 2.5)
    toml.set(doc, "s.y.z", true)
    toml.set(doc, "c", 7)
    toml.set(doc, "l", { "p", { q = 1 } })
    toml.set(doc, "e", setmetatable({}, {}))
    toml.set(doc, "none.at.all", nil)
    assert.equal('b = "new"\nc = 7\nl = ["p", { q = 1 }]\ne = []\n\n[s]\nx = 2.5\n\n[s.y]\nz = true\n',
      toml.encode(doc))
  end)

  it("refuses to go through a value", function()
    local doc = assert(toml.decode "a.b = 1")
    assert.has_error(function() toml.set(doc, "a.b.c", 1) end, "'a.b' is no table")
    assert.has_error(function() toml.set(doc, "f", print) end, "a function has no TOML")
  end)

  it("adds to an inline table inline", function()
    local doc = assert(toml.decode "a = { b = 1 }")
    toml.set(doc, "a.c.d", { e = 2 })
    assert.equal("a = { b = 1, c = { d = { e = 2 } } }\n", toml.encode(doc))
  end)

  it("writes numbers that read back the same", function()
    local doc = assert(toml.decode "")
    for _, n in ipairs { 0, -1, 1e15, 2 ^ 53, 0.1, 1 / 3, 1e300, -2.5e-10, 5e22, 1 / 0, -1 / 0 } do
      toml.set(doc, "n", n)
      assert.equal(n, toml.get(assert(toml.decode(toml.encode(doc))), "n") + 0)
    end
  end)
end)

describe("toml.merge and toml.flatten", function()
  it("join tables and replace the rest, and leave both documents alone", function()
    local base = assert(toml.decode "a = 1\nl = [1, 2]\n[t]\nx = 1\ny = 1\n[t.u]\nz = 1\n")
    local over = assert(toml.decode "l = [3]\nn = 1\n[t]\ny = 2\n[t.u]\nw = 2\n[v]\nk = 1\n")
    local before, other = toml.encode(base), toml.encode(over)
    local out = toml.merge(base, over)
    assert.equal("{a=integer:1 l=[integer:3] t={x=integer:1 y=integer:2 u={z=integer:1 w=integer:2}} n=integer:1 " ..
      "v={k=integer:1}}", (show(out)))
    toml.set(out, "v.k", 2)
    toml.set(out, "t.u.z", 2)
    assert.same({ before, other }, { toml.encode(base), toml.encode(over) })
    assert.same({ "a", "l", "n", "t.u.w", "t.u.z", "t.x", "t.y", "v.k" }, toml.flatten(out))
    assert.same({ '"a.b".c', "d" }, toml.flatten(assert(toml.decode "d = []\n'a.b'.c = 1\n[e]\n")))
  end)
end)

describe("in the cage", function()
  it("a configuration of a thousand settings costs little", function()
    local vm = require "support.vm"
    local f = assert(io.open "lua/lib/toml.lua")
    local source = f:read "*a"
    f:close()
    local cage = assert(vm.new { ["lib.toml"] = source, m = [[
local toml = require "lib.toml"
local M = {}
function M.f(text)
  local doc, why = toml.decode(text)
  if not doc then return why end
  toml.set(doc, "pd.endpoints", json.array { "http://pd:2379" })
  toml.set(doc, "empty", json.array {})
  return toml.encode(doc)
end
return M]] })
    assert(cage:require())
    local lines = {}
    for s = 1, 50 do
      lines[#lines + 1] = ("[section-%d]"):format(s)
      for k = 1, 20 do lines[#lines + 1] = ('setting-%d = "%dMB" # why'):format(k, k) end
    end
    local text = table.concat(lines, "\\n"):gsub('"', '\\"')
    local out, how, why = cage:call("f", '"' .. text .. '"')
    assert.equal("ok", how, why)
    assert.truthy(out:find([[empty = []\n\n[section-1]\nsetting-1 = \"1MB\"\n]], 1, true), out:sub(1, 200))
    assert.truthy(out:find([==[[pd]\nendpoints = [\"http://pd:2379\"]\n]==], 1, true))
    assert.truthy(cage:instructions() < 2000000, cage:instructions())
    out = cage:call("f", '"a = 1\\na = 2"')
    assert.equal([["line 2, column 1: 'a' is defined already"]], out)
    cage:free()
  end)
end)
