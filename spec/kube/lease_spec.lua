local k = require "kube.support"
local lib, ffi = k.lib, k.ffi

local PATH = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/op"

local function record(holder, rv, over)
  local spec = { holderIdentity = holder, leaseDurationSeconds = 15, leaseTransitions = 3,
    acquireTime = "2026-01-01T00:00:00.000000Z", renewTime = "2026-01-01T00:00:00.000000Z" }
  for key, v in pairs(over or {}) do spec[key] = v end
  return { apiVersion = "coordination.k8s.io/v1", kind = "Lease", spec = spec,
    metadata = { name = "op", namespace = "ns", uid = "u", resourceVersion = tostring(rv) } }
end

describe("lease", function()
  local w, l, gained, owner
  local function new(over)
    local c = ffi.new("struct lease_conf")
    c.loop, c.http, c.server, c.ns, c.name, c.identity = k.loop, k.http, "https://k8s:6443", "ns", "op", "me"
    c.log = w.log
    lib.rng_seed(c.rng, 3)
    gained = 0
    owner = k.note()
    owner.also = function() gained = gained + 1 end
    c.on_gain, c.on_lose, c.arg = k.on_fire, k.on_text, owner.arg
    for key, v in pairs(over or {}) do c[key] = v end
    local e = ffi.new("struct err")
    local new_lease = lib.lease_new(c, e)
    return new_lease ~= nil and new_lease or nil, ffi.string(e.msg)
  end
  local function start(over)
    l = assert(new(over))
    lib.lease_start(l)
    w:run(0)
  end
  local rv = 100
  -- Answers a write with what it wrote.
  local function accept(r)
    r = r or w:request()
    assert.is_true(r.method == "PUT" or r.method == "POST", r.method)
    rv = rv + 1
    local body = r.body:gsub('"resourceVersion":"%d+"', '"resourceVersion":"' .. rv .. '"')
    if r.method == "POST" then
      body = body:gsub('"metadata":{', '"metadata":{"uid":"u","resourceVersion":"' .. rv .. '",')
    end
    r:reply(200, body)
  end
  local function lead(over)
    start(over)
    w:request():status(404, "NotFound", "none")
    accept()
    assert.is_true(lib.lease_held(l))
  end
  local function next_write()
    w:run(2000)
    return w:request()
  end

  before_each(function() w = k.world() end)
  after_each(function()
    if l then lib.lease_free(l) end
    l = nil
    assert.is_nil(w.misuse)
    assert.equal(0, w:timers_left())
    assert.equal(0, #w:open())
  end)

  it("E1 writes a Lease with holder, duration, times in microseconds and transitions", function()
    start()
    local r = w:request()
    assert.equal("GET " .. PATH, r.method .. " " .. r.path)
    r:status(404, "NotFound", "none")
    r = w:request()
    assert.equal("POST", r.method)
    assert.equal("Lease", k.at(r.body, "kind"))
    assert.equal("me", k.at(r.body, "spec.holderIdentity"))
    assert.equal("15", k.at(r.body, "spec.leaseDurationSeconds"))
    assert.equal("0", k.at(r.body, "spec.leaseTransitions"))
    assert.truthy(k.at(r.body, "spec.renewTime"):match("^2026%-01%-01T00:00:00%.000000Z$"))
    assert.equal(k.at(r.body, "spec.renewTime"), k.at(r.body, "spec.acquireTime"))
    accept(r)
    assert.equal(1, gained)
    assert.equal("me", ffi.string(lib.lease_holder(l)))
  end)

  it("E2 refuses times that can not work", function()
    for _, t in ipairs { { 10000, 10000, 2000 }, { 15000, 2400, 2000 }, { 15000, 10000, 9000 }, { 500, 400, 100 } } do
      local bad, why = new { duration_ms = t[1], renew_ms = t[2], retry_ms = t[3] }
      assert.is_nil(bad)
      assert.truthy(why:find("lease", 1, true))
    end
    l = assert(new { duration_ms = 3000, renew_ms = 2000, retry_ms = 500 })
  end)

  it("E3 takes a lease only when its record did not change for its full duration, as seen here", function()
    start()
    w:request():reply(200, record("other", 5, { leaseDurationSeconds = 30,
      renewTime = "2020-01-01T00:00:00.000000Z" })) -- an old clock proves nothing
    local from = w.now
    while true do
      while #w:open() == 0 do w:run(100) end
      local r = w:request()
      if r.method == "PUT" then break end
      r:reply(200, record("other", 5, { leaseDurationSeconds = 30, renewTime = "2020-01-01T00:00:00.000000Z" }))
    end
    assert.is_true(w.now - from > 30000 and w.now - from < 33000, w.now - from)
    local b = w:request().body
    assert.equal("4", k.at(b, "spec.leaseTransitions"))
    assert.equal("5", k.at(b, "metadata.resourceVersion"))
    accept()
    assert.is_true(lib.lease_held(l))
  end)

  it("E3 starts to wait anew whenever the record changes", function()
    start()
    for i = 1, 40 do
      w:request():reply(200, record("other", i, { renewTime = ("2026-01-01T00:00:%02d.000000Z"):format(i) }))
      while #w:open() == 0 do w:run(100) end
      assert.equal("GET", w:request().method)
    end
    assert.equal("other", ffi.string(lib.lease_holder(l)))
  end)

  it("E3 asks about every two seconds, not in step with others", function()
    start()
    local gaps = {}
    for _ = 1, 5 do
      w:request():reply(200, record("other", 5))
      local from = w.now
      while #w:open() == 0 do w:run(1) end
      gaps[w.now - from] = true
      assert.is_true(w.now - from >= 2000 and w.now - from <= 2400)
    end
    local n = 0
    for _ in pairs(gaps) do n = n + 1 end
    assert.is_true(n > 2)
  end)

  it("E3 takes a lease that was given back at once", function()
    start()
    w:request():reply(200, record("", 5, { leaseDurationSeconds = 1 }))
    assert.equal("PUT", w:request().method)
    w:request():status(409, "Conflict", "another was faster")
    w:request():reply(200, record("other", 6))
    assert.is_false(lib.lease_held(l))
    assert.equal(0, #w:open())
  end)

  it("E4 renews every two seconds by an update with the last version", function()
    lead()
    for _ = 1, 3 do
      local r = next_write()
      assert.equal("PUT", r.method)
      assert.equal(tostring(rv), k.at(r.body, "metadata.resourceVersion"))
      assert.equal("0", k.at(r.body, "spec.leaseTransitions"))
      accept(r)
    end
    assert.equal(1, gained)
  end)

  it("E4 looks and writes again when a renewal fails, and is lost after ten seconds of that", function()
    lead()
    next_write():status(500, "InternalError", "oops")
    local look = w:request()
    assert.equal("GET", look.method)
    look:reply(200, record("me", rv))
    accept()
    local from = w.now
    while not owner.losses do
      w:run(1)
      for _, r in ipairs(w:open()) do r:status(500, "InternalError", "oops") end
    end
    assert.equal(10000, w.now - from)
    assert.is_false(lib.lease_held(l))
    assert.truthy(owner.why:find("in time", 1, true))
    w:run(60000)
    assert.equal(1, owner.losses)
    assert.equal(0, #w:open())
  end)

  it("E4 finds its own renewal again when the answer was lost", function()
    lead()
    next_write():fail(lib.ERR_TIMEOUT, "no answer")
    w:request():reply(200, record("me", 150))
    assert.equal("150", k.at(w:request().body, "metadata.resourceVersion"))
    accept()
    assert.is_true(lib.lease_held(l))
  end)

  it("E5 counts the time to write from before the renewal was sent", function()
    lead()
    assert.equal(10000, tonumber(lib.lease_valid_ms(l)))
    local r = next_write()
    assert.equal(8000, tonumber(lib.lease_valid_ms(l)))
    w:run(3000)
    accept(r)
    assert.equal(7000, tonumber(lib.lease_valid_ms(l)))
  end)

  it("E5 closes at the renew deadline, before another process may take over", function()
    lead()
    w:run(9999)
    assert.is_true(lib.lease_held(l))
    w:run(1)
    assert.is_false(lib.lease_held(l))
    assert.equal(0, tonumber(lib.lease_valid_ms(l)))
    assert.equal(1, owner.losses)
    assert.equal(0, #w:open()) -- its own request is cut too
  end)

  it("E6 does not gain by an answer that took longer than the lease lasts", function()
    start()
    w:request():status(404, "NotFound", "none")
    local r = w:request()
    w:jump(10000)
    accept(r)
    assert.equal(0, gained)
    assert.is_false(lib.lease_held(l))
    w:run(2400)
    w:request():reply(200, record("me", rv))
    accept()
    assert.equal(1, gained)
  end)

  -- W-71
  it("E7 gives the lease back with an empty holder and one second", function()
    lead()
    local done = k.note()
    lib.lease_release(l, k.on_fire, done.arg)
    assert.is_false(lib.lease_held(l))
    local r = w:request()
    assert.equal("", k.at(r.body, "spec.holderIdentity"))
    assert.equal("1", k.at(r.body, "spec.leaseDurationSeconds"))
    assert.equal(tostring(rv), k.at(r.body, "metadata.resourceVersion"))
    assert.is_nil(done.calls)
    accept(r)
    assert.equal(1, done.calls)
    assert.is_nil(owner.losses)
  end)

  it("E7 tries again on a conflict, stops when another holds it, and ends in time in any case", function()
    lead()
    local done = k.note()
    lib.lease_release(l, k.on_fire, done.arg)
    w:request():status(409, "Conflict", "changed")
    w:request():reply(200, record("me", 200))
    assert.equal("200", k.at(w:request().body, "metadata.resourceVersion"))
    accept()
    assert.equal(1, done.calls)
    lib.lease_free(l)

    lead()
    done = k.note()
    lib.lease_release(l, k.on_fire, done.arg)
    w:request():status(409, "Conflict", "changed")
    w:request():reply(200, record("other", 201))
    assert.equal(1, done.calls)
    lib.lease_free(l)

    lead()
    done = k.note()
    lib.lease_release(l, k.on_fire, done.arg)
    w:run(10000)
    assert.equal(1, done.calls)
  end)

  it("E7 looks first when a renewal was on the wire", function()
    lead()
    next_write()
    local done = k.note()
    lib.lease_release(l, k.on_fire, done.arg)
    local r = w:request()
    assert.equal("GET", r.method)
    r:reply(200, record("me", 300))
    assert.equal("", k.at(w:request().body, "spec.holderIdentity"))
    accept()
    assert.equal(1, done.calls)
  end)

  it("E7 has nothing to give back when it does not lead, and says so later", function()
    start()
    local done = k.note()
    lib.lease_release(l, k.on_fire, done.arg)
    assert.is_nil(done.calls)
    w:run(0)
    assert.equal(1, done.calls)
    assert.equal(0, #w:open())
  end)

  it("E8 needs an identity", function()
    local bad, why = new { identity = "" }
    assert.is_nil(bad)
    assert.truthy(why:find("identity", 1, true))
  end)

  it("E9 creates the object again when it was deleted, and steps down when another was faster", function()
    lead()
    next_write():status(404, "NotFound", "gone")
    w:request():status(404, "NotFound", "gone")
    assert.equal("POST", w:request().method)
    accept()
    assert.is_true(lib.lease_held(l))

    next_write():status(404, "NotFound", "gone")
    w:request():status(404, "NotFound", "gone")
    w:request():status(409, "AlreadyExists", "there")
    w:run(2000)
    w:request():reply(200, record("other", 9))
    assert.is_false(lib.lease_held(l))
    assert.equal(1, owner.losses)
    assert.truthy(owner.why:find("another", 1, true))
  end)

  it("E9 steps down when it sees another holder", function()
    lead()
    next_write():status(409, "Conflict", "changed")
    w:request():reply(200, record("other", 9))
    assert.equal(1, owner.losses)
  end)

  it("E10 is lost after a suspend before anything else happens", function()
    lead()
    local r = next_write()
    w:jump(20000)
    assert.is_false(lib.lease_held(l)) -- the gate, whoever asks first
    accept(r) -- and the late answer does not bring it back
    assert.equal(1, owner.losses)
    assert.is_false(lib.lease_held(l))
  end)

  it("E10 tells how long a renewal is overdue, for the liveness check", function()
    lead()
    assert.equal(0, tonumber(lib.lease_overdue_ms(l)))
    w:run(36000)
    assert.equal(21000, tonumber(lib.lease_overdue_ms(l)))
    lib.lease_free(l)
    start()
    w:request():reply(200, record("other", 5))
    w:jump(100000)
    assert.equal(0, tonumber(lib.lease_overdue_ms(l)))
  end)

  it("may be freed when it is lost", function()
    lead()
    owner.also_text = function()
      lib.lease_free(l)
      l = nil
    end
    w:run(10000)
    assert.is_nil(l)
  end)

  it("keeps what others wrote into the object", function()
    start()
    local o = record("", 5, { strategy = "OldestEmulationVersion" })
    o.metadata.annotations = { note = "kept" }
    w:request():reply(200, o)
    assert.equal("OldestEmulationVersion", k.at(w:request().body, "spec.strategy"))
    assert.equal("kept", k.at(w:request().body, "metadata.annotations.note"))
    accept()
  end)

  it("has connections of its own and answers in half the deadline (C8)", function()
    start()
    assert.equal("lease", w:request().pool)
    assert.equal(5000, w:request().total_ms)
  end)
end)
