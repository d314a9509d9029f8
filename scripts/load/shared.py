"""Runs gateways that share one store, and holds what they admitted against their budgets and keys.

    shared.py BINARY FOLDER SECONDS NAME ROOT SERVER...

NAME stands before what is told; SERVER is the store's program, run inside of ROOT if that is not
`/`. SECONDS decides how often and how long, not what. Prints a line for each figure, those of one
matter together, its parts divided by tabs: what, measured, unit, wanted. The upstream is the
program's own simulator, and a request costs what it reserves, 0.001 USD, unless it says otherwise.
"""

import asyncio
import collections
import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import sys
import time

import stores
from ports import free_port
from stores import Server, Way, begin, end_all, until

binary, folder, seconds = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
title = sys.argv[4]
is_long = seconds >= 120
chance = random.Random()
stores.folder, stores.root, stores.program = folder, sys.argv[5], sys.argv[6:]
rows = {}  # by what stands before their colon, because some of it is done at the same time

MASTER = "sk-0123456789abcdef"
COST = 0.001  # of a request with ten tokens, in USD
REFUSED_FOR = 2  # seconds after which a budget counts as spent
TOLD_WITHIN = 0.25  # a process tells what it has spent after 200 ms, and looks every 50


def row(what, measured, unit="", wanted=""):
    if isinstance(measured, float):
        measured = f"{measured:.1f}"
    rows.setdefault(what.split(":")[0], []).append(f"{what}\t{measured}\t{unit}\t{wanted}")


# ---- Gateways and requests -----------------------------------------------------------------------


def body_of(tokens=10, **more):
    message = {"role": "user", "content": "Hello"}
    return json.dumps({"model": "gpt-4o-mini", "messages": [message], "max_tokens": tokens} | more)


def secret_of(name):
    return f"sk-of-{name}-0123456789abcdef"


def key(name, requests=None, per="total", more=""):
    budget = f'budget = {{ usd = "{requests * COST:.3f}", per = "{per}" }}' if requests else ""
    return f'[[key]]\nname = "{name}"\nsecret = "{secret_of(name)}"\n{budget}\n{more}\n'


Said = collections.namedtuple("Said", "status head body sent took")


