#!/bin/sh
# What the project wants to reach, measured: a row for each target, each from a function that runs alone.
#
#   scripts/targets.sh [TARGET ...]        cpu tail killed rebuild memory cores; all of them by default
#
# cpu      CPU of all servers for a put and a get, and the whole over its floors       (three nodes, 64 connections)
# tail     99.9th percentile over the median at half of what a closed loop gets
# killed   the same 99.9th percentile with one of three nodes killed, over that of all three
# rebuild  the same while a node fills an empty disk
# memory   a million keys of 1 KiB on a node that has 512 MB: memory in use, and from kill -9 to serving
# cores    operations for each second of the server's CPU on two cores, over those on one
#
# A row is what was reached (median of RUNS, least and greatest), what is wanted, and whether it is. RINGHOLD names the binary (default
# target/release/ringhold); SECONDS_EACH is the length of a run (3), RUNS how many (5), KEYS of `memory` (1000000), PROTOCOL of
# all but cpu (native).
set -eu
here=$(dirname "$0")
each=${SECONDS_EACH:-3}
runs=${RUNS:-5}
protocol=${PROTOCOL:-native}
[ $# -gt 0 ] || set -- cpu tail killed rebuild memory cores

# Each target in a shell of its own: its cluster ends with it.
if [ "${TARGET:-}" = "" ]; then
    printf '%-52s %10s %10s %10s %8s\n' "" median least greatest wanted
    for target in "$@"; do
        TARGET=$target "$0"
    done
    exit
fi

# Puts one figure of each run into $dir/figures.NAME. $1: name, $2: figure.
note() { echo "$2" >>"$dir/figures.$1"; }

# $1: what it is; $2: name of the figures; $3: -le or -ge; $4: what is wanted.
row() {
    sort -n "$dir/figures.$2" | awk -v what="$1" -v how="$3" -v wanted="$4" '
        { value[NR] = $1 }
        END {
            median = NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2
            good = how == "-le" ? median <= wanted : median >= wanted
            printf "%-52s %10.4g %10.4g %10.4g %s %6g  %s\n", what, median, value[1], value[NR], how == "-le" ? "<" : ">", wanted, good ? "reached" : "missed"
        }'
}

over() { awk "BEGIN { printf \"%.4f\", $1 / $2 }"; }

# Puts are blind and hardly ever meet a key twice; gets find what was put before.
bench() {
    "$ringhold" bench --value-bytes 1024 --connections 64 --output json "$@" >"$dir/run.json" 2>"$dir/said" || { cat "$dir/said" >&2; exit 1; }
}
workload() {
    case $1 in
    put) echo "--workload put --with-context false --bucket new --keys 1000000000" ;;
    get) echo "--workload get --bucket kept --keys $kept" ;;
    esac
}
kept=20000
prefill() { bench "$@" --protocol native --bucket kept --keys "$kept" --workload get --prefill --operations 1; }

# The options of a workload are several words.
# shellcheck disable=SC2046
cpu() {
    nodes=3
    . "$here/cluster.sh"
    prefill --cluster "$dir/cluster.json"
    for _ in $(seq "$runs"); do
        for of in native http; do
            for operation in put get; do
                bench --cluster "$dir/cluster.json" --protocol $of $(workload $operation) --duration "${each}s" --floors
                note "cpu-$operation-$of" "$(told servers_cpu_us_per_operation)"
                note "ratio-$operation-$of" "$(of_floors cpu_ratio)"
                note "latency-$operation-$of" "$(of_floors latency_ratio)"
            done
        done
    done
    row "put, native: CPU us in all servers" cpu-put-native -le 200
    row "put, HTTP: CPU us in all servers" cpu-put-http -le 300
    row "get, native: CPU us in all servers" cpu-get-native -le 80
    row "get, HTTP: CPU us in all servers" cpu-get-http -le 150
    for of in native http; do
        for operation in put get; do
            row "$operation, $of: CPU over store and frames" ratio-$operation-$of -le 2
            row "$operation, $of: latency over flush and round trips" latency-$operation-$of -le 2
        done
    done
}

