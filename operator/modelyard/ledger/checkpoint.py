"""Signed checkpoints: what the head of a chain was, in a form that nobody without the key can write. Ed25519; pure."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
from typing import Any, Final

from cryptography import exceptions
from cryptography.hazmat.primitives.asymmetric import ed25519

from modelyard.content import canonical
from modelyard.ledger import codec, record, signature

FORMAT: Final = "modelyard.dev/checkpoint/v1"


@dataclasses.dataclass(frozen=True, slots=True)
class Checkpoint:
    """A chain had this many records, and the last one's object had this digest."""

    chain: record.Chain
    sequence: int
    head: str
    time: datetime.datetime
    key_id: str


def key(chain: record.Chain, sequence: int) -> str:
    """Where the checkpoint of a number is."""
    return f"{chain.prefix}checkpoints/{sequence:010}.json"


def number(chain: record.Chain, where: str) -> int | None:
    """The number whose checkpoint is there; None when it is none of this chain's."""
    name = where.removeprefix(f"{chain.prefix}checkpoints/").removesuffix(".json")
    found = int(name) if len(name) == 10 and name.isascii() and name.isdigit() else 0
    return found if found and key(chain, found) == where else None


def sign(chain: record.Chain, sequence: int, head: str, time: datetime.datetime, private: ed25519.Ed25519PrivateKey) -> bytes:
    """A checkpoint as it is stored: canonical JSON; the signature is over the same JSON without `signature`."""
    found = Checkpoint(chain, sequence, head, time, signature.key_id(private.public_key()))
    said = _said(found)
    signed = base64.b64encode(private.sign(canonical.dumps(said))).decode()
    return canonical.dumps(said | {"signature": signed})


def read(data: bytes, keys: signature.Keys | None) -> Checkpoint:
    """What `sign` wrote; with keys, only if one of them signed it.

    Raises:
        ValueError: it is something else, or signed by nobody who is known; says what.
    """
    try:
        raw = canonical.loads(data)
        signed = base64.b64decode(raw["signature"], validate=True)
        chain = record.Chain(raw["registry"], raw["namespace"], raw["model"])
        found = Checkpoint(chain, raw["sequence"], raw["head"], codec.read_time(raw["time"]), raw["keyId"])
        again = canonical.dumps(_said(found) | {"signature": raw["signature"]})
    except (KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise ValueError(f"it is no checkpoint: {type(error).__name__} {error}") from None
    if again != data or type(found.sequence) is not int or not isinstance(found.head, str):
        raise ValueError("it is no checkpoint: not canonical, or fields that none has")
    if keys is None:
        return found
    if found.key_id not in keys:
        raise ValueError(f"it is signed with the key {found.key_id!a}, which is not trusted")
    try:
        keys[found.key_id].verify(signed, canonical.dumps(_said(found)))
    except exceptions.InvalidSignature:
        raise ValueError("its signature is wrong") from None
    return found


def _said(one: Checkpoint) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "registry": one.chain.registry,
        "namespace": one.chain.namespace,
        "model": one.chain.model,
        "sequence": one.sequence,
        "head": one.head,
        "time": codec.write_time(one.time),
        "keyId": one.key_id,
    }
