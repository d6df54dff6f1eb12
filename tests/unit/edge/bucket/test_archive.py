"""A ledger that is read whole: whatever is done to it is found, or is what crds/ledger.md says cannot be found."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import random
import shutil
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from modelyard.content import digest
from modelyard.edge.bucket import archive, sources
from modelyard.ledger import checkpoint, codec, index, integrity, signature
from modelyard.ledger.record import Action, Actor, Chain, LedgerEntry, Pointer, Record, Subject, entry, follow
from tests.fakes import history
from tests.fakes.history import ANCHORED, CHURN, FRAUD, KEY, OPERATORS, RECORDS, SIGNED

MUTATIONS = 1_000
Files = dict[str, bytes]


@pytest.fixture
async def past() -> history.Past:
    return await history.past()


async def test_what_was_not_touched_is_sound(past: history.Past, tmp_path: pathlib.Path) -> None:
    source, folder = past.source(), past.export(tmp_path / "out")

    assert archive.chains(source, "main") == [OPERATORS, CHURN, FRAUD] == archive.chains(folder, "main")
    for chain in (OPERATORS, CHURN, FRAUD):
        live, exported = archive.verify(source, chain, keys=[KEY.public_key()]), archive.verify(folder, chain)
        assert live.flaws == exported.flaws == ()
        assert live.head == exported.head
        assert (live.versioned, exported.versioned) == (True, False)
    assert (RECORDS, 1, True, ANCHORED) == (exported.records, exported.checkpoints, exported.signed, exported.proven)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"ledger", "blobs", "anchors.json", "public.pem"}
    with pytest.raises(FileExistsError):
        past.export(tmp_path / "out")


# --- mutations: each changes files, and says from which number on; those that only an anchor or checkpoint betrays say so


@dataclasses.dataclass
class Done:
    what: str
    first: int
    """Number of the first record that is not what it was."""
    well_made: bool
    """What is left is a chain with nothing wrong in itself."""


def _tail(files: Files, first: int, change: Callable[[Record], Record]) -> None:
    """Writes the records from a number on anew, with right digests."""
    prev = digest.named(files[FRAUD.key(first - 1)]) if first > 1 else None
    for number in range(first, RECORDS + 1):
        record = dataclasses.replace(codec.read(files[FRAUD.key(number)]), prev=prev)
        data = files[FRAUD.key(number)] = codec.write(change(record) if number == first else record)
        prev = digest.named(data)


def _forged(record: Record) -> Record:
    return dataclasses.replace(
        record, facts=tuple(dataclasses.replace(one, actor=Actor("mallory", one.actor.known)) for one in record.facts)
    )


def edit_a_byte(files: Files, dice: random.Random) -> Done:
    number = dice.randint(1, RECORDS)
    data = bytearray(files[FRAUD.key(number)])
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    files[FRAUD.key(number)] = bytes(data)
    try:
        valid = codec.read(bytes(data)).sequence == number
    except ValueError:
        valid = False
    return Done("edit", number, valid and number == RECORDS)


def drop(files: Files, dice: random.Random) -> Done:
    number = dice.randint(1, RECORDS)
    del files[FRAUD.key(number)]
    return Done("drop", number, number == RECORDS)


def swap(files: Files, dice: random.Random) -> Done:
    one, other = sorted(dice.sample(range(1, RECORDS + 1), 2))
    files[FRAUD.key(one)], files[FRAUD.key(other)] = files[FRAUD.key(other)], files[FRAUD.key(one)]
    return Done("swap", one, False)


def duplicate(files: Files, dice: random.Random) -> Done:
    number, to = dice.randint(1, RECORDS), RECORDS + 1
    if dice.random() < 0.5:
        files[FRAUD.key(to)] = files[FRAUD.key(number)]
        return Done("append a copy", to, False)
    last = codec.read(files[FRAUD.key(RECORDS)])
    again = dataclasses.replace(codec.read(files[FRAUD.key(number)]), sequence=to, prev=digest.named(files[FRAUD.key(RECORDS)]))
    files[FRAUD.key(to)] = codec.write(dataclasses.replace(again, time=last.time, index=last.index))
    return Done("tell once more", to, False)


def truncate(files: Files, dice: random.Random) -> Done:
    first = dice.randint(1, RECORDS)
    for number in range(first, RECORDS + 1):
        del files[FRAUD.key(number)]
    return Done("truncate", first, True)


def replace_the_tail(files: Files, dice: random.Random) -> Done:
    first = dice.randint(1, RECORDS)
    _tail(files, first, _forged)
    return Done("another tail", first, True)


def copy_across_models(files: Files, dice: random.Random) -> Done:
    number = dice.randint(1, RECORDS)
    files[FRAUD.key(number)] = files[CHURN.key(number)]
    return Done("another model's", number, False)


def rewrite_a_number(files: Files, dice: random.Random) -> Done:
    number = dice.randint(1, RECORDS)
    record = codec.read(files.pop(FRAUD.key(number)))
    files[FRAUD.key(number)] = codec.write(_forged(record))
    return Done("rewrite", number, number == RECORDS)


def insert_and_renumber(files: Files, dice: random.Random) -> Done:
    """Everything from a number on moves up by one, well chained."""
    first = dice.randint(2, RECORDS)
    moved = [codec.read(files[FRAUD.key(number)]) for number in range(first, RECORDS + 1)]
    prev = digest.named(files[FRAUD.key(first - 1)])
    told = dataclasses.replace(moved[0], facts=(), prev=prev)
    for number, record in enumerate([told, *moved], first):
        data = files[FRAUD.key(number)] = codec.write(dataclasses.replace(record, sequence=number, prev=prev))
        prev = digest.named(data)
    return Done("insert", first, True)


def change_a_snapshot(files: Files, dice: random.Random) -> Done:
    names = sorted({pointer.digest for number in range(1, RECORDS + 1) if (pointer := codec.read(files[FRAUD.key(number)]).index)})
    key = f"blobs/sha256/{dice.choice(names)[7:]}"
    data = bytearray(files[key])
    data[dice.randrange(len(data))] ^= 1
    files[key] = bytes(data)
    return Done("snapshot", 1, False)


def change_what_a_record_names(files: Files, dice: random.Random) -> Done:
    key = f"blobs/sha256/{history.SPEC[7:]}"
    if dice.random() < 0.5:
        del files[key]
    else:
        files[key] = b"[]"
    return Done("named", 1, False)


def forge_what_people_accepted(files: Files, dice: random.Random) -> Done:
    """A record is changed, and one more at the end names a snapshot that knows nothing."""
    done = edit_a_byte(files, dice)
    last = files[FRAUD.key(RECORDS)]
    try:
        record = codec.read(last)
    except ValueError:
        return done
    snapshot = index.Index(sequence=RECORDS).dump()
    files[f"blobs/sha256/{digest.named(snapshot)[7:]}"] = snapshot
    pointer = Pointer(RECORDS, digest.named(snapshot))
    more = follow(FRAUD, record, digest.named(last), [], record.state, now=record.time, term=record.term, index=pointer)
    files[FRAUD.key(RECORDS + 1)] = codec.write(more)
    return Done("forged snapshot", done.first, False)


def change_a_checkpoint(files: Files, dice: random.Random) -> Done:
    key = checkpoint.key(FRAUD, SIGNED)
    data = bytearray(files[key])
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    files[key] = bytes(data)
    return Done("checkpoint", 1, False)


ALL = (
    edit_a_byte,
    drop,
    swap,
    duplicate,
    truncate,
    replace_the_tail,
    copy_across_models,
    rewrite_a_number,
    insert_and_renumber,
    change_a_snapshot,
    change_what_a_record_names,
    forge_what_people_accepted,
    change_a_checkpoint,
)


@pytest.mark.slow
async def test_a_thousand_mutations(past: history.Past, tmp_path: pathlib.Path) -> None:
    """Each is found, unless it left a well-made chain and changed nothing up to the anchor: that cannot be (crds/ledger.md)."""
    past.export(tmp_path / "out")
    root = tmp_path / "out"
    before = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    found: collections.Counter[tuple[str, bool]] = collections.Counter()
    for number in range(MUTATIONS):
        files, dice = dict(before), random.Random(number)
        done = ALL[number % len(ALL)](files, dice)
        _write(root, before, files)
        verdict = archive.verify(sources.Folder(root), FRAUD)
        _write(root, files, before)
        found[done.what, verdict.sound] += 1
        beyond = done.well_made and done.first > ANCHORED
        assert not verdict.sound or beyond, f"{number}: {done}"
    print("\n".join(f"{what:16} {'not found' if sound else 'found':10} {count}" for (what, sound), count in sorted(found.items())))
    shutil.rmtree(root)


def _write(root: pathlib.Path, now: Files, wanted: Files) -> None:
    for key in now.keys() - wanted.keys():
        (root / key).unlink()
    for key, data in wanted.items():
        if now.get(key) != data:
            (root / key).write_bytes(data)


def _files(root: pathlib.Path) -> Files:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def test_without_anchor_and_checkpoint_another_tail_is_found_by_its_signatures_and_a_shorter_one_is_not(
    past: history.Past, tmp_path: pathlib.Path
) -> None:
    """As crds/ledger.md says."""
    folder = past.export(tmp_path / "out")
    files = _files(tmp_path / "out")
    changed = dict(files)
    _tail(changed, SIGNED, _forged)
    _write(tmp_path / "out", files, changed)
    assert {flaw.kind for flaw in archive.verify(folder, FRAUD).flaws} == {integrity.FlawKind.REPLACED, integrity.FlawKind.UNPROVEN}
    (tmp_path / "out" / "anchors.json").unlink()
    replaced, unproven = archive.verify(folder, FRAUD).flaws
    assert (integrity.FlawKind.REPLACED, SIGNED) == (replaced.kind, replaced.sequence)
    (tmp_path / "out" / checkpoint.key(FRAUD, SIGNED)).unlink()

    assert archive.verify(folder, FRAUD).flaws == (unproven,)
    assert (integrity.FlawKind.UNPROVEN, RECORDS) == (unproven.kind, unproven.sequence)
    for number in range(SIGNED, RECORDS + 1):
        (tmp_path / "out" / FRAUD.key(number)).unlink()
    assert archive.verify(folder, FRAUD).flaws == ()
    assert archive.verify(folder, FRAUD).proven == 0


async def test_a_flaw_that_was_accepted_excuses_no_snapshot_that_comes_later(past: history.Past, tmp_path: pathlib.Path) -> None:
    folder = past.export(tmp_path / "out")
    (tmp_path / "out" / FRAUD.key(3)).unlink()
    flaws = archive.verify(folder, FRAUD).flaws
    files = _files(tmp_path / "out")
    last = codec.read(files[FRAUD.key(RECORDS)])
    chain = {last.sequence: last}

    def append(facts: list[LedgerEntry], pointer: Pointer | None) -> archive.Verdict:
        before = chain[max(chain)]
        prev = digest.named(codec.write(before))
        made = follow(FRAUD, before, prev, facts, before.state, now=before.time, term=before.term, index=pointer)
        made = signature.sign(made, KEY)
        chain[made.sequence] = made
        (tmp_path / "out" / FRAUD.key(made.sequence)).write_bytes(codec.write(made))
        return archive.verify(folder, FRAUD)

    subject = Subject("Ledger", "fraud", FRAUD.prefix, 0)
    detail = {"flaws": [flaw.detail for flaw in flaws], "reason": "lost in a move"}
    assert append([entry(Action.ACCEPTED, history.ALICE, subject, "x", detail=detail)], last.index).sound
    forged = index.Index(sequence=RECORDS + 1).dump()
    (tmp_path / "out" / f"blobs/sha256/{digest.named(forged)[7:]}").write_bytes(forged)
    verdict = append([], Pointer(RECORDS + 1, digest.named(forged)))

    assert [(flaw.kind, flaw.sequence) for flaw in verdict.flaws if not flaw.accepted] == [(integrity.FlawKind.INDEX, RECORDS + 2)]


@pytest.mark.parametrize("again", [False, True], ids=["deleted", "deleted and written again"])
async def test_old_versions_betray_what_the_chain_does_not(past: history.Past, again: bool) -> None:
    """The last record, which no anchor knows."""
    data = past.kept.get("", FRAUD.key(RECORDS))
    past.kept.delete("", FRAUD.key(RECORDS))
    if again:
        assert data
        past.kept.put("", FRAUD.key(RECORDS), codec.write(_forged(codec.read(data))))

    verdict = archive.verify(past.source(), FRAUD)

    assert (integrity.FlawKind.VERSIONS, RECORDS) in {(flaw.kind, flaw.sequence) for flaw in verdict.flaws}


async def test_a_checkpoint_by_a_stranger_is_forged(past: history.Past) -> None:
    stranger = ed25519.Ed25519PrivateKey.generate()
    verdict = archive.verify(past.source(), FRAUD, keys=[stranger.public_key()])

    assert [(flaw.kind, flaw.sequence) for flaw in verdict.flaws] == [
        (integrity.FlawKind.FORGED, SIGNED),
        (integrity.FlawKind.UNPROVEN, RECORDS),
    ]


async def test_no_key_of_a_bucket_leads_out_of_the_folder(past: history.Past, tmp_path: pathlib.Path) -> None:
    past.kept.put("", "ledger/main/risk/../../../x/0000000001.json", b"{}")
    past.kept.put("", "ledger/main/../fraud/0000000001.json", b"{}")

    assert archive.chains(past.source(), "main") == [OPERATORS, CHURN, FRAUD]
    with pytest.raises(ValueError, match="no chain"):
        archive.export(past.source(), tmp_path / "out", [Chain("main", "..", "..")])
