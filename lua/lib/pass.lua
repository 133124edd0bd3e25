--- pass: what C calls: needs(object), run(world), check().
-- Steps run in order; the first verdict ends the pass; status always runs, on what was observed.
local plan = require "lib.plan"
local story = require "lib.story"

local controllers = {}
for _, name in ipairs { "cluster", "pdgroup", "pd", "tikvgroup", "tikv" } do
  local c = require("controllers." .. name)
  controllers[c.kind] = c
end

local M = {}

local function controller_of(kind)
  return controllers[kind] or error(("no controller for kind %q"):format(tostring(kind)), 0)
end

---A list that a step relies on is unknown: not an empty list.
local function blind(c, w, p)
  for _, as in ipairs(c.essential or {}) do
    local why = w.unknown and w.unknown[as]
    if why then return p:wait("NotSynced", "%s can not be read yet: %s", as, tostring(why)) end
  end
end

---An error of a policy holds the step that asked: what the step added is taken back.
local function run_step(c, name, w, p)
  if not ask then return c[name](w, p) end
  local before = #p.actions
  local ok, verdict = pcall(c[name], w, p)
  if ok then return verdict end
  local text = tostring(verdict)
  local why = text:match("^policy (.*)") or text:match(": policy (.*)")
  if not why then error(verdict, 0) end
  for i = #p.actions, before + 1, -1 do p.actions[i] = nil end
  return p:retry(30, "PolicyError", "%s is held: %s", name, why)
end

local function line(step, v)
  return { step = step, verdict = v.kind, reason = v.reason, message = v.message }
end

---@return table trace, table verdict
local function run_steps(c, w, p)
  local trace = {}
  local v = blind(c, w, p)
  if v then return { line("sync", v) }, v end
  for _, name in ipairs(c.steps) do
    local seen = #p.notes
    v = run_step(c, name, w, p)
    for i = seen + 1, #p.notes do trace[#trace + 1] = line(name, p.notes[i]) end
    if v ~= nil and not plan.is_verdict(v) then
      error(("%s.%s must return nothing or a verdict"):format(c.name, name), 0)
    end
    if v then
      v.step = name
      trace[#trace + 1] = line(name, v)
      return trace, v
    end
    trace[#trace + 1] = { step = name, verdict = "next" }
  end
  return trace, { kind = "settled" }
end

-- How the pass ended, for the engine: with a time to look again the later of two looks is dropped.
local function ending(p, v)
  local out = { kind = v.kind, step = v.step, reason = v.reason, message = v.message, hint = v.hint_text,
    progress = v.progress_table, after = v.after }
  if p.within then
    out.kind, out.after = "retry", math.min(v.after or p.within, p.within)
    out.reason = out.reason or "Look"
  end
  return out
end

function M.needs(object) return json.array(controller_of(object.kind).needs(object)) end

function M.run(w)
  local c = controller_of(w.kind or w.object.kind)
  local p = plan.new()
  local trace, v = run_steps(c, w, p)
  local status, after = c.status(w, { verdict = v, notes = p.notes, steps = trace })
  if story.tell(w, p, status) then after = 0 end
  return {
    actions = json.array(p.actions),
    verdict = ending(p, v),
    trace = json.array(trace),
    status = status,
    status_after = after,
    pd_busy = p.busy,
  }
end

local function shape(c, field, want)
  if type(c[field]) ~= want then
    error(("controllers.%s: %s must be a %s, is a %s"):format(tostring(c.name), field, want, type(c[field])), 0)
  end
end

---Every controller has the right shape; the first that has not is named.
function M.check()
  for kind, c in pairs(controllers) do
    shape(c, "name", "string")
    shape(c, "kind", "string")
    shape(c, "needs", "function")
    shape(c, "steps", "table")
    shape(c, "status", "function")
    if c.api ~= 1 then error(("controllers.%s: api must be 1"):format(c.name), 0) end
    if c.kind ~= kind then error(("controllers.%s: kind changed"):format(c.name), 0) end
    for _, step in ipairs(c.steps) do shape(c, step, "function") end
  end
  return true
end

return M
