from __future__ import annotations

from typing import Any

from modelyard.edge.cluster import cache, client


def raw(kind: str, name: str, seen: int, **spec: Any) -> dict[str, Any]:
    about = {"name": name, "namespace": "risk", "resourceVersion": str(seen), "uid": name}
    return {"kind": kind, "metadata": about, "spec": spec}


def model(version: int, uri: str = "s3://models/fraud/", **spec: Any) -> dict[str, Any]:
    return raw("Model", "fraud", version, owner={"team": "t"}, storage={"uri": uri}, **spec)


def registered(number: str, version: int) -> dict[str, Any]:
    return raw(
        "ModelVersion", f"fraud-{number}", version, model="fraud", version=number, artifact={"uri": "s3://models/fraud/1", "format": "onnx"}
    )


def test_a_version_concerns_itself_and_its_model() -> None:
    known = cache.Cache()

    keys = known.put(client.MODEL_VERSION, registered("1", 5))

    assert keys == {cache.Key("version", "risk", "fraud-1"), cache.Key("model", "risk", "fraud")}


def test_older_news_than_what_is_known_is_ignored() -> None:
    known = cache.Cache()
    known.put(client.MODEL, model(7, "s3://models/new/"))

    assert known.put(client.MODEL, model(6)) == set()
    assert known.put(client.MODEL, model(7)) == set()
    found = known.model("risk", "fraud")
    assert found is not None
    assert found.spec.storage.uri == "s3://models/new/"


def test_a_model_whose_storage_or_documentation_changed_concerns_all_its_versions_and_another_change_does_not() -> None:
    known = cache.Cache()
    known.put(client.MODEL, model(1))
    known.put(client.MODEL_VERSION, registered("1", 2))

    assert known.put(client.MODEL, model(3, tags={"a": "b"})) == {cache.Key("model", "risk", "fraud")}
    assert cache.Key("version", "risk", "fraud-1") in known.put(client.MODEL, model(4, "s3://models/other/"))
    assert cache.Key("version", "risk", "fraud-1") in known.put(client.MODEL, model(5, "s3://models/other/", riskTier="High"))


def test_a_relist_evicts_ghosts_of_its_scope_only() -> None:
    known = cache.Cache()
    elsewhere = registered("1", 3) | {"metadata": {"name": "fraud-1", "namespace": "other", "resourceVersion": "3"}}
    known.put(client.MODEL_VERSION, elsewhere)
    known.put(client.MODEL_VERSION, registered("1", 1))
    known.put(client.MODEL_VERSION, registered("2", 2))

    listing = known.listing(client.MODEL_VERSION, "risk")
    listing.add(registered("2", 2))
    listing.end()

    assert known.version("risk", "fraud-1") is None
    assert known.version("risk", "fraud-2") is not None
    assert known.version("other", "fraud-1") is not None


def test_what_happens_while_a_list_is_read_is_newer_than_the_list() -> None:
    known = cache.Cache()
    for number in ("1", "2", "3"):
        known.put(client.MODEL_VERSION, registered(number, int(number)))

    listing = known.listing(client.MODEL_VERSION)
    known.put(client.MODEL_VERSION, registered("4", 11))  # came after the list was made
    known.put(client.MODEL_VERSION, registered("3", 12))  # was gone when the list was made, and came back
    known.drop(client.MODEL_VERSION, "risk", "fraud-2")  # went after the list was made
    listing.add(registered("1", 1))
    listing.add(registered("2", 2))
    listing.end()

    assert [number for number in "1234" if known.version("risk", f"fraud-{number}")] == ["1", "3", "4"]


def test_what_cannot_be_read_is_there_and_hurts_no_other_model() -> None:
    known = cache.Cache()
    known.put(client.MODEL, model(1))

    assert known.put(client.MODEL, raw("Model", "broken", 1, owner="nobody")) == {cache.Key("model", "risk", "broken")}
    assert known.model("risk", "broken") is None
    [one] = known.unread("risk", "broken")
    assert one.wrong.startswith("spec.owner (")
    assert known.unread("risk", "fraud") == ()
    assert known.keys("model") == {cache.Key("model", "risk", "broken"), cache.Key("model", "risk", "fraud")}


