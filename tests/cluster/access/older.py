"""An API server as it was before it could stamp, with its own etcd and nothing else: this release's, told to be an older one.

MODELYARD_OLDER_APISERVER: the path of a kube-apiserver to take instead, to try one that really is older (1.30 and later).
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.cluster.access import people
from tests.cluster.access.oracle import Person
from tests.cluster.node import binaries, layout, process

VERSION = "1.35"
"""The last without MutatingAdmissionPolicy."""
TOKENS = {"admin": "admin", "bob": "bob", "operator": people.OPERATOR}
"""Token → username; all but bob are in system:masters, as RBAC is not what is tried here."""


@contextlib.contextmanager
def running(folder: pathlib.Path) -> Iterator[str]:
    """Its address; it keeps everything in a folder."""
    given = os.environ.get("MODELYARD_OLDER_APISERVER")
    programs = binaries.find(["etcd"] if given else ["etcd", "kube-apiserver"])
    client, peer, port = _ports(3)
    (folder / "tokens.csv").write_text("".join(f'{token},{name},{name},"{_group(token)}"\n' for token, name in TOKENS.items()))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    (folder / "key").write_bytes(pem)
    urls = [f"http://127.0.0.1:{one}" for one in (client, peer)]
    etcd = [
        f"--data-dir={folder}/etcd", "--unsafe-no-fsync", "--log-level=error", f"--listen-client-urls={urls[0]}", f"--advertise-client-urls={urls[0]}",
        f"--listen-peer-urls={urls[1]}", f"--initial-advertise-peer-urls={urls[1]}", f"--initial-cluster=default={urls[1]}",
    ]  # fmt: skip
    server = [
        f"--etcd-servers={urls[0]}", f"--secure-port={port}", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
        f"--cert-dir={folder}/certificates", f"--token-auth-file={folder}/tokens.csv", "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.97.0.0/24", "--service-account-issuer=https://older", f"--service-account-key-file={folder}/key",
        f"--service-account-signing-key-file={folder}/key", "--endpoint-reconciler-type=none",
        *([] if given else [f"--emulated-version={VERSION}"]),
    ]  # fmt: skip
    with (folder / "log").open("w") as log, contextlib.ExitStack() as stack:
        for command in ([programs["etcd"], *etcd], [given or programs["kube-apiserver"], *server]):
            started = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, env=process.quiet())
            stack.callback(started.wait, 20)
            stack.callback(started.terminate)
        yield f"https://127.0.0.1:{port}"


def kubeconfig(folder: pathlib.Path, address: str, token: str) -> pathlib.Path:
    """For one of its users."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "older", "cluster": {"server": address, "insecure-skip-tls-verify": True}}],
        "users": [{"name": token, "user": {"token": token}}],
        "contexts": [{"name": "older", "context": {"cluster": "older", "user": token, "namespace": "default"}}],
        "current-context": "older",
    }
    file = folder / f"kubeconfig-{token}"
    file.write_text(json.dumps(config))
    return file


@contextlib.asynccontextmanager
async def login(address: str, token: str) -> AsyncIterator[people.Login]:
    """As one of its users."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False), headers=headers) as session:
        yield people.Login(Person(TOKENS[token]), session, address, TOKENS[token])


def manifests() -> list[dict[str, Any]]:
    """The CRDs and the policies, as plain manifests."""
    folder = layout.REPOSITORY / "crds"
    return [
        one
        for file in (*sorted(folder.glob("*.yaml")), folder / "policies" / "policies.yaml")
        for one in yaml.safe_load_all(file.read_text())
    ]


def _group(token: str) -> str:
    return "" if token == "bob" else "system:masters"


def _ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
