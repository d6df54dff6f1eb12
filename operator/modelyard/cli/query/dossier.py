"""`modelyard dossier`: write a version's compliance file as JSON and as one HTML page, and verify such a file against the ledger."""

from __future__ import annotations

import datetime
import pathlib
from typing import Any, Final

from modelyard.audit.dossier import bundle
from modelyard.audit.dossier.dossier import check, make
from modelyard.cli.query import dossier_html
from modelyard.cli.reach import alias, ledger_source
from modelyard.cli.terminal import exits, output
from modelyard.content import jsontext
from modelyard.edge import local_files
from modelyard.ledger import codec, record
from modelyard.plan import semver

Json = dict[str, Any]

_PAGES: Final = frozenset({".html", ".htm", ".xhtml"})
"""Suffixes that a browser shows as a page, whatever the content."""
_LARGEST: Final = 512 << 20
"""Bytes of a dossier; one of a chain with 100,000 records has about 10 MiB."""


def dossier(typed: ledger_source.Typed, model: str, version: str, folder: pathlib.Path, asked: str | None, now: datetime.datetime) -> None:
    """Write `<model>-<version>.json` and `.html` into a folder, or print one of them.

    Raises:
        exits.Stop: the ledger knows no such version, or a file cannot be written.
    """
    form = output.form(asked, output.Form.TABLE, output.Form.JSON, output.Form.HTML)
    with ledger_source.opened(typed) as opened:
        book = opened.model(model)
        version = alias.recorded(book, version)
        document = make(bundle.gather(book, opened.operators, version), version, codec.write_time(now))
        warnings = opened.warnings(book)
    for warning in warnings:
        output.say(warning)
    if document is None:
        raise exits.Stop(exits.Code.NOT_FOUND, f"the ledger knows no version {version} of {model}")
    if form is output.Form.JSON:
        output.write(output.document(document, form))
    elif form is output.Form.HTML:
        output.write(dossier_html.write(document))
    else:
        _write(folder, f"{model}-{version}", document)


def verify(file: pathlib.Path, typed: ledger_source.Typed, asked: str | None) -> None:
    """Check that every field of a dossier, and of its page, follows from the records inside; and, where a ledger is named, that it has them.

    Raises:
        exits.Stop: NO, after every difference was printed; USAGE when the file is no dossier.
    """
    form = output.form(asked, output.Form.TABLE, output.Form.JSON, output.Form.YAML)
    document, shown = _read(file)
    try:
        wrong = check(document)
        evidence = bundle.load(document["attestation"])
    except ValueError as error:
        raise exits.Stop(exits.Code.NO, f"{file}: {error}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise exits.Stop(exits.Code.NO, f"{file}: it is no dossier: {type(error).__name__} {error}") from None
    if shown is not None and not wrong and dossier_html.write(document) != shown:
        wrong.append(
            "the page shows something else than the dossier inside says (or another release made it): read it with -o json of its release"
        )
    compared, proven = bool(typed.folder or typed.bucket), "not compared with a ledger: give --from FOLDER or --bucket"
    if compared:
        with ledger_source.opened(typed) as opened:
            chain = record.Chain(opened.registry, evidence.chain.namespace, evidence.chain.model)
            recorded = bundle.gather(opened.book(chain, len(evidence.digests)), opened.operators, str(document["version"]))
            wrong += bundle.against(evidence, recorded)
            proven = _proven(len(evidence.digests), opened.book(chain).last)
    if form is not output.Form.TABLE:
        output.write(output.document({"file": str(file), "sound": not wrong, "comparedWithLedger": compared, "problems": wrong}, form))
    else:
        output.write("".join(f"{output.safe(problem)}\n" for problem in wrong))
    if wrong:
        raise exits.Stop(exits.Code.NO, f"{file} is not what the records say: {output.many(len(wrong), 'difference')}")
    name = f"{document['model']} {document['version']}"
    output.say(f"{file}: every field of the dossier of {name} follows from its {output.many(len(evidence.records), 'record')}; {proven}")


def _proven(covered: int, last: int) -> str:
    """Describe the ledger beside a sound dossier of its first `covered` records; the dossier does not cover later ones."""
    words = f"the ledger has these records, and up to record {covered} none of the version besides"
    return words + (f"; it goes on to record {last}: make the dossier anew for what happened since" if last > covered else "")


def _write(folder: pathlib.Path, name: str, document: Json) -> None:
    files = {f"{name}.json": output.document(document, output.Form.JSON), f"{name}.html": dossier_html.write(document)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
            output.write(f"{folder / file}\n")
    except OSError as error:
        raise exits.usage(f"{error.filename or folder}: cannot be written: {error.strerror}") from error
    counts, tier = document["summary"]["counts"], document["summary"]["completeness"]
    if tier["of"]:
        output.say(f"{tier['have']} of {tier['of']} of what the risk tier {tier['tier']} demands")
    for item in tier["items"]:
        if not item["there"]:
            output.say(f"missing: {item['what']}")
    output.say(", ".join(f"{count} {state}" for state, count in counts.items()))
    if lost := document["summary"]["lost"]:
        output.say(f"what these snapshots held is not told, as they are not in the ledger any more: {', '.join(lost)}")


def _read(file: pathlib.Path) -> tuple[Json, str | None]:
    """Return the dossier in a file, and the page's text if the file is a page."""
    try:
        text = local_files.read(file, _LARGEST, regular=False).decode()
        paged = file.suffix.lower() in _PAGES or not text.lstrip().startswith("{")
        document = dossier_html.read(text) if paged else jsontext.loads(text, object_pairs_hook=_once)
    except OSError as error:
        mistaken = (
            f"\nfor the dossier of a model that is named verify: `modelyard dossier -- verify {file}`" if _is_version(str(file)) else ""
        )
        raise exits.Stop(exits.Code.NOT_FOUND, f"{file}: {error.strerror}{mistaken}") from error
    except ValueError as error:
        raise exits.usage(f"{file}: is no dossier: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise exits.usage(f"{file}: is no dossier, neither as JSON nor as a page")
    return document, text if paged else None


def _once(pairs: list[tuple[str, Any]]) -> Json:
    """Build an object; refuse duplicate keys, which could make two readers see different values."""
    obj = dict(pairs)
    if len(obj) < len(pairs):
        twice = next(key for number, (key, _) in enumerate(pairs) if any(key == other for other, _ in pairs[:number]))
        raise ValueError(f"the key {twice!a} is there twice")
    return obj


def _is_version(text: str) -> bool:
    return text.startswith(alias.SIGN) or semver.rank(text)[0] >= 0
