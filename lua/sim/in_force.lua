--- in_force: what people wanted of settings, sizes and a freeze, compared with what processes and disks have.
local truth = require "sim.truth"
local tikv = require "sim.tikv"

local M = {}

local function setting_of(pod, c)
  if c then return c.config.schedule["leader-schedule-limit"] end
  local host = ("%s.%s.%s.svc:20180"):format(pod.metadata.name, pod.spec.subdomain, pod.metadata.namespace)
  local raftstore = (tikv.settings(host) or {}).raftstore
  return raftstore and raftstore["raft-log-gc-threshold"]
end

local function setting(w, g, component, c)
  for _, pod in ipairs(g.setting and truth.list(("/api/v1/namespaces/%s/pods"):format(w.ns)) or {}) do
    if truth.label(pod, "group") == g.name and truth.label(pod, "component") == component then
      local has = setting_of(pod, component == "pd" and c or nil)
      if has ~= g.setting then
        return ("pod %s has setting %s, wanted %d"):format(pod.metadata.name, tostring(has), g.setting)
      end
    end
  end
end

local function size(w, g, component)
  for _, o in ipairs(g.size and truth.list(truth.core(w.ns, component == "pd" and "pds" or "tikvs")) or {}) do
    if truth.label(o, "group") == g.name and not o.metadata.deletionTimestamp and not o.spec.offline then
      local name = ("data-%s-%s-%s"):format(g.name, component, o.metadata.name:match "%d+$")
      local claim = truth.get(("/api/v1/namespaces/%s/persistentvolumeclaims/%s"):format(w.ns, name))
      local storage = claim and claim.spec.resources.requests.storage
      if storage ~= ("%dGi"):format(g.size) then
        return ("claim %s has %s, wanted %dGi"):format(name, tostring(storage), g.size)
      end
    end
  end
end

--- What is not so yet, or nil.
---@param w sim.wanted
function M.unlike(w)
  local all = truth.pd_clusters(w.ns)
  local c = all[#all]
  local _, now = sim.wall()
  if w.frozen_until and now > w.frozen_until + 1000 and c and c.config.schedule["halt-scheduling"] == "true" then
    return "PD is still halted, long after the time that was given"
  end
  for _, g in ipairs(w.groups) do
    local component = g.kind == "PDGroup" and "pd" or "tikv"
    local why = not g.deleted and (setting(w, g, component, c) or size(w, g, component))
    if why then return why end
  end
end

return M
