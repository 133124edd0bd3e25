--- pd_defaults: the settings of a fresh PD, as GET /config shows them.
-- Left out: what differs per member (urls, name, data-dir) and the list of schedulers.
local J = require "sim.pd_json"

-- What 8.5.2 does not have yet, by section.
local NEWER = {
  schedule = { "affinity-schedule-limit", "default-store-limit", "max-affinity-merge-region-size",
    "split-scatter-schedule-limit" },
  dashboard = { "temp-dir" },
  keyspace = { "meta-service-groups" },
  ["micro-service"] = { "enable-tso-dynamic-switching", "enable-resource-manager-fallback" },
  controller = { "push-metrics-address", "push-metrics-interval" },
}

local function all()
  return {
    ["force-new-cluster"] = false, ["enable-grpc-gateway"] = true, ["initial-cluster-state"] = "new",
    ["initial-cluster-token"] = "pd-cluster", join = "", lease = 5,
    log = {
      level = "info", format = "text", ["disable-timestamp"] = false,
      file = { filename = "pd.log", ["max-size"] = 300, ["max-days"] = 0, ["max-backups"] = 0 },
      development = false, ["disable-caller"] = false, ["disable-stacktrace"] = false,
      ["disable-error-verbose"] = true, sampling = J.null, ["error-output-path"] = "",
    },
    ["max-concurrent-tso-proxy-streamings"] = 5000,
    ["tso-proxy-recv-from-client-timeout"] = "1h0m0s", ["tso-save-interval"] = "5s",
    ["tso-update-physical-interval"] = "50ms", ["enable-local-tso"] = false,
    metric = { job = "pd", address = "", interval = "15s" },
    schedule = {
      ["max-snapshot-count"] = 64, ["max-pending-peer-count"] = 64, ["max-merge-region-size"] = 54,
      ["max-merge-region-keys"] = 540000, ["split-merge-interval"] = "1h0m0s",
      ["switch-witness-interval"] = "1h0m0s", ["enable-one-way-merge"] = "false",
      ["enable-cross-table-merge"] = "true", ["patrol-region-interval"] = "10ms",
      ["max-store-down-time"] = "30m0s", ["max-store-preparing-time"] = "48h0m0s",
      ["leader-schedule-limit"] = 4, ["leader-schedule-policy"] = "count",
      ["region-schedule-limit"] = 2048, ["witness-schedule-limit"] = 4,
      ["replica-schedule-limit"] = 64, ["merge-schedule-limit"] = 8,
      ["hot-region-schedule-limit"] = 4, ["affinity-schedule-limit"] = 0,
      ["split-scatter-schedule-limit"] = 4, ["hot-region-cache-hits-threshold"] = 3,
      ["default-store-limit"] = { ["add-peer"] = 15, ["remove-peer"] = 15 }, ["store-limit"] = {},
      ["tolerant-size-ratio"] = 0, ["low-space-ratio"] = 0.8, ["high-space-ratio"] = 0.7,
      ["region-score-formula-version"] = "v2", ["scheduler-max-waiting-operator"] = 5,
      ["enable-remove-down-replica"] = "true", ["enable-replace-offline-replica"] = "true",
      ["enable-make-up-replica"] = "true", ["enable-remove-extra-replica"] = "true",
      ["enable-location-replacement"] = "true", ["enable-debug-metrics"] = "false",
      ["enable-joint-consensus"] = "true", ["enable-tikv-split-region"] = "true",
      ["enable-heartbeat-breakdown-metrics"] = "true",
      ["enable-heartbeat-concurrent-runner"] = "true", ["hot-regions-write-interval"] = "10m0s",
      ["hot-regions-reserved-days"] = 7, ["max-movable-hot-peer-size"] = 512,
      ["enable-diagnostic"] = "true", ["enable-witness"] = "false",
      ["slow-store-evicting-affected-store-ratio-threshold"] = 0.3, ["store-limit-version"] = "v1",
      ["patrol-region-worker-count"] = 1, ["max-affinity-merge-region-size"] = 256,
    },
    replication = {
      ["max-replicas"] = 3, ["location-labels"] = "", ["strictly-match-label"] = "false",
      ["enable-placement-rules"] = "true", ["enable-placement-rules-cache"] = "false",
      ["isolation-level"] = "",
    },
    ["pd-server"] = {
      ["use-region-storage"] = "true", ["max-gap-reset-ts"] = "24h0m0s", ["key-type"] = "table",
      ["runtime-services"] = "", ["metric-storage"] = "", ["dashboard-address"] = "auto",
      ["flow-round-by-digit"] = 3, ["min-resolved-ts-persistence-interval"] = "1s",
      ["server-memory-limit"] = 0, ["server-memory-limit-gc-trigger"] = 0.7,
      ["enable-gogc-tuner"] = "true", ["gc-tuner-threshold"] = 0.6,
      ["block-safe-point-v1"] = "false",
    },
    ["cluster-version"] = "0.0.0", labels = {}, ["quota-backend-bytes"] = "8GiB",
    ["auto-compaction-mode"] = "periodic", ["auto-compaction-retention-v2"] = "1h",
    ["tick-interval"] = "500ms", ["election-interval"] = "3s", ["enable-prevote"] = true,
    ["max-request-bytes"] = 157286400,
    security = {
      ["cacert-path"] = "", ["cert-path"] = "", ["key-path"] = "", ["cert-allowed-cn"] = J.null,
      SSLCABytes = J.null, SSLCertBytes = J.null, SSLKEYBytes = J.null, ["redact-info-log"] = false,
      encryption = {
        ["data-encryption-method"] = "plaintext", ["data-key-rotation-period"] = "168h0m0s",
        ["master-key"] = { type = "plaintext", ["key-id"] = "", region = "", endpoint = "", path = "" },
      },
    },
    ["label-property"] = {},
    dashboard = {
      ["tidb-cacert-path"] = "", ["tidb-cert-path"] = "", ["tidb-key-path"] = "",
      ["public-path-prefix"] = "", ["temp-dir"] = "", ["internal-proxy"] = false,
      ["enable-telemetry"] = false, ["enable-experimental"] = false,
      ["disable-custom-prom-addr"] = false,
    },
    ["replication-mode"] = {
      ["replication-mode"] = "majority",
      ["dr-auto-sync"] = {
        ["label-key"] = "", primary = "", dr = "", ["primary-replicas"] = 0, ["dr-replicas"] = 0,
        ["wait-store-timeout"] = "1m0s", ["wait-recover-timeout"] = "0s",
        ["pause-region-split"] = "false",
      },
    },
    keyspace = {
      ["pre-alloc"] = J.null, ["wait-region-split"] = true, ["wait-region-split-timeout"] = "30s",
      ["check-region-split-interval"] = "50ms", ["meta-service-groups"] = J.null,
    },
    ["micro-service"] = {
      ["enable-scheduling-fallback"] = "true", ["enable-tso-dynamic-switching"] = "false",
      ["enable-resource-manager-fallback"] = "true",
    },
    controller = {
      ["degraded-mode-wait-duration"] = "0s", ["ltb-max-wait-duration"] = "30s",
      ["ltb-token-rpc-max-delay"] = "1s",
      ["request-unit"] = {
        ["read-base-cost"] = 0.125, ["read-per-batch-base-cost"] = 0.5,
        ["read-cost-per-byte"] = 1.52587890625e-05, ["write-base-cost"] = 1,
        ["write-per-batch-base-cost"] = 1, ["write-cost-per-byte"] = 0.0009765625,
        ["read-cpu-ms-cost"] = 0.3333333333333333,
      },
      ["enable-controller-trace-log"] = "false", ["push-metrics-address"] = "",
      ["push-metrics-interval"] = "0s",
    },
    metering = {},
  }
end

---@param major integer version of PD
return function(major)
  local out = all()
  if major >= 9 then return out end
  out.metering = nil
  for section, keys in pairs(NEWER) do
    for _, key in ipairs(keys) do out[section][key] = nil end
  end
  return out
end
