--- rights: prints every (verb, resource) that rbac.yaml grants and the audit log never saw.
-- Reads only the shape in which rbac.yaml is written: rules with one-line lists.
local audit, rbac = arg[1], arg[2]
-- Used only when an Event comes again within ten minutes, when a creation meets an object that is there, and
-- while a quota may be why a pod is refused: no scenario waits for these.
local RARE = { ["patch /events"] = true, ["get /services"] = true, ["get apps/controllerrevisions"] = true,
  ["list /resourcequotas"] = true, ["watch /resourcequotas"] = true }
local used = {}
for line in io.lines(audit) do
  if line:find('"username":"system:serviceaccount:tikv-system:tikv-operator"', 1, true) then
    local verb = line:match '"verb":"(%l+)"'
    local object = line:match '"objectRef":(%b{})'
    if verb and object then
      local group = object:match '"apiGroup":"([^"]*)"' or ""
      local resource = object:match '"resource":"([^"]*)"' or ""
      local sub = object:match '"subresource":"([^"]*)"'
      used[("%s %s/%s"):format(verb, group, sub and resource .. "/" .. sub or resource)] = true
      -- A streaming list is audited as a watch; servers that do not offer it are listed.
      if verb == "watch" then used[("list %s/%s"):format(group, resource)] = true end
      -- Server-side apply of a new object is authorised as create too.
      if verb == "patch" and line:find('"code":201', 1, true) then
        used[("create %s/%s"):format(group, resource)] = true
      end
    end
  end
end

local function items(line)
  local out = {}
  for item in line:match("%[(.-)%]"):gmatch "[^,%s]+" do out[#out + 1] = (item:gsub('"', "")) end
  return out
end

local groups, resources
for line in io.lines(rbac) do
  if line:find "apiGroups:" then groups = items(line)
  elseif line:find "resources:" then resources = items(line)
  elseif line:find "verbs:" then
    for _, verb in ipairs(items(line)) do
      for _, resource in ipairs(resources) do
        local right = ("%s %s/%s"):format(verb, groups[1] or "", resource)
        if not used[right] and not RARE[right] then print("granted and never used: " .. right) end
      end
    end
  end
end
