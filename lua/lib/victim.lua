--- victim: which instance goes first when fewer are wanted.
-- Strongest first: named in removeFirst or by its annotation remove-first, a spare whose original stays after
-- all, crowded topology, not running, not ready, out of date, (PD) not the leader, fewest leaders, fewest regions,
-- highest ordinal.
local kube = require "lib.kube"
local members = require "lib.members"
local questions = require "lib.questions"
local topology = require "lib.topology"

local M = {}

local STOPPED = { Pending = true, Lost = true, Removed = true, Suspended = true }

local function named(group)
  local out, list = {}, group.spec.scalePolicy and group.spec.scalePolicy.removeFirst or {}
  for n, item in ipairs(list) do
    local name = tonumber(item) and kube.instance(group.metadata.name, tonumber(item)) or tostring(item)
    out[name] = out[name] or n
  end
  return out
end

local function stores_by_id(w)
  local out = {}
  for _, s in ipairs(w.pd and w.pd.known and w.pd.stores or {}) do out[s.id] = s end
  return out
end

-- The list has an order; those that only carry the annotation come after it.
local function named_first(first, m)
  if first[m.name] then return -first[m.name] end
  return m.row.first == "true" and -1e6 or -1e9
end

-- How full the topology of an instance is, as its policy weighs them; 0 without a policy.
local function crowd(counted, row)
  for _, t in ipairs(counted or {}) do
    if row.topology and kube.covers(row.topology, t.topology) then return t.count / math.max(t.weight, 1) end
  end
  return 0
end

-- A spare whose original was not replaced after all.
local function useless(rows, row)
  if not row.spare_for then return false end
  for _, r in ipairs(rows or {}) do
    if r.uid == row.spare_for then
      return (r.replace == nil or r.replace == members.UNDONE) and not r.deleting and not r.offline
    end
  end
  return false
end

local function flag(yes) return yes and 1 or 0 end

---Candidates, the first to go first. Each has `keys`, the larger the sooner.
---@param candidates member[]
function M.order(w, candidates, taken)
  local first, stores = named(w.object), stores_by_id(w)
  local rows = {}
  for _, r in ipairs(w.rows or {}) do
    if not (taken and taken[r.name]) then rows[#rows + 1] = r end
  end
  local counted = topology.counted(w.object, rows)
  local leader = w.pd and w.pd.known and w.pd.leader and w.pd.leader.name
  local out = {}
  for n, m in ipairs(candidates) do
    local s = stores[m.row.id or ""] or {}
    local _, ordinal = kube.split(m.name)
    out[n] = { name = m.name, ordinal = tonumber(ordinal), ready = m.ready, outdated = m.outdated,
      leaders = tonumber(s.leaders), regions = tonumber(s.regions), leader = m.pod == leader, member = m,
      keys = { named_first(first, m), flag(useless(w.rows, m.row)), crowd(counted, m.row),
        flag((m.row.id or "") == "" or STOPPED[m.row.phase or "Pending"]), flag(not m.ready), flag(m.outdated),
        flag(m.pod ~= leader), -(tonumber(s.leaders) or 0), -(tonumber(s.regions) or 0), tonumber(ordinal) or -1 } }
  end
  table.sort(out, function(a, b)
    for k = 1, #a.keys do
      if a.keys[k] ~= b.keys[k] then return a.keys[k] > b.keys[k] end
    end
    return a.name > b.name
  end)
  return out
end

---`count` victims (100 at most), chosen one by one: each changes how full the topologies are.
---@param candidates member[]
---@return member[]
function M.choose(w, candidates, count)
  local out, taken, rest = {}, {}, candidates
  count = math.min(count, #candidates, 100)
  if not ask and not topology.counted(w.object, {}) then
    for n, c in ipairs(M.order(w, candidates)) do
      if n > count then break end
      out[n] = c.member
    end
    return out
  end
  for n = 1, count do
    local order = M.order(w, rest, taken)
    local offered = {}
    for k, c in ipairs(order) do
      offered[k] = { name = c.name, ordinal = c.ordinal, ready = c.ready, outdated = c.outdated,
        leaders = c.leaders, regions = c.regions, leader = c.leader }
    end
    local best = questions.choose(w, "choose_victim", offered, { group = w.object.metadata.name, index = n })
    local name = best and best.name or order[1].name
    taken[name] = true
    local left = {}
    for _, m in ipairs(rest) do
      if m.name == name then out[n] = m else left[#left + 1] = m end
    end
    rest = left
  end
  return out
end

return M
