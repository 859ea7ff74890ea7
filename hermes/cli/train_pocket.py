"""Train the pocket model, from scratch or from a trained model, and write a model folder.

Two stages run in parallel, so two idle cores are recommended. Training can be stopped at any time; the same command
continues it.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from hermes.assets import checkout
from hermes.errors import HermesError
from hermes.files.output import OutputError, check_folder


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--minutes", type=float, default=240.0, help="training time (default: 240)")
    parser.add_argument(
        "--from", dest="begin", type=Path, help="pocket model folder to continue from, instead of from scratch"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and data (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("pocket"), help="output model folder (default: pocket)")
    parser.add_argument(
        "--measure",
        type=float,
        default=0.25,
        help="share of the full evaluation for the model card; 0: none (default: 0.25)",
    )
    parser.add_argument("--run", dest="state", type=Path, help="folder for checkpoints and logs (default: OUT-run)")


def run(args: argparse.Namespace) -> int:
    """Train, write the model folder, evaluate the model and write its card."""
    if not 0 < args.minutes < math.inf:
        raise HermesError(f"The time to train must be more than 0 minutes, not {args.minutes:g}.")
    if not 0 <= args.measure <= 1:
        raise HermesError(f"The share of the evaluation must be between 0 and 1, not {args.measure:g}.")
    if args.begin is not None and not (args.begin / "config.json").is_file():
        raise HermesError(f"There is no model folder at {args.begin}.")
    checkout("`hermes train-pocket`")  # has the training photographs
    state = args.state or args.out.with_name(args.out.name + "-run")
    _check(args.out, state, args.begin)
    from hermes.cards.story import STORY  # noqa: PLC0415
    from hermes.eval.card import write_card  # noqa: PLC0415 - torch only when it is needed
    from hermes.eval.report import report  # noqa: PLC0415
    from hermes.pocket.train import train  # noqa: PLC0415

    def progress(line: str) -> None:
        print(line, flush=True)

    train(state, args.out, args.minutes, args.seed, progress, args.begin)
    if args.measure > 0:
        write_card(args.out, report(args.out, args.measure, 2, progress), STORY)
    return 0


def _check(out: Path, state: Path, begin: Path | None) -> None:
    """Check that model and checkpoints can be written into two folders, neither of which is the model to continue from."""
    inputs = () if begin is None else (begin,)
    folders = []
    for folder in (out, state):
        there = [file.name for file in folder.iterdir() if not file.is_dir()] if folder.is_dir() else []
        folders.append(check_folder(folder, inputs, there))
    if folders[0] == folders[1]:
        raise OutputError(f"The model and its checkpoints need separate folders, not {out} for both.")
