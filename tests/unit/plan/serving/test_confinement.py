"""What of a pod template reaches into its node, in Python as in the policy's words."""

from __future__ import annotations

from typing import Any

import pytest

from modelyard.api.access import operator
from modelyard.plan.serving import confinement

SERVER = {"name": "server", "image": "serve:1"}
REACHING: dict[str, dict[str, Any]] = {
    "hostNetwork": {"hostNetwork": True},
    "hostPID": {"hostPID": True},
    "hostIPC": {"hostIPC": True},
    "a hostPath volume": {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]},
    "a hostPort": {"containers": [{**SERVER, "ports": [{"containerPort": 80, "hostPort": 80}]}]},
    "privileged": {"initContainers": [{**SERVER, "name": "first", "securityContext": {"privileged": True}}]},
    "capabilities.add": {"containers": [{**SERVER, "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]},
    "procMount": {"hostUsers": False, "containers": [{**SERVER, "securityContext": {"procMount": "Unmasked"}}]},
    "seccompProfile Unconfined": {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
    "appArmorProfile Unconfined": {"containers": [{**SERVER, "securityContext": {"appArmorProfile": {"type": "Unconfined"}}}]},
    "windowsOptions.hostProcess": {"securityContext": {"windowsOptions": {"hostProcess": True}}},
    "sysctls": {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}},
}
"""A pod's spec for each way out."""
CONFINED: dict[str, Any] = {
    "containers": [
        {
            **SERVER,
            "ports": [{"containerPort": 80}],
            "securityContext": {
                "privileged": False,
                "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
                "procMount": "Default",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }
    ],
    "hostNetwork": False,
    "volumes": [{"name": "scratch", "emptyDir": {}}],
    "securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]},
}


@pytest.mark.parametrize("what", REACHING)
def test_what_reaches_out_is_named_with_how_to_allow_it(what: str) -> None:
    template = {"spec": {"containers": [SERVER], **REACHING[what]}}

    refused = confinement.refused(template)

    assert list(confinement.reaches(template)) == [what]
    assert refused is not None
    assert f"asks for {what}," in refused
    assert "pod-security.kubernetes.io/enforce: privileged" in refused


def test_every_way_out_that_the_policy_names_is_tried_here() -> None:
    assert [what for what in REACHING if f"['{what}']" not in operator.POLICY.variables["reaches"]] == []
    assert operator.POLICY.variables["reaches"].count(" ? [") == len(REACHING)


def test_what_stays_in_its_pod_is_fine() -> None:
    assert confinement.refused({"spec": CONFINED}) is None


@pytest.mark.parametrize(
    "odd",
    [{}, {"spec": None}, {"spec": {"containers": None}}, {"spec": {"containers": ["x", None], "volumes": {"a": 1}, "securityContext": []}}],
)
def test_what_is_no_template_is_left_to_the_api_server(odd: dict[str, Any]) -> None:
    assert confinement.refused(odd) is None


@pytest.mark.parametrize(
    ("labels", "allowed"),
    [({confinement.ENFORCE: "privileged"}, True), ({confinement.ENFORCE: "baseline"}, False), ({}, False), (None, False)],
)
def test_only_a_namespace_that_says_so_lets_pods_reach_out(labels: dict[str, str] | None, allowed: bool) -> None:
    assert confinement.allowed({"metadata": {"labels": labels}}) == allowed
    assert not confinement.allowed(None)
