"""A local hub: the endpoints of huggingface.co that a model download needs, serving folders of this machine.

Reported sizes can be larger than the files, to test the announcement of large downloads.
"""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Serves `models`: hub id -> (folder, licence, bytes added to the reported size of its weights, whether it is gated)."""

    def __init__(self, models: dict[str, tuple[Path, str | None, int, bool]]) -> None:
        self.models = models
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def do_GET(self) -> None:
                hub.answer(self, body=True)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = unquote(urlsplit(request.path).path).strip("/")
        self.asked.append(f"{request.command} {path}")
        if not path:
            send(request, b"a hub", body=body)
            return
        parts = path.split("/")
        api = parts[:2] == ["api", "models"]
        name = "/".join(parts[2:4] if api else parts[:2])
        if name not in self.models:
            send(request, b"{}", status=404, headers={"X-Error-Code": "RepoNotFound"}, body=body)
            return
        folder, licence, more, gated = self.models[name]
        if gated:
            send(request, b"{}", status=403, headers={"X-Error-Code": "GatedRepo"}, body=body)
        elif api:
            listed = parts[4:5] == ["tree"]
            content = self.tree(folder, more) if listed else self.info(name, folder, licence, more)
            send(request, json.dumps(content).encode(), kind="application/json", body=body)
        else:
            self.send_file(request, folder / "/".join(parts[4:]), body=body)

    def info(self, name: str, folder: Path, licence: str | None, more: int) -> dict[str, object]:
        files = [{"rfilename": entry["path"], "size": entry["size"]} for entry in self.tree(folder, more)]
        card = {"license": licence} if licence else {}
        return {
            "_id": "1",
            "id": name,
            "sha": COMMIT,
            "private": False,
            "tags": [],
            "siblings": files,
            "cardData": card,
        }

    def tree(self, folder: Path, more: int) -> list[dict[str, object]]:
        entries = []
        for file in sorted(folder.iterdir()):
            size = file.stat().st_size + (more if file.suffix == ".safetensors" else 0)
            entries.append({"type": "file", "path": file.name, "size": size, "oid": digest(file)})
        return entries

    def send_file(self, request: BaseHTTPRequestHandler, file: Path, *, body: bool) -> None:
        if not file.is_file():
            send(request, b"", status=404, headers={"X-Error-Code": "EntryNotFound"}, body=body)
            return
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{digest(file)}"', "Accept-Ranges": "bytes"}
        send(request, file.read_bytes(), kind="application/octet-stream", headers=headers, body=body)


def digest(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()  # noqa: S324 - as git names blobs


def send(
    request: BaseHTTPRequestHandler,
    content: bytes,
    *,
    status: int = 200,
    kind: str = "text/plain",
    headers: dict[str, str] | None = None,
    body: bool = True,
) -> None:
    request.send_response(status)
    for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
        request.send_header(name, value)
    request.end_headers()
    if body:
        request.wfile.write(content)
