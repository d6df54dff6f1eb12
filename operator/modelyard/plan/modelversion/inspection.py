"""Questions about the bytes in the store, and their answers. A wrong digest is an answer, not an error."""

from __future__ import annotations

import dataclasses

from modelyard.content import location


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What bytes does this artifact have?"""

    address: location.Address
    uri: str
    below: str
    """The Model's `storage.uri`; nothing outside is ever touched."""
    expected: str | None = None
    """The expected digest; None pins what is there (one object only)."""
    previous: str | None = None
    """The manifest of the last success (`status.artifact.manifest`): objects that have not changed since are not read again."""
    full: bool = False
    """Read every byte, changed or not."""
    pinned: bool = False
    """Also ask for each pinned object version whether it is still there: for versions that hold a stage."""
    max_listing_age: float = 0.0
    """Seconds; above 0 one listing of `below` is shared by all versions of a model that are looked at within that time."""
    tenant: str = ""
    """The namespace that asks: none has all threads."""


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """Every byte was read, now or before, and has the expected digest (or none was expected)."""

    digest: str
    files: int
    bytes: int
    manifest: str
    """`sha256:…` of the manifest, which is in the operator's bucket."""
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class Differs:
    """Every byte was read and the digest differs: an upload in progress, or changed bytes."""

    digest: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Missing:
    """There is no such object."""

    message: str


Result = Found | Differs | Missing | location.Refused


@dataclasses.dataclass(frozen=True, slots=True)
class EvidenceRequest:
    """Is this document there, with these bytes?"""

    address: location.Address
    uri: str
    below: str
    sha256: str
    """Hex, or `sha256:` and hex."""
    full: bool = False
    """Read it again even if it has not changed since this process read it."""
    tenant: str = ""
    """The namespace that asks: none has all threads."""


@dataclasses.dataclass(frozen=True, slots=True)
class Proven:
    """The document has the declared bytes."""

    sha256: str
    """`sha256:…`."""
    bytes: int


EvidenceResult = Proven | Differs | Missing | location.Refused
