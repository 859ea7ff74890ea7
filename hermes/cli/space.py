"""Build the folder to push to a Hugging Face Space: the demo, and a README.md that configures the Space.

OUT_DIR must be new or empty, or a clone of a Space, whose files are then replaced. See Spaces.md.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from hermes.assets import checkout
from hermes.errors import HermesError
from hermes.files.output import check_folder
from hermes.formatting import format_bytes

PARTS: Final = ("app.py", "hermes", "ui", "assets", "requirements.txt", "LICENSE")
LEFT_OUT: Final = ("__pycache__", "node_modules", "*.pyc", ".*", "*.test.js", "*.test.mjs")
KEPT: Final = (".git", ".gitattributes")
LARGEST: Final = 10_000_000
"""Upper bound of a file in bytes: the hub rejects larger files outside its large-file storage."""

FRONT_MATTER: Final = """\
---
title: HERMES Live
emoji: 🎞️
colorFrom: indigo
colorTo: gray
sdk: gradio
sdk_version: {gradio}
python_version: "3.11"
app_file: app.py
suggested_hardware: cpu-basic
fullWidth: true
license: mit
short_description: Chat with a live video, see what the model remembers
tags:
  - video
  - streaming
  - kv-cache
  - interpretability
---
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("out_dir", metavar="OUT_DIR", type=Path, help="a new or empty folder, or a clone of the Space")


def run(args: argparse.Namespace) -> int:
    """Build the folder and print the next step."""
    count, size = build_space(checkout("`hermes space`"), args.out_dir)
    print(
        f"{count} files, {format_bytes(size)} in {args.out_dir}. To publish: commit and push them to the Space (Spaces.md)."
    )
    return 0


def front_matter(root: Path) -> str:
    """Return the front matter of a Space's README.md, with the version of Gradio pinned in requirements.txt."""
    for line in (root / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("gradio=="):
            return FRONT_MATTER.format(gradio=line.removeprefix("gradio==").strip())
    raise HermesError("requirements.txt pins no version of gradio.")


def build_space(root: Path, out: Path) -> tuple[int, int]:
    """Copy the files of a Space from the project to `out`.

    Args:
        root: The project.
        out: A new or empty folder, or a clone of a Space (its files are replaced, its history is kept).

    Returns:
        Number of files and their total size in bytes.

    Raises:
        HermesError: Something is missing or too large for the hub, or `out` holds other things. Nothing was changed.
        OSError: The files cannot be written. The files of a clone are unchanged.
    """
    missing = [part for part in (*PARTS, "README.md") if not (root / part).exists()]
    if missing:
        raise HermesError(f"This copy of the project is incomplete: {', '.join(missing)} missing.")
    files = {file.relative_to(root): file for part in PARTS for file in _files(root / part)}
    too_large = [f"{name} ({format_bytes(file.stat().st_size)})" for name, file in files.items() if _is_large(file)]
    if too_large:
        raise HermesError(f"Larger than the 10 MB that the hub accepts in a Space: {', '.join(sorted(too_large))}.")
    root, out = root.resolve(), check_folder(out)
    if out == root or out in root.parents or (root in out.parents and out.relative_to(root).parts[0] in PARTS):
        raise HermesError("The folder for the Space must be outside the project's own folders.")
    _check_replaceable(out)
    readme = front_matter(root) + "\n" + (root / "README.md").read_text(encoding="utf-8")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".hermes-space-", dir=out) as temporary:
        whole = Path(temporary)  # complete before anything in `out` is touched
        for name, file in files.items():
            (whole / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, whole / name)
        (whole / "README.md").write_text(readme, encoding="utf-8")
        _empty(out, whole)
        for entry in list(whole.iterdir()):
            entry.rename(out / entry.name)
    return len(files) + 1, sum(file.stat().st_size for file in files.values()) + len(readme.encode())


def _files(part: Path) -> list[Path]:
    if part.is_file():
        return [part]
    return sorted(file for file in part.rglob("*") if file.is_file() and not _left_out(file.relative_to(part)))


def _left_out(file: Path) -> bool:
    return any(fnmatch(piece, pattern) for piece in file.parts for pattern in LEFT_OUT)


def _is_large(file: Path) -> bool:
    return file.stat().st_size > LARGEST


def _entries(out: Path) -> list[Path]:
    return [entry for entry in out.iterdir() if entry.name not in KEPT]


def _check_replaceable(out: Path) -> None:
    if not out.is_dir():
        return
    readme = out / "README.md"
    is_clone = (out / ".git").exists() and readme.is_file() and "sdk:" in readme.read_text("utf-8", "replace")[:2000]
    if _entries(out) and not is_clone:
        raise HermesError(f"{out} is neither empty nor a clone of a Space; nothing was written.")


def _empty(out: Path, but: Path) -> None:
    for entry in _entries(out):
        if entry == but:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
