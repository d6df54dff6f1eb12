"""Check that a chain is as it was written: find every flaw that its bytes, its anchors and its signed checkpoints show. Pure.

crds/ledger.md says what cannot be found: an end that was cut off or written anew after the last anchor and checkpoint.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from modelyard.api import words
from modelyard.content import canonical
from modelyard.content.digest import named
from modelyard.ledger import checkpoint, codec, fold, index, signature, trust
from modelyard.ledger.record import Chain, Pointer, Record, snapshots


class FlawKind(words.Word):
    """The kind of a flaw; the text is for the manual."""

    HOLE = "Hole", "A number has no record, and later ones do."
    GONE = "Gone", "The store refuses to create a record that it does not have: one was there and was deleted."
    TRUNCATED = "Truncated", "The chain is shorter than an anchor or a checkpoint says it was."
    REPLACED = "Replaced", "A record is another one than an anchor or a checkpoint names."
    UNCHAINED = "Unchained", "A record does not name the sha256 of the one before."
    UNREADABLE = "Unreadable", "A record is no canonical JSON of this format."
    MISPLACED = "Misplaced", "A record says that it belongs to another chain or has another number: it was copied or swapped."
    VERSIONS = "Versions", "The store has more than one version of a record, or a delete marker: it was deleted or written over."
    TIME_BACK = "TimeBack", "A record is older than the one before, or tells of what was seen after it."
    TERM_BACK = "TermBack", "A record was written under an earlier leadership than the one before."
    SNAPSHOT = "Snapshot", "A spec, a policy, a template or a list of files that a record names is missing, or was changed."
    INDEX = "Index", "A snapshot of the index is not what the records fold to."
    TWICE = "Twice", "A fact is told twice."
    STATE = "State", "What a record says is served cannot be."
    UNPROVEN = (
        trust.UNPROVEN,
        "A record is not signed by a key that is trusted: somebody else wrote it, or it is older than signing, or its key was lost.",
    )
    FORGED = "Forged", "A checkpoint's signature is not by a key that is trusted, or it is no checkpoint."


@dataclasses.dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong with a chain."""

    kind: FlawKind
    sequence: int
    sentence: str
    head: str | None = None
    """The digest that an anchor or checkpoint names, when the flaw is about one. For an object that is not what it should be, the object's own
    digest: a person accepts that object, not what is written in its place later."""
    accepted: bool = False
    """A later record says that a person accepted it."""

    @property
    def identity(self) -> trust.FlawIdentity:
        """Kind, number and head, as an acceptance names the flaw."""
        return str(self.kind), self.sequence, self.head

    @property
    def detail(self) -> dict[str, Any]:
        """The flaw in the detail of an `Accepted` entry."""
        return {"kind": str(self.kind), "sequence": self.sequence, "head": self.head, "sentence": self.sentence}


@dataclasses.dataclass(frozen=True, slots=True)
class Anchor:
    """What is kept elsewhere of a chain: it had this many records, and the last record's object had this digest."""

    sequence: int
    head: str
    source: str = "the anchor"


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """A number of a chain, as it was read: the digest of the object, and the record if the object is one."""

    sequence: int
    digest: str | None = None
    record: Record | None = None
    latest: Record | None = None
    """The last proven record up to here: times and terms of unproven records are not compared."""


_NEVER: Final = datetime.datetime.min.replace(tzinfo=datetime.UTC)
CUT: Final = frozenset({FlawKind.TRUNCATED, FlawKind.REPLACED})
"""The kinds that anchors and checkpoints find."""
NOTHING: Final = Link(0)
"""Before the first record."""


