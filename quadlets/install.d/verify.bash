# shellcheck shell=bash disable=SC2154 # its variables are those of quadlets/install
# Whether whisper is locked in, tried from its own place, from visp-net, and seen in podman's records.

is_open=false
# More places than these would take longer than anybody waits.
readonly MOST=128

verify() {
  local gate whisper
  [[ -n $(elsewhere whisper-proxy.container) ]] || refuse "there is no whisper-proxy.container in $units: run quadlets/install first"
  whisper=$(container_of_whisper)
  if has_no_network; then
    verify_container "$whisper" none "$whisper has no network"
    verify_from_visp_net
  else
    gate=$(gate_id)
    [[ -n $gate ]] || refuse "whisper-gate does not run: ${manager[*]} start whisper-gate.service"
    # With or without a unit: one that was started by hand is whisper as well.
    verify_container "$whisper" "@(container:$gate|none)" "$whisper has no network but whisper-gate's"
    verify_gate
    verify_neighbours
    verify_from_whisper
    verify_from_visp_net
    $json || tell_refused
  fi
  ! $is_open || exit 1
}

# It compares every rule that is in force with those that it loads.
verify_gate() {
  local answer status=0
  answer=$(podman exec whisper-gate whisper-gate check 2>&1) || status=$?
  finding "whisper-gate's rules are those that it loaded" "${answer:-exit status $status}" "$status" 0
}

# Addresses are trusted on whisper-net: whoever else is on it could take one.
verify_neighbours() {
  local name ours=(whisper-proxy whisper-gate) given others
  for name in "${!ours[@]}"; do
    given=$(setting "$(elsewhere "${ours[name]}.container")" ContainerName 2>/dev/null) || true
    ours[name]=${given:-${ours[name]}}
  done
  others=$(podman ps --filter network=systemd-whisper-net --format '{{.Names}}' | sed '/^$/d' |
    grep --invert-match --line-regexp --fixed-strings --regexp="${ours[0]}" --regexp="${ours[1]}" | tr '\n' ' ') || true
  finding "nobody else is on whisper-net" "${others:-only ${ours[*]}}" "$others" ''
}

tell_refused() {
  say "what whisper-gate has refused so far:"
  podman exec whisper-gate whisper-gate refused ||
    warn "whisper-gate could not be asked what it has refused: see what podman says above, and podman logs whisper-gate"
}

# --- in podman's records

verify_container() { # NAME NETWORK WHAT
  local caps bounding options network privileged pid ipc uts driver process shared unmasked
  local format='{{if .State.Running}}{{len .EffectiveCaps}}|{{len .BoundingCaps}}|{{.HostConfig.SecurityOpt}}|{{.HostConfig.NetworkMode}}|{{.HostConfig.Privileged}}|{{.HostConfig.PidMode}}|{{.HostConfig.IpcMode}}|{{.HostConfig.UTSMode}}|{{.HostConfig.LogConfig.Type}}|{{.State.Pid}}{{end}}'
  IFS='|' read -r caps bounding options network privileged pid ipc uts driver process < \
    <(podman inspect --type=container --format "$format" "$1" 2>/dev/null) || true
  if [[ -z ${privileged-} ]]; then
    finding "$1 runs" "it does not, so it was not looked at: start it, and verify again" not ''
    return
  fi
  shared=$(shared_with_host "${process-}") unmasked=$(unmasked_in "${process-}")
  finding "$1 has no capability" "$caps effective, $bounding bounding" "$caps$bounding" 00
  finding "$1 gains no privilege (NoNewPrivileges=true)" "$options" "$options" '*no-new-privileges*'
  finding "$1 has our seccomp profile" "$options" "$options" '*seccomp=*/whisper-seccomp.json*'
  finding "$1 sees no more of /proc and /sys than podman shows (no unmask)" "${unmasked:-$options}" "$options$unmasked" '!(*unmask*)'
  finding "$3" "$network" "$network" "$2"
  check_profile "$(profile_of_container)"
  finding "$1 cannot flood the journal, where the proxy's denials are (LogDriver=k8s-file)" "$driver" "$driver" '@(k8s-file|json-file|none)'
  finding "$1 is not privileged" "$privileged" "$privileged" false
  finding "$1 shares no namespace with the host" "pid $pid, ipc $ipc, uts $uts$shared" "/$pid/$ipc/$uts/$shared" '!(*/host/*|*/ns:*|*of the host*)'
}

