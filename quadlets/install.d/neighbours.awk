# Reads the units of the site, and says a line for each thing in them that harms it beside a locked whisper.
#
#   awk -v clients="session-manager" -f unlocking.awk -f neighbours.awk FILE…     clients: whom ingress lets in, by name

function tell(text) {
  print file ", line " line_number ": " text
}

# Words of a list that end with whisper, its gate or the proxy; the others are left in `left`.
function ends_with_ours(value, words, count, i, name, found) {
  left = ""
  count = split(value, words, /[ \t]+/)
  for (i = 1; i <= count; i++) {
    name = words[i]
    if (sub(/\.(service|container)$/, "", name) && name ~ /^whisper(-gate|-proxy)?$/ && !(unit == "whisper" && name == "whisper-gate"))
      found = found " " words[i]
    else left = left " " words[i]
  }
  left = trim(left)
  return trim(found)
}

function depends(key, value, found) {
  found = ends_with_ours(value)
  if (found == "") return
  tell(key "=" value ": " unit " ends whenever " found " does, and so does what requires " unit "." \
    (left == "" ? " Take the line out" : " Make it " key "=" left) ", and add Wants=whisper-proxy.service")
}

# Without the name servers, and with all else that stands on the line.
function without_dns(value, words, count, i) {
  left = ""
  count = split(value, words, /[ \t]+/)
  for (i = 1; i <= count; i++) {
    if (words[i] ~ /^--dns(-search|-option|-opt)?=/) continue
    if (words[i] ~ /^--dns(-search|-option|-opt)?$/) i++
    else left = left " " words[i]
  }
  left = trim(left)
  return length(left) < length(trim(value))
}

function logical(text, at, key, value) {
  if (text ~ /^[ \t]*\[/) {
    section = trim(text)
    gsub(/[][]/, "", section)
    return
  }
  at = index(text, "=")
  key = trim(substr(text, 1, at - 1))
  value = trim(substr(text, at + 1))
  if (value == "") return
  if (section == "Unit" && key ~ /^(Requires|Requisite|BindsTo|PartOf|StopPropagatedFrom)$/) depends(key, value)
  if (section == "Install" && key == "RequiredBy" && is_ours && value !~ /^([^ ]+\.target[ \t]*)+$/)
    tell(key "=" value ": that ends whenever " unit " does. Make it WantedBy=" value)
  if (section != "Container" && section != "Pod" && section != "Kube") return
  if (key == "ContainerName") name = value
  if (key == "Network" || key == "PodmanArgs" && value ~ /--net(work)?[= ]/) note_network(key, value)
  if (key == "DNS" || key == "PodmanArgs" && without_dns(value))
    servers = servers line_number SUBSEP key "=" value SUBSEP (key == "DNS" ? "" : left) "\n"
}

function note_network(key, value) {
  if (value ~ /(^|[= ])(systemd-)?whisper-net(\.network)?(:|[ \t]|$)/ && !is_ours)
    tell(key "=" value ": only whisper-proxy and whisper-gate may be on whisper-net, whose addresses are trusted. Take it out")
  else if (key == "Network" && value !~ /^(systemd-)?visp-net(\.network)?(:|$)/) networks[++network_count] = line_number SUBSEP key "=" value
}

function is_client(word) {
  return index(" " clients " ", " " word " ") > 0
}

# What only matters for whom ingress lets in is known at the end of a file.
function end_file(lines, fields, count, i) {
  if (file ~ /\.container$/ && !is_ours && clients != "" && (is_client(unit) || is_client(name))) {
    line_number = 1
    if (!is_client(name)) tell("its container is called " name ", and INGRESS_CLIENTS lets in " clients ". Add ContainerName=" unit)
    for (i = 1; i <= network_count; i++) {
      split(networks[i], fields, SUBSEP)
      line_number = fields[1]
      tell(fields[2] ": with CNI, a container on two networks asks the name server of one of them, and may not find whisper. Take it out, if you can")
    }
    count = split(servers, lines, "\n")
    for (i = 1; i < count; i++) {
      split(lines[i], fields, SUBSEP)
      line_number = fields[1]
      tell(fields[2] ": whisper is found by visp-net's own name server." (fields[3] == "" ? " Take the line out" : " Make it PodmanArgs=" fields[3]))
    }
  }
  network_count = 0
  servers = ""
}

function begin_file(path) {
  file = path = FILENAME
  sub(/\/[^\/]*\.conf$/, "", path)
  sub(/\.d$/, "", path)
  sub(/^.*\//, "", path)
  sub(/\.[a-z]+$/, "", path)
  unit = path
  name = "systemd-" unit
  is_ours = unit ~ /^whisper(-gate|-proxy)?$/
  section = joined = ""
}

FNR == 1 {
  if (NR > 1) end_file()
  begin_file()
}
/^[ \t]*([#;].*)?\r?$/ { next }
{
  if (joined == "") line_number = FNR
  joined = joined (joined == "" ? "" : " ") $0
  sub(/[ \t\r]+$/, "", joined)
  if (sub(/\\$/, "", joined)) next
  logical(joined)
  joined = ""
}
END { if (NR > 0) end_file() }
