#!/usr/bin/env python3
"""What each setting of tuning/ does here: the value of a stock kernel and the wanted one, in turns.

Started by tuning.sh, which builds what is needed. Standard library only.

A round measures a row's work three times: with the stock value, with the wanted one and with the
stock one again; the order moves on by one place every round. Upstream and gateway are started anew
each time, because a socket keeps what it was made with. The effect is the median over the rounds
of what the wanted value changes in the same round, beside the mean of the two stock ones. The noise
is the most by which the stock value differed from itself in a round (A/A control): with an effect
no larger than that, or not of one sign in all rounds, none was seen.
Work of which CPU is counted is thrown away and repeated when anybody else used more than
--max-other percent of the gateway's core (--cpu). Upstream and load stand on --load-cpu.

Nothing here is met or missed: a row says better, worse, none within the noise, or why it cannot be
measured here. What belongs to the kernel needs root and is put back at the end by a process of its
own, whatever becomes of this one.
"""

import contextlib
import ctypes
import errno
import os
import re
import selectors
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import time
from typing import Callable, NamedTuple

import common

TUNING = os.path.join(common.HERE, "..", "..", "tuning")
NET = "/sys/class/net"
CPUFREQ = "/sys/devices/system/cpu/cpu{}/cpufreq/"
THP = "/sys/kernel/mm/transparent_hugepage/enabled"
NOBODY = 65534

# Python has no names for these.
SO_ATTACH_FILTER = 26
IP_BIND_ADDRESS_NO_PORT = 24
IP_LOCAL_PORT_RANGE = 51
FEW_PORTS = struct.pack("I", 41999 << 16 | 41000)

RETRIED = 0.9  # seconds; the kernel repeats the first packet of a connection after one


class Figure(NamedTuple):
    """What is told of a piece of work; less of it is better, or more."""

    key: str
    label: str
    digits: int = 1
    more: bool = False


class Work(NamedTuple):
    """What may feel a setting: measured of a gateway that starts with `how` as arguments."""

    name: str
    measure: Callable
    figures: tuple
    rounds: int = 99  # at most: what is counted is the same every time


class Row(NamedTuple):
    """A setting, and what may feel it."""

    name: str
    stock: str = ""
    wanted: str = ""
    works: tuple = ()
    paths: tuple = ()  # the kernel's files that take the value; none: `start` has it
    start: Callable = lambda value: {}  # how the gateway is started with a value
    also: tuple = ()  # other files and their values, without which nothing is felt
    note: str = ""
    missing: str = ""  # why it cannot be measured here
    spreads: bool = False  # it brings work of the load to the gateway's core, which others do then


class Value(NamedTuple):
    """One of the three that a round measures."""

    name: str
    value: str


# ---- The kernel's settings -----------------------------------------------------------------------


def sysctl(name):
    return "/proc/sys/" + name.replace(".", "/")


def read_setting(path):
    with open(path) as file:
        text = " ".join(file.read().split())
    chosen = re.search(r"\[(\w+)\]", text)  # `always [madvise] never`
    return chosen.group(1) if chosen else text


def write_setting(path, value):
    with open(path, "w") as file:
        file.write(value)


