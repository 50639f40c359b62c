#!/bin/sh
# How fast a node with an empty disk is filled, and what that does to clients.
#
# Three nodes, so each has every key. Puts KEYS values of BYTES bytes into them, empties the disk of node3 and starts it again,
# with a steady open-loop load on the other two meanwhile (none if RATE is 0). With a load, the controller first sees more than a
# minute of it alone, which is what it learns from what a calm foreground takes.
#
#   scripts/rebuild.sh [KEYS] [BYTES] [RATE_PER_SECOND]
#
# RINGHOLD names the binary (default target/release/ringhold). RINGHOLD_BACKGROUND_CONTROLLER=off gives the work in the background
# all it asks for.
set -eu
keys=${1:-200000}
bytes=${2:-100}
rate=${3:-0}
nodes=3
. "$(dirname "$0")/cluster.sh"
metric() { curl -s "$(url node3)/metrics" | sed -n "s/^$1 //p"; }
# $1: how long, in seconds; $2: what it shows.
load() {
    echo "== $2"
    "$ringhold" bench --at "$(url node1),$(url node2)" --rate "$rate" --duration "${1}s" --keys "$keys" --connections 32 \
        --value-bytes "$bytes" --with-context false
}

"$ringhold" bench --at "$(url node1),$(url node2)" --workload put --prefill --keys "$keys" --value-bytes "$bytes" \
    --with-context false --operations 1 >/dev/null
[ "$rate" = 0 ] || { load 65 "before (not to be counted: the fill is still within the controller's minute)" >/dev/null && load 15 "no rebuild"; }
kill -9 "$(of node3 pid)"
rm -rf "$(of node3 data_dir)"
"$ringhold" dev restart node3 --dir "$dir"
[ "$rate" = 0 ] || load "${REBUILDING_LOAD_S:-15}" "rebuilding" &
began=$(date +%s%N)
while "$ringhold" cluster rebuild --at "$(url node3)" | grep -q "node3  rebuilding"; do :; done
ended=$(date +%s%N)
objects=$(metric ringhold_objects_rebuilt_total)
ms=$(((ended - began) / 1000000))
wait $! 2>/dev/null || true
echo "== rebuilt: $objects objects of $bytes bytes in $ms ms: $((objects * 1000 / (ms + 1))) a second"
