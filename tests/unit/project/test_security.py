"""SECURITY.md states the limits as the code sets them, and model folders run no code."""

from __future__ import annotations

import importlib
import json
import re
import shutil
from pathlib import Path

import pytest

import hermes
from hermes.errors import HermesError

ROOT = Path(__file__).parents[3]
ROW = re.compile(r"^\| (?P<limit>[^|]+) \| (?P<value>[\d,.]+) \| `(?P<where>[\w.]+)` \|", re.MULTILINE)
LIMITS = [(match["where"], match["value"]) for match in ROW.finditer((ROOT / "SECURITY.md").read_text("utf-8"))]


def resolve(path):
    """The object that a dotted path names: a module, then attributes."""
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            found = getattr(found, name)
        return found
    raise LookupError(path)


def test_the_table_has_rows():
    assert len(LIMITS) > 10


@pytest.mark.parametrize(("where", "value"), LIMITS)
def test_a_limit_has_the_value_that_the_document_states(where, value):
    assert resolve(where) == float(value.replace(",", ""))


def test_code_in_a_model_folder_does_not_run(tiny_folder, tmp_path):
    folder, trace = tmp_path / "model", tmp_path / "it-ran"
    shutil.copytree(tiny_folder, folder)
    code = f"open({str(trace)!r}, 'w')\nclass Config: pass\nclass Tokenizer: pass\n"
    (folder / "code.py").write_text(code)
    for name, entry in (("config.json", {"AutoConfig": "code.Config"}),
                        ("tokenizer_config.json", {"AutoTokenizer": ["code.Tokenizer", None]})):  # fmt: skip
        content = json.loads((folder / name).read_text("utf-8")) | {"auto_map": entry}
        (folder / name).write_text(json.dumps(content))
    hermes.load(folder, device="cpu")
    config = json.loads((folder / "config.json").read_text("utf-8")) | {"model_type": "unknown"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(HermesError):
        hermes.load(folder, device="cpu")
    assert not trace.exists()


def test_pickled_weights_are_not_read(tiny_folder, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(HermesError, match=r"model\.safetensors is missing"):
        hermes.load(folder, device="cpu")
