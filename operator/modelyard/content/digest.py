"""Digests, which name bytes and JSON documents."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from modelyard.content.canonical import dumps, plain

DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def named(data: bytes) -> str:
    """The name of content-addressed bytes: `sha256:<hex>`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def canonical(value: object) -> bytes:
    """A value's canonical JSON (RFC 8785); `plain` converts what that cannot hold."""
    return dumps(plain(value))


def of_json(value: object) -> str:
    """The digest, `sha256:<hex>`, of a value's canonical JSON."""
    return named(canonical(value))
