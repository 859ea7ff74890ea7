"""A synthetic stream without a model, whose memory changes in every way that a recorded run must reproduce."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

import numpy as np

from hermes import trace
from hermes.analysis.token_history import ScoreRecord
from hermes.snapshot import PROMPT, SUMMARY, VISION, AnswerTrace, Eviction, Snapshot
from hermes.trace.records import rounded_answer
from hermes.trace.rounding import rounded
from hermes.video.thumbnails import jpeg
from hermes.view import LiveView

LAYERS, PER_FRAME, PROMPTS = 4, 9, 5

EVENT = {"what": "red circle", "colour": "red", "shape": "circle", "where": "left", "start": 0.0, "end": 2.5}


class SyntheticStream:
    """A memory that grows, evicts random tokens, merges them into summaries, and compacts positions."""

    def __init__(self, seed: int, *, budget: int = 40, odd: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.budget = budget
        self.odd = odd  # scores outside 0 to 1, positions that are not integers, fields that few policies use
        self.layers = [[self._token(-1, -1, PROMPT, i) for i in range(PROMPTS)] for _ in range(LAYERS)]
        self.times: list[float] = []
        self.evictions: tuple[Eviction, ...] = ()
        self.scores: tuple[ScoreRecord, ...] = ()
        self.answer: AnswerTrace | None = None
        self.sequence = 0

    def _token(self, frame, patch, kind, position):
        nan = math.nan
        seconds = np.float32(self.times[frame]) if frame >= 0 else nan
        shift = 0.25 if self.odd else 0.0
        return {"frame": frame, "patch": patch, "kind": kind, "mass": 1.0, "position": position + shift,
                "importance": nan, "recency": nan, "guidance_attention": nan, "token_seconds": seconds}  # fmt: skip

    def push(self) -> LiveView:
        self.times.append((self.times[-1] if self.times else 0.0) + 1 / 3)
        frame = len(self.times) - 1
        self.sequence += 1
        for layer in self.layers:
            last = layer[-1]["position"]
            layer.extend(self._token(frame, p, VISION, last + 1 + p) for p in range(PER_FRAME))
        if len(self.layers[0]) - PROMPTS > self.budget:
            self._evict()
        return self.view()

    def _evict(self) -> None:
        evicted, merged, reindexed, before = [], [], [], []
        compact = len(self.evictions) % 3 == 2
        for number, layer in enumerate(self.layers):
            video = layer[PROMPTS:]
            top = 7.0 if self.odd else 1.0
            for token in video:
                token["importance"] = float(np.float32(self.rng.random() * top))
                token["recency"] = float(np.float32(self.rng.random()))
                token["guidance_attention"] = float(np.float32(self.rng.random() ** 8)) if number else math.nan
            order = np.argsort([-t["importance"] for t in video], kind="stable")[: self.budget - 1]
            keep = np.zeros(len(video), bool)
            keep[order] = True
            before.append((video, keep))
            layer[PROMPTS:] = [t for t, stays in zip(video, keep, strict=True) if stays]
            if number == LAYERS - 1:
                gone = [t for t, stays in zip(video, keep, strict=True) if not stays]
                summary = self._token(-1, -1, SUMMARY, layer[-1]["position"])
                summary["mass"] = float(sum(t["mass"] for t in gone))
                layer.append(summary)
            if compact:
                for i, token in enumerate(layer):
                    token["position"] = float(i)
            evicted.append(int((~keep).sum()))
            merged.append(evicted[-1] if number == LAYERS - 1 else 0)
            reindexed.append(compact)
        self.evictions += (
            Eviction(
                self.sequence, self.times[-1], len(self.times), np.array(evicted), np.array(merged), np.array(reindexed)
            ),
        )
        self._note_scores(before)

    def _note_scores(self, before) -> None:
        flat = [(t, k) for video, keep in before for t, k in zip(video, keep, strict=True)]
        self.scores += (
            ScoreRecord(
                self.sequence, self.times[-1], len(self.times),
                np.cumsum([0, *(len(v) for v, _ in before)]).astype(np.int64),
                np.array([t["frame"] for t, _ in flat], np.int32), np.array([t["patch"] for t, _ in flat], np.int16),
                np.rint(np.clip([t["importance"] for t, _ in flat], 0, 1) * np.float32(254)).astype(np.uint8),
                np.array([k for _, k in flat], bool), np.array([i == LAYERS - 1 for i in range(LAYERS)]),
            ),
        )  # fmt: skip

    def ask(self, question: str) -> LiveView:
        shot = self.view().snapshot
        attention = self.rng.random((LAYERS, 2, shot.frames_seen)).astype(np.float32) / 50
        self.sequence += 1
        self.answer = AnswerTrace(
            question, "Red triangle.", self.times[-1], shot.frames_seen, 0.0123, attention.mean(1), attention,
            self.rng.random((LAYERS, 3)).astype(np.float32), self.rng.random(len(shot.frame)).astype(np.float32),
            shot.frame, shot.patch, shot.offsets,
            attention_by_token=(self.rng.random((3, LAYERS, 2, shot.frames_seen)) / 50).astype(np.float16),
            token_ends=np.array([3, 12, 13], np.int64),
        )  # fmt: skip
        return self.view()

    def view(self) -> LiveView:
        flat = [token for layer in self.layers for token in layer]

        def column(name, dtype):
            return np.array([token[name] for token in flat], dtype)

        offsets = np.cumsum([0, *map(len, self.layers)]).astype(np.int64)
        frame, kind = column("frame", np.int32), column("kind", np.int8)
        frames = len(self.times)
        layer_of = np.repeat(np.arange(LAYERS), np.diff(offsets))
        held = kind == VISION
        kept = np.bincount(layer_of[held] * frames + frame[held], minlength=LAYERS * frames).reshape(LAYERS, frames)
        more = {}
        if self.odd:
            more = {
                "archived": (self.rng.random((LAYERS, frames)) * 9).astype(np.uint16),
                "first_frame": np.maximum(frame - 1, -1).astype(np.int32),
                "held_by": self.rng.choice(np.array([0.5, 1], np.float32), len(frame)),
                "state_layers": (0, 1, LAYERS),
                "state_bytes": 4096,
            }
            kept = kept + 1
        known = {item.name for item in fields(Snapshot)}
        snapshot = Snapshot(
            sequence=self.sequence, model="made up", policy="hermes", budget=self.budget, guidance="forward",
            guidance_prompts={"local": "What now?", "global": "What “all”?"}, seconds=self.times[-1], grid=(3, 3),
            prompt_len=PROMPTS, tiers=np.array([0, 1, 1, 2], np.int8), frame_times=np.array(self.times),
            kept=kept.astype(np.uint16), offsets=offsets, frame=frame, patch=column("patch", np.int16), kind=kind,
            mass=column("mass", np.float32), position=column("position", np.float32),
            importance=column("importance", np.float32), guidance_attention=column("guidance_attention", np.float32),
            recency=column("recency", np.float32), tokens_seen=PER_FRAME * frames, cache_bytes=len(flat) * 64,
            full_cache_bytes=frames * 999, evictions=self.evictions, answer=self.answer,
            token_seconds=column("token_seconds", np.float32),
            **{name: values for name, values in more.items() if name in known},
        )  # fmt: skip
        picture = jpeg(self.rng.integers(0, 255, (30, 40, 3), dtype=np.uint8), 40, 60)
        return LiveView(
            "playing", "made up", self.times[-1], None, 0.1, picture, frames - 1, snapshot, 1, 0, 12.5,
            None if self.answer is None else 12.3, answering=False, error=None,
        )  # fmt: skip


def recorded(tmp_path, views, *, scores=(), limit=trace.LIMIT, **head) -> tuple[trace.Run, Path]:
    recorder = trace.Recorder(limit)
    for view in views:
        assert recorder.add(view, None, scores)
    path = tmp_path / "run.hermesrun"
    recorder.write(path, trace.Head(**{"id": "a-run", "title": "A run", "created": "2026-01-02T03:04:05Z", **head}))
    return trace.read(path), path


def assert_same(read, expected) -> None:
    """Two records are equal, field by field, with types and shapes."""
    for item in fields(expected):
        one, other = getattr(read, item.name), getattr(expected, item.name)
        if isinstance(other, np.ndarray):
            assert one.dtype == other.dtype, item.name
            assert one.shape == other.shape, item.name
            assert np.array_equal(one, other, equal_nan=other.dtype.kind == "f"), item.name
        elif item.name == "evictions":
            assert len(one) == len(other)
            for a, b in zip(one, other, strict=True):
                assert_same(a, b)
        elif isinstance(other, AnswerTrace):
            # A recorder leaves the attention of tokens out if the file has no room for it.
            assert_same(one, rounded_answer(other if one.attention_by_token.size else other.without_tokens()))
        elif isinstance(other, Snapshot):
            assert_same(one, rounded(other))
        elif item.name != "frame_jpeg":
            assert one == other or (one != one and other != other), item.name  # noqa: PLR0124 - nan
