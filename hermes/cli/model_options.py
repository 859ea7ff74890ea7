"""Options of model, policy and frame size: load a model with progress on a terminal, and ask before a large download."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from hermes.assets import POCKET
from hermes.cli.progress import LoadingBar
from hermes.video.limits import MAX_SIDE

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone
    from hermes.backbones.downloads import Confirm, Download


def add_model(parser: argparse.ArgumentParser, default: str = "pocket") -> None:
    """Add `--model` and `--yes`."""
    parser.add_argument("--model", default=default, help='"pocket", a folder, or a hub id (default: %(default)s)')
    add_yes(parser)


def add_frame_size(parser: argparse.ArgumentParser) -> None:
    """Add `--max-side` and `--max-pixels`."""
    parser.add_argument(
        "--max-side", type=int, default=MAX_SIDE, metavar="PIXELS",
        help="scale the video down to this width or height at most (default: %(default)s)",
    )  # fmt: skip
    add_max_pixels(parser)


def add_max_pixels(parser: argparse.ArgumentParser) -> None:
    """Add `--max-pixels`."""
    parser.add_argument(
        "--max-pixels", type=int, metavar="N",
        help="largest number of pixels of a frame, as the model resizes it (default: the model's limit)",
    )  # fmt: skip


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add `--yes`."""
    parser.add_argument("--yes", action="store_true", help="download a model of more than 1 GB without asking")


def add_guidance(parser: argparse.ArgumentParser) -> None:
    """Add `--guidance`."""
    parser.add_argument(
        "--guidance",
        choices=("forward", "embedding"),
        help="how HERMES measures guidance: forward as the paper describes, embedding as in all published numbers",
    )


def add_policy_settings(parser: argparse.ArgumentParser) -> None:
    """Add `--guidance` and `--set`."""
    add_guidance(parser)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a setting of the policy, such as smoothing=off; may be given several times",
    )


def model_folders(name: str) -> tuple[Path, ...]:
    """Return the local folder of a model, if any; no output may replace a file in it."""
    folder = POCKET if name == "pocket" else Path(name)
    return (folder,) if folder.is_dir() else ()


def load_model(args: argparse.Namespace) -> Backbone:
    """Load the model given by `--model`.

    Raises:
        ConsentError: It needs a large download, which was not confirmed.
        HermesError: It cannot be loaded.
    """
    import transformers  # noqa: PLC0415  (heavy)

    import hermes  # noqa: PLC0415

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with closing(LoadingBar()) as bar:
        return hermes.load(
            args.model, progress=bar, confirm=consent(yes=args.yes), max_pixels=getattr(args, "max_pixels", None)
        )


def consent(*, yes: bool) -> Confirm:
    """Return a function that confirms a large download: with `--yes`, or by asking on a terminal; otherwise it refuses."""

    def confirm(download: Download) -> bool:
        if yes:
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            print("hermes: note: add --yes to start a large download", file=sys.stderr)
            return False
        print(f"\r\033[K{download}. Download it now? [y/N] ", end="", file=sys.stderr, flush=True)
        try:
            return input().strip().lower() in ("y", "yes")
        except EOFError:
            return False

    return confirm
