--- support: the binary under test, run as a person runs it.
-- The sanitized binary is taken where it was built; the libraries that the test runner preloads are
-- for the runner alone.
local M = {}

local build = os.getenv "BUILD" or "build"

local function exists(path)
  local f = io.open(path)
  if f then f:close() end
  return f ~= nil
end

local sanitized = build .. "/san/tikv-operator"
M.binary = exists(sanitized) and sanitized or build .. "/tikv-operator"
M.kubectl = io.popen("command -v kubectl"):read "*l"
local plain = "env -u LD_PRELOAD -u KUBECONFIG -u POD_NAMESPACE "

local folder
--- A folder that is gone after M.clean().
function M.folder()
  if not folder then
    folder = io.popen("mktemp -d"):read "*l"
  end
  return folder
end

function M.clean()
  if folder then os.execute("rm -rf " .. folder) end
  folder = nil
end

function M.read(path)
  local f = io.open(path)
  if not f then return "" end
  local text = f:read "*a"
  f:close()
  return text
end

function M.write(name, text)
  local path = M.folder() .. "/" .. name
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
  return path
end

--- Any shell command, at most ten seconds. Returns the exit code, stdout and stderr.
function M.shell(command)
  local dir = M.folder()
  local script = M.write("command", command)
  local pipe = io.popen(("%stimeout 10 sh %s >%s/out 2>%s/err </dev/null; echo $?"):format(plain, script, dir, dir))
  local code = tonumber(pipe:read "*l")
  pipe:close()
  return code, M.read(dir .. "/out"), M.read(dir .. "/err")
end

--- The binary with these words.
function M.run(words)
  return M.shell(("exec %s %s"):format(M.binary, words))
end

local count = 0
--- Start the binary in the background: {pid, out(), err(), stop(signal) -> exit code}.
function M.start(words)
  count = count + 1
  local at = ("%s/%d"):format(M.folder(), count)
  local script = M.write(count .. ".sh", ([[
%s %s >%s.out 2>%s.err </dev/null &
echo $! >%s.pid
wait $!
echo $? >%s.code
]]):format(M.binary, words, at, at, at, at))
  os.execute(("%s sh %s >/dev/null 2>&1 &"):format(plain, script))
  local p = { out = function() return M.read(at .. ".out") end, err = function() return M.read(at .. ".err") end }
  assert(M.wait(5, function()
    p.pid = M.read(at .. ".pid"):match "%d+"
    return p.pid
  end), "it did not start")
  function p.stop(signal)
    os.execute(("kill -%s %s"):format(signal or "TERM", p.pid))
    M.wait(8, function() return M.read(at .. ".code") ~= "" end)
    return tonumber(M.read(at .. ".code"))
  end
  return p
end

--- Ask until it is true, at most so many seconds; the last answer.
function M.wait(seconds, ask)
  for _ = 1, seconds * 10 do
    local answer = ask()
    if answer then return answer end
    os.execute "sleep 0.1"
  end
  return ask()
end

--- A playground: {.., kubeconfig, connect}. more: further options.
function M.playground(more)
  local kubeconfig = ("%s/kubeconfig%d"):format(M.folder(), count)
  local p = M.start(("playground --write-kubeconfig %s %s"):format(kubeconfig, more or ""))
  assert(M.wait(8, function() return p.out():find("--connect-to", 1, true) end), p.out() .. p.err())
  p.kubeconfig, p.connect = kubeconfig, p.out():match "::127%.0%.0%.1:%d+"
  function p.run(words) return M.run(words .. " --kubeconfig " .. kubeconfig) end
  return p
end

function M.alive(pid)
  return os.execute(("kill -0 %s 2>/dev/null"):format(pid)) == 0
end

return M
