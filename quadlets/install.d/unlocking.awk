# What takes a lock off whisper: shared by the two that read its unit, and what podman's generator makes of it.
# Written for every awk there is (mawk, busybox).

function trim(text) {
  sub(/^[ \t]+/, "", text)
  sub(/[ \t\r]+$/, "", text)
  return text
}

function plain(word) {
  gsub(/["']/, "", word)
  return word
}

# A word of a list, such as After=.
function has(list, word) {
  return index(" " tolower(list) " ", " " word " ") > 0
}

# One spelling for one place: /run for %t, %h for a home folder, and no slash too many.
function settled(path, home) {
  gsub(/\/(\.?\/)+/, "/", path)
  sub(/\/\.?$/, "", path)
  home = ENVIRON["HOME"]
  if (home != "" && index(path "/", home "/") == 1) path = "%h" substr(path, length(home) + 1)
  if (path ~ /^(\/(var\/)?home\/[^\/]+|\/root|~)(\/|$)/) sub(/^(\/(var\/)?home\/[^\/]+|\/root|~)/, "%h", path)
  sub(/^%t/, "/run", path)
  sub(/^%E/, "%h/.config", path)
  sub(/^%S/, "%h/.local/state", path)
  return path == "" ? "/" : path
}

# Places on the host through which one gets out: sockets of podman and systemd, devices, the units and
# containers of this user, everything. A folder below the home folder is none, nor is a single file of /etc.
function way_out(volume, fields, count, i, place) {
  volume = plain(volume)
  if (volume ~ /[$*?[]|(^|[\/:=,])\.\.([\/:,]|$)/) return 1
  count = split(volume, fields, ",")
  for (i = 1; i <= count; i++) {
    place = fields[i]
    if (!sub(/^.*(src|source|device)=/, "", place) && (i > 1 || place ~ /^[a-z-]+=/)) continue
    sub(/:.*$/, "", place)
    if (place == "") continue
    place = settled(place)
    if (place ~ /^(\/|\/(etc|home|usr|var|var\/lib|var\/home|mnt|mnt\/c)|\.|%h|%h\/\.local(\/(share|state))?)$/) return 1
    if (place ~ /^\/(dev|proc|run|sys|var\/run|var\/lib\/containers|etc\/(containers|systemd)|mnt\/wslg)(\/|$)/) return 1
    if (place ~ /^%h\/\.(config|ssh|local\/(share|state)\/(containers|systemd|whisper-proxy))(\/|$)|\.sock$/) return 1
  }
  return 0
}

function unlocking_device(device) {
  device = plain(device)
  gsub(/\/+/, "/", device)
  return device ~ /vsock|[$]|\.\.|^-?\/dev(\/?$|\/?:|\/(k?mem|port|net|mapper|disk|dm-|loop|nvme[0-9]|[sv]d[a-z]))/
}

# Whether an option of podman's takes a lock off, or podman refuses it beside container:whisper-gate.
function unlocking(option, value) {
  if (option ~ /^--(privileged|cap-add|network|net|pod|pod-id-file|seccomp-policy|volumes-from)$/) return 1
  if (option ~ /^--(publish|publish-all|dns|dns-search|dns-option|dns-opt|add-host|ip|ip6|mac-address|network-alias)$/) return 1
  if (option ~ /^--(pid|ipc|uts|cgroupns|userns)$/) return value ~ /^(host|container:|ns:)/
  if (option == "--security-opt") return value !~ /^(label|mask=|no-new-privileges$|no-new-privileges[=:]true)/ && value !~ /^seccomp=.*\/whisper-seccomp\.json$/
  if (option == "--device") return unlocking_device(value)
  if (option ~ /^(--volume|--mount|-[ditq]*v)$/) return way_out(value)
  if (option == "--rootfs") return way_out(value)
  return option ~ /^-[ditq]*[pP]/
}

# The log that whisper writes to. What goes to the journal, whisper can flood it with, and journald then drops the
# proxy's denials. Without a driver it is that of containers.conf, which often is the journal.
function is_log_option(option, value) {
  return option == "--log-driver" || option == "--log-opt" && value ~ /^max-size=/
}

function note_log(option, value) {
  if (option == "--log-driver") log_driver = value
  else if (is_log_option(option, value)) log_size = substr(value, 10)
}

function log_fault(driver, size) {
  if (driver == "none") return ""
  if (driver !~ /^(k8s-file|json-file)$/)
    return "LogDriver=k8s-file is missing" (driver == "" ? "" : ", and it is " driver) ": whisper could flood the journal, and the proxy's denials would be lost"
  # Zero and -1 are no limit.
  if (size !~ /^[0-9.]*[1-9][0-9.]*[A-Za-z]*$/) return "PodmanArgs=--log-opt=max-size=10mb is missing: whisper's log could fill the disk"
  return ""
}

function fault(text) {
  faults[++fault_count] = text
}
