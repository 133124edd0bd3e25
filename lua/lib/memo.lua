--- memo: what was found to be in order, so that the same input is not worked out again.
-- The only memory from one pass to the next, and of pure results alone: without it all plans are the
-- same, later.
local M = {}

local MAX = 20000 -- entries; then it starts anew

local seen, count = {}, 0

---@param key string what was looked at
---@param input string all that the result depends on
function M.known(key, input) return seen[key] == input end

function M.note(key, input)
  if seen[key] == nil then
    count = count + 1
    if count > MAX then seen, count = {}, 1 end
  end
  seen[key] = input
end

return M
