"""One term of leadership: prove and claim the ledger before anything is decided; anchor, sign and guard it while the term lasts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from typing import Any, Final

from modelyard import edge, policy_guard, settings
from modelyard.api.reason import Reason
from modelyard.edge.bucket import chains
from modelyard.edge.cluster import cache, client, signing_key, term
from modelyard.ledger import anchors, integrity, record, signature

log = logging.getLogger(__name__)

ANCHOR_EVERY: Final = 10.0
AGAIN: Final = 5.0
"""Seconds between two attempts to begin a term."""
OWNED_EVERY: Final = 5.0
"""Seconds between two checks of the registry's owner."""


@contextlib.contextmanager
def _goes_on(failure: str) -> Iterator[None]:
    """Log whatever is raised inside, and let the term go on: the work is tried again."""
    try:
        yield
    except (edge.Unavailable, client.Refused, client.Conflict) as trouble:
        log.warning("%s: %s", failure, trouble)
    except Exception:  # an unforeseen error in one of these works must not end the others
        log.exception("%s", failure)


class Leadership:
    """What a leader does besides reconciling.

    Args:
        reach: the API server.
        book: the ledger; nothing is appended before `begin`.
        enqueue: called with the keys of all models in the ledger.
    """

    def __init__(
        self,
        reach: client.Cluster,
        book: chains.Ledger,
        config: settings.Settings,
        guard: policy_guard.Guard,
        enqueue: Callable[[Iterable[cache.Key]], None],
    ) -> None:
        self._reach = reach
        self._ledger = book
        self._config = config
        self._guard = guard
        self._enqueue = enqueue
        self._written: dict[str, str] = {}
        self.trouble: str | None = None
        """Why this replica decides nothing although it leads."""

    async def begin(self, began: term.Term) -> None:
        """Prove the store, claim the registry, read the anchors, and record that a term begins; repeat until it succeeds.

        Failures are logged: a store that does not answer, a store that cannot keep a ledger, a registry of another cluster.
        """
        while True:
            try:
                await self._begin(began)
            except edge.Unavailable as trouble:
                log.warning("does not decide yet: %s", trouble.message, extra={"reason": str(trouble.reason)})
                self.trouble = trouble.message
                await asyncio.sleep(AGAIN)
            except Exception as error:  # an exception here would end every start in the same way, and nobody would see why
                log.exception("does not decide yet")
                self.trouble = f"the term cannot begin, by a mistake in the operator ({type(error).__name__}): look in its log"
                await asyncio.sleep(AGAIN)
            else:
                self.trouble = None
                return

    async def end(self, began: term.Term) -> None:
        """Record the planned end of the term; if it cannot be recorded, the term ends anyway."""
        try:
            await asyncio.wait_for(self._ledger.end(began.identity), 2)
            await asyncio.wait_for(self.write_anchors(), 2)
        except (edge.Unavailable, client.Refused, client.Conflict, TimeoutError) as trouble:
            log.warning("the end of the term is not recorded: %s", trouble)

    def works(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """Return the works that run while this replica leads."""
        return self._anchor(), self._guard.run(), self._sign(), self._watch_ownership()

    async def _begin(self, began: term.Term) -> None:
        await self._hold_keys()
        await self._ledger.prove()
        await self._ledger.claim(await self._uid())
        await self._ledger.publish()
        self._ledger.remember(await self.read_anchors())
        await self._ledger.begin(began.identity, began.previous_renewal)
        await self._look_at_all()

    async def _hold_keys(self) -> bool:
        """Read the signing key and the trusted keys from the Secret; return whether they changed."""
        if self._config.ledger.key_file:
            return False
        keys = await signing_key.load(self._reach, self._config.operator_namespace, self._config.ledger.key_secret, self._ledger.key)
        return self._ledger.use(keys.private, keys.trusted)

    async def _look_at_all(self) -> None:
        """Enqueue every model that has a chain in the ledger."""
        all_chains = await self._ledger.chains()
        self._enqueue(cache.Key("model", chain.namespace, chain.model) for chain in all_chains if chain != self._ledger.operators)

    async def _uid(self) -> str:
        """Return the cluster's unique id: the uid of the namespace kube-system."""
        namespace = await self._reach.get(client.NAMESPACE, "", "kube-system")
        if namespace is None:
            raise edge.Unavailable(Reason.CLUSTER_UNAVAILABLE, "the namespace kube-system does not exist: this is no whole cluster")
        return str(namespace["metadata"]["uid"])

    async def _watch_ownership(self) -> None:
        """Check the registry's owner; end the term when another cluster has taken the registry over."""
        cluster = await self._uid()
        while True:
            await asyncio.sleep(OWNED_EVERY)
            takeover: edge.Unavailable | None = None
            with _goes_on("whose registry it is could not be read"):
                try:
                    await self._ledger.still_mine(cluster)
                except edge.Unavailable as trouble:
                    if trouble.reason != Reason.REGISTRY_TAKEN:
                        raise
                    takeover = trouble
            if takeover:
                raise takeover

    async def read_anchors(self) -> Mapping[record.Chain, integrity.Anchor]:
        """Read the chain heads from the ConfigMaps."""
        anchors_by_chain: dict[record.Chain, integrity.Anchor] = {}
        async for config_map in self._reach.list(client.CONFIG_MAP, self._config.operator_namespace, labelSelector=anchors.SELECTOR):
            name, text = config_map["metadata"]["name"], (config_map.get("data") or {}).get(anchors.KEY, "")
            try:
                anchors_by_chain |= anchors.read(text, f"the ConfigMap {name}")
            except ValueError as error:
                log.warning("%s: it is written anew", error)
            else:
                self._written[name] = text
        return anchors_by_chain

    async def _sign(self) -> None:
        """Sign the heads that moved, from time to time; trust a key as soon as a person has added it."""
        while True:
            await asyncio.sleep(ANCHOR_EVERY)
            with _goes_on("the ends of the ledger's chains could not be signed"):
                if await self._hold_keys():
                    await self._look_at_all()
                await self._ledger.sign(self._config.ledger.checkpoints)

    async def _anchor(self) -> None:
        """Write the heads of all chains to ConfigMaps, which the bucket's owner cannot reach, every ten seconds until cancelled."""
        while True:
            await asyncio.sleep(ANCHOR_EVERY)
            with _goes_on("the ends of the ledger's chains could not be kept"):
                await self.write_anchors()

    async def write_anchors(self) -> None:
        """Write one ConfigMap for each namespace, if it changed."""
        wanted: dict[str, dict[record.Chain, integrity.Anchor]] = {}
        for chain, anchor in self._ledger.anchors().items():
            wanted.setdefault(anchors.config_map(chain), {})[chain] = anchor
        for name, noted in wanted.items():
            text = anchors.write(noted)
            if self._written.get(name) != text:
                metadata = {"name": name, "namespace": self._config.operator_namespace, "labels": anchors.LABELS}
                data = {anchors.KEY: text}
                if name == anchors.OPERATORS and self._ledger.keys:
                    data[anchors.PUBLIC] = b"".join(map(signature.write_public, self._ledger.keys)).decode()
                await self._reach.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
                self._written[name] = text
