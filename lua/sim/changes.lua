--- changes: what people change in templates and ask of single instances: versions, settings, restarts, holds.
-- Each operation takes a number that decides its details and returns a line for the trace or nil. Groups
-- of `wanted` remember what their template should say.
local pd = require "sim.pd"
local runtime = require "sim.runtime"

---@type sim.wanted[] as in sim.people
local M = { wanted = {}, evicted = {}, asked = {} }
local PLURAL = { PDGroup = "pdgroups", TiKVGroup = "tikvgroups" }
local notes = {} -- annotations that go again

local function core(w, plural, name)
  return ("/apis/core.tikv.org/v1alpha1/namespaces/%s/%s%s"):format(w.ns, plural, name and "/" .. name or "")
end

local function list(path)
  local status, body = sim.request("GET", path)
  return status == 200 and body.items or {}
end

local function pick(items, arg) return #items > 0 and items[arg % #items + 1] or nil end

local function some_cluster(arg)
  local out = {}
  for _, w in ipairs(M.wanted) do
    if w.there then out[#out + 1] = w end
  end
  return pick(out, arg)
end

--- The template of a group, as people write it.
function M.template(g)
  local metadata = g.restarted and { annotations = { ["core.tikv.org/restartedAt"] = g.restarted } } or nil
  local is_pd, config = g.kind == "PDGroup", g.config or ""
  if g.setting then
    config = config .. (is_pd and "[schedule]\nleader-schedule-limit" or "[raftstore]\nraft-log-gc-threshold")
      .. " = " .. g.setting .. "\n"
  end
  return { metadata = metadata, spec = { version = g.version or "v8.5.2", config = config,
    updateStrategy = { config = g.setting and "HotReload" or "Restart" },
    volumes = sim.array { { name = "data", mounts = sim.array { { type = "data" } },
      storage = ("%dGi"):format(g.size or (is_pd and 10 or 50)) } } } }
end

local function write_template(w, g)
  local t = M.template(g)
  return sim.request("PATCH", core(w, PLURAL[g.kind], g.name), { spec = { template = t } }) < 300
end

local function some_group(arg)
  local w, out = some_cluster(arg), {}
  for _, g in ipairs(w and w.groups or {}) do
    if not g.deleted and g.kind == (math.floor(arg / 3) % 2 == 0 and "TiKVGroup" or "PDGroup") then out[#out + 1] = g end
  end
  return w, pick(out, math.floor(arg / 7))
end

-- What people go back to has run: it is never a broken one.
local function configure(g, text)
  if not (g.config or ""):find(runtime.BROKEN, 1, true) then g.before = g.config end
  g.config = text
end

--- arg decides: a setting, a version, or the annotation that asks for a rolling restart.
function M.change_template(arg)
  local w, g = some_group(arg)
  if not g then return end
  local how = math.floor(arg / 16) % 4
  if how == 0 then g.restarted = sim.wall()
  elseif how == 1 then g.version = g.version == "v8.5.3" and "v8.5.2" or "v8.5.3"
  else configure(g, ("[log.file]\nmax-days = %d\n"):format(1 + math.floor(arg / 64) % 5)) end
  if write_template(w, g) then
    return ("template of %s %s/%s: %s"):format(g.kind, w.ns, g.name, ({ [0] = "restart", g.version })[how] or g.config)
  end
end

--- A template that no program takes, until somebody corrects it.
function M.break_template(arg)
  local w, g = some_group(arg)
  if not g then return end
  local text = ("%s = %d\n"):format(runtime.BROKEN, arg % 9)
  configure(g, text)
  write_template(w, g)
  sim.after(3000 + arg % 40000, function()
    if g.config ~= text or g.deleted then return end
    g.config = math.floor(arg / 8) % 2 == 0 and g.before or "[log.file]\nmax-days = 7\n"
    if g.config == text then g.config = nil end
    write_template(w, g)
  end)
  return ("template of %s %s/%s is broken"):format(g.kind, w.ns, g.name)
end

function M.roll_back(arg)
  local w, g = some_group(arg)
  if not g or g.before == g.config then return end
  configure(g, g.before)
  write_template(w, g)
  return ("template of %s %s/%s goes back"):format(g.kind, w.ns, g.name)
end

--- A setting that what runs shall have, without a restart.
function M.set_online(arg)
  local w, g = some_group(arg)
  if not g then return end
  local was = g.setting
  g.setting = 10 + math.floor(arg / 31) % 50
  if not write_template(w, g) then
    g.setting = was
    return
  end
  return ("%s %s/%s: setting %d, online"):format(g.kind, w.ns, g.name, g.setting)
end

--- Larger volumes.
function M.grow_volumes(arg)
  local w, g = some_group(arg)
  if not g then return end
  local was = g.size
  g.size = (g.size or (g.kind == "PDGroup" and 10 or 50)) + 2
  if not write_template(w, g) then
    g.size = was
    return
  end
  return ("%s %s/%s: volumes of %dGi"):format(g.kind, w.ns, g.name, g.size)
end

--- PD moves nothing for a while.
function M.freeze(arg)
  local w = some_cluster(arg)
  if not w then return end
  local _, now = sim.wall()
  w.frozen_until = now + 5000 + math.floor(arg / 31) % 30000
  local till = sim.format_time(w.frozen_until)
  sim.request("PATCH", core(w, "clusters", w.name), { spec = { scheduling = { haltUntil = till } } })
  return ("Cluster %s/%s: PD moves nothing until %s"):format(w.ns, w.name, till)
end

local function some_instance(arg, kinds)
  local w = some_cluster(arg)
  local plural = kinds[math.floor(arg / 3) % #kinds + 1]
  local o = w and pick(list(core(w, plural)), math.floor(arg / 11))
  if o then return core(w, plural, o.metadata.name), o end
end

local function annotate(path, key, value)
  return sim.request("PATCH", path, ('{"metadata":{"annotations":{"core.tikv.org/%s":%s}}}'):format(key,
    value and '"' .. value .. '"' or "null")) < 300
end

function M.restart_instance(arg)
  local path = some_instance(arg, { "tikvs", "tikvs", "pds" })
  if path and annotate(path, "restart", sim.wall()) then return path .. " shall restart" end
end

local function annotated_for_a_while(path, key, value, arg)
  if not path or not annotate(path, key, value) then return end
  notes[#notes + 1] = { path = path, key = key }
  sim.after(5000 + arg % 30000, function() annotate(path, key, nil) end)
  return ("%s: %s"):format(path, key)
end

function M.evict_leaders(arg)
  local path, o = some_instance(arg, { "tikvs" })
  if o then M.asked[(o.status or {}).id or ""] = true end
  return annotated_for_a_while(path, "evict-leaders", "true", arg)
end

function M.hold(arg)
  return annotated_for_a_while(some_instance(arg, { "tikvs", "pds" }), "hold", "to look at it", arg)
end

--- Somebody sends the leaders of a store away with pd-ctl: that is not ours to take back.
function M.evict_by_hand(arg)
  local c = pick(pd.clusters, arg)
  if not c or not c:has_leader() or not c.coordinator then return end
  for id, s in sim.pairs(c.stores) do
    if s.node_state == 1 and not c.evict[id] and next(M.evicted) == nil then
      c:evict_store(id)
      M.evicted[id] = c
      return ("leaders of store %s by hand"):format(tostring(id))
    end
  end
end

-- Versions that no order of groups leads to are put right by people.
local function same_version(w)
  local version
  for _, g in ipairs(w.groups) do version = version or g.version end
  for _, g in ipairs(w.groups) do
    if w.there and not g.deleted and (g.version or "v8.5.2") ~= (version or "v8.5.2") then
      g.version = version
      write_template(w, g)
    end
  end
end

--- The trouble is over: nothing is held or kept away any more.
function M.finish()
  for _, w in ipairs(M.wanted) do same_version(w) end
  for _, n in ipairs(notes) do annotate(n.path, n.key, nil) end
end

return M
