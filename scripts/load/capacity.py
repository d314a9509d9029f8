"""Measures what gateways use of their cores under known loads, beside what the calculator says.

    capacity.py FOLDER ROUNDS MINUTES [--measure]

With --measure it prints the curves of capacity.json instead.

Started by scripts/verify/capacity, which builds the tools into FOLDER. Writes rows of the evidence
to FOLDER/rows; exit status 1 when a prediction is further off than BOUND. Standard library only.
"""

import contextlib
import importlib.util
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

root = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(root / "scripts/bench"))
import common  # noqa: E402

named = importlib.util.spec_from_file_location("calculator", root / "scripts/capacity.py")
calculator = importlib.util.module_from_spec(named)
named.loader.exec_module(calculator)

work, rounds, minutes = pathlib.Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
BOUND = 0.15
WAITED = 0.1  # of the time, by a gateway that could run, for a core that somebody else had
FLOOR_US = 10.8  # a short request through floor.c at 64 connections, where the costs were measured
CHUNKS, PIECES = 10, 200  # a second, of each stream; of a whole stream, which outlasts a round
SETTLE, SECONDS = 1.5, 1.5
costs = calculator.Costs()

# Gateways, requests a second and streams of each: what the curves are measured at, and what is predicted.
CURVE = [(1, 500, 0), (1, 2000, 0), (1, 5000, 0), (1, 10000, 0), (1, 0, 20), (1, 0, 100), (1, 0, 500), (1, 0, 2000)]
LOADS = [(1, 1000, 0), (1, 3500, 0), (1, 8000, 0), (1, 0, 50), (1, 0, 250), (1, 0, 1000), (1, 1500, 250), (1, 4000, 500),
         (2, 1000, 0), (2, 750, 150)]
PACED = """
[[upstream]]
name = "paced"
kind = "gemini"
base_url = "http://127.0.0.1:{port}"
api_key = "measured-key"
[[route]]
model = "gemini-paced*"
targets = [{{ upstream = "paced" }}]
[log]
exchanges = "off"
"""


