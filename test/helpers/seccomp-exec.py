"""Runs a program under a seccomp profile of podman's format, as a container engine would:

    python3 seccomp-exec.py PROFILE PROGRAM ARGUMENT...

It knows what quadlets/whisper-seccomp.json uses, for the architecture that it runs on. Without a program
it only loads the profile, and its exit status says whether that can be done here.
"""

import ctypes
import json
import os
import sys

ACTIONS = {"SCMP_ACT_ALLOW": 0x7FFF0000, "SCMP_ACT_ERRNO": 0x00050000}
OPERATORS = ["", "NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]
NO_NEW_PRIVILEGES = 38


class Comparison(ctypes.Structure):
    """struct scmp_arg_cmp of seccomp.h."""

    _fields_ = [
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    ]


def action(rule: dict, name: str = "action", errno: str = "errnoRet") -> int:
    return ACTIONS[rule[name]] | (rule.get(errno, 1) if rule[name] == "SCMP_ACT_ERRNO" else 0)


def comparison(condition: dict) -> Comparison:
    operator = OPERATORS.index(condition["op"].removeprefix("SCMP_CMP_"))
    return Comparison(condition["index"], operator, condition["value"], condition.get("valueTwo", 0))


def load(profile: dict) -> None:
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    default = action(profile, "defaultAction", "defaultErrnoRet")
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(default)))
    for rule in profile["syscalls"]:
        # Podman's format can make a rule depend on the container: then this would be another profile.
        assert not rule.get("includes") and not rule.get("excludes"), rule
        if action(rule) == default:
            continue
        comparisons = [comparison(condition) for condition in rule.get("args", [])]
        array = (Comparison * max(len(comparisons), 1))(*comparisons)
        for name in rule["names"]:
            number = seccomp.seccomp_syscall_resolve_name(name.encode())
            # Another architecture's, or one that this library does not know yet.
            if number == -1:
                continue
            status = seccomp.seccomp_rule_add_array(
                context, ctypes.c_uint32(action(rule)), number, len(comparisons), array
            )
            assert status == 0, (name, os.strerror(-status))
    assert ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
    status = seccomp.seccomp_load(context)
    assert status == 0, os.strerror(-status)


with open(sys.argv[1], encoding="utf-8") as file:
    load(json.load(file))
if len(sys.argv) > 2:
    os.execvp(sys.argv[2], sys.argv[2:])
