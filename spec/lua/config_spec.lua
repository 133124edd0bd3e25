require("support.caged").open()
local config = require "lib.config"
local toml = require "lib.toml"

local function tikv(text)
  return { spec = { config = text, volumes = { { name = "data", mounts = { { type = "data", mountPath = "/d" } } } } },
    pod = "g-tikv-0", host = "g-tikv-0.g-tikv-peer.ns.svc", scheme = "http", client_port = 20160, status_port = 20180 }
end

describe("The config file", function()
  -- E-92
  it("keeps what the user wrote and adds what the operator manages", function()
    local text = config.tikv(tikv '[raftstore]\nregion-max-size = "144MB"\n', "http://g-pd.ns:2379")
    local doc = toml.decode(text)
    assert.equal("144MB", toml.get(doc, "raftstore.region-max-size"))
    assert.equal("g-tikv-0.g-tikv-peer.ns.svc:20160", toml.get(doc, "server.advertise-addr"))
    assert.equal("/d", toml.get(doc, "storage.data-dir"))
    assert.equal("http://g-pd.ns:2379", toml.get(doc, "pd.endpoints")[1])
  end)

  it("names every managed key that the user set", function()
    local text, reason, message = config.tikv(
      tikv '[server]\naddr = "x:1"\n[storage]\ndata-dir = "/y"\n', "http://g-pd.ns:2379")
    assert.is_nil(text)
    assert.equal("ConfigManaged", reason)
    assert.truthy(message:find("server.addr, storage.data-dir", 1, true))
  end)

  -- E-94
  it("tells of a template that no instance could use, and of none that is fine", function()
    local reason, message = config.problem("tikv", '[server]\naddr = "x"\n')
    assert.equal("ConfigManaged", reason)
    assert.truthy(message:find("server.addr", 1, true))
    assert.equal("ConfigManaged", (config.problem("pd", 'join = "x"')))
    assert.equal("ConfigInvalid", (config.problem("pd", "a = =")))
    assert.is_nil((config.problem("pd", 'log.level = "info"')))
    assert.is_nil((config.problem("tikv", nil)))
  end)

  it("says what is wrong with text that is no TOML", function()
    local text, reason, message = config.tikv(tikv "a = = 1", "http://x")
    assert.is_nil(text)
    assert.equal("ConfigInvalid", reason)
    assert.truthy(message:find("1", 1, true))
  end)

  -- E-31, U-69
  it("lets a PD found or join, never both, with certificates where the cluster has TLS", function()
    local i = { spec = { volumes = {} }, pod = "g-pd-0", host = "h", scheme = "https", client_port = 2379,
      peer_port = 2380, cluster = "c", tls = true }
    local doc = toml.decode((config.pd(i, { initial_cluster = "g-pd-0=https://h:2380" })))
    assert.equal("new", toml.get(doc, "initial-cluster-state"))
    assert.is_nil(toml.get(doc, "join"))
    assert.equal("/var/lib/pd-tls/ca.crt", toml.get(doc, "security.cacert-path"))
    doc = toml.decode((config.pd(i, { join = "https://g-pd.ns:2379" })))
    assert.equal("https://g-pd.ns:2379", toml.get(doc, "join"))
    assert.is_nil(toml.get(doc, "initial-cluster"))
    assert.equal("https://h:2379", toml.get(doc, "advertise-client-urls"))
  end)

  it("knows a config map that stands without writing it again, and one that does not", function()
    local pd = "http://g-pd.ns:2379"
    local function of(text)
      local i = tikv(text)
      i.name, i.group, i.cluster, i.ns = "g-0", "g", "c", "ns"
      i.object = { kind = "TiKV", metadata = { name = "g-0", uid = "u" } }
      function i.labels() return { a = "b" } end
      return i
    end
    local i = of 'log-level = "info"\n'
    local map = config.map(i, config.tikv(i, pd), pd)
    assert.is_true(config.stands(i, pd, map))
    assert.is_false(config.stands(of 'log-level = "warn"\n', pd, map))
    assert.is_false(config.stands(i, "http://other.ns:2379", map))
    for _, spoil in ipairs {
      function(m) m.data["config.toml"] = m.data["config.toml"] .. "#" end,
      function(m) m.data = nil end,
      function(m) m.metadata.labels = nil end,
      function(m) m.metadata.annotations = nil end,
      function(m) m.metadata.ownerReferences[1].uid = "v" end,
    } do
      local other = config.map(i, config.tikv(i, pd), pd)
      spoil(other)
      assert.is_false(config.stands(i, pd, other))
    end
  end)
end)
