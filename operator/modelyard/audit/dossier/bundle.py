"""The evidence of a dossier: the records and snapshots themselves, so that anybody can check offline that each field follows from them. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from modelyard.audit import provenance, templates
from modelyard.content import digest
from modelyard.ledger import codec, reader, traffic
from modelyard.ledger.record import OPERATOR, Action, Chain, Record, Share

Json = dict[str, Any]

_LARGEST = 256 << 10
"""The largest list of files that a dossier includes, in bytes."""
_WHOLE = frozenset({Action.FORGOTTEN, Action.RESTORED})
"""Actions that concern every version."""
_RENDERED: Final = 1 << 20
"""The largest rendered document, with its list of files, that a dossier includes, in bytes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """Records of a model's chain about one version, and the snapshots that they name."""

    chain: Chain
    records: Mapping[int, bytes]
    """By number: the records about the version and the Model's rules, the first record and the last."""
    digests: tuple[str | None, ...]
    """The digest of every record of the chain, from the first to the last, for comparison with the ledger; None where there was no record."""
    operators: Mapping[int, bytes]
    """By number: the records of the chain `_operator`, which say who led when."""
    blobs: Mapping[str, bytes]

    def read(self) -> list[Record]:
        """Return the records that can be read, in order."""
        return [record for _, record in _parsed(self.records)]

    def terms(self) -> list[Record]:
        """Return the records of `_operator` that can be read, in order."""
        return [record for _, record in _parsed(self.operators)]

    def blob(self, name: str | None) -> bytes | None:
        """Return a snapshot."""
        return self.blobs.get(name) if name else None

    def dump(self) -> Json:
        """Return the evidence as a dossier includes it; canonical JSON stays readable as text."""
        return {
            "registry": self.chain.registry,
            "namespace": self.chain.namespace,
            "model": self.chain.model,
            "sequence": len(self.digests),
            "head": self.digests[-1] if self.digests else None,
            "records": [{"sequence": number, "digest": digest.named(data), "text": data.decode()} for number, data in self.records.items()],
            "digests": list(self.digests),
            "operators": [
                {"sequence": number, "digest": digest.named(data), "text": data.decode()} for number, data in self.operators.items()
            ],
            "blobs": [{"digest": name, "text": data.decode()} for name, data in self.blobs.items()],
        }


def load(raw: Mapping[str, Any]) -> Evidence:
    """Read what `dump` returned.

    Raises:
        ValueError: it is something else.
    """
    try:
        chain = Chain(raw["registry"], raw["namespace"], raw["model"])
        records, operators = ({int(row["sequence"]): str(row["text"]).encode() for row in raw[name]} for name in ("records", "operators"))
        blobs = {str(row["digest"]): str(row["text"]).encode() for row in raw["blobs"]}
        return Evidence(chain, records, tuple(raw["digests"]), operators, blobs)
    except (KeyError, TypeError, AttributeError, UnicodeError) as error:
        raise ValueError(f"its attestation cannot be read: {type(error).__name__} {error}") from None


def gather(book: reader.ChainReader, operators: reader.ChainReader | None, version: str) -> Evidence:
    """Read a whole chain, and keep what is about one version."""
    digests: list[str | None] = []
    carried: list[Record] = []
    subjects: set[tuple[str, str]] = set()
    serving: dict[str, list[Share]] = {}
    last = book.last
    for number, record in _numbered(book, digests):
        entries = list(provenance.entries([record]))
        own_entries = [entry for entry in entries if provenance.is_about(entry, version) or _rolled_out(entry, version)]
        subjects |= {(entry.fact.subject.kind, entry.fact.subject.name) for entry in own_entries}
        traffic_changed = False
        for step in traffic.steps(record, tuple(serving)):
            shares = [share for share in step.shares if share.version == version]
            traffic_changed = traffic_changed or shares != serving.get(step.stage, [])
            serving[step.stage] = shares
        relevant = any(
            provenance.governs(entry) or (entry.fact.subject.kind, entry.fact.subject.name) in subjects or entry.fact.action in _WHOLE
            for entry in entries
        )
        if number in {1, last} or traffic_changed or own_entries or relevant:
            carried.append(record)
    history = provenance.of(version, carried)
    blobs = {name: data for name in named(history, provenance.rules(carried)) if (data := book.blob(name)) is not None}
    manifest = history.verified[-1].text("manifest") if history.verified else ""
    if (file_list := book.blob(manifest)) is not None and len(file_list) <= _LARGEST:
        blobs[manifest] = file_list
    for run in templates.unapproved(carried, book.blob):
        rendered = {name: book.blob(name) for name in (run.before, run.after) if name and run.version == version}
        blobs |= {name: data for name, data in rendered.items() if data is not None and len(data) <= _RENDERED}
    terms = {record.sequence: codec.write(record) for record in operators.all()} if operators else {}
    return Evidence(book.chain, {record.sequence: codec.write(record) for record in carried}, tuple(digests), terms, blobs)


