"""Stream a video through a model, and print the answers to questions about it.

A question without a time is asked at the end of the video. Several questions in one run:

  python -m hermes ask first-card --question "What is shown now?" --at 5 --question "What was the first card?"
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hermes.assets import bundled_clip
from hermes.cli.model_options import add_frame_size, add_model, add_policy_settings, load_model
from hermes.cli.terminal import print_json, text_argument
from hermes.errors import HermesError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hermes.session.stream_session import StreamSession
    from hermes.video import VideoSampler

DEFAULT_FPS: Final = 2.0
Ask = Callable[[str], "Iterator[str]"]
"""Asks a question and returns the pieces of the answer."""


@dataclass
class TimedQuestion:
    """A question, its stream time in seconds (None: at the end), its answer and metrics."""

    question: str
    at: float | None
    answer: str = ""
    record: dict[str, Any] | None = None


class _Pair(argparse.Action):
    """Stores `--question` and `--at` in the order of the command line."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        del parser, option
        setattr(namespace, "asked", [*(getattr(namespace, "asked", None) or []), (self.dest, values)])  # noqa: B010


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.set_defaults(asked=[])
    parser.add_argument("video", metavar="VIDEO", help="a video file, or the name of a bundled clip")
    parser.add_argument(
        "--question", action=_Pair, type=text_argument, metavar="Q", help="what to ask; may be given several times"
    )
    parser.add_argument(
        "--at", action=_Pair, type=float, metavar="SECONDS", help="stream time at which to ask the question before it"
    )
    parser.add_argument(
        "--fps", type=float, default=DEFAULT_FPS, help="frames per second to sample (default: %(default)g)"
    )
    add_frame_size(parser)
    add_model(parser)
    parser.add_argument(
        "--policy", default="hermes", help="policy of the memory, or a preset such as released (default: hermes)"
    )
    parser.add_argument("--budget", type=int, help="video tokens a layer may hold (default: the policy's)")
    add_policy_settings(parser)
    parser.add_argument(
        "--answer-prefix", metavar="TEXT",
        help="text with which answers to questions with options “(A) … (B) …” start (default: the policy's)",
    )  # fmt: skip
    parser.add_argument(
        "--repetition-penalty", type=float, metavar="X",
        help="makes tokens that the answer contains less likely, 1 or more (default: the policy's)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the answers alone")


def run(args: argparse.Namespace) -> int:
    """Stream the video and print the answers."""
    questions = pair_questions(args.asked)
    changed = changed_settings(args.policy, args.set)
    from hermes.video import sample  # noqa: PLC0415  (an invalid file is reported before torch is loaded)

    bundled = bundled_clip(args.video)
    video = args.video if bundled is None or Path(args.video).is_file() else bundled
    with sample(video, args.fps, max_side=args.max_side) as frames:
        session = _session(args, changed)
        ask = partial(session.ask, answer_prefix=args.answer_prefix, repetition_penalty=args.repetition_penalty)
        ingest_seconds = _stream(session, ask, frames, questions, show=not args.json)
        for warning in _warnings(frames, session, questions):
            print(f"hermes: note: {warning}", file=sys.stderr)
        if args.json:
            print_json(_report(session, frames, questions, ingest_seconds))
        session.close()
    return 0


def pair_questions(typed: Sequence[tuple[str, Any]]) -> list[TimedQuestion]:
    """Pair questions with times: in order if there are equally many, else each time belongs to the question before it.

    Raises:
        HermesError: There is no question, a question is empty, or a time is invalid or has no question.
    """
    texts = [value for kind, value in typed if kind == "question"]
    times = [value for kind, value in typed if kind == "at"]
    if not texts:
        raise HermesError("There is nothing to ask: give at least one --question.")
    if any(not text.strip() for text in texts):
        raise HermesError("The question is empty.")
    if any(not 0 <= at < float("inf") for at in times):
        raise HermesError("The time of a question (--at) must be 0 seconds or later.")
    if len(times) == len(texts):
        return [TimedQuestion(text, at) for text, at in zip(texts, times, strict=True)]
    result: list[TimedQuestion] = []
    for kind, value in typed:
        if kind == "question":
            result.append(TimedQuestion(value, None))
        elif result and result[-1].at is None:
            result[-1].at = value
        else:
            raise HermesError("Each --at belongs to the --question before it, and one of them has no question.")
    return result


def changed_settings(policy: str, assignments: Sequence[str]) -> dict[str, Any]:
    """Parse the settings of `--set`; torch is loaded only if there are any.

    Returns:
        Values by name.

    Raises:
        HermesError: There is no such policy or setting, or a value is invalid.
    """
    if not assignments:
        return {}
    from hermes.policies import policy_of  # noqa: PLC0415
    from hermes.policies.presets import preset_of  # noqa: PLC0415
    from hermes.policies.settings import parse_assignments  # noqa: PLC0415

    return dict(parse_assignments(policy_of(preset_of(policy).policy).settings, assignments, policy))


