"""Every exception that an edge can raise, at every call that the operator makes: every status stays honest, what it does not concern goes
on, and once the fault is over the story ends as if nothing had been.
"""

from __future__ import annotations

import asyncio
import collections
import copy
import functools
import inspect
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from typing import Any

import pytest

from modelyard import edge
from modelyard.api.reason import Reason
from modelyard.edge import cluster
from modelyard.plan import digest, ledger, proof
from tests.stories import pretend, test_stories

Call = tuple[str, ...]
"""An edge, what is asked of it, and about which object."""
ERRORS: dict[str, Callable[[], Exception]] = {
    "no answer": lambda: edge.Unavailable(Reason.CLUSTER_UNAVAILABLE, "the API server answered 503: try later"),
    "no store": lambda: edge.Unavailable(Reason.STORE_UNREACHABLE, "no answer"),
    "no ledger": lambda: edge.Unavailable(Reason.LEDGER_UNAVAILABLE, "the operator's own bucket: no answer"),
    "conflict": lambda: cluster.Conflict("the object has been modified"),
    "403": lambda: cluster.Refused(403, "exceeded quota"),
    "404": lambda: cluster.Refused(404, "the server could not find the requested resource"),
    "413": lambda: cluster.Refused(413, "too large"),
    "500": lambda: cluster.Refused(500, "failed to create typed patch object (risk/x; apps/v1, Kind=Deployment): .spec.x: not declared"),
    "RuntimeError": lambda: RuntimeError("with a credential in it"),
    "KeyError": lambda: KeyError("metadata"),
    "RecursionError": lambda: RecursionError("maximum recursion depth exceeded"),
    "ValueError": lambda: ValueError("no manifest"),
}
FORESEEN: dict[str, tuple[str, ...]] = {
    "cluster": ("no answer", "conflict", "403", "404", "413", "500"),
    "prover": ("no store", "no ledger"),
    "book": ("no ledger", "no store"),
    "recorder": (),
    "guard": ("no answer",),
}
"""By edge: what it says that it may raise."""
UNFORESEEN = ("RuntimeError", "KeyError", "RecursionError", "ValueError")


