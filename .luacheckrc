std = "luajit"
max_line_length = 120
ignore = { "212/self" }
files["spec"] = { std = "+busted" }
files["lua/sim"] = { globals = { "sim" } }
files["lua/types"] = { ignore = { "2..", "1.." } }
exclude_files = { "build" }
