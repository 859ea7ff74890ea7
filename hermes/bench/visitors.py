"""Load test of a server: each visitor streams a bundled clip, receives the page's updates and asks questions over HTTP.

Visitors behave like browsers: each opens the page, plays a clip at normal speed, restarts it at its end, receives up to four
updates per second and asks a question every ten seconds, at staggered times. The load generator runs on the same machine as
the server; its CPU time is reported separately.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import psutil

from hermes.bench.page_client import PageClient, PageConfig, RequestError, read_config
from hermes.bench.stream import QUESTION
from hermes.errors import HermesError

STAGGER_SECONDS: Final = 0.25
"""Time in seconds over which the visitors' first requests are spread: the interval between two updates."""
RETRY_SECONDS: Final = 1.0
WANTED: Final = {"mode": "kept", "first": 0, "stop": 0, "pictures": 13}
"""The board's request of a page that is 1,440 pixels wide."""
ASK_SECONDS: Final = 10.0
READY_SECONDS: Final = 180.0
"""Timeout in seconds until the model is loaded and every visitor plays or was refused."""
ANSWER_SECONDS: Final = 60.0
"""Timeout in seconds for answers that are unfinished when the measurement ends."""
LONG_CLIP: Final = "half-hour"
FULL: Final = (
    "the maximum for this machine",
    "places are taken",
    "slots are busy",
    "server is full",
    "from your network address",
)
"""Parts of the page's messages that there is no room for another visitor."""
PLAYING: Final = ("playing", "ended")

Report = Callable[[str], None]
Json = dict[str, Any]


