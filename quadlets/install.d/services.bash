# shellcheck shell=bash disable=SC2154 # its variables are those of quadlets/install
# The image, and the services.

readonly IMAGE=localhost/whisper-proxy
readonly GIVE_UP=60
image_changes=false new_image='' next_step=''

# Where cgroups are off for the units, they may have to be for containers of a moment.
like_units=()
as_the_units_do() {
  if grep --dereference-recursive --quiet --no-messages --include='*.container' '^PodmanArgs=.*--cgroups=disabled' "$units"; then
    like_units=(--cgroups=disabled)
  fi
}

image_id() { podman image inspect --format '{{.Id}}' "$1" 2>/dev/null || true; }

# Leaves the new image's id in new_image, and whether it is another than before in image_changes.
get_image() {
  old_image=$(image_id "$IMAGE:latest") old_previous=$(image_id "$IMAGE:previous")
  if [[ -z $image ]]; then
    [[ -f $repository/Containerfile ]] || refuse "$repository has no Containerfile, so this is not a whole checkout: get one, or give --image"
    act "build the image from $repository" build_image
  elif [[ -f $image ]]; then
    act "load the image from $image" load_image
  elif [[ $image == /* || $image == ./* || $image == *.tar* ]]; then
    refuse "$image is not there: give --image an archive that podman save made, or the name of an image"
  else
    take_image
  fi
  if $dry_run; then
    [[ -n $new_image ]] || image_changes=unknown
    [[ -z $new_image || $new_image == "$old_image" ]] || image_changes=true
    return
  fi
  [[ -n $new_image ]] || refuse "the image is not there although podman reported no fault: see podman images"
  check_image
  [[ $new_image == "$old_image" ]] || image_changes=true
}

build_image() {
  podman build --iidfile "$work/id" "$repository" ||
    refuse "the image could not be built, and nothing was changed; without internet, bring it as an archive: --image ARCHIVE"
  new_image=$(<"$work/id")
  new_image=${new_image#sha256:}
}

load_image() {
  local loaded
  loaded=$(podman load --input "$image") || refuse "podman cannot load $image, and nothing was changed"
  new_image=$(image_id "$(sed --quiet 's/^Loaded image[^:]*: *//p' <<<"$loaded" | tail --lines=1 | sed 's/.*,//')")
  # The archive may have brought the name along; it moves only when everything else does.
  [[ $new_image == "$old_image" ]] || name_image latest "$old_image"
}

# Gives a tag back to the image that had it, or takes it off where none had it.
name_image() { # TAG ID
  if [[ -n $2 ]]; then
    podman tag "$2" "$IMAGE:$1"
  else
    podman untag "$IMAGE:$1" "$IMAGE:$1" 2>/dev/null || true
  fi
}

take_image() {
  podman image exists "$image" || act "pull $image" podman pull --quiet "$image" ||
    refuse "podman has no image $image and cannot pull it: see podman images"
  new_image=$(image_id "$image")
}

# That it is ours, and made for this machine's processor.
check_image() {
  local answer
  answer=$(podman run --rm --pull=never --network=none --cap-drop=all "${like_units[@]}" --entrypoint=sh "$new_image" \
    -c 'command -v whisper-proxy whisper-gate' 2>&1) ||
    refuse "the image ${image:-that was built} is not one of whisper-proxy, or does not run on this machine: ${answer:-it has no whisper-proxy and whisper-gate}"
}

tag_image() {
  $dry_run || printf '%s\n' "$image_changes" "$old_image" "$old_previous" >"$state/pending/image"
  [[ $image_changes != false ]] || return 0
  [[ -z $old_image ]] || act "keep the image of before as $IMAGE:previous" podman tag "$old_image" "$IMAGE:previous"
  act "make the new image $IMAGE:latest" podman tag "$new_image" "$IMAGE:latest"
}

restore_image() { # FOLDER
  local before
  [[ -f $1/image ]] || return 0
  mapfile -t before <"$1/image"
  [[ ${before[0]} == true ]] || return 0
  name_image latest "${before[1]}" ||
    printf 'quadlets/install: the image of before (%s) is gone, so %s:latest stays\n' "${before[1]}" "$IMAGE" >&2
  name_image previous "${before[2]}" 2>/dev/null || true
}

# --- services

state_of() { "${manager[@]}" show --property=ActiveState --value "$1" 2>/dev/null || true; }

is_up() { [[ $(state_of "$1") != @(inactive|failed|) ]]; }

# What has to be restarted is written down, since --no-start, or a failure, puts it off.
declare -A stale=()
read_stale() {
  local service
  [[ -f $state/stale ]] || return 0
  while read -r service; do stale[$service]=true; done <"$state/stale"
}

note_stale() {
  read_stale
  [[ $image_changes == false ]] || stale[whisper-proxy.service]=true stale[whisper-gate.service]=true
  ! is_written whisper-proxy.container || stale[whisper-proxy.service]=true
  ! is_written whisper-proxy/whisper-proxy.env || stale[whisper-proxy.service]=true
  ! is_written whisper-gate.container || stale[whisper-gate.service]=true
  ! is_written whisper-seccomp.json || stale[whisper.service]=true
}

save_stale() {
  ! $dry_run || return 0
  rm --force -- "$state/stale"
  ((${#stale[@]} == 0)) || printf '%s\n' "${!stale[@]}" >"$state/stale"
}

warn_of_end() {
  [[ $(state_of whisper.service) == active ]] || return 0
  if vanishes whisper-gate.container; then
    warn "whisper is running, and ends with its gate, which goes"
  elif ! $no_start && [[ -n ${stale[whisper-gate.service]-}${stale[whisper.service]-} ]]; then
    warn "whisper is running and is going to be restarted, and a transcription that is running is lost; with --no-start you choose the moment"
  fi
}

start() {
  local service
  if [[ -n $(missing_links) ]]; then
    tell_links
    return
  fi
  # Not even the units are read: that alone would end a whisper that was not bound to the gate before.
  if $no_start; then
    say "nothing was started or restarted; to do it, run this again without --no-start"
    return
  fi
  act "let systemd read the units" "${manager[@]}" daemon-reload
  make_networks refuse
  for service in "${services[@]}"; do start_service "$service"; done
  start_whisper
  act "wait until whisper-proxy is healthy" wait_until_healthy
  say "the log: ${journal[*]} -u whisper-proxy -o cat"
  say "whether whisper is locked in: $(again_as verify)"
  [[ -z $next_step ]] || say "next: $next_step"
}

# The networks that the services need. The name of a new network's bridge is known only when the network is there.
make_networks() { # refuse|warn: of a bridge that cannot be deleted
  local name names=(visp-net)
  [[ ${services[*]} != *whisper-gate* ]] || names=(whisper-net visp-net)
  for name in "${names[@]}"; do
    [[ $name == visp-net && ${plan[visp-net.network]-theirs} == theirs ]] || mend_network "$name"
  done
  has_bridges || return 0
  mend_bridges "$1"
  for name in "${names[@]}"; do
    [[ -z $(elsewhere "$name.network") ]] || podman network exists "systemd-$name" ||
      act "start $name-network.service" try_to start "$name-network.service"
  done
  $dry_run || mend_bridges "$1"
}

# `podman network prune` takes a network from under its service, which then would not make it anew.
mend_network() { # NAME
  if ! podman network exists "systemd-$1" && is_up "$1-network.service"; then
    act "restart $1-network.service, since podman's network systemd-$1 is gone" try_to restart "$1-network.service"
  fi
}

start_service() { # SERVICE
  local how=start
  if ! is_up "$1"; then
    # A whisper that starts with its gate has the profile that is there.
    [[ $1 != whisper-gate.service ]] || unset "stale[whisper.service]"
  elif [[ -n ${stale[$1]-} ]]; then
    how=restart
  fi
  act "$how $1" try_to "$how" "$1"
}

# A first try may fail for a passing reason (CNI, when two containers come at once), and systemd goes on
# trying. Whether it gets there is seen when all is waited for.
try_to() { # start|restart SERVICE
  "${manager[@]}" "$1" "$2" || [[ $(state_of "$2") == activating ]] || start_failed "$2"
  # With the gate, whisper starts anew.
  [[ "$1 $2" != "restart whisper-gate.service" ]] || unset "stale[whisper.service]"
  unset "stale[$2]"
  save_stale
}

start_failed() { # SERVICE
  local remedy
  printf 'quadlets/install: %s did not start. The end of its log:\n' "$1" >&2
  log_of "$1" | tee "$work/log" >&2
  remedy=$(bridge_remedy <"$work/log")
  [[ -z $remedy ]] || refuse "$remedy"$'\n'"Then run this again"
  [[ $command == install ]] || refuse "the files and the image are those of before; see the log for what is wrong"
  # Where this run changed nothing, rollback would undo an older one.
  $has_changed || refuse "correct what the log names, and run this again"
  refuse "to go back to what was there before: $(again_as rollback)"
}

# Without podman's own events, which fill the journal whenever a container does not start.
log_of() { # SERVICE
  "${journal[@]}" --unit="$1" --lines=200 --output=cat --no-pager | grep --invert-match --fixed-strings -e '(image=' -e conmon | tail --lines=15 ||
    podman logs --tail 15 "${1%.service}" || true
}

again_as() { # COMMAND
  printf '%q %s' "$0" "$1"
  ! $system || printf ' --system'
}

# It may take its time to load a model or to pull an image, so nobody waits for it.
start_whisper() {
  local unit
  unit=$(whisper_unit)
  if [[ -z $unit ]]; then
    next_step="put your image and folders into $target/$EXAMPLE, rename it to whisper.container, and run this again; until then, whisper is not started"
  elif is_unfilled "$unit"; then
    next_step="put your image into $unit, which has Image=$(setting "$unit" Image), and run this again; until then, whisper cannot start"
  elif runs_unlocked; then
    warn "whisper runs on the network that its unit had before, and is restarted now"
    act "restart whisper.service" try_to_soon restart whisper.service
  elif [[ -n ${stale[whisper.service]-} ]] && is_up whisper.service; then
    act "restart whisper.service, for the new seccomp profile" try_to_soon restart whisper.service
  else
    act "start whisper.service" try_to_soon start whisper.service
  fi
}

try_to_soon() { # start|restart SERVICE
  local was_up=false
  if [[ $1 == start ]] && is_up "$2"; then was_up=true; fi
  "${manager[@]}" --no-block "$1" "$2" || start_failed "$2"
  $was_up || say "whisper may take its time to start: ${journal[*]} -u whisper -f"
  unset "stale[$2]"
  save_stale
}

# Without a unit of whisper's, the name that one would have.
container_of_whisper() {
  local unit name=whisper
  unit=$(whisper_unit)
  [[ -z $unit ]] || name=$(setting "$unit" ContainerName)
  printf %s "${name:-systemd-whisper}"
}

# Of a gate that runs.
gate_id() {
  podman inspect --type=container --format '{{if .State.Running}}{{.Id}}{{end}}' whisper-gate 2>/dev/null || true
}

# Whether a whisper runs that was started before its unit was locked.
runs_unlocked() {
  local mode
  mode=$(podman inspect --type=container --format '{{if .State.Running}}{{.HostConfig.NetworkMode}}{{end}}' "$(container_of_whisper)" 2>/dev/null) || return 1
  [[ -n $mode && $mode != none ]] && { has_no_network || [[ $mode != "container:$(gate_id)" ]]; }
}

wait_until_healthy() {
  local answer='' wanting tries end=$((SECONDS + GIVE_UP))
  for ((tries = 0; tries < GIVE_UP && SECONDS <= end; tries++)); do
    wanting=whisper-proxy.service
    if answer=$(podman exec whisper-proxy whisper-proxy health 2>&1); then
      if [[ ${services[*]} != *whisper-gate* ]]; then
        say "whisper-proxy is healthy"
        return
      elif [[ $(state_of whisper-gate.service) == active ]]; then
        say "whisper-proxy is healthy, and whisper-gate is locked"
        return
      fi
      wanting=whisper-gate.service
    fi
    # 78, a fault in the configuration: systemd does not try again.
    [[ $(state_of "$wanting") != failed ]] || break
    sleep 1
  done
  if [[ $wanting == whisper-gate.service ]]; then
    printf 'quadlets/install: whisper-gate is not locked: its service is %s\n' "$(state_of "$wanting")" >&2
  else
    printf 'quadlets/install: whisper-proxy is not healthy: %s\n' "$answer" >&2
  fi
  start_failed "$wanting"
}
