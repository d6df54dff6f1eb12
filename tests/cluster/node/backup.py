"""A backup of etcd, and going back to it while the containers run on, as the Kubernetes documentation says to do it."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
from collections.abc import Iterator

from tests.cluster.node import binaries, components, image, layout, node, process

_DATA = layout.STATE / "etcd"
_CONTROL = ("scheduler", "controller-manager", "api-server", "etcd")


def take(folder: pathlib.Path) -> None:
    """Copy etcd's data while it rests for a moment; who asks the API server meanwhile is told to ask again."""
    _require()
    process.stop("etcd")
    shutil.copytree(_DATA, folder)
    components.etcd(binaries.find(["etcd"])["etcd"])
    _until_it_answers()


def restore(folder: pathlib.Path) -> None:
    """The API server knows what it knew when the backup was taken, and nothing else. No container is touched."""
    with _away():
        shutil.rmtree(_DATA)
        shutil.copytree(folder, _DATA)


@contextlib.contextmanager
def _away() -> Iterator[None]:
    """Whoever remembers what etcd said is stopped meanwhile: the control plane and the kubelet. containerd and kube-proxy's rules stay."""
    _require()
    programs = binaries.find(["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"])
    address = layout.address()
    for name in ("kubelet", "proxy", *_CONTROL):
        process.stop(name)
    yield
    components.etcd(programs["etcd"])
    components.api_server(programs["kube-apiserver"], address)
    _until_it_answers()
    components.controller_manager(programs["kube-controller-manager"])
    components.scheduler(programs["kube-scheduler"])
    components.kubelet(programs["kubelet"], address)
    components.proxy(programs["kube-proxy"])


def _until_it_answers() -> None:
    process.until("the API server", 60, lambda: node.cluster().says("get", "--raw", "/readyz") == "ok", logs="api-server", needs=["etcd"])


def _require() -> None:
    if image.kind():
        raise RuntimeError("kind keeps its etcd to itself: these tests need the node of our own, CLUSTER=node")
