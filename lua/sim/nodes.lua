--- nodes: makes the simulated nodes, spread over zones.
local M = {}

function M.start(conf)
  conf = conf or {}
  local zones = conf.zones or 3
  for i = 1, conf.count or 6 do
    local name = ("node-%d"):format(i)
    sim.request("POST", "/api/v1/nodes", { apiVersion = "v1", kind = "Node", metadata = { name = name, labels = {
      ["kubernetes.io/hostname"] = name, ["kubernetes.io/os"] = "linux", ["kubernetes.io/arch"] = "amd64",
      ["topology.kubernetes.io/region"] = "r1", ["topology.kubernetes.io/zone"] = ("zone-%d"):format((i - 1) % zones + 1),
    } } })
    local size = { cpu = "64", memory = "256Gi", pods = "1000" }
    sim.request("PATCH", ("/api/v1/nodes/%s/status"):format(name), { status = { capacity = size, allocatable = size,
      addresses = sim.array { { type = "InternalIP", address = ("10.0.0.%d"):format(i) } },
      nodeInfo = { kubeletVersion = "v1.36.3", operatingSystem = "linux", architecture = "amd64" },
      conditions = sim.array { { type = "Ready", status = "True", reason = "KubeletReady",
        lastTransitionTime = (sim.wall()), lastHeartbeatTime = (sim.wall()) } } } })
  end
end

return M
