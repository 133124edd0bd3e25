-- What status and explain say beyond the objects' own words: live figures, and whose an object is.
local app = require "app.support"

describe("explain and status", function()
  local p

  setup(function()
    p = app.playground()
    assert(app.wait(30, function()
      return select(2, p.run "status basic"):find("TiKV 3/3", 1, true)
    end), "the cluster did not come up")
  end)
  teardown(function()
    p.stop "TERM"
    app.clean()
  end)

  local function kubectl(words) return app.shell(("kubectl --kubeconfig %s %s"):format(p.kubeconfig, words)) end

  local function explained(object, seconds)
    local out
    app.wait(seconds or 15, function()
      out = select(2, p.run("explain " .. object))
      return out:find "live, "
    end)
    return out
  end

  it("show PD's newest figures, and how old they are", function()
    assert.is_truthy(explained("tikv/basic-0"):find(
      "\nStore: +%d+, Up %(%a+%), %d+ leaders, %d+ regions, .- free, heartbeat %d+ s ago %(live, %d+%a old%)\n"))
    assert.is_truthy(explained("pd/basic-0"):find "\nMember: +%d+, %a+, healthy %(live, %d+%a old%)\n")
    local out = explained "cluster/basic"
    assert.is_truthy(out:find "\nStores: +3 Up %(live, ", out)
    assert.is_truthy(out:find "\nPD: +%d+ at http://basic%-pd.default:2379, leader basic%-pd%-%d %(live, ", out)
  end)

  it("name the object of ours behind anything that is ours", function()
    for object, owner in pairs {
      ["pod/basic-tikv-1"] = "TiKV default/basic-1", ["po/basic-pd-0"] = "PD default/basic-0",
      ["pvc/data-basic-tikv-2"] = "TiKV default/basic-2", ["cm/basic-pd-1"] = "PD default/basic-1",
      ["svc/basic-pd"] = "PDGroup default/basic", ["pdb/basic-tikv"] = "Cluster default/basic",
    } do
      local code, out = p.run("explain " .. object)
      assert.equal(0, code)
      assert.is_truthy(out:find("Belongs to:\n\n" .. owner, 1, true), object .. "\n" .. out)
    end
    local _, volume = kubectl "get pvc data-basic-tikv-0 -o jsonpath={.spec.volumeName}"
    local code, out = p.run("explain pv/" .. volume)
    assert.equal(0, code)
    assert.is_truthy(out:find("TiKV default/basic-0", 1, true), out)
  end)

  it("say so when an object is nobody's, or is not there", function()
    kubectl "create configmap nobody"
    local code, _, err = p.run "explain cm/nobody"
    assert.equal(1, code)
    assert.is_truthy(err:find("it belongs to nothing of tikv-operator", 1, true), err)
    assert.equal(1, (p.run "explain pod/nope"))
  end)

  it("fall back to status, with its age, where the operator can not be asked", function()
    kubectl "-n tikv-system delete pod tikv-operator-0 --wait=false"
    assert(app.wait(10, function() return not select(2, p.run "explain tikv/basic-0"):find "live" end))
    local out = select(2, p.run "explain tikv/basic-0")
    assert.is_truthy(out:find "\nStore: +%d+, Up .- %(from status", out)
    assert.equal(0, (p.run "status basic"))
  end)
end)
