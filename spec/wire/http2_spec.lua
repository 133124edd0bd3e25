local wire = require "support.wire"

-- Needs Go to build its server, so it runs with the specs of the real stack.
describe("the curl transport over HTTP/2 #cluster", function()
  local b, dir, server, url, cred

  setup(function()
    b, dir = wire.open(), wire.folder()
    local certs = wire.certs("127.0.0.1")
    wire.write(dir .. "/cert", certs.cert)
    wire.write(dir .. "/key", certs.key)
    cred = wire.pem { ca = certs.ca }
    server = io.popen("env -u LD_PRELOAD go run spec/wire/http2_server.go " .. dir, "w")
    b:run(60000, function()
      local f = io.open(dir .. "/port")
      local port = f and f:read("*a") or ""
      if f then f:close() end
      url = "https://127.0.0.1:" .. port
      return port ~= ""
    end)
  end)
  teardown(function()
    server:close()
    os.execute("rm -r '" .. dir .. "'")
    b:close()
  end)

  it("puts many requests on one connection", function()
    local rs = {}
    for i = 1, 50 do rs[i] = b:send { url = url .. "/peer", cred = cred } end
    b:run(5000, function()
      for _, r in ipairs(rs) do if not r.done then return false end end
      return true
    end)
    for _, r in ipairs(rs) do assert.equal(rs[1].body, r.body) end
    assert.equal("HTTP/2.0", rs[1].body:match("^%S+"))
  end)

  it("loses no answer that comes before the body was read", function()
    for _, method in ipairs { "PUT", "POST", "PATCH", "DELETE" } do
      for _, size in ipairs { 1, 3000, 100000 } do
        for _ = 1, 5 do
          local r = b:fetch { url = url .. "/early", cred = cred, method = method, body = ("x"):rep(size) }
          assert.equal("", r.msg)
          assert.same({ 403, "no" }, { r.head.status, r.body })
        end
      end
    end
  end)

  it("takes GOAWAY as a normal end: streams finish, new requests go to a new connection (C7)", function()
    local watch = b:send { url = url .. "/watch", cred = cred, idle = 5000 }
    b:run(2000, function() return watch.chunks[1] end)
    local old = watch.chunks[1]
    assert.equal(old, b:fetch { url = url .. "/goaway", cred = cred }.body)
    b:run(50)
    local r = b:fetch { url = url .. "/peer", cred = cred }
    assert.equal("NONE", r.code)
    assert.not_equal("HTTP/2.0 " .. old, r.body)
    assert.equal("NONE", b:fetch { url = url .. "/end", cred = cred }.code)
    b:run(2000, function() return watch.done end)
    assert.equal("NONE", watch.code)
    assert.equal(old .. " end", table.concat(watch.chunks))
  end)

  it("has pools of its own for the lease (C8)", function()
    local one = b:fetch { url = url .. "/peer", cred = cred, pool = "list" }.body
    assert.not_equal(one, b:fetch { url = url .. "/peer", cred = cred, pool = "lease" }.body)
    assert.equal(one, b:fetch { url = url .. "/peer", cred = cred, pool = "list" }.body)
  end)
end)
