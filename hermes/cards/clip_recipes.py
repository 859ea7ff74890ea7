"""Recipes of the bundled clips and their suggested questions, which must be phrasings of `hermes.cards.questions`."""

from __future__ import annotations

from typing import Final

from hermes.cards.clips import ClipRecipe

RECIPES: Final[tuple[ClipRecipe, ...]] = (
    ClipRecipe(
        name="quick-tour",
        title="Quick tour",
        description="Eight cards in forty seconds. Ask what is shown, what came before or what came first.",
        seed=10,
        seconds=40,
        shown=(2, 3.5),
        pause=(1.5, 3),
        questions=(
            ("now", "What is shown now?", 4.5),
            ("before", "What was shown just before?", 9.5),
            ("first", "What was the first card?", 19),
            ("place", "Where was the blue square?", 21.5),
            ("exists", "Was there a red star?", 26),
            ("attribute", "What colour was the star?", 29),
            ("after", "What came after the red circle?", 33),
            ("other", "Tell me a joke.", 39),
        ),
    ),
    ClipRecipe(
        name="first-card",
        title="Remember the first card",
        description="A red triangle, then a minute and a half of other cards. "
        "A sliding window forgets it; a good memory should not.",
        seed=21,
        seconds=90,
        shown=(2, 3),
        pause=(2, 4),
        questions=(
            ("now", "What is shown now?", 3),
            ("first", "What was the first card?", 20),
            ("exists", "Was there a red triangle?", 45),
            ("first", "What was the first card?", 60),
            ("place", "Where was the red triangle?", 75),
            ("first", "What was the first card?", 89),
        ),
    ),
    ClipRecipe(
        name="counting",
        title="Counting",
        description="Cards appear one by one. The pocket model counts to about three and then loses count.",
        seed=32,
        seconds=45,
        noise=0.5,
        shown=(2, 3.5),
        pause=(2, 4),
        questions=(
            ("count", "How many cards have you seen?", 5),
            ("count", "How many cards were shown?", 14),
            ("before", "What was shown just before?", 30),
            ("count", "How many red cards were shown?", 38),
            ("now", "What is shown now?", 44),
        ),
    ),
    ClipRecipe(
        name="crowded",
        title="Crowded",
        description="Twenty-five cards in forty seconds, almost without pauses. "
        "What came after which card, and where was it?",
        seed=42,
        seconds=40,
        noise=0.5,
        shown=(1, 1.5),
        pause=(0, 0.75),
        questions=(
            ("now", "What is shown now?", 7.5),
            ("before", "What was shown just before?", 12),
            ("exists", "Was there a black cross?", 16),
            ("place", "Where was the black square?", 20),
            ("after", "What came after the white star?", 26),
            ("first", "What was the first card?", 39),
        ),
    ),
    ClipRecipe(
        name="half-hour",
        title="Half an hour",
        description="Thirty minutes at one frame every two seconds, with occasional cards. "
        "Play it at a higher speed and watch the evictions.",
        seed=51,
        seconds=1800,
        shown=(8, 20),
        pause=(12, 60),
        fps=0.5,
        noise=0.0,
        size=(384, 288),
        questions=(
            ("now", "What is shown now?", 26),
            ("first", "What was the first card?", 300),
            ("exists", "Was there a red cross?", 900),
            ("before", "What was shown just before?", 1200),
            ("first", "What was the first card?", 1798),
        ),
    ),
    ClipRecipe(
        name="new-room",
        title="Another background",
        description="The same kind of cards on a background that was not in the pocket model’s training data.",
        seed=61,
        seconds=40,
        shown=(2, 3.5),
        pause=(1, 3),
        renderer="held-out",
        questions=(
            ("now", "What is shown now?", 3),
            ("before", "What was shown just before?", 12),
            ("place", "Where was the red circle?", 16),
            ("first", "What was the first card?", 28),
            ("exists", "Was there a blue triangle?", 34),
        ),
    ),
    ClipRecipe(
        name="paper-street",
        title="Outside its world",
        description="Paper cut-outs on a moving street, rendered differently from the training clips. Expect mistakes.",
        seed=73,
        seconds=40,
        shown=(2.5, 3.5),
        pause=(1, 2.5),
        renderer="paper",
        questions=(
            ("now", "What is shown now?", 4),
            ("now", "What colour is it?", 9),
            ("before", "What was shown just before?", 14),
            ("exists", "Was there a purple triangle?", 26),
            ("first", "What was the first card?", 33),
        ),
    ),
)
