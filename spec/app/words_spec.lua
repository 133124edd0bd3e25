-- The command line itself: help, misuse, completion. Nothing here needs a server.
local app = require "app.support"

local VERBS = { "run", "playground", "simulate", "status", "explain", "plan", "check", "version", "completion" }

describe("the command line", function()
  teardown(app.clean)

  it("lists every verb, and each has help with an example", function()
    local code, out = app.run "--help"
    assert.equal(0, code)
    for _, verb in ipairs(VERBS) do
      assert.is_truthy(out:find("\n  " .. verb .. " ", 1, true), verb)
      local c, help = app.run(verb .. " --help")
      assert.equal(0, c)
      assert.is_truthy(help:find("\nExample:\n  ", 1, true), verb)
      assert.equal(help, select(2, app.run("help " .. verb)))
    end
  end)

  it("answers 2 to a wrong command line and says on stderr where help is", function()
    for words, text in pairs {
      ["fly"] = "no verb fly",
      ["-x"] = "no verb %-x",
      ["run --nope"] = "unknown option %-%-nope",
      ["run --log-level"] = "%-%-log%-level needs a value",
      ["run --log-level loud"] = "debug, info, warn or error",
      ["run --log-format xml"] = "json or text",
      ["run more"] = "takes no arguments: more",
      ["version more"] = "takes no arguments: more",
      ["simulate --schedules many"] = "many is not a whole number",
      ["playground --nodes 0"] = "1 to 1000",
      ["playground --port 70000"] = "0 to 65535",
      ["playground --log-level loud"] = "debug, info, warn or error",
      ["playground --demo=perhaps"] = "neither true nor false",
      ["status a b"] = "at most one Cluster",
      ["status -o xml"] = "json, yaml or wide",
      ["explain"] = "KIND/NAME",
      ["explain ship/a"] = "the kind is one of",
      ["explain tikv/a tikv/b"] = "one object at a time",
      ["plan basic-0"] = "not KIND/NAME",
      ["check"] = "name files or folders",
      ["completion tcsh"] = "bash, zsh or fish",
    } do
      local code, out, err = app.run(words)
      assert.same({ words, 2, "" }, { words, code, out })
      assert.is_truthy(err:find(text), words .. ": " .. err)
      assert.is_truthy(err:find("--help", 1, true), words .. ": " .. err)
    end
  end)

  it("says what, why and what to do when it fails, and answers 1", function()
    for words, text in pairs {
      ["status --kubeconfig /nope"] = "/nope: no such file: check",
      ["run --config /nope"] = "/nope: No such file or directory: check --config",
      ["check /nope"] = "/nope: No such file or directory: name a file",
      ["simulate --policy /nope"] = "/nope: No such file or directory: name a folder",
      ["playground --lua-dir /nope"] = "/nope: No such file or directory: name a folder",
      ["playground --write-kubeconfig /nope/kc"] = "/nope/kc: No such file or directory: name a file",
    } do
      local code, out, err = app.run(words)
      assert.same({ words, 1, "" }, { words, code, out })
      assert.is_truthy(err:find(text, 1, true), words .. ": " .. err)
    end
  end)

  it("names the server that does not answer", function()
    local path = app.write("down", [[
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
]])
    for _, words in ipairs { "status", "explain kv/a", "plan" } do
      local code, _, err = app.run(words .. " --kubeconfig " .. path)
      assert.equal(1, code)
      assert.is_truthy(err:find("http://127.0.0.1:1: connection refused", 1, true), err)
      assert.is_truthy(err:find("check --kubeconfig and --context", 1, true), err)
    end
  end)

  it("takes the words of a configuration file, and refuses unknown ones and wrong values", function()
    local function with(text) return app.run("run --kubeconfig /nope --config " .. app.write("run.yaml", text)) end
    local _, _, err = with "log-format: text\nconnect-to: ['::127.0.0.1:1']\n"
    assert.is_truthy(err:find("/nope: no such file", 1, true), err)
    for text, want in pairs { ["colour: red\n"] = "colour: unknown option", ["- a\n"] = "no options",
      ["a: [1\nb: 2\n"] = "run.yaml:2:", ["log-level: loud\n"] = "debug, info, warn or error" } do
      local code, _, why = with(text)
      assert.is_true(code > 0)
      assert.is_truthy(why:find(want, 1, true), why)
    end
  end)

  it("lets the command line win over the configuration file", function()
    local code, _, err = app.run("run --log-level loud --config " .. app.write("run.yaml", "log-level: info\n"))
    assert.equal(2, code)
    assert.is_truthy(err:find("loud", 1, true), err)
  end)

  it("completes verbs and options in bash", function()
    local ask = [[bash -c '. <(%s completion bash); COMP_WORDS=(tikv-operator %s); COMP_CWORD=%d
      _tikv_operator; echo ${COMPREPLY[*]}']]
    local function complete(words, at)
      local code, out, err = app.shell(ask:format(app.binary, words, at))
      assert.same({ 0, "" }, { code, err })
      return (out:gsub("%s+$", ""))
    end
    assert.equal("status", complete("sta", 1))
    assert.equal("playground plan", complete("pl", 1))
    assert.equal("--watch", complete("status --w", 2))
    assert.equal("--namespace", complete("status --na", 2))
    assert.equal("--kubeconfig", complete("plan --kube", 2))
  end)

  it("writes completion that zsh and fish can read", function()
    for _, shell in ipairs { "zsh", "fish" } do
      local code, out = app.run("completion " .. shell)
      assert.equal(0, code)
      assert.is_truthy(out:find("write%-kubeconfig"))
      -- An apostrophe of a help text must not end fish's quotes.
      for line in out:gmatch "[^\n]+" do
        if shell == "fish" then
          assert.equal(0, select(2, line:gsub("\\'", ""):gsub("'", "")) % 2, line)
        end
      end
    end
  end)

  it("prints its version and those of its libraries", function()
    local code, out = app.run "version"
    assert.equal(0, code)
    assert.is_truthy(out:find("^tikv%-operator %S+\nLuaJIT"))
    assert.equal(out, select(2, app.run "--version"))
  end)

  it("simulates a schedule and names the hash, the same twice", function()
    local code, out = app.run "simulate --seed 3 --schedules 1 --no-faults"
    assert.equal(0, code)
    local _, again = app.run "simulate --seed 3 --schedules 1 --no-faults"
    assert.is_truthy(out:match "hash (%x+)")
    assert.equal(out:match "hash (%x+)", again:match "hash (%x+)")
  end)
end)
