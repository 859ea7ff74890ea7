"""Training from scratch in seconds: the loss decreases, training can be resumed, and the written folder loads."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoTokenizer, LlavaOnevisionForConditionalGeneration

from hermes.cards.timeline import TEMPOS
from hermes.pocket import train as pocket_train
from hermes.pocket.bank import BankSource, keep_bank, make_bank, open_bank
from hermes.pocket.codes import cell_cover, code_book
from hermes.pocket.decoder import FIRST_LAYERS, SINK, PackedDecoder, answer_loss, count_loss, draw_lives, old_share
from hermes.pocket.model import LAYERS, TOKENS, WIDTH, build, save
from hermes.pocket.packing import FOREVER, IGNORED, Packer, Plan
from hermes.pocket.sources import SyntheticSource
from hermes.pocket.train import ABOUT, Job, train
from hermes.pocket.train_decoder import start_decoder
from hermes.pocket.train_vision import encode, make_backgrounds, make_pictures, to_pixel_values

PLAN = Plan(4, 8, 2, 6, TEMPOS["dense"])


SHORT = 0.005
"""Minutes of training: every stage takes at least one step."""
STAGES = ("SYNTHETIC", "REAL", "GROWN", "LONG", "SETTLED")


@pytest.fixture
def few_backgrounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hermes.pocket.bank.BACKGROUNDS", 8)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every stage batches of few streams or frames, and those of the last stages questions that count."""
    monkeypatch.setattr("hermes.pocket.train_vision.BATCH", 12)
    for name in STAGES:
        plan = Plan(4, 12, 2, 6, TEMPOS["dense"], whole=name in STAGES[3:])
        monkeypatch.setattr(pocket_train, name, replace(getattr(pocket_train, name), course=((0.0, (plan,)),)))


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in this process what would run in parallel: starting two more processes takes ten seconds."""

    def one_after_the_other(
        run: Path, minutes: float, seed: int, begin: Path | None, jobs: tuple[Job, ...], *_: object
    ) -> None:
        for job in jobs:
            assert pickle.dumps(job), "another process can run it"
            job(run, minutes, seed, begin)

    monkeypatch.setattr(pocket_train, "_side_by_side", one_after_the_other)


@pytest.fixture(scope="module")
def started() -> tuple[LlavaOnevisionForConditionalGeneration, Packer]:
    torch.set_num_threads(1)
    model, tokenizer = start_decoder(0)
    return model, Packer(tokenizer, SyntheticSource())


def test_codes_are_apart_from_each_other() -> None:
    book = code_book()
    rows = torch.cat([book.colour, book.shape, book.place, book.token, book.empty[None]])
    gram = rows @ rows.T
    assert torch.allclose(gram, torch.diag(gram.diagonal()), atol=1e-3)


def test_cover_marks_the_cells_of_the_card() -> None:
    mask = torch.zeros(2, 128, 128)
    mask[0, :32, :32] = 1
    mask[0, 100:104, 100:104] = 1
    cover = cell_cover(mask)
    assert cover[0, 0] == 1
    assert 0 < cover[0, 15] < 0.2
    assert not cover[1].any()


def test_the_packed_pass_is_the_model_itself(started: tuple[LlavaOnevisionForConditionalGeneration, Packer]) -> None:
    """With everything visible and every token kept, a packed question gets the logits of transformers' own forward pass."""
    model, packer = started
    batch = packer.make(np.random.default_rng(3), Plan(2, 3, TOKENS, 4, TEMPOS["dense"]))
    lives = [torch.full_like(batch.token_frame, FOREVER) for _ in range(LAYERS)]
    with torch.no_grad():
        packed, _, _ = PackedDecoder(model)(batch, lives, range(LAYERS))
        for question in range(4):
            seen = int(batch.asked_frame[0, question] + 1) * TOKENS
            embed = model.model.language_model.embed_tokens
            parts = [embed(batch.head), batch.tokens[0, :seen], embed(batch.words[0, question])]
            inputs = torch.cat(parts)[None]
            expected = model(inputs_embeds=inputs).logits[0, -batch.words.shape[2] :]
            asked = batch.target[0, question] != IGNORED
            assert torch.allclose(packed[0, question][asked], expected[asked], atol=1e-3)


