--- offline: how a store leaves PD: leaders away, then its regions, then PD's word that it is removed.
-- `next` is the whole of it as a pure function; nothing is concluded from what PD does not say. What
-- follows the proof (pod, claims, object) is in lib/deletion.
local kube = require "lib.kube"
local deletion = require "lib.deletion"
local eviction = require "lib.eviction"
local pvc = require "lib.pvc"
local questions = require "lib.questions"

local M = {}

local GROUP = kube.path_label(kube.label.group)

-- An event tells that PD is settled; a hundred that wait for it need not all look again and again.
local SETTLING = 60

M.EVICTION = 300 -- seconds that leaders are given to leave; then the regions go all the same
local ROOM = 0.2 -- share of a disk that PD keeps free (low-space-ratio)

---The store shall leave, or has left already, and its Cluster lives.
function M.asked(w, found)
  return w.cluster ~= nil and not w.cluster.deleting
    and (w.deleting or w.object.spec.offline == true or found ~= nil and found.state == "Tombstone")
end

---Topics of PD that a store that leaves is woken by, besides its own. The counts of states change with
---every one of a hundred that leave together: only those that wait for others look at them.
function M.wake(object, topics)
  local s = object.status or {}
  if object.spec.offline ~= true and not object.metadata.deletionTimestamp then return topics end
  topics[#topics + 1] = "settled"
  local busy = s.reason == "EvictingLeaders" or s.storeState == "Offline" and s.reason ~= "DrainStuck"
  if not busy then topics[#topics + 1] = "counts" end
  return topics
end

---What is needed to judge whether the others can do without this store: only while it is to be judged.
function M.needs(object, i, out)
  local state = object.status and object.status.storeState
  local leaving = object.spec.offline == true or object.metadata.deletionTimestamp ~= nil
  if not leaving or state == "Offline" or state == "Tombstone" then return end
  out[#out + 1] = { as = "others", pd = i.cluster, stores = "all", wake = json.array {}, fresh = 30 }
  out[#out + 1] = { as = "mates", kind = "TiKV", cluster = i.cluster,
    fields = { name = "metadata.name", deleting = "metadata.deletionTimestamp", offline = "spec.offline",
      id = "status.id", group = GROUP } }
  out[#out + 1] = { as = "limits", kind = "Cluster", name = i.cluster,
    fields = { leaving = "spec.disruption.maxLeavingStores" } }
  if object.metadata.deletionTimestamp then
    out[#out + 1] = { as = "wanted", kind = "TiKVGroup", name = i.group,
      fields = { replicas = "spec.replicas", deleting = "metadata.deletionTimestamp" } }
  end
end

---A deleted instance is replaced: another of its group serves before it goes.
---@return string? why it has to wait
function M.unreplaced(w, i)
  local group = w.wanted
  if not w.deleting or not group or group.deleting then return nil end
  local staying = 0
  for _, m in ipairs(w.mates or {}) do
    if m.group == i.group and not m.deleting and not m.offline then
      if (m.id or "") == "" then return m.name .. " takes its place and does not serve yet" end
      staying = staying + 1
    end
  end
  local wanted = tonumber(group.replicas) or 1
  if staying < wanted then
    return ("%d of %d others are there; one is added first"):format(staying, wanted)
  end
end

-- Mates that leave too and come before this one: their stores count as gone already. So that two which
-- look at the same moment never count on each other.
local function ahead(w, i)
  local out = {}
  for _, m in ipairs(w.mates or {}) do
    if m.name < i.name and (m.offline or m.deleting) and (m.id or "") ~= "" then out[m.id] = true end
  end
  return out
end

local function room(s)
  local capacity, available = tonumber(s.capacity) or 0, tonumber(s.available) or 0
  return math.max(available - ROOM * capacity, 0)
end

---Whether the rest can hold the replicas, and how many may leave at once.
---@return string? reason
---@return string? message
function M.refused(w, i, found)
  local pd, gone = w.others, ahead(w, i)
  local copies = tonumber(pd.replication and (pd.replication.peers or pd.replication.max_replicas)) or 0
  if copies <= 0 then return "OfflineRefused", "how many stores regions need is not known" end
  local level = pd.replication.isolation_level or ""
  local up, leaving, space, domains, different = 0, 0, 0, {}, 0
  for _, s in ipairs(pd.stores or {}) do
    if s.id ~= found.id then
      if s.state == "Offline" or (gone[s.id] and s.state ~= "Tombstone") then
        leaving = leaving + 1
      elseif s.state == "Up" then
        up, space = up + 1, space + room(s)
        local domain = (s.labels or {})[level] or s.id
        if not domains[domain] then domains[domain], different = true, different + 1 end
      end
    end
  end
  if up < copies then
    return "OfflineRefused", ("without store %s %d stores would be Up, regions need %d: %d missing"):format(
      found.id, up, copies, copies - up)
  end
  if level ~= "" and different < copies then
    return "OfflineRefused", ("without store %s there would be %d different values of the label %s, regions need %d")
      :format(found.id, different, level, copies)
  end
  local capacity, available = tonumber(found.capacity) or 0, tonumber(found.available) or 0
  local used = math.max(capacity - available, 0)
  if used > space then
    return "OfflineRefused", ("store %s holds %.1f GiB, the others have room for %.1f GiB"):format(found.id,
      used / 2 ^ 30, space / 2 ^ 30)
  end
  local limit = tonumber(w.limits and w.limits.leaving) or 0
  if limit > 0 and leaving >= limit then
    return "LeavingLimit", ("%d stores leave already, maxLeavingStores is %d"):format(leaving, limit)
  end
end

---The store whose disk is gone, by a person's word.
---@return string? id
function M.given_up(w) return (w.object.metadata.annotations or {})[kube.annotation.destroyed] end

---Every claim carries the proof that was seen before PD forgot the store.
local function proven(w, i, id)
  local claims = pvc.owned(w, i)
  for _, c in ipairs(claims) do
    local list = text.split((c.annotations or {})[kube.annotation.removed_stores] or "", ",")
    local has = false
    for _, x in ipairs(list) do has = has or x == id end
    if not has then return false end
  end
  return claims[1] ~= nil
end

local function unknown(w)
  local pd = w.pd
  if not (pd and pd.known) then return "PDUnknown", tostring(pd and pd.reason or "PD was not asked yet") end
  if pd.history then return "PDHistoryChanged", tostring(pd.history) end
  local recorded = w.cluster.id or ""
  if recorded ~= "" and recorded ~= pd.cluster_id then
    return "PDHistoryChanged", ("PD has cluster id %s, recorded is %s"):format(pd.cluster_id, recorded)
  end
end

local function drain(w, found)
  local old = w.object.status or {}
  local left = tonumber(found.regions) or 0
  local total = old.progress and tonumber(old.progress.regionsTotal) or left
  local same = old.reason == "Draining" and old.progress and tonumber(old.progress.regionsLeft) == left
  if same and old.message then return old.message end -- time alone is no news
  local since = old.reason == "Draining" and time.parse(old.since or "")
  local text_of = ("%d of %d regions left"):format(left, math.max(total, left))
  if since and w.now > since and total > left then
    local rate = (total - left) / (w.now - since)
    text_of = ("%s, %d a minute, about %d s more"):format(text_of, math.ceil(rate * 60), math.ceil(left / rate))
  end
  return text_of
end

local function draining(w, found)
  local pd = w.pd
  local copies = tonumber(pd.replication and (pd.replication.peers or pd.replication.max_replicas)) or 0
  local up = pd.counts and pd.counts.Up or 0
  if pd.halted then return { reason = "DrainStuck", message = drain(w, found) .. "; scheduling is halted in PD" } end
  if up < copies then
    return { reason = "DrainStuck",
      message = ("%s; %d stores are Up besides, regions need %d"):format(drain(w, found), up, copies) }
  end
  return { reason = "Draining", message = drain(w, found) }
end

local function evicting(w, found)
  local old = w.object.status or {}
  local leaders = tonumber(found.leaders) or 0
  if found.state ~= "Up" or (found.evicting and leaders == 0) then return nil end
  if not eviction.loaded(w.pd) then
    return { reason = "PDNotSettled", after = 15, message = "PD has not loaded its schedulers yet; leaders wait" }
  end
  local since = old.reason == "EvictingLeaders" and time.parse(old.since or "")
  local left = since and since + M.EVICTION - w.now or M.EVICTION
  if left <= 0 then return nil end -- PD may also refuse to evict; its moves take the leaders along
  return { reason = "EvictingLeaders", after = math.max(math.min(left, 30), 1),
    act = not found.evicting and "evict" or nil,
    message = ("%d leaders left on store %s; after %d minutes it goes on without them"):format(leaders, found.id,
      M.EVICTION / 60) }
end

---What happens next to a store that shall leave.
---@param i instance
---@param id string recorded store id, "" when none is
---@param found table? PD's record of that id
---@return {reason: string, message: string, act: string?, after: number?, removed: boolean?, unproven: boolean?}
function M.next(w, i, id, found)
  if id ~= "" and proven(w, i, id) then
    return { reason = "StoreRemoved", removed = true, message = ("store %s was seen to be removed"):format(id) }
  end
  local reason, why = unknown(w)
  if reason then return { reason = reason, message = "nothing leaves while PD is not certain: " .. why } end
  if id == "" and deletion.never_seen(w, i, found) then
    return { reason = "StoreRemoved", removed = true, message = "PD has never seen it" }
  end
  if id == "" then
    return { reason = "NotRegistered", message = "PD has no store at " .. i.address .. "; its disk is kept" }
  end
  if not found and w.pd.settled and not w.pod and not pvc.owned(w, i)[1] then
    return { reason = "StoreRemoved", removed = true, message = ("store %s and its disks are gone"):format(id) }
  end
  if not found then
    return { reason = "StoreUnknown", message = ("PD does not list store %s, which proves nothing"):format(id) }
  end
  if found.state == "Tombstone" then
    local regions = tonumber(found.regions) or -1
    if regions ~= 0 and M.given_up(w) == id then
      return { reason = "StoreRemoved", removed = true, unproven = true,
        message = ("PD calls store %s removed; its disk is kept, its %d regions were given up"):format(id, regions) }
    end
    if regions ~= 0 then
      return { reason = "TombstoneWithRegions",
        message = ("PD calls store %s removed with %d regions on it; its disk is kept"):format(id, regions) }
    end
    if not w.pd.settled then
      return { reason = "PDNotSettled", after = SETTLING,
        message = "PD's leader is new: its word that the store is removed waits" }
    end
    -- whether another store has its address by now is asked first
    local removed = w.at ~= nil and w.at.known or nil
    return { reason = "StoreRemoved", removed = removed, after = not removed and 1 or nil,
      message = ("PD has removed store %s"):format(id) }
  end
  if found.state == "Offline" then return draining(w, found) end
  if not (w.others and w.others.known) then
    return { reason = "PDUnknown", message = "the other stores are not known", after = 2 }
  end
  local early = M.unreplaced(w, i)
  if early then return { reason = "ReplacementNotReady", message = early } end
  reason, why = M.refused(w, i, found)
  if reason then return { reason = reason, message = why } end
  local ok, no = questions.can(w, "can_offline", { instance = i.name, group = i.group, store = id,
    regions = found.regions, leaders = found.leaders })
  if not ok then return { reason = "PolicyDenied", message = "can_offline: " .. no, after = 30 } end
  if not w.pd.settled then
    return { reason = "PDNotSettled", after = SETTLING,
      message = "PD's leader is new: stores leave when it is settled" }
  end
  return evicting(w, found)
    or { reason = "Draining", act = "offline", message = ("%s regions of store %s begin to leave"):format(
      tostring(found.regions or "?"), id) }
end

local function say(p, what)
  if what.after then return p:retry(what.after, what.reason, "%s", what.message) end
  return p:wait(what.reason, "%s", what.message)
end

---The proof is written onto the disks before anything else: PD may forget the store any time.
local function record(w, p, i, id)
  if id == "" or proven(w, i, id) then return false end
  local lacks = false
  for _, c in ipairs(pvc.owned(w, i)) do
    local old = (c.annotations or {})[kube.annotation.removed_stores]
    if not c.deleting then
      lacks = true
      p:patch_meta(kube.ref("PersistentVolumeClaim", c),
        { annotations = { [kube.annotation.removed_stores] = old and old .. "," .. id or id } })
    end
  end
  return lacks
end

---Step: a store that shall leave leaves, and one that shall stay again is called back.
---@return verdict?
function M.step(w, p, i, id, found)
  if not M.asked(w, found) then
    if not found then return end
    if found.state == "Offline" then
      p:watch_pd()
      p:pd_online(id, { expect = "Offline" })
      return p:wait("CancellingOffline", "store %s stays after all; %d regions are still there", id,
        tonumber(found.regions) or 0)
    end
    return
  end
  local what = M.next(w, i, id, found)
  p:watch_pd()
  if what.removed then
    if found then eviction.take_back(w, p, i, found) end
    if (what.unproven or not record(w, p, i, id)) and w.deleting then return deletion.remove(w, p, i) end
  elseif what.act == "evict" then
    eviction.begin(w, p, i, found)
  elseif what.act == "offline" then
    p:pd_offline(id, { expect = found.state })
  end
  return say(p, what)
end

return M
