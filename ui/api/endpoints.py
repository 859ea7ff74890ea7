"""The public endpoints. A client is a visitor like a browser tab, with the same quotas and isolation.

A client is identified by the token that it sends as the header `x-hermes-tab`, or, without one, by its Gradio session.
Annotations are evaluated at run time, because Gradio derives the schemas of the endpoints from them.
"""

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import gradio as gr
import numpy as np
import numpy.typing as npt

from hermes.errors import HermesError
from hermes.files.limits import LATEST
from ui.api.streams import NO_STREAM, answers, check_live, start_stream, state_of
from ui.api.summary import memory_of, status_of
from ui.player.camera_picture import PICTURE_SIDE, read_picture
from ui.player.clips import Clip
from ui.player.source import Source
from ui.runs.replay import Replay
from ui.untrusted import finite
from ui.visitors.connections import key_of
from ui.visitors.registry import Sessions
from ui.visitors.visitor import Visitor

logger = logging.getLogger(__name__)

MAX_FRAMES: Final = 16
"""Largest number of frames in one call of `push`."""
MAX_PUSHING: Final = 16
"""Largest number of concurrent calls of `push`; later ones wait."""
MAX_CALLS: Final = 4
"""Largest number of concurrent calls of a client."""
PUSH_SECONDS: Final = 20.0
"""Longest time that `push` waits for the model, in seconds."""

ENDED: Final = "The stream ended because other visitors wait. You can still ask questions, or call /start again."


@contextmanager
def _reported() -> Iterator[None]:
    """Report errors to the client as one sentence."""
    try:
        yield
    except HermesError as error:
        raise gr.Error(str(error), print_exception=False) from None
    except Exception:
        logger.exception("An endpoint failed")
        raise gr.Error("This failed because of an internal error.", print_exception=False) from None


