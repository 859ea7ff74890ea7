"""Full evaluation of the model of everyday objects, written as JSON and model card."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

import hermes
from hermes.backbones.base import Backbone
from hermes.eval.markdown import percent, table, verdict, with_guess, with_interval
from hermes.eval.offered import RULE, offered_kinds, write_offered
from hermes.eval.report import RESULTS
from hermes.eval.scoring import Setup
from hermes.eval.speed import measure_speed
from hermes.eval.things import StreamPictures, evaluate, name_photographs
from hermes.things.measuring import Photograph
from hermes.things.objects import CATEGORIES, OBJECTS
from hermes.things.pictures import read_shipped
from hermes.things.questions import KINDS
from hermes.things.story import HISTORY, STORY
from hermes.things.world import render_stream

FIXED: Final = Setup(6, 32, 0, background="held-out")  # streams that a test evaluates again
BUDGET: Final = 256  # a quarter of the tokens of 64 frames
POLICIES: Final = 3  # compared under the budget
MEMORY_KINDS: Final = ("before", "first", "exists", "category", "after")
SETS: Final = {
    "known": "known cut-outs",
    "photographic": "held-out photographic cut-outs",
    "drawn": "held-out drawings",
}
NAMES: Final = {
    "now": "what is shown now",
    "before": "just before",
    "first": "first",
    "exists": "was there an object",
    "category": "was there a category, which one",
    "after": "what came after",
    "place": "where is it, where was it",
    "count": "how many different objects",
}
# With the full cache, streams of 64 frames with held-out cut-outs.
GOALS: Final = {"now": 0.9, "first": 0.88, "before": 0.85, "exists": 0.9, "category": 0.88, "place": 0.85}
PHOTOGRAPH_GOALS: Final = {"objects": 0.6, "nothing": 0.8}
MAX_LOST: Final = 0.04  # by hermes at a quarter of the cache, over all kinds
FASTEST: Final = 25  # frames per second on two threads
SOONEST: Final = 100  # milliseconds to first token
LEAD: Final = 0.3  # of hermes over the sliding window, on questions about the past


def weights_digest(folder: Path) -> str:
    """Return the SHA-256 of all weight files."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("model*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def report(
    folder: Path,
    pictures: Mapping[str, StreamPictures],
    photographs: Sequence[Photograph],
    scale: float,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Measure everything; write `evaluation.json` as results come in, then the offered questions to `hermes.json`.

    Args:
        folder: Model folder.
        pictures: Pictures for the streams, by the names in `SETS`; "known" is required.
        photographs: Photographs to recognise with the tower alone; may be empty.
        scale: Fraction of the full number of streams; 0 measures only the fixed streams and the photographs.
        progress: Called with a one-line message for each measurement.
    """
    torch.set_num_threads(1)
    model = hermes.load(folder, device="cpu")
    found: dict[str, Any] = {
        "model_sha256": weights_digest(folder),
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}, torch {torch.__version__}",
        "results": {},
    }

    def keep(group: str, result: dict[str, Any]) -> None:
        found["results"].setdefault(group, []).append(result)
        (folder / RESULTS).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        progress(f"{group}: " + " ".join(f"{name} {row['accuracy']:.2f}" for name, row in result["kinds"].items()))

    found["speed"] = [_measure_speed(model, threads) for threads in (1, 2)]
    if photographs:
        found["photographs"] = name_photographs(model, photographs)
    keep("fixed", evaluate(model, FIXED, pictures["known"]))
    if scale > 0:
        names = sorted(pictures, key=list(SETS).index)
        for name in names:
            setup = Setup(max(2, round(200 * scale)), 64, 1, background="held-out")
            keep(name, evaluate(model, setup, pictures[name]))
        for policy, budget in (("full", None), ("hermes", BUDGET), ("sliding-window", BUDGET)):
            setup = Setup(max(2, round(80 * scale)), 64, 2, policy, budget, background="held-out")
            keep("policies", evaluate(model, setup, pictures["known"]))
    write_offered(folder, found["results"])
    return found


def _measure_speed(model: Backbone, threads: int) -> dict[str, float]:
    """Measure the ingest rate and the time to first token with 64 frames cached, on a number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    stream = render_stream(1, 64, *read_shipped(), size=384)
    rate, first = measure_speed(model, stream, 16, "What was the first object?")
    torch.set_num_threads(before)
    return {"threads": threads, "frames_per_second": rate, "first_token_ms": first}


def write_card(folder: Path, found: dict[str, Any]) -> None:
    """Write `README.md`; all numbers in its tables come from the measurements."""
    results = found["results"]
    parts = [
        STORY.strip(),
        _accuracy(results),
        _offered(results),
        _budget(results),
        _photographs(found),
        _goals(found),
        HISTORY.strip(),
    ]
    parts.append(_machine(found))
    (folder / "README.md").write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def _accuracy(results: dict[str, Any]) -> str:
    columns = {name: results[name][0] for name in SETS if name in results}
    columns = columns or {"known": results["fixed"][0]}
    head = ["question"]
    for name, result in columns.items():
        setup = result["setup"]
        head.append(f"{SETS[name]} ({setup['streams']} streams of {setup['frames']} frames)")
    rows = [[NAMES[kind], *(with_guess(r["kinds"].get(kind)) for r in columns.values())] for kind in KINDS]
    return (
        "## Accuracy with the full cache\n\nExact match, greedy decoding, asked at the end of rendered streams with "
        "held-out backgrounds; in brackets the 95 % bootstrap interval, clustered by stream. The guess level is the best "
        "accuracy without looking at the evidence. Known cut-outs (`assets/objects`) were used in training, with other "
        "backgrounds; the others were not.\n\n" + table(head, rows)
    )


def _offered(results: dict[str, Any]) -> str:
    offered = offered_kinds(results)
    missing = [NAMES[kind] for kind in KINDS if kind not in offered]
    return (
        f"## Questions offered in the page\n\n{RULE} Offered (`offered_questions` in `hermes.json`): "
        f"{'; '.join(NAMES[kind] for kind in offered) or 'none'}. Not offered: {'; '.join(missing) or 'none'}."
    )


def _budget(results: dict[str, Any]) -> str:
    if len(results.get("policies", ())) < POLICIES:
        return ""
    rows = []
    for result in results["policies"]:
        setup = result["setup"]
        name = setup["policy"] + (f" {setup['budget']}" if setup["budget"] else "")
        rows.append([name, *(percent(result["kinds"][kind]["accuracy"]) for kind in KINDS)])
    count = results["policies"][0]["setup"]["streams"]
    return (
        f"## Memory under a budget\n\n{count} streams of 64 frames (1,024 tokens) with known cut-outs; the number after a "
        "policy is its budget in tokens per layer.\n\n" + table(["policy", *KINDS], rows)
    )


def _photographs(found: dict[str, Any]) -> str:
    if "photographs" not in found:
        return ""
    rows = []
    for key, name in (
        ("objects", "object named correctly"),
        ("nothing", "no object named in a photograph without one"),
    ):
        row = found["photographs"][key]
        rows.append([name, with_interval(row), str(row["n"])])
    wrong = [p for p in found["photographs"]["pictures"] if p["label"] and p["named"] not in (None, p["label"])]
    listed = "; ".join(f"{p['label']} → {p['named']}" for p in wrong) or "none"
    return (
        "## Whole photographs\n\nThe tower alone, on photographs of Debian packages (`hermes/things/measuring.py`) that are "
        f"not used in training.\n\n{table(['', 'accuracy', 'photographs'], rows)}\n\nNamed wrongly: {listed}."
    )


def _goals(found: dict[str, Any]) -> str:
    results, rows = found["results"], []

    def add(name: str, goal: str, value: str, reached: bool) -> None:
        rows.append([name, goal, value, verdict(reached)])

    source = next((name for name in ("photographic", "known") if name in results), "fixed")
    label = SETS.get(source, SETS["known"])
    base = results[source][0]["kinds"]
    for kind, goal in GOALS.items():
        value = base[kind]["accuracy"]
        add(f"{NAMES[kind]}, {label}", f"at least {percent(goal)}", percent(value), value >= goal)
    if len(results.get("policies", ())) == POLICIES:
        full, ours, window = (result["kinds"] for result in results["policies"])
        lost = _mean(full, KINDS) - _mean(ours, KINDS)
        name = "hermes at a quarter of the cache"
        add(name, f"at most {percent(MAX_LOST)} lost", f"{percent(lost)} lost", lost <= MAX_LOST)
        lead = _mean(ours, MEMORY_KINDS) - _mean(window, MEMORY_KINDS)
        add("hermes over the sliding window, memory", f"at least {percent(LEAD)}", percent(lead), lead >= LEAD)
    else:
        rows.append(["memory under a budget", "", "not measured yet", ""])
    for key, goal in PHOTOGRAPH_GOALS.items():
        if "photographs" in found:
            value = found["photographs"][key]["accuracy"]
            add(f"whole photographs: {key}", f"at least {percent(goal)}", percent(value), value >= goal)
    rate, first = (found["speed"][-1][key] for key in ("frames_per_second", "first_token_ms"))
    add("frames per second, two threads", f"at least {FASTEST}", f"{rate}", rate >= FASTEST)
    add("first token, two threads", f"at most {SOONEST} ms", f"{first} ms", first <= SOONEST)
    return "## Targets\n\n" + table(["", "target", "measured", ""], rows)


def _mean(kinds: dict[str, Any], chosen: Sequence[str]) -> float:
    """Return the mean accuracy over all questions of the given kinds."""
    total = sum(kinds[kind]["n"] for kind in chosen)
    return float(sum(kinds[kind]["accuracy"] * kinds[kind]["n"] for kind in chosen) / total)


def _machine(found: dict[str, Any]) -> str:
    one, two = found["speed"]
    size = f"{len(OBJECTS)} objects in {len(CATEGORIES)} categories"
    return (
        f"## Measured\n\n`python -m hermes eval things --report --data FOLDER`, weights with SHA-256 "
        f"`{found['model_sha256'][:16]}…`, {found['machine']}; {size}. Speed on one thread: "
        f"{one['frames_per_second']} frames per second of 384 x 384 pixels, preprocessing included; first token after "
        f"{one['first_token_ms']} ms with 64 frames cached. On two threads: {two['frames_per_second']} frames per second, "
        f"{two['first_token_ms']} ms."
    )
