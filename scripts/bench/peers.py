#!/usr/bin/env python3
"""Runs the gateway and other LLM gateways against one mock upstream, in turns: CPU per work done.

Started by peers.sh, which builds what is needed. Standard library only.

The peers are those that a package registry has ready to run, and that can be told to use another
upstream than the vendor's:

  litellm   LiteLLM's proxy, PyPI; one worker, no database, no logging, no price list from elsewhere
  portkey   Portkey's gateway, npm
  lm-proxy  LM-Proxy, PyPI; its messages for every request are switched off

Left out: Bifrost, whose npm package only downloads a program from its maker's site; TensorZero,
whose PyPI package is a client; the gateways on crates.io, which have to be compiled.

All are asked the same by the same load generator, and all are asked for little: 8 connections and
8 streams, since the slowest answers a hundred requests a second. The peers pass an OpenAI
upstream's answers on, as the gateway does for `exact`; for `gemini` the gateway translates, which
is more work. Every target is pinned to one core (--cpu), upstream and load generator to another
(--load-cpu). A round measures every target once in every scenario; the order moves on by one place
every round. The gateway is entered twice as `exact`: the difference between the two entries is the
noise of the run.

CPU time is what the scheduler charged to the target's threads and to those of the programs it has
started, user and kernel, divided by the answers (or streamed chunks) that arrived whole and were
right.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from typing import NamedTuple

import common

# What the load generator sends when it is not told another.
LOAD_KEY = "sk-vertex-bridge-dev"

# Newer LiteLLMs need companion packages (litellm-proxy-extras, litellm-proxy) in versions that the
# package index did not have when this was written, so pip refuses them.
VERSIONS = {"litellm": "1.106.12", "portkey": "1.15.2", "lm-proxy": "3.3.2"}
PYTHON_PEERS = {
    "litellm": ("peers-venv", f"litellm[proxy]=={VERSIONS['litellm']}"),
    "lm-proxy": ("peers-venv-lm-proxy", f"lm-proxy=={VERSIONS['lm-proxy']}"),
}
NODE_FOLDER = "peers-node"
NODE_PACKAGE = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": VERSIONS["portkey"]},
    # With newer ones every stream ends in "TypeError: immutable" (Portkey-AI/gateway issue 1389).
    "overrides": {"@hono/node-server": "1.14.1", "@hono/node-ws": "1.2.0"},
}

LITELLM_YAML = """\
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: http://127.0.0.1:{port}/v1
      api_key: measured-key
  - model_name: {model}-paced
    litellm_params:
      model: openai/{model}-paced
      api_base: http://127.0.0.1:{port}/v1
      api_key: measured-key
litellm_settings:
  telemetry: false
