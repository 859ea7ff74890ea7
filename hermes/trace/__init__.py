"""Recorded runs: one file that holds a whole stream - memory at every moment, pictures, scores, questions and answers.

`read(path)` gives a `Run`, of which any moment is a `LiveView` as a live stream gives it; `Recorder` takes such views and
writes the file. `read_lab(path)` gives a `LabRun`, of several memories on the same frames, which `LabRecorder` writes (see
`hermes.trace.lab_run` for its format). Reading needs neither a model nor torch.

The format, version 2. A run is a zip file:

run.json        what the run says of itself (`Head`), the conversation, and a list of its other parts with their times
history.xz      what only grows: frame times and evictions
past.xz         tokens of every frame that every layer held, at up to 192 moments
answers/N.xz    each answer with the attention that it paid (float16)
scores.xz       of every eviction the tokens that left, with their scores (see `hermes.analysis.token_history`)
moments/N.xz    up to sixteen moments each, as plain columns (see `hermes.trace.tokens`)
pictures.bin    a JPEG for every frame, one after the other; pictures.xz lists their frames and lengths

Parts that end in .xz are blocks (`hermes.trace.block`): a JSON head and little-endian arrays under XZ. Every field of a
moment is stored exactly, except three scores of the last eviction and the attention of answers, which are rounded
(`hermes.trace.rounding`, `hermes.trace.records.rounded_answer`), and the frame's picture, which is made smaller. Long runs
keep fewer of the older moments, so that a file stays below 9 MB.

Files are untrusted: nothing in them is executed, everything that they expand to is charged against one budget before it is
allocated (`hermes.files.limits`), and inconsistent parts are rejected with a sentence (`hermes.trace.consistency`).
"""

from hermes.trace.block import TraceError
from hermes.trace.head import ID, VERSION, Head, RunTurn
from hermes.trace.lab_recorder import LabRecorder
from hermes.trace.lab_run import LEAST_LANES, MOST_LANES, LabRun, is_lab, read_lab
from hermes.trace.recorder import LIMIT, Recorder
from hermes.trace.run import Run, is_run, read

__all__ = [
    "ID",
    "LEAST_LANES",
    "LIMIT",
    "MOST_LANES",
    "VERSION",
    "Head",
    "LabRecorder",
    "LabRun",
    "Recorder",
    "Run",
    "RunTurn",
    "TraceError",
    "is_lab",
    "is_run",
    "read",
    "read_lab",
]  # fmt: skip
