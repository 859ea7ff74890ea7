"""Places of visitors: who gets one, how long it is kept, and that events of one page cannot create two guests."""

from __future__ import annotations

import shutil
import threading

import pytest
from held import Held, underway
from patience import PATIENCE, until

import hermes
from hermes.errors import HermesError
from hermes.serving.engine import Engine, StreamSettings
from ui.settings.model_loader import ModelLoader
from ui.visitors.connections import TAB_HEADER, Connections, key_of_token, visitor_key
from ui.visitors.files import open_server_folder, server_folder
from ui.visitors.registry import Quota, Sessions
from ui.visitors.visitor import Visitor

TOKEN = "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def loader():
    engine = Engine()
    yield ModelLoader(engine)
    engine.close()


@pytest.fixture
def registry(loader, tmp_path):
    made = []

    def make():
        made.append(Visitor(StreamSettings(), loader, {}, hermes.POLICIES, downloads=tmp_path))
        return made[-1]

    def new(**quota):
        sessions = Sessions(make, Quota(**quota), tmp_path, Connections())
        sessions.made = made
        return sessions

    yield new
    for visitor in made:
        visitor.close()


def connect(sessions, key, client="1.2.3.4"):
    sessions.connections.opened(key, client)
    sessions.connected(key)
    return sessions.get(key)


def drop(sessions, key):
    assert sessions.connections.closed(key)
    sessions.disconnected(key)


def test_the_key_of_a_tab_is_a_hash_of_its_token():
    key = visitor_key({TAB_HEADER: TOKEN}, "gradio-session")
    assert key == visitor_key({TAB_HEADER: TOKEN}, "another-session") == key_of_token(TOKEN)
    assert TOKEN not in key
    for bad in ("", "short", "../../etc/passwd", TOKEN + "/", TOKEN.upper()):
        assert visitor_key({TAB_HEADER: bad}, "gradio-session") is None
    assert visitor_key({}, "gradio-session") == "session-gradio-session"
    assert visitor_key({}, "../x") is visitor_key({}, None) is None


def test_an_invented_key_takes_no_place(registry):
    sessions = registry()
    for i in range(100):
        sessions.connections.wait_for = lambda key, *_: sessions.connections.is_live(key)  # no waiting
        with pytest.raises(HermesError, match="not connected"):
            sessions.get(f"invented-{i}")
    assert len(sessions) == 0
    assert sessions.made == []


def test_a_first_event_may_overtake_the_connection(registry):
    sessions = registry()
    got = []
    event = threading.Thread(target=lambda: got.append(sessions.get("a")))
    event.start()
    sessions.connections.opened("a", "1.2.3.4")
    event.join()
    assert got == [sessions.get("a")]


def test_one_client_cannot_take_all_places(registry):
    sessions = registry(visitors=4, per_client=2)
    for key in ("a", "b"):
        connect(sessions, key)
    with pytest.raises(HermesError, match="2 pages are open from your network address"):
        connect(sessions, "c")
    assert connect(sessions, "d", client="5.6.7.8")


def test_only_connected_pages_count(registry):
    sessions = registry(visitors=2)
    first = connect(sessions, "a")
    connect(sessions, "b")
    with pytest.raises(HermesError, match="All 2 places are taken"):
        connect(sessions, "c")
    drop(sessions, "a")
    connect(sessions, "c")
    assert len(sessions) == 2
    assert first.state.closed
    assert "a" not in sessions.visitors()


def test_a_dropped_connection_keeps_its_visitor_for_a_minute(registry):
    sessions = registry()
    visitor = connect(sessions, "a")
    drop(sessions, "a")
    dropped = sessions._places["a"].dropped
    assert sessions.sweep(dropped + 59) == 0
    assert connect(sessions, "a") is visitor
    drop(sessions, "a")
    dropped = sessions._places["a"].dropped
    assert sessions.sweep(dropped + 61) == 1
    assert len(sessions) == 0
    assert visitor.state.closed


def test_a_second_connection_of_a_tab_keeps_it_connected(registry):
    sessions = registry()
    connect(sessions, "a")
    sessions.connections.opened("a", "1.2.3.4")  # the old connection is not known to be lost yet
    assert not sessions.connections.closed("a")
    assert sessions._places["a"].dropped is None


def test_a_connection_that_ends_before_the_place_exists_counts_as_dropped(registry, monkeypatch):
    sessions = registry()
    sessions.connections.opened("a", "1.2.3.4")
    make = sessions._make

    def slowly():
        drop(sessions, "a")
        return make()

    monkeypatch.setattr(sessions, "_make", slowly)
    sessions.get("a")
    assert sessions.sweep(sessions._places["a"].heard + 61) == 1


