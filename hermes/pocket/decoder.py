"""Packed forward pass of the decoder, its initialisation, and the visible past of each layer during training.

The layers are Qwen2's modules. Only the order of computation differs from generation: frames are computed once, questions
in parallel. The visible past of a layer imitates the memory that HERMES gives it at inference: the newest frames in the
sensory layer, windows with some surviving tokens in the working layers, and everything (with random evictions) in the
long-term layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlavaOnevisionForConditionalGeneration, PreTrainedTokenizerFast
from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

from hermes.cards.timeline import COLOURS, PLACES, SHAPES
from hermes.pocket.codes import code_book
from hermes.pocket.model import LAYERS
from hermes.pocket.packing import FOREVER, IGNORED, Batch
from hermes.worlds.questions import capital

FIRST_LAYERS: Final = (0, 2, 4, 7, 8)  # trained first; the others are identities until they are activated
SENSORY_END: Final = 1
WHOLE: Final = 0.4  # fraction of streams that all layers see in full, as with a full cache
LONG_TERM: Final = 7
LOOKING: Final = (7, 8, 9)  # layers whose attention to the evidence is supervised
RECENT: Final = {0: 4, 1: 8, 2: 12}  # layers whose words should attend to the newest frames: number of frames
COUNTING: Final = (7, 8)  # layers that attend to the first frames of cards, to count them
COUNT_WEIGHT: Final = 3.0
SINK: Final = 8.0  # attention of a counting word to everything else, in units of the attention to one card
PREVIOUS_AT: Final = 6  # from the output of this layer, the previous card should be decodable from frame tokens


def init_decoder(model: LlavaOnevisionForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
    """Initialise the decoder for lookups: similar tokens attend to each other, and attended values are copied.

    Queries and keys of each layer start equal in the slow rotary pairs (whose angle hardly changes over thousands of
    tokens), so that "red" finds red cards of any age. Value and output projections start as transposes of each other.
    Embeddings of class words start at the code of their class.
    """
    generator = torch.Generator().manual_seed(seed + 1)
    book, text = code_book(), model.model.language_model
    config = text.config
    width, head = config.hidden_size, config.head_dim
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    pairs = torch.arange(head) % (head // 2)
    slow = (pairs >= head // 4).float().repeat(heads)[:, None]

    def normal(*shape: int, std: float) -> Tensor:
        return torch.randn(*shape, generator=generator) * std

    with torch.no_grad():
        words = normal(config.vocab_size, width, std=6 * width**-0.5)
        for names, codes in ((COLOURS, book.colour), (SHAPES, book.shape), (PLACES, book.place)):
            for name, code in zip(names, codes, strict=True):
                for form in (name, capital(name), name + "s", name + "es"):
                    index = tokenizer.convert_tokens_to_ids(form)
                    if index != tokenizer.unk_token_id:
                        words[index] = code + 0.15 * words[index]
        text.embed_tokens.weight.copy_(words)
        text.norm.weight.fill_(0.25)
        for layer in text.layers:
            attention, mlp = layer.self_attn, layer.mlp
            key = normal(groups * head, width, std=1.2 * width**-0.5)
            query = key.view(groups, 1, head, width).expand(-1, heads // groups, -1, -1).reshape(heads * head, width)
            other = normal(heads * head, width, std=width**-0.5)
            attention.k_proj.weight.copy_(key)
            attention.q_proj.weight.copy_(slow * (query + 0.3 * other) + (1 - slow) * other)
            value = normal(groups * head, width, std=width**-0.5)
            back = value.view(groups, 1, head, width).expand(-1, heads // groups, -1, -1).reshape(heads * head, width)
            attention.v_proj.weight.copy_(value)
            attention.o_proj.weight.copy_(0.35 * back.T + normal(width, heads * head, std=0.1 * width**-0.5))
            mlp.gate_proj.weight.copy_(normal(*mlp.gate_proj.weight.shape, std=width**-0.5))
            mlp.up_proj.weight.copy_(normal(*mlp.up_proj.weight.shape, std=width**-0.5))
            mlp.down_proj.weight.copy_(normal(*mlp.down_proj.weight.shape, std=0.3 * (2 * width) ** -0.5))
            for linear in (attention.q_proj, attention.k_proj, attention.v_proj):
                nn.init.zeros_(linear.bias)


def silence(model: LlavaOnevisionForConditionalGeneration, layers: Sequence[int]) -> None:
    """Turn layers into identities by setting their output projections to zero."""
    with torch.no_grad():
        for index in layers:
            layer = model.model.language_model.layers[index]
            nn.init.zeros_(layer.self_attn.o_proj.weight)
            nn.init.zeros_(layer.mlp.down_proj.weight)


def draw_lives(rng: np.random.Generator, batch: Batch, evict: float) -> list[Tensor]:
    """Sample for each layer the number of frames for which each frame token stays visible, int64 [B, N].

    Args:
        rng: Source of randomness.
        batch: The batch.
        evict: Maximum fraction of tokens that working and long-term layers lose early, 0 to 1.
    """
    shape = batch.cover.shape
    frames = int(batch.token_frame.max()) + 1
    card = batch.cover.numpy() > 0.5
    whole = rng.random((shape[0], 1)) < (
        1 if batch.whole else WHOLE
    )  # streams with a full cache: every layer sees everything
    lives = []
    for layer in range(LAYERS):
        if layer < SENSORY_END:
            window = rng.integers(1, 5, (shape[0], 1)).repeat(shape[1], 1)
        elif layer < LONG_TERM:
            depth = (layer - SENSORY_END) / (LONG_TERM - SENSORY_END)
            window = rng.integers(4 + int(8 * depth), 12 + int(24 * depth), (shape[0], 1)).repeat(shape[1], 1)
            stay = rng.random((shape[0], 1)) * depth
            window = np.where(rng.random(shape) < np.where(card, 1.5 * stay, 0.5 * stay), FOREVER, window)
            window = np.where(rng.random((shape[0], 1)) < 0.25 * depth, FOREVER, window)
        else:
            lost = rng.random((shape[0], 1)) * evict
            gone = rng.random(shape) < np.where(card, 0.3 * lost, lost)
            window = np.where(gone, rng.integers(0, max(frames, 3), shape), FOREVER)
        lives.append(torch.from_numpy(np.where(whole, FOREVER, window)))
    return lives


class PackedDecoder(nn.Module):
    """Runs packed batches through a model's decoder."""

    def __init__(self, model: LlavaOnevisionForConditionalGeneration) -> None:
        super().__init__()
        self.text = model.model.language_model
        width = self.text.config.hidden_size
        self.previous_colour = nn.Linear(width, len(COLOURS) + 1)
        self.previous_shape = nn.Linear(width, len(SHAPES) + 1)
        self.begins = nn.Linear(width, 1)

    def forward(self, batch: Batch, lives: list[Tensor], active: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the logits of the words and the auxiliary losses.

        Returns:
            Logits float [B, Q, L, vocabulary]; the loss of predicting the previous card and the first frames of cards
            from the frame tokens; the loss of the attention to the evidence.
        """
        text = self.text
        streams, count, width = batch.tokens.shape
        asked, length = batch.words.shape[1:]
        first = len(batch.head)
        prefix = first + count
        head = text.embed_tokens(batch.head).expand(streams, -1, -1)
        hidden = torch.cat([head, batch.tokens, text.embed_tokens(batch.words).flatten(1, 2)], 1)
        position = torch.cat(
            [torch.arange(first).expand(streams, -1), batch.token_position, batch.word_position.flatten(1)], 1
        )
        rotary = text.rotary_emb(hidden, position)
        frame = F.pad(batch.token_frame, (first, 0), value=-1)
        # Distance in frames between each pair of tokens; later tokens are never visible.
        behind = (frame[:, :, None] - frame[:, None]).int()
        behind.masked_fill_(torch.ones(prefix, prefix, dtype=torch.bool).triu(1), 3 * FOREVER)
        gap = (batch.asked_frame[:, :, None] - frame[:, None]).int()
        gap = torch.where(gap < 0, 3 * FOREVER, gap)
        block = torch.ones(length, length, dtype=torch.bool).tril()
        extra, looking = torch.zeros(()), torch.zeros(())
        for index in active:
            life = F.pad(lives[index], (first, 0), value=2 * FOREVER)[:, None].int()
            see, ask_see = behind <= life, gap <= life
            hidden, weights = self._layer(
                text.layers[index], hidden, rotary, see, ask_see, block, (prefix, asked, length)
            )
            if index in LOOKING:
                seen_mean = weights[..., first:prefix].mean((1, 2))
                looking = looking + look_loss(seen_mean, batch, ask_see[..., first:])
                if batch.whole and index in COUNTING:
                    looking = looking + COUNT_WEIGHT * count_loss(seen_mean, batch)
            if index in RECENT:
                old = (gap > RECENT[index])[..., first:]
                looking = looking + 0.3 * old_share(weights[..., first:prefix].mean((1, 2)), old)
            if index in (4, PREVIOUS_AT):
                seen = F.layer_norm(hidden[:, first:prefix].float(), (width,))
                for side, head_of in enumerate((self.previous_colour, self.previous_shape)):
                    extra = extra + F.cross_entropy(head_of(seen).flatten(0, 1), batch.previous[..., side].flatten())
                starts = (batch.starts < batch.evidence.shape[-1] - 1).float()
                extra = extra + F.binary_cross_entropy_with_logits(self.begins(seen)[..., 0], starts)
        words = text.norm(hidden[:, prefix:]).view(streams, asked, length, width)
        return F.linear(words, text.embed_tokens.weight), extra, looking

    def hidden_before(
        self, batch: Batch, lives: list[Tensor], active: Sequence[int], layer: int
    ) -> tuple[Tensor, Tensor]:
        """Return the input of a layer: float [B, N, WIDTH] for frame tokens and [B, Q, L, WIDTH] for words."""
        kept: dict[str, Tensor] = {}

        def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            kept.setdefault("hidden", inputs[0])

        handle = self.text.layers[layer].input_layernorm.register_forward_pre_hook(keep)
        try:
            self(batch, lives, active)
        finally:
            handle.remove()
        first, prefix = len(batch.head), len(batch.head) + batch.tokens.shape[1]
        words = kept["hidden"][:, prefix:].unflatten(1, batch.words.shape[1:])
        return kept["hidden"][:, first:prefix], words

    @staticmethod
    def _layer(
        layer: Any,
        hidden: Tensor,
        rotary: tuple[Tensor, Tensor],
        see: Tensor,
        ask_see: Tensor,
        block: Tensor,
        sizes: tuple[int, int, int],
    ) -> tuple[Tensor, Tensor]:
        """Run one layer; return its output and the attention of question words to the prefix and their own words."""
        prefix, asked, length = sizes
        attention = layer.self_attn
        streams, total, _ = hidden.shape
        seen = layer.input_layernorm(hidden)
        shape = (streams, total, -1, attention.head_dim)
        query = attention.q_proj(seen).view(shape).transpose(1, 2).float()
        key = attention.k_proj(seen).view(shape).transpose(1, 2).float()
        value = attention.v_proj(seen).view(shape).transpose(1, 2).float()
        query, key = apply_rotary_pos_emb(query * attention.scaling, key, *rotary)
        groups, repeats = key.shape[1], query.shape[1] // key.shape[1]
        with torch.autocast(hidden.device.type, enabled=False):
            # The attention weights within the prefix are not needed, so use the fused kernel.
            past_out = F.scaled_dot_product_attention(
                query[..., :prefix, :], key[..., :prefix, :].repeat_interleave(repeats, 1),
                value[..., :prefix, :].repeat_interleave(repeats, 1), see[:, None], scale=1.0,
            ).unflatten(1, (groups, repeats))  # fmt: skip
            query = query.view(streams, groups, repeats, total, -1)
            key, value = key[:, :, None], value[:, :, None]
            past_key, past_value = key[..., :prefix, :], value[..., :prefix, :]
            # Questions attend to the frames before them and to their own words.
            ask_query = query[..., prefix:, :]
            far = ask_query @ past_key.transpose(-1, -2)
            hide = ~ask_see[:, None, None].repeat_interleave(length, 3)
            far = far.masked_fill_(hide, -1e9)
            own = (*ask_query.shape[:3], asked, length, attention.head_dim)
            own_kv = (*key.shape[:3], asked, length, attention.head_dim)
            near = ask_query.reshape(own) @ key[..., prefix:, :].reshape(own_kv).transpose(-1, -2)
            near = near.masked_fill_(~block, -1e9).flatten(3, 4)
            weights = torch.cat([far, near], -1).softmax(-1)
            ask_out = weights[..., :prefix] @ past_value
            near_out = weights[..., prefix:].unflatten(3, (asked, length)) @ value[..., prefix:, :].reshape(own_kv)
            ask_out = ask_out + near_out.flatten(3, 4)
            mixed = torch.cat([past_out, ask_out], -2).flatten(1, 2).transpose(1, 2).flatten(2)
        hidden = hidden + attention.o_proj(mixed)
        return hidden + layer.mlp(layer.post_attention_layernorm(hidden)), weights


def look_loss(weights: Tensor, batch: Batch, visible: Tensor) -> Tensor:
    """Return the loss of the attention to the evidence of each question.

    Half of the attention is sufficient; the rest is unconstrained.

    Args:
        weights: float [B, Q * L, N], attention of words to frame tokens, mean over heads.
        batch: The batch.
        visible: bool [B, Q, N], frame tokens that the words may see in this layer.

    Returns:
        Cross-entropy between the evidence's events and the attention to their cards, mean over the supervised words.
    """
    events = batch.evidence.shape[-1]
    table = F.one_hot(batch.event, events).float()
    mass = (weights @ table).unflatten(1, batch.look.shape[1:])
    left = (visible.float() @ table) > 0  # events with at least one token left in this layer
    wanted = (batch.evidence * left)[:, :, None, :]
    enough = torch.minimum(mass, 0.5 * wanted) + 1e-4
    loss = -(wanted * (enough / (0.5 * wanted + 1e-4)).log()).sum(-1)
    look = batch.look & ~(batch.counting & batch.whole)[..., None]
    return (loss * look).sum() / look.sum().clamp(min=1)


def old_share(weights: Tensor, old: Tensor) -> Tensor:
    """Return the fraction of the attention to frames that falls on old ones, mean over all words.

    Args:
        weights: float [B, Q * L, N], attention of words to frame tokens, mean over heads.
        old: bool [B, Q, N], tokens of frames that were old when the question was asked.
    """
    attention = weights.unflatten(1, (old.shape[1], -1))
    return ((attention * old[:, :, None]).sum(-1) / attention.sum(-1).clamp(min=1e-3)).mean()


def count_loss(weights: Tensor, batch: Batch) -> Tensor:
    """Return the loss of the attention of counting questions, which should attend equally to each counted card.

    Each of n cards should get 1 / (n + `SINK`) of the attention, on the first frame that shows it. The remaining
    attention then encodes n, which it would not if the attention were spread over all of the evidence.

    Args:
        weights: float [B, Q * L, N], attention of words to frame tokens, mean over heads.
        batch: The batch.

    Returns:
        Divergence between target and actual attention, mean over the supervised words.
    """
    events = batch.evidence.shape[-1]
    mass = (weights @ F.one_hot(batch.starts, events).float()).unflatten(1, batch.look.shape[1:])[..., :-1]
    counted = (batch.evidence[..., :-1] > 0).float()
    wanted = (counted / (counted.sum(-1, keepdim=True) + SINK))[:, :, None, :]
    rest, wanted_rest = 1 - mass.sum(-1), 1 - wanted.sum(-1)
    loss = (wanted * ((wanted + 1e-6) / (mass + 1e-6)).log()).sum(-1)
    loss = loss + wanted_rest * (wanted_rest / rest.clamp(min=1e-6)).log()
    look = batch.look & batch.counting[..., None]
    return (loss * look).sum() / look.sum().clamp(min=1)


def answer_loss(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the mean loss over answer tokens, and which questions were answered exactly, bool [B, Q]."""
    loss = F.cross_entropy(logits.flatten(0, 2).float(), batch.target.flatten(), ignore_index=IGNORED)
    right = (logits.argmax(-1) == batch.target) | (batch.target == IGNORED)
    return loss, right.all(-1)
