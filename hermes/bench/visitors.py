"""Many visitors at one server: each streams a bundled clip, receives the page's updates and asks questions, over HTTP.

The load is that of browsers: every visitor opens the page, starts a clip at its usual rate and restarts it when it ends,
receives up to four updates a second and asks a question every ten seconds, at staggered moments.
The load generator runs on the same machine as the server; its own CPU time is reported beside the server's.
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
"""Time over which the visitors' first requests are spread: that between two updates."""
RETRY_SECONDS: Final = 1.0
WANTED: Final = {"mode": "kept", "first": 0, "stop": 0, "pictures": 13}
"""What a page of 1,440 pixels shows of the board."""
ASK_SECONDS: Final = 10.0
READY_SECONDS: Final = 180.0
"""Longest wait until the model is loaded and every visitor plays or was refused."""
ANSWER_SECONDS: Final = 60.0
"""Longest wait for the answers that are still being written when the measurement ends."""
LONG_CLIP: Final = "half-hour"
FULL: Final = ("as many as", "places are taken", "slots are busy", "server is full", "from your network address")
"""Parts of the sentences with which the page says that there is no room for another visitor."""
PLAYING: Final = ("playing", "ended")

Report = Callable[[str], None]
Json = dict[str, Any]


@dataclass(frozen=True)
class Spread:
    """Count, median, 95th percentile and largest of measured times, in seconds; nan where there is none."""

    count: int
    p50: float
    p95: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarize values; a percentile is the smallest value that at least that share does not exceed."""
        ordered = sorted(values)
        if not ordered:
            return cls(0, math.nan, math.nan, math.nan)
        rank = [ordered[max(0, math.ceil(share * len(ordered)) - 1)] for share in (0.5, 0.95)]
        return cls(len(ordered), rank[0], rank[1], ordered[-1])


@dataclass(frozen=True)
class Resources:
    """What the server process and its children use.

    Attributes:
        rss_start: Resident bytes with the model loaded, before the first visitor.
        rss_warm: Resident bytes when every visitor plays.
        rss_end: Resident bytes at the end.
        per_visitor: Bytes by which the process grew until `rss_end`, for each playing visitor.
        server_cores: CPU seconds of the server in each second of the measurement.
        client_cores: The same of the load generator.
    """

    rss_start: int
    rss_warm: int
    rss_end: int
    per_visitor: float
    server_cores: float
    client_cores: float


@dataclass(frozen=True)
class VisitorsBench:
    """The figures of one load test. Times are in seconds.

    Attributes:
        visitors: Visitors that came.
        playing: Visitors whose stream played.
        full: Visitors that were refused because the server is full, with a clear message.
        seconds: Length of the measurement.
        first_token: From sending a question to the first words of its answer.
        answer: From sending a question to the end of its answer.
        poll: From the moment at which an update is due, four times a second, until the visitor has it.
        errors: Number of errors by kind.
        frames: Frames ingested during the measurement, for each playing visitor.
        behind: Largest number of seconds by which a stream was behind its clip.
        dropped: Frames that were dropped or could not be decoded.
        resources: Of the server; None where it runs elsewhere.
    """

    visitors: int
    playing: int
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
        """For JSON; a time that was not measured is None."""
        frames = self.frames or (0,)
        fairness = {"min": min(frames), "max": max(frames), "mean": sum(frames) / len(frames)}
        return _without_nan({**asdict(self), "frames": list(self.frames), "frames_per_visitor": fairness})


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


@dataclass
class Figures:
    """What is measured while the load runs: `begun` is set when the measurement begins, `counting` while it lasts."""

    counting: bool = False
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    polls: list[float] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    behind: float = 0.0

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Count the error of a request and go on."""
        try:
            yield
        except RequestError as error:
            self.errors[error.kind] += 1


class LoadVisitor:
    """One visitor of the load test.

    Attributes:
        refusal: The sentence by which the server refused the stream; None while it did not.
        frames: Frames that the model has seen of this visitor's streams.
        dropped: Frames dropped or not decodable.
        asking: Whether an answer is awaited.
    """

    def __init__(self, client: PageClient, clip: str, figures: Figures) -> None:
        self.refusal: str | None = None
        self.frames = 0
        self.dropped = 0
        self.asking = False
        self.player: Json = {}
        self._client = client
        self._clip = clip
        self._figures = figures
        self._acknowledged: int | None = None
        self._shown = -1
        self._frames_before = 0
        self._notice: Any = None
        self._ended = asyncio.Event()
        self._orders = 0
        self._asked = 0

    @property
    def settled(self) -> bool:
        """Whether the stream plays or was refused."""
        return self.refusal is not None or (self.player.get("state") in PLAYING and self.player.get("frames", 0) > 0)

    async def stay(self, offset: float) -> None:
        """Start the clip, then receive updates and ask until cancelled.

        Args:
            offset: Position among the visitors, 0 to 1, by which updates and questions are staggered.
        """
        await asyncio.sleep(offset * STAGGER_SECONDS)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._start_on())
            group.create_task(self._ask_on(offset))

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
        """Start the clip, and again each time that it has ended."""
        while True:
            self._ended.clear()
            self._orders += 1
            with self._figures.guard():
                await self._client.call(
                    "act", {"action": "start", "kind": "clip", "id": self._clip, "order": self._orders}
                )
            await self._ended.wait()

    async def _watch(self) -> None:
        while True:
            try:
                async for update in self._client.updates(self._shows()):
                    if self._figures.counting:
                        self._figures.polls.append(time.time() - update["due"])
                    self._read_player(update["player"])
                    if update["board"]:
                        self._read_board(update["board"])
            except RequestError as error:
                self._figures.errors[error.kind] += 1
                await asyncio.sleep(RETRY_SECONDS)

    def _shows(self) -> Json:
        return {"seq": self._acknowledged, "board": WANTED, "frame": self._shown, "hidden": False, "open": None}

    def _read_board(self, message: Json) -> None:
        if message["base"] is not None and message["base"] != self._acknowledged:
            self._figures.errors["board out of step"] += 1
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
        if self._figures.counting:
            self._figures.behind = max(self._figures.behind, player["behind"])
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
            self._figures.errors[f"stream: {notice['text']}"] += 1

    async def _ask_on(self, offset: float) -> None:
        await self._figures.begun.wait()
        due = time.monotonic() + offset * ASK_SECONDS
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + ASK_SECONDS, time.monotonic())
            if self._figures.counting and self.refusal is None:
                self.asking = True
                with self._figures.guard():
                    await self._ask()
                self.asking = False

    def _question(self) -> str:
        """One of the questions that the page suggests at this moment, in turn."""
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
            self._figures.errors["no answer" if turn is None else f"answer: {turn['answer'] or turn['state']}"] += 1
        else:
            self._figures.answers.append(took)
            if first is not None:
                self._figures.first_tokens.append(first)


