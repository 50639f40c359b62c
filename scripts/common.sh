# What the scripts beside this one have in common: they read it with `.`.
#
# RINGHOLD names the binary (default target/release/ringhold). The directory "$dir" ends with the script, and so do the processes whose
# ids are added to "$pids".

ringhold=${RINGHOLD:-target/release/ringhold}
dir=$(mktemp -d)
pids=""

tidy_up() {
    # What has ended already is no trouble.
    kill $pids 2>/dev/null || true
    wait $pids 2>/dev/null || true
    rm -rf "$dir"
}
trap tidy_up EXIT

# Tries a command until it succeeds, for two minutes at most. $1: what is waited for, in words.
await() {
    awaited=$1
    shift
    deadline=$(($(date +%s) + 120))
    until "$@"; do
        [ "$(date +%s)" -lt $deadline ] || { echo "not within two minutes: $awaited" >&2; exit 1; }
        sleep 0.2
    done
}
