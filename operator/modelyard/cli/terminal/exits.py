"""How a verb can end: the exit codes, and the one exception that ends a verb early."""

from __future__ import annotations

import enum
import pathlib
from typing import Final


class Code(enum.IntEnum):
    """Exit codes, the same for every verb."""

    DONE = 0
    UNAVAILABLE = 1
    """The cluster or the object store did not answer, or not as it should: trying again may help."""
    USAGE = 2
    """What was typed, or a file that was named, is wrong."""
    NO = 3
    """The answer is no: bytes differ, a write was refused, a promotion failed."""
    NOT_FOUND = 4
    TIMED_OUT = 5
    """The awaited result has not come yet; it still may."""
    INTERRUPTED = 130


EXPLAINED: Final = """Exit codes: 0 done; 1 the cluster or the store did not answer; 2 wrong usage; 3 the answer is no (differs, refused,
failed); 4 not found; 5 timed out waiting; 130 interrupted."""


class Stop(Exception):
    """The verb ends here.

    Args:
        code: the exit code.
        message: for the user: what is wrong, where, what to do; never a credential.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def usage(message: str) -> Stop:
    """What was typed, or a file that was named, is wrong."""
    return Stop(Code.USAGE, message)


def unreadable(error: OSError, path: pathlib.Path) -> Stop:
    """Return the Stop for a file that cannot be read."""
    where = error.filename if isinstance(error.filename, str) else path
    return usage(f"{where}: cannot be read: {error.strerror or type(error).__name__}")
