"""Chat templates and the preprocessor configuration of a model folder, from the files in which the hub stores them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from hermes.backbones.sources import ModelError, first_line, read_json

TEMPLATE_FILES: Final = ("chat_template.jinja", "chat_template.json", "processor_config.json", "tokenizer_config.json")
"""Files with chat templates, in order of preference. A repository often has a text-only template in its tokenizer."""
PREPROCESSOR_FILES: Final = (
    ("video_preprocessor_config.json", None),
    ("processor_config.json", "video_processor"),
    ("preprocessor_config.json", None),
    ("processor_config.json", "image_processor"),
)
"""Files with a preprocessor configuration and the entry that holds it (None: the file), in order of preference."""


def chat_templates(folder: Path) -> tuple[str, ...]:
    """Return the chat templates of a model folder, in order of preference.

    Raises:
        ModelError: A file cannot be read.
    """
    found: list[str] = []
    for file in TEMPLATE_FILES:
        path = folder / file
        if path.suffix == ".jinja":
            if path.is_file():
                found.append(_read_text(path))
            continue
        content = read_json(folder, file)
        if content is not None:
            found += _named_templates(content.get("chat_template"))
    return tuple(dict.fromkeys(found))


def preprocessor(folder: Path) -> dict[str, Any]:
    """Return the preprocessor configuration for video frames: that of videos, else that of images.

    Raises:
        ModelError: There is none, or it cannot be read.
    """
    for file, entry in PREPROCESSOR_FILES:
        content = read_json(folder, file)
        if content is not None and entry is not None:
            content = content.get(entry)
        if content is None:
            continue
        if not isinstance(content, dict):
            raise ModelError(f"{entry} in {file} of the model in {folder} is not a JSON object.")
        return content
    raise ModelError(f"The model in {folder} has no preprocessor_config.json, so its frames cannot be prepared.")


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ModelError(f"{path.name} of the model in {path.parent} cannot be read: {first_line(error)}") from error


def _named_templates(value: Any) -> list[str]:
    """Return the templates of a `chat_template` entry: one text, or several with names, the default one first."""
    if isinstance(value, list):
        value = {item.get("name"): item.get("template") for item in value if isinstance(item, dict)}
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name != "default")
        return [value[name] for name in names if isinstance(value[name], str)]
    return [value] if isinstance(value, str) else []