class Gateway:
    """A process with a state folder and a core of its own."""

    count = 0

    def __init__(self, servers, keys, lease="10s", away="refuse", prefix="vb", upstream=None):
        Gateway.count += 1
        self.name, self.port, self.idle = f"g{Gateway.count}", free_port(chance), []
        self.began = time.monotonic()
        self.at = folder / self.name
        self.at.mkdir()
        urls = ", ".join(f'"redis://127.0.0.1:{server.port}"' for server in servers)
        (self.at / "gateway.toml").write_text(f"""
[server]
port = {self.port}
[auth]
master_key = "{MASTER}"
[runtime]
cores = "{Gateway.count % os.cpu_count()}"
[rate_limit]
capacity = 1000000000
refill_per_second = 1000000000
[log]
exchanges = "off"
[cache]
enabled = true
[ledger]
enabled = true
path = "{self.at / "state"}"
[shared]
url = [{urls}]
prefix = "{prefix}"
lease = "{lease}"
when_away = "{away}"
[[upstream]]
name = "openai"
kind = "openai"
base_url = "http://{upstream}/v1"
api_key = "any"
[[route]]
model = "gpt-*"
targets = [{{ upstream = "openai" }}]
[[price]]
model = "gpt-4o-mini"
input = "0"
output = "100"
{"".join(keys)}""")
        self.process = begin(binary, "--config", str(self.at / "gateway.toml"), log=f"{self.name}.log", cwd=self.at)

    async def ready(self):
        async def holds():
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                return (await self.get("/health/ready")).status == 200
            if self.process.poll() is not None:
                raise OSError(f"{self.name} has ended: see its log in {folder}")
            return False

        await until(f"{self.name} is ready", holds)
        return self

    async def take_connection(self):
        if self.idle:
            return self.idle.pop()
        return await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)

    async def ask(self, secret, body=body_of(), path="/v1/chat/completions", way=None):
        reader, writer = way or await self.take_connection()
        sent = time.monotonic()
        method = "POST" if body else "GET"
        writer.write(
            f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
        )
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            if fields.get("transfer-encoding") == "chunked":
                answer = b""
                while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                    answer += await reader.readexactly(size)
                    await reader.readexactly(2)
                await reader.readuntil(b"\r\n")
            else:
                answer = await reader.readexactly(int(fields.get("content-length", 0)))
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            return Said(0, {}, "", sent, time.monotonic() - sent)
        if fields.get("connection") == "close":
            writer.close()
        else:
            self.idle.append((reader, writer))
        return Said(int(head[9:12]), fields, answer.decode(), sent, time.monotonic() - sent)

    async def get(self, path):
        return await self.ask(MASTER, "", path)

    async def metric(self, family, labels=""):
        text = (await self.get("/metrics/prometheus")).body
        lines = [line for line in text.splitlines() if line.split(" ")[0].split("{")[0] == family]
        return sum(float(line.split()[-1]) for line in lines if labels in line)

    async def is_up(self):
        return await self.metric("vertex_bridge_shared_up") == 1

    async def command(self, *words):
        words = [binary, *words, "--json", "--config", str(self.at / "gateway.toml")]
        pipe = asyncio.subprocess.PIPE
        environment = {"PATH": os.environ["PATH"]}
        done = await asyncio.create_subprocess_exec(*words, env=environment, cwd=self.at, stdout=pipe, stderr=pipe)
        out, error = await done.communicate()
        if done.returncode != 0:
            raise OSError(f"{words}: {error.decode()}")
        return out.decode()

    async def ledger(self, name):
        """What the key has spent by the ledger, in requests of 0.001 USD."""
        text = await self.command("usage", "export", "--key", name)
        costs = [json.loads(line)["cost_usd"] for line in text.splitlines()]
        return sum(round(float(cost) * 1e9) for cost in costs if cost) / (COST * 1e9)

    def kill(self):
        self.process.kill()
        self.process.wait()


async def gateways(number, servers, keys, **options):
    begun = [Gateway(servers, keys, upstream=simulator, **options) for _ in range(number)]
    for gateway in begun:
        await gateway.ready()
    for gateway in begun:
        await until(f"{gateway.name} has the store", gateway.is_up)
    # Each has renewed its leases when all knew of each other.
    await asyncio.sleep(0.4)
    return begun


class Tally:
    """What came of requests: how many were admitted, and whether refusals said why."""

    def __init__(self):
        self.admitted, self.spent, self.held, self.wrong, self.lost = 0, 0, 0, [], 0

    def note(self, said):
        wait = said.head.get("retry-after")
        if said.status == 200:
            self.admitted += 1
        elif said.status == 429 and "held by other gateways" in said.body:
            self.held += 1
            if wait != "1":
                self.wrong.append(f"held elsewhere, retry-after {wait}")
        elif said.status == 429 and "has not enough left" in said.body:
            self.spent += 1
            if (" in total " in said.body) != (wait is None):
                self.wrong.append(f"spent, retry-after {wait}: {said.body}")
        elif said.status == 0:
            self.lost += 1
        else:
            self.wrong.append(f"{said.status} {said.body}")
        return said.status == 200


async def burst(shares, name, tally, body=body_of()):
    """So many requests at each gateway, all at once: every one has a connection before."""
    ways = []
    for gateway, number in shares:
        ways += [(gateway, await gateway.take_connection()) for _ in range(number)]
    chance.shuffle(ways)
    asking = [gateway.ask(secret_of(name), body, way=way) for gateway, way in ways]
    for said in await asyncio.gather(*asking):
        tally.note(said)


