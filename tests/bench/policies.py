"""What the admission policies cost a write: one etcd, two API servers of the same program before it, one of them without policies.

Every write is sent to both, one right after the other, each being the first in turn, so that whatever else the machine does hits both alike.
The writer is an ordinary user with the chart's roles.

python -m tests.bench.policies
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.bench.row import row
from tests.cluster.access import older, people, place

Json = dict[str, Any]
Write = tuple[str, str, object, str]
"""Method, path, body and content type."""

WRITES = 200
WARM = 20
GOAL = 1.5
"""Times what the write takes without policies."""
WITHOUT = "--disable-admission-plugins=ServiceAccount,ValidatingAdmissionPolicy,MutatingAdmissionPolicy"
WITH = "--disable-admission-plugins=ServiceAccount"
NAMESPACE = "default"
ROLES = ("publisher", "promoter", "approver", "governor", "owner")


def rows() -> list[dict[str, Any]]:
    """The table's rows; takes about a minute."""
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        kept = stack.enter_context(older.etcd(folder))
        guarded, bare = (stack.enter_context(older.server(folder, kept, flag)) for flag in (WITH, WITHOUT))
        return asyncio.run(_measure(guarded, bare))


async def _measure(guarded: str, bare: str) -> list[dict[str, Any]]:
    async with contextlib.AsyncExitStack() as stack:
        logins = {
            (server, who): await stack.enter_async_context(older.login(server, who))
            for server in (guarded, bare)
            for who in ("admin", "bob", "operator")
        }
        admin = logins[guarded, "admin"]
        await older.install(admin, [*older.manifests("stamps.yaml", "roles.yaml"), *_rights()])
        await older.until(lambda: older.passes(logins[bare, "admin"], "GET", place.path("Promotion", NAMESPACE)))
        await older.until(lambda: older.guards(admin))
        await older.until(lambda: older.passes(logins[guarded, "bob"], "GET", place.path("Model", NAMESPACE)))
        found = []
        for name, (who, prepare, write) in KINDS.items():
            for number in range(2 * (WRITES + WARM)):
                await prepare(logins[guarded, "admin"], logins[guarded, "operator"], number)
            took = await _alternate({server: logins[server, who] for server in (guarded, bare)}, write)
            with_them, without = (1000 * statistics.median(took[server][WARM:]) for server in (guarded, bare))
            found.append(row(f"policies: {name}", with_them, "ms", without, goal=round(without * GOAL, 3)))
        return found


async def _alternate(logins: Mapping[str, people.Login], write: Callable[[int], Write]) -> Mapping[str, Sequence[float]]:
    """Seconds that each write took, by server; the servers take turns, and so does who begins."""
    took: dict[str, list[float]] = {server: [] for server in logins}
    number = 0
    for turn in range(WRITES + WARM):
        for server in sorted(logins, reverse=turn % 2 == 0):
            method, path, body, content = write(number)
            number += 1
            began = time.monotonic()
            answer = await logins[server].send(method, path, body, content)
            took[server].append(time.monotonic() - began)
            assert answer.passed, answer
    return took


def _rights() -> list[Json]:
    """What bob may: everything that the chart's roles give, and Deployments and pods as any developer."""
    group = "rbac.authorization.k8s.io"
    rules = [{"apiGroups": [api], "resources": [plural], "verbs": ["create"]} for api, plural in (("apps", "deployments"), ("", "pods"))]
    develops = {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": "develops"}, "rules": rules}
    bindings = [
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": role},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": group, "kind": "User", "name": "bob"}],
        }
        for role in ("develops", *(f"modelyard-{one}" for one in ROLES))
    ]
    return [develops, *bindings]


# --- what is written


async def _nothing(admin: people.Login, operator: people.Login, number: int) -> None:
    """Needs nothing."""


async def _model(admin: people.Login, operator: people.Login, number: int) -> None:
    """A Model whose first generation is recorded, as it is a moment after it was applied."""
    status = {"observedGeneration": 1, "recorded": {"generation": 1, "spec": place.DIGEST}}
    await _there(admin, operator, place.model(f"m{number}"), status)


async def _awaiting(admin: people.Login, operator: people.Login, number: int) -> None:
    """A Promotion that awaits an approval."""
    status = {"observedGeneration": 1, "phase": "AwaitingApproval", "subject": place.NOW, "approvals": [{"gate": "risk"}]}
    await _there(admin, operator, place.promotion(f"p{number}"), status)


async def _version(admin: people.Login, operator: people.Login, number: int) -> None:
    """A ModelVersion that nobody has looked at."""
    await _there(admin, operator, place.version(str(number), of="read"))


async def _there(admin: people.Login, operator: people.Login, obj: Json, status: Json | None = None) -> None:
    made = await admin.send("POST", place.path(obj["kind"], NAMESPACE), obj)
    assert made.passed, made
    if status:
        path = place.path(obj["kind"], NAMESPACE, obj["metadata"]["name"], "status")
        told = await operator.send("PATCH", path, {"status": status}, people.MERGE)
        assert told.passed, told


def _create(kind: str, obj: Callable[[int], Json]) -> Callable[[int], Write]:
    return lambda number: ("POST", place.path(kind, NAMESPACE), obj(number), "application/json")


def _approve(number: int) -> Write:
    one = {"user": "bob", "gate": "risk", "decision": "Approved", "subject": place.NOW}
    patch = [{"op": "add", "path": "/spec/approvals", "value": [one]}]
    return "PATCH", place.path("Promotion", NAMESPACE, f"p{number}"), patch, people.JSON_PATCH


def _describe(number: int) -> Write:
    return "PATCH", place.path("Model", NAMESPACE, f"m{number}"), {"spec": {"description": "other words"}}, people.MERGE


def _told(number: int) -> Write:
    status = {"observedGeneration": 1, "phase": "Pending", "recorded": {"generation": 1, "spec": place.DIGEST}}
    return "PATCH", place.path("ModelVersion", NAMESPACE, f"read-{number}", "status"), {"status": status}, people.MERGE


KINDS: Mapping[str, tuple[str, Callable[..., Any], Callable[[int], Write]]] = {
    "create a ModelVersion": ("bob", _nothing, _create("ModelVersion", lambda number: place.version(str(number)))),
    "change a Model": ("bob", _model, _describe),
    "approve a Promotion": ("bob", _awaiting, _approve),
    "write a version's status": ("operator", _version, _told),
    "create an unrelated Deployment": ("bob", _nothing, _create("Deployment", lambda n: place.workload("Deployment", f"d{n}", ours=False))),
    "create an unrelated pod": ("bob", _nothing, _create("Pod", lambda n: place.pod(f"p{n}", ours=False))),
}
"""By name: who writes, what has to be there, and the write."""


if __name__ == "__main__":
    print(json.dumps(rows(), indent=2))
