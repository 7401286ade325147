# Shared by the cluster commands: PostgreSQL for the metadata, a primary and a synchronous standby under Patroni, with one etcd beside them.
# Sourced after lib.sh. Their folder is not the cluster's: they run as user postgres, who may not look into it.
#
#   $POSTGRES/
#     etcd/ etcd.pid log      one member: enough for a local cluster, three in production
#     N/                      patroni.yml, data/, socket/, log and pid of member N
#     connection              for coordinators; also copied to $CAIRN_CLUSTER/keys/metadata.connection

POSTGRES_PROGRAMS=/usr/lib/postgresql/15/bin
POSTGRES=/var/tmp/cairn-$(printf %s "$CLUSTER" | cksum | cut -d ' ' -f 1)
POSTGRES_MEMBERS='1 2'

postgres_exists() { [ -f "$POSTGRES/ports" ]; }

# Runs a command as user postgres in a session of its own, with a clean environment; prints its id.
as_postgres() {
  local log=$1
  shift
  setsid setpriv --reuid=postgres --regid=postgres --init-groups env -i "PATH=$POSTGRES_PROGRAMS:/usr/bin:/bin" "HOME=$POSTGRES" \
    LANG=C.UTF-8 LC_ALL=C.UTF-8 "$@" </dev/null >>"$log" 2>&1 9>&- &
  printf '%s\n' $!
}

# The id in a file, if the process still runs with the given words in its command line.
postgres_pid() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ -r "/proc/$pid/cmdline" ] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$2" || return 1
  printf '%s\n' "$pid"
}

postgres_configure() {
  [ "$(id -u)" -eq 0 ] || die "--metadata postgres needs root: PostgreSQL runs as user postgres"
  need_postgresql patroni python3-etcd python3-psycopg2 etcd-server etcd-client
  local ports member super replication password
  rm -rf "$POSTGRES"
  mkdir -m 700 "$POSTGRES"
  mapfile -t ports < <(free_ports 6)
  super=$(openssl rand -hex 16) replication=$(openssl rand -hex 16) password=$(openssl rand -hex 16)
  for member in $POSTGRES_MEMBERS; do
    mkdir -m 700 "$POSTGRES/$member" "$POSTGRES/$member/socket"
    postgres_member_configuration "$member" "${ports[0]}" "${ports[$((member * 2))]}" "${ports[$((member * 2 + 1))]}" "$super" "$replication" \
      >"$POSTGRES/$member/patroni.yml"
  done
  printf 'host=127.0.0.1,127.0.0.1 port=%s,%s dbname=cairn user=cairn password=%s\n' "${ports[2]}" "${ports[4]}" "$password" >"$POSTGRES/connection"
  cp "$(dirname "${BASH_SOURCE[0]}")/patroni-guard" "$POSTGRES/patroni-guard"
  printf 'ETCD=%s\nETCD_PEER=%s\nPORT_1=%s\nREST_1=%s\nPORT_2=%s\nREST_2=%s\nAPPLICATION_PASSWORD=%s\n' "${ports[@]}" "$password" >"$POSTGRES/ports"
  chown -R postgres:postgres "$POSTGRES"
}

# The timings are the shortest with which fail-over was seen to work: 5 s after the primary and its Patroni were killed together.
postgres_member_configuration() {
  local member=$1 etcd=$2 port=$3 rest=$4 super=$5 replication=$6 folder=$POSTGRES/$1
  cat <<TEXT
scope: cairn
name: postgres-$member
restapi: {listen: "127.0.0.1:$rest", connect_address: "127.0.0.1:$rest"}
etcd3: {host: "127.0.0.1:$etcd", protocol: http}
bootstrap:
  dcs:
    ttl: 5
    loop_wait: 1
    retry_timeout: 2
    primary_start_timeout: 0
    synchronous_mode: true
    failsafe_mode: true
    postgresql:
      use_pg_rewind: true
      use_slots: true
      parameters: {wal_keep_size: 128MB, max_connections: 200}
  initdb: [{encoding: UTF8}, {locale: C.UTF-8}, data-checksums]
postgresql:
  listen: "127.0.0.1:$port"
  connect_address: "127.0.0.1:$port"
  bin_dir: $POSTGRES_PROGRAMS
  data_dir: $folder/data
  pgpass: $folder/pgpass
  use_unix_socket: true
  remove_data_directory_on_rewind_failure: true
  remove_data_directory_on_diverged_timelines: true
  authentication:
    superuser: {username: postgres, password: "$super"}
    replication: {username: replicator, password: "$replication"}
    rewind: {username: rewinder, password: "$replication"}
  parameters: {unix_socket_directories: $folder/socket, wal_receiver_timeout: 5s, wal_sender_timeout: 5s}
  pg_hba: ["local all all trust", "host replication replicator 127.0.0.1/32 scram-sha-256", "host all all 127.0.0.1/32 scram-sha-256"]
TEXT
}

