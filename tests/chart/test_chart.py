"""The chart as Helm renders it: valid, hardened, and no wider than what the operator's code calls."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from kubernetes.aio.client import models

from modelyard import settings
from tests.chart.rendering import CHART, NAMESPACE, Render, of_kind

KINDS = ("models.modelyard.dev", "modelversions.modelyard.dev", "promotions.modelyard.dev")
FULL = {
    "replicas": 2,
    "image": {"repository": "registry.example.com/modelyard", "tag": "1.2.3", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "pull"}],
    "bucket": {
        "uri": "s3://records/modelyard/",
        "endpoint": "https://objects.example.com",
        "region": "eu-central-1",
        "existingSecret": "bucket",
        "caConfigMap": "corp-ca",
    },
    "ledger": {"registry": "west", "keySecret": "ledger", "checkpoints": "1m", "retention": "8760h", "retentionMode": "COMPLIANCE"},
    "endpoints": ["https://objects.example.com", "http://store.modelyard-system.svc:7070"],
    "verification": {"patience": "5m", "recheck": "15s", "rehash": "24h", "objectsAtOnce": 8, "versionsAtOnce": 2},
    "resync": "1m",
    "logLevel": "DEBUG",
    "serviceAccount": {"name": "yard", "annotations": {"example.com/role": "yard"}},
    "metrics": {"service": {"port": 9090, "annotations": {"prometheus.io/scrape": "true"}}},
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "infra", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": []}]}}},
    "podAnnotations": {"example.com/team": "platform"},
    "podLabels": {"example.com/tier": "control"},
}
NAMESPACED = {"watchNamespaces": ["risk", "marketing"]}
ALLOWED = {
    ("modelyard.dev", "models"): "alias create govern list promote register watch",
    ("modelyard.dev", "modelversions"): "create list watch",
    ("modelyard.dev", "promotions"): "create list watch",
    ("modelyard.dev", "models/status"): "patch",
    ("modelyard.dev", "modelversions/status"): "patch",
    ("modelyard.dev", "promotions/status"): "patch",
    ("apps", "deployments"): "create delete get list patch watch",
    ("", "services"): "create delete get list patch watch",
    ("", "configmaps"): "create delete get list patch watch",
    ("", "pods"): "list watch",
    ("", "secrets"): "get",
    ("", "events"): "create",
    ("", "namespaces"): "get",
}
"""Exactly what the operator may do where it watches; a verb more or less is a decision to be made here first."""
LEADER = [
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["modelyard"], "verbs": ["get", "update"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["modelyard-ledger-key"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "create", "patch"]},
]
"""And what it may do in the release's namespace."""


def deployment(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """The pod template's spec of the one Deployment."""
    (one,) = of_kind(objects, "Deployment")
    spec: dict[str, Any] = one["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("values", [{}, FULL, NAMESPACED], ids=["nothing set", "everything set", "some namespaces"])
def test_helm_lint_has_nothing_to_say(render: Render, values: Mapping[str, Any]) -> None:
    done = render.run("lint", "--strict", str(CHART), "--values", "-", values=values)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", [{}, FULL, NAMESPACED], ids=["nothing set", "everything set", "some namespaces"])
def test_every_object_has_only_fields_that_kubernetes_knows(render: Render, values: Mapping[str, Any]) -> None:
    objects = render(values)

    for one in objects:
        if one["kind"] != "CustomResourceDefinition":  # the API server judges these, in tests/cluster
            getattr(models, f"V1{one['kind']}").model_validate(one)
    names = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects]
    assert sorted(names) == sorted(set(names))


def test_the_operator_runs_hardened(render: Render) -> None:
    pod = deployment(render())
    (container,) = pod["containers"]

    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert [volume for volume in pod["volumes"] if "emptyDir" not in volume] == []
    assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert container["resources"]["limits"]["memory"]
    assert container["resources"]["requests"].keys() >= {"cpu", "memory"}


def test_the_next_operator_stands_by_before_the_last_one_goes_and_both_are_probed(render: Render) -> None:
    (one,) = of_kind(render(), "Deployment")
    (container,) = one["spec"]["template"]["spec"]["containers"]

    assert one["spec"]["replicas"] == 1
    assert one["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert container["args"] == ["operator"]
    assert container["ports"] == [{"name": "http", "containerPort": settings.Settings.model_fields["listen"].default, "protocol": "TCP"}]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}


def test_several_replicas_are_not_all_evicted_at_once(render: Render) -> None:
    objects = render({"replicas": 3})
    (one,) = of_kind(objects, "Deployment")
    (budget,) = of_kind(objects, "PodDisruptionBudget")

    assert one["spec"]["replicas"] == 3
    assert budget["spec"] == {"maxUnavailable": 1, "selector": one["spec"]["selector"]}
    assert of_kind(render(), "PodDisruptionBudget") == []  # it would keep a node with the only replica from being drained


@pytest.mark.parametrize("values", [{}, FULL], ids=["nothing set", "everything set"])
def test_rbac_is_exactly_what_the_code_calls(render: Render, values: Mapping[str, Any]) -> None:
    objects = render(values)
    (role,) = (one for one in of_kind(objects, "ClusterRole") if one["metadata"]["name"] == "modelyard")
    (binding,) = (one for one in of_kind(objects, "ClusterRoleBinding") if one["metadata"]["name"] == "modelyard")
    (account,) = of_kind(objects, "ServiceAccount")

    assert granted(role) == ALLOWED
    assert [one["metadata"]["namespace"] for one in of_kind(objects, "Role", "RoleBinding")] == [NAMESPACE, NAMESPACE]
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role["metadata"]["name"]}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account["metadata"]["name"], "namespace": NAMESPACE}]
    assert deployment(objects)["serviceAccountName"] == account["metadata"]["name"]


