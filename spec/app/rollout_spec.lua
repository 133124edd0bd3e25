-- rollout: status, history, undo, pause, resume and restart of a group, against one playground.
local app = require "app.support"

describe("rollout", function()
  local p

  setup(function()
    p = app.playground "--empty"
    app.shell(("kubectl --kubeconfig %s apply -f examples/demo"):format(p.kubeconfig))
    assert(app.wait(30, function()
      local _, out = p.run "status basic"
      return out:find("TiKV 3/3", 1, true)
    end), "the cluster did not come up")
  end)
  teardown(function()
    p.stop "TERM"
    app.clean()
  end)

  local function patch(text)
    app.shell(("kubectl --kubeconfig %s patch tikvgroup basic --type merge -p '%s'"):format(p.kubeconfig, text))
  end
  local function get(path)
    return select(2, app.shell(("kubectl --kubeconfig %s get tikvgroup basic -o jsonpath='{%s}'"):format(p.kubeconfig, path)))
  end

  local function done()
    assert(app.wait(60, function() return (p.run "rollout status kvg/basic --no-wait") == 0 end), get ".status")
  end

  it("is paused and resumed, goes on, and is undone", function()
    local code, out = p.run "rollout status tikvgroup/basic"
    assert.same({ 0, "TiKVGroup basic: 3 of 3 are up to date\n" }, { code, out })
    local before, config = get ".status.currentRevision", get ".spec.template.spec.config"

    assert.is_truthy(select(2, p.run "rollout pause kvg/basic"):find("nobody else gets the template", 1, true))
    patch '{"spec":{"template":{"spec":{"config":"[log.file]\\nmax-days = 7\\n"}}}}'
    assert(app.wait(20, function() return get ".status.reason" == "UpdatePaused" end), get ".status")
    code, out = p.run "rollout status kvg/basic"
    assert.equal(1, code)
    assert.is_truthy(out:find("0 of 3 are up to date: a person has paused", 1, true), out)
    code, out = p.run "rollout resume kvg/basic"
    assert.equal(0, code, out)
    code, out = p.run "rollout status kvg/basic --timeout 1"
    assert.equal(1, code, out)
    assert.is_truthy(out:find("of 3 are up to date: ", 1, true), out)
    done()

    out = select(2, p.run "rollout history kvg/basic")
    assert.is_truthy(out:find("1 +" .. before:gsub("%-", "%%-") .. " +%S+ *\n"), out)
    assert.is_truthy(out:find "2 +basic%-tikv%-%S+ +%S+ +in use", out)
    assert.is_truthy(select(2, p.run "rollout history kvg/basic --revision 2"):find("max-days = 7", 1, true))
    local _, err
    code, _, err = p.run "rollout history kvg/basic --revision 9"
    assert.equal(1, code)
    assert.is_truthy(err:find("there is no revision 9", 1, true), err)

    code, out = p.run "rollout undo kvg/basic"
    assert.equal(0, code, out)
    assert.is_truthy(out:find("it goes back to revision 1, " .. before, 1, true), out)
    done()
    assert.equal(before, get ".status.currentRevision")
    assert.equal(config, get ".spec.template.spec.config")
    code, out = p.run "rollout undo kvg/basic --to-revision 3"
    assert.same({ 0, "TiKVGroup basic: revision 3 is what it has\n" }, { code, out })
  end)

  it("restarts all instances, once", function()
    local before = get ".status.currentRevision"
    assert.equal(0, (p.run "rollout restart kvg/basic"))
    done()
    assert.not_equal(before, get ".status.currentRevision")
  end)

  it("is not needed for the image of a side container: it changes in place (E-28)", function()
    local function side(image)
      patch(('{"spec":{"template":{"spec":{"overlay":{"pod":{"spec":{"containers":[{"name":"side","image":"%s"}]}}}}}}}'):format(image))
    end
    local function pods(path)
      return select(2, app.shell(("kubectl --kubeconfig %s get pods -l core.tikv.org/component=tikv -o jsonpath='{.items[*].%s}'")
        :format(p.kubeconfig, path)))
    end
    side "side:1"
    assert(app.wait(10, function() return get ".status.reason" == "RollingUpdate" end))
    done()
    local before = pods "metadata.uid"
    side "side:2"
    assert(app.wait(20, function()
      local _, n = pods("spec.containers[*].image"):gsub("side:2", "")
      return n == 3
    end), pods "spec.containers[*].image")
    assert.equal(before, pods "metadata.uid")
  end)

  it("says what is wrong with the command line", function()
    for line, want in pairs {
      ["rollout"] = "status, history, undo, pause, resume or restart",
      ["rollout fly kvg/basic"] = "fly: status, history",
      ["rollout status"] = "name one TiKVGroup or PDGroup",
      ["rollout status tikv/basic-0"] = "the kind is TiKVGroup or PDGroup",
      ["rollout undo kvg/basic kvg/more"] = "one object at a time",
    } do
      local code, _, err = p.run(line)
      assert.equal(2, code, line)
      assert.is_truthy(err:find(want, 1, true), err)
    end
  end)
end)
