"""The words of an answer and the tokens that wrote them."""

from __future__ import annotations

import itertools
import unicodedata
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hermes.snapshot import AnswerTrace


@dataclass(frozen=True)
class Word:
    """A part of an answer's text. The texts of all parts, joined, are the answer.

    Attributes:
        text: The characters: a word with its punctuation, or white space.
        first: First token that wrote a character of it.
        stop: End of these tokens (exclusive); equal to `first` for white space, and if the attention of one of the tokens
            was not recorded.
    """

    text: str
    first: int = 0
    stop: int = 0


def words_of(answer: AnswerTrace) -> tuple[Word, ...]:
    """Split an answer into words and white space, with the tokens that wrote each word.

    Scripts without spaces between words (Chinese, Japanese) are split where tokens end.
    """
    text, ends = answer.answer, answer.token_ends
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    # A token that ends within a character writes a part of the next one.
    stops = np.maximum(ends, starts + 1)
    cuts = _cuts(text, set(ends.tolist()))
    words = []
    for start, stop in itertools.pairwise(cuts):
        mine = np.flatnonzero((starts < stop) & (stops > start))
        recorded = len(mine) > 0 and ends[-1] >= stop
        if text[start:stop].isspace() or not recorded:
            words.append(Word(text[start:stop]))
        else:
            words.append(Word(text[start:stop], int(mine[0]), int(mine[-1]) + 1))
    return tuple(words)


def attention_of_word(answer: AnswerTrace, first: int, stop: int) -> npt.NDArray[np.float32]:
    """Return the attention while the tokens `first` to `stop` (exclusive) were generated, mean over these tokens.

    Returns:
        Share of attention on each frame, float32 [layers, heads, frames].

    Raises:
        ValueError: The attention of these tokens was not recorded.
    """
    if not 0 <= first < stop <= len(answer.attention_by_token):
        raise ValueError(f"The attention of the tokens {first} to {stop} was not recorded.")
    return answer.attention_by_token[first:stop].astype(np.float32).mean(axis=0)


def _cuts(text: str, ends: set[int]) -> list[int]:
    """Return the boundaries between words and white space, from 0 to the length of the text."""
    inside = [
        at
        for at in range(1, len(text))
        if text[at - 1].isspace() != text[at].isspace()
        or (at in ends and (_is_unspaced(text[at - 1]) or _is_unspaced(text[at])))
    ]
    return [0, *inside, len(text)] if text else [0]


def _is_unspaced(character: str) -> bool:
    """Whether a character belongs to a script that is written without spaces: wide characters."""
    return unicodedata.east_asian_width(character) in ("W", "F")
