"""Never granted while a gate does not hold, and always in the phase that DESIGN names: any people, any order of events, crashes included."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from modelyard import api
from modelyard.api import meta, promotion
from modelyard.api.reason import Reason
from modelyard.api.serving import Serving
from modelyard.ledger import fold, index, record
from modelyard.plan import finding
from modelyard.plan.model import decide
from modelyard.plan.observed import world
from modelyard.plan.serving.template import source
from tests.unit.plan import oracle

T = TypeVar("T", api.Model, api.ModelVersion, api.Promotion)
START = datetime.datetime(2026, 10, 1, 9, tzinfo=datetime.UTC)
VERSIONS, PEOPLE = ("1", "2", "3"), ("alice", "bob", "carol", "ci", "system:bot")
NUMBERS = st.sampled_from([0.9, 0.93, 0.934, 40.0, float("nan"), float("inf")])
AFTER = st.sampled_from([{}, {"after": ["dev"]}, {"after": ["test"]}, {"after": ["dev", "test"]}, {"after": ["test"], "servedFor": 3}])
OTHERS = st.sampled_from(
    [
        *[{}] * 4,
        {"metrics": [{"name": "auc", "atLeast": 0.93}]},
        {"metrics": [{"name": "auc", "notWorseThan": "prod", "tolerance": 0.004}]},
        {"metrics": [{"name": "auc", "notWorseThan": "test", "tolerance": 0.0}, {"name": "p99", "atMost": 40.0}]},
        {"evidence": ["ModelCard"]},
        {"documentation": True},
        {"metrics": [{"name": "auc", "atMost": 0.934}], "evidence": ["ModelCard", "BiasReport"], "documentation": True},
    ]
)
APPROVALS = st.sampled_from(
    [
        {},
        {"approvals": [{"name": "risk"}]},
        {"approvals": [{"name": "risk", "required": 2}]},
        {"approvals": [{"name": "risk"}, {"name": "business", "allowServiceAccounts": True}]},
        {"approvals": [{"name": "risk", "scope": "Template"}]},
        {"approvals": [{"name": "risk", "scope": "Template"}]},
    ]
)
GATES = st.builds(lambda *parts: {field: value for part in parts for field, value in part.items()}, AFTER, OTHERS, APPROVALS)
TEMPLATES = ("first", "second", "third")


def serves(template: str) -> dict[str, Any]:
    return {"port": 8080, "template": {"spec": {"containers": [{"name": "server", "image": template}]}}}


SOURCES = {source(Serving.model_validate(serves(name))): name for name in TEMPLATES}
FULL = {
    "training": {"source": {"repository": "https://git", "commit": "4b825dc"}},
    "lineage": {"datasets": [{"name": "d", "role": "Training", "digest": "sha256:0"}]},
    "card": {"limitations": "some"},
}


WORDS = st.lists(
    st.tuples(st.sampled_from(["risk", "risk", "business"]), st.sampled_from(["bob", "carol", "alice", "ci"])), min_size=1, max_size=4
)
KNOWN: dict[str, Any] = {}


def _read(kind: type[T], raw: dict[str, Any]) -> T:
    """As pydantic reads it; the same is read once only, or reading would be most of the test."""
    key = f"{kind.__name__}{raw}"
    if key not in KNOWN:
        KNOWN[key] = kind.model_validate(raw)
    found: T = KNOWN[key]
    return found


def _rendered(question: world.Render) -> str:
    """The name of what it renders to, with its version and its template in it."""
    template = question.of.rpartition("/")[2] if question.of else SOURCES[question.source]
    return f"sha256:{question.stage}-{question.version}/{template}"


class Life(RuleBasedStateMachine):
    """The API server's objects as dictionaries, what really is so as an `oracle.Registry`, and an operator that may die between two writes."""

    @initialize(
        serves=st.booleans(),
        runs=st.booleans(),
        gates=GATES,
        auc=st.lists(st.sampled_from([0.93, 0.934, 0.9, 0.93, 0.934, float("nan")]), min_size=3, max_size=3),
        complete=st.sampled_from([True, True, False]),
        high=st.booleans(),
    )
    def begin(self, serves: bool, runs: bool, gates: dict[str, Any], auc: list[float], complete: bool, high: bool) -> None:
        """Mostly something that can pass, so that what then changes matters."""
        test = oracle.Stage(serves=serves, gates={"after": ["dev"]})
        stages = {"dev": oracle.Stage(), "test": test, "prod": oracle.Stage(serves=runs, gates=gates)}
        self.truth = oracle.Registry(START, stages, described=complete, tier="Medium" if high else "Low")
        for name, number in zip(VERSIONS, auc, strict=True):
            found = oracle.Version({"auc": number, "p99": 40.0}, registrant="ci")
            if complete:
                found.evidence, found.proven = ["ModelCard", "BiasReport"], "True"
            self.truth.versions[name] = found
        self.status: dict[str, Any] = {}
        self.promotions: dict[str, dict[str, Any]] = {}
        self.subjects: dict[str, tuple[str, ...]] = {}
        self.deployments: dict[str, world.Deployment] = {}
        self.past = index.Index()

    # --- what people and the world do

    @rule(version=st.sampled_from(VERSIONS), documented=st.booleans(), by=st.sampled_from([*PEOPLE, None]))
    def register_anew(self, version: str, documented: bool, by: str | None) -> None:
        """As only one that never was verified can be: it has no bytes yet, and nobody promoted it anywhere."""
        if all(one.version != version for one in self.truth.requests.values()):
            self.truth.versions[version] = oracle.Version(documented=documented, registrant=by, state="Pending")

    @rule(version=st.sampled_from(VERSIONS), name=st.sampled_from(["auc", "p99"]), number=NUMBERS)
    def measure(self, version: str, name: str, number: float) -> None:
        if found := self.truth.versions.get(version):
            found.metrics.setdefault(name, number)
            found.proven = None

    @rule(version=st.sampled_from(VERSIONS), kind=st.sampled_from(["ModelCard", "BiasReport"]))
    def attest(self, version: str, kind: str) -> None:
        if (found := self.truth.versions.get(version)) and kind not in found.evidence:
            found.evidence.append(kind)
            found.proven = None

    @rule(version=st.sampled_from(VERSIONS), proven=st.sampled_from(["True", "True", "False", "Unknown"]))
    def look(self, version: str, proven: str) -> None:
        if found := self.truth.versions.get(version):
            found.proven = proven if found.evidence else None

    @rule(version=st.sampled_from(VERSIONS), state=st.sampled_from(["Verified", "Verified", "Verified", "Quarantined"]))
    def verify(self, version: str, state: str) -> None:
        if found := self.truth.versions.get(version):
            found.state = state

    @rule(version=st.sampled_from(VERSIONS), lifecycle=st.sampled_from(["Active", "Active", "Active", "Deprecated"]))
    def deprecate(self, version: str, lifecycle: str) -> None:
        if found := self.truth.versions.get(version):
            found.lifecycle = lifecycle

    @rule(gates=GATES)
    def govern(self, gates: dict[str, Any]) -> None:
        self.truth.stages["prod"].gates = gates

    @rule(template=st.sampled_from(TEMPLATES), rolls_back=st.booleans())
    def retemplate(self, template: str, rolls_back: bool) -> None:
        """Another template is declared; and somebody rolls back, to bring it past those who would have to agree."""
        self.truth.stages["prod"].template = template
        if rolls_back:
            self.roll_back("prod", 1)

    @rule(hours=st.sampled_from([None, None, None, 1, 4]), name=st.sampled_from(["test", "prod"]))
    def freeze(self, hours: int | None, name: str) -> None:
        self.truth.stages[name].frozen = self.truth.now + hours * oracle.HOUR if hours else None

    @rule(described=st.booleans(), tier=st.sampled_from(["Low", "Medium"]))
    def describe(self, described: bool, tier: str) -> None:
        self.truth.described, self.truth.tier = described, tier

    @rule(
        version=st.sampled_from(VERSIONS),
        stage=st.sampled_from(["dev", "test", "prod", "prod", "prod"]),
        by=st.sampled_from(["alice", "alice", "alice", "bob", "system:bot", None]),
        rollback=st.sampled_from([False, False, False, True]),
    )
    def promote(self, version: str, stage: str, by: str | None, rollback: bool) -> None:
        name = f"p{len(self.promotions)}"
        self.truth.requests[name] = oracle.Request(name, version, stage, by, rollback)
        created = self.truth.now.isoformat()
        self.promotions[name] = {"metadata": {"name": name, "uid": name, "creationTimestamp": created}, "status": {}}

    @rule(
        version=st.sampled_from(VERSIONS),
        hours=st.sampled_from([0, 1, 4]),
        then=st.sampled_from(["stay", "go on", "go on", "undo and go on"]),
        lost=st.sampled_from([False, False, False, True]),
    )
    def bring(self, version: str, hours: int, then: str, lost: bool) -> None:
        """Through dev and test, for some hours; and on to prod. The ledger may be lost meanwhile."""
        before = self.truth.stages["test"].current
        for stage in ("dev", "test"):
            self.promote(version, stage, "alice", rollback=False)
            self.everything_reaches_its_phase()
            self.truth.recordable = not lost
            self.become_available()
            self.everything_reaches_its_phase()
        self.truth.now += hours * oracle.HOUR
        if then == "undo and go on" and before:
            self.promote(before, "test", "alice", rollback=True)
            self.everything_reaches_its_phase()
            self.become_available()
            self.everything_reaches_its_phase()
        if then != "stay":
            self.promote(version, "prod", "alice", rollback=False)

    @rule(stage=st.sampled_from(["dev", "test", "prod"]), which=st.integers(0, 2))
    def roll_back(self, stage: str, which: int) -> None:
        """To something that was there before."""
        if done := [version for version, _, _ in self.truth.stages[stage].successes]:
            self.promote(done[-1 - which % len(done)], stage, "alice", rollback=True)

    @rule(
        which=st.integers(0, 3),
        user=st.sampled_from(PEOPLE),
        gate=st.sampled_from(["risk", "business"]),
        decision=st.sampled_from([*["Approved"] * 6, "Withdrawn", "Rejected"]),
        doubted=st.sampled_from([False, False, False, True]),
        stale=st.sampled_from([False, False, True]),
    )
    def speak(self, which: int, user: str, gate: str, decision: str, doubted: bool, stale: bool) -> None:
        """As the policies let in, and as somebody who got past them might write."""
        self._say(which, user, gate, decision, doubted=doubted, stale=stale)

    def _say(self, which: int, user: str, gate: str, decision: str, *, doubted: bool, stale: bool) -> None:
        if not self.promotions:
            return
        name = list(self.promotions)[-1 - which % len(self.promotions)]
        subject = next(iter(self.subjects), None) if stale else self.promotions[name]["status"].get("subject")
        one = self.truth.requests[name]
        one.words = [word for word in one.words if (word["user"], word["gate"]) != (user, gate)]
        about = self.subjects.get(subject) if subject else None
        one.words.append({"user": user, "gate": gate, "decision": decision, "subject": subject, "about": about, "doubted": doubted})

    @rule(version=st.sampled_from(VERSIONS), words=WORDS, doubted=st.sampled_from([False, False, False, True]), anew=st.booleans())
    def agree(self, version: str, words: list[tuple[str, str]], doubted: bool, anew: bool) -> None:
        """Several say yes to what is asked last, one after the other, whether they count or not."""
        if anew:
            self.bring(version, hours=4, then="go on", lost=False)
        for gate, user in words:
            self.everything_reaches_its_phase()
            self._say(0, user, gate, "Approved", stale=False, doubted=doubted)

    @rule(which=st.integers(0, 3), paused=st.sampled_from([False, False, True]), abort=st.sampled_from([*[False] * 7, True]))
    def steer(self, which: int, paused: bool, abort: bool) -> None:
        if self.promotions:
            one = list(self.truth.requests.values())[-1 - which % len(self.promotions)]
            one.paused, one.abort = paused, one.abort or abort

    @rule(recordable=st.sampled_from([True, True, True, False]), guarded=st.sampled_from([True, True, True, False]))
    def trouble(self, recordable: bool, guarded: bool) -> None:
        self.truth.recordable, self.truth.guarded = recordable, guarded

    @rule(hours=st.sampled_from([0, 1, 2]))
    def wait(self, hours: int) -> None:
        self.truth.now += hours * oracle.HOUR

    @rule()
    def become_available(self) -> None:
        for stage in self.status.get("stages") or []:
            if template := (stage.get("rollout") or {}).get("template"):
                self.deployments[stage["name"]] = world.Deployment(f"fraud-{stage['name']}", template, True, 1, 1, 1, 1)

    @rule(writes=st.integers(0, 2))
    def die_while_deciding(self, writes: int) -> None:
        self._decide(writes)

    # --- what must be so

    @invariant()
    def everything_reaches_its_phase(self) -> None:
        if not hasattr(self, "truth"):
            return
        for _ in range(12):
            if not self._decide(None):
                break
        else:
            raise AssertionError("the operator never comes to rest")
        holders = {stage["name"]: stage["promotion"]["name"] for stage in self.status["stages"] if stage.get("promotion")}
        for name, one in self.truth.requests.items():
            phase, holder = self.promotions[name]["status"]["phase"], holders.get(one.stage)
            if promotion.Phase(phase).is_terminal or holder == name:
                continue
            expected = self.truth.phase(one, held_by_another=holder is not None)
            assert phase == expected, (one, self.promotions[name]["status"])
        self.truth.now += datetime.timedelta(seconds=1)

    # --- the operator

    def _decide(self, writes: int | None) -> bool:
        """One decision, dead after so many writes; whether there was anything to write."""
        seen = self._world()
        while (plan := decide.decide(seen, self.truth.now)).ask:
            answers = {one: _rendered(one) if isinstance(one, world.Render) else None for one in plan.ask}
            seen = dataclasses.replace(seen, answers={**seen.answers, **answers})
        done = 0
        for name, status in plan.promotions.items():
            if done == writes:
                return True
            self._note(name, status.dump())
            done += 1
        if plan.status and done != writes:
            self._stand(plan.status.dump())
        return bool(plan.promotions or plan.status)

    def _note(self, name: str, status: dict[str, Any]) -> None:
        """A promotion's status is written: judge it."""
        one, was = self.truth.requests[name], self.promotions[name]["status"]
        if status["phase"] == "RollingOut" and was.get("phase") != "RollingOut":
            assert self.truth.may_be_granted(one), (one, self.truth.lacks(one), status["gates"])
            assert all(row["passed"] for row in status["gates"])
        if status["phase"] == "Succeeded" and was.get("phase") != "Succeeded":
            assert self.truth.recordable or one.rollback, "it Succeeded while that cannot be recorded"
            self.truth.stages[one.stage].successes.append((one.version, one.rollback, self.truth.now))
            self._record(name, one)
        if status["phase"] == "Rejected":
            assert was.get("phase") == "Rejected" or self.truth.rejected(one)
        if (subject := status.get("subject")) and status["phase"] in {"Pending", "Blocked", "AwaitingApproval"}:
            asked = self.truth.asked(one)
            assert asked is not None
            assert self.subjects.setdefault(subject, asked) == asked, "two things that can be asked have one subject"
        self.promotions[name]["status"] = status

    def _record(self, name: str, one: oracle.Request) -> None:
        """The ledger has that it Succeeded, which is what gates and rollbacks go by."""
        detail = {"version": one.version, "stage": one.stage, "rollback": one.rollback, "phase": "Succeeded", "reason": "Succeeded"}
        about = record.Subject("Promotion", name, name, 1)
        told = record.entry(record.Action.ENDED, record.BY_OPERATOR, about, "Succeeded", None, detail, at=self.truth.now)
        chain = record.Chain("main", "risk", "fraud")
        fold.add(self.past, record.Record(chain, self.past.sequence + 1, None, self.truth.now, None, 1, (told,), (), None))

    def _stand(self, status: dict[str, Any]) -> None:
        """The Model's status is written: who holds a stage now must be somebody that may, and what serves is recorded."""
        before = {stage["name"]: stage.get("promotion") for stage in self.status.get("stages") or []}
        ran = {stage["name"]: stage.get("rollout") for stage in self.status.get("stages") or []}
        for stage in status["stages"]:
            self._judge_template(stage, ran.get(stage["name"]))
            if stage.get("promotion") and stage["promotion"] != before.get(stage["name"]):
                assert self.truth.may_be_granted(self.truth.requests[stage["promotion"]["name"]])
            if self.truth.stages[stage["name"]].serves:
                self._serve(stage["name"], stage.get("current"))
        self.status = status

    def _judge_template(self, stage: dict[str, Any], ran: dict[str, Any] | None) -> None:
        """What begins runs a template that may run, and really that one; what serves is what was agreed to last."""
        truth, rollout = self.truth.stages[stage["name"]], stage.get("rollout")
        if rollout and rollout.get("template") and rollout != ran:
            template, holder = SOURCES[rollout["source"]], stage.get("promotion")
            rollback = bool(holder and self.truth.requests[holder["name"]].rollback)
            assert truth.may_run(template, rollback=rollback, asked=holder is not None), (template, truth, stage)
            assert rollout["template"].endswith(f"/{template}")
        if (runs := stage.get("serving")) and runs.get("template"):
            truth.agreed = SOURCES[runs["source"]]
        elif stage.get("current"):
            truth.agreed = None

    def _serve(self, stage: str, current: str | None) -> None:
        spans = self.truth.spans
        running = [span for span in spans if span[0] == stage and span[3] is None]
        if [span[1] for span in running] == [current]:
            return
        self.truth.spans = [(*span[:3], self.truth.now) if span in running else span for span in spans]
        if current:
            self.truth.spans.append((stage, current, self.truth.now, None))

    def _world(self) -> world.World:
        truth = self.truth
        return world.World(
            "risk",
            "fraud",
            _read(api.Model, {"metadata": {"name": "fraud", "generation": 1}, "spec": self._model(), "status": self.status}),
            {name: self._version(name, one) for name, one in truth.versions.items()},
            tuple(self._promotion(name, one) for name, one in truth.requests.items()),
            self.deployments,
            past=self.past,
            served=self._served(),
            registrants={name: one.registrant for name, one in truth.versions.items() if one.registrant},
            withheld=None if truth.recordable else finding.Unmet(Reason.LEDGER_UNAVAILABLE, "no answer"),
            unguarded=None if truth.guarded else finding.Unmet(Reason.POLICIES_MISSING, "a forbidden write passed"),
            doubted=frozenset(
                (name, word["user"], word["gate"]) for name, one in truth.requests.items() for word in one.words if word["doubted"]
            ),
        )

    def _model(self) -> dict[str, Any]:
        stages = []
        for name, stage in self.truth.stages.items():
            gates = dict(stage.gates)
            if "servedFor" in gates:
                gates["servedFor"] = f"{gates['servedFor']}h"
            frozen = {"reason": "x", "until": stage.frozen.isoformat()} if stage.frozen else None
            stages.append(
                {"name": name, "gates": gates or None, "frozen": frozen, "serving": serves(stage.template) if stage.serves else None}
            )
        words = {"description": "d", "intendedUse": "u"} if self.truth.described else {}
        storage = {"uri": "s3://models/fraud/"}
        return {"owner": {"team": "t"}, "storage": storage, "stages": stages, "riskTier": self.truth.tier, **words}

    def _version(self, name: str, one: oracle.Version) -> api.ModelVersion:
        stamp = meta._write_time(START)
        said = {"lastTransitionTime": stamp, "reason": "Verified", "message": "why", "observedGeneration": 1}
        conditions = [{"type": "Verified", "status": "True" if one.state == "Verified" else "False", **said}]
        if one.evidence:
            # What was found before it was last added to is of an older generation.
            conditions.append(
                {"type": "EvidenceVerified", **said, "status": one.proven or "True", "observedGeneration": 1 if one.proven else 0}
            )
        artifact = {
            "digest": f"sha256:{name}",
            "files": 1,
            "bytes": 1,
            "manifest": "m",
            "verifiedAt": stamp,
            "checkedAt": stamp,
            "seconds": 1,
        }
        phase = (
            one.lifecycle if one.lifecycle != "Active" and one.state == "Verified" else "Ready" if one.state == "Verified" else one.state
        )
        documents = [{"name": kind.lower(), "type": kind, "uri": "s3://models/fraud/e", "sha256": "sha256:0"} for kind in one.evidence]
        spec: dict[str, Any] = {
            "model": "fraud",
            "version": name,
            "artifact": {"uri": "s3://models/fraud/1/", "format": "onnx", "digest": f"sha256:{name}"},
        }
        spec |= {"metrics": one.metrics, "evidence": documents, "lifecycle": one.lifecycle} | (FULL if one.documented else {})
        status = {"phase": phase, "conditions": conditions, "artifact": artifact if one.state != "Pending" else None}
        return _read(api.ModelVersion, {"metadata": {"name": f"fraud-{name}", "generation": 1}, "spec": spec, "status": status})

    def _promotion(self, name: str, one: oracle.Request) -> api.Promotion:
        words = [{field: word[field] for field in ("user", "gate", "decision", "subject")} for word in one.words]
        spec: dict[str, Any] = {
            "model": "fraud",
            "version": one.version,
            "stage": one.stage,
            "requestedBy": one.by,
            "rollback": one.rollback,
        }
        spec |= {"approvals": words, "paused": one.paused, "abort": one.abort}
        return _read(api.Promotion, {**self.promotions[name], "spec": spec})

    def _served(self) -> dict[tuple[str, str], world.Served]:
        found: dict[tuple[str, str], world.Served] = {}
        for stage, version, begin, end in self.truth.spans:
            found[stage, version] = world.Served((*found.get((stage, version), world.Served()).spans, (begin, end)))
        return found


Life.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestNothingIsGrantedWhileAGateDoesNotHold = Life.TestCase
