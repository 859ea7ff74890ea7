"""Simulated devices on a CPU: tensors report the device `pretended:0` or `pretended:1`, are stored in
CPU memory, and cannot be combined, like tensors of two GPUs. The arithmetic is real; only the device is simulated.

Run as a program (it renames a backend of torch, which lasts as long as the process), it streams through every family and
policy that way and prints what differs from a run on the CPU.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tiny
import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

import hermes
from hermes.errors import HermesError

KIND = "pretended"
backend_registration._setup_privateuseone_for_python_backend(KIND)  # the name, a guard and a module that do nothing
LAYERS = 2
"""Layers of the models that keep keys and values."""
COPIES = {torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default, torch.ops.aten.to.other}


class Placed(torch.Tensor):
    """Numbers in CPU memory that say they lie on `place`."""

    @staticmethod
    def __new__(cls, data: torch.Tensor, place: torch.device) -> Placed:
        placed = torch.Tensor._make_wrapper_subclass(
            cls, data.shape, strides=data.stride(), dtype=data.dtype, device=place, storage_offset=data.storage_offset()
        )
        placed.data_here, placed.place = data, place
        return placed

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(function, args, kwargs or {})

    def __repr__(self) -> str:
        return f"Placed({self.data_here!r}, {self.place})"

    def tolist(self) -> Any:
        return self.data_here.tolist()


class PretendedDevices(TorchDispatchMode):
    """While active, `device="pretended:0"` and `device="pretended:1"` can be asked for."""

    def __enter__(self) -> PretendedDevices:
        self._before = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=...) makes its numbers on the CPU first
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch._C._set_only_lift_cpu_tensors(self._before)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(function, args, kwargs or {})


def run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    # In inference mode composite operations come whole: the device may be any argument.
    asked = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.device)]
    wanted = asked[0] if asked else None
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, torch.Tensor)]
    # As torch has it: a tensor without dimensions may come from the CPU, anything else must lie where the others do.
    places = {getattr(t, "place", torch.device("cpu")) for t in tensors if t.dim() or isinstance(t, Placed)}
    if len(places) > 1 and function not in COPIES and not _cpu_indices(function, places):
        raise RuntimeError(f"{function} got tensors on several devices: {sorted(map(str, places))}")
    place = next((t.place for t in tensors if isinstance(t, Placed)), torch.device("cpu"))
    place = place if wanted is None else wanted
    if function is torch.ops.aten.copy_.default:
        place = getattr(args[0], "place", torch.device("cpu"))
    plain_args, plain_kwargs = tree_map(_open, args), tree_map(_open, kwargs)
    result = function(*plain_args, **plain_kwargs)
    known = {id(t.data_here): t for t in tensors if isinstance(t, Placed)}

    def close(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if id(value) in known:
            if known[id(value)].place == place:
                return known[id(value)]  # in place: the same tensor comes back
            value = value.clone()  # moved, which on the CPU alone would change nothing
        return Placed(value, place) if place.type == KIND else value

    return tree_map(close, result)


def _cpu_indices(function: Any, places: set[torch.device]) -> bool:
    """Indexing takes its indices from the CPU too."""
    return len(places - {torch.device("cpu")}) == 1 and function in (
        torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default, torch.ops.aten._index_put_impl_.default,
    )  # fmt: skip


def _open(value: Any) -> Any:
    if isinstance(value, torch.device) and value.type == KIND:
        return torch.device("cpu")
    return value.data_here if isinstance(value, Placed) else value


@torch.inference_mode()
def move(module: torch.nn.Module, place: str) -> None:
    """Put a module's parameters and buffers on a pretended device."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None and not isinstance(parameter, Placed):
                moved = Placed(parameter.data, torch.device(place))
                part._parameters[name] = torch.nn.Parameter(moved, requires_grad=False)
        for name, buffer in part._buffers.items():
            if buffer is not None and not isinstance(buffer, Placed):
                part._buffers[name] = Placed(buffer, torch.device(place))


def spread(folder: Path) -> Any:
    """Load a model whose second half of layers is on the second simulated device, and everything else on the first."""
    model = hermes.load(folder, device="cpu")
    with torch.inference_mode(), PretendedDevices():
        layers = model.decoder.layers
        for layer in layers[len(layers) // 2 :]:
            move(layer, f"{KIND}:1")
        move(model.model, f"{KIND}:0")
        settings = json.loads((folder / "preprocessor_config.json").read_text())
        return type(model)(model.model, model.tokenizer, model.card, settings)


def compare(model: Any, spread_model: Any, policy: str) -> str:
    """Stream and ask on the CPU and on two simulated devices; "" if the results are equal, else the difference."""
    expected = _stream(model, policy)
    places = [str(device) for device in spread_model.layer_devices]
    if places != [f"{KIND}:{i}" for i in (0, 1) for _ in range(LAYERS // 2)]:
        return f"the layers lie on {places}"
    with torch.inference_mode(), PretendedDevices():
        try:
            found = _stream(spread_model, policy)
        except (RuntimeError, HermesError) as error:
            return str(error)
    same = expected[1] == found[1] and all(
        np.array_equal(getattr(expected[0], name), getattr(found[0], name), equal_nan=name == "importance")
        for name in ("kept", "frame", "position", "importance")
    )
    return "" if same else "the memories or answers differ"


def _stream(model: Any, policy: str) -> tuple[Any, str]:
    frames = np.random.default_rng(0).integers(0, 256, (12, 24, 32, 3), dtype=np.uint8)
    session = hermes.StreamSession(model, policy=policy, budget=40, chunk=6)
    session.push(frames, np.arange(12) / 2)
    answer = "".join(session.ask("What was first?", max_new_tokens=3))
    return session.snapshot(), answer


if __name__ == "__main__":
    root = Path(sys.argv[1])
    results = {}
    for family, make in tiny.FAMILIES.items():
        (root / family).mkdir()
        make(root / family, layers=LAYERS)
        models = hermes.load(root / family, device="cpu"), spread(root / family)
        policies = hermes.POLICIES if family == "llava_onevision" else ("hermes",)
        for policy in policies:
            results[f"{family} {policy}"] = compare(*models, policy)
    sys.stdout.write(json.dumps(results))
