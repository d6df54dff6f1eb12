"""The key that signs the ledger's records, and the keys whose records are trusted: from a file, with the public keys beside it."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ed25519

from modelyard.ledger import signature

SUFFIX: Final = ".pub"
"""The file suffix of public keys."""


@dataclasses.dataclass(frozen=True, slots=True)
class Keys:
    """The key that an operator signs with, and further keys whose records it trusts."""

    private: ed25519.Ed25519PrivateKey
    trusted: tuple[signature.Key, ...] = ()


def from_file(path: pathlib.Path) -> Keys:
    """Read the key of a file, and the public keys beside it; ValueError or OSError when one cannot be read."""
    private = signature.signer(path.read_bytes())
    return Keys(private, tuple(key for file in sorted(path.parent.glob(f"*{SUFFIX}")) for key in signature.read_public(file.read_bytes())))