class Fault:
    """What is raised where, and what was asked."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.error: Callable[[], Exception] | None = None
        self.hits: Callable[[int, Call], bool] = lambda _number, _call: False
        self.late = False
        """What is asked happens, and its answer is lost."""

    def meet(self, call: Call, *, late: bool) -> None:
        if not late:
            self.calls.append(call)
        if self.error and late == self.late and self.hits(len(self.calls), call):
            raise self.error()


class Edge:
    """One edge, with the fault between."""

    def __init__(self, name: str, real: Any, fault: Fault) -> None:
        self._name, self._real, self._fault = name, real, fault

    def __getattr__(self, asked: str) -> Any:
        found = getattr(self._real, asked)
        if not callable(found) or (self._name == "book" and asked not in {"load", "append"}):
            return found
        if inspect.isasyncgenfunction(found):
            return functools.partial(self._listed, asked, found)
        return functools.partial(self._waited if inspect.iscoroutinefunction(found) else self._called, asked, found)

    async def _waited(self, asked: str, found: Any, *args: Any, **more: Any) -> Any:
        call = self._call(asked, args, more)
        self._fault.meet(call, late=False)
        answer = await found(*args, **more)
        self._fault.meet(call, late=True)
        return answer

    async def _listed(self, asked: str, found: Any, *args: Any, **more: Any) -> AsyncIterator[Any]:
        self._fault.meet(self._call(asked, args, more), late=False)
        async for one in found(*args, **more):
            yield one

    def _called(self, asked: str, found: Any, *args: Any, **more: Any) -> Any:
        self._fault.meet(self._call(asked, args, more), late=False)
        return found(*args, **more)

    def _call(self, asked: str, args: tuple[Any, ...], more: dict[str, Any]) -> Call:
        return (self._name, asked, *_about(args), *(["dry run"] if more.get("dry_run") else []))


def _about(args: tuple[Any, ...]) -> Iterator[str]:
    """What a call is about, such that two calls about the same look the same."""
    match args:
        case ({"kind": kind, "metadata": {"name": name}}, *_):
            yield from (kind, name.rpartition("-")[0] if kind == "ConfigMap" else name)
        case (cluster.Kind(), _, str(), *_):
            yield from (args[0].name, args[2])
        case (cluster.Kind(), *_):
            yield args[0].name
        case (ledger.Chain(), *_):
            yield args[0].model
        case (str() as blob, *_):
            yield blob
        case (one, *_) if hasattr(one, "uri"):
            yield one.uri


class Teller(test_stories.Teller):
    """Tells a story with a fault between the operator and its edges."""

    def __init__(self) -> None:
        self.fault = Fault()
        super().__init__(restart=False)

    def _reached(self, outside: dict[str, Any]) -> dict[str, Any]:
        return outside | {name: Edge(name, outside[name], self.fault) for name in FORESEEN}

    def go_on_from(self, before: test_stories.Teller) -> None:
        """Another operator goes on where the story before it stopped."""
        self.world.objects = copy.deepcopy(before.world.objects)
        self.world.now, self.store.bytes, self.store.locks = before.world.now, dict(before.store.bytes), before.store.locks
        self.store.holds = set(before.store.holds)
        self.world._versions, self.world._uids = itertools.count(100_000), itertools.count(100_000)
        self.bucket.kept = {key: list(versions) for key, versions in before.bucket.kept.items()}
        self._start()

    def roll(self) -> None:
        """The Deployment controller makes everything available."""
        for kind, _, name in list(self.world.objects):
            if kind == "Deployment":
                self.world.roll(name, available=True)


SERVES: dict[str, Any] = {
    "port": 8080,
    "replicas": 1,
    "template": {"spec": {"containers": [{"name": "server", "image": "serve:1"}]}},
}
STAGES: list[dict[str, Any]] = [
    {"name": "development", "autoPromote": True},
    {"name": "shadow", "serving": copy.deepcopy(SERVES)},
    {"name": "production", "gates": {"after": ["development"]}, "serving": SERVES},
    {"name": "guarded", "gates": {"approvals": [{"name": "risk"}]}},
]


def model(name: str, stages: list[dict[str, Any]]) -> dict[str, Any]:
    spec = {"owner": {"team": "t"}, "storage": {"uri": f"s3://models/{name}/"}, "stages": stages}
    return {"kind": "Model", "metadata": {"name": name}, "spec": spec}


def version(of: str, number: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "ModelVersion",
        "metadata": {"name": f"{of}-{number}", "annotations": {"modelyard.dev/changes": "1 ci"}},
        "spec": {
            "model": of,
            "version": number,
            "artifact": {"uri": f"s3://models/{of}/{number}/", "format": "onnx", "text": number},
            **more,
        },
    }


def promotion(name: str, of: str, number: str, stage: str, **more: Any) -> dict[str, Any]:
    spec = {"model": of, "version": number, "stage": stage, "requestedBy": "alice", **more}
    return {"kind": "Promotion", "metadata": {"name": name}, "spec": spec}


BEFORE: list[dict[str, Any]] = [
    {"upload": {f"s3://models/{of}/{number}/": number for of in ("fraud", "other") for number in "123"}},
    {"apply": model("fraud", STAGES)},
    {"apply": model("other", STAGES[:2])},
    *({"apply": version(of, number)} for of, number in (("fraud", "1"), ("fraud", "2"), ("other", "1"))),
    {"apply": promotion("shadow-1", "fraud", "1", "shadow")},
    {"available": "fraud-shadow"},
    {"apply": promotion("shadow-2", "fraud", "2", "shadow")},
    {"available": "fraud-shadow"},
    {"apply": promotion("production-1", "fraud", "1", "production")},
    {"available": "fraud-production"},
    {"apply": promotion("guarded-2", "fraud", "2", "guarded")},
    {"after": "5m"},
]
CARD = {"name": "card", "type": "ModelCard", "uri": "s3://models/fraud/card", "sha256": digest.named(b"card")}
MEANWHILE: list[list[dict[str, Any]]] = [
    [
        {"upload": {CARD["uri"]: "card"}},
        {"apply": promotion("back", "fraud", "1", "shadow", rollback=True)},
        {"apply": promotion("other-1", "other", "1", "shadow")},
        {"delete": "ModelVersion fraud-1"},
    ],
    [
        {"apply": promotion("production-2", "fraud", "2", "production")},
        {"apply": version("fraud", "3", evidence=[CARD])},
        {"approve": {"promotion": "guarded-2", "user": "bob", "gate": "risk"}},
    ],
    [],
]


@functools.cache
def begun() -> test_stories.Teller:
    """Version 1 serves in production; in shadow version 2 does, and 1 did before; people are asked for guarded."""

    async def tell() -> test_stories.Teller:
        teller = test_stories.Teller(restart=False)
        await teller.tell(copy.deepcopy(BEFORE))
        return teller

    return asyncio.run(tell())


async def told(disturb: Callable[[Fault], None] = lambda _fault: None, meanwhile: Callable[[Teller], None] | None = None) -> Teller:
    """What happens while the fault lasts, from the operator's start on, and that statuses are honest then; then it ends."""
    teller = Teller()
    teller.go_on_from(await asyncio.to_thread(begun))
    disturb(teller.fault)
    teller._look = lambda: None  # type: ignore[method-assign]  # `honest` looks, as some cannot be written while a fault lasts
    for steps in copy.deepcopy(MEANWHILE):
        await teller.tell(steps)
        for _ in range(2):
            teller.roll()
            await teller.tell([{"after": "1m"}])
        honest(teller)
    if meanwhile:
        meanwhile(teller)
    teller.fault.hits = lambda _number, _call: False
    del teller._look
    for passes in ("1m", "2m", "5m", "5m"):
        await teller.tell([{"after": passes}])
        teller.roll()
        await teller.settle()
    return teller


