--- mini: a toy API server, kubelet and PD, in which the controllers' plans take effect at once.
-- It checks what a pure function can not: that plans lead somewhere, and then stop.
local pass = require "lib.pass"
local settings = require "lib.settings"

local M = {}
local Mini = {}
Mini.__index = Mini

---@param scripts {needs: function, run: function}? another way to run them, a cage for example
function M.new(scripts)
  local m = setmetatable({ scripts = scripts or pass, objects = {}, rv = 100, now = 1000000, uids = 0,
    writes = {}, status_writes = {}, expelled = {},
    next_store = 1, stores = {}, members = {},
    pd = { known = false, reason = "PD has not answered yet" }, pods_ready = true, log = {},
    settings = {}, tried = {}, live = {}, refuses = {} }, Mini)
  m:put { apiVersion = "v1", kind = "Node", metadata = { name = "node-1" }, spec = {},
    status = { conditions = { { type = "Ready", status = "True" } } } }
  m:put { apiVersion = "storage.k8s.io/v1", kind = "StorageClass", metadata = { name = "standard" },
    allowVolumeExpansion = true }
  return m
end

local function key(kind, name) return kind .. "/" .. name end

local function copy(v)
  if type(v) ~= "table" then return v end
  local out = setmetatable({}, getmetatable(v))
  for k, x in pairs(v) do out[k] = copy(x) end
  return out
end
M.copy = copy

function Mini:get(kind, name) return self.objects[key(kind, name)] end

