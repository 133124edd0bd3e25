--- lost_node: a pod whose node is gone for good is deleted by force, so that it can run elsewhere on the same
-- disks. Proof is a Node object that was deleted, or its out-of-service taint, and no VolumeAttachment of the
-- pod's volumes there. Time is none: a node that is silent may be cut off, with TiKV running on it.
local kube = require "lib.kube"
local pvc = require "lib.pvc"

local M = {}

local OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"

---Fields of nodes that instances look at.
M.NODE = { name = "metadata.name", labels = "metadata.labels", taints = "spec.taints",
  cordoned = "spec.unschedulable", ready = "status.conditions[type=Ready].status",
  since = "status.conditions[type=Ready].lastTransitionTime" }

local ASKED = { PodStopping = true, PodNotReady = true, NodeNotReady = true, VolumeAttached = true, NodeGone = true,
  StoppingPod = true, Suspending = true }

---Attachments are many: they are asked for only while a pod is in trouble.
function M.needs(object, out)
  local s = object.status or {}
  if not s.node then return end
  out[#out + 1] = { as = "node", kind = "Node", name = s.node, fields = M.NODE }
  if not ASKED[s.reason or ""] then return end
  out[#out + 1] = { as = "attachments", kind = "VolumeAttachment",
    fields = { node = "spec.nodeName", volume = "spec.source.persistentVolumeName" } }
end

---The node of the pod, when it is certain that we look at that one.
local function known(w)
  local status = w.object.status or {}
  return w.pod and w.pod.node and status.node == w.pod.node and not (w.unknown and w.unknown.node)
end

---@return string? why it is certain that the node is gone
function M.gone(w)
  if not known(w) then return end
  if not w.node then return ("node %s was deleted"):format(w.pod.node) end
  for _, t in ipairs(w.node.taints or {}) do
    if t.key == OUT_OF_SERVICE then return ("node %s is marked out-of-service"):format(w.node.name) end
  end
end

---@return string? why a pod there may be out of reach; nil: its node is well, or not known
function M.silent(w)
  if known(w) and w.node and w.node.ready ~= nil and w.node.ready ~= "True" then
    return ("node %s is not ready since %s"):format(w.node.name, tostring(w.node.since))
  end
end

-- Name of a volume of ours that is attached to the pod's node; false: they can not be read.
local function attached(w, i)
  if not w.attachments then return false end
  local mine = {}
  for _, c in ipairs(pvc.owned(w, i)) do mine[c.volume or ""] = true end
  for _, a in ipairs(w.attachments) do
    if a.node == w.pod.node and mine[a.volume or ""] then return a.volume end
  end
end

---Deletes the pod by force when its node is proven gone.
---@param i instance
---@return verdict? nil: nothing is proven
function M.release(w, p, i)
  local why = M.gone(w)
  if not why then return end
  local volume = attached(w, i)
  if volume == false then
    if w.unknown and w.unknown.attachments then return end
    return p:retry(1, "NodeGone", "%s", why)
  end
  if volume then
    return p:wait("VolumeAttached", "%s; pod %s waits until volume %s is detached from it", why, i.pod, volume)
  end
  p:delete(kube.ref("Pod", w.pod), why, 0)
  p:event("Warning", "NodeGone", "%s: pod %s is deleted by force and made again elsewhere", why, i.pod)
  return p:wait("NodeGone", "%s; pod %s goes", why, i.pod)
end

return M
