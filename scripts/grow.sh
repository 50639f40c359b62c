#!/bin/sh
# A cluster that grows from one node to seven and shrinks to three under a steady load: what clients see, what is copied, and
# whether anything is lost.
#
# Starts one node in a temporary directory and puts an open-loop load on it, and shopping carts, which are checked item by item
# at the end. Then nodes join two at a time, and leave four at a time, while both go on. With KILLS=true, in each step the first node that joins is killed
# in the middle of it and started again.
#
#   scripts/grow.sh [RATE_PER_SECOND]
#
# RINGHOLD names the binary (default target/release/ringhold).
set -eu
rate=${1:-200}
carts=$(dirname "$0")/../data/journey
nodes=1
. "$(dirname "$0")/cluster.sh"
# Clients know the first three nodes that there are.
load() {
    "$ringhold" bench --at "$at" --rate "$rate" --duration "$1s" --keys 5000 --connections 32 --value-bytes 1024
}

# Commits what is staged, under load: what the plan is, what clients see, how long it takes.
step() {
    echo "== $1"
    "$ringhold" cluster plan --at "$at" | tail -4
    load 30 >"$dir/load.txt" 2>&1 &
    loading=$!
    began=$(date +%s)
    "$ringhold" cluster commit --wait --at "$at" >"$dir/commit.txt" &
    waiting=$!
    if [ "${KILLS:-false}" = true ] && [ -n "$2" ]; then
        kill_joiner "$pid"
        serve "$2"
    fi
    wait $waiting
    echo "took $(($(date +%s) - began)) s: $(tail -1 "$dir/commit.txt")"
    wait $loading
    grep -E "operations|^get|^put|failed|refused" "$dir/load.txt"
    "$ringhold" cluster verify --at "$at" | tail -1
}

grow() {
    for joiner in "$@"; do
        join "$joiner"
    done
    step "$* join" "$joiner"
}

shrink() {
    for number in "$@"; do
        "$ringhold" cluster leave "node$number" --at "$at" >/dev/null
    done
    step "$* leave" ""
}

"$ringhold" bench --at "$at" --workload put --operations 5000 --keys 5000 --value-bytes 1024 --with-context false >"$dir/prefill.txt"
"$ringhold" load carts --at "$at" --transactions "$carts/transactions.csv" --products "$carts/products.csv" \
    --shoppers 1 >"$dir/carts.txt" 2>&1 &
shoppers=$!
grow 2 3
grow 4 5
grow 6 7
shrink 4 5 6 7
only_three() { [ "$("$ringhold" cluster members --at "$at" | grep -cE " (up|leaving) ")" = 3 ]; }
await "the four have left" only_three
carts_are_right=true
wait $shoppers || carts_are_right=false
echo "== at the end"
"$ringhold" cluster members --at "$at"
"$ringhold" cluster verify --at "$at" | tail -1
tail -1 "$dir/carts.txt"
$carts_are_right
