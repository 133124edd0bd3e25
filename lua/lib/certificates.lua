--- certificates: the Secrets that a pod mounts for TLS, and what they must hold before it is made.
local M = {}

---@param i instance
---@return string ca name of the Secret with ca.crt
---@return string pair name of the Secret with tls.crt and tls.key
function M.names(i)
  local default = ("%s-%s-cluster-secret"):format(i.group, i.component)
  local s = i.spec.security and i.spec.security.tls and i.spec.security.tls.cluster or {}
  return s.ca and s.ca.name or default, s.certKeyPair and s.certKeyPair.name or default
end

---They are looked up only while a pod may have to be made.
function M.needs(object, i, out)
  if (object.status or {}).phase == "Serving" then return end
  local ca, pair = M.names(i)
  out[#out + 1] = { as = "secrets", secrets = json.array(ca == pair and { ca } or { ca, pair }), of = i.cluster }
end

---@return string? what a pod lacks to start; nil: nothing, or it can not be known
---@return boolean? soon it is being looked up
function M.lacking(w, i)
  if not i.tls or not w.secrets then return end
  local ca, pair = M.names(i)
  for _, want in ipairs { { ca, "ca.crt" }, { pair, "tls.crt" }, { pair, "tls.key" } } do
    local s = w.secrets[want[1]] or {}
    if not s.known and not s.reason then return "Secret " .. want[1] .. " is being looked up", true end
    if s.known and not s.there then return ("Secret %s does not exist"):format(want[1]) end
    local has = not s.known
    for _, k in ipairs(s.keys or {}) do has = has or k == want[2] end
    if not has then return ("Secret %s has no %s"):format(want[1], want[2]) end
  end
end

return M