async def exhaust(those, name, tally, body=body_of()):
    """Single requests until all are refused for a while."""
    last = time.monotonic()
    while time.monotonic() - last < REFUSED_FOR:
        for gateway in those:
            if tally.note(await gateway.ask(secret_of(name), body)):
                last = time.monotonic()
        await asyncio.sleep(0.05)


class Steady:
    """Requests at a steady rate over these gateways, whatever becomes of them."""

    def __init__(self, those, name, rate, body=body_of()):
        self.those, self.secret, self.rate, self.body = those, secret_of(name), rate, body
        self.said, self.lags, self.running = [], [], set()
        self.task = asyncio.create_task(self.run())

    async def one(self, gateway):
        try:
            self.said.append(await gateway.ask(self.secret, self.body))
        except OSError:
            self.said.append(Said(0, {}, "", time.monotonic(), 0))

    async def run(self):
        due, number = time.monotonic(), 0
        while True:
            now = time.monotonic()
            if due > now:
                await asyncio.sleep(due - now)
            self.lags.append((time.monotonic(), time.monotonic() - due))
            asking = asyncio.create_task(self.one(self.those[number % len(self.those)]))
            self.running.add(asking)
            asking.add_done_callback(self.running.discard)
            due, number = due + 1 / self.rate, number + 1

    def between(self, since, to):
        """Times of answers in ms, how many were no good, and the latest that it was sent, in ms."""
        said = [one for one in self.said if since <= one.sent < to]
        times = sorted(one.took * 1000 for one in said)
        lag = max((lag * 1000 for at, lag in self.lags if since <= at < to), default=0.0)
        return times, sum(one.status != 200 for one in said), lag

    async def end(self):
        self.task.cancel()
        if self.running:
            await asyncio.wait(set(self.running), timeout=10)


def quantile(times, share):
    return times[min(len(times) - 1, int(len(times) * share))] if times else float("nan")


# ---- What is shown -------------------------------------------------------------------------------


async def exact(those, names, budget, requests, label):
    """Each key's budget against many requests at once."""
    tallies = {name: Tally() for name in names}
    trailing = []
    most_at_once = 0
    for name in names:
        each = requests // len(those)
        await burst([(gateway, each) for gateway in those], name, tallies[name])
        most_at_once = max(most_at_once, tallies[name].admitted)
        trailing.append(asyncio.create_task(exhaust(those, name, tallies[name])))
    await asyncio.gather(*trailing)
    admitted = [tally.admitted for tally in tallies.values()]
    row(f"{label}: rounds, each {requests} requests at once on a budget for {budget}", len(names))
    row(f"{label}: admitted at once, most of a round", most_at_once, "", f"<= {budget}")
    row(f"{label}: admitted in all, most of a round", max(admitted), "", f"<= {budget}")
    # Two may lie where nobody asks: a process holds less than a request needs, or a lease that
    # another would have to be told of.
    row(f"{label}: admitted in all when all were refused for {REFUSED_FOR} s, least of a round", min(admitted), "", f">= {budget - 2}")
    differences = 0
    for name, tally in tallies.items():
        ledgers = 0
        for _ in range(50):
            ledgers = sum([await gateway.ledger(name) for gateway in those])
            if round(ledgers, 6) == tally.admitted:
                break
            await asyncio.sleep(0.1)
        differences += round(ledgers, 6) != tally.admitted
    row(f"{label}: rounds whose ledgers say another sum than was admitted", differences, "", "= 0")
    spent, held = sum(t.spent for t in tallies.values()), sum(t.held for t in tallies.values())
    wrong = [text for tally in tallies.values() for text in tally.wrong]
    row(f"{label}: refused, because the budget is spent", spent)
    row(f"{label}: refused, because what is left is held elsewhere (`retry-after: 1`)", held)
    row(f"{label}: answers that say neither, or with another `retry-after`", len(wrong), "", "= 0")
    for text in wrong[:5]:
        print(f"{title}: {text}", file=sys.stderr)
    return admitted


