"""The recorded runs that one visitor may open, and what the browser is told of the one that is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hermes.errors import HermesError
from hermes.trace import Run
from ui.player.clips import Clip
from ui.runs.replay import Replay, state
from ui.runs.runs import usual_speed


class RunLibrary:
    """Opens bundled runs by id, and runs that a visitor brought. Holds nothing of its own."""

    def __init__(self, runs: Mapping[str, Run], clips: Mapping[str, Clip]) -> None:
        """`runs` and `clips` are those bundled, by id."""
        self._runs = runs
        self._clips = clips

    def open(self, run: Run | str, seconds: float) -> Replay:
        """A run, paused at a stream time; `run` is one, or the id of a bundled one.

        Raises:
            HermesError: There is no such run.
        """
        if isinstance(run, str):
            if run not in self._runs:
                raise HermesError("This run is not bundled here. Choose another one.")
            run = self._runs[run]
        return Replay(run, seconds, usual_speed(run.seconds))

    def clip(self, replay: Replay) -> Clip | None:
        """The bundled clip that a run plays; None where it is not bundled here."""
        return self._clips.get(replay.run.clip_id or "")

    def state(self, replay: Replay | None) -> dict[str, Any]:
        """What is shown of a recorded run; nothing while a stream is shown."""
        if replay is None:
            return {"run": None}
        clip = self.clip(replay)
        return state(replay, bundled=self._runs.get(replay.run.id) is replay.run, startable=clip.id if clip else "")
