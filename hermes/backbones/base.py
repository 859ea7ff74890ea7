"""What a family of video LLMs must offer, and the one way in which its decoder is run over a memory.

It knows no policy. The decoder is frozen and run by looping over transformers' own layers, each with its own positions.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from accelerate.utils import align_module_device
from torch import Tensor

from hermes.backbones.card import Card
from hermes.errors import HermesError
from hermes.memory.cache import MemoryCache, Provenance
from hermes.memory.encoded import Encoded, Frames, Layout, Seconds
from hermes.memory.positions import Rotary
from hermes.memory.tiers import FamilyConstants, tier_of_layers
from hermes.memory.watched_attention import AttentionRecorder, attention_mask

SENTINEL = "\u241f"
NOMINAL_SIZE = (336, 448)
"""Height and width of a frame where none is known yet."""


class Backbone(ABC):
    """A frozen video LLM.

    Attributes:
        card: What the model says of itself.
        family: transformers' model type.
        model: The model of transformers, in evaluation mode.
        tokenizer: Its tokenizer.
        device: Where token embeddings are looked up, and what belongs to no layer lies.
        layer_devices: Where each decoder layer runs; its part of a memory lies there too.
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
        self.device: torch.device = place_of(self.decoder.embed_tokens)
        self.layer_devices: tuple[torch.device, ...] = tuple(place_of(layer) for layer in self.decoder.layers)
        self.dtype: torch.dtype = parameter.dtype
        self.frequencies: Tensor = self.decoder.rotary_emb.inv_freq.float().to(self.device)
        self._template  # noqa: B018 - a template without a place for a video is found now, not at the first question

    # What a family says -------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def decoder(self) -> Any:
        """The language model: has `layers`, `norm`, `rotary_emb` and `embed_tokens`."""

    @property
    def rotary(self) -> Rotary:
        """How positions become angles: 1D RoPE, unless the family says otherwise."""
        return Rotary.from_sections(self.frequencies)

    @abstractmethod
    def layout(self, height: int, width: int, seconds_per_frame: float | None = None) -> Layout:
        """How frames of `height` x `width` pixels become tokens; `seconds_per_frame` where it is known."""

    @abstractmethod
    def encode(self, frames: Sequence[Frames], seconds: Seconds, first_step: int, layout: Layout) -> Encoded:
        """A chunk of frames as the decoder reads it.

        Args:
            frames: T pictures, uint8 [H, W, 3] RGB; T is a multiple of `layout.frames_per_step`.
            seconds: Time of each frame [T].
            first_step: Steps that the stream has seen before.
            layout: The stream's layout.
        """

    def chunk_positions(
        self,
        cache: MemoryCache,
        encoded: Encoded,
        first_step: int,  # noqa: ARG002
        layout: Layout,  # noqa: ARG002
    ) -> Tensor:
        """Positions of a chunk's tokens in each layer: its largest position + 1 and on [axes, layers, tokens]."""
        return cache.next_positions()[None, :, None] + encoded.offsets[:, None, :]

    @property
    @abstractmethod
    def video_marker(self) -> str:
        """What the chat template writes for a video; everything before it is the head, everything behind it the tail."""

    chat_template: str | None = None
    """A chat template in place of the tokenizer's, where the family keeps it elsewhere."""
    after_video = ""
    """Text that the family writes once behind a video."""

    @cached_property
    def _template(self) -> tuple[str, str]:
        """The chat template around the video, rendered once with a sentinel for the question."""
        content = [{"type": "video"}, {"type": "text", "text": SENTINEL}]
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=self.chat_template,
            tokenize=False,
            add_generation_prompt=True,
        )
        head, found, tail = text.partition(self.video_marker)
        if not found or SENTINEL not in tail:
            raise HermesError("This model's chat template has no place for a video followed by a question.")
        return head, self.after_video + tail

    def head_text(self) -> str:
        """System prompt and opening of the user turn: what stands before the video."""
        return self._template[0]

    def tail_text(self, question: str) -> str:
        """What stands behind the video: the question, the end of the user turn, the opening of the answer."""
        return self._template[1].replace(SENTINEL, question)

    # What all families share --------------------------------------------------------------------------------------

    @property
    def text_config(self) -> Any:
        """Configuration of the decoder."""
        return self.decoder.config

    @property
    def is_spread(self) -> bool:
        """Whether its decoder layers lie on several devices."""
        return len(set(self.layer_devices)) > 1

    @property
    def num_layers(self) -> int:
        """Decoder layers."""
        return len(self.decoder.layers)

    @property
    def tokens_per_frame(self) -> int:
        """Vision tokens of one step of a 4:3 stream such as a webcam's; a stream's own layout may differ."""
        rows, columns = self.layout(*NOMINAL_SIZE).grid
        return rows * columns

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
        words, last = self.decoder.embed_tokens, self.decoder.layers[-1].mlp.down_proj
        for module, every in ((words, max(1, words.weight.shape[0] // 64)), (last, last.weight.shape[0])):
            with align_module_device(module):  # weights that accelerate keeps elsewhere are fetched
                digest.update(module.weight[::every].detach().float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end an answer."""
        ids = getattr(self.model.generation_config, "eos_token_id", None)
        ids = ids if ids is not None else self.tokenizer.eos_token_id
        return frozenset(ids if isinstance(ids, list | tuple) else [ids])

    def tokenize(self, text: str) -> Tensor:
        """Token ids of `text`, int64 [tokens]; no special token is added."""
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        return torch.tensor(ids, dtype=torch.long, device=self.device)

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings of token ids [tokens] -> [1, tokens, hidden]."""
        return self.decoder.embed_tokens(ids)[None]

    def text_positions(self, start: Tensor, tokens: int) -> Tensor:
        """Positions of `tokens` text tokens that begin at `start` [layers]: [axes, layers, tokens], same on all axes."""
        positions = start[:, None] + torch.arange(tokens, device=start.device)
        return positions.expand(self.axes, -1, -1)

    def new_cache(self, capacity: int) -> MemoryCache:
        """An empty memory with room for `capacity` tokens a layer."""
        return MemoryCache.allocate(self.layer_devices, self.kv_heads, self.head_dim, self.axes, capacity, self.dtype)

    def weave(self, features: Tensor, before: list[Tensor], after: Tensor) -> Encoded:
        """A chunk of steps with text around each, on one position axis.

        Args:
            features: Vision tokens [steps, patches, hidden].
            before: Ids of the text before each step.
            after: Ids of the text after every step.
        """
        parts, step, patch = [], [], []
        patches = torch.arange(features.shape[1], device=self.device)
        closing = self.embed(after)[0]
        for i, (feature, ids) in enumerate(zip(features, before, strict=True)):
            parts += [self.embed(ids)[0], feature.to(self.dtype), closing]
            text = (patches.new_full((len(ids),), -1), patches, patches.new_full((len(after),), -1))
            patch.append(torch.cat(text))
            step.append(torch.full_like(patch[-1], i))
        embeddings = torch.cat(parts)[None]
        offsets = torch.arange(embeddings.shape[1], device=self.device)[None]
        return Encoded(embeddings, torch.cat(step), torch.cat(patch), offsets)

    def rotary_embeddings(self, hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cos and sin of `positions` [axes, layers, tokens], from the model's own embedding: [layers, tokens, dim]."""
        return self.decoder.rotary_emb(hidden, positions[0] if self.axes == 1 else positions)

    @torch.inference_mode()
    def prefill(
        self,
        embeddings: Tensor,
        positions: Tensor,
        provenance: Provenance | None,
        cache: MemoryCache,
        recorder: AttentionRecorder | None = None,
        encoded: Encoded | None = None,
        visible: Sequence[Tensor | None] | None = None,
    ) -> Tensor:
        """Run the decoder over `embeddings` on top of `cache`, which then holds them too.

        Args:
            embeddings: [1, tokens, hidden].
            positions: [axes, layers, tokens].
            provenance: Where the tokens come from; None on a branch that nobody takes a snapshot of.
            cache: The memory or a branch of it; unchanged if an error is raised.
            recorder: Watches the attention.
            encoded: The chunk that the embeddings come from, where it has deepstack features.
            visible: For each layer, which keys each new token may see, bool [tokens, past + tokens]; None: all of the past,
                and causally the new ones.

        Returns:
            Last hidden states before the final norm [1, tokens, hidden].
        """
        tokens = embeddings.shape[1]
        cache.begin(positions, provenance)
        cos, sin = self.rotary_embeddings(embeddings, positions)
        hidden = embeddings
        masks: dict[tuple[int, torch.device], Tensor | None] = {}
        kwargs = {} if recorder is None else {"recorder": recorder}
        for i, layer in enumerate(self.decoder.layers):
            device, past = self.layer_devices[i], cache.layers[i].length
            own = visible[i] if visible is not None else None
            if own is None and (past, device) not in masks:
                masks[past, device] = attention_mask(tokens, past, device)
            hidden = layer(
                hidden.to(device),
                attention_mask=masks[past, device] if own is None else own[None, None].to(device),
                position_embeddings=(cos[i : i + 1].to(device), sin[i : i + 1].to(device)),
                past_key_values=cache,
                **kwargs,
            )
            if encoded is not None and i < len(encoded.deepstack):
                vision = encoded.vision.nonzero()[:, 0].to(device)
                hidden = hidden.index_add(1, vision, encoded.deepstack[i][None].to(device))
        cache.commit(tokens)
        return hidden

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits of hidden states: [1, tokens, hidden] -> float32 [1, tokens, vocabulary]."""
        hidden = self.decoder.norm(hidden.to(place_of(self.decoder.norm)))
        # Every family keeps its head there.
        return self.model.lm_head(hidden.to(place_of(self.model.lm_head))).float().to(self.device)


def place_of(module: Any) -> torch.device:
    """Where a module runs: its weights' device, or where accelerate brings them when it offloads them."""
    for part in module.modules():
        hook = getattr(part, "_hf_hook", None)
        if getattr(hook, "execution_device", None) is not None:
            return torch.device(hook.execution_device)  # type: ignore[union-attr]
    device: torch.device = next(module.parameters()).device
    return device