async def four(server, names):
    those = await gateways(4, [server], [key(name, 10) for name in names], prefix="four")
    await exact(those, names, 10, 1000, "four processes")
    for gateway in those:
        gateway.kill()


async def uneven(those, budget):
    """Ninety of a hundred requests at one gateway, each reserving twice what it costs."""
    tally = Tally()
    body = body_of(20)
    busy, other = those

    async def client(number):
        last = time.monotonic()
        while time.monotonic() - last < 1:
            gateway = busy if chance.random() < 0.9 else other
            if tally.note(await gateway.ask(secret_of("uneven"), body)):
                last = time.monotonic()
            else:
                await asyncio.sleep(0.02)

    await asyncio.gather(*(client(number) for number in range(32)))
    await exhaust(those, "uneven", tally, body)
    row(f"90 % on one of two: admitted of a budget for {budget}, where each reserves what two cost", tally.admitted, "", f"<= {budget}")
    # Three reservations, as the simulation holds it to.
    row("90 % on one of two: admitted at least", tally.admitted, "", f">= {budget - 6}")
    row("90 % on one of two: other answers", len(tally.wrong), "", "= 0")


async def keys_travel(one, other, rounds):
    """A key that is made, rotated and revoked on one machine, as the other sees it."""
    times = {"good": [], "rotated": [], "replaced": [], "revoked": []}
    wrong = 0

    async def first(secret, status, since):
        while (said := await other.ask(secret)).status != status:
            if time.monotonic() - since > 5:
                return 5000.0
            await asyncio.sleep(0.005)
        return (said.sent - since) * 1000

    for number in range(rounds):
        name = f"made-{os.getpid()}-{number}"
        made = json.loads(await one.command("keys", "create", "--name", name))
        times["good"].append(await first(made["secret"], 200, time.monotonic()))
        rotated = json.loads(await one.command("keys", "rotate", name))
        since = time.monotonic()
        both = first(rotated["secret"], 200, since), first(made["secret"], 401, since)
        for kind, took in zip(("rotated", "replaced"), await asyncio.gather(*both)):
            times[kind].append(took)
        await one.command("keys", "revoke", name)
        times["revoked"].append(await first(rotated["secret"], 401, time.monotonic()))
        for _ in range(20):
            wrong += (await other.ask(rotated["secret"])).status != 401
            wrong += (await other.ask(made["secret"])).status != 401
            await asyncio.sleep(0.01)
    row("keys: made, rotated and revoked on one machine, under load: rounds", rounds)
    for kind, what in (
        ("good", "a new key is good on the other"),
        ("rotated", "the new secret of a rotated key is good on the other"),
        ("replaced", "the old secret of a rotated key is refused on the other"),
        ("revoked", "a revoked key is refused on the other"),
    ):
        row(f"keys: {what}, median", quantile(sorted(times[kind]), 0.5), "ms")
        row(f"keys: {what}, latest", max(times[kind]), "ms", "<= 1000")
    row("keys: refused once and admitted again", wrong, "", "= 0")


async def minute(those):
    """A limit per minute against more than it, at each of two."""
    length = 20 if is_long else 3
    # Minutes are counted from the start of a process. Within one nothing fades.
    while not all(2 < (time.monotonic() - gateway.began) % 60 < 58 - length for gateway in those):
        await asyncio.sleep(0.1)
    since, statuses = time.monotonic(), collections.Counter()
    while time.monotonic() - since < length:
        for gateway in those:
            statuses[(await gateway.ask(secret_of("minute"))).status] += 1
        await asyncio.sleep(0.02)
    seen = [await gateway.metric("vertex_bridge_shared_processes") for gateway in those]
    row("limits: processes that each of two sees, least and most", f"{min(seen):.0f} {max(seen):.0f}", "", "= 2 2")
    row(f"limits: admitted by both within {length} s, of 60 a minute", statuses[200], "", "<= 60")
    row("limits: admitted at least", statuses[200], "", ">= 60")
    row("limits: answers that are neither 200 nor 429", sum(statuses.values()) - statuses[200] - statuses[429], "", "= 0")


