local wire = require "support.wire"
local C, ffi = wire.C, wire.ffi

describe("the server", function()
  local b
  before_each(function() b = wire.open() end)
  after_each(function() b:close() end)

  it("hands over method, raw path, query, host, headers and body", function()
    local q
    local s = b:serve(function(req)
      q = req
      q.custom, q.none = req.header("x-custom"), req.header("x-none")
      req:reply(201, '{"a":1}', "application/json", { { "ETag", '"5"' } })
    end)
    local r = b:fetch { url = s.url .. "/a%2Fb/c%20d/?x=1&y=%26", method = "PUT", body = "hello",
      header = { { "X-CUSTOM", "yes" } } }
    assert.same({ "PUT", "/a%2Fb/c%20d/", "x=1&y=%26", "127.0.0.1:" .. s.port, "hello", "yes" },
      { q.method, q.path, q.query, q.host, q.body, q.custom })
    assert.is_nil(q.none)
    assert.is_nil(q.cn)
    assert.same({ 201, "application/json", '"5"', '{"a":1}' }, { r.head.status, r.head.type, r.head.etag, r.body })
    assert.is_true(math.abs(r.head.date - os.time() * 1000) < 5000)
  end)

  it("keeps the connection: three requests, one after the other, and none is left held", function()
    local s = b:serve(function(req) req:reply(200, "ok" .. req.path) end)
    local c = b:dial(s.port)
    for i = 1, 3 do
      c:send("GET /" .. i .. " HTTP/1.1\r\nHost: x\r\n\r\n")
      b:run(1000, function() return c:peek():find("ok/" .. i, 1, true) end)
      c:read_until("ok/" .. i)
    end
    assert.equal(0, s.held())
  end)

  it("answers requests that were sent ahead in their order", function()
    local s = b:serve(function(req)
      if req.path == "/1" then
        b:after(30, function() req:reply(200, "one!") end)
      else
        req:reply(200, "two!")
      end
    end)
    local c = b:dial(s.port)
    c:send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n")
    b:run(1000, function() return c:peek():find("two!", 1, true) end)
    assert.is_true(c.got:find("one!", 1, true) < c.got:find("two!", 1, true))
  end)

  it("survives a client that sends garbage ahead while its stream runs", function()
    local live
    local s = b:serve(function(req)
      live = req
      req:start(200)
      req:chunk("first\n")
    end)
    local c = b:dial(s.port)
    c:send("GET / HTTP/1.1\r\nHost: x\r\n\r\n" .. ("garbage "):rep(20000))
    b:run(1000, function() return c:peek():find("first", 1, true) end)
    live:chunk("second\n")
    b:run(1000, function() return c:peek():find("second", 1, true) end)
    live:finish()
    b:run(30)
    assert.equal(0, s.held())
  end)

  it("streams chunks when they are made, and the end is the end", function()
    local live
    local s = b:serve(function(req)
      live = req
      req:start(200, "application/json")
    end)
    local r = b:send { url = s.url, idle = 3000 }
    b:run(1000, function() return r.head end)
    for i = 1, 3 do
      live:chunk(i .. "\n")
      b:run(1000, function() return #r.chunks == i end)
    end
    live:chunk("")
    live:finish()
    b:run(1000, function() return r.done end)
    assert.equal("NONE", r.code)
    assert.equal("1\n2\n3\n", table.concat(r.chunks))
    assert.equal(0, s.held())
  end)

  it("tells a stream once that its peer is gone", function()
    local gone, finished = 0, 0
    local s = b:serve(function(req)
      req:on_gone(function() gone = gone + 1 end)
      req:start(200)
      req:chunk("x")
    end)
    local r = b:send { url = s.url, idle = 3000 }
    b:run(1000, function() return r.chunks[1] end)
    b:cancel(r)
    b:run(1000, function() return gone > 0 end)
    b:run(20)
    assert.equal(1, gone)
    assert.equal(0, finished)
    assert.equal(0, s.held())
  end)

  it("tells a request that waits for its answer too", function()
    local gone = 0
    local s = b:serve(function(req) req:on_gone(function() gone = gone + 1 end) end)
    local c = b:dial(s.port)
    c:send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    b:run(1000, function() return s.held() == 1 end)
    c:close()
    b:run(1000, function() return gone > 0 end)
    assert.equal(1, gone)
    assert.equal(0, s.held())
  end)

  it("does not call on_gone after the answer", function()
    local gone = 0
    local s = b:serve(function(req)
      req:on_gone(function() gone = gone + 1 end)
      req:reply(200, "x")
    end)
    b:fetch { url = s.url }
    s.close()
    assert.equal(0, gone)
  end)

  it("calls on_gone for what is held when it is freed", function()
    local gone = 0
    local s = b:serve(function(req)
      req:on_gone(function() gone = gone + 1 end)
      if req.path == "/stream" then req:start(200) end
    end)
    local one, two = b:send { url = s.url .. "/stream" }, b:send { url = s.url .. "/wait" }
    b:run(1000, function() return s.held() == 2 end)
    s.close()
    assert.equal(2, gone)
    b:run(2000, function() return one.done and two.done end)
    assert.equal("UNAVAILABLE", one.code)
    assert.equal("UNAVAILABLE", two.code)
  end)

  it("answers 413 before the handler when the body is too large", function()
    local handled = 0
    local s = b:serve(function(req)
      handled = handled + 1
      req:reply(200, "x")
    end, { max = 1000 })
    assert.equal(200, b:fetch { url = s.url, method = "POST", body = ("x"):rep(1000) }.head.status)
    local c = b:dial(s.port)
    c:send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n" .. ("x"):rep(1001))
    b:run(1000, function() return c:peek():find("\r\n", 1, true) end)
    assert.equal("HTTP/1.1 413", c.got:sub(1, 12))
    c = b:dial(s.port)
    c:send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" ..
      ("x"):rep(2000) .. "\r\n0\r\n\r\n")
    b:run(1000, function() return c:peek():find("\r\n", 1, true) end)
    assert.equal("HTTP/1.1 413", c.got:sub(1, 12))
    assert.equal(1, handled)
  end)

  it("answers 400 to what is no request", function()
    local s = b:serve(function(req) req:reply(200, "x") end)
    local c = b:dial(s.port)
    c:send("GARBAGE\r\n\r\n")
    b:run(1000, function()
      local text, closed = c:peek()
      return text:find("400", 1, true) or closed
    end)
  end)

  it("drops a reader that leaves more than 64 MiB unread, and memory stays bounded", function()
    local gone, live = 0, nil
    local s = b:serve(function(req)
      live = req
      req:on_gone(function() gone = gone + 1 end)
      req:start(200)
    end)
    local c = b:dial(s.port)
    c:send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    b:run(1000, function() return live end)
    local megabyte = ("x"):rep(1048576)
    local sent = 0
    while gone == 0 and sent < 200 do
      live:chunk(megabyte)
      sent = sent + 1
      b:run(1)
    end
    assert.equal(1, gone)
    assert.is_true(sent > 63 and sent < 100, sent .. " MiB")
    assert.equal(0, s.held())
    -- Many chunks within one turn: the rest is dropped, too.
    gone, live = 0, nil
    local d = b:dial(s.port)
    d:send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    b:run(1000, function() return live end)
    for _ = 1, 80 do live:chunk(megabyte) end
    live:finish()
    b:run(20)
    assert.equal(0, gone)
    assert.equal(0, s.held())
  end)

  it("says which address is taken", function()
    local s = b:serve(function() end)
    local none, why = b:serve(function() end, { port = s.port })
    assert.is_nil(none)
    assert.equal("127.0.0.1:" .. s.port .. ": address already in use", why)
  end)
end)