# Starts what does not run.
postgres_launch() {
  local member
  # shellcheck disable=SC1091
  source "$POSTGRES/ports"
  postgres_pid "$POSTGRES/etcd.pid" "$POSTGRES/etcd" >/dev/null ||
    as_postgres "$POSTGRES/etcd.log" etcd --name local --data-dir "$POSTGRES/etcd" --listen-client-urls "http://127.0.0.1:$ETCD" \
      --advertise-client-urls "http://127.0.0.1:$ETCD" --listen-peer-urls "http://127.0.0.1:$ETCD_PEER" \
      --initial-advertise-peer-urls "http://127.0.0.1:$ETCD_PEER" --initial-cluster "local=http://127.0.0.1:$ETCD_PEER" >"$POSTGRES/etcd.pid"
  for member in $POSTGRES_MEMBERS; do
    postgres_pid "$POSTGRES/$member/pid" "$POSTGRES/$member" >/dev/null ||
      as_postgres "$POSTGRES/$member/log" bash "$POSTGRES/patroni-guard" "$POSTGRES/$member" >"$POSTGRES/$member/pid"
  done
}

# Statements on a member as its administrator, over its socket, each in a transaction of its own.
postgres_sql() {
  local member=$1 port statement commands=()
  shift
  for statement in "$@"; do commands+=(-c "$statement"); done
  port=$(sed -n "s/^PORT_$member=//p" "$POSTGRES/ports")
  setpriv --reuid=postgres --regid=postgres --init-groups env -i "PATH=$POSTGRES_PROGRAMS:/usr/bin:/bin" HOME="$POSTGRES" \
    psql -h "$POSTGRES/$member/socket" -p "$port" -U postgres -d postgres -XAtq -v ON_ERROR_STOP=1 "${commands[@]}" 2>/dev/null
}

# The number of the member that takes writes.
postgres_primary() {
  local member
  for member in $POSTGRES_MEMBERS; do
    [ "$(postgres_sql "$member" 'SELECT pg_is_in_recovery()')" = f ] && { printf '%s\n' "$member"; return; }
  done
  return 1
}

# Whether a primary writes to a synchronous standby that may take its place. PostgreSQL calls the standby synchronous up to two seconds before Patroni
# has written its name into etcd, and a primary that dies in between has no successor until it is back: the standby is asked whether it is named.
postgres_pair_stands() {
  local primary standby rest
  primary=$(postgres_primary) || return 1
  [ "$(postgres_sql "$primary" "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")" = 1 ] || return 1
  standby=$((3 - primary))
  rest=$(sed -n "s/^REST_$standby=//p" "$POSTGRES/ports")
  curl --silent --fail --max-time 2 --output /dev/null "http://127.0.0.1:$rest/synchronous"
}

# Waits for such a pair: what is acknowledged before is on one disk only.
postgres_await() {
  local deadline=$((SECONDS + ${1:-90})) primary
  until postgres_pair_stands; do
    [ $SECONDS -lt $deadline ] || die "PostgreSQL has no primary with a synchronous standby after ${1:-90} s; its logs are in $POSTGRES"
    sleep 0.2
  done
  primary=$(postgres_primary) || die "PostgreSQL lost its primary; its logs are in $POSTGRES"
  [ -n "$(postgres_sql "$primary" "SELECT 1 FROM pg_database WHERE datname = 'cairn'")" ] || {
    # shellcheck disable=SC1091
    source "$POSTGRES/ports"
    postgres_sql "$primary" "CREATE ROLE cairn LOGIN PASSWORD '$APPLICATION_PASSWORD'" || true
    # libpq stops at the first host whose database is not there: the standby has to have it when this returns.
    postgres_sql "$primary" 'SET synchronous_commit = remote_apply' \
      "CREATE DATABASE cairn OWNER cairn TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'" ||
      die "the database could not be made; see $POSTGRES/$primary/log"
  }
}

# Ends a member at once, its server and its Patroni, as the loss of a machine would; the guard ends what is left of it.
postgres_kill() {
  local member=$1 guard server child
  guard=$(postgres_pid "$POSTGRES/$member/pid" "$POSTGRES/$member") || die "postgres-$member does not run"
  server=$(head -n 1 "$POSTGRES/$member/data/postmaster.pid" 2>/dev/null || true)
  child=$(pgrep -P "$guard" -f 'patroni ' || true)
  # shellcheck disable=SC2086
  kill -KILL $child $server 2>/dev/null || true
  await_gone "$guard" 30 || die "postgres-$member did not end"
}

postgres_stop() {
  local member pid
  for member in $POSTGRES_MEMBERS; do
    pid=$(postgres_pid "$POSTGRES/$member/pid" "$POSTGRES/$member") || continue
    kill -TERM "$pid" 2>/dev/null || true
  done
  for member in $POSTGRES_MEMBERS; do
    pid=$(postgres_pid "$POSTGRES/$member/pid" "$POSTGRES/$member") || continue
    await_gone "$pid" 30 || kill -KILL "$pid" 2>/dev/null || true
  done
  pid=$(postgres_pid "$POSTGRES/etcd.pid" "$POSTGRES/etcd") || return 0
  kill -TERM "$pid" 2>/dev/null || true
  await_gone "$pid" 10 || kill -KILL "$pid" 2>/dev/null || true
}
