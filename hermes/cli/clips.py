"""Render the bundled clips, each with a JSON file of its true events.

python -m hermes clips assets/clips
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hermes.errors import HermesError
from hermes.files.output import check_folder
from hermes.formatting import format_bytes


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument(
        "out_dir", metavar="OUT_DIR", type=Path, help="output folder; files of the same name are replaced"
    )
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="render only this clip; may be given several times"
    )


def run(args: argparse.Namespace) -> int:
    """Render the clips."""
    from hermes.cards.clip_recipes import RECIPES  # noqa: PLC0415  (loads OpenCV)
    from hermes.cards.clips import write_clip, write_clips  # noqa: PLC0415

    names = {recipe.name: recipe for recipe in RECIPES}
    unknown = [name for name in args.only or [] if name not in names]
    if unknown:
        raise HermesError(f"There is no clip {unknown[0]}. Available: {', '.join(names)}.")
    if args.only and not args.out_dir.is_dir():
        raise HermesError(f"There is no folder {args.out_dir}.")
    files = [f"{name}{ending}" for name in args.only or names for ending in (".webm", ".json")]
    check_folder(args.out_dir, names=files if args.only else [*files, "index.json"])
    some = (write_clip(names[name], args.out_dir) for name in args.only or ())
    for entry in some if args.only else write_clips(RECIPES, args.out_dir):
        print(f"{format_bytes(entry['bytes'], 2):>9}  {entry['seconds']:6.0f} s  {entry['file']}", flush=True)
    return 0
