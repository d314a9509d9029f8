"""Plays a page: runs each block of shell in it and writes what it said behind it.

    troubleshoot.py FOLDER PAGE [--keep]

Started by scripts/verify/troubleshoot in namespaces of its own. Exit status 1 when a block fails
or says nothing. Standard library only.
"""

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
import urllib.request

work, page = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
LINES, COLUMNS, PIECES = 14, 116, 3  # of an output that the page shows; a long line is broken
SECONDS = 120  # for one block
KEYS = {"KEY": "sk-page-0123456789abcdef", "ADMIN_KEY": "sk-admin-0123456789abcdef"}
environment = {"PATH": f"{work}:{os.environ['PATH']}", "HOME": str(work), "LANG": "C.UTF-8"} | KEYS

HEAD = """
[server]
port = {port}
[auth]
admin_key = "env:ADMIN_KEY"
[rate_limit]
capacity = 1000000
refill_per_second = 1000000
[ledger]
path = "{state}"
[[key]]
name = "page"
secret = "env:KEY"
"""
UPSTREAM = """
[[upstream]]
name = "{name}"
kind = "{kind}"
base_url = "{url}"
api_key = "any"
[[route]]
model = "{model}"
targets = [{{ upstream = "{name}"{target} }}]
"""


def upstream(name, url, model, kind="openai", target=""):
    return UPSTREAM.format(name=name, kind=kind, url=url, model=model, target=target and f', model = "{target}"')


def wait_for(port):
    for _ in range(300):
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"troubleshoot: nobody listens on port {port}")


def run(log, port, *command):
    with open(work / log, "ab") as file:
        subprocess.Popen(command, cwd=work, env=environment, stdout=file, stderr=file)
    wait_for(port)


def serve_tls():
    """An upstream whose certificate nobody stands behind."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(work / "cert.pem", work / "key.pem")
    listener = socket.create_server(("127.0.0.1", 4443))
    while True:
        link, _ = listener.accept()
        try:
            with context.wrap_socket(link, server_side=True) as secure:
                secure.recv(1)
        except OSError:
            link.close()


def ask(model, port=4000):
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}]}).encode()
    fields = {"authorization": f"Bearer {KEYS['KEY']}", "content-type": "application/json"}
    try:
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", body, fields)).read()
    except OSError:
        pass


def prepare():
    """The machine that the page speaks of."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    binary = str(work / "vertex-bridge")
    run("simulator.log", 4100, binary, "simulate", "--latency", "20ms")
    run("slow-simulator.log", 4101, binary, "simulate", "--listen", "127.0.0.1:4101", "--latency", "1500ms")
    run("narrow-simulator.log", 4102, binary, "simulate", "--listen", "127.0.0.1:4102", "--latency", "200ms")
    threading.Thread(target=serve_tls, daemon=True).start()
    google = upstream("google", "http://127.0.0.1:4100", "gemini-*", "gemini")
    main = HEAD.format(port=4000, state="state") + google
    main += upstream("anthropic", "http://127.0.0.1:4100", "claude-*", "anthropic")
    main += upstream("slow", "http://127.0.0.1:4101/v1", "slow-model")
    main += upstream("dead", "http://127.0.0.1:9/v1", "dead")
    main += upstream("gone", "http://127.0.0.1:9/v1", "gone")
    main += upstream("private", "https://localhost:4443/v1", "private")
    (work / "vertex-bridge.toml").write_text(main)
    (work / "empty.toml").write_text('[ledger]\nenabled = false\n')
    narrow = HEAD.format(port=4005, state="narrow-state") + upstream("narrow", "http://127.0.0.1:4102/v1", "narrow")
    (work / "narrow.toml").write_text(narrow + '[limits]\nupstream_concurrency = 1\nqueue = 1\n[runtime]\ncores = "0"\n')
    # A body of JSON does not end its line.
    (work / ".curlrc").write_text('write-out = "\\n"\n')
    (work / "full").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "small", str(work / "full")], check=True)
    full = HEAD.format(port=4006, state="full/state").replace("[ledger]\n", '[ledger]\nwhen_full = "refuse"\n') + google
    (work / "full.toml").write_text(full + '[limits]\nin_flight = 64\n[runtime]\ncores = "0"\n')

    run("vertex-bridge.log", 4000, binary)
    # Only one is to be found by its name.
    for name, port in (("narrow", 4005), ("full", 4006)):
        copy = work / f"vb-{name}"
        copy.write_bytes((work / "vertex-bridge").read_bytes())
        copy.chmod(0o755)
        run(f"{name}.log", port, str(copy), "--config", f"{name}.toml")
    made = subprocess.run([binary, "keys", "create", "--name", "team-b", "--model", "gemini-*", "--requests-per-minute", "3", "--json"],
                          cwd=work, env=environment, check=True, capture_output=True, text=True).stdout
    environment["TEAM_KEY"] = re.search(r"sk-vb-[\w-]+", made)[0]
    for model in ["gemini-2.5-flash"] * 20 + ["claude-haiku-4-5"] * 10 + ["slow-model"] * 2 + ["gemini-2.5-flash-fault-429"]:
        ask(model)
    for _ in range(30):
        ask("gone")
    with open(work / "full" / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    # What waits longer than a moment counts as trouble.
    for _ in range(30):
        ask("gemini-2.5-flash", 4006)
        time.sleep(0.3)


def shorten(text):
    """An output as the page shows it."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text).replace(environment["TEAM_KEY"], "sk-vb-…").replace(str(work), "/srv")
    lines = []
    for line in text.strip().splitlines():
        pieces = [line[at : at + COLUMNS].rstrip() for at in range(0, len(line), COLUMNS)] or [""]
        lines += pieces if len(pieces) <= PIECES else [*pieces[: PIECES - 1], pieces[PIECES - 1][:-2] + " …"]
    lines = [line for line in lines if line]
    return lines if len(lines) <= LINES else [*lines[: LINES - 1], "…"]


def play(commands):
    try:
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], cwd=work, env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return 124, [f"longer than {SECONDS} s"]
    if "hey -" in commands:
        time.sleep(1.5)  # the log has a bound of lines for each second, and the next block may look for one
    return done.returncode, shorten(done.stdout)


def main():
    prepare()
    text = page.read_text()
    block = re.compile(r"```sh\n(.*?)```\n(\n```text\n.*?```\n)?", re.S)
    failed = played = 0

    def replace(found):
        nonlocal failed, played
        played += 1
        status, lines = play(found[1])
        if status != 0 or not lines:
            failed += 1
            print(f"troubleshoot: exit status {status} of\n{found[1]}", *lines, sep="\n", file=sys.stderr)
        return f"```sh\n{found[1]}```\n\n```text\n" + "\n".join(lines) + "\n```\n"

    text = block.sub(replace, text)
    if "--keep" not in sys.argv:
        page.write_text(text)
    print(f"troubleshoot: {played} blocks played, {failed} failed")
    return failed > 0


signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
sys.exit(main())