def test_with_namespaces_it_may_do_the_same_there_and_nothing_anywhere_else(render: Render) -> None:
    objects = render(NAMESPACED)
    roles, bindings = (
        [one for one in of_kind(objects, kind) if one["metadata"]["name"] == "modelyard"] for kind in ("Role", "RoleBinding")
    )

    assert [one["metadata"]["name"] for one in of_kind(objects, "ClusterRoleBinding")] == ["modelyard-identity"]
    assert "modelyard" not in {role["metadata"]["name"] for role in of_kind(objects, "ClusterRole")}
    assert [role["metadata"]["namespace"] for role in roles] == ["risk", "marketing"]
    assert [granted(role) for role in roles] == [ALLOWED, ALLOWED]
    for role, binding in zip(roles, bindings, strict=True):
        assert binding["metadata"]["namespace"] == role["metadata"]["namespace"]
        assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role["metadata"]["name"]}
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "modelyard", "namespace": NAMESPACE}]


@pytest.mark.parametrize("values", [{}, NAMESPACED], ids=["every namespace", "some namespaces"])
def test_of_the_whole_cluster_it_may_know_which_one_it_is(render: Render, values: Mapping[str, Any]) -> None:
    (role,) = (one for one in of_kind(render(values), "ClusterRole") if one["metadata"]["name"] == "modelyard-identity")

    kinds = [f"{one}.modelyard.dev" for one in ("models", "modelversions", "promotions")]
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
        {"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "resourceNames": kinds, "verbs": ["get"]},
    ]


@pytest.mark.parametrize("values", [{}, {"watchNamespaces": [NAMESPACE]}], ids=["every namespace", "its own namespace"])
def test_in_its_own_namespace_it_may_keep_the_one_lease_that_it_is_told_to_use(render: Render, values: Mapping[str, Any]) -> None:
    objects = render(values)
    role, binding = (one for one in of_kind(objects, "Role", "RoleBinding") if one["metadata"]["name"] == "modelyard-leader")
    (container,) = deployment(objects)["containers"]

    assert role["rules"] == LEADER
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "modelyard-leader"}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "modelyard", "namespace": NAMESPACE}]
    assert {"name": "MODELYARD_LEASE", "value": "modelyard"} in container["env"]


def test_secrets_can_be_named(render: Render) -> None:
    for values in ({}, NAMESPACED):
        rules = {
            name: [
                rule
                for role in of_kind(render({**values, "rbac": {"secretNames": named}}), "Role", "ClusterRole")
                if role["metadata"]["name"] != "modelyard-leader"  # its own key, in its own namespace
                for rule in role["rules"]
            ]
            for name, named in (("any", []), ("some", ["models-s3", "corp.s3"]))
        }
        secrets = {name: [rule for rule in each if "secrets" in rule["resources"]] for name, each in rules.items()}

        assert secrets["any"] == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}] * max(1, len(secrets["any"]))
        assert {tuple(rule["resourceNames"]) for rule in secrets["some"]} == {("models-s3", "corp.s3")}


