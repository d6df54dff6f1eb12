"""`modelyard ledger`: verify it, export it, and accept what was found wrong with it."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import pathlib
from collections.abc import Sequence
from typing import Any

from modelyard.audit import provenance
from modelyard.cli.reach import cluster, ledger_source, signing_key
from modelyard.cli.terminal import exits, output
from modelyard.edge import local_files
from modelyard.edge.bucket import archive
from modelyard.edge.bucket.chains import Ledger
from modelyard.ledger import codec, integrity, record, signature
from modelyard.ledger.record import Action

Json = dict[str, Any]


def verify(typed: ledger_source.Typed, model: str | None, public_key: pathlib.Path | None, asked: str | None) -> None:
    """Read every record of a chain, or of all of them, and say what is wrong.

    Raises:
        outcome.Stop: NO when anything is wrong that no person accepted.
    """
    form = output.form(asked, output.Form.TABLE, output.Form.JSON, output.Form.YAML)
    keys = _keys(public_key) if public_key else [] if typed.folder else ledger_source.trusted(typed)
    with ledger_source.opened(typed) as opened:
        chains = [opened.chain(model)] if model else archive.chains(opened.source, opened.registry)
        known = {} if typed.folder else ledger_source.noted(typed, chains)
        if not model:  # a chain that was removed altogether is only known from its anchor
            chains += sorted((one for one in known if one.registry == opened.registry and one not in chains), key=lambda one: one.prefix)
        found = list(
            ledger_source.each(lambda chain: archive.verify(opened.source, chain, anchors=known.get(chain, ()), keys=keys), chains)
        )
        if not any(one.records or one.flaws for one in found):
            raise opened.nothing(model or "of any name")
        accepted = [entry for one in found for entry in _accepted(one)]
    if form is output.Form.TABLE:
        _tell(found, accepted)
    else:
        output.write(output.document({"chains": [_document(one) for one in found], "accepted": accepted}, form))
    if wrong := [one for one in found if not one.sound]:
        names = ", ".join(_name(one.chain) for one in wrong)
        raise exits.Stop(exits.Code.NO, f"the ledger is not what it was: {names}")


def export(typed: ledger_source.Typed, models: Sequence[str], target: pathlib.Path, asked: str | None) -> None:
    """Copy chains and what they name into a folder that needs no cluster and no network.

    Raises:
        outcome.Stop: the folder is not empty, or there is no such chain.
    """
    form = output.form(asked, output.Form.TABLE, output.Form.JSON, output.Form.YAML)
    with ledger_source.opened(typed) as opened:
        chains = [*(opened.model(model).chain for model in models), opened.chain(record.OPERATOR)]
        noted = {} if typed.folder else ledger_source.noted(typed, chains)
        known = {chain: max(anchors, key=lambda one: one.sequence) for chain, anchors in noted.items()}
        try:
            count = archive.export(opened.source, target, chains, anchors=known)
        except (FileExistsError, ValueError) as error:
            raise exits.usage(str(error)) from error
        except OSError as error:
            raise exits.unreadable(error, target) from error
    if form is output.Form.TABLE:
        output.write(f"{target}\n")
    else:
        output.write(output.document({"folder": str(target), "objects": count, "chains": [_name(chain) for chain in chains]}, form))
    output.say(f"{output.many(count, 'object')}; check it with `modelyard ledger verify --from {target}`")


@dataclasses.dataclass(frozen=True, slots=True)
class Acceptance:
    """What a person says of a chain that is not as it should be."""

    reason: str
    believe: bool | None
    """What Unproven records are: ours (True), or somebody else's (False); None: they did not say."""
    yes: bool


def accept(typed: ledger_source.Typed, model: str, said: Acceptance, now: datetime.datetime, asked: str | None) -> None:
    """Record that a person knows what is wrong with a chain, so that it goes on.

    Raises:
        outcome.Stop: a folder was named, nothing is wrong, it was not confirmed, or the key that signs records cannot be had.
    """
    form = output.form(asked, output.Form.TABLE, output.Form.JSON, output.Form.YAML)
    if typed.folder:
        raise exits.usage("an exported folder is a copy: accept in the bucket itself")
    with ledger_source.opened(typed) as opened:
        assert opened.store is not None
        assert opened.where is not None
        chain = opened.chain(model)
        keys = signing_key.held(opened.where, typed.context)
        anchors = ledger_source.noted(typed, [chain]).get(chain, [])
        believed = [keys.private.public_key(), *keys.trusted]
        [found] = ledger_source.each(lambda one: archive.verify(opened.source, one, anchors=anchors, keys=believed), [chain])
        wrong = [flaw for flaw in found.flaws if not flaw.accepted]
        if not wrong:
            raise exits.Stop(exits.Code.NO, f"nothing is wrong with the ledger of {_name(chain)} that is not accepted already")
        for flaw in wrong:
            output.say(f"{flaw.kind} {flaw.sequence}: {flaw.sentence}")
        _confirmed(said, wrong)
        person = record.Actor(cluster.Registry(typed.context).whoami(), record.Known.DECLARED)
        keeper = Ledger(
            opened.store,
            opened.where.place,
            opened.registry,
            lambda: now,
            retain=opened.where.retain,
            key=keys.private,
            trusted=keys.trusted,
        )
        try:
            head = asyncio.run(keeper.accept(chain, person, said.reason, anchors, wrong, believed=said.believe is True))
        finally:
            keeper.close()
    if form is not output.Form.TABLE:
        flaws = [flaw.detail for flaw in wrong]
        document = {"chain": _name(chain), "record": head.sequence, "by": person.name, "reason": said.reason, "flaws": flaws}
        output.write(output.document(document, form))
    output.say(f"record {head.sequence} of {_name(chain)} says that {person.name} accepts it; the operator goes on when it looks next")


