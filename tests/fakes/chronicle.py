"""Chains as an operator would write them, made quickly: facts through `ledger.follow`, snapshots of specs and of the index in `blobs`."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from modelyard.content import canonical
from modelyard.content.digest import named
from modelyard.ledger import codec, fold, index, reader, signature, traffic
from modelyard.ledger import record as ledger_record
from modelyard.ledger.record import Action, Actor, Authenticity, Subject

SAMPLES = pathlib.Path(__file__).parents[2] / "crds" / "samples"
START = datetime.datetime(2026, 10, 3, 14, 0, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
BOB = Actor("bob@example.com", Authenticity.AUTHENTICATED)
CAROL = Actor("carol@example.com", Authenticity.AUTHENTICATED)
DAVE = Actor("dave@example.com", Authenticity.AUTHENTICATED)
OPERATOR = Actor("system:serviceaccount:modelyard-system:modelyard", Authenticity.AUTHENTICATED)
"""As the API server knows the operator that creates an object."""
CI = Actor("system:serviceaccount:ci:publisher", Authenticity.DECLARED)


def digest(text: str) -> str:
    """A digest of something."""
    return named(text.encode())


def sample(name: str) -> dict[str, Any]:
    """The spec of a sample."""
    return dict(yaml.safe_load((SAMPLES / f"{name}.yaml").read_text())["spec"])


KEY = ed25519.Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
"""Of the operator that wrote the chains that are signed."""


def key_file(folder: pathlib.Path) -> pathlib.Path:
    """That key as a person has it in a file."""
    file = folder / "ledger.pem"
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file.write_bytes(KEY.private_bytes(encoding, form, serialization.NoEncryption()))
    return file


class Writer:
    """One chain, in memory."""

    def __init__(
        self,
        model: str = "credit",
        namespace: str = "risk",
        snapshot_every: int = 256,
        blobs: dict[str, bytes] | None = None,
        key: ed25519.Ed25519PrivateKey | None = None,
    ) -> None:
        self.key = key
        """What signs the records; None: they are older than signing."""
        self.chain = ledger_record.Chain("main", namespace, model)
        self.objects: dict[int, bytes] = {}
        self.blobs: dict[str, bytes] = {} if blobs is None else blobs
        self.now = START
        self.term = 1
        self.state: dict[str, ledger_record.StageState] = {}
        self.read: list[list[int]] = []
        """Numbers that were asked for, a round each."""
        self._last: ledger_record.Record | None = None
        self._head: str | None = None
        self._index = index.Index()
        self._every = snapshot_every
        self.told = 0
        """Facts of what serves."""

    def keep(self, value: object) -> str:
        """A snapshot's name."""
        data = canonical.dumps(value)
        self.blobs[named(data)] = data
        return named(data)

    def later(self, **step: float) -> datetime.datetime:
        """Time passes."""
        self.now += datetime.timedelta(**step)
        return self.now

    def write(self, *facts: ledger_record.LedgerEntry, looked: bool = True) -> ledger_record.Record:
        """The next record, with what the stages serve now; who does not look only says again what is known of that."""
        before = self._last.index if self._last else None
        if self._index.sequence - (before.sequence if before else 0) >= self._every:
            before = ledger_record.Pointer(self._index.sequence, self._kept(self._index.dump()))
        known = self._last.state if self._last else ()
        state = [self.state[name] for name in sorted(self.state)] if looked else traffic.after(known, facts)
        seen = self.now if looked else None
        record = ledger_record.follow(
            self.chain, self._last, self._head, facts, state, now=self.now, term=self.term, index=before, seen=seen
        )
        record = signature.sign(record, self.key) if self.key else record
        data = codec.write(record)
        self.objects[record.sequence], self._last, self._head = data, record, named(data)
        fold.add(self._index, record)
        return record

    def serve(self, stage: str, shared: Mapping[str, int]) -> None:
        """From now on these versions get a stage's traffic, with these weights; the next record says so."""
        was = {share.version: share for share in self.state.get(stage, ledger_record.StageState(stage)).serves}
        shares = tuple(
            dataclasses.replace(was[name], weight=weight) if name in was else ledger_record.Share(name, digest(name), weight, self.now)
            for name, weight in sorted(shared.items())
        )
        self.state[stage] = dataclasses.replace(self.state.get(stage, ledger_record.StageState(stage)), serves=shares)

    def stand(self, stage: str, version: str) -> None:
        """The stage is at a version from now on."""
        was = self.state.get(stage, ledger_record.StageState(stage))
        self.state[stage] = dataclasses.replace(was, current=version, digest=digest(version), since=self.now)

    def book(self, last: int | None = None) -> reader.ChainReader:
        """The chain, read as the command line reads it; every read is noted."""
        self.read.clear()

        def fetch(numbers: Sequence[int]) -> Sequence[bytes | None]:
            self.read.append(list(numbers))
            return [self.objects.get(number) for number in numbers]

        return reader.ChainReader(self.chain, fetch, self.blobs.get, last=last)

    def records(self) -> list[ledger_record.Record]:
        """Every record."""
        return [codec.read(data) for _, data in sorted(self.objects.items())]

    def _kept(self, data: bytes) -> str:
        self.blobs[named(data)] = data
        return named(data)


