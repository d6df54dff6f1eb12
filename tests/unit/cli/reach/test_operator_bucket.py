"""The operator's own bucket is found and reached in one way, by every verb, and what is missing is said with its name."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Iterator

import pytest

from modelyard.cli.reach import operator_bucket
from modelyard.cli.terminal import exits
from tests.fakes import apiserver, chronicle
from tests.fakes.s3 import S3
from tests.unit.cli import typed

DEPLOYMENTS = "/apis/apps/v1/namespaces/modelyard-system/deployments"
DEPLOYED = {
    "MODELYARD_BUCKET__URI": "s3://deployed/",
    "MODELYARD_BUCKET__ENDPOINT": "http://store.svc:7070",
    "MODELYARD_BUCKET__REGION": "eu-central-1",
    "MODELYARD_LEDGER__REGISTRY": "blue",
    "MODELYARD_LEDGER__RETENTION": "720h",
}


@pytest.fixture
def operator(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, person: typed.Person) -> Iterator[None]:
    """A cluster with an operator, whose settings can be read but for its keys."""
    del person
    env: list[object] = [{"name": name, "value": value} for name, value in DEPLOYED.items()]
    env.append({"name": "MODELYARD_BUCKET__ACCESS_KEY", "valueFrom": {"secretKeyRef": {}}})
    deployment = {"spec": {"template": {"spec": {"containers": [{"env": env}]}}}}
    with apiserver.run(tmp_path, {DEPLOYMENTS: [deployment]}) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        yield


def found(uri: str | None = None, registry: str | None = None, endpoint: str | None = None) -> tuple[str, str | None, str | None, str]:
    where = operator_bucket.find(None, uri, registry, endpoint, None)
    return str(where.place), where.address.endpoint, where.address.region, where.registry


@pytest.mark.usefixtures("operator")
def test_what_nobody_says_the_operators_deployment_does() -> None:
    assert found() == ("s3://deployed/", "http://store.svc:7070", "eu-central-1", "blue")
    assert operator_bucket.find(None, None, None, None, None).retain == ("GOVERNANCE", datetime.timedelta(days=30))


@pytest.mark.usefixtures("operator")
def test_the_environment_goes_over_the_deployment_and_what_is_typed_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:1")
    assert found()[:2] == ("s3://deployed/", "http://localhost:1")
    for name, value in (("URI", "s3://mine/"), ("ENDPOINT", "http://localhost:2"), ("REGION", "here")):
        monkeypatch.setenv(f"MODELYARD_BUCKET__{name}", value)
    assert found() == ("s3://mine/", "http://localhost:2", "here", "main")
    assert found("s3://typed/", "green", "http://localhost:3") == ("s3://typed/", "http://localhost:3", "here", "green")


@pytest.mark.parametrize("own_keys", [True, False])
def test_the_bucket_may_have_keys_of_its_own(
    person: typed.Person, s3: S3, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, *, own_keys: bool
) -> None:
    monkeypatch.setenv("MODELYARD_BUCKET__URI", "s3://own/")
    monkeypatch.setenv("MODELYARD_BUCKET__ENDPOINT", s3.endpoint)
    if own_keys:
        monkeypatch.setenv("MODELYARD_BUCKET__ACCESS_KEY", "OWNKEY")
        monkeypatch.setenv("MODELYARD_BUCKET__SECRET_KEY", "own-secret")
    for key, data in dict(chronicle._files(chronicle.credit())).items():
        s3.put(f"own/{key}", data)
    model = {**apiserver.model(lifecycle="Retired"), "metadata": {"name": "credit"}}
    with apiserver.run(tmp_path, apiserver.registry(model)) as config:
        monkeypatch.setenv("KUBECONFIG", str(config))
        ended = [person.types("gc", "credit"), person.types("history", "credit", "-n", "risk")]

    assert [one.code for one in ended] == [0, 0], ended
    used = {"OWNKEY" if "Credential=OWNKEY/" in one else "AWS" for one in s3.requests if "/own/" in one}
    assert used == ({"OWNKEY"} if own_keys else {"AWS"})


@pytest.mark.parametrize(
    ("words", "more", "code", "said"),
    [
        (("gc",), {}, 1, "--bucket s3://NAME/ (or MODELYARD_BUCKET__URI)"),
        (("history", "credit"), {}, 1, "--bucket s3://NAME/ (or MODELYARD_BUCKET__URI)"),
        (("gc", "--bucket", "own"), {}, 2, "'own' is no folder in a bucket: name the operator's own bucket like s3://modelyard/"),
        (("gc",), {"URI": "s3://own/x"}, 2, "'s3://own/x' is no folder in a bucket"),
        (
            ("gc",),
            {"URI": "s3://own/", "ACCESS_KEY": "k"},
            2,
            "MODELYARD_BUCKET__ACCESS_KEY is set and MODELYARD_BUCKET__SECRET_KEY is not",
        ),
        (("gc",), {"URI": "s3://own/", "CA_FILE": "/no/such"}, 2, "/no/such: cannot be read"),
        (("gc",), {"URI": "s3://own/", "ENDPOINT": "own:1"}, 2, "the endpoint: give an http or https URL"),
    ],
)
def test_what_is_missing_is_named(
    person: typed.Person, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], more: dict[str, str], code: int, said: str
) -> None:
    for name, value in more.items():
        monkeypatch.setenv(f"MODELYARD_BUCKET__{name}", value)

    ended = person.types(*words)

    assert ended.code == code
    assert said in ended.said


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ((), "the credentials are missing: set MODELYARD_BUCKET__ACCESS_KEY and MODELYARD_BUCKET__SECRET_KEY"),
        (
            ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
            "the credentials are those of AWS_ACCESS_KEY_ID in the environment: set MODELYARD_",
        ),
        (("MODELYARD_BUCKET__ACCESS_KEY", "MODELYARD_BUCKET__SECRET_KEY"), "the credentials are those of MODELYARD_BUCKET__ACCESS_KEY"),
    ],
)
def test_whose_keys_were_refused_is_said(
    person: typed.Person, s3: S3, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...], said: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in keys:
        monkeypatch.setenv(name, "some-key")
    s3.fault = lambda handler, _: handler.error(403, "AccessDenied")

    ended = person.types("history", "credit", "-n", "risk", "--bucket", "s3://own/", "--endpoint", s3.endpoint)

    assert ended.code == 3
    assert said in ended.said


def test_a_retention_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_BUCKET__URI", "s3://own/")
    monkeypatch.setenv("MODELYARD_LEDGER__RETENTION", "a year")

    with pytest.raises(exits.Stop, match="write a duration like 720h"):
        operator_bucket.find(None, None, None, None, None)
