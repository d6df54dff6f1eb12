"""What served at an instant: exact against an oracle that remembers everything, and found with few reads."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

import hypothesis
import pytest
from hypothesis import strategies

from modelyard.audit import explain, periods
from modelyard.ledger import codec, coverage, index, reader, traffic
from modelyard.ledger.record import Action, LedgerEntry, Record, StageState
from modelyard.plan.model import decide
from modelyard.plan.observed import outbox
from modelyard.plan.observed.world import Deployment, Pod
from modelyard.plan.record import model
from tests.fakes import chronicle, objects
from tests.fakes.chronicle import MINUTE, START

VERSIONS = ("1.0.0", "1.1.0", "1.2.0")
STAGES = ("staging", "production")
SECOND = datetime.timedelta(seconds=1)
NEVER = START - SECOND


@dataclasses.dataclass(frozen=True)
class Change:
    """After so many seconds a stage serves something else."""

    after: int
    stage: str
    serves: tuple[tuple[str, int], ...]


@dataclasses.dataclass(frozen=True)
class Absence:
    """After so many seconds the operator is gone for so many, killed or stopped as it should be."""

    after: int
    seconds: int
    killed: bool


@dataclasses.dataclass(frozen=True)
class Outage:
    """After so many seconds the ledger does not answer for so many; then somebody else may be the first to write again."""

    after: int
    seconds: int
    other: bool


Event = Change | Absence | Outage


def serving() -> strategies.SearchStrategy[tuple[tuple[str, int], ...]]:
    """Nothing, one version, or a canary."""
    alone = strategies.sampled_from(VERSIONS).map(lambda version: ((version, 100),))
    two = strategies.permutations(VERSIONS).map(lambda some: some[:2])
    canary = strategies.tuples(two, strategies.integers(1, 99)).map(lambda pair: ((pair[0][0], pair[1]), (pair[0][1], 100 - pair[1])))
    return strategies.just(()) | alone | canary


changes = strategies.builds(Change, strategies.integers(0, 90), strategies.sampled_from(STAGES), serving())
absences = strategies.builds(Absence, strategies.integers(0, 30), strategies.integers(2, 60), strategies.booleans())
outages = strategies.builds(Outage, strategies.integers(0, 30), strategies.integers(1, 200), strategies.booleans())
histories = strategies.lists(strategies.one_of(changes, changes, changes, absences, outages), max_size=24)


class World:
    """What really serves, who watches, and what they write: the operator sees a change at once, or when it is back; what it sees while the
    ledger does not answer it keeps, and tells later. It begins no term before the ledger answers.
    """

    def __init__(self, snapshot_every: int) -> None:
        self.writer = chronicle.Story(snapshot_every=snapshot_every)
        self.operators = chronicle.Operators()
        self.now = START
        self.truth: list[tuple[datetime.datetime, dict[str, dict[str, int]]]] = [(START, {})]
        self.away: list[tuple[datetime.datetime, datetime.datetime]] = []
        self.operators.now = START
        self.operators.begin(None)
        self._back: datetime.datetime | None = None
        self._answers: datetime.datetime | None = None
        self._other = False
        self._kept: list[LedgerEntry] = []

    def play(self, events: Sequence[Event]) -> None:
        for event in events:
            moment = self.now + datetime.timedelta(seconds=event.after)
            self._until(moment)
            if self._back:  # of what happens in the very instant in which the watch ends, nobody can say which came first
                moment = max(moment, self.away[-1][0] + SECOND)
                self._until(moment)
            self.now = moment
            match event:
                case Change():
                    self.truth.append((moment, {**self.truth[-1][1], event.stage: dict(event.serves)}))
                    if self._back is None:
                        self._see(moment)
                case Absence() if self._back is None:
                    self._back = max(moment + datetime.timedelta(seconds=event.seconds), self._answers or moment)
                    self.away.append((moment, self._back))
                    self.operators.now = moment
                    if not event.killed and self._answers is None:
                        self.operators.end()
                case Outage() if self._answers is None and self._back is None:
                    self._answers = moment + datetime.timedelta(seconds=event.seconds)
                    self._other = event.other
                case _:
                    pass
        self._until(None)
        self.now += MINUTE

    def served(self, moment: datetime.datetime) -> dict[str, dict[str, int]]:
        """What really served; the last change at a moment counts."""
        found = next(state for when, state in reversed(self.truth) if when <= moment)
        return {stage: serves for stage, serves in found.items() if serves}

    def _until(self, moment: datetime.datetime | None) -> None:
        """The ledger answers again, and then the operator is back, if it is time for that."""
        if self._answers and (moment is None or self._answers <= moment):
            self.now, self._answers = self._answers, None
            self.writer.now = self.now
            if self._other:
                self.writer.write(looked=False)
            if self._back is None:
                self._see(self.now)
        if self._back and (moment is None or self._back <= moment):
            self.now, self._back = self._back, None
            self.operators.now = self.now
            self.operators.begin(self.away[-1][0])
            self._see(self.now)

    def _see(self, moment: datetime.datetime) -> None:
        self.writer.now = moment
        for stage, shared in self.truth[-1][1].items():
            was = self.writer.state.get(stage, StageState(stage))
            if shared != {share.version: share.weight for share in was.serves}:
                self.writer.serve(stage, shared)
                self._kept.append(self.writer.served(stage))
        if self._kept and self._answers is None:
            self.writer.write(*self._kept)
            self._kept.clear()


def told(answer: explain.Json) -> dict[str, dict[str, int]]:
    """The answer, in the oracle's words."""
    found = {one["stage"]: {share["version"]: share["weight"] for share in one["versions"]} for one in answer["serves"]}
    return {stage: serves for stage, serves in found.items() if serves}


