"""What stopped a stream, as a sentence for people: running out of memory is told apart from a fault."""

from __future__ import annotations

import logging

import torch

from hermes.errors import HermesError

logger = logging.getLogger(__name__)

_WORDS = ("can't allocate memory", "cannot allocate memory", "not enough memory", "out of memory", "bad_alloc")


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that memory ran out; torch's own allocator for CPUs says so with a RuntimeError."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)


def sentence_of(error: Exception) -> str:
    """Why a stream stopped; a fault of the program is logged."""
    if isinstance(error, HermesError):
        return str(error)
    if is_shortage(error):
        logger.warning("out of memory: %s", error)
        return (
            "Memory ran out while the model read these frames; the stream stopped here, and what it had seen can still be "
            "asked. Other streams go on. Choose a smaller budget, fewer frames a second, or a smaller model, then restart."
        )
    logger.error("a step of the stream failed", exc_info=error)
    return "The model failed on these frames; the stream stopped here. Restart to try again."


def give_back() -> None:
    """Hand memory that nothing uses any more back to the device, after what held it was let go."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
