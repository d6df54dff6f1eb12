"""What waits in a status until the ledger answers: bounded, and what had to be dropped is said. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from modelyard.content import digest
from modelyard.ledger import codec, index, record
from modelyard.ledger.record import Action, Fact

MOST: Final = 64
"""Facts that wait in a status; more would make it too large. What each stage served last is kept in any case."""
_LAST: Final = frozenset({Action.SERVING, *record.SAYS})
"""Of these the last one counts, and one that says what the one before it said is no news."""


def kept(before: Sequence[str] | None, facts: Iterable[Fact]) -> list[str]:
    """What a status keeps: each fact as canonical JSON, none twice, in the order in which they happened."""
    found: dict[str, Fact] = {}
    for one in (*read(before), *facts):
        found.setdefault(one.id, one)
    return [digest.canonical(codec.dump_fact(one)).decode() for one in _bounded(list(found.values()))]


def read(texts: Sequence[str] | None) -> tuple[Fact, ...]:
    """What `kept` wrote."""
    return tuple(codec.load_fact(json.loads(text)) for text in texts or [])


def changes(facts: Sequence[Fact], stage: str) -> int:
    """How many changes of what a stage serves wait, and how many facts were dropped: with each further change it is more."""
    waiting = sum(1 for one in facts if one.action == Action.SERVING and _stage(one) == stage)
    return waiting + sum(int(one.detail["facts"]) for one in facts if one.action == Action.FORGOTTEN)


def left(facts: Sequence[Fact], recorded: Collection[str]) -> tuple[Fact, ...]:
    """Those whose ids the ledger does not have; what served or was said before something that it has is recorded too, or was no news."""
    last = max((number for number, one in enumerate(facts) if one.id in recorded), default=-1)
    missing = [(number, one) for number, one in enumerate(facts) if one.id not in recorded]
    return tuple(one for number, one in missing if number > last or one.action not in _LAST)


def news(past: index.Index, facts: Iterable[Fact]) -> Iterator[Fact]:
    """The facts without the words that the ledger has: who began to look while it did not answer could not know them."""
    said = {(one.uid, user, gate): [action, about] for one in past.promotions.values() for user, gate, action, about, _ in one.approvals}
    for one in facts:
        if one.action in record.SAYS:
            whose, word = (one.subject.uid, one.actor.name, str(one.detail.get("gate"))), [str(one.action), one.digest]
            if said.get(whose) == word:
                continue
            said[whose] = word
        yield one


def _bounded(facts: list[Fact]) -> list[Fact]:
    """Dropped is first what is told again, then what stages served in between, then what is oldest, then doubted words; what is lost is said."""
    last = {_stage(one): one.id for one in facts if one.action == Action.SERVING}
    lost = [one for one in facts if one.action == Action.FORGOTTEN]
    again = [one for one in facts if _comes_again(one)]
    between = [one for one in facts if one.action == Action.SERVING and last[_stage(one)] != one.id]
    others = [one for one in facts if one.action not in {Action.SERVING, Action.FORGOTTEN} and not _comes_again(one)]
    others.sort(key=_is_doubted)
    drop = [*again, *between, *others][: max(len(facts) - len(lost) - MOST, 0)]
    left = [one for one in facts if one not in drop]
    if not (missed := [one for one in drop if not _comes_again(one)]):
        return left
    left = [one for one in left if one not in lost]
    return [_forgotten(missed, lost, left), *left]


def _forgotten(drop: Sequence[Fact], lost: Sequence[Fact], left: Sequence[Fact]) -> Fact:
    """One fact instead of many: how many, and between which moments it is not known what was served and decided."""
    begins = [one.at for one in drop if one.at]
    ends = begins + [
        next((later.at for later in left if _stage(later) == _stage(one) and later.at and one.at and later.at >= one.at), None) or one.at
        for one in drop
        if one.action == Action.SERVING and one.at
    ]
    since = [codec.write_time(one) for one in begins] + [str(one.detail["since"]) for one in lost]
    until = [codec.write_time(one) for one in ends] + [str(one.detail["until"]) for one in lost]
    count = len(drop) + sum(int(one.detail["facts"]) for one in lost)
    detail = {"facts": count, "since": min(since, default=None), "until": max(until, default=None)}
    first = (lost or drop)[0]
    subject = record.Subject("Ledger", first.subject.name, first.subject.uid, 0)
    return record.fact(Action.FORGOTTEN, record.BY_OPERATOR, subject, f"{first.id} {count}", None, detail)


def _comes_again(one: Fact) -> bool:
    """Whether the specs themselves tell it once more when the ledger answers."""
    return one.action in {Action.REQUESTED, Action.STEERED} or (one.action in record.SAYS and not _is_doubted(one))


def _is_doubted(one: Fact) -> bool:
    return one.detail.get("doubted") is True


def _stage(one: Fact) -> str:
    """The stage whose serving a fact tells of."""
    return str(one.detail.get("stage")) if one.action == Action.SERVING else ""
