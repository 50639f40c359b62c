#!/bin/sh
# Client-driven against server-driven coordination (paper §6.4, table 2): what a hop less is worth.
#
# One cluster of several nodes, more than N, so that most nodes are no home of a key. Rounds of the same load over the native protocol, in turn by a
# client that goes to a primary by itself and by one that asks any node, which passes on what is not for it; which goes first changes with each round. Printed are
# means and 99.9th percentiles of gets and puts in microseconds, and in the end the medians of the rounds' ratios, client to server: below 1 the
# client wins.
#
#   scripts/coordination.sh [ROUNDS] [SECONDS] [NODES] [CONNECTIONS]     (5 10 6 16)
#
# RINGHOLD names the binary (default target/release/ringhold).
set -eu
rounds=${1:-5}
seconds=${2:-10}
nodes=${3:-6}
connections=${4:-16}
. "$(dirname "$0")/cluster.sh"

# The mean and the 99.9th percentile of gets, then of puts.
measure() {
    "$ringhold" bench --cluster "$dir/cluster.json" --protocol native --coordination "$1" --workload mixed --keys 10000 \
        --connections "$connections" --duration "${seconds}s" --output json >"$dir/run.json"
    for kind in get put; do
        for figure in mean_us p99_9_us; do
            of_kind $kind $figure
        done
    done | tr '\n' ' '
}

"$ringhold" bench --cluster "$dir/cluster.json" --protocol native --workload get --keys 10000 --prefill --operations 1000 --output json >/dev/null

echo "round  coordination  get_mean  get_p99.9  put_mean  put_p99.9"
for round in $(seq "$rounds"); do
    order="client server"
    [ $((round % 2)) -eq 0 ] && order="server client"
    for coordination in $order; do
        figures=$(measure "$coordination")
        echo "$figures" >"$dir/$coordination.figures"
        echo "$round $coordination $figures"
    done
    paste -d ' ' "$dir/client.figures" "$dir/server.figures" |
        awk '{ print $1 / $5, $2 / $6, $3 / $7, $4 / $8 }' >>"$dir/ratios"
done
echo "medians of the ratios, client to server:"
column=1
for figure in get_mean get_p99.9 put_mean put_p99.9; do
    awk -v column=$column '{ print $column }' "$dir/ratios" | sort -n |
        awk -v name=$figure '{ all[NR] = $1 } END { middle = int((NR + 1) / 2); printf "%-10s %.2f  (%.2f to %.2f)\n", name, all[middle], all[1], all[NR] }'
    column=$((column + 1))
done
