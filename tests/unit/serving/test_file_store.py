"""Files that a replica receives: each is stored once and deleted when no stream uses it. Needs no Ray."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hermes.assets import CLIPS
from hermes.errors import FailedError, HermesError
from hermes.serving import replica
from hermes.serving.file_store import FileStore, digest_of, parts_of

CLIP = CLIPS / "first-card.webm"


def stored(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_received_once_and_deleted_when_unused(tmp_path):
    store, digest = FileStore(tmp_path), digest_of(CLIP)
    assert not store.hold(digest, "one")
    for part in parts_of(CLIP):
        store.append("one", part)
    store.finish("one")
    assert store.path(digest).read_bytes() == CLIP.read_bytes()
    assert store.hold(digest, "two"), "another stream of the same file need not send it"
    store.release("one")
    assert stored(tmp_path) == [digest]
    assert not store.hold("0" * 64, "two"), "the stream plays another file now"
    assert stored(tmp_path) == []


def test_a_file_that_changed_while_it_was_sent_is_refused(tmp_path):
    store = FileStore(tmp_path)
    store.hold(digest_of(CLIP), "one")
    store.append("one", b"other content")
    with pytest.raises(FailedError, match="was changed"):
        store.finish("one")
    assert stored(tmp_path) == []


def test_a_replica_deletes_files_of_closed_streams_and_of_killed_replicas(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    killed = tmp_path / f"{replica.PREFIX}{int(ended.stdout)}-x"
    running = tmp_path / f"{replica.PREFIX}{os.getppid()}-x"
    for folder in (killed, running):
        folder.mkdir()
        (folder / "a video").touch()
    here = replica.Replica(1)
    (mine,) = Path(tmp_path).glob(f"{replica.PREFIX}{os.getpid()}-*")
    assert (killed.exists(), running.exists()) == (False, True)
    with pytest.raises(HermesError, match="was closed"):
        here.needs_file("no stream", "0" * 64)
    with pytest.raises(HermesError, match="was closed"):
        here.append("no stream", b"0")
    assert stored(mine) == []
    here.shut_down()
    assert not mine.exists()
