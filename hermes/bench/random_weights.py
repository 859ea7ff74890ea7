"""Speed of a published configuration with random weights, compared with two bounds measured in the same run.

First token: the bytes to read (weights of decoder and head, keys and values, each once) divided by the memory bandwidth of
the device. Ingest: a bare prefill of the same number of tokens on the same memory, without vision tower, guidance and
eviction; and the same with the vision tower, which shows the cost of memory management alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hermes.backbones import catalogue
from hermes.backbones.base import Backbone
from hermes.backbones.building import BUILDING
from hermes.backbones.card import Card
from hermes.backbones.load import FAMILIES
from hermes.bench.machine import rss_bytes
from hermes.bench.stream import Frames
from hermes.memory.layer import Provenance
from hermes.memory.watched_attention import NAME as ATTENTION
from hermes.session.ingest import opened_cache
from hermes.session.stream_session import StreamSession

QUESTION = "What was the first card?"
TEMPLATE = (
    "Watch: {% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}MARKER{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
)
REPEATS = 5
ENOUGH_SECONDS = 10.0
"""A measurement is not repeated after this time."""
BANDWIDTH_BYTES = 2**28


@dataclass(frozen=True)
class Row:
    """Measurements after a number of frames, with the bounds.

    Attributes:
        frames: Frames seen.
        budget: Tokens that a layer may hold.
        kept: Tokens in the fullest layer.
        first_token_ms: Time to first token in milliseconds.
        first_token_eager_ms: The same without CUDA graphs; None if the model has none.
        first_token_bound_ms: Bytes to read divided by the bandwidth, in milliseconds.
        ingest_fps: Frames per second of one more chunk, everything included.
        prefill_fps: Frames per second of a bare prefill of the same number of tokens.
        encode_fps: Frames per second of the vision tower and a bare prefill of the same frames.
        rss_bytes: Resident memory of the process.
    """

    frames: int
    budget: int
    kept: int
    first_token_ms: float
    first_token_eager_ms: float | None
    first_token_bound_ms: float
    ingest_fps: float
    prefill_fps: float
    encode_fps: float
    rss_bytes: int

    @property
    def first_token_ratio(self) -> float:
        """Time to first token divided by its bound; the goal is at most 2."""
        return self.first_token_ms / self.first_token_bound_ms

    @property
    def ingest_share(self) -> float:
        """Ingest speed divided by that of the bare prefill; the goal is at least 0.7."""
        return self.ingest_fps / self.prefill_fps

    @property
    def encode_share(self) -> float:
        """Ingest speed divided by that of the vision tower and the bare prefill."""
        return self.ingest_fps / self.encode_fps

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        shares = {"ingest_share": self.ingest_share, "encode_share": self.encode_share}
        return {**asdict(self), "first_token_ratio": self.first_token_ratio, **shares}


def byte_tokenizer(marker: str) -> PreTrainedTokenizerFast:
    """A tokenizer of bytes, a token each, in place of a model's own; its chat template writes `marker` for a video."""
    alphabet = ["<|end|>", "<video>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    raw = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, merges=[]))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token="<|end|>",  # noqa: S106 - no password
        extra_special_tokens={"video": "<video>"},
        chat_template=TEMPLATE.replace("MARKER", marker),
    )


def random_model(model: catalogue.Listed, device: torch.device, dtype: torch.dtype) -> Backbone:
    """A model of the catalogue with random weights, made on its device, with a tokenizer of bytes."""
    family, config = FAMILIES[model.family], model.config()
    marker = family.video_marker if isinstance(family.video_marker, str) else "<video>"
    words = byte_tokenizer(marker)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with BUILDING, device:
            built = family.model_class(config)
    finally:
        torch.set_default_dtype(before)
    built = built.to(device=device, dtype=dtype).eval().requires_grad_(False)
    for name in ("video_token_id", "image_token_id"):
        if getattr(config, name, None) is not None:
            setattr(config, name, words.convert_tokens_to_ids("<video>"))
    card = Card(f"{model.title}, random weights", "Random weights, to measure speed.")
    side = getattr(config.vision_config, "image_size", None)
    sizes = {"size": {"height": side, "width": side, "longest_edge": side}, "max_image_size": {"longest_edge": side}}
    made: Backbone = family(built, words, card, sizes if isinstance(side, int) else {})
    made.text_config._attn_implementation = ATTENTION  # noqa: SLF001 - transformers' own switch
    return made


