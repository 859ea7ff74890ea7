"""Sizes and durations as text."""

import pytest

from hermes.formatting import format_bytes, format_bytes_short, format_clock, format_duration


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (5_147_725, "5.1 MB"), (2.5e9, "2.5 GB"), (3e15, "3000.0 TB")],
)
def test_bytes(count, text):
    assert format_bytes(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (119, "119 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(512, "512 B"), (3_414_000, "3.41 MB"), (126e6, "126 MB"), (2e15, "2,000 TB")]
)
def test_short_bytes(count, text):
    assert format_bytes_short(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (67.2, "1:07"), (3723, "1:02:03")])
def test_stream_times(seconds, text):
    assert format_clock(seconds) == text