class Setup:
    """A gateway on each of two cores, each with a simulator; and the floor."""

    def __init__(self):
        self.running, self.gateways = [], []
        for core, upstream_core in ((1, 0), (0, 0)):
            port = self.start(upstream_core, "vertex-bridge", "simulate", "--listen", "127.0.0.1:{}", "--latency", "20ms")
            mock = self.start(upstream_core, "mock", "{}", str(PIECES), str(1_000_000 // CHUNKS))
            folder = work / f"gateway-{core}"
            folder.mkdir(exist_ok=True)
            text = common.GATEWAY_TOML.format(connections=common.CONNECTIONS, port=port)
            (folder / "gateway.toml").write_text(text + PACED.format(port=mock))
            port = self.start(core, "vertex-bridge", "--cores", str(core), "--config", str(folder / "gateway.toml"))
            self.gateways.append((port, self.running[-1].pid, core))
        self.floor = self.start(1, "floor", "{}", str(mock)), self.running[-1].pid
        self.upstreams = [[process.pid for process in self.running[at : at + 2]] for at in (0, 3)]

    def start(self, core, program, *arguments):
        port = common.free_port()
        command = ["taskset", "-c", str(core), str(work / program), *(text.format(port) for text in arguments)]
        with open(work / "programs.log", "ab") as log:
            environment = {"PATH": os.environ["PATH"], "APP_SERVER__PORT": str(port)}
            self.running.append(subprocess.Popen(command, cwd=work, env=environment, stdout=log, stderr=log))
        common.wait_for(port, self.running[-1], program)
        return port

    def place(self, count):
        """The second gateway's upstream stands on the other gateway's core, so that both cores have the same."""
        for pid in self.upstreams[1]:
            for task in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(task), {1 if count == 2 else 0})

    def stop(self):
        for process in self.running:
            process.kill()
            process.wait()


class Disturbed(Exception):
    pass


def speed(setup):
    """How much dearer this machine is now than where the costs were measured."""
    port, pid = setup.floor
    load = subprocess.Popen(["taskset", "-c", "0", str(work / "closed"), "-u", f"127.0.0.1:{port}", "-c", "64", "-d", "1", "-m", "gpt-4o-mini"],
                            stdout=subprocess.PIPE, text=True)
    with common.Meter(pid, 1) as meter:
        told = json.loads(load.communicate()[0])
    return meter.cpu * 1e6 / told["good"] / FLOOR_US


def start_load(*command):
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measure(setup, count, requests, streams):
    """What all gateways use of their cores together, and what each of the others beside them uses on the average."""
    setup.place(count)
    loads = []
    for port, _, core in setup.gateways[:count]:
        beside = 0 if count == 1 else core
        seconds = SETTLE + SECONDS + 0.5
        pinned, at = ["taskset", "-c", str(beside)], ["-u", f"127.0.0.1:{port}"]
        if requests:
            loads.append(start_load(*pinned, str(work / "load"), *at, "-m", "gemini-2.5-flash", "-d", str(seconds), "-r", str(requests), "-n", "10"))
        if streams:
            apart = str(1_000_000 // CHUNKS // streams)  # so that no two have their chunks at one moment
            loads.append(start_load(*pinned, str(work / "closed"), *at, "-m", "gemini-paced-2.5", "-d", str(seconds), "-s", "-e", str(PIECES),
                                    "-c", str(streams), "-g", apart))
    known = [pid for _, pid, _ in setup.gateways[:count]]
    try:
        time.sleep(SETTLE)
        cores = [core for _, _, core in setup.gateways[:count]]
        books, busy, begin = [common.cpu_seconds(pid) for pid in known], [common.core_seconds(core)[0] for core in cores], time.monotonic()
        time.sleep(SECONDS)
        after, seconds = [common.cpu_seconds(pid) for pid in known], time.monotonic() - begin
        busy = sum(common.core_seconds(core)[0] for core in cores) - sum(busy)
        own, waited = ([(new[side] - old[side]) / seconds for new, old in zip(after, books)] for side in (0, 1))
    finally:
        for load in loads:
            load.kill()
            load.wait()
    # Of two, each shares its core with an upstream and a load.
    if max(waited) > (WAITED if count == 1 else 3 * WAITED):
        raise Disturbed
    # The kernel's books of a core are kept in ticks, and may have a little less than the process's.
    return sum(own), max(busy / seconds - sum(own), 0) / count


def wait_for_quiet():
    books = [common.core_seconds(core) for core in (0, 1)]
    time.sleep(0.5)
    for core, (busy, whole) in enumerate(books):
        busy_after, whole_after = common.core_seconds(core)
        if busy_after - busy > 3 * WAITED * (whole_after - whole):
            raise Disturbed


def kept(setup, load, end):
    """One undisturbed round: what all gateways together used, what stood beside each, and the machine's speed; None when there
    was no quiet."""
    # The others have their turn when this one finds no quiet.
    own_end = min(end, time.monotonic() + 25)
    while time.monotonic() < own_end:
        try:
            wait_for_quiet()
            factor = speed(setup)
            own, others = measure(setup, *load)
        except Disturbed:
            time.sleep(0.5)
            continue
        return own, others, factor
    return None


def curves():
    """What a request and a chunk cost, by how full the core is."""
    end, found = time.monotonic() + minutes * 60, {load: [] for load in CURVE}
    setup = Setup()
    try:
        for _ in range(rounds):
            for load in CURVE:
                seen = kept(setup, load, end)
                if seen:
                    events = load[1] + load[2] * CHUNKS
                    own, _, factor = seen
                    found[load].append((own, own / factor * 1e6 / events))
                    print(f"capacity: {load}: core {own:.3f}, {found[load][-1][1]:.1f} µs, speed {factor:.2f}", flush=True)
    finally:
        setup.stop()
    for what, which in (("requests", 1), ("chunks", 2)):
        print(what, [[round(statistics.median(pair[side] for pair in pairs), 3 - 2 * side) for side in (0, 1)] for load, pairs in found.items() if load[which] and pairs])
    return 0


def main():
    if "--measure" in sys.argv:
        return curves()
    end, far = time.monotonic() + minutes * 60, 0
    results, factors = {load: [] for load in LOADS}, []
    setup = Setup()
    try:
        for number in range(rounds):
            for load in LOADS:
                found = kept(setup, load, end)
                if found:
                    results[load].append(found[:2])
                    factors.append(found[2])
                    print("capacity: round {}, {}: measured {:.3f}, beside {:.3f}, speed {:.2f}".format(number + 1, load, *found), flush=True)
    finally:
        setup.stop()
    with open(work / "rows", "a") as rows:
        for load, found in results.items():
            count, requests, streams = load
            said = " and ".join([f"{requests} requests/s"] * bool(requests) + [f"{streams} streams"] * bool(streams))
            what = f"{'one process' if count == 1 else 'two processes, each'}: {said}"
            if not found:
                rows.write(f"| {what} | no undisturbed round | within {100 * BOUND:.0f} % | MISSED |\n")
                far += 1
                continue
            # A single look at the speed is off by more than the rounds are.
            others = statistics.median(others for _, others in found)
            found = [own for own, _ in found]
            predicted = count * costs.use_of_core(requests, streams * CHUNKS, speed=statistics.median(factors), others=others)
            measured = statistics.median(found)
            off = predicted / measured - 1
            far += abs(off) > BOUND
            rows.write(f"| {what}; predicted {100 * predicted:.1f} %, measured {100 * measured:.1f} % "
                       f"({100 * min(found):.1f} to {100 * max(found):.1f}), {len(found)} rounds | off by {100 * off:+.0f} % "
                       f"| within {100 * BOUND:.0f} % | {'met' if abs(off) <= BOUND else 'MISSED'} |\n")
        if factors:
            rows.write(f"| speed of the machine: what the bare forwarder needs now, of {FLOOR_US} µs | "
                       f"× {statistics.median(factors):.2f} ({min(factors):.2f} to {max(factors):.2f}) | | |\n")
    return far > 0


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
with contextlib.suppress(KeyboardInterrupt):
    sys.exit(main())