def check_link(
    chain: Chain, before: Link, sequence: int, data: bytes | None, trusted: trust.Trust | None = None
) -> tuple[Link, list[Flaw]]:
    """Read the object of a number, and find its flaws as the one after `before`; no record when it is none, or another chain's.

    Unproven is not among these flaws: a later record may prove this one (`unproven`).
    """
    key, latest = chain.key(sequence), before.latest
    if data is None:
        return Link(sequence, latest=latest), [Flaw(FlawKind.HOLE, sequence, f"{key} is missing: it was deleted, or never copied")]
    digest = named(data)
    try:
        record = codec.read(data)
    except ValueError as error:
        return Link(sequence, digest, latest=latest), [Flaw(FlawKind.UNREADABLE, sequence, f"{key} was changed: {error}", digest)]
    if (record.chain, record.sequence) != (chain, sequence):
        home = record.chain.key(record.sequence)
        return Link(sequence, digest, latest=latest), [
            Flaw(FlawKind.MISPLACED, sequence, f"{key} is the record that belongs at {home}", digest)
        ]
    proven = trusted is None or trusted.fault(record, digest) is None
    link = Link(sequence, digest, record, record if proven else latest)
    flaws = []
    prev_is_known = before.digest is not None or before is NOTHING
    if prev_is_known and record.prev != before.digest:
        sentence = (
            f"{key} follows {record.prev or 'nothing'}, but the record before is {before.digest or 'none'}: one of the two was changed"
        )
        # The head names both, as either may be changed once more.
        flaws.append(Flaw(FlawKind.UNCHAINED, sequence, sentence, named(f"{before.digest or ''} {digest}".encode())))
    if not proven:
        return link, flaws
    if latest and record.time < latest.time:
        flaws.append(Flaw(FlawKind.TIME_BACK, sequence, f"{key} says {record.time}, before {latest.time} of the record before"))
    observed, observed_before = record.seen or _NEVER, latest.seen if latest else None
    if max([observed, *(entry.at for entry in record.facts if entry.at)]) > record.time or observed < (observed_before or _NEVER):
        flaws.append(
            Flaw(FlawKind.TIME_BACK, sequence, f"{key} tells of what was seen after it was written, or looked before the record before")
        )
    if latest and record.term < latest.term:
        flaws.append(Flaw(FlawKind.TERM_BACK, sequence, f"{key} was written in term {record.term}, after term {latest.term} had begun"))
    return link, flaws


def unproven(chain: Chain, trusted: trust.Trust) -> list[Flaw]:
    """One flaw for each run of unproven records."""
    flaws = []
    for run in trusted.runs:
        if run.first == run.last:
            sentence = f"{chain.key(run.last)} is Unproven: {run.why}"
        else:
            sentence = f"{chain.key(run.first)} and all up to {run.last} are Unproven: of the last, {run.why}"
        flaws.append(Flaw(FlawKind.UNPROVEN, run.last, sentence, run.head))
    return flaws


def compare_anchor(chain: Chain, anchor: Anchor, last: int, digest: str | None) -> list[Flaw]:
    """The flaws of a chain that ends at `last` and has this digest at the anchor's number."""
    if not anchor.sequence or digest == anchor.head:
        return []
    if anchor.sequence > last:
        sentence = f"{chain.prefix} ends at {last}, but {anchor.source} knows record {anchor.sequence}: the end was cut off"
        return [Flaw(FlawKind.TRUNCATED, anchor.sequence, sentence, anchor.head)]
    sentence = f"{chain.key(anchor.sequence)} is {digest or 'missing'}, but {anchor.source} knows it as {anchor.head}: it was written anew"
    return [Flaw(FlawKind.REPLACED, anchor.sequence, sentence, anchor.head)]


def accepts(record: Record) -> Iterator[trust.FlawIdentity]:
    """The flaws that a person accepts in a record. Only records accept flaws: a snapshot of the index cannot."""
    yield from (flaw for flaw, _ in trust.acceptances(record))


def uncovered(flaws: Iterable[Flaw], accepted: Iterable[trust.FlawIdentity]) -> list[Flaw]:
    """The flaws that no person accepted. A chain that was accepted as too short stays accepted after it grows with other records."""
    identities = set(accepted)
    cut = {(sequence, head) for kind, sequence, head in identities if kind in CUT}
    return [flaw for flaw in flaws if flaw.identity not in identities and not (flaw.kind in CUT and (flaw.sequence, flaw.head) in cut)]


