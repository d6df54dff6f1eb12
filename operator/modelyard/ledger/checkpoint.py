"""Signed checkpoints: the head of a chain at some time, in a form that only the holder of the key can write. Ed25519; pure."""

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
    """A chain had this many records, and the last record's object had this digest."""

    chain: record.Chain
    sequence: int
    head: str
    time: datetime.datetime
    key_id: str


def key(chain: record.Chain, sequence: int) -> str:
    """The object key of the checkpoint of a number."""
    return f"{chain.prefix}checkpoints/{sequence:010}.json"


def number(chain: record.Chain, where: str) -> int | None:
    """The number of the checkpoint at an object key; None when it is no checkpoint of this chain."""
    name = where.removeprefix(f"{chain.prefix}checkpoints/").removesuffix(".json")
    sequence = int(name) if len(name) == 10 and name.isascii() and name.isdigit() else 0
    return sequence if sequence and key(chain, sequence) == where else None


def sign(chain: record.Chain, sequence: int, head: str, time: datetime.datetime, private: ed25519.Ed25519PrivateKey) -> bytes:
    """A checkpoint as it is stored: canonical JSON; the signature is over the same JSON without `signature`."""
    content = _content(Checkpoint(chain, sequence, head, time, signature.key_id(private.public_key())))
    value = base64.b64encode(private.sign(canonical.dumps(content))).decode()
    return canonical.dumps(content | {"signature": value})


def read(data: bytes, keys: signature.Keys | None) -> Checkpoint:
    """Read a checkpoint that `sign` wrote; with keys, only if one of them signed it.

    Raises:
        ValueError: it is something else, or no trusted key signed it; the message says which.
    """
    try:
        raw = canonical.loads(data)
        value = base64.b64decode(raw["signature"], validate=True)
        chain = record.Chain(raw["registry"], raw["namespace"], raw["model"])
        checkpoint = Checkpoint(chain, raw["sequence"], raw["head"], codec.read_time(raw["time"]), raw["keyId"])
        again = canonical.dumps(_content(checkpoint) | {"signature": raw["signature"]})
    except (KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise ValueError(f"it is no checkpoint: {type(error).__name__} {error}") from None
    if again != data or type(checkpoint.sequence) is not int or not isinstance(checkpoint.head, str):
        raise ValueError("it is no checkpoint: not canonical, or fields that none has")
    if keys is None:
        return checkpoint
    if checkpoint.key_id not in keys:
        raise ValueError(f"it is signed with the key {checkpoint.key_id!a}, which is not trusted")
    try:
        keys[checkpoint.key_id].verify(value, canonical.dumps(_content(checkpoint)))
    except exceptions.InvalidSignature:
        raise ValueError("its signature is wrong") from None
    return checkpoint


def _content(checkpoint: Checkpoint) -> dict[str, Any]:
    """The fields that are signed."""
    return {
        "format": FORMAT,
        "registry": checkpoint.chain.registry,
        "namespace": checkpoint.chain.namespace,
        "model": checkpoint.chain.model,
        "sequence": checkpoint.sequence,
        "head": checkpoint.head,
        "time": codec.write_time(checkpoint.time),
        "keyId": checkpoint.key_id,
    }