class Operators(Writer):
    """The chain of the installation."""

    def __init__(self, blobs: dict[str, bytes] | None = None, key: ed25519.Ed25519PrivateKey | None = None) -> None:
        super().__init__(ledger_record.OPERATOR, "_", blobs=blobs, key=key)

    def begin(self, since: datetime.datetime | None) -> None:
        """A term begins; `since`: until when the one before is known to have watched."""
        detail = {"holder": "pod-a", "number": self.term, "unobservedSince": codec.write_time(since) if since else None}
        self.write(
            ledger_record.entry(
                Action.TERM_BEGAN, ledger_record.BY_OPERATOR, Subject("Operator", "pod-a", "pod-a", self.term), detail=detail
            )
        )

    def end(self) -> None:
        """The term ends as it should."""
        detail = {"holder": "pod-a", "number": self.term}
        self.write(
            ledger_record.entry(
                Action.TERM_ENDED, ledger_record.BY_OPERATOR, Subject("Operator", "pod-a", "pod-a", self.term), detail=detail
            )
        )
        self.term += 1


class Story(Writer):
    """A model's life, in facts as `plan.recording` and `plan.registration` tell them."""

    def model(self, spec: Mapping[str, Any], actor: Actor = BOB) -> None:
        """The Model is created."""
        self.write(ledger_record.entry(Action.MODEL_CREATED, actor, self._model(), "created", self.keep(spec)))

    def register(self, spec: Mapping[str, Any], actor: Actor = CI, uid: str | None = None, meaning: str = "spec") -> None:
        """A version is registered; `meaning`: what its immutable metadata is, in a word."""
        version, written = spec["version"], self.keep(spec)
        about = self._subject(version, uid)
        detail = {"version": version, "specDigest": digest(f"{meaning} {version}"), "declared": spec["artifact"].get("digest")}
        told = [ledger_record.entry(Action.REGISTERED, actor, about, "registered", written, detail)]
        if state := {"Deprecated": Action.DEPRECATED, "Retired": Action.RETIRED}.get(spec.get("lifecycle") or ""):
            told.append(
                ledger_record.entry(state, actor, about, None, written, {"version": version, "reason": spec.get("lifecycleReason")})
            )
        self.write(*told)

    def attest(self, spec: Mapping[str, Any], metrics: Mapping[str, float], actor: Actor, uid: str | None = None) -> dict[str, Any]:
        """Metrics are added to a version; its spec since then."""
        after = {**spec, "metrics": {**(spec.get("metrics") or {}), **metrics}}
        about = dataclasses.replace(self._subject(spec["version"], uid), generation=len(self.objects) + 1)
        told = {"version": spec["version"], "metrics": dict(metrics), "evidence": []}
        self.write(ledger_record.entry(Action.ATTESTED, actor, about, None, self.keep(after), told))
        return after

    def delete(self, version: str, uid: str | None = None) -> None:
        """A version is deleted."""
        detail = {"version": version, "noticed": "live"}
        self.write(ledger_record.entry(Action.DELETED, ledger_record.NOBODY_KNOWS, self._subject(version, uid), "deleted", None, detail))

    def ask(self, name: str, version: str, uid: str | None = None) -> Subject:
        """A Promotion to production is requested, and waits."""
        about = Subject("Promotion", name, uid or f"uid-{name}", 1)
        detail = {"version": version, "stage": "production", "reason": "CAB-1", "rollback": False, "requestedByMachine": False}
        self.write(ledger_record.entry(Action.REQUESTED, CAROL, about, "requested", self.keep({"version": version, "name": name}), detail))
        return about

    def lose(self, version: str, promotions: Sequence[str] = ()) -> None:
        """The cluster lost a version, which is to be brought back, and Promotions, which are not."""
        detail = {"objects": [f"ModelVersion/{self.chain.model}-{version}"], "promotions": list(promotions), "unfinished": list(promotions)}
        self.write(
            ledger_record.entry(Action.RESTORED, ledger_record.BY_OPERATOR, self._model(), f"lost {len(self.objects)}", None, detail)
        )

    def verify(self, version: str, manifest: str | None = None, evidence: Mapping[str, str] | None = None) -> None:
        """Its bytes are read, and its documents."""
        detail = {"version": version, "files": 7, "bytes": 48211, "manifest": manifest or self.keep({"manifest": version}), "seconds": 0.21}
        step = f"{len(self.objects)}"
        self.write(ledger_record.entry(Action.VERIFIED, ledger_record.BY_OPERATOR, self._subject(version), step, digest(version), detail))
        if evidence:
            told = {"version": version, "evidence": dict(evidence)}
            self.write(ledger_record.entry(Action.EVIDENCE_VERIFIED, ledger_record.BY_OPERATOR, self._subject(version), step, None, told))

    def promote(
        self, version: str, stage: str, approvers: Sequence[tuple[Actor, str]] = (), reason: str = "CAB-1234", rollback: bool = False
    ) -> str:
        """A Promotion is requested, approved and granted; its name."""
        name = f"{self.chain.model}-{version}-{stage}-{len(self.objects)}"
        about, what = Subject("Promotion", name, f"uid-{name}", 1), {"version": version, "stage": stage}
        asked = what | {"reason": reason, "rollback": rollback, "requestedByMachine": False}
        spec = {"model": self.chain.model, **what, "reason": reason}
        self.write(ledger_record.entry(Action.REQUESTED, CAROL, about, "requested", self.keep(spec), asked))
        for actor, gate in approvers:
            said = what | {"gate": gate, "comment": f"{gate} looked at it", "counts": True}
            self.later(minutes=1)
            self.write(ledger_record.entry(Action.APPROVED, actor, about, f"1 {actor.name} {gate}", digest(f"subject {version}"), said))
        gates = [{"name": "metrics/auc", "passed": True, "message": "auc 0.934, declared by ci, is at least 0.9"}]
        gates += [{"name": f"approvals/{gate}", "passed": True, "message": f"approved by {actor.name}"} for actor, gate in approvers]
        policy = self.keep({"name": stage, "gates": {"approvals": [{"name": gate, "required": 1} for _, gate in approvers]}})
        detail: dict[str, Any] = what | {"rollback": rollback, "gates": [] if rollback else gates, "policy": policy, "template": None}
        detail["approvals"] = [[actor.name, gate, digest(f"subject {version}")] for actor, gate in approvers]
        self.write(ledger_record.entry(Action.GRANTED, ledger_record.BY_OPERATOR, about, "granted", digest(version), detail))
        return name

    def serving(self, stage: str, shared: Mapping[str, int]) -> None:
        """Another set serves, and it is recorded."""
        self.serve(stage, shared)
        self.write(self.served(stage))

    def served(self, stage: str) -> ledger_record.LedgerEntry:
        """That a stage serves what it serves now, as it is seen now."""
        self.told += 1
        detail = {"stage": stage, "serves": [codec.dump_share(share) for share in self.state[stage].serves]}
        return ledger_record.entry(
            Action.SERVING, ledger_record.BY_OPERATOR, self._model(), f"{stage} {self.told}", None, detail, at=self.now
        )

    def finish(self, name: str, version: str, stage: str, phase: str = "Succeeded", message: str = "production is at it") -> None:
        """A Promotion ends."""
        if phase == "Succeeded":
            self.stand(stage, version)
        detail = {"version": version, "stage": stage, "phase": phase, "reason": phase, "message": message, "rollback": False}
        about = Subject("Promotion", name, f"uid-{name}", 1)
        self.write(ledger_record.entry(Action.ENDED, ledger_record.BY_OPERATOR, about, phase, None, detail))

    def lifecycle(self, action: Action, spec: Mapping[str, Any], reason: str, actor: Actor = BOB) -> None:
        """Deprecated, active again, or retired."""
        detail = {"version": spec["version"], "reason": reason}
        self.write(
            ledger_record.entry(action, actor, self._subject(spec["version"]), f"{action} {len(self.objects)}", self.keep(spec), detail)
        )

    def _model(self) -> Subject:
        return Subject("Model", self.chain.model, "uid-model", 1)

    def _subject(self, version: str, uid: str | None = None) -> Subject:
        return Subject("ModelVersion", f"{self.chain.model}-{version}", uid or f"uid-{version}", 1)


