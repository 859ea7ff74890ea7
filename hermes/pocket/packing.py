"""Packed training batches: the frames of each stream once, then many questions that see only the frames before them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from hermes.cards.phrases import PHRASES
from hermes.cards.questions import ask
from hermes.cards.timeline import COLOURS, PLACES, SHAPES, Event, Tempo, make_events
from hermes.pocket.model import TOKENS
from hermes.pocket.tokenizer import answer_ids
from hermes.worlds.questions import Question
from hermes.worlds.timeline import Occurrence

IGNORED: Final = -100
FOREVER: Final = 10**6
# Relative frequency of each kind of question.
SHARES: Final = {
    "now": 1.0, "before": 1.2, "first": 1.0, "exists": 1.8, "after": 2.2, "attribute": 2.2, "place": 2.0, "count": 0.0,
    "when": 0.3, "other": 0.5, "recall": 0.6,
}  # fmt: skip
COUNT_SHARE: Final = 8.0  # frequency of counting questions for streams seen in full; 0 for others


class FeatureSource(Protocol):
    """Source of frame tokens: synthetic codes or the trained tower."""

    def frames(
        self, rng: np.random.Generator, labels: NDArray[np.int64], event: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor]:
        """Return frame tokens and the fraction of each that a card covers.

        Args:
            rng: Source of randomness.
            labels: int64 [B, F, 3], -1 for frames without a card.
            event: int64 [B, F], index of the event shown, -1 for none.

        Returns:
            float32 [B, F, TOKENS, WIDTH] and float32 [B, F, TOKENS].
        """


@dataclass(frozen=True)
class Track:
    """The events of one stream, in the form that questions need."""

    events: list[Event]
    fps: float = 1.0


@dataclass(frozen=True)
class Plan:
    """Shape of one batch.

    Attributes:
        streams: Number of streams.
        frames: Number of frames per stream.
        kept: Number of tokens kept per frame, at their original positions.
        asked: Number of questions per stream.
        tempo: Duration of cards and pauses.
        stretch: Maximum gap in time between two frames (1: no gaps), as after evictions.
        kinds: Kinds of questions; empty for the usual mixture (without lists, whose length would pad the others).
        few: Fraction of streams with cards of only two or three colours, so that a colour does not identify a card.
        whole: Whether all layers see everything. Only then can cards be counted, and many questions ask for counts.
    """

    streams: int
    frames: int
    kept: int
    asked: int
    tempo: Tempo
    stretch: int = 1
    kinds: tuple[str, ...] = ()
    few: float = 0.5
    whole: bool = False


@dataclass(frozen=True)
class Batch:
    """A packed batch of B streams: P head tokens, N = frames x kept frame tokens, Q questions of length L.

    Attributes:
        head: int64 [P].
        tokens: float [B, N, WIDTH].
        token_position: int64 [B, N].
        token_frame: int64 [B, N], index of the frame of each token.
        cover: float [B, N].
        previous: int64 [B, N, 2], colour and shape of the previous card, as 1 + index, 0 for none.
        words: int64 [B, Q, L].
        word_position: int64 [B, Q, L].
        asked_frame: int64 [B, Q], the last frame each question sees.
        target: int64 [B, Q, L], the next word if it is part of the answer, otherwise `IGNORED`.
        questions: The questions, B lists of Q.
        guess: float [B, Q], accuracy of guessing (see `guess_level`).
        event: int64 [B, N], index of the event whose card a token shows, E (the number of events) for none.
        label: int64 [B, N, 3], colour, shape and place of the card in the token's frame, -1 for none.
        evidence: float [B, Q, E + 1], fraction of the evidence in each event; all 0 if there is no evidence.
        look: bool [B, Q, L], words whose attention to the evidence is supervised.
        counting: bool [B, Q], counting questions.
        starts: int64 [B, N], index of the event that begins in a token's frame, E for none.
        whole: Whether all layers see everything.
    """

    head: Tensor
    tokens: Tensor
    token_position: Tensor
    token_frame: Tensor
    cover: Tensor
    previous: Tensor
    words: Tensor
    word_position: Tensor
    asked_frame: Tensor
    target: Tensor
    questions: list[list[Question]]
    guess: Tensor
    event: Tensor
    label: Tensor
    evidence: Tensor
    look: Tensor
    counting: Tensor
    starts: Tensor
    whole: bool

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its tensors on a device."""
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)


@dataclass(frozen=True)
class Drawn:
    """Content of the B streams of one batch, with F frames each.

    Attributes:
        tracks: Events of each stream.
        labels: int64 [B, F, 3], class indices of the frame's content, -1 for none.
        event: int64 [B, F], index of the event shown, -1 for none.
        begins: int64 [B, F], index of the event that begins, -1 for none.
        previous: int64 [B, F, 2], classes of the previous event, as 1 + index, 0 for none.
    """

    tracks: list[Any]
    labels: NDArray[np.int64]
    event: NDArray[np.int64]
    begins: NDArray[np.int64]
    previous: NDArray[np.int64]

    @staticmethod
    def empty(streams: int, frames: int) -> Drawn:
        """Return streams without events."""
        nothing = np.full((streams, frames), -1, np.int64)
        labels = np.full((streams, frames, 3), -1, np.int64)
        return Drawn([], labels, nothing, nothing.copy(), np.zeros((streams, frames, 2), np.int64))

    def put(self, row: int, index: int, events: Sequence[Occurrence], shown: tuple[int, int]) -> None:
        """Add an event to stream `row`; `shown` are its classes for `previous` of later frames."""
        event = events[index]
        self.event[row, event.start : event.end] = index
        self.begins[row, event.start] = index
        # It is the previous event from its end to the end of the next event.
        after = events[index + 1].end if index + 1 < len(events) else self.event.shape[1]
        self.previous[row, event.end : after] = shown


