"""Whatever people do, in whatever order: nothing is granted that the rules do not allow, and nobody sees anything better than what is so.

People with every subset of the verbs create, change, delete and make anew, under few names, over several models and stages, while the operator
dies in between; the API server is an oracle of DESIGN §2.5 (`tests.fakes.admission`), what may be granted and shown another (`truth`).
`MODELYARD_SEQUENCES=2000` tries more of them.
"""

from __future__ import annotations

import asyncio
import copy
import os
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from modelyard.api.reason import Reason
from modelyard.edge.cluster import client
from modelyard.plan import finding
from tests.fakes import admission, world
from tests.stories import test_stories, truth

Json = dict[str, Any]
MODELS, STAGES, VERSIONS = ("fraud", "churn"), ("dev", "staging", "production"), ("1", "2", "3")
PEOPLE = ("root", "ann", "bob")
VERBS = (
    *("register", "attest", "promote", "approve", "govern", "rollback", "retire", "alias"),
    *("promote/staging", "approve/production", "approve/production/risk", "govern/staging", "rollback/production"),
)
SERVING = {"port": 8080, "template": {"spec": {"containers": [{"name": "server", "image": "serve:1"}]}}}
GATES: tuple[Json, ...] = (
    {},
    {"after": ["dev"]},
    {"after": ["staging"]},
    {"after": ["dev"], "approvals": [{"name": "risk"}]},
    {"approvals": [{"name": "risk"}]},
    {"approvals": [{"name": "risk"}, {"name": "business"}]},
)
RIGHTS = st.builds(frozenset.union, st.frozensets(st.sampled_from(VERBS)), st.sampled_from([frozenset(), frozenset({"approve"})]))
MISSING = finding.Unmet(Reason.POLICIES_MISSING, "a forbidden write passed")

person, model, stage, version = (st.sampled_from(those) for those in (("root", *PEOPLE), ("fraud", *MODELS), STAGES, VERSIONS))
looks = st.sampled_from([True, True, True, False])
old = st.integers(0, 5)
"""Which of the names that there were, from the last on."""
name = st.one_of(st.none(), old)
"""Such a name, or a new one."""
seldom = st.sampled_from([False, False, False, True])


class Teller(test_stories.Teller):
    """An operator that may die after so many writes, once."""

    def _start(self) -> None:
        self.world.lives = None
        super()._start()