describe("TLS between transport and server", function()
  local b, certs
  setup(function() certs = wire.certs("127.0.0.1", "localhost", "pd.example") end)
  before_each(function() b = wire.open() end)
  after_each(function() b:close() end)

  local function secure(o)
    o = o or {}
    o.cert, o.key = certs.cert, certs.key
    return b:serve(function(req)
      if req.path == "/cn" then return req:reply(200, tostring(req.cn)) end
      if o.handler then return o.handler(req) end
      req:reply(200, "hello")
    end, o)
  end

  it("trusts exactly the CA that it was given", function()
    local s = secure()
    local r = b:fetch { url = s.url, cred = wire.pem { ca = certs.ca } }
    assert.equal("NONE", r.code)
    assert.equal("hello", r.body)
  end)

  it("names trust when the CA is another one, or the system's", function()
    local s = secure()
    for _, cred in ipairs { wire.pem { ca = wire.certs("x").ca }, wire.pem {} } do
      local r = b:fetch { url = s.url .. "/x?q", cred = cred }
      assert.equal("UNAUTHORIZED", r.code)
      assert.truthy(r.msg:find("GET " .. s.url .. "/x: the server's certificate is not trusted: ", 1, true))
      assert.truthy(r.msg:find("check the CA and the name", 1, true))
    end
    assert.equal("UNAUTHORIZED", b:fetch { url = s.url }.code)
  end)

  it("checks the name, unless insecure", function()
    local other = wire.certs("other.example")
    local s = b:serve(function(req) req:reply(200, "hello") end, other)
    assert.equal("UNAUTHORIZED", b:fetch { url = s.url, cred = wire.pem { ca = other.ca } }.code)
    assert.equal("hello", b:fetch { url = s.url, cred = wire.pem { insecure = true } }.body)
    -- The insecure connection must not serve a request that wants proof.
    assert.equal("UNAUTHORIZED", b:fetch { url = s.url, cred = wire.pem { ca = other.ca } }.code)
  end)

  it("presents a client certificate, whose name the server sees; none is allowed", function()
    local client = wire.certs("system:admin")
    local s = secure { client_ca = client.ca }
    local with = wire.pem { ca = certs.ca, cert = client.cert, key = client.key }
    assert.equal("system:admin", b:fetch { url = s.url .. "/cn", cred = with }.body)
    assert.equal("nil", b:fetch { url = s.url .. "/cn", cred = wire.pem { ca = certs.ca } }.body)
  end)

  it("is unauthorized when the server refuses the client certificate", function()
    local client = wire.certs("system:admin")
    local s = secure { client_ca = wire.certs("another").ca }
    local r = b:fetch { url = s.url .. "/cn", cred = wire.pem { ca = certs.ca, cert = client.cert, key = client.key } }
    assert.equal("UNAUTHORIZED", r.code)
    assert.truthy(r.msg:find("alert", 1, true))
  end)

  it("does not share connections between identities", function()
    local one, two = wire.certs("one"), wire.certs("two")
    local s = secure { client_ca = one.ca .. two.ca }
    for _, who in ipairs { one, two, one } do
      local cred = wire.pem { ca = certs.ca, cert = who.cert, key = who.key }
      assert.equal(who == one and "one" or "two", b:fetch { url = s.url .. "/cn", cred = cred }.body)
    end
  end)

  it("plain HTTP where TLS was expected is a protocol error, and the other way round fails too", function()
    local s = b:raw(function(c) c:read_until("\0") c:send("HTTP/1.1 400 Bad\r\n\r\n") c:sleep(30) end)
    assert.equal("PROTOCOL", b:fetch { url = "https://127.0.0.1:" .. s.port, cred = wire.pem { insecure = true } }.code)
    local t = secure()
    assert.equal("UNAVAILABLE", b:fetch { url = "http://127.0.0.1:" .. t.port }.code)
  end)

  it("a connection cut in the handshake is unavailable", function()
    local s = b:raw(function(c) c:read_until("\0") c:reset() end)
    local r = b:fetch { url = "https://127.0.0.1:" .. s.port, cred = wire.pem { insecure = true } }
    assert.equal("UNAVAILABLE", r.code)
  end)

  it("carries large bodies both ways and streams", function()
    local live
    local s = secure { max = 10485760, handler = function(req)
      if req.path == "/stream" then
        live = req
        return req:start(200)
      end
      req:reply(200, req.body)
    end }
    local text = ("0123456789abcdef"):rep(300000)
    local cred = wire.pem { ca = certs.ca }
    local big = b:fetch { url = s.url, method = "POST", body = text, cred = cred }
    assert.equal("", big.msg)
    assert.equal(#text, #big.body)
    assert.is_true(big.body == text)
    local r = b:send { url = s.url .. "/stream", cred = cred, idle = 3000 }
    b:run(1000, function() return r.head end)
    for i = 1, 3 do
      live:chunk(i .. "\n")
      b:run(1000, function() return #r.chunks == i end)
    end
    live:finish()
    b:run(1000, function() return r.done end)
    assert.equal("1\n2\n3\n", table.concat(r.chunks))
  end)

  it("opens a second connection when the first waits for a slow answer", function()
    local s = secure { handler = function() end }
    local cred = wire.pem { ca = certs.ca }
    local slow = b:send { url = s.url .. "/slow", cred = cred }
    local quick = b:send { url = s.url .. "/cn", cred = cred }
    b:run(1000, function() return quick.done end)
    assert.is_nil(slow.done)
    b:cancel(slow)
  end)

  it("notices over TLS, too, that the peer of a stream is gone", function()
    local gone = 0
    local s = secure { handler = function(req)
      req:on_gone(function() gone = gone + 1 end)
      req:start(200)
      req:chunk("x")
    end }
    local r = b:send { url = s.url, cred = wire.pem { ca = certs.ca }, idle = 3000 }
    b:run(1000, function() return r.chunks[1] end)
    b:cancel(r)
    b:run(1000, function() return gone == 1 end)
  end)

  it("refuses a key that does not fit, and no name", function()
    local none, why = b:serve(function() end, { cert = certs.cert, key = wire.certs("x").key })
    assert.is_nil(none)
    assert.truthy(why:find("server key", 1, true))
    none, why = b:serve(function() end, { cert = "", key = "" })
    assert.is_nil(none)
    assert.truthy(why:find("server certificate", 1, true))
    local out, e = ffi.new("char *[3]"), ffi.new("struct err")
    assert.equal(-1, C.httpd_make_certs(ffi.new("const char *[1]"), out, out + 1, out + 2, e))
  end)
end)
