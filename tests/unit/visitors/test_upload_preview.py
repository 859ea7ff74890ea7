"""A chosen upload: its first frame and facts before it starts, one opening of the file, and the proposed budget."""

from __future__ import annotations

import base64
import shutil
import threading
from functools import partial

import cv2
import numpy as np
import pytest
from patience import PATIENCE, until
from videos import write_video

import hermes
from hermes.serving.engine import StreamSettings
from hermes.video import VideoError, probe, sample
from hermes.video.decoder_process import fork_server
from hermes.video.errors import DecoderUnavailableError
from ui.page.handlers import Handlers
from ui.player.clips import Clip
from ui.player.preview import UploadPreview
from ui.player.source import Source
from ui.settings.budget import proposed_budget
from ui.settings.model_loader import ModelLoader
from ui.visitors.registry import Quota, Sessions
from ui.visitors.state import MAX_OPENING
from ui.visitors.visitor import Visitor


@pytest.fixture
def visitor(engine, tiny_folder, film, tmp_path):
    loader = ModelLoader(engine)
    loader.ensure(str(tiny_folder))
    settings = StreamSettings(model=str(tiny_folder), budget=512, speed=float("inf"))
    long = write_video(tmp_path / "long.avi", frames=60, fps=1)
    clips = {
        "clip": Clip("clip", film.path, "A clip", "", 6.0, (), "", world="cards", info=probe(film.path)),
        "real": Clip("real", film.path, "A real clip", "", 6.0, (), "", info=probe(film.path)),
        "long": Clip("long", long, "Long", "", 60.0, (), ""),
    }
    made = Visitor(settings, loader, clips, hermes.POLICIES)
    yield made
    made.close()


def player(visitor, poster=None):
    return visitor.poll(None, -1, None, poster)[0]


def test_the_first_frame_and_the_facts_are_shown_and_the_file_is_opened_once(visitor, film):
    opened = fork_server().requests
    visitor.choose(film)
    state = player(visitor)
    facts = state["preview"]
    assert (facts["seconds"], facts["width"], facts["height"], facts["fps"]) == (
        pytest.approx(6.0, abs=0.2), 64, 48, pytest.approx(10),
    )  # fmt: skip
    assert facts["bytes"] == film.path.stat().st_size
    data = np.frombuffer(base64.b64decode(state["poster"]["jpeg"]), np.uint8)
    with sample(film.path, 2.0) as frames:
        first = next(frames)[0]
        every = 1 + sum(1 for _ in frames)
    shown = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.abs(shown.astype(int) - first).mean() < 8
    assert "poster" not in player(visitor, poster=state["poster"]["n"]), "the picture is sent once"
    visitor.choose(film)
    visitor.start(film)
    until(lambda: player(visitor)["state"] == "ended")
    assert fork_server().requests == opened + 2, "one opening by the page, one by this test"
    assert visitor.stream.view().snapshot.frames_seen == every, "the first frame is read as well"


def test_another_rate_or_a_closed_decoder_opens_the_file_again(visitor, film):
    visitor.choose(film)
    visitor.change(fps=5.0)
    visitor.start(film)
    until(lambda: player(visitor)["state"] == "ended")
    assert visitor.stream.view().snapshot.frames_seen == 30
    visitor._preview.close()
    visitor.choose(film)
    waiting = visitor._preview._sampler
    visitor._preview._expire(waiting)
    assert not waiting.open
    visitor.start(film)
    until(lambda: player(visitor)["state"] == "ended")
    assert visitor.stream.view().snapshot.frames_seen == 30


def test_a_file_that_is_no_video_is_reported_when_it_is_chosen(visitor, film, tmp_path):
    visitor.choose(film)
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with pytest.raises(VideoError):
        visitor.choose(Source("upload", str(text), text, "text.mp4"))
    assert player(visitor)["preview"] is None


