"""Legal holds and garbage on real stores: what is held or locked stays, what only a Retired version held goes, and nothing else."""

from __future__ import annotations

import asyncio
import datetime
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from modelyard.cli.maintain import gc
from modelyard.cli.reach import cluster, ledger_writer, model_storage
from modelyard.cli.terminal import exits
from modelyard.content import location
from modelyard.edge.artifact.prover import Prover
from modelyard.edge.bucket import chains
from modelyard.edge.cluster.client import Kind
from modelyard.edge.s3 import store
from modelyard.ledger import index, record
from modelyard.plan.modelversion import inspection, legal_hold
from tests.cluster import stores

Json = dict[str, Any]
BELOW = "s3://modelyard/models/fraud/"
STAMP = "2026-10-01T00:00:00Z"


@pytest.fixture(scope="module", params=stores.KINDS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[stores.Running]:
    """A store with one bucket that has Object Lock, and one that has not."""
    with stores.run(request.param, tmp_path_factory.mktemp(request.param)) as running:
        client = running.open()
        client.make_bucket("modelyard", object_lock=True)
        client.make_bucket("models", versioning=True)
        yield running


async def verified(prover: Prover, running: stores.Running, uri: str, below: str = BELOW) -> inspection.Found:
    found = await prover.inspect(inspection.Request(running.address, uri, below))
    assert isinstance(found, inspection.Found), found
    return found


def held(client: store.Store, key: str) -> bool:
    now = client.head("modelyard", key)
    assert now is not None
    return client.held("modelyard", key, now.version_id)


async def test_what_runs_is_held_and_what_another_still_needs_is_not_let_go(
    running: stores.Running, client: store.Store, prover: Prover
) -> None:
    shared, own = "models/fraud/held/x/shared", "models/fraud/held/own"
    for key in (shared, own):
        client.put("modelyard", key, key.encode())
    all_of_it = legal_hold.Objects(f"{BELOW}held/", (await verified(prover, running, f"{BELOW}held/")).manifest)
    part = legal_hold.Objects(f"{BELOW}held/x/", (await verified(prover, running, f"{BELOW}held/x/")).manifest)

    async def step(which: legal_hold.Step, objects: legal_hold.Objects, *others: legal_hold.Objects) -> Any:
        return await prover.hold(legal_hold.Request(running.address, which, objects, others))

    assert await step(legal_hold.Step.CLAIM, all_of_it) is None
    assert not held(client, own)
    assert await step(legal_hold.Step.SET, all_of_it) is None
    assert await step(legal_hold.Step.SET, all_of_it) is None
    assert (held(client, shared), held(client, own)) == (True, True)
    assert await step(legal_hold.Step.CLAIM, part, all_of_it) is None
    foreign = await step(legal_hold.Step.CLAIM, part)
    assert "somebody else" in foreign.message
    assert await step(legal_hold.Step.LIFT, all_of_it, part) is None
    assert (held(client, shared), held(client, own)) == (True, False)
    assert await step(legal_hold.Step.LIFT, part) is None
    assert not held(client, shared)


async def test_holds_of_what_is_gone_and_of_a_bucket_without_object_lock(
    running: stores.Running, client: store.Store, prover: Prover
) -> None:
    client.put("modelyard", "models/fraud/gone/a", b"x")
    client.put("models", "fraud/1/a", b"x")
    gone = await verified(prover, running, f"{BELOW}gone/")
    without = await verified(prover, running, "s3://models/fraud/1/", "s3://models/fraud/")
    now = client.head("modelyard", "models/fraud/gone/a")
    assert now is not None
    client.delete("modelyard", "models/fraud/gone/a", now.version_id)

    request = legal_hold.Request(running.address, legal_hold.Step.SET, legal_hold.Objects(f"{BELOW}gone/", gone.manifest))
    assert await prover.hold(request) is None
    why = await prover.hold(
        legal_hold.Request(running.address, legal_hold.Step.CLAIM, legal_hold.Objects("s3://models/fraud/1/", without.manifest))
    )
    assert why is not None
    assert why.message == "not held: the bucket models has no Object Lock"


class Server(cluster.Registry):
    """An API server with a few objects."""

    def __init__(self, *objects: Json) -> None:
        super().__init__(None, "risk")
        self.objects = objects

    def find(self, kind: Kind, name: str) -> Json | None:
        return next((one for one in self.objects if (one["kind"], one["metadata"]["name"]) == (kind.name, name)), None)

    def all(self, kind: Kind, *, everywhere: bool = False, **query: str) -> list[Json]:
        del everywhere, query
        return [one for one in self.objects if one["kind"] == kind.name]

    def whoami(self) -> str:
        return "alice"


class Kept(ledger_writer.Bucket):
    """The operator's bucket, with the chain of one model in memory."""

    def __init__(self, client: store.Store, past: index.Index) -> None:
        super().__init__(client, location.Place("modelyard", ""), "main")
        self.past = past
        self.facts: list[record.LedgerEntry] = []

    def index(self, namespace: str, model: str) -> index.Index:
        del namespace, model
        return self.past

    def append(self, namespace: str, model: str, facts: Any) -> None:
        del namespace, model
        self.facts += facts


def version(number: str, uri: str, manifest: str, lifecycle: str) -> Json:
    proven = {"digest": "sha256:0", "files": 1, "bytes": 1, "manifest": manifest, "verifiedAt": STAMP, "checkedAt": STAMP, "seconds": 1}
    return {
        "kind": "ModelVersion",
        "metadata": {"name": f"fraud-{number}", "namespace": "risk", "uid": f"uid-{number}"},
        "spec": {"model": "fraud", "version": number, "artifact": {"uri": uri, "format": "onnx"}, "lifecycle": lifecycle},
        "status": {"phase": "Retired" if lifecycle == "Retired" else "Ready", "artifact": proven},
    }


async def test_gc(
    running: stores.Running,
    client: store.Store,
    prover: Prover,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    del tmp_path
    files = {"1/free": b"a", "1/held": b"b", "1/kept/shared": b"c", "3/deleted": b"d", "1/locked": b"e"}
    where = {path: f"models/fraud/gc/{path}" for path in files}
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=2)
    for path, data in files.items():
        client.create("modelyard", where[path], data, store.Retention("GOVERNANCE", later) if path == "1/locked" else None)
    seen = {number: await verified(prover, running, f"{BELOW}gc/{number}/") for number in ("1", "1/kept", "3")}
    pinned = {path: client.head("modelyard", key) for path, key in where.items()}
    free = pinned["1/free"]
    assert free is not None
    client.put("modelyard", where["1/free"], b"written over since")
    held_one = pinned["1/held"]
    assert held_one is not None
    client.hold("modelyard", where["1/held"], held_one.version_id, on=True)

    model = {
        "kind": "Model",
        "metadata": {"name": "fraud", "namespace": "risk"},
        "spec": {"owner": {"team": "t"}, "storage": {"uri": BELOW, "endpoint": running.address.endpoint}},
    }
    server = Server(
        model,
        version("1", f"{BELOW}gc/1/", seen["1"].manifest, "Retired"),
        version("2", f"{BELOW}gc/1/kept/", seen["1/kept"].manifest, "Active"),
    )
    spec = version("3", f"{BELOW}gc/3/", "", "Retired")["spec"]
    third = index.Version("uid-3", 1, spec=await prover.keep_blob(json.dumps(spec).encode()), manifest=seen["3"].manifest)
    third.deleted, third.lifecycle = True, "Retired"
    kept = Kept(client, index.Index(versions={"3": third}))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", stores.CREDENTIALS.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", stores.CREDENTIALS.secret_key)

    def collect(*, delete: bool) -> list[tuple[str, str]]:
        gc.gc(server, kept, "fraud", gc.Way(delete, model_storage.Way(), asked="json"))
        listed = json.loads(capsys.readouterr().out)["objects"]
        return [(one["key"].removeprefix("models/fraud/gc/"), one["state"].partition(" 2")[0]) for one in listed]

    expected = [("1/free", "free"), ("1/held", "legal hold"), ("1/locked", "locked until"), ("3/deleted", "free")]
    assert collect(delete=False) == expected
    assert kept.facts == []
    assert collect(delete=True) == expected
    assert [(one.action, one.subject.uid, one.actor.name) for one in kept.facts] == [
        (record.Action.COLLECTED, "uid-1", "alice"),
        (record.Action.COLLECTED, "uid-3", "alice"),
    ]
    assert kept.facts[0].detail == {"version": "1", "objects": [[where["1/free"], free.version_id]]}
    assert client.head("modelyard", where["1/free"], free.version_id) is None
    assert client.get("modelyard", where["1/free"]) == b"written over since"
    for path in ("1/held", "1/locked", "1/kept/shared"):
        assert client.get("modelyard", where[path]) == files[path]
    assert collect(delete=True) == [("1/held", "legal hold"), ("1/locked", "locked until")]
    client.hold("modelyard", where["1/held"], held_one.version_id, on=False)


