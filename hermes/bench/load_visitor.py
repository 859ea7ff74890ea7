"""One visitor of a load test, which sends the requests of a browser and measures the responses."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from hermes.bench.page_client import PageClient, RequestError
from hermes.bench.stream import QUESTION
from hermes.errors import HermesError

STAGGER_SECONDS: Final = 0.25
"""Time in seconds over which the visitors' first requests are spread: the interval between two updates."""
RETRY_SECONDS: Final = 1.0
WANTED: Final = {"mode": "kept", "first": 0, "stop": 0, "pictures": 13}
"""The board's request of a page that is 1,440 pixels wide."""
ASK_SECONDS: Final = 10.0
"""Time in seconds between two questions of a visitor."""
FULL: Final = (
    "the maximum for this machine",
    "places are taken",
    "slots are busy",
    "server is full",
    "from your network address",
)
"""Parts of the page's messages that it has no room for another visitor."""
PLAYING: Final = ("playing", "ended")

Json = dict[str, Any]


@dataclass
class Measurements:
    """Measurements during the load test: `begun` is set when the measurement starts, `counting` during it."""

    counting: bool = False
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    polls: list[float] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    behind: float = 0.0

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Count the error of a request and continue."""
        try:
            yield
        except RequestError as error:
            self.errors[error.kind] += 1


class LoadVisitor:
    """One visitor of the load test.

    Attributes:
        refusal: Message with which the server refused the stream; None if it was not refused.
        frames: Frames of this visitor's streams that the model has seen.
        dropped: Frames that were dropped or could not be decoded.
        asking: Whether an answer is pending.
    """

    def __init__(self, client: PageClient, clip: str, measured: Measurements) -> None:
        self.refusal: str | None = None
        self.frames = 0
        self.dropped = 0
        self.asking = False
        self.player: Json = {}
        self._client = client
        self._clip = clip
        self._measured = measured
        self._acknowledged: int | None = None
        self._shown = -1
        self._frames_before = 0
        self._notice: Any = None
        self._ended = asyncio.Event()
        self._has_frames = asyncio.Event()
        self._orders = 0
        self._asked = 0

    @property
    def settled(self) -> bool:
        """Whether the stream plays, waits for a live slot, or was refused."""
        plays = self.player.get("state") in PLAYING and self.player.get("frames", 0) > 0
        return self.refusal is not None or self.waiting or plays

    @property
    def waiting(self) -> bool:
        """Whether the stream waits for a live slot."""
        return self.refusal is None and bool(self.player.get("waiting"))

    async def stay(self, offset: float, spread: float = ASK_SECONDS) -> None:
        """Start the clip, then receive updates and ask questions until cancelled.

        Args:
            offset: Position among the visitors, 0 to 1, for staggering updates and questions.
            spread: Time in seconds over which the visitors' first questions are spread.
        """
        await asyncio.sleep(offset * STAGGER_SECONDS)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._start_on())
            group.create_task(self._ask_on(offset * spread))

    async def wait_for_model(self) -> None:
        """Receive updates until the server has loaded its model.

        Raises:
            RequestError: The server does not answer.
            HermesError: The model cannot be loaded.
        """
        while True:
            async for update in self._client.updates(self._shows()):
                about = update["player"]["about"]
                if about["error"]:
                    raise HermesError(f"The server cannot load its model: {about['error']}")
                if about["model"]:
                    return

    async def _start_on(self) -> None:
        """Start the clip, and restart it each time it ends."""
        while True:
            self._ended.clear()
            self._has_frames.clear()
            self._orders += 1
            with self._measured.guard():
                await self._client.call(
                    "act", {"action": "start", "kind": "clip", "id": self._clip, "order": self._orders}
                )
            await self._ended.wait()

    async def _watch(self) -> None:
        while True:
            try:
                async for update in self._client.updates(self._shows()):
                    if self._measured.counting:
                        self._measured.polls.append(time.time() - update["due"])
                    self._read_player(update["player"])
                    if update["board"]:
                        self._read_board(update["board"])
            except RequestError as error:
                self._measured.errors[error.kind] += 1
                await asyncio.sleep(RETRY_SECONDS)

    def _shows(self) -> Json:
        return {"seq": self._acknowledged, "board": WANTED, "frame": self._shown, "hidden": False, "open": None}

    def _read_board(self, message: Json) -> None:
        if message["base"] is not None and message["base"] != self._acknowledged:
            self._measured.errors["board out of step"] += 1
        self._acknowledged = message["seq"]
        if meters := message.get("meters"):
            self.dropped = max(self.dropped, meters["dropped"] + meters["skipped"])

    def _read_player(self, player: Json) -> None:
        before, self.player = self.player, player
        if player.get("restarted"):
            self._acknowledged, self._shown = None, -1
        if frame := player.get("frame"):
            self._shown = frame["index"]
        if player["frames"] < before.get("frames", 0):
            self._frames_before += before["frames"]
        self.frames = self._frames_before + player["frames"]
        if player["state"] == "playing" and player["frames"] > 0:
            self._has_frames.set()
        if self._measured.counting:
            self._measured.behind = max(self._measured.behind, player["behind"])
        self._read_notice(player.get("notice"))
        if player["state"] == "ended" and before.get("state") == "playing":
            self._ended.set()

    def _read_notice(self, notice: Json | None) -> None:
        if not notice or notice["kind"] != "error" or notice["id"] == self._notice:
            return
        self._notice = notice["id"]
        if any(part in notice["text"] for part in FULL):
            self.refusal = notice["text"]
        else:
            self._measured.errors[f"stream: {notice['text']}"] += 1

    async def _ask_on(self, delay: float) -> None:
        await self._measured.begun.wait()
        due = time.monotonic() + delay
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + ASK_SECONDS, time.monotonic())
            await self._has_frames.wait()  # a clip that restarts has nothing to be asked about yet
            if self._measured.counting and self.refusal is None:
                self.asking = True
                with self._measured.guard():
                    await self._ask()
                self.asking = False

    def _question(self) -> str:
        """Return the next of the questions that the page currently suggests."""
        now = self.player.get("clock") or 0.0
        due = [chip["text"] for chip in self.player.get("chips", ()) if chip["at"] <= now] or [QUESTION]
        self._asked += 1
        return str(due[self._asked % len(due)])

    async def _ask(self) -> None:
        began, first, turn = time.monotonic(), None, None
        async for (value,) in self._client.send("ask", {"question": self._question()}):
            if not isinstance(value, str):
                continue
            turn = json.loads(value)["turns"][-1]
            if first is None and turn["answer"]:
                first = time.monotonic() - began
        took = time.monotonic() - began
        if turn is None or turn["state"] != "done":
            self._measured.errors["no answer" if turn is None else f"answer: {turn['answer'] or turn['state']}"] += 1
        else:
            self._measured.answers.append(took)
            if first is not None:
                self._measured.first_tokens.append(first)
