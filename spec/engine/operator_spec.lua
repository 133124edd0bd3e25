local core = require "support.core"
local kube = require "kube.support"
local ffi = core.ffi
local C = core.load("format/yaml.h", "sim/loop_sim.h", "sim/apisim.h", "sim/net.h", "engine/operator_priv.h", "pd/pdview_priv.h")
pcall(ffi.cdef, "void *malloc(size_t); char *strdup(const char *);")

local PASS = [[
local M = {}
local function notes(o) return o.metadata.annotations or {} end
function M.check() return true end
function M.needs(o) return json.decode(notes(o).needs or "[]") end
function M.run(w)
  if notes(w.object).fail then error(notes(w.object).fail) end
  local status = json.decode(notes(w.object).status or "{}")
  return { actions = json.array {}, verdict = { kind = "wait", step = "s", reason = "R", message = "m" },
    status = status, pd_busy = notes(w.object).busy and true or nil }
end
return M
]]

---@class OpRig
local Rig = {}
Rig.__index = Rig
local current ---@type OpRig

-- FFI callbacks are few: one each for the whole file.
local read_dir = ffi.cast("int (*)(void *, const char *, struct vm_source **, size_t *, struct err *)",
  function(_, _, out, n)
    local list = ffi.cast("struct vm_source *", ffi.C.malloc(ffi.sizeof("struct vm_source")))
    list[0].name, list[0].path = ffi.C.strdup("lib.pass"), ffi.C.strdup("spec/pass.lua")
    list[0].text, list[0].len = ffi.C.strdup(PASS), #PASS
    out[0], n[0] = list, 1
    return 0
  end)
local in_child = ffi.cast(
  "int (*)(void *, int (*)(void *, struct buf *), void *, struct buf *, struct err *)",
  function(_, fn, arg, out) return fn(arg, out) end)
