--- plan: collects what a pass wants done, and how it ended. Nothing happens here: C acts.
local M = {}

---More actions than this are cut by the engine; making them would only cost time.
M.MAX = 100

local Verdict = {}
Verdict.__index = Verdict

---What a person could do about it.
function Verdict:hint(fmt, ...)
  self.hint_text = fmt:format(...)
  return self
end

---@param t {done: integer, total: integer}
function Verdict:progress(t)
  self.progress_table = t
  return self
end

local Plan = {}
Plan.__index = Plan

function M.new()
  return setmetatable({ actions = {}, notes = {}, busy = false }, Plan)
end

function M.is_verdict(v) return getmetatable(v) == Verdict end

function Plan:add(action)
  self.actions[#self.actions + 1] = action
end

function Plan:full() return #self.actions >= M.MAX end

-- Verdicts ---------------------------------------------------------------------------------------

---An event will wake us.
function Plan:wait(reason, fmt, ...)
  return setmetatable({ kind = "wait", reason = reason, message = fmt:format(...) }, Verdict)
end

---Look again after `seconds`; not a failure.
function Plan:retry(seconds, reason, fmt, ...)
  local v = self:wait(reason, fmt, ...)
  v.kind, v.after = "retry", seconds
  return v
end

---Worth telling, but it stops nothing: shown when no step ended the pass.
function Plan:note(reason, fmt, ...)
  local v = self:wait(reason, fmt, ...)
  v.kind = "note"
  self.notes[#self.notes + 1] = v
  return v
end

---Look again within `seconds`, however the pass ends.
function Plan:look(seconds)
  self.within = math.min(self.within or seconds, math.max(seconds, 1))
end

---Something waits for PD: it is polled more often.
function Plan:watch_pd() self.busy = true end

-- Actions ----------------------------------------------------------------------------------------

function Plan:apply(object) self:add { action = "apply", object = object } end

function Plan:delete(ref, why, grace)
  self:add { action = "delete", kind = ref.kind, name = ref.name, uid = ref.uid, rv = ref.rv,
    grace = grace, why = why }
end

local META = { "labels", "annotations", "remove_labels", "remove_annotations", "add_finalizers",
  "remove_finalizers", "images" }

local function joined(a, b)
  if not (a and b) then return a or b end
  local out = {}
  for _, from in ipairs { a, b } do
    if from[1] ~= nil then
      for _, v in ipairs(from) do out[#out + 1] = v end
    else
      for k, v in pairs(from) do out[k] = v end
    end
  end
  return out
end

---Several changes of one object become one request: the second would find another resourceVersion.
function Plan:patch_meta(ref, change)
  local a
  for _, old in ipairs(self.actions) do
    if old.action == "patch_meta" and old.uid == ref.uid then a = old end
  end
  if not a then
    a = { action = "patch_meta", kind = ref.kind, name = ref.name, uid = ref.uid, rv = ref.rv }
    self:add(a)
  end
  for _, k in ipairs(META) do a[k] = joined(a[k], change[k]) end
end

function Plan:mark(ref, key)
  self:add { action = "mark", kind = ref.kind, name = ref.name, uid = ref.uid, rv = ref.rv, key = key }
end

function Plan:pd_offline(store_id, o)
  self:add { action = "pd_offline", store_id = store_id, expect = o.expect, force = o.force }
end

function Plan:pd_online(store_id, o)
  self:add { action = "pd_online", store_id = store_id, expect = o.expect }
end

function Plan:pd_evict_leaders(store_id) self:add { action = "pd_evict_leaders", store_id = store_id } end
function Plan:pd_restore_leaders(store_id) self:add { action = "pd_restore_leaders", store_id = store_id } end
function Plan:pd_transfer_leader(member) self:add { action = "pd_transfer_leader", member = member } end

function Plan:pd_remove_member(member_id, name)
  self:add { action = "pd_remove_member", member_id = member_id, name = name }
end

function Plan:pd_labels(store_id, labels)
  self:add { action = "pd_labels", store_id = store_id, labels = labels }
end

function Plan:pd_config(items) self:add { action = "pd_config", items = items } end

---@param o {type: "add-peer"|"remove-peer", rate: integer, store_id: string?}
function Plan:pd_store_limit(o)
  self:add { action = "pd_store_limit", type = o.type, rate = o.rate, store_id = o.store_id }
end

---@param ids string[] all tombstones
function Plan:pd_purge(ids) self:add { action = "pd_purge", stores = json.array(ids) } end

function Plan:tikv_config(instance, items)
  self:add { action = "tikv_config", instance = instance, items = items }
end

function Plan:job(object) self:add { action = "job", object = object } end

---@param type "Normal"|"Warning"
function Plan:event(type, reason, fmt, ...)
  self:add { action = "event", type = type, reason = reason, message = fmt:format(...) }
end

return M