def keep(reader):
    """Reads old values until the other end is closed, as it is with every end of a process; then
    puts them back."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    failed = 0
    with open(reader) as told:
        olds = [line.rstrip("\n").split("\t") for line in told]
    for path, old in olds:
        try:
            write_setting(path, old)
        except OSError:
            failed = 1
    os._exit(failed)


class Kernel:
    """Sets values, and has a child that puts the old ones back: it outlives even a SIGKILL."""

    def __init__(self):
        self.old = {}

    def __enter__(self):
        reader, writer = os.pipe()
        self.keeper = os.fork()
        if self.keeper == 0:
            os.close(writer)
            keep(reader)
        os.close(reader)
        self.told = open(writer, "w")
        return self

    def __exit__(self, *_):
        self.told.close()
        _, status = os.waitpid(self.keeper, 0)
        if status:
            olds = ", ".join(f"{path} {old}" for path, old in self.old.items())
            print(f"tuning: NOT ALL was put back; it was: {olds}", flush=True)

    def put(self, path, value):
        if path not in self.old:
            self.old[path] = read_setting(path)
            self.told.write(f"{path}\t{self.old[path]}\n")
            self.told.flush()
        write_setting(path, value)

    def put_back(self):
        """Between two rows: each is measured with all others as they were."""
        for path, old in self.old.items():
            write_setting(path, old)

    def why_not(self, row):
        """Why a row's values cannot be set here, or nothing."""
        tried = [(path, value) for path in row.paths for value in (row.stock, row.wanted)]
        try:
            for path, value in [*tried, *row.also]:
                self.put(path, value)
        except FileNotFoundError as error:
            return f"this kernel has no {error.filename}"
        except OSError as error:
            return f"not settable ({error.strerror})"
        finally:
            with contextlib.suppress(OSError):
                self.put_back()
        return ""


# ---- CPU of usual work ---------------------------------------------------------------------------


class Bench(NamedTuple):
    """What the measurements are given."""

    options: object
    programs: common.Programs

    @property
    def model(self):
        return common.MODELS[self.options.chosen[0]]

    def start(self, how, **mock):
        """A fresh upstream and gateway; the gateway's port and pid."""
        return self.programs.gateway(self.programs.mock(**mock)[0], **how)

    def driver(self):
        """What the gateway that was started last said that it runs on."""
        log = os.path.join(self.programs.work, f"{self.programs.names}-gateway.log")
        with open(log) as told:
            found = re.search(r"shards? on \w+, (.*)", told.read())
        return found.group(1).strip() if found else "unknown"


def metered(bench, started, model, arguments, count, timed):
    """Runs a load: CPU of the gateway and of both cores for a piece of work, and its p99."""
    options, (port, pid) = bench.options, started
    cores = sorted({options.cpu, options.load_cpu})
    common.run_load(options, port, "-c", 64, "-d", 0.3, "-m", bench.model)
    before = [common.core_seconds(core)[0] for core in cores]
    with common.Meter(pid, options.cpu) as meter:
        result = common.run_load(options, port, "-m", model, *arguments)
    busy = sum(common.core_seconds(core)[0] for core in cores) - sum(before)
    return {
        "cpu_us": meter.cpu * 1e6 / result[count],
        "cores_us": busy * 1e6 / result[count],
        "p99_us": result[f"{timed}_p99"],
        "other": meter.other,
        "driver": bench.driver(),
    }


def unary(size):
    def measure(bench, how):
        return metered(bench, bench.start(how), bench.model,
                       ("-c", 64, "-d", bench.options.seconds, "-b", size), "good", "lat")
    return measure


def paced(streams, pieces, interval_us):
    def measure(bench, how):
        started = bench.start(how, pieces=pieces, interval_us=interval_us)
        return metered(bench, started, bench.model + "-paced",
                       ("-s", "-e", pieces, "-c", streams, "-g", interval_us // streams,
                        "-d", bench.options.seconds), "pieces", "piece")
    return measure


def idle_memory(bench, how):
    """RSS with idle connections behind some work."""
    port, pid = bench.start(how)
    common.run_load(bench.options, port, "-c", 256, "-d", 1, "-m", bench.model)
    with common.idle_connections(bench.options, port, 1000, bench.model):
        time.sleep(0.5)
        return {"rss_kib": common.rss_kib(pid), "other": 0.0}


# ---- New connections -----------------------------------------------------------------------------


def netstat():
    """The kernel's counters of /proc/net/netstat."""
    with open("/proc/net/netstat") as book:
        lines = [line.split() for line in book]
    return {name: int(count) for names, counts in zip(lines[::2], lines[1::2])
            for name, count in zip(names[1:], counts[1:])}


