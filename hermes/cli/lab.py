"""Compare policies on the same streams of the pocket world, with statistics: accuracy, memory, time to first token.

Every policy sees each stream once and answers all its questions. Measurements are kept as they come in: the same command
with the same folder goes on where it was stopped, and adds what is new to it.

  python -m hermes lab --policies hermes sliding-window full --budgets 12% 25% --streams 40 --out lab
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hermes.cli.model_option import add_model, load_model, model_folders
from hermes.cli.terminal import print_json, text_argument
from hermes.errors import HermesError
from hermes.files.output import check_folder, write_text
from hermes.formatting import format_duration

REPORTS = ("lab.json", "lab.csv", "lab.html")
DEFAULT_BUDGETS = ("6%", "12%", "25%", "50%")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--policies", nargs="+", type=text_argument, metavar="NAME",
        help="which policies and presets (default: all policies), also with settings: hermes:smoothing=off,k_long_term=2; "
        "“all” stands for every policy, “ablations” for every preset; rekv@25%% or all@25%%: at that budget alone",
    )  # fmt: skip
    parser.add_argument(
        "--budgets", nargs="+", default=DEFAULT_BUDGETS, metavar="BUDGET",
        help="tokens a layer may hold, or a share of the full cache (default: 6%% 12%% 25%% 50%%)",
    )  # fmt: skip
    parser.add_argument("--streams", type=int, default=24, help="how many streams (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=128, help="frames of each stream (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the streams (default: %(default)s)")
    parser.add_argument("--tempo", default="calm", help="how fast cards follow: dense, calm or slow (default: calm)")
    add_model(parser)
    parser.add_argument(
        "--reference", metavar="NAME", help="the policy that the others are compared with (default: hermes)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("lab"), help="folder of measurements and reports (default: lab)"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes, of one thread each (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON instead of tables")


def run(args: argparse.Namespace) -> int:
    """Measure, summarise, write the reports."""
    from hermes.bench.machine import describe_machine  # noqa: PLC0415
    from hermes.lab.plan import identity, make_plan  # noqa: PLC0415
    from hermes.lab.report import report  # noqa: PLC0415
    from hermes.lab.run import run_plan  # noqa: PLC0415
    from hermes.lab.store import MEASUREMENTS, Store  # noqa: PLC0415
    from hermes.lab.summary import summarise  # noqa: PLC0415
    from hermes.lab.table import as_csv, text  # noqa: PLC0415

    if args.workers < 1:
        raise HermesError(f"At least one worker is needed, not {args.workers}.")
    check_folder(args.out, model_folders(args.model), names=(MEASUREMENTS, *REPORTS))
    model = load_model(args)
    plan = make_plan(
        model,
        args.model,
        _policies(args.policies or ["all"]),
        args.budgets,
        streams=args.streams,
        frames=args.frames,
        seed=args.seed,
        tempo=args.tempo,
        reference=args.reference,
    )
    store = Store(args.out, identity(plan, model))
    progress = _Progress()
    try:
        run_plan(plan, model, store, args.workers, progress)
    finally:
        progress.end()
        store.close()
    machine = describe_machine() | {"model": model.card.name, "layers": model.num_layers}
    summary = summarise(plan, store.tasks, store.found) | {"machine": machine, "command": _command(args)}
    contents = (
        json.dumps(summary, ensure_ascii=False, indent=1) + "\n",
        as_csv(summary),
        report(summary),
    )
    for name, content in zip(REPORTS, contents, strict=True):
        write_text(args.out / name, content)
    if args.json:
        print_json(summary)
    else:
        print(text(summary))
        print(f"\nwrote {', '.join(REPORTS)} in {args.out}")
    return 0


def _policies(names: Sequence[str]) -> list[str]:
    """The names, with every policy in place of “all” and every preset in place of “ablations”, at their budget if any."""
    from hermes.policies import POLICIES  # noqa: PLC0415
    from hermes.policies.presets import PRESETS  # noqa: PLC0415

    stands_for = {"all": list(POLICIES), "ablations": list(PRESETS)}
    listed = []
    for given in names:
        group, at, budget = given.partition("@")
        listed += [f"{name}{at}{budget}" for name in stands_for[group]] if group in stands_for else [given]
    return listed


def _command(args: argparse.Namespace) -> str:
    """What to type to measure the same again."""
    parts: list[Any] = ["python", "-m", "hermes", "lab"]
    if args.policies:
        parts += ["--policies", *args.policies]
    parts += ["--budgets", *args.budgets, "--streams", args.streams, "--frames", args.frames, "--seed", args.seed]
    for name, default in (("tempo", "calm"), ("model", "pocket"), ("reference", None)):
        if getattr(args, name) != default:
            parts += [f"--{name}", getattr(args, name)]
    return shlex.join(str(part) for part in parts)


class _Progress:
    """A progress bar on a terminal; elsewhere a line for each twentieth that is done."""

    def __init__(self) -> None:
        self._bar = tqdm(unit="measurement", disable=not sys.stderr.isatty(), file=sys.stderr, dynamic_ncols=True)
        self._began = time.monotonic()
        self._before: int | None = None
        self._reported = -1

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` measurements are done."""
        if self._before is None:
            self._bar.reset(total)
            self._before = self._bar.n = self._bar.initial = done  # measured by an earlier run of the command
        self._bar.update(done - self._bar.n)
        twentieth = 20 * done // total
        if self._bar.disable and twentieth > self._reported:
            self._reported = twentieth
            new = done - self._before
            left = (
                f", about {format_duration((time.monotonic() - self._began) / new * (total - done))} left"
                if new
                else ""
            )
            print(f"{done} of {total} measured{left}", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line."""
        self._bar.close()
