"""`modelyard ledger`: verify the ledger, export it, and accept its flaws."""

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
    """Read every record of a chain, or of all chains, and print the flaws.

    Raises:
        exits.Stop: NO when a flaw is not accepted.
    """
    form = output.form(asked, output.Form.TABLE, output.Form.JSON, output.Form.YAML)
    keys = _keys(public_key) if public_key else [] if typed.folder else ledger_source.trusted(typed)
    with ledger_source.opened(typed) as opened:
        chains = [opened.chain(model)] if model else archive.chains(opened.source, opened.registry)
        anchors = {} if typed.folder else ledger_source.anchors_of(typed, chains)
        if not model:  # only its anchor shows a chain that was removed altogether
            chains += sorted(
                (chain for chain in anchors if chain.registry == opened.registry and chain not in chains), key=lambda chain: chain.prefix
            )
        verdicts = list(
            ledger_source.verdicts(lambda chain: archive.verify(opened.source, chain, anchors=anchors.get(chain, ()), keys=keys), chains)
        )
        if not any(verdict.records or verdict.flaws for verdict in verdicts):
            raise opened.nothing(model or "of any name")
        accepted = [entry for verdict in verdicts for entry in _accepted(verdict)]
    if form is output.Form.TABLE:
        _tell(verdicts, accepted)
    else:
        output.write(output.document({"chains": [_document(verdict) for verdict in verdicts], "accepted": accepted}, form))
    if wrong := [verdict for verdict in verdicts if not verdict.sound]:
        names = ", ".join(_name(verdict.chain) for verdict in wrong)
        raise exits.Stop(exits.Code.NO, f"the ledger is not what it was: {names}")


def export(typed: ledger_source.Typed, models: Sequence[str], target: pathlib.Path, asked: str | None) -> None:
    """Copy chains and the blobs that they name into a folder that needs no cluster and no network.

    Raises:
        exits.Stop: the folder is not empty, or there is no such chain.
    """
    form = output.form(asked, output.Form.TABLE, output.Form.JSON, output.Form.YAML)
    with ledger_source.opened(typed) as opened:
        chains = [*(opened.model(model).chain for model in models), opened.chain(record.OPERATOR)]
        noted = {} if typed.folder else ledger_source.anchors_of(typed, chains)
        newest = {chain: max(anchors, key=lambda anchor: anchor.sequence) for chain, anchors in noted.items()}
        try:
            count = archive.export(opened.source, target, chains, anchors=newest)
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
    """A person's acceptance of a chain's flaws."""

    reason: str
    believe: bool | None
    """What Unproven records are: ours (True), or somebody else's (False); None: not stated."""
    yes: bool


def accept(typed: ledger_source.Typed, model: str, acceptance: Acceptance, now: datetime.datetime, asked: str | None) -> None:
    """Record that a person accepts a chain's flaws, so that the operator continues with it.

    Raises:
        exits.Stop: a folder was named, nothing is wrong, it was not confirmed, or the key that signs records cannot be had.
    """
    form = output.form(asked, output.Form.TABLE, output.Form.JSON, output.Form.YAML)
    if typed.folder:
        raise exits.usage("an exported folder is a copy: accept in the bucket itself")
    with ledger_source.opened(typed) as opened:
        assert opened.store is not None
        assert opened.where is not None
        chain = opened.chain(model)
        keys = signing_key.load(opened.where, typed.context)
        anchors = ledger_source.anchors_of(typed, [chain]).get(chain, [])
        believed = [keys.private.public_key(), *keys.trusted]
        [verdict] = ledger_source.verdicts(lambda checked: archive.verify(opened.source, checked, anchors=anchors, keys=believed), [chain])
        wrong = [flaw for flaw in verdict.flaws if not flaw.accepted]
        if not wrong:
            raise exits.Stop(exits.Code.NO, f"nothing is wrong with the ledger of {_name(chain)} that is not accepted already")
        for flaw in wrong:
            output.say(f"{flaw.kind} {flaw.sequence}: {flaw.sentence}")
        _confirmed(acceptance, wrong)
        person = record.Actor(cluster.Registry(typed.context).whoami(), record.Authenticity.DECLARED)
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
            head = asyncio.run(keeper.accept(chain, person, acceptance.reason, anchors, wrong, believed=acceptance.believe is True))
        finally:
            keeper.close()
    if form is not output.Form.TABLE:
        flaws = [flaw.detail for flaw in wrong]
        document = {"chain": _name(chain), "record": head.sequence, "by": person.name, "reason": acceptance.reason, "flaws": flaws}
        output.write(output.document(document, form))
    output.say(f"record {head.sequence} of {_name(chain)} says that {person.name} accepts it; the operator goes on when it looks next")


