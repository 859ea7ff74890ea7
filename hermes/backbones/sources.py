"""Locates model files: the bundled folder, a local folder, or the hub. Local folders take precedence."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from hermes.assets import SHIPPED
from hermes.backbones.downloads import LARGE, Confirm, Download, Progress, cached, fetch, hub_answers, look_up
from hermes.errors import HermesError


class ModelError(HermesError):
    """The model cannot be loaded; the message states the reason and a remedy."""


def find(name: str, confirm: Confirm | None = None, progress: Progress | None = None) -> Path:
    """Return the folder of a model, downloaded if it is on the hub.

    Args:
        name: "pocket", "things", a folder, or a hub id such as "owner/name".
        confirm: Called before a large download; None downloads without confirmation.
        progress: Called with a message and the progress, 0 to 1.

    Raises:
        ConsentError: `confirm` returned False.
        ModelError: The model is unknown, unreachable, gated, or without a configuration.
    """
    folder = local_folder(name)
    return folder if folder is not None else _download(name, confirm, progress)


def local_folder(name: str) -> Path | None:
    """Return the folder of a local model; None if the name is a hub id.

    Raises:
        ModelError: The name is neither, or the folder has no configuration.
    """
    if name in SHIPPED:
        if not (SHIPPED[name] / "config.json").is_file():
            raise ModelError(f"The model “{name}” is missing: {SHIPPED[name]} has no config.json.")
        return SHIPPED[name]
    try:
        path = Path(name).expanduser()
        if path.is_dir():
            if not (path / "config.json").is_file():
                raise ModelError(f"There is no model in {path}: it has no config.json.")
            return path
    except (OSError, ValueError, RuntimeError) as error:  # null byte, name too long, unknown home folder
        raise ModelError(f"There is no model “{name}”: {first_line(error)}") from error
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise ModelError(
            f"There is no model “{name}”: neither “pocket” nor “things”, nor a folder, nor a hub id such as “owner/name”."
        )
    return None


def check_hub(name: str) -> None:
    """Check that the hub or its local cache has a model, without downloading it.

    Raises:
        ModelError: The model is unknown, gated, or unreachable and not in the cache.
    """
    with _hub_errors(name):
        if hub_answers():
            look_up(name)
        else:
            cached(name)


def revision(name: str) -> str | None:
    """Return the commit of a downloaded hub model; None for a local model, or if it is not in the cache."""
    if local_folder(name) is not None:
        return None
    file = try_to_load_from_cache(name, "config.json")
    return Path(file).parent.name if isinstance(file, str) else None


def large_download(name: str) -> Download | None:
    """Return the download that `find` would ask to confirm; None if it is small, local, or not available."""
    if name in SHIPPED or Path(name).expanduser().is_dir() or name.count("/") != 1 or not hub_answers():
        return None
    try:
        download = look_up(name)
    except (HfHubHTTPError, HFValidationError, OSError):
        return None
    return download if download.size > LARGE else None


def _download(name: str, confirm: Confirm | None, progress: Progress | None) -> Path:
    with _hub_errors(name):
        folder = fetch(name, confirm, progress)
    if not (folder / "config.json").is_file():
        raise ModelError(f"“{name}” is not a model: it has no config.json.")
    return folder


@contextmanager
def _hub_errors(name: str) -> Iterator[None]:
    """Turn the hub's errors into `ModelError`."""
    try:
        yield
    except GatedRepoError as error:
        raise ModelError(
            f"The model “{name}” is gated: accept its terms on the hub and log in with a token."
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(f"There is no model “{name}” on the hub, or it is private.") from error
    except HFValidationError as error:
        raise ModelError(f"“{name}” is not a valid hub id.") from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise ModelError(
            f"The hub cannot be reached, and “{name}” is not on this machine. Check the connection, or give a local folder."
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(f"The model “{name}” cannot be downloaded: {first_line(error)}") from error


def read_json(folder: Path, file: str) -> dict[str, Any] | None:
    """Read a JSON file of a model; None if there is no such file.

    Raises:
        ModelError: The file cannot be read.
    """
    path = folder / file
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} of the model in {folder} cannot be read: {first_line(error)}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{file} of the model in {folder} is not a JSON object.")
    return content


def count_weights(folder: Path, unused: Iterable[str] = ()) -> int:
    """Count the parameters in a folder's safetensors files from their headers.

    Args:
        folder: Folder of the model.
        unused: Regular expressions for the names of weights that are not loaded and therefore not counted.

    Raises:
        ModelError: There are no weights, or a file is missing or truncated.
    """
    index = read_json(folder, "model.safetensors.index.json")
    names = sorted(set(index["weight_map"].values())) if index else ["model.safetensors"]
    patterns = [re.compile(pattern) for pattern in unused]
    total = 0
    for name in names:
        path = folder / name
        if not path.is_file():
            raise ModelError(f"The model in {folder} is incomplete: {name} is missing.")
        total += _weights_in(path, patterns)
    return total


def _weights_in(path: Path, unused: Sequence[re.Pattern[str]]) -> int:
    try:
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            header = json.loads(file.read(min(length, 100_000_000)))
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        end = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
        used = [name for name in tensors if not any(pattern.search(name) for pattern in unused)]
        count = sum(math.prod(tensors[name]["shape"]) for name in used)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, struct.error) as error:
        raise ModelError(f"{path.name} of the model in {path.parent} is damaged.") from error
    if path.stat().st_size < 8 + length + end:
        raise ModelError(f"The model in {path.parent} is incomplete: {path.name} was cut short. Download it again.")
    return count


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
