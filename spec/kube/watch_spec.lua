local k = require "kube.support"
local lib, ffi = k.lib, k.ffi

local PATH = "/apis/core.tikv.org/v1alpha1/tikvs"

local function event(kind, object)
  return k.encode { type = kind, object = object } .. "\n"
end

local function bookmark(rv, last)
  return event("BOOKMARK", { kind = "TiKV", apiVersion = "core.tikv.org/v1alpha1", metadata = {
    resourceVersion = tostring(rv), annotations = last and { ["k8s.io/initial-events-end"] = "true" } or nil } })
end

local function failure(code, reason, more)
  local s = { kind = "Status", code = code, reason = reason, message = "why" }
  for key, v in pairs(more or {}) do s[key] = v end
  return event("ERROR", s)
end

local function list(rv, items, more)
  return k.encode { kind = "TiKVList", apiVersion = "core.tikv.org/v1alpha1", items = k.list(items or {}),
    metadata = { resourceVersion = rv and tostring(rv) or nil, continue = more } }
end

local too_new = { details = { retryAfterSeconds = 1, causes = { { reason = "ResourceVersionTooLarge" } } } }

describe("watch", function()
  local w, a, s, events, lists, reflector, synced
  local function start(over)
    local c = ffi.new("struct watch_conf")
    c.api, c.store, c.lists, c.log, c.metrics = a, s, lists, w.log, w.metrics
    synced = k.note()
    c.on_synced, c.arg = k.on_fire, synced.arg
    for key, v in pairs(over or {}) do c[key] = v end
    reflector = lib.watch_new(c)
    lib.watch_start(reflector)
    w:run(0)
    return reflector
  end
  local function state()
    return tonumber(lib.watch_state(reflector))
  end
  local function is_state(want)
    assert.equal(tonumber(want), state(), ffi.string(lib.watch_trouble(reflector)))
  end
  local function rv()
    return ffi.string(lib.store_rv(s))
  end
  -- A reflector that streams, from a list of a@1 at 10.
  local function streaming(over)
    start(over)
    w:request():head(200):chunk(event("ADDED", k.object("a", 1)) .. bookmark(10, true))
    w:run(2000)
    return w:request()
  end
  -- The same, from a paged LIST.
  local function streaming_paged(over)
    over = over or {}
    over.no_watchlist = true
    start(over)
    w:request():reply(200, list(10, { k.object("a", 1) }))
    w:run(0)
    local r = w:request():head(200)
    w:run(2000)
    return r
  end
  -- The next request, whenever it comes.
  local function soon()
    for _ = 1, 1000 do
      if #w:open() > 0 then break end
      w:run(100)
    end
    return w:request()
  end
  local function labels(code)
    return 'kind="TiKV"' .. (code and ',code="' .. code .. '"' or "")
  end

  before_each(function()
    w = k.world()
    a = w:api()
    s, events = w:store()
    lists = lib.watch_lists_new(2)
  end)
  after_each(function()
    if reflector then lib.watch_free(reflector) end
    reflector = nil
    lib.watch_lists_free(lists)
    lib.api_free(a)
    lib.store_free(s)
    assert.is_nil(w.misuse)
    assert.equal(0, w:timers_left())
  end)

  describe("a list", function()
    it("L1 is a quorum read at first and not older than what was seen afterwards", function()
      start { no_watchlist = true }
      local r = w:request()
      assert.is_nil(r.query.resourceVersion)
      r:reply(200, list(10, { k.object("a", 1) }))
      w:run(0)
      w:request():head(200):chunk(failure(410, "Expired"))
      w:run(2000)
      r = w:request()
      assert.equal("10", r.query.resourceVersion)
      assert.equal("NotOlderThan", r.query.resourceVersionMatch)
    end)

    it("L1 asks without a version after that version was expired too", function()
      streaming_paged():chunk(failure(410, "Expired"))
      w:run(2000)
      w:request():status(410, "Expired", "gone")
      w:run(4000)
      local r = w:request()
      assert.is_nil(r.query.watch)
      assert.is_nil(r.query.resourceVersion)
    end)

    it("L2 has pages of 500, and none when it may come from the server's cache", function()
      start { no_watchlist = true }
      assert.equal("500", w:request().query.limit)
      w:request():reply(200, list(10))
      w:run(0)
      w:request():head(200):chunk(failure(410, "Expired"))
      w:run(2000)
      assert.is_nil(w:request().query.limit)
    end)

    it("L3 continues by token alone and has the version of its first page", function()
      start { no_watchlist = true }
      w:request():reply(200, list(10, { k.object("a", 1) }, "tok/2"))
      local r = w:request()
      assert.equal("tok/2", r.query.continue)
      assert.is_nil(r.query.resourceVersion)
      assert.is_nil(r.query.resourceVersionMatch)
      assert.equal("", k.content(s))
      r:reply(200, list(12, { k.object("b", 2) }))
      assert.equal("ns/a@1 ns/b@2", k.content(s))
      assert.equal("10", rv())
      w:run(0)
      assert.equal("10", w:request().query.resourceVersion)
    end)

    it("L4 starts over in one piece when a later page is expired", function()
      start { no_watchlist = true }
      w:request():reply(200, list(10, { k.object("a", 1) }, "t"))
      w:request():status(410, "Expired", "too old")
      local r = w:request()
      assert.is_nil(r.query.limit)
      assert.is_nil(r.query.continue)
      r:reply(200, list(20, { k.object("b", 15) }))
      assert.equal("ns/b@15", k.content(s))
    end)

    it("L4 takes an expired first page as an error and waits", function()
      start { no_watchlist = true }
      w:request():status(410, "Expired", "too old")
      assert.equal(0, #w:open())
      is_state(lib.WATCH_EXPIRED)
    end)

    it("L5 asks once without a version when the server has not got that far", function()
      streaming_paged():chunk(failure(410, "Expired"))
      w:run(2000)
      w:request():status(504, "Timeout", "Too large resource version", too_new)
      w:run(4000)
      assert.is_nil(w:request().query.resourceVersion)
      w:request():status(504, "Timeout", "Too large resource version", too_new)
      assert.equal(0, #w:open()) -- no loop: it waits
    end)

    it("L6 never applies a part: a page that breaks leaves the store as it was", function()
      streaming_paged():chunk(failure(410, "Expired"))
      w:run(2000)
      local text = list(30, { k.object("b", 20), k.object("c", 21) })
      local r = w:request():head(200)
      r:chunk(text:sub(1, #text - 30))
      r:fail(lib.ERR_UNAVAILABLE, "reset")
      assert.equal("ns/a@1", k.content(s))
      w:run(4000)
      w:request():head(200):chunk(text:sub(1, #text - 30)):finish()
      assert.equal("ns/a@1", k.content(s))
      w:run(10000)
      w:request():reply(200, text)
      assert.equal("ns/b@20 ns/c@21", k.content(s))
    end)

    it("L6 does not believe an empty list that is older than what was seen", function()
      streaming_paged():chunk(failure(410, "Expired"))
      w:run(2000)
      w:request():reply(200, list(9))
      assert.equal("ns/a@1", k.content(s))
      w:run(4000)
      w:request():reply(200, list(9)) -- not even by quorum
      assert.equal("ns/a@1", k.content(s))
      w:run(10000)
      w:request():reply(200, list(11))
      assert.equal("", k.content(s))
      assert.equal("ns/a@1 -", events[2])
    end)

    it("L6 follows a restored server when a quorum list is older and not empty", function()
      streaming_paged():chunk(failure(410, "Expired"))
      w:run(2000)
      w:request():reply(200, list(5, { k.object("b", 3) }))
      assert.equal("ns/a@1", k.content(s))
      w:run(4000)
      w:request():reply(200, list(5, { k.object("b", 3) }))
      assert.equal("ns/b@3", k.content(s))
      assert.equal("5", rv())
      assert.is_true(w:logged("history"))
    end)

    it("L7 is refused without a resourceVersion, and as a Table", function()
      start { no_watchlist = true }
      w:request():reply(200, list(nil, { k.object("a", 1) }))
      w:run(2000)
      w:request():reply(200, (list(10, { k.object("a", 1) }):gsub("TiKVList", "Table")))
      w:run(4000)
      w:request():reply(200, list(0, { k.object("a", 1) }))
      assert.equal("", k.content(s))
      assert.is_false(lib.store_synced(s))
      assert.is_nil(synced.calls)
    end)

    it("L7 refuses an item of another kind, without a version or without a uid", function()
      start { no_watchlist = true }
      for _, bad in ipairs { k.object("a", 1, { kind = "PD" }), k.object("a", ""),
        k.object("a", 1, { metadata = { uid = "" } }) } do
        w:request():reply(200, list(10, { k.object("ok", 2), bad }))
        assert.equal("", k.content(s))
        w:run(60000)
      end
    end)

    it("L8 may have its items in any order", function()
      start { no_watchlist = true }
      w:request():reply(200, list(10, { k.object("c", 3), k.object("a", 9), k.object("b", 2) }))
      assert.equal("ns/a@9 ns/b@2 ns/c@3", k.content(s))
    end)

    it("may be cut anywhere", function()
      start { no_watchlist = true }
      local text = list(10, { k.object("a", 1), k.object("b", 2) })
      local r = w:request():head(200)
      for i = 1, #text do r:chunk(text:sub(i, i)) end
      r:finish()
      assert.equal("ns/a@1 ns/b@2", k.content(s))
    end)

    it("carries selectors and namespace, escaped", function()
      start { no_watchlist = true, ns = "n1", label_selector = "a=b,c", field_selector = "metadata.name=x" }
      local r = w:request()
      assert.equal("/apis/core.tikv.org/v1alpha1/namespaces/n1/tikvs", r.path)
      assert.equal("a=b,c", r.query.labelSelector)
      assert.equal("metadata.name=x", r.query.fieldSelector)
      r:reply(200, list(10))
      w:run(0)
      assert.equal("a=b,c", w:request().query.labelSelector)
    end)
  end)

  describe("a stream", function()
    it("W1 asks for a random end between five and ten minutes", function()
      local r = streaming_paged()
      local seen = {}
      for _ = 1, 20 do
        local t = tonumber(r.query.timeoutSeconds)
        assert.is_true(t >= 300 and t < 600)
        seen[t] = true
        r:finish()
        w:run(0)
        r = w:request():head(200)
        w:run(2000)
      end
      local n = 0
      for _ in pairs(seen) do n = n + 1 end
      assert.is_true(n > 10)
    end)

    it("W2 asks for bookmarks", function()
      assert.equal("true", streaming_paged().query.allowWatchBookmarks)
    end)

    it("W3 takes nothing but the version from a bookmark", function()
      local r = streaming_paged()
      r:chunk(bookmark(25))
      assert.equal("25", rv())
      assert.equal(1, #events)
      r:chunk(bookmark(25))
      assert.is_true(r.open)
    end)

    it("W3 starts from the source again when a bookmark goes back", function()
      local r = streaming_paged()
      r:chunk(bookmark(9))
      assert.is_false(r.open)
      w:run(2000)
      assert.is_nil(w:request().query.watch)
      assert.is_nil(w:request().query.resourceVersion)
    end)

    it("W4 moves the version with every event, after applying it", function()
      local r = streaming_paged()
      local at
      events.also = function() at = rv() end
      r:chunk(event("MODIFIED", k.object("a", 11)))
      assert.equal("10", at)
      assert.equal("11", rv())
      r:chunk(event("DELETED", k.object("a", 12)))
      assert.equal("12", rv())
      assert.equal("", k.content(s))
    end)

    it("W4 does not move it by the initial events, which come in any order", function()
      start()
      w:request():head(200):chunk(event("ADDED", k.object("b", 9)) .. event("ADDED", k.object("a", 3)))
      assert.equal("", rv())
    end)

    it("W5 resumes from the last version without a list when the stream ends", function()
      local r = streaming_paged()
      r:chunk(event("ADDED", k.object("b", 15)))
      r:finish()
      w:run(0)
      assert.equal("1", w:request().query.watch)
      assert.equal("15", w:request().query.resourceVersion)
      assert.equal(1, w:metric("tikv_operator_watch_relists_total", labels()))
      assert.equal(1, w:metric("tikv_operator_watch_restarts_total", labels()))
    end)

    it("W5 resumes the same way when the connection is cut, also inside an event", function()
      local r = streaming_paged()
      r:chunk(event("ADDED", k.object("b", 15)) .. '{"type":"ADD')
      r:fail(lib.ERR_UNAVAILABLE, "reset")
      is_state(lib.WATCH_BACKOFF)
      w:run(2000)
      assert.equal("15", w:request().query.resourceVersion)
      w:request():head(200):chunk(bookmark(16) .. '{"type":')
      w:run(2000)
      w:request():finish()
      w:run(4000)
      assert.equal("1", w:request().query.watch)
      assert.equal("16", w:request().query.resourceVersion)
      assert.equal("ns/a@1 ns/b@15", k.content(s))
    end)

    it("W6 lists from the last version after 410", function()
      local r = streaming_paged()
      r:chunk(event("ADDED", k.object("b", 15)) .. failure(410, "Expired"))
      is_state(lib.WATCH_EXPIRED)
      assert.equal("ns/a@1 ns/b@15", k.content(s))
      w:run(2000)
      assert.is_nil(w:request().query.watch)
      assert.equal("15", w:request().query.resourceVersion)
    end)

    it("W6 lists after 410 Gone as the status of the request", function()
      streaming_paged():finish()
      w:run(0)
      w:request():status(410, "Gone", "compacted")
      w:run(2000)
      assert.is_nil(w:request().query.watch)
    end)

    it("W6 stays with the stream after 429, and waits as long as it is told", function()
      local r = streaming_paged()
      r:chunk(failure(429, "TooManyRequests", { details = { retryAfterSeconds = 7 } }))
      w:run(6900)
      assert.equal(0, #w:open())
      w:run(7200)
      assert.equal("1", w:request().query.watch)
    end)

    it("W6 stays with the stream after InternalError, for a minute", function()
      local r = streaming_paged()
      local from = w.now
      while r.query.watch == "1" and w.now - from < 600000 do
        r:head(200):chunk(failure(500, "InternalError"))
        r = soon()
      end
      assert.is_nil(r.query.watch)
      assert.is_true(w.now - from > 60000)
      assert.is_true(w.now - from < 180000)
    end)

    it("W6 lists after any other error in the stream", function()
      streaming_paged():chunk(failure(403, "Weird", { code = 418 }))
      w:run(2000)
      assert.is_nil(w:request().query.watch)
    end)

    it("W7 retries the stream, not the list, when the server refuses connections", function()
      streaming_paged():finish()
      w:run(0)
      for _ = 1, 6 do
        assert.equal("1", soon().query.watch)
        w:request():fail(lib.ERR_UNAVAILABLE, "refused")
      end
      soon():status(429, "TooManyRequests", "slow")
      assert.equal("1", soon().query.watch)
    end)

    it("W7 lists after another answer to the request", function()
      streaming_paged():finish()
      w:run(0)
      w:request():status(503, "ServiceUnavailable", "starting")
      w:run(2000)
      assert.is_nil(w:request().query.watch)
      assert.equal("10", w:request().query.resourceVersion)
    end)

    it("W8 counts a stream that ends at once without an event as an error", function()
      streaming_paged():finish()
      w:run(0)
      w:request():head(200):finish()
      is_state(lib.WATCH_BACKOFF)
      assert.equal(0, #w:open())
      assert.truthy(ffi.string(lib.watch_trouble(reflector)):find("at once", 1, true))
      w:run(2000)
      w:request():head(200):finish()
      w:run(4000)
      w:request():head(200):finish()
      w:run(8000)
      assert.is_nil(w:request().query.watch) -- three in a row: look at everything
    end)

    it("W8 does not mind a short stream that brought something", function()
      streaming_paged():finish()
      w:run(0)
      w:request():head(200):chunk(bookmark(11)):finish()
      w:run(0)
      assert.equal("11", w:request().query.resourceVersion)
    end)

    it("W9 drops a stream that is silent for its time and five seconds", function()
      local r = streaming_paged()
      local t = tonumber(r.query.timeoutSeconds)
      assert.equal(t * 1000 + 5000, r.idle_ms)
      w:run(r.idle_ms)
      assert.is_false(r.open)
      is_state(lib.WATCH_BACKOFF)
      w:run(2000)
      assert.equal("1", w:request().query.watch)
      assert.equal("10", w:request().query.resourceVersion)
    end)

    it("W9 knows when it last heard a byte", function()
      local r = streaming_paged()
      w:run(1000)
      r:chunk("\n")
      assert.equal(w.now, tonumber(lib.store_heard_ms(s)))
    end)

    it("W10 skips and logs an event of another kind or version", function()
      local r = streaming_paged()
      r:chunk(event("ADDED", k.object("x", 20, { kind = "PD" })))
      r:chunk(event("ADDED", k.object("x", 21, { apiVersion = "core.tikv.org/v9" })))
      assert.is_true(r.open)
      assert.equal("ns/a@1", k.content(s))
      assert.equal(2, w:metric("tikv_operator_watch_skipped_total", labels()))
      assert.is_true(w:logged("another kind"))
    end)

    it("W10 gives up the stream on malformed JSON instead of skipping bytes", function()
      for _, bad in ipairs { "{oops}\n", '{"type":"ADDED"}\n', '{"type":"NEWS","object":{}}\n', "[]\n",
        event("ADDED", { kind = "TiKV", apiVersion = "core.tikv.org/v1alpha1", metadata = {} }),
        event("ADDED", k.object("b", "x7")), event("BOOKMARK", { kind = "TiKV" }) } do
        local r = streaming_paged()
        r:chunk(bad .. event("ADDED", k.object("b", 50)))
        assert.is_false(r.open)
        assert.equal("ns/a@1", k.content(s), bad)
        w:run(2000)
        assert.is_nil(w:request().query.watch, bad)
        lib.watch_free(reflector)
        lib.store_free(s)
        s, events = w:store()
      end
      start()
    end)

    it("W11 drops and counts what is not newer, also of an object that is gone", function()
      local r = streaming_paged()
      r:chunk(event("ADDED", k.object("b", 20)) .. event("DELETED", k.object("b", 21)))
      r:chunk(event("ADDED", k.object("b", 20)) .. event("MODIFIED", k.object("a", 21)))
      assert.equal("ns/a@1", k.content(s))
      assert.equal(2, w:metric("tikv_operator_watch_dropped_total", labels()))
      assert.equal("21", rv())
    end)

    it("W11 takes a change of an unknown key as new, and a new one of a known key as a change", function()
      local r = streaming_paged()
      r:chunk(event("MODIFIED", k.object("b", 20)) .. event("ADDED", k.object("a", 21)))
      assert.equal("ns/a@21 ns/b@20", k.content(s))
      assert.equal("ns/a@1 ns/a@21", events[3])
      r:chunk(event("DELETED", k.object("zz", 22)))
      assert.equal(3, #events)
    end)

    it("W12 sees a successor under the same name as two events", function()
      local r = streaming_paged()
      r:chunk(event("MODIFIED", k.object("a", 30, { metadata = { uid = "other" } })))
      assert.same({ "ns/a@1 -", "- ns/a@30" }, { events[2], events[3] })
    end)

    it("W13 works with versions beyond 64 bits", function()
      local r = streaming_paged()
      r:chunk(event("MODIFIED", k.object("a", "99999999999999999999998")))
      r:chunk(event("MODIFIED", k.object("a", "99999999999999999999999")))
      r:chunk(event("MODIFIED", k.object("a", "99999999999999999999997")))
      assert.equal("ns/a@99999999999999999999999", k.content(s))
    end)

    it("W14 takes 410 after a long pause as the normal way on", function()
      local r = streaming_paged()
      w:jump(3600000)
      w:run(0)
      assert.is_false(r.open)
      w:run(2000)
      w:request():head(200):chunk(failure(410, "Expired"))
      w:run(8000)
      w:request():reply(200, list(500, { k.object("a", 400) }))
      w:run(0)
      w:request():head(200)
      is_state(lib.WATCH_STREAMING)
      assert.equal("", ffi.string(lib.watch_trouble(reflector)))
      assert.equal("ns/a@400", k.content(s))
    end)

    it("Q1 tells events in the order of the stream", function()
      local r = streaming_paged()
      r:chunk(event("ADDED", k.object("z", 11)) .. event("ADDED", k.object("b", 12))
        .. event("MODIFIED", k.object("z", 13)))
      assert.same({ "- ns/z@11", "- ns/b@12", "ns/z@11 ns/z@13" }, { events[2], events[3], events[4] })
    end)
  end)

  describe("a streaming list", function()
    it("S1 is tried first, as a quorum read at start and from the last version later", function()
      start()
      local r = w:request()
      assert.equal(PATH, r.path)
      assert.equal("1", r.query.watch)
      assert.equal("true", r.query.sendInitialEvents)
      assert.equal("NotOlderThan", r.query.resourceVersionMatch)
      assert.equal("true", r.query.allowWatchBookmarks)
      assert.is_nil(r.query.resourceVersion)
      r:head(200):chunk(bookmark(10, true) .. failure(410, "Expired"))
      w:run(2000)
      assert.equal("true", w:request().query.sendInitialEvents)
      assert.equal("10", w:request().query.resourceVersion)
    end)

    it("S2 shows nothing before the end marker, then everything, on the same stream", function()
      start()
      local r = w:request():head(200)
      is_state(lib.WATCH_LISTING)
      r:chunk(event("ADDED", k.object("b", 9)) .. event("ADDED", k.object("a", 3)) .. bookmark(9))
      assert.equal("", k.content(s))
      assert.is_nil(synced.calls)
      r:chunk(bookmark(10, true))
      assert.equal("ns/a@3 ns/b@9", k.content(s))
      assert.equal("10", rv())
      assert.equal(1, synced.calls)
      assert.is_true(lib.store_synced(s))
      is_state(lib.WATCH_STREAMING)
      r:chunk(event("MODIFIED", k.object("a", 11)))
      assert.equal("ns/a@11 ns/b@9", k.content(s))
    end)

    it("S2 takes the end marker and events of one chunk in order", function()
      start()
      w:request():head(200):chunk(event("ADDED", k.object("a", 3)) .. bookmark(10, true)
        .. event("DELETED", k.object("a", 11)))
      assert.equal("", k.content(s))
      assert.equal(1, synced.calls)
    end)

    it("S2 starts over when something is deleted before the marker", function()
      start()
      local r = w:request():head(200)
      r:chunk(event("ADDED", k.object("a", 3)) .. event("DELETED", k.object("a", 4)))
      assert.is_false(r.open)
      w:run(2000)
      w:request():head(200):chunk(bookmark(10, true))
      assert.equal("", k.content(s))
      assert.equal(1, synced.calls)
    end)

    it("S3 throws away what it had when the stream fails before the marker", function()
      local r = streaming()
      r:chunk(failure(410, "Expired"))
      w:run(2000)
      w:request():head(200):chunk(event("ADDED", k.object("b", 20)))
      w:run(1500)
      w:request():finish()
      assert.equal("ns/a@1", k.content(s))
      w:run(4000)
      w:request():head(200):chunk(event("ADDED", k.object("c", 21)) .. bookmark(30, true))
      assert.equal("ns/c@21", k.content(s))
    end)

    it("S3 asks without a version when the last one is expired or too new", function()
      streaming():chunk(failure(410, "Expired"))
      w:run(2000)
      assert.equal("10", w:request().query.resourceVersion)
      w:request():status(504, "Timeout", "Too large resource version", too_new)
      w:run(4000)
      assert.is_nil(w:request().query.resourceVersion)
    end)

    it("S3 falls back to pages at once where it is not offered, and remembers", function()
      for _, code in ipairs { 400, 422 } do
        start()
        w:request():status(code, "Invalid", "sendInitialEvents is forbidden")
        local r = w:request()
        assert.equal("500", r.query.limit)
        r:reply(200, list(10))
        w:run(0)
        w:request():head(200):chunk(failure(410, "Expired"))
        w:run(2000)
        assert.is_nil(w:request().query.sendInitialEvents)
        lib.watch_free(reflector)
        lib.store_free(s)
        s = w:store()
      end
      start()
    end)

    it("S3 tries pages after a 404, and then the streaming list again", function()
      start()
      w:request():status(404, "NotFound", "no such resource")
      w:request():status(404, "NotFound", "no such resource")
      is_state(lib.WATCH_DENIED)
      w:run(90000)
      assert.equal("true", w:request().query.sendInitialEvents)
    end)

    it("S3 tries pages when the marker never comes", function()
      start()
      for _ = 1, 3 do
        local r = w:request():head(200)
        assert.equal("true", r.query.sendInitialEvents)
        r:chunk(event("ADDED", k.object("a", 3)))
        w:run(29000)
        assert.is_true(r.open)
        w:run(11000)
        assert.is_false(r.open)
        w:run(8000)
      end
      assert.is_true(w:logged("still incomplete"))
      assert.equal("500", w:request().query.limit)
    end)
  end)

  describe("back-off", function()
    -- The pauses between attempts that are refused.
    local function pauses(n)
      local out = {}
      for i = 1, n do
        w:request():fail(lib.ERR_UNAVAILABLE, "refused")
        local from = w.now
        while #w:open() == 0 do w:run(100) end
        out[i] = w.now - from
      end
      return out
    end

    it("B1 grows from 0.8 to 30 seconds with up to as much jitter", function()
      start()
      local base = 800
      for _, p in ipairs(pauses(9)) do
        assert.is_true(p >= base and p <= 2 * base + 100, ("%d after %d"):format(p, base))
        base = math.min(base * 2, 30000)
      end
    end)

    it("B1 is forgotten after two quiet minutes", function()
      start()
      pauses(6)
      w:request():head(200):chunk(bookmark(10, true))
      w:run(121000)
      w:request():fail(lib.ERR_UNAVAILABLE, "reset")
      w:run(1700)
      assert.equal(1, #w:open())
    end)

    it("B2 is not the same for two reflectors", function()
      start()
      local first = pauses(4)
      lib.watch_free(reflector)
      start { ns = "other" }
      assert.are_not.same(first, pauses(4))
    end)

    it("B2 is one for lists and streams", function()
      start()
      pauses(3)
      w:request():head(200):chunk(bookmark(10, true))
      w:run(1500)
      w:request():fail(lib.ERR_UNAVAILABLE, "reset")
      w:run(6000)
      assert.equal(0, #w:open())
    end)

    it("B3 lets two lists be in flight, the next when one is complete", function()
      local all = {}
      for i = 1, 4 do
        all[i] = start { ns = "n" .. i }
      end
      assert.equal(2, #w:open())
      w:open()[1]:head(200):chunk(bookmark(10, true))
      assert.equal(3, #w:open())
      assert.truthy(w:last().path:find("n3", 1, true))
      w:open()[2]:fail(lib.ERR_UNAVAILABLE, "refused")
      assert.truthy(w:last().path:find("n4", 1, true))
      for i = 1, 3 do lib.watch_free(all[i]) end
    end)

    it("B3 gives the place on when a waiting or listing reflector goes away", function()
      local all = {}
      for i = 1, 4 do
        all[i] = start { ns = "n" .. i }
      end
      lib.watch_free(all[3])
      lib.watch_free(all[1])
      assert.truthy(w:last().path:find("n4", 1, true))
      lib.watch_free(all[2])
    end)

    it("B3 honours Retry-After", function()
      start()
      w:request():status(503, "ServiceUnavailable", "starting", nil, { ["retry-after"] = "20" })
      w:run(19900)
      assert.equal(0, #w:open())
      w:run(20200)
      assert.equal(1, #w:open())
    end)
  end)

  describe("a collection", function()
    it("T6 that is missing or forbidden never empties the store and is asked slowly", function()
      for code, reason in pairs { [404] = "NotFound", [403] = "Forbidden" } do
        local r = streaming_paged()
        r:finish()
        w:run(0)
        w:request():status(code, reason, "no")
        is_state(lib.WATCH_DENIED)
        assert.equal("ns/a@1", k.content(s))
        assert.is_true(lib.store_synced(s))
        w:run(59000)
        assert.equal(0, #w:open())
        w:run(31000)
        w:request():status(code, reason, "no")
        is_state(lib.WATCH_DENIED)
        assert.equal("ns/a@1", k.content(s))
        assert.truthy(ffi.string(lib.watch_trouble(reflector)):find(reason, 1, true))
        w:run(90000)
        w:request():reply(200, list(40, { k.object("b", 30) }))
        assert.equal("ns/b@30", k.content(s))
        lib.watch_free(reflector)
        lib.store_free(s)
        s, events = w:store()
      end
      start()
    end)

    it("is asked with fresh credentials after a 401", function()
      streaming_paged():finish()
      w:run(0)
      w:request():status(401, "Unauthorized", "who?")
      w:run(2000)
      assert.equal("1", w:request().query.watch)
    end)
  end)

  describe("an audit", function()
    it("Q4 lists again by quorum every eight hours or so", function()
      local r = streaming_paged()
      local from = w.now
      while r.query.watch == "1" do
        w:run(r.idle_ms - 1000)
        if r.open then
          r:chunk("\n")
        else
          r = soon()
          if r.query.watch == "1" then r:head(200) end
        end
      end
      local hours = (w.now - from) / 3600000
      assert.is_true(hours > 7.1 and hours < 9, hours)
      assert.is_nil(r.query.resourceVersion)
    end)

    it("Q4 counts what the stream had missed, and it must be nothing", function()
      local r = streaming_paged { relist_ms = 100000 }
      r:chunk(bookmark(50))
      w:run(111000)
      w:request():reply(200, list(60, { k.object("a", 1), k.object("b", 40), k.object("c", 55) }))
      assert.equal(1, w:metric("tikv_operator_watch_divergence_total", labels()))
      assert.equal("ns/a@1 ns/b@40 ns/c@55", k.content(s))
    end)

    it("R1 can be asked for at any moment and keeps the old view until it is complete", function()
      local r = streaming()
      lib.watch_relist(reflector)
      w:run(0)
      assert.is_false(r.open)
      is_state(lib.WATCH_LISTING)
      assert.is_nil(w:request().query.resourceVersion)
      assert.equal("ns/a@1", k.content(s))
      lib.watch_relist(reflector)
      w:run(0)
      w:request():head(200):chunk(event("ADDED", k.object("b", 20)) .. bookmark(30, true))
      assert.equal("ns/b@20", k.content(s))
    end)

    it("Q5 tells once that the first complete list is in the store", function()
      streaming():chunk(failure(410, "Expired"))
      w:run(2000)
      w:request():head(200):chunk(bookmark(30, true))
      assert.equal(1, synced.calls)
    end)
  end)

  it("can be stopped at any moment", function()
    start()
    lib.watch_free(reflector)
    streaming()
    lib.watch_free(reflector)
    start { no_watchlist = true }
    w:request():reply(200, list(90, { k.object("a", 1) }, "more"))
    lib.watch_free(reflector)
    reflector = nil
    assert.equal(0, #w:open())
  end)

  it("has its own connections, apart from writes and the lease (C8)", function()
    start()
    assert.equal("watch", w:request().pool)
  end)
end)
