"""Long work on many files: several at a time, with a progress bar on a terminal; Ctrl-C ends it."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Final, TypeVar

from modelyard.cli.terminal import output

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE: Final = 4
"""Enough to keep a store or a few cores busy."""
_LOOK_SECONDS: Final = 0.2
"""Longest time until Ctrl-C is noticed."""


class Stopped(Exception):
    """Another part of the work failed, or the user pressed Ctrl-C: this part stops."""


class Work:
    """Work that is measured in bytes."""

    def __init__(self, tell: Callable[[int], object]) -> None:
        self._tell = tell
        self._stop = threading.Event()

    def advance(self, count: int) -> None:
        """Report `count` more bytes; raise Stopped when the work was stopped."""
        if self._stop.is_set():
            raise Stopped
        self._tell(count)

    def each(self, do: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Apply `do` to each item and return the results in order. The first exception, or Ctrl-C, ends all of the work."""
        if len(items) < 2:
            return [do(item) for item in items]
        with futures.ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                begun = [pool.submit(do, item) for item in items]
                left = set(begun)
                while left:
                    # With a timeout: a Ctrl-C that another thread received does not wake an endless wait.
                    done, left = futures.wait(left, _LOOK_SECONDS, futures.FIRST_EXCEPTION)
                    for future in done:
                        future.result()
                return [future.result() for future in begun]
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise


@contextlib.contextmanager
def shown(title: str, total: int) -> Iterator[Work]:
    """Yield work of `total` bytes; show a bar on standard error meanwhile, if that is a terminal."""
    if not output.coloured(sys.stderr):
        yield Work(lambda _: None)
        return
    from rich import console, progress  # noqa: PLC0415  nobody else waits for it

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(binary_units=True),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console.Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield Work(lambda count: bar.advance(task, count))
