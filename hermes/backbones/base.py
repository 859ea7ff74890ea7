"""Interface of a video LLM family, and the prefill of its decoder on top of a memory.

The decoder is frozen. It runs as a loop over transformers' layers, each with its own positions.
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
from hermes.backbones.chat_template import QUESTION, split_template
from hermes.backbones.fixed_shapes import FixedShapes, fixed_shapes
from hermes.errors import HermesError
from hermes.memory.cache import MemoryCache
from hermes.memory.encoded import Encoded, Frames, Layout, Seconds
from hermes.memory.layer import Provenance
from hermes.memory.linear_state import LinearState, StateTensors, read_into_state
from hermes.memory.positions import Rotary
from hermes.memory.tiers import FamilyConstants, tier_of_layers
from hermes.memory.watched_attention import AttentionRecorder, attention_mask

NOMINAL_SIZE = (336, 448)
"""Default height and width of a frame."""


class Backbone(ABC):
    """A frozen video LLM.

    Attributes:
        card: Metadata from the model folder.
        family: transformers model type.
        model: The transformers model, in evaluation mode.
        tokenizer: Tokenizer of the model.
        device: Device of the token embeddings and of tensors that belong to no layer.
        token_layers: Decoder layers that hold tokens, by number. The others use linear attention and have a state of
            constant size; policies, snapshots and everything below that counts layers only know the former.
        layer_devices: Device of each layer that holds tokens, and of its part of the memory.
        decoder_devices: Device of each decoder layer.
        constants: The paper's constants for this family.
    """

    family: str
    constants: FamilyConstants

    def __init__(self, model: Any, tokenizer: Any, card: Card) -> None:
        """Wrap a loaded model without modifying it."""
        self.model = model
        self.tokenizer = tokenizer
        self.card = card
        parameter = next(model.parameters())
        self.device: torch.device = place_of(self.decoder.embed_tokens)
        layers = self.decoder.layers
        self.token_layers: tuple[int, ...] = tuple(i for i, layer in enumerate(layers) if hasattr(layer, "self_attn"))
        self.decoder_devices: tuple[torch.device, ...] = tuple(place_of(layer) for layer in layers)
        self.layer_devices: tuple[torch.device, ...] = tuple(self.decoder_devices[i] for i in self.token_layers)
        self.dtype: torch.dtype = parameter.dtype
        self.frequencies: Tensor = self.decoder.rotary_emb.inv_freq.float().to(self.device)
        self._template  # noqa: B018 - reject an unsuitable template now, not at the first question

    # Defined by each family ---------------------------------------------------------------------------------------

    @property
    def decoder(self) -> Any:
        """The language model: has `layers`, `norm`, `rotary_emb` and `embed_tokens`."""
        return self.model.model.language_model

    @property
    def rotary(self) -> Rotary:
        """Rotary embedding: 1D RoPE by default."""
        return Rotary.from_sections(self.frequencies)

    @abstractmethod
    def layout(self, height: int, width: int, seconds_per_frame: float | None = None) -> Layout:
        """Return the token layout for frames of `height` x `width` pixels; pass `seconds_per_frame` if known."""

    def limit_pixels(self, most: int) -> None:
        """Limit the pixels of a frame after resizing. Call before streaming. A limit above the model's own has no effect.

        What a lower limit changes depends on the family:

        * Qwen2.5-VL, Qwen3-VL, Qwen3.5, GLM-4.1V, GLM-4.6V and VideoLLaMA3 keep the aspect ratio: each frame is scaled down
          until it fits the limit. Their position embeddings work at any size.
        * LLaVA-OneVision, SmolVLM2 and InternVL resize every frame to the largest square within the limit, and adapt the
          position embeddings of the tower, which was trained at one size.

        Args:
            most: Largest number of pixels, height times width.

        Raises:
            HermesError: The family does not support other frame sizes, or the limit is below its smallest frame.
        """
        raise HermesError(
            f"Models of the family “{self.family}” do not support other frame sizes, so a limit of {most:,} pixels cannot "
            "be set."
        )

    @abstractmethod
    def encode(self, frames: Sequence[Frames], seconds: Seconds, first_step: int, layout: Layout) -> Encoded:
        """Encode a chunk of frames as decoder input.

        Args:
            frames: T frames, uint8 [H, W, 3] RGB; T is a multiple of `layout.frames_per_step`.
            seconds: Time of each frame, in seconds [T].
            first_step: Number of steps that the stream has seen before.
            layout: The stream's layout.
        """

    def chunk_positions(
        self,
        cache: MemoryCache,
        encoded: Encoded,
        first_step: int,  # noqa: ARG002
        layout: Layout,  # noqa: ARG002
    ) -> Tensor:
        """Positions of a chunk's tokens in each layer, from its largest position + 1 on [axes, layers, tokens]."""
        return cache.next_positions()[None, :, None] + encoded.offsets[:, None, :]

    @property
    def video_marker(self) -> str:
        """The video placeholder of the chat template, which separates the head from the tail: by default the video token."""
        return str(self.tokenizer.convert_ids_to_tokens(self.model.config.video_token_id))

    @cached_property
    def fixed_shapes(self) -> FixedShapes | None:
        """Captured passes of the decoder for answers; None where they do not help. Set to None to switch them off."""
        return fixed_shapes(self)

    object_names: tuple[str, ...] = ()
    """Names of the objects that the vision tower recognises without the decoder; empty for most models."""

    chat_template: str | None = None
    """Chat template of the family; takes precedence over those of the model folder."""
    after_video = ""
    """Text that the family inserts after a video."""

    @cached_property
    def _template(self) -> tuple[str, str]:
        """The texts before and after the video, with a placeholder for the question."""
        templates = (self.chat_template, *self.card.chat_templates, self.tokenizer.chat_template)
        head, tail = split_template(self.tokenizer, templates, self.video_marker)
        return head, self.after_video + tail

    def head_text(self) -> str:
        """Return the text before the video: system prompt and start of the user turn."""
        return self._template[0]

    def tail_text(self, question: str) -> str:
        """Return the text after the video: the question, the end of the user turn, the start of the answer."""
        return self._template[1].replace(QUESTION, question)

    released_head: str | None = None
    """System prompt and start of the user turn in the released code of HERMES (MIT), for the families that it covers."""
    released_tail = "\n{question}<|im_end|><|im_start|>assistant\n"
    """End of the user turn and start of the answer in the released code."""

    def released_text(self) -> tuple[str, str] | None:
        """Return head and tail (with "{question}") of the released code; None for models without its chat markers."""
        if self.released_head is None or "<|im_start|>" not in self.tokenizer.get_vocab():
            return None
        return self.released_head, self.released_tail

    # Shared by all families ---------------------------------------------------------------------------------------

    @property
    def text_config(self) -> Any:
        """Configuration of the decoder."""
        return self.decoder.config

    @property
    def is_spread(self) -> bool:
        """Whether the decoder layers are on several devices."""
        return len(set(self.decoder_devices)) > 1

    @property
    def num_layers(self) -> int:
        """Number of decoder layers that hold tokens."""
        return len(self.token_layers)

    @property
    def state_layers(self) -> tuple[int, ...]:
        """Decoder layers that hold no tokens but a state of constant size, by number."""
        return tuple(i for i in range(len(self.decoder.layers)) if i not in self.token_layers)

    def state_shapes(self) -> dict[int, tuple[tuple[int, ...], tuple[int, ...], torch.device]]:
        """Shapes of the convolution's and the recurrent state, and the device, of each layer that holds no tokens."""
        shapes: dict[int, tuple[tuple[int, ...], tuple[int, ...], torch.device]] = {}
        for number in self.state_layers:
            layer = self.decoder.layers[number]
            own = layer.linear_attn
            conv, recurrent = (
                (1, own.conv_dim, own.conv_kernel_size),
                (1, own.num_v_heads, own.head_k_dim, own.head_v_dim),
            )
            shapes[number] = conv, recurrent, self.decoder_devices[number]
        return shapes

    @property
    def tokens_per_frame(self) -> int:
        """Vision tokens per step of a 4:3 stream, such as a webcam; the layout of a stream may differ."""
        rows, columns = self.layout(*NOMINAL_SIZE).grid
        return rows * columns

    @property
    def max_positions(self) -> int:
        """Number of rotary positions that the model was trained on."""
        return int(self.text_config.max_position_embeddings)

    @property
    def tiers(self) -> tuple[int, ...]:
        """Tier of every layer that holds tokens."""
        return tier_of_layers(self.num_layers)

    @property
    def kv_heads(self) -> int:
        """Number of key-value heads per layer."""
        return int(self.text_config.num_key_value_heads)

    @property
    def head_dim(self) -> int:
        """Dimension of a head."""
        config = self.text_config
        return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)

    @property
    def axes(self) -> int:
        """Number of axes of a rotary position."""
        return int(self.rotary.axis.max()) + 1

    @property
    def bytes_per_token(self) -> int:
        """Bytes of one token's keys and values, all layers that hold tokens."""
        return 2 * self.num_layers * self.kv_heads * self.head_dim * torch.finfo(self.dtype).bits // 8

    @property
    def fingerprint(self) -> str:
        """Short digest of the configuration and some weights, which identifies the model."""
        digest = hashlib.sha256(str(sorted(self.text_config.to_diff_dict().items())).encode())
        words, mlp = self.decoder.embed_tokens, self.decoder.layers[-1].mlp
        last = mlp.down_proj if hasattr(mlp, "down_proj") else mlp.gate  # a mixture of experts: its router
        for module, every in ((words, max(1, words.weight.shape[0] // 64)), (last, last.weight.shape[0])):
            with align_module_device(module):  # fetches weights that accelerate offloaded
                digest.update(module.weight[::every].detach().float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end an answer: those of the generation configuration, and the end of a turn in the tokenizer.

        A repository without generation_config.json only lists the end of a text, as Qwen3.5 does.
        """
        ids = getattr(self.model.generation_config, "eos_token_id", None)
        listed = ids if isinstance(ids, list | tuple) else (ids,)
        return frozenset(int(one) for one in (*listed, self.tokenizer.eos_token_id) if one is not None)

    def tokenize(self, text: str) -> Tensor:
        """Return the token ids of `text` without special tokens, int64 [tokens]."""
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        return torch.tensor(ids, dtype=torch.long, device=self.device)

    def embed(self, ids: Tensor) -> Tensor:
        """Return the embeddings of token ids: [tokens] -> [1, tokens, hidden]."""
        return self.decoder.embed_tokens(ids)[None]

    def text_positions(self, start: Tensor, tokens: int) -> Tensor:
        """Positions of `tokens` text tokens from `start` [layers] on: [axes, layers, tokens], the same on all axes."""
        positions = start[:, None] + torch.arange(tokens, device=start.device)
        return positions.expand(self.axes, -1, -1)

    def new_cache(self, capacity: int) -> MemoryCache:
        """Return an empty cache with room for `capacity` tokens per layer."""
        states = {number: LinearState(kernel=conv[-1]) for number, (conv, _, _) in self.state_shapes().items()}
        return MemoryCache.allocate(
            self.layer_devices, self.kv_heads, self.head_dim, self.axes, capacity, self.dtype, states
        )

    def weave(self, features: Tensor, before: Sequence[Tensor], after: Sequence[Tensor]) -> Encoded:
        """Interleave vision tokens with text around each step, on one position axis.

        Args:
            features: Vision tokens [steps, patches, hidden].
            before: Token ids of the text before each step.
            after: Token ids of the text after each step.
        """
        parts, step, patch = [], [], []
        patches = torch.arange(features.shape[1], device=self.device)
        for i, (feature, ids, closing) in enumerate(zip(features, before, after, strict=True)):
            parts += [self.embed(ids)[0], feature.to(self.dtype), self.embed(closing)[0]]
            text = (patches.new_full((len(ids),), -1), patches, patches.new_full((len(closing),), -1))
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
        open_tokens: int = 0,
    ) -> Tensor:
        """Run the decoder over `embeddings` on top of `cache` and add the new tokens to it.

        Args:
            embeddings: [1, tokens, hidden].
            positions: [axes, layers, tokens].
            provenance: Provenance of the tokens; None on a branch, which has no snapshots.
            cache: The memory or a branch of it; unchanged if an error is raised.
            recorder: Records attention.
            encoded: The chunk of the embeddings, if it has deepstack features.
            visible: For each layer, a mask of the keys that each new token sees, bool [tokens, past + tokens]; None: all
                past tokens, and a causal mask among the new ones.
            open_tokens: Number of the newest of these tokens that `MemoryCache.retract` may remove before the next ones.

        Returns:
            Last hidden states before the final norm [1, tokens, hidden].
        """
        tokens = embeddings.shape[1]
        cache.begin(positions, provenance)
        cos, sin = self.rotary_embeddings(embeddings, positions)
        hidden = embeddings
        masks: dict[tuple[int, torch.device], Tensor | None] = {}
        held: dict[int, StateTensors | None] = {}
        index = -1
        for i, layer in enumerate(self.decoder.layers):
            if i not in self.token_layers:
                hidden, held[i] = read_into_state(
                    layer, hidden.to(self.decoder_devices[i]), cache, cache.states[i], open_tokens
                )
                continue
            index += 1
            device, past = self.layer_devices[index], cache.layers[index].length
            own = visible[index] if visible is not None else None
            if own is None and (past, device) not in masks:
                masks[past, device] = attention_mask(tokens, past, device, dtype=self.dtype)
            hidden = layer(
                hidden.to(device),
                attention_mask=masks[past, device] if own is None else own[None, None].to(device),
                position_embeddings=(cos[index : index + 1].to(device), sin[index : index + 1].to(device)),
                past_key_values=cache,
                **({} if recorder is None else {"recorder": recorder, "memory_layer": index}),
            )
            if encoded is not None and i < len(encoded.deepstack):
                vision = encoded.vision.nonzero()[:, 0].to(device)
                hidden = hidden.index_add(1, vision, encoded.deepstack[i][None].to(device))
        cache.commit(tokens, held)
        return hidden

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits of hidden states: [1, tokens, hidden] -> float32 [1, tokens, vocabulary]."""
        hidden = self.decoder.norm(hidden.to(place_of(self.decoder.norm)))
        # All families have their head here.
        return self.model.lm_head(hidden.to(place_of(self.model.lm_head))).float().to(self.device)


def place_of(module: Any) -> torch.device:
    """Return the device of a module: that of its weights, or the execution device if accelerate offloads them."""
    for part in module.modules():
        hook = getattr(part, "_hf_hook", None)
        if getattr(hook, "execution_device", None) is not None:
            return torch.device(hook.execution_device)  # type: ignore[union-attr]
    device: torch.device = next(module.parameters()).device
    return device
