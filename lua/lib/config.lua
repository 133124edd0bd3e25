--- config: the user's TOML, with the keys that the operator manages put in.
-- A user who sets a managed key is told which, instead of being overruled in silence.
local kube = require "lib.kube"
local toml = require "lib.toml"

local M = {}

local function is_set(v) return v ~= nil and v ~= "" and v ~= 0 and v ~= false end

---@param text string? spec.config
---@param managed table<string, any> by dotted key
---@return string? toml
---@return string? reason ConfigInvalid or ConfigManaged
---@return string? message
function M.build(text, managed)
  local doc, err = toml.decode(text or "")
  if not doc then return nil, "ConfigInvalid", "spec.config: " .. tostring(err) end
  local keys, clash = {}, {}
  for key in pairs(managed) do keys[#keys + 1] = key end
  table.sort(keys)
  for _, key in ipairs(keys) do
    if is_set(toml.get(doc, key)) then clash[#clash + 1] = key end
    toml.set(doc, key, managed[key])
  end
  if clash[1] then
    return nil, "ConfigManaged", "spec.config sets managed keys: " .. table.concat(clash, ", ")
  end
  return toml.encode(doc)
end

---Keys that no user may set, by component; those of TLS are managed whether it is on or not.
local MANAGED = {
  pd = { "name", "data-dir", "client-urls", "peer-urls", "advertise-client-urls", "advertise-peer-urls",
    "initial-cluster-token", "initial-cluster", "initial-cluster-state", "join", "force-new-cluster", "security.cacert-path",
    "security.cert-path", "security.key-path" },
  tikv = { "server.addr", "server.advertise-addr", "server.status-addr", "server.advertise-status-addr",
    "storage.data-dir", "pd.endpoints", "security.ca-path", "security.cert-path", "security.key-path" },
}

---What is wrong with a template's config, before any instance has it.
---@param component "pd"|"tikv"
---@param text string? spec.template.spec.config
---@return string? reason nil when it is fine
---@return string? message
function M.problem(component, text)
  if not text or text == "" then return end
  local managed = {}
  for _, key in ipairs(MANAGED[component]) do managed[key] = "managed" end
  local _, reason, message = M.build(text, managed)
  return reason, message
end

local function security(managed, dir, ca)
  managed["security." .. ca] = dir .. "/ca.crt"
  managed["security.cert-path"] = dir .. "/tls.crt"
  managed["security.key-path"] = dir .. "/tls.key"
end

---Path of the volume whose mount has type `data`.
function M.data_dir(volumes, default)
  for _, v in ipairs(volumes or {}) do
    for _, m in ipairs(v.mounts or {}) do
      if m.type == "data" then return m.mountPath or default end
    end
  end
  return default
end

---@param i table instance facts, see lib/instance
---@param start {initial_cluster: string?, join: string?, alone: boolean?}
function M.pd(i, start)
  local managed = {
    name = i.pod,
    ["data-dir"] = M.data_dir(i.spec.volumes, "/var/lib/pd"),
    ["client-urls"] = ("%s://[::]:%d"):format(i.scheme, i.client_port),
    ["peer-urls"] = ("%s://[::]:%d"):format(i.scheme, i.peer_port),
    ["advertise-client-urls"] = ("%s://%s:%d"):format(i.scheme, i.host, i.client_port),
    ["advertise-peer-urls"] = ("%s://%s:%d"):format(i.scheme, i.host, i.peer_port),
    ["initial-cluster-token"] = i.cluster,
  }
  if start.initial_cluster then
    managed["initial-cluster"] = start.initial_cluster
    managed["initial-cluster-state"] = "new"
  else
    managed.join = start.join
  end
  if start.alone then managed["force-new-cluster"] = true end
  if i.tls then security(managed, "/var/lib/pd-tls", "cacert-path") end
  return M.build(i.spec.config, managed)
end

function M.tikv(i, pd_url)
  local managed = {
    ["server.addr"] = ("[::]:%d"):format(i.client_port),
    ["server.advertise-addr"] = ("%s:%d"):format(i.host, i.client_port),
    ["server.status-addr"] = ("[::]:%d"):format(i.status_port),
    ["server.advertise-status-addr"] = ("%s:%d"):format(i.host, i.status_port),
    ["storage.data-dir"] = M.data_dir(i.spec.volumes, "/var/lib/tikv"),
    ["pd.endpoints"] = json.array { pd_url },
  }
  if i.tls then security(managed, "/var/lib/tikv-tls", "ca-path") end
  return M.build(i.spec.config, managed)
end

---Names all that the text of a TiKV's config is made of, and the text itself: an unchanged one needs not be
---made again to be known as right. Change the first word when M.tikv comes to write something else.
---@param text string the config that is there
function M.origin(i, pd_url, text)
  return hash.safe(table.concat({ "1", i.scheme, i.host, i.client_port, i.status_port, pd_url,
    M.data_dir(i.spec.volumes, ""), i.spec.config or "", text }, "\0"))
end

---Whether the config map was made from what is wanted now, and holds what was made.
function M.stands(i, pd_url, map)
  local meta, text = map.metadata, (map.data or {})["config.toml"]
  return text ~= nil and (meta.annotations or {})[kube.annotation.origin] == M.origin(i, pd_url, text)
    and kube.owned_by(meta.ownerReferences, i.object.metadata.uid) and not kube.missing(meta.labels, i.labels())
end

---The config map of an instance.
---@param pd_url string? of a TiKV
function M.map(i, text, pd_url)
  local o = kube.object("ConfigMap", i.ns, i.pod, i.labels())
  o.metadata.annotations[kube.annotation.config_hash] = hash.safe(text)
  if pd_url then o.metadata.annotations[kube.annotation.origin] = M.origin(i, pd_url, text) end
  o.data = { ["config.toml"] = text }
  return kube.own(o, i.object)
end

return M
