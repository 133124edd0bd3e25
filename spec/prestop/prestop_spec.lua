-- The program of the preStop hooks, as the kubelet runs it, against our own server.
local wire = require "support.wire"

local BIN = (os.getenv "BUILD" or "build") .. "/prestop"

describe("prestop", function()
  local b, folder

  setup(function() assert.equal(0, os.execute "make -s prestop >/dev/null 2>&1") end)
  before_each(function() b, folder = wire.open(), wire.folder() end)
  after_each(function() b:close() end)

  local function read(name)
    local f = io.open(folder .. "/" .. name)
    local text = f and f:read "*a" or ""
    if f then f:close() end
    return text
  end

  ---Run it beside our loop; its exit code and what it printed.
  local function run(words, limit)
    os.execute(("(env -i %s %s >%s/out 2>&1; echo $? >%s/code) &"):format(BIN, words, folder, folder))
    b:run(limit or 5000, function() return read "code" ~= "" end)
    return tonumber(read "code"), read "out"
  end

  local function metrics(n)
    return ('# HELP x y\ntikv_raftstore_region_count{type="region"} 9\ntikv_raftstore_region_count{type="leader"} %d\n'):format(n)
  end

  it("waits until the store leads nothing", function()
    local left, asked = 3, 0
    local s = b:serve(function(req)
      assert.equal("/metrics", req.path)
      left, asked = math.max(left - 1, 0), asked + 1
      req:reply(200, metrics(left), "text/plain")
    end)
    assert.equal(0, (run(("tikv --port %d"):format(s.port))))
    assert.equal(3, asked)
  end)

  it("reads metrics that come in pieces", function()
    local s = b:serve(function(req)
      req:start(200, "text/plain")
      for piece in metrics(0):gmatch "..?.?.?.?" do req:chunk(piece) end
      req:finish()
    end)
    assert.equal(0, (run(("tikv --port %d"):format(s.port), 1500)))
  end)

  it("gives up on a store that does not answer, or does not say", function()
    local s = b:serve(function(req) req:reply(200, "nothing\n", "text/plain") end)
    assert.equal(0, (run(("tikv --port %d"):format(s.port), 9000)))
    local port = s.port
    os.remove(folder .. "/code")
    b:close()
    b = wire.open()
    assert.equal(0, (run(("tikv --port %d"):format(port), 9000)))
  end)

  it("lets PD's leader resign, and waits for another one", function()
    local leader, log = "basic-pd-0", {}
    local s = b:serve(function(req)
      log[#log + 1] = req.method .. " " .. req.path
      if req.path:find "resign" then
        b:after(300, function() leader = "basic-pd-1" end)
        return req:reply(200, '"The resign command is submitted."')
      end
      req:reply(200, ('{\n  "name": "%s",\n  "member_id": 1\n}\n'):format(leader))
    end)
    assert.equal(0, (run(("pd --port %d --name basic-pd-0"):format(s.port))))
    assert.equal("GET /pd/api/v1/leader", log[1])
    assert.equal("POST /pd/api/v1/leader/resign", log[2])
    assert.equal("basic-pd-1", leader)
  end)

  it("leaves PD's followers alone", function()
    local log = {}
    local s = b:serve(function(req)
      log[#log + 1] = req.method
      req:reply(200, '{"name": "basic-pd-10"}')
    end)
    assert.equal(0, (run(("pd --port %d --name basic-pd-1"):format(s.port))))
    assert.same({ "GET" }, log)
  end)

  it("speaks TLS with the pod's certificate, and no other", function()
    local c = wire.certs "127.0.0.1"
    for name, text in pairs(c) do wire.write(folder .. "/" .. name, text) end
    local asked = 0
    local s = b:serve(function(req)
      asked = asked + 1
      req:reply(200, metrics(0), "text/plain")
    end, { cert = c.cert, key = c.key, client_ca = c.ca })
    local tls = ("--cacert %s/ca --cert %s/cert --key %s/key"):format(folder, folder, folder)
    assert.equal(0, (run(("tikv --port %d %s"):format(s.port, tls), 9000)))
    assert.equal(1, asked)
    os.remove(folder .. "/code")
    assert.equal(0, (run(("tikv --port %d"):format(s.port), 9000)))
    assert.equal(1, asked)
  end)

  it("copies itself", function()
    assert.equal(0, (run("copy " .. folder)))
    os.remove(folder .. "/code")
    BIN, folder = folder .. "/prestop", folder
    local code, out = run "tikv"
    BIN = (os.getenv "BUILD" or "build") .. "/prestop"
    assert.equal(2, code)
    assert.truthy(out:find("copy FOLDER | tikv --port N", 1, true))
    os.remove(folder .. "/code")
    assert.equal(1, (run "copy /does/not/exist"))
  end)

  it("needs nothing of the image that it runs in", function()
    local pipe = io.popen("ldd " .. BIN .. " 2>&1")
    assert.truthy(pipe:read("*a"):find "not a dynamic executable")
    pipe:close()
  end)
end)
