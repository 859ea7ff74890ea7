"""Tools for language models over the Model Context Protocol (MCP): watch a video, ask about it, and list its memory.

An MCP client has no connection that lasts. Instead, `watch_video` returns a handle: a secret of 128 bits that names one
visitor, with the quotas and the isolation of a browser tab. The visitor ends with `close_video`, or after
`Quota.idle_seconds` without a call. Annotations are evaluated at run time, because the schemas of the tools are derived
from them.
"""

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Annotated, Any, Final, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field

import hermes
from hermes.errors import HermesError
from ui.api.streams import answers, start_stream, state_of
from ui.api.summary import memory_of
from ui.player.clips import Clip
from ui.visitors.connections import key_of_token
from ui.visitors.registry import Sessions
from ui.visitors.visitor import Visitor

logger = logging.getLogger(__name__)

MAX_CALLS: Final = 32
"""Largest number of concurrent calls; others are refused."""
MAX_STARTS: Final = 8
"""Largest number of concurrent starts of a video, each of which occupies a thread; others are refused."""
MAX_ANSWERS: Final = 8
"""Largest number of concurrent answers, each of which occupies a thread; others are refused."""
THREADS: Final = 4
"""Threads that serve the other calls, which take milliseconds."""
WATCH_SECONDS: Final = 20.0
"""Longest time that `watch_video` waits for the end of the video."""
POLL_SECONDS: Final = 0.1
MAX_FRAMES: Final = 200
"""Largest number of frames that `list_memory` returns."""

Result = TypeVar("Result")


class Waiting(BaseModel):
    """A place in the queue for live slots."""

    place: Annotated[int, Field(description="Place in the queue, from 1.")]
    of: Annotated[int, Field(description="Length of the queue.")]


class Watched(BaseModel):
    """The state of a stream."""

    handle: Annotated[str, Field(description="Secret name of the stream. The other tools need it.")]
    state: Annotated[
        str,
        Field(
            description="empty (waits for a live slot), playing (the video is still being read), paused, ended or failed."
        ),
    ]
    source: Annotated[str, Field(description="Title of the video.")]
    seconds: Annotated[
        float | None, Field(description="Time in the video, in seconds, up to which the model has read it.")
    ]
    duration: Annotated[float | None, Field(description="Length of the video in seconds, if known.")]
    frames_seen: Annotated[int, Field(description="Number of frames that the model has read.")]
    error: Annotated[str | None, Field(description="Why the stream has failed.")]
    waiting: Annotated[Waiting | None, Field(description="Place in the queue; the stream then starts by itself.")]


class AttendedFrame(BaseModel):
    """A frame that an answer attended to."""

    frame: Annotated[int, Field(description="Number of the frame, from 0.")]
    seconds: Annotated[float | None, Field(description="Its time in the video, in seconds.")]
    share: Annotated[float | None, Field(description="Its share of the attention, from 0 to 1; mean over the layers.")]


class VideoAnswer(BaseModel):
    """An answer about the frames that the model had read when it was asked."""

    answer: str
    seconds: Annotated[
        float | None, Field(description="Time in the video, in seconds, at which the question was asked.")
    ]
    first_token_ms: Annotated[float | None, Field(description="Time to the first token, in milliseconds.")]
    attended: Annotated[list[AttendedFrame], Field(description="The frames that the answer attended to most.")]


class MemoryLayer(BaseModel):
    """The memory of one layer of the model."""

    layer: int
    tier: Annotated[str | None, Field(description="sensory, working or long-term; null if the policy has no tiers.")]
    tokens: Annotated[int, Field(description="Number of tokens that the layer retains.")]


class RetainedFrame(BaseModel):
    """A frame of which the memory retains tokens."""

    frame: Annotated[int, Field(description="Number of the frame, from 0.")]
    seconds: Annotated[float | None, Field(description="Its time in the video, in seconds.")]
    tokens: Annotated[int, Field(description="Number of its tokens that are retained, summed over the layers.")]
    layers: Annotated[int, Field(description="Number of layers that retain a token of it.")]


class HeldMemory(BaseModel):
    """What the memory of a stream retains."""

    state: Annotated[str, Field(description="playing, paused, ended or failed.")]
    seconds: Annotated[
        float | None, Field(description="Time in the video, in seconds, up to which the model has read it.")
    ]
    duration: Annotated[float | None, Field(description="Length of the video in seconds, if known.")]
    policy: Annotated[str, Field(description="Name of the policy that decides which tokens are retained.")]
    budget: Annotated[int | None, Field(description="Tokens that a layer may hold; null without a budget.")]
    frames_seen: Annotated[int, Field(description="Number of frames that the model has read.")]
    tokens_per_frame: Annotated[int, Field(description="Tokens of one frame in one layer, before anything is evicted.")]
    cache_bytes: Annotated[int, Field(description="Size of the memory, in bytes.")]
    full_cache_bytes: Annotated[int, Field(description="Size of the memory if nothing were evicted, in bytes.")]
    layers: list[MemoryLayer]
    frames: Annotated[list[RetainedFrame], Field(description="In the order of time.")]
    frames_omitted: Annotated[
        int, Field(description="Further frames with retained tokens; those with the most tokens are listed.")
    ]


