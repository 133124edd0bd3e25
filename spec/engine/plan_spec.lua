--- plan: strict decoding. What is wrong is named by its path, and nothing of the plan is taken.
local core = require "support.core"
local kube = require "spec.kube.support"
local ffi = core.ffi
local C = core.load("engine/plan.h")

local function decode(text)
  local e = ffi.new("struct err")
  local tree = C.json_parse(text, #text, e)
  assert(tree ~= nil, ffi.string(e.msg))
  local p = C.plan_decode(tree, "ns", e)
  if p == nil then return nil, ffi.string(e.msg), tonumber(e.code) end
  return ffi.gc(p, C.plan_free)
end

local SETTLED = '"verdict":{"kind":"settled"}'

local function actions(list, more)
  return ('{"actions":[%s],%s%s}'):format(list, more or "", SETTLED)
end

local POD = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"%s}}'

describe("plan", function()
  it("reads a whole plan", function()
    local p = assert(decode [[{"actions":[
      {"action":"delete","kind":"Pod","name":"a","uid":"u","rv":"7","grace":30,"why":"template changed"},
      {"action":"pd_offline","store_id":"18446744073709551614","expect":"Serving"}],
      "verdict":{"kind":"retry","step":"offline","reason":"Draining","message":"12 regions left","hint":"wait",
        "after":10,"progress":{"done":1,"total":3}},
      "trace":[{"step":"pods","verdict":"next"}],"status":{"phase":"Leaving"},"status_after":2.5,"pd_busy":true}]])
    assert.equal(2, p.actions)
    assert.equal("delete", ffi.string(C.action_name(p.action[0].kind)))
    assert.equal(tonumber(C.KIND_POD), tonumber(p.action[0].of))
    assert.equal("ns", ffi.string(p.action[0].ns))
    assert.equal("18446744073709551614", ffi.string(p.action[1].store_id))
    assert.equal(tonumber(C.KIND_COUNT), tonumber(p.action[1].of))
    assert.equal(tonumber(C.VERDICT_RETRY), tonumber(p.verdict))
    assert.equal(10, p.after)
    assert.equal("Draining", ffi.string(p.reason))
    assert.equal(2.5, p.status_after)
    assert.is_true(p.pd_busy)
    assert.truthy(p.status ~= nil)
  end)

  it("creates when the object has no uid, and only then", function()
    local p = assert(decode(actions('{"action":"apply","object":' .. POD:format("") .. "}")))
    assert.is_true(p.action[0].creates)
    p = assert(decode(actions('{"action":"apply","object":' .. POD:format(',"uid":"u"') .. "}")))
    assert.is_false(p.action[0].creates)
    assert.equal("u", ffi.string(p.action[0].uid))
  end)

  it("takes an empty Lua table for an empty list", function()
    assert.equal(0, assert(decode('{"actions":{},"trace":{},' .. SETTLED .. "}")).actions)
  end)

  it("cuts after 100 actions and says so", function()
    local one = '{"action":"event","type":"Normal","reason":"R","message":"m"}'
    local list = {}
    for i = 1, 101 do list[i] = one end
    local p = assert(decode(actions(table.concat(list, ","))))
    assert.equal(100, p.actions)
    assert.is_true(p.cut)
    list[101] = '{"action":"event"}'
    local _, why = decode(actions(table.concat(list, ",")))
    assert.truthy(why:find("actions[100]", 1, true), why)
  end)

  local DELETE = '{"action":"delete","kind":"Pod","name":"a","uid":"u","rv":"7","why":"w"%s}'
  for what, case in pairs {
    ["an unknown key of the plan"] = { '{"extra":1,' .. SETTLED .. "}", "plan.extra" },
    ["no verdict"] = { '{"actions":[]}', "verdict" },
    ["an unknown verdict"] = { '{"verdict":{"kind":"maybe"}}', "verdict.kind" },
    ["a retry without a time"] = { '{"verdict":{"kind":"retry","reason":"R"}}', "verdict.after" },
    ["a wait without a reason"] = { '{"verdict":{"kind":"wait"}}', "verdict.reason" },
    ["a negative time"] = { '{"verdict":{"kind":"retry","reason":"R","after":-1}}', "verdict.after" },
    ["a list as status"] = { '{"status":[],' .. SETTLED .. "}", "status" },
    ["a status of an action"] = { actions '{"action":"status"}', "is no action" },
    ["an unknown action"] = { actions '{"action":"format_disk"}', "actions[0].action" },
    ["an unknown field"] = { actions(DELETE:format ',"force":true'), "actions[0].force" },
    ["a missing uid"] = { actions '{"action":"delete","kind":"Pod","name":"a","rv":"7","why":"w"}', "actions[0].uid" },
    ["an empty name"] = { actions '{"action":"mark","kind":"Pod","name":"","uid":"u","rv":"7","key":"k"}',
      "actions[0].name" },
    ["an rv that is none"] = { actions '{"action":"mark","kind":"Pod","name":"a","uid":"u","rv":"0","key":"k"}',
      "actions[0].rv" },
    ["an unknown kind"] = { actions '{"action":"mark","kind":"Deployment","name":"a","uid":"u","rv":"7","key":"k"}',
      "actions[0].kind" },
    ["an id as number"] = { actions '{"action":"pd_online","store_id":4,"expect":"Offline"}', "actions[0].store_id" },
    ["an id that is none"] = { actions '{"action":"pd_online","store_id":"4/state","expect":"Offline"}',
      "actions[0].store_id" },
    ["a label that is no text"] = { actions '{"action":"pd_labels","store_id":"4","labels":{"zone":1}}',
      "actions[0].labels" },
    ["a list item that is no text"] = {
      actions '{"action":"patch_meta","kind":"Pod","name":"a","uid":"u","rv":"7","remove_labels":[1]}',
      "actions[0].remove_labels" },
    ["half a second of grace"] = { actions(DELETE:format ',"grace":0.5'), "actions[0].grace" },
    ["another namespace"] = { actions('{"action":"apply","object":' .. POD:format(',"namespace":"other"') .. "}"),
      "namespace" },
    ["a generated name"] = { actions('{"action":"apply","object":' .. POD:format(',"generateName":"x-"') .. "}"),
      "generateName" },
    ["an object of an unknown kind"] = {
      actions '{"action":"apply","object":{"apiVersion":"v2","kind":"Pod","metadata":{"name":"a"}}}', "object" },
    ["an object without a name"] = {
      actions '{"action":"apply","object":{"apiVersion":"v1","kind":"Pod","metadata":{}}}', "metadata.name" },
    ["a job that is a pod"] = { actions('{"action":"job","object":' .. POD:format("") .. "}"), "Job" },
    ["a strange event type"] = { actions '{"action":"event","type":"Loud","reason":"R","message":"m"}',
      "actions[0].type" },
    ["an action that is a text"] = { actions '"delete"', "actions[0]" },
  } do
    it("refuses " .. what, function()
      local p, why, code = decode(case[1])
      assert.is_nil(p)
      assert.truthy(why:find(case[2], 1, true), why)
      assert.equal(tonumber(C.ERR_INVALID), code)
    end)
  end

  it("refuses nothing at all", function()
    local e = ffi.new("struct err")
    assert.truthy(C.plan_decode(nil, "ns", e) == nil)
  end)

  it("has a name for each action", function()
    for k = 0, tonumber(C.ACTION_COUNT) - 1 do
      assert.truthy(ffi.string(C.action_name(k)):match("^[a-z_]+$"))
    end
    assert.truthy(kube)
  end)
end)
