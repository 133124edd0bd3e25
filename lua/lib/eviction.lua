--- eviction: leaders that the operator sends away from a store: begun, watched, given up, taken back.
-- The annotation `evicting` says that it was us, and when. What a person sent away stays away.
local kube = require "lib.kube"

local M = {}

M.STALLED = 300 -- seconds without a leader less; then it is given up
M.LONGEST = 1800
M.UNLOADED = 360 -- seconds that PD may take to load its schedulers

---PD has loaded what it knows: evictions that are made before are lost, or overwrite others.
function M.loaded(pd)
  for _, name in ipairs(pd.schedulers or {}) do
    if name == "balance-leader-scheduler" then return true end
  end
  return false
end

---@return number? since when leaders leave by our wish
function M.since(object)
  return time.parse((object.metadata.annotations or {})[kube.annotation.evicting] or "")
end

---A person wants the leaders of this store away.
function M.asked(object)
  return (object.metadata.annotations or {})[kube.annotation.evict_leaders] == "true"
end

---There is nowhere to go to: a single store, or regions without a second copy.
function M.futile(pd)
  local copies = tonumber(pd.replication and pd.replication.max_replicas)
  return copies == 1 or (pd.counts and pd.counts.Up or 0) < 2
end

---Leaders leave from now on. One that a person began is not ours to end.
function M.begin(w, p, i, found)
  if found.evicting then return end
  if not M.since(w.object) then p:mark(kube.ref(i.object.kind, w.object), kube.annotation.evicting) end
  p:pd_evict_leaders(found.id)
end

---Leaders that we sent away may come back. The mark goes when PD has done so; or, when it knows of no eviction,
---once it is settled: one that has just begun forgets its evictions for a moment, and remembers them later.
---@return boolean done nothing of ours is left
function M.take_back(w, p, i, found)
  if not (w.object.metadata.annotations or {})[kube.annotation.evicting] then return true end
  p:watch_pd()
  if not M.loaded(w.pd) then return false end
  if found.evicting then
    p:pd_restore_leaders(found.id)
  elseif not w.pd.settled then
    return false
  end
  p:patch_meta(kube.ref(i.object.kind, w.object), { remove_annotations = { kube.annotation.evicting } })
  return true
end

---When the number of leaders last fell: it is kept in status.
---@param old table status
---@return table progress
function M.progress(w, old, found)
  local was, left = old.progress or {}, tonumber(found.leaders) or 0
  local same = was.leadersLeft ~= nil and left >= was.leadersLeft and was.since
  return { leadersLeft = same and was.leadersLeft or left, since = same or time.format(w.now) }
end

---How long to wait for the leaders that are left; 0: no longer.
---@return number seconds
---@return string? why it is given up
function M.patience(w, found)
  local left = tonumber(found.leaders) or 0
  if found.evicting and left == 0 then return 0 end
  local fell, begun = time.parse(M.progress(w, w.object.status or {}, found).since) or w.now, M.since(w.object)
  local rest = fell + M.STALLED - w.now
  if begun then rest = math.min(math.max(fell, begun) + M.STALLED, begun + M.LONGEST) - w.now end
  if rest > 0 then return rest end
  return 0, ("%d leaders do not leave store %s"):format(left, found.id)
end

return M
