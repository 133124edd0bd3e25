local core = require "support.core"
local random = require "support.random"
local ffi = core.ffi
local lib = core.load("base/heap.h")

ffi.cdef "void *malloc(size_t); void free(void *);"

describe("a heap", function()
  local h
  before_each(function()
    h = ffi.gc(ffi.new("struct heap"), lib.heap_fini)
    lib.heap_init(h)
  end)

  local function node() return ffi.new("struct heap_node") end

  it("gives nothing when it is empty", function()
    assert.is_true(lib.heap_peek(h) == nil)
    assert.is_true(lib.heap_pop(h) == nil)
    lib.heap_remove(h, node())
  end)

  it("gives nodes with the same time in the order they came", function()
    local nodes = {}
    for i = 1, 50 do
      nodes[i] = node()
      lib.heap_push(h, nodes[i], i % 3)
    end
    for _, due in ipairs { 0, 1, 2 } do
      for i = 1, 50 do
        if i % 3 == due then assert.is_true(lib.heap_pop(h) == nodes[i]) end
      end
    end
  end)

  it("knows negative and very large times", function()
    local late, early = node(), node()
    lib.heap_push(h, late, 9223372036854775807LL)
    lib.heap_push(h, early, -9223372036854775807LL)
    assert.is_true(lib.heap_pop(h) == early)
    assert.is_true(lib.heap_peek(h) == late)
  end)

  it("may end after its nodes", function()
    local items = ffi.cast("struct heap_node *", ffi.C.malloc(2 * ffi.sizeof("struct heap_node")))
    ffi.fill(items, 2 * ffi.sizeof("struct heap_node"))
    lib.heap_push(h, items + 0, 1)
    lib.heap_push(h, items + 1, 2)
    ffi.C.free(items)
    lib.heap_fini(h)
  end)

  it("does what a sorted list does, for random pushes, pops and removals", function()
    local rng = random(9)
    local list = {}
    for seq = 1, 5000 do
      local what = rng(10)
      if what <= 6 or #list == 0 then
        local item = { node = node(), due = rng(-50, 50), seq = seq }
        lib.heap_push(h, item.node, item.due)
        list[#list + 1] = item
        table.sort(list, function(a, b)
          if a.due ~= b.due then return a.due < b.due end
          return a.seq < b.seq
        end)
      elseif what <= 8 then
        assert.is_true(lib.heap_pop(h) == list[1].node)
        assert.equal(0, tonumber(list[1].node.at))
        table.remove(list, 1)
      else
        local i = rng(#list)
        lib.heap_remove(h, list[i].node)
        lib.heap_remove(h, list[i].node)
        table.remove(list, i)
      end
      assert.equal(#list, tonumber(h.count))
      assert.is_true(#list == 0 or lib.heap_peek(h) == list[1].node)
    end
  end)
end)
