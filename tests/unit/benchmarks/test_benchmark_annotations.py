"""Annotation files of published benchmarks: the samples, and defects that become reasons to skip a question."""

from __future__ import annotations

import json

import pytest
from benchmark_data import SAMPLE_OF, SAMPLES, choice, write_annotations

from hermes.benchmarks.annotations import read_annotations
from hermes.benchmarks.catalogue import BENCHMARKS, MVBENCH_TASKS, BenchmarkError, benchmark_of


def sample(name):
    return read_annotations(SAMPLES / SAMPLE_OF[name], BENCHMARKS[name])


@pytest.mark.parametrize("name", SAMPLE_OF)
def test_the_samples_are_read_without_faults(name):
    benchmark, found = BENCHMARKS[name], sample(name)
    entries = json.loads((SAMPLES / SAMPLE_OF[name]).read_text())
    assert [len(video.questions) for video in found.videos] == [len(entry["conversations"]) for entry in entries]
    assert found.questions == sum(len(entry["conversations"]) for entry in entries)
    for video, entry in zip(found.videos, entries, strict=True):
        assert video.fault == ""
        assert f"/data/{video.path}" == entry["video_path"]
        assert video.name == str(entry["video_id"])
        for question, item in zip(video.questions, entry["conversations"], strict=True):
            assert question.fault == ""
            assert question.text == " ".join(item["question"].split())
            assert question.end == (item["end_time"] if benchmark.streaming else None)
            assert bool(question.choices) == benchmark.choices
            if benchmark.choices:
                assert question.choices["ABCDEFGH".index(question.letter)] == item["answer"]
            else:
                assert question.letter is None


def test_tasks_durations_rates_and_clips_of_the_samples():
    assert [q.task for q in sample("streamingbench").videos[0].questions] == [
        "Object Recognition", "Attribute Recognition", "Attribute Recognition",
    ]  # fmt: skip
    assert {q.task for video in sample("ovobench").videos for q in video.questions} == {"EPM"}
    found = sample("videomme")
    assert [video.duration for video in found.videos] == ["short", "medium", "long"]
    assert found.videos[0].questions[1].task == "Information Synopsis"
    found = sample("mvbench")  # tasks by the position in the complete file, which `video_id` states
    assert [video.questions[0].task for video in found.videos] == [MVBENCH_TASKS[0], *["episodic reasoning"] * 3]
    assert (found.videos[0].fps, found.videos[0].clip) == (None, None)
    assert (found.videos[1].fps, found.videos[1].clip) == (3, (0.0, 38.32))


def test_the_complete_mvbench_file_has_blocks_of_200(tmp_path):
    entries = [{"video_path": f"/data/{i}.mp4", "video_id": "x", "conversations": [choice(None)]} for i in range(4000)]
    videos = read_annotations(write_annotations(tmp_path / "a.json", entries), BENCHMARKS["mvbench"]).videos
    assert [video.questions[0].task for video in videos[::200]] == list(MVBENCH_TASKS)
    assert videos[199].questions[0].task == MVBENCH_TASKS[0]


def test_questions_of_a_stream_are_ordered_by_their_time(tmp_path):
    entries = [{"video_path": "/data/a.mp4", "video_id": 1, "conversations": [choice(9), choice(2), choice(2.5)]}]
    video = read_annotations(write_annotations(tmp_path / "a.json", entries), BENCHMARKS["ovobench"]).videos[0]
    assert [(question.index, question.end) for question in video.questions] == [(1, 2), (2, 2.5), (0, 9)]


def test_hidden_answers_are_allowed_only_where_they_are_not_public(tmp_path):
    entry = {"video_path": "/data/a.mp4", "q_uid": "abc", "video_id": 1}
    path = write_annotations(tmp_path / "a.json", [entry | {"conversations": [choice(None, None), choice(None)]}])
    video = read_annotations(path, BENCHMARKS["egoschema"]).videos[0]
    assert video.name == "abc"
    assert [(q.answer, q.letter, q.fault) for q in video.questions] == [(None, None, ""), ("red", "A", "")]
    assert "answer" in read_annotations(path, BENCHMARKS["videomme"]).videos[0].questions[0].fault


