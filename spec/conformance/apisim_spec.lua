-- Runs spec/conformance/cases.lua against the simulated API server. The same table is for a real one:
-- a runner there gives cases.run() a `send` made of a base URL and a token, and creates cases.crd
-- and one namespace per case first, as below.
local sim = require "spec.support.apisim"
local cases = require "spec.conformance.cases"

describe("conformance of the simulated API server", function()
  for i, case in ipairs(cases.cases) do
    it(case.name, function()
      local s = sim.new()
      local function send(...) return s:send(...) end
      local ns = "conf-" .. i
      assert.equal(201, (send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", cases.crd)))
      assert.equal(201, (send("POST", "/api/v1/namespaces", '{"metadata":{"name":"' .. ns .. '"}}')))
      local difference = cases.run(case, ns, send)
      s:close()
      assert.is_nil(difference)
    end)
  end
end)
