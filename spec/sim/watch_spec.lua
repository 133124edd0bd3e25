-- Watches of the simulated API server: order, bookmarks, selections, endings, compaction.
local sim = require "spec.support.apisim"
local CM = "/api/v1/namespaces/default/configmaps"

local function types(w)
  local out = {}
  for _, e in ipairs(w.events) do
    out[#out + 1] = e.type .. (e.object.metadata.name and ":" .. e.object.metadata.name or "")
  end
  return table.concat(out, " ")
end

describe("watches of the simulated API server", function()
  local s
  local function create(name, labels)
    local status, body = s:send("POST", CM, ('{"metadata":{"name":"%s","labels":%s}}'):format(name, labels or "{}"))
    assert.equal(201, status)
    return body.metadata.resourceVersion
  end
  before_each(function() s = sim.new { bookmark_ms = 1000 } end)
  after_each(function() s:close() end)

  it("start with what is there when no resourceVersion is given, and go on with changes", function()
    create "a"
    local w = s:watch(CM .. "?watch=true")
    assert.equal(200, w.status)
    assert.equal("", types(w))
    s:run(1)
    assert.equal("ADDED:a", types(w))
    create "b"
    s:send("PATCH", CM .. "/a", '{"data":{"x":"1"}}', "application/merge-patch+json")
    s:send("DELETE", CM .. "/b")
    assert.equal("ADDED:a", types(w))
    s:run(1)
    assert.equal("ADDED:a ADDED:b MODIFIED:a DELETED:b", types(w))
    w.cancel()
  end)

  it("resume after the given resourceVersion and report each change once", function()
    local rv = create "a"
    create "b"
    local w = s:watch(CM .. "?watch=1&resourceVersion=" .. rv)
    s:run(1)
    assert.equal("ADDED:b", types(w))
    w.cancel()
  end)

  it("give a DELETED event the resourceVersion of the removal", function()
    local rv = create "a"
    local w = s:watch(CM .. "?watch=1&resourceVersion=" .. rv)
    s:send("DELETE", CM .. "/a")
    s:run(1)
    assert.is_true(tonumber(w.events[1].object.metadata.resourceVersion) > tonumber(rv))
    w.cancel()
  end)

  it("list by watching: initial events, then the marked bookmark (S1)", function()
    create "a"
    create "b"
    local rv = create "c"
    local w = s:watch(CM .. "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan" ..
      "&allowWatchBookmarks=true")
    s:run(1)
    assert.equal("ADDED:a ADDED:b ADDED:c BOOKMARK", types(w))
    local mark = w.events[4].object
    assert.equal("true", mark.metadata.annotations["k8s.io/initial-events-end"])
    assert.equal(rv, mark.metadata.resourceVersion)
    assert.equal("ConfigMap", mark.kind)
    w.cancel()
  end)

  it("refuse initial events without resourceVersionMatch", function()
    local w = s:watch(CM .. "?watch=1&sendInitialEvents=true")
    assert.equal(422, w.status)
  end)

  it("send bookmarks that move on with other resources' writes", function()
    local rv = create "a"
    local w = s:watch(CM .. "?watch=1&allowWatchBookmarks=true&resourceVersion=" .. rv)
    s:send("POST", "/api/v1/namespaces", '{"metadata":{"name":"other"}}')
    s:run(1001)
    assert.equal("BOOKMARK", types(w))
    assert.equal(tonumber(rv) + 1, tonumber(w.events[1].object.metadata.resourceVersion))
    w.cancel()
    local quiet = s:watch(CM .. "?watch=1&resourceVersion=" .. rv)
    s:run(5000)
    assert.equal("", types(quiet))
    quiet.cancel()
  end)

  it("turn leaving a selection into DELETED and entering it into ADDED", function()
    local w = s:watch(CM .. "?watch=1&labelSelector=k%3D1")
    create("a", '{"k":"1"}')
    create("b", '{"k":"2"}')
    s:send("PATCH", CM .. "/a", '{"metadata":{"labels":{"k":"2"}}}', "application/merge-patch+json")
    s:send("PATCH", CM .. "/b", '{"metadata":{"labels":{"k":"1"}}}', "application/merge-patch+json")
    s:run(1)
    assert.equal("ADDED:a DELETED:a ADDED:b", types(w))
    assert.equal("1", w.events[2].object.metadata.labels.k)
    w.cancel()
  end)

  it("select one object by its name", function()
    local w = s:watch(CM .. "?watch=1&fieldSelector=metadata.name%3Db")
    create "a"
    create "b"
    s:run(1)
    assert.equal("ADDED:b", types(w))
    w.cancel()
  end)

  it("see only their namespace", function()
    s:send("POST", "/api/v1/namespaces", '{"metadata":{"name":"other"}}')
    local w = s:watch(CM .. "?watch=1")
    local all = s:watch "/api/v1/configmaps?watch=1"
    s:send("POST", "/api/v1/namespaces/other/configmaps", '{"metadata":{"name":"x"}}')
    s:run(1)
    assert.equal("", types(w))
    assert.equal("ADDED:x", types(all))
    w.cancel()
    all.cancel()
  end)

  it("end cleanly after timeoutSeconds, with everything committed sent first", function()
    local w = s:watch(CM .. "?watch=1&timeoutSeconds=2")
    s:run(1999)
    assert.is_false(w.ended)
    create "a"
    s:run(2)
    assert.equal("ADDED:a", types(w))
    assert.is_true(w.ended)
    assert.equal(0, tonumber(sim.C.apisim_watches(s.api)))
  end)

  it("answer 410 in the stream when the resourceVersion was compacted (W5)", function()
    local rv = create "a"
    create "b"
    sim.C.apisim_compact(s.api, 0)
    local w = s:watch(CM .. "?watch=1&resourceVersion=" .. rv)
    s:run(1)
    assert.equal(200, w.status)
    assert.equal("ERROR", w.events[1].type)
    assert.equal(410, w.events[1].object.code)
    assert.equal("Expired", w.events[1].object.reason)
    assert.is_truthy(w.events[1].object.message:find("too old resource version: " .. rv, 1, true))
    assert.is_true(w.ended)
  end)

  it("do not notice a compaction when they are up to date", function()
    local w = s:watch(CM .. "?watch=1")
    create "a"
    s:run(1)
    sim.C.apisim_compact(s.api, 0)
    create "b"
    s:run(1)
    assert.equal("ADDED:a ADDED:b", types(w))
    w.cancel()
  end)

  it("lose a slow reader when the ring has forgotten", function()
    s:close()
    s = sim.new { history = 3 }
    local rv = create "a"
    for i = 1, 5 do create("x" .. i) end
    local w = s:watch(CM .. "?watch=1&resourceVersion=" .. rv)
    s:run(1)
    assert.equal(410, w.events[1].object.code)
    assert.equal(410, (s:send("GET", CM .. "?resourceVersionMatch=Exact&resourceVersion=" .. rv)))
  end)

  it("answer 410 to a continue token after compaction, with a token to go on", function()
    create "a"
    create "b"
    local _, page = s:send("GET", CM .. "?limit=1")
    create "c"
    sim.C.apisim_compact(s.api, 0)
    local status, gone = s:send("GET", CM .. "?limit=1&continue=" .. page.metadata.continue:gsub("=", "%%3D"))
    assert.equal(410, status)
    assert.equal("Expired", gone.reason)
    status, page = s:send("GET", CM .. "?continue=" .. gone.metadata.continue:gsub("=", "%%3D"))
    assert.equal(200, status)
    assert.equal("b", page.items[1].metadata.name)
  end)

  it("may be cancelled from inside an event", function()
    local w = s:watch(CM .. "?watch=1")
    w.on_event = function() w.cancel() end
    create "a"
    create "b"
    s:run(1)
    assert.equal("ADDED:a", types(w))
    assert.equal(0, tonumber(sim.C.apisim_watches(s.api)))
  end)

  it("can all be dropped, as by a restart of the server", function()
    local w = s:watch(CM .. "?watch=1")
    sim.C.apisim_drop_watches(s.api, 0)
    assert.is_true(w.ended)
    w = s:watch(CM .. "?watch=1")
    sim.C.apisim_drop_watches(s.api, 500)
    assert.equal("ERROR", w.events[1].type)
    assert.is_true(w.ended)
  end)

  it("are tables when the client asks for tables", function()
    local w = s:watch(CM .. "?watch=1", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
    create "a"
    s:run(1)
    assert.equal("Table", w.events[1].object.kind)
    assert.equal("a", w.events[1].object.rows[1].cells[1])
    w.cancel()
  end)

  it("give two runs with one seed the same objects", function()
    local other = sim.new { seed = 1 }
    create "a"
    other:send("POST", CM, '{"metadata":{"name":"a","labels":{}}}')
    assert.equal(sim.C.apisim_hash(s.api), sim.C.apisim_hash(other.api))
    other:send("POST", CM, '{"metadata":{"name":"b"}}')
    assert.is_false(sim.C.apisim_hash(s.api) == sim.C.apisim_hash(other.api))
    other:close()
  end)

  it("a clone goes its own way from the same objects", function()
    create "a"
    local copy = setmetatable({ loop = s.loop, keep = {}, api = sim.C.apisim_clone(s.api, s.conf) }, getmetatable(s))
    assert.equal(sim.C.apisim_hash(s.api), sim.C.apisim_hash(copy.api))
    copy:send("DELETE", CM .. "/a")
    assert.equal(404, (copy:send("GET", CM .. "/a")))
    assert.equal(200, (s:send("GET", CM .. "/a")))
    sim.C.apisim_free(copy.api)
  end)
end)
