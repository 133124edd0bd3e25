local wire = require "support.wire"
local C, ffi = wire.C, wire.ffi

-- A clock that the spec moves.
local mono, wall = 1000, 1770000000000
local clock = ffi.new("struct clock", {
  mono_ms = function() return mono end,
  wall_ms = function() return wall end,
})

local function text(p) return p ~= nil and ffi.string(p) or nil end
local function pass(ms)
  mono, wall = mono + ms, wall + ms
end
local function base64(s)
  local pipe = io.popen("printf '%s' '" .. s .. "' | base64 -w0")
  local out = pipe:read("*a")
  pipe:close()
  return out
end

local function view(c)
  local v = C.cred_view(c)
  return { auth = text(v.authorization), ca = text(v.ca_pem), cert = text(v.cert_pem), key = text(v.key_pem),
    name = text(v.server_name), proxy = text(v.proxy_url), insecure = v.insecure, version = tonumber(v.version) }
end

--- The cred and its cluster, or nil and the error.
local function load(paths, context)
  local out, e = ffi.new("struct cred_cluster"), ffi.new("struct err")
  local c = C.cred_kubeconfig(paths, context, clock, out, e)
  if c == nil then return nil, ffi.string(e.msg), wire.code_of(e) end
  local where = { server = text(out.server), ns = text(out.ns), context = text(out.context) }
  C.cred_cluster_fini(out)
  return ffi.gc(c, C.cred_free), where
end