def connect(port, source):
    """A connection that is under way, from an address of loopback."""
    client = socket.socket()
    client.setblocking(False)
    client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    client.bind((source, 0))
    error = client.connect_ex(("127.0.0.1", port))
    if error not in (0, errno.EINPROGRESS):
        client.close()
        return None
    return client


def half_open(port, count, stack):
    """Connections of which the gateway's side never hears again: their clients have a filter that
    drops all that comes for them."""
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # take 0 bytes
    program = struct.pack("HL", 1, ctypes.addressof(instruction))
    for _ in range(count):
        client = stack.enter_context(socket.socket())
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        client.connect_ex(("127.0.0.1", port))


def wait_for_answers(clients, patience):
    """Sends a request on each connection when it is made; seconds until its answer began, for
    those that had one."""
    took = []
    with selectors.DefaultSelector() as selector:
        for client, began in clients:
            selector.register(client, selectors.EVENT_WRITE, began)
        end = time.monotonic() + patience
        while selector.get_map() and time.monotonic() < end:
            for key, events in selector.select(0.1):
                try:
                    if events & selectors.EVENT_WRITE:
                        key.fileobj.send(b"GET /health HTTP/1.1\r\nHost: bench\r\n\r\n")
                        selector.modify(key.fileobj, selectors.EVENT_READ, key.data)
                        continue
                    if key.fileobj.recv(4096):
                        took.append(time.monotonic() - key.data)
                except OSError:
                    pass
                selector.unregister(key.fileobj)
    return took


def burst(count, held=0.0, half_opened=0, patience=4.0):
    """Connections that come at once, while the gateway's core is with others for `held` seconds."""
    def measure(bench, how):
        port, pid = bench.start(how)
        # An address of its own: what the kernel remembers of a known one lets it pass.
        source = "127." + ".".join(str(1 + byte % 250) for byte in os.urandom(3))
        before = netstat()
        with contextlib.ExitStack() as stack:
            half_open(port, half_opened, stack)
            clients = []
            resume = time.monotonic() + held
            try:
                if held:
                    os.kill(pid, signal.SIGSTOP)
                for _ in range(count):
                    began = time.monotonic()
                    client = connect(port, source)
                    if client:
                        clients.append((stack.enter_context(client), began))
                time.sleep(max(0.0, resume - time.monotonic()))
            finally:
                os.kill(pid, signal.SIGCONT)
            took = wait_for_answers(clients, patience)
        after = netstat()
        all_took = sorted(took + [patience] * (count - len(took)))
        return {
            "answered": len(took),
            "retried": sum(seconds > RETRIED for seconds in all_took),
            "p99_ms": 1000 * all_took[count * 99 // 100],
            **{name: after.get(name, 0) - before.get(name, 0) for name in
               ("ListenOverflows", "ListenDrops", "SyncookiesSent")},
            "other": 0.0,
        }
    return measure


def waiting_for_a_closed_listener(bench, how):
    """Two listeners of one port, as two shards or an old and a new process have them; one closes
    while connections wait for both."""
    listeners = []
    with contextlib.ExitStack() as stack:
        port = 0
        for _ in range(2):
            listener = stack.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen(1000)
            port = listener.getsockname()[1]
            listeners.append(listener)
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                   for _ in range(400)]
        listeners[0].close()
        listeners[1].setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                listeners[1].accept()[0].close()
        lost = 0
        for client in clients:
            client.settimeout(1)
            try:
                lost += client.recv(1) != b""
            except OSError:
                lost += 1
        return {"lost": lost, "other": 0.0}


# ---- Ports ---------------------------------------------------------------------------------------


