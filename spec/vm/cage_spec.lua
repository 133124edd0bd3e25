--- The cage: every known way out, and the measure that closes it.
local vm = require "support.vm"

local function run(body, opt, ...) return vm.run(body, opt, ...) end

local function yields(value, body, ...)
  local out, how, why = run(body, nil, ...)
  assert.same({ value, "ok" }, { out, how }, why)
end

local function fails(how, text, body, opt)
  local out, got, why = run(body, opt)
  assert.equal(how, got, out or why)
  assert.truthy(why:find(text, 1, true), why)
end

local SMALL = { budget = 200000 }

describe("a caged state", function()
  it("calls a function of a module and gives its first result", function()
    yields('{"a":[1,2,{"b":"x"}]}', "local v = ... return v, 2", '{"a":[1,2,{"b":"x"}]}')
    yields(nil, "return")
    yields("false", "return false")
  end)

  it("keeps a module's locals from call to call", function()
    local cage = assert(vm.new "local n = 0 return { f = function() n = n + 1 return n end }")
    assert(cage:require())
    assert.equal("1", (cage:call "f"))
    assert.equal("2", (cage:call "f"))
    cage:free()
  end)

  it("says which module or function is missing", function()
    local cage = assert(vm.new "return {}")
    local _, how, why = cage:call "f"
    assert.same({ "error", "m: not loaded" }, { how, why })
    assert(cage:require())
    _, how, why = cage:call "f"
    assert.same({ "error", "m: has no function 'f'" }, { how, why })
    cage:free()
  end)

  it("shows file, line and the way there when a script fails", function()
    local cage = assert(vm.new { ["controllers.tikv"] = [[
local C = {}
local function deep(x)
  local v = x.y.z
  return v
end
function C.f()
  local r = deep({})
  return r
end
return C]] })
    assert(cage:require "controllers.tikv")
    local _, how, why = cage:call_in("controllers.tikv", "f")
    assert.equal("error", how)
    assert.equal("lua/controllers/tikv.lua:3: attempt to index field 'y' (a nil value)\n" ..
      "  at lua/controllers/tikv.lua:3 (deep)\n  at lua/controllers/tikv.lua:7", why)
    cage:free()
  end)

  it("says so when the sources do not fit into the memory", function()
    local cage, why = vm.new("return {" .. ("{1,2,3},"):rep(100000) .. "}", { memory = 2 ^ 20 })
    assert.is_nil(cage)
    assert.equal("scripts do not fit into 1048576 bytes", why)
  end)

  it("is not called from inside its own call", function()
    local cage = assert(vm.new "return { f = function() return ask('again', 1) end }")
    assert(cage:require())
    cage:on_ask(function()
      local _, how, why = cage:call "f"
      return nil, how .. ": " .. why
    end)
    local _, how, why = cage:call "f"
    assert.equal("error", how)
    assert.truthy(why:find("error: m: a call is running in this state", 1, true), why)
    cage:free()
  end)

  it("reports a syntax error with file and line when it is loaded", function()
    local cage, why = vm.new { ["lib.bad"] = "local x = 1\nif x then\nreturn x" }
    assert.is_nil(cage)
    assert.truthy(why:find("lua/lib/bad.lua:3:", 1, true), why)
  end)

  it("prints an error value that is a table", function()
    fails("error", '{"code":7}', "error({ code = 7 })")
    fails("error", "an error that is a function", "error(function() end)")
  end)
end)

