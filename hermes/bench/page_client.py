"""A client for the page's protocol, which replaces the browser in load tests.

Questions and buttons use Gradio's queue; the state of the stream and the board arrives by the update stream (see the page's
script `updates.js`); a heartbeat connection indicates that the tab is open.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from hermes.errors import HermesError

TIMEOUT: Final = httpx2.Timeout(60.0, pool=None)
"""Timeout in seconds after which a request without data fails."""

UPDATES: Final = "hermes-live-updates"

Json = dict[str, Any]


class RequestError(HermesError):
    """A request failed. `kind` is a short name for counting failures."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class PageConfig:
    """The parts of the page's configuration that a client needs.

    Attributes:
        prefix: Path of Gradio's routes.
        events: Ids of the function and of the triggering component, by name of the event.
        clips: Ids of the bundled clips.
    """

    prefix: str
    events: dict[str, tuple[int, int]]
    clips: tuple[str, ...]

    @classmethod
    def read(cls, config: Json) -> PageConfig:
        """Read Gradio's configuration.

        Raises:
            HermesError: It is not the configuration of this page.
        """
        events = {
            str(target[1]): (int(dependency["id"]), int(target[0]))
            for dependency in config.get("dependencies", [])
            for target in dependency.get("targets", [])
            if target[0] is not None
        }
        ids = {part.get("props", {}).get("elem_id"): part["props"] for part in config.get("components", [])}
        # The constants of a part of the page are one JSON text, an extra argument of `gr.HTML`.
        own = json.loads(ids.get("hl-player", {}).get("props", {}).get("offer", "{}"))
        clips = tuple(str(clip["id"]) for clip in own.get("clips", ()))
        if not clips or any(name not in events for name in ("act", "ask")):
            raise HermesError("The server does not serve the page of HERMES Live with bundled clips.")
        return cls(str(config.get("api_prefix", "")).strip("/"), events, clips)


async def read_config(url: str) -> PageConfig:
    """Load the page and its configuration, as a browser does.

    Raises:
        RequestError: The server does not answer.
        HermesError: It is another server.
    """
    async with httpx2.AsyncClient(base_url=url, timeout=TIMEOUT) as client:
        try:
            (await client.get("./")).raise_for_status()
            answer = (await client.get("config")).raise_for_status()
            return PageConfig.read(answer.json())
        except httpx2.HTTPError as error:
            raise _failure(error) from error
        except ValueError as error:
            raise HermesError("The server does not serve the page of HERMES Live with bundled clips.") from error


