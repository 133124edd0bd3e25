--- tikv: one store: its claims, config map and pod, and its identity in PD.
local config = require "lib.config"
local deletion = require "lib.deletion"
local instance = require "lib.instance"
local lifecycle = require "lib.lifecycle"
local offline = require "lib.offline"
local online = require "lib.online"
local pvc = require "lib.pvc"
local report = require "lib.report_instance"
local restart = require "lib.restart_store"
local resizing = require "lib.resizing"
local store = require "lib.store"

local C = {
  name = "tikv", api = 1, kind = "TiKV", owns = { "Pod", "ConfigMap", "PersistentVolumeClaim" },
  essential = { "claims", "pod", "configmap" },
  steps = { "delete", "cluster", "paused", "finalizer", "leave", "claims", "config", "suspended", "pod", "resize",
    "restart", "ready", "registered", "volumes", "labels", "online", "leaders", "resized" },
}

function C.needs(object)
  local out, i = instance.needs(object, pvc.FIELDS)
  local status = object.status or {}
  out[#out + 1] = { as = "pd", pd = i.cluster, stores = "none", address = i.address, fresh = 30,
    wake = json.array(offline.wake(object, { "store", "figures", "config" })),
    store = (status.id or "") ~= "" and status.id or nil }
  offline.needs(object, i, out)
  online.needs_tikv(object, out)
  restart.needs(object, i, out)
  store.needs(object, i, out)
  return out
end

-- The facts of one object, and the store that PD has for it.
local function facts(w)
  local f = w.facts
  if not f then
    f = { i = instance.of(w, w.object) }
    f.id, f.found, f.other = store.identify(w, f.i)
    w.facts = f
  end
  return f.i, f.id, f.found, f.other
end

function C.delete(w, p)
  local i, _, found = facts(w)
  return deletion.instance(w, p, i, found)
end

C.cluster, C.paused, C.finalizer = lifecycle.cluster, lifecycle.paused, lifecycle.finalizer

-- What leaves goes on being served until PD has removed it, whatever its leaving waits for.
function C.leave(w, p)
  local i, id, found = facts(w)
  if not offline.asked(w, found) then return offline.step(w, p, i, id, found) end
  local suspended = C.suspended(w, p)
  if suspended then return suspended end
  local leaving = offline.step(w, p, i, id, found)
  if not offline.next(w, i, id, found).removed then lifecycle.keep(w, p, C, { "config", "pod" }) end
  return leaving
end

function C.claims(w, p)
  local i, id = facts(w)
  return pvc.sync(w, p, i, lifecycle.ids(w, id))
end

function C.config(w, p)
  local i = facts(w)
  local pd = w.cluster.pd or ""
  if pd == "" then return p:wait("WaitingForURL", "Cluster %s has no PD address yet", i.cluster) end
  if not (w.configmap and config.stands(i, pd, w.configmap)) then
    return lifecycle.config(w, p, i, pd, config.tikv(i, pd))
  end
end

function C.suspended(w, p) return lifecycle.suspend(w, p, (facts(w))) end

function C.pod(w, p)
  local i, _, found = facts(w)
  if w.pod and w.pod.deleting then restart.stopping(w, p, i, found) end
  return lifecycle.pod(w, p, i)
end


-- A restart that waits holds up nothing else.
function C.restart(w, p)
  local i, id, found = facts(w)
  local verdict = restart.step(w, p, i, id, found)
  if verdict then lifecycle.keep(w, p, C, { "volumes", "labels" }) end
  return verdict
end

function C.resize(w, p) return resizing.step(w, p, (facts(w))) end
function C.ready(w, p) return lifecycle.ready(w, p, (facts(w))) end

-- Only a start waits for PD: a store that is known goes on being served while PD is away.
function C.registered(w, p)
  local i, id, found, other = facts(w)
  if other then
    return p:wait("StoreIdentity", "PD has store %s at %s, recorded is %s", other, i.address, id)
  end
  if id == "" then
    p:watch_pd()
    return store.unregistered(w, p, i)
  end
  if found and not store.heard(w, found) then
    p:watch_pd()
    return p:retry(1, "Starting", "PD has not heard of store %s since its pod was made", id)
  end
  if found and found.state ~= "Up" then
    return p:wait("StoreNotUp", "PD calls store %s %s", id, tostring(found.state))
  end
end

function C.leaders(w, p)
  local i, id, found = facts(w)
  return restart.leaders(w, p, i, id, found)
end

function C.volumes(w, p)
  local i, id = facts(w)
  return lifecycle.volumes(w, p, i, lifecycle.ids(w, id))
end

function C.labels(w, p)
  local i, _, found = facts(w)
  if found and found.state == "Up" then return store.labels(w, p, i, found) end
end

C.online = online.tikv

function C.resized(w, p) return resizing.told(w, p, (facts(w))) end

function C.status(w, t)
  local i, id, found = facts(w)
  return report.tikv(w, t, i, id, found)
end

return C
