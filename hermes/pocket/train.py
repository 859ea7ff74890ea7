"""Training of the pocket model in resumable stages, from scratch or from a trained model."""

from __future__ import annotations

import json
import logging
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from transformers import LlavaOnevisionForConditionalGeneration, PreTrainedTokenizerFast

from hermes.pocket.align import align
from hermes.pocket.bank import TAKES, BankSource, keep_bank, make_bank, open_bank
from hermes.pocket.clock import save_state
from hermes.pocket.decoder import PackedDecoder
from hermes.pocket.model import save
from hermes.pocket.packing import Packer
from hermes.pocket.sources import SyntheticSource
from hermes.pocket.train_decoder import GROWN, LONG, REAL, SETTLED, SYNTHETIC, start_decoder, train_decoder
from hermes.pocket.train_vision import init_vision, train_vision

log = logging.getLogger(__name__)

# Fractions of the time: tower, in parallel with the decoder on codes; decoder on features; all layers; long streams and
# counting, in two stages.
SHARES: Final = {"side": 0.36, REAL.name: 0.1, GROWN.name: 0.22, LONG.name: 0.16, SETTLED.name: 0.16}
REFINING_SHARES: Final = {LONG.name: 0.54, SETTLED.name: 0.46}  # the decoder's two stages; the tower trains in parallel
POLL: Final = 10.0  # seconds between progress messages
ABOUT: Final[dict[str, object]] = {
    "name": "HERMES pocket",
    "about": "A LLaVA-OneVision with 2.3 million parameters, trained from scratch in about five hours on two CPU cores, on "
    "rendered streams of coloured cards. It knows eight colours, five shapes and nine places, and nothing else.",
    "guidance": {
        "local": "What is shown now?",
        "global": "What was shown so far?",
    },
    "max_new_tokens": 32,
    "world": "cards",
    "knows": "coloured cards",
    "suggested": [
        "What is shown now?",
        "Where is it?",
        "What was shown just before?",
        "What was the first card?",
        "Was there a red card?",
        "Was there a blue star?",
        "Where was the red circle?",
        "What colour was the star?",
        "What came after the red circle?",
    ],
}
Progress = Callable[[str], None]


def assemble(
    run: Path, seed: int, begin: Path | None = None
) -> tuple[LlavaOnevisionForConditionalGeneration, PreTrainedTokenizerFast]:
    """Return the model of a run (started from a model folder or from scratch): its tower and its newest decoder."""
    model, tokenizer = start_decoder(seed)
    init_vision(model, seed)
    if begin is not None:
        trained = LlavaOnevisionForConditionalGeneration.from_pretrained(begin, dtype=torch.float32)
        model.load_state_dict(trained.state_dict())
    vision = run / "vision.pt"
    states = [run / f"{stage.name}.pt" for stage in (SETTLED, LONG, GROWN, REAL, SYNTHETIC)]
    decoder = next((state for state in states if state.exists()), states[-1])
    if vision.exists():
        parts = torch.load(vision, weights_only=False)["parts"]
        for index, module in enumerate((model.model.vision_tower, model.model.multi_modal_projector)):
            prefix = f"{index}."
            module.load_state_dict({k[len(prefix) :]: v for k, v in parts.items() if k.startswith(prefix)})
    if decoder.exists():
        PackedDecoder(model).load_state_dict(torch.load(decoder, weights_only=False)["decoder"], strict=False)
    return model.eval(), tokenizer


Job = Callable[[Path, float, int, "Path | None"], None]
"""A training process. Called with the run's folder, the minutes, the seed, and the model to continue from."""


def _tower(run: Path, minutes: float, seed: int, begin: Path | None) -> None:
    train_vision(run, minutes, seed, 0.0 if begin else 0.3, begin)


def _first_layers(run: Path, minutes: float, seed: int, begin: Path | None) -> None:
    train_decoder(run, SYNTHETIC, minutes, seed, SyntheticSource(), begin)


def _refined_decoder(run: Path, minutes: float, seed: int, begin: Path | None) -> None:
    """Train the decoder on long streams: first on features of the original tower, then on those of the refined one."""
    source = BankSource(open_bank(run / "bank-before.pt"))
    before = train_decoder(run, LONG, minutes * REFINING_SHARES[LONG.name], seed, source, begin)
    source = _encoded(run, "bank", minutes, seed, begin, log.info)
    train_decoder(run, SETTLED, minutes * REFINING_SHARES[SETTLED.name], seed, source, before)


