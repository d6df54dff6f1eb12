"""A registry's past, written by the real appender: two models and the operators, with a key, anchors and checkpoints."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib

from cryptography.hazmat.primitives.asymmetric import ed25519

from modelyard.content import location
from modelyard.edge import archive, sources
from modelyard.edge import ledger as ledgers
from modelyard.plan import codec, ledger, proof, signature
from modelyard.plan.ledger import Action
from tests.stories import bucket

WHERE = location.Place("modelyard", "")
FRAUD = ledger.Chain("main", "risk", "fraud")
CHURN = ledger.Chain("main", "risk", "churn")
OPERATORS = ledger.Chain("main", "_", ledger.OPERATOR)
ALICE = ledger.Actor("alice", ledger.Known.AUTHENTICATED)
RECORDS, ANCHORED, SIGNED = 60, 50, 40
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
SNAPSHOT = b"{}"
SPEC = codec.named(SNAPSHOT)


@dataclasses.dataclass
class Past:
    kept: bucket.Bucket
    anchors: dict[ledger.Chain, proof.Anchor]

    def source(self) -> sources.Bucket:
        return sources.Bucket(self.kept, WHERE)

    def export(self, folder: pathlib.Path) -> sources.Folder:
        public = signature.write_public(KEY.public_key())
        archive.export(self.source(), folder, [FRAUD, CHURN, OPERATORS], anchors=self.anchors, public=public)
        return sources.Folder(folder)


def facts(number: int, model: str) -> list[ledger.Fact]:
    """What happens in the nth record."""
    version = f"1.{number // 4}.0"
    of = ledger.Subject("ModelVersion", f"{model}-{version}", f"uid-{model}-{version}", 1)
    asked = ledger.Subject("Promotion", f"{model}-{version}-production", f"uid-{model}-{version}-p", 1)
    more = {"version": version, "stage": "production"}
    match number % 4:
        case 0:
            return [
                ledger.fact(Action.REGISTERED, ALICE, of, digest=SPEC, detail={"version": version, "specDigest": SPEC, "declared": None})
            ]
        case 1:
            seen = ledger.fact(Action.VERIFIED, ledger.BY_OPERATOR, of, digest=SPEC, detail={"version": version, "files": 1, "bytes": 1.5})
            return [seen, ledger.fact(Action.REQUESTED, ALICE, asked, digest=SPEC, detail=more | {"reason": "ünder 🦊"})]
        case 2:
            return [ledger.fact(Action.GRANTED, ledger.BY_OPERATOR, asked, digest=SPEC, detail=more | {"gates": [], "policy": {}})]
        case _:
            ended = {"phase": "Succeeded", "reason": "Succeeded", "message": "the stage stands for it"}
            return [ledger.fact(Action.ENDED, ledger.BY_OPERATOR, asked, detail=more | ended)]


def state(number: int, moment: datetime.datetime) -> tuple[ledger.StageState, ...]:
    version = f"1.{(number - 2) // 4}.0"
    if number < 2:
        return ()
    return (ledger.StageState("production", version, SPEC, moment, serves=(ledger.Share(version, SPEC, 100, moment),)),)


async def past() -> Past:
    kept, clock = bucket.Bucket(), bucket.Clock()
    writer = ledgers.Ledger(kept, WHERE, "main", clock, key=KEY, snapshot_every=16, threads=0)
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
