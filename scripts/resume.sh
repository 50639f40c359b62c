#!/bin/sh
# A placement change whose source and then target are killed while objects are copied: it goes on where it was.
#
# Starts three nodes with KEYS values of BYTES bytes and has a fourth join, so it copies a quarter of all replicas. With a
# quarter of them copied, node2, one of the sources, gets SIGKILL: what it was to give comes from the other homes. With two thirds
# copied, the joiner itself gets SIGKILL. At the end: how much it had copied before and how much after, which together must not be
# more than what it has; and all primaries are compared.
#
#   scripts/resume.sh [KEYS] [BYTES]
#
# RINGHOLD names the binary (default target/release/ringhold).
set -eu
keys=${1:-100000}
bytes=${2:-100}
nodes=3
. "$(dirname "$0")/cluster.sh"

# As the joiner tells it, which counts what it has copied since its process was started; as node1 does if the joiner is dead.
transfers() { "$ringhold" cluster transfers --at "$(joiner_url 4)" 2>/dev/null || "$ringhold" cluster transfers --at "$at"; }
copied() {
    "$ringhold" cluster transfers --at "$(joiner_url 4)" --output json 2>/dev/null | sed -n 's/.*"objects_copied_by_asked": *\([0-9]*\).*/\1/p'
}
has_copied() { copied=$(copied); [ "${copied:--1}" -ge "$1" ]; }
is_over() { transfers | grep -q "no change is under way"; }
show() {
    echo "== $1"
    transfers
}

"$ringhold" bench --at "$at" --workload put --prefill --keys "$keys" --value-bytes "$bytes" --with-context false --operations 1 >/dev/null
join 4
"$ringhold" cluster plan --at "$at"
# The fourth of four has a quarter of three replicas of everything.
moving=$((keys * 3 / 4))
"$ringhold" cluster commit --at "$at" >/dev/null

await "a quarter is copied" has_copied $((moving / 4))
show "$copied objects copied; kill -9 of node2, a source"
kill -9 "$(of node2 pid)"
await "two thirds are copied" has_copied $((moving * 2 / 3))
show "$copied objects copied without node2; kill -9 of node4, which copies"
kill_joiner "$pid"
before=$copied
show "nobody hears node4"
serve 4
"$ringhold" dev restart node2 --dir "$dir" >/dev/null
await "node4 is back" has_copied 0
show "node2 and node4 are started again; node4 has copied $copied objects since"
began=$(date +%s)
await "the change is over" is_over
has_copied 0
show "after $(($(date +%s) - began)) s"
has=$(curl -s -X POST "$at/ringhold/v1/verify" | grep -o '{[^{}]*"node":"node4"[^{}]*}' | grep -o '"keys":[0-9]*' | cut -d: -f2 |
    awk '{ sum += $1 } END { print sum + 0 }')
echo "== node4 copied $before objects before it was killed and $copied afterwards; it has $has"
"$ringhold" cluster verify --at "$at"
# What was copied between the last look and the kill was not counted; so it can be less, and hardly more.
[ $((before + copied)) -le $((has + has / 50)) ] || { echo "objects were copied twice"; exit 1; }
