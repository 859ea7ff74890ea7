"""The public endpoints, called by Gradio's clients in Python and JavaScript."""

from __future__ import annotations

import base64
import json
import re
import secrets
import shutil
import subprocess
import threading
from pathlib import Path

import cv2
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from patience import PATIENCE, until
from served_page import serve

from hermes.assets import CLIPS
from ui.visitors.connections import TAB_HEADER, key_of_token

ROOT = Path(__file__).parents[3]
CLIP = CLIPS / "counting.webm"
QUESTION = "What was the first card?"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("server")) as page:
        yield page


@pytest.fixture
def connect(served):
    """Connects clients; each has a token of its own."""
    address, handlers = served
    clients = []

    def make():
        token = secrets.token_hex(16)
        clients.append(Client(address, headers={TAB_HEADER: token}, verbose=False))
        clients[-1].key = key_of_token(token)
        return clients[-1]

    yield make
    for client in clients:
        handlers.sessions.close(client.key)
        client.close()


def pictures(count, step=8):
    """Frames of the clip, as JPEGs in base64."""
    video, found = cv2.VideoCapture(str(CLIP)), []
    for _ in range(count):
        for _ in range(step):
            read, picture = video.read()
        assert read
        found.append(base64.b64encode(cv2.imencode(".jpg", picture)[1]).decode())
    return found


def wait_for_end(client):
    until(lambda: client.predict(api_name="/status")["state"] != "playing")
    return client.predict(api_name="/status")


def consistent(memory):
    layers = range(len(memory["layers"]))
    sums = [sum(frame["tokens"][layer] for frame in memory["frames"]) for layer in layers]
    return all(0 < total <= memory["layers"][layer]["tokens"] <= memory["budget"] for layer, total in enumerate(sums))


def test_an_uploaded_video_is_streamed_and_asked(connect, served):
    client, stranger = connect(), connect()
    begun = client.predict(video=handle_file(str(CLIP)), policy="hermes", budget=300, api_name="/start")
    assert begun["state"] == "playing"
    assert begun["duration"] == 45
    ended = wait_for_end(client)
    assert (ended["state"], ended["frames_seen"], ended["error"]) == ("ended", 90, None)
    parts = list(client.submit(QUESTION, api_name="/ask"))
    assert [part["done"] for part in parts] == [False] * (len(parts) - 1) + [True]
    assert re.fullmatch(r"\w+ \w+\.", parts[-1]["answer"])
    assert parts[-1]["seconds"] == ended["seconds"]
    assert parts[-1]["first_token_ms"] > 0
    shares = [frame["share"] for frame in parts[-1]["attended"]]
    assert shares == sorted(shares, reverse=True)
    memory = client.predict(api_name="/memory")
    assert (memory["policy"], memory["budget"], memory["frames_seen"]) == ("hermes", 300, 90)
    assert {layer["tier"] for layer in memory["layers"]} == {"sensory", "working", "long-term"}
    assert consistent(memory)
    # Another client sees nothing of it, and cannot play the file.
    assert stranger.predict(api_name="/status")["state"] == "empty"
    path = next(iter(served[1].sessions.own(client.key).uploads))
    for forged in (path, "/etc/passwd", str(CLIP)):
        with pytest.raises(AppError):
            stranger.predict(video={"path": forged}, api_name="/start")
    client.predict(api_name="/close")
    assert client.predict(api_name="/status")["state"] == "empty"


def test_pushed_frames_are_seen_by_the_next_question(connect):
    client, frames = connect(), pictures(20)
    client.predict(api_name="/start")
    client.predict(frames[:10], [n * 2 for n in range(10)], api_name="/push")
    client.predict(frames[10:], [20 + n * 2 for n in range(10)], api_name="/push")
    answer = client.predict("What is shown now?", api_name="/ask")
    assert answer["done"]
    memory = client.predict(api_name="/memory")
    assert (memory["frames_seen"], memory["seconds"]) == (20, 38)
    assert [frame["seconds"] for frame in memory["frames"]] == [2.0 * n for n in range(20)]