def test_a_model_that_was_lost_is_not_collected(client: store.Store) -> None:
    with pytest.raises(exits.Stop) as stopped:
        gc.gc(Server(), Kept(client, index.Index(uid="m")), "fraud", gc.Way(True, model_storage.Way(), None))

    assert stopped.value.code == exits.Code.NOT_FOUND
    assert "restored first" in stopped.value.message


def test_the_command_line_records_behind_the_operator_and_the_operator_goes_on_behind_it(client: store.Store) -> None:
    place = location.Place("modelyard", "recorded/")
    chain = record.Chain("main", "risk", "fraud")

    def told(action: record.Action, step: str) -> record.LedgerEntry:
        return record.entry(
            action, record.BY_OPERATOR, record.Subject("Model", "fraud", "m", 1), step, None, {"version": "1", "objects": []}
        )

    async def operate(book: chains.Ledger, step: str) -> int:
        return (await book.append(chain, [told(record.Action.STEERED, step)])).sequence

    operator = chains.Ledger(client, place, "main", lambda: datetime.datetime.now(datetime.UTC))
    person = ledger_writer.Bucket(client, place, "main")
    with asyncio.Runner() as loop:
        assert loop.run(operate(operator, "a")) == 1
        person.append("risk", "fraud", [told(record.Action.COLLECTED, "x")])
        person.append("risk", "fraud", [told(record.Action.COLLECTED, "x")])
        assert loop.run(operate(operator, "b")) == 3
    assert person.index("risk", "fraud").sequence == 3
    operator.close()
