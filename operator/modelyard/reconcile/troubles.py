"""What could not be done while a key was handled: it is told where it belongs, and the rest goes on."""

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


def explained(what: str, error: Exception, where: str) -> finding.Held:
    """Why something could not be done, for a status: it is tried again in any case.

    Args:
        what: what could not be handled, such as `the stage production`.
        error: why; one that is a mistake of ours is logged with its trace.
        where: the object that a log line is about.
    """
    match error:
        case edge.Unavailable():
            return finding.Held(error.reason, f"{what}: {error.message}")
        case client.Refused():
            return finding.Held(Reason.CLUSTER_UNAVAILABLE, f"{what}: the API server refused ({error.status}): {error.message}")
        case client.Conflict():
            return finding.Held(Reason.CLUSTER_UNAVAILABLE, f"{what}: the API server says each time that it was changed meanwhile")
    why = unforeseen.of(what, error)
    trace(why, where)
    return dataclasses.replace(why, error=None)


def unavailable(what: str, error: Exception, where: str) -> edge.Unavailable:
    """The same as an exception, for who tries again with backoff."""
    if isinstance(error, edge.Unavailable):
        return error
    why = explained(what, error, where)
    return edge.Unavailable(why.reason, why.message)


def trace(why: unforeseen.Unforeseen, where: str) -> None:
    """The log has the trace beside the id that a status shows."""
    if why.error:
        log.error("%s", why.message, extra={"object": where, "reason": str(why.reason)}, exc_info=why.error)


@contextlib.contextmanager
def suppressed(where: str) -> Iterator[None]:
    """Telling of trouble may fail as well; then the log has it, and it is told when it is tried again.

    Args:
        where: the object that could not be told of.
    """
    try:
        yield
    except (edge.Unavailable, client.Refused, client.Conflict) as error:
        log.warning("its status could not be written: %s", error, extra={"object": where})
    except Exception as error:
        trace(unforeseen.of("its status", error), where)


class Undone(Exception):
    """A status that comes before the Model's could not be written: what depends on it must not begin.

    Args:
        place: kind and name of the object.
        stages: those that stay as they are for that; none where nothing depends on it.
        why: for the status of the Model.
        lost: the API server did not answer.
    """

    def __init__(self, place: tuple[str, str], stages: Collection[str], why: finding.Held, *, lost: bool) -> None:
        super().__init__(why.message)
        self.place = place
        self.stages = frozenset(stages)
        self.why = why
        self.lost = lost


class Found:
    """Collects what could not be done of several things, each of which is tried.

    Args:
        where: the object that log lines are about.
        patient: whether something that was changed meanwhile is no trouble yet, as it happens.
    """

    def __init__(self, where: str, *, patient: bool) -> None:
        self.flaws: dict[str, finding.Held] = {}
        """By what could not be handled."""
        self.conflict: client.Conflict | None = None
        """Something was changed meanwhile: to be decided again."""
        self.patient = patient
        self._where = where

    @contextlib.contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Whatever is raised in here is collected."""
        try:
            yield
        except client.Conflict as conflict:
            self.conflict = conflict
            if not self.patient:
                self.flaws[what] = explained(what, conflict, self._where)
        except Exception as error:
            self.flaws[what] = explained(what, error, self._where)