async def cache_travels(one, other):
    kept = 0
    hits, calls, rounds = 0, 0, 10 if is_long else 3
    for _ in range(rounds):
        body = body_of(temperature=0, seed=chance.randrange(1 << 30))
        before = await other.metric("vertex_bridge_shared_received_total")
        first = await one.ask(secret_of("free"), body)
        kept += first.head.get("x-vertex-bridge-cache") == "miss"

        async def received():
            return await other.metric("vertex_bridge_shared_received_total") > before

        with contextlib.suppress(TimeoutError):
            await until("the answer travels", received, 2)
        tries = await other.metric("vertex_bridge_upstream_attempts_total")
        second = await other.ask(secret_of("free"), body)
        hits += second.head.get("x-vertex-bridge-cache") == "hit" and second.body == first.body
        calls += await other.metric("vertex_bridge_upstream_attempts_total") - tries
    row("cache: answers that one of two got from the upstream", kept, "", f"= {rounds}")
    row("cache: of them given by the other, byte for byte", hits, "", f"= {rounds}")
    row("cache: calls of its upstream meanwhile", f"{calls:.0f}", "", "= 0")


async def waits_for_nobody(length):
    """A steady load while the store is stopped, slow, away, or another."""
    server = await Server().start()
    replica = Server()
    way = Way(server)
    keys = [key("steady", 1_000_000, more="requests_per_minute = 1000000")]
    those = await gateways(2, [way, replica], keys)
    steady = Steady(those, "steady", 500)
    await asyncio.sleep(0.5)
    quiet_most = None

    async def failed_rounds():
        return sum([await g.metric("vertex_bridge_shared_rounds_total", 'result="failed"') for g in those])

    async def phase(what, act, wanted_failures=""):
        nonlocal quiet_most
        before, since = await failed_rounds(), time.monotonic()
        await act()
        for gateway in those:
            await until(f"{gateway.name} has the store again", gateway.is_up)
        to = time.monotonic()
        await asyncio.sleep(0.2)
        times, bad, lag = steady.between(since, to)
        failed = await failed_rounds() - before
        row(f"{what}: requests in {to - since:.1f} s", len(times), "", ">= 100")
        row(f"{what}: rounds with the store that failed", f"{failed:.0f}", "", wanted_failures)
        row(f"{what}: requests that failed or were refused", bad, "", "= 0")
        row(f"{what}: answer, p50 / p99", f"{quantile(times, 0.5):.1f} / {quantile(times, 0.99):.1f}", "ms")
        most = times[-1] if times else float("nan")
        wanted = "" if quiet_most is None else f"<= {quiet_most + 100:.1f}"
        row(f"{what}: answer, slowest", most, "ms", wanted)
        row(f"{what}: how late the load program was, most", lag, "ms")
        quiet_most = most if quiet_most is None else quiet_most
        await asyncio.sleep(0.3)

    async def quiet():
        await asyncio.sleep(length)

    # Longer than an answer may take.
    stop = max(length, 1.5)

    async def stopped():
        server.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(stop)
        server.process.send_signal(signal.SIGCONT)

    def slow(delay):
        async def act():
            way.take(delay)
            await asyncio.sleep(max(length, delay * 2.5))
            way.take(0)

        return act

    async def failed_over():
        server.kill()
        await asyncio.sleep(0.5)
        replica.say("REPLICAOF", "NO", "ONE")
        await asyncio.sleep(length / 2)

    async def around(act):
        await asyncio.sleep(length / 3)
        await act()
        await asyncio.sleep(length / 3)

    await phase("quiet", quiet)
    await phase(f"store stopped for {stop:g} s", stopped, ">= 1")
    await phase("store 200 ms away each way", slow(0.2))
    # An answer may take a second.
    await phase("store 500 ms away each way", slow(0.5))
    await phase("store 700 ms away each way, which is too far", slow(0.7), ">= 1")
    await phase("store killed and started with its data", lambda: around(server.again), ">= 1")
    await phase("store killed and started without its data", lambda: around(server.lose), ">= 1")
    await replica.start()
    replica.say("REPLICAOF", "127.0.0.1", str(server.port))
    await until("the replica follows", lambda: "master_link_status:up" in (replica.say("INFO", "replication") or ""))
    await phase("primary killed, its replica promoted 500 ms later", failed_over, ">= 1")
    await steady.end()
    for gateway in those:
        gateway.kill()
    server.kill()
    replica.kill()
    way.process.kill()


