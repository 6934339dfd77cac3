# shellcheck shell=bash disable=SC2154 # its variables are those of quadlets/install
# Whether whisper is locked in, tried from its own place, from visp-net, and seen in podman's records.

is_open=false

verify() {
  local gate unit
  gate=$(setting_of_gate)
  [[ -n $gate ]] || refuse "whisper-gate does not run: ${manager[*]} start whisper-gate.service"
  unit=$(whisper_unit)
  [[ -z $unit ]] || verify_container "$(container_of_whisper)" "$gate"
  verify_from_whisper
  verify_from_visp_net
  $json || { say "what whisper-gate has refused so far:" && podman exec whisper-gate whisper-gate refused; } ||
    warn "this kernel does not count what was refused"
  ! $is_open || exit 1
}

setting_of_gate() {
  podman inspect --type=container --format '{{if .State.Running}}{{.Id}}{{end}}' whisper-gate 2>/dev/null || true
}

# --- in podman's records

verify_container() { # NAME GATE
  local caps bounding options network privileged
  local format='{{if .State.Running}}{{len .EffectiveCaps}}|{{len .BoundingCaps}}|{{.HostConfig.SecurityOpt}}|{{.HostConfig.NetworkMode}}|{{.HostConfig.Privileged}}{{end}}'
  IFS='|' read -r caps bounding options network privileged < \
    <(podman inspect --type=container --format "$format" "$1" 2>/dev/null) || true
  if [[ -z ${privileged-} ]]; then
    warn "$1 does not run, so its own settings were not looked at: start it and verify again"
    return
  fi
  finding "$1 has no capability" "$caps effective, $bounding bounding" "$caps$bounding" 00
  finding "$1 gains no privilege (NoNewPrivileges=true)" "$options" "$options" '*no-new-privileges*'
  finding "$1 has our seccomp profile" "$options" "$options" '*seccomp=*/whisper-seccomp.json*'
  finding "$1 has no network but whisper-gate's" "$network" "$network" "@(container:$2|none)"
  finding "$1 is not privileged" "$privileged" "$privileged" false
}

finding() { # WHAT DETAIL VALUE PATTERN
  local ok=false
  # shellcheck disable=SC2053 # it is a pattern
  [[ $3 != $4 ]] || ok=true
  $ok || is_open=true
  if $json; then
    printf '{"check":%s,"ok":%s,"detail":%s}\n' "$(json_string "$1")" "$ok" "$(json_string "$2")"
  else
    say "$($ok && echo ok || echo OPEN)  $1: $2"
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
  local profile arguments=(--from whisper --proxy "$(proxy_address)") place host
  while read -r place; do arguments+=(--also "$place"); done < <(places | sort --unique)
  host=$(allowed_host)
  [[ -z $host ]] || arguments+=(--allowed "$host")
  profile=$(podman inspect --type=container --format '{{range .HostConfig.SecurityOpt}}{{println .}}{{end}}' "$(container_of_whisper)" 2>/dev/null |
    sed --quiet 's/^seccomp=//p' | sed --quiet 1p) || true
  $json || say "from whisper's place:"
  probe --network=container:whisper-gate --security-opt="seccomp=${profile:-$units/whisper-seccomp.json}" -- "${arguments[@]}"
}

verify_from_visp_net() {
  local network arguments=(--from visp-net --proxy "$(proxy_address)")
  network=$(networks_of whisper-proxy | grep --invert-match --line-regexp systemd-whisper-net | sed --quiet 1p) ||
    refuse "whisper-proxy does not run: ${manager[*]} start whisper-proxy.service"
  # Where the unit names no clients, everybody is one.
  grep --quiet '^Environment=.*INGRESS_CLIENTS=' "$(elsewhere whisper-proxy.container)" || arguments+=(--ingress-allowed)
  $json || say "from $network:"
  probe --network="$network" -- "${arguments[@]}"
}

networks_of() { # CONTAINER
  podman inspect --type=container --format '{{range $name, $_ := .NetworkSettings.Networks}}{{println $name}}{{end}}' "$1" | sed '/^$/d'
}

proxy_address() {
  sed --quiet 's/^Network=whisper-net\.network:.*ip=\([0-9.]*\).*/\1/p' "$(elsewhere whisper-proxy.container)"
}

# What whisper must not reach on this host: bridges, other containers, and published ports on the bridges.
places() {
  local gateways ports port gateway
  gateways=$(podman network ls --quiet | while read -r name; do
    podman network inspect --format '{{range .Subnets}}{{println .Gateway}}{{end}}' "$name"
  done | grep '^[0-9a-f:.]*[0-9]$') || true
  ports=$(podman ps --format '{{.Ports}}' | tr ',' '\n' | sed --quiet 's/^.*:\([0-9]*\)[-0-9]*->.*/\1/p') || true
  for gateway in $gateways; do
    gateway=$(bracketed "$gateway")
    printf '%s\n' "$gateway"
    for port in $ports; do printf '%s\n' "$gateway:$port"; done
  done
  podman ps --format '{{.Names}}' | grep --invert-match --line-regexp --regexp=whisper-gate --regexp="$(container_of_whisper)" | while read -r name; do
    podman inspect --type=container --format '{{range .NetworkSettings.Networks}}{{println .IPAddress}}{{end}}' "$name"
  done | grep '^[0-9.]*$' | grep --invert-match --line-regexp --fixed-strings -e "$(proxy_address)" -e '' || true
}

bracketed() {
  [[ $1 == *:* ]] && printf '[%s]' "$1" || printf %s "$1"
}

# A host that the allowlist opens: the first rule that is a plain name.
allowed_host() {
  local folder
  folder=$(dirname -- "$(elsewhere whisper-proxy.container)")
  sed --quiet 's/^EGRESS_ALLOW[A-Z0-9_]*=//p' "$folder/whisper-proxy/whisper-proxy.env" 2>/dev/null | tr --squeeze-repeats "\"', \t\r" '\n' |
    grep --max-count=1 --extended-regexp '^[A-Za-z0-9.-]*[A-Za-z][A-Za-z0-9-]*(:[0-9]+)?$' || true
}
