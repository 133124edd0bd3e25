--- version_order: which change of version may begin: PD first on the way up, TiKV first on the way back.
-- Versions are those of templates and of what groups have finished (status.version). upgradePolicy
-- NoConstraints lifts all of it.
local M = {}

---What a group needs to see for it: the groups of the other kind.
function M.needs(group)
  local kind = group.kind == "PDGroup" and "TiKVGroup" or "PDGroup"
  return { as = "others", kind = kind, cluster = group.spec.cluster.name, fields = {
    name = "metadata.name", deleting = "metadata.deletionTimestamp", version = "status.version",
    wanted = "spec.template.spec.version", replicas = "spec.replicas",
    synced = "status.conditions[type=Synced].status" } }
end

-- Major and minor of "v8.5.2".
local function parts(version)
  local major, minor = version:match "^v?(%d+)%.(%d+)"
  return tonumber(major), tonumber(minor)
end

---@return string? reason
---@return string? why
local function jump(from, to)
  local a, b = parts(from), parts(to)
  if a and b and math.abs(b - a) > 1 then
    return "VersionRefused", ("%s to %s skips a major version: go to one of v%d first"):format(from, to,
      b > a and a + 1 or a - 1)
  end
end

-- A store may not be older than what PD has recorded for all stores, patch releases aside.
local function too_old(w, to)
  local recorded = w.pd and w.pd.known and (w.pd.replication or {}).cluster_version
  if not recorded then return end
  local major, minor = parts(recorded)
  local a, b = parts(to)
  if not (major and a) then return end
  if a < major or a == major and b < minor then
    return "VersionRefused", ("PD has recorded cluster version %s: %s is below it and stores of it would be refused")
      :format(recorded, to)
  end
end

-- Why another group has to come first; half of its instances may run what it is on the way to.
local function not_there(g, to, up)
  for _, version in ipairs { g.version or "", g.wanted or "" } do
    local order = semver.compare(version, to)
    if order and (up and order < 0 or not up and order > 0) then
      return ("%s has version %s"):format(g.name, version)
    end
  end
  if not up and g.synced ~= "True" then return g.name .. " is not finished" end
end

-- PD is never older than TiKV: up, PD is finished first; back, TiKV is.
local function others_first(w, to, up)
  local pd = w.object.kind == "PDGroup"
  if pd == up then return end
  for _, g in ipairs(w.others or {}) do
    local why = not g.deleting and (g.version or "") ~= "" and not_there(g, to, up)
    if why then
      return "VersionOrder", ("%s %s; it goes to %s first"):format(pd and "TiKVGroup" or "PDGroup", why, to)
    end
  end
end

---Why the version of the template may not reach the instances now.
---@return string? reason
---@return string? why
function M.held(w)
  local from, to = (w.object.status or {}).version, w.object.spec.template.spec.version
  if not from or from == "" or from == to or w.cluster.upgrade_policy == "NoConstraints" then return end
  local order = semver.compare(from, to)
  if not order then return "VersionRefused", ("spec.template.spec.version %q is no version"):format(to) end
  local reason, why = jump(from, to)
  if reason then return reason, why end
  if order > 0 then
    reason, why = too_old(w, to)
    if reason then return reason, why end
  end
  return others_first(w, to, order < 0)
end

return M
