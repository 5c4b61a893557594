#!/bin/sh
# Builds, runs and tests Caddy with this module, from this working tree.
#
#   ./xcaddy.sh build [--output FILE] [--with MODULE[@VERSION][=DIR]]...
#   ./xcaddy.sh run [CADDYFILE]
#   ./xcaddy.sh test [ARGUMENT-OF-GO-TEST...]
#   ./xcaddy.sh apps [ARGUMENT-OF-GO-TEST...]
#
# build  makes ./caddy. It uses xcaddy when that is installed, else the steps
#        that xcaddy would take, by plain go, at the versions that go.mod pins.
# run    builds Caddy with the provider simulator as well and serves the
#        Caddyfile, Caddyfile.example by default.
# test   runs the whole test suite, and says at the end what it left out because
#        it is not installed. With CI=true that is a failure.
# apps   puts the real applications under apps/ behind the gate, each in three
#        ways, and has a browser use them. APPS_WAYS names other ways.
#
# CADDY_VERSION builds with another Caddy than go.mod names, which is the oldest
# that the module is for. GOOS, GOARCH,
# CGO_ENABLED and XCADDY_GO_BUILD_FLAGS mean what they mean to go and xcaddy.
set -eu

module=github.com/caddycaptcha/caddycaptcha
caddy=github.com/caddyserver/caddy/v2
# With a version that cannot exist go never looks the module up on a proxy.
unpublished=v0.0.0-00010101000000-000000000000
tags=nobadger,nomysql,nopgx
repo=$(cd "$(dirname "$0")" && pwd)
newline='
'

fail() {
	echo "xcaddy.sh: $*" >&2
	exit 1
}

command -v go >/dev/null || fail "go is not installed; see https://go.dev/doc/install"

oldest_caddy() { cd "$repo" && go list -m -f '{{.Version}}' "$caddy"; }

caddy_version() {
	if [ -z "${CADDY_VERSION:-}" ]; then
		oldest_caddy
		return
	fi
	oldest=$(oldest_caddy)
	case $CADDY_VERSION in
	v[0-9]*.[0-9]*.[0-9]*)
		first=$(printf '%s\n%s\n' "$CADDY_VERSION" "$oldest" | sort -V | head -n 1)
		[ "$first" = "$oldest" ] || fail "CADDY_VERSION=$CADDY_VERSION is too old: the module needs Caddy $oldest or newer, whose writers and matchers it relies on"
		;;
	esac
	echo "$CADDY_VERSION"
}

# build OUTPUT [--with MODULE[@VERSION][=DIR]]... builds with xcaddy.
build_with_xcaddy() {
	output=$1
	version=$(caddy_version)
	shift
	xcaddy build "$version" --output "$output" --with "$module@$unpublished=$repo" "$@"
}

# The steps of xcaddy, seeded with the versions that go.mod pins. Modules given
# by --with stand one a line in $withs, further packages of this module to
# import in $packages.
build_with_go() {
	output=$1
	version=$(caddy_version)
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	trap 'exit 1' HUP INT TERM

	sed "s|^module .*|module caddy|" "$repo/go.mod" >"$work/go.mod"
	cp "$repo/go.sum" "$work/go.sum"
	{
		echo 'package main'
		echo 'import ('
		echo '	_ "time/tzdata"'
		echo "	caddycmd \"$caddy/cmd\""
		echo "	_ \"$caddy/modules/standard\""
		for package in $module ${packages:-}; do
			echo "	_ \"$package\""
		done
		echo "$withs" | sed -n 's|^\([^@=][^@=]*\).*|	_ "\1"|p'
		echo ')'
		echo 'func main() { caddycmd.Main() }'
	} >"$work/main.go"
	(
		cd "$work"
		go mod edit -require "$module@$unpublished" -replace "$module=$repo"
		echo "$withs" | while IFS= read -r with; do
			[ -n "$with" ] || continue
			name=${with%%[@=]*}
			case $with in
			*=*) go mod edit -require "$name@$unpublished" -replace "$name=$(absolute "${with#*=}")" ;;
			*) go get "${with%%=*}" "$caddy@$version" ;;
			esac
		done
		go get "$caddy@$version"
		go mod tidy
		if [ -n "${XCADDY_GO_BUILD_FLAGS:-}" ]; then
			# shellcheck disable=SC2086 # they are several words
			CGO_ENABLED=${CGO_ENABLED:-0} go build $XCADDY_GO_BUILD_FLAGS -o "$output" .
		else
			CGO_ENABLED=${CGO_ENABLED:-0} go build -tags "$tags" -trimpath -ldflags "-w -s" -o "$output" .
		fi
	)
	rm -rf "$work"
	trap - EXIT HUP INT TERM
}

