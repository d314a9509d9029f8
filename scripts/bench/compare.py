#!/usr/bin/env python3
"""Runs the gateway and plain proxies against one mock upstream, in turns, and prints their cost.

Started by compare.sh, which builds what is needed. Standard library only.

Every target is pinned to one core (--cpu), upstream and load generator to another (--load-cpu).
A round measures each target once with short answers and once with paced streams; the order moves
on by one place every round. nginx is entered twice: the difference between the two entries is the
noise of the run (A/A control), and no smaller difference means anything. A round during which
anybody else used more than --max-other percent of the targets' core is thrown away and repeated.

CPU time is what the scheduler charged to the target's threads, user and kernel, divided by the
answers (or streamed chunks) that arrived whole and were right.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
MODEL = "gemini-2.5-flash"
PACED_MODEL = MODEL + "-paced"

# What the gateway is meant to cost beside nginx.
LIMITS = {"request": 1.5, "chunk": 1.2}
LIMITS_MIB = {"idle": 25, "loaded": 30}


# ---- Reading the kernel's books ------------------------------------------------------------------


def cpu_seconds(pid):
    """CPU time of all threads of a process, and the time for which they were ready to run and
    others had the core. Nanosecond steps; a kernel without these books gives ticks and no waits.
    """
    try:
        used = waited = 0
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as book:
                fields = book.read().split()
            used, waited = used + int(fields[0]), waited + int(fields[1])
        return used / 1e9, waited / 1e9
    except (FileNotFoundError, IndexError):
        with open(f"/proc/{pid}/stat") as book:
            fields = book.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND, 0.0


def core_seconds(core):
    """Busy and whole time of a core. Time that the hypervisor took counts as busy."""
    with open("/proc/stat") as book:
        for line in book:
            if line.startswith(f"cpu{core} "):
                fields = [int(field) for field in line.split()[1:9]]
                idle = fields[3] + fields[4]
                return (sum(fields) - idle) / TICKS_PER_SECOND, sum(fields) / TICKS_PER_SECOND
    raise SystemExit(f"compare: this machine has no core {core}")


def rss_mib(pid):
    with open(f"/proc/{pid}/status") as book:
        for line in book:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


# ---- Programs ------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process, name):
    for _ in range(200):
        if process.poll() is not None:
            raise SystemExit(f"compare: {name} has ended with status {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"compare: {name} does not listen on port {port}")


class Programs:
    """Everything that is started, and stopped at the end."""

    def __init__(self, options, work):
        self.options, self.work, self.running = options, work, []

    def start(self, name, command, port, core, environment=None):
        command = ["taskset", "-c", str(core), *command]
        log = open(os.path.join(self.work, f"{name}.log"), "wb")
        # From an empty folder and environment: no .env file and no variable may change a run.
        process = subprocess.Popen(
            command, cwd=self.work, env={"PATH": os.environ["PATH"], **(environment or {})},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.running.append(process)
        wait_for(port, process, f"{name} (see {log.name})")
        return process.pid

    def stop(self):
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()

    def configured(self, name, listen, upstream):
        """A configuration file with ports filled in; its path."""
        with open(os.path.join(HERE, name)) as form:
            text = form.read()
        for word, value in (("@WORK@", self.work), ("@LISTEN@", listen), ("@UPSTREAM@", upstream)):
            text = text.replace(word, str(value))
        path = os.path.join(self.work, name)
        with open(path, "w") as filled:
            filled.write(text)
        return path


def start_targets(programs, upstream):
    """Starts all there is; a list of (name, port, pid), nginx first and again at the end."""
    options, targets = programs.options, []

    def add(name, command_for, environment=None):
        port = free_port()
        environment = environment(port) if environment else None
        pid = programs.start(name, command_for(port), port, options.cpu, environment)
        targets.append((name, port, pid))

    add("nginx", lambda port: [
        "nginx", "-c", programs.configured("nginx.conf", port, upstream),
        "-e", os.path.join(programs.work, "nginx-error.log")])
    add("vertex-bridge", lambda port: [options.binary, "--runtime", options.runtime], lambda port: {
        "APP_SERVER__PORT": str(port),
        "APP_RUNTIME__DRIVER": options.driver,
        "GOOGLE_API_KEY": "measured-key",
        "APP_VERTEX__API_KEY_BASE_URL": f"http://127.0.0.1:{upstream}",
        # The measurement must not meet the limit for clients.
        "APP_RATE_LIMIT__CAPACITY": "1000000000",
        "APP_RATE_LIMIT__REFILL_PER_SECOND": "1000000000",
    })
    if not options.nginx_only and shutil.which("haproxy"):
        add("haproxy", lambda port: [
            "haproxy", "-db", "-f", programs.configured("haproxy.cfg", port, upstream)])
    floor = os.path.join(options.tools, "floor")
    if not options.nginx_only and os.path.exists(floor):
        add("floor", lambda port: [floor, str(port), str(upstream)])
    targets.append(("nginx again", *targets[0][1:]))
    return targets


# ---- Measuring -----------------------------------------------------------------------------------


class Failed(Exception):
    """A target gave wrong answers."""


def load(options, port, connections, seconds, *more):
    command = ["taskset", "-c", str(options.load_cpu), os.path.join(options.tools, "load"),
               "-u", f"127.0.0.1:{port}", "-c", str(connections), "-d", str(seconds), *more]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        result = json.loads(run.stdout)
    except ValueError:
        raise Failed(run.stderr.strip() or "the load generator said nothing") from None
    wrong = {name: result[name] for name in
             ("bad_status", "bad_body", "not_done", "socket_errors", "unfinished") if result[name]}
    if wrong or not result["good"]:
        raise Failed(f"{wrong or 'no answer'}, last status {result['last_status']}")
    return result


def measure(options, target, kind):
    """One target, one kind of work: CPU microseconds a piece of work, and what others used."""
    _, port, pid = target
    if kind == "request":
        connections, more = options.connections, ["-m", MODEL]
    else:
        gap = options.interval_us // options.streams
        connections = options.streams
        more = ["-m", PACED_MODEL, "-s", "-e", str(options.pieces), "-g", str(gap)]
    load(options, port, min(connections, 8), 0.3, "-m", MODEL)  # warm caches and pools
    started, (own, waited), (busy, whole) = time.time(), cpu_seconds(pid), core_seconds(options.cpu)
    result = load(options, port, connections, options.seconds, *more)
    own_after, waited_after = cpu_seconds(pid)
    own, waited, wall = own_after - own, waited_after - waited, time.time() - started
    busy_after, whole_after = core_seconds(options.cpu)
    # The core's own books are sampled by ticks and may miss short work; waiting is exact.
    other = max((busy_after - busy - own) / max(whole_after - whole, 1e-9), waited / wall)
    work = result["good"] if kind == "request" else result["pieces"]
    return {
        "cpu_us": own * 1e6 / work,
        "work": work,
        "core_use": own / wall,
        "other": max(0.0, other),
        "p50_us": result["lat_p50" if kind == "request" else "piece_p50"],
        "p99_us": result["lat_p99" if kind == "request" else "piece_p99"],
    }


def measure_round(options, targets, number):
    """Every target once per kind of work; None when the core was not ours."""
    shift = number % len(targets)
    order = targets[shift:] + targets[:shift]
    results = {}
    for kind in ("request", "chunk"):
        for target in order:
            result = measure(options, target, kind)
            if result["other"] > options.max_other / 100:
                print(f"  thrown away: others used {100 * result['other']:.0f} % of core "
                      f"{options.cpu} during {target[0]}", flush=True)
                return None
            results.setdefault(target[0], {})[kind] = result
    return results


def wait_for_quiet(options):
    """Waits until nobody else uses the core, for at most a minute: a round would be thrown away."""
    end = time.time() + 60
    while time.time() < end:
        busy, whole = core_seconds(options.cpu)
        time.sleep(0.5)
        busy_after, whole_after = core_seconds(options.cpu)
        if busy_after - busy <= options.max_other / 100 * (whole_after - whole):
            return


def measure_rounds(options, targets):
    rounds, tries = [], 0
    while len(rounds) < options.rounds and tries < 2 * options.rounds:
        tries += 1
        wait_for_quiet(options)
        results = measure_round(options, targets, tries)
        if results is None:
            continue
        rounds.append(results)
        shown = ", ".join(
            f"{name} {of['request']['cpu_us']:.1f}/{of['chunk']['cpu_us']:.1f}"
            for name, of in results.items())
        print(f"  round {len(rounds)}: {shown}", flush=True)
    return rounds


def measure_memory(options, target):
    """The largest RSS while 256 keep-alive connections are busy."""
    _, port, pid = target
    largest, ended = [0.0], threading.Event()

    def watch():
        while not ended.wait(0.05):
            largest[0] = max(largest[0], rss_mib(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        load(options, port, 256, options.seconds, "-m", MODEL)
    finally:
        ended.set()
        watcher.join()
    return largest[0]


# ---- The report ----------------------------------------------------------------------------------


def values(rounds, name, kind, what="cpu_us"):
    return [results[name][kind][what] for results in rounds]


def ratio(rounds, name, kind):
    """Median over rounds of the ratio to nginx in the same round."""
    pairs = zip(values(rounds, name, kind), values(rounds, "nginx", kind))
    return statistics.median(own / nginx for own, nginx in pairs)


def spread(numbers):
    return f"{statistics.median(numbers):6.1f} ({min(numbers):.1f}-{max(numbers):.1f})"


def output_of(*command):
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE)
        return (run.stdout + run.stderr).strip()
    except FileNotFoundError:
        return ""


def describe(options):
    """Where and with what the figures were taken."""
    model = "unknown CPU"
    with open("/proc/cpuinfo") as book:
        for line in book:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    nginx = output_of("nginx", "-v").rsplit(" ", 1)[-1]
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": output_of("git", "rev-parse", "--short=12", "HEAD") or "unknown",
        "gateway": f"{options.runtime}, driver {options.driver}",
        "machine": f"{model}, {os.cpu_count()} cores, Linux {os.uname().release}",
        "nginx": nginx,
        "work": f"{options.connections} connections with short answers; {options.streams} streams "
                f"of {options.pieces} chunks, {options.interval_us / 1000:g} ms apart; "
                f"{options.seconds:g} s each",
    }


def verdict(value, limit, noise):
    if value <= limit:
        return "met"
    return "met within the noise" if value <= limit * (1 + noise) else "MISSED"


def report(options, targets, rounds, memory):
    print()
    for what, text in describe(options).items():
        print(f"{what:<8} {text}")
    print(f"rounds   {len(rounds)} (asked for {options.rounds})\n")
    print(f"{'':<14} {'CPU µs/request':>22} {'x nginx':>8} {'CPU µs/chunk':>22} {'x nginx':>8} "
          f"{'RSS MiB idle':>13} {'loaded':>7}")
    for name, _, _ in targets:
        idle, loaded = memory.get(name, (None, None))
        rss = f"{idle:>13.1f} {loaded:>7.1f}" if idle is not None else ""
        print(f"{name:<14} {spread(values(rounds, name, 'request')):>22} "
              f"{ratio(rounds, name, 'request'):>8.2f} "
              f"{spread(values(rounds, name, 'chunk')):>22} "
              f"{ratio(rounds, name, 'chunk'):>8.2f} {rss}")
    print("(median of the rounds, least and most; ratios are medians of the rounds' own ratios)\n")
    noise = {kind: abs(ratio(rounds, "nginx again", kind) - 1) for kind in LIMITS}
    print(f"A/A control (nginx against itself): request {100 * noise['request']:.1f} %, "
          f"chunk {100 * noise['chunk']:.1f} %")
    for kind, limit in LIMITS.items():
        own = ratio(rounds, "vertex-bridge", kind)
        print(f"CPU per {kind}: {own:.2f} x nginx, at most {limit:.2f}: "
              f"{verdict(own, limit, noise[kind])}")
    for what, value in zip(("idle", "loaded"), memory["vertex-bridge"]):
        limit = LIMITS_MIB[what]
        print(f"RSS {what}: {value:.1f} MiB, at most {limit}: {verdict(value, limit, 0)}")
    return noise


def parse_options():
    parser = argparse.ArgumentParser(
        prog="compare.sh", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="three rounds of two seconds")
    parser.add_argument("--connections", type=int, default=64, help="with short answers")
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--pieces", type=int, default=64, help="chunks of a stream")
    parser.add_argument("--interval-us", type=int, default=20000, help="between two chunks")
    parser.add_argument("--runtime", default="monoio", choices=("monoio", "glommio"))
    parser.add_argument("--driver", default="auto", choices=("auto", "io_uring", "epoll"))
    parser.add_argument("--nginx-only", action="store_true",
                        help="without HAProxy and the io_uring floor")
    parser.add_argument("--cpu", type=int, default=1, help="core of what is measured")
    parser.add_argument("--load-cpu", type=int, default=0, help="core of upstream and load")
    parser.add_argument("--max-other", type=float, default=10,
                        help="percent of the core that others may use in a round")
    parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tools", required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 3, 2
    options.binary = os.path.abspath(options.binary)
    return options


def main():
    options = parse_options()
    if os.cpu_count() < 2:
        raise SystemExit("compare: two cores are needed, one for what is measured")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    work = os.path.join(options.tools, "work")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    programs = Programs(options, work)
    # So that a terminated run stops what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        upstream = free_port()
        programs.start("mock", [os.path.join(options.tools, "mock"), str(upstream),
                                str(options.pieces), str(options.interval_us)],
                       upstream, options.load_cpu)
        targets = start_targets(programs, upstream)
        time.sleep(1)
        singles = targets[:-1]
        idle = {name: rss_mib(pid) for name, _, pid in singles}
        print("CPU µs per request/chunk:", flush=True)
        rounds = measure_rounds(options, targets)
        if not rounds:
            raise SystemExit("compare: others used the core in every round; nothing to report")
        memory = {target[0]: (idle[target[0]], measure_memory(options, target))
                  for target in singles}
        noise = report(options, targets, rounds, memory)
        path = os.path.join(options.tools, "results.json")
        with open(path, "w") as results:
            json.dump({**describe(options), "rounds": rounds, "memory": memory, "noise": noise},
                      results, indent=1)
        print(f"all figures: {path}")
    except Failed as failure:
        raise SystemExit(f"compare: wrong answers: {failure}") from None
    finally:
        programs.stop()


if __name__ == "__main__":
    main()
