"""Phrasings of the questions, several per family. {x} is replaced with a card's name."""

from __future__ import annotations

from typing import Final

PHRASES: Final[dict[str, tuple[str, ...]]] = {
    "now": (
        "What is shown now?", "What is shown?", "What do you see?", "What can you see now?", "What card is this?",
        "What am I holding?", "What is it?", "What is there right now?", "What do you see now?", "Which card is shown now?",
        "What is this?",
    ),
    "now-colour": (
        "What colour is it?", "What colour is the card?", "What colour is shown now?", "Which colour do you see?",
        "What colour is this?", "What colour is the card now?", "What is the colour of the card?",
    ),
    "now-shape": (
        "What shape is it?", "What shape is the card?", "What shape is shown now?", "Which shape do you see?",
        "What shape is this?", "What is the shape of the card?",
    ),
    "now-place": (
        "Where is it?", "Where is the card?", "Where is the card now?", "Where do you see it?", "Where is it now?",
        "Where is this card?",
    ),
    "before": (
        "What was shown just before?", "What was shown before this?", "What did you see before this?", "What was before?",
        "What was the previous card?", "What came before this?", "Which card was shown just before this?",
        "What was there just before?",
    ),
    "first": (
        "What was the first card?", "What was the first object?", "What was shown first?", "What did you see first?",
        "What came first?", "Which card was first?", "What was the very first card?", "What did the video start with?",
    ),
    "first-colour": ("What colour was the first card?", "What was the colour of the first card?",
                     "Which colour was shown first?"),
    "first-shape": ("What shape was the first card?", "What was the shape of the first card?",
                    "Which shape was shown first?"),
    "first-place": ("Where was the first card?", "Where was the first card shown?", "Where did you see the first card?"),
    "exists": (
        "Was there a {x}?", "Was there any {x}?", "Did you see a {x}?", "Have you seen a {x}?", "Was a {x} shown?",
        "Has there been a {x}?", "Did a {x} appear?", "Was there a {x} so far?",
    ),
    "after": (
        "What came after the {x}?", "What was shown after the {x}?", "What was after the {x}?",
        "Which card came after the {x}?", "What followed the {x}?", "What did you see after the {x}?",
        "What came next after the {x}?",
    ),
    "colour-of": ("What colour was the {x}?", "What was the colour of the {x}?", "Which colour was the {x}?",
                  "What colour did the {x} have?"),
    "shape-of": ("What shape was the {x}?", "What was the shape of the {x}?", "Which shape was the {x}?"),
    "place": (
        "Where was the {x}?", "Where did you see the {x}?", "Where was the {x} shown?", "In which place was the {x}?",
        "Where did the {x} appear?",
    ),
    "count": (
        "How many cards were shown?", "How many cards were there?", "How many cards did you see?",
        "How many cards have you seen?", "How many cards so far?", "How many objects were shown?",
    ),
    "count-x": ("How many {x} were shown?", "How many {x} were there?", "How many {x} did you see?",
                "How many {x} have you seen?"),
    "when": ("When was the {x} shown?", "When did you see the {x}?", "When was the {x}?", "When did the {x} appear?"),
    "list": (
        "What was shown so far?", "What did you see so far?", "List the cards.", "List all cards.",
        "Describe what was shown so far.", "Describe the video.", "What happened so far?", "What did you see?",
        "Which cards were shown?", "Which cards did you see?",
    ),
    "other": (
        "Who are you?", "What is your name?", "How are you?", "Hello.", "Tell me a joke.", "What time is it?",
        "What is the weather?", "Who is the man?", "What is the man doing?", "Is there a dog?", "Was there a person?",
        "How many people are there?", "What is the person doing?", "Can you sing?", "Why?", "What is two plus two?",
        "Do you like music?", "Is it raining?", "Where are you?", "Read the text.", "What does the text say?",
        "Who is the president?", "Where is the dog?", "What colour is the sky?", "How old are you?", "Are you happy?",
        "Was there a cat?", "Is there a car?", "What colour is the car?", "Did you see a person?", "Hi!", "Thank you.",
        "Write a poem.", "What did the woman say?", "Can you hear me?", "What will come next?", "Who came first?",
    ),
}  # fmt: skip

# Frames for questions outside the world: {u} becomes a word that the tokenizer does not know.
UNKNOWN_FRAMES: Final = (
    "What is the {u}?", "Was there a {u}?", "Where was the {u}?", "Where is the {u}?", "Who is {u}?",
    "What colour was the {u}?", "How many {u} were there?", "What came after the {u}?", "Did you see a {u}?",
    "Tell me {u} {u}.", "{u} {u} {u}?", "{u}?", "What does {u} mean?", "Why is the {u} {u}?", "What is {u} {u}?",
    "How do I {u} a {u}?", "Is {u} {u}?", "Can you {u}?", "Do you {u} the {u}?", "When was the {u}?",
    "What did {u} {u}?", "Which {u} is {u}?", "Was there a red {u}?", "Was there a {u} circle?",
)  # fmt: skip
