"""Harms gateways one way each and looks which alerts a real Prometheus fires.

    alerts.py FOLDER HEALTHY_SECONDS

FOLDER is made by scripts/verify/alerts: the program, the load program, the shortened rules, a
certificate, and a small disk. Writes a row of the evidence for each thing that had to happen to
FOLDER/rows. Exit status 1 when one did not. Standard library only.
"""

import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

work, healthy_seconds = pathlib.Path(sys.argv[1]), float(sys.argv[2])
root = pathlib.Path(__file__).resolve().parents[2]
KEY, POOR = "sk-alerts-0123456789abcdef", "sk-poor-0123456789abcdef"
PATIENCE = 120  # seconds for all alerts to fire
MADE_BY_PROMETHEUS = {"up", "ALERTS"}
processes, threads, missed = [], [], 0
ended = threading.Event()

COMMON = """
[rate_limit]
capacity = {capacity}
refill_per_second = {refill}
[circuit_breaker]
failure_threshold = {threshold}
timeout_secs = 5
[runtime]
cores = "{cores}"
[ledger]
path = "{state}"
[[key]]
name = "alerts"
secret = "sk-alerts-0123456789abcdef"
[[key]]
name = "poor"
secret = "sk-poor-0123456789abcdef"
budget = {{ usd = "0.0004", per = "day" }}
[[upstream]]
name = "google"
kind = "gemini"
base_url = "http://127.0.0.1:{simulator}"
api_key = "any"
[[route]]
model = "gemini-*"
targets = [{{ upstream = "google" }}]
"""


def row(what, measured, wanted, met):
    global missed
    missed += not met
    with open(work / "rows", "a") as file:
        file.write(f"| {what} | {measured} | {wanted} | {'met' if met else 'MISSED'} |\n")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(log, *command, cwd=None):
    with open(work / log, "ab") as file:
        environment = {"PATH": os.environ["PATH"]}
        process = subprocess.Popen(command, cwd=cwd or work, env=environment, stdout=file, stderr=file)
    processes.append(process)
    return process


def wait_for(port, path=b"GET /health HTTP/1.0\r\n\r\n", seconds=15):
    for _ in range(int(seconds / 0.05)):
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"alerts: nobody listens on port {port}")


def simulator(*options):
    port = free_port()
    process = run("simulator.log", str(work / "vertex-bridge"), "simulate", "--listen", f"127.0.0.1:{port}", *options)
    wait_for(port)
    return port, process


class Gateway:
    """One that will be harmed in one way."""

    all = {}

    def __init__(self, name, more="", tls=False, cores="0", **changed):
        self.name, self.port, self.tls = name, free_port(), tls
        folder = work / name
        folder.mkdir()
        values = {"capacity": 10**9, "refill": 10**9, "threshold": 10, "cores": cores, "state": folder / "state",
                  "simulator": shared} | changed
        tls_keys = f'tls_cert = "{work}/cert.pem"\ntls_key = "{work}/key.pem"\n' if tls else ""
        text = f"[server]\nport = {self.port}\n{tls_keys}" + COMMON.format(**values) + more
        (folder / "gateway.toml").write_text(text)
        Gateway.all[f"127.0.0.1:{self.port}"] = self
        self.start()

    def start(self):
        program = str(work / "vertex-bridge")
        self.process = run(f"{self.name}.log", program, "--config", str(work / self.name / "gateway.toml"))
        wait_for(self.port)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def connect(self, timeout=60):
        if not self.tls:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        context = ssl.create_default_context(cafile=str(work / "cert.pem"))
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=context)

    def ask(self, model="gemini-2.5-flash", key=KEY, timeout=60, prompt="Hello", link=None, stream=False, **more):
        """The status of an answer; 0 without one."""
        body = json.dumps({"model": model, "stream": stream, "max_tokens": 16,
                           "messages": [{"role": "user", "content": prompt}]} | more)
        fields = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        own = link or self.connect(timeout)
        try:
            own.request("POST", "/v1/chat/completions", body, fields)
            answer = own.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            if link is None:
                own.close()


def keep(rate, action, stop=ended):
    """Does something so many times a second, whether it succeeds or not."""

    def loop():
        due = time.monotonic()
        while not stop.is_set():
            try:
                action()
            except OSError:
                pass
            due = max(due + 1 / rate, time.monotonic() - 1)
            stop.wait(max(0, due - time.monotonic()))

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    threads.append(thread)
    return thread


