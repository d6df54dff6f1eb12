"""What a dossier rests on: the records and snapshots themselves, so that anybody can check offline that each field follows from them. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from modelyard.audit import provenance, templates
from modelyard.ledger import codec, reader, traffic
from modelyard.ledger.record import OPERATOR, Action, Chain, Record, Share

Json = dict[str, Any]

_LARGEST = 256 << 10
"""Bytes of a list of files that is still worth carrying along."""
_WHOLE = frozenset({Action.FORGOTTEN, Action.RESTORED})
"""What concerns every version."""
_RENDERED: Final = 1 << 20
"""Bytes of a rendered document, with its list of files, that is still worth carrying along."""


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """Records of a model's chain that tell of one version, and what they name."""

    chain: Chain
    records: Mapping[int, bytes]
    """By number: those that tell of the version, of the Model's rules, the first and the last."""
    digests: tuple[str | None, ...]
    """Of every record of the chain, from the first to the last, so that it can be held against the ledger; None where there was none."""
    operators: Mapping[int, bytes]
    """Of the chain `_operator`: who led when."""
    blobs: Mapping[str, bytes]

    def read(self) -> list[Record]:
        """The records that can be read, in order."""
        return [record for _, record in _parsed(self.records)]

    def terms(self) -> list[Record]:
        """Those of `_operator`."""
        return [record for _, record in _parsed(self.operators)]

    def blob(self, name: str | None) -> bytes | None:
        """A snapshot."""
        return self.blobs.get(name) if name else None

    def dump(self) -> Json:
        """As a dossier carries it; canonical JSON stays readable as text."""
        return {
            "registry": self.chain.registry,
            "namespace": self.chain.namespace,
            "model": self.chain.model,
            "sequence": len(self.digests),
            "head": self.digests[-1] if self.digests else None,
            "records": [{"sequence": number, "digest": codec.named(data), "text": data.decode()} for number, data in self.records.items()],
            "digests": list(self.digests),
            "operators": [
                {"sequence": number, "digest": codec.named(data), "text": data.decode()} for number, data in self.operators.items()
            ],
            "blobs": [{"digest": name, "text": data.decode()} for name, data in self.blobs.items()],
        }


def load(raw: Mapping[str, Any]) -> Evidence:
    """What `dump` made.

    Raises:
        ValueError: it is something else.
    """
    try:
        chain = Chain(raw["registry"], raw["namespace"], raw["model"])
        records, operators = ({int(one["sequence"]): str(one["text"]).encode() for one in raw[name]} for name in ("records", "operators"))
        blobs = {str(one["digest"]): str(one["text"]).encode() for one in raw["blobs"]}
        return Evidence(chain, records, tuple(raw["digests"]), operators, blobs)
    except (KeyError, TypeError, AttributeError, UnicodeError) as error:
        raise ValueError(f"its attestation cannot be read: {type(error).__name__} {error}") from None


def gather(of: reader.Book, operators: reader.Book | None, version: str) -> Evidence:
    """Reads a whole chain, and keeps what tells of one version."""
    digests: list[str | None] = []
    kept: list[Record] = []
    known: set[tuple[str, str]] = set()
    serving: dict[str, list[Share]] = {}
    last = of.last
    for number, record in _numbered(of, digests):
        facts = list(provenance.told([record]))
        mine = [one for one in facts if provenance.names(one, version) or _rolled_out(one, version)]
        known |= {(one.fact.subject.kind, one.fact.subject.name) for one in mine}
        turned = False
        for step in traffic.steps(record, tuple(serving)):
            now = [share for share in step.shares if share.version == version]
            turned = turned or now != serving.get(step.stage, [])
            serving[step.stage] = now
        told = any(
            provenance.governs(one) or (one.fact.subject.kind, one.fact.subject.name) in known or one.fact.action in _WHOLE for one in facts
        )
        if number in {1, last} or turned or mine or told:
            kept.append(record)
    its = provenance.of(version, kept)
    blobs = {name: data for name in named(its, provenance.rules(kept)) if (data := of.blob(name)) is not None}
    manifest = its.verified[-1].text("manifest") if its.verified else ""
    if (listed := of.blob(manifest)) is not None and len(listed) <= _LARGEST:
        blobs[manifest] = listed
    for entry in templates.unapproved(kept, of.blob):
        rendered = {name: of.blob(name) for name in (entry.before, entry.after) if name and entry.version == version}
        blobs |= {name: data for name, data in rendered.items() if data is not None and len(data) <= _RENDERED}
    terms = {record.sequence: codec.write(record) for record in operators.all()} if operators else {}
    return Evidence(of.chain, {record.sequence: codec.write(record) for record in kept}, tuple(digests), terms, blobs)


