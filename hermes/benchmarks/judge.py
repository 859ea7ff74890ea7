"""Judges of open-ended answers: a model behind an OpenAI-compatible endpoint, or a file of pairs to be judged elsewhere.

A judge compares an answer with the reference and returns yes or no, and a score from 0 to 5. Numbers of different judges
must not be compared.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import httpx2

from hermes.benchmarks.catalogue import BenchmarkError
from hermes.benchmarks.results import MAX_INDEX, MAX_LINE, Json, Key, Results, ResultsFile
from hermes.errors import FailedError
from hermes.files import checks
from hermes.files.checks import InvalidValueError

URL_VARIABLE: Final = "OPENAI_BASE_URL"
KEY_VARIABLE: Final = "OPENAI_API_KEY"
TRIES: Final = 10
MAX_TOKENS: Final = 300
TIMEOUT: Final = httpx2.Timeout(60.0)
LONGEST_WAIT: Final = 30.0
"""Most seconds between two tries after the endpoint was busy or unreachable."""
UNREADABLE: Final = "no readable reply"

SYSTEM: Final = (
    "You evaluate answers to questions about videos. Compare the predicted answer with the correct answer. They match if "
    "they mean the same; synonyms and paraphrases are valid. Judge only the meaning, not style or length."
)
USER: Final = (
    "Question: {question}\nCorrect answer: {reference}\nPredicted answer: {answer}\n\n"
    'Does the predicted answer match? Reply only with a JSON object: "pred" is "yes" or "no", and "score" is an integer '
    'from 0 (no match) to 5 (perfect match). Example: {{"pred": "yes", "score": 4}}'
)
_OBJECT: Final = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True)
class JudgeVerdict:
    """A judge's opinion of an answer.

    Attributes:
        correct: Whether the answer matches the reference.
        score: 0 (no match) to 5 (perfect match).
    """

    correct: bool
    score: int


class Judge(Protocol):
    """Compares answers with references.

    Attributes:
        name: Names the judge in results.
    """

    name: str

    def judge(self, question: str, reference: str, answer: str) -> JudgeVerdict | None:
        """Return the verdict on an answer; None if the judge gave no readable reply."""


def read_verdict(reply: str) -> JudgeVerdict | None:
    """Read a judge's reply: a JSON object, or a Python dictionary as older judges write it, with other text around it.

    Returns:
        The verdict; None if `pred` is not yes or no, or `score` is not an integer from 0 to 5.
    """
    for found in _OBJECT.findall(reply):
        try:
            value = json.loads(found if '"' in found else found.replace("'", '"'))
            return verdict_of(value)
        except (ValueError, InvalidValueError):
            continue
    return None


def verdict_of(value: Mapping[str, Any]) -> JudgeVerdict:
    """Return the verdict in an object with `pred` and `score`.

    Raises:
        InvalidValueError: One of them is missing or invalid.
    """
    known = dict(value)
    verdict_text = checks.text(checks.member(known, "pred", "verdict"), "pred", 100).strip().lower()
    score = checks.member(known, "score", "verdict")
    if isinstance(score, str) and re.fullmatch(r"[0-5]", score.strip()):
        score = int(score)
    if verdict_text not in ("yes", "no"):
        raise InvalidValueError("The pred is neither yes nor no.")
    return JudgeVerdict(verdict_text == "yes", checks.whole(score, "score", 0, 5))


class EndpointJudge:
    """A model behind an OpenAI-compatible endpoint (`POST {url}/chat/completions`), asked greedily.

    Attributes:
        name: The model.
    """

    def __init__(self, model: str, url: str, key: str | None, wait: Callable[[float], None] = time.sleep) -> None:
        """Set the endpoint; nothing is sent.

        Args:
            model: Name of the model.
            url: Address of the endpoint, such as "https://api.openai.com/v1".
            key: Sent as a bearer token; None: none.
            wait: Waits for a number of seconds between two tries.

        Raises:
            BenchmarkError: The address is not one of HTTP.
        """
        if not url.startswith(("https://", "http://")):
            raise BenchmarkError(f"The address of the judge must begin with https:// or http://, not “{url}”.")
        self.name = model
        self._wait = wait
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._address = f"{url.rstrip('/')}/chat/completions"
        self._client = httpx2.Client(headers=headers, timeout=TIMEOUT)

    @classmethod
    def from_environment(cls, model: str) -> EndpointJudge:
        """Use the endpoint of `OPENAI_BASE_URL`, with the key of `OPENAI_API_KEY` if it is set.

        Raises:
            BenchmarkError: There is no address.
        """
        url = os.environ.get(URL_VARIABLE, "")
        if not url:
            raise BenchmarkError(
                f"The judge needs the address of an OpenAI-compatible endpoint in {URL_VARIABLE} (and its key, if it needs "
                f"one, in {KEY_VARIABLE}). Or write the pairs to a file with --write-pairs."
            )
        return cls(model, url, os.environ.get(KEY_VARIABLE) or None)

    def judge(self, question: str, reference: str, answer: str) -> JudgeVerdict | None:
        """Ask up to ten times, until the reply can be read.

        Raises:
            FailedError: The endpoint rejects the request, or cannot be reached in ten tries.
        """
        body = {
            "model": self.name,
            "temperature": 0,
            "max_tokens": MAX_TOKENS,
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": USER.format(question=question, reference=reference, answer=answer)},
            ],
        }
        trouble = ""
        for attempt in range(TRIES):
            try:
                response = self._client.post(self._address, json=body)
            except httpx2.HTTPError as error:
                trouble = f"it cannot be reached: {error or type(error).__name__}"
            else:
                if response.is_success:
                    trouble = ""
                    verdict = read_verdict(_content(response))
                    if verdict is not None:
                        return verdict
                    continue
                trouble = f"it answers with status {response.status_code}"
                if response.status_code not in (408, 409, 429) and response.status_code < 500:
                    raise FailedError(f"The judge rejects the request: {trouble}.")
            if attempt + 1 < TRIES:
                self._wait(min(2.0**attempt, LONGEST_WAIT))
        if trouble:
            raise FailedError(f"The judge does not work: {trouble}. Judged answers are stored; run the command again.")
        return None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _content(response: httpx2.Response) -> str:
    """Return the text of a completion; empty if the reply has another form."""
    try:
        content = response.json()["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
    return content if isinstance(content, str) else ""


def unjudged(results: Results, judge: str) -> list[Json]:
    """Return the records of open-ended answers that a judge has not seen, in the order of the annotation file."""
    seen = results.verdicts.get(judge, {})
    return [
        row
        for row in results.rows
        if (row["video"], row["question"]) not in seen
        and "answer" in row
        and "choices" not in row
        and row["reference"] is not None
    ]


def judge_results(file: ResultsFile, judge: Judge, progress: Callable[[int, int], None] | None = None) -> None:
    """Judge all answers that have no verdict of this judge yet, and store each verdict immediately."""
    rows = unjudged(file.results, judge.name)
    for done, row in enumerate(rows):
        if progress:
            progress(done, len(rows))
        verdict = judge.judge(row["text"], row["reference"], row["answer"])
        stored: Json = {"error": UNREADABLE}
        if verdict is not None:
            stored = {"correct": verdict.correct, "score": verdict.score}
        file.add_verdict(judge.name, (row["video"], row["question"]), stored)
    if progress:
        progress(len(rows), len(rows))


def pairs_of(results: Results) -> str:
    """Return the answers to be judged as JSON lines: `video`, `question_number`, `question`, `reference`, `answer`.

    A judge adds `pred` ("yes" or "no") and `score` (0 to 5) to each line, see `read_pairs`.
    """
    lines = (
        {
            "video": row["video"],
            "question_number": row["question"],
            "question": row["text"],
            "reference": row["reference"],
            "answer": row["answer"],
        }
        for row in unjudged(results, "")
    )
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def read_pairs(path: Path, results: Results) -> Iterator[tuple[Key, JudgeVerdict]]:
    """Read a file of pairs with verdicts, for the answers of a results file.

    Raises:
        BenchmarkError: The file cannot be read, a line is invalid, or a pair is not one of the results.
    """
    if not path.is_file():
        raise BenchmarkError(f"There is no file of pairs {path}.")
    number = 0
    try:
        with path.open("rb") as file:
            while line := file.readline(MAX_LINE + 1):
                number += 1
                yield _pair(line, results)
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be read: {error.strerror}.") from error
    except InvalidValueError as error:
        raise BenchmarkError(f"{path} is invalid in line {number}: {error}") from error


def _pair(line: bytes, results: Results) -> tuple[Key, JudgeVerdict]:
    value = checks.mapping(checks.parse_json(line, MAX_LINE, "line"), "line")
    video, question = (
        checks.whole(checks.member(value, name, "pair"), name, 0, MAX_INDEX) for name in ("video", "question_number")
    )
    row = results.records.get((video, question))
    if row is None or (value.get("question"), value.get("answer")) != (row["text"], row.get("answer")):
        raise InvalidValueError("The pair does not belong to these results.")
    return (video, question), verdict_of(value)
