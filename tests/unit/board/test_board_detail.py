"""Parts of the board sent only if visible or requested: scores, filmstrip, a frame's tokens and history, a saved page."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest

import hermes
from hermes.analysis.token_history import token_history_of
from hermes.errors import HermesError
from hermes.video.thumbnails import Thumbnails
from hermes.view import LiveView
from ui.board import standalone
from ui.board.cells import MAX_PICTURES, Wanted, film, groups_of, score_columns
from ui.board.detail import _relative, detail
from ui.board.encoder import BoardEncoder
from ui.board.history import EventHistory

FRAMES, BUDGET, LAYERS, PATCHES = 60, 128, 10, 16


class Source:
    """A processed stream with the common interface of live streams and recorded runs."""

    def __init__(self, model) -> None:
        self.session = hermes.StreamSession(model, "hermes", budget=BUDGET, chunk=4)
        self.pictures = Thumbnails()
        generator = np.random.default_rng(5)
        for first in range(0, FRAMES, 4):
            frames = generator.integers(0, 256, (4, 48, 64, 3), dtype=np.uint8)
            self.session.push(frames, np.arange(first, first + 4) / 2)
            self.pictures.add(first, frames)
        "".join(self.session.ask("What is shown now?"))
        self.shot = self.session.snapshot()

    def view(self):
        return LiveView("paused", "<clip>", 1.0, 40.0, 0.0, None, 1, self.shot, 0, 0, 1.0, None, False, None)

    def thumbnails(self, frames):
        return self.pictures.get(frames)

    def token_history(self, frame):
        return token_history_of(self.session.token_history.records, frame)


@pytest.fixture(scope="module")
def source(pocket):
    return Source(pocket)


def unpack(text):
    return np.frombuffer(base64.b64decode(text), np.uint8)


def test_scores_of_a_column_are_those_of_its_tokens(source):
    shot = source.shot
    scores = score_columns(shot, "importance", 2)
    assert scores.values.shape == (LAYERS, FRAMES // 2)
    columns = np.arange(FRAMES // 2)
    for layer in (0, 5, 9):
        part = shot.layer(layer)
        scored = np.isfinite(part["importance"])
        mine = [part["importance"][scored & (part["frame"] // 2 == column)] for column in columns]
        means = np.array([values.mean() if len(values) else np.nan for values in mine])
        span = scores.largest[layer] - scores.least[layer]
        assert (scores.least[layer], scores.largest[layer]) == pytest.approx(
            (np.nanmin(means), np.nanmax(means)), abs=1e-6
        )
        payload = np.where(scores.values[layer] == 255, np.nan, scores.least[layer] + scores.values[layer] / 254 * span)
        assert np.allclose(payload, means, atol=span / 254 + 1e-5, equal_nan=True)
    guidance = score_columns(shot, "guidance", 1)
    shares, most = guidance.values, guidance.largest
    part = shot.layer(9)
    sums = np.array([np.nansum(part["guidance_attention"][part["frame"] == frame]) for frame in range(FRAMES)])
    payload = np.where(shares[9] == 255, 0, shares[9] / 254 * most[9])
    assert np.allclose(payload, sums, atol=most[9] / 200)


def test_the_filmstrip_counts_held_patches_per_tier(source):
    shot = source.shot
    strip = film(shot, Wanted(pictures=15), FRAMES)
    assert (strip.first, strip.size, strip.masks.shape) == (0, 4, (15, 3, PATCHES))
    share = strip.masks.mean(axis=2) / 255
    want = shot.retention().reshape(3, 15, 4).mean(2).T
    assert np.allclose(share, want, atol=0.003)
    one = film(shot, Wanted(first=7, stop=8, pictures=9), FRAMES)
    assert (one.first, one.size, len(one.masks)) == (7, 1, 1)
    layer = shot.layer(0)  # the sensory tier is this one layer
    held = np.zeros(PATCHES, int)
    held[layer["patch"][layer["frame"] == 7]] = 255
    assert np.array_equal(one.masks[0, 0], held)


def test_a_picture_shows_the_best_preserved_frame_and_does_not_flicker(source):
    shot = source.shot
    strip = film(shot, Wanted(pictures=15), FRAMES)
    held = shot.kept.sum(0, dtype=int)
    for picture, frame in enumerate(strip.shown.tolist()):
        slot = held[4 * picture : 4 * picture + 4]
        assert 4 * picture <= frame < 4 * picture + 4
        assert held[frame] == slot.max()
        assert not (slot[frame % 4 + 1 :] == slot.max()).any(), "the newest of equals"
    kept = np.zeros_like(shot.kept)
    kept[:, 0::4], kept[:, 1::4] = 4, 5  # a little more of the second frame of each slot
    first = replace(strip, shown=np.arange(0, FRAMES, 4))
    assert (film(replace(shot, kept=kept), Wanted(pictures=15), FRAMES, first).shown == first.shown).all()
    kept[:, 1::4] = 8  # far more of it
    assert (film(replace(shot, kept=kept), Wanted(pictures=15), FRAMES, first).shown == first.shown + 1).all()


def test_a_picture_that_covers_evidence_shows_it(source):
    shot = source.shot
    plain = film(shot, Wanted(pictures=15), FRAMES)
    evidence = np.array([8, 9, 17])
    held = shot.kept.sum(0, dtype=int)
    for before in (None, plain):
        shown = film(shot, Wanted(pictures=15), FRAMES, before, evidence).shown
        assert shown[2] == (8 if held[8] > held[9] else 9)
        assert shown[4] == 17
        assert (np.delete(shown, [2, 4]) == np.delete(plain.shown, [2, 4])).all()
    zoomed = film(shot, Wanted(first=9, stop=13, pictures=1), FRAMES, None, evidence)
    assert zoomed.shown.tolist() == [9]


def test_a_policy_without_tiers_is_one_group(source):
    shot = replace(source.shot, tiered=False)
    assert groups_of(shot)[0] == [3]
    assert film(shot, Wanted(pictures=15), FRAMES).masks.shape == (15, 1, PATCHES)
    message = BoardEncoder().encode(
        shot, acknowledged=None, duration=40.0, fps=2.0, meters={}, thumbnails=source.thumbnails
    )
    assert message["meta"]["tiered"] is False
    assert message["meta"]["tiers"] == [3] * LAYERS


def test_only_visible_parts_and_their_changes_are_sent(source):
    encoder, shots = BoardEncoder(), [source.shot, replace(source.shot, sequence=source.shot.sequence + 1)]
    given = {"duration": 40.0, "fps": 2.0, "meters": {}, "thumbnails": source.thumbnails}
    plain = encoder.encode(shots[0], acknowledged=None, **given)
    assert not {"scores", "film", "thumbs"} & set(plain)
    looked = encoder.encode(shots[0], acknowledged=plain["seq"], wanted=Wanted("recency", pictures=15), **given)
    assert {"scores", "film"} <= set(looked)
    again = encoder.encode(shots[1], acknowledged=looked["seq"], wanted=Wanted("recency", pictures=15), **given)
    assert not {"scores", "film"} & set(again or {})
    changed = replace(shots[1], recency=np.where(shots[1].frame == 59, 0.5, shots[1].recency), sequence=99)
    payload = encoder.encode(
        changed, acknowledged=(again or looked)["seq"], wanted=Wanted("recency", pictures=15), **given
    )
    assert np.frombuffer(base64.b64decode(payload["scores"]["index"]), "<u2").tolist() == [59]


def test_evictions_are_summed_by_bin_and_sent_once(source):
    shot, history = source.shot, EventHistory(8)
    bins = history.add(shot.evictions, shot.tiers)
    assert sum(history.rows[at][0] for at in bins) == len(shot.evictions)
    gone = sum(float(event.evicted.mean()) for event in shot.evictions)
    assert sum(history.rows[at][5] for at in bins) == pytest.approx(gone)
    made = sum(history.rows[at][8] for at in bins)
    assert FRAMES * PATCHES - gone + made == pytest.approx(shot.kept_per_layer.mean())
    assert history.add(shot.evictions, shot.tiers) == []
    assert history.add(shot.evictions[:1], shot.tiers) == bins[:1]  # another stream has begun


def test_a_frame_is_described_patch_by_patch(source):
    reply = detail(source, {"id": 4, "kind": "frame", "frame": 58})
    shot, part = source.shot, source.shot.layer(9)
    mine = part["frame"] == 58
    held = unpack(reply["held"]).reshape(LAYERS, PATCHES)
    assert np.array_equal(held.sum(1), shot.kept[:, 58])
    score = unpack(reply["importance"]).reshape(LAYERS, PATCHES)[9]
    assert np.allclose(score[part["patch"][mine]] / 254, part["importance"][mine], atol=0.003)
    assert set(score[held[9] == 0]) <= {255}
    read = unpack(reply["answer"]).reshape(LAYERS, PATCHES)
    total = np.where(read == 255, 0, read / 254).sum(1) * np.array(reply["answer_most"])
    assert np.allclose(total, shot.answer.attention[:, 58], atol=0.01)
    assert base64.b64decode(reply["jpeg"]).startswith(b"\xff\xd8")


def test_token_history_and_heads(source):
    reply = detail(source, {"id": 5, "kind": "life", "frame": 2, "layer": 9})
    assert len(reply["moments"]) == len(reply["cut"]) == len(reply["held"][0])
    assert [row[-1] for row in reply["held"]] == source.shot.kept[:, 2].tolist()
    score = unpack(reply["score"])
    assert len(score) == len(reply["moments"]) * PATCHES
    assert score[score != 255].max() == 254  # relative to the largest, which is sent
    history = source.token_history(2)
    assert reply["most"] == pytest.approx(np.nanmax(history.score[9]), rel=1e-5)
    assert sum(at is None for at in reply["left"]) == source.shot.kept[9, 2]
    payload = detail(source, {"kind": "heads", "layer": 9})
    by_head = unpack(payload["values"]).reshape(payload["heads"], -1) / 254 * np.array(payload["largest"])[:, None]
    assert np.allclose(by_head, source.shot.answer.attention_heads[9], atol=0.004)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"kind": "frame", "frame": "x"},
        {"kind": "frame", "frame": 10**9},
        {"kind": "life", "frame": -5, "layer": None},
        {"kind": "heads", "layer": [1]},
        {"kind": "<b>"},
    ],
)
def test_odd_requests_get_an_answer(source, request_):
    assert json.dumps(detail(source, request_))


def test_browser_requests_are_validated():
    assert Wanted.read("x") == Wanted()
    assert Wanted.read({"mode": "evil", "first": -1, "stop": True, "pictures": 10**6}) == Wanted(pictures=MAX_PICTURES)
    assert Wanted.read({"mode": "recency", "first": 3, "stop": 9, "pictures": 5}) == Wanted("recency", 3, 9, 5)


def test_a_saved_page_contains_the_moment_and_sends_no_requests(source):
    encoder = BoardEncoder()
    given = {"duration": 40.0, "fps": 2.0, "meters": {}, "thumbnails": source.thumbnails}
    before = encoder.encode(source.shot, acknowledged=None, **given)
    page = standalone.page(source, source.view(), encoder, fps=2.0, meters={"fps": 1.0})
    data = json.loads(re.search(r'id="hl-saved">(.*?)</script>', page)[1])
    assert data["message"]["base"] is None
    assert data["message"]["frames"] == FRAMES
    strip = data["message"]["film"]
    assert len(data["message"]["thumbs"]) == len(strip["index"]) == -(-FRAMES // strip["size"])  # every picture of it
    assert sum(reply["kind"] == "frame" for reply in data["details"]) == FRAMES
    assert {"life", "heads"} <= {reply["kind"] for reply in data["details"]}
    assert "<clip>" not in page
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r'(?:src|href)="(?!data:)', markup)
    # The board itself continues from its previous state.
    assert encoder.encode(source.shot, acknowledged=before["seq"], **given) is None
    with pytest.raises(HermesError, match="nothing to save"):
        standalone.page(source, replace(source.view(), snapshot=None), encoder, fps=2.0, meters={})


def test_negative_scores_are_encoded_as_none():
    """A recorded run may hold them; a byte cannot."""
    encoded, largest = _relative(np.array([[-5.0, np.nan, -0.5], [-1.0, 2.0, 1.0]], np.float32))
    assert largest == [0.0, 2.0]
    assert list(base64.b64decode(encoded)) == [0, 255, 0, 0, 254, 127]
