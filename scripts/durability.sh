#!/bin/sh
# What a flush costs: puts into a bucket with each durability in turn, on one cluster, and medians (§6.1).
#
# Three nodes, N=3, W=2, blind puts of 1 KiB over the native protocol from 64 connections in a closed loop, into one bucket for each of
# `flushed`, `one` and `buffered`. Runs are in turns, so that a machine that becomes slower becomes so for all of them.
#
#   scripts/durability.sh [SECONDS] [RUNS]      (5 5)
#
# RINGHOLD names the binary (default target/release/ringhold). VALUE_BYTES, CONNECTIONS and PROTOCOL say it differently.
set -eu
seconds=${1:-5}
runs=${2:-5}
nodes=3
. "$(dirname "$0")/cluster.sh"
dial="flushed one buffered"

# Puts one figure of the last run into $dir/figures.DURABILITY.NAME. $1: name, $2: figure.
note() { echo "$2" >>"$dir/figures.$durability.$1"; }
# $1: durability, $2: name.
median() { sort -n "$dir/figures.$1.$2" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

for durability in $dial; do
    curl -sf -X PUT -H 'content-type: application/json' -d "{\"props\":{\"durability\":\"$durability\"}}" "$(url node1)/buckets/$durability/props"
done
for _ in $(seq "$runs"); do
    for durability in $dial; do
        "$ringhold" bench --cluster "$dir/cluster.json" --protocol "${PROTOCOL:-native}" --bucket "$durability" --workload put --with-context false \
            --keys 1000000000 --value-bytes "${VALUE_BYTES:-1024}" --connections "${CONNECTIONS:-64}" --duration "${seconds}s" --output json \
            >"$dir/run.json" 2>"$dir/said" || { cat "$dir/said" >&2; exit 1; }
        note rate "$(told operations_per_second)"
        for percentile in p50 p99 p99_9; do
            note $percentile "$(of_kind put ${percentile}_us)"
        done
        note cpu "$(told servers_cpu_us_per_operation)"
    done
done

columns="rate p50 p99 p99_9 cpu"
printf '%-10s %10s %10s %10s %10s %10s\n' durability puts/s "p50 us" "p99 us" "p99.9 us" "CPU us"
for durability in $dial; do
    printf '%-10s' "$durability"
    for column in $columns; do
        printf ' %10.0f' "$(median "$durability" $column)"
    done
    echo
done
echo "over flushed:"
for durability in $dial; do
    printf '%-10s' "$durability"
    for column in $columns; do
        awk "BEGIN { printf \" %10.2f\", $(median "$durability" $column) / $(median flushed $column) }"
    done
    echo
done
