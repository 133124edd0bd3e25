local core = require "support.core"
local ffi = core.ffi
local lib = core.load("base/err.h")

describe("an error", function()
  local e
  before_each(function()
    e = ffi.new("struct err")
  end)

  it("is filled and returned as -1 in one go", function()
    assert.equal(-1, lib.err_set(e, lib.ERR_CONFLICT, "pod %s: %d", "a", ffi.cast("int", 7)))
    assert.equal("pod a: 7", ffi.string(e.msg))
    assert.equal(tonumber(lib.ERR_CONFLICT), tonumber(e.code))
  end)

  it("forgets the status and the delay of the one before it", function()
    e.status, e.retry_after_s = 429, 5
    lib.err_set(e, lib.ERR_INTERNAL, "x")
    assert.equal(0, e.status)
    assert.equal(0, e.retry_after_s)
  end)

  it("may be made from its own old message", function()
    lib.err_set(e, lib.ERR_INTERNAL, "inner")
    lib.err_set(e, lib.ERR_TIMEOUT, "outer: %s", ffi.cast("const char *", e.msg))
    assert.equal("outer: inner", ffi.string(e.msg))
  end)

  it("is wrapped with the outermost context first and keeps code, status and delay", function()
    lib.err_set(e, lib.ERR_THROTTLED, "slow down")
    e.status, e.retry_after_s = 429, 5
    assert.equal(-1, lib.err_wrap(e, "list %s", "pods"))
    assert.equal("list pods: slow down", ffi.string(e.msg))
    assert.equal(429, e.status)
    assert.equal(5, e.retry_after_s)
    assert.equal("throttled", ffi.string(lib.err_name(e.code)))
  end)

  it("is cut when it is too long, never overrun", function()
    lib.err_set(e, lib.ERR_INVALID, "%s", ("a"):rep(2000))
    assert.equal(511, #ffi.string(e.msg))
    lib.err_wrap(e, "%s", ("b"):rep(300))
    assert.equal(("b"):rep(300) .. ": " .. ("a"):rep(209), ffi.string(e.msg))
    lib.err_wrap(e, "%s", ("c"):rep(2000))
    assert.equal(("c"):rep(511), ffi.string(e.msg))
  end)

  it("may have nobody who looks", function()
    assert.equal(-1, lib.err_set(nil, lib.ERR_INVALID, "x"))
    assert.equal(-1, lib.err_wrap(nil, "x"))
    lib.err_clear(nil)
  end)

  it("has a name of its own for every code", function()
    local seen = {}
    for code = tonumber(lib.ERR_NONE), tonumber(lib.ERR_INTERNAL) do
      local name = ffi.string(lib.err_name(code))
      assert.is_truthy(name:match("^[a-z_]+$"))
      assert.is_nil(seen[name])
      assert.not_equal("unknown", name)
      seen[name] = true
    end
    assert.equal("unknown", ffi.string(lib.err_name(99)))
  end)

  it("is gone after err_clear", function()
    lib.err_set(e, lib.ERR_INVALID, "x")
    lib.err_clear(e)
    assert.equal(0, tonumber(e.code))
    assert.equal("", ffi.string(e.msg))
  end)
end)
