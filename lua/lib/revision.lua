--- revision: names what a pod is made from, kept as ControllerRevisions.
-- The hash covers the part of the template that would change a pod, and never how the operator
-- renders it: an operator upgrade restarts nothing (render pinning: see pod.FORMAT).
local kube = require "lib.kube"

local M = {}

---Fields of ControllerRevisions that groups look at.
M.FIELDS = {
  name = "metadata.name", uid = "metadata.uid", rv = "metadata.resourceVersion",
  number = "revision", created = "metadata.creationTimestamp",
}

local RESTARTS = {
  pd = { DisablePDDefaultReadinessProbe = true, UsePDReadyAPI = true, UsePDReadyAPIV2 = true, ClusterSubdomain = true },
  tikv = { UseTiKVReadyAPI = true, ClusterSubdomain = true },
}

local function drop_images(list, main)
  local out = {}
  for n, c in ipairs(list) do
    if c.name ~= main then
      c = kube.merge({}, c)
      c.image = nil
    end
    out[n] = c
  end
  return out
end

-- Labels, annotations and side images are changed in place; claim metadata never touches a pod.
local function overlay_part(overlay, component)
  if not overlay or not overlay.pod or not overlay.pod.spec then return nil end
  local spec = kube.clone(overlay.pod.spec)
  if spec.containers then spec.containers = drop_images(spec.containers, component) end
  if spec.initContainers then spec.initContainers = drop_images(spec.initContainers, "") end
  if next(spec) == nil then return nil end
  return spec
end

---The part of a template that a pod is made from.
---@param template table spec.template of a group
---@param component "pd"|"tikv"
---@param features string[]
function M.essence(template, component, features)
  local s = kube.merge({}, template.spec)
  local strategy = s.updateStrategy and s.updateStrategy.config
  local volumes = {}
  for n, v in ipairs(s.volumes or {}) do volumes[n] = { name = v.name, mounts = v.mounts } end
  s.volumes = json.array(volumes)
  s.overlay = overlay_part(s.overlay, component)
  if strategy == "HotReload" then s.config = nil end
  s.updateStrategy, s.placement, s.preStop = nil, nil, nil
  if s.server then s.server = s.server.ports and { ports = s.server.ports } end
  local kept = {}
  for _, f in ipairs(features) do
    if RESTARTS[component][f] then kept[#kept + 1] = f end
  end
  local meta = template.metadata or {}
  return { template = { metadata = { labels = meta.labels, annotations = meta.annotations }, spec = s },
    features = json.array(kept) }
end

---Hash of the whole template: tells what must be copied to instances without a restart.
function M.template_hash(template, features)
  return hash.safe(json.encode({ template, json.array(kube.merge({}, features)) }, true))
end

---@return string name of the ControllerRevision, also the value of the revision label
---@return table essence
function M.name(group, component, features)
  local essence = M.essence(group.spec.template, component, features)
  local h = hash.safe(json.encode(essence, true))
  return ("%s-%s-%s"):format(group.metadata.name, component, h), essence
end

local function newest(rows)
  local max = 0
  for _, r in ipairs(rows) do max = math.max(max, tonumber(r.number) or 0) end
  return max
end

---Step: the revision of the template exists and is the newest; old ones are dropped.
---@param used table<string, boolean> names that instances or status still speak of
function M.sync(w, p, used)
  local o, component = w.object, kube.component[w.object.kind]
  local name, essence = M.name(o, component, kube.features(w.cluster))
  local rows = w.revisions or {}
  local mine
  for _, r in ipairs(rows) do
    if r.name == name then mine = r end
  end
  local max = newest(rows)
  if not mine or (tonumber(mine.number) or 0) < max then
    local r = kube.object("ControllerRevision", o.metadata.namespace, name,
      kube.labels(o.spec.cluster.name, component, o.metadata.name))
    r.metadata.annotations = nil
    r.metadata.uid = mine and mine.uid
    r.data, r.revision = essence, max + 1
    p:apply(kube.own(r, o))
  end
  M.truncate(w, p, name, used)
end

---Newest first, those in use and the wanted one are kept, and `revisionHistoryLimit` of the rest (W-27).
function M.truncate(w, p, name, used)
  local rest = {}
  for _, r in ipairs(w.revisions or {}) do
    if r.name ~= name and not used[r.name] then rest[#rest + 1] = r end
  end
  table.sort(rest, function(a, b)
    local x, y = tonumber(a.number) or 0, tonumber(b.number) or 0
    if x ~= y then return x > y end
    return a.name < b.name
  end)
  local limit = tonumber(w.cluster and w.cluster.history) or 10
  for n = limit + 1, #rest do
    p:delete(kube.ref("ControllerRevision", rest[n]), "older than revisionHistoryLimit")
  end
end

return M
