#!/usr/bin/env python3
"""How many machines does a load need, and what breaks first when it grows?

    scripts/capacity.py --requests 5000 --streams 20000 --cores 16
    scripts/capacity.py --requests 5000 --streams 20000 --cores 16 --json

The costs, and where each was measured, are in capacity.json beside this file. docs/capacity.md explains the
model; scripts/verify/capacity holds it against a real gateway. Standard library only.
"""

import argparse
import json
import math
import pathlib
import signal

COSTS = pathlib.Path(__file__).with_suffix(".json")
SCALES = (10, 1_000, 100_000)


class Costs:
    def __init__(self, path=COSTS):
        self.all = json.loads(pathlib.Path(path).read_text())
        for group in ("costs", "limits", "fleet"):
            for name, cost in self.all[group].items():
                setattr(self, name, cost["value"])

    def price(self, what, use):
        """What an event costs on a core of which so much is in use, in µs: between two points of its curve."""
        points = self.all["curves"][what]["points"]
        for (low, dear), (high, cheap) in zip(points, points[1:]):
            if use <= high:
                return dear if use <= low else dear + (cheap - dear) * (use - low) / (high - low)
        return points[-1][1]

    def work(self, requests, chunks, long_share, use):
        """How much of a core the load takes at the prices of a core of which so much is in use."""
        request = self.price("request", use) + long_share * self.long_request_us
        return (requests * request + chunks * self.price("chunk", use)) / 1e6

    def use_of_core(self, requests, chunks, long_share=0.0, speed=1.0, others=0.0):
        """What share of one core so many requests and chunks a second take; above 1 it is too much.
        `others` is what programs beside the gateway use of the core.

        An event that finds its core asleep pays for waking it and for cold caches; one that finds it busy is
        taken along. So prices fall as the core fills up, and the use is where both agree. `speed` is how much
        dearer all is on this machine than where the curves were measured."""
        least, most = 0.0, 1.0
        if self.work(requests, chunks, long_share, most) * speed >= most:
            return self.work(requests, chunks, long_share, most) * speed
        for _ in range(50):
            middle = (least + most) / 2
            if self.work(requests, chunks, long_share, middle + others) * speed > middle:
                least = middle
            else:
                most = middle
        return most

    def most_on_core(self, requests, chunks, long_share, target):
        """How many times this load fits on a core that is used up to `target`."""
        return target / self.work(requests, chunks, long_share, target)


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--requests", type=float, default=1000, help="whole answers a second (1000)")
    add("--streams", type=float, default=1000, help="live streams (1000)")
    add("--chunks", type=float, default=20, help="chunks a second of each stream (20)")
    add("--busy-keys", type=float, default=10, help="keys with a shared budget that all machines use at once (10)")
    add("--latency", type=float, default=3, help="seconds that a whole answer takes (3)")
    add("--tokens-per-minute", type=float, default=None, help="prompt and answer (from --requests and --streams)")
    add("--prompt-bytes", type=float, default=4096, help="(4096)")
    add("--answer-bytes", type=float, default=2048, help="(2048)")
    add("--long", type=float, default=0.0, help="share of requests with long prompts and tools (0)")
    add("--clients", type=float, default=None, help="client connections, idle ones included (twice what runs)")
    add("--upstream-addresses", type=float, default=4, help="addresses of all upstreams together (4)")
    add("--models", type=int, default=8, help="routes and upstreams that are asked (8)")
    add("--cores", type=int, default=16, help="of a machine (16)")
    add("--memory-gib", type=float, default=32, help="of a machine (32)")
    add("--nic-gbit", type=float, default=10, help="of a machine, each way (10)")
    add("--target", type=float, default=0.6, help="how full a core may be (0.6)")
    add("--spare", type=float, default=0.25, help="machines that may be away at one time, as a share (0.25)")
    add("--tuned", action="store_true", help="tuning/tune.sh was applied")
    add("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.requests + options.streams <= 0 or not 0 < options.target < 1 or options.cores < 1:
        parser.error("there must be a load, a core, and a target between 0 and 1")
    return options


def load_of(options):
    """What the whole load needs of everything."""
    chunks = options.streams * options.chunks
    running = options.requests * options.latency + options.streams
    # Streams are begun, too: one that brings a token with each chunk, of 500 tokens.
    begun = options.streams * options.chunks / 500
    tokens = options.tokens_per_minute
    if tokens is None:
        tokens = 60 * (chunks + options.requests * (options.prompt_bytes + options.answer_bytes) / 4 + begun * options.prompt_bytes / 4)
    clients = options.clients if options.clients is not None else 2 * running
    return {"requests": options.requests + begun, "chunks": chunks, "running": running, "clients": clients, "tokens": tokens}


def machines_for(options, costs):
    """How many machines each resource asks for."""
    load = load_of(options)
    core_share = 1 / costs.most_on_core(load["requests"], load["chunks"], options.long, options.target)
    process_mib = costs.base_mib + (options.cores - 1) * costs.shard_mib
    kib = load["running"] * (costs.stream_kib + 2 * costs.kernel_kib) + max(load["clients"] - load["running"], 0) * (costs.idle_kib + costs.kernel_kib)
    bytes_each_way = load["requests"] * (options.prompt_bytes + options.answer_bytes + costs.heads_bytes) + load["chunks"] * costs.chunk_bytes
    ports = costs.tuned_ports if options.tuned else costs.ports
    needs = {
        "CPU": core_share / options.cores,
        "memory": kib / 1024 / (options.memory_gib * 1024 * 0.8 - process_mib),
        "network": bytes_each_way * 8 / 1e9 / (options.nic_gbit * 0.7),
        "descriptors": (load["clients"] + load["running"]) / (costs.nofile * 0.9),
        "ports to upstreams": load["running"] / (ports * options.upstream_addresses * 0.8),
        "conntrack": (load["clients"] + load["running"]) / (costs.conntrack * 0.8),
    }
    busiest = max(needs.values())
    machines = max(1, math.ceil(busiest))
    return load, needs, machines, math.ceil(machines * (1 + options.spare)) if machines > 1 else 2


def fleet(options, costs, load, machines, count):
    """Demand on what all machines share, and how many of it there must be, when there are `count` machines."""
    times = count / machines
    seconds_of_day = 86400
    requests = load["requests"] * times
    gbit = (load["requests"] * (options.prompt_bytes + options.answer_bytes + costs.heads_bytes) + load["chunks"] * costs.chunk_bytes) * 8 / 1e9 * times
    series = count * (costs.series + costs.series_per_model * options.models + costs.series_per_shard * max(options.cores - 2, 0))
    lines = min(requests, count * costs.log_lines)
    # A process asks for each upstream's name once a minute (its TTL), for both kinds of addresses.
    queries = count * options.models * 2 / 60
    rows = [
        ("vendors' quota", load["tokens"] * times, costs.vendor_tokens, "tokens/min",
         "several accounts, projects, regions and vendors as targets; committed capacity; the cache for what is asked twice"),
        ("load balancer: connections", load["clients"] * times, costs.balancer_connections, "connections",
         "several addresses in DNS, each with a balancer; ECMP or anycast before stateless balancers (consistent hash); cells"),
        ("load balancer: bandwidth", gbit, costs.balancer_gbit, "Gbit/s", "answers that do not pass it (direct server return); cells"),
        ("shared store: budgets, limits, keys", count * (costs.shared_beats + costs.shared_leases * options.busy_keys), costs.shared_state, "operations/s",
         "a store for each cell; hash a key to one cell and a few machines in it"),
        ("Prometheus: series", series, costs.prometheus_series, "series",
         "one Prometheus a cell, and above it only the recorded series of deploy/prometheus; drop gen_ai_* buckets at the scrape"),
        ("logs", lines * costs.log_bytes * seconds_of_day / 1e9, costs.log_gb_day, "GB/day",
         "log.exchanges = \"failures\" or log.sample; the ledger has every exchange"),
        ("ledger, gathered", requests * seconds_of_day, costs.ledger_rows_day, "rows/day",
         "each machine keeps its own; gather the sums of days (usage --json), single exchanges on demand; ledger.retention"),
        ("DNS", queries, costs.resolver_qps, "queries/s", "a caching resolver on each machine or in each rack"),
        ("configuration, certificates, releases", count, costs.push_machines, "machines",
         "cells that pull, one after the other; files that are fetched, since both are taken over without a restart; names of cells in the certificate"),
    ]
    return sorted(((name, demand, demand / ceiling, unit, cure) for name, demand, ceiling, unit, cure in rows), key=lambda row: -row[2])


def human(number):
    for size, mark in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            number /= 1e3 if mark == "k" else size
            return f"{number:.0f}{mark}" if number >= 1000 else f"{number:.3g}{mark}"
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def main():
    options, costs = parse(), Costs()
    load, needs, machines, bought = machines_for(options, costs)
    scales = {count: fleet(options, costs, load, machines, count) for count in SCALES}
    per_core = costs.use_of_core(*(load[what] / machines / options.cores for what in ("requests", "chunks")), options.long)
    if options.json:
        print(json.dumps({"load": load, "machines_by_resource": needs, "machines": machines, "machines_with_spare": bought,
                          "use_of_core": per_core, "scales": {count: [row[:4] for row in rows] for count, rows in scales.items()}}, indent=1))
        return
    # Whoever reads only the beginning gets no complaint.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    print(f"{human(load['requests'])} requests/s, {human(load['chunks'])} chunks/s, {human(load['running'])} running, "
          f"{human(load['clients'])} client connections, {human(load['tokens'])} tokens/min")
    print(f"{machines} machine{'s' if machines > 1 else ''} of {options.cores} cores, {options.memory_gib:g} GiB, {options.nic_gbit:g} Gbit/s; "
          f"with some away {bought}; each core {100 * per_core:.0f} % busy")
    print("\nmachines that each resource asks for:")
    for name, need in sorted(needs.items(), key=lambda pair: -pair[1]):
        print(f"  {name:<22}{need:10.2f}")
    for count, rows in scales.items():
        print(f"\nat {count:,} machines ({count / machines:,.3g} times this load), how many of each there must be:")
        for name, demand, need, unit, cure in rows:
            print(f"  {name:<38}{human(demand):>7} {unit:<13}{human(need):>8}" + (f"  {cure}" if need > 1 else ""))


if __name__ == "__main__":
    main()