@hypothesis.given(histories, strategies.sampled_from([1, 3, 256]), strategies.booleans())
@hypothesis.settings(deadline=None, max_examples=150)
def test_the_answer_is_what_served_or_says_that_nobody_watched(events: list[Event], every: int, listed: bool) -> None:
    world = World(every)
    world.play(events)
    gaps = coverage.gaps(world.operators.records())
    moments = {START, world.now, *(when for when, _ in world.truth), *(when for span in world.away for when in span)}
    moments |= {
        when + step for when in list(moments) for step in (-SECOND, SECOND, datetime.timedelta(microseconds=1)) if when + step >= START
    }
    for moment in sorted(moments):
        answer = explain.at(world.writer.book(len(world.writer.objects) if listed else None), moment, None, gaps)
        unobserved = [span for span in world.away if span[0] < moment < span[1]]

        assert bool(unobserved) == (answer["unobserved"] is not None), moment
        if unobserved:
            assert unobserved[0][1] == codec.read_time(answer["unobserved"]["until"])
            assert told(answer) == world.served(unobserved[0][0])
        else:
            assert world.served(moment) == told(answer), moment


@hypothesis.given(histories)
@hypothesis.settings(deadline=None, max_examples=60)
def test_spells_say_when_each_version_served(events: list[Event]) -> None:
    world = World(256)
    world.play([event for event in events if not isinstance(event, Absence)])
    spells = periods.of(world.writer.records())
    for version in VERSIONS:  # with the few records that the index names
        answer = explain.over_time(world.writer.book(), [version])
        assert answer["served"] == [explain._spell(one, ()) for one in spells if one.version == version]
    for moment in sorted({when + step for when, _ in world.truth for step in (datetime.timedelta(), SECOND)}):
        now: dict[str, dict[str, int]] = {}
        for one in spells:
            if one.since <= moment and (one.until is None or moment < one.until):
                now.setdefault(one.stage, {})[one.version] = one.weight

        assert world.served(moment) == now


@dataclasses.dataclass(frozen=True)
class Look:
    """After so many seconds so many pods of a rolling update are seen, and the ledger answers or does not."""

    after: int
    pods: dict[str, tuple[int, int]]
    """By version: those that are ready, and those that are not."""
    answers: bool = True


