"""Downloads from a local hub: lookup, announcement with size and licence, consent, and progress."""

from __future__ import annotations

import json
from pathlib import Path

import preloaded
import pytest
import tiny
from local_hub import Hub

ROOT = Path(__file__).parents[3]
LOAD = """
import contextlib, importlib, io, json, sys
from huggingface_hub import constants
importlib.reload(constants)  # reads the environment
import hermes
from hermes.backbones.downloads import ConsentError
from hermes.errors import HermesError

def load(requests):
    results = []
    for name, agree in requests:
        asked, reported = [], []
        def confirm(download):
            asked.append([download.name, download.size, download.licence])
            return agree
        try:
            model = hermes.load(
                name, device="cpu", progress=lambda text, share: reported.append([text, share]), confirm=confirm
            )
            result = {"model": model.family}
        except ConsentError as error:
            result = {"consent": str(error)}
        except HermesError as error:
            result = {"error": str(error)}
        results.append({**result, "asked": asked, "reported": reported})
    return results

requests, commands, away = json.loads(sys.argv[1])
found = {"models": load(requests), "commands": {}}
for name, arguments in commands.items():
    import app, hermes.cli
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        code = app.main(arguments) if name == "page" else hermes.cli.main(arguments)
    found["commands"][name] = [code, errors.getvalue()]
constants.HF_HUB_OFFLINE = True
found["offline"] = load(away)
constants.HF_HUB_OFFLINE = False
constants.ENDPOINT = "http://127.0.0.1:9"
found["unreachable"] = load(away)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    tiny.llava_onevision(folder)
    empty = tmp_path_factory.mktemp("empty")
    (empty / "README.md").write_text("no model")
    hub = Hub(
        {
            "team/small": (folder, "mit", 0, False),
            "team/large": (folder, "apache-2.0", 15_000_000_000, False),
            "team/agreed": (folder, "apache-2.0", 15_000_000_000, False),
            "team/unlicensed": (folder, None, 2_000_000_000, False),
            "team/gated": (folder, "other", 0, True),
            "team/empty": (empty, "mit", 0, False),
        }
    )
    yield hub
    hub.close()


NAMES = (
    "team/small",
    "team/large",
    "team/unlicensed",
    "team/nothing",
    "team/gated",
    "team/empty",
    "team/..",
    "team/agreed",
)


CLIP = str(ROOT / "assets" / "clips" / "quick-tour.webm")
COMMANDS = {
    "ask": ("ask", CLIP, "--question", "What?", "--model", "team/large"),
    "record": ("record", CLIP, "--model", "team/large"),
    "lab": ("lab", "--streams", "1", "--model", "team/large"),
    "eval": ("eval", "team/large"),
    "page": ("--model", "team/large"),
}
AWAY = [("team/small", False), ("team/large", True)]
"""What is loaded without the hub: a model in the cache, and one that is not."""


@pytest.fixture(scope="module")
def found(hub, tmp_path_factory):
    """The outcomes of all models and commands, from one process with its own cache."""
    folder = tmp_path_factory.mktemp("downloads")
    cache = tmp_path_factory.mktemp("cache")
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(cache), "HF_HUB_CACHE": str(cache / "hub"), "HF_TOKEN": ""}
    environment |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    requests = [(name, name == "team/agreed") for name in NAMES]
    program = tmp_path_factory.mktemp("program") / "load.py"
    program.write_text(LOAD, "utf-8")
    given = json.dumps([requests, COMMANDS, AWAY])
    code, out, err = preloaded.run(program, given, folder=folder, **environment)
    assert code == 0, err[-3000:]
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def results(found):
    """The result for each model, without consent to a download except of the last."""
    return dict(zip(NAMES, found["models"], strict=True))


def test_a_small_model_is_downloaded_without_consent_and_progress_is_reported(results):
    result = results["team/small"]
    assert (result["model"], result["asked"]) == ("llava_onevision", [])
    assert [share for text, share in result["reported"] if text.startswith("Downloading team/small")]
    shares = [share for _, share in result["reported"]]
    assert shares == sorted(shares)


def test_a_large_download_without_consent_is_not_started(results, hub):
    (name, size, licence), *more = results["team/large"]["asked"]
    assert (name, licence, more) == ("team/large", "apache-2.0", [])
    assert 15_000_000_000 < size < 15_010_000_000
    message = "“team/large” is a download of 15.0 GB (licence: apache-2.0). Nothing was downloaded."
    assert results["team/large"]["consent"] == message
    assert not [asked for asked in hub.asked if asked.startswith("GET team/large") and "safetensors" in asked]


def test_a_missing_licence_is_reported(results):
    assert "2.0 GB (licence: not stated)" in results["team/unlicensed"]["consent"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("team/nothing", "no model “team/nothing” on the hub"),
        ("team/gated", "is gated"),
        ("team/empty", "no config.json"),
        ("team/..", "not a valid hub id"),
    ],
)
def test_unavailable_models_are_rejected(results, name, words):
    assert words in results[name]["error"]


def test_with_consent_the_download_starts(results, hub):
    # The hub reports a larger size of the weights; the test checks that they are requested.
    assert [asked for asked in hub.asked if asked.startswith("GET team/agreed") and "safetensors" in asked]
    assert [name for name, _, _ in results["team/agreed"]["asked"]] == ["team/agreed"]


@pytest.mark.parametrize("away", ["offline", "unreachable"])
def test_without_the_hub_cached_models_are_used(found, results, away):
    assert results["team/small"]["model"]
    small, large = found[away]
    assert small["model"] == "llava_onevision"
    assert not [text for text, _ in small["reported"] if text.startswith("Downloading")]
    assert "hub cannot be reached" in large["error"]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_line_asks_and_without_a_terminal_refuses(found, hub, command):
    code, err = found["commands"][command]
    assert code in (1, 2)
    assert "15.0 GB (licence: apache-2.0)" in err
    assert "--yes" in err
    assert not [asked for asked in hub.asked if asked.startswith("GET team/large") and "safetensors" in asked]
