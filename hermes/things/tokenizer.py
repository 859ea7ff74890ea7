"""The small word-level tokenizer of the model of everyday objects."""

from __future__ import annotations

from typing import Final

from transformers import PreTrainedTokenizerFast

from hermes.pocket.tokenizer import CHAT_TEMPLATE, SPECIAL, word_tokenizer
from hermes.pocket.tokenizer import SYSTEM as CARD_SYSTEM
from hermes.things.objects import NAMES
from hermes.things.questions import every_word
from hermes.things.words import PATTERNS
from hermes.worlds.questions import capital
from hermes.worlds.timeline import PLACES

SYSTEM: Final = "You watch everyday objects and answer questions."
# Words for prompts in addition to those of the questions.
MORE_WORDS: Final = (
    "you watch and answer questions question system user assistant please every all each shown object objects video scene "
    "now current place places summarise describe remember story far who when order them their about ask me last newest "
    "latest seen visible one another other"
)


def vocabulary() -> list[str]:
    """Return all tokens, special ones first; capitalised words occur only in the model's output, never in its input."""
    opening = (*NAMES, *PLACES, "yes", "no", "nothing", "i", "more")
    words = sorted({*every_word(), *MORE_WORDS.split()})
    return [*SPECIAL, *".,?!'", *words, *(capital(word) for word in opening)]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return a fast tokenizer in which every object is one word."""
    template = CHAT_TEMPLATE.replace(CARD_SYSTEM, SYSTEM)
    return word_tokenizer(vocabulary(), PATTERNS, template)
