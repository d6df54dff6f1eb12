"""Signatures of the ledger's records: only the holder of the key can write them. Ed25519; pure."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final

from cryptography import exceptions
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from modelyard.ledger import codec
from modelyard.ledger.record import Record, Signature

Key = ed25519.Ed25519PublicKey
Keys = Mapping[str, Key]
"""Public keys by `key_id`."""
_PEM: Final = re.compile(rb"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL)


def signer(pem: bytes) -> ed25519.Ed25519PrivateKey:
    """The private key in a PEM text; raises ValueError when it is no Ed25519 key without a password."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (TypeError, exceptions.UnsupportedAlgorithm) as error:
        raise ValueError(f"the ledger's key cannot be used: {type(error).__name__}") from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ValueError("the ledger's key is not Ed25519: make one with openssl genpkey -algorithm ed25519")  # noqa: TRY004  callers catch one exception
    return key


def public(pem: bytes) -> Key:
    """The public key in a PEM text, which may also hold a private key; raises ValueError."""
    if b"PRIVATE KEY" in pem:
        return signer(pem).public_key()
    try:
        key = serialization.load_pem_public_key(pem)
    except exceptions.UnsupportedAlgorithm as error:
        raise ValueError(f"it is no public key that can be used: {error}") from None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise ValueError("the public key is not Ed25519")  # noqa: TRY004
    return key


def write_public(key: Key) -> bytes:
    """A public key as PEM."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_id(key: Key) -> str:
    """The name of a key in records and checkpoints: the first 16 hex digits of the sha256 of its 32 bytes."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def by_id(keys: Iterable[Key]) -> dict[str, Key]:
    """The keys by `key_id`."""
    return {key_id(key): key for key in keys}


def read_public(pems: bytes) -> list[Key]:
    """The public keys in a text of several PEM blocks; raises ValueError when a block cannot be used, or there is none."""
    if not (blocks := _PEM.findall(pems)):
        raise ValueError("it holds no PEM block of a public key")
    return [public(block) for block in blocks]


def sign(record: Record, private: ed25519.Ed25519PrivateKey) -> Record:
    """The record with its signature, which is over the canonical JSON of the record without `signature`."""
    data = codec.write(dataclasses.replace(record, signature=None))
    value = base64.b64encode(private.sign(data)).decode()
    return dataclasses.replace(record, signature=Signature(key_id(private.public_key()), value))


def fault(record: Record, keys: Keys) -> str | None:
    """Why a record is not proven, as the end of a sentence about it; None: the holder of a key in `keys` wrote it."""
    signature = record.signature
    if signature is None:
        return "it is not signed"
    if signature.key not in keys:
        return f"it is signed with the key {signature.key!a}, which is not trusted"
    try:
        value = base64.b64decode(signature.value, validate=True)
        keys[signature.key].verify(value, codec.write(dataclasses.replace(record, signature=None)))
    except (exceptions.InvalidSignature, binascii.Error, ValueError):
        return "its signature is wrong"
    return None
