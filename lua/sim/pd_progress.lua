--- pd_progress: how far a store has got, as /stores/progress tells. Part of pd.Cluster.
-- Values change with the 10-s job only. A run without a speed, or of a store that was empty from the
-- start, leaves a number that JSON can not hold: PD then answers 500 with a complaint of its printer.
local Cluster = {}

local MAX = 1.7976931348623157e308

--- Preparing is over.
function Cluster:prepared(s)
  self.progress[s.id] = { action = "preparing", broken = "+Inf" }
end

--- A Removing store at a tick: size is what PD believes it still holds, in MiB.
function Cluster:note_progress(s, gone, size)
  local p, now = self.progress[s.id], sim.now_ms()
  if not p or p.action ~= "removing" then
    p = { action = "removing", first = size, since = now, left = size }
    p.broken = size == 0 and "NaN" or nil
    self.progress[s.id] = p
  end
  p.left = size
  if gone and not p.broken then p.done = true end
  p.speed = now > p.since and (p.first - size) / ((now - p.since) / 1000) or 0
end

local function figures(p)
  local done = p.done and 1 or (p.first - p.left) / p.first
  local left = p.done and 0 or p.speed > 0 and p.left / p.speed or MAX
  return { progress = done, speed = p.speed, left = left }
end

--- Of one store: figures and action; or nil and what can not be printed; or nil.
function Cluster:store_progress(id)
  local p = self.progress[id]
  if not p then return end
  if p.broken then return nil, p.broken end
  return figures(p), p.action
end

--- The average of an action.
function Cluster:action_progress(action)
  local n, sum, broken = 0, { progress = 0, speed = 0, left = 0 }, nil
  for _, p in sim.pairs(self.progress) do
    if p.action == action and action == "removing" then
      broken = broken or p.broken
      local f = not p.broken and figures(p)
      for k in pairs(f and sum or {}) do sum[k] = math.min(sum[k] + f[k], MAX) end
      n = n + 1
    end
  end
  if broken then return nil, broken end
  if n == 0 then return end
  return { progress = sum.progress / n, speed = sum.speed / n, left = sum.left == MAX and MAX or sum.left / n }
end

return { methods = Cluster }
