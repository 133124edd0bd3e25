--- drain_speed: how fast regions leave stores that drain: spec.scheduling.drainRate, peers a minute that each
-- other store takes. PD's own limits are written down before the first change and come back when nothing
-- drains any more; what leaves a store is not limited by PD at all while it drains.
local kube = require "lib.kube"

local M = {}

local LIMITS, DEFAULT, VERSION = "schedule.store-limit", "schedule.default-store-limit.add-peer",
  "schedule.store-limit-version"
local PD_DEFAULT = 15

local function rate_of(object)
  local s = object.spec.scheduling
  return s and tonumber(s.drainRate) or nil
end

local function saved(object)
  local text = (object.metadata.annotations or {})[kube.annotation.store_limits]
  local was = text and json.decode(text)
  return type(was) == "table" and was or nil
end

---Names of PD's settings that the Cluster asks for; none where nobody wants a speed.
function M.settings(object)
  if not rate_of(object) and not saved(object) then return {} end
  return { LIMITS, DEFAULT, VERSION }
end

-- What each store takes now, by id.
local function now(w)
  local out = {}
  for id, l in pairs(w.pd.settings[LIMITS] or {}) do out[id] = tonumber(l["add-peer"]) end
  return out
end

-- The value that most stores share: one request sets it, the others are set one by one.
local function usual(limits, default)
  local count, best = {}, default
  for _, rate in pairs(limits) do count[rate] = (count[rate] or 0) + 1 end
  for rate, n in pairs(count) do
    if n > (count[best] or 0) or n == (count[best] or 0) and rate < best then best = rate end
  end
  return best
end

local function compact(limits, default)
  local most, out = usual(limits, default), {}
  out.all = most
  for id, rate in pairs(limits) do
    if rate ~= most then out[id] = rate end
  end
  return out
end

-- Bring the limits to what `want` says of each store.
local function set(p, has, want)
  local off, n = {}, 0
  for id, rate in pairs(has) do
    if rate ~= (want[id] or want.all) then off[id], n = want[id] or want.all, n + 1 end
  end
  if n == 0 then return false end
  if n > 1 then
    p:pd_store_limit { type = "add-peer", rate = want.all }
    for id, rate in pairs(want) do
      if id ~= "all" and has[id] then p:pd_store_limit { type = "add-peer", rate = rate, store_id = id } end
    end
    return true
  end
  for id, rate in pairs(off) do p:pd_store_limit { type = "add-peer", rate = rate, store_id = id } end
  return true
end

---Step of the Cluster.
function M.step(w, p)
  local rate, was = rate_of(w.object), saved(w.object)
  if not (rate or was) or not (w.pd and w.pd.known and w.pd.settings) or w.pd.history then return end
  local draining = ((w.pd.counts or {}).Offline or 0)
  local ref, has = kube.ref("Cluster", w.object), now(w)
  if w.pd.settings[VERSION] == "v2" then
    if rate then p:note("DrainSpeedUnsupported", "PD's store-limit-version is v2: it sets the speed itself") end
  elseif rate and draining > 0 then
    if not was then
      local default = tonumber(w.pd.settings[DEFAULT]) or PD_DEFAULT
      p:patch_meta(ref, { annotations = { [kube.annotation.store_limits] = json.encode(compact(has, default), true) } })
    end
    set(p, has, { all = rate })
    p:note("DrainSpeed", "%d stores drain; each other store takes %d peers a minute", draining, rate)
  elseif was and not set(p, has, was) then
    p:patch_meta(ref, { remove_annotations = { kube.annotation.store_limits } })
  end
end

return M