# As the kernel sees it: podman calls the host's ipc `shareable`, and may leave unmask out of its records.
shared_with_host() { # PID
  local kind
  for kind in pid ipc uts; do
    [[ $(readlink -- "/proc/$1/ns/$kind" 2>/dev/null) != "$(readlink "/proc/self/ns/$kind")" ]] || printf %s "; $kind of the host"
  done
}

unmasked_in() { # PID
  local path
  [[ -r /proc/$1/mountinfo ]] || return 0
  for path in /proc/kcore /proc/sys; do
    [[ ! -e $path ]] || awk -v path="$path" '$5 == path { found = 1 } END { exit !found }' "/proc/$1/mountinfo" 2>/dev/null || printf %s "$path is unmasked "
  done
}

# The seccomp profile that whisper really has.
profile_of_container() {
  podman inspect --type=container --format '{{range .HostConfig.SecurityOpt}}{{println .}}{{end}}' "$(container_of_whisper)" 2>/dev/null |
    sed --quiet 's/^seccomp=//p' | sed --quiet 1p || true
}

# A VALUE of `not` is what could not be looked at.
finding() { # WHAT DETAIL VALUE PATTERN
  local ok=false word=OPEN
  # shellcheck disable=SC2053 # it is a pattern
  [[ $3 != $4 ]] || ok=true word=ok
  [[ $3 != not ]] || word='NOT TRIED'
  $ok || is_open=true
  if $json; then
    printf '{"check":%s,"ok":%s,"detail":%s}\n' "$(json_string "$1")" "$ok" "$(json_string "$2")"
  else
    say "$word  $1: $2"
  fi
}

json_string() {
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"}
  printf '"%s"' "${text//[[:cntrl:]]/ }"
}

# --- tried

# What a probe has: nothing that whisper does not have.
probe() { # ARGUMENT… of podman run, then of `whisper-proxy verify`, after a --
  local of_podman=() report=()
  while [[ $1 != -- ]]; do of_podman+=("$1") && shift; done
  ! $json || report=(--json)
  # How wide its reader's terminal is, which it does not see.
  [[ ! -t 1 ]] || of_podman+=(--env="COLUMNS=$({ stty size </dev/tty; } 2>/dev/null | cut --delimiter=' ' --fields=2)")
  podman run --rm --pull=never --cap-drop=all --security-opt=no-new-privileges --user=0:0 --read-only "${like_units[@]}" \
    "${of_podman[@]}" --entrypoint=whisper-proxy "$IMAGE:latest" verify "${@:2}" "${report[@]}" | lines || is_open=true
}

# A JSON document becomes one line, so that several can follow each other.
lines() {
  if $json; then
    tr --delete '\n'
    echo
  else
    cat
  fi
}

