# Reads the services that podman's generator makes, and says a line for each thing in the command of whisper's that
# leaves it unlocked. The unit alone cannot tell: drop-ins come from several folders, lists go on over several
# lines, and every version of quadlet has rules of its own. What is here is what podman would run.
#
#   FOLDERS="A\nB" awk -f unlocking.awk -f made-service.awk SERVICES     A, B: where our seccomp profile may be
#
# All words are judged, those for the program in the container too: which is the first of them cannot be
# seen without knowing every option of podman's.

# A command into `words`, as systemd splits it; a backslash stays, to be judged.
function split_command(text, i, sign, quote, word, begun, count) {
  for (i = 1; i <= length(text) + 1; i++) {
    sign = i > length(text) ? " " : substr(text, i, 1)
    if (quote != "" ? sign == quote : sign ~ /["']/) {
      quote = quote == "" ? sign : ""
      begun = 1
    } else if (quote == "" && sign ~ /[ \t]/) {
      if (begun) words[++count] = word
      word = begun = ""
    } else {
      word = word sign
      begun = 1
    }
  }
  return count
}

# systemd puts something else for a $, a %, and a backslash, and %i comes to nothing.
function is_hidden(word) {
  return word ~ /^\\|^\$[^$]|^%[iI]|^-[^=]*[$%\\]|^-.*\$[{]/
}

function is_our_profile(path, folders, count, i) {
  if (path !~ /\/whisper-seccomp\.json$/ || path ~ /[$*\\]|\/\.\.\//) return 0
  count = split("%E/containers/systemd\n" ENVIRON["FOLDERS"], folders, "\n")
  for (i = 1; i <= count; i++) if (folders[i] != "" && index(settled(path), settled(folders[i]) "/") == 1) return 1
  return 0
}

function judge(option, value, said) {
  said = option (option ~ /^(--privileged|--publish-all|-[ditq]*P)$/ ? "" : " " value)
  if (option ~ /^--(network|net)$/) {
    networks++
    if (value == "none") is_alone = 1
    if (value !~ /^(container:whisper-gate|none)$/) fault(said ": it has to be container:whisper-gate, or none")
  } else if (option == "--cap-drop") {
    if (tolower(value) == "all") drops = 1
  } else if (option == "--security-opt" && value ~ /^seccomp=/) {
    profiles++
    if (!is_our_profile(substr(value, 9))) fault(said ": it has to be %E/containers/systemd/whisper-seccomp.json")
  } else if (is_log_option(option, value)) note_log(option, value)
  else if (option ~ /^--(pid|ipc|uts|userns|cgroupns|device|security-opt)$/ && value ~ /[$%\\]/) fault(said ": cannot be read plainly")
  else if (unlocking(option, value)) fault(said ": takes a lock off")
  else if (option == "--security-opt" && value ~ /^no-new-privileges/) gains_nothing = 1
}

/^---.*---$/ { is_whisper = $0 == "---whisper.service---" }
/^\[/ { section = $0 }
is_whisper && section == "[Unit]" && /^(BindsTo|After)=/ {
  key = value = $0
  sub(/=.*/, "", key)
  sub(/^[^=]*=/, "", value)
  unit[key] = value == "" ? "" : unit[key] " " value
}
is_whisper && /^ExecStart=/ {
  if (commands++) next
  count = split_command(substr($0, 11))
  if (words[1] !~ /(^|\/)podman$/ || words[2] != "run") fault(words[1] " " words[2] ": it has to be podman run (GlobalArgs=, ContainersConfModule= put something between)")
  for (i = 3; i <= count; i++) {
    option = words[i]
    value = words[i + 1]
    if (is_hidden(option)) fault(option ": cannot be read plainly (\\, $, %)")
    if (option ~ /^--[^=]+=/) {
      value = substr(option, index(option, "=") + 1)
      sub(/=.*/, "", option)
    } else if (option ~ /^-[ditq]*v./) {
      value = substr(option, index(option, "v") + 1)
      sub(/v.*/, "v", option)
    }
    if (option ~ /^-/) judge(option, value)
  }
}
END {
  if (commands != 1) fault("whisper.service has " (commands + 0) " lines ExecStart=, and has to have one: take yours out of the unit")
  else {
    if (networks != 1) fault("--network is there " (networks + 0) " times, and has to be there once")
    if (!is_alone && !has(unit["BindsTo"], "whisper-gate.service")) fault("BindsTo=whisper-gate.service is missing")
    if (!is_alone && !has(unit["After"], "whisper-gate.service")) fault("After=whisper-gate.service is missing")
    if (!drops) fault("--cap-drop all is missing")
    if (!gains_nothing) fault("--security-opt=no-new-privileges is missing")
    said = log_fault(log_driver, log_size)
    if (said != "") fault(said)
    if (profiles != 1) fault("--security-opt seccomp= is there " (profiles + 0) " times, and has to be there once")
  }
  for (i = 1; i <= fault_count; i++) print faults[i]
}
