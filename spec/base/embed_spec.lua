local core = require "support.core"
local ffi = core.ffi
local lib = core.load("base/embed.h")

describe("the embedded files", function()
  it("are scripts and CRDs, sorted, each found by its path", function()
    local last, at = "", 0
    while lib.embed_files[at].path ~= nil do
      local f = lib.embed_files[at]
      local path = ffi.string(f.path)
      assert.is_true(last < path)
      assert.is_truthy(path:match("^%l+/.*%.%l+$"), path)
      assert.equal(0, f.text[f.len])
      local found = lib.embed_find(path)
      assert.is_true(found ~= nil and found.text == f.text)
      last, at = path, at + 1
    end
    assert.is_true(at > 0)
  end)

  it("are not found under another name", function()
    assert.is_true(lib.embed_find("lua/controllers/nothing.lua") == nil)
    assert.is_true(lib.embed_find("") == nil)
  end)
end)
