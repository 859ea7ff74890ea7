"""Speed and memory of the policies along one stream, and whether they stay constant.

A stream is pushed once; at each mark (200, 1,000, 10,000 frames …) the memory of the process is measured and the session is
saved. Then, in every round, each saved session pushes one more chunk and answers one question, both timed. Because the
marks are interleaved, other load on the machine affects all of them equally: their ratios are reliable even if single
times are not. The results are medians over the rounds.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hermes.backbones.base import Backbone
from hermes.bench.machine import rss_bytes
from hermes.errors import HermesError
from hermes.policies.limits import ContextFullError
from hermes.session.stream_session import StreamSession

QUESTION: Final = "What was the first card?"
FPS: Final = 2.0  # of the stream's clock; does not affect the speed
WARM_UP: Final = 2  # rounds before the measurement

Frames = npt.NDArray[np.uint8]
Report = Callable[[str], None]


@dataclass(frozen=True)
class Mark:
    """Measurements at one number of frames.

    Attributes:
        frames: Frames seen at the mark.
        ingest_fps: Frames per second of one more chunk, including preprocessing and memory management.
        first_token_ms: Time to first token in milliseconds.
        management_share: Time for memory management divided by time for encoding.
        kept: Video tokens in the fullest layer.
        cache_bytes: Bytes of keys and values in all layers.
        full_cache_bytes: Bytes of keys and values of all frames in a full cache.
        rss_bytes: Resident memory of the process at the mark, in the first pass.
    """

    frames: int
    ingest_fps: float
    first_token_ms: float
    management_share: float
    kept: int
    cache_bytes: int
    full_cache_bytes: int
    rss_bytes: int


@dataclass(frozen=True)
class PolicyBench:
    """Measurements of one policy.

    Attributes:
        policy: Name of the policy.
        budget: Video tokens that a layer may hold; None if the policy has no budget.
        guidance: How guidance is measured; None if the policy has no guidance.
        marks: Measurements at each number of frames that was reached.
        stopped_at: Frames seen when the policy stopped; None if it reached every mark.
        reason: Why it stopped.
    """

    policy: str
    budget: int | None
    guidance: str | None
    marks: list[Mark] = field(default_factory=list)
    stopped_at: int | None = None
    reason: str | None = None

    @property
    def flatness(self) -> dict[str, float] | None:
        """Last mark divided by first mark: 1 is constant. None with fewer than two marks."""
        if len(self.marks) < 2:
            return None
        first, last = self.marks[0], self.marks[-1]
        names = ("ingest_fps", "first_token_ms", "cache_bytes", "rss_bytes")
        return {name: getattr(last, name) / getattr(first, name) for name in names}

    def as_dict(self) -> dict[str, Any]:
        """Return the measurements for JSON."""
        return {**asdict(self), "flatness": self.flatness}


def bench_frames(count: int = 64, width: int = 448, height: int | None = None) -> Frames:
    """Render frames of coloured cards for a bench, uint8 [count, height, width, 3]; `height` None: 3/4 of the width."""
    from hermes.cards.world import render_stream  # noqa: PLC0415  (only if needed)

    height = width * 3 // 4 if height is None else height
    return render_stream(seed=1, frames=count, size=height, aspect=width / height).frames


def bench_policy(
    model: Backbone,
    policy: str,
    frames: Frames,
    marks: Sequence[int] = (200, 1000, 10_000),
    budget: int | None = 512,
    chunk: int = 16,
    rounds: int = 10,
    report: Report = lambda _: None,
) -> PolicyBench:
    """Measure one policy.

    Args:
        model: From `hermes.load`.
        policy: Name of a policy.
        frames: Frames to push repeatedly, uint8 [count, height, width, 3], at least `chunk`.
        marks: Numbers of frames at which to measure.
        budget: Video tokens that a layer may hold, if the policy has a budget.
        chunk: Frames per chunk.
        rounds: Measured rounds.
        report: Called with a short progress message.

    Raises:
        HermesError: A setting is invalid for the model.
    """
    if not marks or min(marks) < chunk or rounds < 1:
        raise HermesError(f"A bench needs at least one round, and marks of at least one chunk ({chunk} frames).")
    with tempfile.TemporaryDirectory() as folder:
        session = StreamSession(model, policy=policy, budget=budget, chunk=chunk)
        settings = session.policy
        result = PolicyBench(
            policy=policy,
            budget=settings.budget if settings.has_budget else None,
            guidance=getattr(settings, "guidance", None) if settings.has_guidance else None,
        )
        source = _chunks(frames, chunk)
        saved, stopped = _first_pass(session, source, sorted(set(marks)), Path(folder), report)
        session.close()
        sessions = {mark: StreamSession.load(path, model) for mark, (path, _) in saved.items()}
        timings = _take_turns(sessions, source, rounds, report)
        for mark, (_, at_mark) in saved.items():
            if timings[mark]:
                speeds, firsts, shares = (median(column) for column in zip(*timings[mark], strict=True))
                result.marks.append(Mark(mark, speeds, firsts, shares, **at_mark))
        for one in sessions.values():
            one.close()
    if stopped is None:
        return result
    return PolicyBench(result.policy, result.budget, result.guidance, result.marks, *stopped)


def _chunks(frames: Frames, chunk: int) -> Iterator[Frames]:
    while True:
        for start in range(0, len(frames) - chunk + 1, chunk):
            yield frames[start : start + chunk]


def _push(session: StreamSession, frames: Frames) -> None:
    seen = session.stats.frames_seen
    session.push(frames, (seen + np.arange(len(frames))) / FPS)


def _first_pass(
    session: StreamSession, source: Iterator[Frames], marks: Sequence[int], folder: Path, report: Report
) -> tuple[dict[int, tuple[Path, dict[str, int]]], tuple[int, str] | None]:
    """Push one stream past all marks; at each mark, save the session and measure its memory."""
    saved: dict[int, tuple[Path, dict[str, int]]] = {}
    for mark in marks:
        while session.stats.frames_seen < mark:
            try:
                _push(session, next(source)[: mark - session.stats.frames_seen])
            except ContextFullError as error:
                return saved, (session.stats.frames_seen, str(error))
            report(f"{session.policy.name}: {session.stats.frames_seen:,} of {marks[-1]:,} frames")
        if not saved:
            _first_token(session)  # so that there is a conversation for the guidance at every mark
        gc.collect()
        snapshot = session.snapshot()
        held = {
            "kept": int(snapshot.kept_per_layer.max()),
            "cache_bytes": snapshot.cache_bytes,
            "full_cache_bytes": snapshot.full_cache_bytes,
            "rss_bytes": rss_bytes(),
        }
        path = folder / f"{mark}.session"
        session.save(path)
        saved[mark] = (path, held)
    return saved, None


def _take_turns(
    sessions: dict[int, StreamSession], source: Iterator[Frames], rounds: int, report: Report
) -> dict[int, list[tuple[float, float, float]]]:
    """Frames per second, time to first token in milliseconds, and share of management, by session and round."""
    timings: dict[int, list[tuple[float, float, float]]] = {mark: [] for mark in sessions}
    for turn in range(WARM_UP + rounds):
        report(f"timing, round {turn + 1} of {WARM_UP + rounds}")
        frames = next(source)
        for mark, session in sessions.items():
            stats = session.stats
            encode, management = stats.encode_seconds, stats.management_seconds
            began = time.perf_counter()
            try:
                _push(session, frames)
            except ContextFullError:
                continue
            seconds = time.perf_counter() - began
            share = (stats.management_seconds - management) / (stats.encode_seconds - encode)
            first = _first_token(session)
            if turn >= WARM_UP:
                timings[mark].append((len(frames) / seconds, first * 1000, share))
    return timings


def _first_token(session: StreamSession) -> float:
    """Ask for a short answer and return its time to first token in seconds."""
    for _ in session.ask(QUESTION, max_new_tokens=8):
        pass
    seconds = session.stats.first_token_seconds
    return float("nan") if seconds is None else seconds
