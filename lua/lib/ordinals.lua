--- ordinals: which numbers new instances get: the smallest free first.
-- A number is taken while an instance, a claim or a store record of PD (tombstones too) has it. The
-- one exception: claims whose owner is gone, of this very group, not retired: a Cluster that was
-- deleted with Retain and is made again must find its data, so those numbers come back first.
local kube = require "lib.kube"

local M = {}

---Fields of claims that groups look at.
M.CLAIM = {
  name = "metadata.name", group = kube.path_label(kube.label.group),
  component = kube.path_label(kube.label.component), instance = kube.path_label(kube.label.instance),
  cluster_id = kube.path_label(kube.label.cluster_id), retired = kube.path_label(kube.label.retired),
  deleting = "metadata.deletionTimestamp",
}

local function ordinal_of(group, instance)
  local g, n = kube.split(instance or "")
  return g == group and n and n:match("^%d+$") and tonumber(n) or nil
end

---@class ordinal_use
---@field instance table<integer, boolean>
---@field claim table<integer, "adopt"|"keep">
---@field store table<integer, string> state
---@field adoptable integer[] sorted: claims wait for these

---@return ordinal_use
function M.use(w)
  local o = w.object
  local group, component = o.metadata.name, kube.component[o.kind]
  local out = { instance = {}, claim = {}, store = {}, adoptable = {} }
  for _, r in ipairs(w.rows or {}) do
    local n = ordinal_of(group, r.name)
    if n then out.instance[n] = true end
  end
  for _, c in ipairs(w.claims or {}) do
    local n = c.group == group and c.component == component and ordinal_of(group, c.instance)
    if n then
      local keep = c.retired ~= nil or c.deleting ~= nil
        or (c.cluster_id and (w.cluster.id or "") ~= "" and c.cluster_id ~= w.cluster.id)
      out.claim[n] = (keep or out.claim[n] == "keep") and "keep" or "adopt"
    end
  end
  if component == "tikv" and w.pd then
    local number = "^" .. group:gsub("%p", "%%%0") .. "%-tikv%-(%d+)$"
    local suffix = "." .. kube.peer_service(group, component) .. "." .. o.metadata.namespace
    for _, s in ipairs(w.pd.stores or {}) do
      local key = kube.address_key(s.address or "")
      if text.ends(key, suffix) then
        local n = tonumber(key:sub(1, #key - #suffix):match(number))
        -- one that lives says more than a tombstone of the same address (W-46)
        if n and (out.store[n] == nil or out.store[n] == "Tombstone") then out.store[n] = s.state end
      end
    end
  end
  for n, how in pairs(out.claim) do
    if how == "adopt" and not out.instance[n] and out.store[n] ~= "Tombstone" then
      out.adoptable[#out.adoptable + 1] = n
    end
  end
  table.sort(out.adoptable)
  return out
end

---The next `count` ordinals: first those whose claims wait, then the smallest free.
---@param use ordinal_use
function M.free(use, count)
  local out, taken = {}, {}
  for _, n in ipairs(use.adoptable) do
    if #out == count then break end
    out[#out + 1] = n
    taken[n] = true
  end
  local n = 0
  while #out < count do
    if not (taken[n] or use.instance[n] or use.claim[n] or use.store[n]) then out[#out + 1] = n end
    n = n + 1
  end
  table.sort(out)
  return out
end

return M
