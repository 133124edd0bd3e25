--- vmlib: the pure functions scripts may call.
local vm = require "support.vm"

local function yields(value, expression)
  local out, how, why = vm.run("return " .. expression)
  assert.same({ value, "ok" }, { out, how }, expression .. ": " .. tostring(why))
end

local function fails(text, expression)
  local out, how, why = vm.run("return " .. expression)
  assert.equal("error", how, out)
  assert.truthy(why:find(text, 1, true), why)
end

describe("json", function()
  it("encodes with sorted members and decodes", function()
    yields([["{\"a\":1,\"b\":[]}"]], "json.encode({ b = json.array {}, a = 1 })")
    yields([["{\"a\":1,\"b\":2}"]], "json.encode({ b = 2, a = 1 }, true)")
    yields("[1,2]", "(json.decode('[1,2]'))")
    yields('"450124578123456789"', "(json.decode('450124578123456789'))")
  end)

  it("gives nil and a reason for what is not JSON", function()
    local out = vm.run("local v, why = json.decode('{\"a\":') return { v == nil, type(why) }")
    assert.equal('[true,"string"]', out)
    yields('"more than 1048576 bytes"', "select(2, json.decode(' ' .. table.concat((function() " ..
      "local t = {} for i = 1, 20 do t[i] = (' '):rep(60000) end return t end)())))")
  end)

  it("refuses what has no JSON", function()
    fails("json.encode: a: a function can not be a value", "json.encode({ a = print })")
    fails("has a metatable already", "json.array(setmetatable({}, {}))")
    fails("table expected", "json.array(1)")
  end)
end)

describe("hash", function()
  it("is SHA-256 and a ten-character name", function()
    yields('"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"', "hash.sha256('abc')")
    yields("10", "#hash.safe('abc')")
    yields("true", "hash.safe('a') ~= hash.safe('b') and hash.safe('a') == hash.safe('a')")
  end)
end)

describe("time", function()
  it("reads and writes RFC 3339", function()
    yields("1767323045", "time.parse('2026-01-02T03:04:05Z')")
    yields("1767319445.5", "time.parse('2026-01-02T03:04:05.5+01:00')")
    yields(nil, "time.parse('yesterday')")
    yields(nil, "time.parse('2026-01-02T03:04:05Z\\0')")
    yields('"2026-01-02T03:04:05Z"', "time.format(1767323045.9)")
    yields('"1969-12-31T23:59:59Z"', "time.format(-0.5)")
    fails("not a time", "time.format(0/0)")
    fails("not a time", "time.format(1e300)")
  end)

  it("reads Go's durations", function()
    for text, seconds in pairs { ["1h5m"] = "3900", ["300ms"] = "0.3", ["1.5s"] = "1.5", ["-2m"] = "-120",
      ["0"] = "0",
      ["100us"] = "0.0001", ["24h0m0s"] = "86400", [".5h"] = "1800", ["+1s"] = "1" } do
      yields(seconds, ("time.duration(%q)"):format(text))
    end
    for _, text in ipairs { "", "1", "h", "1d", "1h ", "1.h.", "-", "1h-5m", "1e3s" } do
      yields(nil, ("time.duration(%q)"):format(text))
    end
  end)

  it("writes ages as kubectl does", function()
    yields('"45s"', "time.age(45)")
    yields('"5h"', "time.age(5 * 3600)")
  end)
end)

