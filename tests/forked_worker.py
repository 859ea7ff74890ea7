"""Replaces `python -u -c PROGRAM` when execnet starts a process: the process is forked by `worker_server.py`."""

import os
import signal
import socket
import sys

signal.signal(signal.SIGINT, signal.SIG_IGN)  # the forked process receives it as well
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(os.environ["HERMES_WORKER_SERVER"])
    socket.send_fds(connection, [sys.argv[-1].encode()], [0, 1, 2])
    for number in (0, 1):  # only the forked process keeps these pipes open
        os.close(number)
    connection.recv(1)
