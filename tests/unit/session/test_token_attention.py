"""The attention of the single tokens of an answer, and the words that they write."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from damaged import with_part
from synthetic_stream import SyntheticStream, assert_same, recorded

import hermes
from hermes import trace
from hermes.analysis.words import Word, attention_of_word, words_of
from hermes.session import token_attention
from hermes.trace.block import pack, unpack
from hermes.trace.records import rounded_answer


def answered(model, noise, policy="hermes", tokens=12, **settings):
    session = hermes.StreamSession(model, policy, budget=40, **settings)
    session.push(*noise(40))
    text = "".join(session.ask("What now?", max_new_tokens=tokens))
    answer = session.snapshot().answer
    assert answer.answer == text.strip()
    return answer


@pytest.mark.parametrize("policy", ["hermes", "h2o"])  # heads that share their tokens, and heads that do not
@pytest.mark.parametrize("waiting", [1, 2**25])  # summed after every token, and once at the end
def test_the_attention_of_the_tokens_averages_to_that_of_the_answer(monkeypatch, tiny_model, noise, policy, waiting):
    monkeypatch.setattr(token_attention, "WAITING_BYTES", waiting)
    answer = answered(tiny_model, noise, policy)
    by_token = answer.attention_by_token
    assert by_token.dtype == np.float16
    assert by_token.shape == (12, *answer.attention_heads.shape)  # no stop token: the answer was cut off
    assert len(answer.token_ends) == 12
    np.testing.assert_allclose(by_token.astype(np.float32).mean(0), answer.attention_heads, atol=2e-3)
    assert np.ptp(by_token.astype(np.float32), axis=0).max() > 0.01, "tokens attend differently"


def test_the_number_of_tokens_is_limited(monkeypatch, tiny_model, noise):
    monkeypatch.setattr(token_attention, "MAX_TOKENS", 5)
    answer = answered(tiny_model, noise)
    assert len(answer.attention_by_token) == len(answer.token_ends) == 5
    recorded_words = [word for word in words_of(answer) if word.stop > word.first]
    assert all(word.stop <= 5 for word in recorded_words)
    monkeypatch.setattr(token_attention, "MAX_BYTES", 10)
    assert answered(tiny_model, noise).attention_by_token.shape[0] == 0


def test_a_stopped_answer_has_the_attention_of_its_tokens(tiny_model, noise):
    session = hermes.StreamSession(tiny_model, budget=40)
    session.push(*noise(20))
    pieces = session.ask("What now?", max_new_tokens=30)
    next(pieces)
    pieces.close()
    answer = session.snapshot().answer
    assert len(answer.attention_by_token) == len(answer.token_ends) >= 1
    assert answer.token_ends[-1] <= len(answer.answer)


# Words -------------------------------------------------------------------------------------------------------------------


def with_ends(text, ends):
    ends = np.array(ends, np.int64)
    base = SyntheticStream(1)
    base.push()
    answer = base.ask("?").snapshot.answer
    by_token = np.zeros((len(ends), *answer.attention_heads.shape), np.float16)
    return replace(answer, answer=text, token_ends=ends, attention_by_token=by_token)


@pytest.mark.parametrize(
    ("text", "ends", "expected"),
    [
        ("Red triangle.", [3, 12, 13], [("Red", 0, 1), (" ", 0, 0), ("triangle.", 1, 3)]),
        ("un believ", [2, 5, 9], [("un", 0, 1), (" ", 0, 0), ("believ", 1, 3)]),  # subwords, a space in a token
        ("a b", [3], [("a", 0, 1), (" ", 0, 0), ("b", 0, 1)]),  # one token, two words
        ("né 🙂!", [1, 1, 2, 3, 3, 3, 4, 5], [("né", 0, 3), (" ", 0, 0), ("🙂", 4, 7), ("!", 7, 8)]),  # bytes
        ("红色三角", [2, 4], [("红色", 0, 1), ("三角", 1, 2)]),  # no spaces: split where tokens end
        ("Red triangle.", [3, 12], [("Red", 0, 1), (" ", 0, 0), ("triangle.", 0, 0)]),  # cut off by the limit
        ("Red.", [], [("Red.", 0, 0)]),
        ("", [], []),
    ],
)
def test_words_know_their_tokens(text, ends, expected):
    words = words_of(with_ends(text, ends))
    assert words == tuple(Word(*word) for word in expected)
    assert "".join(word.text for word in words) == text


def test_words_of_a_real_tokenizer_cover_the_answer(tiny_model, noise):
    answer = answered(tiny_model, noise, tokens=40)  # random weights: bytes of incomplete characters
    words = words_of(answer)
    assert "".join(word.text for word in words) == answer.answer
    covered = [token for word in words for token in range(word.first, word.stop)]
    assert covered == sorted(covered)
    assert set(covered) <= set(range(40))
    tokens = tiny_model.tokenizer
    ids = tokens.encode("Grün 🙂, ok", add_special_tokens=False)
    assert len(ids) > len("Grün 🙂, ok")


def test_the_attention_of_a_word_is_the_mean_over_its_tokens(tiny_model, noise):
    answer = answered(tiny_model, noise)
    mean = attention_of_word(answer, 2, 5)
    np.testing.assert_allclose(mean, answer.attention_by_token[2:5].astype(np.float32).mean(0))
    for first, stop in ((0, 0), (-1, 2), (5, 99), (3, 2)):
        with pytest.raises(ValueError, match="not recorded"):
            attention_of_word(answer, first, stop)


# Recorded runs -----------------------------------------------------------------------------------------------------------


def stream_with_tokens(seed=3):
    stream = SyntheticStream(seed)
    views = [stream.push() for _ in range(8)]
    return stream, [*views, stream.ask("What?")]


def test_a_run_contains_the_attention_of_tokens_exactly(tmp_path):
    stream, views = stream_with_tokens()
    run, _ = recorded(tmp_path, views)
    assert_same(run.answers[0], rounded_answer(stream.answer))
    assert [word.text for word in words_of(run.answers[0])] == ["Red", " ", "triangle."]


def test_a_recorder_without_room_leaves_it_out(tmp_path):
    stream, views = stream_with_tokens()
    run, _ = recorded(tmp_path, views, limit=300)
    assert run.answers[0].attention_by_token.size == 0
    assert run.view(views[-1].clock).snapshot.answer is run.answers[0]
    np.testing.assert_allclose(run.answers[0].attention, stream.answer.attention, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("attention_by_token", lambda values: values[:, :, :, :-1]),
        ("attention_by_token", lambda values: values[:-1]),
        ("attention_by_token", lambda values: values * np.float16(np.nan)),
        ("attention_by_token", lambda values: values - np.float16(1)),
        ("attention_by_token", lambda values: values.astype(np.float32)),
        ("attention_by_token", lambda _: None),
        ("token_ends", lambda _: None),
        ("token_ends", lambda values: values[::-1].copy()),
        ("token_ends", lambda values: values + 99),
        ("token_ends", lambda values: values[:-1]),
    ],
)
def test_damaged_attention_of_tokens_is_rejected(tmp_path, name, change):
    _, views = stream_with_tokens()
    _, path = recorded(tmp_path, views)

    def damage(data):
        meta, arrays = unpack(data)
        changed = change(arrays[name])
        others = {key: values for key, values in arrays.items() if key != name}
        return pack(meta, others if changed is None else others | {name: changed})

    with pytest.raises(trace.TraceError, match="damaged"):
        trace.read(with_part(path, tmp_path / "bad.hermesrun", "answers/0.xz", damage))
