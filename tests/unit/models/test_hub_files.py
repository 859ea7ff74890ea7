"""Chat templates and preprocessor configurations where the hub's repositories store them."""

from __future__ import annotations

import json
import shutil

import pytest
import tiny

import hermes
from hermes.backbones.metadata import PREPROCESSOR_FILES
from hermes.backbones.sources import ModelError

TEXT_ONLY = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The template of Qwen2-Instruct, which the LLaVA-OneVision repositories have in their tokenizer."""
IMAGES_ONLY = (
    "{% for message in messages %}{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% else %}<image>{% endif %}{% endfor %}{% endfor %}"
)
VIDEO = tiny.CHAT_TEMPLATE.replace("<|im_start|>{{ message['role'] }} ", "from {{ message['role'] }}: ")


def place(folder, shape, template):
    """Store `template` where repositories of this shape have it."""
    if shape == "chat_template.jinja":
        (folder / shape).write_text(template)
    elif shape.startswith("tokenizer_config"):
        entry = [{"name": "tools", "template": TEXT_ONLY}, {"name": "default", "template": template}]
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        settings["chat_template"] = entry if shape.endswith("[]") else template
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    else:
        path = folder / shape
        content = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(content | {"chat_template": template}))


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A copy without any chat template."""
    copy = shutil.copytree(tiny_folder, tmp_path / "model")
    (copy / "chat_template.jinja").unlink()
    place(copy, "tokenizer_config", None)
    return copy


SHAPES = [
    "chat_template.jinja",
    "chat_template.json",
    "processor_config.json",
    "tokenizer_config",
    "tokenizer_config[]",
]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_template_is_found_where_repositories_have_it(folder, shape):
    place(folder, shape, VIDEO)
    model = hermes.load(folder, device="cpu")
    assert model.head_text() == "from user: "
    assert model.tail_text("Why?") == "\nWhy?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("other", [TEXT_ONLY, IMAGES_ONLY, "{{ raise_exception('no') }}", "{% broken"])
@pytest.mark.parametrize("shape", ["chat_template.jinja", "chat_template.json", "processor_config.json"])
def test_templates_without_a_video_are_skipped(folder, shape, other):
    """LLaVA-OneVision has a text-only template in the tokenizer; other repositories have one in the first file."""
    places = SHAPES[:-1]
    for name in places:
        place(folder, name, VIDEO if name == shape else other)
    assert hermes.load(folder, device="cpu").head_text() == "from user: "


def test_the_first_template_with_a_video_is_used(folder):
    place(folder, "chat_template.json", VIDEO)
    place(folder, "tokenizer_config", tiny.CHAT_TEMPLATE)
    assert hermes.load(folder, device="cpu").head_text() == "from user: "


@pytest.mark.parametrize("template", [None, TEXT_ONLY, IMAGES_ONLY])
def test_a_model_without_a_video_template_is_refused(folder, template):
    if template:
        place(folder, "tokenizer_config", template)
        place(folder, "chat_template.json", template)
    with pytest.raises(ModelError, match="No chat template of this model has a place for a video"):
        hermes.load(folder, device="cpu")


def test_template_files_that_cannot_be_read(folder):
    (folder / "chat_template.jinja").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ModelError, match=r"chat_template\.jinja .* cannot be read"):
        hermes.load(folder, device="cpu")
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text("[]")
    with pytest.raises(ModelError, match=r"chat_template\.json .* is not a JSON object"):
        hermes.load(folder, device="cpu")


def test_the_preprocessor_of_videos_precedes_that_of_images(tiny_folder, tmp_path):
    """All four places with another size each; the best one left is used."""
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    sides = dict(zip(PREPROCESSOR_FILES, (32, 40, 48, 56), strict=True))
    while sides:
        for file in {file for file, _ in PREPROCESSOR_FILES}:
            (folder / file).unlink(missing_ok=True)
        for (file, entry), side in sides.items():
            path = folder / file
            content = {"size": {"height": side, "width": side}}
            before = json.loads(path.read_text()) if path.exists() else {}
            path.write_text(json.dumps(before | (content if entry is None else {entry: content})))
        (best, side), *_ = sides.items()
        assert hermes.load(folder, device="cpu").size == (side, side)
        del sides[best]


def test_the_pixel_limits_of_qwen3_vl_are_those_of_a_step(tmp_path):
    """The hub's video file limits a whole clip; small frames are not enlarged to the least size of an image."""
    folder = tiny.qwen3_vl(tmp_path)
    image = {"shortest_edge": 65536, "longest_edge": 16777216}
    video = {"shortest_edge": 2 * 16 * 16, "longest_edge": 2 * 64 * 64}
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": image}))
    (folder / "video_preprocessor_config.json").write_text(json.dumps({"size": video}))
    model = hermes.load(folder, device="cpu")
    assert model.layout(24, 32).pixels == (32, 24)
    assert model.layout(640, 640).pixels == (64, 64)
