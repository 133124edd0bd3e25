--- member: which member of PD an instance is. The name finds it; the id, once recorded, is what counts.
local kube = require "lib.kube"
local pvc = require "lib.pvc"
local diagnosis = require "lib.diagnosis"

local M = {}

---The id is recorded when PD was seen to call the member healthy: a founder that is only listed has
---never started, and must still start with the founding list.
---@param i instance
---@return string id "" when none is known
---@return table? found the member, only while PD is known
---@return string? other id that PD has under our name instead
function M.identify(w, i)
  local status = i.object.status or {}
  local id = status.id or ""
  if id == "" then id = pvc.recorded(w, i) or "" end
  local pd = w.pd
  if not (pd and pd.known) or pd.history then return id, nil end
  local recorded = w.cluster and w.cluster.id or ""
  if recorded ~= "" and pd.cluster_id ~= recorded then return id, nil end
  local m = pd.member
  if not m or m.name ~= i.pod then return id, nil end
  if id == "" then return m.healthy == true and m.id or "", m end
  if m.id == id then return id, m end
  return id, nil, m.id
end

---Its file says so already: it was written while PD had no leader.
function M.told_alone(w)
  local file = w.configmap and (w.configmap.data or {})["config.toml"] or ""
  return file:find("\nforce-new-cluster = true", 1, true) ~= nil or file:find("^force%-new%-cluster = true") ~= nil
end

---A person's word that this member goes on alone, after a majority of disks was lost (tikv-operator recover pd).
---It names the member, and begins to count while PD has no leader.
function M.alone(w, id)
  local word = (w.object.metadata.annotations or {})[kube.annotation.force_new]
  if word == nil or id == "" or word ~= id then return false end
  return M.told_alone(w) or not (w.pd and w.pd.known and w.pd.leader)
end

---It leads alone, or all was well without: the word is spent, a later start must not push others out. What PD
---said a moment ago is no sign: its majority may have been lost since.
function M.spent(w, p, i, found)
  if not (w.object.metadata.annotations or {})[kube.annotation.force_new] then return end
  if not (w.pd and w.pd.known and w.pd.leader and found and found.healthy) then return end
  local made = w.pod and time.parse(w.pod.created or "")
  local led = M.told_alone(w) and w.pod and w.pod.ready == "True" and not w.pod.deleting
  if not led and not (w.pd.settled and made and w.now - made > 300) then return end
  p:patch_meta(kube.ref("PD", w.object), { remove_annotations = { kube.annotation.force_new } })
  p:event("Warning", "PDRecovered", "%s leads PD alone, by a person's word; lost members are replaced", i.name)
end

---The pod is ready but PD does not call the member healthy yet: at first that is still a start.
function M.unseen(w, p, i)
  local made = time.parse(w.pod.created or "")
  local age = made and w.now - made or 0
  if age < diagnosis.PATIENCE then
    return p:retry(math.max(1, diagnosis.PATIENCE - age), "Starting", "pod %s is starting", i.pod)
  end
  if not (w.pd and w.pd.known) then
    return p:wait("PDUnknown", "the member can not be looked up: %s",
      tostring(w.pd and w.pd.reason or "PD was not asked yet"))
  end
  return p:wait("NotAMember", "PD does not list %s as healthy", i.pod)
end

return M
