"""The files in deploy/: nginx in front of two pages, and what the container files name."""

from __future__ import annotations

import re
import secrets
import shutil
import socket
import subprocess
import tomllib
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
import yaml
from gradio_client import Client
from packaging.requirements import Requirement
from patience import PATIENCE, until
from served_page import Tab, serve

from ui.flags import parse
from ui.page.traffic import LEAVE
from ui.visitors.connections import TAB_HEADER, key_of_token

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
MAIN = """
daemon off; master_process off; pid {folder}/pid; error_log stderr warn;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  include {folder}/hermes.conf;
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    """The address of nginx, and the handlers of the two pages behind it."""
    if NGINX is None:
        pytest.skip("needs nginx")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    with ExitStack() as stack:
        pages = [
            stack.enter_context(
                serve(tmp_path_factory.mktemp(f"page-{number}"), mcp=number == 1 and bool(find_spec("mcp")))
            )
            for number in (1, 2)
        ]
        text = (DEPLOY / "nginx.conf").read_text("utf-8")
        for number, (address, _) in enumerate(pages, 1):
            assert f"server page-{number}:7860" in text
            text = text.replace(f"page-{number}:7860", httpx.URL(address).netloc.decode())
        assert text.count("listen 80;") == 1
        (folder / "hermes.conf").write_text(text.replace("listen 80;", f"listen 127.0.0.1:{port};"))
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
        with subprocess.Popen([NGINX, "-c", folder / "nginx.conf", "-p", folder], stderr=subprocess.PIPE) as process:
            try:
                until(lambda: process.poll() is not None or _listens(port))
                assert process.poll() is None, process.stderr.read().decode()
                yield f"http://127.0.0.1:{port}/", [handlers for _, handlers in pages]
            finally:
                process.terminate()


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def places(pages, key):
    """Numbers of the pages that know a visitor."""
    return [number for number, handlers in enumerate(pages) if key in handlers.sessions.visitors()]


def test_a_browser_stays_on_one_page_and_both_are_used(proxy):
    address, pages = proxy
    used = set()
    for _ in range(64):
        browser = httpx.Client(base_url=address, timeout=PATIENCE)
        first = browser.get("/")
        assert first.status_code == 200
        cookie = first.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "set-cookie" not in browser.get("/").headers
        tab = Tab(address, cookie=cookie.partition(";")[0], **{"x-forwarded-for": "203.0.113.9"})
        (page,) = places(pages, tab.key)  # its heartbeat, its update stream, which is not buffered, and its upload
        assert pages[page].sessions.connections.client(tab.key) == "127.0.0.1"
        assert tab.upload(b"0" * 100_000).status_code == 200
        assert places(pages, tab.key) == [page]
        assert browser.post(LEAVE, content=tab.token).status_code == 204  # the beacon has no header
        until(lambda tab=tab: not places(pages, tab.key))
        tab.client.close()
        browser.close()
        used.add(page)
        if len(used) == len(pages):
            return
    pytest.fail("All browsers reached the same page.")


def test_a_program_stays_on_one_page(proxy):
    address, pages = proxy
    token = secrets.token_hex(16)
    client = Client(address, headers={TAB_HEADER: token}, verbose=False)
    client.predict(api_name="/start")
    (page,) = places(pages, key_of_token(token))
    assert client.predict(api_name="/status")["state"] == "playing"
    assert places(pages, key_of_token(token)) == [page]
    client.predict(api_name="/close")
    client.close()


def test_large_bodies_are_refused_before_they_are_sent(proxy):
    port = httpx.URL(proxy[0]).port
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(b"POST /gradio_api/upload HTTP/1.1\r\nHost: page\r\nContent-Length: 300000000\r\n\r\n")
        assert b" 413 " in connection.recv(100)


def test_mcp_is_served_by_one_page(proxy):
    if find_spec("mcp") is None:
        pytest.skip("needs the package mcp")
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    headers = {"accept": "application/json, text/event-stream"}
    for _ in range(4):
        answer = httpx.post(f"{proxy[0]}mcp", json=body, headers=headers, timeout=PATIENCE)
        assert "watch_video" in answer.text


def test_the_container_files_name_what_exists():
    dockerfile = (DEPLOY / "Dockerfile").read_text("utf-8")
    copied = [line.split()[1:-1] for line in dockerfile.splitlines() if line.startswith("COPY ")]
    sources = {source for line in copied for source in line}
    assert sources == {"requirements.txt", "LICENSE", "app.py", "hermes", "ui", "assets"}
    assert all((ROOT / source).exists() for source in sources)
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == sources
    assert re.search(r"^torch==", (ROOT / "requirements.txt").read_text("utf-8"), re.M)
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    pages = [name for name, service in compose["services"].items() if "build" in service]
    assert re.findall(r"server (page-\d):7860 max_fails", (DEPLOY / "nginx.conf").read_text("utf-8")) == pages
    cluster = yaml.safe_load((DEPLOY / "raycluster.yaml").read_text("utf-8"))
    assert cluster["kind"] == "RayCluster"
    with_ray = yaml.safe_load((DEPLOY / "compose.ray.yaml").read_text("utf-8"))["services"]
    for service in [*(compose["services"][name] for name in pages), *with_ray.values()]:
        build = service["build"]
        assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
        assert set(build["args"]) == set(re.findall(r"^ARG (\w+)", dockerfile, re.M))
    (command,) = with_ray["page"]["command"]
    flags = parse(command.partition("app.py ")[2].split())
    assert (flags.ray, flags.replicas) == ("auto", with_ray["worker"]["deploy"]["replicas"])


DOCUMENTS = (
    "deploy/Dockerfile",
    "deploy/compose.ray.yaml",
    "deploy/raycluster.yaml",
    "docs/api.md",
    "docs/deploy.md",
    "docs/ray.md",
    "ui/flags.py",
)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_optional_packages_have_the_tested_version(document):
    text = (ROOT / document).read_text("utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    tested = dict(re.findall(r"^(\S+)==(\S+)$", (ROOT / "tests" / "requirements.txt").read_text("utf-8"), re.M))
    named = re.findall(r"\b(mcp|ray)(?:\[default\])?==([\d.]*\d)", text)
    named += [("ray", version) for version in re.findall(r'rayVersion: "(.*)"', text)]
    assert named
    for name, version in named:
        (declared,) = [one for one in map(Requirement, extras[name]) if one.name == name]
        assert declared.specifier.contains(version)
        assert tested.get(name, version) == version
