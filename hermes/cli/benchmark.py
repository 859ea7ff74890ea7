r"""Run a published benchmark on your own copy of its data, judge open-ended answers, and compare runs.

python -m hermes benchmark streamingbench --annotations streamingbench_realtime.json --videos data --model ID \
    --policy released --fps 0.5 --budget 6000 --out run.jsonl
python -m hermes benchmark judge run.jsonl --judge gpt-3.5-turbo-0125
python -m hermes benchmark report run.jsonl other.jsonl --out report.html
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from hermes.benchmarks.catalogue import BENCHMARKS, BenchmarkError, benchmark_of
from hermes.cli.ask import changed_settings
from hermes.cli.model_options import add_max_pixels, add_model, add_policy_settings, load_model, model_folders
from hermes.cli.progress import CountProgress
from hermes.cli.ray import add_ray, open_cluster
from hermes.cli.terminal import print_json, print_table, text_argument
from hermes.files.output import check_file, write_text
from hermes.tables import Table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's actions and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="NAME", title="benchmarks and actions")
    for name, benchmark in BENCHMARKS.items():
        child = actions.add_parser(name, help=benchmark.title, description=f"Run {benchmark.title}.")
        _configure_run(child)
    judge = actions.add_parser("judge", help="judge the open-ended answers of a run", description=_judge.__doc__)
    judge.add_argument("file", type=Path, metavar="FILE", help="a results file of RVS-Ego or RVS-Movie")
    judge.add_argument("--judge", type=text_argument, metavar="MODEL", help="name of the judging model")
    pairs = judge.add_mutually_exclusive_group()
    pairs.add_argument(
        "--write-pairs", type=Path, metavar="FILE", help="ask no judge: write the pairs to be judged as JSON lines"
    )
    pairs.add_argument(
        "--read-pairs", type=Path, metavar="FILE",
        help="ask no judge: read the written pairs, to which a judge has added “pred” (yes or no) and “score” (0 to 5)",
    )  # fmt: skip
    compare = actions.add_parser("report", help="compare runs side by side", description=_report.__doc__)
    compare.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="results files; the first is the reference"
    )
    compare.add_argument("--out", type=Path, metavar="FILE.html", help="also write a report with figures")
    compare.add_argument("--json", action="store_true", help="print the summary as JSON instead of tables")


def _configure_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--annotations", type=Path, required=True, metavar="FILE", help="the annotation file of the benchmark (JSON)"
    )
    parser.add_argument(
        "--videos", type=Path, required=True, metavar="DIR",
        help="folder of the videos: what follows /data/ in the paths of the annotation file is looked up here",
    )  # fmt: skip
    add_model(parser)
    parser.add_argument("--policy", default="released", help="policy of the memory, or a preset (default: %(default)s)")
    parser.add_argument("--budget", type=int, help="video tokens a layer may hold (default: the policy's)")
    parser.add_argument("--fps", type=float, default=1.0, help="frames per second to sample (default: %(default)g)")
    add_policy_settings(parser)
    add_max_pixels(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="stop after the first N videos of the annotation file")
    add_ray(parser)
    parser.add_argument(
        "--workers", type=int, metavar="N", help="with --ray: number of actors (default: one for each GPU or core)"
    )
    parser.add_argument("--resume", action="store_true", help="continue the results file of an interrupted run")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.jsonl", help="the results file")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON instead of tables")
    parser.add_argument(
        "--plugin", action="append", default=[], metavar="FILE",
        help="a Python file or module that registers your own policy; may be given several times",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run a benchmark, judge answers, or compare runs."""
    actions = {"judge": _judge, "report": _report}
    actions.get(args.action, _run)(args)
    return 0


def _run(args: argparse.Namespace) -> None:
    """Stream the videos, ask the questions and print the table."""
    from hermes.benchmarks.annotations import read_annotations  # noqa: PLC0415 - heavy
    from hermes.benchmarks.responder import PolicySettings, SessionResponder  # noqa: PLC0415
    from hermes.benchmarks.results import ResultsFile  # noqa: PLC0415
    from hermes.benchmarks.run import answer_here, check_rate, check_videos, run_benchmark  # noqa: PLC0415
    from hermes.benchmarks.summary import submission  # noqa: PLC0415
    from hermes.benchmarks.worker import BenchmarkWorker  # noqa: PLC0415
    from hermes.policies import loaded_plugins  # noqa: PLC0415

    benchmark, rate = benchmark_of(args.action), check_rate(args.fps)
    for name in ("limit", "workers"):
        if (given := getattr(args, name)) is not None and given < 1:
            raise BenchmarkError(f"--{name} must be at least 1, not {given}.")
    if args.workers is not None and args.ray is None:
        raise BenchmarkError("--workers needs --ray.")
    table = args.out.with_suffix(".csv") if benchmark.answers_hidden else None
    for output in (args.out, *([table] if table else [])):
        check_file(output, (args.annotations, *model_folders(args.model)))
    if not args.resume and args.out.exists() and args.out.stat().st_size:
        raise BenchmarkError(f"{args.out} exists. Add --resume to continue it, or choose another file.")
    annotations = read_annotations(args.annotations, benchmark)
    check_videos(annotations, args.videos)
    own = PolicySettings(args.policy, args.budget, args.guidance, changed_settings(args.policy, args.set))
    model = load_model(args)
    new_responder = partial(SessionResponder, model, own, benchmark.reindexing, rate)
    with closing(new_responder()) as first:
        settings = _settings(args, model, benchmark.name, annotations) | first.describe()
    with (
        ResultsFile(args.out, settings, _environment(model)) as file,
        closing(CountProgress("question", "questions")) as progress,
    ):
        with open_cluster(args) as (cluster, workers):
            if cluster is None:
                answer = partial(
                    answer_here, benchmark=benchmark, folder=args.videos, rate=rate, new_responder=new_responder
                )
            else:
                shared = (benchmark, args.videos.resolve(), rate, args.model, args.max_pixels, own, loaded_plugins())
                answer = partial(cluster.run, BenchmarkWorker, shared, actors=workers)
            run_benchmark(annotations, file, answer, args.limit, progress)
        results = file.results
    _print([(args.out.name, results)], as_json=args.json)
    if table:
        write_text(table, submission(results))
        print(f"wrote {table}", file=sys.stderr if args.json else sys.stdout)


