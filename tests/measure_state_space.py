"""Time of a training step: Mamba-2 versus the pocket model's decoder (`PYTHONPATH=. python tests/measure_state_space.py`).

Both are classes of transformers with random weights, of the width and depth of the shipped decoder, forward and backward
over the same streams. The result estimates the training time of a pocket state-space model, not its quality.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, Mamba2Config, Mamba2Model, Qwen2Model

POCKET = Path(__file__).parents[1] / "assets" / "pocket"


def pair() -> dict[str, nn.Module]:
    """The two decoders, as wide and as deep as each other."""
    config = AutoConfig.from_pretrained(POCKET).text_config
    mamba = Mamba2Config(
        hidden_size=config.hidden_size,
        num_hidden_layers=config.num_hidden_layers,
        head_dim=32,
        num_heads=2 * config.hidden_size // 32,
        expand=2,
        state_size=64,
        n_groups=1,
        chunk_size=64,
        vocab_size=config.vocab_size,
    )
    return {"qwen2": Qwen2Model(config).train(), "mamba2": Mamba2Model(mamba).train()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=1040, help="tokens of a stream")
    parser.add_argument("--streams", type=int, default=2, help="streams of a step")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    models = pair()
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(args.rounds + 1):
        for name, model in models.items():
            given = torch.randn(args.streams, args.tokens, model.config.hidden_size)
            began = time.perf_counter()
            model(inputs_embeds=given).last_hidden_state.square().mean().backward()
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}  # the first round warms up
    sizes = {name: sum(p.numel() for p in model.parameters()) for name, model in models.items()}
    payload = {"seconds": medians, "parameters": sizes, "ratio": medians["mamba2"] / medians["qwen2"]}
    sys.stdout.write(f"{json.dumps(payload, indent=1)}\n")


if __name__ == "__main__":
    main()
