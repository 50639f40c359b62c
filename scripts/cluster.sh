# A `dev` cluster for the scripts beside this one, which read it with `.`: set `nodes` first, and `zones` for more than one.
#
# RINGHOLD names the binary (default target/release/ringhold). The cluster and its directory, "$dir", end with the script.

ringhold=${RINGHOLD:-target/release/ringhold}
dir=$(mktemp -d)

"$ringhold" dev --nodes "$nodes" ${zones:+--zones "$zones"} --base-port 0 --dir "$dir" >"$dir/dev.log" 2>&1 &
dev=$!
trap 'kill $dev 2>/dev/null; wait $dev 2>/dev/null; rm -rf "$dir"' EXIT
until [ -f "$dir/cluster.json" ]; do
    kill -0 $dev || { cat "$dir/dev.log"; exit 1; }
done

# A member of one node in cluster.json.
of() {
    tr -d '\n ' <"$dir/cluster.json" | tr '{' '\n' | grep "\"name\":\"$1\"" | tr ',}' '\n\n' |
        sed -n "s/^\"$2\":\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p"
}

url() { of "$1" http | sed 's,^http://,,; s,^,http://,'; }