class Words:
    """Token ids of heads, questions and answers, cached by text."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        message: Any = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "?"}]}]
        text = str(tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))
        head, tail = text.split("<video>")
        self.head = tokenizer(head)["input_ids"]
        self.opening = tokenizer(tail.partition("?")[2])["input_ids"]
        self._known: dict[tuple[str, str], tuple[list[int], int]] = {}

    def of(self, question: Question) -> tuple[list[int], int]:
        """Return the ids of question, opening and answer, and the number of ids before the answer."""
        key = (question.text, question.answer)
        if key not in self._known:
            asked = self.tokenizer(question.text)["input_ids"] + self.opening
            answer = answer_ids(self.tokenizer, question.answer) if question.answer else [self.tokenizer.eos_token_id]
            self._known[key] = (asked + answer, len(asked))
        return self._known[key]


def guess_level(question: Question, track: Track, at: int) -> float:
    """Return the chance that naming something shown so far (or the likelier of yes and no) is correct."""
    seen = [event for event in track.events if event.start <= at]
    if question.kind in ("exists", "when"):
        return 0.5
    if question.kind in ("other", "recall") or not seen:
        return 1.0
    if question.kind in ("before", "after") or question.form == "first":
        return 1 / len({(e.colour, e.shape) for e in seen})
    values = {"colour": [e.colour for e in seen], "shape": [e.shape for e in seen], "place": [e.place for e in seen]}
    for name, listed in values.items():
        if name in question.form and question.kind in ("attribute", "place", "first"):
            return max(Counter(listed).values()) / len(listed)
    return 1 / len(seen)


def evidence_of(question: Question, track: Track, at: int) -> list[int]:
    """Return the indices of the events with the answer; none for "now" (the newest frames contain it) and refusals."""
    seen = [index for index, event in enumerate(track.events) if event.start <= at]
    if question.kind in ("recall", "list") or question.form == "count":
        return seen
    if question.kind in ("now", "other") or question.answer in ("No.", "Nothing.", "0."):
        return []
    start, end = (time * track.fps for time in question.evidence)
    inside = [i for i in seen if start <= track.events[i].start < end]
    if question.kind == "count":
        return [i for i in inside if {track.events[i].colour, track.events[i].shape} & set(question.subject)]
    return inside[-1:]


def _few_colours(rng: np.random.Generator) -> list[int]:
    colours = rng.permutation(len(COLOURS))[: int(rng.integers(2, 4))].tolist()
    return [colour * len(SHAPES) + shape for colour in colours for shape in range(len(SHAPES))]


class Packer:
    """Makes packed batches, reproducible from the random generator.

    Attributes:
        shares: Relative frequency of each kind of question.
        lists: Phrases that ask for everything shown.
    """

    shares: Mapping[str, float] = SHARES
    lists: Sequence[str] = PHRASES["list"]

    def __init__(self, tokenizer: PreTrainedTokenizerFast, source: FeatureSource) -> None:
        self.words = Words(tokenizer)
        self.source = source
        self._pad = int(tokenizer.pad_token_id or 0)

    def _asked(self, rng: np.random.Generator, track: Track, plan: Plan) -> list[tuple[Question, int]]:
        left_out = {"when"} if plan.stretch > 1 else set()
        shares_of = dict(self.shares) | {"count": COUNT_SHARE if plan.whole else 0.0}
        kinds = plan.kinds or tuple(kind for kind in self.shares if kind not in left_out)
        shares = np.array([shares_of.get(kind, 1.0) for kind in kinds])
        asked: list[tuple[Question, int]] = []
        while len(asked) < plan.asked:
            late = plan.kinds != ("list",) and rng.random() < 0.4
            at = int(rng.integers(plan.frames * 3 // 4, plan.frames)) if late else int(rng.integers(plan.frames))
            kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
            if kind == "recall":  # has no answer; only supervises attention
                text = self.lists[int(rng.integers(len(self.lists)))]
                asked.append((Question("recall", text, "", (0.0, 0.0)), at))
                continue
            question = self._ask(track, at, kind, rng)
            if question is not None:
                asked.append((question, at))
        return asked

    def _draw(self, rng: np.random.Generator, plan: Plan) -> Drawn:
        """Sample the content of a batch's streams."""
        drawn = Drawn.empty(plan.streams, plan.frames)
        for row in range(plan.streams):
            events = make_events(rng, plan.frames, plan.tempo, _few_colours(rng) if rng.random() < plan.few else None)
            drawn.tracks.append(Track(events))
            for index, event in enumerate(events):
                card = (COLOURS.index(event.colour), SHAPES.index(event.shape), PLACES.index(event.place))
                drawn.labels[row, event.start : event.end] = card
                drawn.put(row, index, events, (card[0] + 1, card[1] + 1))
        return drawn

    def _ask(self, track: Any, at: int, kind: str, rng: np.random.Generator) -> Question | None:
        return ask(track, at, kind, rng)

    def _evidence(self, question: Question, track: Any, at: int) -> list[int]:
        return evidence_of(question, track, at)

    def _guess(self, question: Question, track: Any, at: int) -> float:
        return guess_level(question, track, at)

    def make(self, rng: np.random.Generator, plan: Plan) -> Batch:
        """Sample one batch."""
        streams, frames = plan.streams, plan.frames
        drawn = self._draw(rng, plan)
        tracks, labels, event_of = drawn.tracks, drawn.labels, drawn.event
        begins, previous = drawn.begins, drawn.previous
        tokens, cover = self.source.frames(rng, labels, event_of)
        keep = self._keep(rng, cover, plan.kept)
        jumps = np.ones((streams, frames), np.int64)
        if plan.stretch > 1:
            long = rng.random((streams, frames)) < 0.3
            jumps += np.where(long, rng.integers(0, plan.stretch, (streams, frames)), 0)
        clock = np.cumsum(jumps, 1) - 1
        start = len(self.words.head)
        position = start + TOKENS * torch.from_numpy(clock)[..., None] + keep
        asked = [self._asked(rng, track, plan) for track in tracks]
        encoded = [[self.words.of(question) for question, _ in row] for row in asked]
        length = max(len(ids) for row in encoded for ids, _ in row) - 1
        words = torch.full((streams, plan.asked, length), self._pad)
        target = torch.full((streams, plan.asked, length), IGNORED)
        most = max(len(track.events) for track in tracks)
        evidence = torch.zeros(streams, plan.asked, most + 1)
        look = torch.zeros(streams, plan.asked, length, dtype=torch.bool)
        counting = torch.zeros(streams, plan.asked, dtype=torch.bool)
        for row, items in enumerate(encoded):
            for column, (ids, before) in enumerate(items):
                question, when = asked[row][column]
                words[row, column, : len(ids) - 1] = torch.tensor(ids[:-1])
                if question.answer:
                    target[row, column, before - 1 : len(ids) - 1] = torch.tensor(ids[before:])
                counting[row, column] = question.kind == "count"
                found = self._evidence(question, tracks[row], when)
                if found or question.kind == "count":
                    evidence[row, column, found] = 1 / max(len(found), 1)
                    generic = question.kind in ("recall", "list")
                    # Supervise generic prompts from their second word, questions from their last word.
                    look[row, column, slice(1, before) if generic else slice(before - 4, len(ids) - 1)] = True
        at = torch.tensor([[when for _, when in row] for row in asked])
        end = start + TOKENS * (torch.from_numpy(clock).gather(1, at) + 1)
        width = tokens.shape[-1]
        count = frames * plan.kept
        kept_cover = cover.gather(2, keep).view(streams, count)
        shown = torch.from_numpy(event_of).repeat_interleave(plan.kept, 1)
        starts = torch.from_numpy(begins).repeat_interleave(plan.kept, 1)
        return Batch(
            head=torch.tensor(self.words.head),
            tokens=tokens.gather(2, keep[..., None].expand(-1, -1, -1, width)).view(streams, count, width),
            token_position=position.view(streams, count),
            token_frame=torch.arange(frames).repeat_interleave(plan.kept).expand(streams, -1),
            cover=kept_cover,
            previous=torch.from_numpy(previous).repeat_interleave(plan.kept, 1),
            words=words,
            word_position=end[..., None] + torch.arange(length),
            asked_frame=at,
            target=target,
            questions=[[question for question, _ in row] for row in asked],
            guess=torch.tensor(
                [[self._guess(q, track, when) for q, when in row] for row, track in zip(asked, tracks, strict=True)]
            ),
            event=torch.where((shown >= 0) & (kept_cover > 0.3), shown, most),
            label=torch.from_numpy(labels).repeat_interleave(plan.kept, 1),
            evidence=evidence,
            look=look,
            counting=counting,
            starts=torch.where(starts >= 0, starts, most),
            whole=plan.whole,
        )

    @staticmethod
    def _keep(rng: np.random.Generator, cover: Tensor, kept: int) -> Tensor:
        """Return the sorted indices of the tokens to keep of each frame; usually one of them shows the card."""
        if kept == TOKENS:
            return torch.arange(TOKENS).expand(*cover.shape[:2], -1)
        score = torch.from_numpy(rng.random(cover.shape)).float()
        best = (score * (cover > 0.6)).argmax(-1, keepdim=True)
        has = (cover.amax(-1, keepdim=True) > 0.6) & torch.from_numpy(rng.random((*cover.shape[:2], 1)) < 0.9)
        score = score.scatter_add(-1, best, has.float())
        return score.topk(kept, -1).indices.sort(-1).values
