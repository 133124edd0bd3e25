-- The cases against a real API server: CONFORMANCE_URL and CONFORMANCE_TOKEN say which (#cluster).
local cases = require "spec.conformance.cases"
local remote = require "spec.support.remote"
local url, send = remote.url, remote.send

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