"""

LM_PROXY_TOML = """\
host = "127.0.0.1"
port = {listen}
[connections.mock]
api_type = "openai"
api_base = "http://127.0.0.1:{port}/v1"
api_key = "measured-key"
[routing]
"*" = "mock.*"
[groups.default]
api_keys = ["{key}"]
"""

# It has no option for less, and writes four lines for a request.
LM_PROXY_QUIET = """\
import logging
logging.disable(logging.WARNING)
from lm_proxy.app import cli_app
cli_app()
"""


class Target(NamedTuple):
    """What is measured, and the key that it wants."""

    name: str
    port: int
    pid: int
    model: str
    key: str = LOAD_KEY


class Scenario(NamedTuple):
    """A kind of work, and how many times more LiteLLM must at least cost than `gemini`."""

    name: str
    streamed: bool
    least: float

    @property
    def piece(self):
        return "chunk" if self.streamed else "request"

    def describe(self, options):
        if self.streamed:
            return (f"{options.connections} streams of {options.pieces} chunks, "
                    f"{options.interval_us / 1000:g} ms apart")
        return f"{options.connections} connections, a short prompt and a short answer"


SCENARIOS = [Scenario("unary", False, 400), Scenario("paced", True, 60)]


# ---- Installing ----------------------------------------------------------------------------------


def install_peers(options):
    """Installs the peers that are chosen and not there; those that are there then."""
    wanted = [name for name in options.forwarders if name in options.chosen]
    return [name for name in wanted if
            (install_node if name == "portkey" else install_python)(options, name)]


def install_python(options, name):
    """Each has a virtual environment of its own: they may want different versions of a library."""
    folder, requirement = PYTHON_PEERS[name]
    return install(os.path.join(options.tools, folder), requirement, [
        [sys.executable, "-m", "venv", "."],
        ["bin/pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", requirement],
    ])


def install_node(options, _name):
    folder = os.path.join(options.tools, NODE_FOLDER)
    package = json.dumps(NODE_PACKAGE, indent=1)
    # No package may run a program of its own while it is installed.
    return install(folder, package, [
        ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"],
    ], {"package.json": package})


def install(folder, what, commands, files=None):
    """Runs the commands in a new folder unless they made the same there before; whether it is
    there."""
    stamp = os.path.join(folder, "installed")
    if os.path.exists(stamp):
        with open(stamp) as file:
            if file.read() == what:
                return True
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for name, text in (files or {}).items():
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
    begin = time.monotonic()
    print(f"installs into {folder}", flush=True)
    for command in commands:
        if subprocess.run(command, cwd=folder, check=False, stdin=subprocess.DEVNULL).returncode:
            print(f"peers: left out, since this failed: {' '.join(command)}", file=sys.stderr)
            return False
    with open(stamp, "w") as file:
        file.write(what)
    print(f"  took {time.monotonic() - begin:.0f} s", flush=True)
    return True


# ---- Starting ------------------------------------------------------------------------------------


def start_peer(programs, name, upstream):
    """Starts a peer in front of the mock on port `upstream`."""
    options, port, key = programs.options, common.free_port(), LOAD_KEY
    # Nothing of the user's own may change a run.
    environment = {"HOME": programs.work}
    if name == "litellm":
        command = [program_of(options, name, "litellm"),
                   "--config", written(programs, "litellm.yaml", LITELLM_YAML.format(
                       model=common.MODELS["exact"], port=upstream)),
                   "--host", "127.0.0.1", "--port", str(port),
                   "--num_workers", "1", "--telemetry", "False"]
        environment.update({
            # It does not start without one.
            "LITELLM_MASTER_KEY": LOAD_KEY,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
        })
    elif name == "portkey":
        command = ["node", os.path.join(options.tools, NODE_FOLDER, "node_modules",
                                        "@portkey-ai/gateway/build/start-server.js"),
                   f"--port={port}", "--headless"]
        environment.update({"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1"})
        # It has no configuration file: every request names its upstream in headers. The load
        # generator writes its key as the end of a header, so more headers can stand behind it.
        key = "\r\n".join((LOAD_KEY, "x-portkey-provider: openai",
                           f"x-portkey-custom-host: http://127.0.0.1:{upstream}/v1"))
    else:
        command = [program_of(options, name, "python"), "-c", LM_PROXY_QUIET,
                   "--config", written(programs, "lm-proxy.toml", LM_PROXY_TOML.format(
                       listen=port, port=upstream, key=LOAD_KEY))]
    # LiteLLM reads thousands of files before it listens.
    pid = programs.start(name, command, port, options.cpu, environment, seconds=120)
    return Target(name, port, pid, common.MODELS["exact"], key)


def program_of(options, name, program):
    return os.path.join(options.tools, PYTHON_PEERS[name][0], "bin", program)


def written(programs, name, text):
    """A file in the folder of this run; its path."""
    path = os.path.join(programs.work, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def start_targets(programs, peers):
    """Starts the gateway and the peers in front of one mock."""
    options, upstream, targets = programs.options, programs.mock()[0], []
    models = {name: model for name, model in common.MODELS.items() if name in options.chosen}
    if models:
        started = programs.gateway(upstream)
        targets += [Target(name, *started, model) for name, model in models.items()]
        targets.append(targets[0]._replace(name=f"{targets[0].name} again"))
    for name in peers:
        print(f"starts {name}", flush=True)
        targets.append(start_peer(programs, name, upstream))
    if not targets:
        raise SystemExit("peers: none of these targets could be installed")
    return targets


# ---- Measuring -----------------------------------------------------------------------------------


def cpu_of_family(pid):
    """CPU time of a process and of all that it has started and that still run."""
    used, family = {}, [pid]
    while family:
        member = family.pop()
        used[member] = common.cpu_seconds(member)[0]
        for task in os.listdir(f"/proc/{member}/task"):
            with open(f"/proc/{member}/task/{task}/children") as book:
                family += map(int, book.read().split())
    return used


class FamilyMeter(common.Meter):
    """A meter of a process and its children. It tells what others used from the core's own books
    alone: threads of one peer wait for each other on the core, and that is no other's doing."""

    def __enter__(self):
        self.time, self.core_books = time.monotonic(), common.core_seconds(self.core)
        self.books = cpu_of_family(self.pid)
        return self

    def __exit__(self, *_):
        self.cpu = sum(used - self.books.get(member, 0.0)
                       for member, used in cpu_of_family(self.pid).items())
        busy, whole = (after - before for after, before in
                       zip(common.core_seconds(self.core), self.core_books))
        self.core_use = self.cpu / (time.monotonic() - self.time)
        self.other = max((busy - self.cpu) / max(whole, 1e-9), 0.0)