Handle = Annotated[str, Field(description="The handle that watch_video returned.", max_length=64)]


class _Threads:
    """Threads for one kind of call. A call without a free thread is refused."""

    def __init__(self, most: int, name: str, busy: str) -> None:
        """Create `most` threads when they are needed. `busy` says in a refusal what they do."""
        self._pool = ThreadPoolExecutor(most, name)
        self._free = threading.BoundedSemaphore(most)
        self._refusal = f"{most} {busy}, the most that this server allows. Try again in a moment."

    def submit(self, call: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Run a call in a free thread.

        Raises:
            HermesError: There is none.
        """
        if not self._free.acquire(blocking=False):
            raise HermesError(self._refusal)
        future = self._pool.submit(call, *arguments)
        future.add_done_callback(lambda _: self._free.release())  # also if its client has left
        return future


class McpTools:
    """The tools over a registry of visitors."""

    def __init__(self, sessions: Sessions, policies: Mapping[str, Any], clips: Mapping[str, Clip]) -> None:
        """Serve visitors in `sessions`, with these policies and bundled clips by name."""
        self._sessions = sessions
        self._policies = policies
        self._clips = clips
        self._calls = 0
        self._starts = _Threads(MAX_STARTS, "mcp-start", "videos are being opened")
        self._answers = _Threads(MAX_ANSWERS, "mcp-answer", "questions are being answered")
        self._threads = ThreadPoolExecutor(THREADS, "mcp")

    def server(self) -> MCPServer:
        """Return a new server with the tools."""
        clips = ", ".join(f"{clip.id} ({clip.title}, {clip.seconds:.0f} s)" for clip in self._clips.values())
        server = MCPServer(
            "hermes-live",
            title="HERMES Live",
            version=hermes.__version__,
            instructions=(
                "A video model watches a video as a stream. Its memory has a budget, so most of what it sees is evicted. "
                "Call watch_video, then ask_about_video and list_memory with the handle, and close_video at the end. "
                f"A handle ends after {self._sessions.quota.idle_seconds:.0f} seconds without a call."
            ),
            subscriptions=False,
        )
        server.add_tool(
            self.watch_video,
            description=(
                f"Start to watch a video, and wait for its end for up to {WATCH_SECONDS:.0f} seconds. Returns a handle for "
                "the other tools. Name either a bundled clip or an upload. If the state is “playing”, the model is still "
                "reading the video: questions then concern what it has read so far. "
                f"Bundled clips: {clips or 'none'}. Policies of the memory: {', '.join(self._policies)}."
            ),
        )
        for tool in (self.ask_about_video, self.list_memory, self.close_video):
            server.add_tool(tool)
        return server

    def open(self, client: str) -> tuple[str, str]:
        """Create a visitor for a program at a network address, and return its handle and its key.

        Raises:
            HermesError: There are too many visitors.
        """
        handle = secrets.token_hex(16)
        key = str(key_of_token(handle))
        self._sessions.hold(key, client)
        return handle, key

    def _visitor(self, handle: str) -> Visitor:
        """Return the visitor of a handle.

        Raises:
            HermesError: There is none.
        """
        visitor = self._sessions.held(key_of_token(handle))
        if visitor is None:
            raise HermesError("This handle is unknown or has expired. Call watch_video.")
        return visitor

    async def watch_video(
        self,
        context: Context,
        clip: Annotated[str, Field(description="Id of a bundled clip.", max_length=200)] = "",
        upload: Annotated[
            str,
            Field(
                description="Upload of a video file: what a POST of the form field “files” to /mcp/upload of this server "
                "returned, for example curl -F files=@video.mp4 http://HOST:PORT/mcp/upload. Paths and addresses of videos "
                "are not accepted.",
                max_length=64,
            ),
        ] = "",
        policy: Annotated[str, Field(description="Policy of the memory; empty for the default.", max_length=100)] = "",
        budget: Annotated[int, Field(description="Tokens that a layer may hold; 0 for the default.", ge=0)] = 0,
        frames_per_second: Annotated[
            float, Field(description="Frames read per second of video, 0.001 to 30; 0 for the default.", ge=0)
        ] = 0,
    ) -> Watched:
        """Start to watch a video."""
        client = getattr(context.request_context.request, "client", None)
        settings = {"policy": policy, "budget": budget, "frames_per_second": frames_per_second}
        with self._call():
            begun = self._starts.submit(self._watch, client.host if client is not None else "", clip, upload, settings)
            try:
                return await self._watch_on(await asyncio.wrap_future(begun))
            except asyncio.CancelledError:  # the client has left, and does not know the handle
                if not upload:
                    begun.add_done_callback(self._discard)
                raise

    async def _watch_on(self, handle: str) -> Watched:
        """Wait for the end of a video, for at most `WATCH_SECONDS`."""
        end = time.monotonic() + WATCH_SECONDS
        while (watched := await self._run(self._state, handle)).state in ("empty", "playing"):
            if time.monotonic() >= end:
                break
            await asyncio.sleep(POLL_SECONDS)
        return watched

    def _discard(self, begun: Future[str]) -> None:
        """Close the stream that `_watch` has started."""
        if not begun.cancelled() and begun.exception() is None:
            self._sessions.close(key_of_token(begun.result()))

    async def ask_about_video(
        self,
        handle: Handle,
        question: Annotated[str, Field(description="A question about what the model has seen so far.")],
    ) -> VideoAnswer:
        """Ask a question about the video. The answer is from the memory of what the model has read so far."""
        stopped = threading.Event()
        with self._call():
            try:
                return await asyncio.wrap_future(self._answers.submit(self._ask, handle, question, stopped))
            except asyncio.CancelledError:  # the client has left
                stopped.set()
                raise

    async def list_memory(
        self,
        handle: Handle,
        most_frames: Annotated[int, Field(description="Largest number of frames to list.", ge=0, le=MAX_FRAMES)] = 50,
    ) -> HeldMemory:
        """List what the memory still retains of the video: per layer, and per frame with its time."""
        with self._call():
            return await self._run(self._memory, handle, most_frames)

    async def close_video(self, handle: Handle) -> str:
        """Stop watching. Deletes the memory and the uploaded file; the handle ends."""
        with self._call():
            await self._run(self._close, handle)
            return "Closed."

    @contextmanager
    def _call(self) -> Iterator[None]:
        """Limit the number of concurrent calls, and report errors to the client as one sentence."""
        if self._calls >= MAX_CALLS:
            raise ToolError("The server is busy. Try again in a moment.")
        self._calls += 1
        try:
            yield
        except HermesError as error:
            raise ToolError(str(error)) from None
        finally:
            self._calls -= 1

    async def _run(self, call: Callable[..., Result], *arguments: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    def _watch(self, client: str, clip: str, upload: str, settings: Mapping[str, Any]) -> str:
        """Start a stream, and return its handle."""
        if bool(clip) == bool(upload):
            raise HermesError("Name either a clip or an upload.")
        if upload:
            visitor = self._visitor(upload)
            path = next(reversed(visitor.uploads), None)
            if path is None:
                raise HermesError("This handle has no upload.")
            start_stream(visitor, visitor.source({"kind": "upload", "path": path}), self._policies, **settings)
            return upload
        if clip not in self._clips:
            raise HermesError(f"There is no such clip. These are available: {', '.join(self._clips)}.")
        handle, key = self.open(client)
        try:
            visitor = self._visitor(handle)
            start_stream(visitor, visitor.source({"kind": "clip", "id": clip}), self._policies, **settings)
        except BaseException:
            self._sessions.close(key)
            raise
        return handle

    def _state(self, handle: str) -> Watched:
        state = state_of(self._visitor(handle))
        return Watched(
            handle=handle,
            state=state["state"],
            source=state["source"],
            seconds=state["seconds"],
            duration=state["duration"],
            frames_seen=state["frames_seen"],
            error=state.get("error"),
            waiting=Waiting(**state["waiting"]) if state["waiting"] else None,
        )

    def _ask(self, handle: str, question: str, stopped: threading.Event) -> VideoAnswer:
        visitor = self._visitor(handle)
        if visitor.stream is None:
            raise HermesError("The stream still waits for a live slot.")
        answer: dict[str, Any] = {}
        for so_far in answers(visitor, question):
            answer = so_far
            if stopped.is_set():
                visitor.halt()
        return VideoAnswer(
            answer=answer["answer"],
            seconds=answer["seconds"],
            first_token_ms=answer["first_token_ms"],
            attended=[AttendedFrame(**frame) for frame in answer["attended"]],
        )

    def _memory(self, handle: str, most_frames: int) -> HeldMemory:
        visitor = self._visitor(handle)
        stream = visitor.stream
        view = stream.view() if stream is not None else None
        if view is None or view.snapshot is None:
            raise HermesError("The model has not read a frame yet.")
        memory, state = memory_of(view.snapshot), state_of(visitor)
        frames = [
            RetainedFrame(
                frame=frame["frame"],
                seconds=frame["seconds"],
                tokens=sum(frame["tokens"]),
                layers=sum(tokens > 0 for tokens in frame["tokens"]),
            )
            for frame in memory["frames"]
        ]
        listed = sorted(frames, key=lambda frame: frame.tokens, reverse=True)[:most_frames]
        return HeldMemory(
            state=state["state"],
            seconds=memory["seconds"],
            duration=state["duration"],
            policy=memory["policy"],
            budget=memory["budget"],
            frames_seen=memory["frames_seen"],
            tokens_per_frame=memory["tokens_per_frame"],
            cache_bytes=memory["cache_bytes"],
            full_cache_bytes=memory["full_cache_bytes"],
            layers=[MemoryLayer(**layer) for layer in memory["layers"]],
            frames=sorted(listed, key=lambda frame: frame.frame),
            frames_omitted=len(frames) - len(listed),
        )

    def _close(self, handle: str) -> None:
        self._visitor(handle)
        self._sessions.close(key_of_token(handle))