def honest(teller: Teller) -> None:
    """Nobody is told that something is as it should be while it is not, and nothing is without a status."""
    unwritable = {call[2:4] for call in set(teller.fault.calls) if call[1] == "write_status" and teller.fault.hits(-1, call)}
    for (kind, _, name), obj in teller.world.objects.items():
        if kind not in {"Model", "ModelVersion", "Promotion"} or (kind, name) in unwritable:
            continue
        status = obj.get("status") or {}
        said = f"{kind} {name} says {status} of generation {obj['metadata']['generation']}"
        ready: dict[str, Any] = next((one for one in status.get("conditions") or [] if one["type"] == "Ready"), {})
        assert ready, said
        assert status.get("observedGeneration") == obj["metadata"]["generation"], said
        assert ready["message"], said
        assert "credential" not in ready["message"], said
        if kind == "Model" and name in {key.name for key in teller.failed if key.sort == "model"}:
            assert ready["status"] != "True", said
        if kind == "ModelVersion" and name in {key.name for key in teller.failed if key.sort == "version"}:
            assert ready["status"] != "True", said
        if kind == "Promotion" and ready["status"] == "True":
            assert status["phase"] in {"Succeeded", "Superseded"}, said
        if kind == "Promotion" and status["phase"] == "Succeeded":
            stands = teller.world.objects["Model", "risk", obj["spec"]["model"]]["status"]["stages"]
            assert obj["spec"]["version"] in {one.get("current") for one in stands if one["name"] == obj["spec"]["stage"]}, said


def final(teller: test_stories.Teller) -> dict[str, str]:
    return dict(pretend.shown(teller.world))


@functools.cache
def undisturbed() -> tuple[dict[str, str], tuple[Call, ...]]:
    teller = asyncio.run(told())
    return final(teller), tuple(teller.fault.calls)


async def expected() -> tuple[dict[str, str], tuple[Call, ...]]:
    return await asyncio.to_thread(undisturbed)


def ends_the_same(teller: Teller, golden: dict[str, str], apart: Collection[str] = ()) -> None:
    """All is as in the undisturbed story, but for the objects that may say something else."""
    shown = final(teller)
    differs = {name: shown.get(name, "gone") for name in {*shown, *golden} if shown.get(name) != golden.get(name)}
    if not differs.keys() <= set(apart):
        raise AssertionError(differs)
    honest(teller)
    assert pretend.lost(teller.bucket) == {}
    for name in ("fraud", "other"):
        chain = ledger.Chain("main", "risk", name)
        kept = [
            (one.sequence, teller.bucket.kept[chain.key(one.sequence)][-1] or b"")
            for one in pretend.records(teller.bucket)
            if one.chain == chain
        ]
        assert proof.check(chain, kept) == ()
    assert not teller.failed