@pytest.mark.parametrize("action", ["choose", "start"])
@pytest.mark.parametrize("content", [b"no video", b"PK\x03\x04 no run"])
def test_an_upload_that_cannot_be_opened_is_no_longer_offered(visitor, film, tmp_path, action, content):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(content)
    handlers = Handlers(Sessions(lambda: visitor, Quota(), tmp_path))
    handlers.sessions.get("a")
    visitor.uploads |= {str(film.path): "film", str(bad): "bad.mp4"}
    visitor.files.path = tmp_path
    request = {"action": action, "kind": "upload", "path": str(bad)}
    handlers.act(request, "a")
    assert (player(visitor)["rejected"], player(visitor)["notice"]["kind"]) == (str(bad), "error")
    assert visitor.state.chosen == Source("")
    visitor.start(film)
    until(lambda: player(visitor)["state"] == "ended")
    frames = player(visitor)["frames"]
    handlers.act(request, "a")
    assert visitor.state.chosen == film, "what plays is selected again"
    assert (player(visitor)["source"]["id"], player(visitor)["frames"]) == (film.id, frames)


def test_an_upload_stays_selected_if_the_reason_is_not_the_file(visitor, film, monkeypatch):
    def refuse(*_):
        raise DecoderUnavailableError("No decoder.")

    monkeypatch.setattr("hermes.video.decoder_process.ForkServer.request", refuse)
    with pytest.raises(DecoderUnavailableError) as error:
        visitor.choose(film)
    visitor.report(error.value, {"kind": "upload", "path": film.id})
    assert (player(visitor)["rejected"], player(visitor)["notice"]["text"]) == ("", "No decoder.")
    assert visitor.state.chosen == film


def test_a_short_upload_gets_a_smaller_budget_which_can_be_undone(visitor, film):
    visitor.choose(film)
    state = player(visitor)
    proposal = state["proposal"]
    assert (proposal["before"], proposal["budget"], state["controls"]) == (512, visitor.settings.budget, 1)
    assert visitor.settings.budget < 512
    assert "so that evictions show soon" in proposal["text"]
    visitor.choose(visitor.source({"kind": "clip", "id": "clip"}))
    assert (visitor.settings.budget, player(visitor)["proposal"]) == (512, None), "a rendered clip has the usual budget"
    visitor.choose(visitor.source({"kind": "clip", "id": "real"}))
    assert visitor.settings.budget == proposal["budget"], "a real clip is treated as an upload"
    visitor.start(film)
    assert visitor.stream.settings.budget == proposal["budget"]
    until(lambda: player(visitor)["state"] == "ended")
    assert len(visitor.stream.view().snapshot.evictions), "the memory has forgotten something"
    visitor.change(budget=512)
    assert player(visitor)["proposal"] is None
    visitor.start(film)
    assert visitor.settings.budget == 512, "the visitor's choice is kept"


def test_a_proposed_budget_follows_the_frame_rate(visitor, film):
    visitor.choose(film)
    assert player(visitor)["proposal"]
    visitor.change(fps=1.0)
    visitor.choose(film)
    assert (visitor.settings.budget, player(visitor)["proposal"]) == (512, None), (
        "too few frames are read to forget any"
    )
    visitor.change(fps=2.0)
    visitor.choose(film)
    assert player(visitor)["proposal"]["before"] == 512


def test_the_settings_of_a_stream_stay_when_an_upload_is_chosen(visitor, film):
    visitor.change(speed=1.0)
    clip = visitor.source({"kind": "clip", "id": "long"})
    visitor.start(clip)
    visitor.choose(film)
    assert (visitor.settings.budget, visitor.stream.settings.budget) == (512, 512)
    visitor.transport("pause")
    for source in (clip, film):
        visitor.choose(source)
        assert (visitor.settings.budget, player(visitor)["proposal"]) == (512, None), (
            "the paused stream continues with it"
        )
    visitor.start(film)
    assert visitor.settings.budget < 512


