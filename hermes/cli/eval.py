"""Measure how well a shipped model answers, by kind of question and by age of the evidence.

Each accuracy is printed with its guess level: the best accuracy without looking at the evidence (the most frequent answer,
or naming the object shown most often). The streams are newly rendered and were not used in training.

  python -m hermes eval things --streams 48
  python -m hermes eval pocket --streams 48 --frames 128 --policy hermes --budget 256
"""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path
from typing import Any

from hermes.assets import HELD_OUT_PHOTOGRAPHS, POCKET, checkout
from hermes.cli.model_options import add_guidance, add_yes, load_model, model_folders
from hermes.cli.progress import progress_bar
from hermes.cli.terminal import print_json, print_table, text_argument
from hermes.errors import HermesError
from hermes.files.output import check_file, check_folder, write_text
from hermes.tables import Column, Table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("model", nargs="?", default="pocket", help='"pocket", a folder, or a hub id (default: pocket)')
    add_yes(parser)
    parser.add_argument("--streams", type=int, default=24, help="number of streams (default: 24)")
    parser.add_argument("--frames", type=int, default=64, help="frames per stream (default: 64)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the streams (default: 0)")
    parser.add_argument("--policy", default="full", help="full, sliding-window, hermes, … (default: full)")
    parser.add_argument("--budget", type=int, help="video tokens a layer may hold")
    parser.add_argument("--chunk", type=int, default=16, help="frames per chunk; 1: as a camera (default: 16)")
    add_guidance(parser)
    parser.add_argument("--prompt", type=text_argument, help="global guidance prompt in place of the model's own")
    parser.add_argument("--tempo", default="calm", choices=("dense", "calm", "slow"), help="how fast the cards change")
    parser.add_argument(
        "--background",
        default="calm",
        choices=("calm", "photographic", "held-out", "photo"),
        help="backgrounds; photo: photographs that were not used in training",
    )
    parser.add_argument("--photos", type=Path, help="folder of other photographs to use as backgrounds")
    parser.add_argument(
        "--data",
        type=Path,
        help="for things: data folder of train-things; shows its held-out pictures instead of the training ones",
    )
    parser.add_argument(
        "--pictures",
        choices=("photographic", "drawn", "whole"),
        default="photographic",
        help="with --data: photographic cut-outs, drawings, or whole photographs (only recognised, without a stream)",
    )
    parser.add_argument("--figure", type=Path, help="instead: draw attention by layer and age of frame as SVG")
    parser.add_argument(
        "--report", action="store_true", help="instead: run the full evaluation and rewrite the model card"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="with --report: share of the full number of streams")
    parser.add_argument("--workers", type=int, default=2, help="with --report: number of processes (default: 2)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if args.figure:
        check_file(args.figure, [*model_folders(args.model), *([args.photos] if args.photos else [])])
    from dataclasses import replace  # noqa: PLC0415

    from hermes.cards.backgrounds import SIDE  # noqa: PLC0415
    from hermes.cards.photographs import read_photographs  # noqa: PLC0415
    from hermes.eval.attention import draw_attention, measure_attention  # noqa: PLC0415 - torch only when needed
    from hermes.eval.pocket import evaluate  # noqa: PLC0415
    from hermes.eval.scoring import Setup  # noqa: PLC0415

    if args.model == "things" or args.data:
        return _things(args)
    if args.report:
        return _report(args)
    folder = args.photos or (HELD_OUT_PHOTOGRAPHS if args.background == "photo" else None)
    photos = read_photographs(folder, SIDE) if folder else []
    setup = Setup(
        args.streams, args.frames, args.seed, args.policy, args.budget, args.guidance, args.tempo,
        "photo" if photos else args.background, args.chunk,
    )  # fmt: skip
    model = load_model(args)
    if args.prompt:
        model.card = replace(model.card, guidance={**model.card.guidance, "global": args.prompt})
    with closing(progress_bar(total=setup.streams, unit="stream")) as bar:

        def progress(done: int) -> None:
            bar.update(done - bar.n)

        if args.figure:
            measured = measure_attention(model, setup, progress)
        else:
            result = evaluate(model, setup, photos, progress)
    if args.figure:
        title = f"Attention of the pocket model: {setup.streams} streams of {setup.frames} frames, full cache"
        write_text(args.figure, draw_attention(measured, title))
        if args.json:
            print_json(measured)
        else:
            print(f"wrote {args.figure}")
        return 0
    if args.json:
        print_json(result)
    else:
        _print_result(result)
    return 0


def _things(args: argparse.Namespace) -> int:
    """Measure the model of everyday objects."""
    from dataclasses import replace  # noqa: PLC0415

    from hermes.assets import THINGS  # noqa: PLC0415
    from hermes.eval.scoring import Setup  # noqa: PLC0415
    from hermes.eval.things import StreamPictures, evaluate, held_out_pictures, name_photographs  # noqa: PLC0415
    from hermes.eval.things_report import report, write_card  # noqa: PLC0415
    from hermes.things.measuring import read_photographs  # noqa: PLC0415
    from hermes.things.pictures import read_shipped  # noqa: PLC0415

    if args.report:
        folder = THINGS if args.model == "things" else Path(args.model)
        shown = {"known": StreamPictures(*read_shipped())}
        photographs = []
        if args.data:
            shown["photographic"] = held_out_pictures(args.data, photographic=True)
            shown["drawn"] = held_out_pictures(args.data, photographic=False)
            photographs = read_photographs(args.data)
        write_card(folder, report(folder, shown, photographs, args.scale, lambda line: print(line, flush=True)))
        print(f"wrote {folder / 'README.md'}")
        return 0
    model = load_model(args)
    if args.data and args.pictures == "whole":
        named = name_photographs(model, read_photographs(args.data))
        print_json(named if args.json else {key: named[key] for key in ("objects", "nothing")})
        return 0
    if args.prompt:
        model.card = replace(model.card, guidance={**model.card.guidance, "global": args.prompt})
    pictures = StreamPictures(*read_shipped())
    if args.data:
        pictures = held_out_pictures(args.data, args.pictures == "photographic")
    setup = Setup(
        args.streams,
        args.frames,
        args.seed,
        args.policy,
        args.budget,
        args.guidance,
        args.tempo,
        "held-out",
        args.chunk,
    )
    result = evaluate(model, setup, pictures)
    if args.json:
        print_json(result)
    else:
        _print_result(result)
    return 0


def _print_result(result: dict[str, Any]) -> None:
    setup = result["setup"]
    budget = f", budget {setup['budget']}" if setup["budget"] else ""
    print(f"{setup['streams']} streams of {setup['frames']} frames, seed {setup['seed']}, {setup['policy']}{budget}")
    if setup["policy"].startswith("hermes"):
        print(f'guidance: "{result["guidance_prompts"]["global"]}"')
    columns = (
        Column("", 12, "left"), Column("accuracy", 9), Column("guess", 8), Column("n", 6),
        Column("  95 % interval", align="left"),
    )  # fmt: skip
    rows = []
    for part in ("kinds", "age_in_frames"):
        for name, row in result[part].items():
            low, high = row["interval"]
            more = f"   within one {row['within_one']:.3f}" if "within_one" in row else ""
            label = name if part == "kinds" else f"age {name}"
            interval = f"  {low:.3f} – {high:.3f}{more}"
            rows.append((label, f"{row['accuracy']:.3f}", f"{row['guess']:.3f}", str(row["n"]), interval))
    print_table(Table(columns, rows))


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
