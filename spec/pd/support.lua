--- A fake PD cluster behind the transport seam, for the specs of pd/ and of the guard.
-- It answers as the recordings do: content types, layouts, errors. A spec bends it: `pd.override[path]`
-- is a function(request, pd) that answers instead, or { status, body, type }.
local kube = require "spec.kube.support"
local core = require "support.core"
local ffi = core.ffi

local C = core.load("pd/pd.h", "pd/pdview.h")
local M = { C = C, kube = kube }

local JSON = "application/json; charset=UTF-8"
local TEXT = "text/plain; charset=utf-8"
local NOT_BOOTSTRAPPED = '"[PD:cluster:ErrNotBootstrapped]TiKV cluster not bootstrapped, please start TiKV first"'

---@class FakePD
local PD = {}
PD.__index = PD

---@param over table?
function M.pd(over)
  local pd = setmetatable({
    cluster_id = "7710367791441466003", term = 2, revision = 100, start = 1795209000, bootstrapped = true,
    members = {}, stores = {}, evict = {}, override = {}, log = {},
    schedulers = { "balance-region-scheduler", "balance-leader-scheduler" },
    replication = '{"max-replicas":3,"location-labels":"zone,host","isolation-level":"zone"}',
    counts = { ["down-peer"] = 0, ["pending-peer"] = 2, ["miss-peer"] = 0 },
  }, PD)
  for k, v in pairs(over or {}) do pd[k] = v end
  for n = 1, pd.size or 3 do
    pd.members[n] = { name = "basic-pd-" .. (n - 1), id = "1340498462517628391" .. n, healthy = true }
  end
  pd.leader = pd.members[1]
  for n = 1, pd.store_count or 4 do pd:add_store(tostring(n)) end
  return pd
end

