std = "luajit"
max_line_length = 160
ignore = { "212/self" }
files["spec"] = { std = "+busted" }
globals = { "ask", "json", "hash", "time", "quantity", "text", "semver", "log" }
files["lua/sim"] = { globals = { "sim" } }
files["lua/types"] = { ignore = { "2..", "1.." } }
exclude_files = { "build" }