# An open loop at half of what a closed loop gets at these nodes just before; leaves what is told of it in run.json. $1: operation; $2 and on: where.
# shellcheck disable=SC2046
at_half() {
    operation=$1
    shift
    bench "$@" --protocol "$protocol" $(workload "$operation") --duration "${each}s"
    half=$(over "$(told operations_per_second)" 2)
    bench "$@" --protocol "$protocol" $(workload "$operation") --duration "${each}s" --rate "$half"
}

of_three() {
    nodes=3
    . "$here/cluster.sh"
    prefill --cluster "$dir/cluster.json"
}

# Not `tail`, which is a program.
tails() {
    of_three
    for _ in $(seq "$runs"); do
        for operation in put get; do
            at_half $operation --cluster "$dir/cluster.json"
            note $operation "$(over "$(of_kind $operation p99_9_us)" "$(of_kind $operation p50_us)")"
        done
    done
    row "put at half load: p99.9 over the median" put -le 10
    row "get at half load: p99.9 over the median" get -le 10
}

# The protocol's listeners of nodes. $1 and on: names.
listeners() {
    for name in "$@"; do
        case $protocol in
        http) url "$name" ;;
        *) of "$name" "$protocol" ;;
        esac
    done | paste -sd, -
}

# The 99.9th percentile at half load, and over it that at the same rate while something is the matter. $1: what makes it so; $2: names of the figures; $3: what
# waits until it is over.
# shellcheck disable=SC2046
beside() {
    for _ in $(seq "$runs"); do
        for operation in put get; do
            at_half $operation --at "$(listeners node1 node2)"
            calm=$(of_kind $operation p99_9_us)
            # A moment into the run, so that what clients see of its beginning is in it.
            (sleep 0.5 && $1) &
            bench --at "$(listeners node1 node2)" --protocol "$protocol" $(workload $operation) --duration "${each}s" --rate "$half"
            wait $!
            note "$2-$operation" "$(over "$(of_kind $operation p99_9_us)" "$calm")"
            $3
        done
    done
}

kill_one() { kill -9 "$(of node3 pid)"; }
back() {
    "$ringhold" dev restart node3 --dir "$dir" >>"$dir/said"
    await "node3 is ready" curl -sf "$(url node3)/health/ready" -o "$dir/ready"
    await "no hints are left" no_hints
}
no_hints() { "$ringhold" cluster hints --at "$(url node1)" | grep -q "no hints"; }
empty_one() {
    kill_one
    rm -rf "$(of node3 data_dir)"
    "$ringhold" dev restart node3 --dir "$dir" >>"$dir/said"
}
filled() {
    await "node3 is filled" is_filled
    await "no hints are left" no_hints
}
is_filled() { ! "$ringhold" cluster rebuild --at "$(url node3)" | grep -q "node3  rebuilding"; }

killed() {
    of_three
    beside kill_one killed back
    row "put, a node killed: p99.9 over before" killed-put -le 3
    row "get, a node killed: p99.9 over before" killed-get -le 3
}

rebuild() {
    kept=${KEPT:-100000}
    of_three
    beside empty_one rebuild filled
    row "put, a rebuild beside it: p99.9 over before" rebuild-put -le 2
    row "get, a rebuild beside it: p99.9 over before" rebuild-get -le 2
}

# Makes a control group with 512 MB of memory within the own one, by hand, and says where; says nothing where none may be made.
control_group() {
    bytes=$((512 << 20))
    for kind in memory unified; do
        case $kind in
        memory) own=/sys/fs/cgroup/memory$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup) limit=memory.limit_in_bytes ;;
        unified) own=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup) limit=memory.max ;;
        esac
        [ -w "$own/cgroup.procs" ] || continue
        [ $kind = memory ] || echo +memory 2>/dev/null >"$own/cgroup.subtree_control" || continue
        mkdir "$own/ringhold-$$" 2>/dev/null || continue
        echo $bytes 2>/dev/null >"$own/ringhold-$$/$limit" && echo "$own/ringhold-$$" && return
        rmdir "$own/ringhold-$$"
    done
}

