"""What really is so of promotions, written from DESIGN §2.3 to §2.5 as plainly as can be: what may be granted, and what may be shown."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator
from typing import Any, Final

from modelyard.cli.decide import promote
from tests.fakes import admission, bucket
from tests.fakes.world import Guard, World, records
from tests.unit.plan import oracle

Json = dict[str, Any]
FIXED: Final = ("model", "version", "stage", "reason", "rollback")
"""What a Promotion cannot change: under its name this runs once, for ever."""
NOT_AGREED: Final = "nobody, or not enough, agreed"
WAITS: Final = {None, "Pending", "Blocked", "AwaitingApproval"}


@dataclasses.dataclass(frozen=True)
class Success:
    """One success of a stage."""

    name: str
    uid: str
    fixed: str


@dataclasses.dataclass
class Word:
    """What somebody said for a gate, as the operator heard it."""

    decision: str
    subject: str | None
    doubted: bool


def fixed(promotion: Json) -> str:
    """What its name means."""
    return json.dumps({field: promotion["spec"].get(field) or None for field in FIXED})


class Truth:
    """Judges the operator's statuses as they are written, and what stands there when it rests.

    Args:
        world: the API server.
        guard: whether the policies are effective.
        kept: the operator's bucket.
    """

    def __init__(self, world: World, guard: Guard, kept: bucket.Bucket) -> None:
        self._world, self._guard, self._bucket = world, guard, kept
        self._stages: dict[tuple[str, str], oracle.Stage] = {}
        self._last: dict[tuple[str, str], Success] = {}
        self._succeeded: set[str] = set()
        """uids of promotions that did."""
        self._ran: dict[tuple[str, str], tuple[str, str]] = {}
        """By model and name: the uid that ran under it, and what it meant."""
        self._known: dict[str, Json] = {}
        """Promotions by uid, also those that are gone."""
        self._asked: dict[str, str] = {}
        """By subject: what was asked."""
        self._heard: dict[tuple[str, str, str], Word] = {}
        self._registrants: dict[tuple[str, str], set[str]] = {}
        self._retired: set[tuple[str, str]] = set()
        self._creators: dict[str, str] = {}
        """By uid."""
        self._writes: dict[str, list[tuple[int, str, set[str]]]] = {}
        """By uid: generation, who made it, and the fields of the spec that they changed."""
        world.judge = self._judge

    def created(self, user: str, obj: Json) -> None:
        """Somebody created an object."""
        self._creators[obj["metadata"]["uid"]] = user

    def changed(self, user: str, was: Json, now: Json) -> None:
        """Somebody changed an object's spec."""
        fields = {field for field in {*was["spec"], *now["spec"]} if was["spec"].get(field) != now["spec"].get(field)}
        self._writes.setdefault(now["metadata"]["uid"], []).append((now["metadata"]["generation"], user, fields))

    def told(self) -> None:
        """Fail where the ledger has a change of a Model's rules twice, leaves one out, or names somebody who did not make it."""
        last: dict[str, tuple[str | None, int]] = {}
        for one in (one for record in records(self._bucket) for one in record.facts if one.subject.kind == "Model"):
            uid, generation = one.subject.uid, one.subject.generation
            if one.action == "RulesChanged":
                before, since = last[uid]
                assert one.detail["before"] == before, (
                    f"generation {generation} of {one.subject.name} begins at what was told to have changed"
                )
                fields = {path.partition("/")[0] for path in one.detail["changed"]}
                made = {who for when, who, what in self._writes.get(uid, ()) if since < when <= generation and what & fields}
                assert one.actor.name in made, f"{one.actor.name} is said to have changed {fields} of {one.subject.name}, and {made} did"
            if one.action in {"ModelCreated", "RulesChanged"}:
                last[uid] = one.digest, generation

    def heard(self) -> None:
        """The operator has looked at everything: who registered what, what was retired, and who said what."""
        for obj in self._objects("ModelVersion"):
            place = (obj["spec"]["model"], obj["spec"]["version"])
            self._registrants.setdefault(place, set()).add(self._creator(obj))
            if obj["spec"].get("lifecycle") == "Retired":
                self._retired.add(place)
        for obj in self._objects("Promotion"):
            self._known[obj["metadata"]["uid"]] = obj
            if obj["status"].get("phase") not in admission.ENDED:
                self._heard |= {
                    (obj["metadata"]["uid"], word["user"], word["gate"]): self._word(obj, word)
                    for word in obj["spec"].get("approvals") or []
                }

    def seen(self) -> None:
        """Fail where a person would see something better than what is so, or something is held that may be granted."""
        for obj in self._objects("Promotion"):
            spec, name, uid = obj["spec"], obj["metadata"]["name"], obj["metadata"]["uid"]
            phase, place = obj["status"].get("phase"), (spec["model"], spec["stage"])
            stands = self._stands(*place)
            by = self._last.get(place)
            if phase == "Succeeded":
                assert stands.get("current") == spec["version"], f"{name} is Succeeded, and {place} is at {stands.get('current')}"
                assert by
                assert (by.name, by.fixed) == (name, fixed(obj)), f"{name} is Succeeded, and {place} came by {by}"
            elif promote.succeeded(obj):
                assert uid in self._succeeded, f"promote --wait of {name} ends with 0, and it never Succeeded"
            ran = self._ran.get((spec["model"], name))
            if ran and ran[0] != uid and ran[1] != fixed(obj):
                stalled = [one for one in obj["status"]["conditions"] if one["type"] == "Stalled"]
                assert phase == "Reused", f"{name} is {phase}, and its name ran for {ran[1]}"
                assert stalled
            if phase == "Reused":
                assert self._told_of_another(obj), f"{name} is Reused, and nothing ran under its name"
            held = stands["promotion"]["uid"] != uid if stands.get("promotion") else bool(stands.get("rollout"))
            if phase in WAITS and not held and self._bucket.down is None and self._guard.held is None:
                why, message = self._why_not(obj), obj["status"]["conditions"][0]["message"]
                assert why, f"{name} is {phase}, and nothing is in its way: {message}"
                assert why != NOT_AGREED or phase == "AwaitingApproval", f"{name} is {phase}, and nobody is asked: {message}"

    def _judge(self, obj: Json, status: Json) -> None:
        """The operator writes a status."""
        if obj["kind"] == "Promotion":
            self._known[obj["metadata"]["uid"]] = obj
            if (subject := status.get("subject")) and status.get("phase") in WAITS:
                asked = self._content(obj)
                assert self._asked.setdefault(subject, asked) == asked, "two things that can be asked have one subject"
            own = next((one["reason"] for one in status["conditions"] if one["type"] == "Ready"), "") not in {"AlreadyRan", "Reused"}
            if status.get("phase") in admission.ENDED and own:
                self._runs(obj)
        if obj["kind"] == "Model":
            self._stage(obj["metadata"]["name"], (obj.get("status") or {}).get("stages") or [], status.get("stages") or [])

    def _stage(self, model: str, before: list[Json], after: list[Json]) -> None:
        old = {one["name"]: one for one in before}
        for now in after:
            was, place = old.get(now["name"], {}), (model, now["name"])
            promotion: Json | None
            held, holds = was.get("promotion"), now.get("promotion")
            if held and held != holds and self._has_succeeded(held, was, now):
                promotion = self._known[held["uid"]]
                success = (held["version"], bool(promotion["spec"].get("rollback")), self._world.now)
                self._stages.setdefault(place, oracle.Stage()).successes.append(success)
                self._last[place] = Success(held["name"], held["uid"], fixed(promotion))
                self._succeeded.add(held["uid"])
            else:
                assert now.get("current") in {None, was.get("current"), *self._ever(place)}, (
                    f"{place} came to {now.get('current')} by nothing"
                )
            if holds and holds != held:
                granted = self._known.get(holds["uid"]) or self._object("Promotion", holds["name"])
                assert granted, f"{place} was granted to what nobody has seen"
                assert not (why := self._why_not(granted)), f"{granted['metadata']['name']} was granted {place}: {why}"
                self._runs(granted)

    def _has_succeeded(self, held: Json, was: Json, now: Json) -> bool:
        """Whether the promotion that held a stage is why it is at its version."""
        if now.get("current") != held["version"]:
            return False
        promotion = self._object("Promotion", held["name"])
        if promotion and promotion["metadata"]["uid"] == held["uid"]:
            return bool(promotion["status"]["phase"] == "Succeeded")
        return now.get("current") != was.get("current")

    def _runs(self, promotion: Json) -> None:
        about = promotion["metadata"]
        self._ran.setdefault((promotion["spec"]["model"], about["name"]), (about["uid"], fixed(promotion)))

    def _why_not(self, promotion: Json) -> str:
        """Why a promotion may not be granted its stage now; empty: it may."""
        spec, about = promotion["spec"], promotion["metadata"]
        place, back = (spec["model"], spec["stage"]), bool(spec.get("rollback"))
        ran = self._ran.get((spec["model"], about["name"]))
        model, version = self._object("Model", spec["model"]), self._object("ModelVersion", f"{spec['model']}-{spec['version']}")
        stage = self._declared(*place)
        if ran and ran[0] != about["uid"]:
            return f"its name ran for {ran[1]}"
        if spec.get("abort") or spec.get("paused"):
            return "a person said so"
        if model is None or model["spec"].get("lifecycle") == "Retired" or stage is None:
            return "the Model, or its stage, is not there or Retired"
        lifecycle = version["spec"].get("lifecycle", "Active") if version else None
        if version is None or lifecycle == "Retired" or (spec["model"], spec["version"]) in self._retired:
            return "the version is not there, or Retired"
        if back:
            return "" if spec["version"] in self._ever(place) else "it never Succeeded there, and would go back"
        if lifecycle == "Deprecated":
            return "the version is Deprecated"
        if self._bucket.down:
            return "it cannot be recorded"
        return self._gates(promotion, stage.get("gates") or {}, stage)

    def _gates(self, promotion: Json, gates: Json, stage: Json) -> str:
        spec = promotion["spec"]
        missing = [
            one for one in gates.get("after", []) if spec["version"] not in self._stages.get((spec["model"], one), oracle.Stage()).stands()
        ]
        if missing:
            return f"it has not Succeeded in {missing}"
        if stage.get("frozen"):
            return "the stage is frozen"
        if gates.get("approvals") and (self._guard.held or not self._agreed(promotion, gates["approvals"])):
            return NOT_AGREED
        return ""

    def _agreed(self, promotion: Json, gates: list[Json]) -> bool:
        """Whether people, each for one gate, agree to what is asked now, none of whom asks or registered it."""
        spec, asked = promotion["spec"], self._content(promotion)
        version = self._object("ModelVersion", f"{spec['model']}-{spec['version']}")
        mine = {
            spec["requestedBy"],
            *self._registrants.get((spec["model"], spec["version"]), ()),
            *([self._creator(version)] if version else []),
        }
        required = {gate["name"]: gate.get("required", 1) for gate in gates}
        willing: dict[str, list[str | None]] = {}
        for word in spec.get("approvals") or []:
            current = word["gate"] in required and self._asked.get(word["subject"]) == asked
            if current and word["decision"] == "Rejected":
                return False
            if current and word["decision"] == "Approved" and word["user"] not in mine and not self._word(promotion, word).doubted:
                willing.setdefault(word["user"], [None]).append(word["gate"])
        return any(
            all(choice.count(name) >= number for name, number in required.items()) for choice in itertools.product(*willing.values())
        )

    def _word(self, promotion: Json, word: Json) -> Word:
        """It is doubted when it was heard first while the policies were not proven effective."""
        before = self._heard.get((promotion["metadata"]["uid"], word["user"], word["gate"]))
        if before and (before.decision, before.subject) == (word["decision"], word["subject"]):
            return before
        return Word(word["decision"], word["subject"], self._guard.found is not None)

    def _content(self, promotion: Json) -> str:
        """All that somebody who approves agrees to."""
        spec = promotion["spec"]
        stage = self._declared(spec["model"], spec["stage"]) or {}
        version = self._object("ModelVersion", f"{spec['model']}-{spec['version']}") or {"spec": {}}
        said = [spec["model"], spec["stage"], spec["version"], stage.get("gates"), stage.get("serving"), version["spec"].get("metrics")]
        return json.dumps(said, sort_keys=True)

    def _ever(self, place: tuple[str, str]) -> set[str]:
        return {version for version, _, _ in self._stages.get(place, oracle.Stage()).successes}

    def _declared(self, model: str, stage: str) -> Json | None:
        found = self._object("Model", model)
        return next((one for one in found["spec"]["stages"] if one["name"] == stage), None) if found else None

    def _stands(self, model: str, stage: str) -> Json:
        found = self._object("Model", model) or {}
        return next((one for one in (found.get("status") or {}).get("stages") or [] if one["name"] == stage), {})

    def _told_of_another(self, promotion: Json) -> bool:
        """Whether the ledger, or what waits for it, has that another object was granted its stage, or ended, under the name."""
        about, model = promotion["metadata"], self._object("Model", promotion["spec"]["model"]) or {}
        waits = ((model.get("status") or {}).get("ledger") or {}).get("unrecorded") or []
        subjects = [(one.action, one.subject) for record in records(self._bucket) for one in record.facts]
        told = [subject.uid for action, subject in subjects if action in {"Granted", "Ended"} and subject.name == about["name"]]
        told += [json.loads(one)["subject"]["uid"] for one in waits if json.loads(one)["subject"]["name"] == about["name"]]
        return any(uid != about["uid"] for uid in told)

    def _creator(self, obj: Json) -> str:
        return self._creators.get(obj["metadata"]["uid"], "the operator")

    def _object(self, kind: str, name: str) -> Json | None:
        return self._world.objects.get((kind, "risk", name))

    def _objects(self, kind: str) -> Iterator[Json]:
        return (obj for (of, _, _), obj in list(self._world.objects.items()) if of == kind)