async def test_the_story_is_what_it_should_be() -> None:
    golden, calls = await expected()

    assert golden["Promotion back"].startswith("Succeeded")
    assert golden["Promotion production-2"].startswith("Succeeded")
    assert golden["Promotion other-1"].startswith("Succeeded")
    assert golden["Promotion guarded-2"].startswith("Succeeded")
    assert golden["ModelVersion fraud-1"].startswith("Ready")
    assert {call[0] for call in calls} == set(FORESEEN)
    assert {call[1] for call in calls if call[0] == "cluster"} >= {"get", "create", "apply", "write_status", "list", "delete"}


def cases(calls: Sequence[Call]) -> Iterator[tuple[Call, str]]:
    """Every call with one error that its edge says it may raise, and one that nobody foresees; over all calls each comes about."""
    for number, call in enumerate(dict.fromkeys(calls)):
        foreseen = FORESEEN[call[0]]
        yield call, UNFORESEEN[number % len(UNFORESEEN)]
        yield from ((call, name) for name in foreseen[number % max(len(foreseen), 1) :][:1])


CHUNKS = 12


async def each(chunk: int, play: Callable[[Call, str], Awaitable[None]]) -> None:
    """Play a share of the cases, and say which went wrong."""
    _, calls = await expected()
    wrong = []
    for call, name in list(cases(calls))[chunk::CHUNKS]:
        try:
            await play(call, name)
        except Exception as error:
            wrong.append(f"{' '.join(call)} raises {name}: {type(error).__name__} {str(error)[:600]}")

    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("chunk", range(CHUNKS))
async def test_what_is_raised_once_at_any_call_is_as_if_it_had_never_been(chunk: int) -> None:
    golden, calls = await expected()
    numbers = collections.defaultdict(list)
    for number, call in enumerate(calls, 1):
        numbers[call].append(number)

    async def play(call: Call, name: str) -> None:
        # Its first, or a later one: until it is raised, all goes as it went undisturbed.
        at = numbers[call][len(name) % len(numbers[call])]

        def disturb(fault: Fault) -> None:
            fault.error, fault.hits = ERRORS[name], lambda number, _call: number == at

        ends_the_same(await told(disturb), golden, told_otherwise(call, name))

    await each(chunk, play)


@pytest.mark.parametrize("chunk", range(CHUNKS))
async def test_what_is_raised_for_a_while_is_shown_and_holds_up_nothing_else(chunk: int) -> None:
    golden, _ = await expected()

    async def play(call: Call, name: str) -> None:
        def disturb(fault: Fault) -> None:
            fault.error, fault.hits = ERRORS[name], lambda _number, asked: asked == call

        ends_the_same(await told(disturb, lambda teller: others_moved(teller, call)), golden, told_otherwise(call, name))

    await each(chunk, play)


def told_otherwise(call: Call, name: str) -> set[str]:
    """What one no decides for good: a rollout that the API server refuses is put back, and approvals that nobody guarded do not count."""
    refused = name.isdigit() and call[:2] in {("cluster", "apply"), ("cluster", "get")}
    files = call[-1] if call[2:3] == ("ConfigMap",) else ""  # of both, the list of files of a version in a stage
    if refused and (files.startswith("fraud-") or {"fraud-shadow", "fraud-1", "fraud-2", "fraud-production"} & set(call)):
        kinds = {"ModelVersion fraud-1", "ModelVersion fraud-2", "Deployment fraud-shadow", "Deployment fraud-production"}
        return {"Promotion back", "Promotion production-2", "Promotion production-1", "Promotion shadow-2", "Model fraud", *kinds}
    if refused and (files.startswith("other-") or {"other-shadow", "other-1"} & set(call)):
        return {"Promotion other-1", "Model other", "ModelVersion other-1", "Deployment other-shadow"}
    return {"Promotion guarded-2", "Model fraud", "ModelVersion fraud-2"} if call[0] == "guard" else set()


def others_moved(teller: Teller, call: Call) -> None:
    """What the call is not about went on while it could not be made."""
    shown = final(teller)
    about = set(call[2:])
    if not about or call[:2] in {("cluster", "list"), ("prover", "blob")} or any("other" in word for word in about):
        return
    assert shown["Promotion other-1"].startswith("Succeeded"), shown
    of_production = {"fraud-production", "production-2", "fraud-2", "fraud-3", "guarded-2", "fraud-3-development", CARD["uri"]}
    if about & of_production:
        assert shown["Promotion back"].startswith("Succeeded"), shown
    if about & {"back", "fraud-shadow"}:
        assert shown["Promotion production-2"].startswith("Succeeded"), shown