describe("an endless script is killed:", function()
  local hostile = {
    ["a bare loop"] = "while true do end",
    ["a loop of calls"] = "local function g() return 1 end while true do g() end",
    ["endless tail calls"] = "local function g() return g() end g()",
    ["pcall around a loop, for ever"] =
      "while true do pcall(function() while true do end end) end",
    ["xpcall whose handler loops"] =
      "while true do xpcall(error, function() while true do end end) end",
    ["a table.sort comparator"] = "while true do pcall(table.sort, { 3, 2, 1 }, function() " ..
      "while true do end end) end",
    ["a gsub callback"] = [[while true do pcall(string.gsub, "aaa", "a", function()
      while true do end end) end]],
    ["a gsub table's __index"] = [[while true do pcall(string.gsub, "aaa", "a",
      setmetatable({}, { __index = function() while true do end end })) end]],
    ["an __index metamethod"] =
      "local t = setmetatable({}, { __index = function() while true do end end }) return t.x",
    ["an __index that is its own"] =
      "local t = setmetatable({}, { __index = function(t, k) return t[k] end }) while true do " ..
      "pcall(function() return t.x end) end",
    ["a __lt in sort"] = "local mt = { __lt = function() while true do end end } local t = {} " ..
      "for i = 1, 9 do t[i] = setmetatable({}, mt) end while true do pcall(table.sort, t) end",
    ["a __tostring"] = "local t = setmetatable({}, { __tostring = function() while true do end end }) " ..
      "while true do pcall(tostring, t) end",
    ["a __concat"] = "local t = setmetatable({}, { __concat = function() while true do end end }) " ..
      "return t .. 1",
    ["a for iterator"] = "for _ in function() return 1 end do end",
    ["deep recursion, caught for ever"] =
      "local function g() return 1 + g() end while true do pcall(g) end",
    ["memory exhaustion, caught for ever"] =
      "while true do pcall(function() local t = {} for i = 1, 1e9 do t[i] = i end end) end",
    ["table.move"] = "table.move({}, 1, 1e15, 2)",
    ["sorting a long list again and again"] =
      "local t = {} for i = 1, 20000 do t[i] = i end while true do table.sort(t) end",
    ["joining a long list again and again"] =
      "local t = {} for i = 1, 20000 do t[i] = 'x' end while true do table.concat(t) end",
    ["inserting at the front of a long list"] =
      "local t = {} while true do table.insert(t, 1, 1) end",
    ["string.upper of a long text"] =
      "local s = ('x'):rep(60000) while true do s:upper() end",
    ["text.split again and again"] =
      "local s = ('x,'):rep(30000) while true do text.split(s, ',') end",
    ["text.glob at its worst"] =
      "while true do text.glob('*' .. ('a'):rep(300) .. 'b', ('a'):rep(60000)) end",
    ["hash.sha256 of a long text"] = "local s = ('x'):rep(60000) while true do hash.sha256(s) end",
    ["json.encode of shared tables"] =
      "local t = {} for _ = 1, 12 do t = { t, t } end while true do json.encode(t) end",
    ["json.encode of what is too large, caught"] =
      "local t = {} for _ = 1, 60 do t = { t, t } end while true do pcall(json.encode, t) end",
    ["print of what is too large"] =
      "local t = {} for _ = 1, 60 do t = { t, t } end while true do print(t) end",
    ["json.decode again and again"] =
      "local s = '[' .. ('1,'):rep(30000) .. '1]' while true do json.decode(s) end",
    ["next of a long list"] =
      "local t = {} for i = 1, 20000 do t[i] = i end while true do next(t) end",
    ["pairs of a long list"] =
      "local t = {} for i = 1, 20000 do t[i] = i end while true do pairs(t) end",
    ["a text that doubles"] = "local s = 'x' while true do local r = s .. s " ..
      "if #r < 1000000 then s = r else s = 'y' end end",
  }
  local names = {}
  for name in pairs(hostile) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    it(name, function()
      local opt = { budget = 2000000, memory = 8 * 2 ^ 20 }
      local _, how, why = run(hostile[name], opt)
      assert.equal("budget", how, why)
      assert.truthy(why:find("too many instructions (2000000)", 1, true), why)
    end)
  end

  it("a loop at the top of a module", function()
    local cage = assert(vm.new("while true do end", SMALL))
    local ok, why = cage:require()
    assert.is_nil(ok)
    assert.truthy(why:find("too many instructions", 1, true), why)
    cage:free()
  end)

  it("a loop in a module that another requires inside pcall", function()
    local cage = assert(vm.new({
      a = "while true do pcall(require, 'b') end", b = "while true do end" }, SMALL))
    local ok, why = cage:require "a"
    assert.is_nil(ok)
    assert.truthy(why:find("too many instructions", 1, true), why)
    cage:free()
  end)

  it("copying long texts again and again, long before the instructions are used up", function()
    local _, how, why = run("local s = ('x'):rep(60000) for i = 1, 1e9 do local t = s .. i end",
      { budget = 2000000 })
    assert.equal("budget", how)
    assert.truthy(why:find("too much was copied", 1, true), why)
  end)

  it("says in which line it was", function()
    local _, _, why = run("local x = 0\nwhile true do\nx = x + 1\nend", SMALL)
    assert.truthy(why:find("at lua/m.lua:[234]"), why)
  end)

  it("after the same number of steps each time", function()
    local function steps()
      local cage = assert(vm.new([[
local M = { n = 0 }
function M.f() while true do M.n = M.n + 1 end end
function M.g() return M.n end
return M]], SMALL))
      assert(cage:require())
      local _, how = cage:call "f"
      assert.equal("budget", how)
      local n = cage:call "g"
      cage:free()
      return tonumber(n)
    end
    local first = steps()
    assert.truthy(first > 10000)
    assert.equal(first, steps())
    assert.equal(first, steps())
  end)

  it("and the state answers afterwards, 5,000 times, without growing", function()
    local cage = assert(vm.new([[
local M = {}
function M.f() local t = {} while true do t[1] = { t[1] and 1 } end end
function M.g() return "fine" end
return M]], { budget = 1000 }))
    assert(cage:require())
    for _ = 1, 200 do cage:call "f" end
    local before = cage:memory()
    local worst = 0
    for i = 1, 5000 do
      local _, how = cage:call "f"
      assert.equal("budget", how)
      if i % 500 == 0 then assert.equal('"fine"', (cage:call "g")) end
      worst = math.max(worst, cage:memory())
    end
    assert.truthy(worst < before * 3 + 500000, before .. " -> " .. worst)
    cage:free()
  end)
end)

