"""Starts `app.py` of this checkout on 127.0.0.1 in a separate process, for load tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Final

import psutil

from hermes.assets import checkout
from hermes.errors import HermesError

START_SECONDS: Final = 180.0
"""Timeout in seconds until the server answers; on a busy machine, most of it is importing torch."""
STOP_SECONDS: Final = 15.0
LOG_LINES: Final = 8


def find_app() -> Path:
    """Return the path of the checkout's `app.py`.

    Raises:
        HermesError: The package is installed without a checkout.
    """
    return checkout("`hermes bench --visitors` without --url") / "app.py"


class Server:
    """A server process. Use it as a context manager: it starts on entry and ends on exit.

    Attributes:
        url: Address of the page, with a slash at its end.
    """

    def __init__(self, *flags: str) -> None:
        """Prepare a server with `flags` as additional arguments of `app.py`."""
        self._app = find_app()
        self._flags = flags
        self._folder = tempfile.TemporaryDirectory(prefix="hermes-bench-")
        port = _free_port()
        self._port = port
        self.url = f"http://127.0.0.1:{port}/"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        """Start the process and wait until it answers.

        Raises:
            HermesError: It ended, or does not answer in time; the message contains the end of its log.
        """
        environment = os.environ | {
            "GRADIO_TEMP_DIR": str(Path(self._folder.name) / "uploads"),
            "PYTHONUNBUFFERED": "1",
        }
        for name in ("HERMES_HOST", "HERMES_PORT", "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT", "SPACE_ID"):
            environment.pop(name, None)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own app.py
                [sys.executable, str(self._app), "--host", "127.0.0.1", "--port", str(self._port), *self._flags],
                cwd=self._folder.name,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_for_answer()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self._stop()

    @property
    def process(self) -> psutil.Process:
        """The running process."""
        if self._process is None:
            raise HermesError("The server is not running.")
        return psutil.Process(self._process.pid)

    @property
    def _log(self) -> Path:
        return Path(self._folder.name) / "server.log"

    def log(self) -> str:
        """Return the last lines of the server's log."""
        return "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-LOG_LINES:])

    def _wait_for_answer(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self._process is None or self._process.poll() is not None:
                raise HermesError(f"The server ended before it answered:\n{self.log()}")
            try:
                with urllib.request.urlopen(self.url, timeout=10):  # noqa: S310 - 127.0.0.1
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
        raise HermesError(f"The server did not answer within {START_SECONDS:.0f} s:\n{self.log()}")

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._folder.cleanup()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
