"""Policies written by users: by instance, registered by name, loaded from a plugin file."""

import json
import multiprocessing
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import preloaded
import pytest
from small_lab import without_times

import hermes
from hermes.cli import main
from hermes.policies import PolicyError, load_plugin, make_policy, unregister_policy

PLUGIN = '''
from dataclasses import dataclass
import hermes

@hermes.register_policy
@dataclass
class {name}(hermes.Policy):
    """Retain the newest tokens."""

    def after_encode(self, step):
        return self.retain_newest(step)
'''


@dataclass
class OddFrames(hermes.Policy):
    """Retain the tokens of odd frames first.

    More words that no menu shows.
    """

    extra: int = 3

    def after_encode(self, step):
        counts = step.video_tokens()
        if max(counts) <= self.budget:
            return None
        kept = []
        for layer, count in zip(step.cache.layers, counts, strict=True):
            odd = layer.labels[0, step.prompt_len : layer.length].long() % 2
            kept.append(odd.argsort(stable=True)[count - self.budget :].sort().values)
        return self.retain(step, kept)


def _frames(count, start=0):
    rng = np.random.default_rng(start)
    return rng.integers(0, 255, (count, 64, 64, 3), np.uint8), [0.5 * (start + i) for i in range(count)]


def test_an_unregistered_policy_runs_by_instance(pocket):
    session = hermes.StreamSession(pocket, policy=OddFrames(budget=4 * pocket.tokens_per_frame, extra=7))
    session.push(*_frames(10))
    snapshot = session.snapshot()
    assert snapshot.policy == "odd-frames"
    assert (snapshot.kept[:, 1::2].sum(1) > 0).all()
    assert set(np.unique(snapshot.frame[snapshot.frame >= 0]) % 2) == {1}
    assert snapshot.kept_per_layer.tolist() == [session.policy.budget] * snapshot.num_layers
    session.configure(budget=3 * pocket.tokens_per_frame)  # needs no registered name
    assert (session.policy.budget, session.policy.extra) == (3 * pocket.tokens_per_frame, 7)


def test_a_subclass_describes_itself():
    assert (OddFrames.name, OddFrames.title, OddFrames.badge) == ("odd-frames", "Odd frames", "custom policy")
    assert OddFrames.about == "Retain the tokens of odd frames first."
    assert OddFrames.kind_of() == "custom"

    class Mine(hermes.POLICIES["hermes"]):
        pass

    assert (Mine.name, Mine.badge) == ("mine", "custom policy")  # never presented as the published system
    assert hermes.POLICIES["memstream"].badge == hermes.POLICIES["rekv"].badge


def test_a_registered_policy_is_found_by_name_and_can_be_registered_again(pocket):
    try:
        assert hermes.register_policy(OddFrames) is OddFrames
        hermes.register_policy(OddFrames)
        assert hermes.POLICIES["odd-frames"] is OddFrames
        assert make_policy("odd-frames", budget=9).budget == 9
        session = hermes.StreamSession(pocket, policy="sliding-window", budget=64)
        session.configure("odd-frames")
        assert session.policy == OddFrames(budget=64)
    finally:
        unregister_policy("odd-frames")
    assert "odd-frames" not in hermes.POLICIES


def _abstract():
    class Unfinished(hermes.Policy):
        pass

    return Unfinished


def _taken():
    class Other(hermes.POLICIES["full"]):
        name: ClassVar[str] = "hermes"

    return Other


def _no_dataclass():
    class Forgot(hermes.POLICIES["full"]):
        sinks: int = 4

    return Forgot


def _no_field():
    class Listed(hermes.POLICIES["full"]):
        settings: ClassVar = (hermes.Setting("depth", "Depth", "How deep.", "number", 1),)

    return Listed


def _bad_name():
    class Spaced(hermes.POLICIES["full"]):
        name: ClassVar[str] = "two words"

    return Spaced


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_abstract, "Unfinished does not implement after_encode"),
        (_taken, "already a policy “hermes”"),
        (_no_dataclass, "declares sinks but is not a dataclass"),
        (_no_field, "lists the setting depth but has no such field"),
        (_bad_name, "“two words” is not a valid policy name"),
        (OddFrames, "Only subclasses of hermes.Policy"),
    ],
)
def test_unusable_policies_are_refused_with_the_reason(make, message):
    before = dict(hermes.POLICIES)
    with pytest.raises(PolicyError, match=message):
        hermes.register_policy(make())
    assert dict(hermes.POLICIES) == before


@pytest.mark.usefixtures("own_plugins")
def test_a_plugin_file_registers_its_policy(tmp_path):
    path = tmp_path / "newest_of_all.py"
    path.write_text(PLUGIN.format(name="NewestOfAll"))
    load_plugin(str(path))
    load_plugin(str(path))  # a second time changes nothing
    assert hermes.POLICIES["newest-of-all"].about == "Retain the newest tokens."


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.py", None, "There is no plugin file"),
        ("broken_plugin.py", "def (:", "cannot be loaded: SyntaxError"),
        ("json.py", "", "has the name of another module, json"),
        ("empty_plugin.py", "x = 1", "registers no policy"),
        ("no_such_module_here", None, "cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_plugins_that_cannot_be_used_say_why(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(PolicyError, match=message):
        load_plugin(str(path) if name.endswith(".py") else name)
    if content == "x = 1":
        del sys.modules["empty_plugin"]


@pytest.mark.usefixtures("own_plugins")
def test_the_command_line_and_its_workers_know_a_plugin(tmp_path, capsys, monkeypatch):
    """Worker processes measure what this process measures, and load the plugin too."""
    forking = preloaded.context()  # as separate as spawned processes, but without importing torch in each
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: forking)
    path = tmp_path / "newest_by_plugin.py"
    path.write_text(PLUGIN.format(name="NewestByPlugin"))
    command = ["lab", "--plugin", str(path), "--policies", "newest-by-plugin", "sliding-window", "hermes", "--json",
               "--budgets", "25%", "--streams", "2", "--frames", "16", "--reference", "sliding-window"]  # fmt: skip
    found = []
    for workers in ("2", "1"):
        folder = tmp_path / f"lab-{workers}"
        assert main([*command, "--workers", workers, "--out", str(folder)]) == 0, capsys.readouterr().err
        found.append(json.loads((folder / "lab.json").read_text()))
    assert without_times(found[0]["cells"]) == without_times(found[1]["cells"])
    assert found[0]["comparisons"] == found[1]["comparisons"]
    lab = (folder / "lab.csv").read_text().splitlines()
    rows = {line.split(",")[0]: line.split(",")[5] for line in lab if ",all," in line}
    assert rows["newest-by-plugin"] == rows["sliding-window"]  # the same rule, the same answers
    capsys.readouterr()
    assert main(["lab", "--plugin", str(tmp_path / "none.py")]) == 2
    assert capsys.readouterr().err.startswith("hermes: error: There is no plugin file")


@pytest.mark.usefixtures("own_plugins")
def test_the_page_offers_a_plugin(tmp_path):
    from ui.flags import parse  # noqa: PLC0415
    from ui.lab.choices import choices  # noqa: PLC0415

    path = tmp_path / "newest_in_page.py"
    path.write_text(PLUGIN.format(name="NewestInPage"))
    flags = parse(["--plugin", str(path), "--policy", "newest-in-page"])
    assert flags.policy == "newest-in-page"
    offered = {choice["name"]: choice for choice in choices(hermes.POLICIES)}
    assert offered["newest-in-page"]["title"] == "Newest in page"
    assert offered["newest-in-page"]["badge"] == "custom policy"
    assert offered["newest-in-page"]["group"]
