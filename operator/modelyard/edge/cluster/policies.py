"""Whether the policies are in force, not only installed: what each must refuse is sent, as a server-side dry run."""

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
"""How often a write is sent, each time under another name, while the name is taken."""
MODELS: Final = 5
"""How many Models are tried with a status of the future, as one may be refused for something else."""


class Server(Protocol):
    """What this needs of the API server; `edge.cluster.Cluster` is one."""

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
    """What one forbidden write shows of its policy."""

    holds: bool
    refused_by: str = ""
    """Who else refused it, in the API server's words: then nothing is known of the policy."""


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
    """The policies that are not in force, by the last part of their names, sorted; empty: all hold. See `find`."""
    return sorted(await find(server, namespace, prefix, guards=guards, elsewhere=elsewhere, models_in=models_in))


async def find(
    server: Server,
    namespace: str,
    prefix: str = "modelyard",
    *,
    guards: bool = True,
    elsewhere: Sequence[str] = (),
    models_in: Sequence[str | None] | None = None,
) -> dict[str, Verdict]:
    """The policies that are not proven to be in force, with what was found of each.

    The policy `status` has nothing to refuse while there is no Model, and counts as in force. A write that something else refuses (RBAC, a quota,
    another one's policy) proves nothing about its policy, which counts as missing; a name that is taken is no answer, and another one is tried.

    Args:
        server: the API server.
        namespace: where the writes go; where the operator watches some namespaces only, the policies hold only there.
        prefix: how the policies' names begin: what another one's policy refuses proves nothing.
        guards: whether `serving` is among them.
        elsewhere: further such namespaces, tried in this order where something else refuses a write, such as a namespace that is being deleted.
        models_in: where a Model is looked for, None being everywhere; absent: in these namespaces.

    Raises:
        edge.Unavailable: the API server does not answer, or every name that was tried is taken; nothing is known then.
    """
    me, places = await server.whoami(), (namespace, *elsewhere)
    asked: dict[str, Callable[[str], Awaitable[Verdict]]] = {
        one.policy: _refusal(server, f"{prefix}-{one.policy}", me, one.policy)
        for one in forbidden(namespace, me)
        if guards or one.policy != "serving"
    }
    asked["changes"] = _signature(server, f"{prefix}-changes", me)
    found = {policy: await _anywhere(ask, places) for policy, ask in asked.items()}
    found["status"] = await _guards_status(server, places if models_in is None else models_in, f"{prefix}-status")
    return {policy: verdict for policy, verdict in found.items() if not verdict.holds}


async def told(server: Server, namespaces: Sequence[str], prefix: str, *, guards: bool, models_in: Sequence[str | None]) -> list[str]:
    """What `find` found, a phrase for each policy: its name, and who else refused what was to prove it."""
    first, *others = namespaces
    found = await find(server, first, prefix, guards=guards, elsewhere=others, models_in=models_in)
    return [
        policy
        + (
            f" (not proven, as something else refused the operator's trial: {' '.join(verdict.refused_by.split())[:300]})"
            if verdict.refused_by
            else ""
        )
        for policy, verdict in sorted(found.items())
    ]


async def _anywhere(ask: Callable[[str], Awaitable[Verdict]], namespaces: Sequence[str]) -> Verdict:
    """The first verdict that says something of the policy; else the first one."""
    found: Verdict | None = None
    for namespace in namespaces:
        verdict = await ask(namespace)
        if not verdict.refused_by:
            return verdict
        found = found or verdict
    assert found is not None
    return found


def _refusal(server: Server, called: str, me: str, policy: str) -> Callable[[str], Awaitable[Verdict]]:
    async def ask(namespace: str) -> Verdict:
        (obj,) = (one.obj for one in forbidden(namespace, me) if one.policy == policy)
        try:
            await _create(server, obj)
        except client.Refused as refused:
            return _by(called, refused)
        return PASSED

    return ask


def _signature(server: Server, called: str, me: str) -> Callable[[str], Awaitable[Verdict]]:
    """A forged line is refused, or put right from Kubernetes 1.36 on."""

    async def ask(namespace: str) -> Verdict:
        try:
            made = await _create(server, forgery(namespace, me))
        except client.Refused as refused:
            return _by(called, refused)
        right = made["metadata"].get("annotations", {}).get(access.CHANGES) == access.changes.line(1, me)
        return HOLDS if right else PASSED

    return ask


async def _create(server: Server, obj: Json) -> Json:
    """A dry run of creating an object, under a name that nobody can take beforehand where its own is taken."""
    name = obj["metadata"]["name"]
    for tried in range(TRIES):
        called = f"{name}-{secrets.token_hex(8)}" if tried else name
        try:
            return await server.create({**obj, "metadata": {**obj["metadata"], "name": called}}, dry_run=True)
        except client.Conflict as conflict:
            why = str(conflict)
    raise edge.Unavailable(Reason.CLUSTER_UNAVAILABLE, f"{TRIES} names in a row were taken, the last time: {why}")


async def _guards_status(server: Server, namespaces: Sequence[str | None], called: str) -> Verdict:
    """A status about a generation that does not exist is refused, to the operator as well."""
    found, left = HOLDS, MODELS
    for namespace in namespaces:
        async for one in server.list(client.MODEL, namespace, limit="1"):
            verdict = await _status(server, one, called)
            if verdict is not None and not verdict.refused_by:
                return verdict
            found, left = verdict or found, left - 1
            if not left:
                return found
    return found


async def _status(server: Server, one: Json, called: str) -> Verdict | None:
    """What one Model shows; None: it has just changed."""
    about = one["metadata"]
    status = {**(one.get("status") or {}), "observedGeneration": FUTURE}
    try:
        await server.write_status(client.MODEL, about["namespace"], about["name"], about["resourceVersion"], status, dry_run=True)
    except client.Refused as refused:
        return _by(called, refused)
    except client.Conflict:
        return None
    return PASSED


def _by(policy: str, refused: client.Refused) -> Verdict:
    """Whether it was this policy that refused: the API server names it."""
    return HOLDS if f"ValidatingAdmissionPolicy '{policy}'" in refused.message else Verdict(holds=False, refused_by=refused.message)
