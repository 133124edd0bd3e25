--- secrets: which keys Secrets have, read by name while somebody asks; their content is kept by nobody.
local kube = require "spec.kube.support"
local core = require "support.core"
local ffi = core.ffi
local C = core.load("engine/secrets.h")

local told
local on_change = ffi.cast("void (*)(void *, const char *, const char *)", function(_, ns, name)
  told[#told + 1] = ffi.string(ns) .. "/" .. ffi.string(name)
end)

describe("secrets", function()
  local w, s, api

  before_each(function()
    w, told = kube.world(), {}
    api = w:api()
    s = C.secrets_new(ffi.new("struct secrets_conf", { loop = kube.loop, api = api, on_change = on_change }))
  end)
  after_each(function()
    C.secrets_free(s)
    C.api_free(api)
  end)

  local function ask()
    local tree = C.secrets_ask(s, "ns", "tls")
    local text = C.json_string(tree)
    local out = ffi.string(text)
    ffi.C.free(text)
    C.json_free(tree)
    return out
  end

  it("reads one by name and keeps its keys", function()
    assert.equal('{"known":false}', ask())
    w:run(1)
    assert.truthy(w:request().path:find("/namespaces/ns/secrets/tls", 1, true))
    w:request():reply(200, { kind = "Secret", apiVersion = "v1", metadata = { name = "tls" },
      data = { ["tls.crt"] = "eA==", ["tls.key"] = "", ["ca.crt"] = "eA==" } })
    assert.same({ "ns/tls" }, told)
    assert.equal('{"known":true,"there":true,"keys":["ca.crt","tls.crt"]}', ask())
  end)

  it("tells when it comes, and looks only while somebody asks", function()
    ask()
    w:run(1)
    w:request():status(404, "NotFound", "no such thing")
    assert.equal('{"known":true,"there":false,"keys":[]}', ask())
    w:run(5001)
    w:request():reply(200, { kind = "Secret", apiVersion = "v1", metadata = { name = "tls" }, data = { a = "eA==" } })
    assert.equal(2, #told)
    for _ = 1, 40 do
      w:run(5000)
      for _, r in ipairs(w:open()) do
        r:reply(200, { kind = "Secret", apiVersion = "v1", metadata = { name = "tls" }, data = { a = "eA==" } })
      end
    end
    assert.equal(2, #told)
    assert.equal(0, #w:open())
    assert.equal(0, w:timers_left())
  end)

  it("does not take a refusal for absence", function()
    ask()
    w:run(1)
    w:request():status(403, "Forbidden", "not for you")
    assert.equal("false", kube.at(ask(), "known"))
    assert.truthy(kube.at(ask(), "reason"):find("not for you", 1, true))
  end)
end)
