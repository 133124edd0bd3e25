local wire = require "support.wire"
local C = wire.C

local OK = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
local function sized(body) return OK .. "Content-Length: " .. #body .. "\r\n\r\n" .. body end

describe("the curl transport", function()
  local b
  before_each(function() b = wire.open() end)
  after_each(function() b:close() end)

  describe("an answer", function()
    it("arrives with status, headers in lower case, date, etag and body", function()
      local s = b:raw(function(c)
        c:request()
        c:send("HTTP/1.1 429 Too Many\r\nX-MiXed: A b \r\nETag: \"7\"\r\nRetry-After: 3\r\n" ..
          "Date: Tue, 03 Feb 2026 04:05:06 GMT\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
      end)
      local r = b:fetch { url = s.url .. "/x?secret=1" }
      assert.equal("NONE", r.code)
      assert.equal(429, r.head.status)
      assert.equal("A b", r.head.header["x-mixed"])
      assert.equal('"7"', r.head.etag)
      assert.equal(3, r.head.retry)
      assert.equal(1770091506000, r.head.date)
      assert.equal("application/json", r.head.type)
      assert.equal("{}", r.body)
    end)

    it("without Date, type and etag says so", function()
      local s = b:raw(function(c) c:request() c:send("HTTP/1.1 204 No\r\nDate: soon\r\n\r\n") end)
      local r = b:fetch { url = s.url }
      assert.same({ 204, "", "", -1, 0 }, { r.head.status, r.head.type, r.head.etag, r.head.date, r.head.retry })
    end)

    it("reads Retry-After as a date against the same answer's Date", function()
      local s = b:raw(function(c)
        c:request()
        c:send("HTTP/1.1 503 No\r\nRetry-After: Tue, 03 Feb 2026 04:05:16 GMT\r\n" ..
          "Date: Tue, 03 Feb 2026 04:05:06 GMT\r\nContent-Length: 0\r\n\r\n")
      end)
      assert.equal(10, b:fetch { url = s.url }.head.retry)
    end)

    it("skips interim answers and trailers", function()
      local s = b:raw(function(c)
        c:request()
        c:send("HTTP/1.1 103 Early\r\nX: early\r\n\r\n" .. OK ..
          "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: late\r\n\r\n")
      end)
      local r = b:fetch { url = s.url }
      assert.equal(200, r.head.status)
      assert.is_nil(r.head.header.x)
      assert.equal("abc", r.body)
    end)

    it("is not followed when it is a redirect", function()
      local s = b:raw(function(c) c:request() c:send("HTTP/1.1 302 F\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n") end)
      local r = b:fetch { url = s.url }
      assert.equal(302, r.head.status)
      assert.equal("/y", r.head.header.location)
    end)

    it("is unzipped", function()
      local zipped = "\31\139\8\0\0\0\0\0\0\3\203\72\205\201\201\7\0\134\166\16\54\5\0\0\0"
      local s = b:raw(function(c)
        assert.truthy(c:request():find("Accept-Encoding: gzip", 1, true))
        c:send(OK .. "Content-Encoding: gzip\r\nContent-Length: " .. #zipped .. "\r\n\r\n" .. zipped)
      end)
      assert.equal("hello", b:fetch { url = s.url }.body)
    end)

    it("may come byte by byte", function()
      local text = OK .. "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n"
      local s = b:raw(function(c)
        c:request()
        for i = 1, #text do
          c:send(text:sub(i, i))
          coroutine.yield()
        end
      end)
      assert.equal("abcdefg", b:fetch { url = s.url }.body)
    end)
  end)

  describe("a request", function()
    it("carries method, body, types, own headers and no Expect", function()
      local seen
      local s = b:raw(function(c)
        seen = c:request() .. c:read_until("}")
        c:send(sized("ok"))
      end)
      b:fetch { url = s.url .. "/a%2Fb/../c?x=%20", method = "PATCH", body = '{"a":1}', type = "application/x",
        accept = "text/x", header = { { "X-One", "1" }, { "X-Empty", "" } } }
      assert.truthy(seen:find("^PATCH /a%%2Fb/../c%?x=%%20 HTTP/1.1\r\n"))
      for _, line in ipairs { "Content-Type: application/x", "Accept: text/x", "X-One: 1", "X-Empty:",
        "Content-Length: 7", "User-Agent: tikv-operator/" } do
        assert.truthy(seen:find("\r\n" .. line, 1, true), line)
      end
      assert.falsy(seen:find("Expect", 1, true))
      assert.truthy(seen:find('{"a":1}', 1, true))
    end)

    it("of every method passes, with and without a body", function()
      local seen = {}
      local s = b:serve(function(q)
        seen[#seen + 1] = q.method .. q.body
        q:reply(200, "ok")
      end)
      for _, m in ipairs { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" } do
        assert.equal("NONE", b:fetch { url = s.url, method = m }.code)
      end
      for _, m in ipairs { "POST", "PUT", "PATCH", "DELETE" } do
        b:fetch { url = s.url, method = m, body = "x" }
      end
      assert.equal("GET HEAD POST PUT PATCH DELETE OPTIONS POSTx PUTx PATCHx DELETEx", table.concat(seen, " "))
    end)

    it("with a line break in a header, or no URL, is refused after http_send returned", function()
      local r = b:fetch { url = "http://127.0.0.1:1", header = { { "X", "a\r\nb" } } }
      assert.equal("INVALID", r.code)
      assert.equal("INVALID", b:fetch { url = "ftp://127.0.0.1/x" }.code)
      assert.equal("INVALID", b:fetch { url = "http://a b/x" }.code)
      assert.is_nil(r.head)
    end)

    it("does not go through a proxy to the loopback", function()
      wire.env("http_proxy", "http://127.0.0.1:1")
      local s = b:raw(function(c) c:request() c:send(sized("direct")) end)
      local r = b:fetch { url = s.url }
      wire.env("http_proxy", nil)
      assert.equal("direct", r.body)
    end)

    it("uses the proxy that the environment names, but not where NO_PROXY says so (C9)", function()
      local line
      local s = b:raw(function(c)
        line = c:request():match("^[^\r]+")
        c:send(sized("proxied"))
      end)
      wire.env("http_proxy", s.url)
      local r = b:fetch { url = "http://db.invalid/x" }
      local before = os.getenv("no_proxy")
      wire.env("no_proxy", ".invalid")
      local direct = b:fetch { url = "http://db.invalid/x" }
      wire.env("no_proxy", before)
      wire.env("http_proxy", nil)
      assert.equal("proxied", r.body)
      assert.equal("GET http://db.invalid/x HTTP/1.1", line)
      assert.equal("UNAVAILABLE", direct.code)
    end)
  end)

  describe("failures", function()
    it("a refused connection is unavailable and named without the query", function()
      local r = b:fetch { url = "http://127.0.0.1:1/x?token=secret" }
      assert.equal("UNAVAILABLE", r.code)
      assert.equal("GET http://127.0.0.1:1/x: connection refused: nothing listens there", r.msg)
      assert.is_nil(r.head)
    end)

    it("a name that does not exist is unavailable", function()
      local r = b:fetch { url = "http://no-such-host.invalid/" }
      assert.equal("UNAVAILABLE", r.code)
    end)

    it("a truncated body is unavailable, not success", function()
      local s = b:raw(function(c) c:request() c:send(OK .. "Content-Length: 10\r\n\r\nabc") end)
      local r = b:fetch { url = s.url }
      assert.equal("UNAVAILABLE", r.code)
      assert.equal(200, r.head.status)
      assert.equal("", r.body)
    end)

    it("a truncated chunked body is unavailable too", function()
      local s = b:raw(function(c) c:request() c:send(OK .. "Transfer-Encoding: chunked\r\n\r\n9\r\nabc") end)
      assert.equal("UNAVAILABLE", b:fetch { url = s.url }.code)
    end)

    it("an answer that is not HTTP is a protocol error", function()
      local s = b:raw(function(c) c:request() c:send("SSH-2.0-x\r\n\r\n") c:sleep(20) end)
      assert.equal("PROTOCOL", b:fetch { url = s.url }.code)
    end)

    it("broken chunks and broken gzip are protocol errors", function()
      local s = b:raw(function(c)
        c:request()
        c:send(OK .. "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc")
        c:sleep(20)
      end)
      assert.equal("PROTOCOL", b:fetch { url = s.url }.code)
      s = b:raw(function(c) c:request() c:send(OK .. "Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd") end)
      assert.equal("PROTOCOL", b:fetch { url = s.url }.code)
    end)

    it("a reset or a close without an answer is unavailable", function()
      local s = b:raw(function(c) c:request() c:reset() end)
      assert.equal("UNAVAILABLE", b:fetch { url = s.url }.code)
      s = b:raw(function(c) c:request() end)
      assert.equal("UNAVAILABLE", b:fetch { url = s.url }.code)
    end)

    it("headers without end are cut off", function()
      local s = b:raw(function(c)
        c:request()
        c:send("HTTP/1.1 200 OK\r\n")
        while c:send("X: " .. ("x"):rep(1000) .. "\r\n") do coroutine.yield() end
      end)
      local r = b:fetch { url = s.url }
      assert.truthy(r.code == "TOO_LARGE" or r.code == "UNAVAILABLE")
    end)

    it("no answer within the deadline is a timeout: the outcome is unknown", function()
      local s = b:raw(function(c) c:request() c:sleep(2000) end)
      local from = b:now()
      local r = b:fetch { url = s.url .. "/slow", total = 60 }
      assert.equal("TIMEOUT", r.code)
      assert.equal("GET " .. s.url .. "/slow: no answer within 60 ms", r.msg)
      assert.is_true(b:now() - from < 1000)
    end)

    it("a body that trickles past the deadline is a timeout", function()
      local s = b:raw(function(c)
        c:request()
        c:send(OK .. "Content-Length: 1000\r\n\r\n")
        while c:send("x") do c:sleep(10) end
      end)
      local r = b:fetch { url = s.url, total = 100 }
      assert.equal("TIMEOUT", r.code)
      assert.equal(200, r.head.status)
    end)

    it("a connection that never comes about is unavailable: nothing was sent", function()
      local r = b:fetch { url = "https://127.0.0.1:" .. b:raw(function(c) c:sleep(2000) end).port, total = 60 }
      assert.equal("UNAVAILABLE", r.code)
    end)

    it("an answer above the cap is refused, the default cap being 64 MiB", function()
      local megabyte = ("x"):rep(1048576)
      local sent = 0
      local s = b:raw(function(c)
        c:request()
        c:send(OK .. "Content-Length: 104857600\r\n\r\n")
        while sent < 100 and c:send(megabyte) do sent = sent + 1 end
      end)
      assert.equal("TOO_LARGE", b:fetch { url = s.url, max = 1000 }.code)
      sent = 0
      local r = b:fetch { url = s.url, total = 20000 }
      assert.equal("TOO_LARGE", r.code)
      assert.is_true(sent >= 60 and sent < 100, "sent " .. sent)
    end)

    it("an error of the reader ends the request with that error", function()
      local s = b:raw(function(c) c:request() c:send(sized("abc")) end)
      local r = b:fetch { url = s.url, on_body = function(_, _, e)
        e.code, e.msg = C.ERR_INVALID, "line 3: bad"
        return -1
      end }
      assert.equal("INVALID", r.code)
      assert.equal("line 3: bad", r.msg)
    end)
  end)

  describe("a stream", function()
    it("delivers chunks as they come and has no total deadline after the headers", function()
      local s = b:raw(function(c)
        c:request()
        c:send(OK .. "Transfer-Encoding: chunked\r\n\r\n")
        for i = 1, 6 do
          c:sleep(30)
          c:send("2\r\n" .. i .. "\n\r\n")
        end
        c:send("0\r\n\r\n")
      end)
      local r = b:fetch { url = s.url, total = 100, idle = 2000 }
      assert.equal("NONE", r.code)
      assert.equal("1\n2\n3\n4\n5\n6\n", table.concat(r.chunks))
      assert.is_true(#r.chunks >= 3)
      assert.equal("", r.body)
    end)

    it("without headers in time is a timeout", function()
      local s = b:raw(function(c) c:request() c:sleep(2000) end)
      local r = b:fetch { url = s.url, total = 50, idle = 1500 }
      assert.equal("TIMEOUT", r.code)
      assert.is_nil(r.head)
    end)

    it("that falls silent ends after idle_ms, counted from its last byte (W9)", function()
      local last
      local s = b:raw(function(c)
        c:request()
        c:send(OK .. "Transfer-Encoding: chunked\r\n\r\n")
        for _ = 1, 3 do
          c:sleep(60)
          c:send("1\r\nx\r\n")
          last = b:now()
        end
        c:sleep(3000)
      end)
      local r = b:fetch { url = s.url, total = 1000, idle = 100 }
      assert.equal("TIMEOUT", r.code)
      assert.equal("xxx", table.concat(r.chunks))
      assert.truthy(r.msg:find("silent for 100 ms", 1, true))
      assert.is_true(b:now() - last >= 95 and b:now() - last < 600)
    end)

    it("cut by Connection: close ends normally (C7)", function()
      local s = b:raw(function(c)
        c:request()
        c:send(OK .. "Connection: close\r\n\r\n")
        c:send("tail")
      end)
      local r = b:fetch { url = s.url, idle = 1000 }
      assert.equal("NONE", r.code)
      assert.equal("tail", table.concat(r.chunks))
    end)

    it("has no size limit unless one is given", function()
      local s = b:raw(function(c) c:request() c:send(sized(("x"):rep(5000))) end)
      assert.equal("NONE", b:fetch { url = s.url, idle = 1000 }.code)
      assert.equal("TOO_LARGE", b:fetch { url = s.url, idle = 1000, max = 4999 }.code)
    end)

    it("delivers every byte once, however the server cuts them", function()
      local state, parts, cuts = 12345, {}, {}
      local function random(n)
        state = (state * 1103515245 + 12345) % 2147483648
        return math.floor(state / 65536) % n + 1
      end
      for i = 1, 3000 do parts[i] = ("%d,"):format(i * random(1000)) end
      local text = table.concat(parts)
      local at = 1
      while at <= #text do
        local n = random(3000)
        cuts[#cuts + 1] = text:sub(at, at + n - 1)
        at = at + n
      end
      local s = b:raw(function(c)
        c:request()
        c:send(OK .. "Transfer-Encoding: chunked\r\n\r\n")
        for _, piece in ipairs(cuts) do
          local framed = ("%x\r\n%s\r\n"):format(#piece, piece)
          local cut = random(#framed)
          c:send(framed:sub(1, cut))
          if random(3) == 1 then coroutine.yield() end
          c:send(framed:sub(cut + 1))
        end
        c:send("0\r\n\r\n")
      end)
      local r = b:fetch { url = s.url, idle = 2000 }
      assert.equal("NONE", r.code)
      assert.is_true(text == table.concat(r.chunks))
    end)
  end)

  describe("connections", function()
    local function talker()
      return b:raw(function(c, number)
        while c:request() do c:send(sized("c" .. number)) end
      end)
    end

    it("are kept and used again", function()
      local s = talker()
      for _ = 1, 5 do assert.equal("c1", b:fetch { url = s.url }.body) end
      assert.equal(1, s.connections)
    end)

    it("of different pools are never shared (C8)", function()
      local s = talker()
      assert.equal("c1", b:fetch { url = s.url, pool = "lease" }.body)
      assert.equal("c2", b:fetch { url = s.url, pool = "list" }.body)
      assert.equal("c1", b:fetch { url = s.url, pool = "lease" }.body)
    end)

    it("are at most 32 per pool and host; the rest waits", function()
      local s = b:raw(function(c)
        while c:request() do
          c:sleep(60)
          c:send(sized("x"))
        end
      end)
      local rs = {}
      for i = 1, 40 do rs[i] = b:send { url = s.url, total = 5000 } end
      b:run(5000, function()
        for _, r in ipairs(rs) do if not r.done then return false end end
        return true
      end)
      for _, r in ipairs(rs) do assert.equal("NONE", r.code) end
      assert.is_true(s.connections <= 32 and s.connections > 1, s.connections .. " connections")
    end)

    it("that the server closed after an answer are replaced without an error (C7)", function()
      local s = b:raw(function(c, number)
        c:request()
        c:send(sized("c" .. number))
      end)
      assert.equal("c1", b:fetch { url = s.url }.body)
      b:run(20)
      assert.equal("c2", b:fetch { url = s.url }.body)
      assert.equal("c3", b:fetch { url = s.url, method = "PUT", body = "x" }.body)
    end)

    it("that die under a POST do not make it happen twice", function()
      local posts = 0
      local s = b:raw(function(c)
        c:request()
        c:send(sized("first"))
        if c:request() then
          posts = posts + 1
          c:close()
        end
      end)
      assert.equal("first", b:fetch { url = s.url }.body)
      local r = b:fetch { url = s.url, method = "POST", body = "x" }
      assert.equal("UNAVAILABLE", r.code)
      b:run(30)
      assert.equal(1, posts)
    end)

    it("are given up on refresh: idle ones at once, busy ones when their answer is complete", function()
      local s = b:raw(function(c, number)
        while true do
          local q = c:request()
          if not q then return end
          if q:find("/slow", 1, true) then c:sleep(80) end
          c:send(sized("c" .. number))
        end
      end)
      assert.equal("c1", b:fetch { url = s.url }.body)
      local slow = b:send { url = s.url .. "/slow" }
      b:run(20)
      C.http_curl_refresh(b.http)
      assert.equal("c2", b:fetch { url = s.url }.body)
      b:run(1000, function() return slow.done end)
      assert.equal("c1", slow.body)
    end)
  end)

  describe("cancel", function()
    local function quiet(r)
      local before = r.calls
      b:run(60)
      assert.equal(before, r.calls)
      assert.is_nil(r.done)
      assert.equal(0, tonumber(C.http_curl_open(b.http)))
    end
    local function dripping()
      return b:raw(function(c)
        c:request()
        c:send(OK .. "Transfer-Encoding: chunked\r\n\r\n")
        while c:send("1\r\nx\r\n") do c:sleep(5) end
      end)
    end

    it("right after http_send calls nothing", function()
      local r = b:send { url = dripping().url }
      b:cancel(r)
      quiet(r)
    end)

    it("while connecting or waiting calls nothing", function()
      local s = b:raw(function(c) c:request() c:sleep(30) c:send(sized("late")) end)
      for _, ms in ipairs { 1, 2, 5, 12 } do
        local r = b:send { url = s.url }
        b:run(ms)
        b:cancel(r)
        quiet(r)
      end
    end)

    it("while resolving, in the TLS handshake or in the middle of an upload calls nothing", function()
      local deaf = b:raw(function(c) c:sleep(500) end)
      local body = ("x"):rep(20000000)
      for _, ms in ipairs { 1, 8, 25 } do
        for _, o in ipairs { { url = "http://no-such-host.invalid" }, { url = "https://127.0.0.1:" .. deaf.port },
          { url = deaf.url, method = "PUT", body = body }, { url = deaf.url, method = "POST", body = body } } do
          local r = b:send(o)
          b:run(ms)
          if not r.done then
            b:cancel(r)
            quiet(r)
          end
        end
      end
    end)

    it("in the middle of a stream calls nothing more", function()
      local r = b:send { url = dripping().url, idle = 1000 }
      b:run(1000, function() return #r.chunks > 2 end)
      b:cancel(r)
      quiet(r)
    end)

    it("from inside on_head and on_body calls nothing more", function()
      local s = dripping()
      local r = b:send { url = s.url, idle = 1000, on_head = function(me) b:cancel(me) end }
      b:run(1000, function() return r.head end)
      quiet(r)
      r = b:send { url = s.url, idle = 1000, on_body = function(me) b:cancel(me) return 0 end }
      b:run(1000, function() return r.chunks[1] end)
      quiet(r)
      assert.equal(1, #r.chunks)
      r = b:send { url = s.url, idle = 1000, on_body = function(me) b:cancel(me) return -1 end }
      b:run(1000, function() return r.chunks[1] end)
      quiet(r)
    end)

    it("of another request, from inside any callback, calls nothing for that one", function()
      local s = dripping()
      for _, kind in ipairs { "on_head", "on_body", "on_end" } do
        for _, pool in ipairs { "a", "b" } do
          local other = b:send { url = s.url, idle = 1000, pool = pool }
          b:run(1000, function() return other.chunks[1] end)
          local o = { url = s.url, pool = "a", idle = 1000, on_body = function() return -1 end }
          o[kind] = function()
            if other.gone then return -1 end
            b:cancel(other)
            other.gone = other.calls
            return -1
          end
          local first = b:send(o)
          b:run(1000, function() return first.done end)
          b:run(40)
          assert.equal(other.gone, other.calls)
          assert.is_nil(other.done)
        end
      end
      assert.equal(0, tonumber(C.http_curl_open(b.http)))
    end)

    it("of NULL and of a request that just ended, from its own on_end, is harmless", function()
      C.http_cancel(b.http, nil)
      local s = b:raw(function(c) c:request() c:send(sized("x")) end)
      local r = b:fetch { url = s.url, on_end = function(me) b:cancel(me) end }
      assert.equal("NONE", r.code)
    end)

    it("of the whole transport while requests run calls nothing", function()
      local s = dripping()
      local rs = {}
      for i = 1, 3 do rs[i] = b:send { url = s.url, idle = 1000, pool = "p" .. i } end
      b:run(1000, function() return rs[1].chunks[1] end)
      rs[4] = b:send { url = s.url }
      local calls = rs[1].calls
      C.http_curl_free(b.http)
      b:run(20)
      assert.equal(calls, rs[1].calls)
      assert.is_nil(rs[4].done)
      b.http = C.http_curl_new(b.loop, nil, nil)
    end)
  end)

  it("lets callbacks send: a chain of requests from on_end, and one from on_body", function()
    local s = b:raw(function(c)
      while c:request() do c:send(sized("x")) end
    end)
    local ended = 0
    local function again()
      ended = ended + 1
      if ended < 30 then b:send { url = s.url, on_end = again } end
    end
    b:send { url = s.url, on_end = again }
    local inner
    b:send { url = s.url, on_body = function() inner = b:send { url = s.url } return 0 end }
    b:run(5000, function() return ended == 30 and inner and inner.done end)
    assert.equal("x", inner.body)
  end)

  it("escapes a path segment", function()
    local buf = wire.ffi.new("struct buf")
    C.buf_init(buf, 0)
    C.http_escape(buf, "a b/c?ü~-._Z9%")
    assert.equal("a%20b%2Fc%3F%C3%BC~-._Z9%25", wire.ffi.string(buf.at))
    C.buf_fini(buf)
  end)
end)

describe("connect-to rules", function()
  local function hello(b)
    return b:raw(function(c)
      local host = c:request():match("Host: ([^\r]+)")
      c:send(sized("hello " .. host))
    end)
  end

  it("match host and port; the first match wins; the Host header stays", function()
    local first = wire.open()
    local s = hello(first)
    local b = setmetatable({ loop = first.loop, closers = {} }, { __index = wire })
    local rules = wire.strings { "db-pd.ns:2379:127.0.0.1:" .. s.port, "::127.0.0.1:1" }
    b.http = C.http_curl_new(first.loop, rules, nil)
    local r = b:fetch { url = "http://db-pd.ns:2379/pd/api/v1/members", pool = "pd/ns/db" }
    assert.equal("hello db-pd.ns:2379", r.body)
    r = b:fetch { url = "http://other-pd.ns:2379/x", pool = "pd/ns/other" }
    assert.truthy(r.msg:find("connection refused", 1, true))
    r = b:fetch { url = "http://db-pd.ns.invalid:2379/x", pool = "lease" }
    assert.falsy(r.msg:find("refused", 1, true))
    C.http_curl_free(b.http)
    first:close()
  end)

  it("that are none are refused with an example", function()
    local loop, e = C.loop_event_new(), wire.ffi.new("struct err")
    for _, text in ipairs { "", "a", "a:1", "a:1:b", "a:x:b:1", "a:1:b:99999", "a:1:b:1:c" } do
      local rules = wire.strings { text }
      assert.is_true(C.http_curl_new(loop, rules, e) == nil, text)
      assert.truthy(wire.ffi.string(e.msg):find("not HOST:PORT:ADDR:PORT", 1, true))
    end
    local rules = wire.strings { "[::1]:80:[::1]:81", "a:::" }
    local h = C.http_curl_new(loop, rules, e)
    assert.is_true(h ~= nil)
    C.http_curl_free(h)
    C.loop_event_free(loop)
  end)
end)
