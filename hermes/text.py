"""Text comparison that ignores case and punctuation."""

from __future__ import annotations


def normal_words(text: str) -> list[str]:
    """Return the lower-case words of `text` without punctuation."""
    kept = "".join(char if char.isalnum() or char.isspace() else " " for char in text.lower())
    return kept.split()
