"""Train the pocket model from nothing, on CPU, and write a model folder that loads.

Two stages run side by side, so two idle cores are best. Stop it at any time; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--minutes", type=float, default=120.0, help="how long to train (default: 120)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and data (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("pocket"), help="model folder to write (default: pocket)")
    parser.add_argument("--run", dest="state", type=Path, help="folder of states and logs (default: OUT-run)")


def run(args: argparse.Namespace) -> int:
    """Train, then write the folder."""
    from hermes.pocket.train import train  # noqa: PLC0415 - torch only when it is needed

    state = args.state or args.out.with_name(args.out.name + "-run")
    train(state, args.out, args.minutes, args.seed, lambda line: print(line, flush=True))
    return 0