ROLLOUT = {"version": "2", "template": "sha256:2", "since": "2026-10-03T14:00:00Z"}


def rolled(*looks: Look) -> tuple[chronicle.Story, list[tuple[datetime.datetime, dict[str, int]]]]:
    """The records that a rolling update from 1 to 2 leaves, and what served since when."""
    of = objects.model(status={"stages": [{"name": "production", "current": "1", "rollout": ROLLOUT}]})
    runs = Deployment("fraud-production", "sha256:2", settled=True, desired=9, updated=9, available=9, total=9)
    story, truth, kept = chronicle.Story(), [(START, dict[str, int]())], list[str]()
    for look in looks:
        truth.append((story.later(seconds=look.after), weights(look, truth[-1][1])))
        waiting = outbox.read(kept)
        pods = [
            Pod("production", version, ready=number < ready)
            for version, (ready, others) in look.pods.items()
            for number in range(ready + others)
        ]
        seen = dataclasses.replace(
            objects.seen(of=of, versions=(objects.version("1"), objects.version("2"))),
            pods=tuple(pods),
            deployments={"production": runs},
            past=index.Index(sequence=len(story.objects)),
            unrecorded=waiting,
            state=traffic.after(tuple(story.state.values()), waiting),
        )
        told = model.entries(seen, decide.Plan(), story.now)
        news = [one for one in told.facts if one.action == Action.SERVING]
        if not look.answers:
            kept = outbox.store(kept, news)
        elif waiting or news:
            story.state = {one.name: one for one in told.state}
            story.write(*waiting, *news)
            kept = []
    return story, truth


def weights(look: Look, before: dict[str, int]) -> dict[str, int]:
    """What the contract says: a version may get traffic from its first ready pod until it is scaled to nothing."""
    ready = {version: look.pods.get(version, (0, 0))[0] for version in ("1", "2")}
    gone = {"1"} if look.pods.get("1", (0, 0)) == (0, 0) else set()
    serving = {version for version, count in ready.items() if count} | (before.keys() - gone)
    if len(serving) < 2:
        return dict.fromkeys(serving, 100)
    if total := sum(ready[version] for version in serving):
        return {version: round(100 * ready[version] / total) for version in serving}
    return before


counts = strategies.tuples(strategies.integers(0, 9), strategies.integers(0, 2))
looks = strategies.builds(
    Look,
    strategies.integers(1, 90),
    strategies.fixed_dictionaries({"1": counts, "2": counts}),
    strategies.sampled_from([True, True, False]),
)


@hypothesis.given(strategies.lists(looks, max_size=20))
@hypothesis.example([Look(1, {"1": (1, 0)}), Look(1, {})])
@hypothesis.settings(deadline=None, max_examples=100)
def test_of_a_rolling_update_the_answer_is_how_the_ready_pods_were_shared(seen: list[Look]) -> None:
    story, truth = rolled(*seen, Look(1, {"2": (9, 0)}))
    facts = [one for record in story.records() for one in record.facts]

    assert len({one.id for one in facts}) == len(facts)
    for begin, moment in [
        (begin, begin + step) for begin, _ in truth for step in (datetime.timedelta(), datetime.timedelta(microseconds=1))
    ]:
        served = next(shares for when, shares in reversed(truth) if when <= begin)
        assert told(explain.at(story.book(), moment, "production")) == ({"production": served} if served else {}), moment


def test_while_a_rolling_update_goes_on_each_change_of_its_weights_is_told() -> None:
    steps = [
        {"1": (9, 1)},
        {"1": (9, 0), "2": (1, 0)},
        {"1": (1, 0), "2": (9, 0)},
        {"1": (0, 1), "2": (0, 9)},
        {"2": (9, 0)},
        {"2": (3, 6)},
    ]
    story, _ = rolled(*(Look(60, pods) for pods in steps))

    answer = explain.over_time(story.book(), ["1", "2"])

    assert [(one["version"], one["weight"], one["until"] is None) for one in answer["served"]] == [
        ("1", 100, False),
        ("1", 90, False),
        ("2", 10, False),
        ("1", 10, False),
        ("2", 90, False),
        ("2", 100, True),
    ]
    assert len(story.objects) == 4


