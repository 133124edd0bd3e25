-- Alerts rely on names: each metric of a rule must be one that the code emits, with the labels that it has, and
-- each reason that a runbook names must be one that objects show.
require("support.caged").open()
local app = require "app.support"
local reasons = require "lib.reasons"

local function read(path)
  local f = assert(io.open(path))
  local text = f:read "*a"
  f:close()
  return text
end

-- { alert = { expr, for, severity, summary, runbook } }, in order of the file.
local function alerts(path)
  local out, last = {}, nil
  for line in read(path):gmatch "[^\n]+" do
    local key, value = line:match "^%s*%-?%s*(%a+): (.*)$"
    if key == "alert" then
      last = { alert = value }
      out[#out + 1] = last
    elseif last and key then
      last[key] = value
    end
  end
  return out
end

local NO_REASON = { ConfigMap = true, BreakerOpen = true, TiKV = true }

-- Names of metrics that the C code can emit: whatever it gives to a family.
local function emitted()
  local out = {}
  local pipe = io.popen "grep -rhoE '\"tikv_[a-z_]+\"' core --include=*.c"
  for name in pipe:read("*a"):gmatch '"([a-z_]+)"' do
    if name ~= "tikv_config" then out[name] = true end -- an action
  end
  pipe:close()
  return out
end

local function names(expr)
  local out = {}
  for name in expr:gmatch "tikv_[%w_]+" do out[name] = true end
  return out
end

describe("manifests/monitoring", function()
  local rules = alerts "manifests/monitoring/rules.yaml"

  it("has the same alerts for both kinds of Prometheus", function()
    assert.is_true(#rules > 10)
    assert.same(rules, alerts "manifests/monitoring/prometheusrule.yaml")
  end)

  it("uses only metrics that the code emits", function()
    local known, used = emitted(), 0
    for _, r in ipairs(rules) do
      for name in pairs(names(r.expr)) do
        used = used + 1
        assert.is_true(known[name], r.alert .. ": " .. name)
      end
    end
    assert.is_true(used > 15, used)
  end)

  it("has a severity, a sentence, and a runbook whose reasons exist, in every alert", function()
    local named = 0
    for _, r in ipairs(rules) do
      assert.truthy(r.labels:find "critical" or r.labels:find "warning" or r.labels:find "info", r.alert)
      assert.is_true(#r.summary > 10 and #r.runbook > 30, r.alert)
      for code in (r.runbook .. " " .. r.expr):gmatch "%f[%w]%u%l+%u[%w]+" do
        if not NO_REASON[code] then
          named = named + 1
          assert.truthy(reasons.all[code], r.alert .. ": " .. code)
        end
      end
    end
    assert.is_true(named > 30, named)
  end)

  it("is told in manifests/README.md, metric by metric", function()
    local book = read "manifests/README.md"
    for name in pairs(emitted()) do assert.truthy(book:find("`" .. name .. "`", 1, true), name) end
    for name in book:gmatch "`(tikv_[%w_]+)`" do assert.is_true(emitted()[name], name) end
  end)
end)

describe("/metrics of a running operator", function()
  local p, page

  setup(function()
    p = app.playground()
    assert(app.wait(30, function()
      return select(2, p.run "status basic"):find("TiKV 3/3", 1, true)
    end), "the cluster did not come up")
    assert(app.wait(15, function()
      page = select(2, app.shell(("kubectl --kubeconfig %s get --raw %s"):format(p.kubeconfig,
        "/api/v1/namespaces/tikv-system/pods/tikv-operator-0:8080/proxy/metrics")))
      return page:find('tikv_cluster_phase{namespace="default",cluster="basic",phase="Running"} 1', 1, true)
    end), page)
  end)
  teardown(function()
    p.stop "TERM"
    app.clean()
  end)

  local function has(series) assert.truthy(page:find(series, 1, true), series .. "\n" .. page) end

  it("tells of each cluster and group, and of instances by phase", function()
    has '\ntikv_cluster_condition{namespace="default",cluster="basic",condition="Available"} 1\n'
    has '\ntikv_cluster_stores{namespace="default",cluster="basic",state="Up"} 3\n'
    has '\ntikv_cluster_pd_members{namespace="default",cluster="basic",healthy="true"} 3\n'
    has '\ntikv_cluster_pd_leader{namespace="default",cluster="basic"} 1\n'
    has '\ntikv_group_replicas_ready{namespace="default",cluster="basic",group="basic",component="tikv"} 3\n'
    has '\ntikv_instances{namespace="default",cluster="basic",group="basic",component="pd",phase="Serving"} 3\n'
    assert.is_nil(page:find("\ntikv_instance_waiting_seconds{", 1, true), "nobody waits")
  end)

  it("has every label that the rules ask for", function()
    local labels = {}
    for name, set in page:gmatch "\n(tikv_[%w_]+){([^}]*)}" do
      labels[name] = labels[name] or {}
      for key in set:gmatch '([%a_]+)="' do labels[name][key] = true end
    end
    local checked = 0
    for _, r in ipairs(alerts "manifests/monitoring/rules.yaml") do
      for name, set in r.expr:gmatch "(tikv_[%w_]+){([^}]*)}" do
        for key in set:gmatch '([%a_]+)[=!]~?"' do
          if labels[name] then
            checked = checked + 1
            assert.is_true(labels[name][key], r.alert .. ": " .. name .. " has no label " .. key)
          end
        end
      end
    end
    assert.is_true(checked >= 6, checked)
  end)
end)
