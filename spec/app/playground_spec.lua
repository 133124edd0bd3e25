-- The playground and the verbs that look at a cluster. One playground serves the whole file.
local app = require "app.support"

describe("a playground", function()
  local p

  setup(function()
    p = app.playground()
    assert(app.wait(30, function()
      local code, out = p.run "status basic"
      return code == 0 and out:find("TiKV 3/3", 1, true)
    end), "the cluster did not come up")
  end)
  teardown(function()
    p.stop "TERM"
    app.clean()
  end)

  it("says on its first line how to reach it, on the second what to try", function()
    local first = "^ready: export KUBECONFIG=" .. p.kubeconfig:gsub("%p", "%%%0")
    assert.is_truthy(p.out():find(first .. "\nthen:  kubectl"))
  end)

  it("draws the tree of a cluster", function()
    local code, out = p.run "status"
    assert.equal(0, code)
    for _, text in ipairs { "^Cluster basic", "\n├─ PDGroup basic", "\n│  └─ PD basic%-2",
      "\n└─ TiKVGroup basic", "\n   └─ TiKV basic%-2" } do
      assert.is_truthy(out:find(text), text .. "\n" .. out)
    end
    assert.is_nil(out:find("\27", 1, true), "colours are for terminals")
  end)

  it("gives the tree as JSON and YAML, without managedFields", function()
    for format, text in pairs { json = '"cluster": {', yaml = "^%- cluster:\n" } do
      local code, out = p.run("status basic -o " .. format)
      assert.equal(0, code)
      assert.is_truthy(out:find(text))
      assert.is_nil(out:find("managedFields", 1, true))
    end
  end)

  it("answers 1 for a cluster or a namespace that is not there, and says where to look", function()
    for words, text in pairs { ["status nope"] = "No Cluster nope in namespace default: kubectl get",
      ["status -n empty"] = "No Cluster in namespace empty: kubectl apply",
      ["status nope -o json"] = "No Cluster nope", ["explain tikv/nope"] = "kubectl get tikvs -A lists them",
      ["plan tikv/nope"] = "No tikv/nope in namespace default: kubectl get" } do
      local code, _, err = p.run(words)
      assert.same({ words, 1 }, { words, code })
      assert.is_truthy(err:find(text, 1, true), err)
    end
    local code, _, err = p.run "status --context nope"
    assert.equal(1, code)
    assert.is_truthy(err:find('have "playground"', 1, true), err)
  end)

  it("takes client options before the verb as well", function()
    local code, out = app.run(("--kubeconfig %s -n default status basic"):format(p.kubeconfig))
    assert.equal(0, code)
    assert.is_truthy(out:find("^Cluster basic"))
  end)

  it("explains an object by any name that kubectl knows", function()
    for _, words in ipairs { "tikv/basic-0", "kv/basic-0", "TiKVs basic-0", "tikvgroup/basic", "tkc/basic" } do
      local code, out = p.run("explain " .. words)
      assert.same({ words, 0 }, { words, code })
      assert.is_truthy(out:find("Phase:", 1, true) and out:find("Conditions:", 1, true), out)
    end
    local _, out = p.run "explain kv/basic-0 -o yaml"
    assert.is_truthy(out:find("\nphase: Serving\n", 1, true), out)
  end)

  it("plans without writing: settled objects have nothing to do", function()
    local _, before = p.run "status basic -o json"
    local code, out = p.run("plan --connect-to " .. p.connect)
    assert.equal(0, code)
    for _, name in ipairs { "Cluster/basic", "PDGroup/basic", "TiKVGroup/basic", "TiKV/basic-2" } do
      assert.is_truthy(out:find(name .. ": ", 1, true), out)
    end
    local _, one = p.run("plan kv/basic-1 --connect-to " .. p.connect)
    assert.equal(1, select(2, one:gsub("\n%S", "%0")) + (one:find("^TiKV/basic%-1") and 1 or 0), one)
    local _, after = p.run "status basic -o json"
    local function generation(text) return text:match '"generation":%s*(%d+)' end
    assert.equal(generation(before), generation(after))
  end)

  it("plans for scripts of a folder, and refuses a folder with a mistake", function()
    local dir = app.folder() .. "/mine"
    app.shell(("mkdir -p %s && cp -r lua/controllers lua/lib %s"):format(dir, dir))
    local code = p.run(("plan kv/basic-0 --lua-dir %s --connect-to %s"):format(dir, p.connect))
    assert.equal(0, code)
    app.shell(("echo 'return +' >> %s/lib/pod.lua"):format(dir))
    local c, _, err = p.run("plan kv/basic-0 --lua-dir " .. dir)
    assert.equal(1, c)
    assert.is_truthy(err:find("lib/pod.lua:%d+"), err)
  end)

  it("says so where PD can not be reached from here", function()
    local code, _, err = p.run "plan kv/basic-0"
    assert.equal(0, code)
    assert.is_truthy(err:find("--connect-to names a way to PD", 1, true), err)
  end)

  it("repeats status until it is interrupted", function()
    local w = app.start("status basic -w --kubeconfig " .. p.kubeconfig)
    assert(app.wait(6, function() return select(2, w.out():gsub("Cluster basic", "")) >= 2 end))
    assert.is_true(w.stop "TERM" > 0)
    assert.is_false(app.alive(w.pid))
  end)

  it("is a kubectl plug-in: flags follow the verb (where there is kubectl) #pending", function()
    if not app.kubectl then
      pending "there is no kubectl"
      return
    end
    local code, out, err = app.shell(([[
      ln -sf $(realpath %s) %s/kubectl-tikv
      PATH=%s:$PATH KUBECONFIG=%s kubectl tikv status basic -n default]]):format(
      app.binary, app.folder(), app.folder(), p.kubeconfig))
    assert.same({ 0, "" }, { code, err })
    assert.is_truthy(out:find("^Cluster basic"))
  end)
end)