function PD:add_store(id, over)
  local s = { id = id, address = ("basic-tikv-%s.basic-tikv-peer.ns.svc:20160"):format(id), state = "Up",
    node = 1, leaders = 10, regions = 30, zone = "z" .. id, beat_ago = 3, started = 1767220000 }
  for k, v in pairs(over or {}) do s[k] = v end
  self.stores[#self.stores + 1] = s
  return s
end

function PD:url(m) return ("http://%s.basic-pd-peer.ns.svc:2379"):format(m.name) end

function PD:store(id)
  for _, s in ipairs(self.stores) do
    if s.id == id then return s end
  end
end

function PD:member_json(m)
  if m.nameless then
    return ('{"member_id":%s,"peer_urls":["http://%s.basic-pd-peer.ns.svc:2380"]}'):format(m.id, m.name)
  end
  if m.unstarted then
    return ('{"name":"%s","member_id":%s,"peer_urls":["http://%s:2380"]}'):format(m.name, m.id, m.name)
  end
  return ('{"name":"%s","member_id":%s,"client_urls":["%s"],"peer_urls":["http://%s.basic-pd-peer.ns.svc:2380"]}')
    :format(m.name, m.id, self:url(m), m.name)
end

local function map(list, fn)
  local out = {}
  for i, x in ipairs(list) do out[i] = fn(x) end
  return table.concat(out, ",")
end

function PD:members_json()
  local leader = self.leader and (',"leader":%s,"etcd_leader":%s'):format(self:member_json(self.leader),
    self:member_json(self.leader)) or ""
  return ('{"header":{"cluster_id":%s},"members":[%s]%s}'):format(self.cluster_id,
    map(self.members, function(m) return self:member_json(m) end), leader)
end

function PD:store_json(s, now)
  local state = ({ Offline = 1, Tombstone = 2 })[s.state]
  return ([[{"store":{"id":%s,"address":"%s","status_address":"%s",%s"labels":[{"key":"zone","value":"%s"}],
    "version":"8.5.7","start_timestamp":%d,"last_heartbeat":%d%06d,%s"state_name":"%s"},
    "status":{"capacity":"100GiB","available":"88.5GiB","leader_count":%d,"region_count":%d%s}}]]):format(
    s.id, s.address, s.address:gsub("20160", "20180"), state and '"state":' .. state .. "," or "", s.zone,
    s.started, now - s.beat_ago * 1000, 0, s.node > 0 and '"node_state":' .. s.node .. "," or "", s.state,
    s.leaders, s.regions, s.busy and ',"is_busy":true' or "")
end

function PD:stores_json(now)
  return ('{"count":%d,"stores":[%s]}'):format(#self.stores,
    map(self.stores, function(s) return self:store_json(s, now) end))
end

function PD:answer(r, now)
  local path = r.path
  local bent = self.override[path]
  if type(bent) == "function" then return bent(r, self) end
  if bent then return bent[1], bent[2], bent[3] end
  if self.dead and self.dead[r.url:match("^http://([^.:/]+)")] then return nil end
  if path == "/pd/api/v1/members" then return 200, self:members_json() end
  if path == "/pd/api/v1/health" then
    return 200, "[" .. map(self.members, function(m)
      return ('{"member_id":%s,"health":%s}'):format(m.id, tostring(m.healthy))
    end) .. "]"
  end
  if path == "/v3/maintenance/status" then
    return 200, ('{"header":{"cluster_id":"1","member_id":"%s","revision":"%d","raft_term":"%d"}}')
      :format(self.leader.id, self.revision, self.term), "application/json"
  end
  if path == "/pd/api/v1/status" then return 200, ('{"start_timestamp":%d}'):format(self.start) end
  if path == "/pd/api/v1/version" then return 200, '{"version":"v8.5.7"}' end
  if path == "/pd/api/v1/config" and r.method == "GET" then
    return 200, ('{"schedule":{"halt-scheduling":"%s"},"replication":%s}'):format(
      self.halted and "true" or "false", self.replication)
  end
  if not self.bootstrapped then return 500, NOT_BOOTSTRAPPED end
  if path == "/pd/api/v1/stores" then return 200, self:stores_json(now) end
  if path == "/pd/api/v1/schedulers" and r.method == "GET" then
    return 200, "[" .. map(self.schedulers, function(s) return '"' .. s .. '"' end) .. "]"
  end
  if path:find("evict%-leader%-scheduler/list$") then
    if #self.evict == 0 then return 404, "404 page not found\n", TEXT end
    return 200, ('{"store-id-ranges":{%s},"batch":3}'):format(
      map(self.evict, function(id) return ('"%s":[{"start-key":"","end-key":""}]'):format(id) end))
  end
  local check = path:match("/regions/check/(.+)$")
  if check then
    return 200, ('{"count":%d,"regions":[]}'):format(self.counts[check]), "application/octet-stream"
  end
  if path == "/pd/api/v1/regions/count" then return 200, '{"count":20,"regions":null}', "application/octet-stream" end
  if r.method ~= "GET" then return 200, '"done"' end
  return 404, "404 page not found\n", TEXT
end

--- Answer one request as this PD would.
function PD:reply(r)
  local status, body, kind = self:answer(r, r.world.wall)
  self.log[#self.log + 1] = r.method .. " " .. r.path
  if not status then return r:fail() end
  r:head(status, { ["content-type"] = kind or JSON })
  r.h.date_wall_ms = r.world.wall
  if body then r:chunk(body) end
  return r:finish()
end

--- Let `ms` pass; every request to PD is answered at once.
function M.serve(w, pd, ms)
  local stop = w.now + ms
  while true do
    local open = w:open()
    while #open > 0 do
      for _, r in ipairs(open) do
        if r.open then pd:reply(r) end
      end
      open = w:open()
    end
    if w.now >= stop then return end
    local step = stop - w.now
    for _, t in pairs(w.timers) do step = math.min(step, math.max(t.due - w.now, 0)) end
    w:run(step)
  end
end

-- ---- pd and pdview ----

local pd_done = ffi.cast("pd_done_fn *", function(arg, body, date, e)
  local n = M.notes[tonumber(ffi.cast("uintptr_t", arg))]
  n.calls, n.code, n.msg, n.status = (n.calls or 0) + 1, tonumber(e.code), ffi.string(e.msg), e.status
  n.date = tonumber(date)
  if body ~= nil then
    local c = C.json_string(body)
    n.body = ffi.string(c)
    ffi.C.free(c)
  end
end)
M.notes = {}
M.pd_done = pd_done

local next_note = 0
function M.note()
  next_note = next_note + 1
  local n = {}
  M.notes[next_note] = n
  n.arg = ffi.cast("void *", ffi.cast("uintptr_t", next_note))
  return n
end

local function urls(list)
  local out = ffi.new("const char *[?]", #list + 1)
  for i, u in ipairs(list) do out[i - 1] = u end
  return out, #list
end
M.urls = urls

function M.client(w, list)
  local p = C.pd_new(ffi.new("struct pd_conf", { loop = kube.loop, http = kube.http, pool = "pd-basic",
    log = w.log, metrics = w.metrics }))
  C.pd_set_endpoints(p, urls(list or { "http://basic-pd.ns:2379" }))
  return p
end

local changes ---@type string[]
local on_change = ffi.cast("void (*)(void *, const char *const *, size_t)", function(_, what, n)
  for i = 0, tonumber(n) - 1 do changes[#changes + 1] = ffi.string(what[i]) end
end)

--- A view of this PD, after its first polls.
function M.view(w, pd, list)
  changes = {}
  local conf = ffi.new("struct pdview_conf", { loop = kube.loop, log = w.log, metrics = w.metrics,
    on_change = on_change })
  conf.pd = M.client(w, {})
  C.rng_seed(conf.rng, 5)
  local v = C.pdview_new(conf)
  C.pdview_set_endpoints(v, urls(list or { "http://basic-pd.ns:2379" }))
  if pd then M.serve(w, pd, 500) end
  return v
end

--- What was reported since the last call, sorted.
function M.changed()
  local out = table.concat(changes, " ")
  for i = #changes, 1, -1 do changes[i] = nil end
  return out
end

local function text_of(tree)
  local c = C.json_string(tree)
  local s = ffi.string(c)
  ffi.C.free(c)
  return s
end

--- A value of the snapshot by path.
function M.at(v, path)
  local tree = C.pdview_snapshot(v)
  if tree == nil then return nil end
  return kube.at(text_of(tree), path)
end

function M.store_at(v, id, path)
  local tree = C.pdview_store(v, id)
  if tree == nil then return nil end
  return kube.at(text_of(tree), path)
end

function M.trouble(v) return ffi.string(C.pdview_trouble(v)) end

function M.history(v)
  local why = ffi.new("const char *[1]")
  return C.pdview_history_changed(v, why), ffi.string(why[0])
end

return M
