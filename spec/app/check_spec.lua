-- `check`: manifests and scripts, without a cluster.
local app = require "app.support"

describe("check", function()
  teardown(app.clean)

  local function check(text, name)
    return app.run("check " .. app.write(name or "a.yaml", text))
  end

  it("finds nothing wrong in the examples", function()
    local code, out, err = app.run "check examples"
    assert.same({ 0, "" }, { code, err })
    assert.is_truthy(out:find("%d+ objects, no problems"))
  end)

  it("names file, line, object and field of an unknown field and of a wrong type", function()
    local code, out, err = check [[
apiVersion: v1
kind: Namespace
metadata: {name: n}
---
apiVersion: core.tikv.org/v1alpha1
kind: TiKVGroup
metadata: {name: g}
spec:
  cluster: {name: c}
  replicas: three
  colour: red
  template: {spec: {version: v8.5.2, volumes: [{name: data, mounts: [{type: data}], storage: 1Gi}]}}
]]
    assert.equal(1, code)
    assert.is_truthy(out:find('a.yaml:5: TiKVGroup g: unknown field "spec.colour"', 1, true), out)
    assert.is_truthy(out:find("a.yaml:5: TiKVGroup g: spec.replicas:", 1, true), out)
    assert.is_truthy(err:find("2 problems in 2 objects", 1, true), err)
  end)

  it("applies the rules of the CRDs", function()
    local code, out = check [[
apiVersion: core.tikv.org/v1alpha1
kind: TiKVGroup
metadata: {name: g}
spec:
  cluster: {name: c}
  replicas: 3
  template:
    spec:
      version: v8.5.2
      server: {labels: {zone: a}}
      volumes: [{name: data, mounts: [{type: data}], storage: 1Gi}]
]]
    assert.equal(1, code)
    assert.is_truthy(out:find("labels cannot contain host, region or zone", 1, true), out)
  end)

  it("names line and column where YAML is broken", function()
    local code, out = check "a: [1\nb: 2\n"
    assert.equal(1, code)
    assert.is_truthy(out:find("a.yaml:2:2: ", 1, true), out)
  end)

  it("says what to change in a manifest of the peer, and what an object lacks", function()
    local _, out = check "apiVersion: core.pingcap.com/v1alpha1\nkind: Cluster\nmetadata: {name: c}\n"
    assert.is_truthy(out:find("write core.tikv.org/v1alpha1", 1, true), out)
    _, out = check "kind: Cluster\n"
    assert.is_truthy(out:find("apiVersion, kind and metadata.name are required", 1, true), out)
    _, out = check "apiVersion: core.tikv.org/v1alpha1\nkind: Ship\nmetadata: {name: c}\n"
    assert.is_truthy(out:find("no such kind", 1, true), out)
  end)

  it("compiles policies and runs their self-tests", function()
    local function policy(lua)
      return check(('{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "p", "labels": '
        .. '{"tikv.org/policy": "true"}}, "data": {"p.lua": %s}}'):format(('"%s"'):format(lua)), "p.json")
    end
    assert.equal(0, (policy "local P = { api = 1 } function P.can_scale_out() return true end return P"))
    local code, out = policy "local P = { api = 1 } return P +"
    assert.equal(1, code)
    assert.is_truthy(out:find("p.lua:1", 1, true), out)
    local _
    _, out = policy "local P = { api = 1 } function P.can_fly() end return P"
    assert.is_truthy(out:find("can_fly is no question", 1, true), out)
    _, out = policy("local P = { api = 1 } function P.can_scale_out() return true end "
      .. "function P.selftest(t) t:denies('can_scale_out') end return P")
    assert.is_truthy(out:find("should be denied", 1, true), out)
  end)

  it("reads standard input, walks folders, and does not call an empty folder good", function()
    local cluster = "apiVersion: core.tikv.org/v1alpha1\nkind: Cluster\nmetadata: {name: c}\nspec: {}\n"
    local path = app.write("c.yaml", cluster)
    local code, out = app.shell(("%s check - < %s"):format(app.binary, path))
    assert.same({ 0, "1 object, no problems\n" }, { code, out })
    app.shell(("cd %s && mkdir -p deep/er none && cp %s deep/er"):format(app.folder(), path))
    assert.equal("1 object, no problems\n", select(2, app.run("check " .. app.folder() .. "/deep")))
    assert.equal(1, (app.run("check " .. app.folder() .. "/none")))
  end)

  it("prints problems only when asked to be quiet", function()
    assert.same({ 0, "", "" }, { app.run "check -q examples/basic" })
  end)
end)
