# Reads whisper.container: whether whisper is locked in, and how the same file would look locked.
#
#   awk -v mode=faults -f unlocking.awk -f whisper-unit.awk FILE [DROP-IN…]   a line for each thing that leaves whisper unlocked
#   awk -v mode=lock -f unlocking.awk -f whisper-unit.awk OURS FILE           FILE, locked with the lines of OURS
#   awk -v mode=lock -v alone=1 …                            the same for a whisper without any network
#
# Ours is whisper.container: what its lines of these keys say is what locks whisper in, and what the README's diff
# says as well (a test holds the three together).
#
# Quadlet's rules hold: an empty assignment empties a list, the last of several single values wins, and
# a backslash at its end continues a line. What its versions read differently, or cannot be read
# plainly, is a fault in itself. Written for every awk there is (mawk, busybox).

function has_quoted_blank(words, count, i) {
  for (i = 1; i <= count; i++) if (gsub(/["']/, "&", words[i]) % 2) return 1
  return 0
}

# Goes through the words of PodmanArgs=. Leaves those that may stay in `kept`, the others in `taken`;
# with a backslash, a $ or a quoted blank, that is all of them, since what they come to cannot be seen.
function sort_options(value, words, count, i, option, given, next_too) {
  kept = taken = ""
  count = split(value, words, /[ \t]+/)
  if (value ~ /[\\$]/ || has_quoted_blank(words, count)) {
    taken = value
    return
  }
  for (i = 1; i <= count; i++) {
    option = given = plain(words[i])
    next_too = 0
    if (option ~ /^--[^=]+=/) {
      sub(/=.*/, "", option)
      sub(/^[^=]*=/, "", given)
    } else if (option ~ /^-[ditq]*v./) {
      sub(/v.*/, "v", option)
      sub(/^-[ditq]*v/, "", given)
    } else {
      given = plain(words[i + 1])
      next_too = option !~ /^(--privileged|--publish-all|-[ditq]*P|-[ditq]*p.+)$/
    }
    if (!unlocking(option, given) && !(is_log_wrong && is_log_option(option, given))) {
      kept = kept " " words[i]
      continue
    }
    taken = taken " " words[i]
    if (next_too && i < count) taken = taken " " words[++i]
  }
  kept = trim(kept)
  taken = trim(taken)
}

# Other proxies than ours, which whisper cannot reach.
function without_proxies(value, words, count, i, left) {
  count = split(value, words, /[ \t]+/)
  for (i = 1; i <= count; i++)
    if (plain(words[i]) !~ /^(HTTPS?|https?|ALL|all)_(PROXY|proxy)=/ || plain(words[i]) ~ /=http:\/\/(10\.89\.77\.2|whisper-proxy):3128\/?$/) left = left " " words[i]
  return trim(left)
}

# The last driver and size that the unit names; those of PodmanArgs= come after the others.
function note_logs(key, value, words, count, i, option) {
  if (section != "Container") return
  if (key == "LogDriver") unit_driver = value
  if (key == "LogOpt" && (value == "" || value ~ /^max-size=/)) unit_size = substr(value, 10)
  if (key != "PodmanArgs") return
  if (value == "") log_driver = log_size = ""
  count = split(plain(value), words, /[ \t]+/)
  for (i = 1; i <= count; i++) {
    option = words[i]
    if (sub(/=.*/, "", option)) note_log(option, substr(words[i], length(option) + 2))
    else note_log(option, words[i + 1])
  }
}

function unit_log_fault() {
  return log_fault(log_driver != "" ? log_driver : unit_driver, log_size != "" ? log_size : unit_size)
}

# --- mode=faults

function note(key, value) {
  note_logs(key, value)
  if (section == "Unit" && (key == "BindsTo" || key == "After"))
    unit[key] = value == "" ? "" : unit[key] " " value
  if (section != "Container") return
  if (key ~ /^(Network|DropCapability|AddCapability)$/) all[key] = value == "" ? "" : trim(all[key] " " value)
  if (key ~ /^(NoNewPrivileges|SeccompProfile)$/) last[key] = value
  if (value == "") return
  if (key ~ /^(GlobalArgs|ContainersConfModule|Unmask)$/) fault(key "=" value ": takes a lock off, or can")
  if (key ~ /^(PublishPort|DNS|DNSSearch|DNSOption|AddHost|NetworkAlias|IP|IP6|Pod)$/)
    fault(key "=" value ": this belongs to the owner of the network, which is whisper-gate")
  if ((key == "Volume" || key == "Mount") && way_out(value)) fault(key "=" value ": a way out to the host")
  if (key == "AddDevice" && unlocking_device(value)) fault(key "=" value ": a way out to the host")
  if (key == "PodmanArgs") {
    sort_options(value)
    if (taken != "") fault("PodmanArgs=" taken ": takes a lock off" (taken ~ /[\\$"']/ ? ", or cannot be read plainly (\\, $, a blank in quotes)" : ""))
  }
}

function print_faults(i) {
  if (!seen["Container"]) fault("there is no [Container] section")
  # Without any network (and a unix socket instead), there is nothing for the gate to lock.
  if (all["Network"] != "container:whisper-gate" && all["Network"] != "none")
    fault("Network=container:whisper-gate must be its only network, and is " (all["Network"] == "" ? "not there" : "\"" all["Network"] "\""))
  if (!has(all["DropCapability"], "all")) fault("DropCapability=all is missing")
  if (all["AddCapability"] != "") fault("AddCapability=" all["AddCapability"] ": with a capability whisper can change the gate's rules, or go around them")
  if (tolower(last["NoNewPrivileges"]) !~ /^(true|yes|on|1)$/) fault("NoNewPrivileges=true is missing")
  if (plain(last["SeccompProfile"]) !~ /(^|\/)whisper-seccomp\.json$/) fault("SeccompProfile=%E/containers/systemd/whisper-seccomp.json is missing")
  if (all["Network"] != "none" && !has(unit["BindsTo"], "whisper-gate.service")) fault("BindsTo=whisper-gate.service is missing")
  if (all["Network"] != "none" && !has(unit["After"], "whisper-gate.service")) fault("After=whisper-gate.service is missing")
  if (unit_log_fault() != "") fault(unit_log_fault())
  for (i = 1; i <= fault_count; i++) print faults[i]
}

# --- mode=lock

function collect(key, value, text) {
  if (section == "Unit" ? alone || key !~ /^(BindsTo|After|Wants)$/ : section != "Container") return
  if (section == "Container" && key !~ /^(Network|HostName|DropCapability|NoNewPrivileges|SeccompProfile|LogDriver|PodmanArgs)$/) return
  if (alone && key ~ /^(Network|HostName)$/) return
  ours[++ours_count] = text
  key_of[ours_count] = section SUBSEP key "=" value
  is_ours[section, key "=" value] = 1
}

# The lines of ours that a section of the file lacks. Those that it has stay where they are, below their comments.
# A log of theirs that is bounded, and not the journal, stays too.
function missing(name, i, text) {
  for (i = 1; i <= ours_count; i++)
    if (index(key_of[i], name SUBSEP) == 1 && !(key_of[i] in present) && (is_log_wrong || key_of[i] !~ /LogDriver=|--log-opt=/)) text = text ours[i] "\n"
  return text
}

function rewrite(key, value, text, left) {
  if ((section, key "=" value) in is_ours) {
    if (!written[section, key "=" value]++) print text
    return
  }
  if (section == "Unit" && value == "" && (key == "BindsTo" || key == "After")) return
  if (section == "Container") {
    if (is_log_wrong && (key == "LogDriver" || key == "LogOpt" && value ~ /^max-size=/)) return
    if (alone && key ~ /^(Network|HostName|Environment)$/) {
      print text
      return
    }
    if (key ~ /^(Network|DropCapability|AddCapability|NoNewPrivileges|SeccompProfile|HostName)$/) return
    if (key ~ /^(GlobalArgs|ContainersConfModule|Unmask)$/) return
    if (key ~ /^(PublishPort|ExposeHostPort|DNS|DNSSearch|DNSOption|AddHost|NetworkAlias|IP|IP6|Pod)$/) return
    if ((key == "Volume" || key == "Mount") && way_out(value)) return
    if (key == "AddDevice" && unlocking_device(value)) return
    if (key == "PodmanArgs") {
      # An empty one would take back what ours say above it.
      if (value == "") return
      sort_options(value)
      left = kept
    } else left = key == "Environment" ? without_proxies(value) : value
    if (value != "" && left == "") return
    if (length(left) < length(trim(value)) && (key == "PodmanArgs" || key == "Environment")) text = key "=" left
  }
  print text
}

function header(name, text) {
  # Ours come first in their section; where there is no [Unit], it comes before everything.
  if (name != "Unit" && !seen["Unit"] && !alone) {
    printf "[Unit]\n%s\n", missing("Unit")
    seen["Unit"] = 1
  }
  print text
  if (!seen[name] && (name == "Unit" || name == "Container")) printf "%s", missing(name)
}

# --- a line, its continuations joined

# What the versions of quadlet read differently. Locked, it becomes a line that they all read alike.
function strange(why) {
  is_strange = 1
  if (mode == "faults") fault("line " FNR ": " why)
}

function logical(text, raw, at, key, value) {
  if (text ~ /^[ \t]*\[/) {
    if (text !~ /^\[[A-Za-z0-9-]+\][ \t\r]*$/) strange("write " trim(text) " as a plain [Section], at the beginning of the line")
    section = trim(text)
    gsub(/[][]/, "", section)
    if (writing) header(section, is_strange ? trim(text) : raw)
    if (writing || mode == "faults") seen[section] = 1
    return
  }
  at = index(text, "=")
  key = trim(substr(text, 1, at - 1))
  value = trim(substr(text, at + 1))
  if (key !~ /^[A-Za-z0-9-]+$/) {
    if (mode == "faults") strange("\"" trim(text) "\" is neither Key=value nor a comment: take it out")
    else if (writing) print raw
    return
  }
  if (mode == "faults") note(key, value)
  else if (reading_ours) collect(key, value, raw)
  else if (!writing) {
    present[section, key "=" value] = 1
    note_logs(key, value)
  }
  else rewrite(key, value, is_strange ? key "=" value : raw)
}

# At the end of a file, a line that was to go on ends all the same.
function end_line() {
  if (continued) {
    strange("the last line of a file ends in \\: take that out")
    logical(joined, raw)
  }
  continued = is_strange = 0
}

# The file is read twice: what it lacks is written before the rest of it.
BEGIN { if (mode == "lock") ARGV[ARGC++] = ARGV[2] }
FNR == 1 {
  end_line()
  section = ""
  files++
  reading_ours = mode == "lock" && files == 1
  writing = mode == "lock" && files == 3
  if (writing) is_log_wrong = unit_log_fault() != ""
}
/^[ \t]*([#;].*)?\r?$/ {
  if (continued) {
    strange("a blank line or a comment where \\ continues a line: take it out")
    next
  }
  if ($0 ~ /\\[ \t\r]*$/) strange("a comment ends in \\, which may hide the next line: take that out")
  line = $0
  if (is_strange) sub(/[ \t\r\\]+$/, "", line)
  if (writing) print line
  is_strange = 0
  next
}
{
  raw = continued ? raw "\n" $0 : $0
  line = $0
  if (line ~ /\\[ \t\r]+$/) strange("blanks follow the \\ at the end: take them out")
  sub(/[ \t\r]+$/, "", line)
  # Some leave out the blanks that the next line begins with.
  if (line ~ /[^ \t=]\\$/) strange("no blank before the \\ at the end: put one there")
  joined = continued ? joined " " line : line
  continued = sub(/\\$/, "", joined)
  if (!continued) {
    logical(joined, raw)
    is_strange = 0
  }
}
END {
  end_line()
  if (mode == "faults") print_faults()
}