@dataclass(frozen=True)
class Spread:
    """Count, median, 95th percentile and maximum of measured times in seconds; nan without values."""

    count: int
    p50: float
    p95: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise values; percentiles by the nearest-rank method."""
        ordered = sorted(values)
        if not ordered:
            return cls(0, math.nan, math.nan, math.nan)
        rank = [ordered[max(0, math.ceil(share * len(ordered)) - 1)] for share in (0.5, 0.95)]
        return cls(len(ordered), rank[0], rank[1], ordered[-1])


@dataclass(frozen=True)
class Resources:
    """Resources of the server process and its children.

    Attributes:
        rss_start: Resident bytes with the model loaded, before the first visitor.
        rss_warm: Resident bytes once every visitor plays.
        rss_end: Resident bytes at the end.
        per_visitor: Growth from `rss_start` to `rss_end` per playing visitor, in bytes.
        server_cores: CPU seconds of the server per second of the measurement.
        client_cores: CPU seconds of the load generator per second of the measurement.
    """

    rss_start: int
    rss_warm: int
    rss_end: int
    per_visitor: float
    server_cores: float
    client_cores: float


@dataclass(frozen=True)
class VisitorsBench:
    """Results of one load test. Times are in seconds.

    Attributes:
        visitors: Number of visitors.
        playing: Number of visitors whose stream had a live slot at the end.
        waiting: Number of visitors that waited for a live slot at the end.
        full: Number of visitors refused because the server is full, with a clear message.
        seconds: Length of the measurement.
        first_token: Time from sending a question to the first text of its answer.
        answer: Time from sending a question to the end of its answer.
        poll: Time from the moment at which an update is due, four times per second, until the visitor receives it.
        errors: Number of errors by kind.
        frames: Frames ingested during the measurement by each playing visitor.
        behind: Largest delay of a stream behind its clip.
        dropped: Frames that were dropped or could not be decoded.
        resources: Resources of the server; None if the server was not started by this command.
    """

    visitors: int
    playing: int
    waiting: int
    full: int
    seconds: float
    first_token: Spread
    answer: Spread
    poll: Spread
    errors: Mapping[str, int]
    frames: tuple[int, ...]
    behind: float
    dropped: int
    resources: Resources | None

    def as_dict(self) -> Json:
        """Return the results for JSON; times without values are None."""
        frames = self.frames or (0,)
        fairness = {"min": min(frames), "max": max(frames), "mean": sum(frames) / len(frames)}
        return _without_nan({**asdict(self), "frames": list(self.frames), "frames_per_visitor": fairness})


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


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


async def measure(
    url: str, count: int, seconds: float, process: psutil.Process | None = None, report: Report = lambda _: None
) -> VisitorsBench:
    """Put a running server under load.

    Args:
        url: Address of the page.
        count: Number of visitors, at least 1.
        seconds: Length of the measurement, which starts once every visitor plays or was refused.
        process: The server process, for memory and CPU; None: not measured.
        report: Called with a short progress message.

    Raises:
        RequestError: The server does not answer at the start.
        HermesError: It is another server, its model cannot be loaded, or the visitors' streams do not start.
    """
    config = await read_config(url)
    report("waiting for the model")
    await _wait_for_model(url, config)
    start = rss_of(process)
    measured = Measurements()
    clips = [clip for clip in config.clips if clip != LONG_CLIP] or list(config.clips)
    clients = [PageClient(url, config) for _ in range(count)]
    visitors = [LoadVisitor(client, clips[i % len(clips)], measured) for i, client in enumerate(clients)]
    spread = min(ASK_SECONDS, seconds)
    tasks = [asyncio.create_task(visitor.stay(i / count, spread)) for i, visitor in enumerate(visitors)]
    try:
        report(f"{count} visitors arrive")
        if not await _until(lambda: all(visitor.settled for visitor in visitors), tasks, READY_SECONDS):
            raise HermesError(f"Not every visitor's stream started within {READY_SECONDS:.0f} s.")
        warm, frames, measured.counting = rss_of(process), [visitor.frames for visitor in visitors], True
        measured.begun.set()
        began, cpu, own = time.monotonic(), cpu_of(process), cpu_of(psutil.Process())
        while (left := began + seconds - time.monotonic()) > 0:
            report(f"{left:.0f} s left, {len(measured.answers)} answers, {sum(measured.errors.values())} errors")
            await _sleep(min(left, 1.0), tasks)
        measured.counting, took = False, time.monotonic() - began
        served = [visitor.refusal is None and not visitor.waiting for visitor in visitors]
        waiting = sum(visitor.waiting for visitor in visitors)
        end, cpu, own = rss_of(process), cpu_of(process) - cpu, cpu_of(psutil.Process()) - own
        frames = [visitor.frames - before for visitor, before in zip(visitors, frames, strict=True)]
        await _until(lambda: not any(visitor.asking for visitor in visitors), tasks, ANSWER_SECONDS)
        if late := sum(visitor.asking for visitor in visitors):
            measured.errors[f"no answer within {ANSWER_SECONDS:.0f} s"] += late
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(client.close() for client in clients))
    playing = [visitor for visitor, here in zip(visitors, served, strict=True) if here]
    resources = Resources(start, warm, end, (end - start) / max(len(playing), 1), cpu / took, own / took)
    return VisitorsBench(
        visitors=count,
        playing=len(playing),
        waiting=waiting,
        full=count - len(playing) - waiting,
        seconds=took,
        first_token=Spread.of(measured.first_tokens),
        answer=Spread.of(measured.answers),
        poll=Spread.of(measured.polls),
        errors=dict(measured.errors),
        frames=tuple(n for n, here in zip(frames, served, strict=True) if here),
        behind=measured.behind,
        dropped=sum(visitor.dropped for visitor in playing),
        resources=resources if process else None,
    )


async def _wait_for_model(url: str, config: PageConfig) -> None:
    client = PageClient(url, config)
    try:
        await asyncio.wait_for(LoadVisitor(client, "", Measurements()).wait_for_model(), READY_SECONDS)
    except TimeoutError as error:
        raise HermesError(f"The server's model was not ready within {READY_SECONDS:.0f} s.") from error
    finally:
        await client.close()


async def _until(done: Callable[[], bool], tasks: Sequence[asyncio.Task[None]], seconds: float) -> bool:
    """Wait until `done()`; returns False after `seconds`."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        await _sleep(0.1, tasks)
    return True


async def _sleep(seconds: float, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait, and raise the error of a visitor's task that fails."""
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()


def rss_of(process: psutil.Process | None) -> int:
    """Resident bytes of a process and its children (None: 0). On Linux, shared pages count once."""
    total = 0
    for each in _family(process):
        with suppress(psutil.NoSuchProcess):  # a video decoder may end at any time
            memory = each.memory_full_info()
            total += getattr(memory, "pss", memory.rss)
    return total


def cpu_of(process: psutil.Process | None) -> float:
    """CPU seconds of a process and its children, including ended ones (None: 0)."""
    total = 0.0
    for each in _family(process):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system
            if each == process:
                total += times.children_user + times.children_system
    return total


def _family(process: psutil.Process | None) -> list[psutil.Process]:
    return [] if process is None else [process, *process.children(recursive=True)]