def test_token_dropping_keeps_original_positions(
    started: tuple[LlavaOnevisionForConditionalGeneration, Packer],
) -> None:
    _, packer = started
    batch = packer.make(np.random.default_rng(5), PLAN)
    head = len(batch.head)
    assert ((batch.token_position - head) // TOKENS == batch.token_frame).all()
    assert (batch.token_position.diff(dim=1) > 0).all()
    assert (batch.word_position[..., 0] == head + TOKENS * (batch.asked_frame + 1)).all()


def test_stretched_streams_leave_gaps(started: tuple[LlavaOnevisionForConditionalGeneration, Packer]) -> None:
    _, packer = started
    batch = packer.make(np.random.default_rng(5), Plan(4, 8, 2, 6, TEMPOS["dense"], stretch=40))
    assert (batch.token_position.diff(dim=1) > 0).all()
    assert batch.token_position.max() > len(batch.head) + TOKENS * 8


def test_the_sensory_layer_sees_only_the_newest_frames(
    started: tuple[LlavaOnevisionForConditionalGeneration, Packer],
) -> None:
    _, packer = started
    batch = packer.make(np.random.default_rng(2), Plan(8, 40, 2, 6, TEMPOS["dense"]))
    lives = draw_lives(np.random.default_rng(2), batch, 0.5)
    windowed = lives[0].amax(1) < FOREVER
    assert 0 < windowed.sum() < 8, "some streams are seen whole"
    assert lives[0][windowed].max() <= 4
    assert (lives[9] == FOREVER).float().mean() > 0.5


def test_only_streams_seen_whole_are_counted(
    started: tuple[LlavaOnevisionForConditionalGeneration, Packer],
) -> None:
    _, packer = started
    whole = packer.make(np.random.default_rng(4), Plan(4, 24, 2, 12, TEMPOS["dense"], whole=True))
    assert whole.counting.any()
    assert all((life == FOREVER).all() for life in draw_lives(np.random.default_rng(2), whole, 0.9))
    assert not packer.make(np.random.default_rng(4), Plan(4, 24, 2, 12, TEMPOS["dense"])).counting.any()
    none = whole.evidence.shape[-1] - 1
    for row, column in zip(*whole.counting.nonzero(as_tuple=True), strict=True):
        question, counted = whole.questions[row][column], int((whole.evidence[row, column] > 0).sum())
        assert question.answer == (f"{counted}." if counted < 10 else "More than 9.")
    first_frames = (whole.starts < none).view(4, 24, 2)
    assert torch.equal(first_frames[..., 0], first_frames[..., 1]), "a card begins in a frame, not in a token"


def test_counting_targets_equal_attention_on_every_counted_card(
    started: tuple[LlavaOnevisionForConditionalGeneration, Packer],
) -> None:
    _, packer = started
    batch = packer.make(np.random.default_rng(4), Plan(1, 24, 2, 12, TEMPOS["dense"], kinds=("count",), whole=True))
    events, tokens = batch.evidence.shape[-1], batch.starts.shape[1]
    wanted = torch.zeros(1, 12, batch.look.shape[-1], tokens)
    for question in range(12):
        counted = batch.evidence[0, question, : events - 1].nonzero().flatten().tolist()
        for event in counted:
            here = batch.starts[0] == event
            wanted[0, question][:, here] = 1 / (len(counted) + SINK) / int(here.sum())
    assert count_loss(wanted.flatten(1, 2), batch).item() == pytest.approx(0, abs=1e-4)
    assert count_loss(0.5 * wanted.flatten(1, 2), batch).item() > 0.01
    assert count_loss(torch.zeros(1, 12 * batch.look.shape[-1], tokens), batch).item() > 0.1


def test_attention_on_old_frames_is_its_share() -> None:
    weights = torch.tensor([[[0.1, 0.3], [0.0, 0.2]]])  # two words of one question, two frame tokens
    old = torch.tensor([[[True, False]]])
    assert old_share(weights, old).item() == pytest.approx((0.25 + 0) / 2)


def test_one_batch_can_be_learned() -> None:
    model, tokenizer = start_decoder(1)
    packer = Packer(tokenizer, SyntheticSource())
    decoder = PackedDecoder(model)
    batch = packer.make(np.random.default_rng(0), PLAN)
    lives = draw_lives(np.random.default_rng(0), batch, 0.2)
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=2e-3)
    losses = []
    for _ in range(25):
        logits, previous, looking = decoder(batch, lives, FIRST_LAYERS)
        loss, right = answer_loss(logits, batch)
        optimiser.zero_grad()
        (loss + 0.1 * previous + 0.1 * looking).backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert right.float().mean() > 0.3


def test_batches_are_the_same_from_the_same_seed(
    started: tuple[LlavaOnevisionForConditionalGeneration, Packer],
) -> None:
    _, packer = started
    first, second = (packer.make(np.random.default_rng(9), PLAN) for _ in range(2))
    assert torch.equal(first.tokens, second.tokens)
    assert torch.equal(first.words, second.words)
    assert torch.equal(first.target, second.target)


