"""The same cluster on kind, where a Docker engine answers."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.cluster.node import access, binaries, identity, image, layout, process

if TYPE_CHECKING:
    import pytest_kind  # type: ignore[import-untyped]  # it has no types

VERSION = "v0.33.0"
"""Its default is Kubernetes 1.37."""
NAME = "modelyard"
STORE = pathlib.Path("/var/lib/modelyard-store")
"""A folder inside kind's node."""
ADMIN = layout.KUBECONFIGS / layout.ADMIN


def up() -> access.Cluster:
    """A running cluster: the one that is there if it is well, else a new one."""
    if healthy():
        binaries.say(f"the kind cluster is up already: KUBECONFIG={ADMIN}")
        return cluster()
    layout.KUBECONFIGS.mkdir(parents=True, exist_ok=True, mode=0o700)
    binaries.say("starting a kind cluster (about 60 s; the first time it downloads a node image of 1 GB) …")
    _kind().create()
    made = cluster()
    made.load(image.program("versitygw", binaries.find(["versitygw"])["versitygw"]))
    made.install_store(STORE)
    made.install("users", {})
    process.until("the object store", 120, lambda: made.available(layout.NAMESPACE, "store"))
    process.until("the buckets", 30, made.make_buckets)
    for user in layout.USERS:
        if user != layout.ADMIN:
            _admit(made, user)
    token = {"token": made.token(layout.GITOPS, "modelyard-gitops")}
    identity.write_kubeconfig(layout.GITOPS, token, _server(made))
    return made


def down() -> None:
    """Delete the cluster; harmless when there is none."""
    _kind().delete()
    shutil.rmtree(layout.KUBECONFIGS, ignore_errors=True)


def cluster() -> access.Cluster:
    """How to get at it."""
    return access.Cluster(layout.KUBECONFIGS, binaries.find(["kubectl"])["kubectl"], load, routed=False)


def healthy() -> bool:
    """Whether it was set up to the end and its store is there."""
    return (layout.KUBECONFIGS / layout.GITOPS).exists() and cluster().available(layout.NAMESPACE, "store")


def load(archive: pathlib.Path) -> None:
    """Bring an image archive into kind's node."""
    subprocess.run(load_command(_kind().kind_path, archive), check=True)


def load_command(program: pathlib.Path, archive: pathlib.Path) -> list[str]:
    """What brings an image archive into kind's node."""
    return [str(program), "load", "image-archive", f"--name={NAME}", str(archive)]


def certificate_request(user: str, csr: bytes) -> dict[str, object]:
    """The object that asks the cluster to certify that a key is a person's."""
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": user},
        "spec": {
            "request": base64.b64encode(csr).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "usages": ["client auth"],
        },
    }


def _admit(made: access.Cluster, user: str) -> None:
    """kind's API server takes no file of tokens: people log in with certificates, which it signs itself."""
    key, csr = identity.request(user)
    made.kubectl("delete", "csr", user, "--ignore-not-found")
    made.kubectl("create", "--filename=-", input=json.dumps(certificate_request(user, csr)))
    made.kubectl("certificate", "approve", user)
    signed = ("get", "csr", user, "--output=jsonpath={.status.certificate}")
    process.until(f"{user}'s certificate", 30, lambda: bool(made.says(*signed)))
    credentials = {"client-certificate-data": made.says(*signed), "client-key-data": base64.b64encode(key).decode()}
    identity.write_kubeconfig(user, credentials, _server(made))


def _server(made: access.Cluster) -> dict[str, str]:
    config = json.loads(made.kubectl("config", "view", "--raw", "--output=json"))
    return {str(key): str(value) for key, value in config["clusters"][0]["cluster"].items()}


def _kind() -> pytest_kind.KindCluster:
    os.environ.setdefault("KIND_VERSION", VERSION)  # read when the module is imported
    try:
        import pytest_kind
    except ModuleNotFoundError:
        sys.exit("CLUSTER=kind needs pytest-kind: run this with .venv/bin/python (after `make setup`), or set CLUSTER=node.")
    found = shutil.which("kind")
    os.chdir(layout.REPOSITORY)  # where it keeps what it downloads: .pytest-kind/
    return pytest_kind.KindCluster(NAME, kubeconfig=ADMIN, kind_path=pathlib.Path(found) if found else None)
