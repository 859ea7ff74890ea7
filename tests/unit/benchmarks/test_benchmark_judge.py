"""Judges of open-ended answers: replies, a real HTTP endpoint on this machine, and files of pairs."""

from __future__ import annotations

import json
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from benchmark_data import run, write_annotations, write_numbered

from hermes.benchmarks.catalogue import BenchmarkError
from hermes.benchmarks.judge import EndpointJudge, JudgeVerdict, read_verdict
from hermes.benchmarks.results import read_results
from hermes.cli import main
from hermes.errors import FailedError

YES = '{"pred": "yes", "score": 4}'


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (YES, JudgeVerdict(True, 4)),
        ("{'pred': 'no', 'score': 0}", JudgeVerdict(False, 0)),
        ('Sure: {"pred": "Yes", "score": "5"}.', JudgeVerdict(True, 5)),
        ('{"x": 1} {"pred": "no", "score": 2}', JudgeVerdict(False, 2)),
        ('{"pred": "yes", "score": 4.5}', None),  # the released evaluation cuts it to 4
        ('{"pred": "yes", "score": 4.0}', None),
        ('{"pred": "yes", "score": 6}', None),
        ('{"pred": "yes", "score": true}', None),
        ('{"pred": "maybe", "score": 3}', None),
        ('{"pred": "yes"}', None),
        ("{" * 1000, None),
        ("yes, 4", None),
        ("", None),
    ],
)
def test_replies_are_read_strictly(reply, verdict):
    assert read_verdict(reply) == verdict


@contextmanager
def endpoint(replies):
    """An OpenAI-compatible endpoint that gives these replies: a text, a status code, or bytes as the body."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, self.headers.get("Authorization"), json.loads(body)))
            reply = replies[min(len(received), len(replies)) - 1]
            content = {"choices": [{"message": {"role": "assistant", "content": reply}}]}
            data = reply if isinstance(reply, bytes) else json.dumps(content).encode()
            self.send_response(reply if isinstance(reply, int) else 200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def judged(replies, waited=None):
    """Ask an endpoint with these replies once; returns the verdict and the requests."""
    waits = [] if waited is None else waited
    with endpoint(replies) as (url, received), closing(EndpointJudge("a-model", url, "secret", waits.append)) as judge:
        return judge.judge("What?", "A cup.", "A mug {x}."), received


def test_the_endpoint_is_asked_greedily_until_the_reply_can_be_read():
    verdict, received = judged(["no idea", b"\xff not JSON", '{"pred": "yes", "score": 3.5}', YES])
    assert verdict == JudgeVerdict(True, 4)
    assert len(received) == 4
    path, key, body = received[0]
    assert (path, key) == ("/v1/chat/completions", "Bearer secret")
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("a-model", 0, 300)
    for part in ("Question: What?", "Correct answer: A cup.", "Predicted answer: A mug {x}."):
        assert part in body["messages"][1]["content"]


def test_a_judge_without_a_readable_reply_gives_up_after_ten_tries():
    verdict, received = judged(["no idea"])
    assert verdict is None
    assert len(received) == 10


def test_a_busy_endpoint_is_asked_again_and_a_rejection_is_an_error():
    waited = []
    verdict, received = judged([429, 503, YES], waited)
    assert verdict == JudgeVerdict(True, 4)
    assert (len(received), waited) == (3, [1.0, 2.0])
    with pytest.raises(FailedError, match="rejects the request: it answers with status 401"):
        judged([401])
    with pytest.raises(FailedError, match="status 500"):
        judged([500])


@pytest.fixture
def rvs(tmp_path):
    """Results of RVS-Ego with three answers."""
    write_numbered(tmp_path / "a.mp4", 10, 2)
    asked = [{"question": f"What {i}?", "answer": f"Thing {i}.", "end_time": i + 1} for i in range(3)]
    entries = [{"video_path": "/data/a.mp4", "video_id": 1, "conversations": asked}]
    run(tmp_path, write_annotations(tmp_path / "a.json", entries), name="rvs-ego", reply="A thing.")
    return tmp_path / "run.jsonl"


def test_the_command_stores_verdicts_and_continues(rvs, monkeypatch, capsys):
    with endpoint([YES, "x", *["no idea"] * 9, '{"pred": "no", "score": 1}']) as (url, received):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        assert main(["benchmark", "judge", str(rvs), "--judge", "a-model"]) == 0
        assert len(received) == 12
        assert received[0][1] is None
        assert main(["benchmark", "judge", str(rvs), "--judge", "a-model"]) == 0
        assert len(received) == 12  # nothing is judged twice
    assert list(read_results(rvs).verdicts["a-model"].values()) == [
        {"correct": True, "score": 4}, {"error": "no readable reply"}, {"correct": False, "score": 1},
    ]  # fmt: skip
    printed = capsys.readouterr().out
    assert "RVS-Ego, judged by a-model" in printed
    assert "50.0 (" in printed
    assert "2.50 (" in printed


def test_pairs_can_be_judged_elsewhere(rvs, tmp_path, capsys):
    pairs = tmp_path / "pairs.jsonl"
    assert main(["benchmark", "judge", str(rvs), "--write-pairs", str(pairs)]) == 0
    lines = [json.loads(line) for line in pairs.read_text().splitlines()]
    assert [(line["question"], line["reference"], line["answer"]) for line in lines] == [
        (f"What {i}?", f"Thing {i}.", "A thing.") for i in range(3)
    ]
    scored = [line | {"pred": "yes", "score": i} for i, line in enumerate(lines)]
    pairs.write_text("".join(json.dumps(line) + "\n" for line in scored))
    command = ["benchmark", "judge", str(rvs), "--read-pairs", str(pairs), "--judge", "a person"]
    before = rvs.read_bytes()
    for change, reason in (
        ({"score": 9}, "line 3: The score"), ({"answer": "other"}, "line 3: The pair"), ({"pred": None}, "line 3: The pred"),
    ):  # fmt: skip
        changed = [*scored[:2], scored[2] | change]
        pairs.write_text("".join(json.dumps(line) + "\n" for line in changed))
        assert main(command) == 2
        assert reason in capsys.readouterr().err
        assert rvs.read_bytes() == before  # all or nothing
    pairs.write_text("".join(json.dumps(line) + "\n" for line in scored))
    assert main(command) == 0
    assert read_results(rvs).verdicts == {"a person": {(0, i): {"correct": True, "score": i} for i in range(3)}}


def test_a_judge_needs_a_name_an_address_and_open_ended_answers(rvs, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert main(["benchmark", "judge", str(rvs)]) == 2
    assert main(["benchmark", "judge", str(rvs), "--judge", "m"]) == 2
    assert main(["benchmark", "judge", str(tmp_path / "nothing"), "--judge", "m"]) == 2
    text = rvs.read_text().replace('"rvs-ego"', '"videomme"')
    rvs.write_text(text)
    assert main(["benchmark", "judge", str(rvs), "--write-pairs", str(tmp_path / "p")]) == 2
    errors = capsys.readouterr().err
    for reason in ("with --judge", "OPENAI_BASE_URL", "no results file", "need no judge"):
        assert reason in errors
    with pytest.raises(BenchmarkError, match="https"):
        EndpointJudge("m", "ftp://x", None)