class Endpoints:
    """The endpoints over a registry of visitors."""

    def __init__(self, sessions: Sessions, policies: Mapping[str, Any], clips: Mapping[str, Clip]) -> None:
        """Serve the visitors in `sessions`, with these policies and bundled clips by name."""
        self._sessions = sessions
        self._policies = policies
        self._clips = clips
        self._calls: Counter[str] = Counter()
        self._pushes: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self) -> None:
        """Add the endpoints to the current `gr.Blocks`."""
        for call in (self.options, self.start, self.ask, self.status, self.memory, self.close):
            gr.api(call, api_name=call.__name__, concurrency_limit=None, concurrency_id=f"api-{call.__name__}")
        gr.api(self.push, api_name="push", concurrency_limit=MAX_PUSHING, concurrency_id="api-push")

    @contextmanager
    def _call(self, request: gr.Request) -> Iterator[Visitor]:
        """Provide the client's visitor during a call, and report errors to the client as one sentence.

        Raises:
            gr.Error: There are too many visitors or calls, streams cannot run here, or the call failed.
        """
        busy = f"{MAX_CALLS} calls have not returned yet. Wait for one of them."
        with _reported():
            key = key_of(request)
            visitor = self._sessions.own(key)
            check_live(visitor)
            with self._at_most(MAX_CALLS, self._calls, key, busy):
                yield visitor

    @contextmanager
    def _at_most(self, most: int, calls: Counter[str], key: str | None, complaint: str) -> Iterator[None]:
        """Limit the concurrent calls of a client, each of which occupies a thread of the server.

        Raises:
            HermesError: There are too many.
        """
        name = key or ""
        with self._lock:
            if calls[name] >= most:
                raise HermesError(complaint)
            calls[name] += 1
        try:
            yield
        finally:
            with self._lock:
                calls[name] -= 1
                if not calls[name]:
                    del calls[name]

    def options(self) -> dict[str, Any]:
        """List the bundled clips, with their length in seconds, and the policies."""
        return {
            "clips": [{"id": clip.id, "title": clip.title, "seconds": clip.seconds} for clip in self._clips.values()],
            "policies": [{"name": name, "title": policy.title} for name, policy in self._policies.items()],
        }

    def start(
        self,
        request: gr.Request,
        clip: str = "",
        video: dict[str, Any] | None = None,
        policy: str = "",
        budget: int = 0,
        frames_per_second: float = 0.0,
        speed: float = 0.0,
    ) -> dict[str, Any]:
        """Start a stream with an empty memory. A stream that the client already has ends.

        Args:
            request: The client.
            clip: Id of a bundled clip, see `options`.
            video: An uploaded video file. Without clip and video, frames are sent with `push`.
            policy: Name of the policy, see `options`; empty for the server's default.
            budget: Tokens that a layer may hold; 0 for the server's default.
            frames_per_second: Sampled frames per second of a clip or video, 0.001 to 30; 0 for the server's default.
            speed: Seconds of video per second; 0 for as fast as the model allows.

        Returns:
            The state of the stream, see `status`.
        """
        with self._call(request) as visitor:
            source = self._source(visitor, key_of(request), clip, video)
            return start_stream(
                visitor,
                source,
                self._policies,
                policy=policy,
                budget=budget,
                frames_per_second=frames_per_second,
                speed=speed,
            )

    def _source(self, visitor: Visitor, key: str | None, clip: str, video: Any) -> Source:
        """Return the requested source.

        Raises:
            HermesError: It does not exist, or the file was not uploaded by this client.
        """
        if clip and video:
            raise HermesError("Send either a clip or a video.")
        if clip:
            return visitor.source({"kind": "clip", "id": clip})
        if not video:
            return visitor.source({"kind": "camera"})
        path = video.get("path") if isinstance(video, dict) else None
        name = video.get("orig_name") if isinstance(video, dict) else None
        self._sessions.take_upload(key, str(path), str(name or ""))
        return visitor.source({"kind": "upload", "path": path})

    def push(self, request: gr.Request, frames: list[str], seconds: list[float] | None = None) -> dict[str, Any]:
        """Add frames to a stream that was started without a clip and a video. Waits while too many wait for the model.

        A question sees all frames that were pushed before it.

        Args:
            request: The client.
            frames: 1 to 16 pictures, each a JPEG in base64, at most 2,048 pixels wide and high.
            seconds: Stream time of each frame from 0 to 10,000,000, not before the previous one; without it, the time of
                arrival.

        Returns:
            The state of the stream, see `status`.
        """
        with self._call(request) as visitor:
            if not isinstance(frames, list) or not 1 <= len(frames) <= MAX_FRAMES:
                raise HermesError(f"Send 1 to {MAX_FRAMES} frames in a call.")
            times = _times(seconds, len(frames))
            stream = visitor.stream
            if stream is None or isinstance(stream, Replay):
                raise HermesError(NO_STREAM)
            if visitor.slot.webcam_ended:
                raise HermesError(ENDED)
            with self._at_most(1, self._pushes, key_of(request), "The previous call of /push has not returned yet."):
                stream.put([_picture(*frame) for frame in enumerate(frames)], times, PUSH_SECONDS)
            return status_of(stream.view())

    def ask(self, request: gr.Request, question: str) -> Iterator[dict[str, Any]]:
        """Ask a question about the stream, at any time after its first frame.

        Args:
            request: The client.
            question: The question.

        Returns:
            Several times, each with the complete answer so far: {answer, done, seconds, first_token_ms, attended}. The
            last one lists the frames that the answer attended to most.
        """
        with self._call(request) as visitor:
            yield from answers(visitor, question)

    def status(self, request: gr.Request) -> dict[str, Any]:
        """Return the state of the client's stream.

        `state` is "empty", "playing", "paused", "ended" or "failed" (with `error`). `seconds` is the stream time of the
        newest frame that the model has seen. While the stream waits for a live slot, `waiting` is its `place` in the queue
        `of` this length; it starts by itself. `ends_in` is the number of seconds after which a stream of pushed frames ends
        because others wait; null if it does not end soon.
        """
        with self._call(request) as visitor:
            return state_of(visitor)

    def memory(self, request: gr.Request) -> dict[str, Any]:
        """Return what the memory retains: tokens per layer, and for each frame that has any, their number in each layer."""
        with self._call(request) as visitor:
            stream = visitor.stream
            snapshot = stream.view().snapshot if stream is not None else None
            if snapshot is None:
                raise HermesError(NO_STREAM)
            return memory_of(snapshot)

    def close(self, request: gr.Request) -> None:
        """End the stream and delete its memory and the uploaded files."""
        with _reported():
            self._sessions.close(key_of(request))


def _picture(number: int, frame: object) -> npt.NDArray[np.uint8]:
    """Decode a frame.

    Raises:
        HermesError: It is not a picture, or too large.
    """
    picture = read_picture(frame) if isinstance(frame, str) else None
    if picture is None:
        raise HermesError(f"Frame {number} is not a JPEG in base64 of at most {PICTURE_SIDE:,} pixels per side.")
    return picture


def _times(seconds: Any, count: int) -> list[float] | None:
    """Return the stream time of each frame, or None if the client sent none.

    Raises:
        HermesError: There are more or fewer times than frames, or a time is not a number from 0 to `LATEST`.
    """
    if seconds is None:
        return None
    times = [finite(value, -1.0) for value in seconds] if isinstance(seconds, list) else []
    if len(times) != count or not 0 <= min(times) <= max(times) <= LATEST:
        raise HermesError(
            f"Send one time per frame: {count} frames need {count} times, in seconds from the start of the stream, from 0 "
            f"to {LATEST:,.0f}."
        )
    return times
