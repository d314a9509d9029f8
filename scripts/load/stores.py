"""Servers of a store that gateways share, and slow ways to them; `shared.py` uses it.

    stores.py PORT TARGET FILE

is the process of a `Way`: it carries what comes to PORT to TARGET, in the time that FILE says.
"""

import asyncio
import contextlib
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

from ports import free_port

chance = random.Random()
processes = []  # all that were started
# Where logs and data go, the root folder that the server runs in, and its program.
folder, root, program = pathlib.Path("."), "/", []


def begin(*command, log, cwd=None):
    with open(folder / log, "ab") as file:
        environment = {"PATH": os.environ["PATH"]}
        process = subprocess.Popen(command, env=environment, cwd=cwd, stdout=file, stderr=file)
    processes.append(process)
    return process


async def until(what, holds, most=15.0):
    end = time.monotonic() + most
    while not (holds() if not asyncio.iscoroutinefunction(holds) else await holds()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}, not within {most} s")
        await asyncio.sleep(0.02)


class Server:
    """A server of the store. Its data outlive it, unless they are to be lost."""

    count = 0

    def __init__(self):
        Server.count += 1
        self.port = free_port(chance)
        inside = pathlib.Path(root) / f"tmp/vertex-bridge-{os.getpid()}-{Server.count}"
        self.data = inside if root != "/" else folder / f"store-{Server.count}"
        self.process = None

    async def start(self):
        self.data.mkdir(parents=True, exist_ok=True)
        # In a root of its own the server may run as another user.
        seen = self.data if root == "/" else pathlib.Path("/") / self.data.relative_to(root)
        enter = [] if root == "/" else ["chroot", root]
        def answers():
            # One that ends at once found its port taken for a moment.
            if self.process is None or self.process.poll() is not None:
                self.process = begin(
                    *enter, *program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                    "--dir", str(seen), "--appendonly", "yes", log="store.log",
                )  # fmt: skip
                time.sleep(0.02)
            return self.say("PING") == "PONG"

        self.process = None
        await until("the store answers", answers)
        return self

    def say(self, *words):
        """One command and its answer, if that is one line."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as way:
            parts = [f"${len(word)}\r\n{word}\r\n" for word in words]
            way.sendall(f"*{len(parts)}\r\n{''.join(parts)}".encode())
            return way.recv(100_000).decode().lstrip("+").strip()
        return None

    def kill(self):
        self.process.kill()
        self.process.wait()

    async def lose(self):
        """It ends and begins again with nothing."""
        self.kill()
        shutil.rmtree(self.data)
        await self.start()

    async def again(self):
        self.kill()
        await self.start()


class Way:
    """A way to a server that takes its time, in seconds for each direction."""

    def __init__(self, server):
        self.server, self.port = server, free_port(chance)
        self.file = folder / f"way-{self.port}"
        self.take(0)
        self.process = begin(
            sys.executable, __file__, str(self.port), str(server.port), str(self.file),
            log="way.log",
        )  # fmt: skip

    def take(self, delay):
        part = self.file.with_suffix(".part")
        part.write_text(str(delay))
        part.rename(self.file)


async def keep_way(port, target, file):
    """The process of a `Way`."""

    async def carry(reader, writer):
        queue = asyncio.Queue()

        async def deliver():
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0, due - time.monotonic()))
                if not data:
                    writer.close()
                    return
                writer.write(data)

        delivering = asyncio.create_task(deliver())
        data = b"-"
        while data:
            try:
                data = await reader.read(65536)
            except OSError:
                data = b""
            queue.put_nowait((time.monotonic() + float(pathlib.Path(file).read_text()), data))
        await delivering

    async def accept(reader, writer):
        try:
            there = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(carry(reader, there[1]), carry(there[0], writer), return_exceptions=True)

    async with await asyncio.start_server(accept, "127.0.0.1", port) as server:
        await server.serve_forever()


def end_all():
    for process in processes:
        with contextlib.suppress(OSError):
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()
    if root != "/":
        for left in pathlib.Path(root).glob(f"tmp/vertex-bridge-{os.getpid()}-*"):
            shutil.rmtree(left, ignore_errors=True)


if __name__ == "__main__":
    asyncio.run(keep_way(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