describe("quantity", function()
  it("reads every form of Kubernetes", function()
    for text, number in pairs { ["16Gi"] = 16 * 2 ^ 30, ["1.5Gi"] = 1.5 * 2 ^ 30, ["100m"] = 0.1,
      ["1k"] = 1000, ["2M"] = 2e6,
      ["1G"] = 1e9, ["1T"] = 1e12, ["1P"] = 1e15, ["1E"] = 1e18, ["1Ki"] = 1024, ["1Mi"] = 2 ^ 20,
        ["1Ti"] = 2 ^ 40,
      ["1Pi"] = 2 ^ 50, ["1Ei"] = 2 ^ 60, ["1e3"] = 1000, ["1E3"] = 1000, ["1e-3"] = 0.001,
        ["1e+3"] = 1000, ["5"] = 5,
      ["-5"] = -5, ["+5"] = 5, [".5"] = 0.5, ["5."] = 5, ["1n"] = 1e-9, ["1u"] = 1e-6, ["0"] = 0,
        ["-0"] = 0 } do
      local out, how, why = vm.run(("return quantity.parse(%q) == %.17g"):format(text, number))
      assert.same({ "true", "ok" }, { out, how }, text .. ": " .. tostring(why))
    end
    yields("2", "quantity.parse(2)")
  end)

  it("gives nil for what is none", function()
    for _, text in ipairs { "", ".", "-", "1 Gi", "Gi", "1gi", "1KI", "1K", "1e", "1e+", "1e3k", "1..2",
      "0x10", "1Gi ", " 1", "inf",
      "nan", "1e49", "1ki", "1mi", "--1", ("1"):rep(49) } do
      yields(nil, ("quantity.parse(%q)"):format(text))
      yields(nil, ("quantity.compare(%q, '1')"):format(text))
    end
  end)

  it("compares exactly where numbers would round", function()
    local order = { "-2Ei", "-1E", "-1m", "0", "1n", "1u", "999u", "1m", "0.5", "1", "1023", "1Ki", "1025",
      "999999999999999999",
      "1E", "1.0000000000000000001E", "1152921504606846975", "1Ei", "1152921504606846977", "1e48" }
    for i, a in ipairs(order) do
      for k, b in ipairs(order) do
        yields(tostring(i < k and -1 or i > k and 1 or 0), ("quantity.compare(%q, %q)"):format(a, b))
      end
    end
    for a, b in pairs { ["1Gi"] = "1024Mi", ["1"] = "1000m", ["0"] = "-0", ["1e3"] = "1k",
      ["0.1"] = "100m", ["1.5Ki"] = "1536" } do
      yields("0", ("quantity.compare(%q, %q)"):format(a, b))
    end
    yields("0", "quantity.compare(0.1, '100m')")
    yields("-1", "quantity.compare(2, '2001m')")
    yields("1", ("quantity.compare('%se48', '1e-48')"):format(("9"):rep(45)))
  end)
end)

describe("semver", function()
  it("reads versions with and without v", function()
    yields('{"major":8,"minor":5,"patch":0}', "semver.parse('v8.5.0')")
    yields('{"build":"x.y","major":1,"minor":2,"patch":3,"prerelease":"rc.1"}',
      "semver.parse('1.2.3-rc.1+x.y')")
    for _, text in ipairs { "", "v", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3-a..b",
      "1.2.3+", "nightly",
      "1.2.3 ", "vv1.2.3", "1.2.3-a_b", "-1.2.3", "1.2.3-a." } do
      yields(nil, ("semver.parse(%q)"):format(text))
    end
  end)

  it("orders versions as semver.org does", function()
    local order = { "0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta",
      "1.0.0-beta.2", "v1.0.0-beta.11",
      "1.0.0-rc.1", "1.0.0", "1.0.1", "1.9.0", "1.10.0", "8.5.0-alpha-12-g0abc", "8.5.0" }
    for i, a in ipairs(order) do
      for k, b in ipairs(order) do
        yields(tostring(i < k and -1 or i > k and 1 or 0), ("semver.compare(%q, %q)"):format(a, b))
      end
    end
    yields("0", "semver.compare('1.0.0+a', 'v1.0.0+b')")
    yields(nil, "semver.compare('1.0.0', 'latest')")
  end)
end)

describe("text", function()
  it("splits, trims and looks at the ends without patterns", function()
    yields('["a","","b.c"]', "text.split('a,,b.c', ',')")
    yields('[""]', "text.split('', ',')")
    yields('["a","b"]', "text.split('a::b', '::')")
    fails("separator is empty", "text.split('a', '')")
    yields('"a b"', "text.trim(' \\t a b\\n')")
    yields('""', "text.trim('  ')")
    yields("[true,false,true,false]", "{ text.starts('tikv-0', 'tikv'), " ..
      "text.starts('a', 'ab'), text.ends('a.lua', '.lua'), " ..
      "text.ends('a', 'ba') }")
  end)

  it("matches globs", function()
    for _, case in ipairs { { "*", "", true }, { "tikv-*", "tikv-12", true }, { "*-?", "tikv-12", false },
      { "*-??", "tikv-12", true },
      { "a*b*c", "axxbyyc", true }, { "a*b*c", "axxbyy", false }, { "", "", true }, { "", "a", false },
        { "?", "", false },
      { "[a]", "[a]", true }, { "a.c", "abc", false }, { "**", "x", true } } do
      yields(tostring(case[3]), ("text.glob(%q, %q)"):format(case[1], case[2]))
    end
  end)
end)
