--- pd_answer: the shapes of PD's answers, and reading a request's body.
-- v1 prints two spaces and a newline, v2 compact. A handler returns status, content type, body text
-- and an extra delay in milliseconds.
local J = require "sim.pd_json"

local M = {
  V1 = "application/json; charset=UTF-8", V2 = "application/json; charset=utf-8",
  TEXT = "text/plain; charset=utf-8", OCTETS = "application/octet-stream",
  NOT_BOOTSTRAPPED = "[PD:cluster:ErrNotBootstrapped]TiKV cluster not bootstrapped, please start TiKV first",
  HANG = -1, REFUSED = 0,
}

function M.v1(status, value) return status, M.V1, J.print(value, "  ") .. "\n" end
function M.v2(status, value) return status, M.V2, J.print(value) end
function M.ok(value) return M.v1(200, value) end
function M.null(status) return status, M.V1, "null\n" end
function M.text(status, text, delay) return status, M.TEXT, text .. "\n", delay end
function M.empty(status) return status, "", "" end
function M.octets(value) return 200, M.OCTETS, J.print(value) end
function M.missing() return M.text(404, "404 page not found") end

--- The structured errors; `data` is what Go's error struct shows.
function M.input(text, data)
  return M.v1(400, J.object("code", "input", "msg", text, "data", data or {}))
end

function M.internal(text)
  return M.v1(500, J.object("code", "internal", "msg", text, "data", {}, "stack", J.list()))
end

--- What is said when JSON is cut off; where it is broken otherwise, the first strange character.
function M.broken(text)
  text = text or ""
  return "unexpected end of JSON input", J.object("Offset", #text)
end

--- A JSON value of another type than Go wanted.
function M.mismatch(is, wanted, offset, struct, field)
  local into = struct and ("Go struct field %s.%s"):format(struct, field) or "Go value"
  return ("json: cannot unmarshal %s into %s of type %s"):format(is, into, wanted),
    J.object("Value", is, "Type", {}, "Offset", offset or 1, "Struct", struct or "", "Field", field or "")
end

--- The decoded body; nil and "broken" when it is no JSON. JSON null is J.null.
function M.body(q)
  if q.text and q.text:match "^%s*null%s*$" then return J.null end
  if q.body == nil then return nil, "broken" end
  if type(q.body) == "string" and (q.text or q.body):match "^%s*[%[{]" then return nil, "broken" end
  return q.body
end

--- Go's name of a JSON type.
function M.kind(v)
  local t = type(v)
  if t == "boolean" then return "bool" end
  if t == "table" then return (#v > 0 or getmetatable(v)) and "array" or "object" end
  return t
end

--- An object from the body, or nil and the answer's function call results packed.
function M.object(q)
  local v, broken = M.body(q)
  if broken then return nil, { M.input(M.broken(q.text)) } end
  if v == J.null then return {} end
  if M.kind(v) ~= "object" then return nil, { M.input(M.mismatch(M.kind(v), "map[string]interface {}")) } end
  return v
end

--- A number of a JSON body: integers of more than 15 digits arrive as text.
function M.number(v)
  if type(v) == "number" then return v end
  if type(v) == "string" and #v > 15 and v:match "^%-?%d+$" then return tonumber(v) end
end

--- An id in the path: digits, or nil and the answer for what is none.
function M.id(text)
  local digits, why = J.parse_uint(text)
  if not digits then return nil, why end
  return digits
end

return M
