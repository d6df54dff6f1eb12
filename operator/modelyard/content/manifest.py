r"""An artifact's digest: which paths it may have, its SHA256SUMS text, and the manifest that lists the files as they were read.

    $ find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0r sha256sum -- | sha256sum

prints the same digest for the same files.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from modelyard.api.reason import Reason
from modelyard.content import digest, jsontext

MAX_FILES: Final = 25_000
MAX_SEGMENT: Final = 255
"""Bytes of a path segment, the limit of file systems."""

_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """Why a set of paths cannot be an artifact."""

    path: str
    """The offending path; empty when the refusal is about all paths."""
    rule: str
    reason: Reason = Reason.PATH_REFUSED

    @property
    def message(self) -> str:
        """The path, in a printable form, and the rule."""
        return f"{self.path!a}: {self.rule}" if self.path or self.reason == Reason.PATH_REFUSED else self.rule


def refuse(paths: Sequence[str]) -> Refusal | None:
    """The first rule that these paths break, if any; paths are relative to the artifact's URI."""
    if len(paths) > MAX_FILES:
        return Refusal("", f"there are more than {MAX_FILES:,} files: pack them", Reason.TOO_MANY_FILES)
    files = set(paths)
    folders: set[str] = set()
    for path in paths:
        if rule := _broken(path):
            return Refusal(path, rule)
        parent = path
        while (cut := parent.rfind("/")) > 0 and (parent := parent[:cut]) not in folders:
            if parent in files:
                return Refusal(parent, "is a file, and also the folder of another: a pod cannot have both")
            folders.add(parent)
    return None


def _broken(path: str) -> str | None:
    if path == "-":
        return "a file may not be called `-`: sha256sum takes that for its standard input"
    if _UNPRINTABLE.search(path):
        return "a path may not have control characters or backslashes"
    for segment in path.split("/"):
        if segment in {"", ".", ".."}:
            return "a path may not have empty segments, `.` or `..`"
        if len(segment) * 4 > MAX_SEGMENT and len(segment.encode()) > MAX_SEGMENT:
            return f"a path's segment may not have more than {MAX_SEGMENT} bytes"
    return None


def sums(hashes: Mapping[str, str]) -> bytes:
    """The SHA256SUMS text of path → hex sha256: `<sha256>  <path>` a line, sorted bytewise by path."""
    # Code point order is the order of the UTF-8 bytes.
    return "".join(f"{hashes[path]}  {path}\n" for path in sorted(hashes)).encode()


def of(hashes: Mapping[str, str]) -> str:
    """The digest, `sha256:<hex>`, of path → hex sha256."""
    return digest.named(sums(hashes))


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """A file as it was read: size in bytes, sha256 in hex, etag without quotes; no version where the bucket keeps none."""

    path: str
    size: int
    sha256: str
    etag: str
    version_id: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """All files of an artifact, sorted bytewise by path, and their digest."""

    digest: str
    files: tuple[File, ...]

    @property
    def bytes(self) -> int:
        """The size of all files together."""
        return sum(file.size for file in self.files)


def manifest(files: Iterable[File]) -> Manifest:
    """The manifest of these files."""
    ordered = tuple(sorted(files, key=lambda file: file.path))
    return Manifest(of({file.path: file.sha256 for file in ordered}), ordered)


def write_manifest(manifest: Manifest) -> bytes:
    """Canonical JSON (RFC 8785), of which `status.artifact.manifest` is the sha256."""
    rows = [
        {"etag": file.etag, "path": file.path, "sha256": file.sha256, "size": file.size, "versionId": file.version_id}
        for file in manifest.files
    ]
    # Sorted ASCII keys, whole numbers and no control characters: the standard library's output is the canonical one, 20 times faster.
    return json.dumps({"digest": manifest.digest, "files": rows}, ensure_ascii=False, separators=(",", ":")).encode()


def read_manifest(data: bytes) -> Manifest:
    """Read a manifest that `write_manifest` wrote; raises ValueError when it is something else."""
    try:
        document = jsontext.loads(data)
        files = [File(row["path"], row["size"], row["sha256"], row["etag"], row["versionId"]) for row in document["files"]]
        parsed = manifest(files)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no manifest: {error}") from error
    if parsed.digest != document.get("digest"):
        raise ValueError(f"no manifest: its files have the digest {parsed.digest}, it says {document.get('digest')}")
    return parsed
