--- tombstones: PD is told to forget the stores that have left, when nothing speaks of any of them any more.
-- PD forgets all at once or none. A disk of a forgotten store would come back as a living one with old data, so
-- a claim or volume that carries the id keeps its tombstone; so does a store that is not of our making.
local kube = require "lib.kube"

local M = {}

local QUIET = 600 -- seconds since its last heartbeat

---@param object table the Cluster
---@return boolean
local function any(object)
  local s = (object.status or {}).stores
  return s ~= nil and (s.tombstone or 0) > 0
end

---All that could speak of a store, while there are tombstones.
function M.needs(object, out)
  if not any(object) then return "none" end
  out[#out + 1] = { as = "instances", kind = "TiKV", cluster = object.metadata.name,
    fields = { name = "metadata.name", id = "status.id", former = "status.formerStores",
      deleting = "metadata.deletionTimestamp" } }
  local fields = { name = "metadata.name", store = kube.path_label(kube.label.store_id),
    former = kube.path_annotation(kube.annotation.former_stores) }
  out[#out + 1] = { as = "disks", kind = "PersistentVolumeClaim", label = { kube.label.cluster, object.metadata.name },
    fields = fields }
  out[#out + 1] = { as = "disk_volumes", kind = "PersistentVolume",
    label = { kube.label.cluster_id, object.status.id or "" }, fields = fields }
  return "all"
end

local function spoken_of(w)
  local out = {}
  for _, list in ipairs { w.instances, w.disks, w.disk_volumes } do
    for _, o in ipairs(list) do
      out[o.id or o.store or ""] = true
      local former = o.former
      if type(former) == "string" then former = text.split(former, ",") end
      for _, id in ipairs(former or {}) do out[id] = true end
    end
  end
  for _, id in ipairs(w.pd.evicting or {}) do out[id] = true end
  return out
end

---Step of the Cluster.
function M.step(w, p)
  local pd = w.pd
  if not any(w.object) or not (pd and pd.known and pd.settled and pd.stores) or pd.history or pd.breaker then return end
  if not (w.instances and w.disks and w.disk_volumes) then return end
  local spoken, ids = spoken_of(w), {}
  local ours = "%-tikv%-peer%." .. w.object.metadata.namespace:gsub("%-", "%%-") .. "$"
  for _, s in ipairs(pd.stores) do
    if s.state == "Tombstone" then
      local quiet = tonumber(s.heartbeat_age) or 0
      if quiet < QUIET then return p:look(QUIET - quiet + 1) end
      if spoken[s.id] or (tonumber(s.regions) or 1) > 0 or not kube.address_key(s.address):find(ours) then return end
      ids[#ids + 1] = s.id
    end
  end
  if not ids[1] then return end
  p:pd_purge(ids)
  p:event("Normal", "TombstonesPurged", "PD forgets %d stores that have left: %s", #ids, table.concat(ids, ", "))
end

return M