def _rolled_out(entry: provenance.RecordedEntry, version: str) -> bool:
    """Whether the entry says that a template was rolled out with the version, or put back."""
    return entry.fact.action == Action.ROLLOUT and entry.text("version") == version


def named(history: provenance.History, rules: Sequence[provenance.RecordedEntry]) -> list[str]:
    """Return the names of the snapshots that a version's dossier needs: its spec, the Model's, and the policy of each grant."""
    names = [history.spec, *(entry.fact.digest for entry in rules[-1:])]
    names += [request.granted.text("policy") for request in history.requests if request.granted]
    return [name for name in dict.fromkeys(names) if name]


def problems(raw: Mapping[str, Any], evidence: Evidence) -> Iterator[str]:
    """Yield what is wrong with an attestation in itself: hashes, numbers, links to the previous record."""
    for key, name in (("records", "record"), ("operators", "record of _operator")):
        for row in raw[key]:
            if digest.named(str(row["text"]).encode()) != row["digest"]:
                yield f"{name} {row['sequence']}: its text does not have the digest {row['digest']}"
    for row in raw["blobs"]:
        if digest.named(str(row["text"]).encode()) != row["digest"]:
            yield f"blob {row['digest']}: its text has another digest"
    if raw["sequence"] != len(evidence.digests) or raw["head"] != (evidence.digests[-1] if evidence.digests else None):
        yield "head: it is not the last of the digests"
    yield from _links(evidence.records, evidence.chain, evidence.digests)
    operators = Chain(evidence.chain.registry, "_", OPERATOR)
    yield from _links(evidence.operators, operators, None)


def against(evidence: Evidence, from_ledger: Evidence) -> Iterator[str]:
    """Yield the differences between a dossier's evidence and evidence gathered from the ledger up to the dossier's last record."""
    if len(from_ledger.digests) < len(evidence.digests):
        yield f"the ledger ends at {len(from_ledger.digests)}, the dossier knows {len(evidence.digests)} records"
    for number, (carried, actual) in enumerate(zip(evidence.digests, from_ledger.digests, strict=False), 1):
        if carried != actual:
            yield f"record {number}: the ledger has {actual or 'none'}, the dossier says {carried or 'none'}"
    for number in sorted(from_ledger.records.keys() - evidence.records.keys()):
        yield f"record {number}: it tells of the version, and was left out"
    for name in from_ledger.blobs.keys() - evidence.blobs.keys():
        yield f"blob {name}: the records name it, and it was left out"
    last_operator_record = max(evidence.operators, default=0)
    for number in range(1, last_operator_record + 1):
        if evidence.operators.get(number) != from_ledger.operators.get(number):
            yield f"record {number} of _operator: it is not what the ledger has"
    last = max((record.time for record in evidence.read()), default=None)
    for record in from_ledger.terms():
        if record.sequence > last_operator_record and last and record.time <= last:
            yield f"record {record.sequence} of _operator: it tells when nobody watched, and was left out"


def _numbered(book: reader.ChainReader, digests: list[str | None]) -> Iterator[tuple[int, Record]]:
    """Yield every record that can be read, and add the digest of each object to `digests`."""
    for begin in range(1, book.last + 1, reader.PAGE):
        numbers = range(begin, min(begin + reader.PAGE, book.last + 1))
        records = {record.sequence: record for record in book.records(numbers)}
        for number in numbers:
            data = book.data(number)
            digests.append(digest.named(data) if data is not None else None)
            if number in records:
                yield number, records[number]
        book.forget(numbers)


def _links(records: Mapping[int, bytes], chain: Chain, digests: Sequence[str | None] | None) -> Iterator[str]:
    previous: Record | None = None
    for number, data in sorted(records.items()):
        try:
            record = codec.read(data)
        except ValueError as error:
            yield f"record {number}: {error}"
            continue
        if (record.chain, record.sequence) != (chain, number):
            yield f"record {number}: it is the record that belongs at {record.chain.key(record.sequence)}"
        listed = digests[number - 1] if digests is not None and 0 < number <= len(digests) else None
        if digests is not None and listed != digest.named(data):
            yield f"record {number}: the list of digests says {listed or 'nothing'}"
        previous_digest = digests[number - 2] if digests is not None and 1 < number <= len(digests) + 1 else None
        if digests is None and number - 1 in records:
            previous_digest = digest.named(records[number - 1])
        if (previous_digest is not None or number == 1) and record.prev != previous_digest:
            yield f"record {number}: it follows {record.prev or 'nothing'}, not {previous_digest or 'nothing'}"
        if previous and record.time < previous.time:
            yield f"record {number}: it is older than record {previous.sequence}"
        previous = record


def _parsed(records: Mapping[int, bytes]) -> Iterator[tuple[int, Record]]:
    for number, data in sorted(records.items()):
        try:
            yield number, codec.read(data)
        except ValueError:  # `problems` reports it
            continue
