"""How far the weights of a model are, as transformers counts them while it loads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from transformers.utils.logging import set_tqdm_hook

from hermes.backbones.downloads import Progress

FROM, TO = 0.3, 0.9
"""Shares of the whole between which weights are loaded."""


@contextmanager
def telling(text: str, progress: Progress | None) -> Iterator[None]:
    """While active, transformers' bar over weights tells `progress` instead of drawing; one model loads at a time."""
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
    """As much of a progress bar as transformers uses."""

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
        """Count `count` more."""
        self._done += count
        if self._total:
            self._tell(min(self._done / self._total, 1.0))

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, _: str) -> Callable[..., None]:
        """Whatever else a bar can do (descriptions, closing) shows nothing here."""
        return lambda *_, **__: None
