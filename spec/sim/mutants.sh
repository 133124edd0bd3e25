#!/bin/sh
# Breaks the operator in one place after the other; the simulation must notice each time.
#   sh spec/sim/mutants.sh [lua|c|all] [SCHEDULES]
# Lua mutants run through --policy, C mutants are built in a scratch folder (BUILD, default build).
set -u
which=${1:-all} schedules=${2:-300}
build=${BUILD:-build}
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
alive=0 killed=0

# Write mutant $1 of the list into tree $2; prints its file, or nothing when the text is not there.
mutate() {
	luajit - "$1" "$2" <<'LUA'
local n, tree = tonumber(arg[1]), arg[2]
local m = dofile("spec/sim/mutants.lua")[n]
local function slurp(path)
  local f = assert(io.open(path, "rb"))
  local s = f:read "*a"
  f:close()
  return s
end
local s = slurp(m.file)
for _, change in ipairs { m, m.also } do
  local at, last = s:find(change.replace, 1, true)
  if not at then os.exit(1) end
  s = s:sub(1, at - 1) .. change.with .. s:sub(last + 1)
end
local f = assert(io.open(tree .. "/" .. m.file, "wb"))
f:write(s)
f:close()
LUA
}

field() { luajit -e "io.write(tostring(dofile('spec/sim/mutants.lua')[$1].$2))"; }
count=$(luajit -e "io.write(#dofile('spec/sim/mutants.lua'))")

verdict() { # name, first red line
	if [ -n "$2" ]; then
		killed=$((killed + 1))
		echo "killed  $1: $2" | cut -c1-150
	else
		alive=$((alive + 1))
		echo "ALIVE   $1"
	fi
}

run() { # binary and options; prints the first red line
	"$@" --first --seed 1 --schedules "$schedules" 2>&1 | sed -n '/^seed /{p;q;}' && return
}

attempt() {
	red=$(run "$@")
	[ -n "$red" ] || red=$("$@" --each-write --first --seed 1 --seconds 120 2>&1 | sed -n '/^seed /{p;q;}')
	verdict "$name" "$red"
}

i=0
while [ $i -lt "$count" ]; do
	i=$((i + 1))
	file=$(field $i file) name=$(field $i name)
	case $file in
	lua/*)
		[ "$which" = c ] && continue
		rm -rf "$work/lua" && cp -r lua "$work/lua"
		mutate $i "$work" || { verdict "$name (its text is not in $file)" ""; continue; }
		attempt "$build/tikv-operator" simulate --policy "$work/lua"
		;;
	*)
		[ "$which" = lua ] && continue
		if [ ! -d "$work/tree" ]; then
			mkdir "$work/tree" && cp -r Makefile core lua crds examples "$work/tree"
			make -s -C "$work/tree" BUILD="$work/build" VERSION=mutant "$work/build/tikv-operator" >/dev/null || exit 2
		fi
		mutate $i "$work/tree" || { verdict "$name (its text is not in $file)" ""; continue; }
		if make -s -C "$work/tree" BUILD="$work/build" VERSION=mutant "$work/build/tikv-operator" >"$work/log" 2>&1; then
			attempt "$work/build/tikv-operator" simulate
		else
			verdict "$name (does not compile)" ""
			tail -5 "$work/log"
		fi
		cp "$file" "$work/tree/$file"
		;;
	esac
done
echo "$killed mutants killed, $alive alive"
[ "$alive" = 0 ]
