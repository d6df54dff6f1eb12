"""Records, their one form, and what is refused as none; snapshots; checkpoints; anchors."""

from __future__ import annotations

import datetime
import json
import math
import zoneinfo
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import strategies

from modelyard.content import canonical, digest
from modelyard.ledger import anchors, checkpoint, codec, fold, index, integrity, signature
from modelyard.ledger import record as ledger_record
from modelyard.ledger.record import Action

CHAIN = ledger_record.Chain("main", "risk", "fraud")
NOW = datetime.datetime(2026, 10, 3, 14, 0, 2, tzinfo=datetime.UTC)
DIGEST = f"sha256:{'a' * 64}"
SUBJECT = ledger_record.Subject("ModelVersion", "fraud-1", "uid-1", 3)
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)

scalars = (
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(strategies.characters(codec=None, exclude_categories=()))
)
anything = strategies.recursive(
    scalars,
    lambda inner: (
        strategies.lists(inner, max_size=4)
        | strategies.dictionaries(strategies.text(strategies.characters(codec=None, exclude_categories=())), inner, max_size=4)
        | strategies.tuples(inner, inner)
    ),
    max_leaves=12,
)


def fact(detail: dict[str, Any] | None = None, action: Action = Action.ATTESTED) -> ledger_record.LedgerEntry:
    return ledger_record.entry(
        action,
        ledger_record.Actor("alice", ledger_record.Authenticity.AUTHENTICATED),
        SUBJECT,
        digest=DIGEST,
        detail=detail or {"version": "1"},
    )


def record(**changed: Any) -> ledger_record.Record:
    share = ledger_record.Share("1", DIGEST, 100, NOW)
    state = (ledger_record.StageState("production", "1", DIGEST, NOW, serves=(share,)), ledger_record.StageState("staging"))
    whole: dict[str, Any] = {
        "facts": (fact(),),
        "state": state,
        "index": ledger_record.Pointer(1, DIGEST),
        "time": NOW,
        "prev": DIGEST,
        "sequence": 2,
        "term": 1,
    }
    whole["seen"] = changed.get("time", NOW)
    return ledger_record.Record(CHAIN, **whole | changed)


def test_a_record_as_it_is_stored() -> None:
    text = codec.write(record(state=(), index=None)).decode()

    assert text == (
        f'{{"facts":[{{"action":"Attested","actor":{{"known":"Authenticated","name":"alice"}},"at":null,"detail":{{"version":"1"}},"digest":"{DIGEST}",'
        f'"id":"{fact().id}","subject":{{"generation":3,"kind":"ModelVersion","name":"fraud-1","uid":"uid-1"}}}}],'
        f'"format":"modelyard.dev/ledger/v1","index":null,"model":"fraud","namespace":"risk","prev":"{DIGEST}","registry":"main",'
        '"seen":"2026-10-03T14:00:02.000000Z","sequence":2,"state":[],"term":1,"time":"2026-10-03T14:00:02.000000Z"}'
    )


@hypothesis.given(strategies.dictionaries(strategies.text(), anything, max_size=4))
def test_whatever_happened_can_be_recorded_and_read_back(detail: dict[str, Any]) -> None:
    """NaN, huge numbers, halves of surrogate pairs, nested and odd things: a fact that could not be written would hold its model for ever."""
    written = codec.write(record(facts=(fact(detail),)))

    assert codec.write(codec.read(written)) == written


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        (2**53 - 1, 2**53 - 1),
        (2**53, "9007199254740992"),
        (-(2**53) - 1, "-9007199254740993"),
        (10**400, "1" + "0" * 400),
        ("a\ud800b", "a?b"),
        ({"b", "a"}, ["a", "b"]),
        ((1, b"x"), [1, "b'x'"]),
        ({1: True, "\udfff": None}, {"1": True, "?": None}),
        (Action.GRANTED, "Granted"),
    ],
)
def test_a_value_made_fit_for_json_whatever_it_is_for(value: object, plain: object) -> None:
    assert canonical.plain(value) == plain
    assert digest.canonical(value) == canonical.dumps(plain)
    assert canonical.dumps(canonical.loads(canonical.dumps(canonical.plain(value)))) == canonical.dumps(plain)


