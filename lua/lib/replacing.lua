--- replacing: how a store is replaced, and how that is taken back. A mark on the old instance says why; the
-- group then makes another one beside it; when that one serves, the old one gets spec.offline. Until the old
-- one is empty the mark may be taken away again: then one is too many, and the spare goes first.
local kube = require "lib.kube"
local placing = require "lib.placing"
local members = require "lib.members"
local shrinking = require "lib.shrinking"

local M = {}

M.UNDONE = members.UNDONE

---Instances that are being replaced and are still there.
---@param list member[]
---@return member[]
function M.marked(list)
  return members.where(list, function(m) return m.replaced and not m.deleting end)
end

---The spare of an instance, if it was made.
---@param list member[]
---@return member?
function M.spare(list, m)
  for _, s in ipairs(list) do
    if s.row.spare_for == m.row.uid then return s end
  end
end

---Uids of marked instances for which no spare was made yet, as many as new ones are wanted.
---@return string[]
function M.unspared(list, count)
  local out = {}
  for _, m in ipairs(M.marked(list)) do
    if #out < count and not M.spare(list, m) then out[#out + 1] = m.row.uid end
  end
  return out
end

---@param why string "failover", "destroyed", "volume": what it was marked for
function M.mark(p, m, why)
  p:patch_meta(kube.ref("TiKV", m.row), { annotations = { [kube.annotation.replace] = why } })
end

---It stays after all: the mark says so first, then the wish goes, then the mark. Apply and patch own an
---annotation apart, so that one write could not do it; a crash in between finds its way.
function M.undo(p, m)
  p:patch_meta(kube.ref("TiKV", m.row), { annotations = { [kube.annotation.replace] = M.UNDONE } })
end

-- The rest of undo.
local function called_back(w, p, m)
  if not m.row.offline then
    p:patch_meta(kube.ref("TiKV", m.row), { remove_annotations = { kube.annotation.replace } })
  elseif m.row.spec then
    p:apply(shrinking.respec(w, m, false))
  end
end

-- Its spare serves; or nothing takes its place, because fewer are wanted by now.
local function replaced(list, m, wanted)
  local s = M.spare(list, m)
  if s and not s.leaving then return s.ready and (s.row.id or "") ~= "" end
  return #members.live(list) >= wanted
end

-- What keeps the new one from serving: where it stands, in its own words.
local function of_spare(list, m)
  local s = M.spare(list, m)
  if not s then return nil, "another instance serves before it goes" end
  return s, ("%s takes its place: %s"):format(s.name, s.row.message ~= "" and s.row.message or s.row.phase or "new")
end

---Step: one whose mark was taken back stays; an old one goes when the one that takes its place serves.
---@param wanted integer
function M.step(w, p, list, wanted)
  local back
  for _, m in ipairs(list) do
    if m.row.replace == M.UNDONE and not m.deleting then
      called_back(w, p, m)
      back = m.name
    end
  end
  -- what is decided of it in this pass would carry the mark on
  if back then return p:retry(1, "Replacing", "%s stays after all", back) end
  for _, m in ipairs(M.marked(list)) do
    if p:full() then return end
    if not m.row.offline and m.row.phase ~= "Removed" and m.row.spec and replaced(list, m, wanted) then
      p:apply(shrinking.respec(w, m, true))
      p:event("Normal", "ReplacementServes", "%s leaves: its place is taken", m.name)
    end
  end
end

---What is told of it, of the first that is not done.
---@return verdict?
function M.told(_, p, list)
  local marked = M.marked(list)
  local m = marked[1]
  if not m then return end
  if m.row.offline then
    return p:wait("Replacing", "%s is replaced (%s) and leaves: %s", m.name, m.row.replace,
      m.row.message or m.row.phase or "not looked at yet"):progress { done = 0, total = #marked }
  end
  local spare, text_of = of_spare(list, m)
  if spare and placing.waits(spare.row.reason) then
    return p:wait("NoPlaceForSpare", "%s is replaced (%s); %s", m.name, m.row.replace, text_of)
  end
  return p:wait("Replacing", "%s is replaced (%s); %s", m.name, m.row.replace, text_of)
    :progress { done = 0, total = #marked }
end

return M
