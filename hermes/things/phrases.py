"""Phrasings of the questions about objects, several per family.

Placeholders: {x} an object's name, {a} the name with an article, {c} a category, {s} a category with an article.
"""

from __future__ import annotations

from typing import Final

PHRASES: Final[dict[str, tuple[str, ...]]] = {
    "now": (
        "What is shown now?", "What is shown?", "What do you see?", "What can you see now?", "What is this?",
        "What am I holding?", "What is it?", "What is there right now?", "What do you see now?",
        "Which object is shown now?", "What object is this?", "What am I holding now?",
    ),
    "now-place": (
        "Where is it?", "Where is the object?", "Where is it now?", "Where do you see it?", "Where is this object?",
        "Where is the object now?",
    ),
    "before": (
        "What was shown just before?", "What was shown before this?", "What did you see before this?", "What was before?",
        "What was the previous object?", "What came before this?", "Which object was shown just before this?",
        "What was there just before?",
    ),
    "first": (
        "What was the first object?", "What was the first thing?", "What was shown first?", "What did you see first?",
        "What came first?", "Which object was first?", "What was the very first object?", "What did the video start with?",
    ),
    "exists": (
        "Was there {a}?", "Was there any {x}?", "Did you see {a}?", "Have you seen {a}?", "Was {a} shown?",
        "Has there been {a}?", "Did {a} appear?", "Was there {a} so far?", "Did I show {a}?",
    ),
    "category": (
        "Was there {s}?", "Did you see {s}?", "Have you seen {s}?", "Was {s} shown?", "Has there been {s}?",
        "Was there {s} so far?", "Did I show {s}?",
    ),
    "which": (
        "Which {c} was there?", "Which {c} was shown?", "Which {c} did you see?", "What {c} was there?",
        "Which {c} have you seen?",
    ),
    "after": (
        "What came after the {x}?", "What was shown after the {x}?", "What was after the {x}?",
        "Which object came after the {x}?", "What followed the {x}?", "What did you see after the {x}?",
        "What came next after the {x}?",
    ),
    "place": (
        "Where was the {x}?", "Where did you see the {x}?", "Where was the {x} shown?", "In which place was the {x}?",
        "Where did the {x} appear?", "Where was the {x} last seen?",
    ),
    "count": (
        "How many objects were shown?", "How many objects were there?", "How many objects did you see?",
        "How many different objects were shown?", "How many different objects have you seen?", "How many objects so far?",
        "How many things were shown?",
    ),
    "list": (
        "What was shown so far?", "What did you see so far?", "List the objects.", "List all objects.",
        "Describe what was shown so far.", "Describe the video.", "What happened so far?", "What did you see?",
        "Which objects were shown?", "Which objects did you see?", "What have you seen?",
    ),
    "other": (
        "Who are you?", "What is your name?", "How are you?", "Hello.", "Tell me a joke.", "What time is it?",
        "What is the weather?", "Who is the man?", "What is the man doing?", "How many people are there?",
        "What is the person doing?", "Can you sing?", "Why?", "What is two plus two?", "Do you like music?",
        "Is it raining?", "Where are you?", "Read the text.", "What does the text say?", "Who is the president?",
        "What colour is the sky?", "How old are you?", "Are you happy?", "What colour is it?", "Hi!", "Thank you.",
        "Write a poem.", "What did the woman say?", "Can you hear me?", "What will come next?", "Who came first?",
        "Was there a person?", "Did you see a person?", "Was there a red card?", "What shape is it?",
    ),
}  # fmt: skip

# Frames for questions outside the world: {u} becomes a word that the tokenizer does not know.
UNKNOWN_FRAMES: Final = (
    "What is the {u}?", "Was there a {u}?", "Where was the {u}?", "Where is the {u}?", "Who is {u}?",
    "What colour was the {u}?", "How many {u} were there?", "What came after the {u}?", "Did you see a {u}?",
    "Tell me {u} {u}.", "{u} {u} {u}?", "{u}?", "What does {u} mean?", "Why is the {u} {u}?", "What is {u} {u}?",
    "How do I {u} a {u}?", "Is {u} {u}?", "Can you {u}?", "Do you {u} the {u}?", "When was the {u}?",
    "What did {u} {u}?", "Which {u} is {u}?", "Which {u} was there?", "Was there an {u}?",
)  # fmt: skip