def _side_by_side(
    run: Path,
    minutes: float,
    seed: int,
    begin: Path | None,
    jobs: tuple[Job, ...],
    logs: tuple[str, ...],
    progress: Progress,
) -> None:
    """Train tower and decoder in separate processes of one thread each; `logs` names the stages whose logs they write."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=job, args=(run, minutes, seed, begin)) for job in jobs]
    for worker in workers:
        worker.start()
    try:
        while any(worker.is_alive() for worker in workers):
            for worker in workers:
                worker.join(POLL / len(workers))
            for name in logs:
                if line := last_line(run / f"{name}.jsonl"):
                    progress(f"{name}: {line}")
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
    if any(worker.exitcode for worker in workers):
        raise RuntimeError("A training process failed; its error is above.")


def train(run: Path, out: Path, minutes: float, seed: int, progress: Progress, begin: Path | None = None) -> Path:
    """Train from scratch, from a trained model, or from the state of a stopped run, and write the model folder.

    Args:
        run: Folder of training states and logs.
        out: Model folder to write.
        minutes: Total training time.
        seed: Random seed of weights and data.
        progress: Called from time to time with a one-line message.
        begin: Model folder to train further (tower on all backgrounds, decoder on long streams); None for scratch.

    Returns:
        `out`.
    """
    run.mkdir(parents=True, exist_ok=True)
    trained = _refine(run, minutes, seed, begin, progress) if begin else _from_nothing(run, minutes, seed, progress)
    model, tokenizer = assemble(run, seed, begin)
    if begin is not None and begin.resolve() != out.resolve():  # the folder describes all of its training
        out.mkdir(parents=True, exist_ok=True)
        for log_file in begin.glob("training_*.jsonl"):
            shutil.copyfile(log_file, out / log_file.name)
    save(out, model, tokenizer, ABOUT)
    for name in trained:
        kept = "training_refined_vision.jsonl" if begin and name == "vision" else f"training_{name}.jsonl"
        shutil.copyfile(run / f"{name}.jsonl", out / kept)
    progress(f"wrote {out}")
    return out


def _from_nothing(run: Path, minutes: float, seed: int, progress: Progress) -> tuple[str, ...]:
    """Run all stages and return their names."""
    jobs: tuple[Job, ...] = (_tower, _first_layers)
    _side_by_side(run, minutes * SHARES["side"], seed, None, jobs, ("vision", SYNTHETIC.name), progress)
    source, sorted_file = _encoded(run, "bank", minutes, seed, None, progress), run / "aligned.pt"
    if not sorted_file.exists():
        progress("decoder: assigning directions to the lookups of the long-term layers")
        model, tokenizer = start_decoder(seed)
        decoder = PackedDecoder(model)
        decoder.load_state_dict(torch.load(run / f"{SYNTHETIC.name}.pt", weights_only=False)["decoder"])
        align(decoder, Packer(tokenizer, source), SYNTHETIC.layers, seed)
        save_state(sorted_file, decoder=decoder.state_dict())
    before = sorted_file
    stages = (REAL, GROWN, LONG, SETTLED)
    for stage in stages:
        progress(f"{stage.name}: {len(stage.layers)} layers, on the tower's own features")
        before = train_decoder(run, stage, minutes * SHARES[stage.name], seed, source, before)
    return ("vision", SYNTHETIC.name, *(stage.name for stage in stages))


def _refine(run: Path, minutes: float, seed: int, begin: Path, progress: Progress) -> tuple[str, ...]:
    """Train the tower of a trained model and, in parallel, its decoder on long streams; return the stages' names."""
    _encoded(run, "bank-before", minutes, seed + 5, begin, progress)
    stages = ("vision", LONG.name, SETTLED.name)
    _side_by_side(run, minutes, seed, begin, (_tower, _refined_decoder), stages, progress)
    return stages


def _encoded(run: Path, name: str, minutes: float, seed: int, begin: Path | None, progress: Progress) -> BankSource:
    """Return rendered frames encoded by the current tower, cached in a file."""
    file = run / f"{name}.pt"
    if not file.exists():
        progress("frames: rendering and encoding the bank")
        model, _ = assemble(run, seed, begin)
        scenes = int(min(max(minutes / 6, 1), 20))
        keep_bank(file, make_bank(model, seed, scenes, 30 * scenes, TAKES if scenes > 1 else 1))
    return BankSource(open_bank(file))


def last_line(path: Path) -> str:
    """Return the newest line of a log as readable text."""
    if not path.exists():
        return ""
    lines = path.read_text(encoding="utf-8").splitlines()
    return ", ".join(f"{k} {v}" for k, v in json.loads(lines[-1]).items()) if lines else ""
