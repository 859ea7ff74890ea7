"""Train the pocket model, from nothing or from a trained one, and write a model folder that loads.

Two stages run side by side, so two idle cores are best. Stop it at any time; the same command goes on where it stopped.
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
    parser.add_argument("--minutes", type=float, default=240.0, help="how long to train (default: 240)")
    parser.add_argument(
        "--from", dest="begin", type=Path, help="pocket model folder to train further, instead of from nothing"
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights and data (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("pocket"), help="model folder to write (default: pocket)")
    parser.add_argument(
        "--measure",
        type=float,
        default=0.25,
        help="share of the full evaluation for the card, 0 for none (default: 0.25)",
    )
    parser.add_argument("--run", dest="state", type=Path, help="folder of states and logs (default: OUT-run)")


def run(args: argparse.Namespace) -> int:
    """Train, write the folder, measure the model, write its card."""
    if not 0 < args.minutes < math.inf:
        raise HermesError(f"The time to train must be more than 0 minutes, not {args.minutes:g}.")
    if not 0 <= args.measure <= 1:
        raise HermesError(f"The share of the evaluation must lie between 0 and 1, not {args.measure:g}.")
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
    """See that model and states can be written, into two folders neither of which is the model to train further."""
    inputs = () if begin is None else (begin,)
    folders = []
    for folder in (out, state):
        there = [file.name for file in folder.iterdir() if not file.is_dir()] if folder.is_dir() else []
        folders.append(check_folder(folder, inputs, there))
    if folders[0] == folders[1]:
        raise OutputError(f"The model and the states of its training need folders of their own, not {out} for both.")
