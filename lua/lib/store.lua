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
  if s.id == id then return id, s end
  return id, nil, s.state ~= "Tombstone" and s.id or nil
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