def test_only_the_release_s_namespace_and_whom_one_names_reach_the_operator(render: Render) -> None:
    prometheus = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    egress = [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]

    (policy,) = of_kind(render(), "NetworkPolicy")
    (named,) = of_kind(render({"networkPolicy": {"metricsFrom": [prometheus], "egress": egress}}), "NetworkPolicy")
    (one,) = of_kind(render(), "Deployment")

    assert policy["spec"]["podSelector"]["matchLabels"] == one["spec"]["selector"]["matchLabels"]
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert policy["spec"]["ingress"] == [{"from": [{"podSelector": {}}], "ports": [{"port": "http", "protocol": "TCP"}]}]
    assert named["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert named["spec"]["ingress"][0]["from"] == [{"podSelector": {}}, prometheus]
    assert named["spec"]["egress"] == egress
    assert of_kind(render({"networkPolicy": {"enabled": False}}), "NetworkPolicy") == []


def granted(role: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """A role as (group, resource) → verbs, sorted; a resource may stand in one rule only."""
    rows = [
        ((group, resource), " ".join(sorted(rule["verbs"])))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    ]
    assert len(rows) == len(dict(rows))
    return dict(rows)


def test_the_kinds_are_installed_and_kept(render: Render) -> None:
    kinds = of_kind(render(), "CustomResourceDefinition")

    assert sorted(kind["metadata"]["name"] for kind in kinds) == sorted(KINDS)
    assert {kind["metadata"].get("annotations", {}).get("helm.sh/resource-policy") for kind in kinds} == {"keep"}


def test_the_kinds_are_those_of_the_repository(render: Render) -> None:
    source = CHART.parents[1] / "crds"
    written = {kind["metadata"]["name"]: kind["spec"] for path in source.glob("*.yaml") for kind in yaml.safe_load_all(path.read_text())}

    assert {kind["metadata"]["name"]: kind["spec"] for kind in of_kind(render(), "CustomResourceDefinition")} == written


def test_the_kinds_can_be_left_out_or_go_with_the_release(render: Render) -> None:
    assert of_kind(render({"crds": {"install": False}}), "CustomResourceDefinition") == []
    for kind in of_kind(render({"crds": {"keep": False}}), "CustomResourceDefinition"):
        assert "helm.sh/resource-policy" not in kind["metadata"].get("annotations", {})


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Reads settings as a pod with these variables would."""
    return Environment(monkeypatch)


class Environment:
    """A process environment that holds what a container's `env` says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def read(self, variables: list[dict[str, Any]], **references: str) -> settings.Settings:
        """The settings; `references` are the values of what is not written out, by variable."""
        for variable in variables:
            self.monkeypatch.setenv(variable["name"], variable["value"] if "value" in variable else references[variable["name"]])
        return settings.Settings()


def test_values_become_the_settings_of_the_operator(render: Render, environment: Environment) -> None:
    (container,) = deployment(render({**FULL, **NAMESPACED}))["containers"]
    sources = {variable["name"]: variable["valueFrom"] for variable in container["env"] if "valueFrom" in variable}

    seen = environment.read(container["env"], **dict.fromkeys(sources, "from-elsewhere"))

    assert sources == {
        "MODELYARD_OPERATOR_NAMESPACE": {"fieldRef": {"fieldPath": "metadata.namespace"}},
        "MODELYARD_BUCKET__ACCESS_KEY": {"secretKeyRef": {"name": "bucket", "key": "AWS_ACCESS_KEY_ID"}},
        "MODELYARD_BUCKET__SECRET_KEY": {"secretKeyRef": {"name": "bucket", "key": "AWS_SECRET_ACCESS_KEY"}},
    }
    assert seen.model_dump(mode="json") == {
        "namespaces": ["risk", "marketing"],
        "operator_namespace": "from-elsewhere",
        "lease": "modelyard",
        "policies": "modelyard",
        "serving_guard": True,
        "bucket": {
            "uri": "s3://records/modelyard/",
            "endpoint": "https://objects.example.com",
            "region": "eu-central-1",
            "access_key": "**********",
            "secret_key": "**********",
            "ca_file": "/etc/modelyard-bucket-ca/ca.crt",
        },
        "ledger": {
            "registry": "west",
            "key_file": None,
            "key_secret": "ledger",
            "checkpoints": "1m",
            "retention": "8760h",
            "retention_mode": "COMPLIANCE",
        },
        "verification": {"patience": "5m", "recheck": "15s", "rehash": "24h", "objects_at_once": 8, "versions_at_once": 2},
        "endpoints": ["https://objects.example.com", "http://store.modelyard-system.svc:7070"],
        "fetch_image": "registry.example.com/modelyard:1.2.3",
        "resync": "1m",
        "listen": 8080,
        "log_level": "DEBUG",
    }


def test_the_chart_s_defaults_are_the_operator_s(render: Render, environment: Environment) -> None:
    (container,) = deployment(render())["containers"]

    seen = environment.read(container["env"], MODELYARD_OPERATOR_NAMESPACE=NAMESPACE)

    assert seen.model_copy(update={"fetch_image": ""}) == settings.Settings.model_construct()


@pytest.mark.parametrize(
    ("policies", "prefix", "guard"),
    [
        ({}, "acme-modelyard", True),
        ({"servingGuard": {"enabled": False}}, "acme-modelyard", False),
        ({"install": False}, "modelyard", True),
    ],
    ids=["the chart's", "without the guard", "plain manifests"],
)
def test_the_operator_knows_which_policies_there_are(
    render: Render, environment: Environment, policies: dict[str, Any], prefix: str, guard: bool
) -> None:
    (container,) = deployment(render({"policies": policies}, release="acme"))["containers"]

    seen = environment.read(container["env"], MODELYARD_OPERATOR_NAMESPACE=NAMESPACE)

    assert (seen.policies, seen.serving_guard) == (prefix, guard)


def test_every_variable_is_one_that_the_operator_reads(render: Render) -> None:
    (container,) = deployment(render({**FULL, **NAMESPACED}))["containers"]
    known = {f"MODELYARD_{field.upper()}" for field in settings.Settings.model_fields}
    known |= {f"MODELYARD_BUCKET__{field.upper()}" for field in settings.Bucket.model_fields}
    known |= {f"MODELYARD_LEDGER__{field.upper()}" for field in settings.Ledger.model_fields}
    known |= {f"MODELYARD_VERIFICATION__{field.upper()}" for field in settings.Verification.model_fields}

    assert {variable["name"] for variable in container["env"]} - known == set()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"bucket": {"url": "s3://x/"}}, "url"),
        ({"bucket": {"uri": "s3://modelyard"}}, "/bucket/uri"),
        ({"verification": {"recheck": "15 seconds"}}, "/verification/recheck"),
        ({"ledger": {"retentionMode": "FOREVER"}}, "/ledger/retentionMode"),
        ({"endpoints": ["store:7070"]}, "/endpoints/0"),
        ({"watchNamespaces": "risk"}, "/watchNamespaces"),
        ({"logLevel": "chatty"}, "/logLevel"),
        ({"replicas": "two"}, "/replicas"),
        ({"policies": {"actions": ["Deny", "Warn"]}}, "/policies/actions"),
        ({"policies": {"servingGuard": {"allow": ["it's me"]}}}, "/policies/servingGuard/allow/0"),
        ({"bucket": {"uri": "s3://modelyard/it's/"}}, "/bucket/uri"),
        ({"rbac": {"secretNames": ["Models S3"]}}, "/rbac/secretNames/0"),
    ],
    ids=[
        "a misspelt value",
        "a bucket without its slash",
        "no duration",
        "no mode",
        "no URL",
        "no list",
        "no level",
        "no number",
        "two ways to say no",
        "no username",
        "a bucket that no policy could name",
        "no Secret's name",
    ],
)
def test_a_wrong_value_is_refused_and_named(render: Render, values: Mapping[str, Any], named: str) -> None:
    done = render.run("template", "modelyard", str(CHART), "--values", "-", values=values)

    assert done.returncode != 0
    assert named in done.stderr


