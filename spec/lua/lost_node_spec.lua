require("support.caged").open()
local caged = require "support.caged"
local mini = require "support.mini"
local things = require "support.manifests"

local function index(m, pattern)
  for n, line in ipairs(m.writes) do
    if line:find(pattern) then return n end
  end
end

describe("A pod whose node is gone, in the toy world,", function()
  local m

  before_each(function()
    caged.answer(nil)
    m = mini.new()
    things.basic(m, 1, 3)
    m:settle()
    m.writes = {}
    m.node = "node-2"
    m:put { apiVersion = "v1", kind = "Node", metadata = { name = "node-2" }, spec = {},
      status = { conditions = { { type = "Ready", status = "True" } } } }
  end)

  -- The kubelet of basic-tikv-1's node is silent: nothing there is ever confirmed.
  local function silent()
    local pod = m:get("Pod", "basic-tikv-1")
    pod.metadata.finalizers = { "stuck" }
    for _, c in ipairs(pod.status.conditions) do if c.type == "Ready" then c.status = "False" end end
    m:touch(pod)
    m.stores[2].state, m.stores[2].heartbeat_age = "Disconnected", 60
    local node = m:get("Node", "node-1")
    node.status.conditions[1].status = "Unknown"
    node.status.conditions[1].lastTransitionTime = "2026-01-01T00:00:00Z"
    m:touch(node)
    m.now = m.now + 60
    return pod.metadata.uid
  end

  local function status() return m:get("TiKV", "basic-1").status end

  it("is left alone while the node is only silent: time is no proof (G7)", function()
    local uid = silent()
    m:settle()
    m.now = m.now + 1000
    m:settle()
    assert.equal("NodeNotReady", status().reason)
    assert.equal("pod basic-tikv-1: node node-1 is not ready since 2026-01-01T00:00:00Z", status().message)
    assert.equal(uid, m:get("Pod", "basic-tikv-1").metadata.uid)
    assert.is_nil(index(m, "^delete Pod"))
  end)

  -- U-04
  it("goes by force when the node was deleted, and comes back elsewhere on the same disks (E-27, E-28)", function()
    local uid, claim = silent(), m:get("PersistentVolumeClaim", "data-basic-tikv-1").metadata.uid
    m:settle()
    m:drop(m:get("Node", "node-1"))
    m:settle()
    local pod = m:get("Pod", "basic-tikv-1")
    assert.is_true(pod.metadata.uid ~= uid)
    assert.equal("node-2", pod.spec.nodeName)
    assert.equal(claim, m:get("PersistentVolumeClaim", "data-basic-tikv-1").metadata.uid)
    assert.equal("Serving", status().phase == "Serving" and "Serving" or json.encode(status()))
  end)

  it("goes by force when the node is tainted out-of-service, once the volume is detached", function()
    local uid = silent()
    m:settle()
    m:get("Node", "node-1").spec.taints = { { key = "node.kubernetes.io/out-of-service", value = "nodeshutdown",
      effect = "NoExecute" } }
    m:put { apiVersion = "storage.k8s.io/v1", kind = "VolumeAttachment", metadata = { name = "va" },
      spec = { nodeName = "node-1", source = { persistentVolumeName = "pv-data-basic-tikv-1" } } }
    m:settle()
    assert.equal("VolumeAttached", status().reason)
    assert.equal(uid, m:get("Pod", "basic-tikv-1").metadata.uid)
    m:drop(m:get("VolumeAttachment", "va"))
    m:settle()
    assert.is_true(m:get("Pod", "basic-tikv-1").metadata.uid ~= uid)
  end)

  it("is not forced where nodes can not be read", function()
    local uid = silent()
    m:settle()
    m.hidden = { Node = true }
    m:settle()
    assert.equal(uid, m:get("Pod", "basic-tikv-1").metadata.uid)
  end)

  it("of a removed store waits for the node, and says for which", function()
    m = mini.new()
    things.basic(m, 1, 4)
    m:settle()
    local g = mini.copy(m:get("TiKVGroup", "basic"))
    g.spec.replicas, g.metadata.uid = 3, nil
    m:put(g)
    local pod = m:get("Pod", "basic-tikv-3")
    pod.metadata.finalizers = { "stuck" }
    m:get("Node", "node-1").status.conditions[1].status = "Unknown"
    m:settle()
    local s = m:get("TiKV", "basic-3").status
    assert.equal("NodeNotReady", s.reason)
    m.node = "node-2"
    m:put { apiVersion = "v1", kind = "Node", metadata = { name = "node-2" }, spec = {} }
    m:drop(m:get("Node", "node-1"))
    m:settle()
    assert.is_nil(m:get("TiKV", "basic-3"))
  end)
end)
