--- `replay`: a pass that an operator recorded runs again, from its record alone.
local app = require "app.support"
local json = require "dkjson"

describe("replay", function()
  local p, o, pass, text

  local function page(path)
    local _, out = app.shell(("curl -s http://127.0.0.1:%s%s"):format(o.port, path))
    return out
  end

  -- A pass that wanted something done, of an instance that asked a policy.
  setup(function()
    p = app.playground "--no-operator --empty"
    o = app.start(("run --kubeconfig %s --connect-to %s --listen 127.0.0.1:0"):format(p.kubeconfig, p.connect))
    o.port = app.wait(5, function() return o.err():match [["port":"(%d+)"]] end)
    local kubeconfig = app.read(p.kubeconfig)
    local server, token = kubeconfig:match "server: (%S+)", kubeconfig:match "token: ([^%s}]+)"
    local send = "curl -sk -X PATCH -H 'Authorization: Bearer %s' -H 'Content-Type: application/apply-patch+yaml' " ..
      "--data-binary @%s '%s%s?fieldManager=spec'"
    local where = { ConfigMap = "/api/v1/namespaces/default/configmaps/" }
    for _, k in ipairs { "Cluster", "PDGroup", "TiKVGroup" } do
      where[k] = ("/apis/core.tikv.org/v1alpha1/namespaces/default/%ss/"):format(k:lower())
    end
    local manifests = app.read "examples/policy/cluster.yaml":gsub("hour >= 6 and hour < 22", "true")
      :gsub('t:denies%([^\n]*', "")
    for doc in (manifests .. "\n---\n"):gmatch "(.-)\n%-%-%-\n" do
      local kind, name = doc:match "kind: (%w+)", doc:match "name: ([%w-]+)"
      app.shell(send:format(token, app.write("doc.yaml", doc), server, where[kind] .. name))
    end
    pass = app.wait(20, function()
      for n = 0, 20 do -- the n-th before the newest: the one that made the pod
        text = page("/debug/pass/TiKV/default/guided-0/" .. n)
        local got = text ~= "no such page\n" and json.decode(text)
        if not got then return false end
        for _, q in ipairs(got.asked or {}) do
          if q.question == "render_pod" then return got end
        end
      end
    end)
    assert(pass, o.err())
  end)
  teardown(function()
    o.stop "TERM"
    p.stop "TERM"
    app.clean()
  end)

  local function replay(record, more)
    return app.run(("replay %s %s"):format(app.write("pass.json", record), more or ""))
  end
  local function scripts(name, from, to)
    local changed, n = app.read("lua/lib/" .. name):gsub(from, to)
    assert(n > 0)
    app.shell(("rm -rf %s/ld; mkdir -p %s/ld/lib"):format(app.folder(), app.folder()))
    app.write("ld/lib/" .. name, changed)
    return "--lua-dir " .. app.folder() .. "/ld"
  end

  it("gives the same plan, with the answers that policies gave", function()
    local code, out, err = replay(text)
    assert.same({ 0, "" }, { code, err })
    assert.is_truthy(out:find("\nthe same plan\n$"), out)
    assert.is_truthy(out:find("apply Pod guided-tikv-0", 1, true), out)
    assert.is_truthy(out:find("^TiKV/default/guided%-0: recorded with (%x+), run with %1\n"), out)
  end)

  it("shows which fields of which action other scripts would change", function()
    local code, out = replay(text, scripts("pod.lua", "tostring%(M.FORMAT%)", '"next"'))
    assert.equal(1, code)
    assert.is_truthy(out:find("\n~   apply Pod guided%-tikv%-0\n" ..
      '      object.metadata.annotations.core.tikv.org/format: "[^"]+" %-> "next"\n'), out)
    assert.is_truthy(out:find("\nanother plan\n$"), out)
  end)

  it("shows actions that are new or gone, and another verdict", function()
    local code, out = replay(text, scripts("lifecycle.lua", "p:apply%(pods.build%(w, i%)%)",
      'p:event("Normal", "Nothing", "no pod today")'))
    assert.equal(1, code)
    -- What stands between them depends on how far the recorded instance was.
    assert.is_truthy(out:find("\n-   apply Pod guided-tikv-0\n", 1, true), out)
    assert.is_truthy(out:find("\n+   event Nothing\n", 1, true), out)
    code, out = replay(text, scripts("lifecycle.lua", "local function start%(w, p, i%)",
      '%0 do return p:retry(3, "Other", "another verdict") end'))
    assert.equal(1, code)
    assert.is_truthy(out:find("\n- wait (Starting: ", 1, true), out)
    assert.is_truthy(out:find("\n+ retry (Other: another verdict)\n", 1, true), out)
  end)

  it("holds the step when a question was not recorded, and tells an error of the scripts", function()
    local record = json.decode(text)
    for n = #record.asked, 1, -1 do
      if record.asked[n].question == "render_pod" then table.remove(record.asked, n) end
    end
    local code, out = replay(json.encode(record))
    assert.equal(1, code)
    assert.is_truthy(out:find("PolicyError: pod is held: (of the record): render_pod was not asked", 1, true), out)
    code, out = replay(text, scripts("lifecycle.lua", "local function start%(w, p, i%)", "%0 error('boom')"))
    assert.equal(1, code)
    assert.is_truthy(out:find("+ fails: ", 1, true) and out:find("boom", 1, true), out)
  end)

  it("prints both plans as JSON, and reads standard input", function()
    local file = app.write("pass.json", text)
    local code, out = app.shell(("%s replay - -o json < %s"):format(app.binary, file))
    local got = json.decode(out)
    assert.equal(0, code)
    assert.is_true(got.same)
    assert.same(got.recorded, got.plan)
  end)

  it("says what is wrong with a file that is no record, or was kept as one line", function()
    for bad, why in pairs { ["{"] = "not a recorded pass", ["{}"] = "save what /debug/pass",
      ['{"key": "TiKV/a/b"}'] = "kept as one line only" } do
      local code, _, err = app.run("replay " .. app.write("bad.json", bad))
      assert.same({ bad, 1 }, { bad, code })
      assert.is_truthy(err:find(why, 1, true), err)
    end
    assert.equal(2, (app.run "replay"))
  end)
end)
