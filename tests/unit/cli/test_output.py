"""Output files: paths rejected before any work, and atomic replacement."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from hermes.errors import FailedError
from hermes.files.output import OutputError, check_file, check_folder, replacing, write_text


def listing(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def there(tmp_path):
    """A folder with one of everything that a path can name."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder/member").write_text("precious")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "folder-link").symlink_to("folder")
    (tmp_path / "dangling").symlink_to("nowhere/file")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "null-link").symlink_to("/dev/null")
    (tmp_path / "hard").hardlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("folder", "is a folder"),
        ("folder-link", "is a folder"),
        (".", "is a folder"),
        ("fifo", "is a device, a pipe or a socket"),
        ("null-link", "is a device"),
        ("loop", "loop"),
        ("dangling", "no folder"),
        ("missing/file", "no folder"),
        ("file/below", "not a folder"),
        ("x" * 300, "too long"),
        ("null\0byte", "null"),
        ("/dev/null", "is a device"),
        ("/dev/stdout", "is a device"),
        ("/dev/fd/1", "is a device"),
        ("/dev/new", "is a device"),
        ("/proc/self/fd/1", "is a device"),
        ("/proc/new", "is a device"),
        ("/sys/new", "is a device"),
    ],
)
def test_unusable_files(there, name, words):
    before = listing(there)
    with pytest.raises(OutputError, match=words):
        check_file(there / name)
    assert listing(there) == before
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_an_empty_path_is_a_folder():
    with pytest.raises(OutputError, match="is a folder"):
        check_file(Path())


def test_a_socket_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the address of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        with pytest.raises(OutputError, match="socket"):
            check_file(Path("socket"))


@pytest.mark.parametrize("name", ["file", "link", "hard", "./folder/../file"])
def test_an_input_is_refused_under_every_name(there, name):
    with pytest.raises(OutputError, match="is an input"):
        check_file(there / name, [there / "folder", there / "file"])
    with pytest.raises(OutputError, match="is an input"):
        check_file(there / "file", [there / name])


def test_a_file_in_an_input_folder_is_refused(there):
    (there / "alias").hardlink_to(there / "folder/member")
    for name in ("folder/member", "folder-link/member", "alias"):
        with pytest.raises(OutputError, match="is an input"):
            check_file(there / name, [there / "folder"])
    assert check_file(there / "folder/new", [there / "folder"]) == there / "folder/new"


@contextmanager
def unprivileged():
    """Give up root's permissions, which override those of files."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


NOBODY = 65534


def test_a_read_only_file_or_folder_is_refused():
    with TemporaryDirectory() as name:  # the folders above pytest's own are closed to others
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "file").write_text("precious")
        (folder / "file").chmod(0o444)
        folder.chmod(0o555)
        with unprivileged():
            with pytest.raises(OutputError, match="read-only"):
                check_file(folder / "file")
            with pytest.raises(OutputError, match="Permission denied"):
                check_file(folder / "new")
            with pytest.raises(OutputError, match="Permission denied"):
                check_folder(folder / "new")
            with pytest.raises(FailedError, match="Permission denied"):
                write_text(folder / "file", "text")
        folder.chmod(0o755)
        assert (folder / "file").read_text() == "precious"


def test_usable_files(there):
    before = listing(there)
    assert check_file(there / "new") == there / "new"
    assert check_file(there / "link") == there / "file"
    assert check_file(there / "file", [there / "missing", there / "folder"]) == there / "file"
    assert listing(there) == before
    assert (there / "file").read_text() == "precious"


def test_folders(there):
    before = listing(there)
    assert check_folder(there / "new/below") == there / "new/below"
    assert check_folder(there / "folder", names=["member", "new"]) == there / "folder"
    assert listing(there) == before
    for name, words in (
        ("file", "is a file"),
        ("file/below", "not a folder"),
        ("fifo", "is a device"),
        ("loop", "loop"),
    ):
        with pytest.raises(OutputError, match=words):
            check_folder(there / name)
    for name in ("folder", "folder-link"):
        with pytest.raises(OutputError, match="is an input"):
            check_folder(there / name, [there / "folder"])
    with pytest.raises(OutputError, match="is a folder"):
        check_folder(there, names=["folder"])
    for path in ("/dev", "/proc/new", "/dev/null"):
        with pytest.raises(OutputError, match="is a device"):
            check_folder(Path(path))


def test_a_file_is_replaced_and_keeps_its_permissions(there):
    (there / "file").chmod(0o640)
    write_text(there / "link", "new – neu")
    assert (there / "file").read_text("utf-8") == "new – neu"
    assert stat.S_IMODE((there / "file").stat().st_mode) == 0o640
    assert (there / "link").is_symlink()
    assert (there / "hard").read_text() == "precious"  # a new inode


def test_a_new_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "other").write_text("")
    write_text(tmp_path / "new", "text")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_failure_preserves_the_file(there, error):
    before = listing(there)

    def fail():
        with replacing(there / "file") as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert (there / "file").read_text() == "precious"
    assert listing(there) == before


@pytest.mark.parametrize("name", ["fifo", "null-link", "folder"])
def test_only_regular_files_are_replaced(there, name):
    with pytest.raises(OutputError):
        write_text(there / name, "text")
    assert (there / "fifo").is_fifo()
    assert Path("/dev/null").is_char_device()


def test_the_temporary_file_keeps_the_ending(tmp_path):
    with replacing(tmp_path / "clip.webm") as part:
        assert part.suffix == ".webm"
        part.write_bytes(b"video")
    assert listing(tmp_path) == ["clip.webm"]
