local core = require "support.core"
local ffi = core.ffi
local lib = core.load("base/rng.h", "base/hash.h")

local function new(seed)
  local r = ffi.new("struct rng")
  lib.rng_seed(r, seed)
  return r
end

local function hex(v) return bit.tohex(v, 16) end

describe("the random numbers", function()
  it("are those of xoshiro256** seeded by splitmix64", function()
    -- splitmix64 from 0 begins with these; xoshiro256** from the state 1, 2, 3, 4 with those.
    local r = new(0)
    assert.equal("e220a8397b1dcdaf", hex(r.s[0]))
    assert.equal("6e789e6aa1b965f4", hex(r.s[1]))
    local x = ffi.new("struct rng", { { 1, 2, 3, 4 } })
    assert.equal(11520ULL, lib.rng_u64(x))
    assert.equal(0ULL, lib.rng_u64(x))
    assert.equal(1509978240ULL, lib.rng_u64(x))
    assert.equal(1215971899390074240ULL, lib.rng_u64(x))
  end)

  it("are the same for the same seed and others for another", function()
    assert.equal(lib.rng_u64(new(42)), lib.rng_u64(new(42)))
    assert.not_equal(lib.rng_u64(new(42)), lib.rng_u64(new(43)))
  end)

  it("stay below the bound, reach every value, and are even", function()
    local r, seen = new(1), {}
    for _ = 1, 7000 do
      local v = tonumber(lib.rng_below(r, 7))
      seen[v] = (seen[v] or 0) + 1
    end
    for v = 0, 6 do assert.is_true(math.abs(seen[v] - 1000) < 150) end
    assert.is_nil(seen[7])
    for _ = 1, 100 do assert.equal(0ULL, lib.rng_below(r, 1)) end
    -- A third of 2^64 above the bound would show as a bias towards the lower half.
    local low, n = 0, 0xc000000000000000ULL
    for _ = 1, 3000 do
      if lib.rng_below(r, n) < n / 2 then low = low + 1 end
    end
    assert.is_true(math.abs(low - 1500) < 150, low)
  end)

  it("lie in the unit interval and jitter within their part", function()
    local r, sum = new(2), 0
    for _ = 1, 2000 do
      local u = lib.rng_unit(r)
      assert.is_true(u >= 0 and u < 1)
      sum = sum + u
      local j = tonumber(lib.rng_jitter(r, 1000, 0.2))
      assert.is_true(j >= 1000 and j <= 1200)
    end
    assert.is_true(math.abs(sum / 2000 - 0.5) < 0.05)
    assert.equal(1000LL, lib.rng_jitter(r, 1000, 0))
  end)

  it("fork into streams of their own that nobody shifts", function()
    local r = new(3)
    local a, b = lib.rng_fork(r, "a"), lib.rng_fork(r, "b")
    local first = lib.rng_u64(a)
    assert.not_equal(first, lib.rng_u64(b))
    assert.equal(first, lib.rng_u64(lib.rng_fork(new(3), "a")))
    assert.equal(lib.rng_u64(new(3)), lib.rng_u64(r))
    assert.not_equal(first, lib.rng_u64(lib.rng_fork(new(4), "a")))
  end)

  it("make uuids of version 4", function()
    local r, out, seen = new(4), ffi.new("char[37]"), {}
    for _ = 1, 100 do
      lib.rng_uuid(r, out)
      local id = ffi.string(out)
      assert.is_truthy(id:match("^%x%x%x%x%x%x%x%x%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"), id)
      assert.is_nil(seen[id])
      seen[id] = true
    end
  end)

  it("take a new seed from the system each time", function()
    assert.not_equal(lib.rng_entropy(), lib.rng_entropy())
  end)
end)

describe("a hash", function()
  it("is SHA-256 for names of content", function()
    local out = ffi.new("char[65]")
    lib.hash_sha256_hex("abc", 3, out)
    assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", ffi.string(out))
    lib.hash_sha256_hex(nil, 0, out)
    assert.equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", ffi.string(out))
  end)

  it("is FNV-1a for tables, and goes on from a seed", function()
    assert.equal("cbf29ce484222325", hex(lib.hash_fnv("", 0, 0)))
    assert.equal("85944171f73967e8", hex(lib.hash_fnv("foobar", 6, 0)))
    assert.equal(lib.hash_fnv("foobar", 6, 0), lib.hash_fnv("bar", 3, lib.hash_fnv("foo", 3, 0)))
  end)

  it("gives revision names in Kubernetes' safe alphabet", function()
    local out, seen = ffi.new("char[11]"), {}
    for i = 1, 500 do
      local text = "template " .. i
      lib.hash_safe_name(text, #text, out)
      local name = ffi.string(out)
      assert.is_truthy(name:match("^[bcdfghjklmnpqrstvwxz2456789]+$"))
      assert.equal(10, #name)
      assert.is_nil(seen[name])
      seen[name] = true
    end
  end)
end)
