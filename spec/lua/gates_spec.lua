--- The table of gates is whole and true, and no gate waits on another that waits on it.
require("support.caged").open()
local reasons = require "lib.reasons"
local questions = require "lib.questions"

local function read(path)
  local f = assert(io.open(path), path)
  local text = f:read "*a"
  f:close()
  return text
end

local function words(text)
  local out = {}
  for word in (text .. ","):gmatch "%s*(.-)%s*," do out[#out + 1] = word end
  return out
end

-- What these say of a pod that does not start, a disk that grows or PD's pace holds nothing back.
local REPORTS = { diagnosis = true, placing = true, resizing = true, freeze = true, drain_speed = true }

-- Reasons that only such files use.
local function reports_only()
  local out = {}
  local found = assert(io.popen "grep -roE '\"[A-Z][A-Za-z]+\"' lua/lib lua/controllers --include=*.lua")
  for line in found:lines() do
    local file, name = line:match '([%w_]+)%.lua:"(%w+)"$'
    if file and file ~= "reasons" then out[name] = out[name] ~= false and REPORTS[file] == true end
  end
  found:close()
  return out
end

-- Rows of the tables of lua/GATES.md.
local function tables()
  local text = read "lua/GATES.md"
  local gates, facts = {}, {}
  for name, where, holds, waits in text:gmatch "\n| `([%w_]+)` | ([%w_/.]+) | ([^|\n]+) | ([^|\n]+) |" do
    gates[#gates + 1] = { name = name, where = where, holds = words(holds:match "^%s*(.-)%s*$"),
      waits = words(waits:match "^%s*(.-)%s*$") }
  end
  local second = text:match "## What makes a fact come true(.-)\n## "
  for fact, cause, by in second:gmatch "\n| ([^|`\n]+) | ([^|\n]+) | ([^|\n]+) |" do
    if fact ~= "fact" and not fact:find "^%-" then
      facts[fact] = facts[fact] or {}
      table.insert(facts[fact], { cause = cause, by = words(by:match "^%s*(.-)%s*$") })
    end
  end
  return gates, facts, text
end

local function holds(gate, action)
  for _, a in ipairs(gate.holds) do
    if a == action or a == "all" then return true end
  end
  return false
end

-- With these facts untrue for these causes: which of them can never come true?
local function stuck(gates, causes)
  local function held(action)
    for _, g in ipairs(gates) do
      if holds(g, action) then
        for _, f in ipairs(g.waits) do
          if causes[f] then return true end
        end
      end
    end
    return false
  end
  local moved
  repeat
    moved = false
    for fact, row in pairs(causes) do
      local mended = true
      for _, by in ipairs(row.by) do
        if by ~= "time" and by ~= "person" and held(by) then mended = false end
      end
      if mended then
        causes[fact], moved = nil, true
        break
      end
    end
  until not moved
  local fact, row = next(causes)
  return fact and ("%s (%s) needs %s"):format(fact, row.cause, table.concat(row.by, ", "))
end

-- All choices of one cause for each fact.
local function each_choice(facts, list, fn, n, chosen)
  n, chosen = n or 1, chosen or {}
  if n > #list then return fn(chosen) end
  for _, row in ipairs(facts[list[n]]) do
    chosen[list[n]] = row
    local bad = each_choice(facts, list, fn, n + 1, chosen)
    if bad then return bad end
  end
end

local function deadlock(gates, facts)
  for a = 1, #gates do
    for b = a, #gates do
      if a == b or gates[a].name ~= gates[b].name then
        local list, seen = {}, {}
        for _, g in ipairs { gates[a], gates[b] } do
          for _, f in ipairs(g.waits) do
            if not seen[f] then list[#list + 1], seen[f] = f, true end
          end
        end
        local bad = each_choice(facts, list, function(chosen)
          local causes = {}
          for f, row in pairs(chosen) do causes[f] = row end
          return stuck(gates, causes)
        end)
        if bad then return ("%s and %s: %s"):format(gates[a].name, gates[b].name, bad) end
      end
    end
  end
end

describe("The table of gates", function()
  it("has every rule of the guard, every gate of policies, and every reason", function()
    local gates, _, text = tables()
    local has = {}
    for _, g in ipairs(gates) do has[g.name] = true end
    for n = 1, 9 do assert.is_true(has["G" .. n], "G" .. n) end
    for name, q in pairs(questions.all) do
      if q.shape == "gate" then assert.is_true(has[name], name .. ": add a row to lua/GATES.md") end
    end
    for name in text:match("## Reasons that hold nothing(.*)$"):gmatch "`(%w+)`" do
      assert.is_nil(has[name], name .. " holds something and nothing")
      has[name] = true
    end
    local report = reports_only()
    for name in pairs(reasons.all) do
      assert.is_true(has[name] or report[name], name .. ": add a row to lua/GATES.md, or its name to the list at the end")
    end
    for name in pairs(has) do
      assert.is_true(reasons.all[name] ~= nil or questions.all[name] ~= nil or name:find "^G%d$" ~= nil, name .. " is nothing")
    end
  end)

  it("names the file where each gate is, and uses only facts that can come about", function()
    local gates, facts = tables()
    local used = {}
    for _, g in ipairs(gates) do
      local source = read(g.where)
      local rule = g.name:match "^G%d$"
      assert.is_truthy(source:find(rule and ("guard_" .. rule:lower()) or '"' .. g.name .. '"', 1, true),
        ("%s is not in %s"):format(g.name, g.where))
      for _, f in ipairs(g.waits) do
        assert.is_truthy(facts[f], ("%s waits for %q, which nothing brings about"):format(g.name, f))
        used[f] = true
      end
    end
    for f in pairs(facts) do assert.is_true(used[f], f .. ": nothing waits for it") end
  end)

  it("has no two gates of which one waits on the other", function()
    local gates, facts = tables()
    assert.is_nil(deadlock(gates, facts))
  end)

  it("would show a restart that waits for the health of a pod that is to be restarted (W-12, U-58)", function()
    local gates, facts = tables()
    gates[#gates + 1] = { name = "new", holds = { "remake pod" }, waits = { "stores serve" } }
    assert.truthy(deadlock(gates, facts))
    gates[#gates] = { name = "new", holds = { "heal template" }, waits = { "all members healthy" } }
    assert.truthy(deadlock(gates, facts))
    gates[#gates] = { name = "new", holds = { "make pod" }, waits = { "PD answers" } }
    assert.truthy(deadlock(gates, facts))
    gates[#gates] = { name = "new", holds = { "add store" }, waits = { "fewer are replaced" } }
    assert.truthy(deadlock(gates, facts))
  end)
end)
