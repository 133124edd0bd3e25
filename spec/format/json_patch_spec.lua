local core = require "support.core"
local format = require "support.format"
local ffi = core.ffi
local lib = core.load("format/json.h")

local function owned(json)
  local tree = lib.json_parse(json, #json, nil)
  assert(tree ~= nil, json)
  return ffi.new("cJSON *[1]", { tree })
end

local function merged(target, patch)
  local t = owned(target)
  lib.json_merge_patch(t, format.parse(patch))
  local out = format.print(t[0])
  lib.json_free(t[0])
  return out
end

local function patched(target, operations)
  local t, e = owned(target), ffi.new("struct err")
  local rc = lib.json_patch(t, assert(format.parse(operations)), e)
  local out = format.print(t[0])
  lib.json_free(t[0])
  if rc ~= 0 then
    return nil, ffi.string(e.msg), ffi.string(lib.err_name(e.code)), out
  end
  return out
end

describe("a merge patch", function()
  it("does what RFC 7386 says in its examples", function()
    for _, case in ipairs {
      { '{"a":"b"}', '{"a":"c"}', '{"a":"c"}' }, { '{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}' },
      { '{"a":"b"}', '{"a":null}', "{}" }, { '{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}' },
      { '{"a":["b"]}', '{"a":"c"}', '{"a":"c"}' }, { '{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}' },
      { '{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}' },
      { '{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}' }, { '["a","b"]', '["c","d"]', '["c","d"]' },
      { '{"a":"b"}', '["c"]', '["c"]' }, { '{"a":"foo"}', "null", "null" }, { '{"a":"foo"}', '"bar"', '"bar"' },
      { '{"e":null}', '{"a":1}', '{"e":null,"a":1}' }, { "[1,2]", '{"a":"b","c":null}', '{"a":"b"}' },
      { "{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}' },
    } do
      assert.equal(case[3], merged(case[1], case[2]))
    end
  end)

  it("keeps the place of what it changes and removes at the end of an object", function()
    assert.equal('{"a":1,"b":{"x":2},"z":3}', merged('{"a":0,"b":{"x":1,"y":1},"z":3}', '{"b":{"y":null,"x":2},"a":1}'))
  end)
end)

describe("a JSON patch", function()
  it("adds, removes, replaces, moves, copies and tests", function()
    for _, case in ipairs {
      { '{"foo":"bar"}', '[{"op":"add","path":"/baz","value":"qux"}]', '{"foo":"bar","baz":"qux"}' },
      { '{"foo":["bar","baz"]}', '[{"op":"add","path":"/foo/1","value":"qux"}]', '{"foo":["bar","qux","baz"]}' },
      { '{"l":[1]}', '[{"op":"add","path":"/l/0","value":0},{"op":"add","path":"/l/-","value":[2]}]',
        '{"l":[0,1,[2]]}' },
      { '{"l":[1]}', '[{"op":"add","path":"/l/1","value":2}]', '{"l":[1,2]}' },
      { '{"a":1,"b":2}', '[{"op":"remove","path":"/b"}]', '{"a":1}' },
      { "[1,2,3]",
        '[{"op":"remove","path":"/1"},{"op":"remove","path":"/1"},{"op":"add","path":"/-","value":9}]', "[1,9]" },
      { '{"a":1,"b":2}', '[{"op":"replace","path":"/a","value":{"x":[]}}]', '{"a":{"x":[]},"b":2}' },
      { '{"a":1}', '[{"op":"replace","path":"","value":[1]}]', "[1]" },
      { '{"a":1}', '[{"op":"add","path":"","value":2}]', "2" },
      { '{"a":{"x":1},"b":{}}', '[{"op":"move","from":"/a/x","path":"/b/y"}]', '{"a":{},"b":{"y":1}}' },
      { "[1,2,3]", '[{"op":"move","from":"/0","path":"/2"}]', "[2,3,1]" },
      { '{"a":1}', '[{"op":"move","from":"/a","path":"/a"}]', '{"a":1}' },
      { '{"a":[1]}', '[{"op":"copy","from":"/a","path":"/b"},{"op":"add","path":"/b/-","value":2}]',
        '{"a":[1],"b":[1,2]}' },
      { '{"a/b":1,"m~n":2}', '[{"op":"test","path":"/a~1b","value":1},{"op":"remove","path":"/m~0n"}]', '{"a/b":1}' },
      { '{"~1":1}', '[{"op":"replace","path":"/~01","value":2}]', '{"~1":2}' },
      { '{"":{"":1}}', '[{"op":"test","path":"//","value":1.0}]', '{"":{"":1}}' },
      { '{"a":null}', '[{"op":"test","path":"/a","value":null}]', '{"a":null}' },
    } do
      local out, why = patched(case[1], case[2])
      assert.equal(case[3], out, why)
    end
  end)

  it("changes nothing when any operation fails, and says which", function()
    local target = '{"a":{"b":[1,2]},"s":"x"}'
    for _, bad in ipairs {
      '{"op":"remove","path":"/gone"}', '{"op":"remove","path":""}', '{"op":"remove","path":"/a/b/2"}',
      '{"op":"replace","path":"/gone","value":1}', '{"op":"test","path":"/s","value":"y"}',
      '{"op":"test","path":"/gone","value":null}', '{"op":"add","path":"/x/y","value":1}',
      '{"op":"add","path":"/a/b/3","value":1}', '{"op":"add","path":"/a/b/01","value":1}',
      '{"op":"add","path":"/a/b/x","value":1}', '{"op":"add","path":"/s/x","value":1}',
      '{"op":"add","path":"s","value":1}', '{"op":"add","path":"/s"}', '{"op":"move","from":"/a","path":"/a/b/0"}',
      '{"op":"move","path":"/a"}', '{"op":"copy","from":"/gone","path":"/a"}', '{"op":"jump","path":"/a","value":1}',
      '{"path":"/a"}', '{"op":"remove"}', "1", '{"op":"remove","path":"/a/b/-"}',
    } do
      local out, why, code, left = patched(target, '[{"op":"add","path":"/new","value":1},' .. bad .. "]")
      assert.is_nil(out, bad)
      assert.is_truthy(why:find("operation 1", 1, true), why)
      assert.equal("invalid", code)
      assert.equal(target, left)
    end
    assert.equal("invalid", (select(3, patched(target, '{"op":"remove","path":"/a"}'))))
    -- With the element gone its place is its neighbour's: the move must be refused before.
    assert.equal("invalid", (select(3, patched("[{},{}]", '[{"op":"move","from":"/0","path":"/0/x"}]'))))
  end)

  it("can not blow up a tree by copying it into itself", function()
    local ops = {}
    for i = 1, 40 do ops[i] = ('{"op":"copy","from":"/a","path":"/a/k%d"}'):format(i) end
    local _, why, code, left = patched('{"a":{"x":"0123456789"}}', "[" .. table.concat(ops, ",") .. "]")
    assert.equal("too_large", code, why)
    assert.equal('{"a":{"x":"0123456789"}}', left)
  end)

  it("can not nest deeper than what is read", function()
    local function put(levels)
      local deep = ("["):rep(levels) .. ("]"):rep(levels)
      return patched('{"a":{"b":{"c":1}}}', '[{"op":"add","path":"/a/b/c","value":' .. deep .. "}]")
    end
    assert.equal("too_large", (select(3, put(98))))
    assert.is_truthy(put(97))
  end)
end)
