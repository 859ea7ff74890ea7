"""The guidance prompts of the tiers, and how they refer to the last question and answer.

The released wording quotes the released code of HERMES, https://github.com/haowei-freesky/HERMES (`predict_next_question`),
MIT licence, by the authors of arXiv 2601.14724; the paper prints the same prompts.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from hermes.memory.tiers import LONG_TERM, SENSORY, WORKING

Wording = Literal["the model’s", "released"]
"""Whose guidance prompts: those of the model card, or those of the released code."""

RELEASED_LOCAL: Final = (
    "Describe the current scene in detail, focusing on specific objects, "
    "fine-grained actions, and spatial relationships."
)
RELEASED_GLOBAL: Final = (
    "Summarize the video narrative, identifying main characters, key events, timeline changes, and the overall theme."
)
_AFTER_LOCAL: Final = "Find recent details related to: Question: {question} Answer: {answer}. {prompt}"
_AFTER_GLOBAL: Final = "Context summary: Question: {question} Answer: {answer}. {prompt}"
_LETTER: Final = re.compile(r"\s*\(?([A-Z])\)?\.?\s*")
_LETTER_BEFORE_TEXT: Final = re.compile(r"[A-Z]\) ")
_ONLY_OPTION: Final = re.compile(r"^\(A\)", re.MULTILINE)
_OPTION: Final = re.compile(r"\(([A-Z])\)\s*(.+?)(?=\s*\([A-Z]\)|\n|$)")


def options_of(question: str) -> dict[str, str]:
    """Return the options of a multiple-choice question, “(A) red (B) blue”: letter -> text; empty if it has none.

    A single option counts if it is at the start of a line.
    """
    found = {match[1]: match[2].strip() for match in _OPTION.finditer(question)}
    return found if "A" in found and ("B" in found or _ONLY_OPTION.search(question)) else {}


def prompts_of_tiers(
    local: str, global_: str, conversation: tuple[str, str] | None, wording: Wording = "the model’s"
) -> dict[int, str]:
    """Return the guidance prompt of each tier: sensory *local*, working *mixed*, long-term *global*.

    Args:
        local: Prompt about the current scene.
        global_: Prompt about the story so far.
        conversation: Last question and answer, which both prompts mention so that the memory follows the conversation.
        wording: How they mention it: as the released code does, or just question and answer before the prompt.

    Returns:
        Tier -> prompt; *mixed* is local + "; " + global.
    """
    if conversation is not None and wording == "released":
        question, answer = _released_conversation(*conversation)
        local = _AFTER_LOCAL.format(question=question, answer=answer, prompt=local)
        global_ = _AFTER_GLOBAL.format(question=question, answer=answer, prompt=global_)
    elif conversation is not None:
        context = " ".join(part.strip() for part in conversation if part.strip())
        local, global_ = f"{context} {local}", f"{context} {global_}"
    return {SENSORY: local, WORKING: f"{local}; {global_}", LONG_TERM: global_}


def _released_conversation(question: str, answer: str) -> tuple[str, str]:
    """Return question and answer as the released code mentions them: no options, and an option in place of its letter."""
    options = options_of(question)
    if options:
        question = question[: question.index("(A)")].strip().removesuffix("Options:").strip().removeprefix("Question:")
        letter = _LETTER.fullmatch(answer)
        if letter is not None:
            answer = options.get(letter[1], answer)
    return question.strip(), _LETTER_BEFORE_TEXT.sub("", answer)
