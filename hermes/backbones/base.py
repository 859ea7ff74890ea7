"""What a family of video LLMs must offer, and the one way in which its decoder is run over a memory.

It knows no policy. The decoder is frozen and run by looping over transformers' own layers, each with its own positions.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hermes.backbones.attention import AttentionRecorder
from hermes.memory.cache import MemoryCache, Provenance
from hermes.memory.positions import Rotary
from hermes.memory.tiers import FamilyConstants, tier_of_layers

LOCAL_GUIDANCE = (
    "Describe the current scene: the objects that are visible now, what they are doing, and where they are."
)
GLOBAL_GUIDANCE = "Summarise the story of the video so far: who appeared, what happened, and when it happened."

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Card:
    """What a model folder says of itself (`hermes.json`), with defaults for models that say nothing.

    Attributes:
        name: Name shown to people.
        about: One sentence: what the model knows and what it was trained on.
        guidance: The two generic guidance prompts, "local" and "global".
        max_new_tokens: Longest answer, in tokens.
        suggested: Questions that it answers well.
    """

    name: str
    about: str
    guidance: dict[str, str] = field(default_factory=lambda: {"local": LOCAL_GUIDANCE, "global": GLOBAL_GUIDANCE})
    max_new_tokens: int = 256
    suggested: tuple[str, ...] = ()


class Backbone(ABC):
    """A frozen video LLM.

    Attributes:
        card: What the model says of itself.
        family: transformers' model type.
        model: The model of transformers, in evaluation mode.
        tokenizer: Its tokenizer.
        constants: The paper's constants for this family.
    """

    family: str
    constants: FamilyConstants

    def __init__(self, model: Any, tokenizer: Any, card: Card) -> None:
        """Wrap a loaded model; nothing of it is changed."""
        self.model = model
        self.tokenizer = tokenizer
        self.card = card
        parameter = next(model.parameters())
        self.device: torch.device = parameter.device
        self.dtype: torch.dtype = parameter.dtype

    # What a family says -------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def decoder(self) -> Any:
        """The language model: has `layers`, `norm`, `rotary_emb` and `embed_tokens`."""

    @property
    @abstractmethod
    def grid(self) -> tuple[int, int]:
        """Rows and columns of a frame's tokens."""

    @property
    @abstractmethod
    def rotary(self) -> Rotary:
        """How positions become angles."""

    @abstractmethod
    def encode_frames(self, frames: Frames) -> Tensor:
        """Features of frames as the decoder reads them: uint8 [T, H, W, 3] RGB -> [T, P, hidden]."""

    @abstractmethod
    def frame_positions(self, start: Tensor, frames: int) -> Tensor:
        """Positions of `frames` new frames that begin at `start` [layers]: [axes, layers, frames * P]."""

    @abstractmethod
    def head_text(self) -> str:
        """System prompt and opening of the user turn: what stands before the video."""

    @abstractmethod
    def tail_text(self, question: str) -> str:
        """What stands behind the video: the question, the end of the user turn, the opening of the answer."""

    # What all families share --------------------------------------------------------------------------------------

    @property
    def text_config(self) -> Any:
        """Configuration of the decoder."""
        return self.decoder.config

    @property
    def num_layers(self) -> int:
        """Decoder layers."""
        return len(self.decoder.layers)

    @property
    def tokens_per_frame(self) -> int:
        """Tokens a frame."""
        return self.grid[0] * self.grid[1]

    @property
    def max_positions(self) -> int:
        """Rotary positions that the model was trained on."""
        return int(self.text_config.max_position_embeddings)

    @property
    def tiers(self) -> tuple[int, ...]:
        """Tier of every layer."""
        return tier_of_layers(self.num_layers)

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values a layer."""
        return int(self.text_config.num_key_value_heads)

    @property
    def head_dim(self) -> int:
        """Dimension of a head."""
        config = self.text_config
        return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)

    @property
    def axes(self) -> int:
        """Axes of a rotary position."""
        return int(self.rotary.axis.max()) + 1

    @property
    def bytes_per_token(self) -> int:
        """Bytes of one token's keys and values, all layers."""
        return 2 * self.num_layers * self.kv_heads * self.head_dim * torch.finfo(self.dtype).bits // 8

    @property
    def fingerprint(self) -> str:
        """Short digest of the configuration and the embedding weights: tells whether two models are the same."""
        digest = hashlib.sha256(str(sorted(self.text_config.to_diff_dict().items())).encode())
        weights = self.decoder.embed_tokens.weight[:: max(1, self.decoder.embed_tokens.weight.shape[0] // 64)]
        digest.update(weights.detach().float().cpu().numpy().tobytes())
        last = self.decoder.layers[-1].mlp.down_proj.weight[0]
        digest.update(last.detach().float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end an answer."""
        ids = getattr(self.model.generation_config, "eos_token_id", None)
        ids = ids if ids is not None else self.tokenizer.eos_token_id
        return frozenset(ids if isinstance(ids, list | tuple) else [ids])

    def tokenize(self, text: str) -> Tensor:
        """Token ids of `text`, int64 [tokens]; no special token is added."""
        ids = self.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"][0]
        return ids.to(self.device, torch.long)

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings of token ids [tokens] -> [1, tokens, hidden]."""
        return self.decoder.embed_tokens(ids)[None]

    def text_positions(self, start: Tensor, tokens: int) -> Tensor:
        """Positions of `tokens` text tokens that begin at `start` [layers]: [axes, layers, tokens], same on all axes."""
        positions = start[:, None] + torch.arange(tokens, device=start.device)
        return positions.expand(self.axes, -1, -1)

    def new_cache(self, capacity: int) -> MemoryCache:
        """An empty memory with room for `capacity` tokens a layer."""
        return MemoryCache.allocate(
            self.num_layers, self.kv_heads, self.head_dim, self.axes, capacity, self.device, self.dtype
        )

    def rotary_embeddings(self, hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cos and sin of `positions` [axes, layers, tokens], from the model's own embedding: [layers, tokens, dim]."""
        return self.decoder.rotary_emb(hidden, positions[0] if self.axes == 1 else positions)

    @torch.inference_mode()
    def prefill(
        self,
        embeddings: Tensor,
        positions: Tensor,
        provenance: Provenance,
        cache: MemoryCache,
        recorder: AttentionRecorder | None = None,
        visible: Tensor | None = None,
    ) -> Tensor:
        """Run the decoder over `embeddings` on top of `cache`, which then holds them too.

        Args:
            embeddings: [1, tokens, hidden].
            positions: [axes, layers, tokens].
            provenance: Where the tokens come from.
            cache: The memory or a branch of it; unchanged if an error is raised.
            recorder: Watches the attention.
            visible: Which new tokens each new token may see, bool [tokens, tokens]; causal where None. The past is always
                visible.

        Returns:
            Last hidden states before the final norm [1, tokens, hidden].
        """
        tokens = embeddings.shape[1]
        cache.begin(positions, provenance)
        cos, sin = self.rotary_embeddings(embeddings, positions)
        hidden, masks = embeddings, {}
        kwargs = {} if recorder is None else {"recorder": recorder}
        for i, layer in enumerate(self.decoder.layers):
            past = cache.layers[i].length
            if past not in masks:
                masks[past] = attention_mask(tokens, past, hidden.device, visible)
            hidden = layer(
                hidden,
                attention_mask=masks[past],
                position_embeddings=(cos[i : i + 1], sin[i : i + 1]),
                past_key_values=cache,
                **kwargs,
            )
        cache.commit(tokens)
        return hidden

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits of hidden states: [1, tokens, hidden] -> float32 [1, tokens, vocabulary]."""
        return self.model.lm_head(self.decoder.norm(hidden)).float()


def attention_mask(tokens: int, past: int, device: torch.device, visible: Tensor | None = None) -> Tensor | None:
    """Which of `past + tokens` keys each new query may see: bool [1, 1, tokens, keys]; None: all of them.

    `visible` [tokens, tokens] says it for the new keys; causal where None.
    """
    if tokens == 1:
        return None
    if visible is None:
        visible = torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril()
    return torch.cat((visible.new_ones(tokens, past), visible), dim=1)[None, None]
