"""Summaries of benchmark runs: accuracies with intervals, what was skipped, what answers cost, and paired comparisons.

Questions about one video share its frames, so all intervals come from a bootstrap over videos.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hermes.benchmarks.catalogue import BENCHMARKS, Benchmark, BenchmarkError
from hermes.benchmarks.groups import ScoreGroup, groups_of
from hermes.benchmarks.results import Json, Key, Results
from hermes.lab.statistics import bootstrap_weights, holm, mcnemar_exact, mean_interval, weighted_ratios_interval

Float = npt.NDArray[np.float64]
MAX_RUNS: Final = 26
"""Most runs in one report: each has a letter."""


def summarise_runs(runs: Sequence[tuple[str, Results]]) -> list[Json]:
    """Summarise results files.

    Args:
        runs: Name and content of each file. The first run of a section is its reference.

    Returns:
        Sections for JSON, one for each benchmark and, for open-ended answers, each judge, because numbers of different
        judges must not be compared. Each has `benchmark`, `title`, `judge`, `runs` (see `summarise_run`) and `comparisons`.

    Raises:
        BenchmarkError: There are too many runs.
    """
    if not 1 <= len(runs) <= MAX_RUNS:
        raise BenchmarkError(f"A report compares at least one and at most {MAX_RUNS} results files.")
    sections: dict[tuple[str, str], list[tuple[str, str, Results]]] = {}
    for i, (name, results) in enumerate(runs):
        benchmark = results.settings["benchmark"]
        judges = [""] if BENCHMARKS[benchmark].choices else list(results.verdicts) or [""]
        for judge in judges:
            sections.setdefault((benchmark, judge), []).append((chr(ord("A") + i), name, results))
    return [_section(BENCHMARKS[benchmark], judge, part) for (benchmark, judge), part in sections.items()]


def _section(benchmark: Benchmark, judge: str, runs: Sequence[tuple[str, str, Results]]) -> Json:
    comparisons = [row for other in runs[1:] for row in compare_runs(benchmark, judge, runs[0], other)]
    tested = [row for row in comparisons if row["p"] is not None]
    for row, corrected in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = corrected
    return {
        "benchmark": benchmark.name,
        "title": benchmark.title,
        "judge": judge,
        "runs": [{"label": label, "file": name} | summarise_run(benchmark, judge, run) for label, name, run in runs],
        "comparisons": comparisons,
    }


def summarise_run(benchmark: Benchmark, judge: str, results: Results) -> Json:
    """Summarise one results file.

    Args:
        benchmark: Its benchmark.
        judge: The judge whose verdicts count; empty for multiple choice.
        results: Its content.

    Returns:
        For JSON: `settings`; `environments`; `questions`, the number in the annotation file; `recorded`; `scored`;
        `skipped`, reason -> number; `beyond_end`, questions after the end of their video; `no_letter`, answers without a
        letter A to H; `unjudged`; `groups`, each with `name`, `title`, `kind`, `n`, `value`, `low` and `high`; `score`, the
        judge's mean score with its interval, or None; and `cost`, None without answers.
    """
    rows = results.rows
    answered = [row for row in rows if "answer" in row]
    correct = _correct(results, judge)
    scored = [row for row in answered if _key(row) in correct]
    right = np.array([correct[_key(row)] for row in scored], np.float64)
    cluster, weights = _clusters(scored)
    groups = [_accuracy(group, right, cluster, weights) for group in groups_of(benchmark, scored)]
    return {
        "settings": results.settings,
        "environments": results.environments,
        "questions": results.settings["annotations"]["questions"],
        "recorded": len(rows),
        "scored": len(scored),
        "skipped": dict(Counter(row["skipped"] for row in rows if "skipped" in row)),
        "beyond_end": sum(row["frames_missing"] > 0 for row in answered),
        "no_letter": sum(row.get("letter") is None for row in answered) if benchmark.choices else None,
        "unjudged": None if benchmark.choices else len(answered) - len(scored),
        "groups": groups,
        "score": _mean_score(results, judge, scored, cluster, weights) if judge else None,
        "cost": _cost(answered),
    }


def compare_runs(
    benchmark: Benchmark, judge: str, reference: tuple[str, str, Results], other: tuple[str, str, Results]
) -> list[Json]:
    """Compare two runs on the questions that both answered.

    Questions match if video, text, time, options and reference answer are equal.

    Returns:
        For JSON, one row for each total: `run`, `reference`, `group`, `title`, `n`, `difference` (run minus reference) with
        `low` and `high`, `only_run` and `only_reference` (questions that only one answered correctly) `p` (McNemar's exact
        test; None for a weighted mean over all questions) and `p_holm`, None until it is corrected.
    """
    first, second = (_matchable(results, judge) for _, _, results in (reference, other))
    shared = [name for name in first if name in second]
    if not shared:
        return []
    rows = [first[name][0] for name in shared]
    theirs = np.array([first[name][1] for name in shared], np.float64)
    mine = np.array([second[name][1] for name in shared], np.float64)
    cluster, weights = _clusters(rows)
    compared = []
    for group in groups_of(benchmark, rows):
        if group.kind != "total":
            continue
        members = group.members
        row = _accuracy(group, mine - theirs, cluster, weights)
        only = int((mine > theirs)[members].sum())
        lost = int((theirs > mine)[members].sum())
        compared.append(
            {
                "run": other[0],
                "reference": reference[0],
                "group": group.name,
                "title": group.title,
                "n": row["n"],
                "difference": row["value"],
                "low": row["low"],
                "high": row["high"],
                "only_run": only,
                "only_reference": lost,
                # A weighted mean over all questions is no second test of the same answers.
                "p": None if group.name != "all" and members.all() else mcnemar_exact(only, lost),
                "p_holm": None,
            }
        )
    return compared


def _key(row: Json) -> Key:
    return row["video"], row["question"]


def _correct(results: Results, judge: str) -> dict[Key, bool]:
    """Whether each scored answer is correct, by question."""
    if judge:
        return {key: found["correct"] for key, found in results.verdicts[judge].items() if "correct" in found}
    return {key: row["correct"] for key, row in results.records.items() if row.get("correct") is not None}


def _matchable(results: Results, judge: str) -> dict[tuple[Any, ...], tuple[Json, bool]]:
    """Scored records by what identifies a question in any annotation file; equal questions are numbered."""
    correct, seen = _correct(results, judge), Counter[tuple[Any, ...]]()
    found = {}
    for row in results.rows:
        key = _key(row)
        name = (row["path"], row["text"], row["end"], row["reference"], tuple(row.get("choices", ())))
        seen[name] += 1
        if key in correct and "answer" in row:
            found[*name, seen[name]] = (row, correct[key])
    return found


def _clusters(rows: Sequence[Json]) -> tuple[npt.NDArray[np.int64], Float]:
    """Number of the video of each question [questions], and bootstrap weights [draws, videos]."""
    numbers: dict[str, int] = {}
    cluster = np.array([numbers.setdefault(row["path"], len(numbers)) for row in rows], np.int64)
    return cluster, bootstrap_weights(max(len(numbers), 1))


def _sums(values: Float, members: npt.NDArray[np.bool_], cluster: npt.NDArray[np.int64], videos: int) -> Float:
    return np.bincount(cluster[members], weights=values[members], minlength=videos).astype(np.float64)


def _accuracy(group: ScoreGroup, values: Float, cluster: npt.NDArray[np.int64], weights: Float) -> Json:
    """Mean of the values of a group with its interval."""
    videos, ones = weights.shape[1], np.ones(len(values))
    sums = np.stack([_sums(values, part, cluster, videos) for part in group.parts])
    counts = np.stack([_sums(ones, part, cluster, videos) for part in group.parts])
    shares = np.array(group.shares)
    value = float(sums.sum(axis=1) / counts.sum(axis=1) @ shares)
    low, high = weighted_ratios_interval(sums, counts, shares, weights)
    about = {"name": group.name, "title": group.title, "kind": group.kind, "n": int(group.members.sum())}
    return about | {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)}


def _mean_score(
    results: Results, judge: str, rows: Sequence[Json], cluster: npt.NDArray[np.int64], weights: Float
) -> Json | None:
    if not rows:
        return None
    every = np.ones(len(rows), bool)
    scores = np.array([results.verdicts[judge][_key(row)]["score"] for row in rows], np.float64)
    videos = weights.shape[1]
    low, high = mean_interval(
        _sums(scores, every, cluster, videos), _sums(np.ones(len(rows)), every, cluster, videos), weights
    )
    return {"value": round(float(scores.mean()), 3), "low": round(low, 3), "high": round(high, 3)}


def _cost(answered: Sequence[Json]) -> Json | None:
    """Time to first token, tokens read, cache and frames of the answers; None without answers."""
    if not answered:
        return None
    first = np.array([row["times"]["first_token_ms"] for row in answered])
    return {
        "first_token_ms": round(float(np.median(first)), 2),
        "first_token_ms_p95": round(float(np.quantile(first, 0.95)), 2),
        "tokens_read": round(float(np.mean([row["tokens_read"] for row in answered])), 1),
        "tokens_read_most": max(row["tokens_read_most"] for row in answered),
        "cache_bytes": max(row["cache_bytes"] for row in answered),
        "frames": round(float(np.mean([row["frames"] for row in answered])), 1),
    }


def submission(results: Results) -> str:
    """Return the answers to EgoSchema as the CSV that its server accepts: `q_uid,answer`, options from 0.

    An answer without a letter, or a question that was skipped, counts as the first option.
    """
    lines = ["q_uid,answer"]
    for row in results.rows:
        letter = row.get("letter")
        lines.append(f"{_cell(row['id'])},{'ABCDEFGH'.index(letter) if letter in tuple('ABCDEFGH') else 0}")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Quote a CSV cell if it needs it."""
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n\r') else text
