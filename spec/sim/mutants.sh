#!/bin/sh
# Breaks a copy of the project in one place after the other; a spec or the simulation must notice each time.
#   sh spec/sim/mutants.sh [lua|c|all] [PART OF A NAME]
# The list is spec/sim/mutants.lua. The tree itself is never touched. SCHEDULES: how many the simulation
# may need (default 150). Ends with `N killed, N alive`.
set -u
which=${1:-all} only=${2:-} schedules=${SCHEDULES:-150}
build=${BUILD:-build}
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
alive=0 killed=0
mkdir "$work/tree"
cp -a .ci Makefile core lua crds examples manifests spec README.md "$work/tree"
mkdir -p "$work/tree/build"
for d in obj san; do [ ! -d "$build/$d" ] || cp -a "$build/$d" "$work/tree/build/$d"; done
cp -a "$build/tikv-operator" "$work/tree/build/"
cp "$build/tikv-operator" "$work/whole"
cd "$work/tree" || exit 2
unset BUILD

# Mutant $1: "apply" changes the copy, "restore" takes it back, else the field of that name is printed.
mutant() {
	luajit - "$1" "$2" <<'LUA'
local m, what = dofile("spec/sim/mutants.lua")[tonumber(arg[1])], arg[2]
if what ~= "apply" and what ~= "restore" then return io.write(tostring(m[what] == nil and "" or m[what])) end
local function slurp(path)
  local f = assert(io.open(path, "rb"))
  local s = f:read "*a"
  f:close()
  return s
end
local function spit(path, s)
  local f = assert(io.open(path, "wb"))
  f:write(s)
  f:close()
end
if what == "restore" then return spit(m.file, slurp("../before")) end
local s = slurp(m.file)
spit("../before", s)
for _, change in ipairs { m, m.also } do
  local at, last = s:find(change.replace, 1, true)
  if not at then os.exit(1) end
  s = s:sub(1, at - 1) .. change.with .. s:sub(last + 1)
end
spit(m.file, s)
LUA
}

make_quietly() { make -s SAN="$1" VERSION=mutant "$2" >../log 2>&1; }

# The first thing that is red, or nothing.
red() {
	if [ -n "$by" ]; then
		timeout 200 sh spec/run.sh "$by" >../out 2>&1 && return
		echo "$by: $(grep -m1 -E '^ *(not ok|FAIL|✗|[^ ].*failed)' ../out || tail -1 ../out)"
		return
	fi
	first=1
	while [ $first -le "$schedules" ]; do
		options="--first --seed $first --schedules $((schedules - first + 1))"
		[ "$(mutant $i empty)" != true ] || options="$options --empty"
		case $file in lua/*) options="$options --policy lua" ;; esac
		# shellcheck disable=SC2086
		line=$(timeout 300 build/tikv-operator simulate $options 2>&1 | sed -n '/^seed /{p;q;}')
		[ -n "$line" ] || return
		seed=${line#seed } seed=${seed%%:*}
		# what is red without the mutant too says nothing of it
		if ../whole simulate --seed "$seed" --schedules 1 >/dev/null 2>&1; then
			echo "$line"
			return
		fi
		first=$((seed + 1))
	done
}

verdict() {
	if [ -n "$1" ]; then
		killed=$((killed + 1))
		echo "killed  $name: by $1" | cut -c1-170
	else
		alive=$((alive + 1))
		echo "ALIVE   $name${2:+ ($2)}"
	fi
}

target() { [ -n "$by" ] && make_quietly 1 core || { [ -z "$by" ] && make_quietly "" build/tikv-operator; }; }

count=$(luajit -e "io.write(#dofile('spec/sim/mutants.lua'))")
i=0
while [ $i -lt "$count" ]; do
	i=$((i + 1))
	file=$(mutant $i file) name=$(mutant $i name) by=$(mutant $i by)
	case $file in lua/*) [ "$which" != c ] || continue ;; *) [ "$which" != lua ] || continue ;; esac
	case $name in *"$only"*) ;; *) continue ;; esac
	if ! mutant $i apply; then
		verdict "" "its text is not in $file"
		continue
	fi
	case $file in
	lua/*) verdict "$(red)" ;;
	*) if target; then verdict "$(red)"; else verdict "" "it does not compile: $(grep -m1 error ../log)"; fi ;;
	esac
	mutant $i restore
done
echo "$killed killed, $alive alive"
[ "$alive" = 0 ]
