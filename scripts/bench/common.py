"""What the measurements of this folder have in common: programs, the kernel's books, verdicts.

Standard library only. The wrappers (*.sh) build what is needed and start the measurements.
"""

import argparse
import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

HERE = os.path.dirname(os.path.abspath(__file__))
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

# What is asked for tells the gateway which upstream to use, and so what it has to do. The names
# are the vendors', so that nothing special is known about them.
MODELS = {"exact": "gpt-4o-mini", "gemini": "gemini-2.5-flash", "anthropic": "claude-sonnet-4-5"}
RUNTIMES = ("native", "monoio", "glommio")
TRANSLATED = ("gemini", "anthropic")
# A connection takes two descriptors of a forwarder, and a process may have 20000.
CONNECTIONS = 9500

GATEWAY_TOML = """\
# The measurement must not meet a limit for clients.
[rate_limit]
capacity = 1000000000
refill_per_second = 1000000000
[limits]
connections = {connections}
in_flight = {connections}
[[upstream]]
name = "exact"
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
api_key = "measured-key"
[[upstream]]
name = "gemini"
kind = "gemini"
base_url = "http://127.0.0.1:{port}"
api_key = "measured-key"
[[upstream]]
name = "anthropic"
kind = "anthropic"
base_url = "http://127.0.0.1:{port}"
api_key = "measured-key"
[[route]]
model = "gpt-*"
targets = [{{ upstream = "exact" }}]
[[route]]
model = "gemini-*"
targets = [{{ upstream = "gemini" }}]
[[route]]
model = "claude-*"
targets = [{{ upstream = "anthropic" }}]
"""


class Failed(Exception):
    """A target gave wrong answers."""


class Target(NamedTuple):
    """What is measured: several may be one process that is asked for different models."""

    name: str
    port: int
    pid: int
    model: str


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


def children_cpu_seconds():
    """CPU time of the programs that were started and have ended: the load generator's."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def core_seconds(core):
    """Busy and whole time of a core. Time that the hypervisor took counts as busy."""
    with open("/proc/stat") as book:
        for line in book:
            if line.startswith(f"cpu{core} "):
                fields = [int(field) for field in line.split()[1:9]]
                idle = fields[3] + fields[4]
                return (sum(fields) - idle) / TICKS_PER_SECOND, sum(fields) / TICKS_PER_SECOND
    raise SystemExit(f"bench: this machine has no core {core}")


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as book:
        for line in book:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


class Meter:
    """What a process used of its core over a block, and what others used."""

    def __init__(self, pid, core):
        self.pid, self.core = pid, core

    def __enter__(self):
        self.time, self.books = time.monotonic(), cpu_seconds(self.pid)
        self.core_books = core_seconds(self.core)
        return self

    def __exit__(self, *_):
        own, waited = (after - before for after, before in zip(cpu_seconds(self.pid), self.books))
        busy, whole = (after - before
                       for after, before in zip(core_seconds(self.core), self.core_books))
        wall = time.monotonic() - self.time
        self.cpu, self.core_use = own, own / wall
        # The core's own books are sampled by ticks and may miss short work; waiting is exact.
        self.other = max((busy - own) / max(whole, 1e-9), waited / wall, 0.0)


def measure_round(options, targets, number, measure, what=""):
    """What `measure` gives for every target, once, in an order that moves on with the number of the
    round; None when the core was not ours. `what` is measured, for the messages."""
    shift = number % len(targets)
    results = {}
    for target in targets[shift:] + targets[:shift]:
        try:
            result = measure(target)
        except Failed as failure:
            raise Failed(f"{what}{target.name}: {failure}") from None
        if result["other"] > options.max_other / 100:
            print(f"  {what}thrown away: others used {100 * result['other']:.0f} % of the core "
                  f"during {target.name}", flush=True)
            return None
        results[target.name] = result
    return {target.name: results[target.name] for target in targets}


def wait_for_quiet(options):
    """Waits until nobody else uses the core, for at most a minute: a round would be thrown away."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        busy, whole = core_seconds(options.cpu)
        time.sleep(0.5)
        busy_after, whole_after = core_seconds(options.cpu)
        if busy_after - busy <= options.max_other / 100 * (whole_after - whole):
            return


def kept_round(options, targets, number, measure, what):
    """A round of `what`, told as it went; repeated when others kept using the core, and None when
    they did each time."""
    for _ in range(3):
        wait_for_quiet(options)
        results = measure_round(options, targets, number, measure, f"{what} ")
        if results:
            shown = ", ".join(f"{name} {of['cpu_us']:.1f}" for name, of in results.items())
            print(f"  {what}: {shown}", flush=True)
            return results
    return None


