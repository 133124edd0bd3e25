--- tikv: the tikv-server program of a pod: registers with PD, heartbeats, keeps its store id on disk.
-- An empty disk gets a new store id from PD; a disk with data registers under the id it has. Store
-- heartbeats go out each 10 s, region heartbeats each minute (or as its config says) and soon after PD has another leader.
local runtime = require "sim.runtime"
local pd = require "sim.pd"
local status = require "sim.tikv_status"

local M = {}
local HEARTBEAT_MS = 10000
local REPORT_MS = 60000
local RECONNECT_MS = 500
local serving = {} -- status host:port -> process

local function value(config, key)
  return config:match("\n%s*" .. key:gsub("%-", "%%-") .. '%s*=%s*["\']([^"\']*)["\']')
end

--- raftstore.pd-heartbeat-tick-interval.
local function report_ms(config)
  local n, unit = (value(config, "pd-heartbeat-tick-interval") or value(config, "raftstore.pd-heartbeat-tick-interval")
    or ""):match "^([%d.]+)(%a+)$"
  return (tonumber(n) or 0) * (({ ms = 1, s = 1000, m = 60000 })[unit] or 0)
end

--- server.labels, as an inline table or a section.
local function labels_of(config)
  local text = config:match "\n%s*labels%s*=%s*{([^}]*)}" or config:match "\n%s*%[server%.labels%]([^%[]*)" or ""
  local out = {}
  for key, v in text:gmatch '["\']?([%w%-_./]+)["\']?%s*=%s*["\']([^"\']*)["\']' do out[key] = v end
  return out
end

--- The PD that this process can reach now.
local function leading(process)
  local c = pd.reach(process.pd)
  return c and c:has_leader() and not c.leader.hung and c or nil
end

local function report(process)
  local c = not process.dead and leading(process)
  if c then c:report(process.disk.store_id) end
end

--- A store that PD buried is told so; TiKV only writes that to its log and runs on.
local function heartbeat(process)
  if process.dead then return end
  local c = leading(process)
  if c then
    c:heartbeat(process.disk.store_id)
    if sim.now_ms() - (process.reported_ms or 0) >= process.report_ms then
      process.reported_ms = sim.now_ms()
      report(process)
    end
  end
  sim.after(math.min(HEARTBEAT_MS, process.report_ms), function() heartbeat(process) end)
end

--- Regions are reported again when the stream to another PD leader stands.
local function follow_leader(process, c)
  c.on_lead[#c.on_lead + 1] = function()
    if process.dead then return end
    sim.after(RECONNECT_MS * sim.choose(3, "tikv.reconnect"), function() report(process) end)
  end
end

local function forget_leader(process, c)
  local kept = {}
  for _, fn in ipairs(c.on_lead) do
    if fn ~= process.follows then kept[#kept + 1] = fn end
  end
  c.on_lead = kept
end

local function register(process)
  if process.dead then return end
  local c = leading(process)
  if not c or (process.disk.cluster and process.disk.cluster ~= c.id) then
    return sim.after(500, function() register(process) end)
  end
  -- the id is on the disk before PD knows it
  process.disk.next_id = process.disk.next_id or c:alloc()
  local id = process.disk.store_id or process.disk.next_id
  process.up = true
  local store, why = c:put_store { id = id, address = process.address, status_address = process.status,
    version = process.version, labels = process.labels, process = process }
  if not store then
    process.refused, process.up = why, false
    return sim.after(2000, function() register(process) end)
  end
  process.disk.store_id, process.disk.cluster, process.cluster = id, c.id, c
  serving[process.status] = process
  follow_leader(process, c)
  process.follows = c.on_lead[#c.on_lead]
  heartbeat(process)
  report(process)
end

local function stop(process)
  process.dead, process.up = true, false
  if process.status and serving[process.status] == process then serving[process.status] = nil end
  if process.cluster then
    forget_leader(process, process.cluster)
    process.cluster:process_changed(process.disk.store_id)
  end
end

local function start(p)
  local config = "\n" .. p.config
  local tag = p.pod.spec.containers[1].image:match ":v?([^:@/]+)$" or ""
  local process = { pod = p.pod, config = p.config, disk = p.disk, up = false, labels = labels_of(config),
    report_ms = report_ms(config) > 0 and report_ms(config) or REPORT_MS,
    address = value(config, "advertise-addr"), status = value(config, "advertise-status-addr"),
    pd = config:match 'endpoints%s*=%s*%[%s*["\']([^"\']+)',
    version = tag:match "^%d+%.%d+%.%d+" and tag or "8.5.2" }
  if process.pd and not process.pd:find "://" then process.pd = "http://" .. process.pd end
  sim.after(100 * sim.choose(3, "tikv.start"), function() register(process) end)
  return {
    ready = function() return process.up end,
    stop = function() stop(process) end,
  }
end

function M.start()
  runtime.program("tikv", { start = start })
  pd.fallback = function(request)
    local process = serving[request.host]
    if not process then return 0 end
    return status.answer(process, request)
  end
end

--- Settings of the process that answers there, or nil.
function M.settings(host)
  local process = serving[host]
  return process and status.settings(process)
end

M.labels_of = labels_of
return M
