# A `dev` cluster for the scripts beside this one, which read it with `.`: set `nodes` first, and `zones` for more than one. It ends with
# the script, and so do the nodes that join it.
. "$(dirname "$0")/common.sh"

"$ringhold" dev --nodes "$nodes" ${zones:+--zones "$zones"} --base-port 0 --dir "$dir" >"$dir/dev.log" 2>&1 &
dev=$!
pids="$dev"
until [ -f "$dir/cluster.json" ]; do
    kill -0 $dev || { cat "$dir/dev.log"; exit 1; }
done

# A member of one node in cluster.json.
of() {
    tr -d '\n ' <"$dir/cluster.json" | tr '{' '\n' | grep "\"name\":\"$1\"" | tr ',}' '\n\n' |
        sed -n "s/^\"$2\":\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p"
}

url() { of "$1" http | sed 's,^http://,,; s,^,http://,'; }

# What only joiners need: where they find the cluster, and ports that no other script beside this one takes.
at=$(url node1)
peer=$(of node1 peer)
base=$((20000 + $$ % 2000 * 20))

# Where a joiner is reached. $1: its number.
joiner_url() { echo "http://127.0.0.1:$((base + $1 * 3))"; }

# Starts the joiner of a number, with further flags; the same once more if it was killed, with its old token. Its process is "$pid".
serve() {
    number=$1
    shift
    port=$((base + number * 3))
    [ -f "$dir/node$number.token" ] || "$ringhold" cluster token --at "$at" >"$dir/node$number.token" 2>"$dir/token.log"
    "$ringhold" serve --name "node$number" --data-dir "$dir/node$number" --http "127.0.0.1:$port" --peer "127.0.0.1:$((port + 1))" \
        --native "127.0.0.1:$((port + 2))" --pb off --join "$peer" --token "$(cat "$dir/node$number.token")" "$@" >>"$dir/node$number.log" 2>&1 &
    pid=$!
    pids="$pids $pid"
}

# SIGKILL for a joiner's process, which is gone then: it holds its directory and its ports until it is.
kill_joiner() {
    kill -9 "$1"
    wait "$1" 2>/dev/null || true
}

# Starts one that is new, and returns when node1 knows it.
join() {
    serve "$@"
    await "node$number is known" known "node$number"
}

known() { "$ringhold" cluster members --at "$at" | grep -q "^$1 "; }

# What `bench --output json >"$dir/run.json"` said: a figure at its top ($1: its name), one of a kind of request ($1: get, put or rmw; $2: its
# name), one of its floors.
told() { sed -n "s/^  \"$1\": \([0-9.]*\),*\$/\1/p" "$dir/run.json"; }
of_kind() { sed -n "/^  \"$1\": {/,/^  }/s/^    \"$2\": \([0-9.]*\),*\$/\1/p" "$dir/run.json"; }
of_floors() { of_kind floors "$1"; }
