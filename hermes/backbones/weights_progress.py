"""Progress of loading weights, from transformers' progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from transformers.utils.logging import set_tqdm_hook

from hermes.backbones.downloads import Progress

FROM, TO = 0.3, 0.9
"""Range of the overall progress that covers the loading of weights."""


@contextmanager
def report_weights(text: str, progress: Progress | None) -> Iterator[None]:
    """Redirect transformers' progress bar over weights to `progress`; only one model loads at a time."""
    if progress is None:
        yield
        return

    def bar(_factory: Callable[..., Any], arguments: tuple[Any, ...], settings: dict[str, Any]) -> _Bar:
        items = arguments[0] if arguments else settings.get("iterable")
        return _Bar(items, settings.get("total"), lambda share: progress(text, min(FROM + (TO - FROM) * share, TO)))

    before = set_tqdm_hook(bar)
    try:
        yield
    finally:
        set_tqdm_hook(before)


class _Bar:
    """The subset of the tqdm interface that transformers uses."""

    def __init__(self, items: Any, total: int | None, tell: Callable[[float], None]) -> None:
        self._items = items
        self._total = total if total is not None else len(items) if hasattr(items, "__len__") else 0
        self._done = 0
        self._tell = tell

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            yield item
            self.update()

    def update(self, count: int = 1) -> None:
        """Advance by `count` items."""
        self._done += count
        if self._total:
            self._tell(min(self._done / self._total, 1.0))

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, _: str) -> Callable[..., None]:
        """Ignore all other methods of a progress bar, such as descriptions and closing."""
        return lambda *_, **__: None
