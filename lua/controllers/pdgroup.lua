--- pdgroup: founds PD once, lets members join one at a time, keeps services and revisions.
local kube = require "lib.kube"
local bootstrap = require "lib.bootstrap"
local deletion = require "lib.deletion"
local group = require "lib.group"
local lost_member = require "lib.lost_member"
local moving = require "lib.moving"
local online = require "lib.online"
local report = require "lib.report_group"
local scaling = require "lib.scaling"
local shrinking = require "lib.shrinking"
local upgrade = require "lib.upgrade"

local C = {
  name = "pdgroup", api = 1, kind = "PDGroup", owns = { "PD", "Service", "ControllerRevision" },
  essential = { "rows", "claims", "revisions", "siblings" },
  steps = { "delete", "cluster", "paused", "finalizer", "services", "revision", "suspended", "config", "heal",
    "failover", "grow", "founded", "shrink", "move", "in_place", "online", "scaled", "repair", "update", "moved",
    "settle" },
}

-- Until PD is founded every claim of the cluster matters: any may forbid it. Later only our own.
function C.needs(object)
  local claims = { kube.label.group, object.metadata.name }
  if not object.spec.bootstrapped then claims = { kube.label.cluster, object.spec.cluster.name } end
  local wake = { "leader", "members", "settings" }
  if object.metadata.deletionTimestamp then wake[4] = "counts" end
  return group.needs(object, claims, "none", wake, online.needs_pd(object))
end

C.delete, C.cluster, C.paused = deletion.group, group.cluster, group.paused
C.finalizer, C.services, C.revision, C.suspended = group.finalizer, group.services, group.revision, group.suspend
C.config = group.config

function C.failover(w, p)
  local _, list = group.view(w)
  return lost_member.step(w, p, list)
end

-- What is said of it waits until all else had its turn.
function C.repair(w, p)
  local _, list = group.view(w)
  return lost_member.told(w, p, list)
end

function C.grow(w, p)
  local _, list = group.view(w)
  return scaling.pd(w, p, list)
end

-- From here on members join; spec.replicas may change. The founders' own files change one by one.
function C.founded(w, p)
  local o = w.object
  if o.spec.bootstrapped then return end
  if not bootstrap.done(w) then
    p:watch_pd()
    return p:wait("Founding", "%d members found PD together; it does not answer yet", #w.rows)
  end
  p:apply { apiVersion = kube.API, kind = o.kind,
    metadata = { name = o.metadata.name, namespace = o.metadata.namespace, uid = o.metadata.uid },
    spec = { bootstrapped = true } }
  -- the object is another one after this: what else there is to do is decided anew
  return p:wait("Founding", "PD is founded, cluster id %s", w.pd.cluster_id)
end

function C.shrink(w, p)
  local _, list = group.view(w)
  return shrinking.pd(w, p, list, scaling.wanted(w.object))
end

function C.heal(w, p)
  local rev, list = group.view(w)
  return upgrade.heal(w, p, list, rev)
end

function C.move(w, p)
  local _, list = group.view(w)
  return moving.step(w, p, list)
end

function C.moved(w, p)
  local _, list = group.view(w)
  return moving.told(w, p, list)
end

function C.in_place(w, p)
  local _, list = group.view(w)
  return scaling.in_place(w, p, list)
end

function C.update(w, p)
  local rev, list = group.view(w)
  return upgrade.step(w, p, list, rev)
end

C.scaled = group.scaled

-- What PD keeps itself is changed through its API, whatever the update strategy.
function C.online(w, p)
  local _, list = group.view(w)
  return online.pd(w, p, list)
end

C.settle = group.settle
C.status = report.of

return C
