# shellcheck shell=bash disable=SC2154 # its variables are those of quadlets/install
# Which files go where, what happens to those that are there already, and the way back.
#
# $state/manifest   a line for each file: the sum of what we brought last, whether we wrote it, its path
# $state/backup     what the last install replaced; $state/pending: the same, while an install runs
# $state/stale      services whose files or image changed since they were started

# Upgraded as long as nobody has edited them.
readonly EVERY=(whisper-net.network whisper-proxy.container whisper-gate.container whisper-seccomp.json whisper-proxy/whisper-proxy.env)
readonly EXAMPLE=whisper.container.example
OURS=("${EVERY[@]}") services=(whisper-proxy.service whisper-gate.service) proxy_source=whisper-proxy.container

# shellcheck disable=SC2034 # services: in services.bash
# A whisper without any network needs no gate and no whisper-net, and a proxy that speaks to its socket.
choose() {
  local name path
  has_no_network || return 0
  OURS=(whisper-proxy.container whisper-seccomp.json whisper-proxy/whisper-proxy.env) services=(whisper-proxy.service)
  proxy_source=no-network/whisper-proxy.container.example
  for name in whisper-gate.container whisper-net.network; do
    path=$(elsewhere "$name")
    [[ -z $path ]] || warn "whisper has no network, so $path is of no use: stop its service and remove it"
  done
}

# What we would bring, as it would look at its place.
stage() {
  local name source
  mkdir -p "$work/ours/whisper-proxy"
  for name in "${OURS[@]}" visp-net.network whisper.container; do
    source=$here/$name
    [[ $name != whisper-proxy.container ]] || source=$here/$proxy_source
    [[ -f $source ]] || refuse "$source is missing: get a complete copy of whisper-proxy"
    cp -- "$source" "$work/ours/$name"
  done
  mv -- "$work/ours/whisper.container" "$work/ours/$EXAMPLE"
  if is_made_by_hand visp-net; then
    warn "podman's network visp-net was made without a quadlet: whisper-proxy.container joins it as Network=visp-net"
    sed --in-place 's/^Network=visp-net\.network:/Network=visp-net:/' "$work/ours/whisper-proxy.container"
  fi
}

# Whether podman has a network of this very name, with no file that would make systemd-NAME.
is_made_by_hand() {
  [[ -z $(elsewhere "$1.network") ]] && podman network exists "$1"
}

# A file of this name where the generator looks or, with --into, will look. Folders of other users are not its own.
elsewhere() { # NAME
  local folder users=/etc/containers/systemd/users others not
  others=$users not=(-path "$users/[0-9]*" -not -path "$users/$(id -u)" -not -path "$users/$(id -u)/*")
  if $system; then others=/usr/share/containers/systemd not=(-path "$users"); fi
  {
    for folder in "$units" "$others"; do
      find -L "$folder" '(' "${not[@]}" ')' -prune -o -type f -name "$1" -print -quit 2>/dev/null || true
    done
    [[ ! -f $target/$1 ]] || echo "$target/$1"
  } | sed --quiet 1p
}

sum() { sha256sum <"$1" | cut --delimiter=' ' --fields=1; }

# What the manifest knows of a path: `sum`, or `writer` (ours, theirs). Nothing if it does not know it.
recorded() { # PATH FIELD
  local sum writer path
  [[ -f $state/manifest ]] || return 0
  # shellcheck disable=SC2034 # ${!2} is one of them
  while IFS=$'\t' read -r sum writer path; do
    [[ $path != "$1" ]] || printf %s "${!2}"
  done <"$state/manifest"
}