def load(options, target, scenario, seconds):
    more = ("-s", "-e", options.pieces, "-g", options.interval_us // options.connections)
    # LiteLLM's first answers take seconds: it loads the rest of itself then.
    return common.run_load(
        options, target.port, "-k", target.key, "-c", options.connections, "-d", seconds, "-w", 60,
        "-m", target.model + ("-paced" if scenario.streamed else ""),
        *(more if scenario.streamed else ()))


def measure(options, target, scenario):
    """One target, one kind of work: CPU microseconds a piece of work, and what others used."""
    with FamilyMeter(target.pid, options.cpu) as meter:
        result = load(options, target, scenario, options.seconds)
    return common.spent(meter, result, scenario.streamed, scenario.streamed)


def warm(options, targets):
    """Makes what is made at the first requests: connections, caches, compiled code."""
    for scenario in SCENARIOS:
        for target in targets:
            try:
                load(options, target, scenario, 3)
            except common.Failed as failure:
                raise common.Failed(f"{scenario.name} {target.name}: {failure}") from None


# ---- The report ----------------------------------------------------------------------------------


def control(rounds):
    """How much the gateway differs from itself."""
    for name in common.MODELS:
        value = common.paired(rounds, f"{name} again", name)
        if value is not None:
            return abs(value - 1)
    return 0.0


def scenario_table(report, options, scenario, rounds):
    report.heading(scenario.name)
    report.text(f"{scenario.describe(options)}; {len(rounds)} rounds.")
    rows = []
    for name in rounds[0]:
        figures = {what: [results[name][what] for results in rounds] for what in rounds[0][name]}
        ratios = [common.paired(rounds, name, beside) for beside in ("gemini", "exact")]
        rows.append((
            name, common.spread(figures["cpu_us"]),
            *("" if value is None else f"{value:.1f}" for value in ratios),
            *report.rest_of_row(figures)))
    report.table(("", f"CPU µs per {scenario.piece}", "x gemini", "x exact", "p50 µs", "p99 µs",
                  "core use %", "others at most %"), rows)
    report.text(f"A/A control: {100 * control(rounds):.1f} %.")


def make_report(options, peers, scenarios, rounds):
    report = common.Report(options, "CPU beside other LLM gateways")
    versions = ", ".join(f"{name} {VERSIONS[name]}" for name in peers)
    report.text(
        f"Peers: {versions or 'none'}. {options.rounds} interleaved rounds of {options.seconds:g} "
        "s for each target; medians with least and most; ratios are medians of the rounds' own "
        "ratios. The peers and `exact` pass an OpenAI upstream's answers on, `gemini` and "
        "`anthropic` are translated, and the three are one gateway. p50 and p99 are of whole "
        "answers, in `paced` of the way of one chunk.")
    missing = [name for name in options.forwarders
               if name in options.chosen and name not in peers]
    if missing:
        report.text(f"Could not be installed: {', '.join(missing)}.")
    for scenario in scenarios:
        if rounds[scenario.name]:
            scenario_table(report, options, scenario, rounds[scenario.name])
        else:
            report.heading(scenario.name)
            report.text("Others used the core in every round.")
    rows = []
    for scenario in scenarios:
        of = rounds[scenario.name]
        value = common.paired(of, "litellm", "gemini")
        # The control is a part of the gateway's cost, so the same part of the ratio is noise.
        rows.append(report.bound(f"{scenario.name}: litellm / gemini", value, scenario.least,
                                 (value or 0.0) * control(of), least=True, digits=0))
    report.bounds_with_noise(rows)
    report.finish(("peers.md", "peers.json"), {
        "versions": {name: VERSIONS[name] for name in peers},
        "rounds": rounds,
        "control": {name: control(of) for name, of in rounds.items() if of},
    })


def parse_options():
    parser = common.new_parser("peers", __doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--scenarios", type=common.names, metavar="A,B", help="only these")
    parser.add_argument("--connections", type=int, default=8, help="and streams")
    parser.add_argument("--pieces", type=int, default=64, help="chunks of a stream")
    parser.add_argument("--interval-us", type=int, default=20000, help="between two chunks")
    options = common.parse(parser, list(VERSIONS))
    if options.nginx_only:
        parser.error("there is no nginx in this measurement")
    if not options.targets:
        options.chosen = ["exact", "gemini", *VERSIONS]
    if options.quick:
        options.rounds, options.seconds = 3, 2
    options.scenarios = common.choose_scenarios(parser, options, SCENARIOS)
    if options.cpu == options.load_cpu:
        parser.error("two cores are needed, one for what is measured")
    return options


def main():
    options = parse_options()
    if options.check_options:
        return
    scenarios = options.scenarios
    peers = install_peers(options)
    try:
        with common.Programs(options) as programs:
            targets = start_targets(programs, peers)
            warm(options, targets)
            rounds = common.scenario_rounds(options, targets, scenarios, measure)
            if not any(rounds.values()):
                raise SystemExit("peers: others used the core in every round")
            make_report(options, peers, scenarios, rounds)
    except common.Failed as failure:
        raise SystemExit(f"peers: wrong answers: {failure}") from None


if __name__ == "__main__":
    main()
