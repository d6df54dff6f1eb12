"""Where the node keeps its things, and the addresses and users it has; the only module with such constants."""

from __future__ import annotations

import pathlib
import socket
from typing import Final

from tests.cluster.node import binaries

REPOSITORY: Final = pathlib.Path(__file__).parents[3]
STATE: Final = binaries.CACHE / "cluster"
"""Everything a running node writes that may be large or must outlive a crash of `up`."""
IMAGES: Final = binaries.CACHE / "images"
RUN: Final = pathlib.Path("/run/modelyard")
"""Sockets (whose paths must be short) and mounts."""
KUBECONFIGS: Final = STATE / "kubeconfig"
LOGS: Final = STATE / "logs"
CERTIFICATES: Final = STATE / "pki"
STORE: Final = STATE / "store"
"""The object store's files, so that they outlive its pod."""

NODE: Final = "modelyard"
CGROUP: Final = "modelyard"
"""The cgroup all pods live under, so that `down` knows exactly which processes are theirs."""
CONTAINERD: Final = RUN / "containerd.sock"
PODS: Final = "10.244.0.0/24"
SERVICES: Final = "10.96.0.0/16"
API_SERVICE: Final = "10.96.0.1"
DNS_SERVICE: Final = "10.96.0.10"
API_PORT: Final = 6443
ETCD_PORT: Final = 2379
PORTS: Final = {
    API_PORT: "the API server",
    ETCD_PORT: "etcd",
    10250: "the kubelet",
    10257: "the controller manager",
    10259: "the scheduler",
}

ADMIN: Final = "admin"
USERS: Final = {ADMIN: ("system:masters",), "alice": (), "bob": (), "carol": (), "nobody": ()}
"""People who can log in, with their groups; all but the admin start without a single permission."""
GITOPS: Final = "gitops"
"""Logs in as the service account `modelyard-gitops` of the namespace of this name."""
COMPONENTS: Final = {
    "controller-manager": ("system:kube-controller-manager", ()),
    "scheduler": ("system:kube-scheduler", ()),
    "proxy": ("system:kube-proxy", ()),
    "kubelet": (f"system:node:{NODE}", ("system:nodes",)),
}
NAMESPACE: Final = "modelyard-system"
BUCKETS: Final = {"models": False, "modelyard": True}
"""Bucket → whether it has Object Lock; all have versioning."""
BYPASS: Final = f"localhost,127.0.0.1,::1,{SERVICES},{PODS},.svc,.cluster.local"
"""What must never go through a proxy."""


def address() -> str:
    """The address of this machine that pods and the API server reach it by: the one its default route uses.

    Raises:
        OSError: there is no default route.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # sends nothing: connecting a datagram socket only asks for the route
        except OSError as error:
            raise OSError("this machine has no default route, so the node would have no address; connect it to a network") from error
        return str(probe.getsockname()[0])