@pytest.mark.usefixtures("few_backgrounds")
def test_the_bank_gives_frames_of_the_class_that_is_asked_for(tmp_path: Path) -> None:
    model, _ = build(0, layers=1)
    bank = make_bank(model, 0, each=1, empty=4, takes=2)
    keep_bank(tmp_path / "bank.pt", bank)
    source = BankSource(open_bank(tmp_path / "bank.pt"))
    labels = np.full((1, 6, 3), -1, np.int64)
    labels[0, 2:5] = (3, 1, 7)
    event = np.array([[-1, -1, 0, 0, 0, -1]])
    tokens, cover = source.frames(np.random.default_rng(0), labels, event)
    assert tokens.shape == (1, 6, TOKENS, WIDTH)
    scene = int(bank.first[7 + 9 * (1 + 5 * 3)])
    takes = bank.tokens[scene].float()
    for frame in range(2, 5):
        assert any(torch.equal(tokens[0, frame], takes[take]) for take in range(2))
    assert cover[0, 2:5].amax(1).min() > 0.9
    assert not cover[0, [0, 1, 5]].any()


def test_a_saved_folder_loads_and_sees_the_same(tmp_path: Path) -> None:
    model, tokenizer = build(3)
    save(tmp_path, model, tokenizer, ABOUT)
    assert AutoConfig.from_pretrained(tmp_path).text_config.num_hidden_layers == LAYERS
    again = LlavaOnevisionForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.float32).eval()
    pictures = make_pictures(np.random.default_rng(0), make_backgrounds(0, 3), 2)
    values = to_pixel_values(pictures.pixels)
    with torch.no_grad():
        ours, _ = encode(model, values)
        theirs = again.model.get_video_features(values[None], vision_feature_layer=-1).pooler_output[0, :-1]
    assert torch.allclose(ours.flatten(0, 1), theirs, atol=0.02)
    assert AutoTokenizer.from_pretrained(tmp_path)("red circle")["input_ids"] == tokenizer("red circle")["input_ids"]
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) < 10e6


def test_jobs_run_in_parallel_and_a_failure_ends_the_training(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Jobs of the standard library, because each process of a real one imports torch.
    (tmp_path / "log.jsonl").write_text('{"step": 3}\n')
    lines: list[str] = []
    pocket_train._side_by_side(tmp_path, 0.5, 7, None, (print, print), ("log",), lines.append)  # type: ignore[arg-type]
    assert capfd.readouterr().out.splitlines() == [f"{tmp_path} 0.5 7 None"] * 2
    assert set(lines) == {"log: step 3"}
    with pytest.raises(RuntimeError, match="A training process failed"):
        pocket_train._side_by_side(tmp_path, 0.5, 7, None, (print, dict), (), lines.append)  # type: ignore[arg-type]
    assert "TypeError" in capfd.readouterr().err


@pytest.mark.usefixtures("one_process", "small_batches", "few_backgrounds")
def test_a_short_training_writes_a_folder_that_loads_and_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hermes.pocket.align.SAMPLES", 5)  # batches
    lines: list[str] = []
    train(tmp_path / "run", tmp_path / "out", SHORT, 0, lines.append)
    for name in ("vision", "decoder", "real", "grown", "long", "settled"):
        assert (tmp_path / "out" / f"training_{name}.jsonl").exists()
    model = LlavaOnevisionForConditionalGeneration.from_pretrained(tmp_path / "out")
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert json.loads((tmp_path / "out" / "hermes.json").read_text())["suggested"]
    steps = torch.load(tmp_path / "run" / "decoder.pt", weights_only=False)["step"]
    train(tmp_path / "run", tmp_path / "out", SHORT, 0, lines.append)
    assert torch.load(tmp_path / "run" / "decoder.pt", weights_only=False)["step"] == steps, "nothing was left to do"


@pytest.mark.usefixtures("one_process", "small_batches", "few_backgrounds")
def test_a_trained_model_is_trained_further(tmp_path: Path) -> None:
    model, tokenizer = build(3)
    save(tmp_path / "before", model, tokenizer, ABOUT)
    (tmp_path / "before" / "training_vision.jsonl").write_text("{}\n")
    train(tmp_path / "run", tmp_path / "out", SHORT, 0, list[str]().append, tmp_path / "before")
    for name in ("vision", "refined_vision", "long", "settled"):
        assert (tmp_path / "out" / f"training_{name}.jsonl").exists(), "logs of earlier stages are kept"
    again = LlavaOnevisionForConditionalGeneration.from_pretrained(tmp_path / "out", dtype=torch.float32)
    for name, before in model.state_dict().items():
        if name.endswith("q_proj.weight"):
            after = again.state_dict()[name]
            assert not torch.equal(before, after), f"{name} was trained"
            assert (after - before).norm() < 0.5 * before.norm(), f"{name} began where it was"
