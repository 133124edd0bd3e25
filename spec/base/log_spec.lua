local core = require "support.core"
local format = require "support.format"
local ffi = core.ffi
local lib = core.load("base/log.h", "format/json.h")

describe("a log", function()
  local lines, clock, mono, wall, sink
  setup(function()
    mono = ffi.cast("int64_t (*)(void *)", function() return 1 end)
    wall = ffi.cast("int64_t (*)(void *)", function() return 1767323045678LL end)
    clock = ffi.new("struct clock", mono, wall, nil)
    sink = ffi.cast("log_sink_fn *", function(_, line) lines[#lines + 1] = ffi.string(line) end)
  end)
  teardown(function()
    mono:free()
    wall:free()
    sink:free()
  end)
  before_each(function() lines = {} end)

  local function new(json, least)
    return ffi.gc(lib.log_new(clock, least or lib.LOG_INFO, json and 1 or 0, sink, nil), lib.log_free)
  end

  local function write(log, level, message, ...)
    local args = {}
    for i, a in ipairs { ... } do args[i] = ffi.cast("const char *", a) end
    args[#args + 1] = ffi.cast("const char *", nil)
    lib.log_write(log, level, message, unpack(args))
  end

  it("writes one JSON object per line", function()
    write(new(true), lib.LOG_WARN, 'say "hi"\n', "object", "default/basic", "bad", "\255\1")
    assert.equal(1, #lines)
    assert.equal([[{"time":"2026-01-02T03:04:05.678000Z","level":"warn","msg":"say \"hi\"\n",]] ..
      '"object":"default/basic",' ..
      '"bad":"\239\191\189\\u0001"}', lines[1])
    assert.is_truthy(format.parse(lines[1]))
  end)

  it("writes text that stays on one line and keeps values apart", function()
    write(new(false), lib.LOG_INFO, "it began", "a", "plain", "b", "two words", "c", "", "d", "x=y", "e", "l1\nl2")
    assert.equal([[2026-01-02T03:04:05.678000Z info  it began a=plain b="two words" c="" d="x=y" e="l1\nl2"]], lines[1])
    write(new(false), lib.LOG_ERROR, "broken\nmessage")
    assert.equal([[2026-01-02T03:04:05.678000Z error "broken\nmessage"]], lines[2])
  end)

  -- W-76
  it("leaves out what is below its level and writes nothing when there is no log", function()
    local log = new(true, lib.LOG_WARN)
    write(log, lib.LOG_INFO, "x")
    write(nil, lib.LOG_ERROR, "x")
    assert.equal(0, #lines)
    assert.equal(0, lib.log_on(log, lib.LOG_INFO))
    assert.equal(1, lib.log_on(log, lib.LOG_WARN))
    assert.equal(0, lib.log_on(nil, lib.LOG_ERROR))
  end)

  it("cuts a record at 16 KiB, says so, and stays valid", function()
    local huge = ("é\1"):rep(20000)
    write(new(true), lib.LOG_INFO, huge, "a", "first", "b", ("v"):rep(100000), "c", huge, "d", "last")
    write(new(false), lib.LOG_INFO, huge, "a", "first", "b", ("v"):rep(100000), "c", huge, "d", "last")
    local tree = assert(format.parse(lines[1]))
    assert.equal("first", ffi.string(lib.json_str(tree, "a", nil)))
    assert.equal("true", ffi.string(lib.json_str(tree, "cut", nil)))
    assert.is_true(#lines[1] <= 16384 and #lines[2] <= 16384)
    assert.is_truthy(lines[2]:find(" cut=true", 1, true))
    write(new(true), lib.LOG_INFO, "x", "v", ("v"):rep(9000))
    assert.equal("true", ffi.string(lib.json_str(format.parse(lines[3]), "cut", nil)))
  end)

  it("knows its levels by name", function()
    local out = ffi.new("enum log_level[1]")
    for i, name in ipairs { "debug", "INFO", "warn", "error" } do
      assert.equal(0, lib.log_level_of(name, out))
      assert.equal(i - 1, tonumber(out[0]))
    end
    assert.equal(-1, lib.log_level_of("loud", out))
  end)
end)
