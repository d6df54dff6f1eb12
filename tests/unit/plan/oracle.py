"""What DESIGN says of gates, approvals and phases (2.1, 2.3 to 2.6), written anew and as plainly as can be: the judge of the real thing."""

from __future__ import annotations

import dataclasses
import datetime
import fractions
import itertools
from typing import Any

HOUR = datetime.timedelta(hours=1)


@dataclasses.dataclass
class Version:
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    evidence: list[str] = dataclasses.field(default_factory=list)
    proven: str | None = None
    """What was found when its evidence was last looked at, as it is declared now; None: not looked at since."""
    state: str = "Verified"
    """Verified, Pending or Quarantined."""
    lifecycle: str = "Active"
    documented: bool = True
    registrant: str | None = None


@dataclasses.dataclass
class Request:
    name: str
    version: str
    stage: str
    by: str | None
    rollback: bool
    words: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """user, gate, decision, about (what was asked when it was said), doubted."""
    abort: bool = False
    paused: bool = False


@dataclasses.dataclass
class Stage:
    serves: bool = False
    template: str = "first"
    """What is declared now."""
    agreed: str | None = None
    """What serves: where people are asked about templates, the last that they agreed to."""
    gates: dict[str, Any] = dataclasses.field(default_factory=dict)
    frozen: datetime.datetime | None = None
    successes: list[tuple[str, bool, datetime.datetime]] = dataclasses.field(default_factory=list)
    """version, whether by a rollback, when."""

    def stands(self) -> dict[str, datetime.datetime]:
        """The versions that Succeeded and were not undone since, each since when."""
        good: dict[str, datetime.datetime] = {}
        current = None
        for version, rollback, when in self.successes:
            if rollback and current != version:
                good.pop(str(current), None)
            good.setdefault(version, when)
            current = version
        return good

    @property
    def asks_about_templates(self) -> bool:
        return any(gate.get("scope") == "Template" for gate in self.gates.get("approvals", []))

    def may_run(self, template: str, *, rollback: bool, asked: bool) -> bool:
        """Whether a rollout may begin with a template; `asked`: a Promotion was granted for it."""
        if not self.asks_about_templates or template == self.agreed:
            return template in {self.template, self.agreed}
        return asked and not rollback and template == self.template

    @property
    def current(self) -> str | None:
        return self.successes[-1][0] if self.successes else None


