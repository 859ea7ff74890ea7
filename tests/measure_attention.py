"""Peak memory of recorded attention at a real layer size: `PYTHONPATH=. python tests/measure_attention.py`.

Measures one layer of a 7B decoder (28 query heads, 4 key heads, 128 dimensions) that prefills a chunk of 3,136 tokens on
4,014 cached ones. "whole matrix" computes all probabilities in float32 at once, as this project did before; "blocks" is
`hermes.memory.watched_attention`. Each case runs in a process of its own; its peak is the resident memory above that of the
inputs.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from hermes.memory.watched_attention import AttentionRecorder, attention_mask, watched_attention

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
CASES = ("h2o, whole matrix", "h2o, blocks", "snapkv, whole matrix", "snapkv, blocks", "not recorded")


def whole_matrix(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, window: slice, keys: int) -> Tensor:
    """The previous implementation: all probabilities of a layer at once."""
    heads, rows, dim = query.shape[1:]
    groups = heads // key.shape[1]
    stacked = query[0].reshape(-1, groups * rows, dim)
    scores = torch.matmul(stacked, key[0].transpose(1, 2)).view(heads, rows, -1).float() * dim**-0.5
    scores[..., -rows:].masked_fill_(~mask[0, ..., -rows:], -torch.inf)
    probabilities = scores.softmax(-1)
    sums = probabilities[:, window, :keys].sum(1)
    weights = probabilities.to(value.dtype).view(-1, groups * rows, key.shape[2])
    torch.matmul(weights, value[0])
    return sums


def peak_bytes() -> int:
    """Peak resident memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def run_case(case: str, rows: int, keys: int, dtype: str) -> None:
    """Run one case and print its measurements as JSON."""
    heads, kv_heads, dim = 28, 4, 128
    generator = torch.Generator().manual_seed(0)

    def states(count: int, tokens: int) -> Tensor:
        return torch.randn(1, count, tokens, dim, generator=generator).to(DTYPES[dtype])

    query, key, value = states(heads, rows), states(kv_heads, keys), states(kv_heads, keys)
    mask = attention_mask(rows, keys - rows, torch.device("cpu"))
    module = nn.Module()
    module.layer_idx, module.num_key_value_groups = 0, heads // kv_heads
    policy, _, method = case.partition(", ")
    window = slice(None) if policy == "h2o" else slice(-32, None)
    before, began = peak_bytes(), time.perf_counter()
    if method == "whole matrix":
        sums = whole_matrix(query, key, value, mask, window, keys)
    else:
        recorder = AttentionRecorder([keys], [window]) if method else None
        watched_attention(module, query, key, value, mask, recorder=recorder)
        sums = recorder.sums[0] if recorder is not None else torch.zeros(1)
    seconds = time.perf_counter() - began
    found = {"case": case, "peak": peak_bytes() - before, "seconds": seconds, "sum": float(sums.sum())}
    sys.stdout.write(json.dumps(found))


def main() -> None:
    """Measure all cases, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=3136, help="new tokens")
    parser.add_argument("--keys", type=int, default=7150, help="new and cached tokens")
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="bfloat16", help="of queries, keys and values")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        run_case(args.case, args.rows, args.keys, args.dtype)
        return
    for case in CASES:
        command = [sys.executable, str(Path(__file__)), "--case", case, "--dtype", args.dtype]
        command += ["--rows", str(args.rows), "--keys", str(args.keys)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        line = f"{case:22}  peak {found['peak'] / 1e6:7,.0f} MB   {found['seconds']:6.1f} s   sum {found['sum']:.1f}"
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