class Sequences(RuleBasedStateMachine):
    """People, an API server that lets in what DESIGN says, and the real operator."""

    @initialize(
        rights=st.fixed_dictionaries(dict.fromkeys(PEOPLE[1:], RIGHTS)),
        gates=st.sampled_from(GATES[2:]),
        serves=st.booleans(),
    )
    def begin(self, rights: dict[str, admission.Verbs], gates: Json, serves: bool) -> None:
        """Two models with two versions each; production asks for something."""
        self.loop = asyncio.new_event_loop()
        self.teller = Teller(restart=False)
        self.world = self.teller.world
        self.admission = admission.Admission({"root": frozenset(VERBS), **rights})
        self.truth = truth.Truth(self.world, self.teller.guard, self.teller.bucket)
        stages: list[Json] = [{"name": "dev"}, {"name": "staging", "gates": {"after": ["dev"]}}, {"name": "production", "gates": gates}]
        if serves:
            stages[1]["serving"] = SERVING
        self.specs: dict[str, Json] = {}
        self.names: list[str] = []
        for called in MODELS:
            self.specs[called] = {"owner": {"team": "t"}, "storage": {"uri": f"s3://models/{called}/"}, "stages": stages}
            self._create("root", "Model", called, self.specs[called])
            for number in VERSIONS:
                self.teller.store.bytes[f"s3://models/{called}/{number}/"] = number
                self._register("root", called, number)
        self._look()

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()

    # --- what people do

    @rule(who=person, called=name, of=model, to=version, into=stage, back=seldom, why=st.sampled_from([None, "CAB-1"]), look=looks)
    def ask(self, who: str, called: int | None, of: str, to: str, into: str, back: bool, why: str | None, look: bool) -> None:
        spec = {"model": of, "version": to, "stage": into} | ({"rollback": True} if back else {}) | ({"reason": why} if why else {})
        self._create(who, "Promotion", self._name(called), spec)
        self._look(look)

    @rule(called=old, to=version, into=stage, back=seldom, look=st.booleans(), then=looks)
    def use_a_name_again(self, called: int, to: str, into: str, back: bool, look: bool, then: bool) -> None:
        """As who may do everything with a pruning Git does: what has the name goes, and something comes under it."""
        self._delete("root", "Promotion", self._name(called))
        self._look(look)
        self.ask("root", called, "fraud", to, into, back, None, then)

    @rule(called=old, look=st.booleans(), then=looks)
    def prune_and_apply_again(self, called: int, look: bool, then: bool) -> None:
        """The same under the same name."""
        if was := self.world.objects.get(("Promotion", "risk", self._name(called))):
            self._delete("root", "Promotion", was["metadata"]["name"])
            self._look(look)
            spec = {field: value for field, value in was["spec"].items() if field in truth.FIXED}
            self._create("root", "Promotion", was["metadata"]["name"], spec)
            self._look(then)

    @rule(to=version, on=st.booleans(), agree=st.booleans())
    def bring(self, to: str, on: bool, agree: bool) -> None:
        """Through dev and staging, and on to production, where people may agree."""
        for into in STAGES if on else STAGES[:2]:
            self.ask("root", None, "fraud", to, into, back=False, why=None, look=True)
            self.become_available()
        if on and agree:
            self.agree(0)

    @rule(called=old)
    def agree(self, called: int) -> None:
        """Everybody says yes to everything, whether they may or not."""
        for who in PEOPLE:
            for gate in ("risk", "business"):
                self.speak(who, called, gate, "Approved", look=True)

    @rule(called=old)
    def agree_while_nobody_knows_whose_word_it_is_and_again(self, called: int) -> None:
        """The policies are not effective for a while: what is taken back and said anew after that counts."""
        self.policies(missing=True)
        self.agree(called)
        self.policies(missing=False)
        for who in PEOPLE:
            self.speak(who, called, "risk", "Withdrawn", look=False)
        self.agree(called)

    @rule(called=name, to=version, into=stage)
    def go_back(self, called: int | None, to: str, into: str) -> None:
        """Perhaps by a name that ran."""
        if called is not None:
            self._delete("root", "Promotion", self._name(called))
        self.ask("root", called, "fraud", to, into, back=True, why=None, look=True)
        self.become_available()

    @rule(who=person, called=old, look=looks)
    def drop(self, who: str, called: int, look: bool) -> None:
        self._delete(who, "Promotion", self._name(called))
        self._look(look)

    @rule(
        who=st.sampled_from(PEOPLE), called=old, gate=st.sampled_from(["risk", "risk", "business"]),
        decision=st.sampled_from(["Approved", "Approved", "Approved", "Withdrawn", "Rejected"]), look=looks,
    )  # fmt: skip
    def speak(self, who: str, called: int, gate: str, decision: str, look: bool) -> None:
        def say(spec: Json) -> None:
            entries = [one for one in spec.get("approvals", []) if (one["user"], one["gate"]) != (who, gate)]
            spec["approvals"] = [*entries, {"user": who, "gate": gate, "decision": decision}]

        self._change(who, "Promotion", self._name(called), say)
        self._look(look)

    @rule(who=person, called=old, field=st.sampled_from(["paused", "abort"]), value=seldom)
    def steer(self, who: str, called: int, field: str, value: bool) -> None:
        self._change(who, "Promotion", self._name(called), lambda spec: spec.update({field: value}))
        self._look()

    @rule(who=person, of=model, at=st.sampled_from([1, 2, 2]), gates=st.sampled_from(GATES), frozen=seldom, look=looks)
    def govern(self, who: str, of: str, at: int, gates: Json, frozen: bool, look: bool) -> None:
        def rules(spec: Json) -> None:
            if len(spec["stages"]) > at:
                spec["stages"][at] |= {"gates": gates}
                spec["stages"][at].pop("frozen", None)
                spec["stages"][at] |= {"frozen": {"reason": "year-end"}} if frozen else {}

        self._change(who, "Model", of, rules)
        self._look(look)

    @rule(who=person, of=st.sampled_from(MODELS), look=looks)
    def remove_or_declare_the_last_stage(self, who: str, of: str, look: bool) -> None:
        self._change(who, "Model", of, lambda spec: spec.update(stages=self.specs[of]["stages"][: 2 if len(spec["stages"]) > 2 else 3]))
        self._look(look)

    @rule(who=person, of=model, image=st.sampled_from(["serve:1", "serve:2"]))
    def change_what_serves(self, who: str, of: str, image: str) -> None:
        def serve(spec: Json) -> None:
            if serving := spec["stages"][1].get("serving"):
                serving["template"]["spec"]["containers"][0]["image"] = image

        self._change(who, "Model", of, serve)
        self._look()

    @rule(who=person, of=model, words=st.sampled_from(["a", "b"]), look=looks)
    def describe(self, who: str, of: str, words: str, look: bool) -> None:
        self._change(who, "Model", of, lambda spec: spec.update(description=words))
        self._look(look)

    @rule(who=person, of=model, to=version, number=st.sampled_from([0.9, 0.95]))
    def attest(self, who: str, of: str, to: str, number: float) -> None:
        self._change(who, "ModelVersion", f"{of}-{to}", lambda spec: spec.update(metrics={"auc": number}))
        self._look()

    @rule(who=person, of=model, to=version, lifecycle=st.sampled_from(["Active", "Active", "Active", "Deprecated", "Retired"]), look=looks)
    def retire_a_version(self, who: str, of: str, to: str, lifecycle: str, look: bool) -> None:
        self._change(who, "ModelVersion", f"{of}-{to}", lambda spec: spec.update(lifecycle=lifecycle))
        self._look(look)

    @rule(who=person, of=model, to=version, look=looks)
    def delete_a_version_and_register_it_again(self, who: str, of: str, to: str, look: bool) -> None:
        if self.teller.bucket.down is None:  # else what the name meant cannot be read
            self._delete(who, "ModelVersion", f"{of}-{to}")
            self._look(look)
            self._register(who, of, to)
            self._look()

    @rule(who=person, of=st.sampled_from(MODELS), sure=seldom, look=looks)
    def retire_the_model_and_create_it_again(self, who: str, of: str, sure: bool, look: bool) -> None:
        if not sure:
            return
        self._change(who, "Model", of, lambda spec: spec.update(lifecycle="Retired"))
        self._look(look)
        self._delete(who, "Model", of)
        self._look(look)
        self._create(who, "Model", of, self.specs[of])
        self._look()

    # --- what the world does

    @rule()
    def become_available(self) -> None:
        for kind, _, called in [*self.world.objects]:
            if kind == "Deployment":
                self.world.roll(called, available=True)
        self._look()

    @rule(missing=seldom)
    def policies(self, missing: bool) -> None:
        """What the minute's probe finds: approvals that appear meanwhile do not count, those after it do."""
        self.teller.guard.held = self.teller.guard.found = MISSING if missing else None
        self.teller.enqueue(self.teller.cache.keys())
        self._look()

    @rule(away=seldom)
    def ledger(self, away: bool) -> None:
        self._look()
        self.world.lives = None  # who dies meanwhile has no successor
        self.teller.bucket.down = "no answer" if away else None
        self._pass("5m")

    @rule(minutes=st.sampled_from(["1m", "1h"]))
    def wait(self, minutes: str) -> None:
        self._pass(minutes)

    @rule(writes=st.integers(1, 6))
    def die_after_so_many_writes(self, writes: int) -> None:
        if self.teller.bucket.down is None:
            self.world.lives = writes

    @rule()
    def restart(self) -> None:
        if self.teller.bucket.down is None:
            self.teller._start()
            self._look()

    @rule(who=person, called=old, deletes=st.booleans(), of=model)
    def write_while_a_record_is_written(self, who: str, called: int, deletes: bool, of: str) -> None:
        """Between the record of a decision and its statuses."""

        def after(key: str) -> None:
            if key.startswith("ledger/"):
                self.teller.bucket.after = lambda _key: None
                if deletes:
                    self._delete(who, "Promotion", self._name(called))
                else:
                    self._change(who, "Model", of, lambda spec: spec.update(description=who))

        self.teller.bucket.after = after

    @rule(who=person, other=person, of=model, gates=st.sampled_from(GATES))
    def govern_while_somebody_describes(self, who: str, other: str, of: str, gates: Json) -> None:
        """The rules are recorded, and before the Model's status says so somebody else writes it."""
        self.write_while_a_record_is_written(other, 0, deletes=False, of=of)
        self.govern(who, of, 2, gates, frozen=False, look=True)

    # --- what must be so

    @invariant()
    def nobody_sees_what_is_not_so(self) -> None:
        if hasattr(self, "truth") and self.rests:
            self.truth.seen()

    # --- inside

    rests = False
    """The operator has looked at all that was written."""

    def _name(self, which: int | None) -> str:
        """A name of a Promotion: one that there was, from the last on, or else a new one."""
        if which is None or not self.names:
            self.names.append(f"p{len(self.names)}")
            return self.names[-1]
        return self.names[-1 - which % len(self.names)]

    def _register(self, who: str, of: str, number: str) -> None:
        artifact = {"uri": f"s3://models/{of}/{number}/", "format": "onnx", "digest": world.digest_of(number)}
        self._create(who, "ModelVersion", f"{of}-{number}", {"model": of, "version": number, "artifact": artifact})

    def _create(self, who: str, kind: str, called: str, spec: Json) -> None:
        if (kind, "risk", called) not in self.world.objects:
            obj = {"kind": kind, "metadata": {"name": called}, "spec": copy.deepcopy(spec)}
            self._write(lambda: self.admission.create(who, obj))
            if made := self.world.objects.get((kind, "risk", called)):
                self.truth.created(who, made)

    def _change(self, who: str, kind: str, called: str, change: Any) -> None:
        if was := self.world.objects.get((kind, "risk", called)):
            obj = copy.deepcopy({part: was[part] for part in ("kind", "metadata", "spec")})
            change(obj["spec"])
            self._write(lambda: self.admission.change(who, was, obj))
            if (now := self.world.objects[kind, "risk", called])["metadata"]["generation"] != was["metadata"]["generation"]:
                self.truth.changed(who, was, now)

    def _write(self, admitted: Any) -> None:
        """A write of a person's, during which the operator does not die."""
        works, self.world.works = self.world.works, False
        lives, self.world.lives = self.world.lives, None
        try:
            self.world.put(admitted())
            self.rests = False
        except admission.Refused:
            pass
        finally:
            self.world.works, self.world.lives = works, lives

    def _delete(self, who: str, kind: str, called: str) -> None:
        if was := self.world.objects.get((kind, "risk", called)):
            try:
                self.admission.delete(who, was)
            except admission.Refused:
                return
            self.world.remove(client.KINDS[kind], called)
            self.rests = False

    def _look(self, look: bool = True) -> None:
        if look:
            self.loop.run_until_complete(self.teller.settle())
            self.truth.heard()
            self.rests = True

    def _pass(self, minutes: str) -> None:
        self.loop.run_until_complete(self.teller.tell([{"after": minutes}]))
        self.truth.heard()
        self.rests = True


Sequences.TestCase.settings = settings(max_examples=int(os.environ.get("MODELYARD_SEQUENCES", "80")), stateful_step_count=25, deadline=None)
TestNothingIsGrantedOrShownThatIsNotSo: Final = Sequences.TestCase


class Authors(Sequences):
    """The same, and what the ledger tells of rules."""

    @invariant()
    def each_change_of_the_rules_is_told_once_with_who_made_it(self) -> None:
        if hasattr(self, "truth") and self.rests and self.teller.bucket.down is None:
            self.truth.told()


Authors.TestCase.settings = settings(Sequences.TestCase.settings, max_examples=Sequences.TestCase.settings.max_examples // 2)
TestEachChangeIsToldOnceWithWhoMadeIt: Final = Authors.TestCase