def _confirmed(said: Acceptance, wrong: Sequence[integrity.Flaw]) -> None:
    """Stops when the person did not say all that is asked."""
    if said.believe is None and any(flaw.kind is integrity.Kind.UNPROVEN for flaw in wrong):
        raise exits.usage(
            "say what the Unproven records are: --believe when they are this registry's own (older than signing, or signed with a key that was"
            " lost), so that they count; --discard when somebody else wrote them, so that they mean nothing"
        )
    if not said.yes:
        more = "keep a copy first (`modelyard ledger export`), then add --yes"
        raise exits.usage(f"accepting records for ever that you know of {output.many(len(wrong), 'flaw')}: {more}")


def trust(typed: ledger_source.Typed, key: str, *, yes: bool) -> None:
    """Have the operator believe records that another key signed.

    Raises:
        outcome.Stop: there is no such key, it was not confirmed, or the operator's Secret may not be written.
    """
    with ledger_source.opened(typed) as opened:
        assert opened.where is not None
        found = signature.by_id(_keys(file) if (file := pathlib.Path(key)).is_file() else opened.source.signers(opened.registry))
        if file.is_file() and len(found) == 1:
            key = next(iter(found))
        if key not in found:
            there = ", ".join(found) or "none"
            raise exits.Stop(exits.Code.NOT_FOUND, f"there is no file {key!r}, and the registry has no key of that id; it has {there}")
        if not yes:
            raise exits.usage(f"the operator will believe, and act on, every record that the key {key} signed: add --yes")
        news = signing_key.trust(opened.where, typed.context, found[key])
    output.say(f"the operator believes records of the key {key}" + (" within seconds" if news else " already"))


def _keys(file: pathlib.Path) -> list[signature.Key]:
    try:
        return signature.read_public(local_files.read(file, 1 << 20, regular=False))
    except OSError as error:
        raise exits.unreadable(error, file) from error
    except ValueError as error:
        raise exits.usage(f"{file}: {error}") from error


def _tell(found: Sequence[archive.Verdict], accepted: Sequence[Json]) -> None:
    rows = [[_name(one.chain), str(one.records), _proven(one), _word(one)] for one in found]
    output.write(output.columns(["CHAIN", "RECORDS", "PROVEN BY", "RESULT"], rows, colour=output.coloured()))
    for one in found:
        for flaw in one.flaws:
            known = " (accepted)" if flaw.accepted else ""
            output.write(output.safe(f"{_name(one.chain)}: {flaw.kind} {flaw.sequence}: {flaw.sentence}{known}") + "\n")
    for each in accepted:
        output.write(output.safe(f"{each['chain']}: accepted {each['at']} by {each['by'] or 'nobody knows whom'}: {each['reason']}") + "\n")


def _word(one: archive.Verdict) -> str:
    if one.sound:
        return "accepted" if one.flaws else "sound"
    return f"{sum(not flaw.accepted for flaw in one.flaws)} flaws"


def _proven(one: archive.Verdict) -> str:
    """What shows that the end was not cut off."""
    what = [f"anchor of record {one.proven}"] if one.anchors else []
    what += [output.many(one.checkpoints, "signed checkpoint" if one.signed else "checkpoint, no key given")] if one.checkpoints else []
    what += ["signatures"] if one.signed else [f"signatures of {', '.join(one.signers)}, no key given"] if one.signers else []
    what += ["object versions"] if one.versioned else []
    return ", ".join(what) or "its own hashes only"


def _document(one: archive.Verdict) -> Json:
    return {
        "chain": _name(one.chain),
        "records": one.records,
        "head": {"sequence": one.head.sequence, "digest": one.head.head} if one.head else None,
        "provenTo": one.proven,
        "checkpoints": one.checkpoints,
        "signed": one.signed,
        "signers": list(one.signers),
        "versioned": one.versioned,
        "sound": one.sound,
        "flaws": [{**flaw.detail, "accepted": flaw.accepted} for flaw in one.flaws],
    }


def _accepted(one: archive.Verdict) -> list[Json]:
    """Who accepted what, and why."""
    return [
        {
            "chain": _name(one.chain),
            "record": told.record,
            "at": codec.write_time(told.time),
            "by": told.fact.actor.name,
            "reason": told.text("reason"),
        }
        for told in provenance.told(one.accepted)
        if told.fact.action == Action.ACCEPTED
    ]


def _name(chain: record.Chain) -> str:
    return chain.model if chain.model == record.OPERATOR else f"{chain.namespace}/{chain.model}"
