# Two devices that keep a folder alike, by Cairn's agents and by Syncthing, in turn. Sourced by scripts/bench.

SYNC_PIDS=()

# What a file or folder holds: path, size and time of each file that is no download on its way.
contents() { find "$1" -name '.*' -prune -o -type f -printf '%P %s %T@\n' 2>/dev/null | sort; }
file_count() { find "$1" -name '.*' -prune -o -type f -printf . 2>/dev/null | wc -c; }

# Seconds from now until $2, a file or folder, is what $1 is. Looks cheaply, since the two cores have other things to do.
until_alike() {
  local start end wanted count
  start=$(date +%s%N)
  end=$((start + 180000000000))
  wanted=$(contents "$1")
  count=$(file_count "$1")
  until [ "$(file_count "$2")" = "$count" ] && [ "$(contents "$2")" = "$wanted" ]; do
    [ "$(date +%s%N)" -lt $end ] || die "$2 did not become like $1 in 180 s"
    sleep 0.05
  done
  seconds_since "$start"
}

seconds_since() { awk -v ns=$(($(date +%s%N) - $1)) 'BEGIN {printf "%.3f", ns / 1e9}'; }

stop_syncing() {
  local pid
  for pid in "${SYNC_PIDS[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${SYNC_PIDS[@]}"; do wait "$pid" 2>/dev/null || true; done
  SYNC_PIDS=()
}

# Agent $1 over folder $2.
start_agent() {
  mkdir -p "$2"
  XDG_STATE_HOME=$WORK/state-$1 "$BIN/cairn" sync "$2" /alike --device "$1" --quiet >"$WORK/agent-$1.log" 2>&1 &
  SYNC_PIDS+=($!)
}

start_agents() {
  start_agent a "$WORK/ours/a"
  start_agent b "$WORK/ours/b"
  printf 'hello\n' >"$WORK/ours/a/hello"
  until_alike "$WORK/ours/a" "$WORK/ours/b" >/dev/null
}

# A setting of Syncthing's that all who sync here have in common: nothing leaves this machine, nobody is looked for.
syncthing_settings() {
  cat <<XML
<configuration version="35">
  <folder id="alike" path="$1" type="sendreceive" rescanIntervalS="3600" fsWatcherEnabled="true" fsWatcherDelayS="1">
    <device id="$2"></device><device id="$3"></device>
  </folder>
  <device id="$2"><address>tcp://127.0.0.1:$4</address></device>
  <device id="$3"><address>tcp://127.0.0.1:$5</address></device>
  <gui enabled="true"><address>127.0.0.1:$6</address><apikey>$7</apikey></gui>
  <options>
    <listenAddress>tcp://127.0.0.1:$8</listenAddress>
    <globalAnnounceEnabled>false</globalAnnounceEnabled><localAnnounceEnabled>false</localAnnounceEnabled>
    <relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled><startBrowser>false</startBrowser>
    <reconnectionIntervalS>1</reconnectionIntervalS><urAccepted>-1</urAccepted><crashReportingEnabled>false</crashReportingEnabled>
    <autoUpgradeIntervalH>0</autoUpgradeIntervalH>
  </options>
</configuration>
XML
}

# Two of them over $WORK/theirs/a and b; at their defaults in all that speed depends on, but for the watcher's delay of 1 s in place of 10.
start_syncthing() {
  local folder=$WORK/syncthing ports a b key name port
  key=$(openssl rand -hex 16)
  mapfile -t ports < <(free_ports 4)
  for name in a b; do
    mkdir -p "$folder/$name" "$WORK/theirs/$name/.stfolder"
    HOME=$folder syncthing generate --home "$folder/$name" --skip-port-probing >"$folder/generate.log" 2>&1 || die "syncthing: $(tail -n 1 "$folder/generate.log")"
  done
  a=$(syncthing --home "$folder/a" --device-id)
  b=$(syncthing --home "$folder/b" --device-id)
  for name in a b; do
    port=$([ $name = a ] && echo 0 || echo 1)
    syncthing_settings "$WORK/theirs/$name" "$a" "$b" "${ports[0]}" "${ports[1]}" "${ports[$((2 + port))]}" "$key" "${ports[$port]}" >"$folder/$name/config.xml"
    HOME=$folder syncthing serve --home "$folder/$name" --no-browser --no-restart --no-upgrade >"$folder/$name.log" 2>&1 &
    SYNC_PIDS+=($!)
  done
  SYNCTHING_STATUS="-H X-API-Key:$key http://127.0.0.1:${ports[2]}/rest"
  printf 'hello\n' >"$WORK/theirs/a/hello"
  until_alike "$WORK/theirs/a" "$WORK/theirs/b" >/dev/null
}

