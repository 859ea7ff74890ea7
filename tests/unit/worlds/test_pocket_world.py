"""The card world: deterministic, and rendered according to its events."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes.cards.backgrounds import HELD_OUT, make_background
from hermes.cards.render import draw, make_look, make_setting
from hermes.cards.timeline import COLOURS, PLACES, SHAPES, TEMPOS, make_events, shown_at
from hermes.cards.world import render_stream


def test_the_same_seed_gives_the_same_stream() -> None:
    first, second = (render_stream(11, 12, size=96) for _ in range(2))
    assert np.array_equal(first.frames, second.frames)
    assert first.events == second.events


def test_another_seed_gives_another_stream() -> None:
    assert render_stream(11, 12).events != render_stream(12, 12).events


@pytest.mark.parametrize("aspect", [1.0, 4 / 3, 16 / 9])
def test_frames_have_the_size_that_was_asked_for(aspect: float) -> None:
    stream = render_stream(3, 4, fps=4.0, size=90, aspect=aspect)
    assert stream.frames.shape == (4, 90, round(90 * aspect), 3)
    assert stream.frames.dtype == np.uint8
    assert stream.times.tolist() == [0.0, 0.25, 0.5, 0.75]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), frames=st.integers(1, 200), tempo=st.sampled_from(sorted(TEMPOS)))
def test_events_are_ordered_inside_the_stream_and_new(seed: int, frames: int, tempo: str) -> None:
    events = make_events(np.random.default_rng(seed), frames, TEMPOS[tempo])
    assert all(0 <= e.start < e.end <= frames for e in events)
    assert all(a.end <= b.start for a, b in itertools.pairwise(events))
    pairs = [(e.colour, e.shape) for e in events[:40]]
    assert len(set(pairs)) == len(pairs)


def test_shown_at_agrees_with_the_events() -> None:
    events = make_events(np.random.default_rng(5), 60)
    for frame in range(60):
        event = shown_at(events, frame)
        inside = [e for e in events if e.start <= frame < e.end]
        assert inside == ([event] if event else [])


@pytest.mark.parametrize("place", PLACES)
def test_a_card_is_drawn_in_its_place(place: str) -> None:
    rng = np.random.default_rng(PLACES.index(place))
    row, column = divmod(PLACES.index(place), 3)
    for shape in SHAPES:
        setting = make_setting(rng, make_background(rng), 1.0)
        look = replace(make_look(rng, "red", shape, place), hand=None, cover=None)
        _, mask = draw(rng, setting, look)
        y, x = np.nonzero(mask)
        assert len(y) > 100, "something of the card is in view"
        assert abs((y.mean() + 0.5) / 128 - (row + 0.5) / 3) < 1 / 6 + 0.02  # half a ninth, and the camera shakes
        assert abs((x.mean() + 0.5) / 128 - (column + 0.5) / 3) < 1 / 6 + 0.02  # half a ninth, and the camera shakes


def test_a_frame_changes_only_where_the_card_and_its_hand_are() -> None:
    rng = np.random.default_rng(0)
    background = make_background(rng)
    quiet = make_setting(rng, background, 1.0)
    look = make_look(rng, "blue", "circle", "left")
    with_card, mask = draw(np.random.default_rng(1), quiet, look)
    without, empty = draw(np.random.default_rng(1), quiet, None)
    assert not empty.any()
    inside = np.abs(with_card.astype(int) - without.astype(int)).sum(-1)[mask > 0].mean()
    assert inside > 60


@pytest.mark.parametrize("colour", COLOURS)
def test_colours_look_like_their_names(colour: str) -> None:
    """Mean colour of many cards, under all lights: the name's own hue order holds."""
    rng = np.random.default_rng(7)
    pixels = []
    for _ in range(40):
        setting = make_setting(rng, make_background(rng), 1.0)
        frame, mask = draw(rng, setting, make_look(rng, colour, "circle", "centre"))
        pixels.append(frame[mask > 0].mean(0))
    red, green, blue = np.mean(pixels, 0)
    expected = {
        "red": red > 1.8 * max(green, blue),
        "orange": red > 1.3 * green > 1.3 * 1.8 * blue / 1.3,
        "yellow": min(red, green) > 1.8 * blue and abs(red - green) < 60,
        "green": green > 1.3 * max(red, blue),
        "blue": blue > 1.5 * max(red, green),
        "purple": min(red, blue) > 1.3 * green,
        "white": min(red, green, blue) > 170,
        "black": max(red, green, blue) < 60,
    }
    assert expected[colour], (red, green, blue)


def test_held_out_backgrounds_differ_from_trained_ones() -> None:
    trained = make_background(np.random.default_rng(1))
    held_out = make_background(np.random.default_rng(1), HELD_OUT)
    assert not np.array_equal(trained, held_out)
