local core = require "support.core"
local ffi = core.ffi
local lib = core.load("base/buf.h", "base/text.h")

ffi.cdef "void free(void *);"

local function new(max)
  local b = ffi.gc(ffi.new("struct buf"), lib.buf_fini)
  lib.buf_init(b, max or 0)
  return b
end

local function text(b)
  assert.equal(0, b.at[b.len])
  return ffi.string(b.at, b.len)
end

describe("a buffer", function()
  it("is an empty C string from the start", function()
    assert.equal("", text(new()))
  end)

  it("grows with what is written", function()
    local b = new()
    for i = 1, 1000 do
      assert.equal(0, lib.buf_puts(b, "line "))
      assert.equal(0, lib.buf_printf(b, "%d\n", ffi.cast("int", i)))
    end
    local want = {}
    for i = 1, 1000 do want[i] = "line " .. i .. "\n" end
    assert.equal(table.concat(want), text(b))
  end)

  it("formats texts longer than any small buffer", function()
    local b = new()
    local long = ("x"):rep(5000)
    assert.equal(0, lib.buf_printf(b, "<%s>", long))
    assert.equal("<" .. long .. ">", text(b))
  end)

  it("holds bytes that are no text", function()
    local b = new()
    lib.buf_put(b, "a\0b", 3)
    lib.buf_put(b, nil, 0)
    assert.equal("a\0b", text(b))
  end)

  it("takes all or nothing at its cap, and says so until it is reset", function()
    local b = new(8)
    assert.equal(0, lib.buf_puts(b, "12345"))
    assert.equal(-1, lib.buf_puts(b, "6789"))
    assert.equal(-1, lib.buf_printf(b, "%s", "6789"))
    assert.equal(-1, lib.buf_printf(b, "%s", ("x"):rep(1000)))
    assert.equal(-1, lib.buf_put(b, "x", -1ULL))
    assert.equal("12345", text(b))
    assert.is_true(b.full)
    assert.equal(0, lib.buf_puts(b, "678"))
    assert.equal(-1, lib.buf_putc(b, 57))
    assert.equal("12345678", text(b))
    lib.buf_reset(b)
    assert.is_false(b.full)
    assert.equal("", text(b))
    assert.equal(0, lib.buf_puts(b, "abcdefgh"))
  end)

  it("drops from the front", function()
    local b = new()
    lib.buf_drop(b, 3)
    lib.buf_puts(b, "abcdef")
    lib.buf_drop(b, 2)
    assert.equal("cdef", text(b))
    lib.buf_drop(b, 100)
    assert.equal("", text(b))
  end)

  it("gives its content away, even when there is none", function()
    local b = new()
    local empty = lib.buf_take(b)
    assert.equal("", ffi.string(empty))
    ffi.C.free(empty)
    lib.buf_puts(b, "mine")
    local taken = lib.buf_take(b)
    assert.equal("mine", ffi.string(taken))
    ffi.C.free(taken)
    assert.equal("", text(b))
    lib.buf_puts(b, "again")
    assert.equal("again", text(b))
  end)
end)

describe("a text", function()
  it("is cut between characters only", function()
    local s = "aé日😀"
    for max, want in pairs { [0] = 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10 } do
      assert.equal(want, tonumber(lib.text_cut(s, #s, max)), max)
    end
    assert.equal(4, tonumber(lib.text_cut(("\128"):rep(20), 20, 7)))
  end)

  it("is quoted as valid JSON, with U+FFFD for what is no UTF-8", function()
    local b = new()
    for given, want in pairs {
      [""] = "", ["a"] = "a", ['"\\'] = [[\"\\]], ["\1\n\31"] = [[\u0001\n\u001f]], ["é日😀"] = "é日😀",
      ["a\255b"] = "a?b", ["\224\128\128"] = "???", ["\237\160\128"] = "???", ["\240\128\128\128"] = "????",
      ["\244\144\128\128"] = "????", ["\195"] = "?", ["\240\159\152"] = "???", ["\193\191"] = "??",
    } do
      lib.buf_reset(b)
      assert.equal(0, lib.text_quote(b, given, #given))
      assert.equal('"' .. want:gsub("%?", "\239\191\189") .. '"', text(b))
    end
  end)

  it("writes integers of all sizes", function()
    local out = ffi.new("char[24]")
    for _, v in ipairs { 0LL, 7LL, -7LL, 1234567890LL, 9223372036854775807LL, -9223372036854775807LL - 1 } do
      local n = lib.text_int(v, out)
      assert.equal((tostring(v):gsub("LL", "")), ffi.string(out, n))
    end
  end)
end)