async def measure(
    url: str, count: int, seconds: float, process: psutil.Process | None = None, report: Report = lambda _: None
) -> VisitorsBench:
    """Drive a running server with visitors.

    Args:
        url: Address of the page.
        count: Number of visitors, at least 1.
        seconds: Length of the measurement, which begins when every visitor plays or was refused.
        process: The server's, for memory and CPU; None: unknown.
        report: Receives progress in a few words.

    Raises:
        RequestError: The server does not answer at the beginning.
        HermesError: It serves something else, its model cannot be loaded, or the visitors' streams do not start.
    """
    config = await read_config(url)
    report("waiting for the model")
    await _wait_for_model(url, config)
    start = rss_of(process)
    figures = Figures()
    clips = [clip for clip in config.clips if clip != LONG_CLIP] or list(config.clips)
    clients = [PageClient(url, config) for _ in range(count)]
    visitors = [LoadVisitor(client, clips[i % len(clips)], figures) for i, client in enumerate(clients)]
    tasks = [asyncio.create_task(visitor.stay(i / count)) for i, visitor in enumerate(visitors)]
    try:
        report(f"{count} visitors arrive")
        if not await _until(lambda: all(visitor.settled for visitor in visitors), tasks, READY_SECONDS):
            raise HermesError(f"Not every visitor's stream started within {READY_SECONDS:.0f} s.")
        warm, frames, figures.counting = rss_of(process), [visitor.frames for visitor in visitors], True
        figures.begun.set()
        began, cpu, own = time.monotonic(), cpu_of(process), cpu_of(psutil.Process())
        while (left := began + seconds - time.monotonic()) > 0:
            report(f"{left:.0f} s left, {len(figures.answers)} answers, {sum(figures.errors.values())} errors")
            await _sleep(min(left, 1.0), tasks)
        figures.counting, took = False, time.monotonic() - began
        end, cpu, own = rss_of(process), cpu_of(process) - cpu, cpu_of(psutil.Process()) - own
        frames = [visitor.frames - before for visitor, before in zip(visitors, frames, strict=True)]
        await _until(lambda: not any(visitor.asking for visitor in visitors), tasks, ANSWER_SECONDS)
        if late := sum(visitor.asking for visitor in visitors):
            figures.errors[f"no answer within {ANSWER_SECONDS:.0f} s"] += late
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(client.close() for client in clients))
    playing = [visitor for visitor in visitors if visitor.refusal is None]
    resources = Resources(start, warm, end, (end - start) / max(len(playing), 1), cpu / took, own / took)
    return VisitorsBench(
        visitors=count,
        playing=len(playing),
        full=count - len(playing),
        seconds=took,
        first_token=Spread.of(figures.first_tokens),
        answer=Spread.of(figures.answers),
        poll=Spread.of(figures.polls),
        errors=dict(figures.errors),
        frames=tuple(n for n, visitor in zip(frames, visitors, strict=True) if visitor.refusal is None),
        behind=figures.behind,
        dropped=sum(visitor.dropped for visitor in playing),
        resources=resources if process else None,
    )


async def _wait_for_model(url: str, config: PageConfig) -> None:
    client = PageClient(url, config)
    try:
        await asyncio.wait_for(LoadVisitor(client, "", Figures()).wait_for_model(), READY_SECONDS)
    except TimeoutError as error:
        raise HermesError(f"The server's model was not ready within {READY_SECONDS:.0f} s.") from error
    finally:
        await client.close()


async def _until(done: Callable[[], bool], tasks: Sequence[asyncio.Task[None]], seconds: float) -> bool:
    """Wait until `done()`; False where that takes longer than `seconds`."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        await _sleep(0.1, tasks)
    return True


async def _sleep(seconds: float, tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait, unless a visitor's task fails: its error is raised."""
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()


def rss_of(process: psutil.Process | None) -> int:
    """Resident bytes of a process and its children; 0 where it is None. Pages that they share count once, on Linux."""
    total = 0
    for each in _family(process):
        with suppress(psutil.NoSuchProcess):  # a video decoder may end at any time
            memory = each.memory_full_info()
            total += getattr(memory, "pss", memory.rss)
    return total


def cpu_of(process: psutil.Process | None) -> float:
    """CPU seconds of a process and its children, also of those that ended; 0 where it is None."""
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
