--- topology: which topology of an EvenlySpread policy the next instance gets.
local questions = require "lib.questions"

local M = {}

local function same(a, b)
  for k, v in pairs(a) do if b[k] ~= v then return false end end
  for k in pairs(b) do if a[k] == nil then return false end end
  return true
end

local function name_of(topology)
  local out = {}
  for k, v in pairs(topology) do out[#out + 1] = k .. "=" .. v end
  table.sort(out)
  return table.concat(out, ",")
end

-- Topologies of the group's policy; nil: no policy (W-34).
local function offered(group)
  local list
  for _, policy in ipairs(group.spec.schedulePolicies or {}) do
    if policy.type == "EvenlySpread" and policy.evenlySpread then list = policy.evenlySpread.topologies end
  end
  return list and list[1] and list or nil
end

---An instance was placed by a topology that the policy does not offer any more.
---@param row table
function M.gone(group, row)
  local list = offered(group)
  if not list or not row.topology then return false end
  for _, t in ipairs(list) do
    if same(row.topology, t.topology) then return false end
  end
  return true
end

---Topologies of the group's policy with how many live instances each has; nil: no policy.
function M.counted(group, rows)
  local list = offered(group)
  if not list then return nil end
  local out = {}
  for n, t in ipairs(list) do
    local item = { name = name_of(t.topology), topology = t.topology, weight = t.weight or 1, count = 0 }
    for _, r in ipairs(rows) do
      if r.topology and not r.deleting and not r.offline and same(r.topology, t.topology) then
        item.count = item.count + 1
      end
    end
    out[n] = item
  end
  return out
end

---The topology for one more instance; it counts as placed from then on.
---@param counted table[]? of counted()
function M.next(w, counted, ordinal)
  if not counted then return nil end
  local best = questions.choose(w, "choose_topology", counted, { ordinal = ordinal })
  if not best then
    for _, t in ipairs(counted) do
      -- an empty one never starves; then the one furthest below its weight; then declaration order
      if not best or t.count * best.weight < best.count * t.weight then best = t end
    end
  end
  best.count = best.count + 1
  return best.topology
end

return M
