#!/usr/bin/env python3
"""Shows where the CPU time of a request, or of a streamed chunk, goes.

Started by where.sh, which builds what is needed. Standard library only; perf takes the samples.

The gateway is pinned to one core (--cpu), upstream and load generator to another (--load-cpu).
While it serves, perf notes by the clock what it does; the shares of the samples are shares of the
CPU time that the scheduler charged. A sample belongs to the function that ran, not to its callers;
what was inlined belongs to whoever inlined it.
"""

import collections
import os
import re
import subprocess

import common
import compare

WORK = {scenario.name.removeprefix("unary-").removesuffix("-64"): scenario
        for scenario in compare.SCENARIOS
        if scenario.name in ("unary-small-64", "unary-large-64", "paced")}

# Parts by the first pattern that is found in a symbol. The kernel's are by what it does.
USER_PARTS = [
    ("heads and bodies of HTTP", r"vertex_bridge::wire::(head|body|write|hop|date)|httparse"),
    ("events (SSE)", r"vertex_bridge::wire::(sse|frames)|vertex_bridge::provider::pattern"),
    ("JSON", r"vertex_bridge::wire::(json|splice|find)|from_utf8|validations"),
    ("request: outline, translation", r"vertex_bridge::chat"),
    ("answer: watching, translation", r"vertex_bridge::provider"),
    ("keys", r"ring_core|sha256|vertex_bridge::policy::auth"),
    ("choice of target, limits", r"vertex_bridge::policy|vertex_bridge::shard"),
    ("course of an exchange", r"vertex_bridge::proxy|vertex_bridge::config|vertex_bridge::base"),
    ("metrics, log", r"vertex_bridge::obs"),
    ("executor", r"monoio|io_uring|vertex_bridge::rt|vertex_bridge::net|slab"),
    ("allocator", r"\bmi_|mimalloc|_mi_|__rust_alloc|__rdl"),
    ("copies and searches", r"mem(cpy|move|set|cmp|chr)|bcmp"),
]
KERNEL_PARTS = [
    ("TCP and loopback", r"tcp|ip_|sk_|sock|skb|inet|loopback|netif|net_rx|nf_|napi|__dev|dev_|"
                         r"qdisc|csum|release_sock|kfree_skb"),
    ("io_uring", r"io_|uring"),
    ("copies to and from users", r"copy_user|copy_to|copy_from|_copy_|rep_movs|iov|clear_user"),
    ("scheduler, timers, interrupts", r"sched|schedule|hrtimer|timer|irq|softirq|wake|finish_task|"
                                      r"rcu|ktime|clock|idle|hlt|pv_|update_|enqueue|dequeue"),
    ("entry and exit", r"syscall|entry_|exit_|swapgs|do_syscall|restore|srso|retbleed|fpu"),
    ("memory", r"kmem|slab|alloc|free|page|memcg|folio"),
]


def record(options, target, work, out):
    """Serves with perf beside it; CPU µs per piece of work."""
    scenario = WORK[work]
    compare.warm(options, target, scenario)
    perf = subprocess.Popen(
        ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(options.frequency),
         *(["-g"] if options.flame else []), "-p", str(target.pid), "-o", out],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    with common.Meter(target.pid, options.cpu) as meter:
        result = common.run_load(options, target.port,
                                 *compare.load_arguments(options, target, scenario))
    perf.terminate()
    complaint = perf.communicate()[1]
    if not os.path.exists(out):
        raise SystemExit(f"where: perf has recorded nothing: {complaint.strip()}")
    return common.spent(meter, result, scenario.streamed, scenario.paced)["cpu_us"]


def part_of(symbol, is_kernel):
    for name, pattern in KERNEL_PARTS if is_kernel else USER_PARTS:
        if re.search(pattern, symbol):
            return name
    return "other"


def shares(recorded):
    """The share of the samples of every part, and of every function."""
    told = subprocess.run(
        ["perf", "report", "-i", recorded, "--stdio", "--no-children", "-g", "none",
         "-F", "overhead,dso,symbol", "-w", "8,40,200", "--percent-limit", "0"],
        check=True, capture_output=True, text=True).stdout
    parts, functions = collections.Counter(), collections.Counter()
    for line in told.splitlines():
        found = re.match(r"\s*([\d.]+)%\s+(\S+)\s+\[(.)\]\s+(.*)", line)
        if not found:
            continue
        share, level, symbol = float(found[1]) / 100, found[3], found[4].strip()
        side = "kernel" if level == "k" else "ours"
        parts[side, part_of(symbol, level == "k")] += share
        functions[side, re.sub(r"::h[0-9a-f]{16}$", "", symbol)] += share
    return parts, functions


def draw(recorded, title, out):
    """A flame graph."""
    script = subprocess.run(["perf", "script", "-i", recorded], check=True, capture_output=True)
    folded = subprocess.run(["inferno-collapse-perf"], input=script.stdout, check=True,
                            capture_output=True)
    drawn = subprocess.run(["inferno-flamegraph", "--title", title], input=folded.stdout,
                           check=True, capture_output=True)
    with open(out, "wb") as file:
        file.write(drawn.stdout)


def add(report, name, work, cpu_us, parts, functions):
    unit = WORK[work].piece
    report.heading(f"{work}: {name}, {cpu_us:.1f} µs per {unit}")
    rows = []
    for side in ("kernel", "ours"):
        whole = sum(share for (of, _), share in parts.items() if of == side)
        rows.append((f"**{side}**", f"**{100 * whole:.1f}**", f"**{cpu_us * whole:.2f}**"))
        rows += [(part, f"{100 * share:.1f}", f"{cpu_us * share:.2f}")
                 for (of, part), share in parts.most_common() if of == side]
    report.table(("", "share %", f"µs per {unit}"), rows)
    dearest = [(symbol, f"{100 * share:.1f}", f"{cpu_us * share:.2f}")
               for (side, symbol), share in functions.most_common(60) if side == "ours"][:15]
    report.table(("dearest functions of ours", "share %", f"µs per {unit}"),
                 [(f"`{symbol[:90]}`", share, spent) for symbol, share, spent in dearest])


def parse_options():
    parser = common.new_parser("where", __doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each recording")
    parser.add_argument("--work", type=common.names, default=list(WORK), metavar="A,B",
                        help=f"only these of {', '.join(WORK)}")
    parser.add_argument("--frequency", type=int, default=5000, help="samples a second")
    parser.add_argument("--flame", action="store_true", help="draw flame graphs")
    options = common.parse(parser, [])
    if set(options.work) - set(WORK):
        parser.error(f"known work: {', '.join(WORK)}")
    if options.quick:
        options.seconds = 3
    return options


def main():
    options = parse_options()
    if options.check_options:
        return
    report = common.Report(options, "Where the time goes")
    figures = {}
    with common.Programs(options) as programs:
        for target in common.start_targets(programs, programs.mock()[0]):
            for work in options.work:
                recorded = os.path.join(programs.work, f"{target.name}-{work}.perf")
                cpu_us = record(options, target, work, recorded)
                parts, functions = shares(recorded)
                add(report, target.name, work, cpu_us, parts, functions)
                figures[f"{target.name} {work}"] = {
                    "cpu_us": cpu_us,
                    "parts": {f"{side}: {part}": share for (side, part), share in parts.items()},
                }
                if options.flame:
                    draw(recorded, f"{target.name}, {work}",
                         os.path.join(options.tools, f"flame-{target.name}-{work}.svg"))
    report.finish(("where.md", "where.json"), figures)


if __name__ == "__main__":
    main()
