-- luacheck: no max line length
--- cases: what a Kubernetes API server does, as far as the operator, the simulator or kubectl rely on it.
--
-- One table for both sides: spec/conformance/apisim_spec.lua runs it in process; a runner for a real
-- server (spec/e2e) gives another `send` function: it takes a base URL and a token, sends
-- {method, path, body, type}, and returns status and decoded body. Any difference is a bug of the
-- simulator.
--
-- Each case gets a namespace of its own, written NS in paths and bodies. A step is
--   { method, path, body, type=content type, status=number,
--     has = { ["json.path"] = value, ... },   value: text or number; a function(v) judges; false: absent
--     keep = { name = "json.path" } }         remembered; later used as $name in paths, bodies, has
-- Paths are split at dots; a number indexes a list from 1; a key with dots is written in [brackets].
local M = {}

local CM = "/api/v1/namespaces/NS/configmaps"
local POD = "/api/v1/namespaces/NS/pods"
local MERGE, JSON = "application/merge-patch+json", "application/json-patch+json"
local SMP, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
local WIDGET = "/apis/conformance.tikv.org/v1/namespaces/NS/widgets"
M.CM, M.WIDGET = CM, WIDGET

M.crd = [[{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition",
"metadata":{"name":"widgets.conformance.tikv.org"},"spec":{"group":"conformance.tikv.org","scope":"Namespaced",
"names":{"plural":"widgets","singular":"widget","kind":"Widget","shortNames":["wg"]},
"versions":[{"name":"v1","served":true,"storage":true,
"selectableFields":[{"jsonPath":".spec.cluster"}],
"additionalPrinterColumns":[{"name":"Cluster","type":"string","jsonPath":".spec.cluster"},
{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}],
"subresources":{"status":{},"scale":{"specReplicasPath":".spec.replicas","statusReplicasPath":".status.replicas"}},
"schema":{"openAPIV3Schema":{"type":"object","properties":{
"spec":{"type":"object","properties":{"cluster":{"type":"string"},"replicas":{"type":"integer","minimum":0},
"ports":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["name"],
"items":{"type":"object","required":["name"],"properties":{"name":{"type":"string"},"port":{"type":"integer"}}}},
"tags":{"type":"array","x-kubernetes-list-type":"set","items":{"type":"string"}},
"nested":{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}}},
"free":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}},
"status":{"type":"object","properties":{"replicas":{"type":"integer"},"phase":{"type":"string"},
"conditions":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["type"],
"items":{"type":"object","required":["type"],"properties":{"type":{"type":"string"},"status":{"type":"string"}}}}}}
}}}}]}}]]

local function cm(name, data)
  return ('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s"},"data":%s}'):format(name, data or "{}")
end
local function widget(name, spec, meta)
  return ('{"apiVersion":"conformance.tikv.org/v1","kind":"Widget","metadata":{"name":"%s"%s},"spec":%s}')
    :format(name, meta or "", spec or "{}")
end
local function pod(name, extra)
  return ('{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s","labels":{"app":"x"}},"spec":{"containers":[' ..
    '{"name":"c","image":"i:1","resources":{"limits":{"cpu":"1","memory":"1Gi"}}}]%s}}'):format(name, extra or "")
end
local function status_of(kind, reason, message)
  return { kind = "Status", status = "Failure", reason = reason, message = message, ["details.kind"] = kind }
