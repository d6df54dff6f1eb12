"""Answers that are not the API server's, and ways to it that lead nowhere: it is unavailable, and nothing else."""

from __future__ import annotations

import base64
import json
import pathlib
from typing import Any

import pytest
import yaml

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.edge.cluster import client
from tests.fakes import apiserver

NO_CERTIFICATE = base64.b64encode(b"no certificate").decode()


async def read(kubeconfig: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    async with client.Cluster.connect() as server:
        await server.get(client.MODEL, "risk", "fraud")


@pytest.mark.parametrize(
    ("status", "data", "said"),
    [
        (200, b"<html>please log in</html>", "answered 200, but no object: '<html>please log in</html>'"),
        (200, b"[]", "answered 200, but no object: '[]'"),
        (200, b"", "answered 200, but no object: ''"),
        (204, b"", "answered 204, but no object: ''"),
        (200, b"\xff", "answered 200, but no object: '\N{REPLACEMENT CHARACTER}'"),
        (502, "défaillante".encode("latin-1"), "answered 502: d\N{REPLACEMENT CHARACTER}faillante"),
    ],
    ids=["a page", "a list", "nothing", "no content", "no text", "an error in another encoding"],
)
async def test_an_answer_that_is_no_object_is_none(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, status: int, data: bytes, said: str
) -> None:
    def fault(handler: apiserver.Handler, _asked: str, _body: Any) -> bool:
        handler.say(status, data)
        return True

    with apiserver.run(tmp_path, {}, fault=fault) as kubeconfig, pytest.raises(edge.Unavailable) as unavailable:
        await read(kubeconfig, monkeypatch)

    assert unavailable.value.reason == Reason.CLUSTER_UNAVAILABLE
    assert said in unavailable.value.message


TYPED = "failed to create typed patch object (risk/fraud-production; apps/v1, Kind=Deployment): "


@pytest.mark.parametrize(
    ("status", "message", "answers"),
    [
        (500, f'{TYPED}.spec.template.spec.containers[name="server"].imagePulPolicy: field not declared in schema', True),
        (500, "failed to convert new object (risk/fraud; apps/v1, Kind=Deployment) to proper version: quantities must match", True),
        (500, "failed to create typed patch object (/fraud; v1, Kind=Namespace): .spec.x: field not declared in schema", True),
        (500, "etcdserver: request timed out (2/3)", False),
        (500, "Internal error occurred: failed calling webhook (x)", False),
        (503, f"{TYPED}.spec: field not declared in schema", False),
        (403, "deployments.apps is forbidden: exceeded quota", True),
        (404, "namespaces not found", True),
        (413, "Request entity too large", True),
        (415, "the body of the request was in an unknown format", True),
        (422, "Deployment.apps is invalid", True),
        (429, "too many requests", False),
    ],
)
async def test_what_it_will_not_take_is_an_answer_and_what_is_broken_in_it_is_none(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, status: int, message: str, answers: bool
) -> None:
    def fault(handler: apiserver.Handler, _asked: str, _body: Any) -> bool:
        handler.say(status, json.dumps({"kind": "Status", "status": "Failure", "message": message, "code": status}).encode())
        return True

    with apiserver.run(tmp_path, {}, fault=fault) as kubeconfig:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        async with client.Cluster.connect() as server:
            with pytest.raises(client.Refused if answers else edge.Unavailable) as trouble:
                await server.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "fraud", "namespace": "risk"}})

    assert message in str(trouble.value)


@pytest.mark.parametrize(
    ("its", "mine"),
    [
        ({"certificate-authority-data": NO_CERTIFICATE}, {"token": "t"}),
        ({"certificate-authority-data": "%%%"}, {"token": "t"}),
        ({}, {"client-certificate-data": NO_CERTIFICATE, "client-key-data": NO_CERTIFICATE}),
    ],
    ids=["an authority", "an authority that is no base64", "a client's"],
)
async def test_a_certificate_that_is_none_leads_nowhere(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, its: dict[str, str], mine: dict[str, str]
) -> None:
    kubeconfig = tmp_path / "config"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": {"server": "https://127.0.0.1:1", **its}}],
        "users": [{"name": "me", "user": mine}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me"}}],
        "current-context": "it",
    }
    kubeconfig.write_text(yaml.safe_dump(config))

    with pytest.raises(edge.Unavailable, match=r"no way to a cluster: \[(SSL|X509)") as unavailable:
        await read(kubeconfig, monkeypatch)

    assert unavailable.value.reason == Reason.CLUSTER_UNAVAILABLE
