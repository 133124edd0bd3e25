require("support.caged").open()
local maintenance = require "lib.maintenance"

local function at(text_of) return assert(time.parse(text_of)) end

local function open(now, ...)
  local windows = { ... }
  for n, w in ipairs(windows) do windows[n] = { schedule = w[1], duration = w[2], timeZone = w[3] } end
  return maintenance.open { now = at(now), kind = "TiKV", cluster = { windows = windows } }
end

-- now, is it open, when that changes, schedule, duration, time zone
local CASES = {
  { "2026-11-28T02:00:00Z", true, "2026-11-28T06:00:00Z", "0 2 * * *", "4h" },
  { "2026-11-28T05:59:59Z", true, "2026-11-28T06:00:00Z", "0 2 * * *", "4h" },
  { "2026-11-28T06:00:00Z", false, "2026-11-29T02:00:00Z", "0 2 * * *", "4h" },
  { "2026-11-28T01:00:00Z", true, "2026-11-28T02:00:00Z", "0 22 * * *", "4h" }, -- over midnight
  { "2026-11-28T12:00:00Z", false, "2026-11-29T02:00:00Z", "0 2 * * sun", "4h" }, -- a Saturday
  { "2026-11-29T12:00:00Z", false, "2026-12-06T02:00:00Z", "0 2 * * 7", "4h" },
  { "2026-11-28T12:00:00Z", false, "2026-12-01T00:30:00Z", "30 0 1 * *", "90m" },
  { "2026-11-28T12:00:00Z", false, "2028-02-29T00:00:00Z", "0 0 29 feb *", "1h" },
  { "2026-11-28T12:00:00Z", true, "2026-11-28T12:10:00Z", "*/15 * * * *", "10m" },
  { "2026-11-28T12:10:00Z", false, "2026-11-28T12:15:00Z", "*/15 * * * *", "10m" },
  { "2026-11-27T12:00:00Z", false, "2026-11-30T09:00:00Z", "0 9 * * MON-FRI", "2h" },
  { "2026-11-28T12:00:00Z", false, "2026-11-29T00:00:00Z", "0 0 13,29 * *", "1h" },
  { "2026-11-28T12:00:00Z", false, "2026-11-29T03:00:00Z", "0 3 13 * sun", "1h" }, -- cron: either day
  { "2026-11-28T00:30:00Z", true, "2026-11-28T01:00:00Z", "0 2 * * *", "1h", "+02:00" },
  { "2026-11-28T02:30:00Z", false, "2026-11-29T00:00:00Z", "0 2 * * *", "1h", "+02:00" },
  { "2026-11-28T05:30:00Z", true, "2026-11-28T06:00:00Z", "0 2 * * *", "1h", "Etc/GMT+3" },
  { "2026-11-30T12:00:00Z", true, "2026-12-01T02:00:00Z", "0 2 * * sun", "48h" }, -- began yesterday
}

describe("A maintenance window", function()
  for n, c in ipairs(CASES) do
    it(("is %s at %s with %s for %s %s (case %d)"):format(c[2] and "open" or "shut", c[1], c[4], c[5], c[6] or "", n),
      function()
        local yes, why, after = open(c[1], { c[4], c[5], c[6] })
        assert.equal(c[2], yes)
        assert.equal(c[3], time.format(at(c[1]) + after))
        assert.truthy(why:find(c[3], 1, true), why)
      end)
  end

  it("is open when none is set, and when one of several is", function()
    assert.is_true((open "2026-11-28T12:00:00Z"))
    assert.is_true((open("2026-11-28T12:00:00Z", { "0 2 * * *", "1h" }, { "0 12 * * *", "1h" })))
    local _, why = open("2026-11-28T13:00:00Z", { "0 2 * * *", "1h" }, { "0 12 * * *", "1h" })
    assert.truthy(why:find("2026-11-29T02:00:00Z", 1, true))
  end)

  it("that never comes keeps the gate shut", function()
    local yes, why = open("2026-11-28T12:00:00Z", { "0 0 31 feb *", "1h" })
    assert.is_false(yes)
    assert.equal("no maintenance window ever opens", why)
  end)

  for text_of, want in pairs {
    ["60 2 * * *"] = 'windows[1].schedule: minute "60" is not within 0 and 59',
    ["0 2 * * funday"] = 'windows[1].schedule: day of week "funday"',
    ["0 2 * *"] = 'windows[1].schedule: "0 2 * *" has 4 fields',
    ["0 5-2 * * *"] = "windows[1].schedule: hour: 5-2 runs backwards",
    ["0/0 2 * * *"] = 'windows[1].schedule: minute: step "0"',
    ["0 2, * * *"] = "windows[1].schedule: hour: an item is empty",
    ["@daily now and then x"] = 'windows[1].schedule: minute "@daily"',
  } do
    it("that can not be read keeps the gate shut and is named: " .. text_of, function()
      local yes, why, _, wrong = open("2026-11-28T12:00:00Z", { "0 2 * * *", "1h" }, { text_of, "1h" })
      assert.is_false(yes)
      assert.is_true(wrong)
      assert.truthy(why:find(want, 1, true), why)
    end)
  end

  it("names durations and time zones that it can not read", function()
    local _, why = open("2026-11-28T12:00:00Z", { "0 2 * * *", "soon" })
    assert.truthy(why:find('windows[0].duration: "soon"', 1, true), why)
    _, why = open("2026-11-28T12:00:00Z", { "0 2 * * *", "1h", "Mars/Olympus" })
    assert.truthy(why:find('windows[0].timeZone: "Mars/Olympus"', 1, true), why)
  end)
end)
