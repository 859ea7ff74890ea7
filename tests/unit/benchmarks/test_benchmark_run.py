"""Running a benchmark with a scripted model: which frames it sees, what is asked, what is recorded, and resuming."""

from __future__ import annotations

import json
import math
from contextlib import closing

import pytest
from benchmark_data import ENVIRONMENT, SAMPLE_OF, SAMPLES, SETTINGS, choice, run, write_annotations, write_numbered

from hermes.benchmarks.annotations import read_annotations
from hermes.benchmarks.catalogue import BENCHMARKS, BenchmarkError
from hermes.benchmarks.responder import PolicySettings, SessionResponder
from hermes.benchmarks.results import ResultsFile, read_results
from hermes.benchmarks.run import check_rate, check_videos


@pytest.fixture
def entries(tmp_path):
    """Two videos of 40 s at 2 frames per second; the questions are not in the order of their times."""
    write_numbered(tmp_path / "a.mp4", 80, 2)
    write_numbered(tmp_path / "b.mp4", 80, 2)
    asked = [choice(20.5, "green"), choice(3.2), choice(0.03), choice(33)]
    return [
        {"video_path": f"/data/{name}.mp4", "video_id": name, "task": "EPM", "conversations": asked} for name in "ab"
    ]


def test_frames_before_each_question_are_pushed_once_in_chunks(tmp_path, entries):
    responders, records = run(tmp_path, write_annotations(tmp_path / "a.json", entries))
    assert len(responders) == 2
    for responder in responders:
        chunks = [event[1:] for event in responder.events if event[0] == "push"]
        # ceil(0.03), ceil(3.2), ceil(20.5) and ceil(33) frames, in chunks of 16 that end at a question
        assert [len(numbers) for numbers, _ in chunks] == [1, 3, 16, 1, 12]
        assert responder.shown() == [2 * k for k in range(33)]  # every second frame of the file
        assert [at for _, times in chunks for at in times] == list(range(33))
        assert responder.events[-1] == ("close",)
    assert [(row["id"], row["question"], row["end"]) for row in records] == [
        (name, *asked) for name in "ab" for asked in [(2, 0.03), (1, 3.2), (0, 20.5), (3, 33)]
    ]
    assert [row["frames"] for row in records[:4]] == [1, 4, 21, 33]
    assert [(row["truth"], row["letter"], row["correct"]) for row in records[:4]] == [
        ("A", "A", True), ("A", "A", True), ("B", "A", False), ("A", "A", True),
    ]  # fmt: skip
    first = records[0]
    assert (first["tokens_read"], first["tokens_read_most"], first["cache_bytes"]) == (12.5, 16, 4096)
    assert first["times"]["first_token_ms"] == 10


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.0])
def test_no_question_sees_a_frame_from_its_future(tmp_path, entries, rate):
    responders, _ = run(tmp_path, write_annotations(tmp_path / "a.json", entries), rate)
    for responder in responders:
        ends, pushed = [0.03, 3.2, 20.5, 33], 0
        for event in responder.events:
            if event[0] == "push":
                pushed += len(event[1])
                assert event[2][-1] * rate <= pushed - 1
            elif event[0] == "ask":
                assert pushed == math.ceil(ends.pop(0) * rate)


def test_the_conversation_mentions_the_option_and_not_its_letter(tmp_path, entries):
    replies = {"ask": iter(["B", "(C)", "B) green", "None of them"])}
    responders, _ = run(
        tmp_path, write_annotations(tmp_path / "a.json", entries[:1]), reply=lambda _: next(replies["ask"])
    )
    asked = [event for event in responders[0].events if event[0] == "ask"]
    assert asked[0][1] == "Question: Which colour?\nOptions:\n(A) red\n(B) green\n(C) blue\nOnly give the best option."
    remembered = [event[1:] for event in responders[0].events if event[0] == "remember"]
    assert remembered == [("Which colour?", answer) for answer in ("green", "blue", "green", "None of them")]


def test_whole_videos_are_seen_before_their_questions(tmp_path, entries):
    for entry in entries:
        entry["duration_category"] = "short"
    responders, records = run(tmp_path, write_annotations(tmp_path / "a.json", entries), name="videomme")
    for responder in responders:
        kinds = [event[0] for event in responder.events]
        assert kinds == ["push"] * 3 + ["ask", "remember"] * 4 + ["close"]
        assert responder.shown() == list(range(0, 80, 2))
    assert [row["question"] for row in records] == [0, 1, 2, 3] * 2
    assert {row["end"] for row in records} == {None}


