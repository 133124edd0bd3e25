local k = require "kube.support"
local lib, ffi = k.lib, k.ffi

local function is(code, note)
  assert.equal(ffi.string(lib.err_name(code)), ffi.string(lib.err_name(note.code or -1)), note.msg)
end

describe("api", function()
  local w, a
  before_each(function()
    w = k.world()
    a = w:api()
  end)
  after_each(function()
    lib.api_free(a)
    assert.is_nil(w.misuse)
    assert.equal(0, w:timers_left())
  end)

  local function get(name)
    local n = k.note()
    n.call = lib.api_get(a, lib.KIND_POD, "ns", name or "p", k.on_done, n.arg)
    return n
  end
  local function create(name)
    local n = k.note()
    n.call = lib.api_create(a, lib.KIND_CONFIGMAP, "ns", k.tree { metadata = { name = name or "c" } }, k.on_done, n.arg)
    return n
  end

  describe("a read", function()
    it("asks for one object, says who it is and hands over the tree", function()
      local n = get()
      local r = w:request()
      assert.equal("GET https://k8s:6443/api/v1/namespaces/ns/pods/p", r.method .. " " .. r.url)
      assert.equal("spec/1", r.header["user-agent"])
      assert.is_nil(r.body)
      r:reply(200, { kind = "Pod" })
      assert.equal(1, n.calls)
      assert.equal("Pod", k.at(n.body, "kind"))
      assert.equal(0, lib.api_open_calls(a))
    end)

    it("gives an answer that is not JSON as one string", function()
      local n = k.note()
      lib.api_raw(a, "GET", "/healthz?verbose", nil, nil, k.on_done, n.arg)
      assert.equal("https://k8s:6443/healthz?verbose", w:request().url)
      w:request():reply(200, "ok", { ["content-type"] = "text/plain" })
      assert.equal('"ok"', n.body)
    end)

    it("fails on JSON that is none", function()
      local n = get()
      w:request():reply(200, "{\"a\":")
      assert.are_not.equal(tonumber(lib.ERR_NONE), n.code)
      assert.is_nil(n.body)
      assert.truthy(n.msg:find("GET /api/v1/namespaces/ns/pods/p", 1, true))
    end)

    it("T2 is repeated on 429 and 5xx with Retry-After, after that time", function()
      local n = get()
      w:request():status(429, "TooManyRequests", "slow", nil, { ["retry-after"] = "2" })
      w:run(1999)
      assert.equal(1, #w.requests)
      w:run(202)
      w:request():status(503, "ServiceUnavailable", "away", nil, { ["retry-after"] = "1" })
      w:run(1101)
      w:request():reply(200, {})
      is(lib.ERR_NONE, n)
      assert.equal(1, n.calls)
    end)

    it("T2 is not repeated without Retry-After, nor for other failures", function()
      for code, want in pairs { [429] = lib.ERR_THROTTLED, [503] = lib.ERR_UNAVAILABLE, [404] = lib.ERR_NOT_FOUND } do
        local n = get()
        w:request():reply(code, "{}", code == 404 and { ["retry-after"] = "1" } or {})
        is(want, n)
      end
      assert.equal(3, #w.requests)
    end)

    it("T2 is tried at most ten times", function()
      lib.api_free(a)
      a = w:api { timeout_ms = 600000 }
      local n = get()
      for _ = 1, 10 do
        w:request():status(503, "x", "y", nil, { ["retry-after"] = "1" })
        w:run(1200)
      end
      assert.equal(10, #w.requests)
      is(lib.ERR_UNAVAILABLE, n)
      assert.equal(1, n.retry_after_s)
    end)

    it("T8 has a deadline over all its tries", function()
      local n = get()
      assert.equal(30000, w:request().total_ms)
      w:run(10000)
      w:request():status(503, "x", "y", nil, { ["retry-after"] = "5" })
      w:run(6000)
      assert.is_true(w:request().total_ms <= 15000)
      w:run(15000)
      is(lib.ERR_TIMEOUT, n)
      n = get()
      w:request():status(503, "x", "y", nil, { ["retry-after"] = "31" })
      is(lib.ERR_UNAVAILABLE, n)
    end)

    it("is repeated once after a 401", function()
      local n = get()
      w:request():status(401, "Unauthorized", "who?")
      assert.is_nil(n.calls)
      w:request():status(401, "Unauthorized", "who?")
      is(lib.ERR_UNAUTHORIZED, n)
      assert.equal(2, #w.requests)
    end)

    it("T3 logs which flow schema throttled it", function()
      get()
      w:request():status(429, "TooManyRequests", "slow", nil, { ["x-kubernetes-pf-flowschema-uid"] = "fs-1" })
      assert.is_true(w:logged("fs-1"))
    end)

    it("ends with silence when it is cancelled, on the wire or between tries", function()
      local n = get()
      lib.api_cancel(a, n.call)
      local m = get()
      w:request():status(503, "x", "y", nil, { ["retry-after"] = "1" })
      lib.api_cancel(a, m.call)
      w:run(60000)
      assert.is_nil(n.calls)
      assert.is_nil(m.calls)
      assert.equal(0, lib.api_open_calls(a))
    end)

    it("is counted by verb, kind and result", function()
      get()
      w:request():status(404, "NotFound", "no")
      assert.equal(1, w:metric("tikv_operator_api_requests_total", 'verb="GET",kind="Pod",result="not_found"'))
    end)
  end)

  describe("a write", function()
    it("T4 is never repeated, whatever the answer", function()
      for _, code in ipairs { 429, 503, 500, 401 } do
        local n = create()
        w:request():status(code, "x", "y", nil, { ["retry-after"] = "1" })
        assert.equal(1, n.calls)
      end
      local n = create()
      w:request():fail(lib.ERR_TIMEOUT, "no answer")
      is(lib.ERR_TIMEOUT, n)
      w:run(60000)
      assert.equal(5, #w.requests)
    end)

    it("T5 tells a conflict from an object that exists", function()
      local n = create()
      w:request():status(409, "AlreadyExists", "there")
      is(lib.ERR_EXISTS, n)
      n = create()
      w:request():status(409, "Conflict", "changed")
      is(lib.ERR_CONFLICT, n)
      assert.equal(2, #w.requests)
    end)

    it("T1 waits in order when too many are on the wire", function()
      lib.api_free(a)
      a = w:api { max_writes = 2 }
      for i = 1, 4 do create("c" .. i) end
      assert.equal(2, #w.requests)
      w:open()[1]:reply(201, {})
      w:open()[1]:fail(lib.ERR_UNAVAILABLE)
      assert.equal(4, #w.requests)
      assert.equal("c3", k.at(w.requests[3].body, "metadata.name"))
      assert.equal("c4", k.at(w.requests[4].body, "metadata.name"))
    end)

    -- W-66
    it("T1 does not hold up reads", function()
      lib.api_free(a)
      a = w:api { max_writes = 1 }
      create()
      create()
      get()
      assert.equal(2, #w:open())
    end)

    it("that could not leave in time fails as not sent", function()
      lib.api_free(a)
      a = w:api { max_writes = 1, timeout_ms = 1000 }
      create("c1")
      w:run(500)
      local n = create("c2")
      w:run(500) -- the first one times out, the second leaves
      assert.is_nil(n.calls)
      local m = create("c3")
      w:run(999)
      w:jump(1000)
      w:run(1)
      is(lib.ERR_UNAVAILABLE, m)
      assert.truthy(m.msg:find("not sent", 1, true))
      assert.equal(2, #w.requests)
    end)

    it("E5 asks the gate at the moment of sending, and is refused after the call returned", function()
      lib.api_free(a)
      a = w:api { max_writes = 1 }
      local first, second = create("c1"), create("c2")
      w.gate_open = false
      w:request():reply(201, {})
      is(lib.ERR_NONE, first)
      assert.is_nil(second.calls)
      w:run(0)
      is(lib.ERR_CANCELLED, second)
      local third = create("c3")
      assert.is_nil(third.calls)
      w:run(0)
      assert.truthy(third.msg:find("the lease is lost", 1, true))
      assert.equal(1, #w.requests)
      get()
      assert.equal(2, #w.requests) -- reads pass
    end)

    it("E5 ends with all others when writing ends", function()
      lib.api_free(a)
      a = w:api { max_writes = 1 }
      local sent, queued, read = create("c1"), create("c2"), get()
      lib.api_drop_writes(a)
      assert.is_nil(sent.calls)
      w:run(0)
      is(lib.ERR_CANCELLED, sent)
      is(lib.ERR_CANCELLED, queued)
      assert.is_nil(read.calls)
      assert.is_true(w.requests[1].cancelled)
    end)

    it("may free the api in its answer", function()
      local n = create()
      create("c2")
      n.also = function()
        lib.api_free(a)
        a = w:api()
      end
      w.requests[1]:reply(201, {})
      assert.equal(1, n.calls)
    end)
  end)

  describe("the verbs", function()
    it("A1 apply as one manager, with force said explicitly", function()
      local o = k.tree { kind = "TiKV" }
      lib.api_apply(a, lib.KIND_TIKV, "ns", "t", nil, o, false, k.on_done, k.note().arg)
      local r = w:last()
      assert.equal("PATCH /apis/core.tikv.org/v1alpha1/namespaces/ns/tikvs/t", r.method .. " " .. r.path)
      assert.equal("application/apply-patch+yaml", r.content_type)
      assert.equal("fieldManager=me&force=false&fieldValidation=Strict", r.raw_query)
      lib.api_apply(a, lib.KIND_POD, "ns", "t", "status", o, true, k.on_done, k.note().arg)
      r = w:last()
      assert.equal("fieldManager=me&force=true", r.raw_query)
      assert.equal("/api/v1/namespaces/ns/pods/t/status", r.path)
    end)

    it("A1 report who owns the fields of a conflict", function()
      local n = k.note()
      lib.api_apply(a, lib.KIND_POD, "ns", "t", nil, k.tree {}, false, k.on_done, n.arg)
      w:request():status(409, "Conflict", "Apply failed with 1 conflict", { details = { causes = {
        { reason = "FieldManagerConflict", message = 'conflict with "kubectl"', field = ".spec.replicas" } } } })
      is(lib.ERR_CONFLICT, n)
      assert.truthy(n.msg:find('.spec.replicas: conflict with "kubectl"', 1, true))
    end)

    it("A2 A3 send an apply as it was given, uid included", function()
      local o = { metadata = { uid = "u-1", name = "t" }, spec = { a = 1 } }
      lib.api_apply(a, lib.KIND_POD, "ns", "t", nil, k.tree(o), false, k.on_done, k.note().arg)
      assert.equal(k.encode(o), (w:last().body:gsub("%s", "")))
    end)

    it("merge, create and update in their own ways", function()
      lib.api_merge(a, lib.KIND_PD, "ns", "p", "status", k.tree { x = 1 }, k.on_done, k.note().arg)
      assert.equal("PATCH application/merge-patch+json", w:last().method .. " " .. w:last().content_type)
      assert.equal("/apis/core.tikv.org/v1alpha1/namespaces/ns/pds/p/status", w:last().path)
      lib.api_create(a, lib.KIND_PD, "ns", k.tree { x = 1 }, k.on_done, k.note().arg)
      assert.equal("POST application/json", w:last().method .. " " .. w:last().content_type)
      assert.equal("Strict", w:last().query.fieldValidation)
      lib.api_update(a, lib.KIND_SECRET, "ns", "s", nil, k.tree { metadata = { resourceVersion = "4" } }, k.on_done,
        k.note().arg)
      assert.equal("PUT", w:last().method)
      assert.is_nil(w:last().query.fieldValidation)
    end)

    it("R5 delete with both preconditions or not at all", function()
      lib.api_delete(a, lib.KIND_POD, "ns", "p", "u-1", "77", 600, k.on_done, k.note().arg)
      local b = w:last().body
      assert.equal("u-1", k.at(b, "preconditions.uid"))
      assert.equal("77", k.at(b, "preconditions.resourceVersion"))
      assert.equal("600", k.at(b, "gracePeriodSeconds"))
      assert.equal("DeleteOptions", k.at(b, "kind"))
      for _, p in ipairs { { nil, "77" }, { "u", nil }, { "", "77" }, { "u", "" } } do
        local n = k.note()
        lib.api_delete(a, lib.KIND_POD, "ns", "p", p[1], p[2], -1, k.on_done, n.arg)
        assert.is_nil(n.calls)
        w:run(0)
        is(lib.ERR_INVALID, n)
      end
      assert.equal(1, #w.requests)
      lib.api_delete(a, lib.KIND_POD, "ns", "p", "u", "1", -1, k.on_done, k.note().arg)
      assert.is_nil(k.at(w:last().body, "gracePeriodSeconds"))
    end)

    it("R6 refuse an update without a resourceVersion", function()
      local n = k.note()
      lib.api_update(a, lib.KIND_POD, "ns", "p", nil, k.tree { metadata = {} }, k.on_done, n.arg)
      w:run(0)
      is(lib.ERR_INVALID, n)
      assert.equal(0, #w.requests)
    end)

    it("refuse an empty name or namespace instead of reaching a collection (S14)", function()
      local n = k.note()
      lib.api_get(a, lib.KIND_POD, "ns", "", k.on_done, n.arg)
      local m = k.note()
      lib.api_create(a, lib.KIND_POD, "", k.tree {}, k.on_done, m.arg)
      w:run(0)
      is(lib.ERR_INVALID, n)
      is(lib.ERR_INVALID, m)
      assert.equal(0, #w.requests)
    end)
  end)

  describe("an answer", function()
    local function code(status, body)
      local e = ffi.new("struct err")
      body = type(body) == "table" and k.encode(body) or body
      local rc = lib.api_status_error(status, body, body and #body or 0, 0, e)
      return ffi.string(lib.err_name(e.code)), ffi.string(e.msg), rc, e.retry_after_s
    end

    it("T6 gets its code from status, reason and causes", function()
      for _, row in ipairs {
        { 200, nil, "none" }, { 201, nil, "none" }, { 400, nil, "invalid" }, { 401, nil, "unauthorized" },
        { 403, nil, "forbidden" }, { 404, nil, "not_found" }, { 405, nil, "unsupported" }, { 409, nil, "conflict" },
        { 410, nil, "expired" }, { 413, nil, "too_large" }, { 415, nil, "unsupported" }, { 422, nil, "invalid" },
        { 429, nil, "throttled" }, { 500, nil, "unavailable" }, { 503, nil, "unavailable" }, { 504, nil, "timeout" },
        { 302, nil, "protocol" },
        { 409, { reason = "AlreadyExists" }, "exists" },
        { 400, { reason = "Expired" }, "expired" },
      } do
        assert.equal(row[3] == "none" and code(200) or row[3], (code(row[1], row[2])), row[1])
      end
    end)

    it("L5 is too new when the server's cache has not got there", function()
      local name, _, _, after = code(504, { reason = "Timeout", message = "Too large resource version",
        details = { retryAfterSeconds = 1, causes = { { reason = "ResourceVersionTooLarge" } } } })
      assert.equal("too_new", name)
      assert.equal(1, after)
    end)

    it("T6 joins the causes that the message does not name", function()
      local _, msg = code(422, { reason = "Invalid", message = "TiKV x is invalid: a: bad a", details = { causes = {
        { field = "a", message = "bad a" }, { field = "spec.b", message = "bad b" } } } })
      assert.equal("422 Invalid: TiKV x is invalid: a: bad a; spec.b: bad b", msg)
    end)

    it("may be a proxy's page", function()
      local name, msg = code(502, "<html>bad gateway\nmore")
      assert.equal("unavailable", name)
      assert.equal("502: <html>bad gateway", msg)
      assert.equal("503: no explanation", select(2, code(503, "")))
    end)
  end)
end)
