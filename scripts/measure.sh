#!/bin/sh
# A full run: put, get and read-modify-write over HTTP, PB and the native protocol, each so many times, and medians.
#
# Three nodes, N=3, R=W=2, flushed, 64 connections in a closed loop, values of 1 KiB. Puts are blind and take keys of their own, of so many that
# hardly one is written twice; gets and read-modify-writes take 100,000 keys that were put before. Runs are in turns, so that a machine that becomes slower
# becomes so for all of them. Each run also measures its floors, which takes longer than the run; FLOORS= leaves them out.
#
#   scripts/measure.sh [SECONDS] [RUNS] [OUT]      (5 5 measured)
#
# Leaves in OUT what each run said (JSON), the medians (summary.txt, summary.json) and a page with plots (report.html). RINGHOLD names the binary
# (default target/release/ringhold). VALUE_BYTES, KEYS, DISTRIBUTION (uniform or zipf), CONNECTIONS, PROTOCOLS and WORKLOADS say it differently.
set -eu
seconds=${1:-5}
runs=${2:-5}
out=${3:-measured}
nodes=3
. "$(dirname "$0")/cluster.sh"
floors=${FLOORS---floors}
keys=${KEYS:-100000}
export RINGHOLD_BUILD="${RINGHOLD_BUILD:-$(git describe --always --dirty 2>/dev/null || true)}"
mkdir -p "$out"
bench() {
    "$ringhold" bench --cluster "$dir/cluster.json" --value-bytes "${VALUE_BYTES:-1024}" --keys-distribution "${DISTRIBUTION:-uniform}" \
        --connections "${CONNECTIONS:-64}" --output json "$@"
}

bench --protocol native --bucket kept --keys "$keys" --prefill --workload get --operations 1 >"$dir/prefill.json"
for run in $(seq "$runs"); do
    for protocol in ${PROTOCOLS:-http pb native}; do
        for workload in ${WORKLOADS:-put get rmw}; do
            set -- --bucket kept --keys "$keys"
            [ "$workload" != put ] || set -- --bucket "new-$protocol" --keys 1000000000 --with-context false
            # Intended: no option at all if there are no floors.
            # shellcheck disable=SC2086
            bench --protocol "$protocol" --workload "$workload" --duration "${seconds}s" $floors "$@" \
                >"$out/$workload-$protocol-$run.json" 2>"$dir/said"|| { cat "$dir/said" >&2; exit 1; }
        done
    done
done
set -- "$out"/*-*-*.json
"$ringhold" bench summarize "$@" --output json >"$out/summary.json"
"$ringhold" bench summarize "$@" --report "$out/report.html" | tee "$out/summary.txt"
