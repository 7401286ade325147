# Shared by the cluster commands: the layout of a local cluster's folder, and starting and stopping its processes by id. Sourced, never run.
#
#   $CAIRN_CLUSTER/
#     options              what `up` was called with; written once
#     env                  for `source`: CAIRN_GATEWAY, CAIRN_COORDINATOR, CAIRN_OPERATOR_TOKEN, with TLS also CAIRN_CA_FILE
#     keys/  tls/          key files and certificates
#     NAME/                one folder per process: NAME.conf, log, pid, and its data (node-1/disk-1/segments/…, coordinator-1/metadata.db)

# shellcheck source=../scripts/lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib/common.sh"

CLUSTER=${CAIRN_CLUSTER:-$ROOT/.cluster}
case $CLUSTER in /*) ;; *) CLUSTER=$PWD/$CLUSTER ;; esac

cluster_exists() { [ -f "$CLUSTER/options" ]; }
need_cluster() { cluster_exists || die "there is no cluster in $CLUSTER; start one with cluster/up"; }

# Every process that the cluster has, in the order of starting.
process_names() {
  local kind folder
  for kind in coordinator node gateway; do
    for folder in "$CLUSTER/$kind"-*/; do
      [ -d "$folder" ] && basename "$folder"
    done | sort -t- -k2 -n
  done
}

need_process() {
  [ -f "$CLUSTER/$1/$1.conf" ] || die "there is no $1 in $CLUSTER; it has: $(process_names | paste -sd ' ')"
}

# The process's id when it runs (stopped counts), else nothing. The id in the file counts only if it is still our daemon with our configuration.
pid_of() {
  local pid
  pid=$(cat "$CLUSTER/$1/pid" 2>/dev/null) || return 1
  [ -n "$pid" ] && [ -r "/proc/$pid/cmdline" ] || return 1
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "--config $CLUSTER/$1/$1.conf" || return 1
  [ "$(process_state "$pid")" != Z ] || return 1
  printf '%s\n' "$pid"
}

# One letter as in ps: R, S, T (stopped), Z …
process_state() { sed -E 's/^[0-9]+ \(.*\) ([A-Z]).*/\1/' "/proc/$1/stat" 2>/dev/null; }

# Whether nothing of a process runs any more. Its first thread may have ended while others, still in a system call, hold its files and locks.
has_ended() {
  local thread state
  for thread in /proc/"$1"/task/*/stat; do
    state=$(sed -E 's/^[0-9]+ \(.*\) ([A-Zx]).*/\1/' "$thread" 2>/dev/null) || continue
    case $state in '' | Z | X | x) ;; *) return 1 ;; esac
  done
}

setting() { sed -nE "s/^$2 *= *(.*)$/\1/p" "$CLUSTER/$1/$1.conf" | head -n 1; }

# Asks a process over HTTP without leaving the machine.
probe() {
  local tls=()
  [ -f "$CLUSTER/tls/ca.pem" ] && tls=(--cacert "$CLUSTER/tls/ca.pem")
  curl --silent --fail --noproxy '*' --max-time 2 --output /dev/null "${tls[@]}" "$(setting "$1" advertise)$2"
}

# Starts a process in a session of its own and writes its id; does not wait for it. $CAIRN_LAUNCHER, when set, is a program that is called
# as PROGRAM NAME COMMAND… and becomes the command after it has prepared something.
launch() {
  local name=$1 kind=${1%-*} folder=$CLUSTER/$1 daemon=$BIN/cairnd
  [ -x "$daemon" ] || die "cairnd is not built; run scripts/quickstart or swift build -c release"
  setsid ${CAIRN_LAUNCHER:+"$CAIRN_LAUNCHER" "$name"} "$daemon" "$kind" --config "$folder/$name.conf" </dev/null >>"$folder/log" 2>&1 &
  printf '%s\n' $! >"$folder/pid"
}

# Waits until a process answers that it is ready, at most $2 seconds; tells its last words when it ended instead.
await_ready() {
  local name=$1 deadline=$((SECONDS + ${2:-30}))
  while ! probe "$name" /readyz; do
    pid_of "$name" >/dev/null || { tail -n 5 "$CLUSTER/$name/log" >&2; die "$name ended while starting; its log is $CLUSTER/$name/log"; }
    [ $SECONDS -lt $deadline ] || { tail -n 5 "$CLUSTER/$name/log" >&2; die "$name is not ready after ${2:-30} s; its log is $CLUSTER/$name/log"; }
    sleep 0.1
  done
}

await_gone() {
  local pid=$1 deadline=$((SECONDS + ${2:-30}))
  until has_ended "$pid"; do
    [ $SECONDS -lt $deadline ] || return 1
    sleep 0.05
  done
}

# Free TCP ports on loopback below the range from which the kernel lends ports to clients, so that a restart finds its own port free.
free_ports() {
  local wanted=$1 port found=()
  while [ ${#found[@]} -lt "$wanted" ]; do
    port=$((10000 + RANDOM % 22000))
    case " ${found[*]} " in *" $port "*) continue ;; esac
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
    found+=("$port")
  done
  printf '%s\n' "${found[@]}"
}

cluster_control() {
  # shellcheck disable=SC1091
  (source "$CLUSTER/env" && exec "$BIN/cairnctl" "$@")
}