def test_open_ended_questions_are_asked_bare_and_wait_for_a_judge(tmp_path):
    write_numbered(tmp_path / "a.mp4", 10, 2)
    entries = [
        {
            "video_path": "/data/a.mp4",
            "video_id": 1,
            "conversations": [{"question": "What?", "answer": "A cup.", "end_time": 4}],
        }
    ]
    responders, records = run(
        tmp_path, write_annotations(tmp_path / "a.json", entries), name="rvs-ego", reply="A) A mug."
    )
    assert [event for event in responders[0].events if event[0] != "push"] == [
        ("ask", "What?", False), ("remember", "What?", "A) A mug."), ("close",),
    ]  # fmt: skip
    assert (records[0]["correct"], records[0]["letter"], records[0]["reference"]) == (None, None, "A cup.")
    assert "choices" not in records[0]


def test_what_cannot_be_asked_is_recorded_with_its_reason(tmp_path, entries):
    first, second = entries
    first["conversations"] = [
        choice(0, question="Before?"), choice(5, "yellow"), choice(6, question="Long?"), choice(1000),
    ]  # fmt: skip
    second["video_path"] = "/data/missing.mp4"
    damaged = {"video_path": "/data/damaged.mp4", "video_id": 3, "conversations": [choice()]}
    (tmp_path / "damaged.mp4").write_bytes(b"damaged")
    path = write_annotations(tmp_path / "a.json", [first, second, damaged])
    responders, records = run(tmp_path, path, reply=lambda prompt: "too long" if "Long?" in prompt else "A")
    assert len(records) == 9
    reasons = [row.get("skipped") for row in records]
    assert reasons[0] == "It is asked before the first frame."
    assert reasons[1] == "The answer is not one of the options."
    assert reasons[2] == "The question is too long: it has 9999 tokens."
    assert reasons[3] is None
    assert reasons[4:8] == ["There is no video missing.mp4."] * 4
    assert "damaged.mp4" in reasons[8]
    # A question behind the end of the video is asked there, once all frames were pushed, and this is recorded.
    assert (records[3]["frames"], records[3]["frames_missing"]) == (40, 960)
    assert sum(len(event[1]) for event in responders[0].events if event[0] == "push") == 40


def _without_times(path):
    return [{k: v for k, v in json.loads(line).items() if k != "times"} for line in path.read_text().splitlines()]


