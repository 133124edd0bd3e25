-- Every accept/reject decision of the API, asked of lua/lib/schema.lua and cel.lua through the code
-- that `check` and the playground use. crd_real_spec.lua asks a real API server the same.
local core = require "support.core"
local cases = require "conformance.crd_cases"
local json = require "dkjson"

local C, ffi = core.load("sim/admit.h", "format/json.h", "format/yaml.h", "base/mem.h"), core.ffi

ffi.cdef "void free(void *);"

-- Keys of maps are names; an empty table is a list only here.
local LISTS = { featureGates = true }

local function shaped(v, name)
  if type(v) ~= "table" then return v end
  local list = #v > 0 or (name ~= nil and LISTS[name])
  local out = setmetatable({}, { __jsontype = list and "array" or "object" })
  for k, x in pairs(v) do out[k] = shaped(x, k) end
  return out
end

local function tree(v)
  local text = json.encode(shaped(v))
  return C.json_parse(text, #text, nil)
end

local function plain(value)
  local text = C.json_string(value)
  local out = json.decode(ffi.string(text))
  ffi.C.free(text)
  return out
end

describe("the CRDs, judged by our own schemas", function()
  local e = ffi.new "struct err"
  local admit, crds = nil, {}

  setup(function()
    admit = C.admit_new(e)
    assert(admit ~= nil, ffi.string(e.msg))
    for _, file in ipairs { "clusters", "pdgroups", "tikvgroups", "pds", "tikvs" } do
      local f = assert(io.open(("crds/%s.yaml"):format(file)))
      local text = f:read "*a"
      f:close()
      local docs = C.yaml_parse(file, text, #text, nil, e)
      assert(docs ~= nil, ffi.string(e.msg))
      crds[ffi.string(C.json_str(docs, "[0].spec.names.kind", ""))] = docs
    end
  end)

  teardown(function()
    for _, docs in pairs(crds) do C.json_free(docs) end
    C.admit_free(admit)
  end)

  -- The causes and unknown fields as one text, "" when it is accepted.
  local function judge(kind, object, old)
    local schema = C.json_path(crds[kind], "[0].spec.versions[0].schema.openAPIV3Schema")
    local at = ffi.new("cJSON *[1]")
    at[0] = tree(object)
    local before = old and tree(old) or nil
    local causes, unknown = C.json_array(), C.json_array()
    local rc = C.admit_judge(admit, kind, schema, at, before, false, causes, unknown, e)
    assert(rc == 0, ffi.string(e.msg))
    local text = {}
    for _, cause in ipairs(plain(causes)) do text[#text + 1] = ("%s: %s"):format(cause.field, cause.message) end
    for _, field in ipairs(plain(unknown)) do text[#text + 1] = ('unknown field "%s"'):format(field) end
    for _, t in ipairs { at[0], causes, unknown } do C.json_free(t) end
    if before ~= nil then C.json_free(before) end
    return table.concat(text, "; ")
  end

  for _, case in ipairs(cases) do
    it(("%s %s"):format(case.kind, case.name), function()
      local object = cases.change(cases.base(case.kind), case.create)
      local answer = judge(case.kind, object)
      if answer == "" and case.update then
        local changed = cases.change(cases.change(cases.base(case.kind), case.create), case.update)
        answer = judge(case.kind, changed, object)
      elseif case.update then
        assert.equal("", answer, "the object could not even be made")
      end
      if case.refusal then
        assert.is_truthy(answer:find(case.refusal, 1, true), answer == "" and "it was accepted" or answer)
      else
        assert.equal("", answer)
      end
    end)
  end

  it("asks as many questions as the real server is asked", function() assert.is_true(#cases >= 288) end)
end)
