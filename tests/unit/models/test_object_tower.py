"""The object tower: EfficientNet-Lite0 as its package computes it, the readout, and its place in LLaVA-OneVision."""

from __future__ import annotations

import itertools
import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import preloaded
import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel

from hermes.backbones.object_tower import ObjectTower, ObjectTowerConfig, Sighting
from hermes.backbones.object_tower.modeling import SameConv
from hermes.errors import HermesError
from hermes.pocket.packing import IGNORED, Plan
from hermes.things.bank import Features, Material, Scenes, encode_scenes, render_scenes
from hermes.things.convert import fold_weights, tower_config
from hermes.things.gpu.parallel_scenes import render_in_parallel
from hermes.things.gpu.tune_tower import augment, interpolate, mirror, tune
from hermes.things.model import build, pool_locations
from hermes.things.objects import NAMES, OBJECTS
from hermes.things.pictures import NOTHING, read_shipped
from hermes.things.sources import CodeSource, SeenSource
from hermes.things.timeline import TEMPOS
from hermes.things.train import encode_bank
from hermes.things.train_tower import (
    PHASES,
    ReadoutData,
    cover_target,
    frame_answers,
    measure_readout,
    sighting_loss,
    train_readout,
)
from hermes.worlds.timeline import PLACES


def small_config() -> ObjectTowerConfig:
    groups = [-1] * 1000
    groups[3], groups[7], groups[8] = 0, 1, 1
    return ObjectTowerConfig(object_names=["dog", "cup"], class_to_object=groups)


@pytest.fixture(scope="module")
def tower() -> ObjectTower:
    torch.manual_seed(0)
    return ObjectTower(small_config()).eval()


def test_it_is_registered_with_transformers(tower: ObjectTower, tmp_path: Path) -> None:
    tower.save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(config, ObjectTowerConfig)
    assert config.hidden_size == 2 + 9 + 1 + 49
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    pixels = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.allclose(loaded(pixels).last_hidden_state, tower(pixels).last_hidden_state, atol=1e-5)


REFERENCE = Path(__file__).parents[2] / "data" / "efficientnet_lite0.json"


def reference_pixels() -> Tensor:
    """Return a picture of waves, the same on every machine, float32 [1, 3, 224, 224], -1 to 1."""
    y, x = np.mgrid[0:224, 0:224] / 224
    waves = [np.sin(2 * np.pi * (3 * x + k * y)) * np.cos(2 * np.pi * (k * x - 2 * y)) for k in range(3)]
    return torch.tensor(np.stack(waves)[None], dtype=torch.float32)


def reference_weights(names: list[tuple[str, list[int]]]) -> dict[str, Tensor]:
    """Return random weights with the package's names, the same on every machine."""
    found = {}
    for index, (name, shape) in enumerate(names):
        values = np.random.default_rng([7, index]).standard_normal(shape)
        if name.endswith("running_var"):
            values = 1 + 0.5 * np.tanh(values)
        elif "_bn" in name and name.endswith(".weight"):
            values = 1 + 0.1 * values
        elif name.endswith((".bias", "running_mean")):
            values = 0.1 * values
        else:
            values = values * (2 / np.prod(shape[1:])) ** 0.5
        found[name] = torch.tensor(values, dtype=torch.float32)
    return found


