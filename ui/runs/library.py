"""The recorded runs that a visitor can open, and the page state of the one that is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hermes.errors import HermesError
from hermes.trace import Run
from ui.player.clips import Clip
from ui.runs.replay import Replay, state
from ui.runs.runs import usual_speed


class RunLibrary:
    """Opens bundled runs by id, and uploaded runs. Stateless."""

    def __init__(self, runs: Mapping[str, Run], clips: Mapping[str, Clip]) -> None:
        """Use these bundled runs and clips, by id."""
        self._runs = runs
        self._clips = clips

    def open(self, run: Run | str, seconds: float) -> Replay:
        """Return a replay, paused at a stream time. `run` is a run, or the id of a bundled one.

        Raises:
            HermesError: The run does not exist.
        """
        if isinstance(run, str):
            if run not in self._runs:
                raise HermesError("This run is not available here. Choose another one.")
            run = self._runs[run]
        return Replay(run, seconds, usual_speed(run.seconds))

    def clip(self, replay: Replay) -> Clip | None:
        """Return the bundled clip of a run, or None if it is not bundled."""
        return self._clips.get(replay.run.clip_id or "")

    def state(self, replay: Replay | None) -> dict[str, Any]:
        """Return the page state of a recorded run, without a run if a stream is shown."""
        if replay is None:
            return {"run": None}
        clip = self.clip(replay)
        return state(replay, bundled=self._runs.get(replay.run.id) is replay.run, startable=clip.id if clip else "")
