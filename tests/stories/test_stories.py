"""Stories: what people and the cluster do, in YAML, and what everybody sees of it, in golden text.

`pytest tests/stories --update` writes the golden texts anew; read the difference before you commit it.
"""

from __future__ import annotations

import copy
import datetime
import pathlib
import random
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ed25519

from modelyard import edge, reconcile, settings
from modelyard.api import meta
from modelyard.api.reason import Reason
from modelyard.content import digest, location
from modelyard.edge.bucket import blobs, chains
from modelyard.edge.cluster import cache, client, term
from modelyard.plan import finding
from tests.fakes import bucket, world
from tests.stories import conform

STORIES = sorted(pathlib.Path(__file__).with_name("data").glob("*.yaml"))


KEY = ed25519.Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)


class Teller:
    """Runs a story through the real reconciler, and writes down what changed to the eye."""

    def __init__(self, *, restart: bool, seed: int = 0) -> None:
        self.world, self.store, self.lines = world.World(), world.Store(), list[str]()
        self.bucket, self.guard = bucket.Bucket(), world.Guard()
        self.bucket.after = self._die
        self.seen: dict[str, str] = {}
        self.told = 0
        """Facts of the ledger that were written down."""
        self.due: dict[cache.Key, datetime.datetime] = {}
        self.ready: list[cache.Key] = []
        self.failed: set[cache.Key] = set()
        """Keys that are tried again with backoff."""
        self.fenced = False
        self.died: datetime.datetime | None = None
        """Since when nobody leads."""
        self.term = 1
        self.unsettled: datetime.datetime | None = None
        """The latest renewal of those who led before."""
        self.noted: dict[str, str] = {}
        """Annotations of the Lease; what was unsettled is settled before the next one leads."""
        self.key = KEY
        """What the operator signs with, and believes."""
        self._restart, self._random = restart, random.Random(seed)
        self._events: list[str] = []
        self._start()

    def _start(self) -> None:
        """A new operator: it remembers nothing."""
        self.cache = cache.Cache()
        config = settings.Settings(fetch_image="modelyard:test", endpoints=["*"])
        own = location.Place("own", "")
        # No threads: the same story is told in the same order every time.
        self.book = chains.Ledger(self.bucket, own, "main", lambda: self.world.now, threads=0, key=self.key)
        self.store.blobs = blobs.Blobs(self.bucket, own)
        self.book.term = self.term
        outside: Any = {
            "cluster": self.world,
            "cache": self.cache,
            "prover": self.store,
            "book": self.book,
            "config": config,
            "recorder": self,
            "guard": self.guard,
            "enqueue": self.enqueue,
            "fence": self.fence,
            "clock": lambda: self.world.now,
        }
        self.operator = reconcile.Reconciler(reconcile.Outside(**self._reached(outside)))
        self.operator.begin(self.unsettled)
        self.world.news.clear()
        for kind in cache.WATCHED:
            listing = self.cache.listing(kind)
            self.enqueue({key for o in self._listed(kind) for key in listing.add(o)} | listing.end())
        self.enqueue(self.cache.keys())

    def _reached(self, outside: dict[str, Any]) -> dict[str, Any]:
        """The edges as the operator reaches them; `test_injected` puts faults between."""
        return outside

    def _listed(self, kind: Any) -> list[Any]:
        return [o for (k, _, _), o in sorted(self.world.objects.items()) if k == kind.name and self._ours(o)]

    async def _know_terms(self) -> None:
        """Who leads has read when nobody did; where the ledger does not answer, nobody begins to lead."""
        if self.bucket.down is None:
            await self.book.load(self.book.operators)

    def _die(self, _key: str) -> None:
        if self.world.crash:
            raise world.Crash

    def enqueue(self, keys: Any) -> None:
        self.ready += [key for key in sorted(keys, key=str) if key not in self.ready]

    def fence(self) -> None:
        """Holds, unless a test says that another replica leads."""
        if self.fenced:
            raise edge.Unavailable(Reason.CLUSTER_UNAVAILABLE, "another replica leads")

    def post(self, event: finding.Event) -> None:
        self._events.append(f"  {'!' if event.warning else '*'} {event.kind} {event.name} {event.fact.reason}: {event.fact.message}")

    async def tell(self, steps: list[dict[str, Any]]) -> str:
        for step in steps:
            [(verb, what)] = step.items()
            self.lines.append(f"--- {self._clock()} {verb}: {what if not isinstance(what, dict) else self._named(what)}")
            if (more := getattr(self, f"do_{verb.replace(' ', '_')}")(what)) is not None:
                await more
            await self.settle()
        return "\n".join(self.lines) + "\n"

    async def settle(self) -> None:
        """Let the operator work until nothing is left to do."""
        if self.died:
            return
        # Whoever dies while the ledger does not answer has no successor until it does: `test_outage` tells of that.
        self.world.crash = self._restart and self.bucket.down is None
        for _ in range(2000):
            self._hear()
            if not self.ready:
                break
            key = self.ready.pop(0)
            self.world.works = True
            self.failed.discard(key)
            try:
                again = await self.operator(key)
            except world.Crash:
                if self.bucket.down:
                    self.world.lives = None
                    self.died = self.world.now
                    return
                self._start()
                await self._know_terms()
                self._random.shuffle(self.ready)
                continue
            except edge.Unavailable:
                self.failed.add(key)
                again = datetime.timedelta(minutes=1)
            finally:
                self.world.works = False
            if again is None:
                self.due.pop(key, None)
            elif again < datetime.timedelta(seconds=1):
                self.enqueue([key])
            else:
                self.due[key] = self.world.now + again
        else:
            pytest.fail(f"the operator never comes to rest: {self.ready[:5]}")
        self.world.crash = False
        self._look()

    def _hear(self) -> None:
        for kind, event, obj in self.world.news:
            about = obj["metadata"]
            if not self._ours(obj):
                continue
            gone = event == "DELETED"
            self.enqueue(self.cache.drop(kind, about["namespace"], about["name"]) if gone else self.cache.put(kind, obj))
        self.world.news.clear()

    def _look(self) -> None:
        for (kind, _, _), obj in self.world.objects.items():
            if kind in {"Model", "ModelVersion", "Promotion"} and not self.fenced:
                conform.check(obj)
        now = dict(world.shown(self.world))
        for name in sorted({*now, *self.seen}):
            if now.get(name) != self.seen.get(name):
                self.lines.append(f"{name}: {now.get(name, 'gone')}")
        facts = [] if self.bucket.down else world.recorded(self.bucket, self.told)
        self.told += len(facts)
        self.lines += sorted(facts)
        self.lines += self._events
        self._events.clear()
        self.seen = now

    @staticmethod
    def _ours(obj: dict[str, Any]) -> bool:
        return obj["kind"] in {"Model", "ModelVersion", "Promotion"} or "modelyard.dev/stage" in (obj["metadata"].get("labels") or {})

    @staticmethod
    def _named(what: dict[str, Any]) -> str:
        return f"{what['kind']} {what['metadata']['name']}" if "kind" in what else str(what)

    def _clock(self) -> str:
        return self.world.now.strftime("%H:%M:%S")

    # --- the verbs of a story

    def do_apply(self, obj: dict[str, Any]) -> None:
        if obj["kind"] == "ModelVersion" and "text" in obj["spec"]["artifact"]:
            obj["spec"]["artifact"]["digest"] = world.digest_of(obj["spec"]["artifact"].pop("text"))
        self.world.put(obj)

    def do_change(self, what: dict[str, Any]) -> None:
        kind, name = what["kind"], what["metadata"]["name"]
        obj = {k: v for k, v in self.world.objects[kind, "risk", name].items() if k != "status"}
        obj = yaml.safe_load(yaml.safe_dump(obj))
        obj["metadata"] |= what["metadata"]
        for one in what["set"].get("evidence", []):
            if "text" in one:
                one["sha256"] = digest.named(one.pop("text").encode())
        for path, value in what["set"].items():
            *parents, last = path.split(".")
            at = obj["spec"]
            for part in parents:
                at = at[int(part)] if part.isdigit() else at[part]
            at[last] = value
        self.world.put(obj)

    def do_approve(self, what: dict[str, str]) -> None:
        """The API server fills in what is asked now, as its policy does."""
        obj = copy.deepcopy(self.world.objects["Promotion", "risk", what["promotion"]])
        said = {"decision": "Approved", "subject": obj.pop("status")["subject"]} | {k: v for k, v in what.items() if k != "promotion"}
        entries = obj["spec"].get("approvals", [])
        kept = [one for one in entries if (one["user"], one["gate"]) != (said["user"], said["gate"])]
        obj["spec"]["approvals"] = [*kept, said]
        self.world.put(obj)

    def do_delete(self, what: str) -> None:
        kind, name = what.split()
        self.world.remove(client.KINDS[kind], name)

    def do_upload(self, what: dict[str, str | None]) -> None:
        for uri, text in what.items():
            if text is None:
                self.store.bytes.pop(uri, None)
            else:
                self.store.bytes[uri] = text

    def do_store(self, what: str) -> None:
        self.store.down = None if what == "answers" else what

    def do_locks(self, what: str) -> None:
        self.store.locks = what

    def do_held(self, uris: list[str]) -> None:
        """What is under legal hold now."""
        assert self.store.holds == set(uris)

    def do_ledger(self, what: str) -> None:
        self.bucket.down = None if what == "answers" else what

    def do_restart(self, what: str) -> Any:
        """Another operator goes on, at once."""
        assert what == "at once"
        self._start()
        return self._know_terms()

    def do_dies(self, who: str) -> None:
        """Nobody leads."""
        assert who == "operator"
        self.died = self.world.now

    async def do_leads(self, who: str) -> None:
        """Another one does, and records since when nobody watched."""
        assert self.died is not None
        lease = {"metadata": {"annotations": self.noted}, "spec": {"renewTime": term.written(self.died)}}
        began, self.died = term.begin(who, lease), None
        self.noted = {name: value for name, value in term.to_annotations(began, lease, self.world.now).items() if name != term.UNSETTLED}
        self.unsettled = began.unsettled_since
        self._start()
        self.term = await self.book.begin(who, began.previous_renewal)

    def do_policies(self, what: str) -> None:
        """What the minute's probe finds; when that changes, everything is looked at."""
        missing = finding.Unmet(Reason.POLICIES_MISSING, f"these policies are not effective: {what}")
        self.guard.held = self.guard.found = None if what == "are effective" else missing
        self.enqueue(self.cache.keys())

    def do_refuse(self, what: dict[str, str | None]) -> None:
        self.world.refuse = {name: why for name, why in what.items() if why}

    def do_available(self, name: str) -> None:
        self.world.roll(name, available=True)

    def do_stuck(self, name: str) -> None:
        self.world.roll(name, available=False)

    def do_terminated(self, name: str) -> None:
        """The pods of a Deployment that is gone are gone too."""
        for kind, _, pod in list(self.world.objects):
            if kind == "Pod" and pod.startswith(f"{name}-"):
                self.world.remove(client.POD, pod)

    def do_after(self, what: str) -> None:
        """Time passes; whoever is due by then is looked at."""
        self.world.now += meta.read_duration(what)
        due = [key for key, when in self.due.items() if when <= self.world.now]
        for key in due:
            del self.due[key]
        self.enqueue(due)


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = yaml.safe_load(path.read_text())
    return steps


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
async def test_story(path: pathlib.Path, request: pytest.FixtureRequest) -> None:
    teller = Teller(restart=False)
    told = await teller.tell(read(path))

    assert world.lost(teller.bucket) == {}
    golden = path.with_suffix(".txt")
    if request.config.getoption("--update"):
        golden.write_text(told)
    assert told == golden.read_text()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
async def test_the_story_is_the_same_when_the_operator_dies_after_every_write(path: pathlib.Path, seed: int) -> None:
    teller = Teller(restart=True, seed=seed)
    told = await teller.tell(read(path))

    assert world.lost(teller.bucket) == {}
    assert without_events(told) == without_events(path.with_suffix(".txt").read_text())


def without_events(told: str) -> list[str]:
    """An Event of the moment in which the operator died is lost; nothing else is."""
    return [line for line in told.splitlines() if not line.startswith(("  *", "  !"))]