def own_address():
    """An address of this machine that is not loopback's: to it the kernel is as strict as to
    another machine. None when there is only loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return None
        address = probe.getsockname()[0]
    return None if address.startswith("127.") else address


def made_and_closed(wanted, seconds, ports=None):
    """Makes connections one by one and closes them from this side, as a pool does; how many could
    be made. A port that was used waits for a minute, or until the kernel lends it again."""
    made = 0
    with socket.socket() as listener:
        listener.bind((own_address(), 0))
        listener.listen(64)
        end = time.monotonic() + seconds
        while made < wanted and time.monotonic() < end:
            with socket.socket() as client:
                if ports:
                    client.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, ports)
                try:
                    client.connect(listener.getsockname())
                except OSError as error:
                    if error.errno != errno.EADDRNOTAVAIL:
                        raise
                    if not ports:
                        break
                    time.sleep(0.01)
                    continue
                served = listener.accept()[0]
                client.shutdown(socket.SHUT_WR)
                served.recv(1)
                served.close()
                made += 1
    return made


def many_ports(bench, how):
    return {"made": made_and_closed(30000, 10), "other": 0.0}


def same_ports(bench, how):
    return {"made": made_and_closed(100000, 3, FEW_PORTS), "other": 0.0}


# ---- Memory of the kernel for those that do not read ---------------------------------------------


def held_bytes(where):
    """What the kernel holds for the connections that ss finds, in bytes of memory."""
    told = common.output_of("ss", "-Htnm", "state", "established", where)
    return sum(int(received) + int(queued) for received, queued in
               re.findall(r"skmem:\(r(\d+),.*?,w(\d+),", told))


def ask(port, body):
    """A client that has sent all the gateway takes of a request, and does not read."""
    client = socket.create_connection(("127.0.0.1", port))
    client.settimeout(1)
    with contextlib.suppress(TimeoutError):
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\n"
                       b"Authorization: Bearer sk-vertex-bridge-dev\r\n"
                       b"Content-Type: application/json\r\n"
                       b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    return client


def slow_readers(bench, how):
    """Clients that take nothing of a long stream."""
    count = 40
    port, pid = bench.start(how, pieces=12000)
    body = b'{"model":"%s","messages":[{"role":"user","content":"Hello"}],"stream":true}'
    rss = common.rss_kib(pid)
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(ask(port, body % bench.model.encode()))
        time.sleep(1)
        return {"kernel_kib": held_bytes(f"sport = :{port}") / 1024 / count,
                "rss_kib": (common.rss_kib(pid) - rss) / count, "other": 0.0}


def slow_upstream(bench, how):
    """An upstream that takes nothing of a long prompt: it does not even accept."""
    count = 10
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(socket.socket())
        upstream.bind(("127.0.0.1", 0))
        upstream.listen(100)
        upstream_port = upstream.getsockname()[1]
        port, _ = bench.programs.gateway(upstream_port, **how)
        body = b'{"model":"%s","messages":[{"role":"user","content":"%s"}]}'
        for _ in range(count):
            stack.enter_context(ask(port, body % (bench.model.encode(), b"Hello " * 300000)))
        time.sleep(1)
        return {"kernel_kib": held_bytes(f"dport = :{upstream_port}") / 1024 / count, "other": 0.0}


# ---- What is measured ----------------------------------------------------------------------------

CPU = (Figure("cpu_us", "CPU µs", 2), Figure("p99_us", "p99 µs", 0))
CORES = (*CPU, Figure("cores_us", "CPU µs of both cores", 2))
NEW = (Figure("retried", "had to repeat or failed", 0), Figure("p99_ms", "p99 ms"),
       Figure("ListenOverflows", "ListenOverflows", 0), Figure("ListenDrops", "ListenDrops", 0),
       Figure("SyncookiesSent", "SyncookiesSent", 0))
KERNEL_KIB = Figure("kernel_kib", "KiB of the kernel for each")

UNARY = Work("short requests, 64 connections", unary("small"), CPU)
LARGE = Work("prompts of 8 KiB, 64 connections", unary("large"), CPU)
PACED = Work("100 streams, chunks 20 ms apart", paced(100, 32, 20000), CPU)
PAUSES = Work("500 streams, chunks 500 ms apart", paced(500, 8, 500000), CPU)
UNARY_CORES = UNARY._replace(figures=CORES)
PACED_CORES = PACED._replace(figures=CORES)
IDLE = Work("1000 idle connections", idle_memory, (Figure("rss_kib", "RSS KiB", 0),))
BURST = Work("1000 new connections while the gateway is held for 0.1 s", burst(1000, 0.1), NEW)
HALF = Work("200 new connections beside 1000 half-open ones", burst(200, half_opened=1000), NEW)
CLIENTS = Work("6000 clients", burst(6000, patience=6.0),
               (Figure("answered", "answered", 0, more=True),), 2)
CLOSED = Work("400 connections that wait while one of two listeners closes",
              waiting_for_a_closed_listener, (Figure("lost", "lost", 0),))
MANY_PORTS = Work("30000 short connections to one upstream, in 10 s", many_ports,
                  (Figure("made", "made", 0, more=True),), 1)
SAME_PORTS = Work("short connections by 1000 ports, for 3 s", same_ports,
                  (Figure("made", "made", 0, more=True),), 3)
READERS = Work("40 clients that do not read a long stream", slow_readers,
               (KERNEL_KIB, Figure("rss_kib", "RSS KiB for each")))
UPSTREAM = Work("10 long prompts for an upstream that does not read", slow_upstream, (KERNEL_KIB,))


def wanted_values():
    """Those of tuning/, by name."""
    values = {}
    with open(os.path.join(TUNING, "vertex-bridge-sysctl.conf")) as file:
        values.update(re.findall(r"^([a-z][\w.]*) *= *(.*)$", file.read(), re.MULTILINE))
    with open(os.path.join(TUNING, "tune.sh")) as file:
        values.update(re.findall(r"^(\w+)_wanted=(\d+)", file.read(), re.MULTILINE))
    return values


def mask(cores):
    """Cores as the kernel's files have them: words of 32 bits in hexadecimal."""
    bits = sum(1 << core for core in cores)
    words = [f"{bits >> shift & 0xffffffff:08x}" for shift in range(0, max(cores) + 1, 32)]
    return ",".join(reversed(words))


