"""List supported models and the memory that each needs: weights, and keys and values of a stream.

Computed from the published configurations; nothing is downloaded. “fits here” compares with the memory that is free now.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from hermes.cli.terminal import print_json, print_table
from hermes.tables import Column, Table

if TYPE_CHECKING:
    from hermes.backbones.catalogue import Listed

GIB = 2**30
BUDGET = 4000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--budget", type=int, default=BUDGET, help="tokens a layer may hold (default: %(default)s)")
    parser.add_argument("--count", action="store_true", help="count the weights again from the configurations")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def run(args: argparse.Namespace) -> int:
    """Print the catalogue."""
    from hermes.backbones.catalogue import CATALOGUE  # noqa: PLC0415  (heavy)

    rows = [describe(model, args.budget, count=args.count) for model in CATALOGUE]
    if args.json:
        print_json({"budget": args.budget, "models": rows})
        return 0
    columns = (
        Column("hub id", 46, "left"), Column(" published", 10, "left"), Column("weights", 10), Column("bfloat16", 10),
        Column("float32", 10), Column("4-bit", 9), Column("stream", 10), Column("  fits here", align="left"),
    )  # fmt: skip
    cells = [
        (
            row["id"],
            " yes" if row["published"] else " no",
            f"{row['weights'] / 1e9:.2f} B",
            f"{row['bfloat16_bytes'] / GIB:.1f} GiB",
            f"{row['float32_bytes'] / GIB:.1f} GiB",
            f"{row['4bit_bytes'] / GIB:.1f} GiB",
            f"{row['stream_bytes'] / 2**20:.0f} MiB",
            f"  {row['fits']}",
        )
        for row in rows
    ]
    print_table(Table(columns, cells))
    print(
        "\nMemory to load, with 15 % for activations. “stream”: keys and values of one stream in bfloat16 at budget "
        f"{args.budget:,},\nwithout prompt and chunk."
    )
    return 0


def describe(model: Listed, budget: int, *, count: bool = False) -> dict[str, Any]:
    """Return the memory that a model needs, in bytes."""
    import torch  # noqa: PLC0415

    from hermes.backbones import catalogue, placement  # noqa: PLC0415

    weights = catalogue.count(model) if count else model.weights
    cpu = torch.device("cpu")
    kinds = {
        "bfloat16": placement.Placement(cpu, torch.bfloat16),
        "float32": placement.Placement(cpu, torch.float32),
        "4bit": placement.Placement(cpu, torch.bfloat16, "4bit"),
    }
    return {
        "id": model.id,
        "title": model.title,
        "family": model.family,
        "published": model.published,
        "weights": weights,
        **{f"{name}_bytes": kind.needed(weights) for name, kind in kinds.items()},
        "stream_bytes": model.cache_bytes_per_token * budget,
        "fits": placement.fits(weights),
    }
