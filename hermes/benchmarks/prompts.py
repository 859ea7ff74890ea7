"""How questions are put to a model, and how its answers to multiple-choice questions are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from hermes.benchmarks.annotations import AnnotatedQuestion

ANSWER_PREFIX: Final = "Best option: ("
"""Start of an answer to a multiple-choice question, so that its first token is the letter."""
CHOICE_TOKENS: Final = 16
OPEN_TOKENS: Final = 256
"""Most tokens of an answer to a multiple-choice question, and to an open-ended one."""
REPETITION_PENALTY: Final = 1.1
LETTERS: Final = "ABCDEFGH"

_BARE_LETTER: Final = re.compile(r"\(?([A-H])\)?\.?")
_LETTER_BEFORE_TEXT: Final = re.compile(r"[A-Z]\) ")


def prompt_of(question: AnnotatedQuestion) -> str:
    """Return the text that is asked: the question alone, or with its options, one a line."""
    if not question.choices:
        return question.text
    options = "\n".join(f"({letter}) {text}" for letter, text in zip(LETTERS, question.choices, strict=False))
    return f"Question: {question.text}\nOptions:\n{options}\nOnly give the best option."


def letter_of(answer: str) -> str | None:
    """Return the option letter of an answer, as the released evaluation reads it.

    The letter is the last character before the first “)”; without a “)”, the first character of the answer.

    Returns:
        One of A to H; None if there is another character, or none.
    """
    before, bracket, _ = answer.strip().partition(")")
    character = before[-1:] if bracket else before[:1]
    return character if character and character in LETTERS else None


def remembered(answer: str, choices: Sequence[str]) -> str:
    """Return an answer as the guidance prompts of later chunks mention it: the option in place of a bare letter.

    Args:
        answer: The answer of the model.
        choices: The options of the question; empty for an open-ended one.
    """
    bare = _BARE_LETTER.fullmatch(answer.strip()) if choices else None
    if bare is not None and LETTERS.index(bare[1]) < len(choices):
        return choices[LETTERS.index(bare[1])]
    return _LETTER_BEFORE_TEXT.sub("", answer) if choices else answer