def kernel_rows(options, wanted):
    """Settings that are files of the kernel."""
    def of(name, stock, works, **more):
        return Row(name, stock, wanted[name], works, (sysctl(name),), **more)

    yield of("net.core.somaxconn", "128", (BURST,),
             note="128 was the kernel's value before 5.4; since then it is the wanted one.")
    syn = "net.ipv4.tcp_max_syn_backlog"
    cookies = sysctl("net.ipv4.tcp_syncookies")
    yield of(syn, "128", (HALF,), also=((cookies, "1"),),
             note="128 is the kernel's value with 2 GiB of memory; more memory gives more. With "
                  "SYN cookies (the kernel's default) it is the listener's own backlog that "
                  "bounds half-open connections, and this value is not looked at.")
    yield of(syn, "128", (HALF,), also=((cookies, "0"),),
             note="The same without SYN cookies (net.ipv4.tcp_syncookies = 0).")._replace(
                 name=f"{syn}, no cookies")
    alone = "" if own_address() else "this machine has no address but loopback's, to which the " \
                                     "kernel lends such ports always"
    yield of("net.ipv4.ip_local_port_range", "32768 60999", (MANY_PORTS,), missing=alone,
             note="Both ends on this machine, at an address that is not loopback's. Without the "
                  "gateway: its pools keep links, so that it takes ports at this rate only when "
                  "they do not last. The kernel searches longer for a free port the more are "
                  "taken, so that it gets slow long before none is left.",
             also=((sysctl("net.ipv4.tcp_tw_reuse"), "2"),))
    yield of("net.ipv4.tcp_tw_reuse", "2", (SAME_PORTS,), missing=alone or no_port_range(),
             note="As above. A port can be lent again one second after its connection has closed.")
    yield of("net.ipv4.tcp_migrate_req", "0", (CLOSED,),
             note="Two listeners of one port without the gateway; its own hand-over passes the "
                  "listeners on instead of closing them (scripts/verify/handover).")
    ss = "" if shutil.which("ss") else "ss is not installed"
    yield of("net.ipv4.tcp_notsent_lowat", "4294967295",
             (PACED, LARGE, *(() if ss else (READERS, UPSTREAM))),
             note="The gateway sets a smaller value for its clients itself: the setting is for "
                  f"links to upstreams. {ss}")
    yield of("net.ipv4.tcp_slow_start_after_idle", "1", (PAUSES, LARGE),
             note="What it is for cannot be felt here: the round trips of a window that opens "
                  "again take no time on loopback. This is what it costs.")
    yield of("net.ipv4.tcp_rmem", "4096 131072 6291456", (UNARY, LARGE, PACED),
             note="Stock is the kernel's most before 6.16; tune.sh leaves one that is larger "
                  "than the wanted one as it is.")
    yield of("net.ipv4.tcp_wmem", "4096 16384 524288",
             (LARGE, PACED, *(() if ss else (UPSTREAM,))),
             note="Stock is the kernel's most with 64 MiB of memory; from 512 MiB on it is the "
                  "wanted one. The gateway sets its own for its clients.")
    yield Row("transparent huge pages", "always", "madvise", (UNARY, PACED, IDLE), (THP,),
              note="`always` is the value of some distributions.")
    yield governor_row(options)
    yield Row("busy polling", "0", "50", (UNARY_CORES, PACED_CORES),
              (sysctl("net.core.busy_poll"), sysctl("net.core.busy_read")),
              note="Not set by tune.sh. Loopback has no card whose queue could be polled.")
    yield Row("RPS of lo", "0", mask([options.cpu, options.load_cpu]),
              (UNARY_CORES, PACED_CORES), (f"{NET}/lo/queues/rx-0/rps_cpus",), spreads=True,
              note="Not set by tune.sh. Packets of loopback are taken on the core that sent them, "
                   "or by this on any of the two cores.")


