"""All that one decision about a model is made of: frozen and whole; the decision reads nothing else."""

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
    """The observed Deployment of a stage."""

    name: str
    template: str | None
    """The rendered document that was last applied, as `sha256:…`."""
    settled: bool
    """The Deployment's controller has observed the newest spec."""
    desired: int
    updated: int
    available: int
    total: int

    @property
    def complete(self) -> bool:
        """Whether every desired pod runs the newest template and is available, and no other pod is left."""
        return self.settled and self.updated == self.desired == self.total and self.available == self.desired


@dataclasses.dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a stage: its version, and what keeps it from serving, if anything does."""

    stage: str
    version: str
    trouble: str | None = None
    ready: bool = False
    """It may get traffic."""


@dataclasses.dataclass(frozen=True, slots=True)
class Render:
    """Ask to render a version for a stage; the answer is the name of the rendered document."""

    stage: str
    version: str
    source: str
    of: str | None = None
    """The rendered document whose template is used; None: the declared template is used."""


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """Ask for a spec as the ledger last recorded it; the answer is the spec."""

    digest: str


@dataclasses.dataclass(frozen=True, slots=True)
class DryRun:
    """Ask whether the API server would accept a stage's rendered template; the answer is a Fact if not."""

    stage: str
    source: str


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """Ask whether the operator rendered a document that the ledger names; the answer is its name, or a Fact if it did not."""

    stage: str
    version: str
    template: str
    source: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """When a version served in a stage, as the ledger recorded it, and when nobody watched meanwhile."""

    spans: tuple[tuple[datetime.datetime, datetime.datetime | None], ...] = ()
    """From when to when; the last may go on."""
    gaps: tuple[coverage.Gap, ...] = ()
    """When nobody watched, so nobody knows what served."""

    @property
    def serves(self) -> bool:
        """Whether the version serves now."""
        return any(end is None for _, end in self.spans)

    def total(self, now: datetime.datetime) -> datetime.timedelta:
        """Return how long the version served until now, without the time in which nobody watched."""
        return self._length(now) - self.uncounted(now)

    def uncounted(self, now: datetime.datetime) -> datetime.timedelta:
        """Return how long the ledger has it as serving while nobody watched: it served before and after, and nobody knows of in between."""
        return sum((gap.length(begin, end or now) for begin, end in self.spans for gap in self.gaps), datetime.timedelta())

    def _length(self, now: datetime.datetime) -> datetime.timedelta:
        return sum((max((end or now) - begin, datetime.timedelta()) for begin, end in self.spans), datetime.timedelta())


