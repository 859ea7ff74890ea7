"""The folder for a Hugging Face Space."""

from __future__ import annotations

from pathlib import Path

import pytest

from hermes.assets import checkout
from hermes.cli.space import PARTS, _files, build_space, front_matter
from hermes.errors import HermesError

ROOT = checkout("This test")


@pytest.fixture
def project(tmp_path):
    """A small project with the parts that a Space needs and some that it does not."""
    root = tmp_path / "project"
    for name in ("hermes/cli/__pycache__", "ui/static/node_modules", "assets/pocket", "tests"):
        (root / name).mkdir(parents=True)
    contents = {
        "app.py": "print('hello')\n",
        "requirements.txt": "torch==1.0\ngradio==9.8.7\n",
        "LICENSE": "MIT\n",
        "README.md": "# The project\n",
        "hermes/__init__.py": "",
        "hermes/cli/__pycache__/a.pyc": "x",
        "ui/static/board.js": "1",
        "ui/static/board.test.js": "2",
        "ui/static/node_modules/a.js": "4",
        "ui/.hidden": "3",
        "assets/pocket/config.json": "{}",
        "tests/test_a.py": "",
    }
    for name, content in contents.items():
        (root / name).write_text(content)
    return root


def listing(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_the_folder_contains_exactly_the_files_of_a_space(project, tmp_path):
    count, size = build_space(project, tmp_path / "space")
    assert listing(tmp_path / "space") == {
        "app.py", "requirements.txt", "LICENSE", "README.md", "hermes/__init__.py", "ui/static/board.js",
        "assets/pocket/config.json",
    }  # fmt: skip
    assert count == 7
    assert size == sum(file.stat().st_size for file in (tmp_path / "space").rglob("*") if file.is_file())


def test_readme_begins_with_the_front_matter(project, tmp_path):
    build_space(project, tmp_path / "space")
    readme = (tmp_path / "space/README.md").read_text(encoding="utf-8")
    assert readme.startswith("---\ntitle: HERMES Live\n")
    assert "\nsdk_version: 9.8.7\n" in readme
    assert readme.endswith("---\n\n# The project\n")


def test_refuses_files_that_the_hub_refuses(project, tmp_path):
    (project / "assets/big.bin").write_bytes(bytes(10_000_001))
    with pytest.raises(HermesError, match=r"assets/big.bin \(10.0 MB\)"):
        build_space(project, tmp_path / "space")
    assert not (tmp_path / "space").exists()


def test_refuses_an_incomplete_project(project, tmp_path):
    (project / "app.py").unlink()
    with pytest.raises(HermesError, match=r"app\.py missing"):
        build_space(project, tmp_path / "space")


def test_refuses_a_folder_that_holds_other_things(project, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").write_text("years of work")
    with pytest.raises(HermesError, match="neither empty nor a clone"):
        build_space(project, tmp_path / "thesis")
    assert listing(tmp_path / "thesis") == {"chapter.txt"}
    with pytest.raises(HermesError, match="is a file"):
        build_space(project, tmp_path / "thesis/chapter.txt")
    with pytest.raises(HermesError, match="outside"):
        build_space(project, project / "assets" / "space")


def test_replaces_the_files_of_a_clone_and_keeps_its_history(project, tmp_path):
    space = tmp_path / "space"
    (space / ".git").mkdir(parents=True)
    (space / ".git/config").write_text("history")
    (space / ".gitattributes").write_text("lfs")
    (space / "README.md").write_text("---\nsdk: gradio\n---\n")
    (space / "old").mkdir()
    (space / "old/module.py").write_text("")
    build_space(project, space)
    build_space(project, space)
    assert "old/module.py" not in listing(space)
    assert {".git/config", ".gitattributes", "app.py"} <= listing(space)


def test_spaces_md_shows_the_front_matter_that_the_command_writes():
    assert front_matter(ROOT) in (ROOT / "Spaces.md").read_text(encoding="utf-8")


def test_short_description_fits_the_hub():
    line = next(line for line in front_matter(ROOT).splitlines() if line.startswith("short_description: "))
    assert len(line.removeprefix("short_description: ")) <= 60


def test_no_part_of_this_project_is_too_large():
    large = [file for part in PARTS for file in _files(ROOT / part) if file.stat().st_size > 10_000_000]
    assert large == []
