"""The CRDs at a real API server: what it refuses and says, what it lets pass, and that it keeps what it took."""

from __future__ import annotations

import contextlib
import copy
import json
import pathlib
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

import hypothesis
import kubernetes
import pytest
import yaml
from hypothesis import strategies as st

from modelyard.api.openapi import crd
from tests.cluster.access import aside
from tests.unit.api import objects

ROOT: Final = pathlib.Path(__file__).resolve().parents[2]
SAMPLES: Final = ROOT / "crds" / "samples"
PLURALS: Final = {kind.name: kind.plural for kind in crd.KINDS}


def table(name: str) -> list[dict[str, Any]]:
    """The rows of a table beside this file."""
    rows: list[dict[str, Any]] = yaml.safe_load((pathlib.Path(__file__).parent / "crds" / name).read_text())
    return rows


REFUSED: Final = table("refused.yaml")
UPDATES: Final = table("updates.yaml")


def named(row: Mapping[str, Any]) -> str:
    """A row's sentence is its test's name."""
    return str(row["it"])


def sample(name: str) -> dict[str, Any]:
    """The first object of a sample."""
    document: dict[str, Any] = next(iter(yaml.safe_load_all((SAMPLES / f"{name}.yaml").read_text())))
    return document


def changed(document: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with the values at these JSON pointers; None takes away, an index behind a list's end adds to it."""
    result = copy.deepcopy(dict(document))
    for pointer, value in values.items():
        *way, last = (part.replace("~1", "/") for part in pointer.removeprefix("/").split("/"))
        place: Any = result
        for part in way:
            place = place[int(part) if isinstance(place, list) else part]
        if isinstance(place, list):
            place[int(last) : int(last) + 1] = [] if value is None else [value]
        elif value is None:
            del place[last]
        else:
            place[last] = value
    return result


class Cluster(Protocol):
    """What these tests need of the fixture `cluster`."""

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002 - the fixture's word
        """Standard output of kubectl as the admin."""


class Api:
    """One namespace of the API server, over one connection: a process of kubectl for each of hundreds of objects would take minutes."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        view = json.loads(cluster.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
        client = kubernetes.config.new_client_from_config_dict(view)  # type: ignore[no-untyped-call]  # typed in part
        client.configuration.proxy = None
        self.objects: Any = kubernetes.client.CustomObjectsApi(client)  # its answers are `object`
        self.namespace = namespace

    def place(self, document: Mapping[str, Any]) -> tuple[str, str, str, str]:
        """Where objects of this one's kind live."""
        group, version = document["apiVersion"].split("/")
        return group, version, self.namespace, PLURALS[document["kind"]]

    def create(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """As strict as kubectl: an unknown field is an error."""
        created: dict[str, Any] = self.objects.create_namespaced_custom_object(*self.place(document), document, field_validation="Strict")
        return created

    def replace(self, document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change what is there now; again where somebody else, an operator in this cluster, wrote in between."""
        for _ in range(20):
            wanted = changed(self.read(document), changes)
            try:
                put: dict[str, Any] = self.objects.replace_namespaced_custom_object(
                    *self.place(document), document["metadata"]["name"], wanted, field_validation="Strict"
                )
            except kubernetes.client.ApiException as error:
                if error.status != 409:
                    raise
            else:
                return put
        raise AssertionError("twenty times somebody else was faster")

    def read(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """What the API server has now."""
        read: dict[str, Any] = self.objects.get_namespaced_custom_object(*self.place(document), document["metadata"]["name"])
        return read

    def patch_status(self, document: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
        """Write a status, and get the table that `kubectl get` prints."""
        table: dict[str, Any] = self.objects.patch_namespaced_custom_object_status(
            *self.place(document),
            document["metadata"]["name"],
            {"status": status},
            _content_type="application/merge-patch+json",
            _headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"},
        )
        return table

    @contextlib.contextmanager
    def kept(self, document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Create it, and delete it in the end."""
        created = self.create(document)
        try:
            yield created
        finally:
            self.objects.delete_namespaced_custom_object(*self.place(document), document["metadata"]["name"])


@pytest.fixture(scope="module")
def installed(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with this tree's CRDs, and without policies (test_access is about those) or an operator, which would restore what is deleted here."""
    files = [argument for kind in crd.KINDS for argument in ("-f", str(ROOT / "crds" / f"{kind.singular}.yaml"))]
    # In Helm's name: the chart has the same kinds, and its next upgrade would find somebody else's fields.
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=helm", *files)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *files)
    with aside.resting(cluster), aside.aside(cluster):
        yield cluster


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    """One for all of this file: each test takes away what it made."""
    name = f"crds-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def api(installed: Cluster, namespace: str) -> Api:
    """The namespace of this test."""
    return Api(installed, namespace)


def refusal(error: pytest.ExceptionInfo[kubernetes.client.ApiException]) -> str:
    """What a person reads."""
    return str(json.loads(error.value.body or "")["message"])


def test_every_sample_is_accepted_and_unchanged(api: Api) -> None:
    """All of crds/samples, each as kubectl would create it."""
    for path in sorted(SAMPLES.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            with api.kept(document) as created:
                assert created["spec"] == document["spec"], path.name
                assert created["status"] == {"observedGeneration": -1}, path.name


def test_the_tables_are_large_enough() -> None:
    """Sixty bad manifests at least, each of another name."""
    assert len(REFUSED) >= 60
    assert len({row["it"] for row in REFUSED + UPDATES}) == len(REFUSED + UPDATES)


@pytest.mark.parametrize("row", REFUSED, ids=named)
def test_refused(api: Api, row: Mapping[str, Any]) -> None:
    """The message names the field and the remedy."""
    with pytest.raises(kubernetes.client.ApiException) as error:
        api.create(changed(sample(row["sample"]), row["set"]))

    message = refusal(error)
    assert [said for said in row["says"] if said not in message] == [], message


@pytest.mark.parametrize("row", UPDATES, ids=named)
def test_update(api: Api, row: Mapping[str, Any]) -> None:
    """What is immutable stays, and what may change can."""
    with api.kept(changed(sample(row["sample"]), row.get("first", {}))) as created:
        if "says" not in row:
            assert api.replace(created, row["set"])["spec"] == changed(created, row["set"])["spec"]
            return
        with pytest.raises(kubernetes.client.ApiException) as error:
            api.replace(created, row["set"])

        message = refusal(error)
        assert [said for said in row["says"] if said not in message] == [], message
        assert api.read(created)["spec"] == created["spec"]


def test_the_largest_models_fit_the_budget_of_cel(api: Api) -> None:
    """Sixteen stages, each after all behind it, with every list as long as it may be; and an update of it."""
    with api.kept(objects.largest_model()) as created:
        assert api.replace(created, {"/spec/description": "again"})["spec"]["description"] == "again"


def test_the_largest_version_fits_the_budget_of_cel(api: Api) -> None:
    """Every list, map and text as long as it may be; and an update of it."""
    with api.kept(objects.largest_version()) as created:
        assert api.replace(created, {"/spec/description": "again"})["spec"]["description"] == "again"


def test_the_largest_promotion_fits_the_budget_of_cel(api: Api) -> None:
    """As many approvals as there may be; and an update of it."""
    with api.kept(objects.largest_promotion()) as created:
        assert api.replace(created, {"/spec/paused": True})["spec"]["paused"] is True


@pytest.mark.parametrize("kind", ["Model", "ModelVersion", "Promotion"])
def test_good_ones_are_accepted_and_unchanged(api: Api, kind: str) -> None:
    """What the manuals allow is taken, and read back as it was written: the API server puts nothing in."""

    @hypothesis.settings(max_examples=60, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(st.data())
    def holds(data: st.DataObject) -> None:
        document = data.draw(objects.KINDS[kind])
        with api.kept(document) as created:
            assert created["spec"] == document["spec"]
            assert api.read(document)["spec"] == document["spec"]
            assert api.replace(created, {})["spec"] == document["spec"]

    holds()


def test_selectable_fields(api: Api, installed: Cluster) -> None:
    """`kubectl get --field-selector` finds the versions of a model."""
    with api.kept(sample("modelversion-full")), api.kept(sample("modelversion-minimal")):
        found = installed.kubectl("get", "mv", "-n", api.namespace, "--field-selector", "spec.model=credit", "-o", "name")

    assert found.split() == ["modelversion.modelyard.dev/credit-1.5.0-rc.1"]


def test_every_field_is_explained(installed: Cluster) -> None:
    """`kubectl explain` has a text for each field of each kind."""
    for kind in crd.KINDS:
        for short in ("spec", "status"):
            said = installed.kubectl("explain", f"{kind.plural}.{short}", "--recursive=false")
            assert "<no description>" not in said


def test_columns(api: Api) -> None:
    """What `kubectl get` prints, from the answer to the write itself: an operator in this cluster may write the next moment."""
    claims = [{"name": name, "state": "Serving", "since": "2026-10-03T14:00:02Z"} for name in ("staging", "production")]
    with api.kept(sample("modelversion-full")) as created:
        table = api.patch_status(created, {"observedGeneration": 1, "phase": "Ready", "stages": claims})

    cells = dict(zip((column["name"] for column in table["columnDefinitions"]), table["rows"][0]["cells"], strict=True))
    shown = [column["name"] for column in table["columnDefinitions"] if not column["priority"]]
    assert shown == ["Name", "Model", "Version", "Phase", "Reason", "Format", "Files", "Bytes", "Production", "Age"]
    assert [cells[name] for name in ("Model", "Version", "Phase", "Format", "Production")] == [
        "credit",
        "1.5.0-rc.1",
        "Ready",
        "onnx",
        "Serving",
    ]
    assert json.loads(cells["Stages"]) == claims
