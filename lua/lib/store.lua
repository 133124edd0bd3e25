--- store: which store of PD an instance is, and what PD should know of it.
-- The address is used once, to find the store; from then on the id is what counts (W-02, W-03, W-46).
local pvc = require "lib.pvc"
local diagnosis = require "lib.diagnosis"

local M = {}

---@param i instance
---@return string id "" when none is known
---@return table? found the store record with that id, only while PD is known
---@return string? other id that PD has at our address instead
function M.identify(w, i)
  local status = i.object.status or {}
  local id = status.id or ""
  if id == "" then id = pvc.recorded(w, i) or "" end
  local pd = w.pd
  if not (pd and pd.known) or pd.history then return id, nil end
  local recorded = w.cluster and w.cluster.id or ""
  if recorded ~= "" and pd.cluster_id ~= recorded then return id, nil end
  local s = pd.store
  if not s then return id, nil end
  if id == "" then
    -- a tombstone at our address is a store of the past, not this one
    if s.state == "Tombstone" or s.address ~= i.address then return "", nil end
    return s.id, s
  end
  if s.id == id then
    local now = M.successor(w, i, s)
    if now then return now.id, now end
    return id, s
  end
  return id, nil, s.state ~= "Tombstone" and s.id or nil
end

---What is needed to see whether a lost store came back under another id: only while it does not serve.
function M.needs(object, i, out)
  local s = object.status or {}
  if (s.id or "") == "" or s.storeState == nil or s.storeState == "Up" then return end
  out[#out + 1] = { as = "at", pd = i.cluster, stores = "none", address = i.address, fresh = 30,
    wake = json.array { "store" } }
end

---The store that took over our address: PD lets that happen only when the old one is buried, or was given up
---by a person. An empty disk is another store (formerStores keeps the old id).
---@param old table PD's record of the id that is recorded
---@return table? store
function M.successor(w, i, old)
  local at = w.at and w.at.known and w.at.store
  if not at or at.id == old.id or at.address ~= i.address or at.state == "Tombstone" then return nil end
  if old.state == "Tombstone" or old.destroyed then return at end
end

---Ids that this instance had before the one it has now, the one that has just gone among them.
---@return string[]?
function M.former(status, id)
  local out, seen = {}, {}
  for _, x in ipairs(status.formerStores or {}) do out[#out + 1], seen[x] = x, true end
  if (status.id or "") ~= "" and id ~= status.id and not seen[status.id] then out[#out + 1] = status.id end
  return out[1] and json.array(out) or nil
end

local function since_start(w)
  local made = time.parse(w.pod.created or "")
  return made and w.now - made or 0
end

---The pod is ready but PD has not shown the store: at first that is still a start.
function M.unregistered(w, p, i)
  local age = since_start(w)
  if age < diagnosis.PATIENCE then
    return p:retry(math.max(1, diagnosis.PATIENCE - age), "Starting", "pod %s is starting", i.pod)
  end
  if not (w.pd and w.pd.known) then
    return p:wait("PDUnknown", "the store can not be looked up: %s",
      tostring(w.pd and w.pd.reason or "PD was not asked yet"))
  end
  return p:wait("NotRegistered", "PD has no store at %s", i.address)
end

-- When the process that runs now was started; before the kubelet has said so: when its pod was made.
local function started(w)
  for _, c in ipairs(w.pod.containers or {}) do
    local running = c.name == "tikv" and c.state and c.state.running
    if running and running.startedAt then return time.parse(running.startedAt) end
  end
  return time.parse(w.pod.created or "")
end

---PD has heard of the store since its process started; a store that PD calls Up may have spoken before that.
---Ages are compared, not times: PD's clock and ours may differ. Both are cut to whole seconds, so that what
---was said within the first second may be the last word of the process before.
function M.heard(w, found)
  local since = w.pod and started(w)
  if not since or not found.heartbeat_age or found.state ~= "Up" then return true end
  return found.heartbeat_age + (tonumber(w.pd.age) or 0) + 1 <= w.now - since
end

-- Some labels have an official name on nodes, and a short one in PD's configuration.
local WELL_KNOWN = {
  region = "topology.kubernetes.io/region", zone = "topology.kubernetes.io/zone", host = "kubernetes.io/hostname",
}

---Labels the store should have: location from the node, the rest from the spec. Nil: not known yet.
function M.wanted_labels(w, i)
  local keys = w.pd.replication and w.pd.replication.location_labels or {}
  local out = { ["k/tikvgroup"] = i.ns .. "." .. i.group }
  for k, v in pairs(i.spec.server and i.spec.server.labels or {}) do out[k] = v end
  local node = w.node and w.node.labels
  for _, key in ipairs(keys) do
    local v = node and (node[key] or node[WELL_KNOWN[key] or key])
    if v then out[key] = v end
  end
  if i.spec.placement and i.spec.placement.exclusive then out["$k/exclusive"] = "true" end
  return out
end

---Step: PD knows where the store stands, and follows when the node's labels change. A store is ours
---to change in PD only once its id is recorded.
function M.labels(w, p, i, found)
  if (i.object.status or {}).id ~= found.id then return end
  local lacks, want = false, M.wanted_labels(w, i)
  for k, v in pairs(want) do
    if (found.labels or {})[k] ~= v then lacks = true end
  end
  if lacks then p:pd_labels(found.id, want) end
end

return M
