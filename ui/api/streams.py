"""What clients do with their streams: start one, and ask about it. Used by the endpoints and by the tools of MCP."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hermes.errors import HermesError
from ui.api.summary import attended_of, status_of
from ui.player.source import Source
from ui.untrusted import display_name, finite, is_one_of
from ui.visitors.visitor import Visitor

NO_STREAM: Final = "There is no stream. Call /start, or wait while /status reports `waiting`."


def start_stream(
    visitor: Visitor,
    source: Source,
    policies: Mapping[str, Any],
    *,
    policy: Any = "",
    budget: Any = 0,
    frames_per_second: Any = 0.0,
    speed: Any = 0.0,
) -> dict[str, Any]:
    """Start a stream with an empty memory, and return its state. A stream that the visitor already has ends.

    Args:
        visitor: The client.
        source: What the stream shows.
        policies: The policies by name.
        policy: Name of the policy; empty for the server's default.
        budget: Tokens that a layer may hold; 0 for the server's default.
        frames_per_second: Sampled frames per second of a clip or video; 0 for the server's default.
        speed: Seconds of video per second; 0 for as fast as the model allows.

    Raises:
        HermesError: A setting is invalid, or the source cannot be played.
    """
    first = visitor.first_settings
    if policy and not is_one_of(policy, policies):
        raise HermesError(f"There is no policy “{display_name(policy)}”. These are available: {', '.join(policies)}.")
    visitor.change(
        policy=policy or first.policy,
        budget=_budget(budget) if budget else first.budget,
        fps=finite(frames_per_second, 0.0) or first.fps,
        speed=finite(speed, 0.0) or math.inf,
    )
    visitor.start(source)
    return state_of(visitor)


def check_live(visitor: Visitor) -> None:
    """Check that a client can have a live stream.

    Raises:
        HermesError: The server runs in clip mode.
    """
    if visitor.planned:
        raise HermesError("Streams cannot be started here, because the GPU is allocated per run.")


def state_of(visitor: Visitor) -> dict[str, Any]:
    """Return the state of a client's stream, its place in the queue if it waits, and whether it ends because others wait."""
    stream, slot = visitor.stream, visitor.slot
    more = {"waiting": slot.place, "ends_in": slot.webcam_ends_in}
    return {**status_of(stream.view() if stream is not None else None), **more}


def answers(visitor: Visitor, question: Any) -> Iterator[dict[str, Any]]:
    """Ask about the stream, and yield the complete answer so far after each piece: {answer, done, seconds}.

    The last item also has `first_token_ms`, and the frames that the answer attended to most as `attended`. Its `done` is
    False if the answer was stopped.

    Raises:
        HermesError: There is no stream, or the question cannot be answered.
    """
    if visitor.stream is None:
        raise HermesError(NO_STREAM)
    turn: dict[str, Any] = {}
    for message in visitor.ask(question if isinstance(question, str) else "", wait=False):
        turn = visitor.conversation.turn(message["asked"]) or turn
        if not turn:
            raise HermesError("The question was removed from the conversation.")
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


def _budget(value: Any) -> int:
    """Return a budget.

    Raises:
        HermesError: It is not a positive integer.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise HermesError("The budget must be an integer of at least 1 token.")
    return value
