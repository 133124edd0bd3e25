local caged = require "support.caged"
caged.open()
local pass = require "lib.pass"
local plan = require "lib.plan"
local questions = require "lib.questions"
local reasons = require "lib.reasons"
local tikv = require "controllers.tikv"

local function files(dir)
  local out = {}
  local pipe = assert(io.popen("ls lua/" .. dir .. "/*.lua"))
  for path in pipe:lines() do
    local f = assert(io.open(path))
    out[path] = f:read("*a")
    f:close()
  end
  pipe:close()
  return out
end

local function bare(unknown)
  return { kind = "TiKV", object = { kind = "TiKV", metadata = {} }, unknown = unknown }
end

describe("A pass", function()
  before_each(function() caged.answer(nil) end)

  it("checks the shape of every controller and names what is missing", function()
    assert.is_true(pass.check())
    local kept = tikv.ready
    tikv.ready = nil
    local ok, why = pcall(pass.check)
    tikv.ready = kept
    assert.is_false(ok)
    assert.truthy(why:find("controllers.tikv: ready must be a function", 1, true))
  end)

  it("stops at the first verdict, and still reports", function()
    local steps, seen = tikv.steps, {}
    tikv.steps, tikv.one, tikv.two, tikv.three = { "one", "two", "three" },
      function(_, p) p:pd_config { a = "b" } end,
      function(_, p) return p:retry(5, "Starting", "%d left", 3):hint("wait"):progress { done = 1, total = 4 } end,
      function() seen[1] = true end
    local status = tikv.status
    tikv.status = function(_, t) return { phase = t.verdict.reason }, 7 end
    local out = pass.run(bare {})
    tikv.steps, tikv.status, tikv.one, tikv.two, tikv.three = steps, status, nil, nil, nil
    assert.same({}, seen)
    assert.same({ kind = "retry", step = "two", reason = "Starting", message = "3 left", hint = "wait", after = 5,
      progress = { done = 1, total = 4 } }, out.verdict)
    assert.equal("pd_config", out.actions[1].action)
    assert.equal("Starting", out.status.phase)
    assert.equal(7, out.status_after)
    assert.equal(2, #out.trace)
  end)

  -- E-01
  it("does nothing while a list that it relies on is unknown: unknown is not empty", function()
    local status = tikv.status
    tikv.status = function() return { phase = "x" } end
    local out = pass.run(bare { claims = "not synced yet" })
    tikv.status = status
    assert.same({}, out.actions)
    assert.equal("NotSynced", out.verdict.reason)
  end)

  it("takes back what the step of a failing policy had added, and keeps the rest", function()
    caged.answer(function() error("policy ns/p: boom", 0) end)
    local steps, status = tikv.steps, tikv.status
    tikv.steps, tikv.status = { "one", "two" }, function() return { phase = "x" } end
    tikv.one = function(_, p) p:pd_config { a = "b" } end
    tikv.two = function(w, p)
      p:pd_config { c = "d" }
      questions.can(w, "can_start_instance", {})
    end
    local out = pass.run(bare {})
    tikv.two = function() error("a bug") end
    local ok = pcall(pass.run, bare {})
    tikv.steps, tikv.status, tikv.one, tikv.two = steps, status, nil, nil
    assert.equal(1, #out.actions)
    assert.equal("PolicyError", out.verdict.reason)
    assert.is_false(ok)
  end)

  it("makes one request of several changes to one object's metadata", function()
    local p = plan.new()
    local ref = { kind = "Pod", name = "a", uid = "u", rv = "1" }
    p:patch_meta(ref, { labels = { a = "1" }, add_finalizers = { "x" } })
    p:patch_meta(ref, { labels = { b = "2" }, remove_labels = { "c" } })
    assert.equal(1, #p.actions)
    assert.same({ a = "1", b = "2" }, p.actions[1].labels)
    assert.same({ "c" }, p.actions[1].remove_labels)
    assert.same({ "x" }, p.actions[1].add_finalizers)
  end)
end)

describe("A question", function()
  after_each(function() caged.answer(nil) end)
  local w = { now = 1000, object = { metadata = {} } }
  local function answers(...)
    local list = { ... }
    caged.answer(function() return list end)
  end

  it("has its default when nobody answers", function()
    assert.is_true(questions.can(w, "can_scale_out", {}))
    assert.equal(3, questions.tune(w, "tune_max_scale_out", {}, 3))
    assert.is_nil(questions.choose(w, "choose_topology", {}))
    assert.equal(w, questions.render(w, "render_pod", w))
  end)

  it("of a gate: one no is a no, and nil is no opinion", function()
    answers({ policy = "a" }, { policy = "b", answer = true })
    assert.is_true(questions.can(w, "can_scale_out", {}))
    answers({ policy = "a", answer = true }, { policy = "b", answer = false, reason = "frozen" })
    local yes, why = questions.can(w, "can_scale_out", {})
    assert.is_false(yes)
    assert.equal("b: frozen", why)
  end)

  it("of a gate may be opened by a person for one object, until a time", function()
    answers({ policy = "b", answer = false })
    local open = { now = 1000, object = { metadata = { annotations = {
      ["core.tikv.org/open-can-scale-out"] = "1970-01-01T00:20:00Z" } } } }
    local p = plan.new()
    assert.is_true(questions.can(open, "can_scale_out", {}, p))
    assert.equal("PolicyOpened", p.actions[1].reason)
    open.now = 2000
    assert.is_false((questions.can(open, "can_scale_out", {})))
  end)

  it("of a choice takes the first answer, and only one that was offered", function()
    local list = { { name = "a" }, { name = "b" } }
    answers({ policy = "p" }, { policy = "q", answer = "b" }, { policy = "r", answer = "a" })
    assert.equal("b", questions.choose(w, "choose_topology", list).name)
    answers({ policy = "p", answer = "z" })
    assert.has_error(function() questions.choose(w, "choose_topology", list) end)
  end)

  it("of a number stays within its bounds", function()
    answers({ policy = "p", answer = 0 })
    assert.equal(1, questions.tune(w, "tune_max_scale_out", {}, 3))
  end)
end)

describe("The one place", function()
  local sources = {}
  for _, dir in ipairs { "lib", "controllers" } do
    for path, text in pairs(files(dir)) do sources[path] = text end
  end

  -- W-40, U-95
  it("of reasons has every code that a step uses, with a sentence and a hint", function()
    local used = 0
    for path, text in pairs(sources) do
      for code in text:gmatch('p:%a+%(%s*"(%u%w+)"') do
        if not text:find('p:event%("' .. code) and not (code == "Warning" or code == "Normal") then
          used = used + 1
          assert.truthy(reasons.all[code], path .. ": " .. code)
        end
      end
      for code in text:gmatch('p:retry%([^"]-"(%u%w+)"') do assert.truthy(reasons.all[code], path .. ": " .. code) end
      for code in text:gmatch('return "(%u%l%w+)", [("]') do assert.truthy(reasons.all[code], path .. ": " .. code) end
    end
    assert.is_true(used > 25, used)
    for code, row in pairs(reasons.all) do
      assert.truthy(row.text:match("%.$"), code)
      assert.is_true(#row.hint > 0, code)
    end
  end)

  it("of questions has every name that is asked, and none that is not", function()
    local asked = {}
    local f = assert(io.open("crds/tikvgroups.yaml"))
    local crd = f:read("*a")
    f:close()
    for path, text in pairs(sources) do
      for name in text:gmatch('questions%.%a+%(w, "([%w_]+)"') do
        asked[name] = true
        assert.truthy(questions.all[name], path .. ": " .. name)
      end
    end
    for name, row in pairs(questions.all) do
      -- hooks are asked by the name of their field
      local field = name:gsub("_(%l)", string.upper)
      assert.is_true(asked[name] or row.shape == "job" and crd:find(field .. ":", 1, true) ~= nil, name .. " is never asked")
      assert.truthy(row.shape and row.default and row.args and row.asked)
    end
  end)

  it("of the book lists the same questions", function()
    local f = assert(io.open("lua/README.md"))
    local book = f:read("*a")
    f:close()
    for name in pairs(questions.all) do assert.truthy(book:find("`" .. name .. "`", 1, true), name) end
  end)

  -- U-75
  it("of what a controller does fits on a screen or two", function()
    for path, text in pairs(files("controllers")) do
      local _, lines = text:gsub("\n", "")
      assert.is_true(lines <= 150, path)
    end
  end)
end)
