"""Errors of a stream as sentences for people: running out of memory is distinguished from a fault of the program."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable

from hermes.errors import HermesError

logger = logging.getLogger(__name__)

_WORDS = ("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory", "bad_alloc")

FRAMES_FAILED = "The model failed on these frames; the stream stopped here. Restart to try again."
FRAMES_SHORTAGE = (
    "Memory ran out while the model read these frames; the stream stopped here, and what it had seen can still be "
    "asked. Other streams go on. Choose a smaller budget, fewer frames a second, or a smaller model, then restart."
)
ANSWER_FAILED = "The model failed on this question. The stream goes on; ask again."
ANSWER_SHORTAGE = (
    "Memory ran out while the model answered this question. The stream goes on; ask again later, or choose a smaller "
    "budget."
)


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that memory ran out; torch's own allocator for CPUs says so with a RuntimeError."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)


def sentence_of(error: BaseException, *, answering: bool = False) -> str:
    """Why a stream or an answer failed. Faults of the program are logged. Never raises, also without free memory.

    Args:
        error: What was raised.
        answering: Whether it was raised while a question was answered, not while frames were read.
    """
    failed, shortage = (ANSWER_FAILED, ANSWER_SHORTAGE) if answering else (FRAMES_FAILED, FRAMES_SHORTAGE)
    sentence = failed
    try:
        if isinstance(error, HermesError):
            return str(error)
        if is_shortage(error):
            sentence = shortage
            logger.warning("out of memory: %s", error)
        else:
            logger.error("a step of a stream failed", exc_info=error)
    except BaseException:  # noqa: BLE001 - memory may run out here as well
        return sentence
    return sentence


def attempt(*actions: Callable[[], object]) -> bool:
    """Run every action, whatever the others raise. For error handlers, which must not raise themselves.

    Returns:
        Whether all of them succeeded.
    """
    done = True
    for action in actions:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - an error handler must not raise
            done = False
            report("handling an error failed as well:", error)
    return done


def report(what: str, error: BaseException) -> None:
    """Log an error in one line, and drop its traceback, which may hold large tensors. Never raises."""
    with contextlib.suppress(BaseException):  # there may be no memory left to report it
        error.__traceback__ = None
        logger.error("%s %r", what, error)


def give_back() -> None:
    """Return unused memory to the device, after its owners were dropped."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
