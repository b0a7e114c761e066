#!/usr/bin/env bash
# Starts admin in development mode and the spawner with ten simulated kiosks, says where the page is
# and how to log in, and stops both on Ctrl-C. Everything can be changed by KIOSKFLEET_ variables.
set -euo pipefail
cd "$(dirname "$0")/.."

export KIOSKFLEET_DATA_DIR="${KIOSKFLEET_DATA_DIR:-data}"
export KIOSKFLEET_DEV=true
addr="${KIOSKFLEET_HTTP_ADDR:-127.0.0.1:8080}"
url="http://$addr"
export KIOSKFLEET_ADMIN_URL="${KIOSKFLEET_ADMIN_URL:-$url}"
mkdir -p "$KIOSKFLEET_DATA_DIR"
log="$KIOSKFLEET_DATA_DIR/spawner.log"

admin_pid=
spawner_pid=
stop() {
  trap - EXIT INT TERM
  # Kiosks first, so that they can say goodbye.
  [ -n "$spawner_pid" ] && kill -TERM "$spawner_pid" 2>/dev/null && wait "$spawner_pid" 2>/dev/null
  [ -n "$admin_pid" ] && kill -TERM "$admin_pid" 2>/dev/null && wait "$admin_pid" 2>/dev/null
  exit "${1:-0}"
}
trap 'stop 0' INT TERM
trap 'stop 1' EXIT

# A process group of their own: the terminal's Ctrl-C reaches this script alone, which stops them in order.
set -m
bin/admin &
admin_pid=$!
for _ in $(seq 1 300); do
  kill -0 "$admin_pid" 2>/dev/null || { wait "$admin_pid" || true; admin_pid=; stop 1; }
  curl -fsS -o /dev/null "$url/readyz" 2>/dev/null && break
  sleep 0.1
done
bin/spawner -n "${KIOSKFLEET_COUNT:-10}" >"$log" 2>&1 &
spawner_pid=$!
set +m

echo
echo "  page      $url"
if [ -r "$KIOSKFLEET_DATA_DIR/initial-admin-password" ]; then
  echo "  login     admin / $(cat "$KIOSKFLEET_DATA_DIR/initial-admin-password")"
else
  echo "  login     admin, with the password you set"
fi
echo "  kiosks    ${KIOSKFLEET_COUNT:-10} simulated, log in $log"
echo "  stop      Ctrl-C"
echo

while kill -0 "$admin_pid" 2>/dev/null && kill -0 "$spawner_pid" 2>/dev/null; do
  wait -n "$admin_pid" "$spawner_pid" || true
done
echo "admin or spawner has ended by itself; see above and $log" >&2
stop 1
