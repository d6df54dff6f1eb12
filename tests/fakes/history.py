"""A registry's past, written by the real appender: two models and the operators, with a key, anchors and checkpoints."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib

from cryptography.hazmat.primitives.asymmetric import ed25519

from modelyard.content import digest, location
from modelyard.edge.bucket import archive, chains, sources
from modelyard.ledger import integrity, record, signature
from modelyard.ledger.record import Action
from tests.fakes import bucket

WHERE = location.Place("modelyard", "")
FRAUD = record.Chain("main", "risk", "fraud")
CHURN = record.Chain("main", "risk", "churn")
OPERATORS = record.Chain("main", "_", record.OPERATOR)
ALICE = record.Actor("alice", record.Authenticity.AUTHENTICATED)
RECORDS, ANCHORED, SIGNED = 60, 50, 40
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
SNAPSHOT = b"{}"
SPEC = digest.named(SNAPSHOT)


@dataclasses.dataclass
class Past:
    kept: bucket.Bucket
    anchors: dict[record.Chain, integrity.Anchor]

    def source(self) -> sources.Bucket:
        return sources.Bucket(self.kept, WHERE)

    def export(self, folder: pathlib.Path) -> sources.Folder:
        public = signature.write_public(KEY.public_key())
        archive.export(self.source(), folder, [FRAUD, CHURN, OPERATORS], anchors=self.anchors, public=public)
        return sources.Folder(folder)


def facts(number: int, model: str) -> list[record.LedgerEntry]:
    """What happens in the nth record."""
    version = f"1.{number // 4}.0"
    of = record.Subject("ModelVersion", f"{model}-{version}", f"uid-{model}-{version}", 1)
    asked = record.Subject("Promotion", f"{model}-{version}-production", f"uid-{model}-{version}-p", 1)
    more = {"version": version, "stage": "production"}
    match number % 4:
        case 0:
            return [
                record.entry(Action.REGISTERED, ALICE, of, digest=SPEC, detail={"version": version, "specDigest": SPEC, "declared": None})
            ]
        case 1:
            seen = record.entry(Action.VERIFIED, record.BY_OPERATOR, of, digest=SPEC, detail={"version": version, "files": 1, "bytes": 1.5})
            return [seen, record.entry(Action.REQUESTED, ALICE, asked, digest=SPEC, detail=more | {"reason": "ünder 🦊"})]
        case 2:
            return [record.entry(Action.GRANTED, record.BY_OPERATOR, asked, digest=SPEC, detail=more | {"gates": [], "policy": {}})]
        case _:
            ended = {"phase": "Succeeded", "reason": "Succeeded", "message": "the stage is at it"}
            return [record.entry(Action.ENDED, record.BY_OPERATOR, asked, detail=more | ended)]


def state(number: int, moment: datetime.datetime) -> tuple[record.StageState, ...]:
    version = f"1.{(number - 2) // 4}.0"
    if number < 2:
        return ()
    return (record.StageState("production", version, SPEC, moment, serves=(record.Share(version, SPEC, 100, moment),)),)


async def past() -> Past:
    kept, clock = bucket.Bucket(), bucket.Clock()
    writer = chains.Ledger(kept, WHERE, "main", clock, key=KEY, snapshot_every=16, threads=0)
    kept.put("", f"blobs/sha256/{SPEC[7:]}", SNAPSHOT)
    await writer.claim("cluster-a")
    await writer.begin("operator-1")
    anchors = {}
    for number in range(RECORDS):
        for chain in (FRAUD, CHURN):
            await writer.append(chain, facts(number, chain.model), state(number, clock.now))
        if number + 1 == SIGNED:
            await writer.sign(datetime.timedelta(0))
        if number + 1 == ANCHORED:
            anchors = dict(writer.anchors())
    return Past(kept, anchors)
