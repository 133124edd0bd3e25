local support = require "engine.support"
local kube, C = support.kube, support.C

local KEY = "TiKV/ns/a"

local function plan(verdict, more)
  local p = { actions = kube.list {}, verdict = verdict or { kind = "settled" } }
  for k, v in pairs(more or {}) do p[k] = v end
  return kube.encode(p)
end

local function wait(more) return plan({ kind = "wait", step = "s", reason = "Waiting", message = "for it" }, more) end

describe("ctl", function()
  local r
  after_each(function() r:free() end)

  describe("passes", function()
    before_each(function() r = support.rig() end)

    it("begins one when an object comes, and settles", function()
      r:put(C.KIND_TIKV, "a")
      r.w:run(0)
      assert.equal(1, r:passes(KEY))
      assert.equal("settled", r:last(KEY, "outcome"))
      assert.equal("it was added", r:last(KEY, "because"))
      assert.equal(1, r:count("TiKV", "settled"))
      assert.is_true(C.ctl_idle(r.ctl))
      r.w:run(3600000)
      assert.equal(1, r:passes(KEY))
    end)

    it("Q5: none begins before all is synced and the lease is held", function()
      r.may = false
      r:put(C.KIND_TIKV, "a")
      r.w:run(10000)
      assert.equal(0, r:passes(KEY))
      r.may = true
      C.ctl_kick(r.ctl)
      assert.equal(1, r:passes(KEY))
    end)

    it("E5: notices by itself that it may run again", function()
      r.may = false
      r:put(C.KIND_TIKV, "a")
      r.w:run(10000)
      r.may = true
      r.w:run(1000)
      assert.equal(1, r:passes(KEY))
    end)

    it("K7: the first list goes behind events", function()
      r.may = false
      C.store_set_synced(r.stores[tonumber(C.KIND_TIKV)], false)
      r:put(C.KIND_TIKV, "listed")
      C.store_set_synced(r.stores[tonumber(C.KIND_TIKV)], true)
      r.w:run(10)
      r:put(C.KIND_TIKVGROUP, "changed")
      r.may = true
      C.ctl_kick(r.ctl)
      r.w:run(10)
      local list = support.text(C.record_list(r.record))
      assert.truthy(list:find("TiKV/ns/listed.*TiKVGroup/ns/changed")) -- newest first
    end)

    -- W-69
    it("instances that were begun come before new ones", function()
      r:put(C.KIND_TIKV, "begun")
      r.w:run(10)
      r.may = false
      r:put(C.KIND_TIKV, "new")
      r.w:run(10)
      r:put(C.KIND_TIKV, "begun", { notes = { x = "y" } })
      r.may = true
      C.ctl_kick(r.ctl)
      r.w:run(10)
      local list = support.text(C.record_list(r.record))
      assert.truthy(list:find("TiKV/ns/new.*TiKV/ns/begun.*TiKV/ns/begun")) -- newest first
    end)

    it("looks again after ten minutes when a pass waits", function()
      r:put(C.KIND_TIKV, "a", { notes = { plan = wait() } })
      r.w:run(0)
      assert.equal("wait", r:last(KEY, "outcome"))
      r.w:run(599000)
      assert.equal(1, r:passes(KEY))
      r.w:run(1000)
      assert.equal(2, r:passes(KEY))
    end)

    it("K4: retries when the script said so", function()
      r:put(C.KIND_TIKV, "a", { notes = { plan = plan { kind = "retry", step = "s", reason = "Busy",
        message = "x", after = 30 } } })
      r.w:run(29999)
      assert.equal(1, r:passes(KEY))
      r.w:run(1)
      assert.equal(2, r:passes(KEY))
    end)

    it("wakes for rows that the pass asked for, and for nothing else", function()
      local needs = kube.encode { { as = "pods", kind = "Pod", name = "p", fields = { phase = "status.phase" } } }
      r:put(C.KIND_TIKV, "a", { notes = { needs = needs, plan = wait() } })
      r.w:run(0)
      r:put(C.KIND_POD, "q", { status = { phase = "Running" } })
      r.w:run(0)
      assert.equal(1, r:passes(KEY))
      r:put(C.KIND_POD, "p", { status = { phase = "Running" } })
      r.w:run(0)
      assert.equal(2, r:passes(KEY))
      assert.equal("Pod p was added", r:last(KEY, "because"))
      r:put(C.KIND_POD, "p", { status = { phase = "Running" }, labels = { x = "y" } })
      r.w:run(0)
      assert.equal(2, r:passes(KEY))
    end)

    it("wakes for a change of its own labels, annotations, generation or deletion", function()
      r:put(C.KIND_TIKV, "a")
      r.w:run(0)
      local n = 1
      for _, o in ipairs { { labels = { a = "b" } }, { notes = { x = "y" } }, { generation = 2 }, { generation = 2,
        deleting = true } } do
        r:put(C.KIND_TIKV, "a", o)
        r.w:run(2000)
        n = n + 1
        assert.equal(n, r:passes(KEY))
      end
      r:put(C.KIND_TIKV, "a", { generation = 2, deleting = true }) -- only the resourceVersion
      r.w:run(0)
      assert.equal(n, r:passes(KEY))
    end)

    it("forgets an object that is gone", function()
      r:put(C.KIND_TIKV, "a", { notes = { plan = wait() } })
      r.w:run(0)
      r:remove(C.KIND_TIKV, "a")
      r.w:run(0)
      assert.equal(1, r:count("TiKV", "gone"))
      r.w:run(3600000)
      assert.equal(1, r:passes(KEY))
    end)

    -- U-65
    it("K5: an error of the script backs off its own key, with an Event that names the line", function()
      r:put(C.KIND_TIKV, "a", { notes = { fail = "boom" } })
      r:put(C.KIND_TIKV, "b")
      r.w:run(0)
      assert.equal(1, r:passes("TiKV/ns/b"))
      assert.equal("settled", r:last("TiKV/ns/b", "outcome"))
      assert.truthy(r:last(KEY, "outcome"):find("pass.lua:%d+: boom"))
      assert.truthy(r.w:logged("boom"))
      local event = table.concat(r:events_sent())
      assert.truthy(event:find("ScriptError", 1, true))
      assert.truthy(event:find("boom", 1, true))
      r.w:run(5)
      assert.equal(2, r:passes(KEY))
      assert.equal("boom", r:last(KEY, "world.last.failed.message"):match("boom"))
    end)

    it("K5: from the fifth error in a row the object says Degraded, and goes on trying at the cap", function()
      r:put(C.KIND_TIKV, "a", { notes = { fail = "boom" },
        status = { phase = "Serving", conditions = { { type = "Ready", status = "True" } } } })
      r.w:run(1000)
      local q = r:open()[1]
      assert.equal("PATCH", q.method)
      assert.truthy(q.path:find("/tikvs/a/status", 1, true))
      assert.equal("True", kube.at(q.body, "status.conditions[type=Degraded].status"))
      assert.equal("True", kube.at(q.body, "status.conditions[type=Ready].status"))
      assert.equal("Serving", kube.at(q.body, "status.phase"))
      q:status(409, "Conflict", "no")
      r.w:run(600000)
      local n = r:passes(KEY)
      r.w:run(600000)
      assert.is_true(r:passes(KEY) - n >= 10 and r:passes(KEY) - n <= 14)
    end)

    it("a malformed plan is an error of the script, nothing of it is done", function()
      r:put(C.KIND_TIKV, "a", { notes = { plan = plan(nil, { surprise = 1 }) } })
      r.w:run(0)
      assert.equal(1, r:count("TiKV", "script_error"))
      assert.same({}, r:open())
    end)

    it("needs that are not understood are an error of the script", function()
      r:put(C.KIND_TIKV, "a", { notes = { needs = '[{"as":"x","kind":"Nonsense"}]' } })
      r.w:run(0)
      assert.equal(1, r:count("TiKV", "script_error"))
      assert.truthy(r:last(KEY, "outcome"):find("Nonsense", 1, true))
    end)

    it("tells PD when a pass waits for it, and when not any more", function()
      r:put(C.KIND_TIKV, "a", { notes = { plan = wait { pd_busy = true } } })
      r.w:run(0)
      r:put(C.KIND_TIKV, "a", { notes = { plan = wait { pd_busy = true }, x = "1" } })
      r.w:run(0)
      assert.same({ "ns/c TiKV/ns/a true" }, r.busy)
      r:remove(C.KIND_TIKV, "a")
      r.w:run(2000)
      assert.same({ "ns/c TiKV/ns/a true", "ns/c TiKV/ns/a false" }, r.busy)
    end)
  end)

  describe("status", function()
    before_each(function() r = support.rig() end)

    it("is written when it differs, once, and its own event wakes nobody", function()
      local notes = { plan = wait { status = { phase = "Starting" } } }
      r:put(C.KIND_TIKV, "a", { notes = notes })
      r.w:run(0)
      local q = r:open()[1]
      assert.equal('{"phase":"Starting"}', kube.at(q.body, "status"))
      -- the watch is faster than the answer
      local text = r:put(C.KIND_TIKV, "a", { notes = notes, status = { phase = "Starting" } })
      q:reply(200, text)
      r.w:run(60000)
      assert.equal(1, r:passes(KEY))
      assert.same({}, r:open())
      assert.is_false(C.expect_holds(r.expect, KEY))
    end)

    it("written by somebody else wakes the object", function()
      local notes = { plan = wait { status = { phase = "Starting" } } }
      r:put(C.KIND_TIKV, "a", { notes = notes, status = { phase = "Starting" } })
      r.w:run(0)
      assert.equal(1, r:passes(KEY))
      r:put(C.KIND_TIKV, "a", { notes = notes, status = { phase = "Nonsense" } })
      r.w:run(0)
      assert.equal(2, r:passes(KEY))
      assert.equal("PATCH", r:open()[1].method)
    end)

    it("may be delayed: further passes neither write it earlier nor move the time", function()
      local function notes(x)
        return { x = x, plan = wait { status = { leaders = 5 }, status_after = 30 } }
      end
      r:put(C.KIND_TIKV, "a", { notes = notes "1" })
      r.w:run(20000)
      r:put(C.KIND_TIKV, "a", { notes = notes "2" })
      r.w:run(9999)
      assert.same({}, r:open())
      r.w:run(1)
      assert.equal('{"leaders":5}', kube.at(r:open()[1].body, "status"))
    end)

    it("is not written when it became equal meanwhile", function()
      r:put(C.KIND_TIKV, "a", { notes = { plan = wait { status = { leaders = 5 }, status_after = 30 } } })
      r.w:run(1000)
      r:put(C.KIND_TIKV, "a", { notes = { plan = wait { status = { leaders = 4 }, status_after = 30 } },
        status = { leaders = 4 } })
      r.w:run(60000)
      assert.same({}, r:open())
    end)
  end)

  describe("own writes", function()
    before_each(function() r = support.rig() end)

    local function written()
      r:put(C.KIND_TIKV, "a", { notes = { plan = wait { status = { phase = "Starting" } } } })
      r.w:run(0)
      local text = kube.encode { metadata = { uid = "uid-a", resourceVersion = "500" } }
      r:open()[1]:reply(200, text)
      r.w:run(0)
    end

    it("R1 R2: a key is held until its write was seen, though other events come", function()
      written()
      assert.is_true(C.expect_holds(r.expect, KEY))
      r:put(C.KIND_TIKV, "a", { rv = 400, notes = { x = "other" } })
      r.w:run(5000)
      assert.equal(1, r:passes(KEY))
      r:put(C.KIND_TIKV, "a", { rv = 500, notes = { x = "other" }, status = { phase = "Starting" } })
      r.w:run(0)
      assert.equal(2, r:passes(KEY))
    end)

    it("R1: an unseen write lists its kind again each ten seconds; time alone frees nothing", function()
      written()
      r:put(C.KIND_TIKV, "a", { rv = 400, notes = { x = "other" } })
      r.w:run(9000)
      assert.same({}, r.relisted)
      r.w:run(2000)
      assert.same({ tonumber(C.KIND_TIKV) }, r.relisted)
      r.w:run(120000)
      assert.is_true(#r.relisted >= 11 and #r.relisted <= 13)
      assert.equal(1, r:passes(KEY))
      C.store_set_rv(r.stores[tonumber(C.KIND_TIKV)], "500") -- the list has passed it
      r.w:run(1000)
      assert.equal(2, r:passes(KEY))
    end)
  end)

  describe("what a plan could not do", function()
    before_each(function() r = support.rig() end)

    local delete = { action = "delete", kind = "Pod", name = "foreign", uid = "u", rv = "5", why = "spec" }

    it("R4: nothing is made before the owner was read from the API server, nor from a stale owner", function()
      local cm = { apiVersion = "v1", kind = "ConfigMap", metadata = { name = "m", namespace = "ns",
        labels = { ["app.kubernetes.io/managed-by"] = "tikv-operator", ["core.tikv.org/cluster"] = "c" },
        ownerReferences = { { apiVersion = "core.tikv.org/v1alpha1", kind = "TiKV", name = "a", uid = "uid-a",
          controller = true } } }, data = { x = "y" } }
      r:put(C.KIND_TIKV, "a", { notes = { plan = wait { actions = { { action = "apply", object = cm } } } } })
      r.w:run(0)
      local q = r:open()[1]
      assert.equal("GET", q.method)
      assert.truthy(q.path:find("/tikvs/a$"))
      q:reply(200, kube.encode { metadata = { name = "a", namespace = "ns", uid = "another",
        resourceVersion = "900" } })
      r.w:run(0)
      for _, sent in ipairs(r.w.requests) do assert.is_nil(sent.path:find("/configmaps", 1, true)) end
      assert.equal(1, r:count("TiKV", "conflict"))
    end)

    it("a refusal is told to the next pass, 15 s later, and as an Event", function()
      r:put(C.KIND_TIKV, "a", { notes = { plan = wait { actions = { delete } } } })
      r.w:run(0)
      assert.equal(1, r:count("TiKV", "refused"))
      assert.same({}, r:open())
      assert.truthy(table.concat(r:events_sent()):find("Refused", 1, true))
      r.w:run(14999)
      assert.equal(1, r:passes(KEY))
      r.w:run(1)
      assert.equal(2, r:passes(KEY))
      assert.equal("delete", r:last(KEY, "world.last.refused.action"))
      assert.truthy(r:last(KEY, "world.last.refused.rule"):match("^G%d$"))
    end)

    it("a conflict is looked at again at once; the next pass knows what failed", function()
      r:put(C.KIND_TIKV, "a", { notes = { plan = wait { status = { phase = "X" } } } })
      r.w:run(0)
      r:open()[1]:status(409, "Conflict", "the object has been modified")
      r.w:run(5)
      assert.equal(2, r:passes(KEY))
      assert.equal("conflict", r:last(KEY, "world.last.failed.code"))
      assert.equal("status", r:last(KEY, "world.last.failed.action"))
    end)

    -- E-57
    it("T6: what the API server calls invalid is not tried in a hot loop", function()
      r:put(C.KIND_TIKV, "a", { notes = { plan = wait { status = { phase = "X" } } } })
      r.w:run(0)
      r:open()[1]:status(422, "Invalid", "no")
      r.w:run(59000)
      assert.equal(1, r:passes(KEY))
      r.w:run(1000)
      assert.equal(2, r:passes(KEY))
    end)

    it("T2: a throttled write comes again when the server said", function()
      r:put(C.KIND_TIKV, "a", { notes = { plan = wait { status = { phase = "X" } } } })
      r.w:run(0)
      r:open()[1]:status(429, "TooManyRequests", "later", nil, { ["retry-after"] = "7" })
      r.w:run(6900)
      assert.equal(1, r:passes(KEY))
      r.w:run(200)
      assert.equal(2, r:passes(KEY))
    end)

    it("is forgotten once a plan was carried out", function()
      r:put(C.KIND_TIKV, "a", { notes = { plan = wait { status = { phase = "X" } } } })
      r.w:run(0)
      r:open()[1]:status(409, "Conflict", "no")
      r.w:run(5)
      r:put(C.KIND_TIKV, "a", { rv = 600, notes = { plan = wait() } })
      r:open()[1]:reply(200, kube.encode { metadata = { uid = "uid-a", resourceVersion = "600" } })
      r.w:run(10000)
      r:put(C.KIND_TIKV, "a", { rv = 601, notes = { plan = wait(), x = "y" } })
      r.w:run(0)
      assert.is_nil(r:last(KEY, "world.last"))
    end)
  end)

  describe("pace", function()
    it("K1 K6: one pass per key at a time, several keys side by side, at most max_active", function()
      r = support.rig { max_active = 2 }
      for _, name in ipairs { "a", "b", "c" } do
        r:put(C.KIND_TIKV, name, { notes = { plan = wait { status = { phase = "X" } } } })
      end
      r.w:run(0)
      assert.equal(2, #r:open())
      r:put(C.KIND_TIKV, "a", { notes = { plan = wait { status = { phase = "Y" } } } })
      r.w:run(0)
      assert.equal(2, #r:open())
      assert.equal(1, r:passes(KEY))
      r:open()[2]:status(422, "Invalid", "no")
      r.w:run(0)
      assert.equal(1, r:passes("TiKV/ns/c"))
    end)

    it("a storm of events is one pass of a group in 250 ms", function()
      r = support.rig()
      r:put(C.KIND_TIKVGROUP, "g", { notes = { plan = wait() } })
      r.w:run(0)
      for i = 1, 20 do
        r:put(C.KIND_TIKVGROUP, "g", { notes = { plan = wait(), x = tostring(i) } })
        r.w:run(10)
      end
      assert.equal(1, r:passes "TiKVGroup/ns/g")
      r.w:run(50)
      assert.equal(2, r:passes "TiKVGroup/ns/g")
    end)

    it("an instance that is woken for nothing again and again waits longer, 1.6 s at most", function()
      r = support.rig()
      r:put(C.KIND_TIKV, "a", { notes = { plan = wait() } })
      r.w:run(0)
      local at, seen = {}, 1
      for ms = 1, 6000 do
        r:put(C.KIND_TIKV, "a", { notes = { plan = wait(), x = tostring(ms) } })
        r.w:run(1)
        if r:passes(KEY) > seen then
          at[#at + 1] = ms
          seen = r:passes(KEY)
        end
      end
      local gaps = {}
      for n = 3, #at do gaps[#gaps + 1] = at[n] - at[n - 1] end
      assert.same({ 400, 800, 1600, 1600 }, gaps)
    end)

    it("a pass that cost 50 ms comes again after a second at the earliest", function()
      r = support.rig { cost = 50000 }
      r:put(C.KIND_TIKV, "a", { notes = { plan = wait() } })
      r.w:run(0)
      r:put(C.KIND_TIKV, "a", { notes = { plan = wait(), x = "y" } })
      r.w:run(999)
      assert.equal(1, r:passes(KEY))
      r.w:run(1)
      assert.equal(2, r:passes(KEY))
    end)

    it("looks at every object when the scripts changed", function()
      r = support.rig()
      r:put(C.KIND_TIKV, "a")
      r:put(C.KIND_PD, "p")
      r.w:run(0)
      C.ctl_everything(r.ctl, "scripts changed")
      r.w:run(0)
      assert.equal(2, r:passes(KEY))
      assert.equal("scripts changed", r:last("PD/ns/p", "because"))
    end)
  end)

  describe("the end", function()
    it("K7: a drain lets the running pass end and starts no other", function()
      r = support.rig()
      r:put(C.KIND_TIKV, "a", { notes = { plan = wait { status = { phase = "X" } } } })
      r.w:run(0)
      C.ctl_drain(r.ctl, support.drained, nil)
      r:put(C.KIND_TIKV, "b")
      r.w:run(1000)
      assert.is_nil(r.drained)
      assert.equal(0, r:passes "TiKV/ns/b")
      r:open()[1]:status(422, "Invalid", "no")
      r.w:run(0)
      assert.equal(1, r.drained)
      r.w:run(100000)
      assert.equal(1, r:passes(KEY))
    end)

    it("a crash in the middle of a write calls nobody back", function()
      r = support.rig()
      r:put(C.KIND_TIKV, "a", { notes = { plan = wait { status = { phase = "X" } } } })
      r.w:run(0)
      assert.equal(1, #r:open())
    end) -- freed by after_each; the sanitizer and the fake transport watch
  end)

  it("asks the policies of the Cluster first, then of the group, then its own, each once", function()
    r = support.rig()
    local function refs(...)
      local out = {}
      for i, name in ipairs { ... } do out[i] = { name = name } end
      return out
    end
    r:put(C.KIND_CLUSTER, "c", { spec = { policyRefs = refs("one", "two") } })
    r:put(C.KIND_TIKVGROUP, "g", { spec = { cluster = { name = "c" }, policyRefs = refs("two", "three") } })
    r:put(C.KIND_TIKV, "a", { owners = { { apiVersion = "core.tikv.org/v1alpha1", kind = "TiKVGroup", name = "g",
      uid = "uid-g", controller = true } } })
    local function asked(kind, name)
      local o = C.store_get(r.stores[tonumber(kind)], "ns", name)
      local tree = C.obj_tree(o)
      local list, out, i = C.ctl_policies(r.ctl, o, tree), {}, 0
      while list[i] ~= nil do
        out[i + 1] = kube.ffi.string(list[i])
        i = i + 1
      end
      C.ctl_policies_free(list)
      C.json_free(tree)
      return out
    end
    assert.same({ "ns/one", "ns/two" }, asked(C.KIND_CLUSTER, "c"))
    assert.same({ "ns/one", "ns/two", "ns/three" }, asked(C.KIND_TIKVGROUP, "g"))
    assert.same({ "ns/one", "ns/two", "ns/three" }, asked(C.KIND_TIKV, "a"))
  end)

  it("a dry run shows world, plan and what the guard would say, and sends nothing", function()
    r = support.rig()
    r.may = false
    r:put(C.KIND_TIKV, "a", { notes = { plan = wait { actions = { { action = "delete", kind = "Pod", name = "foreign",
      uid = "u", rv = "5", why = "spec" } } } } })
    local out = support.text(C.ctl_dry_run(r.ctl, C.KIND_TIKV, "ns", "a", nil))
    assert.equal("a", kube.at(out, "world.object.metadata.name"))
    assert.equal("wait", kube.at(out, "plan.verdict.kind"))
    assert.equal("false", kube.at(out, "guard[0].allowed"))
    assert.equal("delete", kube.at(out, "guard[0].action"))
    assert.same({}, r:open())
    assert.equal(0, r:passes(KEY))
    assert.is_true(C.ctl_dry_run(r.ctl, C.KIND_TIKV, "ns", "none", nil) == nil)
  end)
end)
