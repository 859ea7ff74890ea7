"""What a model folder says of itself."""

from __future__ import annotations

from dataclasses import dataclass, field

LOCAL_GUIDANCE = (
    "Describe the current scene: the objects that are visible now, what they are doing, and where they are."
)
GLOBAL_GUIDANCE = "Summarise the story of the video so far: who appeared, what happened, and when it happened."


@dataclass(frozen=True)
class Card:
    """What a model folder says of itself (`hermes.json`), with defaults for models that say nothing.

    Attributes:
        name: Name shown to people.
        about: One sentence: what the model knows and what it was trained on.
        guidance: The two generic guidance prompts, "local" and "global".
        max_new_tokens: Longest answer, in tokens.
        suggested: Questions that it answers well.
    """

    name: str
    about: str
    guidance: dict[str, str] = field(default_factory=lambda: {"local": LOCAL_GUIDANCE, "global": GLOBAL_GUIDANCE})
    max_new_tokens: int = 256
    suggested: tuple[str, ...] = ()
