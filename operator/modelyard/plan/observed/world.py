"""What is seen of one model when its arbiter decides: frozen, whole, and nothing else is looked at."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from modelyard import api
from modelyard.api import stage
from modelyard.ledger import codec, coverage, fold, index, record, traffic
from modelyard.plan import finding, semver
from modelyard.plan.observed import outbox, specs, unreadable
from modelyard.plan.serving import objects


@dataclasses.dataclass(frozen=True, slots=True)
class Deployment:
    """What a stage's Deployment says of itself."""

    name: str
    template: str | None
    """The rendered document it was last given, as `sha256:…`."""
    settled: bool
    """Its controller has seen the newest spec."""
    desired: int
    updated: int
    available: int
    total: int

    @property
    def complete(self) -> bool:
        """Every pod that is wanted runs the newest template, and no other pod is left."""
        return self.settled and self.updated == self.desired == self.total and self.available == self.desired


@dataclasses.dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a stage: which version it holds and what keeps it from serving, if anything does."""

    stage: str
    version: str
    trouble: str | None = None
    ready: bool = False
    """It may get traffic."""


@dataclasses.dataclass(frozen=True, slots=True)
class Render:
    """The question what a version looks like in a stage; answered with the name of the rendered document."""

    stage: str
    version: str
    source: str
    of: str | None = None
    """The rendered document whose template is used; None: the declared template is."""


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """The question what a spec was when the ledger last recorded it; answered with it."""

    digest: str


@dataclasses.dataclass(frozen=True, slots=True)
class DryRun:
    """The question whether the API server would take what a stage's template renders to; answered with a Fact if not."""

    stage: str
    source: str


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """The question whether a rendered document that the ledger names is one of ours; answered with its name, or with a Fact if it is not."""

    stage: str
    version: str
    template: str
    source: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """When a version was among those that serve a stage, as the ledger recorded it, and when nobody watched meanwhile."""

    spans: tuple[tuple[datetime.datetime, datetime.datetime | None], ...] = ()
    """From when to when; the last may go on."""
    gaps: tuple[coverage.Gap, ...] = ()
    """When it is not known what served."""

    @property
    def serves(self) -> bool:
        """Whether it does now."""
        return any(end is None for _, end in self.spans)

    def total(self, now: datetime.datetime) -> datetime.timedelta:
        """How long, until now, as far as somebody watched."""
        return self._length(now) - self.uncounted(now)

    def uncounted(self, now: datetime.datetime) -> datetime.timedelta:
        """How long it is recorded as serving while nobody watched: it served before and after, and nobody can say that it did in between."""
        return sum((gap.length(begin, end or now) for begin, end in self.spans for gap in self.gaps), datetime.timedelta())

    def _length(self, now: datetime.datetime) -> datetime.timedelta:
        return sum((max((end or now) - begin, datetime.timedelta()) for begin, end in self.spans), datetime.timedelta())


T = TypeVar("T", api.Model, api.ModelVersion, api.Promotion)
Ours = api.Model | api.ModelVersion | api.Promotion
Question = Render | DryRun | Snapshot | Recorded
Answer = str | finding.Fact | Mapping[str, Any] | None


