--- gc: deletes objects whose owners are all gone, as kube-controller-manager does.
-- An owner is gone when no object of that kind, name and uid exists; an owner that can not be looked
-- up (unknown kind) counts as there. Also empties namespaces that are being deleted.
local M = { delay_ms = 50 }

local OWNED = {
  "/api/v1/pods", "/api/v1/configmaps", "/api/v1/services", "/api/v1/persistentvolumeclaims",
  "/apis/apps/v1/controllerrevisions", "/apis/policy/v1/poddisruptionbudgets", "/apis/batch/v1/jobs",
  "/apis/core.tikv.org/v1alpha1/pds", "/apis/core.tikv.org/v1alpha1/tikvs",
  "/apis/core.tikv.org/v1alpha1/pdgroups", "/apis/core.tikv.org/v1alpha1/tikvgroups",
}
local objects = {} -- uid -> { path, ns, name, owners }
local alive = {}   -- uid -> true
local timer

local function object_path(collection, o)
  local head, plural = collection:match "^(.*)/([^/]+)$"
  return ("%s/namespaces/%s/%s/%s"):format(head, o.metadata.namespace, plural, o.metadata.name)
end

local function sweep()
  timer = nil
  for uid, o in sim.pairs(objects) do
    local orphan = #o.owners > 0
    for _, owner in ipairs(o.owners) do
      if alive[owner] ~= false then orphan = false end
    end
    if orphan then
      sim.request("DELETE", o.path, { kind = "DeleteOptions", apiVersion = "v1", preconditions = { uid = uid } })
    end
  end
end

function M.start()
  for _, collection in ipairs(OWNED) do
    sim.watch(collection, function(event, o)
      local uid = o.metadata.uid
      if event == "DELETED" then
        objects[uid] = nil
        alive[uid] = false
        if not timer then timer = sim.after(M.delay_ms * sim.choose(3, "gc.delay"), sweep) end
        return
      end
      alive[uid] = true
      local owners = {}
      for _, r in ipairs(o.metadata.ownerReferences or {}) do owners[#owners + 1] = r.uid end
      objects[uid] = { path = object_path(collection, o), owners = owners }
      -- one that comes late, when its owner is gone already
      for _, owner in ipairs(owners) do
        if alive[owner] == false and not timer then timer = sim.after(M.delay_ms, sweep) end
      end
    end)
  end
  sim.watch("/apis/core.tikv.org/v1alpha1/clusters", function(event, o)
    alive[o.metadata.uid] = event ~= "DELETED"
    if event == "DELETED" and not timer then timer = sim.after(M.delay_ms, sweep) end
  end)
end

return M
