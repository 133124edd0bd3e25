--- Patterns in the cage behave as LuaJIT's own, one for one.
local vm = require "support.vm"

local SUBJECTS = { "", "a", "aaa", "hello world", "key = value", "  trim me  ", "THE (quick) fox",
  "f(a(b)c)d",
  "2026-01-02T03:04:05Z", "x=1, y=2, z=3", "a.b.c", "[x]]", "%d%", "tab\tnew\nline", "\195\164\195\182",
    "a\0b",
  "abcabcabc", "aXbXc", "0x1F", "/usr/local/bin", "^start$", "--[[c]]--", "a-b-c" }

local PATTERNS = { "", "a", "a*", "a+", "a-", "a?", ".", ".*", ".-", "^a", "a$", "^a$", "^", "$", "^$",
  "%a+", "%s*(.-)%s*$",
  "^%s*(.-)%s*$", "(%w+)%s*=%s*(%w+)", "(%w+)=(%w+)", "%((.-)%)", "%b()", "%f[%w]%w+", "%f[%W]", "[a-c]+",
    "[^a-c]+",
  "[]]", "[^]]+", "[%a_][%w_]*", "[a-]", "[-a]+", "[%-a]+", "(a)(b)(c)", "(a)%1", "(.)(.)%2%1", "()a()",
    "((a)(b))", "%.",
  "%%", "%d+", "%D+", "%l+%u+", "%u", "%U+", "%x+", "%X", "%p+", "%P", "%c", "%C+", "%z", "%g+", "%W+",
    "%S+", "[%s%p]+",
  "[^%s]+$", "a.-c", "a.*c", "(a*)b?(c*)", "(.-)%.", "[0-9]+%-[0-9]+", "$a", "a^", "x?=?",
    "%f[%a]%a+%f[%A]", "(()())", "[b-]",
  "^(/?)(.-)/?$", "((.)%2)", "[%w]-$" }

local BROKEN = { "(", ")", "(a", "a)", "[", "[a", "[^", "[]", "[%", "%", "a%", "%b", "%bx", "%f", "%fa",
  "%1", "(a%1)", "(()",
  "%0", ("("):rep(33) .. ("a"):rep(3), "[%a" }

local REPLACEMENTS = { "", "x", "<%0>", "%1", "%%", "[%1%0]" }

local DRIVER = [[
local M = {}
local function pack(...) return { n = select("#", ...), ... } end
local function show(r)
  local out = {}
  for i = 1, r.n do out[i] = (type(r[i]) == "string" and "s" or "") .. tostring(r[i]) end
  return table.concat(out, "|")
end
local function try(f, ...)
  local r = pack(pcall(f, ...))
  return r[1] and show(r) or "error"
end
function M.f(subjects, patterns, replacements)
  local all = {}
  for _, s in ipairs(subjects) do
    s = s:gsub("<NUL>", "\0")
    for _, p in ipairs(patterns) do
      local out = { try(string.find, s, p), try(string.match, s, p), try(string.find, s, p, 3),
        try(string.match, s, p, -2), try(string.find, s, p, 1, true), try(string.gsub, s, p, "", 1) }
      for _, r in ipairs(replacements) do out[#out + 1] = try(string.gsub, s, p, r) end
      out[#out + 1] = try(string.gsub, s, p, function(a, b) return b and b .. "" .. a end)
      out[#out + 1] = try(string.gsub, s, p, { a = "A", hello = "bye" })
      out[#out + 1] = try(function()
        local seen = {}
        for a, b in string.gmatch(s, p) do seen[#seen + 1] = tostring(a) .. "," .. tostring(b) end
        return table.concat(seen, ";")
      end)
      all[#all + 1] = s .. "~" .. p .. "~" .. table.concat(out, "~")
    end
  end
  return table.concat(all, "\n"):gsub("[%z\128-\255]", function(c) return ("<%02x>"):format(c:byte()) end)
end
return M]]

local function encode(list)
  local out = {}
  for i, s in ipairs(list) do
    out[i] = '"' .. s:gsub('[%c"\\]', function(c)
      return c == "\0" and "<NUL>" or ("\\u%04x"):format(c:byte())
    end) .. '"'
  end
  return "[" .. table.concat(out, ",") .. "]"
end

local function compare(subjects, patterns)
  local cage = assert(vm.new(DRIVER))
  assert(cage:require())
  local out, how, why = cage:call("f", encode(subjects), encode(patterns), encode(REPLACEMENTS))
  assert.equal("ok", how, why)
  cage:free()
  local clean = {}
  for i, s in ipairs(subjects) do clean[i] = s:gsub("%z", "<NUL>") end
  local own = loadstring(DRIVER)().f(clean, patterns, REPLACEMENTS)
  out = out:sub(2, -2):gsub('\\(.)(%x?%x?%x?%x?)', function(c, hex)
    if c == "u" then return string.char(tonumber(hex, 16)) end
    return (({ n = "\n", t = "\t", r = "\r", b = "\b", f = "\f" })[c] or c) .. hex
  end)
  local a, b = {}, {}
  for line in (own .. "\n"):gmatch "(.-)\n" do a[#a + 1] = line end
  for line in (out .. "\n"):gmatch "(.-)\n" do b[#b + 1] = line end
  assert.truthy(#a >= #subjects * #patterns)
  for i = 1, #a do assert.equal(a[i], b[i]) end
end

describe("caged find, match, gmatch and gsub", function()
  it("agree with LuaJIT's on every pair of subject and pattern", function() compare(SUBJECTS, PATTERNS) end)
  it("refuse what LuaJIT refuses", function() compare({ "", "a", "aa(b)" }, BROKEN) end)

  it("agree on random patterns", function()
    local seed = 42
    local function rnd(n)
      seed = (seed * 1103515245 + 12345) % 2147483648
      return math.floor(seed / 65536) % n + 1
    end
    local atoms = { "a", "b", ".", "%a", "%d", "[ab]", "[^a]", "(", ")", "%1", "-", "*", "+", "?", "%b()",
      "%f[a]", "$", "^", "()" }
    local subjects, patterns = {}, {}
    for i = 1, 12 do
      local s = {}
      for k = 1, rnd(8) do s[k] = ({ "a", "b", "1", "(", ")" })[rnd(5)] end
      subjects[i] = table.concat(s)
    end
    for i = 1, 150 do
      local p = {}
      for k = 1, rnd(6) do p[k] = atoms[rnd(#atoms)] end
      patterns[i] = table.concat(p)
    end
    compare(subjects, patterns)
  end)

  it("cost about one instruction a step", function()
    local cage = assert(vm.new [[return { f = function() return (("a"):rep(1000)):match(".-.-b") end }]])
    assert(cage:require())
    cage:call "f"
    local n = cage:instructions()
    assert.truthy(n > 1000 * 1000 / 3, n)
    cage:free()
  end)

  it("refuse a pattern that nests too deep", function()
    local _, how, why = vm.run("return (('a'):rep(500)):match(('a?'):rep(500))")
    assert.equal("error", how)
    assert.truthy(why:find("pattern too complex", 1, true), why)
  end)
end)
