"""Where a model runs and in which type, and whether it fits there: decided before a byte of its weights is read."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace

import psutil
import torch

from hermes.backbones.half import half_is_faster
from hermes.errors import HermesError

GIB = 2**30
HEADROOM = 0.15
"""Share on top of the weights for activations, buffers and a first stream."""


HALF_FROM = 10**8
"""Numbers from which on a model may run in bfloat16 on a CPU: for smaller ones nothing is won."""
ROOM_FOR_STREAMS = 0.1
"""Share of each GPU that is left to the memories of streams where a model is spread over several."""

DeviceMap = Mapping[str, str | int | torch.device]
"""Modules of a model and where each lies, as accelerate takes it: a device, "cpu" or "disk"."""


class MemoryShortError(HermesError):
    """A model that does not fit; the message says what is needed and what is there."""


@dataclass(frozen=True)
class Placement:
    """Where and how a model is loaded.

    Attributes:
        device: Where it runs.
        dtype: Type of its weights and its cache.
        quantization: "4bit", or None.
        spread: None: all on `device`. "auto": over all GPUs, as accelerate sees fit. Else where each module lies.
    """

    device: torch.device
    dtype: torch.dtype
    quantization: str | None = None
    spread: str | DeviceMap | None = None

    @property
    def bytes_per_weight(self) -> float:
        """Bytes that a weight takes once loaded (4-bit: with its scales)."""
        return 0.56 if self.quantization else torch.finfo(self.dtype).bits / 8

    def needed(self, weights: int) -> int:
        """Bytes that a model of `weights` numbers needs, with room for activations, buffers and a first stream."""
        return int(weights * self.bytes_per_weight * (1 + HEADROOM))

    @property
    def devices(self) -> str:
        """Where it runs, for people."""
        if self.spread == "auto":
            return f"{torch.cuda.device_count()} GPUs"
        return str(self.device)

    def free(self) -> int:
        """Memory that is free there now, in bytes."""
        if self.spread == "auto":
            return sum(free_bytes(torch.device("cuda", i)) for i in range(torch.cuda.device_count()))
        return free_bytes(self.device)


def choose(
    device: str | torch.device | DeviceMap | None,
    dtype: torch.dtype | None,
    quantization: str | None,
    stored: torch.dtype,
    weights: int = 0,
) -> Placement:
    """Placement of a model: what was asked for, else what suits this machine.

    Args:
        device: None: CUDA, else MPS, else CPU; over all GPUs where one is too small. "auto": over all GPUs, where there are
            several. A mapping: each module where it says.
        dtype: None: bfloat16 on CUDA, float16 on MPS; on a CPU float32; for a large model bfloat16 where a
            measurement says that it is faster, or where float32 does not fit.
        quantization: "4bit" by bitsandbytes, or None.
        stored: Type in which the weights are stored.
        weights: Numbers in the model.

    Raises:
        HermesError: A device that is not there, or a quantization that is unknown or not installed.
    """
    if isinstance(device, Mapping):
        first = next(iter(device.values()), "cpu")
        main = torch.device("cpu" if first == "disk" else first)
        return Placement(main, dtype or _dtype(main, stored, weights), quantization, dict(device))
    try:
        place = torch.device(device) if device not in (None, "auto") else _best_device()
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
    chosen = Placement(place, dtype or _dtype(place, stored, weights), quantization)
    several = place.type == "cuda" and torch.cuda.device_count() > 1
    if several and (device == "auto" or (device is None and chosen.needed(weights) > free_bytes(place))):
        return replace(chosen, spread="auto")
    return chosen


def _dtype(place: torch.device, stored: torch.dtype, weights: int) -> torch.dtype:
    if place.type == "cuda":
        return torch.float16 if stored == torch.float16 else torch.bfloat16
    if place.type == "mps":
        return torch.float16
    if weights < HALF_FROM:
        return torch.float32
    too_large = Placement(place, torch.float32).needed(weights) > free_bytes(place)
    return torch.bfloat16 if too_large or half_is_faster() else torch.float32


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def room_on_gpus() -> dict[int, int]:
    """Bytes that a model may take on each GPU when it is spread over all, so that memories of streams fit beside it."""
    return {
        i: int(free_bytes(torch.device("cuda", i)) * (1 - ROOM_FOR_STREAMS)) for i in range(torch.cuda.device_count())
    }


def fits(weights: int) -> str:
    """Whether a model of `weights` numbers fits into the memory that is free now: "yes", "no", or on what terms."""
    place = choose(None, None, None, torch.bfloat16)
    free = free_bytes(place.device)
    if place.device.type == "cuda":
        all_free = sum(free_bytes(torch.device("cuda", i)) for i in range(torch.cuda.device_count()))
        if place.needed(weights) <= free:
            return "yes"
        return "over all GPUs" if place.needed(weights) <= all_free else "no"
    if Placement(place.device, torch.float16 if place.device.type == "mps" else torch.float32).needed(weights) <= free:
        return "yes"
    return "in bfloat16" if Placement(place.device, torch.bfloat16).needed(weights) <= free else "no"


def needed_here(weights: int) -> int:
    """Bytes that a model of `weights` numbers needs on this machine, in the type that it would be loaded in."""
    place = _best_device()
    half = place.type != "cpu" or Placement(place, torch.float32).needed(weights) > free_bytes(place)
    return Placement(place, torch.bfloat16 if half else torch.float32).needed(weights)


def check_memory(name: str, weights: int, placement: Placement, free: int) -> None:
    """See that `weights` numbers fit into `free` bytes.

    Raises:
        MemoryShortError: They do not.
    """
    needed = placement.needed(weights)
    if needed > free:
        kind = "4-bit" if placement.quantization else str(placement.dtype).removeprefix("torch.")
        raise MemoryShortError(
            f"The model “{name}” needs about {needed / GIB:.1f} GiB in {kind}, and {free / GIB:.1f} GiB are free on "
            f"{placement.devices}. Choose a smaller model, or a machine with more memory."
        )
