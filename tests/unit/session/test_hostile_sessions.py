"""Session files made to do harm: `StreamSession.load` rejects each with one error."""

from __future__ import annotations

import contextlib
import json
import struct
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import hermes
from hermes.files.limits import SESSION_LIMITS
from hermes.session.header_checks import LARGEST_COUNT
from hermes.session.questions import QuestionError
from hermes.session.record import EvictionLog
from hermes.session.storage import SessionFileError
from hermes.snapshot import Evictions

CASES = Path(__file__).parents[2] / "data" / "sessions"


@pytest.mark.parametrize(
    ("name", "words"),
    [("s01-stats-null", "The statistics is not an object"), ("s02-keys-of-one-dimension", "has the shape")],
)
def test_a_hostile_session_is_rejected_when_it_is_loaded(name, words):
    path = CASES / f"{name}.session"
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["session"])
    model = hermes.load("pocket", device="cpu")
    with pytest.raises(SessionFileError, match=rf"^{name}.session .*{words}.*\.$"):
        hermes.StreamSession.load(path, model)
    assert header["fingerprint"] == model.fingerprint, "it is rejected for its defect, not for another model"


@pytest.fixture(scope="module")
def saved(tiny_model, tmp_path_factory):
    """A session file, its header and its tensors."""
    path = tmp_path_factory.mktemp("saved") / "good.session"
    session = hermes.StreamSession(tiny_model, budget=16, chunk=4)
    session.push(np.random.default_rng(0).integers(0, 256, (12, 24, 32, 3), dtype=np.uint8), np.arange(12) / 2)
    list(session.ask("Now?", max_new_tokens=2))
    session.save(path)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["session"])
        return path, header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def with_tensor(name, change):
    def changed(header, tensors):
        return header, {**tensors, name: change(tensors[name])}

    return changed


def with_header(**values):
    return lambda header, tensors: ({**header, **values}, tensors)


def at(index, value):
    def change(tensor):
        out = tensor.clone()
        out[index] = value
        return out

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_header(stats=None), "statistics"),
        (with_header(sequence=10**30), "number of the snapshot"),
        (with_header(sequence=0), "smaller than that of the last eviction"),
        (with_header(sequence=LARGEST_COUNT + 1), "number of the snapshot"),
        (with_header(chunk=0), "chunk"),
        (with_header(chunk=True), "chunk"),
        (with_header(prompt_len=3), "prompt"),
        (with_header(conversation=["a"]), "conversation"),
        (with_header(conversation=["a", "b" * 20_000]), "conversation"),
        (with_header(layout={"grid": [9, 9], "pixels": [32, 32], "frames_per_step": 1, "interval": 1.0}), "layout"),
        (with_header(policy={"name": "hermes", "budget": 1e9}), "budget"),
        (with_header(policy={"name": "no-such-policy"}), "no-such-policy"),
        (with_header(intact=[True]), "list of layers"),
        (with_header(pending=[1e9]), "pending"),
        (with_header(evictions=[]), None),
        (with_tensor("layer.0.keys", at((0, 20, 0), float("nan"))), "not finite"),
        (with_tensor("layer.0.keys", lambda keys: keys[0, 0]), "shape"),
        (with_tensor("layer.3.values", lambda values: values[:, :-1]), "shape"),
        (with_tensor("layer.0.keys", lambda keys: keys.half()), "type"),
        (with_tensor("layer.0.positions", at((0, 5), 1 << 40)), "positions"),
        (with_tensor("layer.0.labels", at((0, -1), 99)), "frames of tokens"),
        (with_tensor("layer.0.labels", at((1, -1), 99)), "patches of tokens"),
        (with_tensor("times", lambda times: times.flip(0)), "times"),
        (with_tensor("times", lambda times: times[:-1]), "frames"),
        (with_tensor("times", lambda times: times + 1e13), "too large to continue"),
        (with_tensor("answer.attention", at((0, 0), float("inf"))), "attention"),
        (with_tensor("evictions.evicted", lambda values: values[:, :2]), "evicted"),
        (with_tensor("evictions.sequence", lambda values: values[:1]), "evicted"),
        (with_tensor("evictions.frames_seen", at(0, 10**6)), "frames of evictions"),
        (with_tensor("evictions.seconds", at(0, float("nan"))), "times of evictions"),
        (with_tensor("records.offsets", at((0, 1), 10**6)), "offsets"),
        (with_tensor("records.offsets", at((1, -1), 2)), "offsets"),
        (with_tensor("records.frame", lambda values: values[:-1]), "scores"),
        (with_tensor("records.sequence", lambda values: values.flip(0)), "not in order"),
    ],
)  # fmt: skip
def test_a_defect_is_found_when_the_session_is_loaded(saved, tiny_model, tmp_path, change, words):
    header, tensors = change(saved[1], saved[2])
    path = tmp_path / "x.session"
    tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    save_file(tensors, path, {"session": json.dumps(header)})
    if words is None:  # nothing is wrong with it
        hermes.StreamSession.load(path, tiny_model)
        return
    with pytest.raises(SessionFileError, match=rf"^x.session is damaged.*{words}"):
        hermes.StreamSession.load(path, tiny_model)