async def changes_hands(what, event):
    """A small budget that is spent while the store is lost or another."""
    server, replica, budget, lease = await Server().start(), Server(), 300, 2
    those = await gateways(2, [server, replica], [key("small", budget)], lease=f"{lease}s")
    await replica.start()
    replica.say("REPLICAOF", "127.0.0.1", str(server.port))
    await until("the replica follows", lambda: "master_link_status:up" in (replica.say("INFO", "replication") or ""))
    tally, happening, last = Tally(), None, time.monotonic()

    async def client(gateway):
        nonlocal happening, last
        # What may have been forgotten is left alone as long as a lease is good.
        while time.monotonic() - last < REFUSED_FOR + lease:
            if tally.note(await gateway.ask(secret_of("small"))):
                last = time.monotonic()
            if happening is None and tally.admitted > budget // 2:
                happening = asyncio.create_task(event(server, replica))
            await asyncio.sleep(0.03)

    await asyncio.gather(*(client(gateway) for gateway in those for _ in range(4)))
    await happening
    for gateway in those:
        gateway.kill()
    server.kill()
    replica.kill()
    label = f"{what} while a budget for {budget} is spent"
    row(f"{label}: admitted in all", tally.admitted, "", f"<= {budget}")
    row(f"{label}: admitted in all at least", tally.admitted, "", f">= {budget - 3}")


async def promoted(server, replica):
    server.kill()
    await asyncio.sleep(0.2)
    replica.say("REPLICAOF", "NO", "ONE")


async def kept(server, _replica):
    await server.again()


async def lost(server, _replica):
    await server.lose()


async def stays_away(away):
    """A small budget when the store is stopped for longer than a lease."""
    server, budget, lease = await Server().start(), 100, 2
    those = await gateways(2, [server], [key("small", budget)], lease=f"{lease}s", away=away)
    before, during, after = Tally(), Tally(), Tally()
    await burst([(gateway, 5) for gateway in those], "small", before)
    await asyncio.sleep(0.3)
    server.process.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    await burst([(gateway, 5) for gateway in those], "small", during)
    await asyncio.sleep(stopped + lease + 0.2 - time.monotonic())
    for _ in range(3):
        await burst([(gateway, 150) for gateway in those], "small", after)
    server.process.send_signal(signal.SIGCONT)
    for gateway in those:
        await until(f"{gateway.name} has the store again", gateway.is_up)
    in_all = Tally()
    in_all.admitted = before.admitted + during.admitted + after.admitted
    await exhaust(those, "small", in_all)
    for gateway in those:
        gateway.kill()
    server.kill()
    label = f"store away for longer than its lease of {lease} s, `{away}`, budget for {budget}"
    row(f"{label}: admitted while leases were good, of 10", during.admitted, "", "= 10")
    if away == "refuse":
        row(f"{label}: admitted behind their end, of 900", after.admitted, "", "= 0")
        row(f"{label}: admitted in all, spent to the end", in_all.admitted, "", f"<= {budget}")
        row(f"{label}: admitted in all at least", in_all.admitted, "", f">= {budget - 2}")
    else:
        row(f"{label}: admitted in all, spent to the end", in_all.admitted, "", f"<= {2 * budget}")
        row(f"{label}: admitted behind their end, of 900: each serves by itself", after.admitted, "", f">= {budget}")


