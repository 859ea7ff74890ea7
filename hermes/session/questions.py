"""Questions to a session: checks, the prefilled text, and answers that are decoded from a branch of the memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from hermes.errors import HermesError
from hermes.memory.guidance_prompts import options_of
from hermes.policies.limits import reserve
from hermes.policies.step import Recall
from hermes.session.answer import Answer
from hermes.session.ingest import opened_cache, step_of, with_pending

if TYPE_CHECKING:
    from hermes.session.stream_session import StreamSession

LONGEST_QUESTION: Final = 8000
"""Characters of a question. A model with little context accepts fewer."""


class QuestionError(HermesError):
    """An invalid question."""


def question_text(session: StreamSession, question: str, prefix: str = "") -> str:
    """Return the text that is prefilled for a question; see `StreamSession.question_text`."""
    released = session.model.released_text() if session.state.released_chat else None
    tail = session.model.tail_text(question) if released is None else released[1].replace("{question}", question)
    return tail + (prefix if options_of(question) else "")


def check_question(session: StreamSession, question: str, *, frames_follow: bool = False) -> str:
    """Check a question without the model; see `StreamSession.check_question`."""
    question = question.strip()
    if not question:
        raise QuestionError("The question is empty.")
    if len(question) > LONGEST_QUESTION:
        raise QuestionError(
            f"The question is too long: it has {len(question):,} characters; at most {LONGEST_QUESTION:,} are allowed."
        )
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise QuestionError("The question contains characters that are not valid Unicode. Type it again.") from error
    if not frames_follow and not len(session.state.history.times):
        raise QuestionError("Nothing has been seen yet: let the stream run for a moment, then ask.")
    return question


def ask(
    session: StreamSession,
    question: str,
    max_new_tokens: int | None = None,
    asked: float | None = None,
    *,
    answer_prefix: str | None = None,
    repetition_penalty: float | None = None,
    record: bool = True,
) -> Iterator[str]:
    """Ask about the frames seen so far; see `StreamSession.ask`."""
    question = check_question(session, question)
    longest = max_new_tokens if max_new_tokens is not None else session.model.card.max_new_tokens
    if longest < 1:
        raise QuestionError(f"An answer must have at least one token, not {longest}.")
    own = session.policy.answer_settings()
    penalty = own.repetition_penalty if repetition_penalty is None else repetition_penalty
    if not 1 <= penalty < float("inf"):
        raise QuestionError(f"The repetition penalty must be 1 or more, not {penalty:g}.")
    asked = time.perf_counter() if asked is None else asked
    prefix = own.prefix if answer_prefix is None else answer_prefix
    ids = session.model.tokenize(question_text(session, question, prefix))
    room = reserve(session.model) // 2 - min(longest, reserve(session.model) // 4)
    if len(ids) > room:
        raise QuestionError(f"The question is too long: it has {len(ids)} tokens, and there is room for {room}.")
    longest = min(longest, reserve(session.model) // 4)
    cache, state = opened_cache(session), session.state.policy_state
    tensors = dict(state.tensors)
    memory = with_pending(session, cache)
    try:
        step = replace(step_of(session, memory, session.layout), question=session.model.tokenize(question))
        recall = session.policy.before_answer(step, ids) or Recall(memory)
        answer = Answer(
            session.model, recall.memory, ids, longest, asked, session.steps_seen, recall.moved_bytes, penalty
        )
    except BaseException:
        cache.release(memory)
        raise
    finally:
        if memory is not cache:
            state.tensors = tensors  # as before the pending frames
    release = partial(cache.release, memory)
    if not record:
        return _unrecorded(answer, release)
    return _answering(session, question, answer, session.seconds, release)


def _answering(
    session: StreamSession, question: str, answer: Answer, asked_seconds: float, release: Callable[[], None]
) -> Iterator[str]:
    try:
        for piece in answer:
            session.stats.first_token_seconds = answer.first_token_seconds
            yield piece
    finally:
        answer.close()
        release()
        if math.isfinite(answer.first_token_seconds):  # otherwise it failed, or was stopped before it began
            session.stats.first_token_seconds = answer.first_token_seconds
            session.stats.questions += 1
            trace = answer.trace(question, asked_seconds)
            session.state.history.conversation = (question, trace.answer)
            session.state.history.answer = trace
            session.state.history.sequence += 1


def _unrecorded(answer: Answer, release: Callable[[], None]) -> Iterator[str]:
    try:
        yield from answer
    finally:
        answer.close()
        release()
