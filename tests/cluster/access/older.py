"""API servers with an etcd and nothing else; and one as it was before it could stamp: this release's, told to be an older one.

MODELYARD_OLDER_APISERVER: the path of a kube-apiserver to take instead, to try one that really is older (1.30 and later).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import pathlib
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any

import aiohttp
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.cluster.access import people, place
from tests.cluster.access.oracle import Person
from tests.cluster.node import binaries, layout, process

VERSION = "1.35"
"""The last without MutatingAdmissionPolicy."""
TOKENS = {"admin": "admin", "bob": "bob", "operator": people.OPERATOR}
"""Token → username; all but bob are in system:masters, as RBAC is not what is tried here."""


@contextlib.contextmanager
def running(folder: pathlib.Path, *more: str) -> Iterator[str]:
    """Its address; it keeps everything in a folder. `more` are further flags."""
    given = os.environ.get("MODELYARD_OLDER_APISERVER")
    flags = [] if given else [f"--emulated-version={VERSION}"]
    with etcd(folder) as kept, server(folder, kept, *flags, *more, program=given) as address:
        yield address


@contextlib.contextmanager
def etcd(folder: pathlib.Path) -> Iterator[str]:
    """The address of an etcd; what it keeps is below a folder."""
    client, peer = _ports(2)
    urls = [f"http://127.0.0.1:{one}" for one in (client, peer)]
    flags = [
        f"--data-dir={folder}/etcd", "--unsafe-no-fsync", "--log-level=error", f"--listen-client-urls={urls[0]}", f"--advertise-client-urls={urls[0]}",
        f"--listen-peer-urls={urls[1]}", f"--initial-advertise-peer-urls={urls[1]}", f"--initial-cluster=default={urls[1]}",
    ]  # fmt: skip
    with _started(_program("etcd"), flags, folder / "etcd.log"):
        yield urls[0]


@contextlib.contextmanager
def server(folder: pathlib.Path, kept: str, *flags: str, program: str | None = None) -> Iterator[str]:
    """The address of an API server, this release's by default, before such an etcd; several may share one."""
    (port,) = _ports(1)
    own = folder / f"server-{port}"
    own.mkdir()
    (own / "tokens.csv").write_text("".join(f'{token},{name},{name},"{_group(token)}"\n' for token, name in TOKENS.items()))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    (own / "key").write_bytes(pem)
    every = [
        f"--etcd-servers={kept}", f"--secure-port={port}", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
        f"--cert-dir={own}/certificates", f"--token-auth-file={own}/tokens.csv", "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.97.0.0/24", "--service-account-issuer=https://older", f"--service-account-key-file={own}/key",
        f"--service-account-signing-key-file={own}/key", "--endpoint-reconciler-type=none",
    ]  # fmt: skip
    with _started(program or _program("kube-apiserver"), [*every, *flags], own / "log"):
        yield f"https://127.0.0.1:{port}"


def _program(name: str) -> str:
    return str(binaries.find([name])[name])


@contextlib.contextmanager
def _started(program: str, flags: list[str], log: pathlib.Path) -> Iterator[None]:
    with log.open("w") as file:
        started = subprocess.Popen([program, *flags], stdout=file, stderr=file, env=process.quiet())
        try:
            yield
        finally:
            started.terminate()
            started.wait(20)


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


def manifests(*more: str) -> list[dict[str, Any]]:
    """The CRDs and the policies, as plain manifests; `more` are files beside the policies, such as stamps.yaml."""
    folder = layout.REPOSITORY / "crds"
    files = (*sorted(folder.glob("*.yaml")), *(folder / "policies" / name for name in ("policies.yaml", *more)))
    return [one for file in files for one in yaml.safe_load_all(file.read_text())]


async def install(login: people.Login, objects: Iterable[dict[str, Any]]) -> None:
    """Create objects that belong to no namespace, once the API server answers, and wait until the kinds are served."""
    await until(lambda: passes(login, "GET", "/readyz"))
    for one in objects:
        api = one["apiVersion"]
        plural = f"{one['kind'].lower()}s".replace("policys", "policies")
        answer = await login.send("POST", f"/{'apis' if '/' in api else 'api'}/{api}/{plural}", one)
        assert answer.passed, answer
    for kind in ("Model", "ModelVersion", "Promotion"):
        await until(functools.partial(passes, login, "GET", place.path(kind, "default")))


async def until(true: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    """Return when it is so.

    Raises:
        AssertionError: it does not come true.
    """
    deadline = time.monotonic() + seconds
    while not await true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)


async def passes(login: people.Login, method: str, path: str) -> bool:
    """Whether the API server answers this with yes."""
    try:
        return (await login.send(method, path)).passed
    except OSError:
        return False


async def guards(login: people.Login) -> bool:
    """Whether the policies are effective: a change without its author's line is refused, or gets it."""
    answer = await login.send("POST", place.path("Model", "default"), place.model("modelyard-probe"), dryRun="All")
    return "ValidatingAdmissionPolicy" in answer.message


def _group(token: str) -> str:
    return "" if token == "bob" else "system:masters"


def _ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