def _session(args: argparse.Namespace, changed: dict[str, Any]) -> StreamSession:
    import hermes  # noqa: PLC0415  (heavy)

    model = load_model(args)
    return hermes.StreamSession(model, policy=args.policy, budget=args.budget, guidance=args.guidance, changed=changed)


def _stream(
    session: StreamSession, ask: Ask, frames: VideoSampler, questions: list[TimedQuestion], *, show: bool
) -> float:
    """Push all frames and ask each question at its time; returns the seconds spent on pushing."""
    from hermes.serving.clip_run import batches  # noqa: PLC0415  (heavy)

    waiting = sorted(questions, key=lambda asked: float("inf") if asked.at is None else asked.at)
    pushing = 0.0
    for batch in batches(frames, [asked.at for asked in waiting if asked.at is not None], session.chunk):
        while waiting and waiting[0].at is not None and batch[0][1] > waiting[0].at and session.stats.frames_seen:
            _ask(session, ask, waiting.pop(0), show=show, several=len(questions) > 1)
        if not waiting:
            break
        began = time.perf_counter()
        session.push(np.stack([frame for frame, _ in batch]), [at for _, at in batch])
        pushing += time.perf_counter() - began
    for asked in waiting:
        _ask(session, ask, asked, show=show, several=len(questions) > 1)
    return pushing


def _ask(session: StreamSession, ask: Ask, asked: TimedQuestion, *, show: bool, several: bool) -> None:
    if show and several:
        print(f"{asked.question}\n  ", end="")
    pieces = []
    for piece in ask(asked.question):
        pieces.append(piece)
        if show:
            print(piece, end="", flush=True)
    if show:
        print()
    asked.answer = "".join(pieces).strip()
    first = session.stats.first_token_seconds
    snapshot = session.snapshot()
    asked.record = {
        "question": asked.question,
        "at": asked.at,
        "asked_seconds": float(snapshot.seconds),
        "answer": asked.answer,
        "first_token_ms": None if first is None else round(first * 1000, 3),
        "frames_seen": session.stats.frames_seen,
        "tokens_seen": snapshot.tokens_seen,
        "kept_per_layer": snapshot.kept_per_layer.tolist(),
        "cache_bytes": snapshot.cache_bytes,
    }


def _warnings(frames: VideoSampler, session: StreamSession, questions: list[TimedQuestion]) -> Iterator[str]:
    if frames.skipped:
        yield f"{frames.skipped} frames of the video could not be decoded and were skipped."
    if frames.ended_early:
        yield "the video ends earlier than its header states; it was probably cut short."
    yield from frames.notes
    yield from session.notes
    end = session.snapshot().seconds
    rate = 1.5 / (frames.info.fps or DEFAULT_FPS)
    for asked in questions:
        if (
            asked.at is not None
            and asked.record
            and asked.record["asked_seconds"] == end < asked.at - rate - frames.step
        ):
            yield f"the video ends at {end:.1f} s, so the question for {asked.at:g} s was asked there."


def _report(
    session: StreamSession, frames: VideoSampler, questions: list[TimedQuestion], ingest_seconds: float
) -> dict[str, Any]:
    """Return the output of `--json`; `answer` is the answer to the last question on the command line."""
    from hermes.bench.machine import peak_rss_bytes  # noqa: PLC0415

    snapshot, stats = session.snapshot(), session.stats
    last = questions[-1].record or {}
    report: dict[str, Any] = {
        "answer": questions[-1].answer,
        "model": snapshot.model,
        "policy": snapshot.policy,
        "budget": snapshot.budget if snapshot.budget >= 0 else None,
        "guidance": snapshot.guidance,
        "changed": session.policy.changed(),
        "frames_seen": stats.frames_seen,
        "tokens_seen": stats.tokens_seen,
        "kept_per_layer": snapshot.kept_per_layer.tolist(),
        "cache_bytes": snapshot.cache_bytes,
        "ingest_fps": round(stats.frames_seen / ingest_seconds, 2) if ingest_seconds else None,
        "first_token_ms": last.get("first_token_ms"),
        "peak_rss_bytes": peak_rss_bytes(),
        "seconds": float(snapshot.seconds),
        "frames_skipped": frames.skipped,
        "ended_early": frames.ended_early,
        "notes": [*frames.notes, *session.notes],
    }
    if len(questions) > 1:
        report["answers"] = [asked.answer for asked in questions]
        report["asked"] = [asked.record for asked in questions]
    return report
