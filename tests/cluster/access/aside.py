"""Puts the policies of a cluster aside for a while, or its operator to rest: what the CRDs alone do, and what a probe says then."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from modelyard.api import access
from modelyard.api.access import probe
from tests.cluster.node import layout, process
from tests.cluster.node.access import KubectlError

KINDS = "validatingadmissionpolicybindings,mutatingadmissionpolicybindings"


@contextlib.contextmanager
def aside(cluster: Any) -> Iterator[None]:
    """No policy of the release `modelyard` holds meanwhile; nothing happens where none is installed."""
    listed = json.loads(cluster.kubectl("get", KINDS, "--output=json"))["items"]
    bindings = [one for one in listed if one["spec"]["policyName"].startswith("modelyard-")]
    for one in bindings:
        one["metadata"] = {key: one["metadata"][key] for key in ("name", "labels", "annotations") if key in one["metadata"]}
    names = [f"{one['kind']}/{one['metadata']['name']}" for one in bindings]
    if names:
        cluster.kubectl("delete", *names)
        process.until("the policies to be put aside", 30, lambda: _in_force(cluster) == {False})
    try:
        yield
    finally:
        if names:
            # In Helm's name, or its next upgrade would find somebody else's fields.
            back = json.dumps({"apiVersion": "v1", "kind": "List", "items": bindings})
            cluster.kubectl("apply", "--server-side", "--field-manager=helm", "--filename=-", input=back)
            process.until("the policies to hold again", 30, lambda: _in_force(cluster) == {True})


@contextlib.contextmanager
def resting(cluster: Any) -> Iterator[None]:
    """The operator, if it is installed, does nothing meanwhile: neither status nor restoring what a test deletes is in the way."""
    there = f"--namespace={layout.NAMESPACE}"
    if not cluster.kubectl("get", "deployment", "modelyard", there, "--ignore-not-found", "--output=name"):
        yield
        return
    before = cluster.kubectl("get", "deployment", "modelyard", there, "--output=jsonpath={.spec.replicas}")
    cluster.kubectl("scale", "deployment", "modelyard", there, "--replicas=0")
    cluster.kubectl("wait", "pod", there, "--selector=app.kubernetes.io/name=modelyard", "--for=delete", "--timeout=60s")
    try:
        yield
    finally:
        cluster.kubectl("scale", "deployment", "modelyard", there, f"--replicas={before}")
        cluster.kubectl("rollout", "status", "deployment", "modelyard", there, "--timeout=120s")


def _in_force(cluster: Any) -> set[bool]:
    """For each policy about new objects, and for the stamps, whether it holds."""
    found = {
        not _made(cluster, one.obj) for one in probe.forbidden("default", "admin") if one.policy != "operator"
    }  # this is nobody else's
    signed = _made(cluster, probe.forgery("default", "admin"))
    return found | {not signed or signed["metadata"]["annotations"][access.CHANGES] != probe.FORGED}


def _made(cluster: Any, obj: dict[str, Any]) -> dict[str, Any]:
    """What a dry run of creating it makes; nothing if a policy refuses."""
    try:
        made: dict[str, Any] = json.loads(
            cluster.kubectl("create", "--dry-run=server", "--output=json", "--filename=-", input=json.dumps(obj))
        )
    except KubectlError as error:
        if "ValidatingAdmissionPolicy" not in str(error):
            raise
        return {}
    return made
