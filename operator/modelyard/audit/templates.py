"""Templates that came to serve without an approval: who changed a stage's `serving`, when, and what differs. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from modelyard.audit import provenance
from modelyard.ledger import codec, fold
from modelyard.ledger.record import TEMPLATE_CHANGED, TEMPLATE_PUT_BACK, Action, Record
from modelyard.plan.serving import template

Json = dict[str, Any]

_FAILED: Final = frozenset({"RolledBack", "Failed", "Aborted"})


@dataclasses.dataclass(frozen=True, slots=True)
class Unapproved:
    """A template that a stage began to run without a Promotion that people could approve."""

    stage: str
    version: str
    began: provenance.Told
    """The rollout, or the grant of a rollback."""
    before: str | None
    after: str
    """Names of the rendered documents."""
    changes: tuple[provenance.Told, ...]
    """The changes of the Model's spec that it may come from."""


def unapproved(records: Iterable[Record], blob: Callable[[str | None], bytes | None]) -> list[Unapproved]:
    """Those that were not put back, in the order in which they began.

    Args:
        records: all that tell of grants, of their ends, of rollouts, and of changes of `serving`.
        blob: reads rendered documents; what is not to be had may differ.
    """
    found: list[Unapproved] = []
    pending: list[provenance.Told] = []
    for record in records:
        runs = {state.name: state.template for state in record.state}
        for one in provenance.told([record]):
            if one.fact.action == Action.RULES_CHANGED and any(fold.touched(one.fact)):
                pending.append(one)
            elif _failed(one):
                found = [each for each in found if not _is_of(each, one)]
            elif (after := one.text("template")) and _asks_nobody(one):
                stage, before = one.text("stage"), runs.get(one.text("stage"))
                if before != after and differences(blob(before), blob(after)) != []:
                    changes = tuple(each for each in pending if {stage, "*"} & {*fold.touched(each.fact)})
                    found.append(Unapproved(stage, one.text("version"), one, before, after, changes))
    return found


def _asks_nobody(one: provenance.Told) -> bool:
    if one.fact.action == Action.ROLLOUT:
        return one.text("why") == TEMPLATE_CHANGED
    return one.fact.action == Action.GRANTED and one.fact.detail.get("rollback") is True


def _failed(one: provenance.Told) -> bool:
    put_back = one.fact.action == Action.ROLLOUT and one.text("why") == TEMPLATE_PUT_BACK
    return put_back or (one.fact.action == Action.ENDED and one.text("phase") in _FAILED)


def _is_of(entry: Unapproved, end: provenance.Told) -> bool:
    """Whether an end is that of what began with the entry."""
    if end.fact.action == Action.ROLLOUT:
        return (entry.began.fact.action, entry.stage) == (Action.ROLLOUT, end.text("stage")) and entry.after != end.text("template")
    return entry.began.fact.subject.uid == end.fact.subject.uid


def differences(before: bytes | None, after: bytes | None) -> list[Json] | None:
    """What the user wrote otherwise in two rendered documents: paths with before and after; None when one of them is not to be had."""
    old, new = _written(before), _written(after)
    return None if old is None or new is None else list(_differing(old, new))


def _written(rendered: bytes | None) -> Json | None:
    try:
        found = template.written(rendered) if rendered is not None else None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return None
    return {"port": found.port, "template": found.template} if found else None


def _differing(before: Any, after: Any, path: str = "") -> Iterator[Json]:
    if before == after:
        return
    old, new = _entries(before), _entries(after)
    if old is None or new is None:
        yield {"path": path, "before": before, "after": after}
        return
    for key in sorted({*old, *new}):
        yield from _differing(old.get(key), new.get(key), f"{path}/{key}".lstrip("/"))


def _entries(value: Any) -> Mapping[str, Any] | None:
    """A mapping, or a list by its entries' names, else by their places."""
    if isinstance(value, Mapping):
        return value
    if not isinstance(value, list):
        return None
    names = [str(each["name"]) if isinstance(each, Mapping) and "name" in each else str(place) for place, each in enumerate(value)]
    return dict(zip(names, value, strict=True)) if len({*names}) == len(names) else None


def document(one: Unapproved, blob: Callable[[str | None], bytes | None]) -> Json:
    """As `explain -o json` prints it."""
    return {
        "since": codec.write_time(one.began.time),
        "record": one.began.record,
        "byRollback": one.began.fact.action == Action.GRANTED,
        "differences": differences(blob(one.before), blob(one.after)),
        "changes": [each.who() for each in one.changes],
    }


def sentence(one: Mapping[str, Any]) -> str:
    """A difference in words."""
    return f"{one['path']}: {_brief(one['before'])} → {_brief(one['after'])}"


def _brief(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