@pytest.mark.parametrize(
    ("tokens", "fps", "seconds", "budget", "expected"),
    [
        (16, 2.0, 10.0, 512, 192),  # 320 tokens in ten seconds
        (16, 2.0, 3600.0, 512, 192),  # a long video, too: forgetting shows in its first ten seconds
        (16, 2.0, None, 512, 192),
        (16, 2.0, 10.0, 319, None),  # it does not fit already
        (16, 2.0, 2.0, 512, None),  # too short: the budget would hold less than four frames
        (196, 2.0, 10.0, 6000, 2352),
        (196, 0.25, 10.0, 6000, None),
    ],
)
def test_the_proposed_budget(tokens, fps, seconds, budget, expected):
    proposal = proposed_budget("film", tokens, fps, seconds, budget)
    assert (proposal and proposal.budget) == expected


def test_uploads_that_are_opened_at_the_same_time_leave_one_decoder(film, tmp_path, monkeypatch):
    other = write_video(tmp_path / "other.avi", frames=20, fps=10)
    sources = [film, Source("upload", str(other), other, "Another film")]
    opened, both = [], threading.Barrier(2, timeout=PATIENCE)

    def meet(*given, **more):
        sampler = sample(*given, **more)
        opened.append(sampler)
        both.wait()  # both files are open before either is shown
        return sampler

    monkeypatch.setattr("ui.player.preview.video.sample", meet)
    preview, settings = UploadPreview(threading.Semaphore(2)), StreamSettings()
    threads = [threading.Thread(target=preview.open, args=(source, settings)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sampler.open for sampler in opened].count(True) == 1
    preview.close()
    assert not any(sampler.open for sampler in opened)


def test_a_visitor_opens_few_files_at_a_time(visitor, film, tmp_path, monkeypatch):
    copies = [Source("upload", str(path), path) for path in (tmp_path / f"{number}.avi" for number in range(6))]
    for copy in copies:
        shutil.copy(film.path, copy.path)
    visitor.change(speed=1.0)
    begun, together, lock, ready = [], [], threading.Lock(), threading.Event()

    def open_slowly(path, *given, **more):
        with lock:
            begun.append(path)
            together.append(len(begun))
        ready.wait(PATIENCE)
        try:
            return sample(path, *given, **more)
        finally:
            with lock:
                begun.remove(path)

    monkeypatch.setattr("hermes.video.sample", open_slowly)
    asked = []
    preview, settings = visitor._preview, visitor.settings
    opens = [
        *(partial(preview.open, copy, settings, lambda: asked.append(1) or True) for copy in copies[:4]),
        *(partial(lambda copy: visitor._playback.open_file(copy, settings).close(), copy) for copy in copies[4:]),
    ]
    threads = [threading.Thread(target=one) for one in opens]
    for thread in threads:
        thread.start()
    until(lambda: len(asked) >= 4 and len(begun) == MAX_OPENING)
    ready.set()
    for thread in threads:
        thread.join()
    assert len(together) == 6
    assert max(together) == MAX_OPENING


@pytest.mark.parametrize("action", ["choose", "start"])
def test_an_upload_that_is_deleted_before_it_is_opened_is_reported(visitor, film, tmp_path, action):
    handlers = Handlers(Sessions(lambda: visitor, Quota(), tmp_path))
    handlers.sessions.get("a")
    visitor.uploads[str(film.path)] = "A film"
    film.path.unlink()
    handlers.act({"action": action, "kind": "upload", "path": str(film.path)}, "a")
    assert "was not uploaded here" in player(visitor)["notice"]["text"]
    with pytest.raises(VideoError, match="There is no file"):
        getattr(visitor, action)(film)  # deleted after the check
    assert (player(visitor)["preview"], player(visitor)["state"]) == (None, "empty")


def test_an_upload_that_is_deleted_while_it_is_opened_is_reported(visitor, film, monkeypatch):
    opened = []

    def open_and_delete(path, *given, **more):
        opened.append(sample(path, *given, **more))
        path.unlink()
        return opened[-1]

    monkeypatch.setattr("hermes.video.sample", open_and_delete)
    with pytest.raises(VideoError, match="was deleted"):
        visitor.choose(film)
    assert not opened[0].open
    assert player(visitor)["preview"] is None
