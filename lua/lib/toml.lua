--- toml: TOML 1.0, read and written without loss of what matters.
-- The order of keys is kept, numbers and dates keep their text, comments are lost. A document is a
-- table node; nodes are made by this module and look like this:
--
--   text, boolean      Lua's own
--   number, date       { toml = "integer" | "float" | "datetime" | "datetime-local" | "date-local" |
--                        "time-local", text = "0x2A" }
--   list               { toml = "array", [1] = ..., [2] = ...; sections = true when written [[a]] }
--   table              { toml = "table", keys = { "b", "a" }, values = { a = ..., b = ... };
--                        inline = true when written { ... } }
--
-- encode() writes plain values before sections, so encode(decode(encode(decode(x)))) is the same as
-- encode(decode(x)).
local M = {}

local DEPTH_MAX = 100

---@class toml.node
---@field toml string
---@field text? string
---@field keys? string[]
---@field values? table<string, any>
---@field inline? boolean
---@field sections? boolean

local function new_table(inline)
  return { toml = "table", keys = {}, values = {}, inline = inline or nil }
end

local function put(t, key, value)
  if t.values[key] == nil then t.keys[#t.keys + 1] = key end
  t.values[key] = value
end

-- Reading ---------------------------------------------------------------------------------------

---@class toml.reader
---@field s string
---@field i integer the next byte
---@field how table<table, string> how a table came to be: header, implicit, dotted, closed
---@field depth integer

local function fail(r, why, at) error({ toml_error = why, at = at or r.i }, 0) end

local function check_utf8(r)
  local s, i = r.s, 1
  while true do
    i = s:find("[\128-\255]", i)
    if not i then return end
    local a, b, c, d = s:byte(i, i + 3)
    local function tail(x) return x and x >= 0x80 and x < 0xc0 end
    if a >= 0xc2 and a < 0xe0 and tail(b) then
      i = i + 2
    elseif a >= 0xe0 and a < 0xf0 and tail(b) and tail(c) and not (a == 0xe0 and b < 0xa0)
      and not (a == 0xed and b >= 0xa0) then
      i = i + 3
    elseif a >= 0xf0 and a < 0xf5 and tail(b) and tail(c) and tail(d) and not (a == 0xf0 and b < 0x90)
      and not (a == 0xf4 and b >= 0x90) then
      i = i + 4
    else
      fail(r, "not UTF-8", i)
    end
  end
end

local function skip_blanks(r) r.i = r.s:match("^[ \t]*()", r.i) end

local function skip_comment(r)
  if r.s:sub(r.i, r.i) ~= "#" then return end
  r.i = r.s:match("^[^%z\1-\8\10-\31\127]*()", r.i)
  if r.i <= #r.s and not r.s:find("^\r?\n", r.i) then fail(r, "a control character in a comment") end
end

local function at_end(r) return r.i > #r.s end

--- The rest of a line: blanks, a comment, then its end.
local function end_of_line(r)
  skip_blanks(r)
  skip_comment(r)
  local after = r.s:match("^\r?\n()", r.i)
  if after then
    r.i = after
  elseif not at_end(r) then
    fail(r, "expected the end of the line")
  end
end

local function skip_lines(r)
  while true do
    skip_blanks(r)
    skip_comment(r)
    local after = r.s:match("^\r?\n()", r.i)
    if not after then return end
    r.i = after
  end
end

local ESCAPES = { b = "\b", t = "\t", n = "\n", f = "\f", r = "\r", ['"'] = '"', ["\\"] = "\\" }

local function utf8_char(code)
  local char, floor = string.char, math.floor
  if code < 0x80 then return char(code) end
  if code < 0x800 then return char(0xc0 + floor(code / 64), 0x80 + code % 64) end
  if code < 0x10000 then
    return char(0xe0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
  end
  return char(0xf0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64, 0x80 + floor(code / 64) % 64,
    0x80 + code % 64)
end

--- r.i is after the backslash.
local function escape(r)
  local c = r.s:sub(r.i, r.i)
  if ESCAPES[c] then
    r.i = r.i + 1
    return ESCAPES[c]
  end
  local width = c == "u" and 4 or c == "U" and 8
  if not width then fail(r, "an unknown escape", r.i - 1) end
  local hex = r.s:sub(r.i + 1, r.i + width)
  if #hex < width or hex:find("%X") then fail(r, ("\\%s needs %d hexadecimal digits"):format(c, width), r.i - 1) end
  local code = tonumber(hex, 16)
  if code > 0x10ffff or (code >= 0xd800 and code < 0xe000) then fail(r, "no such character", r.i - 1) end
  r.i = r.i + 1 + width
  return utf8_char(code)
end

local function basic_string(r)
  local out, start = {}, r.i
  r.i = r.i + 1
  while true do
    local run, after = r.s:match('^([^%z\1-\8\10-\31\127"\\]*)()', r.i)
    out[#out + 1] = run
    r.i = after
    local c = r.s:sub(after, after)
    if c == '"' then
      r.i = after + 1
      return table.concat(out)
    elseif c == "\\" then
      r.i = after + 1
      out[#out + 1] = escape(r)
    elseif c == "" or c == "\n" or c == "\r" then
      fail(r, "a text without its end", start)
    else
      fail(r, "a control character in a text")
    end
  end
end

local function literal_string(r)
  local run, after = r.s:match("^'([^%z\1-\8\10-\31\127']*)()", r.i)
  if r.s:sub(after, after) ~= "'" then
    if r.s:find("^[^\r\n]", after) then fail(r, "a control character in a text", after) end
    fail(r, "a text without its end")
  end
  r.i = after + 1
  return run
end

--- Up to two quotes may stand right before the three that end a text.
local function closing(r, quote, out)
  local n = #r.s:match("^" .. quote .. "+", r.i)
  if n < 3 then
    out[#out + 1] = quote:rep(n)
    r.i = r.i + n
    return false
  end
  if n > 5 then fail(r, "too many quotes") end
  out[#out + 1] = quote:rep(n - 3)
  r.i = r.i + n
  return true
end

local function multi_string(r, quote)
  local out, start = {}, r.i
  r.i = r.s:match("^\r?\n()", r.i + 3) or r.i + 3
  local plain = quote == '"' and '^([^%z\1-\8\11-\31\127"\\]*)()' or "^([^%z\1-\8\11-\31\127']*)()"
  while true do
    local run, after = r.s:match(plain, r.i)
    out[#out + 1] = run
    r.i = after
    local c = r.s:sub(after, after)
    if c == quote then
      if closing(r, quote, out) then return table.concat(out) end
    elseif c == "\\" then
      local next_line = r.s:match("^\\[ \t]*\r?\n()", after)
      if next_line then
        while next_line do
          r.i = next_line
          next_line = r.s:match("^[ \t]*\r?\n()", r.i)
        end
        skip_blanks(r)
      else
        r.i = after + 1
        out[#out + 1] = escape(r)
      end
    elseif c == "\r" and r.s:sub(after + 1, after + 1) == "\n" then
      out[#out + 1] = "\r\n"
      r.i = after + 2
    elseif c == "" then
      fail(r, "a text without its end", start)
    else
      fail(r, "a control character in a text")
    end
  end
end

local function simple_key(r)
  local c = r.s:sub(r.i, r.i)
  if c == '"' then return basic_string(r) end
  if c == "'" then return literal_string(r) end
  local key, after = r.s:match("^([%w_-]+)()", r.i)
  if not key then fail(r, at_end(r) and "expected a key, found the end" or "expected a key") end
  r.i = after
  return key
end

local function dotted_key(r)
  local path = {}
  while true do
    skip_blanks(r)
    path[#path + 1] = simple_key(r)
    skip_blanks(r)
    if r.s:sub(r.i, r.i) ~= "." then return path end
    r.i = r.i + 1
  end
end

local function shown(path) return table.concat(path, ".") end

-- Numbers and dates -----------------------------------------------------------------------------

local MONTH_DAYS = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

local function date_is_good(y, m, d)
  y, m, d = tonumber(y), tonumber(m), tonumber(d)
  if m < 1 or m > 12 or d < 1 then return false end
  local leap = m == 2 and (y % 4 == 0 and y % 100 ~= 0 or y % 400 == 0)
  return d <= MONTH_DAYS[m] + (leap and 1 or 0)
end

--- The kind of a date or time, false when it looks like one but is none, nil when it does not.
local function date_kind(text)
  local y, m, d, rest = text:match("^(%d%d%d%d)%-(%d%d)%-(%d%d)(.*)$")
  if y then
    if not date_is_good(y, m, d) then return false end
    if rest == "" then return "date-local" end
    if not rest:find("^[Tt ]") then return false end
    rest = rest:sub(2)
  elseif text:find("^%d%d:") then
    rest = text
  else
    return nil
  end
  local hh, mm, ss, zone = rest:match("^(%d%d):(%d%d):(%d%d)(.*)$")
  if not hh or tonumber(hh) > 23 or tonumber(mm) > 59 or tonumber(ss) > 60 then return false end
  zone = zone:gsub("^%.%d+", "")
  if zone == "" then return y and "datetime-local" or "time-local" end
  if not y then return false end
  if zone == "Z" or zone == "z" then return "datetime" end
  local oh, om = zone:match("^[+-](%d%d):(%d%d)$")
  if not oh or tonumber(oh) > 23 or tonumber(om) > 59 then return false end
  return "datetime"
end

local function without_underscores(text)
  if text:find("^_") or text:find("_$") or text:find("__", 1, true) then return nil end
  return (text:gsub("_", ""))
end

local BASES = { x = { 16, "^%x+$" }, o = { 8, "^[0-7]+$" }, b = { 2, "^[01]+$" } }

--- Decimal digits of a number in another base, by long multiplication.
local function to_decimal(digits, base)
  local limbs = { 0 } -- of seven digits, lowest first
  for c in digits:gmatch "." do
    local carry = tonumber(c, 16)
    for i = 1, #limbs do
      carry = limbs[i] * base + carry
      limbs[i] = carry % 1e7
      carry = math.floor(carry / 1e7)
    end
    if carry > 0 then limbs[#limbs + 1] = carry end
  end
  local out = { ("%d"):format(limbs[#limbs]) }
  for i = #limbs - 1, 1, -1 do out[#out + 1] = ("%07d"):format(limbs[i]) end
  return table.concat(out)
end

--- Decimal text of an integer as TOML writes it, nil when it is none.
local function integer_text(text)
  local base, digits = text:match("^0([xob])([%x_]+)$")
  if base then
    digits = without_underscores(digits)
    if not digits or not digits:find(BASES[base][2]) then return nil end
    if #digits > 80 then return ("9"):rep(30) end
    return to_decimal(digits, BASES[base][1])
  end
  local sign
  sign, digits = text:match("^([+-]?)([%d_]+)$")
  digits = digits and without_underscores(digits)
  if not digits or digits:find("^0.") then return nil end
  return (sign == "-" and digits ~= "0") and "-" .. digits or digits
end

local function fits_64_bits(decimal)
  local sign, digits = decimal:match("^(%-?)(%d+)$")
  local limit = sign == "-" and "9223372036854775808" or "9223372036854775807"
  return #digits < #limit or (#digits == #limit and digits <= limit)
end

local function float_is_good(text)
  if text:find("^[+-]?inf$") or text:find("^[+-]?nan$") then return true end
  local whole, rest = text:match("^[+-]?([%d_]+)(.*)$")
  whole = whole and without_underscores(whole)
  if not whole or whole:find("^0.") then return false end
  local fraction, power = rest:match("^%.([%d_]+)(.*)$")
  if fraction then
    if not without_underscores(fraction) then return false end
    rest = power
  end
  if rest == "" then return fraction ~= nil end
  local digits = rest:match("^[eE][+-]?([%d_]+)$")
  return digits ~= nil and without_underscores(digits) ~= nil
end

local function number_or_date(r)
  local text = r.s:match("^[%w_+:.-]+", r.i)
  if not text then fail(r, at_end(r) and "expected a value, found the end" or "expected a value") end
  local time = #text == 10 and text:find("^%d%d%d%d%-") and r.s:match("^ %d%d:[%w_+:.-]*", r.i + 10)
  text = text .. (time or "")
  local kind = date_kind(text)
  if kind == false then fail(r, "no such date or time: " .. text) end
  if not kind then
    local decimal = integer_text(text)
    if decimal then
      if not fits_64_bits(decimal) then fail(r, "an integer beyond 64 bits: " .. text) end
      kind = "integer"
    elseif float_is_good(text) then
      kind = "float"
    else
      fail(r, "no such value: " .. text)
    end
  end
  r.i = r.i + #text
  return { toml = kind, text = text }
end

-- Values and tables -----------------------------------------------------------------------------

local value

local function array(r)
  local out = { toml = "array" }
  r.i = r.i + 1
  skip_lines(r)
  while r.s:sub(r.i, r.i) ~= "]" do
    out[#out + 1] = value(r)
    skip_lines(r)
    local c = r.s:sub(r.i, r.i)
    if c == "," then
      r.i = r.i + 1
      skip_lines(r)
    elseif c ~= "]" then
      fail(r, "expected ',' or ']'")
    end
  end
  r.i = r.i + 1
  return out
end

--- key = value into a table; the tables on the way must have been made by such keys too.
local function assignment(r, t)
  local at = r.i
  local path = dotted_key(r)
  if r.s:sub(r.i, r.i) ~= "=" then fail(r, "expected '='") end
  r.i = r.i + 1
  skip_blanks(r)
  for k = 1, #path - 1 do
    local child = t.values[path[k]]
    if child == nil then
      child = new_table()
      r.how[child] = "dotted"
      put(t, path[k], child)
    elseif type(child) ~= "table" or r.how[child] ~= "dotted" then
      fail(r, ("'%s' is defined already"):format(shown { unpack(path, 1, k) }), at)
    end
    t = child
  end
  local last = path[#path]
  if t.values[last] ~= nil then fail(r, ("'%s' is defined already"):format(shown(path)), at) end
  put(t, last, value(r))
end

--- Nothing can be added to an inline table, nor to what dotted keys made in it.
local function close(r, t)
  r.how[t] = "closed"
  t.inline = true
  for _, key in ipairs(t.keys) do
    local child = t.values[key]
    if type(child) == "table" and r.how[child] == "dotted" then close(r, child) end
  end
end

local function inline_table(r)
  local t = new_table(true)
  r.i = r.i + 1
  skip_blanks(r)
  if r.s:sub(r.i, r.i) ~= "}" then
    while true do
      skip_blanks(r)
      assignment(r, t)
      skip_blanks(r)
      local c = r.s:sub(r.i, r.i)
      if c == "}" then break end
      if c ~= "," then fail(r, "expected ',' or '}'") end
      r.i = r.i + 1
    end
  end
  r.i = r.i + 1
  close(r, t)
  return t
end

function value(r)
  local c = r.s:sub(r.i, r.i)
  if c == '"' then
    if r.s:sub(r.i, r.i + 2) == '"""' then return multi_string(r, '"') end
    return basic_string(r)
  elseif c == "'" then
    if r.s:sub(r.i, r.i + 2) == "'''" then return multi_string(r, "'") end
    return literal_string(r)
  elseif c == "[" or c == "{" then
    r.depth = r.depth + 1
    if r.depth > DEPTH_MAX then fail(r, "too deep") end
    local v = c == "[" and array(r) or c == "{" and inline_table(r)
    r.depth = r.depth - 1
    return v
  end
  local word = r.s:match("^[%w_]+", r.i)
  if word == "true" or word == "false" then
    r.i = r.i + #word
    return word == "true"
  end
  return number_or_date(r)
end

--- [a.b] or [[a.b]]: the table that the next lines go into.
local function header(r, root)
  local at = r.i
  local double = r.s:sub(r.i, r.i + 1) == "[["
  r.i = r.i + (double and 2 or 1)
  local path = dotted_key(r)
  local close_mark = double and "]]" or "]"
  if r.s:sub(r.i, r.i + #close_mark - 1) ~= close_mark then fail(r, ("expected '%s'"):format(close_mark)) end
  r.i = r.i + #close_mark
  if #path > DEPTH_MAX then fail(r, "too deep", at) end
  local t = root
  for k = 1, #path - 1 do
    local child = t.values[path[k]]
    if child == nil then
      child = new_table()
      r.how[child] = "implicit"
      put(t, path[k], child)
    elseif type(child) == "table" and child.toml == "array" and child.sections then
      child = child[#child]
    elseif type(child) ~= "table" or child.toml ~= "table" or r.how[child] == "closed" then
      fail(r, ("'%s' can not be extended"):format(shown { unpack(path, 1, k) }), at)
    end
    t = child
  end
  local last = path[#path]
  local child = t.values[last]
  if double then
    if child == nil then
      child = { toml = "array", sections = true }
      put(t, last, child)
    elseif type(child) ~= "table" or not child.sections then
      fail(r, ("'%s' is defined already"):format(shown(path)), at)
    end
    local element = new_table()
    r.how[element] = "header"
    child[#child + 1] = element
    return element
  end
  if child == nil then
    child = new_table()
    put(t, last, child)
  elseif type(child) ~= "table" or r.how[child] ~= "implicit" then
    fail(r, ("'%s' is defined already"):format(shown(path)), at)
  end
  r.how[child] = "header"
  return child
end

local function document(r)
  check_utf8(r)
  r.i = r.s:match("^\239\187\191()") or 1
  local root = new_table()
  local t = root
  while true do
    skip_lines(r)
    if at_end(r) then return root end
    if r.s:sub(r.i, r.i) == "[" then
      t = header(r, root)
    else
      assignment(r, t)
    end
    end_of_line(r)
  end
end

local function place(s, at)
  local line, start = 1, 1
  for after in s:sub(1, at - 1):gmatch "\n()" do
    line, start = line + 1, after
  end
  return line, at - start + 1
end

---@param text string
---@return toml.node? document
---@return string? error "line 3, column 7: ..."
function M.decode(text)
  local ok, result = pcall(document, { s = text, i = 1, how = {}, depth = 0 })
  if ok then return result end
  if type(result) ~= "table" or not result.toml_error then error(result, 0) end
  local line, column = place(text, result.at)
  return nil, ("line %d, column %d: %s"):format(line, column, result.toml_error)
end

-- Writing ---------------------------------------------------------------------------------------

local SHORT = { ["\b"] = "\\b", ["\t"] = "\\t", ["\n"] = "\\n", ["\f"] = "\\f", ["\r"] = "\\r", ['"'] = '\\"',
  ["\\"] = "\\\\" }

local function quote(s)
  return '"' .. s:gsub('[%z\1-\31\127"\\]', function(c)
    return SHORT[c] or ("\\u%04X"):format(c:byte())
  end) .. '"'
end

local function key_text(key) return key:find("^[%w_-]+$") and key or quote(key) end

local function is_section(v)
  return type(v) == "table" and (v.toml == "table" and not v.inline or v.toml == "array" and v.sections == true)
end

local function inline(v)
  if type(v) == "string" then return quote(v) end
  if type(v) == "boolean" then return v and "true" or "false" end
  local out = {}
  if v.toml == "array" then
    for i, item in ipairs(v) do out[i] = inline(item) end
    return "[" .. table.concat(out, ", ") .. "]"
  elseif v.toml == "table" then
    for i, key in ipairs(v.keys) do out[i] = key_text(key) .. " = " .. inline(v.values[key]) end
    return out[1] and "{ " .. table.concat(out, ", ") .. " }" or "{}"
  end
  return v.text
end

local function write_table(t, path, out)
  for _, key in ipairs(t.keys) do
    local v = t.values[key]
    if not is_section(v) then out[#out + 1] = key_text(key) .. " = " .. inline(v) end
  end
  for _, key in ipairs(t.keys) do
    local v = t.values[key]
    local name = path == "" and key_text(key) or path .. "." .. key_text(key)
    if is_section(v) and v.toml == "array" then
      for _, element in ipairs(v) do
        if out[1] then out[#out + 1] = "" end
        out[#out + 1] = "[[" .. name .. "]]"
        write_table(element, name, out)
      end
    elseif is_section(v) then
      local own = not v.keys[1]
      for _, k in ipairs(v.keys) do own = own or not is_section(v.values[k]) end
      if own then
        if out[1] then out[#out + 1] = "" end
        out[#out + 1] = "[" .. name .. "]"
      end
      write_table(v, name, out)
    end
  end
end

---@param doc toml.node
---@return string
function M.encode(doc)
  local out = {}
  write_table(doc, "", out)
  return out[1] and table.concat(out, "\n") .. "\n" or ""
end

-- Looking in and changing -----------------------------------------------------------------------

--- "a.b.c"; a part with a dot in it is quoted: 'labels."a.b"'.
local function split(path)
  local parts, i = {}, 1
  while true do
    local part, after = path:match('^"([^"]*)"()', i)
    if not part then part, after = path:match("^([^.]*)()", i) end
    if part == "" then error(("not a path: '%s'"):format(path), 0) end
    parts[#parts + 1] = part
    if after > #path then return parts end
    if path:sub(after, after) ~= "." then error(("not a path: '%s'"):format(path), 0) end
    i = after + 1
  end
end

--- Decimal digits of an integer node.
---@param node toml.node
---@return string
function M.decimal(node) return (integer_text(node.text)) end

local function plain(v)
  if type(v) ~= "table" then return v end
  if v.toml == "integer" then
    local decimal = integer_text(v.text)
    return #decimal:gsub("-", "") <= 15 and tonumber(decimal) or decimal
  elseif v.toml == "float" then
    local word = v.text:match("^[+-]?(%a+)$")
    local sign = v.text:sub(1, 1) == "-" and -1 or 1
    if word then return word == "inf" and sign / 0 or 0 / 0 end
    return tonumber((v.text:gsub("_", "")))
  elseif v.toml == "table" or v.toml == "array" then
    return v
  end
  return v.text
end

---The node at a path, as it is.
---@param doc toml.node
---@param path string
---@return any node nil when there is none
function M.node(doc, path)
  for _, part in ipairs(split(path)) do
    if type(doc) ~= "table" or doc.toml ~= "table" then return nil end
    doc = doc.values[part]
  end
  return doc
end

---The value at a path: a text, boolean or number; integers of more than 15 digits and dates as text;
---lists and tables as nodes.
---@param doc toml.node
---@param path string
---@return any value nil when there is none
function M.get(doc, path) return plain(M.node(doc, path)) end

---A node of a Lua value: whole numbers become integers, lists arrays, other tables sections.
---@param v any
---@return any node
function M.from(v)
  if type(v) == "string" or type(v) == "boolean" then return v end
  if type(v) == "number" then
    if v ~= v then return { toml = "float", text = "nan" } end
    if v == math.huge or v == -math.huge then return { toml = "float", text = v > 0 and "inf" or "-inf" } end
    if v % 1 == 0 and math.abs(v) < 2 ^ 53 then return { toml = "integer", text = ("%.0f"):format(v) } end
    local text = ("%.15g"):format(v)
    if tonumber(text) ~= v then text = ("%.17g"):format(v) end
    return { toml = "float", text = text:find("[.e]") and text or text .. ".0" }
  end
  if type(v) ~= "table" then error("a " .. type(v) .. " has no TOML", 0) end
  if type(v.toml) == "string" then return v end
  -- A list marked by json.array has a metatable, also when it is empty.
  if #v > 0 or getmetatable(v) ~= nil then
    local out = { toml = "array" }
    for i, item in ipairs(v) do
      local node = M.from(item)
      if type(node) == "table" and node.toml == "table" then node.inline = true end
      out[i] = node
    end
    return out
  end
  local out, keys = new_table(), {}
  for key in pairs(v) do keys[#keys + 1] = key end
  table.sort(keys)
  for _, key in ipairs(keys) do put(out, key, M.from(v[key])) end
  return out
end

local function remove(t, key)
  t.values[key] = nil
  for i, k in ipairs(t.keys) do
    if k == key then
      table.remove(t.keys, i)
      return
    end
  end
end

---Set what is at a path, make the tables on the way; nil removes it.
---@param doc toml.node
---@param path string
---@param v any
function M.set(doc, path, v)
  local parts = split(path)
  local t = doc
  for k = 1, #parts - 1 do
    local child = t.values[parts[k]]
    if child == nil then
      if v == nil then return end
      child = new_table(t.inline)
      put(t, parts[k], child)
    elseif type(child) ~= "table" or child.toml ~= "table" then
      error(("'%s' is no table"):format(shown { unpack(parts, 1, k) }), 0)
    end
    t = child
  end
  if v == nil then
    remove(t, parts[#parts])
    return
  end
  local node = M.from(v)
  if type(node) == "table" and node.toml == "table" and t.inline then node.inline = true end
  put(t, parts[#parts], node)
end

local function copy(v)
  if type(v) ~= "table" then return v end
  local out = {}
  for key, item in pairs(v) do out[key] = key == "values" and {} or copy(item) end
  if v.values then
    for _, key in ipairs(v.keys) do out.values[key] = copy(v.values[key]) end
  end
  return out
end

---A new document: `base` with all of `over` put in. Tables are joined, everything else is replaced.
---@param base toml.node
---@param over toml.node
---@return toml.node
function M.merge(base, over)
  local out = copy(base)
  for _, key in ipairs(over.keys) do
    local mine, theirs = out.values[key], over.values[key]
    if type(mine) == "table" and type(theirs) == "table" and mine.toml == "table" and theirs.toml == "table" then
      put(out, key, M.merge(mine, theirs))
    else
      put(out, key, copy(theirs))
    end
  end
  return out
end

local function collect(t, prefix, out)
  for _, key in ipairs(t.keys) do
    local v = t.values[key]
    local name = prefix .. key_text(key)
    if type(v) == "table" and v.toml == "table" then
      collect(v, name .. ".", out)
    else
      out[#out + 1] = name
    end
  end
end

---The paths of all values, sorted. A list is one value; empty tables have none.
---@param doc toml.node
---@return string[]
function M.flatten(doc)
  local out = {}
  collect(doc, "", out)
  table.sort(out)
  return out
end

return M
