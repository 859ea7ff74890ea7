"""The served document contains our script and the opening moment; everything else passes unchanged."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio
import pytest

from ui.page.document import Document
from ui.page.status_timer import repair

GRADIO = (
    b'<!doctype html><html><head><script>window.gradio_config = {"a": "\\u003c/head\\u003e"};</script>'
    b'<script type="module" crossorigin src="./assets/index-X1.js"></script></head>'
    b"<body><gradio-app></gradio-app></body></html>"
)


def finish(coroutine):
    """Run it in a separate thread, because browser tests may have left a running event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def get(document, path="/", method="GET", **headers):
    """Return the response: status, headers, body."""
    sent = []

    async def send(message):
        sent.append(dict(message))

    async def receive():
        return {"type": "http.request"}

    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "path": path, "method": method, "headers": given}
    finish(document(scope, receive, send))
    assert [message["type"] for message in sent[:1]] == ["http.response.start"]
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), body


def serving(body, kind=b"text/html; charset=utf-8", pieces=1):
    """An application that answers every request with `body`."""

    async def app(scope, receive, send):
        del scope, receive
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        step = -(-len(body) // pieces)
        for at in range(0, len(body), step):
            more = at + step < len(body)
            await send({"type": "http.response.body", "body": body[at : at + step], "more_body": more})

    return app


@pytest.mark.parametrize("pieces", [1, 3])
def test_the_page_holds_script_moment_and_place_before_gradio(pieces):
    moment = {"key": "k", "text": "</script><b>"}
    status, headers, body = get(Document(serving(GRADIO, pieces=pieces), moment))
    assert status == 200
    assert int(headers[b"content-length"]) == len(body)
    text = body.decode()
    payload = re.search(r'id="hl-moment">(.*?)</script>', text)
    assert payload is not None
    assert json.loads(payload[1]) == moment
    places = [text.index(part) for part in ("hermes-live-", "</head>", 'id="hl-opening"', "<gradio-app", "openPage")]
    assert places == sorted(places)


def test_gradio_starts_once_the_page_is_painted():
    _, _, body = get(Document(serving(GRADIO), None))
    assert b'import("./assets/index-X1.js")' in body
    assert b'<script type="module" crossorigin src' not in body


def test_other_answers_pass_unchanged():
    other = b"<html><head></head><body>no Gradio here</body></html>"
    assert get(Document(serving(other), None))[2] == other
    data = b'{"html": "</head><gradio-app"}'
    status, headers, body = get(Document(serving(data, b"application/json", pieces=2), None))
    assert (status, body) == (200, data)
    assert headers[b"content-length"] == str(len(data)).encode()


def test_script_and_style_are_immutable_and_compressed():
    document = Document(serving(GRADIO), None)
    names = re.findall(rb'"\./(hermes-live-\w+)"', get(document)[2])
    assert len(names) == 3
    for name in (found.decode() for found in names):
        status, headers, plain = get(document, f"/some/proxy/{name}")
        assert status == 200
        assert b"immutable" in headers[b"cache-control"]
        _, packed_headers, packed = get(document, f"/{name}", accept_encoding="gzip, br")
        if b"content-encoding" in packed_headers:
            assert gzip.decompress(packed) == plain
            assert len(packed) < len(plain) / 2
        else:
            assert packed_headers[b"content-type"] == b"font/woff2"
        assert get(document, f"/{name}", method="HEAD")[2] == b""
    assert get(document, "/hermes-live-unknown")[2] != b""  # the application's own answer


def test_gradio_s_program_is_compressed_once_and_immutable():
    code, asked = b"export const one = 1;\n" * 5000, []
    answer = serving(code, b"text/javascript; charset=utf-8", pieces=2)

    async def app(scope, receive, send):
        asked.append(scope["path"])
        if "missing" in scope["path"]:
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"Not found"})
        else:
            await answer(scope, receive, send)

    document, path = Document(app, None), "/assets/index-DphvyggB.js"
    for _ in range(3):
        status, headers, packed = get(document, path, accept_encoding="gzip, br")
        assert (status, headers[b"content-encoding"]) == (200, b"gzip")
        assert headers[b"content-type"].startswith(b"text/javascript")
        assert b"immutable" in headers[b"cache-control"]
        assert int(headers[b"content-length"]) == len(packed) < len(code) / 10
        assert gzip.decompress(packed) == code
    assert asked == [path]
    for other, given in ((path, {}), ("/assets/logo.svg", {"accept_encoding": "gzip"})):  # as the application sends it
        _, headers, body = get(document, other, **given)
        assert body == code
        assert b"cache-control" not in headers
    for _ in range(2):
        missing = get(document, "/assets/missing-12345678.js", accept_encoding="gzip")
        assert missing[::2] == (404, b"Not found")
    assert asked[-2:] == ["/assets/missing-12345678.js"] * 2


def test_other_protocols_pass_unchanged():
    seen = []

    async def app(scope, receive, send):
        del receive, send
        seen.append(scope["type"])

    finish(Document(app, None)({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]


def test_the_timer_of_gradio_s_status_tracker_stops_when_the_tracker_is_removed():
    scripts = [path.read_bytes() for path in (Path(gradio.__file__).parent / "templates/frontend/assets").glob("*.js")]
    repaired = [(script, repair(script)) for script in scripts if repair(script) != script]
    assert len(repaired) == 1, "another version of Gradio needs another repair, or none"
    before, after = repaired[0]
    assert len(after) - len(before) == len("&&U?.isConnected")
    assert re.search(rb"performance\.now\(\)-[^;]{1,40}&&[\w$]+\?\.isConnected&&[\w$]+\(\)\}\)", after)