def _settings(args: argparse.Namespace, model: Any, benchmark: str, annotations: Any) -> dict[str, Any]:
    """Return the settings that all records of a run share, without those of the policy."""
    from hermes.backbones.sources import revision  # noqa: PLC0415
    from hermes.benchmarks.results import FORMAT  # noqa: PLC0415
    from hermes.policies.limits import PUBLISHED_CHUNK  # noqa: PLC0415
    from hermes.policies.presets import PRESETS  # noqa: PLC0415

    return {
        "format": FORMAT,
        "benchmark": benchmark,
        "annotations": {
            "file": annotations.file,
            "sha256": annotations.digest,
            "questions": annotations.questions,
        },
        "model": args.model,
        "preset": args.policy if args.policy in PRESETS and not args.set and not args.guidance else None,
        "fingerprint": model.fingerprint,
        "revision": revision(args.model),
        "rate": args.fps,
        "chunk": PUBLISHED_CHUNK,
        "max_pixels": args.max_pixels,
    }


def _environment(model: Any) -> dict[str, Any]:
    import hermes  # noqa: PLC0415
    from hermes.bench.machine import describe_machine  # noqa: PLC0415

    return describe_machine() | {
        "hermes": hermes.__version__,
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
    }


def _judge(args: argparse.Namespace) -> None:
    """Compare open-ended answers with their references, by a model or by a file of pairs.

    The model is asked at the OpenAI-compatible endpoint of OPENAI_BASE_URL, with the key in OPENAI_API_KEY. Verdicts are
    added to the results file; an interrupted command continues when it is run again.
    """
    from hermes.benchmarks import judge as judging  # noqa: PLC0415
    from hermes.benchmarks.results import ResultsFile, read_results  # noqa: PLC0415

    if args.write_pairs:
        check_file(args.write_pairs, (args.file,))
        results = _open_ended(read_results(args.file))
        write_text(args.write_pairs, judging.pairs_of(results))
        print(f"wrote {args.write_pairs}")
        return
    if not args.judge:
        raise BenchmarkError("Name the judging model with --judge, or write the pairs to be judged with --write-pairs.")
    if not args.file.is_file():
        raise BenchmarkError(f"There is no results file {args.file}.")
    with ResultsFile(args.file) as file:
        _open_ended(file.results)
        if args.read_pairs:
            for key, verdict in list(judging.read_pairs(args.read_pairs, file.results)):
                file.add_verdict(args.judge, key, {"correct": verdict.correct, "score": verdict.score})
        else:
            with (
                closing(judging.EndpointJudge.from_environment(args.judge)) as judge,
                closing(CountProgress("question", "questions")) as progress,
            ):
                judging.judge_results(file, judge, progress)
        results = file.results
    _print([(args.file.name, results)])


def _open_ended(results: Any) -> Any:
    """Return results that need a judge.

    Raises:
        BenchmarkError: They are of a multiple-choice benchmark.
    """
    benchmark = benchmark_of(results.settings["benchmark"])
    if benchmark.choices:
        raise BenchmarkError(f"The questions of {benchmark.title} are multiple choice: answers need no judge.")
    return results


def _report(args: argparse.Namespace) -> None:
    """Compare results files side by side: accuracy, costs, and paired differences where the questions match."""
    from hermes.benchmarks.report import report  # noqa: PLC0415
    from hermes.benchmarks.results import read_results  # noqa: PLC0415
    from hermes.benchmarks.summary import summarise_runs  # noqa: PLC0415

    if args.out:
        check_file(args.out, args.files)
    runs = [(path.name, read_results(path)) for path in args.files]
    _print(runs, as_json=args.json)
    if args.out:
        write_text(args.out, report(summarise_runs(runs)))
        print(f"wrote {args.out}", file=sys.stderr if args.json else sys.stdout)


def _print(runs: list[tuple[str, Any]], *, as_json: bool = False) -> None:
    from hermes.benchmarks.summary import summarise_runs  # noqa: PLC0415
    from hermes.benchmarks.table import sections_of  # noqa: PLC0415

    summary = summarise_runs(runs)
    if as_json:
        print_json(summary)
        return
    for part in sections_of(summary):
        if isinstance(part, Table):
            print_table(part)
        else:
            print(part)
        print()
