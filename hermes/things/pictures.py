"""Cut-outs of objects and background photographs, read from the packages that `hermes.things.fetch` downloads.

Only the Fluent Emoji cut-outs and the held-out backgrounds ship with the program (`shipped_pictures`).
"""

from __future__ import annotations

import io
import json
import logging
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from hermes.assets import HELD_OUT_PHOTOGRAPHS
from hermes.assets import OBJECTS as SHIPPED
from hermes.errors import HermesError
from hermes.things.models3d.renders import rendered
from hermes.things.objects import NAMES, OBJECTS, UNKNOWN_MODELS

Pixels = NDArray[np.uint8]

log = logging.getLogger(__name__)

SIDE: Final = 256  # pixels of the longer side of a cut-out
STAMPS: Final = Path("tuxpaint/usr/share/tuxpaint/stamps")
# Sets of emoji that iconify packs as SVG.
VECTORS: Final = ("noto", "noto-v1", "fluent-emoji-flat", "emojione", "twemoji")
ICONS: Final = {
    "gnome": Path("gnome-icon-theme/usr/share/icons/gnome/256x256"),
    "oxygen": Path("oxygen-icon-theme/usr/share/icons/oxygen/base/256x256"),
}
HELD_OUT_STYLES: Final = ("twemoji",)  # emoji that are not used in training
NOTHING: Final = -1
SHOW_OBJECTS: Final = ("chelsea", "coffee")  # held-out photographs that show a cat and a cup
# Stamps that show none of the objects; the model must not name them.
UNKNOWN: Final = (
    "plants/flowers/", "symbols/chess/", "symbols/money/", "town/houses/", "symbols/shapes/", "seasonal/halloween/grave",
    "plants/trees/", "space/planets/", "town/flags/", "town/roadsigns/", "household/key", "household/tools/wrench",
    "household/tools/saw", "household/arttools/scissors", "food/nuts/", "medical/", "people/",
    "animals/mammals/giraffe", "animals/mammals/hedgehog", "food/vegetables/carrot", "food/vegetables/tomato",
)  # fmt: skip


@dataclass(frozen=True)
class Cutout:
    """One picture of a known or unknown object.

    Attributes:
        label: Index of the object, or `NOTHING` for an unknown object.
        style: "stamp", "model" for a render of a 3D model, "icon", or the name of an emoji set.
        name: Name within its style.
        pixels: uint8 [H, W, 4], RGBA, cropped to the opaque part.
        photographic: Whether it was cut from a photograph.
    """

    label: int
    style: str
    name: str
    pixels: Pixels
    photographic: bool = False


def held_out(cutouts: list[Cutout]) -> tuple[list[Cutout], list[Cutout]]:
    """Split into training and held-out pictures: the held-out styles, and every third stamp of each object.

    Renders of 3D models and icons are for training only.
    """
    training: list[Cutout] = []
    kept: list[Cutout] = []
    stamps: dict[int, int] = {}
    many = {c.label: sum(o.label == c.label and o.style == "stamp" for o in cutouts) for c in cutouts}
    for cutout in cutouts:
        apart = cutout.style in HELD_OUT_STYLES
        if cutout.style == "stamp" and cutout.label == NOTHING:
            apart = zlib.crc32(cutout.name.encode()) % 4 == 0
        elif cutout.style == "stamp" and many[cutout.label] > 1:
            apart = stamps.get(cutout.label, 0) % 3 == 1
            stamps[cutout.label] = stamps.get(cutout.label, 0) + 1
        (kept if apart else training).append(cutout)
    return training, kept


def _trim(picture: Pillow.Image) -> Pixels | None:
    rgba = np.asarray(picture.convert("RGBA"))
    rows, columns = (np.flatnonzero((rgba[..., 3] > 40).any(axis)) for axis in (1, 0))
    if len(rows) < 8 or len(columns) < 8:
        return None
    rgba = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = SIDE / max(rgba.shape[:2])
    size = (max(round(rgba.shape[1] * scale), 1), max(round(rgba.shape[0] * scale), 1))
    flag = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    # Premultiplied, so that the colour of transparent pixels does not bleed in.
    alpha = rgba[..., 3:].astype(np.float32) / 255
    mixed = np.concatenate([rgba[..., :3] * alpha, rgba[..., 3:].astype(np.float32)], -1)
    mixed = np.clip(cv2.resize(mixed, size, interpolation=flag), 0, 255)
    colour = mixed[..., :3] / np.maximum(mixed[..., 3:] / 255, 1e-3)
    return np.concatenate([np.clip(colour, 0, 255), mixed[..., 3:]], -1).astype(np.uint8)


def _vector(svg: str) -> Pillow.Image | None:
    try:
        import resvg_py  # noqa: PLC0415 - only preparing pictures needs it
    except ImportError as error:
        raise HermesError("Preparing the pictures needs resvg-py: pip install resvg-py==0.5.0") from error
    try:
        drawn = resvg_py.svg_to_bytes(svg_string=svg, width=SIDE)
    except ValueError as error:
        log.warning("Skipping a picture: %s", error)
        return None
    return Pillow.open(io.BytesIO(bytes(drawn)))


def _code(emoji: str) -> str:
    return "-".join(f"{ord(char):x}" for char in emoji if ord(char) != 0xFE0F)


