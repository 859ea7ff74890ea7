"""One policy at one budget on one stream: the frames are seen once, then every question is asked on a branch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from hermes.analysis.evidence import attribute_evidence
from hermes.backbones.base import Backbone
from hermes.cards.questions import Question
from hermes.cards.truth import truth_of
from hermes.cards.world import Stream
from hermes.errors import HermesError
from hermes.eval.pocket import PUSHED, draw_questions, make_stream, named_candidates
from hermes.lab.plan import Cell, LabPlan
from hermes.lab.seen_once import SeenOnce
from hermes.session.stream_session import StreamSession
from hermes.snapshot import AnswerTrace, Snapshot


@dataclass(frozen=True)
class Task:
    """A rendered stream and what is asked about it.

    Attributes:
        index: Number of the stream.
        stream: Its frames and events.
        at: Last frame that is seen before the questions.
        questions: Asked after that frame.
    """

    index: int
    stream: Stream
    at: int
    questions: list[Question]


def make_task(plan: LabPlan, index: int) -> Task:
    """The stream of this index; the same plan and index give the same pixels and questions."""
    stream = make_stream(plan.world, index)
    at, questions = draw_questions(plan.world, stream, index)
    return Task(index, stream, at, questions)


def describe_task(task: Task) -> dict[str, Any]:
    """What the statistics need of a task, for JSON."""
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
    """Let one policy see a stream and answer all its questions.

    Args:
        model: From `hermes.load`.
        task: From `make_task`.
        cell: The policy and its budget.
        seen: The frames of this stream as the model encoded them for another policy; None: it encodes them anew.

    Returns:
        For JSON. `said`: the answers; `fate`: what became of the evidence of each; `resident`: video tokens that each layer
        holds in a head; `read`: what a head of each layer reads for the question for which it reads most;
        `archive_bytes`, `moved_bytes`: what is kept outside, and the most that one question fetches from there; `times`:
        seconds, which differ from run to run; `push` counts the encoding of frames, whether it was done anew or not.
        Or `error`: why the policy could not see the whole stream.
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
        said, first, read, moved, outcomes = [], [], [], [], []
        for question in task.questions:
            said.append("".join(session.ask(question.text)).strip())
            first.append(session.stats.first_token_seconds)
            snapshot = session.snapshot()
            if snapshot.answer is not None:
                read.append(snapshot.answer.tokens_read - snapshot.prompt_len)
                moved.append(snapshot.answer.moved_bytes)
                outcomes.append(_outcome(task, question, snapshot, snapshot.answer, session.layout.frames_per_step))
        return key | {
            "said": said,
            "fate": outcomes,
            "resident": memory.kept_per_layer.tolist(),
            # Of the question that reads most: layers may share a budget, and another question shares it otherwise.
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
    """What became of the evidence of an answer, in one word (see `hermes.analysis.evidence`)."""
    truth = truth_of(question.text, task.stream.events, task.at, task.stream.fps)
    spans, every = (None, True) if truth is None else (truth.spans, truth.every)
    reach = (merged - 1) / task.stream.fps
    return attribute_evidence(trace, snapshot, spans, question.answer, every=every, reach=reach).outcome