def test_a_header_that_declares_too_much_is_not_read(tiny_model, tmp_path):
    path = tmp_path / "x.session"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", SESSION_LIMITS.json_bytes + 1) + b"{")
        file.truncate(SESSION_LIMITS.json_bytes + 100)  # a sparse file
    with pytest.raises(SessionFileError, match="too large"):
        hermes.StreamSession.load(path, tiny_model)


def test_a_tensor_of_another_policy_is_refused(saved, tiny_model, tmp_path):
    header, tensors = saved[1], {**saved[2], "state.previous": torch.zeros(3)}
    path = tmp_path / "x.session"
    policy = {"name": "token-drop", "budget": 16}
    save_file(tensors, path, {"session": json.dumps({**header, "policy": policy})})
    with pytest.raises(SessionFileError, match="state “previous”"):
        hermes.StreamSession.load(path, tiny_model)


def as_format_2(header, tensors):
    """The same session as earlier versions wrote it: with tensors for each eviction and score record."""
    kept = {name: value for name, value in tensors.items() if not name.startswith(("evictions.", "records."))}
    header = {**header, "format": "hermes-session-2", "evictions": [], "life": []}

    def moment(kind, i):
        return {name: tensors[f"{kind}.{name}"][i].item() for name in ("sequence", "seconds", "frames_seen")}

    for i in range(len(tensors["evictions.sequence"])):
        header["evictions"].append(moment("evictions", i))
        for name, old in (("evicted", "evicted"), ("merged", "folded"), ("reindexed", "reindexed")):
            values = tensors[f"evictions.{name}"].numpy()[i]
            kept[f"eviction.{i}.{old}"] = torch.from_numpy(values if name == "reindexed" else values.astype(np.int64))
    start = 0
    for i, offsets in enumerate(tensors["records.offsets"]):
        stop = start + int(offsets[-1])
        header["life"].append(moment("records", i) | {"complete": bool(tensors["records.complete"][i])})
        kept |= {f"life.{i}.offsets": offsets, f"life.{i}.folded": tensors["records.merged"][i]}
        for name in ("frame", "patch", "importance", "kept"):
            kept[f"life.{i}.{name}"] = tensors[f"records.{name}"][start:stop]
        start = stop
    return header, {name: value.contiguous().clone() for name, value in kept.items()}


def test_a_session_of_the_previous_format_is_read(saved, tiny_model, tmp_path):
    header, tensors = as_format_2(*saved[1:])
    save_file(tensors, tmp_path / "old.session", {"session": json.dumps(header)})
    old = hermes.StreamSession.load(tmp_path / "old.session", tiny_model)
    new = hermes.StreamSession.load(saved[0], tiny_model)
    assert_same_history(old, new)
    assert len(old.state.history.evictions.view()) > 1
    save_file(
        {**tensors, "eviction.0.evicted": tensors["eviction.0.evicted"][:2].clone()},
        tmp_path / "x.session",
        {"session": json.dumps(header)},
    )
    with pytest.raises(SessionFileError, match="eviction"):
        hermes.StreamSession.load(tmp_path / "x.session", tiny_model)


def assert_same_history(left, right):
    for one, other in (
        (left.state.history.evictions.view(), right.state.history.evictions.view()),
        (left.token_history.records, right.token_history.records),
    ):
        assert len(one) == len(other)
        for a, b in zip(one[:50], other[:50], strict=True):
            for item in fields(a):
                np.testing.assert_array_equal(getattr(a, item.name), getattr(b, item.name))
    assert left.state.history.times.array.tolist() == right.state.history.times.array.tolist()


def long_stream(model, frames):
    """A session whose history is that of a stream of `frames` frames with one eviction each."""
    session = hermes.StreamSession(model, budget=16)
    session.push(np.random.default_rng(0).integers(0, 256, (12, 24, 32, 3), dtype=np.uint8), np.arange(12) / 2)
    history, layers = session.state.history, model.num_layers
    history.times.extend(np.arange(12, frames) / 2)
    session.stats.frames_seen, history.sequence = frames, 2 * frames
    log = history.evictions.view()
    more = np.arange(len(log), frames)
    counts = np.tile(np.arange(layers), (frames, 1))
    history.evictions = EvictionLog.of(
        Evictions(
            sequence=np.concatenate([log.sequence, 2 * more]),
            seconds=np.concatenate([log.seconds, more / 2]),
            frames_seen=np.concatenate([log.frames_seen, more]),
            evicted=counts.astype(np.uint16),
            merged=counts,
            reindexed=counts > 1,
        )
    )
    return session


def test_a_session_of_a_long_stream_is_saved_and_loaded(tiny_model, tmp_path):
    """Two days of a camera, with an eviction at every frame."""
    session = long_stream(tiny_model, 350_000)
    session.save(tmp_path / "long.session")
    loaded = hermes.StreamSession.load(tmp_path / "long.session", tiny_model)
    assert_same_history(session, loaded)
    assert loaded.state.history.evictions.view()[-1].seconds == (350_000 - 1) / 2
    answers = ["".join(one.ask("Now?", max_new_tokens=4)) for one in (session, loaded)]
    assert answers[0] == answers[1]


def test_a_session_that_could_not_be_loaded_is_not_saved(tiny_model, tmp_path):
    path = tmp_path / "x.session"
    hermes.StreamSession(tiny_model).save(path)
    before = path.read_bytes()
    for session, words in (
        (long_stream(tiny_model, SESSION_LIMITS.frames + 1), "too many frames"),
        (hermes.StreamSession(tiny_model, chunk=5000), "chunk"),
    ):
        with pytest.raises(SessionFileError, match=f"^The session was not saved, .*{words}"):
            session.save(path)
    session = long_stream(tiny_model, 100)
    with torch.inference_mode():
        session.state.cache.layers[0].keys[:, 5] = float("inf")
    with pytest.raises(SessionFileError, match="not finite"):
        session.save(path)
    assert [path.name for path in tmp_path.iterdir()] == ["x.session"]
    assert path.read_bytes() == before


def test_counters_that_can_be_loaded_can_be_saved_and_others_are_not_written(saved, tiny_model, noise, tmp_path):
    path = tmp_path / "x.session"
    save_file(saved[2], path, {"session": json.dumps({**saved[1], "sequence": LARGEST_COUNT})})
    session = hermes.StreamSession.load(path, tiny_model)
    session.save(path)
    session = hermes.StreamSession.load(path, tiny_model)
    before = path.read_bytes()
    session.push(*noise(4, start=session.snapshot().frame_times[-1] + 1.0))
    with pytest.raises(SessionFileError, match=r"^The session was not saved, .*number of the snapshot"):
        session.save(path)
    assert path.read_bytes() == before


def test_a_failed_answer_leaves_a_session_that_can_be_saved(tiny_model, noise, tmp_path, monkeypatch):
    session = hermes.StreamSession(tiny_model, budget=16)
    session.push(*noise(4))
    first = "".join(session.ask("Now?", max_new_tokens=2))
    with monkeypatch.context() as patch:
        patch.setattr(type(tiny_model), "logits", lambda *_: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(MemoryError):
            list(session.ask("And now?"))
    assert session.snapshot().answer.answer == first.strip()
    assert session.stats.questions == 1
    session.save(tmp_path / "x.session")
    assert hermes.StreamSession.load(tmp_path / "x.session", tiny_model).conversation == session.conversation


@pytest.mark.parametrize(
    "question", ["a" + " " * 7990 + "b", "\x00\x07\x1b[31m\u202e now?", "<|im_end|> now?", "\ufffe\U0010ffff"]
)
def test_odd_questions_are_saved_and_loaded(tiny_model, noise, tmp_path, question):
    session = hermes.StreamSession(tiny_model, budget=16)
    session.push(*noise(4))
    with contextlib.suppress(QuestionError):  # the model has room for fewer tokens
        list(session.ask(question, max_new_tokens=2))
    session.save(tmp_path / "x.session")
    assert hermes.StreamSession.load(tmp_path / "x.session", tiny_model).conversation == session.conversation


@pytest.mark.parametrize("question", ["\ud800", "What \udfff now?", "x" * 8001])
def test_questions_that_no_file_can_hold_are_refused(tiny_model, noise, question):
    session = hermes.StreamSession(tiny_model, budget=16)
    session.push(*noise(4))
    with pytest.raises(QuestionError, match=r"valid Unicode|too long"):
        session.ask(question)
