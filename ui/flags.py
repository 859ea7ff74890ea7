"""Command-line flags of `app.py`. Each has an equivalent environment variable, for hosts without a command line."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn

from hermes.assets import CLIPS, SHIPPED
from hermes.backbones.downloads import ConsentError
from hermes.backbones.sources import large_download
from hermes.cli.model_options import consent
from hermes.errors import HermesError
from hermes.policies.listing import PolicyListing
from hermes.view import GATHER_SECONDS, StreamSettings
from ui import zerogpu
from ui.address import LARGEST_PORT
from ui.options import Options
from ui.player.clip_index import INDEX, clip_names
from ui.visitors.registry import Quota
from ui.visitors.webcam_limit import WEBCAM_MINUTES

MAX_TOKENS: Final = 10_000_000
MAX_STREAMS: Final = 10_000
LONGEST_WEBCAM_MINUTES: Final = 1440
MAX_PIXELS: Final = 100_000_000
MAX_REPLICAS: Final = 1_000


class _FlagParser(argparse.ArgumentParser):
    """A parser that reports an error as one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"hermes: error: {message}\n")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the flags. Missing flags are read from the environment, then from the defaults.

    Returns:
        The flags; `port_given` and `model_given` are whether the user set the port or the model, by flag or variable.

    Raises:
        SystemExit: A flag or variable is invalid: one line on standard error, exit code 2.
    """
    env, policies = os.environ.get, PolicyListing()
    start = StreamSettings()
    here = "0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1"  # noqa: S104 - a Space must be reachable from outside
    host = env("HERMES_HOST") or env("GRADIO_SERVER_NAME") or here
    port = env("GRADIO_SERVER_PORT") or "7860"
    parser = _FlagParser(
        prog="app.py",
        description="Stream a video, chat with it, and see what the model remembers.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--host", default=host, help="address to listen on")
    parser.add_argument(
        "--port",
        type=_integer(1, LARGEST_PORT),
        default=env("HERMES_PORT") or None,
        help=f"port; if it is in use, the page does not start (default: {port} or the next free port)",
    )
    parser.add_argument(
        "--model",
        default=env("HERMES_MODEL") or None,
        help="pocket, things, a folder, or a hub id (default: pocket for clips of cards, things for webcam and uploads)",
    )
    parser.add_argument("--policy", default=env("HERMES_POLICY", start.policy), help=", ".join(policies))
    parser.add_argument(
        "--budget",
        type=_integer(1, MAX_TOKENS),
        default=env("HERMES_BUDGET", str(start.budget)),
        help="tokens that a layer may hold",
    )
    parser.add_argument(
        "--streams",
        type=_integer(1, MAX_STREAMS),
        default=env("HERMES_STREAMS", "16"),
        help="live slots: streams that read frames at the same time; more visitors wait in a queue",
    )
    parser.add_argument(
        "--webcam-minutes",
        type=_integer(0, LONGEST_WEBCAM_MINUTES),
        default=env("HERMES_WEBCAM_MINUTES", str(WEBCAM_MINUTES)),
        metavar="MINUTES",
        help="time after which a webcam stream ends while other visitors wait for its live slot; 0 for no limit",
    )
    parser.add_argument(
        "--max-pixels",
        type=_integer(1, MAX_PIXELS),
        default=env("HERMES_MAX_PIXELS") or None,
        metavar="N",
        help="largest number of pixels of a frame in the model; smaller frames are faster (default: the model's)",
    )
    parser.add_argument(
        "--max-side",
        type=_integer(16, 4096),
        default=env("HERMES_MAX_SIDE", str(start.max_side)),
        metavar="PIXELS",
        help="initial frame size: larger videos are scaled down to this width or height",
    )
    parser.add_argument(
        "--gather",
        type=_integer(0, 60),
        default=env("HERMES_GATHER", str(GATHER_SECONDS)),
        metavar="SECONDS",
        help="longest time that a camera frame waits to be encoded with later ones; 0 encodes each one alone",
    )
    parser.add_argument(
        "--clips", type=Path, default=env("HERMES_CLIPS", str(CLIPS)), help="folder of the bundled clips"
    )
    parser.add_argument(
        "--clip-mode",
        action="store_true",
        default=zerogpu.is_zero_gpu() or env("HERMES_CLIP_MODE", "") in ("1", "true"),
        help="run a clip and its questions in one call, as on ZeroGPU, where it is always on",
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        # A Space has no terminal: configuring its model counts as consent.
        default="SPACE_ID" in os.environ or env("HERMES_YES", "") in ("1", "true"),
        help="download a model of more than 1 GB without asking",
    )
    plugins = [name for name in env("HERMES_PLUGIN", "").split(",") if name]
    parser.add_argument(
        "--plugin",
        action="append",
        default=plugins,
        metavar="FILE",
        help="a Python file or module that registers your own policy; can be repeated",
    )
    parser.add_argument(
        "--autosave",
        type=Path,
        default=env("HERMES_AUTOSAVE") or None,
        metavar="DIR",
        help="save streams in this folder, so that visitors can resume after a restart of the server (default: off)",
    )
    parser.add_argument(
        "--autosave-mb",
        type=_integer(1, 1_000_000),
        default=env("HERMES_AUTOSAVE_MB", "2000"),
        metavar="N",
        help="maximum total size of saved streams in megabytes; the oldest are deleted first",
    )
    parser.add_argument(
        "--mcp",
        action="store_true",
        default=env("HERMES_MCP", "") in ("1", "true"),
        help="serve tools for language models over the Model Context Protocol at /mcp; needs the package mcp",
    )
    parser.add_argument(
        "--ray",
        nargs="?",
        const="",
        default=env("HERMES_RAY") or None,
        metavar="ADDRESS",
        help="run the streams on a Ray cluster at this address, for example auto; without one, on a cluster started on this "
        "machine (needs the extra hermes-live[ray]; default: in this process)",
    )
    parser.add_argument(
        "--replicas",
        type=_integer(1, MAX_REPLICAS),
        default=env("HERMES_REPLICAS") or None,
        metavar="N",
        help="actors on the Ray cluster, each with its own models and --streams live slots (default: one for each GPU, or "
        "one for each core without GPUs)",
    )
    parser.add_argument(
        "--gpus-per-replica",
        type=_share,
        default=env("HERMES_GPUS_PER_REPLICA") or None,
        metavar="X",
        help="GPUs of each actor, also a part of one, such as 0.5 (default: 1 if the cluster has any, else none)",
    )
    parser.add_argument("--share", action="store_true", help="create a public link through Gradio's tunnel")
    flags = parser.parse_args(arguments)
    if flags.ray is None and (flags.replicas is not None or flags.gpus_per_replica is not None):
        parser.error("--replicas and --gpus-per-replica need --ray")
    if flags.ray is not None and flags.clip_mode:
        parser.error("--ray cannot be combined with --clip-mode")
    flags.port_given = flags.port is not None
    flags.model_given = flags.model is not None
    flags.model = flags.model or start.model
    try:
        flags.port = _integer(1, LARGEST_PORT)(port) if flags.port is None else flags.port
    except argparse.ArgumentTypeError as error:
        parser.error(f"GRADIO_SERVER_PORT: {error}")
    try:
        _load_plugins(flags.plugin)
        policies.require(flags.policy)
    except HermesError as error:
        parser.error(str(error))
    return flags


def check(flags: argparse.Namespace) -> None:
    """Check the folder of clips, the model and the package of `--mcp` before anything starts.

    Raises:
        HermesError: The folder of clips cannot be read, the model is unknown or unavailable, or MCP cannot be served.
    """
    _check_clips(flags.clips)
    if flags.mcp and flags.clip_mode:
        raise HermesError("--mcp needs live streams, which are not available in clip mode.")
    if flags.mcp and find_spec("mcp") is None:
        raise HermesError("--mcp needs the package mcp, which is not installed: pip install mcp==2.3.0")
    if flags.model in SHIPPED:
        return
    from hermes.backbones.load import check_available  # noqa: PLC0415 - imports torch

    check_available(flags.model)


def _load_plugins(plugins: Sequence[str]) -> None:
    if not plugins:
        return
    from hermes.policies import load_plugin  # noqa: PLC0415 - imports torch

    for plugin in plugins:
        load_plugin(plugin)


def read_options(flags: argparse.Namespace) -> Options:
    """Return the launch options for the flags."""
    models = tuple(dict.fromkeys((flags.model,) if flags.clip_mode else (flags.model, *SHIPPED)))
    return Options(
        StreamSettings(
            model=flags.model,
            policy=flags.policy,
            budget=flags.budget,
            max_side=flags.max_side,
            gather=float(flags.gather),
        ),
        models,
        any_model="SPACE_ID" not in os.environ and not flags.clip_mode,
        clips=flags.clips,
        quota=Quota(),
        clip_mode=flags.clip_mode,
        autosave=None if flags.clip_mode else flags.autosave,
        autosave_mb=flags.autosave_mb,
        agreed=True,
        mcp=flags.mcp,
        max_pixels=flags.max_pixels,
        webcam_minutes=flags.webcam_minutes,
        # A limit of the frame size is meant for one model, and clip mode loads only one.
        automatic=not flags.model_given and flags.max_pixels is None and not flags.clip_mode,
    )


def _check_clips(folder: Path) -> None:
    try:
        if not folder.is_dir():
            raise HermesError(f"There is no folder of clips at {folder} (--clips).")
        list(folder.iterdir())
        index = folder / INDEX
        listed = json.loads(index.read_text("utf-8")) if index.exists() else []
    except OSError as error:
        raise HermesError(f"The folder of clips {folder} cannot be read: {os.strerror(error.errno or 0)}.") from error
    except ValueError as error:
        raise HermesError(f"{folder / INDEX} is not valid JSON: {error}.") from error
    try:
        clip_names(listed)
    except ValueError as error:
        raise HermesError(f"{index} cannot be used: {error} (--clips).") from error


def _integer(least: int, most: int) -> Callable[[str], int]:
    """Return an argparse type for integers from `least` to `most`."""

    def parse_integer(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"an integer from {least} to {most} is expected, not {text!r}")
        return value

    return parse_integer


def _share(text: str) -> float:
    """Argparse type for a number of GPUs: a part of one up to 1, or an integer above."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= MAX_REPLICAS or (value > 1 and not value.is_integer()):
        raise argparse.ArgumentTypeError(f"a number from 0 to 1 or an integer is expected, not {text!r}")
    return value


def agree_to_download(model: str, *, yes: bool) -> None:
    """Ask in the terminal before a model of more than 1 GB is downloaded.

    Args:
        model: Name of the model.
        yes: Whether the user has already agreed.

    Raises:
        ConsentError: The user did not agree; the message gives the size.
    """
    download = None if yes else large_download(model)
    if download is not None and not consent(yes=False)(download):
        raise ConsentError(download)
