# shellcheck shell=bash disable=SC2154 # its variables are those of quadlets/install
# What is looked at before anything is changed.

at_least() { # HAVE WANT
  [[ $(printf '%s\n%s\n' "$1" "$2" | sort --version-sort | sed --quiet 1p) == "$2" ]]
}

check_versions() {
  local tool podman systemd
  for tool in podman systemctl awk sed diff sha256sum; do
    type -P "$tool" >/dev/null || refuse "$tool is not in PATH: install it first"
  done
  podman=$(podman version --format '{{.Client.Version}}') ||
    refuse "podman does not work for this user: see what \`podman version\` says"
  generator >/dev/null ||
    refuse "podman $podman has no quadlet generator here, so it cannot read these files: podman 4.6.2 or later is needed"
  at_least "$podman" 4.6.2 ||
    warn "podman is $podman, and the oldest that these files were tried with is 4.6.2"
  systemd=$(systemctl --version | sed --quiet '1s/^systemd \([0-9]*\).*/\1/p')
  at_least "${systemd:-0}" 249 ||
    refuse "systemd is ${systemd:-of an unknown version}, and whisper-gate needs 249 or later (Upholds=)"
}

# Podman's quadlet generator, wherever the distribution has it.
generator() {
  local kind=user path
  ! $system || kind=system
  for path in "$(type -P quadlet)" /usr/libexec/podman/quadlet /usr/lib/podman/quadlet \
    "/usr/lib/systemd/$kind-generators/podman-$kind-generator"; do
    [[ ! -x $path ]] || { printf %s "$path" && return; }
  done
  return 1
}

# After su or sudo there often is no way to the user's systemd.
check_session() {
  "${manager[@]}" show-environment >/dev/null 2>&1 ||
    refuse "\`${manager[*]}\` does not answer: log in as this user itself (machinectl shell $(id -un)@), or set XDG_RUNTIME_DIR=/run/user/$(id -u)"
}

# The first symbolic link on the way to a folder. What is above the home folder is the system's affair.
link_above() {
  local path=$1
  while [[ $path != / && $path != "${HOME-}" ]]; do
    [[ ! -L $path ]] || { printf %s "$path" && return; }
    path=$(dirname -- "$path")
  done
  return 1
}

check_symlinks() {
  local link name path
  ! link=$(link_above "$state") ||
    refuse "$link is a symbolic link, and nothing is written through one: set XDG_STATE_HOME to a folder that is none"
  ! link=$(link_above "$target") ||
    refuse "$link is a symbolic link, and nothing is written through one: use --into $(printf %q "$(readlink -m -- "$target")")"
  for name in "${OURS[@]}" whisper-proxy; do
    path=$target/$name
    [[ ! -L $path ]] || refuse_link "$path"
    [[ ! -L $path.new ]] || refuse_link "$path.new"
  done
  # These two are only written where they are not there; a link that leads nowhere would be.
  for name in visp-net.network whisper.container whisper.container.example; do
    [[ ! -L $target/$name || -e $target/$name ]] || refuse "$target/$name is a symbolic link to nothing: remove it, or make what it points to"
  done
}

