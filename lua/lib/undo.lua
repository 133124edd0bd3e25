--- undo: the template that a group had, from what a ControllerRevision keeps of it.
-- A revision holds what a pod is made from and nothing else: sizes, store labels, images of side containers
-- and what else restarts nothing stay as they are now.
local M = {}

local KEPT = { updateStrategy = true, placement = true, preStop = true, server = true, volumes = true, overlay = true }

local function copy(t)
  local out = {}
  for k, v in pairs(t or {}) do out[k] = v end
  return out
end

local function by_name(list)
  local out = {}
  for _, x in ipairs(list or {}) do out[x.name or ""] = x end
  return out
end

local function volumes(now, was)
  local have, out = by_name(now), {}
  for n, v in ipairs(was or {}) do
    local x = copy(have[v.name])
    if not x.storage then
      return nil, ("volume %s is not in the template any more, and revisions keep no sizes: add it first"):format(v.name)
    end
    x.mounts, x.name = v.mounts, v.name
    out[n] = x
  end
  return out[1] and json.array(out) or nil
end

-- Side containers get the image that they have now.
local function containers(now, was, main)
  local have, out = by_name(now), {}
  for n, c in ipairs(was) do
    c = copy(c)
    if c.name ~= main and not c.image then c.image = (have[c.name] or {}).image end
    if c.name ~= main and not c.image then
      return nil, ("container %s is not in the overlay any more, and revisions keep no side images: add it first")
        :format(tostring(c.name))
    end
    out[n] = c
  end
  return json.array(out)
end

local function overlay(now, was, main)
  local out, pod = copy(now), copy(now and now.pod)
  local spec = was and copy(was)
  for _, key in ipairs { "containers", "initContainers" } do
    if spec and spec[key] then
      local list, why = containers(((now or {}).pod or {}).spec and now.pod.spec[key], spec[key], main)
      if not list then return nil, why end
      spec[key] = list
    end
  end
  pod.spec = spec
  out.pod = next(pod) ~= nil and pod or nil
  return next(out) ~= nil and out or nil
end

---@param template table spec.template as it is
---@param essence table data of the ControllerRevision, see lib/revision
---@param main "pd"|"tikv"
---@return {template: table?, why: string?}
function M.template(template, essence, main)
  local was, now = essence.template or {}, template.spec or {}
  local spec, why = {}
  for k in pairs(KEPT) do spec[k] = now[k] end
  for k, v in pairs(was.spec or {}) do
    if not KEPT[k] then spec[k] = v end
  end
  if (now.updateStrategy or {}).config == "HotReload" then spec.config = now.config end
  spec.server = copy(now.server)
  spec.server.ports = ((was.spec or {}).server or {}).ports
  if next(spec.server) == nil then spec.server = nil end
  spec.volumes, why = volumes(now.volumes, (was.spec or {}).volumes)
  if why then return { why = why } end
  spec.overlay, why = overlay(now.overlay, (was.spec or {}).overlay, main)
  if why then return { why = why } end
  local metadata = copy(template.metadata)
  metadata.labels, metadata.annotations = (was.metadata or {}).labels, (was.metadata or {}).annotations
  return { template = { metadata = next(metadata) ~= nil and metadata or nil, spec = spec } }
end

return M
