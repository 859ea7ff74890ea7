"""Photographs for evaluating the model of everyday objects. Training does not use them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from hermes.errors import HermesError
from hermes.things.qt_resources import read_resources

# Pictures by source, each with the object it shows or None. GCompris: CC BY-SA and CC0 photographs; OpenCV's and
# scikit-image's samples; darknet's samples.
_RESOURCES: Final = "gcompris/usr/share/gcompris-qt/rcc"
_FOLDERS: Final = {
    "opencv": "opencv-doc/usr/share/doc/opencv-doc/examples/data",
    "darknet": "darknet/usr/share/darknet/data",
    "skimage": "python3-skimage/usr/lib/python3/dist-packages/skimage/data",
}
_LABELS: Final = {
    "opencv": {
        "apple": "apple.jpg", "orange": "orange.jpg", "butterfly": "butterfly.jpg", "airplane": "aero1.jpg aero3.jpg",
        "monkey": "baboon.jpg", "squirrel": "squirrel_cls.jpg",
        "nothing": "home.jpg building.jpg left01.jpg graf1.png sudoku.png",
    },
    "darknet": {"dog": "dog.jpg", "bird": "eagle.jpg", "horse": "horses.jpg", "zebra": "giraffe.jpg"},
    "skimage": {
        "cat": "chelsea.png", "cup": "coffee.png", "motorcycle": "motorcycle_left.png", "clock": "clock_motion.png",
        "nothing": "astronaut.png coins.png brick.png grass.png gravel.png rocket.jpg moon.png hubble_deep_field.jpg",
    },
    "categorization": {
        "fish": "fish1 fish2 fish10 fish13", "hammer": "hammer1 hammer2 hammer3 hammer4",
        "screwdriver": "screwDriver screwDriver1 screwDriver2 screwDriver3", "chair": "chair", "cup": "cup buffetset",
        "pan": "pan", "pen": "pencil", "spoon": "spoons",
        "nothing": "windmill1 windmill5 windmill9 dam1 dam3 dam5 solar1 solar4 solar7 arcDeTriomphe bayterek "
                   "brandenburgGate burj cathedral christTheRedeemer colosseum eiffelTower empireState greatPyramid "
                   "greatWall IndiaGate bulb blackslate pillow plate weighingMachine erasers igloo baseball plier1 plier3 "
                   "scissors1 scissors2 scissors3 multimeter1 measuringTape1 measuringTape2 nailCutter tweezer wrench1",
    },
    "explore_farm_animals": {
        "cat": "cat", "chicken": "chicken", "cow": "cow", "dog": "dog", "duck": "duck", "horse": "horse", "bird": "owl",
        "pig": "pig", "sheep": "sheep",
    },
    "explore_world_animals": {
        "lizard": "chameleon dragon", "panda": "panda", "bear": "polar_bear", "bird": "scarlet_macaw",
        "nothing": "koala kangaroo giraffe hedgehog narwhal moose",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Photograph:
    """One photograph with its ground truth.

    Attributes:
        name: Source and file name.
        label: The object that it shows, or None.
        pixels: uint8 [H, W, 3], RGB.
    """

    name: str
    label: str | None
    pixels: NDArray[np.uint8]


def measuring_names(source: str) -> frozenset[str]:
    """Return the names of the evaluation pictures of a source."""
    return frozenset(name for files in _LABELS[source].values() for name in files.split())


def read_photographs(data: Path) -> list[Photograph]:
    """Return all photographs, from the unpacked packages.

    Raises:
        HermesError: A package is missing.
    """
    found = []
    for source, labels in _LABELS.items():
        contents = _contents(data, source)
        for label, files in labels.items():
            for file in files.split():
                if file not in contents:
                    raise HermesError(f"{source} in {data} has no picture {file}.")
                picture = cv2.imdecode(np.frombuffer(contents[file], np.uint8), cv2.IMREAD_COLOR)
                if picture is None:
                    raise HermesError(f"{file} of {source} in {data} is not a readable picture.")
                pixels = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
                found.append(Photograph(f"{source}/{file}", None if label == "nothing" else label, pixels))
    return found


def _contents(data: Path, source: str) -> dict[str, bytes]:
    if source in _FOLDERS:
        folder = data / _FOLDERS[source]
        if not folder.is_dir():
            raise HermesError(f"{folder} is missing; run python -m hermes train-things --fetch first.")
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    path = data / _RESOURCES / f"{source}.rcc"
    if not path.is_file():
        raise HermesError(f"{path} is missing; run python -m hermes train-things --fetch first.")
    return {Path(name).stem: content for name, content in read_resources(path) if name.endswith(".webp")}
