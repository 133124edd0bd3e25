--- pd: who is asked, what counts as an answer, and where a write goes.
local pd = require "spec.pd.support"
local C, kube = pd.C, pd.kube

describe("pd", function()
  local w, f, p

  local function start(list)
    w = kube.world()
    f = pd.pd()
    p = pd.client(w, list)
  end
  after_each(function()
    if p then C.pd_free(p) end
    p = nil
  end)

  local function read(path)
    local n = pd.note()
    C.pd_read(p, path, pd.pd_done, n.arg)
    assert.is_nil(n.calls)
    pd.serve(w, f, 10)
    assert.equal(1, n.calls)
    return n
  end

  local function hosts()
    local out = {}
    for i, r in ipairs(w.requests) do out[i] = r.url:match("^http://([^.:/]+)") end
    return table.concat(out, " ")
  end

  it("asks the service first and the leader itself from then on", function()
    start()
    assert.equal(0, read("/pd/api/v1/members").code)
    assert.equal("http://basic-pd-0.basic-pd-peer.ns.svc:2379", require("ffi").string(C.pd_leader_url(p)))
    read("/pd/api/v1/version")
    assert.equal("basic-pd basic-pd-0", hosts())
  end)

  it("tries the next member when one does not answer, answers 500 or a page", function()
    for _, bent in ipairs { false, { 500, "[PD:apiutil:ErrRedirect]redirect failed\n", "text/plain" },
      { 503, "no leader", "text/plain" }, { 200, "<html>", "text/html" } } do
      start { "http://a:2379/", "http://b:2379", "http://c:2379" }
      f.override["/pd/api/v1/version"] = function(r)
        if not r.url:find("//c:", 1, true) then
          if not bent then return nil end
          return bent[1], bent[2], bent[3]
        end
        return 200, '{"version":"x"}'
      end
      assert.equal('{"version":"x"}', read("/pd/api/v1/version").body)
      assert.equal("a b c", hosts())
      C.pd_free(p)
      p = nil
    end
  end)

  it("asks nobody else after a 400 or 404", function()
    start { "http://a:2379", "http://b:2379" }
    f.override["/x"] = { 404, '"[PD:core:ErrStoreNotFound]store 9 not found"\n' }
    local n = read("/x")
    assert.equal(tonumber(C.ERR_NOT_FOUND), n.code)
    assert.equal(404, n.status)
    assert.truthy(n.msg:find("ErrStoreNotFound", 1, true), n.msg)
    assert.equal("a", hosts())
    f.override["/x"] = { 400, '{"code":"input","msg":"bad integer","data":{}}' }
    n = read("/x")
    assert.equal(tonumber(C.ERR_INVALID), n.code)
    assert.truthy(n.msg:find("bad integer", 1, true), n.msg)
  end)

  -- W-54
  it("knows `not bootstrapped` from other failures", function()
    start()
    f.bootstrapped = false
    local n = read("/pd/api/v1/stores")
    assert.equal(tonumber(C.ERR_UNSUPPORTED), n.code)
    assert.truthy(n.msg:find("ErrNotBootstrapped", 1, true))
    assert.equal(1, #w.requests)
  end)

  it("ends with an error when there is no endpoint, and not before the call returned", function()
    start {}
    local n = pd.note()
    C.pd_read(p, "/x", pd.pd_done, n.arg)
    assert.is_nil(n.calls)
    pd.serve(w, f, 1)
    assert.equal(1, n.calls)
    assert.equal(tonumber(C.ERR_UNAVAILABLE), n.code)
  end)

  it("is silent after a cancel", function()
    start()
    local n = pd.note()
    local call = C.pd_read(p, "/x", pd.pd_done, n.arg)
    C.pd_cancel(p, call)
    pd.serve(w, f, 1)
    assert.is_nil(n.calls)
  end)

  local function check()
    local n = pd.note()
    C.pd_check(p, pd.pd_done, n.arg)
    pd.serve(w, f, 10)
    assert.equal(1, n.calls)
    return n
  end

  it("checks cluster, leader and revision at the leader itself before a write (G8)", function()
    start()
    local n = check()
    assert.equal(0, n.code)
    assert.equal("7710367791441466003", kube.at(n.body, "cluster_id"))
    assert.equal("13404984625176283911", kube.at(n.body, "leader.id"))
    assert.equal("100", kube.at(n.body, "etcd_revision"))
    assert.equal("basic-pd basic-pd-0 basic-pd-0", hosts())
    assert.equal("tikv-operator", w.requests[2].header["pd-redirector"])
  end)

  it("writes to the checked member only, and never asks twice", function()
    start()
    check()
    f.override["/pd/api/v1/store/4"] = { 503, "no leader", "text/plain" }
    local n = pd.note()
    C.pd_write(p, "DELETE", "/pd/api/v1/store/4", nil, pd.pd_done, n.arg)
    pd.serve(w, f, 10)
    assert.equal(tonumber(C.ERR_UNAVAILABLE), n.code)
    assert.equal("basic-pd basic-pd-0 basic-pd-0 basic-pd-0", hosts())
    assert.equal("DELETE", w:last().method)
    assert.equal("tikv-operator", w:last().header["pd-redirector"])
  end)

  it("writes nothing without a check", function()
    start()
    read("/pd/api/v1/members")
    local n = pd.note()
    C.pd_write(p, "DELETE", "/pd/api/v1/store/4", nil, pd.pd_done, n.arg)
    pd.serve(w, f, 10)
    assert.equal(tonumber(C.ERR_UNAVAILABLE), n.code)
    assert.equal(1, #w.requests)
  end)

  it("fails a check when the member is not the leader any more, or not who it says", function()
    start()
    read("/pd/api/v1/members")
    f.leader = f.members[2]
    assert.equal(tonumber(C.ERR_UNAVAILABLE), check().code)
    C.pd_free(p)
    start()
    f.override["/v3/maintenance/status"] = { 200, '{"header":{"member_id":"5","revision":"9"}}' }
    assert.equal(tonumber(C.ERR_UNAVAILABLE), check().code)
  end)

  it("fails a check without a cluster id", function()
    start()
    f.override["/pd/api/v1/members"] = { 200,
      '{"header":{},"members":[],"leader":{"name":"x","member_id":1,"client_urls":["http://x:1"]}}' }
    local n = check()
    assert.equal(tonumber(C.ERR_PROTOCOL), n.code)
    assert.truthy(n.msg:find("cluster_id", 1, true), n.msg)
  end)

  it("forgets a leader that does not answer", function()
    start()
    read("/pd/api/v1/members")
    f.dead = { ["basic-pd-0"] = true }
    assert.equal(0, read("/pd/api/v1/version").code)
    assert.equal("basic-pd basic-pd-0 basic-pd", hosts())
  end)
end)