def bandwidth(device: torch.device) -> float:
    """Measure the memory bandwidth of a device in bytes per second by copying (each byte is read and written)."""
    source = torch.empty(BANDWIDTH_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * BANDWIDTH_BYTES / _median_seconds(lambda: target.copy_(source), device)


def measure(
    model: Backbone,
    frames: Frames,
    marks: Sequence[int],
    budgets: Sequence[int],
    chunk: int,
    report: Callable[[str], None],
) -> tuple[float, list[Row]]:
    """Measure at every mark with every budget.

    Returns:
        Memory bandwidth in bytes per second, and a row for each budget and mark.
    """
    speed, rows = bandwidth(model.device), []
    for budget in budgets:
        session = StreamSession(model, budget=budget, chunk=chunk)
        for mark in sorted(marks):
            while session.stats.frames_seen < mark:
                _push(session, frames, min(chunk, mark - session.stats.frames_seen))
                report(f"budget {budget:,}: {session.stats.frames_seen:,} of {max(marks):,} frames")
            rows.append(_measure_here(model, session, frames, chunk, speed))
        session.close()
    return speed, rows


def _measure_here(model: Backbone, session: StreamSession, frames: Frames, chunk: int, speed: float) -> Row:
    seen = session.stats.frames_seen
    first = _first_tokens(session)
    shapes = model.fixed_shapes
    model.fixed_shapes = None
    eager = _first_tokens(session) if shapes else None
    model.fixed_shapes = shapes
    snapshot, resident = session.snapshot(), rss_bytes()
    bare = _bare_prefill(model, session, chunk)
    encode = _median_seconds(lambda: _encode(session, frames[:chunk]), model.device)
    ingest = _median_seconds(lambda: _push(session, frames, chunk), model.device)
    return Row(
        frames=seen,
        budget=int(snapshot.budget),
        kept=int(snapshot.kept_per_layer.max()),
        first_token_ms=1000 * first,
        first_token_eager_ms=None if eager is None else 1000 * eager,
        first_token_bound_ms=1000 * (_decoder_bytes(model) + snapshot.cache_bytes) / speed,
        ingest_fps=chunk / ingest,
        prefill_fps=chunk / bare,
        encode_fps=chunk / encode,
        rss_bytes=resident,
    )


def _decoder_bytes(model: Backbone) -> int:
    parts = (model.decoder.layers, model.decoder.norm, model.model.lm_head)
    return sum(p.numel() * p.element_size() for part in parts for p in part.parameters())


def _push(session: StreamSession, frames: Frames, count: int) -> None:
    seen = session.stats.frames_seen
    session.push(frames[:count], (seen + np.arange(count)) / 2)


def _first_tokens(session: StreamSession) -> float:
    """Return the median time to first token in seconds, after a first question that is not measured."""
    durations = []
    for _ in range(1 + REPEATS):
        for _ in session.ask(QUESTION, max_new_tokens=1):
            pass
        durations.append(float(session.stats.first_token_seconds or "nan"))
    return median(durations[1:])


def _encode(session: StreamSession, frames: Frames) -> None:
    """Encode a chunk and prefill it on a branch of the memory, without guidance and eviction."""
    model, cache, first = session.model, opened_cache(session), session.steps_seen
    encoded = model.encode(
        list(frames), (session.stats.frames_seen + np.arange(len(frames))) / 2, first, session.layout
    )
    branch = cache.branch()
    positions = model.chunk_positions(branch, encoded, first, session.layout)
    model.prefill(encoded.embeddings, positions, None, branch, encoded=encoded)
    cache.release(branch)


def _bare_prefill(model: Backbone, session: StreamSession, chunk: int) -> float:
    """Return the seconds to prefill as many tokens as a chunk has, on a branch of the memory."""
    cache = opened_cache(session)
    tokens = chunk // session.layout.frames_per_step * session.layout.grid[0] * session.layout.grid[1]
    embeddings = torch.randn(1, tokens, model.text_config.hidden_size, device=model.device).to(model.dtype)

    def prefill() -> None:
        branch = cache.branch()
        positions = model.text_positions(branch.next_positions(), tokens)
        model.prefill(embeddings, positions, Provenance.of_text(tokens, model.device), branch)
        cache.release(branch)

    return _median_seconds(prefill, model.device)


def _median_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the median duration of a few runs after a first one; slow work is run twice."""

    def once() -> float:
        _wait(device)
        began = time.perf_counter()
        work()
        _wait(device)
        return time.perf_counter() - began

    durations: list[float] = []
    began = time.perf_counter()
    once()
    while len(durations) < REPEATS and (not durations or time.perf_counter() - began < ENOUGH_SECONDS):
        durations.append(once())
    return median(durations)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
