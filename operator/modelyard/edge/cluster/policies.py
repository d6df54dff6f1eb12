"""Prove that the policies are in force, not only installed: send what each must refuse, as a server-side dry run."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from modelyard import edge
from modelyard.api import access
from modelyard.api.access.probe import FUTURE, forbidden, forgery
from modelyard.api.reason import Reason
from modelyard.edge.cluster import client

Json = dict[str, Any]

TRIES: Final = 3
"""Attempts of one write, each under another name, while names are taken."""
MODELS: Final = 5
"""Models that are tried with a status of a future generation, as a write may be refused for another reason."""


class Server(Protocol):
    """The methods of `client.Cluster` that the trials need."""

    async def create(self, obj: Json, *, dry_run: bool) -> Json:
        """Create an object."""

    def list(self, kind: client.Kind, namespace: str | None = None, **query: str) -> AsyncIterator[Json]:
        """All objects of a kind."""

    async def write_status(
        self, kind: client.Kind, namespace: str, name: str, resource_version: str, status: Json, *, dry_run: bool
    ) -> Json:
        """Replace a status."""

    async def whoami(self) -> str:
        """The operator's username."""


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one forbidden write."""

    holds: bool
    refused_by: str = ""
    """What else refused the write, in the API server's words: then nothing is known of the policy."""


HOLDS: Final = Verdict(holds=True)
PASSED: Final = Verdict(holds=False)


async def probe(
    server: Server,
    namespace: str,
    prefix: str = "modelyard",
    *,
    guards: bool = True,
    elsewhere: Sequence[str] = (),
    models_in: Sequence[str | None] | None = None,
) -> list[str]:
    """Return the policies that are not in force, by the last part of their names, sorted; empty: all are. See `find`."""
    return sorted(await unproven(server, namespace, prefix, guards=guards, elsewhere=elsewhere, models_in=models_in))


async def unproven(
    server: Server,
    namespace: str,
    prefix: str = "modelyard",
    *,
    guards: bool = True,
    elsewhere: Sequence[str] = (),
    models_in: Sequence[str | None] | None = None,
) -> dict[str, Verdict]:
    """Return the policies that are not proven to be in force, with a verdict for each.

    The policy `status` has nothing to refuse while there is no Model, and counts as in force. A write that something else refuses (RBAC, a quota,
    another policy) proves nothing about its policy, which counts as missing; a name that is taken is no answer, and another name is tried.

    Args:
        server: the API server.
        namespace: where the writes go; where the operator watches some namespaces only, the policies hold only there.
        prefix: how the policies' names begin: what a foreign policy refuses proves nothing.
        guards: whether `serving` is among them.
        elsewhere: further such namespaces, tried in this order where something else refuses a write, such as a namespace that is being deleted.
        models_in: where a Model is looked for, None being everywhere; absent: in these namespaces.

    Raises:
        edge.Unavailable: the API server does not answer, or every name that was tried is taken; then nothing is known.
    """
    me, places = await server.whoami(), (namespace, *elsewhere)
    trials: dict[str, Callable[[str], Awaitable[Verdict]]] = {
        trial.policy: _refusal(server, f"{prefix}-{trial.policy}", me, trial.policy)
        for trial in forbidden(namespace, me)
        if guards or trial.policy != "serving"
    }
    trials["changes"] = _signature(server, f"{prefix}-changes", me)
    verdicts = {policy: await _anywhere(ask, places) for policy, ask in trials.items()}
    verdicts["status"] = await _guards_status(server, places if models_in is None else models_in, f"{prefix}-status")
    return {policy: verdict for policy, verdict in verdicts.items() if not verdict.holds}


async def phrases(server: Server, namespaces: Sequence[str], prefix: str, *, guards: bool, models_in: Sequence[str | None]) -> list[str]:
    """Return a phrase for each policy that `find` returns: its name, and what else refused its trial."""
    first, *elsewhere = namespaces
    verdicts = await unproven(server, first, prefix, guards=guards, elsewhere=elsewhere, models_in=models_in)
    return [
        policy
        + (
            f" (not proven, as something else refused the operator's trial: {' '.join(verdict.refused_by.split())[:300]})"
            if verdict.refused_by
            else ""
        )
        for policy, verdict in sorted(verdicts.items())
    ]


async def _anywhere(ask: Callable[[str], Awaitable[Verdict]], namespaces: Sequence[str]) -> Verdict:
    """Return the first verdict that proves something about the policy; else the first verdict."""
    first: Verdict | None = None
    for namespace in namespaces:
        verdict = await ask(namespace)
        if not verdict.refused_by:
            return verdict
        first = first or verdict
    assert first is not None
    return first


def _refusal(server: Server, called: str, me: str, policy: str) -> Callable[[str], Awaitable[Verdict]]:
    async def ask(namespace: str) -> Verdict:
        (obj,) = (trial.obj for trial in forbidden(namespace, me) if trial.policy == policy)
        try:
            await _create(server, obj)
        except client.Refused as refused:
            return _by(called, refused)
        return PASSED

    return ask


def _signature(server: Server, called: str, me: str) -> Callable[[str], Awaitable[Verdict]]:
    """Try a forged signature line: it must be refused, or corrected from Kubernetes 1.36 on."""

    async def ask(namespace: str) -> Verdict:
        try:
            created = await _create(server, forgery(namespace, me))
        except client.Refused as refused:
            return _by(called, refused)
        right = created["metadata"].get("annotations", {}).get(access.CHANGES) == access.changes.line(1, me)
        return HOLDS if right else PASSED

    return ask


async def _create(server: Server, obj: Json) -> Json:
    """Create an object as a dry run; if its name is taken, under a random name that nobody can take beforehand."""
    name = obj["metadata"]["name"]
    for tried in range(TRIES):
        called = f"{name}-{secrets.token_hex(8)}" if tried else name
        try:
            return await server.create({**obj, "metadata": {**obj["metadata"], "name": called}}, dry_run=True)
        except client.Conflict as conflict:
            why = str(conflict)
    raise edge.Unavailable(Reason.CLUSTER_UNAVAILABLE, f"{TRIES} names in a row were taken, the last time: {why}")


async def _guards_status(server: Server, namespaces: Sequence[str | None], called: str) -> Verdict:
    """Try a status for a generation that does not exist: it must be refused, also for the operator."""
    undecided, tries = HOLDS, MODELS
    for namespace in namespaces:
        async for model in server.list(client.MODEL, namespace, limit="1"):
            verdict = await _status(server, model, called)
            if verdict is not None and not verdict.refused_by:
                return verdict
            undecided, tries = verdict or undecided, tries - 1
            if not tries:
                return undecided
    return undecided


async def _status(server: Server, model: Json, called: str) -> Verdict | None:
    """Return the verdict from one Model; None: it has just changed."""
    metadata = model["metadata"]
    status = {**(model.get("status") or {}), "observedGeneration": FUTURE}
    try:
        await server.write_status(client.MODEL, metadata["namespace"], metadata["name"], metadata["resourceVersion"], status, dry_run=True)
    except client.Refused as refused:
        return _by(called, refused)
    except client.Conflict:
        return None
    return PASSED


def _by(policy: str, refused: client.Refused) -> Verdict:
    """Return the verdict from a refusal: it proves the policy if the API server names it."""
    return HOLDS if f"ValidatingAdmissionPolicy '{policy}'" in refused.message else Verdict(holds=False, refused_by=refused.message)
