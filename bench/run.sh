#!/bin/sh
# Builds Caddy with this module and the bench program, runs the comparison and
# prints its table; see README.md.
#
#   [CADDY=FILE] ./run.sh [-rounds N] [-requests N] [-connections N]
#
# CADDY is a Caddy that was already built with this module, REDIS the Redis
# server to measure with; it is redis-server unless it is set.
set -eu

if [ -n "${CADDY:-}" ]; then
	caddy=$(cd "$(dirname "$CADDY")" && pwd)/$(basename "$CADDY")
fi
cd "$(dirname "$0")"
work=$(mktemp -d)
bench=
stop() {
	# The bench program ends its servers itself.
	[ -z "$bench" ] || { kill "$bench" 2>/dev/null && wait "$bench"; } || true
	rm -rf "$work"
}
trap stop EXIT
trap 'exit 1' HUP INT TERM

if [ -z "${caddy:-}" ]; then
	caddy=$work/caddy
	../xcaddy.sh build --output "$caddy" >&2
fi
go build -o "$work/bench" .
go build -tags nobadger,nomysql,nopgx -trimpath -ldflags "-w -s" -o "$work/limit" ./limit
# In the background, where a signal to this script reaches its trap at once.
"$work/bench" run -caddy "$caddy" -redis "${REDIS:-redis-server}" -limit "$work/limit" "$@" &
bench=$!
wait "$bench"
