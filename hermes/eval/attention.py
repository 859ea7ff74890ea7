"""Attention of the pocket model's answers to frames, by layer and age of the frame, as numbers and as a figure."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Final
from xml.sax.saxutils import escape

import numpy as np

from hermes.backbones.base import Backbone
from hermes.eval.pocket import draw_questions, make_stream
from hermes.eval.scoring import PUSHED, Setup
from hermes.memory.tiers import LONG_TERM, SENSORY
from hermes.session.stream_session import StreamSession

AGES: Final = (0, 1, 4, 8, 16, 32, 64, 128, 256, 512)  # boundaries of the age classes, in frames before the newest
CELL: Final = (64, 30)  # width and height in pixels


def measure_attention(model: Backbone, setup: Setup, progress: Callable[[int], None] | None = None) -> dict[str, Any]:
    """Measure the mean attention of answers to frames, by layer and age, with the whole stream in the cache.

    Args:
        model: Model from `hermes.load`.
        setup: Setup of the streams. Its policy is replaced with "full", so that every frame can be attended to.
        progress: Called with the number of completed streams.

    Returns:
        `ages`: first and last age of each class; `share`: [layers][classes], distribution of a layer's attention to
        frames (sums to 1); `on_frames`: [layers], fraction of a layer's attention on frames; `answers`: number
        of answers.
    """
    borders = [age for age in AGES if age < setup.frames] + [setup.frames]
    total = np.zeros((model.num_layers, len(borders) - 1))
    on_frames, answers = np.zeros(model.num_layers), 0
    for index in range(setup.streams):
        stream = make_stream(setup, index)
        at, questions = draw_questions(setup, stream, index)
        session = StreamSession(model, policy="full")
        for start in range(0, at + 1, PUSHED):
            stop = min(start + PUSHED, at + 1)
            session.push(stream.frames[start:stop], stream.times[start:stop])
        for question in questions:
            "".join(session.ask(question.text))
            trace = session.snapshot().answer
            if trace is None:
                continue
            spent = trace.attention.sum(1)
            on_frames += spent
            by_age = trace.attention[:, ::-1] / np.maximum(spent, 1e-9)[:, None]
            for column, (low, high) in enumerate(itertools.pairwise(borders)):
                total[:, column] += by_age[:, low:high].sum(1)
            answers += 1
        session.close()
        if progress is not None:
            progress(index + 1)
    return {
        "ages": [[low, high - 1] for low, high in itertools.pairwise(borders)],
        "share": (total / answers).round(4).tolist(),
        "on_frames": (on_frames / answers).round(4).tolist(),
        "answers": answers,
        "tiers": list(model.tiers),
    }


def draw_attention(result: dict[str, Any], title: str) -> str:
    """Draw the measurement as SVG: one row per layer, one column per age class, darker for more attention."""
    ages, share, tiers = result["ages"], result["share"], result["tiers"]
    left, top = 150, 64
    width, height = left + CELL[0] * len(ages) + 110, top + CELL[1] * len(share) + 54
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="600" fill="#111">{escape(title)}</text>',
        f'<text x="{left}" y="{top - 26}" fill="#444">age of the frame, in frames before the newest</text>',
        f'<text x="{width - 100}" y="{top - 8}" fill="#444">on frames</text>',
    ]
    for column, (low, high) in enumerate(ages):
        x = left + CELL[0] * column + CELL[0] / 2
        label = str(low) if low == high else f"{low}–{high}"
        parts.append(f'<text x="{x}" y="{top - 8}" text-anchor="middle" fill="#444">{label}</text>')
    for layer, row in enumerate(share):
        y = top + CELL[1] * layer
        tier = "sensory" if tiers[layer] == SENSORY else "long-term" if tiers[layer] == LONG_TERM else "working"
        parts.append(f'<text x="12" y="{y + 20}" fill="#111">layer {layer} · {tier}</text>')
        for column, value in enumerate(row):
            x = left + CELL[0] * column
            blue = round(255 - 200 * min(value, 1.0) ** 0.6)
            ink = "#fff" if value > 0.45 else "#111"
            parts.append(
                f'<rect x="{x}" y="{y}" width="{CELL[0] - 2}" height="{CELL[1] - 2}" fill="rgb({blue - 20},{blue},255)"/>'
                f'<text x="{x + CELL[0] / 2 - 1}" y="{y + 19}" text-anchor="middle" fill="{ink}">{value:.2f}</text>'
            )
        parts.append(f'<text x="{width - 100}" y="{y + 20}" fill="#111">{result["on_frames"][layer]:.2f}</text>')
    note = f"Mean over {result['answers']} answers, all heads and answer tokens. Each row adds up to 1; “on frames” is the "
    parts.append(
        f'<text x="12" y="{height - 28}" fill="#444">{escape(note)}</text>'
        f'<text x="12" y="{height - 12}" fill="#444">share of all attention that falls on frames.</text></svg>'
    )
    return "\n".join(parts) + "\n"
