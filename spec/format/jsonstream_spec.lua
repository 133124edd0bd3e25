local core = require "support.core"
local random = require "support.random"
local format = require "support.format"
local ffi = core.ffi
local lib = core.load("format/jsonstream.h", "format/json.h")

local LINES, ITEMS = lib.JSONSTREAM_LINES, lib.JSONSTREAM_ITEMS

-- Feed a text in the given pieces. Returns what came out, the rest, and the error's code and message.
local function run(framing, text, cut, options)
  options = options or {}
  local seen = {}
  local e = ffi.new("struct err")
  local on_value = ffi.cast("jsonstream_value_fn *", function(_, p, n)
    seen[#seen + 1] = ffi.string(p, n)
    return options.stop_at == #seen and 1 or 0
  end)
  local s = lib.jsonstream_new(framing, options.array or "items", options.max or 1000, on_value, nil)
  local at, rc = 1, 0
  while at <= #text and rc == 0 do
    local n = math.min(cut(at), #text - at + 1)
    -- Its own memory, so that the address sanitizer sees a read past the piece.
    local piece = ffi.cast("char *", ffi.C.malloc(n))
    ffi.copy(piece, text:sub(at, at + n - 1), n)
    rc = lib.jsonstream_feed(s, piece, n, e)
    ffi.C.free(piece)
    at = at + n
  end
  local rest = ffi.new("char *[1]")
  local fed = rc
  if rc == 0 then rc = lib.jsonstream_end(s, rest, e) end
  local out = { seen = seen, rc = rc, fed = fed }
  if rest[0] ~= nil then
    out.rest = ffi.string(rest[0])
    ffi.C.free(rest[0])
  end
  if rc ~= 0 then
    out.code, out.message = ffi.string(lib.err_name(e.code)), ffi.string(e.msg)
    local e2 = ffi.new("struct err")
    assert.equal(-1, lib.jsonstream_feed(s, " ", 1, e2))
    assert.equal(-1, lib.jsonstream_end(s, rest, e2))
    assert.equal(out.message, ffi.string(e2.msg))
  end
  lib.jsonstream_free(s)
  on_value:free()
  return out
end

local function whole() return math.huge end
local function single() return 1 end

-- The same must come out whatever the chunks are: all at once, byte by byte, cut in two anywhere.
local function any_chunks(framing, text, options)
  local first = run(framing, text, whole, options)
  local cuts = { single, function() return 2 end, function() return 3 end, function() return 7 end }
  for n = 1, #text - 1 do
    cuts[#cuts + 1] = function(at) return at == 1 and n or math.huge end
  end
  for _, cut in ipairs(cuts) do
    local other = run(framing, text, cut, options)
    assert.same(first.seen, other.seen)
    assert.equal(first.rest, other.rest)
    assert.equal(first.code, other.code)
  end
  return first
end

describe("a stream of lines", function()
  it("gives each line's value, whatever the chunks", function()
    local out = any_chunks(LINES, '{"a":1}\n{"b":"x\\n}"}\n[1,2]\n')
    assert.same({ '{"a":1}', '{"b":"x\\n}"}', "[1,2]" }, out.seen)
    assert.equal(0, out.rc)
    assert.is_nil(out.rest)
  end)

  it("skips blank lines and spaces around values", function()
    assert.same({ "{}", "1" }, any_chunks(LINES, "\n\r\n  {} \r\n\t\n 1\n\n").seen)
  end)

  it("takes a last line without newline only when its end is beyond doubt", function()
    assert.same({ "1", "{}" }, any_chunks(LINES, "1\n{}").seen)
    assert.same({ "[1]" }, any_chunks(LINES, "[1]  ").seen)
    for _, cut in ipairs { '{"a":1', "12", "tru", '"x', '{"a":"}' } do
      local out = any_chunks(LINES, "1\n" .. cut)
      assert.same({ "1" }, out.seen)
      assert.equal("unavailable", out.code)
      assert.equal(0, out.fed)
    end
  end)

  it("takes nothing for an end without a value", function()
    assert.equal(0, any_chunks(LINES, "").rc)
    assert.equal(0, any_chunks(LINES, " \n ").rc)
  end)

  it("fails when a value is larger than allowed, even when its end never comes", function()
    local fits = '"' .. ("a"):rep(18) .. '"'
    assert.same({ fits }, any_chunks(LINES, fits .. "\n", { max = 20 }).seen)
    local out = any_chunks(LINES, '1\n"' .. ("a"):rep(19) .. '"\n2\n', { max = 20 })
    assert.same({ "1" }, out.seen)
    assert.equal("too_large", out.code)
    assert.equal("too_large", run(LINES, ("a"):rep(30), single, { max = 20 }).code)
  end)

  it("stops when its reader says so, and stays so", function()
    local out = any_chunks(LINES, "1\n2\n3\n", { stop_at = 2 })
    assert.same({ "1", "2" }, out.seen)
    assert.equal("cancelled", out.code)
  end)
end)

describe("a stream of a list's items", function()
  it("gives the items one by one and then the rest, metadata first or last", function()
    local items = [==[{"a":{"b":[1,"]}"]}},"x,]\"",-1.5e3,true,null,[],{},[[{}]]]==]
    local want = { [==[{"a":{"b":[1,"]}"]}}]==], [==["x,]\""]==], "-1.5e3", "true", "null", "[]", "{}", "[[{}]]" }
    for _, form in ipairs {
      '{"kind":"List","metadata":{"resourceVersion":"7"},"items":[%s]}',
      '{"items":[%s],"kind":"List","metadata":{"resourceVersion":"7"}}',
      ' {\n"kind" : "List" , "items" : [ %s ]\n, "metadata":\t{"resourceVersion":"7"} } \n',
    } do
      local out = any_chunks(ITEMS, (form:gsub("%%s", function() return items end)))
      assert.equal(0, out.rc, out.message)
      assert.same(want, out.seen)
      assert.equal('{"kind":"List","metadata":{"resourceVersion":"7"}}', out.rest)
    end
  end)

  it("does not mistake deeper members or values for the list", function()
    local out = any_chunks(ITEMS, '{"metadata":{"items":[1]},"x":"items","y":[{"items":[2]}],"items":[3]}')
    assert.same({ "3" }, out.seen)
    assert.equal('{"metadata":{"items":[1]},"x":"items","y":[{"items":[2]}]}', out.rest)
  end)

  it("knows the list's name in escapes too", function()
    local out = any_chunks(ITEMS, [[{"\u0069tems":[1],"item\u0073x":2}]])
    assert.same({ "1" }, out.seen)
    assert.equal([[{"item\u0073x":2}]], out.rest)
  end)

  it("takes an empty list, null, and no list at all", function()
    assert.equal('{"a":1}', any_chunks(ITEMS, '{"items":[ ],"a":1}').rest)
    assert.equal('{"a":1}', any_chunks(ITEMS, '{"items":null,"a":1}').rest)
    assert.equal('{"kind":"Status","code":410}', any_chunks(ITEMS, '{"kind":"Status","code":410}').rest)
    assert.equal("{}", any_chunks(ITEMS, "{}").rest)
    assert.equal("{}", any_chunks(ITEMS, '{"items":[1]}').rest)
  end)

  it("takes the array's name from its user", function()
    assert.same({ "1", "2" }, any_chunks(ITEMS, '{"items":[0],"stores":[1,2]}', { array = "stores" }).seen)
  end)

  it("fails when the input ends early, wherever that is", function()
    local text = '{"k":"v","items":[{"a":1},22],"m":{"x":[1]}}'
    for n = 0, #text - 1 do
      local out = run(ITEMS, text:sub(1, n), whole)
      assert.equal("unavailable", out.code, text:sub(1, n))
      assert.is_nil(out.rest)
    end
    assert.equal(0, run(ITEMS, text, whole).rc)
  end)

  it("refuses broken nesting, wrong punctuation and bytes after the end", function()
    for _, text in ipairs {
      "[]", '"x"', "1", "{1:2}", '{"a" 1}', '{"a":}', '{"a":,}', '{"a":1 2}', '{"a":1,}', '{,"a":1}', '{"a":1}}',
      '{"a":1}x', '{"items":[1 2]}', '{"items":[1,]}', '{"items":[,1]}', '{"items":[}', '{"items":{}}', '{"items":1}',
      '{"items":"x"}', '{"items":[{"a":[}]]}', '{"items":[{]}', '{"a":[}', '{"items":[1],"items":[2]}',
      '{"items":[1]]', '{"a":{]}', '{"items":[:]}', '{"a"::1}',
    } do
      local out = any_chunks(ITEMS, text)
      assert.equal("protocol", out.code, text .. ": " .. tostring(out.message))
      assert.is_nil(out.rest)
    end
  end)

  it("bounds the depth of an item", function()
    local out = any_chunks(ITEMS, '{"items":[' .. ("["):rep(101) .. ("]"):rep(101) .. "]}")
    assert.equal("protocol", out.code)
    local deep = ("["):rep(100) .. ("]"):rep(100)
    assert.same({ deep }, run(ITEMS, '{"items":[' .. deep .. "]}", whole).seen)
  end)

  it("fails when an item or the rest is larger than allowed, but not for many items", function()
    local many = {}
    for i = 1, 100 do many[i] = "12345678" end
    assert.equal(100, #run(ITEMS, '{"items":[' .. table.concat(many, ",") .. "]}", whole, { max = 20 }).seen)
    local out = any_chunks(ITEMS, '{"items":[1,"' .. ("a"):rep(19) .. '"]}', { max = 20 })
    assert.same({ "1" }, out.seen)
    assert.equal("too_large", out.code)
    assert.equal("too_large", any_chunks(ITEMS, '{"a":"12345","b":"12345","c":"1"}', { max = 20 }).code)
    assert.equal("too_large", run(ITEMS, '{"items":["' .. ("a"):rep(30), single, { max = 20 }).code)
  end)

  it("stops when its reader says so, and stays so", function()
    local out = any_chunks(ITEMS, '{"items":[1,2,3]}', { stop_at = 2 })
    assert.same({ "1", "2" }, out.seen)
    assert.equal("cancelled", out.code)
  end)

  it("agrees with the tree of the whole list, for random lists and chunks", function()
    local rng = random(11)
    for _ = 1, 300 do
      local items, want = {}, {}
      for i = 1, rng(0, 6) do
        items[i] = format.random_json(rng, 3)
        want[i] = format.canonical(format.parse(items[i]))
      end
      local extra = format.random_json(rng, 2)
      local list = '"items":[' .. table.concat(items, rng(2) == 1 and "," or " , ") .. "]"
      local text = rng(2) == 1 and ('{"m":' .. extra .. "," .. list .. "}") or ("{" .. list .. ',"m":' .. extra .. "}")
      local out = run(ITEMS, text, function() return rng(1, 40) end, { max = 100000 })
      assert.equal(0, out.rc, out.message)
      for i, seen in ipairs(out.seen) do out.seen[i] = format.canonical(format.parse(seen)) end
      assert.same(want, out.seen)
      assert.equal('{"m":' .. format.canonical(format.parse(extra)) .. "}", format.canonical(format.parse(out.rest)))
    end
  end)
end)
