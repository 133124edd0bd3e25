--- report: the output handler of busted that run.sh uses.
-- A line for each spec that failed, then what it said; the very last line is `N passed, N failed`.
-- A pending spec counts as failed, unless it or what surrounds it is tagged #pending: nothing may be
-- left undone silently.
return function()
  local busted = require "busted"
  local handler = require "busted.outputHandlers.base"()
  local passed, failed = 0, 0

  local function say(text)
    io.stdout:write(text, "\n")
  end

  local function indented(text)
    return (tostring(text):gsub("\n+$", ""):gsub("[^\n]+", "    %0"))
  end

  local function place(element)
    local trace = element.trace
    return trace and ("%s:%d"):format(trace.short_src, trace.currentline) or "?"
  end

  local function complain(kind, element, message, trace)
    failed = failed + 1
    say(("%s %s: %s"):format(kind, place(element), handler.getFullName(element) or "?"))
    if type(message) == "table" then
      message = message.message or require("pl.pretty").write(message)
    end
    if message then
      say(indented(message))
    end
    if kind == "ERROR" and trace and trace.traceback then
      say(indented(trace.traceback))
    end
  end

  function handler.testEnd(element, _, status, trace)
    if status == "success" then
      passed = passed + 1
    elseif status == "pending" and not handler.getFullName(element):find("#pending", 1, true) then
      local message = type(trace) == "table" and trace.message or trace
      complain("PENDING", element, message)
    end
    return nil, true
  end

  function handler.failure(element, _, message, trace)
    complain("FAILED", element, message, trace)
    return nil, true
  end

  function handler.error(element, _, message, trace)
    complain("ERROR", element, message, trace)
    return nil, true
  end

  function handler.exit()
    say(("%d passed, %d failed"):format(passed, failed))
    io.stdout:flush()
    if failed > 0 then
      os.exit(1) -- the runner itself forgives what is pending
    end
    return nil, true
  end

  busted.subscribe({ "test", "end" }, handler.testEnd)
  busted.subscribe({ "failure" }, handler.failure)
  busted.subscribe({ "error" }, handler.error)
  busted.subscribe({ "exit" }, handler.exit)
  return handler
end
