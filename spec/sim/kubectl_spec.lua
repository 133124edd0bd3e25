-- luacheck: no max line length
-- What kubectl in particular asks for: tables, discovery, schemas, strategic merges, protobuf.
local sim = require "spec.support.apisim"
local cases = require "spec.conformance.cases"
local TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
local POD = "/api/v1/namespaces/default/pods"

describe("for kubectl, the simulated API server", function()
  local s
  before_each(function()
    s = sim.new()
    s:send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", cases.crd)
  end)
  after_each(function() s:close() end)

  it("prints pods as tables, with the state a person expects", function()
    s:send("POST", POD, '{"metadata":{"name":"p"},"spec":{"nodeName":"n","containers":[{"name":"c","image":"i"},{"name":"d","image":"i"}]}}')
    s:send("PATCH", POD .. "/p/status", '{"status":{"phase":"Running","podIP":"10.0.0.1","containerStatuses":[' ..
      '{"name":"c","ready":true,"restartCount":2,"state":{"running":{}}},' ..
      '{"name":"d","ready":false,"restartCount":1,"state":{"waiting":{"reason":"CrashLoopBackOff"}}}]}}', "application/merge-patch+json")
    s:run(125000)
    local _, t = s:send("GET", POD, nil, nil, TABLE)
    assert.same({ "p", "1/2", "CrashLoopBackOff", "3", "2m5s", "10.0.0.1", "n", "<none>", "<none>" }, t.rows[1].cells)
    assert.equal("PartialObjectMetadata", t.rows[1].object.kind)
    s:send("DELETE", POD .. "/p")
    _, t = s:send("GET", POD .. "/p", nil, nil, TABLE)
    assert.equal("Terminating", t.rows[1].cells[3])
  end)

  it("prints the columns of a CRD by their JSON paths, filters included", function()
    local W = "/apis/conformance.tikv.org/v1/namespaces/default/widgets"
    s:send("POST", W, '{"apiVersion":"conformance.tikv.org/v1","kind":"Widget","metadata":{"name":"w"},"spec":{"cluster":"c"}}')
    s:send("PATCH", W .. "/w/status", '{"status":{"conditions":[{"type":"Other","status":"False"},{"type":"Ready","status":"True"}]}}',
      "application/merge-patch+json")
    local _, t = s:send("GET", W, nil, nil, TABLE)
    assert.same({ "w", "c", "True" }, t.rows[1].cells)
  end)

  it("gives aggregated discovery with short names, categories and subresources", function()
    local _, d, _, kind = s:send("GET", "/apis", nil, nil, "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
    assert.equal("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", kind)
    local found
    for _, g in ipairs(d.items) do
      if g.metadata.name == "conformance.tikv.org" then found = g.versions[1].resources[1] end
    end
    assert.same({ "wg" }, found.shortNames)
    assert.equal("Namespaced", found.scope)
    assert.equal("status", found.subresources[1].subresource)
    assert.equal("Scale", found.subresources[2].responseKind.kind)
  end)

  it("publishes the CRD's schema as OpenAPI v3, found through the index", function()
    local _, index = s:send("GET", "/openapi/v3")
    local url = index.paths["apis/conformance.tikv.org/v1"].serverRelativeURL
    local _, doc = s:send("GET", url)
    local schema = doc.components.schemas["org.tikv.conformance.v1.Widget"]
    assert.equal("integer", schema.properties.spec.properties.replicas.type)
    assert.equal("Widget", schema["x-kubernetes-group-version-kind"][1].kind)
    local one = doc.paths["/apis/conformance.tikv.org/v1/namespaces/{namespace}/widgets/{name}"]
    assert.equal("fieldValidation", one.patch.parameters[3].name)
  end)

  it("follows the directives of a strategic merge patch", function()
    local SMP = "application/strategic-merge-patch+json"
    s:send("POST", "/api/v1/namespaces/default/services", '{"metadata":{"name":"s"},"spec":{"selector":{"a":"b"},"ports":[' ..
      '{"name":"a","port":1},{"name":"b","port":2},{"name":"c","port":3}]}}')
    local _, o = s:send("PATCH", "/api/v1/namespaces/default/services/s", '{"spec":{"$setElementOrder/ports":[{"port":4},{"port":3},{"port":1}],' ..
      '"ports":[{"port":2,"$patch":"delete"},{"port":4,"name":"d"}],"selector":{"$patch":"replace","x":"y"}}}', SMP)
    local names = {}
    for _, p in ipairs(o.spec.ports) do names[#names + 1] = p.name end
    assert.same({ "d", "c", "a" }, names)
    assert.same({ x = "y" }, o.spec.selector)
  end)

  it("reads the protobuf bodies that typed commands send, and says what it can not read", function()
    local function len(field, bytes) return string.char(field * 8 + 2, #bytes) .. bytes end
    local meta = len(1, "cm")
    local config = len(1, meta) .. len(2, len(1, "key") .. len(2, "value"))
    local function unknown(kind, raw)
      return "k8s\0" .. len(1, len(1, "v1") .. len(2, kind)) .. len(2, raw)
    end
    local kind = "application/vnd.kubernetes.protobuf"
    local status, o = s:send("POST", "/api/v1/namespaces/default/configmaps", unknown("ConfigMap", config), kind)
    assert.equal(201, status)
    assert.equal("value", o.data.key)
    status, o = s:send("POST", POD, unknown("Pod", config), kind)
    assert.equal(415, status)
    assert.is_truthy(o.message:find("protobuf Pod", 1, true))
    assert.equal(400, (s:send("POST", "/api/v1/namespaces/default/configmaps", unknown("ConfigMap", "\18\255"), kind)))
  end)

  it("warns of nothing when nobody judges, and holds evictions against a budget", function()
    s:send("POST", POD, '{"metadata":{"name":"p","labels":{"a":"b"}},"spec":{"nodeName":"n","containers":[{"name":"c","image":"i"}]}}')
    s:send("POST", "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
      '{"metadata":{"name":"b"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"a":"b"}}}}')
    local eviction = '{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"p"}}'
    local status, o = s:send("POST", POD .. "/p/eviction", eviction)
    assert.equal(429, status)
    assert.equal("DisruptionBudget", o.details.causes[1].reason)
    s:send("PATCH", "/apis/policy/v1/namespaces/default/poddisruptionbudgets/b/status", '{"status":{"disruptionsAllowed":1}}',
      "application/merge-patch+json")
    assert.equal(201, (s:send("POST", POD .. "/p/eviction", eviction)))
    assert.is_truthy(select(2, s:send("GET", POD .. "/p")).metadata.deletionTimestamp)
  end)

  it("binds a pod once", function()
    s:send("POST", POD, '{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}')
    local binding = '{"apiVersion":"v1","kind":"Binding","metadata":{"name":"p"},"target":{"kind":"Node","name":"n1"}}'
    assert.equal(201, (s:send("POST", POD .. "/p/binding", binding)))
    assert.equal("n1", select(2, s:send("GET", POD .. "/p")).spec.nodeName)
    assert.equal(409, (s:send("POST", POD .. "/p/binding", binding)))
  end)
end)