describe("memory", function()
  it("is limited, and the state stays usable", function()
    local cage = assert(vm.new([[
local M = {}
function M.f() local t = {} for i = 1, 1e7 do t[i] = { i } end end
function M.s() local s = "x" while true do s = s .. s end end
function M.g() local t = {} for i = 1, 1000 do t[i] = { i } end return #t end
return M]], { memory = 4 * 2 ^ 20 }))
    assert(cage:require())
    for _ = 1, 5 do
      local _, how, why = cage:call "f"
      assert.equal("memory", how, why)
      assert.truthy(why:find("not enough memory (4194304 bytes)", 1, true), why)
      assert.truthy(cage:memory() < 2 ^ 20, cage:memory())
      _, how, why = cage:call "s"
      assert.equal("memory", how, why)
      assert.equal("1000", (cage:call "g"))
    end
    cage:free()
  end)

  it("of garbage alone ends no call", function()
    yields("1", "for i = 1, 200000 do local t = { i, i, i, i, { i } } t = nil end return 1")
    local out, how, why = run("local s = ('x'):rep(60000) for i = 1, 2000 do local t = s .. i end return 1",
      { memory = 2 * 2 ^ 20, budget = 10000000 })
    assert.same({ "1", "ok" }, { out, how }, why)
  end)

  it("that is half full of what is needed leaves room for garbage", function()
    local cage = assert(vm.new([[
local M, keep = {}, {}
for i = 1, 20000 do keep[i] = { i } end
function M.f() for i = 1, 200000 do local t = { i, keep } t = nil end return #keep end
return M]], { memory = 2.4 * 2 ^ 20 }))
    assert(cage:require())
    for _ = 1, 3 do
      local out, how, why = cage:call "f"
      assert.same({ "20000", "ok" }, { out, how }, why)
    end
    cage:free()
  end)

  it("exhausted by the arguments is an ordinary ending", function()
    local cage = assert(vm.new("return { f = function(x) return #x end }", { memory = 2 ^ 20 }))
    assert(cage:require())
    local big = "[" .. ("{},"):rep(100000) .. "{}]"
    for _ = 1, 3 do
      local _, how, why = cage:call("f", big)
      assert.equal("memory", how, why)
      assert.equal("2", (cage:call("f", "[1,2]")))
    end
    cage:free()
  end)

  it("too small for the libraries is an error", function()
    local cage, why = vm.new("return {}", { memory = 20000 })
    assert.is_nil(cage)
    assert.truthy(why:find("20000 bytes", 1, true), why)
  end)

  it("is given back: 40 generations do not grow the process", function()
    local function rss()
      local f = assert(io.open "/proc/self/statm")
      local _, pages = f:read("*n", "*n")
      f:close()
      return pages * 4096
    end
    local function generation()
      local cage = assert(vm.new [[
local M = {}
local keep = {}
for i = 1, 50000 do keep[i] = { i } end
function M.f() return #keep end
return M]])
      assert(cage:require())
      assert.equal("50000", (cage:call "f"))
      cage:free()
    end
    for _ = 1, 10 do generation() end
    local before = rss()
    for _ = 1, 40 do generation() end
    assert.truthy(rss() - before < 20 * 2 ^ 20, (rss() - before) / 2 ^ 20 .. " MiB")
  end)

  it("is not spent on deep recursion: that is an ordinary error", function()
    fails("error", "stack overflow", "local function g() return 1 + g() end return g()")
  end)
end)

