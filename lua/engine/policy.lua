--- policy: runs beside the files of one policy, in the policy's own cage: opens them, asks them, runs
-- their self-tests. The engine calls open, ask and selftest; nothing here can be replaced by a script.
local M = {}

local parts = {}
local free = { api = true, name = true, description = true, selftest = true }
local WORLD = { now = 0, kind = "", deleting = false,
  clock = { year = 1970, month = 1, day = 1, hour = 0, minute = 0, second = 0, weekday = 4 } }
local REASON_MAX = 500

---@type table<string, {what: string, fits: fun(v: any): boolean}>
local shapes = {
  can = { what = "true, false or nothing", fits = function(v) return type(v) == "boolean" end },
  tune = { what = "a number or nothing", fits = function(v) return type(v) == "number" end },
  render = { what = "the object or nothing", fits = function(v) return type(v) == "table" end },
  choose = { what = "one of the list, its name, or nothing",
    fits = function(v) return type(v) == "table" or type(v) == "string" end },
  before = { what = "a table with jobTemplate or event, or nothing", fits = function(v) return type(v) == "table" end },
  after = { what = "a table with jobTemplate or event, or nothing", fits = function(v) return type(v) == "table" end },
}

local function take(file, P, known, questions)
  if P.api ~= 1 then error(file .. ".lua: api must be 1", 0) end
  for k, v in pairs(P) do
    if not free[k] then
      if not known[k] then error(("%s.lua: %s is no question"):format(file, tostring(k)), 0) end
      if type(v) ~= "function" then error(("%s.lua: %s must be a function"):format(file, k), 0) end
      questions[#questions + 1] = k
    end
  end
  parts[#parts + 1] = P
end

---@param files string[] without ".lua", sorted
---@param known table<string, boolean>
---@return string[] questions that are answered
function M.open(files, known)
  local questions = {}
  for _, file in ipairs(files) do
    local P = require(file)
    if type(P) == "table" and P.api ~= nil then take(file, P, known, questions) end
  end
  if #parts == 0 then error("no file returns a table with api = 1", 0) end
  return json.array(questions)
end

local function answer_of(P, question, w, ...)
  local answer, reason = P[question](w, ...)
  if answer == nil then return end
  local shape = shapes[question:match("^%a+")]
  if shape and not shape.fits(answer) then
    error(("%s must return %s, returned a %s"):format(question, shape.what, type(answer)), 0)
  end
  return answer, type(reason) == "string" and reason:sub(1, REASON_MAX) or nil
end

---The first part that has an opinion speaks for the policy.
function M.ask(question, w, args, n)
  for _, P in ipairs(parts) do
    if P[question] then
      local answer, reason = answer_of(P, question, w, unpack(args, 1, n))
      if answer ~= nil then return { answer = answer, reason = reason } end
    end
  end
  return { silent = true }
end

---What a self-test gets: t:denies(question, w, ...), t:allows(..), t:chooses(question, name, w, ...),
---t:tunes(question, number, w, ...), t:renders(question, w, object) -> object, t:adds(question, w, ...) -> what is
---to run, or nil. w: what the test cares for.
local T = {}
T.__index = T

local function world(given)
  local w = { object = { metadata = {}, spec = {}, status = {} } }
  for k, v in pairs(WORLD) do w[k] = v end
  for k, v in pairs(given or {}) do w[k] = v end
  return w
end

local function put(self, question, w, ...)
  if not self.P[question] then error("this policy does not answer " .. tostring(question), 3) end
  return (answer_of(self.P, question, world(w), ...))
end

function T:denies(question, w, ...)
  if put(self, question, w, ...) ~= false then error(question .. " should be denied", 2) end
end

function T:allows(question, w, ...)
  if put(self, question, w, ...) == false then error(question .. " should be allowed", 2) end
end

function T:chooses(question, name, w, ...)
  local a = put(self, question, w, ...)
  local got = type(a) == "table" and a.name or a
  if got ~= name then
    error(("%s should choose %s, chose %s"):format(question, tostring(name), tostring(got)), 2)
  end
end

function T:tunes(question, number, w, ...)
  local got = put(self, question, w, ...)
  if got ~= number then
    error(("%s should be %s, is %s"):format(question, tostring(number), tostring(got)), 2)
  end
end

function T:renders(question, w, object)
  local out = put(self, question, w, object)
  if out == nil then return object end
  return out
end

function T:adds(question, w, ...) return put(self, question, w, ...) end

function M.selftest()
  for _, P in ipairs(parts) do
    if P.selftest then P.selftest(setmetatable({ P = P }, T)) end
  end
end

return M
