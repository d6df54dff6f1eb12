"""Entries that wait in a status until the ledger answers: their number is bounded, and one entry counts those that were dropped. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from modelyard.content import digest
from modelyard.ledger import codec, index, record
from modelyard.ledger.record import Action, LedgerEntry

MAX_PENDING: Final = 64
"""Entries that wait in a status; more would make it too large. What each stage served last stays in any case."""
_LAST: Final = frozenset({Action.SERVING, *record.APPROVAL_ACTIONS})
"""Of these actions the last entry counts, and an entry that repeats the one before it is no news."""


def store(before: Sequence[str] | None, entries: Iterable[LedgerEntry]) -> list[str]:
    """Return what a status stores: each entry as canonical JSON, none twice, in the order in which they happened."""
    by_id: dict[str, LedgerEntry] = {}
    for entry in (*read(before), *entries):
        by_id.setdefault(entry.id, entry)
    return [digest.canonical(codec.dump_entry(entry)).decode() for entry in _bounded(list(by_id.values()))]


def read(texts: Sequence[str] | None) -> tuple[LedgerEntry, ...]:
    """Return the entries that `kept` wrote."""
    return tuple(codec.load_entry(json.loads(text)) for text in texts or [])


def count_changes(entries: Sequence[LedgerEntry], stage: str) -> int:
    """Return how many changes of what a stage serves wait, plus how many entries were dropped: it grows with each further change."""
    waiting = sum(1 for entry in entries if entry.action == Action.SERVING and _stage(entry) == stage)
    return waiting + sum(int(entry.detail["facts"]) for entry in entries if entry.action == Action.FORGOTTEN)


def unrecorded(entries: Sequence[LedgerEntry], recorded: Collection[str]) -> tuple[LedgerEntry, ...]:
    """Return the entries whose ids the ledger does not have.

    A Serving entry or an approval before an entry that the ledger has is recorded too, or was no news.
    """
    last = max((number for number, entry in enumerate(entries) if entry.id in recorded), default=-1)
    missing = [(number, entry) for number, entry in enumerate(entries) if entry.id not in recorded]
    return tuple(entry for number, entry in missing if number > last or entry.action not in _LAST)


def without_recorded_approvals(past: index.Index, entries: Iterable[LedgerEntry]) -> Iterator[LedgerEntry]:
    """Yield the entries without the approvals that the ledger has. An operator that began while it did not answer could not know those."""
    recorded = {
        (promotion.uid, user, gate): [action, about]
        for promotion in past.promotions.values()
        for user, gate, action, about, _ in promotion.approvals
    }
    for entry in entries:
        if entry.action in record.APPROVAL_ACTIONS:
            key, approval = (entry.subject.uid, entry.actor.name, str(entry.detail.get("gate"))), [str(entry.action), entry.digest]
            if recorded.get(key) == approval:
                continue
            recorded[key] = approval
        yield entry


def _bounded(entries: list[LedgerEntry]) -> list[LedgerEntry]:
    """Trim to `MOST`: drop first entries that the specs will repeat, then intermediate Serving entries, then the oldest, then doubted approvals.

    One Forgotten entry counts the dropped entries that the specs will not repeat.
    """
    last = {_stage(entry): entry.id for entry in entries if entry.action == Action.SERVING}
    forgotten = [entry for entry in entries if entry.action == Action.FORGOTTEN]
    repeated = [entry for entry in entries if _is_repeated(entry)]
    intermediate = [entry for entry in entries if entry.action == Action.SERVING and last[_stage(entry)] != entry.id]
    others = [entry for entry in entries if entry.action not in {Action.SERVING, Action.FORGOTTEN} and not _is_repeated(entry)]
    others.sort(key=_is_doubted)
    dropped = [*repeated, *intermediate, *others][: max(len(entries) - len(forgotten) - MAX_PENDING, 0)]
    remaining = [entry for entry in entries if entry not in dropped]
    if not (missing := [entry for entry in dropped if not _is_repeated(entry)]):
        return remaining
    remaining = [entry for entry in remaining if entry not in forgotten]
    return [_forgotten(missing, forgotten, remaining), *remaining]


def _forgotten(dropped: Sequence[LedgerEntry], forgotten: Sequence[LedgerEntry], remaining: Sequence[LedgerEntry]) -> LedgerEntry:
    """Return one entry instead of many: how many, and between which times nobody knows what was served and decided."""
    begins = [entry.at for entry in dropped if entry.at]
    ends = begins + [
        next((later.at for later in remaining if _stage(later) == _stage(entry) and later.at and entry.at and later.at >= entry.at), None)
        or entry.at
        for entry in dropped
        if entry.action == Action.SERVING and entry.at
    ]
    since = [codec.write_time(moment) for moment in begins] + [str(entry.detail["since"]) for entry in forgotten]
    until = [codec.write_time(moment) for moment in ends] + [str(entry.detail["until"]) for entry in forgotten]
    count = len(dropped) + sum(int(entry.detail["facts"]) for entry in forgotten)
    detail = {"facts": count, "since": min(since, default=None), "until": max(until, default=None)}
    first = (forgotten or dropped)[0]
    subject = record.Subject("Ledger", first.subject.name, first.subject.uid, 0)
    return record.entry(Action.FORGOTTEN, record.BY_OPERATOR, subject, f"{first.id} {count}", None, detail)


def _is_repeated(entry: LedgerEntry) -> bool:
    """Whether the specs give the same entry again when the ledger answers."""
    return entry.action in {Action.REQUESTED, Action.STEERED} or (entry.action in record.APPROVAL_ACTIONS and not _is_doubted(entry))


def _is_doubted(entry: LedgerEntry) -> bool:
    return entry.detail.get("doubted") is True


def _stage(entry: LedgerEntry) -> str:
    """Return the stage of a Serving entry; empty for other entries."""
    return str(entry.detail.get("stage")) if entry.action == Action.SERVING else ""
