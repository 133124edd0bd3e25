-- The simulated server behind HTTPS, asked by a client of its own process.
local sim = require "spec.support.apisim"
local core = require "spec.support.core"
local C, ffi = core.load("sim/apiserve.h", "wire/loop_event.h"), sim.ffi

describe("the simulated server behind HTTPS", function()
  local loop, api, serve, ca
  before_each(function()
    local err, conf = ffi.new "struct err", ffi.new "struct apisim_conf"
    loop = C.loop_event_new()
    conf.loop = loop
    C.rng_seed(conf.rng, 1)
    api = C.apisim_new(conf)
    serve = C.apiserve_new(loop, api, "127.0.0.1", 0, err)
    assert.is_true(serve ~= nil, ffi.string(err.msg))
    ca = os.tmpname()
    local f = assert(io.open(ca, "w"))
    f:write(ffi.string(C.apiserve_ca(serve)))
    f:close()
  end)
  after_each(function()
    C.apiserve_free(serve)
    C.apisim_free(api)
    C.loop_event_free(loop)
    os.remove(ca)
  end)

  -- Starts the client beside us, runs the loop until it wrote its last line, returns what it got.
  local function curl(arguments, during)
    local out = os.tmpname()
    local url = ("https://127.0.0.1:%d"):format(C.apiserve_port(serve))
    local command = "(env -u LD_PRELOAD curl -sN -m 5 --cacert %s -H 'Authorization: Bearer ann' %s > %s 2>&1; " ..
      "echo DONE >> %s) &"
    os.execute(command:format(ca, arguments:gsub("URL", url), out, out))
    local text = ""
    for _ = 1, 60 do
      C.loop_event_run_for(loop, 50)
      local f = assert(io.open(out))
      text = f:read "*a"
      f:close()
      if during then during(text) end
      if text:find "DONE" then break end
    end
    os.remove(out)
    return text
  end

  it("answers over TLS that its own CA proves", function()
    assert.is_truthy(curl("URL/version"):find('"gitVersion":"v1.36.3"', 1, true))
  end)

  it("takes bodies and keeps the token's text as the field manager's user", function()
    local text = curl([[-X POST -H 'User-Agent: tool/1' -d '{"metadata":{"name":"a"},"data":{"x":"1"}}' ]] ..
      "URL/api/v1/namespaces/default/configmaps")
    assert.is_truthy(text:find('"manager":"tool"', 1, true))
  end)

  it("streams a watch as things happen, and forgets it when the client goes", function()
    local made = false
    local text = curl("-m 1 'URL/api/v1/namespaces?watch=1'", function(so_far)
      if not made and so_far:find('"name":"default"', 1, true) then
        made = true
        assert.is_nil(so_far:find("fresh", 1, true))
        C.apisim_do(api, "POST", "/api/v1/namespaces", '{"metadata":{"name":"fresh"}}', nil, nil, nil)
      end
    end)
    assert.is_true(made)
    assert.is_truthy(text:find('{"type":"ADDED","object":{"metadata":{"name":"fresh"', 1, true), text)
    C.loop_event_run_for(loop, 100)
    assert.equal(0, tonumber(C.apisim_watches(api)))
  end)

  it("writes a kubeconfig that names server, CA and user", function()
    local b = ffi.new "struct buf"
    C.buf_init(b, 0)
    C.apiserve_kubeconfig(serve, "ann", b)
    local text = ffi.string(b.at)
    C.buf_fini(b)
    assert.is_truthy(text:find("server: https://127.0.0.1:" .. C.apiserve_port(serve), 1, true))
    assert.is_truthy(text:find("token: ann", 1, true))
  end)
end)