@pytest.mark.parametrize("torn", [b"", "größe".encode()[:-3]])
@pytest.mark.parametrize("lines", [0, 1, 2, 5, 8, 9])
def test_an_interrupted_run_continues_to_the_same_file(tmp_path, entries, lines, torn):
    """The file is cut after any line, and within the next one; the conversation is also the same."""
    path = write_annotations(tmp_path / "a.json", entries)
    replies = ["A", "B", "C", "D"]

    def reply(prompt):  # depends on the length of the conversation, so a different conversation gives different answers
        return replies[len(prompt) % 4]

    whole, _ = run(tmp_path, path, reply=reply, out="whole.jsonl")
    data = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    begun = torn if lines else b'{"settings":{"form'[: len(torn)]
    (tmp_path / "cut.jsonl").write_bytes(b"".join(data[:lines]) + begun)
    continued, _ = run(tmp_path, path, reply=reply, out="cut.jsonl")
    assert _without_times(tmp_path / "cut.jsonl") == _without_times(tmp_path / "whole.jsonl")
    asked_before = max(lines - 1, 0)
    assert sum(event[0] == "ask" for r in continued for event in r.events) == 8 - asked_before
    if asked_before < 8:  # the video that was interrupted: all frames and the whole conversation
        expected = [event for event in whole[asked_before // 4].events if event[0] != "ask"]
        assert [event for event in continued[0].events if event[0] != "ask"] == expected


def test_a_limit_counts_videos_and_can_be_raised(tmp_path, entries):
    path = write_annotations(tmp_path / "a.json", entries)
    assert len(run(tmp_path, path, limit=1)[1]) == 4
    assert len(run(tmp_path, path, limit=2)[1]) == 8
    assert len(run(tmp_path, path)[1]) == 8


def test_other_settings_and_other_files_are_not_continued(tmp_path, entries):
    path = write_annotations(tmp_path / "a.json", entries)
    run(tmp_path, path, limit=1)
    before = (tmp_path / "run.jsonl").read_bytes()
    with pytest.raises(BenchmarkError, match=r"other settings \(rate: 1.0 instead of 2.0\)"):
        run(tmp_path, path, rate=2.0)
    assert (tmp_path / "run.jsonl").read_bytes() == before
    for text in ("my notes", '{"settings": 1}\n', "my notes\nmore", "[]\n", '{"settings":{},"environment":{}}\n'):
        (tmp_path / "other.jsonl").write_text(text)
        with pytest.raises(BenchmarkError, match=r"other\.jsonl"):
            run(tmp_path, path, out="other.jsonl")
        assert (tmp_path / "other.jsonl").read_text() == text


def test_a_file_is_written_by_one_process_and_names_every_machine(tmp_path):
    path = tmp_path / "run.jsonl"
    with ResultsFile(path, SETTINGS, ENVIRONMENT), pytest.raises(BenchmarkError, match="another process"):
        ResultsFile(path, SETTINGS, ENVIRONMENT)
    ResultsFile(path, SETTINGS, ENVIRONMENT).close()
    ResultsFile(path, SETTINGS, ENVIRONMENT | {"cores": 64}).close()
    assert [known["cores"] for known in read_results(path).environments] == [2, 64]


@pytest.mark.parametrize(
    "change",
    [
        {"video": "x"}, {"question": -1}, {"text": 5}, {"answer": None}, {"correct": "yes"}, {"times": {}},
        {"cache_bytes": float("nan")}, {"choices": [{}]}, {"letter": 3}, {"end": -1},
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_record_is_reported_with_its_line(tmp_path, entries, change):
    run(tmp_path, write_annotations(tmp_path / "a.json", entries), limit=1)
    lines = (tmp_path / "run.jsonl").read_text().splitlines()
    lines[2] = json.dumps(json.loads(lines[2]) | change)
    (tmp_path / "run.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(BenchmarkError, match=r"line 3"):
        read_results(tmp_path / "run.jsonl")


def test_rates_and_folders_are_checked_first(tmp_path, entries):
    found = read_annotations(write_annotations(tmp_path / "a.json", entries), BENCHMARKS["ovobench"])
    check_videos(found, tmp_path)
    with pytest.raises(BenchmarkError, match="no folder of videos"):
        check_videos(found, tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchmarkError, match=r"none of the 2 videos.*a\.mp4"):
        check_videos(found, tmp_path / "empty")
    assert check_rate(0.5) == 0.5
    for rate in (0, 5e-324, -1, 61, float("nan"), float("inf")):
        with pytest.raises(BenchmarkError, match="sampling rate"):
            check_rate(rate)


@pytest.mark.parametrize(("name", "rate"), [("streamingbench", 0.5), ("ovobench", 0.5), ("rvs-ego", 0.5)])
def test_the_samples_run_on_generated_videos(tmp_path, name, rate):
    found = read_annotations(SAMPLES / SAMPLE_OF[name], BENCHMARKS[name])
    for video in found.videos:
        write_numbered(tmp_path / video.path, int(max(q.end for q in video.questions)) + 2, 1)
    responders, records = run(tmp_path, SAMPLES / SAMPLE_OF[name], rate, name=name)
    assert len(records) == found.questions
    assert all("answer" in row and row["frames_missing"] == 0 for row in records)
    assert [row["frames"] for row in records] == [math.ceil(row["end"] * rate) for row in records]
    for responder in responders:
        assert responder.shown() == list(range(0, 2 * len(responder.shown()), 2))


def test_models_that_merge_frames_see_the_last_frame_of_an_odd_chunk_twice(family_model, noise):
    model, _ = family_model("qwen2_5_vl")
    with closing(SessionResponder(model, PolicySettings("hermes", 64, None, {}), "lazy", 0.5)) as responder:
        frames, session = noise(6)[0], responder._session
        responder.push(frames[:1], [0.0])
        assert (session.frames_waiting, session.steps_seen, session.stats.frames_seen) == (0, 1, 2)
        assert session.layout == model.layout(24, 32, 2.0)  # the rate is known from a single frame
        responder.push(frames[1:4], [2.0, 4.0, 6.0])
        responder.push(frames[4:], [8.0, 10.0])
        assert (session.frames_waiting, session.steps_seen, session.stats.frames_seen) == (0, 4, 8)
        reply = responder.ask("Question: Which?\nOptions:\n(A) a\n(B) b\nOnly give the best option.", choices=True)
        assert session.state.history.answer.question.startswith("Question: Which?")
        assert (reply.frames_seen, reply.cache_bytes > 0, reply.first_token_seconds > 0) == (8, True, True)
        assert reply.tokens_read == reply.tokens_read_most == 4 * math.prod(session.layout.grid)
        responder.remember("Which?", "b")
        assert session.conversation == ("Which?", "b")
