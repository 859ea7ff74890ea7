"""The flags of `app.py`, each with an environment variable of the same meaning, for places without a command line."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from hermes import POLICIES
from hermes.backbones.downloads import ConsentError
from hermes.backbones.sources import large_download
from hermes.cli.model_option import consent
from hermes.live_view import StreamSettings
from ui import zerogpu


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read flags; what is not given comes from the environment, then from the defaults."""
    env = os.environ.get
    start = StreamSettings()
    here = "0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1"  # noqa: S104 - a Space is reached from outside
    host = env("HERMES_HOST") or env("GRADIO_SERVER_NAME") or here
    port = env("HERMES_PORT") or env("GRADIO_SERVER_PORT") or "7860"
    clips = Path(__file__).parents[1] / "assets" / "clips"
    parser = argparse.ArgumentParser(
        description="Stream a video, chat with it, and see what the model remembers.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--host", default=host, help="address to listen on")
    parser.add_argument("--port", type=int, default=port, help="port")
    parser.add_argument("--model", default=env("HERMES_MODEL", start.model), help="pocket, a folder, or a hub id")
    parser.add_argument("--policy", default=env("HERMES_POLICY", start.policy), help=", ".join(POLICIES))
    parser.add_argument(
        "--budget", type=int, default=env("HERMES_BUDGET", str(start.budget)), help="tokens a layer may hold"
    )
    parser.add_argument("--streams", type=int, default=env("HERMES_STREAMS", "16"), help="most streams at once")
    parser.add_argument(
        "--clips", type=Path, default=env("HERMES_CLIPS", str(clips)), help="folder of the bundled clips"
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
        # A Space has no terminal to ask at: whoever named its model there agreed to it.
        default="SPACE_ID" in os.environ or env("HERMES_YES", "") in ("1", "true"),
        help="download a model of more than 1 GB without asking",
    )
    parser.add_argument("--share", action="store_true", help="a public address through Gradio's tunnel")
    flags = parser.parse_args(arguments)
    if flags.policy not in POLICIES:
        parser.error(f"there is no policy “{flags.policy}”; there are {', '.join(POLICIES)}")
    return flags


def agree_to_download(model: str, *, yes: bool) -> None:
    """Ask at the terminal before a model of more than 1 GB is downloaded; `yes`: it was agreed to.

    Raises:
        SystemExit: Nobody agreed; the message says how large it is.
    """
    download = None if yes else large_download(model)
    if download is not None and not consent(yes=False)(download):
        raise SystemExit(f"hermes: {ConsentError(download)}")
