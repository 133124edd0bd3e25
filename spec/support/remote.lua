--- remote: requests to a real API server, for the conformance suites (#cluster).
-- CONFORMANCE_URL and CONFORMANCE_TOKEN say which server; curl carries the bytes.
local json = require "dkjson"

local M = { url = os.getenv "CONFORMANCE_URL", token = os.getenv "CONFORMANCE_TOKEN" }

---@return integer status
---@return any body decoded, nil when it is no JSON
---@return string text
function M.send(method, path, body, content_type, accept)
  local file = os.tmpname()
  local f = assert(io.open(file, "w"))
  f:write(body or "")
  f:close()
  local command = "env -u LD_PRELOAD curl -sk -m 20 -X %s -H 'Authorization: Bearer %s' -H 'Content-Type: %s' " ..
    "-H 'Accept: %s' -H 'User-Agent: spec/1' --data-binary @%s -w '\\n%%{http_code}' '%s%s'"
  local kind = "application/json"
  local pipe = assert(io.popen(command:format(method, M.token or "", content_type or kind, accept or kind, file,
    M.url, path)))
  local out = pipe:read "*a"
  pipe:close()
  os.remove(file)
  local text, status = out:match "^(.*)\n(%d+)$"
  return tonumber(status), json.decode(text or ""), text
end

return M
