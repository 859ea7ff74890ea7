"""Stores the files that a visitor uploads. It replaces Gradio's route, which leaves files behind if a body is malformed."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from gradio_client.utils import strip_invalid_filename_characters
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from hermes.errors import HermesError

if TYPE_CHECKING:
    from ui.visitors.registry import Sessions

MAX_FIELDS: Final = 16
"""Largest number of other fields in the form of an upload. They are ignored."""
_UTF_8: Final = re.compile(r""";\s*charset=(?:utf-?8|"utf-?8")\s*(?=;|$)""", re.IGNORECASE)
"""The only encoding that a form may name. Python's decoders of some others take quadratic time."""


class Uploads:
    """Stores the uploads of all visitors."""

    def __init__(self, sessions: Sessions, root: Path) -> None:
        """Store files in the folders of the visitors in `sessions`, and before that in a new folder below `root`."""
        self._sessions = sessions
        self._root = root
        self._running: Counter[str] = Counter()

    @contextmanager
    def running(self, key: str) -> Iterator[None]:
        """Count an upload of a visitor while the block runs.

        Raises:
            HTTPException: The visitor already uploads as many files as it may keep.
        """
        most = self._sessions.quota.uploads
        if self._running[key] >= most:
            raise HTTPException(429, f"{most} files are being uploaded already. Wait for one of them.")
        self._running[key] += 1
        try:
            yield
        finally:
            self._running[key] -= 1
            if not self._running[key]:
                del self._running[key]

    async def store(self, key: str, request: Request) -> list[str]:
        """Store the files of a form for a visitor, and return their paths.

        Until the form is complete, its files have no names (`tempfile.SpooledTemporaryFile`), so an incomplete one leaves
        nothing.

        Raises:
            HTTPException: The form is malformed, is not in UTF-8, has too many files or none, or a file cannot be stored.
        """
        if "charset" in _UTF_8.sub("", request.headers.get("content-type", "")).lower():
            raise HTTPException(400, "The form must be in UTF-8.")
        try:
            async with request.form(max_files=self._sessions.quota.uploads, max_fields=MAX_FIELDS) as form:
                files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
                if not files:
                    raise HTTPException(400, "The request contains no file.")
                return [await asyncio.to_thread(self._store, key, file) for file in files]
        except ClientDisconnect:
            raise HTTPException(400, "The connection was closed.") from None
        except OSError as error:
            raise HTTPException(507, f"The file could not be stored: {os.strerror(error.errno or 0)}.") from error
        except HermesError as error:
            raise HTTPException(409, str(error)) from error

    def _store(self, key: str, file: UploadFile) -> str:
        folder = Path(tempfile.mkdtemp(dir=self._root))
        try:
            path = folder / file_name(file.filename or "")
            with path.open("xb") as copy:
                shutil.copyfileobj(file.file, copy)
            return self._sessions.receive_upload(key, str(path))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def file_name(sent: str) -> str:
    """Return a file name that every file system can store, from one that a browser sent."""
    name = PurePosixPath("".join(filter(str.isprintable, sent)).replace("\\", "/")).name
    stored = strip_invalid_filename_characters(name)
    return stored if stored.strip(".") else "file"
