"""A repair of Gradio's status tracker, whose timer does not stop when the tracker is removed.

Gradio removes the tracker of its loading screen while the status is still "pending". The timer continues in every open tab:
60 times per second, it updates a value that nothing shows, which keeps 6 to 9 % of a CPU core busy.
"""

from __future__ import annotations

import re
from typing import Final

TIMER: Final = re.compile(
    rb"(\w+\(\(\)=>\{[\w$]+\([\w$]+,\(performance\.now\(\)-[\w$]+\([\w$]+\)\)/1e3\),)(?P<running>[\w$]+)(&&[\w$]+\(\)\}\))"
)
"""`requestAnimationFrame(() => { seconds = (performance.now() - start) / 1000; if (running) timer(); })`, minified."""


def repair(script: bytes) -> bytes:
    """Return a script of Gradio in which the timer stops with its tracker. Other scripts are returned unchanged."""
    timer = TIMER.search(script)
    if timer is None:
        return script
    running = timer["running"]
    # The element is declared before the flag: `let element, running = false`.
    element = re.search(rb"[ ,]([\w$]+)," + re.escape(running) + rb"=!1,", script[: timer.start()])
    if element is None:
        return script
    condition = running + b"&&" + element[1] + b"?.isConnected"
    return script[: timer.start("running")] + condition + script[timer.end("running") :]
