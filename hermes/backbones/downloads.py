"""Downloads from the hub: how large, under which licence, with whose consent, and how far they are."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache
from huggingface_hub.constants import ENDPOINT
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import filter_repo_objects, get_session
from tqdm import tqdm

from hermes.errors import HermesError

logger = logging.getLogger(__name__)

FILES = ("*.json", "*.safetensors", "*.txt", "*.jinja", "*.model", "tokenizer*")
"""What a model folder needs; hub folders may hold the same weights in other formats too."""
LARGE = 10**9
"""Bytes from which on a download needs consent."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Download:
    """What a model would take from the hub.

    Attributes:
        name: The hub id.
        size: Bytes that are not on this machine yet.
        licence: As the model's card says; None where it does not.
    """

    name: str
    size: int
    licence: str | None

    def __str__(self) -> str:
        """For people: name, size and licence."""
        return f"“{self.name}” is a download of {self.size / 1e9:.1f} GB (licence: {self.licence or 'not stated'})"


Confirm = Callable[[Download], bool]
"""Asked before a large download; False: do not."""


class ConsentError(HermesError):
    """A large download that nobody has agreed to yet.

    Attributes:
        download: What it is.
    """

    def __init__(self, download: Download) -> None:
        """Say what would be downloaded."""
        super().__init__(f"{download}. Nothing was downloaded.")
        self.download = download


def hub_answers() -> bool:
    """Whether the hub can be reached now."""
    try:
        get_session().head(ENDPOINT, timeout=5)
    except (httpx2.HTTPError, OfflineModeIsEnabled):
        return False
    return True


def fetch(name: str, confirm: Confirm | None, progress: Progress | None) -> Path:
    """The folder of a model on the hub, downloaded unless it lies here already.

    Args:
        name: The hub id.
        confirm: Asked before more than `LARGE` bytes are downloaded; None: they are, and a line is logged.
        progress: Told how far it is.

    Raises:
        ConsentError: `confirm` said no.
        Exception: Whatever huggingface_hub raises.
    """
    if not hub_answers():  # asked once: the library itself would try again for most of a minute
        return cached(name)
    download = look_up(name)
    if download.size > LARGE:
        logger.warning("%s", download)
        if confirm is not None and not confirm(download):
            raise ConsentError(download)
    bars = _bars(f"Downloading {name}", progress) if progress else None
    return Path(snapshot_download(name, allow_patterns=list(FILES), tqdm_class=bars))


def cached(name: str) -> Path:
    """The folder of a model in the local cache of the hub.

    Raises:
        LocalEntryNotFoundError: It is not there.
    """
    return Path(snapshot_download(name, allow_patterns=list(FILES), local_files_only=True))


def look_up(name: str) -> Download:
    """What a model would take from the hub, from its listing alone.

    Raises:
        Exception: Whatever huggingface_hub raises.
    """
    info = HfApi().model_info(name, files_metadata=True, timeout=10)
    needed = filter_repo_objects(info.siblings or [], allow_patterns=list(FILES), key=lambda file: file.rfilename)
    missing = [file for file in needed if not _is_here(name, file.rfilename, info.sha)]
    licence = info.card_data.license if info.card_data else None
    return Download(name, sum(file.size or 0 for file in missing), licence)


def _is_here(name: str, file: str, commit: str | None) -> bool:
    return isinstance(try_to_load_from_cache(name, file, revision=commit), str)


def _bars(text: str, progress: Progress) -> type[Any]:
    """Progress bars, as huggingface_hub wants them, that tell `progress` instead of drawing."""
    furthest = 0.0

    class Told(tqdm):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            # One bar counts the bytes that were written; others count files, or bytes on their way.
            self._told = settings.get("unit") == "B" and not str(settings.get("desc")).startswith("Downloading")
            settings.pop("name", None)
            settings["disable"] = False
            super().__init__(*arguments, **settings)

        def display(self, *_: Any, **__: Any) -> None:
            if self._told and self.total and not self.disable:
                nonlocal furthest
                furthest = max(furthest, min(self.n / self.total, 1.0))  # the total grows while files are found
                progress(f"{text}: {self.n / 1e6:,.0f} of {self.total / 1e6:,.0f} MB", 0.25 * furthest)

        def close(self) -> None:
            self.disable = True  # and nothing is told any more, also not when it is collected

    return Told
