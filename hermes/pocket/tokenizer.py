"""The small word-level tokenizer of the pocket model, in the format of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hermes.cards.questions import every_word
from hermes.cards.timeline import COLOURS, PLACES, SHAPES
from hermes.worlds.questions import capital

SPECIAL: Final = ("<pad>", "<unk>", "<|im_start|>", "<|im_end|>", "<image>", "<video>")
SYSTEM: Final = "You watch coloured cards and answer questions."
# Words for prompts in addition to those of the questions.
MORE_WORDS: Final = (
    "you watch and answer questions question system user assistant please every all each shown card cards objects object "
    "video scene now current colours shapes places colour shape place summarise describe remember story far who when "
    "order them their about ask me last newest latest seen visible one another other"
)
# Replacements that unify spellings, to keep the vocabulary small.
SPELLINGS: Final = (
    ("color", "colour"), ("what's", "what is"), ("where's", "where is"), ("who's", "who is"), ("center", "centre"),
    ("upper[ -]", "top "), ("lower[ -]", "bottom "), ("plus sign", "cross"),
)  # fmt: skip
CHAT_TEMPLATE: Final = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n" + SYSTEM + "<|im_end|>' }}{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' }}"
    "{% if message['content'] is string %}{{ '\n' + message['content'] }}{% else %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'video') %}{{ '<video>' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ '\n' + content['text'] }}{% endfor %}{% endif %}{{ '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def vocabulary() -> list[str]:
    """Return all tokens, special ones first; capitalised words occur only in the model's output, never in its input."""
    opening = (*COLOURS, *SHAPES, *PLACES, "yes", "no", "nothing", "i", "early", "in", "late", "more")
    words = sorted({*every_word(), *MORE_WORDS.split()})
    return [*SPECIAL, *".,?!'", *words, *(capital(word) for word in opening)]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return the card model's tokenizer."""
    return word_tokenizer(vocabulary(), SPELLINGS, CHAT_TEMPLATE)


def word_tokenizer(
    words: Sequence[str], spellings: Sequence[tuple[str, str]], chat_template: str
) -> PreTrainedTokenizerFast:
    """Return a fast tokenizer that lower-cases text, separates punctuation, and decodes answers to readable English.

    Args:
        words: Vocabulary, special tokens first.
        spellings: Patterns and their replacements.
        chat_template: Chat template of the tokenizer.
    """
    index = {word: number for number, word in enumerate(words)}
    core = Tokenizer(models.WordLevel(index, unk_token="<unk>"))  # noqa: S106 - a token of text, not of access
    corners = [(f"{side}[ -]{end}", f"{side}-{end}") for side in ("top", "bottom") for end in ("left", "right")]
    steps: list[normalizers.Normalizer] = [normalizers.NFKC(), normalizers.Lowercase()]
    steps += [normalizers.Replace(Regex(pattern), word) for pattern, word in (*spellings, *corners)]
    core.normalizer = normalizers.Sequence(steps)
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(r"[^\w<>|-]"), "isolated")]
    )
    core.decoder = decoders.Sequence([decoders.WordPiece(prefix="##", cleanup=True), decoders.Replace("-", " ")])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        unk_token="<unk>",  # noqa: S106
        pad_token="<pad>",  # noqa: S106
        eos_token="<|im_end|>",  # noqa: S106
        additional_special_tokens=["<|im_start|>", "<image>", "<video>"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        processor_class="LlavaOnevisionProcessor",
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    """Return the id of a token."""
    index = tokenizer.convert_tokens_to_ids(token)
    if not isinstance(index, int):
        raise TypeError(f"{token!r} is not one token")
    return index


def answer_ids(tokenizer: PreTrainedTokenizerFast, answer: str) -> list[int]:
    """Return the token ids of an answer in the model's output format: first word capitalised, end of turn appended."""
    ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
    first = tokenizer.convert_tokens_to_ids(capital(str(tokenizer.convert_ids_to_tokens(ids[0]))))
    if first != tokenizer.unk_token_id:
        ids = [first, *ids[1:]]
    return [*ids, tokenizer.eos_token_id]