def governor_row(options):
    cores = sorted({options.cpu, options.load_cpu})
    try:
        with open(CPUFREQ.format(options.cpu) + "scaling_available_governors") as file:
            known = file.read().split()
    except OSError:
        return Row("CPU governor", wanted="performance",
                   missing="no governor here, as in most virtual machines")
    stock = next((name for name in ("schedutil", "ondemand", "powersave") if name in known), "")
    return Row("CPU governor", stock, "performance", (UNARY, PACED),
               tuple(CPUFREQ.format(core) + "scaling_governor" for core in cores),
               missing="" if stock else "there is only one governor")


def no_port_range():
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, FEW_PORTS)
        except OSError:
            return "this kernel does not let one socket have few ports (Linux 6.3)"
    return ""


def cannot_run(*command):
    """Why a program cannot be started so, or nothing."""
    try:
        run = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
        return run.stderr.strip() if run.returncode else ""
    except FileNotFoundError:
        return f"{command[0]} is not installed"


def start_rows(wanted):
    """Settings that a gateway is started with."""
    yield Row("kernel.io_uring_disabled", "2", wanted["kernel.io_uring_disabled"],
              (UNARY, LARGE, PACED),
              start=lambda value: {"driver": "epoll"} if value == "2" else {},
              note="2 is the value of some distributions, the wanted one is the kernel's. Not set "
                   "here, where every other program would lose it as well: the gateway is told to "
                   "serve on epoll, as it does by itself then.")

    def limited(kind, value):
        return ("prlimit", f"--{kind}={value}:{value}")

    # Reads what root may, and else is somebody whose locked memory is counted.
    somebody = ("setpriv", f"--reuid={NOBODY}", "--clear-groups",
                "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")

    def locked(value):
        return {"before": (*limited("memlock", value), *somebody)}

    memlock = str(int(wanted["memlock"]) * 1024)
    if cannot_run(*locked(memlock)["before"]):
        memlock = str(8 << 20)
    yield Row("memlock", str(64 << 10), memlock, (UNARY, PACED), start=locked,
              missing=cannot_run(*locked(memlock)["before"]),
              note="64 KiB was the kernel's value before 5.16, 8 MiB since then; the gateway runs "
                   "as another user than root, of whom it is counted. The wanted one is 64 MiB, "
                   f"{int(memlock) >> 20} MiB could be had here.")
    nofile = wanted["nofile"]
    if cannot_run(*limited("nofile", nofile)):
        nofile = common.output_of("sh", "-c", "ulimit -Hn")
    yield Row("nofile", "4096", nofile, (CLIENTS,),
              start=lambda value: {"before": limited("nofile", value)},
              note=f"4096 is the kernel's own value. The wanted one is {wanted['nofile']}, "
                   f"{nofile} could be had here.")