@dataclasses.dataclass
class Registry:
    now: datetime.datetime
    stages: dict[str, Stage]
    versions: dict[str, Version] = dataclasses.field(default_factory=dict)
    requests: dict[str, Request] = dataclasses.field(default_factory=dict)
    spans: list[tuple[str, str, datetime.datetime, datetime.datetime | None]] = dataclasses.field(default_factory=list)
    """stage, version, from, to: what served, as the ledger knows it."""
    described: bool = False
    tier: str = "Low"
    recordable: bool = True
    guarded: bool = True

    def asked(self, one: Request) -> tuple[str, ...] | None:
        """All that somebody who approves agrees to."""
        version = self.versions.get(one.version)
        if one.rollback or version is None or version.state == "Pending":
            return None
        gates = self.stages[one.stage].gates
        tier = self.tier if gates.get("documentation") else None
        parts = (one.version, sorted(version.metrics.items()), version.evidence, version.documented, one.stage, tier)
        template = self.stages[one.stage].template if self.stages[one.stage].serves else None
        return (*map(repr, parts), repr(sorted(gates.items())), repr(template))

    def lacks(self, one: Request) -> set[str]:
        """Person, Itself, People: who must do something before the stage can be granted."""
        version, stage = self.versions.get(one.version), self.stages[one.stage]
        found = set()
        if version is None or version.state == "Pending":
            found.add("Itself")
        elif version.state == "Quarantined" or version.lifecycle == "Retired":
            found.add("Person")
        if one.rollback:
            return found | ({"Person"} if all(done != one.version for done, _, _ in stage.successes) else set())
        if version and version.lifecycle == "Deprecated":
            found.add("Person")
        if stage.frozen and stage.frozen > self.now:
            found.add("Itself")
        for before in stage.gates.get("after", []):
            found |= self._before(one.version, self.stages[before], before, stage.gates.get("servedFor"))
        if version:
            found |= {"Person"} if any(self._too_bad(version, gate) for gate in stage.gates.get("metrics", [])) else set()
            for kind in stage.gates.get("evidence", []):
                found |= {"Person"} if kind not in version.evidence or version.proven == "False" else set()
                found |= {"Itself"} if kind in version.evidence and version.proven in {None, "Unknown"} else set()
            found |= {"Person"} if stage.gates.get("documentation") and not self._documented(version) else set()
        if stage.gates.get("approvals"):
            found |= {"Person"} if one.by is None else set()
            found |= {"Person"} if version and version.state != "Pending" and version.registrant is None else set()
            found |= set() if self._agreed(one, stage) else {"People"}
        return found

    def rejected(self, one: Request) -> bool:
        gates = {gate["name"] for gate in self.stages[one.stage].gates.get("approvals", [])}
        asked = self.asked(one)
        return any(
            word["decision"] == "Rejected" and word["about"] == asked is not None and word["gate"] in gates and not word["doubted"]
            for word in one.words
        )

    def phase(self, one: Request, *, held_by_another: bool) -> str | None:
        """The phase of a request that has not been granted its stage; None: it must have been granted it."""
        lacks = self.lacks(one)
        asks = bool(self.stages[one.stage].gates.get("approvals")) and not one.rollback
        if one.abort:
            return "Aborted"
        if self.rejected(one):
            return "Rejected"
        if "Person" in lacks:
            return "Blocked"
        if "Itself" in lacks or held_by_another or (asks and not self.guarded):
            return "Pending"
        if "People" in lacks:
            return "AwaitingApproval"
        if one.paused:
            return "Blocked"
        return None if self.recordable or one.rollback else "Pending"

    def may_be_granted(self, one: Request) -> bool:
        return self.phase(one, held_by_another=False) is None

    def _before(self, version: str, stage: Stage, name: str, served_for: int | None) -> set[str]:
        stands = stage.stands()
        found = set() if version in stands else {"Itself"}
        if not served_for:
            return found
        if not stage.serves:
            return found if version in stands and self.now - stands[version] >= served_for * HOUR else {"Itself"}
        mine = [(begin, end) for where, who, begin, end in self.spans if (where, who) == (name, version)]
        if sum(((end or self.now) - begin for begin, end in mine), datetime.timedelta()) >= served_for * HOUR:
            return found
        gone = version in stands and stage.current != version and all(end for _, end in mine)
        return {"Person"} if gone else {"Itself"}

    def _too_bad(self, version: Version, gate: dict[str, Any]) -> bool:
        value = version.metrics.get(gate["name"])
        if value is None or value != value or abs(value) == float("inf"):  # noqa: PLR0124
            return True
        mine = fractions.Fraction(repr(value))
        if "atLeast" in gate:
            return mine < fractions.Fraction(repr(gate["atLeast"]))
        if "atMost" in gate:
            return mine > fractions.Fraction(repr(gate["atMost"]))
        rival = self.stages[gate["notWorseThan"]].current
        if rival is None or self.versions.get(rival) is version:
            return False
        theirs = self.versions[rival].metrics.get(gate["name"])
        if theirs is None or theirs != theirs or abs(theirs) == float("inf"):  # noqa: PLR0124
            return True
        return mine < fractions.Fraction(repr(theirs)) - fractions.Fraction(repr(gate["tolerance"]))

    def _documented(self, version: Version) -> bool:
        if self.tier == "Low":
            return self.described
        return self.described and version.documented and any(abs(value) < float("inf") for value in version.metrics.values())

    def _agreed(self, one: Request, stage: Stage) -> bool:
        """Whether people can be told off to gates, each to one, such that all gates are satisfied."""
        gates = {gate["name"]: gate for gate in stage.gates["approvals"]}
        asked, registrant = self.asked(one), self.versions[one.version].registrant if one.version in self.versions else None
        willing: dict[str, list[str | None]] = {}
        for word in one.words:
            current = word["about"] is not None and word["about"] == asked
            if word["decision"] == "Rejected" and current and word["gate"] in gates:
                return False  # it ended the promotion, or is doubted
            if word["decision"] != "Approved" or not current or word["doubted"] or word["user"] in {one.by, registrant}:
                continue
            machine = word["user"].startswith("system:")
            if word["gate"] in gates and not (machine and not gates[word["gate"]].get("allowServiceAccounts")):
                willing.setdefault(word["user"], [None]).append(word["gate"])
        return any(
            all(choice.count(name) >= gate.get("required", 1) for name, gate in gates.items())
            for choice in itertools.product(*willing.values())
        )
