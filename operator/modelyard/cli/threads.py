"""Work on many files at a time, that a person can interrupt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE: Final = 4
"""Enough to keep a store or a few cores busy."""


def each(work: Callable[[T], R], those: Sequence[T]) -> list[R]:
    """What `work` makes of each, in their order. The first trouble, or Ctrl-C, ends all; what has begun is waited for."""
    if len(those) < 2:
        return [work(one) for one in those]
    with futures.ThreadPoolExecutor(AT_ONCE) as pool:
        begun = [pool.submit(work, one) for one in those]
        try:
            done, _ = futures.wait(begun, return_when=futures.FIRST_EXCEPTION)
            for one in done:
                one.result()
            return [one.result() for one in begun]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
