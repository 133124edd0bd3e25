--- truth: what is so in the model, whatever the operator believes: for the oracle and the verdict.
local runtime = require "sim.runtime"
local pd = require "sim.pd"

local M = {}
local PLURAL = { Cluster = "clusters", PDGroup = "pdgroups", PD = "pds", TiKVGroup = "tikvgroups", TiKV = "tikvs" }

function M.get(path)
  local status, body = sim.request("GET", path)
  return status == 200 and body or nil
end

function M.list(path)
  local body = M.get(path)
  return body and body.items or {}
end

function M.core(ns, plural, name)
  return ("/apis/core.tikv.org/v1alpha1/namespaces/%s/%s%s"):format(ns, plural, name and "/" .. name or "")
end

function M.of_kind(ns, kind, name)
  return PLURAL[kind] and M.get(M.core(ns, PLURAL[kind], name))
end

function M.label(o, key) return (o.metadata.labels or {})["core.tikv.org/" .. key] end
function M.annotation(o, key) return (o.metadata.annotations or {})["core.tikv.org/" .. key] end

function M.controller(o)
  for _, r in ipairs(o.metadata.ownerReferences or {}) do
    if r.controller then return r end
  end
end

--- The store that lives on a claim's disk, or nil.
function M.store_on(claim)
  local disk = runtime.disks[claim.metadata.uid]
  if not disk or not disk.store_id then return end
  for _, cluster in ipairs(pd.clusters) do
    if cluster.id == disk.cluster then return cluster.stores[disk.store_id], cluster end
  end
end

--- The member that lives on a claim's disk, or nil.
function M.member_on(claim)
  local disk = runtime.disks[claim.metadata.uid]
  if disk and disk.member then return disk.member, disk.cluster end
end

--- PD clusters of a namespace, in the order in which they were founded.
function M.pd_clusters(ns)
  local out = {}
  for _, c in ipairs(pd.clusters) do
    local m = c.members[1]
    if m and m.peer_url:find("." .. ns .. ".svc", 1, true) then out[#out + 1] = c end
  end
  return out
end

--- The newest first: ids begin again in every PD cluster.
function M.store(ns, id)
  local all = M.pd_clusters(ns)
  for n = #all, 1, -1 do
    local c = all[n]
    for store_id, s in sim.pairs(c.stores) do
      if tostring(store_id) == id then return s, c end
    end
  end
end

--- What a person with eyes everywhere would see of the newest PD cluster of a namespace: its stores as PD
--- counts them, and how many regions have a majority of their copies on stores that run.
---@param ns string
---@return { stores: table[], regions: integer, served: integer }
function M.figures(ns)
  local all = M.pd_clusters(ns)
  local c = all[#all]
  local out = { stores = sim.array {}, regions = 0, served = 0 }
  if not c then return out end
  for id, s in sim.pairs(c.stores) do
    local leaders, regions = c:counts(id)
    out.stores[#out.stores + 1] = { id = tostring(id), state = c:state_name(s), leaders = leaders, regions = regions }
  end
  for _, r in ipairs(c.regions or {}) do
    local alive = 0
    for _, id in ipairs(r.peers) do alive = alive + (c:alive(id) and 1 or 0) end
    out.regions = out.regions + 1
    out.served = out.served + (alive * 2 > #r.peers and 1 or 0)
  end
  return out
end

function M.founded() return #pd.clusters end

return M