def card_row():
    """Which core takes the packets of a card: not felt on loopback, but told."""
    cards = []
    for name in sorted(os.listdir(NET)):
        if os.path.exists(f"{NET}/{name}/device"):
            queues = os.listdir(f"{NET}/{name}/queues")
            counts = [sum(queue.startswith(kind) for queue in queues) for kind in ("rx", "tx")]
            cards.append(f"{name} with {counts[0]} queues in and {counts[1]} out")
    there = ", ".join(cards) or "none"
    return Row("RPS, XPS, IRQ affinity of cards", missing=(
        f"the load does not pass a card (there is {there}); it takes another machine to load one"))


def all_rows(options):
    wanted = wanted_values()
    return [*kernel_rows(options, wanted), *start_rows(wanted), card_row()]


# ---- Measuring -----------------------------------------------------------------------------------


def measure(bench, kernel, row, work, value):
    """A row's work with one value."""
    for path, other in [*row.also, *((path, value) for path in row.paths)]:
        kernel.put(path, other)
    try:
        result = work.measure(bench, row.start(value))
    finally:
        bench.programs.stop()
    return {**result, "other": 0.0} if row.spreads else result


def measure_work(bench, kernel, row, work):
    """The rounds of a row's work; fewer than asked for when others kept using the core."""
    options = bench.options
    values = [Value("stock", row.stock), Value("wanted", row.wanted),
              Value("stock again", row.stock)]
    rounds = []
    wanted = min(options.rounds, work.rounds)
    for number in range(2 * wanted):
        if len(rounds) == wanted:
            break
        common.wait_for_quiet(options)
        results = common.measure_round(
            options, values, number,
            lambda value: measure(bench, kernel, row, work, value.value), f"{row.name}: ")
        if results:
            rounds.append(results)
            for figure in work.figures:
                shown = ", ".join(f"{name} {of[figure.key]:.{figure.digits}f}"
                                  for name, of in results.items())
                print(f"  {work.name}, {figure.label}: {shown}", flush=True)
    return rounds


def measure_row(bench, kernel, row):
    """The rounds of each work, by its name; or why there are none."""
    missing = row.missing or kernel.why_not(row)
    print(f"{row.name}: {missing or f'{row.stock} and {row.wanted}'}", flush=True)
    if missing:
        return missing, {}
    try:
        return "", {work.name: measure_work(bench, kernel, row, work) for work in row.works}
    except common.Failed as failure:
        return f"wrong answers: {failure}", {}
    finally:
        kernel.put_back()


# ---- The report ----------------------------------------------------------------------------------


def judge(rounds, figure):
    """Stock and wanted, the effect, the noise, and what that means."""
    of = {name: [results[name][figure.key] for results in rounds] for name in rounds[0]}
    means = [(stock + again) / 2 for stock, again in zip(of["stock"], of["stock again"])]
    effects = [wanted - mean for wanted, mean in zip(of["wanted"], means)]
    effect = statistics.median(effects)
    agreed = min(effects) > 0 or max(effects) < 0
    noise = max(abs(again - stock) for again, stock in zip(of["stock again"], of["stock"]))
    if abs(effect) <= noise or not agreed:
        found = "none within the noise"
    else:
        found = "better" if (effect > 0) == figure.more else "worse"
    stock, wanted = statistics.median(means), statistics.median(of["wanted"])
    return {"stock": stock, "wanted": wanted, "effect": effect, "noise": noise, "verdict": found}


