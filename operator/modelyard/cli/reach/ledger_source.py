"""The ledger that a verb reads: an exported folder, or the operator's own bucket as this machine reaches it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Final

from modelyard import edge
from modelyard.api import meta
from modelyard.cli.reach import operator_bucket
from modelyard.cli.terminal import exits, validation
from modelyard.content import location
from modelyard.edge.bucket import archive, blobs, ownership, sources
from modelyard.edge.s3.store import Store
from modelyard.ledger import anchors, coverage, integrity, reader, record, signature

_AT_ONCE: Final = 32


@dataclasses.dataclass(frozen=True, slots=True)
class Typed:
    """What was typed about where the ledger is."""

    namespace: str | None = None
    context: str | None = None
    folder: pathlib.Path | None = None
    bucket: str | None = None
    registry: str | None = None
    endpoint: str | None = None
    ca_file: pathlib.Path | None = None


@dataclasses.dataclass
class OpenLedger:
    """An opened ledger. Every method may raise edge.Unavailable, which `opened` turns into an end of the verb."""

    source: sources.Source
    registry: str
    typed: Typed
    threads: futures.ThreadPoolExecutor
    place: location.Place | None = None
    store: Store | None = None
    """None: a folder."""
    where: operator_bucket.OperatorBucket | None = None
    """How the bucket is reached; None: a folder."""

    def chain(self, model: str) -> record.Chain:
        """Return a model's chain; `_operator` is the installation's own.

        Raises:
            exits.Stop: several namespaces have such a chain, or none has.
        """
        if model == record.OPERATOR:
            return record.Chain(self.registry, "_", record.OPERATOR)
        validation.check(meta.ModelName, model, "the model")
        if self.typed.namespace or self.store:
            return record.Chain(self.registry, self.typed.namespace or _namespace(self.typed), model)
        chains = [record.Chain(self.registry, name, model) for name in _namespaces(self.typed, self.registry, model)]
        if len(chains) > 1:
            raise exits.usage(f"{model} is in the namespaces {', '.join(chain.namespace for chain in chains)}: give --namespace")
        if not chains:
            raise self.nothing(model)
        return chains[0]

    def book(self, chain: record.Chain, most: int | None = None, *, unproven: bool = False) -> reader.ChainReader:
        """Return a reader of a chain, of at most `most` records; `unproven`: whoever wrote them."""
        signers = None if unproven else self.signers

        def fetch(numbers: Sequence[int]) -> list[bytes | None]:
            keys = [chain.key(number) for number in numbers]
            if len(keys) == 1 or self.store is None:
                return [self.source.get(key) for key in keys]
            return list(self.threads.map(self.source.get, keys))

        def blob(name: str) -> bytes | None:
            return self.source.get(blobs.key(name))

        def listed(number: int) -> list[int]:
            return self.source.listed(chain, number)

        book = reader.ChainReader(chain, fetch, blob, listed, signers=signers)
        return book if most is None else reader.ChainReader(chain, fetch, blob, listed, min(most, book.last), signers)

    def model(self, name: str, *, unproven: bool = False) -> reader.ChainReader:
        """Return a reader of a model's chain, which needs at least one record; `unproven`: whoever wrote the records."""
        book = self.book(self.chain(name), unproven=unproven)
        if book.data(1) is None and not book.last:
            raise self.nothing(name, book.chain.namespace)
        return book

    @functools.cached_property
    def signers(self) -> signature.Keys | None:
        """The keys whose records are trusted: those in an exported folder, else the registry's own; None: there are none."""
        noted = self.source.public()
        try:
            return signature.by_id(signature.read_public(noted) if noted else self.source.signers(self.registry)) or None
        except ValueError as error:
            raise exits.Stop(exits.Code.NO, f"{anchors.PUBLIC}: {error}") from None

    @functools.cached_property
    def operators(self) -> reader.ChainReader:
        """The reader of the installation's chain."""
        return self.book(self.chain(record.OPERATOR))

    @functools.cached_property
    def gaps(self) -> list[coverage.Gap]:
        """The periods in which no operator watched."""
        return coverage.gaps(self.operators.all())

    def warnings(self, book: reader.ChainReader, *, watched: bool = True) -> list[str]:
        """Return the flaws in what was read of a model's chain; with `watched` also those of the installation's chain."""
        by_chain = {book.chain.model: list(book.flaws.values())}
        if watched:
            by_chain[record.OPERATOR] = list(self.operators.flaws.values())
            if self.operators.term < book.term:
                message = f"{self.operators.chain.prefix} does not tell of the term {book.term}, so nobody knows who watched before it"
                by_chain[record.OPERATOR].append(message)
        return [f"{flaw}: look with `modelyard ledger verify {name}`" for name, flaws in by_chain.items() for flaw in flaws]

    def owner(self) -> tuple[str | None, int]:
        """Return the registry's owner and epoch; None and 0 when no owner is recorded."""
        assert self.store is not None
        assert self.place is not None
        return ownership.owner(self.store, self.place, self.registry)

    def nothing(self, model: str, namespace: str = "") -> exits.Stop:
        """Return the Stop of a verb that found no record."""
        suffix = f" of namespace {namespace}" if namespace else ""
        hint = "check the name, --namespace and --registry"
        return exits.Stop(exits.Code.NOT_FOUND, f"the ledger {self.registry} has no record of the model {model}{suffix}\n{hint}")


