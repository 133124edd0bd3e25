-- Every accept/reject decision of the API, asked of a real API server (#cluster).
-- ids: U-117
local json = require "dkjson"
local cases = require "spec.conformance.crd_cases"
local remote = require "spec.support.remote"

-- dkjson can not tell an empty object from an empty list; only featureGates is a list here.
local function shaped(v, name)
  if type(v) ~= "table" then return v end
  local out = setmetatable({}, { __jsontype = (#v > 0 or name == "featureGates") and "array" or "object" })
  for k, x in pairs(v) do out[k] = shaped(x, k) end
  return out
end

describe("the CRDs on a real API server #cluster", function()
  if not remote.url then
    pending "CONFORMANCE_URL is not set"
    return
  end
  for _, case in ipairs(cases) do
    it(("%s %s"):format(case.kind, case.name), function()
      local base = ("/apis/core.tikv.org/v1alpha1/namespaces/default/%ss"):format(case.kind:lower())
      local object = cases.change(cases.base(case.kind), case.create)
      local strict = "?fieldValidation=Strict"
      local status, answer = remote.send("POST", base .. strict, json.encode(shaped(object)))
      if status == 201 and case.update then
        local changed = cases.change(cases.change(cases.base(case.kind), case.create), case.update)
        changed.metadata.resourceVersion = answer.metadata.resourceVersion
        status, answer = remote.send("PUT", ("%s/%s%s"):format(base, object.metadata.name, strict),
          json.encode(shaped(changed)))
      end
      remote.send("DELETE", ("%s/%s"):format(base, object.metadata.name))
      if case.refusal then
        assert.is_true(status >= 400, "it was accepted")
        assert.is_truthy(answer.message:find(case.refusal, 1, true), answer.message)
      else
        assert.is_true(status < 300, answer and answer.message or "no answer")
      end
    end)
  end
end)
