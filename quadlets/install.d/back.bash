# shellcheck shell=bash disable=SC2154 # its variables are those of quadlets/install
# The services, on the way back: rollback and uninstall.

stop() { # SERVICE
  ! is_up "$1" || act "stop $1" "${manager[@]}" stop "$1"
}

stop_all() {
  local service
  [[ $(state_of whisper.service) != active ]] || warn "whisper is running, and ends with its gate"
  # The gate first: as long as it is there, it brings whisper back.
  for service in whisper-gate whisper whisper-proxy whisper-net-network; do stop "$service.service"; done
}

# What the way back is about: services whose unit vanishes end first, others are restarted after it.
declare -A vanishing=()
vanishes() { [[ -n ${vanishing[$1]-} ]]; } # NAME

note_what_goes_back() {
  local kept path before
  read_stale
  while IFS=$'\t' read -r kept path; do
    [[ $kept != - ]] || vanishing[${path##*/}]=true
    case $path in
      */whisper-seccomp.json) stale[whisper.service]=true ;;
      */whisper-proxy.container | */whisper-proxy.env) stale[whisper-proxy.service]=true ;;
      */whisper-gate.container) stale[whisper-gate.service]=true ;;
    esac
  done <"$state/backup/files"
  mapfile -t before <"$state/backup/image"
  if [[ ${before[0]} == true && -n ${before[1]} ]]; then stale[whisper-proxy.service]=true stale[whisper-gate.service]=true; fi
}

# What a dry run says of each file.
tell_what_goes_back() {
  local kept path before
  while IFS=$'\t' read -r kept path; do
    if [[ $path != *.new ]] && is_edited "$path"; then say "would keep $path, which was edited, as $path.saved"; fi
    if [[ $kept == - ]]; then
      say "would remove $path"
    else
      say "would put back $path"
    fi
  done <"$state/backup/files"
  mapfile -t before <"$state/backup/image"
  [[ ${before[0]} != true || -z ${before[1]} ]] || say "would make ${before[1]} $IMAGE:latest again"
}

stop_what_vanishes() {
  local name
  # The gate first: as long as it is there, it brings whisper back.
  for name in whisper-gate whisper-proxy; do
    ! vanishes "$name.container" || stop "$name.service"
  done
  if vanishes whisper-net.network; then
    stop whisper-net-network.service
    remove_network
  fi
}

# Of a first install that is taken back: no file of theirs was touched by us, so none can be put back by us.
tell_what_is_theirs() {
  local unit old why='it joins whisper-gate, which is gone'
  unit=$(whisper_unit)
  ! has_no_network || why='its seccomp profile is gone'
  old=$(find "$units" "$target" -maxdepth 1 -type f '(' -name 'whisper.container.*' -o -name 'whisper-net.network.*' ')' \
    ! -name '*.example' ! -name '*.new' 2>/dev/null | sort --unique | tr '\n' ' ')
  [[ -z $unit ]] || say "$unit is yours and stays as it is: $why, so whisper does not start"
  say "next: put back your own whisper.container, whisper-net.network and session-manager.container of before${old:+ (there are: ${old% })}, then ${manager[*]} daemon-reload, and restart them"
}

start_after_rollback() {
  local service wanted=("${services[@]}")
  services=()
  # What has no unit any more, or none yet, is not there to be started.
  for service in "${wanted[@]}" whisper.service; do
    if vanishes "${service%.service}.container" || [[ -z $(elsewhere "${service%.service}.container") ]]; then
      unset "stale[$service]"
    elif [[ $service != whisper.service ]]; then
      services+=("$service")
    fi
  done
  # Without the profile it does not start again; one that runs has it.
  ! vanishes whisper-seccomp.json || unset "stale[whisper.service]"
  $dry_run || make_state
  save_stale
  if $no_start; then
    say "nothing was restarted; to do it: ${manager[*]} daemon-reload${stale[*]:+ && ${manager[*]} restart ${!stale[*]}}"
    return
  fi
  act "let systemd read the units" "${manager[@]}" daemon-reload
  ((${#services[@]} == 0)) || make_networks warn
  for service in "${services[@]}"; do start_service "$service"; done
  if [[ -n ${stale[whisper.service]-} ]] && is_up whisper.service; then
    act "restart whisper.service, for the seccomp profile of before" try_to_soon restart whisper.service
  fi
  [[ ${services[*]} != *whisper-proxy.service* ]] || act "wait until whisper-proxy is healthy" wait_until_healthy
}

tell_images() {
  local tag images=()
  for tag in latest previous; do
    [[ -z $(image_id "$IMAGE:$tag") ]] || images+=("$IMAGE:$tag")
  done
  ((${#images[@]} == 0)) || say "the image stays; to remove it: podman rmi ${images[*]}"
}

remove_network() {
  podman network exists systemd-whisper-net || return 0
  act "remove podman's network systemd-whisper-net" podman network rm systemd-whisper-net ||
    warn "podman's network systemd-whisper-net stays: somebody else's container is on it"
  mend_bridges warn
}
