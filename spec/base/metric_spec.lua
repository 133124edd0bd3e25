local core = require "support.core"
local ffi = core.ffi
local lib = core.load("base/metric.h")

describe("metrics", function()
  local m
  before_each(function() m = ffi.gc(lib.metrics_new(), lib.metrics_free) end)

  local function printed()
    local b = ffi.gc(ffi.new("struct buf"), lib.buf_fini)
    lib.buf_init(b, 0)
    assert.equal(0, lib.metrics_print(m, b))
    return ffi.string(b.at, b.len)
  end

  it("are printed as Prometheus text", function()
    lib.metric_family(m, "passes_total", lib.METRIC_COUNTER, "Passes,\nby \\kind.", nil)
    lib.metric_family(m, "queue_depth", lib.METRIC_GAUGE, "Keys waiting.", nil)
    lib.metric_family(m, "unused", lib.METRIC_GAUGE, "Nothing.", nil)
    lib.metric_add(m, "passes_total", 'kind="TiKV"', 1)
    lib.metric_add(m, "passes_total", 'kind="TiKV"', 2)
    lib.metric_add(m, "passes_total", 'kind="PD"', 1)
    lib.metric_set(m, "queue_depth", nil, 7)
    lib.metric_set(m, "queue_depth", "", 2.5)
    assert.equal([[
# HELP passes_total Passes,\nby \\kind.
# TYPE passes_total counter
passes_total{kind="TiKV"} 3
passes_total{kind="PD"} 1
# HELP queue_depth Keys waiting.
# TYPE queue_depth gauge
queue_depth 2.5
]], printed())
    assert.equal(3, lib.metric_value(m, "passes_total", 'kind="TiKV"'))
    assert.equal(0, lib.metric_value(m, "passes_total", 'kind="X"'))
    assert.equal(0, lib.metric_value(m, "nope", ""))
  end)

  it("count what was observed in cumulative buckets", function()
    lib.metric_family(m, "s", lib.METRIC_HISTOGRAM, "Seconds.", ffi.new("double[4]", { 0.1, 1, 10, 0 }))
    for _, v in ipairs { 0.05, 0.1, 0.5, 5, 50, 50 } do lib.metric_observe(m, "s", 'k="v"', v) end
    lib.metric_observe(m, "s", "", 1)
    assert.equal([[
# HELP s Seconds.
# TYPE s histogram
s_bucket{k="v",le="0.1"} 2
s_bucket{k="v",le="1"} 3
s_bucket{k="v",le="10"} 4
s_bucket{k="v",le="+Inf"} 6
s_sum{k="v"} 105.65
s_count{k="v"} 6
s_bucket{le="0.1"} 0
s_bucket{le="1"} 1
s_bucket{le="10"} 1
s_bucket{le="+Inf"} 1
s_sum 1
s_count 1
]], printed())
    assert.equal(6, lib.metric_value(m, "s", 'k="v"'))
  end)

  it("name NaN and infinity as Prometheus does", function()
    lib.metric_family(m, "g", lib.METRIC_GAUGE, "G.", nil)
    lib.metric_set(m, "g", 'v="a"', 0 / 0)
    lib.metric_set(m, "g", 'v="b"', math.huge)
    lib.metric_set(m, "g", 'v="c"', -math.huge)
    local text = printed()
    for _, line in ipairs { 'g{v="a"} NaN\n', 'g{v="b"} +Inf\n', 'g{v="c"} -Inf\n' } do
      assert.is_truthy(text:find(line, 1, true), text)
    end
  end)

  it("drop the series of what is gone, in every family, and no others", function()
    lib.metric_family(m, "a", lib.METRIC_GAUGE, "A.", nil)
    lib.metric_family(m, "b", lib.METRIC_HISTOGRAM, "B.", nil)
    lib.metric_set(m, "a", 'namespace="n",name="x"', 1)
    lib.metric_set(m, "a", 'kind="k",namespace="n",name="x"', 1)
    lib.metric_set(m, "a", 'namespace="n",name="xy"', 1)
    lib.metric_set(m, "a", 'othernamespace="n",name="x"', 1)
    lib.metric_observe(m, "b", 'namespace="n",name="x"', 1)
    lib.metric_drop(m, "")
    lib.metric_drop(m, 'namespace="n",name="x"')
    assert.equal([[
# HELP a A.
# TYPE a gauge
a{namespace="n",name="xy"} 1
a{othernamespace="n",name="x"} 1
]], printed())
  end)

  it("escape the values of labels", function()
    local b = ffi.gc(ffi.new("struct buf"), lib.buf_fini)
    lib.buf_init(b, 0)
    assert.equal(0, lib.metric_label(b, "a", 'x"\\\ny'))
    assert.equal(0, lib.metric_label(b, "b", ""))
    assert.equal([[a="x\"\\\ny",b=""]], ffi.string(b.at))
    lib.buf_init(b, 3)
    assert.equal(-1, lib.metric_label(b, "a", "b"))
  end)

  it("may be registered twice alike", function()
    lib.metric_family(m, "a", lib.METRIC_GAUGE, "A.", nil)
    lib.metric_set(m, "a", "", 1)
    lib.metric_family(m, "a", lib.METRIC_GAUGE, "A.", nil)
    assert.equal(1, lib.metric_value(m, "a", ""))
  end)
end)
