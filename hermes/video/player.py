"""Plays a video file on a clock: a thread samples frames and delivers each one when it is due.

No frame is dropped. If the receiver blocks, the clock waits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hermes import video
from hermes.errors import HermesError
from hermes.video.limits import MAX_SIDE

logger = logging.getLogger(__name__)

Frame = npt.NDArray[np.uint8]


class Player:
    """Plays one file once, at a sampling rate and a speed.

    Attributes:
        path: The file.
        position: Time of the newest frame delivered, in seconds; nan before the first.
        begin_after: Frames up to this time are skipped, in seconds; set before `start`.
        finished: Whether the last frame was delivered.
        error: The error message if playback failed, as a sentence; None otherwise.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float,
        speed: float,
        deliver: Callable[[Frame, float], bool],
        done: Callable[[], None],
        max_side: int = MAX_SIDE,
        sampler: video.VideoSampler | None = None,
    ) -> None:
        """Open a file. `start` plays it.

        Args:
            path: The file.
            fps: Frames sampled per second of video.
            speed: Seconds of video per second of wall time; `inf`: as fast as the receiver accepts frames.
            deliver: Receives a frame and its time. It may block to slow the clock down, and returns False to stop.
            done: Called after the last frame was delivered or playback failed.
            max_side: Largest width or height of the frames in pixels.
            sampler: A sampler that has opened the file with this rate and size; the player closes it.

        Raises:
            VideoError: The file cannot be played; the message states the reason.
        """
        self.path = Path(path)
        self.position = float("nan")
        self.finished = False
        self.error: str | None = None
        self.begin_after = float("-inf")
        self._speed = speed
        self._fps = fps
        self._deliver = deliver
        self._done = done
        self._running = threading.Event()
        self._running.set()
        self._ended = threading.Event()
        self._moved = threading.Event()
        self._sampler = sampler or video.sample(self.path, fps, max_side=max_side)
        self._thread = threading.Thread(target=self._play, name=f"player {self.path.name}", daemon=True)

    @property
    def info(self) -> video.VideoInfo:
        """The metadata of the file."""
        return self._sampler.info

    @property
    def skipped(self) -> int:
        """Frames that could not be decoded."""
        return self._sampler.skipped

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user about changes to the times, such as shortened gaps."""
        return self._sampler.notes

    @property
    def speed(self) -> float:
        """Seconds of video per second of wall time."""
        return self._speed

    @speed.setter
    def speed(self, value: float) -> None:
        self._speed = value
        self._moved.set()

    def runs_in(self, thread: threading.Thread) -> bool:
        """Return whether `thread` is the player's thread."""
        return self._thread is thread

    def start(self) -> None:
        """Start playback."""
        self._thread.start()

    def pause(self) -> None:
        """Stop the clock."""
        self._running.clear()
        self._moved.set()

    def resume(self) -> None:
        """Continue the clock."""
        self._running.set()

    def stop(self) -> None:
        """Stop playing and end the decoder process; frames not yet delivered are discarded."""
        self._ended.set()
        self._running.set()
        self._moved.set()
        self._sampler.close()

    def _wait_until_due(self, seconds: float) -> bool:
        """Wait while paused and until `seconds` of video have passed at the current speed; False if stopped."""
        last = time.monotonic()
        left = seconds
        while not self._ended.is_set():
            if not self._running.is_set():
                self._running.wait()
                last = time.monotonic()
            now = time.monotonic()
            left -= (now - last) * self._speed
            last = now
            if left <= 0 or self._speed == float("inf"):
                return True
            self._moved.wait(min(left / self._speed, 1.0))
            self._moved.clear()
        return False

    def _play(self) -> None:
        before: float | None = None
        try:
            for frame, seconds in self._sampler:
                if seconds <= self.begin_after:
                    if self._ended.is_set():
                        return
                    self.position = before = seconds
                    continue
                ahead = seconds - before if before is not None else 0.0
                began = time.monotonic()
                if not self._wait_until_due(ahead) or not self._deliver(frame, seconds):
                    return
                self.position = before = seconds
                logger.debug("delivered %.2f s after %.3f s", seconds, time.monotonic() - began)
            self.finished = not self._ended.is_set()
        except HermesError as error:
            self.error = str(error)
        except Exception:
            logger.exception("playing %s failed", self.path.name)
            self.error = "The video could not be read any further."
        finally:
            self._sampler.close()
            if not self._ended.is_set():
                self._done()