def check(
    chain: Chain,
    records: Iterable[tuple[int, bytes | None]],
    *,
    anchors: Iterable[Anchor] = (),
    checkpoints: Iterable[tuple[int, bytes]] = (),
    keys: signature.Keys | None = None,
    signers: signature.Keys | None = None,
    versions: Mapping[int, int] | None = None,
    blob: Callable[[str], bytes | None] | None = None,
    lost: Callable[[Iterable[str]], Iterable[str]] | None = None,
) -> tuple[Flaw, ...]:
    """Every flaw of a chain.

    Args:
        chain: whose records these are.
        records: the object at each number, in rising order; a number that is left out is a hole.
        anchors: from Model.status, from the ConfigMap, or from an auditor's notes.
        checkpoints: number and bytes of each checkpoint.
        keys: public keys that checkpoints are trusted from; None: the signatures of checkpoints are not checked, and prove nothing.
        signers: public keys that records are trusted from; None: the signatures of records are not checked.
        versions: for each number, how many versions and delete markers the store has of it; None: the store does not say.
        blob: returns bytes by name, for the snapshots of the index; None: these are not checked.
        lost: returns those of these names whose bytes are missing or changed, for all other snapshots; None: these are not checked.
    """
    all_anchors, flaws = _checkpoints(chain, checkpoints, keys)
    all_anchors += anchors
    reading = _Reading(chain, all_anchors, blob, signers)
    for sequence, data in records:
        reading.add(sequence, data)
    for anchor in all_anchors:
        flaws += compare_anchor(chain, anchor, reading.before.sequence, reading.digests.get(anchor.sequence))
    for sequence, count in sorted((versions or {}).items()):
        if count != 1:
            sentence = f"the store has {count} versions of {chain.key(sequence)}, counting delete markers: it was written over or deleted"
            flaws.append(Flaw(FlawKind.VERSIONS, sequence, sentence))
    flaws += [*reading.flaws, *unproven(chain, reading.trusted)]
    for name in lost(reading.named) if lost else ():
        where = chain.key(reading.named[name])
        flaws.append(Flaw(FlawKind.SNAPSHOT, reading.named[name], f"{where} names the snapshot {name}: it is missing or was changed", name))
    open_flaws = {id(flaw) for flaw in uncovered(flaws, reading.accepted)}
    unique = {dataclasses.replace(flaw, accepted=id(flaw) not in open_flaws): None for flaw in flaws}
    return tuple(sorted(unique, key=lambda flaw: (flaw.sequence, list(FlawKind).index(flaw.kind))))