@pytest.mark.parametrize("later", [datetime.timedelta(), SECOND / 2], ids=["when it changed", "then"])
def test_of_more_changes_of_weight_than_can_wait_the_last_is_known_and_how_long_the_others_are_open(later: datetime.timedelta) -> None:
    flaps = [Look(1, {"1": (9, 0), "2": (1 + number % 2, 0)}, answers=False) for number in range(200)]
    story, truth = rolled(Look(1, {"1": (9, 0)}), *flaps, Look(1, {"1": (9, 0), "2": (2, 0)}))

    answers = [explain.at(story.book(), moment + later, "production") for moment, _ in truth[1:]]
    known = [told(one)["production"] for one in answers if one["unobserved"] is None]

    assert [one["unobserved"] is None for one in answers] == [True] + [False] * 136 + [True] * 65
    assert known == [shares for (_, shares), one in zip(truth[1:], answers, strict=True) if one["unobserved"] is None]


def test_a_rollback_that_was_recorded_late_is_found_by_when_it_was_seen() -> None:
    story = chronicle.Story()
    story.serving("production", {"1.1.0": 100})
    rolled_back = story.later(minutes=5)
    story.serve("production", {"1.0.0": 100})
    kept = story.served("production")
    story.later(minutes=10)  # the ledger did not answer
    story.write(looked=False)  # another key was the first to write again
    story.later(minutes=1)
    story.write(kept)

    before = explain.at(story.book(), rolled_back - SECOND, "production")
    between = explain.at(story.book(), rolled_back + MINUTE, "production")

    assert {"production": {"1.1.0": 100}} == told(before)
    assert {"production": {"1.0.0": 100}} == told(between)
    assert between["serves"][0]["recordedLater"]


def test_everything_about_what_served_is_told() -> None:
    story, operators = chronicle.credit()
    moment = START + datetime.timedelta(hours=2)

    with chronicle.reading(story) as book:
        answer = explain.at(book, moment, "production", coverage.gaps(operators.records()))

    [version] = answer["versions"]
    [promotion] = version["promotions"]
    assert {"production": {"1.5.0-rc.1": 100}} == told(answer)
    assert answer["unobserved"] is None
    assert version["digest"] == chronicle.digest("1.5.0-rc.1")
    assert version["source"]["commit"] == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    assert version["parameters"] == {"eta": "0.1", "max_depth": "8"}
    assert [data["digest"][:9] for data in version["datasets"]] == ["sha256:d4", "sha256:4e"]
    assert version["metrics"]["auc"] == 0.934
    assert all(one["verified"] for one in version["evidence"])
    assert version["registered"]["by"] == chronicle.CI.name
    assert version["registered"]["known"] == "Declared"
    assert promotion["requested"]["by"] == chronicle.CAROL.name
    assert [(word["by"], word["gate"], word["counts"]) for word in promotion["approvals"]] == [
        (chronicle.BOB.name, "risk", True),
        (chronicle.DAVE.name, "business", True),
    ]
    assert [gate["name"] for gate in promotion["granted"]["gates"]] == ["metrics/auc", "approvals/risk", "approvals/business"]
    assert answer["model"]["owner"]["team"] == "credit-risk"


def test_while_nobody_watched_the_answer_says_between_when() -> None:
    story, operators = chronicle.credit()
    gaps = coverage.gaps(operators.records())
    [_, gap] = gaps
    assert gap.until

    answer = explain.at(story.book(), gap.until - MINUTE, "production", gaps)

    assert answer["unobserved"]["words"] == "unobserved between 2026-10-03 15:10:20Z and 2026-10-03 15:15:20Z"
    assert {"production": {"1.4.0": 90, "1.5.0-rc.1": 10}} == told(answer)
    assert [share["weight"] for share in answer["unobserved"]["seenNext"][0]["versions"]] == [50, 50]


