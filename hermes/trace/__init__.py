"""Recorded runs: one file with a whole stream, that is the memory at every moment, pictures, scores, questions and answers.

`read(path)` returns a `Run`, whose moments are `LiveView`s like those of a live stream; `Recorder` records such views and
writes the file. `read_lab(path)` returns a `LabRun` of several memories on the same frames, written by `LabRecorder` (see
`hermes.trace.lab_run` for its format). Reading needs neither a model nor torch.

The format, version 2. A run is a zip file:

run.json        metadata (`Head`), the conversation, and a list of the other parts with their times
history.xz      frame times and evictions
past.xz         number of tokens of every frame in every layer, at up to 192 moments
answers/N.xz    each answer with its attention (float16), and optionally that of each of its tokens
scores.xz       the tokens evicted at each eviction, with their scores (see `hermes.analysis.token_history`)
moments/N.xz    up to sixteen moments each, as plain columns (see `hermes.trace.tokens`)
pictures.bin    a JPEG for every frame, one after the other; pictures.xz lists their frames and lengths

Parts that end in .xz are blocks (`hermes.trace.block`): a JSON head and little-endian arrays under XZ. Every field of a
moment is stored exactly, except three scores of the last eviction and the attention of answers, which are rounded
(`hermes.trace.rounding`, `hermes.trace.records.rounded_answer`), and the frame's picture, which is scaled down. Long runs
keep fewer of the older moments, so that a file stays below 9 MB.

Files are untrusted: nothing in them is executed, all memory is charged against one budget before it is allocated
(`hermes.files.limits`), and inconsistent parts are rejected with a clear message (`hermes.trace.consistency`).
"""

from hermes.trace.block import TraceError
from hermes.trace.head import ID, VERSION, Head, RunTurn
from hermes.trace.lab_recorder import LabRecorder
from hermes.trace.lab_run import MAX_LANES, MIN_LANES, LabRun, is_lab, read_lab
from hermes.trace.recorder import LIMIT, Recorder
from hermes.trace.run import Run, SettingChange, is_run, read

__all__ = [
    "ID",
    "LIMIT",
    "MAX_LANES",
    "MIN_LANES",
    "VERSION",
    "Head",
    "LabRecorder",
    "LabRun",
    "Recorder",
    "Run",
    "RunTurn",
    "SettingChange",
    "TraceError",
    "is_lab",
    "is_run",
    "read",
    "read_lab",
]  # fmt: skip
