"""The list of models, and consent to a large download as the page asks for it."""

from __future__ import annotations

import pytest

from hermes.backbones import placement, sources
from hermes.backbones.catalogue import CATALOGUE
from hermes.backbones.downloads import ConsentError, Download
from hermes.backbones.placement import MemoryShortError
from hermes.errors import HermesError
from hermes.policies import POLICIES
from hermes.serving.engine import Engine
from hermes.view import StreamSettings
from ui.page.model_menu import choices
from ui.settings.model_loader import ModelLoader
from ui.visitors.visitor import Visitor


def test_the_list_states_memory_and_fit_of_each_model():
    listed = choices(("pocket",), hub=True)
    assert [name for _, name in listed] == ["pocket", *(model.id for model in CATALOGUE)]
    labels = {name: text for text, name in listed}
    assert " · published with HERMES · needs " in labels["Qwen/Qwen2.5-VL-7B-Instruct"]
    assert labels["Qwen/Qwen2.5-VL-7B-Instruct"].startswith("Qwen2.5-VL 7B · any video · ")
    assert "not published with HERMES" in labels["OpenGVLab/InternVL3-1B-hf"]
    assert choices(("pocket", "things", "team/own"), hub=False) == [
        ("HERMES pocket · coloured cards in the bundled clips", "pocket"),
        ("HERMES things · 121 everyday objects on camera and in videos", "things"),
        ("team/own", "team/own"),
    ]


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
def loader(tiny_folder):
    engine = Asking()
    engine.load(str(tiny_folder))
    yield ModelLoader(engine)
    engine.close()


def test_consent_is_only_given_when_asked(loader):
    with pytest.raises(ConsentError, match=r"15\.0 GB \(licence: apache-2\.0\)"):
        loader.ensure("team/large")
    with pytest.raises(ConsentError):
        list(loader.follow("team/large"))
    with pytest.raises(HermesError, match="agreed to"):
        list(loader.follow("team/large", agreed=True))


def test_loading_is_followed_to_its_end(loader, tiny_folder):
    payload = list(loader.follow(str(tiny_folder)))
    assert all(text.endswith(("%)", "…")) for text in payload)
    assert loader.state(str(tiny_folder)).info is not None
    assert list(loader.follow(str(tiny_folder))) == []


def test_a_model_that_does_not_fit_is_rejected_before_a_download(tiny_folder, monkeypatch):
    name = "Qwen/Qwen2.5-VL-7B-Instruct"
    free = 3 * 2**30
    monkeypatch.setattr(placement, "free_bytes", lambda _device: free)
    asked = []
    monkeypatch.setattr(sources, "fetch", lambda *wanted: asked.append(wanted))
    assert " · does not fit here" in {listed: text for text, listed in choices(("pocket",), hub=True)}[name]
    engine = Engine()
    loader, settings = ModelLoader(engine), StreamSettings(model=str(tiny_folder), budget=64)
    loader.ensure(settings.model)
    visitor = Visitor(settings, loader, {}, POLICIES)
    message = r"“Qwen/Qwen2.5-VL-7B-Instruct” needs about \d+\.\d GiB in bfloat16, and 3\.0 GiB are free on cpu"
    with pytest.raises(MemoryShortError, match=message):
        list(visitor.load(name, agreed=True))
    with pytest.raises(MemoryShortError, match=message):
        visitor.change(model=name, agreed=True)
    assert visitor.settings == settings
    assert asked == []
    engine.close()
