--- tikv_status: TiKV's status server: /status, /config, /metrics (S21).
-- A change of the configuration is applied and then written into the file that --config named. A
-- ConfigMap is mounted read-only, so that write fails: the answer is 500 though the change is in force.
local J = require "sim.pd_json"

local M = {}

local TEXT = "text/plain"

-- What a running TiKV takes, by the beginning of its name; anything else needs a restart.
local ONLINE = { "raftstore.", "coprocessor.", "pessimistic-txn.", "gc.", "quota.", "split.", "cdc.", "resolved-ts.",
  "log-backup.", "backup.num-threads", "import.", "memory.", "resource-metering.", "rocksdb.", "raftdb.",
  "storage.block-cache.capacity", "storage.flow-control.", "storage.scheduler-worker-pool-size", "readpool.",
  "log.level", "server.grpc-memory-pool-quota", "server.max-grpc-send-msg-len", "server.snap-io-max-bytes-per-sec",
  "server.concurrent-send-snap-limit", "server.concurrent-recv-snap-limit", "server.end-point-memory-quota",
  "server.graceful-shutdown-timeout" }
local SECTIONS = { server = true, storage = true, pd = true, security = true, ["raft-engine"] = true }

local function online(key)
  for _, prefix in ipairs(ONLINE) do
    if key:sub(1, #prefix) == prefix then return true end
  end
  return false
end

local function known(key)
  return online(key) or SECTIONS[key:match "^([^.]+)%." or ""] == true
end

local function put(tree, path, value)
  local at, last = tree, path:match "([^.]+)$"
  for part in path:gmatch "([^.]+)%." do
    at[part] = type(at[part]) == "table" and at[part] or {}
    at = at[part]
  end
  at[last] = value
end

--- One value of the file: text, numbers and booleans are enough to look at.
local function scalar(text)
  local quoted = text:match '^"(.*)"$' or text:match "^'(.*)'$"
  if quoted then return quoted end
  if text == "true" or text == "false" then return text == "true" end
  return tonumber(text) or text
end

local function settings(process)
  local tree, section = { log = { level = "info" }, server = {}, storage = {} }, ""
  for line in (process.config .. "\n"):gmatch "([^\n]*)\n" do
    local header = line:match "^%s*%[([%w%-_.]+)%]%s*$"
    local key, text = line:match "^%s*([%w%-_.]+)%s*=%s*(.-)%s*$"
    if header then section = header .. "." end
    if key then put(tree, section .. key, scalar(text)) end
  end
  for key, value in sim.pairs(process.changes or {}) do put(tree, key, value) end
  return tree
end

M.settings = settings

local function post(process, request)
  local items = request.body
  if type(items) ~= "table" then return 500, TEXT, "failed to update, error: expected a map of texts" end
  for key, value in sim.pairs(items) do
    local why = not known(key) and ("unexpect fields: %s"):format(key)
      or type(value) ~= "string" and ("invalid type for %s"):format(key)
      or not online(key) and ("config %s can not be changed"):format(key)
    if why then return 500, TEXT, ('failed to update, error: Other("%s")'):format(why) end
  end
  process.changes = process.changes or {}
  for key, value in sim.pairs(items) do process.changes[key] = scalar(value) end
  if process.writable or (request.query or {}).persist == "false" then return 200, TEXT, "" end
  return 500, TEXT, "failed to update, error: Io(Os { code: 30, kind: ReadOnlyFilesystem, "
    .. 'message: "Read-only file system" })'
end

local function metrics(process)
  local leaders, peers = 0, 0
  if process.cluster then leaders, peers = process.cluster:counts(process.disk.store_id) end
  return 200, TEXT, ('tikv_raftstore_region_count{type="leader"} %d\ntikv_raftstore_region_count{type="region"} %d\n')
    :format(leaders, peers)
end

--- One request to the status port of a running process.
---@param process table { config, changes, cluster, disk, writable }
---@param request sim.http_request
function M.answer(process, request)
  local key = request.method .. " " .. request.path
  if key == "GET /status" then return 200, TEXT, "" end
  if key == "GET /config" then return 200, "application/json", J.print(settings(process)) end
  if key == "POST /config" then return post(process, request) end
  if key == "GET /metrics" then return metrics(process) end
  return 404, TEXT, "path not found"
end

return M
