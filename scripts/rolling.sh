#!/bin/sh
# What clients see while all nodes are restarted one after the other, as for an upgrade.
#
# Five nodes under a steady open-loop load, which counts what fails and tries nothing again. Each node in turn is stopped with
# SIGTERM, started again, and waited for until it is ready and nobody owes anybody anything. Then all primaries are compared.
#
#   scripts/rolling.sh [RATE_PER_SECOND]
#
# RINGHOLD names the binary (default target/release/ringhold).
set -eu
rate=${1:-300}
nodes=5
. "$(dirname "$0")/cluster.sh"
all="$(url node1),$(url node2),$(url node3),$(url node4),$(url node5)"

"$ringhold" bench --at "$all" --workload put --operations 5000 --keys 5000 --with-context false >"$dir/prefill.txt"
"$ringhold" bench --at "$all" --rate "$rate" --duration 60s --keys 5000 --connections 32 --value-bytes 1024 >"$dir/load.txt" 2>&1 &
loading=$!
for node in node1 node2 node3 node4 node5; do
    began=$(date +%s)
    kill -TERM "$(of $node pid)"
    while kill -0 "$(of $node pid)" 2>/dev/null; do :; done
    "$ringhold" dev restart $node --dir "$dir" >/dev/null
    until curl -sf "$(url $node)/health/ready" >/dev/null; do :; done
    until "$ringhold" cluster hints --at "$(url node1)" | grep -q "no hints"; do :; done
    echo "$node: $(($(date +%s) - began)) s"
done
wait $loading
cat "$dir/load.txt"
"$ringhold" cluster repair --at "$(url node1)" | tail -1
"$ringhold" cluster verify --at "$(url node1)" | tail -1