WRONG = [
    (choice(question=None), "question is not a string"),
    (choice(question=" "), "question is empty"),
    ({"choices": ["a", "b"], "answer": "a", "end_time": 1}, "lacks “question”"),
    ({"question": "Q?", "answer": "a", "end_time": 1}, "lacks “choices”"),
    (choice(choices=[]), "no options"),
    (choice(choices=["a", ""]), "empty one"),
    (choice(choices=["a"] * 9), "at most 8"),
    (choice(choices="red"), "choices is not a list"),
    (choice(answer="yellow"), "not one of the options"),
    ({"question": "Q?", "choices": ["a", "b"], "end_time": 1}, "lacks “answer”"),
    (choice(None), "lacks “end_time”"),
    (choice(-1), "end_time is not a number"),
    (choice(float("nan")), "end_time is not a number"),
    (choice("5"), "end_time is not a number"),
    (choice(question="\ud800"), "not valid Unicode"),
]


@pytest.mark.parametrize(("item", "reason"), WRONG)
def test_a_defect_of_a_question_is_a_reason_to_skip_it(tmp_path, item, reason):
    entries = [{"video_path": "/data/a.mp4", "video_id": 1, "conversations": [item, choice(3)]}]
    video = read_annotations(write_annotations(tmp_path / "a.json", entries), BENCHMARKS["ovobench"]).videos[0]
    faults = {question.index: question.fault for question in video.questions}
    assert reason in faults[0]
    assert faults[1] == ""


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"video_path": None}, "video_path is not a string"),
        ({"video_path": ""}, "does not name a file"),
        ({"video_path": "/data/../../etc/passwd"}, "does not name a file"),
        ({"video_path": "/data/a\0b"}, "does not name a file"),
        ({"fps": 0}, "fps is not a number"),
        ({"fps": "3"}, "fps is not a number"),
        ({"clip": [5, 2]}, "ends before it starts"),
        ({"clip": [1]}, "not a start and an end"),
        ({"clip": [0, float("inf")]}, "clip is not a number"),
        ({"task": 7}, "task is not a string"),
    ],
)
def test_a_defect_of_a_video_is_a_reason_to_skip_it(tmp_path, changed, reason):
    entry = {"video_path": "/data/a.mp4", "video_id": 1, "conversations": [choice()]} | changed
    video = read_annotations(write_annotations(tmp_path / "a.json", [entry]), BENCHMARKS["ovobench"]).videos[0]
    assert reason in video.fault


def test_a_path_stays_below_the_folder_of_videos(tmp_path):
    paths = ["/data//etc/passwd", "/etc/passwd", "//etc/passwd", "sub/a.mp4", "/x/data/y/a.mp4", "c:\\data\\b.mp4"]
    entries = [{"video_path": path, "video_id": 1, "conversations": [choice()]} for path in paths]
    videos = read_annotations(write_annotations(tmp_path / "a.json", entries), BENCHMARKS["ovobench"]).videos
    assert [video.path for video in videos] == [
        "etc/passwd", "etc/passwd", "etc/passwd", "sub/a.mp4", "y/a.mp4", "b.mp4",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("{}", "not a list"),
        ("[]", "no question"),
        ("[1]", "entry 1 is not an object"),
        ('[{"video_path": "a"}]', "entry 1 lacks “conversations”"),
        ('[{"conversations": {}}]', "conversations of entry 1 is not a list"),
        ('[{"conversations": ["x"]}]', "question 1 of entry 1 is not an object"),
    ],
)
def test_a_file_that_is_no_list_of_videos_is_rejected(tmp_path, text, reason):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(BenchmarkError, match=reason):
        read_annotations(path, BENCHMARKS["ovobench"])


def test_missing_files_and_unknown_benchmarks(tmp_path):
    with pytest.raises(BenchmarkError, match="no annotation file"):
        read_annotations(tmp_path, BENCHMARKS["ovobench"])
    with pytest.raises(BenchmarkError, match="Available: streamingbench"):
        benchmark_of("nothing")