def scenario_rounds(options, targets, scenarios, measure):
    """The rounds of every scenario; fewer than asked for when others kept using the core."""
    rounds = {scenario.name: [] for scenario in scenarios}
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}, CPU µs:", flush=True)
        for scenario in scenarios:
            results = kept_round(
                options, targets, number,
                lambda target, scenario=scenario: measure(options, target, scenario),
                scenario.name)
            if results:
                rounds[scenario.name].append(results)
    return rounds


def spent(meter, result, streamed, paced):
    """What a target spent on its work, as a round keeps it: on answers, or on streamed chunks."""
    work = result["pieces" if streamed else "good"]
    timed = "piece" if paced else "lat"
    return {
        "cpu_us": meter.cpu * 1e6 / work,
        "work": work,
        "core_use": meter.core_use,
        "other": meter.other,
        "p50_us": result[f"{timed}_p50"],
        "p99_us": result[f"{timed}_p99"],
    }


def paired(rounds, name, beside, what="cpu_us", difference=False):
    """Median over rounds of what two targets have in the same round: ratio or difference."""
    pairs = [(results[name][what], results[beside][what]) for results in rounds
             if name in results and beside in results]
    if not pairs:
        return None
    return statistics.median(one - other if difference else one / other for one, other in pairs)


# ---- Programs ------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, process, name, seconds=10):
    for _ in range(20 * seconds):
        if process.poll() is not None:
            raise SystemExit(f"bench: {name} has ended with status {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"bench: {name} does not listen on port {port}")


class Programs:
    """Everything that is started, and stopped at the end."""

    def __init__(self, options):
        self.options, self.running = options, []
        self.work = os.path.join(options.tools, f"work-{options.name}")
        shutil.rmtree(self.work, ignore_errors=True)
        os.makedirs(self.work)
        self.names = 0

    def __enter__(self):
        # So that a terminated run stops what it has started.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self, name, command, port, core, environment=None, seconds=10):
        """Starts a program that listens on `port` within so many seconds; its pid."""
        command = ["taskset", "-c", str(core), *command]
        self.names += 1
        with open(os.path.join(self.work, f"{self.names}-{name}.log"), "wb") as log:
            # From an empty folder and environment: no .env file and no variable may change a run.
            process = subprocess.Popen(
                command, cwd=self.work, env={"PATH": os.environ["PATH"], **(environment or {})},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.running.append(process)
        wait_for(port, process, f"{name} (see {log.name})", seconds)
        return process.pid

    def stop(self, pid=None):
        """Stops one of them, or all."""
        ending = [process for process in self.running if pid in (None, process.pid)]
        self.running = [process for process in self.running if process not in ending]
        for process in ending:
            process.terminate()
        for process in ending:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def mock(self, core=None, pieces=None, interval_us=None):
        """Starts an upstream; its port and pid."""
        options, port = self.options, free_port()
        pid = self.start("mock", [
            os.path.join(options.tools, "mock"), str(port),
            str(options.pieces if pieces is None else pieces),
            str(options.interval_us if interval_us is None else interval_us),
        ], port, options.load_cpu if core is None else core)
        return port, pid

    def gateway(self, upstream, core=None, driver=None, before=(), runtime=None, binary=None):
        """Starts a gateway in front of the mock on port `upstream`; its port and pid. `before` is
        a command that starts the one behind it, such as prlimit."""
        options, port = self.options, free_port()
        path = os.path.join(self.work, f"gateway-{port}.toml")
        with open(path, "w") as file:
            file.write(GATEWAY_TOML.format(port=upstream, connections=CONNECTIONS))
        command = [*before, binary or options.binary, "--runtime", runtime or options.runtime]
        pid = self.start("gateway", command, port,
                         options.cpu if core is None else core, {
                             "VERTEX_BRIDGE_CONFIG": path,
                             "APP_SERVER__PORT": str(port),
                             "APP_RUNTIME__DRIVER": driver or options.driver,
                         })
        return port, pid

    def forwarder(self, name, upstream, core=None):
        """Starts one that copies bytes; its port and pid, or None when it is not installed."""
        options, port = self.options, free_port()
        tool = os.path.join(options.tools, name)
        if name == "nginx" and shutil.which("nginx"):
            command = ["nginx", "-c", self.configured("nginx.conf", port, upstream),
                       "-e", os.path.join(self.work, "nginx-error.log")]
        elif name == "haproxy" and shutil.which("haproxy"):
            command = ["haproxy", "-db", "-f", self.configured("haproxy.cfg", port, upstream)]
        elif name.startswith("floor") and os.path.exists(tool):
            command = [tool, str(port), str(upstream)]
        else:
            return None
        core = options.cpu if core is None else core
        return port, self.start(name, command, port, core)

    def configured(self, name, listen, upstream):
        """A configuration file with ports filled in; its path."""
        with open(os.path.join(HERE, name)) as form:
            text = form.read()
        for word, value in (("@WORK@", self.work), ("@LISTEN@", listen), ("@UPSTREAM@", upstream)):
            text = text.replace(word, str(value))
        path = os.path.join(self.work, f"{listen}-{name}")
        with open(path, "w") as filled:
            filled.write(text)
        return path


def start_targets(programs, upstream, core=None):
    """Starts all there is in front of one upstream; one gateway is three targets. The control is
    a process that is entered twice."""
    options, targets = programs.options, []
    for name in options.forwarders:
        if name in options.chosen:
            started = programs.forwarder(name, upstream, core)
            if started:
                targets.append(Target(name, *started, MODELS["exact"]))
    if set(MODELS) & set(options.chosen):
        gateways = [(None, options.runtime, "")]
        if options.also:
            gateways.append((None, options.also, f" ({options.also})"))
        if options.beside:
            gateways.append((options.beside, options.runtime, " (other build)"))
        for binary, runtime, suffix in gateways:
            started = programs.gateway(upstream, core, runtime=runtime, binary=binary)
            targets += [Target(name + suffix, *started, model)
                        for name, model in MODELS.items() if name in options.chosen]
    by_name = {target.name: target for target in targets}
    for name in ("floor", "nginx"):
        if name in by_name:
            targets.append(by_name[name]._replace(name=f"{name} again"))
            break
    if not targets:
        raise SystemExit("bench: none of these targets is installed")
    return targets


def start_load(options, port, *arguments, core=None):
    core = options.load_cpu if core is None else core
    return subprocess.Popen(
        ["taskset", "-c", str(core), os.path.join(options.tools, "load"),
         "-u", f"127.0.0.1:{port}", *map(str, arguments)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_load(options, port, *arguments, core=None):
    """Runs the load generator to its end; what it tells. Wrong answers are a failure."""
    with start_load(options, port, *arguments, core=core) as load:
        return check_load(*load.communicate())


@contextlib.contextmanager
def idle_connections(options, port, count, model):
    """Holds connections that have had a request answered; what the load generator tells."""
    with start_load(options, port, "-q", count, "-m", model) as load:
        try:
            result = check_load(load.stdout.readline(), "the load generator has ended")
            if result["open"] != count:
                raise Failed(f"{result['open']} of {count} connections stayed open")
            yield result
        finally:
            load.terminate()


def check_load(told, complaint):
    try:
        result = json.loads(told)
    except ValueError:
        raise Failed(complaint.strip() or "the load generator said nothing") from None
    wrong = {name: result[name] for name in
             ("bad_status", "bad_body", "not_done", "socket_errors", "unfinished") if result[name]}
    if wrong or not result["good"]:
        raise Failed(f"{wrong or 'no answer'}, last status {result['last_status']}")
    return result


# ---- The report ----------------------------------------------------------------------------------


def verdict(value, noise, bound):
    """A figure holds when it is within the bound together with the noise of the run."""
    if value + noise <= bound:
        return "met"
    return "met within the noise" if value <= bound else "MISSED"


def spread(numbers, digits=1):
    return (f"{statistics.median(numbers):.{digits}f} "
            f"({min(numbers):.{digits}f}-{max(numbers):.{digits}f})")


class Report:
    """Gathers Markdown; prints it and writes it beside all figures."""

    def __init__(self, options, title):
        self.options, self.lines, self.verdicts = options, [], []
        self.place = describe(options)
        self.lines += [f"# {title}", ""]
        self.table(("", ""), [(what, text) for what, text in self.place.items()])

    def text(self, *paragraphs):
        for paragraph in paragraphs:
            self.lines += [paragraph, ""]

    def heading(self, text):
        self.lines += [f"## {text}", ""]

    def table(self, head, rows):
        self.lines.append("| " + " | ".join(head) + " |")
        self.lines.append("|---|" + "---:|" * (len(head) - 1))
        self.lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
        self.lines.append("")

    def bound(self, what, value, limit, noise=0.0, least=False, digits=2):
        """Holds a figure to a bound; `least` says that it must not be smaller."""
        if value is None:
            found, shown = "not measured", "-"
        else:
            sign = -1 if least else 1
            found, shown = verdict(sign * value, noise, sign * limit), f"{value:.{digits}f}"
        wanted = f"{'at least' if least else 'at most'} {limit:.{digits}f}"
        self.verdicts.append({"what": what, "value": value, "noise": noise, "wanted": wanted,
                              "verdict": found})
        return what, shown, f"{noise:.{digits}f}" if noise else "", wanted, found

    def bounds(self, rows):
        rows = list(rows)
        if rows:
            self.heading("Verdicts")
            self.table(("", "measured", "noise", "wanted", "verdict"), rows)

    def bounds_with_noise(self, rows):
        """The same, with what a verdict means where the run has a control."""
        self.bounds(rows)
        self.text("Met: within the bound together with the control's difference (the noise). Met "
                  "within the noise: within it, but not together with the noise.")

    def rest_of_row(self, figures):
        """The columns that all scenarios end with."""
        return (f"{statistics.median(figures['p50_us']):.0f}",
                f"{statistics.median(figures['p99_us']):.0f}",
                f"{100 * statistics.median(figures['core_use']):.0f}",
                f"{100 * max(figures['other']):.1f}")

    def finish(self, file, figures):
        """Writes FILE.md (report) and FILE.json, or what `file` names, and prints the report."""
        markdown, data = (os.path.join(self.options.tools, name) for name in file)
        text = "\n".join(self.lines)
        print("\n" + text)
        with open(markdown, "w") as out:
            out.write(text)
        with open(data, "w") as out:
            json.dump({**self.place, "verdicts": self.verdicts, **figures}, out, indent=1)
        print(f"report: {markdown}\nall figures: {data}")


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
        "nginx": nginx or "not installed",
    }


# ---- Options -------------------------------------------------------------------------------------


def names(text):
    return [name for name in text.replace(",", " ").split() if name]


def new_parser(name, description):
    parser = argparse.ArgumentParser(
        prog=f"{name}.sh", description=description, allow_abbrev=False,
        formatter_class=argparse.RawTextHelpFormatter)
    parser.set_defaults(name=name, pieces=64, interval_us=20000)
    parser.add_argument("--quick", action="store_true", help="a short run, to see that it works")
    parser.add_argument("--targets", type=names, metavar="A,B", help="only these")
    parser.add_argument("--nginx-only", action="store_true",
                        help="without HAProxy and the io_uring floors")
    parser.add_argument("--runtime", default="native", choices=RUNTIMES)
    parser.add_argument("--also", choices=RUNTIMES,
                        help="a second gateway, on this executor")
    parser.add_argument("--beside", metavar="BINARY", help="a second gateway, of another build")
    parser.add_argument("--driver", default="auto", choices=("auto", "io_uring", "epoll"))
    parser.add_argument("--cpu", type=int, default=1, help="core of what is measured")
    parser.add_argument("--load-cpu", type=int, default=0, help="core of upstream and load")
    parser.add_argument("--max-other", type=float, default=10,
                        help="percent of the core that others may use in a round")
    parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tools", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--check-options", action="store_true", help=argparse.SUPPRESS)
    return parser


def choose_scenarios(parser, options, scenarios):
    """Those that `--scenarios` names, else all."""
    known = [scenario.name for scenario in scenarios]
    options.scenarios = options.scenarios or known
    unknown = set(options.scenarios) - set(known)
    if unknown:
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}; known: "
                     f"{', '.join(known)}")
    return [scenario for scenario in scenarios if scenario.name in options.scenarios]


def parse(parser, forwarders):
    """Reads the options; `forwarders` are those that this measurement knows, in their order."""
    options = parser.parse_args()
    options.binary = os.path.abspath(options.binary)
    if options.nginx_only:
        forwarders = [name for name in forwarders if name == "nginx"]
    options.forwarders = forwarders
    known = [*forwarders, *MODELS]
    options.chosen = options.targets or known
    unknown = set(options.chosen) - set(known)
    if unknown:
        parser.error(f"there is no target {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    cores = os.sched_getaffinity(0)
    if not {options.cpu, options.load_cpu} <= cores:
        parser.error(f"the cores {options.cpu} and {options.load_cpu} are needed")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return options
