--- random: numbers that are the same in every run and on every machine, called like math.random.
return function(seed)
  local state = seed % 2147483646 + 1
  local function step()
    state = state * 16807 % 2147483647
    return state
  end
  for _ = 1, 10 do step() end
  return function(low, high)
    if not low then return (step() - 1) / 2147483646 end
    if not high then low, high = 1, low end
    return low + step() % (high - low + 1)
  end
end
