"""What DESIGN 2.5 says of a write, told from its tables and not from the policies: the judge of the matrix."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

VERBS: Final = ("register", "attest", "promote", "approve", "govern", "rollback", "retire", "alias")
BY_STAGE: Final = {"promote", "approve", "govern", "rollback"}
"""Verbs that RBAC can also grant on `models/<stage>`."""


@dataclasses.dataclass(frozen=True)
class Person:
    """Somebody who can log in, and what RBAC gives them in the namespace of the matrix."""

    name: str
    rights: frozenset[tuple[str, str]] = frozenset()
    """(verb, resource) such as (promote, models/production), for the model fraud."""
    edits: bool = True
    """May create, change and delete every object in question as far as ordinary RBAC goes, the status of our kinds included."""
    deploys: bool = True
    """May create Deployments."""
    account: bool = False
    """Is a service account."""
    operator: bool = False
    everywhere: bool = False
    """Has the rights for every model, not only for fraud."""
    wild: bool = False
    """Has `verbs: ["*"]`, or is in system:masters: holds every verb, by design."""


@dataclasses.dataclass(frozen=True)
class Demand:
    """A verb of the table, for every one of these stages (none: the verb is on plain models)."""

    verb: str
    stages: tuple[str, ...] = ()
    gate: str = ""
    model: str = "fraud"

    def is_met(self, by: Person) -> bool:
        """The verb on plain models means every stage; who has it for single stages changes one of them per write."""
        if by.wild:
            return True
        if self.model != "fraud" and not by.everywhere:
            return False
        places = {"models"}
        if len(self.stages) == 1:
            places |= {f"models/{self.stages[0]}"} | ({f"models/{self.stages[0]}/{self.gate}"} if self.gate else set())
        return any((self.verb, place) in by.rights for place in places)


@dataclasses.dataclass(frozen=True)
class Told:
    """What a write changes, in the words of the tables."""

    demands: Sequence[Demand] = ()
    """Every one has to be met."""
    instead: Sequence[Demand] = ()
    """Or, if there are any, one of these."""
    impossible: bool = False
    """Nobody may: an approval of yesterday's subject, another's name, an unfinished model's deletion."""
    template: bool = False
    """Sets what a stage serves: takes `create deployments` as well."""
    status: bool = False
    """Writes status: the operator only."""
    serves: bool = False
    """Makes or changes what a stage serves: the operator, Kubernetes' controllers and nodes only. A write that changes nothing does not."""
    bare: bool = False
    """Of a Deployment, Service or ConfigMap without Modelyard's labels, before or after: the operator's own account may not write it."""
    deletes: bool = False
    """Deletes what a stage serves: the operator, Kubernetes' controllers, and who may retire the model."""
    approves: str = ""
    """Whose name the approval is in; `me`: the writer's."""
    decision: str = "Approved"
    requested_by: str = ""
    """Who asked for the promotion that is approved."""
    machines: bool = False
    """The gate says allowServiceAccounts."""


def passes(by: Person, told: Told) -> bool:
    """Whether DESIGN lets this person do this."""
    if by.operator and told.bare:
        return False
    if told.deletes and by.operator:
        return True
    if told.serves or told.status:
        return by.operator and not told.impossible
    if not by.edits or told.impossible:
        return False
    if told.template and not (by.deploys or by.wild):
        return False
    if told.approves and not _approval(by, told):
        return False
    if told.instead:
        return any(demand.is_met(by) for demand in told.instead)
    return all(demand.is_met(by) for demand in told.demands)


def _approval(by: Person, told: Told) -> bool:
    """In one's own name; four eyes; machines only where the stage says so."""
    if told.approves not in {"me", by.name}:
        return False
    if (by.account or by.operator) and not told.machines:
        return False
    return not (told.decision == "Approved" and told.requested_by == by.name)
