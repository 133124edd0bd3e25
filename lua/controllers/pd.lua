--- pd: one PD member: its claims, config map and pod, and its identity in PD.
local kube = require "lib.kube"
local config = require "lib.config"
local bootstrap = require "lib.bootstrap"
local deletion = require "lib.deletion"
local instance = require "lib.instance"
local lifecycle = require "lib.lifecycle"
local member = require "lib.member"
local pvc = require "lib.pvc"
local resign = require "lib.resign"
local restart = require "lib.restart_member"
local report = require "lib.report_instance"
local resizing = require "lib.resizing"

local C = {
  name = "pd", api = 1, kind = "PD", owns = { "Pod", "ConfigMap", "PersistentVolumeClaim" },
  essential = { "claims", "pod", "configmap" },
  steps = { "delete", "cluster", "paused", "finalizer", "leave", "claims", "config", "suspended", "pod", "resize",
    "restart", "ready", "joined", "volumes", "resized" },
}

function C.needs(object)
  local out, i = instance.needs(object, pvc.FIELDS)
  out[#out + 1] = { as = "pd", pd = i.cluster, stores = "none", member = i.pod, fresh = 30 }
  resign.needs(object, i, out)
  restart.needs(object, i, out)
  return out
end

local function facts(w)
  local f = w.facts
  if not f then
    f = { i = instance.of(w, w.object) }
    f.id, f.found, f.other = member.identify(w, f.i)
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
  if not resign.asked(w) then return end
  local i, id = facts(w)
  local suspended = C.suspended(w, p)
  if suspended then return suspended end
  local leaving = resign.step(w, p, i, id)
  if not resign.next(w, i, id).removed then lifecycle.keep(w, p, C, { "config", "pod" }) end
  return leaving
end

function C.claims(w, p)
  local i, id = facts(w)
  return pvc.sync(w, p, i, lifecycle.ids(w, id))
end

function C.config(w, p)
  local i, id = facts(w)
  local recorded, cluster_id = pvc.recorded(w, i)
  local start = bootstrap.start(w, i, recorded or cluster_id)
  if start then start.alone = member.alone(w, id) or nil end
  -- a pod that was made before the file says so would never read it
  local early = start and start.alone and not member.told_alone(w) and w.pod
  if early and not early.deleting and early.ready ~= "True" and lifecycle.my_pod(w, i) then
    p:delete(kube.ref("Pod", early), "it goes on alone, by a person's word")
  end
  if not start then return p:wait("WaitingForURL", "Cluster %s has no PD address to join yet", i.cluster) end
  return lifecycle.config(w, p, i, nil, config.pd(i, start))
end

function C.suspended(w, p) return lifecycle.suspend(w, p, (facts(w))) end
function C.pod(w, p) return lifecycle.pod(w, p, (facts(w))) end

-- A restart that waits holds up nothing else.
function C.restart(w, p)
  local i, id, found = facts(w)
  local verdict = restart.step(w, p, i, id, found)
  if verdict then lifecycle.keep(w, p, C, { "volumes" }) end
  return verdict
end

function C.resize(w, p) return resizing.step(w, p, (facts(w))) end
function C.ready(w, p) return lifecycle.ready(w, p, (facts(w))) end

function C.joined(w, p)
  local i, id, found, other = facts(w)
  member.spent(w, p, i, found)
  if other then
    return p:wait("StoreIdentity", "PD has member %s under the name %s, recorded is %s", other, i.pod, id)
  end
  if id == "" then
    p:watch_pd()
    return member.unseen(w, p, i)
  end
  if found and found.healthy == false then
    p:watch_pd()
    return p:wait("MemberUnhealthy", "PD says member %s is not healthy", i.pod)
  end
end

function C.volumes(w, p)
  local i, id = facts(w)
  return lifecycle.volumes(w, p, i, lifecycle.ids(w, id))
end

function C.resized(w, p) return resizing.told(w, p, (facts(w))) end

function C.status(w, t)
  local i, id, found = facts(w)
  return report.pd(w, t, i, id, found)
end

return C