@dataclasses.dataclass(frozen=True, slots=True)
class World:
    """One model and all that belongs to it."""

    namespace: str
    name: str
    model: api.Model | None
    versions: Mapping[str, api.ModelVersion]
    """By version."""
    promotions: tuple[api.Promotion, ...]
    deployments: Mapping[str, Deployment]
    """By stage."""
    services: frozenset[str] = frozenset()
    """Stages that have a Service."""
    unexposed: frozenset[str] = frozenset()
    """Stages that have a Deployment, and no Service of ours before it."""
    pods: tuple[Pod, ...] = ()
    unread: tuple[unreadable.Unread, ...] = ()
    """Objects of ours that are there and cannot be read."""
    earlier: Mapping[tuple[str, str], Sequence[Ours]] = dataclasses.field(default_factory=dict)
    """By kind and name: an object as it was observed before, from the recorded generation on."""
    answers: Mapping[Question, Answer] = dataclasses.field(default_factory=dict)
    refused: Mapping[objects.Serve, finding.Fact] = dataclasses.field(default_factory=dict)
    """What the API server would not take when it was last applied."""
    unserved: Mapping[objects.Serve, finding.Held] = dataclasses.field(default_factory=dict)
    """What could not be applied when it was last tried, and is tried again: the API server said neither yes nor no."""
    broken: Mapping[str, finding.Held] = dataclasses.field(default_factory=dict)
    """Stages of which something cannot be handled, and why: they stay as they are, and what serves in them is not touched."""
    unrecordable: frozenset[str] = frozenset()
    """Promotions of which nothing can be recorded; their stages are broken."""
    flaws: tuple[finding.Held, ...] = ()
    """What else could not be done, and holds up no stage; it is tried again."""
    past: index.Index | None = None
    """What the ledger has of this model; None while it does not answer."""
    first: bool = False
    """This operator looks at the model for the first time: what happened before, it did not see happen."""
    older: bool = False
    """The cluster is older than the ledger: an older backup was restored, or everything was lost."""
    terminating: bool = False
    """The namespace is being deleted, or gone: nothing can be brought back into it."""
    sequence: int = 0
    """Number of the newest record when all this was seen: `past` may know more by now."""
    unrecorded: tuple[record.Fact, ...] = ()
    """What was done and seen while the ledger did not answer, and it does not have yet."""
    state: tuple[record.StageState, ...] = ()
    """What the ledger says that each stage serves, and what it does not have yet."""
    served: Mapping[tuple[str, str], Served] = dataclasses.field(default_factory=dict)
    """By stage and version."""
    registrants: Mapping[str, str] | None = None
    """By version: who registered it, as far as that is known; None while the ledger does not answer."""
    registered_again: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    """By version: who registered the same under its name later."""
    attested: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    """By version: who added which metric (`metrics/<name>`) and evidence (`evidence/<name>`) since."""
    storage: finding.Fact | None = None
    """What is wrong with where the Model's artifacts are, if anything is."""
    withheld: finding.Held | None = None
    """Why nothing may be decided now but what makes things safer: the ledger does not answer, was tampered with, or is ahead of the cluster."""
    unguarded: finding.Held | None = None
    """Why nothing that needs an approval may be granted now: the policies are not effective."""
    doubted: frozenset[tuple[str, str, str]] = frozenset()
    """Approvals that do not count, as a policy was found not effective when they appeared: (Promotion's uid, user, gate)."""
    untried: frozenset[tuple[str, str, str]] = frozenset()
    """Approvals that appeared while the policies could not be tried: they wait, neither counted nor recorded, until the policies were tried."""

    def with_ledger(self, past: index.Index, sequence: int, state: Sequence[record.StageState], gaps: Sequence[coverage.Gap]) -> World:
        """The same, with what the ledger has of it.

        Args:
            past: its index.
            sequence: number of its last record.
            state: what that says that each stage serves.
            gaps: when nobody watched.
        """
        waiting = traffic.news(state, outbox.news(past, outbox.left(self._waiting(), past.recent)))
        unknown = (*gaps, *coverage.forgotten(past))
        served = {(name, version): _served(span, unknown) for name, versions in past.served.items() for version, span in versions.items()}
        registrants = {name: known.registrant for name, known in past.versions.items() if known.registrant}
        asked = past.promotions
        return dataclasses.replace(
            self,
            model=specs.recovered(self.model, None if past.deleted else past.uid, past.spec, past.generation) if self.model else None,
            promotions=tuple(
                specs.recovered(one, known.uid, known.spec, known.generation) if (known := asked.get(one.metadata.name)) else one
                for one in self.promotions
            ),
            past=past,
            sequence=sequence,
            unrecorded=waiting,
            state=traffic.after(state, waiting),
            served=served,
            registrants=registrants,
            registered_again={name: known.again for name, known in past.versions.items() if known.again},
            attested={name: known.attested for name, known in past.versions.items() if known.attested},
        )

    def without_ledger(self, held: finding.Held) -> World:
        """The same, while the ledger does not answer; of what it has, only that is known which was known before."""
        # What could not be rendered is asked once more: a rollback need not wait for it to be kept.
        answers = {
            asked: answer for asked, answer in self.answers.items() if not (isinstance(asked, Render) and isinstance(answer, finding.Fact))
        }
        held_back = dataclasses.replace(self, withheld=held, answers=answers)
        if self.past is not None:
            return held_back
        waiting = self._waiting()
        return dataclasses.replace(held_back, unrecorded=waiting, state=traffic.after((), waiting))

    def _waiting(self) -> tuple[record.Fact, ...]:
        known = self.model.status.ledger if self.model else None
        return outbox.read(known.unrecorded if known else None)

    @property
    def history(self) -> index.Index:
        """Promotions, and what Succeeded: as the ledger has them, with what waits for it; empty while nothing is known of it."""
        return fold.with_waiting(self.past or index.Index(), self.unrecorded)

    def stages(self) -> tuple[api.Stage, ...]:
        """The declared stages, or the three that every model has without declaring any."""
        if self.model is None:
            return ()
        return tuple(self.model.spec.stages) if self.model.spec.stages else stage.DEFAULT_STAGES

    def asked(self) -> dict[str, str]:
        """The uids of all Promotions that are here, by name; of those that cannot be read as well."""
        unread = {one.name: one.subject.metadata.uid for one in self.unread if one.kind == "Promotion"}
        return unread | {one.metadata.name: one.metadata.uid for one in self.promotions}

    def changes(self, subject: T) -> list[specs.Change[T]]:
        """What of an object's spec has changed since it was recorded, and who changed it."""
        return specs.changes(subject, self._earlier(subject), stamped=self.unguarded is None)

    def baseline(self, subject: T) -> Mapping[str, Any] | None:
        """The spec of an object as it was last recorded; None where that is not known."""
        if (observed := specs.baseline(subject, self._earlier(subject))) is not None:
            return observed
        answer = self.answers.get(Snapshot(subject.status.recorded.spec)) if subject.status.recorded else None
        return answer if isinstance(answer, Mapping) else None

    def _earlier(self, subject: T) -> list[T]:
        known = self.earlier.get((subject.kind, subject.metadata.name), ())
        return [one for one in known if isinstance(one, type(subject))]

    def declared_by(self, version: str, what: str) -> str | None:
        """Who wrote down a metric or a document: whoever added it, else whoever registered the version; None where nobody knows."""
        return self.attested.get(version, {}).get(what, self.registrant(version)) or None

    def registrant(self, version: str) -> str | None:
        """Who registered a version; None where nobody knows."""
        return (self.registrants or {}).get(version)

    def lacks_registrant(self, version: str) -> bool:
        """Whether the ledger does not say who registered a version; while it does not answer, nobody is granted anything but a rollback."""
        return self.registrants is not None and self.registrant(version) is None

    def stage(self, name: str) -> api.Stage | None:
        """The declared stage of that name."""
        return next((stage for stage in self.stages() if stage.name == name), None)

    def stands(self, name: str) -> api.StageStatus:
        """What is recorded of a stage."""
        recorded = (self.model.status.stages if self.model else None) or []
        return next((stage for stage in recorded if stage.name == name), api.StageStatus(name=name))


def _served(span: index.Span, gaps: tuple[coverage.Gap, ...]) -> Served:
    ended = tuple((codec.read_time(begin), codec.read_time(end)) for begin, end in span.ended)
    running = ((codec.read_time(span.since), None),) if span.since else ()
    return Served((*ended, *running), gaps)


def order(promotion: api.Promotion) -> tuple[float, semver.Rank, str]:
    """Promotions from the earliest to the latest; in one second the lower version is the earlier."""
    created = promotion.metadata.creation_timestamp
    return (created.timestamp() if created else 0.0, semver.rank(promotion.spec.version), promotion.metadata.name)