def _confirmed(acceptance: Acceptance, wrong: Sequence[integrity.Flaw]) -> None:
    """Stop when --believe/--discard or --yes is needed and missing."""
    if acceptance.believe is None and any(flaw.kind is integrity.FlawKind.UNPROVEN for flaw in wrong):
        raise exits.usage(
            "say what the Unproven records are: --believe when they are this registry's own (older than signing, or signed with a key that was"
            " lost), so that they count; --discard when somebody else wrote them, so that they mean nothing"
        )
    if not acceptance.yes:
        hint = "keep a copy first (`modelyard ledger export`), then add --yes"
        raise exits.usage(f"accepting records for ever that you know of {output.many(len(wrong), 'flaw')}: {hint}")


def trust(typed: ledger_source.Typed, key: str, *, yes: bool) -> None:
    """Have the operator trust records that another key signed.

    Raises:
        exits.Stop: there is no such key, it was not confirmed, or the operator's Secret may not be written.
    """
    with ledger_source.opened(typed) as opened:
        assert opened.where is not None
        keys = signature.by_id(_keys(file) if (file := pathlib.Path(key)).is_file() else opened.source.signers(opened.registry))
        if file.is_file() and len(keys) == 1:
            key = next(iter(keys))
        if key not in keys:
            ids = ", ".join(keys) or "none"
            raise exits.Stop(exits.Code.NOT_FOUND, f"there is no file {key!r}, and the registry has no key of that id; it has {ids}")
        if not yes:
            raise exits.usage(f"the operator will believe, and act on, every record that the key {key} signed: add --yes")
        news = signing_key.trust(opened.where, typed.context, keys[key])
    output.say(f"the operator believes records of the key {key}" + (" within seconds" if news else " already"))


def _keys(file: pathlib.Path) -> list[signature.Key]:
    try:
        return signature.read_public(local_files.read(file, 1 << 20, regular=False))
    except OSError as error:
        raise exits.unreadable(error, file) from error
    except ValueError as error:
        raise exits.usage(f"{file}: {error}") from error


def _tell(verdicts: Sequence[archive.Verdict], accepted: Sequence[Json]) -> None:
    rows = [[_name(verdict.chain), str(verdict.records), _proven(verdict), _word(verdict)] for verdict in verdicts]
    output.write(output.columns(["CHAIN", "RECORDS", "PROVEN BY", "RESULT"], rows, colour=output.coloured()))
    for verdict in verdicts:
        for flaw in verdict.flaws:
            suffix = " (accepted)" if flaw.accepted else ""
            output.write(output.safe(f"{_name(verdict.chain)}: {flaw.kind} {flaw.sequence}: {flaw.sentence}{suffix}") + "\n")
    for entry in accepted:
        output.write(
            output.safe(f"{entry['chain']}: accepted {entry['at']} by {entry['by'] or 'nobody knows whom'}: {entry['reason']}") + "\n"
        )


def _word(verdict: archive.Verdict) -> str:
    if verdict.sound:
        return "accepted" if verdict.flaws else "sound"
    return f"{sum(not flaw.accepted for flaw in verdict.flaws)} flaws"


def _proven(verdict: archive.Verdict) -> str:
    """Name the proofs that the chain was not truncated."""
    proofs = [f"anchor of record {verdict.proven}"] if verdict.anchors else []
    proofs += (
        [output.many(verdict.checkpoints, "signed checkpoint" if verdict.signed else "checkpoint, no key given")]
        if verdict.checkpoints
        else []
    )
    proofs += ["signatures"] if verdict.signed else [f"signatures of {', '.join(verdict.signers)}, no key given"] if verdict.signers else []
    proofs += ["object versions"] if verdict.versioned else []
    return ", ".join(proofs) or "its own hashes only"


def _document(verdict: archive.Verdict) -> Json:
    return {
        "chain": _name(verdict.chain),
        "records": verdict.records,
        "head": {"sequence": verdict.head.sequence, "digest": verdict.head.head} if verdict.head else None,
        "provenTo": verdict.proven,
        "checkpoints": verdict.checkpoints,
        "signed": verdict.signed,
        "signers": list(verdict.signers),
        "versioned": verdict.versioned,
        "sound": verdict.sound,
        "flaws": [{**flaw.detail, "accepted": flaw.accepted} for flaw in verdict.flaws],
    }


def _accepted(verdict: archive.Verdict) -> list[Json]:
    """Return who accepted flaws, when, and why."""
    return [
        {
            "chain": _name(verdict.chain),
            "record": entry.record,
            "at": codec.write_time(entry.time),
            "by": entry.fact.actor.name,
            "reason": entry.text("reason"),
        }
        for entry in provenance.entries(verdict.accepted)
        if entry.fact.action == Action.ACCEPTED
    ]


def _name(chain: record.Chain) -> str:
    return chain.model if chain.model == record.OPERATOR else f"{chain.namespace}/{chain.model}"
