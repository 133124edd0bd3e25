---@meta
-- What an actor (lua/sim/*.lua) may use. An actor is a module that returns a table with
-- start(conf); it registers watches, timers and hosts there. Actors are trusted code of the
-- simulator, not policies: plain LuaJIT without io, os and package.
--
-- JSON crosses as plain tables. A list carries a mark, so that an empty list stays a list:
-- sim.array{} makes one. JSON null is dropped. Integers of more than 15 digits are strings that
-- print as numbers again only when made by sim.int("1234567890123456789").
--
-- Everything must be repeatable: iterate lists, or sim.pairs(t) (sorted keys); never depend on the
-- order of pairs().

---@class sim
sim = {}

---Carry out one API request at once. body: a table (printed as JSON), a string (sent as it is) or nil.
---content_type defaults to "application/json"; for PATCH to "application/merge-patch+json".
---`path` may have a query: "/api/v1/namespaces/a/pods?labelSelector=x%3Dy".
---@param method string
---@param path string
---@param body? table|string
---@param content_type? string
---The answer to a GET without query is shared by all who ask: it must not be changed (sim.copy). A
---write without query answers with its status only.
---@return integer status
---@return table|string|nil body decoded JSON, or text when it is none
function sim.request(method, path, body, content_type) end

---Watch a collection: initial objects come as "ADDED", then "ADDED", "MODIFIED", "DELETED". The
---watch never ends and never misses: after a 410 it lists again and reports what changed.
---@param path string plural path: "/api/v1/pods", "/apis/core.tikv.org/v1alpha1/namespaces/a/tikvs"
---Objects are shared like those of a GET.
---@param fn fun(event: string, object: table)
---@return fun() stop
function sim.watch(path, fn) end

---Call fn once, ms milliseconds later (0: at the next turn).
---@param ms number
---@param fn fun()
---@return fun() cancel
function sim.after(ms, fn) end

---Monotonic milliseconds of the loop.
---@return integer
function sim.now_ms() end

---Wall clock as RFC 3339 text ("2026-01-02T03:04:05Z"), and as milliseconds since 1970.
---@return string rfc3339
---@return integer ms
function sim.wall() end

---RFC 3339 text of a wall time in milliseconds; the second form parses (nil when it is none).
---@param ms integer
---@return string
function sim.format_time(ms) end
---@param text string
---@return integer|nil ms
function sim.parse_time(text) end

---Every decision that is not forced goes through here: 1..n. 1 is the dull choice (no fault, the
---shortest delay, the first candidate), so that shrinking a failing run moves towards 1.
---@param n integer
---@param site string "kubelet.start_delay"
---@return integer
function sim.choose(n, site) end

---@return string uuid
function sim.uuid() end

---@class sim.http_request
---@field who string name of the asking client
---@field method string
---@field host string host with port, as in the URL
---@field path string
---@field query table<string, string> decoded; the last one wins when a name comes twice
---@field raw_query string as it came, without '?'
---@field body table|string|nil decoded JSON when it is JSON
---@field content_type string

---Serve a virtual host reachable through the simulated network. '*' matches any run of characters:
---"*.a-pd-peer.ns.svc:2379". The first registered match wins. fn returns status, content type,
---body (a table is printed as JSON; nil content type means application/json) and extra delay.
---Status 0: connection refused (no such server now); status -1: never answers (client times out).
---@param pattern string
---@param fn fun(request: sim.http_request): integer, string?, table|string|nil, integer?
---@return fun() stop
function sim.serve(pattern, fn) end

---Ask a virtual host from inside, at once (PD actor asking a TiKV actor and so on).
---@param method string
---@param url string "http://host:port/path?query"
---@param body? table|string
---@return integer status 0 when nobody serves it
---@return table|string|nil body
function sim.ask(method, url, body) end

---A line in the run's log; values are printed with tostring, tables as JSON.
---@param ... any
function sim.log(...) end

---Mark a table as a JSON list (also when empty) and return it.
---@param t? table
---@return table
function sim.array(t) end

---A JSON integer of any length from its digits.
---@param digits string
---@return any
function sim.int(digits) end

---@param value any
---@return string
function sim.encode(value) end

---@param text string
---@return any|nil value nil when it is not JSON
function sim.decode(text) end

---pairs() with sorted keys.
---@param t table
---@return fun(): any, any
function sim.pairs(t) end

---A deep copy of plain data.
---@generic T
---@param value T
---@return T
function sim.copy(value) end

return sim
