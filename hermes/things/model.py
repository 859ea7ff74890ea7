"""Construction of the model of everyday objects: LLaVA-OneVision with the object tower and the card model's decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration, PreTrainedTokenizerFast

from hermes.assets import POCKET
from hermes.cards.timeline import COLOURS, SHAPES
from hermes.pocket.model import TOKENS, WIDTH
from hermes.pocket.model import build_config as card_config
from hermes.pocket.tokenizer import build_tokenizer as card_tokenizer
from hermes.pocket.tokenizer import token_id
from hermes.things.codes import ObjectCodeBook, code_book
from hermes.things.convert import tower_config
from hermes.things.objects import CATEGORIES, NAMES
from hermes.things.tokenizer import build_tokenizer
from hermes.worlds.questions import capital
from hermes.worlds.timeline import PLACES

SHIFT: Final = 12.0  # offset of the projector's hidden values, for which GELU is the identity
LOCATIONS: Final = 49
# Weights in the embedding of an object's word: the words of its colour and shape, and its own code as input and as output.
LIKENESS: Final = 0.55
READ: Final = 0.4
WRITTEN: Final = 0.8
COPYING: Final = (0, 1, 2, 7, 8, 9)  # layers that are initialised to copy objects
COPY_GAIN: Final = 0.4
# Words of the card model that initialise the embeddings of words of this model.
LIKE: Final = {"objects": "cards", "object": "card", "everyday": "coloured", "thing": "card", "things": "cards"}


def build_config(tokenizer: PreTrainedTokenizerFast) -> LlavaOnevisionConfig:
    """Return the model's configuration: the object tower and the card model's decoder."""
    cards = card_config(tokenizer)
    vision = tower_config()
    return LlavaOnevisionConfig(
        vision_config=vision, text_config=cards.text_config,
        image_token_index=token_id(tokenizer, "<image>"), video_token_index=token_id(tokenizer, "<video>"),
        vision_feature_layer=-1, vision_feature_select_strategy="full", vision_aspect_ratio="anyres_max_9",
        image_grid_pinpoints=[[vision.image_size, vision.image_size]], tie_word_embeddings=True,
    )  # fmt: skip


def pool_locations(values: torch.Tensor) -> torch.Tensor:
    """Pool the tower's locations [..., 49, C] to tokens [..., 16, C], as LLaVA-OneVision does for video frames."""
    lead, channels = values.shape[:-2], values.shape[-1]
    grid = values.reshape(-1, 7, 7, channels).permute(0, 3, 1, 2)
    pooled = F.interpolate(grid, size=(4, 4), mode="bilinear")
    return pooled.flatten(2).transpose(1, 2).reshape(*lead, TOKENS, channels)


def write_projector(model: LlavaOnevisionForConditionalGeneration, book: ObjectCodeBook) -> None:
    """Set the projector's weights so that it converts the tower's hidden state to codes."""
    pooling = pool_locations(torch.eye(LOCATIONS)[None])[0]  # [16, 49]
    locations = torch.linalg.pinv(pooling.double()).float() @ book.tokens
    rows = torch.cat([book.objects, book.places, book.empty[None], locations])
    projector = model.model.multi_modal_projector
    with torch.no_grad():
        projector.linear_1.weight.copy_(rows.T)
        projector.linear_1.bias.fill_(SHIFT)
        projector.linear_2.weight.copy_(torch.eye(WIDTH))
        projector.linear_2.bias.fill_(-SHIFT)


def build(
    seed: int = 0, cards: Path = POCKET
) -> tuple[LlavaOnevisionForConditionalGeneration, PreTrainedTokenizerFast]:
    """Return an untrained model in float32 with the card model's decoder, and its tokenizer.

    Args:
        seed: Random seed of the new weights.
        cards: Folder of the card model.
    """
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    model = LlavaOnevisionForConditionalGeneration(build_config(tokenizer))
    book = code_book()
    write_projector(model, book)
    before = LlavaOnevisionForConditionalGeneration.from_pretrained(cards, dtype=torch.float32)
    old, text = before.model.language_model, model.model.language_model
    text.layers.load_state_dict(old.layers.state_dict())
    text.norm.load_state_dict(old.norm.state_dict())
    _embed_words(text.embed_tokens.weight, old.embed_tokens.weight, tokenizer, book)
    _copy_objects(text.layers, book, seed)
    with torch.no_grad():
        model.model.image_newline.copy_(before.model.image_newline)
    return model.eval(), tokenizer


@torch.no_grad()
def _embed_words(
    words: torch.Tensor, old: torch.Tensor, tokenizer: PreTrainedTokenizerFast, book: ObjectCodeBook
) -> None:
    """Initialise the embeddings: shared words keep theirs, objects and categories start near their codes."""
    known = card_tokenizer()
    words.copy_(torch.randn(words.shape) * old.std())

    def row(word: str) -> torch.Tensor:
        return old[token_id(known, word)]

    for word, index in tokenizer.get_vocab().items():
        like = LIKE.get(word, word)
        if like in known.get_vocab():
            words[index] = row(like)
    for number, name in enumerate(NAMES):
        colour, shape = COLOURS[int(book.colour_of[number])], SHAPES[int(book.shape_of[number])]
        words[token_id(tokenizer, name)] = LIKENESS * (row(colour) + row(shape)) + READ * book.own[number]
        shared = LIKENESS * (row(capital(colour)) + row(capital(shape)))
        words[token_id(tokenizer, capital(name))] = shared + WRITTEN * book.own[number]
    for number, category in enumerate(CATEGORIES):
        colour = COLOURS[int(book.colour_of_category[number])]
        words[token_id(tokenizer, category.name)] = row(colour) + book.categories[number]
    for place in PLACES:
        for form in (place, capital(place)):
            words[token_id(tokenizer, form)] = row(form)


@torch.no_grad()
def _copy_objects(layers: torch.nn.ModuleList, book: ObjectCodeBook, seed: int) -> None:
    """Extend the layers that copy colours and shapes to copy the objects' own codes, along random directions."""
    new = torch.cat([book.own, book.categories])
    rank = int(torch.linalg.matrix_rank(new))
    basis = torch.linalg.svd(new, full_matrices=False).Vh[:rank]
    generator = torch.Generator().manual_seed(seed + 1)
    for index in COPYING:
        attention: Any = layers[index].self_attn
        size = attention.head_dim
        groups = attention.v_proj.out_features // size
        value = torch.randn(groups * size, WIDTH, generator=generator) * WIDTH**-0.5 @ basis.T @ basis
        back = value.view(groups, 1, size, WIDTH).expand(-1, attention.num_key_value_groups, -1, -1)
        attention.v_proj.weight.add_(value)
        attention.o_proj.weight.add_(COPY_GAIN * back.reshape(-1, WIDTH).T)
