"""The keys that sign the ledger's records, and those whose records are believed: from a file, with the public keys beside it."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ed25519

from modelyard.ledger import signature

SUFFIX: Final = ".pub"
"""What names of public keys end in."""


@dataclasses.dataclass(frozen=True, slots=True)
class Keys:
    """What an operator signs with, and whose records it believes besides."""

    private: ed25519.Ed25519PrivateKey
    trusted: tuple[signature.Key, ...] = ()


def from_file(path: pathlib.Path) -> Keys:
    """The key of a file, and the public keys beside it; ValueError or OSError when one cannot be read."""
    private = signature.signer(path.read_bytes())
    return Keys(private, tuple(key for file in sorted(path.parent.glob(f"*{SUFFIX}")) for key in signature.read_public(file.read_bytes())))