def test_both_limits_can_be_reached_at_once(registry):
    """One disconnected page makes room for both."""
    sessions = registry(visitors=2, per_client=2)
    connect(sessions, "a")
    connect(sessions, "b")
    drop(sessions, "a")
    assert connect(sessions, "c")
    assert sorted(sessions.visitors()) == ["b", "c"]
    with pytest.raises(HermesError, match="from your network address"):
        connect(sessions, "d")
    with pytest.raises(HermesError, match="All 2 places are taken"):
        connect(sessions, "e", client="5.6.7.8")


def test_a_refused_page_creates_no_visitors(registry):
    """Its updates are requested again and again."""
    sessions = registry(visitors=1)
    connect(sessions, "a")
    for _ in range(10):
        with pytest.raises(HermesError, match="All 1 places are taken"):
            connect(sessions, "b")
    assert len(sessions.made) == 1


def test_a_visitor_that_cannot_be_created_takes_no_place(registry, monkeypatch):
    sessions = registry()
    monkeypatch.setattr(sessions, "_check_room", lambda key: [key] if len(sessions.made) else [])
    monkeypatch.setattr(sessions, "_pop", lambda _key: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(MemoryError):
        connect(sessions, "a")
    assert len(sessions) == 0
    assert sessions.made[0].state.closed


class Crossing:
    """A visitor whose `first` method waits inside until `go_on`; records the order of all that happens to it."""

    def __init__(self, first):
        self.first, self.entered, self.go_on = first, threading.Event(), threading.Event()
        self.calls = []

    def __getattr__(self, name):
        def call():
            if name == self.first:
                self.entered.set()
                assert self.go_on.wait(60)
            self.calls.append(name)

        return call


def cross(first, second, visitor):
    """Run `second` while `first` is inside a method of the visitor, in threads of their own."""
    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert visitor.entered.wait(60)
    threads[1].start()
    visitor.go_on.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_a_page_that_reconnects_while_its_stream_is_paused_plays_on(registry):
    sessions = registry()
    connect(sessions, "a")
    drop(sessions, "a")
    place = sessions._places["a"]
    real, place.visitor = place.visitor, Crossing("disconnect")
    sessions.connections.opened("a", "1.2.3.4")
    cross(lambda: sessions.sweep(place.dropped + 10), lambda: sessions.connected("a"), place.visitor)
    assert place.visitor.calls == ["disconnect", "reconnect"]
    place.visitor = real


def test_a_page_that_reconnects_before_its_stream_is_paused_is_not_paused(registry):
    sessions = registry()
    connect(sessions, "a")
    drop(sessions, "a")
    place = sessions._places["a"]
    real, place.visitor = place.visitor, Crossing(None)
    lock, place.switching = place.switching, threading.Lock()

    class Late:
        """The lock, which the sweep gets only after the page has reconnected."""

        def __enter__(self):
            place.switching = lock
            sessions.connections.opened("a", "1.2.3.4")
            sessions.connected("a")

        def __exit__(self, *_):
            pass

    place.switching = Late()
    sessions.sweep(place.dropped + 10)
    assert place.visitor.calls[-1:] in ([], ["reconnect"])
    assert "disconnect" not in place.visitor.calls
    place.visitor = real


def test_leaving_a_lesson_while_it_is_entered_resumes_the_stream(registry):
    sessions = registry()
    connect(sessions, "a")
    place = sessions._places["a"]
    real, place.visitor = place.visitor, Crossing("pause_for_guest")
    place.visitor.uploads = {}
    cross(lambda: sessions.enter_guest("a"), lambda: sessions.leave_guest("a"), place.visitor)
    assert place.visitor.calls == ["pause_for_guest", "resume_after_guest"]
    assert place.guest is None
    place.visitor = real


def test_an_upload_of_a_visitor_who_left_is_deleted(registry, tmp_path):
    sessions = registry()
    connect(sessions, "a")
    for closes in (sessions._places["a"].visitor.files.close, lambda: sessions.close("a")):
        closes()
        upload = tmp_path / "an-upload" / "film.mp4"
        upload.parent.mkdir()
        upload.write_bytes(b"private")
        with pytest.raises(HermesError, match=r"closed|from the page"):
            sessions.receive_upload("a", str(upload))
        assert not upload.exists()
        upload.parent.rmdir()


def test_simultaneous_lesson_events_enter_one_guest(registry):
    sessions = registry()
    own = connect(sessions, "a")
    start = threading.Barrier(8)
    guests = []

    def event():
        start.wait()
        guests.append(sessions.enter_guest("a"))

    events = [threading.Thread(target=event) for _ in range(8)]
    for thread in events:
        thread.start()
    for thread in events:
        thread.join()
    assert len(set(guests)) == 1
    assert guests[0] is sessions.get("a")
    surplus = [visitor for visitor in sessions.made if visitor not in (own, guests[0])]
    assert all(visitor.state.closed for visitor in surplus)
    sessions.leave_guest("a")
    assert guests[0].state.closed
    assert sessions.get("a") is own


def test_files_of_a_killed_server_are_deleted_and_those_of_a_running_one_stay(tmp_path):
    killed = open_server_folder(tmp_path)
    (killed.path / "visitor" / "video.mp4").parent.mkdir()
    (killed.path / "visitor" / "video.mp4").write_bytes(b"x")
    running = open_server_folder(tmp_path)
    assert killed.path.exists(), "its server still runs"
    killed._lock.close()
    with server_folder(tmp_path) as path:
        assert not killed.path.exists()
        assert running.path.exists()
        assert path.exists()
    assert not path.exists()
    running.close()


def test_a_reloaded_page_keeps_its_visitor_also_through_a_later_interruption(registry):
    sessions = registry()
    visitor = connect(sessions, "a")
    since = sessions.left("a")
    drop(sessions, "a")
    assert connect(sessions, "a") is visitor  # the new page
    drop(sessions, "a")  # its connection is interrupted when the time to return ends
    sessions.close_unless_back("a", since)
    assert connect(sessions, "a") is visitor


def test_a_closed_page_gives_its_place_away_at_once_and_is_closed_later(registry):
    sessions = registry(visitors=1)
    first = connect(sessions, "a")
    sessions.left("a")
    drop(sessions, "a")
    assert connect(sessions, "b") is not first
    assert list(sessions.visitors()) == ["b"]
    since = sessions.left("b")
    drop(sessions, "b")
    assert list(sessions.visitors()) == ["b"]
    sessions.close_unless_back("b", since)
    assert not sessions.visitors()


def test_a_page_that_is_reloaded_twice_has_its_time_to_return_twice(registry):
    sessions = registry()
    visitor = connect(sessions, "a")
    first = sessions.left("a")
    drop(sessions, "a")
    assert connect(sessions, "a") is visitor
    second = sessions.left("a")
    drop(sessions, "a")
    sessions.close_unless_back("a", first)  # its time ends while the page loads for the second time
    assert connect(sessions, "a") is visitor
    second = sessions.left("a")
    sessions.close_unless_back("a", second)
    assert visitor.state.closed


def test_a_page_that_returns_in_time_is_not_closed(registry, monkeypatch):
    """It returns while the sweep pauses another visitor, which takes long."""
    sessions = registry()
    visitor, other = connect(sessions, "a"), connect(sessions, "b")
    drop(sessions, "b")
    drop(sessions, "a")
    held, dropped = Held(other.disconnect), sessions._places["a"].dropped
    monkeypatch.setattr(other, "disconnect", held)
    with underway(held, lambda: sessions.sweep(dropped + 59)):
        assert connect(sessions, "a") is visitor
    assert not visitor.state.closed


def test_a_visitor_that_is_slow_to_close_or_fails_holds_up_no_other(registry, monkeypatch):
    sessions = registry()
    slow, broken, other = (connect(sessions, key) for key in "abc")
    held = Held(slow.lab.close)
    monkeypatch.setattr(slow.lab, "close", held)
    monkeypatch.setattr(broken.lab, "close", lambda: 1 / 0)
    with underway(held, lambda: sessions.sweep(sessions._places["c"].heard + 601)):
        until(lambda: other.state.closed)
        assert len(sessions) == 0
        connect(sessions, "d")
    until(lambda: broken.slot._closed)
    with pytest.raises(HermesError, match="closed"):
        broken.files.folder  # noqa: B018 - the other steps were done


def test_a_file_that_is_moved_while_its_visitor_leaves_is_deleted(registry, tmp_path, monkeypatch):
    sessions = registry()
    visitor = connect(sessions, "a")
    upload = tmp_path / "an-upload" / "film.mp4"
    upload.parent.mkdir()
    upload.write_bytes(b"private")
    moving = Held(shutil.move)
    monkeypatch.setattr(shutil, "move", moving)
    leaving = threading.Thread(target=visitor.files.close)
    with underway(moving, lambda: visitor.files.take(upload)):
        leaving.start()
    leaving.join(PATIENCE)
    assert not visitor.files.path.exists()
    assert not upload.exists()