def test_over_time_lists_every_span_with_its_weight() -> None:
    story, operators = chronicle.credit()

    answer = explain.over_time(story.book(), ["1.5.0-rc.1"], coverage.gaps(operators.records()))

    assert [(one["weight"], bool(one["unobserved"])) for one in answer["served"]] == [(10, True), (50, False), (100, False)]
    assert answer["served"][-1]["until"] is not None


def test_an_instant_before_the_first_record_has_no_answer() -> None:
    story, _ = chronicle.credit()

    answer = explain.at(story.book(), NEVER, "production")

    assert answer["record"] is None
    assert answer["serves"] == []


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 16, 17, 100])
def test_the_end_and_every_record_are_found_by_search(count: int) -> None:
    story = chronicle.Story()
    for _ in range(count):
        story.write()
        story.later(seconds=1)

    assert story.book().last == count
    assert [story.book().at(START + number * SECOND) for number in range(-1, count)] == list(range(count + 1))


def test_an_instant_among_100_000_records_is_found_with_40_reads() -> None:
    class Long(chronicle.Story):
        """Each record is made when it is read."""

        def book(self, last: int | None = None) -> reader.ChainReader:
            def fetch(numbers: Sequence[int]) -> list[bytes | None]:
                self.read.append(list(numbers))
                return [self._made(number) if 0 < number <= 100_000 else None for number in numbers]

            return reader.ChainReader(self.chain, fetch, self.blobs.get, last=last)

        def _made(self, number: int) -> bytes:
            moment = START + number * SECOND
            return codec.write(Record(self.chain, number, chronicle.digest(""), moment, moment, 1, (), (), None))

    for number in (1, 2, 255, 4_097, 50_000, 65_535, 65_536, 99_999, 100_000):
        long = Long()

        assert long.book().at(START + number * SECOND) == number
        assert sum(map(len, long.read)) <= 40
        assert len(long.read) <= 12  # rounds: what counts where a store is far away


def test_a_version_among_20_000_records_is_told_of_with_few_reads() -> None:
    story = chronicle.Story()
    for _ in range(40):
        story.serving("production", {"1.0.0": 100})
        for _ in range(248):
            story.later(seconds=1)
            story.write()
        story.serving("production", {"1.0.0": 50, "1.1.0": 50})
        for _ in range(250):
            story.later(seconds=1)
            story.write()
    assert len(story.objects) == 20_000
    whole = periods.of(story.records(), lambda version: version == "1.1.0")

    for last in (None, 20_000):  # as it is found in a bucket, and listed in a folder
        book = story.book(last)
        answer = explain.over_time(book, ["1.1.0"])

        assert [codec.read_time(one["since"]) for one in answer["served"]] == [one.since for one in whole]
        assert sum(map(len, story.read)) <= 256 + 80 + 50  # since the last snapshot, two for each of 40 spells, and the search for the end
        assert len(story.read) <= 20


def test_more_changes_of_weight_than_are_remembered_are_said_to_be_missing() -> None:
    story = chronicle.Story()
    for number in range(200):
        story.later(seconds=1)
        story.serving("production", {"1.0.0": number % 99 + 1, "1.1.0": 99 - number % 99})

    answer = explain.over_time(story.book(), ["1.0.0"])

    assert answer["warnings"] == [
        "72 more changes of the share of 1.0.0 in production are not listed: `modelyard history credit` has them all"
    ]


def test_a_record_that_was_changed_or_copied_is_told() -> None:
    story, _ = chronicle.credit()
    story.objects[2] = story.objects[2].replace(b"Registered", b"Registerex")
    story.objects[3] = story.objects[4]

    book = story.book()
    read = book.records([1, 2, 3, 4])

    assert [record.sequence for record in read] == [1, 4]
    assert sorted(book.flaws) == [2, 3]
