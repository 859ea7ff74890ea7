"""Model card: metadata from a model folder."""

from __future__ import annotations

from dataclasses import dataclass, field

LOCAL_GUIDANCE = (
    "Describe the current scene: the objects that are visible now, what they are doing, and where they are."
)
GLOBAL_GUIDANCE = "Summarise the story of the video so far: who appeared, what happened, and when it happened."


@dataclass(frozen=True)
class Card:
    """Metadata from a model folder: its `hermes.json`, with defaults for models without one, and its chat templates.

    Attributes:
        name: Display name.
        about: One sentence: what the model knows and what it was trained on.
        guidance: The two generic guidance prompts, "local" and "global".
        max_new_tokens: Maximum length of an answer, in tokens.
        suggested: Questions that the model answers well.
        world: Name of the rendered world outside of which the model knows nothing (“cards”);
            "" for others.
        chat_templates: Chat templates of the folder, in order of preference; the first with a place for a video is used.
    """

    name: str
    about: str
    guidance: dict[str, str] = field(default_factory=lambda: {"local": LOCAL_GUIDANCE, "global": GLOBAL_GUIDANCE})
    max_new_tokens: int = 256
    suggested: tuple[str, ...] = ()
    world: str = ""
    chat_templates: tuple[str, ...] = ()