absolute() {
	case $1 in
	/*) echo "$1" ;;
	*) echo "$start/$1" ;;
	esac
}

# check_binary FILE MODULE... proves that the modules are in the binary.
check_binary() {
	file=$1
	shift
	if [ "$(go env GOOS GOARCH)" != "$(go env GOHOSTOS GOHOSTARCH)" ]; then
		go version -m "$file" | grep -q "$module" || fail "$file was built without $module"
		return
	fi
	listed=$("$file" list-modules --skip-standard)
	for id in "$@"; do
		echo "$listed" | grep -qx "$id" || fail "$file was built without the module $id"
	done
}

# want PROGRAM "NAMES" WHAT notes what is left out without any of the names.
want() {
	for name in $2; do
		! command -v "$name" >/dev/null || return 0
	done
	leave_out "$1" "$3"
}

leave_out() {
	[ "${CI:-}" != true ] || fail "$1 is missing, without which there would not be $2"
	left_out="${left_out:-}${left_out:+$newline}$2"
}

start=$(pwd)
command=${1:-help}
[ $# -eq 0 ] || shift

case $command in
build)
	output=$start/caddy$(go env GOEXE)
	withs=
	while [ $# -gt 0 ]; do
		case $1 in
		--output | --with) [ $# -gt 1 ] || fail "$1 needs an argument" ;;
		*) fail "build does not know $1; it takes --output FILE and --with MODULE[@VERSION][=DIR]" ;;
		esac
		case $1 in
		--output) output=$(absolute "$2") ;;
		--with) withs=$withs$2$newline ;;
		esac
		shift 2
	done
	if command -v xcaddy >/dev/null; then
		set --
		while IFS= read -r with; do
			[ -z "$with" ] || set -- "$@" --with "$with"
		done <<-END
			$withs
		END
		build_with_xcaddy "$output" "$@"
	else
		build_with_go "$output"
	fi
	check_binary "$output" http.handlers.captcha http.handlers.captcha_inject http.captcha.verifiers.geetest_v3 \
		http.captcha.verifiers.geetest_v4 http.captcha.verifiers.tencent http.captcha.verifiers.altcha
	echo "built $output"
	;;
run)
	output=$repo/caddy-demo$(go env GOEXE)
	withs=
	packages=$module/simulator
	build_with_go "$output"
	check_binary "$output" http.handlers.captcha http.handlers.captcha_simulator http.handlers.captcha_demo_app
	exec "$output" run --config "${1:-$repo/Caddyfile.example}"
	;;
test)
	cd "$repo"
	race=-race
	if [ "$(go env CGO_ENABLED)" != 1 ] || ! command -v "$(go env CC)" >/dev/null; then
		race=
		[ "${CI:-}" != true ] || fail "there is no C compiler: apt install gcc"
		left_out="the race detector (no C compiler: apt install gcc, or xcode-select --install)"
	fi
	want chromium "${CHROMIUM:-chromium chromium-browser google-chrome google-chrome-stable}" \
		"the tests in a browser (apt install chromium, brew install --cask chromium, or CHROMIUM=)"
	want npm npm "the checks with GeeTest's own client (apt install nodejs npm, or brew install node)"
	want node node "the readings of Node.js (apt install nodejs, or brew install node)"
	want redis-server "${REDIS:-redis-server valkey-server}" "the replay cache redis (apt install redis-server, or brew install redis)"
	want php php "the readings of PHP (apt install php-cli, or brew install php)"
	want python3 python3 "the readings of Python (apt install python3, or brew install python)"
	[ -d "${TOMCAT_HOME:-/usr/share/tomcat10}" ] || leave_out tomcat10 "the readings of Tomcat (apt install tomcat10, or TOMCAT_HOME=)"
	go vet ./...
	# Packages run side by side and report as they end; a line every half
	# minute shows that those that take long are still running.
	while sleep 30; do echo "still running ($(date +%T))"; done &
	heartbeat=$!
	trap 'kill $heartbeat 2>/dev/null || true' EXIT
	trap 'exit 1' HUP INT TERM
	status=0
	# shellcheck disable=SC2086 # an empty one is no argument
	go test $race -timeout 60m "$@" ./... || status=$?
	if [ -n "${left_out:-}" ]; then
		printf 'left out, because it is not installed here:\n%s\n' "$left_out"
	fi
	exit $status
	;;
apps)
	cd "$repo"
	go vet -tags apps ./apps/...
	exec go test -tags apps -count 1 -timeout 60m -v "$@" ./apps
	;;
help | -h | --help)
	sed -n '2,/^set -eu/{s/^# \{0,1\}//;/^set -eu/d;p;}' "$0"
	;;
*) fail "there is no command $command; there are build, run, test and apps, and help says more" ;;
esac