describe("what is gone", function()
  local gone = { "coroutine", "debug", "io", "os", "package", "load", "loadstring", "loadfile", "dofile",
    "collectgarbage", "gcinfo", "newproxy", "getfenv", "setfenv", "rawset", "rawget", "rawequal", "module",
    "jit", "ffi", "_G", "arg" }
  for _, name in ipairs(gone) do
    it(name, function()
      fails("error", "no global '" .. name .. "'", "return " .. name)
    end)
  end

  it("parts of libraries: string.dump, math.random, table.foreach", function()
    yields('[1,1,1,1,1,1]', [[local n = {}
      for _, f in ipairs { string.dump or 1, string.gfind or 1, math.random or 1, math.randomseed or 1,
        table.foreach or 1, table.foreachi or 1 } do n[#n + 1] = f end return n]])
  end)

  it("require of anything but the given sources", function()
    for _, name in ipairs { "ffi", "jit", "os", "io", "debug", "string", "table.new", "jit.util",
      "../secret", "/etc/passwd" } do
      fails("error", "no module '" .. name .. "'", ("return require %q"):format(name))
    end
  end)

  it("the list of names that exist is exactly this", function()
    local names = { "assert", "bit", "error", "getmetatable", "hash", "ipairs", "json", "log", "math", "next",
      "pairs", "pcall", "print", "quantity", "require", "select", "semver", "setmetatable", "string", "table",
      "text", "time", "tonumber", "tostring", "type", "unpack", "xpcall" }
    for _, name in ipairs(names) do
      local out, how, why = run("return type(" .. name .. ")")
      assert.equal("ok", how, why)
      assert.truthy(out == '"function"' or out == '"table"', name)
    end
    for name in pairs(_G) do
      local known = false
      for _, n in ipairs(names) do known = known or n == name end
      if not known then
        local _, how = run(("local ok = pcall(function() return %s end) assert(not ok)"):format(
          name:match "^[%a_][%w_]*$" or "x"))
        assert.equal("ok", how, name)
      end
    end
  end)
end)

describe("bytecode is refused", function()
  local code = string.dump(assert(loadstring "return {}"))
  for name, text in pairs { plain = code, ["after a byte order mark"] = "\239\187\191" .. code,
    ["after a first line with #"] = "#!x\n" .. code, cut = code:sub(1, 10), ["one byte"] = "\27" } do
    it(name, function()
      local cage, why = vm.new { m = text }
      assert.is_nil(cage)
      assert.truthy(why:find("lua/m.lua", 1, true), why)
    end)
  end
end)

describe("the FFI stays shut", function()
  for _, literal in ipairs { "1LL", "2ull", "0x10LL", "3i" } do
    it("although the parser opens it for " .. literal, function()
      local cage, why = vm.new("return { f = function() return " .. literal .. " end }")
      assert.is_nil(cage)
      assert.truthy(why:find("LL, ULL or i", 1, true), why)
    end)
  end

  it("and a state that saw one takes nothing any more", function()
    local cage = assert(vm.new "return { f = function() return 1 end }")
    assert(cage:require())
    assert.is_nil((cage:load { x = "return 1LL" }))
    assert.is_nil((cage:load { y = "return 2LL" }))
    local _, how = cage:call "f"
    assert.equal("error", how)
    cage:free()
  end)
end)

describe("globals and libraries are locked:", function()
  local attempts = {
    "x = 1", "pairs = nil", "string.rep = nil", "string.upper = function() return 'evil' end",
    "json.encode = nil", "table.extra = 1", "math.pi = 3", "table.insert(string, 'x')",
    "table.insert(json, 1, 'x')",
  }
  for _, body in ipairs(attempts) do
    it(body, function() fails("error", "locked", body) end)
  end

  it("their metatables can not be had or replaced", function()
    fails("error", "protected metatable", "setmetatable(string, {})")
    fails("error", "protected metatable", "setmetatable(json, nil)")
    yields("false", "return getmetatable(string)")
    yields("false", "return getmetatable('')")
    yields("false", "return getmetatable(json.array {})")
    fails("error", "attempt to index", "getmetatable('').__index.upper = 1")
    fails("error", "attempt to index", "local s = 'x' s.y = 1")
  end)

  it("table.move and table.sort do not pass the lock", function()
    run("pcall(table.move, { function() return 'evil' end }, 1, 1, 1, string) " ..
      "pcall(table.sort, string) pcall(table.remove, string)")
    fails("error", "locked", "table.move({ 1 }, 1, 1, 1, string)")
  end)

  it("walking them shows nothing to hold on to", function()
    yields("0", "local n = 0 for _ in pairs(string) do n = n + 1 end return n")
    yields("0", "local n = 0 for _ in next, json do n = n + 1 end return n")
  end)

  it("an unknown name is an error, not nil", function()
    fails("error", "lua/m.lua:1: no global 'replcas'", "if replcas == 3 then return 1 end")
  end)

  it("a metatable of a script's own table is its own affair", function()
    yields("42", "local t = setmetatable({}, { __index = { a = 42 } }) return t.a")
    yields('"ok"', "return tostring(setmetatable({}, { __tostring = function() return 'ok' end }))")
  end)

  it("weak tables are refused, for they depend on the collector", function()
    fails("error", "weak tables", "setmetatable({}, { __mode = 'k' })")
  end)
end)

describe("order", function()
  it("pairs walks numbers, then names, then booleans, each sorted", function()
    yields('"-1 0.5 1 2 10 A B a aa b false true"', [[
      local t = { b = 1, a = 1, aa = 1, B = 1, A = 1, [10] = 1, [2] = 1, [0.5] = 1, [-1] = 1, [1] = 1,
        [true] = 1, [false] = 1 }
      local out = {}
      for k in pairs(t) do out[#out + 1] = tostring(k) end
      return table.concat(out, " ")]])
  end)

  it("next walks the same way and finds an empty table", function()
    yields('"1 a b"', [[
      local t, out = { b = 1, a = 1, 1 }, {}
      for k in next, t do out[#out + 1] = tostring(k) end
      assert(next({}) == nil and next(t, "b") == nil)
      return table.concat(out, " ")]])
  end)

  it("a list is walked in place", function()
    yields('"1=x 2=y 3=z"', [[local out = {}
      for i, v in pairs { "x", "y", "z" } do out[#out + 1] = i .. "=" .. v end
      return table.concat(out, " ")]])
  end)

  it("entries may be changed and removed during the walk", function()
    yields('"a c"', [[
      local t, out = { a = 1, b = 2, c = 3 }, {}
      for k in pairs(t) do out[#out + 1] = k t[k] = nil t.b = nil t.zz = 1 end
      return table.concat(out, " ")]])
    yields('"1 3"', [[
      local t, out = { 1, 2, 3 }, {}
      for i in pairs(t) do out[#out + 1] = i t[2] = nil t[4] = 4 end
      return table.concat(out, " ")]])
  end)

  it("keys without an order can be looked up, not walked", function()
    yields("7", "local k = {} local t = { [k] = 7 } return t[k]")
    fails("error", "a key of type table has no order", "for _ in pairs { [{}] = 1 } do end")
  end)

  it("no address is ever shown", function()
    fails("error", "has no text", "return tostring({})")
    fails("error", "has no text", "return tostring(print)")
    fails("error", "has no text", "return ('%s'):format({})")
    fails("error", "%p shows an address", "return ('%5p'):format('x')")
    fails("error", "%p shows an address", "return ('%%%d%p'):format(1, 'x')")
    yields('"%p 3"', "return ('%%p %d'):format(3)")
    local _, _, why = run("table.sort({ 1, 2, 3 }, function() error(nil) end)")
    assert.falsy(why:find("0x", 1, true), why)
  end)
end)

describe("C calls are bounded:", function()
  it("string.rep makes at most 64 KiB", function()
    yields("65536", "return #('ab'):rep(32768)")
    fails("error", "string.rep would make more", "return ('ab'):rep(32769)")
    fails("error", "string.rep would make more", "return ('x'):rep(1e9)")
    fails("error", "string.rep would make more", "return (''):rep(1e15)")
    fails("error", "string.rep would make more", "return ('x'):rep(3, ('y'):rep(65000))")
    yields('"a,a,a"', "return ('a'):rep(3, ',')")
    yields('""', "return ('a'):rep(-1)")
    fails("error", "string.rep would make more", "return ('x'):rep(0 / 0)")
  end)

  it("a pattern with many lazy items on a long text is killed, not waited for", function()
    local _, how = run("return (('a'):rep(60)):match(('a-'):rep(12) .. 'b')", SMALL)
    assert.equal("budget", how)
    _, how = run("while true do pcall(string.find, ('a'):rep(100), ('a-'):rep(12) .. 'b') end", SMALL)
    assert.equal("budget", how)
    _, how = run("return (('a'):rep(60000)):gsub('.-b', '')", SMALL)
    assert.equal("budget", how)
  end)

  it("string.format with a huge width", function()
    fails("error", "invalid", "return ('%999999999d'):format(1)")
  end)

  it("recursion through C: gsub, sort, tostring", function()
    fails("error", "stack overflow", "local function g() return (('a'):gsub('a', g)) end return g()")
    fails("error", "stack overflow", "local function g() table.sort({ 1, 2 }, g) end return g()")
    fails("error", "stack overflow",
      "local t = setmetatable({}, { __tostring = function(t) return tostring(t) end }) return tostring(t)")
    fails("error", "stack overflow", "local function g(s) return (s:gsub('.', setmetatable({}, { __index = " ..
      "function(_, k) return g(k) end }))) end return g('a')")
    fails("error", "stack overflow",
      "local mt = {} mt.__lt = function(a, b) table.sort { a, b, a } return true end " ..
      "table.sort { setmetatable({}, mt), setmetatable({}, mt) }")
  end)

  it("a chain of 3,000 modules is loaded", function()
    local files = {}
    for i = 1, 3000 do files["m" .. i] = "return require 'm" .. i + 1 .. "'" end
    files.m3001, files.m = "return 7", "return { f = function() return require 'm1' end }"
    local cage = assert(vm.new(files))
    assert(cage:require())
    local out, how, why = cage:call "f"
    assert.same({ "7", "ok" }, { out, how }, why)
    cage:free()
  end)

  it("unpack of a huge range", function()
    fails("error", "too many results", "return unpack({}, 1, 1e8)")
  end)

  it("nested tables are copied out at most a million times", function()
    fails("shape", "too large", "local t = {} for _ = 1, 60 do t = { t, t } end return t")
  end)
end)

describe("require", function()
  it("runs a module once and gives its value", function()
    local cage = assert(vm.new {
      ["lib.a"] = "local n = (...) return { n = n or 5 }",
      m = "local a = require 'lib.a' return { f = function() return require('lib.a') == a and a.n end }" })
    assert(cage:require())
    assert.equal("5", (cage:call "f"))
    cage:free()
  end)

  it("names a module that requires itself", function()
    local cage = assert(vm.new { a = "require 'b'", b = "require 'a'" })
    local ok, why = cage:require "a"
    assert.is_nil(ok)
    assert.truthy(why:find("module 'a' requires itself", 1, true), why)
    ok, why = cage:require "a"
    assert.is_nil(ok)
    assert.truthy(why:find("module 'a' requires itself", 1, true), why)
    cage:free()
  end)
end)

describe("print and log", function()
  it("write lines that carry the generation", function()
    local cage = assert(vm.new([[
local M = {}
function M.f()
  print("hello", 1, nil, true, { a = 1 }, print)
  log.warn("%s has %d regions", "tikv-0", 7)
  log.debug("100%")
end
return M]], { lines = true }))
    assert(cage:require())
    local _, how, why = cage:call "f"
    assert.equal("ok", how, why)
    assert.equal(3, #cage.lines)
    assert.truthy(cage.lines[1]:find([[hello\t1\tnil\ttrue\t{\"a\":1}\tfunction]], 1, true), cage.lines[1])
    assert.truthy(cage.lines[1]:find('"generation":"g1"', 1, true), cage.lines[1])
    assert.truthy(cage.lines[2]:find("tikv-0 has 7 regions", 1, true), cage.lines[2])
    assert.truthy(cage.lines[2]:find("warn", 1, true), cage.lines[2])
    assert.truthy(cage.lines[3]:find('"100%"', 1, true), cage.lines[3])
    cage:free()
  end)
end)

describe("a call that logs without end", function()
  it("writes 1,000 lines and one that says so", function()
    local cage = assert(vm.new("return { f = function() for i = 1, 5000 do print(i) end end }", { lines = true }))
    assert(cage:require())
    for _ = 1, 2 do
      cage:call "f"
      assert.equal(1001, #cage.lines)
      assert.truthy(cage.lines[1001]:find("too many lines", 1, true), cage.lines[1001])
      for i in ipairs(cage.lines) do cage.lines[i] = nil end
    end
    cage:free()
  end)
end)

describe("ask", function()
  it("is nil where nobody answers", function()
    yields('"nobody"', "return ask and 'somebody' or 'nobody'")
  end)

  it("puts a question and gets the answer, nothing, or an error", function()
    local cage = assert(vm.new [[
local M = {}
function M.f(name, v) return ask(name, v) end
function M.g() local ok, why = pcall(ask, "bad", { 1 }) return { ok, why } end
function M.h() return ask("shape", { f = print }) end
return M]])
    assert(cage:require())
    cage:on_ask(function(name, text)
      if name == "echo" then return text end
      if name == "nothing" then return nil end
      return nil, "policy p.lua:3: broken"
    end)
    assert.equal('{"a":[]}', (cage:call("f", '"echo"', '{"a":[]}')))
    assert.is_nil((cage:call("f", '"nothing"', "1")))
    local out, how = cage:call "g"
    assert.equal("ok", how)
    assert.equal('[false,"policy p.lua:3: broken"]', out)
    assert.truthy(cage:instructions() >= 1000)
    local _, _, why = cage:call "h"
    assert.truthy(why:find("ask 'shape': f: a function can not be a value", 1, true), why)
    cage:free()
  end)
end)

describe("counting", function()
  it("tells the instructions of the last call and the memory in use", function()
    local cage = assert(vm.new [[return { f = function() for _ = 1, 100000 do end end, g = function() end }]])
    assert(cage:require())
    cage:call "f"
    local n = cage:instructions()
    assert.truthy(n >= 99000 and n < 120000, n)
    cage:call "g"
    assert.truthy(cage:instructions() < 1000)
    assert.truthy(cage:memory() > 10000 and cage:memory() < 500000)
    cage:free()
  end)
end)

