"""The option `--model`, and loading what it names: progress on a terminal, consent before a large download."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hermes.assets import POCKET

if TYPE_CHECKING:
    from hermes.backbones.base import Backbone
    from hermes.backbones.downloads import Confirm, Download


def add_model(parser: argparse.ArgumentParser, default: str = "pocket") -> None:
    """Declare `--model` and `--yes`."""
    parser.add_argument("--model", default=default, help='"pocket", a folder, or a hub id (default: %(default)s)')
    add_yes(parser)


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Declare `--yes`."""
    parser.add_argument("--yes", action="store_true", help="download a model of more than 1 GB without asking")


def model_folders(name: str) -> tuple[Path, ...]:
    """The folder that a model is read from, where it is on this machine: no output may replace a file in it."""
    folder = POCKET if name == "pocket" else Path(name)
    return (folder,) if folder.is_dir() else ()


def load_model(args: argparse.Namespace) -> Backbone:
    """Load what `--model` names.

    Raises:
        ConsentError: It is a large download, and nobody agreed to it.
        HermesError: It cannot be loaded.
    """
    import transformers  # noqa: PLC0415  (heavy)

    import hermes  # noqa: PLC0415

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    shown = sys.stderr.isatty()
    model = hermes.load(args.model, progress=_show if shown else None, confirm=consent(yes=args.yes))
    if shown:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return model


def consent(*, yes: bool) -> Confirm:
    """Who agrees to a large download: the flag `--yes`, or the person at the terminal; without one nobody does."""

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


def _show(text: str, share: float) -> None:
    """One line that each call overwrites."""
    print(f"\r\033[K{text} ({share:.0%})", end="", file=sys.stderr, flush=True)
