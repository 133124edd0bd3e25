--- exec: actions in order, each asked about right before it leaves; the first failure stops them.
local S = require "spec.engine.guard_support"
local core = require "support.core"
local ffi = core.ffi
local C, kube, pd = S.C, S.kube, S.pd

local OWN = "core.tikv.org/"

ffi.cdef "char *strdup(const char *);"
local tikvs, tikv_url
local tikv_target = ffi.cast("void (*)(void *, const char *, const char *, struct tikv_target *)",
  function(_, _, _, out) out.url = tikv_url and ffi.C.strdup(tikv_url) or nil end)
local tikv_view = ffi.cast("struct tikvview *(*)(void *)", function() return tikvs end)
local on_tikv = ffi.cast("void (*)(void *, const char *, const char *)", function() end)

local results = {}
local on_done = ffi.cast("exec_done_fn *", function(arg, r)
  local n = tonumber(ffi.cast("uintptr_t", arg))
  local was = results[n]
  results[n] = { calls = (was and was.calls or 0) + 1, done = r.done, failed = r.failed, msg = ffi.string(r.err.msg),
    code = tonumber(r.err.code), refused = r.refused, status_written = r.status_written,
      status_failed = r.status_failed }
end)

describe("exec", function()
  local r, x, api, ev, expect, n

  local function start(over)
    r = S.rig(over or { no_pd = true })
    api = r.w:api()
    ev = C.events_new(api, "tikv-operator", "spec", r.w.log, r.w.metrics)
    expect = C.expect_new()
    C.expect_stores(expect, S.store_of, nil)
    tikvs = C.tikvview_new(ffi.new("struct tikvview_conf", { loop = kube.loop, http = kube.http, log = r.w.log,
      target = tikv_target, on_change = on_tikv }))
    x = C.exec_new(ffi.new("struct exec_conf", { loop = kube.loop, api = api, events = ev, guard = r.guard,
      expect = expect, log = r.w.log, metrics = r.w.metrics, pdview = S.view_of, http = kube.http,
      tikv_target = tikv_target, tikvview = tikv_view }))
    n = #results + 1
    results[n] = { calls = 0 }
  end
  after_each(function()
    C.exec_free(x)
    C.tikvview_free(tikvs)
    C.expect_free(expect)
    C.events_free(ev)
    C.api_free(api)
    r:free()
  end)

  local function run(subject, actions, more, status)
    local plan = S.plan(actions, more)
    local h = C.exec_start(x, "TiKV/ns/basic-0", subject, plan, status or false, on_done,
      ffi.cast("void *", ffi.cast("uintptr_t", n)))
    assert.equal(0, results[n].calls)
    r.w:run(1)
    return h
  end

  local function next_run()
    n = #results + 1
    results[n] = { calls = 0 }
  end

  local function result()
    r.w:run(1)
    assert.equal(1, results[n].calls)
    return results[n]
  end

  local function config(uid)
    return { action = "apply", object = { apiVersion = "v1", kind = "ConfigMap", metadata = { name = "basic-tikv-0",
      namespace = "ns", uid = uid, labels = S.labels("tikv", "basic-0"), ownerReferences = S.owner("TiKV",
        "basic-0") } } }
  end

  local function live(kind, name)
    local k = S.kind_of(kind)
    return ffi.string(C.store_get(r.stores[k], "ns", name).text)
  end

  --- What the API server answers to a write: the object with a uid and a newer version.
  local function written(q, uid)
    local text = q.body:gsub(',"resourceVersion":"1"', ""):gsub('"metadata":{', '"metadata":{"resourceVersion":"900",' ..
      (q.body:find('"uid":"' .. uid .. '"', 1, true) and "" or '"uid":"' .. uid .. '",'), 1)
    q:reply(200, text)
  end

  --- A creation of what is there already; then it is looked at.
  local function taken()
    local q = r.w:request()
    assert.equal("PATCH", q.method)
    q:status(409, "Conflict", "the object has been modified")
    q = r.w:request()
    assert.equal("GET", q.method)
    return q
  end

  it("creates by apply without force, after reading the owner from a quorum (R4, A3)", function()
    start()
    local s = r:tikv(0)
    run(s, { config() })
    local q = r.w:request()
    assert.equal("GET", q.method)
    assert.truthy(q.path:find("/tikvs/basic-0", 1, true), q.path)
    assert.is_nil(q.query.resourceVersion)
    q:reply(200, live("TiKV", "basic-0"))
    q = r.w:request()
    assert.equal("PATCH", q.method)
    assert.truthy(q.path:find("/configmaps/basic-tikv-0", 1, true), q.path)
    assert.truthy(q.query.force == nil or q.query.force == "false")
    -- A version that no object has: however late it arrives, it changes nothing that is there (E6).
    assert.equal("1", kube.at(q.body, "metadata.resourceVersion"))
    written(q, "new")
    local got = result()
    assert.equal(1, got.done)
    assert.equal(-1, got.failed)
    assert.is_true(C.expect_holds(expect, "TiKV/ns/basic-0"))
  end)

  -- E-99
  it("updates by apply with uid and force, without reading the owner", function()
    start()
    local s = r:tikv(0)
    r:put("ConfigMap", "basic-tikv-0", { owners = S.owner("TiKV", "basic-0") })
    run(s, { config "uid-ConfigMap-basic-tikv-0" })
    local q = r.w:request()
    assert.equal("PATCH", q.method)
    assert.equal("true", q.query.force)
    assert.equal("uid-ConfigMap-basic-tikv-0", kube.at(q.body, "metadata.uid"))
    written(q, "uid-ConfigMap-basic-tikv-0")
    assert.equal(1, result().done)
  end)

  for what, change in pairs {
    ["another uid"] = { '"uid":"uid%-TiKV%-basic%-0"', '"uid":"another"' },
    ["another generation"] = { '"generation":1', '"generation":2' },
    ["an older version than ours"] = { '"resourceVersion":"%d+"', '"resourceVersion":"1"' },
    ["a deletion"] = { '"generation":1', '"generation":1,"deletionTimestamp":"2026-01-01T00:00:00Z"' },
  } do
    it("stops when the quorum shows the owner with " .. what .. " (R4)", function()
      start()
      local s = r:tikv(0)
      run(s, { config() }, { status = { phase = "Pending" } }, true)
      r.w:request():reply(200, (live("TiKV", "basic-0"):gsub(change[1], change[2])))
      local got = result()
      assert.equal(0, got.failed)
      assert.equal(tonumber(C.ERR_CONFLICT), got.code)
      assert.is_false(got.status_written)
      assert.equal(1, #r.w.requests)
    end)
  end

  it("reads the owner once a run", function()
    start()
    local s = r:tikv(0)
    r:tikv(0, { ready = false })
    run(s, { S.delete("Pod", "basic-tikv-0", 30), config() })
    r.w:request():reply(200, live("TiKV", "basic-0"))
    r.w:request():reply(200, live("Pod", "basic-tikv-0"))
    r.w:run(1)
    assert.equal("PATCH", r.w:request().method)
  end)

  -- E-10
  it("deletes with both preconditions and a grace period (R5)", function()
    start()
    local s = r:tikv(0, { ready = false })
    run(s, { S.delete("Pod", "basic-tikv-0", 30) })
    r.w:request():reply(200, live("TiKV", "basic-0"))
    local q = r.w:request()
    assert.equal("DELETE", q.method)
    assert.equal("uid-Pod-basic-tikv-0", kube.at(q.body, "preconditions.uid"))
    assert.equal("101", kube.at(q.body, "preconditions.resourceVersion"))
    assert.equal("30", kube.at(q.body, "gracePeriodSeconds"))
    q:reply(200, live("Pod", "basic-tikv-0"))
    assert.equal(1, result().done)
    assert.is_true(C.expect_holds(expect, "TiKV/ns/basic-0"))
  end)

  it("stops at the first failure and still writes the status", function()
    start()
    local s = r:tikv(0)
    run(s, { S.patch("Pod", "basic-tikv-0", { labels = { a = "b" } }), S.patch("Pod", "basic-tikv-0") },
      { status = { phase = "Serving" } }, true)
    local q = r.w:request()
    assert.equal("uid-Pod-basic-tikv-0", kube.at(q.body, "metadata.uid"))
    assert.equal("101", kube.at(q.body, "metadata.resourceVersion"))
    assert.equal("b", kube.at(q.body, "metadata.labels.a"))
    q:status(409, "Conflict", "changed")
    q = r.w:request()
    assert.truthy(q.path:find("/tikvs/basic-0/status", 1, true), q.path)
    assert.equal("Serving", kube.at(q.body, "status.phase"))
    assert.equal("uid-TiKV-basic-0", kube.at(q.body, "metadata.uid"))
    q:reply(200, live("TiKV", "basic-0"))
    local got = result()
    assert.equal(0, got.failed)
    assert.equal(0, got.done)
    assert.equal(tonumber(C.ERR_CONFLICT), got.code)
    assert.is_true(got.status_written)
  end)

  it("sends nothing that the guard refuses, and says who refused", function()
    start()
    local s = r:tikv(0)
    run(s, { S.delete("TiKV", "basic-0") })
    local got = result()
    assert.is_true(got.refused)
    assert.truthy(got.msg:find("^G3: "), got.msg)
    assert.equal(0, #r.w.requests)
  end)

  it("writes nothing at all, status neither, when the lease is lost", function()
    start { no_pd = true, lease = 0 }
    local s = r:tikv(0)
    run(s, { config() }, { status = { phase = "Serving" } }, true)
    local got = result()
    assert.is_true(got.status_failed)
    assert.equal(0, #r.w.requests)
  end)

  it("asks the guard again when the owner has been read: time has passed (G1)", function()
    start()
    local s = r:tikv(0)
    run(s, { config() })
    r.lease = 10
    r.w:request():reply(200, live("TiKV", "basic-0"))
    assert.truthy(result().msg:find("^G1: "))
    assert.equal(1, #r.w.requests)
  end)

  it("removes labels by null and finalizers by the live list", function()
    start()
    r:put("TiKV", "basic-0", { spec = { cluster = { name = "basic" } }, finalizers = { "a.io/b", OWN .. "finalizer" },
      deleting = true })
    local s = r:subject("TiKV", "basic-0")
    local a = S.patch("TiKV", "basic-0", { remove_finalizers = { OWN .. "finalizer" }, remove_labels = { "x" } })
    a.rv = tostring(r.rv)
    run(s, { a }, { status = { phase = "Removed" } }, true)
    r.w:request():reply(200, live("TiKV", "basic-0"))
    r.w:request():reply(200, live("TiKV", "basic-0"))
    local q = r.w:request()
    assert.equal('["a.io/b"]', kube.at(q.body, "metadata.finalizers"))
    assert.equal("null", kube.at(q.body, "metadata.labels.x"))
    q:reply(200, live("TiKV", "basic-0"))
    assert.equal(1, result().done)
    assert.equal(3, #r.w.requests) -- no status for an object that may be gone
  end)

  it("marks once", function()
    start()
    local s = r:tikv(0)
    local rv = tostring(r.rv - 1)
    local mark = { action = "mark", kind = "Pod", name = "basic-tikv-0", uid = "uid-Pod-basic-tikv-0", rv = rv,
      key = "x/at" }
    run(s, { mark })
    r.w:request():reply(200, live("Pod", "basic-tikv-0"))
    local q = r.w:request()
    assert.equal("2026-01-01T00:00:00Z", kube.at(q.body, "metadata.annotations.x/at"))
    q:reply(200, live("Pod", "basic-tikv-0"))
    assert.equal(1, result().done)
    n = n + 1
    results[n] = { calls = 0 }
    run(s, { mark })
    r.w:request():reply(200, (live("Pod", "basic-tikv-0"):gsub('"metadata":{',
      '"metadata":{"annotations":{"x/at":"then"},', 1)))
    assert.equal(1, result().done)
    assert.equal(3, #r.w.requests)
  end)

  -- E-01
  it("takes a claim of its name for somebody else's, unless it carries our mark", function()
    start()
    local s = r:tikv(0)
    r:gone("PersistentVolumeClaim", "data-basic-tikv-0")
    local claim = { action = "apply", object = { apiVersion = "v1", kind = "PersistentVolumeClaim", metadata = {
      name = "data-basic-tikv-0", namespace = "ns", labels = S.labels("tikv", "basic-0"),
      annotations = { [OWN .. "owner-uid"] = "uid-TiKV-basic-0" } }, spec = {} } }
    run(s, { claim })
    r.w:request():reply(200, live("TiKV", "basic-0"))
    taken():reply(200, { apiVersion = "v1", kind = "PersistentVolumeClaim", metadata = { name = "data-basic-tikv-0" } })
    assert.equal(tonumber(C.ERR_CONFLICT), result().code)
  end)

  it("leaves an unlabelled object of the same name to whom it belongs (S14)", function()
    start()
    local s = r:tikv(0)
    run(s, { config() })
    r.w:request():reply(200, live("TiKV", "basic-0"))
    taken():reply(200, { apiVersion = "v1", kind = "ConfigMap", metadata = { name = "basic-tikv-0",
      namespace = "ns", uid = "theirs", resourceVersion = "7" }, data = { mine = "x" } })
    assert.equal(tonumber(C.ERR_CONFLICT), result().code)
    assert.equal(3, #r.w.requests)
  end)

  it("applies by uid to its own object that has lost its labels", function()
    start()
    local s = r:tikv(0)
    run(s, { config() })
    r.w:request():reply(200, live("TiKV", "basic-0"))
    taken():reply(200, { apiVersion = "v1", kind = "ConfigMap", metadata = { name = "basic-tikv-0",
      namespace = "ns", uid = "ours", resourceVersion = "7", ownerReferences = S.owner("TiKV", "basic-0") } })
    local q = r.w:request()
    assert.equal("PATCH", q.method)
    assert.equal("ours", kube.at(q.body, "metadata.uid"))
  end)

  it("writes status against the version it was computed from (S10, S12)", function()
    start()
    local s = r:tikv(0)
    run(s, {}, { status = { phase = "Serving" } }, true)
    assert.equal(ffi.string(s.object.rv), kube.at(r.w:request().body, "metadata.resourceVersion"))
  end)

  it("opens the breaker when what was made belongs to somebody else (G9)", function()
    start()
    local s = r:tikv(0)
    run(s, { config() })
    r.w:request():reply(200, live("TiKV", "basic-0"))
    r.w:request():reply(200, { apiVersion = "v1", kind = "ConfigMap", metadata = { name = "basic-tikv-0",
      namespace = "ns", uid = "u", resourceVersion = "900", ownerReferences = S.owner("TiKV", "basic-9") } })
    assert.equal(0, result().failed)
    assert.truthy(ffi.string(C.guard_breaker(r.guard, "ns", "basic")) ~= "")
  end)

  it("tells events and goes on", function()
    start()
    local s = r:tikv(0)
    run(s, { { action = "event", type = "Warning", reason = "Lost", message = "gone" } })
    r.w:run(10)
    assert.equal(1, result().done)
    assert.equal("Lost", kube.at(r.w:last().body, "reason"))
    assert.equal("basic-0", kube.at(r.w:last().body, "involvedObject.name"))
  end)

  it("is silent after a cancel and when it is freed", function()
    start()
    local s = r:tikv(0)
    C.exec_cancel(x, run(s, { config() }))
    assert.equal(0, C.exec_active(x))
    run(s, { config() })
    assert.equal(1, C.exec_active(x))
    assert.equal(0, results[n].calls)
  end)

  -- ---- PD ----

  local function pd_run(subject, action, owner)
    local plan = S.plan { action }
    r.pd.log = {}
    r.owner = owner or live("TiKV", "basic-1")
    C.exec_start(x, "TiKV/ns/basic-1", subject, plan, false, on_done, ffi.cast("void *", ffi.cast("uintptr_t", n)))
    local reply = r.pd.reply
    r.pd.reply = function(self, q)
      if q.url:find("//k8s", 1, true) then return q:reply(200, r.owner) end
      return reply(self, q)
    end
    pd.serve(r.w, r.pd, 50)
    assert.equal(1, results[n].calls)
    return results[n], table.concat(r.pd.log, "; ")
  end

  for name, case in pairs {
    offline = { { action = "pd_offline", store_id = "1", expect = "Serving" }, "DELETE /pd/api/v1/store/1" },
    evict = { { action = "pd_evict_leaders", store_id = "1" }, "POST /pd/api/v1/schedulers",
      '{"name":"evict-leader-scheduler","store_id":1}' },
    restore = { { action = "pd_restore_leaders", store_id = "1" },
      "DELETE /pd/api/v1/schedulers/evict-leader-scheduler-1" },
    transfer = { { action = "pd_transfer_leader", member = "basic-pd-1" },
      "POST /pd/api/v1/leader/transfer/basic-pd-1" },
    labels = { { action = "pd_labels", store_id = "1", labels = { zone = "z" } }, "POST /pd/api/v1/store/1/label",
      '{"zone":"z"}' },
    config = { { action = "pd_config", items = { ["replication.max-replicas"] = 5 } }, "POST /pd/api/v1/config",
      '{"replication.max-replicas":5}' },
    limit = { { action = "pd_store_limit", type = "add-peer", rate = 30 }, "POST /pd/api/v1/stores/limit",
      '{"type":"add-peer","rate":30}' },
    limit_one = { { action = "pd_store_limit", type = "add-peer", rate = 30, store_id = "1" },
      "POST /pd/api/v1/store/1/limit" },
    purge = { { action = "pd_purge", stores = kube.list {} }, "DELETE /pd/api/v1/stores/remove-tombstone" },
  } do
    it("checks PD at its leader, then writes there: " .. name .. " (G8)", function()
      start {}
      local s = r:tikv(1, { id = "1" })
      if ({ config = 1, limit = 1, limit_one = 1, purge = 1 })[name] then s = r:subject("Cluster", "basic") end
      local sent
      r.pd.override[case[2]:match "(/pd.*)$"] = function(q)
        if q.method ~= "GET" then sent = q end
        return 200, '"ok"'
      end
      local got, log = pd_run(s, case[1], name == "purge" and live("Cluster", "basic") or nil)
      assert.equal(-1, got.failed, got.msg)
      assert.truthy(log:find("GET /pd/api/v1/members; POST /v3/maintenance/status; " .. case[2], 1, true), log)
      assert.equal("basic-pd-0", sent.url:match("^http://([^.:/]+)"))
      if case[3] then assert.equal(case[3], sent.body) end
    end)
  end

  it("labels the next store without a second check, for a moment", function()
    start {}
    local s = r:tikv(1, { id = "1" })
    local label = { action = "pd_labels", store_id = "1", labels = { zone = "z" } }
    r.pd.override["/pd/api/v1/store/1/label"] = function() return 200, '"ok"' end
    pd_run(s, label)
    next_run()
    local _, log = pd_run(s, label)
    assert.equal("POST /pd/api/v1/store/1/label", log:match("^[^;]*"))
    r.w:run(2000)
    next_run()
    _, log = pd_run(s, label)
    assert.truthy(log:find("GET /pd/api/v1/members; POST /v3/maintenance/status; POST", 1, true), log)
  end)

  it("mounts a claim that the same plan has made, before the cache shows it", function()
    start()
    local s = r:tikv(0)
    r:gone("PersistentVolumeClaim", "data-basic-tikv-0")
    r:gone("Pod", "basic-tikv-0")
    local own = { name = "data-basic-tikv-0", namespace = "ns", labels = S.labels("tikv", "basic-0"),
      annotations = { [OWN .. "owner-uid"] = "uid-TiKV-basic-0" } }
    local claim = { action = "apply",
      object = { apiVersion = "v1", kind = "PersistentVolumeClaim", metadata = own, spec = {} } }
    local pod = { action = "apply", object = { apiVersion = "v1", kind = "Pod", metadata = { name = "basic-tikv-0",
      namespace = "ns", labels = S.labels("tikv", "basic-0"), ownerReferences = S.owner("TiKV", "basic-0") },
      spec = { volumes = { { name = "data", persistentVolumeClaim = { claimName = "data-basic-tikv-0" } } } } } }
    run(s, { pod })
    assert.equal(tonumber(C.ERR_REFUSED), result().code)
    next_run()
    run(s, { claim, pod })
    r.w:request():reply(200, live("TiKV", "basic-0"))
    written(r.w:request(), "new-claim")
    r.w:run(1)
    assert.truthy(r.w:request().path:find("/pods/basic-tikv-0", 1, true))
  end)

  it("takes a setting that PD refuses for an answer: others follow, and the script is told", function()
    start {}
    r:tikv(1, { id = "1" })
    r.pd.override["/pd/api/v1/config"] = function() return 400, '"config item x not found"' end
    local got = pd_run(r:subject("Cluster", "basic"), { action = "pd_config", items = { ["schedule.x"] = 5 } })
    assert.equal(-1, got.failed, got.msg)
    local text = C.json_string(C.pdview_was_tried(r.view))
    assert.equal("5", kube.at(ffi.string(text), "schedule\\.x.value"))
    assert.truthy(kube.at(ffi.string(text), "schedule\\.x.why"):find("config item x not found", 1, true))
    ffi.C.free(text)
  end)

  local function tikv_run(subject, instance)
    local plan = S.plan { { action = "tikv_config", instance = instance, items = { ["a.b"] = 8, ["a.c"] = true } } }
    C.exec_start(x, "TiKV/ns/basic-1", subject, plan, false, on_done, ffi.cast("void *", ffi.cast("uintptr_t", n)))
    r.w:run(1)
    return results[n]
  end

  it("sends settings to the instance's own process as texts; a complaint is an answer", function()
    start {}
    tikv_url = "http://basic-tikv-1:20180"
    local s = r:tikv(1, { id = "1" })
    tikv_run(s, "basic-1")
    local q = r.w:request()
    assert.equal("POST http://basic-tikv-1:20180/config", q.method .. " " .. q.url)
    assert.equal('{"a.b":"8","a.c":"true"}', q.body)
    q:reply(500, "failed to update, error: read-only file system")
    r.w:run(1)
    assert.equal(-1, results[n].failed, results[n].msg)
    assert.equal("GET http://basic-tikv-1:20180/config", r.w:request().method .. " " .. r.w:request().url)
    local keys = kube.tree "[]"
    r.w:request():reply(200, "{}")
    local tree = C.tikvview_ask(tikvs, "ns", "basic-1", keys, 300)
    local text = C.json_string(tree)
    assert.equal('{"value":8,"why":"failed to update, error: read-only file system"}',
      kube.at(ffi.string(text), "tried.a\\.b"))
    ffi.C.free(text)
    C.json_free(tree)
  end)

  it("fails when the process does not answer, and when nobody knows where it is", function()
    start {}
    tikv_url = "http://basic-tikv-1:20180"
    local s = r:tikv(1, { id = "1" })
    tikv_run(s, "basic-1")
    r.w:request():fail(C.ERR_UNAVAILABLE, "refused")
    r.w:run(1)
    assert.equal(0, results[n].failed)
    n = n + 1
    results[n], tikv_url = { calls = 0 }, nil
    assert.truthy(tikv_run(s, "basic-1").msg:find("has no address yet", 1, true))
  end)

  it("fails when it is not TiKV that answers 500: nothing was tried, and it is sent again", function()
    start {}
    tikv_url = "http://basic-tikv-1:20180"
    tikv_run(r:tikv(1, { id = "1" }), "basic-1")
    r.w:request():reply(500, "")
    r.w:run(1)
    assert.equal(0, results[n].failed)
    assert.truthy(results[n].msg:find("TiKV's /config: 500", 1, true), results[n].msg)
  end)

  it("changes nobody's settings but the subject's own (G3)", function()
    start {}
    tikv_url = "http://basic-tikv-2:20180"
    local s = r:tikv(1, { id = "1" })
    local got = tikv_run(s, "basic-2")
    assert.is_true(got.refused)
    assert.truthy(got.msg:find("G3", 1, true), got.msg)
    r:allows(r:subject("Cluster", "basic"), { action = "pd_config", items = { a = 1 } })
    r:refuses("G3", s, { action = "pd_config", items = { a = 1 } })
  end)

  it("writes nothing when the leader says another cluster id, and opens the breaker (G8)", function()
    start {}
    local s = r:tikv(1, { id = "1" })
    r.pd.cluster_id = "42"
    local got, log = pd_run(s, { action = "pd_evict_leaders", store_id = "1" })
    assert.is_true(got.refused)
    assert.truthy(got.msg:find("^G8: "), got.msg)
    assert.falsy(log:find("POST /pd/api/v1/schedulers", 1, true), log)
    assert.truthy(ffi.string(C.guard_breaker(r.guard, "ns", "basic")) ~= "")
  end)

  it("writes nothing when the etcd revision went back (G8)", function()
    start {}
    local s = r:tikv(1, { id = "1" })
    r.pd.revision = 50
    local got = pd_run(s, { action = "pd_evict_leaders", store_id = "1" })
    assert.truthy(got.msg:find("revision went back", 1, true), got.msg)
  end)

  -- W-75
  it("polls PD at once after a write", function()
    start {}
    local s = r:tikv(1, { id = "1" })
    pd_run(s, { action = "pd_evict_leaders", store_id = "1" })
    pd.serve(r.w, r.pd, 200)
    local log = table.concat(r.pd.log, "; ")
    assert.truthy(log:find("POST /pd/api/v1/schedulers; GET /pd/api/v1/stores", 1, true), log)
  end)

  it("takes no 404 for done: a PD that has just begun forgets its evictions for a moment", function()
    start {}
    local s = r:tikv(1, { id = "1" })
    r.pd.override["/pd/api/v1/schedulers/evict-leader-scheduler-1"] = { 404, "null" }
    assert.equal(0, pd_run(s, { action = "pd_restore_leaders", store_id = "1" }).failed)
    n = n + 1
    results[n] = { calls = 0 }
    r.pd.override["/pd/api/v1/store/1"] = { 404, '"[PD:core:ErrStoreNotFound]store 1 not found"' }
    assert.equal(0, pd_run(s, { action = "pd_offline", store_id = "1", expect = "Up" }).failed)
  end)

  it("refuses to evict from a store whose id PD would round", function()
    start { pd = { store_count = 2 } }
    r.pd:add_store("9007199254740993")
    C.pdview_poll_now(r.view)
    pd.serve(r.w, r.pd, 100)
    local s = r:tikv(1, { id = "9007199254740993" })
    local got = pd_run(s, { action = "pd_evict_leaders", store_id = "9007199254740993" })
    assert.equal(tonumber(C.ERR_UNSUPPORTED), got.code)
  end)
end)
