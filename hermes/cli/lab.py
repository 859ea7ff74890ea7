"""Compare policies on the same streams of the pocket world, with statistics: accuracy, memory, time to first token.

Every policy sees each stream once and answers all its questions. Measurements are saved immediately: the same command with
the same folder continues an interrupted measurement and adds new policies, budgets and streams to it.

  python -m hermes lab --policies hermes sliding-window full --budgets 12% 25% --streams 40 --out lab
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hermes.cli.model_options import add_model, load_model, model_folders
from hermes.cli.progress import CountProgress
from hermes.cli.ray import add_ray, open_cluster
from hermes.cli.terminal import print_json, print_table, text_argument
from hermes.errors import HermesError
from hermes.files.output import check_folder, write_text
from hermes.tables import Table

REPORTS = ("lab.json", "lab.csv", "lab.html")
DEFAULT_BUDGETS = ("6%", "12%", "25%", "50%")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument(
        "--policies", nargs="+", type=text_argument, metavar="NAME",
        help="policies and presets (default: all policies), optionally with settings: hermes:smoothing=off,k_long_term=2; "
        "“all”: every policy; “ablations”: every ablation; rekv@25%% or all@25%%: only at this budget",
    )  # fmt: skip
    parser.add_argument(
        "--budgets", nargs="+", default=DEFAULT_BUDGETS, metavar="BUDGET",
        help="tokens a layer may hold, or a share of the full cache (default: 6%% 12%% 25%% 50%%)",
    )  # fmt: skip
    parser.add_argument("--streams", type=int, default=24, help="number of streams (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=128, help="frames per stream (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the streams (default: %(default)s)")
    parser.add_argument(
        "--tempo", default="calm", help="how fast the cards change: dense, calm or slow (default: calm)"
    )
    add_model(parser)
    parser.add_argument(
        "--reference", metavar="NAME", help="the policy that the others are compared with (default: hermes)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("lab"), help="folder for measurements and reports (default: lab)"
    )
    parser.add_argument(
        "--merge", nargs="+", type=Path, metavar="FOLDER",
        help="measure nothing: add the results in the other folders to the report in the first one, on the same streams; a "
        "policy that was measured again replaces its older rows",
    )  # fmt: skip
    parser.add_argument(
        "--drop", nargs="+", default=[], metavar="NAME",
        help="with --merge: leave out the older rows of these policies, for example because the policy changed",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=int, metavar="N",
        help="number of processes, with one thread each (default: 1; with --ray: one for each GPU or core of the cluster)",
    )  # fmt: skip
    add_ray(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON instead of tables")


def run(args: argparse.Namespace) -> int:
    """Measure, summarise and write the reports; or merge reports."""
    from hermes.bench.machine import describe_machine  # noqa: PLC0415
    from hermes.lab.plan import identity, make_plan  # noqa: PLC0415
    from hermes.lab.run import run_plan  # noqa: PLC0415
    from hermes.lab.store import MEASUREMENTS, Store  # noqa: PLC0415
    from hermes.lab.summary import summarise  # noqa: PLC0415

    if args.merge:
        return _merge(args)
    if args.drop:
        raise HermesError("--drop needs --merge.")
    if args.workers is not None and args.workers < 1:
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
    progress = CountProgress("measurement", "measured")
    try:
        with open_cluster(args) as (cluster, workers):
            run_plan(plan, model, store, workers, progress, cluster)
    finally:
        progress.close()
        store.close()
    machine = describe_machine() | {"model": model.card.name, "layers": model.num_layers}
    summary = summarise(plan, store.tasks, store.found) | {"machine": machine, "command": _command(args)}
    _write(summary, args.out, args)
    return 0


def _merge(args: argparse.Namespace) -> int:
    """Add the results of other reports to the first one."""
    from hermes.lab.merge import merge_all  # noqa: PLC0415

    first = args.merge[0]
    check_folder(first, names=REPORTS)
    _write(merge_all([_read(folder) for folder in args.merge], args.drop), first, args)
    return 0


def _read(folder: Path) -> dict[str, Any]:
    """Read the report in a folder.

    Raises:
        HermesError: There is none, or it is damaged.
    """
    try:
        found = json.loads((folder / REPORTS[0]).read_text("utf-8"))
    except OSError as error:
        raise HermesError(f"There is no report in {folder}: {error.strerror}.") from error
    except ValueError as error:
        raise HermesError(f"{folder / REPORTS[0]} is damaged: it is not JSON.") from error
    wanted = {"setup", "groups", "cells", "comparisons", "expectations"}
    if not isinstance(found, dict) or not wanted <= set(found):
        raise HermesError(f"{folder / REPORTS[0]} is not a report of the lab.")
    return found


def _write(summary: dict[str, Any], folder: Path, args: argparse.Namespace) -> None:
    """Write the reports into a folder and print the summary."""
    from hermes.lab.report import report  # noqa: PLC0415
    from hermes.lab.table import as_csv, sections  # noqa: PLC0415

    contents = (json.dumps(summary, ensure_ascii=False, indent=1) + "\n", as_csv(summary), report(summary))
    for name, content in zip(REPORTS, contents, strict=True):
        write_text(folder / name, content)
    if args.json:
        print_json(summary)
    else:
        for section in sections(summary):
            if isinstance(section, Table):
                print_table(section)
            else:
                print(section)
            print()
        print(f"wrote {', '.join(REPORTS)} in {folder}")


def _policies(names: Sequence[str]) -> list[str]:
    """Expand “all” to every policy and “ablations” to every preset, each with the budget after “@”, if any."""
    from hermes.policies import POLICIES  # noqa: PLC0415
    from hermes.policies.presets import ABLATIONS  # noqa: PLC0415

    groups = {"all": list(POLICIES), "ablations": [preset.name for preset in ABLATIONS]}
    listed = []
    for given in names:
        group, at, budget = given.partition("@")
        listed += [f"{name}{at}{budget}" for name in groups[group]] if group in groups else [given]
    return listed


def _command(args: argparse.Namespace) -> str:
    """Return the command that repeats the measurement."""
    parts: list[Any] = ["python", "-m", "hermes", "lab"]
    if args.policies:
        parts += ["--policies", *args.policies]
    parts += ["--budgets", *args.budgets, "--streams", args.streams, "--frames", args.frames, "--seed", args.seed]
    for name, default in (("tempo", "calm"), ("model", "pocket"), ("reference", None)):
        if getattr(args, name) != default:
            parts += [f"--{name}", getattr(args, name)]
    return shlex.join(str(part) for part in parts)
