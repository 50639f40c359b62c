#!/bin/sh
# What clients see when a whole zone is lost: six nodes in three zones, N = 3, so each key has a home in each zone.
#
# Puts a steady open-loop load on the cluster in three parts: before, with both nodes of zone2 killed, and from their restart on.
# Shopping carts are filled meanwhile and checked item by item at the end; then all primaries are compared.
#
#   scripts/zone.sh [RATE_PER_SECOND] [SECONDS_PER_PART]
#
# RINGHOLD names the binary (default target/release/ringhold).
set -eu
rate=${1:-300}
seconds=${2:-15}
carts=$(dirname "$0")/../data/journey
nodes=6
zones=3
. "$(dirname "$0")/cluster.sh"

# node1 and node4 are in zone1, node2 and node5 in zone2, node3 and node6 in zone3.
living="$(url node1),$(url node3),$(url node4),$(url node6)"
part() {
    echo "== $1"
    "$ringhold" bench --at "$living" --rate "$rate" --duration "${seconds}s" --keys 5000 --connections 32 --value-bytes 1024
}

"$ringhold" cluster members --at "$(url node1)"
"$ringhold" bench --at "$living" --workload put --operations 5000 --keys 5000 --with-context false >"$dir/prefill.txt"
"$ringhold" load carts --at "$living" --transactions "$carts/transactions.csv" --products "$carts/products.csv" \
    --shoppers 1 >"$dir/carts.txt" 2>&1 &
shoppers=$!
part "before"
kill -9 "$(of node2 pid)" "$(of node5 pid)"
part "zone2 lost"
"$ringhold" dev restart node2 --dir "$dir"
"$ringhold" dev restart node5 --dir "$dir"
part "zone2 back"
carts_are_right=true
wait $shoppers || carts_are_right=false
began=$(date +%s)
until "$ringhold" cluster hints --at "$(url node1)" | grep -q "no hints"; do
    [ $(($(date +%s) - began)) -lt 120 ] || { "$ringhold" cluster hints --at "$(url node1)"; exit 1; }
done
"$ringhold" cluster repair --at "$(url node1)" | tail -1
"$ringhold" cluster verify --at "$(url node1)" | tail -1
tail -1 "$dir/carts.txt"
$carts_are_right