def work_lines(report, row, work, rounds):
    """Lines of the table, one for each figure."""
    if not rounds:
        yield row.name, work.name, "", "", "", "", "not measured: others used the core"
        return
    for figure in work.figures:
        of = judge(rounds, figure)
        report.verdicts.append({"what": row.name, "work": work.name, "figure": figure.label, **of})
        share = f" ({100 * of['effect'] / of['stock']:+.1f} %)" if of["stock"] else ""
        numbers = {key: f"{of[key]:.{figure.digits}f}" for key in ("stock", "wanted", "noise")}
        yield (row.name, f"{work.name}: {figure.label}", numbers["stock"], numbers["wanted"],
               f"{of['effect']:+.{figure.digits}f}{share}", numbers["noise"], of["verdict"])


def drivers(works):
    """What the gateway ran on, when that is what a value changes."""
    used = {}
    for results in (results for rounds in works.values() for results in rounds):
        for name in ("stock", "wanted"):
            if "driver" in results[name]:
                used[name] = results[name]["driver"]
    if len(set(used.values())) < 2:
        return ""
    return f" The gateway says that it runs on {used['stock']} (stock), {used['wanted']} (wanted)."


def make_report(options, measured):
    report = common.Report(options, "What the settings of tuning/ do here")
    report.text(
        f"At most {options.rounds} interleaved rounds of stock, wanted and stock again; usual work "
        f"runs for {options.seconds:g} s each time. Medians; the effect is the median of the "
        "rounds' own differences to the mean of both stock ones, the noise is the most by which "
        "stock differed from itself in a round (A/A control). Better and worse are what is more "
        "than the noise and of one sign in all rounds.")
    lines, notes = [], []
    for row, missing, works in measured:
        if missing:
            lines.append((row.name, "", "", "", "", "", f"not measurable here: {missing}"))
            report.verdicts.append({"what": row.name, "verdict": "not measurable here",
                                    "why": missing})
        else:
            for work in row.works:
                lines += work_lines(report, row, work, works[work.name])
        values = f"stock {row.stock}, wanted {row.wanted}. " if row.stock else ""
        if values or row.note:
            notes.append(f"- **{row.name}**: {values}{row.note}{drivers(works)}".rstrip())
    report.table(("", "work and figure", "stock", "wanted", "effect", "noise", "verdict"), lines)
    report.heading("Values")
    report.text("\n".join(notes))
    report.finish(("tuning.md", "tuning.json"), {
        "rows": {row.name: {"missing": missing, "rounds": works}
                 for row, missing, works in measured}})


def parse_options():
    parser = common.new_parser("tuning", __doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=3, help="of usual work")
    parser.add_argument("--rows", metavar="A,B", help="only rows in whose names one of these is")
    options = common.parse(parser, [])
    if options.quick:
        options.rounds, options.seconds = 3, 1
    if options.rounds < 1:
        parser.error("one round is needed at least")
    if options.cpu == options.load_cpu:
        parser.error("two cores are needed, one for what is measured")
    rows = all_rows(options)
    chosen = common.names(options.rows or "")
    options.row_list = [row for row in rows
                        if not chosen or any(word in row.name for word in chosen)]
    if not options.row_list:
        parser.error(f"there is no such row; known: {'; '.join(row.name for row in rows)}")
    return options


def main():
    options = parse_options()
    if options.check_options:
        return
    with common.Programs(options) as programs, Kernel() as kernel:
        bench = Bench(options, programs)
        measured = [(row, *measure_row(bench, kernel, row)) for row in options.row_list]
        make_report(options, measured)


if __name__ == "__main__":
    main()
