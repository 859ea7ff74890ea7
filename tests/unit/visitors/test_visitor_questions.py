"""The questions of a visitor: streamed, stopped, waiting and cleared answers, and the attention of their words."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from visitors import playing

from hermes.analysis.words import attention_of_word
from hermes.backbones.card import Knowledge
from ui.player import conversation, payloads
from ui.player.clips import Clip
from ui.player.conversation import MAX_WAITING, STORED_CHARACTERS, ChatTurn
from ui.player.payloads import GENERAL
from ui.player.source import Source
from ui.settings.model_loader import Loading


def test_an_answer_grows_and_is_stamped(make_visitor):
    visitor = playing(make_visitor)
    messages = list(visitor.ask("What is shown?"))
    states = [message["turns"][-1]["state"] for message in messages]
    assert states[0] == "writing"
    assert states[-1] == "done"
    last = messages[-1]["turns"][-1]
    assert last["at"] >= 0
    assert last["first_ms"] > 0
    lengths = [len(message["turns"][-1]["answer"]) for message in messages]
    assert lengths == sorted(lengths)


def test_a_stopped_answer_keeps_its_text(make_visitor):
    visitor = playing(make_visitor)
    pieces = visitor.ask("What is shown?")
    next(pieces)
    before = next(pieces)["turns"][-1]["answer"]
    visitor.halt()
    last = list(pieces)[-1]["turns"][-1]
    assert last["state"] == "stopped"
    assert last["answer"].startswith(before)
    assert list(visitor.ask("And now?"))[-1]["turns"][-1]["state"] == "done"


def test_one_answer_at_a_time(make_visitor):
    visitor = playing(make_visitor)
    first = visitor.ask("What is shown?")
    next(first)
    for question in ("And now?", "And before?", "And then?"):
        (message,) = visitor.ask(question)
        assert message["turns"][-1] | {"id": 0} == turn_of(question, "waiting")
    visitor.conversation.cancel(message["turns"][-2]["id"])
    (refused,) = visitor.ask("Now or never?", wait=False)
    assert "still being written" in visitor.conversation.turn(refused["asked"])["answer"]
    visitor.conversation.cancel("no number")
    messages = list(first)
    writing = [[turn["state"] for turn in message["turns"]].count("writing") for message in messages]
    assert max(writing) == 1
    assert [message["n"] for message in messages] == sorted(message["n"] for message in messages)
    last = visitor.conversation.message()["turns"]
    assert [turn["state"] for turn in last] == ["done", "done", "cancelled", "done", "error"]
    assert all(turn["answer"] and turn["at"] is not None for turn in last if turn["state"] == "done")
    assert list(visitor.ask("Once more?"))[-1]["turns"][-1]["state"] == "done"


def turn_of(question, state):
    return vars(ChatTurn(0, question, None, "", state, policy="HERMES", stream=1))


def test_stopping_an_answer_starts_the_next(make_visitor):
    visitor = playing(make_visitor)
    first = visitor.ask("What is shown?")
    next(first)
    next(first)
    list(visitor.ask("And now?"))
    visitor.halt()
    assert [turn["state"] for turn in list(first)[-1]["turns"]] == ["stopped", "done"]


def test_the_number_of_waiting_questions_is_limited(make_visitor):
    visitor = playing(make_visitor)
    first = visitor.ask("What is shown?")
    next(first)
    for _ in range(MAX_WAITING):
        assert list(visitor.ask("And now?"))[-1]["turns"][-1]["state"] == "waiting"
    assert "are waiting already" in list(visitor.ask("And now?"))[-1]["turns"][-1]["answer"]
    first.close()  # the page lost its connection
    states = [turn["state"] for turn in visitor.conversation.message()["turns"]]
    assert states == ["stopped", *["cancelled"] * MAX_WAITING, "error"]
    assert list(visitor.ask("And now?"))[-1]["turns"][-1]["state"] == "done"


def test_clearing_empties_the_chat_and_keeps_the_memory(make_visitor):
    visitor = playing(make_visitor)
    list(visitor.ask("What is shown?"))
    second = visitor.ask("And now?")
    next(second)
    list(visitor.ask("And then?"))
    before, seen = visitor.conversation.message(), visitor.stream.view().snapshot.frames_seen
    visitor.clear_chat()
    after = visitor.conversation.message()
    assert after["turns"] == after["watched"] == []
    assert after["epoch"] != before["epoch"]
    assert visitor.stream.view().snapshot.frames_seen >= seen
    list(second)
    assert visitor.conversation.message()["turns"] == []
    assert list(visitor.ask("Once more?"))[-1]["turns"][-1]["state"] == "done"


def test_another_stream_ends_the_questions_of_the_previous_one(make_visitor):
    visitor = playing(make_visitor)
    list(visitor.ask("What is shown?"))
    (turn,) = visitor.conversation.message()["turns"]
    assert "".join(text for text, *_ in turn["words"]) == turn["answer"].strip()
    word = next(word for word in turn["words"] if word[2] > word[1])
    request = {"kind": "word", "turn": turn["id"], "first": word[1], "stop": word[2], "bin": 1}
    reply = visitor.detail(request)
    answer = visitor.stream.view().snapshot.answer
    assert (reply["layers"], reply["heads"], reply["columns"]) == answer.attention_heads.shape
    values = np.frombuffer(base64.b64decode(reply["values"]), np.uint8).reshape(answer.attention_heads.shape)
    decoded = values / 254 * np.array(reply["largest"])[:, None, None]
    np.testing.assert_allclose(decoded, attention_of_word(answer, word[1], word[2]), atol=0.003)
    for wrong in (
        {"turn": 99},
        {"turn": "x"},
        {"first": -1},
        {"stop": 99},
        {"first": True},
        {"bin": None},
        {"bin": 1.5},
    ):
        assert "no longer stored" in visitor.detail({**request, **wrong})["error"]
    assert visitor.detail({**request, "bin": -5})["columns"] == reply["columns"]
    assert visitor.detail({**request, "bin": 2**40})["columns"] == 1

    open_question = visitor.ask("And now?")
    next(open_question)
    list(visitor.ask("And then?"))
    visitor.restart()
    list(open_question)
    message = visitor.conversation.message()
    assert [turn["state"] for turn in message["turns"]] == ["done", "stopped", "cancelled"]
    assert {turn["stream"] for turn in message["turns"]} == {1}
    assert message["stream"] == 2
    assert dict(message["labels"])[2] == "Stream restarted: A film"
    assert message["watched"] == []
    assert "no longer stored" in visitor.detail(request)["error"]
    assert visitor.poll(None, -1)[0]["chat"] == visitor.conversation.place()


def test_the_attention_of_words_is_kept_for_a_few_answers(make_visitor, monkeypatch):
    monkeypatch.setattr(conversation, "ANSWERS_WITH_WORDS", 2)
    visitor = playing(make_visitor)
    for _ in range(4):
        list(visitor.ask("What is shown?"))
    message = visitor.conversation.message()
    assert message["watched"] == [turn["id"] for turn in message["turns"]][-2:]


def test_a_model_of_a_toy_world_is_not_asked_about_real_videos(make_visitor, engine, monkeypatch, tiny_folder):
    knowledge = Knowledge("cards", "coloured cards")
    toy = replace(engine.load(str(tiny_folder)), knowledge=knowledge, suggested=("What was the first card?",))
    visitor = make_visitor()
    state = visitor.poll(None, -1)[0]
    assert state["chips"] == [{"text": "What is shown?", "at": 2.0}]
    visitor.choose(Source("camera", title="camera"))
    loading = Loading("", 1.0, toy)
    monkeypatch.setattr(visitor._loader, "state", lambda _: loading)
    state = visitor.poll(None, -1)[0]
    assert state["chips"] == []
    assert "only knows coloured cards" in state["advice"]["text"]
    loading = Loading("", 1.0, replace(toy, knowledge=Knowledge(), suggested=()))
    assert [chip["text"] for chip in visitor.poll(None, -1)[0]["chips"]] == list(GENERAL)
    assert visitor.poll(None, -1)[0]["advice"] is None
    loading = Loading("", 1.0, toy)
    visitor.choose(visitor.source({"kind": "clip", "id": "film"}))
    assert visitor.poll(None, -1)[0]["advice"], "this clip does not show cards"
    visitor.start(Source("camera", title="camera"))
    last = list(visitor.ask("What is shown?"))[-1]["turns"][-1]
    assert "watch the memory" in last["note"]
    cards = Clip("cards", Path("cards.webm"), "Cards", "", 9.0, (("First?", 1.0),), "", world="cards")
    assert payloads.advice(Source("clip", "cards"), cards, loading) is None
    assert payloads.chips(Source("clip", "cards"), cards, loading) == [{"text": "First?", "at": 1.0}]
    monkeypatch.setattr(visitor._questions, "_clips", {"cards": cards})
    visitor.state.chosen, visitor.state.playing = (
        Source("clip", "cards"),
        Source("run", "first", title="The first card"),
    )
    advice = visitor.poll(None, -1)[0]["advice"]
    assert advice["text"] == "Chat and memory show the recording “The first card” until you start the selected source."


@pytest.mark.parametrize("question", ["", "   ", "why " * 2500])
def test_bad_questions_say_why(make_visitor, question):
    visitor = playing(make_visitor)
    last = list(visitor.ask(question))[-1]["turns"][-1]
    assert last["state"] == "error"
    assert last["answer"].endswith(".")
    assert last["question"] == question[:STORED_CHARACTERS]
