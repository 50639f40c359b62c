# A cluster for a client library: sourced by the scripts beside it.
#
# start_cluster NODES starts `ringhold dev --riak-types` and sets HTTP_PORT and PB_PORT of its first node; stop_cluster ends it. Whatever
# ends the script ends the cluster too.

HERE_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
TARGET="${CARGO_TARGET_DIR:-$HERE_ROOT/target}"
RINGHOLD="${RINGHOLD:-$TARGET/release/ringhold}"
CLIENTS_DIR="${CLIENTS_DIR:-$TARGET/clients}"
CLUSTER_PID=
CLUSTER_DIR=

say() { printf 'clients: %s\n' "$*" >&2; }

die() {
  say "$*"
  exit 1
}

# Says that nothing is run, and why, where a tool is missing.
needs() {
  command -v "$1" >/dev/null 2>&1 && return 0
  say "SKIP: no $1 here"
  exit 0
}

needs python3
[ -x "$RINGHOLD" ] || die "no binary at $RINGHOLD: cargo build --release -p ringhold"

stop_cluster() {
  if [ -n "$CLUSTER_PID" ]; then
    kill "$CLUSTER_PID" 2>/dev/null || true
    wait "$CLUSTER_PID" 2>/dev/null || true
    CLUSTER_PID=
  fi
  [ -z "$CLUSTER_DIR" ] || rm -rf "$CLUSTER_DIR"
  CLUSTER_DIR=
}
trap stop_cluster EXIT

start_cluster() {
  stop_cluster
  CLUSTER_DIR="$(mktemp -d)"
  # Puts end soon, so that a change of n_val is soon over: the next one waits for its end.
  "$RINGHOLD" dev --riak-types --nodes "$1" --base-port 0 --dir "$CLUSTER_DIR/dev" \
    --set timeouts.put_ms=2000 >"$CLUSTER_DIR/out" 2>"$CLUSTER_DIR/err" &
  CLUSTER_PID=$!
  local waited
  for waited in $(seq 1 300); do
    [ -s "$CLUSTER_DIR/dev/cluster.json" ] && break
    kill -0 "$CLUSTER_PID" 2>/dev/null || die "the cluster ended: $(cat "$CLUSTER_DIR/err")"
    [ "$waited" -lt 300 ] || die "the cluster was not ready within a minute: $(cat "$CLUSTER_DIR/err")"
    sleep 0.2
  done
  read -r HTTP_PORT PB_PORT < <(python3 - "$CLUSTER_DIR/dev/cluster.json" <<'PYTHON'
import json, sys
node = json.load(open(sys.argv[1]))["nodes"][0]
print(node["http"].rsplit(":", 1)[1], node["pb"].rsplit(":", 1)[1])
PYTHON
  )
}