@contextlib.contextmanager
def opened(typed: Typed) -> Iterator[OpenLedger]:
    """Open the ledger that was typed, else that of the environment or of the cluster's operator.

    Raises:
        exits.Stop: it cannot be found or reached.
    """
    with futures.ThreadPoolExecutor(_AT_ONCE, "ledger") as threads:
        if typed.folder is not None:
            try:
                yield _folder(typed, threads)
            except OSError as error:
                raise exits.unreadable(error, typed.folder) from error
            return
        bucket = operator_bucket.find(typed.context, typed.bucket, typed.registry, typed.endpoint, typed.ca_file)
        client = Store(bucket.address)
        try:
            yield OpenLedger(sources.Bucket(client, bucket.place), bucket.registry, typed, threads, bucket.place, client, bucket)
        except edge.Unavailable as trouble:
            raise bucket.explain(trouble) from None


def anchors_of(typed: Typed, chains: Sequence[record.Chain]) -> dict[record.Chain, list[integrity.Anchor]]:
    """Read the chains' anchors from the operator's ConfigMaps and each Model's status; none where the cluster cannot be read."""
    from modelyard.cli.reach import cluster  # noqa: PLC0415
    from modelyard.edge.cluster.client import CONFIG_MAP, MODEL  # noqa: PLC0415  half a second, which an answer about the past need not wait for

    noted_anchors: dict[record.Chain, list[integrity.Anchor]] = {}
    with contextlib.suppress(exits.Stop, ValueError):
        for config_map in cluster.Registry(typed.context, operator_bucket.system()).all(CONFIG_MAP, labelSelector=anchors.SELECTOR):
            text = (config_map.get("data") or {}).get(anchors.KEY, "")
            for chain, anchor in anchors.read(text, f"the ConfigMap {config_map['metadata']['name']}").items():
                noted_anchors.setdefault(chain, []).append(anchor)
    for chain in chains:
        with contextlib.suppress(exits.Stop):
            if chain.model != record.OPERATOR and (model := cluster.Registry(typed.context, chain.namespace).find(MODEL, chain.model)):
                ledger_status = (model.get("status") or {}).get("ledger") or {}
                if ledger_status.get("sequence") and ledger_status.get("head"):
                    noted_anchors.setdefault(chain, []).append(
                        integrity.Anchor(ledger_status["sequence"], ledger_status["head"], "the Model's status")
                    )
    return noted_anchors


def trusted(typed: Typed) -> list[signature.Key]:
    """Read the public keys that the operator trusts from its ConfigMap; none where the cluster cannot be read."""
    from modelyard.cli.reach import cluster  # noqa: PLC0415
    from modelyard.edge.cluster import client as cluster_client  # noqa: PLC0415

    with contextlib.suppress(exits.Stop, ValueError):
        config_map = cluster.Registry(typed.context, operator_bucket.system()).find(cluster_client.CONFIG_MAP, anchors.OPERATORS) or {}
        return signature.read_public(str((config_map.get("data") or {}).get(anchors.PUBLIC, "")).encode())
    return []


def _folder(typed: Typed, threads: futures.ThreadPoolExecutor) -> OpenLedger:
    assert typed.folder is not None
    ledgers = typed.folder / "ledger"
    if not ledgers.is_dir():
        raise exits.Stop(exits.Code.NOT_FOUND, f"{typed.folder} is no exported ledger: it has no folder `ledger`")
    names = sorted(path.name for path in ledgers.iterdir() if path.is_dir())
    if typed.registry is None and len(names) != 1:
        raise exits.usage(f"{typed.folder} has {len(names)} registries ({', '.join(names) or 'none'}): give --registry")
    if typed.registry is not None and typed.registry not in names:
        existing = ", ".join(names) or "none"
        raise exits.Stop(exits.Code.NOT_FOUND, f"{typed.folder} has no registry {typed.registry!r}, check --registry; it has {existing}")
    return OpenLedger(sources.Folder(typed.folder), typed.registry or names[0], typed, threads)


def _namespace(typed: Typed) -> str:
    from modelyard.cli.reach import cluster  # noqa: PLC0415

    return cluster.Registry(typed.context).namespace


def _namespaces(typed: Typed, name: str, model: str) -> list[str]:
    """Return the namespaces in which an exported ledger has a chain of this model, without reading the chains."""
    assert typed.folder is not None
    return sorted(path.name for path in (typed.folder / "ledger" / name).iterdir() if (path / model).is_dir())


def verdicts(do: Callable[[record.Chain], archive.Verdict], chains: Sequence[record.Chain]) -> Iterator[archive.Verdict]:
    """Yield the verdict on each chain; an unreadable file beside the ledger ends the verb."""
    for chain in chains:
        try:
            yield do(chain)
        except ValueError as error:
            raise exits.Stop(exits.Code.NO, str(error)) from None
