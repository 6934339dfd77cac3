# shellcheck shell=bash disable=SC2154 # its variables are those of quadlets/install
# What Podman's CNI backend leaves behind when a network is removed.
#
# `podman network rm` deletes the network's bridge in the host's network namespace. The bridges of a rootless user are in
# another one, which lives as long as any container of that user. So the old bridge stays there, with its address. A new
# network then gets the same bridge name, and no container starts on it ("already has an IP address different from"); or it
# gets another name and the same subnet, and answers go to the old bridge. As root the same happens to a network whose file
# was deleted by hand.

# For each bridge a line: its name, how many interfaces are attached to it, its IPv4 addresses.
# shellcheck disable=SC2016 # it is for another shell
readonly LIST_BRIDGES='all=$(ip -oneline link show type bridge) || exit 1
for name in $(echo "$all" | sed "s/^[0-9]*: \([^:@]*\).*/\1/"); do
  echo $name $(ip -oneline link show master $name | grep -c .) $(ip -oneline -4 address show dev $name | sed "s/.* inet \([^ ]*\).*/\1/")
done'
# A container that fails to start is attached for a moment, and systemd starts it again and again.
# shellcheck disable=SC2016
readonly DELETE_BRIDGE='tries=20
while ip -oneline link show master "$1" | grep -q .; do
  tries=$((tries - 1))
  [ $tries -gt 0 ] || exit 1
  sleep 0.5
done
ip link delete "$1"'

# `podman unshare --rootless-netns` would make the namespace, with a slirp4netns that ends with this login.
has_bridges() {
  [[ $(podman info --format '{{.Host.NetworkBackend}}' 2>/dev/null) == cni ]] || return 1
  $system || compgen -G "${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/netns/rootless-netns-*" >/dev/null
}

# Runs a script of sh in the namespace of CNI's bridges.
beside_bridges() { # SCRIPT ARGUMENT…
  local enter=(podman unshare --rootless-netns)
  ! $system || enter=()
  PATH=$PATH:/usr/sbin:/sbin "${enter[@]}" sh -c "$1" sh "${@:2}" </dev/null
}

# Deletes the bridges of removed networks. One that a container is attached to is never deleted; where services are to
# start, that ends it, and where they are taken away, it is told.
mend_bridges() { # refuse|warn
  local networks bridges bridge attached addresses owner why users
  has_bridges || return 0
  if ! networks=$(podman network ls --format '{{.NetworkInterface}} {{.Driver}} {{.Name}} {{range .Subnets}}{{.Gateway}}/{{.Subnet}} {{end}}') ||
    ! bridges=$(beside_bridges "$LIST_BRIDGES"); then
    warn "whether a removed network left a bridge behind could not be seen: is ip (of iproute2) there?"
    return
  fi
  while read -r bridge attached addresses; do
    owner=$(owner_of "$bridge" <<<"$networks")
    # The host itself may have bridges of other kinds.
    [[ $system == false || $bridge == cni-podman* || $owner == systemd-whisper-net ]] || continue
    why=$(why_left_behind "$bridge" "$owner" "$addresses" <<<"$networks")
    if [[ -z $why || ($attached != 0 && ! $owner == @(systemd-whisper-net|?(systemd-)visp-net)) ]]; then continue; fi
    users=$(containers_in "$addresses")
    act "delete the bridge $bridge ($addresses): $why" beside_bridges "$DELETE_BRIDGE" "$bridge" ||
      "$1" "the bridge $bridge could not be deleted: $attached interfaces are attached to it. Stop the containers that use it (${users:-podman lists none}), and run this again"
  done <<<"$bridges"
}

# The network that a bridge belongs to; a dash for a network of another driver.
owner_of() { # BRIDGE <NETWORKS
  awk -v bridge="$1" '$1 == bridge { print $2 == "bridge" ? $3 : "-"; exit }'
}

# Nothing for a bridge that may stay. CNI looks at the first address alone: others may be somebody's own.
why_left_behind() { # BRIDGE OWNER ADDRESSES <NETWORKS
  local interface name subnets subnet address gateways=' ' overlapped=''
  while read -r interface _ name subnets; do
    for subnet in $subnets; do
      # Gateway and subnet: 10.89.0.1/10.89.0.0/24
      subnet=${subnet%%/*}/${subnet##*/}
      [[ $interface != "$1" ]] || { gateways+="$subnet " && continue; }
      for address in $3; do
        ! is_overlap "$address" "$subnet" || overlapped=$name
      done
    done
  done
  case $2 in
    -) ;;
    '')
      [[ -z $overlapped ]] || { echo "a removed network left it behind, and $overlapped has this subnet" && return; }
      [[ $1 != cni-podman* ]] || echo "a removed network left it behind"
      ;;
    *)
      if [[ -n $3 && $gateways != *" ${3%% *} "* ]]; then
        echo "a removed network left it behind, with an address that $2 does not have"
      elif [[ -n $overlapped ]]; then
        echo "a removed network left an address on it, in the subnet of $overlapped"
      fi
      ;;
  esac
}

# Who is attached, as far as podman knows.
containers_in() { # ADDRESSES
  local name addresses address subnet names=''
  while read -r name addresses; do
    for address in $addresses; do
      for subnet in $1; do
        ! is_overlap "$address/32" "$subnet" || names+=", $name"
      done
    done
  done < <(podman ps --quiet | xargs --no-run-if-empty podman inspect --type=container --format '{{.Name}}{{range .NetworkSettings.Networks}} {{.IPAddress}}{{end}}')
  printf %s "${names:2}"
}

is_overlap() { # ADDRESS/BITS GATEWAY/BITS
  [[ "$1 $2" == +([0-9.])/+([0-9])\ +([0-9.])/+([0-9]) ]] && { is_within "${1%/*}" "$2" || is_within "${2%/*}" "$1"; }
}

# How to delete by hand the bridge that keeps a container from starting; nothing if its log names none.
bridge_remedy() { # <LOG
  local bridge prefix='podman unshare --rootless-netns '
  ! $system || prefix=''
  bridge=$(grep '^Error: ' | tail --lines=1 | sed --quiet 's/.*failed to set bridge addr: "\([^"]*\)" already has an IP address.*/\1/p') || true
  [[ -z $bridge ]] || say "a removed network left the bridge $bridge behind. Stop the containers that use it, if there are any, and delete it: ${prefix}ip link delete $(printf %q "$bridge")"
}
