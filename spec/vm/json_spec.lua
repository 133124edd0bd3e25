--- vmjson: what crosses the border, both ways.
local vm = require "support.vm"
local core = require "support.core"
local ffi = core.ffi

local cage

local function through(text)
  local out, how, why = cage:call("id", text)
  assert.equal("ok", how, why)
  return out
end

local function made(body)
  local out, how, why = vm.run(body)
  assert.equal("ok", how, why)
  return out
end

local function refused(text, body)
  local out, how, why = vm.run(body)
  assert.equal("shape", how, out or why)
  assert.equal("m.f: " .. text, why)
end

describe("a value", function()
  setup(function()
    cage = assert(vm.new [[
local M = {}
function M.id(v) return v end
function M.type(v) return type(v) end
return M]])
    assert(cage:require())
  end)
  teardown(function() cage:free() end)

  it("comes back as it went in", function()
    for _, text in ipairs { "1", "-0.5", "1e300", '""', '"a\\"b\\n"', "true", "false", "[]", "{}", "[[],{}]",
      '{"a":[],"b":{},"c":[1,"2",false,{"d":null}]}', '"\195\164\226\130\172"' } do
      assert.equal(text:gsub('"d":null', ""), through(text))
    end
  end)

  it("has its members sorted, so that equal tables give equal texts", function()
    assert.equal('{"a":1,"aa":2,"b":3,"c":4}', through '{"c":4,"aa":2,"b":3,"a":1}')
  end)

  it("drops null, also in lists", function()
    assert.equal('{"b":[1,2]}', through '{"a":null,"b":[1,null,2]}')
    assert.is_nil(through "null")
  end)

  it("carries integers of more than 15 digits as text", function()
    assert.equal('"450124578123456789"', through "450124578123456789")
    assert.equal('"string"', (cage:call("type", "450124578123456789")))
    assert.equal('"number"', (cage:call("type", "450124578123456")))
  end)

  it("prints whole numbers without a fraction", function()
    assert.equal("[3,-7,0,100000]", made "return { 6 / 2, -7.0, -0.0, 1e5 }")
  end)

  it("keeps an empty list a list, and a list that was emptied too", function()
    assert.equal("[]", made "return json.array {}")
    assert.equal("[]", made "return json.array()")
    assert.equal("{}", made "return {}")
    assert.equal("[]", vm.run("local v = ... v[1] = nil return v", nil, "[1]"))
  end)

  it("takes a table with the keys 1..n for a list", function()
    assert.equal("[1,2,3]", made "return { 1, 2, 3 }")
    assert.equal("[1,2]", made "local t = {} t[2] = 2 t[1] = 1 return t")
  end)

  it("ignores metatables of scripts", function()
    assert.equal('{"a":1}', made "return setmetatable({ a = 1 }, { __index = { b = 2 } })")
  end)

  it("may hold the same table twice", function()
    assert.equal('{"a":{"x":1},"b":{"x":1}}', made "local t = { x = 1 } return { a = t, b = t }")
  end)

  it("is refused with its path when it can not cross", function()
    refused("actions[2].object.spec: a function can not be a value",
      "return { actions = { {}, { object = { spec = print } } } }")
    refused("a.b: a table that contains itself", "local t = {} t.b = t return { a = t }")
    refused("a: not a number (0/0)", "return { a = 0 / 0 }")
    refused("a[1]: infinite", "return { a = { 1 / 0 } }")
    refused("a[1]: infinite", "return { a = { -1 / 0 } }")
    refused("a: numbers and names are mixed as keys, or a list has a hole", "return { a = { 1, b = 2 } }")
    refused("numbers and names are mixed as keys, or a list has a hole", "return { [1] = 1, [3] = 3 }")
    refused("numbers and names are mixed as keys, or a list has a hole", "return { [1.5] = 1 }")
    refused("numbers and names are mixed as keys, or a list has a hole", "return { [0] = 1 }")
    refused("a key is neither a text nor a number", "return { [true] = 1 }")
    refused("l: a list with a hole, or with a key that is no place",
      "local t = json.array { 1, 2 } t.x = 1 return { l = t }")
    refused("a: a text that is not UTF-8, or has a NUL byte", "return { a = 'x\\0y' }")
    refused("a: a text that is not UTF-8, or has a NUL byte", "return { a = '\\255' }")
    refused("?: a key that is not UTF-8, or has a NUL byte", "return { ['\\255'] = 1 }")
    refused("a text that is not UTF-8, or has a NUL byte", "return '\\237\\160\\128'") -- a surrogate
  end)

  it("may be 100 levels deep, not 101", function()
    local nest = "local t = 1 for _ = 1, %d do t = { t } end return t"
    assert.equal(("["):rep(100) .. "1" .. ("]"):rep(100), made(nest:format(100)))
    local _, how, why = vm.run(nest:format(101))
    assert.equal("shape", how)
    assert.truthy(why:find("more than 100 levels", 1, true), why)
  end)

  it("crosses fast: 1,000 rows of 15 fields, a pod of 4 KB", function()
    local C = vm.C
    local function measure(text, times)
      local tree = C.json_parse(text, #text, nil)
      local args = ffi.new("const cJSON *[1]", { tree })
      local clock = os.clock()
      for _ = 1, times do assert(C.vm_call(cage.v, "m", "type", args, 1, nil, ffi.new "struct err") == 0) end
      local spent = (os.clock() - clock) / times
      C.json_free(tree)
      return spent
    end
    local row = {}
    for i = 1, 15 do row[i] = ('"field%d":"value%d"'):format(i, i) end
    row = "{" .. table.concat(row, ",") .. "}"
    -- The sanitizers make it several times slower; the bound is for a change of the order of growth.
    assert.truthy(measure("[" .. (row .. ","):rep(999) .. row .. "]", 5) < 0.05)
  end)
end)
