"""Everything that reconciling touches, and the one way to write a status and to post what happened."""

from __future__ import annotations

import dataclasses
import datetime
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from modelyard import api, settings
from modelyard.api import meta
from modelyard.edge import metrics
from modelyard.edge.artifact.prover import Prover
from modelyard.edge.bucket import chains
from modelyard.edge.cluster import client, parse
from modelyard.edge.cluster.cache import Cache, Key
from modelyard.plan import finding
from modelyard.plan.observed import specs

MOST_WRITES: Final = 10
"""Attempts to write one status while somebody writes free text into the object's spec."""
log = logging.getLogger(__name__)


class Recorder(Protocol):
    """Posts Events; never waits, never fails."""

    def post(self, event: finding.Event) -> None: ...


class Guard(Protocol):
    """Whether the policies are effective, or why nothing that needs an approval may be granted."""

    held: finding.Unmet | None

    async def prove(self) -> finding.Unmet | None: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The outside world, shared by both sorts of key."""

    cluster: client.Cluster
    cache: Cache
    prover: Prover
    book: chains.Ledger
    config: settings.Settings
    recorder: Recorder
    guard: Guard
    enqueue: Callable[[Iterable[Key]], None]
    """Called with every key that our writes affect."""
    fence: Callable[[], None]
    """Raises `edge.Unavailable` when another replica may lead; called before every write."""
    clock: Callable[[], datetime.datetime]
    """The time now, with a time zone."""

    def log(self, events: Iterable[finding.Event]) -> None:
        """Log decisions before they are carried out."""
        for event in events:
            place = f"{event.kind}/{event.namespace}/{event.name}"
            log.info(event.fact.message, extra={"object": place, "reason": str(event.fact.reason)})

    def post(self, events: Iterable[finding.Event]) -> None:
        """Post an Event, and count a metric, for what was done."""
        for event in events:
            metrics.EVENTS.labels(event.kind, str(event.fact.reason)).inc()
            try:
                self.recorder.post(event)
            except Exception:  # what was done is in the status
                metrics.EVENTS_LOST.inc()
                log.exception("an Event could not be posted", extra={"object": f"{event.kind}/{event.namespace}/{event.name}"})

    async def write_status(self, kind: client.Kind, subject: api.Resource, status: Mapping[str, Any], *, by: Key | None = None) -> None:
        """Write a status on the object that the decision was made from; free text in its spec may have changed since.

        Args:
            kind: of the object.
            subject: the object.
            status: all of it.
            by: the key that decided it, which need not be reconciled again.

        Raises:
            edge.cluster.Conflict: it has changed since; decide again.
            edge.Unavailable: the API server does not answer, or another replica may lead.
        """
        metadata = subject.metadata
        answer = await self._write(kind, subject, dict(status))
        if self.cache.at(kind.name, metadata.namespace, metadata.name) is not None:  # else it was deleted before the answer was read
            self.enqueue(self.cache.put(kind, answer) - {by})

    async def _write(self, kind: client.Kind, subject: api.Resource, status: dict[str, Any]) -> Mapping[str, Any]:
        """Write on the current object, as long as the same decision would be made from it."""
        metadata, version = subject.metadata, subject.metadata.resource_version
        for _ in range(MOST_WRITES):
            self.fence()
            try:
                return await self.cluster.write_status(kind, metadata.namespace, metadata.name, version, status)
            except client.Conflict:
                current = await self._look(kind, metadata)
                if current is None or not specs.decides_alike(subject, current):
                    raise
                version = current.metadata.resource_version
        raise client.Conflict(metadata.name)

    async def _look(self, kind: client.Kind, metadata: meta.ObjectMeta) -> api.Resource | None:
        """Read the current object and put it in the cache: the next decision need not wait for the watch."""
        answer = await self.cluster.get(kind, metadata.namespace, metadata.name)
        if answer is None:
            self.enqueue(self.cache.drop(kind, metadata.namespace, metadata.name))
            return None
        raw = {"apiVersion": kind.api_version, "kind": kind.name, **answer}
        self.enqueue(self.cache.put(kind, raw))
        resource = parse.read(kind.name, raw)
        return resource if isinstance(resource, api.Model | api.ModelVersion | api.Promotion) else None

    def note(self, kind: client.Kind, answer: Mapping[str, Any]) -> None:
        """Put an answer in the cache at once, and enqueue the keys that it affects."""
        self.enqueue(self.cache.put(kind, answer))
