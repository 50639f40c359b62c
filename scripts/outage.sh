#!/bin/sh
# What clients see while two of five nodes are dead, and after they are back, one of them with an empty disk.
#
# Starts five nodes in a temporary directory and puts a steady open-loop load on them, in three parts: before, with two nodes
# killed, and from their restart on. Shopping carts are filled meanwhile and checked item by item at the end, so a lost write shows.
# Then it waits until no hints are left and no store is in doubt, and has all primaries compared.
#
#   scripts/outage.sh [RATE_PER_SECOND] [SECONDS_PER_PART]
#
# RINGHOLD names the binary (default target/release/ringhold).
set -eu
rate=${1:-500}
seconds=${2:-15}
carts=$(dirname "$0")/../data/journey
nodes=5
. "$(dirname "$0")/cluster.sh"

living="$(url node1),$(url node3),$(url node5)"
part() {
    echo "== $1"
    "$ringhold" bench --at "$2" --rate "$rate" --duration "${seconds}s" --keys 5000 --connections 32 --value-bytes 1024
}

"$ringhold" bench --at "$living" --workload put --operations 5000 --keys 5000 --with-context false >"$dir/prefill.txt"
"$ringhold" load carts --at "$living" --transactions "$carts/transactions.csv" --products "$carts/products.csv" \
    --shoppers 1 >"$dir/carts.txt" 2>&1 &
shoppers=$!

part "before" "$living"
kill -9 "$(of node2 pid)" "$(of node4 pid)"
part "node2 and node4 dead" "$living"
rm -rf "$(of node4 data_dir)"
"$ringhold" dev restart node2 --dir "$dir"
"$ringhold" dev restart node4 --dir "$dir"
part "both back, node4 with an empty disk" "$living"
carts_are_right=true
wait $shoppers || carts_are_right=false
echo "== carts"
tail -1 "$dir/carts.txt"
$carts_are_right

began=$(date +%s)
until "$ringhold" cluster hints --at "$(url node1)" | grep -q "no hints" &&
    ! "$ringhold" cluster rebuild --at "$(url node1)" | grep -q rebuilding; do
    [ $(($(date +%s) - began)) -lt 120 ] || { "$ringhold" cluster hints --at "$(url node1)"; exit 1; }
done
echo "== no hints and no store in doubt $(($(date +%s) - began)) s after the last part"
"$ringhold" cluster repair --at "$(url node1)"
"$ringhold" cluster verify --at "$(url node1)"
