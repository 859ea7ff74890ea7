"""Accuracy of the pocket model by kind of question and age of the evidence, compared with guessing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hermes.backbones.base import Backbone
from hermes.cards.backgrounds import CALM, HELD_OUT, PHOTOGRAPHIC
from hermes.cards.questions import KINDS, ask
from hermes.cards.timeline import COLOURS, PLACES, SHAPES
from hermes.cards.world import Stream, render_stream
from hermes.eval.scoring import SEED_BASE, Setup, StreamTask, measure_streams, sample_questions
from hermes.text import normal_words
from hermes.worlds.questions import Question

BACKGROUNDS: Final = {"calm": CALM, "photographic": PHOTOGRAPHIC, "held-out": HELD_OUT}


def make_stream(setup: Setup, index: int, photos: Sequence[NDArray[np.uint8]] = ()) -> Stream:
    """Return the stream with the given index."""
    seed = SEED_BASE + 10_000 * setup.seed + index
    background = photos[index % len(photos)] if photos else None
    families = BACKGROUNDS.get(setup.background, CALM)
    return render_stream(seed, setup.frames, tempo=setup.tempo, background=background, families=families)


def draw_questions(setup: Setup, stream: Stream, index: int) -> tuple[int, list[Question]]:
    """Return the frame after which to ask, and up to `EACH` different questions of each kind."""
    return sample_questions(np.random.default_rng([SEED_BASE, setup.seed, index]), setup.frames, stream, KINDS, ask)


def named_candidates(question: Question, stream: Stream, at: int) -> tuple[str, ...]:
    """Return one answer for each card shown so far, in the form of the true answer."""
    seen = [event for event in stream.events if event.start <= at]
    words = normal_words(question.answer)
    if question.kind in ("exists", "count"):
        return ()
    if words[0] in COLOURS and len(words) == 1:
        return tuple(e.colour for e in seen)
    if words[0] in SHAPES:
        return tuple(e.shape for e in seen)
    if " ".join(words).replace(" ", "-") in PLACES:
        return tuple(e.place.replace("-", " ") for e in seen)
    if len(words) > 2:
        return tuple(f"{e.colour} {e.shape} {e.place.replace('-', ' ')}" for e in seen)
    return tuple(f"{e.colour} {e.shape}" for e in seen)


def evaluate(
    model: Backbone,
    setup: Setup,
    photos: Sequence[NDArray[np.uint8]] = (),
    progress: Callable[[int], None] | None = None,
    only: Iterable[int] | None = None,
) -> dict[str, Any]:
    """Measure a model.

    Args:
        model: Model from `hermes.load`.
        setup: Parameters of the measurement.
        photos: Backgrounds to use instead of procedural ones, uint8 RGB, 192 x 192 pixels.
        progress: Called with the number of completed streams.
        only: Indices of the streams to use; None for all.

    Returns:
        JSON-compatible results that the command prints: `setup`, `guidance_prompts`, `kinds`, `age_in_frames`.
    """

    def make(index: int) -> StreamTask:
        stream = make_stream(setup, index, photos)
        at, questions = draw_questions(setup, stream, index)
        return StreamTask(stream, at, questions, [named_candidates(question, stream, at) for question in questions])

    return measure_streams(model, setup, make, KINDS, progress, only)
