"""Training of the model of everyday objects in resumable stages."""

from __future__ import annotations

import copy
import logging
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from transformers import LlavaOnevisionForConditionalGeneration, PreTrainedTokenizerFast

from hermes.backbones.half import half_is_faster
from hermes.backbones.object_tower import ObjectTower
from hermes.backbones.object_tower.modeling import Readout
from hermes.errors import HermesError
from hermes.pocket.model import Preparation, save
from hermes.pocket.train_decoder import train_decoder
from hermes.things.bank import Features, Material, extend_bank, open_bank, to_pixel_values
from hermes.things.convert import imagenet_tower
from hermes.things.decoder import CODES, OBJECTS_LONG, OBJECTS_SEEN, ObjectDecoder, object_world
from hermes.things.fetch import WALLPAPERS
from hermes.things.measuring import measuring_names
from hermes.things.model import build, pool_locations
from hermes.things.objects import CATEGORIES, NAMES, OBJECTS
from hermes.things.pictures import NOTHING, Pixels, held_out, read_cutouts, read_photographs
from hermes.things.qt_resources import read_resources
from hermes.things.questions import SUGGESTED
from hermes.things.sources import CodeSource, SeenSource
from hermes.things.train_tower import ReadoutData, frame_answers, measure_readout, train_readout
from hermes.worlds.questions import as_text

log = logging.getLogger(__name__)

