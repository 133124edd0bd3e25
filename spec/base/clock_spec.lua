local core = require "support.core"
local ffi = core.ffi
local lib = core.load("base/clock.h")

local function format(ms, micro)
  local out = ffi.new("char[32]")
  lib.clock_format(ms, micro and 1 or 0, out, 32)
  return ffi.string(out)
end

local function parse(text)
  local ms = ffi.new("int64_t[1]")
  if lib.clock_parse(text, ms) ~= 0 then return nil end
  return tonumber(ms[0])
end

local function age(ms)
  local out = ffi.new("char[32]")
  lib.clock_age(ms, out, 32)
  return ffi.string(out)
end

describe("a clock", function()
  it("of the system goes forward and knows the year", function()
    local c = lib.clock_system()
    local before = lib.clock_mono(c)
    assert.is_true(lib.clock_mono(c) >= before)
    assert.is_true(math.abs(tonumber(lib.clock_wall(c)) / 1000 - os.time()) < 5)
  end)

  it("writes RFC 3339 in both lengths", function()
    assert.equal("1970-01-01T00:00:00Z", format(0))
    assert.equal("2026-01-02T03:04:05.678000Z", format(1767323045678, true))
    assert.equal("2026-01-02T03:04:05Z", format(1767323045678))
    assert.equal("1969-12-31T23:59:59.999000Z", format(-1, true))
    assert.equal("2024-02-29T00:00:00Z", format(1709164800000))
  end)

  it("reads what it writes", function()
    for ms = -1e12, 5e12, 123456789013 do
      assert.equal(ms, parse(format(ms, true)))
      assert.equal(math.floor(ms / 1000) * 1000, parse(format(ms)))
    end
  end)

  it("reads fractions of any length and offsets", function()
    assert.equal(500, parse("1970-01-01T00:00:00.5Z"))
    assert.equal(123, parse("1970-01-01T00:00:00.123456789Z"))
    assert.equal(-3600000, parse("1970-01-01T00:00:00+01:00"))
    assert.equal(5400000, parse("1970-01-01T00:00:00-01:30"))
    assert.equal(0, parse("1970-01-01t00:00:00z"))
    assert.equal(1483228800000, parse("2016-12-31T23:59:60Z"))
    assert.equal(1709164800000, parse("2024-02-29T00:00:00Z"))
  end)

  it("refuses what is no RFC 3339", function()
    for _, text in ipairs {
      "", "2026", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02 03:04:05Z", "2026-1-02T03:04:05Z",
      "2026-01-02T03:04Z",
      "2026-13-02T03:04:05Z", "2026-00-02T03:04:05Z", "2026-02-30T00:00:00Z", "2025-02-29T00:00:00Z",
      "2026-06-31T03:04:05Z",
      "2026-01-00T03:04:05Z", "2026-01-02T24:00:00Z", "2026-01-02T03:60:05Z", "2026-01-02T03:04:61Z",
      "2026-01-02T03:04:05.Z",
      "2026-01-02T03:04:05Zx", "2026-01-02T03:04:05+1:00", "2026-01-02T03:04:05+01", "2026-01-02T03:04:05+24:00",
      "x026-01-02T03:04:05Z", " 2026-01-02T03:04:05Z", "2026-01-02T03:04:05+01:60", "1900-02-29T00:00:00Z",
    } do
      assert.is_nil(parse(text), text)
    end
  end)

  it("tells ages as kubectl does", function()
    local s, m, h, d = 1000, 60000, 3600000, 86400000
    for _, case in ipairs {
      { 0, "0s" }, { -5, "0s" }, { 45 * s, "45s" }, { 119 * s, "119s" }, { 120 * s, "2m" }, { 125 * s, "2m5s" },
      { 9 * m + 59 * s, "9m59s" }, { 10 * m + 59 * s, "10m" }, { 179 * m, "179m" }, { 3 * h, "3h" },
      { 3 * h + 5 * m, "3h5m" },
      { 8 * h + 5 * m, "8h" }, { 47 * h, "47h" }, { 48 * h, "2d" }, { 2 * d + 3 * h, "2d3h" }, { 8 * d + 3 * h, "8d" },
      { 729 * d, "729d" }, { 730 * d, "2y" }, { 735 * d, "2y5d" }, { 8 * 365 * d + 5 * d, "8y" },
    } do
      assert.equal(case[2], age(case[1]))
    end
  end)
end)
