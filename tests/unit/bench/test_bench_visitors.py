"""The load test drives a real server over HTTP. Nothing here asserts a time."""

from __future__ import annotations

import json
import math

import preloaded
import pytest

from hermes import assets
from hermes.bench import server
from hermes.bench.page_client import PageConfig, _patched
from hermes.bench.visitor_results import Spread
from hermes.cli import main
from hermes.cli.bench_visitors import loopback
from hermes.errors import HermesError


def test_visitors_at_a_real_server(tmp_path):
    # In a separate process, because a browser test may have left an event loop running in this one.
    bench = ("bench", "--visitors", "3", "--streams", "2", "--minutes", "0.05", "--json")
    code, out, err = preloaded.run("hermes", *bench, folder=tmp_path)
    assert code == 0, err[-3000:]
    figures = json.loads(out)
    assert [figures[name] for name in ("visitors", "playing", "waiting", "full")] == [3, 2, 1, 0]
    assert figures["errors"] == {}
    for name in ("first_token", "answer", "poll"):
        spread = figures[name]
        assert spread["count"] >= 1
        assert 0 < spread["p50"] <= spread["p95"] <= spread["max"]
    assert figures["first_token"]["count"] == figures["answer"]["count"]
    assert len(figures["frames"]) == 2
    assert figures["frames_per_visitor"]["min"] > 0
    used = figures["resources"]
    assert min(used["rss_start"], used["rss_warm"], used["rss_end"]) > 100_000_000
    assert used["server_cores"] > 0
    assert figures["machine"]["cores"] >= 1


def test_percentiles_are_measured_values():
    assert Spread.of([0.4, 0.1, 0.2, 0.3]) == Spread(4, 0.2, 0.4, 0.4)
    assert Spread.of([float(n) for n in range(1, 101)]) == Spread(100, 50.0, 95.0, 100.0)
    empty = Spread.of([])
    assert empty.count == 0
    assert math.isnan(empty.p95)


@pytest.mark.parametrize("url", ["http://127.0.0.1:7860", "http://localhost:1/", "https://[::1]:7860/page/"])
def test_loopback_addresses_are_accepted(url):
    assert loopback(url) == url.rstrip("/") + "/"


@pytest.mark.parametrize(
    "url",
    ["http://example.com", "http://127.0.0.1.example.com/", "file:///etc/passwd", "127.0.0.1:7860", "http://a:b:c"],
)
def test_other_addresses_are_refused(url, capsys):
    assert main(["bench", "--visitors", "1", "--url", url]) == 2
    assert capsys.readouterr().err.startswith("hermes: error: ")


@pytest.mark.parametrize(
    "arguments",
    [["--visitors", "0"], ["--visitors", "1000"], ["--visitors", "1", "--minutes", "0"],
     ["--visitors", "1", "--minutes", "nan"], ["--visitors", "1", "--streams", "0"]],
)  # fmt: skip
def test_command_refuses(capsys, arguments):
    assert main(["bench", *arguments]) == 2
    assert capsys.readouterr().err.startswith("hermes: error: ")


def test_a_server_that_does_not_start_reports_the_reason(monkeypatch, tmp_path):
    program = tmp_path / "app.py"
    program.write_text("raise SystemExit('the model is damaged')")
    monkeypatch.setattr(server, "find_app", lambda: program)
    with pytest.raises(HermesError, match="ended before it answered:\nthe model is damaged"), server.Server():
        pass


def test_without_a_checkout_there_is_no_server(monkeypatch, tmp_path):
    monkeypatch.setattr(assets, "_PACKAGE", tmp_path / "site-packages" / "hermes")
    with pytest.raises(HermesError, match="`hermes bench --visitors` without --url needs a checkout"):
        server.Server()


def test_another_page_is_not_driven():
    with pytest.raises(HermesError, match="does not serve the page"):
        PageConfig.read({"components": [], "dependencies": [{"id": 0, "targets": [[1, "click"]]}]})


def test_changes_of_a_growing_text():
    assert _patched("[1", [["append", [], ", 2]"]]) == "[1, 2]"
    assert _patched("[1", [["replace", [], "[3]"]]) == "[3]"
    assert _patched("[1", []) == "[1"
    with pytest.raises(HermesError, match="unknown form"):
        _patched("[1", [["delete", [0], None]])