def test_two_releases_of_other_names_do_not_collide(render: Render) -> None:
    def names(release: str) -> set[tuple[str, str]]:
        objects = render({"crds": {"install": False}}, release)
        return {(one["kind"], one["metadata"]["name"]) for one in objects}

    assert names("modelyard") & names("second") == set()
    assert all("modelyard" in name for _, name in names("second"))


def test_the_readme_names_every_value() -> None:
    readme = (CHART / "README.md").read_text()
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    assert [value for value in values if f"`{value}" not in readme] == []


def test_the_chart_takes_what_the_readme_installs_it_with(render: Render) -> None:
    readme = (CHART.parents[1] / "README.md").read_text()
    command = next(line for line in readme.replace("\\\n", " ").splitlines() if line.startswith("$ helm install "))
    _, _, verb, release, chart, *options = shlex.split(command)
    assert (verb, release, chart) == ("install", "modelyard", "charts/modelyard")

    done = render.run("template", release, str(CHART), *(word for word in options if word != "--wait"))

    assert done.returncode == 0, done.stderr
    [deployment] = [obj for obj in yaml.safe_load_all(done.stdout) if obj and obj["kind"] == "Deployment"]
    environment = {entry["name"]: entry.get("value") for entry in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert environment["MODELYARD_BUCKET__ENDPOINT"] == "https://objects.example.com"
    assert environment["MODELYARD_ENDPOINTS"] == "https://objects.example.com"
