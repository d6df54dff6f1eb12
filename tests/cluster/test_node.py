"""The cluster of these tests is a real one: pods run, names resolve, people are told apart, the store keeps versions."""

from __future__ import annotations

import io
import json
import pathlib
import time
from collections.abc import Callable

import minio
import pytest
import urllib3

from tests.cluster.node import access, image, kind, layout, network, node, process

PROBE = f"""
import socket, ssl, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount"
store = socket.gethostbyname("store.{layout.NAMESPACE}.svc")
socket.create_connection((store, 7070), 5).close()
request = urllib.request.Request("https://{layout.API_SERVICE}/version")
request.add_header("Authorization", "Bearer " + open(folder + "/token").read())
context = ssl.create_default_context(cafile=folder + "/ca.crt")
print(store, urllib.request.urlopen(request, context=context, timeout=5).status)
"""


def wait(ready: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"not after {seconds} s"
        time.sleep(0.2)


def phase(cluster: access.Cluster, namespace: str, pod: str) -> str:
    return cluster.kubectl("get", "pod", pod, "-n", namespace, "-o", "jsonpath={.status.phase}")


def run(cluster: access.Cluster, namespace: str, pod: str, *command: str, port: int = 0) -> None:
    cluster.load(image.base())
    security = {"runAsUser": 65532, "runAsNonRoot": True, "readOnlyRootFilesystem": True}
    container: dict[str, object] = {
        "name": "main",
        "image": image.BASE,
        "imagePullPolicy": "Never",
        "command": command,
        "securityContext": security,
    }
    if port:
        container["readinessProbe"] = {"tcpSocket": {"port": port}, "periodSeconds": 1}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod}, "spec": spec}
    wait(lambda: "default" in cluster.kubectl("get", "serviceaccount", "-n", namespace, "-o", "name"))
    cluster.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(manifest))


def test_the_node_is_ready(cluster: access.Cluster) -> None:
    ready = cluster.kubectl("get", "nodes", "-o", "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}")

    assert ready == "True"


def test_a_pod_resolves_the_store_and_reaches_it_and_the_api_server_with_its_token(cluster: access.Cluster, namespace: str) -> None:
    run(cluster, namespace, "probe", "python3", "-c", PROBE)
    wait(lambda: phase(cluster, namespace, "probe") in {"Succeeded", "Failed"})
    log = cluster.kubectl("logs", "probe", "-n", namespace)
    address = cluster.kubectl("get", "service", "store", "-n", layout.NAMESPACE, "-o", "jsonpath={.spec.clusterIP}")

    assert log.split() == [address, "200"]


def test_a_port_of_a_pod_is_forwarded(cluster: access.Cluster, namespace: str) -> None:
    run(cluster, namespace, "web", "python3", "-m", "http.server", "8080", "--directory", "/etc", port=8080)
    cluster.kubectl("wait", "pod/web", "-n", namespace, "--for=condition=Ready", "--timeout=60s")
    with cluster.port_forward("pod/web", 8080, namespace) as port:
        answer = urllib3.request("GET", f"http://127.0.0.1:{port}/hostname")

    assert answer.data.decode().strip() == "web"


@pytest.mark.parametrize("user", ["alice", "bob", "carol", "nobody"])
def test_people_log_in_as_themselves_and_may_do_nothing_yet(cluster: access.Cluster, user: str) -> None:
    who = json.loads(cluster.kubectl("auth", "whoami", "-o", "json", user=user))

    assert who["status"]["userInfo"]["username"] == user
    with pytest.raises(access.KubectlError, match=f'User "{user}" cannot list resource "pods"'):
        cluster.kubectl("get", "pods", user=user)


def test_git_logs_in_as_a_service_account(cluster: access.Cluster) -> None:
    who = json.loads(cluster.kubectl("auth", "whoami", "-o", "json", user=layout.GITOPS))

    assert who["status"]["userInfo"]["username"] == "system:serviceaccount:gitops:modelyard-gitops"


