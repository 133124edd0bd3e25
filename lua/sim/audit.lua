--- audit: the stores' own word on their data, for a model that is attached to a real API server.
-- Each second every region of every PD cluster is counted: less than half of its voters on living stores is
-- a violation. A claim that goes while its store is not removed from PD, or holds peers, is one too. The host
-- `audit` of the same listener answers: GET /?namespace=NAME tells, POST /forget drops what a person meant.
local pd = require "sim.pd"
local truth = require "sim.truth"

local M = {}
local EACH_MS = 1000
local lost, taken, counted, since = {}, {}, 0, {}
local judged = {} -- claims, by uid

local function alive(c, r)
  local n = 0
  for _, id in ipairs(r.peers) do
    if c:alive(id) then n = n + 1 end
  end
  return n
end

local function regions()
  local now = (sim.wall())
  for _, c in ipairs(pd.clusters) do
    for _, r in ipairs(c.regions or {}) do
      local key, n = c.id .. "/" .. r.id, alive(c, r)
      counted = counted + 1
      if n * 2 > #r.peers then
        since[key] = nil
      elseif not since[key] then
        since[key] = c
        lost[#lost + 1] = { cluster = c, text = ("%s region %s of PD cluster %s: %d of %d voters on living stores")
          :format(now, r.id, c.id, n, #r.peers) }
      end
    end
  end
  sim.after(EACH_MS, regions)
end

local function on_claim(event, claim)
  local uid = claim.metadata.uid
  if judged[uid] or event ~= "DELETED" and not claim.metadata.deletionTimestamp then return end
  judged[uid] = true
  local store, c = truth.store_on(claim)
  if not store then return end
  local _, peers = c:counts(store.id)
  if store.node_state ~= 3 or peers > 0 then
    taken[#taken + 1] = { cluster = c, text = ("%s claim %s/%s was deleted while store %s of PD cluster %s is not removed (%d peers)"):format(
      sim.wall(), claim.metadata.namespace, claim.metadata.name, store.id, c.id, peers) }
  end
end

local function texts(list, of)
  local out = sim.array {}
  for _, v in ipairs(list) do
    if not of or of[v.cluster] then out[#out + 1] = v.text end
  end
  return out
end

local function answer(request)
  if request.method == "POST" and request.path == "/forget" then
    lost = {}
    return 200, nil, {}
  end
  local of, open = nil, 0
  if request.query.namespace then
    of = {}
    for _, c in ipairs(truth.pd_clusters(request.query.namespace)) do of[c] = true end
  end
  for _, c in sim.pairs(since) do
    if not of or of[c] then open = open + 1 end
  end
  return 200, nil, { counted = counted, without_majority_now = open, lost_majority = texts(lost, of),
    claims_taken = texts(taken, of) }
end

function M.start()
  sim.serve("audit", answer)
  sim.watch("/api/v1/persistentvolumeclaims", on_claim)
  sim.after(EACH_MS, regions)
end

return M
