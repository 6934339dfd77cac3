# shellcheck shell=bash
# What the scripts of the lab share. Sourced.
set -euo pipefail

# Root file systems and images are made once and kept here; a lab only ever writes beside them.
CACHE=${WHISPER_PROXY_E2E:-/var/tmp/whisper-proxy-e2e}
# shellcheck disable=SC2034 # for those who read this file
LAB_FOLDER=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# once NAME KEY COMMAND…: runs the command, unless it already ended well for this name and key.
once() {
  local stamp=$CACHE/$1.stamp key=$2
  shift 2
  [[ -e $stamp && $(<"$stamp") == "$key" ]] && return
  rm -f "$stamp"
  "$@"
  echo "$key" >"$stamp"
}

key_of() {
  cat "$@" | sha256sum | cut -d' ' -f1
}
