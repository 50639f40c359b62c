#!/bin/sh
# What a cluster does with more than it can do: an open loop at a multiple of its capacity, beside a closed loop of just before.
#
# Three nodes. What a closed loop of 256 connections gets is the capacity C of that moment; the store grows, and it falls. For each multiple puts
# are due at the multiple of C, whatever becomes of them, and C is measured again: what was done in time stands beside the mean of the two. An answer counts
# where it comes within a second of the moment at which it was due. At last, half of C: how many seconds until it is done in time again.
#
#   scripts/overload.sh [PROTOCOL] [SECONDS] [MULTIPLE ...]     (http 10 2 5)
#
# RINGHOLD names the binary (default target/release/ringhold). RUNS repeats each multiple (default 3).
set -eu
protocol=${1:-http}
seconds=${2:-10}
[ $# -le 2 ] && set -- "$protocol" "$seconds" 2 5
shift 2
nodes=3
client=
# The servers on one core and the client on another: a client that is slowed down by them shows its own limits.
if [ "$(nproc)" -gt 1 ] && command -v taskset >/dev/null; then
    taskset -cp 0 $$ >/dev/null
    client="taskset -c 1"
fi
. "$(dirname "$0")/cluster.sh"
put() {
    $client "$ringhold" bench --cluster "$dir/cluster.json" --protocol "$protocol" --workload put --with-context false \
        --keys 1000000 --duration "${seconds}s" --output json "$@" >"$dir/bench.json"
}
# A number of the last run.
told() { sed -n "s/^  \"$1\": \([0-9]*\).*/\1/p" "$dir/bench.json"; }

capacity() {
    put --connections 256
    told operations_per_second
}

echo "multiple  before/s  due/s  in_time/s  after/s  of_their_mean  servers_MiB"
capacity=$(capacity)
for multiple in "$@"; do
    for _ in $(seq "${RUNS:-3}"); do
        before=$capacity
        due=$(awk "BEGIN { printf \"%d\", $before * $multiple }")
        put --connections 4000 --rate "$due"
        in_time=$(told in_time_per_second)
        bytes=$(told servers_bytes_max)
        capacity=$(capacity)
        echo "$multiple  $before  $due  $in_time  $capacity  $((in_time * 200 / (before + capacity)))%  $((bytes >> 20))"
    done
done
half=$((capacity / 2))
put --connections 4000 --rate $half
echo "then $half a second; in time, second by second: $(tr -d ' \n' <"$dir/bench.json" | sed 's/.*"in_time_by_seconds":\[\([^]]*\)\].*/\1/')"
