"""The lessons panel: the lessons that are available on this page, and the controller that answers its requests."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from typing import Any

from hermes.assets import GLOSSARY, LESSONS, POCKET
from hermes.bench.machine import memory_bytes
from ui.board.cells import MODES
from ui.lessons.controller import LessonController, calculator, plan
from ui.lessons.glossary import forms_of, read_glossary
from ui.lessons.metrics import published, recurrent
from ui.lessons.model import Known, LessonError
from ui.lessons.reader import read_lesson
from ui.player.clips import Clip
from ui.visitors.registry import Sessions

logger = logging.getLogger(__name__)


def known_here(clips: Mapping[str, Clip], runs: Collection[str], policies: Mapping[str, Any]) -> Known:
    """Return the clips, runs, policies and terms that lessons can refer to on this page."""
    terms = read_glossary(GLOSSARY)
    return Known({clip.id: clip.seconds for clip in clips.values()}, runs, policies, MODES, forms_of(terms))


def pocket_shape() -> dict[str, Any]:
    """Return the bundled model as a row of the calculator, from its configuration."""
    text = json.loads((POCKET / "config.json").read_text("utf-8"))["text_config"]
    heads = int(text["num_attention_heads"])
    return {
        "id": "pocket",
        "title": "HERMES pocket, the bundled model",
        "layers": text["num_hidden_layers"],
        "kv_heads": text.get("num_key_value_heads") or heads,
        "head_dim": text.get("head_dim") or text["hidden_size"] // heads,
        "dtype": "float32",
        "tokens_per_frame": 16,
        "note": "A small demonstration model with 16 tokens per frame. On a CPU its cache stores numbers of four bytes.",
    }


def make_lessons(
    sessions: Sessions,
    clips: Mapping[str, Clip],
    runs: Collection[str],
    policies: Mapping[str, Any],
) -> tuple[LessonController, dict[str, Any]]:
    """Return the controller and the initial data of the panel.

    Lessons whose clips or runs are not available are skipped with a warning.
    """
    known = known_here(clips, runs, policies)
    lessons = []
    for path in LESSONS.glob("*.json"):
        try:
            lessons.append(read_lesson(path, known))
        except LessonError as problem:
            logger.warning("%s Skipping this lesson.", problem)
    lessons.sort(key=lambda lesson: lesson.number)
    return LessonController(sessions, lessons, known), {
        "lessons": [plan(lesson, known) for lesson in lessons],
        "glossary": [term.card() for term in read_glossary(GLOSSARY)],
        "calculator": calculator(memory_bytes(), published(), pocket_shape(), recurrent()),
    }