memory() {
    nodes=1
    keys=${KEYS:-1000000}
    group=$(control_group)
    if [ -n "$group" ]; then
        # What is started from here on has no more.
        echo $$ >"$group/cgroup.procs"
    else
        echo "no control group may be made here: not limited to 512 MB" >&2
    fi
    . "$here/cluster.sh"
    cluster="--cluster $dir/cluster.json --protocol native --bucket kept --keys $keys"
    if [ -n "$group" ]; then
        # The client is not to be limited by what it measures.
        echo $$ >"$(dirname "$group")/cgroup.procs"
        trap 'tidy_up; rmdir "$group"' EXIT
    fi
    # shellcheck disable=SC2086
    bench $cluster --workload get --prefill --operations 1
    for _ in $(seq "$runs"); do
        # shellcheck disable=SC2086
        bench $cluster --workload mixed --duration "${each}s"
        grep -q '"failures": {},' "$dir/run.json" || { echo "requests failed:" && sed -n '/^  "failures": {/,/^  }/p' "$dir/run.json"; } >&2
        note anonymous "$(awk "BEGIN { print $(told servers_bytes_max) / 1e6 }")"
        note resident "$(awk "BEGIN { print $(told servers_resident_bytes_max) / 1e6 }")"
        node=$(of node1 pid)
        # The node that is started again is a child of dev, which has the limit.
        kill -9 "$node"
        began=$(date +%s%N)
        "$ringhold" dev restart node1 --dir "$dir" >>"$dir/said"
        await "it serves" curl -sf "$(url node1)/health/ready" -o "$dir/ready"
        note restart "$(awk "BEGIN { print ($(date +%s%N) - $began) / 1e9 }")"
    done
    row "$keys keys of 1 KiB: anonymous MB in use" anonymous -le 250
    row "$keys keys of 1 KiB: MB with mapped files" resident -le 512
    row "$keys keys of 1 KiB: s from kill -9 to serving" restart -le 3
    # How often the kernel had to take back memory, and whether it stopped anybody.
    for file in memory.events memory.failcnt memory.oom_control; do
        [ -z "$group" ] || [ ! -f "$group/$file" ] || echo "$file: $(tr '\n' ' ' <"$group/$file")" >&2
    done
}

# shellcheck disable=SC2046
cores() {
    nodes=1
    for _ in $(seq "$runs"); do
        for operation in put get; do
            for on in 0 0,1; do
                # A cluster of its own, since a node asks how many cores it has when it starts.
                per_second=$(TARGET=one_cluster CORES=$on OPERATION=$operation "$0")
                note "$operation-$on" "$per_second"
                last=$per_second
                [ $on != 0 ] || first=$per_second
            done
            note "$operation" "$(over "$last" "$first")"
        done
    done
    row "put: a CPU second on 2 cores over 1" put -ge 0.85
    row "get: a CPU second on 2 cores over 1" get -ge 0.85
}

# Operations for each second of CPU of a node on the cores CORES.
# shellcheck disable=SC2046
one_cluster() {
    nodes=1
    own=$(taskset -cp $$ | sed 's/.*: //')
    taskset -cp "$CORES" $$ >/dev/null
    . "$here/cluster.sh"
    taskset -cp "$own" $$ >/dev/null
    prefill --cluster "$dir/cluster.json"
    bench --cluster "$dir/cluster.json" --protocol "$protocol" $(workload "$OPERATION") --duration "${each}s"
    over 1000000 "$(told servers_cpu_us_per_operation)"
}

case $TARGET in
cores)
    . "$here/common.sh"
    cores
    ;;
tail) tails ;;
cpu | killed | rebuild | memory | one_cluster) "$TARGET" ;;
*)
    echo "no such target: $TARGET" >&2
    exit 2
    ;;
esac
