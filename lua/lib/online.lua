--- online: settings of processes that run, changed without a restart and verified by reading back.
-- What the spec says is sent once to each process; what does not hold afterwards needs a restart, or was
-- refused. From then on a value that moves is somebody's doing: it is told as drift, and not taken back.
-- The annotation `online-config` remembers what was sent: JSON {of, since, keys, ["not"], left}.
--   of     hash of the settings          keys   their names
--   since  the process (TiKV)            not    {name: why}, what it did not take
--   left   names that are gone from the spec and hold until a restart
local kube = require "lib.kube"
local conditions = require "lib.conditions"
local settings = require "lib.settings"

local M = {}

---How often a TiKV is read, in seconds.
M.FRESH = 300

local REASONS = { ConfigRefused = true, ConfigNeedsRestart = true, ConfigDrift = true }

---PD keeps these in its own store: after the first start the file says nothing about them.
local PD_KEPT = { schedule = true, replication = true, ["pd-server"] = true, ["replication-mode"] = true,
  keyspace = true, ["micro-service"] = true, controller = true }

---@param spec table spec of an instance, or of a group's template
function M.hot(spec)
  return spec.updateStrategy ~= nil and spec.updateStrategy.config == "HotReload"
end

local function recorded(object)
  local text = (object.metadata.annotations or {})[kube.annotation.online]
  if not text then return nil end
  local rec = json.decode(text)
  return type(rec) == "table" and rec or {}
end

local function pd_kept(key)
  return PD_KEPT[key:match "^([^.]+)%." or ""] == true or key == "log.level"
end

-- PD wants booleans as texts, and lists with commas; TiKV everything as text, which C does.
local function sent(v)
  if type(v) == "boolean" then return tostring(v) end
  return type(v) == "table" and table.concat(v, ",") or v
end

-- A complaint about the value is worse than one about the moment.
local function why_not(complaint)
  if complaint == nil or complaint == "" then return "restart" end
  for _, later in ipairs { "can not be changed", "unexpect fields", "config item", "config prefix" } do
    if complaint:find(later, 1, true) then return "restart" end
  end
  return complaint
end

---@class online.facts
---@field want table<string, any>
---@field values table<string, any> what the process says
---@field tried table<string, {value: any, why: string}>
---@field since string?
---@field record table? what the annotation says
---@field can fun(key: string): boolean whether it may be changed while it runs
---@field adopts boolean without a record: what is there is taken as it is
---@field keeps fun(key: string): boolean whether its value outlives a restart