def _rolled_out(one: provenance.Told, version: str) -> bool:
    """Whether a fact tells of a template that was rolled out with the version, or put back."""
    return one.fact.action == Action.ROLLOUT and one.text("version") == version


def named(its: provenance.Account, rules: Sequence[provenance.Told]) -> list[str]:
    """The snapshots that a version's dossier needs: its spec, the Model's, and the policy of each grant."""
    found = [its.spec, *(one.fact.digest for one in rules[-1:])]
    found += [one.granted.text("policy") for one in its.requests if one.granted]
    return [name for name in dict.fromkeys(found) if name]


def problems(raw: Mapping[str, Any], evidence: Evidence) -> Iterator[str]:
    """What is wrong with an attestation in itself: hashes, numbers, links to the record before."""
    for what, name in (("records", "record"), ("operators", "record of _operator")):
        for one in raw[what]:
            if codec.named(str(one["text"]).encode()) != one["digest"]:
                yield f"{name} {one['sequence']}: its text does not have the digest {one['digest']}"
    for one in raw["blobs"]:
        if codec.named(str(one["text"]).encode()) != one["digest"]:
            yield f"blob {one['digest']}: its text has another digest"
    if raw["sequence"] != len(evidence.digests) or raw["head"] != (evidence.digests[-1] if evidence.digests else None):
        yield "head: it is not the last of the digests"
    yield from _links(evidence.records, evidence.chain, evidence.digests)
    operators = Chain(evidence.chain.registry, "_", OPERATOR)
    yield from _links(evidence.operators, operators, None)


def against(evidence: Evidence, there: Evidence) -> Iterator[str]:
    """What of a dossier's evidence is not so in the ledger itself, from which the same was gathered, up to the dossier's last record."""
    if len(there.digests) < len(evidence.digests):
        yield f"the ledger ends at {len(there.digests)}, the dossier knows {len(evidence.digests)} records"
    for number, (said, found) in enumerate(zip(evidence.digests, there.digests, strict=False), 1):
        if said != found:
            yield f"record {number}: the ledger has {found or 'none'}, the dossier says {said or 'none'}"
    for number in sorted(there.records.keys() - evidence.records.keys()):
        yield f"record {number}: it tells of the version, and was left out"
    for name in there.blobs.keys() - evidence.blobs.keys():
        yield f"blob {name}: the records name it, and it was left out"
    known = max(evidence.operators, default=0)
    for number in range(1, known + 1):
        if evidence.operators.get(number) != there.operators.get(number):
            yield f"record {number} of _operator: it is not what the ledger has"
    last = max((record.time for record in evidence.read()), default=None)
    for record in there.terms():
        if record.sequence > known and last and record.time <= last:
            yield f"record {record.sequence} of _operator: it tells when nobody watched, and was left out"


def _numbered(of: reader.Book, digests: list[str | None]) -> Iterator[tuple[int, Record]]:
    """Every record that can be read; the digest of each object goes into the list on the way."""
    for begin in range(1, of.last + 1, reader.PAGE):
        numbers = range(begin, min(begin + reader.PAGE, of.last + 1))
        found = {record.sequence: record for record in of.records(numbers)}
        for number in numbers:
            data = of.data(number)
            digests.append(codec.named(data) if data is not None else None)
            if number in found:
                yield number, found[number]
        of.forget(numbers)


def _links(records: Mapping[int, bytes], chain: Chain, digests: Sequence[str | None] | None) -> Iterator[str]:
    before: Record | None = None
    for number, data in sorted(records.items()):
        try:
            record = codec.read(data)
        except ValueError as error:
            yield f"record {number}: {error}"
            continue
        if (record.chain, record.sequence) != (chain, number):
            yield f"record {number}: it is the record that belongs at {record.chain.key(record.sequence)}"
        known = digests[number - 1] if digests is not None and 0 < number <= len(digests) else None
        if digests is not None and known != codec.named(data):
            yield f"record {number}: the list of digests says {known or 'nothing'}"
        follows = digests[number - 2] if digests is not None and 1 < number <= len(digests) + 1 else None
        if digests is None and number - 1 in records:
            follows = codec.named(records[number - 1])
        if (follows is not None or number == 1) and record.prev != follows:
            yield f"record {number}: it follows {record.prev or 'nothing'}, not {follows or 'nothing'}"
        if before and record.time < before.time:
            yield f"record {number}: it is older than record {before.sequence}"
        before = record


def _parsed(records: Mapping[int, bytes]) -> Iterator[tuple[int, Record]]:
    for number, data in sorted(records.items()):
        try:
            yield number, codec.read(data)
        except ValueError:  # told by `problems`
            continue