describe("a kubeconfig", function()
  local dir, certs, n
  setup(function() certs = wire.certs("admin") end)
  before_each(function()
    dir, n = wire.folder(), 0
  end)
  after_each(function() os.execute("rm -r '" .. dir .. "'") end)

  local function file(content)
    n = n + 1
    return wire.write(dir .. "/config" .. n, content)
  end
  local function simple(user, cluster, context)
    return file(([[
apiVersion: v1
kind: Config
current-context: main
contexts:
- name: main
  context: {cluster: c, user: u%s}
clusters:
- name: c
  cluster:
    server: https://api.example:6443/
%s
users:
- name: u
  user:
%s
]]):format(context or "", cluster or "", user or "    token: abc"))
  end
  local function refused(path, ...)
    local c, why, code = load(path)
    assert.is_nil(c)
    for _, part in ipairs { ... } do assert.truthy(why:find(part, 1, true), why) end
    return code
  end

  it("gives server, namespace, context and token", function()
    local c, where = load(simple("    token: abc", "", ", namespace: tikv"))
    assert.same({ server = "https://api.example:6443", ns = "tikv", context = "main" }, where)
    assert.equal("Bearer abc", view(c).auth)
  end)

  it("has the namespace default when the context names none", function()
    local _, where = load(simple())
    assert.equal("default", where.ns)
  end)

  it("is merged from a list: the first file that has a name wins, missing files are skipped", function()
    local one = file [[
contexts: [{name: a, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://one"}}]
]]
    local two = file [[
current-context: a
contexts: [{name: a, context: {cluster: c2, user: u}}, {name: b, context: {cluster: c2, user: u}}]
clusters: [{name: c, cluster: {server: "https://two"}}, {name: c2, cluster: {server: "https://second"}}]
users: [{name: u, user: {token: from-two}}]
]]
    local three = file "current-context: b\nusers: [{name: u, user: {token: from-three}}]\n"
    local c, where, _
    c, where = load(table.concat({ one, dir .. "/none", two, three }, ":"))
    assert.equal("https://one", where.server)
    assert.equal("a", where.context)
    assert.equal("Bearer from-two", view(c).auth)
    c, where = load(table.concat({ three, one, two }, ":"))
    assert.equal("https://second", where.server)
    assert.equal("Bearer from-three", view(c).auth)
    _, where = load(one .. ":" .. two, "b")
    assert.equal("https://second", where.server)
  end)

  it("is found through KUBECONFIG and then HOME", function()
    local kubeconfig, home = os.getenv("KUBECONFIG"), os.getenv("HOME")
    local path = simple()
    wire.env("KUBECONFIG", path)
    local c = load(nil)
    wire.env("KUBECONFIG", nil)
    wire.env("HOME", dir)
    os.execute("mkdir '" .. dir .. "/.kube' && cp '" .. path .. "' '" .. dir .. "/.kube/config'")
    local d = load(nil)
    wire.env("KUBECONFIG", kubeconfig)
    wire.env("HOME", home)
    assert.equal("Bearer abc", view(c).auth)
    assert.equal("Bearer abc", view(d).auth)
  end)

  it("resolves paths against the folder of the file that names them", function()
    wire.write(dir .. "/ca.pem", certs.ca)
    wire.write(dir .. "/me.pem", certs.cert)
    wire.write(dir .. "/me.key", certs.key)
    local c = load(simple("    client-certificate: me.pem\n    client-key: ./me.key",
      "    certificate-authority: ca.pem"))
    local v = view(c)
    assert.same({ certs.ca, certs.cert, certs.key }, { v.ca, v.cert, v.key })
  end)

  it("takes inline data before files", function()
    local c = load(simple(
      "    client-certificate-data: " .. base64(certs.cert) .. "\n    client-key-data: " .. base64(certs.key) ..
      "\n    client-key: /nowhere", "    certificate-authority-data: " .. base64(certs.ca)))
    local v = view(c)
    assert.same({ certs.ca, certs.cert, certs.key }, { v.ca, v.cert, v.key })
  end)

  it("carries basic credentials, the TLS server name, insecure and a proxy", function()
    local c = load(simple("    username: me\n    password: pa:ss",
      "    tls-server-name: kube\n    insecure-skip-tls-verify: true\n    proxy-url: http://proxy:1"))
    local v = view(c)
    assert.equal("Basic " .. base64("me:pa:ss"), v.auth)
    assert.same({ "kube", true, "http://proxy:1" }, { v.name, v.insecure, v.proxy })
  end)

  it("may have no user", function()
    local c = load(file [[
current-context: a
contexts: [{name: a, context: {cluster: c}}]
clusters: [{name: c, cluster: {server: "http://localhost:8080"}}]
]])
    assert.is_nil(view(c).auth)
  end)

  describe("that is wrong", function()
    it("is named: the file is missing, is no YAML, is no config, is empty", function()
      assert.equal("NOT_FOUND", refused(dir .. "/none",
        dir .. "/none: no such file: check --kubeconfig or KUBECONFIG"))
      refused(dir .. "/none:" .. dir .. "/none2", "no such file: check --kubeconfig or KUBECONFIG")
      local path = file("a: [")
      refused(path, path)
      path = file("- a\n")
      refused(path, path .. ": not a kubeconfig")
      path = file("")
      refused(path, path .. ": current-context: not set: name one with --context")
      path = file("clusters: 7\n")
      refused(path, path .. ": clusters: not a list")
      path = file("users: [{user: {}}]\n")
      refused(path, path .. ": users[0].name: missing")
    end)

    it("is named: the context, its cluster or its user do not exist", function()
      local path = simple()
      local _, why = load(path, "other")
      assert.equal('--context: "other": no such context: have "main"', why)
      path = file("current-context: x\n")
      refused(path, path .. ': current-context: "x": no such context: have none')
      path = file [[
current-context: a
contexts: [{name: a, context: {cluster: c, user: u}}]
]]
      refused(path, path .. ': contexts[0].context.cluster: "c": no such cluster: have none')
      path = file [[
current-context: a
contexts: [{name: a, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://x"}}]
users: [{name: v, user: {}}]
]]
      refused(path, path .. ': contexts[0].context.user: "u": no such user: have "v"')
    end)

    it("is named: server, CA and insecure", function()
      local path = file [[
current-context: a
contexts: [{name: a, context: {cluster: c}}]
clusters: [{name: b, cluster: {}}, {name: c, cluster: {}}]
]]
      refused(path, path .. ": clusters[1].cluster.server: missing")
      path = simple(nil, "    certificate-authority: gone.pem")
      refused(path, path .. ": clusters[0].cluster.certificate-authority: " .. dir ..
        "/gone.pem: no such file: check the path")
      path = simple(nil, "    certificate-authority-data: '???'")
      refused(path, path .. ": clusters[0].cluster.certificate-authority-data: not base64")
      path = simple(nil, "    certificate-authority-data: aGVsbG8=")
      refused(path, "clusters[0].cluster.certificate-authority-data: no certificate in it")
      path = simple(nil, "    insecure-skip-tls-verify: true\n    certificate-authority-data: " .. base64(certs.ca))
      refused(path, "clusters[0].cluster.insecure-skip-tls-verify: true together with")
      path = file [[
current-context: a
contexts: [{name: a, context: {cluster: c}}]
clusters: [{name: c, cluster: {server: "api:6443"}}]
]]
      refused(path, 'clusters[0].cluster.server: "api:6443": not an https:// address')
    end)

    it("is named: certificate, key, token and types of the user", function()
      local path = simple("    client-certificate: gone.crt\n    client-key: gone.key")
      refused(path, path .. ": users[0].user.client-certificate: " .. dir ..
        "/gone.crt: no such file: check the path")
      path = simple("    client-certificate-data: " .. base64(certs.cert))
      refused(path, path .. ": users[0].user.client-key: missing")
      path = simple("    client-certificate-data: " .. base64(certs.cert) .. "\n    client-key-data: " ..
        base64(wire.certs("x").key))
      refused(path, "users[0].user.client-certificate-data: no certificate that fits client-key")
      path = simple("    tokenFile: gone")
      refused(path, path .. ": users[0].user.tokenFile: " .. dir .. "/gone: no such file")
      path = simple("    token: 12345")
      refused(path, path .. ": users[0].user.token: not a text: put it in quotes")
    end)

    it("is named: what is not supported, rather than acting as somebody else", function()
      assert.equal("UNSUPPORTED", refused(simple("    token: a\n    as: root"), "users[0].user.as: impersonation"))
      assert.equal("UNSUPPORTED", refused(simple("    auth-provider: {name: gcp}"), "users[0].user.auth-provider"))
    end)
  end)

  describe("with files behind it", function()
    it("reads the token again after 50 s, and not before (C2)", function()
      wire.write(dir .. "/token", "one\n")
      local c = load(simple("    tokenFile: token"))
      assert.equal("Bearer one", view(c).auth)
      wire.write(dir .. "/token", "two\n")
      pass(49000)
      assert.equal("Bearer one", view(c).auth)
      pass(1500)
      assert.equal("Bearer two", view(c).auth)
    end)

    it("reads it at once after a 401 (C2)", function()
      wire.write(dir .. "/token", "one")
      local c = load(simple("    tokenFile: token"))
      wire.write(dir .. "/token", "two")
      C.cred_unauthorized(c)
      assert.equal("Bearer two", view(c).auth)
    end)

    it("keeps the old token when the file is gone or empty, and says so (C2)", function()
      wire.write(dir .. "/token", "one")
      local c = load(simple("    tokenFile: token"))
      assert.is_true(C.cred_problem(c) == nil)
      wire.write(dir .. "/token", "\n")
      pass(60000)
      assert.equal("Bearer one", view(c).auth)
      assert.truthy(text(C.cred_problem(c)):find("/token: empty", 1, true))
      os.remove(dir .. "/token")
      pass(60000)
      assert.equal("Bearer one", view(c).auth)
      assert.truthy(text(C.cred_problem(c)):find("/token: no such file", 1, true))
      wire.write(dir .. "/token", "three")
      pass(60000)
      assert.equal("Bearer three", view(c).auth)
      assert.is_true(C.cred_problem(c) == nil)
    end)

    it("lets a token file win over a token, which serves until the file is there", function()
      local c = load(simple("    token: first\n    tokenFile: token"))
      assert.equal("Bearer first", view(c).auth)
      wire.write(dir .. "/token", "second")
      pass(60000)
      assert.equal("Bearer second", view(c).auth)
    end)

    it("changes certificate and key together, and counts the version up (C3)", function()
      local new = wire.certs("new")
      wire.write(dir .. "/crt", certs.cert)
      wire.write(dir .. "/key", certs.key)
      local c = load(simple("    client-certificate: crt\n    client-key: key"))
      local first = view(c).version
      pass(60000)
      assert.equal(first, view(c).version)
      wire.write(dir .. "/crt", new.cert)
      pass(60000)
      assert.same({ certs.cert, certs.key, first }, { view(c).cert, view(c).key, view(c).version })
      wire.write(dir .. "/key", new.key)
      pass(60000)
      assert.same({ new.cert, new.key, first + 1 }, { view(c).cert, view(c).key, view(c).version })
    end)

    it("takes a new CA, and keeps the old one when the file is broken (C4)", function()
      local new = wire.certs("new")
      wire.write(dir .. "/ca", certs.ca)
      local c = load(simple(nil, "    certificate-authority: ca"))
      local first = view(c).version
      wire.write(dir .. "/ca", "")
      pass(60000)
      assert.same({ certs.ca, first }, { view(c).ca, view(c).version })
      wire.write(dir .. "/ca", new.ca)
      pass(60000)
      assert.same({ new.ca, first + 1 }, { view(c).ca, view(c).version })
    end)
  end)

  describe("with an exec plug-in (C5)", function()
    local function plugin(body)
      local path = wire.write(dir .. "/plugin", "#!/bin/sh\necho run >> '" .. dir .. "/runs'\n" .. body .. "\n")
      os.execute("chmod +x '" .. path .. "'")
    end
    local function runs()
      local count = 0
      for _ in io.lines(dir .. "/runs") do count = count + 1 end
      return count
    end
    local function answer(status, api)
      return ([[echo '{"apiVersion":"client.authentication.k8s.io/%s","kind":"ExecCredential","status":%s}']])
        :format(api or "v1", status)
    end
    local function config(more, cluster)
      return simple("    exec:\n      apiVersion: client.authentication.k8s.io/v1\n      command: ./plugin\n" ..
        (more or ""), cluster)
    end

    it("runs it once and keeps an answer without an end for ever", function()
      plugin(answer '{"token":"t1"}')
      local c = load(config())
      assert.equal("Bearer t1", view(c).auth)
      pass(10 ^ 9)
      assert.equal("Bearer t1", view(c).auth)
      assert.equal(1, runs())
    end)

    it("passes arguments, environment and KUBERNETES_EXEC_INFO", function()
      plugin([[
printf '%s|%s|%s|%s|%s' "$INHERITED" "$1" "$2" "$MINE" "$KUBERNETES_EXEC_INFO" > ']] .. dir .. [[/seen'
]] .. answer '{"token":"t1"}')
      wire.env("INHERITED", "kept")
      wire.env("MINE", "not this one")
      wire.env("KUBERNETES_EXEC_INFO", "nor this")
      load(config("      args: [one, 'two 2']\n      env: [{name: MINE, value: yes it is}]\n" ..
        "      provideClusterInfo: true\n", "    tls-server-name: kube"))
      local f = io.open(dir .. "/seen")
      local seen = f:read("*a")
      f:close()
      for _, name in ipairs { "INHERITED", "MINE", "KUBERNETES_EXEC_INFO" } do wire.env(name, nil) end
      assert.equal('kept|one|two 2|yes it is|' ..
        '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",' ..
        '"spec":{"interactive":false,"cluster":{"server":"https://api.example:6443","tls-server-name":"kube"}}}', seen)
    end)

    it("runs it again when the answer expired", function()
      local function until_(ms)
        local buf = ffi.new("char[32]")
        C.clock_format(wall + ms, 0, buf, 32)
        return ffi.string(buf)
      end
      plugin(answer('{"token":"t1","expirationTimestamp":"' .. until_(120000) .. '"}'))
      local c = load(config())
      pass(60000)
      assert.equal("Bearer t1", view(c).auth)
      plugin(answer '{"token":"t2"}')
      pass(61000)
      assert.equal("Bearer t2", view(c).auth)
      assert.equal(2, runs())
    end)

    it("runs it again after a 401, at once, but then not more often than every 10 s", function()
      plugin(answer '{"token":"t1"}')
      local c = load(config())
      plugin(answer '{"token":"t2"}')
      C.cred_unauthorized(c)
      assert.equal("Bearer t2", view(c).auth)
      for _ = 1, 5 do
        C.cred_unauthorized(c)
        view(c)
      end
      assert.equal(2, runs())
      pass(10000)
      C.cred_unauthorized(c)
      view(c)
      assert.equal(3, runs())
    end)

    it("takes a certificate from it and counts the version up when it changes", function()
      local new = wire.certs("new")
      local function pair(p)
        local function line(s) return (s:gsub("\n", "\\n")) end
        return "cat <<'END'\n" .. '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":' ..
          '{"clientCertificateData":"' .. line(p.cert) .. '","clientKeyData":"' .. line(p.key) .. '"}}' .. "\nEND"
      end
      plugin(pair(certs))
      local c = load(config())
      local first = view(c).version
      assert.equal(certs.cert, view(c).cert)
      plugin(pair(new))
      C.cred_unauthorized(c)
      assert.same({ new.cert, first + 1 }, { view(c).cert, view(c).version })
    end)

    it("names what went wrong with it", function()
      plugin("echo 'please log in' >&2; exit 3")
      local where = ": users[0].user.exec: " .. dir .. "/./plugin: "
      refused(config(), where .. "exit status 3: please log in")
      plugin("echo hello")
      refused(config(), where .. "printed no JSON: ")
      plugin(answer("{}"))
      refused(config(), where .. "printed neither a token nor a certificate")
      plugin(answer('{"token":"x"}', "v1beta1"))
      refused(config(), where .. "did not print an ExecCredential of client.authentication.k8s.io/v1")
      os.remove(dir .. "/plugin")
      refused(config(), "users[0].user.exec.command: " .. dir .. "/./plugin: No such file or directory: is the plug-in")
      refused(simple("    exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x}"),
        "users[0].user.exec.apiVersion: ")
      refused(simple("    exec: {apiVersion: client.authentication.k8s.io/v1}"), "users[0].user.exec.command: missing")
      refused(config("      interactiveMode: Always\n"), "users[0].user.exec.interactiveMode")
    end)

    it("keeps the old token when a later run fails", function()
      plugin(answer '{"token":"t1"}')
      local c = load(config())
      plugin("exit 1")
      C.cred_unauthorized(c)
      assert.equal("Bearer t1", view(c).auth)
      assert.truthy(text(C.cred_problem(c)):find("exit status 1", 1, true))
    end)
  end)
end)

describe("in a cluster (C1)", function()
  local dir, certs
  setup(function() certs = wire.certs("x") end)
  before_each(function()
    dir = wire.folder()
    wire.write(dir .. "/token", "secret\n")
    wire.write(dir .. "/ca.crt", certs.ca)
    wire.write(dir .. "/namespace", "tikv-system")
    wire.env("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    wire.env("KUBERNETES_SERVICE_PORT", "443")
  end)
  after_each(function()
    os.execute("rm -r '" .. dir .. "'")
    wire.env("KUBERNETES_SERVICE_HOST", nil)
    wire.env("KUBERNETES_SERVICE_PORT", nil)
  end)

  local function open()
    local out, e = ffi.new("struct cred_cluster"), ffi.new("struct err")
    local c = C.cred_in_cluster(dir, clock, out, e)
    if c == nil then return nil, ffi.string(e.msg) end
    local where = { text(out.server), text(out.ns), text(out.context) }
    C.cred_cluster_fini(out)
    return ffi.gc(c, C.cred_free), where
  end

  it("takes host, token, CA and namespace from where Kubernetes puts them", function()
    local c, where = open()
    assert.same({ "https://10.0.0.1:443", "tikv-system", "" }, where)
    assert.equal("Bearer secret", view(c).auth)
    assert.equal(certs.ca, view(c).ca)
  end)

  it("puts brackets around an IPv6 address", function()
    wire.env("KUBERNETES_SERVICE_HOST", "fd00::1")
    local _, where = open()
    assert.equal("https://[fd00::1]:443", where[1])
  end)

  it("says what is missing", function()
    os.remove(dir .. "/token")
    local c, why = open()
    assert.is_nil(c)
    assert.equal(dir .. "/token: no such file: is a service account mounted?", why)
    wire.env("KUBERNETES_SERVICE_HOST", nil)
    c, why = open()
    assert.is_nil(c)
    assert.equal("KUBERNETES_SERVICE_HOST: not set: not in a cluster: use --kubeconfig", why)
  end)

  it("rotates the token", function()
    local c = open()
    wire.write(dir .. "/token", "rotated")
    pass(51000)
    assert.equal("Bearer rotated", view(c).auth)
  end)
end)

describe("credentials on the wire", function()
  local b, dir, certs
  setup(function() certs = wire.certs("localhost", "kube.example") end)
  before_each(function()
    b, dir = wire.open(), wire.folder()
  end)
  after_each(function()
    b:close()
    os.execute("rm -r '" .. dir .. "'")
  end)

  local function config(server, user, cluster)
    local path = wire.write(dir .. "/config", ([[
current-context: main
contexts: [{name: main, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "%s"%s}}]
users: [{name: u, user: {%s}}]
]]):format(server, cluster or "", user))
    return assert(load(path))
  end

  it("a 401 makes the next request read the token again (C2)", function()
    local good = "Bearer one"
    local s = b:serve(function(q)
      q:reply(q.header("authorization") == good and 200 or 401, "x")
    end)
    wire.write(dir .. "/token", "one")
    local cred = config(s.url, "tokenFile: token")
    assert.equal(200, b:fetch { url = s.url, cred = cred }.head.status)
    good = "Bearer two"
    wire.write(dir .. "/token", "two")
    assert.equal(401, b:fetch { url = s.url, cred = cred }.head.status)
    assert.equal(200, b:fetch { url = s.url, cred = cred }.head.status)
  end)

  it("tls-server-name is what is verified, while the Host stays", function()
    local host
    local s = b:serve(function(q)
      host = q.host
      q:reply(200, "x")
    end, certs)
    wire.write(dir .. "/ca", certs.ca)
    local plain = config(s.url, "token: x", ", certificate-authority: ca")
    assert.equal("UNAUTHORIZED", b:fetch { url = s.url, cred = plain }.code)
    local named = config(s.url, "token: x", ", certificate-authority: ca, tls-server-name: kube.example")
    local r = b:fetch { url = s.url .. "/x", cred = named }
    assert.equal("", r.msg)
    assert.equal("127.0.0.1:" .. s.port, host)
    local wrong = config(s.url, "token: x", ", certificate-authority: ca, tls-server-name: other.example")
    r = b:fetch { url = s.url, cred = wrong }
    assert.equal("UNAUTHORIZED", r.code)
    assert.truthy(r.msg:find("other.example", 1, true))
  end)

  it("a rotated CA is read again at once after a certificate was not trusted (C4)", function()
    local s = b:serve(function(q) q:reply(200, "x") end, certs)
    wire.write(dir .. "/ca", wire.certs("old").ca)
    local cred = config("https://localhost:" .. s.port, "token: x", ", certificate-authority: ca")
    local url = "https://localhost:" .. s.port
    assert.equal("UNAUTHORIZED", b:fetch { url = url, cred = cred }.code)
    wire.write(dir .. "/ca", certs.ca)
    assert.equal(200, b:fetch { url = url, cred = cred }.head.status)
  end)

  it("a rotated client certificate opens new connections; running streams end in peace (C3)", function()
    local old, new = wire.certs("old"), wire.certs("new")
    local live
    local s = b:serve(function(q)
      if q.path == "/watch" then
        live = q
        q:start(200)
        return q:chunk(q.cn)
      end
      q:reply(200, q.cn)
    end, { cert = certs.cert, key = certs.key, client_ca = old.ca .. new.ca })
    local url = "https://localhost:" .. s.port
    wire.write(dir .. "/ca", certs.ca)
    wire.write(dir .. "/crt", old.cert)
    wire.write(dir .. "/key", old.key)
    local cred = config(url, "client-certificate: crt, client-key: key", ", certificate-authority: ca")
    local watch = b:send { url = url .. "/watch", cred = cred, idle = 5000 }
    b:run(2000, function() return watch.chunks[1] end)
    assert.equal("old", b:fetch { url = url, cred = cred }.body)
    wire.write(dir .. "/crt", new.cert)
    wire.write(dir .. "/key", new.key)
    pass(60000)
    assert.equal("new", b:fetch { url = url, cred = cred }.body)
    live:chunk("more")
    live:finish()
    b:run(2000, function() return watch.done end)
    assert.equal("NONE", watch.code)
    assert.equal("oldmore", table.concat(watch.chunks))
  end)
end)
