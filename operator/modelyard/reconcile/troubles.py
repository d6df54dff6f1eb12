"""What failed while a key was handled: each failure is reported on its own object, and the rest goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Collection, Iterator

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.edge.cluster import client
from modelyard.plan import finding, unforeseen

log = logging.getLogger(__name__)


def explained(subject: str, error: Exception, where: str) -> finding.Unmet:
    """Explain a failure, for a status; it is tried again in any case.

    Args:
        subject: what could not be handled, such as `the stage production`.
        error: the cause; an unforeseen error is logged with its trace.
        where: the object that a log line is about.
    """
    match error:
        case edge.Unavailable():
            return finding.Unmet(error.reason, f"{subject}: {error.message}")
        case client.Refused():
            return finding.Unmet(Reason.CLUSTER_UNAVAILABLE, f"{subject}: the API server refused ({error.status}): {error.message}")
        case client.Conflict():
            return finding.Unmet(Reason.CLUSTER_UNAVAILABLE, f"{subject}: the API server says each time that it was changed meanwhile")
    why = unforeseen.describe(subject, error)
    trace(why, where)
    return dataclasses.replace(why, error=None)


def unavailable(subject: str, error: Exception, where: str) -> edge.Unavailable:
    """Explain a failure as an exception, for callers that retry with backoff."""
    if isinstance(error, edge.Unavailable):
        return error
    why = explained(subject, error, where)
    return edge.Unavailable(why.reason, why.message)


def trace(why: unforeseen.Unforeseen, where: str) -> None:
    """Log the trace beside the id that a status shows."""
    if why.error:
        log.error("%s", why.message, extra={"object": where, "reason": str(why.reason)}, exc_info=why.error)


@contextlib.contextmanager
def suppressed(where: str) -> Iterator[None]:
    """Log what fails while a failure is reported; the next attempt reports it again.

    Args:
        where: the object whose failure is reported.
    """
    try:
        yield
    except (edge.Unavailable, client.Refused, client.Conflict) as error:
        log.warning("its status could not be written: %s", error, extra={"object": where})
    except Exception as error:
        trace(unforeseen.describe("its status", error), where)


class Undone(Exception):
    """A status that must precede the Model's could not be written: what depends on it must not begin.

    Args:
        place: kind and name of the object.
        stages: those that stay as they are because of it; none where nothing depends on it.
        why: for the status of the Model.
        lost: the API server did not answer.
    """

    def __init__(self, place: tuple[str, str], stages: Collection[str], why: finding.Unmet, *, lost: bool) -> None:
        super().__init__(why.message)
        self.place = place
        self.stages = frozenset(stages)
        self.why = why
        self.lost = lost


class Failures:
    """Collects the failures of several attempts, each of which is made.

    Args:
        where: the object that log lines are about.
        patient: whether a conflict is not reported yet, as conflicts are normal.
    """

    def __init__(self, where: str, *, patient: bool) -> None:
        self.flaws: dict[str, finding.Unmet] = {}
        """By what could not be handled, such as `the stage production`."""
        self.conflict: client.Conflict | None = None
        """An object was changed meanwhile: decide again."""
        self.patient = patient
        self._where = where

    @contextlib.contextmanager
    def collect(self, subject: str) -> Iterator[None]:
        """Collect whatever is raised inside."""
        try:
            yield
        except client.Conflict as conflict:
            self.conflict = conflict
            if not self.patient:
                self.flaws[subject] = explained(subject, conflict, self._where)
        except Exception as error:
            self.flaws[subject] = explained(subject, error, self._where)
