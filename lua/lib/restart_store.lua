--- restart_store: how a running store is restarted: the others are well, its leaders are away, then its pod.
local kube = require "lib.kube"
local eviction = require "lib.eviction"
local pods = require "lib.pod"
local restart = require "lib.restart"
local store = require "lib.store"

local M = {}

local GRACE, REGIONS_PER_SECOND = 60, 100

function M.needs(object, i, out)
  if not restart.needs(object, i, out) then return end
  out[#out + 1] = { as = "mates", kind = "TiKV", cluster = i.cluster, fields = { name = "metadata.name",
    evicting = kube.path_annotation(kube.annotation.evicting), asked = kube.path_annotation(kube.annotation.evict_leaders),
    offline = "spec.offline", deleting = "metadata.deletionTimestamp", reason = "status.reason" } }
  out[#out + 1] = { as = "others", pd = i.cluster, stores = "all", wake = json.array { "counts" }, fresh = 30 }
end

-- Other stores that do not serve: PD shows one that was stopped as Up for 20 s, its pod tells earlier.
local function away(w, found)
  local serves, out = {}, {}
  for _, r in ipairs(w.pods or {}) do serves[r.name] = r.ready == "True" and not r.deleting end
  for _, s in ipairs(w.others.stores or {}) do
    local counts = s.state ~= "Tombstone" and (s.state ~= "Down" or (tonumber(s.regions) or 1) > 0)
    local well = s.state == "Up" or s.state == "Offline" and (tonumber(s.heartbeat_age) or 0) < 30
    if counts and s.id ~= found.id and (not well or serves[s.address:match "^[^.:]+"] == false) then
      out[#out + 1] = s.id
    end
  end
  return out
end

-- Others that send their leaders away for a restart, and come first: where all leave, nobody can take them.
local function ahead(w, i)
  local mine, out = eviction.since(w.object) ~= nil, {}
  for _, m in ipairs(w.mates or {}) do
    local evicts = m.evicting and not m.offline and not m.deleting and m.asked ~= "true"
      and m.reason ~= "LeadersReturning"
    if evicts and m.name ~= i.name and (not mine or m.name < i.name) then out[#out + 1] = m.name end
  end
  return out
end

-- Why the cluster can not do without this store now.
local function unfit(w, i, found)
  if not (w.others and w.others.known) then return "PDUnknown", "the other stores are not known", 2 end
  if w.pd.halted then return "SchedulingHalted", "scheduling is halted in PD: leaders can not leave " .. i.name end
  local gone, limit = away(w, found), tonumber(w.cluster.unavailable) or 1
  if #gone >= limit then
    return "StoresUnavailable", ("%d other stores do not serve (%s), maxUnavailableStores is %d"):format(#gone,
      table.concat(gone, ", ", 1, math.min(#gone, 3)), limit), 5
  end
  local first = ahead(w, i)
  if #first >= limit then return "RestartWaiting", first[1] .. " is restarted first" end
  local down = w.pd.regions and tonumber(w.pd.regions.down_peer) or 0
  if down > 0 and #gone == 0 then return "PeersDown", ("PD counts %d regions with a peer that is down"):format(down), 5 end
end

-- Serving as far as anybody knows: what does not is repaired, and repair waits for nobody. A new leader
-- of PD calls every store Disconnected.
local function serves(w, i, id, found)
  if id == "" then return w.pod.ready == "True" end
  if found and found.state ~= "Up" and w.pd.settled then return false end
  if found and not store.heard(w, found) then return false end
  if w.pod.ready == "True" then return true end
  return found ~= nil and (tonumber(found.leaders) or 0) > 0 and restart.running(w, i)
end

local function grace(found)
  return GRACE + math.ceil((tonumber(found.regions) or 0) / REGIONS_PER_SECOND)
end

-- Leaders leave first; nil: they have left, can not, or have had their time.
local function leaders(w, p, i, found)
  if eviction.futile(w.pd) or found.state ~= "Up" then return nil end
  local old = w.object.status or {}
  if not eviction.loaded(w.pd) then
    local since = old.reason == "PDNotSettled" and time.parse(old.since or "") or w.now
    if w.now - since > eviction.UNLOADED then return nil end
    return p:retry(5, "PDNotSettled", "PD has not loaded its schedulers yet; leaders of %s wait", i.name)
  end
  local rest, given_up = eviction.patience(w, found)
  if given_up then p:event("Warning", "EvictionGivenUp", "%s; pod %s is restarted all the same", given_up, i.pod) end
  if rest <= 0 then return nil end
  eviction.begin(w, p, i, found)
  return p:retry(math.max(1, math.min(rest, 30)), "EvictingLeaders", "%d leaders left on store %s before pod %s is restarted",
    tonumber(found.leaders) or 0, found.id, i.pod)
end

---Step: a pod that is to be made again is stopped with care.
---@return verdict?
function M.step(w, p, i, id, found)
  local _, wrong = restart.asked(w.object)
  if wrong then p:note("InvalidSpec", "%s", wrong) end
  local due = restart.due(w, i)
  if not due then return end
  local hold = restart.hold(w.object)
  if hold then return p:wait("Held", "held by a person: %s", hold) end
  if not serves(w, i, id, found) then return restart.now(w, p, i, due) end
  local reason, why, after = restart.closed(w, p, i, due)
  if not reason and not found then
    reason, why = "PDUnknown", "a store that serves is not restarted while PD is not certain of it"
  end
  if not reason then reason, why, after = unfit(w, i, found) end
  p:watch_pd()
  if reason then
    if found and not eviction.asked(w.object) then eviction.take_back(w, p, i, found) end
    return restart.wait(p, reason, why, after)
  end
  return leaders(w, p, i, found) or restart.now(w, p, i, due, grace(found))
end

---A pod that somebody else stops, and that waits in its hook until it leads nothing: its leaders leave.
function M.stopping(w, p, i, found)
  local waits = false
  for _, c in ipairs(w.pod.init or {}) do waits = waits or c.name == pods.PRESTOP end
  local leads = found and found.state == "Up" and (tonumber(found.leaders) or 0) > 0
  if not waits or not leads or not eviction.loaded(w.pd) or eviction.futile(w.pd) then return end
  p:watch_pd()
  eviction.begin(w, p, i, found)
end

---Step, among the last: who wants the leaders of a store that serves to be away, or back.
function M.leaders(w, p, i, id, found)
  if not found or found.state ~= "Up" or id == "" then return end
  if not eviction.asked(w.object) then
    if eviction.take_back(w, p, i, found) then return end
    return p:retry(15, "LeadersReturning", "leaders may come back to store %s", found.id)
  end
  if not eviction.loaded(w.pd) then return end
  eviction.begin(w, p, i, found)
  p:note("LeadersEvicted", "a person wants no leaders on store %s; %d are left", found.id, tonumber(found.leaders) or 0)
end

return M