describe("the end of a playground", function()
  teardown(app.clean)

  -- Its children run with --kubeconfig of that playground.
  local function children(p)
    local _, out = app.shell(("grep -sl -- '%s' /proc/[0-9]*/cmdline | wc -l"):format("[k]ubeconfig=" .. p.kubeconfig))
    return tonumber(out)
  end

  for _, signal in ipairs { "INT", "TERM", "HUP" } do
    it("leaves no process and no file behind after SIG" .. signal, function()
      local p = app.playground "--empty"
      assert.is_true(app.wait(3, function() return children(p) > 0 end))
      assert.equal(0, p.stop(signal))
      assert.equal(0, children(p))
      assert.equal("", app.read(p.kubeconfig))
    end)
  end

  it("removes its temporary folder too", function()
    local tmp = app.folder() .. "/tmp"
    app.shell("mkdir -p " .. tmp)
    for _ = 1, 3 do
      local _, _, err = app.shell(("TMPDIR=%s timeout -s INT 1 %s playground --empty; ls -A %s | wc -l >&2"):format(
        tmp, app.binary, tmp))
      assert.equal("0\n", err)
    end
  end)
end)

describe("the guided tour", function()
  teardown(app.clean)

  it("ends by itself, tells each phase once a line, and says how to go on", function()
    local d = app.start "playground --demo"
    assert(app.wait(160, function() return not app.alive(d.pid) end), "it does not end")
    local out = d.out()
    assert.equal("", d.err())
    for _, text in ipairs { "TiKV basic%-4%s+Serving", "TiKV basic%-1%s+Leaving%s+store %d+: 0 leaders, %d+ regions left",
      "TiKV basic%-2%s+Restarting", "UpdateStarted", "NodeGone", "Recovered", "all seven pods on v8%.5%.3",
      "Looked %d+ times: each time every region had a majority of its copies", "The operator wrote %d+ times" } do
      assert.is_truthy(out:find(text), text .. "\n" .. out)
    end
    assert.is_truthy(out:find("\nDone in %d+%.%d s"), out)
    assert.is_truthy(out:find("Go on by hand", 1, true))
    assert.is_nil(out:find("\27", 1, true))
  end)
end)
