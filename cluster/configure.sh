# Shared by `up` and `add-node`: the configuration of a process. Sourced after lib.sh, with the cluster's options set as variables.
# shellcheck disable=SC2154

# Names of daemons begin with their kind.
make_certificate() {
  local name=$1
  "$BIN/cairnctl" tls issue "${name%%-*}" "$name" --hosts 127.0.0.1,localhost --folder "$CLUSTER/tls" >/dev/null
}

# The lines that every daemon's configuration begins with.
common_lines() {
  local name=$1 port=$2 scheme=http advertised=$2
  [ "$tls" = yes ] && scheme=https
  if [ -n "${advertise_base_port:-}" ]; then
    advertised=$((advertise_base_port + port - base_port))
    printf 'source-address = 127.0.1.%s\n' $((port - base_port + 1))
  fi
  printf 'name = %s\nlisten = 127.0.0.1:%s\nadvertise = %s://127.0.0.1:%s\n' "$name" "$port" "$scheme" "$advertised"
  if [ "$tls" = yes ]; then
    printf 'tls-certificate = %s\ntls-key = %s\ntls-ca = %s\n' "$CLUSTER/tls/$name.pem" "$CLUSTER/tls/$name.key" "$CLUSTER/tls/ca.pem"
  fi
}

configure_node() {
  local name=$1 zone=$2 port=$3 list='' disk
  mkdir -p "$CLUSTER/$name"
  for disk in $(seq "$disks"); do list+=${list:+,}$CLUSTER/$name/disk-$disk; done
  [ "$tls" = no ] || make_certificate "$name"
  cairnctl_offline issue node "$name" "$CLUSTER/keys/$name.keys"
  (umask 077 && openssl rand -hex 32 >"$CLUSTER/keys/$name.master")
  {
    common_lines "$name" "$port"
    printf 'zone = %s\ndata = %s\ndisks = %s\nkeys = %s\nmaster-key-file = %s\n' "$zone" "$CLUSTER/$name" "$list" \
      "$CLUSTER/keys/$name.keys" "$CLUSTER/keys/$name.master"
    printf 'coordinators = %s\ndurability = %s\nencryption = %s\n' "$(urls_of coordinator)" "$durability" "$encryption"
    printf 'cors-origins = %s\n' "$(urls_of gateway)"
    [ -z "$disk_bytes" ] || printf 'disk-bytes = %s\n' "$disk_bytes"
    [ -z "$segment_bytes" ] || printf 'segment-bytes = %s\n' "$segment_bytes"
  } >"$CLUSTER/$name/$name.conf"
}

# The base URLs of all daemons of a kind, separated by commas.
urls_of() {
  local name urls=''
  for name in $(process_names | grep "^$1-"); do urls+=${urls:+,}$(setting "$name" advertise); done
  printf '%s' "$urls"
}

cairnctl_offline() { "$BIN/cairnctl" "$@" --keys "$CLUSTER/keys/cluster.keys" >/dev/null; }
