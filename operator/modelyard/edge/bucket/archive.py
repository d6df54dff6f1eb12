"""Verify and export whole ledgers, from the bucket or from an exported folder. Synchronous; needs no cluster and, for a folder,
no network.
"""  # noqa: D205

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Final, TypeVar

from modelyard.content import digest
from modelyard.edge.bucket import blobs, ownership, sources
from modelyard.ledger import checkpoint, codec, integrity, signature
from modelyard.ledger.anchors import KEY, PUBLIC, write
from modelyard.ledger.record import Action, Chain, Record

T = TypeVar("T")

_AT_ONCE: Final = 16
_PAGE: Final = 512
_NAME: Final = re.compile(r"[a-z0-9_][a-z0-9-]*")
"""The name of a namespace, a model or a registry: none leads out of a folder."""
_ACCEPTED: Final = f'"{Action.ACCEPTED}"'.encode()
_NAMED: Final = re.compile(rb"sha256:[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """The result of reading one chain, with its flaws."""

    chain: Chain
    records: int
    head: integrity.Anchor | None
    """Its current head."""
    anchors: tuple[integrity.Anchor, ...]
    """The heads that it was compared with."""
    checkpoints: int
    signed: bool
    """Whether signatures were checked with keys from outside the ledger."""
    signers: tuple[str, ...]
    """Ids of the keys whose records are trusted; none: signatures were not checked."""
    versioned: bool
    """Whether old versions were counted."""
    flaws: tuple[integrity.Flaw, ...]
    accepted: tuple[Record, ...] = ()
    """Records in which a person accepted flaws; their `Accepted` facts say who, why and which."""

    @property
    def sound(self) -> bool:
        """Whether a person has accepted every flaw, or there is none."""
        return all(flaw.accepted for flaw in self.flaws)

    @property
    def proven(self) -> int:
        """The number up to which every cut or rewrite would have been found."""
        return max((anchor.sequence for anchor in self.anchors), default=0)


def chains(source: sources.Source, registry: str) -> list[Chain]:
    """Return every chain that has or had an object: a chain that the source's own anchors name has existed."""
    found_chains = set()
    with contextlib.suppress(ValueError):  # reported when a chain is verified
        found_chains |= {chain for chain in source.anchors() if chain.registry == registry}
    for key in source.found(f"ledger/{registry}/"):
        parts = key.split("/")
        if len(parts) > 4 and _NAME.fullmatch(parts[2]) and _NAME.fullmatch(parts[3]):
            found_chains.add(Chain(registry, parts[2], parts[3]))
    return sorted(found_chains, key=lambda chain: chain.prefix)


def verify(
    source: sources.Source,
    chain: Chain,
    *,
    anchors: Iterable[integrity.Anchor] = (),
    keys: Iterable[signature.Key] = (),
) -> Verdict:
    """Read every record of a chain and return its flaws.

    Args:
        source: the bucket, or an exported folder.
        chain: which.
        anchors: from Model.status, the ConfigMap, or a person's notes, read before this is called; those noted in a folder are added.
        keys: public keys that records and checkpoints are trusted from; a folder's `public.pem` when none is given, else those that the
            registry itself has, which show who signed what and nothing more.

    Raises:
        edge.Unavailable: the store does not answer.
        ValueError: `anchors.json` or `public.pem` cannot be read.
    """
    noted = source.public()
    trusted = list(keys) or (signature.read_public(noted) if noted else [])
    compared = [*anchors, *(anchor for other, anchor in source.anchors().items() if other == chain)]
    # Checkpoints first: the chain may grow meanwhile, and no checkpoint may be newer than the records that are read.
    signed = sorted(number for key in source.found(f"{chain.prefix}checkpoints/") if (number := checkpoint.number(chain, key)))
    counts = {number: count for key, count in source.found(chain.prefix).items() if (number := chain.sequence(key))}
    last = _Last()

    def blob(name: str) -> bytes | None:
        return source.get(blobs.key(name))

    def is_lost(name: str) -> bool:
        return (data := blob(name)) is None or digest.named(data) != name

    with futures.ThreadPoolExecutor(_AT_ONCE, "verify") as threads:

        def lost(names: Iterable[str]) -> Iterator[str]:
            for page in _pages(list(names)):
                yield from itertools.compress(page, threads.map(is_lost, page))

        points = [(number, data) for number, data in _read(threads, source, signed, chain, checkpoint.key) if data is not None]
        by_id = signature.by_id(trusted) if trusted else None
        signers = by_id or signature.by_id(source.signers(chain.registry)) or None
        flaws = integrity.check(
            chain,
            last.watch(_read(threads, source, sorted(counts), chain, Chain.key)),
            anchors=compared,
            checkpoints=points,
            keys=by_id,
            signers=signers,
            versions=counts if source.versioned else None,
            blob=blob,
            lost=lost,
        )
    sound = [anchor for number, data in points if (anchor := _anchor(number, data, by_id))]
    return Verdict(
        chain,
        last.records,
        last.head,
        (*compared, *sound),
        len(points),
        bool(trusted),
        tuple(signers or ()),
        source.versioned,
        flaws,
        tuple(last.accepted),
    )


def export(
    source: sources.Source,
    folder: pathlib.Path,
    wanted: Iterable[Chain],
    *,
    anchors: Mapping[Chain, integrity.Anchor] | None = None,
    public: bytes | None = None,
) -> int:
    """Copy chains, and the blobs that their records name, into a folder that `verify` reads; return the number of objects.

    Raises:
        edge.Unavailable: the store does not answer.
        FileExistsError: the folder is not empty.
        ValueError: a chain's name could lead out of the folder.
    """
    wanted = list(wanted)
    if unsafe := [chain for chain in wanted if not all(map(_NAME.fullmatch, (chain.registry, chain.namespace, chain.model)))]:
        raise ValueError(f"{unsafe[0].prefix!a} is no chain: names are lower-case letters, digits and -")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: export into a new folder")
    copied: set[str] = set()
    count = 0
    with futures.ThreadPoolExecutor(_AT_ONCE, "export") as threads:

        def copy(keys: Iterable[str]) -> Iterator[bytes]:
            nonlocal count
            todo = [key for key in dict.fromkeys(keys) if key not in copied]
            copied.update(todo)
            for page in _pages(todo):
                for key, data in zip(page, threads.map(source.get, page), strict=True):
                    if data is None:
                        continue
                    count += 1
                    target = folder / key
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(data)
                    yield data

        for chain in wanted:
            objects = [key for key in source.found(chain.prefix) if chain.sequence(key) or checkpoint.number(chain, key)]
            registry_keys = [ownership.key(chain.registry), *source.found(ownership.public_keys(chain.registry))]
            for data in copy([*registry_keys, *sorted(objects)]):
                collections.deque(copy(blobs.key(name.decode()) for name in _NAMED.findall(data)), maxlen=0)
    anchors_by_chain = {**source.anchors(), **(anchors or {})}
    if noted := {chain: anchors_by_chain[chain] for chain in wanted if chain in anchors_by_chain}:
        (folder / KEY).write_text(write(noted), encoding="utf-8")
    if pem := public or source.public():
        (folder / PUBLIC).write_bytes(pem)
    return count


class _Last:
    """Counts the records that pass through `watch`, and remembers the last one and the acceptances."""

    def __init__(self) -> None:
        self.records = 0
        self.head: integrity.Anchor | None = None
        self.accepted: list[Record] = []

    def watch(self, objects: Iterable[tuple[int, bytes | None]]) -> Iterator[tuple[int, bytes | None]]:
        for number, data in objects:
            if data is not None:
                self.records += 1
                self.head = integrity.Anchor(number, digest.named(data), "the end")
                if _ACCEPTED in data:
                    with contextlib.suppress(ValueError):
                        record = codec.read(data)
                        self.accepted += [record] if any(fact.action == Action.ACCEPTED for fact in record.facts) else []
            yield number, data


def _read(
    threads: futures.Executor, source: sources.Source, numbers: Sequence[int], chain: Chain, key: Callable[[Chain, int], str]
) -> Iterator[tuple[int, bytes | None]]:
    """Yield the objects of these numbers, in order; several are requested at once."""
    for page in _pages(numbers):
        yield from zip(page, threads.map(lambda number: source.get(key(chain, number)), page), strict=True)


def _pages(all_of_them: Sequence[T]) -> Iterator[Sequence[T]]:
    for first in range(0, len(all_of_them), _PAGE):
        yield all_of_them[first : first + _PAGE]


def _anchor(number: int, data: bytes, keys: signature.Keys | None) -> integrity.Anchor | None:
    """Return the anchor that a checkpoint proves; None when it proves none."""
    try:
        signed = checkpoint.read(data, keys)
    except ValueError:
        return None
    return integrity.Anchor(number, signed.head, "a signed checkpoint") if keys and signed.sequence == number else None
