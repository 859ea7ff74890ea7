"""Splits a chat template at the video and the question."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

from jinja2 import TemplateError

from hermes.backbones.sources import ModelError

logger = logging.getLogger(__name__)

QUESTION: Final = "\u241f"
"""Placeholder for the question in the text after the video."""


def split_template(tokenizer: Any, templates: Iterable[str | None], video_marker: str) -> tuple[str, str]:
    """Return the texts before and after the video, the latter with `QUESTION` in place of the question.

    Args:
        tokenizer: Tokenizer of the model, which renders templates.
        templates: Chat templates in order of preference; the first one that has a place for a video is used.
        video_marker: The video placeholder of the templates.

    Raises:
        ModelError: No chat template has a place for a video followed by a question.
    """
    for template in dict.fromkeys(t for t in templates if isinstance(t, str)):
        head, found, tail = _render(tokenizer, template).partition(video_marker)
        if found and QUESTION in tail:
            return head, tail
    raise ModelError(f"No chat template of this model has a place for a video ({video_marker}) followed by a question.")


def _render(tokenizer: Any, template: str) -> str:
    """Render a chat template with a video and a question; empty if it only supports text."""
    content = [{"type": "video"}, {"type": "text", "text": QUESTION}]
    try:
        text: str = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=template,
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,  # for templates that ask for a chain of thought by default
        )
    except (
        TemplateError,
        TypeError,
        ValueError,
        LookupError,
        AttributeError,
        ArithmeticError,
        RuntimeError,
    ) as error:
        logger.info("a chat template cannot be used for videos: %s", error)
        return ""
    return text
