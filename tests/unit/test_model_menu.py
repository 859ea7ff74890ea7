"""The list of models, and consent to a large download as the page asks for it."""

from __future__ import annotations

import pytest

from hermes.backbones.catalogue import CATALOGUE
from hermes.backbones.downloads import ConsentError, Download
from hermes.engine import Engine
from hermes.errors import HermesError
from ui.model_menu import choices
from ui.models import Shelf


def test_the_list_says_what_each_needs_and_whether_it_fits():
    listed = choices(("pocket",), hub=True)
    assert [name for _, name in listed] == ["pocket", *(model.id for model in CATALOGUE)]
    labels = {name: text for text, name in listed}
    assert " · published with HERMES · needs " in labels["Qwen/Qwen2.5-VL-7B-Instruct"]
    assert "not published with HERMES" in labels["OpenGVLab/InternVL3-1B-hf"]
    assert choices(("pocket",), hub=False) == [("HERMES pocket · ships with the demo", "pocket")]


class Asking(Engine):
    """An engine one of whose models would be a large download, as the real one meets it through its `confirm`."""

    def load(self, name, progress=None, confirm=None):
        if name == "team/large":
            download = Download(name, 15_000_000_000, "apache-2.0")
            if not confirm(download):
                raise ConsentError(download)
            raise HermesError("It was agreed to.")
        return super().load(name, progress, confirm)


@pytest.fixture
def shelf(tiny_folder):
    engine = Asking()
    engine.load(str(tiny_folder))
    yield Shelf(engine)
    engine.close()


def test_nobody_agrees_unless_asked(shelf):
    with pytest.raises(ConsentError, match=r"15\.0 GB \(licence: apache-2\.0\)"):
        shelf.ensure("team/large")
    with pytest.raises(ConsentError):
        list(shelf.follow("team/large"))
    with pytest.raises(HermesError, match="agreed to"):
        list(shelf.follow("team/large", agreed=True))


def test_loading_is_followed_to_its_end(shelf, tiny_folder):
    told = list(shelf.follow(str(tiny_folder)))
    assert all(text.endswith(("%)", "…")) for text in told)
    assert shelf.state(str(tiny_folder)).info is not None
    assert list(shelf.follow(str(tiny_folder))) == []
