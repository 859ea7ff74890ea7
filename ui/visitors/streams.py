"""Opening streams for a visitor: start a source, or restore a saved stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hermes.assets import SHIPPED
from hermes.errors import HermesError
from hermes.serving.slots import BusyError
from ui.player.conversation import ChatTurn
from ui.player.source import Source
from ui.settings.model_loader import ModelLoader
from ui.visitors.readout import StreamProgress
from ui.visitors.saved_pictures import read_pictures
from ui.visitors.saved_stream import SavedStream, about_stream

if TYPE_CHECKING:
    from pathlib import Path

    from hermes.serving.interface import StreamControl, StreamEngine
    from hermes.video import VideoSampler
    from hermes.view import StreamSettings


def play_source(stream: StreamControl, source: Source, sampler: VideoSampler | None = None) -> None:
    """Play a source in a stream, with an empty memory. `sampler` has opened its file already; the stream closes it.

    Raises:
        HermesError: The source cannot be played.
    """
    if source.kind == "camera":
        stream.camera()
    else:
        stream.play(str(source.path), source.title, sampler)


def open_stream(
    loader: ModelLoader,
    settings: StreamSettings,
    source: Source,
    sampler: VideoSampler | None = None,
    replacing: StreamControl | None = None,
) -> StreamControl:
    """Open a stream that plays a source. The model must be loaded.

    Args:
        loader: Provides the engine.
        settings: Settings of the stream.
        source: The source.
        sampler: A sampler that has opened its file; the stream closes it.
        replacing: The visitor's stream, whose live slot the new one takes over. It keeps the slot if the source cannot be
            played.

    Raises:
        HermesError: There are too many streams, a setting is invalid, or the source cannot be played.
    """
    held = replacing is not None and loader.engine.is_live(replacing)
    stream = loader.engine.open(settings, replacing)
    try:
        play_source(stream, source, sampler)
    except BaseException:
        if replacing is not None and held:
            return_slot(loader.engine, stream, replacing)
        stream.close()
        raise
    return stream


def restore_stream(stream: StreamControl, saved: SavedStream, clip: Path | None, notify: Callable[[str], None]) -> None:
    """Continue a saved session in a new stream. Reading it may take a while.

    Args:
        stream: The new stream.
        saved: The saved stream.
        clip: The bundled clip to play on, or None if only the memory is restored.
        notify: Receives a message if the memory is restored without its pictures.

    Raises:
        HermesError: The session cannot be restored.
    """
    pictures = None
    try:
        pictures = read_pictures(saved.pictures)
    except HermesError as error:
        notify(f"{error} The stream continues without them.")
    stream.restore(saved.session, saved.title, clip, pictures)


def return_slot(engine: StreamEngine, stream: StreamControl, owner: StreamControl) -> None:
    """Give a live slot that `stream` has taken over back to `owner`, unless `owner` has ended.

    `owner` pauses if another visitor has taken the slot meanwhile.
    """
    try:
        engine.enter(owner, stream)
    except BusyError:
        owner.pause()
    if owner.status().state not in ("playing", "paused"):  # perhaps meanwhile
        engine.finish(owner)


def check_restorable(
    saved: SavedStream, policies: Mapping[str, Any], loader: ModelLoader, first_settings: StreamSettings
) -> None:
    """Check that the policy and the model of a saved stream are available.

    Raises:
        HermesError: One of them is not.
    """
    if saved.settings.policy not in policies:
        raise HermesError(f"The saved stream uses the policy “{saved.settings.policy}”, which is not available here.")
    known = saved.settings.model in (first_settings.model, *SHIPPED)
    if not known and loader.state(saved.settings.model) is None:
        raise HermesError(f"The saved stream uses the model “{saved.settings.model}”. Load it first, then resume.")


def saveable_state(
    stream: StreamControl,
    progress: StreamProgress,
    settings: StreamSettings,
    playing: Source,
    turns: Sequence[ChatTurn],
) -> tuple[StreamControl, dict[str, Any], tuple[Any, Any]] | None:
    """Return what `Autosave` saves of a stream, or None before the first frame.

    Args:
        stream: The stream.
        progress: Its state.
        settings: Settings of the visitor.
        playing: The source.
        turns: The conversation.

    Returns:
        The stream; the metadata stored next to its session; and a mark `(frames, moment)` that differs after every
        change. If `moment` differs, the stream should be saved immediately.
    """
    if not progress.frames:
        return None
    done = sum(turn.state != "writing" for turn in turns)
    ended = progress.state not in ("playing", "paused")
    clip_id = playing.id if playing.kind == "clip" else ""
    about = about_stream(settings, playing.kind, clip_id, playing.title, progress.clock, list(turns), ended=ended)
    return stream, about, (progress.sequence, (done, progress.state, settings))
