--- format: JSON and YAML of the core, comfortable for specs.
local core = require "support.core"
local ffi = core.ffi
local lib = core.load("format/json.h", "format/yaml.h")

local M = {}

local function buffer()
  local b = ffi.gc(ffi.new("struct buf"), lib.buf_fini)
  lib.buf_init(b, 0)
  return b
end

local function written(rc, b)
  assert(rc == 0, "printing failed")
  return ffi.string(b.at, b.len)
end

--- Parse JSON; returns the tree, or nil, message and the code's name.
function M.parse(text)
  local e = ffi.new("struct err")
  local tree = lib.json_parse(text, #text, e)
  if tree == nil then
    return nil, ffi.string(e.msg), ffi.string(lib.err_name(e.code))
  end
  return ffi.gc(tree, lib.json_free)
end

function M.print(tree)
  local b = buffer()
  return written(lib.json_print(tree, b), b)
end

function M.pretty(tree)
  local b = buffer()
  return written(lib.json_print_pretty(tree, b), b)
end

function M.canonical(tree)
  local b = buffer()
  return written(lib.json_print_canonical(tree, b), b)
end

--- Parse YAML; returns the array of documents and their first lines, or nil, message and code.
function M.yaml(text, name)
  local e = ffi.new("struct err")
  local lines = ffi.new("int *[1]")
  local tree = lib.yaml_parse(name or "t.yaml", text, #text, lines, e)
  if tree == nil then
    return nil, ffi.string(e.msg), ffi.string(lib.err_name(e.code))
  end
  local found = {}
  local print = M.print(tree)
  local at = 0
  while lib.json_path(tree, ("[%d]"):format(at)) ~= nil do
    found[at + 1] = lines[0][at]
    at = at + 1
  end
  ffi.C.free(lines[0])
  return ffi.gc(tree, lib.json_free), found, print
end

function M.yaml_print(tree)
  local b = buffer()
  return written(lib.yaml_print(tree, b), b)
end

--- A random JSON text whose trees exercise every kind of value.
function M.random_json(random, depth)
  local kind = random(depth > 0 and 9 or 6)
  if kind == 1 then return ({ "null", "true", "false" })[random(3)] end
  if kind == 2 then return tostring(random(-1000, 1000)) end
  if kind == 3 then return ("%.17g"):format((random() - 0.5) * 10 ^ random(-20, 20)) end
  if kind == 4 then
    local digits = { tostring(random(1, 9)) }
    for i = 2, random(16, 30) do digits[i] = tostring(random(0, 9)) end
    return (random(2) == 1 and "-" or "") .. table.concat(digits)
  end
  if kind <= 6 then return M.random_text(random) end
  local parts, seen = {}, {}
  for _ = 1, random(0, random(8) == 1 and 40 or 4) do
    local value = M.random_json(random, depth - 1)
    if kind == 7 then
      parts[#parts + 1] = value
    else
      local key = M.random_text(random)
      local _, plain = M.parse(key), M.print(M.parse(key))
      if not seen[plain] then
        seen[plain] = true
        parts[#parts + 1] = key .. ":" .. value
      end
    end
  end
  local list = table.concat(parts, random(2) == 1 and "," or " ,\n ")
  return kind == 7 and "[" .. list .. "]" or "{" .. list .. "}"
end

local pieces = {
  "a", "b", "Ready", "x-y", " ", "  ", ":", ": ", "#", " #", "- ", "'", '\\"', "\\\\", "\\n", "\\n", "\\t", "\\r",
  "\\u0001", "\\u007f", "\\u0085", "\\u2028", "\\ufeff", "\\uffff", "é", "日本", "😀", "\\ud83d\\ude00", "\\/",
  "0", "7", "1e3", "0x1f", ".", "-", "+", "yes", "null", "~", "true", "<<", "*", "&", "!", "|", ">", "%", "@", "`",
  "{", "}", "[", "]", ",", "?", "=", "---", "...", "2026-01-02", "12:30",
}

function M.random_text(random)
  local parts = {}
  for i = 1, random(0, random(10) == 1 and 60 or 4) do
    parts[i] = pieces[random(#pieces)]
  end
  return '"' .. table.concat(parts) .. '"'
end

ffi.cdef "void *malloc(size_t); void free(void *);"

return M