end
local function starts(text)
  return function(v) return type(v) == "string" and v:sub(1, #text) == text end
end
local function contains(text)
  return function(v) return type(v) == "string" and v:find(text, 1, true) ~= nil end
end
local present = function(v) return v ~= nil end
local function count(n) return function(v) return type(v) == "table" and #v == n end end

M.cases = {
  { name = "create answers 201 with uid, creationTimestamp and resourceVersion", steps = {
    { "POST", CM, cm("a", '{"x":"1"}'), status = 201, has = { ["metadata.uid"] = present,
      ["metadata.creationTimestamp"] = present, ["metadata.resourceVersion"] = present,
      ["metadata.namespace"] = "NS", ["data.x"] = "1" } },
    { "GET", CM .. "/a", status = 200, has = { kind = "ConfigMap", ["data.x"] = "1" } } } },
  { name = "creating what exists is AlreadyExists", steps = {
    { "POST", CM, cm "a", status = 201 },
    { "POST", CM, cm "a", status = 409, has = status_of("configmaps", "AlreadyExists", 'configmaps "a" already exists') } } },
  { name = "a missing object is NotFound with name and kind in the details", steps = {
    { "GET", CM .. "/no", status = 404, has = status_of("configmaps", "NotFound", 'configmaps "no" not found') },
    { "GET", WIDGET .. "/no", status = 404, has = { message = 'widgets.conformance.tikv.org "no" not found',
      ["details.group"] = "conformance.tikv.org", ["details.name"] = "no", reason = "NotFound" } } } },
  { name = "a missing namespace is NotFound on create and an empty list on list", steps = {
    { "POST", "/api/v1/namespaces/nowhere-at-all/configmaps", cm "a", status = 404,
      has = status_of("namespaces", "NotFound", 'namespaces "nowhere-at-all" not found') },
    { "GET", "/api/v1/namespaces/nowhere-at-all/configmaps", status = 200, has = { items = count(0) } } } },
  { name = "an unknown kind of path is 404", steps = {
    { "GET", "/apis/no.such.group/v1/things", status = 404 } } },
  { name = "the namespace of body and path must agree", steps = {
    { "POST", CM, '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"other"}}', status = 400,
      has = { reason = "BadRequest", message = "the namespace of the provided object does not match the namespace sent on the request" } } } },
  { name = "generateName makes a name", steps = {
    { "POST", CM, '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"pre-"}}', status = 201,
      has = { ["metadata.name"] = function(v) return v:match "^pre%-%w%w%w%w%w$" ~= nil end } } } },
  { name = "a bad name is Invalid with the field", steps = {
    { "POST", CM, cm "Bad_Name", status = 422, has = { reason = "Invalid", ["details.causes.1.field"] = "metadata.name",
      ["details.causes.1.reason"] = "FieldValueInvalid",
      message = starts 'ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of' } },
    { "POST", CM, '{"apiVersion":"v1","kind":"ConfigMap","metadata":{}}', status = 422,
      has = { message = contains "name or generateName is required" } } } },
  { name = "PUT with an old resourceVersion is a Conflict", steps = {
    { "POST", CM, cm "a", status = 201, keep = { rv = "metadata.resourceVersion" } },
    { "PUT", CM .. "/a", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","resourceVersion":"$rv"},"data":{"x":"2"}}', status = 200,
      has = { ["metadata.resourceVersion"] = function(v, kept) return v ~= kept.rv end } },
    { "PUT", CM .. "/a", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","resourceVersion":"$rv"},"data":{"x":"3"}}', status = 409,
      has = status_of("configmaps", "Conflict",
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again') } } },
  { name = "PUT with another uid is a Conflict", steps = {
    { "POST", CM, cm "a", status = 201 },
    { "PUT", CM .. "/a", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","uid":"nope"},"data":{}}', status = 409,
      has = { reason = "Conflict", message = contains "Precondition failed: UID in precondition: nope, UID in object meta: " } } } },
  { name = "PUT of a custom object needs a resourceVersion", steps = {
    { "POST", WIDGET, widget "a", status = 201 },
    { "PUT", WIDGET .. "/a", widget("a", '{"cluster":"c"}'), status = 422,
      has = { message = contains "metadata.resourceVersion: Invalid value: ", ["details.causes.1.field"] = "metadata.resourceVersion" } } } },
  { name = "an update that changes nothing keeps the resourceVersion", steps = {
    { "POST", CM, cm("a", '{"x":"1"}'), status = 201, keep = { rv = "metadata.resourceVersion" } },
    { "PATCH", CM .. "/a", '{"data":{"x":"1"}}', type = MERGE, status = 200, has = { ["metadata.resourceVersion"] = "$rv" } } } },
  { name = "merge patch sets, nests and removes", steps = {
    { "POST", CM, cm("a", '{"x":"1","y":"2"}'), status = 201 },
    { "PATCH", CM .. "/a", '{"data":{"x":null,"z":"3"}}', type = MERGE, status = 200,
      has = { ["data.x"] = false, ["data.y"] = "2", ["data.z"] = "3" } },
    { "PATCH", CM .. "/a", '{"metadata":{"resourceVersion":"1"},"data":{"x":"9"}}', type = MERGE, status = 409, has = { reason = "Conflict" } },
    { "PATCH", CM .. "/a", '{"metadata":{"uid":"other"},"data":{"x":"9"}}', type = MERGE, status = 422,
      has = { reason = "Invalid", message = contains 'metadata.uid: Invalid value: "other": field is immutable' } },
    { "PATCH", CM .. "/no", '{"data":{}}', type = MERGE, status = 404 } } },
  { name = "json patch works and a failed test is Invalid", steps = {
    { "POST", CM, cm("a", '{"x":"1"}'), status = 201 },
    { "PATCH", CM .. "/a", '[{"op":"replace","path":"/data/x","value":"2"},{"op":"add","path":"/data/y","value":"3"}]', type = JSON, status = 200,
      has = { ["data.x"] = "2", ["data.y"] = "3" } },
    { "PATCH", CM .. "/a", '[{"op":"test","path":"/data/x","value":"nope"}]', type = JSON, status = 422, has = { reason = "Invalid" } } } },
  { name = "strategic merge patch merges lists by their keys", steps = {
    { "POST", POD, pod "p", status = 201 },
    { "PATCH", POD .. "/p", '{"spec":{"containers":[{"name":"c","image":"i:2"}]}}', type = SMP, status = 200,
      has = { ["spec.containers.1.image"] = "i:2", ["spec.containers"] = count(1), ["spec.containers.1.resources.limits.cpu"] = "1" } },
    { "PATCH", POD .. "/p", '{"metadata":{"finalizers":["t.io/a"]}}', type = SMP, status = 200 },
    { "PATCH", POD .. "/p", '{"metadata":{"finalizers":["t.io/b"]}}', type = SMP, status = 200, has = { ["metadata.finalizers"] = count(2) } },
    { "PATCH", POD .. "/p", '{"metadata":{"$deleteFromPrimitiveList/finalizers":["t.io/a","t.io/b"]}}', type = SMP, status = 200,
      has = { ["metadata.finalizers"] = false } } } },
  { name = "strategic merge patch is refused for custom kinds", steps = {
    { "POST", WIDGET, widget "a", status = 201 },
    { "PATCH", WIDGET .. "/a", '{"spec":{}}', type = SMP, status = 415, has = { reason = "UnsupportedMediaType" } } } },
  { name = "generation counts changes of spec, not of metadata or status", steps = {
    { "POST", WIDGET, widget("a", '{"replicas":1}'), status = 201, has = { ["metadata.generation"] = 1 } },
    { "PATCH", WIDGET .. "/a", '{"metadata":{"labels":{"l":"1"}}}', type = MERGE, status = 200, has = { ["metadata.generation"] = 1 } },
    { "PATCH", WIDGET .. "/a/status", '{"status":{"phase":"x"}}', type = MERGE, status = 200, has = { ["metadata.generation"] = 1, ["status.phase"] = "x" } },
    { "PATCH", WIDGET .. "/a", '{"spec":{"replicas":2}}', type = MERGE, status = 200, has = { ["metadata.generation"] = 2 } } } },
  { name = "status is written only through its subresource, and only it", steps = {
    { "POST", WIDGET, '{"apiVersion":"conformance.tikv.org/v1","kind":"Widget","metadata":{"name":"a"},"spec":{"replicas":1},"status":{"phase":"x"}}',
      status = 201, has = { status = false } },
    { "PATCH", WIDGET .. "/a", '{"status":{"phase":"y"}}', type = MERGE, status = 200, has = { status = false } },
    { "PATCH", WIDGET .. "/a/status", '{"spec":{"replicas":7},"metadata":{"labels":{"q":"1"}},"status":{"phase":"z"}}', type = MERGE, status = 200,
      has = { ["status.phase"] = "z", ["spec.replicas"] = 1, ["metadata.labels"] = false } } } },
  { name = "scale reads and writes replicas", steps = {
    { "POST", WIDGET, widget("a", '{"replicas":3}'), status = 201 },
    { "GET", WIDGET .. "/a/scale", status = 200, has = { kind = "Scale", apiVersion = "autoscaling/v1", ["spec.replicas"] = 3, ["status.replicas"] = 0 } },
    { "PATCH", WIDGET .. "/a/scale", '{"spec":{"replicas":5}}', type = MERGE, status = 200, has = { ["spec.replicas"] = 5 } },
    { "GET", WIDGET .. "/a", status = 200, has = { ["spec.replicas"] = 5, ["metadata.generation"] = 2 } } } },
  { name = "delete answers a Status, and the object for pods", steps = {
    { "POST", CM, cm "a", status = 201, keep = { uid = "metadata.uid" } },
    { "DELETE", CM .. "/a", status = 200, has = { kind = "Status", status = "Success", ["details.name"] = "a", ["details.kind"] = "configmaps", ["details.uid"] = "$uid" } },
    { "GET", CM .. "/a", status = 404 },
    { "POST", POD, pod "p", status = 201 },
    { "DELETE", POD .. "/p", status = 200, has = { kind = "Pod" } },
    { "GET", POD .. "/p", status = 404 } } },
  { name = "delete checks its preconditions", steps = {
    { "POST", CM, cm "a", status = 201, keep = { uid = "metadata.uid", rv = "metadata.resourceVersion" } },
    { "DELETE", CM .. "/a", '{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"other"}}', status = 409, has = { reason = "Conflict",
      message = contains "the UID in the precondition (other) does not match the UID in record" } },
    { "DELETE", CM .. "/a", '{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"resourceVersion":"1"}}', status = 409, has = { reason = "Conflict",
      message = contains "the ResourceVersion in the precondition (1) does not match the ResourceVersion in record" } },
    { "DELETE", CM .. "/a", '{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"$uid","resourceVersion":"$rv"}}', status = 200 } } },
  { name = "finalizers hold an object until the last is gone", steps = {
    { "POST", WIDGET, widget("a", '{}', ',"finalizers":["t.io/f"]'), status = 201 },
    { "DELETE", WIDGET .. "/a", status = 200, has = { ["metadata.deletionTimestamp"] = present, ["metadata.deletionGracePeriodSeconds"] = 0, ["metadata.generation"] = 2 } },
    { "GET", WIDGET .. "/a", status = 200, has = { ["metadata.deletionTimestamp"] = present }, keep = { rv = "metadata.resourceVersion" } },
    { "DELETE", WIDGET .. "/a", status = 200, has = { ["metadata.resourceVersion"] = "$rv" } },
    { "PATCH", WIDGET .. "/a", '{"metadata":{"finalizers":["t.io/f","t.io/g"]}}', type = MERGE, status = 422, has = { message = contains "no new finalizers can be added if the object is being deleted" } },
    { "PATCH", WIDGET .. "/a", '{"metadata":{"finalizers":null}}', type = MERGE, status = 200 },
    { "GET", WIDGET .. "/a", status = 404 } } },
  { name = "propagation policies become finalizers", steps = {
    { "POST", WIDGET, widget "a", status = 201 },
    { "POST", WIDGET, widget("b", '{}', ',"finalizers":["t.io/f"]'), status = 201 },
    { "DELETE", WIDGET .. "/b", '{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background"}', status = 200, has = { ["metadata.finalizers"] = count(1) } },
    { "PATCH", WIDGET .. "/b", '{"metadata":{"finalizers":[]}}', type = MERGE, status = 200 } } },
  { name = "deletecollection follows the selector", steps = {
    { "POST", WIDGET, widget("a", '{}', ',"labels":{"k":"1"}'), status = 201 },
    { "POST", WIDGET, widget("b", '{}', ',"labels":{"k":"2"}'), status = 201 },
    { "DELETE", WIDGET .. "?labelSelector=k%3D1", status = 200 },
    { "GET", WIDGET, status = 200, has = { items = count(1), ["items.1.metadata.name"] = "b" } } } },
  { name = "lists select by labels and fields", steps = {
    { "POST", WIDGET, widget("a", '{"cluster":"c1"}', ',"labels":{"k":"1"}'), status = 201 },
    { "POST", WIDGET, widget("b", '{"cluster":"c2"}', ',"labels":{"k":"2"}'), status = 201 },
    { "GET", WIDGET .. "?labelSelector=k%20in%20(1,3)", status = 200, has = { items = count(1), ["items.1.metadata.name"] = "a" } },
    { "GET", WIDGET .. "?labelSelector=!k", status = 200, has = { items = count(0) } },
    { "GET", WIDGET .. "?fieldSelector=spec.cluster%3Dc2", status = 200, has = { items = count(1), ["items.1.metadata.name"] = "b" } },
    { "GET", WIDGET .. "?fieldSelector=metadata.name!%3Db", status = 200, has = { items = count(1), ["items.1.metadata.name"] = "a" } },
    { "GET", WIDGET .. "?fieldSelector=spec.replicas%3D2", status = 400, has = { reason = "BadRequest", message = contains "field label not supported: spec.replicas" } } } },
  { name = "lists come in pages", steps = {
    { "POST", CM, cm "l1", status = 201 }, { "POST", CM, cm "l2", status = 201 }, { "POST", CM, cm "l3", status = 201 },
    { "GET", CM .. "?limit=1&labelSelector=!no", status = 200, has = { items = count(1), ["metadata.continue"] = present, ["metadata.remainingItemCount"] = false } },
    { "GET", CM .. "?limit=2&fieldSelector=metadata.name!%3Dkube-root-ca.crt", status = 200, has = { items = count(2), ["items.2.metadata.name"] = "l2", kind = "ConfigMapList" },
      keep = { token = "metadata.continue", rv = "metadata.resourceVersion" } },
    { "POST", CM, cm "l0", status = 201 },
    { "GET", CM .. "?limit=2&fieldSelector=metadata.name!%3Dkube-root-ca.crt&continue=$token", status = 200,
      has = { items = count(1), ["items.1.metadata.name"] = "l3", ["metadata.continue"] = false, ["metadata.resourceVersion"] = "$rv" } },
    { "GET", CM .. "?continue=rubbish", status = 400 } } },
  { name = "a list of an exact moment does not see later writes", steps = {
    { "POST", CM, cm "e1", status = 201, keep = { rv = "metadata.resourceVersion" } },
    { "POST", CM, cm "e2", status = 201 },
    { "GET", CM .. "?resourceVersion=$rv&resourceVersionMatch=Exact&fieldSelector=metadata.name!%3Dkube-root-ca.crt", status = 200,
      has = { items = count(1), ["metadata.resourceVersion"] = "$rv" } },
    { "GET", CM .. "?resourceVersionMatch=Exact", status = 422, has = { reason = "Invalid" } },
    { "GET", CM .. "?resourceVersion=abc", status = 400 } } },
  { name = "apply creates, owns, and removes what it no longer names", steps = {
    { "PATCH", CM .. "/a?fieldManager=m1", cm("a", '{"x":"1","y":"2"}'), type = APPLY, status = 201,
      has = { ["metadata.managedFields.1.manager"] = "m1", ["metadata.managedFields.1.operation"] = "Apply",
        ["metadata.managedFields.1.fieldsV1.f:data.f:x"] = present, ["metadata.managedFields.1.fieldsV1.f:data.[.]"] = false } },
    { "PATCH", CM .. "/a?fieldManager=m1", cm("a", '{"y":"2"}'), type = APPLY, status = 200, has = { ["data.x"] = false, ["data.y"] = "2" }, keep = { rv = "metadata.resourceVersion" } },
    { "PATCH", CM .. "/a?fieldManager=m1", cm("a", '{"y":"2"}'), type = APPLY, status = 200, has = { ["metadata.resourceVersion"] = "$rv" } } } },
  { name = "apply conflicts name manager and field, and force takes over", steps = {
    { "PATCH", CM .. "/a?fieldManager=m1", cm("a", '{"x":"1"}'), type = APPLY, status = 201 },
    { "PATCH", CM .. "/a?fieldManager=m2", cm("a", '{"x":"2"}'), type = APPLY, status = 409, has = { reason = "Conflict",
      message = 'Apply failed with 1 conflict: conflict with "m1": .data.x', ["details.causes.1.reason"] = "FieldManagerConflict",
      ["details.causes.1.field"] = ".data.x", ["details.causes.1.message"] = 'conflict with "m1"' } },
    { "PATCH", CM .. "/a?fieldManager=m2&force=true", cm("a", '{"x":"2"}'), type = APPLY, status = 200,
      has = { ["data.x"] = "2", ["metadata.managedFields"] = count(1), ["metadata.managedFields.1.manager"] = "m2" } } } },
  { name = "two appliers may share a field, which stays until both let go", steps = {
    { "PATCH", CM .. "/a?fieldManager=m1", cm("a", '{"x":"1"}'), type = APPLY, status = 201 },
    { "PATCH", CM .. "/a?fieldManager=m2", cm("a", '{"x":"1","y":"2"}'), type = APPLY, status = 200, has = { ["metadata.managedFields"] = count(2) } },
    { "PATCH", CM .. "/a?fieldManager=m1", cm("a", '{}'), type = APPLY, status = 200, has = { ["data.x"] = "1" } },
    { "PATCH", CM .. "/a?fieldManager=m2", cm("a", '{}'), type = APPLY, status = 200, has = { ["data.x"] = false } } } },
  { name = "an update takes fields over from appliers", steps = {
    { "PATCH", CM .. "/a?fieldManager=m1", cm("a", '{"x":"1"}'), type = APPLY, status = 201 },
    { "PATCH", CM .. "/a?fieldManager=u", '{"data":{"x":"2"}}', type = MERGE, status = 200, has = { ["metadata.managedFields"] = count(1), ["metadata.managedFields.1.operation"] = "Update" } },
    { "PATCH", CM .. "/a?fieldManager=m1", cm("a", '{"x":"1"}'), type = APPLY, status = 409, has = { message = 'Apply failed with 1 conflict: conflict with "u" using v1: .data.x' } } } },
  { name = "apply of lists with keys works item by item", steps = {
    { "PATCH", WIDGET .. "/a?fieldManager=m1", widget("a", '{"ports":[{"name":"a","port":1},{"name":"b","port":2}],"tags":["x"]}'), type = APPLY, status = 201,
      has = { ['metadata.managedFields.1.fieldsV1.f:spec.f:ports.k:{"name":"a"}.[.]'] = present, ['metadata.managedFields.1.fieldsV1.f:spec.f:tags.v:"x"'] = present } },
    { "PATCH", WIDGET .. "/a?fieldManager=m2", widget("a", '{"ports":[{"name":"c","port":3}],"tags":["y"]}'), type = APPLY, status = 200,
      has = { ["spec.ports"] = count(3), ["spec.tags"] = count(2) } },
    { "PATCH", WIDGET .. "/a?fieldManager=m1", widget("a", '{"ports":[{"name":"b","port":2}]}'), type = APPLY, status = 200,
      has = { ["spec.ports"] = count(2), ["spec.ports.1.name"] = "b", ["spec.tags"] = count(1) } },
    { "PATCH", WIDGET .. "/a?fieldManager=m2", widget("a", '{"ports":[{"name":"b","port":9}]}'), type = APPLY, status = 409,
      has = { message = 'Apply failed with 1 conflict: conflict with "m1": .spec.ports[name="b"].port' } } } },
  { name = "apply to status owns status alone", steps = {
    { "PATCH", WIDGET .. "/a?fieldManager=m1", widget("a", '{"cluster":"c"}'), type = APPLY, status = 201 },
    { "PATCH", WIDGET .. "/a/status?fieldManager=m1", '{"apiVersion":"conformance.tikv.org/v1","kind":"Widget","metadata":{"name":"a"},"spec":{"cluster":"other"},"status":{"phase":"p","conditions":[{"type":"Ready","status":"True"}]}}', type = APPLY, status = 200,
      has = { ["spec.cluster"] = "c", ["status.phase"] = "p", ["metadata.managedFields"] = count(2), ["metadata.generation"] = 1 } },
    { "PATCH", WIDGET .. "/a?fieldManager=m1", widget("a", '{"cluster":"d"}'), type = APPLY, status = 200, has = { ["status.phase"] = "p", ["spec.cluster"] = "d" } },
    { "PATCH", WIDGET .. "/a/status?fieldManager=m1", '{"apiVersion":"conformance.tikv.org/v1","kind":"Widget","metadata":{"name":"a"},"status":{"phase":"p"}}', type = APPLY, status = 200,
      has = { ["status.conditions"] = false } },
    { "PATCH", WIDGET .. "/no/status?fieldManager=m1", '{"apiVersion":"conformance.tikv.org/v1","kind":"Widget","metadata":{"name":"no"},"status":{"phase":"p"}}', type = APPLY, status = 404 } } },
  { name = "apply with a version no object has creates, and never changes what is there", steps = {
    { "PATCH", CM .. "/a?fieldManager=m1", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","resourceVersion":"1"},"data":{"k":"1"}}', type = APPLY, status = 201 },
    { "PATCH", CM .. "/a?fieldManager=m1", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","resourceVersion":"1"},"data":{"k":"2"}}', type = APPLY, status = 409,
      has = { reason = "Conflict" } },
    { "GET", CM .. "/a", status = 200, has = { ["data.k"] = "1" } } } },
  { name = "apply with a uid never creates, and never hits a successor", steps = {
    { "PATCH", CM .. "/a?fieldManager=m1", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","uid":"11111111-2222-3333-4444-555555555555"}}', type = APPLY, status = 409,
      has = { reason = "Conflict", message = contains "uid mismatch: the provided object specified uid 11111111-2222-3333-4444-555555555555, and no existing object was found" } },
    { "POST", CM, cm "a", status = 201 },
    { "PATCH", CM .. "/a?fieldManager=m1", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","uid":"11111111-2222-3333-4444-555555555555"}}', type = APPLY, status = 422,
      has = { reason = "Invalid", message = contains "field is immutable" } } } },
  { name = "a patch or apply of a custom object's status ignores the uid, but not the resourceVersion", steps = {
    { "POST", WIDGET, widget "a", status = 201 },
    { "PATCH", WIDGET .. "/a/status", '{"metadata":{"uid":"zzz"},"status":{"phase":"x"}}', type = MERGE, status = 200, has = { ["status.phase"] = "x" } },
    { "PATCH", WIDGET .. "/a/status?fieldManager=m&force=true", '{"apiVersion":"conformance.tikv.org/v1","kind":"Widget","metadata":{"name":"a","uid":"zzz"},"status":{"phase":"y"}}', type = APPLY, status = 200, has = { ["status.phase"] = "y" } },
    { "PATCH", WIDGET .. "/a/status", '{"metadata":{"resourceVersion":"1"},"status":{"phase":"z"}}', type = MERGE, status = 409 },
    { "PATCH", WIDGET .. "/a/status?fieldManager=m&force=true", '{"apiVersion":"conformance.tikv.org/v1","kind":"Widget","metadata":{"name":"a","resourceVersion":"1"},"status":{"phase":"y"}}', type = APPLY, status = 409 },
    { "PATCH", WIDGET .. "/a", '{"metadata":{"uid":"zzz"},"spec":{"cluster":"q"}}', type = MERGE, status = 422 } } },
  { name = "what apply leaves empty goes away", steps = {
    { "PATCH", WIDGET .. "/a?fieldManager=m", widget("a", '{"cluster":"c","nested":{"a":"1"}}', ',"labels":{"q":"1"}'), type = APPLY, status = 201 },
    { "PATCH", WIDGET .. "/a?fieldManager=m", widget("a", '{"cluster":"c"}'), type = APPLY, status = 200, has = { ["spec.nested"] = false, ["metadata.labels"] = false } } } },
  { name = "lists from the future are a Timeout with its cause", steps = {
    { "GET", WIDGET .. "?resourceVersion=99999999", status = 504, has = { reason = "Timeout", ["details.causes.1.reason"] = "ResourceVersionTooLarge",
      ["details.retryAfterSeconds"] = 1, message = starts "Timeout: Too large resource version: 99999999, current: " } } } },
  { name = "ownership of an update names containers as well as content", steps = {
    { "POST", WIDGET .. "?fieldManager=me", widget("a", '{"cluster":"c","nested":{"a":"1"},"ports":[{"name":"z"}],"tags":["x"]}', ',"labels":{"q":"1"}'), status = 201,
      has = { ["metadata.managedFields.1.fieldsV1.f:spec.[.]"] = present, ["metadata.managedFields.1.fieldsV1.f:spec.f:nested.[.]"] = present,
        ["metadata.managedFields.1.fieldsV1.f:metadata.f:labels.[.]"] = present, ["metadata.managedFields.1.fieldsV1.f:metadata.[.]"] = false,
        ["metadata.managedFields.1.fieldsV1.f:spec.f:ports.[.]"] = present } } } },
  { name = "deleting with orphans leaves a finalizer", steps = {
    { "POST", WIDGET, widget "a", status = 201 },
    { "DELETE", WIDGET .. "/a", '{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Orphan"}', status = 200, has = { ["metadata.finalizers.1"] = "orphan" } },
    { "PATCH", WIDGET .. "/a", '{"metadata":{"finalizers":null}}', type = MERGE, status = function(s) return s == 200 or s == 404 end } } },
  { name = "apply needs a field manager and no managedFields", steps = {
    { "PATCH", CM .. "/a", cm "a", type = APPLY, status = 422, has = { message = contains "fieldManager: Required value: is required for apply patch" } },
    { "PATCH", CM .. "/a?fieldManager=m", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","managedFields":[{"manager":"x","operation":"Apply","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{}}]}}', type = APPLY, status = 400,
      has = { message = contains "metadata.managedFields must be nil" } } } },
  { name = "apply of a field that the schema lacks is refused", steps = {
    { "PATCH", WIDGET .. "/a?fieldManager=m", widget("a", '{"typo":1}'), type = APPLY, status = 500, has = { message = contains ".spec.typo: field not declared in schema" } },
    { "PATCH", WIDGET .. "/a?fieldManager=m", widget("a", '{"free":{"anything":1}}'), type = APPLY, status = 201 } } },
  { name = "owner references merge by uid under apply", steps = {
    { "PATCH", CM .. "/a?fieldManager=m1", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"p","uid":"u1"}]}}', type = APPLY, status = 201 },
    { "PATCH", CM .. "/a?fieldManager=m2", '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"q","uid":"u2"}]}}', type = APPLY, status = 200,
      has = { ["metadata.ownerReferences"] = count(2) } } } },
  { name = "a dry run changes nothing", steps = {
    { "POST", CM .. "?dryRun=All", cm "a", status = 201, has = { ["metadata.uid"] = present } },
    { "GET", CM .. "/a", status = 404 },
    { "POST", CM, cm("a", '{"x":"1"}'), status = 201 },
    { "PATCH", CM .. "/a?dryRun=All", '{"data":{"x":"2"}}', type = MERGE, status = 200, has = { ["data.x"] = "2" } },
    { "GET", CM .. "/a", status = 200, has = { ["data.x"] = "1" } } } },
  { name = "pods get their defaults and a phase", steps = {
    { "POST", POD, pod "p", status = 201, has = { ["status.phase"] = "Pending", ["status.qosClass"] = "Guaranteed", ["spec.restartPolicy"] = "Always",
      ["spec.containers.1.imagePullPolicy"] = "IfNotPresent", ["spec.terminationGracePeriodSeconds"] = 30, ["spec.containers.1.resources.requests.cpu"] = "1",
      ["spec.dnsPolicy"] = "ClusterFirst" } },
    { "PATCH", POD .. "/p", '{"spec":{"hostname":"other"}}', type = MERGE, status = 422, has = { message = contains "pod updates may not change fields other than" } } } },
  { name = "a pod on a node is deleted gracefully", steps = {
    { "POST", POD, pod("p", ',"nodeName":"n1"'), status = 201 },
    { "DELETE", POD .. "/p", '{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":20}', status = 200, has = { ["metadata.deletionTimestamp"] = present, ["metadata.deletionGracePeriodSeconds"] = 20 } },
    { "GET", POD .. "/p", status = 200, has = { ["metadata.deletionGracePeriodSeconds"] = 20 } },
    { "DELETE", POD .. "/p", '{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":5}', status = 200, has = { ["metadata.deletionGracePeriodSeconds"] = 5 } },
    { "DELETE", POD .. "/p", '{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0}', status = 200 },
    { "GET", POD .. "/p", status = 404 } } },
  { name = "claims are immutable but for their size", steps = {
    { "POST", "/api/v1/namespaces/NS/persistentvolumeclaims", '{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"d"},"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"x","resources":{"requests":{"storage":"1Gi"}}}}', status = 201,
      has = { ["status.phase"] = "Pending", ["spec.volumeMode"] = "Filesystem" } },
    { "PATCH", "/api/v1/namespaces/NS/persistentvolumeclaims/d", '{"spec":{"accessModes":["ReadWriteMany"]}}', type = MERGE, status = 422,
      has = { message = contains "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims" } } } },
  { name = "services get an address that stays", steps = {
    { "POST", "/api/v1/namespaces/NS/services", '{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"},"spec":{"ports":[{"name":"a","port":80}]}}', status = 201,
      has = { ["spec.clusterIP"] = present, ["spec.type"] = "ClusterIP", ["spec.ports.1.protocol"] = "TCP", ["spec.ports.1.targetPort"] = 80 } },
    { "POST", "/api/v1/namespaces/NS/services", '{"apiVersion":"v1","kind":"Service","metadata":{"name":"h"},"spec":{"clusterIP":"None","ports":[{"name":"a","port":80}]}}', status = 201,
      has = { ["spec.clusterIP"] = "None" } } } },
  { name = "versions, health and discovery answer", steps = {
    { "GET", "/version", status = 200, has = { major = "1", gitVersion = present } },
    { "GET", "/apis/conformance.tikv.org/v1", status = 200, has = { kind = "APIResourceList", groupVersion = "conformance.tikv.org/v1" } },
    { "GET", "/apis/conformance.tikv.org", status = 200, has = { kind = "APIGroup", ["preferredVersion.version"] = "v1" } },
    { "GET", "/api", status = 200, has = { kind = "APIVersions" } },
    { "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", '{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"resourceAttributes":{"verb":"get","resource":"pods"}}}', status = 201,
      has = { ["status.allowed"] = true } } } },
  { name = "a table has the columns of the CRD", steps = {
    { "POST", WIDGET, widget("a", '{"cluster":"c"}'), status = 201 },
    { "GET", WIDGET, accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", status = 200, has = { kind = "Table",
      ["columnDefinitions.2.name"] = "Cluster", ["rows.1.cells.1"] = "a", ["rows.1.cells.2"] = "c", ["rows.1.object.kind"] = "PartialObjectMetadata" } } } },
  { name = "metadata alone can be asked for", steps = {
    { "POST", WIDGET, widget("a", '{"cluster":"c"}', ',"labels":{"q":"1"}'), status = 201 },
    { "GET", WIDGET, accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json", status = 200,
      has = { kind = "PartialObjectMetadataList", apiVersion = "meta.k8s.io/v1", ["items.1.metadata.labels.q"] = "1", ["items.1.spec"] = false } },
    { "GET", WIDGET .. "/a", accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json", status = 200,
      has = { kind = "PartialObjectMetadata", apiVersion = "meta.k8s.io/v1", ["metadata.name"] = "a", spec = false } } } },
  { name = "managedFields can be reset, and are kept by a PUT that leaves them out", steps = {
    { "PATCH", CM .. "/a?fieldManager=m1", cm("a", '{"x":"1"}'), type = APPLY, status = 201 },
    { "PUT", CM .. "/a?fieldManager=u", cm("a", '{"x":"1"}'), status = 200, has = { ["metadata.managedFields"] = count(1), ["metadata.managedFields.1.manager"] = "m1" } },
    { "PATCH", CM .. "/a?fieldManager=u", '{"metadata":{"managedFields":[{}]}}', type = MERGE, status = 200, has = { ["metadata.managedFields"] = false } } } },
  { name = "a status PUT needs what a PUT needs and changes status alone", steps = {
    { "POST", WIDGET, widget("a", '{"cluster":"c"}'), status = 201, keep = { rv = "metadata.resourceVersion" } },
    { "PUT", WIDGET .. "/a/status", '{"apiVersion":"conformance.tikv.org/v1","kind":"Widget","metadata":{"name":"a","resourceVersion":"$rv","labels":{"z":"1"}},"spec":{"cluster":"d"},"status":{"phase":"p"}}', status = 200,
      has = { ["status.phase"] = "p", ["spec.cluster"] = "c", ["metadata.labels"] = false } },
    { "PUT", WIDGET .. "/a/status", '{"apiVersion":"conformance.tikv.org/v1","kind":"Widget","metadata":{"name":"a","resourceVersion":"$rv"},"status":{"phase":"q"}}', status = 409 },
    { "PUT", WIDGET .. "/a/status", '{"apiVersion":"conformance.tikv.org/v1","kind":"Widget","metadata":{"name":"a","resourceVersion":"","uid":"zzz"},"status":{"phase":"q"}}', status = function(st) return st == 409 or st == 422 end } } },
  { name = "secrets take plain text and keep it encoded", steps = {
    { "POST", "/api/v1/namespaces/NS/secrets", '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"stringData":{"k":"v"}}', status = 201,
      has = { ["data.k"] = "dg==", type = "Opaque", stringData = false } } } },
  { name = "a Lease is not overwritten without its resourceVersion", steps = {
    { "POST", "/apis/coordination.k8s.io/v1/namespaces/NS/leases", '{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"l"},"spec":{"holderIdentity":"a"}}', status = 201, keep = { rv = "metadata.resourceVersion" } },
    { "PUT", "/apis/coordination.k8s.io/v1/namespaces/NS/leases/l", '{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"l"},"spec":{"holderIdentity":"b"}}', status = 422 },
    { "PUT", "/apis/coordination.k8s.io/v1/namespaces/NS/leases/l", '{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"l","resourceVersion":"$rv"},"spec":{"holderIdentity":"b"}}', status = 200, has = { ["spec.holderIdentity"] = "b" } } } },
  { name = "forced apply takes a list item's field and leaves the rest", steps = {
    { "PATCH", WIDGET .. "/a?fieldManager=m1", widget("a", '{"ports":[{"name":"a","port":1}]}'), type = APPLY, status = 201 },
    { "PATCH", WIDGET .. "/a?fieldManager=m2&force=true", widget("a", '{"ports":[{"name":"a","port":2}]}'), type = APPLY, status = 200, has = { ["spec.ports.1.port"] = 2 } },
    { "PATCH", WIDGET .. "/a?fieldManager=m1", widget("a", '{}'), type = APPLY, status = 200, has = { ["spec.ports"] = count(1), ["spec.ports.1.port"] = 2 } },
    { "PATCH", WIDGET .. "/a?fieldManager=m2", widget("a", '{"cluster":"c"}'), type = APPLY, status = 200, has = { ["spec.ports"] = false } } } },
  { name = "apply of an empty spec over its own last field is Invalid: what is left is null", steps = {
    { "PATCH", WIDGET .. "/a?fieldManager=m", widget("a", '{"cluster":"c"}'), type = APPLY, status = 201 },
    { "PATCH", WIDGET .. "/a?fieldManager=m", widget("a", '{}'), type = APPLY, status = 422, has = { reason = "Invalid",
      message = 'Widget.conformance.tikv.org "a" is invalid: spec: Invalid value: "null": spec in body must be of type object: "null"',
      ["details.causes.1.reason"] = "FieldValueTypeInvalid" } } } },
  { name = "apply leaves alone what an update set", steps = {
    { "POST", WIDGET .. "?fieldManager=u", widget("a", '{"cluster":"c","nested":{"b":"2"}}'), status = 201 },
    { "PATCH", WIDGET .. "/a?fieldManager=m1", widget("a", '{"nested":{"a":"1"}}'), type = APPLY, status = 200, has = { ["spec.cluster"] = "c", ["spec.nested.b"] = "2", ["spec.nested.a"] = "1" } },
    { "PATCH", WIDGET .. "/a?fieldManager=m1", widget("a", '{}'), type = APPLY, status = 200, has = { ["spec.nested.a"] = false, ["spec.nested.b"] = "2" } } } },
  { name = "scale conflicts on an old resourceVersion and refuses negative numbers", steps = {
    { "POST", WIDGET, widget("a", '{"replicas":1}'), status = 201 },
    { "PUT", WIDGET .. "/a/scale", '{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"a","namespace":"NS","resourceVersion":"1"},"spec":{"replicas":2}}', status = 409 },
    { "PATCH", WIDGET .. "/a/scale", '{"spec":{"replicas":-2}}', type = MERGE, status = 422, has = { reason = "Invalid" } } } },
  { name = "methods that make no sense are 405", steps = {
    { "POST", CM .. "/a", cm "a", status = 405, has = { reason = "MethodNotAllowed" } },
    { "PUT", CM, cm "a", status = 405 } } },
  { name = "broken JSON is a BadRequest", steps = {
    { "POST", CM, '{"apiVersion":', status = 400, has = { reason = "BadRequest" } },
    { "POST", CM, '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}', status = 400, has = { reason = "BadRequest" } } } },
}

