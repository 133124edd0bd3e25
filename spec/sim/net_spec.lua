-- The simulated network: endings of http.h under every fault.
local sim = require "spec.support.apisim"
local C, ffi = sim.C, sim.ffi
local CM = "/api/v1/namespaces/default/configmaps"

describe("the simulated network", function()
  local s, net, http, keep
  before_each(function()
    s, keep = sim.new(), {}
    local conf = ffi.new "struct net_conf"
    conf.loop, conf.latency_min_ms, conf.latency_max_ms = s.loop, 5, 5
    C.rng_seed(conf.rng, 1)
    net = C.net_new(conf)
    C.net_serve_api(net, "apisim", s.api)
    http = C.net_http_new(net, "client")
  end)
  after_each(function()
    if http ~= nil then C.net_http_free(http) end
    C.net_free(net)
    s:close()
    for _, cb in ipairs(keep) do cb:free() end
  end)

  local function cb(kind, fn)
    local c = ffi.cast(kind, fn)
    keep[#keep + 1] = c
    return c
  end
  local function send(method, path, opts)
    opts = opts or {}
    local r = { chunks = {}, ends = 0 }
    local call = ffi.new "struct http_call"
    call.method, call.url = method, "https://" .. (opts.host or "apisim") .. path
    call.body, call.body_len = opts.body, opts.body and #opts.body or 0
    call.content_type = opts.type or "application/json"
    call.total_ms, call.idle_ms, call.max_body = opts.total or 1000, opts.idle or 0, opts.max or 0
    call.on_head = cb("void (*)(void *, const struct http_head *)", function(_, h) r.status = h.status end)
    if opts.stream then
      call.on_body = cb("int (*)(void *, const char *, size_t, struct err *)", function(_, b, n)
        r.chunks[#r.chunks + 1] = ffi.string(b, n)
        if opts.on_body then return opts.on_body(r) or 0 end
        return 0
      end)
    end
    local on_end = "void (*)(void *, const struct http_head *, const char *, size_t, const struct err *)"
    call.on_end = cb(on_end, function(_, h, b, n, e)
      r.ends = r.ends + 1
      r.body, r.error, r.message, r.head = ffi.string(b, n), tonumber(e.code), ffi.string(e.msg), h ~= nil
    end)
    r.req = C.http_send(http, call)
    return r
  end
  local function script(kind, fault, more)
    local v = ffi.new "struct net_verdict"
    v.fault = fault
    for k, x in pairs(more or {}) do v[k] = x end
    C.net_script(net, kind, 0, v)
  end

  it("never calls back before send returned, and needs one latency each way", function()
    local r = send("GET", CM)
    assert.equal(0, r.ends)
    s:run(9)
    assert.equal(0, r.ends)
    s:run(1)
    assert.equal(1, r.ends)
    assert.equal(200, r.status)
    assert.equal(C.ERR_NONE, r.error)
    assert.equal("ConfigMapList", sim.decode(r.body).kind)
    assert.equal(0, tonumber(C.net_in_flight(net)))
  end)

  it("does not know hosts that nobody serves", function()
    local r = send("GET", "/", { host = "nowhere:2379" })
    s:run(20)
    assert.equal(C.ERR_UNAVAILABLE, r.error)
    assert.is_false(r.head)
  end)

  it("refuses without the server seeing it", function()
    script(C.NET_AT_REQUEST, C.NET_REFUSE)
    local r = send("POST", CM, { body = '{"metadata":{"name":"a"}}' })
    s:run(50)
    assert.equal(C.ERR_UNAVAILABLE, r.error)
    assert.equal(404, (s:send("GET", CM .. "/a")))
  end)

  it("loses an answer after the server acted: a timeout with unknown outcome", function()
    script(C.NET_AT_ANSWER, C.NET_HANG)
    local r = send("POST", CM, { body = '{"metadata":{"name":"a"}}', total = 100 })
    s:run(99)
    assert.equal(0, r.ends)
    s:run(1)
    assert.equal(C.ERR_TIMEOUT, r.error)
    assert.equal(200, (s:send("GET", CM .. "/a")))
  end)

  it("loses a request on its way", function()
    script(C.NET_AT_REQUEST, C.NET_HANG)
    local r = send("POST", CM, { body = '{"metadata":{"name":"a"}}', total = 100 })
    s:run(100)
    assert.equal(C.ERR_TIMEOUT, r.error)
    assert.equal(404, (s:send("GET", CM .. "/a")))
  end)

  it("answers in place of the server", function()
    script(C.NET_AT_REQUEST, C.NET_STATUS, { status = 429, retry_after_s = 3 })
    local r = send("GET", CM)
    s:run(50)
    assert.equal(429, r.status)
    assert.equal(C.ERR_NONE, r.error)
  end)

  it("carries a request out twice", function()
    script(C.NET_AT_REQUEST, C.NET_DUPLICATE)
    local r = send("POST", CM, { body = '{"metadata":{"generateName":"a-"}}' })
    s:run(50)
    assert.equal(201, r.status)
    assert.equal(1, r.ends)
    local _, list = s:send("GET", CM)
    assert.equal(2, #list.items)
  end)

  it("cuts an answer at any byte", function()
    script(C.NET_AT_ANSWER, C.NET_RESET, { cut_at = 7 })
    local r = send("GET", CM, { stream = true })
    s:run(50)
    assert.equal('{"kind"', table.concat(r.chunks))
    assert.equal(C.ERR_UNAVAILABLE, r.error)
    assert.equal(1, r.ends)
  end)

  it("hands bytes over in pieces", function()
    script(C.NET_AT_ANSWER, C.NET_PASS, { piece = 3 })
    local r = send("GET", CM, { stream = true })
    s:run(50)
    assert.is_true(#r.chunks > 10)
    assert.equal(3, #r.chunks[1])
    assert.equal("ConfigMapList", sim.decode(table.concat(r.chunks)).kind)
  end)

  it("streams a watch, and cuts it in the middle of an event", function()
    local r = send("GET", CM .. "?watch=1", { stream = true, idle = 1000 })
    s:run(10)
    assert.equal(200, r.status)
    s:send("POST", CM, '{"metadata":{"name":"a"}}')
    s:run(6)
    assert.equal(1, #r.chunks)
    script(C.NET_AT_CHUNK, C.NET_RESET, { cut_at = 10 })
    s:send("POST", CM, '{"metadata":{"name":"b"}}')
    s:run(20)
    assert.equal('{"type":"A', r.chunks[2])
    assert.equal(C.ERR_UNAVAILABLE, r.error)
    assert.equal(0, tonumber(C.apisim_watches(s.api)))
  end)

  it("ends a silent stream by its idle time, and a stream cut on request", function()
    local r = send("GET", CM .. "?watch=1", { stream = true, idle = 300 })
    s:run(309)
    assert.equal(0, r.ends)
    s:run(2)
    assert.equal(C.ERR_TIMEOUT, r.error)
    r = send("GET", CM .. "?watch=1", { stream = true, idle = 300 })
    s:run(20)
    C.net_cut_streams(net, "someone-else")
    s:run(20)
    assert.equal(0, r.ends)
    C.net_cut_streams(net, "client")
    s:run(20)
    assert.equal(C.ERR_UNAVAILABLE, r.error)
  end)

  it("can be cancelled at any moment, after which nothing is called; what was sent still arrives", function()
    for ms = 0, 12 do
      local name = "c" .. ms
      local r = send("POST", CM, { body = '{"metadata":{"name":"' .. name .. '"}}' })
      s:run(ms)
      local ends = r.ends
      if ends == 0 then C.http_cancel(http, r.req) end
      s:run(100)
      assert.equal(ends, r.ends)
      assert.equal(200, (s:send("GET", CM .. "/" .. name)))
    end
    assert.equal(0, tonumber(C.net_in_flight(net)))
  end)

  it("ends with the error of the body callback", function()
    local r = send("GET", CM .. "?watch=1", { stream = true, idle = 300, on_body = function() return 1 end })
    s:send("POST", CM, '{"metadata":{"name":"a"}}')
    s:run(50)
    assert.equal(1, r.ends)
    assert.equal(0, tonumber(C.apisim_watches(s.api)))
  end)

  it("a client that crashes hears nothing, but its write arrives", function()
    local r = send("POST", CM, { body = '{"metadata":{"name":"a"}}' })
    local w = send("GET", CM .. "?watch=1", { stream = true, idle = 300 })
    s:run(1)
    C.net_http_free(http)
    http = nil
    s:run(1000)
    assert.equal(0, r.ends + w.ends)
    assert.equal(200, (s:send("GET", CM .. "/a")))
    assert.equal(0, tonumber(C.net_in_flight(net)))
  end)

  it("refuses answers above max_body", function()
    local r = send("GET", CM, { max = 5 })
    s:run(50)
    assert.equal(C.ERR_TOO_LARGE, r.error)
  end)
end)
