"""What the engine and the objects that it schedules require of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hermes.serving.scheduling import Kind, Work

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone


class TurnTaker(Protocol):
    """An object that the engine schedules: a visitor's stream, or a lab run."""

    def work(self) -> Work:
        """Return the pending work; must not block."""

    def step(self, kind: Kind, *, contended: bool) -> bool:
        """Run one short step; must not raise.

        Args:
            kind: The kind of step, one of those returned by `work`.
            contended: Whether answers wait for the worker, so that frames should be processed in small chunks.

        Returns:
            False if nothing was done because an action of the visitor is in progress; the action calls `Engine.wake` at its
            end.
        """

    def fail(self, error: BaseException) -> None:
        """End with an error after `work` or `step` raised; must not raise."""

    @property
    def memory_bytes(self) -> int:
        """Size of the memory in bytes, as of the last step."""

    def discard(self) -> None:
        """Free the memory of a finished stream, unless it was started again; must not raise."""

    def close(self) -> None:
        """Free the memory."""


class Host(Protocol):
    """The interface of the engine that a stream uses."""

    def wake(self) -> None:
        """Notify the worker that there may be work."""

    def model(self, name: str) -> Backbone:
        """Return a loaded model; raises HermesError if it is not loaded."""

    def enter(self, stream: TurnTaker) -> None:
        """Schedule a stream and give it a live slot; raises BusyError if all are taken."""

    def schedule(self, stream: TurnTaker) -> None:
        """Schedule a stream that has ended, without a live slot."""

    def finish(self, stream: TurnTaker) -> None:
        """Free the live slot of a stream whose source has ended."""

    def is_live(self, stream: TurnTaker) -> bool:
        """Return whether a stream holds a live slot."""

    def forget(self, stream: TurnTaker) -> None:
        """Stop scheduling a stream that was closed."""
