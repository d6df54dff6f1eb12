"""Where the demo happens: a cluster with an object store, the images, and the operator installed with Helm."""

from __future__ import annotations

import hashlib
import itertools
import pathlib
import subprocess
import tarfile
import time
from typing import Final

import minio

from tests.cluster.node import access, binaries, image, kind, layout, node, process
from tests.demo import story, voice

NAMESPACE: Final = layout.NAMESPACE
RELEASE: Final = "modelyard"
STORE: Final = "store"
"""The object store's Secret, Deployment and Service."""
HERE: Final = pathlib.Path(__file__).parent
IMAGES: Final = {
    "modelyard:dev": (layout.REPOSITORY / "operator" / "Dockerfile", layout.REPOSITORY),
    "modelyard-demo-server:dev": (HERE / "server" / "Dockerfile", HERE / "server"),
}


def prepare() -> access.Cluster:
    """A cluster with the store, both images, and the operator.

    Raises:
        story.Trouble: Helm could not install it; with its words.
        SystemExit: there is no cluster, or an image cannot be built; says why.
    """
    voice.chapter("A Kubernetes cluster with an object store")
    voice.say(
        "One node with everything real: API server, kubelet, containerd, DNS; and versitygw as the S3 store. Built once, then reused."
    )
    cluster = kind.up() if image.kind() else node.up()
    voice.good(cluster.kubectl("get", "nodes", "--no-headers").strip())

    voice.chapter("Two images: the operator, and a model server")
    identities = []
    for tag, (dockerfile, context) in IMAGES.items():
        archive = image.build(dockerfile, tag, context)
        cluster.load(archive)
        identities.append(_identity(archive))
        voice.good(f"{tag} is in the cluster ({archive.stat().st_size / 1e6:.0f} MB)")

    voice.chapter("The operator, installed with Helm")
    _install(cluster, identities[0])
    return cluster


_OURS: Final = "modelyard.dev/demo"
"""The label on the namespaces of all runs."""


def fresh(client: minio.Minio) -> str:
    """A namespace that no ledger has a chain of yet: `demo`, `demo-2`, …"""
    used = {
        each.object_name.rstrip("/").rpartition("/")[2] for each in client.list_objects("modelyard", "ledger/main/") if each.object_name
    }
    names = itertools.chain(["demo"], (f"demo-{number}" for number in itertools.count(2)))
    return next(name for name in names if name not in used)


def newest(cluster: access.Cluster) -> str:
    """The namespace of the run that is under way."""
    names = cluster.kubectl("get", "namespaces", f"--selector={_OURS}", "--output=jsonpath={.items[*].metadata.name}").split()
    return names[-1] if names else "demo"


def clear(cluster: access.Cluster) -> None:
    """Remove the namespaces of earlier runs, with everything in them."""
    cluster.kubectl("delete", "namespaces", f"--selector={_OURS}", "--wait", "--timeout=180s")


def make(cluster: access.Cluster, name: str) -> None:
    """A namespace in which nothing may have a privilege."""
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, f"{_OURS}=true", "pod-security.kubernetes.io/enforce=restricted")


def _install(cluster: access.Cluster, identity: str) -> None:
    """`helm upgrade --install`; a new image under the same tag restarts the operator, since its identity is on the pod."""
    helm = binaries.find(["helm"])["helm"]
    chart, values = layout.REPOSITORY / "charts" / "modelyard", HERE / "values.yaml"
    arguments = ["upgrade", "--install", RELEASE, _short(chart), "--namespace", NAMESPACE, "--values", _short(values)]
    voice.typed("helm", *arguments, "--wait")
    began = time.monotonic()
    done = subprocess.run(
        [helm, *arguments, "--set-string", f"podAnnotations.modelyard\\.dev/image={identity}", "--wait", "--timeout", "3m"],
        cwd=layout.REPOSITORY, env=environment(cluster), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        hint = "; was an installation stopped halfway? `make cluster-down` clears it" if "another operation" in done.stderr else ""
        raise story.Trouble(f"helm: {done.stderr.strip()}{hint}")
    process.until("the API server to take the new kinds", 120, lambda: cluster.takes(HERE / "manifests" / "model.yaml"))
    voice.good(f"deployment/{RELEASE} in {NAMESPACE} is ready after {time.monotonic() - began:.0f} s")


def environment(cluster: access.Cluster) -> dict[str, str]:
    """What programs need that talk to the cluster as its admin: its kubeconfig, and no proxy between."""
    return {**process.quiet(), "KUBECONFIG": str(cluster.kubeconfig)}


def _identity(archive: pathlib.Path) -> str:
    """What tells two builds of one tag apart: a digest of the archive's table of contents, which names every layer by its own."""
    with tarfile.open(archive) as tar:
        contents = tar.extractfile("index.json" if "index.json" in tar.getnames() else "manifest.json")
        assert contents
        return hashlib.sha256(contents.read()).hexdigest()[:16]


def _short(path: pathlib.Path) -> str:
    return str(path.relative_to(layout.REPOSITORY))