def credit(key: ed25519.Ed25519PrivateKey | None = None) -> tuple[Story, Operators]:
    """The samples' model: 1.4.0 serves, 1.5.0-rc.1 takes over with a canary while nobody watches for a while, and is rolled back."""
    story = Story(key=key)
    operators = Operators(story.blobs, key)
    operators.begin(None)
    new = sample("modelversion-full")
    old = {
        **new,
        "version": "1.4.0",
        "metrics": {"auc": 0.921},
        "evidence": [],
        "artifact": {**new["artifact"], "uri": "s3://models/credit/1.4.0/"},
    }
    story.model(sample("model-full"))
    story.later(minutes=1)
    story.register(old)
    story.verify("1.4.0")
    first = story.promote("1.4.0", "production", [(BOB, "risk")])
    story.later(seconds=20)
    story.serving("production", {"1.4.0": 100})
    story.finish(first, "1.4.0", "production")
    story.later(hours=1)
    story.register(new)
    story.verify("1.5.0-rc.1", evidence={one["name"]: one["sha256"] for one in new["evidence"]})
    second = story.promote("1.5.0-rc.1", "production", [(BOB, "risk"), (DAVE, "business")])
    story.later(minutes=1)
    story.serving("production", {"1.4.0": 90, "1.5.0-rc.1": 10})
    operators.now = story.later(minutes=10)
    operators.term = story.term = 2
    operators.begin(story.now - 5 * MINUTE)
    story.later(seconds=1)
    story.serving("production", {"1.4.0": 50, "1.5.0-rc.1": 50})
    story.later(minutes=30)
    story.serving("production", {"1.5.0-rc.1": 100})
    story.finish(second, "1.5.0-rc.1", "production")
    story.later(hours=2)
    back = story.promote("1.4.0", "production", reason="Too many complaints", rollback=True)
    story.serving("production", {"1.4.0": 100})
    story.finish(back, "1.4.0", "production")
    story.later(days=1)
    story.lifecycle(Action.DEPRECATED, {**new, "lifecycle": "Deprecated"}, "Scores drift")
    return story, operators


def export(folder: pathlib.Path, *writers: Writer) -> pathlib.Path:
    """An exported ledger's folder with these chains."""
    for key, data in _files(writers):
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(data)
    return folder


def _files(writers: Sequence[Writer]) -> Iterator[tuple[str, bytes]]:
    for writer in writers:
        yield from ((writer.chain.key(number), data) for number, data in writer.objects.items())
        yield from ((f"blobs/sha256/{name.removeprefix('sha256:')}", data) for name, data in writer.blobs.items())


@contextlib.contextmanager
def reading(writer: Writer) -> Iterator[reader.ChainReader]:
    """The chain as a book, which must find nothing wrong with it."""
    found = writer.book()
    yield found
    assert not found.flaws