@pytest.mark.parametrize("number", [1e17, 2.0**53, -1e20, 1e21, 5e-324, 0.1, -0.0, 123456789012345680.0])
def test_a_number_is_read_as_it_was_written(number: float) -> None:
    assert canonical.dumps(canonical.loads(canonical.dumps(number))) == canonical.dumps(number)


def change(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda raw: raw.update(fields)


@pytest.mark.parametrize(
    "harm",
    [
        change(sequence=True),
        change(sequence=0),
        change(sequence="2"),
        change(sequence=-1),
        change(sequence=2**53),
        change(term=None),
        change(term=1.5),
        change(prev="sha256:x"),
        change(prev=7),
        change(registry=1),
        change(model=None),
        change(namespace=["risk"]),
        change(time="2026-10-03T14:00:02Z"),
        change(time="2026-10-03T16:00:02.000000+02:00"),
        change(time="2026-02-30T14:00:02.000000Z"),
        change(time="20261003T140002.000000Z"),
        change(time=1),
        change(format="modelyard.dev/ledger/v2"),
        change(more=1),
        change(facts={}),
        change(facts=None),
        change(state=[{}]),
        change(index={}),
        change(index={"sequence": 1, "digest": DIGEST, "more": 1}),
        change(index={"sequence": True, "digest": DIGEST}),
        change(index={"sequence": 1, "digest": "x"}),
        lambda raw: raw.pop("term"),
        lambda raw: raw["facts"][0].update(action="Nothing"),
        lambda raw: raw["facts"][0].update(id=1),
        lambda raw: raw["facts"][0].update(detail=[]),
        lambda raw: raw["facts"][0].update(detail="x"),
        lambda raw: raw["facts"][0].update(digest=1),
        lambda raw: raw["facts"][0]["actor"].update(known="Guessed"),
        lambda raw: raw["facts"][0]["actor"].update(name=None),
        lambda raw: raw["facts"][0]["subject"].update(generation="3"),
        lambda raw: raw["state"][0]["serves"][0].update(weight=True),
        lambda raw: raw["state"][0]["serves"][0].update(version=None),
        lambda raw: raw["state"][0].update(since=""),
        lambda raw: raw["state"][0].update(name=0),
    ],
)
def test_what_is_no_record_is_refused(harm: Callable[[dict[str, Any]], object]) -> None:
    raw = json.loads(codec.write(record()))
    harm(raw)
    try:
        data = canonical.dumps(raw)
    except ValueError:
        data = json.dumps(raw, separators=(",", ":"), sort_keys=True).encode()

    with pytest.raises(ValueError):
        codec.read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b"\xff",
        b"[" * 100_000,
        codec.write(record()) + b"\n",
        b"\xef\xbb\xbf" + codec.write(record()),
        codec.write(record()).replace(b'"term":1', b'"term":1,"term":1'),
        codec.write(record()).replace(b'"term":1', b'"term":1.0'),
        codec.write(record()).replace(b'"term":1', b'"term":NaN'),
        codec.write(record()).replace(b'"term":1', b'"term":' + b"9" * 5000),
        codec.write(record()).replace(b'"version":"1"}', b'"version":"1","x":1e999}'),
        codec.write(record()).replace(b'"version":"1"}', b'"version":"\\ud800"}'),
        codec.write(record()).replace(b'"version":"1"}', b'"version":"\\u0031"}'),
        codec.write(record()).decode().encode("utf-16"),
    ],
)
def test_bytes_that_are_not_canonical_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        codec.read(data)


@hypothesis.given(strategies.datetimes(timezones=strategies.just(datetime.UTC)))
def test_a_time_is_read_as_it_was_written_and_sorts_as_text(moment: datetime.datetime) -> None:
    assert codec.read_time(codec.write_time(moment)) == moment
    assert (codec.write_time(moment) < codec.write_time(NOW)) == (moment < NOW)


def test_a_time_of_another_zone_is_written_in_utc() -> None:
    assert codec.write_time(NOW.astimezone(zoneinfo.ZoneInfo("Asia/Tokyo"))) == "2026-10-03T14:00:02.000000Z"


