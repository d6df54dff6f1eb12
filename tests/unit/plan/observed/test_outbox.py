"""What waits in a status until the ledger answers."""

from __future__ import annotations

import datetime

from modelyard.ledger import codec, coverage, index, record, traffic
from modelyard.ledger.record import Action
from modelyard.plan.observed import outbox

START = datetime.datetime(2026, 10, 3, 14, 0, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
MODEL = record.Subject("Model", "fraud", "u1", 1)


def serving(number: int, stage: str, version: str, weight: int = 100) -> record.LedgerEntry:
    """What a stage serves after so many minutes."""
    at = START + number * MINUTE
    detail = {"stage": stage, "serves": [codec.dump_share(record.Share(version, None, weight, at))]}
    return record.entry(Action.SERVING, record.BY_OPERATOR, MODEL, f"{stage} {number}", None, detail, at=at)


def ended(number: int) -> record.LedgerEntry:
    """A Promotion that ended after so many minutes."""
    about = record.Subject("Promotion", f"p{number}", f"p{number}", 1)
    return record.entry(Action.ENDED, record.BY_OPERATOR, about, "Aborted", None, {"stage": "production"}, at=START + number * MINUTE)


def said(user: str, action: Action = Action.APPROVED, *, doubted: bool = False, number: int = 0) -> record.LedgerEntry:
    """What somebody said of p1."""
    about, detail = record.Subject("Promotion", "p1", "p1", number), {"gate": "risk", "doubted": doubted}
    return record.entry(action, record.Actor(user, record.Authenticity.DECLARED), about, f"{number} {user}", "sha256:0", detail, at=START)


def test_what_is_kept_is_read_back_in_its_order_and_told_twice_is_there_once() -> None:
    texts = outbox.store(None, [serving(1, "production", "1"), ended(2)])

    again = outbox.store(texts, [ended(2), ended(3)])

    assert outbox.read(again) == (serving(1, "production", "1"), ended(2), ended(3))


def test_of_too_much_what_each_stage_serves_in_the_end_is_kept_and_how_long_that_is_open_is_said() -> None:
    texts: list[str] = []
    for number in range(100):
        texts = outbox.store(texts, [serving(number, "production", str(number))])
    texts = outbox.store(texts, [serving(100, "staging", "7"), *(ended(number) for number in range(101, 111))])
    found = outbox.read(texts)
    [gap] = coverage.lost(
        record.follow(record.Chain("main", "risk", "fraud"), None, None, found, (), now=START + 200 * MINUTE, term=1, index=None)
    )

    assert len(found) == outbox.MAX_PENDING + 1
    assert found[0].action == Action.FORGOTTEN
    assert found[0].detail["facts"] == 47
    assert (gap.since, gap.until) == (START, START + 47 * MINUTE)
    assert [(one.name, one.serves[0].version) for one in traffic.after((), found)] == [("production", "99"), ("staging", "7")]
    assert [one.action for one in found].count(Action.ENDED) == 10


def test_each_change_that_waits_is_told_apart_from_those_before_however_many_were_dropped() -> None:
    texts, counted = list[str](), list[int]()
    for number in range(200):
        counted.append(outbox.count_changes(outbox.read(texts), "production"))
        texts = outbox.store(texts, [ended(number), serving(number, "production", str(number)), serving(number, "staging", "1")])

    assert counted == sorted(set(counted))


def test_who_begins_to_look_while_the_ledger_does_not_answer_tells_no_news_of_what_it_has() -> None:
    share = record.Share("1", None, 100, START)
    state = (record.StageState("production", serves=(share,)),)
    seen, changed = serving(1, "production", "1"), serving(2, "production", "2")
    half = serving(3, "production", "2", weight=50)

    assert traffic.without_repeats(state, [seen, ended(2), changed, half, half]) == (ended(2), changed, half)
    assert traffic.after(state, [seen])[0].serves == (share,)


def test_what_served_before_something_that_is_recorded_does_not_wait_any_more() -> None:
    """It was no news then, and would pass for news now."""
    before, recorded, other, later = serving(1, "production", "1"), serving(2, "production", "2"), ended(3), serving(4, "production", "3")

    assert outbox.unrecorded([before, ended(1), recorded, other, later], [recorded.id]) == (ended(1), other, later)
    assert outbox.unrecorded([before, later], []) == (before, later)
    assert outbox.unrecorded([said("bob"), said("bob", Action.WITHDRAWN)], [said("bob", Action.WITHDRAWN).id]) == ()


def test_of_too_much_doubted_words_are_the_last_to_be_dropped_and_others_come_again_by_themselves() -> None:
    found = outbox.read(outbox.store(None, [said("bob", doubted=True), said("carol"), *(ended(number) for number in range(63))]))

    assert [one.action for one in found] == [Action.APPROVED, *[Action.ENDED] * 63]
    assert found[0] == said("bob", doubted=True)
    found = outbox.read(outbox.store(None, [said("bob", doubted=True), *(ended(number) for number in range(64))]))
    assert (found[0].action, found[0].detail["facts"], found[1]) == (Action.FORGOTTEN, 1, said("bob", doubted=True))


def test_words_that_the_ledger_has_are_no_news_unless_they_were_taken_back_meanwhile() -> None:
    known = index.Promotion("p1", "1", "production", approvals=[["bob", "risk", "Approved", "sha256:0", True]])
    past, again = index.Index(promotions={"p1": known}), said("bob", doubted=True, number=3)
    back = said("bob", Action.WITHDRAWN, number=2)

    assert list(outbox.without_recorded_approvals(past, [again, said("carol")])) == [said("carol")]
    assert list(outbox.without_recorded_approvals(past, [back, again])) == [back, again]
