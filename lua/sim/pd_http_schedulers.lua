--- pd_http_schedulers: schedulers, leader eviction, checkers.
local A = require "sim.pd_answer"
local J = require "sim.pd_json"

local routes = {}
local function on(key, need, fn) routes[#routes + 1] = { key, need, fn } end

local NOT_FOUND = "[PD:scheduler:ErrSchedulerNotFound]scheduler not found"
local APPLIED = "The scheduler has been applied to the store."
local EVICT, GRANT = "evict-leader-scheduler", "grant-leader-scheduler"

on("GET /pd/api/v1/schedulers", "boot", function(c, q)
  return A.ok(J.list(c:schedulers(q.query.status)))
end)

local function store_missing(id) return ("[PD:core:ErrStoreNotFound]store %s not found"):format(id) end

--- An id that went through a double, printed as Go's uint64.
local function doubled(n)
  if n < 0 then return n == -1 and "18446744073709551615" or ("%.0f"):format(2 ^ 64 + n) end
  return ("%.0f"):format(math.floor(n))
end

local function unknown_store(c, exists, id)
  local text = store_missing(id)
  if exists then return A.v1(500, J.quote(text) .. "\n") end
  return A.v1(c:at_least(9, 0, 0) and 400 or 500, text)
end

local function begin(c, name, store)
  if name == EVICT then return c:evict_store(store.id) end
  local new = not next(c.grant)
  c.grant[store.id] = true
  return new
end

on("POST /pd/api/v1/schedulers", "boot", function(c, q)
  local body, bad = A.object(q)
  if not body then return unpack(bad) end
  local name = body.name
  if type(name) ~= "string" then return A.v1(400, "missing scheduler name") end
  if name ~= EVICT and name ~= GRANT then return A.v1(400, "unknown scheduler") end
  if body.store_id == nil then return A.v1(400, "missing store id") end
  local n = A.number(body.store_id)
  if not n then return A.v1(400, c:at_least(9, 0, 0) and "please input a right store id" or "missing store id") end
  local set = name == EVICT and c.evict or c.grant
  local id = doubled(n)
  local store = c:store_by_digits(id)
  if set[J.id(id)] then return A.ok(APPLIED) end
  if not store then return unknown_store(c, next(set) ~= nil, id) end
  local other = name == EVICT and c.grant or c.evict
  if (other[store.id] or c.stuck[store.id]) and not c:at_least(9, 0, 0) then
    return A.v1(500, ("[PD:core:ErrPauseLeaderTransfer]store %s is paused for leader transfer"):format(id))
  end
  return A.ok(begin(c, name, store) and "The scheduler is created." or APPLIED)
end)

local function ranges(set, batch)
  local out = {}
  for id in sim.pairs(set) do
    out[tostring(id)] = J.list { J.object("start-key", "", "end-key", "") }
  end
  return A.ok(J.object("store-id-ranges", out, "batch", batch))
end

on("GET /pd/api/v1/scheduler-config/*/list", "boot", function(c, q)
  local name = q.args[1]
  if name == EVICT and next(c.evict) then return ranges(c.evict, c.batch) end
  if name == GRANT and next(c.grant) then return ranges(c.grant) end
  if name == "evict-stopping-store-scheduler" and c.coordinator and c:at_least(8, 5, 5) then
    local ids = J.list()
    for id, s in sim.pairs(c.stores) do
      if s.stopping then ids[#ids + 1] = J.int(id) end
    end
    return A.ok(J.object("disabled", false, "evicted-stores", ids, "batch", 3))
  end
  return A.missing()
end)

on("POST /pd/api/v1/scheduler-config/*/config", "boot", function(c, q)
  if q.args[1] ~= EVICT or not next(c.evict) then return A.missing() end
  local body, bad = A.object(q)
  if not body then return unpack(bad) end
  local batch, newest = body.batch, c:at_least(9, 0, 0)
  if newest and batch ~= nil and type(batch) ~= "number" then
    return A.v1(400, ("invalid argument for 'batch': expected a number, got %s"):format(A.kind(batch)))
  end
  if type(batch) == "number" and (batch < 1 or batch > (newest and 100 or 10)) then
    return A.v1(400, newest and "batch must be an integer in [1, 100]" or "batch is invalid, it should be in [1, 10]")
  end
  if body.store_id ~= nil then
    local id = doubled(A.number(body.store_id) or 0)
    local store = c:store_by_digits(id)
    if not store then return A.v1(500, store_missing(id)) end
    c:evict_store(store.id)
  end
  c.batch = tonumber(batch) or c.batch
  return A.ok(APPLIED)
end)

on("DELETE /pd/api/v1/scheduler-config/*/delete/*", "boot", function(c, q)
  local digits, why = A.id(q.args[2])
  if not digits then return A.v1(400, why) end
  if not c:end_evict(J.id(digits)) then
    return A.v1(404, "[PD:scheduler:ErrScheduleConfigNotExist]the config does not exist")
  end
  if not next(c.evict) then return A.ok "The last store has been deleted" end
  return A.null(200)
end)

on("DELETE /pd/api/v1/schedulers/*", "boot", function(c, q)
  local name = q.args[1]
  if name == EVICT then
    if not c:end_all_evictions() then return A.v1(404, NOT_FOUND) end
    return A.ok "The scheduler is removed."
  end
  local kind, id = name:match "^(%a+%-leader%-scheduler)%-(.*)$"
  if kind then
    local digits = A.id(id)
    if not digits then return A.null(400) end
    if kind == EVICT and c:end_evict(J.id(digits)) then return A.null(200) end
    if kind == GRANT and c.grant[J.id(digits)] then
      c.grant[J.id(digits)] = nil
      return A.null(200)
    end
    return A.null(404)
  end
  return A.v1(404, NOT_FOUND)
end)

on("POST /pd/api/v1/schedulers/*", "boot", function(c, q)
  local name = q.args[1]
  local body, bad = A.object(q)
  if not body then return unpack(bad) end
  for _, v in sim.pairs(body) do
    if type(v) ~= "number" then return A.input(A.mismatch(A.kind(v), "int64")) end
  end
  if not body.delay then return A.v1(400, "missing pause time") end
  local known = false
  for _, s in ipairs(c:schedulers()) do
    if name == "all" or s == name then
      c.paused[s] = sim.now_ms() + body.delay * 1000
      known = true
      c:later(body.delay * 1000 + 1, function() c:wake() end)
    end
  end
  if not known then return A.v1(500, NOT_FOUND) end
  return A.ok "Pause or resume the scheduler successfully."
end)

-- Checkers -----------------------------------------------------------------------------------------

local CHECKERS = { learner = true, replica = true, rule = true, split = true, merge = true, ["joint-state"] = true }

local function checker(fn)
  return function(c, q)
    if not CHECKERS[q.args[1]] then return A.v1(500, "[PD:checker:ErrCheckerNotFound]checker not found") end
    return fn(c, q)
  end
end
on("GET /pd/api/v1/checker/*", "boot", checker(function(c, q)
  return A.ok(J.object("paused", (c.checkers[q.args[1]] or 0) > sim.now_ms()))
end))
on("POST /pd/api/v1/checker/*", "boot", checker(function(c, q)
  local body, bad = A.object(q)
  if not body then return unpack(bad) end
  if type(body.delay) ~= "number" then return A.v1(400, "missing pause time") end
  c.checkers[q.args[1]] = sim.now_ms() + body.delay * 1000
  return A.ok(body.delay > 0 and "Pause the checker successfully." or "Resume the checker successfully.")
end))

return routes
