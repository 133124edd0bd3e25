--- pd_unsafe: online unsafe recovery: stores are given up at once, and their regions go on with what is left.
-- Part of pd.Cluster. Scheduling is halted until the end; each stage is a record of the show list.
local J = require "sim.pd_json"

local Cluster = {}

local STAGE = 700 -- milliseconds

local function record(self, info, details)
  local list = self.unsafe.records
  list[#list + 1] = J.object("info", info, "time", sim.wall(), "details", J.list(details or {}))
end

function Cluster:unsafe_running() return self.unsafe ~= nil and not self.unsafe.over end

--- Peers on stores that were given up go; a region without any copy begins empty on the first living store.
local function rescue(self, gone)
  local lost, up = 0, nil
  for id in sim.pairs(self.stores) do
    if not up and not gone[id] and self:alive(id) then up = id end
  end
  for _, r in ipairs(self.regions) do
    local peers = {}
    for _, id in ipairs(r.peers) do peers[#peers + 1] = id end
    for _, id in ipairs(peers) do
      if gone[id] and #r.peers > 1 then self:unplace(r, id) end
    end
    if gone[r.peers[1]] and up then
      lost = lost + 1
      self:place(r, up)
      self:unplace(r, r.peers[1])
      r.young = true
    end
    if not self:has(r.peers, r.leader) then self:lead_region(r, r.peers[1]) end
  end
  return lost
end

--- Returns nothing; refusals were answered before.
function Cluster:recover_unsafely(ids)
  local gone = {}
  self.unsafe = { records = {} }
  for _, id in ipairs(ids) do
    gone[id] = true
    self:bury(self.stores[id])
  end
  record(self, "Unsafe recovery enters collect report stage")
  self:later(STAGE, function()
    record(self, "Unsafe recovery enters force leader stage")
    self:later(STAGE, function()
      local lost = rescue(self, gone)
      record(self, "Unsafe recovery enters demote failed voter stage")
      self:later(STAGE, function()
        self.unsafe.over = true
        record(self, "Unsafe recovery Finished", { ("%d regions were made empty"):format(lost) })
        self:elect_region_leaders()
        self:wake()
      end, true)
    end, true)
  end, true)
end

return { methods = Cluster }
