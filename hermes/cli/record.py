"""Record a run: stream a video through a model, ask questions, and save everything in one file for replay in the page.

  python -m hermes record first-card --ask "60: What was the first card?" --out run.hermesrun
  python -m hermes record first-card --policies hermes sliding-window full --budget 128 --ask "60: What was the first card?"
  python -m hermes record --bundled        records all bundled runs again and checks them

VIDEO is a file or the name of a bundled clip. With --policies, two to four memories see the same frames and are asked the
same questions (a lab run). Replaying a run does not need the model.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hermes.assets import RUNS, SHIPPED, checkout
from hermes.cli.model_options import add_frame_size, add_model, add_policy_settings, load_model, model_folders
from hermes.cli.progress import RecordingProgress
from hermes.cli.terminal import text_argument
from hermes.errors import FailedError, HermesError
from hermes.files.output import check_file, check_folder
from hermes.formatting import format_bytes

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone
    from hermes.lab.plan import Cell
    from hermes.lab.recording import RecordedLane
    from hermes.recording import SourceClip
    from hermes.serving.clip_run import PlannedQuestion
    from hermes.trace import RunTurn
    from hermes.view import StreamSettings


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("video", metavar="VIDEO", nargs="?", help="a video file or the name of a bundled clip")
    parser.add_argument(
        "--ask", action="append", type=text_argument, default=[], metavar="'SECONDS: QUESTION'",
        help="a question and its stream time (without a time: at the end); may be given several times",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FILE", help="output file (default: the video's name.hermesrun)")
    parser.add_argument("--title", type=text_argument, help="title of the run (default: the clip's)")
    parser.add_argument("--about", type=text_argument, default="", help="one sentence about the run")
    parser.add_argument("--fps", type=float, help="frames per second to sample (default: 2)")
    parser.add_argument(
        "--chunk", type=int, default=1, help="frames per chunk; a run has one moment per chunk (default: 1)"
    )
    add_frame_size(parser)
    add_model(parser)
    parser.add_argument("--policy", help="policy of the memory (default: hermes)")
    parser.add_argument(
        "--policies", nargs="+", metavar="POLICY",
        help="a lab run of two to four memories: policies, presets, or policies with settings (hermes:smoothing=off)",
    )  # fmt: skip
    parser.add_argument("--budget", type=int, help="video tokens a layer may hold (default: 512)")
    add_policy_settings(parser)
    parser.add_argument("--bundled", action="store_true", help="record the bundled runs and check them")
    parser.add_argument(
        "--only", action="append", metavar="ID", help="with --bundled: only this run; may be given several times"
    )
    parser.add_argument("--runs", type=Path, metavar="DIR", help="folder of the bundled runs (default: assets/runs)")


def run(args: argparse.Namespace) -> int:
    """Record one run, or the bundled ones."""
    if args.bundled == (args.video is not None):
        raise HermesError("Give either a video to record, or --bundled.")
    if args.only and not args.bundled:
        raise HermesError("--only needs --bundled.")
    if args.policies and (args.bundled or args.policy or args.set):
        raise HermesError(
            "--policies cannot be combined with --policy, --set or --bundled; write a variant as hermes:smoothing=off."
        )
    if args.bundled:
        return _bundled(args)
    return _lab(args) if args.policies else _one(args)


def _one(args: argparse.Namespace) -> int:
    from hermes.recording import describe, find_clip, record  # noqa: PLC0415  (loads torch)
    from hermes.trace import Recorder  # noqa: PLC0415

    settings = _settings(args)
    clip = find_clip(args.video, settings.fps, settings.max_side)
    questions = [parse_question(text) for text in args.ask]
    out = _out(args, clip)
    model = load_model(args)
    recorder = Recorder()
    with closing(RecordingProgress(out.name)) as progress:
        turns = record(model, clip, settings, questions, recorder, progress)
    size = recorder.write(out, describe(model, settings, clip, turns, **_texts(args)))
    _print_turns(turns)
    print(f"{format_bytes(size, 2)}, {recorder.frames:,} frames, {recorder.moments:,} moments: {out}")
    return 0


def _lab(args: argparse.Namespace) -> int:
    from hermes.lab.plan import cells_of  # noqa: PLC0415  (loads torch)
    from hermes.lab.recording import record_lab, write_lab  # noqa: PLC0415
    from hermes.recording import find_clip  # noqa: PLC0415
    from hermes.trace import LabRecorder  # noqa: PLC0415

    settings = _settings(args)
    clip = find_clip(args.video, settings.fps, settings.max_side)
    cells_of(args.policies, settings.budget)
    questions = [parse_question(text) for text in args.ask]
    out = _out(args, clip, "-lab")
    model = load_model(args)
    recorder = LabRecorder(len(args.policies))
    with closing(RecordingProgress(out.name)) as progress:
        lanes = record_lab(
            model, clip, settings, args.policies, questions, recorder,
            partial(_of_lane, progress, out.name),
        )  # fmt: skip
    size = write_lab(recorder, out, model, clip, lanes, **_texts(args))
    _print_lanes(lanes)
    print(f"{format_bytes(size, 2)}, {len(lanes)} memories, {recorder.frames:,} frames: {out}")
    return 0


def _out(args: argparse.Namespace, clip: SourceClip, suffix: str = "") -> Path:
    """Return the output file after checking it, before the model is loaded."""
    out = Path(f"{clip.id or clip.path.stem}{suffix}.hermesrun") if args.out is None else args.out
    check_file(out, (clip.path, *model_folders(args.model)))
    return Path(out)


def _texts(args: argparse.Namespace) -> dict[str, str]:
    return {"about": args.about, **({"title": args.title} if args.title else {})}


def _bundled(args: argparse.Namespace) -> int:
    """Record all bundled runs; the command fails if a run does not match its title, after trying the others."""
    from hermes.bundled import lab_runs, recipes, runs  # noqa: PLC0415  (loads torch)

    if args.runs is None:
        checkout("`hermes record --bundled` without --runs")
    folder = args.runs or RUNS
    listed: list[runs.Recipe | lab_runs.LabRecipe] = [
        *runs.read_recipes(folder),
        *lab_runs.read_recipes(folder),
    ]
    known = [recipe.id for recipe in listed]
    for name in args.only or ():
        if name not in known:
            raise HermesError(f"There is no bundled run {name}. Available: {', '.join(known)}.")
    names = [f"{recipe.id}{recipes.ENDING}" for recipe in listed if not args.only or recipe.id in args.only]
    check_folder(folder, model_folders(args.model), names=names)
    loaded: dict[str, Backbone] = {}
    failed = []
    for recipe in listed:
        if args.only and recipe.id not in args.only:
            continue
        name = recipe.model if args.model in SHIPPED else args.model
        if name not in loaded:
            loaded[name] = load_model(argparse.Namespace(**vars(args) | {"model": name}))
        model = loaded[name]
        began = time.monotonic()
        try:
            with closing(RecordingProgress(recipe.id)) as progress:
                if isinstance(recipe, runs.Recipe):
                    path, turns = runs.make(model, recipe, folder, progress)
                    print_answers = partial(_print_turns, turns)
                else:
                    path, lanes = lab_runs.make(model, recipe, folder, partial(_of_lane, progress, recipe.id))
                    print_answers = partial(_print_lanes, lanes)
        except recipes.RunCheckError as error:
            failed.append(recipe.id)
            print(f"hermes: {error}", file=sys.stderr)
            continue
        size = format_bytes(path.stat().st_size, 2)
        print(f"{size:>9} in {time.monotonic() - began:3.0f} s  {path.name}", flush=True)
        print_answers()
    if failed:
        raise FailedError(
            f"{len(failed)} of the runs do not match their titles: {', '.join(failed)}. Their files were not written."
        )
    return 0


def parse_question(text: str) -> PlannedQuestion:
    """Parse a question of `--ask`: "SECONDS: QUESTION", or a question alone to be asked at the end.

    Raises:
        HermesError: The question is empty or its time is invalid.
    """
    from hermes.serving.clip_run import PlannedQuestion  # noqa: PLC0415

    before, colon, after = text.partition(":")
    at: float | None = None
    try:
        at = float(before) if colon else None
    except ValueError:
        after, colon = text, ""
    question = (after if colon else text).strip()
    if not question:
        raise HermesError("The question is empty.")
    if at is not None and not 0 <= at < math.inf:
        raise HermesError(f"The time of a question must be 0 seconds or later, not {before.strip()}.")
    return PlannedQuestion(question, at)


def _settings(args: argparse.Namespace) -> StreamSettings:
    from hermes.cli.ask import changed_settings  # noqa: PLC0415
    from hermes.policies import policy_of  # noqa: PLC0415
    from hermes.policies.presets import preset_of  # noqa: PLC0415
    from hermes.view import StreamSettings  # noqa: PLC0415

    preset = preset_of(args.policy or "hermes")
    policy = policy_of(preset.policy).name
    changed = dict(preset.changed) | changed_settings(policy, args.set)
    guidance = args.guidance or preset.guidance
    chosen: dict[str, Any] = {"fps": args.fps, "budget": args.budget, "guidance": guidance}
    settings = StreamSettings(
        model=args.model,
        policy=policy,
        chunk=args.chunk,
        speed=math.inf,
        max_side=args.max_side,
        changed=tuple(changed.items()),
        **{name: value for name, value in chosen.items() if value is not None},
    )
    settings.check()
    return settings


def _of_lane(progress: RecordingProgress, name: str, cell: Cell) -> RecordingProgress:
    """Restart the progress for one memory of a lab run."""
    return progress.restarted(f"{name}, {cell.preset.title}")


def _print_turns(turns: tuple[RunTurn, ...]) -> None:
    from hermes.trace.head import is_right  # noqa: PLC0415

    for turn in turns:
        if turn.state == "error":
            print(f"  {turn.at:6.1f} s  {turn.question}  no answer: {turn.answer}")
            continue
        verdict = "" if turn.truth is None else "  right" if is_right(turn) else f"  wrong; correct: {turn.truth}"
        print(f"  {turn.at:6.1f} s  {turn.question}  {turn.answer}{verdict}")


def _print_lanes(lanes: tuple[RecordedLane, ...]) -> None:
    for lane in lanes:
        print(lane.cell.preset.title, f"stopped: {lane.error}" if lane.error else "")
        _print_turns(lane.turns)
