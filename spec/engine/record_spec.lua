local core = require "support.core"
local C = core.load("format/json.h", "engine/record.h")
local ffi = core.ffi

ffi.cdef "void free(void *);"

local function tree(json) return ffi.gc(C.json_parse(json, #json, nil), C.json_free) end
local function text(t)
  assert(t ~= nil, "no tree")
  local s = C.json_string(t)
  local out = ffi.string(s)
  ffi.C.free(s)
  C.json_free(t)
  return out
end


local WAIT = [[{"actions":[{"action":"mark"}],"verdict":{"kind":"wait","step":"pod",]] ..
  [["reason":"Draining","message":"x"}}]]
local CALM = [[{"actions":[],"verdict":{"kind":"settled"}}]]

describe("record", function()
  local function record(bytes) return ffi.gc(C.record_new(bytes), C.record_free) end
  local function pass(r, key, plan, world)
    C.record_pass(r, key, "gen1", "Pod ns/p changed", tree(world or '{"now":1}'), tree(plan), "ok", 5)
  end

  it("keeps a pass that did something whole", function()
    local r = record(0)
    pass(r, "TiKV/ns/a", WAIT)
    local got = text(C.record_last(r, "TiKV/ns/a"))
    assert.truthy(got:find('"world":{"now":1}', 1, true))
    assert.truthy(got:find('"plan":' .. WAIT, 1, true))
    for _, part in ipairs { '"because":"Pod ns/p changed"', '"generation":"gen1"', '"reason":"Draining"',
      '"outcome":"ok"', '"wall_ms":5', '"actions":1' } do
      assert.truthy(got:find(part, 1, true), part)
    end
  end)

  it("keeps a pass that settled without actions as one line only", function()
    local r = record(0)
    pass(r, "k", CALM)
    local got = text(C.record_last(r, "k"))
    assert.truthy(got:find('"verdict":"settled"', 1, true))
    assert.is_nil(got:find('"world"', 1, true))
    assert.is_nil(got:find('"plan"', 1, true))
  end)

  it("keeps what policies were asked, beside the newest pass of the key", function()
    local r = record(0)
    pass(r, "k", WAIT)
    pass(r, "other", WAIT)
    C.record_asked(r, "k", tree '[{"question":"can_x"}]')
    assert.truthy(text(C.record_last(r, "k")):find('"asked":[{"question":"can_x"}]', 1, true))
    assert.is_nil(text(C.record_last(r, "other")):find('"asked"', 1, true))
    pass(r, "calm", CALM)
    C.record_asked(r, "calm", tree '[{"question":"can_x"}]')
    assert.is_nil(text(C.record_last(r, "calm")):find('"asked"', 1, true))
  end)

  it("counts what was asked against its bytes", function()
    local r = record(3000)
    pass(r, "old", WAIT)
    pass(r, "new", WAIT)
    C.record_asked(r, "new", tree(('["%s"]'):format(("x"):rep(2500))))
    assert.is_true(C.record_last(r, "old") == nil)
    assert.truthy(text(C.record_last(r, "new")):find("xxx", 1, true))
  end)

  it("gives the n-th pass before the newest, of one key or of all", function()
    local r = record(0)
    pass(r, "k", WAIT, '{"now":1}')
    pass(r, "other", WAIT, '{"now":2}')
    pass(r, "k", WAIT, '{"now":3}')
    local function now(key, n) return text(C.record_nth(r, key, n)):match '"now":(%d)' end
    assert.same({ "3", "1", "3", "2", "1" }, { now("k", 0), now("k", 1), now("", 0), now("", 1), now("", 2) })
    assert.is_true(C.record_nth(r, "k", 2) == nil)
  end)

  it("keeps a pass without a plan", function()
    local r = record(0)
    C.record_pass(r, "k", "g", "b", tree('{"now":2}'), nil, "tikv.lua:3: boom", 1)
    local got = text(C.record_last(r, "k"))
    assert.truthy(got:find('"outcome":"tikv.lua:3: boom"', 1, true))
    assert.truthy(got:find('"world":{"now":2}', 1, true))
  end)

  it("finds the newest of a key, or of any", function()
    local r = record(0)
    pass(r, "a", WAIT, '{"now":1}')
    pass(r, "a", WAIT, '{"now":2}')
    pass(r, "b", WAIT, '{"now":3}')
    assert.truthy(text(C.record_last(r, "a")):find('"now":2', 1, true))
    assert.truthy(text(C.record_last(r, "")):find('"now":3', 1, true))
    assert.is_true(C.record_last(r, "c") == nil)
  end)

  it("lists newest first, and drops the oldest when full", function()
    local r = record(3000)
    for i = 1, 100 do pass(r, "k" .. i, WAIT) end
    local got = text(C.record_list(r))
    local first = got:match('"key":"(k%d+)"')
    assert.equal("k100", first)
    assert.is_true(C.record_last(r, "k1") == nil)
    assert.is_true(C.record_last(r, "k99") ~= nil)
    local n = select(2, got:gsub('"key"', ""))
    assert.is_true(n > 2 and n < 20, tostring(n))
  end)

  it("keeps the line of a pass that is too large", function()
    local r = record(2000)
    pass(r, "k", WAIT, '{"x":"' .. ("y"):rep(5000) .. '"}')
    local got = text(C.record_last(r, "k"))
    assert.is_nil(got:find('"world"', 1, true))
    assert.truthy(got:find('"reason":"Draining"', 1, true))
  end)
end)
