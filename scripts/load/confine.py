"""Starts the service of a systemd unit without systemd, with the limits that the unit says.

    confine.py UNIT FROM=TO... -- NAME=VALUE...

Reads ExecStart= and runs it as an unprivileged user whose state folder is $STATE_DIRECTORY, with
EnvironmentFile= and NAME=VALUE for its environment. FROM=TO puts another path in the place of one
that the unit names; sockets of `systemd-socket-activate` are passed on. Needs root, to give it up,
and libseccomp2. What was done of the unit is told on standard error, a line each. Not done: the
namespaces of Private*= and most of Protect*=.
"""

import ctypes
import os
import pathlib
import re
import resource
import shlex
import subprocess
import sys

USER = 65534
ALLOW, EPERM, EAFNOSUPPORT, ENOSYS = 0x7FFF0000, 0x50001, 0x50061, 0x50026
MASKED_EQUAL, EQUAL = 7, 4
PROT_WRITE, PROT_EXEC, SHM_EXEC = 2, 4, 0o100000
NEW_NAMESPACE = (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
FAMILIES_MAX = 64
CLONE_NEWNS = 0x20000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
KERNEL_FOLDERS = ("/dev", "/proc", "/sys")

libc = ctypes.CDLL(None, use_errno=True)
seccomp = ctypes.CDLL("libseccomp.so.2")
seccomp.seccomp_init.restype = ctypes.c_void_p


class Compare(ctypes.Structure):
    _fields_ = [
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    ]


def told(what):
    print(f"confine: {what}", file=sys.stderr, flush=True)


def checked(result, what):
    if result != 0:
        sys.exit(f"confine: {what}: {os.strerror(ctypes.get_errno())}")


def settings(unit):
    """The [Service] section in order: keys may stand there more than once."""
    section, found = "", []
    for line in unit.read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and not line.startswith(("#", ";")):
            key, value = line.split("=", 1)
            found.append((key.strip(), value.strip()))
    return found


def members(group):
    text = subprocess.run(
        ["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True
    ).stdout
    for line in text.splitlines()[1:]:
        word = line.split("#")[0].strip()
        if word.startswith("@"):
            yield from members(word)
        elif word:
            yield word


def allowed_calls(lines):
    """What SystemCallFilter= leaves, in the order of the unit."""
    calls = {"execve"}
    for line in lines:
        take, names = not line.startswith("~"), line.removeprefix("~").split()
        for name in names:
            some = set(members(name)) if name.startswith("@") else {name}
            calls = calls | some if take else calls - some
    return calls


def rule(context, action, name, *compare):
    number = seccomp.seccomp_syscall_resolve_name(name.encode())
    # A call that this machine does not have.
    if number < 0:
        return
    wanted = (Compare * max(len(compare), 1))(*compare)
    context, action = ctypes.c_void_p(context), ctypes.c_uint32(action)
    adding = seccomp.seccomp_rule_add_array
    checked(adding(context, action, number, len(compare), wanted), f"a rule for {name}")


def load(context):
    checked(seccomp.seccomp_load(ctypes.c_void_p(context)), "the filter")


def forbid(one):
    """What may be called, but not with every argument."""
    context = seccomp.seccomp_init(ctypes.c_uint32(ALLOW))
    if one.get("MemoryDenyWriteExecute") == "yes":
        both = PROT_WRITE | PROT_EXEC
        rule(context, EPERM, "mmap", Compare(2, MASKED_EQUAL, both, both))
        for name in ("mprotect", "pkey_mprotect"):
            rule(context, EPERM, name, Compare(2, MASKED_EQUAL, PROT_EXEC, PROT_EXEC))
        rule(context, EPERM, "shmat", Compare(2, MASKED_EQUAL, SHM_EXEC, SHM_EXEC))
        told("MemoryDenyWriteExecute=yes")
    if one.get("RestrictNamespaces") == "yes":
        for flag in NEW_NAMESPACE:
            for name in ("clone", "unshare"):
                rule(context, EPERM, name, Compare(0, MASKED_EQUAL, flag, flag))
        rule(context, EPERM, "setns")
        # Its flags are in memory, where no filter looks.
        rule(context, ENOSYS, "clone3")
        told("RestrictNamespaces=yes")
    families = one.get("RestrictAddressFamilies", "").split()
    if families:
        numbers = {FAMILIES[name] for name in families}
        for number in set(range(FAMILIES_MAX)) - numbers:
            rule(context, EAFNOSUPPORT, "socket", Compare(0, EQUAL, number, 0))
        told(f"RestrictAddressFamilies={' '.join(families)}")
    load(context)


def filter_calls(lines):
    if not lines:
        return
    calls = allowed_calls(lines)
    context = seccomp.seccomp_init(ctypes.c_uint32(EPERM))
    for name in sorted(calls):
        rule(context, ALLOW, name)
    load(context)
    told(f"SystemCallFilter= leaves {len(calls)} calls")


def limit(one):
    for key, value in one.items():
        if not key.startswith("Limit"):
            continue
        kind = getattr(resource, f"RLIMIT_{key.removeprefix('Limit')}")
        asked = resource.RLIM_INFINITY if value == "infinity" else int(value)
        try:
            resource.setrlimit(kind, (asked, asked))
            told(f"{key}={value}")
        except (ValueError, PermissionError):
            most = resource.getrlimit(kind)[1]
            resource.setrlimit(kind, (most, most))
            told(f"{key}={most} for {value}: this machine allows no more")


def mount_read_only(state):
    """ProtectSystem=strict: nothing can be written but the state folder."""
    checked(libc.unshare(CLONE_NEWNS), "a mount namespace")
    checked(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "private mounts")
    checked(libc.mount(state.encode(), state.encode(), None, MS_BIND, None), "the state folder")
    places = [line.split()[1] for line in open("/proc/self/mounts")]
    for place in dict.fromkeys(places):
        if place != state and not place.startswith(KERNEL_FOLDERS):
            flags = MS_REMOUNT | MS_BIND | MS_RDONLY
            checked(libc.mount(b"none", place.encode(), None, flags, None), f"{place} read-only")
    told("ProtectSystem=strict")


def environment(name, others):
    variables = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/", "USER": "vertex-bridge"}
    file = pathlib.Path(name.removeprefix("-"))
    if file.exists() or not name.startswith("-"):
        for line in file.read_text().splitlines():
            if line and not line.startswith("#"):
                key, value = line.split("=", 1)
                variables[key] = "".join(shlex.split(value))
        told("EnvironmentFile=")
    activation = {key: value for key, value in os.environ.items() if key.startswith("LISTEN_")}
    variables |= activation | dict(pair.split("=", 1) for pair in others)
    if "WATCHDOG_USEC" in variables:
        # As systemd says it: to the first main process, also when another is the main one later.
        variables["WATCHDOG_PID"] = str(os.getpid())
    return variables


def main():
    split = sys.argv.index("--")
    unit, places, others = pathlib.Path(sys.argv[1]), sys.argv[2:split], sys.argv[split + 1 :]
    lines = settings(unit)
    for place in places:
        here, there = place.split("=", 1)
        lines = [(key, value.replace(here, there)) for key, value in lines]
    one = dict(lines)
    command = shlex.split(one["ExecStart"])
    variables = environment(one["EnvironmentFile"], others)
    filters = [value for key, value in lines if key == "SystemCallFilter"]
    state = variables["STATE_DIRECTORY"]
    os.chmod(state, int(one.get("StateDirectoryMode", "755"), 8))
    os.chown(state, USER, USER)
    limit(one)
    os.umask(int(one.get("UMask", "22"), 8))
    told(f"UMask={one.get('UMask')}")
    if one.get("ProtectSystem") == "strict":
        mount_read_only(state)
    if one.get("CapabilityBoundingSet") == "":
        last = int(pathlib.Path("/proc/sys/kernel/cap_last_cap").read_text())
        for capability in range(last + 1):
            checked(libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "the bounding set")
        told("CapabilityBoundingSet=")
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    told(f"user {USER} instead of DynamicUser=yes")
    if one.get("NoNewPrivileges") == "yes":
        checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
        told("NoNewPrivileges=yes")
    forbid(one)
    filter_calls(filters)
    told(f"ExecStart={re.sub(r'/[^ ]*/', '', ' '.join(command))}")
    sys.stdout.flush()
    os.execve(command[0], command, variables)


main()
