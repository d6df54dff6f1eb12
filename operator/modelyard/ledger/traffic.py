"""What stages serve, step by step: from Serving entries, which may be older than their record, and from the records' states. Pure."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Sequence

from modelyard.ledger import codec
from modelyard.ledger.record import Action, LedgerEntry, Record, Share, StageState


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """From this moment on, the stage serves these shares."""

    moment: datetime.datetime
    stage: str
    shares: tuple[Share, ...]


def weights(shares: Iterable[Share]) -> dict[str, int]:
    """How much of the traffic each version may get, in percent."""
    return {share.version: share.weight for share in shares}


def serving_change(entry: LedgerEntry) -> tuple[str, tuple[Share, ...]] | None:
    """The stage and the shares of a Serving entry; None for another entry, and for one that cannot be read."""
    if entry.action != Action.SERVING:
        return None
    stage, rows = entry.detail.get("stage"), entry.detail.get("serves")
    if not isinstance(stage, str) or not isinstance(rows, Sequence):
        return None
    try:
        shares = tuple(codec.load_share(row) for row in rows)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    sound = all(isinstance(share.version, str) and type(share.weight) is int and isinstance(share.digest, str | None) for share in shares)
    return (stage, shares) if sound else None


def steps(record: Record, serving: Iterable[str] = ()) -> Iterator[Step]:
    """What a record says that stages serve, in order; a stage of `serving` that the record's state does not name serves nothing any more."""
    for entry in record.facts:
        if change := serving_change(entry):
            yield Step(entry.at or record.time, *change)
    for stage in record.state:
        yield Step(record.time, stage.name, stage.serves)
    named = {stage.name for stage in record.state}
    yield from (Step(record.time, name, ()) for name in serving if name not in named)


def after(state: Sequence[StageState], facts: Iterable[LedgerEntry]) -> tuple[StageState, ...]:
    """The state after these entries; a version that goes on serving keeps its `since`."""
    states = {stage.name: stage for stage in state}
    for entry in facts:
        if (change := serving_change(entry)) is None:
            continue
        name, shares = change
        previous = states.get(name, StageState(name))
        began = {share.version: share.since for share in previous.serves}
        serves = tuple(dataclasses.replace(share, since=began.get(share.version, share.since)) for share in shares)
        states[name] = dataclasses.replace(previous, serves=serves)
    return tuple(states[name] for name in sorted(states))


def without_repeats(state: Sequence[StageState], facts: Iterable[LedgerEntry]) -> tuple[LedgerEntry, ...]:
    """The entries without Serving entries that repeat the state: an operator that started while the ledger did not answer could not know the state."""
    serving, changes = {stage.name: weights(stage.serves) for stage in state}, []
    for entry in facts:
        if change := serving_change(entry):
            name, shares = change
            if serving.get(name, {}) == weights(shares):
                continue
            serving[name] = weights(shares)
        changes.append(entry)
    return tuple(changes)