def test_the_tower_equals_the_package() -> None:
    """Values recorded from `efficientnet-lite-pytorch` 0.1.0 with random weights."""
    expected = json.loads(REFERENCE.read_text())
    tower = ObjectTower(small_config()).eval()
    missing, unknown = tower.load_state_dict(fold_weights(reference_weights(expected["weights"])), strict=False)
    assert not unknown
    assert all(name.startswith("readout.") for name in missing)
    with torch.inference_mode():
        features = tower.features(reference_pixels())
        scores = tower.readout.classifier(features.mean(1))[0]
    assert features.shape == (1, 49, 1280)
    wanted = torch.tensor(expected["features"])
    torch.testing.assert_close(features[0, expected["location"], expected["channels"]], wanted, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(scores[expected["classes"]], torch.tensor(expected["scores"]), atol=1e-3, rtol=1e-3)


def test_the_state_encodes_object_and_place(tower: ObjectTower) -> None:
    with torch.inference_mode():
        state = tower(torch.randn(2, 3, 224, 224)).last_hidden_state
    assert state.shape == (2, 49, 61)
    shown = 1 - state[..., 11]
    assert torch.allclose(state[..., :2].sum(-1), shown, atol=1e-5)
    assert torch.allclose(state[..., 2:11].sum(-1), shown, atol=1e-5)
    assert torch.equal(state[0, :, 12:], torch.eye(49))


def test_convolutions_pad_like_tensorflow() -> None:
    """Stride 2 on an even size pads only at the end; on an odd size on both sides."""
    conv = SameConv(1, 1, 3, 2)
    with torch.no_grad():
        conv.weight.fill_(1)
        conv.bias.zero_()
        even = conv(torch.ones(1, 1, 4, 4))[0, 0]
        odd = conv(torch.ones(1, 1, 5, 5))[0, 0]
    assert even.tolist() == [[9, 6], [6, 4]]
    assert odd.tolist() == [[4, 6, 4], [6, 9, 6], [4, 6, 4]]


def test_folded_batch_norm_computes_the_same() -> None:
    torch.manual_seed(1)
    conv = torch.nn.Conv2d(4, 6, 1, bias=False)
    norm = torch.nn.BatchNorm2d(6, eps=1e-3).eval()
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.normal_()
        norm.running_var.uniform_(0.5, 2)
    weights = {"_fc.weight": torch.zeros(1), "_fc.bias": torch.zeros(1)}
    for name in ("_conv_stem", "_conv_head"):
        weights[f"{name}.weight"] = conv.weight.data
    for name in ("_bn0", "_bn1"):
        weights |= {f"{name}.{key}": value for key, value in norm.state_dict().items()}
    folded = fold_weights(weights)
    x = torch.randn(2, 4, 3, 3)
    ours = torch.nn.functional.conv2d(x, folded["features.stem.weight"], folded["features.stem.bias"])
    assert torch.allclose(ours, norm(conv(x)), atol=1e-5)


def test_a_doubtful_object_does_not_count_as_shown() -> None:
    objects = torch.tensor([[[0.9, 0.1], [0.5, 0.5]]]).log()
    seen = Sighting(objects, torch.zeros(1, 2, 9), torch.tensor([[5.0, 5.0]]))
    assert (seen.shown(0.35) > 0.9).all()
    assert (seen.shown(0.7) > 0.5).tolist() == [[True, False]]


def test_classes_are_grouped_by_object() -> None:
    config = tower_config()
    assert config.object_names == list(NAMES)
    for index, item in enumerate(OBJECTS):
        assert {number for number, found in enumerate(config.class_to_object) if found == index} == set(item.imagenet)


def test_a_third_of_a_location_counts_as_covered() -> None:
    cover = torch.zeros(3, 49)
    cover[0, :3] = torch.tensor([1.0, 0.33, 0.165])
    cover[1, 5] = 0.05  # the most covered location of a small object
    found = cover_target(cover)
    assert torch.allclose(found[0, :3], torch.tensor([1.0, 1.0, 0.5]))
    assert found[1, 5] == 1
    assert found[2].sum() == 0


def perfect(label: Tensor, place: Tensor, cover: Tensor, sharp: float) -> Sighting:
    shape = (len(label), 49)
    objects = torch.full((*shape, 2), -sharp).scatter(-1, label.clamp(min=0)[:, None, None].expand(*shape, 1), 0.0)
    places = torch.full((*shape, 9), -sharp).scatter(-1, place[:, None, None].expand(*shape, 1), 0.0)
    return Sighting(objects.log_softmax(-1), places.log_softmax(-1), (2 * cover - 1) * sharp)


def test_the_loss_decreases_for_correct_predictions_and_ignores_objects_of_empty_frames() -> None:
    label, place = torch.tensor([0, 1, NOTHING]), torch.tensor([4, 8, 0])
    cover = torch.zeros(3, 49)
    cover[0, 24] = cover[1, 48] = 1
    right, _ = sighting_loss(perfect(label, place, cover, 4.0), label, place, cover)
    other, _ = sighting_loss(perfect(1 - label.clamp(min=0), place, cover, 4.0), label, place, cover)
    assert right < other
    shown, objects, places = frame_answers(perfect(label, place, cover, 4.0), 0.35)
    assert (shown > 0.4).tolist() == [True, True, False]
    assert objects.argmax(-1)[:2].tolist() == [0, 1]
    assert places.argmax(-1)[:2].tolist() == [4, 8]


@pytest.fixture(scope="module")
def material() -> Material:
    cutouts, photographs = read_shipped()
    return Material([cutout for cutout in cutouts if cutout.label < 2], photographs)


@pytest.fixture(scope="module")
def scenes(material: Material) -> Scenes:
    return render_scenes(np.random.default_rng(2), material, 12)


def test_processes_render_what_one_process_renders(material: Material) -> None:
    preloaded.context()
    some = Material(material.cutouts[:2], material.backgrounds[:2])
    alone = [render_scenes(np.random.default_rng([5, 21, number]), some, 2) for number in range(3)]
    together = render_in_parallel(some, 5, seed=5, workers=2, batch=2)
    for field in fields(Scenes):
        assert torch.equal(getattr(together, field.name), torch.cat([getattr(part, field.name) for part in alone]))


def test_a_process_that_cannot_render_is_an_error() -> None:
    preloaded.context()
    with pytest.raises(HermesError, match="ended early"):
        render_in_parallel(Material([], []), 2, seed=5, workers=1, batch=2)


@pytest.fixture(scope="module")
def bank(tower: ObjectTower, scenes: Scenes) -> Features:
    return encode_scenes(tower.features, scenes)


def test_shards_contain_the_rendered_scenes(bank: Features) -> None:
    assert bank.features.shape[2:] == (49, 1280)
    assert set(bank.label.tolist()) <= {NOTHING, 0, 1}
    empty = bank.label == NOTHING
    assert bank.cover[empty].sum() == 0
    assert (bank.cover[~empty].amax((1, 2)) > 0).all()


def test_the_readout_learns_its_frames(bank: Features, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tower = ObjectTower(small_config()).eval()
    data = ReadoutData(bank, tower)
    before = tower.features.stem.weight.clone()
    lines: list[str] = []
    phases = [replace(phase, steps=20) for phase in PHASES]
    train_readout(tmp_path, tower, data, 0, lines.append, phases)
    assert torch.equal(before, tower.features.stem.weight)
    log = [json.loads(line) for line in (tmp_path / "tower.jsonl").read_text().splitlines()]
    assert log[-1]["place"] < np.log(9)
    assert measure_readout(tower, data).keys() >= {"named", "placed"}
    fresh = ObjectTower(small_config()).eval()
    train_readout(tmp_path, fresh, data, 0, lines.append)  # trained before: only read
    assert torch.equal(fresh.readout.place.weight, tower.readout.place.weight)


def test_tuning_changes_everything_but_the_classifier_of_imagenet(scenes: Scenes, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tower = ObjectTower(small_config()).eval()
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    seconds = itertools.count()  # one second per step
    after = tune(tmp_path, tower, scenes, 4.0, 0, lambda _: None, batch=4, timer=lambda: float(next(seconds)))
    same = {name for name, value in before.items() if torch.equal(value, after[name])}
    assert same == {"readout.classifier.weight", "readout.classifier.bias"}
    half = interpolate(before, after, 0.5)
    name = "features.stem.weight"
    torch.testing.assert_close(half[name], (before[name] + after[name]) / 2)
    assert all(torch.equal(value, tower.state_dict()[name]) for name, value in interpolate(before, after, 1.0).items())


def test_mirroring_moves_pixels_places_and_covers_together() -> None:
    torch.manual_seed(1)
    cover = torch.zeros(16, 49)
    cover[:, 7 * 3] = 1  # left column, middle row
    pixels = torch.zeros(16, 3, 224, 224)
    pixels[:, :, 112, 0] = 1
    moved, place, covered = mirror(pixels, torch.full((16,), PLACES.index("left")), cover)
    right = place == PLACES.index("right")
    assert 0 < right.sum() < 16
    assert torch.equal(moved[:, 0, 112, -1] == 1, right)
    assert torch.equal(covered[:, 7 * 3 + 6] == 1, right)
    assert set(place.tolist()) == {PLACES.index("left"), PLACES.index("right")}


def test_augmented_frames_stay_in_range_and_differ() -> None:
    pixels = torch.rand(4, 3, 224, 224) * 2 - 1
    found = augment(pixels)
    assert found.shape == pixels.shape
    assert found.min() >= -1
    assert found.max() <= 1
    assert not torch.allclose(found, pixels, atol=0.05)


@pytest.mark.parametrize(("bias", "empty"), [(9.0, False), (-9.0, True)])
def test_frames_for_the_decoder_are_labelled_with_what_the_tower_recognises(
    bank: Features, bias: float, *, empty: bool
) -> None:
    model, _ = build()
    tower: ObjectTower = model.model.vision_tower
    tower.config.doubt = -1.0  # an untrained readout is never sure
    with torch.no_grad():
        tower.readout.cover[-1].bias.fill_(bias)
    source = encode_bank(model, bank)
    label = torch.full((1, 2, 3), -1).numpy()
    tokens, cover = source.frames(np.random.default_rng(0), label, label[..., 0])
    assert tokens.shape == (1, 2, 16, 128)
    assert (source.scenes_of(NOTHING, 0) == len(bank.label)) == empty
    assert cover.max() < 0.01
    found = sum(source.scenes_of(name, place) for name in range(len(NAMES)) for place in range(9))
    assert found == (0 if empty else len(bank.label))


def test_codes_and_seen_frames_have_the_shape_of_tokens() -> None:
    rng = np.random.default_rng(0)
    labels = np.full((2, 4, 3), -1)
    event = np.array([[-1, 0, 0, 1], [0, 0, -1, -1]])
    labels[event >= 0] = (3, 0, 4)
    tokens, cover = CodeSource().frames(rng, labels, event)
    assert tokens.shape == (2, 4, 16, 128)
    assert ((cover.amax(-1) > 0).numpy() == (event >= 0)).all()
    seen = SeenSource(
        torch.arange(3.0)[:, None, None, None].expand(-1, 1, 16, 128).half(), torch.ones(3, 1, 16).half(),
        torch.tensor([NOTHING, 3, 3]), torch.tensor([0, 4, 4]), doubt=0.0,
    )  # fmt: skip
    tokens, _ = seen.frames(rng, labels, event)
    assert (tokens[0, 0] == 0).all()
    assert (tokens[0, 1] == tokens[0, 2]).all(), "one scene for one event"
    assert set(tokens[0, 1].unique().tolist()) <= {1.0, 2.0}


def test_pooling_is_that_of_a_video_frame() -> None:
    from transformers.models.llava_onevision.modeling_llava_onevision import LlavaOnevisionModel  # noqa: PLC0415

    class Fixed:
        class config:  # noqa: N801
            class vision_config:  # noqa: N801
                image_size, patch_size = 224, 32

    features = torch.randn(2, 49, 5)
    theirs = LlavaOnevisionModel.apply_pooling(Fixed, features)  # type: ignore[arg-type]
    assert torch.allclose(pool_locations(features), theirs, atol=1e-6)


def test_plans_of_objects_pack(tower: ObjectTower) -> None:  # noqa: ARG001
    from hermes.things.packing import ObjectPacker  # noqa: PLC0415
    from hermes.things.tokenizer import build_tokenizer  # noqa: PLC0415

    packer = ObjectPacker(build_tokenizer(), CodeSource())
    batch = packer.make(np.random.default_rng(0), Plan(2, 12, 4, 6, TEMPOS["dense"]))
    assert batch.tokens.shape == (2, 48, 128)
    assert batch.previous[..., 0].max() <= len(NAMES)
    answered = (batch.target != IGNORED).any(-1)
    assert answered.sum() >= 10