verify_from_whisper() {
  local profile arguments=(--from whisper --proxy "$(proxy_address)") all place host
  mapfile -t all < <(places | awk '!seen[$0]++')
  ((${#all[@]} <= MOST)) || warn "only $MOST of ${#all[@]} addresses and published ports are tried, from ${all[0]} to ${all[MOST - 1]}"
  for place in "${all[@]:0:MOST}"; do arguments+=(--also "$place"); done
  host=$(allowed_host)
  [[ -z $host ]] || arguments+=(--allowed "$host")
  profile=$(profile_of_container)
  $json || say "from whisper's place:"
  probe --network=container:whisper-gate --security-opt="seccomp=${profile:-$units/whisper-seccomp.json}" -- "${arguments[@]}"
}

verify_from_visp_net() {
  local network address arguments=(--from visp-net)
  address=$(proxy_address)
  [[ -z $address ]] || arguments+=(--proxy "$address")
  network=$(networks_of whisper-proxy | grep --invert-match --line-regexp systemd-whisper-net | sed --quiet 1p) ||
    refuse "whisper-proxy does not run: ${manager[*]} start whisper-proxy.service"
  # Where neither the unit nor the file names clients, everybody is one.
  grep --quiet '^Environment=.*INGRESS_CLIENTS=' "$(elsewhere whisper-proxy.container)" ||
    grep --quiet --no-messages "^INGRESS_CLIENTS=[\"']*[^\"' ]" "$(env_file)" || arguments+=(--ingress-allowed)
  $json || say "from $network:"
  probe --network="$network" -- "${arguments[@]}"
}

networks_of() { # CONTAINER
  podman inspect --type=container --format '{{range $name, $_ := .NetworkSettings.Networks}}{{println $name}}{{end}}' "$1" | sed '/^$/d'
}

proxy_address() {
  sed --quiet 's/^Network=whisper-net\.network:.*ip=\([0-9.]*\).*/\1/p' "$(elsewhere whisper-proxy.container)"
}

# What whisper must not reach on this host: its addresses, bridges, other containers, and published ports.
places() {
  local addresses ports port address
  addresses=$(bridges && host_addresses)
  ports=$(published_ports)
  for address in $addresses; do
    bracketed "$address"
    echo
  done
  podman ps --format '{{.Names}}' | grep --invert-match --line-regexp --regexp=whisper-gate --regexp="$(container_of_whisper)" | while read -r name; do
    podman inspect --type=container --format '{{range .NetworkSettings.Networks}}{{println .IPAddress}}{{end}}' "$name"
  done | grep '^[0-9.]*$' | grep --invert-match --line-regexp --fixed-strings -e "$(proxy_address)" -e '' || true
  for address in $addresses; do
    for port in $ports; do printf '%s:%s\n' "$(bracketed "$address")" "$port"; done
  done
}

bridges() {
  podman network ls --quiet | while read -r name; do
    podman network inspect --format '{{range .Subnets}}{{println .Gateway}}{{end}}' "$name"
  done | grep '^[0-9a-f]*[:.][0-9a-f:.]*$' || true
}

# From the kernel's own tables, without loopback and link-local.
host_addresses() {
  awk '$1 == "|--" { address = $2 } /\/32 host LOCAL/ && address !~ /^127\./ { print address }' /proc/net/fib_trie 2>/dev/null || true
  awk '$4 == "00" { gsub(/..../, "&:", $1); sub(/:$/, "", $1); print $1 }' /proc/net/if_inet6 2>/dev/null || true
}

# 127.0.0.1:5000-5001->80-81/tcp has two.
published_ports() {
  podman ps --format '{{.Ports}}' | tr ',' '\n' | sed --quiet 's/^.*:\([0-9]*\)-*\([0-9]*\)->.*/\1 \2/p' |
    while read -r first last; do seq "$first" "${last:-$first}"; done | sort --numeric-sort --unique
}

bracketed() {
  [[ $1 == *:* ]] && printf '[%s]' "$1" || printf %s "$1"
}

env_file() { printf %s "$(dirname -- "$(elsewhere whisper-proxy.container)")/whisper-proxy/whisper-proxy.env"; }

# A host that the allowlist opens: the first rule that is a plain name. None where there are deny rules, which may cover it.
allowed_host() {
  ! grep --quiet --no-messages '^EGRESS_DENY[A-Z0-9_]*=.' "$(env_file)" || return 0
  sed --quiet 's/^EGRESS_ALLOW[A-Z0-9_]*=//p' "$(env_file)" 2>/dev/null | tr --squeeze-repeats "\"', \t\r" '\n' |
    grep --max-count=1 --extended-regexp '^[A-Za-z0-9.-]*[A-Za-z][A-Za-z0-9-]*(:[0-9]+)?$' || true
}