# What happens to each file, into `plan`:
#   create, replace   ours is written
#   same              it is what we would bring
#   kept, beside      somebody's own; ours has not changed since, or it has and comes beside it as NAME.new
#   theirs            somebody's own, and not ours to bring
declare -A plan=()
plan() {
  local name
  for name in "${OURS[@]}"; do plan[$name]=$(fate "$name"); done
  plan[visp-net.network]=theirs plan[$EXAMPLE]=theirs
  if [[ -e $target/visp-net.network && $(recorded "$target/visp-net.network" writer) == ours ]]; then
    plan[visp-net.network]=same
  elif [[ -z $(elsewhere visp-net.network) ]] && ! podman network exists visp-net; then
    plan[visp-net.network]=create
  fi
  [[ -n $(whisper_unit) ]] || plan[$EXAMPLE]=$(fate "$EXAMPLE")
  # It is there to be edited: a newer one beside it would only be in the way.
  [[ ${plan[$EXAMPLE]} != beside ]] || plan[$EXAMPLE]=kept
}

fate() { # NAME
  local path=$target/$1 ours theirs known
  [[ -e $path ]] || { echo create && return; }
  [[ -f $path ]] || refuse "$path is not a file: move it away"
  ours=$(sum "$work/ours/$1") theirs=$(sum "$path") known=$(recorded "$path" sum)
  if [[ $theirs == "$ours" ]]; then
    echo same
  elif [[ $theirs == "$known" ]]; then
    echo replace
  elif [[ $ours == "$known" ]]; then
    echo kept
  else
    echo beside
  fi
}

# The file as it will be.
planned() { # NAME
  case ${plan[$1]} in
    create | replace) printf %s "$work/ours/$1" ;;
    *) printf %s "$target/$1" ;;
  esac
}

is_written() { [[ ${plan[$1]-} == @(create|replace) ]]; } # NAME

has_changes() {
  local name
  [[ $image_changes == false ]] || return 0
  for name in "${!plan[@]}"; do
    [[ ${plan[$name]} != @(create|replace|beside) ]] || return 0
  done
  return 1
}

place_all() {
  local name
  for name in "${OURS[@]}" visp-net.network "$EXAMPLE"; do
    case ${plan[$name]} in
      create) act "write $target/$name" place "$work/ours/$name" "$target/$name" ;;
      replace) act "replace $target/$name" place "$work/ours/$name" "$target/$name" ;;
      beside) act "write $target/$name.new" place "$work/ours/$name" "$target/$name.new" ;;
    esac
  done
}

# Puts a file in its place at once and whole; whatever it finds there is never written into.
place() { # FILE PATH
  local folder temporary
  folder=$(dirname -- "$2")
  ! $in_transaction || remember "$2"
  if [[ ! -d $folder ]]; then
    mkdir -p -- "$folder"
    # Whatever the umask is: the container's user has to get in.
    [[ $folder != */whisper-proxy || $folder == "$state" ]] || chmod 755 -- "$folder"
  fi
  temporary=$(mktemp "$folder/.whisper-proxy.XXXXXX")
  cp -- "$1" "$temporary"
  chmod "${3:-644}" -- "$temporary"
  mv --no-target-directory -- "$temporary" "$2"
}

# --- the way back

make_state() {
  [[ -d $state ]] || { mkdir --parents -- "$state" && chmod 700 -- "$state"; }
}

begin() {
  make_state
  mkdir -- "$state/pending"
  : >"$state/pending/files"
  in_transaction=true
}

remember() { # PATH
  local kept=-
  if [[ -e $1 ]]; then
    kept=$(wc --lines <"$state/pending/files")
    cp --preserve=mode,timestamps -- "$1" "$state/pending/$kept"
  fi
  printf '%s\t%s\n' "$kept" "$1" >>"$state/pending/files"
}

commit() {
  record
  rm --recursive --force -- "$state/backup"
  mv -- "$state/pending" "$state/backup"
  in_transaction=false
}

# What we brought, for the next install to see what was edited since.
record() {
  local name writer path brought
  make_state
  for name in "${EVERY[@]}" visp-net.network "$EXAMPLE"; do
    path=$target/$name writer=$(recorded "$path" writer) brought=$(recorded "$path" sum)
    [[ ${plan[$name]-} != @(create|replace|same) ]] || writer=ours
    [[ ${plan[$name]-theirs} == theirs ]] || brought=$(sum "$work/ours/$name")
    [[ -z $brought ]] || printf '%s\t%s\t%s\n' "$brought" "${writer:-theirs}" "$path"
  done >"$work/manifest"
  cmp --silent -- "$work/manifest" "$state/manifest" || place "$work/manifest" "$state/manifest"
}