def test_errors_are_sentences(connect):
    client, (frame,) = connect(), pictures(1)
    calls = [
        ("/ask", {"question": "What?"}, "There is no stream"),
        ("/memory", {}, "There is no stream"),
        ("/push", {"frames": [frame]}, "There is no stream"),
        ("/start", {"clip": "nothing"}, "not available here"),
        ("/start", {"policy": "nothing"}, "There is no policy “nothing”"),
        ("/start", {"budget": -1}, "integer of at least 1"),
        ("/start", {"frames_per_second": 1000}, "to 30 frames"),
        ("/start", {"frames_per_second": 5e-324}, "must be 0.001 to 30 frames"),
        ("/start", {"speed": 5e-324}, "at least 0.001"),
        ("/start", {"clip": "a", "video": handle_file(str(CLIP))}, "either a clip or a video"),
        ("/start", {}, None),
        ("/push", {"frames": []}, "1 to 16 frames"),
        ("/push", {"frames": [frame] * 17}, "1 to 16 frames"),
        ("/push", {"frames": [frame, "bm8="]}, "Frame 1 is not a JPEG"),
        ("/push", {"frames": [frame], "seconds": [1, 2]}, "one time per frame"),
        ("/push", {"frames": [frame], "seconds": ["now"]}, "one time per frame"),
        ("/push", {"frames": [frame], "seconds": [1.7e9]}, "from the start of the stream"),
        ("/push", {"frames": [frame] * 2, "seconds": [2, 1]}, "cannot follow"),
        ("/push", {"frames": [frame], "seconds": [3]}, None),
        ("/push", {"frames": [frame], "seconds": [2]}, "cannot follow"),
        ("/ask", {"question": " "}, "The question is empty"),
        ("/ask", {"question": "?" * 9000}, "too long"),
    ]
    for name, given, complaint in calls:
        if complaint is None:
            client.predict(**given, api_name=name)
            continue
        with pytest.raises(AppError, match=re.escape(complaint)):
            client.predict(**given, api_name=name)
    assert client.predict(api_name="/status")["state"] == "playing"  # the failed calls changed nothing


def test_a_client_pushes_once_at_a_time(connect, served, monkeypatch):
    client, (frame,) = connect(), pictures(1)
    client.predict(api_name="/start")
    stream, entered, leave = served[1].sessions.own(client.key).stream, threading.Event(), threading.Event()
    put = stream.put

    def slow(*given):
        entered.set()
        assert leave.wait(PATIENCE)
        put(*given)

    monkeypatch.setattr(stream, "put", slow)
    first = client.submit([frame], api_name="/push")
    assert entered.wait(PATIENCE)
    with pytest.raises(AppError, match="has not returned"):
        client.predict([frame], api_name="/push")
    leave.set()
    assert first.result()["state"] == "playing"


def test_the_script_in_the_documentation(served):
    text = (ROOT / "docs" / "api.md").read_text("utf-8")
    script = re.findall(r"```python\n(.*?)```", text, re.S)[0]
    assert len(script.splitlines()) <= 20
    for shown, used in (('"http://127.0.0.1:7860"', repr(served[0])), (", 0\n", f", {str(CLIP)!r}\n")):
        assert script.count(shown) == 1
        script = script.replace(shown, used)
    printed = []
    exec(compile(script, "api.md", "exec"), {"print": lambda *parts: printed.append(parts)})  # noqa: S102
    assert len(printed) >= 2
    assert printed[-1][0] == 30


def test_a_client_in_javascript(served):
    node, program = shutil.which("node"), ROOT / "ui/static/tests/api-client.mjs"
    if node is None or not (ROOT / "ui/static/node_modules/@gradio/client").is_dir():
        pytest.skip("needs node, and npm ci in ui/static")
    done = subprocess.run(
        [node, program, served[0], CLIP, QUESTION], capture_output=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    payload = json.loads(done.stdout)
    assert payload["status"]["state"] == "ended"
    assert payload["answers"][-1]["done"]
    assert payload["memory"]["policy"] == "sliding-window"
    assert consistent(payload["memory"])
