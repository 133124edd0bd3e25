--- pdview: one snapshot of PD, its age, and what it must never believe.
local pd = require "spec.pd.support"
local C, kube = pd.C, pd.kube

describe("pdview", function()
  local w, f, v

  local function start(over)
    w = kube.world()
    f = pd.pd(over)
    v = pd.view(w, f)
  end
  after_each(function()
    if v then C.pdview_free(v) end
    v = nil
  end)

  it("knows members, stores, counts and settings after its first round", function()
    start()
    assert.equal("", pd.trouble(v))
    assert.equal("7710367791441466003", pd.at(v, "cluster_id"))
    assert.equal("13404984625176283911", pd.at(v, "leader.id"))
    assert.equal("basic-pd-0", pd.at(v, "leader.name"))
    assert.equal("true", pd.at(v, "members[0].healthy"))
    assert.equal("true", pd.at(v, "members[0].leader"))
    assert.equal("4", pd.at(v, "counts.Up"))
    assert.equal("3", pd.at(v, "replication.max_replicas"))
    assert.equal('["zone","host"]', pd.at(v, "replication.location_labels"))
    assert.equal("zone", pd.at(v, "replication.isolation_level"))
    assert.equal("2", pd.at(v, "regions.pending_peer"))
    assert.equal("20", pd.at(v, "regions.total"))
    assert.equal("107374182400", pd.store_at(v, "2", "capacity"))
    assert.equal("z2", pd.store_at(v, "2", "labels.zone"))
    assert.equal("v8.5.7", pd.at(v, "version"))
    assert.truthy(C.pdview_store_at(v, "basic-tikv-3.basic-tikv-peer.ns.svc:20160") ~= nil)
    assert.truthy(C.pdview_member(v, "basic-pd-2") ~= nil)
  end)

  it("takes the age of a heartbeat from PD's own Date, not from our clock", function()
    start()
    local real = f.reply
    f.reply = function(self, r)
      self:store("1").beat_ago = 77 + 3600
      local status, body = self:answer(r, r.world.wall)
      r:head(status, { ["content-type"] = "application/json" })
      r.h.date_wall_ms = r.world.wall - 3600 * 1000 -- PD's clock is an hour behind ours
      r:chunk(body):finish()
    end
    C.pdview_poll_now(v)
    pd.serve(w, f, 50)
    f.reply = real
    assert.equal("77", pd.store_at(v, "1", "heartbeat_age"))
  end)

  it("tells of settings that moved, also when it is asked in the middle of a round", function()
    start()
    assert.equal("false", pd.at(v, "settings.schedule.halt-scheduling"))
    pd.changed()
    C.pdview_poll_now(v)
    pd.serve(w, f, 101)
    f.halted = true
    C.pdview_poll_now(v)
    pd.serve(w, f, 3000)
    assert.equal("true", pd.at(v, "settings.schedule.halt-scheduling"))
    assert.truthy(pd.changed():find("settings", 1, true))
  end)

  it("asks again for settings that came while they were changed", function()
    start()
    local asked
    f.override["/pd/api/v1/config"] = function(q)
      asked = true
      f.override["/pd/api/v1/config"] = nil
      C.pdview_poll_now(v) -- a write of ours ended while this answer was on its way
      local status, body = f:answer(q)
      f.halted = true
      return status, body
    end
    C.pdview_poll_now(v)
    pd.serve(w, f, 3000)
    assert.is_true(asked)
    assert.equal("true", pd.at(v, "settings.schedule.halt-scheduling"))
  end)

  it("knows PD whose etcd is full, and says so; any other error of etcd makes it unknown", function()
    start()
    assert.equal("false", pd.at(v, "no_space"))
    pd.changed()
    local function etcd(errors)
      f.override["/v3/maintenance/status"] = { 200, ('{"header":{"cluster_id":"1","member_id":"%s","revision":"101",'
        .. '"raft_term":"2"},"errors":[%s]}'):format(f.leader.id, errors), "application/json" }
      C.pdview_poll_now(v)
      pd.serve(w, f, 3000)
    end
    etcd '"memberID:13404984625176283911 alarm:NOSPACE "'
    assert.equal("", pd.trouble(v))
    assert.equal("true", pd.at(v, "no_space"))
    assert.truthy(pd.changed():find("config", 1, true))
    etcd '"memberID:1 alarm:NOSPACE ", "memberID:1 alarm:CORRUPT "'
    assert.truthy(pd.trouble(v):find("CORRUPT", 1, true))
    etcd ""
    pd.serve(w, f, 30000)
    assert.equal("false", pd.at(v, "no_space"))
  end)

  it("tells what became of a setting that was sent", function()
    start()
    pd.changed()
    C.pdview_tried(v, pd.kube.tree '{"schedule.x":8}', "no such item")
    assert.equal("settings", pd.changed())
  end)

  it("keeps ids beyond 2^53 exact", function()
    start { store_count = 0 }
    f:add_store("18446744073709551614")
    f:add_store("9007199254740993")
    C.pdview_poll_now(v)
    pd.serve(w, f, 50)
    assert.equal("9007199254740993", pd.at(v, "stores[0].id"))
    assert.equal("18446744073709551614", pd.at(v, "stores[1].id"))
    assert.equal("Up", pd.store_at(v, "18446744073709551614", "state"))
  end)

  -- W-15, W-63
  it("asks at most 40 times in two idle minutes, with 1,000 stores too", function()
    start { store_count = 1000 }
    local before = tonumber(C.pd_calls(C.pdview_pd(v)))
    pd.serve(w, f, 120000)
    local calls = tonumber(C.pd_calls(C.pdview_pd(v))) - before
    assert.truthy(calls <= 40, calls .. " calls")
    assert.truthy(calls >= 20, calls .. " calls")
    assert.equal("1000", pd.at(v, "counts.Up"))
  end)

  -- W-44, W-70
  it("asks about every second while somebody waits, and slows down afterwards", function()
    start()
    C.pdview_want(v, C.PDVIEW_BUSY, "TiKV/ns/a")
    C.pdview_want(v, C.PDVIEW_BUSY, "TiKV/ns/b")
    C.pdview_want(v, C.PDVIEW_IDLE, "TiKV/ns/b")
    pd.serve(w, f, 100)
    f.log = {}
    pd.serve(w, f, 10000)
    local stores = 0
    for _, line in ipairs(f.log) do stores = stores + (line:find("/stores") and 1 or 0) end
    assert.truthy(stores >= 9 and stores <= 11, stores .. " polls")
    C.pdview_want(v, C.PDVIEW_IDLE, "TiKV/ns/a")
    pd.serve(w, f, 2000)
    f.log = {}
    pd.serve(w, f, 9000)
    assert.truthy(#f.log <= 8, #f.log .. " calls")
  end)

  -- W-14
  it("says nothing when nothing changed, and only material changes of figures", function()
    start()
    pd.changed()
    f:store("1").regions = 33
    f:store("1").leaders = 9
    pd.serve(w, f, 15000)
    assert.equal("", pd.changed())
    f:store("1").regions = 45
    pd.serve(w, f, 15000)
    assert.equal("figures:1", pd.changed())
    f:store("2").leaders = 0
    pd.serve(w, f, 15000)
    assert.equal("figures:2", pd.changed())
    f:store("3").zone = "z9"
    pd.serve(w, f, 15000)
    assert.equal("store:3", pd.changed())
  end)

  it("tells each step of a drain", function()
    start()
    f:store("1").state, f:store("1").node = "Offline", 2
    pd.serve(w, f, 15000)
    pd.changed()
    f:store("1").regions = 29
    pd.serve(w, f, 15000)
    assert.equal("figures:1", pd.changed())
  end)

  it("changes nothing but age and reason when a poll fails (S15)", function()
    start()
    pd.changed()
    f.dead = { ["basic-pd-0"] = true, ["basic-pd"] = true }
    pd.serve(w, f, 60000)
    assert.equal("4", pd.at(v, "counts.Up"))
    assert.truthy(pd.trouble(v):find("refused", 1, true), pd.trouble(v))
    assert.truthy(tonumber(C.pdview_age_ms(v)) > 55000)
    assert.equal("known", pd.changed())
    assert.falsy(C.pdview_settled(v))
    f.dead = nil
    pd.serve(w, f, 15000)
    assert.equal("", pd.trouble(v))
    assert.truthy(pd.changed():find("known", 1, true))
  end)

  it("takes nothing from a page of HTML, a wrong type, a wrong count or a broken list", function()
    local path = "/pd/api/v1/stores"
    for name, bent in pairs {
      html = { 200, "<html>login</html>", "text/html" },
      type = { 200, '{"count":0,"stores":[]}', "text/plain" },
      count = { 200, '{"count":4,"stores":[]}' },
      cut = { 200, '{"count":0,"stores":[' },
      shape = { 200, '{"count":1,"stores":[{"store":{"id":1,"address":"a:1","state_name":"Happy"},"status":{}}]}' },
      null = { 200, "null" },
    } do
      start()
      f.override[path] = bent
      pd.serve(w, f, 15000)
      assert.equal("4", pd.at(v, "counts.Up"), name)
      assert.truthy(pd.trouble(v):find("stores", 1, true), name .. ": " .. pd.trouble(v))
      C.pdview_free(v)
      v = nil
    end
  end)

  it("gives up on an answer of 100 MB", function()
    start()
    f.reply = function(self, r)
      if r.path == "/pd/api/v1/stores" then
        r:head(200, { ["content-type"] = "application/json" })
        r:chunk('{"count":1,"stores":[{"store":{"x":"')
        local lump = ("x"):rep(1048576)
        for _ = 1, 100 do r:chunk(lump) end
        return r:finish()
      end
      return getmetatable(self).reply(self, r)
    end
    pd.serve(w, f, 15000)
    assert.equal("4", pd.at(v, "counts.Up"))
    assert.truthy(pd.trouble(v) ~= "")
  end)

  it("knows a PD that nobody has bootstrapped yet: no stores, and that is known", function()
    start { bootstrapped = false, store_count = 0 }
    assert.equal("", pd.trouble(v))
    assert.equal("false", pd.at(v, "bootstrapped"))
    assert.equal("[]", pd.at(v, "stores"))
    assert.equal("[]", pd.at(v, "schedulers"))
    f.bootstrapped = true
    f:add_store("1")
    pd.serve(w, f, 15000)
    assert.equal("1", pd.at(v, "counts.Up"))
    assert.equal('["balance-leader-scheduler","balance-region-scheduler"]', pd.at(v, "schedulers"))
  end)

  -- W-74
  it("names what is evicted; a 404 of the list means nothing is", function()
    start()
    f.evict = { "3" }
    C.pdview_poll_now(v)
    pd.serve(w, f, 50)
    assert.equal('["3"]', pd.at(v, "evicting"))
    assert.equal("true", pd.store_at(v, "3", "evicting"))
    f.evict = {}
    C.pdview_poll_now(v)
    pd.serve(w, f, 50)
    assert.equal("[]", pd.at(v, "evicting"))
  end)

  it("is settled only after 150 s of the same leader, with its schedulers loaded", function()
    start()
    assert.falsy(C.pdview_settled(v))
    pd.serve(w, f, 140000)
    assert.falsy(C.pdview_settled(v))
    pd.serve(w, f, 30000)
    assert.truthy(C.pdview_settled(v))
    f.leader, f.term = f.members[2], 3
    pd.serve(w, f, 15000)
    assert.falsy(C.pdview_settled(v))
    pd.serve(w, f, 170000)
    assert.truthy(C.pdview_settled(v))
    f.schedulers = {}
    pd.serve(w, f, 90000)
    assert.falsy(C.pdview_settled(v))
  end)

  it("is no longer settled when the same leader was elected again (another term)", function()
    start()
    pd.serve(w, f, 180000)
    assert.truthy(C.pdview_settled(v))
    f.term = 3
    pd.serve(w, f, 30000)
    assert.falsy(C.pdview_settled(v))
  end)

  it("sees a new term in the same round as a store that turned Tombstone", function()
    start()
    f:store("1").state, f:store("1").node, f:store("1").regions = "Offline", 2, 5
    pd.serve(w, f, 180000)
    assert.truthy(C.pdview_settled(v))
    repeat -- a round has just asked who leads: the next one would not
      f.log = {}
      pd.serve(w, f, 500)
    until table.concat(f.log):find("maintenance", 1, true)
    f:store("1").state, f:store("1").node, f:store("1").regions = "Tombstone", 3, 0
    f.term = 9
    for _ = 1, 40 do
      pd.serve(w, f, 500)
      if pd.store_at(v, "1", "state") == "Tombstone" then break end
    end
    assert.equal("Tombstone", pd.store_at(v, "1", "state"))
    assert.falsy(C.pdview_settled(v))
  end)

  it("calls another cluster id a changed history and keeps what it had (G8)", function()
    start()
    f.cluster_id = "7710369504871062240"
    f.stores = {}
    pd.serve(w, f, 15000)
    local changed, why = pd.history(v)
    assert.is_true(changed)
    assert.truthy(why:find("7710369504871062240", 1, true))
    assert.equal("7710367791441466003", pd.at(v, "cluster_id"))
    assert.equal("4", pd.at(v, "counts.Up"))
  end)

  it("calls an id other than the recorded one a changed history, before and after it is seen (G8)", function()
    start()
    C.pdview_expect_cluster(v, "7710367791441466003")
    assert.is_false((pd.history(v)))
    C.pdview_expect_cluster(v, "1")
    assert.is_true((pd.history(v)))
  end)

  it("calls a living store that is missing, or a removed one that lives, a changed history (G8)", function()
    start()
    table.remove(f.stores, 2)
    pd.serve(w, f, 15000)
    assert.is_true((pd.history(v)))
    C.pdview_free(v)
    start()
    f:store("2").state, f:store("2").node, f:store("2").regions = "Tombstone", 3, 0
    pd.serve(w, f, 15000)
    assert.is_false((pd.history(v)))
    f:store("2").state, f:store("2").node = "Up", 1
    pd.serve(w, f, 15000)
    assert.is_true((pd.history(v)))
  end)

  it("bears a purged tombstone", function()
    start()
    f:store("2").state, f:store("2").node, f:store("2").regions = "Tombstone", 3, 0
    pd.serve(w, f, 15000)
    table.remove(f.stores, 2)
    pd.serve(w, f, 15000)
    assert.is_false((pd.history(v)))
    assert.is_nil(pd.store_at(v, "2", "state"))
  end)

  it("calls an etcd revision that stays behind a changed history, a short dip not (G8)", function()
    start()
    f.revision = 90
    C.pdview_poll_now(v)
    pd.serve(w, f, 50)
    assert.is_false((pd.history(v)))
    f.revision = 120
    pd.serve(w, f, 30000)
    assert.equal("", pd.trouble(v))
    f.revision = 50
    pd.serve(w, f, 60000)
    assert.is_true((pd.history(v)))
  end)

  it("holds PD to what was recorded before this process asked it, until a person confirmed (G8)", function()
    local function recalled(json)
      w = kube.world()
      f = pd.pd()
      f:store("2").state, f:store("2").node, f:store("2").regions = "Tombstone", 3, 0
      v = pd.view(w, f, {})
      C.pdview_recall(v, C.json_parse(json, #json, nil))
      C.pdview_set_endpoints(v, pd.urls { "http://basic-pd.ns:2379" })
      pd.serve(w, f, 500)
      return pd.history(v)
    end
    assert.is_false((recalled '{"1":true,"2":false,"9":false}'))
    C.pdview_free(v)
    local changed, why = recalled '{"1":true,"9":true}'
    assert.is_true(changed)
    assert.truthy(why:find("store 9 is recorded", 1, true))
    C.pdview_confirm(v)
    pd.serve(w, f, 1000)
    assert.is_false((pd.history(v)))
    C.pdview_free(v)
    changed, why = recalled '{"1":false}'
    assert.is_true(changed)
    assert.truthy(why:find("recorded as removed", 1, true))
  end)

  it("reads from placement rules what regions need; without rules it is max-replicas", function()
    start()
    assert.equal("3", pd.at(v, "replication.voters"))
    assert.equal("3", pd.at(v, "replication.peers"))
    f.override["/pd/api/v1/config/rules"] = { 200, [=[[{"role":"voter","count":2,"start_key":"","end_key":""},
      {"role":"follower","count":3,"start_key":"","end_key":""},{"role":"learner","count":1,"start_key":"",
      "end_key":""}]]=] }
    pd.serve(w, f, 320000)
    assert.equal("5", pd.at(v, "replication.voters"))
    assert.equal("6", pd.at(v, "replication.peers"))
    f.override["/pd/api/v1/config/rules"] = { 412, "[PD:placement:ErrPlacementDisabled]disabled", "text/plain" }
    pd.serve(w, f, 320000)
    assert.equal("3", pd.at(v, "replication.voters"))
    f.override["/pd/api/v1/config/rules"] = { 500, "no", "text/plain" }
    pd.serve(w, f, 320000)
    assert.truthy(pd.trouble(v) ~= "")
  end)

  it("goes on after a person confirmed", function()
    start()
    f.cluster_id = "55"
    pd.serve(w, f, 15000)
    C.pdview_confirm(v)
    pd.serve(w, f, 1000)
    assert.is_false((pd.history(v)))
    assert.equal("55", pd.at(v, "cluster_id"))
  end)

  it("has no leader while PD names none or is changing it", function()
    start()
    f.leader = nil
    pd.serve(w, f, 15000)
    assert.truthy(pd.trouble(v):find("no leader", 1, true))
    assert.equal("13404984625176283911", pd.at(v, "leader.id"))
  end)

  it("is unknown without endpoints, and sends nothing", function()
    start()
    C.pdview_set_endpoints(v, pd.urls {})
    local n = #w.requests
    pd.serve(w, f, 60000)
    assert.equal(n, #w.requests)
    assert.equal("no PD yet", pd.trouble(v))
  end)

  it("does without etcd's gateway, then judges the leader by its start time", function()
    start()
    f.override["/v3/maintenance/status"] = { 404, "404 page not found", "text/plain" }
    C.pdview_free(v)
    v = pd.view(w, f)
    assert.equal("", pd.trouble(v))
    pd.serve(w, f, 180000)
    assert.truthy(C.pdview_settled(v))
    f.start = f.start + 1000
    pd.serve(w, f, 30000)
    assert.falsy(C.pdview_settled(v))
  end)

  it("leaves the health of a member open until PD tells it", function()
    start()
    f.members[4] = { name = "basic-pd-3", id = "77", nameless = true, healthy = false }
    f.override["/pd/api/v1/health"] = { 503, "no", "text/plain" }
    pd.serve(w, f, 30000)
    assert.is_nil(pd.at(v, "members[0].healthy"))
    assert.equal("4", tostring(#f.members))
  end)
end)
