"""Train the pocket model, from nothing or from a trained one, and write a model folder that loads.

Two stages run side by side, so two idle cores are best. Stop it at any time; the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hermes.errors import HermesError


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
    from hermes.cards.story import STORY  # noqa: PLC0415
    from hermes.eval.card import write_card  # noqa: PLC0415 - torch only when it is needed
    from hermes.eval.report import report  # noqa: PLC0415
    from hermes.pocket.train import train  # noqa: PLC0415

    def progress(line: str) -> None:
        print(line, flush=True)

    if args.begin is not None and not (args.begin / "config.json").is_file():
        raise HermesError(f"There is no model folder at {args.begin}.")
    state = args.state or args.out.with_name(args.out.name + "-run")
    train(state, args.out, args.minutes, args.seed, progress, args.begin)
    if args.measure > 0:
        write_card(args.out, report(args.out, args.measure, 2, progress), STORY)
    return 0
