#!/bin/sh
# Two administrators want different things at once, each on his side of a network that has fallen apart.
#
# Starts five nodes, each in a network namespace of its own, and parts node1 and node2 from the other three. One administrator, at node1,
# wants node1 to weigh twice as much; the other, at node5, wants that for node5; both commit at once. Prints what each of them hears,
# and, when the network is whole again, by which document each node serves: it is the same for all. Then the first one tries again.
# Needs root, for the namespaces; says so and does nothing without.
#
#   scripts/two-operators.sh
#
# RINGHOLD names the binary (default target/release/ringhold).
set -eu
for tool in ip nft curl; do
    PATH=$PATH:/usr/sbin:/sbin command -v $tool >/dev/null || { echo "skipped: $tool is not installed"; exit 0; }
done
[ "$(id -u)" = 0 ] || { echo "skipped: only root may make network namespaces"; exit 0; }
. "$(dirname "$0")/common.sh"
all="node1 node2 node3 node4 node5"

# Each node's eth0 is one end of a cable, the other is at the hub's bridge.
inside() {
    namespace=ringhold-$$-$1
    shift
    ip netns exec "$namespace" "$@"
}
trap 'tidy_up; for part in hub $all; do ip netns del "ringhold-$$-$part" 2>/dev/null || true; done' EXIT
address() { echo "10.77.0.${1#node}"; }
http() { echo "http://$(address "$1"):8098"; }

for part in hub $all; do
    ip netns add "ringhold-$$-$part"
    inside $part ip link set lo up
done
inside hub ip link add bridge0 type bridge
inside hub ip addr add 10.77.0.254/24 dev bridge0
inside hub ip link set bridge0 up
for node in $all; do
    inside hub ip link add "to-$node" type veth peer name eth0 netns "ringhold-$$-$node"
    inside hub ip link set "to-$node" master bridge0 up
    inside $node ip addr add "$(address $node)/24" dev eth0
    inside $node ip link set eth0 up
done

members=""
for node in $all; do members="$members --member $node=$(address $node):8099"; done
"$ringhold" cluster init --founding "$dir/members.toml" $members >/dev/null
for node in $all; do
    # Not by way of a function, which would be a shell of its own: this id is the node's.
    ip netns exec "ringhold-$$-$node" "$ringhold" serve --founding "$dir/members.toml" --name $node --data-dir "$dir/$node" --insecure \
        --set timeouts.put_ms=1000 >"$dir/$node.log" 2>&1 &
    pids="$pids $!"
done

cluster() {
    at=$1
    shift
    inside hub "$ringhold" cluster "$@" --at "$(http "$at")"
}
# Whether a node reaches so many members.
reaches() { [ "$(cluster "$1" members 2>/dev/null | grep -c " up  *yes ")" = "$2" ]; }
for node in $all; do await "$node reaches all" reaches $node 5; done

deaf() {
    rules="add table inet apart; add chain inet apart input { type filter hook input priority 0; };"
    for other in $2; do rules="$rules add rule inet apart input ip saddr $(address "$other") drop;"; done
    inside "$1" nft "$rules"
}
for node in node1 node2; do deaf $node "node3 node4 node5"; done
for node in node3 node4 node5; do deaf $node "node1 node2"; done
for node in node1 node2; do await "$node has noticed" reaches $node 2; done
for node in node3 node4 node5; do await "$node has noticed" reaches $node 3; done
echo "== node1 and node2 apart from node3, node4 and node5"

# An administrator: stages a weight, looks at the plan, commits.
wants() {
    cluster "$1" weight "$2" 200
    cluster "$1" plan
    cluster "$1" commit
}
wants node1 node1 >"$dir/first.txt" 2>&1 &
first=$!
wants node5 node5 >"$dir/second.txt" 2>&1 &
wait $! || true
wait $first || true
echo "== the first, at node1, hears"
cat "$dir/first.txt"
echo "== the second, at node5, hears"
cat "$dir/second.txt"

for node in $all; do inside $node nft flush ruleset; done
for node in $all; do await "$node reaches all again" reaches $node 5; done
at_rest() { cluster "$1" transfers 2>/dev/null | grep -q "no change is under way"; }
# A node's document without whom it reaches, which is its own affair.
document() { inside hub curl -s "$(http "$1")/ringhold/v1/ring" | sed 's/"reachable":[a-z]*//g'; }
all_agree() { [ "$(for node in $all; do document $node | cksum; done | sort -u | wc -l)" = 1 ]; }
show() {
    for node in $all; do await "the change is over for $node" at_rest $node; done
    await "all nodes have one document" all_agree
    echo "== $1"
    for node in $all; do
        echo "$node: $(document $node | grep -o '"epoch":[0-9]*'), checksum of the document $(document $node | cksum | cut -d' ' -f1)"
    done
    cluster node3 members | cut -c1-62
}
show "the network is whole again"
echo "== the first tries again"
wants node1 node1 | sed -n '/^under way/,$p'
show "afterwards"
cluster node3 verify
