"""Recipes of the bundled clips of objects and their suggested questions."""

from __future__ import annotations

from typing import Final

from hermes.things.clips import Appearance, ObjectClipRecipe

RECIPES: Final = (
    ObjectClipRecipe(
        name="everyday-objects",
        title="Everyday objects",
        description="Eight objects in forty seconds, for the model “things”. Ask what is shown, or what was there.",
        seed=3,
        seconds=40,
        shown=(
            Appearance("cup", "centre", 1.5, 4.5),
            Appearance("accordion", "left", 6.5, 9.5),
            Appearance("laptop", "right", 11, 14),
            Appearance("broccoli", "centre", 16, 19),
            Appearance("umbrella", "top-right", 21, 24),
            Appearance("tractor", "bottom-left", 26, 29),
            Appearance("hamburger", "centre", 31, 34),
            Appearance("turtle", "top-left", 36, 39),
        ),
        questions=(
            ("What is shown now?", 4),
            ("What was shown just before?", 8),
            ("Was there an instrument?", 13),
            ("Which vegetable was there?", 20),
            ("Where was the cup?", 25),
            ("Was there a vehicle?", 30),
            ("What was the first object?", 35),
        ),
    ),
    ObjectClipRecipe(
        name="first-object",
        title="Remember the first object",
        description="A broccoli, then more than a minute of other objects. Does the memory hold the broccoli at the end?",
        seed=8,
        seconds=75,
        shown=(
            Appearance("broccoli", "centre", 1, 4.5),
            Appearance("bicycle", "left", 8, 11),
            Appearance("teapot", "right", 13, 16),
            Appearance("piano", "top", 18, 21),
            Appearance("camera", "centre", 24, 27),
            Appearance("tractor", "bottom-right", 30, 33),
            Appearance("violin", "left", 36, 39),
            Appearance("laptop", "top-left", 41, 44),
            Appearance("basketball", "centre", 47, 50),
            Appearance("turtle", "right", 53, 56),
            Appearance("umbrella", "bottom", 59, 62),
            Appearance("hamburger", "top-right", 65, 68),
            Appearance("cup", "centre", 70, 74),
        ),
        questions=(
            ("What is shown now?", 4),
            ("What was the first object?", 12),
            ("Which vegetable was there?", 22),
            ("Was there a vehicle?", 45),
            ("What was shown just before?", 58),
            ("Was there a vegetable?", 72),
            ("What was the first object?", 74),
        ),
    ),
    ObjectClipRecipe(
        name="on-the-move",
        title="Objects on the move",
        description="Six objects, most of which move while they are shown. Where was each of them last?",
        seed=14,
        seconds=36,
        shown=(
            Appearance("tractor", "left", 1, 5, 3.5, "centre"),
            Appearance("turtle", "top-right", 7, 11, 9.5, "top"),
            Appearance("teapot", "top-left", 13, 17, 15.5, "top"),
            Appearance("laptop", "bottom", 19, 23),
            Appearance("basketball", "right", 25, 29, 27.5, "centre"),
            Appearance("cup", "bottom-left", 31, 35, 33.5, "left"),
        ),
        questions=(
            ("Where is it?", 3),
            ("Where was the tractor?", 8),
            ("What came after the tractor?", 12),
            ("Was there an animal?", 20),
            ("Where was the turtle?", 24),
            ("Was there a vehicle?", 34),
        ),
    ),
)
