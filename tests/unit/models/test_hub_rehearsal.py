"""Every listed model, from a folder with the real repository's files and tiny random weights."""

from __future__ import annotations

import json

import hub_folders
import numpy as np
import pytest
import torch
from invariants import check_answer, check_memory
from patience import until
from videos import write_video

import hermes
from hermes.backbones.catalogue import CATALOGUE
from hermes.backbones.families import unused_weights
from hermes.backbones.sources import ModelError, count_weights
from hermes.cli import main
from hermes.serving.engine import Engine, StreamSettings
from ui.player.source import Source
from ui.settings.model_loader import ModelLoader
from ui.visitors.visitor import Visitor

REPOSITORIES = hub_folders.repositories()
FIRST_OF_FAMILY = [next(iter(json.loads(path.read_text())["models"])) for path in sorted(hub_folders.RECORDS.iterdir())]
QUESTION = "What happened?"
BUDGET = 300


@pytest.fixture
def make(tmp_path):
    """Builds the folder of a repository: `make(id)` -> folder, weights."""

    def build(name):
        return tmp_path, hub_folders.build(REPOSITORIES[name], tmp_path)

    return build


@pytest.fixture
def clip(tmp_path_factory):
    """A clip of two seconds."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.avi", frames=30, fps=15)


def test_every_listed_model_is_recorded():
    assert {model.id for model in CATALOGUE} <= set(REPOSITORIES)


@pytest.mark.parametrize("listed", CATALOGUE, ids=lambda model: model.id)
def test_records_agree_with_the_catalogue(listed):
    recorded = REPOSITORIES[listed.id].model["config"]
    text, vision = recorded.get("text_config", recorded), recorded["vision_config"]
    differing = [
        (key, value, part[key])
        for expected, part in ((listed.text, text), (listed.vision, vision))
        for key, value in expected.items()
        if key in part and part[key] != value
    ]
    assert not differing
    assert listed.family == recorded["model_type"]


@pytest.mark.parametrize("name", REPOSITORIES)
def test_a_repository_loads_streams_answers_and_resumes(make, noise, name):
    folder, weights = make(name)
    assert {path.name for path in folder.iterdir()} == REPOSITORIES[name].names
    model = hermes.load(folder, device="cpu")
    loaded = model.model.state_dict()
    assert all(torch.equal(loaded[key].float(), tensor.float()) for key, tensor in weights.items())
    counted = count_weights(folder, unused_weights(model.family))
    assert counted == sum({tensor.data_ptr(): tensor.numel() for tensor in loaded.values()}.values())
    family = REPOSITORIES[name].family
    assert model.head_text() + "{video}" + model.tail_text("{question}") == family["prompt"]
    assert model.tokenizer.convert_tokens_to_ids(family["end_of_turn"]) in model.stop_ids
    session = hermes.StreamSession(model, budget=BUDGET, chunk=4)
    frames, times = noise(6, 120, 160)
    for start in range(0, 60, 3):  # frames have few tokens in some families
        session.push(frames, start + times)
        if len(session.snapshot().evictions):
            break
    snapshot = session.snapshot()
    assert len(snapshot.evictions)
    check_memory(snapshot, model.max_positions, model.axes)
    session.save(folder / "session.hermes")
    answer = "".join(session.ask(QUESTION, max_new_tokens=3))
    check_answer(session.snapshot(), answer, QUESTION)
    resumed = hermes.StreamSession.load(folder / "session.hermes", model)
    assert "".join(resumed.ask(QUESTION, max_new_tokens=3)) == answer
    np.testing.assert_array_equal(resumed.snapshot().kept, snapshot.kept)


@pytest.mark.parametrize("name", FIRST_OF_FAMILY)
def test_a_repository_answers_on_the_command_line_and_on_the_page(make, clip, capsys, name):
    folder, _ = make(name)
    (folder / "hermes.json").write_text(json.dumps({"max_new_tokens": 3}))
    arguments = ["--model", str(folder), "--question", QUESTION, "--fps", "2", "--budget", str(BUDGET), "--json"]
    assert main(["ask", str(clip), *arguments]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frames_seen"] > 0
    assert report["model"] == folder.name

    engine = Engine()
    visitor = Visitor(
        StreamSettings(model=str(folder), budget=BUDGET, speed=4.0), ModelLoader(engine), {}, hermes.POLICIES
    )
    try:
        visitor.start(Source("upload", str(clip), clip, "A film"), until=1.9)  # skips no frame of a slow model
        until(lambda: visitor.poll(None, -1)[0]["frames"] >= 2, lambda: str(visitor.poll(None, -1)[0]))
        last = list(visitor.ask(QUESTION))[-1]["turns"][-1]
        assert last["state"] == "done"
    finally:
        visitor.close()
        engine.close()


def test_a_folder_without_some_weights_is_refused(make):
    """transformers would initialise them at random."""
    folder, _ = make("HuggingFaceTB/SmolVLM2-256M-Video-Instruct")
    weights = hub_folders.load_file(folder / "model.safetensors")
    del weights["model.connector.modality_projection.proj.weight"]
    hub_folders.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 weights are missing, such as model\.connector"):
        hermes.load(folder, device="cpu")
