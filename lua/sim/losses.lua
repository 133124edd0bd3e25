--- losses: what fate takes for good, or for so long that somebody must act: nodes, disks, a zone, a member of PD.
-- Each function takes a number that decides its details and returns a line for the trace or nil. One disk and
-- one member a schedule: two could take a majority, and nothing brings that back. Lost nodes have disks in the
-- network; a person deletes or taints the Node once it is certain that it does not come back.
local kubelet = require "sim.kubelet"
local pd = require "sim.pd"
local runtime = require "sim.runtime"

local M = {}
local DOWN_MS = 120000 -- PD calls a store Down after this time, so that a schedule sees the end
M.FAILOVER = { storeDownSeconds = 60, memberDownSeconds = 60 }
local node_lost, dark = nil, {}

local function list(path)
  local status, body = sim.request("GET", path)
  return status == 200 and body.items or {}
end

local function pick(items, arg) return #items > 0 and items[arg % #items + 1] or nil end

local function hasten()
  for _, c in ipairs(pd.clusters) do
    c.max_store_down_ms, c.config.schedule["max-store-down-time"] = DOWN_MS, "2m0s"
  end
end

--- Groups count in seconds, not in half hours.
function M.shorten(w)
  for _, kind in ipairs { "pdgroups", "tikvgroups" } do
    for _, g in ipairs(list(("/apis/core.tikv.org/v1alpha1/namespaces/%s/%s"):format(w.ns, kind))) do
      sim.request("PATCH", ("/apis/core.tikv.org/v1alpha1/namespaces/%s/%s/%s"):format(w.ns, kind, g.metadata.name),
        { spec = { failover = M.FAILOVER } })
    end
  end
end

local function give_up(name, taint)
  if not taint then return sim.request("DELETE", "/api/v1/nodes/" .. name) end
  sim.request("PATCH", "/api/v1/nodes/" .. name, { spec = { taints = sim.array {
    { key = "node.kubernetes.io/out-of-service", value = "nodeshutdown", effect = "NoExecute" } } } })
end

--- Something is still dark: it is not over.
function M.dark() return next(dark) end

function M.taken(node) return node_lost == node or dark[node] ~= nil end

--- Lost nodes that nobody has given up yet: somebody does.
function M.finish()
  if node_lost then give_up(node_lost, false) end
end

--- A node never comes back.
function M.lose_node(arg)
  local node = pick(list "/api/v1/nodes", arg)
  if not node or node_lost or next(dark) then return end
  local name, taint = node.metadata.name, math.floor(arg / 7) % 2 == 0
  node_lost = name
  kubelet.crash_node(name)
  sim.after(45000 + math.floor(arg / 13) % 60000, function() give_up(name, taint) end)
  return ("%s is lost for good; it will be %s"):format(name, taint and "tainted" or "deleted")
end

local function running(component, arg)
  local out = {}
  for _, pod in ipairs(list "/api/v1/pods") do
    if (pod.metadata.labels or {})["core.tikv.org/component"] == component and runtime.running[pod.metadata.uid] then
      out[#out + 1] = pod
    end
  end
  return pick(out, arg)
end

local function wipe(pod)
  for _, v in ipairs(pod.spec.volumes or {}) do
    local name = v.persistentVolumeClaim and v.persistentVolumeClaim.claimName
    local status, claim = sim.request("GET", ("/api/v1/namespaces/%s/persistentvolumeclaims/%s"):format(
      pod.metadata.namespace, name or ""))
    if name and status == 200 then runtime.disks[claim.metadata.uid] = nil end
  end
  kubelet.kill_pod(pod.metadata.uid)
  return pod.metadata.name
end

--- The newest PD of a namespace.
local function cluster_of(ns)
  local c
  for _, x in ipairs(pd.clusters) do
    local m = x.members[1]
    if m and m.peer_url:find("." .. ns .. ".svc", 1, true) then c = x end
  end
  return c
end

--- Every copy that this disk held is on two others.
local function spare_copies(ns)
  local c = cluster_of(ns)
  if not c or not c:has_leader() then return false end
  for _, r in ipairs(c.regions) do
    local alive = 0
    for _, id in ipairs(r.peers) do if c:alive(id) then alive = alive + 1 end end
    if alive < 3 then return false end
  end
  return #c.regions > 0
end

-- Where too much is away at once nothing is replaced: then a person looks, and says that this one is lost.
local function call_lost(ns, name, id)
  local path = ("/apis/core.tikv.org/v1alpha1/namespaces/%s/tikvs/%s"):format(ns, name)
  local status, o = sim.request("GET", path)
  local why = "core.tikv.org/replace"
  if status ~= 200 or (o.status or {}).id ~= id or o.status.storeState == "Up" then return end
  if o.metadata.deletionTimestamp or (o.metadata.annotations or {})[why] then return end
  sim.request("PATCH", path, { metadata = { annotations = { [why] = "disk" } } })
end

--- The disk of a store fails and comes back empty.
function M.lose_disk(arg)
  local pod = running("tikv", arg)
  if not pod or M.disk_lost or not spare_copies(pod.metadata.namespace) then return end
  M.disk_lost = true
  hasten()
  local ns, name = pod.metadata.namespace, pod.metadata.labels["core.tikv.org/instance"]
  local _, o = sim.request("GET", ("/apis/core.tikv.org/v1alpha1/namespaces/%s/tikvs/%s"):format(ns, name))
  local id = (o.status or {}).id
  sim.after(450000, function() call_lost(ns, name, id) end)
  return "disk of " .. wipe(pod)
end

--- The disk of a member of PD.
function M.lose_member(arg)
  local pod = running("pd", arg)
  local c = pod and cluster_of(pod.metadata.namespace)
  if not c or M.member_lost or #c.members < 3 then return end
  for _, m in ipairs(c.members) do
    if not m.up or not m.started then return end
  end
  local _, o = sim.request("GET", ("/apis/core.tikv.org/v1alpha1/namespaces/%s/pdgroups/%s"):format(
    pod.metadata.namespace, pod.metadata.labels["core.tikv.org/group"]))
  if not (o.spec and o.spec.bootstrapped) then return end
  M.member_lost = true
  return "disk of " .. wipe(pod)
end

local function darken(names, ms)
  for _, name in ipairs(names) do
    dark[name] = true
    kubelet.crash_node(name)
  end
  sim.after(ms, function()
    for _, name in ipairs(names) do
      dark[name] = nil
      kubelet.restore_node(name)
    end
  end)
end

--- A node is cut off for minutes: its stores count as lost, and then they are back.
function M.silent_node(arg)
  local node = pick(list "/api/v1/nodes", arg)
  if not node or next(dark) or node_lost == node.metadata.name then return end
  hasten()
  darken({ node.metadata.name }, 180000 + math.floor(arg / 7) % 240000)
  return node.metadata.name .. " is silent for minutes"
end

--- A whole zone, for minutes: nothing may be replaced.
function M.lose_zone(arg)
  if next(dark) or node_lost then return end
  local names, zone = {}, ("zone-%d"):format(arg % 3 + 1)
  for _, n in ipairs(list "/api/v1/nodes") do
    if n.metadata.labels["topology.kubernetes.io/zone"] == zone then names[#names + 1] = n.metadata.name end
  end
  if not names[1] then return end
  hasten()
  darken(names, 180000 + math.floor(arg / 7) % 120000)
  return zone .. " is dark"
end

return M