T = TypeVar("T", api.Model, api.ModelVersion, api.Promotion)
Ours = api.Model | api.ModelVersion | api.Promotion
Question = Render | DryRun | Snapshot | Recorded
Answer = str | finding.Finding | Mapping[str, Any] | None


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
    """Stages that have a Deployment, and no Service of the operator's in front of it."""
    pods: tuple[Pod, ...] = ()
    unread: tuple[unreadable.Unread, ...] = ()
    """Modelyard objects that exist and cannot be read."""
    earlier: Mapping[tuple[str, str], Sequence[Ours]] = dataclasses.field(default_factory=dict)
    """By kind and name: the earlier observed states of an object, from the recorded generation on."""
    answers: Mapping[Question, Answer] = dataclasses.field(default_factory=dict)
    refused: Mapping[objects.Serve, finding.Finding] = dataclasses.field(default_factory=dict)
    """What the API server refused when it was last applied, and why."""
    unserved: Mapping[objects.Serve, finding.Unmet] = dataclasses.field(default_factory=dict)
    """What could not be applied when it was last tried, and is tried again: the API server neither accepted nor refused it."""
    broken: Mapping[str, finding.Unmet] = dataclasses.field(default_factory=dict)
    """Stages that cannot be handled, and why: they stay as they are, and what serves in them is not touched."""
    unrecordable: frozenset[str] = frozenset()
    """Promotions of which nothing can be recorded; their stages are broken."""
    flaws: tuple[finding.Unmet, ...] = ()
    """What else could not be done, and delays no stage; it is tried again."""
    past: index.Index | None = None
    """What the ledger has of this model; None while it does not answer."""
    first: bool = False
    """This operator observes the model for the first time: it did not see what happened before."""
    older: bool = False
    """The cluster is older than the ledger: an older backup was restored, or everything was lost."""
    terminating: bool = False
    """The namespace is being deleted, or gone: nothing can be brought back into it."""
    sequence: int = 0
    """Number of the newest record when all this was observed: `past` may have more by now."""
    unrecorded: tuple[record.LedgerEntry, ...] = ()
    """Entries that the ledger does not have yet, from the time in which it did not answer."""
    state: tuple[record.StageState, ...] = ()
    """What each stage serves, by the ledger and the entries that it does not have yet."""
    served: Mapping[tuple[str, str], Served] = dataclasses.field(default_factory=dict)
    """By stage and version."""
    registrants: Mapping[str, str] | None = None
    """By version: who registered it, where the ledger says it; None while the ledger does not answer."""
    registered_again: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    """By version: who registered the same under its name later."""
    attested: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    """By version: who added which metric (`metrics/<name>`) and evidence (`evidence/<name>`) since."""
    storage: finding.Finding | None = None
    """What is wrong with the Model's storage, if anything is."""
    withheld: finding.Unmet | None = None
    """Why nothing may be decided now but what makes things safer: the ledger does not answer, was tampered with, or is ahead of the cluster."""
    unguarded: finding.Unmet | None = None
    """Why nothing that needs an approval may be granted now: the policies are not effective."""
    doubted: frozenset[tuple[str, str, str]] = frozenset()
    """Approvals that do not count, as a policy was found not effective when they appeared: (Promotion's uid, user, gate)."""
    untried: frozenset[tuple[str, str, str]] = frozenset()
    """Approvals that appeared while the policies could not be tried: they wait, neither counted nor recorded, until the policies were tried."""

    def with_ledger(self, past: index.Index, sequence: int, state: Sequence[record.StageState], gaps: Sequence[coverage.Gap]) -> World:
        """Return this world with what the ledger has of the model.

        Args:
            past: index of the model's chain.
            sequence: number of its last record.
            state: what each stage serves, by that record.
            gaps: when nobody watched.
        """
        waiting = traffic.without_repeats(state, outbox.without_recorded_approvals(past, outbox.unrecorded(self._waiting(), past.recent)))
        unobserved = (*gaps, *coverage.forgotten(past))
        served = {
            (name, version): _served(span, unobserved) for name, versions in past.served.items() for version, span in versions.items()
        }
        registrants = {name: version.registrant for name, version in past.versions.items() if version.registrant}
        recorded_promotions = past.promotions
        return dataclasses.replace(
            self,
            model=specs.recovered(self.model, None if past.deleted else past.uid, past.spec, past.generation) if self.model else None,
            promotions=tuple(
                specs.recovered(promotion, recorded.uid, recorded.spec, recorded.generation)
                if (recorded := recorded_promotions.get(promotion.metadata.name))
                else promotion
                for promotion in self.promotions
            ),
            past=past,
            sequence=sequence,
            unrecorded=waiting,
            state=traffic.after(state, waiting),
            served=served,
            registrants=registrants,
            registered_again={name: version.again for name, version in past.versions.items() if version.again},
            attested={name: version.attested for name, version in past.versions.items() if version.attested},
        )

    def without_ledger(self, why: finding.Unmet) -> World:
        """Return this world while the ledger does not answer: `past` stays as it was read before."""
        # Failed renders are asked once more: a rollback need not wait until the rendered document is stored.
        answers = {
            question: answer
            for question, answer in self.answers.items()
            if not (isinstance(question, Render) and isinstance(answer, finding.Finding))
        }
        withheld = dataclasses.replace(self, withheld=why, answers=answers)
        if self.past is not None:
            return withheld
        waiting = self._waiting()
        return dataclasses.replace(withheld, unrecorded=waiting, state=traffic.after((), waiting))

    def _waiting(self) -> tuple[record.LedgerEntry, ...]:
        ledger = self.model.status.ledger if self.model else None
        return outbox.read(ledger.unrecorded if ledger else None)

    @property
    def history(self) -> index.Index:
        """Return the ledger's index with the entries that wait for the ledger. While it was never read, only these count."""
        return fold.with_unrecorded(self.past or index.Index(), self.unrecorded)

    def stages(self) -> tuple[api.Stage, ...]:
        """Return the declared stages, or the three default stages where none is declared."""
        if self.model is None:
            return ()
        return tuple(self.model.spec.stages) if self.model.spec.stages else stage.DEFAULT_STAGES

    def asked(self) -> dict[str, str]:
        """Return the uids of all Promotions in the cluster by name, with those that cannot be read."""
        uids = {unread.name: unread.subject.metadata.uid for unread in self.unread if unread.kind == "Promotion"}
        return uids | {promotion.metadata.name: promotion.metadata.uid for promotion in self.promotions}

    def changes(self, subject: T) -> list[specs.Change[T]]:
        """Return what has changed in an object's spec since it was recorded, and who changed it."""
        return specs.changes(subject, self._earlier(subject), stamped=self.unguarded is None)

    def baseline(self, subject: T) -> Mapping[str, Any] | None:
        """Return the spec of an object as it was last recorded; None where that is not known."""
        if (observed := specs.baseline(subject, self._earlier(subject))) is not None:
            return observed
        answer = self.answers.get(Snapshot(subject.status.recorded.spec)) if subject.status.recorded else None
        return answer if isinstance(answer, Mapping) else None

    def _earlier(self, subject: T) -> list[T]:
        observed = self.earlier.get((subject.kind, subject.metadata.name), ())
        return [resource for resource in observed if isinstance(resource, type(subject))]

    def declared_by(self, version: str, what: str) -> str | None:
        """Return who declared a metric or a document: whoever added it, else whoever registered the version; None where nobody knows."""
        return self.attested.get(version, {}).get(what, self.registrant(version)) or None

    def registrant(self, version: str) -> str | None:
        """Return who registered a version; None where nobody knows."""
        return (self.registrants or {}).get(version)

    def lacks_registrant(self, version: str) -> bool:
        """Whether the ledger answers and does not say who registered a version. While it does not answer, only rollbacks are granted."""
        return self.registrants is not None and self.registrant(version) is None

    def stage(self, name: str) -> api.Stage | None:
        """Return the declared stage of that name."""
        return next((stage for stage in self.stages() if stage.name == name), None)

    def stands(self, name: str) -> api.StageStatus:
        """Return the stage's entry in the Model's status, or an empty one."""
        recorded = (self.model.status.stages if self.model else None) or []
        return next((stage for stage in recorded if stage.name == name), api.StageStatus(name=name))


def _served(span: index.Span, gaps: tuple[coverage.Gap, ...]) -> Served:
    ended = tuple((codec.read_time(begin), codec.read_time(end)) for begin, end in span.ended)
    running = ((codec.read_time(span.since), None),) if span.since else ()
    return Served((*ended, *running), gaps)


def order(promotion: api.Promotion) -> tuple[float, semver.Rank, str]:
    """Return the sort key of promotions from the earliest to the latest; in the same second the lower version is the earlier."""
    created = promotion.metadata.creation_timestamp
    return (created.timestamp() if created else 0.0, semver.rank(promotion.spec.version), promotion.metadata.name)
