"""A server that is interrupted deletes the files of its visitors. On SIGTERM: e2e/test_connections.py."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from pathlib import Path

import httpx
import preloaded
from patience import PATIENCE, until
from served_page import Tab

ROOT = Path(__file__).parents[3]
FILM = Path(__file__).parents[2] / "data" / "variable_rate.mp4"


def files_below(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_an_interrupted_server_deletes_the_files_of_its_visitors(tmp_path):
    uploads, log = tmp_path / "uploads", tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    given = ("--streams", "1", "--port", str(port))
    server = preloaded.start(ROOT / "app.py", *given, folder=tmp_path, out=log, GRADIO_TEMP_DIR=str(uploads))
    try:
        tabs: list[Tab] = []

        def opened():
            assert server.is_alive(), log.read_text()
            with contextlib.suppress(httpx.ConnectError):
                tabs.append(Tab(f"http://127.0.0.1:{port}"))
            return tabs

        until(opened)
        assert tabs[0].upload(FILM.read_bytes(), "my film.mp4").status_code == 200
        assert "my film.mp4" in files_below(uploads)
        os.kill(server.pid, signal.SIGINT)
        server.join(PATIENCE)
        assert server.exitcode == 0, log.read_text()
    finally:
        server.kill()
        server.join()
    assert "Traceback" not in log.read_text()
    assert files_below(uploads) == []
