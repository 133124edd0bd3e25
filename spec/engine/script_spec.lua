--- script: generations and policies: what is offered is tried first, and a failure changes nothing.
local kube = require "spec.kube.support"
local core = require "support.core"
local ffi = core.ffi
local C = core.load("engine/script.h")

ffi.cdef "void *malloc(size_t); char *strdup(const char *);"

local PASS = [[
local M = {}
function M.check() %s end
function M.needs(o) return json.array {} end
function M.run(w)
  local q = w.object.question
  return { generation = "%s", answers = q and ask and ask("policy", { question = q,
    args = json.array(w.object.args) }) or nil,
    asks = ask ~= nil }
end
return M
]]

local folder, told, swaps, in_child
local read_dir = ffi.cast("int (*)(void *, const char *, struct vm_source **, size_t *, struct err *)",
  function(_, _, out, n, e)
    if not folder then return C.err_set(e, C.ERR_NOT_FOUND, "no such folder") end
    local list = ffi.cast("struct vm_source *", ffi.C.malloc(ffi.sizeof("struct vm_source")))
    list[0].name, list[0].path = ffi.C.strdup("lib.pass"), ffi.C.strdup("dir/lib/pass.lua")
    list[0].text, list[0].len = ffi.C.strdup(folder), #folder
    out[0], n[0] = list, 1
    return 0
  end)
local child = ffi.cast(
  "int (*)(void *, int (*)(void *, struct buf *), void *, struct buf *, struct err *)",
  function(_, fn, arg, out, e)
    in_child = in_child + 1
    if told.kill then return C.err_set(e, C.ERR_TIMEOUT, "killed: too much CPU time") end
    return fn(arg, out)
  end)
