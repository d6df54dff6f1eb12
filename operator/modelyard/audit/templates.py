"""Templates that served without an approval: who changed a stage's `serving`, when, and what differs. Pure."""

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
    began: provenance.RecordedEntry
    """The rollout, or the grant of a rollback."""
    before: str | None
    after: str
    """Names of the rendered documents."""
    changes: tuple[provenance.RecordedEntry, ...]
    """The changes of the Model's spec that may have caused it."""


def unapproved(records: Iterable[Record], blob: Callable[[str | None], bytes | None]) -> list[Unapproved]:
    """Return the unapproved templates that were not put back, in the order in which they began.

    Args:
        records: all records of grants, of their ends, of rollouts, and of changes of `serving`.
        blob: reads rendered documents; a document that cannot be read counts as different.
    """
    unapproved_runs: list[Unapproved] = []
    pending: list[provenance.RecordedEntry] = []
    for record in records:
        running = {state.name: state.template for state in record.state}
        for entry in provenance.entries([record]):
            if entry.fact.action == Action.RULES_CHANGED and any(fold.touched(entry.fact)):
                pending.append(entry)
            elif _failed(entry):
                unapproved_runs = [run for run in unapproved_runs if not _is_end_of(run, entry)]
            elif (after := entry.text("template")) and _needs_no_approval(entry):
                stage, before = entry.text("stage"), running.get(entry.text("stage"))
                if before != after and differences(blob(before), blob(after)) != []:
                    changes = tuple(change for change in pending if {stage, "*"} & {*fold.touched(change.fact)})
                    unapproved_runs.append(Unapproved(stage, entry.text("version"), entry, before, after, changes))
    return unapproved_runs


def _needs_no_approval(entry: provenance.RecordedEntry) -> bool:
    if entry.fact.action == Action.ROLLOUT:
        return entry.text("why") == TEMPLATE_CHANGED
    return entry.fact.action == Action.GRANTED and entry.fact.detail.get("rollback") is True


def _failed(entry: provenance.RecordedEntry) -> bool:
    put_back = entry.fact.action == Action.ROLLOUT and entry.text("why") == TEMPLATE_PUT_BACK
    return put_back or (entry.fact.action == Action.ENDED and entry.text("phase") in _FAILED)


def _is_end_of(run: Unapproved, end: provenance.RecordedEntry) -> bool:
    """Whether the entry `end` ends this run."""
    if end.fact.action == Action.ROLLOUT:
        return (run.began.fact.action, run.stage) == (Action.ROLLOUT, end.text("stage")) and run.after != end.text("template")
    return run.began.fact.subject.uid == end.fact.subject.uid


def differences(before: bytes | None, after: bytes | None) -> list[Json] | None:
    """Return what the user changed between two rendered documents: paths with before and after; None if one of them cannot be read."""
    old, new = _written(before), _written(after)
    return None if old is None or new is None else list(_differing(old, new))


def _written(rendered: bytes | None) -> Json | None:
    try:
        stage_template = template.written(rendered) if rendered is not None else None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return None
    return {"port": stage_template.port, "template": stage_template.template} if stage_template else None


def _differing(before: Any, after: Any, path: str = "") -> Iterator[Json]:
    if before == after:
        return
    old, new = _by_name(before), _by_name(after)
    if old is None or new is None:
        yield {"path": path, "before": before, "after": after}
        return
    for key in sorted({*old, *new}):
        yield from _differing(old.get(key), new.get(key), f"{path}/{key}".lstrip("/"))


def _by_name(value: Any) -> Mapping[str, Any] | None:
    """Return a mapping as it is, and a list keyed by its items' names, else by their positions."""
    if isinstance(value, Mapping):
        return value
    if not isinstance(value, list):
        return None
    names = [str(item["name"]) if isinstance(item, Mapping) and "name" in item else str(position) for position, item in enumerate(value)]
    return dict(zip(names, value, strict=True)) if len({*names}) == len(names) else None


def document(run: Unapproved, blob: Callable[[str | None], bytes | None]) -> Json:
    """Return the document that `explain -o json` prints."""
    return {
        "since": codec.write_time(run.began.time),
        "record": run.began.record,
        "byRollback": run.began.fact.action == Action.GRANTED,
        "differences": differences(blob(run.before), blob(run.after)),
        "changes": [change.who() for change in run.changes],
    }


def sentence(difference: Mapping[str, Any]) -> str:
    """Describe a difference in words."""
    return f"{difference['path']}: {_brief(difference['before'])} → {_brief(difference['after'])}"


def _brief(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
