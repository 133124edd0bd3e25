-- What the manuals say is true.
local function read(path)
  local f = assert(io.open(path))
  local text = f:read "*a"
  f:close()
  return text
end

-- Checklist ids by group, with the number of the last one.
local GROUPS = { L = 8, W = 14, S = 3, B = 3, Q = 6, R = 7, K = 7, E = 11, T = 8, A = 4, C = 10, H = 3 }

describe("the manuals", function()
  it("core/README.md has every item of the checklist once, and the spec it names contains the id", function()
    local rows, text = {}, read "core/README.md"
    for id, where in text:gmatch "\n| (%u%d+) | [^|\n]+ | ([^|\n]+) |" do
      if not id:find "^G" then
        assert.is_nil(rows[id], id .. " is there twice")
        rows[id] = where
      end
    end
    for letter, last in pairs(GROUPS) do
      for i = 1, last do
        local id = letter .. i
        local where = assert(rows[id], id .. " is missing")
        local file = where:match "^`(spec/[%w/_]+_spec%.lua)`$"
        if file then
          assert.is_truthy((" " .. read(file)):find("%f[%w]" .. id .. "%f[%W]"), ("%s is not in %s"):format(id, file))
        else
          assert.is_truthy(where:find "^no spec" or where:find "^does not apply", id .. ": " .. where)
        end
      end
    end
  end)

  it("spec/coverage.md has every id once, and each file that it names contains the id", function()
    local text = read "spec/coverage.md"
    local rows, files = {}, {}
    for id, what, where in text:gmatch "\n| (%u%-%d+) | ([^|\n]+) | ([^|\n]+) |" do
      assert.is_nil(rows[id], id .. " is there twice")
      assert.is_true(#what > 3, id)
      rows[id] = where
    end
    for letter, last in pairs { W = 76, P = 40, E = 110, U = 117 } do
      for n = 1, last do
        local id = ("%s-%02d"):format(letter, n)
        local where = assert(rows[id], id .. " is missing")
        rows[id] = nil
        local named = 0
        for file in where:gmatch "`(spec/[%w/_-]+%.%l+)`" do
          named = named + 1
          files[file] = files[file] or " " .. read(file)
          local pattern = "%f[%w]" .. id:gsub("%-", "%%-") .. "%f[%D]"
          assert.is_truthy(where:find "^no: " or files[file]:find(pattern), ("%s is not in %s"):format(id, file))
        end
        local kind = where:find "^no: " and "explained" or where:find "^open: " and "open" or "covered"
        assert.is_true(kind ~= "covered" or named > 0, id .. ": " .. where)
      end
    end
    assert.is_nil(next(rows), "an id that nobody knows: " .. tostring(next(rows)))
  end)

  it("core/README.md has the guard's rules as the code has them", function()
    local manual, code, n = read "core/README.md", read "core/engine/guard.c", 0
    for id, title, body in code:gmatch '%[G%d%] = { "(G%d)", "(%w+)",%s*(.-) },\n' do
      local sentence = body:gsub('"%s*"', ""):gsub('^"', ""):gsub('"$', "")
      assert.is_truthy(manual:find(("| %s | %s | %s |"):format(id, title, sentence), 1, true), id)
      n = n + 1
    end
    assert.equal(9, n)
  end)

  it("name only files that are there", function()
    local function exists(path)
      local f = io.open(path)
      if f then f:close() end
      return f ~= nil
    end
    local folder
    for path in read "core/README.md":gmatch "`([%w_/]+%.[ch])`" do
      folder = path:match "^(.-)/" or folder
      assert.is_true(exists("core/" .. path) or exists("core/" .. folder .. "/" .. path), path)
    end
    for _, manual in ipairs { "README.md", "manifests/README.md", "spec/README.md", "crds/README.md" } do
      for path in read(manual):gmatch "`(%l[%w_/.-]*/[%w_.-]+%.%l+)`" do
        assert.is_true(exists(path), manual .. ": " .. path)
      end
      local base = manual:match "^(.*/)" or ""
      for path in read(manual):gmatch "%]%(([%w_/.-]+)%)" do
        assert.is_true(exists(base .. path), manual .. ": " .. path)
      end
    end
  end)

  it("manifests/README.md has every metric of the code, and no other", function()
    local said, made = {}, {}
    for name in read "manifests/README.md":gmatch "`(tikv_operator_[%w_]+)`" do said[name] = true end
    local found = io.popen "grep -rhoE '\"tikv_operator_[a-z_]+\"' core --include=*.c --include=*.h"
    for name in found:read("*a"):gmatch '"([%w_]+)"' do
      made[name] = true
    end
    assert.same(made, said)
  end)

  it("manifests/README.md has every option of run", function()
    local manual = read "manifests/README.md"
    for name in read("core/app/run.c"):match("run_opts%[%] = {(.-)\n};"):gmatch '{ "([%w-]+)", ' do
      assert.is_truthy(manual:find("`--" .. name, 1, true), name)
    end
  end)
end)