class _Reading:
    """The records of a chain so far, and their flaws."""

    def __init__(
        self, chain: Chain, anchors: Iterable[Anchor], blob: Callable[[str], bytes | None] | None, signers: signature.Keys | None
    ) -> None:
        heads = [(anchor.sequence, anchor.head) for anchor in anchors]
        self.before = NOTHING
        self.trusted = trust.Trust(signers, heads)
        self.flaws: list[Flaw] = []
        self.digests: dict[int, str | None] = {}
        self.accepted: set[trust.FlawIdentity] = set()
        self.named: dict[str, int] = {}
        """By snapshot: the number of the first record that names it."""
        self._index = index.Index()
        self._chain = chain
        self._wanted = {sequence for sequence, _ in heads}
        self._blob = blob
        self._entry_ids: set[str] = set()
        self._snapshot: Pointer | None = None
        self._explained = 0
        """How many flaws were found by the time the index last equalled a snapshot."""

    def add(self, sequence: int, data: bytes | None) -> None:
        """Read the next object."""
        if sequence <= self.before.sequence:
            self.flaws.append(Flaw(FlawKind.MISPLACED, sequence, f"{self._chain.key(sequence)} comes after number {self.before.sequence}"))
            return
        for missing in range(self.before.sequence + 1, sequence):
            self._join(missing, None)
        self._join(sequence, data)

    def _join(self, sequence: int, data: bytes | None) -> None:
        self.before, flaws = check_link(self._chain, self.before, sequence, data, self.trusted)
        self.flaws += flaws
        if sequence in self._wanted:
            self.digests[sequence] = self.before.digest
        if (record := self.before.record) is None:
            return
        if sentence := _impossible(record):
            self.flaws.append(Flaw(FlawKind.STATE, sequence, f"{self._chain.key(sequence)}: {sentence}"))
        for name in snapshots(record):
            self.named.setdefault(name, sequence)
        for counted in self.trusted.add(record, self.before.digest or ""):
            self._count(counted)

    def _count(self, record: Record) -> None:
        """Take in a record that counts: collect what it accepts, and fold it into the index."""
        if record.index and record.index != self._snapshot:
            self._snapshot = record.index
            self._compare(record.index, record.sequence)
        self._find_repeats(record)
        self.accepted |= set(accepts(record))
        fold.add(self._index, record)

    def _find_repeats(self, record: Record) -> None:
        for entry in record.facts:
            if entry.id in self._entry_ids:
                sentence = f"{self._chain.key(record.sequence)} tells {entry.action} of {entry.subject.kind} {entry.subject.name} once more"
                self.flaws.append(Flaw(FlawKind.TWICE, record.sequence, sentence))
            self._entry_ids.add(entry.id)

    def _compare(self, pointer: Pointer, sequence: int) -> None:
        """Compare a snapshot with the index: it counts every record before the one that first names it."""
        if self._blob is None:
            return
        where = f"{self._chain.key(sequence)}, snapshot {pointer.digest} of the records up to {pointer.sequence}"
        data = self._blob(pointer.digest)
        if data is None or named(data) != pointer.digest:
            self.flaws.append(Flaw(FlawKind.INDEX, sequence, f"{where}: it is missing or was changed"))
            return
        if _another_format(data):
            return
        if pointer.sequence == sequence - 1 and self._index.dump() == data:
            return
        if len(self.flaws) == self._explained:
            self.flaws.append(Flaw(FlawKind.INDEX, sequence, f"{where}: the records say something else"))
        elif pointer.sequence == sequence - 1:
            # The flaws found since then explain the difference: from here on, the snapshot is what the operator knew.
            self._adopt(data, where)
        self._explained = len(self.flaws)

    def _adopt(self, data: bytes, where: str) -> None:
        try:
            self._index = index.Index.load(data)
        except ValueError as error:
            self.flaws.append(Flaw(FlawKind.INDEX, self.before.sequence, f"{where}: it is {error}"))


def _checkpoints(chain: Chain, checkpoints: Iterable[tuple[int, bytes]], keys: signature.Keys | None) -> tuple[list[Anchor], list[Flaw]]:
    """The anchors that checkpoints hold; a checkpoint that proves nothing is a flaw."""
    anchors, flaws = [], []
    for sequence, data in checkpoints:
        try:
            signed = checkpoint.read(data, keys)
            if (signed.chain, signed.sequence) != (chain, sequence):
                raise ValueError(f"it is of {signed.chain.key(signed.sequence)}")
        except ValueError as error:
            flaws.append(Flaw(FlawKind.FORGED, sequence, f"{checkpoint.key(chain, sequence)}: {error}"))
        else:
            anchors.append(Anchor(sequence, signed.head, "a signed checkpoint" if keys is not None else "a checkpoint"))
    return anchors, flaws


def _impossible(record: Record) -> str | None:
    """Why a record's state is impossible; None when it is not."""
    names = [stage.name for stage in record.state]
    if len(set(names)) != len(names):
        return "a stage is named twice"
    for stage in record.state:
        versions = [share.version for share in stage.serves]
        if len(set(versions)) != len(versions):
            return f"a version serves twice in {stage.name}"
        if any(share.weight > 100 for share in stage.serves):
            return f"a version gets more than all traffic of {stage.name}"
    return None


def _another_format(data: bytes) -> bool:
    """Whether the snapshot is of another release's format."""
    try:
        raw = canonical.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(raw, dict) and raw.get("format") != index.FORMAT
