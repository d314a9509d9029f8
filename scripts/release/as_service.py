"""Starts the command of a systemd unit in a root file system, as systemd would, without systemd.

    as_service.py ROOT UNIT

Applied are ExecStart=, EnvironmentFile=, the user of DynamicUser=, StateDirectory=, UMask=, NoNewPrivileges=,
CapabilityBoundingSet=, Limit...= as far as this machine's hard limits go, and Type=notify. Name spaces
and the filter of system calls are not. What the service tells goes to standard output, a line each; it
ends with the service and with its status. SIGTERM and SIGHUP are passed on to the main process.
"""

import ctypes
import os
import pathlib
import resource
import shlex
import signal
import socket
import sys

# Within the range that systemd takes for dynamic users, and nobody else's.
USER = 64321
PR_SET_PDEATHSIG = 1
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
LAST_CAPABILITY = 63

libc = ctypes.CDLL(None, use_errno=True)


def read_unit(path):
    """The settings of the unit, each with all its values."""
    settings = {}
    for line in path.read_text().splitlines():
        if "=" in line and not line.lstrip().startswith(("#", ";")):
            name, value = line.split("=", 1)
            settings.setdefault(name.strip(), []).append(value.strip())
    return settings


def limits(settings):
    """Resource limits: number, what is asked for, what this machine gives."""
    for name, values in settings.items():
        number = getattr(resource, "RLIMIT_" + name.removeprefix("Limit"), None)
        if not name.startswith("Limit") or number is None:
            continue
        asked = resource.RLIM_INFINITY if values[-1] == "infinity" else int(values[-1])
        try:
            resource.setrlimit(number, (asked, asked))
            given = asked
        except (ValueError, PermissionError):
            given = resource.getrlimit(number)[1]
            resource.setrlimit(number, (given, given))
        yield name, values[-1], given


def environment(root, settings):
    result = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    for name in settings.get("EnvironmentFile", []):
        path = root / name.removeprefix("-").lstrip("/")
        for line in path.read_text().splitlines() if path.exists() else []:
            if "=" in line and not line.startswith("#"):
                key, value = line.split("=", 1)
                result[key] = value
    return result


def become_service(root, command, variables, settings):
    for name, asked, given in limits(settings):
        print(name, f"{asked} of which {given}" if str(given) != asked and given != -1 else asked, flush=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if settings.get("CapabilityBoundingSet") == [""]:
        for capability in range(LAST_CAPABILITY + 1):
            # The kernel has fewer of them.
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.chroot(root)
    os.chdir("/")
    os.umask(int(settings.get("UMask", ["0022"])[-1], 8))
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)
    if settings.get("NoNewPrivileges") == ["yes"]:
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.execve(command[0], command, variables)


def main():
    root, unit = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    settings = read_unit(root / unit.relative_to("/"))
    variables = environment(root, settings)
    for name in settings.get("StateDirectory", []):
        folder = root / "var/lib" / name
        folder.mkdir(mode=0o700, exist_ok=True)
        for path in (folder, *folder.iterdir()):
            os.chown(path, USER, USER)
        variables["STATE_DIRECTORY"] = f"/var/lib/{name}"
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    place = root / "run/notify"
    place.unlink(missing_ok=True)
    heard.bind(str(place))
    place.chmod(0o777)
    variables["NOTIFY_SOCKET"] = "/run/notify"

    # The process that takes over belongs to the one it replaces, which ends first.
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for line in settings.get("ExecStartPre", []) + settings["ExecStart"]:
        main_process = os.fork()
        if main_process == 0:
            become_service(root, shlex.split(line), variables, settings)
        if line not in settings["ExecStart"]:
            status = os.waitstatus_to_exitcode(os.waitpid(main_process, 0)[1])
            if status != 0:
                sys.exit(status)
    print("main", main_process, flush=True)

    def pass_on(number, _frame):
        os.kill(main_process, number)

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGHUP, pass_on)
    heard.settimeout(0.05)
    while True:
        try:
            for told in heard.recv(4096).decode().splitlines():
                print("told", told, flush=True)
                if told.startswith("MAINPID="):
                    main_process = int(told.removeprefix("MAINPID="))
        except TimeoutError:
            pass
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended == main_process:
            sys.exit(os.waitstatus_to_exitcode(status))


main()
