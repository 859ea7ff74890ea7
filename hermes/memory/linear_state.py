"""States of decoder layers with linear attention: of constant size, without tokens, so no policy manages them.

Tensors of a state are replaced and never modified, so a branch shares them with its parent at no cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from hermes.errors import HermesError

if TYPE_CHECKING:
    from hermes.memory.cache import MemoryCache


@dataclass(frozen=True)
class StateTensors:
    """The state of a layer after some token.

    Attributes:
        conv: Last inputs of the layer's short convolution [1, channels, kernel].
        recurrent: Recurrent state, float32 [1, heads, key_dim, value_dim].
    """

    conv: Tensor
    recurrent: Tensor

    @property
    def nbytes(self) -> int:
        """Bytes of both tensors."""
        return self.conv.nbytes + self.recurrent.nbytes


@dataclass
class LinearState:
    """State of one layer with linear attention.

    Attributes:
        now: State after the newest token; None before the first.
        prompt: State after the prompt.
        held: State before the newest tokens that may still be replaced, see `MemoryCache.retract`; None if there are none.
        kernel: Kernel size of the convolution.
    """

    kernel: int
    now: StateTensors | None = None
    prompt: StateTensors | None = None
    held: StateTensors | None = None
    _conv: Tensor | None = None
    _recurrent: Tensor | None = None

    def begin(self) -> None:
        """Discard what an interrupted prefill left."""
        self._conv = self._recurrent = None

    def conv_state(self) -> Tensor | None:
        """Copy of the convolution's state, which transformers may modify in place for a single token."""
        if self._conv is None and self.now is not None:
            self._conv = self.now.conv.clone()
        return self._conv

    def recurrent_state(self) -> Tensor | None:
        """The recurrent state; it is not modified in place."""
        return self._recurrent if self._recurrent is not None or self.now is None else self.now.recurrent

    def update_conv(self, inputs: Tensor) -> Tensor:
        """Add inputs of the convolution [1, channels, tokens]; returns them after those that the state holds."""
        before = self.conv_state()
        if before is None:
            whole = pad(inputs, (max(self.kernel - inputs.shape[-1], 0), 0))
        else:
            whole = torch.cat((before, inputs), dim=-1)
        self._conv = whole[..., -self.kernel :].clone()
        return whole

    def update_recurrent(self, state: Tensor) -> Tensor:
        """Store the recurrent state after new tokens."""
        self._recurrent = state
        return state

    def pending(self) -> StateTensors | None:
        """The state after the tokens that were read since `begin`; the committed one if there were none."""
        if self._conv is None or self._recurrent is None:
            return self.now
        return StateTensors(self._conv, self._recurrent)

    def commit(self, held: StateTensors | None) -> None:
        """Make the new state the current one; `held` is the state before tokens that may still be replaced."""
        self.now, self.held = self.pending(), held
        if self.prompt is None:
            self.prompt = self.now
        self.begin()

    def back_to_prompt(self) -> None:
        """Return to the state after the prompt."""
        self.now, self.held = self.prompt, None

    def back(self) -> None:
        """Return to the state before the tokens that may be replaced.

        Raises:
            HermesError: There are none: linear attention cannot forget other tokens.
        """
        if self.held is None:
            raise HermesError("This model’s linear attention layers cannot forget these tokens.")
        self.now, self.held = self.held, None

    def moments(self) -> dict[str, StateTensors]:
        """The stored states by name."""
        named = {"now": self.now, "prompt": self.prompt, "held": self.held}
        return {name: moment for name, moment in named.items() if moment is not None}

    def restore(self, moments: dict[str, StateTensors]) -> None:
        """Restore what `moments` returned."""
        self.now, self.prompt, self.held = moments.get("now"), moments.get("prompt"), moments.get("held")

    @property
    def nbytes(self) -> int:
        """Bytes of the current state."""
        return 0 if self.now is None else self.now.nbytes


def read_into_state(
    layer: Any, hidden: Tensor, cache: MemoryCache, state: LinearState, open_tokens: int = 0
) -> tuple[Tensor, StateTensors | None]:
    """Run a layer with linear attention on its state in `cache`, without committing it.

    Args:
        layer: The decoder layer.
        hidden: Its input [1, tokens, hidden].
        cache: The memory or a branch of it.
        state: The layer's state in it.
        open_tokens: Number of the newest tokens that may be replaced later.

    Returns:
        Its output [1, tokens, hidden], and the state before the newest `open_tokens`; None if there are none.
    """
    parts = [part for part in hidden.split((hidden.shape[1] - open_tokens, open_tokens), dim=1) if part.shape[1]]
    outputs, held = [], None
    for part in parts:
        if open_tokens and part is parts[-1]:
            held = state.pending()
        outputs.append(layer(part, position_embeddings=None, attention_mask=None, past_key_values=cache))
    return torch.cat(outputs, dim=1), held
