"""Accuracy of the model of everyday objects by kind of question and age of the evidence.

Streams show cut-outs in front of backgrounds that are not used in training. Questions are asked at their end through
`StreamSession`. The tower alone is evaluated on single pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from hermes.backbones.base import Backbone
from hermes.errors import HermesError
from hermes.eval.scoring import SEED_BASE, Setup, StreamTask, measure_streams, sample_questions
from hermes.recognition import Recognised
from hermes.things.measuring import Photograph
from hermes.things.objects import NAMES
from hermes.things.pictures import Cutout, Pixels, held_out, read_cutouts
from hermes.things.questions import KINDS, ask
from hermes.things.timeline import ObjectEvent
from hermes.things.world import ObjectStream, render_stream
from hermes.worlds.questions import Question, as_text

SEED_OFFSET: Final = 2_000_000


@dataclass(frozen=True)
class StreamPictures:
    """Pictures from which evaluation streams are rendered.

    Attributes:
        cutouts: Pictures of objects.
        photographs: Held-out backgrounds, uint8 [H, W, 3] RGB.
    """

    cutouts: Sequence[Cutout]
    photographs: Sequence[Pixels]


def make_stream(setup: Setup, index: int, pictures: StreamPictures) -> ObjectStream:
    """Return the stream with the given index."""
    seed = SEED_BASE + SEED_OFFSET + 10_000 * setup.seed + index
    return render_stream(seed, setup.frames, pictures.cutouts, pictures.photographs, tempo=setup.tempo)


def draw_questions(setup: Setup, stream: ObjectStream, index: int) -> tuple[int, list[Question]]:
    """Return the frame after which to ask, and up to `EACH` different questions of each kind."""
    rng = np.random.default_rng([SEED_BASE, SEED_OFFSET, setup.seed, index])
    return sample_questions(rng, setup.frames, stream, KINDS, ask)


def named_candidates(question: Question, events: Sequence[ObjectEvent], at: int) -> tuple[str, ...]:
    """Return one answer for each object shown so far, in the form of the true answer."""
    seen = [event for event in events if event.start <= at]
    if question.form in ("exists", "category", "count"):
        return ()
    if question.kind == "place":
        return tuple(as_text(event.place_at(at)) for event in seen)
    return tuple(as_text(event.name) for event in seen)


def evaluate(
    model: Backbone,
    setup: Setup,
    pictures: StreamPictures,
    progress: Callable[[int], None] | None = None,
    only: Iterable[int] | None = None,
) -> dict[str, Any]:
    """Measure a model on streams.

    Args:
        model: Model from `hermes.load`.
        setup: Parameters of the measurement; `background` is ignored.
        pictures: Pictures for the streams.
        progress: Called with the number of completed streams.
        only: Indices of the streams to use; None for all.

    Returns:
        JSON-compatible results that the command prints: `setup`, `guidance_prompts`, `kinds`, `age_in_frames`.
    """

    def make(index: int) -> StreamTask:
        stream = make_stream(setup, index, pictures)
        at, questions = draw_questions(setup, stream, index)
        return StreamTask(stream, at, questions, [named_candidates(q, stream.events, at) for q in questions])

    return measure_streams(model, setup, make, KINDS, progress, only)


@torch.inference_mode()
def recognise(model: Backbone, frames: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> list[Recognised]:
    """Recognise objects in pictures with the tower alone.

    Args:
        model: The model of everyday objects.
        frames: Pictures, each uint8 [H, W, 3] RGB.

    Raises:
        HermesError: The model has no object tower.
    """
    from hermes.backbones.llava_onevision import LlavaOnevision  # noqa: PLC0415
    from hermes.backbones.object_tower import ObjectTower  # noqa: PLC0415 - keeps this module's import light
    from hermes.things.train_tower import frame_answers  # noqa: PLC0415

    tower = model.model.model.vision_tower if isinstance(model, LlavaOnevision) else None
    if not isinstance(model, LlavaOnevision) or not isinstance(tower, ObjectTower):
        raise HermesError(f"{model.card.name} has no tower that recognises objects.")
    pixels = model.prepare(frames)
    shown, objects, _ = frame_answers(tower.sight(pixels), tower.config.doubt)
    best = objects.max(-1)
    return [
        Recognised(NAMES[name], round(has * share, 4), round(has, 4))
        for name, share, has in zip(best.indices.tolist(), best.values.tolist(), shown.tolist(), strict=True)
    ]


def name_photographs(model: Backbone, photographs: Sequence[Photograph]) -> dict[str, Any]:
    """Measure how often the tower names the object of a photograph, and names none where there is none.

    Args:
        model: The model of everyday objects.
        photographs: See `hermes.things.measuring`.

    Returns:
        `objects` and `nothing` (accuracy, number and 95 % interval), and `pictures`, the prediction for each photograph.
    """
    predictions = []
    for photograph in photographs:
        (seen,) = recognise(model, [photograph.pixels])
        row = {"file": photograph.name, "label": photograph.label, "named": seen.named}
        predictions.append({**row, **asdict(seen)})

    def share(rows: list[dict[str, Any]]) -> dict[str, Any]:
        right = np.array([row["named"] == row["label"] for row in rows], np.float64)
        drawn = np.random.default_rng(0).choice(right, (2000, len(right))).mean(1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        interval = (round(float(low), 4), round(float(high), 4))
        return {"accuracy": round(float(right.mean()), 4), "n": len(rows), "interval": interval}

    return {
        "objects": share([row for row in predictions if row["label"]]),
        "nothing": share([row for row in predictions if not row["label"]]),
        "pictures": predictions,
    }


def held_out_pictures(data: Path, photographic: bool = True) -> StreamPictures:
    """Return the held-out cut-outs and backgrounds of the training packages.

    Args:
        data: Folder of the unpacked packages.
        photographic: Whether to return cut-outs of photographs or drawings.
    """
    from hermes.things.train import photographs  # noqa: PLC0415 - reads packages, which only this needs

    cutouts = [cutout for cutout in held_out(read_cutouts(data))[1] if cutout.photographic == photographic]
    return StreamPictures(cutouts, photographs(data)[1])