def test_a_fact_told_twice_is_the_same_fact() -> None:
    later = ledger_record.entry(Action.ATTESTED, ledger_record.NOBODY_KNOWS, SUBJECT, digest=fact().digest, detail={"other": 1})
    next_one = ledger_record.entry(Action.ATTESTED, ledger_record.NOBODY_KNOWS, SUBJECT, step=4)

    assert later.id == fact().id != next_one.id
    assert next_one.id == ledger_record.entry(Action.ATTESTED, ledger_record.NOBODY_KNOWS, ledger_record.Subject("X", "y", "uid-1", 4)).id


def test_a_generation_that_comes_again_with_another_spec_is_another_fact() -> None:
    older = ledger_record.entry(Action.RULES_CHANGED, ledger_record.NOBODY_KNOWS, SUBJECT, digest="sha256:a")

    assert older.id != ledger_record.entry(Action.RULES_CHANGED, ledger_record.NOBODY_KNOWS, SUBJECT, digest="sha256:b").id


def test_which_number_a_key_is() -> None:
    assert CHAIN.sequence("ledger/main/risk/fraud/0000000118.json") == 118
    for key in (
        "0000000118.json",
        "ledger/main/risk/fraud/118.json",
        "ledger/main/risk/fraud/0000000000.json",
        "ledger/main/risk/fraud/00000000118.json",
        "ledger/main/risk/fraud/0000000118.json.bak",
        "ledger/main/risk/fraud/checkpoints/0000000118.json",
        "ledger/main/risk/fraud/\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0661\u0661\u0668.json",
        f"ledger/main/risk/fraud/{'9' * 900}.json",
        "ledger/main/risk/churn/0000000118.json",
        "ledger/main/risk/fraud-2/0000000118.json",
    ):
        assert CHAIN.sequence(key) is None


def test_time_follows_even_when_the_clock_went_back() -> None:
    later = ledger_record.follow(CHAIN, record(), DIGEST, [], [], now=NOW - datetime.timedelta(days=1), term=1, index=None)

    assert (later.time, later.sequence) == (NOW, 3)


# --- index


def folded() -> index.Index:
    found = index.Index()
    fold.add(
        found, record(facts=(fact({"version": "1", "specDigest": DIGEST}, Action.REGISTERED), fact({"version": "1"}, Action.VERIFIED)))
    )
    return found


def test_a_snapshot_is_read_back() -> None:
    assert index.Index.load(folded().dump()) == folded()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        folded().dump() + b" ",
        folded().dump().replace(index.FORMAT.encode(), b"modelyard.dev/index/v0"),
        folded().dump().replace(b'"versions":', b'"others":'),
        folded().dump().replace(b'"sequence":2', b'"sequence":2,"zzz":1'),
    ],
)
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        index.Index.load(data)


@hypothesis.given(
    strategies.sampled_from(list(Action)),
    strategies.dictionaries(
        strategies.sampled_from(
            ["version", "stage", "gate", "phase", "flaws", "specDigest", "rollback", "serves", "since", "unobservedSince"]
        ),
        anything,
    ),
)
def test_no_record_surprises_the_index(action: Action, detail: dict[str, Any]) -> None:
    found = folded()
    fold.add(found, codec.read(codec.write(record(sequence=3, facts=(fact(detail, action),)))))

    assert index.Index.load(found.dump()) == found


# --- checkpoints and anchors


def test_a_checkpoint_is_believed_with_its_key_alone() -> None:
    data = checkpoint.sign(CHAIN, 7, DIGEST, NOW, KEY)
    name = signature.key_id(KEY.public_key())
    stranger = ed25519.Ed25519PrivateKey.generate().public_key()

    assert checkpoint.read(data, {name: KEY.public_key()}) == checkpoint.Checkpoint(CHAIN, 7, DIGEST, NOW, name)
    with pytest.raises(ValueError, match="not trusted"):
        checkpoint.read(data, {})
    with pytest.raises(ValueError, match="signature"):
        checkpoint.read(data, {name: stranger})
    for harm in (data.replace(b'"sequence":7', b'"sequence":8'), data.replace(b"aaa", b"bbb", 1), data + b" ", b"{}", b"", b"[" * 100_000):
        with pytest.raises(ValueError):
            checkpoint.read(harm, {name: KEY.public_key()})


