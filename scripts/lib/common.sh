# Shared by the project's scripts: where things are, what must be installed, how to say what went wrong. Sourced, never run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PACKAGES=(libmicrohttpd-dev libcurl4-openssl-dev libssl-dev libzstd-dev libsqlite3-dev libpq-dev pkg-config openssl curl ca-certificates)
# `swift test` shares the products' build only when it asks for no testable imports.
BUILD_FLAGS=(-c release)
TEST_FLAGS=(-c release --disable-testable-imports)
BIN="${CAIRN_BIN:-$ROOT/.build/release}"

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# Installs the apt packages named that are not there yet; asks nothing.
need_packages() {
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  local sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || die "these packages are missing and need root to install: ${missing[*]}"
  say "installing ${missing[*]}"
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq ||
    die "apt-get update failed; check the network and try again"
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    die "could not install ${missing[*]}; run 'apt-get install ${missing[*]}' to see why"
}

# Swift 6.2 or newer on the PATH, or a clear word where to get it.
need_swift() {
  local version
  command -v swift >/dev/null || die "Swift 6.2 or newer is needed; see https://www.swift.org/install/linux/"
  version=$(swift --version 2>/dev/null | grep -oE 'Swift version [0-9]+\.[0-9]+' | grep -oE '[0-9]+\.[0-9]+' | head -n 1)
  [ "$(printf '6.2\n%s\n' "${version:-0}" | sort -V | head -n 1)" = 6.2 ] ||
    die "Swift 6.2 or newer is needed and ${version:-an unknown one} is here; see https://www.swift.org/install/linux/"
}

# As need_packages, without the services that Debian would start beside them.
need_packages_idle() {
  local name missing=no sudo=() policy=/usr/sbin/policy-rc.d made=no
  for name in "$@"; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing=yes
  done
  [ $missing = yes ] || return 0
  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null && "${sudo[@]}" chmod 755 "$policy" && made=yes; }
  need_packages "$@"
  [ $made = no ] || "${sudo[@]}" rm -f "$policy"
}

# The PostgreSQL server's programs and others named, without the cluster that Debian would make.
need_postgresql() {
  local sudo=()
  dpkg-query -W -f '${Status}' postgresql-15 2>/dev/null | grep -q 'ok installed' || {
    [ "$(id -u)" -eq 0 ] || sudo=(sudo)
    need_packages_idle postgresql-common
    "${sudo[@]}" sed -i -E 's/^#? *create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
  }
  need_packages_idle postgresql-15 "$@"
}

need_build() {
  need_packages "${PACKAGES[@]}"
  need_swift
}

# The products in release mode; the one build that everything shares.
build_products() {
  (cd "$ROOT" && swift build "${BUILD_FLAGS[@]}") || die "the build failed"
}
