"""Attention within segments against one call per segment."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hermes.backbones.segment_attention import segment_attention


@pytest.mark.parametrize("lengths", [(8, 8, 8), (16, 8, 16, 4, 8), (5,), (3, 0, 7)])
def test_equals_one_call_per_segment(lengths: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 2, sum(lengths), 6).double().unbind()
    parts = zip(*(part.split(lengths, dim=2) for part in (query, key, value)), strict=True)
    wanted = torch.cat([F.scaled_dot_product_attention(q, k, v, scale=0.3) for q, k, v in parts], dim=2)
    boundaries = F.pad(torch.tensor(lengths), (1, 0)).cumsum(0).int()
    arguments = {"scaling": 0.3, "cu_seq_lens_q": boundaries, "max_length_q": max(lengths)}
    for _ in range(2):  # the second call reuses the groups
        found, _none = segment_attention(nn.Identity(), query, key, value, None, **arguments)
        torch.testing.assert_close(found, wanted.transpose(1, 2))


def test_without_boundaries_it_is_one_segment() -> None:
    query = torch.randn(1, 2, 5, 4)
    found, _ = segment_attention(nn.Identity(), query, query, query, None)
    torch.testing.assert_close(found, F.scaled_dot_product_attention(query, query, query).transpose(1, 2))
