"""Answers: prefill the question on a branch of the memory, decode greedily, and record the attention to the memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from hermes.backbones.base import Backbone
from hermes.backbones.fixed_shapes import FixedAnswer
from hermes.memory.cache import MemoryCache
from hermes.memory.devices import together
from hermes.memory.heads import tokens_by_head
from hermes.memory.layer import FRAME, KIND, PATCH, LayerMemory
from hermes.memory.watched_attention import AttentionRecorder
from hermes.session.token_attention import TokenAttention
from hermes.snapshot import PROMPT, SUMMARY, AnswerTrace

REPLACEMENT = "\ufffd"


class Answer:
    """Iterator over the pieces of an answer. Reads the memory as it was when the question was asked.

    Attributes:
        first_token_seconds: Wall time from the question to the first token; nan before it.
        text: The text so far.
    """

    def __init__(
        self,
        model: Backbone,
        memory: MemoryCache,
        ids: Tensor,
        max_new_tokens: int,
        asked: float,
        frames_seen: int,
        moved_bytes: int = 0,
        repetition_penalty: float = 1.0,
    ) -> None:
        """Branch off `memory`.

        Args:
            model: The model.
            memory: The stream's memory, or the memory that a policy assembled for this question. New tokens are written to
                a branch.
            ids: Token ids of the question in the chat template [tokens].
            max_new_tokens: Maximum length of the answer in tokens.
            asked: `time.perf_counter()` when the question was asked.
            frames_seen: Frames in the memory, without one that waits for the frame it is merged with.
            moved_bytes: Bytes fetched from outside the memory for this question.
            repetition_penalty: Penalty of tokens that the answer contains; 1 is off.
        """
        self.model = model
        self.moved_bytes = moved_bytes
        self.first_token_seconds = float("nan")
        self.text = ""
        self._memory = memory
        self._branch: MemoryCache | None = memory.branch()
        self._layers = self._branch.layers
        self._lengths = [layer.length for layer in self._layers]
        # The last row of the question predicts the first token; every later token is one row.
        self._recorder = AttentionRecorder(self._lengths, [slice(-1, None)] * len(self._lengths), store_rows=True)
        self._frames_seen = frames_seen
        self._heads = int(model.text_config.num_attention_heads)
        self._ends: list[int] = []
        self._ids = ids
        self._max_new_tokens = max_new_tokens
        self._asked = asked
        self._penalty = repetition_penalty
        self._fixed: FixedAnswer | None = None

    @cached_property
    def _held(self) -> list[LayerMemory]:
        """The tokens that were held when the question was asked; not needed before the first token."""
        return [replace(layer, length=length).held() for layer, length in zip(self._layers, self._lengths, strict=True)]

    @cached_property
    def _by_token(self) -> TokenAttention:
        return TokenAttention(self._held, self._heads, self._frames_seen)

    def __iter__(self) -> Iterator[str]:
        """Decode and yield pieces of valid text."""
        produced: list[int] = []
        text = ""
        for token in self._tokens():
            produced.append(token)
            text = self.model.tokenizer.decode(produced, skip_special_tokens=True)
            shown = len(self.text)
            if text.endswith(REPLACEMENT) or len(text) <= shown:
                self._ends.append(shown)
                continue
            self.text = text
            self._ends.append(len(text))
            yield text[shown:]
        shown = len(self.text)
        if len(text) > shown:  # the answer ended within a character
            self.text = text
            self._ends[-1] = len(text)
            yield text[shown:]

    def _tokens(self) -> Iterator[int]:
        ids, stop, produced = self._ids, self.model.stop_ids, self._ids[:0]
        if self._branch is not None and self.model.fixed_shapes is not None:
            self._fixed = self.model.fixed_shapes.open(self._branch, len(ids), self._max_new_tokens)
        for i in range(self._max_new_tokens):
            if self._branch is None:
                return
            logits = self._logits(self._branch, ids) if self._fixed is None else self._fixed.logits(ids)
            ids = penalised(logits, produced, self._penalty).argmax(-1)
            produced = torch.cat((produced, ids))
            token = int(ids)  # the only device synchronisation of an answer
            if i == 0:
                self.first_token_seconds = time.perf_counter() - self._asked
            if self._fixed is not None:
                self._fixed.record(self._recorder)
            if token in stop:
                return
            yield token
            if self._recorder.single is not None and self._by_token.is_due(self._recorder.single):
                self._sum_rows()

    def _logits(self, branch: MemoryCache, ids: Tensor) -> Tensor:
        """Append tokens to the branch and return the logits after the last one, float32 [1, vocabulary]."""
        positions = self.model.text_positions(branch.next_positions(), len(ids))
        hidden = self.model.prefill(self.model.embed(ids), positions, None, branch, self._recorder)
        return self.model.logits(hidden[:, -1:])[0]

    def _sum_rows(self) -> None:
        """Sum the stored rows per frame, and store no more if the limit is reached."""
        if self._recorder.single is not None:
            self._by_token.add(self._recorder.single)
            self._recorder.single = {} if self._by_token.tokens < self._by_token.most else None

    def close(self) -> None:
        """Free the branch."""
        if self._fixed is not None:
            self._fixed.close()
        if self._branch is not None:
            self._memory.release(self._branch)
            self._branch = None

    def trace(self, question: str, asked_seconds: float) -> AnswerTrace:
        """Return the record of this answer; see `AnswerTrace` for the arguments."""
        flat, frames, patches, by_head, rest = [], [], [], [], []
        heads, frames_seen = self._heads, self._frames_seen
        self._sum_rows()
        by_token = self._by_token.stored(len(self._ends))
        answer = self.text.strip()
        leading = len(self.text) - len(self.text.lstrip())
        ends = np.clip(np.array(self._ends[: len(by_token)], np.int64) - leading, 0, len(answer))
        for i, layer in enumerate(self._held):
            mean = self._recorder.mean(i) if i in self._recorder.sums else torch.zeros(heads, layer.length)
            mean = mean.to(layer.labels.device)
            labels, own = tokens_by_head(layer)
            frame, kind = labels[FRAME].long(), labels[KIND]
            known = frame < frames_seen  # not a pending frame, which only this answer saw
            if own is not None:  # each head holds its own tokens: map its slots to the union over heads
                on_tokens = torch.zeros(len(mean), labels.shape[1], device=mean.device)
                mean = on_tokens.scatter_add_(1, own.repeat_interleave(len(mean) // len(own), 0), mean)
            on_frames = torch.zeros(mean.shape[0], frames_seen + 1, device=mean.device)
            on_frames.index_add_(1, torch.where((frame < 0) | ~known, frames_seen, frame), mean)
            whole = mean.mean(0)
            parts = torch.stack([whole[kind == PROMPT].sum(), whole[(kind == SUMMARY) & (frame < 0)].sum()])
            rest.append(torch.cat((parts, (1 - whole[known].sum()).clamp(min=0)[None])))
            by_head.append(on_frames[:, :frames_seen])
            flat.append(whole[known])
            frames.append(frame[known])
            patches.append(labels[PATCH][known])
        heads_by_frame = torch.stack(together(by_head))
        return AnswerTrace(
            question=question,
            answer=answer,
            asked_seconds=asked_seconds,
            frames_seen=frames_seen,
            first_token_seconds=self.first_token_seconds,
            attention=_numpy(heads_by_frame.mean(1), np.float32),
            attention_heads=_numpy(heads_by_frame, np.float32),
            attention_rest=_numpy(torch.stack(together(rest)), np.float32),
            attention_patch=_numpy(torch.cat(together(flat)), np.float32),
            token_frame=_numpy(torch.cat(together(frames)), np.int32),
            token_patch=_numpy(torch.cat(together(patches)), np.int16),
            offsets=np.cumsum([0] + [len(of_layer) for of_layer in flat]).astype(np.int64),
            moved_bytes=self.moved_bytes,
            tokens_read=np.array([layer.length for layer in self._held], np.int64),
            attention_by_token=by_token,
            token_ends=ends,
        )


def penalised(logits: Tensor, produced: Tensor, penalty: float) -> Tensor:
    """Apply a repetition penalty: positive logits of the tokens `produced` are divided by it, negative ones multiplied.

    Args:
        logits: Next-token logits [1, vocabulary].
        produced: Token ids of the answer so far, repetitions allowed, int64 [tokens].
        penalty: 1 (off) or more.

    Returns:
        The new logits, same shape.
    """
    if penalty == 1 or not len(produced):
        return logits
    found = logits[:, produced]
    return logits.index_copy(1, produced, torch.where(found < 0, found * penalty, found / penalty))


def _numpy(tensor: Tensor, dtype: type) -> np.ndarray:
    return tensor.cpu().numpy().astype(dtype)
