#!/bin/sh
# What a plan says before a node of twice the weight joins, and what the shares are afterwards.
#
# Starts NODES nodes with 350 shopping carts in them, has one more join with twice their weight, prints the plan, commits it, and
# prints each member's share beside that of its weight. Any MOST partitions that follow each other lie on as many nodes (MOST is NODES, five if there are
# more), so no node owns more than one in MOST: among three and a fourth of twice the weight, this one gets less than its weight asks
# for. Among nine and a tenth it gets all.
#
#   scripts/plan-weight.sh [NODES]
#
# RINGHOLD names the binary (default target/release/ringhold).
set -eu
nodes=${1:-3}
carts=$(dirname "$0")/../data/journey
. "$(dirname "$0")/cluster.sh"

"$ringhold" load carts --at "$at" --transactions "$carts/transactions.csv" >"$dir/carts.txt" 2>&1
join $((nodes + 1)) --weight 200
echo "== the plan"
"$ringhold" cluster plan --at "$at"
echo "== the change"
"$ringhold" cluster commit --wait --at "$at"
"$ringhold" cluster members --at "$at" >"$dir/members.txt"
most=$((nodes < 5 ? nodes : 5))
echo "== the shares, beside those of the weights; nobody owns more than one partition in $most"
# The columns are found by their headings; no cell of these is empty.
awk 'NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
    { name[NR] = $1; weight[NR] = $column["weight"]; owned[NR] = $column["partitions"]; weights += weight[NR]; all += owned[NR] }
    END { for (i = 2; i <= NR; i++) {
        share = 100 * owned[i] / all; wanted = 100 * weight[i] / weights
        printf "%s  weight %d  %2d of %d partitions: %.1f %%, by weight %.1f %%, ratio %.2f\n",
            name[i], weight[i], owned[i], all, share, wanted, share / wanted } }' "$dir/members.txt"
"$ringhold" cluster verify --at "$at"