refuse_link() {
  local folder
  folder=$(dirname -- "$(readlink -m -- "$1")")
  [[ ${1#"$target"/} != */* ]] || folder=$(dirname -- "$folder")
  refuse "$1 is a symbolic link, and nothing is written through one: use --into $(printf %q "$folder")"
}

check_linger() {
  local user
  ! $system || return 0
  user=$(id -un)
  [[ ! -e /var/lib/systemd/linger/$user ]] || return 0
  [[ $(loginctl show-user "$user" --property=Linger 2>/dev/null) != Linger=yes ]] || return 0
  warn "the services of $user end with the last login and do not begin at boot: run loginctl enable-linger $user"
}

# In a rootless container the program is another user than the owner of the file. One that is replaced gets its mode.
check_modes() {
  local folder=$target/whisper-proxy file=$target/whisper-proxy/whisper-proxy.env remedies=()
  grep --quiet '^Volume=.*:/etc/whisper-proxy' "$(planned whisper-proxy.container)" || return 0
  if [[ -d $folder ]] && ! others_may "$folder" 5; then remedies+=("chmod 755 $(printf %q "$folder")"); fi
  if [[ -f $file ]] && ! is_written whisper-proxy/whisper-proxy.env && ! others_may "$file" 4; then
    remedies+=("chmod 644 $(printf %q "$file")")
  fi
  ((${#remedies[@]} == 0)) ||
    refuse "whisper-proxy, which is another user in its container, could not read $file: run ${remedies[0]}${remedies[1]+ && ${remedies[1]}}"
}

others_may() { # PATH BITS
  local mode
  mode=$(stat --format=%a -- "$1")
  (((${mode: -1} & $2) == $2))
}

# --- the network

# The same for networks of CNI and of netavark, since podman 4.
NETWORK_FORMAT='{{range .Subnets}}Subnet={{.Subnet}} Gateway={{.Gateway}} {{with .LeaseRange}}IPRange={{.StartIP}}-{{.EndIP}} {{end}}{{end}}DisableDNS={{not .DNSEnabled}} Internal={{.Internal}}'

# The last value of a key: quadlet takes that of several.
setting() { # FILE KEY
  sed --quiet "s/^$2[ \t]*=[ \t]*//p" "$1" | tail --lines=1 | tr --delete '\r'
}

number() { # of an IPv4 address
  local IFS=. parts
  read -ra parts <<<"$1"
  echo $(((parts[0] << 24) + (parts[1] << 16) + (parts[2] << 8) + parts[3]))
}

is_within() { # ADDRESS SUBNET
  local mask=$((0xffffffff << (32 - ${2#*/}) & 0xffffffff))
  (((($(number "$1") ^ $(number "${2%/*}")) & mask) == 0))
}

# Someone's own whisper-net.network is kept, but then it has to fit the addresses of the containers.
check_addresses() {
  local network subnet name address
  network=$(planned whisper-net.network)
  subnet=$(setting "$network" Subnet)
  for name in whisper-proxy.container whisper-gate.container; do
    address=$(address_in "$name")
    if [[ $subnet != *.*.*.*/* || -z $address ]] || ! is_within "$address" "$subnet"; then
      refuse "$target/whisper-net.network has Subnet=${subnet:-(none)}, and $name the address ${address:-(none)} on it:" \
        "move the first away, so that ours (Subnet=$(setting "$here/whisper-net.network" Subnet)) takes its place (mv $target/whisper-net.network $target/whisper-net.network.old), or make the two fit"
    fi
  done
  check_address PROXY_ADDRESS whisper-proxy
  check_address WHISPER_ADDRESS whisper-gate
}

# On whisper-net.
address_in() { # NAME
  sed --quiet 's/^Network=whisper-net\.network:.*ip=\([0-9.]*\).*/\1/p' "$(planned "$1")"
}

# The gate's rules name both addresses.
check_address() { # VARIABLE NAME
  local told address
  told=$(sed --quiet "s/^Environment=\(.*[^A-Z_]\)\{0,1\}$1=\([0-9.]*\).*/\2/p" "$(planned whisper-gate.container)" | tail --lines=1)
  address=$(address_in "$2.container")
  [[ -z $told || $told == "$address" ]] ||
    refuse "$1=$told in whisper-gate.container is not $2's address, ip=$address in $2.container: make the two the same"
}

# What the site's own units say that does not go with a locked whisper: podman's units, systemd's, and drop-ins of both.
tell_neighbours() {
  local files=() line
  mapfile -d '' -t files < <(find -L "$units" "${units%/containers/systemd}/systemd/$($system && echo system || echo user)" -type f \
    ! -path '*.wants/*' ! -path '*.requires/*' '(' -name '*.container' -o -name '*.pod' -o -name '*.kube' -o -name '*.service' -o -name '*.target' -o -name '*.conf' ')' -print0 2>/dev/null)
  ((${#files[@]} == 0)) || while read -r line; do
    warn "$line"
  done < <(awk -v clients="$(ingress_clients)" -f "$here/install.d/unlocking.awk" -f "$here/install.d/neighbours.awk" -- "${files[@]}")
}

# Whom ingress lets in by name.
ingress_clients() {
  cat -- "$(planned whisper-proxy.container)" "$(planned whisper-proxy/whisper-proxy.env)" 2>/dev/null |
    sed --quiet 's/^\(Environment=\(.*[^A-Z_]\)\{0,1\}\)\{0,1\}INGRESS_CLIENTS=["'"'"']*\([^"'"'"' ]*\).*/\3/p' | tail --lines=1 |
    tr ',' '\n' | grep '^[A-Za-z][A-Za-z0-9_.-]*$' | tr '\n' ' ' | sed 's/ $//'
}

# podman never changes a network that exists, and to replace it ends what is on it.
check_network() {
  local wanted there network gateway dns=false internal=false
  there=$(podman network inspect --format "$NETWORK_FORMAT" systemd-whisper-net 2>/dev/null) || return 0
  network=$(planned whisper-net.network)
  gateway=$(setting "$network" Gateway)
  [[ $(setting "$network" DisableDNS) != @(true|yes|on|1) ]] || dns=true
  [[ $(setting "$network" Internal) != @(true|yes|on|1) ]] || internal=true
  # A range is written in several ways, so one that the file has is taken for the one that is there.
  [[ -z $(setting "$network" IPRange) ]] || there=${there/IPRange=*DisableDNS/DisableDNS}
  # Where the file leaves it to podman, whatever it took is right.
  [[ -n $gateway ]] || gateway=$(sed --quiet 's/.*Gateway=\([^ ]*\).*/\1/p' <<<"$there")
  wanted="Subnet=$(setting "$network" Subnet) Gateway=$gateway DisableDNS=$dns Internal=$internal"
  [[ $there != "$wanted" ]] || return 0
  refuse "podman's network systemd-whisper-net has $there, not $wanted, and podman changes no network that exists. What replaces it, and ends the containers that are on it:

$(off_the_network)
  podman network rm systemd-whisper-net

Then run this again, and after it start again what else was stopped: session-manager, for one."
}

# Commands that take every container off systemd-whisper-net: podman removes no network that one of them has.
off_the_network() {
  local service name services=() others=()
  # The gate first: as long as it is there, it brings whisper back.
  for service in whisper-gate whisper whisper-proxy whisper-net-network; do
    ! is_up "$service.service" || services+=("$service.service")
  done
  while read -r name; do
    service=$(podman inspect --type=container --format '{{index .Config.Labels "PODMAN_SYSTEMD_UNIT"}}' "$name" 2>/dev/null) || continue
    if [[ -z $service ]] || ! is_up "$service"; then
      others+=("$name")
    elif [[ " ${services[*]} " != *" $service "* ]]; then
      services+=("$service")
    fi
  done < <(podman ps --all --filter network=systemd-whisper-net --format '{{.Names}}')
  say "  ${manager[*]} stop ${services[*]:-whisper-net-network.service}"
  ((${#others[@]} == 0)) || say "  podman rm --force ${others[*]}"
}