# Puts back what a folder (pending, backup) remembers. Who calls it as a condition has no `set -e` in here.
restore() { # FOLDER
  local kept path
  tac -- "$1/files" >"$work/back" || return
  while IFS=$'\t' read -r kept path; do
    if [[ $kept == - ]]; then
      rm --force -- "$path"
      [[ $path != */whisper-proxy/whisper-proxy.env || ! -d ${path%/*} ]] || rmdir --ignore-fail-on-non-empty -- "${path%/*}"
    else
      place "$1/$kept" "$path" "$(stat --format=%a -- "$1/$kept")" || return
    fi
  done <"$work/back"
  restore_image "$1"
}

finish() {
  local status=$?
  trap - EXIT
  if $in_transaction; then
    in_transaction=false
    if restore "$state/pending" && rm --recursive --force -- "$state/pending"; then
      printf 'quadlets/install: failed; everything is as it was before\n' >&2
    else
      printf 'quadlets/install: failed, and not everything could be put back: run this again, which does it first\n' >&2
    fi
  fi
  rm --recursive --force -- "$work"
  # Whatever status a tool failed with that nobody reckoned with.
  [[ $status == @(0|1|2|130|143) ]] || status=1
  exit "$status"
}

# An install that was cut off (the power, SIGKILL) could not clean up.
recover() {
  [[ -d $state/pending ]] || return 0
  act "put back what an install that was cut off had changed" cut_off
}

cut_off() {
  restore "$state/pending"
  rm --recursive --force -- "$state/pending"
}

roll_back() {
  local kept path
  # What was edited since is nobody's to throw away.
  while IFS=$'\t' read -r kept path; do
    ! is_edited "$path" || save "$path"
  done < <(grep --invert-match '\.new$' "$state/backup/files")
  restore "$state/backup"
  while IFS=$'\t' read -r kept path; do remove_dead_link "$path"; done <"$state/backup/files"
  rm --recursive --force -- "$state/backup"
}

# A link of --into whose file the way back took, or whose folder.
remove_dead_link() { # PATH
  local link
  for link in "$units/${1##*/}" "$units/whisper-proxy"; do
    if [[ -L $link && ! -e $link && $(readlink -m -- "$1")/ == "$(readlink -m -- "$link")"/* ]]; then
      act "remove the link $link" rm -- "$link"
    fi
  done
}

is_edited() { # PATH
  [[ -f $1 && $1 != "$state"/* && $(sum "$1") != "$(recorded "$1" sum)" ]]
}

save() { # PATH
  act "keep $1, which was edited, as $1.saved" mv --backup=numbered --no-target-directory -- "$1" "$1.saved"
}

# --- uninstall

remove_files() {
  local writer path
  while IFS=$'\t' read -r _ writer path; do
    case $path in
      */visp-net.network) [[ ! -e $path ]] || say "$path stays: others are on that network" ;;
      *.env) [[ ! -e $path ]] || say "$path stays: it is your configuration" ;;
      *) [[ $writer == theirs ]] || remove "$path" ;;
    esac
    [[ ! -f $path.new ]] || act "remove $path.new" rm -- "$path.new"
  done <"$state/manifest"
  [[ -z $(whisper_unit) ]] || say "$(whisper_unit) stays: it is yours$(has_no_network || echo '; without whisper-gate it does not start')"
  act "forget what was installed (remove $state)" rm --recursive --force -- "$state/manifest" "$state/backup" "$state/stale"
  $dry_run || rmdir --ignore-fail-on-non-empty -- "$state"
  act "reload the units" "${manager[@]}" daemon-reload
}

remove() { # PATH
  local link=$units/${1##*/}
  [[ -e $1 ]] || return 0
  if [[ -L $link && $link -ef $1 ]]; then act "remove the link $link" rm -- "$link"; fi
  if is_edited "$1"; then
    save "$1"
  else
    act "remove $1" rm -- "$1"
  fi
}