--- Follow "a.b.1.[x.y].c" through decoded JSON.
function M.dig(value, path)
  local at, rest = value, path
  while rest ~= "" do
    if type(at) ~= "table" then return nil end
    local key, tail = rest:match "^%[([^%]]*)%]%.?(.*)$"
    if not key then
      key, tail = rest:match '^([kv]:%b{})%.?(.*)$'
      if not key then key, tail = rest:match "^([^.]*)%.?(.*)$" end
    end
    at = at[tonumber(key) or key]
    if at == nil and tonumber(key) then return nil end
    rest = tail
  end
  return at
end

--- Run one case. send(method, path, body, type, accept) -> status, decoded body, text. Returns nil, or
--- a text that says what differed.
function M.run(case, ns, send)
  local kept = {}
  local function fill(s)
    return s and (s:gsub("NS", function() return ns end):gsub("%$(%a+)", function(k)
      return kept[k] and (tostring(kept[k]):gsub("[=+/]", { ["="] = "%3D", ["+"] = "%2B" })) or nil
    end))
  end
  for i, step in ipairs(case.steps) do
    local status, body, text = send(step[1], fill(step[2]), fill(step[3]), step.type, step.accept)
    local function differs(what)
      return ("step %d %s %s: %s\n%s"):format(i, step[1], fill(step[2]), what, tostring(text):sub(1, 1500))
    end
    local fits = status == step.status
    if type(step.status) == "function" then fits = step.status(status) end
    if not fits then return differs(("status %s, not %s"):format(status, step.status)) end
    for path, want in pairs(step.has or {}) do
      local got = M.dig(body, path)
      local good
      if type(want) == "function" then
        good = want(got, kept)
      elseif want == false then
        good = got == nil
      elseif type(want) == "string" then
        good = got == (want:gsub("NS", function() return ns end):gsub("^%$(%a+)$", function(k) return kept[k] end))
      else
        good = got == want
      end
      if not good then return differs(("%s is %s, not %s"):format(path, tostring(got), tostring(want))) end
    end
    for name, path in pairs(step.keep or {}) do kept[name] = M.dig(body, path) end
  end
end

return M
