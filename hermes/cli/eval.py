"""Measure how well the pocket model answers, by kind of question and by age of the evidence.

Each accuracy stands beside its guess level: the best that ignores the evidence (the commonest answer, or naming what was
shown most). Streams are rendered freshly and were never trained on.

  python -m hermes eval pocket --streams 48 --frames 128 --policy hermes --budget 256
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from hermes.assets import HELD_OUT_PHOTOGRAPHS, POCKET, checkout
from hermes.cli.model_option import add_yes, load_model, model_folders
from hermes.cli.terminal import print_json, text_argument
from hermes.errors import HermesError
from hermes.files.output import check_file, check_folder, write_text


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("model", nargs="?", default="pocket", help='"pocket", a folder, or a hub id (default: pocket)')
    add_yes(parser)
    parser.add_argument("--streams", type=int, default=24, help="how many streams (default: 24)")
    parser.add_argument("--frames", type=int, default=64, help="frames of each stream (default: 64)")
    parser.add_argument("--seed", type=int, default=0, help="of the streams (default: 0)")
    parser.add_argument("--policy", default="full", help="full, sliding-window, hermes, … (default: full)")
    parser.add_argument("--budget", type=int, help="video tokens a layer may hold")
    parser.add_argument("--guidance", choices=("forward", "embedding"), help="how the guidance is computed")
    parser.add_argument("--prompt", type=text_argument, help="global guidance prompt in place of the model's own")
    parser.add_argument("--tempo", default="calm", choices=("dense", "calm", "slow"), help="how fast cards follow")
    parser.add_argument(
        "--background",
        default="calm",
        choices=("calm", "photographic", "held-out", "photo"),
        help="background families; photo: the photographs that training never shows",
    )
    parser.add_argument("--photos", type=Path, help="folder of other photographs to use as backgrounds")
    parser.add_argument("--figure", type=Path, help="instead: draw attention by layer and age of frame as SVG")
    parser.add_argument("--report", action="store_true", help="instead: measure everything, rewrite the model's card")
    parser.add_argument("--scale", type=float, default=1.0, help="of --report: share of the full number of streams")
    parser.add_argument("--workers", type=int, default=2, help="of --report: processes (default: 2)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if args.figure:
        check_file(args.figure, [*model_folders(args.model), *([args.photos] if args.photos else [])])
    from dataclasses import replace  # noqa: PLC0415

    from hermes.cards.backgrounds import SIDE  # noqa: PLC0415
    from hermes.cards.photographs import read_photographs  # noqa: PLC0415
    from hermes.eval.attention import draw_attention, measure_attention  # noqa: PLC0415 - torch only when needed
    from hermes.eval.pocket import Setup, evaluate  # noqa: PLC0415

    if args.report:
        return _report(args)
    folder = args.photos or (HELD_OUT_PHOTOGRAPHS if args.background == "photo" else None)
    photos = read_photographs(folder, SIDE) if folder else []
    setup = Setup(
        args.streams, args.frames, args.seed, args.policy, args.budget, args.guidance, args.tempo,
        "photo" if photos else args.background,
    )  # fmt: skip
    model = load_model(args)
    if args.prompt:
        model.card = replace(model.card, guidance={**model.card.guidance, "global": args.prompt})
    quiet = args.json or not sys.stderr.isatty()

    def progress(done: int) -> None:
        if not quiet:
            print(f"\r{done} of {setup.streams} streams", end="", file=sys.stderr)

    if args.figure:
        measured = measure_attention(model, setup, progress)
        title = f"Where the pocket model looks: {setup.streams} streams of {setup.frames} frames, full cache"
        write_text(args.figure, draw_attention(measured, title))
        if args.json:
            print_json(measured)
        else:
            print(f"wrote {args.figure}")
        return 0
    result = evaluate(model, setup, photos, progress)
    if args.json:
        print_json(result)
    else:
        print(table(result))
    return 0


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    setup = result["setup"]
    budget = f", budget {setup['budget']}" if setup["budget"] else ""
    lines = [
        f"{setup['streams']} streams of {setup['frames']} frames, seed {setup['seed']}, {setup['policy']}{budget}",
        f'guidance: "{result["guidance_prompts"]["global"]}"' if setup["policy"].startswith("hermes") else "",
        f"{'':12}{'accuracy':>9}{'guess':>8}{'n':>6}  95 % interval",
    ]
    for part in ("kinds", "age_in_frames"):
        for name, row in result[part].items():
            low, high = row["interval"]
            more = f"   within one {row['within_one']:.3f}" if "within_one" in row else ""
            label = name if part == "kinds" else f"age {name}"
            lines.append(
                f"{label:12}{row['accuracy']:9.3f}{row['guess']:8.3f}{row['n']:6d}  {low:.3f} – {high:.3f}{more}"
            )
    return "\n".join(line for line in lines if line)


def _report(args: argparse.Namespace) -> int:
    from hermes.cards.story import STORY  # noqa: PLC0415
    from hermes.eval.card import CARD, write_card  # noqa: PLC0415
    from hermes.eval.report import FIGURE, RESULTS, report  # noqa: PLC0415

    if args.model == "pocket":
        checkout("`hermes eval --report` of the bundled model")
    folder = POCKET if args.model == "pocket" else Path(args.model)
    if not (folder / "model.safetensors").is_file():
        raise HermesError(f"There is no pocket model in {folder} to write a report of.")
    check_folder(folder, names=(CARD, FIGURE, RESULTS))
    photos = args.photos or HELD_OUT_PHOTOGRAPHS
    found = report(folder, args.scale, args.workers, lambda line: print(line, flush=True), photos)
    write_card(folder, found, STORY)
    print(f"wrote {folder / CARD}")
    return 0
