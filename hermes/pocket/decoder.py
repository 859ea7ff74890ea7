"""The decoder's packed forward pass, its initialisation, and which past each layer may see while it trains.

The layers are Qwen2's own modules; only the order of computation differs from generation: frames once, questions side
by side. Which past a layer sees follows the memory that HERMES gives it later: the newest frames in the sensory
layer, windows with survivors in the working layers, everything (with random evictions) in the long-term layers.
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

from hermes.cards.questions import capital
from hermes.cards.timeline import COLOURS, PLACES, SHAPES
from hermes.pocket.codes import code_book
from hermes.pocket.model import LAYERS
from hermes.pocket.packing import FOREVER, IGNORED, Batch

FIRST_LAYERS: Final = (0, 2, 4, 7, 8)  # trained first; the others are identities until they join
SENSORY_END: Final = 1
WHOLE: Final = 0.4  # share of streams that are seen whole by all layers, as with a full cache
LONG_TERM: Final = 7
LOOKING: Final = (7, 8, 9)  # layers whose attention on the evidence is trained
RECENT: Final = {0: 4, 1: 8, 2: 12}  # layers whose words are to look at the newest frames, and at how many
COUNTING: Final = (7, 8)  # layers that look at where cards begin, to count them
COUNT_WEIGHT: Final = 3.0
SINK: Final = 8.0  # attention that a counting word leaves elsewhere, in units of what one card gets
PREVIOUS_AT: Final = 6  # after this layer (and all before it) a frame token should know the card before


def init_decoder(model: LlavaOnevisionForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
    """Start the decoder near looking things up: like attends to like, and what is attended to is copied.

    Queries and keys of each layer start equal in the slow rotary pairs (whose angle hardly changes over thousands of
    tokens), so that "red" finds red things at any age; values and outputs start as each other's transpose. Words of
    classes start at the code of their class.
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
    """Make layers identities: their output projections become zero."""
    with torch.no_grad():
        for index in layers:
            layer = model.model.language_model.layers[index]
            nn.init.zeros_(layer.self_attn.o_proj.weight)
            nn.init.zeros_(layer.mlp.down_proj.weight)


def draw_lives(rng: np.random.Generator, batch: Batch, evict: float) -> list[Tensor]:
    """For each layer, how many frames long each frame token stays visible, int64 [B, N].

    Args:
        rng: source of randomness.
        batch: the batch.
        evict: 0 to 1, the largest share of tokens that working and long-term layers lose early.
    """
    shape = batch.cover.shape
    frames = int(batch.token_frame.max()) + 1
    card = batch.cover.numpy() > 0.5
    whole = rng.random((shape[0], 1)) < (
        1 if batch.whole else WHOLE
    )  # streams whose cache is full: every layer sees everything
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
        """Logits of the words, and what the frame tokens say about the card before.

        Returns:
            Logits float [B, Q, L, vocabulary]; the loss of naming the card before and of knowing where cards begin;
            the loss of looking at the evidence.
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
        # How many frames before each token another one lies; of those that come after it, none is seen.
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
        """What enters a layer: float [B, N, WIDTH] of the frame tokens and [B, Q, L, WIDTH] of the words."""
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
        """One layer: its output, and how the questions' words look at prefix and own words."""
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
        with torch.autocast("cpu", enabled=False):
            # The prefix's own attention needs no weights to look at, so it runs fused.
            past_out = F.scaled_dot_product_attention(
                query[..., :prefix, :], key[..., :prefix, :].repeat_interleave(repeats, 1),
                value[..., :prefix, :].repeat_interleave(repeats, 1), see[:, None], scale=1.0,
            ).unflatten(1, (groups, repeats))  # fmt: skip
            query = query.view(streams, groups, repeats, total, -1)
            key, value = key[:, :, None], value[:, :, None]
            past_key, past_value = key[..., :prefix, :], value[..., :prefix, :]
            # Questions: the frames before them, and their own words.
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
    """How far words are from looking at the evidence of their question.

    Half of the attention is enough; how the rest is spent is left to the model.

    Args:
        weights: float [B, Q * L, N], attention of the words on the frame tokens, mean over heads.
        batch: the batch.
        visible: bool [B, Q, N], frame tokens that the words may see in this layer.

    Returns:
        Cross-entropy between the evidence's events and the attention on their cards, mean over words that should look.
    """
    events = batch.evidence.shape[-1]
    table = F.one_hot(batch.event, events).float()
    mass = (weights @ table).unflatten(1, batch.look.shape[1:])
    left = (visible.float() @ table) > 0  # events of which something is left in this layer
    wanted = (batch.evidence * left)[:, :, None, :]
    enough = torch.minimum(mass, 0.5 * wanted) + 1e-4
    loss = -(wanted * (enough / (0.5 * wanted + 1e-4)).log()).sum(-1)
    look = batch.look & ~(batch.counting & batch.whole)[..., None]
    return (loss * look).sum() / look.sum().clamp(min=1)


def old_share(weights: Tensor, old: Tensor) -> Tensor:
    """Share of the attention on frames that falls on old ones, mean over all words.

    Args:
        weights: float [B, Q * L, N], attention of the words on the frame tokens, mean over heads.
        old: bool [B, Q, N], tokens of frames that were old when the question was asked.
    """
    attention = weights.unflatten(1, (old.shape[1], -1))
    return ((attention * old[:, :, None]).sum(-1) / attention.sum(-1).clamp(min=1e-3)).mean()


def count_loss(weights: Tensor, batch: Batch) -> Tensor:
    """How far the words of counting questions are from looking at every card that counts once, and equally.

    Each of n cards should get 1 / (n + `SINK`) of the attention, on the first frame that shows it; what is left then
    tells n, which attention that is spread over all of its evidence would not.

    Args:
        weights: float [B, Q * L, N], attention of the words on the frame tokens, mean over heads.
        batch: the batch.

    Returns:
        Divergence between the wanted and the true shares, mean over words that should look.
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
    """Mean loss over answer tokens, and which questions were answered exactly, bool [B, Q]."""
    loss = F.cross_entropy(logits.flatten(0, 2).float(), batch.target.flatten(), ignore_index=IGNORED)
    right = (logits.argmax(-1) == batch.target) | (batch.target == IGNORED)
    return loss, right.all(-1)
