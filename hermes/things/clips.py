"""Generator of the bundled clips of objects and their ground truth, reproducible from seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hermes.cards.backgrounds import CALM, make_background
from hermes.errors import HermesError
from hermes.things.objects import NAMES
from hermes.things.pictures import read_shipped
from hermes.things.render import draw, make_look, make_setting
from hermes.things.timeline import ObjectEvent, shown_at
from hermes.things.truth import truth_of
from hermes.things.world import displacement
from hermes.worlds.clip_files import write_clip_files
from hermes.worlds.questions import as_text
from hermes.worlds.truth import Truth

LICENCE: Final = "MIT: backgrounds drawn by the project's code, objects of Microsoft's Fluent Emoji (assets/objects)"


@dataclass(frozen=True)
class Appearance:
    """One appearance of an object in a clip; times in seconds.

    Attributes:
        name: One of `NAMES`.
        place: One of `PLACES`.
        start: Time at which it appears.
        end: Time at which it disappears.
        moved: Time at which it arrives at `later`; None if it does not move.
        later: Its second place.
    """

    name: str
    place: str
    start: float
    end: float
    moved: float | None = None
    later: str = ""


@dataclass(frozen=True)
class ObjectClipRecipe:
    """Recipe of a clip of objects.

    Attributes:
        name: File name without extension.
        title: Display name.
        description: One sentence.
        seed: Random seed.
        seconds: Length, in seconds.
        shown: What is shown, in order of time, without overlap.
        questions: Suggested questions with the second at which to ask.
        fps: Frames per second.
        size: Width and height in pixels.
    """

    name: str
    title: str
    description: str
    seed: int
    seconds: float
    shown: tuple[Appearance, ...]
    questions: tuple[tuple[str, float], ...]
    fps: float = 4.0
    size: tuple[int, int] = (448, 336)


def clip_events(recipe: ObjectClipRecipe) -> list[ObjectEvent]:
    """Return the events of a clip, in frames."""

    def frame(seconds: float) -> int:
        return round(seconds * recipe.fps)

    return [
        ObjectEvent(
            one.name,
            one.place,
            frame(one.start),
            frame(one.end),
            frame(one.end if one.moved is None else one.moved),
            one.later or one.place,
        )
        for one in recipe.shown
    ]


def clip_frames(recipe: ObjectClipRecipe) -> Iterator[NDArray[np.uint8]]:
    """Render the frames of a clip, uint8 [height, width, 3] RGB; the same recipe gives the same pixels."""
    events, (width, height) = clip_events(recipe), recipe.size
    cutouts, _ = read_shipped()
    pictures = {NAMES[cutout.label]: cutout.pixels for cutout in reversed(cutouts)}  # the first picture of each object
    rng = np.random.default_rng([recipe.seed, 16])
    setting = make_setting(rng, [make_background(rng, CALM)], width / height, drawn=0.0, zoom=1.25)
    setting = replace(setting, noise=0.5, shake=0.002, blur=0.0)  # gives small files
    looks = [make_look(rng, pictures[event.name], event.place, width / height) for event in events]
    looks = [replace(look, cover=None, size=max(look.size, 0.5)) for look in looks]
    for index in range(round(recipe.seconds * recipe.fps)):
        now = shown_at(events, index)
        look = looks[events.index(now)] if now is not None else None
        shift = displacement(now, look, index) if now is not None and look is not None else (0.0, 0.0)
        yield draw(rng, setting, look, height, width, shift)[0]


def clip_questions(recipe: ObjectClipRecipe) -> list[tuple[str, Truth, float]]:
    """Return the suggested questions of a clip with their true answers and times in seconds.

    Raises:
        HermesError: A question of the recipe has no well-defined answer at its time.
    """
    found = []
    for text, at in recipe.questions:
        truth = truth_of(text, clip_events(recipe), round(at * recipe.fps), recipe.fps)
        if truth is None:
            raise HermesError(f"“{text}” has no well-defined answer at {at} s.")
        found.append((text, truth, at))
    return found


def write_clip(recipe: ObjectClipRecipe, folder: Path) -> dict[str, Any]:
    """Write `NAME.webm` and `NAME.json`, and return the clip's entry for `index.json`."""
    entry = {
        "title": recipe.title,
        "description": recipe.description,
        "seconds": recipe.seconds,
        "renderer": "objects",
    }
    truth = {
        "seed": recipe.seed,
        "licence": LICENCE,
        "events": [_event(event, recipe.fps) for event in clip_events(recipe)],
        "questions": [
            {"kind": truth.kind, "text": text, "answer": truth.answer, "at": at, "evidence": list(truth.evidence)}
            for text, truth, at in clip_questions(recipe)
        ],
    }
    return write_clip_files(folder, recipe.name, clip_frames(recipe), recipe.fps, recipe.size, entry, truth)


def _event(event: ObjectEvent, fps: float) -> dict[str, Any]:
    moves = event.moved < event.end
    return {
        "what": as_text(event.name),
        "object": as_text(event.name),
        "category": event.category,
        "where": event.place,
        "start": event.start / fps,
        "end": event.end / fps,
        **({"moved": event.moved / fps, "later": event.later} if moves else {}),
    }
