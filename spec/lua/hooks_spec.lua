require("support.caged").open()
local caged = require "support.caged"
local mini = require "support.mini"
local things = require "support.manifests"
local hooks = require "lib.hooks"

local TEMPLATE = { metadata = { labels = { team = "storage" } }, spec = { ttlSecondsAfterFinished = 1,
  template = { spec = { containers = { { name = "hook", image = "busybox",
    env = { { name = "TIKV_GROUP", value = "mine" } } } } } } } }

local function hook(more)
  local h = { jobTemplate = mini.copy(TEMPLATE) }
  for k, v in pairs(more or {}) do h[k] = v end
  return h
end

local function change(m, kind, fn)
  local o = mini.copy(m:get(kind, "basic"))
  fn(o.spec, o)
  o.metadata.uid = nil
  return m:put(o)
end

local function scale(m, kind, n)
  change(m, kind, function(s) s.replicas = n end)
end

local function index(m, pattern)
  for n, line in ipairs(m.writes) do
    if line:find(pattern) then return n end
  end
end

describe("Hooks, in the toy world,", function()
  local m

  before_each(function()
    caged.answer(nil)
    m = mini.new()
  end)

  local function up(pd, tikv, kind, set)
    things.basic(m, pd, tikv)
    change(m, kind, function(s) s.hooks = set end)
    m:settle()
    for _, s in ipairs(m.stores) do s.regions, s.leaders = 8, 2 end
    m:settle()
    m.writes = {}
  end

  it("are not run while a group is made", function()
    up(3, 3, "PDGroup", { beforeScaleOut = hook(), afterScaleOut = hook() })
    assert.equal(0, #m:list("Job"))
    assert.equal("Ready", m:get("PDGroup", "basic").status.phase)
    assert.is_nil(m:get("PDGroup", "basic").status.notYetSupported)
  end)

  it("run a Job before stores are added, and one when they serve, each once", function()
    up(1, 3, "TiKVGroup", { beforeScaleOut = hook(), afterScaleOut = hook() })
    scale(m, "TiKVGroup", 5)
    m:settle()
    local before, after = index(m, "^job Job/basic%-tikv%-before%-scale%-out"), index(m, "^job Job/basic%-tikv%-after")
    local added = index(m, "^apply TiKV/basic%-3")
    assert.is_true(before < added and added < after, table.concat(m.writes, "\n"))
    local jobs = 0
    for _, line in ipairs(m.writes) do jobs = jobs + (line:find "^job " and 1 or 0) end
    assert.equal(2, jobs)
    local o = m:get("TiKVGroup", "basic")
    assert.equal("Ready", o.status.phase)
    assert.is_nil(hooks.begun({ object = o }, "ScaleOut"))
    assert.equal(2, #o.status.hooks)
    for _, h in ipairs(o.status.hooks) do
      assert.equal("Succeeded", h.phase)
      assert.equal("the last line", h.message)
    end
  end)

  it("make a Job that tells its container what it is about, and that no service selects", function()
    up(1, 3, "TiKVGroup", { beforeScaleOut = hook { timeoutSeconds = 60 } })
    m.jobs = "Running"
    scale(m, "TiKVGroup", 5)
    m:settle()
    local job = m:list("Job")[1]
    assert.equal(60, job.spec.activeDeadlineSeconds)
    assert.is_nil(job.spec.ttlSecondsAfterFinished)
    assert.equal("Never", job.spec.template.spec.restartPolicy)
    assert.equal("storage", job.metadata.labels.team)
    assert.equal("hook", job.spec.template.metadata.labels["core.tikv.org/component"])
    local env = {}
    for _, e in ipairs(job.spec.template.spec.containers[1].env) do env[e.name] = e.value end
    assert.same({ TIKV_CLUSTER = "basic", TIKV_NAMESPACE = "ns", TIKV_GROUP = "mine", TIKV_COMPONENT = "tikv",
      TIKV_HOOK = "beforeScaleOut", TIKV_OPERATION = hooks.scale_key { object = m:get("TiKVGroup", "basic") },
      TIKV_INSTANCES = "basic-3,basic-4", TIKV_PD = m:get("Cluster", "basic").status.pd }, env)
    assert.is_true(#job.metadata.name <= 63)
    assert.is_true(#hooks.job_name({ kind = "TiKVGroup", metadata = { name = ("x"):rep(60) } }, "beforeFailover", "k") <= 63)
  end)

  it("keep the gate shut while the Job runs", function()
    up(1, 3, "TiKVGroup", { beforeScaleOut = hook() })
    m.jobs = "Running"
    scale(m, "TiKVGroup", 4)
    m:settle()
    assert.equal(3, #m:list("TiKV"))
    local status = m:get("TiKVGroup", "basic").status
    assert.equal("HookRunning", status.reason)
    assert.equal("Running", status.hooks[1].phase)
    m.jobs = nil
    m:settle()
    assert.equal(4, #m:list("TiKV"))
  end)

  it("hold when the Job fails, say its last line, and run again when a person deletes it", function()
    up(1, 3, "TiKVGroup", { beforeScaleIn = hook() })
    scale(m, "TiKVGroup", 4)
    m:settle()
    assert.equal(4, #m:list("TiKV"))
    m.stores[4].regions, m.jobs = 8, "Failed"
    scale(m, "TiKVGroup", 3)
    m:settle()
    local o = m:get("TiKVGroup", "basic")
    assert.equal("HookFailed", o.status.reason)
    assert.equal("Waiting", o.status.phase)
    assert.truthy(o.status.message:find("backoff limit: the last line", 1, true), o.status.message)
    assert.truthy(o.status.hint:find("hooks.beforeScaleIn, or run it again: kubectl delete job basic-tikv-before-scale-in-", 1, true))
    assert.is_nil(m:get("TiKV", "basic-3").spec.offline)
    local events = 0
    for _, line in ipairs(m.writes) do events = events + (line:find "^event Hook" and 1 or 0) end
    assert.equal(2, events, "started and failed, once each")
    m.jobs = nil
    m:delete("Job", m:list("Job")[1].metadata.name)
    m:settle()
    assert.equal(3, #m:list("TiKV"))
  end)

  it("go on after a failure where onFailure says so", function()
    up(1, 3, "TiKVGroup", { beforeScaleOut = hook { onFailure = "Continue" } })
    m.jobs = "Failed"
    scale(m, "TiKVGroup", 4)
    m:settle()
    assert.equal(4, #m:list("TiKV"))
  end)

  it("count a Job without an end as failed after its time, even where nobody ends it", function()
    up(1, 3, "TiKVGroup", { beforeScaleOut = hook { timeoutSeconds = 100 } })
    m.jobs = "Running"
    scale(m, "TiKVGroup", 4)
    m:settle()
    m.now = m.now + 131
    m:settle()
    local status = m:get("TiKVGroup", "basic").status
    assert.equal("HookFailed", status.reason)
    assert.truthy(status.message:find("no end after 100 s", 1, true), status.message)
  end)

  it("run again for the next operation, and keep one Job per hook", function()
    up(1, 3, "TiKVGroup", { beforeScaleOut = hook(), afterScaleIn = hook() })
    for _, n in ipairs { 4, 3, 4, 3 } do
      scale(m, "TiKVGroup", n)
      m:settle()
      for _, s in ipairs(m.stores) do s.regions = s.state == "Up" and 4 or s.regions end
    end
    local ran = 0
    for _, line in ipairs(m.writes) do ran = ran + (line:find "^job " and 1 or 0) end
    assert.equal(4, ran, table.concat(m.writes, "\n"))
    assert.equal(2, #m:list("Job"))
  end)

  it("run again for a replacement within one generation", function()
    up(1, 4, "TiKVGroup", { beforeScaleOut = hook() })
    for n = 0, 1 do
      m:delete("TiKV", "basic-" .. n)
      m:settle()
    end
    local ran = 0
    for _, line in ipairs(m.writes) do ran = ran + (line:find "^job " and 1 or 0) end
    assert.equal(2, ran, table.concat(m.writes, "\n"))
  end)

  it("name the field when the template has no containers", function()
    up(1, 3, "TiKVGroup", { beforeScaleOut = { jobTemplate = { spec = {} } } })
    scale(m, "TiKVGroup", 4)
    m:settle()
    local status = m:get("TiKVGroup", "basic").status
    assert.equal("InvalidSpec", status.reason)
    assert.truthy(status.message:find("hooks.beforeScaleOut.jobTemplate.spec.template.spec.containers", 1, true))
  end)

  it("come from policies too, in their order", function()
    up(1, 3, "TiKVGroup", { beforeScaleOut = hook() })
    change(m, "TiKVGroup", function(s) s.policyRefs = { { name = "backup" } } end)
    local asked
    caged.answer(function(question)
      if question.question == "before_scale_out" then
        asked = question.args[1]
        return { { policy = "ns/backup", answer = { jobTemplate = TEMPLATE, event = "a backup first" } } }
      end
      return {}
    end)
    scale(m, "TiKVGroup", 4)
    m:settle()
    caged.answer(nil)
    assert.equal(2, #m:list("Job"))
    assert.equal("basic-3", asked.instances[1])
    assert.equal(4, #m:list("TiKV"))
  end)

  it("hold the PD group in both directions", function()
    up(3, 1, "PDGroup", { beforeScaleOut = hook(), beforeScaleIn = hook() })
    m.jobs = "Running"
    scale(m, "PDGroup", 5)
    m:settle()
    assert.equal(3, #m:list("PD"))
    m.jobs = nil
    m:settle()
    assert.equal(5, #m:list("PD"))
    m.jobs = "Running"
    scale(m, "PDGroup", 3)
    m:settle()
    assert.equal(5, #m:list("PD"))
    m.jobs = nil
    m:settle()
    assert.equal(3, #m:list("PD"))
    local ran = 0
    for _, line in ipairs(m.writes) do ran = ran + (line:find "^job " and 1 or 0) end
    assert.equal(2, ran, "two members each way are one operation")
  end)

  it("wait while Jobs can not be read, and only where one is wanted", function()
    up(1, 3, "TiKVGroup", { beforeScaleOut = hook() })
    local w = m:world(m:get("TiKVGroup", "basic"))
    w.unknown.jobs, w.jobs = "forbidden", nil
    local p = require("lib.plan").new()
    assert.equal("NotSynced", hooks.gate(w, p, "beforeScaleOut", "k").reason)
    assert.is_nil(hooks.gate(w, p, "beforeScaleIn", "k"))
  end)
end)
