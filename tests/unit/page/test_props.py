"""The page of props: every picture is in the document, nothing else is requested, and other addresses pass unchanged."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest

from hermes.cards.timeline import COLOURS, SHAPES
from ui.page.props import PropsPage, prop_pictures, props_document
from ui.page.traffic import PageTraffic
from ui.visitors.registry import Quota, Sessions
from ui.visitors.visitor import Visitor


def test_every_card_and_most_objects_have_a_readable_picture():
    found = prop_pictures()
    assert len({one["name"] for one in found}) == len(found)
    objects = [one for one in found if one["kind"] == "object"]
    assert len(objects) >= 100
    assert {one["name"] for one in found if one["kind"] == "card"} == {f"{c} {s}" for c in COLOURS for s in SHAPES}
    for one in found:
        kind, content = re.fullmatch(r"data:image/(webp|svg\+xml);base64,(.*)", one["source"]).groups()
        data = base64.b64decode(content)
        if kind == "webp":
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            assert max(picture.shape[:2]) >= 100, one["name"]
        else:
            (polygon,) = ET.fromstring(data)  # noqa: S314 - written by this program
            assert len(polygon.get("points").split()) >= 3


def test_the_document_is_self_contained():
    html = props_document().decode()
    assert "{{" not in html
    assert not re.findall(r"""(?:src|href)=["'](?!data:)[^"']+["']""", html)
    listed = re.search(r'<script type="application/json" id="pictures">(.*?)</script>', html, re.DOTALL)
    assert json.loads(listed[1]) == prop_pictures()


async def _inner(scope, _receive, send):
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


PROPS = PropsPage(_inner)


def _answer(path, method="GET", app=PROPS):
    sent = []

    async def send(message):
        sent.append(message)

    with ThreadPoolExecutor(1) as thread:  # browser tests may have left a running event loop in this one
        call = app({"type": "http", "path": path, "method": method, "headers": []}, None, send)
        thread.submit(asyncio.run, call).result()
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


@pytest.mark.parametrize("path", ["/props", "/some/proxy/props"])
def test_it_is_served_under_any_path_and_requests_nothing(path):
    status, headers, body = _answer(path)
    assert status == 200
    assert body == props_document()
    assert headers[b"content-security-policy"].startswith(b"default-src 'none'")
    assert _answer(path, "HEAD")[2] == b""


def test_the_page_serves_it(tmp_path):
    page = PageTraffic(PropsPage(_inner), Sessions(Visitor, Quota(), tmp_path))
    assert _answer("/props", app=page)[2] == props_document()
    assert _answer("/propose", app=page)[0] == 404


def test_other_requests_pass():
    assert _answer("/propose")[0] == 404
    assert _answer("/props", "POST") == (404, {}, b"/props")