# Nothing is under way on either side: so that one figure does not pay for the change before it.
settle() {
  local status
  sync -f "$WORK"
  for _ in $(seq 300); do
    status=$(XDG_STATE_HOME=$WORK/state-a "$BIN/cairn" sync status --json | jq -r '.[0].state')$(XDG_STATE_HOME=$WORK/state-b "$BIN/cairn" sync status --json | jq -r '.[0].state')
    # shellcheck disable=SC2086
    [ "$status" = idleidle ] && curl -fsS $SYNCTHING_STATUS/db/status?folder=alike | grep -q '"state": *"idle"' && return 0
    sleep 0.1
  done
  die "the agents do not come to rest: $status"
}

# One change, made in folder $1 as a person would; it has happened when this returns.
change_files() { mv "$1.stage/files" "$1/files-$2"; }
change_large() { mv "$1.stage/large" "$1/large"; }
change_middle() { dd if="$1.stage/middle" of="$1/large" bs=1M seek=512 conv=notrunc status=none; }
change_front() { mv "$1.stage/front" "$1/large"; }

# What change $2 will need, made beside folder $1 beforehand, on the same file system and on the disk.
stage_change() {
  local number
  mkdir -p "$1.stage"
  case $2 in
    files)
      random_file "$SHM/all" $((5000 * 8192))
      mkdir -p "$1.stage/files"
      (cd "$1.stage/files" && split -b 8192 -a 4 -d "$SHM/all" f && for number in $(seq -w 0 49); do mkdir "$number" && mv f"$number"?? "$number/"; done)
      rm "$SHM/all"
      ;;
    large) random_file "$1.stage/large" $((1 << 30)) ;;
    middle) random_file "$1.stage/middle" $((1 << 20)) ;;
    front) (printf x; cat "$1/large") >"$1.stage/front" ;;
  esac
}

# Seconds that change $2 in round $3 takes to be on the other device of $1 (ours or theirs).
time_change() {
  local folder=$WORK/$1 took name=large
  [ "$2" != files ] || name=files-$3
  stage_change "$folder/a" "$2"
  settle
  "change_$2" "$folder/a" "$3"
  took=$(until_alike "$folder/a/$name" "$folder/b/$name")
  diff -r "$folder/a" "$folder/b" -x '.*' >/dev/null || die "the folders of $1 differ"
  echo "$took"
}

bench_sync_against_syncthing() {
  local what label goal round ours theirs all_ours all_theirs ratios before bytes
  say "### Two agents over a six-node cluster (R=3 W=2 strict, three copies) against two Syncthing (no copy but the devices'), from the end of a change until both folders are alike"
  say
  say "| change | ours, s | Syncthing, s | times as fast, median of $ROUNDS (min–max) | goal | bytes to the nodes, MiB |"
  say "|---|---|---|---|---|---|"
  for what in "files:5,000 files of 8 KiB:1.5" "large:a file of 1 GiB:0.6" "middle:1 MiB changed in its middle:2" "front:one byte inserted at its front:5"; do
    IFS=: read -r what label goal <<<"$what"
    all_ours=() all_theirs=() ratios=() bytes=()
    for round in $(seq "$ROUNDS"); do
      before=$(sent_bytes)
      if [ $((round % 2)) = 1 ]; then
        ours=$(time_change ours "$what" "$round")
        theirs=$(time_change theirs "$what" "$round")
      else
        theirs=$(time_change theirs "$what" "$round")
        ours=$(time_change ours "$what" "$round")
      fi
      bytes+=("$(mebibytes $(($(sent_bytes) - before)))")
      all_ours+=("$ours") all_theirs+=("$theirs") ratios+=("$(divide "$theirs" "$ours")")
    done
    say "| $label | $(median "${all_ours[@]}") | $(median "${all_theirs[@]}") | $(median "${ratios[@]}") ($(least "${ratios[@]}")–$(most "${ratios[@]}")) | ≥ $goal | $(median "${bytes[@]}") |"
  done
  say
}

least() { printf '%s\n' "$@" | sort -g | head -n 1; }
most() { printf '%s\n' "$@" | sort -g | tail -n 1; }

# Milliseconds from a small file's being written on one device to its being whole on the other, $2 times.
visible_after() {
  local folder=$WORK/$1 number start times=()
  for number in $(seq "$2"); do
    sleep 0.$((RANDOM % 900 + 100))
    printf 'what is written %s\n' "$number" >"$folder/a/small-$number"
    start=$(date +%s%N)
    until [ -s "$folder/b/small-$number" ]; do
      [ $(($(date +%s%N) - start)) -lt 60000000000 ] || die "a small file did not come in a minute"
      sleep 0.005
    done
    times+=("$((($(date +%s%N) - start) / 1000000))")
  done
  printf '%s\n' "${times[@]}" | sort -n | awk '{t[NR] = $1} END {print t[int((NR + 1) / 2)], t[int(NR * 0.9)]}'
}

