"""Error messages of streams, which distinguish running out of memory from faults of the program."""

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
    "Memory ran out while the model read these frames. The stream stopped here; you can still ask about what it has seen. "
    "Choose a smaller budget, fewer frames per second, or a smaller model, then restart."
)
ANSWER_FAILED = "The model failed on this question. The stream continues; ask again."
ANSWER_SHORTAGE = (
    "Memory ran out while the model answered this question. The stream continues; ask again later, or choose a smaller "
    "budget."
)


def is_shortage(error: BaseException) -> bool:
    """Whether an error means that memory ran out; torch's CPU allocator raises a RuntimeError for it."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)


def sentence_of(error: BaseException, *, answering: bool = False) -> str:
    """Return the message for a failed stream or answer, and log faults of the program. Never raises, even without memory.

    Args:
        error: The exception.
        answering: Whether it was raised by an answer rather than by the encoding of frames.
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
    """Run every action even if others raise. For error handlers, which must not raise themselves.

    Returns:
        Whether all actions succeeded.
    """
    done = True
    for action in actions:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - an error handler must not raise
            done = False
            report("handling an error failed as well:", error)
    return done


def report(message: str, error: BaseException) -> None:
    """Log an error in one line, and drop its traceback, which may hold large tensors. Never raises."""
    with contextlib.suppress(BaseException):  # logging may run out of memory as well
        error.__traceback__ = None
        logger.error("%s %r", message, error)


def give_back() -> None:
    """Return unused cached memory to the device."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
