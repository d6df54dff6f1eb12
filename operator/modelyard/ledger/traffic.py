"""What stages serve, from step to step: as facts tell that were seen before they could be recorded, and as records' states say. Pure."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Sequence

from modelyard.ledger import codec
from modelyard.ledger.record import Action, Fact, Record, Share, StageState


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """From a moment on a stage serves this."""

    moment: datetime.datetime
    stage: str
    shares: tuple[Share, ...]


def weights(shares: Iterable[Share]) -> dict[str, int]:
    """How much of the traffic each version may get, in percent."""
    return {one.version: one.weight for one in shares}


def told(one: Fact) -> tuple[str, tuple[Share, ...]] | None:
    """The stage that a fact says serves something else, and what; None when it is about something else, or cannot be read."""
    if one.action != Action.SERVING:
        return None
    stage, rows = one.detail.get("stage"), one.detail.get("serves")
    if not isinstance(stage, str) or not isinstance(rows, Sequence):
        return None
    try:
        shares = tuple(codec.load_share(row) for row in rows)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    sound = all(isinstance(one.version, str) and type(one.weight) is int and isinstance(one.digest, str | None) for one in shares)
    return (stage, shares) if sound else None


def steps(record: Record, known: Iterable[str] = ()) -> Iterator[Step]:
    """What a record says that stages serve, in order; a stage that is known, and that its state does not name, serves nothing any more."""
    for one in record.facts:
        if found := told(one):
            yield Step(one.at or record.time, *found)
    for stage in record.state:
        yield Step(record.time, stage.name, stage.serves)
    named = {stage.name for stage in record.state}
    yield from (Step(record.time, name, ()) for name in known if name not in named)


def after(state: Sequence[StageState], facts: Iterable[Fact]) -> tuple[StageState, ...]:
    """The state as facts leave it; a version that goes on serving does so since the same moment."""
    found = {one.name: one for one in state}
    for one in facts:
        if (said := told(one)) is None:
            continue
        name, shares = said
        was = found.get(name, StageState(name))
        began = {share.version: share.since for share in was.serves}
        serves = tuple(dataclasses.replace(share, since=began.get(share.version, share.since)) for share in shares)
        found[name] = dataclasses.replace(was, serves=serves)
    return tuple(found[name] for name in sorted(found))


def news(state: Sequence[StageState], facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """The facts without those that only say what was known: who began to look while the ledger did not answer could not know what it has."""
    serving, kept = {one.name: weights(one.serves) for one in state}, []
    for one in facts:
        if said := told(one):
            now = weights(said[1])
            if serving.get(said[0], {}) == now:
                continue
            serving[said[0]] = now
        kept.append(one)
    return tuple(kept)
