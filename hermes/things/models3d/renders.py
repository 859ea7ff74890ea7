"""The folder of renders: each model of the packages of `hermes.things.fetch` is rendered once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from PIL import Image as Pillow

from hermes.errors import HermesError
from hermes.things.models3d.stage import ModelStage, Pixels

LIBRARIES: Final = Path("sweethome3d/libraries")
GAME: Final = Path("0ad/art")
RENDERS: Final = "renders"  # folder with the renders, next to the packages
SMALLEST: Final = 24  # pixels of the shorter side of a render; narrower ones show a model edge-on


def _looks(art: Path, actor: str) -> Iterator[tuple[Path, Path]]:
    """Yield the meshes and textures of an animal or tool: the first mesh with each texture, the others with one."""
    text = (art / f"actors/{actor if '/' in actor else f'fauna/{actor}'}.xml").read_text(encoding="utf-8")
    for name in re.findall(r'file="([^"]*/horse/[^"]*\.xml)"', text):
        text += (art / "variants" / name).read_text(encoding="utf-8")
    meshes = re.findall(r"<mesh>([^<]*)", text)
    textures = [name for name in re.findall(r'<texture file="([^"]*)" name="baseTex', text) if "dead" not in name]
    for mesh in meshes:
        for texture in textures if mesh == meshes[0] else textures[:1]:
            yield art / f"meshes/{mesh}.cached.pmd", art / f"textures/skins/{texture}.cached.dds"


def _renders(folder: Path, stage: ModelStage, model: str) -> Iterator[Pixels]:
    library, _, name = model.partition("/")
    if library == "0ad":
        for mesh, texture in _looks(folder / GAME, name):
            yield from stage.game_model(mesh, texture)
        return
    path = next(iter((folder / LIBRARIES / library).rglob(f"{name}.obj")), None)
    if path is None:
        raise HermesError(f"{folder / LIBRARIES / library} has no model {name}.obj.")
    yield from stage.furniture(path)


def render_models(folder: Path, models: Sequence[str], progress: Callable[[str], None]) -> None:
    """Render the models that have no renders yet, about one second each.

    Args:
        folder: Folder with one folder per package; renders are written to its folder `renders`.
        models: Library and name of each model, as in `hermes.things.objects`.
        progress: Called from time to time with a one-line message.

    Raises:
        HermesError: VTK is not installed, or a model is missing.
    """
    missing = [model for model in dict.fromkeys(models) if not _folder(folder, model).is_dir()]
    if not missing:
        return
    stage = ModelStage()
    for number, model in enumerate(missing):
        target = _folder(folder, model)
        work = target.with_name(f".{target.name}")
        work.mkdir(parents=True, exist_ok=True)
        for index, pixels in enumerate(_renders(folder, stage, model)):
            box = cv2.boundingRect((pixels[..., 3] > 40).astype(np.uint8))
            if min(box[2:]) >= SMALLEST:
                left, top, width, height = box
                Pillow.fromarray(pixels[top : top + height, left : left + width]).save(
                    work / f"{index:03d}.webp", quality=90
                )
        work.replace(target)
        if number % 20 == 0:
            progress(f"rendering models: {number} of {len(missing)}")


def _folder(folder: Path, model: str) -> Path:
    return folder / RENDERS / model


def rendered(folder: Path, model: str) -> list[Path]:
    """Return the renders of a model.

    Raises:
        HermesError: The model has not been rendered.
    """
    path = _folder(folder, model)
    if not path.is_dir():
        raise HermesError(f"{path} is missing; run python -m hermes train-things --fetch first.")
    return sorted(path.glob("*.webp"))
