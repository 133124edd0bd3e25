-- `run` against a playground that has no operator of its own.
local app = require "app.support"

describe("run", function()
  local p

  setup(function() p = app.playground "--no-operator" end)
  teardown(function()
    p.stop "TERM"
    app.clean()
  end)

  -- An operator that was started and listens: {pid, get(path) -> status, body}.
  local function operator(more)
    local o = app.start(("run --kubeconfig %s --connect-to %s --listen 127.0.0.1:0 %s"):format(
      p.kubeconfig, p.connect, more or ""))
    local function heard() return o.err():match [["port":"(%d+)"]] or o.err():match "listening port=(%d+)" end
    local port = app.wait(5, heard)
    assert(port, o.err())
    function o.get(path)
      local _, out = app.shell(("curl -s -w '\\n%%{http_code}' http://127.0.0.1:%s%s"):format(port, path))
      local body, status = out:match "^(.*)\n(%d+)$"
      return tonumber(status), body
    end
    return o
  end

  -- One that was stopped while it asked for the lease may be written into it, for 15 seconds.
  local function logged(o, text)
    return app.wait(20, function() return o.err():find(text, 1, true) end)
  end

  -- U-100
  it("serves health, metrics and what it knows, and nothing else", function()
    local o = operator()
    assert.is_truthy(logged(o, "all kinds were read"))
    assert.equal(200, (o.get "/healthz"))
    assert.equal(200, (o.get "/livez"))
    assert.is_true(app.wait(5, function() return (o.get "/readyz") == 200 end))
    local status, text = o.get "/metrics"
    assert.equal(200, status)
    assert.is_truthy(text:find("# HELP ", 1, true) and text:find("# TYPE ", 1, true))
    for _, page in ipairs { "passes", "queue", "stores", "scripts", "pd/default/basic" } do
      assert.same({ page, 200 }, { page, (o.get("/debug/" .. page)) })
    end
    assert.equal(404, (o.get "/debug/nope"))
    assert.equal(404, (o.get "/"))
    assert.equal(0, o.stop "TERM")
  end)

  -- W-56
  it("writes one JSON object a line, or text when asked", function()
    local o = operator()
    for line in o.err():gmatch "[^\n]+" do assert.is_truthy(line:find '^{"time":"[^"]+","level":"%l+","msg":".*}$') end
    assert.equal(0, o.stop "INT")
    local t = operator "--log-format text"
    for line in t.err():gmatch "[^\n]+" do assert.is_truthy(line:find "^%d+%-%S+Z %l+ +%S") end
    assert.equal(0, t.stop "TERM")
  end)

  it("E1: of two with one lease only one leads; the other follows when the first gives it back", function()
    local a = operator()
    assert.is_truthy(logged(a, '"leading"'))
    local b = operator()
    assert.is_truthy(logged(b, "all kinds were read"))
    os.execute "sleep 2.5"
    assert.is_nil(b.err():find('"leading"', 1, true))
    assert.equal(0, a.stop "TERM")
    assert.is_truthy(logged(b, '"leading"'), b.err())
    assert.equal(0, b.stop "TERM")
  end)

  it("reads its scripts again on SIGHUP", function()
    local o = operator()
    os.execute("kill -HUP " .. o.pid)
    assert.is_truthy(logged(o, "scripts are read again"))
    assert.is_true(app.alive(o.pid))
    assert.equal(0, o.stop "TERM")
  end)

  it("swaps scripts of --lua-dir when they are saved; a broken one leaves the old ones running", function()
    local dir = app.folder() .. "/scripts"
    app.shell(("mkdir -p %s/lib && cp lua/lib/reasons.lua %s/lib"):format(dir, dir))
    local o = operator("--lua-dir " .. dir)
    assert.is_truthy(logged(o, "scripts active"))
    local _, first = o.get "/debug/scripts"
    app.shell(("echo '-- saved' >> %s/lib/reasons.lua"):format(dir))
    local function generation(text) return text:match '"generation": "(%x+)"' end
    local second
    assert.is_true(app.wait(6, function()
      second = select(2, o.get "/debug/scripts")
      return generation(second) ~= generation(first)
    end))
    app.shell(("echo 'return +' >> %s/lib/reasons.lua"):format(dir))
    os.execute "sleep 1.5"
    assert.equal(generation(second), generation(select(2, o.get "/debug/scripts")))
    assert.is_true(app.alive(o.pid))
    assert.equal(0, o.stop "TERM")
  end)

  it("refuses an address that it can not listen on", function()
    local port = p.connect:match ":(%d+)$"
    local code, _, err = app.run(("run --kubeconfig %s --listen 127.0.0.1:%s"):format(p.kubeconfig, port))
    assert.equal(1, code)
    assert.is_truthy(err:find("--listen 127.0.0.1:" .. port, 1, true), err)
  end)
end)
