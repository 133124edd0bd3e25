-- The cases against a real API server: CONFORMANCE_URL and CONFORMANCE_TOKEN say which (#cluster).
local json = require "dkjson"
local cases = require "spec.conformance.cases"
local url, token = os.getenv "CONFORMANCE_URL", os.getenv "CONFORMANCE_TOKEN"

local function send(method, path, body, content_type, accept)
  local file = os.tmpname()
  local f = assert(io.open(file, "w"))
  f:write(body or "")
  f:close()
  local command = "env -u LD_PRELOAD curl -sk -m 20 -X %s -H 'Authorization: Bearer %s' -H 'Content-Type: %s' " ..
    "-H 'Accept: %s' -H 'User-Agent: spec/1' --data-binary @%s -w '\\n%%{http_code}' '%s%s'"
  local json_type = "application/json"
  local pipe = assert(io.popen(command:format(method, token or "", content_type or json_type, accept or json_type,
    file, url, path)))
  local out = pipe:read "*a"
  pipe:close()
  os.remove(file)
  local text, status = out:match "^(.*)\n(%d+)$"
  return tonumber(status), json.decode(text or ""), text
end

describe("conformance of a real API server #cluster", function()
  if not url then
    pending "CONFORMANCE_URL is not set"
    return
  end
  setup(function()
    send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", cases.crd)
    os.execute "sleep 2"
  end)
  for i, case in ipairs(cases.cases) do
    it(case.name, function()
      local ns = ("conf-%d-%d"):format(os.time() % 100000, i)
      assert.equal(201, (send("POST", "/api/v1/namespaces", '{"metadata":{"name":"' .. ns .. '"}}')))
      assert.is_nil(cases.run(case, ns, send))
    end)
  end
end)
