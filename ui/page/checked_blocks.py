"""Gradio blocks that reject invalid inputs of events with one line in the log. Gradio logs a traceback for each."""

from __future__ import annotations

import logging
from typing import Any, Final

import gradio as gr

logger = logging.getLogger(__name__)

INVALID_INPUT: Final = "An input of this event is invalid."
LOGGED_CHARACTERS: Final = 200


class CheckedBlocks(gr.Blocks):
    """Blocks whose events end with an error message if their components reject an input, such as an unknown choice."""

    async def preprocess_data(self, *given: Any, **options: Any) -> list[Any]:
        """Convert the inputs of an event; see `gr.Blocks.preprocess_data`.

        Raises:
            gr.Error: An input is invalid.
        """
        try:
            values: list[Any] = await super().preprocess_data(*given, **options)
        except Exception as error:  # noqa: BLE001 - components raise any exception for values that they do not expect
            reason = error.message if isinstance(error, gr.Error) else f"{type(error).__name__}: {error}"
            logger.warning("An event was refused: %s", " ".join(str(reason).split())[:LOGGED_CHARACTERS])
            message = error.message if isinstance(error, gr.Error) else INVALID_INPUT
            raise gr.Error(message, print_exception=False) from None
        return values