def test_what_cannot_be_read_any_more_is_not_used_as_it_was_and_its_resource_version_is_known() -> None:
    known = cache.Cache()
    known.put(client.MODEL, model(1))
    known.put(client.MODEL_VERSION, registered("1", 2))
    broken = registered("1", 3) | {"spec": {"model": 7}}

    assert known.put(client.MODEL_VERSION, broken) == {cache.Key("model", "risk", "fraud")}
    assert known.version("risk", "fraud-1") is None
    assert known.at("ModelVersion", "risk", "fraud-1") == 3
    assert [one.name for one in known.world("risk", "fraud").unread] == ["fraud-1"]

    known.put(client.MODEL_VERSION, registered("1", 4))
    assert known.version("risk", "fraud-1") is not None
    assert known.unread("risk", "fraud") == ()
    known.put(client.MODEL_VERSION, broken | {"metadata": broken["metadata"] | {"resourceVersion": "5"}})
    known.drop(client.MODEL_VERSION, "risk", "fraud-1")
    assert known.unread("risk", "fraud") == ()


def test_a_pod_says_what_keeps_it_from_serving() -> None:
    known = cache.Cache()
    known.put(client.MODEL, model(1))
    labels = {"modelyard.dev/model": "fraud", "modelyard.dev/stage": "staging", "modelyard.dev/version": "1"}
    failed = {"name": "modelyard-fetch", "state": {"terminated": {"exitCode": 1, "message": "starting\nthe digest differs"}}}
    pod = raw("Pod", "fraud-staging-x", 2) | {"status": {"initContainerStatuses": [failed]}}
    pod["metadata"]["labels"] = labels

    known.put(client.POD, pod)

    [seen] = known.world("risk", "fraud").pods
    assert (seen.stage, seen.version, seen.trouble) == ("staging", "1", "container modelyard-fetch exited with 1: the digest differs")


def test_what_serves_without_a_model_is_counted_as_orphaned() -> None:
    labels = {"app.kubernetes.io/managed-by": "modelyard", "modelyard.dev/model": "fraud", "modelyard.dev/stage": "production"}
    known = cache.Cache()
    for kind, version in ((client.DEPLOYMENT, 5), (client.SERVICE, 6)):
        obj = raw(kind.name, "fraud-production", version)
        obj["metadata"]["labels"] = labels
        known.put(kind, obj)

    assert known.counts()["Deployment"] == {"Orphaned": 1}
    seen = known.world("risk", "fraud")
    assert (set(seen.deployments), seen.services) == ({"production"}, frozenset({"production"}))
    known.put(client.MODEL, model(7))
    assert "Deployment" not in known.counts()


def test_a_status_of_another_release_is_made_anew_and_its_object_is_not_taken_for_gone() -> None:
    known = cache.Cache()
    recorded = {"generation": 3, "spec": "sha256:1"}

    keys = known.put(client.MODEL_VERSION, registered("1", 5) | {"status": {"phase": "OfTomorrow", "recorded": recorded}})

    assert cache.Key("version", "risk", "fraud-1") in keys
    found = known.version("risk", "fraud-1")
    assert found is not None
    assert (found.status.phase, found.status.recorded and found.status.recorded.generation) == (None, 3)
    assert known.unread("risk", "fraud") == ()


def asked(model: str, version: int) -> dict[str, Any]:
    return raw("Promotion", "p", version, model=model, version="1", stage="production")


def test_what_was_made_anew_for_another_model_is_the_first_ones_no_more_though_nobody_told_that_it_was_gone() -> None:
    """As a relist finds it; what was asked for one model would otherwise be granted for ever."""
    known = cache.Cache()
    known.put(client.PROMOTION, asked("fraud", 1))

    keys = known.put(client.PROMOTION, asked("churn", 2))

    assert keys == {cache.Key("model", "risk", "fraud"), cache.Key("model", "risk", "churn")}
    assert known.world("risk", "fraud").promotions == ()
    assert [one.spec.model for one in known.world("risk", "churn").promotions] == ["churn"]
