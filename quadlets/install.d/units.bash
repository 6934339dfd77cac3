# shellcheck shell=bash disable=SC2154 # its variables are those of quadlets/install
# whisper's own unit, the links of --into, and whether podman makes services of it all.

# The whisper.container that counts; nothing if there is none.
whisper_unit() { elsewhere whisper.container; }

has_no_network() {
  local unit
  unit=$(whisper_unit)
  [[ -n $unit && $(setting "$unit" Network) == none ]]
}

# Later versions of quadlet read these after the unit, and they can change anything in it.
drop_ins() { # UNIT
  local file
  for file in "$1".d/*.conf "${1%/*}"/container.d/*.conf; do
    [[ ! -f $file ]] || printf '%s\0' "$file"
  done
}

unit_awk() { awk -f "$here/install.d/unlocking.awk" -f "$here/install.d/whisper-unit.awk" "$@"; }

faults_of() { unit_awk -v mode=faults -- "$@"; } # FILE…

# A whisper that is not locked in would make everything else pointless, so nothing is begun.
check_whisper() {
  local unit file faults left with=() options=()
  unit=$(whisper_unit)
  [[ -n $unit ]] || return 0
  mapfile -d '' -t with < <(drop_ins "$unit")
  faults=$(faults_of "$unit" "${with[@]}")
  [[ -n $faults ]] || return 0
  if [[ -z $(faults_of "$unit") ]]; then
    refuse "a drop-in of $unit (${with[*]}) unlocks whisper; nothing was changed. Take out of it:"$'\n'"$faults"
  fi
  file=$(readlink -f -- "$unit")
  grep --quiet '^[ \t]*\[Container\]' "$file" || refuse "$file has no [Container] section: move it away"
  [[ $(setting "$file" Network) != none ]] || options=(-v alone=1)
  unit_awk -v mode=lock "${options[@]}" -- "$here/whisper.container" "$file" >"$work/locked"
  diff --unified --label "$file" --label "$file" -- "$file" "$work/locked" || true
  left=$(faults_of "$work/locked")
  [[ -z $left ]] || refuse "whisper would not be locked in by $file, and what is above does not mend all of it, so nothing was changed. Change yourself:"$'\n'"$left"
  faults=${faults//$'\n'/$'\n'  }
  refuse "whisper would not be locked in by $file, so nothing was changed:"$'\n'"  $faults"$'\n'"What is above locks it. Look at it, then apply it, and install:
  $again--dry-run 2>/dev/null | patch --backup --suffix=.old $(printf %q "$file")
  $again"
}

# The same, of what podman's generator makes of it all for this user: drop-ins of other folders, and files that
# take the place of others, count too. Nothing is changed by that, so a dry run has it as well.
check_made_whisper() {
  local unit faults folders=''
  unit=$(whisper_unit)
  # With --into, before the links are there, nothing else is seen of it.
  [[ ! -f $target/whisper.container || -e $units/whisper.container ]] || folders=$target
  generate "$folders"
  if ! is_made whisper.service; then
    [[ -z $unit ]] || refuse_unmade whisper.service
    return 0
  fi
  faults=$(FOLDERS=$units$'\n'$target awk -f "$here/install.d/unlocking.awk" -f "$here/install.d/made-service.awk" -- "$work/made")
  [[ -z $faults ]] || refuse "podman would run whisper unlocked, so nothing was changed: what its generator makes of ${unit:-whisper.container}, with all drop-ins, has" \
    "what is below. Look for it there and in whisper.container.d and container.d of $units, ${XDG_RUNTIME_DIR-/run}/containers/systemd and /etc/containers/systemd:"$'\n'"$faults"
}

# The file that whisper's unit names, as far as its place can be seen.
profile_of_unit() {
  local unit path
  unit=$(whisper_unit)
  [[ -n $unit ]] || return 0
  path=$(setting "$unit" SeccompProfile)
  path=${path//%E/${units%/containers/systemd}}
  printf %s "${path//%h/${HOME-}}"
}

# By its name alone any file would pass. It may have been changed on purpose, so that is only said.
check_profile() { # PATH
  [[ -f $1 && -r $1 ]] || return 0
  if is_written whisper-seccomp.json && [[ $1 -ef $target/whisper-seccomp.json ]]; then return; fi
  [[ $(sum "$1") == "$(sum "$here/whisper-seccomp.json")" ]] ||
    warn "whisper's seccomp profile is not the one of this version; unless you changed it, look: diff -u $(printf %q "$here/whisper-seccomp.json") $(printf %q "$1")"
}

# Whether whisper's unit still has the image that stands for yours.
is_unfilled() { # FILE
  [[ $(setting "$1" Image) == localhost/replace-with-* ]]
}

# --- --into: files in one folder, links to them in another

# What the units folder has to have of the target.
linked_names() {
  printf '%s\n' "${OURS[@]%/*}" | sort --unique
  [[ ${plan[visp-net.network]} == theirs ]] || echo visp-net.network
  [[ ! -f $target/whisper.container ]] || echo whisper.container
}

missing_links() {
  local name
  [[ ! $units -ef $target && $units != "$target" ]] || return 0
  while read -r name; do
    # Not -ef: after a rollback, a link of ours may lead to nothing.
    [[ -L $units/$name && $(readlink -m -- "$units/$name") == "$(readlink -m -- "$target/$name")" ]] || echo "$name"
  done < <(linked_names)
}

check_links() {
  local name
  while read -r name; do
    [[ ! -e $units/$name && ! -L $units/$name ]] ||
      refuse "$units/$name is there and is not a link to $target/$name: move it away"
  done < <(missing_links)
}

tell_links() {
  local name
  say "podman looks in $units; what it needs there, before you run this again:"
  [[ -d $units ]] || say "  mkdir -p $(printf %q "$units")"
  while read -r name; do
    say "  ln -s $(printf %q "$target/$name") $(printf %q "$units/")"
  done < <(missing_links)
}

# --- what the generator makes of it

# Runs the generator as systemd would, or over given folders, into $work/made.
generate() { # FOLDERS
  local flags=(-dryrun) alone=(env --unset=QUADLET_UNIT_DIRS)
  $system || flags+=(-user)
  [[ -z $1 ]] || alone=(env QUADLET_UNIT_DIRS="$1")
  "${alone[@]}" "$(generator)" "${flags[@]}" >"$work/made" 2>"$work/generator" || true
}

is_made() { grep --quiet --fixed-strings --line-regexp -- "---$1---" "$work/made"; } # SERVICE

# With what the generator itself says of that file, if it says anything; it says much else.
refuse_unmade() { # SERVICE
  local name=${1%.service}.container why
  [[ $1 != *-network.service ]] || name=${1%-network.service}.network
  why=$(grep --invert-match 'Loading source unit file' "$work/generator" | grep --fixed-strings -- "$name" || true)
  refuse "podman's generator makes no $1 of $name: ${why:-$(tail --lines=3 "$work/generator")}"
}

# A unit with a key that this podman does not know is simply not there, and nobody is told.
check_units_are_made() {
  local service made_of=("${services[@]}") folders=''
  [[ ${services[*]} != *whisper-gate* ]] || made_of+=(whisper-net-network.service)
  [[ ${plan[visp-net.network]} == theirs ]] || made_of+=(visp-net-network.service)
  if [[ -n $(missing_links) ]]; then
    folders=$work/units
    gather_units "$folders"
  fi
  generate "$folders"
  for service in "${made_of[@]}"; do
    is_made "$service" || refuse_unmade "$service"
  done
}

# Ours, and the visp-net that they join, in one folder: the generator follows no name out of those it is given.
gather_units() { # FOLDER
  local name file
  mkdir -- "$1"
  for name in "${OURS[@]}" visp-net.network; do
    [[ $name == *.container || $name == *.network ]] || continue
    file=$target/$name
    [[ -f $file ]] || file=$(elsewhere "$name")
    [[ -z $file ]] || cp -- "$file" "$1"
  done
}

# --- what there is to say

tell_what_was_kept() {
  local name path
  for name in "${OURS[@]}"; do
    path=$target/$name
    case ${plan[$name]} in
      kept) say "$path is yours and stays as it is" ;;
      beside) say "$path is yours and stays as it is; ours is new, see: diff -u $(printf %q "$path") $(printf %q "$path.new")" ;;
    esac
  done
}
