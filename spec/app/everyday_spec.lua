-- The everyday verbs: each is one patch, which the server checks. One playground serves the whole file.
local app = require "app.support"

describe("an everyday verb", function()
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

  local function object(kind, name)
    local _, out = app.shell(("kubectl --kubeconfig %s get %s %s -o json"):format(p.kubeconfig, kind, name))
    return out
  end

  local function status(text, seconds)
    local out
    assert(app.wait(seconds or 20, function()
      out = select(2, p.run "status basic")
      return out:find(text)
    end), text .. "\n" .. tostring(out))
  end

  it("says what it did and what to watch; asked twice it has nothing to do", function()
    local code, out = p.run "pause basic"
    assert.equal(0, code)
    assert.is_truthy(out:find("Cluster basic: nothing of it is changed until", 1, true), out)
    assert.is_truthy(out:find("Watch: kubectl tikv status basic -n default -w", 1, true), out)
    status "Cluster basic +Paused"
    assert.is_truthy(select(2, p.run "pause basic"):find "paused already")
    code, out = p.run "resume cluster/basic"
    assert.same({ 0, "Cluster basic: paused no more" }, { code, out:match "^[^\n]+" })
    status "Cluster basic +Running"
    assert.is_truthy(select(2, p.run "resume basic"):find "neither paused nor suspended")
  end)

  it("writes nothing with --dry-run", function()
    local before = object("tikvgroup", "basic"):match '"resourceVersion": "(%d+)"'
    local code, out = p.run "scale-in basic -i basic-1 --dry-run"
    assert.equal(0, code)
    assert.is_truthy(out:find("from 3 to 2: [\"basic-1\"] leave (dry run: nothing was written)", 1, true), out)
    for _, words in ipairs { "restart tikvgroup/basic", "restart pd/basic-0", "replace tikv/basic-1", "evict tikv/basic-1",
      "hold pd/basic-1", "suspend basic" } do
      assert.same({ words, 0 }, { words, (p.run(words .. " --dry-run")) })
    end
    assert.equal(before, object("tikvgroup", "basic"):match '"resourceVersion": "(%d+)"')
    assert.is_nil(object("tikv", "basic-1"):find("deletionTimestamp", 1, true))
  end)

  it("sets and takes away the annotations that the controllers obey", function()
    for _, row in ipairs {
      { "evict tikv/basic-0", "tikv", "basic-0", '"core.tikv.org/evict-leaders": "true"', "evict tikv/basic-0 --off" },
      { "hold tikv/basic-0 --why 'ask Ann'", "tikv", "basic-0", '"core.tikv.org/hold": "ask Ann"', "release kv/basic-0" },
      { "hold pd/basic-0", "pd", "basic-0", '"core.tikv.org/hold": "by hand"', "release pd/basic-0" },
    } do
      assert.equal(0, (p.run(row[1])))
      assert.is_truthy(object(row[2], row[3]):find(row[4], 1, true), row[1])
      assert.equal(0, (p.run(row[5])))
      assert.is_nil(object(row[2], row[3]):find(row[4], 1, true), row[5])
    end
    assert.is_truthy(select(2, p.run "release tikv/basic-0"):find "is not held")
    assert.is_truthy(select(2, p.run "evict tikv/basic-0 --off"):find "no eviction")
  end)

  it("takes the word of a person for a lost disk only with the right store id", function()
    local id = object("tikv", "basic-2"):match '"id": "(%d+)"'
    local code, _, err = p.run "replace tikv/basic-2 --destroyed 999999"
    assert.equal(1, code)
    assert.is_truthy(err:find("its store is " .. id .. ", not 999999: be sure", 1, true), err)
    assert.equal(1, (p.run("replace pd/basic-2 --destroyed " .. id)))
  end)

  it("refuses what is not there or of another kind, and says what to do", function()
    for words, want in pairs {
      ["restart tikv/nope"] = { 1, "TiKV nope: not in namespace default: kubectl get tikvs -A" },
      ["scale-in basic -i 7"] = { 1, "it has no instance 7: kubectl tikv status" },
      ["scale-in basic"] = { 2, "--instance: name who leaves" },
      ["evict pd/basic-0"] = { 2, "the kind is TiKV" },
      ["hold basic-0"] = { 2, "write KIND/NAME, the kind is TiKV or PD" },
      ["restart cluster/basic"] = { 2, "the kind is TiKVGroup, PDGroup, TiKV or PD" },
      ["pause"] = { 2, "name one Cluster" },
      ["pause a b"] = { 2, "b: one object at a time" },
      ["hold tikv/basic-0 --why ''"] = { 1, "--why is empty" },
      ["scale-in pdgroup/basic -i 0 -i 1 -i 2"] = { 1, "PDGroup basic: one stays: delete" },
    } do
      local code, out, err = p.run(words)
      assert.same({ words, want[1], "" }, { words, code, out })
      assert.is_truthy(err:find(want[2], 1, true), words .. ": " .. err)
    end
  end)

  it("scale-in names who leaves, and forgets names of those that are gone", function()
    assert.equal(0, (app.shell(("kubectl --kubeconfig %s scale tikvgroup basic --replicas=5"):format(p.kubeconfig))))
    status "TiKV 5/5"
    local code, out = p.run "scale-in basic --instance 1"
    assert.equal(0, code)
    assert.is_truthy(out:find("from 5 to 4", 1, true), out)
    assert(app.wait(60, function() return not object("tikv", "basic-1"):find "metadata" end), "basic-1 stays")
    status "TiKV 4/4"
    assert.is_truthy(object("tikv", "basic-4"):find "metadata")
    assert.equal(0, (p.run "scale-in tikvgroup/basic -i basic-0 --dry-run"))
    assert.equal(0, (app.shell(("kubectl --kubeconfig %s annotate tikv basic-2 core.tikv.org/remove-first=true"):format(
      p.kubeconfig))))
    assert.equal(0, (app.shell(("kubectl --kubeconfig %s scale tikvgroup basic --replicas=3"):format(p.kubeconfig))))
    assert(app.wait(60, function() return not object("tikv", "basic-2"):find "metadata" end), "basic-2 stays")
  end)
end)