class PageClient:
    """One browser tab. Closing it lets the server free the visitor."""

    def __init__(self, url: str, config: PageConfig) -> None:
        self._config = config
        self._client = httpx2.AsyncClient(base_url=url, timeout=TIMEOUT, limits=httpx2.Limits(max_connections=None))
        self._session = secrets.token_hex(6)
        self._pending: dict[str, asyncio.Queue[Json]] = {}
        self._early: dict[str, list[Json]] = {}  # messages of events whose number is still unknown
        self._reader: asyncio.Task[None] | None = None
        self._joining = 0
        self._heartbeat = asyncio.create_task(self._beat())

    async def close(self) -> None:
        """Close all connections, as closing the tab does."""
        for task in (self._heartbeat, self._reader):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._client.aclose()

    async def send(self, event: str, data: Json) -> AsyncIterator[list[Any]]:
        """Trigger an event of the page; yields the values of its outputs whenever they change.

        Raises:
            RequestError: A request or the event failed.
        """
        function, component = self._config.events[event]
        body = {
            "data": [],
            "event_data": data,
            "fn_index": function,
            "trigger_id": component,
            "session_hash": self._session,
        }
        self._joining += 1
        try:
            answer = await self._client.post(f"{self._config.prefix}/queue/join", json=body)
            number = str(answer.raise_for_status().json()["event_id"])
        except httpx2.HTTPError as error:
            raise _failure(error) from error
        finally:
            self._joining -= 1
        box: asyncio.Queue[Json] = asyncio.Queue()
        self._pending[number] = box
        for message in self._early.pop(number, []):
            box.put_nowait(message)
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read())
        try:
            async for values in _outputs(box):
                yield values
        finally:
            self._pending.pop(number, None)

    async def call(self, event: str, data: Json) -> list[Any]:
        """Trigger an event and wait for its end; returns the last values of its outputs.

        Raises:
            RequestError: A request or the event failed.
        """
        last: list[Any] = []
        async for values in self.send(event, data):
            last = values
        return last

    async def updates(self, shown: Json) -> AsyncIterator[Json]:
        """Post the page's state; yields the updates of one response: `due` (Unix time), `player` and `board`.

        Raises:
            RequestError: The request failed.
        """
        body = {"session": self._session, **shown}
        try:
            async with self._client.stream("POST", UPDATES, json=body) as answer:
                answer.raise_for_status()
                async for line in answer.aiter_lines():
                    if line.startswith("data:"):
                        yield json.loads(line[5:])
        except httpx2.HTTPError as error:
            raise _failure(error) from error

    async def _beat(self) -> None:
        """Keep the connection open by which the server knows that the tab is open."""
        path = f"{self._config.prefix}/heartbeat/{self._session}"
        try:
            async with self._client.stream("GET", path, timeout=None) as answer:
                async for _ in answer.aiter_raw():
                    pass
        except httpx2.HTTPError:
            return  # the server has ended: all other requests report it

    async def _read(self) -> None:
        """Dispatch the queue's messages to the waiting events until the server closes the stream."""
        path = f"{self._config.prefix}/queue/data"
        failure = RequestError("event stream closed", "The server closed the event stream.")
        try:
            async with self._client.stream("GET", path, params={"session_hash": self._session}) as answer:
                answer.raise_for_status()
                async for line in answer.aiter_lines():
                    if line.startswith("data:"):
                        self._dispatch(json.loads(line[5:]))
        except httpx2.HTTPError as error:
            failure = _failure(error)
        # An event may have joined between the server's last message and the end of the stream: keep reading.
        if self._pending and failure.kind == "event stream closed":
            self._reader = asyncio.create_task(self._read())
            return
        for box in self._pending.values():
            box.put_nowait({"msg": "failed", "kind": failure.kind, "text": str(failure)})

    def _dispatch(self, message: Json) -> None:
        number = message.get("event_id")
        if number in self._pending:
            self._pending[number].put_nowait(message)
        elif number and self._joining:
            self._early.setdefault(number, []).append(message)


async def _outputs(box: asyncio.Queue[Json]) -> AsyncIterator[list[Any]]:
    """Yield the outputs of one event from its messages."""
    values: list[Any] = []
    while True:
        message = await box.get()
        kind = message.get("msg")
        if kind == "failed":
            raise RequestError(message["kind"], message["text"])
        if kind not in ("process_generating", "process_completed"):
            continue
        if not message.get("success", False):
            raise RequestError("event failed", f"An event failed on the server: {message.get('output')}")
        given = message.get("output", {}).get("data")
        if kind == "process_completed":
            if given:
                yield given
            return
        values = [_patched(old, new) for old, new in zip(values, given, strict=True)] if values else list(given)
        yield values


def _patched(old: Any, change: Any) -> Any:
    """Apply a change of a text output in Gradio's format: a list of [action, path, value]."""
    if not isinstance(change, list):
        return change
    for action, path, value in change:
        if path or action not in ("replace", "append"):
            raise RequestError("protocol", f"The server sent a change of an unknown form: {action} {path}")
        old = old + value if action == "append" else value
    return old


def _failure(error: httpx2.HTTPError) -> RequestError:
    """Convert an error of the HTTP client to a `RequestError`."""
    if isinstance(error, httpx2.HTTPStatusError):
        return RequestError(f"http {error.response.status_code}", str(error))
    if isinstance(error, httpx2.TimeoutException):
        return RequestError("timeout", f"The server did not answer in time: {error!r}")
    return RequestError("connection", f"The connection failed: {error!r}")
