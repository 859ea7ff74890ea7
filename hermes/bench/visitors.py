"""Load test of a server: each visitor streams a bundled clip, receives the page's updates and asks questions over HTTP.

Visitors behave like browsers: each opens the page, plays a clip at normal speed, restarts it at its end, receives up to four
updates per second and asks a question every ten seconds, at staggered times. The load generator runs on the same machine as
the server; its CPU time is reported separately.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import psutil

from hermes.bench.load_visitor import ASK_SECONDS, LoadVisitor, Measurements
from hermes.bench.machine import cpu_of, rss_of
from hermes.bench.page_client import PageClient, PageConfig, read_config
from hermes.bench.visitor_results import Resources, Spread, VisitorsBench
from hermes.errors import HermesError

READY_SECONDS: Final = 180.0
"""Timeout in seconds until the model is loaded and every visitor plays or was refused."""
ANSWER_SECONDS: Final = 60.0
"""Timeout in seconds for answers that are unfinished when the measurement ends."""
LONG_CLIP: Final = "half-hour"

Report = Callable[[str], None]


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
