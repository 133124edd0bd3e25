--- oracle_regions: judges what the stop of a pod leaves of the data: every region keeps its majority (S2).
local truth = require "sim.truth"

local M = {}
local label = truth.label

local LATE_MS = 100
local UNSEEN_MS = 45000 -- what died a moment ago nobody could know: PD tells after 20 s, and is asked every ten

--- Serves, or died so late that nobody could know.
local function counts(pd, id)
  local s = pd.stores[id]
  return s ~= nil and (pd:alive(id) or sim.now_ms() - (s.heartbeat_ms or 0) < UNSEEN_MS)
end

--- The stop of a pod whose Cluster stays and computes.
---@return string? violation
function M.pod_stopped(c, cr)
  if label(c.old, "component") ~= "tikv" or (c.age_ms or 0) >= LATE_MS then return end
  local store, pd = truth.store(c.ns, (cr.status or {}).id or "")
  if not store or not pd:alive(store.id) then return end
  for _, r in ipairs(pd.regions or {}) do
    local left, holds = 0, false
    for _, id in ipairs(r.peers) do
      if id == store.id then
        holds = true
      elseif counts(pd, id) then
        left = left + 1
      end
    end
    if holds and #r.peers > 2 and left <= math.floor(#r.peers / 2) then
      return ("S2: without pod %s region %s keeps %d of %d peers"):format(c.name, tostring(r.id), left, #r.peers)
    end
  end
end

return M
