"""Ports for programs that are started again at the same one. Standard library only."""

import contextlib
import socket


def free_port(chance):
    """Below the range that connections take their own ports from: clients that knock while nobody
    listens would be given the very port that they knock at, and talk to themselves. `chance` draws."""
    while True:
        port = chance.randrange(20000, 32000)
        with socket.socket() as held, contextlib.suppress(OSError):
            held.bind(("127.0.0.1", port))
            return port