async def killed():
    """A process that is killed while it holds a lease."""
    server, budget, lease = await Server().start(), 400, 1
    one, other = those = await gateways(2, [server], [key("small", budget)], lease=f"{lease}s")
    answered = {one: [], other: []}
    dead = None

    async def client(gateway):
        last = time.monotonic()
        while time.monotonic() - last < REFUSED_FOR and not (dead and gateway is one):
            try:
                said = await gateway.ask(secret_of("small"))
            except OSError:
                return
            if said.status == 200:
                last = time.monotonic()
                answered[gateway].append(last)
            await asyncio.sleep(0.04)

    async def kill():
        nonlocal dead
        await until("half is spent", lambda: sum(map(len, answered.values())) > budget // 2)
        dead = time.monotonic()
        one.kill()

    clients = [client(gateway) for gateway in those for _ in range(4)]
    await asyncio.gather(kill(), *clients)
    untold = sum(dead - at < TOLD_WITHIN for at in answered[one])
    in_all = sum(map(len, answered.values()))
    behind = sum(at > dead for at in answered[other])
    row(f"one of two is killed: admitted by the other behind that, of a budget for {budget}", behind, "", ">= 1")
    row(f"one of two is killed: answered by it within the last {TOLD_WITHIN * 1000:.0f} ms", untold)
    row("one of two is killed: admitted in all", in_all, "", f"<= {budget + untold}")
    if is_long:
        # So many times as long as it was good a lease that has ended counts as used.
        await asyncio.sleep(max(0, dead + 60 * lease + 2 - time.monotonic()))
        tally = Tally()
        await exhaust([other], "small", tally)
        row("one of two is killed: admitted when it had been taken for dead", tally.admitted)
        row("one of two is killed: admitted in all, spent to the end", in_all + tally.admitted, "", f"<= {budget + untold}")
        row("one of two is killed: admitted in all at least", in_all + tally.admitted, "", f">= {budget - 3}")
    other.kill()
    server.kill()


async def start_simulator():
    global simulator
    simulator = f"127.0.0.1:{free_port(chance)}"
    begin(binary, "simulate", "--listen", simulator, "--latency", "2ms", "--tokens", "10", log="simulator.log", cwd=folder)

    def listens():
        with contextlib.suppress(OSError):
            host, port = simulator.split(":")
            socket.create_connection((host, int(port)), 1).close()
            return True
        return False

    await until("the simulator listens", listens)


async def main():
    await start_simulator()
    rounds = max(3, seconds // 6)
    names = [f"ten-{number}" for number in range(rounds)]
    keys = [key(name, 10, ("total", "month")[number % 2]) for number, name in enumerate(names)]
    budget = 1000 if is_long else 300
    keys += [key("uneven", budget), key("free"), key("minute", more="requests_per_minute = 60")]
    server = await Server().start()
    those = await gateways(2, [server], keys)
    await exact(those, names, 10, 1000, "two processes")
    load = Steady(those, "free", 200)
    await asyncio.gather(
        uneven(those, budget),
        keys_travel(*those, 20 if is_long else 3),
        minute(those),
        four(server, names[: max(2, rounds // 4)]),
    )
    await load.end()
    await cache_travels(*those)
    for gateway in those:
        gateway.kill()
    server.kill()
    await waits_for_nobody(3 if is_long else 0.8)
    await asyncio.gather(
        changes_hands("store killed and started with its data", kept),
        changes_hands("primary killed, its replica promoted", promoted),
        changes_hands("store killed and started without its data", lost),
        stays_away("refuse"),
        stays_away("serve"),
        killed(),
    )


try:
    asyncio.run(main())
finally:
    end_all()
    for lines in rows.values():
        print("\n".join(lines))