function Mini:list(kind)
  local out = {}
  for _, o in pairs(self.objects) do
    if o.kind == kind then out[#out + 1] = o end
  end
  table.sort(out, function(a, b) return a.metadata.name < b.metadata.name end)
  return out
end

function Mini:touch(o)
  self.rv = self.rv + 1
  o.metadata.resourceVersion = tostring(self.rv)
end

function Mini:put(o)
  local old = self:get(o.kind, o.metadata.name)
  local m = o.metadata
  m.namespace = m.namespace or "ns"
  if old then
    m.uid, m.creationTimestamp = old.metadata.uid, old.metadata.creationTimestamp
    m.generation = json.encode(old.spec or {}) ~= json.encode(o.spec or {}) and old.metadata.generation + 1
      or old.metadata.generation
    m.deletionTimestamp, o.status = old.metadata.deletionTimestamp, old.status
    if m.finalizers == nil then m.finalizers = old.metadata.finalizers end
  else
    self.uids = self.uids + 1
    m.uid, m.generation = "uid-" .. self.uids, 1
    m.creationTimestamp = time.format(self.now)
  end
  self:touch(o)
  self.objects[key(o.kind, m.name)] = o
  return o
end

function Mini:drop(o)
  self.objects[key(o.kind, o.metadata.name)] = nil
  for _, other in pairs(copy(self.objects)) do
    for _, ref in ipairs(other.metadata.ownerReferences or {}) do
      if ref.uid == o.metadata.uid then self:delete(other.kind, other.metadata.name) end
    end
  end
end

function Mini:delete(kind, name)
  local o = self:get(kind, name)
  if not o then return end
  if (o.metadata.finalizers or {})[1] then
    o.metadata.deletionTimestamp = o.metadata.deletionTimestamp or time.format(self.now)
    self:touch(o)
  else
    self:drop(o)
  end
end

-- Worlds -----------------------------------------------------------------------------------------

local function steps_of(path)
  local out, cur, n = {}, "", 1
  while n <= #path do
    local c = path:sub(n, n)
    if c == "\\" then
      cur, n = cur .. path:sub(n + 1, n + 1), n + 1
    elseif c == "." then
      out[#out + 1], cur = cur, ""
    elseif c == "[" then
      local k, v, to = path:match("^%[(%w+)=([^%]]+)%]()", n)
      out[#out + 1] = cur
      out[#out + 1] = { k, v }
      cur, n = nil, to - 1
      if path:sub(to, to) == "." then n, cur = to, "" end
    else
      cur = (cur or "") .. c
    end
    n = n + 1
  end
  if cur and cur ~= "" then out[#out + 1] = cur end
  return out
end

local function at_path(o, path)
  for _, s in ipairs(steps_of(path)) do
    if type(o) ~= "table" then return nil end
    if type(s) == "table" then
      local found
      for _, item in ipairs(o) do
        if tostring(item[s[1]]) == s[2] then found = item end
      end
      o = found
    else
      o = o[s]
    end
  end
  return o
end

local function row(o, fields)
  if not fields then return copy(o) end
  local out = {}
  for name, path in pairs(fields) do out[name] = copy(at_path(o, path)) end
  return out
end

function Mini:pd_member(item)
  if not self.pd.known then return copy(self.pd) end
  local out = copy(self.pd)
  out.members, out.counts = json.array {}, { Up = 0, Disconnected = 0, Down = 0, Offline = 0, Tombstone = 0 }
  for _, m in ipairs(self.members) do
    out.members[#out.members + 1] = copy(m)
    if m.name == item.member then out.member = copy(m) end
    if m.name == self:leads() then out.leader = { id = m.id, name = m.name } end
  end
  out.stores = item.stores == "all" and json.array {} or nil
  out.settings = item.settings and copy(self.settings)
  out.tried = item.settings and copy(self.tried)
  for _, s in ipairs(self.stores) do
    out.counts[s.state] = out.counts[s.state] + 1
    if out.stores then out.stores[#out.stores + 1] = copy(s) end
    if item.store then
      if s.id == item.store then out.store = copy(s) end
    elseif s.address == item.address and (not out.store or s.state ~= "Tombstone") then
      out.store = copy(s)
    end
  end
  return out
end

function Mini:world(o)
  local w = { now = self.now, clock = { hour = 12 }, kind = o.kind, object = copy(o),
    deleting = o.metadata.deletionTimestamp ~= nil, operator = self.operator or { version = "1", namespaced = false }, ages = {},
    unknown = {} }
  for _, item in ipairs(self.scripts.needs(copy(o))) do
    assert(item.as and w[item.as] == nil, "named twice: " .. tostring(item.as))
    if item.pd then
      w[item.as] = self:pd_member(item)
    elseif (self.hidden or {})[item.kind] then
      w.unknown[item.as] = "forbidden"
    elseif item.secrets then
      w[item.as] = {}
      local cluster = self:get("Cluster", item.of)
      for _, name in ipairs(cluster and cluster.spec.tlsCluster and item.secrets or {}) do
        local s, keys = self:get("Secret", name), json.array {}
        for k in pairs(s and s.data or {}) do keys[#keys + 1] = k end
        w[item.as][name] = { known = true, there = s ~= nil, keys = keys }
      end
    elseif item.tikv then
      w[item.as] = copy(self.live[item.tikv] or { known = false, reason = "TiKV was not asked yet" })
    elseif item.name then
      local found = self:get(item.kind, item.name)
      w[item.as] = found and row(found, item.fields)
    else
      local list = json.array {}
      for _, x in ipairs(self:list(item.kind)) do
        local match = not (item.cluster or item.label or item.owner) or item.cluster and at_path(x, "spec.cluster.name") == item.cluster
          or item.label and (x.metadata.labels or {})[item.label[1]] == item.label[2]
        for _, ref in ipairs(item.owner and x.metadata.ownerReferences or {}) do
          match = match or ref.uid == item.owner
        end
        if match then list[#list + 1] = row(x, item.fields) end
      end
      w[item.as] = list
    end
  end
  return w
end

-- Plans ------------------------------------------------------------------------------------------

local function texts(now, set, remove)
  local out = copy(now or {})
  for k, v in pairs(set or {}) do
    assert(type(v) == "string", "label or annotation " .. k)
    out[k] = v
  end
  for _, k in ipairs(remove or {}) do out[k] = nil end
  return out
end

function Mini:patch(o, a)
  local m = o.metadata
  m.labels = texts(m.labels, a.labels, a.remove_labels)
  m.annotations = texts(m.annotations, a.annotations, a.remove_annotations)
  for _, c in ipairs(a.images and o.spec.containers or {}) do c.image = a.images[c.name] or c.image end
  local keep = {}
  for _, f in ipairs(m.finalizers or {}) do
    local gone = false
    for _, r in ipairs(a.remove_finalizers or {}) do gone = gone or r == f end
    if not gone then keep[#keep + 1] = f end
  end
  for _, f in ipairs(a.add_finalizers or {}) do keep[#keep + 1] = f end
  m.finalizers = keep
  self:touch(o)
  if m.deletionTimestamp and not keep[1] then self:drop(o) end
end

function Mini:act(subject, a)
  local name = a.name or a.object and a.object.metadata.name or a.store_id
  self.writes[#self.writes + 1] = ("%s %s/%s"):format(a.action, a.kind or a.object and a.object.kind or "", name)
  if a.action == "event" then
    self.writes[#self.writes] = ("event %s %s/%s"):format(a.reason, subject.kind, subject.metadata.name)
  elseif a.action == "apply" then
    local o = copy(a.object)
    assert(o.metadata.namespace == "ns" and o.metadata.name, "apply without a name")
    local old = self:get(o.kind, o.metadata.name)
    assert((old and old.metadata.uid) == o.metadata.uid, "apply of " .. name .. " without its uid")
    if old and o.kind == "PersistentVolumeClaim" then
      o.spec.volumeName, o.status = old.spec.volumeName, old.status
    end
    if old and o.kind == subject.kind then
      for k, v in pairs(o.spec) do old.spec[k] = v end
      old.metadata.generation = old.metadata.generation + 1
      return self:touch(old)
    end
    for _, m in ipairs { o.metadata.labels or {}, o.metadata.annotations or {} } do texts({}, m) end
    -- what others have set stays; what was applied before and is not now goes
    local mine = copy(o.metadata.annotations or {})
    for k, v in pairs(old and old.metadata.annotations or {}) do
      if not (old.applied or {})[k] and mine[k] == nil then o.metadata.annotations[k] = v end
    end
    o.applied = mine
    self:put(o)
  elseif a.action == "delete" then
    local o = assert(self:get(a.kind, a.name), "delete of nothing: " .. name)
    assert(o.metadata.uid == a.uid and o.metadata.resourceVersion == a.rv, "delete without preconditions")
    -- a kubelet that is away never confirms: only force helps
    if a.grace == 0 then self:drop(o) else self:delete(a.kind, a.name) end
  elseif a.action == "patch_meta" then
    local o = assert(self:get(a.kind, a.name), "patch of nothing: " .. name)
    assert(o.metadata.uid == a.uid and o.metadata.resourceVersion == a.rv, "patch of " .. name .. " is stale")
    self:patch(o, a)
  elseif a.action == "pd_labels" then
    for _, s in ipairs(self.stores) do
      if s.id == a.store_id then s.labels = a.labels end
    end
  elseif a.action == "pd_store_limit" then
    for id, l in pairs(self.settings["schedule.store-limit"]) do
      if not a.store_id or a.store_id == id then l[a.type] = a.rate end
    end
  elseif a.action == "pd_purge" then
    local keep = {}
    for _, s in ipairs(self.stores) do
      if s.state ~= "Tombstone" then keep[#keep + 1] = s end
    end
    self.stores = keep
  elseif a.action == "pd_config" or a.action == "tikv_config" then
    self:configure(a)
  elseif a.action == "mark" then
    local o = assert(self:get(a.kind, a.name), "mark of nothing: " .. name)
    local set = (o.metadata.annotations or {})[a.key]
    if not set then self:patch(o, { annotations = { [a.key] = time.format(self.now) } }) end
  elseif a.action == "job" then
    local o = copy(a.object)
    assert(not self:get("Job", o.metadata.name), "a Job of this name is there already")
    assert(o.metadata.ownerReferences[1].uid == subject.metadata.uid, "G3: a Job of nobody")
    self:put(o)
  elseif a.action:find "^pd_" then
    self:act_pd(a)
  end
end

---Settings take hold unless `refuses` has a complaint for the name.
function Mini:configure(a)
  local live = a.instance and self.live[a.instance]
  local values, tried = live and live.values or self.settings, live and live.tried or self.tried
  for k, v in pairs(a.items) do
    local why = self.refuses[k]
    tried[k] = { value = v, why = why or "" }
    if not why then values[k] = v end
    if k == "schedule.halt-scheduling" and not a.instance then self.pd.halted = v == "true" end
  end
end

function Mini:store(id)
  for _, s in ipairs(self.stores) do if s.id == id then return s end end
end

function Mini:act_pd(a)
  local s = a.store_id and assert(self:store(a.store_id), a.action .. " of no store")
  if a.expect then assert(s.state == a.expect or s.node_state == a.expect, a.action .. " expects " .. a.expect) end
  if a.action == "pd_offline" then
    local up = 0
    for _, other in ipairs(self.stores) do if other ~= s and other.state == "Up" then up = up + 1 end end
    assert(up >= self.pd.replication.max_replicas, "G6: too few stores")
    assert(self.pd.settled, "G6: not settled")
    s.state, s.node_state = "Offline", "Removing"
  elseif a.action == "pd_online" then
    s.state, s.node_state = "Up", "Serving"
  elseif a.action == "pd_evict_leaders" then
    s.evicting = true
  elseif a.action == "pd_restore_leaders" then
    s.evicting = nil
  elseif a.action == "pd_transfer_leader" then
    self.leader = a.member
  elseif a.action == "pd_remove_member" then
    local keep = {}
    for _, member in ipairs(self.members) do
      if member.id ~= a.member_id then
        keep[#keep + 1] = member
      else
        assert(member.name == a.name and member.name ~= self:leads(), "G5: the leader, or another name")
      end
    end
    assert(#keep == #self.members - 1 and #keep > 0, "G5: no such member, or the last")
    self.members = keep
    -- its process never comes back by itself
    local pod = self:get("Pod", a.name)
    if pod then self.expelled[pod.metadata.uid] = true end
  end
end

---Name of PD's leader.
function Mini:leads()
  local first
  for _, member in ipairs(self.members) do
    if member.healthy and member.name == self.leader then return member.name end
    if member.healthy then first = first or member.name end
  end
  return first
end

---Leaders leave, regions drain, a few at a time; an empty store is buried.
function Mini:drain()
  local changed = false
  for _, s in ipairs(self.stores) do
    if s.evicting and s.leaders > 0 and not self.stubborn then s.leaders, changed = math.max(s.leaders - 3, 0), true end
    if s.state == "Offline" and not self.frozen then
      changed = true
      if s.regions == 0 then s.state, s.node_state = "Tombstone", "Removed" end
      s.regions, s.leaders = math.max(s.regions - 4, 0), math.max(s.leaders - 4, 0)
    end
  end
  return changed
end

---One pass of one object. Returns the plan; `quiet`: nothing was written.
function Mini:pass(kind, name, patient)
  local o = self:get(kind, name)
  if not o then return nil, true end
  local plan = self.scripts.run(self:world(o))
  json.encode(plan) -- it must be able to cross
  self.log[#self.log + 1] = ("%s/%s %s %s"):format(kind, name, plan.verdict.kind, plan.verdict.reason or "")
  local before = #self.writes
  for _, a in ipairs(plan.actions) do self:act(o, a) end
  local live = self:get(kind, name)
  if live and plan.status and json.encode(plan.status) ~= json.encode(live.status or {}) then
    if (plan.status_after or 0) == 0 or patient then
      live.status = copy(plan.status)
      self:touch(live)
      local k = key(kind, name)
      self.status_writes[k] = (self.status_writes[k] or 0) + 1
      return plan, false
    end
  end
  -- what is looked at again in a second is on its way
  return plan, #self.writes == before and not (plan.verdict.kind == "retry" and (plan.verdict.after or 0) <= 1)
end

-- The outside --------------------------------------------------------------------------------------

function Mini:kubelet()
  local changed = false
  for _, claim in ipairs(self:list("PersistentVolumeClaim")) do
    if not claim.spec.volumeName then
      claim.spec.volumeName = "pv-" .. claim.metadata.name
      claim.spec.storageClassName = claim.spec.storageClassName or "standard"
      claim.status = { phase = "Bound", capacity = claim.spec.resources.requests }
      self:put { apiVersion = "v1", kind = "PersistentVolume", metadata = { name = claim.spec.volumeName }, spec = {} }
      self:touch(claim)
      changed = true
    end
    local has, wants = claim.status.capacity.storage, claim.spec.resources.requests.storage
    if has ~= wants and not self.no_driver then
      claim.status.capacity, changed = { storage = wants }, true
      self:touch(claim)
    end
  end
  for _, pod in ipairs(self:list("Pod")) do
    local broken = self.broken and self.broken(pod)
    if broken and not pod.status then
      pod.spec.nodeName = self.node or "node-1"
      pod.status = { phase = "Running", conditions = { { type = "PodScheduled", status = "True" },
        { type = "Ready", status = "False" } }, containerStatuses = { { name = pod.spec.containers[1].name,
        state = { waiting = { reason = "CrashLoopBackOff" } } } } }
      self:touch(pod)
      changed = true
    elseif not pod.status and self.pods_ready then
      pod.spec.nodeName = self.node or "node-1"
      pod.status = { phase = "Running", conditions = { { type = "PodScheduled", status = "True" },
        { type = "Ready", status = "True" } } }
      self:touch(pod)
      changed = true
    end
  end
  return changed
end

---Jobs end by themselves, as `jobs` says: "Complete" (the default), "Failed" or "Running".
function Mini:run_jobs()
  local changed = false
  for _, job in ipairs(self:list("Job")) do
    local how = self.jobs or "Complete"
    if not job.status then
      job.status, changed = { startTime = time.format(self.now) }, true
      self:touch(job)
    elseif how ~= "Running" and not job.status.conditions then
      job.status.conditions = { { type = how, status = "True", reason = "BackoffLimitExceeded",
        message = "Job has reached the specified backoff limit", lastTransitionTime = time.format(self.now) } }
      if how == "Complete" then job.status.completionTime = time.format(self.now) end
      self:put { apiVersion = "v1", kind = "Pod", metadata = { name = job.metadata.name .. "-x7k2p",
        labels = copy(job.spec.template.metadata.labels), ownerReferences = { { kind = "Job", controller = true,
          uid = job.metadata.uid } } }, status = { phase = how == "Complete" and "Succeeded" or "Failed",
          containerStatuses = { { name = "hook", state = { terminated = { exitCode = how == "Complete" and 0 or 3,
            message = "first\nthe last line\n" } } } } } }
      self:touch(job)
      changed = true
    end
  end
  return changed
end

local function ready(pod)
  return pod and not pod.metadata.deletionTimestamp and pod.status and pod.status.phase == "Running"
    and pod.status.conditions[2].status == "True"
end

local function add_member(self, pod, healthy)
  for _, m in ipairs(self.members) do
    if m.name == pod then
      if m.healthy == healthy then return false end
      m.healthy = healthy
      return true
    end
  end
  self.member_ids = (self.member_ids or 0) + 1
  self.members[#self.members + 1] = { id = "90000000000000000" .. self.member_ids, name = pod, healthy = healthy }
  return true
end

-- A process has the settings of the file it began with.
function Mini:begin(instance, pod, config)
  local live = self.live[instance]
  if live and live.since == pod.metadata.uid then return false end
  self.live[instance] = { known = true, since = pod.metadata.uid, tried = {},
    values = settings.of(config.data["config.toml"]) }
  return true
end

---PD answers once a majority of its first members runs; TiKV pods register their stores.
function Mini:outside()
  local changed = self:kubelet()
  changed = self:run_jobs() or changed
  if self.pd_down then return changed end
  local up = 0
  for _, o in ipairs(self:list("PD")) do
    local pod = self:get("Pod", o.metadata.name:gsub("%-(%d+)$", "-pd-%1"))
    if ready(pod) then up = up + 1 end
  end
  local pods = self:list("PD")
  if not self.pd.known and up > 0 and up * 2 > #pods then
    self.pd = { known = true, settled = true, cluster_id = self.cluster_id or "7000000000000000001",
      bootstrapped = #self.stores > 0,
      replication = { max_replicas = 3, location_labels = { "zone" } }, schedulers = { "balance-leader-scheduler" },
      regions = { down_peer = 0 } }
    local file = self:get("ConfigMap", (pods[1].metadata.name:gsub("%-(%d+)$", "-pd-%1")))
    self.settings, changed = settings.of(file.data["config.toml"]), true
  end
  if not self.pd.known then return changed end
  changed = self:drain() or changed
  for _, o in ipairs(pods) do
    local pod = self:get("Pod", (o.metadata.name:gsub("%-(%d+)$", "-pd-%1")))
    if ready(pod) and not self.expelled[pod.metadata.uid] then
      changed = add_member(self, pod.metadata.name, true) or changed
    end
  end
  for _, pod in ipairs(self:list("Pod")) do
    local config = self:get("ConfigMap", pod.metadata.name)
    local address = config and config.data["config.toml"]:match('advertise%-addr = "([^"]+)"')
    if ready(pod) and address then
      changed = self:begin(pod.metadata.labels["core.tikv.org/instance"], pod, config) or changed
      local have = false
      for _, s in ipairs(self.stores) do
        -- a process whose store is buried does not become another one
        have = have or s.address == address and (s.state ~= "Tombstone" or s.pod == pod.metadata.uid)
      end
      if not have then
        self.stores[#self.stores + 1] = { id = tostring(self.next_store), address = address, state = "Up",
          node_state = "Serving", leaders = 0, regions = 0, capacity = "107374182400", available = "107374182400",
          labels = {}, pod = pod.metadata.uid }
        self.next_store = self.next_store + 3
        self.pd.bootstrapped, changed = true, true
      end
    end
  end
  return changed
end

local ORDER = { "Cluster", "PDGroup", "TiKVGroup", "PD", "TiKV" }

---Passes and the outside in turns until nothing moves; returns the number of rounds.
---`eager`: a status that may wait is written too.
function Mini:settle(max)
  for round = 1, max or 60 do
    local quiet = true
    for _, kind in ipairs(ORDER) do
      for _, o in ipairs(self:list(kind)) do
        local _, still = self:pass(kind, o.metadata.name, self.idle or self.eager)
        quiet = quiet and still
      end
    end
    if self.after_round then self.after_round(self, round) end
    local moved = self:outside()
    if quiet and not moved then
      -- what could wait is written once all else is still
      if self.idle then
        self.idle = nil
        return round
      end
      self.idle = true
    elseif moved then
      self.idle = nil
    end
    self.now = self.now + 1
  end
  error("it never settles:\n" .. table.concat(self.log, "\n", math.max(1, #self.log - 30)))
end

return M