def beside(action):
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    threads.append(thread)


def collector():
    """Takes all spans."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    beside(server.serve_forever)
    return server


def untrusted():
    """An upstream whose certificate nobody stands behind."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(work / "cert.pem", work / "key.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            link, _ = listener.accept()
            try:
                context.wrap_socket(link, server_side=True).close()
            except OSError:
                link.close()

    beside(serve)
    return listener.getsockname()[1]


def openai(name, url, model, target=None):
    part = f', model = "{target}"' if target else ""
    return (f'[[upstream]]\nname = "{name}"\nkind = "openai"\nbase_url = "{url}"\napi_key = "any"\n'
            f'[[route]]\nmodel = "{model}"\ntargets = [{{ upstream = "{name}"{part} }}]\n')


def load(gateway, *options):
    run("load.log", str(work / "load"), "-u", f"127.0.0.1:{gateway.port}", "-k", KEY, "-n", "10", "-a", "errors", *options)


def redis():
    """A store that gateways share: its port and process."""
    port = free_port()
    process = run("redis.log", "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "")
    wait_for(port)
    return port, process


# ---- The gateways, and how each is harmed --------------------------------------------------------


def build():
    """What harms each gateway: text for people, the alerts that must come of it, and how it is done."""
    mortal, mortal_process = simulator()
    steady, steady_process = simulator()
    narrow, _ = simulator("--latency", "200ms")
    slow, _ = simulator("--latency", "35s")
    account = work / "account.json"
    oauth, oauth_process = simulator("--service-account", str(account), "--token-ttl", "3599s")
    spans = collector()
    cert_port = untrusted()
    stores = [redis(), redis()]
    meeting = '[shared]\nurl = "redis://127.0.0.1:{}"\n'

    untouched = Gateway("untouched", cores="0-1", more="[cache]\nenabled = true\n" + meeting.format(stores[0][0]))
    sharing = Gateway("sharing", cores="1", more=meeting.format(stores[1][0]))
    down = Gateway("down")
    restarted = Gateway("restarted", cores="1")
    circuit = Gateway("circuit", simulator=mortal)
    dead = Gateway("unreachable", simulator=steady, threshold=1000, more="[retry]\nattempts = 0\n")
    errors = Gateway("errors", cores="1", threshold=1000)
    certificate = Gateway("certificate", more=openai("private", f"https://127.0.0.1:{cert_port}/v1", "private"))
    limited_by_vendor = Gateway("vendor-limit", cores="1", threshold=1000, more="[retry]\nattempts = 0\n")
    late = Gateway("late", more=openai("late", f"http://127.0.0.1:{slow}/v1", "late"))
    full = Gateway("overhead", cores="1")
    refusing = Gateway("refusing", simulator=narrow, more="[limits]\nupstream_concurrency = 1\nqueue = 1\n")
    clients = Gateway("clients", capacity=5, refill=5)
    budget = Gateway("budget", cores="1")
    unpriced = Gateway("unpriced", more=openai("local", f"http://127.0.0.1:{shared}/v1", "mystery"))
    small_disk = Gateway("disk", cores="1", state=work / "small-disk" / "state", more="[limits]\nin_flight = 64\n[log]\nexchanges = \"off\"\n")
    traced = Gateway("traced", more=f'[otel]\nsample = 1.0\nendpoint = "http://127.0.0.1:{spans.server_port}"\n[log]\nexchanges = "off"\n')
    token = Gateway("token", cores="1", more=f'[[upstream]]\nname = "vertex"\nkind = "vertex"\n'
                    f'credentials_file = "{account}"\nbase_url = "http://127.0.0.1:{oauth}"\n'
                    '[[route]]\nmodel = "vertex-gemini"\ntargets = [{ upstream = "vertex", model = "gemini-2.5-flash" }]\n')
    uneven = Gateway("uneven", cores="0-1")
    secure = Gateway("secure", tls=True, cores="1")
    left = Gateway("left")

    for gateway in Gateway.all.values():
        keep(4, gateway.ask)
        if gateway.name in ("untouched", "late"):
            keep(4, lambda gateway=gateway: gateway.ask(stream=True))

    # The only ones that may be answered from the cache.
    keep(2, lambda: untouched.ask(temperature=0))

    def restart():
        for _ in range(6):
            restarted.kill()
            restarted.start()
            time.sleep(3)

    def fill_disk():
        with open(work / "small-disk" / "filler", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(65536))
            except OSError:
                pass
        load(small_disk, "-c", "16", "-m", "gemini-2.5-flash", "-d", "20")

    def silence_collector():
        spans.shutdown()
        spans.server_close()
        load(traced, "-c", "16", "-m", "gemini-2.5-flash", "-d", "20")

    def take_token():
        oauth_process.kill()
        token.kill()
        token.start()

    def one_link():
        link = uneven.connect()
        keep(100, lambda: uneven.ask(link=link))

    def starve():
        # Programs of a better rank on the gateway's core, and prompts of 2 MiB: what it cannot do at once
        # it must wait for.
        for tid in os.listdir(f"/proc/{full.process.pid}/task"):
            os.setpriority(os.PRIO_PROCESS, int(tid), 19)
        run("burner.log", "taskset", "-c", "1", "python3", "-c", "while True: pass")
        prompt = "word " * 400_000
        keep(10, lambda: full.ask(prompt=prompt))

    def distrust():
        with socket.create_connection(("127.0.0.1", secure.port), 2) as link:
            ssl.create_default_context().wrap_socket(link, server_hostname="localhost")

    def slow_streams():
        # One a second, so that one ends in every second.
        for _ in range(40):
            many(late, 4, model="late", stream=True)
            time.sleep(1)

    def hurry():
        left.ask(model="gemini-2.5-flash-fault-slow", timeout=0.2)

    many = lambda gateway, rate, **how: keep(rate, lambda: gateway.ask(**how))
    together = lambda count, act: [act() for _ in range(count)]
    return [
        ("SIGKILL", down, ["VertexBridgeDown"], down.kill),
        ("killed and started six times", restarted, ["VertexBridgeRestarts"], lambda: beside(restart)),
        ("its only upstream is killed", circuit, ["VertexBridgeCircuitOpen", "VertexBridgeNoUpstream"], mortal_process.kill),
        ("its upstream is killed, circuits are kept closed", dead, ["VertexBridgeUpstreamUnreachable", "VertexBridgeErrors"], steady_process.kill),
        ("the upstream answers 500 to two of three", errors, ["VertexBridgeUpstreamErrors", "VertexBridgeErrors"],
         lambda: many(errors, 8, model="gemini-2.5-flash-fault-500")),
        ("an upstream has a certificate of its own making", certificate, ["VertexBridgeUpstreamCertificate"],
         lambda: many(certificate, 2, model="private")),
        ("the upstream answers 429 to two of three", limited_by_vendor, ["VertexBridgeUpstreamRateLimited"],
         lambda: many(limited_by_vendor, 8, model="gemini-2.5-flash-fault-429")),
        ("an upstream that needs 35 s", late, ["VertexBridgeSlow", "VertexBridgeFirstTokenSlow"],
         lambda: beside(slow_streams)),
        ("prompts of 2 MiB, and another program on its core", full, ["VertexBridgeOverhead"], starve),
        ("20 requests a second at an upstream that may be asked one at a time", refusing, ["VertexBridgeRefuses"],
         lambda: together(5, lambda: many(refusing, 4))),
        ("24 requests a second where 5 are allowed", clients, ["VertexBridgeClientsLimited"], lambda: many(clients, 20)),
        ("a key goes on after its budget is spent", budget, ["VertexBridgeBudgetNearlySpent", "VertexBridgeBudgetSpent"],
         lambda: many(budget, 5, key=POOR)),
        ("a model without a price", unpriced, ["VertexBridgeUnpriced"], lambda: many(unpriced, 2, model="mystery")),
        ("the disk with the ledger is filled", small_disk, ["VertexBridgeRecordsLost"], fill_disk),
        ("the store that it shares is killed", sharing, ["VertexBridgeSharedStoreAway"], stores[1][1].kill),
        ("the collector goes away under load", traced, ["VertexBridgeTracesDropped"], silence_collector),
        ("started again without the token endpoint", token, ["VertexBridgeTokenRefreshFails", "VertexBridgeTokenEnds"], take_token),
        ("100 requests a second on one connection of a gateway with two shards", uneven, ["VertexBridgeShardsUneven"], one_link),
        ("clients that do not trust its certificate", secure, ["VertexBridgeClientHandshakesFail"], lambda: keep(6, distrust)),
        ("clients that wait 0.2 s for an answer after 2 s", left, ["VertexBridgeClientsLeave"],
         lambda: together(3, lambda: keep(4, hurry))),
    ]


# ---- Prometheus ----------------------------------------------------------------------------------


def scrape(gateway):
    request = urllib.request.Request(f"http://127.0.0.1:{gateway.port}/metrics/prometheus", headers={"authorization": f"Bearer {KEY}"})
    return urllib.request.urlopen(request, timeout=10).read().decode()


class Prometheus:
    def __init__(self, relabel):
        self.port = free_port()
        targets = lambda tls: json.dumps([address for address, gateway in Gateway.all.items() if gateway.tls == tls])
        job = ("  - job_name: {name}\n    metrics_path: /metrics/prometheus\n    authorization: {{ credentials: " + KEY + " }}\n"
               "{more}{relabel}    static_configs: [{{ targets: {targets}, labels: {{ job: vertex-bridge }} }}]\n")
        secure = f"    scheme: https\n    tls_config: {{ ca_file: {work}/cert.pem }}\n"
        (work / "prometheus.yml").write_text(
            "global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }\n"
            f"rule_files: [{work}/rules.yml]\nscrape_configs:\n"
            + job.format(name="vertex-bridge", more="", relabel=relabel, targets=targets(False))
            + job.format(name="vertex-bridge-tls", more=secure, relabel=relabel, targets=targets(True)))
        run("prometheus.log", "prometheus", f"--config.file={work}/prometheus.yml", f"--storage.tsdb.path={work}/tsdb",
            f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn")
        wait_for(self.port, seconds=30)

    def get(self, path, **query):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            return json.load(urllib.request.urlopen(url, timeout=30))
        except urllib.error.HTTPError as error:
            return json.load(error)

    def firing(self):
        """The alerts that fire, each with the name of the gateway; of sums over gateways it is empty."""
        found = set()
        for alert in self.get("alerts")["data"]["alerts"]:
            if alert["state"] == "firing":
                gateway = Gateway.all.get(alert["labels"].get("instance"))
                found.add((alert["labels"]["alertname"], gateway.name if gateway else ""))
        return found


# ---- Expressions ---------------------------------------------------------------------------------

WORDS = set("""by without on ignoring group_left group_right and or unless bool offset sum avg min max count rate
    increase resets changes histogram_quantile vector label_replace le inf""".split())


def metrics_of(expression):
    """The names of metrics in it: words that are no label, function or keyword."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    bare = re.sub(r"\b(?:by|without|on|ignoring)\s*\([^)]*\)", " ", bare)
    names = re.findall(r"(?<![\w:.])[a-zA-Z_:][\w:]*(?![\w:]|\s*\()", bare)
    return {name for name in names if name not in WORDS}


def expressions(prometheus):
    for group in prometheus.get("rules")["data"]["groups"]:
        for rule in group["rules"]:
            yield "rule", rule["name"], rule["query"]
    board = json.loads((root / "deploy/grafana/vertex-bridge.json").read_text())
    asked = [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel.get("targets", [])]
    notes = [(note["name"], note["expr"]) for note in board["annotations"]["list"]]
    for kind, title, expression in [("panel", *each) for each in asked] + [("note", *each) for each in notes]:
        for variable, value in (("$__rate_interval", "20s"), ("$job", ".*"), ("$instance", ".*")):
            expression = expression.replace(variable, value)
        yield kind, title, expression


def check_expressions(prometheus, text):
    declared = set(re.findall(r"^# TYPE (\S+) ", text, re.M)) | set(re.findall(r"^([a-zA-Z_:][\w:]*)", text, re.M))
    for name in re.findall(r"^# TYPE (\S+) histogram", text, re.M):
        declared |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    counts, silent, wrong = {"rule": 0, "panel": 0, "note": 0}, [], []
    asked = list(expressions(prometheus))
    recorded = {name for kind, name, _ in asked if ":" in name}
    for kind, title, expression in asked:
        counts[kind] += 1
        answer = prometheus.get("query", query=expression)
        if answer["status"] != "success":
            wrong.append(f"{title}: {answer.get('error')}")
            continue
        unknown = metrics_of(expression) - declared - recorded - MADE_BY_PROMETHEUS
        if unknown or not metrics_of(expression):
            wrong.append(f"{title}: no such metric: {', '.join(sorted(unknown)) or 'none at all'}")
        values = [float(sample["value"][1]) for sample in answer["data"]["result"]]
        if kind == "panel" or ":" in title:
            # A quotient of nothing is not a number where nobody asked; all of them must not be.
            if not any(value == value for value in values):
                silent.append(title)
    for line in wrong:
        print("alerts:", line, file=sys.stderr)
    row("expressions of the rules and of the dashboard that Prometheus evaluates", f"{counts['rule']} and {counts['panel'] + counts['note']}", "all", not any("no such" not in line for line in wrong))
    row("of them with a metric that the gateway does not declare", len([line for line in wrong if "no such" in line]), 0, not any("no such" in line for line in wrong))
    row("recorded series and panels without a figure after all the traffic", ", ".join(sorted(set(silent))) or "none", "none", not silent)


def check_histograms(text):
    """Prometheus computes no percentile of a histogram whose last bucket is not infinite."""
    names = re.findall(r"^# TYPE (\S+) histogram", text, re.M)
    ended_well = [name for name in names if re.search(rf'^{name}_bucket\{{[^}}]*le="\+Inf"', text, re.M)]
    row("histograms that end with the bucket `+Inf`", len(ended_well), len(names), len(ended_well) == len(names))
    if len(ended_well) == len(names):
        return ""
    # The rest can still be judged.
    return ("    metric_relabel_configs:\n      - { source_labels: [le], regex: '1.79.*', target_label: le, replacement: '+Inf' }\n")


def main():
    global shared
    shared, _ = simulator()
    harms = build()
    time.sleep(1)
    untouched = next(gateway for gateway in Gateway.all.values() if gateway.name == "untouched")
    relabel = check_histograms(scrape(untouched))
    prometheus = Prometheus(relabel)
    time.sleep(5)

    early = set()
    begin = time.monotonic()
    while time.monotonic() - begin < healthy_seconds:
        early |= prometheus.firing()
        time.sleep(0.5)
    told = ", ".join(f"{alert} ({where})" for alert, where in sorted(early))
    row(f"alerts in {healthy_seconds:.0f} s of health of {len(Gateway.all)} gateways", told or "none", "none", not early)

    begin = time.monotonic()
    for _, _, _, act in harms:
        act()
    wanted = {(alert, gateway.name) for _, gateway, alerts, _ in harms for alert in alerts}
    # One that sums over all gateways names none.
    wanted = {(alert, "" if alert == "VertexBridgeBudgetNearlySpent" else where) for alert, where in wanted}
    first = {}
    while time.monotonic() - begin < PATIENCE and not wanted <= first.keys():
        for found in prometheus.firing():
            first.setdefault(found, time.monotonic() - begin)
        time.sleep(0.25)
    for what, gateway, alerts, _ in harms:
        for alert in alerts:
            at = first.get((alert, gateway.name), first.get((alert, "")))
            row(f"{what}: `{alert}`", "silent" if at is None else f"fires after {at:.1f} s", "fires", at is not None)
    others = sorted({f"`{alert}`" for alert, where in first if where == "untouched"})
    row("alerts of the gateway that was left alone", ", ".join(others) or "none", "none", not others)
    rules = {rule["name"] for group in prometheus.get("rules")["data"]["groups"] for rule in group["rules"] if rule["type"] == "alerting"}
    never = sorted(rules - {alert for alert, _ in wanted})
    row("alerts that nothing here causes", ", ".join(f"`{name}`" for name in never) or "none", "`VertexBridgeBugs`", never == ["VertexBridgeBugs"])
    check_expressions(prometheus, scrape(untouched))


def stop(*_):
    raise SystemExit(1)


signal.signal(signal.SIGTERM, stop)
try:
    main()
finally:
    ended.set()
    for process in processes:
        process.kill()
sys.exit(missed > 0)