# Of the time given; the bank's shards take the rest.
SHARES: Final = {CODES.name: 0.45, OBJECTS_SEEN.name: 0.4}
SHARDS_PER_MINUTE: Final = 0.15  # of the whole time, on one core
# Wallpapers that show one of the objects and are therefore not used as backgrounds.
WITH_OBJECTS: Final = frozenset(
    ("ColorfulCups", "EveningGlow", "FlyingKonqui", "Kleiber_by_Lukas_Baubkus", "Wine_by_Jakkub_Mede",
     "friends_by_Aitzol_Berasategi", "goldfish", "free_by_Peter_Nerlich", "greentock_by_Peter_Nerlich", "screenshot")
)  # fmt: skip
# Resource files of GCompris and their folders whose pictures show none of the objects; the other photographs of GCompris
# are left for measuring.
WHOLE_PHOTOGRAPHS: Final = {"paintings": "resource/image", "explore_monuments": "resource/", "details": "_background"}
PORTRAITS: Final = {"fish": "fish", "hammer": "hammer", "screwDriver": "screwdriver"}  # by the start of their names
SMALLEST: Final = 150  # pixels of the shorter side of a photograph
DOUBTFUL: Final = 0.3  # a photograph counts as showing none of the objects below this probability
CORRECTIONS: Final = (1.0, 0.5, 0.0)  # shares of the corrections with which frames are read for the decoder
UNCORRECTED: Final = 0.75  # weight of ImageNet's scores in a readout without corrections
BLURRED: Final = 0.2  # dropout of the features in the second take of a frame
RECOGNISED: Final = 0.5  # probability above which a frame counts as showing the most likely object
OVERLOOKED: Final = 0.2  # probability below which it counts as showing nothing
TUNED: Final = "tuned.pt"  # the tower that `hermes.things.gpu.continue_run` has tuned
PREPARATION: Final = Preparation(224, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
ABOUT: Final[dict[str, object]] = {
    "name": "HERMES things",
    "about": "A LLaVA-OneVision with 6.6 million parameters that recognises about 120 everyday objects: EfficientNet-Lite0, "
    "trained on ImageNet and fine-tuned on pictures of them, and a decoder trained on streams of objects. It "
    "knows nothing else.",
    "guidance": {"local": "What is shown now?", "global": "What was shown so far?"},
    "max_new_tokens": 32,
    "world": "objects",
    "knows": f"{len(OBJECTS)} everyday objects",
    "real_pictures": True,
    "names": {c.name: [as_text(item.name) for item in OBJECTS if item.category == c.name] for c in CATEGORIES},
    "suggested": [text for text, _ in SUGGESTED],
}
Progress = Callable[[str], None]


def photographs(data: Path) -> tuple[list[Pixels], list[Pixels]]:
    """Return the backgrounds for training and the held-out ones."""
    found = [(n, p) for n, p in read_photographs([data / name for name in WALLPAPERS]) if n not in WITH_OBJECTS]
    apart = {name for name, _ in found if zlib.crc32(name.encode()) % 5 == 0}
    return [p for n, p in found if n not in apart], [p for n, p in found if n in apart]


def _resource_pictures(data: Path, resource: str) -> Iterator[tuple[str, Pixels]]:
    """Return the names and pictures in a resource file of GCompris."""
    path = data / f"gcompris/usr/share/gcompris-qt/rcc/{resource}.rcc"
    if not path.is_file():
        raise HermesError(f"{path} is missing; run python -m hermes train-things --fetch first.")
    for name, content in read_resources(path):
        if name.endswith((".webp", ".jpg", ".png")):
            picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
            if picture is not None and min(picture.shape[:2]) >= SMALLEST:
                yield name, np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def whole_photographs(data: Path, tower: ObjectTower) -> list[Pixels]:
    """Return GCompris's photographs and paintings in which ImageNet's classifier recognises none of the objects."""
    left = []
    for resource, folder in WHOLE_PHOTOGRAPHS.items():
        for name, picture in _resource_pictures(data, resource):
            if folder not in name:
                continue
            small = np.asarray(cv2.resize(picture, (224, 224), interpolation=cv2.INTER_AREA), np.uint8)
            pixels = to_pixel_values(torch.from_numpy(small)[None])
            with torch.inference_mode():
                scores = tower.readout.classifier(tower.features(pixels).mean(1))
                known = (scores.softmax(-1) @ tower.readout.groups)[0, :-1].max()
            if known < DOUBTFUL:
                left.append(picture)
    return left


def portraits(data: Path) -> list[tuple[int, Pixels]]:
    """Return GCompris's photographs of objects, except those for evaluation."""
    found = []
    for name, picture in _resource_pictures(data, "categorization"):
        stem = Path(name).stem
        label = next((item for prefix, item in PORTRAITS.items() if stem.rstrip("0123456789") == prefix), None)
        if label is not None and stem not in measuring_names("categorization"):
            found.append((NAMES.index(label), picture))
    return found


def training_material(data: Path, tower: ObjectTower) -> Material:
    """Return the cut-outs and photographs for training."""
    return Material(
        held_out(read_cutouts(data))[0], photographs(data)[0], whole_photographs(data, tower), portraits(data)
    )


def weakened(readout: Readout, share: float) -> Readout:
    """Return a readout with a share of the corrections to ImageNet's scores, and more weight on these scores."""
    other = copy.deepcopy(readout)
    with torch.no_grad():
        other.correct.weight.mul_(share)
        other.scale[1] = UNCORRECTED + (other.scale[1] - UNCORRECTED) * share
    return other


@torch.inference_mode()
def encode_bank(model: LlavaOnevisionForConditionalGeneration, bank: Features, seed: int = 0) -> SeenSource:
    """Return the bank's frames as frame tokens for the decoder, labelled with what the tower recognises in them.

    The decoder learns to answer what the tower recognised, also where that is wrong. Most frames are read with smaller
    corrections of ImageNet's scores, since the tower is less certain about pictures that it was not trained on. Each frame
    has a second take with dropout, since the frames of one object differ. Frames in which an object is barely recognised
    are left out.

    Args:
        model: Model with a trained readout.
        bank: Rendered scenes.
        seed: Random seed of the dropout.
    """
    tower: ObjectTower = model.model.vision_tower
    device = tower.readout.scale.device
    readouts = [weakened(tower.readout, share) for share in CORRECTIONS]
    half = device.type != "cpu" or half_is_faster()
    torch.manual_seed(seed)
    columns: list[list[torch.Tensor]] = [[], [], [], []]
    for number, part in enumerate(bank.features.flatten(0, 1).split(100)):
        readout, features = readouts[number % len(readouts)], part.to(device).float()
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            seen = [readout(features).in_float32(), readout(F.dropout(features, BLURRED)).in_float32()]
        takes = [pool_locations(model.model.multi_modal_projector(tower.state(sighting))) for sighting in seen]
        covers = [pool_locations(sighting.shown(tower.config.doubt)[..., None])[..., 0] for sighting in seen]
        answers = [frame_answers(sighting, tower.config.doubt) for sighting in seen]
        shown, objects, places = (torch.stack(values).mean(0) for values in zip(*answers, strict=True))
        label = torch.where(shown > RECOGNISED, objects.argmax(-1), NOTHING)
        clear = (shown > RECOGNISED) | (shown < OVERLOOKED)
        found = (torch.stack(takes, 1).half(), torch.stack(covers, 1).half(), label, places.argmax(-1))
        for column, value in zip(columns, found, strict=True):
            column.append(value[clear].cpu())
    tokens, cover, labels, found_places = (torch.cat(column) for column in columns)
    return SeenSource(tokens, cover, labels, found_places)


def assemble(
    run: Path, data: Path, seed: int
) -> tuple[LlavaOnevisionForConditionalGeneration, PreTrainedTokenizerFast]:
    """Return the model that a run has trained so far: its tower and its newest decoder."""
    model, tokenizer = build(seed)
    tower = imagenet_tower(data, seed)
    if (run / TUNED).exists():
        tower.load_state_dict(torch.load(run / TUNED, weights_only=True)["tower"])
    elif (run / "tower.pt").exists():
        tower.readout.load_state_dict(torch.load(run / "tower.pt", weights_only=False)["readout"])
    model.model.vision_tower.load_state_dict(tower.state_dict())
    for stage in (OBJECTS_LONG, OBJECTS_SEEN, CODES):
        state = run / f"{stage.name}.pt"
        if state.exists():
            ObjectDecoder(model).load_state_dict(torch.load(state, weights_only=False)["decoder"])
            break
    return model.eval(), tokenizer


def train(run: Path, out: Path, data: Path, minutes: float, seed: int, progress: Progress) -> Path:
    """Train, or continue a stopped run, and write the model folder.

    Args:
        run: Folder of banks, states and logs.
        out: Model folder to write.
        data: Folder of the unpacked packages (see `hermes.things.fetch`).
        minutes: Total training time on one core.
        seed: Random seed of weights and data.
        progress: Called from time to time with a one-line message.

    Returns:
        `out`.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    run.mkdir(parents=True, exist_ok=True)
    tower, bank = imagenet_tower(data, seed), run / "bank"
    shards = max(1, round(minutes * SHARDS_PER_MINUTE))
    if len(list(bank.glob("*.pt"))) < shards:
        progress("reading cut-outs and photographs")
        extend_bank(bank, tower.features, training_material(data, tower), shards, seed, progress)
    frames = open_bank(bank)
    readout_data = ReadoutData(frames, tower)
    train_readout(run, tower, readout_data, seed, progress)
    progress(f"tower on its training frames: {measure_readout(tower, readout_data)}")
    world = object_world()
    progress("decoder on codes")
    codes = train_decoder(run, CODES, minutes * SHARES[CODES.name], seed, CodeSource(), None, world)
    later = run / f"{OBJECTS_SEEN.name}.pt"
    if later.exists() and later.stat().st_mtime < max(path.stat().st_mtime for path in (codes, run / "tower.pt")):
        for path in (
            later,
            later.with_suffix(".jsonl"),
        ):  # it started from weights that have been trained further since
            path.unlink(missing_ok=True)
    model, _ = assemble(run, data, seed)
    progress("decoder on the tower's own features")
    seen = encode_bank(model, frames)
    train_decoder(run, OBJECTS_SEEN, minutes * SHARES[OBJECTS_SEEN.name], seed, seen, codes, world)
    return write(run, out, data, seed, progress)


def write(run: Path, out: Path, data: Path, seed: int, progress: Progress) -> Path:
    """Write the model folder of a run's current state, with the logs of its stages."""
    model, tokenizer = assemble(run, data, seed)
    save(out, model, tokenizer, ABOUT, PREPARATION)
    for name in ("tower", CODES.name, OBJECTS_SEEN.name, "tuning", OBJECTS_LONG.name):
        if (run / f"{name}.jsonl").exists():
            shutil.copyfile(run / f"{name}.jsonl", out / f"training_{name}.jsonl")
    progress(f"wrote {out}")
    return out
