--- tikvgroup: adds stores, many at once, keeps the service and revisions.
local kube = require "lib.kube"
local deletion = require "lib.deletion"
local failover = require "lib.failover"
local group = require "lib.group"
local moving = require "lib.moving"
local replacing = require "lib.replacing"
local report = require "lib.report_group"
local scaling = require "lib.scaling"
local shrinking = require "lib.shrinking"
local upgrade = require "lib.upgrade"

local C = {
  name = "tikvgroup", api = 1, kind = "TiKVGroup", owns = { "TiKV", "Service", "ControllerRevision" },
  essential = { "rows", "claims", "revisions" },
  steps = { "delete", "cluster", "paused", "finalizer", "services", "revision", "suspended", "config", "heal",
    "removed", "failover", "move", "replace", "grow", "shrink", "in_place", "scaled", "repair", "update", "moved",
    "settle" },
}

function C.needs(object)
  return group.needs(object, { kube.label.group, object.metadata.name }, "all",
    object.metadata.deletionTimestamp and { "counts" } or {})
end

C.delete, C.cluster, C.paused = deletion.group, group.cluster, group.paused
C.finalizer, C.services, C.revision, C.suspended = group.finalizer, group.services, group.revision, group.suspend
C.config = group.config

C.removed = group.removed

function C.failover(w, p)
  local _, list = group.view(w)
  return failover.stores(w, p, list)
end

function C.move(w, p)
  local _, list = group.view(w)
  return moving.step(w, p, list)
end

function C.replace(w, p)
  local _, list = group.view(w)
  return replacing.step(w, p, list, scaling.wanted(w.object))
end

-- What is said of it waits until all else had its turn.
function C.repair(w, p)
  local _, list = group.view(w)
  return replacing.told(w, p, list) or failover.told(w, p, list)
end

function C.moved(w, p)
  local _, list = group.view(w)
  return moving.told(w, p, list)
end

function C.grow(w, p)
  local _, list = group.view(w)
  return scaling.tikv(w, p, list)
end

function C.shrink(w, p)
  local _, list = group.view(w)
  return shrinking.tikv(w, p, list, scaling.wanted(w.object))
end

function C.heal(w, p)
  local rev, list = group.view(w)
  return upgrade.heal(w, p, list, rev)
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
C.settle = group.settle
C.status = report.of

return C
