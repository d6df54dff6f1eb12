"""Unforeseen exceptions: a mistake in the operator, as the object or stage that it concerns shows it. All others go on."""

from __future__ import annotations

import dataclasses
import hashlib
import traceback

from modelyard.api.reason import Reason
from modelyard.plan import finding

PACKAGE = "modelyard"


@dataclasses.dataclass(frozen=True, slots=True)
class Unforeseen(finding.Unmet):
    """An object or stage that could not be handled. It stays as it is, and is tried again."""

    error: Exception | None = dataclasses.field(default=None, compare=False, repr=False)
    """Its traceback goes to the log, with the message."""


class PromotionNotRecordable(Exception):
    """An entry of one promotion cannot be recorded, so nothing may happen in its stage."""

    def __init__(self, name: str, stage: str, why: Unforeseen) -> None:
        super().__init__(why.message)
        self.name = name
        self.stage = stage
        self.why = why


def describe(what: str, error: Exception) -> Unforeseen:
    """Return what could not be handled, in a sentence that stays the same while the same exception comes from the same place.

    Args:
        what: such as `the stage production`.
        error: its text goes to the log alone, as nobody knows what is in it.
    """
    message = (
        f"{what} could not be handled and stays as it is, by a mistake in the operator ({type(error).__name__}): "
        f"look for {identify(error)} in the operator's log, and report it; it is tried again"
    )
    return Unforeseen(Reason.INTERNAL_ERROR, message, error=error)


def identify(error: Exception) -> str:
    """Return eight hex digits for an exception's type and the lines of our own code that it came through.

    A recursion counts once: its depth depends on the caller.
    """
    places: dict[object, str] = {}
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_code in places:
            break
        module = str(frame.f_globals.get("__name__", ""))
        if module.split(".", 1)[0] == PACKAGE:
            places[frame.f_code] = f"{module}:{line}"
    text = "\n".join([type(error).__name__, *places.values()])
    return hashlib.sha256(text.encode()).hexdigest()[:8]
