"""Where a model runs and in which type, and whether it fits there: decided before a byte of its weights is read."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import psutil
import torch

from hermes.errors import HermesError

GIB = 2**30
HEADROOM = 0.15
"""Share on top of the weights for activations, buffers and a first stream."""


class MemoryShortError(HermesError):
    """A model that does not fit; the message says what is needed and what is there."""


@dataclass(frozen=True)
class Placement:
    """Where and how a model is loaded.

    Attributes:
        device: Where it runs.
        dtype: Type of its weights and its cache.
        quantization: "4bit", or None.
    """

    device: torch.device
    dtype: torch.dtype
    quantization: str | None = None

    @property
    def bytes_per_weight(self) -> float:
        """Bytes that a weight takes once loaded (4-bit: with its scales)."""
        return 0.56 if self.quantization else torch.finfo(self.dtype).bits / 8


def choose(
    device: str | torch.device | None, dtype: torch.dtype | None, quantization: str | None, stored: torch.dtype
) -> Placement:
    """Placement of a model: what was asked for, else what suits this machine.

    Args:
        device: None: CUDA, else MPS, else CPU.
        dtype: None: bfloat16 on CUDA, float16 on MPS; on a CPU float32.
        quantization: "4bit" by bitsandbytes, or None.
        stored: Type in which the weights are stored.

    Raises:
        HermesError: A device that is not there, or a quantization that is unknown or not installed.
    """
    try:
        place = torch.device(device) if device is not None else _best_device()
    except RuntimeError as error:
        raise HermesError(f"“{device}” is no device; examples are cpu, cuda, cuda:1 and mps.") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise HermesError("There is no CUDA device here; leave the device out, or choose cpu.")
    if place.type == "mps" and not torch.backends.mps.is_available():
        raise HermesError("There is no MPS device here; leave the device out, or choose cpu.")
    if quantization not in (None, "4bit"):
        raise HermesError(f"Weights can be quantized to 4bit or not at all, not to “{quantization}”.")
    if quantization and place.type != "cuda":
        raise HermesError("4-bit weights need a CUDA device.")
    if quantization and importlib.util.find_spec("bitsandbytes") is None:
        raise HermesError("4-bit weights need the package bitsandbytes: pip install bitsandbytes.")
    if dtype is None:
        half = torch.float16 if stored == torch.float16 else torch.bfloat16
        dtype = {"cuda": half, "mps": torch.float16}.get(place.type, torch.float32)
    return Placement(place, dtype, quantization)


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def check_memory(name: str, weights: int, placement: Placement, free: int) -> None:
    """See that `weights` numbers fit into `free` bytes.

    Raises:
        MemoryShortError: They do not.
    """
    needed = weights * placement.bytes_per_weight * (1 + HEADROOM)
    if needed > free:
        kind = "4-bit" if placement.quantization else str(placement.dtype).removeprefix("torch.")
        raise MemoryShortError(
            f"The model “{name}” needs about {needed / GIB:.1f} GiB in {kind}, and {free / GIB:.1f} GiB are free on "
            f"{placement.device}. Choose a smaller model, or a machine with more memory."
        )
