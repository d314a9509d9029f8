"""Kills a gateway again and again while it serves, and holds its books against what was served.

    kill9.py BINARY FOLDER KILLS SEED

An upstream and sixteen clients are part of this program. Every request has an id of its own; the
upstream notes which it was asked, the clients which were answered whole. Each answer costs the
same. Prints one JSON object; exit status 1 when a book is wrong.
"""

import asyncio
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

from ports import free_port

CLIENTS = 16
# An answer that was whole so long before a kill is settled.
SETTLED_AFTER = 0.1

binary, folder, kills, seed = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
chance = random.Random(seed)
served = {}  # by id: how often the upstream was asked
whole = {}  # by id: when its answer was whole, and how many kills were before its connection
counter = 0
ended = False
stamps = []  # when the gateway was killed


def content(stream, text):
    usage = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
    if not stream:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini"}
        return [json.dumps(answer | {"choices": [choice], "usage": usage})]
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}
    parts = [
        head | {"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}
        for word in ("a", "b", "c")
    ]
    parts.append(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    parts.append(head | {"choices": [], "usage": usage})
    return [f"data: {json.dumps(part)}\n\n" for part in parts] + ["data: [DONE]\n\n"]


async def read_message(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    if fields.get("transfer-encoding") == "chunked":
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return head, body
    return head, await reader.readexactly(int(fields.get("content-length", 0)))


async def upstream(reader, writer):
    try:
        while True:
            _head, body = await read_message(reader)
            asked = json.loads(body)
            name = asked["messages"][0]["content"]
            served[name] = served.get(name, 0) + 1
            await asyncio.sleep(chance.random() * 0.02)
            parts = content(asked.get("stream", False), name)
            if asked.get("stream"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
                for part in parts:
                    writer.write(f"{len(part):x}\r\n{part}\r\n".encode())
                    await writer.drain()
                    await asyncio.sleep(chance.random() * 0.005)
                writer.write(b"0\r\n\r\n")
            else:
                length = len(parts[0])
                writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{parts[0]}".encode())
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def client(port):
    global counter
    writer = None
    while not ended:
        try:
            if writer is None:
                born = len(stamps)
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            counter += 1
            name, stream = f"k-{counter}", counter % 2 == 0
            body = json.dumps({"model": "gpt-4o-mini", "stream": stream, "messages": [{"role": "user", "content": name}]})
            writer.write(
                f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk-0123456789abcdef\r\n"
                f"x-request-id: {name}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
            )
            head, answer = await read_message(reader)
            if head.startswith("HTTP/1.1 200") and (b"[DONE]" in answer or not stream):
                whole[name] = time.monotonic(), born
            if "connection: close" in head.lower():
                writer.close()
                writer = None
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            if writer is not None:
                writer.close()
            writer = None
            await asyncio.sleep(0.005)


def start(log):
    environment = {"PATH": os.environ["PATH"]}
    command = [binary, "--config", str(folder / "gateway.toml")]
    return subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)


async def serving(port, process):
    for _ in range(2000):
        try:
            _reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        except OSError:
            if process.poll() is not None:
                sys.exit(f"the gateway has ended: {process.returncode}")
            await asyncio.sleep(0.01)
    sys.exit("the gateway does not start")


def command(*words):
    environment = {"PATH": os.environ["PATH"]}
    words = [binary, *words, "--config", str(folder / "gateway.toml")]
    done = subprocess.run(words, env=environment, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"{words}: {done.stdout}{done.stderr}", file=sys.stderr)
    return done.returncode, done.stdout


async def main():
    global ended
    server = await asyncio.start_server(upstream, "127.0.0.1", 0, limit=1 << 20)
    at, port = server.sockets[0].getsockname()[1], free_port(chance)
    (folder / "gateway.toml").write_text(f"""
[server]
port = {port}
[auth]
master_key = "sk-0123456789abcdef"
[rate_limit]
capacity = 1000000000
refill_per_second = 1000000000
[retry]
attempts = 0
[log]
level = "warn"
[ledger]
enabled = true
path = "{folder / 'state'}"
[[upstream]]
name = "openai"
kind = "openai"
base_url = "http://127.0.0.1:{at}/v1"
api_key = "any"
stream_usage = "always"
[[route]]
model = "gpt-4o-mini"
targets = [{{ upstream = "openai" }}]
""")
    log = open(folder / "gateway.log", "ab")
    clients = [asyncio.create_task(client(port)) for _ in range(CLIENTS)]
    for _ in range(kills):
        process = start(log)
        await serving(port, process)
        await asyncio.sleep(chance.uniform(0.02, 0.3))
        process.send_signal(signal.SIGKILL)
        stamps.append(time.monotonic())
        process.wait()
    process = start(log)
    await serving(port, process)
    await asyncio.sleep(0.5)
    ended = True
    await asyncio.gather(*clients)
    last = time.monotonic()
    process.send_signal(signal.SIGTERM)
    clean = await asyncio.to_thread(process.wait, 60)
    report(clean, last)


def report(clean, last):
    _code, text = command("usage", "export", "--json")
    rows = {}
    for row in map(json.loads, text.splitlines()):
        rows.setdefault(row["id"], []).append(row)
    verified, _text = command("ledger", "verify")
    _code, text = command("usage", "--json")
    usage = json.loads(text)
    every = [row for found in rows.values() for row in found]
    settled = {name for name, found in rows.items() if any(row["ending"] != "open" for row in found)}

    def nanos(amount):
        return round(float(amount) * 1e9) if amount is not None else 0

    due = [name for name, (when, born) in whole.items() if in_time(when, born, last)]
    result = {
        "kills": kills,
        "seed": seed,
        "requests": counter,
        "asked_upstream": len(served),
        "asked_twice": sum(times > 1 for times in served.values()),
        "answered_whole": len(whole),
        "admitted_not_once": sum(len(rows.get(name, [])) != 1 for name in served),
        "in_ledger": len(every),
        "settled": len(settled),
        "open": sum(row["ending"] == "open" for row in every),
        "settled_lost": sum(name not in settled for name in due),
        "spend_of_rows_nanos": sum(nanos(row["cost_usd"]) for row in every),
        "spend_of_usage_nanos": nanos(usage["cost_usd"]),
        "requests_of_usage": usage["requests"],
        "verified": verified == 0,
        "clean_stop": clean == 0,
    }
    print(json.dumps(result, indent=1))
    right = (
        result["admitted_not_once"] == 0
        and result["settled_lost"] == 0
        and result["asked_twice"] == 0
        and result["spend_of_rows_nanos"] == result["spend_of_usage_nanos"]
        and result["requests_of_usage"] == result["in_ledger"]
        and result["verified"]
        and result["clean_stop"]
        and result["settled"] > 0
    )
    sys.exit(0 if right else 1)


def in_time(when, born, last):
    """Was the end of the gateway that gave an answer far enough from it? An answer that was read
    behind that end had left just before it, settled or not."""
    end = stamps[born] if born < len(stamps) else last + 1
    return end - when > SETTLED_AFTER


asyncio.run(main())
