--- pd: the pd-server program of a pod: founds, joins, serves, stops.
-- What a real pd-server does with its command line and data folder: with data it goes on as the
-- member it was; without, `initial-cluster` founds and `join` joins. A removed member's data never
-- serves again.
local runtime = require "sim.runtime"
local model = require "sim.pd_model"
local http = require "sim.pd_http"

local M = {
  conf = {},
  clusters = {}, -- by id: every PD cluster that was ever founded
}
local founding = {} -- "token|initial-cluster" -> cluster, so that founders find each other
local serving = {}  -- host:port -> { cluster, member }
local services = {} -- "host:port" of a client service -> list of serving members

local function value(config, key)
  return config:match("\n%s*" .. key:gsub("%-", "%%-") .. '%s*=%s*["\']([^"\']*)["\']')
end

local function host_of(url)
  return url and url:match "^https?://([^/]+)"
end

local function any_member(host)
  local at = serving[host]
  if at and at.member.up and not at.member.removed then return at.cluster end
  for _, m in ipairs(services[host] or {}) do
    if m.member.up and not m.member.removed then return m.cluster end
  end
end

--- The address that a service name stands for; several spellings reach the same one.
local function service_hosts(pod, port)
  local group, ns = (pod.metadata.labels or {})["core.tikv.org/group"] or "", pod.metadata.namespace
  local out = {}
  for _, suffix in ipairs { "", ".svc", ".svc.cluster.local" } do
    out[#out + 1] = ("%s-pd.%s%s:%s"):format(group, ns, suffix, port)
  end
  return out
end

local function listen(process, at)
  local hosts = {}
  local client = host_of(process.client_url)
  local name, port = client:match "^(.*):(%d+)$"
  for _, suffix in ipairs { "", ".svc", ".svc.cluster.local" } do
    hosts[#hosts + 1] = (name:gsub("%.svc%.cluster%.local$", ""):gsub("%.svc$", "")) .. suffix .. ":" .. port
  end
  for _, h in ipairs(hosts) do serving[h] = at end
  for _, h in ipairs(service_hosts(process.pod, port)) do
    services[h] = services[h] or {}
    table.insert(services[h], at)
  end
  process.unlisten = function()
    for _, h in ipairs(hosts) do
      if serving[h] == at then serving[h] = nil end
    end
    for _, h in ipairs(service_hosts(process.pod, port)) do
      for i, x in ipairs(services[h] or {}) do
        if x == at then
          table.remove(services[h], i)
          break
        end
      end
    end
  end
end

local function serve(process, cluster, member)
  process.cluster, process.member = cluster, member
  member.client_url, member.version = process.client_url, process.version
  process.disk.cluster, process.disk.member = cluster, member
  cluster.served = true
  listen(process, { cluster = cluster, member = member })
  member.graceful = false
  cluster:set_up(member, true)
end

-- Founders that meet again with empty disks are new to each other.
local function lives_on(cluster)
  for _, disk in sim.pairs(runtime.disks) do
    if disk.cluster == cluster then return true end
  end
  return false
end

--- A PD that is founded takes its settings from the file; later they live in PD, and files say nothing.
local function take_settings(c, config)
  local section
  for line in config:gmatch "[^\n]+" do
    section = line:match "^%s*%[([%w%-.]+)%]" or section
    local key, text = line:match "^%s*([%w%-]+)%s*=%s*(.-)%s*$"
    if key == "store-balance-rate" and section == "schedule" then
      c.balance_rate = tonumber(text) or c.balance_rate
    elseif key and (section == "schedule" or section == "replication") then
      local kept = text:match "^[\"'](.*)[\"']$" or tonumber(text) or text:match "^true$" or text:match "^false$"
      if kept ~= nil then c:set_item(section, key, kept) end
    elseif key and section == "schedule.default-store-limit" and tonumber(text) then
      local known = c.config.schedule["default-store-limit"] -- 8.5 has no such setting
      if known then known[key] = tonumber(text) end
    end
  end
end

--- Founders agree on a cluster by their token and list of members.
local function found(process, initial)
  local token = value(process.config, "initial-cluster-token") or ""
  local key = ("%s|%s|%s"):format(token, process.pod.metadata.namespace, initial)
  local c = founding[key]
  if not c or c.served and not lives_on(c) then
    c = model.new { regions = M.conf.regions, location_labels = value(process.config, "location-labels"),
      version = process.version }
    take_settings(c, process.config)
    founding[key] = c
    M.clusters[#M.clusters + 1] = c
    for name, url in initial:gmatch "([^=,]+)=([^,]+)" do c:add_member(name, url) end
  end
  local m = c:member(process.name)
  if m and not m.started then serve(process, c, m) end
end

--- The member is added at once and without a name; it has one as soon as its etcd runs. A process
--- that ends in between leaves it nameless, and goes on with it when it starts again.
local function enter(process, cluster, member)
  sim.after(20 * sim.choose(3, "pd.join"), function()
    if process.dead or member.removed then return end
    member.name = process.name
    serve(process, cluster, member)
  end)
end

local function try(process)
  if process.dead then return end
  local disk = process.disk
  if disk.cluster then
    if process.config:find "\nforce%-new%-cluster%s*=%s*true" then
      disk.cluster:force_new(disk.member)
    end
    disk.member.restarted = disk.member.removed -- its port is open and nothing answers
    return serve(process, disk.cluster, disk.member)
  end
  local initial, join = value(process.config, "initial-cluster"), value(process.config, "join")
  if initial then return found(process, initial) end
  local c = join and any_member(host_of(join:match "^[^,]*"))
  local why, mine = "no member answers", nil
  if c then why, mine = c:join_refusal(process.name, process.peer_url) end
  if not why then return enter(process, c, mine or c:add_member(nil, process.peer_url)) end
  sim.after(1000, function() try(process) end)
end

local function start(p)
  local config = "\n" .. p.config
  local process = { pod = p.pod, config = config, disk = p.disk, name = value(config, "name"),
    client_url = value(config, "advertise-client-urls"), peer_url = value(config, "advertise-peer-urls"),
    version = p.pod.spec.containers[1].image:match ":([^:@/]+)$" or "v8.5.2" }
  sim.after(100 * sim.choose(3, "pd.start"), function() try(process) end)
  return {
    ready = function()
      local m = process.member
      return m ~= nil and m.up and not m.restarted and process.cluster:has_leader()
    end,
    stop = function(graceful)
      process.dead = true
      if process.unlisten then process.unlisten() end
      if process.member then
        process.member.graceful = graceful
        process.cluster:set_up(process.member, false)
      end
    end,
  }
end

--- Where TiKV and the operator reach PD: any living member behind a URL.
function M.reach(url)
  return any_member(host_of(url))
end

function M.start(conf)
  M.conf = conf or {}
  runtime.program("pd", { start = start })
  sim.serve("*", function(request)
    local at = serving[request.host]
    if not at then
      local list = services[request.host] or {}
      for _, x in ipairs(list) do
        if x.member.up and not x.member.removed then at = at or x end
      end
    end
    if not at then
      if M.fallback then return M.fallback(request) end
      return 0
    end
    return http.answer(at.cluster, at.member, request)
  end)
end

return M
