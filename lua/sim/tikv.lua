--- tikv: the tikv-server program of a pod: registers with PD, heartbeats, keeps its store id on disk.
-- An empty disk gets a new store id from PD; a disk with data registers under the id it has. The
-- status server answers /status, /config and /metrics.
local runtime = require "sim.runtime"
local pd = require "sim.pd"

local M = {}
local HEARTBEAT_MS = 10000
local serving = {} -- status host:port -> process

local function value(config, key)
  return config:match("\n%s*" .. key:gsub("%-", "%%-") .. '%s*=%s*["\']([^"\']*)["\']')
end

local function heartbeat(process)
  if process.dead then return end
  local c = pd.reach(process.pd)
  if c and c:has_leader() then
    -- A store that PD buried is told so and stops for good.
    local store = c.stores[process.disk.store_id]
    if store and store.node_state ~= 3 then c:heartbeat(process.disk.store_id) end
  end
  sim.after(HEARTBEAT_MS, function() heartbeat(process) end)
end

local function register(process)
  if process.dead then return end
  local c = pd.reach(process.pd)
  if not c or not c:has_leader() or (process.disk.cluster and process.disk.cluster ~= c.id) then
    return sim.after(500, function() register(process) end)
  end
  local id = process.disk.store_id or c:alloc()
  local store, why = c:put_store { id = id, address = process.address, status_address = process.status,
    version = process.version, process = process }
  if not store then
    process.refused = why
    return sim.after(2000, function() register(process) end)
  end
  process.disk.store_id, process.disk.cluster = id, c.id
  process.up = true
  serving[process.status] = process
  heartbeat(process)
end

local function start(p)
  local config = "\n" .. p.config
  local process = { pod = p.pod, config = p.config, disk = p.disk, up = false,
    address = value(config, "advertise-addr"), status = value(config, "advertise-status-addr"),
    pd = config:match 'endpoints%s*=%s*%[%s*["\']([^"\']+)',
    version = (p.pod.spec.containers[1].image:match ":v?([^:@/]+)$" or "8.5.2") }
  if process.pd and not process.pd:find "://" then process.pd = "http://" .. process.pd end
  sim.after(100 * sim.choose(3, "tikv.start"), function() register(process) end)
  return {
    ready = function() return process.up end,
    stop = function()
      process.dead, process.up = true, false
      if process.status and serving[process.status] == process then serving[process.status] = nil end
    end,
  }
end

local function answer(request)
  local process = serving[request.host]
  if not process then return 0 end
  if request.path == "/status" then return 200, "text/plain", "" end
  if request.path == "/config" then return 200, "application/json", {} end
  if request.path == "/metrics" then
    local c = pd.reach(process.pd)
    local leaders = c and c:counts(process.disk.store_id) or 0
    return 200, "text/plain", ('tikv_raftstore_region_count{type="leader"} %d\n'):format(leaders)
  end
  return 404, "text/plain", "path not found"
end

function M.start()
  runtime.program("tikv", { start = start })
  pd.fallback = answer
end

return M
