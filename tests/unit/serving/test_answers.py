"""Answers passed from the worker to the threads that ask."""

from __future__ import annotations

import threading

import pytest
from patience import PATIENCE

from hermes.serving.answers import Answers
from hermes.session.questions import QuestionError


def test_a_question_after_an_abandoned_answer_waits_until_the_worker_has_ended_it():
    answers, taken = Answers(lambda: None), []
    pieces = answers.begin(lambda: iter(["A ", "card."]))
    assert answers.decode()
    assert answers.decode()
    assert next(pieces) == "A "
    with pytest.raises(QuestionError, match="still being answered"):
        answers.begin(lambda: iter(()))
    pieces.close()
    asking = threading.Thread(target=lambda: taken.append(answers.begin(lambda: iter(["Nothing."]))), daemon=True)
    asking.start()
    assert not answers.decode()
    answers.finish(lambda: None)
    asking.join(PATIENCE)
    assert len(taken) == 1
    assert answers.busy


def test_a_question_that_waits_for_an_abandoned_answer_ends_when_the_stream_is_closed():
    answers, raised = Answers(lambda: None), []
    pieces = answers.begin(lambda: iter(["A ", "card."]))
    answers.decode()
    answers.decode()
    next(pieces)
    pieces.close()

    def ask():
        with pytest.raises(QuestionError, match="closed"):
            answers.begin(lambda: iter(()))
        raised.append(True)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    answers.abandon()
    asking.join(PATIENCE)
    assert raised
