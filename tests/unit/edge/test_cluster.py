"""Answers that are not the API server's, and ways to it that lead nowhere: it is unavailable, and nothing else."""

from __future__ import annotations

import base64
import pathlib
from typing import Any

import pytest
import yaml

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.edge import cluster
from tests.unit.cli import apiserver

NO_CERTIFICATE = base64.b64encode(b"no certificate").decode()


async def read(kubeconfig: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    async with cluster.Cluster.connect() as server:
        await server.get(cluster.MODEL, "risk", "fraud")


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
