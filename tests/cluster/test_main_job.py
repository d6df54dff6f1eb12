"""What a user does, on a real node: register, verify, promote, serve; and what happens when somebody breaks it."""

from __future__ import annotations

import hashlib
import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from modelyard.content import location, manifest
from modelyard.edge.s3 import store
from tests.cluster.access import aside
from tests.cluster.node import access

PORT = 8080


class Team:
    """One namespace with a Model, and a person at a keyboard."""

    def __init__(self, cluster: Any, namespace: str, bucket: str = "models") -> None:
        self.cluster, self.namespace, self.bucket = cluster, namespace, bucket
        keys = location.Credentials(cluster.store.access_key, cluster.store.secret_key)
        self.store = store.Store(location.Address(cluster.store.endpoint, None, keys))
        self.prefix = f"{namespace}/fraud/"
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "models-s3"},
                "stringData": {"AWS_ACCESS_KEY_ID": cluster.store.access_key, "AWS_SECRET_ACCESS_KEY": cluster.store.secret_key},
            }
        )

    def kubectl(self, *args: str, **more: Any) -> str:
        return str(self.cluster.kubectl("-n", self.namespace, *args, **more))

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(objects))

    def model(self, *stages: dict[str, Any]) -> None:
        storage = {
            "uri": f"s3://{self.bucket}/{self.prefix}",
            "endpoint": "http://store.modelyard-system.svc:7070",
            "credentials": {"secretName": "models-s3"},
        }
        spec = {"owner": {"team": "payments"}, "storage": storage, "stages": list(stages)}
        self.apply({"apiVersion": "modelyard.dev/v1alpha1", "kind": "Model", "metadata": {"name": "fraud"}, "spec": spec})

    def upload(self, version: str, text: str) -> str:
        """One file, model.txt; the artifact's digest."""
        self.store.put(self.bucket, f"{self.prefix}{version}/model.txt", text.encode())
        return manifest.of({"model.txt": hashlib.sha256(text.encode()).hexdigest()})

    def register(self, version: str, declared: str) -> None:
        artifact = {"uri": f"s3://{self.bucket}/{self.prefix}{version}/", "digest": declared, "format": "other"}
        spec = {"model": "fraud", "version": version, "artifact": artifact}
        about = {"name": f"fraud-{version}"}
        self.apply({"apiVersion": "modelyard.dev/v1alpha1", "kind": "ModelVersion", "metadata": about, "spec": spec})

    def promote(self, version: str, stage: str, name: str | None = None, **more: Any) -> str:
        called = name or f"fraud-{version}-{stage}"
        spec = {"model": "fraud", "version": version, "stage": stage, **more}
        self.apply({"apiVersion": "modelyard.dev/v1alpha1", "kind": "Promotion", "metadata": {"name": called}, "spec": spec})
        return called

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, self.called(kind, name), "-o", "json"))
        return found

    def called(self, kind: str, name: str) -> str:
        """The object's own name: autoPromote makes Promotions under names that begin as a person's would, with a sign at the end."""
        names = [line.rpartition("/")[2] for line in self.kubectl("get", kind, "-o", "name").split()]
        return next((one for one in names if one == name or one.startswith(f"{name}-auto-")), name)

    def phase(self, kind: str, name: str) -> str | None:
        """What the object's status says; None while there is no such object yet: autoPromote makes Promotions a moment later."""
        found = self.kubectl("get", kind, self.called(kind, name), "-o", "json", "--ignore-not-found")
        status: dict[str, Any] = json.loads(found or "{}").get("status", {})
        return status.get("phase")

    def wait_phase(self, kind: str, name: str, phase: str, seconds: float = 120) -> dict[str, Any]:
        self.wait(lambda: self.phase(kind, name) == phase, f"{kind} {name} to be {phase}", seconds)
        return self.get(kind, name)

    def wait(self, true: Callable[[], bool], what: str, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline:
                pytest.fail(f"waited {seconds:.0f} s for {what}; there is:\n{self.described()}")
            time.sleep(0.3)

    def described(self) -> str:
        """What there is, for whoever looks into a failure."""
        return self.kubectl("get", "mdl,mv,promo,deploy,rs,pods,events", "-o", "wide")

    def served(self, stage: str) -> str | None:
        """What the stage's Service answers, or None while it does not."""
        address = self.kubectl("get", "service", f"fraud-{stage}", "-o", "jsonpath={.spec.clusterIP}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://{address}:{PORT}/model.txt", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return None


def stage(name: str, *, command: str = "", replicas: int | None = 1, **more: Any) -> dict[str, Any]:
    """A stage that serves the artifact's files over HTTP."""
    run = command or f"exec python3 -m http.server {PORT} --directory $MODELYARD_PATH"
    server = {
        "name": "server",
        "image": "modelyard:dev",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", run],
        "readinessProbe": {"httpGet": {"path": "/model.txt", "port": PORT}, "periodSeconds": 1},
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532},
    }
    spec = {"containers": [server], "terminationGracePeriodSeconds": 0}
    serving: dict[str, Any] = {"port": PORT, "template": {"spec": spec}, "progressDeadline": "2m", **more.pop("serving", {})}
    if replicas is not None:
        serving["replicas"] = replicas
    return {"name": name, "serving": serving, **more}


@pytest.fixture
def team(operator: Any, namespace: str) -> Team:
    return Team(operator, namespace)


def test_from_bytes_to_a_served_answer_and_tampering_changes_nothing(team: Team) -> None:
    team.promote("1.0.0", "production")
    team.model(stage("staging", autoPromote=True), stage("production", gates={"after": ["staging"]}))
    declared = manifest.of({"model.txt": hashlib.sha256(b"one").hexdigest()})
    team.register("1.0.0", declared)
    team.wait_phase("mv", "fraud-1.0.0", "Pending")
    assert team.upload("1.0.0", "one") == declared

    team.wait_phase("promo", "fraud-1.0.0-production", "Succeeded")
    assert team.served("production") == "one"
    version = team.get("mv", "fraud-1.0.0")
    assert {one["name"]: one["state"] for one in version["status"]["stages"]} == {"staging": "Serving", "production": "Serving"}
    deployment = team.get("deploy", "fraud-production")
    assert "ownerReferences" not in deployment["metadata"]
    assert "finalizers" not in version["metadata"]
    notes = version["metadata"]["annotations"]  # kubectl's own, and what the API server stamps; the operator writes none
    assert set(notes) == {"kubectl.kubernetes.io/last-applied-configuration", "modelyard.dev/changes"}
    assert notes["modelyard.dev/changes"] == "1 admin"

    team.upload("1.0.0", "evil")
    team.wait_phase("mv", "fraud-1.0.0", "Quarantined")
    team.kubectl("delete", "pods", "-l", "modelyard.dev/stage=production", "--wait=true")
    team.wait(lambda: team.served("production") is not None, "production to answer again")
    assert team.served("production") == "one"

    team.upload("1.0.0", "one")
    team.wait_phase("mv", "fraud-1.0.0", "Ready")


def test_a_pod_that_finds_other_bytes_fails_closed(operator: Any, namespace: str) -> None:
    team = Team(operator, namespace, bucket=f"plain-{namespace}")
    team.store.make_bucket(team.bucket)  # without versioning nothing pins the bytes
    team.model(stage("production", autoPromote=True, replicas=1))
    team.register("1", team.upload("1", "one"))
    team.wait_phase("promo", "fraud-1-production", "Succeeded")

    team.upload("1", "two")
    team.kubectl("delete", "pods", "-l", "modelyard.dev/stage=production", "--wait=true")

    def refused() -> bool:
        pods = json.loads(team.kubectl("get", "pods", "-l", "modelyard.dev/stage=production", "-o", "json"))["items"]
        fetched = [one for pod in pods for one in pod["status"].get("initContainerStatuses", [])]
        return any((one.get("lastState", {}).get("terminated") or one["state"].get("terminated") or {}).get("exitCode") for one in fetched)

    team.wait(refused, "the fetch container to fail")
    assert team.served("production") is None
    team.wait_phase("mv", "fraud-1", "Quarantined")


def test_what_does_not_become_available_is_put_back(team: Team) -> None:
    broken = "test $MODELYARD_VERSION = 1 && exec python3 -m http.server 8080 --directory $MODELYARD_PATH; exit 3"
    team.model(stage("production", command=broken, serving={"progressDeadline": "20s"}))
    team.register("1", team.upload("1", "one"))
    team.register("2", team.upload("2", "two"))
    team.promote("1", "production")
    team.wait_phase("promo", "fraud-1-production", "Succeeded")

    team.promote("2", "production")

    ended = team.wait_phase("promo", "fraud-2-production", "RolledBack")
    ready = next(one for one in ended["status"]["conditions"] if one["type"] == "Ready")
    assert "not available within 20s" in ready["message"]
    assert "server exited with 3" in ready["message"]
    assert "put back to 1" in ready["message"]
    assert team.served("production") == "one"
    assert team.get("mdl", "fraud")["status"]["stages"][0]["current"] == "1"
    team.wait(lambda: not team.get("mv", "fraud-2")["status"].get("stages"), "version 2 to be released")


def test_serving_objects_are_guarded_put_back_where_that_fails_and_scaling_is_left_alone(team: Team) -> None:
    team.model(stage("production", replicas=None, autoPromote=True))
    team.register("1", team.upload("1", "one"))
    team.wait_phase("promo", "fraud-1-production", "Succeeded")

    team.kubectl("scale", "deploy", "fraud-production", "--replicas=2")
    lie = ("set", "env", "deploy/fraud-production", "MODELYARD_VERSION=lie")
    with pytest.raises(access.KubectlError, match="change serving of the stage in the Model"):
        team.kubectl(*lie)
    team.kubectl(*lie, "--as=system:serviceaccount:modelyard-system:modelyard")  # impersonation passes, by design

    def environment() -> str | None:
        containers = team.get("deploy", "fraud-production")["spec"]["template"]["spec"]["containers"]
        return next((one["value"] for one in containers[0]["env"] if one["name"] == "MODELYARD_VERSION"), None)

    team.wait(lambda: environment() == "1", "the environment to be put back")
    assert team.get("deploy", "fraud-production")["spec"]["replicas"] == 2
    team.kubectl("delete", "deploy,service", "fraud-production")
    team.wait(lambda: "fraud-production" in team.kubectl("get", "deploy,service", "-o", "name"), "both to come back")
    team.wait(lambda: team.served("production") == "one", "production to answer again")


def test_replicas_that_are_handed_to_an_autoscaler_are_not_reset(team: Team) -> None:
    team.model(stage("production", replicas=2, autoPromote=True))
    team.register("1", team.upload("1", "one"))
    team.wait_phase("promo", "fraud-1-production", "Succeeded")
    assert team.get("deploy", "fraud-production")["spec"]["replicas"] == 2

    team.model(stage("production", replicas=None, autoPromote=True))

    def ours() -> bool:
        entries = json.loads(team.kubectl("get", "deploy", "fraud-production", "-o", "json", "--show-managed-fields"))["metadata"][
            "managedFields"
        ]
        return any(one["manager"] == "modelyard" and "f:replicas" in one["fieldsV1"].get("f:spec", {}) for one in entries)

    team.wait(lambda: not ours(), "the replicas to be handed over")
    assert team.get("deploy", "fraud-production")["spec"]["replicas"] == 2


def test_somebody_elses_object_is_never_taken_over(team: Team) -> None:
    team.kubectl("create", "deployment", "fraud-production", "--image=modelyard:dev", "--replicas=0")
    before = team.get("deploy", "fraud-production")["spec"]
    team.model(stage("production", autoPromote=True))
    team.register("1", team.upload("1", "one"))

    def stalled() -> dict[str, Any]:
        conditions = team.get("mdl", "fraud").get("status", {}).get("conditions", [])
        return next((one for one in conditions if one["type"] == "Stalled"), {})

    team.wait(lambda: bool(stalled()), "the Model to be Stalled")
    assert stalled()["reason"] == "NameTaken"
    assert team.get("deploy", "fraud-production")["spec"] == before
    team.kubectl("delete", "deployment", "fraud-production")
    team.wait_phase("promo", "fraud-1-production", "Succeeded")


def test_a_broken_template_is_named_when_the_model_is_applied_and_mended_by_the_next(team: Team) -> None:
    bad = stage("production", autoPromote=True)
    bad["serving"]["template"]["spec"]["containers"][0]["readinessProbe"] = {"httpGet": {"path": "/", "port": 99999999}}
    team.model(bad)

    def reason() -> tuple[str, str]:
        conditions = team.get("mdl", "fraud").get("status", {}).get("conditions", [])
        ready: dict[str, str] = next((one for one in conditions if one["type"] == "Ready"), {})
        return ready.get("reason", ""), ready.get("message", "")

    team.wait(lambda: reason()[0] == "TemplateInvalid", "the template to be refused")
    assert "readinessProbe.httpGet.port" in reason()[1]
    team.model(stage("production", autoPromote=True))
    team.wait(lambda: reason()[0] == "Ready", "the Model to be Ready")


def test_a_changed_template_rolls_out_the_same_version(team: Team) -> None:
    team.model(stage("production", autoPromote=True))
    team.register("1", team.upload("1", "one"))
    team.wait_phase("promo", "fraud-1-production", "Succeeded")
    changed = stage("production", autoPromote=True)
    changed["serving"]["template"]["spec"]["containers"][0]["env"] = [{"name": "COLOUR", "value": "green"}]

    team.model(changed)

    def colour() -> str:
        path = '{.items[*].spec.containers[0].env[?(@.name=="COLOUR")].value}'
        return team.kubectl("get", "pods", "-l", "modelyard.dev/stage=production", "-o", f"jsonpath={path}")

    team.wait(lambda: colour() == "green", "pods with the new template")
    team.wait(lambda: not team.get("mdl", "fraud")["status"]["stages"][0].get("rollout"), "the rollout to end")
    assert team.served("production") == "one"


def test_killing_the_operator_in_the_middle_of_a_rollout_loses_nothing(team: Team) -> None:
    team.model(stage("production", command=f"sleep 5; exec python3 -m http.server {PORT} --directory $MODELYARD_PATH"))
    team.register("1", team.upload("1", "one"))
    team.promote("1", "production")
    team.wait_phase("promo", "fraud-1-production", "RollingOut")

    team.cluster.kubectl("-n", "modelyard-system", "delete", "pod", "-l", "app.kubernetes.io/name=modelyard", "--grace-period=0", "--force")

    team.wait_phase("promo", "fraud-1-production", "Succeeded")
    assert team.served("production") == "one"


def test_losing_the_registrys_objects_does_not_stop_what_serves_and_they_come_back(team: Team) -> None:
    team.model(stage("production", autoPromote=True))
    team.register("1", team.upload("1", "one"))
    team.wait_phase("promo", "fraud-1-production", "Succeeded")
    uid = "--output=jsonpath={.metadata.uid}"
    model, deployment = team.kubectl("get", "mdl", "fraud", uid), team.kubectl("get", "deploy", "fraud-production", uid)
    pods = team.kubectl("get", "pods", "-o", "name")

    with aside.aside(team.cluster):  # as when etcd loses them: nobody asks the policies
        team.kubectl("delete", "promo,mv,mdl", "--all")
        team.wait(lambda: team.kubectl("get", "mdl", "fraud", uid, "--ignore-not-found") not in {"", model}, "the Model to come back")

    assert team.served("production") == "one"
    assert team.kubectl("get", "deploy", "fraud-production", uid) == deployment
    assert team.kubectl("get", "pods", "-o", "name") == pods


def test_a_changed_secret_is_picked_up_and_no_credential_is_ever_shown(team: Team) -> None:
    team.model(stage("production"))
    declared = team.upload("1", "one")
    wrong = "wrong-and-never-to-be-seen"
    team.kubectl("patch", "secret", "models-s3", "-p", json.dumps({"stringData": {"AWS_SECRET_ACCESS_KEY": wrong}}))
    team.register("1", declared)

    def verified() -> dict[str, Any]:
        conditions = team.get("mv", "fraud-1").get("status", {}).get("conditions", [])
        return next((one for one in conditions if one["type"] == "Verified"), {})

    team.wait(lambda: verified().get("reason") == "StoreForbidden", "the store to refuse")
    assert verified()["status"] == "Unknown"
    shown = team.kubectl("get", "mv,mdl,events", "-o", "yaml")
    logs = team.cluster.kubectl("-n", "modelyard-system", "logs", "-l", "app.kubernetes.io/name=modelyard", "--tail=-1")
    assert wrong not in shown + logs
    assert team.cluster.store.secret_key not in shown + logs

    team.kubectl("patch", "secret", "models-s3", "-p", json.dumps({"stringData": {"AWS_SECRET_ACCESS_KEY": team.cluster.store.secret_key}}))
    team.wait_phase("mv", "fraud-1", "Ready", 180)
