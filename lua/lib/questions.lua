--- questions: every gate, choice, number and render that policies may answer, with its default.
-- The prefix fixes the shape. A gate may only add a "no"; a choice must be one of those offered; a
-- number is held within its bounds; a render may not change identity. nil is "no opinion"; an error
-- in a policy holds the step that asked (see pass). lua/README.md prints this list.
local M = {}

---@type table<string, {shape: string, args: string, default: string, asked: string, min?: number, max?: number}>
M.all = {
  can_scale_out = { shape = "gate", args = "{group, component, ordinals, replicas}",
    default = "yes (PD: one at a time, all members healthy)", asked = "lib/scaling before instances are added" },
  can_start_instance = { shape = "gate", args = "{instance, component, group, revision}",
    default = "yes", asked = "controllers/pd and controllers/tikv before a missing pod is made" },
  can_scale_in = { shape = "gate", args = "{group, component, victims, replicas}",
    default = "yes (PD: one at a time, all others healthy)",
    asked = "lib/shrinking before instances are told to leave" },
  can_offline = { shape = "gate", args = "{instance, group, store, regions, leaders}",
    default = "yes when the other stores can hold the replicas", asked = "lib/offline before a store begins to leave" },
  choose_victim = { shape = "choice",
    args = "list of {name, ordinal, ready, outdated, leaders, regions, leader}, {group, index}",
    default = "the first of the list, see lib/victim", asked = "lib/shrinking for each instance that is one too many" },
  can_update = { shape = "gate", args = "{group, component, revision, outdated}",
    default = "yes (one at a time, the cluster healthy)", asked = "lib/upgrade before an instance gets a new template" },
  can_restart_instance = { shape = "gate", args = "{instance, component, group, revision, why}",
    default = "yes", asked = "lib/restart before a pod that serves is made again" },
  choose_next_update = { shape = "choice",
    args = "list of {name, ordinal, ready, leader, zone, leaders, regions}, {group, revision}",
    default = "PD: not the leader; then the highest ordinal", asked = "lib/upgrade for each instance that gets a new template" },
  choose_topology = { shape = "choice", args = "list of {name, topology, count, weight}, {ordinal}",
    default = "the emptiest by weight", asked = "lib/scaling for each new instance of an EvenlySpread group" },
  can_fail_over = { shape = "gate", args = "{group, component, instance, store, seconds}",
    default = "yes after storeDownSeconds or memberDownSeconds, within maxFailover, no mass failure",
    asked = "lib/failover before a lost store or member is replaced" },
  tune_store_down_seconds = { shape = "number", args = "{group, component}", min = 60, max = 604800,
    default = "failover.storeDownSeconds", asked = "lib/failover while a store is silent" },
  tune_max_failover = { shape = "number", args = "{group, component}", min = 0, max = 100,
    default = "failover.maxFailover", asked = "lib/failover before a lost store is replaced" },
  tune_max_scale_out = { shape = "number", args = "{group, component, missing}", min = 1, max = 1000,
    default = "scalePolicy.maxScaleOut, all when 0", asked = "lib/scaling before instances are added" },
  before_scale_out = { shape = "job", args = "{group, component, key, instances}", default = "hooks.beforeScaleOut",
    asked = "lib/hooks before instances are added" },
  after_scale_out = { shape = "job", args = "{group, component, key}", default = "hooks.afterScaleOut",
    asked = "lib/hooks when added instances serve" },
  before_scale_in = { shape = "job", args = "{group, component, key, instances}", default = "hooks.beforeScaleIn",
    asked = "lib/hooks before instances are told to leave" },
  after_scale_in = { shape = "job", args = "{group, component, key}", default = "hooks.afterScaleIn",
    asked = "lib/hooks when they have left" },
  before_upgrade = { shape = "job", args = "{group, component, key}", default = "hooks.beforeUpgrade",
    asked = "lib/hooks before the first pod of a revision" },
  after_upgrade = { shape = "job", args = "{group, component, key}", default = "hooks.afterUpgrade",
    asked = "lib/hooks when all pods have it" },
  before_failover = { shape = "job", args = "{group, component, key, instances}", default = "hooks.beforeFailover",
    asked = "lib/hooks before a spare is made" },
  after_failover = { shape = "job", args = "{group, component, key}", default = "hooks.afterFailover",
    asked = "lib/hooks when the lost one is replaced" },
  render_pod = { shape = "render", args = "the pod", default = "unchanged",
    asked = "lib/pod, last, after the overlay" },
}

local function answers(question, args)
  if not M.all[question] then error("unknown question: " .. question, 2) end
  if not ask then return {} end
  return ask("policy", { question = question, args = args }) or {}
end

---A person may open one gate of one object until a time: annotation core.tikv.org/open-<gate>.
local function opened(w, question)
  local until_text = (w.object.metadata.annotations or {})["core.tikv.org/open-" .. question:gsub("_", "-")]
  local limit = until_text and time.parse(until_text)
  return limit ~= nil and w.now < limit and until_text
end

---@param p plan? tells that a person has opened the gate
---@return boolean yes
---@return string? why
function M.can(w, question, args, p)
  local opened_until = opened(w, question)
  if opened_until then
    if p then p:event("Warning", "PolicyOpened", "%s is open until %s by an annotation", question, opened_until) end
    return true
  end
  for _, a in ipairs(answers(question, json.array { args })) do
    if a.answer == false then
      return false, ("%s: %s"):format(a.policy, a.reason or "no reason given")
    end
  end
  return true
end

---One element of `list` (each has a name); the first answer wins. nil when nobody has an opinion.
function M.choose(_, question, list, about)
  for _, a in ipairs(answers(question, json.array { json.array(list), about or {} })) do
    if a.answer ~= nil then
      local name = type(a.answer) == "table" and a.answer.name or a.answer
      for _, item in ipairs(list) do
        if item.name == name then return item end
      end
      error(("policy %s: %s: %s was not offered"):format(a.policy, question, tostring(name)), 0)
    end
  end
end

function M.tune(_, question, args, default)
  local row = M.all[question]
  for _, a in ipairs(answers(question, json.array { args })) do
    local n = tonumber(a.answer)
    if n then return math.min(math.max(n, row.min), row.max) end
  end
  return default
end

---What policies add around an operation, in their order: Jobs and Events.
---@return {policy: string, answer: {jobTemplate: table?, timeoutSeconds: number?, onFailure: string?, event: string?}}[]
function M.add(_, question, args)
  local out = {}
  for _, a in ipairs(answers(question, json.array { args })) do
    if type(a.answer) == "table" then
      if a.answer.jobTemplate == nil and a.answer.event == nil then
        error(("policy %s: %s must return jobTemplate or event"):format(a.policy, question), 0)
      end
      out[#out + 1] = { policy = a.policy, answer = a.answer }
    end
  end
  return out
end

---Policies are chained by C: each gets what the one before returned; the last answer is the result.
function M.render(_, question, object)
  local out, who = object, nil
  for _, a in ipairs(answers(question, json.array { object })) do
    if type(a.answer) == "table" then out, who = a.answer, a.policy end
  end
  return out, who
end

return M
