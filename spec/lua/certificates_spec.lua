require("support.caged").open()
local caged = require "support.caged"
local mini = require "support.mini"
local things = require "support.manifests"

describe("TLS Secrets", function()
  local m

  local function secret(name, ...)
    local data = {}
    for _, k in ipairs { ... } do data[k] = "eA==" end
    m:put { apiVersion = "v1", kind = "Secret", metadata = { name = name }, data = data }
  end

  before_each(function()
    caged.answer(nil)
    m = mini.new()
    things.basic(m, 1, 1, { tlsCluster = { enabled = true } })
  end)

  -- U-86
  it("are looked for before a pod is made; what is missing is named", function()
    m:settle()
    assert.same({}, m:list "Pod")
    local status = m:get("PD", "basic-0").status
    assert.equal("SecretMissing", status.reason)
    assert.equal("pod basic-pd-0 waits: Secret basic-pd-cluster-secret does not exist", status.message)
    assert.truthy(status.hint:find("ca.crt, tls.crt and tls.key", 1, true))
    secret("basic-pd-cluster-secret", "ca.crt", "tls.crt")
    m:settle()
    assert.truthy(m:get("PD", "basic-0").status.message:find("Secret basic-pd-cluster-secret has no tls.key", 1, true))
    secret("basic-pd-cluster-secret", "ca.crt", "tls.crt", "tls.key")
    secret("basic-tikv-cluster-secret", "ca.crt", "tls.crt", "tls.key")
    m:settle()
    assert.equal("Running", m:get("Cluster", "basic").status.phase)
  end)

  it("may be two, with names of the user's", function()
    m:get("PDGroup", "basic").spec.template.spec.security = { tls = { cluster = { ca = { name = "our-ca" },
      certKeyPair = { name = "our-pair" } } } }
    secret("our-ca", "ca.crt")
    m:settle()
    assert.truthy(m:get("PD", "basic-0").status.message:find("Secret our-pair does not exist", 1, true))
    secret("our-pair", "tls.crt", "tls.key")
    m:settle()
    assert.truthy(m:get("Pod", "basic-pd-0"))
  end)

  it("stop nothing when they can not be read: unknown is not absent", function()
    local w = m:world(m:put { apiVersion = "core.tikv.org/v1alpha1", kind = "PD", metadata = { name = "basic-0",
      labels = { ["core.tikv.org/group"] = "basic" } }, spec = { cluster = { name = "basic" }, version = "v8.5.2",
      subdomain = "basic-pd-peer" } })
    local certificates, instance = require "lib.certificates", require "lib.instance"
    local i = instance.of(w, w.object)
    i.tls = true
    w.secrets = { ["basic-pd-cluster-secret"] = { known = false, reason = "forbidden" } }
    assert.is_nil(certificates.lacking(w, i))
    w.secrets = { ["basic-pd-cluster-secret"] = { known = false } }
    local _, soon = certificates.lacking(w, i)
    assert.is_true(soon)
  end)

  it("of pods that serve are asked for by nobody", function()
    secret("basic-pd-cluster-secret", "ca.crt", "tls.crt", "tls.key")
    secret("basic-tikv-cluster-secret", "ca.crt", "tls.crt", "tls.key")
    m:settle()
    for _, need in ipairs(m.scripts.needs(m:get("TiKV", "basic-0"))) do assert.is_nil(need.secrets) end
  end)
end)
