local k = require "kube.support"
local lib = k.lib

local METRIC = "tikv_operator_events_total"

describe("events", function()
  local w, a, ev, object
  before_each(function()
    w = k.world()
    a = w:api()
    ev = lib.events_new(a, "tikv-operator", "op-0", w.log, w.metrics)
    object = k.tree(k.object("basic-0", 42))
  end)
  after_each(function()
    lib.events_free(ev)
    lib.api_free(a)
    assert.is_nil(w.misuse)
    assert.equal(0, w:timers_left())
    assert.equal(0, #w:open())
  end)
  local function emit(message, of)
    lib.events_emit(ev, of or object, "Normal", "Scaled", message or "from 3 to 4")
  end
  local function ok()
    w:request():reply(201, {})
  end

  it("name the object, the reason, who reports and when", function()
    emit()
    local r = w:request()
    assert.equal("POST /api/v1/namespaces/ns/events", r.method .. " " .. r.path)
    for path, want in pairs {
      kind = "Event", apiVersion = "v1", type = "Normal", reason = "Scaled", message = "from 3 to 4", count = "1",
      ["metadata.namespace"] = "ns", ["involvedObject.kind"] = "TiKV", ["involvedObject.name"] = "basic-0",
      ["involvedObject.uid"] = "uid-basic-0", ["involvedObject.apiVersion"] = "core.tikv.org/v1alpha1",
      ["involvedObject.resourceVersion"] = "42", ["source.component"] = "tikv-operator",
      reportingComponent = "tikv-operator", reportingInstance = "op-0",
      firstTimestamp = "2026-01-01T00:00:00Z", lastTimestamp = "2026-01-01T00:00:00Z",
    } do
      assert.equal(want, k.at(r.body, path), path)
    end
    assert.truthy(k.at(r.body, "metadata.name"):match("^basic%-0%.%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x$"))
    r:reply(201, {})
  end)

  it("of cluster-scoped objects live in default", function()
    emit("x", k.tree { apiVersion = "v1", kind = "Node", metadata = { name = "n" } })
    assert.equal("/api/v1/namespaces/default/events", w:request().path)
    ok()
  end)

  it("become a count on the first one within ten minutes", function()
    emit()
    local name = k.at(w:request().body, "metadata.name")
    ok()
    w:run(300000)
    emit()
    local r = w:request()
    assert.equal("PATCH /api/v1/namespaces/ns/events/" .. name, r.method .. " " .. r.path)
    assert.equal('2', k.at(r.body, "count"))
    assert.equal("2026-01-01T00:05:00Z", k.at(r.body, "lastTimestamp"))
    ok()
    w:run(600001)
    emit()
    assert.equal("POST", w:request().method)
    ok()
  end)

  it("that come while one is on the wire are told afterwards, in one count", function()
    emit()
    for _ = 1, 5 do emit() end
    ok()
    assert.equal("6", k.at(w:request().body, "count"))
    ok()
  end)

  it("with another message are another event", function()
    emit("a")
    ok()
    emit("b")
    assert.equal("POST", w:request().method)
    ok()
  end)

  it("are at most 25 per object, and one more each five minutes", function()
    for i = 1, 30 do
      emit("m" .. i)
      if #w:open() > 0 then ok() end
    end
    assert.equal(25, #w.requests)
    assert.equal(5, w:metric(METRIC, 'result="limited"'))
    emit("other", k.tree(k.object("basic-1", 1)))
    assert.equal(26, #w.requests)
    ok()
    w:run(300000)
    emit("n1")
    ok()
    emit("n2")
    assert.equal(27, #w.requests)
  end)

  it("of one kind do not write more often than that either", function()
    for _ = 1, 100 do
      emit()
      if #w:open() > 0 then ok() end
    end
    assert.equal(25, #w.requests)
  end)

  it("that get lost are no error, and the next one starts anew", function()
    emit()
    w:request():status(403, "Forbidden", "no")
    emit()
    assert.equal("POST", w:request().method)
    ok()
    emit()
    w:request():status(404, "NotFound", "expired on the server")
    emit()
    assert.equal("POST", w:request().method)
    ok()
    assert.equal(2, w:metric(METRIC, 'result="lost"'))
  end)

  it("are not written without the lease (E5)", function()
    w.gate_open = false
    emit()
    w:run(0)
    assert.equal(0, #w.requests)
  end)

  it("have a message of at most 1,024 bytes, cut between characters", function()
    emit(("x"):rep(1023) .. "ä")
    assert.equal(1023, #k.at(w:request().body, "message"))
    ok()
  end)

  it("keep a name that Kubernetes accepts for an object with a long one", function()
    emit("x", k.tree(k.object(("n"):rep(253), 1)))
    assert.equal(253, #k.at(w:request().body, "metadata.name"))
    ok()
  end)

  it("are forgotten with what they had on the wire", function()
    emit()
    lib.events_free(ev)
    assert.is_true(w.requests[1].cancelled)
    ev = lib.events_new(a, "x", "y", nil, nil)
    emit()
    ok()
  end)
end)
