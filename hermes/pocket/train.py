"""The whole training of the pocket model, from nothing to a folder that loads; every stage can be resumed."""

from __future__ import annotations

import json
import logging
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from transformers import LlavaOnevisionForConditionalGeneration, PreTrainedTokenizerFast

from hermes.pocket.align import align
from hermes.pocket.bank import TAKES, BankSource, keep_bank, make_bank, open_bank
from hermes.pocket.clock import save_state, seconds_used
from hermes.pocket.decoder import PackedDecoder
from hermes.pocket.model import save
from hermes.pocket.packing import Packer
from hermes.pocket.sources import SyntheticSource
from hermes.pocket.train_decoder import GROWN, REAL, SYNTHETIC, start_decoder, train_decoder
from hermes.pocket.train_vision import init_vision, train_vision

log = logging.getLogger(__name__)

SHARES: Final = (0.48, 0.16, 0.36)  # of the time: tower beside decoder on codes; decoder on features; all layers
POLL: Final = 10.0  # seconds between two lines of progress
ABOUT: Final[dict[str, object]] = {
    "name": "HERMES pocket",
    "about": "A LLaVA-OneVision with 2.3 million parameters, trained from nothing in about two hours on two CPU cores, on "
    "rendered streams of coloured cards. It knows eight colours, five shapes and nine places, and nothing else.",
    "guidance": {
        "local": "What is shown now?",
        "global": "What was shown so far?",
    },
    "max_new_tokens": 32,
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


def assemble(run: Path, seed: int) -> tuple[LlavaOnevisionForConditionalGeneration, PreTrainedTokenizerFast]:
    """The model that a run has trained so far: its tower, and the newest state of its decoder."""
    model, tokenizer = start_decoder(seed)
    init_vision(model, seed)
    vision = run / "vision.pt"
    states = [run / f"{stage.name}.pt" for stage in (GROWN, REAL, SYNTHETIC)]
    decoder = next((state for state in states if state.exists()), states[-1])
    if vision.exists():
        parts = torch.load(vision, weights_only=False)["parts"]
        for index, module in enumerate((model.model.vision_tower, model.model.multi_modal_projector)):
            prefix = f"{index}."
            module.load_state_dict({k[len(prefix) :]: v for k, v in parts.items() if k.startswith(prefix)})
    if decoder.exists():
        PackedDecoder(model).load_state_dict(torch.load(decoder, weights_only=False)["decoder"], strict=False)
    return model.eval(), tokenizer


def _train_first(run: Path, minutes: float, seed: int) -> None:
    train_decoder(run, SYNTHETIC, minutes, seed, SyntheticSource())


def _side_by_side(run: Path, minutes: float, seed: int, progress: Progress) -> None:
    """Tower and first decoder layers, each in its own process with one thread."""
    context = multiprocessing.get_context("spawn")
    jobs: dict[str, Any] = {"vision": train_vision, SYNTHETIC.name: _train_first}
    left = [job for name, job in jobs.items() if seconds_used(run / f"{name}.pt") < minutes * 60]
    workers = [context.Process(target=job, args=(run, minutes, seed)) for job in left]
    for worker in workers:
        worker.start()
    try:
        while any(worker.is_alive() for worker in workers):
            for worker in workers:
                worker.join(POLL / len(workers))
            for name in ("vision", SYNTHETIC.name):
                if line := last_line(run / f"{name}.jsonl"):
                    progress(f"{name}: {line}")
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
    if any(worker.exitcode for worker in workers):
        raise RuntimeError("A training process failed; its error is above.")


def train(run: Path, out: Path, minutes: float, seed: int, progress: Progress) -> Path:
    """Train from nothing (or from where a run was stopped) and write the model folder.

    Args:
        run: folder of states and logs.
        out: the model folder to write.
        minutes: of training in all.
        seed: of weights and data.
        progress: gets one line of text now and then.

    Returns:
        `out`.
    """
    run.mkdir(parents=True, exist_ok=True)
    _side_by_side(run, minutes * SHARES[0], seed, progress)
    bank_file, sorted_file = run / "bank.pt", run / "aligned.pt"
    if not bank_file.exists():
        progress("frames: rendering and encoding the bank")
        model, _ = assemble(run, seed)
        scenes = int(min(max(minutes / 6, 1), 20))
        takes = TAKES if scenes > 1 else 1
        keep_bank(bank_file, make_bank(model, seed, scenes, 30 * scenes, takes))
    source = BankSource(open_bank(bank_file))
    if not sorted_file.exists():
        progress("decoder: sorting the look-ups of the long-term layers")
        model, tokenizer = start_decoder(seed)
        decoder = PackedDecoder(model)
        decoder.load_state_dict(torch.load(run / f"{SYNTHETIC.name}.pt", weights_only=False)["decoder"])
        align(decoder, Packer(tokenizer, source), SYNTHETIC.layers, seed)
        save_state(sorted_file, decoder=decoder.state_dict())
    before = sorted_file
    for stage, share in ((REAL, SHARES[1]), (GROWN, SHARES[2])):
        progress(f"{stage.name}: {len(stage.layers)} layers, on the tower's own features")
        before = train_decoder(run, stage, minutes * share, seed, source, before)
    model, tokenizer = assemble(run, seed)
    save(out, model, tokenizer, ABOUT)
    for name in ("vision", SYNTHETIC.name, REAL.name, GROWN.name):
        shutil.copyfile(run / f"{name}.jsonl", out / f"training_{name}.jsonl")
    progress(f"wrote {out}")
    return out


def last_line(path: Path) -> str:
    """The newest line of a log, as text for people."""
    if not path.exists():
        return ""
    lines = path.read_text(encoding="utf-8").splitlines()
    return ", ".join(f"{k} {v}" for k, v in json.loads(lines[-1]).items()) if lines else ""