class _Icons:
    """Return the SVG pictures of one iconify package, which are named as in Unicode.

    Sets that do not list the characters use the names of another one (`names`).
    """

    def __init__(self, folder: Path, names: Path) -> None:
        content: dict[str, Any] = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
        self._icons, self._aliases = content["icons"], content.get("aliases", {})
        self._size = (content.get("width", 16), content.get("height", 16))
        listed = json.loads((folder / "chars.json").read_text(encoding="utf-8"))
        self._names = listed or json.loads((names / "chars.json").read_text(encoding="utf-8"))

    def find(self, emoji: str) -> str | None:
        name = self._names.get(_code(emoji)) or self._names.get(_code(emoji) + "-fe0f")
        while name in self._aliases:
            name = self._aliases[name]["parent"]
        icon = self._icons.get(name)
        if icon is None:
            return None
        width, height = icon.get("width", self._size[0]), icon.get("height", self._size[1])
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">{icon["body"]}</svg>'
        )


def _stamp(file: Path) -> Pillow.Image | None:
    for path in (file.with_suffix(".png"), file.with_suffix(".svg")):
        if path.is_file():
            return Pillow.open(path) if path.suffix == ".png" else _vector(path.read_text(encoding="utf-8"))
    return None


def _icon(folder: Path, name: str) -> Pillow.Image:
    theme, _, file = name.partition("/")
    path = folder / ICONS[theme] / f"{file}.png"
    if not path.is_file():
        raise HermesError(f"{path} is missing; run python -m hermes train-things --fetch first.")
    return Pillow.open(path)


def _renders(folder: Path, label: int, models: tuple[str, ...]) -> list[tuple[int, str, str, Pillow.Image | None]]:
    return [
        (label, "model", f"{model}/{path.stem}", Pillow.open(path))
        for model in models
        for path in rendered(folder, model)
    ]


def read_cutouts(folder: Path) -> list[Cutout]:
    """Return all cut-outs of the unpacked packages.

    Args:
        folder: Folder with one folder per package (see `hermes.things.fetch`).

    Raises:
        HermesError: A package or the SVG renderer is missing.
    """
    stamps, emoji = folder / STAMPS, folder / "fluent-emoji-3d/package/assets"
    sets = {style: folder / f"{style}/package" for style in VECTORS}
    for needed in (stamps, emoji, *sets.values()):
        if not needed.is_dir():
            raise HermesError(f"{needed} is missing; run python -m hermes train-things --fetch first.")
    icons = {style: _Icons(path, sets[VECTORS[0]]) for style, path in sets.items()}
    found: list[tuple[int, str, str, Pillow.Image | None]] = []
    for label, item in enumerate(OBJECTS):
        for char in item.emoji:
            path = next((p for c in ("", "-fe0f") if (p := emoji / f"{_code(char)}{c}.webp").is_file()), None)
            found.append((label, "fluent-3d", char, Pillow.open(path) if path else None))
            for style, source in icons.items():
                svg = source.find(char)
                found.append((label, style, char, _vector(svg) if svg else None))
        found += [(label, "stamp", name, _stamp(stamps / name)) for name in item.stamps]
        found += _renders(folder, label, item.models)
        found += [(label, "icon", name, _icon(folder, name)) for name in item.icons]
    found += _renders(folder, NOTHING, UNKNOWN_MODELS)
    known = {name for item in OBJECTS for name in item.stamps}
    for path in sorted(p for p in stamps.rglob("*") if p.suffix in (".png", ".svg")):
        name = path.relative_to(stamps).with_suffix("").as_posix()
        if name.startswith(UNKNOWN) and name not in known and "_mirror" not in name:
            found.append((NOTHING, "stamp", name, _stamp(path.with_suffix(""))))
    cutouts = []
    for label, style, name, picture in found:
        pixels = _trim(picture) if picture is not None else None
        if pixels is not None:
            photographic = style == "stamp" and (stamps / name).with_suffix(".png").is_file() and "cartoon" not in name
            cutouts.append(Cutout(label, style, name, pixels, photographic))
    return cutouts


def read_photographs(folders: list[Path], side: int = 480) -> list[tuple[str, Pixels]]:
    """Read the photographs below folders, scaled to `side` pixels on the shorter side, without copies in other sizes.

    Returns:
        Names and pictures uint8 [H, W, 3], RGB.
    """
    chosen: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp")):
            # A wallpaper in several sizes is a folder with the picture's name.
            key = path.parent.parent.parent.name if path.parent.name.startswith("images") else path.stem
            if key not in chosen or path.stat().st_size > chosen[key].stat().st_size:
                chosen[key] = path
    pictures = []
    for key, path in sorted(chosen.items()):
        picture = cv2.imread(
            str(path), cv2.IMREAD_REDUCED_COLOR_2 if path.stat().st_size > 2_000_000 else cv2.IMREAD_COLOR
        )
        if picture is None or min(picture.shape[:2]) < side // 2:
            continue
        scale = side / min(picture.shape[:2])
        size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        pictures.append((key, np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)))
    return pictures


def read_shipped() -> tuple[list[Cutout], list[Pixels]]:
    """Return the shipped pictures: Fluent Emoji cut-outs, and held-out photographs without any of the objects."""
    cutouts = []
    for path in sorted(SHIPPED.glob("*.webp")):
        name = path.stem.rsplit("-", 1)[0]
        pixels = np.asarray(Pillow.open(path).convert("RGBA"))
        cutouts.append(Cutout(NAMES.index(name), "fluent-3d", path.stem, pixels))
    if not cutouts:
        raise HermesError(f"The cut-outs of objects are missing: there are none in {SHIPPED}.")
    files = sorted(p for p in HELD_OUT_PHOTOGRAPHS.glob("*.jpg") if not p.stem.startswith(SHOW_OBJECTS))
    backgrounds = [np.asarray(Pillow.open(path).convert("RGB")) for path in files]
    return cutouts, backgrounds
