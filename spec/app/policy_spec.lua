--- Policies and scripts in ConfigMaps: the whole way, with the binary and a playground.
local app = require "app.support"
local json = require "dkjson"

describe("policies and scripts in ConfigMaps", function()
  local p, o, server, token
  local GROUP = "/apis/core.tikv.org/v1alpha1/namespaces/default/tikvgroups/basic"
  local MAPS = "/api/v1/namespaces/default/configmaps"

  local function ask(method, path, body, kind)
    local file = body and app.write("body", json.encode(body))
    local command = "curl -sk -m 5 -X %s -H 'Authorization: Bearer %s' -H 'Content-Type: %s' %s '%s%s'"
    local _, out = app.shell(command:format(method, token, kind or "application/json",
      file and "--data-binary @" .. file or "", server, path))
    return json.decode(out) or {}
  end
  local function patch(path, body) return ask("PATCH", path, body, "application/merge-patch+json") end

  local function configmap(ns, name, label, data)
    local path = ("/api/v1/namespaces/%s/configmaps"):format(ns)
    local object = { apiVersion = "v1", kind = "ConfigMap", data = data,
      metadata = { name = name, namespace = ns, labels = { [label] = "true" } } }
    if ask("POST", path, object).code == 409 then patch(path .. "/" .. name, { data = data }) end
  end
  local function policy(name, text) configmap("default", name, "tikv.org/policy", { ["policy.lua"] = text }) end
  local function note(name, key, ns)
    local m = ask("GET", ("/api/v1/namespaces/%s/configmaps/%s"):format(ns or "default", name)).metadata or {}
    return (m.annotations or {})["tikv.org/policy-" .. key]
  end
  local function becomes(name, state, reason, ns)
    local got
    local function seen()
      got = tostring(note(name, "state", ns)) .. ": " .. tostring(note(name, "reason", ns))
      return got:find(state .. ": ", 1, true) == 1 and got:find(reason or "", 1, true)
    end
    assert.is_truthy(app.wait(8, seen), name .. " is " .. got)
  end
  -- Active, and it is another content that is than before.
  local function activate(name, text)
    local was = note(name, "name")
    policy(name, text)
    assert.is_truthy(app.wait(8, function()
      return note(name, "state") == "active" and note(name, "name") ~= was
    end), tostring(note(name, "reason")))
  end

  local function refer(...)
    local refs = {}
    for n, name in ipairs { ... } do refs[n] = { name = name } end
    patch(GROUP, { spec = { policyRefs = setmetatable(refs, { __jsontype = "array" }) } })
  end
  local function says(text)
    local got
    assert.is_truthy(app.wait(8, function()
      local s = ask("GET", GROUP).status or {}
      got = tostring(s.reason) .. ": " .. tostring(s.message)
      return got:find(text, 1, true)
    end), text .. " is not in " .. tostring(got))
  end
  local wanted = 3
  local function grow()
    wanted = wanted + 1
    patch(GROUP, { spec = { replicas = wanted } })
  end
  local function grown()
    local ready
    assert.is_truthy(app.wait(9, function()
      ready = (ask("GET", GROUP).status or {}).readyReplicas
      return ready == wanted
    end), ("%s of %d are ready"):format(tostring(ready), wanted))
  end

  local function operator()
    o = app.start(("run --kubeconfig %s --connect-to %s --listen 127.0.0.1:0"):format(p.kubeconfig, p.connect))
    local function heard() return o.err():match [["port":"(%d+)"]] end
    local port = app.wait(5, heard)
    assert(port, o.err())
    function o.page(path) return select(2, app.shell(("curl -s http://127.0.0.1:%s%s"):format(port, path))) end
  end

  setup(function()
    p = app.playground "--no-operator"
    local text = app.read(p.kubeconfig)
    server, token = text:match "server: (%S+)", text:match "token: ([^%s}]+)"
    operator()
    grown()
  end)
  teardown(function()
    o.stop "TERM"
    p.stop "TERM"
    app.clean()
  end)

  it("says no to growing, in the policy's words, until the policy is changed", function()
    activate("freeze", [[
      local P = { api = 1 }
      function P.can_scale_out(w, a) return a.replicas < 4, "frozen, wanted " .. a.replicas end
      function P.selftest(t)
        t:denies("can_scale_out", {}, { replicas = 4 })
        t:allows("can_scale_out", {}, { replicas = 3 })
      end
      return P]])
    refer "freeze"
    grow()
    says "PolicyDenied: can_scale_out: default/freeze: frozen, wanted 4"
    activate("freeze", "return { api = 1, can_scale_out = function() return true end }")
    grown()
  end)

  it("lets a person open one gate of one object for a time, and tells it", function()
    activate("freeze", "return { api = 1, can_scale_out = function() return false, 'never' end }")
    grow()
    says "default/freeze: never"
    local function open(time)
      patch(GROUP, { metadata = { annotations = { ["core.tikv.org/open-can-scale-out"] = time } } })
    end
    open "2001-01-01T00:00:00Z"
    says "default/freeze: never"
    open "2099-01-01T00:00:00Z"
    grown()
    local events = json.encode(ask("GET", "/api/v1/namespaces/default/events"))
    assert.is_truthy(events:find("can_scale_out is open until 2099", 1, true))
    open(json.null)
  end)

  it("denies a start, and renders pods through all policies in the order of the references", function()
    local add = [[return { api = 1, render_pod = function(w, pod)
      local l = pod.metadata.labels
      l.order = (l.order or "") .. "%s"
      return pod
    end }]]
    activate("one", add:format "one")
    activate("two", add:format "two")
    activate("gate", "return { api = 1, can_start_instance = function(w, a) return false, a.component end }")
    refer("two", "gate", "one")
    grow()
    local name = "/apis/core.tikv.org/v1alpha1/namespaces/default/tikvs/basic-" .. wanted - 1
    assert.is_truthy(app.wait(8, function()
      return (ask("GET", name).status or {}).message == "can_start_instance: default/gate: tikv"
    end))
    activate("gate", "return { api = 1 }")
    grown()
    local pod = ask("GET", "/api/v1/namespaces/default/pods/basic-tikv-" .. wanted - 1)
    assert.equal("twoone", pod.metadata.labels.order)
    refer "one"
    activate("one", "return { api = 1, render_pod = function(w, pod) pod.metadata.name = 'me' return pod end }")
    grow()
    name = "/apis/core.tikv.org/v1alpha1/namespaces/default/tikvs/basic-" .. wanted - 1
    assert.is_truthy(app.wait(8, function()
      return (ask("GET", name).status or {}).message ==
        "pod is held: default/one: render_pod may not change metadata.name"
    end))
    activate("one", add:format "one")
    grown()
  end)

  it("holds the step of a policy that fails, never ends or eats memory; all else goes on", function()
    refer "freeze"
    activate("freeze", "return { api = 1, can_scale_out = function() return false, 'no' end }")
    grow()
    says "PolicyDenied"
    for _, case in ipairs {
      { "a.nope.x = 1", "freeze/policy.lua:1: attempt to index field 'nope'" },
      { "while true do pcall(function() while true do end end) end", "too many instructions" },
      { "local t = {} for i = 1, 1e9 do t[i] = { i } end", "not enough memory" },
      { "return 'no'", "can_scale_out must return true, false or nothing, returned a string" },
    } do
      activate("freeze", ("return { api = 1, can_scale_out = function(w, a) %s end }"):format(case[1]))
      says("PolicyError: grow is held: default/freeze: " .. case[2])
    end
    assert.is_truthy(o.page("/metrics"):find('tikv_operator_policy_errors_total{configmap="default/freeze"} ', 1, true))
    ask("DELETE", "/api/v1/namespaces/default/services/basic-pd")
    assert.is_truthy(app.wait(8, function()
      return ask("GET", "/api/v1/namespaces/default/services/basic-pd").kind == "Service"
    end))
    assert.is_true(app.alive(o.pid))
  end)

  it("refuses what is broken, with file and line, and goes on with what ran", function()
    activate("freeze", "return { api = 1, can_scale_out = function() return false, 'still here' end }")
    local was = note("freeze", "name")
    says "still here"
    for _, case in ipairs {
      { "local P = { api = 1\n= 3", "freeze/policy.lua:2: " },
      { "while true do end", "too many instructions (5000000) at freeze/policy.lua:1" },
      { "local s = ('x'):rep(60000) local t = {} while true do t[#t + 1] = s .. #t end", "not enough memory" },
      { "os.exit(0)", "freeze/policy.lua:1: no global 'os'" },
      { "require('ffi').cdef'int abort(void);'", "freeze/policy.lua:1: no module 'ffi'" },
      { "return { api = 1, can_fly = function() end }", "policy.lua: can_fly is no question" },
      { "return { api = 1, selftest = function(t) t:denies('can_scale_out', {}) end }",
        "does not answer can_scale_out" },
      { "return { api = 1, selftest = function() local s = ('a'):rep(60000)\n" ..
        "while true do s:find(('.-'):rep(12) .. 'b') end end }", "too many instructions" },
    } do
      policy("freeze", case[1])
      becomes("freeze", "rejected", case[2])
      assert.equal(was, note("freeze", "name"))
    end
    says "still here"
    local metrics = o.page "/metrics"
    assert.is_truthy(metrics:find('tikv_operator_policy_info{configmap="default/freeze",state="rejected"} 1', 1, true))
    assert.is_nil(metrics:find('tikv_operator_policy_info{configmap="default/freeze",state="active"}', 1, true))
    local events = json.encode(ask("GET", "/api/v1/namespaces/default/events"))
    assert.is_truthy(events:find("PolicyRejected", 1, true))
    assert.is_true(app.alive(o.pid))
  end)

  it("shows the state again when somebody took it away", function()
    policy("freeze", "return { api = 1, can_scale_out = function() return false, 'shown' end }")
    becomes("freeze", "active")
    patch(MAPS .. "/freeze", { metadata = { annotations = { ["tikv.org/policy-state"] = json.null } } })
    becomes("freeze", "active")
  end)

  it("holds the step when a policy that is referred to is deleted, and says which", function()
    ask("DELETE", MAPS .. "/freeze")
    says "PolicyError: grow is held: default/freeze: there is no such ConfigMap"
    policy("freeze", "local P = {")
    says "PolicyError: grow is held: default/freeze: rejected: freeze/policy.lua:1: "
    policy("freeze", "return { api = 1, can_scale_out = function() end }")
    grown()
  end)

  it("replaces files of lua/ by those of the operator's namespace, and goes back", function()
    activate("freeze", "return { api = 1, can_scale_out = function() return false, 'no' end }")
    grow()
    says "can_scale_out: default/freeze: no"
    local text = app.read "lua/lib/scaling.lua":gsub('"can_scale_out: %%s"', '"CHANGED: %%s"')
    local function scripts(data) configmap("tikv-system", "mine", "tikv.org/scripts", data) end
    scripts { ["lib.scaling.lua"] = text }
    becomes("mine", "active", "", "tikv-system")
    says "CHANGED: default/freeze: no"
    scripts { ["lib.scaling.lua"] = "\n\nlocal M = {" }
    becomes("mine", "rejected", "mine/lib.scaling.lua:3: ", "tikv-system")
    says "CHANGED: default/freeze: no"
    scripts { ["lib.scaling.lua"] = "while true do end" }
    becomes("mine", "rejected", "too many instructions", "tikv-system")
    configmap("default", "foreign", "tikv.org/scripts", { ["lib.scaling.lua"] = "return {}" })
    ask("DELETE", "/api/v1/namespaces/tikv-system/configmaps/mine")
    says "can_scale_out: default/freeze: no"
    assert.is_nil(note("foreign", "state"))
  end)

  it("ends with what is offered when the operator is killed while it looks at it", function()
    local LEASE = "/apis/coordination.k8s.io/v1/namespaces/tikv-system/leases/tikv-operator"
    for n = 1, 4 do
      policy("freeze", ("return { api = 1, can_scale_out = function() return false, 'try %d' end }"):format(n))
      os.execute(("sleep 0.%d"):format(n))
      o.stop "KILL"
      patch(LEASE, { spec = { holderIdentity = "", leaseDurationSeconds = 1 } })
      operator()
    end
    says "can_scale_out: default/freeze: try 4"
    becomes("freeze", "active")
    policy("freeze", "return { api = 1 }")
    grown()
  end)
end)
