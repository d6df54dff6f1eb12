"""The operator as a user installs it: its image in the cluster, its chart by Helm."""

from __future__ import annotations

import hashlib
import pathlib
import subprocess

import pytest

from tests.cluster.node import access, binaries, image, layout, process

RECHECK = "5s"


def install(cluster: access.Cluster, *values: str) -> None:
    """Build the image if the code changed, bring it into the cluster, and install or upgrade the chart; values are typed as Helm reads them."""
    archive = image.build(layout.REPOSITORY / "operator" / "Dockerfile", "modelyard:dev")
    cluster.load(archive)
    build = hashlib.sha256(archive.read_bytes()).hexdigest()[:16]
    store = f"http://store.{layout.NAMESPACE}.svc:7070"
    ours = (
        "image.tag=dev",
        f"podAnnotations.build={build}",
        f"bucket.endpoint={store}",
        "bucket.existingSecret=store",
        f"endpoints={{{store}}}",
        f"verification.recheck={RECHECK}",
    )
    named = {value.partition("=")[0] for value in values}  # Helm has --set-string win over --set, whichever comes first
    asked = [f"--set-string={value}" for value in ours if value.partition("=")[0] not in named]
    asked += [f"--set={value}" for value in values]
    chart = layout.REPOSITORY / "charts" / "modelyard"
    _helm(cluster, "upgrade", "--install", "modelyard", chart, "--wait", "--timeout=180s", *asked)
    sample = layout.REPOSITORY / "crds" / "samples" / "model-minimal.yaml"
    process.until("the API server to take the new kinds", 120, lambda: cluster.takes(sample))


def uninstall(cluster: access.Cluster) -> None:
    """Take the release away, and wait for its pods."""
    _helm(cluster, "uninstall", "modelyard", "--wait", "--timeout=120s")


def _helm(cluster: access.Cluster, *arguments: str | pathlib.Path) -> None:
    helm = binaries.find(["helm"])["helm"]
    command = [helm, *arguments, f"--namespace={layout.NAMESPACE}", f"--kubeconfig={cluster.kubeconfig}"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=process.quiet(), check=False)
    if done.returncode:
        logs = cluster.kubectl("logs", f"--namespace={layout.NAMESPACE}", "--selector=app.kubernetes.io/name=modelyard", "--tail=30")
        raise AssertionError(f"helm {' '.join(map(str, arguments))}: {done.stderr}\nthe operator says:\n{logs}")


@pytest.fixture(scope="session")
def operator(cluster: access.Cluster) -> access.Cluster:
    """The cluster with the operator installed, looking at the store every few seconds."""
    install(cluster)
    return cluster
