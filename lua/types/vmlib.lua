---@meta
--- What every script may call, in addition to Lua's own functions. See lua/README.md, "The cage".

---@class jsonlib
json = {}

---JSON text of a value, members sorted by name. Raises when the value has no JSON.
---@param value any
---@param canonical? boolean equal values give equal bytes, whatever prints them
---@return string
function json.encode(value, canonical) end

---The value of a JSON text, or nil and the reason. `null` is dropped; integers of more than 15
---digits become texts.
---@param text string at most 1 MiB
---@return any value
---@return string? reason
function json.decode(text) end

---Mark a table as a list, so that it stays one when it is empty.
---@generic T
---@param list? T[]
---@return T[] list the same table
function json.array(list) end

---@class hashlib
hash = {}

---@param text string
---@return string hex 64 characters
function hash.sha256(text) end

---A short name for content, in the characters Kubernetes takes for safe.
---@param text string
---@return string name ten characters
function hash.safe(text) end

---@class timelib
time = {}

---@param rfc3339 string
---@return number? seconds since 1970, nil when it is no time
function time.parse(rfc3339) end

---@param seconds number
---@return string rfc3339 whole seconds, UTC
function time.format(seconds) end

---Go's durations: "1h5m", "1.5s", "300ms".
---@param text string
---@return number? seconds nil when it is none
function time.duration(text) end

---@param seconds number
---@return string age as kubectl prints it: "45s", "3m", "2d"
function time.age(seconds) end

---@class quantitylib
quantity = {}

---@param text string|number "16Gi", "100m", "1e3"
---@return number? value nil when it is no quantity
function quantity.parse(text) end

---Exact, where numbers would round.
---@param a string|number
---@param b string|number
---@return -1|0|1|nil order nil when one is no quantity
function quantity.compare(a, b) end

---@class textlib
text = {}

---@param s string
---@param separator string taken as it is, not a pattern
---@return string[] parts at least one
function text.split(s, separator) end

---@param pattern string `*` is any run, `?` any byte
---@param s string
---@return boolean
function text.glob(pattern, s) end

---@param s string
---@param prefix string
---@return boolean
function text.starts(s, prefix) end

---@param s string
---@param suffix string
---@return boolean
function text.ends(s, suffix) end

---Without white space at both ends.
---@param s string
---@return string
function text.trim(s) end

---@class semverlib
semver = {}

---@class semver.version
---@field major integer
---@field minor integer
---@field patch integer
---@field prerelease? string
---@field build? string

---@param version string semver.org 2.0.0, "v" in front is fine
---@return semver.version? version nil when it is none
function semver.parse(version) end

---@param a string
---@param b string
---@return -1|0|1|nil order nil when one is no version; what was built from it does not count
function semver.compare(a, b) end

---@class loglib
log = {}

---@param format string as string.format takes it; alone it is written as it is
---@param ... string|number|boolean|nil
function log.debug(format, ...) end

---@param format string
---@param ... string|number|boolean|nil
function log.info(format, ...) end

---@param format string
---@param ... string|number|boolean|nil
function log.warn(format, ...) end

---A question to the outside; exists only where somebody answers, else nil. Raises the other side's
---error.
---@type nil|fun(name: string, value: any): any
ask = nil
