"""The public endpoints. A client is a visitor like a browser tab, with the same quotas and isolation.

A client is identified by the token that it sends as the header `x-hermes-tab`, or, without one, by its Gradio session.
Annotations are evaluated at run time, because Gradio derives the schemas of the endpoints from them.
"""

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import gradio as gr
import numpy as np
import numpy.typing as npt

from hermes.errors import HermesError
from ui.api.summary import attended_of, memory_of, status_of
from ui.player.camera_picture import PICTURE_SIDE, read_picture
from ui.player.clips import Clip
from ui.player.source import Source
from ui.runs.replay import Replay
from ui.untrusted import finite
from ui.visitors.connections import key_of
from ui.visitors.registry import Sessions
from ui.visitors.visitor import Visitor

logger = logging.getLogger(__name__)

MOST_FRAMES: Final = 16
"""Largest number of frames in one call of `push`."""
MOST_PUSHING: Final = 16
"""Largest number of concurrent calls of `push`; later ones wait."""
PUSH_SECONDS: Final = 20.0
"""Longest time that `push` waits for the model, in seconds."""
NO_STREAM: Final = "There is no stream. Call /start, or wait while /status reports `waiting`."

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
        self._pushing: set[str | None] = set()

    def add(self) -> None:
        """Add the endpoints to the current `gr.Blocks`."""
        for call in (self.options, self.start, self.ask, self.status, self.memory, self.close):
            gr.api(call, api_name=call.__name__, concurrency_limit=None, concurrency_id=f"api-{call.__name__}")
        gr.api(self.push, api_name="push", concurrency_limit=MOST_PUSHING, concurrency_id="api-push")

    def _visitor(self, request: gr.Request) -> Visitor:
        """Return the client's visitor.

        Raises:
            HermesError: There are too many visitors, or streams cannot run here.
        """
        visitor = self._sessions.own(key_of(request))
        if visitor.planned:
            raise HermesError("Streams cannot be started here, because the GPU is allocated per run.")
        return visitor

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
            frames_per_second: Sampled frames per second of a clip or video; 0 for the server's default.
            speed: Seconds of video per second; 0 for as fast as the model allows.

        Returns:
            The state of the stream, see `status`.
        """
        with _reported():
            visitor = self._visitor(request)
            source = self._source(visitor, key_of(request), clip, video)
            first = visitor.first_settings
            if policy and policy not in self._policies:
                raise HermesError(f"There is no policy “{policy}”. The endpoint /options lists them.")
            visitor.change(
                policy=policy or first.policy,
                budget=_budget(budget) if budget else first.budget,
                fps=finite(frames_per_second, 0.0) or first.fps,
                speed=finite(speed, 0.0) or math.inf,
            )
            visitor.start(source)
            return _status(visitor)

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
            seconds: Stream time of each frame, not before the previous one; without it, the time of arrival.

        Returns:
            The state of the stream, see `status`.
        """
        with _reported():
            if not isinstance(frames, list) or not 1 <= len(frames) <= MOST_FRAMES:
                raise HermesError(f"Send 1 to {MOST_FRAMES} frames in a call.")
            times = _times(seconds, len(frames))
            visitor = self._visitor(request)
            stream = visitor.stream
            if stream is None or isinstance(stream, Replay):
                raise HermesError(NO_STREAM)
            if visitor.slot.webcam_ended:
                raise HermesError(ENDED)
            with self._one_push(key_of(request)):
                stream.put([_picture(*frame) for frame in enumerate(frames)], times, PUSH_SECONDS)
            return status_of(stream.view())

    @contextmanager
    def _one_push(self, key: str | None) -> Iterator[None]:
        """Let a client push once at a time, so that it occupies one thread of the server.

        Raises:
            HermesError: The client is pushing already.
        """
        if key in self._pushing:
            raise HermesError("The previous call of /push has not returned yet.")
        self._pushing.add(key)
        try:
            yield
        finally:
            self._pushing.discard(key)

    def ask(self, request: gr.Request, question: str) -> Iterator[dict[str, Any]]:
        """Ask a question about the stream, at any time after its first frame.

        Args:
            request: The client.
            question: The question.

        Returns:
            Several times, each with the complete answer so far: {answer, done, seconds, first_token_ms, attended}. The
            last one lists the frames that the answer attended to most.
        """
        with _reported():
            visitor = self._visitor(request)
            if visitor.stream is None:
                raise HermesError(NO_STREAM)
            turn: dict[str, Any] = {}
            for message in visitor.ask(question if isinstance(question, str) else "", wait=False):
                turn = visitor.conversation.turn(message["asked"]) or turn
                if turn["state"] == "error":
                    raise HermesError(turn["answer"])
                yield {"answer": turn["answer"], "done": False, "seconds": turn["at"]}
            stream = visitor.stream
            snapshot = stream.view().snapshot if stream is not None else None
            yield {
                "answer": turn["answer"],
                "done": turn["state"] == "done",
                "seconds": turn["at"],
                "first_token_ms": turn["first_ms"],
                "attended": attended_of(snapshot, turn["question"]) if snapshot is not None else [],
            }

    def status(self, request: gr.Request) -> dict[str, Any]:
        """Return the state of the client's stream.

        `state` is "empty", "playing", "paused", "ended" or "failed" (with `error`). `seconds` is the stream time of the
        newest frame that the model has seen. While the stream waits for a live slot, `waiting` is its `place` in the queue
        `of` this length; it starts by itself. `ends_in` is the number of seconds after which a stream of pushed frames ends
        because others wait; null if it does not end soon.
        """
        with _reported():
            return _status(self._visitor(request))

    def memory(self, request: gr.Request) -> dict[str, Any]:
        """Return what the memory retains: tokens per layer, and for each frame that has any, their number in each layer."""
        with _reported():
            stream = self._visitor(request).stream
            snapshot = stream.view().snapshot if stream is not None else None
            if snapshot is None:
                raise HermesError(NO_STREAM)
            return memory_of(snapshot)

    def close(self, request: gr.Request) -> None:
        """End the stream and delete its memory and the uploaded files."""
        with _reported():
            self._sessions.close(key_of(request))


def _status(visitor: Visitor) -> dict[str, Any]:
    """Return the state of a client's stream, its place in the queue if it waits, and whether it ends because others wait."""
    stream, slot = visitor.stream, visitor.slot
    more = {"waiting": slot.place, "ends_in": slot.webcam_ends_in}
    return {**status_of(stream.view() if stream is not None else None), **more}


def _picture(number: int, frame: object) -> npt.NDArray[np.uint8]:
    """Decode a frame.

    Raises:
        HermesError: It is not a picture, or too large.
    """
    picture = read_picture(frame) if isinstance(frame, str) else None
    if picture is None:
        raise HermesError(f"Frame {number} is not a JPEG in base64 of at most {PICTURE_SIDE:,} pixels per side.")
    return picture


def _budget(value: Any) -> int:
    """Return a budget.

    Raises:
        HermesError: It is not a positive integer.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise HermesError("The budget must be an integer of at least 1 token.")
    return value


def _times(seconds: Any, count: int) -> list[float] | None:
    """Return the stream time of each frame, or None if the client sent none.

    Raises:
        HermesError: There are more or fewer times than frames, or a time is not a number.
    """
    if seconds is None:
        return None
    times = [finite(value, -1.0) for value in seconds] if isinstance(seconds, list) else []
    if len(times) != count or min(times) < 0:
        raise HermesError(f"Send one time of at least 0 seconds per frame: {count} frames need {count} times.")
    return times
