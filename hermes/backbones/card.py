"""Model card: metadata from a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LOCAL_GUIDANCE = (
    "Describe the current scene: the objects that are visible now, what they are doing, and where they are."
)
GLOBAL_GUIDANCE = "Summarise the story of the video so far: who appeared, what happened, and when it happened."


@dataclass(frozen=True)
class Knowledge:
    """What a model knows, as its folder's `hermes.json` states it.

    Attributes:
        world: Name of the only world that the model knows: "cards" or "objects"; "" for a general model (JSON: `world`).
        subject: What it knows, in a few words such as "coloured cards"; "" for a general model (`knows`).
        pictures: Whether it recognises it in real pictures, and not only in rendered clips (`real_pictures`).
        names: Names of the things that it knows, by category (`names`).
        kinds: Kinds of questions that it answers well enough to be suggested; None for all (`offered_questions`).
    """

    world: str = ""
    subject: str = ""
    pictures: bool = False
    names: tuple[tuple[str, tuple[str, ...]], ...] = ()
    kinds: tuple[str, ...] | None = None

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Knowledge:
        """Return the knowledge stated in the content of `hermes.json`. Values of another type are ignored."""
        listed, kinds = content.get("names"), content.get("offered_questions")
        names = listed.items() if isinstance(listed, dict) else ()
        return cls(
            world=str(content.get("world", "")),
            subject=str(content.get("knows", "")),
            pictures=content.get("real_pictures") is True,
            names=tuple((str(group), tuple(map(str, of))) for group, of in names if isinstance(of, list)),
            kinds=tuple(map(str, kinds)) if isinstance(kinds, list) else None,
        )


UNLIMITED = Knowledge()
"""Knowledge of a general model."""


@dataclass(frozen=True)
class Card:
    """Metadata from a model folder: its `hermes.json`, with defaults for models without one, and its chat templates.

    Attributes:
        name: Display name.
        about: One sentence: what the model knows and what it was trained on.
        guidance: The two generic guidance prompts, "local" and "global".
        max_new_tokens: Maximum length of an answer, in tokens.
        suggested: Questions that the model answers well.
        knowledge: What the model knows.
        chat_templates: Chat templates of the folder, in order of preference; the first with a place for a video is used.
    """

    name: str
    about: str
    guidance: dict[str, str] = field(default_factory=lambda: {"local": LOCAL_GUIDANCE, "global": GLOBAL_GUIDANCE})
    max_new_tokens: int = 256
    suggested: tuple[str, ...] = ()
    knowledge: Knowledge = UNLIMITED
    chat_templates: tuple[str, ...] = ()
