---@meta
--- The world of a pass and its plan, for controllers and policies. See lua/README.md.

---@class world
---@field now number seconds since 1970
---@field clock table<string, integer> year, month, day, hour, minute, second, weekday (0 is Sunday)
---@field kind string
---@field object table the object of the pass
---@field deleting boolean
---@field operator {version: string, namespaced: boolean, id: string, behaviour: integer}
---@field last table? how the previous plan of this object ended
---@field ages table<string, number> seconds since each kind's stream was heard
---@field unknown table<string, string> names of needs that can not be known, and why
---@field cluster world.cluster?
---@field pd world.pd?
---@field rows world.row[]? instances of a group
---@field claims world.claim[]?
---@field revisions table[]?
---@field group {name: string, uid: string, deleting: string?, retention: table?}? of an instance
---@field pod world.pod? of an instance
---@field configmap table? of an instance, whole
---@field node {name: string, labels: table<string, string>}? of an instance with a recorded node
---@field secrets table<string, {known: boolean, reason: string?, there: boolean?, keys: string[]?}>? of an instance that does not serve
---@field live world.live? settings of a TiKV's process, where they are changed online
---@field pdgroups table[]? of a Cluster
---@field tikvgroups table[]? of a Cluster
---@field jobs table[]? of a group: those of its hooks, see lib/hooks
---@field hook_pods table[]? pods of hooks in the namespace
---@field siblings table[]? groups of the same kind and Cluster: of a PDGroup, and while a group is being deleted

---@class world.cluster fields of the Cluster that groups and instances look at
---@field name string
---@field uid string
---@field generation integer
---@field deleting string?
---@field paused boolean?
---@field suspend boolean?
---@field tls boolean?
---@field dns table?
---@field features {name: string}[]?
---@field policies {name: string}[]?
---@field history integer? revisionHistoryLimit
---@field retention table?
---@field pd string? URL
---@field id string? PD cluster id

---@class world.row
---@field name string
---@field uid string
---@field rv string
---@field deleting string?
---@field revision string?
---@field template string? hash
---@field founder string? founding list
---@field topology table<string, string>?
---@field phase string?
---@field reason string?
---@field message string?
---@field id string? store or member id
---@field ready "True"|"False"|"Unknown"|nil
---@field current string? revision that the pod runs

---@class world.claim
---@field name string
---@field uid string
---@field rv string
---@field deleting string?
---@field labels table<string, string>?
---@field annotations table<string, string>?
---@field storage string?
---@field class string?
---@field volume string?
---@field phase string?
---@field capacity string?

---@class world.pod
---@field name string
---@field uid string
---@field rv string
---@field deleting string?
---@field created string
---@field labels table<string, string>
---@field annotations table<string, string>
---@field owners table[]
---@field phase string?
---@field node string?
---@field ready "True"|"False"|nil
---@field scheduled "True"|"False"|nil
---@field placing string? the scheduler's message
---@field containers table[]?
---@field init table[]?

---@class world.pd
---@field known boolean false: nothing but `reason`, `age` and `history` is there
---@field reason string? why it is not known
---@field age number? seconds
---@field settled boolean
---@field history string? why this is not the cluster it was
---@field breaker string? why the guard's breaker is open
---@field cluster_id string
---@field version string
---@field leader {id: string, name: string}?
---@field members {id: string, name: string, healthy: boolean?}[]
---@field member {id: string, name: string, healthy: boolean?}? by the name asked for
---@field bootstrapped boolean
---@field store world.store? by the id asked for, without one by the address
---@field stores world.store[]? for stores = "all"
---@field counts {Up: integer, Disconnected: integer, Down: integer, Offline: integer, Tombstone: integer}
---@field replication {max_replicas: integer, location_labels: string[], isolation_level: string, cluster_version: string, voters: integer,
--- peers: integer} voters: fewest that any key range has; peers: most that any wants
---@field schedulers string[]
---@field evicting string[]
---@field regions {total: integer?, down_peer: integer?, pending_peer: integer?, miss_peer: integer?}
---@field halted boolean
---@field no_space boolean PD's etcd takes no writes
---@field settings table<string, any>? by the names asked for
---@field tried table<string, {value: any, why: string}>? settings that were sent, "" when they were taken

---@class world.live
---@field known boolean
---@field reason string? why it is not known
---@field age number? seconds
---@field since string? another one is another process
---@field values table<string, any>? by the names asked for
---@field tried table<string, {value: any, why: string}>? what was sent to this process, "" when it was taken

---@class world.store
---@field id string
---@field address string
---@field state "Up"|"Disconnected"|"Down"|"Offline"|"Tombstone"
---@field node_state "Preparing"|"Serving"|"Removing"|"Removed"
---@field leaders integer
---@field regions integer
---@field capacity string
---@field available string
---@field heartbeat_age number
---@field labels table<string, string>
---@field evicting boolean
---@field busy boolean

---@class trace what status(w, t) may read
---@field verdict {kind: string, step: string?, reason: string?, message: string?}
---@field notes table[]
---@field steps {step: string, verdict: string, reason: string?, message: string?}[]

---@class verdict
local verdict = {}
---@param fmt string
---@return verdict
function verdict:hint(fmt, ...) end
---@param t {done: integer, total: integer}
---@return verdict
function verdict:progress(t) end

---@class ref
---@field kind string
---@field name string
---@field uid string
---@field rv string

---@class plan
local plan = {}
---@param reason string a code of lib/reasons
---@param fmt string
---@return verdict
function plan:wait(reason, fmt, ...) end
---@param seconds number
---@param reason string
---@param fmt string
---@return verdict
function plan:retry(seconds, reason, fmt, ...) end
---@param reason string
---@param fmt string
function plan:note(reason, fmt, ...) end
function plan:watch_pd() end
---@return boolean no more actions fit into this pass
function plan:full() end
---@param object table
function plan:apply(object) end
---@param ref ref
---@param why string
---@param grace? integer
function plan:delete(ref, why, grace) end
---@param ref ref
---@param change table
function plan:patch_meta(ref, change) end
---@param ref ref
---@param key string
function plan:mark(ref, key) end
---@param store_id string
---@param o {expect: string, force: boolean?}
function plan:pd_offline(store_id, o) end
---@param store_id string
---@param o {expect: string}
function plan:pd_online(store_id, o) end
---@param store_id string
function plan:pd_evict_leaders(store_id) end
---@param store_id string
function plan:pd_restore_leaders(store_id) end
---@param member string
function plan:pd_transfer_leader(member) end
---@param member_id string
---@param name string
function plan:pd_remove_member(member_id, name) end
---@param store_id string
---@param labels table<string, string>
function plan:pd_labels(store_id, labels) end
---@param items table<string, string>
function plan:pd_config(items) end
---@param o {type: "add-peer"|"remove-peer", rate: integer, store_id: string?}
function plan:pd_store_limit(o) end
---@param ids string[] all tombstones
function plan:pd_purge(ids) end
---@param seconds number
function plan:look(seconds) end
---@param instance string
---@param items table<string, string>
function plan:tikv_config(instance, items) end
---@param object table
function plan:job(object) end
---@param type "Normal"|"Warning"
---@param reason string
---@param fmt string
function plan:event(type, reason, fmt, ...) end

---@class controller
---@field name string
---@field api 1
---@field kind string
---@field owns string[]
---@field essential string[]?
---@field needs fun(object: table): table[]
---@field steps string[]
---@field status fun(w: world, t: trace): table, number?

return { verdict, plan }
