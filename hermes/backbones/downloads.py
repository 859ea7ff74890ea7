"""Model downloads from the hub, with size, licence, confirmation and progress."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import HfApi, constants, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import filter_repo_objects, get_session
from tqdm import tqdm

from hermes.errors import HermesError
from hermes.formatting import format_bytes

logger = logging.getLogger(__name__)

FILES = ("*.json", "*.safetensors", "*.txt", "*.jinja", "*.model", "tokenizer*")
"""Required files of a model; repositories on the hub may contain the same weights in other formats."""
LARGE = 10**9
"""Downloads of more bytes than this need confirmation."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Download:
    """A model download.

    Attributes:
        name: Hub id.
        size: Bytes to download (files in the local cache excluded).
        licence: Licence from the model card; None if not stated.
    """

    name: str
    size: int
    licence: str | None

    def __str__(self) -> str:
        """Describe name, size and licence."""
        return f"“{self.name}” is a download of {format_bytes(self.size)} (licence: {self.licence or 'not stated'})"


Confirm = Callable[[Download], bool]
"""Called before a large download; returns whether to proceed."""


class ConsentError(HermesError):
    """A large download that was not confirmed.

    Attributes:
        download: The download.
    """

    def __init__(self, download: Download) -> None:
        """Create the error for a download."""
        super().__init__(f"{download}. Nothing was downloaded.")
        self.download = download


def hub_answers() -> bool:
    """Whether the hub can be reached now."""
    try:
        get_session().head(constants.ENDPOINT, timeout=5)
    except (httpx2.HTTPError, OfflineModeIsEnabled):
        return False
    return True


def fetch(name: str, confirm: Confirm | None, progress: Progress | None) -> Path:
    """Return the folder of a model on the hub, and download it if necessary.

    Args:
        name: Hub id.
        confirm: Called before a download of more than `LARGE` bytes; None downloads without confirmation and logs it.
        progress: Called with a message and the progress.

    Raises:
        ConsentError: `confirm` returned False.
        Exception: Any exception of huggingface_hub.
    """
    if not hub_answers():  # check once; huggingface_hub would retry for most of a minute
        return cached(name)
    download = look_up(name)
    if download.size > LARGE:
        logger.warning("%s", download)
        if confirm is not None and not confirm(download):
            raise ConsentError(download)
    bars = _bars(f"Downloading {name}", progress) if progress else None
    return Path(snapshot_download(name, allow_patterns=list(FILES), tqdm_class=bars))


def cached(name: str) -> Path:
    """Return the folder of a model in the local hub cache.

    Raises:
        LocalEntryNotFoundError: The model is not in the cache.
    """
    return Path(snapshot_download(name, allow_patterns=list(FILES), local_files_only=True))


def look_up(name: str) -> Download:
    """Return the download of a model, from its file listing.

    Raises:
        Exception: Any exception of huggingface_hub.
    """
    info = HfApi().model_info(name, files_metadata=True, timeout=10)
    needed = filter_repo_objects(info.siblings or [], allow_patterns=list(FILES), key=lambda file: file.rfilename)
    missing = [file for file in needed if not _is_here(name, file.rfilename, info.sha)]
    licence = info.card_data.license if info.card_data else None
    return Download(name, sum(file.size or 0 for file in missing), licence)


def _is_here(name: str, file: str, commit: str | None) -> bool:
    return isinstance(try_to_load_from_cache(name, file, revision=commit), str)


def _bars(text: str, progress: Progress) -> type[Any]:
    """Return a tqdm class for huggingface_hub that calls `progress` instead of drawing."""
    furthest = 0.0

    class ReportingBar(tqdm):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            # One bar counts the bytes written; others count files, or bytes in transfer.
            self._reports = settings.get("unit") == "B" and not str(settings.get("desc")).startswith("Downloading")
            settings.pop("name", None)
            settings["disable"] = False
            super().__init__(*arguments, **settings)

        def display(self, *_: Any, **__: Any) -> None:
            if self._reports and self.total and not self.disable:
                nonlocal furthest
                furthest = max(furthest, min(self.n / self.total, 1.0))  # the total grows while files are found
                progress(f"{text}: {format_bytes(self.n)} of {format_bytes(self.total)}", 0.25 * furthest)

        def close(self) -> None:
            self.disable = True  # stop reporting, also when the bar is garbage-collected

    return ReportingBar
