"""Asks HAProxy about a server of the backend `gateways`.

    haproxy.py SOCKET SERVER COLUMN,COLUMN... [PID]

Prints these columns of `show stat`. With PID it kills this process (SIGKILL) at once when HAProxy
has answered; it is stopped before the question, so nothing on it ends meanwhile.
"""

import csv
import os
import signal
import socket
import sys

at = socket.socket(socket.AF_UNIX)
at.connect(sys.argv[1])
server, columns, victims = sys.argv[2], sys.argv[3].split(","), [int(pid) for pid in sys.argv[4:]]
for pid in victims:
    os.kill(pid, signal.SIGSTOP)
at.sendall(b"show stat\n")
text = b"".join(iter(lambda: at.recv(65536), b"")).decode().lstrip("# ")
for pid in victims:
    os.kill(pid, signal.SIGKILL)
rows = csv.DictReader(text.splitlines())
row = next(row for row in rows if (row["pxname"], row["svname"]) == ("gateways", server))
print(*[row[column] for column in columns])