@pytest.fixture
def client(cluster: access.Cluster) -> minio.Minio:
    store = cluster.store
    return minio.Minio(store.endpoint.removeprefix("http://"), store.access_key, store.secret_key, secure=False, region=store.region)


@pytest.mark.parametrize("bucket", list(layout.BUCKETS))
def test_the_buckets_keep_versions(client: minio.Minio, namespace: str, bucket: str) -> None:
    first, second = (client.put_object(bucket, namespace, io.BytesIO(text), len(text)).version_id for text in (b"one", b"two"))

    assert client.get_object(bucket, namespace).read() == b"two"
    assert client.get_object(bucket, namespace, version_id=first).read() == b"one"
    for version in (first, second):
        client.remove_object(bucket, namespace, version)


def test_object_lock_keeps_a_version_that_is_held(client: minio.Minio, namespace: str) -> None:
    version = client.put_object("modelyard", namespace, io.BytesIO(b"kept"), 4, legal_hold=True).version_id
    with pytest.raises(minio.S3Error, match="AccessDenied"):
        client.remove_object("modelyard", namespace, version)
    client.disable_object_legal_hold("modelyard", namespace, version)
    client.remove_object("modelyard", namespace, version)


def test_only_the_operators_bucket_has_object_lock(client: minio.Minio, namespace: str) -> None:
    with pytest.raises(minio.S3Error, match="InvalidRequest"):
        client.put_object("models", namespace, io.BytesIO(b"kept"), 4, legal_hold=True)


def test_a_second_up_changes_nothing(cluster: access.Cluster) -> None:
    def running() -> tuple[object, ...]:
        uids = "jsonpath={.items[*].metadata.uid}"
        return (
            node.status(),
            cluster.kubectl("get", "pods", "-n", "kube-system", "-o", uids),
            cluster.kubectl("get", "pods", "-n", layout.NAMESPACE, "-l", "app.kubernetes.io/name=store", "-o", uids),
        )

    before = running()
    node.up()

    assert running() == before


def test_a_strangers_process_is_never_taken_for_ours(tmp_path: pathlib.Path) -> None:
    """A record of another boot, or of another start time, names nobody."""
    stat = pathlib.Path("/proc/self/stat").read_text().strip()
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    earlier = stat.split()
    earlier[21] = str(int(earlier[21]) - 1)
    record = tmp_path / "record"
    answers = []
    for text in (f"{stat}\n{boot}\n", f"{stat}\nanother-boot\n", f"{' '.join(earlier)}\n{boot}\n", "", "nonsense\n"):
        record.write_text(text)
        answers.append(process.recorded(record) is not None)

    assert answers == [True, False, False, False, False]


def test_foreign_packet_filter_rules_are_left_alone() -> None:
    saved = """
*filter
:INPUT ACCEPT [0:0]
:DOCKER - [0:0]
:KUBE-FIREWALL - [0:0]
-A INPUT -m comment --comment "about KUBE" -j ACCEPT
-A INPUT -j KUBE-FIREWALL
-A INPUT -j DOCKER
-A KUBE-FIREWALL -j DROP
COMMIT
*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -j ACCEPT
COMMIT
"""

    assert network.undoing(saved).split("\n") == [
        "*filter",
        "-F KUBE-FIREWALL",
        "-D INPUT -j KUBE-FIREWALL",
        "-X KUBE-FIREWALL",
        "COMMIT",
        "",
    ]


def test_kind_is_told_the_same_things() -> None:
    assert kind.load_command(pathlib.Path("/bin/kind"), pathlib.Path("a.tar")) == [
        "/bin/kind",
        "load",
        "image-archive",
        "--name=modelyard",
        "a.tar",
    ]
    asked = kind.certificate_request("alice", b"pem")
    assert asked["spec"] == {"request": "cGVt", "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]}