local on_state = ffi.cast("void (*)(void *, const struct obj *, const char *, const char *, const char *)",
  function(_, o, state, name, reason)
    told[#told + 1] = ("%s %s %s"):format(ffi.string(o.key), ffi.string(state), ffi.string(reason))
    told.name = ffi.string(name)
  end)
local on_swap = ffi.cast("void (*)(void *)", function() swaps = swaps + 1 end)

describe("script", function()
  local w, s, cms

  local function start(pass)
    w = kube.world()
    folder, told, swaps, in_child, cms = pass or PASS:format("return true", "one"), {}, 0, 0, {}
    local e = ffi.new("struct err")
    s = C.script_new(ffi.new("struct script_conf", { loop = kube.loop, lua_dir = "dir", ns = "operator", log = w.log,
      metrics = w.metrics, read_dir = read_dir, in_child = child, on_state = on_state, on_swap = on_swap }), e)
    if s == nil then
      s = nil
      return nil, ffi.string(e.msg)
    end
    return s
  end
  after_each(function()
    if s then C.script_free(s) end
    s = nil
    for _, o in pairs(cms) do C.obj_unref(o) end
  end)

  local function configmap(ns, name, label, data, notes)
    local o = assert(kube.obj(C.KIND_CONFIGMAP, { apiVersion = "v1", kind = "ConfigMap", data = data, metadata = {
      name = name, namespace = ns, uid = name, resourceVersion = "1", labels = label and { [label] = "x" } or nil,
      annotations = notes } }))
    local old = cms[ns .. "/" .. name]
    C.script_configmap(s, old, o)
    if old then C.obj_unref(old) end
    cms[ns .. "/" .. name] = o
  end

  local function policy(source, name, ns) configmap(ns or "ns", name or "p", "tikv.org/policy", {
    ["policy.lua"] = source }) end

  local function run(object, refs)
    local list = ffi.new("const char *[?]", #(refs or {}) + 1)
    for i, r in ipairs(refs or {}) do list[i - 1] = r end
    local e, plan = ffi.new("struct err"), ffi.new("cJSON *[1]")
    local world = kube.tree { now = 5, object = object or { x = 1 }, kind = "TiKV", secret = "no" }
    local code = C.script_run(s, world, refs and list or nil, plan, e)
    if code ~= C.VM_OK then return nil, ffi.string(e.msg) end
    local c = C.json_string(plan[0])
    local text = ffi.string(c)
    ffi.C.free(c)
    C.json_free(plan[0])
    return text
  end

  local function generation() return kube.at(run(), "generation") end
  local function name() return ffi.string(C.script_active(s).name) end
  local function last() return told[#told] end

  it("runs the embedded files with those of --lua-dir in their place", function()
    start()
    assert.equal("one", generation())
    assert.equal(64, #name())
    assert.equal(1, in_child)
  end)

  it("does not start on scripts that do not load", function()
    local ok, why = start "return {"
    assert.is_nil(ok)
    assert.truthy(why:find("pass.lua:1", 1, true), why)
    ok, why = start(PASS:format("error('controllers.tikv: steps is missing')", "x"))
    assert.is_nil(ok)
    assert.truthy(why:find("steps is missing", 1, true), why)
  end)

  it("swaps after a reload, by name of content; the same content is no swap", function()
    start()
    local was = name()
    C.script_reload(s)
    w:run(1)
    assert.equal(0, swaps)
    assert.equal(was, name())
    folder = PASS:format("return true", "two")
    C.script_reload(s)
    assert.equal("one", generation())
    w:run(1)
    assert.equal("two", generation())
    assert.equal(1, swaps)
    assert.truthy(was ~= name())
  end)

  it("keeps what runs when the new scripts are broken, fail their check or kill the child", function()
    start()
    local was = name()
    for _, bad in ipairs { "return {", PASS:format("error('no')", "two"), false } do
      folder = bad
      C.script_reload(s)
      w:run(1)
      assert.equal("one", generation())
      assert.equal(was, name())
    end
    folder, told.kill = PASS:format("return true", "two"), true
    C.script_reload(s)
    w:run(1)
    assert.equal("one", generation())
    assert.equal(0, swaps)
  end)

  it("takes scripts of the operator's namespace only, 200 ms after the last change", function()
    start()
    configmap("ns", "more", "tikv.org/scripts", { ["lib.pass.lua"] = PASS:format("return true", "foreign") })
    w:run(1000)
    assert.equal("one", generation())
    configmap("operator", "more", "tikv.org/scripts", { ["lib.pass.lua"] = PASS:format("return true", "two") })
    w:run(150)
    configmap("operator", "more", "tikv.org/scripts", { ["lib.pass.lua"] = PASS:format("return true", "three") })
    w:run(199)
    assert.equal("one", generation())
    w:run(1)
    assert.equal("three", generation())
    assert.equal("operator/more active ", last())
    assert.equal(name(), told.name)
    assert.equal(1, swaps)
  end)

  it("rejects a broken script with file and line, and goes back when the ConfigMap is gone", function()
    start()
    configmap("operator", "more", "tikv.org/scripts", { ["lib.pass.lua"] = "local x =\n= 1" })
    w:run(200)
    assert.truthy(last():find("operator/more rejected", 1, true), last())
    assert.truthy(last():find("more/lib.pass.lua:2", 1, true), last())
    assert.equal("one", generation())
    configmap("operator", "more", "tikv.org/scripts", { ["lib.pass.lua"] = PASS:format("return true", "two") })
    w:run(200)
    assert.equal("two", generation())
    configmap("operator", "more", nil, {})
    w:run(200)
    assert.equal("one", generation())
  end)

  local NO = [[local P = { api = 1 }
function P.can_scale_out(w, args) return false, "not on " .. args.day .. " at " .. w.now end
function P.selftest(t)
  t:denies("can_scale_out", { now = 1 }, { day = "friday" })
end
return P]]

  it("lets the later name win when two replace the same file, in whatever order they came", function()
    start()
    configmap("operator", "b", "tikv.org/scripts", { ["lib.pass.lua"] = PASS:format("return true", "of b") })
    w:run(200)
    configmap("operator", "a", "tikv.org/scripts", { ["lib.pass.lua"] = PASS:format("return true", "of a") })
    w:run(200)
    assert.equal("of b", generation())
  end)

  it("holds what is fine by itself while another one is broken, and keeps what ran", function()
    start()
    configmap("operator", "a", "tikv.org/scripts", { ["lib.pass.lua"] = PASS:format("return true", "two") })
    w:run(200)
    local was = name()
    configmap("operator", "b", "tikv.org/scripts", { ["lib.other.lua"] = "return {" })
    w:run(200)
    local all = table.concat(told, "\n")
    assert.truthy(all:find("operator/a held b/lib.other.lua:1: ", 1, true), all)
    assert.truthy(all:find("operator/b rejected b/lib.other.lua:1: ", 1, true), all)
    assert.equal("two", generation())
    assert.equal(was, name())
    configmap("operator", "b", nil, {})
    w:run(200)
    assert.equal("operator/a active ", last())
  end)

  it("tries what was offered at once when asked to", function()
    start()
    policy(NO)
    C.script_settle(s)
    assert.equal("ns/p active ", last())
  end)

  it("says in one line where a budget ended", function()
    start()
    policy "local x = 1\nwhile x do x = x + 1 end\nreturn { api = 1 }"
    w:run(200)
    assert.equal("ns/p rejected too many instructions (5000000) at p/policy.lua:2", last())
  end)

  it("wakes those who wait for a policy of which nothing runs, to say why", function()
    start()
    policy "return {"
    w:run(200)
    assert.equal(1, swaps)
  end)

  it("tells what was asked, and gives recorded answers to the same questions only", function()
    start()
    policy(NO)
    w:run(200)
    local ask = { question = "can_scale_out", args = kube.list { { day = "friday" } } }
    run(ask, { "ns/p" })
    local c = C.json_string(C.script_asked(s))
    local asked = ffi.string(c)
    ffi.C.free(c)
    assert.equal("not on friday at 5", kube.at(asked, "[0].answers[0].reason"))
    local tree = C.json_parse(asked, #asked, nil)
    configmap("ns", "p", nil, {})
    C.script_answer(s, tree)
    C.json_free(tree)
    assert.equal("false", kube.at(run(ask), "answers[0].answer"))
    local _, why = run { question = "can_scale_out", args = kube.list { { day = "monday" } } }
    assert.truthy(why:find("policy (of the record): can_scale_out was not asked with these", 1, true), why)
    C.script_answer(s, nil)
    assert.equal("false", kube.at(run(), "asks"))
  end)

  it("rejects a key that is no module", function()
    start()
    configmap("operator", "more", "tikv.org/scripts", { ["pass.lua"] = "return {}" })
    w:run(200)
    assert.truthy(last():find("rejected", 1, true), last())
  end)

  it("asks policies in the order of the references, with their reasons", function()
    start()
    policy(NO, "no")
    policy("return { api = 1, can_scale_out = function() return nil end }", "silent")
    w:run(200)
    local out = run({ question = "can_scale_out", args = kube.list { { day = "friday" } } }, { "ns/silent", "ns/no" })
    assert.equal("ns/silent", kube.at(out, "answers[0].policy"))
    assert.is_nil(kube.at(out, "answers[0].answer"))
    assert.equal("false", kube.at(out, "answers[1].answer"))
    assert.equal("not on friday at 5", kube.at(out, "answers[1].reason"))
  end)

  it("has no `ask` when there is no reference", function()
    start()
    assert.equal("false", kube.at(run(), "asks"))
    policy(NO)
    w:run(200)
    assert.equal("true", kube.at(run({ x = 1 }, { "ns/p" }), "asks"))
    assert.equal("false", kube.at(run(), "asks"))
  end)

  it("holds the step when a policy fails, is missing, or is not active", function()
    start()
    local ask = { question = "can_scale_out", args = kube.list { {} } }
    local _, why = run(ask, { "ns/nowhere" })
    assert.truthy(why:find("policy ns/nowhere: there is no such ConfigMap", 1, true), why)
    policy "return { api = 1, can_scale_out = function() error('boom') end }"
    _, why = run(ask, { "ns/p" })
    assert.truthy(why:find("policy ns/p: it is not active yet", 1, true), why)
    w:run(200)
    _, why = run(ask, { "ns/p" })
    assert.truthy(why:find("policy ns/p: ", 1, true), why)
    assert.truthy(why:find("p/policy.lua:1: boom", 1, true), why)
  end)

  it("gives renders what the one before returned", function()
    start()
    local add = "return { api = 1, render_pod = function(w, pod) pod.n = pod.n + 1; return pod end }"
    policy(add, "a")
    policy(add, "b")
    w:run(200)
    local out = run({ question = "render_pod", args = kube.list { { n = 1 } } }, { "ns/a", "ns/b" })
    assert.equal("3", kube.at(out, "answers[1].answer.n"))
  end)

  for what, case in pairs {
    ["an unknown question"] = { "return { api = 1, can_fly = function() end }", "can_fly is no question" },
    ["another api"] = { "return { api = 2 }", "api must be 1" },
    ["a table without api"] = { "return {}", "no file returns a table with api = 1" },
    ["an answer that is no function"] = { "return { api = 1, can_scale_out = true }", "must be a function" },
    ["a syntax error"] = { "local a\nlocal = 2", "p/policy.lua:2" },
    ["a failing self-test"] = { NO:gsub("t:denies", "t:allows"), "policy.lua:4: can_scale_out should be allowed" },
    ["a self-test without end"] = { "return { api = 1, selftest = function() while true do end end }", "" },
    ["a reach for io"] = { "io.write('x') return { api = 1 }", "p/policy.lua:1" },
  } do
    it("rejects a policy with " .. what, function()
      start()
      policy(case[1])
      w:run(200)
      assert.truthy(last():find("ns/p rejected ", 1, true), last())
      assert.truthy(last():find(case[2], 1, true), last())
    end)
  end

  it("keeps a policy that runs when its successor is rejected", function()
    start()
    policy(NO)
    w:run(200)
    assert.equal("ns/p active ", last())
    local was = told.name
    policy "return { api = 9 }"
    w:run(200)
    assert.truthy(last():find("rejected", 1, true))
    assert.equal(was, told.name)
    local out = run({ question = "can_scale_out", args = kube.list { { day = "friday" } } }, { "ns/p" })
    assert.equal("false", kube.at(out, "answers[0].answer"))
  end)

  it("is not stirred by its own annotations", function()
    start()
    policy(NO)
    w:run(200)
    local n, tries = #told, in_child
    configmap("ns", "p", "tikv.org/policy", { ["policy.lua"] = NO }, { ["tikv.org/policy-state"] = "active" })
    w:run(200)
    assert.equal(n, #told)
    assert.equal(tries, in_child)
  end)

  it("wakes everything when a policy becomes active or goes", function()
    start()
    policy(NO)
    w:run(200)
    assert.equal(1, swaps)
    local labels = 'configmap="ns/p",state="active"'
    assert.equal(1, w:metric("tikv_operator_policy_info", labels))
    configmap("ns", "p", nil, {})
    assert.equal(2, swaps)
    assert.equal(0, w:metric("tikv_operator_policy_info", labels))
  end)

  it("judges policies by the questions of the running generation", function()
    start()
    policy(NO)
    configmap("operator", "q", "tikv.org/scripts", { ["lib.questions.lua"] = "return { can_fly = {} }" })
    w:run(200)
    assert.truthy(table.concat(told, "\n"):find("ns/p rejected policy.lua: can_scale_out is no question", 1, true))
  end)

  it("reports all its sources", function()
    start()
    policy(NO)
    w:run(200)
    local tree = C.script_report(s)
    local c = C.json_string(tree)
    local text = ffi.string(c)
    ffi.C.free(c)
    C.json_free(tree)
    assert.equal(name(), kube.at(text, "generation"))
    assert.equal('["can_scale_out"]', kube.at(text, "policies[0].questions"))
    assert.equal("active", kube.at(text, "policies[0].state"))
  end)
end)
