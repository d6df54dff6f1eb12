"""Local files as an artifact: list them under the rules of `content/manifest.py`, and hash them."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from modelyard.cli.terminal import exits, progress
from modelyard.cli.terminal.exits import Code, Stop, usage
from modelyard.content import manifest
from modelyard.edge import local_files

_CHUNK = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Local:
    """One file with its size in bytes and the time of its last change in nanoseconds, as of when it was found."""

    path: str
    """Relative to the artifact."""
    source: pathlib.Path
    size: int
    changed: int


@dataclasses.dataclass(frozen=True, slots=True)
class Artifact:
    """Every file of an artifact with its sha256 in hex."""

    files: tuple[Local, ...]
    hashes: Mapping[str, str]

    @property
    def digest(self) -> str:
        """`sha256:…` of its SHA256SUMS."""
        return manifest.of(self.hashes)

    @property
    def bytes(self) -> int:
        """The size of all files together."""
        return sum(file.size for file in self.files)


def find(root: pathlib.Path) -> tuple[Local, ...]:
    """Return the files of a folder, sorted bytewise by path; or the one file that was named.

    Raises:
        exits.Stop: it cannot be read, has no files, or a file breaks a rule of artifacts; symbolic links do.
    """
    try:
        if root.is_file():
            files = [_local(root.name, root)]
        elif root.is_dir():
            files = [_local(path, pathlib.Path(entry.path)) for path, entry in _walk(root)]
        elif root.exists():
            raise usage(f"{root}: neither a file nor a folder")
        else:
            raise Stop(Code.NOT_FOUND, f"{root}: there is no such file or folder")
    except OSError as error:
        raise exits.unreadable(error, root) from error
    if not files:
        raise usage(f"{root}: has no files, and an artifact needs at least one")
    if refusal := manifest.refuse([file.path for file in files]):
        raise usage(f"{root}: {refusal.message}")
    return tuple(sorted(files, key=lambda file: file.path))


def read(files: Sequence[Local]) -> Artifact:
    """Hash files, several at a time.

    Raises:
        exits.Stop: one could not be read, or changed meanwhile.
    """
    with progress.shown("Hashing", sum(file.size for file in files)) as hashing:
        hashes = hashing.each(lambda file: _hash(file, hashing), sorted(files, key=lambda file: -file.size))
    return Artifact(tuple(files), dict(hashes))


def unchanged(file: Local) -> None:
    """Stop when a file has changed since it was found."""
    try:
        current = file.source.stat()
    except OSError as error:
        raise exits.unreadable(error, file.source) from error
    if (current.st_size, current.st_mtime_ns) != (file.size, file.changed):
        raise Stop(Code.NO, f"{file.source} changed while it was being read: wait until it is finished, then try again")


def _walk(folder: pathlib.Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    todo = [(folder, "")]
    while todo:
        inside, below = todo.pop()
        with os.scandir(inside) as entries:
            for entry in entries:
                if entry.is_symlink():
                    raise usage(
                        f"{entry.path}: is a symbolic link, and an artifact holds bytes only: put the file itself there, "
                        f"for example with `cp --recursive --dereference {folder} COPY`"
                    )
                if entry.is_dir():
                    todo.append((pathlib.Path(entry.path), f"{below}{entry.name}/"))
                elif entry.is_file():
                    yield below + entry.name, entry
                else:
                    raise usage(f"{entry.path}: is neither a file nor a folder (a device, a socket or a pipe): take it away")


def _local(path: str, source: pathlib.Path) -> Local:
    stat = source.stat()
    return Local(path, source, stat.st_size, stat.st_mtime_ns)


def _hash(file: Local, hashing: progress.Work) -> tuple[str, str]:
    sha256 = hashlib.sha256()
    try:
        with local_files.opened(file.source) as data:
            while chunk := data.read(_CHUNK):
                sha256.update(chunk)
                hashing.advance(len(chunk))
    except OSError as error:
        raise exits.unreadable(error, file.source) from error
    unchanged(file)
    return file.path, sha256.hexdigest()