local on_lost = ffi.cast("void (*)(void *, const char *)", function(_, why)
  current.lost[#current.lost + 1] = ffi.string(why)
end)
local on_stopped = ffi.cast("void (*)(void *)", function() current.stopped = (current.stopped or 0) + 1 end)
local cost = ffi.cast("int64_t (*)(void *)", function() return 0 end)

local function id_of(h) return tonumber(ffi.cast("uintptr_t", ffi.cast("void *", h))) end

-- The transport: the simulated network, with an ear in front of it that may turn requests away.
local ops = ffi.new("struct http_ops")
ops.send = function(h, call)
  local url, who = ffi.string(call.url), current.who[id_of(h)]
  local seen = { method = ffi.string(call.method), url = url, who = who.name, cred = id_of(call.cred),
    at = tonumber(C.loop_now(current.loop)) }
  current.requests[#current.requests + 1] = seen
  local c = ffi.new("struct http_call", call[0])
  if current.refuse and current.refuse(seen) then c.url = "https://nowhere:1/" end
  return who.real.ops.send(who.real, c)
end
ops.cancel = function(h, q)
  local who = current.who[id_of(h)]
  who.real.ops.cancel(who.real, q)
end

local on_pd = ffi.cast("net_handler_fn *", function(_, input, out)
  current.pd_requests[#current.pd_requests + 1] = ffi.string(input.host) .. ffi.string(input.path)
  out.status, out.content_type = 503, "text/plain"
end)

local function rig()
  local r = setmetatable({ lost = {}, requests = {}, who = {}, operators = {}, pd_requests = {} }, Rig)
  current = r
  r.loop = C.loop_sim_new(1767225600000)
  local ac = ffi.new("struct apisim_conf", { loop = r.loop })
  C.rng_seed(ac.rng, 5)
  r.api = C.apisim_new(ac)
  local nc = ffi.new("struct net_conf", { loop = r.loop, latency_min_ms = 1, latency_max_ms = 3 })
  C.rng_seed(nc.rng, 6)
  r.net = C.net_new(nc)
  C.net_serve_api(r.net, "k8s*", r.api)
  C.net_serve(r.net, "*-pd*", on_pd, nil)
  for _, kind in ipairs { "clusters", "pdgroups", "pds", "tikvgroups", "tikvs" } do
    local f = assert(io.open("crds/" .. kind .. ".yaml"))
    local text = f:read("*a")
    f:close()
    local list = C.yaml_parse(kind, text, #text, nil, nil)
    local s = C.json_string(list)
    local json = ffi.string(s):sub(2, -2)
    ffi.C.free(s)
    C.json_free(list)
    r:make("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json)
  end
  for _, ns in ipairs { "ns", "tikv-system" } do
    r:make("/api/v1/namespaces", kube.encode { apiVersion = "v1", kind = "Namespace", metadata = { name = ns } })
  end
  return r
end

function Rig:ask(method, path, body, kind)
  local answer = ffi.new("char *[1]")
  local status = C.apisim_do(self.api, method, path, body, kind or "application/json", "spec", answer)
  local text = answer[0] ~= nil and ffi.string(answer[0]) or ""
  ffi.C.free(answer[0])
  return status, text
end

function Rig:make(path, body)
  local status, text = self:ask("POST", path, body)
  assert(status == 201, text)
  return text
end

local function tikv_body(name, notes)
  return kube.encode { apiVersion = "core.tikv.org/v1alpha1", kind = "TiKV",
    metadata = { name = name, namespace = "ns", annotations = notes },
    spec = { cluster = { name = "c" }, subdomain = "s", volumes = kube.list {} } }
end

local TIKVS = "/apis/core.tikv.org/v1alpha1/namespaces/ns/tikvs"
function Rig:tikv(name, notes) return self:make(TIKVS, tikv_body(name, notes)) end

function Rig:phase(name)
  local _, text = self:ask("GET", TIKVS .. "/" .. name)
  return kube.at(text, "status.phase")
end

function Rig:operator(name, over)
  local o = { name = name, real = C.net_http_new(self.net, name), http = ffi.new("struct http[1]") }
  o.http[0].ops = ops
  self.who[id_of(o.http)] = o
  o.metrics = ffi.gc(C.metrics_new(), C.metrics_free)
  local c = ffi.new("struct operator_conf", { loop = self.loop, http = o.http, server = "https://k8s:6443",
    ns = "tikv-system", identity = name, lua_dir = "spec", read_dir = read_dir, in_child = in_child, seed = 9,
    metrics = o.metrics, on_lost = on_lost, cost_us = cost })
  for k, v in pairs(over or {}) do c[k] = v end
  local e = ffi.new("struct err")
  o.op = C.operator_new(c, e)
  assert(o.op ~= nil, ffi.string(e.msg))
  self.operators[#self.operators + 1] = o
  C.operator_start(o.op)
  return o
end

function Rig:kill(o)
  C.operator_free(o.op)
  C.net_http_free(o.real)
  o.op = nil
end

function Rig:run(ms) C.loop_sim_run_for(self.loop, ms) end

function Rig:free()
  for _, o in ipairs(self.operators) do if o.op then self:kill(o) end end
  C.net_free(self.net)
  C.apisim_free(self.api)
  C.loop_sim_free(self.loop)
end

---How many requests since `from` match.
function Rig:sent(pattern, who, from)
  local n = 0
  for i = from or 1, #self.requests do
    local q = self.requests[i]
    if (q.method .. " " .. q.url):find(pattern) and (not who or q.who == who) then n = n + 1 end
  end
  return n
end

local function page(o, path)
  local tree = C.operator_debug(o.op, path)
  if tree == nil then return nil end
  local s = C.json_string(tree)
  local text = ffi.string(s)
  ffi.C.free(s)
  C.json_free(tree)
  return text
end

local function ready(o)
  local why = ffi.new("const char *[1]")
  local yes = C.operator_ready(o.op, why)
  return yes, ffi.string(why[0])
end

local PLURAL = { Cluster = "clusters", PDGroup = "pdgroups", TiKVGroup = "tikvgroups" }
local STATUS = kube.encode { phase = "Starting" }

describe("operator", function()
  local r
  before_each(function() r = rig() end)
  after_each(function() r:free() end)

  it("reads everything, takes the lease, and carries out what its scripts decide", function()
    local o = r:operator("one")
    r:tikv("a", { status = STATUS })
    r:run(5000)
    assert.is_true(C.operator_leading(o.op))
    assert.is_true(C.operator_synced(o.op))
    assert.is_true(ready(o))
    assert.equal("Starting", r:phase("a"))
    assert.equal(1, C.metric_value(o.metrics, "tikv_operator_leader", ""))
    assert.equal(1, C.metric_value(o.metrics, "tikv_operator_store_objects", 'kind="TiKV"'))
    assert.equal(1, r:sent("PATCH .*/tikvs/a/status"))
    r:run(600000)
    assert.equal(1, r:sent("PATCH .*/tikvs/a/status")) -- quiet
    assert.same({}, r.lost)
  end)

  it("Q5: no pass before every kind was read, and the end after two minutes", function()
    r.refuse = function(q) return q.url:find("/pods", 1, true) end
    local o = r:operator("one")
    r:tikv("a", { status = STATUS })
    r:run(110000)
    assert.is_false(C.operator_synced(o.op))
    local yes, why = ready(o)
    assert.is_false(yes)
    assert.truthy(why:find("pods", 1, true), why)
    assert.is_nil(r:phase("a"))
    assert.same({}, r.lost)
    r:run(20000)
    assert.equal(1, #r.lost)
    assert.truthy(r.lost[1]:find("pods", 1, true))
    assert.is_nil(r:phase("a"))
  end)

  it("R3: every first list is a quorum read, so a new process sees no older view than one acted on", function()
    r:operator("one")
    r:run(3000)
    local lists = 0
    for _, q in ipairs(r.requests) do
      if q.url:find("sendInitialEvents=true", 1, true) or q.url:find("limit=", 1, true) then
        lists = lists + 1
        local rv = q.url:match("[?&]resourceVersion=([^&]*)")
        assert.is_true(rv == nil or rv == "", q.url)
      end
    end
    assert.is_true(lists >= 15)
  end)

  it("E5: a lost lease stops all writing and ends the process, before another may lead", function()
    local o = r:operator("one")
    r:tikv("a", { status = STATUS })
    r:run(5000)
    r.refuse = function(q) return q.url:find("/leases", 1, true) end
    r:run(4000)
    assert.same({}, r.lost)
    r:run(7000)
    assert.equal(1, #r.lost)
    local n = #r.requests
    r:tikv("b", { status = STATUS })
    r:run(60000)
    assert.is_nil(r:phase("b"))
    assert.equal(0, r:sent("PATCH ", nil, n + 1))
    assert.is_false(C.operator_leading(o.op))
    assert.equal(0, C.metric_value(o.metrics, "tikv_operator_leader", ""))
  end)

  it("E5 E10: nothing is sent that could outlive the lease", function()
    local o = r:operator("one")
    r:run(5000)
    assert.is_true(C.operator_may_write(o.op))
    r.refuse = function(q) return q.url:find("/leases", 1, true) end
    r:run(5200) -- still held, but for less than a request may take
    assert.same({}, r.lost)
    assert.is_true(C.operator_leading(o.op))
    assert.is_false(C.operator_may_write(o.op))
    local n = #r.requests
    r:tikv("a", { status = STATUS })
    r:run(1500)
    assert.equal(0, r:sent("PATCH .*/tikvs/", nil, n + 1))
    r.refuse = nil
    r:run(3000) -- renewed in time: it goes on by itself
    assert.equal("Starting", r:phase("a"))
    assert.same({}, r.lost)
  end)

  it("a second operator waits, warm, and leads at once after a graceful stop", function()
    local one = r:operator("one")
    r:run(3000)
    local two = r:operator("two")
    r:tikv("a", { status = STATUS })
    r:run(10000)
    assert.is_false(C.operator_leading(two.op))
    assert.is_true(ready(two))
    assert.equal(0, r:sent("PATCH .*/tikvs/", "two"))
    C.operator_stop(one.op, on_stopped, nil)
    r:run(4000)
    assert.equal(1, r.stopped)
    assert.is_true(C.operator_leading(two.op))
    r:tikv("b", { status = STATUS })
    r:run(1000)
    assert.equal("Starting", r:phase("b"))
    assert.equal(1, r:sent("PATCH .*/tikvs/b", "two"))
    assert.equal(0, r:sent("PATCH .*/tikvs/b", "one"))
  end)

  it("a crash sends nothing; a successor leads once the lease ran out", function()
    local one = r:operator("one")
    r:tikv("a", { status = STATUS })
    r:run(5000)
    local n = #r.requests
    r:kill(one)
    r:run(1000)
    assert.equal(n, #r.requests)
    local two = r:operator("two")
    r:run(10000)
    assert.is_false(C.operator_leading(two.op))
    r:run(15000)
    assert.is_true(C.operator_leading(two.op))
  end)

  it("in one namespace nodes are unknown, not absent", function()
    local o = r:operator("one", { watch_ns = "ns" })
    r:tikv("a", { needs = kube.encode { { as = "node", kind = "Node", name = "n1" } } })
    r:run(5000)
    assert.equal(0, r:sent("/nodes"))
    assert.equal(0, r:sent("/api/v1/pods"))
    assert.truthy(kube.at(page(o, "pass/TiKV/ns/a"), "world.unknown.node"):find("one namespace", 1, true))
    assert.equal("true", kube.at(page(o, "pass/TiKV/ns/a"), "world.operator.namespaced"))
  end)

  it("reads a further kind once a pass asks for it, and looks again when it is there", function()
    local o = r:operator("one")
    r:run(3000)
    assert.equal(0, r:sent("/resourcequotas"))
    r:tikv("a", { needs = kube.encode { { as = "quotas", kind = "ResourceQuota" } } })
    r:run(1000)
    assert.is_true(r:sent("/resourcequotas") > 0)
    assert.equal("[]", kube.at(page(o, "pass/TiKV/ns/a"), "world.quotas"))
  end)

  it("never reads Secrets except the one of a TLS cluster", function()
    r:operator("one")
    r:tikv("a", { needs = kube.encode { { as = "s", kind = "Secret" } } })
    r:run(10000)
    assert.equal(0, r:sent("/secrets"))
  end)

  it("read-only: everything is read and decided, nothing written", function()
    local o = r:operator("one", { no_lease = true, read_only = true })
    r:tikv("a", { status = STATUS })
    r:tikv("bad", { fail = "boom" }) -- not even an Event
    r:run(5000)
    local dry = C.ctl_dry_run(C.operator_ctl(o.op), C.KIND_TIKV, "ns", "a", nil)
    assert.is_true(dry ~= nil)
    C.json_free(dry)
    for _, q in ipairs(r.requests) do assert.equal("GET", q.method) end
    assert.is_nil(r:phase("a"))
  end)

  describe("PD", function()
    local CLUSTERS = "/apis/core.tikv.org/v1alpha1/namespaces/ns/clusters"
    local MERGE = "application/merge-patch+json"
    local function cluster(tls)
      r:make(CLUSTERS, kube.encode { apiVersion = "core.tikv.org/v1alpha1", kind = "Cluster",
        metadata = { name = "c", namespace = "ns" }, spec = tls and { tlsCluster = { enabled = true } } or {} })
      local status, text = r:ask("PATCH", CLUSTERS .. "/c/status",
        kube.encode { status = { pd = (tls and "https" or "http") .. "://basic-pd.ns:2379" } },
        "application/merge-patch+json")
      assert(status == 200, text)
    end

    it("is asked once a Cluster says where it is, and not after the Cluster is gone", function()
      local o = r:operator("one")
      r:run(3000)
      assert.equal(0, #r.pd_requests)
      cluster()
      r:run(30000)
      assert.is_true(#r.pd_requests > 0)
      assert.truthy(page(o, "pd/ns/c"))
      assert.is_nil(page(o, "pd/ns/d"))
      r:ask("DELETE", CLUSTERS .. "/c")
      r:run(1000)
      local n = #r.pd_requests
      r:run(60000)
      assert.equal(n, #r.pd_requests)
      assert.is_nil(page(o, "pd/ns/c"))
    end)

    -- U-86
    it("with TLS is asked only when the certificates are here", function()
      r:operator("one")
      cluster(true)
      r:run(30000)
      assert.equal(0, #r.pd_requests)
      assert.is_true(r:sent("/secrets/c%-cluster%-client%-secret") > 0)
      r:make("/api/v1/namespaces/ns/secrets", kube.encode { apiVersion = "v1", kind = "Secret",
        metadata = { name = "c-cluster-client-secret", namespace = "ns" },
        data = { ["ca.crt"] = "Y2E=", ["tls.crt"] = "Y3J0", ["tls.key"] = "a2V5" } })
      r:run(30000)
      assert.is_true(#r.pd_requests > 0)
    end)

    -- W-18, E-90, U-83, U-88 (told in manifests/README.md)
    it("is spoken to with the new certificate soon after its Secret changed, without a restart of ours", function()
      local SECRET = "/api/v1/namespaces/ns/secrets/c-cluster-client-secret"
      r:operator("one")
      cluster(true)
      r:make("/api/v1/namespaces/ns/secrets", kube.encode { apiVersion = "v1", kind = "Secret",
        metadata = { name = "c-cluster-client-secret", namespace = "ns" },
        data = { ["ca.crt"] = "Y2E=", ["tls.crt"] = "Y3J0", ["tls.key"] = "a2V5" } })
      r:run(30000)
      local function used()
        for n = #r.requests, 1, -1 do
          if r.requests[n].url:find "^https://basic%-pd" then return r.requests[n].cred end
        end
      end
      local first = assert(used())
      r:run(30000)
      assert.equal(first, used())
      local status = r:ask("PATCH", SECRET, kube.encode { data = { ["tls.crt"] = "bmV3" } }, MERGE)
      assert.equal(200, status)
      r:run(330000)
      assert.is_true(used() ~= first)
    end)

    local function annotate(notes)
      local status, text = r:ask("PATCH", CLUSTERS .. "/c", kube.encode { metadata = { annotations = notes } }, MERGE)
      assert(status == 200, text)
    end

    it("of a Cluster that another installation looks after is read only, and one voice says so (G1)", function()
      local o = r:operator("one")
      cluster()
      annotate { ["core.tikv.org/operator"] = "elsewhere/tikv-operator" }
      r:tikv("a", { status = STATUS })
      r:run(40000)
      assert.is_nil(r:phase("a"))
      assert.equal(0, r:sent("PATCH .*/tikvs/a"))
      assert.is_true(C.metric_value(o.metrics, "tikv_operator_guard_refusals_total", 'rule="G1"') > 0)
      assert.equal(1, r:sent("POST .*/events")) -- on the Cluster
      annotate { ["core.tikv.org/operator"] = "tikv-system/tikv-operator" }
      r:run(40000)
      assert.equal("Starting", r:phase("a"))
    end)

    it("is held to what objects and disks say of its stores (G8)", function()
      local ID = "7710367791441466003"
      cluster()
      r:ask("PATCH", CLUSTERS .. "/c/status", kube.encode { status = { id = ID } }, MERGE)
      for name, status in pairs { up = { id = "1", storeState = "Up" }, down = { id = "2", storeState = "Down" },
        goes = { id = "3", storeState = "Offline" }, other = { id = "4", storeState = "Up", clusterID = "5" },
        none = {} } do
        r:tikv(name)
        status.clusterID = status.clusterID or ID
        r:ask("PATCH", TIKVS .. "/" .. name .. "/status", kube.encode { status = status }, MERGE)
      end
      for name, id in pairs { kept = ID, old = "5" } do
        r:make("/api/v1/namespaces/ns/persistentvolumeclaims", kube.encode { apiVersion = "v1",
          kind = "PersistentVolumeClaim", metadata = { name = name, namespace = "ns",
            annotations = { ["core.tikv.org/removed-stores"] = name == "kept" and "8,9" or "1" },
            labels = { ["core.tikv.org/cluster"] = "c", ["core.tikv.org/cluster-id"] = id,
              ["app.kubernetes.io/managed-by"] = "tikv-operator" } },
          spec = { accessModes = kube.list { "ReadWriteOnce" }, resources = { requests = { storage = "1Gi" } } } })
      end
      local o = r:operator("one")
      r:run(3000)
      local text = C.json_string(C.pds_view(o.op, "ns", "c").recorded)
      local recorded = ffi.string(text)
      ffi.C.free(text)
      local list = {}
      for id, lives in recorded:gmatch '"(%d+)":(%l+)' do list[#list + 1] = id .. " " .. lives end
      table.sort(list)
      assert.same({ "1 true", "2 true", "8 false", "9 false" }, list)
    end)

    it("and the breaker hear a person's word, once (G8, G9)", function()
      local o = r:operator("one")
      cluster()
      r:run(3000)
      local subject = ffi.new("struct guard_subject",
        { object = C.store_get(C.feed_peek(o.op, C.KIND_CLUSTER), "ns", "c"), cluster = "c" })
      local action = ffi.new("struct action", { kind = C.ACTION_DELETE, of = C.KIND_POD, name = "a" })
      local function open() return ffi.string(C.guard_breaker(o.op.guard, "ns", "c")) ~= "" end
      C.guard_note(o.op.guard, subject, action, false)
      annotate { ["core.tikv.org/confirm"] = "history" }
      r:run(1000)
      assert.is_true(open())
      annotate { ["core.tikv.org/confirm"] = "breaker" }
      r:run(1000)
      assert.is_false(open())
      subject.object = C.store_get(C.feed_peek(o.op, C.KIND_CLUSTER), "ns", "c")
      C.guard_note(o.op.guard, subject, action, false)
      annotate { x = "y" }
      r:run(1000)
      assert.is_true(open())
    end)

    -- W-16
    it("down never stops a pass: it is unknown, with a reason", function()
      local o = r:operator("one")
      cluster()
      r:tikv("a", { status = STATUS, needs = kube.encode { { as = "pd", pd = "c" }, { as = "no", pd = "d" } } })
      r:run(20000)
      assert.equal("Starting", r:phase("a"))
      r:tikv("b", { needs = kube.encode { { as = "pd", pd = "c" }, { as = "no", pd = "d" } } })
      r:run(1000)
      local pass = page(o, "pass/TiKV/ns/b")
      assert.equal("false", kube.at(pass, "world.pd.known"))
      assert.truthy(kube.at(pass, "world.pd.reason"))
      assert.equal("no PD yet", kube.at(pass, "world.no.reason"))
    end)
  end)

  describe("sources", function()
    local CONFIGMAPS = "/api/v1/namespaces/ns/configmaps"
    local function policy(name, text)
      r:make(CONFIGMAPS, kube.encode { apiVersion = "v1", kind = "ConfigMap", data = { ["p.lua"] = text },
        metadata = { name = name, namespace = "ns", labels = { ["tikv.org/policy"] = "" } } })
    end
    local function note(name, key)
      local _, text = r:ask("GET", CONFIGMAPS .. "/" .. name)
      return kube.at(text, "metadata.annotations.tikv\\.org/policy-" .. key)
    end

    it("a policy that does not compile is told so on its ConfigMap, with the line, once", function()
      r:operator("one")
      r:run(3000)
      policy("bad", "local P = {}\nthis is no Lua\nreturn P")
      r:run(5000)
      assert.equal("rejected", note("bad", "state"))
      assert.truthy(note("bad", "reason"):find(":2:", 1, true), note("bad", "reason"))
      local n = #r.requests
      r:run(60000)
      assert.equal(0, r:sent("/configmaps/bad", nil, n + 1))
    end)

    it("nothing is written on it by an operator that does not lead, but once it leads", function()
      local one = r:operator("one")
      r:run(3000)
      local two = r:operator("two")
      r:run(3000)
      C.operator_stop(one.op, on_stopped, nil)
      policy("bad", "this is no Lua")
      r:run(30000)
      assert.is_true(C.operator_leading(two.op))
      assert.equal("rejected", note("bad", "state"))
      assert.equal(0, r:sent("PATCH .*/configmaps/bad", "one"))
      assert.equal(1, r:sent("PATCH .*/configmaps/bad", "two"))
    end)
  end)

  it("with the shipped scripts makes the objects of a cluster, each once, and is quiet then", function()
    local nothing = ffi.cast("void *", nil)
    r:operator("one", { lua_dir = ffi.cast("const char *", nothing), read_dir = nothing, in_child = nothing })
    for _, file in ipairs { "examples/basic/cluster.yaml" } do
      local f = assert(io.open(file))
      local text = f:read("*a")
      f:close()
      local list = C.yaml_parse(file, text, #text, nil, nil)
      local s = C.json_string(list)
      local json = ffi.string(s)
      ffi.C.free(s)
      C.json_free(list)
      for n = 0, 9 do
        local o = kube.at(json, "[" .. n .. "]")
        local plural = o and PLURAL[kube.at(o, "kind")]
        if plural then r:make("/apis/core.tikv.org/v1alpha1/namespaces/default/" .. plural, o) end
      end
    end
    r:run(120000)
    for _, pod in ipairs { "pd-0", "pd-1", "pd-2", "tikv-0", "tikv-1", "tikv-2" } do
      assert.equal(200, (r:ask("GET", "/api/v1/namespaces/default/pods/basic-" .. pod)), pod)
      local name = "basic%-" .. pod:gsub("%-", "%%-")
      assert.equal(1, r:sent("PATCH .*/pods/" .. name))
      assert.equal(1, r:sent("PATCH .*/configmaps/" .. name))
      assert.equal(1, r:sent("PATCH .*/persistentvolumeclaims/data%-" .. name))
    end
    local n = #r.requests
    r:run(120000)
    for i = n + 1, #r.requests do
      local q = r.requests[i]
      assert.is_true(q.method == "GET" or q.url:find("/leases/", 1, true) ~= nil, q.method .. " " .. q.url)
    end
  end)

  it("shows passes, queue and stores on its pages", function()
    local o = r:operator("one")
    r:tikv("a", { status = STATUS })
    r:run(5000)
    assert.truthy(page(o, "passes"):find("TiKV/ns/a", 1, true))
    assert.equal("true", kube.at(page(o, "queue"), "leading"))
    assert.equal("streaming", kube.at(page(o, "stores"), "[kind=Pod].state"))
    assert.truthy(page(o, "scripts"))
    assert.is_nil(page(o, "nonsense"))
    assert.is_nil(page(o, "pass/TiKV/ns/none"))
  end)

  it("is healthy, also as a follower", function()
    local one = r:operator("one")
    r:run(3000)
    local two = r:operator("two")
    r:run(60000)
    assert.is_true(C.operator_healthy(one.op, nil))
    assert.is_true(C.operator_healthy(two.op, nil))
  end)

  it("two runs from the same seed send the same requests", function()
    local function trace()
      local one = rig()
      one:operator("one")
      for i = 1, 5 do one:tikv("kv" .. i, { status = STATUS }) end
      one:run(30000)
      local out = {}
      for i, q in ipairs(one.requests) do out[i] = q.at .. " " .. q.method .. " " .. q.url end
      one:free()
      return table.concat(out, "\n")
    end
    assert.equal(trace(), trace())
    current = r
  end)
end)
