"""Generation of the pocket model's card; all numbers in it come from the measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from hermes.cards.questions import KINDS
from hermes.eval.markdown import percent, table, verdict, with_guess
from hermes.eval.report import FIGURE, describe, memory_mean, rows_of
from hermes.files.output import write_text
from hermes.pocket.decoder import RECENT as RECENT_LAYERS

CARD: Final = "README.md"
RECENT: Final = 16  # number of frames that the figure's caption calls new
# Goals with the full cache, defined before training.
GOALS: Final = {
    "now": 0.97,
    "before": 0.93,
    "first": 0.95,
    "exists": 0.93,
    "after": 0.85,
    "attribute": 0.85,
    "place": 0.85,
    "count within one": 0.95,
    "count": 0.8,
}
MAX_LOST: Final = 0.08  # maximum loss of accuracy of any kind at 128 and 256 frames, relative to 64
MAX_LOST_BACKGROUND: Final = 0.05  # maximum loss of accuracy of "now" on other backgrounds
NAMES: Final = {
    "now": "now (what, colour, shape, where)",
    "before": "just before",
    "first": "first",
    "exists": "was there",
    "after": "what came after",
    "attribute": "colour or shape of",
    "place": "where was",
    "count": "how many (exact)",
}


def write_card(folder: Path, found: dict[str, Any], story: str) -> None:
    """Write `README.md`.

    Args:
        folder: Model folder.
        found: Return value of `hermes.eval.report.report`.
        story: Description of the model and its training, in Markdown; the tables follow it.
    """
    results = found["results"]
    parts = [story.strip(), _full(results), _goals(results), _ages(results), _policies(results), _prompts(results)]
    parts += [_backgrounds(results), _attention(found), _machine(found)]
    write_text(folder / CARD, "\n\n".join(part for part in parts if part) + "\n")


def _full(results: dict[str, Any]) -> str:
    columns = list(rows_of(results, "full"))
    rows = [[NAMES[kind], *(with_guess(result["kinds"].get(kind)) for result in columns)] for kind in KINDS]
    within = ["how many (within one)"]
    within += [f"**{percent(r['kinds']['count']['within_one'])}**" if "count" in r["kinds"] else "–" for r in columns]
    head = ["question", *(f"{r['setup']['frames']} frames ({r['setup']['streams']} streams)" for r in columns)]
    return (
        "## Accuracy with the full cache\n\nExact match, greedy decoding, asked at the end of newly rendered streams; in "
        "brackets the 95 % bootstrap interval, clustered by stream. The guess level is the best accuracy without looking at "
        "the evidence: always the most common answer, or naming what was shown most often. At 256 frames the true answer to "
        "most counting questions is “more than 9”.\n\n" + table(head, [*rows, within])
    )


def _goals(results: dict[str, Any]) -> str:
    """Report which of the goals defined before training were reached."""
    columns = {r["setup"]["frames"]: r["kinds"] for r in rows_of(results, "full")}
    if not {64, 128, 256} <= columns.keys():
        return ""
    base = columns[64]
    rows = []
    for kind, goal in GOALS.items():
        value = base["count"]["within_one"] if kind == "count within one" else base[kind]["accuracy"]
        rows.append([f"{kind}, 64 frames", f"at least {percent(goal)}", percent(value), verdict(value >= goal)])
    for frames in (128, 256):
        for kind in KINDS:
            lost = base[kind]["accuracy"] - columns[frames][kind]["accuracy"]
            if lost > MAX_LOST:
                rows.append(
                    [f"{kind}, {frames} frames", f"at most {percent(MAX_LOST)} lost", percent(lost), verdict(False)]
                )
    for result in rows_of(results, "backgrounds"):
        lost = base["now"]["accuracy"] - result["kinds"]["now"]["accuracy"]
        name = f"now, {result['setup']['background']} backgrounds"
        rows.append(
            [
                name,
                f"at most {percent(MAX_LOST_BACKGROUND)} lost",
                percent(lost),
                verdict(lost <= MAX_LOST_BACKGROUND),
            ]
        )
    return (
        "### Goals set before training\n\n"
        + table(["question", "goal", "measured", ""], rows)
        + "\n\nKinds that are not listed for 128 and 256 frames lost less than the goal allows."
    )


def _ages(results: dict[str, Any]) -> str:
    rows = []
    for result in rows_of(results, "full"):
        for age, row in result["age_in_frames"].items():
            rows.append(
                [str(result["setup"]["frames"]), age, percent(row["accuracy"]), percent(row["guess"]), str(row["n"])]
            )
    head = ["frames", "age of the evidence, in frames", "accuracy", "guess", "questions"]
    return "### By age of the evidence (questions about one past card)\n\n" + table(head, rows)


def _policies(results: dict[str, Any]) -> str:
    rows = []
    for result in rows_of(results, "policies"):
        setup, kinds = result["setup"], result["kinds"]
        name = setup["policy"] + (f" {setup['budget']}" if setup["budget"] else "")
        name += f", {setup['guidance']} guidance" if setup["guidance"] else ""
        rows.append([name, *(percent(kinds[k]["accuracy"]) if k in kinds else "–" for k in KINDS)])
    if not rows:
        return ""
    setup = next(rows_of(results, "policies"))["setup"]
    guidance = next(rows_of(results, "policies"))["guidance_prompts"]
    rows.append(["*guess*", *(percent(next(rows_of(results, "policies"))["kinds"][k]["guess"]) for k in KINDS)])
    return (
        f"## Memory under a budget\n\n{setup['streams']} streams of {setup['frames']} frames ({16 * setup['frames']:,} "
        f"tokens), seed {setup['seed']}; the number after a policy is its budget in tokens per layer. Guidance prompts: "
        f"“{guidance['local']}” (local), “{guidance['global']}” (global).\n\n" + table(["policy", *KINDS], rows)
    )


def _prompts(results: dict[str, Any]) -> str:
    found = sorted(rows_of(results, "prompts"), key=memory_mean, reverse=True)
    if not found:
        return ""
    kinds = ("now", "before", "first", "exists", "after", "attribute", "place")
    rows = [
        [
            f"“{r['guidance_prompts']['global']}”",
            percent(memory_mean(r)),
            *(percent(r["kinds"][k]["accuracy"]) for k in kinds),
        ]
        for r in found
    ]
    setup = found[0]["setup"]
    return (
        "## What the global guidance prompt changes\n\n"
        f"hermes, budget {setup['budget']}, {setup['streams']} streams of {setup['frames']} frames, seed {setup['seed']} "
        "(used only here). The column “memory” is the mean of first, exists, after, attribute, place. Best and worst "
        f"differ by {100 * (memory_mean(found[0]) - memory_mean(found[-1])):.1f} points.\n\n"
        + table(["global prompt", "memory", *kinds], rows)
    )


def _backgrounds(results: dict[str, Any]) -> str:
    rows = [
        [describe(r["setup"]), *(percent(r["kinds"][k]["accuracy"]) for k in KINDS)]
        for r in rows_of(results, "backgrounds")
    ]
    return (
        "## Other backgrounds\n\nThe tables above use calm backgrounds. This one uses procedural backgrounds with the "
        "statistics of photographs (also used in training), held-out kinds (foliage, bricks), and held-out photographs "
        "(`assets/photographs/held-out`).\n\n" + table(["streams", *KINDS], rows)
        if rows
        else ""
    )


def _attention(found: dict[str, Any]) -> str:
    if "attention" not in found:
        return ""
    ages, share = found["attention"]["ages"], found["attention"]["share"]
    recent = [sum(v for v, (_, high) in zip(row, ages, strict=True) if high < RECENT) for row in share]
    listed = ", ".join(f"layer {layer} {percent(value)}" for layer, value in enumerate(recent))
    even = percent(RECENT / (ages[-1][1] + 1))
    shallow = [recent[layer] for layer in RECENT_LAYERS]
    return (
        f"## Attention by layer\n\n![attention by layer and age]({FIGURE})\n\nShare of each layer's attention to "
        f"frames that falls on the newest {RECENT} of {ages[-1][1] + 1} frames (uniform attention: {even}): {listed}."
        "\n\nThe paper reports for 7B models that shallow layers attend to the newest tokens and deep layers sparsely to "
        "anchor tokens of all ages. In this model both were trained: words in layers "
        f"{', '.join(str(layer) for layer in RECENT_LAYERS)} were rewarded for attending to the newest frames, and the "
        "long-term layers for putting half of their attention on the cards that a question is about, of any age. "
        f"Of these shallow layers, {_all_or_some(shallow, 2 * RECENT / (ages[-1][1] + 1))} more than twice the attention of "
        "uniform attention to the newest frames."
    )


def _all_or_some(shares: list[float], least: float) -> str:
    """Describe how many of the shares exceed `least`, in words that precede "more than"."""
    count = sum(share > least for share in shares)
    return "all pay" if count == len(shares) else "none pays" if not count else f"{count} of {len(shares)} pay"


def _machine(found: dict[str, Any]) -> str:
    speed = found.get("speed", {})
    return (
        "## Measured\n\n"
        f"`python -m hermes eval pocket --report`, weights with SHA-256 `{found['model_sha256'][:16]}…`, "
        f"{found['machine']}. "
        + (
            f"Speed with {speed['threads']} thread{'s' * (speed['threads'] > 1)}: "
            f"{speed['frames_per_second']} frames per second of 384 x 384 pixels, "
            f"preprocessing included; first token after {speed['first_token_ms_at_4096_tokens']} ms with 4,096 tokens "
            "cached."
            if speed
            else ""
        )
    )
