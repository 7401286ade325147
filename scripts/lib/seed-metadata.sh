# Fills a coordinator's database with five million files (1,000 × $FILES_PER_LEAF, and 100,000) below the API: the same tables, columns and
# indexes that the API fills, in as few statements as possible. Sourced by scripts/bench. What the tree looks like is also in
# Sources/Executables/cairnbench/Metadata/SeededTree.swift.
#
#   /t0…4/u0…9/v0…19/w/x/y/z/p/q/f0000…4899   4,900,000 files, ten names deep, below 1,000 folders of files
#   /wide/g000000…099999                       100,000 files in one folder
#
# Each file is shared with one of 500 members: every member has 10,000 of 5,000,000 shares, from all over the tree. The files are empty, so
# that no block has to be anywhere.

FILES_PER_LEAF=${FILES_PER_LEAF:-4900}

# The SQL for engine $1 (sqlite or postgres): the owner is user `bench`, the first member user `member`; both have signed up before.
seed_metadata_sql() {
  local empty_hash=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
  local id_of binary empty now=1700000000000000
  # An id of 16 bytes from a number, a series of whole numbers, and bytes as each engine writes them.
  if [ "$1" = sqlite ]; then
    id_of() { printf "CAST(printf('%%016d', %s) AS BLOB)" "$1"; }
    series() { printf '(SELECT value AS i FROM generate_series(0, %s - 1)) AS s' "$1"; }
    text() { printf "printf('%s%%0%sd', %s)" "$1" "$2" "$3"; }
    binary="x'$empty_hash'" empty="x''"
    printf "PRAGMA journal_mode = DELETE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -2000000;\n"
  else
    id_of() { printf "convert_to(lpad((%s)::text, 16, '0'), 'UTF8')" "$1"; }
    series() { printf '(SELECT i::bigint FROM generate_series(0, %s - 1) AS i) AS s' "$1"; }
    text() { printf "'%s' || lpad((%s)::text, %s, '0')" "$1" "$3" "$2"; }
    binary="'\\x$empty_hash'::bytea" empty="''::bytea"
    printf "SET synchronous_commit = off; SET maintenance_work_mem = '512MB';\n"
  fi
  local owner="(SELECT number FROM users WHERE name = 'bench')"
  local tree="(SELECT n.number FROM namespaces n JOIN users u ON u.number = n.owner WHERE u.name = 'bench')"
  local root="(SELECT n.root FROM namespaces n JOIN users u ON u.number = n.owner WHERE u.name = 'bench')"
  local entry="INSERT INTO entries (ns, id, parent, name, kind, version, size, content_hash, mime_type, modified_at, executable) SELECT $tree,"
  local kind
  printf 'BEGIN;\n'
  # Folders: numbers of one level lie together, so what is below a folder lies together too.
  printf '%s\n' "$entry $(id_of '1000000000000 + i'), $root, $(text t 1 i), 1, 1, 0, NULL, NULL, ${now}000, 0 FROM $(series 5);"
  printf '%s\n' "$entry $(id_of '2000000000000 + i'), $(id_of '1000000000000 + i / 10'), $(text u 1 'i % 10'), 1, 1, 0, NULL, NULL, ${now}000, 0 FROM $(series 50);"
  local level name above=3000000000000
  printf '%s\n' "$entry $(id_of "$above + i"), $(id_of '2000000000000 + i / 20'), 'v' || (i % 20), 1, 1, 0, NULL, NULL, ${now}000, 0 FROM $(series 1000);"
  for level in 4:w 5:x 6:y 7:z 8:p 9:q; do
    name=${level#*:} level=${level%:*}000000000000
    printf '%s\n' "$entry $(id_of "$level + i"), $(id_of "$above + i"), '$name', 1, 1, 0, NULL, NULL, ${now}000, 0 FROM $(series 1000);"
    above=$level
  done
  printf '%s\n' "$entry $(id_of 12000000000000), $root, 'wide', 1, 1, 0, NULL, NULL, ${now}000, 0;"
  kind="0, 1, 0, $binary, 'text/plain', ${now}000, 0"
  printf '%s\n' "$entry $(id_of '10000000000000 + i'), $(id_of "$above + i / $FILES_PER_LEAF"), $(text f 4 "i % $FILES_PER_LEAF"), $kind FROM $(series $((1000 * FILES_PER_LEAF)));"
  printf '%s\n' "$entry $(id_of '11000000000000 + i'), $(id_of 12000000000000), $(text g 6 i), $kind FROM $(series 100000);"
  local version="INSERT INTO versions (ns, entry, version, size, content_hash, chunker, modified_at, committed_at, author, block_count, blocks) SELECT $tree,"
  for kind in "10000000000000 + i:$((1000 * FILES_PER_LEAF))" '11000000000000 + i:100000'; do
    printf '%s\n' "$version $(id_of "${kind%:*}"), 1, 0, $binary, 0, ${now}000, $now, $owner, 0, $empty FROM $(series "${kind#*:}");"
  done
  # Members: the first has signed up, the others exist as rows only.
  printf '%s\n' "INSERT INTO users (number, id, name, name_key, password, created_at) SELECT 1000 + i, $(id_of '20000000000000 + i'), 'seeded' || i, 'seeded' || i, '', $now FROM $(series 500) WHERE i > 0;"
  printf '%s\n' "INSERT INTO namespaces (number, id, owner, root, sequence, trimmed, last_time, used, reserved, files) SELECT 1000 + i, $(id_of '21000000000000 + i'), 1000 + i, $(id_of '22000000000000 + i'), 0, 0, $now, 0, 0, 0 FROM $(series 500) WHERE i > 0;"
  printf '%s\n' "INSERT INTO entries (ns, id, parent, name, kind, version, size, modified_at, executable) SELECT 1000 + i, $(id_of '22000000000000 + i'), $empty, '', 1, 1, 0, ${now}000, 0 FROM $(series 500) WHERE i > 0;"
  local member="CASE WHEN i % 500 = 0 THEN (SELECT number FROM users WHERE name = 'member') ELSE 1000 + i % 500 END"
  for kind in "10000000000000 + i:$((1000 * FILES_PER_LEAF))" '11000000000000 + i:100000'; do
    printf '%s\n' "INSERT INTO shares (ns, entry, member, role, mount, granted_by, granted_at, since) SELECT $tree, $(id_of "${kind%:*}"), $member, 0, $(text "s${kind:1:1}-" 7 i), $owner, $now, 0 FROM $(series "${kind#*:}");"
  done
  printf '%s\n' "UPDATE namespaces SET files = files + $((1000 * FILES_PER_LEAF + 100000)), shares = shares + $((1000 * FILES_PER_LEAF + 100000)) WHERE number = $tree;"
  printf 'COMMIT;\n'
  if [ "$1" = sqlite ]; then printf "PRAGMA journal_mode = WAL;\n"; else printf 'VACUUM ANALYZE;\n'; fi
}