---@return string[] send names to be sent now
---@return table record what the annotation should say
---@return {refused: string[], restart: string[], drift: string[]} out names
function M.judge(f)
  local of = hash.safe(json.encode(f.want, true))
  local rec, differ, send = f.record, {}, {}
  local out = { refused = {}, restart = {}, drift = {} }
  for _, k in ipairs(settings.keys(f.want)) do
    if not settings.same(f.want[k], f.values[k]) then differ[#differ + 1] = k end
  end
  local new = { of = of, since = f.since, keys = json.array(settings.keys(f.want)) }
  -- where nobody asked for it nothing is sent that was not asked for since: an operator that learns this
  -- finds what people did by hand
  if not rec and not f.adopts then rec = {} end
  local same_process = rec ~= nil and rec.since == f.since
  if rec and (rec.of ~= of or not same_process) then
    new["not"], new.left = {}, {}
    for _, k in ipairs(differ) do
      local t = f.tried[k]
      local done = t and t.value == sent(f.want[k])
      -- PD took it, and another leader may not have heard of it
      if done and t.why == "" and f.keeps(k) then done = false end
      if f.can(k) and not done then send[#send + 1] = k end
      new["not"][k] = why_not(t and t.why)
    end
    if same_process then
      for _, list in ipairs { rec.keys or {}, rec.left or {} } do
        for _, k in ipairs(list) do
          if f.want[k] == nil and not f.keeps(k) then new.left[#new.left + 1] = k end
        end
      end
    end
    json.array(new.left)
    rec = new
  elseif not rec then
    rec = new
  end
  for _, k in ipairs(differ) do
    local why = (rec["not"] or {})[k]
    local list = why == nil and out.drift or why == "restart" and out.restart or out.refused
    list[#list + 1] = k
  end
  for _, k in ipairs(rec.left or {}) do out.restart[#out.restart + 1] = k end
  return send, rec, out
end

local function some(names, fn)
  local out = {}
  for n, k in ipairs(names) do
    if n > 5 then
      out[n] = ("and %d more"):format(#names - 5)
      break
    end
    out[n] = fn and fn(k) or k
  end
  return table.concat(out, "; ")
end

local function tell(p, f, out)
  if out.refused[1] then
    p:note("ConfigRefused", "%s", some(out.refused, function(k)
      return ("%s = %s: %s"):format(k, settings.show(f.want[k]), tostring((f.record or {})["not"] and
        f.record["not"][k] or f.tried[k] and f.tried[k].why or "refused"))
    end))
  end
  if out.restart[1] then p:note("ConfigNeedsRestart", "in force after a restart: %s", some(out.restart)) end
  if out.drift[1] then
    p:note("ConfigDrift", "%s", some(out.drift, function(k)
      return ("%s is %s, spec.config says %s"):format(k, settings.show(f.values[k]), settings.show(f.want[k]))
    end))
  end
end

-- Told once: what PD was given and nobody speaks of any more stays as it is.
local function tell_left(p, f, old)
  local left = {}
  for _, k in ipairs(old.keys or {}) do
    if f.want[k] == nil and f.keeps(k) then left[#left + 1] = k end
  end
  if left[1] then
    p:event("Warning", "ConfigLeft", "gone from spec.config; PD keeps their values: %s", some(left))
  end
end

-- Send, or remember and tell. `act(name, value)` makes the action.
local function carry_out(w, p, f, act)
  local send, rec, out = M.judge(f)
  for _, k in ipairs(send) do
    if p:full() then break end
    act(k, sent(f.want[k]))
  end
  if send[1] then
    return p:retry(30, "ConfigApplying", "%d settings are changed online: %s", #send, some(send))
  end
  local text = json.encode(rec, true)
  if (w.object.metadata.annotations or {})[kube.annotation.online] ~= text then
    tell_left(p, f, f.record or {})
    p:patch_meta(kube.ref(w.object.kind, w.object), { annotations = { [kube.annotation.online] = text } })
  end
  f.record = rec
  tell(p, f, out)
end

-- TiKV -------------------------------------------------------------------------------------------

local function wanted_by(spec)
  return M.hot(spec) and settings.of(spec.config) or nil
end

---What a TiKV needs to see of its own process; nothing when nothing is changed online.
function M.needs_tikv(object, out)
  local want = wanted_by(object.spec)
  local known = ((object.status or {}).id or "") ~= ""
  if not want or not known or next(want) == nil and not recorded(object) then return end
  out[#out + 1] = { as = "live", tikv = object.metadata.name, settings = json.array(settings.keys(want)),
    fresh = M.FRESH }
end

---Step of TiKV.
function M.tikv(w, p)
  local want, live = wanted_by(w.object.spec), w.live
  if not want or not (live and live.known) then return end
  local name = w.object.metadata.name
  return carry_out(w, p, { want = want, values = live.values, tried = live.tried or {}, since = live.since,
    record = recorded(w.object), can = function(k) return type(want[k]) ~= "table" end,
    keeps = function() return false end, adopts = false },
    function(k, v) p:tikv_config(name, { [k] = v }) end)
end

-- PD ---------------------------------------------------------------------------------------------

-- Under Restart the file is read again by each process, but not for what PD keeps itself.
local function wanted_by_group(group)
  local spec = group.spec.template.spec
  local want = settings.of(spec.config)
  if not want or M.hot(spec) then return want end
  local kept = {}
  for k, v in pairs(want) do
    if pd_kept(k) then kept[k] = v end
  end
  return kept
end

---Names that a PDGroup asks PD for.
function M.needs_pd(group)
  local want = wanted_by_group(group)
  return want and json.array(settings.keys(want))
end

-- One cluster, one configuration: the group of PD's leader speaks for it.
local function leads(w, list)
  local leader = w.pd.leader and w.pd.leader.name
  for _, m in ipairs(list) do
    if m.pod == leader then return true end
  end
  return false
end

---Step of PDGroup.
---@param list member[]
function M.pd(w, p, list)
  local want = wanted_by_group(w.object)
  if not want or not (w.pd and w.pd.known and w.pd.settings) or w.pd.history or not leads(w, list) then return end
  local rec = recorded(w.object)
  if next(want) == nil and not rec then return end
  return carry_out(w, p, { want = want, values = w.pd.settings, tried = w.pd.tried or {}, record = rec,
    can = pd_kept, keeps = pd_kept, adopts = not M.hot(w.object.spec.template.spec) }, function(k, v) p:pd_config { [k] = v } end)
end

-- Telling ----------------------------------------------------------------------------------------

---The condition ConfigApplied of whatever has this step. Where the pass did not come that far, or the
---process has not said what it has, it stays as it was.
---@param old table? conditions
---@return table? condition
function M.condition(w, t, old)
  local came
  for _, s in ipairs(t.steps or {}) do came = came or s.step == "online" end
  local known
  if w.object.kind == "TiKV" then known = w.live and w.live.known else known = w.pd and w.pd.settings end
  if not came or not known then
    return conditions.find(old, "ConfigApplied") or conditions.of("ConfigApplied", nil, "Unknown")
  end
  for _, n in ipairs(t.notes or {}) do
    if REASONS[n.reason] then return conditions.of("ConfigApplied", false, n.reason, "%s", n.message) end
  end
  if t.verdict.reason == "ConfigApplying" then
    return conditions.of("ConfigApplied", false, t.verdict.reason, "%s", t.verdict.message)
  end
  return conditions.of("ConfigApplied", true, "Applied")
end

---Step of a group of TiKVs, among the last: what its instances say of their settings.
---@param list member[]
function M.group(w, p, list)
  if not M.hot(w.object.spec.template.spec) then return end
  for _, reason in ipairs { "ConfigRefused", "ConfigNeedsRestart", "ConfigDrift" } do
    local first, n = nil, 0
    for _, m in ipairs(list) do
      if m.row.reason == reason then first, n = first or m, n + 1 end
    end
    if first then p:note(reason, "%d of %d instances; %s: %s", n, #list, first.name, first.row.message or "") end
  end
end

---Whether a changed template may reach this instance now: under HotReload one that serves takes it first, and
---the others follow when it was not refused.
---@param list member[] instances of the same revision
---@param want string hash of the template
---@return fun(m: member): boolean
function M.cautious(template, list, want)
  if not M.hot(template.spec) then return function() return true end end
  local trying, first
  for _, m in ipairs(list) do
    if m.ready and m.row.template == want then
      local r = m.row
      if r.observed == r.generation and r.reason ~= "ConfigApplying" and r.reason ~= "ConfigRefused" then
        return function() return true end
      end
      trying = true
    elseif m.ready then
      first = first or m
    end
  end
  return function(m)
    if trying then return false end
    return not first or m == first
  end
end

return M
