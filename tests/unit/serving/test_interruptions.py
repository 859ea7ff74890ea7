"""A stream is paused and resumed for its visitor, and errors of that are shown instead of raised."""

from __future__ import annotations

from hermes.errors import HermesError
from ui.visitors.interruptions import Interruptions


def test_a_stream_that_cannot_be_paused_or_resumed_is_reported():
    actions, reported = [], []

    def transport(action):
        actions.append(action)
        raise HermesError(f"Cannot {action}.")

    stream = Interruptions(lambda: True, lambda: False, transport, reported.append)
    stream.begin_disconnect()
    stream.end_disconnect()
    stream.end_disconnect()  # nothing is left to resume
    stream.begin_guest()
    stream.end_guest()
    assert actions == ["pause", "resume", "pause", "resume"]
    assert reported == ["Cannot pause.", "Cannot resume.", "Cannot pause.", "Cannot resume."]
