"""Whether the policies are in force, not only installed: what each must refuse is sent, as a server-side dry run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from modelyard.api import access
from modelyard.api.access import probe as writes
from modelyard.edge import cluster

Json = dict[str, Any]


class Server(Protocol):
    """What this needs of the API server; `edge.cluster.Cluster` is one."""

    async def create(self, obj: Json, *, dry_run: bool) -> Json:
        """Create an object."""

    def list(self, kind: cluster.Kind, namespace: str | None = None, **query: str) -> AsyncIterator[Json]:
        """All objects of a kind."""

    async def write_status(
        self, kind: cluster.Kind, namespace: str, name: str, resource_version: str, status: Json, *, dry_run: bool
    ) -> Json:
        """Replace a status."""

    async def whoami(self) -> str:
        """The operator's username."""


async def probe(server: Server, namespace: str, prefix: str = "modelyard", *, guards: bool = True) -> list[str]:
    """The policies that are not in force, by the last part of their names, sorted; empty: all hold.

    Their names begin with `prefix`: what another one's policy refuses proves nothing. `guards`: whether `serving` is among them. `namespace` is one that the operator watches: where it watches some only, the policies hold only there. The policy `status` has
    nothing to refuse while there is no Model in it, and counts as in force. A write that RBAC refuses proves nothing about its policy,
    which counts as missing: the operator's role has what these writes take.

    Raises:
        edge.Unavailable: the API server does not answer; nothing is known then.
    """
    me = await server.whoami()
    missing = [
        one.policy
        for one in writes.forbidden(namespace, me)
        if (guards or one.policy != "serving") and not await _refuses(server, f"{prefix}-{one.policy}", one.obj)
    ]
    if not await _signs(server, namespace, me, prefix):
        missing.append("changes")
    if not await _guards_status(server, namespace, prefix):
        missing.append("status")
    return sorted(missing)


async def _refuses(server: Server, policy: str, obj: Json) -> bool:
    try:
        await server.create(obj, dry_run=True)
    except cluster.Refused as refused:
        return _by(policy, refused)
    except cluster.Conflict:
        return False
    return False


async def _signs(server: Server, namespace: str, me: str, prefix: str) -> bool:
    """A forged line is refused, or put right from Kubernetes 1.36 on."""
    try:
        made = await server.create(writes.forgery(namespace, me), dry_run=True)
    except cluster.Refused as refused:
        return _by(f"{prefix}-changes", refused)
    except cluster.Conflict:
        return False
    return bool(made["metadata"].get("annotations", {}).get(access.CHANGES) == access.changes.line(1, me))


async def _guards_status(server: Server, namespace: str, prefix: str) -> bool:
    """A status about a generation that does not exist is refused, to the operator as well."""
    async for one in server.list(cluster.MODEL, namespace, limit="1"):
        about = one["metadata"]
        status = {**(one.get("status") or {}), "observedGeneration": writes.FUTURE}
        try:
            await server.write_status(cluster.MODEL, about["namespace"], about["name"], about["resourceVersion"], status, dry_run=True)
        except cluster.Refused as refused:
            return _by(f"{prefix}-status", refused)
        except cluster.Conflict:
            return True  # it has just changed; the next probe asks again
        return False
    return True


def _by(policy: str, refused: cluster.Refused) -> bool:
    """Whether it was this policy that refused: the API server names it."""
    return f"ValidatingAdmissionPolicy '{policy}'" in refused.message