bench_sync_latency() {
  local ours theirs
  settle
  read -r -a ours <<<"$(visible_after ours 30)"
  read -r -a theirs <<<"$(visible_after theirs 10)"
  say "| what | ours, p50 / p90 | Syncthing, p50 / p90 | goal |"
  say "|---|---|---|---|"
  say "| a small file, from its writing on one device until it is on the other | ${ours[0]} / ${ours[1]} ms | ${theirs[0]} / ${theirs[1]} ms | p50 ≤ 500 ms |"
  say
}

forget_cache() { sync; sync -f "$WORK"; [ "$(id -u)" -ne 0 ] || printf 3 >/proc/sys/vm/drop_caches; }

# Seconds that the rest of the arguments take as a command.
seconds_of() {
  local start
  start=$(date +%s%N)
  "$@" >/dev/null
  seconds_since "$start"
}

read_all() { find "$1" -type f -print0 | xargs -0 cat; }

many_agent() { XDG_STATE_HOME=$WORK/state-$1 "$BIN/cairn" sync "$WORK/many" /many --device "$1" --quiet "${@:2}"; }

# 200,000 files on one device: the first scan, a rescan, and what an agent costs that has nothing to do.
bench_sync_many() {
  local count=${MANY_FILES:-200000} number round scan disk scans=() disks=() ratios=() rescans=() pid before start took status
  say "### $count files of 1 KiB in folders of 100, one device"
  say
  say "| what | measured | goal |"
  say "|---|---|---|"
  mkdir -p "$WORK/many"
  random_file "$SHM/all" $((count * 1024))
  for number in $(seq 0 $((count / 100 - 1))); do
    mkdir -p "$WORK/many/$((number / 100))/$number"
    dd if="$SHM/all" bs=102400 skip="$number" count=1 status=none | split -b 1024 -a 2 -d - "$WORK/many/$((number / 100))/$number/f"
  done
  rm "$SHM/all"
  "$BIN/cairn" mkdir /many
  for round in $(seq "$ROUNDS"); do
    forget_cache
    disk=$(seconds_of read_all "$WORK/many")
    forget_cache
    # Each with notes of its own: it knows no file.
    scan=$(seconds_of many_agent "scan-$round" --dry-run)
    scans+=("$scan") disks+=("$disk") ratios+=("$(divide "$disk" "$scan")")
  done
  say "| first scan with its plan, nothing in the page cache; find and cat of the same files; their ratio, medians of $ROUNDS | $(median "${scans[@]}") s; $(median "${disks[@]}") s; $(median "${ratios[@]}") × | near 1 × |"
  start=$(date +%s%N)
  many_agent many --once
  took=$(seconds_since "$start")
  say "| all of it uploaded by a first run | $took s, $(awk -v n="$count" -v s="$took" 'BEGIN {printf "%.0f", n / s}') files/s | |"
  for round in $(seq "$ROUNDS"); do rescans+=("$(seconds_of many_agent many --once)"); done
  say "| a run that finds nothing changed, with its start and its notes read, median of $ROUNDS | $(median "${rescans[@]}") s | ≤ 3 s |"
  # Not through the function: the process is what is measured, and no shell around it.
  XDG_STATE_HOME=$WORK/state-many "$BIN/cairn" sync "$WORK/many" /many --device many --quiet &
  pid=$!
  SYNC_PIDS+=("$pid")
  for _ in $(seq 600); do
    status=$(XDG_STATE_HOME=$WORK/state-many "$BIN/cairn" sync status --json | jq -r '.[0].state')
    [ "$status" != idle ] || break
    sleep 0.1
  done
  [ "$status" = idle ] || die "the agent does not come to rest: $status"
  sleep 5
  before=$(ticks "$pid")
  sleep 60
  say "| the agent at rest for a minute: processor time | $(awk -v t=$(($(ticks "$pid") - before)) 'BEGIN {printf "%.2f", t / 60}') % of a core | ≤ 0.1 % |"
  say "| the same: resident memory (peak since it started) | $(awk '/^VmRSS/ {printf "%.0f", $2 / 1024}' "/proc/$pid/status") MiB ($(peak_memory "$pid") MiB) | ≤ 150 MiB |"
  stop_syncing
  say
}

# PART: against, latency or many; all of them when it is not set.
bench_sync() {
  need_packages_idle syncthing
  mkdir -p "$SHM"
  bring_up "$WORK/cluster"
  log_in
  if [ "${PART:-}" != many ]; then
    # Content-defined, as people would choose for large files that change anywhere.
    "$BIN/cairn" mkdir --chunker cdc /alike
    start_agents
    start_syncthing
    [ "${PART:-against}" != against ] || bench_sync_against_syncthing
    [ "${PART:-latency}" != latency ] || bench_sync_latency
    stop_syncing
  fi
  [ "${PART:-many}" != many ] || bench_sync_many
  take_down
  rm -rf "${WORK:?}"/{ours,theirs,many,syncthing} "$WORK"/state-*
}
