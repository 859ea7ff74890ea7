"""Measures one policy at one budget on one stream: the frames are pushed once, then all questions are asked."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from hermes.analysis.evidence import attribute_evidence
from hermes.backbones.base import Backbone
from hermes.cards.truth import truth_of
from hermes.cards.world import Stream
from hermes.errors import HermesError
from hermes.eval.pocket import draw_questions, make_stream, named_candidates
from hermes.eval.scoring import PUSHED
from hermes.lab.plan import Cell, LabPlan
from hermes.lab.seen_once import SeenOnce
from hermes.session.stream_session import StreamSession
from hermes.snapshot import AnswerTrace, Snapshot
from hermes.worlds.questions import Question


@dataclass(frozen=True)
class Task:
    """A rendered stream and its questions.

    Attributes:
        index: Number of the stream.
        stream: Frames and events.
        at: Index of the last frame before the questions.
        questions: The questions, asked after that frame.
    """

    index: int
    stream: Stream
    at: int
    questions: list[Question]


def make_task(plan: LabPlan, index: int) -> Task:
    """Create the task with an index; deterministic in plan and index."""
    stream = make_stream(plan.world, index)
    at, questions = draw_questions(plan.world, stream, index)
    return Task(index, stream, at, questions)


def describe_task(task: Task) -> dict[str, Any]:
    """Return the data of a task that the statistics need, for JSON."""
    return {
        "stream": task.index,
        "at": task.at,
        "fps": task.stream.fps,
        "questions": [
            {
                "kind": q.kind,
                "form": q.form,
                "text": q.text,
                "answer": q.answer,
                "evidence": list(q.evidence),
                "age": q.age,
                "candidates": list(named_candidates(q, task.stream, task.at)),
            }
            for q in task.questions
        ],
    }


def measure(model: Backbone, task: Task, cell: Cell, seen: SeenOnce | None = None) -> dict[str, Any]:
    """Push a stream under one policy and ask all its questions.

    Args:
        model: From `hermes.load`.
        task: From `make_task`.
        cell: The policy and its budget.
        seen: Cache of the encoded frames of this stream, shared by policies; None: encode the frames.

    Returns:
        For JSON. `answers`: as text; `outcomes`: the evidence attribution of each; `resident`: video tokens per head that
        each layer holds; `read`: video tokens per head that each layer reads, for the question that reads most;
        `archive_bytes`: bytes kept outside the memory; `moved_bytes`: the most bytes fetched for one question; `times`:
        seconds, which vary between runs (`push` includes the encoding of frames, cached or not). Or `error`: why the
        policy could not process the stream.
    """
    key = {"stream": task.index, "policy": cell.policy, "budget": cell.budget}
    began = time.perf_counter()
    seen = seen or SeenOnce(model)
    session = StreamSession(model, policy=cell.make(), encode=seen.encode)
    try:
        frames, times = task.stream.frames[: task.at + 1], task.stream.times[: task.at + 1]
        for start in range(0, task.at + 1, PUSHED):
            session.push(frames[start : start + PUSHED], times[start : start + PUSHED])
        pushing = time.perf_counter() - began + seen.take_seconds_saved()
        memory = session.snapshot()
        answers, first, read, moved, outcomes = [], [], [], [], []
        for question in task.questions:
            answers.append("".join(session.ask(question.text)).strip())
            first.append(session.stats.first_token_seconds)
            snapshot = session.snapshot()
            if snapshot.answer is not None:
                read.append(snapshot.answer.tokens_read - snapshot.prompt_len)
                moved.append(snapshot.answer.moved_bytes)
                outcomes.append(_outcome(task, question, snapshot, snapshot.answer, session.layout.frames_per_step))
        return key | {
            "answers": answers,
            "outcomes": outcomes,
            "resident": memory.kept_per_layer.tolist(),
            # One question for all layers: they may share a budget, and each question may split it differently.
            "read": max(read, key=lambda tokens: int(tokens.sum())).tolist(),
            "archive_bytes": memory.archive_bytes,
            "moved_bytes": max(moved),
            "times": {"first_token": first, "push": pushing, "cell": time.perf_counter() - began},
        }
    except HermesError as error:
        return key | {"error": str(error)}
    finally:
        session.close()


def _outcome(task: Task, question: Question, snapshot: Snapshot, trace: AnswerTrace, merged: int) -> str:
    """Return the outcome of the evidence attribution of an answer (see `hermes.analysis.evidence`)."""
    truth = truth_of(question.text, task.stream.events, task.at, task.stream.fps)
    spans, every = (None, True) if truth is None else (truth.spans, truth.every)
    reach = (merged - 1) / task.stream.fps
    return attribute_evidence(trace, snapshot, spans, question.answer, every=every, reach=reach).outcome
