"""What is kept of an object until it is recorded."""

from __future__ import annotations

from typing import Any

from modelyard.edge.cluster import cache, client


def put(known: cache.Cache, generation: int, recorded: int | None = None, uid: str = "u") -> None:
    about = {
        "name": "fraud",
        "namespace": "risk",
        "uid": uid,
        "generation": generation,
        "resourceVersion": str(100 * generation + (recorded or 0)),
    }
    spec = {"owner": {"team": "t"}, "storage": {"uri": "s3://models/fraud/"}, "description": f"text {generation}"}
    status: dict[str, Any] = {"recorded": {"generation": recorded, "spec": "sha256:0"}} if recorded else {}
    known.put(client.MODEL, {"kind": "Model", "metadata": about, "spec": spec, "status": status})


def kept(known: cache.Cache) -> list[int]:
    return [one.metadata.generation for one in known.world("risk", "fraud").earlier.get(("Model", "fraud"), ())]


def test_generations_are_kept_from_the_recorded_one_on() -> None:
    known = cache.Cache()
    for generation in range(1, 5):
        put(known, generation, recorded=1)

    assert kept(known) == [1, 2, 3]


def test_what_is_recorded_is_kept_no_more() -> None:
    known = cache.Cache()
    for generation in range(1, 5):
        put(known, generation, recorded=1)
    put(known, 4, recorded=4)

    assert kept(known) == []


def test_what_the_ledger_has_is_kept_no_more_though_the_status_does_not_say_so() -> None:
    known = cache.Cache()
    for generation in range(1, 4):
        put(known, generation, recorded=1)
    recorded = known.model("risk", "fraud")
    assert recorded is not None
    put(known, 4, recorded=1)
    known.recorded(recorded)
    put(known, 5, recorded=1)

    assert kept(known) == [3, 4]


def test_however_often_somebody_writes_it_is_bounded() -> None:
    known = cache.Cache()
    for generation in range(1, 1000):
        put(known, generation, recorded=1)

    assert kept(known) == list(range(1, cache.MOST_EARLIER + 2))


def test_another_object_of_the_name_has_no_earlier_generations() -> None:
    known = cache.Cache()
    put(known, 1)
    put(known, 2)
    put(known, 3, uid="v")

    assert kept(known) == []


def test_what_is_gone_is_kept_no_more() -> None:
    known = cache.Cache()
    put(known, 1)
    put(known, 2)
    known.drop(client.MODEL, "risk", "fraud")

    assert known.world("risk", "fraud").earlier == {}
