"""The recorded runs listed in `assets/runs/index.json`. They are read once and shared by all visitors."""

from __future__ import annotations

import base64
import json
import logging
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hermes.errors import HermesError
from hermes.trace import LabRun, Run, read, read_lab

logger = logging.getLogger(__name__)

ENDING = ".hermesrun"
AnyRun = TypeVar("AnyRun", Run, LabRun)


def read_runs(folder: Path) -> dict[str, Run]:
    """Return the runs in a folder's `index.json` by id, in its order. Unreadable runs are skipped with a warning."""
    return _read_all(folder, "runs", partial(read, trusted=True))


def read_lab_runs(folder: Path) -> dict[str, LabRun]:
    """Return the lab runs in a folder's `index.json`; see `read_runs`."""
    return _read_all(folder, "labs", partial(read_lab, trusted=True))


def _read_all(folder: Path, listed_as: str, reader: Callable[[Path], AnyRun]) -> dict[str, AnyRun]:
    try:
        index = json.loads((folder / "index.json").read_text("utf-8"))
        listed = [str(entry["id"]) for entry in index.get(listed_as, [])]
    except OSError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("Skipping the %s of %s: %s", listed_as, folder, error)
        return {}
    runs: dict[str, AnyRun] = {}
    for name in listed:
        try:
            run = reader(folder / f"{name}{ENDING}")
        except HermesError as error:
            logger.warning("Skipping run %s: %s", name, error)
            continue
        if run.id == name:
            runs[name] = run
        else:
            logger.warning("Skipping run %s: its file has the id “%s”", name, run.id)
    return runs


def read_openings(folder: Path) -> dict[str, float]:
    """Return the stream time in seconds at which each run and lab run opens, by id (`open_at` in `index.json`, or 0)."""
    try:
        index = json.loads((folder / "index.json").read_text("utf-8"))
        listed = [*index["runs"], *index.get("labs", [])]
        openings = {str(entry["id"]): float(entry.get("open_at", 0.0)) for entry in listed}
    except OSError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("The runs of %s open at their start: %s", folder, error)
        return {}
    return {name: seconds for name, seconds in openings.items() if math.isfinite(seconds) and seconds >= 0}


def card(run: Run, open_at: float = 0.0) -> dict[str, Any]:
    """Return the entry for the page's list of runs. The run opens at `open_at` seconds."""
    return {
        "id": run.id,
        "title": run.title,
        "about": run.about,
        "seconds": run.seconds,
        "open_at": min(open_at, run.seconds),
        "poster": _poster(run),
        "policy": run.head.policy.get("title", ""),
        "speed": usual_speed(run.seconds),
    }


def lab_card(run: LabRun, open_at: float = 0.0) -> dict[str, Any]:
    """Return the entry for the page's list of lab runs. The run opens at `open_at` seconds."""
    return {
        "id": run.id,
        "title": run.title,
        "about": run.head.about,
        "seconds": run.seconds,
        "open_at": min(open_at, run.seconds),
        "poster": _poster(run.lanes[0]),
        "clip": run.head.clip_id,
    }


def usual_speed(seconds: float) -> int:
    """Return the initial replay speed: the lowest at which the run takes at most `LONGEST_SHOW` seconds."""
    return next((speed for speed in SPEEDS if seconds / speed <= LONGEST_SHOW), SPEEDS[-1])


SPEEDS = (1, 2, 8, 30)
"""Replay speeds on the page, in seconds of stream time per second."""
LONGEST_SHOW = 100.0


def label(run: Run) -> str:
    """Return a one-line description of a run: model, policy, budget, frame rate, date and machine."""
    head = run.head
    parts = [
        str(head.model.get("title") or run.settings.model),
        _policy_summary(run),
        f"{run.settings.fps:g} frames per second",
        f"recorded {head.created[:10]} on {head.machine}" if head.created else "",
    ]
    return " · ".join(part for part in parts if part)


def lab_label(run: LabRun) -> str:
    """Return a one-line description of a lab run: model, budget, frame rate, date and machine."""
    head = run.head
    parts = [
        str(head.model.get("title") or head.settings.model),
        f"{head.settings.budget:,} tokens per layer",
        f"{head.settings.fps:g} frames per second",
        f"recorded {head.created[:10]} on {head.machine}" if head.created else "",
    ]
    return " · ".join(part for part in parts if part)


def settings_line(run: Run) -> str:
    """Return the settings of a run in one line, in the style of the settings panel."""
    changed = len(run.settings.changed)
    more = f", {changed} setting{'s' * (changed != 1)} changed" if changed else ""
    return f"{_policy_summary(run)}, {run.settings.fps:g} frames per second{more}"


def _policy_summary(run: Run) -> str:
    policy = run.head.policy.get("title") or run.settings.policy
    view = run.moment(0)
    budget = view.snapshot.budget if view.snapshot else -1
    return f"{policy}, {budget:,} tokens per layer" if budget >= 0 else f"{policy}, no budget"


def _poster(run: Run) -> str:
    """Return an image from the first third of the run as a data URL; "" if there is none."""
    view = run.view(min(run.seconds / 3, 3.0))
    picture = run.picture(view.frame_index) if view.frame_index >= 0 else None
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode('ascii')}" if picture else ""
