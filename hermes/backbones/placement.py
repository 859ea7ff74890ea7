"""Choice of a model's device and dtype, and the memory check, before its weights are read."""

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
"""Extra memory as a share of the weights, for activations, buffers and a first stream."""


HALF_FROM = 10**8
"""Minimum number of parameters for bfloat16 on a CPU; smaller models do not benefit."""
ROOM_FOR_STREAMS = 0.1
"""Share of each GPU reserved for the memories of streams if a model is spread over several GPUs."""

DeviceMap = Mapping[str, str | int | torch.device]
"""Module name -> device, "cpu" or "disk", as for accelerate."""


class MemoryShortError(HermesError):
    """The model does not fit; the message states the required and the free memory."""


@dataclass(frozen=True)
class Placement:
    """Device and type of a model.

    Attributes:
        device: Main device.
        dtype: Type of weights and cache.
        quantization: "4bit", or None.
        spread: None: everything on `device`. "auto": all GPUs, distributed by accelerate. Otherwise the device map.
    """

    device: torch.device
    dtype: torch.dtype
    quantization: str | None = None
    spread: str | DeviceMap | None = None

    @property
    def bytes_per_weight(self) -> float:
        """Bytes per loaded parameter (4-bit: including the scales)."""
        return 0.56 if self.quantization else torch.finfo(self.dtype).bits / 8

    def needed(self, weights: int) -> int:
        """Bytes needed by a model with `weights` parameters, including activations, buffers and a first stream."""
        return int(weights * self.bytes_per_weight * (1 + HEADROOM))

    @property
    def devices(self) -> str:
        """Description of the devices for messages."""
        if self.spread == "auto":
            return f"{torch.cuda.device_count()} GPUs"
        return str(self.device)

    def free(self) -> int:
        """Return the free memory of the devices, in bytes."""
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
    """Choose the placement of a model.

    Args:
        device: None: CUDA, else MPS, else CPU; all GPUs if one is too small. "auto": all GPUs, if there are several. A
            mapping: a device per module.
        dtype: None: bfloat16 on CUDA (float16 if stored that way), float16 on MPS, float32 on a CPU; for a large model on a
            CPU bfloat16 if a measurement shows that it is faster, or if float32 does not fit.
        quantization: "4bit" with bitsandbytes, or None.
        stored: Type of the stored weights.
        weights: Number of parameters.

    Raises:
        HermesError: The device is not available, or the quantization is unknown or not installed.
    """
    if isinstance(device, Mapping):
        first = next(iter(device.values()), "cpu")
        main = torch.device("cpu" if first == "disk" else first)
        return Placement(main, dtype or _dtype(main, stored, weights), quantization, dict(device))
    try:
        place = torch.device(device) if device not in (None, "auto") else _best_device()
    except RuntimeError as error:
        raise HermesError(f"“{device}” is not a device. Examples: cpu, cuda, cuda:1, mps.") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise HermesError("This machine has no CUDA device. Omit the device, or choose cpu.")
    if place.type == "mps" and not torch.backends.mps.is_available():
        raise HermesError("This machine has no MPS device. Omit the device, or choose cpu.")
    if quantization not in (None, "4bit"):
        raise HermesError(f"The only supported quantization is 4bit, not “{quantization}”.")
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
    """Return the free memory of a device, in bytes."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def room_on_gpus() -> dict[int, int]:
    """Bytes that a spread model may use on each GPU; the rest is reserved for the memories of streams."""
    return {
        i: int(free_bytes(torch.device("cuda", i)) * (1 - ROOM_FOR_STREAMS)) for i in range(torch.cuda.device_count())
    }


def fits(weights: int) -> str:
    """Return whether a model with `weights` parameters fits the free memory: "yes", "no", or a condition."""
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
    """Bytes that a model with `weights` parameters needs on this machine, in its default type."""
    place = _best_device()
    half = place.type != "cpu" or Placement(place, torch.float32).needed(weights) > free_bytes(place)
    return Placement(place, torch.bfloat16 if half else torch.float32).needed(weights)


def check_memory(name: str, weights: int, placement: Placement, free: int) -> None:
    """Check that `weights` parameters fit into `free` bytes.

    Raises:
        MemoryShortError: They do not fit.
    """
    needed = placement.needed(weights)
    if needed > free:
        kind = "4-bit" if placement.quantization else str(placement.dtype).removeprefix("torch.")
        raise MemoryShortError(
            f"The model “{name}” needs about {needed / GIB:.1f} GiB in {kind}, and {free / GIB:.1f} GiB are free on "
            f"{placement.devices}. Choose a smaller model, or a machine with more memory."
        )
