--- budget: one PodDisruptionBudget per component and Cluster: what a node drain may take away.
-- minAvailable is a number, because a percentage of pods says nothing of quorum. It closes while a
-- loss would hurt: PD unknown, or stores already not serving.
local kube = require "lib.kube"

local M = {}

---Fields of budgets that the Cluster looks at.
M.FIELDS = {
  name = "metadata.name", uid = "metadata.uid", rv = "metadata.resourceVersion",
  deleting = "metadata.deletionTimestamp", applied = kube.path_annotation(kube.annotation.applied),
  min = "spec.minAvailable", owners = "metadata.ownerReferences",
}

local function total(groups)
  local n = 0
  for _, g in ipairs(groups) do
    n = n + math.max(tonumber(g.replicas) or 1, tonumber(g.has) or 0)
  end
  return n
end

local function enabled(g) return g.budget ~= false end

-- Stores that PD says are not serving now; nil while PD is unknown.
local function away(w)
  if not (w.pd and w.pd.known) then return nil end
  local c = w.pd.counts or {}
  return (c.Disconnected or 0) + (c.Down or 0)
end

---How many pods of a component must stay. Before PD was ever seen there is nothing to protect.
function M.min_available(w, component, groups)
  local n = total(groups)
  if component == "pd" then return math.max(n - 1, 0) end
  local spare = tonumber(w.object.spec.disruption and w.object.spec.disruption.maxUnavailableStores) or 1
  local founded = w.object.status and (w.object.status.id or "") ~= ""
  if founded then
    local gone = away(w)
    spare = gone and math.max(spare - gone, 0) or 0
  end
  return math.max(n - spare, 0)
end

---@return table? nil when there is nothing to guard or nobody wants it
function M.build(w, component, groups)
  local wanted, without = {}, {}
  for _, g in ipairs(groups) do
    if enabled(g) then wanted[#wanted + 1] = g else without[#without + 1] = g.name end
  end
  if not wanted[1] then return nil end
  local o = w.object
  local b = kube.object("PodDisruptionBudget", o.metadata.namespace, kube.budget_name(o.metadata.name, component),
    kube.labels(o.metadata.name, component))
  b.spec = {
    minAvailable = M.min_available(w, component, wanted),
    unhealthyPodEvictionPolicy = "AlwaysAllow",
    selector = { matchLabels = kube.selector(o.metadata.name, component) },
  }
  if without[1] then
    b.spec.selector.matchExpressions = { { key = kube.label.group, operator = "NotIn", values = without } }
  end
  return kube.own(b, o)
end

function M.needs(cluster)
  local out = {}
  for n, component in ipairs { "pd", "tikv" } do
    out[n] = { as = component .. "_budget", kind = "PodDisruptionBudget",
      name = kube.budget_name(cluster.metadata.name, component), fields = M.FIELDS }
  end
  return out
end

---Step: the budget of one component is as it should be.
function M.sync(w, p, component, groups)
  local row, want = w[component .. "_budget"], M.build(w, component, groups)
  local mine = row and kube.owned_by(row.owners, w.object.metadata.uid)
  if row and row.deleting then return end
  if row and not mine then
    p:note("ForeignObject", "PodDisruptionBudget %s is not ours", row.name)
  elseif not want then
    if row then p:delete(kube.ref("PodDisruptionBudget", row), "no group wants it") end
  else
    local live = row and { metadata = { uid = row.uid, annotations = { [kube.annotation.applied] = row.applied } } }
    local h = hash.safe(json.encode(want, true))
    if not live or row.applied ~= h or tonumber(row.min) ~= want.spec.minAvailable then
      want.metadata.annotations[kube.annotation.applied] = h
      want.metadata.uid = row and row.uid
      p:apply(want)
    end
  end
end

return M
