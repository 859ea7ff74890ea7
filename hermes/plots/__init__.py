"""Plotly figures of snapshots, recorded runs, lab summaries and benchmark reports.

Each function takes a record and returns a `plotly.graph_objects.Figure`, which can be shown in a notebook, written with
`write_html` or served as JSON. Nothing else in `hermes` imports plotly. Layers, heads and frames are numbered from 0, as in
the page's links; layers as in the decoder, also if some of them hold no tokens (pass `Snapshot.layer_numbers` where a record
does not have them). All functions take `dark=True` for a dark background.

>>> from hermes import plots
>>> plots.layers_by_frames(session.snapshot(), "importance").show()  # doctest: +SKIP
"""

from plotly.graph_objects import Figure
from plotly.offline import get_plotlyjs as plotly_script

from hermes.plots.attention import attention_by_head, attention_by_layer
from hermes.plots.benchmarks import benchmark_accuracy, benchmark_differences
from hermes.plots.lab import accuracy_by_budget, differences, wrong_answers
from hermes.plots.memory import MODES, layers_by_frames, retention, retention_over_time, token_history
from hermes.plots.pairs import side_by_side
from hermes.plots.theme import DARK, LIGHT, Palette, PlotError

__all__ = [
    "DARK",
    "LIGHT",
    "MODES",
    "Figure",
    "Palette",
    "PlotError",
    "accuracy_by_budget",
    "attention_by_head",
    "attention_by_layer",
    "benchmark_accuracy",
    "benchmark_differences",
    "differences",
    "layers_by_frames",
    "plotly_script",
    "retention",
    "retention_over_time",
    "side_by_side",
    "token_history",
    "wrong_answers",
]
