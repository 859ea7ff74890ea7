"""Generator of the bundled clips and their ground truth, reproducible from seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hermes.cards.backgrounds import CALM, HELD_OUT, make_background
from hermes.cards.paper import paper_frames
from hermes.cards.questions import ask
from hermes.cards.render import draw, make_look, make_setting
from hermes.cards.timeline import Event, Tempo, make_events, shown_at
from hermes.errors import HermesError
from hermes.worlds.clip_files import LICENCE, write_clip_files
from hermes.worlds.questions import Question

Frame = NDArray[np.uint8]
TRIES: Final = 4000  # maximum number of random questions to find a given wording


@dataclass(frozen=True)
class ClipRecipe:
    """Recipe of a clip.

    Attributes:
        name: File name without extension.
        title: Display name.
        description: One sentence.
        seed: Random seed.
        seconds: Length, in seconds.
        questions: Suggested questions: kind, text, and the second at which to ask.
        shown: Shortest and longest time that a card is shown, in seconds.
        pause: Shortest and longest time between cards, in seconds.
        fps: Frames per second.
        size: Width and height in pixels.
        renderer: The training generator, the training generator with held-out backgrounds, or the paper renderer.
        noise: Standard deviation of sensor noise, 0 to 255 (0 gives small files).
    """

    name: str
    title: str
    description: str
    seed: int
    seconds: float
    questions: tuple[tuple[str, str, float], ...]
    shown: tuple[float, float] = (2.0, 3.0)
    pause: tuple[float, float] = (1.0, 2.5)
    fps: float = 4.0
    size: tuple[int, int] = (448, 336)
    renderer: Literal["training", "held-out", "paper"] = "training"
    noise: float = 2.0


@dataclass(frozen=True)
class ClipTimeline:
    """The events of a clip, in frames."""

    events: list[Event]
    fps: float


def clip_events(recipe: ClipRecipe) -> ClipTimeline:
    """Return the events of a clip without rendering it."""
    rng = np.random.default_rng([recipe.seed, 0])
    tempo = Tempo(_frames(recipe.shown, recipe.fps), _frames(recipe.pause, recipe.fps))
    return ClipTimeline(make_events(rng, round(recipe.seconds * recipe.fps), tempo), recipe.fps)


def clip_frames(recipe: ClipRecipe) -> Iterator[Frame]:
    """Render the frames of a clip, uint8 [height, width, 3] RGB; the same recipe gives the same pixels."""
    events, (width, height) = clip_events(recipe).events, recipe.size
    count = round(recipe.seconds * recipe.fps)
    if recipe.renderer == "paper":
        yield from paper_frames(recipe.seed, events, count, recipe.fps, width, height)
        return
    rng = np.random.default_rng([recipe.seed, 1])
    background = make_background(rng, HELD_OUT if recipe.renderer == "held-out" else CALM)
    setting = replace(make_setting(rng, background, width / height), noise=recipe.noise, shake=0.002)
    looks = {event: make_look(rng, event.colour, event.shape, event.place, width / height) for event in events}
    for index in range(count):
        event = shown_at(events, index)
        yield draw(rng, setting, looks[event] if event else None, height, width)[0]


def clip_questions(recipe: ClipRecipe) -> list[tuple[Question, float]]:
    """Return the suggested questions of a clip with their true answers and times in seconds.

    Raises:
        HermesError: A question of the recipe has no well-defined answer at its time.
    """
    return [(_question(clip_events(recipe), kind, text, at), at) for kind, text, at in recipe.questions]


def write_clip(recipe: ClipRecipe, folder: Path) -> dict[str, Any]:
    """Write `NAME.webm` and `NAME.json`, and return the clip's entry for `index.json`."""
    entry = {
        "title": recipe.title,
        "description": recipe.description,
        "seconds": recipe.seconds,
        "renderer": recipe.renderer,
    }
    truth = {
        "seed": recipe.seed,
        "licence": LICENCE,
        "events": [_event(event, recipe.fps) for event in clip_events(recipe).events],
        "questions": [
            {"kind": q.kind, "text": q.text, "answer": q.answer, "at": at, "evidence": list(q.evidence)}
            for q, at in clip_questions(recipe)
        ],
    }
    return write_clip_files(folder, recipe.name, clip_frames(recipe), recipe.fps, recipe.size, entry, truth)


def _frames(seconds: tuple[float, float], fps: float) -> tuple[int, int]:
    return round(seconds[0] * fps), round(seconds[1] * fps)


def _question(timeline: ClipTimeline, kind: str, text: str, at: float) -> Question:
    """Generate questions of a kind until one has this text, so that answer and evidence come from the generator."""
    for seed in range(TRIES):
        question = ask(timeline, round(at * timeline.fps), kind, np.random.default_rng(seed))
        if question is not None and question.text == text:
            return question
    raise HermesError(f"“{text}” has no well-defined answer at {at} s.")


def _event(event: Event, fps: float) -> dict[str, Any]:
    return {
        "what": f"{event.colour} {event.shape}",
        "colour": event.colour,
        "shape": event.shape,
        "where": event.place,
        "start": event.start / fps,
        "end": event.end / fps,
    }
