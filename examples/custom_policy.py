"""A memory policy in 30 lines: retain the first frames and, of the rest, every other token.

python app.py --plugin examples/custom_policy.py --policy first-and-thinned
python -m hermes lab --plugin examples/custom_policy.py --policies hermes first-and-thinned
"""

from dataclasses import dataclass

import torch

import hermes


@hermes.register_policy
@dataclass
class FirstAndThinned(hermes.Policy):
    """Retains the oldest tokens, and drops every other one of the rest until the budget is met."""

    first: int = 64

    def after_encode(self, step: hermes.Step) -> hermes.Outcome | None:
        """Evict from each layer that is over budget."""
        first, kept = min(self.first, self.budget // 2), []
        for tokens in step.video_tokens():
            indices = torch.arange(tokens, device=step.backbone.device)
            while len(indices) > self.budget:
                indices = torch.cat((indices[:first], indices[first + 1 :: 2]))
            kept.append(indices if len(indices) < tokens else None)
        return self.retain(step, kept) if any(keep is not None for keep in kept) else None


if __name__ == "__main__":
    print(hermes.POLICIES["first-and-thinned"].about)