def test_keys_that_are_none() -> None:
    pem = signature.write_public(KEY.public_key())

    assert signature.key_id(signature.public(pem)) == signature.key_id(KEY.public_key())
    for wrong in (b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"\xff", pem[:60]):
        with pytest.raises(ValueError):
            signature.public(wrong)
        with pytest.raises(ValueError):
            signature.signer(wrong)


def test_anchors_are_read_as_they_were_written() -> None:
    known = {CHAIN: integrity.Anchor(7, DIGEST, "here"), ledger_record.Chain("main", "_", "_operator"): integrity.Anchor(1, DIGEST, "here")}

    assert anchors.read(anchors.write(known), "here") == known
    for wrong in ("", "[]", "{}", '{"format":"modelyard.dev/anchors/v1","anchors":[{}]}', '{"format":"x"}'):
        with pytest.raises(ValueError, match="here"):
            anchors.read(wrong, "here")


# --- a chain as it is read


def chain(count: int) -> list[tuple[int, bytes | None]]:
    found: list[tuple[int, bytes | None]] = []
    prev, before = None, None
    for number in range(1, count + 1):
        told = ledger_record.entry(Action.ATTESTED, ledger_record.BY_OPERATOR, SUBJECT, number, detail={"version": "1"})
        before = ledger_record.follow(CHAIN, before, prev, [told], [], now=NOW, term=1, index=None)
        found.append((number, codec.write(before)))
        prev = digest.named(codec.write(before))
    return found


def kinds(flaws: tuple[integrity.Flaw, ...]) -> set[tuple[str, int]]:
    return {(str(flaw.kind), flaw.sequence) for flaw in flaws}


def test_a_sound_chain_has_no_flaw() -> None:
    records = chain(5)
    last = records[-1][1]
    assert last

    assert integrity.check(CHAIN, records, anchors=[integrity.Anchor(5, digest.named(last)), integrity.Anchor(0, "")]) == ()
    assert integrity.check(CHAIN, []) == ()


def test_order_and_holes() -> None:
    records = chain(5)

    assert kinds(integrity.check(CHAIN, records[:2] + records[3:])) == {("Hole", 3)}
    assert kinds(integrity.check(CHAIN, records[:3] + records[2:])) == {("Misplaced", 3)}
    assert kinds(integrity.check(CHAIN, records[2:])) == {("Hole", 1), ("Hole", 2)}
    assert kinds(integrity.check(CHAIN, records[:2], anchors=[integrity.Anchor(4, DIGEST)])) == {("Truncated", 4)}
    assert kinds(integrity.check(CHAIN, records, anchors=[integrity.Anchor(4, DIGEST)])) == {("Replaced", 4)}
    assert kinds(integrity.check(CHAIN, records, versions={1: 1, 2: 2, 9: 1})) == {("Versions", 2)}


def test_time_and_term_go_one_way() -> None:
    first = record(sequence=1, prev=None, index=None, term=2)
    told = (ledger_record.entry(Action.DESCRIBED, ledger_record.BY_OPERATOR, SUBJECT),)
    second = record(prev=digest.named(codec.write(first)), time=NOW - datetime.timedelta(seconds=1), term=1, index=None, facts=told)

    assert kinds(integrity.check(CHAIN, [(1, codec.write(first)), (2, codec.write(second))])) == {("TimeBack", 2), ("TermBack", 2)}


def test_a_state_that_cannot_be() -> None:
    share = ledger_record.Share("1", DIGEST, 100, NOW)
    for state in (
        (ledger_record.StageState("production"), ledger_record.StageState("production")),
        (ledger_record.StageState("production", serves=(share, share)),),
        (ledger_record.StageState("production", serves=(ledger_record.Share("1", None, 101, NOW),)),),
    ):
        found = integrity.check(CHAIN, [(1, codec.write(record(sequence=1, prev=None, index=None, state=state)))])
        assert kinds(found) == {("State", 1)}
